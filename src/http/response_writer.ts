/**
 * A response on its way to the client: `BaseResponse` and the classes derived from it are its public side, and a
 * `ResponseTarget` is the exchange that it is sent through.
 *
 * @module
 */

import { GrowingBuffer } from "../transport/bytes.ts";
import { BodyCoder, codeBody, codingOf, type CodingTarget } from "./content_coding.ts";
import type { ContentCoding } from "../transport/codecs.ts";
import { Cookie, type CookieAttributes, serializeCookie } from "./cookies.ts";
import { isFieldValue } from "./request_head.ts";
import {
  announceTrailers,
  capitalize,
  checkStatus,
  escapeUrl,
  type HeaderValue,
  type HeadStart,
  headStart,
  isBodiless,
  ResponseFields,
  saysClose,
} from "./response_head.ts";
import { sentBytes } from "../values.ts";

/** The exchange of a response. */
export interface ResponseTarget extends CodingTarget {
  /** Whether the connection stays open after this response, as far as the request is concerned. */
  readonly keepAlive: boolean;
  /** Whether the request was HEAD, so that no body is sent. */
  readonly isHead: boolean;
  /** Whether the client accepts chunks (HTTP/1.1). */
  readonly takesChunks: boolean;
  /** Whether a body that ends with the connection may be sent in parts. The client must then notice if it is cut off. */
  readonly canStreamToEnd?: boolean;
  /** Whether the request is a WebSocket handshake. */
  readonly isUpgrade: boolean;
  /** The value of `Date`. */
  readonly date: string;
  /** The value of Accept-Encoding in the request. */
  readonly acceptEncoding?: string | undefined;
  /**
   * Reports whether a queue has room for more bytes; if not, the last-error code is 1009.
   *
   * @param size The number of bytes to add.
   * @param queued The number of bytes in the queue; by default those of the connection's output.
   */
  hasRoom?(size: number, queued?: number): boolean;
  /** Called with the size of a part that the response keeps until its end. */
  onCollected?(size: number): void;
  /**
   * Sends bytes of the response.
   *
   * @param isOurs Whether the bytes never change.
   */
  send(bytes: Uint8Array, isOurs: boolean): void;
  /** Sends a part of the head. */
  sendHead(text: string): void;
  /** Sends a head that is followed by a body, or by none; `sendHead()` does the same with a text. */
  sendStart?(start: HeadStart, rest: string): void;
  /**
   * Sends a head and an ASCII body. Returns `false`, having sent nothing, if the body is not ASCII or is too long for this.
   *
   * @param start The beginning of the head.
   * @param rest The rest of it.
   */
  sendText?(start: HeadStart, rest: string, body: string): boolean;
  /** Called before the head of a response with status 101 is made: the last chance to add fields. */
  beforeSwitch?(): void;
  /**
   * Called when the response is complete.
   *
   * @param status The status.
   * @param keepAlive Whether the connection stays open.
   */
  onEnd(status: number, keepAlive: boolean): void;
  /** Sets the last-error code 7106: the program used a response that has ended. */
  onMisuse(): void;
  /** Closes the connection after pending output. */
  close(): void;
  /** Ends the connection, which is open, behind its output, in a way that tells the client that the body is not complete. */
  breakOff(): void;
  /** The same at once, without what is queued. */
  abort(): void;
}

/** A response. Where a method has the name of a method of `BaseResponse`, it does the same. */
export class ResponseWriter {
  /** Where the response is sent. */
  readonly target: ResponseTarget;

  #status = 200;
  #reason: string | undefined = undefined;
  #fields = new ResponseFields();
  #cookies: string[] | undefined = undefined;
  #trailers: ResponseFields | undefined = undefined;
  #coder: BodyCoder | undefined = undefined;
  #left = -1; // the remaining bytes of a streamed body of known length
  #headSent = false;
  #streamed = false;
  #chunked = false;
  #ended = false;
  #detached = false;
  #occupied = false;
  #lengthUnknown = false;
  #keptAlive = false; // as the head announced
  #incomplete = false; // a part of the body was lost
  #isText = false; // the body, or its first part, was passed as text
  #collected: GrowingBuffer | undefined = undefined; // a body that must not be streamed

  constructor(target: ResponseTarget) {
    this.target = target;
  }

