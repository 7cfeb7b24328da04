/**
 * How a client gets its connection, and what it says when it gets none.
 *
 * @module
 */

import { SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED } from "../constants.ts";
import {
  ECONNREFUSED,
  ECONNRESET,
  ETIMEDOUT,
  SWOOLE_ERROR_CLIENT_NO_CONNECTION,
  SWOOLE_ERROR_DNSLOOKUP_RESOLVE_FAILED,
  SWOOLE_ERROR_SSL_HANDSHAKE_FAILED,
  SWOOLE_ERROR_SSL_VERIFY_FAILED,
} from "../errors.ts";
import { type BytePipe, loadRuntime } from "../runtime.ts";
import { ClientFailure } from "./client_session.ts";
import type { ResolvedClientSettings } from "./client_settings.ts";
import { readClientTls } from "./client_tls.ts";
import { delayOf } from "./alarm.ts";

/** Whom a client talks to. */
export interface Target {
  /** The host; `unix:` and a path for a unix socket. */
  readonly host: string;
  /** The port. */
  readonly port: number;
  /** Whether to speak TLS. */
  readonly ssl: boolean;
}

/** The numbers that Linux has for what a runtime tells by name. */
const SYSTEM_CODES: Readonly<Record<string, number>> = {
  ENOENT: 2,
  EACCES: 13,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ECONNRESET,
  ETIMEDOUT,
  ECONNREFUSED,
  EHOSTUNREACH: 113,
  ENOTFOUND: SWOOLE_ERROR_DNSLOOKUP_RESOLVE_FAILED,
  EAI_AGAIN: SWOOLE_ERROR_DNSLOOKUP_RESOLVE_FAILED,
};

/**
 * Connects.
 *
 * @param target Whom to.
 * @param settings The client's.
 * @param aborter Gives up, when the client is closed meanwhile.
 * @returns The pipe, or why there is none.
 * @throws {Error} If a file of the settings cannot be read.
 * @throws {TypeError} If TLS cannot be spoken as the settings say.
 */
export async function connect(
  target: Target,
  settings: ResolvedClientSettings,
  aborter: AbortController,
): Promise<BytePipe | ClientFailure> {
  const runtime = await loadRuntime();
  const tls = target.ssl ? await readClientTls(runtime, target.host, settings) : undefined;
  const unix = target.host.startsWith("unix:");
  const { connect_timeout } = settings;
  const late = new AbortController();
  const timer = connect_timeout > 0 ? setTimeout(() => late.abort(), delayOf(connect_timeout)) : undefined;
  try {
    return await runtime.connect({
      transport: unix ? "unix" : "tcp",
      hostname: unix ? unixPath(target.host) : target.host.replace(/^\[(.*)\]$/, "$1"),
      port: unix ? 0 : target.port,
      noDelay: settings.open_tcp_nodelay,
      localHostname: settings.bind_address === "" ? undefined : settings.bind_address,
      localPort: settings.bind_port === 0 ? undefined : settings.bind_port,
      tls,
      signal: AbortSignal.any([aborter.signal, late.signal]),
    });
  } catch (error) {
    if (aborter.signal.aborted) return notConnected("it was closed meanwhile");
    if (late.signal.aborted) return new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED, ETIMEDOUT);
    if (codeOf(error) === "ERR_TLS_OPTION") throw new TypeError(`Cannot connect: ${messageOf(error)}`, { cause: error });
    return explain(error, target.ssl);
  } finally {
    clearTimeout(timer);
  }
}

/** The path in `unix:/path` and `unix:///path`. */
export function unixPath(host: string): string {
  return host.replace(/^unix:(?:\/\/)?/, "");
}

/** The failure of a client without a connection. */
export function notConnected(detail: string): ClientFailure {
  return new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED, SWOOLE_ERROR_CLIENT_NO_CONNECTION, detail);
}

/** What OpenSSL calls the faults of a certificate. */
const CERTIFICATE_CODE = /CERT|SELF_SIGNED|UNABLE_TO|HOSTNAME|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH/;

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? "");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function explain(error: unknown, ssl: boolean): ClientFailure {
  const code = codeOf(error);
  const message = messageOf(error);
  if (Object.hasOwn(SYSTEM_CODES, code)) return new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED, SYSTEM_CODES[code]);
  if (!ssl) return notConnected(message);
  const certificate = !code.startsWith("ERR_SSL_") && CERTIFICATE_CODE.test(code); // those are of TLS, also about our certificate
  const number = certificate ? SWOOLE_ERROR_SSL_VERIFY_FAILED : SWOOLE_ERROR_SSL_HANDSHAKE_FAILED;
  return new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED, number, message);
}
