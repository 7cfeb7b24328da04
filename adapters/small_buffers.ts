/**
 * Small buffers of one size, for reads that may be pending for hours.
 *
 * @module
 */

/** The number of buffers in one memory: each memory takes as much again as a buffer holds. */
const PER_MEMORY = 32;

/** Memory of which no buffer is in use is released while at least this many other buffers are spare. */
const KEPT = 8 * PER_MEMORY;

/** Buffers that are pieces of larger memories. A memory is released when all its buffers have been given back. */
export class SmallBuffers {
  readonly #size: number;
  /** The spare buffers of each memory. */
  readonly #memories: Map<ArrayBufferLike, Uint8Array[]> = new Map();
  /** Those from which buffers are taken, and the others that are not empty. */
  #current: Uint8Array[] = [];
  readonly #others: Set<Uint8Array[]> = new Set();
  #spare = 0;

  /** @param size The size of each buffer in bytes. */
  constructor(size: number) {
    this.#size = size;
  }

  /** The number of bytes of memory, whether in use or not. */
  get bytes(): number {
    return this.#memories.size * PER_MEMORY * this.#size;
  }

  /** Returns a buffer. Its bytes may be of an earlier use. */
  take(): Uint8Array {
    if (this.#current.length === 0) this.#current = this.#next();
    this.#spare--;
    return this.#current.pop()!;
  }

  /** Returns spare buffers: those that were in use first, so that later memories can be released. */
  #next(): Uint8Array[] {
    for (const buffers of this.#others) {
      this.#others.delete(buffers);
      return buffers;
    }
    const size = this.#size;
    const memory = new Uint8Array(PER_MEMORY * size);
    const buffers: Uint8Array[] = [];
    for (let at = memory.length - size; at >= 0; at -= size) {
      buffers.push(memory.subarray(at, at + size));
    }
    this.#memories.set(memory.buffer, buffers);
    this.#spare += PER_MEMORY;
    return buffers;
  }

  /** Takes a buffer back, which must come from `take()` and is no longer written to. */
  give(buffer: Uint8Array): void {
    const buffers = this.#memories.get(buffer.buffer)!;
    buffers.push(buffer);
    this.#spare++;
    if (buffers === this.#current) return;
    if (buffers.length < PER_MEMORY || this.#spare < KEPT + PER_MEMORY) {
      this.#others.add(buffers);
    } else {
      this.#others.delete(buffers);
      this.#memories.delete(buffer.buffer);
      this.#spare -= PER_MEMORY;
    }
  }
}
