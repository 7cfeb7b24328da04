import { assert, assertEquals, assertGreater, assertLessOrEqual, assertThrows } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { joinBytes } from "../../../src/transport/bytes.ts";
import { FinishedStream, Measurement, windowSize } from "../../../src/websocket/deflate/compressed_payload.ts";
import { CORRUPT, TOO_LARGE } from "../../../src/websocket/deflate/inflated_size.ts";
import { hex } from "../../support/raw_client.ts";
import { anyDamaged, anyMessage, anyPayload, anyZlibOptions, runs, TAIL } from "./arbitrary.ts";
import { json } from "./engines.ts";
import { inflateReference } from "./reference.ts";

const WINDOW = 32768;
const NO_LIMIT = 1 << 30;

/** Measures a payload to the end: the measurement, or `CORRUPT` or `TOO_LARGE`. */
function measure(payload: Uint8Array, limit = NO_LIMIT, history = 0, window = WINDOW): Measurement | number {
  const measurement = new Measurement(payload, limit, history, window);
  for (;;) {
    const result = measurement.run();
    if (result !== -1) return result === 0 ? measurement : result;
  }
}

/** The size of a payload, or `CORRUPT` or `TOO_LARGE`. */
function sizeOf(payload: Uint8Array, limit?: number, history?: number, window?: number): number {
  const measured = measure(payload, limit, history, window);
  return typeof measured === "number" ? measured : measured.size;
}

/** A payload without final blocks, with its tail. */
function blocksOf(payload: Uint8Array, history?: number): Uint8Array {
  return (measure(payload, NO_LIMIT, history) as Measurement).blocks();
}

/** The payload of a finished stream. */
function toPayload(stream: Uint8Array): Uint8Array {
  const finished = new FinishedStream(stream);
  while (!finished.run());
  return finished.payload();
}

/** What zlib makes of blocks that have no end. */
function inflateBlocks(blocks: Uint8Array): Uint8Array {
  return new Uint8Array(inflateRawSync(joinBytes([blocks, hex("01 0000ffff")])));
}

test("what a payload is refused with is its close code", () => assertEquals([CORRUPT, TOO_LARGE], [1007, 1009]));

test("Measurement knows the examples of RFC 7692 section 7.2.3", () => {
  assertEquals(sizeOf(hex("f248cdc9c90700")), 5);
  assertEquals(sizeOf(hex("f200110000"), NO_LIMIT, 4), 5); // the second message, with takeover
  assertEquals(sizeOf(hex("f200110000"), NO_LIMIT, 3), CORRUPT);
  assertEquals(sizeOf(hex("f200110000")), CORRUPT);
  assertEquals(sizeOf(hex("000500faff48656c6c6f00")), 5);
  assertEquals(sizeOf(hex("f348cdc9c9070000")), 5); // a final block
  assertEquals(sizeOf(hex("f348cdc9c90700")), 5); // without the byte that has to follow
  assertEquals(sizeOf(hex("f24805000000ffffcac9c90700")), 5);
  assertEquals(sizeOf(hex("00")), 0);
  assertEquals(sizeOf(hex("")), 0);
});

test("Measurement refuses what RFC 1951 does not allow", () => {
  const cases: [what: string, digits: string][] = [
    ["a block of type 3", "06"],
    ["a final block of type 3", "07"],
    ["a stored block whose length is not confirmed", "000500fbff48656c6c6f00"],
    ["a stored block that is cut off", "000500faff48656c"],
    ["a stored block that reaches into the tail", "000600faff48656c6c6f"],
    ["a code that is cut off", "f248cdc9c9"],
    ["no empty block at the end", "0203"],
    ["the symbol 286", "1a03 00"],
    ["the distance symbol 30", "4b4c843d00"],
    ["a distance before the first byte", "4b04c30000"],
    ["287 literal codes", "f4ffffffffffffff"],
    ["31 distance codes", "04de ff ff ff ff"],
    ["too many codes of a length", "04c0 49 92 24 49 92 24 49 92 24"],
    ["code lengths that are all 0", "0480 00 00 00 00 00 00"],
    ["a repetition of nothing", "04e081081000 00000010 ffffffff"],
    ["something behind the empty block", "f248cdc9c9070001"],
    ["something behind a final block that is none", "f348cdc9c907000f"],
    ["two tails", "00 0000ffff 0000ffff"],
  ];
  for (const [what, digits] of cases) {
    assertEquals(inflateReference(hex(digits)), undefined, what);
    assertEquals(sizeOf(hex(digits)), CORRUPT, what);
  }
});

