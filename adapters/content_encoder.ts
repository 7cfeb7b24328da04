/**
 * Compresses the bodies of answers with `node:zlib`, which all three runtimes have, at once.
 *
 * @module
 */

import { brotliDecompressSync, constants, createBrotliCompress, createDeflate, createGzip } from "node:zlib";
import { joinBytes } from "../src/bytes.ts";
import type { ContentCoding, ContentEncoder } from "../src/http/content_coding.ts";
import { Codec, codecWorks, NO_MEMORY } from "./zlib.ts";

const {
  BROTLI_OPERATION_FINISH,
  BROTLI_OPERATION_FLUSH,
  BROTLI_OPERATION_PROCESS,
  BROTLI_PARAM_LGWIN,
  BROTLI_PARAM_QUALITY,
  Z_FINISH,
  Z_NO_FLUSH,
  Z_SYNC_FLUSH,
} = constants;

const ZLIB_FLUSH = { more: Z_NO_FLUSH, flush: Z_SYNC_FLUSH, end: Z_FINISH };
const BROTLI_FLUSH = { more: BROTLI_OPERATION_PROCESS, flush: BROTLI_OPERATION_FLUSH, end: BROTLI_OPERATION_FINISH };

/** How far back brotli refers to, in bits: 4 MiB, its default, and for streams, of which there may be many, 256 KiB. */
const BROTLI_WINDOW = 22;
const BROTLI_STREAM_WINDOW = 18;

const OUTPUT_SIZE = 64 * 1024;
let output: Uint8Array | undefined;

/** One stream of `node:zlib`, driven at once. */
class Encoder implements ContentEncoder {
  readonly #codec: Codec;
  readonly #flush: typeof ZLIB_FLUSH;
  readonly #shared: boolean;

  constructor(codec: Codec, flush: typeof ZLIB_FLUSH, shared: boolean) {
    this.#codec = codec;
    this.#flush = flush;
    this.#shared = shared;
  }

  write(piece: Uint8Array, then: "more" | "flush" | "end"): Uint8Array {
    const memory = output ??= new Uint8Array(OUTPUT_SIZE);
    const parts: Uint8Array[] = [];
    for (let at = 0;;) {
      this.#codec.write(this.#flush[then], piece, at, piece.length, memory, 0, OUTPUT_SIZE);
      const { outputLeft, inputLeft } = this.#codec;
      parts.push(memory.slice(0, OUTPUT_SIZE - outputLeft));
      if (outputLeft > 0) return parts.length === 1 ? parts[0] : joinBytes(parts);
      at = piece.length - inputLeft; // there may be more
    }
  }

  close(): void {
    if (this.#shared) this.#codec.reset();
    else this.#codec.close();
  }
}

/** One for each coding and level, for bodies that come whole: nothing else comes in between. */
const shared: Map<string, Encoder> = new Map();

/** See `Runtime.encoder()`. */
export function encoder(coding: ContentCoding, level: number, whole: boolean): ContentEncoder | undefined {
  // One for each body: brotli's handles forget their level when they are reset, and Deno's do not start anew.
  if (coding === "br") return brotliWorks() ? brotli(level, whole ? BROTLI_WINDOW : BROTLI_STREAM_WINDOW) : undefined;
  if (!codecWorks()) return undefined;
  const make = () => new Codec((coding === "gzip" ? createGzip : createDeflate)({ level, ...NO_MEMORY }));
  if (!whole) return new Encoder(make(), ZLIB_FLUSH, false);
  const key = coding + level;
  let one = shared.get(key);
  if (one === undefined) shared.set(key, one = new Encoder(make(), ZLIB_FLUSH, true));
  return one;
}

function brotli(level: number, window: number): Encoder {
  const params = { [BROTLI_PARAM_QUALITY]: level, [BROTLI_PARAM_LGWIN]: window };
  return new Encoder(new Codec(createBrotliCompress({ params, ...NO_MEMORY })), BROTLI_FLUSH, false);
}

let works: boolean | undefined;

/** Whether a brotli stream's handle does what it should, as `codecWorks()`; found out once. */
function brotliWorks(): boolean {
  return works ??= codecWorks() && tryBrotli();
}

function tryBrotli(): boolean {
  try {
    const message = new TextEncoder().encode("one message, and then the same message");
    const coder = brotli(1, BROTLI_STREAM_WINDOW);
    const parts = [coder.write(message, "flush"), coder.write(message, "end")];
    coder.close();
    return brotliDecompressSync(joinBytes(parts)).length === 2 * message.length && parts[0].length > 0;
  } catch {
    return false;
  }
}
