/**
 * The connections of a server and their common clock.
 *
 * @module
 */

import type { ConnectionEnd, EndCause, TimeoutSetting } from "./connection_end.ts";
import { Connection } from "./connection.ts";
import { type ConnectionOrigin, type ConnectionOwner, type Protocol, Scratch } from "./connection_interfaces.ts";
import { forgetRuns } from "./connection_queues.ts";
import { BufferMemory } from "./buffer_memory.ts";
import { afterMicrotasks } from "./current_runtime.ts";
import { FdSequence } from "./fd_sequence.ts";
import { dropPipe } from "./pipes.ts";
import type { BytePipe } from "./runtime.ts";

/** The options of a table. Times are in milliseconds, sizes in bytes. */
interface TableOptions {
  /** The maximum number of connections at a time, in whatever state. */
  readonly maxConnections: number;
  /** The fds to give out. Default: 1, 2, 3, … */
  readonly fds?: FdSequence;
  /** See `ConnectionOwner`. */
  readonly lingerTimeout: number;
  /** See `ConnectionOwner`. */
  readonly highWatermark: number;
  /** See `ConnectionOwner`. */
  readonly lowWatermark: number;
}

/** The callbacks of a table to its server. */
interface TableEvents {
  /** Creates the first protocol of a connection. */
  makeProtocol(connection: Connection): Protocol;
  /** Called after a connection was accepted, before it is read. */
  onAccepted(connection: Connection): void;
  /** Called at each tick of the clock with how late it is, in seconds. */
  onTick?(delay: number): void;
  /** Called when the transport of a connection is gone too. */
  onReleased?(connection: Connection): void;
  /** Called when a connection is over. It is no longer in the table. */
  onClosed(connection: Connection, end: ConnectionEnd): void;
  /** See `ConnectionOwner`. */
  onOverdue?(setting: TimeoutSetting): void;
  /** See `ConnectionOwner`. */
  onBufferFull(connection: Connection): void;
  /** See `ConnectionOwner`. */
  onBufferEmpty(connection: Connection): void;
  /** See `ConnectionOwner`. */
  onFault(connection: Connection, error: unknown): void;
  /** Called before a connection is closed because too much memory is in use. */
  onShed?(connection: Connection): void;
}

/** Runs a callback in a microtask for less than `queueMicrotask()`, which Node tracks. */
const MICROTASK: Promise<void> = Promise.resolve();

/** The interval in milliseconds at which deadlines are checked, and so the precision of timeouts. */
const TICK = 250;

/**
 * A tick that is late by this much means that the process stood still: a long computation, a debugger, a suspended machine. That
 * time does not count, because input that the peers sent meanwhile has yet to be read, and no connection should be closed for it.
 */
const STANDSTILL = 1000;

/**
 * All connections of a server, by fd. The table also owns their shared parts: the coarse clock, its single timer, the scratch
 * memory, and the list of connections to flush at the end of the turn.
 */
export class ConnectionTable implements ConnectionOwner<Connection> {
  now: number;
  readonly scratch: Scratch = new Scratch();
  readonly lingerTimeout: number;
  readonly highWatermark: number;
  readonly lowWatermark: number;

  /** The number of accepted connections. */
  acceptCount = 0;
  /** The number of closed connections. */
  closeCount = 0;
  /** The number of connections rejected because there were too many. */
  abortCount = 0;

  /** The memory that the connections hold. */
  readonly memory: BufferMemory;

  readonly #options: TableOptions;
  readonly #fds: FdSequence;
  readonly #events: TableEvents;
  readonly #clock: () => number;
  readonly #open: Map<number, Connection> = new Map();
  // Connections that are over for the program while their transport remains: each is in one of these. The last does not count.
  readonly #leaving: Set<Connection> = new Set(); // sent output is still on its way
  readonly #lingering: Set<Connection> = new Set(); // waiting for the peer to end, or for a refusal to be sent; oldest first
  readonly #aborted: Set<Connection> = new Set(); // to make room
  #handshakes = 0; // TLS
  #epoch = 0; // the date of the clock's 0
  #ticked = 0; // the last tick, by the clock passed to the table
  #lost = 0; // total time that the process stood still, which does not count
  #dirty: Connection[] = [];
  readonly #onMicrotask = () => afterMicrotasks(this.#onTurnOver);
  readonly #onTurnOver = () => this.#flush();
  #timer: ReturnType<typeof setInterval> | undefined = undefined;
  #receivedBytes = 0; // of connections that are gone
  #sentBytes = 0;
  #idle: (() => void)[] = [];

