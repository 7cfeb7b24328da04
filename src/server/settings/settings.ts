/**
 * The settings of `set()`: Swoole's keys, their types and defaults.
 *
 * @module
 */

import {
  COMPRESSION_DEFAULTS,
  COMPRESSION_KINDS,
  type CompressionSettings,
} from "../../websocket/connection/compression_policy.ts";
import { HTTP_DEFAULTS, HTTP_KINDS, type HttpSettings } from "./http_settings.ts";
import {
  LIMIT_DEFAULTS,
  LIMIT_KINDS,
  type LimitSettings,
  mergePackageSettings,
  PACKAGE_DEFAULTS,
  PACKAGE_KINDS,
  type PackageSettings,
  PROXY_DEFAULTS,
  PROXY_KINDS,
  type ProxySettings,
  SERVER_WIDE_LIMITS,
  SOCKET_DEFAULTS,
  SOCKET_KINDS,
  type SocketSettings,
} from "./connection_settings.ts";
import { LOG_DEFAULTS, LOG_KINDS, type LogSettings } from "./log_settings.ts";
import { SERVER_WIDE_TOPICS, TOPIC_DEFAULTS, TOPIC_KINDS, type TopicSettings } from "../../topics/topic_settings.ts";
import { UNLIMITED } from "../running_handlers.ts";
import { checkValue, describe, isRecord, type Kind, suggestion } from "../../values.ts";
import { originMistake } from "../../websocket/handshake.ts";
import { ABSENT_SETTINGS, checkAbsent, type IgnoredSettings } from "./swoole_settings.ts";
import { STATUS_DEFAULTS, STATUS_KINDS, type StatusSettings } from "./status_settings.ts";
import { TLS_DEFAULTS, TLS_KINDS, type TlsSettings } from "./tls_settings.ts";
import { SERVER_WIDE_WORKERS, WORKER_DEFAULTS, WORKER_KINDS, type WorkerSettings } from "./worker_settings.ts";

