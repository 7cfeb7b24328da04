/**
 * Measures the memory of this process.
 *
 * @module
 */

import process from "node:process";

/** Samples the resident memory of this process. */
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

  /** Stops sampling, and returns the peak growth in bytes since the start. */
  end(): number {
    this.#look();
    clearInterval(this.#timer);
    return this.#most - this.#start;
  }
}
