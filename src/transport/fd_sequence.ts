/**
 * The numbers that a table gives to its connections.
 *
 * @module
 */

/** Numbers in ascending order, in blocks. By default there is one block without an end: 1, 2, 3, … */
export class FdSequence {
  /** The number given out last; at first, the one before the first. */
  last: number;

  readonly #step: number;
  readonly #onHalf: (() => void) | undefined;
  #remaining: number; // in this block
  #half: number; // of `#remaining`, when another block is needed
  #following: { readonly first: number; readonly count: number } | undefined = undefined;

  /**
   * @param last The number before the first one.
   * @param step The difference between two numbers.
   * @param count How many numbers there are.
   * @param onHalf Called when half of the numbers of a block are in use, to `add()` another block.
   */
  constructor(last = 0, step = 1, count: number = Infinity, onHalf?: () => void) {
    this.last = last;
    this.#step = step;
    this.#remaining = count;
    this.#half = Math.floor(count / 2);
    this.#onHalf = onHalf;
  }

  /** Whether there is another number. */
  get hasNext(): boolean {
    return this.#remaining > 0 || this.#following !== undefined;
  }

  /** Returns the next number. Check `hasNext` before. */
  next(): number {
    if (this.#remaining === 0) this.#goOn();
    this.last += this.#step;
    if (--this.#remaining === this.#half) this.#onHalf?.();
    return this.last;
  }

  /**
   * Adds a block, which is used after the present one.
   *
   * @param first Its first number, greater than all before.
   * @param count How many numbers it has, at least 1.
   */
  add(first: number, count: number): void {
    this.#following = { first, count };
    if (this.#remaining === 0) this.#goOn();
  }

  #goOn(): void {
    const { first, count } = this.#following!;
    this.#following = undefined;
    this.last = first - this.#step;
    this.#remaining = count;
    this.#half = Math.floor(count / 2);
  }
}
