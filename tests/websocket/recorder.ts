/**
 * What the tests of the protocol share: notes of what a decoder or a protocol did, and ways to cut its input into chunks.
 *
 * @module
 */

import { joinBytes, MemorySink } from "../../src/transport/bytes.ts";
import { type DecoderEvents, type DecoderOptions, MessageDecoder } from "../../src/websocket/decoder.ts";
import type { Compression } from "../../src/websocket/deflate/compression.ts";
import { type EndpointEvents, type EndpointOptions, WebSocketEndpoint } from "../../src/websocket/endpoint.ts";
import { frame } from "../support/raw_client.ts";

/** Something that happened, with the bytes that belong to it. */
export interface Note {
  readonly what: "message" | "control" | "violation" | "ping" | "pong" | "close" | "finished";
  /** The opcode, or the close code. */
  readonly number: number;
  /** The payload as hex, or the reason. */
  readonly text: string;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Bytes as hex. */
export function toHex(bytes: Uint8Array): string {
  let digits = "";
  for (const byte of bytes) digits += HEX[byte];
  return digits;
}

/** Makes a note, to compare with. */
export function note(what: Note["what"], number: number, text = ""): Note {
  return { what, number, text };
}

/** A frame in short. */
export type Spec = readonly [opcode: number, payload?: string | Uint8Array, fin?: boolean];

/** The bytes of frames, one behind the other, masked or not. */
export function frames(mask: boolean, specs: readonly Spec[]): Uint8Array {
  return joinBytes(specs.map(([opcode, payload, fin]) => frame({ opcode, payload, fin, mask })));
}

/** A note of a message or a control frame. It is written down at once: the bytes may be something else afterwards. */
function noteOf(what: Note["what"], number: number, bytes: Uint8Array, start: number, end: number): Note {
  return { what, number, text: toHex(bytes.subarray(start, end)) };
}

/** A decoder with notes of all that it found. */
export class RecordedDecoder implements DecoderEvents {
  readonly decoder: MessageDecoder;
  /** Called on each message and control frame. */
  onEach: () => void = () => {};
  readonly notes: Note[] = [];

  constructor(options: DecoderOptions) {
    this.decoder = new MessageDecoder(options, this);
  }

  onTurnOver(): void {
    this.decoder.goOn();
  }

  onMessage(opcode: number, bytes: Uint8Array, start: number, end: number): void {
    this.notes.push(noteOf("message", opcode, bytes, start, end));
    this.onEach();
  }

  onControl(opcode: number, bytes: Uint8Array, start: number, end: number): void {
    this.notes.push(noteOf("control", opcode, bytes, start, end));
    this.onEach();
  }

  onViolation(code: number, reason: string): void {
    this.notes.push({ what: "violation", number: code, text: reason });
  }
}

/** What a protocol does unless a test wants something else. */
export const SERVER: EndpointOptions = {
  masked: true,
  maxLength: 1 << 20,
  deliverPing: false,
  deliverPong: false,
  deliverClose: false,
  answerClose: true,
};

/** The client's side of `SERVER`: it masks, with the key of the examples in RFC 6455, and its peer does not. */
export const CLIENT: EndpointOptions = { ...SERVER, masked: false, maskingKey: () => 0x3d21fa37 };

/** A protocol with notes of all that it told and sent. */
export class RecordedProtocol implements EndpointEvents {
  readonly endpoint: WebSocketEndpoint;
  /** Called on each message, ping, pong or Close that is delivered. */
  onEach: (what: Note["what"]) => void = () => {};
  /** Whether reading is held up, because something is being inflated. */
  held = false;
  readonly #sink = new MemorySink();
  readonly notes: Note[] = [];

  constructor(options: EndpointOptions, compression?: Compression) {
    this.endpoint = new WebSocketEndpoint(options, this, this.#sink, compression);
  }

  /** Takes what was sent since the last call, as hex. */
  sent(): string {
    return toHex(this.sentBytes());
  }

  /** Takes what was sent since the last call. */
  sentBytes(): Uint8Array {
    return this.#sink.take();
  }

  onMessage(opcode: number, bytes: Uint8Array, start: number, end: number): void {
    this.#note("message", opcode, bytes, start, end);
  }

  onPing(bytes: Uint8Array, start: number, end: number): void {
    this.#note("ping", 9, bytes, start, end);
  }

  onPong(bytes: Uint8Array, start: number, end: number): void {
    this.#note("pong", 10, bytes, start, end);
  }

  onClose(payload: Uint8Array): void {
    this.#note("close", 8, payload, 0, payload.length);
  }

  onHold(): void {
    this.held = true;
  }

  readonly isCongested: boolean = false;

  onTurnOver(): void {
    this.endpoint.goOn();
  }

  onGoOn(work: () => void): void {
    this.held = false;
    work();
  }

  onCompressed(): void {}

  onViolation(code: number, reason: string): void {
    this.endpoint.fail(code, reason);
  }

  onFinished(code: number, reason: string): void {
    this.notes.push({ what: "finished", number: code, text: reason });
  }

  #note(what: Note["what"], opcode: number, bytes: Uint8Array, start: number, end: number): void {
    this.notes.push(noteOf(what, opcode, bytes, start, end));
    this.onEach(what);
  }
}

/** Cuts bytes at the given places. Each chunk has memory of its own, as from a socket. */
export function cut(bytes: Uint8Array, places: Iterable<number>): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let from = 0;
  for (const place of [...places, bytes.length]) {
    chunks.push(bytes.slice(from, place));
    from = place;
  }
  return chunks;
}

/**
 * The ways to cut bytes that tests go through: whole, in two at every place (of long ones: near the ends), byte by byte,
 * and in random chunks, the same ones in each run.
 */
export function* everyCut(bytes: Uint8Array): Iterable<Uint8Array[]> {
  const { length } = bytes;
  const near = length < 5000 ? 300 : 20;
  yield cut(bytes, []);
  for (let at = 0; at <= length; at++) {
    if (at < near || at > length - 20) yield cut(bytes, [at]);
  }
  if (length < 5000) yield cut(bytes, Array.from({ length }, (_, i) => i));
  let seed = 1;
  for (const most of [3, 10, 100, 3000]) {
    if (length > most * 2000) continue;
    for (let turn = 0; turn < 3; turn++) {
      const places: number[] = [];
      for (let at = 0; at < length;) {
        seed = (seed * 1103515245 + 12345) & 0x7fffffff;
        at += (seed >> 8) % (most + 1);
        if (at < length) places.push(at);
      }
      yield cut(bytes, places);
    }
  }
}
