/**
 * The leave of a worker that was replaced: it accepts no more connections, keeps those that it has for a while, then closes them
 * spread over some time, so that the clients do not all come back at once.
 *
 * @module
 */

import type { Connection } from "../transport/connection.ts";
import type { ConnectionTable } from "../transport/connection_table.ts";
import { delayOf } from "../transport/deadlines.ts";
import { encodeClose } from "../websocket/close_code.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import { HttpSession } from "./http/http_session.ts";
import { portOf } from "./port_core.ts";

/** How often connections are closed, in milliseconds. */
const STEP = 50;

/** How often idle HTTP connections are looked for, in milliseconds. */
const INTERVAL = 250;

/** How long an HTTP connection has to be idle, in milliseconds. A request may be on its way on one that has just had a response. */
const IDLE = 1000;

/** How long a worker waits at least for connections that are on their way to it, in milliseconds. */
const LATE = 1000;

const REPLACED = { reason: "the worker was replaced" };

/** A connection, and when to close it, by `performance.now()`. */
interface PlannedClose {
  readonly connection: Connection;
  readonly at: number;
}

/** The leave of a worker. */
export class Retirement {
  readonly #table: ConnectionTable;
  readonly #patience: number;
  readonly #done: () => void;
  #isOver = false;
  #begunAt = 0;
  #busyAt = 0; // when there was a connection for the last time
  #drainedAt = 0; // when the last connection was closed; 0 before
  #draining: ReturnType<typeof setInterval> | undefined = undefined;
  #interval: ReturnType<typeof setInterval> | undefined = undefined;
  #wait: ReturnType<typeof setTimeout> | undefined = undefined;
  #plan: PlannedClose[] = [];

  /**
   * @param patience How long handshakes and first requests may take after all others have been told to close, in seconds.
   * @param done Called once, when there are no connections, or all have been told to close.
   */
  constructor(table: ConnectionTable, patience: number, done: () => void) {
    this.#table = table;
    this.#patience = patience;
    this.#done = done;
  }

  /**
   * Begins.
   *
   * @param wait The time in seconds that connections may stay. Plain HTTP is closed after the next response.
   * @param drain The time over which they are closed then.
   */
  begin(wait: number, drain: number): void {
    this.#table.endRefused();
    this.#closeIdle();
    this.#begunAt = this.#busyAt = performance.now();
    this.#interval = setInterval(() => this.#tick(), INTERVAL);
    if (wait !== Infinity) this.#wait = setTimeout(() => this.#drain(drain), delayOf(wait));
  }

  /** Ends it without `done()`: the server stops. */
  cancel(): void {
    this.#isOver = true;
    clearInterval(this.#interval);
    clearInterval(this.#draining);
    clearTimeout(this.#wait);
  }

  #tick(): void {
    const now = performance.now();
    if (this.#table.count > 0) this.#busyAt = now; // those in a handshake are counted
    if (now - this.#busyAt >= LATE) this.#end();
    else this.#closeIdle();
  }

  #end(): void {
    if (this.#isOver) return;
    this.cancel();
    this.#done();
  }

  /**
   * Lets each HTTP connection end with its next response, and ends those that have had one and are idle. A client does not send a
   * request again for which it has made a connection: that is waited for, within the limits that it has anyway.
   */
  #closeIdle(): void {
    const { now } = this.#table;
    for (const connection of [...this.#table.connections()]) {
      const { protocol, lastReceived, lastSent } = connection;
      if (!(protocol instanceof HttpSession)) continue;
      protocol.closeBehind(REPLACED);
      if (protocol.isIdle && lastSent > 0 && now - lastReceived >= IDLE) connection.end(true, REPLACED);
    }
  }

  #drain(seconds: number): void {
    const connections = shuffle([...this.#table.connections()]);
    const now = performance.now();
    const share = seconds * 1000 / Math.max(1, connections.length);
    this.#plan = connections.map((connection, index) => ({ connection, at: now + (index + Math.random()) * share })).reverse();
    this.#draining = setInterval(() => this.#closeDue(), STEP);
    this.#closeDue();
  }

  #closeDue(): void {
    const now = performance.now();
    while (this.#plan.length > 0 && this.#plan.at(-1)!.at <= now) close(this.#plan.pop()!.connection);
    if (this.#plan.length > 0) return;
    this.#drainedAt ||= now;
    const isPatient = now < this.#drainedAt + this.#patience * 1000;
    if (now - this.#begunAt < LATE || (isPatient && this.#hasNew)) return;
    for (const connection of [...this.#table.connections()]) close(connection); // those that were new
    this.#end();
  }

  /** Whether there are connections whose handshake or first request has yet to come. */
  get #hasNew(): boolean {
    if (this.#table.handshakes > 0) return true;
    for (const { protocol, lastSent } of this.#table.connections()) {
      if (protocol instanceof HttpSession && lastSent === 0 && !protocol.isAnswering) return true;
    }
    return false;
  }
}

/** Asks a client to come back (RFC 6455 section 7.4.1, code 1012: the service restarts). HTTP ends by itself. */
function close(connection: Connection): void {
  const { protocol } = connection;
  if (!connection.isOpen || protocol instanceof HttpSession) return;
  connection.gather(() => {
    if (protocol instanceof WebSocketSession) protocol.startClose(encodeClose(1012, "")!);
    else portOf(connection).factory.close(connection, false);
  });
}

function shuffle<T>(list: T[]): T[] {
  for (let at = list.length - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    [list[at], list[other]] = [list[other], list[at]];
  }
  return list;
}
