/**
 * Checks the host and the port that a program gives to a constructor or to `listen()`.
 *
 * @module
 */

import { describe } from "../setting_kinds.ts";

/**
 * Reads a port: a number, or its digits, as environment variables have them.
 *
 * @param what What cannot be done when it is wrong.
 * @throws {TypeError} If it is neither a number nor digits.
 * @throws {RangeError} If there is no such port.
 */
export function portNumber(port: unknown, what: string): number {
  const number = typeof port === "string" && /^[0-9]+$/.test(port) ? Number(port) : port;
  if (typeof number !== "number") {
    const given = typeof port === "string" ? JSON.stringify(port) : describe(port);
    throw new TypeError(`Cannot ${what}: the port has to be a number from 0 to 65535, not ${given}`);
  }
  if (!Number.isInteger(number) || number < 0 || number > 65535) {
    throw new RangeError(`Cannot ${what}: port ${port} is not in the range 0 to 65535`);
  }
  return number;
}

/**
 * Checks that a host is text.
 *
 * @param what What cannot be done when it is not.
 * @param call How it is done, for whoever gives options or a port in its place.
 * @throws {TypeError} If it is empty, or no string.
 */
export function checkHost(host: unknown, what: string, call: string): void {
  if (typeof host === "string") {
    if (host === "" || host === "unix:") throw new TypeError(`Cannot ${what}: the host is empty`);
    return;
  }
  const example = `${call}("127.0.0.1", ${typeof host === "number" ? host : 9501})`;
  const settings = typeof host === "object" && host !== null ? ", and settings go to set()" : "";
  throw new TypeError(`Cannot ${what}: the host has to be a string, not ${describe(host)}; write ${example}${settings}`);
}
