/**
 * A link between two processes of a server: frames over a connection.
 *
 * @module
 */

import { EMPTY, GrowingBuffer, type Sharing, writeAscii } from "../transport/bytes.ts";
import type { Connection, Protocol } from "../transport/connection.ts";
import type { ConnectionEnd } from "../transport/connection_end.ts";
import { utf8Encoder } from "../values.ts";
import {
  BodyReader,
  BodyWriter,
  FRAME_HEADER,
  HELLO,
  MalformedFrame,
  MESH_VERSION,
  PING,
  readUint32,
  writeUint32,
} from "./wire.ts";

/** A process of a server. */
export interface Member {
  /** What no other process has at the same time: 0 for the master, otherwise 1 to 255. */
  readonly slot: number;
  /** The number of the worker, which its successor has too; -1 for the master. */
  readonly id: number;
  /** The process ID. */
  readonly pid: number;
}

/** Receives the frames of one kind. The body is lent for the length of the call. */
export type FrameHandler = (link: Link, bytes: Uint8Array, start: number, end: number) => void;

/** What all links of a process share. */
export interface LinkContext {
  /** This process. */
  readonly self: Member;
  /** The secret of the processes of one server. */
  readonly token: string;
  /** The number of bytes that may wait to be sent over one link, and so the size of the largest frame. */
  readonly bufferSize: number;
  /** The coarse clock. */
  readonly now: number;
  /** Called before each frame that is not news itself, to send the news that are pending. */
  settle: (() => void) | undefined;
  /** Returns the receiver of the frames of a kind. */
  handlerOf(kind: number): FrameHandler | undefined;
  /** Called when the peer is known. */
  onEstablished(link: Link): void;
  /** Called once when the link has ended, if it was established. */
  onEnded(link: Link): void;
  /** Called when the peer has sent nothing for long, once for each such time. */
  onSilent(link: Link): void;
}

/** The size of the largest frame of a peer that is not known yet. */
const MOST_UNKNOWN = 600;

/** How long the peer may take to introduce itself, in milliseconds. */
const HELLO_TIMEOUT = 10_000;

/** A peer that has nothing to say sends a ping this often, in milliseconds. */
const PING_INTERVAL = 10_000;

/** The time without a frame after which a peer is reported, in milliseconds. */
const SILENCE = 30_000;

/** Memory for incomplete frames is kept up to this size, in bytes. */
const KEPT_MEMORY = 64 * 1024;

/** So many bytes may wait besides, of what must not be missing. */
const MOST_TOLD = 64 * 1024 * 1024;

/** Up to this size, bodies are copied after their header; larger ones go to the connection separately. */
const COPY_LIMIT = 32 * 1024;

/** Texts up to this many UTF-16 units are written in place. */
const IN_PLACE_LIMIT = 8 * 1024;

/** One end of a link. */
export class Link implements Protocol {
  /** The connection. */
  readonly connection: Connection;
  /** The other process, once it is known. */
  peer: Member | undefined = undefined;
  /** Whether the peer has sent everything that it has to say at first. */
  isReady = false;
  /** Why the link has ended, once it has. */
  reason = "";

  readonly #context: LinkContext;
  readonly #expected: number | undefined; // slot of the peer, if this side has connected
  readonly #version: number;
  readonly #partial: GrowingBuffer = new GrowingBuffer(); // the beginning of a frame
  #mostReceived = MOST_UNKNOWN;
  #mostSent: number;
  #isSilent = false;

  /**
   * @param expected The slot of the peer, if this side has connected and so speaks first.
   * @param version The version of the format, for tests.
   */
  constructor(connection: Connection, context: LinkContext, expected?: number, version: number = MESH_VERSION) {
    this.connection = connection;
    this.#context = context;
    this.#expected = expected;
    this.#version = version;
    this.#mostSent = context.bufferSize;
    connection.deadline = context.now + HELLO_TIMEOUT;
  }

  /** Whether frames can be sent. */
  get isOpen(): boolean {
    return this.peer !== undefined && this.connection.isOpen;
  }

