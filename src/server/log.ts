/**
 * The log: errors without an `error` handler, and warnings; rate limiting for lines that peers can cause; the files of logs,
 * and the dates in their lines.
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
  SWOOLE_LOG_WARNING,
} from "../constants.ts";
import type { Runtime } from "../transport/runtime.ts";
import type { Kind } from "../values.ts";

/** The settings of the log, under Swoole's names. */
export interface LogSettings {
  /** The file to which log lines are appended; `/dev/null` for none. Default: the console. */
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
}

/** The defaults of the log settings. */
export const LOG_DEFAULTS: Readonly<Required<LogSettings>> = {
  log_file: "",
  log_level: SWOOLE_LOG_INFO,
  log_date_format: "",
  log_date_with_microseconds: false,
  log_rotation: SWOOLE_LOG_ROTATION_SINGLE,
};

/** The valid values of the log settings. */
export const LOG_KINDS: Record<keyof LogSettings, Kind> = {
  log_file: "text",
  log_level: { from: SWOOLE_LOG_DEBUG, to: SWOOLE_LOG_NONE },
  log_date_format: "text",
  log_date_with_microseconds: "boolean",
  log_rotation: { from: SWOOLE_LOG_ROTATION_SINGLE, to: SWOOLE_LOG_ROTATION_EVERY_MINUTE },
};

/** The suffixes of the file name, by `log_rotation`. */
const SUFFIXES: readonly string[] = ["", ".%Y%m", ".%Y%m%d", ".%Y%m%d%H", ".%Y%m%d%H%M"];

/** What the log of a server depends on. Both may change until the server has started. */
export interface LogContext {
  /** The settings. */
  readonly settings: Required<LogSettings>;
  /** Writes files; without it lines go to the console. */
  readonly runtime: Runtime | undefined;
}

/** The log of a server. */
export class Log {
  readonly #context: LogContext;
  readonly #now: () => number;

  /** @param now Returns the time, in milliseconds since 1970. */
  constructor(context: LogContext, now: () => number = Date.now) {
    this.#context = context;
    this.#now = now;
  }

  /** Logs a warning. */
  warn(text: string): void {
    this.#add(text, SWOOLE_LOG_WARNING);
  }

  /**
   * Logs an error.
   *
   * @param fd The connection concerned, 0 for none.
   * @param where A description of what was being handled.
   */
  error(error: unknown, fd = 0, where?: string): void {
    const what = error instanceof Error ? error.stack ?? error.message : String(error);
    this.#add(`${fd === 0 ? "" : `fd ${fd}: `}${where === undefined ? "" : `${where}: `}${what}`, SWOOLE_LOG_ERROR);
  }

  /** @param level The severity, a `SWOOLE_LOG_*` number. */
  #add(text: string, level: number): void {
    const { settings, runtime } = this.#context;
    const { log_file, log_level } = settings;
    if (log_file === "/dev/null" || log_level > level) return;
    const now = this.#now();
    const line = `${timestamp(settings, now)} ${text}`;
    if (log_file === "" || runtime === undefined) return console.error(line);
    writeLog(runtime, logPath(settings, now), line + "\n", (count) => {
      const lines = count === 1 ? "1 line was" : `${count} lines were`;
      return `${timestamp(settings, this.#now())} ${lines} left out here: more was logged than the file could take\n`;
    });
  }
}

/** Returns the path of the current log file, if `log_file` is set. */
export function logPath({ log_file, log_rotation }: Required<LogSettings>, now: number): string {
  return log_file === "/dev/null" ? log_file : log_file + formatDate(SUFFIXES[log_rotation], new Date(now));
}

/** Returns the time at the start of a line. */
export function timestamp(settings: Required<LogSettings>, now: number): string {
  const { log_date_format, log_date_with_microseconds } = settings;
  const time = new Date(now);
  const microseconds = String(now % 1000 * 1000).padStart(6, "0");
  if (log_date_format !== "") {
    return formatDate(log_date_format, time) + (log_date_with_microseconds ? `.${microseconds}` : "");
  }
  return log_date_with_microseconds ? time.toISOString().replace(/\d{3}Z$/, `${microseconds}Z`) : time.toISOString();
}

/** The interval in which one line of each kind is logged, in milliseconds. */
const THROTTLE_INTERVAL = 60_000;

/** The maximum number of characters of a peer's text in the log. */
export const MAX_LOGGED = 200;

/** Logs one line of each kind per minute, with the number of those skipped in between. */
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
   * @param compose Returns the line.
   */
  warn(kind: string, compose: () => string): void {
    const now = performance.now();
    const last = this.#logged.get(kind);
    if (last !== undefined && now < last.at + THROTTLE_INTERVAL) return void last.more++;
    this.#logged.set(kind, { at: now, more: 0 });
    const more = last === undefined || last.more === 0 ? "" : `; ${last.more} more of the kind since the last line`;
    this.#log.warn(compose() + more);
  }
}

