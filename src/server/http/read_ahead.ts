/**
 * What a client sends ahead of the response that it waits for.
 *
 * @module
 */

const EMPTY = new Uint8Array(0);

/** So much is read ahead; then the client has to wait. */
export const READ_AHEAD_LIMIT: number = 64 * 1024;

/** Bytes that arrived while the response to an earlier request is pending: a copy of our own. */
export class ReadAhead {
  #memory: Uint8Array = EMPTY;
  #start = 0;
  #end = 0;

  /** How many bytes there are. */
  get size(): number {
    return this.#end - this.#start;
  }

  /** Whether no more is to be read for now. */
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
   * Has the bytes read.
   *
   * @param read Gets them and the index of the first one, and returns the index of the first one that it did not need. It adds none.
   */
  consume(read: (bytes: Uint8Array, at: number) => number): void {
    this.#start = read(this.#memory.subarray(0, this.#end), this.#start);
    if (this.#start === this.#end) this.clear();
  }

  /** Takes all bytes out. */
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
