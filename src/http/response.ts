/**
 * What an `HttpResponse` does without waiting for anything.
 *
 * @module
 */

import { GrowingBuffer } from "../bytes.ts";
import { BodyCoder, codeBody } from "./body_coder.ts";
import { codingOf, type ContentCoding } from "./content_coding.ts";
import { Cookie } from "./cookie.ts";
import { type CookieAttributes, serializeCookie } from "./cookies.ts";
import { isFieldValue } from "./head.ts";
import { capitalize, type HeaderValue, ResponseFields } from "./response_fields.ts";
import { announceTrailers, escapeUrl, headText, isBodiless, saysClose } from "./response_head.ts";
import type { ResponseTarget } from "./response_target.ts";

export type { ResponseTarget };

const encoder = new TextEncoder();

/** An answer. Headers go out with the first part of the body, or with `end()`. */
export class BaseResponse {
  /** The connection it goes to. */
  readonly fd: number;

  readonly #target: ResponseTarget;
  #status = 200;
  #reason: string | undefined = undefined;
  #fields = new ResponseFields();
  #cookies: string[] | undefined = undefined;
  #trailers: ResponseFields | undefined = undefined;
  #coder: BodyCoder | undefined = undefined;
  #left = -1; // of a streamed body whose length was told before
  #headSent = false;
  #streamed = false;
  #chunked = false;
  #ended = false;
  #detached = false;
  #occupied = false;
  #lengthUnknown = false;
  #keptAlive = false; // as the head said
  #incomplete = false; // lacks a part
  #collected: GrowingBuffer | undefined = undefined; // a body that may not be streamed

  /** Made by the server. */
  constructor(fd: number, target: ResponseTarget) {
    this.fd = fd;
    this.#target = target;
  }

  /** Whether the answer can still be written: it has not ended and the peer is there. */
  isWritable(): boolean {
    return !this.#ended && !this.#incomplete && this.#target.isOpen;
  }

  /** Whether something was written. @internal */
  get hasBegun(): boolean {
    return this.#headSent || this.#collected !== undefined;
  }

  /** Whether the answer has ended, or the program took it over with `detach()`. @internal */
  get isSettled(): boolean {
    return this.#ended || this.#detached || this.#occupied;
  }

  /** Whether something else makes the answer now: a file, or a fetch-style application. @internal */
  get isOccupied(): boolean {
    return this.#occupied;
  }

  /** Leaves the answer to something else, until `release()`. @internal */
  occupy(): void {
    this.#occupied = true;
  }

  /** The reverse of `occupy()`. @internal */
  release(): void {
    this.#occupied = false;
  }

  /** Whether the program took the answer over with `detach()`. @internal */
  get isDetached(): boolean {
    return this.#detached;
  }

  /** Whether the head has been sent. @internal */
  get headSent(): boolean {
    return this.#headSent;
  }