test("Measurement gives the size that zlib's payloads inflate to, and blocks() gives them without final blocks", () => {
  fc.assert(
    fc.property(anyPayload, ({ message, payload }) => {
      assertEquals(sizeOf(payload), message.length);
      if (payload.length === 0) return;
      const blocks = blocksOf(payload);
      assertEquals(inflateBlocks(blocks), message);
      const inflated = inflateReference(blocks.subarray(0, -4))!;
      assertEquals([inflated.message, inflated.finals], [message, 0]);
    }),
    { numRuns: runs(1000) },
  );
});

test("Measurement agrees with a plain reading of RFC 1951 on any payload, with and without earlier messages", () => {
  let right = 0;
  const numRuns = runs(3000);
  fc.assert(
    fc.property(anyDamaged, anyMessage(300), (payload, history) => {
      for (const before of [new Uint8Array(0), history]) {
        const inflated = inflateReference(payload, before);
        const size = sizeOf(payload, NO_LIMIT, before.length);
        assertEquals(size, payload.length === 0 ? 0 : inflated?.message.length ?? CORRUPT);
        if (inflated === undefined || payload.length === 0) continue;
        right++;
        // What passes, zlib inflates too: as a whole, and with the messages before.
        const stored = new Uint8Array(deflateRawSync(before, { level: 0, finishFlush: 2 }));
        assertEquals(sizeOf(payload, NO_LIMIT, before.length, Math.max(1, inflated.reach)), size);
        if (inflated.reach > 1) assertEquals(sizeOf(payload, NO_LIMIT, before.length, inflated.reach - 1), CORRUPT);
        assertEquals(inflateBlocks(joinBytes([stored, blocksOf(payload, before.length)])), joinBytes([before, inflated.message]));
      }
    }),
    { numRuns },
  );
  assert(right > numRuns / 20, `${right} payloads were right`);
});

test("Measurement stops at the limit and not before", () => {
  fc.assert(
    fc.property(anyPayload, fc.nat(), ({ message, payload }, any) => {
      const size = message.length;
      assertEquals(sizeOf(payload, size), size);
      if (size === 0) return;
      assertEquals(sizeOf(payload, size - 1), TOO_LARGE);
      assertEquals(sizeOf(payload, any % size), TOO_LARGE);
    }),
    { numRuns: runs(300) },
  );
  // A stored block, a literal and a repetition that step over it.
  for (const [digits, size] of [["000500faff48656c6c6f00", 5], ["4a0400", 1], ["4a04020000", 4]] as const) {
    assertEquals(sizeOf(hex(digits), size), size, digits);
    assertEquals(sizeOf(hex(digits), size - 1), TOO_LARGE, digits);
  }
});

test("Measurement does not walk through a bomb", () => {
  const bomb = new Uint8Array(deflateRawSync(new Uint8Array(64 << 20), { finishFlush: 2 }).subarray(0, -4));
  const time = (limit: number, expected: number) => {
    const start = performance.now();
    assertEquals(sizeOf(bomb, limit), expected);
    return performance.now() - start;
  };
  time(NO_LIMIT, 64 << 20);
  assertLessOrEqual(time(64, TOO_LARGE), time(NO_LIMIT, 64 << 20));
});

test("Measurement takes a thousand short blocks, each with codes of its own", () => {
  const message = new Uint8Array(Array.from({ length: 999 }, (_, i) => (i * i) % 37 + i % 11));
  const block = new Uint8Array(deflateRawSync(message, { strategy: 2 }));
  assertEquals(block[0] & 7, 5); // final, with codes
  const payload = joinBytes(Array.from({ length: 1000 }, () => block));
  const start = performance.now();
  assertEquals(sizeOf(payload), 999_000);
  assertLessOrEqual(performance.now() - start, 5000);
});

