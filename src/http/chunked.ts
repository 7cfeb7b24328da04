/**
 * The chunked transfer coding (RFC 9112 section 7.1).
 *
 * @module
 */

import { HttpFailure, isTokenOctet, isValueOctet } from "./head.ts";

const MAX_SIZE_DIGITS = 8;

/** The most octets of extensions and trailers in one body. */
const MAX_EXTRA = 16 * 1024;

const SIZE = 0;
const SIZE_LF = 1;
const DATA = 2;
const DATA_CR = 3;
const DATA_LF = 4;
const TRAILER_START = 5;
const TRAILER_LF = 6;
const END_LF = 7;
// From here on octets count as extra.
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
 * Takes a chunked body apart, in whatever pieces it arrives. Extensions and trailers are checked and counted, and dropped unless
 * somebody wants the trailers: a parser that skips over what it does not understand can be made to see other chunks than the proxy in front of it.
 */
export class ChunkedDecoder {
  #state = SIZE;
  #digits = 0;
  #left = 0;
  #extra = 0;

  /** Whether the end of the body was read. */
  done = false;
  /** The trailer fields as Latin-1, each with its CRLF, if they are kept. */
  trailer = "";
  readonly #keepsTrailer: boolean;

  /** @param keepsTrailer Whether `trailer` is to have the trailer fields. */
  constructor(keepsTrailer = false) {
    this.#keepsTrailer = keepsTrailer;
  }

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
      const octet = chunk[at++];
      const next = state >= TRAILER_NAME
        ? nextOfTrailer(state, octet)
        : state >= NAME_START
        ? nextOfExtension(state, octet)
        : this.#next(octet);
      if (next < 0) return new HttpFailure(400, "the chunked body is malformed");
      if (this.#keepsTrailer && (next >= TRAILER_NAME || next === TRAILER_LF || state === TRAILER_LF)) {
        this.trailer += String.fromCharCode(octet);
      }
      this.#state = next;
    }
    return at;
  }

  /** The state behind an octet of the frame around the chunks; -1 for one that may not be there. */
  #next(octet: number): number {
    switch (this.#state) {
      case SIZE: {
        const digit = hexDigit(octet);
        if (digit < 0) return this.#digits === 0 ? -1 : octet === CR ? SIZE_LF : octet === 0x3b ? NAME_START : -1;
        if (++this.#digits > MAX_SIZE_DIGITS) return -1;
        this.#left = this.#left * 16 + digit;
        return SIZE;
      }
      case SIZE_LF:
        this.#digits = 0;
        return octet !== LF ? -1 : this.#left > 0 ? DATA : TRAILER_START;
      case DATA_CR:
        return octet === CR ? DATA_LF : -1;
      case DATA_LF:
        return octet === LF ? SIZE : -1;
      case TRAILER_START:
        return octet === CR ? END_LF : isTokenOctet(octet) ? TRAILER_NAME : -1;
      case TRAILER_LF:
        return octet === LF ? TRAILER_START : -1;
      default: // END_LF
        this.done = octet === LF;
        return this.done ? END_LF : -1;
    }
  }
}

/** Section 7.1.1: `;name`, `;name=value` or `;name="value"`, with blanks around the signs for the sake of old programs. */
function nextOfExtension(state: number, octet: number): number {
  const isBlank = octet === 0x20 || octet === 0x09;
  switch (state) {
    case NAME_START:
      return isTokenOctet(octet) ? NAME : isBlank ? state : -1;
    case NAME:
    case NAME_END:
      if (isBlank) return NAME_END;
      if (state === NAME && isTokenOctet(octet)) return NAME;
      return octet === CR ? SIZE_LF : octet === 0x3d ? VALUE_START : octet === 0x3b ? NAME_START : -1;
    case VALUE_START:
      return isTokenOctet(octet) ? VALUE : octet === 0x22 ? QUOTED : isBlank ? state : -1;
    case QUOTED:
      return octet === 0x22 ? VALUE_END : octet === 0x5c ? QUOTED_PAIR : isValueOctet(octet) ? QUOTED : -1;
    case QUOTED_PAIR:
      return isValueOctet(octet) ? QUOTED : -1;
    default: // VALUE, VALUE_END
      if (isBlank) return VALUE_END;
      if (state === VALUE && isTokenOctet(octet)) return VALUE;
      return octet === CR ? SIZE_LF : octet === 0x3b ? NAME_START : -1;
  }
}

/** Section 7.1.2: the grammar of header fields. */
function nextOfTrailer(state: number, octet: number): number {
  if (state === TRAILER_NAME) return isTokenOctet(octet) ? state : octet === 0x3a ? TRAILER_VALUE : -1;
  return octet === CR ? TRAILER_LF : isValueOctet(octet) ? state : -1;
}

function hexDigit(octet: number): number {
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  octet |= 0x20;
  return octet >= 0x61 && octet <= 0x66 ? octet - 0x57 : -1;
}
