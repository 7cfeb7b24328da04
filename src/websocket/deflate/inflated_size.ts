/**
 * Computes how large raw DEFLATE (RFC 1951) would be when inflated, without inflating it, up to a limit. Also finds errors and
 * final blocks.
 *
 * @module
 */

// An entry describes a code:
//   bits 0-3    length of the code, 1 to 15 bits; 0 in entries without a code
//   bits 4-7    number of extra bits that follow the code
//   bits 8-23   value: the number of bytes produced, the base of a length or a distance, or a symbol
//   bits 24-26  kind: LENGTH, END, INVALID, or 0
/** The position of the number of extra bits in an entry. */
const EXTRA_SHIFT = 4;
/** The position of the value in an entry. */
const VALUE_SHIFT = 8;
/** The mask for the value of an entry, after the shift. */
const VALUE_MASK = 0xffff;
/** The flag of lengths; lower entries are literals. */
const LENGTH: number = 1 << 24;
/** The flag of the end of a block. */
const END: number = 2 << 24;
/** The flag of symbols that have a code but must not occur, and of bits that are not a code. */
const INVALID: number = 4 << 24;

/** The longest codes found with one lookup. Longer ones are found bit by bit, which limits the cost of a table. */
const ROOT_BITS = 10;
const MAX_BITS = 15;

const REVERSED = new Uint16Array(1 << ROOT_BITS);
for (let i = 1; i < REVERSED.length; i++) REVERSED[i] = (REVERSED[i >> 1] >> 1) | ((i & 1) << (ROOT_BITS - 1));

const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5];

/** The entries of the literal and length symbols 0 to 287 (section 3.2.5). */
const LITERALS: Int32Array = new Int32Array(288).fill(INVALID);
LITERALS.fill(1 << VALUE_SHIFT, 0, 256);
LITERALS[256] = END;
LENGTH_EXTRA.reduce((base, extra, i) => {
  LITERALS[257 + i] = LENGTH | base << VALUE_SHIFT | extra << EXTRA_SHIFT;
  return base + (1 << extra);
}, 3);
LITERALS[285] = LENGTH | 258 << VALUE_SHIFT;

/** The entries of the distance symbols 0 to 31. */
const DISTANCES: Int32Array = new Int32Array(32).fill(INVALID);
for (let i = 0, base = 1; i < 30; i++) {
  const extra = i < 4 ? 0 : (i >> 1) - 1;
  DISTANCES[i] = base << VALUE_SHIFT | extra << EXTRA_SHIFT;
  base += 1 << extra;
}

/** The entries of the code that encodes the lengths of the other codes (section 3.2.7). */
const CODE_LENGTHS: Int32Array = Int32Array.from({ length: 19 }, (_, i) => i << VALUE_SHIFT);

/** A Huffman code. Its memory is reused for the next code. */
class HuffmanCode {
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

/**
 * The result of a walk over input that is not DEFLATE, ends too early, or refers to bytes before the history. Also the close
 * code.
 */
export const CORRUPT = 1007;
/** The result of a walk over input that would inflate beyond the limit. Also the close code. */
export const TOO_LARGE = 1009;
/** The result of a walk that continues with the next call. */
export const UNFINISHED = -1;
/** The result of a walk over valid input. */
export const COMPLETE = 0;

/** The length of the tail `00 00 ff ff`, which RFC 7692 section 7.2.1 removes from a payload and section 7.2.2 restores. */
export const TAIL_LENGTH = 4;

/**
 * The work after which a walk pauses between two blocks: 1 for each byte of input, 8 for each block, 500 for one with its own
 * codes.
 */
const WORK_PER_CALL = 128 * 1024;
const WORK_PER_BLOCK = 8;
const WORK_PER_CODES = 500;

// There is one walk at a time, because it is synchronous; its memory is reused.
const literals = new HuffmanCode(LITERALS);
const distances = new HuffmanCode(DISTANCES);
const codeLengths = new HuffmanCode(CODE_LENGTHS);
const lengths = new Uint8Array(288 + 32);
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

// The fixed codes (RFC 1951 section 3.2.6).
const fixedLiterals = new HuffmanCode(LITERALS);
const fixedDistances = new HuffmanCode(DISTANCES);
fixedLiterals.set(new Uint8Array(288).fill(8).fill(9, 144, 256).fill(7, 256, 280), 0, 288, false);
fixedDistances.set(new Uint8Array(32).fill(5), 0, 32, false);

/** A walk. Its position counts bytes and bits separately, because the number of bits of a long input is not a small integer. */
export class Walk {
  /** The size of the inflated data. */
  size = 0;
  /**
   * Two numbers for each block that is marked as final (BFINAL): the position of that bit in the input, and the position after
   * the block, in bits. A payload may have several (RFC 7692 section 7.2.1).
   */
  readonly finals: number[] = [];
  #bytes: Uint8Array;
  /** The index after the last byte; `TAIL_LENGTH` more than there are if an imaginary tail follows. */
  #end: number;
  #limit: number;
  /** The number of bytes before the first one that may be referred to. */
  #history: number;
  #window: number;
  /** The index of the next byte to take. */
  #at = 0;
  /** The bits that were taken out of bytes but not used yet. */
  #hold = 0;
  #bits = 0;

