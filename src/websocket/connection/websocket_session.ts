/**
 * An open WebSocket: connects an endpoint with a connection, its deadlines, and a consumer of messages.
 *
 * @module
 */

import { EMPTY } from "../../transport/bytes.ts";
import { type CloseInfo, type ConnectionEnd, timedOut, TimeoutError } from "../../transport/connection_end.ts";
import type { Connection, Protocol } from "../../transport/connection.ts";
import { transferred } from "../../values.ts";
import {
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  SWOOLE_WEBSOCKET_FLAG_MASK,
  SWOOLE_WEBSOCKET_FLAG_RSV1,
  WEBSOCKET_OPCODE_CLOSE,
  WEBSOCKET_OPCODE_PING,
  WEBSOCKET_OPCODE_PONG,
  WEBSOCKET_OPCODE_TEXT,
  WEBSOCKET_STATUS_ACTIVE,
  WEBSOCKET_STATUS_CLOSING,
} from "../../constants.ts";
import { closeInfoOf, type End } from "../close_code.ts";
import { deadlineIn } from "../../transport/deadlines.ts";
import { nextTurn } from "../../transport/current_runtime.ts";
import type { Compression } from "../deflate/compression.ts";
import { closeFrameOf, Frame, type ReceivedFrame } from "../frame.ts";
import type { Outgoing } from "../outgoing.ts";
import type { FrameConsumer, HeldOutput, WebSocketContext } from "./session_interfaces.ts";
import { MessageQueue, NO_MESSAGES } from "./received_messages.ts";
import { type EndpointEvents, WebSocketEndpoint } from "../endpoint.ts";

/** The `flags` of a message from a server, and from a client. */
const UNMASKED = SWOOLE_WEBSOCKET_FLAG_FIN;
const MASKED = SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_MASK;

/** The WebSocket protocol on one connection, in either role. */
export class WebSocketSession<C extends FrameConsumer = FrameConsumer> implements Protocol, EndpointEvents {
  /** The endpoint, which decodes and encodes frames. */
  readonly endpoint: WebSocketEndpoint;

  /** The connection. */
  readonly connection: Connection;

  /** The path of the handshake, for the log, if it is known. */
  readonly path: string | undefined;

  /** What takes the frames. */
  readonly consumer: C;

  /** The messages that wait for the program; see `enqueue()`. */
  waiting: MessageQueue = NO_MESSAGES;

  /** The published messages that wait until it can take them, if there are any. */
  held: HeldOutput | undefined = undefined;

  /** The number of bytes that its subscriptions to topics take, about. */
  subscribedBytes = 0;

  /** Whether the peer's Close was delivered, so that a Close of ours is the reply. */
  peerClosing = false;

  /** How the connection ended, once it has. */
  closeInfo: CloseInfo | undefined = undefined;

  readonly #context: WebSocketContext;
  #violation: { code: number; reason: string } | undefined = undefined; // takes effect when the consumer is done
  #pongsDue = 0; // pongs still expected for our own pings
  #whenSent: (() => void) | undefined = undefined; // ends the connection when all is compressed and sent
  #closeWaited = false; // our Close was still queued when the reply was due
  #mostSent = 0; // of the bytes for which a peer gets more time to answer our Close; pongs may follow
  #finished = false; // a client is done with the closing handshake; the server must end TCP
  #peerEnded = false; // the peer ended while earlier input was still to be delivered
  #isTurnOver = false; // many frames came at once; other connections have their turn
  #probed = 0; // when a ping was sent whose pong is not awaited, because we do not read
  #messageBegun = 0; // when the incomplete message began; 0 if there is no such message
  #holdsBack = false; // so many messages wait that reading must stop
  #isPaused = false; // reading is paused by #updateReading()
  #pingSent = 0; // when the ping was sent that awaits a reply; 0 if there is no such ping
  #pingAt = 0; // the same by `performance.now()`, to measure the time until its pong

