/**
 * Where errors go that no `error` handler takes.
 *
 * @module
 */

import {
  SWOOLE_LOG_DEBUG,
  SWOOLE_LOG_ERROR,
  SWOOLE_LOG_INFO,
  SWOOLE_LOG_NONE,
  SWOOLE_LOG_ROTATION_EVERY_MINUTE,
  SWOOLE_LOG_ROTATION_SINGLE,
} from "../constants.ts";
import type { Runtime } from "../runtime.ts";
import { formatDate } from "./date_format.ts";
import type { Kind } from "../setting_kinds.ts";

/** What is logged, how and where, under Swoole's names. */
export interface LogSettings {
  /** Append log lines to this file; `/dev/null` for none. The console by default. */
  log_file?: string;
  /** What to log: up to `SWOOLE_LOG_ERROR` errors, with `SWOOLE_LOG_NONE` nothing. `SWOOLE_LOG_INFO`. */
  log_level?: number;
  /** The time in front of each line, as for C's `strftime()`, in local time. By default as in ISO 8601, in UTC. */
  log_date_format?: string;
  /** Put microseconds behind the time; the last three digits are 0, because runtimes tell milliseconds. `false`. */
  log_date_with_microseconds?: boolean;
  /** Begin a new file each month, day, hour or minute, with the date behind its name. `SWOOLE_LOG_ROTATION_SINGLE`: one file. */
  log_rotation?: number;
}

/** Their defaults. */
export const LOG_DEFAULTS: Readonly<Required<LogSettings>> = {
  log_file: "",
  log_level: SWOOLE_LOG_INFO,
  log_date_format: "",
  log_date_with_microseconds: false,
  log_rotation: SWOOLE_LOG_ROTATION_SINGLE,
};

/** What their values have to be. */
export const LOG_KINDS: Record<keyof LogSettings, Kind> = {
  log_file: "text",
  log_level: { from: SWOOLE_LOG_DEBUG, to: SWOOLE_LOG_NONE },
  log_date_format: "text",
  log_date_with_microseconds: "boolean",
  log_rotation: { from: SWOOLE_LOG_ROTATION_SINGLE, to: SWOOLE_LOG_ROTATION_EVERY_MINUTE },
};

/** What stands behind the name of the file, by `log_rotation`. */
const SUFFIXES: readonly string[] = ["", ".%Y%m", ".%Y%m%d", ".%Y%m%d%H", ".%Y%m%d%H%M"];

/**
 * Logs an error.
 *
 * @param fd The connection it happened on, 0 for none.
 * @param runtime Writes files; without one the line goes to the console.
 * @param now The time, milliseconds since 1970.
 */
export function logError(
  error: unknown,
  fd: number,
  settings: Required<LogSettings>,
  runtime: Runtime | undefined,
  now: number,
): void {
  const { log_file, log_level } = settings;
  if (log_file === "/dev/null" || log_level > SWOOLE_LOG_ERROR) return;
  const what = error instanceof Error ? error.stack ?? error.message : String(error);
  const line = `${timestamp(settings, now)} ${fd === 0 ? "" : `fd ${fd}: `}${what}`;
  if (log_file === "" || runtime === undefined) return console.error(line);
  runtime.appendTextFile(logPath(settings, now), line + "\n").catch(() => console.error(line));
}

/** The file that is written to, where there is one. */
export function logPath({ log_file, log_rotation }: Required<LogSettings>, now: number): string {
  return log_file === "/dev/null" ? log_file : log_file + formatDate(SUFFIXES[log_rotation], new Date(now));
}

/** The time in front of a line. */
export function timestamp(settings: Required<LogSettings>, now: number): string {
  const { log_date_format, log_date_with_microseconds } = settings;
  const time = new Date(now);
  const microseconds = String(now % 1000 * 1000).padStart(6, "0");
  if (log_date_format !== "") {
    return formatDate(log_date_format, time) + (log_date_with_microseconds ? `.${microseconds}` : "");
  }
  return log_date_with_microseconds ? time.toISOString().replace(/\d{3}Z$/, `${microseconds}Z`) : time.toISOString();
}
