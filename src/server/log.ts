/**
 * The log: what is logged, as records; rate limiting for records that peers can cause.
 *
 * @module
 */

import { SWOOLE_LOG_ERROR, SWOOLE_LOG_WARNING } from "../constants.ts";
import type { Runtime } from "../transport/runtime.ts";
import { cut, escaped, type LogOrigin, patiently, printRecord, stackOf, summaryOf } from "./log_output.ts";
import { promised } from "./running_handlers.ts";
import type { LogEvent, LogFields, Logger, LogRecord, LogSettings } from "./settings/log_settings.ts";

/** What the log of a server depends on. All may change until the server has started. */
export interface LogContext {
  /** The settings. */
  readonly settings: Required<LogSettings>;
  /** Writes files; without it lines go to the console. */
  readonly runtime: Runtime | undefined;
  /** Which of the processes of the server this is, if it has several. */
  readonly member?: LogOrigin | undefined;
}

/** The log of a server. */
export class Log {
  readonly #context: LogContext;
  readonly #now: () => number;
  readonly #calls: LoggerCalls;
  #lostLines = 0;

  /** @param now Returns the time, in milliseconds since 1970. */
  constructor(context: LogContext, now: () => number = Date.now) {
    this.#context = context;
    this.#now = now;
    this.#calls = new LoggerCalls((message) => this.#print(this.#record("warn", "lost", message, {})));
  }

  /** The number of records that were left out, because the `logger` or the file takes too long. */
  get lostCount(): number {
    return this.#calls.lostCount + this.#lostLines;
  }

  /** Logs a warning. */
  warn(message: string, fields: LogFields = {}, event: LogEvent = "warning"): void {
    if (this.#takes(SWOOLE_LOG_WARNING)) this.#add(this.#record("warn", event, message, fields));
  }

  /**
   * Logs an error.
   *
   * @param fd The connection concerned, 0 for none.
   * @param where A description of what was being handled.
   */
  error(error: unknown, fd = 0, where?: string): void {
    if (!this.#takes(SWOOLE_LOG_ERROR)) return;
    const before = `${fd === 0 ? "" : `fd ${fd}: `}${where === undefined ? "" : `${where}: `}`;
    const record = this.#record("error", "error", before + summaryOf(error), fd === 0 ? { error } : { fd, error });
    this.#add(record, before + stackOf(error));
  }

  /** Logs a request with its response, or the end of a WebSocket: the setting `access_log`. */
  access(message: string, fields: LogFields, event: "request" | "websocket"): void {
    this.#add(this.#record("info", event, message, fields));
  }

  /** @param level The severity, a `SWOOLE_LOG_*` number. */
  #takes(level: number): boolean {
    const { log_file, log_level, logger } = this.#context.settings;
    return log_level <= level && (log_file !== "/dev/null" || logger !== null);
  }

  #record(level: LogRecord["level"], event: LogEvent, message: string, fields: LogFields): LogRecord {
    const { member } = this.#context;
    const all = member === undefined ? fields : { ...fields, worker: member.id, pid: member.pid };
    return { time: this.#now(), level, event, message, fields: all };
  }

  /** @param text The text for people, if it is not the message. */
  #add(record: LogRecord, text?: string): void {
    const { settings } = this.#context;
    const { logger } = settings;
    const isTaken = logger !== null && this.#calls.call(logger, record, () => this.#print(record, text));
    if (!isTaken || fileOf(record, settings) !== "") this.#print(record, text);
  }

  #print(record: LogRecord, text?: string): void {
    const isWritten = printRecord(
      record,
      text ?? record.message,
      this.#context,
      fileOf(record, this.#context.settings),
      this.#now,
    );
    if (!isWritten) this.#lostLines++;
  }

  /** Resolves when the promises of the `logger` until now have settled, or after some seconds. */
  written(): Promise<void> {
    return this.#calls.settled();
  }
}

function isAccess({ event }: LogRecord): boolean {
  return event === "request" || event === "websocket";
}

/** Returns the file of a record, without the date that `log_rotation` adds; empty for the console. */
function fileOf(record: LogRecord, { log_file, access_log_file }: Required<LogSettings>): string {
  return isAccess(record) && access_log_file !== "" ? access_log_file : log_file;
}

/** The interval in which one record of each kind is logged, in milliseconds. */
const THROTTLE_INTERVAL = 60_000;

/** The maximum number of characters of a peer's text in the log. */
export const MAX_LOGGED = 200;

/** A message with its details. */
export type LogText = readonly [message: string, fields: LogFields];

/** Logs one record of each kind per minute, with the number of those skipped in between. */
export class LogThrottle {
  readonly #log: Log;
  readonly #logged: Map<string, { at: number; more: number }> = new Map();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Logs a warning, unless one of its kind was logged within the last minute.
   *
   * @param kind One of a fixed number of kinds.
   * @param compose Returns the message and the fields.
   */
  warn(event: LogEvent, kind: string, compose: () => LogText): void {
    const now = performance.now();
    const last = this.#logged.get(kind);
    if (last !== undefined && now < last.at + THROTTLE_INTERVAL) return void last.more++;
    this.#logged.set(kind, { at: now, more: 0 });
    const [message, fields] = compose();
    const suppressed = last?.more ?? 0;
    if (suppressed === 0) return this.#log.warn(message, fields, event);
    this.#log.warn(`${message}; ${suppressed} more of the kind since the last line`, { ...fields, suppressed }, event);
  }
}

