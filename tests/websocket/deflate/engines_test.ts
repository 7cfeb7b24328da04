import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import process from "node:process";
import { test } from "node:test";
import { constants, createDeflateRaw, deflateRawSync, inflateRawSync } from "node:zlib";
import { joinBytes } from "../../../src/transport/bytes.ts";
import type { InflateFailure } from "../../../src/transport/codecs.ts";
import { hex } from "../../support/raw_client.ts";
import { anyDamaged, anyMessage, anyPayload, runs, TAIL } from "./arbitrary.ts";
import { DEFAULTS, engines, json, noise, tenMessages } from "./engines.ts";
import { inflateReference } from "./reference.ts";
import { nextTurn } from "../../../adapters/process.ts";

const NO_LIMIT = 1 << 28;

/** Fails unless two messages are equal. Much faster than a deep comparison. */
function assertSame(actual: Uint8Array | InflateFailure, expected: Uint8Array, what: string): void {
  if (typeof actual === "number") throw new Error(`${what}: ${actual}`);
  assertEquals(actual.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) if (actual[i] !== expected[i]) throw new Error(`${what}: byte ${i} differs`);
}

/** What zlib makes of payloads in a row, as one stream with or without the context kept. */
function inflateAll(payloads: Uint8Array[], takeover: boolean, windowBits = 15): Uint8Array {
  const blocks = payloads.flatMap((payload) => [payload, TAIL]);
  const streams = takeover ? [joinBytes(blocks)] : payloads.map((payload) => joinBytes([payload, TAIL]));
  return joinBytes(streams.map((stream) => inflateRawSync(joinBytes([stream, hex("010000ffff")]), { windowBits })));
}

for (const [sends, from] of engines) {
  for (const [receives, to] of engines) {
    test(`What ${sends} deflates, ${receives} inflates: ten messages, with and without takeover`, async () => {
      const messages = tenMessages();
      for (const takeover of from.sendTakeover ? [false, true] : [false]) {
        const deflater = from.deflater(15, takeover, DEFAULTS);
        const inflaters = [to.inflater(15, true), ...takeover ? [] : [to.inflater(15, false)]];
        for (const message of messages) {
          const payload = await deflater.deflate(message);
          for (const inflater of inflaters) {
            assertSame(await inflater.inflate(payload, message.length), message, `${message.length} bytes`);
          }
        }
        deflater.close();
        for (const inflater of inflaters) inflater.close();
      }
    });
  }
}

