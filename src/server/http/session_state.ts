/**
 * The state of an HTTP connection, the deadline for the client's next bytes, and the bytes read ahead.
 *
 * @module
 */

import { deadlineIn } from "../../transport/deadlines.ts";
import { EMPTY } from "../../transport/bytes.ts";

/**
 * The state of an HTTP connection. The table in docs/architecture.md lists for each state the expected event, its timeout, and
 * the effect of a client that ends its side.
 */
export type HttpState =
  /** No byte of a request has arrived since the last one. */
  | "idle"
  /** The head of a request is arriving. */
  | "head"
  /** The body of a request is arriving, and is collected before the handler is called. */
  | "body"
  /** An exchange is open, and the body of its request is arriving. */
  | "uploading"
  /** An exchange is open, and its request is complete. */
  | "handling"
  /** An exchange is open that is a handshake. */
  | "handshake"
  /** The client has yet to take the last responses: no requests are read until then. */
  | "draining"
  /** The connection has ended, or has changed to another protocol. */
  | "over";

/**
 * The deadline for the client's next bytes, on the clock of deadlines, in milliseconds. It is suspended while the server does not
 * read.
 */
export class ReadDeadline {
  /** When the bytes are due; 0 for never. */
  at = 0;

  #remaining = 0; // while it is suspended

  /** Starts the deadline: `timeout` from now on; 0 for no limit. */
  begin(timeout: number, now: number): void {
    this.at = deadlineIn(timeout, now);
  }

  /** Removes the deadline. */
  clear(): void {
    this.at = this.#remaining = 0;
  }

  /** Suspends the deadline while the program is slow to read. */
  suspend(now: number): void {
    this.#remaining = this.at === 0 ? 0 : Math.max(1, this.at - now);
    this.at = 0;
  }

  /** Resumes the deadline. */
  resume(now: number): void {
    this.at = deadlineIn(this.#remaining, now);
  }

  /**
   * Extends the deadline for bytes of a body. Each byte adds time, up to the timeout: a client slower than the minimum rate runs
   * out of it.
   *
   * @param minRate The minimum rate in bytes per second; 0 for none.
   */
  extend(bytes: number, timeout: number, minRate: number, now: number): void {
    if (timeout === 0) return;
    const bought = minRate === 0 ? Infinity : bytes * 1000 / minRate;
    if (this.at === 0) this.#remaining = Math.min(this.#remaining + bought, timeout); // they were already on their way
    else this.at = Math.min(this.at + bought, now + timeout);
  }
}

/** The number of bytes read ahead; above it the client has to wait. */
const READ_AHEAD_LIMIT = 64 * 1024;

/** A copy of the bytes that arrived while the response to an earlier request is pending. */
export class ReadAhead {
  #memory: Uint8Array = EMPTY;
  #start = 0;
  #end = 0;

  /** The number of bytes. */
  get size(): number {
    return this.#end - this.#start;
  }

  /** The number of bytes of memory in use. */
  get heldBytes(): number {
    return this.#memory.length;
  }

  /** Whether reading must pause. */
  get isFull(): boolean {
    return this.size >= READ_AHEAD_LIMIT;
  }

  /** Copies the bytes of a chunk from an index on. */
  add(chunk: Uint8Array, at: number): void {
    const size = this.size;
    const needed = size + chunk.length - at;
    if (this.#end + chunk.length - at > this.#memory.length) {
      const larger = needed > this.#memory.length ? new Uint8Array(Math.max(needed, size === 0 ? 0 : size * 2)) : this.#memory;
      larger.set(this.#memory.subarray(this.#start, this.#end));
      this.#memory = larger;
      this.#start = 0;
      this.#end = size;
    }
    this.#memory.set(at === 0 ? chunk : chunk.subarray(at), this.#end);
    this.#end += chunk.length - at;
  }

  /**
   * Passes the bytes to a function, and removes those that it used.
   *
   * @param read Receives the bytes and the index of the first one. Returns the index of the first unused byte. It must not add
   * any.
   */
  consume(read: (bytes: Uint8Array, at: number) => number): void {
    this.#start = read(this.#memory.subarray(0, this.#end), this.#start);
    if (this.#start === this.#end) this.clear();
  }

  /** Removes and returns all bytes. */
  take(): Uint8Array {
    const bytes = this.#memory.subarray(this.#start, this.#end);
    this.clear();
    return bytes;
  }

  /** Drops the bytes and their memory. */
  clear(): void {
    this.#memory = EMPTY;
    this.#start = this.#end = 0;
  }
}
