/**
 * `HttpServer`.
 *
 * @module
 */

import type { Connection, Protocol } from "../connection.ts";
import type { HttpRequest } from "../http/request.ts";
import type { HttpResponse } from "../http/response.ts";
import { EVENT_NAMES, type HttpServerEvents, type Spellings } from "./events.ts";
import { type HttpHost, HttpSession } from "./http_session.ts";
import { Server } from "./server.ts";

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
  #host: HttpHost | undefined = undefined;
  #date = "";
  #dateSecond = 0;

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
  ): boolean {
    return this.register(EVENT_NAMES.http, event, handler);
  }

  /** @internal */
  protected override requiredEvents(): readonly string[] {
    return ["request"];
  }

  /** @internal */
  protected override makeProtocol(connection: Connection): Protocol {
    return new HttpSession(connection, this.#host ??= this.makeHttpHost());
  }

  /** What the HTTP sessions of this server share. @internal */
  protected makeHttpHost(): HttpHost {
    const { settings } = this;
    // deno-lint-ignore no-this-alias
    const server = this;
    return {
      requestLimits: {
        maxHeadSize: settings.http_max_header_size,
        maxHeaders: settings.http_max_headers,
        maxBodySize: settings.package_max_length,
      },
      requestTimeout: settings.http_request_timeout * 1000,
      keepAliveTimeout: settings.http_keepalive_timeout * 1000,
      get now() {
        return server.now;
      },
      get date() {
        return server.#dateNow();
      },
      takesUpgrades: false,
      onRequest: (request, response) => this.onRequest(request, response),
      onUpgrade: () => {},
      onSwitch: () => {
        throw new Error("An HttpServer does not switch protocols");
      },
      setError: (code) => void this.failed(code),
    };
  }

  /** Hands a request to the program. @internal */
  protected onRequest(request: HttpRequest, response: HttpResponse): void | Promise<void> {
    this.requestCount++;
    const handler = this.getCallback("request") as (request: HttpRequest, response: HttpResponse) => unknown;
    return this.run(this.connection(request.fd), () => handler(request, response));
  }

  /** @internal */
  protected override dismiss(connection: Connection): void {
    const { protocol } = connection;
    if (protocol instanceof HttpSession) protocol.dismiss();
    else super.dismiss(connection);
  }

  /** The value for `Date` (RFC 9110 section 6.6.1), made once a second. */
  #dateNow(): string {
    const second = Math.floor(this.now / 1000);
    if (second !== this.#dateSecond) {
      this.#dateSecond = second;
      this.#date = new Date(second * 1000).toUTCString();
    }
    return this.#date;
  }
}
