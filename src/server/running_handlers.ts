/**
 * Counts the handlers of a server that have not settled. Reports those whose client has gone, and those that may block each other.
 * Also the queue of requests for which too many handlers are running: `max_concurrency` and `worker_max_concurrency`.
 *
 * @module
 */

import type { RequestHead } from "../http/request_head.ts";

/** Counts running handlers, so that a server that stops can wait for them. */
export class RunningHandlers {
  #count = 0;
  #idle: (() => void)[] = [];

  /** The number of handlers that have not settled. */
  get count(): number {
    return this.#count;
  }

  /** Adds an asynchronous handler. */
  enter(): void {
    this.#count++;
  }

  /** Removes a handler that has settled. */
  leave(): void {
    if (--this.#count === 0) this.release();
  }

  /** Resolves when all handlers have settled, or with `release()`. */
  whenIdle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Resolves all promises of `whenIdle()`. */
  release(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

/** What a handler of ours may return that has a promise as its type and has done everything: nobody waits for it. */
export const SETTLED: Promise<void> = Promise.resolve();

/**
 * Returns the result of a handler if it is a promise to wait for. Other thenables are wrapped in a native promise, because their `then()` may
 * throw, call back synchronously, or call back more than once.
 */
export function promised(value: unknown): Promise<unknown> | undefined {
  if (value instanceof Promise) return value === SETTLED ? undefined : value;
  if (value === null || typeof value !== "object" || typeof (value as { then?: unknown }).then !== "function") return undefined;
  return Promise.resolve(value);
}

/** A request whose handler is watched. */
export interface LateRequest {
  /** The number of the connection. */
  readonly fd: number;
  /** The head of the request. */
  readonly head: Pick<RequestHead, "method" | "target">;
}

/** The time that a handler may take to notice that its client has gone, in milliseconds. */
const LATE_AFTER = 30_000;

/** The maximum number of handlers watched at a time. */
const MOST_LATE = 100;

/** Watches handlers whose client disconnected, with one timer for all, and reports those that do not settle. */
export class LateHandlers {
  readonly #tell: (request: LateRequest) => void;
  readonly #patience: number;
  readonly #late: Map<LateRequest, number> = new Map(); // since when
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;

  /**
   * @param tell Reports a handler that has not settled.
   * @param patience The time that a handler may take, in milliseconds.
   */
  constructor(tell: (request: LateRequest) => void, patience: number = LATE_AFTER) {
    this.#tell = tell;
    this.#patience = patience;
  }

  /** Watches a request whose client disconnected before the handler settled. */
  add(request: LateRequest): void {
    if (this.#late.size >= MOST_LATE) return;
    this.#late.set(request, performance.now());
    if (this.#timer === undefined) this.#lookIn(this.#patience);
  }

  /** Stops watching a request whose handler has settled. */
  delete(request: LateRequest): void {
    if (this.#late.size > 0) this.#late.delete(request);
  }

  /** Stops watching when the server has stopped. */
  clear(): void {
    this.#late.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #lookIn(delay: number): void {
    this.#timer = setTimeout(() => this.#look(), delay);
    (this.#timer as unknown as { unref?(): void }).unref?.(); // it does not keep the process alive
  }

  #look(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [request, since] of this.#late) { // oldest first
      const remaining = since + this.#patience - now;
      if (remaining > 1) return this.#lookIn(remaining);
      this.#late.delete(request);
      this.#tell(request);
    }
  }
}

/** The time without a settled handler after which handlers are reported as stuck, in milliseconds. */
const STUCK_AFTER = 10_000;

/**
 * Watches one connection at a time on which messages wait because the maximum number of handlers is running. If no handler
 * settles, they may be waiting for exactly these messages. This is reported once for the whole server.
 */
export class StuckHandlers {
  readonly #tell: () => void;
  #watched: unknown = undefined;
  #since = 0;
  #isTold = false;

  /** @param tell Reports that handlers are stuck. */
  constructor(tell: () => void) {
    this.#tell = tell;
  }

  /**
   * Checks a connection that is at the limit while messages wait.
   *
   * @param now The coarse clock.
   * @returns When to check again; 0 for never.
   */
  look(session: unknown, now: number): number {
    if (this.#isTold) return 0;
    if (this.#watched === undefined) {
      this.#watched = session;
      this.#since = now;
    }
    if (this.#watched !== session) return 0;
    if (now < this.#since + STUCK_AFTER) return this.#since + STUCK_AFTER;
    this.#isTold = true;
    this.#watched = undefined;
    this.#tell();
    return 0;
  }

  /** Stops watching a connection: a handler has settled, or the connection has ended. */
  onSettled(session: unknown): void {
    if (this.#watched === session) this.#watched = undefined;
  }
}

/** No limit: Swoole's default. */
export const UNLIMITED = 0xffffffff;

/** A request that waits for its turn. */
interface Waiting {
  readonly isWanted: () => boolean;
  readonly work: () => void | Promise<void>;
  readonly done: (result: void | Promise<void>) => void;
}

/** With fewer waiting requests than this, abandoned ones are removed only to make room. */
const FEW = 64;

/** The requests of a server, on all its ports. Requests above the limits wait, or are refused. */
export class RequestQueue {
  readonly #most: number;
  readonly #mostRunning: number;
  #running = 0;
  #waiting: Waiting[] = [];
  #first = 0; // index of the first waiting request
  #goesOn = false;
  #tidyAt = FEW;
  #refused = 0; // since the last check for room

  /**
   * @param most The maximum number of requests, running or waiting.
   * @param mostRunning The maximum number of running requests.
   */
  constructor(most: number, mostRunning: number) {
    this.#most = most;
    this.#mostRunning = mostRunning;
  }

  /** The number of requests that wait, or did until their client left. */
  get waiting(): number {
    return this.#waiting.length - this.#first;
  }

  /** The number of waiting requests whose client waits too. */
  get wanted(): number {
    let count = 0;
    for (let at = this.#first; at < this.#waiting.length; at++) if (this.#waiting[at].isWanted()) count++;
    return count;
  }

  /**
   * Handles a request, now or when it is its turn.
   *
   * @param isWanted Reports whether the client still waits for a response; if not, the request is skipped.
   * @param work Handles the request. It neither throws nor rejects.
   * @returns A promise, unless everything was done synchronously; `false` if there are too many requests.
   */
  enter(isWanted: () => boolean, work: () => void | Promise<void>): void | Promise<void> | false {
    if (this.waiting >= this.#tidyAt) this.#tidy();
    if (this.#running + this.waiting >= this.#most && !this.#findsRoom()) return false;
    if (this.#running < this.#mostRunning) return this.#run(work);
    return new Promise((done) => this.#waiting.push({ isWanted, work, done }));
  }

  /** Removes abandoned requests to make room, at most once per `waiting` refusals (amortized O(1)). */
  #findsRoom(): boolean {
    if (this.waiting === 0 || ++this.#refused <= this.waiting) return false;
    this.#refused = 0;
    this.#tidy();
    return this.#running + this.waiting < this.#most;
  }

  #run(work: () => void | Promise<void>): void | Promise<void> {
    this.#running++;
    const result = work();
    if (result === undefined) this.#leave();
    else return result.then(() => this.#leave());
  }

  #leave(): void {
    this.#running--;
    if (this.#goesOn) return; // the loop below starts the next one
    this.#goesOn = true;
    while (this.#running < this.#mostRunning && this.waiting > 0) {
      const { isWanted, work, done } = this.#waiting[this.#first++];
      done(isWanted() ? this.#run(work) : undefined);
    }
    this.#goesOn = false;
    if (this.#first * 2 > this.#waiting.length) this.#forget();
  }

  /** Removes the requests that had their turn. */
  #forget(): void {
    this.#waiting.splice(0, this.#first);
    this.#first = 0;
  }

  /** Removes abandoned requests, so that clients that come and go do not fill the queue. */
  #tidy(): void {
    this.#forget();
    this.#waiting = this.#waiting.filter(({ isWanted, done }) => isWanted() || done());
    this.#tidyAt = Math.max(FEW, this.waiting * 2);
  }
}
