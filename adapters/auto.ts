/**
 * Finds the adapter of the runtime that the program is in. Nothing of another runtime is loaded.
 *
 * @module
 */

import { type Runtime, setRuntimeLoader } from "../src/runtime.ts";

setRuntimeLoader(async (): Promise<Runtime> => {
  if ("Deno" in globalThis) return (await import("./deno.ts")).runtime;
  if ("Bun" in globalThis) return (await import("./bun.ts")).runtime;
  return (await import("./node.ts")).runtime;
});