/** Returns a text from a peer, escaped and truncated for the log. */
export function quoted(text: string): string {
  const cut = text.length > MAX_LOGGED ? `${text.slice(0, MAX_LOGGED)}…` : text;
  // JSON does not escape the control characters above ASCII, and terminals obey them.
  return JSON.stringify(cut).replace(/[\x7f-\x9f]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}

/** Returns the method and the target of a request for the log; a peer chose both. */
export function quotedRequest({ method, target }: { readonly method: string; readonly target: string }): string {
  return `${method} ${quoted(target)}`;
}

/** The limit of the text that waits for a write, in characters. An empty queue takes a line of any length. */
const MAX_WAITING = 1024 * 1024;

/** The time that `logWritten()` waits for a file that takes nothing, such as a pipe that nobody reads, in milliseconds. */
const FILE_PATIENCE = 2000;

/** One log file. It exists while something is being written to it. */
class LogFile {
  readonly #runtime: Runtime;
  readonly #path: string;
  readonly #over: () => void;
  #writing: Promise<void> | undefined = undefined; // the write under way, with what follows it
  #waiting: string[] = [];
  #size = 0; // of what waits
  #lost = 0; // lines left out since the last write began
  #describeLoss: ((count: number) => string) | undefined = undefined;

  constructor(runtime: Runtime, path: string, over: () => void) {
    this.#runtime = runtime;
    this.#path = path;
    this.#over = over;
  }

  write(line: string, describeLoss: (count: number) => string): void {
    if (this.#writing === undefined) return this.#begin(line);
    if (this.#lost > 0 || (this.#size > 0 && this.#size + line.length > MAX_WAITING)) {
      this.#lost++;
      this.#describeLoss = describeLoss;
      return;
    }
    this.#waiting.push(line);
    this.#size += line.length;
  }

  /** Resolves when everything that was passed to `write()` until now is written. */
  async written(): Promise<void> {
    const isWaiting = this.#waiting.length > 0;
    await this.#writing;
    if (isWaiting) await this.#writing; // it has begun when the one before ended
  }

  #begin(text: string): void {
    this.#writing = this.#runtime.appendTextFile(this.#path, text)
      .catch(() => console.error(text.trimEnd()))
      .then(() => this.#next());
  }

  #next(): void {
    if (this.#waiting.length === 0) return this.#over();
    let text = this.#waiting.join("");
    if (this.#lost > 0) text += this.#describeLoss!(this.#lost);
    this.#waiting = [];
    this.#size = this.#lost = 0;
    this.#describeLoss = undefined;
    this.#begin(text);
  }
}

/** The files that are being written to, by path: servers may share one. */
const files: WeakMap<Runtime, Map<string, LogFile>> = new WeakMap();

/**
 * Appends a line to a log file. What is passed while a write is under way is joined into the next one. If the write fails, the
 * text goes to the console.
 *
 * @param line The line, with its end.
 * @param describeLoss Returns the line that says how many lines were left out.
 */
function writeLog(runtime: Runtime, path: string, line: string, describeLoss: (count: number) => string): void {
  const open = files.get(runtime) ?? new Map<string, LogFile>();
  files.set(runtime, open);
  let file = open.get(path);
  if (file === undefined) open.set(path, file = new LogFile(runtime, path, () => open.delete(path)));
  file.write(line, describeLoss);
}

/** Resolves when all lines that were logged until now are written, or the files take nothing. */
export async function logWritten(runtime: Runtime | undefined): Promise<void> {
  const open = runtime && files.get(runtime);
  if (open === undefined || open.size === 0) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<void>((resolve) => timer = setTimeout(resolve, FILE_PATIENCE));
  await Promise.race([Promise.all(Array.from(open.values(), (file) => file.written())), patience]);
  clearTimeout(timer);
}

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

const two = (number: number, fill = "0"): string => String(number).padStart(2, fill);

function zone(time: Date): string {
  const minutes = -time.getTimezoneOffset();
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}${two(Math.abs(minutes) % 60)}`;
}

function dayOfYear(time: Date): number {
  return Math.round(
    (Date.UTC(time.getFullYear(), time.getMonth(), time.getDate()) - Date.UTC(time.getFullYear(), 0, 0)) / 86_400_000,
  );
}

const CONVERSIONS: Readonly<Record<string, (time: Date) => string>> = {
  Y: (time) => String(time.getFullYear()),
  C: (time) => two(Math.floor(time.getFullYear() / 100)),
  y: (time) => two(time.getFullYear() % 100),
  m: (time) => two(time.getMonth() + 1),
  d: (time) => two(time.getDate()),
  e: (time) => two(time.getDate(), " "),
  j: (time) => String(dayOfYear(time)).padStart(3, "0"),
  H: (time) => two(time.getHours()),
  I: (time) => two(time.getHours() % 12 || 12),
  M: (time) => two(time.getMinutes()),
  S: (time) => two(time.getSeconds()),
  p: (time) => time.getHours() < 12 ? "AM" : "PM",
  a: (time) => DAYS[time.getDay()].slice(0, 3),
  A: (time) => DAYS[time.getDay()],
  u: (time) => String(time.getDay() || 7),
  w: (time) => String(time.getDay()),
  b: (time) => MONTHS[time.getMonth()].slice(0, 3),
  h: (time) => MONTHS[time.getMonth()].slice(0, 3),
  B: (time) => MONTHS[time.getMonth()],
  z: zone,
  Z: zone,
  s: (time) => String(Math.floor(time.getTime() / 1000)),
  D: (time) => formatDate("%m/%d/%y", time),
  F: (time) => formatDate("%Y-%m-%d", time),
  R: (time) => formatDate("%H:%M", time),
  T: (time) => formatDate("%H:%M:%S", time),
  r: (time) => formatDate("%I:%M:%S %p", time),
  c: (time) => formatDate("%a %b %e %H:%M:%S %Y", time),
  x: (time) => formatDate("%m/%d/%y", time),
  X: (time) => formatDate("%H:%M:%S", time),
  n: () => "\n",
  t: () => "\t",
  "%": () => "%",
};

/**
 * Formats a time in the local time zone, with English names.
 *
 * @param format The format with conversions such as `%Y`; all other text is copied.
 */
export function formatDate(format: string, time: Date): string {
  return format.replace(/%([A-Za-z%])/g, (text, letter: string) => CONVERSIONS[letter]?.(time) ?? text);
}
