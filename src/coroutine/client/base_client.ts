/**
 * `BaseClient`: what a client is told before it asks, and what it knows of the last answer.
 *
 * @module
 */

import { cookieHeader } from "../../http/cookies.ts";
import { CookieJar } from "./cookie_jar.ts";
import { contentTypeOf } from "../../http/media_types.ts";
import { SWOOLE_ERROR_INVALID_PARAMS } from "../../errors.ts";
import { loadRuntime } from "../../runtime.ts";
import { fileFailure } from "./client_failure.ts";
import { checkClientSettings, type HttpClientSettings } from "./client_settings.ts";
import type { UploadFile } from "./multipart.ts";
import { type RequestData, RequestDraft } from "./request_draft.ts";

const decoder = new TextDecoder();
const encoder = new TextEncoder();
const NO_BODY = new Uint8Array(0);

/** What the parts of a client share. */
export class ClientState {
  /** The next request; the last one, until something is set for the next. */
  readonly draft: RequestDraft = new RequestDraft();
  /** The cookies that servers have set. */
  readonly jar: CookieJar = new CookieJar();
  /** Settles when the files that were added have been looked at. */
  adding: Promise<unknown> | undefined = undefined;
  /** The error code. */
  errCode = 0;
  /** What was wrong beyond what the code says. */
  errDetail = "";

  /** Notes an error. */
  fails(code: number, detail = ""): false {
    this.errCode = code;
    this.errDetail = detail;
    return false;
  }
}

/** What is inside of a client. */
export let stateOf: (client: BaseClient) => ClientState;

/** What an `HttpClient` is told before it asks, and what it knows of the last answer. */
export abstract class BaseClient {
  /** The host; `unix:` and a path for a unix socket. */
  readonly host: string;
  /** The port. */
  readonly port: number;
  /** Whether to speak TLS. */
  readonly ssl: boolean;
  /** The settings given to `set()` so far. */
  readonly setting: HttpClientSettings = {};
  /** The status of the last answer; negative when there was none: -1 not connected, -2 too late, -3 reset by the server. */
  statusCode = 0;
  /**
   * The header fields of the last answer, names in lower case, unless `lowercase_header` is `false`; behind a chunked body also its
   * trailer fields. A field that was sent more than once, Set-Cookie too, is a list.
   */
  headers: Record<string, string | string[]> = {};
  /**
   * The cookies, those of the program and those that servers have set, the latter decoded. What a server has set is sent back byte for
   * byte, to the hosts and paths that it is for (RFC 6265); what the program sets or changes here is sent with each request.
   */
  cookies: Record<string, string> = CookieJar.bare({});
  /** The Set-Cookie fields of the last answer. */
  set_cookie_headers: readonly string[] = [];
  /** The octets of the last answer's body. */
  bytes: Uint8Array = NO_BODY;

  /** The file that the next answer's body is to be written to; see `download()`. */
  downloadFile: string | undefined = undefined;
  /** Where in that file the body begins. */
  downloadOffset = 0;

  readonly #state: ClientState = new ClientState();
  #text = "";
  #textOf: Uint8Array = NO_BODY; // what it was decoded from

  static {
    stateOf = (client) => client.#state;
  }

  /**
   * Makes a client; it connects with the first request.
   *
   * @param host The host, a name or an IP address; `unix:` and a path for a unix socket.
   * @param port The port; 0 for 80, or 443 with TLS.
   * @param ssl Whether to speak TLS.
   * @throws {TypeError} If the host is empty.
   * @throws {RangeError} If the port cannot be.
   */
  constructor(host: string, port = 0, ssl = false) {
    if (typeof host !== "string" || host === "" || host === "unix:" || !/^[\x21-\x7e]+$/.test(host)) {
      throw new TypeError(`Cannot make a client: ${JSON.stringify(host)} is no host`);
    }
    if (!Number.isInteger(port) || port < 0 || port > 65535) {
      throw new RangeError(`Cannot make a client: port ${port} is not in the range 0 to 65535`);
    }
    this.host = host;
    this.port = port !== 0 ? port : ssl ? 443 : 80;
    this.ssl = ssl;
  }

  // ---- setting up ---------------------------------------------------------------------------------------------------

  /**
   * Sets settings, for the next connection. Later calls add to earlier ones.
   *
   * @returns `true`; `false` when there is nothing in it.
   * @throws {TypeError} For a key that is unknown or a value of the wrong type.
   * @throws {RangeError} For a number out of range.
   */
  set(settings: HttpClientSettings): boolean {
    checkClientSettings(settings);
    Object.assign(this.setting, settings);
    return Object.keys(settings).length > 0;
  }

  /** Sets the method of the next request; without it that is GET, or POST with data. */
  setMethod(method: string): boolean {
    this.#state.draft.setMethod(method);
    return true;
  }

  /**
   * Sets the header fields of all requests from now on; they replace those of an earlier call. Content-Length follows from the body and
   * is left out.
   *
   * @throws {TypeError} If a name is no token, a value has a control character, or the field is the client's own.
   */
  setHeaders(headers: Readonly<Record<string, string | number>>): boolean {
    this.#state.draft.setHeaders(headers);
    return true;
  }

  /** Sets `Authorization` for all requests from now on (RFC 7617). */
  setBasicAuth(username: string, password: string): boolean {
    this.#state.draft.setBasicAuth(username, password);
    return true;
  }

  /** Sets the cookies of all requests from now on, instead of those that are there. The values are sent with percent escapes. */
  setCookies(cookies: Readonly<Record<string, string>>): boolean {
    cookieHeader(cookies); // throws if it cannot be sent
    this.cookies = CookieJar.bare(cookies);
    return true;
  }

