/**
 * `Frame` and `CloseFrame`, Swoole's classes for WebSocket frames.
 *
 * @module
 */

import { sliceBytes, viewBytes } from "../transport/bytes.ts";
import { latin1 } from "../transport/current_runtime.ts";
import {
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_CLOSE_NORMAL,
  WEBSOCKET_OPCODE_BINARY,
  WEBSOCKET_OPCODE_CLOSE,
  type WEBSOCKET_OPCODE_PING,
  type WEBSOCKET_OPCODE_PONG,
  WEBSOCKET_OPCODE_TEXT,
} from "../constants.ts";
import { checkOutgoing, checkOutgoingClose, forgetText, type Outgoing, rememberText } from "./outgoing.ts";
import { packFrame, unpackFrame } from "./pack.ts";
import { describeUnsendable, notTransferred, transferred, utf8Decoder, utf8Encoder } from "../values.ts";

/**
 * A frame: a received message, or a message to push (Swoole page "WebSocket\Server", `Swoole\WebSocket\Frame`).
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
  /** The connection that the frame came from; 0 if the program made the frame. Ignored by `push()`. */
  fd = 0;
  /** A sum of `SWOOLE_WEBSOCKET_FLAG_*`: 33 (FIN and MASK) on a message from a client. */
  flags: number = SWOOLE_WEBSOCKET_FLAG_FIN;
  /**
   * Whether the frame ends its message. Received messages are always complete (`true`). With `null`, the default, `flags`
   * decides.
   */
  finish: boolean | null = null;

  #opcode: number | undefined = undefined;
  // The payload: bytes, text, or both once one was made from the other.
  #text: string | undefined = "";
  #bytes: Uint8Array | undefined = undefined;
  #start = 0;
  #end = 0;
  #lent = false; // the memory of the bytes will be reused
  #isKnownText = false; // the bytes are UTF-8 and were never given to the program
  #isAscii = false; // of known text: all bytes are below 0x80

  /** The frame type, one of the `WEBSOCKET_OPCODE_*` numbers. Unless set, binary if `data` is bytes, otherwise text. */
  get opcode(): number {
    if (this.#opcode !== undefined) return this.#opcode;
    return this.#text === undefined ? WEBSOCKET_OPCODE_BINARY : WEBSOCKET_OPCODE_TEXT;
  }

  set opcode(opcode: number) {
    this.#opcode = opcode;
  }

  /**
   * The payload: a `string` for text, a `Uint8Array` for every other opcode. Text is decoded when it is first read. A number that
   * is assigned is converted to text.
   *
   * @throws {TypeError} If a value of another type is assigned, or bytes whose buffer has been transferred.
   */
  get data(): string | Uint8Array {
    const bytes = this.#bytes;
    const opcode = this.opcode;
    if (bytes === undefined || (opcode === WEBSOCKET_OPCODE_TEXT && this.#text !== undefined)) return this.#text!;
    if (opcode === WEBSOCKET_OPCODE_TEXT) return this.#decode(bytes);
    return this.bytes;
  }

  set data(data: string | number | Uint8Array) {
    const before = this.#bytes;
    if (typeof data === "string" || typeof data === "number") {
      this.#text = String(data);
      this.#bytes = undefined;
      this.#lent = false;
    } else if (data instanceof Uint8Array) {
      if (data.length === 0) notTransferred(data, "set the data of a frame to");
      this.#text = undefined;
      this.#isKnownText = false;
      this.#own(data);
    } else {
      throw new TypeError(`Cannot set the data of a frame to ${describeUnsendable(data)}`);
    }
    if (before !== undefined) forgetText(before); // lent memory will be reused, and `settle()` finds it here no more
  }

  /** The bytes of the payload, for any opcode. The memory is yours: you may change it, keep it, and transfer it to a worker. */
  get bytes(): Uint8Array {
    const bytes = this.#bytes;
    this.#isKnownText = false; // the program may change them
    if (bytes !== undefined) forgetText(bytes);
    if (bytes === undefined) this.#own(this.#text === "" ? new Uint8Array(0) : utf8Encoder.encode(this.#text));
    else if (this.#lent || isMuchLarger(bytes, this.#end - this.#start)) this.#own(sliceBytes(bytes, this.#start, this.#end));
    else if (this.#start > 0 || this.#end < bytes.length) this.#own(viewBytes(bytes, this.#start, this.#end));
    return this.#bytes!;
  }

  /**
   * Returns the payload as text: the `data` of a text message. The bytes of any other frame are decoded from UTF-8, with U+FFFD for
   * errors.
   */
  text(): string {
    const bytes = this.#bytes;
    if (bytes === undefined || this.opcode === WEBSOCKET_OPCODE_TEXT) return this.data as string;
    return this.#text ?? decodeText(bytes, this.#start, this.#end);
  }

  /**
   * Parses the payload as JSON. The result has no type, because the peer may have sent anything: check it before you use it.
   *
   * @throws {SyntaxError} If it is not JSON. A handler that does not catch this closes the WebSocket with 1011, as for any other
   * error of your program.
   *
   * @example
   * ```ts
   * import { WebSocketServer } from "@sluice/server";
   *
   * const server = new WebSocketServer("127.0.0.1", 0);
   * server.on("message", (server, frame) => {
   *   try {
   *     const order = frame.json();
   *     server.push(frame.fd, `You sent ${Array.isArray(order) ? "a list" : typeof order}`);
   *   } catch {
   *     server.disconnect(frame.fd, 1007, "This is not JSON");
   *   }
   * });
   * ```
   */
  json(): unknown {
    try {
      return JSON.parse(this.text());
    } catch {
      // The runtime's own message quotes the peer, and differs between runtimes.
      throw new SyntaxError("Cannot parse the message: it is not JSON");
    }
  }

  #decode(bytes: Uint8Array): string {
    const start = this.#start, end = this.#end;
    const isAscii = this.#isAscii && this.#isKnownText && end - start <= LATIN1_LIMIT;
    const text = this.#text = isAscii ? latin1(bytes, start, end) : decodeText(bytes, start, end);
    if (this.#isKnownText) rememberText(text, bytes, start, end);
    return text;
  }

  #own(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#start = 0;
    this.#end = bytes.length;
    this.#lent = false;
  }

  /**
   * Returns the frame as bytes, as `pack()` does; `(string) $frame` in Swoole.
   *
   * @throws {RangeError} As `pack()` does.
   */
  toBytes(): Uint8Array {
    return Frame.pack(this);
  }

  /** Returns the five properties, in Swoole's order, for `JSON.stringify()`. */
  toJSON(): { fd: number; data: string | Uint8Array; opcode: number; flags: number; finish: boolean | null } {
    return { fd: this.fd, data: this.data, opcode: this.opcode, flags: this.flags, finish: this.finish };
  }

  /**
   * Packs a payload or a frame into bytes. See {@linkcode WebSocketServer.pack}.
   *
   * @returns The bytes.
   * @throws {RangeError} If the opcode, the length, the close code or the text must not be sent.
   *
   * @example
   * ```ts
   * import { Frame } from "@sluice/server";
   * import { assertEquals } from "@std/assert";
   *
   * assertEquals(Frame.pack("hi"), new Uint8Array([0x81, 0x02, 0x68, 0x69]));
   * ```
   */
  static pack(data: string | number | Uint8Array | Frame, opcode?: number, flags?: number | boolean): Uint8Array {
    const frame = readOutgoing(data, opcode, flags);
    if (frame !== undefined) return packFrame(frame);
    const type = data instanceof Frame ? data.opcode : opcode;
    throw new RangeError(
      type === WEBSOCKET_OPCODE_TEXT
        ? "Cannot pack the frame: a text has to be UTF-8; bytes are binary unless the opcode says that they are text"
        : `Cannot pack the frame: opcode ${type}, its length or its close code may not be sent`,
    );
  }

  /**
   * Unpacks one frame from bytes. See {@linkcode WebSocketServer.unpack}.
   *
   * @param maxLength The largest inflated message, in bytes; the default is 2 MiB.
   * @returns The frame, a `CloseFrame` for opcode 8, or `false` if the bytes are not a complete frame.
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
    const unpacked = unpackFrame(bytes, maxLength);
    if (unpacked === false) return false;
    const { opcode, flags, finish, payload } = unpacked;
    const frame = opcode === WEBSOCKET_OPCODE_CLOSE ? closeFrameOf(payload) : new Frame();
    frame.opcode = opcode;
    frame.flags = flags;
    frame.finish = finish;
    frame.data = payload;
    return frame;
  }

  // What follows is for this library. TypeScript hides private members from programs, and checks names in brackets:
  // `Frame["settle"](frame)`.

  /** Creates the frame of a received message. The bytes are not copied. Lent bytes are valid only until `settle()`. */
  private static received(
    fd: number,
    opcode: number,
    flags: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    lent: boolean,
    isAscii = false,
  ): ReceivedFrame {
    const frame = new Frame();
    frame.fd = fd;
    frame.#opcode = opcode;
    frame.flags = flags;
    frame.finish = true;
    frame.#text = undefined;
    frame.#isKnownText = opcode === WEBSOCKET_OPCODE_TEXT;
    frame.#bytes = bytes;
    frame.#start = start;
    frame.#end = end;
    frame.#lent = lent;
    frame.#isAscii = isAscii;
    return frame as MessageFrame | ControlFrame;
  }

  /** Returns the approximate size of the payload, in bytes or UTF-16 units. */
  private static sizeOf(frame: Frame): number {
    return frame.#bytes === undefined ? frame.#text!.length : frame.#end - frame.#start;
  }

  /** Copies lent bytes of a received frame, because their memory is about to be reused. */
  private static settle(frame: Frame): void {
    if (!frame.#lent) return;
    if (frame.#text !== undefined && frame.#isKnownText) { // the text is enough
      forgetText(frame.#bytes!);
      frame.#bytes = undefined;
      frame.#lent = false;
    } else { // without a text, or one that has U+FFFD for errors: the program has made a binary message a text
      frame.#own(sliceBytes(frame.#bytes!, frame.#start, frame.#end));
    }
  }

  /**
   * Prepares a frame for a queue: copies bytes that are lent, or that would keep a much larger chunk alive. A short ASCII text is
   * decoded instead, because the program will want it as text.
   */
  private static store(frame: Frame): void {
    const bytes = frame.#bytes;
    if (bytes === undefined || (!frame.#lent && !isMuchLarger(bytes, frame.#end - frame.#start))) return;
    if (frame.#isAscii && frame.#isKnownText && frame.#end - frame.#start <= LATIN1_LIMIT) {
      if (frame.#text === undefined) frame.#text = latin1(bytes, frame.#start, frame.#end);
      else forgetText(bytes);
      frame.#bytes = undefined;
      frame.#lent = false;
    } else {
      frame.#own(sliceBytes(bytes, frame.#start, frame.#end));
    }
  }

  /** Reports whether the bytes are known to be UTF-8. */
  private static isKnownText(frame: Frame): boolean {
    return frame.#isKnownText;
  }

  /**
   * Returns the frame in the form that is sent: its text, unless it has bytes.
   *
   * @param work What is to be done with it, for the error if the buffer of the bytes has been transferred.
   */
  private static outgoing(frame: Frame, flags: number, work: string): Outgoing {
    const { opcode } = frame;
    const text = frame.#text;
    const bytes = frame.#bytes;
    if (bytes === undefined) return { opcode, flags, payload: text!, start: 0, end: text!.length };
    if (bytes.length < frame.#end) throw transferred(work);
    if (frame.#end === 0) notTransferred(bytes, work);
    return { opcode, flags, payload: bytes, start: frame.#start, end: frame.#end };
  }
}

/**
 * A Close frame (Swoole page "WebSocket\Server", `Swoole\WebSocket\CloseFrame`).
 *
 * @example Close with a code and a reason
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
  /** The close code; 1000 unless set, or if the peer sent no code. */
  code: number = WEBSOCKET_CLOSE_NORMAL;
  /** The reason: at most 123 bytes of UTF-8. */
  reason = "";

  /** Creates a frame whose `opcode` is `WEBSOCKET_OPCODE_CLOSE`. */
  constructor() {
    super();
    this.opcode = WEBSOCKET_OPCODE_CLOSE;
  }
}

/** A text message. */
export interface TextFrame extends Frame {
  /** `WEBSOCKET_OPCODE_TEXT`. */
  opcode: typeof WEBSOCKET_OPCODE_TEXT;
  /** The text. */
  data: string;
}

/** A binary message. */
export interface BinaryFrame extends Frame {
  /** `WEBSOCKET_OPCODE_BINARY`. */
  opcode: typeof WEBSOCKET_OPCODE_BINARY;
  /** The bytes. */
  data: Uint8Array;
}

/** A ping or a pong, which are given only if `open_websocket_ping_frame` or `open_websocket_pong_frame` is set. */
export interface ControlFrame extends Frame {
  /** `WEBSOCKET_OPCODE_PING` or `WEBSOCKET_OPCODE_PONG`. */
  opcode: typeof WEBSOCKET_OPCODE_PING | typeof WEBSOCKET_OPCODE_PONG;
  /** The bytes, at most 125. */
  data: Uint8Array;
}

/** A Close frame of a peer, which `message` is given only if `open_websocket_close_frame` is set. */
export interface ReceivedCloseFrame extends CloseFrame {
  /** `WEBSOCKET_OPCODE_CLOSE`. */
  opcode: typeof WEBSOCKET_OPCODE_CLOSE;
  /** Empty: see `code` and `reason`. */
  data: string;
}

/** A message of a peer: `opcode` decides whether `data` is text. */
export type MessageFrame = TextFrame | BinaryFrame;

/**
 * A frame of a peer, as `message` and `recv()` give it. `opcode` decides which of the types it is, and with it the type of `data`.
 *
 * @example
 * ```ts
 * import { type ReceivedFrame, WEBSOCKET_OPCODE_TEXT } from "@sluice/server";
 *
 * function sizeOf(frame: ReceivedFrame): number {
 *   if (frame.opcode === WEBSOCKET_OPCODE_TEXT) return frame.data.length; // a string
 *   return frame.bytes.length;
 * }
 * ```
 */
export type ReceivedFrame = MessageFrame | ControlFrame | ReceivedCloseFrame;

/** Creates a `CloseFrame` with the code and reason in a payload; 1000 and no reason if it is too short for a code. */
export function closeFrameOf(payload: Uint8Array): CloseFrame {
  const frame = new CloseFrame();
  if (payload.length > 1) {
    frame.code = (payload[0] << 8) | payload[1];
    frame.reason = utf8Decoder.decode(payload.subarray(2));
  }
  return frame;
}

/**
 * Reads the arguments of `pack()` as Swoole does, and checks whether RFC 6455 allows sending them.
 *
 * @param opcode The frame type; the default is binary for bytes, text for everything else.
 * @param others What may be sent beside strings, numbers and bytes, for the error.
 * @returns `undefined` if the frame cannot be sent: an opcode other than 0, 1, 2, 8, 9, 10, a text that is not UTF-8, a control
 * payload above 125 bytes, or a close code that must not be sent.
 * @throws {TypeError} If `data` has another type, or its buffer has been transferred.
 */
export function readOutgoing(
  data: string | number | Uint8Array | Frame,
  opcode?: number,
  flags: number | boolean = SWOOLE_WEBSOCKET_FLAG_FIN,
  others = "or a Frame",
): Outgoing | undefined {
  if (typeof data === "string" && (opcode === WEBSOCKET_OPCODE_TEXT || opcode === undefined)) { // the common case
    return { opcode: WEBSOCKET_OPCODE_TEXT, flags: Number(flags), payload: data, start: 0, end: data.length };
  }
  let frame: Outgoing;
  if (data instanceof Frame) {
    // The other arguments are ignored; `finish`, if set, overrides the flag.
    const { finish } = data;
    frame = Frame["outgoing"](data, finish === null ? data.flags : finish ? data.flags | 1 : data.flags & ~1, "send");
    if (frame.opcode !== WEBSOCKET_OPCODE_CLOSE) return checkOutgoing(frame, Frame["isKnownText"](data));
  } else if (typeof data === "string") {
    frame = { opcode: opcode ?? WEBSOCKET_OPCODE_TEXT, flags: Number(flags), payload: data, start: 0, end: data.length };
  } else if (data instanceof Uint8Array) {
    if (data.length === 0) notTransferred(data, "send");
    frame = { opcode: opcode ?? WEBSOCKET_OPCODE_BINARY, flags: Number(flags), payload: data, start: 0, end: data.length };
  } else if (typeof data === "number") {
    return readOutgoing(String(data), opcode, flags, others);
  } else {
    throw new TypeError(`Cannot send ${describeUnsendable(data, others)}`);
  }
  if (frame.opcode !== WEBSOCKET_OPCODE_CLOSE) return checkOutgoing(frame, false);
  if (data instanceof CloseFrame) return checkOutgoingClose(frame, data.code, data.reason);
  const reason = typeof data === "string" ? data : data instanceof Uint8Array ? utf8Decoder.decode(data) : "";
  return checkOutgoingClose(frame, WEBSOCKET_CLOSE_NORMAL, reason);
}

/** Reports whether a small payload would keep a large chunk alive. */
function isMuchLarger({ buffer }: Uint8Array, size: number): boolean {
  return buffer.byteLength > 2 * size + 128;
}

/**
 * The size in bytes up to which text is copied before it is decoded. This avoids a view of the chunk that would be garbage at
 * once.
 */
const SHORT_TEXT = 128;

/**
 * The size in bytes up to which ASCII is decoded as Latin-1, which in Deno is up to nine times as fast. With longer texts that takes
 * more memory there.
 */
const LATIN1_LIMIT = 64 * 1024;

const aside = new Uint8Array(SHORT_TEXT);
const asideViews: Uint8Array[] = Array.from({ length: SHORT_TEXT + 1 }, (_, length) => aside.subarray(0, length));

function decodeText(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start;
  if (length > SHORT_TEXT) return utf8Decoder.decode(bytes.subarray(start, end));
  for (let i = 0; i < length; i++) aside[i] = bytes[start + i];
  return utf8Decoder.decode(asideViews[length]);
}
