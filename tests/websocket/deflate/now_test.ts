import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { inflateRawSync } from "node:zlib";
import { joinBytes } from "../../../src/bytes.ts";
import { deflateNow } from "../../../src/websocket/deflate/deflate_now.ts";
import { inflateNow } from "../../../src/websocket/deflate/inflate_now.ts";
import { hex, octets } from "../../support/raw_client.ts";
import { toHex } from "../recorder.ts";
import { anyDamaged, anyMessage, anyPayload, runs, TAIL } from "./arbitrary.ts";
import { json, noise } from "./engines.ts";
import { inflateReference } from "./reference.ts";

const NO_LIMIT = 1 << 30;

/** What zlib makes of a payload. */
function zlibInflate(payload: Uint8Array): Uint8Array {
  return new Uint8Array(inflateRawSync(joinBytes([payload, TAIL, hex("0300")]))); // and an empty final block
}

test("deflateNow makes what zlib makes of short messages: Swoole's octets", () => {
  assertEquals(toHex(deflateNow(octets("hello"))), "ca48cdc9c90700");
  assertEquals(toHex(deflateNow(octets("a"))), "4a0400");
  assertEquals(toHex(deflateNow(octets("Hello Swoole"))), "f248cdc9c957082ecfcfcf490500");
});

test("zlib inflates what deflateNow makes, and inflateNow does", () => {
  fc.assert(
    fc.property(anyMessage(3000), (message) => {
      const payload = deflateNow(message);
      assertEquals(zlibInflate(payload), message);
      assertEquals(inflateNow(payload, message.length), message);
    }),
    { numRuns: runs(200) },
  );
});

test("Every length and distance of a copy survives", () => {
  for (const distance of [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 24, 25, 192, 193, 4096, 4097, 24576, 24577, 32767, 32768, 32769]) {
    for (const length of [3, 4, 10, 11, 12, 18, 19, 34, 35, 66, 67, 130, 131, 226, 227, 257, 258, 259, 600]) {
      const piece = noise(length).slice();
      const message = joinBytes([piece, noise(Math.max(0, distance - length)), piece]);
      const payload = deflateNow(message);
      assertEquals(zlibInflate(payload), message, `${length} octets, ${distance} back`);
      assertEquals(inflateNow(payload, message.length), message);
    }
  }
});

test("deflateNow finds what repeats itself, and adds at most an eighth to what does not", () => {
  const text = json(16 * 1024);
  assertLessOrEqual(deflateNow(text).length, text.length / 2);
  assertLessOrEqual(deflateNow(new Uint8Array(100_000)).length, 650);
  const random = noise(10_000);
  assertLessOrEqual(deflateNow(random).length, random.length * 1.13);
});

test("inflateNow reads payloads of every kind that zlib makes", () => {
  fc.assert(
    fc.property(anyPayload, ({ message, payload }) => {
      assertEquals(inflateNow(payload, message.length), message);
      if (message.length > 0) assertEquals(inflateNow(payload, message.length - 1), 1009);
    }),
    { numRuns: runs(300) },
  );
});

test("inflateNow refuses what is damaged, as RFC 1951 describes it", () => {
  let refused = 0;
  fc.assert(
    fc.property(anyDamaged, (payload) => {
      const expected = payload.length === 0 ? new Uint8Array(0) : inflateReference(payload)?.message;
      const result = inflateNow(payload, NO_LIMIT);
      if (expected === undefined) refused++;
      assertEquals(result, expected ?? 1007);
    }),
    { numRuns: runs(500) },
  );
  assert(refused > 0);
});

test("inflateNow takes the tail for what it is where a block asks for it", () => {
  // A stored block of four octets that are not there: the tail is them.
  assertEquals(inflateNow(hex("000400fbff"), 4), TAIL);
  assertEquals(inflateNow(hex("000400fbff"), 3), 1009);
  assertEquals(inflateNow(hex("000500faff"), NO_LIMIT), 1007);
  assertEquals(inflateNow(new Uint8Array(0), 0), new Uint8Array(0));
});
