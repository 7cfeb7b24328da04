/**
 * Encodes frames (RFC 6455 section 5.2).
 *
 * @module
 */

import { utf8Encoder } from "../values.ts";
import type { ByteSink } from "../transport/bytes.ts";
import { writeUtf8 } from "../transport/current_runtime.ts";
import { isKnown, knownText } from "./outgoing.ts";
import { mask } from "./masking.ts";

/** The size of the longest header: 2 bytes, 8 of length, 4 of masking key. */
const MAX_HEADER = 14;

/** The size in bytes up to which a payload is copied after its header; larger ones go to the sink separately. */
const COPY_LIMIT = 32 * 1024;

/** The length in UTF-16 units up to which any text is encoded in place; longer texts only if they are ASCII. */
const IN_PLACE_LIMIT = 8 * 1024;

/** The size in bytes up to which a payload is copied byte by byte, which is faster than creating a view for `set()`. */
const SHORT_PAYLOAD = 128;

/** Writes a header. Returns the index after it. */
function writeHeader(
  memory: Uint8Array,
  at: number,
  first: number,
  length: number,
  maskingKey: number | undefined,
): number {
  const masked = maskingKey === undefined ? 0 : 0x80;
  memory[at] = first;
  if (length < 126) {
    memory[at + 1] = masked | length;
    at += 2;
  } else if (length < 65536) {
    memory[at + 1] = masked | 126;
    memory[at + 2] = length >> 8;
    memory[at + 3] = length;
    at += 4;
  } else {
    memory[at + 1] = masked | 127;
    const high = Math.floor(length / 0x100000000);
    for (let i = 0; i < 4; i++) {
      memory[at + 2 + i] = high >>> (24 - 8 * i);
      memory[at + 6 + i] = length >>> (24 - 8 * i);
    }
    at += 10;
  }
  if (maskingKey !== undefined) {
    for (let i = 0; i < 4; i++) memory[at + i] = maskingKey >>> (8 * i);
    at += 4;
  }
  return at;
}

/**
 * Writes a frame with a payload of bytes.
 *
 * @param sink The sink to write to.
 * @param first The first byte: FIN, the reserved bits and the opcode.
 * @param payload The memory that contains the payload. It is not changed.
 * @param start The index of the first byte of the payload.
 * @param end The index after the last byte.
 * @param maskingKey The masking key, for a client; `undefined` for a server.
 * @param stays Whether the payload never changes; large ones are then sent by reference.
 * @returns The size of the frame in bytes.
 */
export function writeFrame(
  sink: ByteSink,
  first: number,
  payload: Uint8Array,
  start: number,
  end: number,
  maskingKey?: number,
  stays = false,
): number {
  const length = end - start;
  if (length <= COPY_LIMIT || maskingKey !== undefined) {
    const at = sink.reserve(MAX_HEADER + length);
    const memory = sink.memory;
    const body = writeHeader(memory, at, first, length, maskingKey);
    if (length <= SHORT_PAYLOAD) { for (let i = 0; i < length; i++) memory[body + i] = payload[start + i]; }
    else memory.set(start === 0 && end === payload.length ? payload : payload.subarray(start, end), body);
    if (maskingKey !== undefined) mask(memory, body, body + length, maskingKey);
    const size = body + length - at;
    sink.commit(size);
    return size;
  }
  const at = sink.reserve(MAX_HEADER);
  const header = writeHeader(sink.memory, at, first, length, undefined) - at;
  sink.commit(header);
  if (stays) sink.append(payload.subarray(start, end));
  else sink.appendCopy(payload, start, end);
  return header + length;
}

/**
 * Writes a frame with a payload of text.
 *
 * @param sink The sink to write to.
 * @param first The first byte: FIN, the reserved bits and the opcode.
 * @param text The text. A lone surrogate becomes U+FFFD.
 * @param maskingKey The masking key, for a client; `undefined` for a server.
 * @returns The size of the frame in bytes.
 */
