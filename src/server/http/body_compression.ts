/**
 * Compression of answers as the settings want it, with what the runtime has for it, or else the web.
 *
 * @module
 */

import { type BodyCompression, CODINGS, type ContentCoding } from "../../http/content_coding.ts";
import { currentRuntime } from "../../runtime.ts";
import { listOf } from "../settings/http_settings.ts";
import type { ResolvedSettings } from "../settings/settings.ts";

/** How a server compresses bodies; `undefined` for not at all. */
export function bodyCompression(settings: ResolvedSettings): BodyCompression | undefined {
  if (!settings.http_compression) return undefined;
  const { http_compression_level: level, http_compression_min_length: minLength } = settings;
  const types = listOf(settings.http_compression_types);
  const runtime = currentRuntime();
  const encoder = (coding: ContentCoding, whole: boolean) => runtime?.encoder?.(coding, levelOf(coding, level), whole);
  const codings = CODINGS.filter((coding) => {
    const trial = encoder(coding, false);
    trial?.close();
    return trial !== undefined;
  });
  if (codings.length > 0) return { minLength, types, codings, encoder };
  return { minLength, types, codings: ["gzip", "deflate"], compress };
}

/** Brotli has the levels 0 to 11, the others 1 to 9, and Swoole takes 0 for their default. */
function levelOf(coding: ContentCoding, level: number): number {
  if (coding === "br") return level;
  return level === 0 ? 6 : Math.min(level, 9);
}

/** Compresses with the web's own streams: at their level, and only a whole body, because they cannot flush. */
function compress(coding: ContentCoding, body: Uint8Array, done: (coded: Uint8Array | undefined) => void): void {
  const coder = new CompressionStream(coding as "gzip" | "deflate");
  const writer = coder.writable.getWriter();
  writer.write(new Uint8Array(body)).catch(() => {}); // the reader learns of it too
  writer.close().catch(() => {});
  new Response(coder.readable).arrayBuffer().then((coded) => done(new Uint8Array(coded)), () => done(undefined));
}
