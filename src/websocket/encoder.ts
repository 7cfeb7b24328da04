/**
 * Writes frames (RFC 6455 section 5.2).
 *
 * @module
 */

import type { ByteSink } from "../byte_sink.ts";
import { mask } from "./mask.ts";

const encoder = new TextEncoder();

/** The longest header: 2 octets, 8 of length, 4 of masking key. */
const MAX_HEADER = 14;

/** Payloads up to this many bytes are copied behind their header; larger ones go to the sink by themselves. */
const COPY_LIMIT = 32 * 1024;

/** Texts up to this many UTF-16 units are encoded in place, whatever they hold; longer ones if they turn out to be ASCII. */
const IN_PLACE_LIMIT = 8 * 1024;

/** Payloads up to this many octets are copied one by one, which is faster than to make a view for `set()`. */
const SHORT_PAYLOAD = 128;

/** Texts up to this many UTF-16 units are encoded aside, which is faster than to make a view of the right place. */
const SHORT_TEXT = 128;

const aside = new Uint8Array(SHORT_TEXT * 3);

/** Writes the header; returns the index behind it. */
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
 * Writes a frame whose payload is octets.
 *
 * @param sink Where to.
 * @param first The first octet: FIN, the reserved bits and the opcode.
 * @param payload Where the payload is. Not changed.
 * @param start Index of its first octet.
 * @param end Index behind its last octet.
 * @param maskingKey The key to mask with, for a client; none for a server.
 * @param stays Whether nobody changes the payload any more: what is large is sent by reference then.
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
 * Writes a frame whose payload is a text.
 *
 * @param sink Where to.
 * @param first The first octet: FIN, the reserved bits and the opcode.
 * @param text The text. A lone surrogate becomes U+FFFD.
 * @param maskingKey The key to mask with, for a client; none for a server.
 * @returns The size of the frame in octets.
 */
export function writeTextFrame(sink: ByteSink, first: number, text: string, maskingKey?: number): number {
  const units = text.length;
  if (units > IN_PLACE_LIMIT) {
    if (units <= COPY_LIMIT && maskingKey === undefined) {
      const size = writeAscii(sink, first, text);
      if (size !== 0) return size;
    }
    const payload = encoder.encode(text);
    return writeFrame(sink, first, payload, 0, payload.length, maskingKey, true);
  }
  if (units <= SHORT_TEXT) {
    const { written } = encoder.encodeInto(text, aside);
    return writeFrame(sink, first, aside, 0, written, maskingKey);
  }
  // Between 129 and 24,576 octets in UTF-8: the header has a length of 16 bits.
  const at = sink.reserve(MAX_HEADER + units * 3);
  const memory = sink.memory;
  const body = at + (maskingKey === undefined ? 4 : 8);
  const length = encoder.encodeInto(text, memory.subarray(body)).written;
  writeHeader(memory, at, first, length, maskingKey);
  if (maskingKey !== undefined) mask(memory, body, body + length, maskingKey);
  const size = body + length - at;
  sink.commit(size);
  return size;
}

/** Writes a frame of a text that takes an octet for each unit, as long as it is one; returns 0, and has sent nothing, if not. */
function writeAscii(sink: ByteSink, first: number, text: string): number {
  const units = text.length;
  const at = sink.reserve(MAX_HEADER + units);
  const body = at + 4; // above 125 and below 64 Ki: a length of 16 bits
  const { read } = encoder.encodeInto(text, sink.memory.subarray(body, body + units));
  if (read < units) return 0; // what is not ASCII takes more octets than units
  writeHeader(sink.memory, at, first, units, undefined);
  sink.commit(4 + units);
  return 4 + units;
}

/** Frames up to this many octets are copied where they are sent; larger ones travel by reference. */
const SHARED_COPY_LIMIT = 1024;

/**
 * Makes a frame that is sent to many, without a masking key.
 *
 * @param first The first octet: FIN, the reserved bits and the opcode.
 * @param payload The payload.
 */
export function frameBytes(first: number, payload: Uint8Array): Uint8Array {
  const memory = new Uint8Array(MAX_HEADER + payload.length);
  const body = writeHeader(memory, 0, first, payload.length, undefined);
  memory.set(payload, body);
  return memory.subarray(0, body + payload.length);
}

/** Sends a whole frame that others get too. It is not changed. */
export function writeShared(sink: ByteSink, frame: Uint8Array): void {
  if (frame.length > SHARED_COPY_LIMIT) return sink.append(frame);
  const at = sink.reserve(frame.length);
  sink.memory.set(frame, at);
  sink.commit(frame.length);
}
