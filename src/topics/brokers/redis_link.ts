/**
 * One connection to Redis that is made again whenever it is lost. The clients' own ways to do that are turned off: they differ, send
 * what may have been sent before, queue without limit, and some never notice a server that is frozen.
 *
 * @module
 */

import { BrokerError } from "../broker.ts";
import type { BrokerClock } from "../kept_topics.ts";

/** A command: its name, then its arguments. */
export type RedisCommand = readonly (string | Uint8Array)[];

/** A connection of a client. It is used once. */
export interface RedisConnection {
  /** Sends a command. Replies that are strings arrive as bytes or as text. */
  command(command: RedisCommand): Promise<unknown>;
  /** Subscribes to channels. */
  subscribe(channels: readonly string[]): Promise<unknown>;
  /** Gives channels up. */
  unsubscribe(channels: readonly string[]): Promise<unknown>;
  /** Ends the connection at once. */
  destroy(): void;
}

/** The events of a connection. */
export interface RedisEvents {
  /** A message has arrived on a channel. */
  onMessage(channel: string, message: Uint8Array): void;
  /** The connection is lost. May be called several times. */
  onLost(error: unknown): void;
}

/** Opens a connection of a client. */
export type RedisOpener = (events: RedisEvents) => { connection: RedisConnection; opened: Promise<unknown> };

/** The options of a link. */
export interface LinkOptions {
  /** The time within which Redis has to reply, in milliseconds. */
  readonly timeout: number;
  /** The number of messages and other commands that may wait to be sent, or for a reply. */
  readonly maxPending: number;
  /** The number of their bytes. */
  readonly maxPendingBytes: number;
  /** Makes the connection ready for use. The link is not ready before. */
  setUp(link: RedisLink): Promise<void>;
  /** Called when it is ready. */
  onReady(): void;
  /**
   * Called when a connection is lost, or was not made.
   *
   * @param wasReady Whether it was ready.
   */
  onLost(reason: string, wasReady: boolean): void;
  /** A message has arrived on a channel. */
  onMessage(channel: string, message: Uint8Array): void;
}

/** The longest time between two attempts to connect, in milliseconds. */
const LONGEST_PAUSE = 5000;

/** How late a timer is because the program was busy, in milliseconds: replies may have arrived that are not read yet. */
const BUSY = 100;

/** A command that waits for its reply. */
interface PendingCommand {
  readonly since: number;
  /** The number of messages in it, and their bytes. */
  readonly count: number;
  readonly bytes: number;
  fail(error: BrokerError): void;
}

/** A connection that is made again whenever it is lost. */
export class RedisLink {
  /** Whether commands are taken. */
  isReady = false;

  readonly #open: RedisOpener;
  readonly #clock: BrokerClock;
  readonly #options: LinkOptions;
  readonly #pending: Set<PendingCommand> = new Set(); // oldest first
  #count = 0; // of what waits for a reply, or to be sent
  #bytes = 0;
  #connection: RedisConnection | undefined;
  #attempts = 0;
  #readySince = 0;
  #cancelTimer: (() => void) | undefined; // of the oldest command
  #due = 0; // when it fires
  #isLate = false; // it was, and replies are read first
  #cancelRetry: (() => void) | undefined;
  #isClosed = false;

  constructor(open: RedisOpener, clock: BrokerClock, options: LinkOptions) {
    this.#open = open;
    this.#clock = clock;
    this.#options = options;
  }

