/**
 * HTTP on one connection of a client: requests and their responses, one after the other.
 *
 * @module
 */

import type { Connection, Protocol } from "../transport/connection.ts";
import {
  SWOOLE_HTTP_CLIENT_ESTATUS_REQUEST_TIMEOUT,
  SWOOLE_HTTP_CLIENT_ESTATUS_SEND_FAILED,
  SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET,
} from "../constants.ts";
import { ECONNRESET, ETIMEDOUT, SWOOLE_ERROR_HTTP_INVALID_PROTOCOL, SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE } from "../errors.ts";
import { HttpFailure } from "../http/request_head.ts";
import { type AnswerHead, ResponseParser } from "../http/response_parser.ts";
import { Alarm } from "../transport/deadlines.ts";
import { BodyFlow, type BodySink } from "./body_sink.ts";
import type { ResolvedClientSettings } from "./client_settings.ts";
import { decodeContent } from "./content_decoding.ts";
import type { WebSocketChannel } from "../websocket/connection/channel.ts";
import type { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import { ClientFailure, fileFailure, RefusedUpgrade, Unanswered } from "./client_failure.ts";
import { type BodyPart, BodySender, checkBytes } from "./outgoing_body.ts";

/** A request as a session sends it. */
export interface OutgoingRequest {
  /** The method. */
  readonly method: string;
  /** The request line and header fields, including the empty line. */
  readonly headBytes: Uint8Array;
  /** The body, in parts. */
  readonly body: readonly BodyPart[];
  /** The time limit of the response in milliseconds, until it is changed; 0 for no limit. */
  readonly timeout: number;
  /** The maximum size of a body that is collected. */
  readonly maxBodySize: number;
  /** Handles a response with status 101. Without it such a response is a violation. */
  readonly upgrade?: Upgrade | undefined;
  /** Chooses the sink that consumes the body while it arrives. Without a sink the body is collected. */
  readonly onHead?: ((head: AnswerHead) => BodySink | ClientFailure | undefined) | undefined;
}

/** The switch to a WebSocket after a response with status 101. */
export interface Upgrade {
  /** Checks the response. Returns the error as text, or the session that takes over the connection. */
  accept(head: AnswerHead, connection: Connection): WebSocketSession<WebSocketChannel> | string;
}

/** A response. */
interface Incoming {
  /** The head. */
  readonly head: AnswerHead;
  /** The trailer fields, as Latin-1, each with its CRLF. */
  readonly trailer: string;
  /** The body; `undefined` if it was consumed while it arrived. */
  readonly body: Uint8Array | undefined;
  /** The WebSocket that took over the connection. */
  readonly channel?: WebSocketChannel;
  /** Why the body could not be decoded. */
  readonly failure?: ClientFailure;
}

/** The outcome of a request. */
export type Outcome = Incoming | ClientFailure;

/** The request that is running. */
interface ClientExchange {
  readonly request: OutgoingRequest;
  readonly settle: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

/** The HTTP session on one connection of a client. */
export class ClientSession implements Protocol {
  /** Whether requests on this connection are addressed to an HTTP proxy instead of the server. */
  readonly asksProxy: boolean;
  readonly #connection: Connection;
  readonly #limits: { maxHeadSize: number; maxHeaders: number; maxBodySize: number };
  readonly #parser: ResponseParser;
  readonly #alarm: Alarm = new Alarm(() => this.#onAlarm());
  #exchange: ClientExchange | undefined = undefined;
  #heard = false; // whether anything has arrived since the request, including interim responses
  #flow: BodyFlow | undefined = undefined;
  #sender: BodySender | undefined = undefined; // of the body of the last request
  #sending: Promise<void> | undefined = undefined; // settles when the whole request has been sent
  #timeout = 0; // of the response; 0 for none
  #due = 0; // the deadline of the response; 0 for none

  constructor(connection: Connection, asksProxy: boolean) {
    this.asksProxy = asksProxy;
    this.#connection = connection;
    this.#limits = { maxHeadSize: 64 * 1024, maxHeaders: 128, maxBodySize: 0 };
    this.#parser = new ResponseParser(this.#limits);
  }

  /**
   * Sends a request and waits for its response.
   *
   * @param request The request.
   * @param timeout The time limit of the response in milliseconds; 0 for none.
   * @throws The error that the program threw while consuming the body.
   */
  request(request: OutgoingRequest, timeout: number): Promise<Outcome> {
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
      this.limit(timeout);
    });
  }

  /** Waits until the request has been sent, or abandoned. */
  async sent(): Promise<void> {
    await this.#sending;
  }

  /** Sets the time limit of the response, in milliseconds from now, and from then on from all progress; 0 for none. */
  limit(timeout: number): void {
    this.#timeout = timeout;
    this.#due = 0;
    if (timeout === 0 || this.#exchange === undefined) return;
    this.#due = performance.now() + timeout;
    this.#alarm.at(this.#due);
  }

  /** Ends the connection, and drops the rest of the response, because the program wants no more of it. */
  leave(): void {
    this.#flow?.leave();
    if (this.#connection.isOpen) this.#connection.end();
  }

  #send(exchange: ClientExchange): Promise<void> {
    const isWanted = () => this.#exchange === exchange && !this.#parser.complete && this.#connection.isOpen;
    // A server that is still accepting the body is not late.
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

  /** Restarts the time limit after progress. */
  #delay(): void {
    if (this.#due > 0) this.#due = performance.now() + this.#timeout;
  }

  #onAlarm(): void {
    if (this.#exchange === undefined || this.#due === 0) return;
    if (this.#flow?.isBusy) this.#delay(); // the program is slow, not the server
    if (this.#due > performance.now()) return this.#alarm.at(this.#due);
    this.#fail(new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_REQUEST_TIMEOUT, ETIMEDOUT));
    this.#connection.abort();
  }

  // ---- the response -------------------------------------------------------------------------------------------------

  receive(chunk: Uint8Array, at: number): void {
    const parser = this.#parser;
    // Bytes that belong to no request: the connection can no longer be trusted.
    if (this.#exchange === undefined || parser.complete) return this.#connection.abort();
    this.#heard = true;
    if (this.#flow !== undefined) this.#delay();
    while (at < chunk.length && !parser.complete && parser.failure === undefined) {
      const begins = parser.head === undefined;
      at = parser.receive(chunk, at);
      if (begins && parser.head !== undefined && !this.#onHead(parser.head)) return;
    }
    this.#flow?.flush();
    if (this.#exchange === undefined) return; // the program closed the client while consuming the body
    if (parser.failure !== undefined) return this.#refuse();
    if (!parser.complete) return;
    const head = parser.head!;
    if (head.status === 101) return this.#switch(head, chunk, at);
    this.#answer(head);
    if (at < chunk.length) this.#connection.abort(); // bytes after the response, as above
  }

  /** Chooses the sink for the body. Returns `false` if the request has failed. */
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
      if (!this.#parser.complete) this.#break(); // otherwise the failure is reported when the body ends
    });
    this.#parser.onBody = (chunk, start, end) => flow.push(chunk, start, end);
    return true;
  }

  #answer(head: AnswerHead): void {
    // RFC 9112 section 9.3: a server that responded before it received the whole request gets no more of it, and no other
    // request.
    const unfinished = !this.#sender!.isHandedOn;
    const flow = this.#flow;
    const trailer = this.#parser.trailerFields;
    if (flow === undefined) this.#finish({ head, trailer, body: this.#parser.body });
    else this.#finishFlow(flow, true, { head, trailer, body: undefined });
    if (!head.keepAlive || unfinished) this.#connection.end();
  }

  /** Aborts the connection because the sink failed. */
  #break(): void {
    this.#fail(this.#reset());
    this.#connection.abort();
  }

  #switch(head: AnswerHead, chunk: Uint8Array, at: number): void {
    const connection = this.#connection;
    const session = this.#exchange!.request.upgrade?.accept(head, connection);
    if (session === undefined) {
      const why = "the server switched protocols unasked";
      this.#finish(new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET, SWOOLE_ERROR_HTTP_INVALID_PROTOCOL, why));
      return connection.abort();
    }
    if (typeof session === "string") {
      this.#finish(new RefusedUpgrade(head, session));
      return connection.abort();
    }
    connection.protocol = session;
    this.#finish({ head, trailer: "", body: this.#parser.body, channel: session.consumer });
    if (at < chunk.length) session.receive(chunk, at);
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

  onFault(error: unknown): void {
    const words = error instanceof Error ? error.message : String(error);
    const failure = new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET, ECONNRESET, words);
    if (this.#exchange !== undefined && !this.#parser.complete) this.#fail(failure);
    this.#connection.abort();
  }

  #reset(): ClientFailure {
    const Failure = this.#heard ? ClientFailure : Unanswered;
    return new Failure(SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET, ECONNRESET);
  }

  // ---- the outcome --------------------------------------------------------------------------------------------------

  /** Fails the request. Pieces that have arrived still go to the sink. */
  #fail(failure: ClientFailure): void {
    const flow = this.#flow;
    if (flow === undefined) this.#finish(failure);
    else this.#finishFlow(flow, false, failure);
  }

  #finishFlow(flow: BodyFlow, complete: boolean, outcome: Outcome): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#over();
    flow.finish(complete).then((failure) => exchange.settle(failure ?? outcome), exchange.reject);
  }

  #finish(outcome: Outcome): void {
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

/** Undoes the content coding of a collected body. */
export async function decodeBody(outcome: Outcome, settings: ResolvedClientSettings): Promise<Outcome> {
  if (outcome instanceof ClientFailure || outcome.body === undefined || !settings.body_decompression) return outcome;
  const { head, body } = outcome;
  const decoded = await decodeContent(head.header["content-encoding"], head.status, body, settings.package_max_length);
  return decoded instanceof ClientFailure ? { ...outcome, failure: decoded } : { ...outcome, body: decoded };
}
