/**
 * Compresses one message at once, without an engine: for `pack()`, which neither has a connection nor waits. Engines are faster,
 * and make smaller payloads of long messages.
 *
 * @module
 */

import { DISTANCES, EXTRA_SHIFT, LITERALS, VALUE_MASK, VALUE_SHIFT } from "./huffman.ts";

const SHORTEST_COPY = 3;
const LONGEST_COPY = 258;
/** How far back a copy may lie: the smallest window that is agreed by default. */
const WINDOW = 32768;
const HASH_BITS = 13;
/** How many earlier places are looked at for the longest copy. */
const TRIES = 16;

/** The length symbol less 257 for each length of a copy, and the distance symbol for each power of two and the half behind it. */
const LENGTH_SYMBOL = new Uint8Array(LONGEST_COPY + 1);
for (let symbol = 0; symbol < 29; symbol++) LENGTH_SYMBOL.fill(symbol, baseOf(LITERALS[257 + symbol]));

function baseOf(entry: number): number {
  return (entry >> VALUE_SHIFT) & VALUE_MASK;
}

function extraOf(entry: number): number {
  return entry >> EXTRA_SHIFT & 15;
}

function distanceSymbol(distance: number): number {
  if (distance < 5) return distance - 1;
  const power = 31 - Math.clz32(distance - 1);
  return 2 * power + ((distance - 1) >> (power - 1) & 1);
}

/**
 * Compresses a message (RFC 7692 section 7.2.1), with the codes that need not be sent along (RFC 1951 section 3.2.6).
 *
 * @param message The message.
 * @returns The payload, without the tail `00 00 ff ff`. No block of it is final.
 */
export function deflateNow(message: Uint8Array): Uint8Array {
  const bits = new BitWriter(message.length);
  bits.put(0b010, 3);
  const first = new Int32Array(1 << HASH_BITS).fill(-1); // the last place of each hash
  const before = new Int32Array(message.length); // the one before it
  const last = message.length - SHORTEST_COPY;
  const note = (at: number) => {
    const hash = Math.imul(message[at] << 16 | message[at + 1] << 8 | message[at + 2], 0x9e3779b1) >>> (32 - HASH_BITS);
    const found = first[hash];
    before[at] = found;
    first[hash] = at;
    return found;
  };
  for (let at = 0; at < message.length;) {
    let length = 0, distance = 0;
    if (at <= last) {
      const most = Math.min(LONGEST_COPY, message.length - at);
      let from = note(at);
      for (let tries = TRIES; from >= 0 && at - from <= WINDOW && tries > 0 && length < most; tries--, from = before[from]) {
        let same = 0;
        while (same < most && message[from + same] === message[at + same]) same++;
        if (same > length) [length, distance] = [same, at - from];
      }
    }
    if (length < SHORTEST_COPY) {
      bits.putSymbol(message[at++]);
      continue;
    }
    bits.putCopy(length, distance);
    for (let end = at + length, next = at + 1; next < end && next <= last; next++) note(next);
    at += length;
  }
  bits.putSymbol(256);
  bits.put(0, 3); // an empty block that is not compressed, of which the tail is the rest
  return bits.finish();
}

/** Writes bits, the first one lowest in its octet. */
class BitWriter {
  readonly #octets: Uint8Array;
  #length = 0;
  #hold = 0;
  #bits = 0;

  /** @param size How many octets the message has: a code has 9 bits at most, and there are two headers and an end. */
  constructor(size: number) {
    this.#octets = new Uint8Array(size + (size >> 3) + 4);
  }

  /** Writes up to 16 bits. */
  put(value: number, count: number): void {
    this.#hold |= value << this.#bits;
    this.#bits += count;
    for (; this.#bits > 7; this.#bits -= 8) {
      this.#octets[this.#length++] = this.#hold;
      this.#hold >>>= 8;
    }
  }

  /** Writes a Huffman code, whose first bit is its highest. */
  #putCode(code: number, count: number): void {
    let reversed = 0;
    for (let i = 0; i < count; i++) reversed |= (code >> i & 1) << (count - 1 - i);
    this.put(reversed, count);
  }

  /** Writes a literal, a length without its extra bits, or the end of the block. */
  putSymbol(symbol: number): void {
    if (symbol < 144) this.#putCode(0x30 + symbol, 8);
    else if (symbol < 256) this.#putCode(0x190 + symbol - 144, 9);
    else if (symbol < 280) this.#putCode(symbol - 256, 7);
    else this.#putCode(0xc0 + symbol - 280, 8);
  }

  putCopy(length: number, distance: number): void {
    const symbol = 257 + LENGTH_SYMBOL[length];
    this.putSymbol(symbol);
    this.put(length - baseOf(LITERALS[symbol]), extraOf(LITERALS[symbol]));
    const code = distanceSymbol(distance);
    this.#putCode(code, 5);
    this.put(distance - baseOf(DISTANCES[code]), extraOf(DISTANCES[code]));
  }

  finish(): Uint8Array {
    if (this.#bits > 0) this.#octets[this.#length++] = this.#hold;
    return this.#octets.slice(0, this.#length);
  }
}
