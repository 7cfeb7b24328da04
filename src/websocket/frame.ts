/**
 * `Frame` and `CloseFrame`, Swoole's picture of what travels over a WebSocket.
 *
 * @module
 */

import { sliceBytes, viewBytes } from "../bytes.ts";
import {
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_CLOSE_NORMAL,
  WEBSOCKET_OPCODE_CLOSE,
  WEBSOCKET_OPCODE_TEXT,
} from "../constants.ts";
import { type Outgoing, packFrame, unpackFrame } from "./pack.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * A frame: a message that arrived, or one to push (Swoole page "WebSocket\Server", `Swoole\WebSocket\Frame`).
 *
 * @example Answer a ping by hand
 * ```ts
 * import { Frame, WEBSOCKET_OPCODE_PONG } from "@sluice/server";
 * import { assertEquals } from "@std/assert";
 *
 * const pong = new Frame();
 * pong.opcode = WEBSOCKET_OPCODE_PONG;
 * assertEquals(Frame.pack(pong), new Uint8Array([0x8a, 0x00]));
 * ```
 */
export class Frame {
  /** The connection that the frame came from; 0 for a frame that a program made. Ignored by `push()`. */
  fd = 0;
  /** The frame type, one of the `WEBSOCKET_OPCODE_*` numbers. */
  opcode: number = WEBSOCKET_OPCODE_TEXT;
  /** A sum of `SWOOLE_WEBSOCKET_FLAG_*`: 33 (FIN and MASK) on a message from a client. */
  flags: number = SWOOLE_WEBSOCKET_FLAG_FIN;
  /**
   * Whether the frame ends its message. Received messages are always whole (`true`); `null`, the default, leaves the decision
   * to `flags`.
   */
  finish: boolean | null = null;

  // The payload: bytes, decoded text, or both once one was made from the other.
  #text: string | undefined = "";
  #bytes: Uint8Array | undefined = undefined;
  #start = 0;
  #end = 0;
  #lent = false; // the bytes are in memory that others will use

