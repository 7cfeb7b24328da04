/**
 * HTTP on one connection: requests in, answers out, in order (RFC 9112 section 9.3).
 *
 * @module
 */

import type { Connection, Protocol } from "../connection.ts";
import type { HttpFailure, RequestHead } from "../http/head.ts";
import { HttpRequest } from "../http/request.ts";
import { type RequestLimits, RequestParser } from "../http/request_parser.ts";
import { HttpResponse, type ResponseTarget } from "../http/response.ts";
import { reasonPhrase } from "../http/status.ts";
import type { Compression } from "../websocket/deflate/compression.ts";
import { hasToken, isUpgrade, type Refusal } from "../websocket/handshake.ts";

/** What the sessions of one server share. Times in milliseconds; 0 turns one off. */
export interface HttpHost {
  /** What a peer may send. */
  readonly requestLimits: RequestLimits;
  /** How long the head and the body of a request may take to arrive. */
  readonly requestTimeout: number;
  /** How long a connection may wait for its next request. */
  readonly keepAliveTimeout: number;
  /** Milliseconds since 1970, coarse. */
  readonly now: number;
  /** The value for `Date`. */
  readonly date: string;
  /** Whether upgrade requests are handshakes here. */
  readonly takesUpgrades: boolean;
  /** Makes the response object of a request. */
  makeResponse(session: HttpSession, request: HttpRequest): HttpResponse;
  /** Answers a request. The promise, if any, settles when the handler is done. */
  onRequest(request: HttpRequest, response: HttpResponse): void | Promise<void>;
  /** Answers a handshake. */
  onUpgrade(session: HttpSession, request: HttpRequest, response: HttpResponse): void | Promise<void>;
  /** A handshake was answered with 101: makes the protocol that the connection speaks from now on. */
  onSwitch(session: HttpSession): Protocol;
  /** A request was answered. */
  onAnswered(): void;
  /** Notes a last-error code. */
  setError(code: number): void;
}

const NO_BODY = new Uint8Array(0);

/** The HTTP protocol of one connection. */
export class HttpSession implements Protocol, ResponseTarget {
  /** The connection. */
  readonly connection: Connection;
  /** The compression that a handshake has agreed on. */
  compression: Compression | undefined = undefined;
  /** Swoole's `websocket_status` of a connection that is no WebSocket (yet): 0, 1 or 2; 5 after a refusal. */
  status = 0;

  readonly #host: HttpHost;
  readonly #parser: RequestParser;
  #head: RequestHead | undefined = undefined; // of the request that is being answered
  #response: HttpResponse | undefined = undefined;
  #held: Uint8Array | undefined = undefined; // what arrived behind that request
  #heldAt = 0;
  #headChecked = false;
  #reading = false;
  #peerEnded = false;
  #dismissed = false;
  #over = false;

  constructor(connection: Connection, host: HttpHost) {
    this.connection = connection;
    this.#host = host;
    this.#parser = new RequestParser(host.requestLimits);
    connection.deadline = deadlineIn(host.requestTimeout, host.now);
  }

  // ---- Protocol -----------------------------------------------------------------------------------------------------

