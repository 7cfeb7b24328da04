/**
 * The settings of the pages that a server has of its own: metrics and health.
 *
 * @module
 */

import { describe, type Kind, portNumber } from "../../values.ts";

/** The settings of the pages that tell how a server is. They never reach the `request` handler, and need no authentication. */
export interface StatusSettings {
  /** The path on which `metrics()` is served, such as `/metrics`. Default: none. */
  metrics_path?: string;
  /** The path of a page that responds with 200 as long as the event loop runs, such as `/livez`. Default: none. */
  livez_path?: string;
  /**
   * The path of a page that responds with 200 if the server should get requests, otherwise with 503 and the reasons, such as
   * `/readyz`. Default: none.
   */
  readyz_path?: string;
  /** The delay of the event loop above which the server is not ready. Default: 1 s; 0 for any delay. */
  readyz_max_delay?: number;
  /** Whether a server whose broker is down is not ready. Default: `false`, it still serves its own clients. */
  readyz_needs_broker?: boolean;
  /**
   * An address on which only these pages are served, as `host:port` or `unix:` and a path, for example `127.0.0.1:9502`. Their
   * paths are `/metrics`, `/livez` and `/readyz` unless set. Default: none.
   */
  admin_server?: string;
}

/** The defaults of the settings. */
export const STATUS_DEFAULTS: Readonly<Required<StatusSettings>> = {
  metrics_path: "",
  livez_path: "",
  readyz_path: "",
  readyz_max_delay: 1,
  readyz_needs_broker: false,
  admin_server: "",
};

/** The valid values of the settings. */
export const STATUS_KINDS: Record<keyof StatusSettings, Kind> = {
  metrics_path: checkPath,
  livez_path: checkPath,
  readyz_path: checkPath,
  readyz_max_delay: "seconds",
  readyz_needs_broker: "boolean",
  admin_server: checkAddress,
};

function checkPath(key: string, value: unknown): void {
  if (typeof value !== "string") throw new TypeError(`Cannot set ${key}: a string is needed, not ${describe(value)}`);
  if (value === "" || /^\/[\x21-\x7e]*$/.test(value) && !/[?#]/.test(value)) return;
  throw new TypeError(`Cannot set ${key}: ${JSON.stringify(value)} is no path, such as "/${key.split("_")[0]}"`);
}

function checkAddress(key: string, value: unknown): void {
  if (typeof value !== "string") throw new TypeError(`Cannot set ${key}: a string is needed, not ${describe(value)}`);
  if (value !== "") readAddress(value);
}

/** An address to listen on. */
export interface AdminAddress {
  readonly transport: "tcp" | "unix";
  readonly hostname: string;
  readonly port: number;
}

/**
 * Reads the address of `admin_server`.
 *
 * @throws {TypeError} If it is none.
 * @throws {RangeError} If the port is out of range.
 */
export function readAddress(text: string): AdminAddress {
  if (text.startsWith("unix:") && text.length > 5) return { transport: "unix", hostname: text.slice(5), port: 0 };
  const [, bracketed, host, port] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/[\]]+)):([0-9]+)$/.exec(text) ?? [];
  if (port === undefined) {
    throw new TypeError(
      `Cannot set admin_server: ${
        JSON.stringify(text)
      } is no address, such as "127.0.0.1:9502", "[::1]:9502" or "unix:/run/a.sock"`,
    );
  }
  return { transport: "tcp", hostname: bracketed ?? host, port: portNumber(port, "set admin_server") };
}
