/**
 * Bytes in memory, and the interface through which protocols write them.
 *
 * @module
 */

import { utf8Encoder } from "../values.ts";

/** Texts up to this many UTF-16 units are encoded in a loop, which is faster than creating a view for `encodeInto()`. */
const LOOP_LIMIT = 64;

/**
 * Writes a text if it is ASCII.
 *
 * @param text The text.
 * @param memory The memory to write to, with room for one byte per UTF-16 unit.
 * @param at The index of the first byte.
 * @returns `false` if the text is not ASCII; the memory there is then undefined.
 */
export function writeAscii(text: string, memory: Uint8Array, at: number): boolean {
  const units = text.length;
  if (units > LOOP_LIMIT) {
    // Text that is not ASCII needs more bytes than units, so it does not fit completely.
    return utf8Encoder.encodeInto(text, memory.subarray(at, at + units)).read === units;
  }
  let all = 0;
  for (let i = 0; i < units; i++) all |= memory[at + i] = text.charCodeAt(i);
  return all < 0x80;
}

/** Writes a text in which every UTF-16 unit is one byte. */
export function writeLatin1(text: string, memory: Uint8Array, at: number): void {
  if (writeAscii(text, memory, at)) return;
  for (let i = 0; i < text.length; i++) memory[at + i] = text.charCodeAt(i);
}

/** No bytes. Not for programs, which may transfer what they receive. */
export const EMPTY: Uint8Array = new Uint8Array(0);

/** Copies the parts into one new array. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// A runtime may pass a subclass of `Uint8Array` whose slice() does not copy. All bytes for a program go through one of these two
// functions.

/** Returns a range of bytes as a plain `Uint8Array` over the same memory. */
export function viewBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
}

const { slice } = Uint8Array.prototype;

/** Copies a range of bytes to a plain `Uint8Array` with its own memory. */
export function sliceBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (bytes.constructor === Uint8Array) return slice.call(bytes, start, end); // without a view
  return new Uint8Array(viewBytes(bytes, start, end));
}

/** Pieces up to this many bytes share a slab. */
const SLAB_PIECE_LIMIT = 4096;
const SLAB_SIZE = 16 * 1024;

let slab = new Uint8Array(SLAB_SIZE);
let slabUsed = 0;

/**
 * Copies short-lived bytes. Small copies lie side by side in one slab, which in V8 is four times as fast as separate allocations.
 *
 * @param bytes The memory that holds the bytes.
 * @param start The index of the first byte.
 * @param end The index after the last byte.
 * @returns The copy. It keeps up to 16 KiB alive.
 */
export function copyBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = allocateBytes(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}

/**
 * Allocates memory for short-lived bytes: a piece of a slab, if it is small.
 *
 * @param size The number of bytes.
 * @returns Memory of that size. It keeps up to 16 KiB alive.
 */
export function allocateBytes(size: number): Uint8Array {
  if (size > SLAB_PIECE_LIMIT) return new Uint8Array(size);
  if (slabUsed + size > SLAB_SIZE) {
    slab = new Uint8Array(SLAB_SIZE);
    slabUsed = 0;
  }
  const piece = slab.subarray(slabUsed, slabUsed + size);
  slabUsed += size;
  return piece;
}

const FIRST_ALLOCATION = 1024;

/** Up to this many bytes are copied in a loop: creating a view would cost more. */
const COPIED_ONE_BY_ONE = 16;

/**
 * A buffer for bytes that arrive in pieces. Its memory grows with the bytes received, never with the announced size, and is at
 * most twice as large.
 */
export class GrowingBuffer {
  /** The memory; its first `length` bytes are in use. */
  memory: Uint8Array = new Uint8Array(0);
  /** The number of bytes. */
  length = 0;

  /**
   * Appends bytes.
   *
   * @param bytes The memory that holds the bytes.
   * @param start The index of the first byte.
   * @param end The index after the last byte.
   * @param most The maximum number of bytes in this buffer: growth does not exceed it.
   */
  append(bytes: Uint8Array, start: number, end: number, most: number): void {
    const needed = this.length + end - start;
    if (needed > this.memory.length) {
      const grown = Math.max(needed, this.memory.length * 2, FIRST_ALLOCATION);
      const larger = new Uint8Array(Math.max(needed, Math.min(grown, most)));
      larger.set(this.memory.subarray(0, this.length));
      this.memory = larger;
    }
    if (end - start <= COPIED_ONE_BY_ONE) {
      for (let at = start, to = this.length; at < end;) this.memory[to++] = bytes[at++];
    } else {
      this.memory.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), this.length);
    }
    this.length = needed;
  }
}

/** What several connections send as one array. */
export interface Sharing {
  /** How many connections it had to wait for, behind other output. */
  waits: number;
}

/**
 * Returns what the next connection pays that a shared array waits for, in bytes: a part, all together hardly more than it takes.
 * Its receivers may be a peer and its accomplice.
 */
export function partOf(size: number, sharing: Sharing): number {
  return Math.ceil(size / ++sharing.waits);
}

/**
 * The outgoing side of a connection, as protocols see it. Small parts are written directly to `memory`; large ones are passed by
 * reference.
 */
export interface ByteSink {
  /** The memory in which the last `reserve()` made room. */
  readonly memory: Uint8Array;
  /**
   * Makes room for bytes.
   *
   * @param size The maximum number of bytes needed.
   * @returns The index in `memory` at which to write them. Valid until the next call of any method.
   */
  reserve(size: number): number;
  /**
   * Completes a `reserve()`.
   *
   * @param size The number of reserved bytes that were written.
   */
  commit(size: number): void;
  /**
   * Sends bytes by reference.
   *
   * @param bytes The bytes, which must not change any more.
   * @param sharing What other connections are given too that send the same array. It counts as held for the first one that it
   * waits for, by half for the second, by a third for the third. A short array may be copied.
   */
  append(bytes: Uint8Array, sharing?: Sharing): void;
  /**
   * Sends bytes of the program, which may change after the call: bytes that are not taken at once are copied.
   *
   * @param bytes The memory that holds the bytes.
   * @param start The index of the first byte; 0 by default.
   * @param end The index after the last byte; the length by default.
   */
  appendCopy(bytes: Uint8Array, start?: number, end?: number): void;
}

/** Sends a text of which each character is a byte. */
export function appendLatin1(sink: ByteSink, text: string): void {
  const at = sink.reserve(text.length);
  writeLatin1(text, sink.memory, at);
  sink.commit(text.length);
}

/** A sink that keeps everything in memory, for `pack()` and for tests. */
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

  /** Removes and returns the bytes written so far, as one piece. */
  take(): Uint8Array {
    const parts = this.#parts;
    this.#parts = [];
    return parts.length === 1 ? parts[0] : joinBytes(parts);
  }
}
