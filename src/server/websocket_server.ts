/**
 * `WebSocketServer`: the event style.
 *
 * @module
 */

import type { Connection, Protocol } from "../connection.ts";
import {
  SWOOLE_WEBSOCKET_CLOSE_NORMAL,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_CLOSE,
  WEBSOCKET_OPCODE_PING,
  WEBSOCKET_OPCODE_TEXT,
  WEBSOCKET_STATUS_ACTIVE,
  WEBSOCKET_STATUS_CLOSING,
  WEBSOCKET_STATUS_HANDSHAKE,
} from "../constants.ts";
import {
  SWOOLE_ERROR_SESSION_CLOSING,
  SWOOLE_ERROR_SESSION_NOT_EXIST,
  SWOOLE_ERROR_WEBSOCKET_PACK_FAILED,
  SWOOLE_ERROR_WEBSOCKET_UNCONNECTED,
} from "../errors.ts";
import type { HttpRequest } from "../http/request.ts";
import type { HttpResponse } from "../http/response.ts";
import { encodeClose, isSendableCloseCode } from "../websocket/close_code.ts";
import type { CloseFrame, Frame } from "../websocket/frame.ts";
import { acceptFor, checkHandshake, chooseSubprotocol } from "../websocket/handshake.ts";
import { packFrame, readOutgoing, unpackFrame } from "../websocket/pack.ts";
import { EVENT_NAMES, type Spellings, type WebSocketServerEvents } from "./events.ts";
import { HttpServer } from "./http_server.ts";
import { type HttpHost, HttpSession, refuse } from "./http_session.ts";
import type { ClientInfo } from "./info.ts";
import { goingAway, type WebSocketHost, WebSocketSession } from "./websocket_session.ts";

type MessageHandler = (server: unknown, frame: Frame | CloseFrame) => unknown;

/** The page for plain HTTP where nothing answers it (Swoole page "WebSocket\Server", onRequest). */
const BAD_REQUEST_PAGE = "<html><body><h2>HTTP 400 Bad Request</h2><hr><i>Powered by Sluice</i></body></html>";

/**
 * A WebSocket server in the event style, with HTTP beside it on the same port (Swoole page "WebSocket\Server").
 *
 * @example
 * ```ts
 * import { WebSocketServer } from "@sluice/server";
 *
 * const server = new WebSocketServer("127.0.0.1", 0);
 * server.on("open", (server, request) => server.push(request.fd, "hello"));
 * server.on("message", (server, frame) => server.push(frame.fd, `you said ${frame.data}`));
 * server.on("close", (_server, fd) => console.log(`client ${fd} closed`));
 * await server.start();
 * console.log(`ws://127.0.0.1:${server.port}/`);
 * server.shutdown();
 * await server.finished;
 * ```
 */
export class WebSocketServer extends HttpServer {
  #webSocketHost: WebSocketHost | undefined = undefined;
  #onMessage: MessageHandler | undefined = undefined;

  /**
   * Registers the handler of an event; a later one replaces it.
   *
   * @param event The name, in any letter case.
   * @param handler The handler; its arguments depend on the event.
   * @returns `true`.
   * @throws {TypeError} For a name that is no event, or a handler that is no function.
   */
  override on<Name extends keyof Spellings<WebSocketServerEvents<this>>>(
    event: Name,
    handler: Spellings<WebSocketServerEvents<this>>[Name],
  ): boolean {
    this.register(EVENT_NAMES.websocket, event, handler);
    this.#onMessage = this.getCallback("message") as MessageHandler | null ?? undefined;
    return true;
  }

  /**
   * Sends a message, or any frame, to one client.
   *
   * @param fd The connection.
   * @param data A text, octets (which nobody changes afterwards), or a `Frame`, for which the other arguments are ignored. A
   * frame that was received is forwarded as it is.
   * @param opcode The frame type, text unless given. With `WEBSOCKET_OPCODE_CLOSE` a text is the reason for code 1000.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`; FIN unless given. `false` or 0 begins or continues a fragmented message.
   * @returns `true` when it was sent or queued. `false` with 1005 for an unknown fd, 8503 when it is no WebSocket, 1003 when it
   * is closing, 8505 when such a frame may not be sent, 1009 when the queue is full (`socket_buffer_size`).
   * @throws {TypeError} If `data` is none of these.
   */
  push(
    fd: number,
    data: string | Uint8Array | Frame,
    opcode: number = WEBSOCKET_OPCODE_TEXT,
    flags: number | boolean = SWOOLE_WEBSOCKET_FLAG_FIN,
  ): boolean {
    const session = this.#session(fd);
    if (session === undefined) return false;
    const frame = readOutgoing(data, opcode, flags);
    if (frame === undefined) return this.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    return this.#send(fd, session, frame.opcode, frame.payload, frame.fin);
  }

