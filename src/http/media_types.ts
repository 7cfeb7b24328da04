/**
 * Content types by file name extension.
 *
 * @module
 */

import { describe, shown } from "../values.ts";
import { isFieldValue } from "./request_head.ts";

const TABLE = `
text/html html htm
text/css css
text/javascript js mjs cjs
text/plain txt log
text/markdown md
text/csv csv
text/calendar ics
text/vtt vtt
text/xml xml
application/json json map
application/ld+json jsonld
application/manifest+json webmanifest
application/wasm wasm
application/pdf pdf
application/rss+xml rss
application/atom+xml atom
application/xhtml+xml xhtml
application/rtf rtf
application/zip zip
application/gzip gz tgz
application/x-tar tar
application/x-7z-compressed 7z
application/x-bzip2 bz2
application/zstd zst
application/epub+zip epub
image/png png
image/jpeg jpg jpeg
image/gif gif
image/webp webp
image/avif avif
image/svg+xml svg
image/x-icon ico
image/bmp bmp
image/tiff tif tiff
audio/mpeg mp3
audio/ogg ogg oga opus
audio/wav wav
audio/aac aac
audio/flac flac
audio/mp4 m4a
audio/midi mid midi
audio/webm weba
video/mp4 mp4 m4v
video/webm webm
video/ogg ogv
video/quicktime mov
video/x-msvideo avi
video/mp2t ts
video/x-matroska mkv
application/vnd.apple.mpegurl m3u8
application/dash+xml mpd
font/woff woff
font/woff2 woff2
font/ttf ttf
font/otf otf
`;

const TYPES: Map<string, string> = new Map(
  TABLE.trim().split("\n").flatMap((line) => {
    const [type, ...extensions] = line.split(" ");
    // Text is assumed to be UTF-8, as most of it is.
    const value = type.startsWith("text/") ? `${type}; charset=utf-8` : type;
    return extensions.map((extension) => [extension, value] as const);
  }),
);

/** Returns the extension of a file name, in lower case; empty if it has no extension. */
function extensionOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  return dot < 0 ? "" : name.slice(dot + 1).toLowerCase();
}

/** Returns the content type for a file name; `application/octet-stream` if it is unknown. */
export function contentTypeOf(path: string): string {
  return TYPES.get(extensionOf(path)) ?? "application/octet-stream";
}

function checkSuffix(suffix: string): string {
  if (typeof suffix === "string" && /^\.?[^./\s]+$/.test(suffix)) return suffix.replace(".", "").toLowerCase();
  throw new TypeError(`Cannot set a media type: ${shown(suffix)} is no extension of a file's name, such as "txt"`);
}

function checkType(type: string): string {
  if (typeof type === "string" && /^[^\s/;]+\/[^\s/;]/.test(type) && isFieldValue(type)) return type;
  throw new TypeError(`Cannot set a media type: ${shown(type)} is no type, such as "text/plain; charset=utf-8"`);
}

function checkName(filename: string): string {
  if (typeof filename === "string") return filename;
  throw new TypeError(`Cannot find a media type: the file name has to be a string, not ${describe(filename)}`);
}

/**
 * Adds the media type for a file name extension, as Swoole's `swoole_mime_type_add()` does. It is used by `sendfile()`, static
 * files and the client's `addFile()`, in the whole program.
 *
 * @param suffix The extension, such as `txt`, in any letter case.
 * @param type The type, which is sent as it is.
 * @returns `false` if the extension already has a type: `swooleMimeTypeSet()` replaces it.
 * @throws {TypeError} If the extension or the type is invalid.
 *
 * @example
 * ```ts
 * import { swooleMimeTypeAdd, swooleMimeTypeGet } from "@sluice/server";
 * import { assert, assertEquals } from "@std/assert";
 *
 * assert(swooleMimeTypeAdd("moc", "application/x-mocha"));
 * assertEquals(swooleMimeTypeGet("dir/test.moc"), "application/x-mocha");
 * ```
 */
export function swooleMimeTypeAdd(suffix: string, type: string): boolean {
  const key = checkSuffix(suffix);
  checkType(type);
  if (TYPES.has(key)) return false;
  TYPES.set(key, type);
  return true;
}

/**
 * Sets the media type for a file name extension, replacing an earlier one; see `swooleMimeTypeAdd()`.
 *
 * @throws {TypeError} If the extension or the type is invalid.
 */
export function swooleMimeTypeSet(suffix: string, type: string): boolean {
  TYPES.set(checkSuffix(suffix), checkType(type));
  return true;
}

/**
 * Deletes the media type of an extension. Returns whether it had one.
 *
 * @throws {TypeError} If the extension is invalid.
 */
export function swooleMimeTypeDelete(suffix: string): boolean {
  return TYPES.delete(checkSuffix(suffix));
}

/**
 * Returns the media type for a file name; `application/octet-stream` if it is unknown.
 *
 * @throws {TypeError} If the file name is not a string.
 */
export function swooleMimeTypeGet(filename: string): string {
  return contentTypeOf(checkName(filename));
}

/**
 * Reports whether the media type for a file name is known.
 *
 * @throws {TypeError} If the file name is not a string.
 */
export function swooleMimeTypeExists(filename: string): boolean {
  return TYPES.has(extensionOf(checkName(filename)));
}

/** Returns a copy of all known media types, by extension. */
export function swooleMimeTypeList(): Record<string, string> {
  return Object.fromEntries(TYPES);
}
