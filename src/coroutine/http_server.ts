/**
 * `HttpServer` of the coroutine style.
 *
 * @module
 */

import type { Protocol } from "../connection.ts";
import { EBADF, EPIPE } from "../errors.ts";
import type { BytePipe } from "../runtime.ts";
import { checkHost, portNumber } from "../server/address.ts";
import { ServerCore, type Style } from "../server/core.ts";
import type { Exchange } from "../server/http/exchange.ts";
import type { HttpRequest } from "../server/http/http_request.ts";
import type { WaitingResponse } from "../server/http/http_response.ts";
import { ProgramHttpHost } from "../server/http_server.ts";
import { HttpSession } from "../server/http/http_session.ts";
import type { ServerSettings } from "../server/settings/settings.ts";
import type { IgnoredSettings } from "../server/settings/swoole_settings.ts";
import { ServerWebSocketHost } from "../server/websocket/websocket_host.ts";
import { describe } from "../setting_kinds.ts";
import { systemCode } from "../system_codes.ts";
import { encodeClose } from "../websocket/close_code.ts";
import { type ChannelHost, WebSocketChannel } from "./channel.ts";
import { HttpResponse, type UpgradePolicy } from "./response.ts";
import { Router } from "./router.ts";

/** Answers a request, or holds a WebSocket for as long as it is open. What it returns is awaited. */
export type RequestHandler = (request: HttpRequest, response: HttpResponse) => unknown;

/** Gets what a handler throws. */
export type ErrorHandler = (server: HttpServer, error: unknown, fd: number) => unknown;

/** A slow peer holds this much of our output before `push()` waits, and half of it when `push()` goes on. */
const DEFAULTS: ServerSettings = { buffer_high_watermark: 256 * 1024, buffer_low_watermark: 128 * 1024 };

/**
 * A server whose handlers run for as long as their connection does (Swoole pages "Coroutine\\Http\\Server" and "WebSocket
 * Server" of the coroutine style).
 *
 * @example Plain HTTP and a WebSocket on one port
 * ```ts
 * import { HttpServer } from "@sluice/server/coroutine";
 *
 * const server = new HttpServer("127.0.0.1", 0, false);
 * server.handle("/websocket", async (_request, ws) => {
 *   await ws.upgrade();
 *   for await (const frame of ws) await ws.push(`Hello ${frame.data}!`);
 * });
 * server.handle("/", (_request, response) => response.end("<h1>Hello</h1>"));
 * await server.start();
 * const page = await fetch(`http://127.0.0.1:${server.port}/`);
 * console.assert(await page.text() === "<h1>Hello</h1>");
 * server.shutdown();
 * await server.finished;
 * ```
 */
export class HttpServer {
  /** The address to bind; `unix:` and a path for a unix socket. */
  readonly host: string;
  /** The port; the real one once the server has started. */
  port: number;
  /** Whether it speaks TLS. */
  readonly ssl: boolean;
  /** Why `start()` has failed, as a number of the system; 0 if it has not, or if it failed for another reason. */
  errCode = 0;
  /** Why `start()` has failed, in words. */
  errMsg = "";

  readonly #reusePort: boolean;
  readonly #core: ServerCore;
  readonly #router: Router<RequestHandler> = new Router();