  /** Whether the response can still be written: it has not ended, and the client is connected. */
  get isWritable(): boolean {
    return !this.#ended && !this.#incomplete && this.target.isOpen;
  }

  /** Whether part of the response has been written. */
  get hasBegun(): boolean {
    return this.#headSent || this.#collected !== undefined;
  }

  /** Whether the response has ended, is occupied, or was detached with `detach()`. */
  get isSettled(): boolean {
    return this.#ended || this.#detached || this.#occupied;
  }

  /** Whether a file or a fetch-style application is making the response. */
  get isOccupied(): boolean {
    return this.#occupied;
  }

  /** Leaves the response to a file or a fetch-style application, until `release()`. */
  occupy(): void {
    this.#occupied = true;
  }

  /** Undoes `occupy()`. */
  release(): void {
    this.#occupied = false;
  }

  /** Whether the program called `detach()`. */
  get isDetached(): boolean {
    return this.#detached;
  }

  /** The status, as set so far. */
  get statusCode(): number {
    return this.#status;
  }

  /** Whether the head has been sent. */
  get headSent(): boolean {
    return this.#headSent;
  }

  /** Whether a client notices by itself that the body is not complete. Otherwise an orderly end would say that it is. */
  get isFramed(): boolean {
    return this.#chunked || this.#left > 0;
  }

