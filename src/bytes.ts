/**
 * Octets in memory.
 *
 * @module
 */

const encoder = new TextEncoder();

/** Texts up to this many UTF-16 units are encoded one by one, which is faster than to make a view for `encodeInto()`. */
const LOOP_LIMIT = 64;

/**
 * Writes a text that is ASCII.
 *
 * @param text The text.
 * @param memory Where it goes; it has room for an octet for each UTF-16 unit.
 * @param at Index of the first octet.
 * @returns `false` if it is something else; what the memory holds there is undefined then.
 */
export function writeAscii(text: string, memory: Uint8Array, at: number): boolean {
  const units = text.length;
  if (units > LOOP_LIMIT) {
    // Whatever is not ASCII takes more octets than units, so that not all of it finds room.
    return encoder.encodeInto(text, memory.subarray(at, at + units)).read === units;
  }
  let all = 0;
  for (let i = 0; i < units; i++) all |= memory[at + i] = text.charCodeAt(i);
  return all < 0x80;
}

/** Writes a text of which every UTF-16 unit is an octet. */
export function writeLatin1(text: string, memory: Uint8Array, at: number): void {
  if (writeAscii(text, memory, at)) return;
  for (let i = 0; i < text.length; i++) memory[at + i] = text.charCodeAt(i);
}

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
