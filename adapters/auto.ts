/**
 * Selects the adapter of the current runtime. The other adapters are not loaded. Also finds out whether this process is a worker.
 *
 * @module
 */

import type { Runtime } from "../src/transport/runtime.ts";
import { setRuntimeLoader } from "../src/transport/current_runtime.ts";
import { useSyncZlib } from "../src/websocket/pack.ts";
import { findIdentity } from "./worker_identity.ts";
import { syncZlib } from "./zlib_sync.ts";

useSyncZlib(syncZlib);
findIdentity();

setRuntimeLoader(async (): Promise<Runtime> => {
  if ("Deno" in globalThis) return (await import("./deno.ts")).runtime;
  if ("Bun" in globalThis) return (await import("./bun.ts")).runtime;
  return (await import("./node.ts")).runtime;
});
