/**
 * The synchronous part of `HttpRequest`, common to both styles.
 *
 * @module
 */

import { bodyDecoder } from "../values.ts";
import type { Address } from "../transport/runtime.ts";
import { parseCookies } from "./cookies.ts";
import { type FormFields, mediaType, parseForm } from "./form.ts";
import type { Forwarded } from "./forwarded.ts";
import { copyFields, type RequestHead } from "./request_head.ts";
import { CHUNKED } from "./message_parser.ts";

const NO_FIELDS: Fields = Object.freeze(Object.create(null));

/** What a request is read from: its exchange on a server, or what the program passes to `parse()`. */
export interface RequestSource {
  /** The number of the connection. */
  readonly fd: number;
  /** The time when the request arrived, in milliseconds since 1970. */
  readonly time: number;
  /** The local address. */
  readonly localAddress: Address | undefined;
  /** The address of the client. */
  readonly remoteAddress: Address | undefined;
  /** The scheme that the client used. Default: `http`. */
  readonly scheme?: "http" | "https";
  /** What trusted proxies say of the request, if it comes from one. */
  readonly forwarded?: Forwarded | undefined;
  /** The head, once it has arrived. */
  readonly head: RequestHead | undefined;
  /** The body, if it is read as a whole and has arrived; otherwise empty. */
  readonly body: Uint8Array;
  /** Whether head and body have arrived. */
  readonly isReceived: boolean;
  /** The fields of the form in the body, once they were parsed. */
  fields: FormFields | undefined;
  /**
   * Parses the next bytes, if the program passes them.
   *
   * @returns The number of bytes that belong to the request; `false` if the request is malformed.
   */
  parse?(bytes: Uint8Array): number | false;
  /** Whether `parse()` takes no more bytes, because the request is malformed. */
  readonly isMalformed?: boolean;
}

/** Values with names chosen by the client. The object has no prototype; a missing key reads as `undefined`. */
export type Fields = Record<string, string | undefined>;

/** What a server knows about a request beside its fields: the values that Swoole takes over from PHP's `$_SERVER`. */
export interface ServerVariables {
  /** The method, for example `GET`. */
  request_method: string;
  /** The path as the client sent it, without the query. */
  request_uri: string;
  /** The path without the query, with percent escapes decoded. */
  path_info: string;
  /** The query, without its question mark; `undefined` if there is none. */
  query_string?: string;
  /** The protocol, for example `HTTP/1.1`. */
  server_protocol: string;
  /** The server's address; empty if it is unknown. */
  server_addr: string;
  /** The server's port; 0 if it is unknown, and on a unix socket. */
  server_port: number;
  /** The address of the client; empty if it is unknown. */
  remote_addr: string;
  /** The port of the client; 0 if it is unknown, and on a unix socket. */
  remote_port: number;
  /** When the request arrived, in seconds since 1970. */
  request_time: number;
  /** The same with a fraction. */
  request_time_float: number;
  /** The same as `request_time`. */
  master_time: number;
}

/** The class of objects with these values: they inherit nothing and share a shape, see `Fields` in `request_head.ts`. */
const Variables = function () {} as unknown as new () => object;
Variables.prototype = Object.freeze(Object.create(null));

/** How to read a request. */
export interface RequestOptions {
  /** Whether to parse forms into `post`. */
  readonly parsePost: boolean;
  /** Whether to parse cookies into `cookie`. */
  readonly parseCookie: boolean;
  /** The largest number of parameters taken from a query or a form. */
  readonly maxParameters: number;
  /** Called when the program reads `post` before a form with files was read. */
  readonly onUnreadForm?: (() => void) | undefined;
}

/** Returns what trusted proxies say of a request, if it comes from one. No entry point exports this function. */
export function forwardedOf(request: BaseRequest): Forwarded | undefined {
  return BaseRequest["forwardedOf"](request);
}

/** A request, without the members that wait for its body. */
export class BaseRequest {
  /** The number of the connection. */
  readonly fd: number;

  readonly #source: RequestSource;
  readonly #options: RequestOptions;
  #server: ServerVariables | undefined = undefined;
  #header: Fields | undefined = undefined;
  #get: FormFields | undefined = undefined;
  #cookie: Fields | undefined = undefined;

  /** Created by the server. */
  constructor(source: RequestSource, options: RequestOptions) {
    this.#source = source;
    this.#options = options;
    this.fd = source.fd;
  }

  /** See the function `forwardedOf()`: it calls this, which `private` keeps out of the public types. */
  private static forwardedOf(request: BaseRequest): Forwarded | undefined {
    return request.#source.forwarded;
  }

  /** The header fields, with names in lower case; repeated fields are joined with a comma, Cookie with `; `. */
  get header(): Fields {
    const { head } = this.#source;
    if (head === undefined) return NO_FIELDS;
    return this.#header ??= copyFields(head.header);
  }

  /** The scheme that the client used: of the connection, or what a proxy of `trusted_proxies` says. */
  get scheme(): "http" | "https" {
    return this.#source.scheme ?? "http";
  }

  /**
   * The host that the client asked for, with the port unless it is the default one: the field `Host`, or what a proxy of
   * `trusted_proxies` says. Empty if there is none. A client can send any host.
   */
  get host(): string {
    return this.#source.forwarded?.host ?? this.#source.head?.header["host"] ?? "";
  }

  /** The HTTP version, such as `1.1`, or empty without a head; for this library, as `request["httpVersion"]`. */
  private get httpVersion(): string {
    return this.#source.head?.version ?? "";
  }

