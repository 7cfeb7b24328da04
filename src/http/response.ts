/**
 * `HttpResponse`, Swoole's picture of an answer.
 *
 * @module
 */

import { isFieldValue, isToken } from "./head.ts";
import { reasonPhrase } from "./status.ts";

const encoder = new TextEncoder();

/** The exchange that a response belongs to. */
export interface ResponseTarget {
  /** Whether the peer can still be answered. */
  readonly isOpen: boolean;
  /** Whether the connection stays open after this answer, as far as the request is concerned. */
  readonly keepAlive: boolean;
  /** Whether the request was HEAD: then no body is sent. */
  readonly isHead: boolean;
  /** Whether the peer takes chunks (HTTP/1.1). */
  readonly takesChunks: boolean;
  /** Whether this answers a WebSocket handshake. */
  readonly isUpgrade: boolean;
  /** The value for `Date`. */
  readonly date: string;
  /** Sends octets of the answer. */
  send(bytes: Uint8Array): void;
  /** Sends a part of the head. */
  sendHead(text: string): void;
  /**
   * The answer is complete.
   *
   * @param status Its status.
   * @param keepAlive Whether the connection stays open.
   */
  onEnd(status: number, keepAlive: boolean): void;
  /** The program used a response that has ended: sets the last-error code 7106. */
  onMisuse(): void;
  /** The program closes the connection. */
  close(): boolean;
}

/**
 * An answer (Swoole page "Http\Response"). Headers go out with the first `write()` or with `end()`.
 *
 * @example
 * ```ts
 * import { HttpServer } from "@sluice/server";
 *
 * const server = new HttpServer("127.0.0.1", 0);
 * server.on("request", (_request, response) => {
 *   response.status(201);
 *   response.header("Content-Type", "application/json");
 *   response.end('{"made":true}');
 * });
 * await server.start();
 * const answer = await fetch(`http://127.0.0.1:${server.port}/`);
 * console.assert(answer.status === 201 && (await answer.json()).made);
 * server.shutdown();
 * ```
 */
export class HttpResponse {
  /** The connection it goes to. */
  readonly fd: number;

  readonly #target: ResponseTarget;
  #status = 200;
  #reason: string | undefined = undefined;
  #fields: [name: string, value: string][] = [];
  #headSent = false;
  #streamed = false;
  #chunked = false;
  #ended = false;
  #detached = false;

  /** Made by the server. */
  constructor(fd: number, target: ResponseTarget) {
    this.fd = fd;
    this.#target = target;
  }

  /** Whether the answer can still be written: it has not ended and the peer is there. */
  isWritable(): boolean {
    return !this.#ended && this.#target.isOpen;
  }

