/**
 * A timer that is set often and rings seldom.
 *
 * @module
 */

/** The longest delay of a timer, in milliseconds: a longer one overflows and is none, in every runtime. */
export const LONGEST_DELAY = 0x7fffffff;

/** Seconds as the delay of a timer: 24 days at most. */
export function delayOf(seconds: number): number {
  return Math.min(seconds * 1000, LONGEST_DELAY);
}

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
   * @param time In milliseconds since 1970.
   */
  at(time: number): void {
    if (this.#timer !== undefined && this.#time <= time) return;
    this.clear();
    this.#time = time;
    // Who waits longer than a timer can is asked again on the way.
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#ring();
    }, Math.min(Math.max(time - Date.now(), 0) + 1, LONGEST_DELAY));
  }

  /** Does not ring. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
