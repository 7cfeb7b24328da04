/**
 * Tests that need more of the machine than Node and npm.
 *
 * @module
 */

import process from "node:process";
import { test } from "node:test";
import { find, howToBring } from "../../tools/prerequisites.mjs";

/** What a test may need. */
export type Prerequisite = "chromium" | "firefox" | "websockets" | "aiohttp" | "openssl";

/** Whether something is there. */
export function isHere(name: Prerequisite): boolean {
  return find(name) !== undefined;
}

/** Where something is. */
export function pathOf(name: Prerequisite): string {
  const path = find(name);
  if (path === undefined) throw new Error(`There is no ${name}: ${howToBring(name)}`);
  return path;
}

/**
 * A test that is left out in plain sight where what it needs is missing. With `SLUICE_STRICT=1` it fails there.
 *
 * @param needed What it needs.
 * @param name Its name.
 * @param work What it does.
 * @param register How to register it; `test` unless given.
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
