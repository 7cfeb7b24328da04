/**
 * An engine based on `CompressionStream` and `DecompressionStream`, which every runtime has. They can neither flush nor limit
 * their output; the measuring of `inflated_size.ts` makes up for that.
 *
 * @module
 */

import { joinBytes } from "../../transport/bytes.ts";
import type { DeflateEngine, Deflater, Inflater } from "../../transport/codecs.ts";
import { FinishedStream, type InflateResult, MeasuringInflater, TAIL, windowSize } from "./compressed_payload.ts";

/** The number of idle `DecompressionStream`s that are kept. Each holds up to 60 KiB. */
const MAX_IDLE = 4;

/** The size in bytes of the slices in which messages are written, with a turn of the event loop between them. */
const SLICE = 128 * 1024;

/**
 * The engine of web APIs. It sends without takeover, and receives anything. Each message is compressed by a separate stream,
 * because a stream only yields all its output when it ends. If the agreed window is smaller than the 15 bits of such a stream,
 * the message is cut into pieces of that size, each with its own stream, so that no reference can leave the window.
 */
export const webEngine: DeflateEngine = {
  name: "web",
  sendTakeover: false,
  minSendWindowBits: 8,
  deflater: (windowBits: number): Deflater => new WebDeflater(windowBits),
  inflater: (windowBits: number, takeover: boolean): Inflater =>
    takeover ? new ContextInflater(windowBits, true, nextTurn) : new SharedInflater(windowBits, false, nextTurn),
};

/** Waits for the next turn of the event loop. `setTimeout()` is the only web API for this that every runtime has. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve);
  });
}

/** Ignores an error of the writing side, which the reading side reports too. */
function ignore(): void {}

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
    if (at > 0) parts.push(TAIL); // completes an empty stored block, so that the next piece starts on a byte boundary
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

/** Writes a message and closes the stream. In Deno a write compresses its whole chunk synchronously. */
async function write(writer: WritableStreamDefaultWriter<BufferSource>, message: Uint8Array<ArrayBuffer>): Promise<void> {
  for (let at = 0; at < message.length; at += SLICE) {
    if (at > 0) await nextTurn();
    await writer.write(message.subarray(at, at + SLICE));
  }
  await writer.close();
}

/**
 * A `DecompressionStream` that inflates one message after the other and is never finished. Its input was measured: it is valid,
 * and the size of the output is known.
 */
class Decompressor {
  #writer: WritableStreamDefaultWriter<BufferSource>;
  #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor() {
    const { readable, writable } = new DecompressionStream("deflate-raw");
    this.#writer = writable.getWriter();
    this.#reader = readable.getReader();
  }

  /** Inflates blocks to exactly `size` bytes. If that fails, this object cannot be used again. */
  async inflate(blocks: Uint8Array, size: number): Promise<InflateResult> {
    // In Node, this promise says nothing about the output; elsewhere it waits until the output has been read.
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

/** An inflater for messages without history, of any connection. Each message uses an idle stream. */
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

/** An inflater for the messages of one connection, with a stream that remembers earlier ones. */
class ContextInflater extends MeasuringInflater {
  #decompressor: Decompressor | undefined;

  protected override produce(blocks: Uint8Array, size: number): Promise<InflateResult> {
    this.#decompressor ??= new Decompressor(); // created on demand: many clients never send compressed messages
    return this.#decompressor.inflate(blocks, size);
  }

  override close(): void {
    super.close();
    this.#decompressor?.close();
  }
}