  /**
   * The payload: a `string` for text, a `Uint8Array` for every other opcode. Text is decoded when it is first read.
   */
  get data(): string | Uint8Array {
    const bytes = this.#bytes;
    if (bytes === undefined || (this.opcode === WEBSOCKET_OPCODE_TEXT && this.#text !== undefined)) return this.#text!;
    if (this.opcode === WEBSOCKET_OPCODE_TEXT) return this.#text = decodeText(bytes, this.#start, this.#end);
    return this.bytes;
  }

  set data(data: string | Uint8Array) {
    if (typeof data === "string") {
      this.#text = data;
      this.#bytes = undefined;
    } else {
      this.#text = undefined;
      this.#own(data);
    }
  }

  /** The payload's bytes, whatever the opcode. The memory is yours: it may be changed, kept, and transferred to a worker. */
  get bytes(): Uint8Array {
    const bytes = this.#bytes;
    if (bytes === undefined) this.#own(this.#text === "" ? new Uint8Array(0) : encoder.encode(this.#text));
    else if (this.#lent || isMuchLarger(bytes, this.#end - this.#start)) this.#own(sliceBytes(bytes, this.#start, this.#end));
    else if (this.#start > 0 || this.#end < bytes.length) this.#own(viewBytes(bytes, this.#start, this.#end));
    return this.#bytes!;
  }

  #own(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#start = 0;
    this.#end = bytes.length;
    this.#lent = false;
  }

  /**
   * The frame as octets, as `pack()` makes them; in Swoole this is `(string) $frame`.
   *
   * @throws {RangeError} As `pack()`.
   */
  toBytes(): Uint8Array {
    return Frame.pack(this);
  }

  /** What `JSON.stringify()` sees: the five properties, in Swoole's order. */
  toJSON(): { fd: number; data: string | Uint8Array; opcode: number; flags: number; finish: boolean | null } {
    return { fd: this.fd, data: this.data, opcode: this.opcode, flags: this.flags, finish: this.finish };
  }

  /**
   * Packs a payload or a frame into octets. See {@linkcode WebSocketServer.pack}.
   *
   * @returns The octets.
   * @throws {RangeError} For an opcode, a length or a close code that may not be sent.
   *
   * @example
   * ```ts
   * import { Frame } from "@sluice/server";
   * import { assertEquals } from "@std/assert";
   *
   * assertEquals(Frame.pack("hi"), new Uint8Array([0x81, 0x02, 0x68, 0x69]));
   * ```
   */
  static pack(data: string | Uint8Array | Frame, opcode?: number, flags?: number | boolean): Uint8Array {
    return packFrame(data, opcode, flags);
  }

  /**
   * Unpacks one frame from octets. See {@linkcode WebSocketServer.unpack}.
   *
   * @param maxLength The largest message that is inflated, in octets; 2 MiB unless given.
   * @returns The frame, a `CloseFrame` for opcode 8, or `false` when the octets are no whole frame.
   *
   * @example
   * ```ts
   * import { Frame } from "@sluice/server";
   * import { assert, assertEquals } from "@std/assert";
   *
   * const frame = Frame.unpack(new Uint8Array([0x81, 0x02, 0x68, 0x69]));
   * assert(frame);
   * assertEquals(frame.data, "hi");
   * ```
   */
  static unpack(bytes: Uint8Array, maxLength?: number): Frame | CloseFrame | false {
    return unpackFrame(bytes, maxLength);
  }

  // The bytes of a received message stay where they are; those that are lent, until `settle()` only.
  /** Makes the frame of a received message. @internal */
  static received(
    fd: number,
    opcode: number,
    flags: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    lent: boolean,
  ): Frame {
    const frame = new Frame();
    frame.fd = fd;
    frame.opcode = opcode;
    frame.flags = flags;
    frame.finish = true;
    frame.#text = undefined;
    frame.#bytes = bytes;
    frame.#start = start;
    frame.#end = end;
    frame.#lent = lent;
    return frame;
  }

  /** About how much memory its payload takes: octets, or units of text. @internal */
  static sizeOf(frame: Frame): number {
    return frame.#bytes === undefined ? frame.#text!.length : frame.#end - frame.#start;
  }

  /** Gives a received frame memory of its own: whoever lent it is going to use it again. @internal */
  static settle(frame: Frame): void {
    if (!frame.#lent) return;
    if (frame.#text === undefined) frame.#own(sliceBytes(frame.#bytes!, frame.#start, frame.#end));
    else frame.#bytes = undefined, frame.#lent = false; // valid UTF-8: its text says all
  }

  /** The same for a frame that is going to wait; it does not keep a chunk alive that is much larger. @internal */
  static store(frame: Frame): void {
    const bytes = frame.#bytes;
    if (bytes === undefined) return;
    if (frame.#lent || isMuchLarger(bytes, frame.#end - frame.#start)) frame.#own(sliceBytes(bytes, frame.#start, frame.#end));
  }

  /** What is sent of a frame: its text as long as there are no octets. @internal */
  static outgoing(frame: Frame, flags: number): Outgoing {
    const { opcode } = frame;
    const text = frame.#text;
    const bytes = frame.#bytes;
    if (bytes === undefined) return { opcode, flags, payload: text!, start: 0, end: text!.length };
    return { opcode, flags, payload: bytes, start: frame.#start, end: frame.#end };
  }
}

/**
 * A Close frame (Swoole page "WebSocket\Server", `Swoole\WebSocket\CloseFrame`).
 *
 * @example Close with a code and a reason of one's own
 * ```ts
 * import { CloseFrame } from "@sluice/server";
 * import { assertEquals } from "@std/assert";
 *
 * const frame = new CloseFrame();
 * frame.code = 4000;
 * frame.reason = "bye";
 * assertEquals(CloseFrame.pack(frame), new Uint8Array([0x88, 0x05, 0x0f, 0xa0, 0x62, 0x79, 0x65]));
 * ```
 */
export class CloseFrame extends Frame {
  /** Always `WEBSOCKET_OPCODE_CLOSE`, unless the program changes it. */
  override opcode: number = WEBSOCKET_OPCODE_CLOSE;
  /** The close code, 1000 unless set; 1000 too when the peer gave none. */
  code: number = WEBSOCKET_CLOSE_NORMAL;
  /** The reason: at most 123 octets of UTF-8. */
  reason = "";
}

/** Whether a small payload would keep a large chunk alive. */
function isMuchLarger({ buffer }: Uint8Array, size: number): boolean {
  return buffer.byteLength > 2 * size + 128;
}

/** Texts up to this many octets are decoded aside: no view of the received chunk is made, which would be garbage at once. */
const SHORT_TEXT = 128;

const aside = new Uint8Array(SHORT_TEXT);
const asideViews: Uint8Array[] = Array.from({ length: SHORT_TEXT + 1 }, (_, length) => aside.subarray(0, length));

function decodeText(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start;
  if (length > SHORT_TEXT) return decoder.decode(bytes.subarray(start, end));
  for (let i = 0; i < length; i++) aside[i] = bytes[start + i];
  return decoder.decode(asideViews[length]);
}
