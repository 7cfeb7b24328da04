/**
 * The body of a request that is read while it arrives (`http_stream_body`).
 *
 * @module
 */

import { joinBytes, sliceBytes } from "../../bytes.ts";

/** What a body asks of the connection that it comes from. */
export interface BodySupply {
  /** The program reads: the client may have to be told to send. */
  onWanted(): void;
  /** There is enough for now. */
  pause(): void;
  /** There is room again. */
  resume(): void;
  /** The body is larger than the program takes: the request is refused. */
  onTooLarge(): void;
}

/** So much is held before the peer has to wait. */
const HIGH_WATER = 64 * 1024;

/** Octets on their way from a connection to the program. */
export class RequestBody {
  /** Whether the client waits to be told that it may send it (100). */
  clientWaits = false;
  readonly #supply: BodySupply;
  #parts: Uint8Array[] = [];
  #size = 0;
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

  /** Octets arrived; their memory is the body's. */
  push(chunk: Uint8Array, start: number, end: number): void {
    if (this.#discarded || end <= start) return;
    this.#parts.push(sliceBytes(chunk, start, end));
    this.#size += end - start;
    if (this.#size >= HIGH_WATER && !this.#paused) {
      this.#paused = true;
      this.#supply.pause();
    }
    this.#notify();
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
    this.#parts = [];
    this.#size = 0;
    this.#goOn();
  }

  /** The octets as a stream. */
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
    const parts: Uint8Array[] = [];
    let size = 0;
    const reader = this.stream.getReader();
    try {
      while (true) {
        const { done, value } = await reader.read();
        if (done) return joinBytes(parts);
        size += value.length;
        if (size > limit) {
          this.#supply.onTooLarge();
          throw new RangeError(`Cannot read the body: it is larger than ${limit} octets`);
        }
        parts.push(value);
      }
    } finally {
      reader.releaseLock();
    }
  }

  /** The next octets; `undefined` at the end. Rejects when there will be none because something failed. */
  async take(): Promise<Uint8Array | undefined> {
    while (this.#parts.length === 0) {
      if (this.#complete || this.#discarded) return undefined;
      if (this.#error !== undefined) throw this.#error;
      this.#supply.onWanted();
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const part = this.#parts.shift()!;
    this.#size -= part.length;
    if (this.#size < HIGH_WATER / 2) this.#goOn();
    return part;
  }

  #goOn(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#supply.resume();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
