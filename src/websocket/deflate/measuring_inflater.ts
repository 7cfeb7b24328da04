/**
 * What inflaters have in common that measure a payload first: the checks, and the memory of how much came before.
 *
 * @module
 */

import type { InflateFailure, Inflater } from "./engine.ts";
import { Measurement, windowSize } from "./payload.ts";

/** What inflating gives. */
export type InflateResult = Uint8Array | InflateFailure;

/** An inflater that produces only what has been measured: it is right, and its size is known and allowed. */
export abstract class MeasuringInflater implements Inflater {
  /** Whether it has been closed: there is no result any more that anybody waits for. */
  protected closed = false;
  readonly #window: number;
  readonly #takeover: boolean;
  readonly #nextTurn: () => Promise<unknown>;
  #history = 0;

  /**
   * @param windowBits The agreed window, 8 to 15 bits.
   * @param takeover Whether a message may refer to the ones before it.
   * @param nextTurn Lets the event loop turn, for payloads that take long.
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
   * Inflates blocks that are right.
   *
   * @param blocks Blocks without a final one. The last one ends with an octet.
   * @param size How large the message is, at least 1.
   * @returns The message; 1007 if it is not right all the same, or if the inflater has been closed.
   */
  protected abstract produce(blocks: Uint8Array, size: number): InflateResult | Promise<InflateResult>;

  /** Gives its memory back. */
  close(): void {
    this.closed = true;
  }
}
