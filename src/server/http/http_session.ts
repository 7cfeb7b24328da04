/**
 * HTTP on one connection: requests in, responses out, in order (RFC 9112 section 9.3).
 *
 * @module
 */

import { writeLatin1 } from "../../bytes.ts";
import type { Connection, Protocol } from "../../connection.ts";
import { deadlineIn } from "../../delay.ts";
import type { HttpFailure, RequestHead } from "../../http/head.ts";
import { expectsContinue, isMultipart, RequestParser } from "../../http/request_parser.ts";
import { nextTurn } from "../../runtime.ts";
import type { Compression } from "../../websocket/deflate/compression.ts";
import { isUpgrade } from "../../websocket/handshake.ts";
import { Exchange } from "./exchange.ts";
import { FormReader } from "./form_reader.ts";
import type { HttpHost } from "./http_host.ts";
import { readForm } from "./http_request.ts";
import type { HttpState } from "./http_state.ts";
import { WaitingResponse } from "./http_response.ts";
import { ReadAhead } from "./read_ahead.ts";
import { refusal, refuse } from "./refusal.ts";

/** So many requests of one connection are begun before other connections have their turn. */
const REQUESTS_PER_TURN = 256;

/** The HTTP protocol of one connection. */
export class HttpSession implements Protocol {
  /** The connection. */
  readonly connection: Connection;
  /** What it shares with the other connections of its server. */
  readonly host: HttpHost;
  /** The compression that a handshake has agreed on. */
  compression: Compression | undefined = undefined;
  /** Swoole's `websocket_status` of a connection that is no WebSocket (yet): 0, 1 or 2; 5 after a refusal. */
  status = 0;

  readonly #parser: RequestParser;
  #state: HttpState = "idle";
  #exchange: Exchange | undefined = undefined; // in the states uploading, handling and handshake
  #ahead: ReadAhead | undefined = undefined;
  #readBy: number; // when the client's next bytes are due; 0 for never
  #remaining = 0; // of that time, while we do not read
  #lastHeard: number; // when bytes last arrived
  #isReading = false; // inside of `receive()`
  #isTurnOver = false; // many requests came at once, and others have their turn
  #isPaused = false;
  #isClosing = false; // behind the response that is pending
  #peerEnded = false; // with `http_allow_half_open`

  constructor(connection: Connection, host: HttpHost) {
    this.connection = connection;
    this.host = host;
    this.#parser = new RequestParser(host.requestLimits);
    this.#lastHeard = host.now;
    this.#readBy = connection.deadline = deadlineIn(host.headerTimeout, host.now);
  }

  /** What the connection is doing. */
  get state(): HttpState {
    return this.#state;
  }

  /** Whether a response is pending. */
  get isAnswering(): boolean {
    return this.#exchange !== undefined;
  }

  /** Whether the connection ends behind the response that is pending. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** The response that is pending, if the program has detached it. */
  get detached(): WaitingResponse | undefined {
    return this.#exchange?.response.isDetached ? this.#exchange.response : undefined;
  }

  // ---- Protocol: reading --------------------------------------------------------------------------------------------

  get sendTimeout(): number {
    return this.host.sendTimeout;
  }

