/**
 * The head of an HTTP/1.1 message: request line, header fields, and the length of the body, where `Content-Length` beside
 * `Transfer-Encoding` is refused (RFC 9112 sections 2 to 6).
 *
 * The grammar is applied strictly: a parser that repairs its input can be made to disagree with the proxy in front of it.
 * Anything doubtful is refused with 400, and the connection ends.
 *
 * @module
 */

import { latin1 } from "../transport/current_runtime.ts";

/** Limits for heads. Sizes in bytes. */
export interface HeadLimits {
  /** The largest size of start line and header fields together. */
  readonly maxHeadSize: number;
  /** The largest number of header fields. */
  readonly maxHeaders: number;
}

/** The parsed head of a request. */
export interface RequestHead {
  /** The method, as sent. */
  readonly method: string;
  /** The request target, as sent: path and query. */
  readonly target: string;
  /** `1.0` or `1.1`. */
  readonly version: "1.0" | "1.1";
  /**
   * The header fields, with names in lower case; repeated ones are joined with `, `, Cookie with `; ` (RFC 9110 section 5.3).
   * Requests of one connection may share them, so a program gets a copy.
   */
  readonly header: Readonly<Record<string, string>>;
  /** The length of the body in bytes: 0 without a body, -1 if it is chunked. */
  readonly bodyLength: number;
  /** The whole head as sent, as Latin-1, without the empty line at its end. */
  readonly text: string;
  /** The index in `text` of the end of the request line. */
  readonly lineEnd: number;
}

/** The reason why a message was refused. */
export class HttpFailure {
  /** The status for the response to a bad request. For a response of a server it only distinguishes kinds of failure. */
  readonly status: number;
  /** A description of the error for people. */
  readonly reason: string;

  constructor(status: number, reason: string) {
    this.status = status;
    this.reason = reason;
  }
}

const TOKEN = 1;
const TARGET = 2;
const VALUE = 4;

/** The bytes allowed in a token (RFC 9110 section 5.6.2), a target and a field value (section 5.5). */
const CLASSES: Uint8Array = (() => {
  const classes = new Uint8Array(256);
  for (let c = 0x21; c < 0x7f; c++) classes[c] = TARGET | VALUE;
  for (let c = 0x80; c < 0x100; c++) classes[c] = VALUE;
  classes[0x20] = classes[0x09] = VALUE;
  for (const c of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
    classes[c.charCodeAt(0)] |= TOKEN;
  }
  return classes;
})();

/**
 * The class of objects that hold header fields. They inherit nothing, as objects without a prototype, so no name is special. But
 * engines keep the keys of a prototype-less object in a hash table, whereas instances of one constructor with the same keys share
 * a shape.
 */
const Fields = function () {} as unknown as new () => object;
Fields.prototype = Object.freeze(Object.create(null));

/** Copies header fields. */
export function copyFields(header: Readonly<Record<string, string>>): Record<string, string> {
  const copy = new Fields() as Record<string, string>;
  for (const name in header) copy[name] = header[name];
  return copy;
}

/** Reports whether a byte may be part of a token. */
export function isTokenByte(byte: number): boolean {
  return (CLASSES[byte] & TOKEN) !== 0;
}

/** Reports whether a byte may be part of a field value. */
export function isValueByte(byte: number): boolean {
  return (CLASSES[byte] & VALUE) !== 0;
}

/** Reports whether a text is a token, so that it can be a header name or a method. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) if ((CLASSES[text.charCodeAt(i)] & TOKEN) === 0) return false;
  return text.length > 0;
}

/** Reports whether a text can be a header value: no control characters, and only Latin-1. */
export function isFieldValue(text: string): boolean {
  for (let i = 0; i < text.length; i++) if ((CLASSES[text.charCodeAt(i)] & VALUE) === 0) return false;
  return true;
}

/** Heads up to this length are compared with the next one; remembering longer ones would take too much memory. */
const REMEMBERED_LENGTH = 2048;

/**
 * Parses the complete head of a request.
 *
 * @param bytes The memory that contains the head.
 * @param start The index of its first byte.
 * @param end The index after its last CRLF, before the empty line.
 * @param limits The limits of the head.
 * @param last An earlier head of the connection. A client usually sends the same fields again: then they are those of that head.
 * @returns The head, or the reason for refusing it.
 */
