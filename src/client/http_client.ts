/**
 * `HttpClient`: HTTP and WebSockets from the client's side.
 *
 * @module
 */

import type { CloseInfo } from "../transport/connection_end.ts";
import { WEBSOCKET_OPCODE_PING } from "../constants.ts";
import {
  SWOOLE_ERROR_CLIENT_NO_CONNECTION,
  SWOOLE_ERROR_HTTP_INVALID_PROTOCOL,
  SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED,
  swooleStrerror,
} from "../errors.ts";
import { type AnswerHead, listFields } from "../http/response_parser.ts";
import type { Address, BytePipe } from "../transport/runtime.ts";
import { checkPipe } from "../transport/pipes.ts";
import { loadRuntime } from "../transport/current_runtime.ts";
import type { MessageFrame } from "../websocket/frame.ts";
import { checkTimeout, describe } from "../values.ts";
import { delayOf } from "../transport/deadlines.ts";
import { BaseClient, ClientState } from "./base_client.ts";
import { iterateMessages, readMessages, type Received, writeMessages } from "../websocket/connection/received_messages.ts";
import type { WebSocketChannel } from "../websocket/connection/channel.ts";
import { ClientCore } from "./client_core.ts";
import { CookieJar, type CookieScope } from "./cookie_jar.ts";
import { ClientFailure, closedMeanwhile, RefusedUpgrade } from "./client_failure.ts";
import { makeHandshake } from "./client_websocket.ts";
import { decodeBody, type Outcome } from "./client_session.ts";
import { resolveClientSettings, type ResolvedClientSettings } from "./client_settings.ts";
import { checkPath, composeRequest, type RequestData, type RequestDraft } from "./request_draft.ts";
import type { Pushable } from "../websocket/prepared_message.ts";
import { authorityOf, bareHost } from "./connecting.ts";

/**
 * An HTTP and WebSocket client (Swoole page "Coroutine\\Http\\Client").
 *
 * It runs one request at a time, and keeps the connection for the next one. After `upgrade()`, use `recv()` and `push()`, the
 * async iterator, or the two streams.
 *
 * Failures that a correct program can encounter return `false`: `errCode` and `errMsg` give the reason, and `statusCode` is
 * negative (`SWOOLE_HTTP_CLIENT_ESTATUS_*`) if there was no response.
 *
 * @example
 * ```ts
 * import { HttpClient, HttpServer } from "@sluice/server/coroutine";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const server = new HttpServer("127.0.0.1");
 * server.handle("/", (request, response) => response.end(`Hello ${request.get.name}`));
 * await server.start();
 *
 * const client = new HttpClient("127.0.0.1", server.port);
 * assert(await client.get("/?name=Ada"));
 * assertEquals([client.statusCode, client.body], [200, "Hello Ada"]);
 * client.close();
 * server.shutdown();
 * await server.finished;
 * ```
 */
export class HttpClient extends BaseClient {
  readonly #state: ClientState;
  readonly #core: ClientCore = new ClientCore(this);
  #headerOut: string | false = false;
  #scope: CookieScope | undefined = undefined; // the scope of the last request
  #deferred: Promise<Outcome> | undefined = undefined; // the response `recvResponse()` waits for
  #channel: WebSocketChannel | undefined = undefined;
  #readable: ReadableStream<string | Uint8Array> | undefined = undefined;
  #writable: WritableStream<string | Uint8Array> | undefined = undefined;

  /**
   * Creates a client. It connects on the first request.
   *
   * @param host The host name or IP address; for a Unix socket `unix:` and a path.
   * @param port The port, as a number or a string of digits; 0 stands for 80, or 443 with TLS.
   * @param ssl Whether to use TLS.
   * @throws {TypeError} If the host is not a string or not a valid host, the port is not a number, or `ssl` is not a boolean.
   * @throws {RangeError} If the port is out of range.
   */
  constructor(host: string, port: number | string = 0, ssl = false) {
    const state = new ClientState();
    super(host, port, ssl, state);
    this.#state = state;
  }

