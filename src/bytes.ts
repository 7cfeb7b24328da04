/**
 * Octets in memory.
 *
 * @module
 */

/** Copies parts into one new array. */
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

// What a runtime hands over may be a subclass of Uint8Array whose slice() does not copy. Whatever reaches a program goes through
// one of these two.

/** A range of octets as a plain `Uint8Array` over the same memory. */
export function viewBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
}

/** A copy of a range of octets, as a plain `Uint8Array` with memory of its own. */
export function sliceBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(viewBytes(bytes, start, end));
}

/** Pieces up to this many octets share a slab. */
const SLAB_PIECE_LIMIT = 4096;
const SLAB_SIZE = 16 * 1024;

let slab = new Uint8Array(SLAB_SIZE);
let slabUsed = 0;

/**
 * Copies octets that do not stay long. Small copies lie side by side in one slab, which V8 makes four times as fast as
 * allocations of their own.
 *
 * @param bytes Where they are.
 * @param start Index of the first one.
 * @param end Index behind the last one.
 * @returns The copy. It keeps up to 16 KiB alive.
 */
export function copyBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = allocateBytes(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}

/**
 * Memory for octets that do not stay long: a piece of a slab, if it is small.
 *
 * @param size How many octets.
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

/**
 * Collects octets that arrive in pieces. Its memory grows with what has arrived, never with what was announced, and is at
 * most twice as much.
 */
export class GrowingBuffer {
  /** The memory; `length` octets of it are in use. */
  memory: Uint8Array = new Uint8Array(0);
  /** How many octets there are. */
  length = 0;

  /**
   * Appends octets.
   *
   * @param bytes Where they are.
   * @param start Index of the first one.
   * @param end Index behind the last one.
   * @param most The most octets that will ever be in here: no more memory than that is taken.
   */
  append(bytes: Uint8Array, start: number, end: number, most: number): void {
    const needed = this.length + end - start;
    if (needed > this.memory.length) {
      const grown = Math.max(needed, this.memory.length * 2, FIRST_ALLOCATION);
      const larger = new Uint8Array(Math.max(needed, Math.min(grown, most)));
      larger.set(this.memory.subarray(0, this.length));
      this.memory = larger;
    }
    this.memory.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), this.length);
    this.length = needed;
  }
}
