/**
 * The settings of a client, under Swoole's names: types, checks and defaults, and the TLS options derived from them.
 *
 * @module
 */

import { COMPRESSION_DEFAULTS, COMPRESSION_KINDS, type CompressionSettings } from "../websocket/connection/compression_policy.ts";
import { isToken } from "../http/request_head.ts";
import { checkValue, describe, type Kind, shown, suggestion } from "../values.ts";
import type { ConnectTls, Runtime } from "../transport/runtime.ts";
import {
  readAuthorities,
  readKey,
  readPem,
  SHARED_TLS_DEFAULTS,
  SHARED_TLS_KINDS,
  type SharedTlsSettings,
  tlsChoices,
} from "../transport/tls.ts";

/**
 * The TLS settings of a client, under Swoole's names.
 *
 * @example A client certificate, and a single trusted authority
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
  /** Whether the server's certificate is verified. Default `true`. */
  ssl_verify_peer?: boolean;
  /** The name expected in the server's certificate, if it is not the host. */
  ssl_host_name?: string;
}

/** The defaults of the TLS settings. */
const CLIENT_TLS_DEFAULTS: Readonly<Required<ClientTlsSettings>> = {
  ...SHARED_TLS_DEFAULTS,
  ssl_verify_peer: true,
  ssl_host_name: "",
};

/** The checks of the TLS settings. */
const CLIENT_TLS_KINDS: Record<keyof ClientTlsSettings, Kind> = {
  ...SHARED_TLS_KINDS,
  ssl_verify_peer: "boolean",
  ssl_host_name: "text",
};

/**
 * The settings of an `HttpClient`, under Swoole's names. Times are in seconds, sizes in bytes. `Client` is the type of the client
 * that `write_func` receives; the `set()` of a client knows its own.
 *
 * @example
 * ```ts
 * import { HttpClient } from "@sluice/server/coroutine";
 * import { assertThrows } from "@std/assert";
 *
 * const client = new HttpClient("127.0.0.1", 9501);
 * client.set({ timeout: 5, websocket_subprotocol: "chat" });
 * assertThrows(() => client.set({ timeout: -2 }), RangeError, "timeout");
 * ```
 */
// deno-lint-ignore no-explicit-any -- settings that belong to no client yet take a function for any
export interface HttpClientSettings<Client = any> extends CompressionSettings, ClientTlsSettings {
  // ---- time
  /** The default of `connect_timeout`, `read_timeout` and `write_timeout`; -1 for no limit. */
  timeout?: number;
  /** The time limit of connecting, including the TLS handshake. Default 10 s; 0 or -1 for no limit. */
  connect_timeout?: number;
  /** The time limit of a response (default 60 s), and the default time limit of `recv()` (default none); -1 for no limit. */
  read_timeout?: number;
  /** The time that `push()` waits for a server that does not read. Default -1, like 0: no limit. */
  write_timeout?: number;
  /** How often a request is repeated on a new connection if the server closed the old one without responding. Default 0. */
  max_retries?: number;

  // ---- HTTP
  /** Whether a request resolves as soon as it is sent, and `recvResponse()` waits for its response: see `setDefer()`. Default `false`. */
  defer?: boolean;
  /** Whether the connection is kept for the next request. Default `true`. */
  keep_alive?: boolean;
  /** Whether to request compressed responses. Default `true`. */
  http_compression?: boolean;
  /** Whether to decompress responses. Default `true`. */
  body_decompression?: boolean;
  /** Whether the names in `headers` are in lower case, instead of as the server sent them. Default `true`. */
  lowercase_header?: boolean;
  /**
   * A function that receives response bodies while they arrive; `body` is then empty. If it returns a promise, the server has to
   * wait until the promise settles. Calling `close()` in it ends the request. Default `null`.
   */
  write_func?: WriteFunction<Client> | null;
  /** The maximum size of a body and of a WebSocket message. Default 2 MiB. */
  package_max_length?: number;

