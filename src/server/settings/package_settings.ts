/**
 * The settings of packages, for a plain `Server` or a raw port.
 *
 * @module
 */

import { LENGTH_TYPES, type LengthFunction, type LengthType } from "../raw/packages.ts";
import type { Kind } from "../../values.ts";

/** The settings that split a stream into packages, under Swoole's names. */
export interface PackageSettings {
  /** Whether `receive` is called only with data that ends with `package_eof`. Default: `false`. */
  open_eof_check?: boolean;
  /** Whether each package that ends with `package_eof` is delivered separately. Default: `false`. */
  open_eof_split?: boolean;
  /** The end mark of packages, 1 to 8 bytes. Default: CR LF. */
  package_eof?: string | Uint8Array;
  /** Whether packages contain their length. Default: `false`. */
  open_length_check?: boolean;
  /** The type of the length, a letter of PHP's `pack()`: c, C, s, S, n, N, v, V, l or L. Default: `"N"`, 4 bytes, big-endian. */
  package_length_type?: LengthType;
  /** The offset of the length in a package. Default: 0. */
  package_length_offset?: number;
  /** The offset from which the length counts: the size of the head, unless the length includes it. Default: 0. */
  package_body_offset?: number;
  /** An alias of `package_body_offset`. */
  package_body_start?: number;
  /**
   * A function that returns the length of the package at the start of the bytes, instead of the other settings: 0 if it needs
   * more bytes, a negative number if they are not a package.
   */
  package_length_func?: LengthFunction | null;
  /** Whether each control packet of MQTT is delivered separately. Default: `false`. */
  open_mqtt_protocol?: boolean;
  /** Whether each request of the Redis protocol is delivered separately. Default: `false`. */
  open_redis_protocol?: boolean;
}

/** The defaults of the package settings. */
export const PACKAGE_DEFAULTS: Readonly<Required<PackageSettings>> = {
  open_eof_check: false,
  open_eof_split: false,
  package_eof: "\r\n",
  open_length_check: false,
  package_length_type: "N",
  package_length_offset: 0,
  package_body_offset: 0,
  package_body_start: 0,
  package_length_func: null,
  open_mqtt_protocol: false,
  open_redis_protocol: false,
};

/** The valid values of the package settings. */
export const PACKAGE_KINDS: Record<keyof PackageSettings, Kind> = {
  open_eof_check: "boolean",
  open_eof_split: "boolean",
  package_eof: "mark",
  open_length_check: "boolean",
  package_length_type: LENGTH_TYPES,
  package_length_offset: "bytes",
  package_body_offset: "bytes",
  package_body_start: "bytes",
  package_length_func: "function",
  open_mqtt_protocol: "boolean",
  open_redis_protocol: "boolean",
};

/** The ways to find packages, which exclude each other, with the settings that choose them. */
const WAYS: readonly (readonly (keyof PackageSettings)[])[] = [
  ["open_length_check"],
  ["open_eof_check", "open_eof_split"],
  ["open_mqtt_protocol"],
  ["open_redis_protocol"],
];

/** Returns the settings that choose ways to find packages: one for each chosen way. */
export function chosenWays(settings: PackageSettings): string[] {
  return WAYS.flatMap((way) => way.find((key) => settings[key] === true) ?? []);
}

/**
 * Merges the package settings of a port into those of its server. If the port chooses a way to find packages, the server's way is
 * disabled.
 */
export function mergePackageSettings<S extends PackageSettings>(server: S, port: S): S {
  const merged = { ...server, ...port };
  if (chosenWays(port).length === 0) return merged;
  for (const way of WAYS) {
    if (way.some((key) => port[key] === true)) continue;
    for (const key of way) if (merged[key] === true) Object.assign(merged, { [key]: false });
  }
  return merged;
}