  header(name: string, value: HeaderValue | null, format = true): boolean {
    if (this.#begun()) return false;
    this.#fields.set(format ? capitalize(name) : name, value);
    return true;
  }

  /** Returns the value of a header field that was set. The name must be in lower case. */
  fieldValue(lower: string): string | undefined {
    return this.#fields.get(lower);
  }

  /** Adds a cookie; `isRaw` leaves out the percent-encoding of its value. */
  addCookie(name: string | Cookie, value: string | number, attributes: CookieAttributes, isRaw: boolean): boolean {
    if (this.#begun()) return false;
    const cookie = name instanceof Cookie ? name.toString() : serializeCookie(name, value, attributes, isRaw);
    (this.#cookies ??= []).push(cookie);
    return true;
  }

  trailer(name: string, value: HeaderValue | null): boolean {
    if (this.#finished()) return false;
    const trailers = this.#trailers ?? new ResponseFields();
    trailers.setTrailer(name, value);
    if (!this.target.takesChunks || (this.#headSent && !this.#chunked)) return false;
    this.#trailers = trailers;
    return true;
  }

  /** Whether headers can still be set. */
  get takesHeaders(): boolean {
    return !this.#ended && !this.#headSent;
  }

  status(code: number, reason?: string): boolean {
    if (this.#begun()) return false;
    if (code !== 101 || !this.target.isUpgrade) checkStatus(code);
    if (reason !== undefined && !isFieldValue(reason)) {
      throw new TypeError("Cannot set the status: the reason has a control character");
    }
    this.#status = code;
    this.#reason = reason;
    return true;
  }

  redirect(url: string, code: number): boolean {
    if (this.#begun()) return false;
    const status = this.#status;
    const reason = this.#reason;
    try {
      return this.status(code) && this.header("Location", escapeUrl(url)) && this.end();
    } catch (error) {
      if (!this.#headSent) this.status(status, reason);
      throw error;
    }
  }

  /**
   * Sends a part of the body.
   *
   * @param kind The owner of the bytes, and the effect if the queue is full. `limited`: owned by the program; the response is
   * then broken. `queued`: owned by the program; sent in any case. `ours`: never changed; the caller waits for room itself.
   */
  writePart(data: string | number | Uint8Array, kind: "limited" | "queued" | "ours"): boolean {
    if (this.#finished() || this.#incomplete) return false;
    const target = this.target;
    const bytes = sentBytes(data);
    if (!this.hasBegun) this.#isText = typeof data !== "object";
    if (!this.#headSent && !target.takesChunks && target.canStreamToEnd === false) return this.#collect(bytes);
    if (this.#headSent && kind === "limited" && target.hasRoom?.(bytes.length) === false) return !(this.#incomplete = true);
    if (!this.#headSent) {
      this.#streamed = true;
      this.#chunked = target.takesChunks; // an HTTP/1.0 client reads until the connection ends
      const coding = this.#chooseCoding(Infinity);
      if (coding !== undefined) this.#coder = BodyCoder.begin(target.bodyCompression!, coding, this.#fields, false);
      this.#sendHead(undefined);
    }
    if (bytes.length === 0) return true;
    if (this.#coder !== undefined) this.#sendPart(this.#coder.write(bytes, "flush"), true);
    else this.#sendPart(bytes, kind === "ours" || bytes !== data);
    return true;
  }

  /** Collects a part of a body that must be sent whole, because the client could not notice that it was cut off. */
  #collect(bytes: Uint8Array): boolean {
    const collected = this.#collected ??= new GrowingBuffer();
    if (this.target.hasRoom?.(bytes.length, collected.length) === false) return !(this.#incomplete = true);
    collected.append(bytes, 0, bytes.length, Infinity);
    this.target.onCollected?.(bytes.length);
    return true;
  }

  /** Begins a body of a known length, which `writePart()` then sends. */
  beginBody(length: number): void {
    if (this.#begun()) return;
    this.#left = length;
    this.#sendHead(length);
  }

  /** The number of remaining bytes of a body of known length; -1 for any other body. */
  get missing(): number {
    return this.#left;
  }

  #sendPart(bytes: Uint8Array, isOurs: boolean): void {
    if (bytes.length === 0 || !this.#hasBody()) return;
    if (this.#left >= 0) {
      if (bytes.length > this.#left) bytes = bytes.subarray(0, this.#left);
      this.#left -= bytes.length;
    }
    if (this.#chunked) this.target.sendHead(`${bytes.length.toString(16)}\r\n`);
    this.target.send(bytes, isOurs);
    if (this.#chunked) this.target.sendHead("\r\n");
  }

  end(data: string | number | Uint8Array = ""): boolean {
    return this.#end(typeof data === "number" ? String(data) : data, false, typeof data !== "object");
  }

  /** Sends the response with bytes that never change, or with text whose type the program has set as it is to be. */
  endWith(body: string | Uint8Array): boolean {
    return this.#end(body, true, false);
  }

  #end(data: string | Uint8Array, isOurs: boolean, isText: boolean): boolean {
    if (this.#finished()) return false;
    if (this.#incomplete) return this.#endBroken();
    if (this.#status === 101 && !this.#headSent) this.target.beforeSwitch?.();
    const collected = this.#collected;
    if (!this.hasBegun) this.#isText = isText;
    if (collected === undefined && typeof data === "string" && this.#sendText(data)) return true;
    let bytes = sentBytes(data);
    if (collected !== undefined) {
      collected.append(bytes, 0, bytes.length, Infinity);
      bytes = collected.memory.subarray(0, collected.length);
      this.#collected = undefined;
    }
    isOurs ||= bytes !== data;
    this.#ended = true;
    if (this.#headSent) {
      if (this.#coder === undefined) this.#sendPart(bytes, isOurs);
      else this.#sendPart(this.#coder.write(bytes, "end"), true);
      this.#finish();
      return true;
    }
    const coding = this.#chooseCoding(bytes.length);
    if (coding === undefined) this.#sendWhole(bytes, isOurs);
    else codeBody(this.target, coding, this.#fields, bytes, isOurs, (coded, isOurs) => this.#sendWhole(coded, isOurs));
    return true;
  }

  /** Ends a response that lost a part, so that the client notices. */
  #endBroken(): false {
    if (this.#headSent) {
      this.#ended = true;
      this.#coder?.close();
      this.target.abort(); // the queue is full: the client hardly reads
    } else {
      this.fail(500);
    }
    return false;
  }

  /** Discards all that was set or collected, and ends with an error status. Call it before anything is sent. */
  fail(status: number, reason = ""): void {
    this.#occupied = this.#incomplete = false;
    this.#collected = this.#trailers = this.#cookies = undefined;
    this.#fields = new ResponseFields();
    this.status(status);
    if (reason !== "") this.header("Content-Type", "text/plain");
    this.end(reason);
  }

  /**
   * Sends an ASCII body together with its head. Returns `false`, having sent nothing, if the body is not ASCII or needs more
   * work.
   */
  #sendText(text: string): boolean {
    const target = this.target;
    if (target.sendText === undefined || this.#headSent || this.#trailers !== undefined || !this.#hasBody()) return false;
    if (target.bodyCompression !== undefined && target.acceptEncoding !== undefined) return false;
    const start = this.#makeStart();
    if (!target.sendText(start, this.#framing(text.length), text)) return false;
    this.#ended = this.#headSent = true;
    this.#finish();
    return true;
  }

  #sendWhole(bytes: Uint8Array, isOurs: boolean): void {
    if (this.#trailers !== undefined && this.#hasBody()) {
      this.#chunked = true;
      this.#sendHead(undefined);
    } else {
      this.#sendHead(bytes.length);
    }
    this.#sendPart(bytes, isOurs);
    this.#finish();
  }

  #finish(): void {
    this.#coder?.close();
    if (this.#chunked && this.#hasBody()) {
      let last = "0\r\n";
      for (const [name, value] of this.#trailers ?? []) last += `${name}: ${value}\r\n`;
      this.target.sendHead(last + "\r\n");
    }
    this.target.onEnd(this.#status, this.#keptAlive && this.target.keepAlive);
  }

  /** Chooses the coding of the body, if it is to be compressed. */
  #chooseCoding(length: number): ContentCoding | undefined {
    const { bodyCompression: compression, acceptEncoding } = this.target;
    if (compression === undefined || acceptEncoding === undefined || length < compression.minLength) return undefined;
    const coding = codingOf(this.#status, this.#fields, compression, acceptEncoding);
    if (!this.target.isHead) return coding;
    this.#lengthUnknown ||= coding !== undefined; // HEAD: the body is not compressed, so its length is unknown
  }

  detach(): boolean {
    if (this.#ended) return false;
    return this.#detached = true;
  }

  close(): boolean {
    if (!this.target.isOpen) {
      this.target.onMisuse();
      return false;
    }
    this.#ended = true;
    this.#occupied = false;
    if (this.#headSent) this.target.breakOff();
    else this.target.close();
    return true;
  }

  /** Ends with 101. Fields set by the program follow these headers, or replace them. */
  switchProtocols(headers: readonly (readonly [name: string, value: string])[]): void {
    const own = this.#fields;
    this.#fields = new ResponseFields();
    this.status(101);
    for (const [name, value] of headers) this.#fields.add(name, value); // they are ours, and all different
    for (const [name] of own) this.#fields.delete(name.toLowerCase());
    for (const [name, value] of own) this.#fields.add(name, value);
    this.end();
  }

  #begun(): boolean {
    if (!this.#ended && !this.#headSent && !this.#occupied) return false;
    this.target.onMisuse();
    return true;
  }

  #finished(): boolean {
    if (!this.#ended && !this.#occupied && this.target.isOpen) return false;
    this.target.onMisuse();
    return true;
  }

  /** Reports whether a body is sent. RFC 9110 section 6.4.1: not for HEAD, nor with 101, 204 and 304. */
  #hasBody(): boolean {
    return !this.target.isHead && !isBodiless(this.#status);
  }

  /** @param length The length of the whole body; `undefined` if it is sent in parts. */
  #sendHead(length: number | undefined): void {
    const start = this.#makeStart();
    const rest = this.#framing(length);
    this.#headSent = true;
    if (this.target.sendStart !== undefined) this.target.sendStart(start, rest);
    else this.target.sendHead(start.text + rest);
  }

  /** Makes the head but for its last lines. */
  #makeStart(): HeadStart {
    const fields = this.#fields;
    const hasBody = this.#hasBody();
    const { date, keepAlive } = this.target;
    this.#keptAlive = keepAlive && !(this.#streamed && !this.#chunked && hasBody) && !saysClose(fields);
    return headStart(this.#status, this.#reason, fields, this.#cookies, date, this.#keptAlive, hasBody, this.#isText);
  }

  /** Returns the last lines of the head, which give the length of the body. */
  #framing(length: number | undefined): string {
    if (isBodiless(this.#status)) return "\r\n";
    if (!this.#hasBody() && this.#fields.has("content-length")) return "\r\n"; // the program's own Content-Length is sent
    if (this.#chunked) return announceTrailers(this.#trailers) + "Transfer-Encoding: chunked\r\n\r\n";
    // RFC 9110 section 8.6: the length must be that for GET, and the program may have left out the body for HEAD.
    if ((length === 0 && this.target.isHead) || length === undefined || this.#lengthUnknown) return "\r\n";
    return `Content-Length: ${length}\r\n\r\n`;
  }
}
