/**
 * How a `WebSocketServer` treats its connections: HTTP first, a WebSocket after the handshake.
 *
 * @module
 */

import type { Protocol } from "../../connection.ts";
import { WEBSOCKET_STATUS_HANDSHAKE } from "../../constants.ts";
import { encodeClose } from "../../websocket/close_code.ts";
import { answerFields, checkHandshake } from "../../websocket/handshake.ts";
import { EVENT_NAMES } from "../events.ts";
import type { Exchange } from "../http/exchange.ts";
import type { HttpRequest } from "../http/http_request.ts";
import type { HttpResponse, WaitingResponse } from "../http/http_response.ts";
import { ProgramHttpHost } from "../http_server.ts";
import { HttpSession } from "../http/http_session.ts";
import type { PortCore, Style } from "../port_core.ts";
import { refuse } from "../http/refusal.ts";
import { HandledWebSocket, HandlerHost } from "./handled_websocket.ts";
import { HandshakeResponse } from "./handshake_response.ts";
import { WebSocketSession } from "./websocket_session.ts";

/** The page for plain HTTP where nothing answers it (Swoole page "WebSocket\Server", onRequest). */
const BAD_REQUEST_PAGE = "<html><body><h2>HTTP 400 Bad Request</h2><hr><i>Powered by Sluice</i></body></html>";

/** Makes the style of a server, or of one of its ports. */
export function webSocketStyle(core: PortCore, server: unknown): Style {
  let host: HandshakeHost | undefined;
  return {
    events: EVENT_NAMES.websocket,
    required: ["message"],
    makeProtocol: (connection) => new HttpSession(connection, host ??= new HandshakeHost(core, server)),
    closeEvent: ({ protocol }) =>
      !(protocol instanceof WebSocketSession) && core.handler("disconnect") !== undefined ? "disconnect" : "close",
    dismiss: ({ protocol }) => {
      if (protocol instanceof WebSocketSession) protocol.startClose(encodeClose(1001, "")!);
      else (protocol as HttpSession).dismiss();
    },
  };
}

/** Answers handshakes; other requests as an `HttpServer` does. */
class HandshakeHost extends ProgramHttpHost {
  override readonly takesUpgrades = true;
  readonly #core: PortCore;
  readonly #server: unknown;
  readonly #frames: HandlerHost;

  constructor(core: PortCore, server: unknown) {
    super(core);
    this.#core = core;
    this.#server = server;
    this.#frames = new HandlerHost(core, server);
  }

  override makeResponse(exchange: Exchange, request: HttpRequest): WaitingResponse {
    const { compression } = this.#core;
    const isOwn = exchange.isUpgrade && compression !== undefined && this.#core.handler("handshake") !== undefined;
    return isOwn ? new HandshakeResponse(exchange, compression) : super.makeResponse(exchange, request);
  }

  override onRequest(request: HttpRequest, response: HttpResponse): void | Promise<void> {
    if (this.#core.handler("request") !== undefined) return super.onRequest(request, response);
    response.status(400);
    response.header("Connection", "close");
    response.header("Content-Type", "text/html; charset=UTF-8");
    response.header("Cache-Control", "must-revalidate,no-cache,no-store");
    response.end(BAD_REQUEST_PAGE);
  }

  override onUpgrade(session: HttpSession, request: HttpRequest, response: HttpResponse): void | Promise<void> {
    const core = this.#core;
    const { connection } = session;
    const own = core.handler("handshake");
    if (own !== undefined) {
      session.status = WEBSOCKET_STATUS_HANDSHAKE;
      return core.run(connection, () => own(request, response));
    }
    const refusal = checkHandshake(
      { method: request.getMethod(), version: request.version, header: request.header },
      core.settings.websocket_origins,
    );
    if (refusal !== undefined) return refuse(response, refusal);
    const before = core.handler("beforehandshakeresponse");
    const done = before && core.run(connection, () => before(request, response, this.#server));
    if (done === undefined) return this.#open(session, request, response);
    return done.then(() => connection.gather(() => this.#open(session, request, response)));
  }

  /** Accepts a handshake (RFC 6455 section 4.2.2), unless `beforeHandshakeResponse` has refused it. */
  #open(session: HttpSession, request: HttpRequest, response: HttpResponse): void {
    if (!response.isWritable()) return;
    const core = this.#core;
    const agreed = core.compression?.accept(request.header["sec-websocket-extensions"]);
    session.compression = agreed?.compression;
    response.switchProtocols(answerFields(request.header, core.settings.websocket_subprotocol, agreed?.answer));
    core.emitFor(session.connection, "open", request);
  }

  override onSwitch({ connection, compression }: HttpSession): Protocol {
    return new HandledWebSocket(connection, this.#frames, compression);
  }
}
