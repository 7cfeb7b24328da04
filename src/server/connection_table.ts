/**
 * The connections of a server and the clock that watches over them.
 *
 * @module
 */

import { Connection, type ConnectionOrigin, type ConnectionOwner, type Protocol, Scratch } from "../connection.ts";
import type { BytePipe } from "../runtime.ts";

/** What a table needs to know. Times in milliseconds, sizes in octets. */
export interface TableOptions {
  /** The most connections at a time. */
  readonly maxConnections: number;
  /** The fd before the first. */
  readonly firstFd: number;
  /** See `ConnectionOwner`. */
  readonly lingerTimeout: number;
  /** See `ConnectionOwner`. */
  readonly highWatermark: number;
  /** See `ConnectionOwner`. */
  readonly lowWatermark: number;
}

/** What a table tells its server. */
export interface TableEvents {
  /** Makes the first protocol of a connection. */
  makeProtocol(connection: Connection): Protocol;
  /** A connection was accepted; it has not been read yet. */
  onAccepted(connection: Connection): void;
  /** A connection is over. It is no longer in the table. */
  onClosed(connection: Connection, byServer: boolean): void;
  /** See `ConnectionOwner`. */
  onBufferFull(connection: Connection): void;
  /** See `ConnectionOwner`. */
  onBufferEmpty(connection: Connection): void;
  /** See `ConnectionOwner`. */
  onFault(connection: Connection, error: unknown): void;
}

/**
 * A handler that awaits goes on a few microtasks later, and may then send more: what it sends in one turn leaves as one chunk. After
 * so many rounds in which nobody sent anything the turn counts as over, and after so many altogether in any case.
 */
const QUIET_ROUNDS = 4;
const MOST_ROUNDS = 200;

/** How often deadlines are looked at. Timeouts are exact to this many milliseconds. */
const TICK = 250;

/**
 * All connections of a server by fd. It also owns what they share: the coarse clock, the scratch memory and the list of those
 * that have something to flush at the end of the turn. There is one timer for all of them.
 */
export class ConnectionTable implements ConnectionOwner {
  now: number;
  readonly scratch: Scratch = new Scratch();
  activity = 0;
  readonly lingerTimeout: number;
  readonly highWatermark: number;
  readonly lowWatermark: number;

  /** How many connections were accepted. */
  acceptCount = 0;
  /** How many connections were closed. */
  closeCount = 0;
  /** How many connections were turned away because there were too many. */
  abortCount = 0;

  readonly #options: TableOptions;
  readonly #events: TableEvents;
  readonly #clock: () => number;
  readonly #open: Map<number, Connection> = new Map();
  readonly #leaving: Set<Connection> = new Set(); // over for the program, their transport is not
  #lastFd: number;
  #epoch = 0; // the date of the clock's 0
  #dirty: Connection[] = [];
  #timer: ReturnType<typeof setInterval> | undefined = undefined;
  #receivedBytes = 0; // of connections that are gone
  #sentBytes = 0;
  #idle: (() => void)[] = [];

  constructor(options: TableOptions, events: TableEvents, clock: () => number = () => performance.now()) {
    this.#options = options;
    this.#events = events;
    this.#clock = clock;
    this.#lastFd = options.firstFd;
    this.lingerTimeout = options.lingerTimeout;
    this.highWatermark = options.highWatermark;
    this.lowWatermark = options.lowWatermark;
    this.now = clock();
  }

  /** How many connections are open. */
  get size(): number {
    return this.#open.size;
  }

  /** The last fd that was given out. */
  get lastFd(): number {
    return this.#lastFd;
  }

