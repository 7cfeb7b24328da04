/**
 * The portable lane: any pair of web streams.
 *
 * @module
 */

import { copyBytes } from "./bytes.ts";
import type { BytePipe, Lane, LaneSink } from "./runtime.ts";

/** A lane over the two streams of a pipe. */
export class StreamLane implements Lane {
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
    try {
      while (true) {
        if (this.#paused) await new Promise<void>((resolve) => this.#resume = resolve);
        const { done, value } = await reader.read();
        if (this.#closed) return;
        if (done) break;
        if (value.length > 0) this.#sink.onData(value);
      }
    } catch (error) {
      return this.#close(error);
    }
    this.#readDone = true;
    this.#sink.onEnd();
    if (this.#writeDone) this.#close();
  }

  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    if (this.#closed) return false;
    this.#writer.write(owned ? bytes.subarray(start, end) : copyBytes(bytes, start, end)).then(() => {
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
