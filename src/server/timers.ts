/**
 * The timers of a server: `defer()`, `tick()`, `after()`, `clearTimer()`.
 *
 * @module
 */

import { describe } from "../values.ts";

/** Timers by number, which can be cleared one by one or all together. */
export class Timers {
  readonly #running: Map<number, { handle: ReturnType<typeof setTimeout>; repeats: boolean }> = new Map();
  readonly #run: (work: () => unknown) => void;
  #last = 0;

  /** @param run Runs a callback, and handles its errors. */
  constructor(run: (work: () => unknown) => void) {
    this.#run = run;
  }

  /** The number of timers that are running. */
  get size(): number {
    return this.#running.size;
  }

  /** Runs `callback` every `ms` milliseconds. It receives the number of the timer, then `args`. */
  tick<A extends unknown[]>(ms: number, callback: (id: number, ...args: A) => unknown, args: A): number {
    const id = this.#next(ms, callback);
    const handle = setInterval(() => this.#run(() => callback(id, ...args)), ms);
    this.#running.set(id, { handle, repeats: true });
    return id;
  }

  /** Runs `callback` once, after `ms` milliseconds. */
  after<A extends unknown[]>(ms: number, callback: (...args: A) => unknown, args: A): number {
    const id = this.#next(ms, callback);
    const handle = setTimeout(() => {
      this.#running.delete(id);
      this.#run(() => callback(...args));
    }, ms);
    this.#running.set(id, { handle, repeats: false });
    return id;
  }

  /** Runs `callback` at the end of this turn. */
  defer(callback: () => unknown): void {
    checkCallback(callback);
    queueMicrotask(() => this.#run(callback));
  }

  /** Stops a timer. Returns whether it existed. */
  clear(id: number): boolean {
    const timer = this.#running.get(id);
    if (timer === undefined) return false;
    if (timer.repeats) clearInterval(timer.handle);
    else clearTimeout(timer.handle);
    return this.#running.delete(id);
  }

  /** Stops all timers. */
  clearAll(): void {
    for (const id of [...this.#running.keys()]) this.clear(id);
  }

  #next(ms: number, callback: unknown): number {
    if (typeof ms === "function") throw new TypeError("Cannot set a timer: the milliseconds come first, then the function");
    checkCallback(callback);
    if (!(ms >= 1 && ms <= 0x7fffffff)) throw new RangeError(`Cannot set a timer: ${ms} is not in the range 1 to 2147483647 ms`);
    return ++this.#last;
  }
}

function checkCallback(callback: unknown): void {
  if (typeof callback !== "function") throw new TypeError(`Cannot set a timer: a function is needed, not ${describe(callback)}`);
}
