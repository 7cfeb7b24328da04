/**
 * The shutdown of a server: closes its connections, waits for handlers for at most `max_wait_time`, then cuts off what is left.
 * SIGTERM and SIGINT shut down all servers, then end the program.
 *
 * @module
 */

import { describe } from "../values.ts";
import { timedOut } from "../transport/connection_end.ts";
import { delayOf } from "../transport/deadlines.ts";
import type { ConnectionTable } from "../transport/connection_table.ts";
import { portOf } from "./port_core.ts";
import type { ServerContext } from "./server_context.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import type { SignalControl, SignalName } from "../transport/runtime.ts";

/**
 * Checks the time that a program gives to `shutdown()`. JavaScript would take text for a number, and add to it as text.
 *
 * @throws {RangeError} If it is not a number of seconds.
 */
export function checkSeconds(time: unknown, work = "shut down"): void {
  if (typeof time === "number" && time >= 0) return;
  const given = typeof time === "number" ? String(time) : typeof time === "string" ? JSON.stringify(time) : describe(time);
  throw new RangeError(`Cannot ${work}: ${given} is not a number of seconds`);
}

/** The shutdown of one server, with its deadlines. */
export class Shutdown {
  /** Whether something was cut off because a deadline passed. */
  wasCutOff = false;
  readonly #context: ServerContext;
  readonly #table: ConnectionTable;
  // In the time of `performance.now()`. Only steps that are still to come have one.
  #tellAt = Infinity;
  #cutAt = Infinity;
  #isTold = false;
  #isOver = false;
  #hasWarned = false;
  #tellTimer: ReturnType<typeof setTimeout> | undefined = undefined;
  #cutTimer: ReturnType<typeof setTimeout> | undefined = undefined;
  #dropTimer: ReturnType<typeof setTimeout> | undefined = undefined;

  constructor(context: ServerContext, table: ConnectionTable) {
    this.#context = context;
    this.#table = table;
  }

