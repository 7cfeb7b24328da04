/**
 * Why a request of a client failed.
 *
 * @module
 */

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

/** What went wrong with a file. */
export function fileFailure(status: number, error: unknown): ClientFailure {
  return new ClientFailure(status, systemCode(error) ?? EIO, error instanceof Error ? error.message : String(error));
}
