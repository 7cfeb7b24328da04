// What the tests rely on in @std/assert and @std/streams. Without JSR this tests the stand-ins; with it, the packages.

import {
  assert,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertInstanceOf,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  fail,
} from "@std/assert";
import { TextLineStream, toArrayBuffer, toText } from "@std/streams";
import { Buffer } from "node:buffer";
import { test } from "node:test";

/** Whether an assertion fails. Nothing but an `AssertionError` is a failure. */
async function fails(work: () => unknown): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (error) {
    if ((error as Error).name !== "AssertionError") throw error;
    return true;
  }
}

class Point {
  readonly x: number;
  readonly y: number;

  constructor(x: number, y: number) {
    this.x = x;
    this.y = y;
  }

  get length(): number {
    return Math.hypot(this.x, this.y);
  }
}

class Other extends Point {}

/** An object whose accessor gives a new function each time. */
class Fickle {
  get work(): () => void {
    return () => {};
  }
}

const bare = (properties: object) => Object.assign(Object.create(null), properties);
const circle = () => {
  const self: { a: number; self?: unknown } = { a: 1 };
  self.self = self;
  return self;
};

const equal: [name: string, a: unknown, b: unknown][] = [
  ["NaN", NaN, NaN],
  ["0 and -0", 0, -0],
  ["bytes", new Uint8Array([1, 2]), new Uint8Array([0, 1, 2]).subarray(1)],
  ["buffers", new Uint8Array([1]).buffer, new Uint8Array([1]).buffer],
  ["an object without a prototype and a plain one", bare({ a: 1 }), { a: 1 }],
  ["the order of keys", { a: 1, b: [2, { c: 3 }] }, { b: [2, { c: 3 }], a: 1 }],
  ["instances of a class", new Point(3, 4), new Point(3, 4)],
  ["dates", new Date(5), new Date(5)],
  ["invalid dates", new Date(NaN), new Date(NaN)],
  ["regular expressions", /a/g, /a/g],
  ["URLs", new URL("http://a/?b"), new URL("http://a/?b")],
  ["maps in any order", new Map<unknown, unknown>([[1, { a: 1 }], [2, 3]]), new Map<unknown, unknown>([[2, 3], [1, { a: 1 }]])],
  ["sets", new Set([1, "a"]), new Set(["a", 1])],
  ["circles", circle(), circle()],
];

const unequal: [name: string, a: unknown, b: unknown][] = [
  ["a number and its text", 1, "1"],
  ["null and undefined", null, undefined],
  ["other bytes", new Uint8Array([1, 2]), new Uint8Array([1, 3])],
  ["fewer bytes", new Uint8Array([1, 2]), new Uint8Array([1])],
  ["a Buffer and a Uint8Array with the same bytes", Buffer.from([1]), new Uint8Array([1])],
  ["arrays of other kinds", new Uint8Array([1]), new Int8Array([1])],
  ["an array and its bytes", [1], new Uint8Array([1])],
  ["other buffers", new Uint8Array([1]).buffer, new Uint8Array([2]).buffer],
  ["a key that is undefined, and none", { a: undefined }, {}],
  ["keys that differ", { a: undefined }, { b: undefined }],
  ["a symbol as a key", { [Symbol.iterator]: 1 }, { [Symbol.iterator]: 2 }],
  ["a longer array", [1, 2], [1]],
  ["instances of other classes", new Point(3, 4), new Other(3, 4)],
  ["an instance and a plain object", new Point(3, 4), { x: 3, y: 4 }],
  ["other fields", new Point(3, 4), new Point(4, 3)],
  ["accessors that differ", new Fickle(), new Fickle()],
  ["dates", new Date(5), new Date(6)],
  ["regular expressions", /a/g, /a/],
  ["maps", new Map([[1, 2]]), new Map([[1, 3]])],
  ["sets", new Set([1]), new Set([2])],
  ["functions", () => {}, () => {}],
];

test("@std/assert: what assertEquals and assertNotEquals take for equal", async () => {
  for (const [name, a, b] of equal) {
    assert(!await fails(() => assertEquals(a, b)), name);
    assert(await fails(() => assertNotEquals(a, b)), name);
    assert(!await fails(() => assertEquals([[a]], [[b]])), `${name}, nested`);
  }
  for (const [name, a, b] of unequal) {
    assert(await fails(() => assertEquals(a, b)), name);
    assert(!await fails(() => assertNotEquals(a, b)), name);
    assert(await fails(() => assertEquals({ in: a }, { in: b })), `${name}, nested`);
  }
});

