/**
 * The compression engine of `node:zlib`, which all three runtimes have. It compresses small messages synchronously, supports
 * context takeover in both directions, and every window. The engine `web` of `src/` needs no runtime, but takes several times as
 * long and cannot send with context takeover.
 *
 * @module
 */

import { constants, createDeflateRaw, createInflateRaw } from "node:zlib";
import { utf8Encoder } from "../src/values.ts";
import { joinBytes } from "../src/transport/bytes.ts";
import type { DeflateEngine, Deflater, DeflaterOptions, Inflater } from "../src/transport/codecs.ts";
import { type InflateResult, MeasuringInflater, TAIL } from "../src/websocket/deflate/compressed_payload.ts";
import { nextTurn } from "./process.ts";

// Measured in all three runtimes: a stream's own handle takes 1 to 3 us for a message of 64 bytes, a one-shot call 2 to 12 us,
// and the stream interface, the only public one that keeps a context, 10 to 100 us. So the handle is used; in a runtime where it
// does not work as expected, the adapter has no engine, and `web` is used.

/**
 * Messages up to this size are compressed synchronously, larger ones in slices of this size, in separate turns of the event loop.
 * At zlib's default level a slice takes 0.2 to 1 ms. (zlib's asynchronous calls do not help: in Deno they block too.)
 */
const DEFLATE_SLICE = 32 * 1024;
/** The same for inflating. A slice takes 0.2 to 1 ms too. */
const INFLATE_SLICE = 256 * 1024;

/** Minimizes the streams' own output memory, because they write to other memory. 64 is the minimum. */
export const NO_MEMORY = { chunkSize: 64 };

const { Z_NO_FLUSH, Z_SYNC_FLUSH, Z_RLE, Z_DEFAULT_STRATEGY } = constants;

/** Options of a compressing zlib stream: `windowBits` is 9 to 15, `strategy` how repetitions are found. */
interface DeflateStreamOptions extends DeflaterOptions {
  readonly windowBits: number;
  readonly strategy: number;
}

/** The internals of a zlib stream, the same in all three runtimes. */
interface Internals {
  readonly _handle: {
    onerror: unknown;
    writeSync(
      flush: number,
      input: Uint8Array,
      inputAt: number,
      inputLength: number,
      output: Uint8Array,
      outputAt: number,
      outputLength: number,
    ): void;
    reset(): void;
  };
  /** After a write: the unused bytes of the output, and the remaining bytes of the input. */
  readonly _writeState: Uint32Array;
  close(): void;
}

/** Whether a write has failed since this was last reset. */
let failed = false;

function onError(): void {
  failed = true;
}

/** A zlib stream that is driven synchronously. */
export class Codec {
  readonly #stream: Internals;
  readonly #handle: Internals["_handle"];
  readonly #state: Uint32Array;
  #closed = false;

  constructor(stream: unknown) {
    this.#stream = stream as Internals;
    this.#handle = this.#stream._handle;
    this.#state = this.#stream._writeState;
    // Node's own handler closes the handle, and the next write would abort the process.
    this.#handle.onerror = onError;
  }

  /** Whether the codec is closed. In Node, a write would then abort the process. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The number of output bytes that the last write left unused. */
  get outputLeft(): number {
    return this.#state[0];
  }

  /** The number of input bytes that the last write did not consume. */
  get inputLeft(): number {
    return this.#state[1];
  }

  write(flush: number, input: Uint8Array, start: number, end: number, output: Uint8Array, at: number, room: number): void {
    this.#handle.writeSync(flush, input, start, end - start, output, at, room);
  }

  reset(): void {
    this.#handle.reset();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.close();
  }
}

/** The output memory of deflaters: room for an incompressible slice, and some more. */
let scratch: Uint8Array | undefined;

/** Compresses a part of a message and appends the output to `parts`. */
function deflatePart(codec: Codec, flush: number, message: Uint8Array, start: number, end: number, parts: Uint8Array[]): void {
  const memory = scratch ??= new Uint8Array(DEFLATE_SLICE + DEFLATE_SLICE / 4);
  for (;;) {
    codec.write(flush, message, start, end, memory, 0, memory.length);
    parts.push(memory.slice(0, memory.length - codec.outputLeft));
    if (codec.outputLeft > 0) return;
    start = end - codec.inputLeft; // there may be more
  }
}

/** Joins all parts and removes the tail. */
function joinPayload(parts: readonly Uint8Array[]): Uint8Array {
  const whole = parts.length === 1 ? parts[0] : joinBytes(parts);
  return whole.subarray(0, whole.length - TAIL.length);
}

async function deflateSlices(codec: Codec, message: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < message.length; at += DEFLATE_SLICE) {
    if (at > 0) await nextTurn();
    if (codec.closed) return new Uint8Array(0); // no longer needed
    const end = Math.min(at + DEFLATE_SLICE, message.length);
    deflatePart(codec, end === message.length ? Z_SYNC_FLUSH : Z_NO_FLUSH, message, at, end, parts);
  }
  return joinPayload(parts);
}

