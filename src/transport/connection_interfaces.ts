/**
 * The interfaces around a connection: the protocol above it, and the owner of all connections of a server.
 *
 * @module
 */

import type { CloseInfo, ConnectionEnd, TimeoutSetting } from "./connection_end.ts";

/** A protocol on a connection: HTTP, a WebSocket, raw bytes. Replaced when the connection changes its protocol. */
export interface Protocol {
  /**
   * How long the peer may take nothing of the pending output once the connection is over, in milliseconds; 0 means no limit. The
   * linger timeout by default.
   */
  readonly sendTimeout?: number;
  /** How the connection ended, once it has, if the protocol knows more about it than the connection. */
  readonly closeInfo?: CloseInfo | undefined;
  /** Whether this is HTTP that has not started to switch protocols: the program keeps no data with such a connection. */
  readonly isPlainHttp?: boolean;
  /**
   * Receives bytes, which start at `at`. They are lent for the length of the call: the protocol may change them, and must copy
   * any that it keeps.
   *
   * @param given Whether the memory belongs to the protocol, so that a message alone in it may be passed on without a copy.
   * Default: `false`.
   */
  receive(chunk: Uint8Array, at: number, given?: boolean): void;
  /** Called when the peer will not send any more. */
  receiveEnd(): void;
  /** Called when the connection's `deadline` has passed. */
  onDeadline(now: number): void;
  /** The memory in bytes held for incomplete input or for the program, including overhead. 0 by default. */
  readonly heldBytes?: number;
  /** The number of bytes of the program waiting above the connection to be sent. 0 by default. */
  readonly waitingBytes?: number;
  /** How many of `heldBytes` wait for bytes of the peer, or for a program slower than the peer. 0 by default. */
  readonly unfinishedBytes?: number;
  /**
   * Releases incomplete input because memory is scarce, ends the connection, and reports the reason to the peer. Called only if
   * there is incomplete input.
   *
   * @returns Whether the protocol has reported it as the refusal of a request.
   */
  shed?(): boolean;
  /** Called when the time at which an idle connection is to be closed has changed. */
  onIdleChange?(): void;
  /** Called when the send queue has drained to the low watermark: `isFull` is `false` again. */
  onDrain?(): void;
  /**
   * Ends the connection after the program failed while handling its input, and reports that to the peer if still possible.
   *
   * @param error The error that was thrown.
   * @param cause What the program was working on, if the protocol knows it: an exchange of HTTP.
   */
  onFault(error: unknown, cause?: unknown): void;
  /**
   * Describes the work of the program, for the log.
   *
   * @param cause See `onFault()`.
   */
  describe?(cause?: unknown): string;
  /** Called once when the connection is gone, for any reason, before the owner is informed. */
  onClosed(end: ConnectionEnd): void;
}

/** The owner measures a connection whenever it has received or queued this many bytes. */
export const MEASURE_STEP: number = 16 * 1024;

/** The maximum number of bytes per write to the lane, so that the progress of a slow peer is visible. */
export const WRITE_LIMIT: number = 256 * 1024;

/** Program bytes up to this size are copied to the gathered output; larger ones go to the lane at once. */
export const GATHER_LIMIT: number = 32 * 1024;

/** Settings shared by all connections of one listener. */
export interface ConnectionOrigin {
  /** How long a connection that we ended may take to go away, in milliseconds. */
  readonly lingerTimeout: number;
  /** The size of the send queue in bytes at which the program should stop sending, until it has drained to `lowWatermark`. */
  readonly highWatermark: number;
  /** See `highWatermark`. */
  readonly lowWatermark: number;
}

/** The shared parts of all connections of a server. `C` is the type of the connections. */
export interface ConnectionOwner<C> extends ConnectionOrigin {
  /** The coarse clock: monotonic milliseconds, updated a few times a second. */
  readonly now: number;
  /** The scratch memory that gathers the output of a turn. */
  readonly scratch: Scratch;
  /** Schedules `flush()` at the end of this turn. */
  flushLater(connection: C): void;
  /** Called when the send queue has reached the high watermark. */
  onBufferFull(connection: C): void;
  /** Called when the send queue has drained to the low watermark. */
  onBufferEmpty(connection: C): void;
  /** Called when a connection has received or queued much since it was last measured: see `Connection.grown`. */
  onGrown(connection: C): void;
  /** Called when all output, including our FIN, has been passed on, and only the end of the peer is pending. */
  onLingering(connection: C): void;
  /** Called when the connection is over for the program, closed by either side. Its last bytes may still be on the way. */
  onClosed(connection: C, end: ConnectionEnd): void;
  /** Called when a connection that is over for the program is aborted, because the peer takes too long. */
  onOverdue?(setting: TimeoutSetting): void;
  /** Called when code above the connection has thrown: an error of ours or of the program. */
  onFault(connection: C, error: unknown): void;
  /** Called when the transport is gone too. */
  onReleased(connection: C): void;
}

/**
 * Output memory for one connection at a time: for the one whose input is being handled, its turn, or else for the first one that
 * writes, until that flushes.
 */
export class Scratch {
  /** The memory. */
  readonly memory: Uint8Array = new Uint8Array(128 * 1024);
  /** The connection that writes to it. */
  owner: object | undefined = undefined;
  /** The same, if it is not its turn. */
  borrower: { flush(): void } | undefined = undefined;
  /** The number of bytes in use. */
  length = 0;

  /** Assigns it to a connection for a turn, unless another one has its turn. Returns whether this one has not had it before. */
  begin(connection: object): boolean {
    while (this.borrower !== undefined && this.borrower !== connection) this.borrower.flush(); // during which another may borrow it
    if (this.borrower !== undefined) this.owner = this.borrower = undefined;
    if (this.owner !== undefined) return false;
    this.owner = connection;
    return true;
  }

  /** Takes it back, with what cannot be sent any more. */
  end(): void {
    this.owner = undefined;
    this.length = 0;
  }
}