  // ---- WebSocket
  /** The subprotocols to offer: names separated by commas, or a list. None by default. */
  websocket_subprotocol?: string | readonly string[];
  /** Whether `recv()` returns Ping frames and leaves replying to the program. Default `false`: they are answered at once. */
  open_websocket_ping_frame?: boolean;
  /** Whether `recv()` returns Pong frames. Default `true`. */
  open_websocket_pong_frame?: boolean;
  /**
   * Whether replying to Close frames is left to the program; `recv()` returns them in either case. Default `false`: they are
   * answered at once.
   */
  open_websocket_close_frame?: boolean;
  /** The time to wait for the server's Close after our own. Default 5 s; 0 for no limit. */
  websocket_close_timeout?: number;
  /** The silence of the server after which it is pinged. Default 30 s; 0 for never. */
  websocket_ping_interval?: number;
  /** The silence after a ping after which the connection is dropped. Default 30 s; 0 for never. */
  websocket_ping_timeout?: number;
  /**
   * The time limit for the rest of a message once it has begun; then the connection is closed with 1008. Default 60 s; 0 for no
   * limit.
   */
  websocket_message_timeout?: number;
  /** The maximum size of received messages waiting for `recv()`; above it, reading stops. Default 1 MiB. */
  input_buffer_size?: number;
  /** The maximum size of queued pushes that are not awaited. Default 8 MiB. */
  socket_buffer_size?: number;

  // ---- proxies
  /** The host of a SOCKS5 proxy (RFC 1928). None by default. */
  socks5_host?: string;
  /** The port of the SOCKS5 proxy. Default 1080. */
  socks5_port?: number;
  /** The user name for the SOCKS5 proxy (RFC 1929). None by default. */
  socks5_username?: string;
  /** The password for the SOCKS5 proxy. */
  socks5_password?: string;
  /** The host of an HTTP proxy. None by default; a SOCKS5 proxy takes precedence. */
  http_proxy_host?: string;
  /** The port of the HTTP proxy. Default 8080. */
  http_proxy_port?: number;
  /** The user name for the HTTP proxy (RFC 7617). None by default. */
  http_proxy_user?: string;
  /** The password for the HTTP proxy. */
  http_proxy_password?: string;

  // ---- sockets
  /** Whether small chunks are sent at once (TCP_NODELAY). Default `true`. */
  open_tcp_nodelay?: boolean;
  /** The local IP address to connect from. */
  bind_address?: string;
  /** The local port to connect from. Default 0: any. */
  bind_port?: number;
}

/** The type of `write_func`. It receives the client and one piece of a body. */
// deno-lint-ignore no-explicit-any -- as above
export type WriteFunction<Client = any> = (client: Client, data: Uint8Array) => unknown;

/** All settings with their values. */
export type ResolvedClientSettings = Readonly<Required<HttpClientSettings>>;

const DEFAULTS: ResolvedClientSettings = {
  ...COMPRESSION_DEFAULTS,
  timeout: 0,
  connect_timeout: 10,
  read_timeout: 0,
  write_timeout: -1,
  max_retries: 0,
  keep_alive: true,
  defer: false,
  http_compression: true,
  body_decompression: true,
  lowercase_header: true,
  write_func: null,
  package_max_length: 2 * 1024 * 1024,
  websocket_subprotocol: [],
  open_websocket_ping_frame: false,
  open_websocket_pong_frame: true,
  open_websocket_close_frame: false,
  websocket_close_timeout: 5,
  websocket_ping_interval: 30,
  websocket_ping_timeout: 30,
  websocket_message_timeout: 60,
  input_buffer_size: 1024 * 1024,
  socket_buffer_size: 8 * 1024 * 1024,
  socks5_host: "",
  socks5_port: 1080,
  socks5_username: "",
  socks5_password: "",
  http_proxy_host: "",
  http_proxy_port: 8080,
  http_proxy_user: "",
  http_proxy_password: "",
  open_tcp_nodelay: true,
  bind_address: "",
  bind_port: 0,
  ...CLIENT_TLS_DEFAULTS,
};

