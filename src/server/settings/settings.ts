/**
 * What `set()` knows: Swoole's keys, their types and defaults.
 *
 * @module
 */

import { COMPRESSION_DEFAULTS, COMPRESSION_KINDS, type CompressionSettings } from "../websocket/compression.ts";
import { HTTP_DEFAULTS, HTTP_KINDS, type HttpSettings } from "./http_settings.ts";
import { LOG_DEFAULTS, LOG_KINDS, type LogSettings } from "../log.ts";
import { mergePackageSettings, PACKAGE_DEFAULTS, PACKAGE_KINDS, type PackageSettings } from "./package_settings.ts";
import { UNLIMITED } from "../http/request_queue.ts";
import { checkValue, describe, isRecord, type Kind } from "../../setting_kinds.ts";
import { suggestion } from "../../similar_name.ts";
import { originMistake } from "../../websocket/origin.ts";
import { SOCKET_DEFAULTS, SOCKET_KINDS, type SocketSettings } from "./socket_settings.ts";
import { ABSENT_SETTINGS, checkAbsent, type IgnoredSettings } from "./swoole_settings.ts";
import { TLS_DEFAULTS, TLS_KINDS, type TlsSettings } from "./tls_settings.ts";

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
export interface ServerSettings
  extends CompressionSettings, HttpSettings, LogSettings, PackageSettings, SocketSettings, TlsSettings {
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
   * Which pages may open a WebSocket: `"same-origin"` (default), `"*"`, or a list such as `["same-origin", "https://example.com"]`;
   * `"null"` is for pages without an origin. Others get 403. Requests without `Origin`, which come from no page, always pass.
   */
  websocket_origins?: string | readonly string[];
  /** How long to wait for the peer's Close after our own. 5 s. */
  websocket_close_timeout?: number;
  /** Ping a peer that was silent for this long. 30 s; 0 for never. */
  websocket_ping_interval?: number;
  /** Drop a peer that stays silent for this long after a ping. 30 s. */
  websocket_ping_timeout?: number;
  /** How long the rest of a message may take to arrive, once it has begun; else the connection is closed with 1008. 60 s; 0 for ever. */
  websocket_message_timeout?: number;

  // ---- limits
  /** The most octets of a WebSocket message (else close code 1009) and of an HTTP body (else 413). 2 MiB. */
  package_max_length?: number;
  /** The most octets that wait to be sent on a connection; beyond it `push()` returns `false` with 1009. 8 MiB. */
  socket_buffer_size?: number;
  /** Send queue at which `bufferFull` is called and messages no longer start handlers. 80 % of `socket_buffer_size`. */
  buffer_high_watermark?: number;
  /** Send queue at which `bufferEmpty` and `drain` are called and reading goes on. 0. */
  buffer_low_watermark?: number;
  /** Bytes of received messages that may wait for the program on one connection; above it nothing more is read. 1 MiB. */
  input_buffer_size?: number;
  /** The most `message` handlers of one connection that may be under way at a time; others wait. 1 for one after the other. 256. */
  max_handlers_per_connection?: number;
  /** The most connections at a time; others are dropped at once. 100,000. */
  max_connection?: number;
  /** Another name of `max_connection`. */
  max_conn?: number;
  /** The most requests that may be in work at a time, or wait for it; others get 503. Event style. 4294967295: no limit. */
  max_concurrency?: number;
  /** The most requests whose handlers may run at a time; others wait for their turn. Event style. `max_concurrency`. */
  worker_max_concurrency?: number;
  /** The most octets of a request line with its header fields; else 431. 64 KiB. */
  http_max_header_size?: number;
  /** The most header fields of a request; else 431. 128. */
  http_max_headers?: number;
  /** `http_header_timeout` and `http_body_timeout`, where they are not set; and how long a TLS handshake may take. 10 s; 0 for ever. */
  http_request_timeout?: number;
  /** How long a connection may wait for its next request. 60 s; 0 for ever. */
  http_keepalive_timeout?: number;
  /** How long a client may take nothing of a response, of which it is sent up to 256 KiB at a time; else it is dropped. 60 s; 0 for ever. */
  http_send_timeout?: number;

  // ---- what a port speaks
  /** HTTP: a port that has settings of its own and not this one, nor the next, speaks nothing, and calls `receive`. `false`. */
  open_http_protocol?: boolean;
  /** HTTP and WebSocket: see `open_http_protocol`. `false`. */
  open_websocket_protocol?: boolean;

  // ---- idle connections
  /** Close connections that sent nothing for this long. 0: never; if only the check interval is set: twice as long. */
  heartbeat_idle_time?: number;
  /**
   * Accepted for Swoole's sake: idle connections are closed when it is time, not at the next check. If only the idle time is set:
   * half as long, 1 at least. `heartbeat()` does nothing when both are 0.
   */
  heartbeat_check_interval?: number;
  /** Close connections on which nothing was sent or received for this long. 0: never. */
  max_idle_time?: number;

  // ---- the coroutine style
  /** How long `recv()` waits when it is not told. 0: for ever. */
  socket_read_timeout?: number;
  /** Another name of `socket_read_timeout`, which counts more. */
  socket_recv_timeout?: number;
  /** How long `push()` waits for a peer that does not read. 0: for ever. */
  socket_write_timeout?: number;
  /** Another name of `socket_write_timeout`, which counts more. */
  socket_send_timeout?: number;
  /** Both of them, where they are not set. */
  socket_timeout?: number;

  // ---- the server
  /** Do not read connections before `confirm(fd)`. `false`. */
  enable_delay_receive?: boolean;
  /** The first fd is this plus 1. 0. */
  start_session_id?: number;
  /** `connect`, `receive`, `close` and `disconnect` get one `ServerEvent` behind the server, `packet` a `Packet`. `false`. */
  event_object?: boolean;
  /** How long `shutdown()` waits for handlers and responses, unless it is told; after that they are cut off. 3 s; 0 for ever. */
  max_wait_time?: number;
  /** SIGTERM and SIGINT stop the server, and then the process, unless the program listens to them itself. `true`. */
  enable_signal_handlers?: boolean;
  /**
   * Write `stats()` to this file, again and again: a line for each, as JSON when its name ends in `.json`, as OpenMetrics when it
   * ends in `.prom`. None by default.
   */
  stats_file?: string;
  /** How often, in milliseconds (as in Swoole). 1000. */
  stats_timer_interval?: number;
}

