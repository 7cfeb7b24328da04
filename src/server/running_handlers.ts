/**
 * The handlers of a server that have not settled yet.
 *
 * @module
 */

/** Counts the handlers that are under way, so that a server that stops can wait for them. */
export class RunningHandlers {
  #count = 0;
  #idle: (() => void)[] = [];

  /** How many have not settled. */
  get count(): number {
    return this.#count;
  }

  /** One has begun to wait for something. */
  enter(): void {
    this.#count++;
  }

  /** It has settled. */
  leave(): void {
    if (--this.#count === 0) this.release();
  }

  /** Resolves when all have settled, or with `release()`. */
  whenIdle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Lets go of those who wait. */
  release(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
