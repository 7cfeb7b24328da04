/**
 * HTTP on one connection: requests in, answers out, in order (RFC 9112 section 9.3).
 *
 * @module
 */

import { sliceBytes } from "../../bytes.ts";
import type { Connection, Protocol } from "../../connection.ts";
import type { HttpFailure, RequestHead } from "../../http/head.ts";
import { isMultipart, RequestParser } from "../../http/request_parser.ts";
import { hasToken, isUpgrade } from "../../websocket/handshake.ts";
import { FormReader } from "./form_reader.ts";
import type { HttpHost } from "./http_host.ts";
import { HttpOutput } from "./http_output.ts";
import { HttpRequest, readForm } from "./http_request.ts";
import { WaitingResponse } from "./http_response.ts";
import { refusal, refuse } from "./refusal.ts";
import { type BodySupply, RequestBody } from "./request_body.ts";

const NO_BODY = new Uint8Array(0);

/** The HTTP protocol of one connection. */
export class HttpSession extends HttpOutput implements Protocol, BodySupply {
  readonly #parser: RequestParser;
  #response: WaitingResponse | undefined = undefined;
  #upload: RequestBody | undefined = undefined; // the body of that request, while it is arriving
  #left: WaitingResponse | undefined = undefined; // by its handler, to something that makes it
  #form: FormReader | undefined = undefined; // of that request, until it is answered
  #gone: Set<() => void> | undefined = undefined;
  #held: Uint8Array | undefined = undefined; // what arrived behind that request
  #heldAt = 0;
  #headChecked = false;
  #reading = false;
  #peerEnded = false;
  #dismissed = false;

  constructor(connection: Connection, host: HttpHost) {
    super(connection, host);
    this.#parser = new RequestParser(host.requestLimits);
    connection.deadline = deadlineIn(host.requestTimeout, host.now);
  }

  // ---- Protocol -----------------------------------------------------------------------------------------------------

  get sendTimeout(): number {
    return this.host.sendTimeout;
  }

