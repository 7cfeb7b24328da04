/**
 * What `set()` knows: Swoole's keys, their types and defaults.
 *
 * @module
 */

import { COMPRESSION_DEFAULTS, COMPRESSION_KINDS, type CompressionSettings } from "./compression.ts";

/**
 * The settings of a server, under Swoole's names. Times are in seconds, sizes in octets.
 *
 * @example
 * ```ts
 * import { WebSocketServer } from "@sluice/server";
 * import { assertThrows } from "@std/assert";
 *
 * const server = new WebSocketServer("127.0.0.1", 0);
 * server.set({ package_max_length: 64 * 1024, websocket_ping_interval: 20 });
 * assertThrows(() => server.set({ package_max_length: -1 }), RangeError, "package_max_length");
 * ```
 */
export interface ServerSettings extends CompressionSettings {
  // ---- WebSocket
  /** The subprotocols that the server speaks. The first of the client's list that is among them is answered. None by default. */
  websocket_subprotocol?: string | readonly string[];
  /** Deliver Close frames to `message`, as a `CloseFrame`, before they are answered. `false`. */
  open_websocket_close_frame?: boolean;
  /** Deliver Ping frames to `message` and leave the answer to it. `false`: they are answered at once. */
  open_websocket_ping_frame?: boolean;
  /** Deliver Pong frames to `message`. `false`. */
  open_websocket_pong_frame?: boolean;
  /**
   * Which pages may open a WebSocket: `"same-origin"` (default), `"*"`, or a list of origins such as
   * `["https://example.com"]`. Others get 403. Requests without `Origin`, which come from no page, always pass.
   */
  websocket_origins?: string | readonly string[];
  /** How long to wait for the peer's Close after our own. 5 s. */
  websocket_close_timeout?: number;
  /** Ping a peer that was silent for this long. 30 s; 0 for never. */
  websocket_ping_interval?: number;
  /** Drop a peer that stays silent for this long after a ping. 30 s. */
  websocket_ping_timeout?: number;

  // ---- limits
  /** The most octets of a WebSocket message (else close code 1009) and of an HTTP body (else 413). 2 MiB. */
  package_max_length?: number;
  /** The most octets that wait to be sent on a connection; beyond it `push()` returns `false` with 1009. 8 MiB. */
  socket_buffer_size?: number;
  /** Send queue at which `bufferFull` is called and reading stops. 80 % of `socket_buffer_size`. */
  buffer_high_watermark?: number;
  /** Send queue at which `bufferEmpty` and `drain` are called and reading goes on. 0. */
  buffer_low_watermark?: number;
  /** The most connections at a time; others are dropped at once. 100,000. */
  max_connection?: number;
  /** Another name of `max_connection`. */
  max_conn?: number;
  /** The most octets of a request line with its header fields; else 431. 64 KiB. */
  http_max_header_size?: number;
  /** The most header fields of a request; else 431. 128. */
  http_max_headers?: number;
  /** How long a request, a handshake or a TLS handshake may take to arrive; else 408 or the end. 10 s; 0 for ever. */
  http_request_timeout?: number;
  /** How long a connection may wait for its next request. 60 s; 0 for ever. */
  http_keepalive_timeout?: number;

  // ---- idle connections
  /** Close connections that sent nothing for this long. 0: never. */
  heartbeat_idle_time?: number;
  /** Accepted for Swoole's sake: if only this is set, the idle time is twice as long. 0. */
  heartbeat_check_interval?: number;
  /** Close connections on which nothing was sent or received for this long. 0: never. */
  max_idle_time?: number;

  // ---- sockets
  /** How many connections may wait to be accepted, where the runtime lets one say (Bun: 512). 512. */
  backlog?: number;
  /** Send small chunks at once (TCP_NODELAY). `true`. */
  open_tcp_nodelay?: boolean;
  /** Path of the certificate chain, PEM. Needed with `SWOOLE_SSL`. */
  ssl_cert_file?: string;
  /** Path of the private key, PEM. Needed with `SWOOLE_SSL`. */
  ssl_key_file?: string;

  // ---- the coroutine style
  /** How long `recv()` waits when it is not told. 0: for ever. */
  socket_read_timeout?: number;
  /** How long `push()` waits for a peer that does not read. 0: for ever. */
  socket_write_timeout?: number;

  // ---- the server
  /** The first fd is this plus 1. 0. */
  start_session_id?: number;
  /** Append log lines to this file; `/dev/null` for none. The console by default. */
  log_file?: string;
}

/** All settings with their values. */
export type ResolvedSettings = Readonly<Required<ServerSettings>>;

