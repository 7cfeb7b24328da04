/**
 * HTTP on one connection: requests in, responses out in the same order (RFC 9112 section 9.3), and the time limits of both.
 *
 * @module
 */

import { appendLatin1 } from "../../transport/bytes.ts";
import type { Connection, Protocol } from "../../transport/connection.ts";
import { type ConnectionEnd, type EndCause, timedOut } from "../../transport/connection_end.ts";
import { deadlineIn } from "../../transport/deadlines.ts";
import type { BaseResponse } from "../../http/base_response.ts";
import type { RequestHead } from "../../http/request_head.ts";
import { expectsContinue, isMultipart, isUpgrade, RequestParser } from "../../http/request_parser.ts";
import { nextTurn } from "../../transport/current_runtime.ts";
import { Exchange, type ExchangeSession, type HttpRefusal } from "./exchange.ts";
import { completeBehind, completeUnfinished, expire, handleRequest } from "./handling.ts";
import type { HttpContext } from "./http_context.ts";
import { type HttpState, ReadAhead, ReadDeadline } from "./session_state.ts";
import { quotedRequest } from "../log.ts";
import { refusal, refuse, RETRY_LATER, SHORT_OF_MEMORY } from "./error_response.ts";

/** The number of requests that one connection handles per turn. */
const REQUESTS_PER_TURN = 256;

const STOPPING: EndCause = { reason: "the server stops" };

/** The HTTP protocol of one connection. */
export class HttpSession implements Protocol, ExchangeSession {
  /** The connection. */
  readonly connection: Connection;
  /** What it shares with the other HTTP connections of the port. */
  readonly context: HttpContext;
  status = 0;

  readonly #parser: RequestParser;
  #state: HttpState = "idle";
  #exchange: Exchange | undefined = undefined; // in the states uploading, handling and handshake
  #ahead: ReadAhead | undefined = undefined;
  readonly #readBy: ReadDeadline = new ReadDeadline();
  #lastHeard: number; // when bytes last arrived
  #isReading = false; // whether `#read()` is running
  #isTurnOver = false; // many requests arrived at once, and others have their turn
  #isPaused = false;
  #isClosing = false; // after the pending response
  #cause: EndCause | undefined = undefined; // of closing
  #peerEnded = false; // with `http_allow_half_open`

  constructor(connection: Connection, context: HttpContext) {
    this.connection = connection;
    this.context = context;
    this.#parser = new RequestParser(context.requestLimits);
    this.#lastHeard = context.now;
    this.#readBy.begin(context.headerTimeout, context.now);
    connection.deadline = this.#readBy.at;
  }

