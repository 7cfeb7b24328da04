/**
 * `HttpRequest`, Swoole's picture of a request.
 *
 * @module
 */

import { type FormFields, mediaType } from "../../http/form.ts";
import type { HttpFailure, RequestHead } from "../../http/head.ts";
import { BaseRequest, type RequestOptions, type RequestSource } from "../../http/request.ts";
import type { RequestLimits } from "../../http/request_parser.ts";
import { type FormOptions, FormReader } from "./form_reader.ts";
import type { RequestBody } from "./request_body.ts";

const decoder = new TextDecoder();

/** What `HttpRequest.create()` takes, under Swoole's names. */
export interface ParseOptions {
  /** Whether forms are read into `post`. `true`. */
  parse_post?: boolean;
  /** Another name of `parse_post`. */
  parse_body?: boolean;
  /** Whether `multipart/form-data` is read into `post` and `files`, which are in memory. `true`. */
  parse_files?: boolean;
  /** Whether cookies are read into `cookie`. `true`. */
  parse_cookie?: boolean;
  /** The most octets of the body. 2 MiB. */
  package_max_length?: number;
  /** The most octets of the head. 64 KiB. */
  http_max_header_size?: number;
  /** The most header fields. 128. */
  http_max_headers?: number;
  /** The most parameters of a query, and of a form. 1000. */
  http_max_parameters?: number;
}

/** How requests of a server are read. @internal */
export interface HttpRequestOptions extends RequestOptions {
  /** The most octets of a body that is read whole. */
  readonly maxBodySize: number;
  /** How forms with files are read by `parse()`, if they are. */
  readonly forms?: FormOptions | undefined;
}

/** Reads the form of a request into its `post` and `files`; tells why it is refused, if it is. */
export let readForm: (request: HttpRequest, form: FormReader) => Promise<HttpFailure | undefined>;

/**
 * A request (Swoole page "Http\Request"). The handler of `open` gets the one that opened the WebSocket.
 *
 * What the body holds can be read in two ways. `getContent()`, `rawContent()` and `post` have it at once, because the handler is
 * called when all of it is there. `body`, `bytes()`, `text()`, `json()` and `formData()` are those of the web's `Request`; with
 * the setting `http_stream_body` the handler is called as soon as the head is there, and they wait for the rest.
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
 *
 * @example A form
 * ```ts
 * import { HttpServer } from "@sluice/server";
 *
 * const server = new HttpServer("127.0.0.1", 0);
 * server.on("request", (request, response) => response.end(request.post.tags.join(" and ")));
 * await server.start();
 * const body = new URLSearchParams([["tags[]", "red"], ["tags[]", "blue"]]);
 * const answer = await fetch(`http://127.0.0.1:${server.port}/`, { method: "POST", body });
 * console.assert(await answer.text() === "red and blue");
 * server.shutdown();
 * ```
 */
export class HttpRequest extends BaseRequest {
  static {
    readForm = (request, form) => request.#readForm(form);
  }

  readonly #options: HttpRequestOptions;
  readonly #upload: RequestBody | undefined;
  #form: FormReader | undefined = undefined;
  #files: FormFields | undefined = undefined;
  #collecting: Promise<Uint8Array> | undefined = undefined;
  #body: ReadableStream<Uint8Array> | undefined = undefined;
  #signal: AbortSignal | undefined = undefined; // of one that no server made

  /** Made by the server. */
  constructor(
    head: RequestHead | undefined,
    body: Uint8Array | RequestBody | undefined,
    options: HttpRequestOptions,
    source?: RequestSource,
    limits?: RequestLimits,
  ) {
    super(head, body instanceof Uint8Array ? body : undefined, options, source, limits);
    this.#options = options;
    this.#upload = body instanceof Uint8Array ? undefined : body;
  }

  /**
   * The files of a `multipart/form-data` body by the names of their fields, as `UploadedFile`; names with brackets make lists and
   * objects, as in `post`. Filled with `http_parse_files` only.
   */
  get files(): FormFields {
    return this.#files ??= this.#form?.files.result ?? Object.create(null) as FormFields;
  }

  /** The paths of the temporary files that `files` are in. */
  get tmpfiles(): readonly string[] {
    return this.#form?.paths ?? [];
  }

