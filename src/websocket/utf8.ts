/**
 * UTF-8 validation that can stop and continue at any byte (RFC 3629; RFC 6455 section 8.1).
 *
 * The state between two calls is one number: 0 between characters; inside a character the number of missing bytes (bits 0-1) and
 * the range of the next byte (bits 8-15 and 16-23). The range excludes overlong forms, surrogates and values above U+10FFFF at
 * the first byte that shows them.
 *
 * @module
 */

/** The state between two characters, the only one in which a text may end. */
export const UTF8_ACCEPT = 0;

/** The state after a byte that is not valid UTF-8. */
export const UTF8_REJECT = -1;

/**
 * Validates a range of bytes.
 *
 * @param bytes The memory that contains the bytes.
 * @param start The index of the first byte.
 * @param end The index after the last byte.
 * @param state The result of the previous call; `UTF8_ACCEPT` at the start of a text.
 * @returns The state after the range; `UTF8_REJECT` as soon as a byte cannot continue valid UTF-8.
 */
export function validateUtf8(bytes: Uint8Array, start: number, end: number, state: number): number {
  let missing = state & 3;
  let low = (state >> 8) & 0xff;
  let high = (state >> 16) & 0xff;
  for (let at = start; at < end; at++) {
    const byte = bytes[at];
    if (missing === 0) {
      if (byte < 0x80) continue;
      if (byte < 0xc2 || byte > 0xf4) return UTF8_REJECT;
      low = 0x80;
      high = 0xbf;
      if (byte < 0xe0) missing = 1;
      else if (byte < 0xf0) {
        missing = 2;
        if (byte === 0xe0) low = 0xa0; // below: overlong
        else if (byte === 0xed) high = 0x9f; // above: surrogates
      } else {
        missing = 3;
        if (byte === 0xf0) low = 0x90; // below: overlong
        else if (byte === 0xf4) high = 0x8f; // above: beyond U+10FFFF
      }
    } else {
      if (byte < low || byte > high) return UTF8_REJECT;
      low = 0x80;
      high = 0xbf;
      missing--;
    }
  }
  return missing === 0 ? UTF8_ACCEPT : missing | (low << 8) | (high << 16);
}

/** The size in bytes from which the runtime's decoder is faster, although the string it makes is discarded. */
const DECODE_FROM = 512;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reports whether a range of bytes is valid and complete UTF-8. */
export function isUtf8(bytes: Uint8Array, start = 0, end: number = bytes.length): boolean {
  if (end - start < DECODE_FROM) return validateUtf8(bytes, start, end, UTF8_ACCEPT) === UTF8_ACCEPT;
  try {
    decoder.decode(bytes.subarray(start, end));
    return true;
  } catch {
    return false;
  }
}