  receive(chunk: Uint8Array, at: number): void {
    this.#lastHeard = this.connection.lastReceived;
    if (this.#readsRequests && !this.#ahead?.size) at = this.#read(chunk, at);
    if (at < chunk.length && (this.#state !== "over" || this.#isSwitched)) (this.#ahead ??= new ReadAhead()).add(chunk, at);
    if (this.#isSwitched) this.#passOn();
    else this.#updateReading();
  }

  receiveEnd(): void {
    const isPending = this.#state === "handling" || this.#state === "draining" || this.#isTurnOver;
    if (this.host.allowsHalfOpen && isPending) this.#peerEnded = true;
    else this.connection.end(false); // the client has gone: what was written is sent, and nothing else
  }

  /** Whether bytes that arrive belong to a request that nothing has to be waited for. */
  get #readsRequests(): boolean {
    const state = this.#state;
    if (this.#isTurnOver) return false;
    return state === "idle" || state === "head" || state === "body" || state === "uploading";
  }

  /** Reads requests until there is one whose response has to be waited for. Returns the index behind what was read. */
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
        this.#waitForBytes(this.host.headerTimeout);
      }
    }
    this.#isReading = false;
    return at;
  }

  /** Many requests came at once: the others have their turn before the next one. */
  #endTurn(): void {
    this.#isTurnOver = true;
    nextTurn(() => {
      this.#isTurnOver = false;
      if (this.#readsRequests) this.connection.gather(() => this.#readOn());
    });
  }

  /** Reads what was held back, in the state idle. */
  #readOn(): void {
    const { connection } = this;
    const ahead = this.#ahead;
    if (ahead?.size) connection.gather(() => ahead.consume((bytes, at) => this.#read(bytes, at)));
    if (this.#isSwitched) return this.#passOn();
    if (this.#peerEnded && this.#exchange === undefined && this.#state !== "draining" && !this.#isTurnOver) connection.end(false);
    this.#updateReading();
  }

  /** Reads from the connection, or has the client wait, whatever is right now. */
  #updateReading(): void {
    const state = this.#state;
    if (state === "over") return;
    const isFull = state === "uploading" ? this.#exchange!.upload!.isPaused : this.#ahead !== undefined && this.#ahead.isFull;
    if (isFull === this.#isPaused) return;
    this.#isPaused = isFull;
    if (isFull) this.connection.pause();
    else this.connection.resume();
  }

  #onHead(head: RequestHead, chunk: Uint8Array, at: number): number {
    const { host } = this;
    const parser = this.#parser;
    if (host.takesUpgrades && isUpgrade(head)) {
      this.#beginHandshake(head);
    } else if (parser.complete) {
      this.#begin(head, parser.body);
    } else if (host.streamsBodies || (host.forms?.streamed === true && isMultipart(head))) {
      return this.#beginUpload(head, chunk, at);
    } else {
      // RFC 9110 section 10.1.1: the client waits for this before it sends the body.
      if (at === chunk.length && expectsContinue(head)) this.#sendText("HTTP/1.1 100 Continue\r\n\r\n");
      this.#state = "body";
      this.#waitForBytes(host.bodyTimeout);
    }
    return at;
  }

  // ---- exchanges ----------------------------------------------------------------------------------------------------

  #begin(head: RequestHead, body: Uint8Array): void {
    const exchange = this.#exchange = new Exchange(this, head, body, false);
    this.#parser.next();
    this.#state = "handling";
    this.#readBy = 0;
    this.#start(exchange);
    if (!exchange.isOver) this.#schedule();
  }

  #beginHandshake(head: RequestHead): void {
    this.status = 1;
    const exchange = this.#exchange = new Exchange(this, head, new Uint8Array(0), true);
    this.#state = "handshake";
    this.#readBy = 0;
    exchange.deadline = deadlineIn(this.host.handshakeTimeout, this.host.now);
    this.#schedule();
    if (head.bodyLength !== 0) return refuse(exchange.response, { status: 400, reason: "a WebSocket handshake has no body" });
    this.#settle(exchange, this.host.onUpgrade(this, exchange.request, exchange.response));
  }

  /** Hands a request on whose body is still arriving. Returns where the bytes behind it begin. */
  #beginUpload(head: RequestHead, chunk: Uint8Array, at: number): number {
    const parser = this.#parser;
    const exchange = this.#exchange = new Exchange(this, head, undefined, false);
    const upload = exchange.upload!;
    parser.onBody = (bytes, start, end) => upload.push(bytes, start, end);
    upload.clientWaits = at === chunk.length && expectsContinue(head);
    this.#state = "uploading";
    this.#waitForBytes(this.host.bodyTimeout);
    // What is there belongs to it: a short body is complete before the handler is called.
    const from = at;
    while (at < chunk.length && !parser.complete && parser.failure === undefined) at = parser.receive(chunk, at);
    this.#onUploaded(at - from);
    if (!exchange.isOver) this.#start(exchange);
    return at;
  }

  /** Looks at what bytes of a body have led to: a refusal, the end of the body, or nothing. */
  #onUploaded(bytes: number): void {
    const upload = this.#exchange!.upload!;
    const { failure } = this.#parser;
    if (failure !== undefined) {
      upload.fail(failure.reason);
      return this.refuseUpload(failure.status, failure.reason, false);
    }
    if (!this.#parser.complete) return this.#onBodyBytes(bytes);
    this.#parser.next();
    this.#state = "handling";
    this.#readBy = this.#remaining = 0;
    this.#schedule();
    upload.finish();
    this.#updateReading();
  }

  /** A body that is read while it arrives is full, or has room again. */
  onUploadPauseChange(): void {
    if (this.#state !== "uploading") return;
    const { host } = this;
    if (this.#exchange!.upload!.isPaused) {
      this.#remaining = this.#readBy === 0 ? 0 : Math.max(1, this.#readBy - host.now);
      this.#readBy = 0; // it is the program that takes its time
    } else {
      this.#readBy = deadlineIn(this.#remaining, host.now);
    }
    this.#schedule();
    this.#updateReading();
  }

  /** Reads the form, if there is one to be read, and has the request handled. */
  #start(exchange: Exchange): void {
    const { forms } = this.host;
    if (forms === undefined || !isMultipart(exchange.head)) return void this.#handle(exchange);
    const form = new FormReader(forms);
    readForm(exchange.request, form).then((failure) =>
      this.connection.gather(() => {
        if (exchange.isOver) return form.drop();
        if (failure !== undefined) {
          this.#isClosing = true;
          return refuse(exchange.response, failure);
        }
        exchange.form = form;
        const done = this.#handle(exchange);
        if (done === undefined) form.release();
        else done.then(() => form.release());
      })
    );
  }

