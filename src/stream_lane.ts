/**
 * The portable lane: any pair of web streams.
 *
 * @module
 */

import { sliceBytes } from "./bytes.ts";
import type { BytePipe, Lane, LaneSink } from "./runtime.ts";

/**
 * What arrives is lent from here. The chunks of a stream are not: whoever made them may use them again, and they are not to be
 * unmasked in place.
 */
const LENT_SIZE = 64 * 1024;
let lent: Uint8Array | undefined;

/** A lane over the two streams of a pipe. */
export class StreamLane implements Lane {
  readonly canReset: boolean = false; // a stranger's `abort()` may be anything
  readonly #pipe: BytePipe;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #sink!: LaneSink;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #resume: (() => void) | undefined = undefined;
  #paused = false;
  #readDone = false;
  #writeDone = false;
  #closed = false;

  constructor(pipe: BytePipe) {
    this.#pipe = pipe;
    this.#writer = pipe.writable.getWriter();
    this.#writer.closed.catch((error) => this.#close(error));
  }

  start(sink: LaneSink): void {
    this.#sink = sink;
    this.#read();
  }

  async #read(): Promise<void> {
    const reader = this.#reader = this.#pipe.readable.getReader();
    while (true) {
      if (this.#paused) await new Promise<void>((resolve) => this.#resume = resolve);
      let result: ReadableStreamReadResult<Uint8Array>;
      try {
        result = await reader.read();
      } catch (error) {
        return this.#close(error);
      }
      if (this.#closed) return;
      if (result.done) break;
      this.#lend(result.value);
    }
    this.#readDone = true;
    this.#sink.onEnd();
    if (this.#writeDone) this.#close();
  }

  #lend(chunk: Uint8Array): void {
    const memory = lent ??= new Uint8Array(LENT_SIZE);
    for (let at = 0; at < chunk.length && !this.#closed; at += LENT_SIZE) {
      const size = Math.min(LENT_SIZE, chunk.length - at);
      memory.set(size === chunk.length ? chunk : chunk.subarray(at, at + size));
      this.#sink.onData(memory.subarray(0, size), false);
    }
  }

  // The stream is a stranger's, who may give the memory away: it gets its own.
  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#closed) return false;
    this.#writer.write(sliceBytes(bytes, start, end)).then(() => {
      if (!this.#closed) this.#sink.onDrain();
    }, (error) => this.#close(error));
    return false;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#resume?.();
    this.#resume = undefined;
  }

  end(): void {
    this.#writer.close().then(() => {
      this.#writeDone = true;
      if (this.#readDone) this.#close();
    }, (error) => this.#close(error));
  }

  abort(): void {
    this.#close();
  }

  #close(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.resume();
    if (!this.#readDone || !this.#writeDone) {
      this.#reader?.cancel(error).catch(() => {});
      this.#writer.abort(error).catch(() => {});
      this.#pipe.abort();
    }
    this.#sink?.onClose(error);
  }
}