  /**
   * Uses an existing pipe, which can be any pair of streams, for the next connection.
   *
   * @example A client and a server without a network
   * ```ts
   * import type { BytePipe } from "@sluice/server";
   * import { HttpClient, HttpServer } from "@sluice/server/coroutine";
   * import { assertEquals } from "@std/assert";
   *
   * const up = new TransformStream<Uint8Array, Uint8Array>();
   * const down = new TransformStream<Uint8Array, Uint8Array>();
   * const end = (readable: ReadableStream, writable: WritableStream): BytePipe => ({ readable, writable, abort() {} });
   *
   * const server = new HttpServer("localhost");
   * server.handle("/", (_request, response) => response.end("hello"));
   * server.accept(end(up.readable, down.writable));
   *
   * const client = new HttpClient("localhost");
   * client.use(end(down.readable, up.writable));
   * await client.get("/");
   * assertEquals(client.body, "hello");
   * client.close();
   * ```
   *
   * @throws {TypeError} If it is no pipe, or one of its streams is locked.
   */
  use(pipe: BytePipe): void {
    checkPipe(pipe, "use");
    this.close();
    this.#core.use(pipe);
  }

  // ---- state --------------------------------------------------------------------------------------------------------

  /** Whether the client is connected. */
  get connected(): boolean {
    return this.#core.connection !== undefined;
  }

  /** The error code of the last method that returned `false`. Successful calls do not reset it, except successful requests. */
  get errCode(): number {
    return this.#channel?.lastError || this.#state.errCode;
  }