  /**
   * Sets a header field. A field set twice takes the later value; a list sets the field several times.
   *
   * @param name The name.
   * @param value The value. `Server`, `Date` and `Content-Type` replace the built-in ones, and leave them out when empty.
   * @param format Whether the name is sent with capitals where words begin, as in `X-Request-Id`; otherwise as it is spelled here.
   * To whom it is sent that is the same (RFC 9110 section 5.1).
   * @returns `false` when the answer has begun; `getLastError()` of the server then tells 7106.
   * @throws {TypeError} If the name is no token, or a value holds a control character: a header cannot be split in two.
   */
  header(name: string, value: HeaderValue, format = true): boolean {
    if (this.#begun()) return false;
    this.#fields.set(format ? capitalize(name) : name, value);
    return true;
  }

  /** Another name of `header()`. */
  setHeader(name: string, value: HeaderValue, format = true): boolean {
    return this.header(name, value, format);
  }

  /** The value of a header field that was set; the name in lower case. @internal */
  fieldValue(lower: string): string | undefined {
    return this.#fields.get(lower);
  }

  /**
   * Sets a cookie, beside those that were set before.
   *
   * @param name The name; or a whole `Cookie`, which counts as it is now, and for which the other arguments are ignored.
   * @param value The value, sent with percent escapes, a blank as `%20`. An empty one deletes the cookie.
   * @param expires When it ends, seconds since 1970; 0 ends it with the browser.
   * @param path The path it is for.
   * @param domain The domain it is for, with all below it; the one host unless given.
   * @param secure For TLS only.
   * @param httponly Not for scripts.
   * @param samesite `Strict`, `Lax` or `None`.
   * @param priority `Low`, `Medium` or `High`.
   * @param partitioned One cookie for each site that embeds this one; needs `secure`.
   * @returns `false` when the answer has begun.
   * @throws {TypeError} If a part has a character that a cookie cannot hold.
   * @throws {RangeError} If `expires` is no time from 1970 to 9999.
   */
  cookie(
    name: string | Cookie,
    value = "",
    expires = 0,
    path = "/",
    domain = "",
    secure = false,
    httponly = false,
    samesite = "",
    priority = "",
    partitioned = false,
  ): boolean {
    return this.#addCookie(name, value, { expires, path, domain, secure, httponly, samesite, priority, partitioned }, false);
  }

  /**
   * As `cookie()`, but the value is sent as it is: visible ASCII without `,` and `;`, otherwise it throws a `TypeError`. A `Cookie`
   * knows by itself whether it is.
   */
  rawcookie(
    name: string | Cookie,
    value = "",
    expires = 0,
    path = "/",
    domain = "",
    secure = false,
    httponly = false,
    samesite = "",
    priority = "",
    partitioned = false,
  ): boolean {
    return this.#addCookie(name, value, { expires, path, domain, secure, httponly, samesite, priority, partitioned }, true);
  }

  /** Another name of `cookie()`. */
  setCookie(...cookie: Parameters<BaseResponse["cookie"]>): boolean {
    return this.cookie(...cookie);
  }

  /** Another name of `rawcookie()`. */
  setRawCookie(...cookie: Parameters<BaseResponse["rawcookie"]>): boolean {
    return this.rawcookie(...cookie);
  }

  #addCookie(name: string | Cookie, value: string, attributes: CookieAttributes, raw: boolean): boolean {
    if (this.#begun()) return false;
    const cookie = name instanceof Cookie ? name.toString() : serializeCookie(name, value, attributes, raw);
    (this.#cookies ??= []).push(cookie);
    return true;
  }

  /**
   * Sets a trailer: a field that is sent behind the body, which travels chunked then (RFC 9110 section 6.5). One that is set
   * before the answer begins is announced in `Trailer`.
   *
   * @returns `false` when the answer has ended, has begun without chunks, or the client speaks HTTP/1.0.
   * @throws {TypeError} If the name or the value cannot be one, or the field has to be known before the body.
   */
  trailer(name: string, value: HeaderValue): boolean {
    if (this.#finished()) return false;
    const trailers = this.#trailers ?? new ResponseFields();
    trailers.setTrailer(name, value);
    if (!this.#target.takesChunks || (this.#headSent && !this.#chunked)) return false;
    this.#trailers = trailers;
    return true;
  }

  /** Swoole's preparation of the header; nothing has to be prepared here. Returns whether headers may still be set. */
  initHeader(): boolean {
    return !this.#ended && !this.#headSent;
  }

  /**
   * Sets the status.
   *
   * @param code 200 to 999, or 101 in a `handshake` handler; 200 unless set.
   * @param reason The reason phrase; the standard one unless set.
   * @returns `false` when the answer has begun.
   * @throws {RangeError} If the code cannot be one of an answer.
   */
  status(code: number, reason?: string): boolean {
    if (this.#begun()) return false;
    if (!Number.isInteger(code) || code < 200 || code > 999) {
      if (code !== 101 || !this.#target.isUpgrade) throw new RangeError(`Cannot set the status: ${code} cannot end this request`);
    }
    if (reason !== undefined && !isFieldValue(reason)) {
      throw new TypeError("Cannot set the status: the reason has a control character");
    }
    this.#status = code;
    this.#reason = reason;
    return true;
  }

  /** Another name of `status()`. */
  setStatusCode(code: number, reason?: string): boolean {
    return this.status(code, reason);
  }

  /**
   * Sends the answer to another address.
   *
   * @param url The value of `Location`; what is no ASCII, and blanks, are sent as percent escapes.
   * @param code The status, 302 unless given.
   * @throws {TypeError} If the URL has a control character; nothing has been set then.
   * @throws {RangeError} If the code cannot be one of a response; nothing has been set then.
   */
  redirect(url: string, code = 302): boolean {
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
   * @param kind Whose the bytes are, and what becomes of them without room: `limited` are the program's, and the response is broken
   * then; `queued` are the program's, and are sent in any case; `ours` are nobody else's, and whoever has them waits for room. @internal */
  writePart(data: string | Uint8Array, kind: "limited" | "queued" | "ours" = "limited"): boolean {
    if (this.#finished() || this.#incomplete) return false;
    const target = this.#target;
    const bytes = toBytes(data);
    if (!this.#headSent && !target.takesChunks && target.canStreamToEnd === false) return this.#collect(bytes);
    if (this.#headSent && kind === "limited" && target.hasRoom?.(bytes.length) === false) return !(this.#incomplete = true);
    if (!this.#headSent) {
      this.#streamed = true;
      this.#chunked = target.takesChunks; // an HTTP/1.0 peer reads until the connection ends
      const coding = this.#chooseCoding(Infinity);
      if (coding !== undefined) this.#coder = BodyCoder.begin(target.bodyCompression!, coding, this.#fields, false);
      this.#sendHead(undefined);
    }
    if (bytes.length === 0) return true;
    if (this.#coder !== undefined) this.#sendPart(this.#coder.write(bytes, "flush"), true);
    else this.#sendPart(bytes, kind === "ours" || bytes !== data);
    return true;
  }

  /** Keeps a part of a body that is sent whole: nothing would tell the peer that it was cut off. */
  #collect(bytes: Uint8Array): boolean {
    const collected = this.#collected ??= new GrowingBuffer();
    if (this.#target.hasRoom?.(bytes.length, collected.length) === false) return !(this.#incomplete = true);
    collected.append(bytes, 0, bytes.length, Infinity);
    return true;
  }

  /** Begins a body of a known length; `writePart()` sends it. @internal */
  beginBody(length: number): void {
    if (this.#begun()) return;
    this.#left = length;
    this.#sendHead(length);
  }

  /** How many bytes a body of a known length lacks; -1 for any other. @internal */
  get missing(): number {
    return this.#left;
  }

  #sendPart(bytes: Uint8Array, isOurs: boolean): void {
    if (bytes.length === 0 || !this.#hasBody()) return;
    if (this.#left >= 0) {
      if (bytes.length > this.#left) bytes = bytes.subarray(0, this.#left);
      this.#left -= bytes.length;
    }
    if (this.#chunked) this.#target.sendHead(`${bytes.length.toString(16)}\r\n`);
    this.#target.send(bytes, isOurs);
    if (this.#chunked) this.#target.sendHead("\r\n");
  }

  /**
   * Sends the answer, or the rest of it after `write()`. A whole body is compressed when the client takes that and it is worth
   * it (`http_compression`).
   *
   * @param data The body, or its last part. Bytes are the program's again when this returns.
   * @returns `false` when the response has ended or the peer is gone, or when `write()` has lost a part: then the connection is
   * dropped, or the response is a 500 if nothing was sent yet.
   */
  end(data: string | Uint8Array = ""): boolean {
    return this.#end(data, false);
  }

  /** Sends the response with bytes that nobody changes any more. @internal */
  endWith(bytes: Uint8Array): boolean {
    return this.#end(bytes, true);
  }

  #end(data: string | Uint8Array, isOurs: boolean): boolean {
    if (this.#finished()) return false;
    if (this.#incomplete) return this.#endBroken();
    const collected = this.#collected;
    if (collected === undefined && typeof data === "string" && this.#sendText(data)) return true;
    let bytes = toBytes(data);
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
    else codeBody(this.#target, coding, this.#fields, bytes, isOurs, (coded, isOurs) => this.#sendWhole(coded, isOurs));
    return true;
  }

  /** It lacks a part, and the peer has to see that. */
  #endBroken(): false {
    if (this.#headSent) {
      this.#ended = true;
      this.#coder?.close();
      this.#target.abort();
    } else {
      this.fail(500);
    }
    return false;
  }

  /** Ends with a status that says why there is no other response, whatever was set or collected. Nothing was sent yet. @internal */
  fail(status: number, reason = ""): void {
    this.#occupied = this.#incomplete = false;
    this.#collected = this.#trailers = this.#cookies = undefined;
    this.#fields = new ResponseFields();
    this.status(status);
    if (reason !== "") this.header("Content-Type", "text/plain");
    this.end(reason);
  }

  /** Sends a whole body that is ASCII in place behind its head, and returns `false` if it is not, or more has to be done. */
  #sendText(text: string): boolean {
    const target = this.#target;
    if (target.sendText === undefined || this.#headSent || this.#trailers !== undefined || !this.#hasBody()) return false;
    if (target.bodyCompression !== undefined && target.acceptEncoding !== undefined) return false;
    if (!target.sendText(this.#makeHead(text.length), text)) return false;
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
      this.#target.sendHead(last + "\r\n");
    }
    this.#target.onEnd(this.#status, this.#keptAlive && this.#target.keepAlive);
  }

  /** Decides whether the body is compressed. */
  #chooseCoding(length: number): ContentCoding | undefined {
    const { bodyCompression: compression, acceptEncoding } = this.#target;
    if (compression === undefined || acceptEncoding === undefined || length < compression.minLength) return undefined;
    const coding = codingOf(this.#status, this.#fields, compression, acceptEncoding);
    if (coding === undefined || !this.#target.isHead) return coding;
    this.#lengthUnknown = true; // nobody has compressed it
    return undefined;
  }

  /** Lets the handler return without an answer, which is to come later. Without it that would be a 500. */
  detach(): boolean {
    if (this.#ended) return false;
    return this.#detached = true;
  }

  /**
   * Closes the connection, behind what was written.
   *
   * @returns `false` when the response is complete, and the connection is for another request; or when the peer is gone.
   */
  close(): boolean {
    if (!this.#target.isOpen) {
      this.onMisuse();
      return false;
    }
    this.#ended = true;
    this.#occupied = false;
    // Where the end of the connection is the end of the body, an orderly one would say that it is complete.
    if (this.#headSent && !this.#chunked && this.#left < 0) this.#target.abort();
    else this.#target.close();
    return true;
  }

  /** Ends with 101. What the program has set comes behind these headers, or in their place. @internal */
  switchProtocols(headers: readonly (readonly [name: string, value: string])[]): void {
    const own = this.#fields;
    this.#fields = new ResponseFields();
    this.status(101);
    for (const [name, value] of headers) this.#fields.set(name, value);
    for (const [name] of own) this.#fields.delete(name.toLowerCase());
    for (const [name, value] of own) this.#fields.add(name, value);
    this.end();
  }

  /** It was used after it ended: notes the last-error code 7106. @internal */
  protected onMisuse(): void {
    this.#target.onMisuse();
  }

  #begun(): boolean {
    if (!this.#ended && !this.#headSent && !this.#occupied) return false;
    this.onMisuse();
    return true;
  }

  #finished(): boolean {
    if (!this.#ended && !this.#occupied && this.#target.isOpen) return false;
    this.onMisuse();
    return true;
  }

  /** RFC 9110 section 6.4.1: no body after HEAD, nor with 101, 204 and 304. */
  #hasBody(): boolean {
    return !this.#target.isHead && !isBodiless(this.#status);
  }

  /** @param length The length of the whole body; `undefined` when parts follow. */
  #sendHead(length: number | undefined): void {
    const head = this.#makeHead(length);
    this.#headSent = true;
    this.#target.sendHead(head);
  }

  #makeHead(length: number | undefined): string {
    const fields = this.#fields;
    const hasBody = this.#hasBody();
    this.#keptAlive = this.#target.keepAlive && !(this.#streamed && !this.#chunked && hasBody) && !saysClose(fields);
    let framing = "";
    if (!isBodiless(this.#status)) {
      if (!hasBody && fields.has("content-length")) { /* the program's own is sent */ }
      else if (this.#chunked) framing = announceTrailers(this.#trailers) + "Transfer-Encoding: chunked\r\n";
      // RFC 9110 section 8.6: no other length than GET would have. Nobody knows whether an empty body means that there is none.
      else if (length === 0 && this.#target.isHead) framing = "";
      else if (length !== undefined && !this.#lengthUnknown) framing = `Content-Length: ${length}\r\n`;
    }
    const { date } = this.#target;
    return headText(this.#status, this.#reason, fields, this.#cookies, date, this.#keptAlive, hasBody, framing);
  }
}

function toBytes(data: string | Uint8Array): Uint8Array {
  if (typeof data === "string") return encoder.encode(data);
  if (data instanceof Uint8Array) return data;
  throw new TypeError(`Cannot send a value of type ${typeof data}: a string or a Uint8Array is needed`);
}
