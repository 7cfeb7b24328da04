/**
 * `HttpClient`: HTTP and WebSockets from the other end.
 *
 * @module
 */

import type { Connection } from "../connection.ts";
import { WEBSOCKET_OPCODE_PING } from "../constants.ts";
import {
  SWOOLE_ERROR_CLIENT_NO_CONNECTION,
  SWOOLE_ERROR_HTTP_INVALID_PROTOCOL,
  SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE,
  SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED,
  swooleStrerror,
} from "../errors.ts";
import { decodeCookie, isCookieName, parseSetCookie } from "../http/cookies.ts";
import type { Address, BytePipe } from "../runtime.ts";
import type { Frame } from "../websocket/frame.ts";
import { BaseClient } from "./base_client.ts";
import type { Pushable, Received, WebSocketChannel } from "./channel.ts";
import { addClientConnection } from "./client_connections.ts";
import { delayOf } from "./alarm.ts";
import { type ClientHandshake, makeHandshake } from "./client_handshake.ts";
import { ClientFailure, ClientSession, type Incoming, Unanswered } from "./client_session.ts";
import { resolveClientSettings, type ResolvedClientSettings } from "./client_settings.ts";
import { connect, notConnected } from "./connecting.ts";
import { ACCEPTED_CODINGS, decodeContent } from "./content_coding.ts";
import { iterateMessages, readMessages, writeMessages } from "./message_streams.ts";
import type { RequestData } from "./request_draft.ts";

const NO_BODY = new Uint8Array(0);

/** How long an answer may take when nothing was set, in seconds. */
const READ_TIMEOUT = 60;

