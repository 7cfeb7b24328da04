/**
 * A message as bytes, on its way through a broker that carries nothing else: a header of 14 bytes, then the payload.
 *
 * The header is: the version of the format, 1; the opcode, plus 16 if the message is compressed where that was negotiated; the id of
 * the server, 8 bytes; the number of the message at that server, 4 bytes, of which higher bits are left out.
 *
 * @module
 */

import { WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../../constants.ts";
import { isUtf8 } from "../../websocket/utf8.ts";
import { BrokerMessage } from "../broker.ts";

/** The version of the format; no digit, which is what a message of a kept topic begins with. */
const VERSION = 1;

/** The length of the header. */
const HEADER = 14;

const COMPRESSED = 16;

/** Writes a message. */
export function encodeEnvelope({ opcode, isCompressed, origin, sequence, payload }: BrokerMessage): Uint8Array {
  const bytes = new Uint8Array(HEADER + payload.length);
  bytes[0] = VERSION;
  bytes[1] = opcode | (isCompressed ? COMPRESSED : 0);
  for (let i = 0; i < 8; i++) bytes[2 + i] = parseInt(origin.slice(2 * i, 2 * i + 2), 16);
  for (let i = 0; i < 4; i++) bytes[10 + i] = sequence >>> (24 - 8 * i);
  bytes.set(payload, HEADER);
  return bytes;
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

/** Reads the head of a message of a kept topic, `offset:epoch:`, and the message behind it. */
export function decodeKept(bytes: Uint8Array): { offset: number; epoch: string; message: BrokerMessage } | undefined {
  const first = bytes.indexOf(COLON);
  const second = bytes.indexOf(COLON, first + 1);
  if (first < 1 || second < first + 2 || second > LONGEST_HEAD) return undefined;
  const [offset, epoch] = String.fromCharCode(...bytes.subarray(0, second)).split(":");
  const message = decodeEnvelope(bytes.subarray(second + 1));
  return message === undefined || !/^[1-9]\d{0,15}$/.test(offset) ? undefined : { offset: Number(offset), epoch, message };
}

const COLON = 0x3a;
const LONGEST_HEAD = 100;
