/**
 * What an `HttpServer` speaks: HTTP, whose requests go to the `request` handler.
 *
 * @module
 */

import { EVENT_NAMES } from "../configuration.ts";
import type { PortCore, ProtocolFactory } from "../port_core.ts";
import { type HttpApplication, HttpContext } from "./http_context.ts";
import { HttpSession } from "./http_session.ts";
import { RefusedSession, refuseExchange } from "./error_response.ts";
import type { BaseResponse } from "../../http/base_response.ts";
import { SWOOLE_ERROR_HTTP_CONTEXT_UNAVAILABLE } from "../../errors.ts";
import type { Exchange } from "./exchange.ts";
import { HttpResponse } from "./http_response.ts";

/**
 * Returns the part of a protocol factory in which all servers that speak HTTP agree: connections begin with HTTP.
 *
 * @param makeApplication Called when the first connection arrives, because the settings are final from then on.
 */
export function beginWithHttp(
  port: PortCore,
  makeApplication: () => HttpApplication,
): Pick<ProtocolFactory, "makeProtocol" | "refuse"> {
  let context: HttpContext | undefined;
  const theContext = () => context ??= new HttpContext(port, makeApplication());
  return {
    makeProtocol: (connection) => new HttpSession(connection, theContext()),
    refuse: (connection, denial) => new RefusedSession(connection, theContext(), denial),
  };
}

/** Returns the protocol factory of an `HttpServer`. */
export function httpFactory(port: PortCore): ProtocolFactory {
  return {
    ...beginWithHttp(port, () => new RequestApplication(port)),
    events: EVENT_NAMES.http,
    portEvents: EVENT_NAMES.websocket, // for ports with `open_websocket_protocol`
    required: ["request"],
    closeEvent: () => "close",
    dismiss: (connection) => (connection.protocol as HttpSession).dismiss(),
  };
}

/** Passes requests to the `request` handler. */
export class RequestApplication implements HttpApplication {
  readonly #port: PortCore;

  constructor(port: PortCore) {
    this.#port = port;
  }

  makeResponse(exchange: Exchange): BaseResponse {
    return new HttpResponse(exchange);
  }

  onRequest(exchange: Exchange): void | Promise<void> {
    const { requestQueue } = this.#port.context;
    if (requestQueue === undefined) return this.#handle(exchange);
    const entered = requestQueue.enter(() => exchange.connection.isOpen, () => this.#handle(exchange));
    if (entered === false) refuseExchange(exchange, { status: 503, reason: "too many requests at a time" });
    else return entered;
  }

  #handle(exchange: Exchange): void | Promise<void> {
    const { connection, request, response } = exchange;
    const { config, context } = this.#port;
    context.counters.requests++;
    return context.run(connection, () => config.handler("request")!(request, response), exchange);
  }

  onMisuse(_exchange: Exchange): void {
    this.#port.context.failed(SWOOLE_ERROR_HTTP_CONTEXT_UNAVAILABLE);
  }
}
