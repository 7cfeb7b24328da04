/**
 * Output that waits to be handed to a lane.
 *
 * @module
 */

import { allocateBytes, joinBytes } from "./bytes.ts";

/** Parts are joined to chunks of up to this many bytes. */
const JOIN_LIMIT = 64 * 1024;

/** The memory that small parts behind the first are gathered in. */
const SHARED_PART = 1024;

/** Parts in order, oldest first, and behind them memory that small ones are gathered in. */
export class OutputQueue {
  /** The bytes that wait. */
  bytes = 0;
  /** Where the bytes of `take()` begin in the chunk that it gave, and where they end. */
  start = 0;
  end = 0;

  #parts: Uint8Array[] = [];
  #taken = 0; // of the first part
  #tail: Uint8Array | undefined = undefined;
  #tailUsed = 0;

  /** Where the next small part goes in the memory that `reserve()` gave. */
  get at(): number {
    return this.#tailUsed;
  }

  /**
   * Makes room for a small part.
   *
   * @param size How many bytes are needed at most.
   * @param waits Whether it is going to wait for the peer. Otherwise it leaves at the end of this turn, and may lie in a slab, which
   * what waits may not keep alive.
   */
  reserve(size: number, waits: boolean): Uint8Array {
    const tail = this.#tail;
    if (tail !== undefined && tail.length - this.#tailUsed >= size) return tail;
    // The first part gets what it needs. More of them share memory: a queue of small parts is no larger than what is in it.
    const room = this.bytes > 0 ? Math.max(size, SHARED_PART) : size;
    this.#sealTail();
    return this.#tail = waits ? new Uint8Array(room) : allocateBytes(room);
  }

  /** Ends what `reserve()` began. */
  commit(size: number): void {
    this.#tailUsed += size;
    this.bytes += size;
  }

  /** Adds a part, which nobody changes any more. */
  push(bytes: Uint8Array): void {
    this.#sealTail();
    this.#parts.push(bytes);
    this.bytes += bytes.length;
  }

  /** Nothing more is gathered in the tail. */
  #sealTail(): void {
    const tail = this.#tail;
    if (tail === undefined) return;
    const used = this.#tailUsed;
    this.#tail = undefined;
    this.#tailUsed = 0;
    if (used > 0) this.#parts.push(used * 2 > tail.length ? tail.subarray(0, used) : tail.slice(0, used));
  }

  /**
   * Takes the oldest bytes, of which there are some: those from `start` to `end` of the chunk that it returns.
   *
   * @param most The most bytes to take of one part.
   */
  take(most: number): Uint8Array {
    const parts = this.#parts;
    if (parts.length === 0 && this.#tailUsed <= most) return this.#takeTail();
    this.#sealTail();
    const first = parts[0];
    this.start = this.#taken;
    if (first.length - this.#taken > most) {
      this.end = this.#taken += most;
      this.bytes -= most;
      return first;
    }
    this.#taken = 0;
    let size = first.length - this.start;
    let count = 1;
    while (count < parts.length && size + parts[count].length <= JOIN_LIMIT) size += parts[count++].length;
    this.bytes -= size;
    this.end = first.length;
    if (count === 1) return parts.shift()!;
    const joined = parts.splice(0, count);
    if (this.start > 0) joined[0] = first.subarray(this.start);
    this.start = 0;
    this.end = size;
    return joinBytes(joined);
  }

  /** The usual case: nothing waits but what was gathered in this turn. */
  #takeTail(): Uint8Array {
    const tail = this.#tail!;
    this.start = 0;
    this.end = this.#tailUsed;
    this.#tail = undefined;
    this.#tailUsed = this.bytes = 0;
    return tail;
  }

  /** Drops everything. */
  clear(): void {
    this.#parts = [];
    this.#tail = undefined;
    this.#tailUsed = this.#taken = this.bytes = 0;
  }
}
