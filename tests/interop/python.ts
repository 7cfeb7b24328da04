/**
 * Tests with Python's websockets and aiohttp, which Debian has as python3-websockets and python3-aiohttp.
 *
 * @module
 */

import { find } from "../../tools/prerequisites.mjs";
import { testWith } from "../support/prerequisites.ts";

/** The Python that has websockets. */
export const PYTHON: string = find("websockets") ?? "python3";

/** The Python that has aiohttp. */
export const PYTHON_WITH_AIOHTTP: string = find("aiohttp") ?? "python3";

/** A test that needs a module of Python; where it is missing the test is left out, and says so. */
export function testWithPython(
  name: string,
  work: () => Promise<void>,
  module: "websockets" | "aiohttp" = "websockets",
): void {
  testWith(module, name, work);
}
