/**
 * How much each connection may publish.
 *
 * @module
 */

/** What remains of the rate of a connection. */
interface Allowance {
  /** The number of messages that it may publish now. */
  remaining: number;
  /** When that was so, in milliseconds. */
  at: number;
}

/** The allowances of connections. What a connection has not used adds up for one second at most. */
export class PublishRates {
  /** The number of messages that were refused. */
  refused = 0;

  readonly #rate: number;
  readonly #allowances: Map<number, Allowance> = new Map();

  /** @param rate The number of messages that each may publish in a second; 0 for no limit. */
  constructor(rate: number) {
    this.#rate = rate;
  }

  /** Takes one message of a connection. Returns whether it may be published. */
  take(fd: number, now: number): boolean {
    const rate = this.#rate;
    if (rate === 0) return true;
    let allowance = this.#allowances.get(fd);
    if (allowance === undefined) this.#allowances.set(fd, allowance = { remaining: rate, at: now });
    allowance.remaining = Math.min(rate, allowance.remaining + (now - allowance.at) * rate / 1000);
    allowance.at = now;
    if (allowance.remaining < 1) {
      this.refused++;
      return false;
    }
    allowance.remaining--;
    return true;
  }

  /** Forgets a connection that has ended. */
  forget(fd: number): void {
    this.#allowances.delete(fd);
  }

  /** The number of connections that are known. */
  get size(): number {
    return this.#allowances.size;
  }
}
