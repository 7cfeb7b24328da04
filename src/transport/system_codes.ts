/**
 * The system's error codes.
 *
 * @module
 */

import { ECONNREFUSED, ECONNRESET, ETIMEDOUT, SWOOLE_ERROR_DNSLOOKUP_RESOLVE_FAILED } from "../errors.ts";

/** The network cannot be reached. */
export const ENETUNREACH = 101;
/** The host cannot be reached. */
export const EHOSTUNREACH = 113;
/** An input/output error: used for errors without a code. */
export const EIO = 5;

/** Linux's numbers for the code names that runtimes report. */
const SYSTEM_CODES: Readonly<Record<string, number>> = {
  EPERM: 1,
  ENOENT: 2,
  EIO,
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
  EMSGSIZE: 90,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETUNREACH,
  ECONNRESET,
  ENOBUFS: 105,
  ETIMEDOUT,
  ECONNREFUSED,
  EHOSTUNREACH,
  EDQUOT: 122,
  ENOTFOUND: SWOOLE_ERROR_DNSLOOKUP_RESOLVE_FAILED,
  EAI_AGAIN: SWOOLE_ERROR_DNSLOOKUP_RESOLVE_FAILED,
};

/** Returns the number of an error thrown by a runtime, or `undefined` if it is not an error of the system. */
export function systemCode(error: unknown): number | undefined {
  const code = String((error as { code?: unknown } | null)?.code ?? "");
  return Object.hasOwn(SYSTEM_CODES, code) ? SYSTEM_CODES[code] : undefined;
}
