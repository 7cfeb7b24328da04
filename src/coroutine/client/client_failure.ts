/**
 * Why a request of a client failed.
 *
 * @module
 */

import { ECONNREFUSED, ECONNRESET, ETIMEDOUT, SWOOLE_ERROR_DNSLOOKUP_RESOLVE_FAILED } from "../../errors.ts";

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

/** The numbers that Linux has for what a runtime tells by name. */
const SYSTEM_CODES: Readonly<Record<string, number>> = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EACCES: 13,
  EBUSY: 16,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  ENAMETOOLONG: 36,
  ELOOP: 40,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ECONNRESET,
  ETIMEDOUT,
  ECONNREFUSED,
  EHOSTUNREACH: 113,
  EDQUOT: 122,
  ENOTFOUND: SWOOLE_ERROR_DNSLOOKUP_RESOLVE_FAILED,
  EAI_AGAIN: SWOOLE_ERROR_DNSLOOKUP_RESOLVE_FAILED,
};

/** The number of what a runtime has thrown; `undefined` if it is none of the system's. */
export function systemCode(error: unknown): number | undefined {
  const code = String((error as { code?: unknown } | null)?.code ?? "");
  return Object.hasOwn(SYSTEM_CODES, code) ? SYSTEM_CODES[code] : undefined;
}

/** What went wrong with a file. */
export function fileFailure(status: number, error: unknown): ClientFailure {
  return new ClientFailure(status, systemCode(error) ?? SYSTEM_CODES.EIO, error instanceof Error ? error.message : String(error));
}
