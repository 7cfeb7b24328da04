/**
 * The head of a response (RFC 9112 section 4): its status, its header fields, and both as text.
 *
 * @module
 */

import { describe, shown, utf8Encoder } from "../values.ts";
import { isFieldValue, isToken } from "./request_head.ts";
import { splitList } from "./field_values.ts";

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
    if (!isToken(name)) throw new TypeError(`Cannot set a header: ${shown(name)} is not a header name`);
    if (value === null) return this.delete(name.toLowerCase());
    const values = Array.isArray(value) ? value.map((one) => textOf(name, one)) : [textOf(name, value)];
    for (const one of values) {
      if (!isFieldValue(one)) throw new TypeError(`Cannot set the header ${name}: the value has a character that is not allowed`);
    }
    const lower = name.toLowerCase();
    if (lower === "transfer-encoding") throw new TypeError("Cannot set Transfer-Encoding: write() chooses it");
    if (this.#fields.length > 0) this.delete(lower);
    for (const one of values) this.#fields.push([name, one, lower]);
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

  /** Iterates over the fields. */
  [Symbol.iterator](): IterableIterator<Field> {
    return this.#fields[Symbol.iterator]();
  }
}

function textOf(name: string, value: unknown): string {
  if (typeof value === "string") return value;
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

const capitalized: Map<string, string> = new Map();

/** Capitalizes the words of a field name, and nothing else: `x-request-ID` becomes `X-Request-Id`. */
export function capitalize(name: string): string {
  let known = capitalized.get(name);
  if (known === undefined) {
    checkName(name);
    known = name.toLowerCase().replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
    if (capitalized.size < 500) capitalized.set(name, known); // more than programs use
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

/**
 * Returns the head as text.
 *
 * @param status The status.
 * @param reason The reason phrase, if not the standard one.
 * @param fields The fields set by the program.
 * @param cookies The values of Set-Cookie.
 * @param date The value of Date.
 * @param keptAlive Whether the connection stays open.
 * @param hasBody Whether a body follows.
 * @param framing The lines that give the length of the body.
 * @param isText Whether the body was passed as text, and is therefore UTF-8.
 */
export function headText(
  status: number,
  reason: string | undefined,
  fields: ResponseFields,
  cookies: readonly string[] | undefined,
  date: string,
  keptAlive: boolean,
  hasBody: boolean,
  framing: string,
  isText = false,
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
  return text + framing + "\r\n";
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
