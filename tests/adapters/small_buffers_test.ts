// Small buffers are pieces of larger memories, which are used again, and released when many of their buffers are spare.

import { assertEquals, assertLessOrEqual, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { SmallBuffers } from "../../adapters/small_buffers.ts";

const SIZE = 512;
const MEMORY = 32 * SIZE;

const takeMany = (buffers: SmallBuffers, count: number) => Array.from({ length: count }, () => buffers.take());

test("no two buffers in use share bytes", () => {
  const buffers = new SmallBuffers(SIZE);
  const taken = takeMany(buffers, 33);
  for (const [index, buffer] of taken.entries()) buffer.fill(index);
  for (const [index, buffer] of taken.entries()) {
    assertEquals([...buffer], Array(SIZE).fill(index));
  }
  assertEquals(buffers.bytes, 2 * MEMORY);
});

test("a buffer given back is used again", () => {
  const buffers = new SmallBuffers(SIZE);
  const [first] = takeMany(buffers, 32);
  buffers.give(first);
  assertStrictEquals(buffers.take(), first);
  assertEquals(buffers.bytes, MEMORY);
});

test("buffers of whoever comes and leaves take no new memory", () => {
  const buffers = new SmallBuffers(SIZE);
  const taken = takeMany(buffers, 64);
  for (let i = 0; i < 10_000; i++) {
    buffers.give(taken.splice((i * 7) % taken.length, 1)[0]);
    taken.push(buffers.take());
  }
  assertEquals(new Set(taken).size, 64);
  assertEquals(buffers.bytes, 2 * MEMORY);
});

test("when all have left, eight memories are kept, and one in use", () => {
  const buffers = new SmallBuffers(SIZE);
  for (let round = 0; round < 3; round++) {
    const taken = takeMany(buffers, 10_000);
    assertEquals(new Set(taken).size, 10_000);
    assertLessOrEqual(buffers.bytes, 10_000 * SIZE + 9 * MEMORY);
    for (const buffer of taken) buffers.give(buffer);
    assertLessOrEqual(buffers.bytes, 9 * MEMORY);
  }
});

test("memory of which a buffer is in use stays, and its other buffers are used first", () => {
  const buffers = new SmallBuffers(SIZE);
  const taken = takeMany(buffers, 3200);
  const staying = taken.filter((_, index) => index % 32 === 0);
  for (const buffer of taken) {
    if (!staying.includes(buffer)) buffers.give(buffer);
  }
  assertEquals(buffers.bytes, 100 * MEMORY);
  const more = takeMany(buffers, 3100);
  assertEquals(buffers.bytes, 100 * MEMORY);
  assertEquals(new Set([...staying, ...more]).size, 3200);
});

test("256 buffers may be spare beside those of the memory in use; with 32 more, they are released", () => {
  const buffers = new SmallBuffers(SIZE);
  for (const memories of [9, 10]) {
    for (const buffer of takeMany(buffers, memories * 32)) buffers.give(buffer);
    assertEquals(buffers.bytes, 9 * MEMORY);
  }
});
