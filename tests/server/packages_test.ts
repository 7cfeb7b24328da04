import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { LENGTH_TYPES, type LengthType, type PackageOptions, PackageSplitter } from "../../src/server/raw/packages.ts";
import { bytesOf } from "../support/raw_client.ts";

const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** What comes out of chunks: the packages, then why it stopped. */
function split(options: PackageOptions, chunks: Iterable<Uint8Array>): { packages: string[]; failure: number; held: number } {
  const splitter = new PackageSplitter(options);
  const packages: string[] = [];
  for (const chunk of chunks) {
    splitter.receive(new Uint8Array(chunk), true, (bytes) => {
      packages.push(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
      return true;
    });
  }
  return { packages, failure: splitter.failure, held: splitter.heldBytes };
}

/** Cuts bytes at any places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((end, i) => bytes.subarray(sorted[i], end)).filter((part) => part.length > 0);
}

const eof = (text: string, more: Partial<PackageOptions> = {}): PackageOptions => ({
  maxLength: 100,
  eof: bytesOf(text),
  split: true,
  ...more,
});
const byLength = (type: LengthType, offset = 0, bodyOffset = 0, maxLength = 1000): PackageOptions => ({
  maxLength,
  length: { type, offset, bodyOffset },
});

test("packages with an end mark are split behind each mark, which they keep", () => {
  assertEquals(split(eof("\r\n"), [bytesOf("a\r\nbc\r\n\r\nd")]), { packages: ["a\r\n", "bc\r\n", "\r\n"], failure: 0, held: 1 });
  assertEquals(split(eof("\r\n"), [bytesOf("a\r"), bytesOf("\nb"), bytesOf("\r\n")]).packages, ["a\r\n", "b\r\n"]);
  assertEquals(split(eof("aab"), [bytesOf("aa"), bytesOf("ab")]).packages, ["aaab"]);
});

test("without splitting, what has arrived is delivered when it ends with the mark", () => {
  const check = eof("\r\n", { split: false });
  assertEquals(split(check, [bytesOf("a\r\nb\r\n")]).packages, ["a\r\nb\r\n"]);
  assertEquals(split(check, [bytesOf("a\r\nb"), bytesOf("c\r"), bytesOf("\n"), bytesOf("d\r\n")]).packages, [
    "a\r\nbc\r\n",
    "d\r\n",
  ]);
});

test("every type of length is read as PHP packs it", () => {
  const cases: [LengthType, number[]][] = [
    ["c", [3]],
    ["C", [3]],
    ["s", LITTLE ? [3, 0] : [0, 3]],
    ["S", LITTLE ? [3, 0] : [0, 3]],
    ["n", [0, 3]],
    ["v", [3, 0]],
    ["l", LITTLE ? [3, 0, 0, 0] : [0, 0, 0, 3]],
    ["L", LITTLE ? [3, 0, 0, 0] : [0, 0, 0, 3]],
    ["N", [0, 0, 0, 3]],
    ["V", [3, 0, 0, 0]],
  ];
  assertEquals(cases.map(([type]) => type).sort(), [...LENGTH_TYPES].sort());
  for (const [type, head] of cases) {
    const one = new Uint8Array([...head, 97, 98, 99]);
    const { packages } = split(byLength(type, 0, head.length), [one, one]);
    const whole = String.fromCharCode(...one);
    assertEquals(packages, [whole, whole], type);
  }
});

test("the length may lie anywhere, and count from anywhere", () => {
  // Type, length of the body, serial number; then the body.
  const one = new Uint8Array([1, 0, 2, 9, 9, 97, 98]);
  assertEquals(split(byLength("n", 1, 5), [one, one]).packages.length, 2);
  const counted = new Uint8Array([0, 4, 97, 98]); // counts itself
  assertEquals(split(byLength("n", 0, 0), [counted, counted]).packages.length, 2);
});

test("a length that cannot be, or is too large, is told apart, and nothing follows", () => {
  const fails = (options: PackageOptions, bytes: number[]) => split(options, [new Uint8Array(bytes), bytesOf("more")]);
  assertEquals(fails(byLength("c", 0, 1), [0xff, 1]), { packages: [], failure: 1204, held: 0 });
  assertEquals(fails(byLength("C", 0, 0), [0, 1]), { packages: [], failure: 1204, held: 0 });
  assertEquals(fails(byLength("C", 0, 1, 10), [10, 1]), { packages: [], failure: 1201, held: 0 });
  assertEquals(split(byLength("C", 0, 1, 10), [new Uint8Array([9, 1, 2, 3, 4, 5, 6, 7, 8, 9])]).packages.length, 1);
  assertEquals(fails(byLength("N", 0, 4), [0xff, 0xff, 0xff, 0xff]).failure, 1201);
  assertEquals(split(eof("\n", { maxLength: 4 }), [bytesOf("abc\n"), bytesOf("abcd"), bytesOf("\n")]), {
    packages: ["abc\n"],
    failure: 1201,
    held: 0,
  });
});

test("a function tells the length instead: 0 for more bytes, below 0 for none", () => {
  // Digits, a colon, so many bytes, a comma.
  const measure = (data: Uint8Array) => {
    const colon = data.indexOf(58);
    return colon < 0 ? 0 : colon === 0 ? -1 : colon + 2 + Number(new TextDecoder().decode(data.subarray(0, colon)));
  };
  const options: PackageOptions = { maxLength: 20, length: { type: "N", offset: 0, bodyOffset: 0, measure } };
  assertEquals(split(options, [bytesOf("3:abc,1"), bytesOf(":d,0:,")]).packages, ["3:abc,", "1:d,", "0:,"]);
  assertEquals(split(options, [bytesOf(":x")]).failure, 1204);
  assertEquals(split(options, [bytesOf("x:x")]).failure, 1204); // NaN
  assertEquals(split(options, [bytesOf("1".repeat(19))]).failure, 0);
  assertEquals(split(options, [bytesOf("1".repeat(20))]).failure, 1202);
});

const anyOptions: fc.Arbitrary<PackageOptions> = fc.oneof(
  fc.record({ maxLength: fc.integer({ min: 1, max: 30 }), eof: fc.array(fc.constantFrom(0, 1), { minLength: 1, maxLength: 4 }) })
    .map(({ maxLength, eof }) => ({ maxLength, eof: new Uint8Array(eof), split: true })),
  fc.record({
    type: fc.constantFrom(...LENGTH_TYPES),
    offset: fc.integer({ min: 0, max: 3 }),
    bodyOffset: fc.integer({ min: 0, max: 8 }),
    maxLength: fc.integer({ min: 8, max: 40 }),
  }).map(({ type, offset, bodyOffset, maxLength }) => byLength(type, offset, bodyOffset, maxLength)),
);
const anyBytes = fc.array(fc.oneof(fc.constantFrom(0, 1, 2, 3), fc.constantFrom(5, 30, 200)), { maxLength: 120, size: "max" });

test("however a stream is cut, the same packages come out, and the same failure", () => {
  fc.assert(
    fc.property(anyOptions, anyBytes, fc.array(fc.nat(), { maxLength: 10 }), (options, stream, places) => {
      const bytes = new Uint8Array(stream);
      const whole = split(options, [bytes]);
      const bytewise = split(options, Array.from(bytes, (byte) => new Uint8Array([byte])));
      assertEquals([bytewise.packages, bytewise.failure], [whole.packages, whole.failure]);
      const cutUp = split(options, cut(bytes, places));
      assertEquals([cutUp.packages, cutUp.failure], [whole.packages, whole.failure]);
      if (whole.failure === 0) {
        assertEquals([bytewise.held, cutUp.held], [whole.held, whole.held]);
        assertEquals(whole.packages.join("").length + whole.held, bytes.length);
      }
    }),
    { numRuns: 2000 },
  );
});

test("what is held is never more than a package may have", () => {
  fc.assert(
    fc.property(anyOptions, anyBytes, (options, stream) => {
      const splitter = new PackageSplitter(options);
      for (const byte of stream) {
        splitter.receive(new Uint8Array([byte]), true, (bytes) => {
          assertLessOrEqual(bytes.length, options.maxLength);
          return true;
        });
        assertLessOrEqual(splitter.heldBytes, options.maxLength);
      }
    }),
  );
});

test("nothing more is delivered once nobody wants it", () => {
  const splitter = new PackageSplitter(eof("\n"));
  let count = 0;
  splitter.receive(bytesOf("a\nb\nc\n"), true, () => ++count < 2);
  assertEquals(count, 2);
});

test("a delivered package is not written over by what follows", () => {
  const splitter = new PackageSplitter(eof("\n"));
  const kept: Uint8Array[] = [];
  for (const part of ["a", "a\nb", "b\n", "c\n"]) splitter.receive(bytesOf(part), true, (bytes) => kept.push(bytes) > 0);
  assertEquals(kept.map((bytes) => new TextDecoder().decode(bytes)), ["aa\n", "bb\n", "c\n"]);
  assert(kept.every((bytes) => bytes.constructor === Uint8Array));
});
