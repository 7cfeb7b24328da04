/**
 * The content codings of answers (RFC 9110 section 8.4.1).
 *
 * @module
 */

import { joinBytes } from "../../bytes.ts";
import { SWOOLE_ERROR_HTTP_INVALID_PROTOCOL, SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE } from "../../errors.ts";
import { currentRuntime, loadRuntime } from "../../runtime.ts";
import type { Taken } from "./body_sink.ts";
import { ClientFailure } from "./client_failure.ts";

/** How much is decompressed at a time: what comes out of it is looked at before the next. */
const PIECE = 4096;

/** What a client says it takes: what can be undone here. */
export function acceptedCodings(): string {
  return currentRuntime()?.decompressor === undefined ? "gzip, deflate" : "gzip, deflate, br";
}

type Coding = "gzip" | "deflate" | "br";

/** In what form a body is: deflate may come without zlib's wrapper. */
type Format = Coding | "deflate-raw";

/** Whether a body begins as zlib's format does (RFC 1950 section 2.2). Servers send bare deflate too (RFC 9110 section 8.4.1.2). */
function isZlib(bytes: Uint8Array): boolean {
  return (bytes[0] & 0x8f) === 8 && (bytes[0] * 256 + bytes[1]) % 31 === 0;
}

/** What the web undoes. Its streams take one member of gzip, or all, as the runtime likes. */
function webDecompressor(format: Format): ReadableWritablePair<Uint8Array, BufferSource> {
  if (format === "br") throw new TypeError("Cannot decompress: there is no runtime that knows Brotli");
  return new DecompressionStream(format);
}

/** The coding that can be undone, if it is one. */
function codingOf(field: string | undefined): Coding | undefined {
  const name = field?.trim().toLowerCase().replace(/^x-(?=gzip$)/, "");
  if (name === "br") return currentRuntime()?.decompressor === undefined ? undefined : "br";
  return name === "gzip" || name === "deflate" ? name : undefined;
}

/**
 * Makes what undoes a content coding.
 *
 * @param field The value of Content-Encoding.
 * @param status The status of the answer.
 * @param take Takes what comes out, a piece at a time.
 * @returns `undefined` for a coding that is unknown, or for none.
 */
export function makeDecoder(
  field: string | undefined,
  status: number,
  take: (piece: Uint8Array) => Taken | Promise<Taken>,
): ContentDecoder | undefined {
  const coding = codingOf(field);
  return coding && new ContentDecoder(coding, status, take);
}

/** Undoes the coding of one body. What comes out is taken before more goes in: no more than a piece of it is held. */
export class ContentDecoder {
  readonly #coding: Coding;
  readonly #status: number;
  readonly #take: (piece: Uint8Array) => Taken | Promise<Taken>;
  #held: Uint8Array = new Uint8Array(0); // what is too little to tell the format by
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined = undefined;
  #writer: WritableStreamDefaultWriter<BufferSource> | undefined = undefined;
  #reading: Promise<void> | undefined = undefined;
  #checksum: ZlibChecksum | undefined = undefined;
  #failure: ClientFailure | undefined = undefined;
  #fault: { readonly error: unknown } | undefined = undefined; // what `take` threw

  constructor(coding: Coding, status: number, take: (piece: Uint8Array) => Taken | Promise<Taken>) {
    this.#coding = coding;
    this.#status = status;
    this.#take = take;
  }

  /** Takes a piece of the coded body; settles when what came of it was taken. */
  async write(bytes: Uint8Array): Promise<Taken> {
    if (this.#writer === undefined) {
      bytes = this.#held = joinBytes([this.#held, bytes]);
      if (bytes.length < 2) return undefined;
      await this.#open();
    }
    return await this.#write(bytes);
  }

