/**
 * What an `HttpServer` and a `WebSocketServer` speak: HTTP, whose requests go to the `request` handler, and for the latter
 * WebSockets after the handshake.
 *
 * @module
 */

import { EVENT_NAMES } from "./configuration.ts";
import type { PortCore, ProtocolFactory } from "./port_core.ts";
import { type HttpApplication, HttpContext } from "./http/http_context.ts";
import { HttpSession } from "./http/http_session.ts";
import { authenticate } from "./http/authentication.ts";
import { RefusedSession, refuseExchange } from "./http/error_response.ts";
import type { BaseResponse } from "../http/base_response.ts";
import { SWOOLE_ERROR_HTTP_CONTEXT_UNAVAILABLE } from "../errors.ts";
import type { Exchange } from "./http/exchange.ts";
import { HttpResponse } from "./http/http_response.ts";
import type { Protocol } from "../transport/connection.ts";
import { WEBSOCKET_STATUS_HANDSHAKE } from "../constants.ts";
import { encodeClose } from "../websocket/close_code.ts";
import { answerFields } from "../websocket/handshake.ts";
import { MessageDispatcher, MessageDispatcherContext } from "./websocket/message_dispatcher.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";

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
    close: (connection) => (connection.protocol as HttpSession).close(),
  };
}

/** Passes requests to the `request` handler. */
class RequestApplication implements HttpApplication {
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
    const entered = requestQueue.enter(() => exchange.isOpen, () => this.#handle(exchange));
    if (entered === false) refuseExchange(exchange, { status: 503, reason: "too many requests at a time" });
    else return entered;
  }

  #handle(exchange: Exchange): void | Promise<void> {
    const { connection, request, response } = exchange;
    const { config, context } = this.#port;
    context.counters.requests++;
    return context.run(connection, "request", () => config.handler("request")!(request, response), exchange);
  }

  onMisuse(_exchange: Exchange): void {
    this.#port.context.failed(SWOOLE_ERROR_HTTP_CONTEXT_UNAVAILABLE);
  }
}

/** The page for plain HTTP without a `request` handler (Swoole page "WebSocket\Server", onRequest). */
const BAD_REQUEST_PAGE = "<html><body><h2>HTTP 400 Bad Request</h2><hr><i>Powered by Sluice</i></body></html>";

/** Creates the protocol factory of a server, or of one of its ports. */
export function webSocketFactory(port: PortCore, server: unknown): ProtocolFactory {
  return {
    ...beginWithHttp(port, () => new WebSocketApplication(port, server)),
    events: EVENT_NAMES.websocket,
    required: ["message"],
    closeEvent: ({ protocol }) =>
      !(protocol instanceof WebSocketSession) && port.config.handler("disconnect") !== undefined ? "disconnect" : "close",
    close: ({ protocol }) => {
      if (protocol instanceof WebSocketSession) protocol.startClose(encodeClose(1001, "")!);
      else (protocol as HttpSession).close();
    },
  };
}

/** Responds to handshakes, and passes other requests to the `request` handler, if there is one. */
class WebSocketApplication implements HttpApplication {
  readonly #requests: RequestApplication;
  readonly #port: PortCore;
  readonly #server: unknown;
  readonly #messages: MessageDispatcherContext;
  readonly #makeDispatcher: (session: WebSocketSession) => MessageDispatcher;

  constructor(port: PortCore, server: unknown) {
    this.#requests = new RequestApplication(port);
    this.#port = port;
    this.#server = server;
    const messages = this.#messages = new MessageDispatcherContext(port, server);
    this.#makeDispatcher = (session) => new MessageDispatcher(session, messages);
  }

  makeResponse(exchange: Exchange): BaseResponse {
    return this.#requests.makeResponse(exchange);
  }

  onMisuse(exchange: Exchange): void {
    this.#requests.onMisuse(exchange);
  }

  onRequest(exchange: Exchange): void | Promise<void> {
    if (this.#port.config.handler("request") !== undefined) return this.#requests.onRequest(exchange);
    const { connection, context, head, writer } = exchange;
    context.onRefused(connection, "request", { status: 400, reason: "there is no handler for plain HTTP" }, head);
    writer.status(400);
    writer.header("Connection", "close");
    writer.header("Content-Type", "text/html; charset=UTF-8");
    writer.header("Cache-Control", "must-revalidate,no-cache,no-store");
    writer.end(BAD_REQUEST_PAGE);
  }

  onUpgrade(exchange: Exchange): void | Promise<void> {
    const handler = this.#port.config.handler("authenticate");
    if (handler === undefined) return this.#shakeHands(exchange, false);
    return authenticate(exchange, this.#port, handler, () => this.#shakeHands(exchange, true));
  }

  /** @param isChecked Whether the handshake was checked. */
  #shakeHands(exchange: Exchange, isChecked: boolean): void | Promise<void> {
    const { config, context } = this.#port;
    const { connection, head, request } = exchange;
    const own = config.handler("handshake");
    if (own !== undefined) {
      exchange.session.status = WEBSOCKET_STATUS_HANDSHAKE;
      return context.run(connection, "handshake", () => own(request, exchange.response));
    }
    const refusal = isChecked ? undefined : this.#port.checkHandshake(head, exchange.forwarded);
    if (refusal !== undefined) return refuseExchange(exchange, refusal);
    const before = config.handler("beforehandshakeresponse");
    const done = before &&
      context.run(connection, "beforehandshakeresponse", () => before(request, exchange.response, this.#server));
    if (done === undefined) return this.#open(exchange);
    return done.then(() => connection.gather(() => this.#open(exchange)));
  }

  /** Accepts a handshake (RFC 6455 section 4.2.2), unless `beforeHandshakeResponse` has refused it. */
  #open(exchange: Exchange): void {
    const { connection, head, request } = exchange;
    if (!exchange.isWritable) return;
    const port = this.#port;
    const agreed = port.compression?.accept(head.header["sec-websocket-extensions"]);
    exchange.compression = agreed?.compression;
    exchange.switchProtocols(answerFields(head.header, port.settings.websocket_subprotocol, agreed?.answer));
    port.emitFor(connection, "open", request);
  }

  /**
   * Negotiates compression for a `handshake` handler. Extensions set by the handler take effect only if the server would have
   * chosen the same.
   */
  beforeSwitch(exchange: Exchange): void {
    const { compression, config } = this.#port;
    if (compression === undefined || config.handler("handshake") === undefined) return;
    const { head, writer } = exchange;
    const agreed = compression.accept(head.header["sec-websocket-extensions"]);
    if (agreed === undefined) return;
    const own = writer.fieldValue("sec-websocket-extensions");
    if (own === undefined) writer.header("Sec-WebSocket-Extensions", agreed.answer);
    else if (parametersOf(own) !== parametersOf(agreed.answer)) return;
    exchange.compression = agreed.compression;
  }

  onSwitch({ connection, compression, head }: Exchange): Protocol {
    const messages = this.#messages;
    const path = messages.paths.find(head.target);
    const session = new WebSocketSession(connection, messages, this.#makeDispatcher, compression, path);
    this.#port.context.established(session);
    return session;
  }
}

/** Returns an extension with its parameters in a canonical order. */
function parametersOf(extension: string): string {
  return extension.toLowerCase().split(";").map((part) => part.trim()).sort().join(";");
}
