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
 * @returns The body; the one given for an unknown coding; `undefined` when it is broken or larger than the limit.
 */
export async function decodeContent(
  coding: string | undefined,
  body: Uint8Array,
  limit: number,
): Promise<Uint8Array | undefined> {
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
        return undefined;
      }
    }
    await writing;
  } catch {
    return undefined;
  }
  return joinBytes(parts);
}
