/**
 * `HttpResponse` of the coroutine style: a response that can become a WebSocket.
 *
 * @module
 */

import type { Connection } from "../transport/connection.ts";
import type { CloseInfo, ConnectionData } from "../transport/connection_end.ts";
import { WEBSOCKET_OPCODE_PING } from "../constants.ts";
import { SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED, SWOOLE_ERROR_WEBSOCKET_UNCONNECTED, swooleStrerror } from "../errors.ts";
import type { CompressionPolicy } from "../websocket/connection/compression_policy.ts";
import type { Exchange } from "../server/http/exchange.ts";
import { exchangeOf, WaitingResponse } from "../server/http/http_response.ts";
import type { ServerTopics, SubscribeOptions, SubscribeResult } from "../server/server_topics.ts";
import { checkTopic } from "../topics/publication.ts";
import { refuseExchange } from "../server/http/error_response.ts";
import type { MessageFrame } from "../websocket/frame.ts";
import { answerFields, type HandshakeRefusal, type HandshakeRequest } from "../websocket/handshake.ts";
import type { Forwarded } from "../http/forwarded.ts";
import { isUpgrade } from "../http/request_parser.ts";
import { iterateMessages, readMessages, type Received, writeMessages } from "../websocket/connection/received_messages.ts";
import type { WebSocketChannel } from "../websocket/connection/channel.ts";
import type { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import type { Pushable } from "../websocket/prepared_message.ts";

const TRUE: Promise<true> = Promise.resolve(true);
const FALSE: Promise<false> = Promise.resolve(false);

/** The number of queued bytes from which `write()` waits. */
const WRITE_LIMIT = 256 * 1024;

/** Ends the WebSocket of a response after its handler has settled, unless the program detached it. */
export function leave(response: HttpResponse): void {
  HttpResponse["leave"](response);
}

/** Sets the error code of a response, or of the WebSocket that it has become. */
export function fail(response: HttpResponse, code: number): void {
  HttpResponse["fail"](response, code);
}

/** Returns the channel of a connection that has switched. */
function channelOf({ connection }: Exchange): WebSocketChannel {
  return (connection.protocol as WebSocketSession<WebSocketChannel>).consumer;
}

/** The server settings that `upgrade()` needs. */
export interface UpgradePolicy {
  /** Returns the reason if a handshake is refused by its fields, or by what trusted proxies say of it. */
  checkHandshake(request: HandshakeRequest, forwarded: Forwarded | undefined): HandshakeRefusal | undefined;
  /** The setting `websocket_subprotocol`. */
  readonly subprotocols: string | readonly string[];
  /** The compression policy; `undefined` without compression. */
  readonly compression: CompressionPolicy | undefined;
  /** The topics of the server. */
  readonly topics: ServerTopics;
}

/**
 * A response to a request, which `upgrade()` turns into a WebSocket (Swoole page "Coroutine\\Http\\Server", "WebSocket Server").
 *
 * For plain HTTP, use the methods of the base class: `status()`, `header()`, `write()`, `end()`. After `upgrade()`, use `recv()`
 * and `push()`, the async iterator, or the two streams: one way to read and one to write.
 *
 * When the handler returns and has not closed the WebSocket, it is closed with code 1000, or 1011 if the handler failed.
 * `detach()` leaves it open.
 *
 * @example
 * ```ts
 * import { HttpClient, HttpServer } from "@sluice/server/coroutine";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const server = new HttpServer("127.0.0.1");
 * server.handle("/echo", async (_request, ws) => {
 *   await ws.upgrade();
 *   for await (const frame of ws) await ws.push(frame);
 * });
 * await server.start();
 *
 * const client = new HttpClient("127.0.0.1", server.port);
 * assert(await client.upgrade("/echo"));
 * await client.push("hello");
 * const frame = await client.recv();
 * assertEquals(frame && frame.data, "hello");
 * client.close();
 * server.shutdown();
 * await server.finished;
 * ```
 */
export class HttpResponse<Data extends ConnectionData = ConnectionData> extends WaitingResponse {
  readonly #policy: UpgradePolicy;
  #isKept = false; // whether the WebSocket stays open when the handler returns
  #lastError = 0; // until there is a channel
  #channel: WebSocketChannel | undefined = undefined;
  #readable: ReadableStream<string | Uint8Array> | undefined = undefined;
  #writable: WritableStream<string | Uint8Array> | undefined = undefined;

  /** Created by the server. */
  constructor(exchange: Exchange, policy: UpgradePolicy) {
    super(exchange);
    this.#policy = policy;
  }

  /**
   * Sends a part of the body, with chunked transfer coding (RFC 9112 section 7.1). Waits while the client does not read.
   *
   * Parts that are not awaited are sent too, in order, and held in memory until then.
   *
   * @param data Text, a number, or bytes, which the program may reuse when the call returns.
   * @returns `false` if the response has ended or the client has disconnected. With an HTTP/1.0 client also if the body is larger
   * than `socket_buffer_size` and the connection cannot be reset, because it is then sent as a whole.
   */
  write(data: string | number | Uint8Array): Promise<boolean> {
    const { connection, writer } = exchangeOf(this);
    if (!writer.writePart(data, "queued")) return FALSE;
    return connection.queuedBytes < WRITE_LIMIT ? TRUE : this.drained();
  }

  /**
   * Accepts the WebSocket handshake. Header fields that were set before are sent with it.
   *
   * @returns `true` once the connection is a WebSocket. `false` if the request is not a valid handshake (RFC 6455 section 4.2);
   * it has then been answered with 400, 403 or 426, and `getLastError()` is 8504. Also `false`, with 7106, if the request was
   * already answered.
   */
  // deno-lint-ignore require-await
  async upgrade(): Promise<boolean> {
    const exchange = exchangeOf(this);
    const { head, writer } = exchange;
    if (!writer.isWritable || writer.headSent) {
      exchange.onMisuse();
      return false;
    }
    const refusal = isUpgrade(head)
      ? this.#policy.checkHandshake(head, exchange.forwarded)
      : { status: 400, reason: "this is a WebSocket: the request has no Upgrade header" };
    if (refusal !== undefined) {
      this.#lastError = SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED;
      refuseExchange(exchange, refusal, "handshake");
      return false;
    }
    const agreed = this.#policy.compression?.accept(head.header["sec-websocket-extensions"]);
    exchange.compression = agreed?.compression;
    writer.switchProtocols(answerFields(head.header, this.#policy.subprotocols, agreed?.answer));
    this.#channel = channelOf(exchange);
    return true;
  }

  /**
   * Receives the next message, waiting for it if necessary.
   *
   * Pings are answered and not returned, unless `open_websocket_ping_frame` is set. Pongs are not returned, unless
   * `open_websocket_pong_frame` is set. A Close is returned once, as a `CloseFrame`. It has then already been answered, unless
   * `open_websocket_close_frame` leaves that to the program. Fragments are joined.
   *
   * @param timeout The time limit in seconds. 0 stands for the setting `socket_read_timeout`, which is unlimited unless it was
   * set; a negative number means no limit. No message is lost by a timeout.
   * @returns A `Frame` or a `CloseFrame`; `""` if the connection is closed; `false` on failure, with the reason in
   * `getLastError()`: 110 for a timeout, 104 if the peer dropped the connection, 1201 for a message larger than
   * `package_max_length`, 8506 if the peer violated the protocol (it was sent a close code), 9 after `close()`, 8503 before
   * `upgrade()`.
   * @throws {Error} If another `recv()` is waiting.
   */
  recv(timeout = 0): Promise<Received> {
    if (this.#channel !== undefined) return this.#channel.recv(timeout);
    return Promise.resolve(this.#isNoWebSocket());
  }

  /**
   * Sends a message or any other frame. If the peer is slow, the call waits for its turn.
   *
   * @param data Text; a number, which is sent as text; bytes, which must not change until they are sent; or a `Frame` or
   * `PreparedMessage`, for which the other arguments are ignored. A received frame is forwarded unchanged. A `CloseFrame` starts
   * the closing handshake.
   * @param opcode The frame type. By default `WEBSOCKET_OPCODE_BINARY` for bytes, otherwise `WEBSOCKET_OPCODE_TEXT`.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`, by default FIN. `false` or 0 starts or continues a fragmented message.
   * @returns `true` once the frame was passed on; `false` with 8503 before `upgrade()` or after a Close, 9 after `close()`, 32 if
   * the peer has disconnected, 8505 if the frame may not be sent, 110 after `socket_write_timeout`, 1009 if pushes that are not
   * awaited hold more than `socket_buffer_size`.
   * @throws {TypeError} If `data` has another type.
   */
  push(data: Pushable, opcode?: number, flags?: number | boolean): Promise<boolean> {
    if (this.#channel !== undefined) return this.#channel.push(data, opcode, flags);
    return Promise.resolve(this.#isNoWebSocket());
  }

  /**
   * Sends a Ping.
   *
   * @param data The payload, at most 125 bytes.
   * @returns The same as `push()`.
   */
  ping(data: string | number | Uint8Array = ""): Promise<boolean> {
    return this.push(data, WEBSOCKET_OPCODE_PING);
  }

  /**
   * Subscribes to a topic: from now on, the client is sent what the server publishes to it, until it unsubscribes or ends. What
   * is published is not received with `recv()`.
   *
   * @param topic Any text of 1 to 255 bytes (UTF-8).
   * @returns `true` if it is a subscriber now, also if it was before. `false` with 8503 before a handshake or after a Close, 9
   * after `close()`, 32 if the peer has disconnected, 505 if the topic is too long, empty or not well-formed, 506 if it has
   * `max_topics_per_connection` topics.
   * @throws {TypeError} If the topic is not a string.
   */
  subscribe(topic: string): boolean;
  /**
   * Subscribes the open WebSocket to a topic from a position on: the client is sent what it has missed since, and then everything.
   * Only kept topics have positions, see the setting `broker`.
   *
   * @param options The position that the client has seen.
   * @returns The position after which everything is sent: `since`, or else the current one, with the reason in `gap`. What is
   * pushed as soon as this resolves arrives before that. `refused` where the other form returns `false`, or if the broker does
   * not respond.
   * @throws {TypeError} If the topic is not a string, or the position is not an object.
   */
  subscribe(topic: string, options: SubscribeOptions): Promise<SubscribeResult>;
  subscribe(topic: string, options?: SubscribeOptions): boolean | Promise<SubscribeResult> {
    if (options !== undefined) return this.#begin(topic, options);
    checkTopic(topic, "subscribe");
    const code = this.#subscribe(topic);
    return code === 0 || this.#failed(code);
  }

  #failed(code: number): false {
    if (this.#channel === undefined) this.#lastError = code;
    else this.#channel.lastError = code;
    return false;
  }

  async #begin(topic: string, options: SubscribeOptions): Promise<SubscribeResult> {
    checkTopic(topic, "subscribe");
    const connection = this.#connection;
    const code = this.#channel?.isOpen === false ? this.#channel.whyClosed : SWOOLE_ERROR_WEBSOCKET_UNCONNECTED;
    const isOpen = this.#channel?.isOpen === true && connection !== undefined;
    const result = isOpen ? await this.#policy.topics.joinAt(connection, topic, options) : code;
    if (typeof result !== "number") return result;
    this.#failed(result);
    return { status: "refused", error: new Error(`Cannot subscribe: ${swooleStrerror(result)}`) };
  }

  /** Returns 0, or the code for `getLastError()`. */
  #subscribe(topic: string): number {
    if (this.#channel?.isOpen === false) return this.#channel.whyClosed;
    const connection = this.#connection;
    return connection === undefined ? SWOOLE_ERROR_WEBSOCKET_UNCONNECTED : this.#policy.topics.join(connection, topic);
  }

  /**
   * Ends a subscription. Nothing of the topic is sent any more, except what is already queued.
   *
   * @returns Whether there was one.
   * @throws {TypeError} If the topic is not a string.
   */
  unsubscribe(topic: string): boolean {
    checkTopic(topic, "unsubscribe");
    const connection = this.#connection;
    return connection !== undefined && this.#policy.topics.part(connection, topic);
  }

  /**
   * Shows this WebSocket to everybody in a topic that it has subscribed to, until it unsubscribes or ends. Called again, it shows
   * something else. Connections with the same key are one member. `server.members()` lists them.
   *
   * @param key Who it is: 1 to 128 UTF-16 units.
   * @param info What it shows of itself: a JSON value of at most 4,096 UTF-16 units.
   * @returns Whether it is a subscriber of the topic.
   * @throws {TypeError} If an argument has another type.
   * @throws {RangeError} If the key or what it shows is too long.
   */
  show(topic: string, key: string | number, info: unknown = null): boolean {
    return this.#policy.topics.show(this.#connection?.isOpen ? this.#connection.fd : 0, topic, key, info);
  }

  /**
   * Shows this WebSocket in a topic no more. It remains a subscriber.
   *
   * @returns Whether it was shown.
   * @throws {TypeError} If the topic is not a string.
   */
  hide(topic: string): boolean {
    return this.#policy.topics.hide(this.#connection?.isOpen ? this.#connection.fd : 0, topic);
  }

  /** Returns the topics that this WebSocket has subscribed to, oldest first: a new list. Empty once it has ended. */
  topics(): string[] {
    const connection = this.#connection;
    return connection?.isOpen ? this.#policy.topics.topics(connection.fd) : [];
  }

  /** The connection, if it is a WebSocket of this response, or may become one. A later request may have it otherwise. */
  get #connection(): Connection | undefined {
    const exchange = exchangeOf(this);
    return this.#channel !== undefined || (exchange.isUpgrade && !exchange.isOver) ? exchange.connection : undefined;
  }

  /**
   * Closes the WebSocket properly: sends a Close frame after all pending output, and ends the connection when the peer has
   * answered it, or after `websocket_close_timeout`.
   *
   * @param code The close code: 1000-1003, 1007-1014 or 3000-4999.
   * @param reason The reason, at most 123 bytes of UTF-8.
   * @returns `true` if the frame was sent; `false` with 8505 if the code or reason may not be sent, otherwise as `push()`.
   */
  disconnect(code = 1000, reason = ""): boolean {
    return this.#channel !== undefined ? this.#channel.disconnect(code, reason) : this.#isNoWebSocket();
  }

  /**
   * Ends the connection; for a WebSocket without a Close frame. Messages already pushed are still sent.
   *
   * @returns `false` with 9 if the connection was already closed.
   */
  override close(): boolean {
    return this.#channel !== undefined ? this.#channel.close() : super.close();
  }

  /**
   * Lets the handler return while the response is still to come, or while the WebSocket stays open.
   *
   * @returns `false` if the response has already been sent.
   */
  override detach(): boolean {
    return this.#channel !== undefined ? this.#isKept = true : super.detach();
  }

  /** Iterates over the data messages until the connection closes. Other frames are skipped. */
  [Symbol.asyncIterator](): AsyncGenerator<MessageFrame, void, void> {
    return iterateMessages(this);
  }

  /** The messages as a stream: strings for text, bytes for binary. Canceling it closes the WebSocket. */
  get readable(): ReadableStream<string | Uint8Array> {
    return this.#readable ??= readMessages(this);
  }

  /** A stream whose chunks are sent as messages: strings as text, bytes as binary. Closing it closes the WebSocket. */
  get writable(): WritableStream<string | Uint8Array> {
    return this.#writable ??= writeMessages(this);
  }

  /**
   * How the WebSocket ended; `undefined` while it is open. It is set as soon as `recv()` returns `""`, or `false` because the
   * connection has ended.
   */
  get closeInfo(): CloseInfo<Data> | undefined {
    return this.#channel?.ending as CloseInfo<Data> | undefined;
  }

  /**
   * Returns the error code of the last method that returned `false`; `swooleStrerror()` returns its text. Success does not reset
   * it.
   */
  getLastError(): number {
    return this.#channel?.lastError || this.#lastError;
  }

  /** See the functions `leave()` and `fail()`: they call these, which `private` keeps out of the public types. */
  private static leave(response: HttpResponse): void {
    const exchange = exchangeOf(response);
    if (exchange.isSwitched && !response.#isKept && !exchange.writer.isDetached) channelOf(exchange).leave();
  }

  /** See `leave()`. */
  private static fail(response: HttpResponse, code: number): void {
    response.#lastError = code;
    const exchange = exchangeOf(response);
    if (exchange.isSwitched) channelOf(exchange).lastError = code;
  }

  #isNoWebSocket(): false {
    this.#lastError = SWOOLE_ERROR_WEBSOCKET_UNCONNECTED;
    return false;
  }
}
