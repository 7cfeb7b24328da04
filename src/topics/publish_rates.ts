/**
 * How much each connection may publish.
 *
 * @module
 */

/** What a connection has left. */
interface Allowance {
  /** The number of messages that it may publish now. */
  left: number;
  /** When that was so, in milliseconds. */
  at: number;
}

/** The allowances of connections: what they have not used within the last second does not add up. */
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
    if (allowance === undefined) this.#allowances.set(fd, allowance = { left: rate, at: now });
    allowance.left = Math.min(rate, allowance.left + (now - allowance.at) * rate / 1000);
    allowance.at = now;
    if (allowance.left < 1) {
      this.refused++;
      return false;
    }
    allowance.left--;
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