  #send(fd: number, session: WebSocketSession, opcode: number, payload: string | Uint8Array, fin: boolean): boolean {
    if (opcode === WEBSOCKET_OPCODE_CLOSE) return session.close(payload as Uint8Array);
    if (!this.hasRoom(this.connection(fd)!, payload.length)) return false;
    const sent = opcode > WEBSOCKET_OPCODE_CLOSE
      ? session.protocol.sendControl(opcode, payload as Uint8Array)
      : session.protocol.sendData(opcode, payload, fin);
    if (!sent) return this.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED); // fragments of two messages would be mixed up
    this.responseCount++;
    return true;
  }

  /**
   * Sends a Ping.
   *
   * @param fd The connection.
   * @param data At most 125 octets.
   * @returns As `push()`.
   */
  ping(fd: number, data: string | Uint8Array = ""): boolean {
    return this.push(fd, data, WEBSOCKET_OPCODE_PING);
  }

  /**
   * Closes a WebSocket properly: sends a Close frame, waits for the client's up to `websocket_close_timeout`, then ends the
   * connection. `close` is called at that point.
   *
   * @param fd The connection.
   * @param code The close code: 1000-1003, 1007-1014 or 3000-4999.
   * @param reason The reason, at most 123 octets of UTF-8.
   * @returns `true` when the frame was sent. `false` with 1005, 8503 or 1003 as `push()`, 8505 for a code or a reason that
   * may not be sent.
   */
  disconnect(fd: number, code: number = SWOOLE_WEBSOCKET_CLOSE_NORMAL, reason = ""): boolean {
    const session = this.#session(fd);
    if (session === undefined) return false;
    const payload = isSendableCloseCode(code) ? encodeClose(code, reason) : undefined;
    if (payload === undefined) return this.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    return session.close(payload);
  }

  /** Tells whether a connection is an open WebSocket, so that `push()` reaches it. `exist()` is true for any connection. */
  isEstablished(fd: number): boolean {
    const protocol = this.connection(fd)?.protocol;
    return protocol instanceof WebSocketSession && protocol.protocol.isOpen;
  }

  /** @inheritdoc */
  override getClientInfo(fd: number): ClientInfo | false {
    const info = super.getClientInfo(fd);
    if (info === false) return false;
    const { protocol } = this.connection(fd)!;
    if (protocol instanceof HttpSession) info.websocket_status = protocol.status;
    else if (protocol instanceof WebSocketSession) {
      info.websocket_status = protocol.protocol.isOpen ? WEBSOCKET_STATUS_ACTIVE : WEBSOCKET_STATUS_CLOSING;
      info.recv_queued_bytes = protocol.protocol.heldBytes;
    }
    return info;
  }

  /**
   * Packs a payload or a frame into octets, to be sent with `send()` or kept.
   *
   * @param data A text, octets, or a `Frame`, for which the other arguments are ignored.
   * @param opcode The frame type, text unless given.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`. MASK masks with a random key, as a client has to.
   * @returns The octets, or `false` for what may not be sent: see `push()`.
   *
   * @example
   * ```ts
   * import { WebSocketServer } from "@sluice/server";
   * import { assertEquals } from "@std/assert";
   *
   * assertEquals(WebSocketServer.pack("hi"), new Uint8Array([0x81, 0x02, 0x68, 0x69]));
   * ```
   */
  static pack(
    data: string | Uint8Array | Frame,
    opcode: number = WEBSOCKET_OPCODE_TEXT,
    flags: number | boolean = SWOOLE_WEBSOCKET_FLAG_FIN,
  ): Uint8Array | false {
    return packFrame(data, opcode, flags);
  }

  /**
   * Unpacks one frame.
   *
   * @param bytes The octets; what follows the frame is ignored.
   * @returns A `Frame`, a `CloseFrame` for opcode 8, or `false` when the octets are no whole frame.
   *
   * @example
   * ```ts
   * import { CloseFrame, WebSocketServer } from "@sluice/server";
   * import { assert, assertEquals } from "@std/assert";
   *
   * const frame = WebSocketServer.unpack(new Uint8Array([0x88, 0x02, 0x03, 0xe8]));
   * assert(frame instanceof CloseFrame);
   * assertEquals(frame.code, 1000);
   * ```
   */
  static unpack(bytes: Uint8Array): Frame | CloseFrame | false {
    return unpackFrame(bytes);
  }

  /** The session of an open WebSocket; notes why there is none. */
  #session(fd: number): WebSocketSession | undefined {
    const connection = this.connection(fd);
    const protocol = connection?.protocol;
    if (protocol instanceof WebSocketSession) {
      if (protocol.protocol.isOpen) return protocol;
      this.failed(SWOOLE_ERROR_SESSION_CLOSING);
    } else {
      this.failed(connection === undefined ? SWOOLE_ERROR_SESSION_NOT_EXIST : SWOOLE_ERROR_WEBSOCKET_UNCONNECTED);
    }
    return undefined;
  }

  // ---- for the machinery --------------------------------------------------------------------------------------------

  /** @internal */
  protected override requiredEvents(): readonly string[] {
    return ["message"];
  }

  /** @internal */
  protected override makeHttpHost(): HttpHost {
    return Object.defineProperties(super.makeHttpHost(), {
      takesUpgrades: { value: true },
      onUpgrade: {
        value: (session: HttpSession, request: HttpRequest, response: HttpResponse) =>
          this.#onUpgrade(session, request, response),
      },
      onSwitch: { value: (session: HttpSession): Protocol => this.#onSwitch(session.connection) },
    });
  }

  /** @internal */
  protected override onRequest(request: HttpRequest, response: HttpResponse): void | Promise<void> {
    if (this.getCallback("request") !== null) return super.onRequest(request, response);
    response.status(400);
    response.header("Connection", "close");
    response.header("Content-Type", "text/html; charset=UTF-8");
    response.header("Cache-Control", "must-revalidate,no-cache,no-store");
    response.end(BAD_REQUEST_PAGE);
  }

  #onUpgrade(session: HttpSession, request: HttpRequest, response: HttpResponse): void | Promise<void> {
    const { connection } = session;
    const own = this.getCallback("handshake") as ((request: HttpRequest, response: HttpResponse) => unknown) | null;
    if (own !== null) {
      session.status = WEBSOCKET_STATUS_HANDSHAKE;
      return this.run(connection, () => own(request, response));
    }
    const refusal = checkHandshake(
      { method: request.getMethod(), version: request.version, header: request.header },
      this.settings.websocket_origins,
    );
    if (refusal !== undefined) {
      if (refusal.status === 426) {
        response.header("Upgrade", "websocket"); // RFC 9110 section 15.5.22
        response.header("Sec-WebSocket-Version", "13"); // RFC 6455 section 4.4
      }
      return refuse(response, refusal.status, refusal.reason);
    }
    response.header("Upgrade", "websocket");
    response.header("Connection", "Upgrade");
    response.header("Sec-WebSocket-Accept", acceptFor(request.header["sec-websocket-key"]));
    response.header("Sec-WebSocket-Version", "13");
    const spoken = this.settings.websocket_subprotocol;
    const subprotocol = chooseSubprotocol(
      request.header["sec-websocket-protocol"],
      typeof spoken === "string" ? [spoken] : spoken,
    );
    if (subprotocol !== undefined) response.header("Sec-WebSocket-Protocol", subprotocol);
    response.status(101);

    const before = this.getCallback("beforehandshakeresponse");
    if (before === null) return this.#open(connection, request, response);
    const done = this.run(connection, () => before(...[request, response, this] as never[]));
    if (done === undefined) return this.#open(connection, request, response);
    return done.then(() => connection.gather(() => this.#open(connection, request, response)));
  }

  #open(connection: Connection, request: HttpRequest, response: HttpResponse): void {
    if (!response.isWritable()) return; // beforeHandshakeResponse has refused
    response.status(101);
    response.end();
    this.emitFor(connection, "open", this, request);
  }

  #onSwitch(connection: Connection): Protocol {
    return new WebSocketSession(connection, this.#webSocketHost ??= this.#makeWebSocketHost());
  }

  #makeWebSocketHost(): WebSocketHost {
    const { settings } = this;
    // deno-lint-ignore no-this-alias
    const server = this;
    return {
      protocolOptions: {
        masked: true,
        maxLength: settings.package_max_length,
        deliverPing: settings.open_websocket_ping_frame,
        deliverPong: settings.open_websocket_pong_frame,
        deliverClose: settings.open_websocket_close_frame,
      },
      closeTimeout: settings.websocket_close_timeout * 1000,
      pingInterval: settings.websocket_ping_interval * 1000,
      pingTimeout: settings.websocket_ping_timeout * 1000,
      get now() {
        return server.now;
      },
      idleDeadline: (connection) => this.idleDeadline(connection),
      onMessage: (connection, frame) => this.#deliver(connection, frame),
    };
  }

  /** Messages of one connection start their handlers in order, without waiting for the last one to end. */
  #deliver(connection: Connection, frame: Frame | CloseFrame): void {
    this.requestCount++;
    try {
      const result = this.#onMessage!(this, frame) as { then?: unknown } | undefined;
      if (typeof result === "object" && result !== null && typeof result.then === "function") {
        (result as Promise<unknown>).then(undefined, (error) => this.fault(error, connection));
      }
    } catch (error) {
      this.fault(error, connection);
    }
  }

  /** @internal */
  protected override onClosed(connection: Connection, byServer: boolean): void {
    const wasWebSocket = connection.protocol instanceof WebSocketSession;
    const event = !wasWebSocket && this.getCallback("disconnect") !== null ? "disconnect" : "close";
    this.emitFor(connection, event, this, connection.fd, byServer ? -1 : 0);
  }

  /** @internal */
  protected override dismiss(connection: Connection): void {
    const { protocol } = connection;
    if (!(protocol instanceof WebSocketSession)) super.dismiss(connection);
    else if (protocol.protocol.isOpen) protocol.close(goingAway());
  }
}
