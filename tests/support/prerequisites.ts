/**
 * Tests that need more software than Node and npm.
 *
 * @module
 */

import process from "node:process";
import { test } from "node:test";
import { find, howToBring } from "../../tools/prerequisites.mjs";

/** The software that a test may need. */
export type Prerequisite =
  | "chromium"
  | "firefox"
  | "websockets"
  | "aiohttp"
  | "prometheus_client"
  | "openssl"
  | "nginx"
  | "nginx-stream"
  | "haproxy"
  | "caddy"
  | "redis"
  | "systemd-analyze";

/** Reports whether a prerequisite is installed. */
export function isHere(name: Prerequisite): boolean {
  return find(name) !== undefined;
}

/** Returns the path of a prerequisite. */
export function pathOf(name: Prerequisite): string {
  const path = find(name);
  if (path === undefined) throw new Error(`There is no ${name}: ${howToBring(name)}`);
  return path;
}

/**
 * Registers a test that is reported as skipped if its prerequisite is missing. With `SLUICE_STRICT=1` it fails instead.
 *
 * @param needed The prerequisite.
 * @param name The name of the test.
 * @param work The body of the test.
 * @param register The function that registers the test; `test` by default.
 */
export function testWith(
  needed: Prerequisite,
  name: string,
  work: () => Promise<void>,
  register: (name: string, work: () => Promise<void>) => void = (name, work) => void test(name, work),
): void {
  if (isHere(needed)) return register(name, work);
  if (process.env.SLUICE_STRICT === "1") return void test(name, () => void pathOf(needed));
  test.skip(`${name} (LEFT OUT: there is no ${needed})`, () => {});
}
