/**
 * A timer that is set often and rings seldom.
 *
 * @module
 */

import { LONGEST_DELAY } from "../delay.ts";

export { delayOf, LONGEST_DELAY } from "../delay.ts";

/**
 * Calls back at a time. Who waits again and again does not pay for a timer each time: one that is set already is left alone,
 * and when it rings, its owner looks at what is due and sets it for what is not.
 */
export class Alarm {
  readonly #ring: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;
  #time = 0;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /**
   * Rings at this time or before.
   *
   * @param time By `performance.now()`.
   */
  at(time: number): void {
    if (this.#timer !== undefined && this.#time <= time) return;
    this.clear();
    this.#time = time;
    // Who waits longer than a timer can is asked again on the way.
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#ring();
    }, Math.min(Math.max(time - performance.now(), 0) + 1, LONGEST_DELAY));
  }

  /** Does not ring. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
