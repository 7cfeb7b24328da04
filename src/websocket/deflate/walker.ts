/**
 * Walks over raw DEFLATE (RFC 1951) without inflating it: how large it will be, whether it is right, and where final blocks are.
 *
 * @module
 */

import {
  CODE_LENGTHS,
  DISTANCES,
  END,
  EXTRA_SHIFT,
  HuffmanCode,
  INVALID,
  LENGTH,
  LITERALS,
  VALUE_MASK,
  VALUE_SHIFT,
} from "./huffman.ts";

/** Result of a walk: the input is not DEFLATE, ends too early, or refers to octets that nobody has. It is the close code for that. */
export const CORRUPT = 1007;
/** Result of a walk: it would become larger than the limit. It is the close code for that. */
export const TOO_LARGE = 1009;
/** Result of a walk: it goes on with the next call. */
export const UNFINISHED = -1;
/** Result of a walk: everything is right. */
export const COMPLETE = 0;

/** The length of the end `00 00 ff ff` that RFC 7692 section 7.2.1 takes off a payload and section 7.2.2 puts back. */
export const TAIL_LENGTH = 4;

/** A walk pauses between two blocks after so much: an octet of input counts 1, a block 8, and 500 if it brings codes. */
const WORK_PER_CALL = 128 * 1024;
const WORK_PER_BLOCK = 8;
const WORK_PER_CODES = 500;

// One walk at a time: it is synchronous, and its memory is used again.
const codeLengths = new HuffmanCode(CODE_LENGTHS);
const lengths = new Uint8Array(288 + 32);
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** The codes that blocks are written in. */
export class BlockCodes {
  /** Of a block that brings its codes: literals and lengths. */
  readonly literals: HuffmanCode;
  /** Of a block that brings its codes: distances. */
  readonly distances: HuffmanCode = new HuffmanCode(DISTANCES);
  /** The code of literals and lengths that need not be brought (RFC 1951 section 3.2.6). */
  readonly fixedLiterals: HuffmanCode;
  /** The code of distances that need not be brought. */
  readonly fixedDistances: HuffmanCode = new HuffmanCode(DISTANCES);

  /** @param literals What the symbols for literals and lengths stand for. */
  constructor(literals: Int32Array) {
    this.literals = new HuffmanCode(literals);
    this.fixedLiterals = new HuffmanCode(literals);
    this.fixedLiterals.set(new Uint8Array(288).fill(8).fill(9, 144, 256).fill(7, 256, 280), 0, 288, false);
    this.fixedDistances.set(new Uint8Array(32).fill(5), 0, 32, false);
  }
}

const SIZES = new BlockCodes(LITERALS);

/** A walk. Its position counts octets and bits apart: the number of bits of a long input is no small integer. */
export class Walk {
  /** How much it will be. */
  size = 0;
  /**
   * Two numbers for each block that says it is the last one (BFINAL): which bit of the input says so, and which one is behind the
   * block. A payload may have several (RFC 7692 section 7.2.1).
   */
  readonly finals: number[] = [];
  protected bytes: Uint8Array;
  /** Index behind the last octet, `TAIL_LENGTH` more than there are if the tail is to be thought there. */
  protected end: number;
  #limit: number;
  /** How far back the first octet may refer. */
  #history: number;
  #window: number;
  readonly #codes: BlockCodes;
  /** Next octet to take. */
  protected at = 0;
  /** Bits that were taken out of octets and not used. */
  protected hold = 0;
  protected bits = 0;

  /**
   * @param bytes What to walk over.
   * @param hasTail Whether the tail is to be thought behind it.
   * @param limit The largest size allowed.
   * @param history How many octets before the first one may be referred to.
   * @param window How far back may be referred to, in octets.
   * @param codes Memory for the codes, and what they stand for.
   */
  constructor(bytes: Uint8Array, hasTail: boolean, limit: number, history: number, window: number, codes: BlockCodes = SIZES) {
    this.bytes = bytes;
    this.end = hasTail ? bytes.length + TAIL_LENGTH : bytes.length;
    this.#limit = limit;
    this.#history = history;
    this.#window = window;
    this.#codes = codes;
  }

  /**
   * Walks on.
   *
   * @param stopAtFinal Whether the first final block is the end. Otherwise only the last octet is.
   * @returns `COMPLETE`, `CORRUPT`, `TOO_LARGE`, or `UNFINISHED` after about a millisecond.
   */
  run(stopAtFinal: boolean): number {
    let work = WORK_PER_CALL + this.at;
    for (;;) {
      if (this.at > work) return UNFINISHED;
      const start = this.at * 8 - this.bits;
      const header = this.take(3);
      work -= header >> 1 === 2 ? WORK_PER_CODES : WORK_PER_BLOCK;
      const failure = this.#block(header >> 1);
      if (failure !== COMPLETE) return failure;
      const end = this.at - (this.bits >> 3);
      if (end > this.end) return CORRUPT;
      if ((header & 1) === 1) {
        this.finals.push(start, this.at * 8 - this.bits);
        // Some peers do not send the octet 00 that has to follow.
        if (stopAtFinal || end >= this.bytes.length) return COMPLETE;
        this.align();
      } else if (end >= this.end) return (this.bits & 7) === 0 ? COMPLETE : CORRUPT;
    }
  }

