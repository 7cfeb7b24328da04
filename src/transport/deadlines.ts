/**
 * Deadlines of timeouts, limits of timers, and a timer that is set often and fires rarely.
 *
 * @module
 */

/** The longest delay of a timer in milliseconds, about 24 days. With a longer one, the timer overflows and fires at once. */
export const LONGEST_DELAY = 0x7fffffff;

/** Converts seconds, however many, to the delay of a timer. */
export function delayOf(seconds: number): number {
  return Math.min(seconds * 1000, LONGEST_DELAY);
}

/** Returns the time at which a timeout ends, both in milliseconds; 0 (never) for a timeout of 0. */
export function deadlineIn(timeout: number, now: number): number {
  return timeout === 0 ? 0 : now + timeout;
}

/**
 * A timer that calls back at a given time. Re-arming is free while an earlier timer is pending: when that one fires, the owner
 * handles everything that is due and sets the alarm again for the rest.
 */
export class Alarm {
  readonly #ring: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;
  #time = 0;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /**
   * Rings at this time or earlier.
   *
   * @param time By `performance.now()`.
   */
  at(time: number): void {
    if (this.#timer !== undefined && this.#time <= time) return;
    this.clear();
    this.#time = time;
    // A wait longer than the longest delay is interrupted by early rings.
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#ring();
    }, Math.min(Math.max(time - performance.now(), 0) + 1, LONGEST_DELAY));
  }

  /** Cancels the alarm. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
