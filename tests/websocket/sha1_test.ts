import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { sha1 } from "../../src/websocket/handshake.ts";

function reference(text: string): Uint8Array {
  return new Uint8Array(createHash("sha1").update(text, "latin1").digest());
}

test("sha1 gives the digests of FIPS 180-4", () => {
  const digests: [text: string, digest: string][] = [
    ["", "da39a3ee5e6b4b0d3255bfef95601890afd80709"],
    ["abc", "a9993e364706816aba3e25717850c26c9cd0d89d"],
    ["abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"],
  ];
  for (const [text, digest] of digests) {
    assertEquals(Array.from(sha1(text), (byte) => byte.toString(16).padStart(2, "0")).join(""), digest);
  }
});

test("sha1 agrees with the runtime's at every length around the block size", () => {
  for (let length = 0; length <= 200; length++) {
    const text = Array.from({ length }, (_, i) => String.fromCharCode((i * 7 + length) & 0x7f)).join("");
    assertEquals(sha1(text), reference(text), `length ${length}`);
  }
});

test("sha1 agrees with the runtime's on any ASCII text", () => {
  const ascii = fc.string({
    unit: fc.integer({ min: 0, max: 127 }).map((c) => String.fromCharCode(c)),
    maxLength: 600,
    size: "max",
  });
  fc.assert(fc.property(ascii, (text) => assertEquals(sha1(text), reference(text))), { numRuns: 300 });
});
