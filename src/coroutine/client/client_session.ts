/**
 * HTTP on one connection of a client: a request out, its answer in, one after the other.
 *
 * @module
 */

import type { Connection, Protocol } from "../../connection.ts";
import {
  SWOOLE_HTTP_CLIENT_ESTATUS_REQUEST_TIMEOUT,
  SWOOLE_HTTP_CLIENT_ESTATUS_SEND_FAILED,
  SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET,
} from "../../constants.ts";
import {
  ECONNRESET,
  ETIMEDOUT,
  SWOOLE_ERROR_HTTP_INVALID_PROTOCOL,
  SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE,
} from "../../errors.ts";
import { HttpFailure } from "../../http/head.ts";
import { type AnswerHead, ResponseParser } from "../../http/response_parser.ts";
import { Alarm } from "../alarm.ts";
import { BodyFlow, type BodySink } from "./body_sink.ts";
import type { WebSocketChannel } from "../channel.ts";
import { ClientFailure, fileFailure, RefusedUpgrade, Unanswered } from "./client_failure.ts";
import type { BodyPart } from "./multipart.ts";
import { BodySender, checkBytes } from "./sending.ts";

/** What a client asks for. */
export interface Outgoing {
  /** The method. */
  readonly method: string;
  /** Request line and header fields, with the empty line. */
  readonly headBytes: Uint8Array;
  /** The body, in pieces. */
  readonly body: readonly BodyPart[];
  /** How long the answer may take, in milliseconds; 0 for ever. */
  readonly timeout: number;
  /** The most octets of a body that is collected. */
  readonly maxBodySize: number;
  /** What becomes of an answer with 101; without it there must not be one. */
  readonly upgrade?: Upgrade | undefined;
  /** Looks at the head of an answer, and says what takes its body while it arrives. Without that the body is collected. */
  readonly onHead?: ((head: AnswerHead) => BodySink | ClientFailure | undefined) | undefined;
}

/** How a client goes on after 101. */
export interface Upgrade {
  /** Checks the answer; returns what is wrong, or the channel that the connection is from now on. */
  accept(head: AnswerHead, connection: Connection): WebSocketChannel | string;
}

/** An answer. */
export interface Incoming {
  /** Its head. */
  readonly head: AnswerHead;
  /** Its trailer fields, as Latin-1, each with its CRLF. */
  readonly trailer: string;
  /** Its body; `undefined` when it was taken while it arrived. */
  readonly body: Uint8Array | undefined;
  /** The WebSocket that the connection has become. */
  readonly channel?: WebSocketChannel;
}

/** A request that is under way. */
interface Exchange {
  readonly request: Outgoing;
  readonly settle: (outcome: Incoming | ClientFailure) => void;
  readonly reject: (error: unknown) => void;
}

/** One connection of a client while it speaks HTTP. */
export class ClientSession implements Protocol {
  /** Whether a proxy is asked for each request, and not the server. */
  readonly asksProxy: boolean;
  readonly #connection: Connection;
  readonly #limits: { maxHeadSize: number; maxHeaders: number; maxBodySize: number };
  readonly #parser: ResponseParser;
  readonly #alarm: Alarm = new Alarm(() => this.#onAlarm());
  #exchange: Exchange | undefined = undefined;
  #heard = false; // whether anything has come since the request, be it an interim response
  #flow: BodyFlow | undefined = undefined;
  #sender: BodySender | undefined = undefined; // of the body of the last request
  #sending: Promise<void> | undefined = undefined; // until all of the request is out
  #due = 0; // when the answer is too late; 0 for never

  constructor(connection: Connection, asksProxy: boolean) {
    this.asksProxy = asksProxy;
    this.#connection = connection;
    this.#limits = { maxHeadSize: 64 * 1024, maxHeaders: 128, maxBodySize: 0 };
    this.#parser = new ResponseParser(this.#limits);
  }

  /**
   * Sends a request and waits for its answer.
   *
   * @throws What the program throws while it takes the body.
   */
  request(request: Outgoing): Promise<Incoming | ClientFailure> {
    const connection = this.#connection;
    this.#heard = false;
    if (!connection.isOpen) return Promise.resolve(this.#reset());
    try {
      for (const part of request.body) if ("bytes" in part) checkBytes(part);
    } catch (error) {
      return Promise.resolve(fileFailure(SWOOLE_HTTP_CLIENT_ESTATUS_SEND_FAILED, error));
    }
    this.#flow = undefined;
    this.#limits.maxBodySize = request.onHead === undefined ? request.maxBodySize : Infinity;
    this.#parser.begin(request.method);
    return new Promise((settle, reject) => {
      const exchange = this.#exchange = { request, settle, reject };
      connection.gather(() => {
        connection.append(request.headBytes);
        this.#sending = this.#send(exchange);
      });
      this.limit(request.timeout);
    });
  }

  /** Waits until the request is out, or nothing more of it will be. */
  async sent(): Promise<void> {
    await this.#sending;
  }

  /** The answer is too late so many milliseconds from now; 0 for never. */
  limit(timeout: number): void {
    this.#due = timeout > 0 && this.#exchange !== undefined ? performance.now() + timeout : 0;
    if (this.#due > 0) this.#alarm.at(this.#due);
  }

  /** Takes nothing more of the answer: the program has enough. */
  leave(): void {
    this.#flow?.drop();
    this.#connection.end();
  }

  #send(exchange: Exchange): Promise<void> {
    const isWanted = () => this.#exchange === exchange && !this.#parser.complete && this.#connection.isOpen;
    // A server that takes it is not late yet.
    const sender = this.#sender = new BodySender(this.#connection, exchange.request.body, isWanted, () => {
      if (this.#exchange === exchange) this.#delay();
    });
    return sender.send().catch((error) => {
      if (!isWanted()) return;
      this.#fail(fileFailure(SWOOLE_HTTP_CLIENT_ESTATUS_SEND_FAILED, error));
      this.#connection.abort();
    });
  }

