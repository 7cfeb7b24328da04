/**
 * `HttpRequest`, Swoole's picture of a request.
 *
 * @module
 */

import type { Address } from "../runtime.ts";
import type { RequestHead } from "./head.ts";

const decoder = new TextDecoder();

/** What a request needs to know of the connection that it came on. */
export interface RequestSource {
  /** The connection's number. */
  readonly fd: number;
  /** When the request arrived, milliseconds since 1970. */
  readonly lastReceived: number;
  /** This side's address. */
  readonly localAddress: Address | undefined;
  /** The peer's address. */
  readonly remoteAddress: Address | undefined;
}

/** Values that a peer names, without a prototype. A key that is not there reads as `undefined`. */
export type Fields = Record<string, string>;

/**
 * A request (Swoole page "Http\Request"). The handler of `open` gets the one that opened the WebSocket.
 *
 * @example
 * ```ts
 * import { HttpServer } from "@sluice/server";
 *
 * const server = new HttpServer("127.0.0.1", 0);
 * server.on("request", (request, response) => {
 *   response.end(`${request.getMethod()} ${request.server.path_info} for ${request.get.name ?? "nobody"}`);
 * });
 * await server.start();
 * const answer = await fetch(`http://127.0.0.1:${server.port}/hello?name=Ada`);
 * console.assert(await answer.text() === "GET /hello for Ada");
 * server.shutdown();
 * ```
 */
export class HttpRequest {
  /** The connection it came on. */
  readonly fd: number;
  /** The header fields; names in lower case, repeated fields joined with a comma. */
  readonly header: Fields;

  readonly #head: RequestHead;
  readonly #body: Uint8Array;
  readonly #source: RequestSource;
  readonly #time: number;
  #server: Record<string, string | number> | undefined;
  #get: Fields | undefined;
  #cookie: Fields | undefined;

  /** Made by the server. */
  constructor(head: RequestHead, body: Uint8Array, source: RequestSource) {
    this.#head = head;
    this.#body = body;
    this.#source = source;
    this.#time = source.lastReceived;
    this.fd = source.fd;
    this.header = head.header;
  }

  /**
   * What Swoole takes over from PHP's `$_SERVER`, in lower case: `request_method`, `request_uri` and `path_info` (the path,
   * without the query; `path_info` decoded), `query_string` if there is one, `server_protocol`, `server_addr`, `server_port`,
   * `remote_addr`, `remote_port`, `request_time` and `master_time` (seconds), `request_time_float`.
   */
  get server(): Record<string, string | number> {
    if (this.#server !== undefined) return this.#server;
    const { target, method, version } = this.#head;
    const [path, query] = splitTarget(target);
    const { localAddress, remoteAddress } = this.#source;
    const server: Record<string, string | number> = Object.create(null);
    if (query !== "") server.query_string = query;
    server.request_method = method;
    server.request_uri = path;
    server.path_info = decodePercent(path);
    server.request_time = server.master_time = Math.floor(this.#time / 1000);
    server.request_time_float = this.#time / 1000;
    server.server_protocol = `HTTP/${version}`;
    server.server_addr = localAddress?.hostname ?? "";
    server.server_port = localAddress?.port ?? 0;
    server.remote_addr = remoteAddress?.hostname ?? "";
    server.remote_port = remoteAddress?.port ?? 0;
    return this.#server = server;
  }

  /** The query's parameters, decoded. Of a repeated one the last counts, as in PHP. */
  get get(): Fields {
    if (this.#get === undefined) {
      this.#get = Object.create(null) as Fields;
      for (const [name, value] of new URLSearchParams(splitTarget(this.#head.target)[1])) this.#get[name] = value;
    }
    return this.#get;
  }

  /** The cookies, decoded. */
  get cookie(): Fields {
    if (this.#cookie === undefined) {
      this.#cookie = Object.create(null) as Fields;
      for (const pair of (this.header["cookie"] ?? "").split(";")) {
        const equals = pair.indexOf("=");
        if (equals < 0) continue;
        this.#cookie[pair.slice(0, equals).trim()] = decodePercent(pair.slice(equals + 1).trim());
      }
    }
    return this.#cookie;
  }

  /** The method, for example `GET`. */
  getMethod(): string {
    return this.#head.method;
  }

  /** The HTTP version, `1.0` or `1.1`. @internal */
  get version(): string {
    return this.#head.version;
  }

  /** The body as text, decoded from UTF-8. */
  getContent(): string {
    return decoder.decode(this.#body);
  }

  /** The body's octets. Do not change them. */
  rawContent(): Uint8Array {
    return this.#body;
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
