/**
 * Masking of frame payloads, and the keys for it (RFC 6455 section 5.3).
 *
 * A masking key is four bytes on the wire. Here it is a 32-bit number whose lowest byte is the first on the wire.
 *
 * @module
 */

/** The size in bytes from which a `DataView` pays off. */
const WORDS_FROM = 128;

/** The size in bytes from which it pays off to copy them to the memory of a WebAssembly module and back. */
const VECTORS_FROM = 512;

/** The same for bytes that are nearly all of their memory, as a message alone in its chunk: no view of them is needed. */
const VECTORS_FROM_ALONE = 128;

/**
 * Masks the bytes from `at` to `end`, a multiple of 16 away, in blocks of 16. Made by `node tools/make_masking_module.mjs`, where
 * it can be read.
 */
const MODULE =
  "AGFzbQEAAAABCAFgA39/fwF/AwIBAAUDAQACBwkCAW0CAAFmAAAKOQE3AQN7IAL9ESEDA0AgACAA/QAAACAD/VEiBf0LAAAgBCAF/VAhBCAAQRBqIgAgAUkNAAsgBP1kCw==";

/** Where bytes are in its memory. In Bun, copying is slow between some places that are a few bytes apart within their pages. */
const VECTORS_AT = 64;

/** The number of bytes that it masks at a time. */
const VECTORS_SIZE = 64 * 1024;

interface Vectors {
  readonly memory: Uint8Array;
  /** Masks a range of the memory. Returns 0 if every resulting byte is below 0x80, another number otherwise. */
  readonly mask: (at: number, end: number, key: number) => number;
}

/** The module, once it is needed; `null` where there is no WebAssembly, or none with vectors. */
let vectors: Vectors | null | undefined;

function loadVectors(): Vectors | null {
  try {
    const module = new WebAssembly.Module(Uint8Array.from(atob(MODULE), (char) => char.charCodeAt(0)));
    const { m, f } = new WebAssembly.Instance(module).exports as unknown as { m: WebAssembly.Memory; f: Vectors["mask"] };
    return { memory: new Uint8Array(m.buffer), mask: f };
  } catch {
    return null;
  }
}

/** Up to this many bytes behind a range are copied with it: a view of the range would cost more. */
const COPIED_BEHIND = 256;

/** The view of what was masked last: messages of one size often follow each other. */
let masked: Uint8Array | undefined;

function viewMasked(memory: Uint8Array, size: number): Uint8Array {
  if (masked !== undefined && masked.length === size) return masked;
  return masked = memory.subarray(VECTORS_AT, VECTORS_AT + size);
}

/** Masks a range whose size is a multiple of 16. Returns what `mask()` does. */
function maskBlocks({ memory, mask }: Vectors, bytes: Uint8Array, start: number, end: number, key: number): number {
  let seen = 0;
  while (start < end) {
    const size = Math.min(end - start, VECTORS_SIZE);
    const stop = VECTORS_AT + size;
    // A header is no longer than what is free before the place.
    if (start <= VECTORS_AT && bytes.length - start - size <= COPIED_BEHIND) memory.set(bytes, VECTORS_AT - start);
    else memory.set(bytes.subarray(start, start + size), VECTORS_AT);
    seen |= mask(VECTORS_AT, stop, key);
    if (key !== 0) bytes.set(viewMasked(memory, size), start);
    start += size;
  }
  return seen;
}

/**
 * Masks or unmasks bytes in place: XOR is its own inverse.
 *
 * Long ranges are processed in blocks of 16 bytes by WebAssembly, or in 32-bit words, through a `DataView`, which needs no
 * alignment. The high bits of all bytes are collected in the same pass, so that the caller learns whether the text is ASCII.
 *
 * @param bytes The bytes to change.
 * @param start The index of the first byte.
 * @param end The index after the last byte.
 * @param key The masking key, already rotated for the byte at `start`.
 * @returns 0 if every resulting byte is below 0x80, another number otherwise.
 */
export function mask(bytes: Uint8Array, start: number, end: number, key: number): number {
  let seen = 0;
  let at = start;
  const last = end - 3;
  const size = end - start;
  if (size >= VECTORS_FROM_ALONE && (size >= VECTORS_FROM || (start <= VECTORS_AT && bytes.length - end <= COPIED_BEHIND))) {
    if (vectors === undefined) vectors = loadVectors();
    if (vectors !== null) {
      at = end - (end - start) % 16;
      if (maskBlocks(vectors, bytes, start, at, key) !== 0) seen = 0x80;
    }
  }
  if (end - at >= WORDS_FROM) {
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

/** Rotates a masking key for the byte `count` positions further on. */
export function rotateKey(key: number, count: number): number {
  const shift = (count & 3) << 3;
  return shift === 0 ? key : (key >>> shift) | (key << (32 - shift));
}

/** Reports whether every byte of a range is below 0x80. */
export function isAscii(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start >= VECTORS_FROM) return mask(bytes, start, end, 0) === 0;
  for (let at = start; at < end; at++) if (bytes[at] > 0x7f) return false;
  return true;
}

const pool = new Int32Array(1024);
let used = pool.length;

/**
 * Returns a fresh, unpredictable masking key (RFC 6455 section 5.3). Random numbers are drawn a thousand at a time, because one
 * call into the runtime per frame would cost more than the frame.
 */
export function makeMaskingKey(): number {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  return pool[used++];
}
