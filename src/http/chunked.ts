/**
 * The chunked transfer coding (RFC 9112 section 7.1).
 *
 * @module
 */

import { HttpFailure, isTokenByte, isValueByte } from "./request_head.ts";

const MAX_SIZE_DIGITS = 8;

/** The largest size in bytes of the extensions and trailers of one body. */
const MAX_EXTRA = 16 * 1024;

const SIZE = 0;
const SIZE_LF = 1;
const DATA = 2;
const DATA_CR = 3;
const DATA_LF = 4;
const TRAILER_START = 5;
const TRAILER_LF = 6;
const END_LF = 7;
// In the states from here on, bytes count towards MAX_EXTRA.
const NAME_START = 8;
const NAME = 9;
const NAME_END = 10;
const VALUE_START = 11;
const VALUE = 12;
const QUOTED = 13;
const QUOTED_PAIR = 14;
const VALUE_END = 15;
const TRAILER_NAME = 16;
const TRAILER_VALUE = 17;

const CR = 0x0d;
const LF = 0x0a;

/**
 * A decoder for a chunked body, in any number of pieces. Extensions and trailers are checked and counted, and dropped unless the
 * trailers are requested: a parser that skips text it does not understand can be made to see other chunks than the proxy in front
 * of it.
 */
export class ChunkedDecoder {
  #state = SIZE;
  #digits = 0;
  #left = 0;
  #extra = 0;

  /** Whether the end of the body has been read. */
  done = false;
  /** The trailer fields as Latin-1, each with its CRLF, if they are kept. */
  trailer = "";
  readonly #keepsTrailer: boolean;

  /** @param keepsTrailer Whether to keep the trailer fields in `trailer`. */
  constructor(keepsTrailer = false) {
    this.#keepsTrailer = keepsTrailer;
  }

  /**
   * Decodes the next bytes.
   *
   * @param chunk The memory that contains the bytes.
   * @param at The index of the first byte.
   * @param onData Called with the range of each piece of the body. It returns `false` to stop, for example because the body is
   * too large.
   * @returns The index of the first byte after the body, or the reason for refusing the body.
   */
  receive(chunk: Uint8Array, at: number, onData: (start: number, end: number) => boolean): number | HttpFailure {
    const end = chunk.length;
    while (at < end && !this.done) {
      if (this.#state === DATA) {
        const count = Math.min(this.#left, end - at);
        if (!onData(at, at + count)) return at;
        at += count;
        this.#left -= count;
        if (this.#left === 0) this.#state = DATA_CR;
        continue;
      }
      const state = this.#state;
      if (state >= NAME_START && ++this.#extra > MAX_EXTRA) return new HttpFailure(431, "there is too much beside the chunks");
      const byte = chunk[at++];
      const next = state >= TRAILER_NAME
        ? nextOfTrailer(state, byte)
        : state >= NAME_START
        ? nextOfExtension(state, byte)
        : this.#next(byte);
      if (next < 0) return new HttpFailure(400, "the chunked body is malformed");
      if (this.#keepsTrailer && (next >= TRAILER_NAME || next === TRAILER_LF || state === TRAILER_LF)) {
        this.trailer += String.fromCharCode(byte);
      }
      this.#state = next;
    }
    return at;
  }

  /** Returns the state after a byte of the framing around the chunks; -1 if the byte is not allowed. */
  #next(byte: number): number {
    switch (this.#state) {
      case SIZE: {
        const digit = hexDigit(byte);
        if (digit < 0) return this.#digits === 0 ? -1 : byte === CR ? SIZE_LF : byte === 0x3b ? NAME_START : -1;
        if (++this.#digits > MAX_SIZE_DIGITS) return -1;
        this.#left = this.#left * 16 + digit;
        return SIZE;
      }
      case SIZE_LF:
        this.#digits = 0;
        return byte !== LF ? -1 : this.#left > 0 ? DATA : TRAILER_START;
      case DATA_CR:
        return byte === CR ? DATA_LF : -1;
      case DATA_LF:
        return byte === LF ? SIZE : -1;
      case TRAILER_START:
        return byte === CR ? END_LF : isTokenByte(byte) ? TRAILER_NAME : -1;
      case TRAILER_LF:
        return byte === LF ? TRAILER_START : -1;
      default: // END_LF
        this.done = byte === LF;
        return this.done ? END_LF : -1;
    }
  }
}

/**
 * Returns the next state in an extension (section 7.1.1): `;name`, `;name=value` or `;name="value"`. Spaces around the signs are
 * allowed for the sake of old programs.
 */
function nextOfExtension(state: number, byte: number): number {
  const isBlank = byte === 0x20 || byte === 0x09;
  switch (state) {
    case NAME_START:
      return isTokenByte(byte) ? NAME : isBlank ? state : -1;
    case NAME:
    case NAME_END:
      if (isBlank) return NAME_END;
      if (state === NAME && isTokenByte(byte)) return NAME;
      return byte === CR ? SIZE_LF : byte === 0x3d ? VALUE_START : byte === 0x3b ? NAME_START : -1;
    case VALUE_START:
      return isTokenByte(byte) ? VALUE : byte === 0x22 ? QUOTED : isBlank ? state : -1;
    case QUOTED:
      return byte === 0x22 ? VALUE_END : byte === 0x5c ? QUOTED_PAIR : isValueByte(byte) ? QUOTED : -1;
    case QUOTED_PAIR:
      return isValueByte(byte) ? QUOTED : -1;
    default: // VALUE, VALUE_END
      if (isBlank) return VALUE_END;
      if (state === VALUE && isTokenByte(byte)) return VALUE;
      return byte === CR ? SIZE_LF : byte === 0x3b ? NAME_START : -1;
  }
}

/** Returns the next state in a trailer, which has the grammar of header fields (section 7.1.2). */
function nextOfTrailer(state: number, byte: number): number {
  if (state === TRAILER_NAME) return isTokenByte(byte) ? state : byte === 0x3a ? TRAILER_VALUE : -1;
  return byte === CR ? TRAILER_LF : isValueByte(byte) ? state : -1;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  byte |= 0x20;
  return byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : -1;
}
