/**
 * Inflates one payload at once, without an engine: for `unpack()`, which neither has a connection nor waits. Engines are faster.
 *
 * @module
 */

import type { InflateFailure } from "./engine.ts";
import { END, EXTRA_SHIFT, type HuffmanCode, LENGTH, LITERALS, VALUE_MASK, VALUE_SHIFT } from "./huffman.ts";
import { BlockCodes, COMPLETE, UNFINISHED, Walk } from "./walker.ts";

/** As `LITERALS`, but a literal stands for itself. */
const VALUES = LITERALS.map((entry, symbol) => symbol < 256 ? symbol << VALUE_SHIFT : entry);

let codes: BlockCodes | undefined;

/**
 * Inflates a payload (RFC 7692 section 7.2.2).
 *
 * @param payload The payload of a whole message, without the tail `00 00 ff ff`. An empty one counts as an empty message.
 * @param limit The largest message allowed, in octets.
 * @returns The message, or the close code that tells why there is none.
 */
export function inflateNow(payload: Uint8Array, limit: number): Uint8Array | InflateFailure {
  if (payload.length === 0) return payload;
  const walk = new Walk(payload, true, limit, 0, 32768);
  const result = finish(walk);
  if (result !== COMPLETE) return result as InflateFailure;
  const output = new Output(payload, walk.size, codes ??= new BlockCodes(VALUES));
  finish(output);
  return output.octets;
}

function finish(walk: Walk): number {
  let result = walk.run(false);
  while (result === UNFINISHED) result = walk.run(false);
  return result;
}

/** A second walk over what the first found right: there is nothing to check any more. */
class Output extends Walk {
  readonly octets: Uint8Array;
  #length = 0;

  constructor(payload: Uint8Array, size: number, codes: BlockCodes) {
    super(payload, true, size, 0, 32768, codes);
    this.octets = new Uint8Array(size);
  }

  protected override stored(): number {
    const result = super.stored();
    // The tail, which is not in `bytes`, may be what is stored.
    for (let from = this.at - (this.size - this.#length); from < this.at; from++) this.octets[this.#length++] = this.octet(from);
    return result;
  }

  protected override symbols(literals: HuffmanCode, distances: HuffmanCode): number {
    const { octets } = this;
    for (;;) {
      const entry = this.#next(literals);
      if (entry < LENGTH) {
        octets[this.#length++] = entry >> VALUE_SHIFT;
        continue;
      }
      if (entry >= END) break;
      const length = this.#value(entry);
      const from = this.#length - this.#value(this.#next(distances));
      for (let i = 0; i < length; i++) octets[this.#length + i] = octets[from + i]; // they may overlap
      this.#length += length;
    }
    this.size = this.#length;
    return COMPLETE;
  }

  #next(code: HuffmanCode): number {
    while (this.bits < 15) {
      this.hold |= this.octet(this.at++) << this.bits;
      this.bits += 8;
    }
    const entry = code.table[this.hold & code.mask] || code.find(this.hold);
    this.hold >>>= entry & 15;
    this.bits -= entry & 15;
    return entry;
  }

  /** A length or a distance. */
  #value(entry: number): number {
    const extra = entry >> EXTRA_SHIFT & 15;
    return ((entry >> VALUE_SHIFT) & VALUE_MASK) + (extra === 0 ? 0 : this.take(extra));
  }
}