  /**
   * Sets the deadlines, or shortens them.
   *
   * @param wait The time after which handlers and responses are cut off, in seconds.
   * @param tell The time after which WebSockets are told to close, in seconds.
   * @returns Whether a deadline was set or shortened.
   */
  within(wait: number, tell: number): boolean {
    const now = performance.now();
    let isShorter = false;
    if (!this.#isTold && now + tell * 1000 < this.#tellAt) {
      isShorter = true;
      this.#tellAt = now + tell * 1000;
      clearTimeout(this.#tellTimer);
      if (tell > 0) {
        this.#closeAll(true);
        this.#tellTimer = setTimeout(() => this.#tell(), delayOf(tell));
      } else this.#tell();
    } else if (!this.#isTold) this.#closeAll(true);
    if (!this.#isOver && now + wait * 1000 < this.#cutAt) {
      isShorter = true;
      this.#cutAt = now + wait * 1000;
      clearTimeout(this.#cutTimer);
      if (wait > 0) this.#cutTimer = setTimeout(() => this.#cut(), delayOf(wait));
      else this.#cut();
    }
    return isShorter;
  }

  /** Resolves when all handlers have settled, or the deadline has passed. */
  async whenIdle(): Promise<void> {
    if (!this.#isOver) await this.#context.running.whenIdle();
    const { count } = this.#context.running;
    if (count === 0) return;
    if (!this.#hasWarned) this.#context.endings.warnOfRunningHandlers(count);
    this.#hasWarned = true;
    this.wasCutOff = true;
  }

  /** Clears the timers, once the server has stopped. */
  end(): void {
    clearTimeout(this.#tellTimer);
    clearTimeout(this.#cutTimer);
    clearTimeout(this.#dropTimer);
  }

  #closeAll(patient: boolean): void {
    for (const connection of [...this.#table.connections()]) {
      connection.gather(() => portOf(connection).factory.close(connection, patient));
    }
  }

  #tell(): void {
    clearTimeout(this.#tellTimer);
    this.#isTold = true;
    this.#closeAll(false);
  }

  /** Cuts off handlers and responses. Closing WebSockets have a deadline of their own: `websocket_close_timeout`. */
  #cut(): void {
    this.#isOver = true;
    const now = performance.now();
    this.#tellAt = Math.min(this.#tellAt, now);
    this.#tell(); // also connections that have become WebSockets meanwhile
    for (const connection of [...this.#table.connections()]) {
      if (connection.protocol instanceof WebSocketSession) continue;
      this.wasCutOff = true;
      connection.abort(true, timedOut("max_wait_time"));
    }
    this.#context.running.release();
    const { websocket_close_timeout } = this.#context.settings;
    if (websocket_close_timeout === 0) return;
    const closing = websocket_close_timeout - (now - this.#tellAt) / 1000;
    this.#dropTimer = setTimeout(() => this.#table.abortAll(timedOut("websocket_close_timeout")), delayOf(Math.max(0, closing)));
  }
}

/** A server that can be stopped by a signal. */
export interface Stoppable {
  /** The time that the program may take to end by itself after the server has stopped, in seconds; `Infinity` for no limit. */
  readonly patience: number;
  /** A promise that settles when the server has stopped. */
  readonly finished: Promise<void>;
  /** Whether something was cut off because a deadline passed. */
  readonly wasCutOff: boolean;
  /** Starts an orderly shutdown. */
  stopSoon(): void;
  /** Handles a signal, if it has another meaning than to stop the server. Returns whether it has. */
  takeSignal(name: SignalName): boolean;
}

/** The signals that stop servers, with their numbers. */
const NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const satisfies Partial<Record<SignalName, number>>;

/** The signal listeners of a process. They exist while there are servers and, after a signal, until the process ends. */
class Signals {
  readonly #control: SignalControl;
  readonly #servers: Set<Stoppable> = new Set();
  #remove: (() => void)[] = [];
  #isEnding = false;

  constructor(control: SignalControl) {
    this.#control = control;
  }

  /** Adds a server that has started. */
  add(server: Stoppable): void {
    this.#servers.add(server);
    if (this.#remove.length > 0) return;
    // SIGUSR1 is listened to in any case: by default it opens a debugger, or ends the process.
    for (const name of ["SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"] as const) {
      this.#remove.push(this.#control.listen(name, () => this.#onSignal(name)));
    }
  }

  /** Removes a server that has stopped. Without listeners, the next signal has its default effect. */
  remove(server: Stoppable): void {
    this.#servers.delete(server);
    if (this.#servers.size > 0 || this.#isEnding) return;
    for (const remove of this.#remove.splice(0)) remove();
  }

  #onSignal(name: SignalName): void {
    if (this.#control.count(name) > 1) return; // the program has its own listener, and decides
    let isTaken = false;
    for (const server of this.#servers) if (server.takeSignal(name)) isTaken = true;
    if (isTaken || name === "SIGUSR1" || name === "SIGUSR2") return;
    const code = 128 + NUMBERS[name];
    if (this.#isEnding) return this.#control.exit(code);
    this.#isEnding = true;
    const servers = [...this.#servers];
    for (const server of servers) server.stopSoon();
    Promise.all(servers.map((server) => server.finished)).then(() => {
      if (servers.some((server) => server.wasCutOff)) this.#control.failWith(code);
      const patience = Math.max(...servers.map((server) => server.patience));
      if (patience === Infinity) return;
      const timer = setTimeout(() => this.#control.exit(), delayOf(patience));
      (timer as unknown as { unref?(): void }).unref?.(); // a program with nothing left to do ends now
    });
  }
}

const known: WeakMap<SignalControl, Signals> = new WeakMap();

/** Returns the listeners shared by the servers of a process. */
export function signalsOf(control: SignalControl): Signals {
  let signals = known.get(control);
  if (signals === undefined) known.set(control, signals = new Signals(control));
  return signals;
}