export function writeTextFrame(sink: ByteSink, first: number, text: string, maskingKey?: number): number {
  if (isKnown(text)) {
    if (maskingKey === undefined && knownText.uses++ > 0) return writeKnown(sink, first);
    return writeFrame(sink, first, knownText.bytes, knownText.start, knownText.end, maskingKey);
  }
  const units = text.length;
  if (units > IN_PLACE_LIMIT) {
    if (units <= COPY_LIMIT && maskingKey === undefined) {
      const size = writeAscii(sink, first, text);
      if (size !== 0) return size;
    }
    const payload = utf8Encoder.encode(text);
    return writeFrame(sink, first, payload, 0, payload.length, maskingKey, true);
  }
  const at = sink.reserve(MAX_HEADER + units * 3);
  const memory = sink.memory;
  let body = at + (units < 126 ? 2 : 4) + (maskingKey === undefined ? 0 : 4); // as for ASCII
  const length = writeUtf8(text, memory, body);
  if (length > 125 && units < 126) { // the header has a 16-bit length
    memory.copyWithin(body + 2, body, body + length);
    body += 2;
  }
  writeHeader(memory, at, first, length, maskingKey);
  if (maskingKey !== undefined) mask(memory, body, body + length, maskingKey);
  const size = body + length - at;
  sink.commit(size);
  return size;
}

/** Writes a frame of the text that is known, which goes to many connections. */
function writeKnown(sink: ByteSink, first: number): number {
  let { frame } = knownText;
  if (frame === undefined || frame[0] !== first) {
    const { bytes, start, end } = knownText;
    if (end - start > COPY_LIMIT) return writeFrame(sink, first, bytes, start, end);
    frame = knownText.frame = frameBytes(first, bytes, start, end);
    knownText.sharing = { waits: 0 };
  }
  sink.append(frame, knownText.sharing);
  return frame.length;
}

/** Writes a frame of a text if the text is ASCII. Otherwise returns 0, having sent nothing. */
function writeAscii(sink: ByteSink, first: number, text: string): number {
  const units = text.length;
  const at = sink.reserve(MAX_HEADER + units);
  const body = at + 4; // above 125 and below 64 Ki: a 16-bit length
  const { read } = utf8Encoder.encodeInto(text, sink.memory.subarray(body, body + units));
  if (read < units) return 0; // not ASCII: more bytes than units
  writeHeader(sink.memory, at, first, units, undefined);
  sink.commit(4 + units);
  return 4 + units;
}

/**
 * Creates a frame that is sent to many connections, without a masking key.
 *
 * @param first The first byte: FIN, the reserved bits and the opcode.
 * @param payload The memory that contains the payload.
 * @param start The index of the first byte of the payload.
 * @param end The index after the last byte.
 */
export function frameBytes(first: number, payload: Uint8Array, start = 0, end: number = payload.length): Uint8Array {
  const length = end - start;
  const memory = new Uint8Array((length < 126 ? 2 : length < 65536 ? 4 : 10) + length);
  const body = writeHeader(memory, 0, first, length, undefined);
  if (length <= SHORT_PAYLOAD) { for (let i = 0; i < length; i++) memory[body + i] = payload[start + i]; }
  else memory.set(start === 0 && end === payload.length ? payload : payload.subarray(start, end), body);
  return memory;
}

/** Creates a frame of a text that is sent to many connections; see `frameBytes()`. */
export function textFrameBytes(first: number, text: string): Uint8Array {
  if (isKnown(text)) return frameBytes(first, knownText.bytes, knownText.start, knownText.end);
  return frameBytes(first, utf8Encoder.encode(text));
}

/** Returns the payload of a complete frame without a masking key, without a copy. */
export function payloadOf(frame: Uint8Array): Uint8Array {
  const length = frame[1];
  return frame.subarray(length < 126 ? 2 : length === 126 ? 4 : 10);
}
