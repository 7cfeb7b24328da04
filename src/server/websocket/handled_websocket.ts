/**
 * An open WebSocket whose messages go to the program's `message` handler.
 *
 * @module
 */

import type { Connection } from "../../connection.ts";
import type { Compression } from "../../websocket/deflate/compression.ts";
import { CloseFrame, Frame } from "../../websocket/frame.ts";
import { MessageQueue } from "../../websocket/message_queue.ts";
import { isPromise, type PortCore } from "../port_core.ts";
import { ServerWebSocketHost } from "./websocket_host.ts";
import { WebSocketSession } from "./websocket_session.ts";

/** What the WebSockets of one port share. */
export class HandlerHost extends ServerWebSocketHost {
  /** The port. */
  readonly core: PortCore;
  /** What handlers get as `server`. */
  readonly server: unknown;
  /** `open_websocket_close_frame`. */
  readonly deliversClose: boolean;
  /** `max_handlers_per_connection`. */
  readonly maxHandlers: number;

  constructor(core: PortCore, server: unknown) {
    super(core, { deliverClose: true, answerClose: false });
    this.core = core;
    this.server = server;
    this.deliversClose = core.settings.open_websocket_close_frame;
    this.maxHandlers = core.settings.max_handlers_per_connection;
  }
}

/**
 * Messages start their handlers in order, without waiting for the last one to end. They wait while as many handlers are under way
 * as may be, and while the peer takes too little of what is sent to it: a handler would add to that. The connection is read on
 * meanwhile, until what waits holds `input_buffer_size`.
 */
export class HandledWebSocket extends WebSocketSession {
  declare protected readonly host: HandlerHost;
  readonly #waiting: MessageQueue = new MessageQueue();
  #handlers = 0; // that are under way
  #holdsBack = false;
  #isStarting = false;
  #peerClose: Uint8Array | undefined = undefined; // behind messages that wait

  constructor(connection: Connection, host: HandlerHost, compression?: Compression) {
    super(connection, host, compression);
  }

  protected override deliver(frame: Frame | CloseFrame): void {
    if (this.#waiting.isEmpty && (this.#mayStart || frame instanceof CloseFrame)) return this.#start(frame);
    this.#waiting.push(frame);
    if (this.#holdsBack || this.#waiting.bytes < this.host.inputLimit) return;
    this.#holdsBack = true;
    this.updateReading();
  }

  get #mayStart(): boolean {
    return this.#handlers < this.host.maxHandlers && !this.connection.isFull;
  }

  #start(frame: Frame | CloseFrame): void {
    const { core, server } = this.host;
    core.requestCount++;
    try {
      const result = core.handler("message")!(server, frame);
      if (isPromise(result)) {
        this.#handlers++;
        result.then(this.#onSettled, (error) => {
          core.fault(error, this.connection);
          this.#onSettled();
        });
      }
    } catch (error) {
      core.fault(error, this.connection);
    }
    Frame.settle(frame);
  }

  readonly #onSettled = (): void => {
    this.#handlers--;
    if (!this.#waiting.isEmpty) this.connection.gather(() => this.#startWaiting());
  };

  override onDrain(): void {
    super.onDrain();
    if (!this.#waiting.isEmpty) this.#startWaiting();
  }

  #startWaiting(): void {
    if (this.#isStarting) return; // a handler has made room for the next one
    this.#isStarting = true;
    while (!this.#waiting.isEmpty && this.#mayStart && this.protocol.canSend && this.connection.isOpen) {
      this.#start(this.#waiting.shift());
    }
    this.#isStarting = false;
    if (this.#holdsBack && this.#waiting.bytes < this.host.inputLimit / 2) {
      this.#holdsBack = false;
      this.updateReading();
    }
    if (this.#waiting.isEmpty) this.#onCaughtUp();
  }

  /** Everything that has arrived has been handed to a handler: the end that came behind it has its turn. */
  #onCaughtUp(): void {
    const close = this.#peerClose;
    this.#peerClose = undefined;
    if (close !== undefined) this.#receiveClose(close);
    else this.onGoOn(() => {});
  }

  protected override get isHoldingBack(): boolean {
    return this.#holdsBack;
  }

  protected override get isBehind(): boolean {
    return super.isBehind || !this.#waiting.isEmpty;
  }

  override get heldBytes(): number {
    return super.heldBytes + this.#waiting.bytes;
  }

  override onClose(payload: Uint8Array): void {
    if (this.#waiting.isEmpty) return this.#receiveClose(payload);
    this.#peerClose = payload;
    this.connection.deadline = this.host.now + this.host.closeTimeout; // then it is answered all the same
  }

  #receiveClose(payload: Uint8Array): void {
    if (this.host.deliversClose) super.onClose(payload);
    else this.peerClosing = true;
    if (this.protocol.owesClose) this.protocol.answerClose();
    else this.protocol.sendClose(payload);
  }

  override startClose(payload: Uint8Array): boolean {
    if (!super.startClose(payload)) return false;
    this.#drop(); // the program has closed it
    return true;
  }

  override onClosed(): void {
    super.onClosed();
    this.#drop();
  }

  #drop(): void {
    this.#waiting.clear();
    this.#holdsBack = false;
    this.updateReading();
  }
}
