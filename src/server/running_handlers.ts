/**
 * Counts the handlers of a server that have not settled. Reports those whose client has gone, and those that may block each other.
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
