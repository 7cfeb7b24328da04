import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { isAscii, mask, rotateKey } from "../../src/websocket/masking.ts";
import { hex } from "../support/raw_client.ts";
import { toHex } from "./recorder.ts";

/** RFC 6455 section 5.3, word by word. */
function reference(bytes: Uint8Array, start: number, end: number, key: number): Uint8Array {
  const keyBytes = [key & 255, (key >>> 8) & 255, (key >>> 16) & 255, (key >>> 24) & 255];
  return bytes.map((byte, i) => i >= start && i < end ? byte ^ keyBytes[(i - start) % 4] : byte);
}

const anyKey = fc.integer({ min: -0x80000000, max: 0x7fffffff });

test("mask takes the example of RFC 6455 section 5.7 back", () => {
  const bytes = hex("7f9f4d5158");
  assertEquals(mask(bytes, 0, 5, 0x3d21fa37), 0);
  assertEquals(toHex(bytes), "48656c6c6f");
});

test("mask changes its range only, at every length and place", () => {
  // Past 128 bytes it works in words.
  for (let length = 0; length < 300; length++) {
    for (const start of [0, 1, 2, 3, 5]) {
      const memory = Uint8Array.from({ length: start + length + 5 + 3 }, (_, i) => i * 37);
      const bytes = memory.subarray(3); // an origin that is no multiple of four
      const expected = reference(bytes, start, start + length, 0x89abcdef | 0);
      mask(bytes, start, start + length, 0x89abcdef | 0);
      assertEquals(bytes, expected);
      assertEquals([...memory.subarray(0, 3)], [0, 37, 74]);
    }
  }
});

test("mask tells whether all bytes are ASCII afterwards, wherever one is not", () => {
  const key = 0xc1b2a394 | 0;
  for (const length of [1, 2, 3, 4, 5, 7, 8, 9, 127, 128, 129, 130, 131, 200]) {
    const plain = new Uint8Array(length + 2).fill(0x7f);
    plain[0] = plain[length + 1] = 0xff; // outside of the range
    const masked = reference(plain, 1, length + 1, key);
    assertEquals(mask(masked, 1, length + 1, key), 0);
    for (let at = 1; at <= length; at++) {
      plain[at] = 0x80;
      const bytes = reference(plain, 1, length + 1, key);
      assertEquals(mask(bytes, 1, length + 1, key) === 0, false, `${at} of ${length}`);
      assertEquals(bytes, plain);
      plain[at] = 0x7f;
    }
  }
});

test("mask and rotateKey: any cut gives what one pass gives, and twice gives the original", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400, size: "max" }), anyKey, fc.nat({ max: 400 }), (bytes, key, place) => {
      const at = Math.min(place, bytes.length);
      const whole = reference(bytes, 0, bytes.length, key);
      const cut = bytes.slice();
      const first = mask(cut, 0, at, key);
      const second = mask(cut, at, cut.length, rotateKey(key, at));
      assertEquals(cut, whole);
      assertEquals((first | second) === 0, whole.every((byte) => byte < 0x80));
      mask(cut, 0, cut.length, key);
      assertEquals(cut, bytes);
    }),
    { numRuns: 1000 },
  );
});

test("rotateKey turns the key by whole bytes", () => {
  const key = 0x84838281 | 0; // bytes 81 82 83 84
  assertEquals(rotateKey(key, 0), key);
  assertEquals(rotateKey(key, 1), 0x81848382 | 0);
  assertEquals(rotateKey(key, 2), 0x82818483 | 0);
  assertEquals(rotateKey(key, 3), 0x83828184 | 0);
  assertEquals(rotateKey(key, 4), key);
  assertEquals(rotateKey(key, 65537), rotateKey(key, 1));
});

test("isAscii looks at each byte of its range", () => {
  const bytes = new Uint8Array(20).fill(0x7f);
  bytes[0] = bytes[19] = 0x80;
  assertEquals(isAscii(bytes, 1, 19), true);
  assertEquals(isAscii(bytes, 5, 5), true);
  for (let at = 1; at < 19; at++) {
    bytes[at] = 0x80;
    assertEquals(isAscii(bytes, 1, 19), false);
    bytes[at] = 0;
  }
});