  receive(chunk: Uint8Array, at: number): void {
    if (this.#response !== undefined || this.#held !== undefined) return this.#hold(chunk, at);
    this.#reading = true;
    while (at < chunk.length && !this.#over) {
      const begun = this.#parser.begun;
      at = this.#parser.receive(chunk, at);
      if (!begun && this.#parser.begun) this.connection.deadline = deadlineIn(this.#host.requestTimeout, this.#host.now);
      if (this.#parser.failure !== undefined) {
        this.#refuse(this.#parser.failure);
        break;
      }
      if (this.#parser.head !== undefined && !this.#headChecked) {
        this.#headChecked = true;
        if (this.#host.takesUpgrades && isUpgrade(this.#parser.head)) {
          this.#beginUpgrade(this.#parser.head, chunk, at);
          break;
        }
        const { header, version } = this.#parser.head;
        // RFC 9110 section 10.1.1: the client waits for this before it sends the body.
        if (version === "1.1" && hasToken(header["expect"], "100-continue") && !this.#parser.complete && at === chunk.length) {
          this.sendHead("HTTP/1.1 100 Continue\r\n\r\n");
        }
      }
      if (!this.#parser.complete) continue;
      this.#answer();
      // One request is answered at a time; and none while the client does not read the answers.
      if (this.#response !== undefined || this.connection.isFull) {
        this.#hold(chunk, at);
        break;
      }
    }
    this.#reading = false;
    if (this.#peerEnded && this.#response === undefined && this.#held === undefined && !this.#over) this.connection.end(false);
  }

  receiveEnd(): void {
    // A client may half-close after its request and wait for the answer.
    this.#peerEnded = true;
    if (this.#response === undefined && this.#held === undefined) this.connection.end(false);
  }

  onDeadline(_now: number): void {
    if (this.#response !== undefined) return; // the program may take its time
    if (this.#parser.begun) this.#refuseWith(408, "the request took too long");
    this.connection.end(false);
  }

  onFault(cause?: unknown): void {
    this.#dismissed = true; // this connection ends, here or after the answer
    const response = this.#response;
    if (response !== undefined && cause instanceof HttpResponse && cause !== response) return; // a late failure of an earlier one
    if (response === undefined) return this.connection.end(true); // it has answered before it failed
    if (response.headSent) return this.connection.abort(); // the peer sees that the answer was cut off
    response.status(500);
    response.end();
  }

  /** The server stops: ends after the answer that is being made. */
  dismiss(): void {
    if (this.#response === undefined) this.connection.end(true);
    else this.#dismissed = true;
  }

  onClosed(): void {
    this.#over = true;
    this.#held = undefined;
  }

  // ---- reading ------------------------------------------------------------------------------------------------------

  #hold(chunk: Uint8Array, at: number): void {
    if (at >= chunk.length || this.#over) return;
    if (this.#held === undefined) {
      this.#held = chunk;
      this.#heldAt = at;
    } else {
      // A chunk that was on its way when reading was paused.
      const rest = this.#held.subarray(this.#heldAt);
      const joined = new Uint8Array(rest.length + chunk.length - at);
      joined.set(rest);
      joined.set(chunk.subarray(at), rest.length);
      this.#held = joined;
      this.#heldAt = 0;
    }
    this.connection.pause();
  }

  /** Reads what was held back. */
  #goOn(): void {
    const held = this.#held;
    this.#held = undefined;
    this.connection.resume();
    if (held !== undefined) this.connection.gather(() => this.receive(held, this.#heldAt));
    else if (this.#peerEnded) this.connection.end(false);
  }

  onDrain(): void {
    // Not from inside of a flush, which this may have been called from.
    if (this.#held === undefined || this.#response !== undefined) return;
    queueMicrotask(() => {
      if (this.#response === undefined && !this.#over && !this.connection.isFull) this.#goOn();
    });
  }

  #answer(): void {
    const head = this.#head = this.#parser.head!;
    const request = new HttpRequest(head, this.#parser.body, this.connection);
    const response = this.#response = this.#host.makeResponse(this, request);
    this.#parser.next();
    this.#headChecked = false;
    this.connection.deadline = 0;
    this.#settle(response, this.#host.onRequest(request, response));
  }

  #beginUpgrade(head: RequestHead, chunk: Uint8Array, at: number): void {
    this.#head = head;
    this.status = 1;
    const request = new HttpRequest(head, NO_BODY, this.connection);
    const response = this.#response = this.#host.makeResponse(this, request);
    this.connection.deadline = deadlineIn(this.#host.requestTimeout, this.#host.now);
    if (head.bodyLength !== 0) return refuse(response, { status: 400, reason: "a WebSocket handshake has no body" });
    this.#hold(chunk, at);
    this.#settle(response, this.#host.onUpgrade(this, request, response));
  }

  /** Sees to it that a handler that is done has answered. */
  #settle(response: HttpResponse, done: void | Promise<void>): void {
    if (done === undefined) this.#afterHandler(response);
    else done.then(() => this.connection.gather(() => this.#afterHandler(response)));
  }

  #afterHandler(response: HttpResponse): void {
    if (response.isSettled || this.#over) return;
    if (response.headSent) return this.connection.abort(); // what was sent is not the whole, and the peer has to see that
    response.status(500);
    response.end();
  }

  /** Turns the connection into another protocol. What has arrived behind the handshake goes there, after this turn. */
  #switch(): void {
    const { connection } = this;
    const held = this.#held;
    this.#held = this.#response = undefined;
    this.#over = true;
    const protocol = connection.protocol = this.#host.onSwitch(this);
    if (held === undefined && !this.#peerEnded) return;
    queueMicrotask(() => {
      if (!connection.isOpen) return;
      if (held !== undefined) {
        connection.resume();
        connection.gather(() => protocol.receive(held, this.#heldAt));
      }
      if (this.#peerEnded && connection.isOpen) connection.gather(() => connection.protocol.receiveEnd());
    });
  }

  // ---- refusing -----------------------------------------------------------------------------------------------------

  #refuse(failure: HttpFailure): void {
    this.#refuseWith(failure.status, failure.reason);
    this.connection.end(false);
  }

  /** Answers what is no request for a handler, and ends: after a doubt nothing is read any more (RFC 9112 section 9.6). */
  #refuseWith(status: number, reason: string): void {
    this.sendHead(
      `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\nServer: sluice\r\nDate: ${this.date}\r\n` +
        `Connection: close\r\nContent-Type: text/plain\r\nContent-Length: ${reason.length}\r\n\r\n${reason}`,
    );
  }

  // ---- ResponseTarget -----------------------------------------------------------------------------------------------

  get isOpen(): boolean {
    return !this.#over && this.connection.isOpen;
  }

  get keepAlive(): boolean {
    const head = this.#head!;
    return head.version === "1.1" && !hasToken(head.header["connection"], "close") &&
      !this.isUpgrade && !this.#dismissed;
  }

  get isHead(): boolean {
    return this.#head!.method === "HEAD";
  }

  get takesChunks(): boolean {
    return this.#head!.version === "1.1";
  }

  get isUpgrade(): boolean {
    return this.status !== 0;
  }

  get date(): string {
    return this.#host.date;
  }

  send(bytes: Uint8Array): void {
    const { connection } = this;
    if (bytes.length > 32 * 1024) return connection.append(bytes);
    const at = connection.reserve(bytes.length);
    connection.memory.set(bytes, at);
    connection.commit(bytes.length);
  }

  sendHead(text: string): void {
    const { connection } = this;
    const at = connection.reserve(text.length);
    const { memory } = connection;
    for (let i = 0; i < text.length; i++) memory[at + i] = text.charCodeAt(i);
    connection.commit(text.length);
  }

  onEnd(status: number, keepAlive: boolean): void {
    if (status === 101) return this.#switch();
    this.#response = undefined;
    this.#host.onAnswered();
    if (this.isUpgrade) this.status = 5;
    if (!keepAlive || this.#over) return this.connection.end(true);
    this.connection.deadline = deadlineIn(this.#host.keepAliveTimeout, this.#host.now);
    if (!this.#reading && !this.connection.isFull) this.#goOn();
  }

  onMisuse(): void {
    this.#host.setError(7106);
  }

  close(): boolean {
    if (!this.isOpen) return false;
    this.connection.end(true);
    return true;
  }
}

/** When a timeout is up; 0, for never, when there is none. */
function deadlineIn(timeout: number, now: number): number {
  return timeout === 0 ? 0 : now + timeout;
}

/** Refuses a request with a status and a line that says why. */
export function refuse(response: HttpResponse, { status, reason }: Refusal): void {
  if (status === 426) {
    response.header("Upgrade", "websocket"); // RFC 9110 section 15.5.22
    response.header("Sec-WebSocket-Version", "13"); // RFC 6455 section 4.4
  }
  response.status(status);
  response.header("Content-Type", "text/plain");
  response.end(reason);
}
