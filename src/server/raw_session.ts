/**
 * No protocol at all: octets as they come, for a plain `Server`.
 *
 * @module
 */

import { viewBytes } from "../bytes.ts";
import type { Connection, Protocol } from "../connection.ts";

/** Where the octets of raw connections go. */
export interface RawHost {
  /** Octets arrived. */
  onReceive(connection: Connection, data: Uint8Array): void;
  /** When an idle connection is to be closed, in milliseconds since 1970; 0 for never. */
  idleDeadline(connection: Connection): number;
}

/** The protocol of a connection of a plain `Server`. */
export class RawSession implements Protocol {
  readonly #connection: Connection;
  readonly #host: RawHost;

  constructor(connection: Connection, host: RawHost) {
    this.#connection = connection;
    this.#host = host;
    connection.deadline = host.idleDeadline(connection);
  }

  receive(chunk: Uint8Array): void {
    this.#host.onReceive(this.#connection, viewBytes(chunk, 0, chunk.length));
  }

  receiveEnd(): void {
    this.#connection.end(false);
  }

  onDeadline(now: number): void {
    const deadline = this.#host.idleDeadline(this.#connection);
    if (deadline !== 0 && deadline <= now) this.#connection.end(false);
    else this.#connection.deadline = deadline;
  }

  onFault(): void {
    this.#connection.end(true);
  }

  onClosed(): void {}
}
