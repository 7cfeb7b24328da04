/**
 * Decodes frames and joins them into messages (RFC 6455 sections 5.2 to 5.8 and 8.1).
 *
 * @module
 */

import { GrowingBuffer, joinBytes, sliceBytes } from "../transport/bytes.ts";
import { isAscii, mask, rotateKey } from "./masking.ts";
import { isUtf8, UTF8_ACCEPT, UTF8_REJECT, validateUtf8 } from "./utf8.ts";

/** The rules for received frames. One object is shared by all connections of a server. */
export interface DecoderOptions {
  /** Whether frames must be masked (for a server) or must not be (for a client). */
  readonly masked: boolean;
  /** The largest message in bytes of payload, including all its fragments. */
  readonly maxLength: number;
}

/** A receiver of decoded messages. The bytes of a message or a control frame are in `bytes` from `start` to `end`. */
export interface DecoderEvents {
  /**
   * Called with a complete text message (opcode 1, valid UTF-8) or binary message (opcode 2). A compressed message is passed on
   * as received, and unchecked.
   *
   * @param lent Whether the memory is valid during the call only. Otherwise it belongs to the receiver.
   * @param isAscii Whether all bytes are known to be below 0x80; not for a compressed message.
   */
  onMessage(
    opcode: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    compressed: boolean,
    lent: boolean,
    isAscii?: boolean,
  ): void;
  /** Called with a complete Close, Ping or Pong frame (opcodes 8, 9, 10). The memory is valid during the call only. */
  onControl(opcode: number, bytes: Uint8Array, start: number, end: number): void;
  /** Called when this connection has used up its turn. The remaining bytes wait until `goOn()`. */
  onTurnOver(): void;
  /** Called with a close code and a reason when the peer broke a rule. No event follows. */
  onViolation(code: number, reason: string): void;
}

const MAX_HEADER = 14;
const MAX_CONTROL_PAYLOAD = 125;

/**
 * The number of frames decoded before other connections have their turn. A chunk may contain tens of thousands of frames, each of
 * which may start a handler.
 */
const FRAMES_PER_TURN = 2048;

/** A message that is being collected. */
class UnfinishedMessage {
  readonly opcode: number;
  readonly compressed: boolean;
  readonly bytes: GrowingBuffer = new GrowingBuffer();
  utf8: number = UTF8_ACCEPT; // the state of its validation

  constructor(opcode: number, compressed: boolean) {
    this.opcode = opcode;
    this.compressed = compressed;
  }
}

/**
 * A decoder for one direction of a connection. It turns bytes, in any number of pieces, into messages and control frames.
 *
 * A message that is complete in one chunk is unmasked in place and lent to the receiver, or given to it if the chunk was given
 * and contains nothing else. The bytes of any other message are collected in one growing array: a peer can make us hold at most
 * the message limit, no matter how small its fragments are.
 */
export class MessageDecoder {
  readonly #options: DecoderOptions;
  readonly #events: DecoderEvents;
  readonly #takesCompressed: boolean;
  #stopped = false;

  // Input that waits while decoding is on hold.
  #holding = false;
  #rest: Uint8Array | undefined = undefined;

  // The frame whose payload is being read: its first byte, and its masking key. `#left` is negative if there is no such frame.
  #left = -1;
  #first = 0;
  #key = 0;

  // What is cut off by the end of a chunk, or continues in another frame. Most connections have nothing of it, most of the time.
  #header: GrowingBuffer | undefined = undefined;
  #control: GrowingBuffer | undefined = undefined; // the payload of a control frame
  #message: UnfinishedMessage | undefined = undefined;

  /** @param takesCompressed Whether permessage-deflate was agreed, so that the bit RSV1 marks compressed messages (RFC 7692). */
  constructor(options: DecoderOptions, events: DecoderEvents, takesCompressed = false) {
    this.#options = options;
    this.#events = events;
    this.#takesCompressed = takesCompressed;
  }