  #block(type: number): number {
    if (type === 0) return this.stored();
    const codes = this.#codes;
    if (type === 1) return this.symbols(codes.fixedLiterals, codes.fixedDistances);
    if (type === 2) return this.#readCodes() ? this.symbols(codes.literals, codes.distances) : CORRUPT;
    return CORRUPT;
  }

  /** The octet at an index. Behind the end there are zeros; whoever needs them is found out at the end of the block. */
  protected octet(at: number): number {
    if (at < this.bytes.length) return this.bytes[at];
    return at >= this.end - 2 && at < this.end && this.end > this.bytes.length ? 0xff : 0;
  }

  /** Takes up to 16 bits. */
  protected take(count: number): number {
    while (this.bits < count) {
      this.hold |= this.octet(this.at++) << this.bits;
      this.bits += 8;
    }
    const value = this.hold & ((1 << count) - 1);
    this.hold >>>= count;
    this.bits -= count;
    return value;
  }

  /** Drops bits up to the end of an octet. */
  protected align(): void {
    this.hold >>>= this.bits & 7;
    this.bits &= ~7;
  }

  /** A block that is not compressed (RFC 1951 section 3.2.4). */
  protected stored(): number {
    this.align();
    const length = this.take(16);
    if ((this.take(16) ^ 0xffff) !== length) return CORRUPT;
    this.at += length - (this.bits >> 3);
    this.hold = this.bits = 0;
    this.size += length;
    return this.size > this.#limit ? TOO_LARGE : COMPLETE;
  }

  /** Reads the codes of a block (section 3.2.7). Tells whether they are right. */
  #readCodes(): boolean {
    const literalCount = this.take(5) + 257, distanceCount = this.take(5) + 1, count = this.take(4) + 4;
    if (literalCount > 286 || distanceCount > 30) return false;
    lengths.fill(0, 0, 19);
    for (let i = 0; i < count; i++) lengths[CODE_LENGTH_ORDER[i]] = this.take(3);
    if (!codeLengths.set(lengths, 0, 19, false)) return false;
    const { table, mask } = codeLengths;
    const all = literalCount + distanceCount;
    for (let i = 0; i < all;) {
      while (this.bits < 14) { // a code and its extra bits
        this.hold |= this.octet(this.at++) << this.bits;
        this.bits += 8;
      }
      const entry = table[this.hold & mask];
      this.hold >>>= entry & 15;
      this.bits -= entry & 15;
      const symbol = entry >> VALUE_SHIFT;
      if (symbol < 16) {
        lengths[i++] = symbol;
        continue;
      }
      if (symbol === 16 && i === 0) return false;
      const value = symbol === 16 ? lengths[i - 1] : 0;
      const repeat = symbol === 16 ? 3 + this.take(2) : symbol === 17 ? 3 + this.take(3) : 11 + this.take(7);
      if (i + repeat > all) return false;
      for (const end = i + repeat; i < end; i++) lengths[i] = value;
    }
    if (lengths[256] === 0) return false; // the block could not end
    const { literals, distances } = this.#codes;
    return literals.set(lengths, 0, literalCount, true) && distances.set(lengths, literalCount, all, true);
  }

  /** The symbols of a block up to its end. Everything that changes is in local variables: this is where the time goes. */
  protected symbols(literals: HuffmanCode, distances: HuffmanCode): number {
    const bytes = this.bytes, length = bytes.length, limit = this.#limit, history = this.#history, window = this.#window;
    const stop = this.end + 4, fast = length - 3;
    const literalTable = literals.table, literalMask = literals.mask;
    const distanceTable = distances.table, distanceMask = distances.mask;
    let at = this.at, hold = this.hold | 0, bits = this.bits, size = this.size, result = CORRUPT;
    // `| 0` keeps what is held a signed 32-bit number: V8 takes half as long again without.
    for (;;) {
      if (at < fast) {
        // Bits that are held already come again, with the same value. A loop would cost more.
        hold |= (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) << bits;
        at += (31 - bits) >> 3;
        bits |= 24;
      } else {
        while (bits < 24) {
          hold |= this.octet(at++) << bits;
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
      let extra = entry >> EXTRA_SHIFT & 15; // up to 5, and the code up to 15: there are 24 bits
      const copied = ((entry >> VALUE_SHIFT) & VALUE_MASK) + (hold & ((1 << extra) - 1));
      hold = hold >>> extra | 0;
      bits -= extra;

      if (at < fast) {
        // Bits that are held already come again, with the same value. A loop would cost more.
        hold |= (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) << bits;
        at += (31 - bits) >> 3;
        bits |= 24;
      } else {
        while (bits < 24) {
          hold |= this.octet(at++) << bits;
          bits += 8;
        }
      }
      entry = distanceTable[hold & distanceMask];
      if (entry === 0) entry = distances.find(hold | 0);
      if (entry >= INVALID) break;
      hold = hold >>> (entry & 15) | 0;
      bits -= entry & 15;
      extra = entry >> EXTRA_SHIFT & 15; // up to 13
      while (bits < extra) {
        hold |= (at < length ? bytes[at] : this.octet(at)) << bits;
        at++;
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
    // Whole octets go back, so that what is held stays a small number.
    this.at = at - (bits >> 3);
    this.bits = bits & 7;
    this.hold = hold & ((1 << (bits & 7)) - 1);
    this.size = size;
    return result;
  }
}
