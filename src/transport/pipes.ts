/**
 * Checks and disposes of pipes, and adapts between the two web streams of a pipe and a lane, in both directions.
 *
 * @module
 */

import { describeNoBytes } from "../values.ts";
import type { Address, BytePipe, Lane, LaneSink } from "./runtime.ts";
import { sliceBytes } from "./bytes.ts";

/**
 * Checks that a value is a pipe that can be read and written.
 *
 * @param verb What is done with it, for error messages.
 * @throws {TypeError} If it is not, or one of its streams is in use already.
 */
export function checkPipe(pipe: BytePipe | undefined, verb: "accept" | "use"): void {
  if (pipe?.lane !== undefined) return;
  if (typeof pipe?.readable?.getReader !== "function" || typeof pipe.writable?.getWriter !== "function") {
    throw new TypeError(`Cannot ${verb} what is no pipe: an object with a readable and a writable stream`);
  }
  for (const name of ["readable", "writable"] as const) {
    if (!pipe[name].locked) continue;
    throw new TypeError(`Cannot ${verb} a pipe whose ${name} stream is locked: somebody else has a ${OWNERS[name]} of it`);
  }
}

const OWNERS = { readable: "reader", writable: "writer" } as const;

/** Ends a pipe that nobody has begun to use. */
export function dropPipe(pipe: BytePipe): void {
  if (pipe.lane === undefined) { // an `abort()` of the program may do nothing
    quietly(() => pipe.readable.cancel());
    quietly(() => pipe.writable.abort());
  }
  quietly(() => pipe.abort());
}

/**
 * Calls a function of a pipe that ends it, or a part of it. The pipe may have gone by itself, or be closed by the function called
 * before: an exception or a rejection means no more than that.
 */
function quietly(end: () => unknown): void {
  try {
    Promise.resolve(end()).catch(() => {});
  } catch { /* it is closed already, or cannot be closed in this way */ }
}

/**
 * The size of the memory that received bytes are lent from. The chunks of a stream are copied to it, because their producer may
 * use them again, so they must not be unmasked in place.
 */
const LENT_SIZE = 64 * 1024;
let lent: Uint8Array | undefined;

/** A lane over the two streams of a pipe. */
export class StreamLane implements Lane {
  readonly canReset: boolean = false; // the `abort()` of a foreign pipe may do anything
  readonly #pipe: BytePipe;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #sink!: LaneSink;
  #resume: (() => void) | undefined = undefined;
  #paused = false;
  #readDone = false;
  #writeDone = false;
  #hasRefused = false;
  #closed = false;
  readonly #onWritten = (): void => {
    if (!this.#closed) this.#sink.onDrain();
  };
  readonly #onFailed = (error: unknown): void => this.#close(error);

  constructor(pipe: BytePipe) {
    this.#pipe = pipe;
    this.#reader = pipe.readable.getReader();
    try {
      this.#writer = pipe.writable.getWriter();
    } catch (error) {
      this.#reader.releaseLock();
      throw error;
    }
    this.#writer.closed.catch(this.#onFailed);
  }

  start(sink: LaneSink): void {
    this.#sink = sink;
    this.#read();
  }

