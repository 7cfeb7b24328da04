/**
 * The TLS settings of a server, and the options derived from them.
 *
 * @module
 */

import type { ClientCertificates, KeyPair, Runtime, TlsOptions } from "../../transport/runtime.ts";
import {
  readAuthorities,
  readKey,
  readPem,
  SHARED_TLS_DEFAULTS,
  SHARED_TLS_KINDS,
  type SharedTlsSettings,
  tlsChoices,
} from "../../transport/tls.ts";
import { checkValue, describe, isRecord, type Kind } from "../../values.ts";

/** A certificate for one host name, see `ssl_sni_certs`. */
export interface SniCertificate {
  /** The path of the certificate chain, in PEM format. */
  ssl_cert_file: string;
  /** The path of the private key, in PEM format. */
  ssl_key_file: string;
  /** The passphrase of the private key, if it is encrypted. */
  ssl_passphrase?: string;
}

/**
 * The TLS settings of a server, under Swoole's names.
 *
 * @example Accept only clients that have a certificate
 * ```ts
 * import { SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SSL, SWOOLE_SSL_TLSv1_2, SWOOLE_SSL_TLSv1_3, WebSocketServer } from "@sluice/server";
 *
 * const server = new WebSocketServer("127.0.0.1", 9501, SWOOLE_BASE, SWOOLE_SOCK_TCP | SWOOLE_SSL);
 * server.set({
 *   ssl_cert_file: "/etc/chat/server.pem",
 *   ssl_key_file: "/etc/chat/server_key.pem",
 *   ssl_protocols: SWOOLE_SSL_TLSv1_2 | SWOOLE_SSL_TLSv1_3,
 *   ssl_verify_peer: true,
 *   ssl_client_cert_file: "/etc/chat/authority.pem",
 * });
 * server.on("message", (server, frame) => {
 *   const info = server.getClientInfo(frame.fd);
 *   if (info !== false) server.push(frame.fd, info.ssl_client_cert ?? "nobody");
 * });
 * ```
 */
export interface TlsSettings extends SharedTlsSettings {
  /** Whether the order of `ssl_ciphers` takes precedence over the client's. Default: `true`. */
  ssl_prefer_server_ciphers?: boolean;
  /** The groups accepted for the key exchange, such as `"X25519:P-256"`. Default: the runtime's. Not in Deno. */
  ssl_ecdh_curve?: string;
  /**
   * The path of the parameters of the Diffie-Hellman key exchange (DHE), in PEM format. Without them DHE is not used. Only in
   * Node.
   */
  ssl_dhparam?: string;
  /**
   * Whether to accept only clients with a certificate of an authority of `ssl_client_cert_file`, `ssl_cafile` or `ssl_capath`,
   * one of which is required. Default: `false`.
   */
  ssl_verify_peer?: boolean;
  /**
   * The path of the trusted authorities, in PEM format. If it is set, clients are asked for a certificate even without
   * `ssl_verify_peer`.
   */
  ssl_client_cert_file?: string;
  /**
   * Further certificates by the host name that a client requests (SNI): `"example.com"`, or `"*.example.com"` for exactly one
   * label before it. For other names, and without a name, `ssl_cert_file` is used.
   */
  ssl_sni_certs?: Readonly<Record<string, SniCertificate>>;
}

/** The defaults of the TLS settings. */
export const TLS_DEFAULTS: Readonly<Required<TlsSettings>> = {
  ...SHARED_TLS_DEFAULTS,
  ssl_prefer_server_ciphers: true,
  ssl_ecdh_curve: "",
  ssl_dhparam: "",
  ssl_verify_peer: false,
  ssl_client_cert_file: "",
  ssl_sni_certs: {},
};

/** The valid values of the TLS settings. */
export const TLS_KINDS: Record<keyof TlsSettings, Kind> = {
  ...SHARED_TLS_KINDS,
  ssl_prefer_server_ciphers: "boolean",
  ssl_ecdh_curve: "text",
  ssl_dhparam: "text",
  ssl_verify_peer: "boolean",
  ssl_client_cert_file: "text",
  ssl_sni_certs: checkNames,
};

