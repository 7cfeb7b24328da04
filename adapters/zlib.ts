/**
 * The compression engine of `node:zlib`, which all three runtimes have: it is synchronous for what is small, keeps contexts in both
 * directions, and knows every window.
 *
 * @module
 */

import { constants, createDeflateRaw, createInflateRaw } from "node:zlib";
import { joinBytes } from "../src/bytes.ts";
import type { DeflateEngine, Deflater, DeflaterOptions, Inflater } from "../src/websocket/deflate/engine.ts";
import { type InflateResult, MeasuringInflater } from "../src/websocket/deflate/measuring_inflater.ts";
import { nextTurn, publicDeflater, publicInflater, type ZlibOptions } from "./zlib_public.ts";

// Measured in all three runtimes: a stream's own handle takes a message of 64 octets in 1 to 3 us, a one-shot call in 2 to 12, and
// the stream interface, which alone keeps a context in public, in 10 to 100. So the handle is used where it does what it should.

/**
 * Messages up to this size are compressed at once, larger ones in slices of it with a turn of the event loop between them. At
 * zlib's default level one takes 0.2 to 1 ms. (zlib's asynchronous calls are no help: in Deno they block like the others.)
 */
const DEFLATE_SLICE = 32 * 1024;
/** The same for messages to inflate, where it takes 0.2 to 1 ms too. */
const INFLATE_SLICE = 256 * 1024;

/** Streams get their output memory from here, and need none of their own. 64 is the least that they take. */
export const NO_MEMORY = { chunkSize: 64 };

const { Z_NO_FLUSH, Z_SYNC_FLUSH, Z_RLE, Z_DEFAULT_STRATEGY } = constants;

/** What RFC 7692 section 7.2.1 takes off a payload. */
const TAIL = new Uint8Array([0x00, 0x00, 0xff, 0xff]);
const TAIL_LENGTH: number = TAIL.length;

/** What is inside a zlib stream of any of the runtimes. */
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
  /** After a write: how much of the output is unused, how much of the input has not been taken. */
  readonly _writeState: Uint32Array;
  close(): void;
}

/** Whether a write has failed since this was last set. */
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

  /** Nothing may be written any more: in Node that would abort the process. */
  get closed(): boolean {
    return this.#closed;
  }

  /** How many octets of the output the last write has left. */
  get outputLeft(): number {
    return this.#state[0];
  }

  /** How many octets of the input it has left. */
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

/** Where deflaters write to: as much as comes of a slice that does not shrink at all, and some more. */
let scratch: Uint8Array | undefined;

/** Compresses a part of a message into `parts`. */
function deflatePart(codec: Codec, flush: number, message: Uint8Array, start: number, end: number, parts: Uint8Array[]): void {
  const memory = scratch ??= new Uint8Array(DEFLATE_SLICE + DEFLATE_SLICE / 4);
  for (;;) {
    codec.write(flush, message, start, end, memory, 0, memory.length);
    parts.push(memory.slice(0, memory.length - codec.outputLeft));
    if (codec.outputLeft > 0) return;
    start = end - codec.inputLeft; // there may be more
  }
}

/** All parts without the tail. */
function joinPayload(parts: readonly Uint8Array[]): Uint8Array {
  const whole = parts.length === 1 ? parts[0] : joinBytes(parts);
  return whole.subarray(0, whole.length - TAIL_LENGTH);
}

async function deflateSlices(codec: Codec, message: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < message.length; at += DEFLATE_SLICE) {
    if (at > 0) await nextTurn();
    if (codec.closed) return new Uint8Array(0); // nobody waits for it
    const end = Math.min(at + DEFLATE_SLICE, message.length);
    deflatePart(codec, end === message.length ? Z_SYNC_FLUSH : Z_NO_FLUSH, message, at, end, parts);
  }
  return joinPayload(parts);
}

class ZlibDeflater implements Deflater {
  readonly #options: ZlibOptions;
  readonly #takeover: boolean;
  #codec: Codec | undefined;
  #closed = false;

  constructor(options: ZlibOptions, takeover: boolean) {
    this.#options = options;
    this.#takeover = takeover;
  }

