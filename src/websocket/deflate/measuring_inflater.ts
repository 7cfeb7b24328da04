/**
 * What inflaters have in common that measure a payload first: the checks, and the memory of how much came before.
 *
 * @module
 */

import type { InflateFailure, Inflater } from "./engine.ts";
import { failureOf, measure, windowSize } from "./walker.ts";

/** An inflater that produces only what has been measured: it is right, and its size is known and allowed. */
export abstract class MeasuringInflater implements Inflater {
  readonly #window: number;
  readonly #takeover: boolean;
  #history = 0;

  /**
   * @param windowBits The agreed window, 8 to 15 bits.
   * @param takeover Whether a message may refer to the ones before it.
   */
  constructor(windowBits: number, takeover: boolean) {
    this.#window = windowSize(windowBits);
    this.#takeover = takeover;
  }

  /** Inflates the payload of one message. */
  inflate(payload: Uint8Array, limit: number): Uint8Array | InflateFailure | Promise<Uint8Array | InflateFailure> {
    const measured = measure(payload, limit, this.#history, this.#window);
    if (typeof measured === "number") return failureOf(measured);
    const { size } = measured;
    if (size === 0) return new Uint8Array(0);
    if (this.#takeover) this.#history = Math.min(this.#window, this.#history + size);
    return this.produce(measured.blocks(), size);
  }

  /**
   * Inflates blocks that are right.
   *
   * @param blocks Blocks without a final one. The last one ends with an octet.
   * @param size How large the message is, at least 1.
   * @returns The message; 1007 if it is not right all the same, or if the inflater has been closed.
   */
  protected abstract produce(
    blocks: Uint8Array,
    size: number,
  ): Uint8Array | InflateFailure | Promise<Uint8Array | InflateFailure>;

  /** Gives its memory back. */
  abstract close(): void;
}