  async #write(bytes: Uint8Array): Promise<Taken> {
    this.#checksum?.takeCoded(bytes);
    for (let at = 0; at < bytes.length && !this.#isOver; at += PIECE) {
      // A copy, since a stream may want memory of its own, and of a plain type.
      await this.#writer!.write(new Uint8Array(bytes.subarray(at, at + PIECE))).catch(() => this.#break());
    }
    return this.#outcome();
  }

  /** Begins, when it can be told from the first bytes in which format the body is. */
  async #open(): Promise<void> {
    // A client of two streams may be the first to need the runtime. Where there is none, the web's streams have to do.
    const runtime = await loadRuntime().catch(() => undefined);
    const format = this.#coding === "deflate" && !isZlib(this.#held) ? "deflate-raw" : this.#coding;
    this.#held = new Uint8Array(0);
    if (runtime?.decompressor === undefined && format === "deflate") this.#checksum = new ZlibChecksum();
    const { readable, writable } = runtime?.decompressor?.(format) ?? webDecompressor(format);
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
    this.#writer.closed.catch(() => {});
    this.#reading = this.#read(this.#reader);
  }

  /** There is no more. */
  async end(complete: boolean): Promise<Taken> {
    if (this.#writer === undefined && this.#held.length > 0 && complete) {
      const held = this.#held;
      await this.#open();
      await this.#write(held);
    }
    if (complete && this.#writer !== undefined && !this.#isOver) {
      await this.#writer.close().catch(() => this.#break());
      if (this.#isOver) this.#stop();
      await this.#reading;
      if (this.#checksum?.isWrong) this.#break();
    } else {
      this.#stop();
    }
    return this.#outcome();
  }

  async #read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    try {
      while (true) {
        const { done, value } = await reader.read();
        if (done || this.#isOver) return;
        this.#checksum?.takeContent(value);
        try {
          const failure = await this.#take(value);
          if (failure !== undefined) this.#failure ??= failure;
        } catch (error) {
          this.#fault = { error };
        }
        if (this.#isOver) return this.#stop();
      }
    } catch {
      this.#break();
    }
  }

  get #isOver(): boolean {
    return this.#failure !== undefined || this.#fault !== undefined;
  }

  #break(): void {
    if (this.#isOver) return;
    this.#failure = new ClientFailure(
      this.#status,
      SWOOLE_ERROR_HTTP_INVALID_PROTOCOL,
      `the ${this.#coding} body is broken`,
    );
  }

  #stop(): void {
    this.#reader?.cancel().catch(() => {});
    this.#writer?.abort().catch(() => {});
  }

  #outcome(): Taken {
    if (this.#fault !== undefined) throw this.#fault.error;
    return this.#failure;
  }
}

/**
 * Undoes the content coding of a whole body.
 *
 * @param field The value of Content-Encoding.
 * @param status The status of the answer.
 * @param body The coded body.
 * @param limit The most octets that may come out.
 * @returns The body, the one given for an unknown coding, or why there is none.
 */
export async function decodeContent(
  field: string | undefined,
  status: number,
  body: Uint8Array,
  limit: number,
): Promise<Uint8Array | ClientFailure> {
  if (body.length === 0) return body;
  const parts: Uint8Array[] = [];
  let length = 0;
  const decoder = makeDecoder(field, status, (piece) => {
    parts.push(piece);
    length += piece.length;
    if (length > limit) return new ClientFailure(status, SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE);
  });
  if (decoder === undefined) return body;
  const failure = await decoder.write(body);
  return await decoder.end(failure === undefined) ?? joinBytes(parts);
}

/** Whether a zlib stream ends with the checksum of its content (RFC 1950). Deno takes one that was cut off before. */
class ZlibChecksum {
  #low = 1;
  #high = 0;
  #tail: Uint8Array = new Uint8Array(0); // the last four octets of the stream

  takeCoded(bytes: Uint8Array): void {
    this.#tail = new Uint8Array((bytes.length >= 4 ? bytes : joinBytes([this.#tail, bytes])).subarray(-4));
  }

  takeContent(bytes: Uint8Array): void {
    let low = this.#low;
    let high = this.#high;
    for (let at = 0; at < bytes.length;) {
      for (const end = Math.min(at + 3800, bytes.length); at < end; at++) high += low += bytes[at];
      low %= 65521;
      high %= 65521;
    }
    this.#low = low;
    this.#high = high;
  }

  get isWrong(): boolean {
    const { length, buffer } = this.#tail;
    return length < 4 || new DataView(buffer).getUint32(0) !== this.#high * 65536 + this.#low;
  }
}
