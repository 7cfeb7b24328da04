/**
 * Compression of answers as the settings want it, with what the runtime has for it.
 *
 * @module
 */

import type { BodyCompression } from "../http/content_coding.ts";
import { currentRuntime } from "../runtime.ts";
import { listOf } from "./http_settings.ts";
import type { ResolvedSettings } from "./settings.ts";

/** How a server compresses bodies; `undefined` for not at all. */
export function bodyCompression(settings: ResolvedSettings): BodyCompression | undefined {
  const runtime = currentRuntime();
  if (!settings.http_compression || runtime?.encoder === undefined) return undefined;
  return {
    minLength: settings.http_compression_min_length,
    types: listOf(settings.http_compression_types),
    encoder: (coding, whole) => runtime.encoder!(coding, settings.http_compression_level, whole),
  };
}
