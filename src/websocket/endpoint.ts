/**
 * The WebSocket protocol of one connection (RFC 6455), as client or as server, without I/O and without a clock.
 *
 * @module
 */

import { type ByteSink, sliceBytes } from "../transport/bytes.ts";
import { WEBSOCKET_OPCODE_CLOSE, WEBSOCKET_OPCODE_PING, WEBSOCKET_OPCODE_PONG, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import { type CloseStatus, Closing, decodeClose, encodeClose } from "./close_code.ts";
import { type DecoderEvents, type DecoderOptions, MessageDecoder } from "./decoder.ts";
import { type Compression, SendQueue } from "./deflate/compression.ts";
import { type Eventually, isThere, type Packed, type PreparedFrame } from "./outgoing.ts";
import type { InflateFailure } from "../transport/codecs.ts";
import { frameBytes, writeFrame, writeTextFrame } from "./encoder.ts";
import { isUtf8, UTF8_ACCEPT, UTF8_REJECT, validateUtf8 } from "./utf8.ts";

/** The behaviour of endpoints. One object is shared by all connections of a server. */
export interface EndpointOptions extends DecoderOptions {
  /** Whether pings go to `onPing` instead of being answered (`open_websocket_ping_frame`). */
  readonly deliverPing: boolean;
  /** Whether pongs go to `onPong` instead of being dropped (`open_websocket_pong_frame`). */
  readonly deliverPong: boolean;
  /** Whether a Close frame goes to `onClose` before it is answered (`open_websocket_close_frame`). */
  readonly deliverClose: boolean;
  /** Whether a Close frame is answered at once. Otherwise the owner calls `sendClose()` or `answerClose()`. */
  readonly answerClose: boolean;
  /** A function that creates masking keys, for a client; `undefined` for a server. */
  readonly maskingKey?: () => number;
}

/** A receiver of the events of an endpoint. Bytes are in `bytes` from `start` to `end`. */
export interface EndpointEvents {
  /**
   * Called with a complete message: valid UTF-8 text (opcode 1), or binary (opcode 2). `compressed` says how it was sent. The other
   * parameters are those of `DecoderEvents.onMessage()`.
   */
  onMessage(...message: Parameters<DecoderEvents["onMessage"]>): void;
  /** Whether the peer is so slow that pongs must wait for `sendPong()`: a peer must not make us queue them without limit. */
  readonly isCongested: boolean;
  // The memory of control frames is valid during the call only.
  /** Called with a Ping, with `deliverPing` only. */
  onPing(bytes: Uint8Array, start: number, end: number): void;
  /** Called with a Pong, with `deliverPong` only. */
  onPong(bytes: Uint8Array, start: number, end: number): void;
  /**
   * Called with a valid Close frame before it is answered, with `deliverClose` only. A Close sent from here replaces the reply.
   */
  onClose(payload: Uint8Array): void;
  /** Called when inflating a message takes time: do not read more until `onGoOn`. */
  onHold(): void;
  /** Called when many frames came at once: call `goOn()` in a later turn of the event loop, and do not read more until then. */
  onTurnOver(): void;
  /** Called when a message was inflated: call `work`, which passes on the input that waited, and read again. */
  onGoOn(work: () => void): void;
  /**
   * Called when the peer broke a rule. No more input is decoded. The owner fails the connection with these values, now or soon.
   */
  onViolation(code: number, reason: string): void;
  /** Called when frames that waited for compression have been passed to the sink. */
  onCompressed(): void;
  /** Called when a message could not be compressed, before the connection fails with 1011. */
  onSendFailure?(error: unknown): void;
  /**
   * Called once, when the WebSocket is over: all output was passed to the sink, and the transport may be closed.
   *
   * @param code The close code of the connection: the peer's, 1005 if it sent none, or the code it failed with.
   * @param reason The reason, for the program.
   */
  onFinished(code: number, reason: string): void;
}

/** Frames are exchanged. */
const OPEN = 0;
/** Our Close was sent; frames are still read until the peer's arrives (RFC 6455 section 7.1.2). */
const CLOSE_SENT = 1;
/** The peer's Close arrived and the owner has to answer it; no more input is read. */
const CLOSE_RECEIVED = 2;
/** The WebSocket is over. */
const FINISHED = 3;

/**
 * The protocol of one connection after the opening handshake.
 *
 * It joins fragments, answers pings, runs the closing handshake, and fails the connection with the right code if the peer breaks
 * a rule. It has no socket or clock.
 */
export class WebSocketEndpoint implements DecoderEvents {
  readonly #options: EndpointOptions;
  readonly #events: EndpointEvents;
  readonly #sink: ByteSink;
  readonly #decoder: MessageDecoder;
  readonly #compression: Compression | undefined;
  #queue: SendQueue | undefined = undefined; // created by the first compressed message
  #state = OPEN;
  #fragments: { readonly compresses: boolean; readonly textState: number } | undefined = undefined; // of the message being sent
  #inflatingBytes = -1; // of the message being inflated; negative if there is none
  #pong: Uint8Array | undefined = undefined; // the payload of a pending pong
  #closing: Closing | undefined = undefined;
  #unsentClose: Uint8Array | undefined = undefined; // the payload of our Close while it waits for compression

  /** @param compression The compression, if permessage-deflate was agreed. */
  constructor(options: EndpointOptions, events: EndpointEvents, sink: ByteSink, compression?: Compression) {
    this.#options = options;
    this.#events = events;
    this.#sink = sink;
    this.#compression = compression;
    this.#decoder = new MessageDecoder(options, this, compression !== undefined);
  }

  /** Whether messages can be sent. */
  get isOpen(): boolean {
    return this.#state === OPEN;
  }

  /** Whether frames can be sent: also while the peer's Close is not answered yet (section 5.5.1). */
  get canSend(): boolean {
    return this.#state === OPEN || this.#state === CLOSE_RECEIVED;
  }

  /** Whether our Close was sent and the peer's has not arrived. */
  get isClosing(): boolean {
    return this.#state === CLOSE_SENT;
  }

  /** Whether a message is being sent in fragments, so that no other may be sent. */
  get isFragmenting(): boolean {
    return this.#fragments !== undefined;
  }

  /** Whether the peer's Close is not answered yet. */
  get owesClose(): boolean {
    return this.#state === CLOSE_RECEIVED;
  }

  /** The closing handshake, once it has begun. */
  get closing(): Closing | undefined {
    return this.#closing;
  }

  /** Whether permessage-deflate was agreed. */
  get isCompressed(): boolean {
    return this.#compression !== undefined;
  }

  /** Whether a message is being inflated; later input waits for it. */
  get isInflating(): boolean {
    return this.#inflatingBytes >= 0;
  }

  /** Whether a message is being compressed; later output waits for it. */
  get isCompressing(): boolean {
    return this.#queue?.isBusy ?? false;
  }

  /** The number of bytes that wait for the compression of a message, before they reach the sink. */
  get waitingBytes(): number {
    return this.#queue?.waitingBytes ?? 0;
  }

  /** Whether a received message is incomplete. */
  get isMidMessage(): boolean {
    return this.#state < CLOSE_RECEIVED && this.#decoder.isMidMessage;
  }

  /** The number of bytes of an unfinished message held in memory. */
  get heldBytes(): number {
    return this.#decoder.heldBytes + Math.max(this.#inflatingBytes, 0);
  }

  /**
   * Decodes bytes from the peer.
   *
   * @param chunk The bytes, which are changed. The caller may reuse the memory when this returns, unless it is given.
   * @param at The index of the first byte.
   * @param given Whether the memory is given: a message that is alone in it is passed on without a copy.
   */
  receive(chunk: Uint8Array, at = 0, given = false): void {
    this.#decoder.receive(chunk, at, given);
  }

  /** Continues after `onTurnOver()`. */
  goOn(): void {
    if (!this.isInflating) this.#decoder.goOn();
  }

  onTurnOver(): void {
    this.#events.onTurnOver();
  }

  /**
   * Sends a frame of a message.
   *
   * @param opcode 0, 1 or 2.
   * @param payload The payload. Bytes may be changed as soon as this returns.
   * @param fin Whether it ends its message.
   * @param start The index of the first byte of the payload, if it is bytes.
   * @param end The index after the last byte.
   * @param compress Whether to compress the message, if that was agreed. The first fragment decides for the whole message.
   * @returns Whether the frame was sent. Nothing is sent after a Close, if fragments of two messages would be mixed (section
   * 5.4), or if a fragmented text would not be UTF-8.
   */
  sendData(
    opcode: number,
    payload: string | Uint8Array,
    fin: boolean,
    start: number = 0,
    end: number = payload.length,
    compress: boolean = false,
  ): boolean {
    if (!this.canSend || (opcode === 0) !== this.isFragmenting) return false;
    const compresses = opcode === 0 ? this.#fragments!.compresses : compress && this.#compression !== undefined;
    if ((opcode === 0 || !fin) && !this.#takesFragment(opcode, payload, fin, start, end, compresses)) return false;
    const first = fin ? 0x80 | opcode : opcode;
    if (compresses || this.isCompressing) this.#sendInOrder(first, payload, start, end, compresses);
    else this.#write(first, payload, start, end);
    return true;
  }

  /** Compresses a frame, or sends it after one that is being compressed. */
  #sendInOrder(first: number, payload: string | Uint8Array, start: number, end: number, compresses: boolean): void {
    const queue = this.#queue ??= this.#makeQueue();
    // The payload may wait for longer than it may be referred to.
    const copied = queue.isBusy && typeof payload !== "string";
    const bytes = copied ? sliceBytes(payload, start, end) : payload;
    const from = copied ? 0 : start;
    const to = copied ? bytes.length : end;
    if (compresses) queue.do(end - start, () => this.#compress(first, bytes, from, to));
    else queue.do(end - start, () => this.#write(first, bytes, from, to));
  }

  /** Notes a fragment. Refuses one with which a text is not UTF-8 (section 5.6); fragments of bytes may split a character. */
  #takesFragment(
    opcode: number,
    payload: string | Uint8Array,
    fin: boolean,
    start: number,
    end: number,
    compresses: boolean,
  ): boolean {
    let state = opcode === 0 ? this.#fragments!.textState : opcode === WEBSOCKET_OPCODE_TEXT ? UTF8_ACCEPT : UTF8_REJECT;
    if (state !== UTF8_REJECT) { // it is text
      if (typeof payload !== "string") state = validateUtf8(payload, start, end, state);
      else if (state !== UTF8_ACCEPT && payload !== "") return false;
      if (state === UTF8_REJECT || (fin && state !== UTF8_ACCEPT)) return false;
    }
    this.#fragments = fin ? undefined : { compresses, textState: state };
    return true;
  }

  /**
   * Sends a prepared message; see `sendData()`.
   *
   * @param compress Whether to compress it, if that was agreed.
   */
  sendPrepared(message: PreparedFrame, compress: boolean): boolean {
    if (!this.canSend || this.isFragmenting) return false;
    const { first, payload } = message;
    const compression = this.#compression;
    if (compress && compression !== undefined) {
      this.#queue ??= this.#makeQueue();
      this.#queue.do(payload.length, () => this.#pack(first, compression.deflatePrepared(message)));
    } else if (this.#queue?.isBusy) {
      this.#queue.do(payload.length, () => this.#writePrepared(message));
    } else {
      this.#writePrepared(message);
    }
    return true;
  }

  /**
   * Sends a Ping or Pong.
   *
   * @param opcode 9 or 10.
   * @param payload The memory that contains the payload.
   * @param start The index of its first byte.
   * @param end The index after its last byte; at most 125 bytes.
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
   * @returns Whether it was sent; a Close is sent only once.
   */
  sendClose(payload: Uint8Array): boolean {
    const owed = this.#closing?.owed;
    if (this.#state !== OPEN && owed === undefined) return false;
    this.#state = CLOSE_SENT;
    this.#closing ??= new Closing(statusOf(payload), false);
    this.#pong = undefined; // nothing may follow a Close
    this.#unsentClose = payload;
    if (this.#queue === undefined) this.#writeClose();
    else this.#queue.do(0, () => this.#writeClose());
    if (owed !== undefined) this.#finishWith(owed);
    return true;
  }

  #writeClose(): void {
    const payload = this.#unsentClose;
    this.#unsentClose = undefined;
    if (payload === undefined) return;
    this.#closing!.sent = true;
    this.#write(0x80 | WEBSOCKET_OPCODE_CLOSE, payload);
  }

  /** Sends the pending pong, if any. It answers the latest ping only, as section 5.5.3 allows. */
  sendPong(): void {
    const pong = this.#pong;
    this.#pong = undefined;
    if (pong !== undefined && this.#state !== FINISHED) this.#write(0x80 | WEBSOCKET_OPCODE_PONG, pong);
  }

  /** Answers the peer's Close with the same payload (section 5.5.1), if it was left to the owner. */
  answerClose(): void {
    const owed = this.#closing?.owed;
    if (owed !== undefined) this.sendClose(owed);
  }

  /**
   * Fails the connection (section 7.1.7): sends a Close unless one was sent, then ends.
   *
   * @param code The close code to send.
   * @param reason The reason to send. It is omitted if it is too long for a Close frame.
   */
  fail(code: number, reason: string): void {
    if (this.#state === FINISHED) return;
    this.#queue?.drop();
    this.#writeClose(); // one that waited for the messages before it
    this.sendClose(encodeClose(code, reason) ?? encodeClose(code, "")!);
    this.#finish(code, reason);
  }

  /** Stops accepting and delivering messages. Output that waits for compression is still sent. */
  shut(): void {
    if (this.canSend) this.#state = CLOSE_SENT;
  }

  /** Ends without sending anything, because the transport is gone. */
  abandon(): void {
    if (this.#state === FINISHED) return;
    this.#leave();
  }

  onMessage(
    opcode: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    compressed: boolean,
    lent: boolean,
    isAscii?: boolean,
  ): void {
    if (!compressed) {
      if (this.#state === OPEN) this.#events.onMessage(opcode, bytes, start, end, false, lent, isAscii);
      return;
    }
    // Inflate even after our own Close: later messages may refer to this one. Copy lent memory: inflating may outlast the call.
    const payload = lent ? sliceBytes(bytes, start, end) : bytes.subarray(start, end);
    const inflated = this.#compression!.inflate(payload, this.#options.maxLength);
    if (isThere(inflated)) return this.#onInflated(opcode, inflated);
    this.#inflatingBytes = payload.length;
    this.#decoder.hold();
    this.#events.onHold();
    inflated.then((result) => {
      if (this.#state === FINISHED) return;
      this.#events.onGoOn(() => {
        this.#inflatingBytes = -1;
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

  onControl(opcode: number, bytes: Uint8Array, start: number, end: number): void {
    if (opcode === WEBSOCKET_OPCODE_CLOSE) {
      this.#receiveClose(sliceBytes(bytes, start, end));
    } else if (opcode === WEBSOCKET_OPCODE_PING && !this.#options.deliverPing) {
      // Section 5.5.2: also after our own Close, until the peer's arrives.
      if (this.#events.isCongested) this.#pong = sliceBytes(bytes, start, end);
      else this.#write(0x80 | WEBSOCKET_OPCODE_PONG, bytes, start, end);
    } else if (this.#state === OPEN) {
      if (opcode === WEBSOCKET_OPCODE_PING) this.#events.onPing(bytes, start, end);
      else if (this.#options.deliverPong) this.#events.onPong(bytes, start, end);
    }
  }

  onViolation(code: number, reason: string): void {
    this.#events.onViolation(code, reason);
  }

  #receiveClose(payload: Uint8Array): void {
    const status = decodeClose(payload);
    if (typeof status === "number") return this.#refuse(status, "the Close frame is not valid");
    const closing = this.#closing ??= new Closing(status, true);
    closing.received = true;
    if (this.#options.deliverClose) this.#events.onClose(payload);
    if (this.#state === OPEN && !this.#options.answerClose) {
      this.#state = CLOSE_RECEIVED;
      closing.owed = payload;
      return this.#decoder.stop();
    }
    this.sendClose(payload); // section 5.5.1: the reply echoes the code; not sent if ours was
    this.#finish(status.code, status.reason);
  }

  #finishWith(payload: Uint8Array): void {
    const { code, reason } = decodeClose(payload) as CloseStatus;
    this.#finish(code, reason);
  }

  #finish(code: number, reason: string): void {
    if (this.#state === FINISHED) return;
    if (this.#queue?.isBusy) { // earlier output goes first
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
    if (this.#closing !== undefined) this.#closing.owed = undefined;
    this.#queue?.drop();
    this.#decoder.stop();
    this.#compression?.close();
  }

  #makeQueue(): SendQueue {
    return new SendQueue(() => this.#events.onCompressed(), (error) => {
      this.#events.onSendFailure?.(error);
      this.fail(1011, "");
    });
  }

  // ---- compressing --------------------------------------------------------------------------------------------------

  /** Compresses and writes a frame. Returns a promise if it takes time. */
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
    this.#sink.append(packed.frame, packed);
  }

  #writePrepared(message: PreparedFrame): void {
    const { first, payload, frame } = message;
    const key = this.#options.maskingKey?.();
    if (key === undefined) this.#sink.append(frame, message);
    else writeFrame(this.#sink, first, payload, 0, payload.length, key, true);
  }

  #write(first: number, payload: string | Uint8Array, start = 0, end: number = payload.length): void {
    const key = this.#options.maskingKey?.();
    if (typeof payload === "string") writeTextFrame(this.#sink, first, payload, key);
    else writeFrame(this.#sink, first, payload, start, end, key);
  }
}

/** Returns the content of a Close frame that we send. */
function statusOf(payload: Uint8Array): CloseStatus {
  const status = decodeClose(payload);
  return typeof status === "number" ? { code: (payload[0] << 8) | payload[1], reason: "" } : status;
}
