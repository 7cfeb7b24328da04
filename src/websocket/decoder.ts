/**
 * Reads frames and joins them to messages (RFC 6455 sections 5.2 to 5.8 and 8.1).
 *
 * @module
 */

import { GrowingBuffer, joinBytes, sliceBytes } from "../bytes.ts";
import { isAscii, mask, rotateKey } from "./mask.ts";
import { isUtf8, UTF8_ACCEPT, UTF8_REJECT, validateUtf8 } from "./utf8.ts";

/** What a peer may send. One object is shared by all connections of a server. */
export interface DecoderOptions {
  /** Whether frames have to be masked (we are the server) or must not be (we are the client). */
  readonly masked: boolean;
  /** The most payload octets that a message may have, all its fragments together. */
  readonly maxLength: number;
}

/** Receives what the decoder found. The bytes of a message or a control frame lie in `bytes` from `start` to `end`. */
export interface DecoderEvents {
  /**
   * A whole text (opcode 1, checked to be UTF-8) or binary message (opcode 2). A compressed one is as it travelled, and nothing
   * about it has been checked.
   *
   * @param lent Whether the memory is valid during the call only. Otherwise it is the receiver's.
   */
  onMessage(opcode: number, bytes: Uint8Array, start: number, end: number, compressed: boolean, lent: boolean): void;
  /** A whole Close, Ping or Pong frame (opcodes 8, 9, 10). The memory is valid during the call only. */
  onControl(opcode: number, bytes: Uint8Array, start: number, end: number): void;
  /** The turn of this connection has been long enough: what is behind waits until `goOn()`. */
  onTurnOver(): void;
  /** The peer broke a rule: close code and reason. Nothing follows. */
  onViolation(code: number, reason: string): void;
}

const MAX_HEADER = 14;
const MAX_CONTROL_PAYLOAD = 125;

/**
 * So many frames are taken from a chunk before the other connections have their turn. A chunk may hold tens of thousands, and each
 * of them may start a handler.
 */
const FRAMES_PER_TURN = 2048;

/** The message type while no message has begun. */
const NONE = 0;

/**
 * Turns the octets of one direction of a connection into messages and control frames, in whatever pieces they arrive.
 *
 * A message that lies whole in a chunk is unmasked where it is, and lent to the receiver, or given if nothing else is in a chunk
 * that was given. The bytes of any other are collected in one growing array: what a peer can make us hold is the message limit,
 * however small its fragments are.
 */
export class MessageDecoder {
  readonly #options: DecoderOptions;
  readonly #events: DecoderEvents;
  readonly #takesCompressed: boolean;
  #stopped = false;

  // What waits while decoding is held up.
  #holding = false;
  #rest: Uint8Array | undefined = undefined;
  #restAt = 0;

  // A header that is cut by the end of a chunk.
  #stash: Uint8Array | undefined = undefined;
  #stashed = 0;

  // The frame whose payload is being read; none while `#left` is negative.
  #left = -1;
  #fin = false;
  #opcode = 0;
  #key = 0;
  #rsv1 = false;

  // The message that is being collected. `#type` is its opcode, 0 when there is none.
  #type: number = NONE;
  #compressed = false;
  #message: GrowingBuffer | undefined = undefined;
  #utf8: number = UTF8_ACCEPT;

  // The payload of a control frame that is cut by the end of a chunk.
  #control: Uint8Array | undefined = undefined;
  #controlLength = 0;

  /** @param takesCompressed Whether permessage-deflate was agreed: then the bit RSV1 marks compressed messages (RFC 7692). */
  constructor(options: DecoderOptions, events: DecoderEvents, takesCompressed = false) {
    this.#options = options;
    this.#events = events;
    this.#takesCompressed = takesCompressed;
  }