/** A host name, in the characters used on the wire. */
const HOST_NAME = /^(\*\.)?([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}$/i;

function checkNames(key: string, value: unknown): void {
  if (!isRecord(value)) throw new TypeError(`Cannot set ${key}: an object is needed, not ${describe(value)}`);
  for (const [name, pair] of Object.entries(value)) {
    if (!HOST_NAME.test(name)) throw new RangeError(`Cannot set ${key}: ${JSON.stringify(name)} is no host name`);
    if (!isRecord(pair)) throw new TypeError(`Cannot set ${key}: ${name} needs an object, not ${describe(pair)}`);
    for (const [part, text] of Object.entries({ ssl_cert_file: undefined, ssl_key_file: undefined, ...pair })) {
      if (!["ssl_cert_file", "ssl_key_file", "ssl_passphrase"].includes(part)) {
        throw new TypeError(`Cannot set ${key}: there is no ${part} for ${name}`);
      }
      checkValue(`${part} of ${name} in ${key}`, "text", text);
    }
  }
}

/**
 * Reads the files named by the settings of a port.
 *
 * @throws {TypeError} If a setting is missing, or a file has the wrong content.
 * @throws {Error} If a file cannot be read.
 */
export async function readTls(runtime: Runtime, settings: Readonly<Required<TlsSettings>>): Promise<TlsOptions> {
  for (const name of ["ssl_cert_file", "ssl_key_file"] as const) {
    if (settings[name] === "") throw new TypeError(`Cannot start the server: SWOOLE_SSL needs the setting ${name}`);
  }
  const { depth, ...choices } = tlsChoices(settings);
  const names = new Map<string, KeyPair>();
  for (const [name, pair] of Object.entries(settings.ssl_sni_certs)) {
    names.set(name.toLowerCase(), await readPair(runtime, pair, ` of ${name} in ssl_sni_certs`));
  }
  return {
    ...await readPair(runtime, settings, ""),
    ...choices,
    preferServerCiphers: choices.ciphers === undefined ? undefined : settings.ssl_prefer_server_ciphers,
    curves: ["", "auto"].includes(settings.ssl_ecdh_curve) ? undefined : settings.ssl_ecdh_curve,
    dhParameters: settings.ssl_dhparam === "" ? undefined : await readPem(runtime, "ssl_dhparam", settings.ssl_dhparam),
    clients: await readClients(runtime, settings, depth),
    names: names.size === 0 ? undefined : names,
  };
}

async function readPair(runtime: Runtime, pair: SniCertificate, where: string): Promise<KeyPair> {
  const { ssl_cert_file, ssl_key_file, ssl_passphrase = "" } = pair;
  return {
    cert: await readPem(runtime, `ssl_cert_file${where}`, ssl_cert_file),
    key: await readKey(runtime, `ssl_key_file${where}`, ssl_key_file, ssl_passphrase),
    passphrase: ssl_passphrase || undefined,
  };
}

/**
 * Reads the settings of client certificates. Requires authorities, because the default ones would accept any client with a
 * certificate from a public authority.
 */
async function readClients(
  runtime: Runtime,
  settings: Readonly<Required<TlsSettings>>,
  depth: number | undefined,
): Promise<ClientCertificates | undefined> {
  const { ssl_verify_peer: required, ssl_allow_self_signed: allowSelfSigned, ssl_client_cert_file } = settings;
  if (!required && ssl_client_cert_file === "") return undefined;
  const ca = await readAuthorities(runtime, settings, { ssl_client_cert_file });
  if (ca === "") {
    throw new TypeError("Cannot start the server: ssl_verify_peer needs ssl_client_cert_file, ssl_cafile or ssl_capath");
  }
  return { required, allowSelfSigned, ca, depth };
}
