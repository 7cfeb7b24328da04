/**
 * `HttpResponse` of the coroutine style: an answer that can become a WebSocket.
 *
 * @module
 */

import { WEBSOCKET_OPCODE_PING } from "../constants.ts";
import {
  SWOOLE_ERROR_HTTP_CONTEXT_UNAVAILABLE,
  SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED,
  SWOOLE_ERROR_WEBSOCKET_UNCONNECTED,
} from "../errors.ts";
import type { CompressionPolicy } from "../server/websocket/compression.ts";
import type { Exchange } from "../server/http/exchange.ts";
import type { HttpRequest } from "../server/http/http_request.ts";
import { WaitingResponse } from "../server/http/http_response.ts";
import { refuse } from "../server/http/refusal.ts";
import type { Frame } from "../websocket/frame.ts";
import { answerFields, checkHandshake, isUpgrade } from "../websocket/handshake.ts";
import type { Pushable, Received, WebSocketChannel } from "./channel.ts";
import { iterateMessages, readMessages, writeMessages } from "./message_streams.ts";

const TRUE: Promise<true> = Promise.resolve(true);
const FALSE: Promise<false> = Promise.resolve(false);

/** So much may wait to be sent before `write()` waits. */
const WRITE_LIMIT = 256 * 1024;

/** What `upgrade()` needs to know of the server. @internal */
export interface UpgradePolicy {
  /** `websocket_origins`. */
  readonly origins: string | readonly string[];
  /** `websocket_subprotocol`. */
  readonly subprotocols: string | readonly string[];
  /** How to compress, if at all. */
  readonly compression: CompressionPolicy | undefined;
}

