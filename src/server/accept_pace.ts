/**
 * The rate at which new connections begin, so that a herd of clients that come back at the same time is served one after the other.
 *
 * @module
 */

import type { AcceptGate, Address } from "../transport/runtime.ts";

/** A clock: a test moves it. */
export interface PaceClock {
  /** Returns the time, in milliseconds. */
  now(): number;
  /** Calls a function later. Returns a function that prevents it. */
  after(milliseconds: number, work: () => void): () => void;
}

const systemClock: PaceClock = {
  now: () => performance.now(),
  after(milliseconds, work) {
    const timer = setTimeout(work, milliseconds);
    return () => clearTimeout(timer);
  },
};

/** The part of a second whose connections may begin at once. */
const BURST = 1 / 20;

/** A connection that waits for its turn. */
interface WaitingConnection {
  readonly gate: PortPace;
  readonly begin: () => boolean;
}

/** The limits of the connections of a port that wait, and their counters. */
export interface PaceLimits {
  /** The number of connections of the port that may wait. */
  readonly most: number;
  /** Counts a connection that waits. Returns whether there is room for it. */
  enter(address: Address | undefined): boolean;
  /** Called when it waits no more. */
  leave(): void;
  /** Called when a connection is refused because too many wait. */
  onRefused(address: Address | undefined): void;
}

/** The pace of a server. Connections of all ports wait in the order in which they came. */
export class AcceptPace {
  readonly #rate: number;
  readonly #clock: PaceClock;
  readonly #burst: number;
  readonly #waiting: Set<WaitingConnection> = new Set();
  #tokens: number;
  #at: number;
  #cancelTimer: (() => void) | undefined = undefined;

  /** @param rate The number of connections that may begin in a second. */
  constructor(rate: number, clock: PaceClock = systemClock) {
    this.#rate = rate;
    this.#clock = clock;
    this.#burst = Math.max(1, rate * BURST);
    this.#tokens = this.#burst;
    this.#at = clock.now();
  }

  /** The number of connections that wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Returns the pace of a port. */
  of(limits: PaceLimits): AcceptGate {
    return new PortPace(this, limits);
  }

  /** Lets a connection begin, unless it has to wait. Returns `false` if it has to. */
  take(begin: () => boolean): boolean {
    if (this.#waiting.size > 0 || !this.#hasToken()) return false;
    if (begin()) this.#tokens--;
    return true;
  }

  /** Lets a connection wait. */
  add(waiting: WaitingConnection): void {
    this.#waiting.add(waiting);
    this.#schedule();
  }

  /** Lets all connections of a port begin. */
  flush(gate: PortPace): void {
    for (const waiting of this.#waiting) if (waiting.gate === gate) this.#begin(waiting);
    if (this.#waiting.size > 0) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #hasToken(): boolean {
    const now = this.#clock.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#rate / 1000);
    this.#at = now;
    return this.#tokens >= 1 - 1e-6; // sums of parts are not exact
  }

  #schedule(): void {
    if (this.#cancelTimer !== undefined || this.#waiting.size === 0) return;
    this.#cancelTimer = this.#clock.after(Math.max(1, (1 - this.#tokens) * 1000 / this.#rate), () => {
      this.#cancelTimer = undefined;
      for (const waiting of this.#waiting) {
        if (!this.#hasToken()) break;
        if (this.#begin(waiting)) this.#tokens--;
      }
      this.#schedule();
    });
  }

  #begin(waiting: WaitingConnection): boolean {
    this.#waiting.delete(waiting);
    return waiting.gate.begin(waiting.begin);
  }
}

/** The pace of one port. */
class PortPace implements AcceptGate {
  readonly #pace: AcceptPace;
  readonly #limits: PaceLimits;
  #count = 0; // of those that wait

  constructor(pace: AcceptPace, limits: PaceLimits) {
    this.#pace = pace;
    this.#limits = limits;
  }

  enter(address: Address | undefined, begin: () => boolean): boolean {
    if (this.#pace.take(begin)) return true;
    if (this.#count >= this.#limits.most) {
      this.#limits.onRefused(address);
      return false;
    }
    if (!this.#limits.enter(address)) return false;
    this.#count++;
    this.#pace.add({ gate: this, begin });
    return true;
  }

  /** Lets a connection begin that has waited. Returns whether it is still there. */
  begin(begin: () => boolean): boolean {
    this.#count--;
    this.#limits.leave();
    return begin();
  }

  flush(): void {
    this.#pace.flush(this);
  }
}
