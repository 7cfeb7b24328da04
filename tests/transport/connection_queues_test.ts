// Output that waits: whatever way it comes in and is taken out, it is the same bytes in the same order.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { joinBytes } from "../../src/transport/bytes.ts";
import { OutputQueue } from "../../src/transport/connection_queues.ts";

/** Fills memory with a count that goes on, so that bytes that are lost, doubled or overwritten show. */
class Source {
  #next = 0;
  fill(memory: Uint8Array, at: number, size: number): void {
    for (let i = 0; i < size; i++) memory[at + i] = this.#next++ % 251;
  }
  get count(): number {
    return this.#next;
  }
}

function takeAll(queue: OutputQueue, most: number, into: Uint8Array[]): void {
  while (queue.bytes > 0) {
    const chunk = queue.take(most);
    assert(queue.end > queue.start);
    into.push(chunk.slice(queue.start, queue.end));
  }
}

const step = fc.oneof(
  fc.record({
    kind: fc.constant("small" as const),
    size: fc.integer({ min: 1, max: 200 }),
    spare: fc.nat(100),
    waits: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("small" as const),
    size: fc.integer({ min: 1, max: 6000 }),
    spare: fc.nat(9),
    waits: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("large" as const), size: fc.integer({ min: 1, max: 100_000 }) }),
  fc.record({ kind: fc.constant("take" as const) }),
);

test("parts that are gathered and parts that are pushed come out as one stream, however they are taken", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 70_000 }), (steps, most) => {
    const queues = [new OutputQueue(), new OutputQueue()]; // two of them share a slab
    const sources = queues.map(() => new Source());
    const taken: Uint8Array[][] = queues.map(() => []);
    for (const one of steps) {
      for (const [i, queue] of queues.entries()) {
        if (one.kind === "small") {
          const memory = queue.reserve(one.size + one.spare, one.waits);
          assert(memory.length - queue.at >= one.size + one.spare);
          sources[i].fill(memory, queue.at, one.size);
          queue.commit(one.size);
        } else if (one.kind === "large") {
          const bytes = new Uint8Array(one.size);
          sources[i].fill(bytes, 0, one.size);
          queue.push(bytes);
        } else if (queue.bytes > 0) {
          const chunk = queue.take(most);
          taken[i].push(chunk.slice(queue.start, queue.end));
        }
      }
    }
    for (const [i, queue] of queues.entries()) {
      takeAll(queue, most, taken[i]);
      const expected = new Uint8Array(sources[i].count);
      new Source().fill(expected, 0, expected.length);
      assertEquals(joinBytes(taken[i]), expected);
    }
  }));
});

test("what is gathered in one turn is one chunk, and a queue of small parts is at most twice as large as what is in it", () => {
  const queue = new OutputQueue();
  for (let i = 0; i < 40; i++) {
    queue.reserve(66, true);
    queue.commit(66);
  }
  const chunk = queue.take(1 << 20);
  assertEquals([queue.start, queue.end, queue.bytes], [0, 40 * 66, 0]);
  assert(chunk.length <= 2 * 40 * 66, `${chunk.length} bytes`);
});
