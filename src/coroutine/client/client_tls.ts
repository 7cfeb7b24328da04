/**
 * The settings of TLS of a client, and what follows from them.
 *
 * @module
 */

import type { ConnectTls, Runtime } from "../../runtime.ts";
import type { Kind } from "../../setting_kinds.ts";
import {
  readAuthorities,
  readKey,
  readPem,
  SHARED_TLS_DEFAULTS,
  SHARED_TLS_KINDS,
  type SharedTlsSettings,
  tlsChoices,
} from "../../tls.ts";

/**
 * How a client speaks TLS, under Swoole's names.
 *
 * @example Show a certificate, and trust one authority
 * ```ts
 * import { SWOOLE_SSL_TLSv1_3 } from "@sluice/server";
 * import { HttpClient } from "@sluice/server/coroutine";
 *
 * const client = new HttpClient("chat.example", 443, true);
 * client.set({
 *   ssl_cert_file: "/etc/chat/client.pem",
 *   ssl_key_file: "/etc/chat/client_key.pem",
 *   ssl_cafile: "/etc/chat/authority.pem",
 *   ssl_protocols: SWOOLE_SSL_TLSv1_3,
 * });
 * ```
 */
export interface ClientTlsSettings extends SharedTlsSettings {
  /** Whether the server's certificate is checked. `true`. */
  ssl_verify_peer?: boolean;
  /** The name that the certificate has to be for, if it is not the host. */
  ssl_host_name?: string;
}

/** Their defaults. */
export const CLIENT_TLS_DEFAULTS: Readonly<Required<ClientTlsSettings>> = {
  ...SHARED_TLS_DEFAULTS,
  ssl_verify_peer: true,
  ssl_host_name: "",
};

/** What their values have to be. */
export const CLIENT_TLS_KINDS: Record<keyof ClientTlsSettings, Kind> = {
  ...SHARED_TLS_KINDS,
  ssl_verify_peer: "boolean",
  ssl_host_name: "text",
};

/**
 * Reads what the settings of a client name.
 *
 * @throws {Error} If a file cannot be read.
 * @throws {TypeError} If a file is not what it should be, or a certificate has no key.
 */
export async function readClientTls(
  runtime: Runtime,
  host: string,
  settings: Readonly<Required<ClientTlsSettings>>,
): Promise<ConnectTls> {
  const { ssl_cert_file, ssl_key_file, ssl_passphrase } = settings;
  if ((ssl_cert_file === "") !== (ssl_key_file === "")) {
    throw new TypeError("Cannot connect: ssl_cert_file and ssl_key_file need each other");
  }
  return {
    ...tlsChoices(settings),
    serverName: settings.ssl_host_name || host.replace(/^\[(.*)\]$/, "$1"),
    verifyPeer: settings.ssl_verify_peer,
    allowSelfSigned: settings.ssl_allow_self_signed,
    ca: await readAuthorities(runtime, settings) || undefined,
    cert: ssl_cert_file === "" ? undefined : await readPem(runtime, "ssl_cert_file", ssl_cert_file),
    key: ssl_key_file === "" ? undefined : await readKey(runtime, "ssl_key_file", ssl_key_file, ssl_passphrase),
    passphrase: ssl_passphrase || undefined,
  };
}