  /**
   * The values that Swoole takes over from PHP's `$_SERVER`, with keys in lower case. The texts of a request made with `create()`
   * are empty until its head was parsed.
   */
  get server(): ServerVariables {
    if (this.#server !== undefined) return this.#server;
    const { head, localAddress, remoteAddress, time } = this.#source;
    const [path, query] = head === undefined ? ["", ""] : splitTarget(head.target);
    const server = new Variables() as ServerVariables;
    if (query !== "") server.query_string = query;
    server.request_method = this.getMethod();
    server.request_uri = path;
    server.path_info = decodePercent(path);
    server.request_time = server.master_time = Math.floor(time / 1000);
    server.request_time_float = time / 1000;
    server.server_protocol = head === undefined ? "" : `HTTP/${head.version}`;
    server.server_addr = localAddress?.hostname ?? "";
    server.server_port = localAddress?.port ?? 0;
    server.remote_addr = remoteAddress?.hostname ?? "";
    server.remote_port = remoteAddress?.port ?? 0;
    if (head !== undefined) this.#server = server;
    return server;
  }

  /**
   * The decoded parameters of the query. If a name is repeated, the last value counts. Names with brackets create lists and
   * objects, as in PHP: `a[]=1&a[]=2` is `["1", "2"]`, `b[x]=1` is `{ x: "1" }`.
   */
  get get(): FormFields {
    return this.#get ??= parseForm(splitTarget(this.#source.head?.target ?? "/")[1], this.#options.maxParameters);
  }

  /** The fields of a form in the body, parsed in the same way as `get`. Empty if `http_parse_post` is off. */
  get post(): FormFields {
    const source = this.#source;
    if (source.fields !== undefined) return source.fields;
    if (!source.isReceived) return Object.create(null);
    const type = mediaType(this.header["content-type"]);
    const isForm = this.#options.parsePost && type === "application/x-www-form-urlencoded";
    if (type === "multipart/form-data") this.#options.onUnreadForm?.();
    return source.fields = parseForm(isForm ? bodyDecoder.decode(source.body) : "", this.#options.maxParameters);
  }

  /**
   * The cookies, with percent escapes decoded. If a name is repeated, the first value counts, which belongs to the longest path.
   * Cookies above `http_max_parameters` are ignored. Empty if `http_parse_cookie` is off.
   */
  get cookie(): Fields {
    if (this.#cookie === undefined) {
      const { parseCookie, maxParameters } = this.#options;
      const field = parseCookie ? this.header["cookie"] : undefined;
      this.#cookie = field === undefined ? Object.create(null) as Fields : parseCookies(field, maxParameters);
    }
    return this.#cookie;
  }

  /** Returns the method, for example `GET`; empty until it has arrived. */
  getMethod(): string {
    return this.#source.head?.method ?? "";
  }

  /** Returns the body as text, decoded from UTF-8. */
  getContent(): string {
    return bodyDecoder.decode(this.#source.body);
  }

  /** Returns the bytes of the body. Do not change them. */
  rawContent(): Uint8Array {
    const { body } = this.#source;
    return body.length > 0 ? body : new Uint8Array(0); // the program may transfer it, so no two requests share it
  }

  /**
   * Returns the whole request as received, with a chunked body as one chunk.
   *
   * @returns The bytes of head and body.
   */
  getData(): Uint8Array {
    const { head, body } = this.#source;
    if (head === undefined) return new Uint8Array(0);
    const size = body.length;
    const chunked = head.bodyLength === CHUNKED;
    const before = chunked && size > 0 ? `\r\n${size.toString(16)}\r\n` : "\r\n";
    const after = chunked ? (size > 0 ? "\r\n" : "") + "0\r\n\r\n" : "";
    const start = head.text + before;
    const data = new Uint8Array(start.length + size + after.length);
    for (let i = 0; i < start.length; i++) data[i] = start.charCodeAt(i);
    data.set(body, start.length);
    for (let i = 0; i < after.length; i++) data[start.length + size + i] = after.charCodeAt(i);
    return data;
  }

  /** Reports whether the complete request has arrived. */
  isCompleted(): boolean {
    return this.#source.isReceived;
  }

  /**
   * Parses a request that was made with `create()`, from any number of pieces.
   *
   * @param data The next bytes; each character of a string counts as one byte.
   * @returns The number of bytes that belong to the request: all, until it is complete. `false` if the request is malformed, or
   * was made by a server.
   */
  parse(data: Uint8Array | string): number | false {
    const source = this.#source;
    if (source.parse === undefined || source.isMalformed) return false;
    if (typeof data !== "string" && !(data instanceof Uint8Array)) {
      throw new TypeError(`Cannot parse a value of type ${typeof data}: a string or a Uint8Array is needed`);
    }
    return source.parse(typeof data === "string" ? Uint8Array.from(data, (character) => character.charCodeAt(0)) : data);
  }
}

/** Returns the path and the query, if any, of a request target. */
export function pathAndQuery(target: string): string {
  const [path, query] = splitTarget(target);
  return query === "" ? path : `${path}?${query}`;
}

/** Splits a request target in origin-form or absolute-form (RFC 9112 section 3.2) into path and query. */
function splitTarget(target: string): [string, string] {
  if (!target.startsWith("/")) {
    const slash = target.indexOf("/", target.indexOf("://") + 3);
    target = target === "*" ? target : slash < 0 ? "/" : target.slice(slash);
  }
  const mark = target.indexOf("?");
  return mark < 0 ? [target, ""] : [target.slice(0, mark), target.slice(mark + 1)];
}

/** Decodes percent escapes; a text with an invalid escape is returned unchanged. */
function decodePercent(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
