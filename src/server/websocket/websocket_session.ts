/**
 * An open WebSocket on one connection: joins the protocol with the connection and its deadlines. What becomes of a message is
 * the matter of the style: it goes to a handler, or waits for `recv()`.
 *
 * @module
 */

import type { Connection, Protocol } from "../../connection.ts";
import {
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  SWOOLE_WEBSOCKET_FLAG_MASK,
  SWOOLE_WEBSOCKET_FLAG_RSV1,
  WEBSOCKET_OPCODE_CLOSE,
  WEBSOCKET_OPCODE_PING,
  WEBSOCKET_OPCODE_PONG,
  WEBSOCKET_STATUS_ACTIVE,
  WEBSOCKET_STATUS_CLOSING,
} from "../../constants.ts";
import { nextTurn } from "../../runtime.ts";
import type { Compression } from "../../websocket/deflate/compression.ts";
import { type CloseFrame, Frame } from "../../websocket/frame.ts";
import { closeFrameOf, type Outgoing } from "../../websocket/pack.ts";
import { type ProtocolEvents, type ProtocolOptions, WebSocketProtocol } from "../../websocket/protocol.ts";

/** What the sessions of one server, or of one client, share. Times in milliseconds; 0 turns one off. */
export interface WebSocketHost {
  /** How the protocol behaves. */
  readonly protocolOptions: ProtocolOptions;
  /** `websocket_close_timeout`. */
  readonly closeTimeout: number;
  /** `websocket_ping_interval`. */
  readonly pingInterval: number;
  /** `websocket_ping_timeout`. */
  readonly pingTimeout: number;
  /** The coarse clock: milliseconds that only go forward. */
  readonly now: number;
  /** Messages of at least so many bytes are compressed without being asked for, where that was agreed. */
  readonly compressFrom: number;
  /** `input_buffer_size`: nothing more is read while the messages that wait for the program hold so many bytes. */
  readonly inputLimit: number;
  /** `websocket_message_timeout`. */
  readonly messageTimeout: number;
  /** When an idle connection is to be closed, by the clock; 0 for never. */
  idleDeadline(connection: Connection): number;
}

/** `flags` of a message from a server, and from a client. */
const UNMASKED = SWOOLE_WEBSOCKET_FLAG_FIN;
const MASKED = SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_MASK;

const NO_PAYLOAD = new Uint8Array(0);

/** The WebSocket protocol of one connection, either role. */
export abstract class WebSocketSession implements Protocol, ProtocolEvents {
  /** The protocol. */
  readonly protocol: WebSocketProtocol;

  /** The connection. */
  readonly connection: Connection;

  /** What it shares with others. */
  protected readonly host: WebSocketHost;
  /** Whether the peer's Close was delivered: one of ours is the answer. */
  protected peerClosing = false;

  #pongsDue = 0; // replies to our own pings that are still to come
  #endsWhenSent = false;
  #closeWaited = false; // our Close was behind other octets when its answer was due
  #finished = false; // a client's closing handshake is done, and the server is to end TCP
  #peerEnded = false; // while what came before is still to be delivered
  #isTurnOver = false; // many frames came at once, and others have their turn
  #probed = 0; // when a ping was sent whose pong is not waited for, since it is we who do not read
  #messageBegun = 0; // when, while its rest is still to come
  #isPaused = false; // for one of these reasons, or since the program has enough
  #pingSent = 0; // when, while its answer is awaited
  #endedByServer = false;

  /** @param compression What was agreed by permessage-deflate, if it was. */
  constructor(connection: Connection, host: WebSocketHost, compression?: Compression) {
    this.connection = connection;
    this.host = host;
    this.protocol = new WebSocketProtocol(host.protocolOptions, this, connection, compression);
    connection.deadline = this.#nextDeadline(connection.lastReceived);
  }

  /** Swoole's `websocket_status`: 3, or 4 when we have sent a Close. */
  get status(): number {
    return this.protocol.isClosing || this.#endedByServer ? WEBSOCKET_STATUS_CLOSING : WEBSOCKET_STATUS_ACTIVE;
  }

  /** Hands a frame to the program. */
  protected abstract deliver(frame: Frame | CloseFrame): void;