export function parseHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  limits: HeadLimits,
  last?: RequestHead,
): RequestHead | HttpFailure {
  const text = latin1(bytes, start, end);
  const lineEnd = text.indexOf("\r\n");

  // Section 3: method SP request-target SP HTTP-version, with exactly one space each.
  const line = text.slice(0, lineEnd);
  const methodEnd = line.indexOf(" ");
  const targetEnd = line.indexOf(" ", methodEnd + 1);
  const method = line.slice(0, methodEnd);
  const target = line.slice(methodEnd + 1, targetEnd);
  const protocol = line.slice(targetEnd + 1);
  if (methodEnd < 1 || targetEnd < 0 || !isToken(method)) return new HttpFailure(400, "the request line is malformed");
  if (protocol !== "HTTP/1.1" && protocol !== "HTTP/1.0") {
    return /^HTTP\/[0-9]\.[0-9]$/.test(protocol)
      ? new HttpFailure(505, "only HTTP/1.1 is spoken here")
      : new HttpFailure(400, "the request line is malformed");
  }
  if (!isTarget(target, method)) return new HttpFailure(400, "the request target is malformed");
  const version = protocol === "HTTP/1.1" ? "1.1" : "1.0";

  if (last !== undefined && last.version === version && hasFieldsOf(last, text, lineEnd)) {
    return { method, target, version, header: last.header, bodyLength: last.bodyLength, text, lineEnd };
  }
  const header = parseFields(text, lineEnd + 2, limits.maxHeaders);
  if (header instanceof HttpFailure) return header;
  // Section 3.2: HTTP/1.1 requires a Host field, and it must be valid.
  const host = header["host"];
  if (host === undefined ? version === "1.1" : !isHost(host)) {
    return new HttpFailure(400, "the Host field is missing or malformed");
  }
  const bodyLength = parseBodyLength(header, version);
  if (bodyLength instanceof HttpFailure) return bodyLength;
  return { method, target, version, header, bodyLength: bodyLength ?? 0, text, lineEnd };
}

/** Reports whether the next head of a connection may have the fields of this one. */
export function isRemembered(head: RequestHead): boolean {
  return head.text.length <= REMEMBERED_LENGTH;
}

function hasFieldsOf({ text, lineEnd }: RequestHead, other: string, otherLineEnd: number): boolean {
  return text.length - lineEnd === other.length - otherLineEnd && text.slice(lineEnd) === other.slice(otherLineEnd);
}

/**
 * Parses header fields (RFC 9112 section 5).
 *
 * @param text The head as Latin-1.
 * @param at The index of the first field. Each field ends in CRLF, the last one at the end of the text.
 * @param maxHeaders The largest number of fields.
 * @param setCookie Receives the values of Set-Cookie, which cannot be split again once they are joined (RFC 9110 section 5.3).
 * @returns The fields, with names in lower case and repeated fields joined, or the reason for refusing them.
 */
export function parseFields(
  text: string,
  at: number,
  maxHeaders: number,
  setCookie?: string[],
): Record<string, string> | HttpFailure {
  const header = new Fields() as Record<string, string>;
  for (let count = 1; at < text.length; count++) {
    if (count > maxHeaders) return new HttpFailure(431, "there are too many header fields");
    const start = at;
    while ((CLASSES[text.charCodeAt(at)] & TOKEN) !== 0) at++;
    // Sections 5.1 and 5.2: whitespace before the colon and folded lines are not allowed. Neither is a token.
    if (at === start || text.charCodeAt(at) !== 0x3a) return new HttpFailure(400, "a header field is malformed");
    const name = fieldName(text, start, at++);
    while (isBlank(text.charCodeAt(at))) at++;
    const from = at;
    while ((CLASSES[text.charCodeAt(at)] & VALUE) !== 0) at++;
    if (text.charCodeAt(at) !== 0x0d) return new HttpFailure(400, "a header value has a control character");
    let to = at;
    while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
    const value = text.slice(from, to);
    at += 2;
    if (setCookie !== undefined && name === "set-cookie") setCookie.push(value);
    const before = header[name];
    if (before === undefined) header[name] = value;
    else if (name === "host") return new HttpFailure(400, "there are two Host fields"); // section 3.2
    else if (name === "content-length") {
      if (before !== value) return new HttpFailure(400, "Content-Length contradicts itself"); // section 6.3
    } else header[name] = before + (name === "cookie" ? "; " : ", ") + value;
  }
  return header;
}

/**
 * Determines the length of the body from the header fields (RFC 9112 section 6).
 *
 * @returns The length in bytes, -1 for a chunked body, `undefined` if the fields do not say, or the reason for refusing them.
 */
