import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { inflateRawSync } from "node:zlib";
import { syncZlib } from "../../../adapters/zlib_sync.ts";
import { joinBytes } from "../../../src/transport/bytes.ts";
import { deflateMessage, inflateMessage, useSyncZlib } from "../../../src/websocket/pack.ts";
import { bytesOf, hex } from "../../support/raw_client.ts";
import { toHex } from "../recorder.ts";
import { anyDamaged, anyMessage, anyPayload, runs, TAIL } from "./arbitrary.ts";
import { inflateReference } from "./reference.ts";

const NO_LIMIT = 1 << 30;

useSyncZlib(syncZlib);

/** What zlib makes of a payload. */
function zlibInflate(payload: Uint8Array): Uint8Array {
  return new Uint8Array(inflateRawSync(joinBytes([payload, TAIL, hex("0300")]))); // and an empty final block
}

test("deflateMessage makes Swoole's bytes", () => {
  assertEquals(toHex(deflateMessage(bytesOf("hello"))), "ca48cdc9c90700");
  assertEquals(toHex(deflateMessage(bytesOf("a"))), "4a0400");
  assertEquals(toHex(deflateMessage(bytesOf("Hello Swoole"))), "f248cdc9c957082ecfcfcf490500");
});

test("zlib inflates what deflateMessage makes, and inflateMessage does", () => {
  fc.assert(
    fc.property(anyMessage(3000), (message) => {
      const payload = deflateMessage(message);
      assertEquals(zlibInflate(payload), message);
      assertEquals(inflateMessage(payload, message.length), message);
    }),
    { numRuns: runs(200) },
  );
});

test("inflateMessage reads payloads of every kind that zlib makes", () => {
  fc.assert(
    fc.property(anyPayload, ({ message, payload }) => {
      assertEquals(inflateMessage(payload, message.length), message);
      if (message.length > 0) assertEquals(inflateMessage(payload, message.length - 1), 1009);
    }),
    { numRuns: runs(300) },
  );
});

test("inflateMessage refuses what is damaged, as RFC 1951 describes it", () => {
  let refused = 0;
  fc.assert(
    fc.property(anyDamaged, (payload) => {
      const expected = payload.length === 0 ? new Uint8Array(0) : inflateReference(payload)?.message;
      const result = inflateMessage(payload, NO_LIMIT);
      if (expected === undefined) refused++;
      assertEquals(result, expected ?? 1007);
    }),
    { numRuns: runs(500) },
  );
  assert(refused > 0);
});

test("inflateMessage takes the tail for what it is where a block asks for it", () => {
  // A stored block of four bytes that are not there: the tail is them.
  assertEquals(inflateMessage(hex("000400fbff"), 4), TAIL);
  assertEquals(inflateMessage(hex("000400fbff"), 3), 1009);
  assertEquals(inflateMessage(hex("000500faff"), NO_LIMIT), 1007);
  assertEquals(inflateMessage(new Uint8Array(0), 0), new Uint8Array(0));
});

test("Without zlib, compressed frames cannot be packed or unpacked", () => {
  try {
    useSyncZlib(() => undefined);
    assertThrows(() => deflateMessage(bytesOf("hello")), Error, "Cannot pack a compressed frame: this runtime has no node:zlib");
    assertThrows(
      () => inflateMessage(hex("4a0400"), 1),
      Error,
      "Cannot unpack a compressed frame: this runtime has no node:zlib",
    );
  } finally {
    useSyncZlib(syncZlib);
  }
});

test("zlib refuses blocks of another size than was measured", () => {
  const { inflate } = syncZlib()!;
  const blocks = joinBytes([deflateMessage(bytesOf("hello")), TAIL]);
  assertEquals(inflate(blocks, 5), bytesOf("hello"));
  for (const size of [4, 6]) assertEquals(inflate(blocks, size), undefined);
  const long = joinBytes([deflateMessage(new Uint8Array(1000)), TAIL]);
  for (const size of [999, 1001]) assertEquals(inflate(long, size), undefined);
  assertEquals(inflate(hex("ffffff"), 5), undefined);
});
