/**
 * `HttpServer`.
 *
 * @module
 */

import type { Protocol } from "../connection.ts";
import { bodyCompression } from "./http/body_compression.ts";
import { EVENT_NAMES, type HttpServerEvents, type ObjectEvents, type Spellings } from "./events.ts";
import { formOptions } from "./settings/http_settings.ts";
import type { Exchange } from "./http/exchange.ts";
import type { HttpHost } from "./http/http_host.ts";
import type { HttpRequest } from "./http/http_request.ts";
import { HttpResponse, type WaitingResponse } from "./http/http_response.ts";
import { HttpSession } from "./http/http_session.ts";
import { logError } from "./log.ts";
import type { PortCore, Style } from "./port_core.ts";
import { coreOf, Server } from "./server.ts";
import { refuse } from "./http/refusal.ts";
import { StaticFiles } from "./files/static_files.ts";

/**
 * An HTTP server (Swoole page "Http\Server").
 *
 * @example
 * ```ts
 * import { HttpServer } from "@sluice/server";
 *
 * const server = new HttpServer("127.0.0.1", 0);
 * server.on("request", (request, response) => response.end(`You asked for ${request.server.request_uri}`));
 * await server.start();
 * const answer = await fetch(`http://127.0.0.1:${server.port}/hello`);
 * console.assert(await answer.text() === "You asked for /hello");
 * server.shutdown();
 * await server.finished;
 * ```
 */
export class HttpServer extends Server {
  /**
   * Makes a server; `start()` makes it listen. The arguments are those of `Server`.
   *
   * @param host The address to bind; the path for `SWOOLE_SOCK_UNIX_STREAM`.
   * @param port The port, a number or its digits; 0 picks a free one, see `port` after `start()`.
   * @param mode `SWOOLE_BASE` or `SWOOLE_PROCESS`.
   * @param sockType A `SWOOLE_SOCK_*` number, with `SWOOLE_SSL` added for TLS.
   */
  constructor(host?: string, port?: number | string, mode?: number, sockType?: number) {
    super(host, port, mode, sockType);
    coreOf(this).speak("http", httpStyle);
  }

  /**
   * Registers the handler of an event; a later one replaces it.
   *
   * @param event The name, in any letter case.
   * @param handler The handler; its arguments depend on the event.
   * @returns `true`.
   * @throws {TypeError} For a name that is no event, or a handler that is no function.
   */
  override on<Name extends keyof Spellings<HttpServerEvents<this>>>(
    event: Name,
    handler: Spellings<HttpServerEvents<this>>[Name],
  ): boolean;
  /** The same, with the setting `event_object`. */
  override on<Name extends keyof Spellings<Omit<ObjectEvents<this>, "disconnect">>>(
    event: Name,
    handler: Spellings<Omit<ObjectEvents<this>, "disconnect">>[Name],
  ): boolean;
  override on(event: string, handler: unknown): boolean {
    return super.on(event as never, handler as never);
  }
}

/** So much of a path is logged. */
const MAX_LOGGED = 200;

/** How an `HttpServer` treats its connections. */
function httpStyle(core: PortCore): Style {
  let host: HttpHost | undefined;
  return {
    events: EVENT_NAMES.http,
    required: ["request"],
    makeProtocol: (connection) => new HttpSession(connection, host ??= new ProgramHttpHost(core)),
    closeEvent: () => "close",
    dismiss: (connection) => (connection.protocol as HttpSession).dismiss(),
  };
}

/** Hands requests to the program's `request` handler. */
export class ProgramHttpHost implements HttpHost {
  readonly requestLimits: HttpHost["requestLimits"];
  readonly requestOptions: HttpHost["requestOptions"];
  readonly forms: HttpHost["forms"];
  readonly streamsBodies: boolean;
  readonly bodyCompression: HttpHost["bodyCompression"];
  readonly headerTimeout: number;
  readonly bodyTimeout: number;
  readonly bodyMinRate: number;
  readonly handlerTimeout: number;
  readonly handshakeTimeout: number;
  readonly keepAliveTimeout: number;
  readonly sendTimeout: number;
  readonly allowsHalfOpen: boolean;
  readonly takesUpgrades: boolean = false;
  readonly #files: StaticFiles | undefined;
  readonly #core: PortCore;
  #date = "";
  #dateTick = -1; // of the clock

