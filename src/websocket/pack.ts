/**
 * `pack()` and `unpack()`: single frames as octets, outside of any connection (Swoole page "WebSocket\Server").
 *
 * @module
 */

import { MemorySink } from "../byte_sink.ts";
import { sliceBytes } from "../bytes.ts";
import {
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  SWOOLE_WEBSOCKET_FLAG_MASK,
  WEBSOCKET_CLOSE_NORMAL,
  WEBSOCKET_OPCODE_CLOSE,
  WEBSOCKET_OPCODE_PING,
  WEBSOCKET_OPCODE_PONG,
  WEBSOCKET_OPCODE_TEXT,
} from "../constants.ts";
import { encodeClose, isSendableCloseCode } from "./close_code.ts";
import { deflateNow } from "./deflate/deflate_now.ts";
import { inflateNow } from "./deflate/inflate_now.ts";
import { writeFrame, writeTextFrame } from "./encoder.ts";
import { CloseFrame, Frame } from "./frame.ts";
import { mask } from "./mask.ts";
import { partsOf, PreparedMessage } from "./prepared_message.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The bit on the wire that says that a message is compressed. */
const RSV1 = 0x40;

/** The largest message that `unpack()` inflates, unless it is told otherwise: the default of `package_max_length`. */
export const UNPACK_LIMIT: number = 2 * 1024 * 1024;

/** What `push()` and `pack()` make of their arguments. */
export interface Outgoing {
  /** The opcode. */
  opcode: number;
  /** The flags; FIN tells whether the frame ends its message. */
  flags: number;
  /** The payload; of a Close frame with its code in front. Octets for a control frame. */
  payload: string | Uint8Array;
  /** Index of the first octet, or 0 for a text. */
  start: number;
  /** Index behind the last octet, or the length of a text. */
  end: number;
  /** The message that was prepared, if one was. */
  prepared?: PreparedMessage;
}

/** What a program sends. */
export type Sendable = string | Uint8Array | Frame | PreparedMessage;

/**
 * Reads the arguments of `push()` and `pack()` as Swoole does, and checks what RFC 6455 lets an endpoint send.
 *
 * @returns `undefined` when the frame cannot be sent: an opcode other than 0, 1, 2, 8, 9, 10, a control payload above 125
 * octets, a close code that may not travel.
 * @throws {TypeError} If `data` is none of these.
 */
export function readOutgoing(
  data: Sendable,
  opcode: number = WEBSOCKET_OPCODE_TEXT,
  flags: number | boolean = SWOOLE_WEBSOCKET_FLAG_FIN,
): Outgoing | undefined {
  let frame: Outgoing;
  if (data instanceof Frame) {
    // The other arguments are ignored; `finish`, when set, wins over the flag.
    const { finish } = data;
    frame = Frame.outgoing(data, finish === null ? data.flags : finish ? data.flags | 1 : data.flags & ~1);
  } else if (typeof data === "string" || data instanceof Uint8Array) {
    frame = { opcode, flags: Number(flags), payload: data, start: 0, end: data.length };
  } else if (data instanceof PreparedMessage) {
    const { first, flags, payload } = partsOf(data);
    return { opcode: first & 0x0f, flags, payload, start: 0, end: payload.length, prepared: data };
  } else {
    throw new TypeError(`Cannot send a value of type ${typeof data}: a string, a Uint8Array or a Frame is needed`);
  }
  const type = frame.opcode;
  if (type === 1 || type === 2 || type === 0) return frame;
  if (type === WEBSOCKET_OPCODE_CLOSE) return readClose(frame, data);
  if (type !== WEBSOCKET_OPCODE_PING && type !== WEBSOCKET_OPCODE_PONG) return undefined;
  if (typeof frame.payload === "string") setPayload(frame, encoder.encode(frame.payload));
  frame.flags |= SWOOLE_WEBSOCKET_FLAG_FIN; // RFC 6455 section 5.5: control frames are not fragmented
  return frame.end - frame.start > 125 ? undefined : frame;
}

function readClose(frame: Outgoing, data: string | Uint8Array | Frame): Outgoing | undefined {
  let code = WEBSOCKET_CLOSE_NORMAL;
  let reason = "";
  if (data instanceof CloseFrame) ({ code, reason } = data);
  else if (typeof data === "string") reason = data;
  else if (data instanceof Uint8Array) reason = decoder.decode(data);
  const payload = isSendableCloseCode(code) ? encodeClose(code, reason) : undefined;
  if (payload === undefined) return undefined;
  setPayload(frame, payload);
  frame.flags |= SWOOLE_WEBSOCKET_FLAG_FIN;
  return frame;
}