/**
 * The settings of a server, under Swoole's names. Times are in seconds, sizes in bytes.
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
  extends
    CompressionSettings,
    HttpSettings,
    LimitSettings,
    LogSettings,
    PackageSettings,
    ProxySettings,
    SocketSettings,
    StatusSettings,
    TlsSettings,
    TopicSettings,
    WorkerSettings {
  // ---- WebSocket
  /** The subprotocols of the server. It selects the first one of the client's list that is among them. Default: none. */
  websocket_subprotocol?: string | readonly string[];
  /** Whether Close frames are delivered to `message`, as a `CloseFrame`, before they are answered. Default: `false`. */
  open_websocket_close_frame?: boolean;
  /** Whether Ping frames are delivered to `message`, which must then answer them. Default: `false`: they are answered at once. */
  open_websocket_ping_frame?: boolean;
  /** Whether Pong frames are delivered to `message`. Default: `false`. */
  open_websocket_pong_frame?: boolean;
  /**
   * The origins of pages that may open a WebSocket: `"same-origin"` (default), `"*"`, or a list such as `["same-origin",
   * "https://example.com"]`; `"null"` stands for pages without an origin. Others are refused with 403. Requests without `Origin`,
   * which do not come from a page, are always allowed.
   */
  websocket_origins?: string | readonly string[];
  /** The time to wait for the peer's Close frame after sending one. Default: 5 s; 0 for no limit. */
  websocket_close_timeout?: number;
  /** The time of silence after which a peer is sent a ping. Default: 30 s; 0 for never. */
  websocket_ping_interval?: number;
  /** The time of silence after a ping after which the peer is disconnected. Default: 30 s; 0 for never. */
  websocket_ping_timeout?: number;
  /**
   * The time that the rest of a message may take to arrive, once it has begun. Afterwards the connection is closed with 1008.
   * Default: 60 s; 0 for no limit.
   */
  websocket_message_timeout?: number;

  // ---- limits
  /** The maximum size of a WebSocket message (above it: close code 1009) and of an HTTP body (413). Default: 2 MiB. */
  package_max_length?: number;
  /**
   * The maximum number of bytes queued to be sent on a connection; above it `push()` returns `false` with 1009. Default: 8 MiB.
   */
  socket_buffer_size?: number;
  /**
   * The size of the send queue at which `bufferFull` is called and messages no longer start handlers. Default: 80 % of
   * `socket_buffer_size`.
   */
  buffer_high_watermark?: number;
  /** The size of the send queue at which `bufferEmpty` and `drain` are called and reading resumes. Default: 0. */
  buffer_low_watermark?: number;
  /** The number of bytes of received messages that may be pending on one connection; above it reading pauses. Default: 1 MiB. */
  input_buffer_size?: number;
  /**
   * The maximum number of `message` handlers of one connection that may run at the same time; further messages wait. With 1, they
   * run one after the other. Default: 256.
   */
  max_handlers_per_connection?: number;
  /**
   * The maximum number of requests, running and waiting; further ones are refused with 503. Event style only. Default:
   * 4294967295, no limit.
   */
  max_concurrency?: number;
  /**
   * The maximum number of requests whose handlers may run at the same time; further ones wait. Event style only. Default:
   * `max_concurrency`.
   */
  worker_max_concurrency?: number;
  /** The maximum size of a request line with its header fields; larger ones are refused with 431. Default: 64 KiB. */
  http_max_header_size?: number;
  /** The maximum number of header fields of a request; more are refused with 431. Default: 128. */
  http_max_headers?: number;
  /**
   * The default of `http_header_timeout` and `http_body_timeout`, and the time that a TLS handshake may take. Default: 10 s; 0
   * for no limit.
   */
  http_request_timeout?: number;
  /** The time that a connection may wait for its next request. Default: 60 s; 0 for no limit. */
  http_keepalive_timeout?: number;
  /**
   * The time within which a client must take more of a response, of which up to 256 KiB are sent at a time. Afterwards the
   * connection is aborted. Default: 60 s; 0 for no limit.
   */
  http_send_timeout?: number;

  // ---- the protocol of a port
  /**
   * Whether a port speaks HTTP. A port with settings of its own, but neither this one nor `open_websocket_protocol`, is raw and
   * calls `receive`. Default: `false`.
   */
  open_http_protocol?: boolean;
  /** Whether a port speaks HTTP and WebSocket: see `open_http_protocol`. Default: `false`. */
  open_websocket_protocol?: boolean;

  // ---- idle connections
  /**
   * The time without input after which a connection is closed. Default: 0, never; if only the check interval is set, twice that.
   */
  heartbeat_idle_time?: number;
  /**
   * Accepted for compatibility: idle connections are closed on time, not at the next check. If only the idle time is set, the
   * default is half of that, at least 1. If both are 0, `heartbeat()` does nothing.
   */
  heartbeat_check_interval?: number;
  /** The time without input and output after which a connection is closed. Default: 0, never. */
  max_idle_time?: number;

  // ---- the coroutine style
  /** The default timeout of `recv()`. Default: 0, no limit. */
  socket_read_timeout?: number;
  /** An alias of `socket_read_timeout`, which takes precedence. */
  socket_recv_timeout?: number;
  /** The time that `push()` waits for a peer that does not read. Default: 0, no limit. */
  socket_write_timeout?: number;
  /** An alias of `socket_write_timeout`, which takes precedence. */
  socket_send_timeout?: number;
  /** The default of both. */
  socket_timeout?: number;

  // ---- the server
  /** Whether connections are not read before `confirm(fd)`. Default: `false`. */
  enable_delay_receive?: boolean;
  /** The number before the first fd. Default: 0. */
  start_session_id?: number;
  /**
   * Whether `connect`, `receive`, `close` and `disconnect` receive one `ServerEvent` after the server, and other events
   * an object of their own, such as `Packet` or `Task`. Default: `false`.
   */
  event_object?: boolean;
  /**
   * The default time limit of `shutdown()`: how long handlers and responses may take before they are cut off. Also how long a worker
   * that was replaced by `reload()` keeps its connections. Default: 3 s; 0 for no limit.
   */
  max_wait_time?: number;
  /**
   * Whether SIGTERM and SIGINT stop the server, and then the process, unless the program has its own listeners. Default: `true`.
   */
  enable_signal_handlers?: boolean;
  /**
   * The file to which `stats()` is written at regular intervals: one line for each counter, as JSON if the name ends in `.json`,
   * as OpenMetrics if it ends in `.prom`. Default: none.
   */
  stats_file?: string;
  /** The interval of writing `stats_file`, in milliseconds (as in Swoole). Default: 1000. */
  stats_timer_interval?: number;
}

