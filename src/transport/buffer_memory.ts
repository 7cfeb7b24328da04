/**
 * The memory that all connections of a server hold together, and the response to excess.
 *
 * @module
 */

import type { Connection } from "./connection.ts";

/** Above this fraction of the limit, new connections are refused. */
const SCARCE = 3 / 4;

/** When the limit is reached, usage is reduced to this fraction, so that the next chunk does not exceed it again. */
const RELIEVED = 31 / 32;

/** When new connections have been refused for too long, usage is reduced to this fraction. */
const PLENTY = 11 / 16;

/** How long new connections are refused before stalled incomplete input is dropped, in milliseconds. */
const PATIENCE = 5000;

/** How long before any other incomplete input is dropped, in milliseconds. */
const LAST_PATIENCE = 15_000;

/** The minimum time between two measurements of all holders on request, in milliseconds. */
const LOOK_INTERVAL = 20;

/**
 * The memory that the connections of a table hold, as far as peers can influence it. A connection is measured when it holds more
 * or less than before, at the latest every 16 KiB received or queued, and at each tick of the clock. The figure here therefore
 * lags by 16 KiB per connection or by a quarter of a second of input, whichever is less.
 */
export class BufferMemory {
  /** The maximum number of bytes. */
  limit: number = Infinity;
  /** The number of bytes held. */
  held = 0;

  readonly #clock: () => number;
  readonly #flush: () => void;
  readonly #onShed: (connection: Connection) => void;
  readonly #holders: Set<Connection> = new Set(); // connections that hold memory
  #isRelieving = false;
  #lookedAt = 0;
  #scarceSince = 0;

  /**
   * @param flush Passes output queued in this turn to the lanes: bytes that they take are not held.
   * @param onShed Called when a connection has been closed for the memory that it held, unless its protocol has reported that.
   */
  constructor(clock: () => number, flush: () => void, onShed: (connection: Connection) => void) {
    this.#clock = clock;
    this.#flush = flush;
    this.#onShed = onShed;
  }

  /** Measures how many bytes a connection holds. */
  measure(connection: Connection): void {
    connection.grown = 0;
    const held = connection.heldInput + connection.heldOutput;
    const change = held - connection.measured;
    if (change === 0) return;
    connection.measured = held;
    this.held += change;
    if (held > 0) this.#holders.add(connection);
    else this.#holders.delete(connection);
    if (change > 0 && this.held > this.limit && !this.#isRelieving) this.#relieve();
  }

  /** Closes connections until usage is below the limit. Deferred, because the connection that grew is still at work. */
  #relieve(): void {
    this.#isRelieving = true;
    queueMicrotask(() => {
      this.#flush();
      this.#look();
      if (this.held > this.limit) this.#shed(this.limit * RELIEVED, this.limit, 0);
      this.#isRelieving = false;
    });
  }

  /** Whether usage exceeds the limit. */
  get isExceeded(): boolean {
    return this.#isAbove(this.limit);
  }

  /** Whether usage is so high that new connections have to be refused. */
  get isScarce(): boolean {
    return this.#isAbove(this.limit * SCARCE);
  }

  #isAbove(bytes: number): boolean {
    if (this.held <= bytes) return false;
    if (this.#clock() >= this.#lookedAt + LOOK_INTERVAL) this.#look();
    return this.held > bytes;
  }

  /** Makes room so that new connections are admitted again. Called at each tick, after all connections were measured. */
  tick(now: number): void {
    if (this.held <= this.limit * SCARCE) return void (this.#scarceSince = 0);
    if (this.#scarceSince === 0) this.#scarceSince = now;
    const isLong = now >= this.#scarceSince + LAST_PATIENCE;
    if (isLong || now >= this.#scarceSince + PATIENCE) {
      this.#shed(this.limit * PLENTY, this.limit * SCARCE, isLong ? 0 : now - PATIENCE);
    }
  }

  /** Measures all connections that hold memory. */
  #look(): void {
    this.#lookedAt = this.#clock();
    for (const connection of this.#holders) this.measure(connection);
  }

  /**
   * Closes the connections with the most incomplete input or the most stalled output, until there is enough memory. Closes none
   * if that would not be enough.
   *
   * @param enough The target, in bytes.
   * @param most The target if `enough` cannot be reached.
   * @param silentSince Only input of connections that have received nothing since then; 0 for any.
   */
  #shed(enough: number, most: number, silentSince: number): void {
    const stalledSince = this.#clock() - PATIENCE;
    const candidates: Candidate[] = [];
    let sum = 0;
    for (const connection of this.#holders) {
      const { lastReceived, lastSent, waitingSince, heldOutput } = connection;
      const input = silentSince === 0 || lastReceived <= silentSince ? unfinishedOf(connection) : 0;
      const output = Math.max(lastSent, waitingSince) <= stalledSince ? heldOutput : 0;
      if (input + output === 0) continue;
      candidates.push({ connection, bytes: input + output, isStalled: output > 0 });
      sum += input + output;
    }
    const rest = this.held - sum;
    if (rest > most) return;
    const goal = rest <= enough ? enough : most;
    candidates.sort((one, other) => other.bytes - one.bytes);
    for (const { connection, isStalled } of candidates) {
      if (this.held <= goal) return;
      let isReported = false;
      connection.gather(() => {
        if (isStalled) connection.abort();
        else isReported = connection.protocol.shed!();
      });
      if (!isReported) this.#onShed(connection);
      this.measure(connection);
    }
  }
}

/** Returns the number of bytes of input that a connection would release. */
function unfinishedOf({ protocol, heldInput }: Connection): number {
  const { unfinishedBytes = 0 } = protocol;
  return unfinishedBytes > 0 && unfinishedBytes === protocol.heldBytes ? heldInput : unfinishedBytes;
}

/** A connection that may be closed for the memory that it holds. */
interface Candidate {
  readonly connection: Connection;
  readonly bytes: number;
  /** Whether its peer takes nothing that was sent. */
  readonly isStalled: boolean;
}

/** The minimum for the limit if it is not set. */
const LEAST = 64 * 1024 * 1024;

/** The assumed memory of the process if unknown. */
const UNKNOWN = 1024 * 1024 * 1024;

/**
 * Returns the limit for connections if it is not set.
 *
 * @param available The memory that the process may use, if known.
 */
export function defaultBufferMemory(available: number | undefined): number {
  return Math.max(LEAST, Math.floor((available ?? UNKNOWN) / 4));
}
