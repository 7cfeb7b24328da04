/**
 * An open WebSocket that is read with `recv()` and written with `push()`: the basis of the coroutine style, for servers and
 * clients.
 *
 * @module
 */

import type { CloseInfo, ConnectionEnd } from "../../transport/connection_end.ts";
import { WEBSOCKET_OPCODE_TEXT } from "../../constants.ts";
import {
  ECONNRESET,
  ETIMEDOUT,
  SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW,
  SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE,
  SWOOLE_ERROR_WEBSOCKET_PACK_FAILED,
  SWOOLE_ERROR_WEBSOCKET_UNCONNECTED,
  SWOOLE_ERROR_WEBSOCKET_UNPACK_FAILED,
} from "../../errors.ts";
import type { Received } from "./received_messages.ts";
import type { FrameConsumer, WebSocketContext } from "./session_interfaces.ts";
import type { WebSocketSession } from "./websocket_session.ts";
import { encodeClose, isSendableCloseCode } from "../close_code.ts";
import { CloseFrame, Frame, type ReceivedFrame } from "../frame.ts";
import type { Outgoing } from "../outgoing.ts";
import { type Pushable, readPushed } from "../prepared_message.ts";
import { Alarm } from "../../transport/deadlines.ts";
import { checkTimeout } from "../../values.ts";

/** Shared by the channels of one server or one client. Times are in milliseconds, 0 for no limit; sizes are in bytes. */
export interface ChannelContext extends WebSocketContext {
  /** Whether Close frames are answered here; otherwise the program answers them. */
  readonly answersClose: boolean;
  /** The default timeout of `recv()`. */
  readonly readTimeout: number;
  /** The timeout of a `push()` that waits for room. */
  readonly writeTimeout: number;
  /** The last-error code for using a connection that the program closed. */
  readonly closedError: number;
  /** The last-error code for sending to a peer that disconnected. */
  readonly goneError: number;
}

interface WaitingPush {
  readonly frame: Outgoing;
  readonly until: number;
  readonly settle: (sent: boolean) => void;
}

/** The number of bytes waiting for compression from which `push()` waits. */
const COMPRESSING_LIMIT = 64 * 1024;

/** The bytes counted for each waiting push in addition to its payload, so that many small ones are not free. */
const PUSH_COST = 128;

const TRUE: Promise<true> = Promise.resolve(true);
const FALSE: Promise<false> = Promise.resolve(false);

/** What a coroutine program does with a WebSocket: it takes the frames one by one, and pushes as fast as the peer reads. */
export class WebSocketChannel implements FrameConsumer {
  /** The error code of the last method that returned `false`. */
  lastError = 0;

  readonly #session: WebSocketSession;
  readonly #context: ChannelContext;
  readonly #release: (() => void) | undefined;
  #reader: ((received: Received) => void) | undefined = undefined;
  #working = false; // the program has a frame and has not called recv() again
  #readUntil = 0;
  #pushes: WaitingPush[] = [];
  #pushBytes = 0;
  #alarm: Alarm | undefined = undefined;
  #failure = 0; // for the last recv()
  #endTold = false; // the last recv() has returned
  #hungUp = false; // the program called close()

  /** @param release Called when the connection is over. */
  constructor(session: WebSocketSession, context: ChannelContext, release?: () => void) {
    this.#session = session;
    this.#context = context;
    this.#release = release;
  }

  /** Whether messages can be sent. */
  get isOpen(): boolean {
    const { connection, endpoint } = this.#session;
    return endpoint.canSend && connection.isOpen;
  }

