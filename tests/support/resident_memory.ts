/**
 * How much memory a process has.
 *
 * @module
 */

import process from "node:process";

/** Looks at the resident memory of this process again and again. */
export class ResidentMemory {
  readonly #start: number = process.memoryUsage().rss;
  readonly #timer: ReturnType<typeof setInterval>;
  #most = 0;

  constructor() {
    this.#timer = setInterval(() => this.#look(), 10);
  }

  #look(): void {
    this.#most = Math.max(this.#most, process.memoryUsage().rss);
  }

  /** Ends that, and tells how many octets there were more than at the beginning, at most. */
  end(): number {
    this.#look();
    clearInterval(this.#timer);
    return this.#most - this.#start;
  }
}
