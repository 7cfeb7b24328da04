/**
 * Tests with Python's websockets and aiohttp, which Debian has as python3-websockets and python3-aiohttp.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";

/** The Python that Debian installs packages for. */
export const PYTHON = "/usr/bin/python3";

/** A test that fails where the module is missing; `SLUICE_WITHOUT_PYTHON=1` leaves it out. */
export function testWithPython(
  name: string,
  work: () => Promise<void>,
  module: "websockets" | "aiohttp" = "websockets",
): void {
  if (process.env.SLUICE_WITHOUT_PYTHON === "1") return void test.skip(`${name} (LEFT OUT by SLUICE_WITHOUT_PYTHON)`, work);
  test(name, () => {
    if (spawnSync(PYTHON, ["-c", `import ${module}`]).status === 0) return work();
    throw new Error(
      `${PYTHON} has no ${module}: install python3-${module}, or leave these tests out with SLUICE_WITHOUT_PYTHON=1`,
    );
  });
}
