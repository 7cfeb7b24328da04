/**
 * The body of a request that is read while it arrives (`http_stream_body`).
 *
 * @module
 */

import { GrowingBuffer, sliceBytes } from "../../transport/bytes.ts";

/** The callbacks of a body to its exchange. */
export interface BodySupply {
  /** Called when the program reads: the client may be waiting for a 100 response. */
  onWanted(): void;
  /** Called when `isPaused` changes. */
  onPauseChange(): void;
  /** Called when the body is larger than the program accepts: the request is refused. */
  onTooLarge(): void;
}

/** The number of bytes held before the peer has to wait. */
const HIGH_WATER = 64 * 1024;

/** Bytes on their way from a connection to the program. They are stored contiguously, however small the pieces were. */
export class RequestBody {
  /** Whether the client waits for a 100 response before it sends the body. */
  clientWaits = false;
  /** The number of bytes received. */
  receivedBytes = 0;
  readonly #supply: BodySupply;
  #pending = new GrowingBuffer();
  #highWater = HIGH_WATER;
  #collected = 0; // bytes that `collect()` returned
  #paused = false;
  #complete = false;
  #discarded = false;
  #error: Error | undefined = undefined;
  #wake: (() => void) | undefined = undefined;
  #stream: ReadableStream<Uint8Array> | undefined = undefined;

  constructor(supply: BodySupply) {
    this.#supply = supply;
  }

  /** Whether the client has to wait, because the program reads too slowly. */
  get isPaused(): boolean {
    return this.#paused;
  }

  /** Whether the whole body has arrived. */
  get isComplete(): boolean {
    return this.#complete;
  }

  /** The number of bytes of memory in use. */
  get heldBytes(): number {
    return this.#pending.memory.length + this.#collected;
  }

  /** Copies bytes that arrived. */
  push(chunk: Uint8Array, start: number, end: number): void {
    this.receivedBytes += end - start;
    if (this.#discarded || end <= start) return;
    this.#pending.append(chunk, start, end, Infinity);
    if (this.#pending.length >= this.#highWater && !this.#paused) {
      this.#paused = true;
      this.#supply.onPauseChange();
    }
    if (this.#wake !== undefined) this.#notify();
  }

  /** Marks the body as complete. */
  finish(): void {
    this.#complete = true;
    this.#notify();
  }

  /** Marks the body as cut off. The bytes received so far can still be read. */
  fail(reason: string): void {
    if (this.#complete) return;
    this.#error ??= new Error(`Cannot read the body: ${reason}`);
    this.#notify();
  }

  /** Drops the bytes received and those to come, because they are not read. */
  discard(): void {
    this.#discarded = true;
    this.#pending = new GrowingBuffer();
    this.#readOn();
    this.#notify();
  }

  /** The bytes as a stream. */
  get stream(): ReadableStream<Uint8Array> {
    return this.#stream ??= new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const part = await this.take();
        if (part === undefined) controller.close();
        else controller.enqueue(part);
      },
      cancel: () => this.discard(),
    }, { highWaterMark: 0 });
  }

  /** Reads the whole body, up to a limit. */
  async collect(limit: number): Promise<Uint8Array> {
    const reader = this.stream.getReader(); // so that the program cannot read it
    this.#highWater = limit + 1;
    this.#readOn();
    try {
      while (!this.#complete && !this.#discarded && this.#pending.length <= limit) {
        if (this.#error !== undefined) throw this.#error;
        await this.#more();
      }
      const { memory, length } = this.#pending;
      this.#pending = new GrowingBuffer();
      if (length > limit) {
        this.#supply.onTooLarge();
        throw new RangeError(`Cannot read the body: it is larger than ${limit} bytes`);
      }
      this.#collected = length; // it is the program's, but counts until the response is complete
      return ownPart(memory, length);
    } finally {
      reader.releaseLock();
    }
  }

  /** Returns the next bytes, whose memory then belongs to the caller; `undefined` at the end. Rejects if the body was cut off. */
  async take(): Promise<Uint8Array | undefined> {
    while (this.#pending.length === 0) {
      if (this.#complete) return undefined;
      if (this.#error !== undefined) throw this.#error;
      if (this.#discarded) return undefined;
      await this.#more();
    }
    const { memory, length } = this.#pending;
    this.#pending = new GrowingBuffer();
    this.#readOn();
    return ownPart(memory, length);
  }

  #readOn(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#supply.onPauseChange();
  }

  /** Settles when bytes, the end or an error have arrived. */
  #more(): Promise<void> {
    this.#supply.onWanted();
    return new Promise((resolve) => this.#wake = resolve);
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

/** Returns the beginning of some memory, as a copy if it would keep much more alive. */
function ownPart(memory: Uint8Array, length: number): Uint8Array {
  return length + (length >> 2) < memory.length ? sliceBytes(memory, 0, length) : memory.subarray(0, length);
}
