/**
 * Where the records of the log go: lines of text or JSON, to files and to the console.
 *
 * @module
 */

import type { Runtime } from "../transport/runtime.ts";
import type { LogRecord, LogSettings } from "./settings/log_settings.ts";

/** Printed characters that terminals obey, or that hide or reorder others. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** The same but for the line breaks and tabs of a stack. */
const UNSAFE_IN_LINES = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Returns a text with each unsafe character as `\u` and four digits. */
export function escaped(text: string, unsafe: RegExp = UNSAFE): string {
  return text.replace(unsafe, (character) => {
    let code = "";
    for (let i = 0; i < character.length; i++) code += `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`;
    return code;
  });
}

/** The maximum number of characters of the summary of an error, and of an error with its stack. */
const MAX_SUMMARY = 1000;
const MAX_STACK = 16 * 1024;

/** Returns a text that is not longer than a limit, with an ellipsis if it was. */
export function cut(text: string, limit: number): string {
  return text.length > limit ? `${text.slice(0, limit)}…` : text;
}

/** Returns the name and the message of an error in one line. What is thrown may be anything, also an object that throws itself. */
export function summaryOf(error: unknown): string {
  return escaped(cut(textOf(error, (one) => one.message === "" ? one.name : `${one.name}: ${one.message}`), MAX_SUMMARY));
}

/** Returns an error with its stack, in several lines. */
export function stackOf(error: unknown): string {
  return escaped(cut(textOf(error, (one) => one.stack ?? one.message), MAX_STACK), UNSAFE_IN_LINES);
}

function textOf(error: unknown, describe: (error: Error) => unknown): string {
  try {
    return String(error instanceof Error ? describe(error) : error);
  } catch {
    return "an error that cannot be shown";
  }
}

// ---- lines ------------------------------------------------------------------------------------------------------------

/** The suffixes of the file name, by `log_rotation`. */
const SUFFIXES: readonly string[] = ["", ".%Y%m", ".%Y%m%d", ".%Y%m%d%H", ".%Y%m%d%H%M"];

/** Returns the path of the current file of a log. */
export function logPath(file: string, { log_rotation }: Required<LogSettings>, now: number): string {
  return file === "/dev/null" ? file : file + formatDate(SUFFIXES[log_rotation], new Date(now));
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

/** Which of the processes of a server has logged something. */
export interface LogOrigin {
  /** The number of the worker; -1 for the master. */
  readonly id: number;
  /** The process ID. */
  readonly pid: number;
}

/** What a line depends on. */
interface LineContext {
  readonly settings: Required<LogSettings>;
  readonly runtime: Runtime | undefined;
  readonly member?: LogOrigin | undefined;
}

/** @param text The text for people. */
function lineOf({ time, level, event, message, fields }: LogRecord, text: string, { settings, member }: LineContext): string {
  const at = timestamp(settings, time);
  if (settings.log_format === "text") return member === undefined ? `${at} ${text}` : `${at} #${member.pid}.${member.id} ${text}`;
  const { error, ...others } = fields;
  const thrown = "error" in fields ? { error: errorFields(error) } : {};
  return escaped(JSON.stringify({ time: at, level, event, message, ...others, ...thrown }));
}

/** Returns an error for a line of JSON. */
function errorFields(error: unknown): object {
  if (!(error instanceof Error)) return { message: summaryOf(error) };
  const code = textOf(error, (one) => (one as { code?: unknown }).code ?? "");
  const stack = cut(textOf(error, (one) => one.stack ?? ""), MAX_STACK);
  const message = cut(textOf(error, (one) => one.message), MAX_SUMMARY);
  return { name: textOf(error, (one) => one.name), message, stack, ...(code === "" ? {} : { code }) };
}

/**
 * Writes a record to a file or to the console.
 *
 * @param text The text for people.
 * @param file The file, without the date that `log_rotation` adds; empty for the console.
 * @param now Returns the time, in milliseconds since 1970.
 * @returns `false` if it was left out, because the file takes too long.
 */
export function printRecord(
  record: LogRecord,
  text: string,
  context: LineContext,
  file: string,
  now: () => number,
): boolean {
  if (file === "/dev/null") return true;
  const { settings, runtime, member } = context;
  const line = lineOf(record, text, context);
  if (file === "" || runtime === undefined) {
    if (record.level === "info") console.log(line);
    else console.error(line);
    return true;
  }
  return writeLog(runtime, logPath(file, settings, record.time), line + "\n", (count) => {
    const lines = count === 1 ? "1 line was" : `${count} lines were`;
    const message = `${lines} left out here: more was logged than the file could take`;
    const fields = member === undefined ? {} : { worker: member.id, pid: member.pid };
    return lineOf({ time: now(), level: "warn", event: "lost", message, fields }, message, context) + "\n";
  });
}

// ---- files ------------------------------------------------------------------------------------------------------------

/** The limit of the text that waits for a write, in characters. An empty queue takes a line of any length. */
const MAX_WAITING = 1024 * 1024;

/** The time to wait for a file that takes nothing, such as a pipe that nobody reads, and for a logger, in milliseconds. */
const PATIENCE = 2000;

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

  /** Returns whether there was room for the line. */
  write(line: string, describeLoss: (count: number) => string): boolean {
    if (this.#writing === undefined) {
      this.#begin(line);
    } else if (this.#lost > 0 || (this.#size > 0 && this.#size + line.length > MAX_WAITING)) {
      this.#lost++;
      this.#describeLoss = describeLoss;
      return false;
    } else {
      this.#waiting.push(line);
      this.#size += line.length;
    }
    return true;
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
 * @returns Whether there was room for the line.
 */
export function writeLog(runtime: Runtime, path: string, line: string, describeLoss: (count: number) => string): boolean {
  const open = files.get(runtime) ?? new Map<string, LogFile>();
  files.set(runtime, open);
  let file = open.get(path);
  if (file === undefined) open.set(path, file = new LogFile(runtime, path, () => open.delete(path)));
  return file.write(line, describeLoss);
}

/** Resolves when all lines that were logged to the files of a server until now are written, or the files take nothing. */
export async function logWritten(
  runtime: Runtime | undefined,
  { access_log_file, log_file }: Required<LogSettings>,
): Promise<void> {
  const own = [access_log_file, log_file].filter((file) => file !== "");
  const writing: Promise<void>[] = [];
  for (const [path, file] of (runtime && files.get(runtime)) ?? []) {
    if (own.some((name) => path.startsWith(name))) writing.push(file.written()); // there may be a date behind it
  }
  if (writing.length > 0) await patiently(Promise.all(writing));
}

/** Resolves with some work, or after some seconds. */
export async function patiently(work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([work, new Promise<void>((resolve) => timer = setTimeout(resolve, PATIENCE))]);
  clearTimeout(timer);
}

// ---- times -----------------------------------------------------------------------------------------------------------

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