  /**
   * @param makeConsumer Makes the consumer of the session.
   * @param compression The compression, if permessage-deflate was agreed.
   * @param path The path of the handshake, for the log; a string shared by many sessions.
   */
  constructor(
    connection: Connection,
    context: WebSocketContext,
    makeConsumer: (session: WebSocketSession) => C,
    compression?: Compression,
    path?: string,
  ) {
    this.path = path;
    this.connection = connection;
    this.#context = context;
    this.endpoint = new WebSocketEndpoint(context.endpointOptions, this, connection, compression);
    connection.deadline = this.#nextDeadline(connection.lastReceived);
    this.consumer = makeConsumer(this);
  }

  get #endedByServer(): boolean {
    return this.endpoint.closing?.byProgram === true;
  }

  /** Swoole's `websocket_status`: 3, or 4 once we have sent a Close. */
  get status(): number {
    return this.endpoint.isClosing || this.#endedByServer ? WEBSOCKET_STATUS_CLOSING : WEBSOCKET_STATUS_ACTIVE;
  }

  /** Lets a message wait for the program. Stops reading while the waiting ones hold `inputLimit`. */
  enqueue(frame: ReceivedFrame): void {
    if (this.waiting === NO_MESSAGES) this.waiting = new MessageQueue();
    this.connection.grown += this.waiting.push(frame);
    if (this.#holdsBack || this.waiting.bytes < this.#context.inputLimit) return;
    this.#holdsBack = true;
    this.#updateReading();
  }

  /** Reads again if enough of the waiting messages have been taken. */
  onDequeued(): void {
    if (this.#holdsBack && this.waiting.bytes < this.#context.inputLimit / 2) this.readOn();
  }

  /** Reads again, however many messages wait. */
  readOn(): void {
    if (!this.#holdsBack) return;
    this.#holdsBack = false;
    this.#updateReading();
  }

  /**
   * Sends a frame.
   *
   * @returns Whether it was sent: not after a Close, nor if fragments of two messages would be mixed.
   * @throws {TypeError} If its buffer has been transferred since.
   */
  send(frame: Outgoing): boolean {
    const { opcode, payload, start, end, prepared } = frame;
    if (payload.length < end) throw transferred("send");
    if (prepared !== undefined) return this.endpoint.sendPrepared(prepared, this.#toBeCompressed(frame));
    if (opcode === WEBSOCKET_OPCODE_CLOSE) return this.startClose(payload as Uint8Array);
    if (opcode > WEBSOCKET_OPCODE_CLOSE) return this.endpoint.sendControl(opcode, payload as Uint8Array, start, end);
    const fin = (frame.flags & SWOOLE_WEBSOCKET_FLAG_FIN) !== 0;
    const sent = this.endpoint.sendData(opcode, payload, fin, start, end, this.#toBeCompressed(frame));
    if (opcode === 0 && fin) this.held?.onRoom();
    return sent;
  }

  /** See `WebSocketContext`. */
  get sendLimit(): number {
    return this.#context.sendLimit;
  }

  /** Sends a whole text message; see `send()`. */
  sendText(text: string): boolean {
    const { endpoint } = this;
    const compresses = endpoint.isCompressed && text.length >= this.#context.compressFrom;
    return endpoint.sendData(WEBSOCKET_OPCODE_TEXT, text, true, 0, text.length, compresses);
  }

  #toBeCompressed({ flags, start, end }: Outgoing): boolean {
    return this.endpoint.isCompressed &&
      ((flags & SWOOLE_WEBSOCKET_FLAG_COMPRESS) !== 0 || end - start >= this.#context.compressFrom);
  }

  /** The number of bytes held for unfinished messages, for messages that wait for the program, and for subscriptions. */
  get heldBytes(): number {
    return this.endpoint.heldBytes + this.waiting.bytes + this.subscribedBytes;
  }

  get waitingBytes(): number {
    return this.endpoint.waitingBytes + (this.consumer.waitingBytes ?? 0) + (this.held?.bytes ?? 0);
  }

  get unfinishedBytes(): number {
    return this.heldBytes;
  }

  shed(): boolean {
    this.endpoint.fail(1013, "the server is short of memory");
    return false;
  }

  /** The number of bytes pending for output. */
  get queuedBytes(): number {
    return this.connection.queuedBytes + this.endpoint.waitingBytes;
  }

  /**
   * Starts the closing handshake (RFC 6455 section 7.1.2), or answers the peer's Close.
   *
   * @returns Whether the Close frame was sent.
   */
  startClose(payload: Uint8Array): boolean {
    const first = this.endpoint.isOpen && !this.peerClosing;
    if (!this.endpoint.sendClose(payload)) return false;
    if (first) this.endpoint.closing!.byProgram = true;
    this.connection.release(); // read again, or the peer's Close would never arrive
    if (this.connection.isOpen) this.awaitEnd();
    this.consumer.onClosing();
    this.settleViolation(); // the peer's answer would not be read
    return true;
  }

  /** Closes the connection after pending output, without a Close frame. */
  closeWithoutFrame(byServer = true): void {
    if (!this.endpoint.isCompressing) return this.connection.end(byServer);
    this.#whenSent = () => this.connection.end(byServer);
    this.endpoint.shut();
  }

  // ---- Protocol -----------------------------------------------------------------------------------------------------

  receive(chunk: Uint8Array, at: number, given = false): void {
    this.endpoint.receive(chunk, at, given);
    if (this.endpoint.isMidMessage !== (this.#messageBegun !== 0)) this.#onMessageTurn();
  }

  /** Notes that an incomplete message has begun, or that it is now complete. */
  #onMessageTurn(): void {
    this.#messageBegun = this.#messageBegun === 0 ? this.#context.now : 0;
    this.onIdleChange();
  }

  receiveEnd(): void {
    if (this.#isBehind || this.#violation !== undefined) {
      this.#peerEnded = true;
      return this.awaitEnd();
    }
    if (this.endpoint.isCompressing) return this.closeWithoutFrame(this.#endedByServer);
    this.endpoint.abandon(); // section 7.1.5: 1006, because the peer ended without a Close
    this.connection.end(this.#endedByServer);
  }

  onDeadline(now: number): void {
    this.#checkDeadlines(now);
    if (this.connection.isOpen) this.consumer.onDeadline?.();
  }

  #checkDeadlines(now: number): void {
    const connection = this.connection;
    if (this.#isEnding && this.#context.closeTimeout === 0) return;
    if (this.settleViolation()) return;
    if (this.#finished) return connection.end(this.#endedByServer);
    if (this.#peerEnded) {
      this.endpoint.abandon();
      return connection.end(this.#endedByServer);
    }
    if (this.endpoint.isClosing) return this.#onCloseTimeout(now);
    if (this.endpoint.owesClose) return this.endpoint.answerClose(); // the program did not answer the peer's Close
    // While we do not read, the rest of a message cannot arrive. A flood that waits for its next turn does not count.
    if (connection.isPaused && !this.#isTurnOver && this.#messageBegun !== 0) this.#messageBegun = now;
    if (this.#messageDue !== 0 && this.#messageDue <= now) {
      connection.error ??= new TimeoutError("websocket_message_timeout");
      return this.endpoint.fail(1008, "the message takes too long");
    }
    const idle = this.#context.idleDeadline(connection);
    if (idle !== 0 && idle <= now && !connection.isPaused) {
      return connection.end(false, timedOut(this.#context.idleSetting(connection)));
    }
    const heard = this.#lastHeard;
    const { pingInterval, pingTimeout } = this.#context;
    if (this.#pingSent !== 0) {
      if (heard >= this.#pingSent) this.#pingSent = 0;
      else if (pingTimeout > 0 && now >= this.#pingSent + pingTimeout) {
        return connection.abort(false, timedOut("websocket_ping_timeout"));
      }
    }
    const isDue = this.#pingSent === 0 && pingInterval > 0 && now >= heard + pingInterval;
    // While we do not read, nor is the pong read, but sending to a peer that disconnected makes the system report it.
    const mayProbe = connection.isPaused && connection.queuedBytes === 0 && pingInterval > 0;
    if (isDue || (mayProbe && now >= this.#probed + pingInterval)) {
      this.#pongsDue++;
      this.endpoint.sendControl(WEBSOCKET_OPCODE_PING, EMPTY); // section 5.5.2: a ping can serve as a keepalive
      if (isDue) {
        this.#pingSent = now;
        this.#pingAt = performance.now();
      } else {
        this.#probed = now;
      }
    }
    connection.deadline = this.#nextDeadline(this.#lastHeard);
  }

  onIdleChange(): void {
    // A closing connection has a different deadline.
    if (this.endpoint.isOpen && !this.peerClosing && !this.#isEnding) {
      this.connection.deadline = this.#nextDeadline(this.#lastHeard);
    }
  }

  /** Whether the connection ends once somebody has done the rest: the peer, or the program. `closeTimeout` limits that time. */
  get #isEnding(): boolean {
    const { isClosing, owesClose } = this.endpoint;
    return this.#finished || this.#peerEnded || this.#violation !== undefined || isClosing || owesClose;
  }

  /** Starts the time limit of the end of the connection. */
  awaitEnd(): void {
    this.connection.deadline = deadlineIn(this.#context.closeTimeout, this.#context.now);
  }

  /** Handles a peer that has not answered our Close in time. As long as it takes earlier output, it gets more time. */
  #onCloseTimeout(now: number): void {
    const { connection } = this;
    this.#mostSent ||= connection.sentBytes;
    const isQueued = connection.sentBytes - connection.queuedBytes < this.#mostSent;
    const due = Math.max(connection.lastSent, connection.lastProgress) + this.#context.closeTimeout;
    if (isQueued && due > now) connection.deadline = due;
    else if (!isQueued && this.#closeWaited) connection.deadline = now + this.#context.closeTimeout;
    else return connection.abort(true, timedOut("websocket_close_timeout"));
    this.#closeWaited = isQueued;
  }

  /**
   * The time of the last sign of life: received bytes, or progress of output queued before our ping. While we do not read, a peer
   * can only show that it lives by taking output.
   */
  get #lastHeard(): number {
    const { lastReceived, lastProgress, lastSent, isPaused, queuedBytes } = this.connection;
    if (!isPaused) return Math.max(lastReceived, lastProgress);
    return queuedBytes === 0 ? this.#context.now : Math.max(lastSent, lastProgress);
  }

  #nextDeadline(heard: number): number {
    const { pingInterval, pingTimeout } = this.#context;
    let deadline = this.#context.idleDeadline(this.connection);
    let ping = 0;
    if (this.#pingSent !== 0) ping = Math.min(this.#pingSent + (pingTimeout || Infinity), this.#context.now + pingInterval);
    else if (pingInterval > 0) ping = heard + pingInterval;
    if (ping !== 0 && (deadline === 0 || ping < deadline)) deadline = ping;
    const message = this.#messageDue;
    if (message !== 0 && (deadline === 0 || message < deadline)) deadline = message;
    return deadline;
  }

  /** The time at which the incomplete message is late; 0 for never. */
  get #messageDue(): number {
    const { messageTimeout } = this.#context;
    return this.#messageBegun === 0 || messageTimeout === 0 ? 0 : this.#messageBegun + messageTimeout;
  }

  onFault(error: unknown): void {
    this.connection.error ??= error;
    this.endpoint.fail(1011, "");
  }

  describe(): string {
    return this.path === undefined ? "WebSocket" : `WebSocket ${this.path}`;
  }

  onClosed(end: ConnectionEnd): void {
    this.closeInfo = this.infoAt(end);
    this.endpoint.abandon();
    this.consumer.onClosed(end);
  }

  /**
   * Describes an end of the connection, which need not have happened yet.
   *
   * @param isAnswered Whether to count on our answer to the peer's Close, which may not have been sent yet.
   */
  infoAt(end: End, isAnswered = false): CloseInfo {
    return closeInfoOf(this.endpoint.closing, end, isAnswered, this.#context.dataOf(this.connection.fd));
  }

  // ---- EndpointEvents -----------------------------------------------------------------------------------------------

  onMessage(
    opcode: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    compressed: boolean,
    lent: boolean,
    isAscii = false,
  ): void {
    let flags = this.#context.endpointOptions.masked ? MASKED : UNMASKED;
    if (compressed) flags |= SWOOLE_WEBSOCKET_FLAG_COMPRESS | SWOOLE_WEBSOCKET_FLAG_RSV1;
    // The bytes that follow are of another message.
    if (this.#messageBegun !== 0 && opcode < WEBSOCKET_OPCODE_CLOSE) this.#messageBegun = this.#context.now;
    this.consumer.deliver(Frame["received"](this.connection.fd, opcode, flags, bytes, start, end, lent, isAscii));
  }

  onPing(bytes: Uint8Array, start: number, end: number): void {
    this.onMessage(WEBSOCKET_OPCODE_PING, bytes, start, end, false, true);
  }

  onPong(bytes: Uint8Array, start: number, end: number): void {
    if (this.#pongsDue > 0 && start === end) { // the reply to our own ping
      this.#pongsDue--;
      if (this.#pingAt !== 0) this.#context.counters?.pings.add((performance.now() - this.#pingAt) / 1000);
      this.#pingAt = 0;
    } else if (!this.#context.dropsPongs) this.onMessage(WEBSOCKET_OPCODE_PONG, bytes, start, end, false, true);
  }

  get isCongested(): boolean {
    return this.connection.isFull;
  }

  onDrain(): void {
    this.endpoint.sendPong();
    this.consumer.onDrain();
    this.held?.onRoom();
  }

  onHold(): void {
    this.#updateReading();
  }

  onTurnOver(): void {
    this.#isTurnOver = true;
    this.#updateReading();
    nextTurn(() => {
      this.#isTurnOver = false;
      this.onGoOn(() => this.endpoint.goOn());
    });
  }

  onGoOn(work: () => void): void {
    const { connection } = this;
    if (!connection.isOpen) return;
    connection.gather(work);
    if (!connection.isOpen) return;
    if (this.endpoint.isMidMessage !== (this.#messageBegun !== 0)) this.#onMessageTurn();
    this.#updateReading();
    if (this.#peerEnded && !this.#isBehind) connection.gather(() => this.receiveEnd());
  }

  /** Pauses or resumes reading, depending on whether there is a reason not to read. */
  #updateReading(): void {
    const { connection } = this;
    const isBusy = this.endpoint.isInflating || this.#isTurnOver || this.#holdsBack;
    if (isBusy === this.#isPaused || !connection.isOpen) return;
    this.#isPaused = isBusy;
    if (isBusy) connection.pause();
    else connection.resume();
  }

  /** Whether input from before the end of the connection is still to be delivered. */
  get #isBehind(): boolean {
    return this.endpoint.isInflating || this.#isTurnOver || this.consumer.isBehind;
  }

  onCompressed(): void {
    this.connection.gather(() => {
      this.consumer.onDrain();
      this.held?.onRoom();
      this.#whenSent?.();
    });
  }

  onSendFailure(error: unknown): void {
    this.connection.error ??= error;
  }

  onViolation(code: number, reason: string): void {
    if (this.#whenSent !== undefined) return; // what is left of the connection is output
    this.#context.onViolation(this.connection, this.path, code, reason);
    this.#violation = { code, reason };
    if (this.consumer.isAtWork) this.awaitEnd();
    else this.settleViolation();
  }

  /** Fails the connection if the peer has violated the protocol and that has had no effect yet. Returns whether it has. */
  settleViolation(): boolean {
    const violation = this.#violation;
    if (violation === undefined) return false;
    this.#violation = undefined;
    this.endpoint.fail(violation.code, violation.reason);
    return true;
  }

  onClose(payload: Uint8Array): void {
    this.consumer.onClose(payload);
  }

  /** Passes the peer's Close to the program. */
  deliverClose(payload: Uint8Array): void {
    const frame = closeFrameOf(payload);
    frame.fd = this.connection.fd;
    frame.flags = this.#context.endpointOptions.masked ? MASKED : UNMASKED;
    frame.finish = true;
    this.peerClosing = true;
    this.consumer.deliver(frame as ReceivedFrame);
  }

  onFinished(code: number): void {
    this.consumer.onFinished?.(code);
    const { masked } = this.#context.endpointOptions;
    if (masked || !this.peerClosing) return this.connection.end(this.#endedByServer);
    // Section 7.1.1: a client waits for the server to end TCP first.
    this.#finished = true;
    this.awaitEnd();
  }
}