function setPayload(frame: Outgoing, payload: Uint8Array): void {
  frame.payload = payload;
  frame.start = 0;
  frame.end = payload.length;
}

/** Whether a frame, by its first octet, is a whole message: only that can be compressed on its own. */
function isWholeMessage(first: number): boolean {
  const opcode = first & 0x0f;
  return first > 0x7f && (opcode === 1 || opcode === 2);
}

/** See {@linkcode Frame.pack}. */
export function packFrame(
  data: string | Uint8Array | Frame,
  opcode?: number,
  flags?: number | boolean,
): Uint8Array {
  const frame = readOutgoing(data, opcode, flags);
  if (frame === undefined) {
    throw new RangeError(
      `Cannot pack the frame: opcode ${
        data instanceof Frame ? data.opcode : opcode
      }, its length or its close code may not be sent`,
    );
  }
  const sink = new MemorySink();
  let first = ((frame.flags & SWOOLE_WEBSOCKET_FLAG_FIN) << 7) | frame.opcode;
  if ((frame.flags & SWOOLE_WEBSOCKET_FLAG_COMPRESS) !== 0 && isWholeMessage(first) && frame.end > frame.start) {
    const { payload, start, end } = frame;
    setPayload(frame, deflateNow(typeof payload === "string" ? encoder.encode(payload) : payload.subarray(start, end)));
    first |= RSV1; // RFC 7692 section 6.1
  }
  let key: number | undefined;
  if ((frame.flags & SWOOLE_WEBSOCKET_FLAG_MASK) !== 0) key = crypto.getRandomValues(new Int32Array(1))[0];
  if (typeof frame.payload === "string") writeTextFrame(sink, first, frame.payload, key);
  else writeFrame(sink, first, frame.payload, frame.start, frame.end, key);
  return sink.take().slice();
}

/** See {@linkcode Frame.unpack}. Octets behind the first frame are ignored; the octets given are not changed. */
export function unpackFrame(bytes: Uint8Array, maxLength: number = UNPACK_LIMIT): Frame | CloseFrame | false {
  if (!(bytes instanceof Uint8Array)) {
    throw new TypeError(`Cannot unpack a value of type ${typeof bytes}: a Uint8Array is needed`);
  }
  if (bytes.length < 2) return false;
  const [first, second] = bytes;
  let length = second & 0x7f;
  let at = 2;
  if (length > 125) {
    const size = length === 126 ? 2 : 8;
    if (bytes.length < at + size || (size === 8 && bytes[at] > 0x7f)) return false;
    for (length = 0; at < 2 + size; at++) length = length * 256 + bytes[at];
  }
  const masked = second > 0x7f;
  if (bytes.length < at + (masked ? 4 : 0) + length) return false;
  let payload: Uint8Array;
  if (masked) {
    const key = new DataView(bytes.buffer, bytes.byteOffset + at, 4).getInt32(0, true);
    payload = sliceBytes(bytes, at + 4, at + 4 + length);
    mask(payload, 0, length, key);
  } else {
    payload = sliceBytes(bytes, at, at + length);
  }
  const fin = first > 0x7f;
  const compressed = (first & RSV1) !== 0 && isWholeMessage(first);
  if (compressed) {
    const inflated = inflateNow(payload, maxLength);
    if (typeof inflated === "number") return false;
    payload = inflated;
  }
  // The reserved bits are flags 4, 8 and 16 here and 0x40, 0x20 and 0x10 on the wire.
  const flags = (fin ? SWOOLE_WEBSOCKET_FLAG_FIN : 0) | (compressed ? SWOOLE_WEBSOCKET_FLAG_COMPRESS : 0) |
    (first & RSV1 ? 4 : 0) | (first & 0x20 ? 8 : 0) | (first & 0x10 ? 16 : 0) | (masked ? SWOOLE_WEBSOCKET_FLAG_MASK : 0);
  const frame = (first & 0x0f) === WEBSOCKET_OPCODE_CLOSE ? closeFrameOf(payload) : new Frame();
  frame.opcode = first & 0x0f;
  frame.flags = flags;
  frame.finish = fin;
  frame.data = payload;
  return frame;
}

/** A `CloseFrame` with the code and reason of a payload; 1000 and no reason when it is shorter than a code. */
export function closeFrameOf(payload: Uint8Array): CloseFrame {
  const frame = new CloseFrame();
  if (payload.length > 1) {
    frame.code = (payload[0] << 8) | payload[1];
    frame.reason = decoder.decode(payload.subarray(2));
  }
  return frame;
}
