/**
 * Compressed payloads (RFC 7692 section 7.2). Before a payload is inflated, it is checked: it has to be valid, and its inflated size
 * within the limit. Payloads to send are made from finished DEFLATE streams.
 *
 * @module
 */

import type { InflateFailure, Inflater } from "../../transport/codecs.ts";
import { COMPLETE, TAIL_LENGTH, UNFINISHED, Walk } from "./inflated_size.ts";

/**
 * The bytes that are removed from the end of a message (RFC 7692 section 7.2.1) and restored to inflate it. They stay at the end
 * of a fragment that others follow.
 */
export const TAIL: Uint8Array = new Uint8Array([0x00, 0x00, 0xff, 0xff]);

/** The end of the output of `Z_SYNC_FLUSH`: an empty stored block, after the bits that fill up a byte. */
const EMPTY_STORED_BLOCK = new Uint8Array([0, 0, 0, 0xff, 0xff]);

/**
 * Returns the window in bytes to measure with. zlib cannot create an 8-bit window: peers that agreed to one may use 9 bits.
 *
 * @param bits The agreed window, 8 to 15 bits.
 * @returns 512 to 32768.
 */
export function windowSize(bits: number): number {
  return 1 << Math.max(bits, 9);
}

/**
 * A measurement of the payload of a message, without its tail `00 00 ff ff`. A payload passes if zlib inflates it without an
 * error. Final blocks may be anywhere (RFC 7692 sections 7.2.1 and 7.2.3.4). The work is proportional to the payload.
 */
export class Measurement {
  readonly #payload: Uint8Array;
  readonly #walk: Walk;

  /**
   * @param payload The payload. An empty payload counts as an empty message.
   * @param limit The largest size allowed.
   * @param history The number of bytes of earlier messages it may refer to: 0 without takeover.
   * @param window The largest distance of a reference, in bytes.
   */
  constructor(payload: Uint8Array, limit: number, history: number, window: number) {
    this.#payload = payload;
    this.#walk = new Walk(payload, true, limit, history, window);
  }

  /** The size of the message in bytes, after `run()`. */
  get size(): number {
    return this.#walk.size;
  }

  /**
   * Measures for about a millisecond.
   *
   * @returns 0 if the payload is valid, 1007 or 1009 if it is not, -1 if there is more to do.
   */
  run(): InflateFailure | 0 | -1 {
    return this.#payload.length === 0 ? COMPLETE : this.#walk.run(false) as InflateFailure | 0 | -1;
  }

  /** Returns the payload with the tail as a sequence of non-final blocks that ends on a byte boundary, in new memory. */
  blocks(): Uint8Array {
    const { length } = this.#payload, { finals } = this.#walk;
    const whole = new Uint8Array(length + TAIL_LENGTH);
    whole.set(this.#payload);
    whole.fill(0xff, length + TAIL_LENGTH / 2);
    if (finals.length === 0) return whole;
    // If the payload ends with a final block, the bytes that repair it replace the tail.
    const end = Math.ceil(finals[finals.length - 1] / 8);
    return repair(whole, end >= length ? end : whole.length, finals);
  }
}

/**
 * Clears the bits that make blocks final. After each such block, inserts an empty stored block, which ends on a byte boundary as
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
    repaired[to - 1] &= 0xff >> padding; // the padding may contain any bits
    // Padding of at least 3 bits holds the header of the stored block.
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

  /** @param stream The stream. Nothing may follow the final block. */
  constructor(stream: Uint8Array) {
    this.#stream = stream;
    this.#walk = new Walk(stream, false, Infinity, 0, 1 << 15);
  }

  /**
   * Searches for the final block, for about a millisecond.
   *
   * @returns Whether it was found.
   * @throws {Error} If this is not a finished stream.
   */
  run(): boolean {
    const result = this.#walk.run(true);
    if (result === UNFINISHED) return false;
    if (result === COMPLETE && this.#walk.finals.length === 2) return true;
    throw new Error("Cannot make a payload: not a finished DEFLATE stream");
  }

  /** Returns the payload, in new memory: no block is final, and the tail is removed. */
  payload(): Uint8Array {
    const { finals } = this.#walk;
    const whole = repair(this.#stream, Math.ceil(finals[1] / 8), finals);
    return whole.subarray(0, whole.length - TAIL_LENGTH);
  }
}

/** The result of inflating. */
export type InflateResult = Uint8Array | InflateFailure;

/**
 * An inflater that only inflates payloads that were measured: they are valid, and their size is known and allowed. An engine that
 * limits its output itself may skip that for small payloads.
 */
export abstract class MeasuringInflater implements Inflater {
  /** Whether the inflater was closed, so that results are no longer needed. */
  protected closed = false;
  readonly #window: number;
  readonly #takeover: boolean;
  readonly #nextTurn: () => Promise<unknown>;
  #history = 0;

  /**
   * @param windowBits The agreed window, 8 to 15 bits.
   * @param takeover Whether a message may refer to earlier ones.
   * @param nextTurn Waits for the next turn of the event loop, for payloads that take long.
   */
  constructor(windowBits: number, takeover: boolean, nextTurn: () => Promise<unknown>) {
    this.#window = windowSize(windowBits);
    this.#takeover = takeover;
    this.#nextTurn = nextTurn;
  }

  /** Inflates the payload of one message. */
  inflate(payload: Uint8Array, limit: number): InflateResult | Promise<InflateResult> {
    const measurement = new Measurement(payload, limit, this.#history, this.#window);
    const result = measurement.run();
    return result === -1 ? this.#goOn(measurement) : this.#finish(measurement, result);
  }

  async #goOn(measurement: Measurement): Promise<InflateResult> {
    for (;;) {
      await this.#nextTurn();
      if (this.closed) return 1007;
      const result = measurement.run();
      if (result !== -1) return await this.#finish(measurement, result);
    }
  }

  #finish(measurement: Measurement, result: InflateFailure | 0): InflateResult | Promise<InflateResult> {
    if (result !== 0) return result;
    const { size } = measurement;
    if (size === 0) return new Uint8Array(0);
    if (this.#takeover) this.#history = Math.min(this.#window, this.#history + size);
    return this.produce(measurement.blocks(), size);
  }

  /**
   * Inflates valid blocks.
   *
   * @param blocks The blocks, none of which is final. The last one ends on a byte boundary.
   * @param size The size of the message, at least 1.
   * @returns The message; 1007 if it is corrupt after all, or the inflater was closed.
   */
  protected abstract produce(blocks: Uint8Array, size: number): InflateResult | Promise<InflateResult>;

  /** Frees the memory. */
  close(): void {
    this.closed = true;
  }
}