test("@std/assert: each assertion passes and fails", async () => {
  const cases: [name: string, passing: () => unknown, failing: () => unknown][] = [
    ["assert", () => assert(1), () => assert("")],
    ["assertFalse", () => assertFalse(0), () => assertFalse("a")],
    ["assertStrictEquals", () => assertStrictEquals(NaN, NaN), () => assertStrictEquals([], [])],
    ["assertStrictEquals of 0", () => assertStrictEquals(0, 0), () => assertStrictEquals(0, -0)],
    ["assertExists", () => assertExists(0), () => assertExists(null)],
    ["assertInstanceOf", () => assertInstanceOf(new Other(1, 2), Point), () => assertInstanceOf({}, Point)],
    ["assertStringIncludes", () => assertStringIncludes("abc", "b"), () => assertStringIncludes("abc", "d")],
    ["assertMatch", () => assertMatch("abc", /B/i), () => assertMatch("abc", /B/)],
    ["assertGreater", () => assertGreater(2, 1), () => assertGreater(1, 1)],
    ["assertLessOrEqual", () => assertLessOrEqual(1, 1), () => assertLessOrEqual(2, 1)],
    ["fail", () => {}, () => fail()],
  ];
  for (const [name, passing, failing] of cases) {
    assert(!await fails(passing), name);
    assert(await fails(failing), name);
  }
});

/** Fails with an error, or with anything else. */
const failing = (error: unknown = new RangeError("out of range")) => () => {
  throw error;
};

test("@std/assert: assertThrows checks the class and the message, and returns what was thrown", async () => {
  assertStrictEquals(assertThrows(failing("a text")), "a text");
  assertStrictEquals(assertThrows(failing(), RangeError, "of range").message, "out of range");
  assertInstanceOf(assertThrows(failing(), Error), RangeError);
  for (
    const work of [
      () => assertThrows(() => {}),
      () => assertThrows(() => Promise.resolve()),
      () => assertThrows(failing(), TypeError),
      () => assertThrows(failing(), RangeError, "in range"),
      () => assertThrows(failing("a text"), Error),
    ]
  ) assert(await fails(work), String(work));
});

test("@std/assert: assertRejects wants a promise that rejects; a function that throws fails", async () => {
  const rejecting = (error?: unknown) => () => new Promise((_resolve, reject) => reject(error ?? new RangeError("out of range")));
  assertStrictEquals(await assertRejects(rejecting("a text")), "a text");
  assertStrictEquals((await assertRejects(rejecting(), RangeError, "of range")).message, "out of range");
  for (
    const work of [
      () => assertRejects(() => Promise.resolve()),
      () => assertRejects(failing() as () => Promise<void>),
      () => assertRejects((() => 1) as unknown as () => Promise<void>),
      () => assertRejects(rejecting(), TypeError),
      () => assertRejects(rejecting(), RangeError, "in range"),
      () => assertRejects(rejecting("a text"), Error),
    ]
  ) assert(await fails(work), String(work));
});

/** A stream of given chunks. */
function streamOf<Chunk>(...chunks: Chunk[]): ReadableStream<Chunk> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

test("@std/streams: toText joins texts, or bytes that are cut inside a character; toArrayBuffer joins bytes", async () => {
  const bytes = new TextEncoder().encode("a€b");
  assertEquals(await toText(streamOf("a", "", "€b")), "a€b");
  assertEquals(await toText(streamOf(bytes.slice(0, 2), bytes.slice(2, 3), bytes.slice(3))), "a€b");
  assertEquals(await toText(streamOf(bytes.slice(0, 2))), "a\ufffd");
  assertEquals(new Uint8Array(await toArrayBuffer(streamOf(bytes.slice(0, 2), bytes.slice(2)))), bytes);
  assertEquals((await toArrayBuffer(streamOf())).byteLength, 0);
});

test("@std/streams: TextLineStream cuts at LF and CRLF, wherever the chunks end, and keeps what has no line end", async () => {
  const lines = async (...chunks: string[]) => {
    const reader = streamOf(...chunks).pipeThrough(new TextLineStream()).getReader();
    const found: string[] = [];
    for (let next = await reader.read(); !next.done; next = await reader.read()) found.push(next.value);
    return found;
  };
  assertEquals(await lines("a\nb\r\n\n", "c", "d\re\r", "\nf"), ["a", "b", "", "cd\re", "f"]);
  assertEquals([await lines("a\n"), await lines("", "\n"), await lines()], [["a"], [""], []]);
  assertEquals(await lines("a\r"), ["a\r"]);
});
