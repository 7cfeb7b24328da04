/**
 * Another process of the server: what it has, and what is sent to its connections.
 *
 * @module
 */

import { sliceBytes } from "../transport/bytes.ts";
import {
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_BINARY,
  WEBSOCKET_OPCODE_CLOSE,
  WEBSOCKET_OPCODE_PONG,
  WEBSOCKET_OPCODE_TEXT,
} from "../constants.ts";
import { utf8Decoder } from "../values.ts";
import type { Outgoing } from "../websocket/outgoing.ts";
import { prepareFrame } from "../websocket/prepared_message.ts";
import { Directory } from "./directory.ts";
import type { Link } from "./link.ts";
import {
  BIND,
  BodyReader,
  BodyWriter,
  CLOSE,
  FD_SIZE,
  KEEP,
  MalformedFrame,
  PUSH,
  PUSH_KEPT,
  readFd,
  RELEASE,
  SEND,
  writeFd,
} from "./wire.ts";

/** What other processes can do with the connections of this one. All return 0, or a code for `getLastError()`. */
export interface OwnConnections {
  /** Sends a frame. Its payload is lent for the length of the call. */
  push(fd: number, frame: Outgoing): number;
  /** Sends a whole text message. */
  pushText(fd: number, text: string): number;
  /** Sends bytes without framing, which are lent for the length of the call. */
  send(fd: number, bytes: Uint8Array, start: number, end: number): number;
  /** Closes a connection, see `Server.close()`. */
  close(fd: number, reset: boolean): number;
  /** See `Server.bind()`. */
  bind(fd: number, uid: number): number;
}

/** Memory for the beginning of a body. */
const head = new Uint8Array(FD_SIZE + 2);
const fdHead = head.subarray(0, FD_SIZE);

/** What came in the last frame of a push. It is used by one call at a time. */
const received: Outgoing = { opcode: 0, flags: 0, payload: head, start: 0, end: 0 };

/** How a message is kept. */
const AS_TEXT = 0;
const AS_PREPARED = 1;

/** Another process that is joined. */
export class Peer {
  /** The link to it. */
  readonly link: Link;
  /** What it has told. */
  readonly directory: Directory;

  // A message that goes to several connections there is sent once, and kept there until the end of the turn.
  #sentLast: string | undefined = undefined; // text
  #keptThere: string | Outgoing | undefined = undefined;
  #isReleasing = false;
  #keptHere: string | Outgoing | undefined = undefined; // for the other process

  constructor(link: Link) {
    this.link = link;
    this.directory = new Directory(link.peer!.slot);
  }

  // ---- sending. All methods return whether the link has taken it ------------------------------------------------------

  /** Sends a whole text message to a connection. */
  pushText(fd: number, text: string): boolean {
    if (this.#keptThere === text) return this.#pushKept(fd);
    if (this.#sentLast === text) {
      return this.#keep(AS_TEXT, text, WEBSOCKET_OPCODE_TEXT, SWOOLE_WEBSOCKET_FLAG_FIN) && this.#pushKept(fd);
    }
    this.#sentLast = text;
    this.#releaseLater();
    writeFd(head, 0, fd);
    head[FD_SIZE] = WEBSOCKET_OPCODE_TEXT;
    head[FD_SIZE + 1] = SWOOLE_WEBSOCKET_FLAG_FIN;
    return this.link.sendText(PUSH, head, text);
  }

  /** Sends a frame to a connection. */
  push(fd: number, frame: Outgoing): boolean {
    const { opcode, flags, payload, start, end } = frame;
    if (frame.prepared !== undefined) {
      const isKept = this.#keptThere === frame || this.#keep(AS_PREPARED, frame, opcode, flags);
      return isKept && this.#pushKept(fd);
    }
    writeFd(head, 0, fd);
    head[FD_SIZE] = opcode;
    head[FD_SIZE + 1] = flags;
    if (typeof payload === "string") return this.link.sendText(PUSH, head, payload);
    return this.link.send(PUSH, head, payload, start, end);
  }

  #pushKept(fd: number): boolean {
    const at = this.link.reserve(FD_SIZE);
    if (at < 0) return false;
    writeFd(this.link.connection.memory, at, fd);
    this.link.commit(PUSH_KEPT, at, FD_SIZE);
    return true;
  }

