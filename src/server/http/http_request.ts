/**
 * `HttpRequest`: Swoole's request object.
 *
 * @module
 */

import { bodyDecoder } from "../../values.ts";
import type { ConnectionData } from "../../transport/connection_end.ts";
import { mediaType } from "../../http/form.ts";
import { BaseRequest, type RequestOptions, type RequestSource } from "../../http/base_request.ts";
import { ParsedRequest } from "../../http/request_parser.ts";
import { type FormOptions, FormReader } from "./form_reader.ts";
import type { RequestBody } from "./request_body.ts";
import type { FileFields } from "./uploaded_file.ts";

/** The options of `HttpRequest.create()`, under Swoole's names. */
export interface ParseOptions {
  /** Whether forms are parsed into `post`. Default: `true`. */
  parse_post?: boolean;
  /** An alias of `parse_post`. */
  parse_body?: boolean;
  /** Whether `multipart/form-data` is parsed into `post` and `files`, in memory. Default: `true`. */
  parse_files?: boolean;
  /** Whether cookies are parsed into `cookie`. Default: `true`. */
  parse_cookie?: boolean;
  /** The maximum size of the body, in bytes. Default: 2 MiB. */
  package_max_length?: number;
  /** The maximum size of the head, in bytes. Default: 64 KiB. */
  http_max_header_size?: number;
  /** The maximum number of header fields. Default: 128. */
  http_max_headers?: number;
  /** The maximum number of parameters of a query, and of a form. Default: 1000. */
  http_max_parameters?: number;
  /** The maximum number of files in a form. Default: 20. */
  http_max_uploaded_files?: number;
}

/** How the requests of a server are parsed. */
export interface HttpRequestOptions extends RequestOptions {
  /** The maximum size of a body that is read as a whole, in bytes. */
  readonly maxBodySize: number;
  /** How `parse()` reads forms with files; `undefined` if it does not. */
  readonly forms?: FormOptions | undefined;
}

/** What a request is read from. */
export interface HttpRequestSource extends RequestSource {
  body: Uint8Array;
  /** The body, if it is read while it arrives. */
  readonly upload?: RequestBody | undefined;
  /** The form with files, once it was read. */
  form?: FormReader | undefined;
  /** A signal that aborts when the client no longer waits for the response. */
  readonly signal?: AbortSignal;
  /** The program's data for the WebSocket that a handshake opens. */
  readonly data?: ConnectionData | undefined;
}

/**
 * A request (Swoole page "Http\Request"). The handler of `open` receives the request that opened the WebSocket. `Data` is the
 * type of `data`, which comes from the server.
 *
 * The body can be read in two ways. `getContent()`, `rawContent()` and `post` return at once, because the handler is called when
 * the whole body has arrived. `body`, `bytes()`, `text()`, `json()` and `formData()` are those of the web's `Request`; with the
 * setting `http_stream_body` the handler is called as soon as the head has arrived, and they wait for the rest.
 *
 * @example
 * ```ts
 * import { HttpServer } from "@sluice/server";
 *
 * const server = new HttpServer("127.0.0.1", 0);
 * server.on("request", (request, response) => {
 *   response.header("Content-Type", "text/plain"); // in HTML what a client sends would have to be escaped
 *   response.end(`${request.getMethod()} ${request.server.path_info} for ${request.get.name ?? "nobody"}`);
 * });
 * await server.start();
 * const answer = await fetch(`http://127.0.0.1:${server.port}/hello?name=Ada`);
 * console.assert(await answer.text() === "GET /hello for Ada");
 * server.shutdown();
 * ```
 *
 * @example A form
 * ```ts
 * import { HttpServer } from "@sluice/server";
 *
 * const server = new HttpServer("127.0.0.1", 0);
 * server.on("request", (request, response) => {
 *   const { tags } = request.post;
 *   response.end(Array.isArray(tags) ? tags.join(" and ") : "none");
 * });
 * await server.start();
 * const body = new URLSearchParams([["tags[]", "red"], ["tags[]", "blue"]]);
 * const answer = await fetch(`http://127.0.0.1:${server.port}/`, { method: "POST", body });
 * console.assert(await answer.text() === "red and blue");
 * server.shutdown();
 * ```
 */
export class HttpRequest<Data extends ConnectionData = ConnectionData> extends BaseRequest {
  readonly #source: HttpRequestSource;
  readonly #options: HttpRequestOptions;
  #files: FileFields | undefined = undefined;
  #collecting: Promise<Uint8Array> | undefined = undefined;
  #body: ReadableStream<Uint8Array> | undefined = undefined;
  #signal: AbortSignal | undefined = undefined; // if no server created the request
  #data: Data | undefined = undefined;

  /** Created by the server. */
  constructor(source: HttpRequestSource, options: HttpRequestOptions) {
    super(source, options);
    this.#source = source;
    this.#options = options;
  }

  /**
   * The files of a `multipart/form-data` body by field name, as `UploadedFile`. Names with brackets become lists and objects, as
   * in `post`. Requires `http_parse_files`.
   */
  get files(): FileFields {
    return this.#files ??= this.#source.form?.files.result ?? this.#noFiles();
  }

