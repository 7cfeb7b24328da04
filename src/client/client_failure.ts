/**
 * The reasons why a request of a client failed, with their error codes.
 *
 * @module
 */

import { SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED } from "../constants.ts";
import {
  SWOOLE_ERROR_CLIENT_NO_CONNECTION,
  SWOOLE_ERROR_SSL_HANDSHAKE_FAILED,
  SWOOLE_ERROR_SSL_VERIFY_FAILED,
  SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED,
} from "../errors.ts";
import type { AnswerHead } from "../http/response_parser.ts";
import { EIO, systemCode } from "../transport/system_codes.ts";
import { ProxyFailure } from "./proxy_handshakes.ts";

/** The reason why a response is missing or incomplete. */
export class ClientFailure {
  /** A `SWOOLE_HTTP_CLIENT_ESTATUS_*` number, or the status of the response if there is one. */
  readonly status: number;
  /** The error code. */
  readonly code: number;
  /** Details in addition to the code, for people. */
  readonly detail: string;

  constructor(status: number, code: number, detail = "") {
    this.status = status;
    this.code = code;
    this.detail = detail;
  }
}

/** The result of consuming a piece of a body: a failure if no more is accepted. */
export type Taken = ClientFailure | undefined | void;

/** The server closed the connection before it responded. The request may be repeated on another connection. */
export class Unanswered extends ClientFailure {}

/** A response with status 101 that does not open the WebSocket correctly. */
export class RefusedUpgrade extends ClientFailure {
  /** The head of the response. */
  readonly head: AnswerHead;

  constructor(head: AnswerHead, detail: string) {
    super(head.status, SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED, detail);
    this.head = head;
  }
}

/** Converts an error of the file system to a failure. */
export function fileFailure(status: number, error: unknown): ClientFailure {
  return new ClientFailure(status, systemCode(error) ?? EIO, error instanceof Error ? error.message : String(error));
}

/** Returns the failure of a client that is not connected. */
function notConnected(detail: string): ClientFailure {
  return new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED, SWOOLE_ERROR_CLIENT_NO_CONNECTION, detail);
}

/** Returns the failure of a request during which the client was closed. */
export function closedMeanwhile(): ClientFailure {
  return notConnected("it was closed meanwhile");
}

/** Codes of OpenSSL for certificate errors. */
const CERTIFICATE_CODE = /CERT|SELF_SIGNED|UNABLE_TO|HOSTNAME|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH/;

/**
 * Converts an error thrown while connecting to a failure.
 *
 * @param ssl Whether TLS was to be used.
 * @throws {TypeError} If the runtime cannot use the TLS settings.
 */
export function connectFailure(error: unknown, ssl: boolean): ClientFailure {
  const message = error instanceof Error ? error.message : String(error);
  const failure = (number: number, detail = "") => new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED, number, detail);
  const code = String((error as { code?: unknown } | null)?.code ?? "");
  if (code === "ERR_TLS_OPTION") throw new TypeError(`Cannot connect: ${message}`, { cause: error });
  if (error instanceof ProxyFailure) return failure(error.number, message);
  const known = systemCode(error);
  if (known !== undefined) return failure(known);
  if (!ssl) return notConnected(message);
  // Codes ERR_SSL_* are errors of TLS itself, even if they are about our own certificate.
  const certificate = !code.startsWith("ERR_SSL_") && CERTIFICATE_CODE.test(code);
  return failure(certificate ? SWOOLE_ERROR_SSL_VERIFY_FAILED : SWOOLE_ERROR_SSL_HANDSHAKE_FAILED, message);
}