  /**
   * @param bytes The input.
   * @param hasTail Whether to imagine the tail after it.
   * @param limit The largest size allowed.
   * @param history The number of bytes before the first one that may be referred to.
   * @param window The largest distance of a reference, in bytes.
   */
  constructor(bytes: Uint8Array, hasTail: boolean, limit: number, history: number, window: number) {
    this.#bytes = bytes;
    this.#end = hasTail ? bytes.length + TAIL_LENGTH : bytes.length;
    this.#limit = limit;
    this.#history = history;
    this.#window = window;
  }

  /**
   * Continues the walk.
   *
   * @param stopAtFinal Whether the first final block is the end. Otherwise the walk ends with the last byte.
   * @returns `COMPLETE`, `CORRUPT`, `TOO_LARGE`, or `UNFINISHED` after about a millisecond.
   */
  run(stopAtFinal: boolean): number {
    let work = WORK_PER_CALL + this.#at;
    for (;;) {
      if (this.#at > work) return UNFINISHED;
      const start = this.#at * 8 - this.#bits;
      const header = this.#take(3);
      work -= header >> 1 === 2 ? WORK_PER_CODES : WORK_PER_BLOCK;
      const failure = this.#block(header >> 1);
      if (failure !== COMPLETE) return failure;
      if (this.#at > this.#end) return CORRUPT;
      if ((header & 1) === 1) {
        this.finals.push(start, this.#at * 8 - this.#bits);
        // Some peers omit the byte 00 that must follow.
        if (stopAtFinal || this.#at >= this.#bytes.length) return COMPLETE;
        this.#align();
      } else if (this.#at >= this.#end) return this.#bits === 0 ? COMPLETE : CORRUPT;
    }
  }

  #block(type: number): number {
    if (type === 0) return this.#stored();
    if (type === 1) return this.#symbols(fixedLiterals, fixedDistances);
    if (type === 2) return this.#readCodes() ? this.#symbols(literals, distances) : CORRUPT;
    return CORRUPT;
  }

  /** Returns the byte at an index. After the end it returns zeros; a block that uses them is rejected when it ends. */
  #byte(at: number): number {
    if (at < this.#bytes.length) return this.#bytes[at];
    return at >= this.#end - 2 && at < this.#end ? 0xff : 0;
  }

  /** Takes up to 16 bits. */
  #take(count: number): number {
    while (this.#bits < count) {
      this.#hold |= this.#byte(this.#at++) << this.#bits;
      this.#bits += 8;
    }
    const value = this.#hold & ((1 << count) - 1);
    this.#hold >>>= count;
    this.#bits -= count;
    return value;
  }

  /** Drops the rest of the current byte. Between blocks, and after the header of one, no whole byte is held. */
  #align(): void {
    this.#hold = this.#bits = 0;
  }

  /** Walks over a stored block (RFC 1951 section 3.2.4). */
  #stored(): number {
    this.#align();
    const length = this.#take(16);
    if ((this.#take(16) ^ 0xffff) !== length) return CORRUPT;
    this.#at += length;
    this.size += length;
    return this.size > this.#limit ? TOO_LARGE : COMPLETE;
  }

  /** Reads the codes of a block (section 3.2.7). Returns whether they are valid. */
  #readCodes(): boolean {
    const literalCount = this.#take(5) + 257, distanceCount = this.#take(5) + 1, count = this.#take(4) + 4;
    if (literalCount > 286 || distanceCount > 30) return false;
    lengths.fill(0, 0, 19);
    for (let i = 0; i < count; i++) lengths[CODE_LENGTH_ORDER[i]] = this.#take(3);
    if (!codeLengths.set(lengths, 0, 19, false)) return false;
    const { table, mask } = codeLengths;
    const all = literalCount + distanceCount;
    for (let i = 0; i < all;) {
      while (this.#bits < 14) { // a code and its extra bits
        this.#hold |= this.#byte(this.#at++) << this.#bits;
        this.#bits += 8;
      }
      const entry = table[this.#hold & mask];
      this.#hold >>>= entry & 15;
      this.#bits -= entry & 15;
      const symbol = entry >> VALUE_SHIFT;
      if (symbol < 16) {
        lengths[i++] = symbol;
        continue;
      }
      if (symbol === 16 && i === 0) return false;
      const value = symbol === 16 ? lengths[i - 1] : 0;
      const repeat = symbol === 16 ? 3 + this.#take(2) : symbol === 17 ? 3 + this.#take(3) : 11 + this.#take(7);
      if (i + repeat > all) return false;
      for (const end = i + repeat; i < end; i++) lengths[i] = value;
    }
    if (lengths[256] === 0) return false; // no code for the end of the block
    return literals.set(lengths, 0, literalCount, true) && distances.set(lengths, literalCount, all, true);
  }

  /** Walks over the symbols of a block up to its end. All state is in local variables, because most of the time is spent here. */
  #symbols(literals: HuffmanCode, distances: HuffmanCode): number {
    const bytes = this.#bytes, limit = this.#limit, history = this.#history, window = this.#window;
    const stop = this.#end + 4, fast = bytes.length - 2;
    const literalTable = literals.table, literalMask = literals.mask;
    const distanceTable = distances.table, distanceMask = distances.mask;
    let at = this.#at, hold = this.#hold | 0, bits = this.#bits, size = this.size, result = CORRUPT;
    // `| 0` keeps `hold` a signed 32-bit number; without it, V8 takes 50% longer.
    for (;;) {
      if (at < fast) {
        // Bits that are already held are ORed again with the same value; a loop would be slower.
        hold |= (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16) << bits;
        at += (31 - bits) >> 3;
        bits |= 24;
      } else {
        while (bits < 24) {
          hold |= this.#byte(at++) << bits;
          bits += 8;
        }
      }
      if (at > stop) break;
      let entry = literalTable[hold & literalMask];
      if (entry === 0) entry = literals.find(hold | 0);
      hold = hold >>> (entry & 15) | 0;
      bits -= entry & 15;
      if (entry < LENGTH) {
        size += entry >> VALUE_SHIFT;
        if (size <= limit) continue;
        result = TOO_LARGE;
        break;
      }
      if (entry >= END) {
        if (entry < INVALID) result = COMPLETE;
        break;
      }
      let extra = entry >> EXTRA_SHIFT & 15; // at most 5, and the code at most 15, of 24 bits
      const copied = ((entry >> VALUE_SHIFT) & VALUE_MASK) + (hold & ((1 << extra) - 1));
      hold = hold >>> extra | 0;
      bits -= extra;

      if (at < fast) {
        // See above.
        hold |= (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16) << bits;
        at += (31 - bits) >> 3;
        bits |= 24;
      } else {
        while (bits < 24) {
          hold |= this.#byte(at++) << bits;
          bits += 8;
        }
      }
      entry = distanceTable[hold & distanceMask];
      if (entry === 0) entry = distances.find(hold | 0);
      if (entry >= INVALID) break;
      hold = hold >>> (entry & 15) | 0;
      bits -= entry & 15;
      extra = entry >> EXTRA_SHIFT & 15; // at most 13
      while (bits < extra) {
        hold |= this.#byte(at++) << bits;
        bits += 8;
      }
      const distance = (entry >> VALUE_SHIFT) + (hold & ((1 << extra) - 1));
      if (distance > size + history || distance > window) break;
      hold = hold >>> extra | 0;
      bits -= extra;
      size += copied;
      if (size > limit) {
        result = TOO_LARGE;
        break;
      }
    }
    // Give back whole bytes, so that `hold` stays a small number.
    this.#at = at - (bits >> 3);
    this.#bits = bits & 7;
    this.#hold = hold & ((1 << (bits & 7)) - 1);
    this.size = size;
    return result;
  }
}