  /** Whether a response of the program is pending. */
  get isAnswering(): boolean {
    return this.#exchange?.isOwnPage === false;
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  get hasMore(): boolean {
    return this.#ahead !== undefined && this.#ahead.size > 0;
  }

  /** Whether no request is arriving or pending. */
  get isIdle(): boolean {
    return this.#state === "idle" && !this.hasMore;
  }

  closeBehind(cause: EndCause): void {
    this.#isClosing = true;
    this.#cause = cause;
  }

  get isPlainHttp(): boolean {
    return this.status === 0;
  }

  /** The pending response, if the program has detached it. */
  get detached(): BaseResponse | undefined {
    return this.#exchange?.writer.isDetached ? this.#exchange.response : undefined;
  }

  // ---- Protocol: reading --------------------------------------------------------------------------------------------

  get sendTimeout(): number {
    return this.context.sendTimeout;
  }

  receive(chunk: Uint8Array, at: number): void {
    this.#lastHeard = this.connection.lastReceived;
    at = this.#read(chunk, at);
    if (at < chunk.length && this.#isWanted) (this.#ahead ??= new ReadAhead()).add(chunk, at);
    if (this.#isSwitched) this.#passOn();
    else this.#updateReading();
  }

  receiveEnd(): void {
    const isPending = this.#state === "handling" || this.#state === "draining" || this.#isTurnOver;
    if (this.context.allowsHalfOpen && isPending) this.#peerEnded = true;
    else this.connection.end(false); // the client disconnected: flush the output, then close
  }

  /** Whether arriving bytes can be parsed now: not while a complete request has a pending response, nor when a turn is over. */
  get #readsRequests(): boolean {
    const state = this.#state;
    if (this.#isTurnOver) return false;
    return state === "idle" || state === "head" || state === "body" || state === "uploading";
  }

  /** Whether bytes that cannot be parsed now may be parsed later. */
  get #isWanted(): boolean {
    if (this.#state === "over") return this.#isSwitched;
    return this.#state !== "handling" || !this.#isClosing;
  }

  /** Parses requests until one has a pending response. Returns the index after the last byte read. */
  #read(chunk: Uint8Array, at: number): number {
    const parser = this.#parser;
    this.#isReading = true;
    for (let requests = 0; at < chunk.length && this.#readsRequests;) {
      const from = at;
      if (this.#state === "idle" && ++requests > REQUESTS_PER_TURN) {
        this.#endTurn();
        break;
      }
      at = parser.receive(chunk, at);
      if (this.#state === "uploading") {
        this.#onUploaded(at - from);
      } else if (parser.failure !== undefined) {
        this.#refuse(parser.failure);
      } else if (this.#state === "body") {
        if (parser.complete) this.#begin(parser.head!, parser.body);
        else this.#onBodyBytes(at - from);
      } else if (parser.head !== undefined) {
        at = this.#onHead(parser.head, chunk, at);
      } else if (this.#state === "idle" && parser.begun) {
        this.#state = "head";
        this.#waitForBytes(this.context.headerTimeout);
      }
    }
    this.#isReading = false;
    return at;
  }

  /** Lets other connections have their turn before the next request, because many arrived at once. */
  #endTurn(): void {
    this.#isTurnOver = true;
    nextTurn(() => {
      this.#isTurnOver = false;
      if (this.#readsRequests) this.connection.gather(() => this.#readOn());
    });
  }

  /** Reads the bytes that were held back, in the state idle. */
  #readOn(): void {
    const { connection } = this;
    const ahead = this.#ahead;
    if (ahead?.size) connection.gather(() => ahead.consume((bytes, at) => this.#read(bytes, at)));
    if (this.#isSwitched) return this.#passOn();
    if (this.#peerEnded && this.#exchange === undefined && this.#state !== "draining" && !this.#isTurnOver) connection.end(false);
    this.#updateReading();
  }

  /** Pauses or resumes the connection, depending on the bytes held. */
  #updateReading(): void {
    const state = this.#state;
    if (state === "over") return;
    const isFull = state === "uploading" ? this.#exchange!.upload!.isPaused : this.#ahead !== undefined && this.#ahead.isFull;
    if (isFull !== this.#isPaused) {
      this.#isPaused = isFull;
      if (isFull) this.connection.pause();
      else this.connection.resume();
    }
    // A client that disconnects is not noticed while reading is paused: limit that time.
    if (isFull && state === "handling" && this.#readBy.at === 0) this.#waitForBytes(this.context.bodyTimeout);
  }

  /** Drops the bytes after a pending request, so that reading can resume. The connection closes after its response. */
  #dropAhead(): void {
    this.#isClosing = true;
    this.#ahead = undefined;
    this.#readBy.clear();
    this.#updateReading();
  }

  #onHead(head: RequestHead, chunk: Uint8Array, at: number): number {
    const { context } = this;
    const parser = this.#parser;
    if (parser.complete) {
      this.#begin(head, parser.body);
    } else if ((context.streamsBodies || (context.forms?.streamed === true && isMultipart(head))) && !this.#isHandshake(head)) {
      return this.#beginUpload(head, chunk, at);
    } else {
      // The client waits for this before it sends the body (RFC 9110 section 10.1.1).
      if (at === chunk.length && expectsContinue(head)) appendLatin1(this.connection, "HTTP/1.1 100 Continue\r\n\r\n");
      this.#state = "body";
      this.#waitForBytes(context.bodyTimeout);
    }
    return at;
  }

  // ---- exchanges ----------------------------------------------------------------------------------------------------

  #isHandshake(head: RequestHead): boolean {
    return this.context.application.onUpgrade !== undefined && isUpgrade(head);
  }

  /** @param body The body; `undefined` if it has yet to arrive. */
  #makeExchange(head: RequestHead, body: Uint8Array | undefined, isUpgrade: boolean): Exchange {
    return this.#exchange = new Exchange(this, this.context, head, body, isUpgrade);
  }

  /** Begins the exchange of a request that has arrived completely. */
  #begin(head: RequestHead, body: Uint8Array): void {
    if (this.context.isShortOfMemory) return this.#refuse({ status: 503, reason: SHORT_OF_MEMORY });
    if (this.#isHandshake(head)) return this.#beginHandshake(head, body);
    const exchange = this.#makeExchange(head, body, false);
    this.#parser.next();
    this.#state = "handling";
    this.#readBy.clear();
    handleRequest(exchange, this.context);
  }

  #beginHandshake(head: RequestHead, body: Uint8Array): void {
    this.status = 1;
    const exchange = this.#makeExchange(head, body, true);
    this.#state = "handshake";
    this.#readBy.clear();
    exchange.deadline = deadlineIn(this.context.handshakeTimeout, this.context.now);
    this.#schedule();
    const denial = this.context.refuseHandshake(exchange);
    if (denial !== undefined) {
      this.closeBehind({ reason: denial.reason });
      return refuse(exchange.writer, { status: 503, ...denial });
    }
    completeBehind(exchange, this.context, this.context.application.onUpgrade!(exchange));
  }

