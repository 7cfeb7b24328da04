/**
 * Messages that have arrived and that nobody has taken yet.
 *
 * @module
 */

import { type CloseFrame, Frame } from "./frame.ts";

/** What a message counts beside its payload, so that many small ones are not free. */
const MESSAGE_COST = 128;

/** The messages of one connection, oldest first, and what they count. */
export class MessageQueue {
  /** The bytes that the messages hold. */
  bytes = 0;

  #frames: (Frame | CloseFrame)[] = [];
  #next = 0;

  /** Whether there is none. */
  get isEmpty(): boolean {
    return this.#next === this.#frames.length;
  }

  /** Adds a message, which gets memory of its own. */
  push(frame: Frame | CloseFrame): void {
    Frame.store(frame);
    this.#frames.push(frame);
    this.bytes += Frame.sizeOf(frame) + MESSAGE_COST;
  }

  /** Takes the oldest message, which is there. */
  shift(): Frame | CloseFrame {
    const frame = this.#frames[this.#next++];
    this.bytes -= Frame.sizeOf(frame) + MESSAGE_COST;
    if (this.isEmpty) {
      this.#frames = [];
      this.#next = 0;
    } else if (this.#next === 1024) {
      this.#frames.splice(0, this.#next);
      this.#next = 0;
    }
    return frame;
  }

  /** Drops all of them. */
  clear(): void {
    this.#frames = [];
    this.#next = this.bytes = 0;
  }
}
