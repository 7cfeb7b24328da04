/**
 * The Huffman codes of DEFLATE (RFC 1951 section 3.2), as lookup tables that yield the output size of each code, not the output.
 *
 * @module
 */

// An entry describes a code:
//   bits 0-3    length of the code, 1 to 15 bits; 0 in entries without a code
//   bits 4-7    number of extra bits that follow the code
//   bits 8-23   value: the number of bytes produced, the base of a length or a distance, or a symbol
//   bits 24-26  kind: LENGTH, END, INVALID, or 0
/** The position of the number of extra bits in an entry. */
export const EXTRA_SHIFT = 4;
/** The position of the value in an entry. */
export const VALUE_SHIFT = 8;
/** The mask for the value of an entry, after the shift. */
export const VALUE_MASK = 0xffff;
/** The flag of lengths; lower entries are literals. */
export const LENGTH: number = 1 << 24;
/** The flag of the end of a block. */
export const END: number = 2 << 24;
/** The flag of symbols that have a code but must not occur, and of bits that are not a code. */
export const INVALID: number = 4 << 24;

/** The longest codes found with one lookup. Longer ones are found bit by bit, which limits the cost of a table. */
const ROOT_BITS = 10;
const MAX_BITS = 15;

const REVERSED = new Uint16Array(1 << ROOT_BITS);
for (let i = 1; i < REVERSED.length; i++) REVERSED[i] = (REVERSED[i >> 1] >> 1) | ((i & 1) << (ROOT_BITS - 1));

const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5];

/** The entries of the literal and length symbols 0 to 287 (section 3.2.5). */
export const LITERALS: Int32Array = new Int32Array(288).fill(INVALID);
LITERALS.fill(1 << VALUE_SHIFT, 0, 256);
LITERALS[256] = END;
LENGTH_EXTRA.reduce((base, extra, i) => {
  LITERALS[257 + i] = LENGTH | base << VALUE_SHIFT | extra << EXTRA_SHIFT;
  return base + (1 << extra);
}, 3);
LITERALS[285] = LENGTH | 258 << VALUE_SHIFT;

/** The entries of the distance symbols 0 to 31. */
export const DISTANCES: Int32Array = new Int32Array(32).fill(INVALID);
for (let i = 0, base = 1; i < 30; i++) {
  const extra = i < 4 ? 0 : (i >> 1) - 1;
  DISTANCES[i] = base << VALUE_SHIFT | extra << EXTRA_SHIFT;
  base += 1 << extra;
}

/** The entries of the code that encodes the lengths of the other codes (section 3.2.7). */
export const CODE_LENGTHS: Int32Array = Int32Array.from({ length: 19 }, (_, i) => i << VALUE_SHIFT);

/** A Huffman code. Its memory is reused for the next code. */
export class HuffmanCode {
  /** The entries, indexed by the next bits of the input. Entries of codes above 10 bits are 0. */
  readonly table: Int32Array = new Int32Array(1 << ROOT_BITS);
  /** The mask for the bits that index the table. */
  mask = 0;
  readonly #entries: Int32Array;
  /** The number of codes of each length. */
  readonly #count = new Uint16Array(MAX_BITS + 1);
  readonly #next = new Uint16Array(MAX_BITS + 1);
  /** The symbols in the order of their codes. */
  readonly #sorted: Uint16Array;
  readonly #offset = new Uint16Array(MAX_BITS + 2);

  /** @param entries The entries of the symbols. */
  constructor(entries: Int32Array) {
    this.#entries = entries;
    this.#sorted = new Uint16Array(entries.length);
  }

  /**
   * Sets the code lengths of the symbols, with the same check as zlib: a code must be complete, unless it has a single symbol of
   * one bit, or no symbol.
   *
   * @param lengths The lengths, 0 to 15; 0 means that the symbol does not occur.
   * @param start The index of the length of the first symbol.
   * @param end The index after the last length.
   * @param mayBeIncomplete `false` for the code of the code lengths, for which there are no exceptions.
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