  /** Sends a file or calls the handler. The promise, if any, settles when that is done. */
  #handle(exchange: Exchange): void | Promise<void> {
    const served = this.host.serveFile(exchange.request, exchange.response);
    if (served === undefined) return this.#call(exchange);
    return served.then((done) => {
      let rest: void | Promise<void> = undefined;
      this.connection.gather(() => {
        if (!done && !exchange.isOver) rest = this.#call(exchange);
      });
      return rest;
    });
  }

  #call(exchange: Exchange): void | Promise<void> {
    const { handlerTimeout } = this.host;
    if (handlerTimeout > 0) {
      exchange.deadline = deadlineIn(handlerTimeout, this.host.now);
      this.#schedule();
    }
    return this.#settle(exchange, this.host.onRequest(exchange.request, exchange.response));
  }

  /** Sees to it that there is a response when the handler is done. */
  #settle(exchange: Exchange, done: void | Promise<void>): void | Promise<void> {
    if (done === undefined) return this.#onHandled(exchange);
    return done.then(() => this.connection.gather(() => this.#onHandled(exchange)));
  }

  #onHandled(exchange: Exchange): void {
    const { response } = exchange;
    if (response.isOccupied) exchange.isHandedOver = true;
    if (response.isSettled || exchange.isOver) return;
    if (response.hasBegun) return void response.end(); // as in Swoole, what was written is the response
    if (this.connection.isOpen && !this.#isClosing) this.host.warn(exchange, "the handler has returned without a response");
    response.fail(500);
  }

  /** Makes up for a file that could not be sent, behind a handler that has returned. */
  completeUnfinished(exchange: Exchange): void {
    this.connection.gather(() => this.#onHandled(exchange));
  }

  /** An exchange has its response, which has been sent or queued. */
  onComplete(exchange: Exchange, status: number, keepAlive: boolean): void {
    if (exchange !== this.#exchange) return;
    if (status === 101) return this.#switch();
    const { connection, host } = this;
    this.#exchange = undefined;
    host.onAnswered();
    if (exchange.isUpgrade) this.status = 5;
    if (!keepAlive) return connection.end(true);
    this.#waitForBytes(host.keepAliveTimeout);
    this.#state = connection.isFull ? "draining" : "idle";
    if (!this.#isReading && this.#state === "idle") this.#readOn();
  }

  onDrain(): void {
    if (this.#state !== "draining") return;
    // Not from inside of a flush, which this may have been called from.
    queueMicrotask(() => {
      if (this.#state !== "draining" || this.connection.isFull) return;
      this.#state = "idle";
      this.#readOn();
    });
  }

  /** Turns the connection into another protocol. */
  #switch(): void {
    const { connection } = this;
    this.#exchange = undefined;
    this.#state = "over";
    connection.protocol = this.host.onSwitch(this);
    if (this.#isPaused) connection.resume();
    if (!this.#isReading) this.#passOn();
  }

  get #isSwitched(): boolean {
    return this.connection.protocol !== this;
  }

  /** What has arrived behind a handshake goes to the other protocol, after this turn. */
  #passOn(): void {
    const { connection } = this;
    const rest = this.#ahead?.take();
    this.#ahead = undefined;
    if (rest === undefined) return;
    queueMicrotask(() => {
      if (connection.isOpen) connection.gather(() => connection.protocol.receive(rest, 0));
    });
  }

  // ---- Protocol: time and ends --------------------------------------------------------------------------------------

  onDeadline(now: number): void {
    const { connection, host } = this;
    const exchange = this.#exchange;
    const { sendTimeout } = host;
    if (connection.queuedBytes > 0 && sendTimeout > 0 && now >= connection.lastSent + sendTimeout) return connection.abort(false);
    if (exchange !== undefined && exchange.deadline !== 0 && now >= exchange.deadline) this.#expire(exchange);
    if (this.#readBy !== 0 && this.#state !== "over") {
      if (!connection.isPaused && connection.lastReceived > this.#lastHeard) { // it has been read again since then
        this.#lastHeard = connection.lastReceived;
        this.#readBy = deadlineIn(this.#timeout, connection.lastReceived);
      }
      if (!connection.isPaused && now >= this.#readBy) this.#onOverdue(now);
    }
    this.#schedule(connection.queuedBytes > 0 ? connection.lastSent : now);
  }

  /** How long the client may take now. */
  get #timeout(): number {
    const { host } = this;
    if (this.#state === "body" || this.#state === "uploading") return host.bodyTimeout;
    return this.#state === "head" || this.connection.lastSent === 0 ? host.headerTimeout : host.keepAliveTimeout;
  }

  /** The client has until then for its next bytes. */
  #waitForBytes(timeout: number): void {
    const { now } = this.host;
    this.#readBy = deadlineIn(timeout, now);
    this.#schedule(now);
  }

  /** Each byte of a body buys time, up to the timeout: whoever is slower than the minimum rate runs out of it. */
  #onBodyBytes(bytes: number): void {
    const { bodyTimeout, bodyMinRate, now } = this.host;
    if (bodyTimeout === 0) return;
    const bought = bodyMinRate === 0 ? Infinity : bytes * 1000 / bodyMinRate;
    if (this.#readBy === 0) this.#remaining = Math.min(this.#remaining + bought, bodyTimeout); // it was on its way
    else this.#readBy = Math.min(this.#readBy + bought, now + bodyTimeout);
    this.#schedule();
  }

  /**
   * Sets when to look next: at the latest when the client has had its time to take what waits to be sent.
   *
   * @param since When it may have begun to wait.
   */
  #schedule(since = this.host.now): void {
    const { connection, host } = this;
    if (this.#state === "over") return;
    let due = this.#readBy;
    const end = this.#exchange?.deadline ?? 0;
    if (end !== 0 && (due === 0 || end < due)) due = end;
    if (host.sendTimeout > 0) {
      const look = since + host.sendTimeout;
      if (due === 0 || look < due) due = look;
    }
    connection.deadline = due;
  }

  #onOverdue(now: number): void {
    const { connection, host } = this;
    if (this.#state === "head") {
      this.#refuse({ status: 408, reason: "the request took too long" });
    } else if (this.#state === "body") {
      this.#refuse({ status: 408, reason: "the body took too long" });
    } else if (this.#state === "uploading") {
      this.#exchange!.upload!.fail("it takes too long to arrive");
      this.refuseUpload(408, "the body took too long");
    } else {
      // It waits for the next request since it has had the last response.
      const since = connection.queuedBytes > 0 ? now : connection.lastSent;
      this.#readBy = since === 0 ? now : since + host.keepAliveTimeout;
      if (this.#readBy <= now) connection.end(false);
    }
  }

  /** The program has had its time. */
  #expire(exchange: Exchange): void {
    const { response } = exchange;
    exchange.deadline = 0;
    if (response.isOccupied || (response.isDetached && !exchange.isUpgrade)) return; // the timeout is none for these
    this.host.warn(
      exchange,
      `it takes longer than ${exchange.isUpgrade ? "websocket_handshake_timeout" : "http_handler_timeout"}`,
    );
    exchange.cancel(new DOMException("The response takes too long", "TimeoutError"));
    if (exchange.isOver) return;
    if (response.headSent) this.connection.abort();
    else response.fail(503, "it takes too long");
  }

  onFault(cause?: unknown): void {
    const exchange = this.#exchange;
    this.#isClosing = true; // this connection ends, here or behind the response
    if (exchange !== undefined && cause instanceof WaitingResponse && cause !== exchange.response) return; // a late failure of an earlier one
    if (exchange === undefined) return this.connection.end(true); // it has its response
    if (exchange.response.headSent) this.connection.abort(); // the peer sees that the response was cut off
    else exchange.response.fail(500);
  }

  /** The server stops: ends after the response that is pending. */
  dismiss(): void {
    if (this.#exchange === undefined) this.connection.end(true);
    else this.#isClosing = true;
  }

  onClosed(): void {
    this.#state = "over";
    this.#ahead = undefined;
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.cutOff();
  }

  // ---- refusing -----------------------------------------------------------------------------------------------------

  /** Refuses what is no request for a handler, and ends: after a doubt nothing is read any more (RFC 9112 section 9.6). */
  #refuse({ status, reason }: Pick<HttpFailure, "status" | "reason">): void {
    this.#sendText(refusal(status, reason, this.host.date));
    this.connection.end(false);
  }

  /** Refuses a request that is being handled while it arrives. */
  refuseUpload(status: number, reason: string, byServer = true): void {
    if (this.#exchange!.response.headSent) return this.connection.abort();
    this.connection.gather(() => this.#sendText(refusal(status, reason, this.host.date)));
    this.connection.end(byServer);
  }

  #sendText(text: string): void {
    const { connection } = this;
    const at = connection.reserve(text.length);
    writeLatin1(text, connection.memory, at);
    connection.commit(text.length);
  }
}
