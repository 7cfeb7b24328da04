/**
 * The codes of the system's errors.
 *
 * @module
 */

import { ECONNREFUSED, ECONNRESET, ETIMEDOUT, SWOOLE_ERROR_DNSLOOKUP_RESOLVE_FAILED } from "./errors.ts";

/** The network cannot be reached. */
export const ENETUNREACH = 101;
/** The host cannot be reached. */
export const EHOSTUNREACH = 113;
/** Something went wrong below: what is said of errors without a code. */
export const EIO = 5;

/** The numbers that Linux has for what a runtime tells by name. */
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

/** The number of what a runtime has thrown; `undefined` if it is none of the system's. */
export function systemCode(error: unknown): number | undefined {
  const code = String((error as { code?: unknown } | null)?.code ?? "");
  return Object.hasOwn(SYSTEM_CODES, code) ? SYSTEM_CODES[code] : undefined;
}
