/**
 * What the processes of a server say to each other: kinds of frames, and the numbers and texts in them. A frame is its length
 * without these four bytes, its kind, and a body. Numbers are big-endian.
 *
 * @module
 */

import { GrowingBuffer } from "../transport/bytes.ts";
import { utf8Decoder, utf8Encoder } from "../values.ts";

/** The version of the format. Processes with different versions are not joined. */
export const MESH_VERSION = 1;

/** The number of bytes before the body of a frame: the length, and the kind. */
export const FRAME_HEADER = 5;

// The kinds of frames. Each is described where it is written.
export const HELLO = 0;
export const PING = 1;
export const READY = 2;
export const MESSAGE = 3;
export const REQUEST = 4;
export const REPLY = 5;
export const NEWS = 8;
export const TOPIC_NEWS = 9;
export const PUSH = 10;
export const KEEP = 11;
export const PUSH_KEPT = 12;
export const RELEASE = 13;
export const SEND = 14;
export const CLOSE = 15;
export const BIND = 16;
export const PUBLISH = 17;
export const TASK_STATE = 18;
export const STATS = 20;
export const BROKER_SUBSCRIBE = 21;
export const BROKER_UNSUBSCRIBE = 22;
export const BROKER_SUBSCRIBED = 23;
export const APPEND = 24;
export const APPENDED = 25;
export const KEPT = 26;
export const PRESENCE = 27;
/** The number of kinds, those included that are still free. */
export const KINDS = 64;

/** A frame that breaks the rules of the format, and the rule that it breaks. */
export class MalformedFrame extends Error {
  override readonly name = "MalformedFrame";
}

/** The number of bytes of an fd in a frame. */
export const FD_SIZE = 8;

/** Writes a number below 2^32. */
export function writeUint32(memory: Uint8Array, at: number, value: number): void {
  memory[at] = value >>> 24;
  memory[at + 1] = value >>> 16;
  memory[at + 2] = value >>> 8;
  memory[at + 3] = value;
}

/** Reads a number below 2^32. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return bytes[at] * 0x1000000 + (bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]);
}

/** Writes an fd: any safe integer that is not negative. */
export function writeFd(memory: Uint8Array, at: number, fd: number): void {
  writeUint32(memory, at, Math.floor(fd / 0x100000000));
  writeUint32(memory, at + 4, fd);
}

/** Reads an fd. */
export function readFd(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) * 0x100000000 + readUint32(bytes, at + 4);
}

/** Reads the parts of a body, one after the other. All methods throw a `MalformedFrame` if the body is too short. */
export class BodyReader {
  /** The memory that holds the body. */
  readonly bytes: Uint8Array;
  /** The index of the next byte. */
  at: number;
  /** The index after the last byte. */
  readonly end: number;

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** Whether nothing remains. */
  get isOver(): boolean {
    return this.at >= this.end;
  }

  #take(size: number): number {
    const { at } = this;
    if (at + size > this.end) throw new MalformedFrame("a frame is too short for its content");
    this.at = at + size;
    return at;
  }

  uint8(): number {
    return this.bytes[this.#take(1)];
  }

  uint16(): number {
    const at = this.#take(2);
    return this.bytes[at] << 8 | this.bytes[at + 1];
  }

  uint32(): number {
    return readUint32(this.bytes, this.#take(4));
  }

  fd(): number {
    return readFd(this.bytes, this.#take(FD_SIZE));
  }

  float64(): number {
    const at = this.#take(8);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + at, 8).getFloat64(0);
  }

  /** Reads a text of up to 255 bytes. */
  text(): string {
    return utf8Decoder.decode(this.view(this.uint8()));
  }

  /** Reads so many bytes: a view of the memory that holds the body. */
  view(size: number): Uint8Array {
    const at = this.#take(size);
    return this.bytes.subarray(at, at + size);
  }
}

/** Writes the parts of bodies, one after the other. */
export class BodyWriter {
  readonly #buffer: GrowingBuffer = new GrowingBuffer();
  readonly #part: Uint8Array = new Uint8Array(8);
  readonly #view: DataView = new DataView(this.#part.buffer);

  /** The number of bytes written. */
  get length(): number {
    return this.#buffer.length;
  }

  #add(size: number): this {
    this.#buffer.append(this.#part, 0, size, Infinity);
    return this;
  }

  uint8(value: number): this {
    this.#part[0] = value;
    return this.#add(1);
  }

  uint16(value: number): this {
    this.#view.setUint16(0, value);
    return this.#add(2);
  }

  uint32(value: number): this {
    this.#view.setUint32(0, value);
    return this.#add(4);
  }

  fd(value: number): this {
    writeFd(this.#part, 0, value);
    return this.#add(FD_SIZE);
  }

  float64(value: number): this {
    this.#view.setFloat64(0, value);
    return this.#add(8);
  }

  /** Writes a text of up to 255 bytes; of a longer one, its beginning. */
  text(value: string): this {
    const bytes = utf8Encoder.encode(value);
    const size = Math.min(bytes.length, 255);
    this.uint8(size);
    return this.add(bytes, 0, size);
  }

  /** Writes bytes. */
  add(bytes: Uint8Array, start = 0, end: number = bytes.length): this {
    this.#buffer.append(bytes, start, end, Infinity);
    return this;
  }

  /** Takes the bytes written so far: a copy of its own. */
  take(): Uint8Array {
    const bytes = this.#buffer.memory.slice(0, this.#buffer.length);
    this.#buffer.length = 0;
    return bytes;
  }
}
