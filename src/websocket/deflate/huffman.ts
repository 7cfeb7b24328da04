/**
 * The Huffman codes of DEFLATE (RFC 1951 section 3.2) as tables that tell how much a code produces, not what.
 *
 * @module
 */

// An entry says what to do when a code has been recognised:
//   bits 0-3    length of the code, 1 to 15 bits; entries without a code have 0
//   bits 4-7    how many extra bits follow it
//   bits 8-23   what it stands for: octets produced, or the base of a length or a distance, or a symbol
//   bits 24-26  what it is
/** The extra bits of an entry. */
export const EXTRA_SHIFT = 4;
/** What an entry stands for. */
export const VALUE_SHIFT = 8;
/** Mask for what an entry stands for, after the shift. */
export const VALUE_MASK = 0xffff;
/** Entries below are literals. */
export const LENGTH: number = 1 << 24;
/** The end of a block. */
export const END: number = 2 << 24;
/** Symbols that have a code but may not occur, and bits that are no code. */
export const INVALID: number = 4 << 24;

/** Codes up to this length are found with one look into a table, longer ones bit by bit. That bounds what a table costs. */
const ROOT_BITS = 10;
const MAX_BITS = 15;

const REVERSED = new Uint16Array(1 << ROOT_BITS);
for (let i = 1; i < REVERSED.length; i++) REVERSED[i] = (REVERSED[i >> 1] >> 1) | ((i & 1) << (ROOT_BITS - 1));

const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5];

/** What the literal and length symbols 0 to 287 stand for (section 3.2.5). */
export const LITERALS: Int32Array = new Int32Array(288).fill(INVALID);
LITERALS.fill(1 << VALUE_SHIFT, 0, 256);
LITERALS[256] = END;
LENGTH_EXTRA.reduce((base, extra, i) => {
  LITERALS[257 + i] = LENGTH | base << VALUE_SHIFT | extra << EXTRA_SHIFT;
  return base + (1 << extra);
}, 3);
LITERALS[285] = LENGTH | 258 << VALUE_SHIFT;

/** What the distance symbols 0 to 31 stand for. */
export const DISTANCES: Int32Array = new Int32Array(32).fill(INVALID);
for (let i = 0, base = 1; i < 30; i++) {
  const extra = i < 4 ? 0 : (i >> 1) - 1;
  DISTANCES[i] = base << VALUE_SHIFT | extra << EXTRA_SHIFT;
  base += 1 << extra;
}

/** The symbols of the code that the lengths of the other codes are written in (section 3.2.7). */
export const CODE_LENGTHS: Int32Array = Int32Array.from({ length: 19 }, (_, i) => i << VALUE_SHIFT);

/** One code. Its memory is used again for the next code. */
export class HuffmanCode {
  /** Entries by the next bits of the input. Those of codes above 10 bits are 0. */
  readonly table: Int32Array = new Int32Array(1 << ROOT_BITS);
  /** Mask for the bits that the table is for. */
  mask = 0;
  readonly #entries: Int32Array;
  /** How many codes there are of each length. */
  readonly #count = new Uint16Array(MAX_BITS + 1);
  readonly #next = new Uint16Array(MAX_BITS + 1);
  /** Symbols in the order of their codes. */
  readonly #sorted: Uint16Array;
  readonly #offset = new Uint16Array(MAX_BITS + 2);

  /** @param entries What the symbols stand for. */
  constructor(entries: Int32Array) {
    this.#entries = entries;
    this.#sorted = new Uint16Array(entries.length);
  }

  /**
   * Takes the lengths of a code's symbols, as zlib does: a code has to be complete, but for one that has a single symbol of one
   * bit, or none.
   *
   * @param lengths Lengths, 0 to 15; 0: the symbol does not occur.
   * @param start Where the first symbol's is.
   * @param end Where they end.
   * @param mayBeIncomplete `false` for the code of the code lengths, which has no exceptions.
   * @returns Whether the lengths make a code.
   */
  set(lengths: Uint8Array, start: number, end: number, mayBeIncomplete: boolean): boolean {
    const count = this.#count, offset = this.#offset, next = this.#next, sorted = this.#sorted, table = this.table;
    for (let bits = 0; bits <= MAX_BITS; bits++) count[bits] = 0;
    for (let i = start; i < end; i++) count[lengths[i]]++;
    count[0] = 0;
    offset[1] = 0;
    let longest = MAX_BITS;
    while (longest > 0 && count[longest] === 0) longest--;
    let left = 1;
    for (let bits = 1, code = 0; bits <= MAX_BITS; bits++) {
      left = (left << 1) - count[bits];
      if (left < 0) return false;
      code = (code + count[bits - 1]) << 1;
      next[bits] = code;
      offset[bits + 1] = offset[bits] + count[bits];
    }
    if (left > 0 && (!mayBeIncomplete || longest > 1)) return false;

    const root = Math.max(1, Math.min(longest, ROOT_BITS));
    const size = 1 << root;
    this.mask = size - 1;
    if (left > 0 || longest > root) table.fill(0, 0, size);
    for (let i = start; i < end; i++) {
      const bits = lengths[i];
      if (bits === 0) continue;
      sorted[offset[bits]++] = i - start;
      if (bits > root) continue;
      const entry = this.#entries[i - start] | bits;
      for (let at = REVERSED[next[bits]++] >> (ROOT_BITS - bits), step = 1 << bits; at < size; at += step) table[at] = entry;
    }
    return true;
  }

  /**
   * Finds a code that is not in the table.
   *
   * @param hold At least 15 bits of input, the next one lowest.
   * @returns Its entry, or `INVALID`.
   */
  find(hold: number): number {
    let code = 0, first = 0, index = 0;
    for (let bits = 1; bits <= MAX_BITS; bits++, hold >>>= 1) {
      code |= hold & 1;
      const count = this.#count[bits];
      if (code - first < count) return this.#entries[this.#sorted[index + code - first]] | bits;
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    return INVALID;
  }
}
