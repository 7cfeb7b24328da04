/**
 * The content codings of answers (RFC 9110 section 8.4.1).
 *
 * @module
 */

import { joinBytes } from "../bytes.ts";

/** What a client says it takes: what every runtime can undo. */
export const ACCEPTED_CODINGS = "gzip, deflate";

/** How much is decompressed at a time: at most a thousand times as much comes out (RFC 1951), before the limit is looked at. */
const PIECE = 1024;

/**
 * Undoes a content coding.
 *
 * @param coding The value of Content-Encoding.
 * @param body The coded body.
 * @param limit The most octets that may come out.
 * @returns The body, the one given for an unknown coding, or why there is none.
 */
export async function decodeContent(
  coding: string | undefined,
  body: Uint8Array,
  limit: number,
): Promise<Uint8Array | "broken" | "too large"> {
  const name = coding?.trim().toLowerCase();
  if (body.length === 0 || (name !== "gzip" && name !== "x-gzip" && name !== "deflate")) return body;
  const stream = new DecompressionStream(name === "deflate" ? "deflate" : "gzip");
  const reader = stream.readable.getReader();
  const writer = stream.writable.getWriter();
  const writing = (async () => {
    for (let at = 0; at < body.length; at += PIECE) await writer.write(body.slice(at, at + PIECE));
    await writer.close();
  })();
  writing.catch(() => {}); // the reader learns of it too
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      length += value.length;
      if (length > limit) {
        reader.cancel().catch(() => {});
        writer.abort().catch(() => {});
        return "too large";
      }
    }
    await writing;
  } catch {
    return "broken";
  }
  const whole = joinBytes(parts);
  return name === "deflate" && !hasChecksum(body, whole) ? "broken" : whole;
}

/** Whether a zlib stream ends with the checksum of its content (RFC 1950). Deno takes one that was cut off before. */
function hasChecksum(stream: Uint8Array, content: Uint8Array): boolean {
  let low = 1;
  let high = 0;
  for (let at = 0; at < content.length;) {
    for (const end = Math.min(at + 3800, content.length); at < end; at++) high += low += content[at];
    low %= 65521;
    high %= 65521;
  }
  const { length } = stream;
  return length >= 4 && new DataView(stream.buffer, stream.byteOffset + length - 4, 4).getUint32(0) === high * 65536 + low;
}