  #noFiles(): FileFields {
    if (mediaType(this.header["content-type"]) === "multipart/form-data") this.#options.onUnreadForm?.();
    return Object.create(null);
  }

  /** The paths of the temporary files that contain `files`. */
  get tmpfiles(): readonly string[] {
    return this.#source.form?.paths ?? [];
  }

  /**
   * Creates a request without a connection, to be filled with `parse()`.
   *
   * @param options How it is parsed.
   * @example
   * ```ts
   * import { HttpRequest } from "@sluice/server";
   * import { assert, assertEquals } from "@std/assert";
   *
   * const request = HttpRequest.create();
   * assertEquals(request.parse("GET /a?b=c HTTP/1.1\r\nHo"), 23);
   * assertEquals(request.parse("st: x\r\n\r\nGET /next"), 9);
   * assert(request.isCompleted());
   * assertEquals(request.get.b, "c");
   * ```
   */
  static create(options: ParseOptions = {}): HttpRequest {
    const maxSize = options.package_max_length ?? 2 * 1024 * 1024;
    const maxParameters = options.http_max_parameters ?? 1000;
    const limits = {
      maxHeadSize: options.http_max_header_size ?? 64 * 1024,
      maxHeaders: options.http_max_headers ?? 128,
      maxBodySize: maxSize,
    };
    const maxFiles = options.http_max_uploaded_files ?? 20;
    const sizes = { maxSize, maxFileSize: maxSize, maxTextSize: maxSize };
    const forms = { ...limits, ...sizes, folder: "", streamed: false, maxParameters, maxFiles };
    const how = {
      parsePost: options.parse_post ?? options.parse_body ?? true,
      parseCookie: options.parse_cookie ?? true,
      forms: options.parse_files ?? true ? forms : undefined,
      maxParameters,
      maxBodySize: maxSize,
    };
    return new HttpRequest(new ParsedRequest(limits), how);
  }

  /**
   * Parses a request from bytes, in any number of pieces. Only for requests made with `create()`.
   *
   * @param data The next bytes; in text, each character counts as one byte.
   * @returns The number of bytes that belong to the request: all of them, until it is complete. `false` if they are not a
   * request, or if this request was created by a server.
   */
  override parse(data: Uint8Array | string): number | false {
    const used = super.parse(data);
    const { forms } = this.#options;
    const contentType = this.header["content-type"];
    if (!used || forms === undefined || !this.isCompleted() || mediaType(contentType) !== "multipart/form-data") return used;
    const form = new FormReader(forms);
    if (form.readWhole(contentType, this.rawContent()) !== undefined) return false;
    const source = this.#source;
    source.form = form;
    this.#files = undefined;
    if (this.#options.parsePost) source.fields = form.fields.result;
    return used;
  }

  /**
   * A signal that aborts when the response is no longer wanted: the client disconnected, or `http_handler_timeout` has passed. It
   * does not abort after a complete response. The signal of a WebSocket handshake aborts when the WebSocket ends.
   *
   * @example
   * ```ts
   * import { HttpServer } from "@sluice/server";
   *
   * const server = new HttpServer("127.0.0.1", 0);
   * server.on("request", async (request, response) => {
   *   const upstream = await fetch("http://127.0.0.1:1/slow", { signal: request.signal }).catch(() => undefined);
   *   response.end(upstream === undefined ? "nothing" : await upstream.text());
   * });
   * await server.start();
   * const answer = await fetch(`http://127.0.0.1:${server.port}/`);
   * console.assert(await answer.text() === "nothing");
   * server.shutdown();
   * ```
   */
  get signal(): AbortSignal {
    return this.#source.signal ?? (this.#signal ??= new AbortController().signal);
  }

  /**
   * An object for data of the program about this request, initially empty. The object of a handshake belongs to the WebSocket,
   * see `data()` of the server. Every other request has its own, because a proxy may send requests of many clients on one
   * connection.
   *
   * @example
   * ```ts
   * import { WebSocketServer } from "@sluice/server";
   *
   * const server = new WebSocketServer<{ user?: string }>("127.0.0.1", 0);
   * server.on("authenticate", (request) => {
   *   request.data.user = request.cookie.user;
   *   return request.data.user !== undefined;
   * });
   * server.on("message", (server, frame) => server.push(frame.fd, `Hello ${server.data(frame.fd)?.user}`));
   * ```
   */
  get data(): Data {
    return this.#data ??= (this.#source.data ?? {}) as Data;
  }

  /** The body as a stream. With `http_stream_body`, the client can send no faster than the stream is read. */
  get body(): ReadableStream<Uint8Array> {
    if (this.#source.upload !== undefined) return this.#source.upload.stream;
    return this.#body ??= new ReadableStream<Uint8Array>({
      start: (controller) => {
        if (this.rawContent().length > 0) controller.enqueue(this.rawContent());
        controller.close();
      },
    });
  }

  /**
   * Returns the bytes of the body.
   *
   * @throws {RangeError} With `http_stream_body`, if the body is larger than `package_max_length`; the client has then received a
   * 413.
   * @throws {Error} If the client disconnected before the whole body arrived.
   */
  bytes(): Promise<Uint8Array> {
    if (this.#source.upload === undefined) return Promise.resolve(this.rawContent());
    return this.#collecting ??= this.#source.upload.collect(this.#options.maxBodySize).then((body) => {
      this.#source.body = body;
      this.#source.fields = undefined;
      return body;
    });
  }

  /** Returns the body as text; throws like `bytes()`. */
  async text(): Promise<string> {
    return bodyDecoder.decode(await this.bytes());
  }

  /** Returns the body as JSON; throws like `bytes()`, and a `SyntaxError` if it is not JSON. */
  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  /**
   * Returns the body as a form, `multipart/form-data` or urlencoded; throws like `bytes()`, and a `TypeError` if it is not a
   * form.
   */
  async formData(): Promise<FormData> {
    if (this.#source.form !== undefined) {
      const data = new FormData();
      for (const [name, value] of this.#source.form.entries) data.append(name, value);
      return data;
    }
    const headers = { "content-type": this.header["content-type"] ?? "" };
    return await new Response(await this.bytes() as Uint8Array<ArrayBuffer>, { headers }).formData();
  }
}
