/**
 * An open WebSocket that is read with `recv()` and written with `push()`: what both ends of the coroutine style are made of.
 *
 * @module
 */

import type { Connection } from "../connection.ts";
import { WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import {
  ECONNRESET,
  ETIMEDOUT,
  SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW,
  SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE,
  SWOOLE_ERROR_WEBSOCKET_PACK_FAILED,
  SWOOLE_ERROR_WEBSOCKET_UNCONNECTED,
  SWOOLE_ERROR_WEBSOCKET_UNPACK_FAILED,
} from "../errors.ts";
import { type WebSocketHost, WebSocketSession } from "../server/websocket/websocket_session.ts";
import { encodeClose, isSendableCloseCode } from "../websocket/close_code.ts";
import type { Compression } from "../websocket/deflate/compression.ts";
import { CloseFrame, Frame } from "../websocket/frame.ts";
import { type Outgoing, readOutgoing } from "../websocket/pack.ts";
import { MessageQueue } from "../websocket/message_queue.ts";
import type { PreparedMessage } from "../websocket/prepared_message.ts";
import { Alarm } from "./alarm.ts";

/**
 * What `recv()` resolves to: a message; the peer's Close, once; `""` when the connection is closed; `false` when it failed or
 * took too long, and `getLastError()` tells why.
 */
export type Received = Frame | CloseFrame | "" | false;

/** What `push()` takes. */
export type Pushable = string | Uint8Array | Frame | PreparedMessage;

/** What the channels of one server, or of one client, share. Times in milliseconds, 0 for no limit; sizes in octets. */
export interface ChannelHost extends WebSocketHost {
  /** Whether Close frames are answered here; otherwise by the program. */
  readonly answersClose: boolean;
  /** How long `recv()` waits when it is not told. */
  readonly readTimeout: number;
  /** How long `push()` waits for room. */
  readonly writeTimeout: number;
  /** The most that pushes which wait for room may hold, beside the first of them. */
  readonly pushLimit: number;
  /** The last-error code for the use of what the program has closed. */
  readonly closedError: number;
  /** The last-error code for sending to a peer that is gone. */
  readonly goneError: number;
}

interface WaitingPush {
  readonly frame: Outgoing;
  readonly until: number;
  readonly settle: (sent: boolean) => void;
}

/** Octets that wait to be compressed from which on `push()` waits. */
const COMPRESSING_LIMIT = 64 * 1024;

/** What a push that waits counts beside its payload, so that many small ones are not free. */
const PUSH_COST = 128;

const TRUE: Promise<true> = Promise.resolve(true);
const FALSE: Promise<false> = Promise.resolve(false);

/** One open WebSocket. */
export class WebSocketChannel extends WebSocketSession {
  /** Why the last method that returned `false` did so. */
  lastError = 0;

  declare protected readonly host: ChannelHost;

  readonly #waiting: MessageQueue = new MessageQueue();
  #holdsBack = false; // the peer is not read: too much of that

  #reader: ((received: Received) => void) | undefined = undefined;
  #working = false; // the program has a frame and has not asked for the next one
  #violation: { code: number; reason: string } | undefined = undefined; // to be told when it has
  #readUntil = 0;
  #pushes: WaitingPush[] = [];
  #pushBytes = 0;
  #alarm: Alarm | undefined = undefined;

  readonly #release: (() => void) | undefined;
  #failure = 0; // for the recv() at the end
  #endTold = false; // that one has been told
  #hungUp = false; // by the program

  /** @param release Called when the connection is over. */
  constructor(connection: Connection, host: ChannelHost, compression?: Compression, release?: () => void) {
    super(connection, host, compression);
    this.#release = release;
  }

  /** Whether messages may be sent. */
  get isOpen(): boolean {
    return this.protocol.canSend && this.connection.isOpen;
  }

  // ---- receiving ----------------------------------------------------------------------------------------------------

  /**
   * Takes the next frame, or waits for it.
   *
   * @param timeout How long to wait, in seconds; 0 for the default of the settings, negative for ever.
   */
  recv(timeout = 0): Promise<Received> {
    if (typeof timeout !== "number" || Number.isNaN(timeout)) {
      throw new TypeError("Cannot receive: the timeout has to be a number of seconds");
    }
    if (this.#reader !== undefined) throw new Error("Cannot receive: another recv() of this connection is waiting");
    if (!this.#waiting.isEmpty) return Promise.resolve(this.#take());
    this.#working = false;
    if (this.#violation !== undefined) this.#fail();
    if (!this.connection.isOpen || this.protocol.owesClose) return Promise.resolve(this.#end());
    return new Promise((resolve) => {
      this.#reader = resolve;
      const wait = timeout === 0 ? this.host.readTimeout : timeout * 1000;
      this.#readUntil = wait > 0 ? performance.now() + wait : 0;
      if (this.#readUntil > 0) this.#wakeAt(this.#readUntil);
    });
  }

  #take(): Frame | CloseFrame {
    const frame = this.#waiting.shift();
    this.#working = true;
    if (frame instanceof CloseFrame && this.host.answersClose) this.protocol.answerClose();
    if (this.#waiting.bytes < this.host.inputLimit / 2) this.#readOn();
    return frame;
  }

  #readOn(): void {
    if (!this.#holdsBack) return;
    this.#holdsBack = false;
    this.updateReading();
  }

  /** What `recv()` gives when nothing more will come. */
  #end(): "" | false {
    const code = this.#hungUp || this.#endTold ? this.host.closedError : this.#failure;
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

  protected override deliver(frame: Frame | CloseFrame): void {
    if (this.#reader !== undefined) {
      this.#working = true;
      if (frame.opcode === WEBSOCKET_OPCODE_TEXT) void frame.data; // decoded from where it is, instead of being copied before
      Frame.settle(frame);
      return this.#settleReader(frame);
    }
    this.#waiting.push(frame);
    if (!this.#holdsBack && this.#waiting.bytes >= this.host.inputLimit) {
      this.#holdsBack = true;
      this.updateReading();
    }
  }

  protected override get isHoldingBack(): boolean {
    return this.#holdsBack;
  }

  override get heldBytes(): number {
    return super.heldBytes + this.#waiting.bytes;
  }

  // ---- sending ------------------------------------------------------------------------------------------------------

  /**
   * Sends a message, or any frame; waits while the peer is slow.
   *
   * @param data What to send; see `push()` of `WebSocketServer`.
   * @param opcode The frame type.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`.
   */
  push(data: Pushable, opcode?: number, flags?: number | boolean): Promise<boolean> {
    const frame = readOutgoing(data, opcode, flags);
    if (frame === undefined) return this.#fails(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    if (!this.isOpen) return this.#fails(this.#whyClosed());
    if (this.#pushes.length === 0 && !this.#isFull) return this.#send(frame) ? TRUE : FALSE;
    const size = frame.end - frame.start + PUSH_COST;
    // One push may be of any size: who waits for it holds no more than that.
    if (this.#pushes.length > 0 && this.#pushBytes + size > this.host.pushLimit) {
      return this.#fails(SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW);
    }
    this.#pushBytes += size;
    const { writeTimeout } = this.host;
    const until = writeTimeout > 0 ? performance.now() + writeTimeout : 0;
    if (until > 0) this.#wakeAt(until);
    return new Promise((settle) => this.#pushes.push({ frame, until, settle }));
  }

  get #isFull(): boolean {
    return this.connection.isFull || this.protocol.waitingBytes >= COMPRESSING_LIMIT;
  }

  #send(frame: Outgoing): boolean {
    if (this.send(frame)) return true;
    // Fragments of two messages would be mixed up, or a Close went out before.
    this.lastError = this.isOpen ? SWOOLE_ERROR_WEBSOCKET_PACK_FAILED : this.#whyClosed();
    return false;
  }

  /** Sends what waits, in order: as far as there is room, or all of it before a Close. */
  #sendWaiting(all: boolean): void {
    while (this.#pushes.length > 0 && (all || !this.#isFull)) {
      const { frame, settle } = this.#pushes.shift()!;
      this.#pushBytes -= frame.end - frame.start + PUSH_COST;
      let sent = false;
      try {
        sent = this.#send(frame);
      } finally {
        settle(sent);
      }
    }
  }

  override onDrain(): void {
    super.onDrain();
    if (this.#pushes.length > 0) this.#sendWaiting(false);
  }

  override onCompressed(): void {
    this.onDrain();
    super.onCompressed();
  }

  #fails(code: number): Promise<false> {
    this.lastError = code;
    return FALSE;
  }

  #whyClosed(): number {
    if (this.#hungUp) return this.host.closedError;
    return this.connection.isOpen ? SWOOLE_ERROR_WEBSOCKET_UNCONNECTED : this.host.goneError;
  }

  // ---- closing ------------------------------------------------------------------------------------------------------

  /**
   * Starts the closing handshake, behind what waits to be sent, or answers the peer's Close.
   *
   * @param code The close code: 1000-1003, 1007-1014 or 3000-4999.
   * @param reason The reason, at most 123 octets of UTF-8.
   */
  disconnect(code: number, reason: string): boolean {
    const payload = isSendableCloseCode(code) ? encodeClose(code, reason) : undefined;
    if (payload === undefined) {
      this.lastError = SWOOLE_ERROR_WEBSOCKET_PACK_FAILED;
      return false;
    }
    if (!this.isOpen) {
      this.lastError = this.#whyClosed();
      return false;
    }
    this.#sendWaiting(true);
    return this.startClose(payload);
  }

  override startClose(payload: Uint8Array): boolean {
    if (!super.startClose(payload)) return false;
    this.#readOn(); // up to the peer's Close; messages are dropped on the way
    return true;
  }

  /** Ends the connection without a Close frame, behind what waits to be sent. */
  close(): boolean {
    if (!this.connection.isOpen || this.#hungUp) {
      this.lastError = this.host.closedError;
      return false;
    }
    this.#sendWaiting(true);
    super.hangUp();
    this.#hungUp = true;
    this.#drop();
    return true;
  }

  /** The program has left the connection: ends it as the RFC says, if the program has not done that. */
  leave(): void {
    if (this.#violation !== undefined) this.#fail();
    else if (this.protocol.owesClose) this.protocol.answerClose();
    else if (this.isOpen) this.disconnect(1000, "");
    this.#drop();
  }

  /** Nobody takes what has arrived. */
  #drop(): void {
    this.#waiting.clear();
    this.#working = false;
    this.#readOn();
  }

  // What ends the connection waits for the program to be done with the frames before it, so that its answers to them still go
  // out; but not for longer than `closeTimeout`.

  get #isAtWork(): boolean {
    return this.#reader === undefined && (this.#working || !this.#waiting.isEmpty);
  }

  override onClose(payload: Uint8Array): void {
    const isAtWork = this.#isAtWork;
    super.onClose(payload);
    if (this.host.answersClose && !isAtWork) this.protocol.sendClose(payload);
    else this.connection.deadline = this.host.now + this.host.closeTimeout;
  }

  override onViolation(code: number, reason: string): void {
    this.#violation = { code, reason };
    if (!this.#isAtWork) return this.#fail();
    this.connection.deadline = this.host.now + this.host.closeTimeout;
  }

  override onDeadline(now: number): void {
    if (this.#violation !== undefined) this.#fail();
    else super.onDeadline(now);
  }

  #fail(): void {
    const { code, reason } = this.#violation!;
    this.#violation = undefined;
    this.protocol.fail(code, reason);
  }

  override onFinished(code: number, reason: string): void {
    if (!this.peerClosing && code !== 1011) {
      this.#failure = code === 1009 ? SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE : SWOOLE_ERROR_WEBSOCKET_UNPACK_FAILED;
    }
    super.onFinished(code, reason);
  }

  override onClosed(): void {
    super.onClosed();
    this.#release?.();
    this.#alarm?.clear();
    if (this.connection.error !== undefined && this.#failure === 0) this.#failure = ECONNRESET;
    for (const { settle } of this.#pushes.splice(0)) {
      this.lastError = this.host.goneError;
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
    // All waited equally long: the first is the oldest.
    while (this.#pushes.length > 0 && this.#pushes[0].until > 0) {
      if (this.#pushes[0].until > now) return this.#wakeAt(this.#pushes[0].until);
      const { frame, settle } = this.#pushes.shift()!;
      this.#pushBytes -= frame.end - frame.start + PUSH_COST;
      this.lastError = ETIMEDOUT;
      settle(false);
    }
  }
}
