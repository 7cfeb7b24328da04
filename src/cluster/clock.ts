/**
 * The time of a master: a test moves it.
 *
 * @module
 */

import { delayOf } from "../transport/deadlines.ts";

/** A monotonic clock with timers. Times are in seconds. */
export interface Clock {
  /** The time. */
  readonly now: number;
  /** Calls back once, after a time of any length. Returns a function that prevents it. */
  after(seconds: number, call: () => void): () => void;
}

/** The clock of the system. */
export const systemClock: Clock = {
  get now(): number {
    return performance.now() / 1000;
  },
  after(seconds, call) {
    const timer = setTimeout(call, delayOf(seconds));
    return () => clearTimeout(timer);
  },
};