  /** Octets received since the start. */
  get receivedBytes(): number {
    let sum = this.#receivedBytes;
    for (const connection of this.#open.values()) sum += connection.receivedBytes;
    return sum;
  }

  /** Octets sent since the start. */
  get sentBytes(): number {
    let sum = this.#sentBytes;
    for (const connection of this.#open.values()) sum += connection.sentBytes;
    return sum;
  }

  /** The open connection with an fd. */
  get(fd: number): Connection | undefined {
    return this.#open.get(fd);
  }

  /** The fds of all open connections, oldest first. */
  fds(): IterableIterator<number> {
    return this.#open.keys();
  }

  /** All open connections, oldest first. */
  connections(): IterableIterator<Connection> {
    return this.#open.values();
  }

  /**
   * Takes a connection in. Returns `undefined` when there are too many; it is dropped then.
   *
   * @param makeProtocol Makes its first protocol, if that is not the same for all.
   * @param origin By which way it came in, if not by the only one.
   */
  accept(
    pipe: BytePipe,
    makeProtocol?: (connection: Connection) => Protocol,
    origin?: ConnectionOrigin,
  ): Connection | undefined {
    if (this.#open.size >= this.#options.maxConnections) {
      this.abortCount++;
      pipe.abort();
      return undefined;
    }
    this.#startClock();
    const make = makeProtocol ?? ((it) => this.#events.makeProtocol(it));
    const connection = new Connection(this, ++this.#lastFd, pipe, make, origin);
    this.acceptCount++;
    this.#open.set(connection.fd, connection);
    connection.start();
    this.#events.onAccepted(connection);
    return connection;
  }

  /** The date of a time of the clock, in milliseconds since 1970; 0 stays 0. */
  dateOf(time: number): number {
    if (time === 0) return 0;
    const epoch = Date.now() - this.#clock();
    // The difference of two readings wavers; one that has jumped means that somebody has set the date.
    if (Math.abs(epoch - this.#epoch) > 50) this.#epoch = epoch;
    return Math.round(this.#epoch + time);
  }

  /** The time of the clock, to the millisecond. */
  get time(): number {
    return this.#clock();
  }

  /** Resolves when no connection is left, those that are on their way out included. */
  whenEmpty(): Promise<void> {
    if (this.#isEmpty) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Drops everything. */
  abortAll(): void {
    for (const connection of [...this.#open.values(), ...this.#leaving]) connection.abort();
  }

  /** Looks at all deadlines. Called by the table's own timer; the time comes from its clock. */
  tick(): void {
    const now = this.now = this.#clock();
    for (const connection of this.#open.values()) {
      if (connection.deadline !== 0 && connection.deadline <= now) connection.expire(now);
    }
    for (const connection of this.#leaving) {
      if (connection.deadline !== 0 && connection.deadline <= now) connection.expire(now);
    }
  }

  get #isEmpty(): boolean {
    return this.#open.size === 0 && this.#leaving.size === 0;
  }

  #startClock(): void {
    if (this.#timer !== undefined) return;
    this.now = this.#clock();
    this.#timer = setInterval(() => this.tick(), TICK);
    // A connection keeps a process alive by itself where it is a socket; the clock alone does not.
    (this.#timer as unknown as { unref?(): void }).unref?.();
  }

  // ---- ConnectionOwner ----------------------------------------------------------------------------------------------

  flushLater(connection: Connection): void {
    if (this.#dirty.push(connection) === 1) this.#flushSoon(this.activity, QUIET_ROUNDS, MOST_ROUNDS);
  }

  /** Flushes when nothing was queued for some rounds of microtasks. */
  #flushSoon(seen: number, quiet: number, rounds: number): void {
    queueMicrotask(() => {
      const { activity } = this;
      if (activity !== seen) quiet = QUIET_ROUNDS;
      if (quiet > 0 && rounds > 0) return this.#flushSoon(activity, quiet - 1, rounds - 1);
      const dirty = this.#dirty;
      this.#dirty = [];
      for (const one of dirty) one.flush();
    });
  }

  onBufferFull(connection: Connection): void {
    this.#events.onBufferFull(connection);
  }

  onBufferEmpty(connection: Connection): void {
    this.#events.onBufferEmpty(connection);
  }

  onClosed(connection: Connection, byServer: boolean): void {
    this.#open.delete(connection.fd);
    this.#leaving.add(connection);
    this.closeCount++;
    this.#receivedBytes += connection.receivedBytes;
    this.#sentBytes += connection.sentBytes;
    this.#events.onClosed(connection, byServer);
  }

  onFault(connection: Connection, error: unknown): void {
    this.#events.onFault(connection, error);
  }

  onReleased(connection: Connection): void {
    this.#leaving.delete(connection);
    if (!this.#isEmpty) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