/** The settings that hold for all ports together. */
export type ServerWideSetting =
  | "max_connection"
  | "max_conn"
  | "max_concurrency"
  | "worker_max_concurrency"
  | "start_session_id"
  | "enable_delay_receive"
  | "event_object"
  | keyof LogSettings
  | "max_wait_time"
  | "enable_signal_handlers"
  | "stats_file"
  | "stats_timer_interval"
  | "socket_read_timeout"
  | "socket_recv_timeout"
  | "socket_write_timeout"
  | "socket_send_timeout"
  | "socket_timeout";

const SERVER_WIDE: readonly ServerWideSetting[] = [
  "max_connection",
  "max_conn",
  "max_concurrency",
  "worker_max_concurrency",
  "start_session_id",
  "enable_delay_receive",
  "event_object",
  "log_file",
  "log_level",
  "log_date_format",
  "log_date_with_microseconds",
  "log_rotation",
  "max_wait_time",
  "enable_signal_handlers",
  "stats_file",
  "stats_timer_interval",
  "socket_read_timeout",
  "socket_recv_timeout",
  "socket_write_timeout",
  "socket_send_timeout",
  "socket_timeout",
];

/** The settings of a port: those of a server but for what holds for all ports together. */
export type PortSettings = Omit<ServerSettings, ServerWideSetting>;

