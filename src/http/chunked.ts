/**
 * The chunked transfer coding (RFC 9112 section 7.1).
 *
 * @module
 */

import { HttpFailure } from "./head.ts";

const MAX_SIZE_DIGITS = 8;
const MAX_LINE = 4096;

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER_START = 6;
const TRAILER = 7;
const TRAILER_LF = 8;
const END_LF = 9;

/** Takes a chunked body apart, in whatever pieces it arrives. Extensions and trailers are checked, counted and dropped. */
export class ChunkedDecoder {
  #state = SIZE;
  #digits = 0;
  #left = 0;
  #line = 0;

  /** Whether the end of the body was read. */
  done = false;

  /**
   * Takes the next octets.
   *
   * @param chunk Where they are.
   * @param at Index of the first one.
   * @param onData Called with the range of each piece of the body; it returns `false` to stop, for example because the body is too large.
   * @returns The index of the first octet that does not belong to the body, or why the body is refused.
   */
  receive(chunk: Uint8Array, at: number, onData: (start: number, end: number) => boolean): number | HttpFailure {
    const end = chunk.length;
    while (at < end && !this.done) {
      const octet = chunk[at];
      switch (this.#state) {
        case SIZE: {
          const digit = hexDigit(octet);
          if (digit >= 0) {
            if (++this.#digits > MAX_SIZE_DIGITS) return new HttpFailure(400, "a chunk size is too long");
            this.#left = this.#left * 16 + digit;
          } else {
            if (this.#digits === 0) return new HttpFailure(400, "a chunk size is missing");
            if (octet === 0x0d) this.#state = SIZE_LF;
            else if (octet === 0x3b) this.#state = EXTENSION;
            else return new HttpFailure(400, "a chunk size is malformed");
          }
          break;
        }
        case EXTENSION: // section 7.1.1: unknown extensions are ignored
          if (octet === 0x0d) this.#state = SIZE_LF;
          else if (octet === 0x0a || ++this.#line > MAX_LINE) return new HttpFailure(400, "a chunk extension is malformed");
          break;
        case SIZE_LF:
          if (octet !== 0x0a) return new HttpFailure(400, "a chunk size does not end in CRLF");
          this.#digits = this.#line = 0;
          this.#state = this.#left > 0 ? DATA : TRAILER_START;
          break;
        case DATA: {
          const count = Math.min(this.#left, end - at);
          if (!onData(at, at + count)) return at;
          at += count;
          this.#left -= count;
          if (this.#left === 0) this.#state = DATA_CR;
          continue;
        }
        case DATA_CR:
          if (octet !== 0x0d) return new HttpFailure(400, "a chunk does not end in CRLF");
          this.#state = DATA_LF;
          break;
        case DATA_LF:
          if (octet !== 0x0a) return new HttpFailure(400, "a chunk does not end in CRLF");
          this.#state = SIZE;
          break;
        case TRAILER_START:
          this.#state = octet === 0x0d ? END_LF : TRAILER;
          if (this.#state === TRAILER) continue;
          break;
        case TRAILER:
          if (octet === 0x0d) this.#state = TRAILER_LF;
          else if (octet === 0x0a || ++this.#line > MAX_LINE) return new HttpFailure(400, "a trailer is malformed");
          break;
        case TRAILER_LF:
          if (octet !== 0x0a) return new HttpFailure(400, "a trailer does not end in CRLF");
          this.#state = TRAILER_START;
          break;
        case END_LF:
          if (octet !== 0x0a) return new HttpFailure(400, "the last chunk does not end in CRLF");
          this.done = true;
          break;
      }
      at++;
    }
    return at;
  }
}

function hexDigit(octet: number): number {
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  octet |= 0x20;
  return octet >= 0x61 && octet <= 0x66 ? octet - 0x57 : -1;
}
