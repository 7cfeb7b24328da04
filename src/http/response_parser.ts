/**
 * Parses the responses on a client's connection, one after the other (RFC 9112).
 *
 * @module
 */

import { HttpFailure, isFieldValue, parseBodyLength, parseFields, trim } from "./request_head.ts";
import { splitList } from "./field_values.ts";
import { latin1 } from "../transport/current_runtime.ts";
import { MessageParser, UNTIL_END } from "./message_parser.ts";

/** The parsed head of a response. */
export interface AnswerHead {
  /** The status, 100 to 999. */
  readonly status: number;
  /** The reason phrase; may be empty. */
  readonly reason: string;
  /** `1.0` or `1.1`. */
  readonly version: "1.0" | "1.1";
  /** The header fields, with names in lower case; repeated fields are joined with a comma, even Set-Cookie: see `setCookie`. */
  readonly header: Record<string, string>;
  /** The values of all Set-Cookie fields, in order. */
  readonly setCookie: readonly string[];
  /** The header fields as sent, as Latin-1, each with its CRLF. */
  readonly fields: string;
  /** The length of the body in bytes: 0 without a body, -1 if it is chunked, -2 if it ends with the connection. */
  readonly bodyLength: number;
  /**
   * Whether the connection can be used for another request. `false` after 101 or for a tunnel, because the bytes that follow are
   * not HTTP.
   */
  readonly keepAlive: boolean;
}

/** The first bytes of every response. */
const START = "HTTP/";

/** Fields that say how to read the message or who may store it. In a trailer they come too late and are dropped. */
const IN_FRONT = new Set(
  ("content-length transfer-encoding content-encoding content-type content-range trailer connection host upgrade " +
    "cache-control expires date set-cookie www-authenticate proxy-authenticate location vary age retry-after").split(" "),
);

/** The largest number of interim responses (1xx) before a response. */
const MAX_INTERIM = 16;

/**
 * A parser for the responses on one connection. Call `begin()` for each request, pass bytes until `head` is set, inspect the
 * head, and continue until `complete`. The `status` of a `failure` is 413 if the body is above the limit, 414 or 431 if the head
 * is too large, 501 for an unknown transfer coding, and 400 for everything else.
 */
export class ResponseParser extends MessageParser<AnswerHead> {
  protected override readonly keepsTrailer: boolean = true;
  #method = "GET";
  #started = 0; // the number of bytes of START seen so far
  #interim = 0;

  /** Whether parsing failed because the body is too large. */
  get tooLarge(): boolean {
    return this.failure?.status === 413;
  }

  /** The trailer fields, when `complete`, without those that belong before the body (RFC 9110 section 6.5.1). */
  get trailerFields(): string {
    return this.trailer.replace(/^[^\r]*\r\n/gm, (line) => IN_FRONT.has(line.split(":", 1)[0].toLowerCase()) ? "" : line);
  }

  /**
   * Forgets the last response and prepares for the next one.
   *
   * @param method The method of the request: responses to HEAD and CONNECT have no body (RFC 9112 section 6.3).
   */
  begin(method: string): void {
    this.#method = method;
    this.#interim = 0;
    this.next();
  }

  /** Forgets the response, as `begin()` does, but for the same request. */
  override next(): void {
    super.next();
    this.#started = 0;
  }