  /** Begins the exchange of a request whose body is still arriving. Returns the index after the bytes read. */
  #beginUpload(head: RequestHead, chunk: Uint8Array, at: number): number {
    const parser = this.#parser;
    const exchange = this.#makeExchange(head, undefined, false);
    const upload = exchange.upload!;
    parser.onBody = (bytes, start, end) => upload.push(bytes, start, end);
    upload.clientWaits = at === chunk.length && expectsContinue(head);
    this.#state = "uploading";
    this.#waitForBytes(this.context.bodyTimeout);
    // Read the available bytes first: a short body is then complete before the handler is called.
    const from = at;
    while (at < chunk.length && !parser.complete && parser.failure === undefined) at = parser.receive(chunk, at);
    this.#onUploaded(at - from);
    if (!exchange.isOver) handleRequest(exchange, this.context);
    return at;
  }

  /** Checks the result of parsing body bytes: a refusal, the end of the body, or neither. */
  #onUploaded(bytes: number): void {
    const upload = this.#exchange!.upload!;
    const { failure } = this.#parser;
    if (failure !== undefined) {
      upload.fail(failure.reason);
      return this.refuseUpload(failure, false);
    }
    if (!this.#parser.complete) return this.#onBodyBytes(bytes);
    this.#parser.next();
    this.#state = "handling";
    this.#readBy.clear();
    upload.finish();
  }

  onUploadPauseChange(): void {
    if (this.#state !== "uploading") return;
    const { context } = this;
    if (this.#exchange!.upload!.isPaused) this.#readBy.suspend(context.now);
    else this.#readBy.resume(context.now);
    this.#schedule();
    this.#updateReading();
  }

  onReleased(exchange: Exchange): void {
    this.connection.gather(() => completeUnfinished(exchange, this.context));
  }

  onComplete(exchange: Exchange, status: number, keepAlive: boolean): void {
    this.context.onAnswered(exchange, status);
    if (status === 101) return this.#switch(exchange);
    const { connection, context } = this;
    this.#exchange = undefined;
    if (exchange.isUpgrade) this.status = 5;
    if (!keepAlive || this.#isClosing) return connection.end(true, this.#cause);
    this.#waitForBytes(context.keepAliveTimeout);
    this.#state = connection.isFull ? "draining" : "idle";
    if (!this.#isReading && this.#state === "idle") this.#readOn();
  }

  onDrain(): void {
    if (this.#state !== "draining") return;
    this.#state = "idle";
    this.#readOn();
  }

  /** Changes to another protocol. */
  #switch(exchange: Exchange): void {
    const { connection } = this;
    this.#exchange = undefined;
    this.#state = "over";
    connection.protocol = this.context.application.onSwitch!(exchange);
    if (this.#isPaused) connection.resume();
    if (!this.#isReading) this.#passOn();
  }

  get #isSwitched(): boolean {
    return this.connection.protocol !== this;
  }

  /** Passes the bytes after a handshake to the new protocol, after this turn. */
  #passOn(): void {
    const { connection } = this;
    const rest = this.#ahead?.take();
    this.#ahead = undefined;
    if (rest === undefined) return;
    queueMicrotask(() => {
      if (connection.isOpen) connection.gather(() => connection.protocol.receive(rest, 0));
    });
  }

  // ---- Protocol: deadlines and ends ---------------------------------------------------------------------------------

  onDeadline(now: number): void {
    const { connection, context } = this;
    const exchange = this.#exchange;
    const { sendTimeout } = context;
    if (connection.queuedBytes > 0 && sendTimeout > 0 && now >= connection.lastSent + sendTimeout) {
      return connection.abort(false, timedOut("http_send_timeout"));
    }
    if (exchange !== undefined && exchange.deadline !== 0 && now >= exchange.deadline) expire(exchange, context);
    if (this.#readBy.at !== 0 && this.#state !== "over") {
      if (!connection.isPaused && connection.lastReceived > this.#lastHeard) { // reading was resumed since then
        this.#lastHeard = connection.lastReceived;
        this.#readBy.begin(this.#timeout, connection.lastReceived);
      }
      const isDue = now >= this.#readBy.at;
      if (this.#state === "handling") { if (isDue && this.#isPaused) this.#dropAhead(); }
      else if (!connection.isPaused && isDue) this.#onOverdue(now);
    }
    this.#schedule(connection.queuedBytes > 0 ? connection.lastSent : now);
  }

  /** The time that the client may take in the current state. */
  get #timeout(): number {
    const { context } = this;
    if (this.#state === "body" || this.#state === "uploading") return context.bodyTimeout;
    return this.#state === "head" || this.connection.lastSent === 0 ? context.headerTimeout : context.keepAliveTimeout;
  }

  /** Sets the deadline for the client's next bytes. */
  #waitForBytes(timeout: number): void {
    const { now } = this.context;
    this.#readBy.begin(timeout, now);
    this.#schedule(now);
  }

  #onBodyBytes(bytes: number): void {
    const { bodyTimeout, bodyMinRate, now } = this.context;
    this.#readBy.extend(bytes, bodyTimeout, bodyMinRate, now); // `onDeadline()` sees that it is later now
  }

  onDeadlineChange(): void {
    this.#schedule();
  }

  /**
   * Sets the next deadline of the connection: at the latest when the client must have taken pending output.
   *
   * @param since When the output may have begun to wait.
   */
  #schedule(since = this.context.now): void {
    const { connection, context } = this;
    if (this.#state === "over") return;
    let due = this.#readBy.at;
    const end = this.#exchange?.deadline ?? 0;
    if (end !== 0 && (due === 0 || end < due)) due = end;
    if (context.sendTimeout > 0) {
      const look = since + context.sendTimeout;
      if (due === 0 || look < due) due = look;
    }
    connection.deadline = due;
  }

  #onOverdue(now: number): void {
    const { connection, context } = this;
    if (this.#state === "head") {
      this.#refuse({ status: 408, reason: "the request took too long" }, timedOut("http_header_timeout"));
    } else if (this.#state === "body") {
      this.#refuse({ status: 408, reason: "the body took too long" }, timedOut("http_body_timeout"));
    } else if (this.#state === "uploading") {
      this.#exchange!.upload!.fail("it takes too long to arrive");
      this.refuseUpload({ status: 408, reason: "the body took too long" }, true, timedOut("http_body_timeout"));
    } else {
      // The idle time counts from the last response on.
      const since = connection.queuedBytes > 0 ? now : connection.lastSent;
      this.#readBy.begin(context.keepAliveTimeout, since);
      if (since === 0) connection.end(false, timedOut("http_header_timeout"));
      else if (this.#readBy.at <= now) connection.end(false, { reason: "the connection was idle" });
    }
  }

  get heldBytes(): number {
    return this.#parser.heldBytes + (this.#ahead?.heldBytes ?? 0) + (this.#exchange?.heldBytes ?? 0);
  }

  get unfinishedBytes(): number {
    if (this.#state === "handling") return this.#ahead?.heldBytes ?? 0;
    return this.#state === "handshake" || this.#state === "over" ? 0 : this.heldBytes;
  }

  shed(): boolean {
    const reason = SHORT_OF_MEMORY;
    if (this.#state === "draining") {
      this.connection.end(true, { reason });
      return false;
    }
    if (this.#state === "handling") {
      this.context.onRefused(this.connection, "request", { status: 0, reason }, undefined); // the bytes after the pending request
      this.#dropAhead();
    } else if (this.#state === "uploading") {
      this.#exchange!.upload!.fail(reason);
      this.refuseUpload({ status: 408, reason });
    } else {
      this.#refuse({ status: 408, reason });
    }
    return true;
  }

  describe(cause?: unknown): string {
    const exchange = cause instanceof Exchange ? cause : this.#exchange;
    return exchange === undefined ? "HTTP" : quotedRequest(exchange.head);
  }

  onFault(error: unknown, cause?: unknown): void {
    const exchange = this.#exchange;
    const because = this.#cause = { error };
    this.#isClosing = true; // the connection closes, now or after the response
    if (exchange !== undefined && cause instanceof Exchange && cause !== exchange) return; // an earlier exchange
    if (exchange === undefined) return this.connection.end(true, because); // its response is complete
    if (exchange.writer.headSent) exchange.breakOff(true, because);
    else exchange.writer.fail(500);
  }

  /** Closes the connection because the server stops, after the pending response. */
  close(): void {
    if (this.#exchange === undefined) this.connection.end(true, STOPPING);
    else this.closeBehind(STOPPING);
  }

  onClosed(end: ConnectionEnd): void {
    if (this.#parser.isMidMessage || (this.#state !== "handling" && this.#ahead?.size)) end.isOrderly = false;
    this.#state = "over";
    this.#ahead = undefined;
    this.#parser.dispose();
    const exchange = this.#exchange;
    this.#exchange = undefined;
    if (exchange === undefined) return;
    end.isOrderly = false;
    this.context.onCutOff(exchange, end);
    exchange.cutOff();
  }

  // ---- refusing -----------------------------------------------------------------------------------------------------

  /** Refuses bytes that are not a request for a handler, and closes: nothing more is read (RFC 9112 section 9.6). */
  #refuse(failure: HttpRefusal, cause?: EndCause): void {
    const { status, reason } = failure;
    const text = refusal(status, reason, this.context.date, status === 503 ? RETRY_LATER : "");
    this.context.onRejected(this.connection, failure, this.#parser.head, text.length);
    appendLatin1(this.connection, text);
    this.connection.end(false, { reason, error: cause?.error });
  }

  refuseUpload(failure: HttpRefusal, byServer = true, cause?: EndCause): void {
    const { status, reason } = failure;
    const exchange = this.#exchange!;
    const { writer, head } = exchange;
    exchange.refusedStatus = status;
    const because = { reason, error: cause?.error };
    this.context.onRefused(this.connection, "request", failure, head);
    if (writer.headSent) return exchange.breakOff(true, because);
    this.connection.gather(() => appendLatin1(this.connection, refusal(status, reason, this.context.date)));
    this.connection.end(byServer, because);
  }
}
