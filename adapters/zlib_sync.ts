/**
 * The functions of `node:zlib` for `pack()` and `unpack()`, which do not wait: in all three runtimes, `process.getBuiltinModule()`
 * returns the module without an import, which would fail where there is none.
 *
 * @module
 */

import type { SyncZlib } from "../src/transport/codecs.ts";

/** The part of `process` that is used here. */
interface BuiltinModules {
  getBuiltinModule?(id: "node:zlib"): typeof import("node:zlib") | undefined;
}

let functions: SyncZlib | undefined;

/** Returns the functions of `node:zlib`, if the runtime has it. The module is loaded by the first call. */
export function syncZlib(): SyncZlib | undefined {
  return functions ??= load();
}

function load(): SyncZlib | undefined {
  const { process } = globalThis as { process?: BuiltinModules };
  const zlib = process?.getBuiltinModule?.("node:zlib");
  if (zlib === undefined) return undefined;
  const finishFlush = zlib.constants.Z_SYNC_FLUSH;
  return {
    // Copies, because the buffers of Node may be part of a larger memory.
    deflate: (message) => new Uint8Array(zlib.deflateRawSync(message, { finishFlush })),
    inflate(blocks, size) {
      const room = Math.max(size, 64); // the minimum
      try {
        const message = zlib.inflateRawSync(blocks, { finishFlush, chunkSize: room, maxOutputLength: room });
        return message.length === size ? new Uint8Array(message) : undefined;
      } catch {
        return undefined;
      }
    },
  };
}
