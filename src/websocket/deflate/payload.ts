/**
 * Payloads of compressed messages (RFC 7692 section 7.2): measured before they are inflated, and made of finished streams.
 *
 * @module
 */

import type { InflateFailure } from "./engine.ts";
import { COMPLETE, TAIL_LENGTH, UNFINISHED, Walk } from "./walker.ts";

/** What `Z_SYNC_FLUSH` ends with: an empty stored block, after the bits that fill up an octet. */
const EMPTY_STORED_BLOCK = new Uint8Array([0, 0, 0, 0xff, 0xff]);

/**
 * The window in octets to measure with. zlib cannot make one of 8 bits: peers that agreed to it may use 9.
 *
 * @param bits The agreed window, 8 to 15 bits.
 * @returns 512 to 32768.
 */
export function windowSize(bits: number): number {
  return 1 << Math.max(bits, 9);
}

/**
 * Measures the payload of a message, whose tail `00 00 ff ff` is missing. What passes is what zlib inflates without an error; final
 * blocks may be anywhere (RFC 7692 sections 7.2.1 and 7.2.3.4). The work is in proportion to the payload.
 */
export class Measurement {
  readonly #payload: Uint8Array;
  readonly #walk: Walk;

  /**
   * @param payload The payload. An empty one counts as an empty message.
   * @param limit The largest size allowed.
   * @param history How many octets of earlier messages it may refer to: 0 without takeover.
   * @param window How far back it may refer, in octets.
   */
  constructor(payload: Uint8Array, limit: number, history: number, window: number) {
    this.#payload = payload;
    this.#walk = new Walk(payload, true, limit, history, window);
  }

  /** How many octets the message has, after `run()`. */
  get size(): number {
    return this.#walk.size;
  }

  /**
   * Measures for about a millisecond.
   *
   * @returns 0 when the payload is right, 1007 or 1009 when it is not, -1 when there is more to do.
   */
  run(): InflateFailure | 0 | -1 {
    return this.#payload.length === 0 ? COMPLETE : this.#walk.run(false) as InflateFailure | 0 | -1;
  }

  /** The payload as one sequence of blocks of which none is final, with the tail, in new memory. An octet ends where it ends. */
  blocks(): Uint8Array {
    const { length } = this.#payload, { finals } = this.#walk;
    const whole = new Uint8Array(length + TAIL_LENGTH);
    whole.set(this.#payload);
    whole.fill(0xff, length + TAIL_LENGTH / 2);
    if (finals.length === 0) return whole;
    // If a final block is the last thing in the payload, what repairs it stands for the tail.
    const end = Math.ceil(finals[finals.length - 1] / 8);
    return repair(whole, end >= length ? end : whole.length, finals);
  }
}

/**
 * Clears the bits that make blocks final. Behind such a block comes an empty stored one, which ends on the border of an octet as
 * the padding did.
 */
function repair(bytes: Uint8Array, length: number, finals: readonly number[]): Uint8Array {
  const repaired = new Uint8Array(length + finals.length / 2 * EMPTY_STORED_BLOCK.length);
  let from = 0, to = 0;
  for (let i = 0; i < finals.length; i += 2) {
    const bit = finals[i], behind = finals[i + 1];
    const end = Math.ceil(behind / 8), padding = end * 8 - behind;
    repaired.set(bytes.subarray(from, end), to);
    repaired[to + Math.floor(bit / 8) - from] &= ~(1 << bit % 8);
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

/** A finished raw DEFLATE stream that becomes the payload of a message (RFC 7692 section 7.2.1). */
export class FinishedStream {
  readonly #stream: Uint8Array;
  readonly #walk: Walk;

  /** @param stream The stream, of which nothing is behind the final block. */
  constructor(stream: Uint8Array) {
    this.#stream = stream;
    this.#walk = new Walk(stream, false, Infinity, 0, 1 << 15);
  }

  /**
   * Looks for the final block, for about a millisecond.
   *
   * @returns Whether it has been found.
   * @throws {Error} When this is no finished stream.
   */
  run(): boolean {
    const result = this.#walk.run(true);
    if (result === UNFINISHED) return false;
    if (result === COMPLETE && this.#walk.finals.length === 2) return true;
    throw new Error("Cannot make a payload: not a finished DEFLATE stream");
  }

  /** The payload, in new memory: no block is final, and the tail is left out. */
  payload(): Uint8Array {
    const { finals } = this.#walk;
    const whole = repair(this.#stream, Math.ceil(finals[1] / 8), finals);
    return whole.subarray(0, whole.length - TAIL_LENGTH);
  }
}
