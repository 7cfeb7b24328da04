/**
 * The settings of packages, of a plain `Server` or a raw port.
 *
 * @module
 */

import { LENGTH_TYPES, type LengthFunction, type LengthType } from "../raw/packages.ts";
import type { Kind } from "../../setting_kinds.ts";

/** How a stream is taken apart into packages, under Swoole's names. */
export interface PackageSettings {
  /** Deliver to `receive` only what ends with `package_eof`. `false`. */
  open_eof_check?: boolean;
  /** Deliver each package that ends with `package_eof` by itself. `false`. */
  open_eof_split?: boolean;
  /** What packages end with, 1 to 8 octets. CR LF. */
  package_eof?: string | Uint8Array;
  /** Deliver packages that tell their length. `false`. */
  open_length_check?: boolean;
  /** The type of the length, a letter of PHP's `pack()`: c, C, s, S, n, N, v, V, l or L. `"N"`: 4 octets, big-endian. */
  package_length_type?: LengthType;
  /** Where in a package its length is. 0. */
  package_length_offset?: number;
  /** From where on the length counts: the size of the head, unless the length counts it too. 0. */
  package_body_offset?: number;
  /** Another name of `package_body_offset`. */
  package_body_start?: number;
  /**
   * Tells the length of the package that the octets begin with, instead of the other settings: 0 when it takes more of them to
   * tell, below 0 when it is none.
   */
  package_length_func?: LengthFunction | null;
  /** Deliver each control packet of MQTT by itself. `false`. */
  open_mqtt_protocol?: boolean;
  /** Deliver each request of Redis's protocol by itself. `false`. */
  open_redis_protocol?: boolean;
}

/** Their defaults. */
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

/** What their values have to be. */
export const PACKAGE_KINDS: Record<keyof PackageSettings, Kind> = {
  open_eof_check: "boolean",
  open_eof_split: "boolean",
  package_eof: "mark",
  open_length_check: "boolean",
  package_length_type: LENGTH_TYPES,
  package_length_offset: "octets",
  package_body_offset: "octets",
  package_body_start: "octets",
  package_length_func: "function",
  open_mqtt_protocol: "boolean",
  open_redis_protocol: "boolean",
};

/** The ways to find packages, which exclude each other; each with the settings that choose it. */
const WAYS: readonly (readonly (keyof PackageSettings)[])[] = [
  ["open_length_check"],
  ["open_eof_check", "open_eof_split"],
  ["open_mqtt_protocol"],
  ["open_redis_protocol"],
];

/** The settings that choose ways to find packages: one of each way that is chosen. */
export function chosenWays(settings: PackageSettings): string[] {
  return WAYS.flatMap((way) => way.find((key) => settings[key] === true) ?? []);
}

/** The settings of packages of a server with those of a port instead: where the port chooses a way, the server's is out of force. */
export function mergePackageSettings<S extends PackageSettings>(server: S, port: S): S {
  const merged = { ...server, ...port };
  if (chosenWays(port).length === 0) return merged;
  for (const way of WAYS) {
    if (way.some((key) => port[key] === true)) continue;
    for (const key of way) if (merged[key] === true) Object.assign(merged, { [key]: false });
  }
  return merged;
}
