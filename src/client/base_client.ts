/**
 * `BaseClient`: the configuration of a client's requests, and its last response.
 *
 * @module
 */

import { cookieHeader } from "../http/cookies.ts";
import { contentTypeOf } from "../http/media_types.ts";
import { SWOOLE_ERROR_INVALID_PARAMS } from "../errors.ts";
import { loadRuntime } from "../transport/current_runtime.ts";
import { bodyDecoder, checkHost, describe, portNumber, sentBytes } from "../values.ts";
import { CookieJar } from "./cookie_jar.ts";
import { checkRecord, type RequestData, RequestDraft } from "./request_draft.ts";
import { fileFailure } from "./client_failure.ts";
import { checkClientSettings, type HttpClientSettings } from "./client_settings.ts";
import type { UploadFile } from "./outgoing_body.ts";

/** The next request of a client, its cookies, and its last error. */
export class ClientState {
  /** The next request; the last one until something is set for the next. */
  draft: RequestDraft = new RequestDraft();
  /** The cookies set by servers. */
  readonly jar: CookieJar = new CookieJar();
  /** Settles when the sizes of all added files have been checked. */
  adding: Promise<unknown> | undefined = undefined;
  /** The error code. */
  errCode = 0;
  /** Details of the error in addition to its code. */
  errDetail = "";

  /** Records an error. Returns `false`. */
  fails(code: number, detail = ""): false {
    this.errCode = code;
    this.errDetail = detail;
    return false;
  }
}

/** The configuration of a client's requests, and its last response. The base class of `HttpClient`. */
export abstract class BaseClient {
  /** The host name or IP address; for a Unix socket `unix:` and a path. */
  readonly host: string;
  /** The port. */
  readonly port: number;
  /** Whether the client uses TLS. */
  readonly ssl: boolean;
  /** The settings passed to `set()` so far. */
  readonly setting: HttpClientSettings = {};
  /**
   * The status of the last response. Negative if there was no response: -1 not connected, -2 timed out, -3 reset by the server.
   */
  statusCode = 0;
  /**
   * The header fields of the last response. Names are in lower case unless `lowercase_header` is `false`. After a chunked body
   * they include its trailer fields. A repeated field, including Set-Cookie, is a list.
   */
  headers: Record<string, string | string[] | undefined> = {};
  /**
   * The cookies set by the program and by servers, the latter decoded. A cookie set by a server is sent back byte for byte, to
   * the hosts and paths it is meant for (RFC 6265). A cookie set or changed here is sent with every request.
   */
  cookies: Record<string, string | undefined> = CookieJar.bare({});
  /** The Set-Cookie fields of the last response. */
  set_cookie_headers: readonly string[] = [];
  /** The body of the last response, as bytes. */
  bytes: Uint8Array = new Uint8Array(0);

  /** The file to which the body of the next response is written; see `download()`. */
  downloadFile: string | undefined = undefined;
  /** The offset in that file at which the body starts. */
  downloadOffset = 0;

  readonly #state: ClientState;
  #text = "";
  #textOf: Uint8Array | undefined = undefined; // the bytes that `#text` was decoded from

  /** Called by `HttpClient`. */
  constructor(host: string, port: number | string, ssl: boolean, state: ClientState) {
    this.#state = state;
    if (typeof ssl !== "boolean") {
      const settings = typeof ssl === "object" && ssl !== null ? "; settings go to set()" : "";
      throw new TypeError(`Cannot make a client: ssl has to be a boolean, not ${describe(ssl)}${settings}`);
    }
    checkHost(host, "make a client", "new HttpClient");
    const isUrl = /^(?:https?|wss?):\/\//i.test(host);
    if (isUrl || !/^[\x21-\x7e]+$/.test(host)) {
      const why = isUrl ? ', but a URL; write new HttpClient("127.0.0.1", 9501), with true behind it for TLS' : "";
      throw new TypeError(`Cannot make a client: ${JSON.stringify(host)} is no host${why}`);
    }
    const number = portNumber(port, "make a client");
    this.host = host;
    this.port = number !== 0 ? number : ssl ? 443 : 80;
    this.ssl = ssl;
  }

  // ---- setting up ---------------------------------------------------------------------------------------------------

