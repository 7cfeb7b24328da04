/**
 * Close codes that may be sent, and the payload of Close frames (RFC 6455 sections 5.5.1 and 7.4).
 *
 * @module
 */

import { utf8Decoder, utf8Encoder } from "../values.ts";
import { CloseInfo, type ConnectionData, type ConnectionEnd } from "../transport/connection_end.ts";
import { isUtf8 } from "./utf8.ts";

/** The largest size of a reason in bytes: a control frame holds 125, of which the code takes two. */
export const MAX_REASON_LENGTH = 123;

/**
 * Reports whether an endpoint may put a code into a Close frame: 1000-1003, 1007-1014 (RFC 6455 section 7.4.1 and the IANA
 * registry), 3000-4999 (section 7.4.2). Other codes are reserved or only reported locally.
 */
export function isSendableCloseCode(code: number): boolean {
  return Number.isInteger(code) &&
    ((code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999));
}

/**
 * Encodes the payload of a Close frame.
 *
 * @param code The close code; not checked here.
 * @param reason The reason.
 * @returns The bytes, or `undefined` if the reason is longer than 123 bytes of UTF-8.
 */
export function encodeClose(code: number, reason: string): Uint8Array | undefined {
  const text = utf8Encoder.encode(reason);
  if (text.length > MAX_REASON_LENGTH) return undefined;
  const payload = new Uint8Array(2 + text.length);
  payload[0] = code >> 8;
  payload[1] = code;
  payload.set(text, 2);
  return payload;
}

/** The content of a received Close frame. */
export interface CloseStatus {
  /** The close code; 1005 if the frame has no code. */
  code: number;
  /** The reason; often empty. */
  reason: string;
}

/**
 * Decodes the payload of a received Close frame.
 *
 * @param payload The unmasked payload.
 * @returns The content, or the code (1002 or 1007) with which to fail the connection.
 */
export function decodeClose(payload: Uint8Array): CloseStatus | number {
  if (payload.length === 0) return { code: 1005, reason: "" };
  if (payload.length === 1) return 1002; // section 5.5.1: a non-empty body starts with a 2-byte code
  const code = (payload[0] << 8) | payload[1];
  if (!isSendableCloseCode(code)) return 1002; // sections 7.4.1 and 7.4.2
  if (!isUtf8(payload, 2)) return 1007; // section 8.1
  return { code, reason: utf8Decoder.decode(payload.subarray(2)) };
}

/**
 * The closing handshake of a connection (RFC 6455 section 7.1): which Close frame came first, and which have been sent and
 * received.
 */
export class Closing {
  /** The code of the first Close frame; 1005 if it has no code. */
  readonly code: number;
  /** The reason of the first Close frame. */
  readonly reason: string;
  /** Whether the peer sent the first Close frame. */
  readonly byPeer: boolean;
  /** Whether the program began the handshake. */
  byProgram = false;
  /** Whether our Close frame has been sent. */
  sent = false;
  /** Whether the peer's Close frame has arrived. */
  received = false;
  /** The payload of the peer's Close frame until it is answered. */
  owed: Uint8Array | undefined = undefined;

  /**
   * @param status The content of the first Close frame.
   * @param byPeer Whether the peer sent it.
   */
  constructor({ code, reason }: CloseStatus, byPeer: boolean) {
    this.code = code;
    this.reason = reason;
    this.byPeer = byPeer;
  }
}

/** The part of the end of a connection that matters for a WebSocket. */
export type End = Pick<ConnectionEnd, "initiator" | "isOrderly" | "error">;

/**
 * Describes the end of a WebSocket.
 *
 * @param closing The closing handshake, if it has begun.
 * @param isAnswered Whether to count on our answer to the peer's Close, which may not have been sent yet.
 * @param data The program's data for the connection.
 */
export function closeInfoOf(
  closing: Closing | undefined,
  { initiator, isOrderly, error }: End,
  isAnswered: boolean,
  data: ConnectionData | undefined,
): CloseInfo {
  if (closing === undefined) return new CloseInfo(1006, "", false, initiator, error, data);
  const { code, reason, byPeer, sent, received } = closing;
  return new CloseInfo(code, reason, isOrderly && (sent || isAnswered) && received, byPeer ? "remote" : "local", error, data);
}
