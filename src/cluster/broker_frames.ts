/**
 * What the broker of a server says to its processes: messages of topics, and parts of their history, as bytes.
 *
 * @module
 */

import { sliceBytes } from "../transport/bytes.ts";
import { WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import { BrokerMessage, type KeptMessage, type TopicHistory, type TopicPosition } from "../topics/broker.ts";
import { type BodyReader, BodyWriter, FD_SIZE, MalformedFrame } from "./wire.ts";

/** The methods of requests to the broker: the positions of topics, and a part of the history of one. */
export const POSITIONS_METHOD = 32;
export const HISTORY_METHOD = 33;

/** So many bytes of topics are named at once. */
const TOPICS_SIZE = 16 * 1024;

/** A part of a history has no more bytes than this, unless its first message is larger. */
const HISTORY_SIZE = 256 * 1024;

/** What a frame has besides its message, in bytes; generously. */
const FRAME_COST = 1024;

const COMPRESSED = 16;

/** What has become of a message; the reply says which. */
export const STORED = 0;
export const REPEATED = 1;
export const REFUSED = 2;
export const UNKNOWN = 3;

/** The connections that are not sent a message. */
type Except = ReadonlySet<number> | undefined;

/** Reports whether a message fits into one frame of a link whose queue holds so many bytes. */
export function fits({ payload }: BrokerMessage, except: Except, bufferSize: number): boolean {
  return payload.length + FD_SIZE * (except?.size ?? 0) + FRAME_COST <= bufferSize;
}

/** Writes the names of topics, and passes them on in parts. */
export function writeTopics(topics: Iterable<string>, send: (body: Uint8Array) => void): void {
  const writer = new BodyWriter();
  for (const topic of topics) {
    writer.text(topic);
    if (writer.length >= TOPICS_SIZE) send(writer.take());
  }
  if (writer.length > 0) send(writer.take());
}

/** Reads the names of topics. */
export function readTopics(body: BodyReader): string[] {
  const topics: string[] = [];
  while (!body.isOver) topics.push(body.text());
  return topics;
}

/** Writes all of a message but its payload. */
export function writeMessage(writer: BodyWriter, message: BrokerMessage, except: Except): BodyWriter {
  const { opcode, isCompressed, origin, sequence } = message;
  writer.uint8(opcode | (isCompressed ? COMPRESSED : 0)).uint32(sequence).text(origin).uint32(except?.size ?? 0);
  for (const fd of except ?? []) writer.fd(fd);
  return writer;
}

/**
 * Reads a message, of whose payload a copy is made.
 *
 * @param readSize Reads the number of bytes of the payload; without it, it is what remains.
 */
export function readMessage(body: BodyReader, readSize?: () => number): Omit<KeptMessage, "offset"> {
  const first = body.uint8();
  const opcode = first & ~COMPRESSED;
  if (opcode !== WEBSOCKET_OPCODE_TEXT && opcode !== WEBSOCKET_OPCODE_BINARY) {
    throw new MalformedFrame(`a message of a topic has no opcode ${opcode}`);
  }
  const sequence = body.uint32();
  const origin = body.text();
  const count = body.uint32();
  let except: Set<number> | undefined;
  for (let i = 0; i < count; i++) (except ??= new Set()).add(body.fd());
  const payload = body.view(readSize?.() ?? body.end - body.at);
  const bytes = sliceBytes(payload, 0, payload.length);
  return { message: new BrokerMessage(opcode, bytes, (first & COMPRESSED) !== 0, origin, sequence), except };
}

/** Writes positions, some of which are refused. */
export function writePositions(positions: readonly (TopicPosition | undefined)[]): Uint8Array {
  const writer = new BodyWriter();
  for (const position of positions) {
    if (position === undefined) writer.uint8(0);
    else writer.uint8(1).fd(position.offset).text(position.epoch);
  }
  return writer.take();
}

/** Reads positions. */
export function readPositions(body: BodyReader): (TopicPosition | undefined)[] {
  const positions: (TopicPosition | undefined)[] = [];
  while (!body.isOver) positions.push(body.uint8() === 0 ? undefined : { offset: body.fd(), epoch: body.text() });
  return positions;
}

/**
 * Writes the beginning of a history: as many messages as make a frame of some size. A message that fits into no frame is left out,
 * which is a gap.
 *
 * @param exceptOf Returns the connections that are not sent a message.
 * @param bufferSize The number of bytes that the queue of the link holds.
 */
export function writeHistory(
  { offset, epoch, base: given, entries }: TopicHistory,
  exceptOf: (message: BrokerMessage) => Except,
  bufferSize: number,
): Uint8Array {
  const most = Math.min(HISTORY_SIZE, bufferSize / 4);
  const writer = new BodyWriter();
  let base = given;
  for (const { offset, message } of entries) {
    const except = exceptOf(message);
    if (!fits(message, except, bufferSize)) {
      if (writer.length > 0) break; // the next part begins behind it
      base = offset;
      continue;
    }
    const { payload } = message;
    if (writer.length > 0 && writer.length + payload.length > most) break;
    writeMessage(writer.fd(offset), message, except).uint32(payload.length).add(payload);
  }
  const body = writer.take();
  return writer.fd(offset).text(epoch).fd(base).add(body).take();
}

/** Reads a part of a history. */
export function readHistory(body: BodyReader): TopicHistory {
  const offset = body.fd();
  const epoch = body.text();
  const base = body.fd();
  const entries: KeptMessage[] = [];
  while (!body.isOver) entries.push({ offset: body.fd(), ...readMessage(body, () => body.uint32()) });
  return { offset, epoch, base, entries };
}
