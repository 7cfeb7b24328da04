/**
 * The settings of the log, and the records that a `logger` receives.
 *
 * @module
 */

import {
  SWOOLE_LOG_DEBUG,
  SWOOLE_LOG_INFO,
  SWOOLE_LOG_NONE,
  SWOOLE_LOG_ROTATION_EVERY_MINUTE,
  SWOOLE_LOG_ROTATION_SINGLE,
} from "../../constants.ts";
import type { Kind } from "../../values.ts";

/** The details of a log record; those that do not apply are missing. Text from a peer is escaped and truncated. */
export interface LogFields {
  /** With workers: the number of the worker that has logged it; -1 for the master. */
  readonly worker?: number;
  /** With workers: the process ID. */
  readonly pid?: number;
  /** The connection. */
  readonly fd?: number;
  /** The peer's IP address. */
  readonly address?: string;
  /** What was thrown, as it is; in a line of JSON its `name`, `message`, `stack` and `code`. */
  readonly error?: unknown;
  /** The method of the request. */
  readonly method?: string;
  /** The path, without the query; of a refusal with the query. */
  readonly path?: string;
  /** `User-Agent` of the request. */
  readonly userAgent?: string;
  /** `Origin` of the handshake. */
  readonly origin?: string;
  /** The status of the response; 0 if there was none. */
  readonly status?: number;
  /** The close code of the WebSocket. */
  readonly code?: number;
  /** Why something was refused, or the reason in the Close frame of a WebSocket. */
  readonly reason?: string;
  /** What was refused, see `Refusal`. */
  readonly refused?: "connection" | "handshake" | "request";
  /** The setting to change in order to allow it. */
  readonly setting?: string;
  /** The topic that a reader is too slow for; empty for broadcasts. */
  readonly topic?: string;
  /** What happens to a slow reader, see `topic_slow_readers`. */
  readonly policy?: string;
  /** The number of bytes queued for a slow reader. */
  readonly queued?: number;
  /** How many more of its kind were not logged since the last record of the kind. */
  readonly suppressed?: number;
  /** The number of bytes received: of a request, head and body; of a WebSocket, all after its handshake. */
  readonly received?: number;
  /** The number of bytes sent or queued: of a response, head and body; of a WebSocket, all after its handshake. */
  readonly sent?: number;
  /** How long it took, in seconds. */
  readonly duration?: number;
  /** Whether the connection ended before the response was complete. */
  readonly aborted?: boolean;
}

/**
 * What a record is about: an `error` that no handler takes; a `refusal` or a `violation` of a peer; a `slowReader` of topics; a
 * `handler` that is late or without a response; another `warning`; records that were `lost`. With `access_log` also a `request` with its response, and the
 * end of a `websocket`.
 */
export type LogEvent =
  | "error"
  | "refusal"
  | "violation"
  | "slowReader"
  | "handler"
  | "warning"
  | "lost"
  | "request"
  | "websocket";

/** A record of the log, as the setting `logger` receives it. */
export interface LogRecord {
  /** When it was logged, in milliseconds since 1970. */
  readonly time: number;
  /** The level; methods of `console` and of most loggers have these names. */
  readonly level: "debug" | "info" | "warn" | "error";
  /** What the record is about. */
  readonly event: LogEvent;
  /** One line for people: the one of the log file, without the time, and for an error without its stack. */
  readonly message: string;
  /** The details. */
  readonly fields: LogFields;
}

/**
 * A function that receives the records of the log. A promise that it returns is awaited when the server stops.
 *
 * @example
 * ```ts
 * import { type Logger, WebSocketServer } from "@sluice/server";
 *
 * const logger: Logger = ({ level, message, fields }) => console[level](message, fields);
 * const server = new WebSocketServer("127.0.0.1", 0);
 * server.set({ logger });
 * ```
 */
export type Logger = (record: LogRecord) => unknown;

/** The settings of the log, under Swoole's names where Swoole has them. */
export interface LogSettings {
  /** The file to which log lines are appended; `/dev/null` for none. Default: the console, or the `logger` alone. */
  log_file?: string;
  /** The lowest level that is logged; `SWOOLE_LOG_NONE` disables the log. Default: `SWOOLE_LOG_INFO`. */
  log_level?: number;
  /** The format of the time at the start of each line, as for C's `strftime()`, in local time. Default: ISO 8601, in UTC. */
  log_date_format?: string;
  /**
   * Whether microseconds are added to the time. The last three digits are 0, because runtimes provide milliseconds. Default:
   * `false`.
   */
  log_date_with_microseconds?: boolean;
  /**
   * When to start a new file, with the date appended to its name: each month, day, hour or minute. Default:
   * `SWOOLE_LOG_ROTATION_SINGLE`, never.
   */
  log_rotation?: number;
  /** Lines of text for people (`text`), or one JSON object per line (`json`). Default: `text`. */
  log_format?: "text" | "json";
  /**
   * A function that receives the records of the log instead of the console; a file that is set gets them too. Default: `null`,
   * none.
   */
  logger?: Logger | null;
  /** Whether each HTTP request, and the end of each WebSocket, is logged, whatever `log_level` is. Default: `false`. */
  access_log?: boolean;
  /** The file for `access_log`. Default: `log_file`, or standard output. */
  access_log_file?: string;
}

/** The defaults of the log settings. */
export const LOG_DEFAULTS: Readonly<Required<LogSettings>> = {
  log_file: "",
  log_level: SWOOLE_LOG_INFO,
  log_date_format: "",
  log_date_with_microseconds: false,
  log_rotation: SWOOLE_LOG_ROTATION_SINGLE,
  log_format: "text",
  logger: null,
  access_log: false,
  access_log_file: "",
};

/** The valid values of the log settings. */
export const LOG_KINDS: Record<keyof LogSettings, Kind> = {
  log_file: "text",
  log_level: { from: SWOOLE_LOG_DEBUG, to: SWOOLE_LOG_NONE },
  log_date_format: "text",
  log_date_with_microseconds: "boolean",
  log_rotation: { from: SWOOLE_LOG_ROTATION_SINGLE, to: SWOOLE_LOG_ROTATION_EVERY_MINUTE },
  log_format: ["text", "json"],
  logger: "function",
  access_log: "boolean",
  access_log_file: "text",
};
