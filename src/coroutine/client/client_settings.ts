/**
 * What `set()` of a client knows: Swoole's keys, their types and defaults.
 *
 * @module
 */

import type { HttpClient } from "./http_client.ts";
import { COMPRESSION_DEFAULTS, COMPRESSION_KINDS, type CompressionSettings } from "../../server/websocket/compression.ts";
import { isToken } from "../../http/head.ts";
import { checkValue, type Kind } from "../../setting_kinds.ts";
import { suggestion } from "../../similar_name.ts";
import { CLIENT_TLS_DEFAULTS, CLIENT_TLS_KINDS, type ClientTlsSettings } from "./client_tls.ts";

/**
 * The settings of an `HttpClient`, under Swoole's names. Times are in seconds, sizes in octets.
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
export interface HttpClientSettings extends CompressionSettings, ClientTlsSettings {
  // ---- time
  /** Stands for `connect_timeout`, `read_timeout` and `write_timeout` where they are not set. -1 for ever. */
  timeout?: number;
  /** How long connecting may take, TLS included. 10 s; -1 for ever. */
  connect_timeout?: number;
  /** How long an answer may take, and `recv()` when it is not told. An answer 60 s, `recv()` for ever; -1 for ever. */
  read_timeout?: number;
  /** How long `push()` waits for a server that does not read. -1: for ever. */
  write_timeout?: number;
  /** How often a request is repeated on a new connection when the server closed the old one before it answered. 0. */
  max_retries?: number;

  // ---- HTTP
  /** A request resolves when it is out, and `recv()` waits for its answer: see `setDefer()`. `false`. */
  defer?: boolean;
  /** Keep the connection for the next request. `true`. */
  keep_alive?: boolean;
  /** Ask for compressed answers. `true`. */
  http_compression?: boolean;
  /** Decompress answers. `true`. */
  body_decompression?: boolean;
  /** The names in `headers` are in lower case. `true`; `false`: as the server sent them. */
  lowercase_header?: boolean;
  /**
   * Takes the bodies of answers while they arrive; `body` is empty then. While a promise that it returned is pending, the server
   * has to wait. `close()` in it ends the request. `null`: none.
   */
  write_func?: WriteFunction | null;
  /** The most octets of a body and of a WebSocket message. 2 MiB. */
  package_max_length?: number;

  // ---- WebSocket
  /** The subprotocols to offer: names separated by commas, or a list. None by default. */
  websocket_subprotocol?: string | readonly string[];
  /** `recv()` returns Ping frames, and the program answers them. `false`: they are answered at once. */
  open_websocket_ping_frame?: boolean;
  /** `recv()` returns Pong frames. `true`. */
  open_websocket_pong_frame?: boolean;
  /** The program answers Close frames, which `recv()` returns in any case. `false`: they are answered at once. */
  open_websocket_close_frame?: boolean;
  /** How long to wait for the server's Close after our own. 5 s. */
  websocket_close_timeout?: number;
  /** Ping a server that was silent for this long. 30 s; 0 for never. */
  websocket_ping_interval?: number;
  /** Drop a server that stays silent for this long after a ping. 30 s. */
  websocket_ping_timeout?: number;
  /** How long the rest of a message may take to arrive, once it has begun; else the connection is closed with 1008. 60 s; 0 for ever. */
  websocket_message_timeout?: number;
  /** Bytes of received messages that may wait for `recv()`; above it nothing more is read. 1 MiB. */
  input_buffer_size?: number;
  /** The most octets in pushes that wait for room and that nobody awaits. 8 MiB. */
  socket_buffer_size?: number;

  // ---- proxies
  /** The host of a SOCKS5 proxy (RFC 1928). None by default. */
  socks5_host?: string;
  /** Its port. 1080. */
  socks5_port?: number;
  /** The name that the SOCKS5 proxy is shown (RFC 1929). None by default. */
  socks5_username?: string;
  /** The password that goes with it. */
  socks5_password?: string;
  /** The host of an HTTP proxy. None by default; a SOCKS5 proxy is preferred. */
  http_proxy_host?: string;
  /** Its port. 8080. */
  http_proxy_port?: number;
  /** The name that the HTTP proxy is shown (RFC 7617). None by default. */
  http_proxy_user?: string;
  /** The password that goes with it. */
  http_proxy_password?: string;

  // ---- sockets
  /** Send small chunks at once (TCP_NODELAY). `true`. */
  open_tcp_nodelay?: boolean;
  /** The IP address to connect from. */
  bind_address?: string;
  /** The port to connect from. 0: any. */
  bind_port?: number;
}

/** What `write_func` is: it takes a piece of a body. */
export type WriteFunction = (client: HttpClient, data: Uint8Array) => unknown;

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
  package_max_length: "octets",
  websocket_subprotocol: checkSubprotocols,
  open_websocket_ping_frame: "boolean",
  open_websocket_pong_frame: "boolean",
  open_websocket_close_frame: "boolean",
  websocket_close_timeout: "seconds",
  websocket_ping_interval: "seconds",
  websocket_ping_timeout: "seconds",
  websocket_message_timeout: "seconds",
  input_buffer_size: "octets",
  socket_buffer_size: "octets",
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
 * @throws {TypeError} For a key that is unknown or a value of the wrong type.
 * @throws {RangeError} For a number that is out of range.
 */
export function checkClientSettings(settings: HttpClientSettings): void {
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
 * Lists the subprotocols that a setting or a header of the program names.
 *
 * @param names The names, separated by commas, or a list of them.
 * @throws {TypeError} If one is no token, or is named twice (RFC 6455 section 4.1): it would be more than a name on the wire.
 */
export function subprotocolsOf(names: string | readonly string[]): string[] {
  const list = typeof names === "string" ? names.split(",").map((name) => name.trim()) : [...names];
  if (list.length === 1 && list[0] === "") return [];
  for (const [index, name] of list.entries()) {
    const shown = JSON.stringify(name);
    if (typeof name !== "string" || !isToken(name)) throw new TypeError(`Cannot offer a subprotocol: ${shown} is no name of one`);
    if (list.indexOf(name) !== index) throw new TypeError(`Cannot offer a subprotocol: ${shown} is there twice`);
  }
  return list;
}

/** Settings with everything that was not set. `timeout` has been put where it stands for others. */
export function resolveClientSettings(settings: HttpClientSettings): ResolvedClientSettings {
  const { timeout } = settings;
  const common = timeout === undefined ? {} : { connect_timeout: timeout, read_timeout: timeout, write_timeout: timeout };
  return { ...DEFAULTS, ...common, ...settings };
}
