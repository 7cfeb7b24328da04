/**
 * Content types by the extension of a file's name.
 *
 * @module
 */

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

const TYPES: ReadonlyMap<string, string> = new Map(
  TABLE.trim().split("\n").flatMap((line) => {
    const [type, ...extensions] = line.split(" ");
    // What is text is UTF-8, as most of it is.
    const value = type.startsWith("text/") ? `${type}; charset=utf-8` : type;
    return extensions.map((extension) => [extension, value] as const);
  }),
);

/** The content type of a file, for its name; `application/octet-stream` if nothing is known. */
export function contentTypeOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  return (dot < 0 ? undefined : TYPES.get(name.slice(dot + 1).toLowerCase())) ?? "application/octet-stream";
}