  /**
   * Makes a request of no connection, to be fed with `parse()`.
   *
   * @param options How it is read.
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
    const forms = { ...limits, folder: "", streamed: false, maxSize, maxFileSize: maxSize, maxTextSize: maxSize, maxParameters };
    const how = {
      parsePost: options.parse_post ?? options.parse_body ?? true,
      parseCookie: options.parse_cookie ?? true,
      forms: options.parse_files ?? true ? forms : undefined,
      maxParameters,
      maxBodySize: maxSize,
    };
    return new HttpRequest(undefined, undefined, how, undefined, limits);
  }

  /**
   * Reads a request from octets, in as many pieces as they come; for one that was made with `create()`.
   *
   * @param data The next octets; text counts one octet for each character.
   * @returns How many of them belong to the request: all, until it is complete. `false` when they are no request, or when this
   * one was made by a server.
   */
  override parse(data: Uint8Array | string): number | false {
    const used = super.parse(data);
    const { forms } = this.#options;
    const contentType = this.header["content-type"];
    if (!used || forms === undefined || !this.isCompleted() || mediaType(contentType) !== "multipart/form-data") return used;
    const form = new FormReader(forms);
    if (form.readWhole(contentType, this.rawContent()) !== undefined) return false;
    this.#takeForm(form);
    return used;
  }

  #takeForm(form: FormReader): void {
    this.#form = form;
    this.#files = undefined;
    if (this.#options.parsePost) this.setPost(form.fields.result);
  }

  /**
   * Aborts when nobody waits for the response any more: the client has gone, or `http_handler_timeout` is up. It stays as it is
   * behind a complete response; behind the handshake of a WebSocket it aborts when the WebSocket ends.
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
    return this.exchangeSignal ?? (this.#signal ??= new AbortController().signal);
  }

  /** Whether head and body are there. */
  override isCompleted(): boolean {
    return super.isCompleted() && (this.#upload === undefined || this.#upload.isComplete);
  }

  /** The body as a stream. With `http_stream_body` the client can send as fast as it is read, and no faster. */
  get body(): ReadableStream<Uint8Array> {
    if (this.#upload !== undefined) return this.#upload.stream;
    return this.#body ??= new ReadableStream<Uint8Array>({
      start: (controller) => {
        if (this.rawContent().length > 0) controller.enqueue(this.rawContent());
        controller.close();
      },
    });
  }

  /**
   * The octets of the body.
   *
   * @throws {RangeError} With `http_stream_body`, if there are more than `package_max_length`; the client has got 413 then.
   * @throws {Error} If the client has gone meanwhile.
   */
  bytes(): Promise<Uint8Array> {
    if (this.#upload === undefined) return Promise.resolve(this.rawContent());
    return this.#collecting ??= this.#upload.collect(this.#options.maxBodySize).then((body) => {
      this.setBody(body);
      return body;
    });
  }

  /** The body as text; throws as `bytes()`. */
  async text(): Promise<string> {
    return decoder.decode(await this.bytes());
  }

  /** The body as JSON; throws as `bytes()`, and a `SyntaxError` if it is none. */
  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  /** The body as a form, `multipart/form-data` or urlencoded; throws as `bytes()`, and a `TypeError` if it is none. */
  async formData(): Promise<FormData> {
    if (this.#form !== undefined) {
      const data = new FormData();
      for (const [name, value] of this.#form.entries) data.append(name, value);
      return data;
    }
    const headers = { "content-type": this.header["content-type"] ?? "" };
    return await new Response(await this.bytes() as Uint8Array<ArrayBuffer>, { headers }).formData();
  }

  /** Whether the body is read as it arrives. @internal */
  get hasUpload(): boolean {
    return this.#upload !== undefined;
  }

  async #readForm(form: FormReader): Promise<HttpFailure | undefined> {
    let body: Uint8Array | undefined = this.rawContent();
    const whole = () => {
      const all = body;
      body = undefined;
      return Promise.resolve(all);
    };
    const upload = this.#upload;
    const failure = await form.read(this.header["content-type"], upload === undefined ? whole : () => upload.take());
    if (failure !== undefined) return failure;
    this.#takeForm(form);
    return undefined;
  }
}