test("Measurement pauses in a long payload, and other payloads can be measured meanwhile", () => {
  const block = new Uint8Array(deflateRawSync(json(2000)));
  assertEquals(block[0] & 7, 5); // final, with codes
  const payload = joinBytes(Array.from({ length: 2000 }, () => block));
  const measurements = Array.from({ length: 3 }, () => new Measurement(payload, NO_LIMIT, 0, WINDOW));
  let turns = 0;
  for (let results: number[] = [-1]; results.includes(-1); turns++) {
    results = measurements.map((measurement) => measurement.run());
    assertEquals(sizeOf(hex("f248cdc9c90700")), 5);
  }
  assert(turns > 5, `${turns} turns`);
  for (const measurement of measurements) assertEquals(measurement.size, 4_000_000);
});

test("Measurement pauses more often in short blocks, which are more work than their bytes", () => {
  const block = new Uint8Array(deflateRawSync(new Uint8Array(200).map((_, i) => i * i % 5), { strategy: 2 }));
  assertEquals(block[0] & 7, 5); // final, with codes
  for (const [short, count] of [[block, 2000], [hex("0300"), 60_000]] as const) {
    const payload = joinBytes(Array.from({ length: count }, () => short));
    const pausesOf = (bytes: Uint8Array) => {
      const measurement = new Measurement(bytes, NO_LIMIT, 0, WINDOW);
      let pauses = 0;
      for (let result: number; (result = measurement.run()) !== 0; pauses++) assertEquals(result, -1);
      return pauses;
    };
    const stored = new Uint8Array(deflateRawSync(payload, { level: 0 }));
    assertGreater(pausesOf(payload), 2 * pausesOf(stored));
    assertGreater(pausesOf(payload), 2);
  }
});

test("Measurement reads codes of every length up to 15", () => {
  // How often a byte occurs is a Fibonacci number: each code is one bit longer than the one before.
  const counts = [1, 1];
  while (counts.length < 20) counts.push(counts.at(-1)! + counts.at(-2)!);
  const message = joinBytes(counts.map((count, byte) => new Uint8Array(count).fill(byte)));
  const payload = new Uint8Array(deflateRawSync(message, { strategy: 2, memLevel: 9 }));
  assertEquals(payload[0] & 7, 5); // final, with codes: all in one block
  assertEquals((measure(payload) as Measurement).size, message.length);
  assertEquals(inflateBlocks(blocksOf(payload)), message);
});

test("windowSize is the window in bytes, but never below 9 bits", () => {
  assertEquals([8, 9, 10, 14, 15].map(windowSize), [512, 512, 1024, 16384, 32768]);
});

test("FinishedStream makes payloads without a final block, which may follow each other in one stream", () => {
  fc.assert(
    fc.property(anyMessage(2000), anyZlibOptions, (message, options) => {
      const payload = toPayload(new Uint8Array(deflateRawSync(message, options)));
      const inflated = inflateReference(payload)!;
      assertEquals([inflated.message, inflated.finals], [message, 0]);
      assertEquals(sizeOf(payload), message.length);
      assertEquals(inflateBlocks(joinBytes([payload, TAIL, payload, TAIL])), joinBytes([message, message]));
    }),
    { numRuns: runs(300) },
  );
  assertEquals(toPayload(hex("f348cdc9c90700")), hex("f248cdc9c90700")); // as in RFC 7692 section 7.2.3.1
  assertEquals(toPayload(hex("0300")), hex("0200"));
  assertEquals(toPayload(hex("010000ffff")), hex("000000ffff00"));
});

test("FinishedStream leaves the stream alone and takes only finished ones", () => {
  const stream = new Uint8Array(deflateRawSync(new Uint8Array(1000)));
  const before = stream.slice();
  const payload = toPayload(stream);
  payload.fill(0);
  assertEquals(stream, before);
  const wrong = [
    new Uint8Array(0),
    stream.subarray(0, -1),
    hex("07"),
    new Uint8Array(deflateRawSync(before, { finishFlush: 2 })),
  ];
  for (const bytes of wrong) assertThrows(() => toPayload(bytes), Error, "Cannot make a payload");
});
