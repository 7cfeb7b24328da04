/**
 * The head of a response (RFC 9112 section 4): its status, its header fields, and both as text.
 *
 * @module
 */

import { describe, shown, utf8Encoder } from "../values.ts";
import { isFieldValue, isToken } from "./request_head.ts";
import { splitList } from "./field_values.ts";
import { writeLatin1 } from "../transport/bytes.ts";

const PHRASES: Record<number, string> = {
  100: "Continue",
  101: "Switching Protocols",
  103: "Early Hints",
  200: "OK",
  201: "Created",
  202: "Accepted",
  203: "Non-Authoritative Information",
  204: "No Content",
  205: "Reset Content",
  206: "Partial Content",
  300: "Multiple Choices",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  411: "Length Required",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  417: "Expectation Failed",
  418: "I'm a teapot",
  421: "Misdirected Request",
  422: "Unprocessable Content",
  425: "Too Early",
  426: "Upgrade Required",
  428: "Precondition Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  451: "Unavailable For Legal Reasons",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

/** Returns the reason phrase of a status; empty if it has no standard one. */
export function reasonPhrase(status: number): string {
  return PHRASES[status] ?? "";
}

/**
 * Checks the status of a final response.
 *
 * @throws {TypeError} If it is not a number.
 * @throws {RangeError} If it is not an integer from 200 to 999.
 */
export function checkStatus(code: unknown): void {
  if (typeof code !== "number") {
    const given = typeof code === "string" ? JSON.stringify(code) : describe(code);
    throw new TypeError(`Cannot set the status: the status has to be a number, not ${given}`);
  }
  if (!Number.isInteger(code) || code < 200 || code > 999) {
    throw new RangeError(`Cannot set the status: ${code} cannot end this request`);
  }
}

/** The values that `header()` accepts. */
export type HeaderValue = string | number | readonly (string | number)[];

/** RFC 9110 section 6.5.1: fields that say how to read a message must come before its body. */
const NO_TRAILERS = new Set([
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "transfer-encoding",
  "trailer",
  "host",
  "connection",
  "upgrade",
  "set-cookie",
  "location",
  "authorization",
  "cache-control",
  "te",
]);

/** A field, with its name also in lower case. */
export type Field = readonly [name: string, value: string, lower: string];

/** A list of fields in the order in which they were set. */
export class ResponseFields {
  #fields: Field[] = [];

  /**
   * Sets a field, replacing earlier values. `null` removes it.
   *
   * @throws {TypeError} If the name is not a token, or a value is neither a string nor a number or contains a control character:
   * a header cannot be split in two.
   */
  set(name: string, value: HeaderValue | null): void {
    const lower = lowerCase(name);
    if (value === null) return this.delete(lower);
    const values = Array.isArray(value) ? value.map((one) => textOf(name, one)) : textOf(name, value);
    if (lower === "transfer-encoding") throw new TypeError("Cannot set Transfer-Encoding: write() chooses it");
    if (this.#fields.length > 0) this.delete(lower);
    if (typeof values === "string") this.#fields.push([name, values, lower]);
    else for (const one of values) this.#fields.push([name, one, lower]);
  }

  /** Adds a field after those of the same name. The value is not checked. */
  add(name: string, value: string): void {
    this.#fields.push([name, value, name.toLowerCase()]);
  }

  /** Sets a trailer. Throws as `set()` does, and for fields that cannot be trailers. */
  setTrailer(name: string, value: HeaderValue | null): void {
    checkName(name);
    if (NO_TRAILERS.has(name.toLowerCase())) throw new TypeError(`Cannot set the trailer ${name}: it has to be a header`);
    this.set(name, value);
  }

  /** Removes a field. The name must be in lower case. */
  delete(lower: string): void {
    this.#fields = this.#fields.filter((field) => field[2] !== lower);
  }

  /** Reports whether a field is set. The name must be in lower case. */
  has(lower: string): boolean {
    for (let i = 0; i < this.#fields.length; i++) if (this.#fields[i][2] === lower) return true;
    return false;
  }

  /** Returns the joined values of a field. The name must be in lower case. */
  get(lower: string): string | undefined {
    const values = this.#fields.filter((field) => field[2] === lower);
    return values.length === 0 ? undefined : values.map(([, value]) => value).join(", ");
  }

  /** The number of fields. */
  get size(): number {
    return this.#fields.length;
  }

  /** Returns a copy that does not change. */
  list(): readonly Field[] {
    return this.#fields.slice();
  }

  /** Reports whether the fields are those of a list, in the same order. */
  isList(list: readonly Field[]): boolean {
    const fields = this.#fields;
    if (fields.length !== list.length) return false;
    for (let i = 0; i < list.length; i++) {
      if (fields[i][0] !== list[i][0] || fields[i][1] !== list[i][1]) return false;
    }
    return true;
  }

  /** Iterates over the fields. */
  [Symbol.iterator](): IterableIterator<Field> {
    return this.#fields[Symbol.iterator]();
  }
}

function textOf(name: string, value: unknown): string {
  if (typeof value === "string") {
    if (isFieldValue(value)) return value;
    throw new TypeError(`Cannot set the header ${name}: the value has a character that is not allowed`);
  }
  if (typeof value === "number") return String(value);
  throw new TypeError(
    `Cannot set the header ${name}: the value has to be a string, a number, a list of them, or null to take it back, not ${
      describe(value)
    }`,
  );
}

function checkName(name: unknown): void {
  if (typeof name === "string") return;
  throw new TypeError(`Cannot set a header: the name has to be a string, not ${describe(name)}`);
}

/** More names, and longer ones, than programs use. They may send names that they were sent. */
const MOST_NAMES = 500;
const LONGEST_NAME = 64;

/** Reports whether what was found of a name may be remembered. */
function isCommon(name: string, remembered: ReadonlyMap<string, string>): boolean {
  return name.length <= LONGEST_NAME && remembered.size < MOST_NAMES;
}

const lowerCases: Map<string, string> = new Map();

/** Returns a field name in lower case, and checks it. */
function lowerCase(name: string): string {
  let lower = lowerCases.get(name);
  if (lower === undefined) {
    if (!isToken(name)) throw new TypeError(`Cannot set a header: ${shown(name)} is not a header name`);
    lower = name.toLowerCase();
    if (isCommon(name, lowerCases)) lowerCases.set(name, lower);
  }
  return lower;
}

const capitalized: Map<string, string> = new Map();

/** Capitalizes the words of a field name, and nothing else: `x-request-ID` becomes `X-Request-Id`. */
export function capitalize(name: string): string {
  let known = capitalized.get(name);
  if (known === undefined) {
    checkName(name);
    known = name.toLowerCase().replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
    if (isCommon(name, capitalized)) capitalized.set(name, known);
  }
  return known;
}

/** Reports whether responses with a status have no body (RFC 9110 section 6.4.1). */
export function isBodiless(status: number): boolean {
  return status === 101 || status === 204 || status === 304;
}

/** Reports whether the program set `Connection: close`, which is obeyed (RFC 9112 section 9.6). */
export function saysClose(fields: ResponseFields): boolean {
  return fields.has("connection") && connectionOptions(fields).some((option) => option.toLowerCase() === "close");
}

/** Returns the head of a response with status 101 to which the program has added nothing. */
export function switchingHead(fields: readonly (readonly [name: string, value: string])[], date: string): string {
  let text = "HTTP/1.1 101 Switching Protocols\r\n";
  for (const [name, value] of fields) text += `${name}: ${value}\r\n`;
  return `${text}Server: sluice\r\nDate: ${date}\r\n\r\n`;
}

/** The beginning of a head: all of it but the lines that give the length of the body, and the empty line. */
export class HeadStart {
  /** Each character is a byte. */
  readonly text: string;
  #bytes: Uint8Array | undefined = undefined;

  constructor(text: string) {
    this.text = text;
  }

  /**
   * Writes it.
   *
   * @param memory The memory to write to.
   * @param at The index of the first byte.
   */
  write(memory: Uint8Array, at: number): void {
    if (this.#bytes !== undefined) memory.set(this.#bytes, at);
    else writeLatin1(this.text, memory, at);
  }

  /** Keeps the bytes, because it is written again and again. */
  encode(): void {
    if (this.#bytes === undefined) writeLatin1(this.text, this.#bytes = new Uint8Array(this.text.length), 0);
  }
}

/** A beginning that was made lately, and what it was made of. */
interface Known {
  readonly status: number;
  readonly reason: string | undefined;
  readonly fields: readonly Field[];
  readonly date: string;
  readonly flags: number;
  readonly start: HeadStart;
}

/** Beginnings that were made lately: a server sends few different ones until the date changes. */
const KNOWN: (Known | undefined)[] = new Array(16).fill(undefined);

/** Longer beginnings are not remembered. */
const LONGEST_KNOWN = 2048;

/**
 * Returns the beginning of a head.
 *
 * @param status The status.
 * @param reason The reason phrase, if not the standard one.
 * @param fields The fields set by the program.
 * @param cookies The values of Set-Cookie.
 * @param date The value of Date.
 * @param keptAlive Whether the connection stays open.
 * @param hasBody Whether a body follows.
 * @param isText Whether the body was passed as text, and is therefore UTF-8.
 */
export function headStart(
  status: number,
  reason: string | undefined,
  fields: ResponseFields,
  cookies: readonly string[] | undefined,
  date: string,
  keptAlive: boolean,
  hasBody: boolean,
  isText: boolean,
): HeadStart {
  if (cookies !== undefined) return new HeadStart(startText(status, reason, fields, cookies, date, keptAlive, hasBody, isText));
  const flags = (keptAlive ? 1 : 0) | (hasBody ? 2 : 0) | (isText ? 4 : 0);
  const slot = (status + 3 * fields.size + (isText ? 5 : 0)) % KNOWN.length;
  const known = KNOWN[slot];
  if (
    known !== undefined && known.status === status && known.flags === flags && known.reason === reason && known.date === date &&
    fields.isList(known.fields)
  ) {
    known.start.encode();
    return known.start;
  }
  const start = new HeadStart(startText(status, reason, fields, cookies, date, keptAlive, hasBody, isText));
  if (start.text.length <= LONGEST_KNOWN) KNOWN[slot] = { status, reason, fields: fields.list(), date, flags, start };
  return start;
}

/** Returns the beginning of a head as text; see `headStart()`. */
function startText(
  status: number,
  reason: string | undefined,
  fields: ResponseFields,
  cookies: readonly string[] | undefined,
  date: string,
  keptAlive: boolean,
  hasBody: boolean,
  isText: boolean,
): string {
  let text = `HTTP/1.1 ${status} ${reason ?? reasonPhrase(status)}\r\n`;
  let server = false;
  let dated = false;
  let connection = false;
  let type = isBodiless(status);
  for (const [name, value, lower] of fields) {
    if (lower === "connection") {
      if (!connection) text += `${name}: ${connectionField(fields, status, keptAlive)}\r\n`;
      connection = true;
      continue;
    }
    server ||= lower === "server";
    dated ||= lower === "date";
    type ||= lower === "content-type";
    if (value === "" && (lower === "server" || lower === "date" || lower === "content-type")) continue;
    // The length of a body that is sent is computed. The program's own is sent only in place of a body that is not, as for HEAD
    // (RFC 9110 section 8.6).
    if (lower === "content-length" && (hasBody || status === 101 || status === 204)) continue;
    text += lower === "content-type" && isText ? `${name}: ${withCharset(value)}\r\n` : `${name}: ${value}\r\n`;
  }
  if (cookies !== undefined) { for (const cookie of cookies) text += `Set-Cookie: ${cookie}\r\n`; }
  if (!server) text += "Server: sluice\r\n";
  if (!dated) text += `Date: ${date}\r\n`;
  if (!connection) {
    if (fields.has("upgrade")) text += `Connection: ${connectionField(fields, status, keptAlive)}\r\n`;
    else if (status !== 101) text += keptAlive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  }
  if (!type) text += isText ? "Content-Type: text/html; charset=utf-8\r\n" : "Content-Type: text/html\r\n";
  return text;
}

/** Adds the charset to a text type, unless it has one or allows only one (text/event-stream). */
function withCharset(type: string): string {
  const known = CHARSETS.get(type);
  if (known !== undefined) return known;
  const hasNone = /^text\//i.test(type) && !/;\s*charset\s*=/i.test(type) && !/^text\/event-stream\b/i.test(type);
  const result = hasNone ? `${type}; charset=utf-8` : type;
  if (CHARSETS.size < 100 && type.length < 100) CHARSETS.set(type, result);
  return result;
}

/** Results of `withCharset()`, since a program uses few types. */
const CHARSETS: Map<string, string> = new Map();

/** Returns the line that announces trailers (RFC 9110 section 6.6.2), if there are any. */
export function announceTrailers(trailers: ResponseFields | undefined): string {
  if (trailers === undefined) return "";
  const names = new Set([...trailers].map(([name]) => name));
  return names.size > 0 ? `Trailer: ${[...names].join(", ")}\r\n` : "";
}

/** Splits the values of the program's `Connection` fields. */
function connectionOptions(fields: ResponseFields): string[] {
  return splitList(fields.get("connection") ?? "");
}

/** Returns the value of `Connection`: the program's options, but with the `keep-alive` or `close` that really applies. */
function connectionField(fields: ResponseFields, status: number, keptAlive: boolean): string {
  if (status === 101 && fields.get("connection") === "Upgrade") return "Upgrade"; // the usual case
  const options = connectionOptions(fields).filter((option) => !/^(?:close|keep-alive)$/i.test(option));
  // RFC 9110 section 7.8: a sender of Upgrade also names it here, so that proxies do not forward it.
  if (fields.has("upgrade") && !options.some((option) => option.toLowerCase() === "upgrade")) options.push("Upgrade");
  if (status !== 101) options.push(keptAlive ? "keep-alive" : "close");
  return options.join(", ");
}

/** Escapes characters that a URL may not contain (RFC 3986 section 2). Control characters stay, and are refused later. */
export function escapeUrl(url: string): string {
  if (typeof url !== "string") {
    const href = typeof (url as { href?: unknown } | null)?.href === "string" ? "; use url.href" : "";
    throw new TypeError(`Cannot redirect: the URL has to be a string, not ${describe(url)}${href}`);
  }
  // deno-lint-ignore no-control-regex
  return url.replace(/[^\x00-\x1f\x21-\x7f]+/g, (text) => {
    return Array.from(utf8Encoder.encode(text), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");
  });
}
