/**
 * What an `HttpSession` asks of its server.
 *
 * @module
 */

import type { Protocol } from "../../connection.ts";
import type { BodyCompression } from "../../http/content_coding.ts";
import type { RequestLimits } from "../../http/request_parser.ts";
import type { Exchange } from "./exchange.ts";
import type { FormOptions } from "./form_reader.ts";
import type { HttpRequest, HttpRequestOptions } from "./http_request.ts";
import type { WaitingResponse } from "./http_response.ts";
import type { HttpSession } from "./http_session.ts";

/** What the sessions of one server share. Times in milliseconds; 0 turns one off. */
export interface HttpHost {
  /** What a peer may send. */
  readonly requestLimits: RequestLimits;
  /** How requests are read. */
  readonly requestOptions: HttpRequestOptions;
  /** How forms with files are read before the handler is called, if they are. */
  readonly forms: FormOptions | undefined;
  /** Whether the handler is called before the body is there. */
  readonly streamsBodies: boolean;
  /** How bodies are compressed, if they are. */
  readonly bodyCompression: BodyCompression | undefined;
  /** How long the head of a request may take to arrive. */
  readonly headerTimeout: number;
  /** How long a client may send nothing of a body; see `bodyMinRate`. */
  readonly bodyTimeout: number;
  /** How many bytes of a body in a second a client has to send; it may be behind by `bodyTimeout`. 0: any. */
  readonly bodyMinRate: number;
  /** How long a handler may take. */
  readonly handlerTimeout: number;
  /** How long a handshake may take, with what the program does for it. */
  readonly handshakeTimeout: number;
  /** How long a connection may wait for its next request. */
  readonly keepAliveTimeout: number;
  /** How long a client may take nothing of a response. */
  readonly sendTimeout: number;
  /** Whether clients that end their side still get the responses that they wait for. */
  readonly allowsHalfOpen: boolean;
  /** The clock of deadlines, coarse. */
  readonly now: number;
  /** The value for `Date`. */
  readonly date: string;
  /** Whether upgrade requests are handshakes here. */
  readonly takesUpgrades: boolean;
  /** Makes the response object of a request. */
  makeResponse(exchange: Exchange, request: HttpRequest): WaitingResponse;
  /** Whether it is `https`. */
  readonly isSecure: boolean;
  /** Answers a request with a file, if there is one; resolves to `false` if not, and never rejects. */
  serveFile(request: HttpRequest, response: WaitingResponse): Promise<boolean> | undefined;
  /** Answers a request. The promise, if any, settles when the handler is done. */
  onRequest(request: HttpRequest, response: WaitingResponse): void | Promise<void>;
  /** Answers a handshake. */
  onUpgrade(session: HttpSession, request: HttpRequest, response: WaitingResponse): void | Promise<void>;
  /** A handshake was answered with 101: makes the protocol that the connection speaks from now on. */
  onSwitch(session: HttpSession): Protocol;
  /** A response is complete. */
  onAnswered(): void;
  /** Tells people, in the log, what is wrong with an exchange. */
  warn(exchange: Exchange, what: string): void;
  /** Whether a queue of so many bytes takes so many more; notes the last-error code if not. */
  hasRoom(queued: number, size: number): boolean;
  /** Notes a last-error code. */
  setError(code: number): void;
}
