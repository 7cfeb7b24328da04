/**
 * Compresses the bodies of answers with `node:zlib`, which all three runtimes have, at once.
 *
 * @module
 */

import { constants, createDeflate, createGzip } from "node:zlib";
import { joinBytes } from "../src/bytes.ts";
import type { ContentCoding, ContentEncoder } from "../src/http/content_coding.ts";
import { Codec, codecWorks, NO_MEMORY } from "./zlib.ts";

const FLUSH = { more: constants.Z_NO_FLUSH, flush: constants.Z_SYNC_FLUSH, end: constants.Z_FINISH };

const OUTPUT_SIZE = 64 * 1024;
let output: Uint8Array | undefined;

/** One zlib stream, driven at once. */
class Encoder implements ContentEncoder {
  readonly #codec: Codec;
  readonly #shared: boolean;

  constructor(codec: Codec, shared: boolean) {
    this.#codec = codec;
    this.#shared = shared;
  }

  write(piece: Uint8Array, then: "more" | "flush" | "end"): Uint8Array {
    const memory = output ??= new Uint8Array(OUTPUT_SIZE);
    const parts: Uint8Array[] = [];
    for (let at = 0;;) {
      this.#codec.write(FLUSH[then], piece, at, piece.length, memory, 0, OUTPUT_SIZE);
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
  if (!codecWorks()) return undefined;
  const make = () => new Codec((coding === "gzip" ? createGzip : createDeflate)({ level, ...NO_MEMORY }));
  if (!whole) return new Encoder(make(), false);
  const key = coding + level;
  let one = shared.get(key);
  if (one === undefined) shared.set(key, one = new Encoder(make(), true));
  return one;
}
