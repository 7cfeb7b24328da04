/**
 * Where a protocol puts the octets that it wants sent.
 *
 * @module
 */

import { joinBytes, sliceBytes } from "./bytes.ts";

/**
 * The outgoing side of a connection, as protocols see it. Small parts are written in place into `memory`; large ones are
 * handed over by reference.
 */
export interface ByteSink {
  /** The memory that the last `reserve()` gave room in. */
  readonly memory: Uint8Array;
  /**
   * Makes room.
   *
   * @param size How many octets are needed at most.
   * @returns The index in `memory` at which to write them. Valid until the next call of any method.
   */
  reserve(size: number): number;
  /**
   * Ends what `reserve()` began.
   *
   * @param size How many of the reserved octets were written.
   */
  commit(size: number): void;
  /**
   * Sends bytes by reference.
   *
   * @param bytes The bytes. Nobody changes them from now on.
   */
  append(bytes: Uint8Array): void;
  /**
   * Sends bytes of the program, which may change them as soon as this returns: what is not taken at once is copied.
   *
   * @param bytes Where the bytes are.
   * @param start Index of the first one; 0 unless given.
   * @param end Index behind the last one; the end unless given.
   */
  appendCopy(bytes: Uint8Array, start?: number, end?: number): void;
}

/** A sink that keeps everything in memory: for `pack()` and for tests. */
export class MemorySink implements ByteSink {
  memory: Uint8Array = new Uint8Array(0);
  #parts: Uint8Array[] = [];

  reserve(size: number): number {
    this.memory = new Uint8Array(size);
    return 0;
  }

  commit(size: number): void {
    this.#parts.push(this.memory.subarray(0, size));
  }

  append(bytes: Uint8Array): void {
    this.#parts.push(bytes);
  }

  appendCopy(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    this.#parts.push(sliceBytes(bytes, start, end));
  }

  /** Takes out what has been written so far, as one piece. */
  take(): Uint8Array {
    const parts = this.#parts;
    this.#parts = [];
    return parts.length === 1 ? parts[0] : joinBytes(parts);
  }
}
