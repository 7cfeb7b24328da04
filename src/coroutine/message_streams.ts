/**
 * Other ways to read and write a WebSocket of the coroutine style: as an iterable, and as web streams.
 *
 * @module
 */

import { WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import { swooleStrerror } from "../errors.ts";
import type { Frame } from "../websocket/frame.ts";
import type { Pushable, Received } from "./channel.ts";

/** What there has to be to read and write: the end of a WebSocket that the program holds. */
export interface MessageEnd {
  /** Takes the next frame. */
  recv(timeout?: number): Promise<Received>;
  /** Sends a message. */
  push(data: Pushable, opcode?: number): Promise<boolean>;
  /** Starts the closing handshake. */
  disconnect(code?: number, reason?: string): boolean;
  /** Why the last method that returned `false` did so. */
  getLastError(): number;
}

function isData(frame: Frame): boolean {
  return frame.opcode === WEBSOCKET_OPCODE_TEXT || frame.opcode === WEBSOCKET_OPCODE_BINARY;
}

/** The data frames, until the connection closes or fails. */
export async function* iterateMessages(end: MessageEnd): AsyncGenerator<Frame, void, void> {
  while (true) {
    const received = await end.recv(-1);
    if (received === "" || received === false) return;
    if (isData(received)) yield received;
  }
}

/** The messages as a stream: a string for text, octets for binary. It ends with the connection, and errors when that fails. */
export function readMessages(end: MessageEnd): ReadableStream<string | Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      while (true) {
        const received = await end.recv(-1);
        if (received === "") return controller.close();
        if (received === false) throw new Error(`Cannot receive: ${swooleStrerror(end.getLastError())}`);
        if (isData(received)) return controller.enqueue(received.data);
      }
    },
    cancel: () => void end.disconnect(),
  }, { highWaterMark: 0 });
}

/** A stream whose chunks are sent as messages: a string as text, octets as binary. To close it closes the WebSocket. */
export function writeMessages(end: MessageEnd): WritableStream<string | Uint8Array> {
  return new WritableStream({
    async write(chunk) {
      const sent = await end.push(chunk, typeof chunk === "string" ? WEBSOCKET_OPCODE_TEXT : WEBSOCKET_OPCODE_BINARY);
      if (!sent) throw new Error(`Cannot send: ${swooleStrerror(end.getLastError())}`);
    },
    close: () => void end.disconnect(),
    abort: () => void end.disconnect(1011),
  });
}
