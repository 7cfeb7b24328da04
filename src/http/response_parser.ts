/**
 * Reads answers off a client's connection, one after the other (RFC 9112).
 *
 * @module
 */

import { HttpFailure, isFieldValue, latin1, parseBodyLength, parseFields, trim } from "./head.ts";
import { MessageParser, UNTIL_END } from "./message_parser.ts";

/** A parsed head of an answer. */
export interface AnswerHead {
  /** The status, 100 to 999. */
  readonly status: number;
  /** The reason phrase, which may be empty. */
  readonly reason: string;
  /** `1.0` or `1.1`. */
  readonly version: "1.0" | "1.1";
  /** The header fields, names in lower case; repeated ones joined with a comma, `set-cookie` too: see `setCookie`. */
  readonly header: Record<string, string>;
  /** The values of all Set-Cookie fields, in order. */
  readonly setCookie: readonly string[];
  /** The header fields as they were sent, as Latin-1: each with its CRLF. */
  readonly fields: string;
  /** The length of the body in octets, 0 for none, -1 for a chunked one, -2 for one that ends where the connection does. */
  readonly bodyLength: number;
  /** Whether another request may be sent on this connection. Not behind 101 or a tunnel: what follows is no HTTP. */
  readonly keepAlive: boolean;
}

/** What every answer begins with. */
const START = "HTTP/";

/** Fields that say how a message is to be read, or who may have it: behind the body they come too late. */
const IN_FRONT = new Set(
  ("content-length transfer-encoding content-encoding content-type content-range trailer connection host upgrade " +
    "cache-control expires date set-cookie www-authenticate proxy-authenticate location vary age retry-after").split(" "),
);

/** The most interim answers (1xx) in front of one answer. */
const MAX_INTERIM = 16;

/**
 * The parser of the answers on one connection. Call `begin()` for each request, then give it octets until `head` is there, look
 * at the head, and go on until `complete`. The `status` of a `failure` is 413 for a body above the limit, 414 or 431 for
 * too large a head, 501 for an unknown transfer coding, and 400 for everything else.
 */
export class ResponseParser extends MessageParser<AnswerHead> {
  protected override readonly keepsTrailer: boolean = true;
  #method = "GET";
  #started = 0; // how much of START has been seen
  #interim = 0;

  /** Whether it failed because the body is larger than allowed. */
  get tooLarge(): boolean {
    return this.failure?.status === 413;
  }

  /** The trailer fields, when `complete`, but for those that belong in front of a body (RFC 9110 section 6.5.1). */
  get trailerFields(): string {
    return this.trailer.replace(/^[^\r]*\r\n/gm, (line) => IN_FRONT.has(line.split(":", 1)[0].toLowerCase()) ? "" : line);
  }

  /**
   * Forgets the last answer and gets ready for the next one.
   *
   * @param method The method of the request: the answers to HEAD and CONNECT have no body (RFC 9112 section 6.3).
   */
  begin(method: string): void {
    this.#method = method;
    this.#interim = 0;
    this.next();
  }

  /** Forgets the answer, as `begin()` does, for the same request. */
  override next(): void {
    super.next();
    this.#started = 0;
  }

  /**
   * Takes octets. Stops behind the head, so that its owner can look at it before the body, and behind the body. Interim answers
   * are skipped (RFC 9110 section 15.2), but for 101, which is the last one.
   *
   * @param chunk Where they are.
   * @param at Index of the first one.
   * @returns The index of the first octet that was not needed.
   */
  override receive(chunk: Uint8Array, at: number): number {
    while (at < chunk.length && this.failure === undefined) {
      // A server that speaks something else may be waiting for us: it is not to be waited for until its "head" is complete.
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

  /** The connection has ended: so does a body without a length. An answer that is not complete by then has failed. */
  receiveEnd(): void {
    if (this.complete || this.failure !== undefined) return;
    if (this.head?.bodyLength === UNTIL_END) this.complete = true;
    else this.fail(400, this.begun ? "the answer is cut off" : "the connection ended without an answer", 0);
  }

  /** Parses a whole head. */
  protected override parseHead(bytes: Uint8Array, start: number, end: number): AnswerHead | HttpFailure {
    const text = latin1(bytes, start, end);
    const lineEnd = text.indexOf("\r\n");
    // Section 4: the blank behind the status belongs there even without a reason, but old servers leave it out.
    const line = /^HTTP\/([0-9])\.([0-9]) ([1-9][0-9]{2})(?: (.*))?$/.exec(text.slice(0, lineEnd));
    if (line === null) return new HttpFailure(400, "the status line is malformed");
    const [, major, minor, code, reason = ""] = line;
    if (major !== "1" || minor > "1") return new HttpFailure(400, "only HTTP/1.1 is spoken here");
    if (!isFieldValue(reason)) return new HttpFailure(400, "the reason phrase has a control character");
    const version = minor === "1" ? "1.1" : "1.0";
    const status = Number(code);

    const setCookie: string[] = [];
    // Section 5.2: a client reads a folded line as one with blanks.
    const fields = text.slice(lineEnd + 2).replace(/\r\n[ \t]+/g, " ");
    const header = parseFields(fields, 0, this.limits.maxHeaders, setCookie);
    if (header instanceof HttpFailure) return header;

    // Section 6.3, in its order: some answers have no body, whatever their fields say.
    const isLast = status === 101 || (this.#method === "CONNECT" && status >= 200 && status < 300);
    const isBodiless = isLast || this.#method === "HEAD" || status < 200 || status === 204 || status === 304;
    const stated = isBodiless ? 0 : parseBodyLength(header, version);
    if (stated instanceof HttpFailure) return stated;
    const bodyLength = stated ?? UNTIL_END;
    const keepAlive = !isLast && bodyLength !== UNTIL_END && isPersistent(header["connection"], version);
    return { status, reason, version, header, setCookie, fields, bodyLength, keepAlive };
  }
}

/** The header fields of a response, as programs see them: those that were sent more than once are lists. */
export type ResponseFields = Record<string, string | string[]>;

/**
 * Lists the header fields of a response, and its trailer fields.
 *
 * @param head Its head.
 * @param trailer The trailer fields as Latin-1, each with its CRLF.
 * @param lowercase Whether names are in lower case. Otherwise they are as the server sent them; the first of several spellings counts.
 */
export function listFields({ fields, header }: AnswerHead, trailer: string, lowercase: boolean): ResponseFields {
  const text = fields + trailer;
  const lines = text.split("\r\n");
  lines.pop(); // behind the last CRLF
  if (lowercase && lines.length === Object.keys(header).length) return header; // none is there twice
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

/** Section 9.3: HTTP/1.1 keeps a connection unless it says otherwise, HTTP/1.0 the other way round. */
function isPersistent(connection = "", version: "1.0" | "1.1"): boolean {
  const options = connection.toLowerCase().split(",").map((option) => option.trim());
  return !options.includes("close") && (version === "1.1" || options.includes("keep-alive"));
}
