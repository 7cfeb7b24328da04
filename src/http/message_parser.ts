/**
 * The common part of the parsers for requests and responses: finds the end of the head, collects the body.
 *
 * @module
 */

import { EMPTY, GrowingBuffer } from "../transport/bytes.ts";
import { ChunkedDecoder } from "./chunked.ts";
import { type HeadLimits, HttpFailure } from "./request_head.ts";

/** Limits for messages. Sizes in bytes. */
export interface MessageLimits extends HeadLimits {
  /** The largest body, without the framing of chunks. */
  readonly maxBodySize: number;
}

/** The `bodyLength` of a chunked body. */
export const CHUNKED = -1;
/** The `bodyLength` of a body that ends with the connection. */
export const UNTIL_END = -2;

/**
 * A parser for one direction of a connection. Pass bytes until `head` is set, inspect the head, continue until `complete`, take
 * the body, and call `next()` for the next message.
 */
export abstract class MessageParser<
  Head extends { readonly bodyLength: number },
  Limits extends MessageLimits = MessageLimits,
> {
  /** The head, once it is complete. */
  head: Head | undefined = undefined;
  /** Whether the message is complete, including its body. */
  complete = false;
  /** The reason why the message was refused; parsing stops then. */
  failure: HttpFailure | undefined = undefined;
  /** A callback that takes the body of this message as it arrives, instead of collecting it. Set it once `head` is set. */
  onBody: ((chunk: Uint8Array, start: number, end: number) => void) | undefined = undefined;

  /** The limits of the messages. */
  protected readonly limits: Limits;
  /** Whether to keep the trailer fields in `trailer`. */
  protected readonly keepsTrailer: boolean = false;
  #held: GrowingBuffer | undefined = undefined; // the beginning of a head that arrives in pieces
  #headSize = 0; // of the head so far, including empty lines before it
  #isLineEmpty = true; // so far; an empty line ends the head
  #sawCr = false;
  #begun = false;
  #inFields = false; // after the start line
  #body: GrowingBuffer | undefined = undefined;
  #bodySize = 0;
  #chunked: ChunkedDecoder | undefined = undefined;

  constructor(limits: Limits) {
    this.limits = limits;
  }

  /**
   * Parses a complete head.
   *
   * @param bytes The memory that contains the head.
   * @param start The index of its first byte.
   * @param end The index after its last CRLF, before the empty line.
   * @returns The head, or the reason for refusing it.
   */
  protected abstract parseHead(bytes: Uint8Array, start: number, end: number): Head | HttpFailure;

  /**
   * Accepts the last head once more if exactly its bytes come next.
   *
   * @param chunk The memory that contains the bytes.
   * @param at The index of the first byte.
   * @returns The index after the head; -1 if the bytes are others.
   */
  protected repeatHead(_chunk: Uint8Array, _at: number): number {
    return -1;
  }

  /** Returns the largest body accepted after a head. */
  protected maxBodySize(_head: Head): number {
    return this.limits.maxBodySize;
  }

  /** Whether the first byte of a message has arrived. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Whether a part of a message has arrived that is neither complete nor refused. */
  get isMidMessage(): boolean {
    return this.#begun && !this.complete && this.failure === undefined;
  }

  /** The trailer fields of a chunked message, when `complete`, if they are kept: as Latin-1, each with its CRLF. */
  protected get trailer(): string {
    return this.#chunked?.trailer ?? "";
  }

  /** The body, when `complete`. */
  get body(): Uint8Array {
    return this.#body === undefined ? EMPTY : this.#body.memory.subarray(0, this.#body.length);
  }

  /** The number of bytes of an unfinished message held in memory. */
  get heldBytes(): number {
    return (this.#held?.memory.length ?? 0) + (this.#body?.memory.length ?? 0);
  }

  /** Frees the memory of an unfinished message that will not be completed. */
  dispose(): void {
    this.#held = this.#body = undefined;
  }

  /** Forgets the message; the bytes that follow belong to the next one. */
  next(): void {
    this.head =
      this.#body =
      this.#chunked =
      this.onBody =
        undefined;
    this.complete = this.#begun = this.#inFields = false;
    this.#headSize = this.#bodySize = 0;
  }

  /**
   * Parses bytes. Stops after the head, so that the caller can inspect it before the body, and after the body.
   *
   * @param chunk The memory that contains the bytes.
   * @param at The index of the first byte.
   * @returns The index of the first byte that was not consumed.
   */
  receive(chunk: Uint8Array, at: number): number {
    if (this.failure !== undefined || this.complete || at >= chunk.length) return at;
    if (this.head === undefined) return this.#receiveHead(chunk, at);
    return this.#receiveBody(chunk, at);
  }

  /** Refuses the message. Returns `at`. */
  protected fail(status: number, reason: string, at: number): number {
    this.failure = new HttpFailure(status, reason);
    return at;
  }

  #receiveHead(chunk: Uint8Array, at: number): number {
    if (this.#headSize === 0) {
      const end = this.repeatHead(chunk, at);
      if (end >= 0) return end;
    }
    const { maxHeadSize } = this.limits;
    const end = Math.min(chunk.length, at + maxHeadSize - this.#headSize);
    this.#headSize += end - at;
    let start = at;
    while (at < end) {
      const byte = chunk[at++];
      if (this.#sawCr) {
        this.#sawCr = false;
        // Section 2.2: a bare CR or LF does not end a line.
        if (byte !== 0x0a) return this.fail(400, "a line does not end in CRLF", at - 1);
        if (!this.#begun) { // section 2.2: empty lines before a request line are ignored
          start = at;
          continue;
        }
        if (this.#isLineEmpty) return this.#endHead(chunk, start, at);
        this.#isLineEmpty = true;
        this.#inFields = true;
      } else if (byte === 0x0d) {
        this.#sawCr = true;
      } else if (byte === 0x0a) {
        return this.fail(400, "a line does not end in CRLF", at - 1);
      } else {
        // Skip the rest of the line, as far as it has arrived.
        while (at < end && chunk[at] !== 0x0d && chunk[at] !== 0x0a) at++;
        this.#begun = true;
        this.#isLineEmpty = false;
      }
    }
    if (end < chunk.length) {
      return this.#begun && !this.#inFields
        ? this.fail(414, "the first line is too long", end)
        : this.fail(431, "the head is too large", end);
    }
    if (this.#begun) (this.#held ??= new GrowingBuffer()).append(chunk, start, end, maxHeadSize);
    return end;
  }

  #endHead(chunk: Uint8Array, start: number, end: number): number {
    let bytes = chunk;
    let from = start;
    let to = end;
    if (this.#held !== undefined) {
      this.#held.append(chunk, start, end, this.limits.maxHeadSize);
      bytes = this.#held.memory;
      from = 0;
      to = this.#held.length;
      this.#held = undefined;
    }
    const head = this.parseHead(bytes, from, to - 2);
    if (head instanceof HttpFailure) {
      this.failure = head;
      return end;
    }
    return this.accept(head, end);
  }

  /** Accepts a head. Returns `end`, the index after it. */
  protected accept(head: Head, end: number): number {
    this.#begun = true;
    this.head = head;
    if (head.bodyLength > this.maxBodySize(head)) return this.fail(413, "the body is too large", end);
    if (head.bodyLength === 0) this.complete = true;
    else if (head.bodyLength === CHUNKED) this.#chunked = new ChunkedDecoder(this.keepsTrailer);
    return end;
  }

  #receiveBody(chunk: Uint8Array, at: number): number {
    const { bodyLength } = this.head!;
    if (bodyLength === UNTIL_END) return this.#keepBody(chunk, at, chunk.length) ? chunk.length : at;
    if (this.#chunked === undefined) {
      const stop = Math.min(at + bodyLength - this.#bodySize, chunk.length);
      this.#keepBody(chunk, at, stop, bodyLength);
      if (this.#bodySize === bodyLength) this.complete = true;
      return stop;
    }
    const stop = this.#chunked.receive(chunk, at, (start, end) => this.#keepBody(chunk, start, end));
    if (typeof stop !== "number") {
      this.failure = stop;
      return chunk.length;
    }
    if (this.#chunked.done) this.complete = true;
    return stop;
  }

  #keepBody(chunk: Uint8Array, start: number, end: number, most = this.maxBodySize(this.head!)): boolean {
    this.#bodySize += end - start;
    if (this.#bodySize > most) {
      this.fail(413, "the body is too large", 0);
      return false;
    }
    if (this.onBody !== undefined) this.onBody(chunk, start, end);
    else (this.#body ??= new GrowingBuffer()).append(chunk, start, end, most);
    return true;
  }
}
