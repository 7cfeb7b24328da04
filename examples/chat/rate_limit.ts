/**
 * How often a connection may say something.
 *
 * @module
 */

/** So many messages may come at once … */
const BURST = 20;
/** … and so many per second in the long run. */
const PER_SECOND = 5;
/** Who is refused so often in a row does not listen. */
const PATIENCE = 100;

/** A bucket that fills up by itself and from which every message takes a token. */
export class RateLimit {
  #tokens = BURST;
  #filledAt = 0;
  #refused = 0;

  /**
   * Asks for one more message.
   *
   * @param now The time in milliseconds.
   * @returns 0 when the message may pass, otherwise after how many milliseconds one will.
   */
  take(now: number): number {
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#filledAt) / 1000) * PER_SECOND);
    this.#filledAt = now;
    if (this.#tokens < 1) {
      this.#refused++;
      return Math.ceil(((1 - this.#tokens) / PER_SECOND) * 1000);
    }
    this.#tokens--;
    this.#refused = 0;
    return 0;
  }

  /** Whether it is time to hang up. */
  get isExhausted(): boolean {
    return this.#refused > PATIENCE;
  }
}