/** All settings with their values. */
export type ResolvedSettings = Readonly<Required<ServerSettings>>;

const DEFAULTS: ResolvedSettings = {
  ...COMPRESSION_DEFAULTS,
  ...HTTP_DEFAULTS,
  ...LOG_DEFAULTS,
  ...PACKAGE_DEFAULTS,
  ...SOCKET_DEFAULTS,
  ...TLS_DEFAULTS,
  websocket_subprotocol: [],
  open_websocket_close_frame: false,
  open_websocket_ping_frame: false,
  open_websocket_pong_frame: false,
  websocket_origins: "same-origin",
  websocket_close_timeout: 5,
  websocket_ping_interval: 30,
  websocket_ping_timeout: 30,
  websocket_message_timeout: 60,
  package_max_length: 2 * 1024 * 1024,
  socket_buffer_size: 8 * 1024 * 1024,
  buffer_high_watermark: 0,
  input_buffer_size: 1024 * 1024,
  max_handlers_per_connection: 256,
  buffer_low_watermark: 0,
  max_connection: 100_000,
  max_conn: 0,
  max_concurrency: UNLIMITED,
  worker_max_concurrency: UNLIMITED,
  http_max_header_size: 64 * 1024,
  http_max_headers: 128,
  http_request_timeout: 10,
  http_keepalive_timeout: 60,
  http_send_timeout: 60,
  open_http_protocol: false,
  open_websocket_protocol: false,
  heartbeat_idle_time: 0,
  heartbeat_check_interval: 0,
  max_idle_time: 0,
  enable_delay_receive: false,
  socket_read_timeout: 0,
  socket_recv_timeout: 0,
  socket_write_timeout: 0,
  socket_send_timeout: 0,
  socket_timeout: 0,
  start_session_id: 0,
  event_object: false,
  max_wait_time: 3,
  enable_signal_handlers: true,
  stats_file: "",
  stats_timer_interval: 1000,
};

/** What their values have to be. */
const KINDS: Record<keyof ServerSettings, Kind> = {
  ...COMPRESSION_KINDS,
  ...HTTP_KINDS,
  ...LOG_KINDS,
  ...PACKAGE_KINDS,
  ...SOCKET_KINDS,
  ...TLS_KINDS,
  websocket_subprotocol: "texts",
  open_websocket_close_frame: "boolean",
  open_websocket_ping_frame: "boolean",
  open_websocket_pong_frame: "boolean",
  websocket_origins: checkOrigins,
  websocket_close_timeout: "seconds",
  websocket_ping_interval: "seconds",
  websocket_ping_timeout: "seconds",
  websocket_message_timeout: "seconds",
  package_max_length: "octets",
  socket_buffer_size: "octets",
  buffer_high_watermark: "octets",
  input_buffer_size: "octets",
  max_handlers_per_connection: { from: 1, to: Number.MAX_SAFE_INTEGER },
  buffer_low_watermark: "octets",
  max_connection: "count",
  max_conn: "count",
  max_concurrency: { from: 1, to: UNLIMITED },
  worker_max_concurrency: { from: 1, to: UNLIMITED },
  http_max_header_size: "octets",
  http_max_headers: "count",
  http_request_timeout: "seconds",
  http_keepalive_timeout: "seconds",
  http_send_timeout: "seconds",
  open_http_protocol: "boolean",
  open_websocket_protocol: "boolean",
  heartbeat_idle_time: "seconds",
  heartbeat_check_interval: "seconds",
  max_idle_time: "seconds",
  enable_delay_receive: "boolean",
  socket_read_timeout: "seconds",
  socket_recv_timeout: "seconds",
  socket_write_timeout: "seconds",
  socket_send_timeout: "seconds",
  socket_timeout: "seconds",
  start_session_id: "count",
  event_object: "boolean",
  max_wait_time: "seconds",
  enable_signal_handlers: "boolean",
  stats_file: "text",
  stats_timer_interval: { from: 1, to: 0x7fffffff },
};

