/**
 * How a server stops: who is told to go, and when what is left is cut off.
 *
 * @module
 */

import { delayOf } from "../delay.ts";
import type { ConnectionTable } from "./connection_table.ts";
import type { ServerCore } from "./core.ts";
import { portOf } from "./port_core.ts";
import { WebSocketSession } from "./websocket/websocket_session.ts";

/** The stopping of one server, with its times. */
export class Shutdown {
  readonly #core: ServerCore;
  readonly #table: ConnectionTable;
  // By `performance.now()`. What has been done has no time any more.
  #tellAt = Infinity;
  #cutAt = Infinity;
  #isTold = false;
  #isOver = false;
  #tellTimer: ReturnType<typeof setTimeout> | undefined = undefined;
  #cutTimer: ReturnType<typeof setTimeout> | undefined = undefined;
  #dropTimer: ReturnType<typeof setTimeout> | undefined = undefined;

  constructor(core: ServerCore, table: ConnectionTable) {
    this.#core = core;
    this.#table = table;
  }

  /**
   * Sets the times, or shortens them.
   *
   * @param wait When handlers and responses are cut off, in seconds from now.
   * @param tell When WebSockets are told to close.
   * @returns Whether that changes anything.
   */
  within(wait: number, tell: number): boolean {
    const now = performance.now();
    let isShorter = false;
    if (!this.#isTold && now + tell * 1000 < this.#tellAt) {
      isShorter = true;
      this.#tellAt = now + tell * 1000;
      clearTimeout(this.#tellTimer);
      if (tell > 0) {
        this.#dismissAll(true);
        this.#tellTimer = setTimeout(() => this.#tell(), delayOf(tell));
      } else this.#tell();
    } else if (!this.#isTold) this.#dismissAll(true);
    if (!this.#isOver && now + wait * 1000 < this.#cutAt) {
      isShorter = true;
      this.#cutAt = now + wait * 1000;
      clearTimeout(this.#cutTimer);
      if (wait > 0) this.#cutTimer = setTimeout(() => this.#cut(), delayOf(wait));
      else this.#cut();
    }
    return isShorter;
  }

  /** Resolves when all handlers have settled, or the time is over. */
  async whenIdle(): Promise<void> {
    if (!this.#isOver) await this.#core.handlers.whenIdle();
    if (this.#core.handlers.count > 0) this.#core.wasCutOff = true;
  }

  /** The server has stopped. */
  end(): void {
    clearTimeout(this.#tellTimer);
    clearTimeout(this.#cutTimer);
    clearTimeout(this.#dropTimer);
  }

  #dismissAll(patient: boolean): void {
    for (const connection of [...this.#table.connections()]) {
      connection.gather(() => portOf(connection).style.dismiss(connection, patient));
    }
  }

  #tell(): void {
    clearTimeout(this.#tellTimer);
    this.#isTold = true;
    this.#dismissAll(false);
  }

  /** The time is over. WebSockets that are closing have theirs: `websocket_close_timeout`. */
  #cut(): void {
    this.#isOver = true;
    const now = performance.now();
    this.#tellAt = Math.min(this.#tellAt, now);
    this.#tell(); // also those who have become WebSockets meanwhile
    for (const connection of [...this.#table.connections()]) {
      if (connection.protocol instanceof WebSocketSession) continue;
      this.#core.wasCutOff = true;
      connection.abort();
    }
    this.#core.handlers.release();
    const closing = this.#core.settings.websocket_close_timeout - (now - this.#tellAt) / 1000;
    this.#dropTimer = setTimeout(() => this.#table.abortAll(), delayOf(Math.max(0, closing)));
  }
}
