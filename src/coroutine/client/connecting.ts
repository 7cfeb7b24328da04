/**
 * How a client gets its connection, and what it says when it gets none.
 *
 * @module
 */

import { SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED } from "../../constants.ts";
import {
  ETIMEDOUT,
  SWOOLE_ERROR_CLIENT_NO_CONNECTION,
  SWOOLE_ERROR_SSL_HANDSHAKE_FAILED,
  SWOOLE_ERROR_SSL_VERIFY_FAILED,
} from "../../errors.ts";
import { type BytePipe, loadRuntime } from "../../runtime.ts";
import { delayOf } from "../alarm.ts";
import { systemCode } from "../../system_codes.ts";
import { ClientFailure } from "./client_failure.ts";
import type { ResolvedClientSettings } from "./client_settings.ts";
import { readClientTls } from "./client_tls.ts";
import { type Target, wayTo } from "./proxy.ts";
import { ProxyFailure } from "./proxy_failure.ts";

/**
 * Connects.
 *
 * @param target Whom to.
 * @param settings The client's.
 * @param upgrades Whether it is for a WebSocket.
 * @param aborter Gives up, when the client is closed meanwhile.
 * @returns The pipe, or why there is none.
 * @throws {Error} If a file of the settings cannot be read.
 * @throws {TypeError} If TLS cannot be spoken as the settings say.
 */
export async function connect(
  target: Target,
  settings: ResolvedClientSettings,
  upgrades: boolean,
  aborter: AbortController,
): Promise<BytePipe | ClientFailure> {
  const runtime = await loadRuntime();
  const tls = target.ssl ? await readClientTls(runtime, target.host, settings) : undefined;
  const way = wayTo(target, settings, upgrades);
  const { connect_timeout } = settings;
  const late = new AbortController();
  const timer = connect_timeout > 0 ? setTimeout(() => late.abort(), delayOf(connect_timeout)) : undefined;
  try {
    return await runtime.connect({
      ...way,
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
  const message = messageOf(error);
  const failure = (number: number, detail = "") => new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED, number, detail);
  if (error instanceof ProxyFailure) return failure(error.number, message);
  const known = systemCode(error);
  if (known !== undefined) return failure(known);
  if (!ssl) return notConnected(message);
  const code = codeOf(error);
  const certificate = !code.startsWith("ERR_SSL_") && CERTIFICATE_CODE.test(code); // those are of TLS, also about our certificate
  return failure(certificate ? SWOOLE_ERROR_SSL_VERIFY_FAILED : SWOOLE_ERROR_SSL_HANDSHAKE_FAILED, message);
}