  /**
   * Sends a frame.
   *
   * @returns Whether it was sent: not behind a Close, nor when fragments of two messages would be mixed up.
   * @throws {TypeError} If its buffer has been transferred in the meantime.
   */
  send(frame: Outgoing): boolean {
    const { opcode, payload, start, end, prepared } = frame;
    if (payload.length < end) throw new TypeError("Cannot send the message: its buffer has been transferred");
    if (prepared !== undefined) return this.protocol.sendPrepared(prepared, this.#toBeCompressed(frame));
    if (opcode === WEBSOCKET_OPCODE_CLOSE) return this.startClose(payload as Uint8Array);
    if (opcode > WEBSOCKET_OPCODE_CLOSE) return this.protocol.sendControl(opcode, payload as Uint8Array, start, end);
    const fin = (frame.flags & SWOOLE_WEBSOCKET_FLAG_FIN) !== 0;
    return this.protocol.sendData(opcode, payload, fin, start, end, this.#toBeCompressed(frame));
  }

  #toBeCompressed({ flags, start, end }: Outgoing): boolean {
    return this.protocol.isCompressed &&
      ((flags & SWOOLE_WEBSOCKET_FLAG_COMPRESS) !== 0 || end - start >= this.host.compressFrom);
  }

  /** Bytes that have arrived and wait: for the rest of their message, or for the program. */
  get heldBytes(): number {
    return this.protocol.heldBytes;
  }

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.connection.queuedBytes + this.protocol.waitingBytes;
  }

  /**
   * Starts the closing handshake (RFC 6455 section 7.1.2), or answers the peer's Close.
   *
   * @returns Whether the Close frame was sent.
   */
  startClose(payload: Uint8Array): boolean {
    const first = this.protocol.isOpen && !this.peerClosing;
    if (!this.protocol.sendClose(payload)) return false;
    this.#endedByServer = first;
    this.connection.release(); // where the program does not read, the peer's Close would not come
    if (this.connection.isOpen) this.connection.deadline = this.host.now + this.host.closeTimeout;
    return true;
  }

  /** Ends the connection without a Close frame, behind what was sent. */
  hangUp(): void {
    if (!this.protocol.isCompressing) return this.connection.end(true);
    this.#endsWhenSent = true;
    this.protocol.shut();
  }

  // ---- Protocol -----------------------------------------------------------------------------------------------------

