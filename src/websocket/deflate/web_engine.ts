/**
 * An engine of `CompressionStream` and `DecompressionStream`, which every runtime has. They know neither flushing nor limits; the
 * walker makes up for that.
 *
 * @module
 */

import { joinBytes } from "../../bytes.ts";
import type { DeflateEngine, Deflater, Inflater } from "./engine.ts";
import { type InflateResult, MeasuringInflater } from "./measuring_inflater.ts";
import { FinishedStream, windowSize } from "./payload.ts";

/** How many `DecompressionStream`s without a message wait for the next one. Each holds up to 60 KiB. */
const MAX_IDLE = 4;

/** Messages are written in slices of this size with a turn of the event loop between them. */
const SLICE = 128 * 1024;

/**
 * The engine of web APIs. It sends without takeover, and receives anything. A message is compressed by a stream of its own, as the
 * stream says what it has only when it ends; where a smaller window was agreed than the 15 bits of such a stream, each piece of that
 * size is, so that nothing can refer to what is out of reach.
 */
export const webEngine: DeflateEngine = {
  name: "web",
  sendTakeover: false,
  minSendWindowBits: 8,
  deflater: (windowBits: number): Deflater => new WebDeflater(windowBits),
  inflater: (windowBits: number, takeover: boolean): Inflater =>
    takeover ? new ContextInflater(windowBits, true, nextTurn) : new SharedInflater(windowBits, false, nextTurn),
};

/** The only way of the web to let the event loop turn that every runtime has. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve);
  });
}

/** Whatever a stream says of its failure, the reading side says it too. */
function ignore(): void {}

/** What ends a piece that others follow: an empty stored block, which brings the next one to the border of an octet. */
const TAIL = new Uint8Array([0x00, 0x00, 0xff, 0xff]);

class WebDeflater implements Deflater {
  readonly #piece: number;

  constructor(windowBits: number) {
    this.#piece = windowBits < 15 ? windowSize(windowBits) : Infinity;
  }

  deflate(message: Uint8Array): Uint8Array | Promise<Uint8Array> {
    if (message.length === 0) return new Uint8Array(1); // RFC 7692 section 7.2.3.6
    return message.length <= this.#piece ? compress(message) : compressPieces(message, this.#piece);
  }

  close(): void {}
}

async function compressPieces(message: Uint8Array, size: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < message.length; at += size) {
    if (at > 0) parts.push(TAIL);
    parts.push(await compress(message.subarray(at, at + size)));
  }
  return joinBytes(parts);
}

async function compress(message: Uint8Array): Promise<Uint8Array> {
  const { readable, writable } = new CompressionStream("deflate-raw");
  const writer = writable.getWriter(), reader = readable.getReader();
  write(writer, message as Uint8Array<ArrayBuffer>).catch(ignore);
  const parts: Uint8Array[] = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
  }
  const finished = new FinishedStream(parts.length === 1 ? parts[0] : joinBytes(parts));
  while (!finished.run()) await nextTurn();
  return finished.payload();
}

/** Writes a message and the end. In Deno a write compresses at once what it is given. */
async function write(writer: WritableStreamDefaultWriter<BufferSource>, message: Uint8Array<ArrayBuffer>): Promise<void> {
  for (let at = 0; at < message.length; at += SLICE) {
    if (at > 0) await nextTurn();
    await writer.write(message.subarray(at, at + SLICE));
  }
  await writer.close();
}

/**
 * A `DecompressionStream` that takes message after message and is never closed. What goes in has been measured: it is right, and
 * so much comes out.
 */
class Decompressor {
  #writer: WritableStreamDefaultWriter<BufferSource>;
  #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor() {
    const { readable, writable } = new DecompressionStream("deflate-raw");
    this.#writer = writable.getWriter();
    this.#reader = readable.getReader();
  }

  /** Inflates blocks to exactly `size` octets. If that should fail all the same, this object is of no more use. */
  async inflate(blocks: Uint8Array, size: number): Promise<InflateResult> {
    // In Node, this promise says nothing about the output; elsewhere it waits until the output has been taken.
    this.#writer.write(blocks as Uint8Array<ArrayBuffer>).catch(ignore);
    let message: Uint8Array | undefined;
    let length = 0;
    try {
      for (;;) {
        const { done, value } = await this.#reader.read();
        if (done || length + value.length > size) return 1007;
        if (value.length === size && value.buffer.byteLength === size && value.constructor === Uint8Array) return value;
        message ??= new Uint8Array(size);
        message.set(value, length);
        length += value.length;
        if (length === size) return message;
      }
    } catch {
      return 1007;
    }
  }

  close(): void {
    this.#reader.cancel().catch(ignore);
    this.#writer.abort().catch(ignore);
  }
}

/** Inflates messages of any connections that refer to nothing before them, each through whatever stream is idle. */
class SharedInflater extends MeasuringInflater {
  #idle: Decompressor[] = [];

  protected override async produce(blocks: Uint8Array, size: number): Promise<InflateResult> {
    const decompressor = this.#idle.pop() ?? new Decompressor();
    const message = await decompressor.inflate(blocks, size);
    if (typeof message === "number" || this.closed || this.#idle.length >= MAX_IDLE) decompressor.close();
    else this.#idle.push(decompressor);
    return message;
  }

  override close(): void {
    super.close();
    for (const decompressor of this.#idle.splice(0)) decompressor.close();
  }
}

/** Inflates the messages of one connection, through a stream that remembers the ones before. */
class ContextInflater extends MeasuringInflater {
  #decompressor: Decompressor | undefined;

  protected override produce(blocks: Uint8Array, size: number): Promise<InflateResult> {
    this.#decompressor ??= new Decompressor(); // many clients never send anything compressed
    return this.#decompressor.inflate(blocks, size);
  }

  override close(): void {
    super.close();
    this.#decompressor?.close();
  }
}