  // ---- time ---------------------------------------------------------------------------------------------------------

  /** Something goes on: the time begins anew. */
  #delay(): void {
    if (this.#due > 0) this.#due = performance.now() + this.#exchange!.request.timeout;
  }

  #onAlarm(): void {
    if (this.#exchange === undefined || this.#due === 0) return;
    if (this.#flow?.isBusy) this.#delay(); // it is the program that is slow
    if (this.#due > performance.now()) return this.#alarm.at(this.#due);
    this.#fail(new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_REQUEST_TIMEOUT, ETIMEDOUT));
    this.#connection.abort();
  }

  // ---- the answer ---------------------------------------------------------------------------------------------------

  receive(chunk: Uint8Array, at: number): void {
    const parser = this.#parser;
    // What nobody has asked for is the answer to nothing: the connection cannot be trusted any more.
    if (this.#exchange === undefined || parser.complete) return this.#connection.abort();
    this.#heard = true;
    if (this.#flow !== undefined) this.#delay();
    while (at < chunk.length && !parser.complete && parser.failure === undefined) {
      const begins = parser.head === undefined;
      at = parser.receive(chunk, at);
      if (begins && parser.head !== undefined && !this.#onHead(parser.head)) return;
    }
    this.#flow?.flush();
    if (this.#exchange === undefined) return; // the program has closed the client while it took the body
    if (parser.failure !== undefined) return this.#refuse();
    if (!parser.complete) return;
    const head = parser.head!;
    if (head.status === 101) return this.#switch(head, chunk, at);
    this.#answer(head);
    if (at < chunk.length) this.#connection.abort(); // see above
  }

  /** Finds out what takes the body. */
  #onHead(head: AnswerHead): boolean {
    const { request } = this.#exchange!;
    if (request.onHead === undefined || head.status === 101) return true;
    const sink = request.onHead(head);
    if (sink instanceof ClientFailure) {
      this.#finish(sink);
      this.#connection.abort();
      return false;
    }
    if (sink === undefined) {
      this.#limits.maxBodySize = request.maxBodySize;
      if (head.bodyLength > request.maxBodySize) this.#parser.failure = new HttpFailure(413, "the body is too large");
      return true;
    }
    const flow = this.#flow = new BodyFlow(sink, this.#connection, () => {
      if (!this.#parser.complete) this.#break(); // otherwise the failure comes with the end
    });
    this.#parser.onBody = (chunk, start, end) => flow.push(chunk, start, end);
    return true;
  }

  #answer(head: AnswerHead): void {
    // RFC 9112 section 9.3: a server that has responded before it had all of the request gets no more of it, nor another one.
    const unfinished = !this.#sender!.isHandedOn;
    const flow = this.#flow;
    const trailer = this.#parser.trailerFields;
    if (flow === undefined) this.#finish({ head, trailer, body: this.#parser.body });
    else this.#finishFlow(flow, true, { head, trailer, body: undefined });
    if (!head.keepAlive || unfinished) this.#connection.end();
  }

  /** The sink does not take any more: neither does the connection. */
  #break(): void {
    this.#fail(this.#reset());
    this.#connection.abort();
  }

  #switch(head: AnswerHead, chunk: Uint8Array, at: number): void {
    const connection = this.#connection;
    const channel = this.#exchange!.request.upgrade?.accept(head, connection);
    if (channel === undefined) {
      const why = "the server switched protocols unasked";
      this.#finish(new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET, SWOOLE_ERROR_HTTP_INVALID_PROTOCOL, why));
      return connection.abort();
    }
    if (typeof channel === "string") {
      this.#finish(new RefusedUpgrade(head, channel));
      return connection.abort();
    }
    connection.protocol = channel;
    this.#finish({ head, trailer: "", body: this.#parser.body, channel });
    if (at < chunk.length) channel.receive(chunk, at);
  }

  #refuse(): void {
    const { tooLarge, failure } = this.#parser;
    const code = tooLarge ? SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE : SWOOLE_ERROR_HTTP_INVALID_PROTOCOL;
    this.#fail(new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET, code, failure!.reason));
    this.#connection.abort();
  }

  receiveEnd(): void {
    const waiting = this.#exchange !== undefined && !this.#parser.complete;
    this.#parser.receiveEnd();
    if (waiting && this.#parser.complete) this.#answer(this.#parser.head!);
    this.#connection.end(false);
  }

  onClosed(): void {
    if (this.#exchange !== undefined && !this.#parser.complete) this.#fail(this.#reset());
  }

  onDeadline(): void {}

  onFault(): void {
    this.#connection.abort();
  }

  #reset(): ClientFailure {
    const Failure = this.#heard ? ClientFailure : Unanswered;
    return new Failure(SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET, ECONNRESET);
  }

  // ---- the outcome --------------------------------------------------------------------------------------------------

  /** There will be no whole answer. What has arrived of one goes where it was to go. */
  #fail(failure: ClientFailure): void {
    const flow = this.#flow;
    if (flow === undefined) this.#finish(failure);
    else this.#finishFlow(flow, false, failure);
  }

  #finishFlow(flow: BodyFlow, complete: boolean, outcome: Incoming | ClientFailure): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#over();
    flow.finish(complete).then((failure) => exchange.settle(failure ?? outcome), exchange.reject);
  }

  #finish(outcome: Incoming | ClientFailure): void {
    const exchange = this.#exchange;
    this.#over();
    exchange?.settle(outcome);
  }

  #over(): void {
    this.#exchange = undefined;
    this.#due = 0;
    this.#alarm.clear();
  }
}