  /** Begins to connect. */
  connect(): void {
    if (this.#isClosed) return;
    let connection: RedisConnection | undefined;
    const isCurrent = () => connection !== undefined && this.#connection === connection;
    try {
      const opening = this.#open({
        onMessage: (channel, message) => isCurrent() && this.#options.onMessage(channel, message),
        onLost: (error) => isCurrent() && this.lose(describe(error)),
      });
      connection = this.#connection = opening.connection;
      this.#wait(opening.opened).then(() => this.#options.setUp(this)).then(() => {
        if (!isCurrent()) return;
        this.isReady = true;
        this.#readySince = this.#clock.now();
        this.#options.onReady();
      }).catch((error) => isCurrent() && this.lose(describe(error)));
    } catch (error) {
      this.lose(describe(error));
    }
  }

  /** Gives up the connection, and makes another one in a while. */
  lose(reason: string): void {
    const connection = this.#connection;
    const wasReady = this.isReady;
    this.#connection = undefined;
    this.isReady = false;
    for (const pending of [...this.#pending]) {
      this.#settle(pending);
      pending.fail(new BrokerError("BROKER_UNKNOWN", `Redis has not replied: ${reason}`));
    }
    // One that is lost soon after it was made is no reason to hurry.
    if (wasReady && this.#clock.now() - this.#readySince >= LONGEST_PAUSE) this.#attempts = 0;
    destroy(connection);
    if (this.#isClosed) return;
    const pause = Math.random() * Math.min(LONGEST_PAUSE, 50 * 2 ** Math.min(this.#attempts++, 10));
    this.#cancelRetry?.();
    this.#cancelRetry = this.#clock.after(pause, () => this.connect());
    this.#options.onLost(reason, wasReady);
  }

  /** The error for what cannot be sent now; `undefined` if it can. */
  get refusal(): BrokerError | undefined {
    if (!this.isReady) return new BrokerError("BROKER_DOWN", "There is no connection to Redis");
    const { maxPending, maxPendingBytes } = this.#options;
    const [count, bytes] = [this.#count, this.#bytes];
    if (count >= maxPending) return new BrokerError("BROKER_BUSY", `${count} messages wait for Redis: the limit is maxPending`);
    if (bytes < maxPendingBytes) return undefined;
    return new BrokerError("BROKER_BUSY", `${bytes} bytes wait for Redis: the limit is maxPendingBytes`);
  }

  /** Counts messages that wait to be sent, or wait no more if the numbers are negative. */
  hold(count: number, bytes: number): void {
    this.#count += count;
    this.#bytes += bytes;
  }

  /** Sends a command of the program, if the link is ready and not too many wait. Rejects with a `BrokerError`. */
  command(command: RedisCommand): Promise<unknown> {
    const { refusal } = this;
    return refusal === undefined ? this.#send(command) : Promise.reject(refusal);
  }

  /**
   * Sends a command whatever waits: of this library, which has few of them, or with messages that have waited already.
   *
   * @param count The number of messages in it.
   */
  ask(command: RedisCommand, count = 1): Promise<unknown> {
    return this.isReady ? this.#send(command, count) : Promise.reject(this.refusal);
  }

  #send(command: RedisCommand, count = 1): Promise<unknown> {
    let bytes = 0;
    for (const part of command) bytes += part.length;
    return this.run((connection) => connection.command(command), count, bytes);
  }

  /** Does something with the connection, also while it is set up. Rejects with a `BrokerError`. */
  run(work: (connection: RedisConnection) => Promise<unknown>, count: number = 1, bytes: number = 0): Promise<unknown> {
    const connection = this.#connection;
    if (connection === undefined) return Promise.reject(new BrokerError("BROKER_DOWN", "There is no connection to Redis"));
    return this.#wait(attempt(() => work(connection)), count, bytes);
  }

  /** Waits for a reply, for a limited time. */
  #wait(reply: Promise<unknown>, count = 1, bytes = 0): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const pending: PendingCommand = { since: this.#clock.now(), count, bytes, fail: reject };
      this.#pending.add(pending);
      this.hold(count, bytes);
      if (this.#cancelTimer === undefined) this.#setTimer(this.#options.timeout);
      reply.then((value) => {
        this.#settle(pending);
        resolve(value);
      }, (error) => {
        if (!this.#settle(pending)) return; // it has failed already
        const text = describe(error);
        if (!isReply(text)) {
          reject(new BrokerError("BROKER_UNKNOWN", `Redis has not replied: ${text}`, error));
          return this.lose(text);
        }
        reject(new BrokerError("BROKER_REFUSED", `Redis refuses: ${text}`, error));
        this.onRefused(text);
      });
    });
  }

  /**
   * Takes the text of a refusal, also of one that a script replies for a part of its work. If this Redis refuses because of its own
   * state, the connection is given up: another one may be better.
   */
  onRefused(text: string): void {
    if (this.isReady && /(^|-)(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN) /.test(text)) this.lose(text);
  }

  /** Notes that there was a reply. Returns whether it is still waited for. */
  #settle(pending: PendingCommand): boolean {
    if (!this.#pending.delete(pending)) return false;
    this.hold(-pending.count, -pending.bytes);
    return true;
  }

  #onTimer(): void {
    this.#cancelTimer = undefined;
    const [oldest] = this.#pending;
    if (oldest === undefined) return;
    const now = this.#clock.now();
    this.#isLate = !this.#isLate && now - this.#due > BUSY;
    if (this.#isLate) return this.#setTimer(BUSY);
    const remaining = oldest.since + this.#options.timeout - now;
    if (remaining <= 0) return this.lose(`no reply within ${this.#options.timeout / 1000} s`);
    this.#setTimer(remaining);
  }

  #setTimer(milliseconds: number): void {
    this.#due = this.#clock.now() + milliseconds;
    this.#cancelTimer = this.#clock.after(milliseconds, () => this.#onTimer());
  }

  /** Gives up for good. */
  close(): void {
    this.#isClosed = true;
    this.#cancelTimer?.();
    this.#cancelRetry?.();
    this.lose("the server stops");
  }
}

/** Calls an asynchronous function; what it throws becomes a rejection. */
function attempt(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return Promise.resolve(work());
  } catch (error) {
    return Promise.reject(error);
  }
}

function destroy(connection: RedisConnection | undefined): void {
  try {
    connection?.destroy();
  } catch {
    // it is destroyed already
  }
}

/** Returns the text of an error of a client. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  return error.message || (typeof code === "string" ? code : error.name);
}

/** Reports whether an error is a reply of Redis, whose first word is in capital letters. */
function isReply(text: string): boolean {
  return /^[A-Z][A-Z0-9]+ /.test(text);
}
