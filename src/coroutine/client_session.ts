/**
 * HTTP on one connection of a client: a request out, its answer in, one after the other.
 *
 * @module
 */

import type { Connection, Protocol } from "../connection.ts";
import { SWOOLE_HTTP_CLIENT_ESTATUS_REQUEST_TIMEOUT, SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET } from "../constants.ts";
import { ECONNRESET, ETIMEDOUT, SWOOLE_ERROR_HTTP_INVALID_PROTOCOL, SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE } from "../errors.ts";
import type { MessageLimits } from "../http/message_parser.ts";
import { type AnswerHead, ResponseParser } from "../http/response_parser.ts";
import type { WebSocketChannel } from "./channel.ts";

/** What a client asks for. */
export interface Outgoing {
  /** The method. */
  readonly method: string;
  /** Request line and header fields, with the empty line. */
  readonly head: string;
  /** The body. */
  readonly body: Uint8Array;
  /** How long the answer may take, in milliseconds; 0 for ever. */
  readonly timeout: number;
  /** What becomes of an answer with 101; without it there must not be one. */
  readonly upgrade?: Upgrade | undefined;
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
  /** Its body. */
  readonly body: Uint8Array;
  /** The WebSocket that the connection has become. */
  readonly channel?: WebSocketChannel;
}

/** Why there is no answer. */
export class ClientFailure {
  /** A `SWOOLE_HTTP_CLIENT_ESTATUS_*` number. */
  readonly status: number;
  /** The error code. */
  readonly code: number;
  /** What was wrong beyond what the code says, for people. */
  readonly detail: string;

  constructor(status: number, code: number, detail = "") {
    this.status = status;
    this.code = code;
    this.detail = detail;
  }
}

/** The server closed the connection before it answered: the same request may be tried on another one. */
export class Unanswered extends ClientFailure {}

const encoder = new TextEncoder();

/** One connection of a client while it speaks HTTP. */
export class ClientSession implements Protocol {
  readonly #connection: Connection;
  readonly #parser: ResponseParser;
  #settle: ((outcome: Incoming | ClientFailure) => void) | undefined = undefined;
  #upgrade: Upgrade | undefined = undefined;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;

  constructor(connection: Connection, limits: MessageLimits) {
    this.#connection = connection;
    this.#parser = new ResponseParser(limits);
  }

  /** Sends a request and waits for its answer. */
  request(request: Outgoing): Promise<Incoming | ClientFailure> {
    const connection = this.#connection;
    if (!connection.isOpen) return Promise.resolve(this.#reset());
    this.#upgrade = request.upgrade;
    this.#parser.begin(request.method);
    connection.gather(() => {
      connection.append(encoder.encode(request.head));
      connection.append(request.body);
    });
    return new Promise((settle) => {
      this.#settle = settle;
      if (request.timeout > 0) {
        this.#timer = setTimeout(() => {
          this.#finish(new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_REQUEST_TIMEOUT, ETIMEDOUT));
          connection.abort();
        }, request.timeout);
      }
    });
  }

  receive(chunk: Uint8Array, at: number): void {
    // What nobody has asked for is the answer to nothing: the connection cannot be trusted any more.
    if (this.#settle === undefined) return this.#connection.abort();
    const parser = this.#parser;
    while (at < chunk.length && !parser.complete && parser.failure === undefined) at = parser.receive(chunk, at);
    if (parser.failure !== undefined) return this.#refuse();
    if (!parser.complete) return;
    const head = parser.head!;
    if (head.status === 101) return this.#switch(head, chunk, at);
    this.#answer(head);
    if (at < chunk.length) this.#connection.abort(); // see above
  }

  #answer(head: AnswerHead): void {
    const { body } = this.#parser;
    this.#finish({ head, body });
    if (!head.keepAlive) this.#connection.end();
  }

  #switch(head: AnswerHead, chunk: Uint8Array, at: number): void {
    const connection = this.#connection;
    const channel = this.#upgrade?.accept(head, connection) ?? "the server switched protocols unasked";
    if (typeof channel === "string") {
      this.#finish(new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET, SWOOLE_ERROR_HTTP_INVALID_PROTOCOL, channel));
      return connection.abort();
    }
    connection.protocol = channel;
    this.#finish({ head, body: this.#parser.body, channel });
    if (at < chunk.length) channel.receive(chunk, at);
  }

  #refuse(): void {
    const { tooLarge, failure } = this.#parser;
    const code = tooLarge ? SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE : SWOOLE_ERROR_HTTP_INVALID_PROTOCOL;
    this.#finish(new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET, code, failure!.reason));
    this.#connection.abort();
  }

  receiveEnd(): void {
    this.#parser.receiveEnd();
    if (this.#settle !== undefined && this.#parser.complete) this.#answer(this.#parser.head!);
    this.#connection.end(false);
  }

  onClosed(): void {
    if (this.#settle !== undefined) this.#finish(this.#reset());
  }

  onDeadline(): void {}

  onFault(): void {
    this.#connection.abort();
  }

  #reset(): ClientFailure {
    const Failure = this.#parser.begun ? ClientFailure : Unanswered;
    return new Failure(SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET, ECONNRESET);
  }

  #finish(outcome: Incoming | ClientFailure): void {
    clearTimeout(this.#timer);
    const settle = this.#settle;
    this.#settle = this.#upgrade = undefined;
    settle?.(outcome);
  }
}
