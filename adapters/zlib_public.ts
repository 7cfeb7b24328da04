/**
 * Deflaters and inflaters of nothing but the public interface of `node:zlib`, for a runtime whose streams are different inside.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { constants, createDeflateRaw, createInflateRaw, deflateRaw, deflateRawSync, inflateRaw, inflateRawSync } from "node:zlib";
import { joinBytes } from "../src/bytes.ts";
import type { Deflater, Inflater } from "../src/websocket/deflate/engine.ts";
import { type InflateResult, MeasuringInflater } from "../src/websocket/deflate/measuring_inflater.ts";

/** Options of a zlib stream that compresses. */
export interface ZlibOptions {
  /** -1 to 9. */
  readonly level: number;
  /** 1 to 9. */
  readonly memLevel: number;
  /** 9 to 15. */
  readonly windowBits: number;
  /** How to look for repetitions. */
  readonly strategy: number;
}

/** Messages up to this size are handled synchronously. */
const SYNC_LIMIT = 32 * 1024;
const finishFlush = constants.Z_SYNC_FLUSH;
const TAIL_LENGTH = 4;

/** Lets the event loop turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** The octets of a buffer without its tail, as a copy of their own: a buffer may be a part of more memory. */
function copyOf(buffer: Uint8Array, length: number): Uint8Array {
  return new Uint8Array(buffer.subarray(0, length));
}

/** Makes a deflater. */
export function publicDeflater(options: ZlibOptions, takeover: boolean): Deflater {
  return takeover ? new ContextDeflater(options) : new OneShotDeflater(options);
}

/** Makes an inflater. */
export function publicInflater(windowBits: number, takeover: boolean): Inflater {
  return takeover ? new ContextInflater(windowBits) : new OneShotInflater(windowBits, false, nextTurn);
}

class OneShotDeflater implements Deflater {
  readonly #options: ZlibOptions & { finishFlush: number };

  constructor(options: ZlibOptions) {
    this.#options = { ...options, finishFlush };
  }

  deflate(message: Uint8Array): Uint8Array | Promise<Uint8Array> {
    if (message.length === 0) return new Uint8Array(1);
    const withoutTail = (buffer: Uint8Array) => copyOf(buffer, buffer.length - TAIL_LENGTH);
    if (message.length <= SYNC_LIMIT) return withoutTail(deflateRawSync(message, this.#options));
    return new Promise((resolve, reject) => {
      deflateRaw(message, this.#options, (error, buffer) => error ? reject(error) : resolve(withoutTail(buffer)));
    });
  }

  close(): void {}
}

class ContextDeflater implements Deflater {
  readonly #options: ZlibOptions;
  #stream: ReturnType<typeof createDeflateRaw> | undefined;
  #parts: Uint8Array[] = [];
  #finish: (() => void) | undefined;

  constructor(options: ZlibOptions) {
    this.#options = options;
  }

  deflate(message: Uint8Array): Uint8Array | Promise<Uint8Array> {
    if (message.length === 0) return new Uint8Array(1);
    const stream = this.#stream ??= createDeflateRaw(this.#options)
      .on("data", (part: Uint8Array) => this.#parts.push(new Uint8Array(part)))
      .on("error", () => this.close());
    return new Promise((resolve) => {
      this.#finish = () => {
        this.#finish = undefined;
        const whole = joinBytes(this.#parts.splice(0));
        resolve(whole.subarray(0, Math.max(0, whole.length - TAIL_LENGTH)));
      };
      stream.write(message);
      stream.flush(finishFlush, () => this.#finish?.());
    });
  }

  close(): void {
    this.#stream?.close();
    this.#finish?.();
  }
}

class OneShotInflater extends MeasuringInflater {
  protected override produce(blocks: Uint8Array, size: number): InflateResult | Promise<InflateResult> {
    const options = { finishFlush, chunkSize: Math.max(size, 64), maxOutputLength: Math.max(size, 64) };
    const check = (buffer: Uint8Array) => buffer.length === size ? copyOf(buffer, size) : 1007;
    if (size > SYNC_LIMIT) {
      return new Promise((resolve) => {
        inflateRaw(blocks, options, (error, buffer) => resolve(error ? 1007 : check(buffer)));
      });
    }
    try {
      return check(inflateRawSync(blocks, options));
    } catch {
      return 1007;
    }
  }
}

class ContextInflater extends MeasuringInflater {
  readonly #windowBits: number;
  #stream: ReturnType<typeof createInflateRaw> | undefined;
  #message: Uint8Array = new Uint8Array(0);
  #length = 0;
  #finish: ((result: InflateResult) => void) | undefined;

  constructor(windowBits: number) {
    super(windowBits, true, nextTurn);
    this.#windowBits = Math.max(windowBits, 9);
  }

  protected override produce(blocks: Uint8Array, size: number): Promise<InflateResult> {
    if (this.closed) return Promise.resolve(1007);
    const stream = this.#stream ??= createInflateRaw({ windowBits: this.#windowBits })
      .on("data", (part: Uint8Array) => this.#take(part))
      .on("error", () => this.#finish?.(1007));
    return new Promise((resolve) => {
      this.#finish = resolve;
      this.#message = new Uint8Array(size);
      this.#length = 0;
      stream.write(blocks);
      stream.flush(finishFlush, () => {
        this.#finish?.(this.#length === size ? this.#message : 1007);
        this.#finish = undefined;
      });
    });
  }

  #take(part: Uint8Array): void {
    if (this.#length + part.length > this.#message.length) return this.#finish?.(1007);
    this.#message.set(part, this.#length);
    this.#length += part.length;
  }

  override close(): void {
    super.close();
    this.#stream?.close();
    this.#finish?.(1007);
  }
}