/** Returns a text from a peer, escaped and truncated for a field of a record. */
export function cleaned(text: string): string {
  return escaped(cut(text, MAX_LOGGED).replaceAll("\\", "\\\\"));
}

/** Returns a text from a peer in quotes, escaped and truncated for a line of the log. */
export function quoted(text: string): string {
  return escaped(JSON.stringify(cut(text, MAX_LOGGED)));
}

/** The part of a request that is logged; a peer chose all of it. */
type LoggedRequest = { readonly method: string; readonly target: string };

/** The maximum number of characters of a method in the log. */
const MAX_METHOD = 32;

/** Returns the method and the path of a request for a line of the log. The query is left out: it may contain secrets. */
export function quotedRequest({ method, target }: LoggedRequest): string {
  return `${cut(method, MAX_METHOD)} ${quoted(pathOf(target))}`;
}

/** Returns the same as fields of a record. */
export function requestFields({ method, target }: LoggedRequest): { method: string; path: string } {
  return { method: cut(method, MAX_METHOD), path: cleaned(pathOf(target)) };
}

/** Returns a request target without its query. */
export function pathOf(target: string): string {
  const end = target.indexOf("?");
  return end < 0 ? target : target.slice(0, end);
}

// ---- the logger of the program ----------------------------------------------------------------------------------------

/** The maximum number of promises of the logger that have not settled. */
const MAX_PENDING = 1000;

/** The part of the time that the logger may take, and the most that it may take at a stretch, in milliseconds. */
const SHARE = 0.25;
const STRETCH = 200;

/** The interval in which a logger that fails is reported, in milliseconds. */
const REPORT_INTERVAL = 60_000;

/**
 * Calls the `logger` of a program, which may throw, call back into the server, never settle, or take long. A record that it fails
 * for goes where it would go without a logger. While it takes too long, records are left out, so that it cannot slow the server
 * down; those of the access log first.
 */
export class LoggerCalls {
  /** The number of records left out. */
  lostCount = 0;

  readonly #report: (message: string) => void;
  readonly #clock: () => number;
  readonly #pending: Set<Promise<unknown>> = new Set();
  #isCalling = false;
  #allowance = STRETCH;
  #at = 0; // when the allowance was computed
  #untold = 0; // records left out that were not reported to the logger yet
  #reportedAt = -Infinity;

  /**
   * @param report Receives what is wrong with the logger.
   * @param clock A monotonic clock, in milliseconds.
   */
  constructor(report: (message: string) => void, clock: () => number = () => performance.now()) {
    this.#report = report;
    this.#clock = clock;
  }

  /**
   * Passes a record to the logger.
   *
   * @param instead Called later, if the promise that it returned rejects.
   * @returns `false` if it has failed, so that the record goes elsewhere. `true` also for a record that is left out.
   */
  call(logger: Logger, record: LogRecord, instead: () => void): boolean {
    if (this.#isCalling) return false; // the logger itself has caused the record
    const now = this.#clock();
    this.#allowance = Math.min(STRETCH, this.#allowance + (now - this.#at) * SHARE);
    this.#at = now;
    const share = record.event === "request" || record.event === "websocket" ? 0.5 : 1;
    if (this.#allowance <= STRETCH * (1 - share) || this.#pending.size >= MAX_PENDING * share) {
      this.lostCount++;
      this.#untold++;
      return true;
    }
    if (this.#untold > 0) this.#tellLoss(logger, record);
    return this.#call(logger, record, instead);
  }

  /** @param next The record that follows: it says which process this is. */
  #tellLoss(logger: Logger, { time, fields: { pid, worker } }: LogRecord): void {
    const fields = worker === undefined ? {} : { worker, pid };
    this.#call(logger, { time, level: "warn", event: "lost", message: this.#describeLoss(), fields }, () => {});
  }

  #describeLoss(): string {
    const count = this.#untold;
    this.#untold = 0;
    return `${count === 1 ? "1 record was" : `${count} records were`} left out here: the logger takes too long`;
  }

  #call(logger: Logger, record: LogRecord, instead: () => void): boolean {
    this.#isCalling = true;
    const begun = this.#clock();
    try {
      const result = promised(logger(record));
      if (result !== undefined) this.#await(result, instead);
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    } finally {
      this.#isCalling = false;
      this.#allowance -= this.#clock() - begun;
    }
  }

  #await(promise: Promise<unknown>, instead: () => void): void {
    const done: Promise<void> = promise.then(() => {}, (error) => {
      instead();
      this.#fail(error);
    }).then(() => void this.#pending.delete(done));
    this.#pending.add(done);
  }

  #fail(error: unknown): void {
    const now = this.#clock();
    if (now < this.#reportedAt + REPORT_INTERVAL) return;
    this.#reportedAt = now;
    this.#report(`The logger has failed: ${summaryOf(error)}`);
  }

  /** Resolves when all promises until now have settled, or after some seconds. */
  async settled(): Promise<void> {
    if (this.#pending.size > 0) await patiently(Promise.all(this.#pending));
    if (this.#untold > 0) this.#report(this.#describeLoss());
  }
}
