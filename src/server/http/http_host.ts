/**
 * What an `HttpSession` asks of its server.
 *
 * @module
 */

import type { Connection, Protocol } from "../../connection.ts";
import type { BodyCompression } from "../../http/content_coding.ts";
import type { RequestLimits } from "../../http/request_parser.ts";
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
  /** How long the head and the body of a request may take to arrive. */
  readonly requestTimeout: number;
  /** How long a connection may wait for its next request. */
  readonly keepAliveTimeout: number;
  /** How long a client may take nothing of an answer. */
  readonly sendTimeout: number;
  /** Milliseconds since 1970, coarse. */
  readonly now: number;
  /** The value for `Date`. */
  readonly date: string;
  /** Whether upgrade requests are handshakes here. */
  readonly takesUpgrades: boolean;
  /** Makes the response object of a request. */
  makeResponse(session: HttpSession, request: HttpRequest): WaitingResponse;
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
  /** A request was answered. */
  onAnswered(): void;
  /** Whether a connection's queue takes so many octets more; notes the last-error code if not. */
  hasRoom(connection: Connection, size: number): boolean;
  /** Notes a last-error code. */
  setError(code: number): void;
}