  /** Sets the error code, for example to 0 before a call whose error is to be checked. */
  set errCode(code: number) {
    if (this.#channel !== undefined) this.#channel.lastError = code;
    this.#state.fails(code);
  }

  /** The text for `errCode`, with details if known; empty for 0. */
  get errMsg(): string {
    const code = this.errCode;
    if (code === 0) return "";
    const { errCode, errDetail } = this.#state;
    return code === errCode && errDetail !== "" ? `${swooleStrerror(code)}: ${errDetail}` : swooleStrerror(code);
  }

  /** Returns `errCode`. */
  getLastError(): number {
    return this.errCode;
  }

  /** Returns the address of the server; `false` if not connected. */
  getpeername(): Address | false {
    return this.#core.connection?.remoteAddress ?? false;
  }

  /** Returns the local address; `false` if not connected. */
  getsockname(): Address | false {
    return this.#core.connection?.pipe.localAddress ?? false;
  }

  /** Returns the head of the last request as it was sent, without the empty line at its end; `false` before the first request. */
  getHeaderOut(): string | false {
    return this.#headerOut;
  }

  /** Returns the server's certificate in PEM format; `false` if not connected or without TLS. */
  getPeerCert(): string | false {
    return this.#core.connection?.pipe.peerCertificate ?? false;
  }

  // ---- HTTP ---------------------------------------------------------------------------------------------------------

  /** Sends a GET request; see `execute()`. */
  async get(path: string): Promise<boolean> {
    this.#checkRequest(path);
    this.#state.draft.setBodiless("GET");
    return await this.#execute(path);
  }

  /** Sends a POST request; see `execute()` and `setData()`. */
  async post(path: string, data: RequestData): Promise<boolean> {
    this.#checkRequest(path);
    this.setData(data);
    this.setMethod("POST");
    return await this.#execute(path);
  }

  /**
   * Sends a request and waits for the response, which is in `statusCode`, `headers` and `body`, whatever its status.
   *
   * @param path The path and query.
   * @returns `false` if there was no response: `errCode` gives the reason, and `statusCode` is negative.
   * @throws {TypeError} If the path cannot be sent, or files were added to a body that is not a form.
   * @throws {Error} If another request is running, or a file named in the settings cannot be read. Errors of `write_func`
   * are passed on.
   */
  async execute(path: string): Promise<boolean> {
    this.#checkRequest(path);
    return await this.#execute(path);
  }

  /**
   * Sends a request and writes the body of a successful response (2xx) to a file while it arrives. If the transfer fails, the
   * file keeps the received part, so that the download can be resumed. The body of any other response is in `body`.
   *
   * The method is the one that was set, GET by default. `read_timeout` is measured from the last bytes that arrived.
   *
   * @param path The path and query.
   * @param file The path of the file. It is created or emptied once a body arrives.
   * @param offset The number of bytes already in the file. The rest is requested with `Range` (RFC 9110 section 14.2). If the
   * server sends the whole body nevertheless, all of it is written.
   * @returns `true` if there was a response, whose status is `statusCode`. `false` if the response is missing or incomplete, or
   * if the file cannot be written: `errCode` is then 2, 13, 28, ….
   * @throws {RangeError} If `offset` is not a non-negative integer.
   * @throws {Error} As `execute()`.
   * @example
   * ```ts
   * import { HttpClient, HttpServer } from "@sluice/server/coroutine";
   * import { assertEquals } from "@std/assert";
   * import { mkdtemp, readFile } from "node:fs/promises";
   *
   * const server = new HttpServer("127.0.0.1");
   * server.handle("/", (_request, response) => response.end("a long text"));
   * await server.start();
   *
   * const client = new HttpClient("127.0.0.1", server.port);
   * const file = `${await mkdtemp("/tmp/sluice-")}/text`;
   * assertEquals([await client.download("/", file), client.statusCode], [true, 200]);
   * assertEquals(await readFile(file, "utf8"), "a long text");
   * client.close();
   * server.shutdown();
   * await server.finished;
   * ```
   */
  async download(path: string, file: string, offset = 0): Promise<boolean> {
    this.#checkRequest(path);
    if (typeof file !== "string" || file === "") {
      throw new TypeError(`Cannot download: the path of a file is needed, not ${file === "" ? "an empty text" : describe(file)}`);
    }
    if (!Number.isInteger(offset) || offset < 0) throw new RangeError(`Cannot download: ${offset} is no number of bytes`);
    this.downloadFile = file;
    this.downloadOffset = offset;
    return await this.#execute(path);
  }

  /**
   * Opens a WebSocket (RFC 6455 section 4.1).
   *
   * @param path The path and query.
   * @returns `true` once the WebSocket is open. `false` if the server sent another response, which is in `statusCode`, `headers`
   * and `body`, with `errCode` 8504; or if there was no response, as with `execute()`. A response that violates the protocol, for
   * example with a wrong `Sec-WebSocket-Accept`, ends the connection: 8504 with `statusCode` 101. A response that is not HTTP is
   * 7102.
   * @throws {TypeError} If the path cannot be sent, or a header field was set that belongs to the handshake.
   * @throws {Error} As `execute()`.
   */
  async upgrade(path: string): Promise<boolean> {
    this.#checkRequest(path);
    const state = this.#state;
    state.draft.checkHandshake();
    state.draft.setBodiless("GET");
    if (!await this.#execute(path, true)) {
      // An HTTP response other than a WebSocket explains the refusal; a response that is not HTTP is 7102, as with other
      // requests.
      const isBroken = state.errCode === SWOOLE_ERROR_HTTP_INVALID_PROTOCOL && this.statusCode > 0;
      if (isBroken) state.errCode = SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED;
      return false;
    }
    if (this.#channel !== undefined) return true;
    return state.fails(SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED, `the server answered with status ${this.statusCode}`);
  }

  /** Throws if a request cannot be sent now, or not there; before anything is set for it. */
  #checkRequest(path: string): void {
    if (this.#deferred !== undefined) {
      throw new Error("Cannot send the request: recvResponse() has to take the last response before");
    }
    if (this.#core.isBusy) throw new Error("Cannot send the request: another one is under way");
    checkPath(path);
  }

  async #execute(path: string, upgrades = false): Promise<boolean> {
    // What was set for this request is taken first, so that nothing of it is left for another one, even if this one fails. What
    // the program sets from now on belongs to the next request.
    const state = this.#state;
    const { draft, adding } = state;
    state.draft = draft.finish();
    const { downloadFile: file, downloadOffset: offset } = this;
    this.downloadFile = undefined;
    this.downloadOffset = 0;
    const settings = resolveClientSettings(this.setting);
    if (this.#channel !== undefined) this.close(); // a connection that was a WebSocket cannot carry requests
    this.#channel = this.#readable = this.#writable = undefined;
    let sent = () => {};
    const whenSent = new Promise<void>((resolve) => sent = resolve);
    const isDeferred = settings.defer && !upgrades;
    if (isDeferred) draft.keepBytes(); // the program continues while they are sent
    const { write_func: write } = settings;
    const plan = {
      target: this,
      path,
      draft,
      cookies: this.#cookiesFor(path, draft),
      settings,
      download: file === undefined || upgrades ? undefined : { file, offset },
      onHead: (head: AnswerHead) => this.#note(head, settings), // so that the program's function can read it
      onPiece: write === null ? undefined : (piece: Uint8Array) => write(this, piece),
    };
    const work = async (aborter: AbortController): Promise<Outcome> => {
      const own = draft.header("sec-websocket-protocol");
      const handshake = upgrades ? await makeHandshake(settings, own) : undefined;
      await adding;
      if (!this.#core.isGiven) await loadRuntime(); // the runtime knows the codings it can decode; a pipe from use() does without
      if (aborter.signal.aborted) return closedMeanwhile();
      const route = this.#core.routeFor(settings, upgrades);
      const { asksProxy } = route;
      const request = composeRequest({ ...plan, asksProxy, handshake });
      this.#headerOut = request.head.slice(0, -4);
      return await decodeBody(await this.#core.request(request, route, settings, aborter, sent), settings);
    };
    const take = (outcome: Outcome, isLatest: boolean) => isLatest && this.#take(outcome, settings);
    if (!isDeferred) return await this.#core.run(work, take);
    const outcome = this.#core.run(work, (outcome) => outcome);
    outcome.catch(() => {}); // recv() throws it
    const failed = await Promise.race([whenSent, outcome]);
    if (failed instanceof ClientFailure) return this.#take(failed, settings);
    this.#deferred = outcome;
    return true;
  }

  /** Returns the value of Cookie for a request, and notes where the cookies of its response belong. */
  #cookiesFor(path: string, draft: RequestDraft): string {
    const host = bareHost((draft.header("host") ?? authorityOf(this)).replace(/:[0-9]*$/, "")).toLowerCase();
    this.#scope = { host, path: path.split("?", 1)[0], secure: this.ssl };
    return this.#state.jar.header(this.cookies, this.#scope, Date.now());
  }

  /** Stores a response, or the reason why there is none. */
  #take(outcome: Outcome, settings: ResolvedClientSettings): boolean {
    const state = this.#state;
    this.#channel = this.#readable = this.#writable = undefined;
    this.bytes = new Uint8Array(0); // the program may transfer it, so no two responses share it
    if (outcome instanceof ClientFailure) {
      this.statusCode = outcome.status;
      if (outcome instanceof RefusedUpgrade) this.#note(outcome.head, settings);
      if (outcome.status < 0) {
        this.headers = {};
        this.set_cookie_headers = [];
      }
      return state.fails(outcome.code, outcome.detail);
    }
    const { head, trailer, body, channel, failure } = outcome;
    if (body !== undefined) this.#note(head, settings);
    if (trailer !== "") this.headers = listFields(head, trailer, settings.lowercase_header);
    if (failure !== undefined) return state.fails(failure.code, failure.detail);
    if (body !== undefined && body.length > 0) this.bytes = body;
    this.#channel = channel;
    state.fails(0);
    return true;
  }

  #note(head: AnswerHead, settings: ResolvedClientSettings): void {
    this.statusCode = head.status;
    this.headers = listFields(head, "", settings.lowercase_header);
    this.set_cookie_headers = head.setCookie;
    if (head.setCookie.length === 0) return;
    this.cookies = CookieJar.bare(this.cookies); // the program may have assigned an object of its own
    for (const field of head.setCookie) this.#state.jar.store(field, this.#scope!, this.cookies, Date.now());
  }

  // ---- the WebSocket ------------------------------------------------------------------------------------------------

  /**
   * Receives the next message, waiting for it if necessary. After `setDefer()`, it does what `recvResponse()` does, as in Swoole;
   * its type does not say so.
   *
   * Pings are answered and not returned, unless `open_websocket_ping_frame` is set. Pongs are returned, unless
   * `open_websocket_pong_frame` is `false`. A Close is returned once, as a `CloseFrame`. It has then already been answered,
   * unless `open_websocket_close_frame` leaves that to the program.
   *
   * @param timeout The time limit in seconds. 0 stands for `read_timeout`, which is unlimited unless it was set; a negative
   * number means no limit. No message is lost by a timeout.
   * @returns A `Frame` or a `CloseFrame`; `""` if the server has closed the connection; `false` on failure, with the reason in
   * `errCode`: 110 for a timeout, 104 if the server dropped the connection, 1201 for a message larger than `package_max_length`,
   * 8506 if the server violated the protocol, 5001 if not connected, 8504 before `upgrade()`.
   * @throws {TypeError} If the timeout is not a number.
   * @throws {Error} If another `recv()` is waiting.
   */
  recv(timeout = 0): Promise<Received> {
    checkTimeout(timeout);
    if (this.#deferred !== undefined) return this.recvResponse(timeout) as Promise<Received>;
    return this.#channel?.recv(timeout) ?? Promise.resolve(this.#isNoWebSocket());
  }

  /**
   * Waits for the response to the last request, which was sent with `setDefer()` or the setting `defer`.
   *
   * @param timeout The time limit in seconds; 0 leaves that of the request, a negative number means no limit.
   * @returns The same as `execute()` without `setDefer()`; `false` with 5001 if no response is pending.
   * @throws {TypeError} If the timeout is not a number.
   */
  async recvResponse(timeout = 0): Promise<boolean> {
    checkTimeout(timeout);
    const outcome = this.#deferred;
    if (outcome === undefined) return this.#state.fails(SWOOLE_ERROR_CLIENT_NO_CONNECTION, "no response is pending");
    this.#deferred = undefined;
    if (timeout !== 0) this.#core.limit(delayOf(Math.max(timeout, 0)));
    return this.#take(await outcome, resolveClientSettings(this.setting));
  }

  /**
   * Sends a message or any other frame, masked with a fresh key. Waits while the server is slow.
   *
   * @param data Text; a number, which is sent as text; bytes, which must not change until they are sent; or a `Frame` or
   * `PreparedMessage`, for which the other arguments are ignored. A `CloseFrame` starts the closing handshake.
   * @param opcode The frame type. By default `WEBSOCKET_OPCODE_BINARY` for bytes, otherwise `WEBSOCKET_OPCODE_TEXT`.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`, by default FIN. `false` or 0 starts or continues a fragmented message.
   * @returns `true` once the frame was passed on; `false` with 5001 if not connected, 8504 before `upgrade()`, 8503 after a
   * Close, 8505 if the frame may not be sent, 110 after `write_timeout`, 1009 if pushes that are not awaited hold more than
   * `socket_buffer_size`.
   * @throws {TypeError} If `data` has another type.
   */
  push(data: Pushable, opcode?: number, flags?: number | boolean): Promise<boolean> {
    return this.#channel?.push(data, opcode, flags) ?? Promise.resolve(this.#isNoWebSocket());
  }

  /** Sends a Ping with at most 125 bytes. Returns the same as `push()`. */
  ping(data: string | number | Uint8Array = ""): Promise<boolean> {
    return this.push(data, WEBSOCKET_OPCODE_PING);
  }

  /**
   * Closes the WebSocket properly: sends a Close frame after all pending output, and ends the connection when the server has
   * answered it, or after `websocket_close_timeout`.
   *
   * @param code The close code: 1000-1003, 1007-1014 or 3000-4999.
   * @param reason The reason, at most 123 bytes of UTF-8.
   * @returns `true` if the frame was sent; `false` with 8505 if the code or reason may not be sent, otherwise as `push()`.
   */
  disconnect(code = 1000, reason = ""): boolean {
    return this.#channel?.disconnect(code, reason) ?? this.#isNoWebSocket();
  }

  /**
   * Ends the connection, without a Close frame. Messages already pushed are still sent. A running request fails.
   *
   * @returns `false` if not connected.
   */
  close(): boolean {
    this.#deferred = undefined;
    if (this.#core.close(this.#channel)) return true;
    if (this.#channel !== undefined) this.#channel.lastError = SWOOLE_ERROR_CLIENT_NO_CONNECTION;
    return this.#state.fails(SWOOLE_ERROR_CLIENT_NO_CONNECTION);
  }

  /**
   * How the WebSocket ended; `undefined` while it is open, or if there was never one. It is set as soon as `recv()` returns `""`,
   * or `false` because the connection has ended.
   */
  get closeInfo(): CloseInfo | undefined {
    return this.#channel?.ending;
  }

  /** Iterates over the data messages until the connection closes. Other frames are skipped. */
  [Symbol.asyncIterator](): AsyncGenerator<MessageFrame, void, void> {
    return iterateMessages(this);
  }

  /** The messages as a stream: strings for text, bytes for binary. Canceling it closes the WebSocket. */
  get readable(): ReadableStream<string | Uint8Array> {
    return this.#readable ??= readMessages(this);
  }

  /** A stream whose chunks are sent as messages: strings as text, bytes as binary. Closing it closes the WebSocket. */
  get writable(): WritableStream<string | Uint8Array> {
    return this.#writable ??= writeMessages(this);
  }

  #isNoWebSocket(): false {
    const state = this.#state;
    if (this.connected) return state.fails(SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED, "there was no upgrade()");
    return state.fails(SWOOLE_ERROR_CLIENT_NO_CONNECTION);
  }
}
