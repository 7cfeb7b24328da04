/**
 * The body of a request that is read while it arrives (`http_stream_body`).
 *
 * @module
 */

import { GrowingBuffer, sliceBytes } from "../../bytes.ts";

/** What a body asks of the exchange that it is part of. */
export interface BodySupply {
  /** The program reads: the client may have to be told to send. */
  onWanted(): void;
  /** There is enough for now, or there is room again: see `isPaused`. */
  onPauseChange(): void;
  /** The body is larger than the program takes: the request is refused. */
  onTooLarge(): void;
}

/** So much is held before the peer has to wait. */
const HIGH_WATER = 64 * 1024;

/** Bytes on their way from a connection to the program. However small the pieces are that they come in, they lie side by side. */
export class RequestBody {
  /** Whether the client waits to be told that it may send it (100). */
  clientWaits = false;
  readonly #supply: BodySupply;
  #pending = new GrowingBuffer();
  #paused = false;
  #complete = false;
  #discarded = false;
  #error: Error | undefined = undefined;
  #wake: (() => void) | undefined = undefined;
  #stream: ReadableStream<Uint8Array> | undefined = undefined;

  constructor(supply: BodySupply) {
    this.#supply = supply;
  }

  /** Whether the client has to wait, because the program takes its time. */
  get isPaused(): boolean {
    return this.#paused;
  }

  /** Whether all of it has arrived. */
  get isComplete(): boolean {
    return this.#complete;
  }

  /** Bytes arrived; they are copied. */
  push(chunk: Uint8Array, start: number, end: number): void {
    if (this.#discarded || end <= start) return;
    this.#pending.append(chunk, start, end, Infinity);
    if (this.#pending.length >= HIGH_WATER && !this.#paused) {
      this.#paused = true;
      this.#supply.onPauseChange();
    }
    if (this.#wake !== undefined) this.#notify();
  }

  /** All of it has arrived. */
  finish(): void {
    this.#complete = true;
    this.#notify();
  }

  /** No more will come. What is there can still be read. */
  fail(reason: string): void {
    if (this.#complete) return;
    this.#error ??= new Error(`Cannot read the body: ${reason}`);
    this.#notify();
  }

  /** Drops what is there and what comes: nobody reads it. */
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

  /** Reads all of it, up to a limit. */
  async collect(limit: number): Promise<Uint8Array> {
    const body = new GrowingBuffer();
    const reader = this.stream.getReader();
    try {
      while (true) {
        const { done, value } = await reader.read();
        if (done) return body.memory.subarray(0, body.length);
        if (body.length + value.length > limit) {
          this.#supply.onTooLarge();
          throw new RangeError(`Cannot read the body: it is larger than ${limit} bytes`);
        }
        body.append(value, 0, value.length, limit);
      }
    } finally {
      reader.releaseLock();
    }
  }

  /** The next bytes, whose memory is the taker's; `undefined` at the end. Rejects when there will be none because something failed. */
  async take(): Promise<Uint8Array | undefined> {
    while (this.#pending.length === 0) {
      if (this.#complete) return undefined;
      if (this.#error !== undefined) throw this.#error;
      if (this.#discarded) return undefined;
      this.#supply.onWanted();
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const { memory, length } = this.#pending;
    this.#pending = new GrowingBuffer();
    this.#readOn();
    // A small part does not keep much memory alive.
    return length * 2 < memory.length ? sliceBytes(memory, 0, length) : memory.subarray(0, length);
  }

  #readOn(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#supply.onPauseChange();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
