/**
 * The head of an HTTP/1.1 message: request line, header fields, how long the body is (RFC 9112 sections 2 to 6).
 *
 * The grammar is taken by its word: a parser that repairs what it reads is a parser that can be made to disagree with the proxy
 * in front of it. Whatever is in doubt is refused with 400 and the connection ends.
 *
 * @module
 */

import { fieldName } from "./field_names.ts";

/** What a peer may send before it is refused. Sizes in octets. */
export interface HeadLimits {
  /** Start line and header fields together. */
  readonly maxHeadSize: number;
  /** Number of header fields. */
  readonly maxHeaders: number;
}

/** A parsed head. */
export interface RequestHead {
  /** The method, as sent. */
  readonly method: string;
  /** The request target, as sent: path and query. */
  readonly target: string;
  /** `1.0` or `1.1`. */
  readonly version: "1.0" | "1.1";
  /** The header fields, names in lower case; repeated ones joined with a comma, as RFC 9110 section 5.3 allows. */
  readonly header: Record<string, string>;
  /** The length of the body, 0 for none, -1 for a chunked one. */
  readonly bodyLength: number;
  /** All of it as it was sent, as Latin-1, without the empty line at its end. */
  readonly text: string;
}

/** Why a message is refused. */
export class HttpFailure {
  /** The status that answers such a request; for a message of a server it tells the kinds of failure apart. */
  readonly status: number;
  /** What was wrong, for people. */
  readonly reason: string;

  constructor(status: number, reason: string) {
    this.status = status;
    this.reason = reason;
  }
}

const TOKEN = 1;
const TARGET = 2;
const VALUE = 4;

/** Which octets may be part of a token (RFC 9110 section 5.6.2), a target, a field value (section 5.5). */
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

const decoder = new TextDecoder();

/**
 * What header fields are put into. It inherits nothing, whatever the names, as an object without a prototype; but engines keep the
 * keys of such an object in a hash table, and give the instances of a constructor that have the same keys a common shape.
 */
const Fields = function () {} as unknown as new () => object;
Fields.prototype = Object.freeze(Object.create(null));

/** Octets as Latin-1, which is what header fields are (RFC 9110 section 5.5). */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  let all = 0;
  for (let at = start; at < end; at++) all |= bytes[at];
  // ASCII is the same in UTF-8, whose decoder is ten times as fast as making a text of numbers.
  if (all < 0x80) return decoder.decode(bytes.subarray(start, end));
  let text = "";
  for (let at = start; at < end; at += 4096) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, Math.min(at + 4096, end)) as unknown as number[]);
  }
  return text;
}

/** Tells whether an octet may be part of a token. */
export function isTokenOctet(octet: number): boolean {
  return (CLASSES[octet] & TOKEN) !== 0;
}

/** Tells whether an octet may be part of a field value. */
export function isValueOctet(octet: number): boolean {
  return (CLASSES[octet] & VALUE) !== 0;
}

/** Tells whether a text is a token, so that it may be a header name or a method. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) if ((CLASSES[text.charCodeAt(i)] & TOKEN) === 0) return false;
  return text.length > 0;
}

/** Tells whether a text may be a header value: no control characters, nothing outside Latin-1. */
export function isFieldValue(text: string): boolean {
  for (let i = 0; i < text.length; i++) if ((CLASSES[text.charCodeAt(i)] & VALUE) === 0) return false;
  return true;
}

/**
 * Parses a whole head.
 *
 * @param bytes Where it is.
 * @param start Index of its first octet.
 * @param end Index behind its last CRLF; the empty line is not part of it.
 * @param limits What is accepted.
 * @returns The head, or why it is refused.
 */
export function parseHead(bytes: Uint8Array, start: number, end: number, limits: HeadLimits): RequestHead | HttpFailure {
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

  const header = parseFields(text, lineEnd + 2, limits.maxHeaders);
  if (header instanceof HttpFailure) return header;
  // Section 3.2: HTTP/1.1 needs a Host, and what is there has to be one.
  const host = header["host"];
  if (host === undefined ? version === "1.1" : !isHost(host)) {
    return new HttpFailure(400, "the Host field is missing or malformed");
  }
  const bodyLength = parseBodyLength(header, version);
  if (bodyLength instanceof HttpFailure) return bodyLength;
  return { method, target, version, header, bodyLength: bodyLength ?? 0, text };
}

/**
 * Parses header fields (RFC 9112 section 5).
 *
 * @param text A head as Latin-1.
 * @param at Index of the first field. Each one ends in CRLF, the last one at the end of the text.
 * @param maxHeaders How many are accepted.
 * @param setCookie Takes the values of Set-Cookie, which cannot be told apart once they are joined (RFC 9110 section 5.3).
 * @returns The fields, names in lower case and repeated ones joined, or why they are refused.
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
    // Section 5.1: no whitespace before the colon; section 5.2: no folded lines. Neither is a token.
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
 * What header fields say about the length of the body (RFC 9112 section 6).
 *
 * @returns The length in octets, -1 for a chunked body, `undefined` if they say nothing, or why they are refused.
 */
export function parseBodyLength(header: Record<string, string>, version: "1.0" | "1.1"): number | undefined | HttpFailure {
  const encoding = header["transfer-encoding"];
  const contentLength = header["content-length"];
  if (encoding !== undefined) {
    // Sections 6.1 and 6.3: a length beside it, or HTTP/1.0, is how messages are smuggled.
    if (contentLength !== undefined || version === "1.0") return new HttpFailure(400, "the body length is ambiguous");
    const codings = encoding.toLowerCase().split(",").map(trim);
    if (codings.indexOf("chunked") !== codings.length - 1) return new HttpFailure(400, "chunked is not the last coding, once");
    if (codings.length > 1) return new HttpFailure(501, "only the transfer coding chunked is known");
    return -1;
  }
  if (contentLength === undefined) return undefined;
  if (!/^[0-9]{1,15}$/.test(contentLength)) return new HttpFailure(400, "Content-Length is not a number");
  return Number(contentLength);
}

/** RFC 9110 section 7.2: a name, an IPv4 address or an IPv6 one in brackets, and a port, if any; nothing where a URL has no authority. */
function isHost(host: string): boolean {
  return host === "" || /^(?:[\w.~!$&'()*+;=%-]+|\[[0-9a-f:.]+\])(?::[0-9]{0,5})?$/i.test(host);
}

function isTarget(target: string, method: string): boolean {
  for (let i = 0; i < target.length; i++) if ((CLASSES[target.charCodeAt(i)] & TARGET) === 0) return false;
  if (target.includes("#")) return false; // a fragment is never sent
  if (method === "CONNECT") return false; // section 3.2.3: its target is a host and a port, and this is no proxy
  // Section 3.2: origin-form, absolute-form (for proxies, accepted), `*` for OPTIONS.
  return target.startsWith("/") || /^https?:\/\/[^/]/i.test(target) || (target === "*" && method === "OPTIONS");
}

/** A blank or a tab (section 5.6.3 of RFC 9110). */
function isBlank(character: number): boolean {
  return character === 0x20 || character === 0x09;
}

/** Takes off the blanks and tabs around a text, which are not part of a value (section 5). */
export function trim(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && (value[start] === " " || value[start] === "\t")) start++;
  while (end > start && (value[end - 1] === " " || value[end - 1] === "\t")) end--;
  return value.slice(start, end);
}
