/**
 * Frames to send, what RFC 6455 allows to send, and payloads once they are compressed. Also the text that is most likely to be sent
 * next.
 *
 * @module
 */

import {
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_BINARY,
  WEBSOCKET_OPCODE_PING,
  WEBSOCKET_OPCODE_PONG,
  WEBSOCKET_OPCODE_TEXT,
} from "../constants.ts";
import { utf8Encoder } from "../values.ts";
import { encodeClose, isSendableCloseCode } from "./close_code.ts";
import { isUtf8 } from "./utf8.ts";
import { EMPTY, type Sharing } from "../transport/bytes.ts";

/** A frame to send, made from the arguments of `push()` and `pack()`. */
export interface Outgoing {
  /** The opcode. */
  opcode: number;
  /** The flags; FIN means that the frame ends its message. */
  flags: number;
  /** The payload, which for a Close frame begins with the code. Always bytes for a control frame. */
  payload: string | Uint8Array;
  /** The index of the first byte; 0 for text. */
  start: number;
  /** The index after the last byte; the length for text. */
  end: number;
  /** What is shared by all receivers, if it is a prepared message. */
  prepared?: PreparedFrame;
}

/** A complete message, framed once for all its receivers. */
export interface PreparedFrame extends Sharing {
  /** The first byte of the frame. */
  readonly first: number;
  /** The payload. */
  readonly payload: Uint8Array;
  /** The complete frame, neither compressed nor masked. */
  readonly frame: Uint8Array;
  /** The compressed payloads, by window bits. */
  readonly packed: Map<number, Eventually<Packed>>;
}

/**
 * Completes a frame other than a Close frame: a control frame is never a fragment, and its payload is bytes.
 *
 * @param isKnownText Whether a text payload is known to be UTF-8.
 * @returns `undefined` if the frame cannot be sent: an opcode other than 0, 1, 2, 9, 10, a text that is not UTF-8, or a control
 * payload above 125 bytes.
 */
export function checkOutgoing(frame: Outgoing, isKnownText: boolean): Outgoing | undefined {
  const { opcode } = frame;
  if (opcode === WEBSOCKET_OPCODE_TEXT) return isKnownText || isText(frame) ? frame : undefined;
  if (opcode === WEBSOCKET_OPCODE_BINARY || opcode === 0) return frame;
  if (opcode !== WEBSOCKET_OPCODE_PING && opcode !== WEBSOCKET_OPCODE_PONG) return undefined;
  if (typeof frame.payload === "string") setPayload(frame, utf8Encoder.encode(frame.payload));
  frame.flags |= SWOOLE_WEBSOCKET_FLAG_FIN; // RFC 6455 section 5.5: control frames are not fragmented
  return frame.end - frame.start > 125 ? undefined : frame;
}

/**
 * Completes a Close frame with its code and reason.
 *
 * @returns `undefined` if the code must not be sent, or the reason is too long.
 */
export function checkOutgoingClose(frame: Outgoing, code: number, reason: string): Outgoing | undefined {
  const payload = isSendableCloseCode(code) ? encodeClose(code, reason) : undefined;
  if (payload === undefined) return undefined;
  setPayload(frame, payload);
  frame.flags |= SWOOLE_WEBSOCKET_FLAG_FIN;
  return frame;
}

/**
 * Reports whether a text payload is UTF-8 (RFC 6455 section 5.6). Fragments are checked one after the other when they are sent.
 */
function isText({ payload, start, end, flags }: Outgoing): boolean {
  return typeof payload === "string" || (flags & SWOOLE_WEBSOCKET_FLAG_FIN) === 0 || isUtf8(payload, start, end);
}

/** Replaces the payload of a frame by bytes. */
export function setPayload(frame: Outgoing, payload: Uint8Array): void {
  frame.payload = payload;
  frame.start = 0;
  frame.end = payload.length;
}

/** A payload that is ready to be sent. */
export class Packed implements Sharing {
  /** The payload. */
  readonly bytes: Uint8Array;
  /** Whether it is compressed, so that RSV1 must be set. */
  readonly compressed: boolean;
  /** The complete frame, once it has been sent twice. */
  frame: Uint8Array | undefined = undefined;
  /** The number of times it was sent. */
  uses = 0;
  waits = 0;

  constructor(bytes: Uint8Array, compressed: boolean) {
    this.bytes = bytes;
    this.compressed = compressed;
  }
}

/** A result, or a promise of it. */
export type Eventually<T> = T | PromiseLike<T>;

/** Reports whether a result is available now. */
export function isThere<T>(result: Eventually<T>): result is T {
  return typeof result !== "object" || !("then" in (result as object));
}

/** The size up to which a text is remembered, in bytes or UTF-16 units. */
const LIMIT = 64 * 1024;

/** A text with the place of its bytes. */
interface KnownText {
  text: string | undefined;
  bytes: Uint8Array;
  start: number;
  end: number;
  /** How often it was sent. */
  uses: number;
  /** The complete frame, once it has been sent twice. */
  frame: Uint8Array | undefined;
  /** What its receivers share. */
  sharing: Sharing;
}

/** The text, if there is one. */
export const knownText: KnownText = {
  text: undefined,
  bytes: EMPTY,
  start: 0,
  end: 0,
  uses: 0,
  frame: undefined,
  sharing: { waits: 0 },
};

/** The last text that was not known when it was sent. */
let last: string | undefined;

/** Remembers a text that was decoded. Its bytes must not change until `forgetText()`. */
export function rememberText(text: string, bytes: Uint8Array, start: number, end: number): void {
  if (end - start > LIMIT) return;
  knownText.text = text;
  knownText.bytes = bytes;
  knownText.start = start;
  knownText.end = end;
  knownText.uses = 0;
  knownText.frame = undefined;
}

/** Forgets the text if its bytes are in a memory that may change from now on. */
export function forgetText(memory: Uint8Array): void {
  if (knownText.bytes === memory) knownText.text = undefined;
}

/** Reports whether a text that is about to be sent is known. Remembers one that is sent a second time: it goes to many. */
export function isKnown(text: string): boolean {
  if (text === knownText.text) return true;
  if (text !== last) {
    last = text.length > LIMIT ? undefined : text;
    return false;
  }
  const bytes = utf8Encoder.encode(text);
  rememberText(text, bytes, 0, bytes.length);
  return knownText.text === text;
}
