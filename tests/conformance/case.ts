/**
 * The form of the conformance cases: what is sent to an echoing peer, what has to come back, and how the connection has to end.
 *
 * The cases are those of the suite that the field measures WebSocket implementations with, under its numbers. Most of a case
 * is data; `run_case.ts` carries it out and judges it.
 *
 * @module
 */

import type { FrameSpec } from "../support/raw_client.ts";
import { type DataName, slice } from "./data.ts";

/** Bytes, a text, one of them repeated up to a length, or the next slice of some data: another one in each round. */
export type Payload =
  | string
  | Uint8Array
  | { readonly repeat: string | Uint8Array; readonly length: number }
  | { readonly data: DataName; readonly length: number };

/** A frame; FIN is set and the reserved bits are clear unless given. */
export interface Frame extends Omit<FrameSpec, "payload" | "mask" | "key"> {
  readonly payload?: Payload;
}

/** What is done next. */
export type Step =
  /** Sends a frame. */
  | { readonly frame: Frame }
  /**
   * Sends a message, cut into frames of `fragment` bytes. When its length is a multiple of that, an empty frame ends it. What
   * counts of a compressed one is its compressed length.
   */
  | { readonly message: Payload; readonly opcode: 1 | 2; readonly fragment?: number; readonly compress?: Blocks }
  /** Starts the closing handshake with a Close frame of this payload. */
  | { readonly close: Payload }
  /** Sends a part of a frame: these bytes of its payload, the first ones with the header. */
  | { readonly part: Frame; readonly from: number; readonly to: number }
  /** Waits until so many answers have come. */
  | { readonly answers: number }
  /**
   * Makes sure that the peer has seen what was sent and still keeps the connection open: by a ping on this connection, or,
   * inside of a frame, by one on another connection.
   */
  | { readonly stillOpen: "here" | "elsewhere" }
  /** Waits for the peer to fail the connection. It loses the full mark when it only does so later on. */
  | { readonly failedByNow: true };

/** How a compressed message ends: with the bytes that a flush leaves, or with a final block (RFC 7692 section 7.2.3.4). */
export type Blocks = "flushed" | "final";

/** What a server answers to an offer of permessage-deflate, beside what the client asked for. */
export interface Acceptance {
  readonly clientNoContextTakeover?: boolean;
  /** Only a client that offered to be asked can be asked. */
  readonly clientMaxWindowBits?: number;
}

/** The suite's half of agreeing on permessage-deflate. */
export interface Compression {
  /** The parameters of its offers, as a client. */
  readonly offers: readonly string[];
  /** What it answers as a server: the first of these that the client's offer allows. */
  readonly accept: readonly Acceptance[];
}

/** What came back: a message, or the answer to a ping. */
export interface Answer {
  readonly type: "text" | "binary" | "pong";
  readonly payload: Payload;
}

/** How the connection has to end. */
export interface Ending {
  /** Who starts. When it is us and no step does it, a Close with 1000 goes out as soon as the expected answers are there. */
  readonly by: "us" | "peer";
  /** Whether both sides have to send a Close frame and TCP has to end without an error. */
  readonly clean: boolean;
  /** The close codes that the peer may send. Leaving the code out, or the Close, is never wrong. */
  readonly codes: readonly number[];
  /** What also spoils the judgement on the answers: a close started by the wrong side, or a wrong code. */
  readonly spoiledBy?: "side" | "code";
}

/** A conformance case. */
export interface Case {
  /** Its number in the suite. */
  readonly id: string;
  readonly steps: readonly Step[];
  /** No extension is offered or accepted unless this is given. Without an agreement the steps are left out. */
  readonly compression?: Compression;
  /** How often the steps are done, each time after the answers to the last ones are there. Once unless given. */
  readonly rounds?: number;
  /** Writes the bytes of each frame so many at a time. */
  readonly chop?: number;
  /** Writes each frame in a turn of its own. */
  readonly apart?: boolean;
  /** The answers, to one round. */
  readonly expect: readonly Answer[];
  /** Other answers that are allowed but not preferred. */
  readonly tolerate?: readonly Answer[];
  readonly ending: Ending;
  /** Nothing can be wrong. */
  readonly informational?: boolean;
}

/** We close with 1000 and the peer answers with 1000. */
export const CLEAN: Ending = { by: "us", clean: true, codes: [1000] };

/** The peer fails the connection with a code. */
export function failed(code: number): Ending {
  return { by: "peer", clean: false, codes: [code] };
}

type Bits = Pick<Frame, "fin" | "rsv">;

/** A text frame. */
export function text(payload: Payload = "", bits: Bits = {}): Step {
  return { frame: { opcode: 1, payload, ...bits } };
}

/** A binary frame. */
export function binary(payload: Payload = "", bits: Bits = {}): Step {
  return { frame: { opcode: 2, payload, ...bits } };
}

/** A continuation frame. */
export function continuation(payload: Payload = "", bits: Bits = {}): Step {
  return { frame: { opcode: 0, payload, ...bits } };
}

/** A ping. */
export function ping(payload: Payload = "", bits: Bits = {}): Step {
  return { frame: { opcode: 9, payload, ...bits } };
}

/** An unsolicited pong. */
export function pong(payload: Payload = "", bits: Bits = {}): Step {
  return { frame: { opcode: 10, payload, ...bits } };
}

/** What makes a frame the first or a middle one of its message. */
export const UNFINISHED: Bits = { fin: false };

/** A Close that starts the closing handshake. */
export function close(code: number, reason: string | Uint8Array = ""): Step {
  const text = expand(reason);
  return { close: new Uint8Array([code >> 8, code & 255, ...text]) };
}

/** The bytes of a payload; `round` counts from 0. */
export function expand(payload: Payload, round = 0): Uint8Array {
  if (typeof payload === "string") return new TextEncoder().encode(payload);
  if (payload instanceof Uint8Array) return payload;
  if ("data" in payload) return slice(payload.data, round * payload.length, payload.length);
  const unit = expand(payload.repeat);
  const whole = new Uint8Array(payload.length);
  whole.set(unit.subarray(0, payload.length));
  for (let filled = unit.length; filled < whole.length; filled *= 2) {
    whole.copyWithin(filled, 0, Math.min(filled, whole.length - filled));
  }
  return whole;
}