class ZlibDeflater implements Deflater {
  readonly #options: DeflateStreamOptions & typeof NO_MEMORY;
  readonly #takeover: boolean;
  #codec: Codec | undefined;
  #closed = false;

  constructor(options: DeflateStreamOptions, takeover: boolean) {
    this.#options = { ...options, ...NO_MEMORY };
    this.#takeover = takeover;
  }

  deflate(message: Uint8Array): Uint8Array | Promise<Uint8Array> {
    // zlib flushes only if there is new input. RFC 7692 section 7.2.3.6 defines the payload of an empty message.
    if (message.length === 0 || this.#closed) return new Uint8Array(1);
    if (message.length > DEFLATE_SLICE && !this.#takeover) return this.#deflateApart(message);
    const codec = this.#codec ??= new Codec(createDeflateRaw(this.#options));
    if (message.length > DEFLATE_SLICE) return deflateSlices(codec, message);
    if (!this.#takeover) codec.reset();
    const parts: Uint8Array[] = [];
    deflatePart(codec, Z_SYNC_FLUSH, message, 0, message.length, parts);
    return joinPayload(parts);
  }

  /** Compresses with a separate stream, because other messages may be compressed between the slices. */
  async #deflateApart(message: Uint8Array): Promise<Uint8Array> {
    const codec = new Codec(createDeflateRaw(this.#options));
    const payload = await deflateSlices(codec, message);
    codec.close();
    return payload;
  }

  close(): void {
    this.#closed = true;
    this.#codec?.close();
    this.#codec = undefined;
  }
}

/** One spare byte: if zlib writes to it, the message is longer than measured. */
const spare = new Uint8Array(1);

/** Inflates a part of a message. Returns the position of the remaining input, or -1 if the input is invalid. */
function inflatePart(codec: Codec, blocks: Uint8Array, start: number, message: Uint8Array, at: number, end: number): number {
  codec.write(Z_SYNC_FLUSH, blocks, start, blocks.length, message, at, end - at);
  if (codec.outputLeft > 0) return -1;
  start = blocks.length - codec.inputLeft;
  if (end < message.length || start === blocks.length) return start;
  codec.write(Z_SYNC_FLUSH, blocks, start, blocks.length, spare, 0, 1);
  return codec.inputLeft === 0 && codec.outputLeft === 1 ? blocks.length : -1;
}

async function inflateSlices(codec: Codec, blocks: Uint8Array, size: number): Promise<InflateResult> {
  const message = new Uint8Array(size);
  let start = 0;
  for (let at = 0; at < size; at += INFLATE_SLICE) {
    if (at > 0) await nextTurn();
    if (codec.closed) return 1007; // no longer needed
    start = inflatePart(codec, blocks, start, message, at, Math.min(at + INFLATE_SLICE, size));
    if (start < 0) return 1007;
  }
  return message;
}

/** Payloads up to this size are inflated without measuring them first, if there is no takeover. */
const SHORT_PAYLOAD = 32 * 1024;

/**
 * The bytes appended to such a payload and its tail: two stored blocks of eight random bytes each. They are output if and only if
 * the tail has ended a block. There are two blocks because the first might be taken for a final one. The unused bits after each
 * block header are ones, so that they are not mistaken for a header after an incomplete code.
 */
const PROOF: Uint8Array = (() => {
  const proof = crypto.getRandomValues(new Uint8Array(26));
  for (const at of [0, 13]) proof.set([0xf8, 0x08, 0x00, 0xf7, 0xff], at);
  return proof;
})();
const PROVEN = new Uint8Array(16);
PROVEN.set(PROOF.subarray(5, 13));
PROVEN.set(PROOF.subarray(18, 26), 8);

/** The memory that such payloads are read from and inflated to. Larger messages are measured. */
interface ShortMemory {
  readonly input: Uint8Array;
  readonly output: Uint8Array;
}

let shortMemory: ShortMemory | undefined;

class ZlibInflater extends MeasuringInflater {
  readonly #options: { readonly windowBits: number };
  readonly #takeover: boolean;
  #codec: Codec | undefined;

  constructor(windowBits: number, takeover: boolean) {
    super(windowBits, takeover, nextTurn);
    this.#options = { windowBits: Math.max(windowBits, 9), ...NO_MEMORY };
    this.#takeover = takeover;
  }

  override inflate(payload: Uint8Array, limit: number): InflateResult | Promise<InflateResult> {
    if (payload.length > SHORT_PAYLOAD || payload.length === 0 || this.#takeover || this.closed) {
      return super.inflate(payload, limit);
    }
    return this.#inflateShort(payload, limit) ?? super.inflate(payload, limit);
  }

  /**
   * Inflates a short, ordinary payload synchronously, at a third of the cost of measuring it first. The output memory has a fixed
   * size, so no payload can make it use more. Returns `undefined` if the memory is too small or the payload is unusual.
   */
  #inflateShort(payload: Uint8Array, limit: number): InflateResult | undefined {
    const codec = this.#codec ??= new Codec(createInflateRaw(this.#options));
    const { input, output } = shortMemory ??= {
      input: new Uint8Array(SHORT_PAYLOAD + TAIL.length + PROOF.length),
      output: new Uint8Array(4 * SHORT_PAYLOAD),
    };
    const { length } = payload;
    const end = length + TAIL.length;
    input.set(payload);
    input.set(TAIL, length);
    input.set(PROOF, end);
    codec.reset(); // the payload cannot refer to another message, possibly of another connection
    failed = false;
    codec.write(Z_SYNC_FLUSH, input, 0, end, output, 0, output.length);
    const size = output.length - codec.outputLeft;
    let right = !failed && size < output.length && codec.inputLeft === 0;
    if (right) {
      const message = size > limit ? 1009 : output.slice(0, size);
      codec.write(Z_SYNC_FLUSH, input, end, end + PROOF.length, output, 0, PROVEN.length + 1);
      right = !failed && codec.inputLeft === 0 && codec.outputLeft === 1;
      for (let i = 0; right && i < PROVEN.length; i++) right = output[i] === PROVEN[i];
      if (right) return message;
    }
    codec.reset();
    return undefined;
  }

  protected override produce(blocks: Uint8Array, size: number): InflateResult | Promise<InflateResult> {
    if (this.closed) return 1007;
    if (size > INFLATE_SLICE && !this.#takeover) return this.#produceApart(blocks, size);
    // Even without takeover, one stream serves all: a measured payload refers to nothing before it.
    const codec = this.#codec ??= new Codec(createInflateRaw(this.#options));
    if (size > INFLATE_SLICE) return inflateSlices(codec, blocks, size);
    const message = new Uint8Array(size);
    if (inflatePart(codec, blocks, 0, message, 0, size) >= 0) return message;
    this.#codec = undefined;
    codec.close();
    return 1007;
  }

  async #produceApart(blocks: Uint8Array, size: number): Promise<InflateResult> {
    const codec = new Codec(createInflateRaw(this.#options));
    const message = await inflateSlices(codec, blocks, size);
    codec.close();
    return message;
  }

  override close(): void {
    super.close();
    this.#codec?.close();
    this.#codec = undefined;
  }
}

/** What is compressed to find out whether handles work. */
export const TRIAL: Uint8Array = utf8Encoder.encode("one message, and then the same message");

/**
 * Reports whether the handles of two streams work as expected: they keep their context, reset it, and report consumed and written
 * bytes.
 *
 * @param deflateStream The result of `createDeflateRaw()`.
 * @param inflateStream The result of `createInflateRaw()`.
 */
export function handlesWork(deflateStream: unknown, inflateStream: unknown): boolean {
  try {
    const streams = [deflateStream, inflateStream] as Internals[];
    for (const { _handle, _writeState } of streams) {
      if (typeof _handle?.writeSync !== "function" || typeof _handle.reset !== "function") return false;
      if (!(_writeState instanceof Uint32Array) || _writeState.length !== 2) return false;
    }
    const [deflate, inflate] = streams.map((stream) => new Codec(stream));
    const deflated = new Uint8Array(4 * TRIAL.length), inflated = new Uint8Array(TRIAL.length);
    const lengths: number[] = [];
    for (let i = 0; i < 3; i++) {
      if (i === 2) deflate.reset();
      deflate.write(Z_SYNC_FLUSH, TRIAL, 0, TRIAL.length, deflated, 0, deflated.length);
      if (deflate.inputLeft > 0 || deflate.outputLeft === 0) return false;
      const payload = deflated.subarray(0, deflated.length - deflate.outputLeft);
      if (inflatePart(inflate, payload, 0, inflated.fill(0), 0, inflated.length) !== payload.length) return false;
      if (inflated.some((byte, at) => byte !== TRIAL[at])) return false;
      lengths.push(payload.length);
    }
    return lengths[1] < lengths[0] && lengths[2] === lengths[0];
  } catch {
    return false;
  } finally {
    for (const stream of [deflateStream, inflateStream] as Partial<Internals>[]) stream.close?.();
  }
}

let works: boolean | undefined;

/** Reports whether `Codec` can be used in this runtime. Checked once. */
export function codecWorks(): boolean {
  return works ??= handlesWork(createDeflateRaw(), createInflateRaw());
}

/** The engine of `node:zlib`. Works only where `codecWorks()`. */
export const zlibEngine: DeflateEngine = {
  name: "zlib",
  sendTakeover: true,
  minSendWindowBits: 8,
  deflater(windowBits: number, takeover: boolean, { level, memLevel }: DeflaterOptions): Deflater {
    // zlib does not support a window of 8 bits. Run-length encoding refers only one byte back, which fits any window.
    const strategy = windowBits < 9 ? Z_RLE : Z_DEFAULT_STRATEGY;
    return new ZlibDeflater({ level, memLevel, strategy, windowBits: Math.max(windowBits, 9) }, takeover);
  },
  inflater: (windowBits: number, takeover: boolean): Inflater => new ZlibInflater(windowBits, takeover),
};
