/**
 * What is above a connection.
 *
 * @module
 */

/** What a connection feeds: HTTP, a WebSocket, raw octets. It is replaced when the connection changes its protocol. */
export interface Protocol {
  /**
   * How long the peer may take nothing of what is still to be sent when the connection is over, in milliseconds; 0 for ever. The
   * linger timeout unless given.
   */
  readonly sendTimeout?: number;
  /**
   * Bytes arrived; they begin at `at`. They are lent for the length of the call: the protocol may change them, and copies what it
   * keeps.
   *
   * @param given Whether the memory is the protocol's for good, so that a message alone in it may be handed on as it is. `false`.
   */
  receive(chunk: Uint8Array, at: number, given?: boolean): void;
  /** The peer will not send any more. */
  receiveEnd(): void;
  /** The connection's `deadline` has passed. */
  onDeadline(now: number): void;
  /** When an idle connection is to be closed has changed. */
  onIdleChange?(): void;
  /** The send queue has come down to the low watermark: `isFull` is false again. */
  onDrain?(): void;
  /**
   * The program failed on what arrived here: ends this connection, and tells the peer if that is still possible.
   *
   * @param cause What the program was working for, if the protocol has told it apart: the response.
   */
  onFault(cause?: unknown): void;
  /** The connection is gone, for whatever reason; called once, before the owner is told. */
  onClosed(): void;
}