const DEFAULTS: ResolvedSettings = {
  ...COMPRESSION_DEFAULTS,
  websocket_subprotocol: [],
  open_websocket_close_frame: false,
  open_websocket_ping_frame: false,
  open_websocket_pong_frame: false,
  websocket_origins: "same-origin",
  websocket_close_timeout: 5,
  websocket_ping_interval: 30,
  websocket_ping_timeout: 30,
  package_max_length: 2 * 1024 * 1024,
  socket_buffer_size: 8 * 1024 * 1024,
  buffer_high_watermark: 0,
  buffer_low_watermark: 0,
  max_connection: 100_000,
  max_conn: 0,
  http_max_header_size: 64 * 1024,
  http_max_headers: 128,
  http_request_timeout: 10,
  http_keepalive_timeout: 60,
  heartbeat_idle_time: 0,
  heartbeat_check_interval: 0,
  max_idle_time: 0,
  backlog: 512,
  open_tcp_nodelay: true,
  ssl_cert_file: "",
  ssl_key_file: "",
  socket_read_timeout: 0,
  socket_write_timeout: 0,
  start_session_id: 0,
  log_file: "",
};

/** What a value has to be: of a type, a whole number of a range, or one of some words. A `timeout` may be -1, for ever. */
export type Kind =
  | "boolean"
  | "seconds"
  | "timeout"
  | "octets"
  | "count"
  | "text"
  | "texts"
  | { readonly from: number; readonly to: number }
  | readonly string[];

const KINDS: Record<keyof ServerSettings, Kind> = {
  ...COMPRESSION_KINDS,
  websocket_subprotocol: "texts",
  open_websocket_close_frame: "boolean",
  open_websocket_ping_frame: "boolean",
  open_websocket_pong_frame: "boolean",
  websocket_origins: "texts",
  websocket_close_timeout: "seconds",
  websocket_ping_interval: "seconds",
  websocket_ping_timeout: "seconds",
  package_max_length: "octets",
  socket_buffer_size: "octets",
  buffer_high_watermark: "octets",
  buffer_low_watermark: "octets",
  max_connection: "count",
  max_conn: "count",
  http_max_header_size: "octets",
  http_max_headers: "count",
  http_request_timeout: "seconds",
  http_keepalive_timeout: "seconds",
  heartbeat_idle_time: "seconds",
  heartbeat_check_interval: "seconds",
  max_idle_time: "seconds",
  backlog: "count",
  open_tcp_nodelay: "boolean",
  ssl_cert_file: "text",
  ssl_key_file: "text",
  socket_read_timeout: "seconds",
  socket_write_timeout: "seconds",
  start_session_id: "count",
  log_file: "text",
};

/**
 * Checks settings.
 *
 * @throws {TypeError} For a key that is unknown or a value of the wrong type.
 * @throws {RangeError} For a number that is out of range.
 */
export function checkSettings(settings: ServerSettings): void {
  for (const [key, value] of Object.entries(settings)) {
    if (!Object.hasOwn(KINDS, key)) throw new TypeError(`Cannot set ${key}: there is no such setting`);
    checkValue(key, KINDS[key as keyof ServerSettings], value);
  }
}

/** Checks the value of one setting; throws as `checkSettings()`. */
export function checkValue(key: string, kind: Kind, value: unknown): void {
  if (kind === "boolean") {
    if (typeof value !== "boolean") throw new TypeError(`Cannot set ${key}: a boolean is needed, not ${describe(value)}`);
  } else if (kind === "text") {
    if (typeof value !== "string") throw new TypeError(`Cannot set ${key}: a string is needed, not ${describe(value)}`);
  } else if (kind === "texts") {
    const list: unknown[] = Array.isArray(value) ? value : [value];
    if (!list.every((item) => typeof item === "string")) {
      throw new TypeError(`Cannot set ${key}: a string or a list of strings is needed, not ${describe(value)}`);
    }
  } else if (Array.isArray(kind)) {
    if (typeof value !== "string") throw new TypeError(`Cannot set ${key}: a string is needed, not ${describe(value)}`);
    if (!kind.includes(value)) throw new RangeError(`Cannot set ${key}: ${value} is none of ${kind.join(", ")}`);
  } else {
    if (typeof value !== "number") throw new TypeError(`Cannot set ${key}: a number is needed, not ${describe(value)}`);
    if (typeof kind === "object") {
      const { from, to } = kind as { from: number; to: number };
      if (Number.isInteger(value) && value >= from && value <= to) return;
      throw new RangeError(`Cannot set ${key}: ${value} is no whole number from ${from} to ${to}`);
    }
    if (kind === "timeout" && value === -1) return;
    const whole = kind !== "seconds" && kind !== "timeout";
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER) || (whole && !Number.isInteger(value))) {
      throw new RangeError(`Cannot set ${key}: ${value} is no ${whole ? "whole number" : "number"} from 0 on`);
    }
  }
}

/** Settings with everything that was not set, and what follows from what was. */
export function resolveSettings(given: ServerSettings, defaults: ServerSettings = {}): ResolvedSettings {
  const settings = { ...defaults, ...given };
  const all = { ...DEFAULTS, ...settings };
  if (settings.max_conn !== undefined) all.max_connection = settings.max_conn;
  if (settings.buffer_high_watermark === undefined) all.buffer_high_watermark = Math.floor(all.socket_buffer_size * 0.8);
  if (settings.heartbeat_idle_time === undefined && settings.heartbeat_check_interval !== undefined) {
    all.heartbeat_idle_time = settings.heartbeat_check_interval * 2;
  }
  return all;
}

function describe(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "a list" : typeof value;
}
