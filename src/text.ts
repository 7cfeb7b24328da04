/**
 * Encoders and decoders of UTF-8, which keep nothing between calls.
 *
 * @module
 */

/** Encodes text. */
export const utf8Encoder: TextEncoder = new TextEncoder();

/** Decodes text, with U+FFFD for errors, and keeps a byte order mark. */
export const utf8Decoder: TextDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Decodes whole bodies: as `utf8Decoder`, but removes a byte order mark, as `Response.text()` does. */
export const bodyDecoder: TextDecoder = new TextDecoder();
