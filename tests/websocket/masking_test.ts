import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { readFile } from "node:fs/promises";
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

const KIB = 1024;

/** `masking.ts` loaded anew where there is no WebAssembly. */
async function withoutWebAssembly(): Promise<typeof import("../../src/websocket/masking.ts")> {
  const plain = await import(new URL("../../src/websocket/masking.ts?plain", import.meta.url).href);
  const { WebAssembly } = globalThis;
  Object.assign(globalThis, { WebAssembly: undefined });
  try {
    plain.mask(new Uint8Array(64 * KIB), 0, 64 * KIB, 1); // looks for it
  } finally {
    Object.assign(globalThis, { WebAssembly });
  }
  return plain;
}

test("long ranges are masked alike with and without WebAssembly, wherever they begin and end", async () => {
  const plain = await withoutWebAssembly();
  const random = new Uint8Array(200 * KIB);
  for (let at = 0; at < random.length; at += 64 * KIB) crypto.getRandomValues(random.subarray(at, at + 64 * KIB));
  for (const length of [511, 512, 513, 527, 528, 529, 1000, 4096, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 130 * KIB + 13]) {
    for (const start of [0, 1, 7, 64]) {
      for (const key of [0x89abcdef | 0, 0, 0x01020304]) {
        const end = start + length;
        const expected = reference(random, start, end, key);
        const results = [mask, plain.mask].map((mask) => {
          const bytes = random.slice();
          assertEquals(mask(bytes, start, end, key) === 0, false);
          return bytes;
        });
        for (const bytes of results) assertEquals(bytes, expected, `${length} bytes at ${start}`);
      }
    }
  }
});

test("a long range is masked alike whatever is before and behind it in its memory", () => {
  const random = crypto.getRandomValues(new Uint8Array(60_000)).map((byte) => byte & 0x7f);
  for (const size of [127, 128, 129, 300, 512, 513, 700, 2000, 50_000]) {
    for (const start of [0, 1, 8, 63, 64, 65, 300]) {
      for (const behind of [0, 1, 15, 16, 255, 256, 257, 5000]) {
        const bytes = random.slice(0, start + size + behind);
        const expected = reference(bytes, start, start + size, 0x01020304);
        assertEquals(mask(bytes, start, start + size, 0x01020304), 0);
        assertEquals(toHex(bytes) === toHex(expected), true, `${size} bytes from ${start} on, with ${behind} behind them`);
        if (behind > 0) bytes[start + size] = 0xff; // not in the range
        assertEquals(isAscii(bytes, start, start + size), true);
      }
    }
  }
});

test("a single byte above 0x7f in a long range is found, with and without WebAssembly", async () => {
  const plain = await withoutWebAssembly();
  const key = 0xc1b2a394 | 0;
  const both = [{ mask, isAscii }, plain];
  for (const length of [512, 700, 70 * KIB + 5]) {
    const text = new Uint8Array(length + 2).fill(0x7f);
    text[0] = text[length + 1] = 0xff; // outside of the range
    for (const { mask, isAscii } of both) {
      assertEquals([mask(reference(text, 1, length + 1, key), 1, length + 1, key), isAscii(text, 1, length + 1)], [0, true]);
    }
    for (const at of [1, 2, 15, 16, 17, 255, length >> 1, length - 17, length - 16, length - 1, length]) {
      text[at] = 0x80;
      for (const { mask, isAscii } of both) {
        const bytes = reference(text, 1, length + 1, key);
        assertEquals([mask(bytes, 1, length + 1, key) === 0, isAscii(text, 1, length + 1)], [false, false], `${at} of ${length}`);
        assertEquals(bytes, text);
      }
      text[at] = 0x7f;
    }
  }
});

test("the module for long ranges is the one that the script in tools/ makes", async () => {
  const { maskingModule } = await import("../../tools/make_masking_module.mjs");
  const source = await readFile(new URL("../../src/websocket/masking.ts", import.meta.url), "utf8");
  assertEquals(/MODULE =\s+"([^"]*)"/.exec(source)?.[1], btoa(String.fromCharCode(...maskingModule)));
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
