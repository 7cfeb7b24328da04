/**
 * Which close codes may travel, and the payload of a Close frame (RFC 6455 sections 5.5.1 and 7.4).
 *
 * @module
 */

import { isUtf8 } from "./utf8.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The most octets that a reason may have: a control frame holds 125, two of them are the code. */
export const MAX_REASON_LENGTH = 123;

/**
 * Tells whether an endpoint may put a code into a Close frame: 1000-1003, 1007-1014 (RFC 6455 section 7.4.1 and the IANA
 * registry), 3000-4999 (section 7.4.2). The others are reserved or only ever reported locally.
 */
export function isSendableCloseCode(code: number): boolean {
  return Number.isInteger(code) &&
    ((code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999));
}

/**
 * The payload of a Close frame.
 *
 * @param code The close code, not checked here.
 * @param reason The reason.
 * @returns The octets, or `undefined` when the reason is longer than 123 octets of UTF-8.
 */
export function encodeClose(code: number, reason: string): Uint8Array | undefined {
  const text = encoder.encode(reason);
  if (text.length > MAX_REASON_LENGTH) return undefined;
  const payload = new Uint8Array(2 + text.length);
  payload[0] = code >> 8;
  payload[1] = code;
  payload.set(text, 2);
  return payload;
}

/** What a received Close frame says. */
export interface CloseStatus {
  /** The close code; 1005 when the frame has none. */
  code: number;
  /** The reason, often empty. */
  reason: string;
}

/**
 * Reads the payload of a received Close frame.
 *
 * @param payload The unmasked payload.
 * @returns What it says, or the code (1002 or 1007) to fail the connection with.
 */
export function decodeClose(payload: Uint8Array): CloseStatus | number {
  if (payload.length === 0) return { code: 1005, reason: "" };
  if (payload.length === 1) return 1002; // section 5.5.1: a body starts with a 2-byte code
  const code = (payload[0] << 8) | payload[1];
  if (!isSendableCloseCode(code)) return 1002; // section 7.4.1, 7.4.2
  if (!isUtf8(payload, 2)) return 1007; // section 8.1
  return { code, reason: decoder.decode(payload.subarray(2)) };
}
