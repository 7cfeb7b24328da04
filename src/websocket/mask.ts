/**
 * Masking of frame payloads (RFC 6455 section 5.3).
 *
 * A masking key travels as four octets; here it is one 32-bit number whose lowest octet is the first on the wire.
 *
 * @module
 */

/** From this many octets on a `DataView` pays for itself. */
const WORDS_FROM = 128;

/**
 * Masks or unmasks octets in place: XOR is its own inverse.
 *
 * Long ranges are done in 32-bit words, through a `DataView`, which needs no alignment. The high bits of all octets are
 * gathered on the way, so that a caller learns in the same pass whether the text was pure ASCII.
 *
 * @param bytes The octets to change.
 * @param start Index of the first octet.
 * @param end Index behind the last octet.
 * @param key The masking key, already rotated to the octet at `start`.
 * @returns 0 when every octet is below 0x80 afterwards, another number otherwise.
 */
export function mask(bytes: Uint8Array, start: number, end: number, key: number): number {
  let seen = 0;
  let at = start;
  const last = end - 3;
  if (end - start >= WORDS_FROM) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (; at < last; at += 4) {
      const word = view.getInt32(at, true) ^ key;
      seen |= word;
      view.setInt32(at, word, true);
    }
  } else {
    const k0 = key & 0xff;
    const k1 = (key >> 8) & 0xff;
    const k2 = (key >> 16) & 0xff;
    const k3 = key >>> 24;
    for (; at < last; at += 4) {
      seen |= (bytes[at] ^= k0) | (bytes[at + 1] ^= k1) | (bytes[at + 2] ^= k2) | (bytes[at + 3] ^= k3);
    }
  }
  for (; at < end; at++) {
    seen |= bytes[at] ^= key & 0xff;
    key >>>= 8;
  }
  return seen & 0x80808080;
}

/** The masking key as the octet `count` places further on needs it. */
export function rotateKey(key: number, count: number): number {
  const shift = (count & 3) << 3;
  return shift === 0 ? key : (key >>> shift) | (key << (32 - shift));
}

/** Tells whether every octet of a range is below 0x80. */
export function isAscii(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] > 0x7f) return false;
  return true;
}
