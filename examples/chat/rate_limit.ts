/**
 * The rate limit of a connection.
 *
 * @module
 */

/** The number of messages allowed in a burst. */
const BURST = 20;
/** The number of messages per second allowed in the long run. */
const PER_SECOND = 5;
/** The number of consecutive refusals after which the client is disconnected. */
const PATIENCE = 100;

/** A token bucket: it refills over time, and every message takes a token. */
export class RateLimit {
  #tokens = BURST;
  #filledAt = 0;
  #refused = 0;

  /**
   * Requests one more message.
   *
   * @param now The time in milliseconds.
   * @returns 0 if the message may pass, otherwise the milliseconds until the next one may.
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

  /** Whether the client should be disconnected. */
  get isExhausted(): boolean {
    return this.#refused > PATIENCE;
  }
}