  /** Introduces this process. The side that has connected does so first, the other one when it knows the token. */
  sayHello(token: string = this.#context.token): void {
    const { slot, id, pid } = this.#context.self;
    const body = new BodyWriter().uint16(this.#version).text(token).uint8(slot).uint16(id + 1).uint32(pid)
      .uint32(Math.min(this.#context.bufferSize, 0xffffffff)).take();
    this.#write(HELLO, body);
  }

  // ---- sending ------------------------------------------------------------------------------------------------------

  /** Reports whether a body of so many bytes can be sent now. */
  hasRoom(size: number): boolean {
    const { settle } = this.#context;
    if (settle !== undefined) settle();
    return this.isOpen && this.connection.queuedBytes + FRAME_HEADER + size <= this.#mostSent;
  }

  /**
   * Makes room for a frame whose body has up to so many bytes.
   *
   * @returns The index of the body in the memory of the connection, until the next call of any method; -1 if there is no room.
   */
  reserve(size: number): number {
    return this.hasRoom(size) ? this.connection.reserve(FRAME_HEADER + size) + FRAME_HEADER : -1;
  }

  /** Completes a `reserve()`. */
  commit(kind: number, at: number, size: number): void {
    const { memory } = this.connection;
    writeUint32(memory, at - FRAME_HEADER, size + 1);
    memory[at - 1] = kind;
    this.connection.commit(FRAME_HEADER + size);
  }

  /**
   * Sends a frame whose body is a head and then bytes of the program, which may change after the call.
   *
   * @returns Whether it was taken: the link is open, and its queue has room.
   */
  send(kind: number, head: Uint8Array, bytes: Uint8Array = EMPTY, start = 0, end: number = bytes.length): boolean {
    const size = head.length + end - start;
    if (size > COPY_LIMIT) {
      if (!this.hasRoom(size)) return false;
      this.#writeHead(kind, head, end - start);
      this.connection.appendCopy(bytes, start, end);
      return true;
    }
    const at = this.reserve(size);
    if (at < 0) return false;
    const { memory } = this.connection;
    for (let i = 0; i < head.length; i++) memory[at + i] = head[i];
    memory.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), at + head.length);
    this.commit(kind, at, size);
    return true;
  }

  #writeHead(kind: number, head: Uint8Array, more: number): void {
    const { connection } = this;
    const at = connection.reserve(FRAME_HEADER + head.length);
    const { memory } = connection;
    writeUint32(memory, at, 1 + head.length + more);
    memory[at + 4] = kind;
    memory.set(head, at + FRAME_HEADER);
    connection.commit(FRAME_HEADER + head.length);
  }

  /**
   * Sends a frame whose body is a short head and then a text.
   *
   * @param head Writes the head.
   * @returns See `send()`.
   */
  sendText(kind: number, head: Uint8Array, text: string): boolean {
    const units = text.length;
    if (units > IN_PLACE_LIMIT) return this.send(kind, head, utf8Encoder.encode(text));
    const at = this.reserve(head.length + units * 3);
    if (at < 0) return false;
    const { memory } = this.connection;
    for (let i = 0; i < head.length; i++) memory[at + i] = head[i];
    const from = at + head.length;
    let size = units;
    if (!writeAscii(text, memory, from)) {
      size = utf8Encoder.encodeInto(text, memory.subarray(from, from + units * 3)).written;
    }
    this.commit(kind, at, head.length + size);
    return true;
  }

  /** Sends a whole frame, made by `frameOf()`, that goes over several links. See `send()`. */
  sendShared(frame: Uint8Array, sharing: Sharing): boolean {
    if (!this.hasRoom(frame.length - FRAME_HEADER)) return false;
    this.connection.append(frame, sharing);
    return true;
  }

  /**
   * Sends a frame that must not be missing, however many bytes wait. A link over which the peer takes nothing is ended instead:
   * what it has missed is told when it is joined again.
   */
  tell(kind: number, body: Uint8Array = EMPTY): void {
    if (!this.isOpen) return;
    const most = this.#mostSent + MOST_TOLD;
    if (this.connection.queuedBytes + FRAME_HEADER + body.length > most) return this.fail(`it has not taken ${most} bytes`);
    this.#write(kind, body);
  }

