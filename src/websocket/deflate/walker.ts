/**
 * Walks over raw DEFLATE (RFC 1951) without inflating it: how large it will be, whether it is right, and where a final block is.
 *
 * @module
 */

import type { InflateFailure } from "./engine.ts";
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

/** Result of a walk: the input is not DEFLATE, ends too early, or refers to octets that nobody has. */
export const CORRUPT = -1;
/** Result of a walk: it would become larger than the limit. */
export const TOO_LARGE = -2;

/** The close code for the result of a walk that failed. */
export function failureOf(result: number): InflateFailure {
  return result === TOO_LARGE ? 1009 : 1007;
}

/**
 * The window in octets to measure with. zlib cannot make one of 8 bits: peers that agreed to it may use 9.
 *
 * @param bits The agreed window, 8 to 15 bits.
 */
export function windowSize(bits: number): number {
  return 1 << Math.max(bits, 9);
}

/** The end that RFC 7692 section 7.2.1 takes off a payload and section 7.2.2 puts back. */
const TAIL_LENGTH = 4;
/** What `Z_SYNC_FLUSH` ends with: an empty stored block. Without its first octet, `TAIL_LENGTH` octets. */
const EMPTY_STORED_BLOCK = new Uint8Array([0, 0, 0, 0xff, 0xff]);

/** A block that says it is the last one of its stream (BFINAL). */
interface FinalBlock {
  /** Which octet holds the bit. */
  readonly octet: number;
  /** Which bit of it, 0 to 7. */
  readonly bit: number;
  /** Index of the octet behind the block. */
  readonly end: number;
  /** How many bits of the octet before are unused, 0 to 7. */
  readonly padding: number;
}

// One walk at a time: it is synchronous, and its memory is used again.
const literals = new HuffmanCode(LITERALS);
const distances = new HuffmanCode(DISTANCES);
const codeLengths = new HuffmanCode(CODE_LENGTHS);
const lengths = new Uint8Array(288 + 32);
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

const fixedLiterals = new HuffmanCode(LITERALS);
const fixedDistances = new HuffmanCode(DISTANCES);
fixedLiterals.set(new Uint8Array(288).fill(8).fill(9, 144, 256).fill(7, 256, 280), 0, 288, false);
fixedDistances.set(new Uint8Array(32).fill(5), 0, 32, false);

/** A walk. Its position counts octets and bits apart: the number of bits of a long input is no small integer. */
class Walk {
  /** How much it will be. */
  size = 0;
  /** The final blocks. A payload may have several (RFC 7692 section 7.2.1). */
  readonly finals: FinalBlock[] = [];
  #bytes: Uint8Array;
  /** Index behind the last octet, `TAIL_LENGTH` more than there are if the tail is to be thought there. */
  #end: number;
  #limit: number;
  /** How far back the first octet may refer. */
  #history: number;
  #window: number;
  /** Next octet to take. */
  #at = 0;
  /** Bits that were taken out of octets and not used. */
  #hold = 0;
  #bits = 0;

  constructor(bytes: Uint8Array, hasTail: boolean, limit: number, history: number, window: number) {
    this.#bytes = bytes;
    this.#end = hasTail ? bytes.length + TAIL_LENGTH : bytes.length;
    this.#limit = limit;
    this.#history = history;
    this.#window = window;
  }

  /** Walks to the end: 0, `CORRUPT` or `TOO_LARGE`. */
  run(stopAtFinal: boolean): number {
    for (;;) {
      const octet = this.#at - ((this.#bits + 7) >> 3), bit = (8 - (this.#bits & 7)) & 7;
      const header = this.#take(3);
      const failure = this.#block(header >> 1);
      if (failure !== 0) return failure;
      const end = this.#at - (this.#bits >> 3), padding = this.#bits & 7;
      if (end > this.#end) return CORRUPT;
      if ((header & 1) === 1) {
        this.finals.push({ octet, bit, end, padding });
        // Some peers do not send the octet 00 that has to follow.
        if (stopAtFinal || end >= this.#bytes.length) return 0;
        this.#align();
      } else if (end >= this.#end) return padding === 0 ? 0 : CORRUPT;
    }
  }

  #block(type: number): number {
    if (type === 0) return this.#stored();
    if (type === 1) return this.#symbols(fixedLiterals, fixedDistances);
    if (type === 2) return this.#codes() ? this.#symbols(literals, distances) : CORRUPT;
    return CORRUPT;
  }

  /** The octet at an index. Behind the end there are zeros; whoever needs them is found out at the end of the block. */
  #octet(at: number): number {
    if (at < this.#bytes.length) return this.#bytes[at];
    return at >= this.#end - 2 && at < this.#end && this.#end > this.#bytes.length ? 0xff : 0;
  }

  /** Takes up to 16 bits. */
  #take(count: number): number {
    while (this.#bits < count) {
      this.#hold |= this.#octet(this.#at++) << this.#bits;
      this.#bits += 8;
    }
    const value = this.#hold & ((1 << count) - 1);
    this.#hold >>>= count;
    this.#bits -= count;
    return value;
  }

  /** Drops bits up to the end of an octet. */
  #align(): void {
    this.#hold >>>= this.#bits & 7;
    this.#bits &= ~7;
  }

