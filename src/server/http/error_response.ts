/**
 * Error responses of the server: to bytes, to requests, and on connections that are refused.
 *
 * @module
 */

import type { ResponseWriter } from "../../http/response_writer.ts";
import { reasonPhrase } from "../../http/response_head.ts";
import type { HandshakeRefusal } from "../../websocket/handshake.ts";
import type { Exchange } from "./exchange.ts";
import { appendLatin1 } from "../../transport/bytes.ts";
import type { Connection, Protocol } from "../../transport/connection.ts";
import { deadlineIn } from "../../transport/deadlines.ts";
import type { Denial } from "../refusals.ts";
import type { HttpContext } from "./http_context.ts";

/** The reason for a refusal because of `max_buffer_memory`. */
export const SHORT_OF_MEMORY = "the server is short of memory";

/** The header field with the number of seconds until the client may try again. */
export const RETRY_LATER = "Retry-After: 5\r\n";

/**
 * Returns the response to bytes that are not a request for a handler. The connection closes after it.
 *
 * @param fields Further header fields, each with its CRLF.
 */
export function refusal(status: number, reason: string, date: string, fields = ""): string {
  return `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\nServer: sluice\r\nDate: ${date}\r\n` +
    `Connection: close\r\n${fields}Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${reason.length}\r\n\r\n${reason}`;
}

/** Refuses a request with a status and a line with the reason; `retryAfter` is in seconds. */
export function refuse(writer: ResponseWriter, { status, reason, retryAfter }: HandshakeRefusal & { retryAfter?: number }): void {
  if (retryAfter !== undefined) writer.header("Retry-After", String(retryAfter));
  if (status === 426) {
    writer.header("Upgrade", "websocket"); // RFC 9110 section 15.5.22
    writer.header("Sec-WebSocket-Version", "13", false); // RFC 6455 section 4.4
  }
  writer.status(status);
  writer.header("Content-Type", "text/plain");
  writer.end(reason);
}

/**
 * Refuses an exchange on behalf of the server, not of the program.
 *
 * @param kind What is refused, if it is not what the client takes it for.
 */
export function refuseExchange(
  exchange: Exchange,
  failure: HandshakeRefusal,
  kind: "handshake" | "request" = exchange.isUpgrade ? "handshake" : "request",
): void {
  const { connection, context, session, head, writer } = exchange;
  context.onRefused(connection, kind, failure, head);
  if (exchange.isUpgrade) session.closeBehind({ reason: failure.reason });
  refuse(writer, failure);
}

/** Responds to the first bytes with 503, without parsing them, and closes. */
export class RefusedSession implements Protocol {
  readonly #connection: Connection;
  readonly #context: HttpContext;
  readonly #denial: Denial;

  constructor(connection: Connection, context: HttpContext, denial: Denial) {
    this.#connection = connection;
    this.#context = context;
    this.#denial = denial;
    connection.deadline = deadlineIn(context.headerTimeout, context.now);
  }

  receive(): void {
    const { reason, retryAfter } = this.#denial;
    appendLatin1(this.#connection, refusal(503, reason, this.#context.date, `Retry-After: ${retryAfter}\r\n`));
    this.#connection.end(true);
  }

  receiveEnd(): void {
    this.#connection.end(false);
  }

  onDeadline(): void {
    this.#connection.end(true);
  }

  onFault(): void {
    this.#connection.abort();
  }

  onClosed(): void {}
}