  /**
   * Makes a server; `start()` makes it listen.
   *
   * @param host The address to bind; `unix:` and a path for a unix socket.
   * @param port The port, a number or its digits; 0, the default, picks a free one, see `port` after `start()`.
   * @param ssl Whether to speak TLS, with the settings `ssl_cert_file` and `ssl_key_file`.
   * @param reusePort Whether other servers may listen on the same port (SO_REUSEPORT).
   * @throws {RangeError} If the port cannot be.
   * @throws {TypeError} If the host is no string, or empty, or the port is not a number, or `ssl` or `reusePort` not a boolean.
   */
  constructor(host: string, port: number | string = 0, ssl = false, reusePort = false) {
    checkHost(host, "make a server", "new HttpServer");
    this.host = host;
    this.port = portNumber(port, "make a server");
    for (const [name, value] of Object.entries({ ssl, reusePort })) {
      if (typeof value === "boolean") continue;
      const settings = typeof value === "object" ? "; settings go to set()" : "";
      throw new TypeError(`Cannot make a server: ${name} has to be a boolean, not ${describe(value)}${settings}`);
    }
    this.ssl = ssl;
    this.#reusePort = reusePort;
    const core = this.#core = new ServerCore(this);
    core.speak("http", () => coroutineStyle(core, this.#router));
  }

  /** The settings given to `set()` so far: a copy, which cannot be changed. */
  get settings(): Readonly<ServerSettings> {
    return Object.freeze({ ...this.#core.given });
  }

  /** Settles when the server has stopped after `shutdown()`, and its handlers have settled or were given up. Anew for each start. */
  get finished(): Promise<void> {
    return this.#core.finished;
  }

  /**
   * Sets settings, before `start()`. Later calls add to earlier ones.
   *
   * @returns `true`.
   * @throws {TypeError} For a key that is unknown, a value of the wrong type, or one of Swoole's settings that is not here.
   * @throws {RangeError} For a number out of range.
   * @throws {Error} When the server has started.
   */
  set(settings: ServerSettings & IgnoredSettings): boolean {
    this.#core.set(settings);
    return true;
  }

  /**
   * Registers the handler of a path and all below it. The longest pattern that fits wins, in any letter case; `/` takes what is
   * left. Without a handler the answer is 404. Also possible while the server runs.
   *
   * @param pattern The path: `/chat` takes `/chat` and `/chat/room`, not `/chatter`. Percent escapes of a request are decoded.
   * @param handler Answers. When it throws, that connection gets 500, or close code 1011; when it returns without an answer, 500.
   * @returns `true`.
   * @throws {TypeError} If the pattern is no path or the handler no function.
   */
  handle(pattern: string, handler: RequestHandler): boolean {
    if (typeof handler !== "function") throw new TypeError(`Cannot add a handler for ${pattern}: it is no function`);
    this.#router.add(pattern, handler);
    return true;
  }

  /**
   * Registers who is told what a handler throws; without it, it is logged.
   *
   * @param event `error`.
   * @returns `true`.
   * @throws {TypeError} For another event, or a handler that is no function.
   */
  on(event: "error", handler: ErrorHandler): boolean {
    this.#core.register(event, handler);
    return true;
  }

  /**
   * Starts to listen.
   *
   * @returns `true`, once connections are accepted; `port` is the real port then.
   * @throws {Error} If the address cannot be bound or the certificate cannot be used; `cause` is the runtime's error. `errCode` and
   * `errMsg` tell of it too.
   */
  async start(): Promise<boolean> {
    const unix = this.host.startsWith("unix:");
    try {
      this.port = await this.#core.start({
        transport: unix ? "unix" : "tcp",
        hostname: unix ? this.host.replace(/^unix:(?:\/\/)?/, "") : this.host,
        port: this.port,
        ssl: this.ssl,
        reusePort: this.#reusePort,
      });
    } catch (error) {
      this.errCode = systemCode(error) ?? 0;
      this.errMsg = (error as Error).message;
      throw error;
    }
    this.errCode = 0;
    this.errMsg = "";
    return true;
  }

  /**
   * Serves a connection that did not come through the listener: any pair of streams. Needs no `start()`.
   *
   * @returns Its fd, or 0 when there are too many connections or the server is stopping; the pipe is dropped then.
   * @throws {Error} If the compression engine that is asked for is not there; `zlib` is after `start()`.
   */
  accept(pipe: BytePipe): number {
    return this.#core.accept(pipe);
  }

  /**
   * Stops the server: no more connections are accepted, idle ones are ended, responses that are being made are finished. Open
   * WebSockets go on until they end by themselves, as in Swoole. `finished` settles when the last one has, and all handlers.
   *
   * @param timeout After this many seconds WebSockets that are left are closed with 1001; after `websocket_close_timeout` more, all
   * that is left is cut off. `max_wait_time` unless given; `Infinity` for never. While the server stops, another call can shorten
   * that time.
   * @returns `false` when the server is not running, or stops as soon as that anyway.
   * @throws {RangeError} For what is no number of seconds.
   */
  shutdown(timeout: number = this.#core.patience): boolean {
    return this.#core.shutdown(timeout + this.#core.settings.websocket_close_timeout, timeout);
  }
}

/** How a coroutine server treats its connections: HTTP first, a channel after `upgrade()`. */
function coroutineStyle(core: ServerCore, router: Router<RequestHandler>): Style {
  let host: CoroutineHost | undefined;
  return {
    events: ["error"],
    required: [],
    defaults: DEFAULTS,
    makeProtocol: (connection) => new HttpSession(connection, host ??= new CoroutineHost(core, router)),
    closeEvent: () => "",
    dismiss: ({ protocol }, patient) => {
      if (protocol instanceof HttpSession) protocol.dismiss();
      else if (!patient) (protocol as WebSocketChannel).startClose(encodeClose(1001, "")!);
    },
  };
}

/** Hands requests, handshakes or not, to the handler of their path. */
class CoroutineHost extends ProgramHttpHost {
  override readonly takesUpgrades = true;
  readonly #core: ServerCore;
  readonly #router: Router<RequestHandler>;
  readonly #policy: UpgradePolicy;
  readonly #channels: ChannelHost;

  constructor(core: ServerCore, router: Router<RequestHandler>) {
    super(core);
    const { settings } = this.#core = core;
    this.#router = router;
    this.#policy = {
      origins: settings.websocket_origins,
      subprotocols: settings.websocket_subprotocol,
      compression: core.compression,
    };
    this.#channels = new ServerChannelHost(core);
  }

  override makeResponse(exchange: Exchange, request: HttpRequest): HttpResponse {
    return new HttpResponse(exchange, request, this.#policy);
  }

  override onRequest(request: HttpRequest, answer: WaitingResponse): void | Promise<void> {
    const core = this.#core;
    const response = answer as HttpResponse;
    core.requestCount++;
    const handler = this.#router.find(String(request.server.path_info));
    if (handler === undefined) {
      response.status(404);
      response.end();
      return;
    }
    const done = core.run(core.connection(request.fd), () => handler(request, response), response);
    if (done === undefined) return response.leave();
    return done.then(() => response.leave());
  }

  override onUpgrade(_session: HttpSession, request: HttpRequest, response: WaitingResponse): void | Promise<void> {
    return this.onRequest(request, response);
  }

  override onSwitch({ connection, compression }: HttpSession): Protocol {
    return new WebSocketChannel(connection, this.#channels, compression);
  }
}

/** What the channels of one server share. */
class ServerChannelHost extends ServerWebSocketHost implements ChannelHost {
  readonly answersClose: boolean;
  readonly readTimeout: number;
  readonly writeTimeout: number;
  readonly pushLimit: number;
  readonly closedError: number = EBADF;
  readonly goneError: number = EPIPE;

  constructor(core: ServerCore) {
    const { settings } = core;
    super(core, { deliverClose: true, answerClose: false });
    this.answersClose = !settings.open_websocket_close_frame;
    this.readTimeout = settings.socket_read_timeout * 1000;
    this.writeTimeout = settings.socket_write_timeout * 1000;
    this.pushLimit = settings.socket_buffer_size;
  }
}
