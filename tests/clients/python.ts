/**
 * Tests with Python's websockets, which Debian has as python3-websockets.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";

/** The Python that Debian installs packages for. */
export const PYTHON = "/usr/bin/python3";

/** A test that fails where websockets is missing; `SLUICE_WITHOUT_PYTHON=1` leaves it out. */
export function testWithPython(name: string, work: () => Promise<void>): void {
  if (process.env.SLUICE_WITHOUT_PYTHON === "1") return void test.skip(`${name} (LEFT OUT by SLUICE_WITHOUT_PYTHON)`, work);
  test(name, () => {
    if (spawnSync(PYTHON, ["-c", "import websockets"]).status === 0) return work();
    throw new Error(
      `${PYTHON} has no websockets: install python3-websockets, or leave these tests out with SLUICE_WITHOUT_PYTHON=1`,
    );
  });
}
