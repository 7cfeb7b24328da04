/**
 * Undoes content codings with `node:zlib`, which does the same in all three runtimes. The web's streams do not know Brotli everywhere,
 * and differ in what they make of a gzip body of several members.
 *
 * @module
 */

import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from "node:zlib";

const CODECS = { br: createBrotliDecompress, gzip: createGunzip, deflate: createInflate, "deflate-raw": createInflateRaw };

/** See `Runtime.decompressor()`. */
export function decompressor(coding: "br" | "gzip" | "deflate" | "deflate-raw"): ReadableWritablePair<Uint8Array, BufferSource> {
  const codec = CODECS[coding]();
  const failed = new Promise<never>((_, reject) => codec.once("error", reject));
  failed.catch(() => {});
  let given = 0;
  const ended = new Promise<void>((resolve) => codec.once("end", resolve));
  const closed = new Promise<void>((resolve) => codec.once("close", resolve)); // also when nobody reads to the end
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
        return Promise.race([new Promise<void>((resolve) => codec.write(piece as Uint8Array, () => resolve())), failed, closed]);
      },
      async close() {
        // Deno does not tell when a Brotli body is cut off. One that is whole takes no byte more.
        const more = new Uint8Array(coding === "br" ? 1 : 0);
        await Promise.race([new Promise<void>((resolve) => codec.end(more, () => resolve())), failed, closed]);
        if (coding !== "br") await Promise.race([failed, ended, closed]);
        if (codec.bytesWritten > given) throw new Error("Cannot decompress: the body is cut off");
        // gzip looks at what is behind the end itself: another member is more of the body.
        if (coding !== "gzip" && codec.bytesWritten < given) throw new Error("Cannot decompress: there is more behind the body");
      },
      abort() {
        codec.destroy();
      },
    }),
  };
}