  constructor(core: PortCore) {
    const { settings } = this.#core = core;
    this.forms = formOptions(settings);
    this.requestLimits = {
      maxHeadSize: settings.http_max_header_size,
      maxHeaders: settings.http_max_headers,
      maxBodySize: settings.http_stream_body ? settings.http_stream_body_max_length || Infinity : settings.package_max_length,
      maxFormSize: this.forms?.maxSize,
    };
    this.requestOptions = {
      parsePost: settings.http_parse_post,
      parseCookie: settings.http_parse_cookie,
      maxParameters: settings.http_max_parameters,
      maxBodySize: settings.package_max_length,
    };
    this.streamsBodies = settings.http_stream_body;
    this.bodyCompression = bodyCompression(settings);
    if (settings.enable_static_handler && settings.document_root !== "") {
      this.#files = new StaticFiles(settings, (error) => core.fault(error)); // of no connection: it gets its response
    }
    this.headerTimeout = settings.http_header_timeout * 1000;
    this.bodyTimeout = settings.http_body_timeout * 1000;
    this.bodyMinRate = settings.http_body_min_rate;
    this.handlerTimeout = settings.http_handler_timeout * 1000;
    this.handshakeTimeout = settings.websocket_handshake_timeout * 1000;
    this.allowsHalfOpen = settings.http_allow_half_open;
    this.keepAliveTimeout = settings.http_keepalive_timeout * 1000;
    this.sendTimeout = settings.http_send_timeout * 1000;
  }

  get now(): number {
    return this.#core.now;
  }

  /** RFC 9110 section 6.6.1; made once for each tick of the clock. */
  get date(): string {
    const { now } = this.#core;
    if (now !== this.#dateTick) {
      this.#dateTick = now;
      this.#date = new Date().toUTCString();
    }
    return this.#date;
  }

  makeResponse(exchange: Exchange, _request: HttpRequest): WaitingResponse {
    return new HttpResponse(exchange);
  }

  onRequest(request: HttpRequest, response: WaitingResponse): void | Promise<void> {
    const core = this.#core;
    const { requests } = core.main;
    if (requests === undefined) return this.#handle(request, response);
    const entered = requests.enter(() => core.connection(request.fd) !== undefined, () => this.#handle(request, response));
    if (entered === false) refuse(response, { status: 503, reason: "too many requests at a time" });
    else return entered;
  }

  #handle(request: HttpRequest, response: WaitingResponse): void | Promise<void> {
    const core = this.#core;
    core.requestCount++;
    return core.run(core.connection(request.fd), () => core.handler("request")!(request, response), response);
  }

  get isSecure(): boolean {
    return this.#core.place?.ssl === true;
  }

  serveFile(request: HttpRequest, response: WaitingResponse): Promise<boolean> | undefined {
    if (this.#files === undefined || !this.#files.takes(request)) return undefined;
    return this.#files.serve(request, response).catch((error) => {
      this.#core.main.fault(error, this.#core.main.connection(request.fd), response);
      return true;
    });
  }

  onUpgrade(_session: HttpSession, _request: HttpRequest, _response: WaitingResponse): void | Promise<void> {}

  onSwitch(_session: HttpSession): Protocol {
    throw new Error("Cannot switch protocols: this server speaks HTTP only");
  }

  onAnswered(): void {
    this.#core.responseCount++;
  }

  warn({ fd, request }: Exchange, what: string): void {
    const { settings, runtime } = this.#core.main;
    const path = JSON.stringify(request.pathAndQuery.slice(0, MAX_LOGGED)); // a peer chose it
    logError(`${request.getMethod()} ${path}: ${what}`, fd, settings, runtime, Date.now());
  }

  hasRoom(queued: number, size: number): boolean {
    return this.#core.hasRoom(queued, "", size);
  }

  setError(code: number): void {
    this.#core.failed(code);
  }
}
