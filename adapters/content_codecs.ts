/**
 * Content codings with `node:zlib`, which all three runtimes have. Bodies are encoded synchronously. They are decoded as a stream,
 * because the web's streams do not support Brotli everywhere, and differ for gzip bodies of several members.
 *
 * @module
 */

import {
  brotliDecompressSync,
  constants,
  createBrotliCompress,
  createBrotliDecompress,
  createDeflate,
  createGunzip,
  createGzip,
  createInflate,
  createInflateRaw,
} from "node:zlib";
import { joinBytes } from "../src/transport/bytes.ts";
import type { ContentCoding, ContentEncoder } from "../src/transport/codecs.ts";
import type { BytePipe } from "../src/transport/runtime.ts";
import { Codec, codecWorks, NO_MEMORY, TRIAL } from "./zlib.ts";

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

/** Brotli's windows, in bits: 4 MiB, its default, and 256 KiB for streams, because there may be many. */
const BROTLI_WINDOW = 22;
const BROTLI_STREAM_WINDOW = 18;

const OUTPUT_SIZE = 64 * 1024;
let output: Uint8Array | undefined;

/** A stream of `node:zlib`, driven synchronously. */
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
      at = piece.length - inputLeft; // there may be more output
    }
  }

  close(): void {
    if (this.#shared) this.#codec.reset();
    else this.#codec.close();
  }
}

/** Encoders by coding and level, for bodies that come as a whole, so that nothing else is compressed in between. */
const shared: Map<string, Encoder> = new Map();

/** Implements `Runtime.encoder()`. */
export function encoder(coding: ContentCoding, level: number, whole: boolean): ContentEncoder | undefined {
  // One for each body: Brotli's handles forget their level when reset, and in Deno they do not start anew.
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

/** Reports whether the handle of a Brotli stream works as expected, as `codecWorks()`. Checked once. */
function brotliWorks(): boolean {
  return works ??= codecWorks() && tryBrotli();
}

function tryBrotli(): boolean {
  try {
    const coder = brotli(1, BROTLI_STREAM_WINDOW);
    const parts = [coder.write(TRIAL, "flush"), coder.write(TRIAL, "end")];
    coder.close();
    return brotliDecompressSync(joinBytes(parts)).length === 2 * TRIAL.length && parts[0].length > 0;
  } catch {
    return false;
  }
}

const CODECS = { br: createBrotliDecompress, gzip: createGunzip, deflate: createInflate, "deflate-raw": createInflateRaw };

/** Implements `Runtime.decompressor()`. */
export function decompressor(coding: "br" | "gzip" | "deflate" | "deflate-raw"): Pick<BytePipe, "readable" | "writable"> {
  const codec = CODECS[coding]();
  let given = 0;
  let failure: { readonly error: unknown } | undefined;
  let isClosed = false; // also if the body is not read to the end
  // One promise for whatever happens next. A promise for each thing that may happen once, such as a failure, would hold all that
  // ever waited for it, for as long as the body lasts.
  let wake = () => {};
  let next: Promise<void>;
  const happened = () => {
    wake();
    next = new Promise((resolve) => wake = resolve);
  };
  happened();
  /** Waits until something is so, or never will be because the codec is closed. Throws if it has failed before. */
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) {
      if (failure !== undefined) throw failure.error;
      if (isClosed) return;
      await next;
    }
  };
  codec.on("readable", happened).on("end", happened);
  codec.on("error", (error) => {
    failure ??= { error };
    happened();
  });
  codec.on("close", () => {
    isClosed = true;
    happened();
  });
  /** Waits until the codec has taken what it is given. */
  const taken = async (give: (onTaken: () => void) => void): Promise<void> => {
    let isTaken = false;
    give(() => {
      isTaken = true;
      happened();
    });
    await until(() => isTaken);
  };
  return {
    // Decodes only on demand: a few bytes may expand to very many.
    readable: new ReadableStream<Uint8Array>({
      pull: (controller) =>
        until(() => {
          const piece: Uint8Array | null = codec.read();
          if (piece !== null) controller.enqueue(new Uint8Array(piece));
          else if (codec.readableEnded) controller.close();
          return piece !== null || codec.readableEnded;
        }),
      cancel() {
        codec.destroy();
      },
    }, { highWaterMark: 0 }),
    writable: new WritableStream<Uint8Array>({
      write(piece) {
        given += piece.byteLength;
        return taken((onTaken) => codec.write(piece, onTaken));
      },
      async close() {
        // Deno does not report a truncated Brotli body. A complete one does not consume another byte.
        const more = new Uint8Array(coding === "br" ? 1 : 0);
        await taken((onTaken) => codec.end(more, onTaken));
        if (coding !== "br") await until(() => codec.readableEnded);
        if (codec.bytesWritten > given) throw new Error("Cannot decompress: the body is cut off");
        // gzip handles bytes after the end itself: another member continues the body.
        if (coding !== "gzip" && codec.bytesWritten < given) throw new Error("Cannot decompress: there is more behind the body");
      },
      abort() {
        codec.destroy();
      },
    }),
  };
}