  /**
   * Changes settings. Later calls add to earlier ones. Settings of the connection itself, such as those of TLS and of proxies, apply
   * from the next connection on, all others from the next request on.
   *
   * @returns `true`, or `false` if `settings` is empty.
   * @throws {TypeError} If a key is unknown or a value has the wrong type.
   * @throws {RangeError} If a number is out of range.
   */
  set(settings: HttpClientSettings<this>): boolean {
    checkClientSettings(settings);
    Object.assign(this.setting, settings);
    return Object.keys(settings).length > 0;
  }

  /** Sets the method of the next request. The default is GET, or POST if there is a body. */
  setMethod(method: string): boolean {
    this.#state.draft.setMethod(method);
    return true;
  }

  /**
   * Sets the header fields of all following requests, replacing those of an earlier call. Content-Length is ignored, because it
   * follows from the body.
   *
   * @throws {TypeError} If a name is not a token, a value contains a control character, or the field is `Transfer-Encoding`.
   */
  setHeaders(headers: Readonly<Record<string, string | number>>): boolean {
    this.#state.draft.setHeaders(headers);
    return true;
  }

  /** Sets `Authorization` for all following requests (RFC 7617). */
  setBasicAuth(username: string, password: string): boolean {
    this.#state.draft.setBasicAuth(username, password);
    return true;
  }

