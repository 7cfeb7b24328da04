/**
 * Values as the recordings' log shows them.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { CloseFrame, type Frame } from "../../mod.ts";

/** A value as PHP's `json_encode()` writes it. */
export function q(value: unknown): string {
  return JSON.stringify(value ?? null);
}

/** A frame that `message` received. */
export function describe(frame: Frame | CloseFrame): string {
  const common = `fd=${frame.fd}, data=${describeData(frame.data)}, opcode=${frame.opcode}, flags=${frame.flags}, ` +
    `finish=${frame.finish}`;
  return frame instanceof CloseFrame
    ? `Swoole\\WebSocket\\CloseFrame{${common}, code=${frame.code}, reason="${frame.reason}"}`
    : `Swoole\\WebSocket\\Frame{${common}}`;
}

/** Short ASCII as it is, other short data in hex, the rest as its length and SHA-1. */
function describeData(data: string | Uint8Array): string {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  if (bytes.length > 100) return `len=${bytes.length} sha1=${createHash("sha1").update(bytes).digest("hex")}`;
  if (bytes.every((byte) => byte >= 0x20 && byte < 0x7f)) return `"${new TextDecoder().decode(bytes)}"`;
  return `hex:${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
