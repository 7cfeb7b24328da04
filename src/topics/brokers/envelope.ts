/**
 * Messages as bytes, on their way through a broker that carries nothing else: each is a header of 14 bytes, then the payload.
 *
 * The header is: the version of the format, 1; the opcode, plus 16 if the message is compressed where that was negotiated; the id of
 * the server, 8 bytes; the number of the message at that server, 4 bytes, of which higher bits are left out.
 *
 * Messages of a kept topic follow a head in ASCII, `offset:epoch:`, with the offset of the first one. If there are several, their
 * lengths come next, `length,length:`, then one message behind the other.
 *
 * @module
 */

import { WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../../constants.ts";
import { utf8Decoder } from "../../values.ts";
import { isUtf8 } from "../../websocket/utf8.ts";
import { BrokerMessage, type KeptMessage } from "../broker.ts";

/** The version of the format; no digit, which is what a list of lengths begins with. */
const VERSION = 1;

/** The length of the header. */
const HEADER = 14;

const COMPRESSED = 16;

/** Returns the number of bytes of a message. */
export function encodedLength({ payload }: BrokerMessage): number {
  return HEADER + payload.length;
}

/** Writes a message. */
export function encodeEnvelope(message: BrokerMessage): Uint8Array {
  const bytes = new Uint8Array(encodedLength(message));
  write(message, bytes, 0);
  return bytes;
}

/** Writes messages, one behind the other. */
export function encodeEnvelopes(messages: readonly BrokerMessage[]): Uint8Array {
  let length = 0;
  for (const message of messages) length += encodedLength(message);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const message of messages) at = write(message, bytes, at);
  return bytes;
}

/** Writes a message. Returns the index behind it. */
function write({ opcode, isCompressed, origin, sequence, payload }: BrokerMessage, bytes: Uint8Array, at: number): number {
  bytes[at] = VERSION;
  bytes[at + 1] = opcode | (isCompressed ? COMPRESSED : 0);
  for (let i = 0; i < 8; i++) bytes[at + 2 + i] = parseInt(origin.slice(2 * i, 2 * i + 2), 16);
  for (let i = 0; i < 4; i++) bytes[at + 10 + i] = sequence >>> (24 - 8 * i);
  bytes.set(payload, at + HEADER);
  return at + HEADER + payload.length;
}

/** Reads a message; `undefined` if it is none. The bytes must not change afterwards. */
export function decodeEnvelope(bytes: Uint8Array): BrokerMessage | undefined {
  if (bytes.length < HEADER || bytes[0] !== VERSION) return undefined;
  const opcode = bytes[1] & ~COMPRESSED;
  if (opcode !== WEBSOCKET_OPCODE_TEXT && opcode !== WEBSOCKET_OPCODE_BINARY) return undefined;
  if (opcode === WEBSOCKET_OPCODE_TEXT && !isUtf8(bytes, HEADER, bytes.length)) return undefined;
  let origin = "";
  for (let i = 2; i < 10; i++) origin += bytes[i].toString(16).padStart(2, "0");
  let sequence = 0;
  for (let i = 10; i < 14; i++) sequence = sequence * 256 + bytes[i];
  return new BrokerMessage(opcode, bytes.subarray(HEADER), (bytes[1] & COMPRESSED) !== 0, origin, sequence);
}

/** Reads messages of a kept topic with their head; `undefined` if they are none. */
export function decodeKept(bytes: Uint8Array): { epoch: string; entries: KeptMessage[] } | undefined {
  const first = bytes.indexOf(COLON);
  const second = bytes.indexOf(COLON, first + 1);
  if (first < 1 || second < first + 2 || second > LONGEST_HEAD) return undefined;
  const [number, epoch] = String.fromCharCode(...bytes.subarray(0, second)).split(":");
  const offset = numberOf(number);
  if (offset === undefined) return undefined;
  if (bytes[second + 1] === VERSION) {
    const message = decodeEnvelope(bytes.subarray(second + 1));
    return message === undefined ? undefined : { epoch, entries: [{ offset, message }] };
  }
  const third = bytes.indexOf(COLON, second + 1);
  if (third < 0) return undefined;
  const entries: KeptMessage[] = [];
  let at = third + 1;
  for (const length of utf8Decoder.decode(bytes.subarray(second + 1, third)).split(",")) {
    const end = at + (numberOf(length) ?? NaN);
    const message = end <= bytes.length ? decodeEnvelope(bytes.subarray(at, end)) : undefined;
    if (message === undefined) return undefined;
    entries.push({ offset: offset + entries.length, message });
    at = end;
  }
  return at === bytes.length ? { epoch, entries } : undefined;
}

/** Reads a number from 1 on, without leading zeros. */
function numberOf(text: string): number | undefined {
  return /^[1-9]\d{0,15}$/.test(text) ? Number(text) : undefined;
}

const COLON = 0x3a;
const LONGEST_HEAD = 100;