  deflate(message: Uint8Array): Uint8Array | Promise<Uint8Array> {
    // zlib flushes only if there is something new. RFC 7692 section 7.2.3.6 has what an empty message is.
    if (message.length === 0 || this.#closed) return new Uint8Array(1);
    if (message.length > DEFLATE_SLICE && !this.#takeover) return this.#deflateApart(message);
    const codec = this.#codec ??= new Codec(createDeflateRaw(this.#options));
    if (message.length > DEFLATE_SLICE) return deflateSlices(codec, message);
    if (!this.#takeover) codec.reset();
    const parts: Uint8Array[] = [];
    deflatePart(codec, Z_SYNC_FLUSH, message, 0, message.length, parts);
    return joinPayload(parts);
  }

  /** Other messages can come in between: this one gets a stream of its own. */
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

/** Takes what blocks have behind the last octet of a message: a trap that stays empty. */
const spare = new Uint8Array(1);

/** Inflates a part of a message. Gives where the input goes on; -1 if it was not right. */
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
    if (codec.closed) return 1007; // nobody waits for it
    start = inflatePart(codec, blocks, start, message, at, Math.min(at + INFLATE_SLICE, size));
    if (start < 0) return 1007;
  }
  return message;
}

/** Payloads up to this size are tried without measuring them, where nothing is remembered. */
const SHORT_PAYLOAD = 32 * 1024;

/**
 * What is written behind such a payload and its tail: two stored blocks, each of eight octets that nobody can foresee. They come out
 * if, and only if, the tail has ended a block: two of them, as the first might be taken for a final one, and the bits behind the
 * header, which do not matter there, are ones, so that a code which is not complete does not take them for a header.
 */
const PROOF: Uint8Array = (() => {
  const proof = crypto.getRandomValues(new Uint8Array(26));
  for (const at of [0, 13]) proof.set([0xf8, 0x08, 0x00, 0xf7, 0xff], at);
  return proof;
})();
const PROVEN = new Uint8Array(16);
PROVEN.set(PROOF.subarray(5, 13));
PROVEN.set(PROOF.subarray(18, 26), 8);

/** Where such payloads are read from and inflated to. What grows beyond that is measured. */
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
   * Inflates what is short and ordinary at once, which costs a third of measuring it first: into memory of a fixed size, so that no
   * payload can make it take more. `undefined` when that is not enough or something is odd.
   */
  #inflateShort(payload: Uint8Array, limit: number): InflateResult | undefined {
    const codec = this.#codec ??= new Codec(createInflateRaw(this.#options));
    const { input, output } = shortMemory ??= {
      input: new Uint8Array(SHORT_PAYLOAD + TAIL_LENGTH + PROOF.length),
      output: new Uint8Array(4 * SHORT_PAYLOAD),
    };
    const { length } = payload;
    const end = length + TAIL_LENGTH;
    input.set(payload);
    input.set(TAIL, length);
    input.set(PROOF, end);
    codec.reset(); // nothing of another message, which may be another connection's, can be referred to
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
    // Without takeover, too, one stream does for all: what has been measured refers to nothing before it.
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

/** Tells whether a stream's handle does what it should: it keeps its context, forgets it, and says what it has used. */
function handlesWork(): boolean {
  try {
    const streams = [createDeflateRaw(), createInflateRaw()].map((stream) => stream as unknown as Internals);
    for (const { _handle, _writeState } of streams) {
      if (typeof _handle?.writeSync !== "function" || typeof _handle.reset !== "function") return false;
      if (!(_writeState instanceof Uint32Array) || _writeState.length !== 2) return false;
    }
    const [deflate, inflate] = streams.map((stream) => new Codec(stream));
    const message = new TextEncoder().encode("one message, and then the same message");
    const message2 = new Uint8Array(message.length);
    const lengths: number[] = [];
    for (let i = 0; i < 3; i++) {
      if (i === 2) deflate.reset();
      const parts: Uint8Array[] = [];
      deflatePart(deflate, Z_SYNC_FLUSH, message, 0, message.length, parts);
      const payload = joinBytes(parts);
      if (inflatePart(inflate, payload, 0, message2.fill(0), 0, message2.length) !== payload.length) return false;
      if (message2.some((octet, at) => octet !== message[at])) return false;
      lengths.push(payload.length);
    }
    deflate.close();
    inflate.close();
    return lengths[1] < lengths[0] && lengths[2] === lengths[0];
  } catch {
    return false;
  }
}

let works: boolean | undefined;

/** Whether `Codec` can be used here; found out once. */
export function codecWorks(): boolean {
  return works ??= handlesWork();
}

/**
 * Makes an engine of `node:zlib`.
 *
 * @param useHandles `false`: use nothing but the public interface of `node:zlib`. By default the streams' own handles are used if
 * a trial shows that they work.
 * @returns The engine.
 */
export function createZlibEngine(useHandles = true): DeflateEngine {
  const canUseHandles = () => useHandles && codecWorks();
  return {
    name: "zlib",
    sendTakeover: true,
    minSendWindowBits: 8,
    deflater(windowBits: number, takeover: boolean, { level, memLevel }: DeflaterOptions): Deflater {
      // zlib has no window of 8 bits. Run-length encoding refers one octet back, which suits any window.
      const strategy = windowBits < 9 ? Z_RLE : Z_DEFAULT_STRATEGY;
      const options = { level, memLevel, strategy, windowBits: Math.max(windowBits, 9) };
      return canUseHandles() ? new ZlibDeflater({ ...options, ...NO_MEMORY }, takeover) : publicDeflater(options, takeover);
    },
    inflater(windowBits: number, takeover: boolean): Inflater {
      return canUseHandles() ? new ZlibInflater(windowBits, takeover) : publicInflater(windowBits, takeover);
    },
  };
}

/** The engine of `node:zlib`. */
export const zlibEngine: DeflateEngine = createZlibEngine();
