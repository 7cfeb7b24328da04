/**
 * What a program holds once its garbage is collected.
 *
 * @module
 */

import process from "node:process";
import { fileURLToPath } from "node:url";

/** Returns the command that runs a program in which `heldBytes()` works, in the runtime that runs the tests. */
export function commandWithGarbage(program: URL): string[] {
  const flags = "Deno" in globalThis ? ["run", "-A", "--v8-flags=--expose-gc"] : "Bun" in globalThis ? ["run"] : ["--expose-gc"];
  return [process.execPath, ...flags, fileURLToPath(program)];
}

/** Collects the garbage. Returns the number of bytes that are still held. */
export async function heldBytes(): Promise<number> {
  const { gc, Bun } = globalThis as unknown as { gc?: () => void; Bun?: { gc(force: boolean): void } };
  for (let i = 0; i < 5; i++) {
    if (Bun === undefined) gc!();
    else Bun.gc(true);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, external } = process.memoryUsage();
  // In Bun the memory of typed arrays is part of the heap; elsewhere it is not.
  return heapUsed + (Bun === undefined ? external : 0);
}
