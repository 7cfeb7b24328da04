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

/**
 * Waits for something that may take too long.
 *
 * @param seconds How long; `Infinity` for no limit.
 * @param late Called when the time is over. It is not waited any longer then.
 * @param signal Ends the wait before.
 */
export function atMost(
  clock: Clock,
  seconds: number,
  work: void | Promise<void>,
  late: () => void,
  signal: AbortSignal,
): Promise<void> {
  if (work === undefined || seconds === Infinity || signal.aborted) return Promise.resolve(work);
  return new Promise((resolve, reject) => {
    const end = () => {
      cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.after(seconds, () => {
      late();
      end();
    });
    signal.addEventListener("abort", end);
    work.catch(reject).then(end);
  });
}