  /** A block that is not compressed (RFC 1951 section 3.2.4). */
  #stored(): number {
    this.#align();
    const length = this.#take(16);
    if ((this.#take(16) ^ 0xffff) !== length) return CORRUPT;
    this.#at += length - (this.#bits >> 3);
    this.#hold = this.#bits = 0;
    this.size += length;
    return this.size > this.#limit ? TOO_LARGE : 0;
  }

  /** Reads the codes of a block (section 3.2.7). Tells whether they are right. */
  #codes(): boolean {
    const literalCount = this.#take(5) + 257, distanceCount = this.#take(5) + 1, count = this.#take(4) + 4;
    if (literalCount > 286 || distanceCount > 30) return false;
    lengths.fill(0, 0, 19);
    for (let i = 0; i < count; i++) lengths[CODE_LENGTH_ORDER[i]] = this.#take(3);
    if (!codeLengths.set(lengths, 0, 19, false)) return false;
    const { table, mask } = codeLengths;
    const all = literalCount + distanceCount;
    for (let i = 0; i < all;) {
      while (this.#bits < 14) { // a code and its extra bits
        this.#hold |= this.#octet(this.#at++) << this.#bits;
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
      lengths.fill(value, i, i + repeat);
      i += repeat;
    }
    if (lengths[256] === 0) return false; // the block could not end
    if (!literals.set(lengths, 0, literalCount, true) || !distances.set(lengths, literalCount, all, true)) return false;
    return true;
  }

  /** The symbols of a block up to its end. Everything that changes is in local variables: this is where the time goes. */
  #symbols(literals: HuffmanCode, distances: HuffmanCode): number {
    const bytes = this.#bytes, length = bytes.length, limit = this.#limit, history = this.#history, window = this.#window;
    const stop = this.#end + 4, fast = length - 3;
    const literalTable = literals.table, literalMask = literals.mask;
    const distanceTable = distances.table, distanceMask = distances.mask;
    let at = this.#at, hold = this.#hold | 0, bits = this.#bits, size = this.size, result = CORRUPT;
    for (;;) {
      if (at < fast) {
        // Bits that are held already come again, with the same value. A loop would cost more.
        hold |= (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) << bits;
        at += (31 - bits) >> 3;
        bits |= 24;
      } else {
        while (bits < 24) {
          hold |= this.#octet(at++) << bits;
          bits += 8;
        }
      }
      if (at > stop) break;
      let entry = literalTable[hold & literalMask];
      if (entry === 0) entry = literals.find(hold | 0);
      hold >>>= entry & 15;
      bits -= entry & 15;
      if (entry < LENGTH) {
        size += entry >> VALUE_SHIFT;
        if (size <= limit) continue;
        result = TOO_LARGE;
        break;
      }
      if (entry >= END) {
        if (entry < INVALID) result = 0;
        break;
      }
      let extra = entry >> EXTRA_SHIFT & 15; // up to 5, and the code up to 15: there are 24 bits
      const copied = ((entry >> VALUE_SHIFT) & VALUE_MASK) + (hold & ((1 << extra) - 1));
      hold >>>= extra;
      bits -= extra;

      if (at < fast) {
        // Bits that are held already come again, with the same value. A loop would cost more.
        hold |= (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) << bits;
        at += (31 - bits) >> 3;
        bits |= 24;
      } else {
        while (bits < 24) {
          hold |= this.#octet(at++) << bits;
          bits += 8;
        }
      }
      entry = distanceTable[hold & distanceMask];
      if (entry === 0) entry = distances.find(hold | 0);
      if (entry >= INVALID) break;
      hold >>>= entry & 15;
      bits -= entry & 15;
      extra = entry >> EXTRA_SHIFT & 15; // up to 13
      while (bits < extra) {
        hold |= (at < length ? bytes[at] : this.#octet(at)) << bits;
        at++;
        bits += 8;
      }
      const distance = (entry >> VALUE_SHIFT) + (hold & ((1 << extra) - 1));
      if (distance > size + history || distance > window) break;
      hold >>>= extra;
      bits -= extra;
      size += copied;
      if (size > limit) {
        result = TOO_LARGE;
        break;
      }
    }
    // Whole octets go back, so that what is held stays a small number.
    this.#at = at - (bits >> 3);
    this.#bits = bits & 7;
    this.#hold = hold & ((1 << (bits & 7)) - 1);
    this.size = size;
    return result;
  }
}

/** A payload that was walked over. */
export interface Measured {
  /** How many octets it inflates to. */
  readonly size: number;
  /** The same as one sequence of blocks of which none is final, with the tail. Its end is the end of an octet. */
  blocks(): Uint8Array;
}

/**
 * Measures the payload of a compressed message (RFC 7692 section 7.2.2), whose tail `00 00 ff ff` is missing. What passes is what
 * zlib inflates without an error; final blocks may be anywhere (sections 7.2.1 and 7.2.3.4).
 *
 * @param payload The payload. An empty one counts as an empty message.
 * @param limit The largest size allowed.
 * @param history How many octets of earlier messages it may refer to: 0 without takeover.
 * @param window How far back it may refer, in octets.
 * @returns The size, or `CORRUPT` or `TOO_LARGE`. It does at most work in proportion to the payload.
 */
export function measure(payload: Uint8Array, limit: number, history: number, window: number): Measured | number {
  if (payload.length === 0) return new Blocks(payload, 0, []);
  const walk = new Walk(payload, true, limit, history, window);
  const failure = walk.run(false);
  return failure !== 0 ? failure : new Blocks(payload, walk.size, walk.finals);
}

class Blocks implements Measured {
  readonly size: number;
  #payload: Uint8Array;
  #finals: FinalBlock[];

