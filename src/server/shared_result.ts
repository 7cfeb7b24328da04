/**
 * A result that takes time to make, and that many may ask for.
 *
 * @module
 */

/** For so long after it was asked for, a result is good for others, in milliseconds. */
const GOOD_FOR = 100;

/**
 * Makes a result once at a time: who asks meanwhile gets the same one. So peers that ask all the time cannot have the other processes
 * do so, too.
 */
export class SharedResult<T> {
  readonly #make: () => Promise<T>;
  #result: Promise<T> | undefined = undefined;
  #goodUntil = 0;

  /** @param make Makes a result. */
  constructor(make: () => Promise<T>) {
    this.#make = make;
  }

  /** Returns a result that was begun less than 100 ms ago, or is not complete yet. */
  get(): Promise<T> {
    if (this.#result !== undefined && performance.now() < this.#goodUntil) return this.#result;
    const goodUntil = performance.now() + GOOD_FOR;
    const settled = () => void (this.#goodUntil = goodUntil);
    this.#goodUntil = Infinity;
    const result = this.#result = this.#make();
    result.then(settled, settled);
    return result;
  }
}