  #keep(mode: number, message: string | Outgoing, opcode: number, flags: number): boolean {
    const head = new BodyWriter().uint8(mode).uint8(opcode).uint8(flags & 0xff).take();
    const isSent = typeof message === "string"
      ? this.link.sendText(KEEP, head, message)
      : this.link.send(KEEP, head, message.payload as Uint8Array, message.start, message.end);
    if (!isSent) return false;
    this.#keptThere = message;
    this.#releaseLater();
    return true;
  }

  #releaseLater(): void {
    if (this.#isReleasing) return;
    this.#isReleasing = true;
    queueMicrotask(() => {
      this.#isReleasing = false;
      if (this.#keptThere !== undefined) this.link.tell(RELEASE);
      this.#keptThere = this.#sentLast = undefined;
    });
  }

  /** Sends bytes to a connection without framing. */
  send(fd: number, bytes: Uint8Array): boolean {
    writeFd(fdHead, 0, fd);
    return this.link.send(SEND, fdHead, bytes);
  }

  /** Closes a connection. */
  close(fd: number, reset: boolean): boolean {
    return this.link.send(CLOSE, new BodyWriter().fd(fd).uint8(reset ? 1 : 0).take());
  }

  /** Assigns a number to a connection. */
  bind(fd: number, uid: number): boolean {
    return this.link.send(BIND, new BodyWriter().fd(fd).float64(uid).take());
  }

  // ---- receiving. All methods return 0, or the code for which a call has failed ------------------------------------------

  /** Does what a frame of the other process asks for. */
  receive(kind: number, bytes: Uint8Array, start: number, end: number, own: OwnConnections): number {
    if (kind === PUSH) return this.#onPush(bytes, start, end, own);
    if (kind === PUSH_KEPT && end - start >= FD_SIZE) return this.#onPushKept(readFd(bytes, start), own);
    const body = new BodyReader(bytes, start, end);
    if (kind === KEEP) return this.#onKeep(body);
    if (kind === RELEASE) {
      this.#keptHere = undefined;
      return 0;
    }
    const fd = body.fd();
    if (kind === SEND) return own.send(fd, body.bytes, body.at, body.end);
    if (kind === CLOSE) return own.close(fd, body.uint8() !== 0);
    return own.bind(fd, body.float64());
  }

  #onPush(bytes: Uint8Array, start: number, end: number, own: OwnConnections): number {
    if (end - start < FD_SIZE + 2) throw new MalformedFrame("a frame is too short for its content");
    readPayload(bytes[start + FD_SIZE], bytes[start + FD_SIZE + 1], bytes, start + FD_SIZE + 2, end);
    const code = own.push(readFd(bytes, start), received);
    received.payload = head;
    return code;
  }

  #onKeep(body: BodyReader): number {
    const mode = body.uint8();
    readMessage(body);
    const { bytes, at, end } = body;
    this.#keptHere = mode === AS_TEXT ? utf8Decoder.decode(bytes.subarray(at, end)) : prepareFrame(received);
    received.payload = head;
    return 0;
  }

  #onPushKept(fd: number, own: OwnConnections): number {
    const kept = this.#keptHere;
    if (kept === undefined) throw new MalformedFrame("no message is kept");
    return typeof kept === "string" ? own.pushText(fd, kept) : own.push(fd, kept);
  }
}

/** Reads a message, with its opcode and its flags, to `received`. */
export function readMessage(body: BodyReader): Outgoing {
  return readPayload(body.uint8(), body.uint8(), body.bytes, body.at, body.end);
}

function readPayload(opcode: number, flags: number, bytes: Uint8Array, at: number, end: number): Outgoing {
  received.opcode = opcode;
  received.flags = flags;
  if (opcode > WEBSOCKET_OPCODE_PONG || (opcode > WEBSOCKET_OPCODE_BINARY && opcode < WEBSOCKET_OPCODE_CLOSE)) {
    throw new MalformedFrame(`a frame with opcode ${opcode} cannot be sent`);
  }
  const mayWait = opcode === WEBSOCKET_OPCODE_CLOSE; // for messages before it
  received.payload = mayWait ? sliceBytes(bytes, at, end) : bytes;
  received.start = mayWait ? 0 : at;
  received.end = mayWait ? end - at : end;
  return received;
}
