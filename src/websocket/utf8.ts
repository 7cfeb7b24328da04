/**
 * UTF-8 validation that can stop and go on at any octet (RFC 3629; RFC 6455 section 8.1).
 *
 * The state between two calls is one number: 0 between characters; inside a character the count of octets still missing (bits
 * 0-1) and the range that the next one has to lie in (bits 8-15 and 16-23). That range is what rules out overlong forms,
 * surrogates and values above U+10FFFF at the first octet that shows them.
 *
 * @module
 */

/** The state between two characters. Text may end in this state only. */
export const UTF8_ACCEPT = 0;

/** The state after an octet that cannot belong to UTF-8. */
export const UTF8_REJECT = -1;

/**
 * Checks a range of octets.
 *
 * @param bytes Where the octets are.
 * @param start Index of the first octet.
 * @param end Index behind the last octet.
 * @param state What the call for the octets before returned; `UTF8_ACCEPT` at the start of a text.
 * @returns The state after the range, `UTF8_REJECT` as soon as an octet cannot continue valid UTF-8.
 */
export function validateUtf8(bytes: Uint8Array, start: number, end: number, state: number): number {
  let missing = state & 3;
  let low = (state >> 8) & 0xff;
  let high = (state >> 16) & 0xff;
  for (let at = start; at < end; at++) {
    const octet = bytes[at];
    if (missing === 0) {
      if (octet < 0x80) continue;
      if (octet < 0xc2 || octet > 0xf4) return UTF8_REJECT;
      low = 0x80;
      high = 0xbf;
      if (octet < 0xe0) missing = 1;
      else if (octet < 0xf0) {
        missing = 2;
        if (octet === 0xe0) low = 0xa0; // below: overlong
        else if (octet === 0xed) high = 0x9f; // above: surrogates
      } else {
        missing = 3;
        if (octet === 0xf0) low = 0x90; // below: overlong
        else if (octet === 0xf4) high = 0x8f; // above: beyond U+10FFFF
      }
    } else {
      if (octet < low || octet > high) return UTF8_REJECT;
      low = 0x80;
      high = 0xbf;
      missing--;
    }
  }
  return missing === 0 ? UTF8_ACCEPT : missing | (low << 8) | (high << 16);
}

/** From this many octets on the runtime's own decoder is faster, although it makes a text that nobody wants. */
const DECODE_FROM = 512;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Tells whether a range of octets is UTF-8 from beginning to end. */
export function isUtf8(bytes: Uint8Array, start = 0, end: number = bytes.length): boolean {
  if (end - start < DECODE_FROM) return validateUtf8(bytes, start, end, UTF8_ACCEPT) === UTF8_ACCEPT;
  try {
    decoder.decode(bytes.subarray(start, end));
    return true;
  } catch {
    return false;
  }
}
