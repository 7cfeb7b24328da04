import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { native } from "../../adapters/common.ts";
import { MemorySink } from "../../src/transport/bytes.ts";
import { useNativeFunctions } from "../../src/transport/current_runtime.ts";
import { writeFrame, writeTextFrame } from "../../src/websocket/encoder.ts";
import { bytesOf, hex } from "../support/raw_client.ts";
import { RecordedDecoder, toHex } from "./recorder.ts";

/** A sink whose memory is shared by many frames and begins anywhere, as that of a connection is. */
class SharedSink extends MemorySink {
  readonly shared: Uint8Array;
  #at: number;

  constructor(size: number, at: number) {
    super();
    this.shared = new Uint8Array(size).fill(0xee).subarray(1);
    this.#at = at;
  }

  override reserve(size: number): number {
    this.memory = this.shared;
    assert(this.#at + size <= this.shared.length);
    return this.#at;
  }

  override commit(size: number): void {
    this.append(this.shared.slice(this.#at, this.#at + size));
    this.#at += size;
  }
}

const KEY = 0x3d21fa37;

/** Encodes a frame with the web's functions and with native ones, which do the same. */
function encode(first: number, payload: string | Uint8Array, key?: number): Uint8Array {
  const [portable, inNativeCode] = [undefined, native].map((functions) => {
    useNativeFunctions(functions);
    return encodeNow(first, payload, key);
  });
  assertEquals(inNativeCode, portable);
  return portable;
}

function encodeNow(first: number, payload: string | Uint8Array, key?: number): Uint8Array {
  const sink = new MemorySink();
  const size = typeof payload === "string"
    ? writeTextFrame(sink, first, payload, key)
    : writeFrame(sink, first, payload, 0, payload.length, key);
  const bytes = sink.take();
  assertEquals(bytes.length, size);
  return bytes;
}

test("writeFrame and writeTextFrame give the examples of RFC 6455 section 5.7", () => {
  for (const payload of ["Hello", bytesOf("Hello")]) {
    assertEquals(toHex(encode(0x81, payload)), "810548656c6c6f");
    assertEquals(toHex(encode(0x81, payload, KEY)), "818537fa213d7f9f4d5158");
  }
  assertEquals(toHex(encode(0x01, "Hel")), "010348656c");
  assertEquals(toHex(encode(0x80, "lo")), "80026c6f");
  assertEquals(toHex(encode(0x89, bytesOf("Hello"))), "890548656c6c6f");
  assertEquals(toHex(encode(0x82, new Uint8Array(256)).subarray(0, 4)), "827e0100");
  assertEquals(toHex(encode(0x82, new Uint8Array(65536)).subarray(0, 10)), "827f0000000000010000");
});

/** The header that a payload needs: the shortest form (section 5.2). */
function header(first: number, length: number, key: string): string {
  const bit = key === "" ? 0 : 0x80;
  const two = (value: number) => value.toString(16).padStart(2, "0");
  if (length < 126) return two(first) + two(bit | length) + key;
  if (length < 65536) return two(first) + two(bit | 126) + length.toString(16).padStart(4, "0") + key;
  return two(first) + two(bit | 127) + length.toString(16).padStart(16, "0") + key;
}

test("Every form of the length is as short as it can be, for bytes and for texts of one to four bytes per character", () => {
  const lengths = [
    0,
    1,
    20,
    23,
    24,
    25,
    47,
    48,
    49,
    124,
    125,
    126,
    127,
    128,
    4095,
    8192,
    8193,
    32767,
    32768,
    32769,
    65535,
    65536,
  ];
  for (const [key, keyDigits] of [[undefined, ""], [0x00000000, "00000000"], [-1, "ffffffff"]] as const) {
    const decoded = (digits: string) => key === -1 ? toHex(hex(digits).map((byte) => byte ^ 0xff)) : digits;
    for (const length of lengths) {
      const bytes = Uint8Array.from({ length }, (_, i) => i * 7);
      assertEquals(toHex(encode(0x82, bytes, key)), header(0x82, length, keyDigits) + decoded(toHex(bytes)));
      for (const character of ["a", "é", "€", "😀"]) {
        for (const text of [character.repeat(length / character.length), "a".repeat(Math.max(0, length - 2)) + character]) {
          const encoded = bytesOf(text);
          const expected = header(0x81, encoded.length, keyDigits) + decoded(toHex(encoded));
          assertEquals(toHex(encode(0x81, text, key)), expected, `${length} times ${character}`);
        }
      }
    }
  }
});

test("writeFrame takes a part of the bytes and leaves them as they are, masked or not", () => {
  for (const length of [0, 5, 23, 24, 200, 40_000]) {
    const memory = Uint8Array.from({ length: length + 20 }, (_, i) => i * 11);
    const before = memory.slice();
    for (const key of [undefined, KEY]) {
      const sink = new MemorySink();
      writeFrame(sink, 0x82, memory, 10, 10 + length, key);
      assertEquals(toHex(sink.take()), toHex(encode(0x82, memory.slice(10, 10 + length), key)));
      assertEquals(memory, before);
    }
  }
});

test("writeFrame passes large payloads on by reference if they stay as they are, and copies all others", () => {
  const kept: Uint8Array[] = [];
  const sink = new class extends MemorySink {
    override append(bytes: Uint8Array): void {
      kept.push(bytes);
    }
  }();
  const small = new Uint8Array(32 * 1024);
  const large = new Uint8Array(32 * 1024 + 1);
  writeFrame(sink, 0x82, small, 0, small.length);
  assertEquals(kept.length, 0);
  writeFrame(sink, 0x82, large, 0, large.length);
  assertEquals(kept.length, 0);
  writeFrame(sink, 0x82, large, 0, large.length, undefined, true);
  assertEquals(kept.map(({ buffer, length }) => [buffer === large.buffer, length]), [[true, large.length]]);
  writeFrame(sink, 0x82, large, 0, large.length, KEY, true); // what is masked cannot be shared
  assertEquals(kept.length, 1);
});

test("A lone surrogate becomes U+FFFD, so that what is sent is UTF-8", () => {
  for (const text of ["\ud83d", "a\ud800b", "x".repeat(100) + "\udc00", "\ud800".repeat(126)]) {
    const expected = bytesOf(text);
    assertEquals(toHex(encode(0x81, text).subarray(-expected.length)), toHex(expected));
    assertEquals(toHex(expected).includes("efbfbd"), true);
  }
});

const anyPayload = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300, size: "max" }).map((text) => text.toWellFormed()),
  fc.string({ maxLength: 140, size: "max" }),
  fc.uint8Array({ maxLength: 300, size: "max" }),
  // Around the borders of the forms of the length, and of what is copied.
  fc.tuple(fc.constantFrom(126, 65536, 32 * 1024, 8192), fc.integer({ min: -3, max: 3 }), fc.boolean()).map((
    [border, more, text],
  ) => text ? "é".repeat((border + more) >> 1) : new Uint8Array(border + more).fill(border)),
);
const anyKey = fc.oneof(fc.constant(undefined), fc.integer({ min: -0x80000000, max: 0x7fffffff }));

test("MessageDecoder reads what writeFrame and writeTextFrame wrote: both roles, any key, all forms of the length", () => {
  const anyFrames = fc.array(fc.tuple(anyPayload, anyKey), { minLength: 1, maxLength: 4, size: "max" });
  fc.assert(
    fc.property(anyFrames, fc.boolean(), fc.nat({ max: 9 }), (list, masked, at) => {
      const sink = new SharedSink(1 << 20, at);
      const recorded = new RecordedDecoder({ masked, maxLength: 1 << 20 });
      for (const [payload, key = 0] of list) {
        const maskingKey = masked ? key : undefined;
        if (typeof payload === "string") writeTextFrame(sink, 0x81, payload, maskingKey);
        else writeFrame(sink, 0x82, payload, 0, payload.length, maskingKey);
      }
      recorded.decoder.receive(sink.take());
      assertEquals(
        recorded.notes,
        list.map(([payload]) => ({
          what: "message",
          number: typeof payload === "string" ? 1 : 2,
          text: toHex(bytesOf(payload)),
        })),
      );
    }),
    { numRuns: 400 },
  );
});