  /**
   * Parses bytes. Stops after the head, so that the caller can inspect it before the body, and after the body. Interim responses
   * are skipped (RFC 9110 section 15.2), except 101, which is final.
   *
   * @param chunk The memory that contains the bytes.
   * @param at The index of the first byte.
   * @returns The index of the first byte that was not consumed.
   */
  override receive(chunk: Uint8Array, at: number): number {
    while (at < chunk.length && this.failure === undefined) {
      // Fail at the first wrong byte: a server of another protocol may be waiting for us and never complete a "head".
      for (let i = at; this.head === undefined && this.#started < START.length && i < chunk.length; i++, this.#started++) {
        if (chunk[i] !== START.charCodeAt(this.#started)) return this.fail(400, "this is not HTTP", at);
      }
      at = super.receive(chunk, at);
      if (this.head === undefined || !isInterim(this.head.status)) break;
      this.next();
      if (++this.#interim > MAX_INTERIM) return this.fail(400, "there are too many interim answers", at);
    }
    return at;
  }

  /** Handles the end of the connection, which completes a body without a length. Any other incomplete response fails. */
  receiveEnd(): void {
    if (this.complete || this.failure !== undefined) return;
    if (this.head?.bodyLength === UNTIL_END) this.complete = true;
    else this.fail(400, this.begun ? "the answer is cut off" : "the connection ended without an answer", 0);
  }

  /** Parses a complete head. */
  protected override parseHead(bytes: Uint8Array, start: number, end: number): AnswerHead | HttpFailure {
    const text = latin1(bytes, start, end);
    const lineEnd = text.indexOf("\r\n");
    // Section 4: the space after the status is required even without a reason, but old servers omit it.
    const line = /^HTTP\/([0-9])\.([0-9]) ([1-9][0-9]{2})(?: (.*))?$/.exec(text.slice(0, lineEnd));
    if (line === null) return new HttpFailure(400, "the status line is malformed");
    const [, major, minor, code, reason = ""] = line;
    if (major !== "1" || minor > "1") return new HttpFailure(400, "only HTTP/1.1 is spoken here");
    if (!isFieldValue(reason)) return new HttpFailure(400, "the reason phrase has a control character");
    const version = minor === "1" ? "1.1" : "1.0";
    const status = Number(code);

    const setCookie: string[] = [];
    // Section 5.2: a client reads a folded line as one line with spaces.
    const fields = text.slice(lineEnd + 2).replace(/\r\n[ \t]+/g, " ");
    const header = parseFields(fields, 0, this.limits.maxHeaders, setCookie);
    if (header instanceof HttpFailure) return header;

    // Section 6.3, in its order: some responses have no body, regardless of their fields.
    const isLast = status === 101 || (this.#method === "CONNECT" && status >= 200 && status < 300);
    const isBodiless = isLast || this.#method === "HEAD" || status < 200 || status === 204 || status === 304;
    const stated = isBodiless ? 0 : parseBodyLength(header, version);
    if (stated instanceof HttpFailure) return stated;
    const bodyLength = stated ?? UNTIL_END;
    const keepAlive = !isLast && bodyLength !== UNTIL_END && isPersistent(header["connection"], version);
    return { status, reason, version, header, setCookie, fields, bodyLength, keepAlive };
  }
}

/** The header fields of a response as programs see them. Fields that were sent more than once are lists. */
export type ResponseFields = Record<string, string | string[]>;

/**
 * Lists the header fields and trailer fields of a response.
 *
 * @param head The head.
 * @param trailer The trailer fields as Latin-1, each with its CRLF.
 * @param lowercase Whether to convert names to lower case. Otherwise they are spelled as the server sent them; of several
 * spellings the first counts.
 */
export function listFields({ fields, header }: AnswerHead, trailer: string, lowercase: boolean): ResponseFields {
  const text = fields + trailer;
  const lines = text.split("\r\n");
  lines.pop(); // after the last CRLF
  if (lowercase && lines.length === Object.keys(header).length) return header; // no field is repeated
  const listed: ResponseFields = Object.create(null);
  const names = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const key = line.slice(0, colon).toLowerCase();
    const name = names.get(key) ?? (lowercase ? key : line.slice(0, colon));
    names.set(key, name);
    const value = trim(line.slice(colon + 1));
    const before = listed[name];
    if (before === undefined) listed[name] = value;
    else if (typeof before === "string") listed[name] = [before, value];
    else before.push(value);
  }
  return listed;
}

function isInterim(status: number): boolean {
  return status < 200 && status !== 101;
}

/** Reports whether the connection persists. Section 9.3: in HTTP/1.1 by default, in HTTP/1.0 only with `keep-alive`. */
function isPersistent(connection = "", version: "1.0" | "1.1"): boolean {
  const options = splitList(connection.toLowerCase());
  return !options.includes("close") && (version === "1.1" || options.includes("keep-alive"));
}