/**
 * An answer to a request, which `upgrade()` turns into a WebSocket (Swoole page "Coroutine\\Http\\Server", "WebSocket Server").
 *
 * Plain HTTP is answered with the methods of the base class: `status()`, `header()`, `write()`, `end()`. After `upgrade()` there
 * are `recv()` and `push()`, or the same as an iterable and as two streams; use one way to read and one to write.
 *
 * When the handler ends, so does the WebSocket: with a Close frame of code 1000, or 1011 when it failed, if the handler has not
 * closed it. `detach()` leaves it open.
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
export class HttpResponse extends WaitingResponse {
  readonly #exchange: Exchange;
  readonly #request: HttpRequest;
  readonly #policy: UpgradePolicy;
  #channel: WebSocketChannel | undefined = undefined;
  #kept = false; // the WebSocket outlives the handler
  #lastError = 0;
  #readable: ReadableStream<string | Uint8Array> | undefined = undefined;
  #writable: WritableStream<string | Uint8Array> | undefined = undefined;

  /** Made by the server. */
  constructor(exchange: Exchange, request: HttpRequest, policy: UpgradePolicy) {
    super(exchange);
    this.#exchange = exchange;
    this.#request = request;
    this.#policy = policy;
  }

  /**
   * Sends a part of the body; the parts travel chunked (RFC 9112 section 7.1). Waits while the client does not read.
   *
   * What nobody awaits is sent too, in order, and is held in memory until then.
   *
   * @param data Text or bytes, which are the program's again when this returns.
   * @returns `false` when the response has ended or the client is gone; with an HTTP/1.0 client also when its body, which is sent
   * whole where a connection cannot be reset, is larger than `socket_buffer_size`.
   */
  write(data: string | Uint8Array): Promise<boolean> {
    if (!this.writePart(data, "queued")) return FALSE;
    return this.#exchange.connection.queuedBytes < WRITE_LIMIT ? TRUE : this.drained();
  }

  /**
   * Accepts the WebSocket handshake. Header fields that were set before go out with it.
   *
   * @returns `true` when the connection is a WebSocket now. `false` when the request is no proper handshake (RFC 6455 section
   * 4.2), which has been answered with 400, 403 or 426 then: `getLastError()` is 8504; or with 7106 when it was answered before.
   */
  // deno-lint-ignore require-await
  async upgrade(): Promise<boolean> {
    if (!this.isWritable() || this.headSent) {
      this.onMisuse();
      return false;
    }
    const request = this.#request;
    const refusal = isUpgrade({ method: request.getMethod(), version: request.version, header: request.header })
      ? checkHandshake({ method: request.getMethod(), version: request.version, header: request.header }, this.#policy.origins)
      : { status: 400, reason: "this is a WebSocket: the request has no Upgrade header" };
    if (refusal !== undefined) {
      this.#lastError = SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED;
      refuse(this, refusal);
      return false;
    }
    const agreed = this.#policy.compression?.accept(request.header["sec-websocket-extensions"]);
    this.#exchange.session.compression = agreed?.compression;
    this.switchProtocols(answerFields(request.header, this.#policy.subprotocols, agreed?.answer));
    this.#channel = this.#exchange.connection.protocol as WebSocketChannel;
    return true;
  }

  /**
   * Receives the next message; waits for it.
   *
   * Pings are answered and not returned, unless `open_websocket_ping_frame` is set; pongs are not, unless
   * `open_websocket_pong_frame` is. A Close is returned once, as a `CloseFrame`; it has been answered then, unless
   * `open_websocket_close_frame` leaves that to the program. Fragments are joined.
   *
   * @param timeout How long to wait, in seconds. 0 stands for the setting `socket_read_timeout`, which is for ever unless it was
   * set; a negative number for ever. A timeout loses nothing.
   * @returns A `Frame` or a `CloseFrame`; `""` when the connection is closed; `false` when it failed, and `getLastError()` tells:
   * 110 for a timeout, 104 when the peer dropped the connection, 1201 for a message above `package_max_length`, 8506 when the
   * peer broke the protocol (it has been told by a close code), 9 after `close()`, 8503 before `upgrade()`.
   * @throws {Error} If another `recv()` is waiting.
   */
  recv(timeout = 0): Promise<Received> {
    if (this.#channel !== undefined) return this.#channel.recv(timeout);
    return Promise.resolve(this.#isNoWebSocket());
  }

  /**
   * Sends a message, or any frame. Waits while the peer is slow: then the promise settles when its turn has come.
   *
   * @param data A text, octets (which nobody changes until they are sent), or a `Frame`, for which the other arguments are
   * ignored. A frame that was received is forwarded as it is; a `CloseFrame` starts the closing handshake.
   * @param opcode The frame type, `WEBSOCKET_OPCODE_TEXT` unless given.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`; FIN unless given. `false` or 0 begins or continues a fragmented message.
   * @returns `true` when it was handed on; `false` with 8503 before `upgrade()` or behind a Close, 9 after `close()`, 32 when the
   * peer is gone, 8505 when such a frame may not be sent, 110 after `socket_write_timeout`, 1009 when pushes that nobody awaits
   * hold more than `socket_buffer_size`.
   * @throws {TypeError} If `data` is none of these.
   */
  push(data: Pushable, opcode?: number, flags?: number | boolean): Promise<boolean> {
    if (this.#channel !== undefined) return this.#channel.push(data, opcode, flags);
    return Promise.resolve(this.#isNoWebSocket());
  }

  /**
   * Sends a Ping.
   *
   * @param data At most 125 octets.
   * @returns As `push()`.
   */
  ping(data: string | Uint8Array = ""): Promise<boolean> {
    return this.push(data, WEBSOCKET_OPCODE_PING);
  }

  /**
   * Closes the WebSocket properly: sends a Close frame, behind what waits to be sent, and ends the connection when the peer has
   * answered it, or after `websocket_close_timeout`.
   *
   * @param code The close code: 1000-1003, 1007-1014 or 3000-4999.
   * @param reason The reason, at most 123 octets of UTF-8.
   * @returns `true` when it was sent; `false` with 8505 for a code or reason that may not be sent, otherwise as `push()`.
   */
  disconnect(code = 1000, reason = ""): boolean {
    return this.#channel !== undefined ? this.#channel.disconnect(code, reason) : this.#isNoWebSocket();
  }

  /**
   * Ends the connection, a WebSocket's without a Close frame. What was pushed is still sent.
   *
   * @returns `false` with 9 when it was closed before.
   */
  override close(): boolean {
    return this.#channel !== undefined ? this.#channel.close() : super.close();
  }

  /**
   * Lets the handler return without an answer, which is to come later, or with the WebSocket open.
   *
   * @returns `false` when it was answered before.
   */
  override detach(): boolean {
    return this.#channel !== undefined ? this.#kept = true : super.detach();
  }

  /** The data messages until the connection closes; other frames are left out. */
  [Symbol.asyncIterator](): AsyncGenerator<Frame, void, void> {
    return iterateMessages(this);
  }

  /** The messages as a stream: a string for text, octets for binary. To cancel it closes the WebSocket. */
  get readable(): ReadableStream<string | Uint8Array> {
    return this.#readable ??= readMessages(this);
  }

  /** A stream whose chunks are sent: a string as text, octets as binary. To close it closes the WebSocket. */
  get writable(): WritableStream<string | Uint8Array> {
    return this.#writable ??= writeMessages(this);
  }

  /** Why the last method that returned `false` did so; `swooleStrerror()` puts it in words. Success does not reset it. */
  getLastError(): number {
    return this.#channel?.lastError || this.#lastError;
  }

  /** The handler is done. @internal */
  leave(): void {
    if (!this.isDetached && !this.#kept) this.#channel?.leave();
  }

  /** It was used after it ended. @internal */
  protected override onMisuse(): void {
    this.#lastError = SWOOLE_ERROR_HTTP_CONTEXT_UNAVAILABLE;
    if (this.#channel !== undefined) this.#channel.lastError = this.#lastError;
  }

  #isNoWebSocket(): false {
    this.#lastError = SWOOLE_ERROR_WEBSOCKET_UNCONNECTED;
    return false;
  }
}