function checkOrigins(key: string, value: unknown): void {
  checkValue(key, "texts", value);
  for (const entry of typeof value === "string" ? [value] : value as string[]) {
    const mistake = originMistake(entry);
    if (mistake !== undefined) throw new TypeError(`Cannot set ${key}: ${mistake}`);
  }
}

/** Settings that have several names: the one in use, and what stands for it where it is not set, the first one first. */
const ALIASES: readonly (readonly (keyof ServerSettings)[])[] = [
  ["max_connection", "max_conn"],
  ["worker_max_concurrency", "max_concurrency"],
  ["package_body_offset", "package_body_start"],
  ["http_header_timeout", "http_request_timeout"],
  ["http_body_timeout", "http_request_timeout"],
  ["http_compression_level", "compression_level", "http_gzip_level"],
  ["http_compression_min_length", "compression_min_length"],
  ["http_compression_types", "compression_types"],
  ["socket_read_timeout", "socket_recv_timeout", "socket_timeout"],
  ["socket_write_timeout", "socket_send_timeout", "socket_timeout"],
];

/**
 * Checks settings.
 *
 * @throws {TypeError} For a key that is unknown, a value of the wrong type, or one of Swoole's settings that is not here.
 * @throws {RangeError} For a number that is out of range.
 */
export function checkSettings(settings: ServerSettings & IgnoredSettings): void {
  if (!isRecord(settings)) throw new TypeError(`Cannot set the settings: an object is needed, not ${describe(settings)}`);
  for (const [key, value] of Object.entries(settings)) {
    if (Object.hasOwn(KINDS, key)) {
      checkValue(key, KINDS[key as keyof ServerSettings], value);
      continue;
    }
    const absent = ABSENT_SETTINGS.get(key);
    if (absent === undefined) {
      const meant = suggestion(key, [...Object.keys(KINDS), ...ABSENT_SETTINGS.keys()]);
      throw new TypeError(`Cannot set ${key}: there is no such setting${meant}`);
    }
    checkAbsent(key, absent, value);
  }
}

/** Checks that settings are none that a port cannot have of its own; throws a `TypeError`. */
export function checkPortSettings(settings: ServerSettings): void {
  for (const key of SERVER_WIDE) {
    if (Object.hasOwn(settings, key)) throw new TypeError(`Cannot set ${key} on a port: it holds for the whole server`);
  }
}

/** The settings of a server with those of a port instead where there are any. One way to find packages replaces the other. */
export function mergeSettings(server: ServerSettings, port: ServerSettings): ServerSettings {
  return mergePackageSettings(server, port);
}

/** Settings with everything that was not set, and what follows from what was. */
export function resolveSettings(given: ServerSettings, defaults: ServerSettings = {}): ResolvedSettings {
  const settings = { ...defaults, ...given };
  const all = { ...DEFAULTS, ...settings };
  for (const names of ALIASES) {
    const set = names.find((name) => settings[name] !== undefined);
    if (set !== undefined) Object.assign(all, { [names[0]]: settings[set] });
  }
  if (settings.buffer_high_watermark === undefined) all.buffer_high_watermark = Math.floor(all.socket_buffer_size * 0.8);
  if (given.buffer_low_watermark === undefined && all.buffer_low_watermark > all.buffer_high_watermark) {
    all.buffer_low_watermark = Math.floor(all.buffer_high_watermark / 2);
  }
  if (settings.heartbeat_idle_time === undefined && settings.heartbeat_check_interval !== undefined) {
    all.heartbeat_idle_time = settings.heartbeat_check_interval * 2;
  } else if (settings.heartbeat_check_interval === undefined && all.heartbeat_idle_time > 0) {
    all.heartbeat_check_interval = Math.max(1, all.heartbeat_idle_time / 2);
  }
  return all;
}