for (const [name, engine] of engines) {
  test(`What ${name} deflates is right for zlib, and has no final block`, async () => {
    const messages = tenMessages();
    for (const takeover of engine.sendTakeover ? [false, true] : [false]) {
      const deflater = engine.deflater(15, takeover, DEFAULTS);
      const payloads: Uint8Array[] = [];
      for (const message of messages) payloads.push(await deflater.deflate(message));
      deflater.close();
      assertSame(inflateAll(payloads, takeover), joinBytes(messages), `takeover ${takeover}`);
      // zlib stops at a final block: none of them is one.
      assertSame(inflateAll(payloads, true), joinBytes(messages), "as one stream");
      assertEquals(payloads[1], new Uint8Array(1)); // the empty message of RFC 7692 section 7.2.3.6
      if (takeover) assertLessOrEqual(payloads[4].length, 100, "the repetition of the message before");
      else assert(payloads[4].length > 4900, "no repetition of the message before");
      assertLessOrEqual(payloads[8].length, messages[8].length / 4);
      assertLessOrEqual(payloads[9].length, messages[9].length * 1.01);
      for (const payload of payloads) assertEquals(payload.constructor, Uint8Array);
    }
  });

  test(`${name} inflates what zlib sends with takeover`, async () => {
    const stream = createDeflateRaw();
    const parts: Uint8Array[] = [];
    stream.on("data", (part: Uint8Array) => parts.push(new Uint8Array(part)));
    const inflater = engine.inflater(15, true);
    for (const message of tenMessages()) {
      if (message.length === 0) continue; // zlib has nothing to flush then
      stream.write(message);
      await new Promise<void>((resolve) => stream.flush(constants.Z_SYNC_FLUSH, resolve));
      const payload = joinBytes(parts.splice(0));
      assertSame(await inflater.inflate(payload.subarray(0, -4), NO_LIMIT), message, `${message.length} bytes`);
    }
    stream.close();
    inflater.close();
  });

  test(`${name} inflates any payload that zlib makes, with final blocks anywhere`, async () => {
    const own = engine.inflater(15, true), shared = engine.inflater(15, false);
    await fc.assert(
      fc.asyncProperty(anyPayload, async ({ message, payload }) => {
        const before = payload.slice();
        assertSame(await own.inflate(payload, message.length), message, "takeover");
        assertSame(await shared.inflate(payload, message.length), message, "no takeover");
        assertEquals(payload, before); // left alone
        if (message.length > 0) assertEquals(await shared.inflate(payload, message.length - 1), 1009);
      }),
      { numRuns: Math.min(runs(300), 20_000) },
    );
    own.close();
    shared.close();
  });

  test(`${name} makes a message or a code of any payload, and never an exception`, async () => {
    const shared = engine.inflater(15, false);
    const rejections: unknown[] = [];
    const onRejection = (reason: unknown) => rejections.push(reason);
    process.on("unhandledRejection", onRejection);
    const results = new Map<number, number>();
    let count = 0;
    await fc.assert(
      fc.asyncProperty(anyDamaged, fc.array(anyDamaged, { maxLength: 3 }), anyMessage(200), async (damaged, more, text) => {
        const expected = inflateReference(damaged);
        const result = await shared.inflate(damaged, NO_LIMIT);
        if (expected === undefined && damaged.length > 0) assertEquals(result, 1007);
        else assertSame(result, expected?.message ?? damaged, "no takeover");
        const kind = typeof result === "number" ? result : 0;
        results.set(kind, (results.get(kind) ?? 0) + 1);
        // A connection ends with the first payload that is wrong.
        const own = engine.inflater(15, true);
        let history: Uint8Array = new Uint8Array(0);
        for (const payload of [new Uint8Array(deflateRawSync(text)), damaged, ...more]) {
          const right = payload.length === 0 ? { message: payload } : inflateReference(payload, history);
          const message = await own.inflate(payload, 100_000);
          if (right === undefined) {
            assert(message === 1007 || message === 1009);
            break;
          }
          if (right.message.length > 100_000) {
            assertEquals(message, 1009);
            break;
          }
          assertSame(message, right.message, "takeover");
          history = joinBytes([history, right.message]);
        }
        own.close();
        if (++count % 100 === 0) await nextTurn(); // what is closed is let go then
      }),
      { numRuns: runs(400) },
    );
    shared.close();
    // The stream behind it still works for the next message.
    const after = engine.inflater(15, false);
    assertSame(await after.inflate(new Uint8Array(deflateRawSync(json(5000))), 5000), json(5000), "afterwards");
    after.close();
    await new Promise((resolve) => setTimeout(resolve));
    process.off("unhandledRejection", onRejection);
    assertEquals(rejections, []);
    assert(results.get(0)! > 0 && results.get(1007)! > 0);
  });

  test(`${name} takes a message as large as the limit, refuses one byte more, and takes no memory for a bomb`, async () => {
    const piece = new Uint8Array(deflateRawSync(new Uint8Array(1 << 20), { finishFlush: constants.Z_FULL_FLUSH }));
    const bomb = joinBytes(Array.from({ length: 512 }, () => piece)).subarray(0, -4);
    const limit = 4 << 20;
    for (const takeover of [false, true]) {
      const inflater = engine.inflater(15, takeover);
      const four = joinBytes([piece, piece, piece, piece]).subarray(0, -4);
      assertSame(await inflater.inflate(four, limit), new Uint8Array(limit), "at the limit");
      assertEquals(await inflater.inflate(four, limit - 1), 1009);
      const before = process.memoryUsage().rss;
      for (let i = 0; i < 5; i++) {
        assertEquals(await inflater.inflate(bomb, limit), 1009);
        assertEquals(await inflater.inflate(bomb, (512 << 20) - 1), 1009);
      }
      assertLessOrEqual(process.memoryUsage().rss - before, 32 << 20);
      inflater.close();
    }
  });

  test(`${name} without takeover works on many messages at a time`, async () => {
    const deflater = engine.deflater(15, false, DEFAULTS), inflater = engine.inflater(15, false);
    const messages = Array.from({ length: 30 }, (_, i) => i % 3 === 0 ? noise(i * 5000) : json(i * 20_000));
    const payloads = await Promise.all(messages.map((message) => deflater.deflate(message)));
    const inflated = await Promise.all(payloads.map((payload) => inflater.inflate(payload, NO_LIMIT)));
    inflated.forEach((message, i) => assertSame(message, messages[i], `${i}`));
    deflater.close();
    inflater.close();
  });

  test(`${name} gives memory that nobody else uses`, async () => {
    const deflater = engine.deflater(15, false, DEFAULTS), inflater = engine.inflater(15, false);
    for (const length of [1, 100, 16_384, 40_000]) {
      const message = json(length);
      const payload = await deflater.deflate(message), second = await deflater.deflate(message);
      const texts = [await inflater.inflate(payload, length), await inflater.inflate(payload, length)] as Uint8Array[];
      payload.fill(0);
      assertSame(await inflater.inflate(second, length), message, "the second payload");
      new Uint8Array(texts[0].buffer).fill(0);
      assertSame(texts[1], message, "the second message");
      assertSame(message, json(length), "the input");
    }
    deflater.close();
    inflater.close();
  });

  test(`${name} may be closed at any time, and settles what is under way`, async () => {
    const large = noise(2 << 20);
    const rejections: unknown[] = [];
    const onRejection = (reason: unknown) => rejections.push(reason);
    process.on("unhandledRejection", onRejection);
    const payload = await engine.deflater(15, false, DEFAULTS).deflate(large);
    for (const takeover of [false, true]) {
      const inflater = engine.inflater(15, takeover);
      const result = inflater.inflate(payload, NO_LIMIT);
      inflater.close();
      const message = await result;
      assert(message === 1007 || (message as Uint8Array).length === large.length);
      inflater.close();
      engine.inflater(15, takeover).close();
      if (takeover && !engine.sendTakeover) continue;
      const deflater = engine.deflater(15, takeover, DEFAULTS);
      const compressed = deflater.deflate(large);
      deflater.close();
      assert((await compressed) instanceof Uint8Array);
      deflater.close();
      engine.deflater(15, takeover, DEFAULTS).close();
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.off("unhandledRejection", onRejection);
    assertEquals(rejections, []);
  });
}

for (const [name, engine] of engines.filter(([, { sendTakeover }]) => sendTakeover)) {
  test(`${name} keeps to every window, at every level`, async () => {
    const text = json(9000);
    const messages = [json(3000), joinBytes([text, text]), new Uint8Array(0), noise(1500), json(3000)];
    for (let windowBits = 8; windowBits <= 15; windowBits++) {
      for (const takeover of [false, true]) {
        for (const level of [-1, 0, 1, 6, 9]) {
          const what = `${windowBits} bits, takeover ${takeover}, level ${level}`;
          const deflater = engine.deflater(windowBits, takeover, { level, memLevel: level === 6 ? 1 : 8 });
          const inflaters = engines.map(([, to]) => to.inflater(windowBits, takeover));
          let history: Uint8Array = new Uint8Array(0);
          for (const message of messages) {
            const payload = await deflater.deflate(message);
            for (const inflater of inflaters) assertSame(await inflater.inflate(payload, message.length), message, what);
            if (level === -1) {
              const { reach } = inflateReference(payload, takeover ? history : new Uint8Array(0))!;
              assertLessOrEqual(reach, 1 << windowBits, what);
              history = joinBytes([history, message]);
            }
          }
          deflater.close();
          for (const inflater of inflaters) inflater.close();
        }
      }
    }
  });

  test(`${name} compresses better with a larger window, and with a higher level`, async () => {
    // Repetitions that only larger and larger windows reach.
    const message = joinBytes([300, 3000, 15_000].map((length) => noise(length)).flatMap((part) => [part, part]));
    const size = async (bytes: Uint8Array, windowBits: number, level: number) => {
      const deflater = engine.deflater(windowBits, false, { level, memLevel: 8 });
      const { length } = await deflater.deflate(bytes);
      deflater.close();
      return length;
    };
    const sizes = [];
    for (const bits of [9, 10, 12, 15]) sizes.push(await size(message, bits, 6));
    for (let i = 1; i < sizes.length; i++) assert(sizes[i - 1] - sizes[i] > 200, `${sizes}`);
    const text = json(20_000);
    assert(await size(text, 15, 0) > text.length);
    assert(await size(text, 15, 1) > await size(text, 15, 9));
    assert(await size(text, 8, 6) < text.length * 0.7);
  });
}

for (const [name, engine] of engines) {
  test(`${name} refuses what refers to earlier messages without takeover, or before the first`, async () => {
    const second = hex("f200110000"); // RFC 7692 section 7.2.3.2
    const hello = new TextEncoder().encode("Hello");
    assertEquals(await engine.inflater(15, false).inflate(second, 100), 1007);
    assertEquals(await engine.inflater(15, true).inflate(second, 100), 1007);
    const inflater = engine.inflater(15, true), shared = engine.inflater(15, false);
    for (const both of [inflater, shared]) assertSame(await both.inflate(hex("f248cdc9c90700"), 100), hello, "the first");
    assertSame(await inflater.inflate(second, 100), hello, "the second");
    assertEquals(await shared.inflate(second, 100), 1007);
    for (const both of [inflater, shared]) {
      assertSame(await both.inflate(hex("00"), 0), new Uint8Array(0), "an empty message");
      assertSame(await both.inflate(hex(""), 0), new Uint8Array(0), "no payload at all");
      both.close();
    }
  });
}
