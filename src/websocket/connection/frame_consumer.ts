/**
 * What a WebSocket needs of the side of the program.
 *
 * @module
 */

import type { ConnectionEnd } from "../../transport/connection_end.ts";
import type { CloseFrame, Frame } from "../frame.ts";

/** What takes the frames of a WebSocket: it starts handlers, or keeps them for `recv()`. */
export interface FrameConsumer {
  /** Whether the program may still reply to earlier frames, so that a violation takes effect later, with `settleViolation()`. */
  readonly isAtWork: boolean;
  /** Whether it has yet to take frames that were received before the connection ended. */
  readonly isBehind: boolean;
  /** The number of bytes of the program that wait here to be sent. 0 by default. */
  readonly waitingBytes?: number;
  /** Takes a frame, or has it wait with `enqueue()`. Its payload may be gone after the call: see `Frame`. */
  deliver(frame: Frame | CloseFrame): void;
  /** Takes the peer's Close: it goes to the program with `deliverClose()`, if it wants it, and is answered, now or later. */
  onClose(payload: Uint8Array): void;
  /** Called when we have sent a Close. */
  onClosing(): void;
  /** Called when there is room for output again. */
  onDrain(): void;
  /** Called at each deadline of the connection that it has survived. */
  onDeadline?(): void;
  /** Called when the closing handshake is over, or the connection has failed with a code. */
  onFinished?(code: number): void;
  /** Called when the connection is gone. */
  onClosed(end: ConnectionEnd): void;
}
