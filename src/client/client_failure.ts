/**
 * The reasons why a request of a client failed.
 *
 * @module
 */

import { SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED } from "../errors.ts";
import type { AnswerHead } from "../http/response_parser.ts";
import { EIO, systemCode } from "../transport/system_codes.ts";

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