  receive(chunk: Uint8Array, at: number, given = false): void {
    this.protocol.receive(chunk, at, given);
    if (this.protocol.isMidMessage !== (this.#messageBegun !== 0)) this.#onMessageTurn();
  }

  /** A message has begun whose rest is still to come, or that rest has come. */
  #onMessageTurn(): void {
    this.#messageBegun = this.#messageBegun === 0 ? this.host.now : 0;
    this.onIdleChange();
  }

  receiveEnd(): void {
    if (this.isBehind) {
      this.#peerEnded = true;
      this.connection.deadline = this.host.now + this.host.closeTimeout;
      return;
    }
    this.protocol.abandon(); // section 7.1.5: the peer is gone without a Close, 1006
    this.connection.end(this.#endedByServer);
  }

  onDeadline(now: number): void {
    const connection = this.connection;
    if (this.#finished) return connection.end(this.#endedByServer);
    if (this.#peerEnded) {
      this.protocol.abandon();
      return connection.end(this.#endedByServer);
    }
    if (this.protocol.isClosing) return this.#onCloseTimeout(now);
    if (this.protocol.owesClose) return this.protocol.answerClose(); // nor does the program the peer's
    if (connection.isPaused && this.#messageBegun !== 0) this.#messageBegun = now; // it is we who do not take the rest
    if (this.#messageDue !== 0 && this.#messageDue <= now) return this.protocol.fail(1008, "the message takes too long");
    const idle = this.host.idleDeadline(connection);
    if (idle !== 0 && idle <= now && !connection.isPaused) return connection.end(false);
    const heard = this.#lastHeard;
    if (this.#pingSent !== 0) {
      if (heard >= this.#pingSent) this.#pingSent = 0;
      else if (now >= this.#pingSent + this.host.pingTimeout) return connection.abort(false);
    }
    const { pingInterval } = this.host;
    if (this.#pingSent === 0 && pingInterval > 0 && now >= heard + pingInterval) {
      this.#pingSent = now;
      this.#pongsDue++;
      this.protocol.sendControl(WEBSOCKET_OPCODE_PING, NO_PAYLOAD); // section 5.5.2: a ping may serve as a keepalive
    } else if (connection.isPaused && connection.queuedBytes === 0 && pingInterval > 0 && now >= this.#probed + pingInterval) {
      // Its pong is not read. But a peer that has gone cannot take it, and the system tells of that.
      this.#probed = now;
      this.#pongsDue++;
      this.protocol.sendControl(WEBSOCKET_OPCODE_PING, NO_PAYLOAD);
    }
    connection.deadline = this.#nextDeadline(this.#lastHeard);
  }

  onIdleChange(): void {
    // A closing connection has another deadline.
    if (this.protocol.isOpen && !this.peerClosing) this.connection.deadline = this.#nextDeadline(this.#lastHeard);
  }

  /** The peer has not answered our Close; one that still reads what was sent before it has all the time that takes. */
  #onCloseTimeout(now: number): void {
    const { connection } = this;
    const due = Math.max(connection.lastSent, connection.lastProgress) + this.host.closeTimeout;
    if (connection.queuedBytes > 0 && due > now) connection.deadline = due;
    else if (connection.queuedBytes === 0 && this.#closeWaited) connection.deadline = now + this.host.closeTimeout;
    else return connection.abort();
    this.#closeWaited = connection.queuedBytes > 0;
  }

  /**
   * The last sign of life: bytes, or progress through a queue behind which the reply to our ping is still to come. While it is we
   * who do not read, the peer cannot show that it lives, except by taking what we send.
   */
  get #lastHeard(): number {
    const { lastReceived, lastProgress, lastSent, isPaused, queuedBytes } = this.connection;
    if (!isPaused) return Math.max(lastReceived, lastProgress);
    return queuedBytes === 0 ? this.host.now : Math.max(lastSent, lastProgress);
  }

  #nextDeadline(heard: number): number {
    const { pingInterval, pingTimeout } = this.host;
    let deadline = this.host.idleDeadline(this.connection);
    let ping = 0;
    if (this.#pingSent !== 0) ping = Math.min(this.#pingSent + pingTimeout, this.host.now + pingInterval);
    else if (pingInterval > 0) ping = heard + pingInterval;
    if (ping !== 0 && (deadline === 0 || ping < deadline)) deadline = ping;
    const message = this.#messageDue;
    if (message !== 0 && (deadline === 0 || message < deadline)) deadline = message;
    return deadline;
  }

  /** When the message that has begun is late; 0 for never. */
  get #messageDue(): number {
    const { messageTimeout } = this.host;
    return this.#messageBegun === 0 || messageTimeout === 0 ? 0 : this.#messageBegun + messageTimeout;
  }

  onFault(): void {
    this.protocol.fail(1011, "");
  }

  onClosed(): void {
    this.protocol.abandon();
  }

  // ---- ProtocolEvents -----------------------------------------------------------------------------------------------

  onMessage(opcode: number, bytes: Uint8Array, start: number, end: number, compressed: boolean, lent: boolean): void {
    let flags = this.host.protocolOptions.masked ? MASKED : UNMASKED;
    if (compressed) flags |= SWOOLE_WEBSOCKET_FLAG_COMPRESS | SWOOLE_WEBSOCKET_FLAG_RSV1;
    this.deliver(Frame.received(this.connection.fd, opcode, flags, bytes, start, end, lent));
  }

  onPing(bytes: Uint8Array, start: number, end: number): void {
    this.onMessage(WEBSOCKET_OPCODE_PING, bytes, start, end, false, true);
  }

  onPong(bytes: Uint8Array, start: number, end: number): void {
    if (this.#pongsDue > 0 && start === end) return void this.#pongsDue--; // nobody but us has asked for it
    this.onMessage(WEBSOCKET_OPCODE_PONG, bytes, start, end, false, true);
  }

  get isCongested(): boolean {
    return this.connection.isFull;
  }

  onDrain(): void {
    this.protocol.sendPong();
  }

  onHold(): void {
    this.updateReading();
  }

  onTurnOver(): void {
    this.#isTurnOver = true;
    this.updateReading();
    nextTurn(() => {
      this.#isTurnOver = false;
      this.onGoOn(() => this.protocol.goOn());
    });
  }

  onGoOn(work: () => void): void {
    const { connection } = this;
    if (!connection.isOpen) return;
    connection.gather(work);
    if (!connection.isOpen) return;
    this.updateReading();
    if (this.#peerEnded && !this.isBehind) connection.gather(() => this.receiveEnd());
  }

  /** Stops reading the connection, or goes on, as what keeps it from being read comes and goes. */
  protected updateReading(): void {
    const { connection } = this;
    const isBusy = this.protocol.isInflating || this.#isTurnOver || this.isHoldingBack;
    if (isBusy === this.#isPaused || !connection.isOpen) return;
    this.#isPaused = isBusy;
    if (isBusy) connection.pause();
    else connection.resume();
  }

  /** Whether the program has so many messages to take that nothing more is to be read. */
  protected get isHoldingBack(): boolean {
    return false;
  }

  /** Whether what has arrived before the end of the connection is still to be delivered. */
  protected get isBehind(): boolean {
    return this.protocol.isInflating || this.#isTurnOver;
  }

  onCompressed(): void {
    if (this.#endsWhenSent) this.connection.end(true);
  }

  onViolation(code: number, reason: string): void {
    this.protocol.fail(code, reason);
  }

  onClose(payload: Uint8Array): void {
    const frame = closeFrameOf(payload);
    frame.fd = this.connection.fd;
    frame.flags = this.host.protocolOptions.masked ? MASKED : UNMASKED;
    frame.finish = true;
    this.peerClosing = true;
    this.deliver(frame);
  }

  onFinished(_code: number, _reason: string): void {
    const { masked } = this.host.protocolOptions;
    if (masked || !this.peerClosing) return this.connection.end(this.#endedByServer);
    // Section 7.1.1: a client leaves it to the server to end TCP first.
    this.#finished = true;
    this.connection.deadline = this.host.now + this.host.closeTimeout;
  }
}
