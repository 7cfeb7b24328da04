/**
 * `HttpClient`: HTTP and WebSockets from the other end.
 *
 * @module
 */

import { WEBSOCKET_OPCODE_PING } from "../../constants.ts";
import {
  SWOOLE_ERROR_CLIENT_NO_CONNECTION,
  SWOOLE_ERROR_HTTP_INVALID_PROTOCOL,
  SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED,
  swooleStrerror,
} from "../../errors.ts";
import { type AnswerHead, listFields } from "../../http/response_parser.ts";
import { type Address, type BytePipe, loadRuntime } from "../../runtime.ts";
import type { Frame } from "../../websocket/frame.ts";
import { delayOf } from "../alarm.ts";
import { callbackSink, type Download, downloadSink, rangeFields } from "./answer_sink.ts";
import { BaseClient, stateOf } from "./base_client.ts";
import type { Pushable, Received, WebSocketChannel } from "../channel.ts";
import { ClientCore, type Outcome, type Route } from "./client_core.ts";
import { CookieJar, type CookieScope } from "./cookie_jar.ts";
import { ClientFailure, RefusedUpgrade } from "./client_failure.ts";
import { type ClientHandshake, makeHandshake } from "./client_handshake.ts";
import type { Outgoing } from "./client_session.ts";
import { resolveClientSettings, type ResolvedClientSettings } from "./client_settings.ts";
import { acceptedCodings, decodeContent } from "./content_coding.ts";
import { iterateMessages, readMessages, writeMessages } from "../message_streams.ts";
import { authorityOf, bareHost, proxyAuthorization } from "./proxy.ts";
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
  readonly #core: ClientCore = new ClientCore(this);
  #headerOut: string | false = false;
  #scope: CookieScope | undefined = undefined; // of the last request
  #deferred: Promise<Outcome> | undefined = undefined; // what `recv()` waits for
  #channel: WebSocketChannel | undefined = undefined;
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
    this.#core.use(pipe);
  }

  // ---- state --------------------------------------------------------------------------------------------------------

  /** Whether there is a connection. */
  get connected(): boolean {
    return this.#core.connection !== undefined;
  }

  /** Why the last method that returned `false` did so. A later success does not reset it, except a request's. */
  get errCode(): number {
    return this.#channel?.lastError || stateOf(this).errCode;
  }

  /** Sets it, for example to 0 before a call whose error is to be looked at. */
  set errCode(code: number) {
    if (this.#channel !== undefined) this.#channel.lastError = code;
    stateOf(this).fails(code);
  }

  /** `errCode` in words. */
  get errMsg(): string {
    const code = this.errCode;
    if (code === 0) return "";
    const { errCode, errDetail } = stateOf(this);
    return code === errCode && errDetail !== "" ? `${swooleStrerror(code)}: ${errDetail}` : swooleStrerror(code);
  }

  /** The same as `errCode`. */
  getLastError(): number {
    return this.errCode;
  }

  /** The server's address; `false` without a connection. */
  getpeername(): Address | false {
    return this.#core.connection?.remoteAddress ?? false;
  }

  /** This side's address; `false` without a connection. */
  getsockname(): Address | false {
    return this.#core.connection?.localAddress ?? false;
  }

  /** The head of the last request as it was sent, without the empty line behind it; `false` before the first one. */
  getHeaderOut(): string | false {
    return this.#headerOut;
  }

  /** The server's certificate, PEM; `false` without a connection, and without TLS. */
  getPeerCert(): string | false {
    return this.#core.connection?.peerCertificate ?? false;
  }

  // ---- HTTP ---------------------------------------------------------------------------------------------------------

  /** Requests a path with GET; see `execute()`. */
  async get(path: string): Promise<boolean> {
    this.#checkIdle();
    stateOf(this).draft.setBodiless("GET");
    return await this.execute(path);
  }

  /** Requests a path with POST; see `execute()` and `setData()`. */
  async post(path: string, data: RequestData): Promise<boolean> {
    this.#checkIdle();
    this.setMethod("POST");
    this.setData(data);
    return await this.execute(path);
  }

  /**
   * Sends a request and waits for the answer, of whatever status: `statusCode`, `headers` and `body` have it.
   *
   * @param path Path and query.
   * @returns `false` when there was no answer: `errCode` tells why, `statusCode` is negative.
   * @throws {TypeError} If the path cannot be sent, or files are beside a body that is no form.
   * @throws {Error} If a request is under way, or a file of the settings cannot be read; what `write_func` throws.
   */
  async execute(path: string): Promise<boolean> {
    this.#checkIdle();
    return await this.#execute(path);
  }

  /**
   * Requests a path and writes the body of a successful answer (2xx) to a file while it arrives. What is in the file stays when
   * the transfer breaks, so that it can be continued. Other answers have their body in `body`.
   *
   * The method is the one that was set, GET by default. `read_timeout` counts from the last octets that arrived.
   *
   * @param path Path and query.
   * @param file The path of the file. It is made, and emptied, when a body comes.
   * @param offset How much of the file there is already: the rest is asked for (`Range`, RFC 9110 section 14.2). A server that
   * sends all of it nevertheless has all of it written.
   * @returns `true` when there was an answer: `statusCode` tells which. `false` when there was none, or not all of it, or when the
   * file cannot be written: `errCode` is 2, 13, 28, … then.
   * @throws {RangeError} If `offset` is no number of octets.
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
    this.#checkIdle();
    if (!Number.isInteger(offset) || offset < 0) throw new RangeError(`Cannot download: ${offset} is no number of octets`);
    this.downloadFile = file;
    this.downloadOffset = offset;
    return await this.execute(path);
  }

  /**
   * Opens a WebSocket (RFC 6455 section 4.1).
   *
   * @param path Path and query.
   * @returns `true` when it is open. `false` when the server answered something else, which `statusCode`, `headers` and `body`
   * have then, with `errCode` 8504; or when there was no answer, as `execute()`. An answer that breaks the protocol, for example
   * with a wrong `Sec-WebSocket-Accept`, ends the connection: 8504 with `statusCode` 101. What is no HTTP is 7102.
   * @throws {TypeError} If the path cannot be sent, or a header was set that belongs to the handshake.
   * @throws {Error} As `execute()`.
   */
  async upgrade(path: string): Promise<boolean> {
    this.#checkIdle();
    const state = stateOf(this);
    state.draft.checkHandshake();
    state.draft.setBodiless("GET");
    const own = state.draft.header("sec-websocket-protocol");
    const handshake = await makeHandshake(resolveClientSettings(this.setting), own);
    if (!await this.#execute(path, handshake)) {
      // A response that is no WebSocket says why; what is no HTTP at all is 7102, as with other requests.
      const isBroken = state.errCode === SWOOLE_ERROR_HTTP_INVALID_PROTOCOL && this.statusCode > 0;
      if (isBroken) state.errCode = SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED;
      return false;
    }
    if (this.#channel !== undefined) return true;
    return state.fails(SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED, `the server answered with status ${this.statusCode}`);
  }

  #checkIdle(): void {
    if (this.#deferred !== undefined) throw new Error("Cannot send the request: recv() has to take the last answer before");
    if (this.#core.isBusy) throw new Error("Cannot send the request: another one is under way");
  }

  async #execute(path: string, upgrade?: ClientHandshake): Promise<boolean> {
    if (this.#channel !== undefined) this.close(); // what was a WebSocket cannot be asked anything
    this.#channel = this.#readable = this.#writable = undefined;
    const settings = resolveClientSettings(this.setting);
    let sent = () => {};
    const whenSent = new Promise<void>((resolve) => sent = resolve);
    const { downloadFile: file, downloadOffset: offset } = this;
    this.downloadFile = undefined; // it is for one request
    this.downloadOffset = 0;
    const target = file === undefined || upgrade !== undefined ? undefined : { file, offset };
    if (settings.defer) stateOf(this).draft.keepBytes(); // the program goes on while they are sent
    const outcome = this.#core.run(async (aborter) => {
      await stateOf(this).adding;
      if (!this.#core.isGiven) await loadRuntime(); // it knows which codings can be undone; two streams will do without
      return await this.#core.request(this.#compose(path, settings, upgrade, target), settings, aborter, sent);
    });
    if (!settings.defer || upgrade !== undefined) return await this.#take(await outcome, settings);
    outcome.catch(() => {}); // recv() throws it
    const failed = await Promise.race([whenSent, outcome]);
    if (failed instanceof ClientFailure) return await this.#take(failed, settings);
    this.#deferred = outcome;
    return true;
  }

  #compose(
    path: string,
    settings: ResolvedClientSettings,
    upgrade: ClientHandshake | undefined,
    target: Omit<Download, "asked"> | undefined,
  ): Outgoing & Route {
    const { draft, jar } = stateOf(this);
    const asksProxy = this.#core.asksProxy(settings, upgrade !== undefined);
    const asked = target !== undefined && draft.header("range") === undefined;
    const fields = [...upgrade?.fields ?? [["Connection", settings.keep_alive ? "keep-alive" : "close"] as const]];
    if (asked) fields.push(...rangeFields(target.offset));
    if (settings.http_compression && !(asked && target.offset > 0)) fields.push(["Accept-Encoding", acceptedCodings()]);
    if (asksProxy) fields.push(["Proxy-Authorization", proxyAuthorization(settings)]);
    const authority = authorityOf(this);
    const host = bareHost((draft.header("host") ?? authority).replace(/:[0-9]*$/, "")).toLowerCase();
    this.#scope = { host, path: String(path).split("?", 1)[0], secure: this.ssl };
    const cookies = jar.header(this.cookies, this.#scope, Date.now());
    const composed = draft.compose(path, asksProxy ? `http://${authority}` : "", authority, fields, cookies);
    this.#headerOut = composed.head.slice(0, -4);
    const { write_func: call, body_decompression: decompress } = settings;
    const seconds = settings.read_timeout === 0 ? READ_TIMEOUT : Math.max(settings.read_timeout, 0);
    const onHead = (head: AnswerHead) => {
      this.#note(head, settings); // for the program's function to look at
      if (target !== undefined) return downloadSink(head, { ...target, asked }, decompress);
      return callbackSink(head, (piece) => call!(this, piece), decompress);
    };
    return {
      ...composed,
      timeout: delayOf(seconds),
      maxBodySize: settings.package_max_length,
      asksProxy,
      upgrade,
      onHead: upgrade === undefined && (target !== undefined || call !== null) ? onHead : undefined,
    };
  }

  /** Notes an answer, or why there is none. */
  async #take(outcome: Outcome, settings: ResolvedClientSettings): Promise<boolean> {
    const state = stateOf(this);
    this.#channel = this.#readable = this.#writable = undefined;
    this.bytes = NO_BODY;
    if (outcome instanceof ClientFailure) {
      this.statusCode = outcome.status;
      if (outcome instanceof RefusedUpgrade) this.#note(outcome.head, settings);
      if (outcome.status < 0) {
        this.headers = {};
        this.set_cookie_headers = [];
      }
      return state.fails(outcome.code, outcome.detail);
    }
    const { head, trailer, body, channel } = outcome;
    if (body !== undefined) this.#note(head, settings);
    if (trailer !== "") this.headers = listFields(head, trailer, settings.lowercase_header);
    if (body !== undefined) {
      const coding = settings.body_decompression ? head.header["content-encoding"] : undefined;
      const decoded = await decodeContent(coding, head.status, body, settings.package_max_length);
      if (decoded instanceof ClientFailure) return state.fails(decoded.code, decoded.detail);
      this.bytes = decoded;
    }
    this.#channel = channel;
    state.fails(0);
    return true;
  }

  #note(head: AnswerHead, settings: ResolvedClientSettings): void {
    this.statusCode = head.status;
    this.headers = listFields(head, "", settings.lowercase_header);
    this.set_cookie_headers = head.setCookie;
    if (head.setCookie.length === 0) return;
    this.cookies = CookieJar.bare(this.cookies); // the program may have made one
    for (const field of head.setCookie) stateOf(this).jar.store(field, this.#scope!, this.cookies, Date.now());
  }

  // ---- the WebSocket ------------------------------------------------------------------------------------------------

  /**
   * Receives the next message; waits for it. Behind `setDefer()`, waits for the answer to the last request instead.
   * Pings are answered and not returned, unless `open_websocket_ping_frame` is set;
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
  recv<Answer extends Received | true = Received>(timeout = 0): Promise<Answer> {
    const received = this.#deferred === undefined
      ? this.#channel?.recv(timeout) ?? Promise.resolve(this.#isNoWebSocket())
      : this.#recvAnswer(this.#deferred, timeout);
    return received as Promise<Answer>;
  }

  async #recvAnswer(outcome: Promise<Outcome>, timeout: number): Promise<boolean> {
    this.#deferred = undefined;
    if (timeout !== 0) this.#core.limit(delayOf(Math.max(timeout, 0)));
    return await this.#take(await outcome, resolveClientSettings(this.setting));
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
    const connected = this.#core.abort();
    this.#deferred = undefined;
    if (connected && this.#channel !== undefined) return this.#channel.close();
    if (connected) return this.#core.hangUp();
    if (this.#channel !== undefined) this.#channel.lastError = SWOOLE_ERROR_CLIENT_NO_CONNECTION;
    return stateOf(this).fails(SWOOLE_ERROR_CLIENT_NO_CONNECTION);
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
    const state = stateOf(this);
    if (this.connected) return state.fails(SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED, "there was no upgrade()");
    return state.fails(SWOOLE_ERROR_CLIENT_NO_CONNECTION);
  }
}
