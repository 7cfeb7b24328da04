/**
 * The other way round: the two streams of a pipe whose adapter has a native lane, for whoever asks for them.
 *
 * @module
 */

import { sliceBytes } from "./bytes.ts";
import type { Address, BytePipe, Lane, LaneSink } from "./runtime.ts";

/** A pipe around a native lane. Its streams are made when they are first read. */
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

/** Two web streams over a lane, with backpressure both ways. */
class LaneStreams implements LaneSink {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly #lane: Lane;
  #input!: ReadableStreamDefaultController<Uint8Array>;
  #output!: WritableStreamDefaultController;
  #drained: (() => void) | undefined = undefined;
  #readDone = false;
  #closed = false;

  constructor(lane: Lane) {
    this.#lane = lane;
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#input = controller),
      pull: () => lane.resume(),
      cancel: () => {
        this.#readDone = true; // what is still on its way has nowhere to go
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

  onData(chunk: Uint8Array, given: boolean): void {
    if (this.#readDone) return;
    this.#input.enqueue(given ? chunk : sliceBytes(chunk, 0, chunk.length));
    if ((this.#input.desiredSize ?? 0) <= 0) this.#lane.pause();
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