  constructor(options: TableOptions, events: TableEvents, clock: () => number = () => performance.now()) {
    this.#options = options;
    this.#events = events;
    this.#clock = clock;
    this.#fds = options.fds ?? new FdSequence();
    this.lingerTimeout = options.lingerTimeout;
    this.highWatermark = options.highWatermark;
    this.lowWatermark = options.lowWatermark;
    this.now = Math.floor(clock());
    this.memory = new BufferMemory(() => this.time, () => this.#flush(), (connection) => events.onShed?.(connection));
  }

  /** The number of open connections. */
  get size(): number {
    return this.#open.size;
  }

  /** The fd given out last. */
  get lastFd(): number {
    return this.#fds.last;
  }

  /** The number of bytes received since the start. */
  get receivedBytes(): number {
    let sum = this.#receivedBytes;
    for (const connection of this.#open.values()) sum += connection.receivedBytes;
    return sum;
  }

  /** The number of bytes sent since the start. */
  get sentBytes(): number {
    let sum = this.#sentBytes;
    for (const connection of this.#open.values()) sum += connection.sentBytes;
    return sum;
  }

  /** Returns the open connection with an fd. */
  get(fd: number): Connection | undefined {
    return this.#open.get(fd);
  }

  /** Returns the fds of all open connections, oldest first. */
  fds(): IterableIterator<number> {
    return this.#open.keys();
  }

  /** Returns all open connections, oldest first. */
  connections(): IterableIterator<Connection> {
    return this.#open.values();
  }

  /** The number of connections in any state, including those in a TLS handshake and lingering ones. */
  get count(): number {
    return this.#open.size + this.#leaving.size + this.#lingering.size + this.#handshakes;
  }

  /** Reports whether there is room for another connection, aborting the oldest lingering one if necessary. Counts rejections. */
  hasRoom(): boolean {
    if (!this.#fds.hasNext) {
      this.abortCount++;
      return false;
    }
    if (this.count < this.#options.maxConnections) return true;
    for (const oldest of this.#lingering) {
      this.#aborted.add(oldest);
      this.#lingering.delete(oldest);
      oldest.abort();
      return true;
    }
    this.abortCount++;
    return false;
  }

  /** The number of connections in a TLS handshake, or whose preamble has yet to come. */
  get handshakes(): number {
    return this.#handshakes;
  }

  /** Counts a connection that starts its TLS handshake, if there is room for it. */
  enterHandshake(): boolean {
    if (!this.hasRoom()) return false;
    this.#handshakes++;
    return true;
  }

  /** Called when the TLS handshake of a connection is over. */
  leaveHandshake(): void {
    this.#handshakes--;
  }

  /**
   * Adds a connection. If there are too many, aborts it and returns `undefined`.
   *
   * @param makeProtocol Creates the first protocol, if it is not the same for all connections.
   * @param origin The listener that accepted it, if there are several.
   */
  accept(
    pipe: BytePipe,
    makeProtocol?: (connection: Connection) => Protocol,
    origin?: ConnectionOrigin,
  ): Connection | undefined {
    if (!this.hasRoom()) {
      dropPipe(pipe);
      return undefined;
    }
    this.#startClock();
    const make = makeProtocol ?? ((it) => this.#events.makeProtocol(it));
    const connection = new Connection(this, this.#fds.next(), pipe, make, origin);
    this.acceptCount++;
    this.#open.set(connection.fd, connection);
    connection.start();
    this.#events.onAccepted(connection);
    return connection;
  }

  /**
   * Adds a connection that is refused with a response. It has no fd, and the program does not see it.
   *
   * @param makeProtocol Creates the protocol that sends the response.
   */
  refuse(pipe: BytePipe, makeProtocol: (connection: Connection) => Protocol, origin: ConnectionOrigin): Connection {
    this.#startClock();
    const connection = new Connection(this, 0, pipe, makeProtocol, origin);
    this.#lingering.add(connection);
    connection.start();
    return connection;
  }

  /** Converts a time of the clock to a date, in milliseconds since 1970; 0 stays 0. */
  dateOf(time: number): number {
    if (time === 0) return 0;
    const epoch = Date.now() - this.#clock() + this.#lost;
    // The difference of the two readings varies slightly; a jump means that the system's date was changed.
    if (Math.abs(epoch - this.#epoch) > 50) this.#epoch = epoch;
    return Math.round(this.#epoch + time);
  }

  /** The current time of the clock, precise to the millisecond. After a standstill, it is limited until the clock has ticked. */
  get time(): number {
    const time = this.#clock() - this.#lost;
    return this.#timer === undefined ? time : Math.min(time, this.now + STANDSTILL);
  }

  /** Resolves when there are no connections left, including those that are closing. */
  whenEmpty(): Promise<void> {
    if (this.#isEmpty) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Ends connections that are being refused without waiting for their response. */
  endRefused(): void {
    for (const connection of [...this.#lingering]) connection.end(true);
  }

  /** Aborts all connections. */
  abortAll(cause?: EndCause): void {
    for (const connection of [...this.#open.values(), ...this.#leaving, ...this.#lingering]) connection.abort(true, cause);
  }

  /** Checks all deadlines, by the table's clock. Called by its timer, and by tests. */
  tick(): void {
    this.#ticked = this.#clock();
    const now = this.now = this.#wholeTime();
    for (const connection of this.#open.values()) {
      if (connection.deadline !== 0 && connection.deadline <= now) connection.expire(now);
      if (connection.grown !== 0 || connection.measured !== 0) this.memory.measure(connection);
    }
    for (const group of [this.#leaving, this.#lingering]) {
      for (const connection of group) {
        if (connection.deadline !== 0 && connection.deadline <= now) connection.expire(now);
        if (connection.measured !== 0) this.memory.measure(connection);
      }
    }
    this.memory.tick(now);
  }

  /** By how much the next tick of the clock is late already, in seconds. */
  get overdue(): number {
    return this.#timer === undefined ? 0 : Math.max(0, this.#clock() - this.#ticked - TICK) / 1000;
  }

  get #isEmpty(): boolean {
    return this.#open.size === 0 && this.#leaving.size === 0 && this.#lingering.size === 0 && this.#aborted.size === 0;
  }

  /** The time of the last tick in whole milliseconds: connections keep several times, and other numbers take memory of their own. */
  #wholeTime(): number {
    return Math.floor(this.#ticked - this.#lost);
  }

  #startClock(): void {
    if (this.#timer !== undefined) return;
    this.#ticked = this.#clock();
    this.now = this.#wholeTime();
    this.#timer = setInterval(() => this.#onTimer(), TICK);
    // A socket keeps the process alive by itself; the clock should not.
    (this.#timer as unknown as { unref?(): void }).unref?.();
  }

  #onTimer(): void {
    const elapsed = this.#clock() - this.#ticked;
    if (elapsed > STANDSTILL) this.#lost += elapsed - TICK;
    this.#events.onTick?.(Math.max(0, elapsed - TICK) / 1000);
    this.tick();
  }

  // ---- ConnectionOwner ----------------------------------------------------------------------------------------------

  /** A handler that awaits continues in a microtask and may then send more; all output of one turn leaves as one chunk. */
  flushLater(connection: Connection): void {
    if (this.#dirty.push(connection) === 1) MICROTASK.then(this.#onMicrotask);
  }

  #flush(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const one of dirty) one.flush();
    forgetRuns();
  }

  onBufferFull(connection: Connection): void {
    this.#events.onBufferFull(connection);
  }

  onBufferEmpty(connection: Connection): void {
    this.#events.onBufferEmpty(connection);
  }

  onClosed(connection: Connection, end: ConnectionEnd): void {
    const isRefused = !this.#open.delete(connection.fd);
    if (!this.#aborted.has(connection)) this.#leaving.add(connection);
    if (isRefused) return void this.#lingering.delete(connection);
    this.memory.measure(connection);
    this.closeCount++;
    this.#receivedBytes += connection.receivedBytes;
    this.#sentBytes += connection.sentBytes;
    this.#events.onClosed(connection, end);
  }

  onOverdue(setting: TimeoutSetting): void {
    this.#events.onOverdue?.(setting);
  }

  onFault(connection: Connection, error: unknown): void {
    this.#events.onFault(connection, error);
  }

  onGrown(connection: Connection): void {
    this.memory.measure(connection);
  }

  onLingering(connection: Connection): void {
    this.#leaving.delete(connection);
    this.#lingering.add(connection);
  }

  onReleased(connection: Connection): void {
    for (const group of [this.#leaving, this.#lingering, this.#aborted]) group.delete(connection);
    this.memory.measure(connection); // drops to zero
    this.#events.onReleased?.(connection);
    if (!this.#isEmpty) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