const PORT: Kind = { from: 1, to: 65535 };

const KINDS: Record<keyof HttpClientSettings, Kind> = {
  ...COMPRESSION_KINDS,
  timeout: "timeout",
  connect_timeout: "timeout",
  read_timeout: "timeout",
  write_timeout: "timeout",
  max_retries: "count",
  keep_alive: "boolean",
  defer: "boolean",
  http_compression: "boolean",
  body_decompression: "boolean",
  lowercase_header: "boolean",
  write_func: "function",
  package_max_length: "bytes",
  websocket_subprotocol: checkSubprotocols,
  open_websocket_ping_frame: "boolean",
  open_websocket_pong_frame: "boolean",
  open_websocket_close_frame: "boolean",
  websocket_close_timeout: "seconds",
  websocket_ping_interval: "seconds",
  websocket_ping_timeout: "seconds",
  websocket_message_timeout: "seconds",
  input_buffer_size: "bytes",
  socket_buffer_size: "bytes",
  socks5_host: "text",
  socks5_port: PORT,
  socks5_username: "text",
  socks5_password: "text",
  http_proxy_host: "text",
  http_proxy_port: PORT,
  http_proxy_user: "text",
  http_proxy_password: "text",
  open_tcp_nodelay: "boolean",
  bind_address: "text",
  bind_port: "count",
  ...CLIENT_TLS_KINDS,
};

/**
 * Checks settings.
 *
 * @throws {TypeError} If a key is unknown or a value has the wrong type.
 * @throws {RangeError} If a number is out of range.
 */
export function checkClientSettings(settings: HttpClientSettings): void {
  if (typeof settings !== "object" || settings === null || Array.isArray(settings)) {
    throw new TypeError(`Cannot set the settings: an object is needed, not ${describe(settings)}`);
  }
  for (const [key, value] of Object.entries(settings)) {
    if (!Object.hasOwn(KINDS, key)) {
      throw new TypeError(`Cannot set ${key}: there is no such setting${suggestion(key, Object.keys(KINDS))}`);
    }
    checkValue(key, KINDS[key as keyof HttpClientSettings], value);
  }
}

function checkSubprotocols(key: string, value: unknown): void {
  checkValue(key, "texts", value);
  subprotocolsOf(value as string | readonly string[]);
}

/**
 * Lists the subprotocols named by a setting or by a header of the program.
 *
 * @param names The names, separated by commas, or a list of them.
 * @throws {TypeError} If a name is not a token, which would be more than a name on the wire, or is repeated (RFC 6455 section
 * 4.1).
 */
export function subprotocolsOf(names: string | readonly string[]): string[] {
  const list = typeof names === "string" ? names.split(",").map((name) => name.trim()) : [...names];
  if (list.length === 1 && list[0] === "") return [];
  for (const [index, name] of list.entries()) {
    const quoted = shown(name);
    if (typeof name !== "string" || !isToken(name)) {
      throw new TypeError(`Cannot offer a subprotocol: ${quoted} is no name of one`);
    }
    if (list.indexOf(name) !== index) throw new TypeError(`Cannot offer a subprotocol: ${quoted} is there twice`);
  }
  return list;
}

/** Fills in the defaults of all settings that were not set, and applies `timeout` where it is the default. */
export function resolveClientSettings(settings: HttpClientSettings): ResolvedClientSettings {
  const { timeout } = settings;
  const common = timeout === undefined ? {} : { connect_timeout: timeout, read_timeout: timeout, write_timeout: timeout };
  return { ...DEFAULTS, ...common, ...settings };
}

/**
 * Reads the files named in the settings of a client.
 *
 * @throws {Error} If a file cannot be read.
 * @throws {TypeError} If a file is invalid, or only one of `ssl_cert_file` and `ssl_key_file` is set.
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
