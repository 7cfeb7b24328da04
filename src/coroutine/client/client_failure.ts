/**
 * Why a request of a client failed.
 *
 * @module
 */

import { SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED } from "../../errors.ts";
import type { AnswerHead } from "../../http/response_parser.ts";
import { EIO, systemCode } from "../../system_codes.ts";

/** Why there is no answer, or not all of it. */
export class ClientFailure {
  /** A `SWOOLE_HTTP_CLIENT_ESTATUS_*` number; the status of the answer where there is one. */
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

/** A response with 101 that does not open a WebSocket as it should. */
export class RefusedUpgrade extends ClientFailure {
  /** Its head. */
  readonly head: AnswerHead;

  constructor(head: AnswerHead, detail: string) {
    super(head.status, SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED, detail);
    this.head = head;
  }
}

/** What went wrong with a file. */
export function fileFailure(status: number, error: unknown): ClientFailure {
  return new ClientFailure(status, systemCode(error) ?? EIO, error instanceof Error ? error.message : String(error));
}
