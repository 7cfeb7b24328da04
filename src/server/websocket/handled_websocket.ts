/**
 * An open WebSocket whose messages go to the program's `message` handler.
 *
 * @module
 */

import type { Connection } from "../../transport/connection.ts";
import type { ConnectionEnd } from "../../transport/connection_end.ts";
import type { Compression } from "../../websocket/deflate/compression.ts";
import { CloseFrame, Frame } from "../../websocket/frame.ts";
import type { Configuration } from "../configuration.ts";
import type { PortCore } from "../port_core.ts";
import { promised, type RunningHandlers } from "../running_handlers.ts";
import type { ServerContext } from "../server_context.ts";
import { ServerWebSocketContext } from "./websocket_context.ts";
import { WebSocketSession } from "../../websocket/connection/websocket_session.ts";

/** The settings and handlers shared by the WebSockets of one port. */
export class HandledWebSocketContext extends ServerWebSocketContext {
  /** The settings and handlers of the port. */
  readonly config: Configuration;
  /** What everything in the server shares. */
  readonly serverContext: ServerContext;
  /** The object that handlers receive as `server`. */
  readonly server: unknown;
  /** `open_websocket_close_frame`. */
  readonly deliversClose: boolean;
  /** `max_handlers_per_connection`. */
  readonly maxHandlers: number;
  /** The handlers that the server waits for when it stops. Those of an earlier start are no longer in the context. */
  readonly running: RunningHandlers;

  constructor(port: PortCore, server: unknown) {
    super(port, { deliverClose: true, answerClose: false });
    this.config = port.config;
    this.serverContext = port.context;
    this.server = server;
    this.running = port.context.running;
    this.deliversClose = port.settings.open_websocket_close_frame;
    this.maxHandlers = port.settings.max_handlers_per_connection;
  }
}

/**
 * A WebSocket whose messages start handlers in order, without waiting for earlier handlers to settle. Messages wait while the
 * maximum number of handlers is running, and while the send queue is full, because a handler would add to it. Meanwhile the
 * connection is read, until the pending messages hold `input_buffer_size`.
 */
export class HandledWebSocket extends WebSocketSession {
  declare protected readonly context: HandledWebSocketContext;
  #handlers = 0; // that are running
  #isStarting = false;
  #peerClose: Uint8Array | undefined = undefined; // after pending messages

  constructor(connection: Connection, context: HandledWebSocketContext, compression?: Compression, path?: string) {
    super(connection, context, compression, path);
  }

  protected override deliver(frame: Frame | CloseFrame): void {
    if (this.waiting.isEmpty && (this.#mayStart || frame instanceof CloseFrame)) return this.#start(frame);
    this.enqueue(frame);
    if (this.#handlers >= this.context.maxHandlers) this.#watch();
  }

  get #mayStart(): boolean {
    return this.#handlers < this.context.maxHandlers && !this.connection.isFull;
  }

  #start(frame: Frame | CloseFrame): void {
    const { config, server, serverContext } = this.context;
    serverContext.counters.requests++;
    try {
      const result = promised(config.handler("message")!(server, frame));
      if (result !== undefined) {
        this.#handlers++;
        this.context.running.enter();
        result.then(this.#onSettled, (error) => {
          serverContext.fault(error, this.connection);
          this.#onSettled();
        });
      }
    } catch (error) {
      serverContext.fault(error, this.connection);
    }
    Frame["settle"](frame);
  }

  /** Reports handlers that may be waiting for later messages of the same connection, which wait for them. */
  #watch(): void {
    const { connection, context } = this;
    const due = context.serverContext.stuckHandlers.look(this, context.now);
    if (due !== 0 && (connection.deadline === 0 || due < connection.deadline)) connection.deadline = due;
  }

  override onDeadline(now: number): void {
    super.onDeadline(now);
    if (!this.waiting.isEmpty && this.#handlers >= this.context.maxHandlers && this.connection.isOpen) this.#watch();
  }

  readonly #onSettled = (): void => {
    this.#handlers--;
    this.context.running.leave();
    if (this.waiting.isEmpty) return;
    this.context.serverContext.stuckHandlers.onSettled(this);
    this.connection.gather(() => this.#startWaiting());
  };

  override onDrain(): void {
    super.onDrain();
    if (!this.waiting.isEmpty) this.#startWaiting();
  }

  #startWaiting(): void {
    if (this.#isStarting) return; // a handler has made room for the next one
    this.#isStarting = true;
    while (!this.waiting.isEmpty && this.#mayStart && this.endpoint.canSend && this.connection.isOpen) {
      this.#start(this.waiting.shift());
    }
    this.#isStarting = false;
    this.onDequeued();
    if (this.waiting.isEmpty) this.#onCaughtUp();
  }

  /** Handles the end of the connection, once all messages before it were passed to a handler. */
  #onCaughtUp(): void {
    const close = this.#peerClose;
    this.#peerClose = undefined;
    if (close !== undefined) this.#receiveClose(close);
    else this.onGoOn(() => {});
  }

  protected override get isBehind(): boolean {
    return super.isBehind || !this.waiting.isEmpty;
  }

  override onClose(payload: Uint8Array): void {
    if (this.waiting.isEmpty) return this.#receiveClose(payload);
    this.#peerClose = payload;
    this.awaitEnd(); // then it is answered in any case
  }

  #receiveClose(payload: Uint8Array): void {
    if (this.context.deliversClose) super.onClose(payload);
    else this.peerClosing = true;
    if (this.endpoint.owesClose) this.endpoint.answerClose();
    else this.endpoint.sendClose(payload);
  }

  override startClose(payload: Uint8Array): boolean {
    if (!super.startClose(payload)) return false;
    this.#drop(); // the program has closed it
    return true;
  }

  override onClosed(end: ConnectionEnd): void {
    super.onClosed(end);
    this.context.serverContext.stuckHandlers.onSettled(this);
    this.#drop();
  }

  #drop(): void {
    this.waiting.clear();
    this.readOn();
  }
}
