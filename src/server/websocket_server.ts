/**
 * `WebSocketServer`: the WebSocket server of the event style.
 *
 * @module
 */

import {
  SWOOLE_WEBSOCKET_CLOSE_NORMAL,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_CLOSE,
  WEBSOCKET_OPCODE_PING,
  WEBSOCKET_OPCODE_TEXT,
  WEBSOCKET_STATUS_ACTIVE,
} from "../constants.ts";
import {
  SWOOLE_ERROR_SESSION_CLOSING,
  SWOOLE_ERROR_SESSION_NOT_EXIST,
  SWOOLE_ERROR_WEBSOCKET_PACK_FAILED,
  SWOOLE_ERROR_WEBSOCKET_UNCONNECTED,
} from "../errors.ts";
import type { ConnectionData } from "../transport/connection_end.ts";
import { encodeClose, isSendableCloseCode } from "../websocket/close_code.ts";
import { type CloseFrame, Frame } from "../websocket/frame.ts";
import type { HandshakeRefusal } from "../websocket/handshake.ts";
import { forwardedOf } from "../http/base_request.ts";
import { isUpgrade } from "../http/request_parser.ts";
import { PreparedMessage, type Pushable, readPushed } from "../websocket/prepared_message.ts";
import type { EventHandler, EventName, ObjectEventHandler, WebSocketServerEvents, WebSocketServerHandlers } from "./events.ts";
import type { PublishOptions } from "../topics/publication.ts";
import { HttpServer } from "./http_server.ts";
import { HttpRequest } from "./http/http_request.ts";
import { HttpSession } from "./http/http_session.ts";
import type { ClientInfo } from "./connection_list.ts";
import { portOf } from "./port_core.ts";
import { coreOf } from "./server_connections.ts";
import type { ServerContext } from "./server_context.ts";
import {
  type AppendOptions,
  type AppendResult,
  type MembersOptions,
  ServerTopics,
  type SubscribeOptions,
  type SubscribeResult,
  type TopicMembersPage,
} from "./server_topics.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import { webSocketFactory } from "./protocols.ts";