  /**
   * Sets the body of the next request.
   *
   * @param data Text, octets, or the fields of a form; with `addFile()` or `addData()` it has to be the fields.
   */
  setData(data: RequestData): boolean {
    this.#state.draft.setData(data);
    return true;
  }

  /**
   * Adds a file to the form that the next request sends (`multipart/form-data`, RFC 7578). It is read while it is sent, piece by
   * piece; if it has become shorter by then, the request fails with `statusCode` -4.
   *
   * @param path The path of the file.
   * @param name The name of the field.
   * @param mimeType The media type; by default the one that goes with the path.
   * @param filename The name that the server is told; by default the last part of the path.
   * @param offset Where in the file to begin.
   * @param length How many octets to send; 0 for all that follow.
   * @returns `false` when there is no such file (`errCode` 2), it cannot be read (13, 21, …), or it has no such part (505).
   * @throws {RangeError} If `offset` or `length` is no number of octets.
   * @throws {TypeError} If `mimeType` cannot be sent.
   * @example
   * ```ts
   * import { HttpClient, HttpServer } from "@sluice/server/coroutine";
   * import { assertEquals } from "@std/assert";
   *
   * const server = new HttpServer("127.0.0.1");
   * server.set({ http_parse_files: true });
   * server.handle("/", (request, response) => response.end(`${request.post.title}: ${request.files.list.size} octets`));
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
    for (const number of [offset, length]) {
      if (!Number.isInteger(number) || number < 0) throw new RangeError(`Cannot add a file: ${number} is no number of octets`);
    }
    const state = this.#state;
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
      if (offset + length > size) return state.fails(SWOOLE_ERROR_INVALID_PARAMS, `${path} has ${size} octets`);
      const file = { path, name, filename: filename || baseName(path), size: length || size - offset, offset };
      this.#add(file, mimeType || contentTypeOf(path));
      return true;
    };
    // A request waits for files that nobody has waited for, and they stay in their order.
    const adding = (state.adding ?? Promise.resolve()).then(add);
    state.adding = adding.catch(() => {});
    return await adding;
  }

  /**
   * Adds octets to the form that the next request sends, as if they were a file.
   *
   * @param data Octets, or text.
   * @param name The name of the field.
   * @param mimeType The media type; `application/octet-stream` by default.
   * @param filename The name that the server is told; by default that of the field.
   * @throws {TypeError} If `mimeType` cannot be sent.
   */
  addData(data: string | Uint8Array, name: string, mimeType = "", filename = ""): boolean {
    const content = typeof data === "string" ? encoder.encode(data) : data;
    const file = { content, name, filename: filename || name, size: content.length, offset: 0 };
    this.#add(file, mimeType || "application/octet-stream");
    return true;
  }

  #add(file: Omit<UploadFile, "type">, type: string): void {
    this.#state.draft.addFile({ ...file, type });
  }

  /**
   * Lets requests resolve when they are out; `recv()` waits for the answer then. So one can do something else meanwhile, and ask
   * several servers at a time. The same as the setting `defer`.
   *
   * @example
   * ```ts
   * import { HttpClient, HttpServer } from "@sluice/server/coroutine";
   * import { assertEquals } from "@std/assert";
   *
   * const server = new HttpServer("127.0.0.1");
   * server.handle("/", (request, response) => response.end(request.get.name));
   * await server.start();
   *
   * const clients = ["Ada", "Bob"].map(() => new HttpClient("127.0.0.1", server.port));
   * for (const client of clients) client.setDefer();
   * await clients[0].get("/?name=Ada");
   * await clients[1].get("/?name=Bob");
   * for (const client of clients) await client.recv();
   * assertEquals(clients.map((client) => client.body), ["Ada", "Bob"]);
   * for (const client of clients) client.close();
   * server.shutdown();
   * await server.finished;
   * ```
   */
  setDefer(defer = true): boolean {
    return this.set({ defer });
  }

  /** Whether requests resolve when they are out. */
  getDefer(): boolean {
    return this.setting.defer ?? false;
  }

  /** The method of the last request, or what was set for the next one; `undefined` when none was set. */
  get requestMethod(): string | undefined {
    return this.#state.draft.method;
  }

  /** The header fields that were set. */
  get requestHeaders(): Readonly<Record<string, string>> {
    return this.#state.draft.headers;
  }

  /** What `setData()` or `post()` was given for the last request, or for the next one. */
  get requestBody(): RequestData | undefined {
    return this.#state.draft.data;
  }

  /** The files of the last request, or those that were added for the next one. */
  get uploadFiles(): readonly UploadFile[] {
    return this.#state.draft.files;
  }

  // ---- the last answer ----------------------------------------------------------------------------------------------

  /** The last answer's body as text, decoded from UTF-8; `bytes` has its octets. */
  get body(): string {
    if (this.#textOf !== this.bytes) {
      this.#text = decoder.decode(this.bytes);
      this.#textOf = this.bytes;
    }
    return this.#text;
  }

  /** The same as `statusCode`; `false` before the first request. */
  getStatusCode(): number | false {
    return this.statusCode !== 0 && this.statusCode;
  }

  /** The same as `headers`. */
  getHeaders(): Record<string, string | string[]> {
    return this.headers;
  }

  /** The same as `cookies`. */
  getCookies(): Record<string, string> {
    return this.cookies;
  }

  /** The same as `body`. */
  getBody(): string {
    return this.body;
  }
}

/** The last part of a path. */
function baseName(path: string): string {
  return path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
}
