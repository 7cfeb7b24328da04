/**
 * Values of header fields (RFC 9110 section 5.6): comma-separated lists, values with parameters, dates.
 *
 * @module
 */

import { isToken, trim } from "./request_head.ts";

/**
 * Splits a list into its items. A list may have empty items, which do not count.
 *
 * @param most The largest number of items, empty ones included; more are ignored.
 */
export function splitList(list: string, most?: number): string[] {
  return list.split(",", most).map(trim).filter((item) => item !== "");
}

/** Reports whether a list contains a token, ignoring case. */
export function hasToken(list: string | undefined, token: string): boolean {
  if (list === undefined || list.length < token.length) return false;
  if (list.length === token.length) return list.toLowerCase() === token;
  if (!list.includes(",")) {
    const only = trim(list);
    return only.length === token.length && only.toLowerCase() === token;
  }
  return splitList(list).some((item) => item.toLowerCase() === token);
}

/** A header value with its parameters: `form-data; name="a"; filename="b.txt"` (RFC 9110 section 5.6.6). */
export interface Parametrised {
  /** The text before the first semicolon, in lower case. */
  readonly value: string;
  /** The parameters, with names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * Parses a header value with parameters.
 *
 * @param text The value. In quoted strings a backslash escapes a quotation mark or a backslash, and stands for itself otherwise,
 * as in PHP: browsers do not escape backslashes in file names.
 * @returns `undefined` if the value is malformed, or a parameter is repeated.
 */
export function parseParameters(text: string): Parametrised | undefined {
  const first = text.indexOf(";");
  const value = (first < 0 ? text : text.slice(0, first)).trim().toLowerCase();
  const parameters = new Map<string, string>();
  for (let at = first; at >= 0 && at < text.length;) {
    at = skipBlanks(text, at + 1); // after a semicolon
    if (at >= text.length || text[at] === ";") continue; // empty parameter
    const equals = text.indexOf("=", at);
    if (equals < 0) return undefined;
    const name = text.slice(at, equals).trim().toLowerCase();
    if (!isToken(name) || parameters.has(name)) return undefined;
    at = skipBlanks(text, equals + 1);
    if (text[at] !== '"') {
      const end = text.indexOf(";", at);
      parameters.set(name, text.slice(at, end < 0 ? text.length : end).trim());
      at = end;
      continue;
    }
    let content = "";
    for (at++; at < text.length && text[at] !== '"'; at++) {
      if (text[at] === "\\" && (text[at + 1] === '"' || text[at + 1] === "\\")) at++;
      content += text[at];
    }
    parameters.set(name, content);
    if (at >= text.length) return undefined; // not closed
    at = skipBlanks(text, at + 1);
    if (at < text.length && text[at] !== ";") return undefined;
  }
  return { value, parameters };
}

function skipBlanks(text: string, at: number): number {
  while (text[at] === " " || text[at] === "\t") at++;
  return at;
}

/**
 * Returns the boundary of a multipart body.
 *
 * @param contentType The value of Content-Type.
 * @returns `undefined` if it has no boundary of 1 to 70 printable characters (RFC 2046 section 5.1.1).
 */
export function boundaryOf(contentType: string | undefined): string | undefined {
  const boundary = parseParameters(contentType ?? "")?.parameters.get("boundary");
  return boundary !== undefined && /^[ -~]{0,69}[!-~]$/.test(boundary) ? boundary : undefined;
}

/** The months, as written in dates (RFC 9110 section 5.6.7). */
export const MONTHS: readonly string[] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MONTH = MONTHS.join("|");
const TIME = "([0-9]{2}):([0-9]{2}):([0-9]{2})";

/** `Sun, 06 Nov 1994 08:49:37 GMT`. */
const FIXED = new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) (${MONTH}) ([0-9]{4}) ${TIME} GMT$`);
/** `Sunday, 06-Nov-94 08:49:37 GMT`. */
const RFC_850 = new RegExp(`^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, ([0-9]{2})-(${MONTH})-([0-9]{2}) ${TIME} GMT$`);
/** `Sun Nov  6 08:49:37 1994`. */
const ASCTIME = new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (${MONTH}) ([ 0-3][0-9]) ${TIME} ([0-9]{4})$`);

/** Formats a time in milliseconds since 1970. */
export function formatHttpDate(time: number): string {
  return new Date(time).toUTCString();
}

/**
 * Parses a date in one of the three formats of HTTP. `Date.parse()` would accept many others.
 *
 * @param text The value of a field.
 * @param now The time in milliseconds since 1970, for the century of a year with two digits.
 * @returns Milliseconds since 1970; `NaN` if the text is not a date.
 */
export function parseHttpDate(text: string, now: number): number {
  let parts = FIXED.exec(text);
  if (parts !== null) return timeOf(Number(parts[3]), parts[2], parts[1], parts, 4);
  parts = ASCTIME.exec(text);
  if (parts !== null) return timeOf(Number(parts[6]), parts[1], parts[2], parts, 3);
  parts = RFC_850.exec(text);
  if (parts === null) return NaN;
  // A two-digit year is the latest one with these digits that is at most 50 years ahead.
  const year = Number(parts[3]);
  const last = new Date(now).getUTCFullYear() + 50;
  return timeOf(last - (((last - year) % 100) + 100) % 100, parts[2], parts[1], parts, 4);
}

function timeOf(year: number, month: string, day: string, parts: readonly string[], at: number): number {
  const [hours, minutes, seconds] = [0, 1, 2].map((i) => Number(parts[at + i]));
  const time = Date.UTC(year, MONTHS.indexOf(month), Number(day), hours, minutes, Math.min(seconds, 59)); // 60 is a leap second
  const isDate = hours < 24 && minutes < 60 && seconds < 61 && new Date(time).getUTCDate() === Number(day);
  return isDate && year >= 1000 ? time : NaN;
}
