/**
 * What an `HttpRequest` tells of a request without waiting for anything.
 *
 * @module
 */

import type { Address } from "../runtime.ts";
import { parseCookies } from "./cookies.ts";
import { type FormFields, mediaType, parseForm } from "./form.ts";
import type { RequestHead } from "./head.ts";
import { CHUNKED } from "./message_parser.ts";
import { type RequestLimits, RequestParser } from "./request_parser.ts";

const decoder = new TextDecoder();
const NO_BODY = new Uint8Array(0);
const NO_FIELDS: Fields = Object.freeze(Object.create(null));

/** What a request needs to know of the connection that it came on. */
export interface RequestSource {
  /** The connection's number. */
  readonly fd: number;
  /** When the request arrived, milliseconds since 1970. */
  readonly time: number;
  /** This side's address. */
  readonly localAddress: Address | undefined;
  /** The peer's address. */
  readonly remoteAddress: Address | undefined;
  /** Aborts when nobody waits for the response any more. */
  readonly signal?: AbortSignal;
}

/** Values that a peer names, without a prototype. A key that is not there reads as `undefined`. */
export type Fields = Record<string, string>;

/** How a request is read. */
export interface RequestOptions {
  /** Whether forms are read into `post`. */
  readonly parsePost: boolean;
  /** Whether cookies are read into `cookie`. */
  readonly parseCookie: boolean;
  /** How many parameters of a query, and of a form, are taken. */
  readonly maxParameters: number;
}

/** A request of no connection. */
const NOWHERE: RequestSource = { fd: 0, time: 0, localAddress: undefined, remoteAddress: undefined };

/** A request as far as it is there. */
export class BaseRequest {
  /** The connection it came on. */
  readonly fd: number;

  readonly #source: RequestSource;
  readonly #options: RequestOptions;
  #head: RequestHead | undefined;
  #body: Uint8Array;
  readonly #parser: RequestParser | undefined; // of one that is fed with `parse()`
  #server: Record<string, string | number> | undefined = undefined;
  #get: FormFields | undefined = undefined;
  #post: FormFields | undefined = undefined;
  #cookie: Fields | undefined = undefined;

  /** Made by the server; without a head, to be fed with `parse()`. */
  constructor(
    head: RequestHead | undefined,
    body: Uint8Array | undefined,
    options: RequestOptions,
    source: RequestSource = NOWHERE,
    limits?: RequestLimits,
  ) {
    if (limits !== undefined) this.#parser = new RequestParser(limits);
    this.#head = head;
    this.#body = body ?? NO_BODY;
    this.#options = options;
    this.#source = source;
    this.fd = source.fd;
  }

  /** The header fields; names in lower case, repeated fields joined with a comma. */
  get header(): Fields {
    return this.#head?.header ?? NO_FIELDS;
  }