  #write(kind: number, body: Uint8Array): void {
    this.#writeHead(kind, EMPTY, body.length);
    this.connection.appendCopy(body);
  }

  /** Ends the link in order: what is queued is still sent. */
  end(reason: string): void {
    this.reason ||= reason;
    this.connection.end(true);
  }

  /** Ends the link at once, because it does not work. */
  fail(reason: string): void {
    this.reason ||= reason;
    this.connection.abort(true);
  }

  // ---- Protocol -----------------------------------------------------------------------------------------------------

  receive(chunk: Uint8Array, at: number): void {
    this.#isSilent = false;
    try {
      this.#receive(chunk, at);
    } catch (error) {
      if (!(error instanceof MalformedFrame)) throw error;
      this.fail(error.message);
    }
  }

  #receive(chunk: Uint8Array, at: number): void {
    const partial = this.#partial;
    if (partial.length > 0) {
      at = this.#complete(chunk, at);
      if (at < 0) return;
    }
    const { length } = chunk;
    while (length - at >= 4 && this.connection.isOpen) {
      const end = at + 4 + this.#sizeAt(chunk, at);
      if (end > length) break;
      this.#handle(chunk, at + 4, end);
      at = end;
    }
    if (at < length && this.connection.isOpen) partial.append(chunk, at, length, this.#mostReceived + 4);
  }

  /** Completes the frame whose beginning has arrived, and handles it. Returns the index after it; -1 if more is needed. */
  #complete(chunk: Uint8Array, at: number): number {
    const partial = this.#partial;
    const take = (size: number) => {
      const end = Math.min(chunk.length, at + size - partial.length);
      if (end > at) partial.append(chunk, at, end, this.#mostReceived + 4);
      at = Math.max(at, end);
      return partial.length >= size;
    };
    if (!take(4)) return -1;
    const size = 4 + this.#sizeAt(partial.memory, 0);
    if (!take(size)) return -1;
    partial.length = 0;
    this.#handle(partial.memory, 4, size);
    if (partial.memory.length > KEPT_MEMORY) partial.memory = EMPTY;
    return at;
  }

  #sizeAt(bytes: Uint8Array, at: number): number {
    const size = readUint32(bytes, at);
    if (size === 0) throw new MalformedFrame("a frame has no kind");
    if (size > this.#mostReceived) throw new MalformedFrame(`a frame of ${size} bytes is too large`);
    return size;
  }

  #handle(bytes: Uint8Array, start: number, end: number): void {
    const kind = bytes[start];
    if (this.peer === undefined) {
      if (kind !== HELLO) throw new MalformedFrame("it has not introduced itself");
      return this.#onHello(new BodyReader(bytes, start + 1, end));
    }
    if (kind === PING) return;
    const handler = this.#context.handlerOf(kind);
    if (handler === undefined) throw new MalformedFrame(`frames of kind ${kind} are unknown`);
    handler(this, bytes, start + 1, end);
  }

  #onHello(body: BodyReader): void {
    const { self, token } = this.#context;
    const version = body.uint16();
    if (version !== this.#version) {
      if (this.#expected === undefined) this.sayHello(""); // so that the other side can tell, too
      return this.end(`it speaks version ${version} of the format, and this process version ${this.#version}`);
    }
    if (!isSame(body.text(), token)) throw new MalformedFrame("its token is wrong");
    const slot = body.uint8();
    const id = body.uint16() - 1;
    const pid = body.uint32();
    if (slot === self.slot || slot !== (this.#expected ?? slot)) {
      throw new MalformedFrame(`slot ${slot} is not the one of that process`);
    }
    this.#mostSent = Math.min(this.#mostSent, body.uint32());
    this.#mostReceived = this.#context.bufferSize;
    if (this.#expected === undefined) this.sayHello();
    this.peer = { slot, id, pid };
    this.connection.deadline = this.#context.now + PING_INTERVAL;
    this.#context.onEstablished(this);
  }

  onDeadline(now: number): void {
    if (this.peer === undefined) return this.fail("it has not introduced itself in time");
    this.connection.deadline = now + PING_INTERVAL;
    if (this.connection.queuedBytes === 0) this.tell(PING);
    if (this.#isSilent || now - this.connection.lastReceived < SILENCE) return;
    this.#isSilent = true;
    this.#context.onSilent(this);
  }

  receiveEnd(): void {
    this.end("");
  }

  onFault(error: unknown): void {
    this.fail(`an error occurred here: ${error}`);
  }

  onClosed(end: ConnectionEnd): void {
    // That of a process that has not introduced itself is made again, or the process has just ended in order.
    if (this.reason === "" && end.error !== undefined && this.peer !== undefined) this.reason = String(end.error);
    this.#partial.length = 0;
    this.#partial.memory = EMPTY;
    if (this.peer !== undefined) this.#context.onEnded(this);
  }

  get heldBytes(): number {
    return this.#partial.memory.length;
  }
}

/** Makes a frame as bytes. */
export function frameOf(kind: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const size = parts.reduce((sum, { length }) => sum + length, 0);
  const frame = new Uint8Array(FRAME_HEADER + size);
  writeUint32(frame, 0, size + 1);
  frame[4] = kind;
  let at = FRAME_HEADER;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}

/** Compares two texts, in a time that does not depend on where they differ. */
function isSame(one: string, other: string): boolean {
  let differences = one.length ^ other.length;
  for (let i = 0; i < one.length; i++) differences |= one.charCodeAt(i) ^ other.charCodeAt(i);
  return differences === 0;
}