  /** Replaces the cookies for all following requests. The values are sent percent-encoded; those that are `undefined` are not. */
  setCookies(cookies: Readonly<Record<string, string | number | undefined>>): boolean {
    checkRecord(cookies, "cookies");
    const given = Object.fromEntries(Object.entries(cookies).filter(([, value]) => value !== undefined)) as Record<
      string,
      string
    >;
    cookieHeader(given); // throws if it cannot be sent
    this.cookies = CookieJar.bare(Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)])));
    return true;
  }

  /**
   * Sets the body of the next request.
   *
   * @param data Text, a number, bytes, or the fields of a form. With `addFile()` or `addData()` it must be the fields of a form.
   */
  setData(data: RequestData): boolean {
    this.#state.draft.setData(data);
    return true;
  }

  /**
   * Adds a file to the form of the next request (`multipart/form-data`, RFC 7578). The file is read in pieces while it is sent.
   * If it has become shorter by then, the request fails with `statusCode` -4.
   *
   * @param path The path of the file.
   * @param name The name of the field.
   * @param mimeType The media type; by default derived from the path.
   * @param filename The file name sent to the server; by default the last segment of the path.
   * @param offset The offset in the file at which to start.
   * @param length The number of bytes to send; 0 for all that follow.
   * @returns `false` if the file does not exist (`errCode` 2), cannot be read (13, 21, …), or is too short (505).
   * @throws {RangeError} If `offset` or `length` is not a non-negative integer.
   * @throws {TypeError} If `mimeType` cannot be sent.
   * @example
   * ```ts
   * import { HttpClient, HttpServer, UploadedFile } from "@sluice/server/coroutine";
   * import { assertEquals } from "@std/assert";
   *
   * const server = new HttpServer("127.0.0.1");
   * server.set({ http_parse_files: true });
   * server.handle("/", (request, response) => {
   *   const { list } = request.files;
   *   response.end(list instanceof UploadedFile ? `${request.post.title}: ${list.size} bytes` : "nothing");
   * });
   * await server.start();
   *
   * const client = new HttpClient("127.0.0.1", server.port);
   * await client.addFile("README.md", "list");
   * await client.post("/", { title: "A list" });
   * assertEquals(client.body.startsWith("A list: "), true);
   * client.close();
   * server.shutdown();
   * await server.finished;
   * ```
   */
  async addFile(path: string, name: string, mimeType = "", filename = "", offset = 0, length = 0): Promise<boolean> {
    if (typeof path !== "string") throw new TypeError(`Cannot add a file: its path has to be a string, not ${describe(path)}`);
    for (const number of [offset, length]) {
      if (!Number.isInteger(number) || number < 0) throw new RangeError(`Cannot add a file: ${number} is no number of bytes`);
    }
    const state = this.#state;
    const { draft } = state;
    draft.begin(); // the file belongs to the request that is set up now, even if it is added later
    const add = async () => {
      let size: number;
      try {
        const file = await (await loadRuntime()).openFile(path);
        size = file.size;
        await file.close();
      } catch (error) {
        const { code, detail } = fileFailure(0, error);
        return state.fails(code, detail);
      }
      if (offset + length > size) return state.fails(SWOOLE_ERROR_INVALID_PARAMS, `${path} has ${size} bytes`);
      const file = { path, name, filename: filename || baseName(path), size: length || size - offset, offset };
      draft.addFile({ ...file, type: mimeType || contentTypeOf(path) });
      return true;
    };
    // A request waits for all additions, even those that were not awaited. Files keep the order of the calls.
    const adding = (state.adding ?? Promise.resolve()).then(add);
    state.adding = adding.catch(() => {});
    return await adding;
  }

  /**
   * Adds bytes to the form of the next request, as if they were a file.
   *
   * @param data Bytes, text, or a number, which is sent as text.
   * @param name The name of the field.
   * @param mimeType The media type; by default `application/octet-stream`.
   * @param filename The file name sent to the server; by default the name of the field.
   * @throws {TypeError} If `mimeType` cannot be sent.
   */
  addData(data: string | number | Uint8Array, name: string, mimeType = "", filename = ""): boolean {
    const content = sentBytes(data);
    const file = { content, name, filename: filename || name, size: content.length, offset: 0 };
    this.#state.draft.addFile({ ...file, type: mimeType || "application/octet-stream" });
    return true;
  }

  /**
   * Makes requests resolve as soon as they are sent; `recvResponse()` then waits for the response. Meanwhile the program can do other
   * work, or query several servers at once. The same as the setting `defer`.
   *
   * @example
   * ```ts
   * import { HttpClient, HttpServer } from "@sluice/server/coroutine";
   * import { assertEquals } from "@std/assert";
   *
   * const server = new HttpServer("127.0.0.1");
   * server.handle("/", (request, response) => response.end(`Hello ${request.get.name}`));
   * await server.start();
   *
   * const clients = ["Ada", "Bob"].map(() => new HttpClient("127.0.0.1", server.port));
   * for (const client of clients) client.setDefer();
   * await clients[0].get("/?name=Ada");
   * await clients[1].get("/?name=Bob");
   * for (const client of clients) await client.recvResponse();
   * assertEquals(clients.map((client) => client.body), ["Hello Ada", "Hello Bob"]);
   * for (const client of clients) client.close();
   * server.shutdown();
   * await server.finished;
   * ```
   */
  setDefer(defer = true): boolean {
    return this.set({ defer });
  }

  /** Returns whether requests resolve as soon as they are sent. */
  getDefer(): boolean {
    return this.setting.defer ?? false;
  }

  /** The method of the last request, or the one set for the next; `undefined` if none was set. */
  get requestMethod(): string | undefined {
    return this.#state.draft.method;
  }

  /** The header fields set by the program. */
  get requestHeaders(): Readonly<Record<string, string>> {
    return this.#state.draft.headers;
  }

  /** The data passed to `setData()` or `post()` for the last request, or for the next one. */
  get requestBody(): RequestData | undefined {
    return this.#state.draft.data;
  }

  /** The files of the last request, or those added for the next one. */
  get uploadFiles(): readonly UploadFile[] {
    return this.#state.draft.files;
  }

  // ---- the last response --------------------------------------------------------------------------------------------

  /** The body of the last response, decoded from UTF-8; see `bytes` for its bytes. */
  get body(): string {
    if (this.#textOf !== this.bytes) {
      this.#text = bodyDecoder.decode(this.bytes);
      this.#textOf = this.bytes;
    }
    return this.#text;
  }

  /** Returns `statusCode`, or `false` before the first request. */
  getStatusCode(): number | false {
    return this.statusCode !== 0 && this.statusCode;
  }

  /** Returns `headers`. */
  getHeaders(): Record<string, string | string[] | undefined> {
    return this.headers;
  }

  /** Returns `cookies`. */
  getCookies(): Record<string, string | undefined> {
    return this.cookies;
  }

  /** Returns `body`. */
  getBody(): string {
    return this.body;
  }
}

/** Returns the last segment of a path. */
function baseName(path: string): string {
  return path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
}