export function parseBodyLength(header: Record<string, string>, version: "1.0" | "1.1"): number | undefined | HttpFailure {
  const encoding = header["transfer-encoding"];
  const contentLength = header["content-length"];
  if (encoding !== undefined) {
    // Sections 6.1 and 6.3: Content-Length in addition to this field, or HTTP/1.0, is a sign of request smuggling.
    if (contentLength !== undefined || version === "1.0") return new HttpFailure(400, "the body length is ambiguous");
    const codings = encoding.toLowerCase().split(",").map(trim);
    if (codings.indexOf("chunked") !== codings.length - 1) {
      return new HttpFailure(400, "chunked must be the last transfer coding, and occur once");
    }
    if (codings.length > 1) return new HttpFailure(501, "only the transfer coding chunked is known");
    return -1;
  }
  if (contentLength === undefined) return undefined;
  if (!/^[0-9]{1,15}$/.test(contentLength)) return new HttpFailure(400, "Content-Length is not a number");
  return Number(contentLength);
}

/**
 * Reports whether a text is a valid Host (RFC 9110 section 7.2): a name, an IPv4 address or an IPv6 address in brackets, with an
 * optional port. It is empty for a URL without an authority.
 */
export function isHost(host: string): boolean {
  return host === "" || /^(?:[\w.~!$&'()*+;=%-]+|\[[0-9a-f:.]+\])(?::[0-9]{0,5})?$/i.test(host);
}

function isTarget(target: string, method: string): boolean {
  for (let i = 0; i < target.length; i++) if ((CLASSES[target.charCodeAt(i)] & TARGET) === 0) return false;
  if (target.includes("#")) return false; // a fragment is never sent
  if (method === "CONNECT") return false; // section 3.2.3: for proxies only
  // Section 3.2: origin-form, absolute-form (meant for proxies, but accepted), or `*` for OPTIONS.
  return target.startsWith("/") || /^https?:\/\/[^/]/i.test(target) || (target === "*" && method === "OPTIONS");
}

/** Reports whether a character is a space or a tab (RFC 9110 section 5.6.3). */
function isBlank(character: number): boolean {
  return character === 0x20 || character === 0x09;
}

/** Removes spaces and tabs around a field value, of which they are not part (section 5). */
export function trim(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && (value[start] === " " || value[start] === "\t")) start++;
  while (end > start && (value[end - 1] === " " || value[end - 1] === "\t")) end--;
  return value.slice(start, end);
}

/** The names in lower case, consisting of letters and hyphens only. */
const NAMES = [
  ...["host", "connection", "user-agent", "accept", "accept-encoding", "accept-language", "cache-control", "cookie", "pragma"],
  ...["content-type", "content-length", "content-encoding", "content-disposition", "transfer-encoding", "expect", "te"],
  ...["origin", "referer", "authorization", "upgrade", "upgrade-insecure-requests", "priority", "dnt", "range", "if-range"],
  ...["if-none-match", "if-match", "if-modified-since", "if-unmodified-since", "sec-websocket-key", "sec-websocket-version"],
  ...["sec-websocket-extensions", "sec-websocket-protocol", "sec-websocket-accept", "sec-fetch-site", "sec-fetch-mode"],
  ...["sec-fetch-dest", "sec-fetch-user", "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "x-requested-with"],
  ...["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded", "via", "traceparent", "date"],
  ...["server", "set-cookie", "location", "vary", "etag", "last-modified", "age", "keep-alive", "accept-ranges"],
];

/** The names by length, first and last letter. */
const BY_LETTERS: (readonly string[] | undefined)[] = [];
for (const name of NAMES) {
  const slot = slotOf(name.length, name.charCodeAt(0), name.charCodeAt(name.length - 1));
  BY_LETTERS[slot] = [...BY_LETTERS[slot] ?? [], name];
}

function slotOf(length: number, first: number, last: number): number {
  return ((length & 31) << 10) | ((first & 31) << 5) | (last & 31);
}

/**
 * Returns the name of a field in lower case. For a common name it returns the known string instead of a new one, which an object
 * would have to compare with its keys.
 *
 * @param text The text that contains the name.
 * @param start The index of its first character.
 * @param end The index after its last character. The name must be a token.
 */
export function fieldName(text: string, start: number, end: number): string {
  const known = BY_LETTERS[slotOf(end - start, text.charCodeAt(start), text.charCodeAt(end - 1))];
  if (known !== undefined) { for (const name of known) if (isSame(text, start, end, name)) return name; }
  return text.slice(start, end).toLowerCase();
}

/**
 * Compares two names, ignoring case. Setting bit 5 maps only letters and the hyphen, among the characters of a token, to
 * characters of known names.
 */
function isSame(text: string, start: number, end: number, name: string): boolean {
  if (end - start !== name.length) return false;
  for (let i = 0; i < name.length; i++) if ((text.charCodeAt(start + i) | 0x20) !== name.charCodeAt(i)) return false;
  return true;
}