  async #read(): Promise<void> {
    const reader = this.#reader;
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
      if (isBytes(result.value)) this.#lend(result.value);
      else this.#refuse(result.value);
    }
    this.#readDone = true;
    this.#sink.onEnd();
    if (this.#writeDone) this.#close();
  }

  /** Reports a chunk that is no bytes, once. Reading goes on, so that the connection can end like any other. */
  #refuse(chunk: unknown): void {
    if (this.#hasRefused) return;
    this.#hasRefused = true;
    const error = new TypeError(`Cannot read ${describeNoBytes(chunk)}`);
    if (this.#sink.onFault === undefined) this.#close(error);
    else this.#sink.onFault(error);
  }

  #lend(chunk: Uint8Array): void {
    const memory = lent ??= new Uint8Array(LENT_SIZE);
    for (let at = 0; at < chunk.length && !this.#closed; at += LENT_SIZE) {
      const size = Math.min(LENT_SIZE, chunk.length - at);
      memory.set(size === chunk.length ? chunk : chunk.subarray(at, at + size));
      this.#sink.onData(memory.subarray(0, size), false);
    }
  }

  // The foreign stream may transfer the memory, so it gets its own copy.
  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (!this.#closed) this.#writer.write(sliceBytes(bytes, start, end)).then(this.#onWritten, this.#onFailed);
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
    }, this.#onFailed);
  }

  abort(): void {
    this.#close();
  }

  #close(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.resume();
    if (!this.#readDone || !this.#writeDone) {
      quietly(() => this.#reader.cancel(error));
      quietly(() => this.#writer.abort(error));
      quietly(() => this.#pipe.abort());
    }
    this.#sink?.onClose(error);
  }
}

/** Reports whether a chunk is a `Uint8Array`, of whichever realm. */
function isBytes(chunk: unknown): boolean {
  return ArrayBuffer.isView(chunk) && (chunk as Partial<Uint8Array>)[Symbol.toStringTag] === "Uint8Array";
}

/** A pipe around a native lane. Its streams are created when first accessed. */
export abstract class LanePipe implements BytePipe {
  readonly lane: Lane;
  abstract readonly localAddress: Address | undefined;
  abstract readonly remoteAddress: Address | undefined;
  #streams: LaneStreams | undefined = undefined;

  constructor(lane: Lane) {
    this.lane = lane;
  }

  get readable(): ReadableStream<Uint8Array> {
    return (this.#streams ??= new LaneStreams(this.lane)).readable;
  }

  get writable(): WritableStream<Uint8Array> {
    return (this.#streams ??= new LaneStreams(this.lane)).writable;
  }

  abort(): void {
    this.lane.abort();
  }
}

/** Two web streams over a lane, with backpressure in both directions. */
class LaneStreams implements LaneSink {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly #lane: Lane;
  #input!: ReadableStreamDefaultController<Uint8Array>;
  #output!: WritableStreamDefaultController;
  #drained: (() => void) | undefined = undefined;
  #isPaused = false;
  #onPaused: (() => void) | undefined = undefined; // ends `pull()`
  #readDone = false;
  #closed = false;

  constructor(lane: Lane) {
    this.#lane = lane;
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#input = controller),
      pull: () => this.#pull(),
      cancel: () => {
        this.#readDone = true; // input that still arrives is dropped
        lane.abort();
      },
    }, { highWaterMark: 1 });
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => void (this.#output = controller),
      write: (chunk) => {
        if (chunk.length === 0 || lane.write(chunk, 0, chunk.length, false)) return;
        return new Promise<void>((resolve) => this.#drained = resolve);
      },
      close: () => lane.end(),
      abort: () => lane.abort(),
    });
    lane.start(this);
  }

  /** Reads until the stream is full. A call for each chunk would cost several promises. */
  #pull(): Promise<void> {
    if (this.#isPaused) {
      this.#isPaused = false;
      this.#lane.resume();
    }
    return new Promise((resolve) => this.#onPaused = resolve);
  }

  onData(chunk: Uint8Array, given: boolean): void {
    if (this.#readDone) return;
    this.#input.enqueue(given ? chunk : sliceBytes(chunk, 0, chunk.length));
    if (this.#isPaused || (this.#input.desiredSize ?? 0) > 0) return;
    this.#isPaused = true;
    this.#lane.pause();
    this.#onPaused?.();
  }

  onEnd(): void {
    if (this.#readDone) return;
    this.#readDone = true;
    this.#input.close();
  }

  onDrain(): void {
    const drained = this.#drained;
    this.#drained = undefined;
    drained?.();
  }

  onClose(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#readDone) this.#input.error(error ?? new Error("The connection is closed"));
    this.#readDone = true;
    this.#output.error(error ?? new Error("The connection is closed"));
    this.onDrain();
  }
}
