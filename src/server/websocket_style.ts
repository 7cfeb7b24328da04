/**
 * How a `WebSocketServer` treats its connections: HTTP first, a WebSocket after the handshake.
 *
 * @module
 */

import type { Connection, Protocol } from "../connection.ts";
import { WEBSOCKET_STATUS_HANDSHAKE } from "../constants.ts";
import type { HttpRequest } from "../http/request.ts";
import type { HttpResponse } from "../http/response.ts";
import { encodeClose } from "../websocket/close_code.ts";
import type { CloseFrame, Frame } from "../websocket/frame.ts";
import { acceptFor, checkHandshake, chooseSubprotocol } from "../websocket/handshake.ts";
import type { ProtocolOptions } from "../websocket/protocol.ts";
import { isPromise, type ServerCore, type Style } from "./core.ts";
import { EVENT_NAMES } from "./events.ts";
import { ProgramHttpHost } from "./http_server.ts";
import { HttpSession, refuse } from "./http_session.ts";
import { type WebSocketHost, WebSocketSession } from "./websocket_session.ts";

/** The page for plain HTTP where nothing answers it (Swoole page "WebSocket\Server", onRequest). */
const BAD_REQUEST_PAGE = "<html><body><h2>HTTP 400 Bad Request</h2><hr><i>Powered by Sluice</i></body></html>";

/** Makes the style of a server. */
export function webSocketStyle(core: ServerCore, server: unknown): Style {
  let host: HandshakeHost | undefined;
  return {
    events: EVENT_NAMES.websocket,
    required: ["message"],
    makeProtocol: (connection) => new HttpSession(connection, host ??= new HandshakeHost(core, server)),
    closeEvent: ({ protocol }) =>
      !(protocol instanceof WebSocketSession) && core.handler("disconnect") !== undefined ? "disconnect" : "close",
    dismiss: ({ protocol }) => {
      if (protocol instanceof WebSocketSession) protocol.close(encodeClose(1001, "")!);
      else (protocol as HttpSession).dismiss();
    },
  };
}

/** Answers handshakes; other requests as an `HttpServer` does. */
class HandshakeHost extends ProgramHttpHost {
  override readonly takesUpgrades = true;
  readonly #core: ServerCore;
  readonly #server: unknown;
  readonly #frames: WebSocketHost;

  constructor(core: ServerCore, server: unknown) {
    super(core);
    this.#core = core;
    this.#server = server;
    this.#frames = new ProgramWebSocketHost(core, server);
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
    if (refusal !== undefined) {
      if (refusal.status === 426) {
        response.header("Upgrade", "websocket"); // RFC 9110 section 15.5.22
        response.header("Sec-WebSocket-Version", "13"); // RFC 6455 section 4.4
      }
      return refuse(response, refusal.status, refusal.reason);
    }
    const before = core.handler("beforehandshakeresponse");
    const done = before && core.run(connection, () => before(request, response, this.#server));
    if (done === undefined) return this.#open(connection, request, response);
    return done.then(() => connection.gather(() => this.#open(connection, request, response)));
  }

  /** Accepts a handshake (RFC 6455 section 4.2.2), unless `beforeHandshakeResponse` has refused it. */
  #open(connection: Connection, request: HttpRequest, response: HttpResponse): void {
    if (!response.isWritable()) return;
    const headers: [string, string][] = [
      ["Upgrade", "websocket"],
      ["Connection", "Upgrade"],
      ["Sec-WebSocket-Accept", acceptFor(request.header["sec-websocket-key"])],
      ["Sec-WebSocket-Version", "13"],
    ];
    const spoken = this.#core.settings.websocket_subprotocol;
    const offered = request.header["sec-websocket-protocol"];
    const subprotocol = chooseSubprotocol(offered, typeof spoken === "string" ? [spoken] : spoken);
    if (subprotocol !== undefined) headers.push(["Sec-WebSocket-Protocol", subprotocol]);
    response.switchProtocols(headers);
    this.#core.emitFor(connection, "open", request);
  }

  override onSwitch({ connection }: HttpSession): Protocol {
    return new WebSocketSession(connection, this.#frames);
  }
}

/** Hands frames to the program's `message` handler. */
class ProgramWebSocketHost implements WebSocketHost {
  readonly protocolOptions: ProtocolOptions;
  readonly closeTimeout: number;
  readonly pingInterval: number;
  readonly pingTimeout: number;
  readonly #core: ServerCore;
  readonly #server: unknown;

  constructor(core: ServerCore, server: unknown) {
    const { settings } = this.#core = core;
    this.#server = server;
    this.protocolOptions = {
      masked: true,
      maxLength: settings.package_max_length,
      deliverPing: settings.open_websocket_ping_frame,
      deliverPong: settings.open_websocket_pong_frame,
      deliverClose: settings.open_websocket_close_frame,
    };
    this.closeTimeout = settings.websocket_close_timeout * 1000;
    this.pingInterval = settings.websocket_ping_interval * 1000;
    this.pingTimeout = settings.websocket_ping_timeout * 1000;
  }

  get now(): number {
    return this.#core.now;
  }

  idleDeadline(connection: Connection): number {
    return this.#core.idleDeadline(connection);
  }

  /** Messages of one connection start their handlers in order, without waiting for the last one to end. */
  onMessage(connection: Connection, frame: Frame | CloseFrame): void {
    const core = this.#core;
    core.requestCount++;
    try {
      const result = core.handler("message")!(this.#server, frame);
      if (isPromise(result)) result.then(undefined, (error) => core.fault(error, connection));
    } catch (error) {
      core.fault(error, connection);
    }
  }
}
