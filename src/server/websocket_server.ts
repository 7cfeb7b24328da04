/**
 * `WebSocketServer`: the event style.
 *
 * @module
 */

import {
  SWOOLE_WEBSOCKET_CLOSE_NORMAL,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_CLOSE,
  WEBSOCKET_OPCODE_PING,
  WEBSOCKET_OPCODE_TEXT,
} from "../constants.ts";
import {
  SWOOLE_ERROR_SESSION_CLOSING,
  SWOOLE_ERROR_SESSION_NOT_EXIST,
  SWOOLE_ERROR_WEBSOCKET_PACK_FAILED,
  SWOOLE_ERROR_WEBSOCKET_UNCONNECTED,
} from "../errors.ts";
import { encodeClose, isSendableCloseCode } from "../websocket/close_code.ts";
import type { CloseFrame, Frame } from "../websocket/frame.ts";
import { checkHandshake, type HandshakeRefusal, isUpgrade } from "../websocket/handshake.ts";
import { PreparedMessage } from "../websocket/prepared_message.ts";
import { packFrame, readOutgoing, unpackFrame } from "../websocket/pack.ts";
import type { ServerCore } from "./core.ts";
import type { ObjectEvents, Spellings, WebSocketServerEvents } from "./events.ts";
import { HttpServer } from "./http_server.ts";
import type { HttpRequest } from "./http/http_request.ts";
import { HttpSession } from "./http/http_session.ts";
import type { ClientInfo } from "./info.ts";
import { portOf } from "./port_core.ts";
import { coreOf } from "./server.ts";
import { WebSocketSession } from "./websocket/websocket_session.ts";
import { webSocketStyle } from "./websocket/websocket_style.ts";

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
  readonly #core: ServerCore;

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
    this.#core = coreOf(this);
    this.#core.speak("websocket", (core) => webSocketStyle(core, this));
  }

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
  ): boolean;
  /** The same, with the setting `event_object`. */
  override on<Name extends keyof Spellings<ObjectEvents<this>>>(
    event: Name,
    handler: Spellings<ObjectEvents<this>>[Name],
  ): boolean;
  override on(event: string, handler: unknown): boolean {
    return super.on(event as never, handler as never);
  }

  /**
   * Sends a message, or any frame, to one client.
   *
   * @param fd The connection.
   * @param data A text, bytes (which may be changed as soon as this returns), or a `Frame` or `PreparedMessage`, for which the
   * other arguments are ignored. A frame that was received is forwarded as it is.
   * @param opcode The frame type, text unless given. With `WEBSOCKET_OPCODE_CLOSE` a text is the reason for code 1000.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`; FIN unless given. `false` or 0 begins or continues a fragmented message.
   * @returns `true` when it was sent or queued. `false` with 1005 for an unknown fd, 8503 when it is no WebSocket, 1003 when it
   * is closing, 8505 when such a frame may not be sent, 1009 when the queue is full (`socket_buffer_size`).
   * @throws {TypeError} If `data` is none of these.
   */
  push(
    fd: number,
    data: string | Uint8Array | Frame | PreparedMessage,
    opcode: number = WEBSOCKET_OPCODE_TEXT,
    flags: number | boolean = SWOOLE_WEBSOCKET_FLAG_FIN,
  ): boolean {
    const session = this.#session(fd);
    if (session === undefined) return false;
    const frame = readOutgoing(data, opcode, flags);
    if (frame === undefined) return this.#core.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    const core = this.#core;
    const isClose = frame.opcode === WEBSOCKET_OPCODE_CLOSE;
    if (!isClose && !portOf(session.connection).hasRoom(session.queuedBytes, frame.payload, frame.end - frame.start)) {
      return false;
    }
    if (!session.send(frame)) return core.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED); // fragments of two messages would be mixed up
    core.responseCount++;
    return true;
  }

  /**
   * Prepares a message that is sent to many: `push()` takes it as often as you like, and it is framed and compressed once.
   *
   * @param data A text, bytes, or a `Frame`, for which the other arguments are ignored. It is copied.
   * @param opcode The frame type: text for a string, binary for bytes, unless given.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`; FIN unless given. With COMPRESS it is compressed where that was agreed.
   * @throws {TypeError} If `data` is none of these.
   * @throws {RangeError} If it is no whole text or binary message.
   */
  prepare(data: string | Uint8Array | Frame, opcode?: number, flags?: number): PreparedMessage {
    return new PreparedMessage(data, opcode, flags);
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
    if (payload === undefined) return this.#core.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    return session.startClose(payload);
  }

  /**
   * Ends a connection, without a Close frame. What is queued is still sent.
   *
   * @param fd The connection.
   * @param reset Drop it at once instead, with what is queued.
   * @returns `false` with 1005 for an unknown fd.
   */
  override close(fd: number, reset = false): boolean {
    const protocol = this.#core.connection(fd)?.protocol;
    if (reset || !(protocol instanceof WebSocketSession)) return super.close(fd, reset);
    protocol.hangUp();
    return true;
  }

  /** Tells whether a connection is an open WebSocket, so that `push()` reaches it. `exist()` is true for any connection. */
  isEstablished(fd: number): boolean {
    const protocol = this.#core.connection(fd)?.protocol;
    return protocol instanceof WebSocketSession && protocol.protocol.isOpen;
  }

  /** What is known of a connection, with its `websocket_status`; `false` with 1005 for an unknown fd. */
  override getClientInfo(fd: number): ClientInfo | false {
    const info = super.getClientInfo(fd);
    if (info === false) return false;
    const { protocol } = this.#core.connectionOrLeaving(fd)!;
    if (protocol instanceof HttpSession) info.websocket_status = protocol.status;
    else if (protocol instanceof WebSocketSession) {
      info.websocket_status = protocol.status;
      info.recv_queued_bytes = protocol.heldBytes;
    }
    return info;
  }

  /**
   * Checks a handshake as the server does where there is no `handshake` handler (RFC 6455 section 4.2.1): method, version, the
   * headers, the key, and with the setting `websocket_origins` the page that it comes from.
   *
   * @param request What a `handshake` handler gets.
   * @returns `undefined` when it is right, otherwise a status and a reason to refuse it with.
   *
   * @example A `handshake` handler that lets in neither pages of other origins nor clients without a token
   * ```ts
   * import { WebSocketServer } from "@sluice/server";
   *
   * const server = new WebSocketServer("127.0.0.1", 0);
   * server.on("message", (server, frame) => server.push(frame.fd, frame));
   * server.on("handshake", async (request, response) => {
   *   const refusal = server.checkHandshake(request);
   *   if (refusal !== undefined || request.get.token !== "secret") {
   *     response.status(refusal?.status ?? 401);
   *     return response.end(refusal?.reason);
   *   }
   *   response.header("Upgrade", "websocket");
   *   response.header("Connection", "Upgrade");
   *   const key = request.header["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
   *   const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(key));
   *   response.header("Sec-WebSocket-Accept", btoa(String.fromCharCode(...new Uint8Array(digest))));
   *   response.status(101);
   *   response.end();
   * });
   * ```
   */
  checkHandshake(request: HttpRequest): HandshakeRefusal | undefined {
    const connection = this.#core.connection(request.fd);
    const { settings } = connection === undefined ? this.#core : portOf(connection);
    const { version, header } = request;
    if (!isUpgrade({ method: request.getMethod(), version, header })) {
      return { status: 400, reason: "this is a WebSocket: the request has no Upgrade header" };
    }
    return checkHandshake({ method: request.getMethod(), version, header }, settings.websocket_origins);
  }

  /**
   * Packs a payload or a frame into octets, to be sent with `send()` or kept.
   *
   * @param data A text, octets, or a `Frame`, for which the other arguments are ignored.
   * @param opcode The frame type, text unless given.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`. MASK masks with a random key, as a client has to; COMPRESS compresses a whole
   * message, for a peer with which permessage-deflate was agreed (RFC 7692).
   * @returns The octets.
   * @throws {RangeError} For an opcode, a length or a close code that may not be sent: see `push()`.
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
  ): Uint8Array {
    return packFrame(data, opcode, flags);
  }

  /**
   * Unpacks one frame.
   *
   * @param bytes The octets; what follows the frame is ignored. A whole message that is compressed is inflated.
   * @param maxLength The largest message that is inflated, in octets; 2 MiB unless given.
   * @returns A `Frame`, a `CloseFrame` for opcode 8, or `false` when the octets are no whole frame, when what is compressed is
   * corrupt, or when it is too large.
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
  static unpack(bytes: Uint8Array, maxLength?: number): Frame | CloseFrame | false {
    return unpackFrame(bytes, maxLength);
  }

  /** The session of an open WebSocket; notes why there is none. */
  #session(fd: number): WebSocketSession | undefined {
    const connection = this.#core.connection(fd);
    const protocol = connection?.protocol;
    if (protocol instanceof WebSocketSession) {
      if (protocol.protocol.canSend) return protocol;
      this.#core.failed(SWOOLE_ERROR_SESSION_CLOSING);
    } else {
      this.#core.failed(connection === undefined ? SWOOLE_ERROR_SESSION_NOT_EXIST : SWOOLE_ERROR_WEBSOCKET_UNCONNECTED);
    }
    return undefined;
  }
}
