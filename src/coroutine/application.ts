/**
 * What an `HttpServer` of the coroutine style does with requests: it calls the handler of their path.
 *
 * @module
 */

import type { Protocol } from "../transport/connection.ts";
import type { ConnectionData } from "../transport/connection_end.ts";
import { EBADF, EPIPE, SWOOLE_ERROR_HTTP_CONTEXT_UNAVAILABLE } from "../errors.ts";
import { EVENT_NAMES } from "../server/configuration.ts";
import type { Exchange } from "../server/http/exchange.ts";
import type { HttpRequest } from "../server/http/http_request.ts";
import { authenticate } from "../server/http/authentication.ts";
import type { HttpApplication } from "../server/http/http_context.ts";
import { HttpSession } from "../server/http/http_session.ts";
import { beginWithHttp } from "../server/protocols.ts";
import type { PortCore, ProtocolFactory } from "../server/port_core.ts";
import type { ServerTopics } from "../server/server_topics.ts";
import type { ServerContext } from "../server/server_context.ts";
import type { ServerSettings } from "../server/settings/settings.ts";
import { ServerWebSocketContext } from "../server/websocket/websocket_context.ts";
import { encodeClose } from "../websocket/close_code.ts";
import { type ChannelContext, WebSocketChannel } from "../websocket/connection/channel.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import { fail, HttpResponse, leave, type UpgradePolicy } from "./http_response.ts";
import type { Router } from "./router.ts";

/** A function that answers a request, or serves a WebSocket while it is open. A returned promise is awaited. */
export type RequestHandler<Data extends ConnectionData = ConnectionData> = (
  request: HttpRequest<Data>,
  response: HttpResponse<Data>,
) => unknown;

/** `push()` waits once a slow peer holds this much unsent output, and continues at half of it. */
const DEFAULTS: ServerSettings = { buffer_high_watermark: 256 * 1024, buffer_low_watermark: 128 * 1024 };

/** Returns the protocol factory of a coroutine server: HTTP first, a channel after `upgrade()`. */
export function coroutineFactory(port: PortCore, router: Router<RequestHandler>, topics: ServerTopics): ProtocolFactory {
  return {
    ...beginWithHttp(port, () => new CoroutineApplication(port, router, topics)),
    events: EVENT_NAMES.coroutine,
    required: [],
    defaults: DEFAULTS,
    closeEvent: () => "",
    close: ({ protocol }, patient) => {
      if (protocol instanceof HttpSession) protocol.close();
      else if (!patient) (protocol as WebSocketSession).startClose(encodeClose(1001, "")!);
    },
  };
}

/** Passes requests, including handshakes, to the handler of their path. */
class CoroutineApplication implements HttpApplication {
  readonly #port: PortCore;
  readonly #context: ServerContext;
  readonly #router: Router<RequestHandler>;
  readonly #policy: UpgradePolicy;
  readonly #channels: ServerChannelContext;
  readonly #makeChannel: (session: WebSocketSession) => WebSocketChannel;

  constructor(port: PortCore, router: Router<RequestHandler>, topics: ServerTopics) {
    const { settings } = port;
    this.#port = port;
    this.#context = port.context;
    this.#router = router;
    this.#policy = {
      checkHandshake: (request, forwarded) => port.checkHandshake(request, forwarded),
      subprotocols: settings.websocket_subprotocol,
      compression: port.compression,
      topics,
    };
    const channels = this.#channels = new ServerChannelContext(port);
    this.#makeChannel = (session) => new WebSocketChannel(session, channels);
  }

  makeResponse(exchange: Exchange): HttpResponse {
    return new HttpResponse(exchange, this.#policy);
  }

  onRequest(exchange: Exchange): void | Promise<void> {
    const { connection, request, response, writer } = exchange;
    const context = this.#context;
    context.counters.requests++;
    const handler = this.#handlerOf(exchange);
    if (handler === undefined) {
      writer.status(404);
      writer.end();
      return;
    }
    const done = context.run(
      connection,
      exchange.isUpgrade ? "websocket" : "request",
      () => handler(request, response as HttpResponse),
      exchange,
    );
    if (done === undefined) return leave(response as HttpResponse);
    return done.then(() => connection.gather(() => leave(response as HttpResponse)));
  }

  onUpgrade(exchange: Exchange): void | Promise<void> {
    const port = this.#port;
    const handler = port.config.handler("authenticate");
    if (handler === undefined || this.#handlerOf(exchange) === undefined) return this.onRequest(exchange);
    return authenticate(exchange, port, handler, () => this.onRequest(exchange));
  }

  #handlerOf({ request }: Exchange): RequestHandler | undefined {
    return this.#router.find(request.server.path_info);
  }

  onSwitch({ connection, compression, head }: Exchange): Protocol {
    const channels = this.#channels;
    const path = channels.paths.find(head.target);
    const session = new WebSocketSession(connection, channels, this.#makeChannel, compression, path);
    this.#context.established(session);
    return session;
  }

  /** Sets the error of the response, or of the WebSocket that it has become. */
  onMisuse(exchange: Exchange): void {
    fail(exchange.response as HttpResponse, SWOOLE_ERROR_HTTP_CONTEXT_UNAVAILABLE);
  }
}

/** Settings shared by the channels of one server. */
class ServerChannelContext extends ServerWebSocketContext implements ChannelContext {
  readonly answersClose: boolean;
  readonly readTimeout: number;
  readonly writeTimeout: number;
  readonly closedError: number = EBADF;
  readonly goneError: number = EPIPE;

  constructor(port: PortCore) {
    const { settings } = port;
    super(port, { deliverClose: true, answerClose: false });
    this.answersClose = !settings.open_websocket_close_frame;
    this.readTimeout = settings.socket_read_timeout * 1000;
    this.writeTimeout = settings.socket_write_timeout * 1000;
  }
}
