/**
 * Received messages: their queue, and iterables and web streams of a WebSocket of the coroutine style.
 *
 * @module
 */

import { WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../../constants.ts";
import { swooleStrerror } from "../../errors.ts";
import { Frame, type MessageFrame, type ReceivedFrame } from "../frame.ts";
import type { Pushable } from "../prepared_message.ts";

/** The bytes counted for each message in addition to its payload, so that many small messages are not free. */
const MESSAGE_COST = 320;

/** The queued messages of one connection, oldest first. */
export class MessageQueue {
  /** The number of bytes counted for all messages. */
  bytes = 0;

  #frames: ReceivedFrame[] = [];
  #next = 0;

  /** The number of messages. */
  get size(): number {
    return this.#frames.length - this.#next;
  }

  /** Whether the queue is empty. */
  get isEmpty(): boolean {
    return this.#next === this.#frames.length;
  }

  /** Adds a message and gives it memory of its own. Returns the number of bytes it counts. */
  push(frame: ReceivedFrame): number {
    Frame["store"](frame);
    this.#frames.push(frame);
    const cost = Frame["sizeOf"](frame) + MESSAGE_COST;
    this.bytes += cost;
    return cost;
  }

  /** Removes the oldest message. The queue must not be empty. */
  shift(): ReceivedFrame {
    const frame = this.#frames[this.#next++];
    this.bytes -= Frame["sizeOf"](frame) + MESSAGE_COST;
    if (this.isEmpty) {
      this.#frames = [];
      this.#next = 0;
    } else if (this.#next === 1024) {
      this.#frames.splice(0, this.#next);
      this.#next = 0;
    }
    return frame;
  }

  /** Drops all messages. */
  clear(): void {
    if (this.isEmpty) return;
    this.#frames = [];
    this.#next = this.bytes = 0;
  }
}

/** An empty queue, of all connections on which no message waits: most never have one. Nothing may be added to it. */
export const NO_MESSAGES: MessageQueue = new MessageQueue();

/**
 * The result of `recv()`: a message; the peer's Close, once; `""` when the connection is closed; `false` after a failure or a
 * timeout, with the reason in `getLastError()`.
 */
export type Received = ReceivedFrame | "" | false;

/** The methods that are needed to read and write a WebSocket. */
interface MessageEnd {
  /** Receives the next frame. */
  recv(timeout?: number): Promise<Received>;
  /** Sends a message. */
  push(data: Pushable): Promise<boolean>;
  /** Starts the closing handshake. */
  disconnect(code?: number, reason?: string): boolean;
  /** Returns the error code of the last method that returned `false`. */
  getLastError(): number;
}

function isData(frame: ReceivedFrame): frame is MessageFrame {
  return frame.opcode === WEBSOCKET_OPCODE_TEXT || frame.opcode === WEBSOCKET_OPCODE_BINARY;
}

/** Iterates over the data frames until the connection closes or fails. */
export async function* iterateMessages(end: MessageEnd): AsyncGenerator<MessageFrame, void, void> {
  while (true) {
    const received = await end.recv(-1);
    if (received === "" || received === false) return;
    if (isData(received)) yield received;
  }
}

/**
 * Creates a stream of the messages: strings for text, bytes for binary. It closes with the connection, and errors if that fails.
 */
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

/** Creates a stream whose chunks are sent as messages: strings as text, bytes as binary. Closing it closes the WebSocket. */
export function writeMessages(end: MessageEnd): WritableStream<string | Uint8Array> {
  return new WritableStream({
    async write(chunk) {
      if (!await end.push(chunk)) throw new Error(`Cannot send: ${swooleStrerror(end.getLastError())}`);
    },
    close: () => void end.disconnect(),
    abort: () => void end.disconnect(1011),
  });
}
