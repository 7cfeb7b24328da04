/**
 * Single frames as bytes, independent of a connection: `pack()` and `unpack()` (Swoole page "WebSocket\\Server").
 *
 * @module
 */

import { MemorySink, sliceBytes } from "../transport/bytes.ts";
import { SWOOLE_WEBSOCKET_FLAG_COMPRESS, SWOOLE_WEBSOCKET_FLAG_FIN, SWOOLE_WEBSOCKET_FLAG_MASK } from "../constants.ts";
import { utf8Encoder } from "../values.ts";
import type { InflateFailure, SyncZlib } from "../transport/codecs.ts";
import { writeFrame, writeTextFrame } from "./encoder.ts";
import { mask } from "./masking.ts";
import { type Outgoing, setPayload } from "./outgoing.ts";
import { Measurement, TAIL, windowSize } from "./deflate/compressed_payload.ts";

/** The bit on the wire that marks a compressed message. */
const RSV1 = 0x40;

/** The largest message that `unpack()` inflates by default: the default of `package_max_length`. */
const UNPACK_LIMIT: number = 2 * 1024 * 1024;

/** The content of a frame that was bytes. */
interface Unpacked {
  /** The opcode. */
  readonly opcode: number;
  /** The flags, including those for the reserved bits. */
  readonly flags: number;
  /** Whether the frame ends its message. */
  readonly finish: boolean;
  /** The payload, inflated and without a mask, in memory of its own. */
  readonly payload: Uint8Array;
}

/** Reports whether a frame, by its first byte, is a complete message: only that can be compressed on its own. */
function isWholeMessage(first: number): boolean {
  const opcode = first & 0x0f;
  return first > 0x7f && (opcode === 1 || opcode === 2);
}

/** Packs a frame that may be sent. */
export function packFrame(frame: Outgoing): Uint8Array {
  const sink = new MemorySink();
  let first = ((frame.flags & SWOOLE_WEBSOCKET_FLAG_FIN) << 7) | frame.opcode;
  if ((frame.flags & SWOOLE_WEBSOCKET_FLAG_COMPRESS) !== 0 && isWholeMessage(first) && frame.end > frame.start) {
    const { payload, start, end } = frame;
    setPayload(frame, deflateMessage(typeof payload === "string" ? utf8Encoder.encode(payload) : payload.subarray(start, end)));
    first |= RSV1; // RFC 7692 section 6.1
  }
  let key: number | undefined;
  if ((frame.flags & SWOOLE_WEBSOCKET_FLAG_MASK) !== 0) key = crypto.getRandomValues(new Int32Array(1))[0];
  if (typeof frame.payload === "string") writeTextFrame(sink, first, frame.payload, key);
  else writeFrame(sink, first, frame.payload, frame.start, frame.end, key);
  return sink.take().slice();
}

/**
 * Unpacks the first frame in bytes, which are not changed.
 *
 * @param maxLength The largest inflated message.
 * @returns `false` if the bytes are not a complete frame, or the compressed message is corrupt or too large.
 */
export function unpackFrame(bytes: Uint8Array, maxLength: number = UNPACK_LIMIT): Unpacked | false {
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
  const finish = first > 0x7f;
  const compressed = (first & RSV1) !== 0 && isWholeMessage(first);
  if (compressed) {
    const inflated = inflateMessage(payload, maxLength);
    if (typeof inflated === "number") return false;
    payload = inflated;
  }
  // The reserved bits are flags 4, 8 and 16, and on the wire 0x40, 0x20 and 0x10.
  const flags = (finish ? SWOOLE_WEBSOCKET_FLAG_FIN : 0) | (compressed ? SWOOLE_WEBSOCKET_FLAG_COMPRESS : 0) |
    (first & RSV1 ? 4 : 0) | (first & 0x20 ? 8 : 0) | (first & 0x10 ? 16 : 0) | (masked ? SWOOLE_WEBSOCKET_FLAG_MASK : 0);
  return { opcode: first & 0x0f, flags, finish, payload };
}

/** What compresses and inflates synchronously: `pack()` and `unpack()` cannot wait for an adapter to be loaded. */
let findZlib: () => SyncZlib | undefined = () => undefined;

/** Sets what finds the functions of zlib when they are needed. Called by the entry points. */
export function useSyncZlib(find: () => SyncZlib | undefined): void {
  findZlib = find;
}

function getZlib(work: string): SyncZlib {
  const zlib = findZlib();
  if (zlib === undefined) throw new Error(`Cannot ${work} a compressed frame: this runtime has no node:zlib`);
  return zlib;
}

/**
 * Compresses a message (RFC 7692 section 7.2.1).
 *
 * @returns The payload, without the tail `00 00 ff ff`. None of its blocks is final.
 * @throws {Error} If the runtime has no zlib.
 */
export function deflateMessage(message: Uint8Array): Uint8Array {
  const payload = getZlib("pack").deflate(message);
  return payload.subarray(0, payload.length - TAIL.length);
}

/**
 * Inflates a payload (RFC 7692 section 7.2.2). It is measured first, as by the inflaters of connections.
 *
 * @param payload The payload of a complete message, without the tail. An empty payload counts as an empty message.
 * @param limit The largest message allowed, in bytes.
 * @returns The message, or the close code for the error.
 * @throws {Error} If the runtime has no zlib.
 */
export function inflateMessage(payload: Uint8Array, limit: number): Uint8Array | InflateFailure {
  const { inflate } = getZlib("unpack");
  const measurement = new Measurement(payload, limit, 0, windowSize(15));
  let result = measurement.run();
  while (result === -1) result = measurement.run();
  if (result !== 0) return result;
  const { size } = measurement;
  return size === 0 ? new Uint8Array(0) : inflate(measurement.blocks(), size) ?? 1007;
}