/**
 * A WebSocket server in the event style, which also serves HTTP on the same port (Swoole page "WebSocket\Server"). `Data` is the
 * type of `data(fd)` and `request.data`.
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
export class WebSocketServer<Data extends ConnectionData = ConnectionData> extends HttpServer<Data> {
  readonly #context: ServerContext;
  readonly #topics: ServerTopics;

  /**
   * Creates a server; `start()` makes it listen. The arguments are those of `Server`.
   *
   * @param host The address to bind; the path for `SWOOLE_SOCK_UNIX_STREAM`.
   * @param port The port, as a number or as digits; 0 picks a free one, see `port` after `start()`.
   * @param mode `SWOOLE_BASE` or `SWOOLE_PROCESS`.
   * @param sockType A `SWOOLE_SOCK_*` number, combined with `SWOOLE_SSL` for TLS.
   */
  constructor(host?: string, port?: number | string, mode?: number, sockType?: number) {
    super(host, port, mode, sockType);
    const core = coreOf(this);
    this.#context = core.context;
    this.#topics = new ServerTopics(core.context);
    core.speak("websocket", (port) => webSocketFactory(port, this));
  }

  /**
   * Registers the handler of an event, replacing an earlier one.
   *
   * @param event The name, in any letter case.
   * @param handler The handler; its arguments depend on the event, and on the setting `event_object`.
   * @returns `true`.
   * @throws {TypeError} If the event does not exist, or the handler is not a function.
   */
  override on<Name extends string, Given = never>(
    event: EventName<WebSocketServerEvents<this, Data>, Name>,
    handler: EventHandler<WebSocketServerHandlers<this, Data>, Name> | ObjectEventHandler<Name, Given>,
  ): boolean {
    return super.on(event as never, handler as never);
  }

  /**
   * Sends a message, or any frame, to one client.
   *
   * @param fd The connection.
   * @param data A text, a number, which is sent as text, bytes (which may be changed as soon as this returns), or a `Frame` or
   * `PreparedMessage`, for which the other arguments are ignored. A received frame is forwarded as it is.
   * @param opcode The frame type. Default: binary for bytes, otherwise text. With `WEBSOCKET_OPCODE_CLOSE` a text is the reason
   * for code 1000.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`. Default: FIN. `false` or 0 begins or continues a fragmented message.
   * @returns `true` if the message was sent or queued. `false` with 1005 for an unknown fd, 8503 if it is not a WebSocket, 1003
   * if it is closing, 8505 if such a frame is not allowed, for example text that is not UTF-8, 1009 if the send queue is full
   * (`socket_buffer_size`).
   * @throws {TypeError} If `data` has another type.
   */
  push(
    fd: number,
    data: string | number | Uint8Array | Frame | PreparedMessage,
    opcode?: number,
    flags: number | boolean = SWOOLE_WEBSOCKET_FLAG_FIN,
  ): boolean {
    const session = this.#session(fd);
    if (session === undefined) return this.#context.peers !== undefined && this.#pushElsewhere(fd, data, opcode, flags);
    if (isPlainText(data, opcode, flags)) return this.#pushText(session, data);
    const frame = readPushed(data, opcode, flags);
    if (frame === undefined) return this.#context.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    const isClose = frame.opcode === WEBSOCKET_OPCODE_CLOSE;
    if (!isClose && !portOf(session.connection).hasRoom(session.queuedBytes, frame.payload, frame.end - frame.start)) {
      return false;
    }
    if (!session.send(frame)) return this.#context.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED); // would mix the fragments of two messages
    this.#context.counters.sent[frame.opcode]++;
    return true;
  }

  /** Sends a whole text message: the most frequent push, without an object for it. */
  #pushText(session: WebSocketSession, text: string): boolean {
    if (!portOf(session.connection).hasRoom(session.queuedBytes, text, text.length)) return false;
    if (!session.sendText(text)) return this.#context.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    this.#context.counters.sent[WEBSOCKET_OPCODE_TEXT]++;
    return true;
  }

  /** See `push()`, for the connection of another process. */
  #pushElsewhere(fd: number, data: Pushable, opcode: number | undefined, flags: number | boolean): boolean {
    const context = this.#context;
    if (context.connection(fd) !== undefined) return false; // it is one of this process, and cannot be pushed to
    const peers = context.peers!;
    const isText = isPlainText(data, opcode, flags);
    let code = isText ? peers.pushText(Number(fd), data) : peers.codeOf(Number(fd));
    if (!isText && code === 0) {
      const frame = readPushed(data, opcode, flags);
      code = frame === undefined ? SWOOLE_ERROR_WEBSOCKET_PACK_FAILED : peers.push(Number(fd), frame);
    }
    return code === 0 || context.failed(code);
  }

  /**
   * Prepares a message for many clients: it is framed and compressed once, and may be passed to `push()` any number of times.
   *
   * @param data A text, a number, bytes, or a `Frame`, for which the other arguments are ignored. It is copied.
   * @param opcode The frame type. Default: text for a string, binary for bytes.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`. Default: FIN. With COMPRESS the message is compressed for clients that
   * negotiated compression.
   * @throws {TypeError} If `data` has another type.
   * @throws {RangeError} If it is not a complete text or binary message, or a text that is not UTF-8.
   */
  prepare(data: string | number | Uint8Array | Frame, opcode?: number, flags?: number): PreparedMessage {
    return new PreparedMessage(data, opcode, flags);
  }

  /**
   * Sends a Ping.
   *
   * @param fd The connection.
   * @param data At most 125 bytes.
   * @returns The same as `push()`.
   */
  ping(fd: number, data: string | number | Uint8Array = ""): boolean {
    return this.push(fd, data, WEBSOCKET_OPCODE_PING);
  }

  /**
   * Closes a WebSocket properly: sends a Close frame, waits for the client's for at most `websocket_close_timeout`, then ends the
   * connection and calls `close`.
   *
   * @param fd The connection.
   * @param code The close code: 1000-1003, 1007-1014 or 3000-4999.
   * @param reason The reason, at most 123 bytes of UTF-8.
   * @returns `true` if the frame was sent. `false` with 1005, 8503 or 1003 like `push()`, 8505 if the code or the reason is not
   * allowed.
   */
  disconnect(fd: number, code: number = SWOOLE_WEBSOCKET_CLOSE_NORMAL, reason = ""): boolean {
    const session = this.#session(fd);
    const { peers } = this.#context;
    const isElsewhere = session === undefined && peers !== undefined && this.#context.connection(fd) === undefined;
    if (session === undefined && !isElsewhere) return false;
    const known = isElsewhere ? peers.codeOf(Number(fd)) : 0;
    if (known !== 0) return this.#context.failed(known);
    const payload = isSendableCloseCode(code) ? encodeClose(code, reason) : undefined;
    if (payload === undefined) return this.#context.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    if (session !== undefined) return session.startClose(payload);
    const frame = { opcode: WEBSOCKET_OPCODE_CLOSE, flags: SWOOLE_WEBSOCKET_FLAG_FIN, payload, start: 0, end: payload.length };
    return this.#context.remotely(fd, (peers, fd) => peers.push(fd, frame));
  }

  // ---- topics -------------------------------------------------------------------------------------------------------

  /**
   * Subscribes a WebSocket to a topic: from now on it is sent what is published to it, until it unsubscribes or ends. During its
   * handshake too: then from `open` on. All ports share their topics.
   *
   * @param fd The connection.
   * @param topic Any text of 1 to 255 bytes (UTF-8). A topic exists while it has subscribers.
   * @returns `true` if it is a subscriber now, also if it was before. `false` with 1005 for an unknown fd, 8503 if it is not a
   * WebSocket, 1003 if it is closing, 505 if the topic is too long, empty or not well-formed, 506 if it has
   * `max_topics_per_connection` topics.
   * @throws {TypeError} If the topic is not a string.
   *
   * @example Rooms
   * ```ts
   * import { WebSocketServer } from "@sluice/server";
   *
   * const server = new WebSocketServer<{ room: string }>("127.0.0.1", 0);
   * server.on("open", (server, request) => {
   *   request.data.room = String(request.get.room ?? "lobby");
   *   server.subscribe(request.fd, request.data.room);
   * });
   * server.on("message", (server, frame) => {
   *   server.publish(server.data(frame.fd)!.room, frame, { except: frame.fd });
   * });
   * ```
   */
  subscribe(fd: number, topic: string): boolean;
  /**
   * Subscribes an open WebSocket to a topic from a position on: it is sent what it has missed since, and then everything. Only
   * kept topics have positions, see the setting `broker`. It may have subscribed before; what is sent then begins anew.
   *
   * @param options The position that the client has seen.
   * @returns The position after which everything is sent: `since`, or else the current one, with the reason in `gap`. What is
   * pushed as soon as this resolves arrives before that. `refused` where the other form returns `false`, or if the broker does
   * not respond.
   * @throws {TypeError} If the topic is not a string, or the position is not an object.
   */
  subscribe(fd: number, topic: string, options: SubscribeOptions): Promise<SubscribeResult>;
  subscribe(fd: number, topic: string, options?: SubscribeOptions): boolean | Promise<SubscribeResult> {
    return options === undefined ? this.#topics.subscribe(fd, topic) : this.#topics.begin(fd, topic, options);
  }

  /**
   * Ends a subscription. Nothing of the topic is sent any more, except what is already queued.
   *
   * @returns Whether there was one; `false` with 1005 for an unknown fd.
   * @throws {TypeError} If the topic is not a string.
   */
  unsubscribe(fd: number, topic: string): boolean {
    return this.#topics.unsubscribe(fd, topic);
  }

  /**
   * Sends a message to all subscribers of a topic. It is framed once, and compressed at most once for each window size. The
   * messages of a program to one connection arrive in the order in which they were published and pushed.
   *
   * @param topic The topic.
   * @param message What to send, as for `push()`: a whole text or binary message. For a `Frame` or a `PreparedMessage`, `opcode`
   * and `flags` are ignored.
   * @param options The frame type and the flags, as for `push()`, and connections to leave out.
   * @returns The number of WebSockets of this program to which it was sent, or for which it waits; 0 if there are none. What
   * happens to readers that are too slow is up to `topic_slow_readers`. `false` with 505 if it is not a topic, 506 above
   * `max_publish_rate`, 8505 if such a message is not allowed: a ping, a fragment, or bytes as text that are not UTF-8.
   * @throws {TypeError} If an argument has another type.
   */
  publish(topic: string, message: Pushable, options: PublishOptions = {}): number | false {
    return this.#topics.publish(topic, message, options);
  }

  /**
   * Appends a message to a kept topic, see the setting `broker`. It is sent to the subscribers of all servers, those of this one
   * included, in the order in which the broker has stored the messages. It never rejects for what a broker does.
   *
   * @param topic The topic.
   * @param message What to send, as for `publish()`.
   * @param options As for `publish()`, and an id that prevents that it is stored twice. `except` holds for this server, and not
   * for clients that recover.
   * @returns `stored` with its position; `refused` if it was not stored; `unknown` if the broker has not said so in time.
   * @throws {TypeError} If an argument has another type.
   * @throws {RangeError} If the id is longer than 128 UTF-16 units.
   */
  append(topic: string, message: Pushable, options: AppendOptions = {}): Promise<AppendResult> {
    return this.#topics.append(topic, message, options);
  }

  /**
   * Sends a message to all WebSockets of this program, on all ports. The arguments and the result are those of `publish()`.
   *
   * @throws {TypeError} If an argument has another type.
   */
  broadcast(message: Pushable, options: PublishOptions = {}): number | false {
    return this.#topics.broadcast(message, options);
  }

  /** Returns the number of subscribers of a topic in this program; 0 for a topic that does not exist. */
  subscriberCount(topic: string): number {
    return this.#topics.subscriberCount(topic);
  }

  /**
   * Returns the topics of a connection, oldest first: a new list. In the `close` handler these are the topics that it had; it no
   * longer is a subscriber. Empty for an unknown fd.
   */
  topics(fd: number): string[] {
    return this.#topics.topics(fd);
  }

  // ---- presence -----------------------------------------------------------------------------------------------------

  /**
   * Shows a subscriber of a topic to everybody, until it unsubscribes or ends. Called again, it shows something else. Connections
   * with the same key are one member, for example the tabs of a user, also on different servers; see the setting `broker`.
   *
   * @param fd The connection, which has subscribed to the topic.
   * @param topic The topic.
   * @param key Who it is: 1 to 128 UTF-16 units.
   * @param info What it shows of itself: a JSON value of at most 4,096 UTF-16 units.
   * @returns `false` with 1005 for an unknown fd, 505 if it has not subscribed to the topic.
   * @throws {TypeError | RangeError} If an argument has another type or is too long.
   */
  show(fd: number, topic: string, key: string | number, info: unknown = null): boolean {
    return this.#topics.show(fd, topic, key, info);
  }

  /**
   * Shows a connection in a topic no more; it remains a subscriber. Returns whether it was shown; `false` with 1005 for an unknown
   * fd.
   */
  hide(fd: number, topic: string): boolean {
    return this.#topics.hide(fd, topic);
  }

  /**
   * Lists who is in a topic, in all workers and on all servers with the same broker. A server that has just started, or asks for the
   * first time, knows those of other servers a moment later.
   *
   * @param options How many members (100, or at least 1), and after which key.
   * @returns Members in the order of their keys, the number of all, and whether this may be old.
   * @throws {TypeError | RangeError} If an argument has another type, or the limit is no such number.
   */
  members(topic: string, options: MembersOptions = {}): TopicMembersPage {
    return this.#topics.members(topic, options);
  }

  // ---- state --------------------------------------------------------------------------------------------------------

  /** Reports whether a connection is an open WebSocket, so that `push()` works. `exist()` is `true` for any connection. */
  isEstablished(fd: number): boolean {
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.peers?.get(Number(fd))?.isWebSocket ?? false;
    const { protocol } = connection;
    return protocol instanceof WebSocketSession && protocol.endpoint.isOpen;
  }

  /** Returns information about a connection, with its `websocket_status`; `false` with 1005 for an unknown fd. */
  override getClientInfo(fd: number): ClientInfo | false {
    const info = super.getClientInfo(fd);
    if (info === false) return false;
    const protocol = this.#context.connectionOrLeaving(fd)?.protocol;
    if (protocol === undefined) info.websocket_status = this.isEstablished(fd) ? WEBSOCKET_STATUS_ACTIVE : 0;
    else if (protocol instanceof HttpSession) info.websocket_status = protocol.status;
    else if (protocol instanceof WebSocketSession) {
      info.websocket_status = protocol.status;
      info.recv_queued_bytes = protocol.heldBytes;
    }
    return info;
  }

  /**
   * Checks a handshake like the server does if there is no `handshake` handler (RFC 6455 section 4.2.1): the method, the version,
   * the headers, the key, and the origin of the page, according to the setting `websocket_origins`.
   *
   * @param request The request that a `handshake` handler receives.
   * @returns `undefined` if the handshake is valid, otherwise a status and a reason to refuse it with.
   *
   * @example A `handshake` handler that refuses pages of other origins and clients without a token
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
  checkHandshake(request: HttpRequest<Data>): HandshakeRefusal | undefined {
    if (!(request instanceof HttpRequest)) throw new TypeError("Cannot check what is no request: checkHandshake(request)");
    const connection = this.#context.connection(request.fd);
    const port = connection === undefined ? coreOf(this).port : portOf(connection);
    const { header } = request;
    if (!isUpgrade(request)) {
      return { status: 400, reason: "this is a WebSocket: the request has no Upgrade header" };
    }
    return port.checkHandshake({ method: request.getMethod(), version: request["httpVersion"], header }, forwardedOf(request));
  }

  /**
   * Packs a payload or a frame into bytes, to be sent with `send()` or kept.
   *
   * @param data A text, a number, bytes, or a `Frame`, for which the other arguments are ignored.
   * @param opcode The frame type. Default: binary for bytes, otherwise text.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`. MASK masks with a random key, as a client must; COMPRESS compresses a
   * complete message, for a peer that negotiated permessage-deflate (RFC 7692).
   * @returns The bytes.
   * @throws {RangeError} If an opcode, a length, a close code or a text is not allowed: see `push()`.
   * @throws {Error} If the frame is to be compressed, and the runtime has no `node:zlib`.
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
    data: string | number | Uint8Array | Frame,
    opcode?: number,
    flags: number | boolean = SWOOLE_WEBSOCKET_FLAG_FIN,
  ): Uint8Array {
    return Frame.pack(data, opcode, flags);
  }

  /**
   * Unpacks one frame.
   *
   * @param bytes The bytes; any bytes after the frame are ignored. A complete compressed message is inflated.
   * @param maxLength The maximum size of an inflated message, in bytes. Default: 2 MiB.
   * @returns A `Frame`, a `CloseFrame` for opcode 8, or `false` if the bytes are not a complete frame, or the compressed message
   * is corrupt or too large.
   * @throws {Error} If the frame is compressed, and the runtime has no `node:zlib`.
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
    return Frame.unpack(bytes, maxLength);
  }

  /** Returns the session of an open WebSocket; otherwise sets the last-error code. */
  #session(fd: number): WebSocketSession | undefined {
    const connection = this.#context.connection(fd);
    const session = connection?.protocol;
    if (session instanceof WebSocketSession) {
      if (session.endpoint.canSend) return session;
      this.#context.failed(SWOOLE_ERROR_SESSION_CLOSING);
    } else if (connection !== undefined) {
      this.#context.failed(SWOOLE_ERROR_WEBSOCKET_UNCONNECTED);
    } else if (this.#context.peers === undefined) { // otherwise it may be one of another process
      this.#context.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    }
    return undefined;
  }
}

/** Reports whether what is pushed is a whole text without flags of its own, which needs no frame. */
function isPlainText(data: Pushable, opcode: number | undefined, flags: number | boolean): data is string {
  return typeof data === "string" && (opcode ?? WEBSOCKET_OPCODE_TEXT) === WEBSOCKET_OPCODE_TEXT &&
    flags === SWOOLE_WEBSOCKET_FLAG_FIN;
}
