/**
 * What the parsers of requests and of answers have in common: finding the end of the head, collecting the body.
 *
 * @module
 */

import { GrowingBuffer } from "../bytes.ts";
import { ChunkedDecoder } from "./chunked.ts";
import { type HeadLimits, HttpFailure } from "./head.ts";

/** What a peer may send before it is refused. Sizes in octets. */
export interface MessageLimits extends HeadLimits {
  /** The body, without the framing of chunks. */
  readonly maxBodySize: number;
}

/** `bodyLength` of a chunked body. */
export const CHUNKED = -1;
/** `bodyLength` of a body that ends where the connection does. */
export const UNTIL_END = -2;

const EMPTY = new Uint8Array(0);

/**
 * The parser of one direction of a connection. Give it octets until `head` is there, look at the head, go on until `complete`,
 * take the body, and call `next()` for the next message.
 */
export abstract class MessageParser<
  Head extends { readonly bodyLength: number },
  Limits extends MessageLimits = MessageLimits,
> {
  /** The head, once it is complete. */
  head: Head | undefined = undefined;
  /** Whether head and body are there. */
  complete = false;
  /** Why the message is refused. Nothing more is read then. */
  failure: HttpFailure | undefined = undefined;
  /** Takes the body of this message as it comes, instead of its being collected. To be set when the head is there. */
  onBody: ((chunk: Uint8Array, start: number, end: number) => void) | undefined = undefined;

  /** What is accepted. */
  protected readonly limits: Limits;
  /** Whether `trailer` is wanted. */
  protected readonly keepsTrailer: boolean = false;
  #held: GrowingBuffer | undefined = undefined; // the head so far, when it came in pieces
  #headSize = 0; // of the head so far, with the empty lines in front of it
  #lineLength = 0; // of the line that is being read; an empty line ends the head
  #sawCr = false;
  #begun = false;
  #inFields = false; // behind the start line
  #body: GrowingBuffer | undefined = undefined;
  #bodySize = 0;
  #chunked: ChunkedDecoder | undefined = undefined;

  constructor(limits: Limits) {
    this.limits = limits;
  }

  /**
   * Parses a whole head.
   *
   * @param bytes Where it is.
   * @param start Index of its first octet.
   * @param end Index behind its last CRLF; the empty line is not part of it.
   * @returns The head, or why it is refused.
   */
  protected abstract parseHead(bytes: Uint8Array, start: number, end: number): Head | HttpFailure;

  /** The most octets of the body behind a head. */
  protected maxBodySize(_head: Head): number {
    return this.limits.maxBodySize;
  }

  /** Whether the first octet of a message has arrived. */
  get begun(): boolean {
    return this.#begun;
  }

  /** The trailer fields of a chunked message, when `complete`, if they are kept: as Latin-1, each with its CRLF. */
  protected get trailer(): string {
    return this.#chunked?.trailer ?? "";
  }

  /** The body, when `complete`. */
  get body(): Uint8Array {
    return this.#body === undefined ? EMPTY : this.#body.memory.subarray(0, this.#body.length);
  }

  /** Octets of an unfinished message that are held in memory. */
  get heldBytes(): number {
    return (this.#held?.memory.length ?? 0) + (this.#body?.memory.length ?? 0);
  }

  /** Forgets the message; the next octets belong to the next one. */
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
   * Takes octets. Stops behind the head, so that its owner can look at it before the body, and behind the body.
   *
   * @param chunk Where they are.
   * @param at Index of the first one.
   * @returns The index of the first octet that was not needed.
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
    const { maxHeadSize } = this.limits;
    const end = Math.min(chunk.length, at + maxHeadSize - this.#headSize);
    this.#headSize += end - at;
    let start = at;
    while (at < end) {
      const octet = chunk[at++];
      if (this.#sawCr) {
        this.#sawCr = false;
        // Section 2.2: a bare CR or LF is no line end.
        if (octet !== 0x0a) return this.fail(400, "a line does not end in CRLF", at - 1);
        if (!this.#begun) { // section 2.2: empty lines in front of a request line are ignored
          start = at;
          continue;
        }
        if (this.#lineLength === 0) return this.#endHead(chunk, start, at);
        this.#lineLength = 0;
        this.#inFields = true;
      } else if (octet === 0x0d) {
        this.#sawCr = true;
      } else if (octet === 0x0a) {
        return this.fail(400, "a line does not end in CRLF", at - 1);
      } else {
        // The rest of the line, or what there is of it.
        const from = at - 1;
        while (at < end && chunk[at] !== 0x0d && chunk[at] !== 0x0a) at++;
        this.#begun = true;
        this.#lineLength += at - from;
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
    if (head.bodyLength > this.maxBodySize(head)) return this.fail(413, "the body is too large", end);
    this.head = head;
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
