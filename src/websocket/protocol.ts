/**
 * One endpoint of a WebSocket connection, either role, as computation: octets in, events and octets out (RFC 6455).
 *
 * @module
 */

import type { ByteSink } from "../byte_sink.ts";
import { sliceBytes } from "../bytes.ts";
import { WEBSOCKET_OPCODE_CLOSE, WEBSOCKET_OPCODE_PING, WEBSOCKET_OPCODE_PONG, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import { type CloseStatus, decodeClose, encodeClose } from "./close_code.ts";
import { type DecoderEvents, type DecoderOptions, MessageDecoder } from "./decoder.ts";
import { type Compression, type Eventually, isThere, type Packed } from "./deflate/compression.ts";
import type { InflateFailure } from "./deflate/engine.ts";
import { SendQueue } from "./deflate/send_queue.ts";
import { frameBytes, writeFrame, writeShared, writeTextFrame } from "./encoder.ts";
import { partsOf, type PreparedMessage } from "./prepared_message.ts";
import { isUtf8 } from "./utf8.ts";

/** How a protocol behaves. One object is shared by all connections of a server. */
export interface ProtocolOptions extends DecoderOptions {
  /** Pings go to `onPing` and are not answered (`open_websocket_ping_frame`). */
  readonly deliverPing: boolean;
  /** Pongs go to `onPong` (`open_websocket_pong_frame`); otherwise they are dropped. */
  readonly deliverPong: boolean;
  /** A Close frame goes to `onClose` before it is answered (`open_websocket_close_frame`). */
  readonly deliverClose: boolean;
  /** A Close frame is answered at once. Otherwise the owner does it, with `sendClose()` or `answerClose()`. */
  readonly answerClose: boolean;
  /** Makes masking keys, for a client; absent for a server. */
  readonly maskingKey?: () => number;
}

/** What a protocol tells its owner. Bytes lie in `bytes` from `start` to `end`. */
export interface ProtocolEvents {
  /**
   * A whole message: text that is valid UTF-8 (opcode 1), or binary (opcode 2). `compressed` tells how it travelled, `lent` whether
   * the memory is valid during the call only; otherwise it is the receiver's.
   */
  onMessage(opcode: number, bytes: Uint8Array, start: number, end: number, compressed: boolean, lent: boolean): void;
  /** Whether the peer takes so little that pongs have to wait for `sendPong()`: a peer cannot make us queue them without end. */
  readonly isCongested: boolean;
  // The memory of control frames is valid during the call only.
  /** A Ping, with `deliverPing` only. */
  onPing(bytes: Uint8Array, start: number, end: number): void;
  /** A Pong, with `deliverPong` only. */
  onPong(bytes: Uint8Array, start: number, end: number): void;
  /**
   * A valid Close frame, with `deliverClose` only, before it is answered. A Close sent from here replaces the answer.
   */
  onClose(payload: Uint8Array): void;
  /** A message is being inflated, which takes time: nothing more should be read until `onGoOn`. */
  onHold(): void;
  /** Many frames came at once: the owner calls `goOn()` in a later turn of the event loop, and reads nothing more until then. */
  onTurnOver(): void;
  /** Inflating has ended: the owner calls `work`, which hands on what waited for it, and reads again. */
  onGoOn(work: () => void): void;
  /** The peer broke a rule; nothing more is read. The owner fails the connection with this, at once or soon. */
  onViolation(code: number, reason: string): void;
  /** What waited for a message to be compressed has been handed to the sink. */
  onCompressed(): void;
  /**
   * The WebSocket is over: everything to send has been handed to the sink, and the transport may be ended. Called once.
   *
   * @param code What the connection ended with: the peer's close code, 1005 for none, or the code it was failed with.
   * @param reason The reason, for the program.
   */
  onFinished(code: number, reason: string): void;
}

/** Waiting for frames. */
const OPEN = 0;
/** Our Close is out; frames are still read, to find the peer's (RFC 6455 section 7.1.2). */
const CLOSE_SENT = 1;
/** The peer's Close is here and its answer is left to the owner; nothing is read any more. */
const CLOSE_RECEIVED = 2;
/** Over. */
const FINISHED = 3;

/**
 * The protocol of one connection after the opening handshake.
 *
 * It joins fragments, answers pings, runs the closing handshake and fails the connection with the right code when the peer
 * breaks a rule. It owns no socket, clock or promise.
 */
export class WebSocketProtocol implements DecoderEvents {
  readonly #options: ProtocolOptions;
  readonly #events: ProtocolEvents;
  readonly #sink: ByteSink;
  readonly #decoder: MessageDecoder;
  readonly #compression: Compression | undefined;
  #queue: SendQueue | undefined = undefined; // once something was compressed
  #state = OPEN;
  #fragmenting = false;
  #compressing = false; // the fragments of the message that is being sent
  #inflating = false;
  #pong: Uint8Array | undefined = undefined; // the payload of one that waits
  #peerClose: Uint8Array | undefined = undefined; // payload of the peer's Close, while it is not answered

  /** @param compression What was agreed by permessage-deflate, if it was. */
  constructor(options: ProtocolOptions, events: ProtocolEvents, sink: ByteSink, compression?: Compression) {
    this.#options = options;
    this.#events = events;
    this.#sink = sink;
    this.#compression = compression;
    this.#decoder = new MessageDecoder(options, this, compression !== undefined);
  }

  /** Whether messages may still be sent. */
  get isOpen(): boolean {
    return this.#state === OPEN;
  }

  /** Whether frames may be sent: also while the answer to the peer's Close is still owed (section 5.5.1). */
  get canSend(): boolean {
    return this.#state === OPEN || this.#state === CLOSE_RECEIVED;
  }

  /** Whether our Close is out and the peer's is awaited. */
  get isClosing(): boolean {
    return this.#state === CLOSE_SENT;
  }

  /** Whether the peer's Close waits for an answer. */
  get owesClose(): boolean {
    return this.#state === CLOSE_RECEIVED;
  }

  /** Whether messages can be compressed. */
  get isCompressed(): boolean {
    return this.#compression !== undefined;
  }

  /** Whether a message is being inflated; what arrives meanwhile waits. */
  get isInflating(): boolean {
    return this.#inflating;
  }

  /** Whether something waits for a message to be compressed. */
  get isCompressing(): boolean {
    return this.#queue?.isBusy ?? false;
  }

  /** Octets that wait, before they reach the sink, because a message is being compressed. */
  get waitingBytes(): number {
    return this.#queue?.waitingBytes ?? 0;
  }

  /** Whether the rest of a message is still to come. */
  get isMidMessage(): boolean {
    return this.#state < CLOSE_RECEIVED && this.#decoder.isMidMessage;
  }

  /** Octets of an unfinished message that are held in memory. */
  get heldBytes(): number {
    return this.#decoder.heldBytes;
  }

  /**
   * Takes bytes from the peer.
   *
   * @param chunk The bytes, which are changed. The memory is the caller's again when this returns, unless it is given.
   * @param at Index of the first one.
   * @param given Whether the memory is given: a message that is alone in it is handed on as it is.
   */
  receive(chunk: Uint8Array, at = 0, given = false): void {
    this.#decoder.receive(chunk, at, given);
  }

  /** Goes on behind `onTurnOver()`. */
  goOn(): void {
    if (!this.#inflating) this.#decoder.goOn();
  }

  /** @internal */
  onTurnOver(): void {
    this.#events.onTurnOver();
  }

  /**
   * Sends a frame of a message.
   *
   * @param opcode 0, 1 or 2.
   * @param payload The payload. Bytes may be changed as soon as this returns.
   * @param fin Whether it ends its message.
   * @param start Index of the first octet of the payload, if it is octets.
   * @param end Index behind the last one.
   * @param compress Whether to compress the message, if that was agreed. Of a fragmented one, the first fragment decides.
   * @returns Whether it was sent: not after a Close, nor when a fragmented message would be mixed up (section 5.4).
   */
  sendData(
    opcode: number,
    payload: string | Uint8Array,
    fin: boolean,
    start: number = 0,
    end: number = payload.length,
    compress: boolean = false,
  ): boolean {
    if (!this.canSend || (opcode === 0) !== this.#fragmenting) return false;
    this.#fragmenting = !fin;
    if (opcode !== 0) this.#compressing = compress && this.#compression !== undefined;
    const first = fin ? 0x80 | opcode : opcode;
    if (this.#compressing) {
      this.#queue ??= new SendQueue(() => this.#events.onCompressed(), () => this.fail(1011, ""));
    }
    if (this.#queue?.isBusy && typeof payload !== "string") { // it waits for longer than the memory is ours
      payload = sliceBytes(payload, start, end);
      [start, end] = [0, payload.length];
    }
    const size = end - start;
    if (this.#compressing) this.#queue!.do(size, () => this.#compress(first, payload, start, end));
    else if (this.#queue?.isBusy) this.#queue.do(size, () => this.#write(first, payload, start, end));
    else this.#write(first, payload, start, end);
    return true;
  }

  /**
   * Sends a prepared message; see `sendData()`.
   *
   * @param compress Whether to compress it, if that was agreed.
   */
  sendPrepared(message: PreparedMessage, compress: boolean): boolean {
    if (!this.canSend || this.#fragmenting) return false;
    const { first, payload } = partsOf(message);
    const compression = this.#compression;
    if (compress && compression !== undefined) {
      this.#queue ??= new SendQueue(() => this.#events.onCompressed(), () => this.fail(1011, ""));
      this.#queue.do(payload.length, () => this.#pack(first, compression.deflatePrepared(message)));
    } else {
      const write = () => this.#writePrepared(first, message);
      if (this.#queue?.isBusy) this.#queue.do(payload.length, write);
      else write();
    }
    return true;
  }

  /**
   * Sends a Ping or Pong.
   *
   * @param opcode 9 or 10.
   * @param payload Where the payload is.
   * @param start Index of its first octet.
   * @param end Index behind the last one; at most 125 octets.
   * @returns Whether it was sent: not after a Close.
   */
  sendControl(opcode: number, payload: Uint8Array, start = 0, end: number = payload.length): boolean {
    if (!this.canSend) return false;
    this.#write(0x80 | opcode, payload, start, end);
    return true;
  }

  /**
   * Starts the closing handshake, or answers the peer's Close.
   *
   * @param payload The payload of the Close frame; see `encodeClose()`.
   * @returns Whether it was sent: a Close goes out once.
   */
  sendClose(payload: Uint8Array): boolean {
    const owed = this.#peerClose;
    if (this.#state !== OPEN && owed === undefined) return false;
    this.#state = CLOSE_SENT;
    this.#pong = undefined; // nothing is sent behind a Close
    const write = () => this.#write(0x80 | WEBSOCKET_OPCODE_CLOSE, payload);
    if (this.#queue === undefined) write();
    else this.#queue.do(0, write);
    if (owed !== undefined) this.#finishWith(owed);
    return true;
  }

  /** Sends the pong that has waited, if one has: it answers the last ping, which section 5.5.3 allows. */
  sendPong(): void {
    const pong = this.#pong;
    this.#pong = undefined;
    if (pong !== undefined && this.#state !== FINISHED) this.#write(0x80 | WEBSOCKET_OPCODE_PONG, pong);
  }

  /** Answers the peer's Close as the protocol would have done (section 5.5.1), if that was left to the owner. */
  answerClose(): void {
    if (this.#peerClose !== undefined) this.sendClose(this.#peerClose);
  }

  /**
   * Fails the connection (section 7.1.7): a Close with the code if none is out yet, then the end.
   *
   * @param code The close code to send.
   * @param reason The reason to send; cut to what a Close frame holds by leaving it out when it is too long.
   */
  fail(code: number, reason: string): void {
    if (this.#state === FINISHED) return;
    this.#queue?.drop();
    this.sendClose(encodeClose(code, reason) ?? encodeClose(code, "")!);
    this.#finish(code, reason);
  }

  /** Takes nothing more to send, and delivers nothing more; what waits to be compressed still goes out. */
  shut(): void {
    if (this.canSend) this.#state = CLOSE_SENT;
  }

  /** Ends without sending anything: the transport is gone. */
  abandon(): void {
    if (this.#state === FINISHED) return;
    this.#leave();
  }

  /** @internal */
  onMessage(opcode: number, bytes: Uint8Array, start: number, end: number, compressed: boolean, lent: boolean): void {
    if (!compressed) {
      if (this.#state === OPEN) this.#events.onMessage(opcode, bytes, start, end, false, lent);
      return;
    }
    // Behind our own Close too: what follows may refer to it. To inflate may take longer than the memory is lent for.
    const payload = lent ? sliceBytes(bytes, start, end) : bytes.subarray(start, end);
    const inflated = this.#compression!.inflate(payload, this.#options.maxLength);
    if (isThere(inflated)) return this.#onInflated(opcode, inflated);
    this.#inflating = true;
    this.#decoder.hold();
    this.#events.onHold();
    inflated.then((result) => {
      if (this.#state === FINISHED) return;
      this.#events.onGoOn(() => {
        this.#inflating = false;
        this.#onInflated(opcode, result);
        this.#decoder.goOn();
      });
    });
  }

  #onInflated(opcode: number, result: Uint8Array | InflateFailure): void {
    if (result === 1007) return this.#refuse(1007, "the compressed data is corrupt");
    if (result === 1009) return this.#refuse(1009, "the message is too big");
    if (opcode === WEBSOCKET_OPCODE_TEXT && !isUtf8(result, 0, result.length)) return this.#refuse(1007, "text is not UTF-8");
    if (this.#state === OPEN) this.#events.onMessage(opcode, result, 0, result.length, true, false);
  }

  #refuse(code: number, reason: string): void {
    this.#decoder.stop();
    this.#events.onViolation(code, reason);
  }

  /** @internal */
  onControl(opcode: number, bytes: Uint8Array, start: number, end: number): void {
    if (opcode === WEBSOCKET_OPCODE_CLOSE) {
      this.#receiveClose(sliceBytes(bytes, start, end));
    } else if (opcode === WEBSOCKET_OPCODE_PING && !this.#options.deliverPing) {
      // Section 5.5.2: behind our own Close too, as long as the peer's has not come.
      if (this.#events.isCongested) this.#pong = sliceBytes(bytes, start, end);
      else this.#write(0x80 | WEBSOCKET_OPCODE_PONG, bytes, start, end);
    } else if (this.#state === OPEN) {
      if (opcode === WEBSOCKET_OPCODE_PING) this.#events.onPing(bytes, start, end);
      else if (this.#options.deliverPong) this.#events.onPong(bytes, start, end);
    }
  }

  /** @internal */
  onViolation(code: number, reason: string): void {
    this.#events.onViolation(code, reason);
  }

  #receiveClose(payload: Uint8Array): void {
    const status = decodeClose(payload);
    if (typeof status === "number") return this.#refuse(status, "the Close frame is not valid");
    if (this.#options.deliverClose) this.#events.onClose(payload);
    if (this.#state === OPEN && !this.#options.answerClose) {
      this.#state = CLOSE_RECEIVED;
      this.#peerClose = payload;
      return this.#decoder.stop();
    }
    this.sendClose(payload); // section 5.5.1: the answer echoes the code; nothing if ours is out already
    this.#finish(status.code, status.reason);
  }

  #finishWith(payload: Uint8Array): void {
    const { code, reason } = decodeClose(payload) as CloseStatus;
    this.#finish(code, reason);
  }

  #finish(code: number, reason: string): void {
    if (this.#state === FINISHED) return;
    if (this.#queue?.isBusy) { // what was sent before goes out before
      this.#decoder.stop();
      return this.#queue.do(0, () => this.#end(code, reason));
    }
    this.#end(code, reason);
  }

  #end(code: number, reason: string): void {
    this.#leave();
    this.#events.onFinished(code, reason);
  }

  #leave(): void {
    this.#state = FINISHED;
    this.#peerClose = undefined;
    this.#queue?.drop();
    this.#decoder.stop();
    this.#compression?.close();
  }

  // ---- compressing --------------------------------------------------------------------------------------------------

  /** Compresses and writes a frame; returns something to wait for if that is not done at once. */
  #compress(first: number, payload: string | Uint8Array, start: number, end: number): PromiseLike<void> | undefined {
    const last = first > 0x7f;
    return this.#pack(first, this.#compression!.deflate(payload, start, end, last && (first & 0x0f) !== 0, last));
  }

  #pack(first: number, packed: Eventually<Packed>): PromiseLike<void> | undefined {
    if (isThere(packed)) return this.#writePacked(first, packed);
    return packed.then((result) => {
      if (this.#state !== FINISHED) this.#writePacked(first, result);
    });
  }

  #writePacked(first: number, packed: Packed): undefined {
    if (packed.compressed && (first & 0x0f) !== 0) first |= 0x40; // RFC 7692 section 6.1: RSV1 on the first frame
    const { bytes } = packed;
    const key = this.#options.maskingKey?.();
    if (key !== undefined || packed.uses++ === 0) return void writeFrame(this.#sink, first, bytes, 0, bytes.length, key, true);
    if (packed.frame?.[0] !== first) packed.frame = frameBytes(first, bytes);
    writeShared(this.#sink, packed.frame);
  }

  #writePrepared(first: number, message: PreparedMessage): void {
    const { payload, frame } = partsOf(message);
    const key = this.#options.maskingKey?.();
    if (key === undefined) writeShared(this.#sink, frame);
    else writeFrame(this.#sink, first, payload, 0, payload.length, key, true);
  }

  #write(first: number, payload: string | Uint8Array, start = 0, end: number = payload.length): void {
    const key = this.#options.maskingKey?.();
    if (typeof payload === "string") writeTextFrame(this.#sink, first, payload, key);
    else writeFrame(this.#sink, first, payload, start, end, key);
  }
}