  receive(chunk: Uint8Array, at: number): void {
    if ((this.#response !== undefined && this.#upload === undefined) || this.#held !== undefined) return this.#hold(chunk, at);
    this.#reading = true;
    while (at < chunk.length && !this.over) {
      const begun = this.#parser.begun;
      at = this.#parser.receive(chunk, at);
      if (this.#upload !== undefined) {
        this.#afterUpload();
        if (this.#upload !== undefined) continue;
        this.#hold(chunk, at);
        break;
      }
      if (!begun && this.#parser.begun) this.connection.deadline = deadlineIn(this.host.requestTimeout, this.host.now);
      if (this.#parser.failure !== undefined) {
        this.#refuse(this.#parser.failure);
        break;
      }
      if (this.#parser.head !== undefined && !this.#headChecked) {
        this.#headChecked = true;
        if (this.host.takesUpgrades && isUpgrade(this.#parser.head)) {
          this.#beginUpgrade(this.#parser.head, chunk, at);
          break;
        }
        const { header, version } = this.#parser.head;
        if (!this.#parser.complete && (this.host.streamsBodies || this.#readsWhileArriving(this.#parser.head))) {
          at = this.#beginUpload(this.#parser.head, chunk, at);
          if (this.#upload !== undefined || (this.#response === undefined && !this.connection.isFull)) continue;
          this.#hold(chunk, at);
          break;
        }
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
    if (this.#peerEnded && this.#response === undefined && this.#held === undefined && !this.over) this.connection.end(false);
  }

  receiveEnd(): void {
    // A client may half-close after its request and wait for the answer.
    this.#peerEnded = true;
    this.#upload?.fail("the client has ended the connection");
    this.#tellGone();
    if (this.#response === undefined && this.#held === undefined) this.connection.end(false);
  }

  onDeadline(now: number): void {
    const { connection } = this;
    if (this.#upload !== undefined && !this.#upload.isPaused) {
      this.#upload.fail("it takes too long to arrive");
      if (this.#response?.headSent !== false) return connection.abort();
      this.#refuseWith(408, "the body took too long");
      return connection.end(true);
    }
    if (connection.queuedBytes > 0 && this.sendTimeout > 0) {
      if (now >= connection.lastSent + this.sendTimeout) return connection.abort(false);
      connection.deadline = connection.lastSent + this.sendTimeout;
    } else if (this.#response !== undefined) {
      connection.deadline = deadlineIn(this.sendTimeout, now); // the program may take its time
    } else if (this.#parser.begun) {
      this.#refuseWith(408, "the request took too long");
      connection.end(false);
    } else {
      // It waits for the next request since it has had the last answer.
      const due = connection.lastSent === 0 ? now : connection.lastSent + (this.host.keepAliveTimeout || Infinity);
      if (due <= now) connection.end(false);
      else connection.deadline = due;
    }
  }

  onFault(cause?: unknown): void {
    this.#dismissed = true; // this connection ends, here or after the answer
    const response = this.#response;
    if (response !== undefined && cause instanceof WaitingResponse && cause !== response) return; // a late failure of an earlier one
    if (response === undefined) return this.connection.end(true); // it has answered before it failed
    if (response.headSent) return this.connection.abort(); // the peer sees that the answer was cut off
    response.release();
    response.status(500);
    response.end();
  }

  /** The server stops: ends after the answer that is being made. */
  dismiss(): void {
    if (this.#response === undefined) this.connection.end(true);
    else this.#dismissed = true;
  }

  onClosed(): void {
    this.over = true;
    this.#held = undefined;
    this.#upload?.fail("the client has gone");
    this.#form?.release();
    this.#form = undefined;
    this.#tellGone();
  }

  /** Calls back, once, when the client ends its side or is gone, as long as `response` is being made. */
  onGone(response: WaitingResponse, callback: () => void): void {
    if (response !== this.#response) return;
    if (this.over || this.#peerEnded) callback();
    else (this.#gone ??= new Set()).add(callback);
  }

  #tellGone(): void {
    const gone = this.#gone;
    this.#gone = undefined;
    if (gone !== undefined) { for (const callback of gone) callback(); }
  }

  /** Whether an answer is being made. */
  get isAnswering(): boolean {
    return this.#response !== undefined;
  }

  /** The answer that is being made, if the program has detached it. */
  get detached(): WaitingResponse | undefined {
    return this.#response?.isDetached ? this.#response : undefined;
  }

  // ---- reading ------------------------------------------------------------------------------------------------------

  #hold(chunk: Uint8Array, at: number): void {
    if (at >= chunk.length || this.over) return;
    if (this.#held === undefined) {
      this.#held = sliceBytes(chunk, at, chunk.length);
      this.#heldAt = 0;
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
      if (this.#response === undefined && !this.over && !this.connection.isFull) this.#goOn();
    });
  }

  #answer(): void {
    const head = this.head = this.#parser.head!;
    const request = new HttpRequest(head, this.#parser.body, this.host.requestOptions, this.connection);
    const response = this.#response = this.host.makeResponse(this, request);
    this.#parser.next();
    this.#headChecked = false;
    this.connection.deadline = deadlineIn(this.sendTimeout, this.host.now);
    this.#begin(head, request, response);
  }

  /** Reads the form, if there is one to be read, and hands the request on. */
  #begin(head: RequestHead, request: HttpRequest, response: WaitingResponse): void {
    const { forms } = this.host;
    if (forms === undefined || !isMultipart(head)) return void this.#handle(request, response);
    const form = new FormReader(forms);
    readForm(request, form).then((failure) =>
      this.connection.gather(() => {
        if (this.over) return form.drop();
        if (failure !== undefined) {
          this.#dismissed = true;
          return refuse(response, failure);
        }
        this.#form = form;
        const done = this.#handle(request, response);
        if (done === undefined) form.release();
        else done.then(() => form.release());
      })
    );
  }

  /** Calls the handler. The promise, if any, settles when it is done. */
  #handle(request: HttpRequest, response: WaitingResponse): void | Promise<void> {
    const served = this.host.serveFile(request, response);
    if (served === undefined) return this.#settle(response, this.host.onRequest(request, response));
    return served.then((done) => {
      let rest: void | Promise<void> = undefined;
      this.connection.gather(() => {
        if (!done && !this.over) rest = this.#settle(response, this.host.onRequest(request, response));
      });
      return rest;
    });
  }

  /** Nothing else makes an answer any more that the program has left to it; if the program is done too, somebody has to. */
  onReleased(response: WaitingResponse): void {
    if (response === this.#left && response === this.#response) this.connection.gather(() => this.#afterHandler(response));
  }

  // ---- bodies that are read while they arrive -----------------------------------------------------------------------

  #readsWhileArriving(head: RequestHead): boolean {
    return this.host.forms?.streamed === true && isMultipart(head);
  }

  /** Hands a request on whose body is still arriving. Returns where the octets behind it begin. */
  #beginUpload(head: RequestHead, chunk: Uint8Array, at: number): number {
    this.head = head;
    const upload = this.#upload = new RequestBody(this);
    this.#parser.onBody = (bytes, start, end) => upload.push(bytes, start, end);
    upload.clientWaits = head.version === "1.1" && hasToken(head.header["expect"], "100-continue") && at === chunk.length;
    const request = new HttpRequest(head, upload, this.host.requestOptions, this.connection);
    const response = this.#response = this.host.makeResponse(this, request);
    // What is there belongs to it: a short body is complete before the handler is called.
    while (at < chunk.length && !this.#parser.complete && this.#parser.failure === undefined) {
      at = this.#parser.receive(chunk, at);
    }
    this.#afterUpload();
    if (!this.over) this.#begin(head, request, response);
    return at;
  }

  /** Looks at what a piece of a body has led to: a refusal, the end of the body, or nothing. */
  #afterUpload(): void {
    const upload = this.#upload!;
    const { failure } = this.#parser;
    if (failure !== undefined) {
      upload.fail(failure.reason);
      if (this.#response?.headSent === true) this.connection.abort();
      else this.#refuse(failure);
      return;
    }
    if (!this.#parser.complete) {
      this.connection.deadline = deadlineIn(this.host.requestTimeout, this.host.now);
      return;
    }
    this.#upload = undefined;
    this.#parser.next();
    this.#headChecked = false;
    this.connection.deadline = deadlineIn(this.sendTimeout, this.host.now);
    upload.finish();
  }

  onWanted(): void {
    const upload = this.#upload;
    if (!upload?.clientWaits || this.over || this.#response?.headSent !== false) return;
    upload.clientWaits = false;
    this.connection.gather(() => this.sendHead("HTTP/1.1 100 Continue\r\n\r\n"));
  }

  pause(): void {
    if (this.#upload === undefined || this.over) return;
    this.connection.deadline = deadlineIn(this.sendTimeout, this.host.now); // it is the program that takes its time
    this.connection.pause();
  }

  resume(): void {
    if (this.over || this.#held !== undefined) return;
    if (this.#upload !== undefined) this.connection.deadline = deadlineIn(this.host.requestTimeout, this.host.now);
    this.connection.resume();
  }

  onTooLarge(): void {
    if (this.over) return;
    if (this.#response?.headSent === true) return this.connection.abort();
    this.connection.gather(() => this.#refuseWith(413, "the body is too large"));
    this.connection.end(true);
  }

  #beginUpgrade(head: RequestHead, chunk: Uint8Array, at: number): void {
    this.head = head;
    this.status = 1;
    const request = new HttpRequest(head, NO_BODY, this.host.requestOptions, this.connection);
    const response = this.#response = this.host.makeResponse(this, request);
    this.connection.deadline = deadlineIn(this.host.requestTimeout, this.host.now);
    if (head.bodyLength !== 0) return refuse(response, { status: 400, reason: "a WebSocket handshake has no body" });
    this.#hold(chunk, at);
    this.#settle(response, this.host.onUpgrade(this, request, response));
  }

  /** Sees to it that a handler that is done has answered. */
  #settle(response: WaitingResponse, done: void | Promise<void>): void | Promise<void> {
    if (done === undefined) return this.#afterHandler(response);
    return done.then(() => this.connection.gather(() => this.#afterHandler(response)));
  }

  #afterHandler(response: WaitingResponse): void {
    if (response.isOccupied) this.#left = response;
    if (response.isSettled || this.over) return;
    if (!response.headSent) response.status(500); // as in Swoole, what was written is the response
    response.end();
  }

  /** Turns the connection into another protocol. What has arrived behind the handshake goes there, after this turn. */
  #switch(): void {
    const { connection } = this;
    const held = this.#held;
    this.#held = this.#response = undefined;
    this.over = true;
    const protocol = connection.protocol = this.host.onSwitch(this);
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
    this.sendHead(refusal(status, reason, this.date));
  }

  // ---- ResponseTarget -----------------------------------------------------------------------------------------------

  get keepAlive(): boolean {
    const head = this.head!;
    return head.version === "1.1" && !hasToken(head.header["connection"], "close") &&
      !this.isUpgrade && !this.#dismissed && this.#upload === undefined;
  }

  onEnd(status: number, keepAlive: boolean): void {
    if (status === 101) return this.#switch();
    this.#form?.release();
    this.#response =
      this.#gone =
      this.#left =
      this.#form =
        undefined;
    this.#upload?.discard();
    this.host.onAnswered();
    if (this.isUpgrade) this.status = 5;
    if (!keepAlive || this.over) return this.connection.end(true);
    const { keepAliveTimeout, sendTimeout, now } = this.host;
    this.connection.deadline = now + Math.min(keepAliveTimeout || Infinity, sendTimeout || Infinity);
    if (!this.#reading && !this.connection.isFull) this.#goOn();
  }
}

/** When a timeout is up; 0, for never, when there is none. */
function deadlineIn(timeout: number, now: number): number {
  return timeout === 0 ? 0 : now + timeout;
}
