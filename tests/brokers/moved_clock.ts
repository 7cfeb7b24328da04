/**
 * A clock that a test moves.
 *
 * @module
 */

import type { BrokerClock } from "../../src/topics/kept_topics.ts";

/** A clock that stands still until it is moved. */
export class MovedClock implements BrokerClock {
  #now = 1;
  readonly #timers: Set<{ readonly at: number; readonly work: () => void }> = new Set();

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, work: () => void): () => void {
    const timer = { at: this.#now + milliseconds, work };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** The number of timers that are set. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Moves the clock as if the program were busy meanwhile: what is due is called at the end. */
  block(milliseconds: number): void {
    this.#now += milliseconds;
    this.move(0);
  }

  /** Moves the clock, and calls whatever is due on the way. */
  move(milliseconds: number): void {
    const end = this.#now + milliseconds;
    while (true) {
      let next: { readonly at: number; readonly work: () => void } | undefined;
      for (const timer of this.#timers) if (timer.at <= end && (next === undefined || timer.at < next.at)) next = timer;
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.work();
    }
    this.#now = end;
  }
}
