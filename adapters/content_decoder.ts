/**
 * Undoes Brotli with `node:zlib`, which all three runtimes have; the web's streams do not know it everywhere.
 *
 * @module
 */

import { createBrotliDecompress } from "node:zlib";

/** See `Runtime.decompressor()`. */
export function decompressor(_coding: "br"): ReadableWritablePair<Uint8Array, BufferSource> {
  const codec = createBrotliDecompress();
  const failed = new Promise<never>((_, reject) => codec.once("error", reject));
  failed.catch(() => {});
  let given = 0;
  const ended = new Promise<void>((resolve) => codec.once("end", resolve));
  return {
    // Nothing is asked of the codec before somebody reads: a few octets may become very many.
    readable: new ReadableStream<Uint8Array>({
      async pull(controller) {
        while (true) {
          const piece: Uint8Array | null = codec.read();
          if (piece !== null) return controller.enqueue(new Uint8Array(piece));
          if (codec.readableEnded) return controller.close();
          const readable = new Promise<void>((resolve) => codec.once("readable", resolve));
          await Promise.race([readable, ended, failed]);
        }
      },
      cancel() {
        codec.destroy();
      },
    }, { highWaterMark: 0 }),
    writable: new WritableStream<BufferSource>({
      write(piece) {
        given += piece.byteLength;
        return Promise.race([new Promise<void>((resolve) => codec.write(piece as Uint8Array, () => resolve())), failed]);
      },
      async close() {
        // Deno does not tell when a body is cut off. One that is whole takes no octet more.
        await Promise.race([new Promise<void>((resolve) => codec.end(Uint8Array.of(0), () => resolve())), failed]);
        if (codec.bytesWritten > given) throw new Error("Cannot decompress: the body is cut off");
      },
      abort() {
        codec.destroy();
      },
    }),
  };
}