  constructor(payload: Uint8Array, size: number, finals: FinalBlock[]) {
    this.#payload = payload;
    this.size = size;
    this.#finals = finals;
  }

  blocks(): Uint8Array {
    const length = this.#payload.length;
    const whole = new Uint8Array(length + TAIL_LENGTH);
    whole.set(this.#payload);
    whole.fill(0xff, length + TAIL_LENGTH / 2);
    if (this.#finals.length === 0) return whole;
    // If a final block is the last thing in the payload, what repairs it stands for the tail.
    return repair(whole, this.#finals.at(-1)!.end >= length ? this.#finals.at(-1)!.end : whole.length, this.#finals);
  }
}

/**
 * Clears the bits that make blocks final. Behind such a block comes an empty stored one, which ends on the border of an octet as
 * the padding did.
 */
function repair(bytes: Uint8Array, length: number, finals: readonly FinalBlock[]): Uint8Array {
  const repaired = new Uint8Array(length + finals.length * EMPTY_STORED_BLOCK.length);
  let from = 0, to = 0;
  for (const { octet, bit, end, padding } of finals) {
    repaired.set(bytes.subarray(from, end), to);
    repaired[to + octet - from] &= ~(1 << bit);
    to += end - from;
    from = end;
    repaired[to - 1] &= 0xff >> padding; // unused bits may be anything
    // Where the padding is long enough, it holds the 3 bits that begin the stored block.
    const stored = padding >= 3 ? EMPTY_STORED_BLOCK.subarray(1) : EMPTY_STORED_BLOCK;
    repaired.set(stored, to);
    to += stored.length;
  }
  repaired.set(bytes.subarray(from, length), to);
  return repaired.subarray(0, to + length - from);
}

/**
 * Makes the payload of a message (RFC 7692 section 7.2.1) of a finished stream: no block is final, and the tail is left out.
 *
 * @param stream A complete raw DEFLATE stream, of which nothing is behind the final block.
 * @returns The payload, in memory of its own.
 * @throws {Error} When it is no such stream.
 */
export function toPayload(stream: Uint8Array): Uint8Array {
  const walk = new Walk(stream, false, Infinity, 0, 1 << 15);
  if (walk.run(true) !== 0 || walk.finals.length !== 1) throw new Error("Cannot make a payload: not a finished DEFLATE stream");
  const whole = repair(stream, walk.finals[0].end, walk.finals);
  return whole.subarray(0, whole.length - TAIL_LENGTH);
}
