/**
 * The content codings of responses (RFC 9110 section 8.4.1).
 *
 * @module
 */

import { EMPTY, joinBytes } from "../transport/bytes.ts";
import { SWOOLE_ERROR_HTTP_INVALID_PROTOCOL, SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE } from "../errors.ts";
import { currentRuntime, loadRuntime } from "../transport/current_runtime.ts";
import type { BytePipe } from "../transport/runtime.ts";
import { ClientFailure, type Taken } from "./client_failure.ts";

/** The number of bytes that are decompressed at a time. The output is checked before the next ones. */
const PIECE = 4096;

/** Returns the value of Accept-Encoding: the codings that can be decoded in this runtime. */
export function acceptedCodings(): string {
  return currentRuntime()?.decompressor === undefined ? "gzip, deflate" : "gzip, deflate, br";
}

type Coding = "gzip" | "deflate" | "br";

/** The format of a body. Bodies with the coding deflate may lack the zlib wrapper. */
type Format = Coding | "deflate-raw";

/**
 * Reports whether a body starts like the zlib format (RFC 1950 section 2.2). Some servers send bare deflate (RFC 9110 section
 * 8.4.1.2).
 */
function isZlib(bytes: Uint8Array): boolean {
  return (bytes[0] & 0x8f) === 8 && (bytes[0] * 256 + bytes[1]) % 31 === 0;
}

/** Returns a decompressor based on `DecompressionStream`. Whether it decodes one gzip member or all depends on the runtime. */
function webDecompressor(format: Format): Pick<BytePipe, "readable" | "writable"> {
  if (format === "br") throw new TypeError("Cannot decompress: there is no runtime that knows Brotli");
  const { readable, writable } = new DecompressionStream(format);
  return { readable, writable: writable as WritableStream<Uint8Array> };
}

/** Returns the coding if it can be decoded. */
function codingOf(field: string | undefined): Coding | undefined {
  const name = field?.trim().toLowerCase().replace(/^x-(?=gzip$)/, "");
  if (name === "br") return currentRuntime()?.decompressor === undefined ? undefined : "br";
  return name === "gzip" || name === "deflate" ? name : undefined;
}

/**
 * Creates the decoder for a content coding.
 *
 * @param field The value of Content-Encoding.
 * @param status The status of the response.
 * @param take Consumes the output, piece by piece.
 * @returns `undefined` if the coding is unknown, or if there is no coding.
 */
export function makeDecoder(
  field: string | undefined,
  status: number,
  take: (piece: Uint8Array) => Taken | Promise<Taken>,
): ContentDecoder | undefined {
  const coding = codingOf(field);
  return coding && new ContentDecoder(coding, status, take);
}

/** Decodes one body. Output is consumed before more input is decoded, so that at most one piece of it is held. */
export class ContentDecoder {
  readonly #coding: Coding;
  readonly #status: number;
  readonly #take: (piece: Uint8Array) => Taken | Promise<Taken>;
  #held: Uint8Array = EMPTY; // too short to detect the format
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined = undefined;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined = undefined;
  #reading: Promise<void> | undefined = undefined;
  #checksum: ZlibChecksum | undefined = undefined;
  #failure: ClientFailure | undefined = undefined;
  #fault: { readonly error: unknown } | undefined = undefined; // thrown by `take`

  constructor(coding: Coding, status: number, take: (piece: Uint8Array) => Taken | Promise<Taken>) {
    this.#coding = coding;
    this.#status = status;
    this.#take = take;
  }

  /** Decodes a piece of the body. Settles when the resulting output has been consumed. */
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
      // A copy, because a stream may require memory of its own, in a plain `Uint8Array`.
      await this.#writer!.write(new Uint8Array(bytes.subarray(at, at + PIECE))).catch(() => this.#break());
    }
    return this.#outcome();
  }

  /** Creates the decompressor, once the first bytes show the format of the body. */
  async #open(): Promise<void> {
    // A client on a pipe from use() may be the first to need the runtime. Without a runtime, the web's streams are used.
    const runtime = await loadRuntime().catch(() => undefined);
    const format = this.#coding === "deflate" && !isZlib(this.#held) ? "deflate-raw" : this.#coding;
    this.#held = EMPTY;
    if (runtime?.decompressor === undefined && format === "deflate") this.#checksum = new ZlibChecksum();
    const { readable, writable } = runtime?.decompressor?.(format) ?? webDecompressor(format);
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
    this.#writer.closed.catch(() => {});
    this.#reading = this.#read(this.#reader);
  }

  /** Ends the body. */
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
 * Decodes the content coding of a whole body.
 *
 * @param field The value of Content-Encoding.
 * @param status The status of the response.
 * @param body The coded body.
 * @param limit The maximum size of the decoded body.
 * @returns The decoded body, the given body if the coding is unknown, or the reason for the failure.
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

/** Checks that a zlib stream ends with the checksum of its content (RFC 1950). Deno accepts one that was cut off before it. */
class ZlibChecksum {
  #low = 1;
  #high = 0;
  #tail: Uint8Array = EMPTY; // the last four bytes of the stream

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
