/**
 * How long timers can be set for, and when timeouts are up.
 *
 * @module
 */

/** The longest delay of a timer, in milliseconds, about 24 days: a longer one overflows, and the timer fires at once. */
export const LONGEST_DELAY = 0x7fffffff;

/** Seconds, any number of them, as the delay of a timer. */
export function delayOf(seconds: number): number {
  return Math.min(seconds * 1000, LONGEST_DELAY);
}

/** When a timeout is up, both in milliseconds; 0, for never, when there is none. */
export function deadlineIn(timeout: number, now: number): number {
  return timeout === 0 ? 0 : now + timeout;
}