/**
 * An HTTP and WebSocket client (Swoole page "Coroutine\\Http\\Client").
 *
 * One request at a time; the connection is kept for the next one. After `upgrade()` there are `recv()` and `push()`, or the same
 * as an iterable and as two streams.
 *
 * What fails in a correct program gives `false`: `errCode` and `errMsg` tell why, and `statusCode` is negative
 * (`SWOOLE_HTTP_CLIENT_ESTATUS_*`) when there was no answer.
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
  #errCode = 0;
  #errDetail = "";

  #connection: Connection | undefined = undefined;
  #session: ClientSession | undefined = undefined;
  #channel: WebSocketChannel | undefined = undefined;
  #pipe: BytePipe | undefined = undefined; // to be used instead of connecting
  #aborter: AbortController | undefined = undefined; // while a request is under way
  #readable: ReadableStream<string | Uint8Array> | undefined = undefined;
  #writable: WritableStream<string | Uint8Array> | undefined = undefined;

  /**
   * Uses a pipe for the next connection instead of making one: any two streams.
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
   */
  use(pipe: BytePipe): void {
    this.close();
    this.#pipe = pipe;
  }

  // ---- state --------------------------------------------------------------------------------------------------------

  /** Whether there is a connection. */
  get connected(): boolean {
    return this.#connection?.isOpen ?? false;
  }

  /** Why the last method that returned `false` did so. A later success does not reset it, except a request's. */
  get errCode(): number {
    return this.#channel?.lastError || this.#errCode;
  }

  /** `errCode` in words. */
  get errMsg(): string {
    const code = this.errCode;
    if (code === 0) return "";
    return code === this.#errCode && this.#errDetail !== ""
      ? `${swooleStrerror(code)}: ${this.#errDetail}`
      : swooleStrerror(code);
  }

  /** The same as `errCode`. */
  getLastError(): number {
    return this.errCode;
  }

  /** The server's address; `false` without a connection. */
  getpeername(): Address | false {
    return (this.connected && this.#connection!.remoteAddress) || false;
  }

  /** This side's address; `false` without a connection. */
  getsockname(): Address | false {
    return (this.connected && this.#connection!.localAddress) || false;
  }

  /** The server's certificate, PEM; `false` without a connection, and without TLS. */
  getPeerCert(): string | false {
    return (this.connected && this.#connection!.peerCertificate) || false;
  }

  // ---- HTTP ---------------------------------------------------------------------------------------------------------

  /** Requests a path with GET; see `execute()`. */
  async get(path: string): Promise<boolean> {
    this.#checkIdle();
    this.draft.setMethod("GET");
    this.draft.setData(undefined);
    return await this.execute(path);
  }

  /** Requests a path with POST; see `execute()` and `setData()`. */
  async post(path: string, data: RequestData): Promise<boolean> {
    this.#checkIdle();
    this.draft.setMethod("POST");
    this.draft.setData(data);
    return await this.execute(path);
  }

  /**
   * Sends a request and waits for the answer, of whatever status: `statusCode`, `headers` and `body` have it.
   *
   * @param path Path and query.
   * @returns `false` when there was no answer: `errCode` tells why, `statusCode` is negative.
   * @throws {TypeError} If the path cannot be sent.
   * @throws {Error} If a request is under way, or a file of the settings cannot be read.
   */
  async execute(path: string): Promise<boolean> {
    this.#checkIdle();
    return await this.#execute(path);
  }

  /**
   * Opens a WebSocket (RFC 6455 section 4.1).
   *
   * @param path Path and query.
   * @returns `true` when it is open. `false` when the server answered something else, which `statusCode`, `headers` and `body`
   * have then, with `errCode` 8504; or when there was no answer, as `execute()`. An answer that breaks the protocol, for example
   * with a wrong `Sec-WebSocket-Accept`, ends the connection.
   * @throws {TypeError} If the path cannot be sent, or a header was set that belongs to the handshake.
   * @throws {Error} As `execute()`.
   */
  async upgrade(path: string): Promise<boolean> {
    this.#checkIdle();
    this.draft.checkHandshake();
    this.draft.setMethod("GET");
    this.draft.setData(undefined);
    const own = this.draft.header("sec-websocket-protocol");
    const handshake = await makeHandshake(resolveClientSettings(this.setting), own);
    if (!await this.#execute(path, handshake)) {
      if (this.#errCode === SWOOLE_ERROR_HTTP_INVALID_PROTOCOL) this.#errCode = SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED;
      return false;
    }
    if (this.#channel !== undefined) return true;
    this.#errCode = SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED;
    this.#errDetail = `the server answered with status ${this.statusCode}`;
    return false;
  }

  #checkIdle(): void {
    if (this.#aborter !== undefined) throw new Error("Cannot send the request: another one is under way");
  }

  async #execute(path: string, upgrade?: ClientHandshake): Promise<boolean> {
    if (this.#channel !== undefined) this.close(); // what was a WebSocket cannot be asked anything
    this.#channel = this.#readable = this.#writable = undefined;
    const settings = resolveClientSettings(this.setting);
    const own = upgrade?.fields ?? [["Connection", settings.keep_alive ? "keep-alive" : "close"]];
    const codings: [string, string][] = settings.http_compression ? [["Accept-Encoding", ACCEPTED_CODINGS]] : [];
    const composed = this.draft.compose(path, this.#authority(), [...own, ...codings], this.cookies);
    const aborter = this.#aborter = new AbortController();
    try {
      const seconds = settings.read_timeout === 0 ? READ_TIMEOUT : Math.max(settings.read_timeout, 0);
      const request = { ...composed, timeout: delayOf(seconds), upgrade };
      for (let retries = settings.max_retries;; retries--) {
        const session = await this.#connect(settings, aborter);
        const outcome = session instanceof ClientFailure ? session : await session.request(request);
        if (outcome instanceof Unanswered && retries > 0 && !aborter.signal.aborted) continue;
        return await this.#take(
          aborter.signal.aborted && !this.connected ? notConnected("it was closed meanwhile") : outcome,
          settings,
        );
      }
    } finally {
      this.#aborter = undefined;
    }
  }

  async #connect(settings: ResolvedClientSettings, aborter: AbortController): Promise<ClientSession | ClientFailure> {
    if (this.connected) return this.#session!;
    const pipe = this.#pipe ?? await connect(this, settings, aborter);
    this.#pipe = undefined;
    if (pipe instanceof ClientFailure) return pipe;
    const limits = { maxHeadSize: 64 * 1024, maxHeaders: 128, maxBodySize: settings.package_max_length };
    let session: ClientSession | undefined;
    this.#connection = addClientConnection(pipe, (connection) => session = new ClientSession(connection, limits));
    return this.#session = session!;
  }

  /** The value of Host: the port only when it is not the usual one. */
  #authority(): string {
    if (this.host.startsWith("unix:")) return "localhost";
    const name = this.host.includes(":") && !this.host.startsWith("[") ? `[${this.host}]` : this.host;
    return this.port === (this.ssl ? 443 : 80) ? name : `${name}:${this.port}`;
  }

  /** Notes an answer, or why there is none. */
  async #take(outcome: Incoming | ClientFailure, settings: ResolvedClientSettings): Promise<boolean> {
    this.#channel = this.#readable = this.#writable = undefined;
    this.#errDetail = "";
    if (outcome instanceof ClientFailure) {
      this.statusCode = outcome.status;
      this.headers = {};
      this.set_cookie_headers = [];
      this.bytes = NO_BODY;
      return this.#fails(outcome.code, outcome.detail);
    }
    const { head, body, channel } = outcome;
    this.statusCode = head.status;
    this.headers = head.header;
    this.set_cookie_headers = head.setCookie;
    for (const field of head.setCookie) this.#keepCookie(field);
    const coding = settings.http_compression ? head.header["content-encoding"] : undefined;
    const decoded = await decodeContent(coding, body, settings.package_max_length);
    this.bytes = decoded instanceof Uint8Array ? decoded : NO_BODY;
    if (decoded === "broken") return this.#fails(SWOOLE_ERROR_HTTP_INVALID_PROTOCOL, `the ${coding} body is broken`);
    if (decoded === "too large") return this.#fails(SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE);
    this.#channel = channel;
    this.#errCode = 0;
    return true;
  }

  #keepCookie(field: string): void {
    const cookie = parseSetCookie(field);
    if (cookie === undefined || !isCookieName(cookie.name)) return;
    const { name, value, maxAge, expires } = cookie;
    const isOver = maxAge !== undefined ? maxAge <= 0 : expires !== undefined && Date.parse(expires) <= Date.now();
    if (isOver) delete this.cookies[name];
    else this.cookies[name] = decodeCookie(value);
  }

  #fails(code: number, detail = ""): false {
    this.#errCode = code;
    this.#errDetail = detail;
    return false;
  }

  // ---- the WebSocket ------------------------------------------------------------------------------------------------

  /**
   * Receives the next message; waits for it. Pings are answered and not returned, unless `open_websocket_ping_frame` is set;
   * pongs are returned, unless `open_websocket_pong_frame` is `false`. A Close is returned once, as a `CloseFrame`; it has been
   * answered then, unless `open_websocket_close_frame` leaves that to the program.
   *
   * @param timeout How long to wait, in seconds; 0 for `read_timeout`, which is for ever unless it was set; negative for ever. A
   * timeout loses nothing.
   * @returns A `Frame` or a `CloseFrame`; `""` when the server has closed the connection; `false` when it failed, and `errCode`
   * tells: 110 for a timeout, 104 when the server dropped the connection, 1201 for a message above `package_max_length`, 8506
   * when the server broke the protocol, 5001 without a connection, 8504 before `upgrade()`.
   * @throws {Error} If another `recv()` is waiting.
   */
  recv(timeout = 0): Promise<Received> {
    return this.#channel?.recv(timeout) ?? Promise.resolve(this.#isNoWebSocket());
  }

  /**
   * Sends a message, or any frame, masked with a fresh key. Waits while the server is slow.
   *
   * @param data A text, octets (which nobody changes until they are sent), or a `Frame`, for which the other arguments are
   * ignored. A `CloseFrame` starts the closing handshake.
   * @param opcode The frame type, `WEBSOCKET_OPCODE_TEXT` unless given.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`; FIN unless given. `false` or 0 begins or continues a fragmented message.
   * @returns `true` when it was handed on; `false` with 5001 without a connection, 8504 before `upgrade()`, 8503 behind a Close,
   * 8505 when such a frame may not be sent, 110 after `write_timeout`, 1009 when pushes that nobody awaits hold more than
   * `socket_buffer_size`.
   * @throws {TypeError} If `data` is none of these.
   */
  push(data: Pushable, opcode?: number, flags?: number | boolean): Promise<boolean> {
    return this.#channel?.push(data, opcode, flags) ?? Promise.resolve(this.#isNoWebSocket());
  }

  /** Sends a Ping with at most 125 octets; as `push()`. */
  ping(data: string | Uint8Array = ""): Promise<boolean> {
    return this.push(data, WEBSOCKET_OPCODE_PING);
  }

  /**
   * Closes the WebSocket properly: sends a Close frame, behind what waits to be sent, and ends the connection when the server
   * has answered it, or after `websocket_close_timeout`.
   *
   * @param code The close code: 1000-1003, 1007-1014 or 3000-4999.
   * @param reason The reason, at most 123 octets of UTF-8.
   * @returns `true` when it was sent; `false` with 8505 for a code or reason that may not be sent, otherwise as `push()`.
   */
  disconnect(code = 1000, reason = ""): boolean {
    return this.#channel?.disconnect(code, reason) ?? this.#isNoWebSocket();
  }

  /**
   * Ends the connection, without a Close frame. What was pushed is still sent. A request that is under way fails.
   *
   * @returns `false` when there is none.
   */
  close(): boolean {
    this.#aborter?.abort();
    if (this.connected) return this.#channel?.close() ?? this.#hangUp();
    if (this.#channel !== undefined) this.#channel.lastError = SWOOLE_ERROR_CLIENT_NO_CONNECTION;
    return this.#fails(SWOOLE_ERROR_CLIENT_NO_CONNECTION);
  }

  #hangUp(): true {
    this.#connection!.end();
    return true;
  }

  /** The data messages until the connection closes; other frames are left out. */
  [Symbol.asyncIterator](): AsyncGenerator<Frame, void, void> {
    return iterateMessages(this);
  }

  /** The messages as a stream: a string for text, octets for binary. To cancel it closes the WebSocket. */
  get readable(): ReadableStream<string | Uint8Array> {
    return this.#readable ??= readMessages(this);
  }

  /** A stream whose chunks are sent: a string as text, octets as binary. To close it closes the WebSocket. */
  get writable(): WritableStream<string | Uint8Array> {
    return this.#writable ??= writeMessages(this);
  }

  #isNoWebSocket(): false {
    if (this.connected) return this.#fails(SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED, "there was no upgrade()");
    return this.#fails(SWOOLE_ERROR_CLIENT_NO_CONNECTION);
  }
}