  /**
   * How the connection ended; `undefined` while it is open. If the program has to answer the peer's Close, this is set as soon as
   * `recv()` has reported the end. It counts on the answer, which is sent when the handler returns if not before.
   */
  get ending(): CloseInfo | undefined {
    const session = this.#session;
    if (session.closeInfo !== undefined || !this.#endTold) return session.closeInfo;
    return session.infoAt({ initiator: "remote", isOrderly: !this.#hungUp, error: undefined }, true);
  }

  // ---- receiving ----------------------------------------------------------------------------------------------------

  /**
   * Returns the next frame, or waits for it.
   *
   * @param timeout The timeout in seconds; 0 for the default of the settings, negative for no limit.
   */
  recv(timeout = 0): Promise<Received> {
    checkTimeout(timeout);
    if (this.#reader !== undefined) throw new Error("Cannot receive: another recv() of this connection is waiting");
    const session = this.#session;
    if (!session.waiting.isEmpty) return Promise.resolve(this.#take());
    this.#working = false;
    session.settleViolation();
    if (!session.connection.isOpen || session.endpoint.owesClose) return Promise.resolve(this.#end());
    return new Promise((resolve) => {
      this.#reader = resolve;
      const wait = timeout === 0 ? this.#context.readTimeout : timeout * 1000;
      this.#readUntil = wait > 0 ? performance.now() + wait : 0;
      if (this.#readUntil > 0) this.#wakeAt(this.#readUntil);
    });
  }

  #take(): ReceivedFrame {
    const session = this.#session;
    const frame = session.waiting.shift();
    this.#working = true;
    if (frame instanceof CloseFrame && this.#context.answersClose) session.endpoint.answerClose();
    session.onDequeued();
    return frame;
  }

  /** Returns the result of `recv()` when nothing more will arrive. */
  #end(): "" | false {
    const code = this.#hungUp || this.#endTold ? this.#context.closedError : this.#failure;
    this.#endTold = true;
    if (code === 0) return "";
    this.lastError = code;
    return false;
  }

  #settleReader(received: Received): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.(received);
  }

  deliver(frame: ReceivedFrame): void {
    const { counters } = this.#context;
    if (counters !== undefined) counters.received[frame.opcode]++;
    if (this.#reader !== undefined) {
      this.#working = true;
      if (frame.opcode === WEBSOCKET_OPCODE_TEXT) void frame.data; // decode it in place instead of copying it first
      Frame["settle"](frame);
      return this.#settleReader(frame);
    }
    this.#session.enqueue(frame);
  }

  /** Deliveries end with the connection, but frames that wait can still be received. */
  get isBehind(): boolean {
    return false;
  }

  get waitingBytes(): number {
    return this.#pushBytes;
  }

  // ---- sending ------------------------------------------------------------------------------------------------------

  /**
   * Sends a message, or any frame. Waits while the peer is slow.
   *
   * @param data The message; see `push()` of `WebSocketServer`.
   * @param opcode The frame type.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`.
   */
  push(data: Pushable, opcode?: number, flags?: number | boolean): Promise<boolean> {
    if (typeof data === "string" && (opcode === undefined || opcode === WEBSOCKET_OPCODE_TEXT) && flags === undefined) {
      // The common case. Whatever prevents it is found below.
      if (this.#pushes.length === 0 && this.isOpen && !this.#isFull && this.#session.sendText(data)) return TRUE;
    }
    const frame = readPushed(data, opcode, flags);
    if (frame === undefined) return this.#fails(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    if (!this.isOpen) return this.#fails(this.whyClosed);
    if (this.#pushes.length === 0 && !this.#isFull) return this.#sendCounted(frame) ? TRUE : FALSE;
    const size = frame.end - frame.start + PUSH_COST;
    // The first waiting push may have any size: a program that awaits each push holds no more than one.
    if (this.#pushes.length > 0 && this.#pushBytes + size > this.#context.sendLimit) {
      const { counters } = this.#context;
      if (counters !== undefined) counters.refusedSends++;
      return this.#fails(SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW);
    }
    const { writeTimeout } = this.#context;
    const until = writeTimeout > 0 ? performance.now() + writeTimeout : 0;
    if (until > 0) this.#wakeAt(until);
    return new Promise((resolve) => {
      const settle = (sent: boolean) => {
        if (sent) this.#countSent(frame);
        resolve(sent);
      };
      this.#enqueue({ frame, until, settle });
    });
  }

  #sendCounted(frame: Outgoing): boolean {
    if (!this.#send(frame)) return false;
    this.#countSent(frame);
    return true;
  }

  #countSent({ opcode }: Outgoing): void {
    const { counters } = this.#context;
    if (counters !== undefined) counters.sent[opcode]++;
  }

  #enqueue(push: WaitingPush): void {
    this.#pushBytes += push.frame.end - push.frame.start + PUSH_COST;
    this.#pushes.push(push);
  }

  sendBehind(frame: Outgoing, settle: (sent: boolean) => void): boolean {
    if (this.#pushes.length === 0) return false;
    this.#enqueue({ frame, until: 0, settle });
    return true;
  }

  get #isFull(): boolean {
    const { connection, endpoint } = this.#session;
    return connection.isFull || endpoint.waitingBytes >= COMPRESSING_LIMIT;
  }

  #send(frame: Outgoing): boolean {
    if (this.#session.send(frame)) return true;
    // Fragments of two messages would be mixed, or a Close was sent before.
    this.lastError = this.isOpen ? SWOOLE_ERROR_WEBSOCKET_PACK_FAILED : this.whyClosed;
    return false;
  }

  /** Sends waiting pushes in order, as far as there is room, or all of them before a Close. */
  #sendWaiting(all: boolean): void {
    while (this.#pushes.length > 0 && (all || !this.#isFull)) {
      const { frame, settle } = this.#pushes.shift()!;
      this.#pushBytes -= frame.end - frame.start + PUSH_COST;
      try {
        settle(this.#send(frame));
      } catch (error) { // its buffer has been transferred: nobody who calls this has done that
        settle(false);
        return this.#session.connection.onFault(error);
      }
    }
  }

  onDrain(): void {
    if (this.#pushes.length > 0) this.#sendWaiting(false);
  }

  #fails(code: number): Promise<false> {
    this.lastError = code;
    return FALSE;
  }

  /** The last-error code for sending when it is not open. */
  get whyClosed(): number {
    if (this.#hungUp) return this.#context.closedError;
    return this.#session.connection.isOpen ? SWOOLE_ERROR_WEBSOCKET_UNCONNECTED : this.#context.goneError;
  }

  // ---- closing ------------------------------------------------------------------------------------------------------

  /**
   * Starts the closing handshake after waiting pushes, or answers the peer's Close.
   *
   * @param code The close code: 1000-1003, 1007-1014 or 3000-4999.
   * @param reason The reason, at most 123 bytes of UTF-8.
   */
  disconnect(code: number, reason: string): boolean {
    const payload = isSendableCloseCode(code) ? encodeClose(code, reason) : undefined;
    if (payload === undefined) {
      this.lastError = SWOOLE_ERROR_WEBSOCKET_PACK_FAILED;
      return false;
    }
    if (!this.isOpen) {
      this.lastError = this.whyClosed;
      return false;
    }
    this.#sendWaiting(true);
    return this.#session.startClose(payload);
  }

  onClosing(): void {
    this.#session.readOn(); // up to the peer's Close; messages before it are dropped
  }

  /** Closes the connection after pending output, without a Close frame. */
  close(): boolean {
    if (!this.#session.connection.isOpen || this.#hungUp) {
      this.lastError = this.#context.closedError;
      return false;
    }
    this.#sendWaiting(true);
    this.#session.closeWithoutFrame();
    this.#hungUp = true;
    this.#drop();
    return true;
  }

  /** Closes the WebSocket properly, unless that was done, because the program no longer uses it. */
  leave(): void {
    const { endpoint } = this.#session;
    if (this.#session.settleViolation()) { /* that has closed it */ }
    else if (endpoint.owesClose) endpoint.answerClose();
    else if (this.isOpen) this.disconnect(1000, "");
    this.#drop();
  }

  /** Drops received messages, which will not be read. */
  #drop(): void {
    this.#session.waiting.clear();
    this.#working = false;
    this.#session.readOn();
  }

  // A Close or a violation takes effect when the program is done with the frames before it, so that its replies to them are still
  // sent; but it waits at most `closeTimeout`.

  get isAtWork(): boolean {
    return this.#reader === undefined && (this.#working || !this.#session.waiting.isEmpty);
  }

  onClose(payload: Uint8Array): void {
    const session = this.#session;
    const { isAtWork } = this;
    session.deliverClose(payload);
    if (this.#context.answersClose && !isAtWork) session.endpoint.sendClose(payload);
    else session.awaitEnd();
  }

  onFinished(code: number): void {
    if (!this.#session.peerClosing && code !== 1011 && code !== 1013) {
      this.#failure = code === 1009 ? SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE : SWOOLE_ERROR_WEBSOCKET_UNPACK_FAILED;
    }
  }

  onClosed(end: ConnectionEnd): void {
    this.#release?.();
    this.#alarm?.clear();
    if (end.initiator === "remote" && end.error !== undefined && this.#failure === 0) this.#failure = ECONNRESET;
    for (const { settle } of this.#pushes.splice(0)) {
      this.lastError = this.#context.goneError;
      settle(false);
    }
    this.#pushBytes = 0;
    if (this.#reader !== undefined) this.#settleReader(this.#end());
  }

  // ---- time ---------------------------------------------------------------------------------------------------------

  #wakeAt(time: number): void {
    (this.#alarm ??= new Alarm(() => this.#onAlarm())).at(time);
  }

  #onAlarm(): void {
    const now = performance.now();
    if (this.#reader !== undefined && this.#readUntil > 0) {
      if (this.#readUntil <= now) {
        this.lastError = ETIMEDOUT;
        this.#settleReader(false);
      } else {
        this.#wakeAt(this.#readUntil);
      }
    }
    // All pushes have the same timeout, so the first is due first. What was published has none.
    for (let i = 0; i < this.#pushes.length;) {
      const { frame, until, settle } = this.#pushes[i];
      if (until > now) return this.#wakeAt(until);
      if (until === 0) {
        i++;
        continue;
      }
      this.#pushes.splice(i, 1);
      this.#pushBytes -= frame.end - frame.start + PUSH_COST;
      this.lastError = ETIMEDOUT;
      settle(false);
    }
  }
}
