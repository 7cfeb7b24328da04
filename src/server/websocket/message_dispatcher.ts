/**
 * Passes the messages of WebSockets to the program's `message` handler.
 *
 * @module
 */

import { CloseFrame, Frame, type ReceivedFrame } from "../../websocket/frame.ts";
import type { Configuration } from "../configuration.ts";
import type { PortCore } from "../port_core.ts";
import { promised, type RunningHandlers } from "../running_handlers.ts";
import type { ServerContext } from "../server_context.ts";
import { ServerWebSocketContext } from "./websocket_context.ts";
import type { FrameConsumer } from "../../websocket/connection/session_interfaces.ts";
import type { WebSocketSession } from "../../websocket/connection/websocket_session.ts";

/** The settings and handlers shared by the WebSockets of one port. */
export class MessageDispatcherContext extends ServerWebSocketContext {
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
 * Starts the handlers of the messages of one WebSocket, in order, without waiting for earlier handlers to settle. Messages wait while the
 * maximum number of handlers is running, and while the send queue is full, because a handler would add to it. Meanwhile the
 * connection is read, until the pending messages hold `input_buffer_size`.
 */
export class MessageDispatcher implements FrameConsumer {
  readonly #session: WebSocketSession;
  readonly #context: MessageDispatcherContext;
  #handlers = 0; // that are running
  #isStarting = false;
  #peerClose: Uint8Array | undefined = undefined; // after pending messages
  #onSettled: (() => void) | undefined = undefined; // created by the first handler that returns a promise

  constructor(session: WebSocketSession, context: MessageDispatcherContext) {
    this.#session = session;
    this.#context = context;
  }

  /** The replies of running handlers to earlier messages are not awaited. */
  get isAtWork(): boolean {
    return false;
  }

  get isBehind(): boolean {
    return !this.#session.waiting.isEmpty;
  }

  deliver(frame: ReceivedFrame): void {
    const session = this.#session;
    if (session.waiting.isEmpty && (this.#mayStart || frame instanceof CloseFrame)) return this.#start(frame);
    session.enqueue(frame);
    if (this.#handlers >= this.#context.maxHandlers) this.#watch();
  }

  get #mayStart(): boolean {
    return this.#handlers < this.#context.maxHandlers && !this.#session.connection.isFull;
  }

  #start(frame: ReceivedFrame): void {
    const { config, server, serverContext } = this.#context;
    const { counters } = serverContext;
    counters.received[frame.opcode]++;
    const begun = counters.sample();
    try {
      const result = promised(config.handler("message")!(server, frame));
      if (begun !== 0) counters.measure("message", begun, result);
      if (result !== undefined) {
        this.#handlers++;
        this.#context.running.enter();
        result.then(this.#onSettled ??= () => this.#afterHandler(), (error) => {
          serverContext.fault(error, this.#session.connection, "message");
          this.#afterHandler();
        });
      }
    } catch (error) {
      serverContext.fault(error, this.#session.connection, "message");
    }
    Frame["settle"](frame);
  }

  /** Reports handlers that may be waiting for later messages of the same connection, which wait for them. */
  #watch(): void {
    const context = this.#context;
    const { connection } = this.#session;
    const due = context.serverContext.stuckHandlers.look(this, context.now);
    if (due !== 0 && (connection.deadline === 0 || due < connection.deadline)) connection.deadline = due;
  }

  onDeadline(): void {
    if (!this.#session.waiting.isEmpty && this.#handlers >= this.#context.maxHandlers) this.#watch();
  }

  #afterHandler(): void {
    this.#handlers--;
    this.#context.running.leave();
    if (this.#session.waiting.isEmpty) return;
    this.#context.serverContext.stuckHandlers.onSettled(this);
    this.#session.connection.gather(() => this.#startWaiting());
  }

  onDrain(): void {
    if (!this.#session.waiting.isEmpty) this.#startWaiting();
  }

  #startWaiting(): void {
    if (this.#isStarting) return; // a handler has made room for the next one
    this.#isStarting = true;
    const session = this.#session;
    const { connection, endpoint, waiting } = session;
    while (!waiting.isEmpty && this.#mayStart && endpoint.canSend && connection.isOpen) this.#start(waiting.shift());
    this.#isStarting = false;
    session.onDequeued();
    if (waiting.isEmpty) this.#onCaughtUp();
  }

  /** Handles the end of the connection, once all messages before it were passed to a handler. */
  #onCaughtUp(): void {
    const close = this.#peerClose;
    this.#peerClose = undefined;
    if (close !== undefined) this.#receiveClose(close);
    else this.#session.onGoOn(() => {});
  }

  onClose(payload: Uint8Array): void {
    if (!this.isBehind) return this.#receiveClose(payload);
    this.#peerClose = payload;
    this.#session.awaitEnd(); // then it is answered in any case
  }

  #receiveClose(payload: Uint8Array): void {
    const session = this.#session;
    if (this.#context.deliversClose) session.deliverClose(payload);
    else session.peerClosing = true;
    if (session.endpoint.owesClose) session.endpoint.answerClose();
    else session.endpoint.sendClose(payload);
  }

  onClosing(): void {
    this.#drop(); // the program has closed it
  }

  onClosed(): void {
    this.#context.serverContext.stuckHandlers.onSettled(this);
    this.#drop();
  }

  #drop(): void {
    this.#session.waiting.clear();
    this.#session.readOn();
  }
}