  /**
   * What Swoole takes over from PHP's `$_SERVER`, in lower case: `request_method`, `request_uri` and `path_info` (the path,
   * without the query; `path_info` decoded), `query_string` if there is one, `server_protocol`, `server_addr`, `server_port`,
   * `remote_addr`, `remote_port`, `request_time` and `master_time` (seconds), `request_time_float`.
   */
  get server(): Record<string, string | number> {
    if (this.#server !== undefined) return this.#server;
    if (this.#head === undefined) return {};
    const { target, method, version } = this.#head;
    const [path, query] = splitTarget(target);
    const { localAddress, remoteAddress, time } = this.#source;
    const server: Record<string, string | number> = Object.create(null);
    if (query !== "") server.query_string = query;
    server.request_method = method;
    server.request_uri = path;
    server.path_info = decodePercent(path);
    server.request_time = server.master_time = Math.floor(time / 1000);
    server.request_time_float = time / 1000;
    server.server_protocol = `HTTP/${version}`;
    server.server_addr = localAddress?.hostname ?? "";
    server.server_port = localAddress?.port ?? 0;
    server.remote_addr = remoteAddress?.hostname ?? "";
    server.remote_port = remoteAddress?.port ?? 0;
    return this.#server = server;
  }

  /**
   * The query's parameters, decoded. Of a repeated one the last counts; names with brackets make lists and objects, as in PHP:
   * `a[]=1&a[]=2` is `["1", "2"]`, `b[x]=1` is `{ x: "1" }`.
   */
  get get(): FormFields {
    return this.#get ??= parseForm(splitTarget(this.#head?.target ?? "/")[1], this.#options.maxParameters);
  }

  /** The fields of a form in the body, read as `get` is. Nothing with `http_parse_post` off. */
  get post(): FormFields {
    if (this.#post !== undefined) return this.#post;
    if (!this.isCompleted()) return Object.create(null);
    const isForm = this.#options.parsePost && mediaType(this.header["content-type"]) === "application/x-www-form-urlencoded";
    return this.#post = parseForm(isForm ? decoder.decode(this.#body) : "", this.#options.maxParameters);
  }

  /**
   * The cookies, percent escapes decoded and nothing else. Of a repeated one the first counts, which is the one for the longest
   * path; above `http_max_parameters` the others are left out. Nothing with `http_parse_cookie` off.
   */
  get cookie(): Fields {
    if (this.#cookie === undefined) {
      const { parseCookie, maxParameters } = this.#options;
      const field = parseCookie ? this.header["cookie"] : undefined;
      this.#cookie = field === undefined ? Object.create(null) as Fields : parseCookies(field, maxParameters);
    }
    return this.#cookie;
  }

  /** The signal of the exchange that it is part of, if it is of any. @internal */
  protected get exchangeSignal(): AbortSignal | undefined {
    return this.#source.signal;
  }

  /** The method, for example `GET`; empty before it is known. */
  getMethod(): string {
    return this.#head?.method ?? "";
  }

  /** Path and query as they were sent, a query only if there is one. @internal */
  get pathAndQuery(): string {
    const [path, query] = splitTarget(this.#head?.target ?? "/");
    return query === "" ? path : `${path}?${query}`;
  }

  /** The HTTP version, `1.0` or `1.1`. @internal */
  get version(): string {
    return this.#head?.version ?? "1.1";
  }

  /** The body as text, decoded from UTF-8. */
  getContent(): string {
    return decoder.decode(this.#body);
  }

  /** The body's octets. Do not change them. */
  rawContent(): Uint8Array {
    return this.#body;
  }

  /**
   * The whole request as it came in. A chunked body is in one chunk.
   *
   * @returns The octets of head and body.
   */
  getData(): Uint8Array {
    const head = this.#head;
    if (head === undefined) return NO_BODY;
    const size = this.#body.length;
    const chunked = head.bodyLength === CHUNKED;
    const before = chunked && size > 0 ? `\r\n${size.toString(16)}\r\n` : "\r\n";
    const after = chunked ? (size > 0 ? "\r\n" : "") + "0\r\n\r\n" : "";
    const start = head.text + before;
    const data = new Uint8Array(start.length + size + after.length);
    for (let i = 0; i < start.length; i++) data[i] = start.charCodeAt(i);
    data.set(this.#body, start.length);
    for (let i = 0; i < after.length; i++) data[start.length + size + i] = after.charCodeAt(i);
    return data;
  }

  /** Whether head and body are there. */
  isCompleted(): boolean {
    return this.#head !== undefined && (this.#parser === undefined || this.#parser.complete);
  }

  /**
   * Reads a request from octets, in as many pieces as they come; for one that was made with `create()`.
   *
   * @param data The next octets; text counts one octet for each character.
   * @returns How many of them belong to the request: all, until it is complete. `false` when they are no request, or when this
   * one was made by a server.
   */
  parse(data: Uint8Array | string): number | false {
    const parser = this.#parser;
    if (parser === undefined || parser.failure !== undefined) return false;
    const bytes = typeof data === "string" ? Uint8Array.from(data, (character) => character.charCodeAt(0)) : data;
    let at = 0;
    while (at < bytes.length && !parser.complete && parser.failure === undefined) at = parser.receive(bytes, at);
    if (parser.failure !== undefined) return false;
    this.#head = parser.head;
    if (parser.complete) this.#body = parser.body;
    return at;
  }

  /** Sets the body when it was read later than the head. @internal */
  protected setBody(body: Uint8Array): void {
    this.#body = body;
    this.#post = undefined;
  }

  /** Sets the fields of a form that was read elsewhere. @internal */
  protected setPost(post: FormFields): void {
    this.#post = post;
  }
}

/** Path and query of a request target in origin-form or absolute-form (RFC 9112 section 3.2). */
function splitTarget(target: string): [string, string] {
  if (!target.startsWith("/")) {
    const slash = target.indexOf("/", target.indexOf("://") + 3);
    target = target === "*" ? target : slash < 0 ? "/" : target.slice(slash);
  }
  const mark = target.indexOf("?");
  return mark < 0 ? [target, ""] : [target.slice(0, mark), target.slice(mark + 1)];
}

/** Decodes percent escapes; text that holds a broken one stays as it is. */
function decodePercent(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