  /** The number of bytes of unfinished messages and frames held in memory. */
  get heldBytes(): number {
    return (this.#message?.bytes.memory.length ?? 0) + (this.#control?.memory.length ?? 0) +
      (this.#header?.memory.length ?? 0) + (this.#rest?.length ?? 0);
  }

  /** Whether a message or frame has begun but is not complete. */
  get isMidMessage(): boolean {
    return this.#left >= 0 || this.#message !== undefined || (!this.#holding && this.#header !== undefined);
  }

  /** Puts decoding on hold. Called inside `onMessage()`; the bytes that follow wait until `goOn()`. */
  hold(): void {
    this.#holding = true;
  }

  /** Continues after `hold()` or `onTurnOver()`. */
  goOn(): void {
    this.#holding = false;
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.#decode(rest, 0, false, true);
  }

  #keep(chunk: Uint8Array, at: number): void {
    if (at >= chunk.length) return;
    const rest = this.#rest;
    // A second chunk was already on its way when reading was paused.
    this.#rest = rest === undefined ? sliceBytes(chunk, at, chunk.length) : joinBytes([rest, chunk.subarray(at)]);
  }

  /** Stops decoding. All further input is dropped. */
  stop(): void {
    this.#stopped = true;
    this.#message =
      this.#control =
      this.#header =
      this.#rest =
        undefined;
  }

  /**
   * Decodes the next bytes. Frames in them are passed on before it returns, except after `hold()` and `onTurnOver()`.
   *
   * @param chunk The bytes, which are changed. The caller may reuse the memory when this returns, unless it is given.
   * @param at The index of the first byte.
   * @param given Whether the memory is given: a message that is alone in it is passed on without a copy.
   */
  receive(chunk: Uint8Array, at = 0, given = false): void {
    this.#decode(chunk, at, given, false);
  }

  /** @param kept Whether the memory was made by `#keep()`, so that the rest can stay in it. */
  #decode(chunk: Uint8Array, at: number, given: boolean, kept: boolean): void {
    const mayBeAlone = given && at === 0 && this.#left < 0 && this.#header === undefined;
    const end = chunk.length;
    let frames = 0;
    while (!this.#stopped) {
      if (this.#holding || (frames === FRAMES_PER_TURN && at < end)) {
        if (kept) this.#rest = chunk.subarray(at);
        else this.#keep(chunk, at);
        if (this.#holding) return;
        this.#holding = true; // a chunk that is on its way must wait for the rest of this one
        return this.#events.onTurnOver();
      }
      if (this.#left < 0) {
        if (at >= end) return;
        at = this.#header === undefined ? this.#readHeader(chunk, at, end) : this.#completeHeader(chunk, at, end);
        if (this.#left < 0) return; // cut off, or a violation
      }
      const left = this.#left;
      const first = this.#first;
      const opcode = first & 0x0f;
      frames++;
      if (end - at >= left) {
        const stop = at + left;
        if (first > 0x7f && this.#message === undefined && opcode < 8) {
          // The common case: a complete message in the chunk.
          const compressed = (first & 0x40) !== 0;
          const plain = this.#options.masked && mask(chunk, at, stop, this.#key) === 0;
          if (opcode === 1 && !plain && !compressed && !isUtf8(chunk, at, stop)) {
            return void this.#violate(1007, "text is not UTF-8"); // section 8.1
          }
          this.#left = -1;
          this.#events.onMessage(opcode, chunk, at, stop, compressed, frames > 1 || !mayBeAlone || stop < end, plain);
          at = stop;
          continue;
        }
        if (opcode >= 8 && this.#control === undefined) {
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

  /** Reads a header at `at`. Returns the index after it. If the chunk ends first, keeps the bytes. */
  #readHeader(chunk: Uint8Array, at: number, end: number): number {
    const size = this.#parseHeader(chunk, at, end);
    if (size > 0) return at + size;
    if (size === 0) {
      this.#header = new GrowingBuffer();
      this.#header.append(chunk, at, end, MAX_HEADER);
    }
    return end;
  }

  /** Continues a header that began in an earlier chunk. */
  #completeHeader(chunk: Uint8Array, at: number, end: number): number {
    const header = this.#header!;
    while (at < end) {
      header.append(chunk, at, ++at, MAX_HEADER);
      const size = this.#parseHeader(header.memory, 0, header.length);
      if (size < 0) return end;
      if (size > 0) {
        this.#header = undefined;
        break;
      }
    }
    return at;
  }

  /** Parses a header. Returns its size; 0 if bytes are missing; -1 after a violation. */
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
    // RFC 7692 section 6: RSV1 may be set on the first frame of a message only.
    if (rsv1 && (opcode === 0 || opcode > 7)) return this.#violate(1002, "RSV1 is set where no message begins");
    if (opcode > 10 || (opcode > 2 && opcode < 8)) return this.#violate(1002, "the opcode is reserved"); // section 5.2
    if (masked !== this.#options.masked) {
      return this.#violate(1002, masked ? "the frame is masked" : "the frame is not masked"); // section 5.1
    }
    if (opcode > 7) {
      if (!fin) return this.#violate(1002, "a control frame is fragmented"); // section 5.5
      if (length > MAX_CONTROL_PAYLOAD) return this.#violate(1002, "a control frame is longer than 125"); // section 5.5
    } else if (opcode === 0) {
      if (this.#message === undefined) return this.#violate(1002, "a continuation has nothing to continue"); // section 5.4
    } else if (this.#message !== undefined) {
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
    const message = this.#message; // for a continuation
    if (opcode < 8 && length > this.#limit(message?.compressed ?? rsv1) - (message?.bytes.length ?? 0)) {
      return this.#violate(1009, "the message is too big"); // section 7.4.1
    }
    if (masked) {
      if (end - at < size + 4) return 0;
      at += size;
      this.#key = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
      size += 4;
    }
    this.#first = first;
    this.#left = length;
    return size;
  }

  /** Returns the largest size of a message on the wire. Compression makes incompressible data slightly longer. */
  #limit(compressed: boolean): number {
    const { maxLength } = this.#options;
    return compressed ? maxLength + Math.floor(maxLength / 1024) + 64 : maxLength;
  }

  /** Unmasks a part of the current payload in place. Returns whether it is ASCII. */
  #unmask(chunk: Uint8Array, at: number, stop: number): boolean {
    if (!this.#options.masked) return isAscii(chunk, at, stop);
    const ascii = mask(chunk, at, stop, this.#key) === 0;
    this.#key = rotateKey(this.#key, stop - at);
    return ascii;
  }

  #collectMessage(chunk: Uint8Array, at: number, stop: number): void {
    const first = this.#first;
    const fin = first > 0x7f;
    const message = this.#message ??= new UnfinishedMessage(first & 0x0f, (first & 0x40) !== 0);
    const { opcode, compressed, bytes } = message;
    const ascii = this.#unmask(chunk, at, stop);
    if (opcode === 1 && !compressed && !(ascii && message.utf8 === UTF8_ACCEPT)) {
      // Validate bytes as they arrive: an invalid byte fails the connection before the frame is complete (section 8.1).
      message.utf8 = validateUtf8(chunk, at, stop, message.utf8);
      if (message.utf8 === UTF8_REJECT) return void this.#violate(1007, "text is not UTF-8");
    }
    const count = stop - at;
    this.#left -= count;
    const maxLength = this.#limit(compressed);
    bytes.append(chunk, at, stop, fin ? Math.min(bytes.length + count + this.#left, maxLength) : maxLength);
    if (this.#left > 0) return;
    this.#left = -1;
    if (!fin) return;
    if (message.utf8 !== UTF8_ACCEPT) return void this.#violate(1007, "text is not UTF-8");
    this.#message = undefined;
    this.#events.onMessage(opcode, bytes.memory, 0, bytes.length, compressed, false);
  }

  #collectControl(chunk: Uint8Array, at: number, stop: number): void {
    this.#unmask(chunk, at, stop);
    const control = this.#control ??= new GrowingBuffer();
    control.append(chunk, at, stop, MAX_CONTROL_PAYLOAD);
    this.#left -= stop - at;
    if (this.#left > 0) return;
    this.#left = -1;
    this.#control = undefined;
    this.#events.onControl(this.#first & 0x0f, control.memory, 0, control.length);
  }

  #violate(code: number, reason: string): -1 {
    this.stop();
    this.#events.onViolation(code, reason);
    return -1;
  }
}
