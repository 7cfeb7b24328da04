/**
 * What connections have in common: where they came in, and who looks after them.
 *
 * @module
 */

import type { Connection } from "./connection.ts";

/** What holds for all connections that came in by the same way: a port of a server. */
export interface ConnectionOrigin {
  /** How long a connection that we ended may take to go away, in milliseconds. */
  readonly lingerTimeout: number;
  /** Send queue in bytes from which on the program should send no more, until it has come down to `lowWatermark`. */
  readonly highWatermark: number;
  /** See `highWatermark`. */
  readonly lowWatermark: number;
}

/** What all connections of a server share. */
export interface ConnectionOwner extends ConnectionOrigin {
  /** The coarse clock: milliseconds that only go forward, renewed a few times a second. */
  readonly now: number;
  /** The scratch memory in which a turn's output is gathered. */
  readonly scratch: Scratch;
  /** Counts what is queued on all connections: a flush waits while there is more to come. */
  activity: number;
  /** Asks for `flush()` at the end of this turn. */
  flushLater(connection: Connection): void;
  /** The send queue has passed the high watermark. */
  onBufferFull(connection: Connection): void;
  /** The send queue has come down to the low watermark again. */
  onBufferEmpty(connection: Connection): void;
  /** The connection is over for the program: closed by either side. Its last octets may still be on the way. */
  onClosed(connection: Connection, byServer: boolean): void;
  /** What is above the connection has thrown: a fault of ours, or one of the program's. */
  onFault(connection: Connection, error: unknown): void;
  /** The transport is gone too. */
  onReleased(connection: Connection): void;
}

/** Output memory that the connection whose octets are being read writes into; it belongs to one connection at a time. */
export class Scratch {
  /** The memory. */
  readonly memory: Uint8Array = new Uint8Array(128 * 1024);
  /** The connection that writes into it. */
  owner: Connection | undefined = undefined;
  /** How much of it is in use. */
  length = 0;
}