  /** Octets of an unfinished message or frame that are held in memory. */
  get heldBytes(): number {
    return (this.#message?.memory.length ?? 0) + (this.#control?.length ?? 0) + (this.#stash?.length ?? 0) +
      (this.#rest === undefined ? 0 : this.#rest.length - this.#restAt);
  }

  /** Whether the rest of a message, or of a frame, is still to come. */
  get isMidMessage(): boolean {
    return !this.#holding && (this.#left >= 0 || this.#type !== NONE || this.#stashed > 0);
  }

  /** Holds decoding up from inside of `onMessage()`: what comes behind waits until `goOn()`. */
  hold(): void {
    this.#holding = true;
  }

  /** Goes on behind `hold()`. */
  goOn(): void {
    this.#holding = false;
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.#decode(rest, this.#restAt, false, true);
  }

  #keep(chunk: Uint8Array, at: number): void {
    if (at >= chunk.length) return;
    const rest = this.#rest;
    // A second chunk is one that was on its way when reading was paused.
    this.#rest = rest === undefined
      ? sliceBytes(chunk, at, chunk.length)
      : joinBytes([rest.subarray(this.#restAt), chunk.subarray(at)]);
    this.#restAt = 0;
  }

  /** Ends decoding: whatever comes from now on is thrown away. */
  stop(): void {
    this.#stopped = true;
    this.#message =
      this.#control =
      this.#stash =
      this.#rest =
        undefined;
  }

  /**
   * Takes the next bytes. The frames in them are handed out before it returns, except behind `hold()` and `onTurnOver()`.
   *
   * @param chunk The bytes, which are changed. The memory is the caller's again when this returns, unless it is given.
   * @param at Index of the first one.
   * @param given Whether the memory is given: a message that is alone in it is handed on as it is.
   */
  receive(chunk: Uint8Array, at = 0, given = false): void {
    if (this.#holding) this.#keep(chunk, at);
    else this.#decode(chunk, at, given, false);
  }

  /** @param kept Whether the memory is what `#keep()` has made: the rest of it may stay there. */
  #decode(chunk: Uint8Array, at: number, given: boolean, kept: boolean): void {
    const first = given && at === 0 && this.#left < 0 && this.#stashed === 0 ? 0 : -1; // where a message that is alone begins
    const end = chunk.length;
    let frames = 0;
    while (!this.#stopped) {
      const isOver = frames === FRAMES_PER_TURN && at < end;
      if (isOver || this.#holding) {
        if (kept) this.#rest = chunk, this.#restAt = at;
        else this.#keep(chunk, at);
        if (isOver && !this.#holding) this.#events.onTurnOver();
        return;
      }
      if (this.#left < 0) {
        if (at >= end) return;
        at = this.#stashed === 0 ? this.#readHeader(chunk, at, end) : this.#completeHeader(chunk, at, end);
        if (this.#left < 0) return; // cut, or a violation
      }
      const left = this.#left;
      const opcode = this.#opcode;
      frames++;
      if (end - at >= left) {
        const stop = at + left;
        if (this.#fin && this.#type === NONE && opcode < 8) {
          // The usual case: a whole message in the chunk.
          const compressed = this.#rsv1;
          let plain: boolean;
          if (this.#options.masked) plain = mask(chunk, at, stop, this.#key) === 0;
          else plain = opcode !== 1;
          if (opcode === 1 && !plain && !compressed && !isUtf8(chunk, at, stop)) {
            return void this.#violate(1007, "text is not UTF-8"); // section 8.1
          }
          this.#left = -1;
          this.#events.onMessage(opcode, chunk, at, stop, compressed, frames > 1 || first < 0 || stop < end);
          at = stop;
          continue;
        }
        if (opcode >= 8 && this.#controlLength === 0) {
          if (this.#options.masked) mask(chunk, at, stop, this.#key);
          this.#left = -1;
          this.#events.onControl(opcode, chunk, at, stop);
          at = stop;
          continue;
        }
      }
      const count = Math.min(left, end - at);
      if (opcode >= 8) this.#collectControl(chunk, at, at + count);
      else this.#collectMessage(chunk, at, at + count);
      at += count;
      if (this.#left > 0) return; // the chunk is used up
    }
  }

  /** Reads a header at `at`. Returns the index behind it; keeps the octets when the chunk ends before the header does. */
  #readHeader(chunk: Uint8Array, at: number, end: number): number {
    const size = this.#parseHeader(chunk, at, end);
    if (size > 0) return at + size;
    if (size === 0) {
      const stash = this.#stash ??= new Uint8Array(MAX_HEADER);
      for (let i = at; i < end; i++) stash[this.#stashed++] = chunk[i];
    }
    return end;
  }

  /** Goes on with a header whose first octets came in an earlier chunk. */
  #completeHeader(chunk: Uint8Array, at: number, end: number): number {
    const stash = this.#stash!;
    while (at < end) {
      stash[this.#stashed++] = chunk[at++];
      const size = this.#parseHeader(stash, 0, this.#stashed);
      if (size < 0) return end;
      if (size > 0) {
        this.#stashed = 0;
        this.#stash = undefined;
        break;
      }
    }
    return at;
  }

  /** Parses a header. Returns its size; 0 when octets are missing; -1 after a violation. */
  #parseHeader(bytes: Uint8Array, at: number, end: number): number {
    if (end - at < 2) return 0;
    const first = bytes[at];
    const second = bytes[at + 1];
    const opcode = first & 0x0f;
    const fin = first > 0x7f;
    const masked = second > 0x7f;
    let length = second & 0x7f;

    const rsv1 = (first & 0x40) !== 0;
    if ((first & 0x30) !== 0 || (rsv1 && !this.#takesCompressed)) {
      return this.#violate(1002, "a reserved bit is set"); // section 5.2, RSV1-3
    }
    // RFC 7692 section 6: RSV1 is set on the first frame of a message, and on no other.
    if (rsv1 && (opcode === 0 || opcode > 7)) return this.#violate(1002, "RSV1 is set where no message begins");
    if (opcode > 10 || (opcode > 2 && opcode < 8)) return this.#violate(1002, "the opcode is reserved"); // section 5.2
    if (masked !== this.#options.masked) {
      return this.#violate(1002, masked ? "the frame is masked" : "the frame is not masked"); // section 5.1
    }
    if (opcode > 7) {
      if (!fin) return this.#violate(1002, "a control frame is fragmented"); // section 5.5
      if (length > MAX_CONTROL_PAYLOAD) return this.#violate(1002, "a control frame is longer than 125"); // section 5.5
    } else if (opcode === 0) {
      if (this.#type === NONE) return this.#violate(1002, "a continuation has nothing to continue"); // section 5.4
    } else if (this.#type !== NONE) {
      return this.#violate(1002, "a message begins inside another"); // section 5.4
    }

    let size = 2;
    if (length === 126) {
      if (end - at < 4) return 0;
      length = (bytes[at + 2] << 8) | bytes[at + 3];
      if (length < 126) return this.#violate(1002, "the length is not minimal"); // section 5.2
      size = 4;
    } else if (length === 127) {
      if (end - at < 10) return 0;
      if (bytes[at + 2] > 0x7f) return this.#violate(1002, "the length has its top bit set"); // section 5.2
      length = 0;
      for (let i = 2; i < 10; i++) length = length * 256 + bytes[at + i];
      if (length < 65536) return this.#violate(1002, "the length is not minimal"); // section 5.2
      size = 10;
    }
    if (opcode < 8 && length > this.#limit(rsv1 || (opcode === 0 && this.#compressed)) - (this.#message?.length ?? 0)) {
      return this.#violate(1009, "the message is too big"); // section 7.4.1
    }
    if (masked) {
      if (end - at < size + 4) return 0;
      at += size;
      this.#key = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
      size += 4;
    }
    this.#fin = fin;
    this.#opcode = opcode;
    this.#rsv1 = rsv1;
    this.#left = length;
    return size;
  }

  /** The most octets that a message may have on the wire. What does not shrink is a little longer compressed. */
  #limit(compressed: boolean): number {
    const { maxLength } = this.#options;
    return compressed ? maxLength + Math.floor(maxLength / 1024) + 64 : maxLength;
  }

  /** Unmasks a piece of the current payload in place; returns whether it is pure ASCII. */
  #unmask(chunk: Uint8Array, at: number, stop: number): boolean {
    if (!this.#options.masked) return isAscii(chunk, at, stop);
    const ascii = mask(chunk, at, stop, this.#key) === 0;
    this.#key = rotateKey(this.#key, stop - at);
    return ascii;
  }

  #collectMessage(chunk: Uint8Array, at: number, stop: number): void {
    if (this.#type === NONE) {
      this.#type = this.#opcode;
      this.#compressed = this.#rsv1;
    }
    const ascii = this.#unmask(chunk, at, stop);
    const compressed = this.#compressed;
    if (this.#type === 1 && !compressed && !(ascii && this.#utf8 === UTF8_ACCEPT)) {
      // Octet by octet as they arrive: a bad one fails the connection before the frame is complete (section 8.1).
      this.#utf8 = validateUtf8(chunk, at, stop, this.#utf8);
      if (this.#utf8 === UTF8_REJECT) return void this.#violate(1007, "text is not UTF-8");
    }
    const count = stop - at;
    this.#left -= count;
    if (count > 0) {
      const message = this.#message ??= new GrowingBuffer();
      const maxLength = this.#limit(compressed);
      message.append(chunk, at, stop, this.#fin ? Math.min(message.length + count + this.#left, maxLength) : maxLength);
    }
    if (this.#left > 0) return;
    this.#left = -1;
    if (!this.#fin) return;
    if (this.#utf8 !== UTF8_ACCEPT) return void this.#violate(1007, "text is not UTF-8");
    const opcode = this.#type;
    const message = this.#message;
    this.#type = NONE;
    this.#message = undefined;
    if (message === undefined) this.#events.onMessage(opcode, new Uint8Array(0), 0, 0, compressed, false);
    else this.#events.onMessage(opcode, message.memory, 0, message.length, compressed, false);
  }

  #collectControl(chunk: Uint8Array, at: number, stop: number): void {
    this.#unmask(chunk, at, stop);
    const control = this.#control ??= new Uint8Array(MAX_CONTROL_PAYLOAD);
    control.set(chunk.subarray(at, stop), this.#controlLength);
    this.#controlLength += stop - at;
    this.#left -= stop - at;
    if (this.#left > 0) return;
    const length = this.#controlLength;
    this.#left = -1;
    this.#control = undefined;
    this.#controlLength = 0;
    this.#events.onControl(this.#opcode, control, 0, length);
  }

  #violate(code: number, reason: string): -1 {
    this.stop();
    this.#left = -1;
    this.#events.onViolation(code, reason);
    return -1;
  }
}
