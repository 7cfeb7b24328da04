import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { isUtf8, UTF8_ACCEPT, UTF8_REJECT, validateUtf8 } from "../../src/websocket/utf8.ts";
import { hex } from "../support/raw_client.ts";
import { toHex } from "./recorder.ts";

/** The runtime's own opinion. */
function reference(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Validates bytes, cut in two at every place, and one by one. */
function inPieces(bytes: Uint8Array): Set<boolean> {
  const results = new Set<boolean>();
  const { length } = bytes;
  for (let at = 0; at <= length; at++) {
    const state = validateUtf8(bytes, 0, at, UTF8_ACCEPT);
    results.add(state !== UTF8_REJECT && validateUtf8(bytes, at, length, state) === UTF8_ACCEPT);
  }
  let state = UTF8_ACCEPT;
  for (let at = 0; at < length && state !== UTF8_REJECT; at++) state = validateUtf8(bytes, at, at + 1, state);
  return results.add(state === UTF8_ACCEPT);
}

/** Compares with the reference, whole and in all pieces. */
function check(bytes: Uint8Array): void {
  const valid = reference(bytes);
  assertEquals(isUtf8(bytes), valid, toHex(bytes));
  assertEquals([...inPieces(bytes)], [valid], toHex(bytes));
}

test("isUtf8 accepts every character, and nothing beside, of one and two bytes", () => {
  for (let first = 0; first < 256; first++) {
    check(new Uint8Array([first]));
    for (let second = 0; second < 256; second++) check(new Uint8Array([first, second]));
  }
});

/** One byte of each kind that the table of RFC 3629 section 4 tells apart, and its neighbours. */
const KINDS = hex("00 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 f7 f8 fc fe ff");

test("isUtf8 agrees with TextDecoder on all sequences of three and four bytes of each kind", () => {
  for (const a of KINDS) {
    if (a < 0xc0) continue; // what begins with a shorter one is covered
    for (const b of KINDS) {
      for (const c of KINDS) {
        check(new Uint8Array([a, b, c]));
        for (const d of [0x7f, 0x80, 0xbf, 0xc0]) {
          const bytes = new Uint8Array([a, b, c, d]);
          if (isUtf8(bytes) !== reference(bytes)) check(bytes);
        }
      }
    }
  }
});

test("isUtf8 knows the borders of RFC 3629", () => {
  const valid = "00 7f c280 dfbf e0a080 ed9fbf ee8080 efbfbf f0908080 f48fbfbf efbbbf";
  const invalid = "80 bf c0af c1bf c2 e080af e09fbf e0a0 eda080 edbfbf f08fbfbf f09080 f4908080 f5808080 f888808080 fe ff";
  for (const digits of valid.split(" ")) assertEquals(isUtf8(hex(digits)), true, digits);
  for (const digits of invalid.split(" ")) assertEquals(isUtf8(hex(digits)), false, digits);
});

test("validateUtf8 refuses at the first byte that cannot belong to UTF-8", () => {
  // How many bytes of each are still a beginning of valid UTF-8.
  const beginnings: [digits: string, good: number][] = [
    ["f4908080", 1],
    ["eda080", 1],
    ["e08080", 1],
    ["f08f8080", 1],
    ["c080", 0],
    ["f5808080", 0],
    ["e282ff", 2],
    ["f09f98c3", 3],
    ["6162ff", 2],
  ];
  for (const [digits, good] of beginnings) {
    const bytes = hex(digits);
    for (let end = 0; end <= bytes.length; end++) {
      assertEquals(validateUtf8(bytes, 0, end, UTF8_ACCEPT) === UTF8_REJECT, end > good, `${digits} up to ${end}`);
    }
  }
});

test("validateUtf8 looks at its range only", () => {
  const bytes = hex("ff ff e2 82 ac ff ff");
  assertEquals(validateUtf8(bytes, 2, 5, UTF8_ACCEPT), UTF8_ACCEPT);
  assertEquals(validateUtf8(bytes, 3, 3, UTF8_ACCEPT), UTF8_ACCEPT);
  assertEquals(isUtf8(bytes, 2, 5), true);
  assertEquals(isUtf8(bytes, 5), false);
});

test("isUtf8 agrees with TextDecoder on any bytes and texts, in any pieces", () => {
  const anyText = fc.string({ unit: "binary", maxLength: 60, size: "max" }).map((text) => new TextEncoder().encode(text));
  const damaged = fc.tuple(anyText, fc.nat(), fc.nat({ max: 255 })).map(([bytes, at, byte]) => {
    if (bytes.length > 0) bytes[at % bytes.length] = byte;
    return bytes;
  });
  const fromKinds = fc.array(fc.constantFrom(...KINDS), { maxLength: 8, size: "max" }).map((list) => new Uint8Array(list));
  fc.assert(fc.property(fc.oneof(anyText, damaged, fromKinds, fc.uint8Array({ maxLength: 12, size: "max" })), check), {
    numRuns: 3000,
  });
});