/** The settings that apply to all ports together. */
export type ServerWideSetting =
  | Exclude<keyof LimitSettings, "max_packet_handlers">
  | "max_concurrency"
  | "worker_max_concurrency"
  | "start_session_id"
  | "enable_delay_receive"
  | "event_object"
  | keyof LogSettings
  | keyof TopicSettings
  | keyof WorkerSettings
  | "max_wait_time"
  | "enable_signal_handlers"
  | "stats_file"
  | "stats_timer_interval"
  | "readyz_max_delay"
  | "readyz_needs_broker"
  | "admin_server"
  | "socket_read_timeout"
  | "socket_recv_timeout"
  | "socket_write_timeout"
  | "socket_send_timeout"
  | "socket_timeout";

const SERVER_WIDE: readonly ServerWideSetting[] = [
  ...SERVER_WIDE_LIMITS,
  ...SERVER_WIDE_TOPICS,
  ...SERVER_WIDE_WORKERS,
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
  "log_format",
  "logger",
  "access_log",
  "access_log_file",
  "max_wait_time",
  "enable_signal_handlers",
  "stats_file",
  "stats_timer_interval",
  "readyz_max_delay",
  "readyz_needs_broker",
  "admin_server",
  "socket_read_timeout",
  "socket_recv_timeout",
  "socket_write_timeout",
  "socket_send_timeout",
  "socket_timeout",
];

/** The settings of a port: those of a server, except the ones that apply to all ports together. */
export type PortSettings = Omit<ServerSettings, ServerWideSetting>;

/** All settings with their values. */
export type ResolvedSettings = Readonly<Required<ServerSettings>>;

const DEFAULTS: ResolvedSettings = {
  ...COMPRESSION_DEFAULTS,
  ...HTTP_DEFAULTS,
  ...LIMIT_DEFAULTS,
  ...LOG_DEFAULTS,
  ...PACKAGE_DEFAULTS,
  ...PROXY_DEFAULTS,
  ...SOCKET_DEFAULTS,
  ...STATUS_DEFAULTS,
  ...TLS_DEFAULTS,
  ...TOPIC_DEFAULTS,
  ...WORKER_DEFAULTS,
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

const KINDS: Record<keyof ServerSettings, Kind> = {
  ...COMPRESSION_KINDS,
  ...HTTP_KINDS,
  ...LIMIT_KINDS,
  ...LOG_KINDS,
  ...PACKAGE_KINDS,
  ...PROXY_KINDS,
  ...SOCKET_KINDS,
  ...STATUS_KINDS,
  ...TLS_KINDS,
  ...TOPIC_KINDS,
  ...WORKER_KINDS,
  websocket_subprotocol: "texts",
  open_websocket_close_frame: "boolean",
  open_websocket_ping_frame: "boolean",
  open_websocket_pong_frame: "boolean",
  websocket_origins: checkOrigins,
  websocket_close_timeout: "seconds",
  websocket_ping_interval: "seconds",
  websocket_ping_timeout: "seconds",
  websocket_message_timeout: "seconds",
  package_max_length: "bytes",
  socket_buffer_size: "bytes",
  buffer_high_watermark: "bytes",
  input_buffer_size: "bytes",
  max_handlers_per_connection: { from: 1, to: Number.MAX_SAFE_INTEGER },
  buffer_low_watermark: "bytes",
  max_concurrency: { from: 1, to: UNLIMITED },
  worker_max_concurrency: { from: 1, to: UNLIMITED },
  http_max_header_size: "bytes",
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

/** The settings with aliases or fallbacks: the effective name first, then the others in order of precedence. */
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
 * @throws {TypeError} If a setting is unknown or not supported here, or a value has the wrong type.
 * @throws {RangeError} If a number is out of range.
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

/** Rejects settings that apply to the whole server, with a `TypeError`. */
export function checkPortSettings(settings: ServerSettings): void {
  for (const key of SERVER_WIDE) {
    if (Object.hasOwn(settings, key)) throw new TypeError(`Cannot set ${key} on a port: it holds for the whole server`);
  }
}

/** Merges the settings of a port into those of its server. A way to find packages replaces the server's. */
export function mergeSettings(server: ServerSettings, port: ServerSettings): ServerSettings {
  return mergePackageSettings(server, port);
}

/** Returns all settings: those given, defaults, and values derived from others. */
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
  if (settings.max_request_grace === undefined) all.max_request_grace = Math.floor(all.max_request / 2);
  if (settings.heartbeat_idle_time === undefined && settings.heartbeat_check_interval !== undefined) {
    all.heartbeat_idle_time = settings.heartbeat_check_interval * 2;
  } else if (settings.heartbeat_check_interval === undefined && all.heartbeat_idle_time > 0) {
    all.heartbeat_check_interval = Math.max(1, all.heartbeat_idle_time / 2);
  }
  return all;
}