  /** Whether the answer has ended, or the program took it over with `detach()`. @internal */
  get isSettled(): boolean {
    return this.#ended || this.#detached;
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
   * @param name The name, sent as it is spelled here.
   * @param value The value. `Server` and `Date` replace the built-in ones, and leave them out when empty.
   * @returns `false` when the answer has begun; `getLastError()` of the server then tells 7106.
   * @throws {TypeError} If the name is no token, or a value holds a control character: a header cannot be split in two.
   */
  header(name: string, value: string | number | readonly string[]): boolean {
    if (this.#begun()) return false;
    const values = Array.isArray(value) ? value as readonly string[] : [String(value)];
    if (!isToken(name)) throw new TypeError(`Cannot set a header: ${JSON.stringify(name)} is not a header name`);
    for (const one of values) {
      if (!isFieldValue(one)) throw new TypeError(`Cannot set the header ${name}: the value has a character that is not allowed`);
    }
    const lower = name.toLowerCase();
    if (lower === "transfer-encoding") throw new TypeError("Cannot set Transfer-Encoding: write() chooses it");
    this.#fields = this.#fields.filter(([other]) => other.toLowerCase() !== lower);
    for (const one of values) this.#fields.push([name, one]);
    return true;
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

  /**
   * Sends the answer to another address.
   *
   * @param url The value of `Location`.
   * @param code The status, 302 unless given.
   */
  redirect(url: string, code = 302): boolean {
    return this.status(code) && this.header("Location", url) && this.end();
  }

  /**
   * Sends a part of the body; the parts travel chunked (RFC 9112 section 7.1).
   *
   * @param data Text or octets. The octets may not be changed afterwards.
   * @returns `false` when the answer has ended or the peer is gone.
   */
  write(data: string | Uint8Array): boolean {
    if (this.#finished()) return false;
    const bytes = toBytes(data);
    if (!this.#headSent) {
      this.#streamed = true;
      this.#chunked = this.#target.takesChunks; // an HTTP/1.0 peer reads until the connection ends
      this.#sendHead(undefined);
    }
    if (bytes.length > 0 && this.#hasBody()) {
      if (this.#chunked) this.#target.sendHead(`${bytes.length.toString(16)}\r\n`);
      this.#target.send(bytes);
      if (this.#chunked) this.#target.sendHead("\r\n");
    }
    return true;
  }

  /**
   * Sends the answer, or the rest of it after `write()`.
   *
   * @param data The body, or its last part.
   * @returns `false` when the answer has ended before or the peer is gone.
   */
  end(data: string | Uint8Array = ""): boolean {
    if (this.#finished()) return false;
    if (this.#headSent) {
      if (data.length > 0) this.write(data);
      if (this.#chunked && this.#hasBody()) this.#target.sendHead("0\r\n\r\n");
    } else {
      const bytes = toBytes(data);
      this.#sendHead(bytes.length);
      if (bytes.length > 0 && this.#hasBody()) this.#target.send(bytes);
    }
    this.#ended = true;
    this.#target.onEnd(this.#status, this.#keepAlive());
    return true;
  }

  /** Lets the handler return without an answer, which is to come later. Without it that would be a 500. */
  detach(): boolean {
    if (this.#ended) return false;
    return this.#detached = true;
  }

  /** Closes the connection. */
  close(): boolean {
    this.#ended = true;
    return this.#target.close();
  }

  /** Ends with 101. What the program has set comes behind these headers, or in their place. @internal */
  switchProtocols(headers: readonly (readonly [name: string, value: string])[]): void {
    const own = this.#fields;
    this.#fields = [];
    this.status(101);
    for (const [name, value] of headers) this.header(name, value);
    for (const [name] of own) this.#fields = this.#fields.filter(([other]) => other.toLowerCase() !== name.toLowerCase());
    this.#fields.push(...own);
    this.end();
  }

  /** It was used after it ended: notes the last-error code 7106. @internal */
  protected onMisuse(): void {
    this.#target.onMisuse();
  }

  #begun(): boolean {
    if (!this.#ended && !this.#headSent) return false;
    this.onMisuse();
    return true;
  }

  #finished(): boolean {
    if (!this.#ended && this.#target.isOpen) return false;
    this.onMisuse();
    return true;
  }

  #has(name: string): boolean {
    return this.#fields.some(([other]) => other.toLowerCase() === name);
  }

  /** RFC 9110 section 6.4.1: no body after HEAD, nor with 101, 204 and 304. */
  #hasBody(): boolean {
    return !this.#target.isHead && !isBodiless(this.#status);
  }

  #keepAlive(): boolean {
    if (!this.#target.keepAlive || (this.#streamed && !this.#chunked && this.#hasBody())) return false;
    // A program that says `Connection: close` means it (RFC 9112 section 9.6).
    return !this.#has("connection") || !this.#connectionOptions().some((option) => option.toLowerCase() === "close");
  }

  /** The values of the program's `Connection`. */
  #connectionOptions(): string[] {
    const options = this.#fields.filter(([name]) => name.toLowerCase() === "connection").map(([, value]) => value).join();
    return options.split(",").map((option) => option.trim()).filter((option) => option !== "");
  }

  /** The value of `Connection`: what will be, whatever the program thinks. */
  #connectionField(): string {
    const options = this.#connectionOptions().filter((option) => !/^(?:close|keep-alive)$/i.test(option));
    // RFC 9110 section 7.8: who sends Upgrade names it here, so that no proxy passes it on.
    if (this.#has("upgrade") && !options.some((option) => option.toLowerCase() === "upgrade")) options.push("Upgrade");
    if (this.#status !== 101) options.push(this.#keepAlive() ? "keep-alive" : "close");
    return options.join(", ");
  }

  /** @param length The length of the whole body; `undefined` when parts follow. */
  #sendHead(length: number | undefined): void {
    const status = this.#status;
    let text = `HTTP/1.1 ${status} ${this.#reason ?? reasonPhrase(status)}\r\n`;
    let connection = false;
    for (const [name, value] of this.#fields) {
      const lower = name.toLowerCase();
      if (value === "" && (lower === "server" || lower === "date")) continue;
      // The length of what is sent is known better here; a program's own only counts where it stands for what is not sent
      // (RFC 9110 section 8.6).
      if (lower === "content-length" && (this.#hasBody() || status === 101 || status === 204)) continue;
      if (lower !== "connection") text += `${name}: ${value}\r\n`;
      else if (!connection) text += `${name}: ${this.#connectionField()}\r\n`;
      connection ||= lower === "connection";
    }
    if (!this.#has("server")) text += "Server: sluice\r\n";
    if (!this.#has("date")) text += `Date: ${this.#target.date}\r\n`;
    if (!connection) {
      if (this.#has("upgrade")) text += `Connection: ${this.#connectionField()}\r\n`;
      else if (status !== 101) text += `Connection: ${this.#keepAlive() ? "keep-alive" : "close"}\r\n`;
    }
    if (!isBodiless(status)) {
      if (!this.#has("content-type")) text += "Content-Type: text/html\r\n";
      if (!this.#hasBody() && this.#has("content-length")) { /* the program's own was sent */ }
      else if (this.#chunked) text += "Transfer-Encoding: chunked\r\n";
      else if (length !== undefined) text += `Content-Length: ${length}\r\n`;
    }
    this.#headSent = true;
    this.#target.sendHead(text + "\r\n");
  }
}

function isBodiless(status: number): boolean {
  return status === 101 || status === 204 || status === 304;
}

function toBytes(data: string | Uint8Array): Uint8Array {
  if (typeof data === "string") return encoder.encode(data);
  if (data instanceof Uint8Array) return data;
  throw new TypeError(`Cannot send a value of type ${typeof data}: a string or a Uint8Array is needed`);
}
