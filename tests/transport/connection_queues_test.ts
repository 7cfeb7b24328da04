// Output that waits: whatever way it comes in and is taken out, it is the same bytes in the same order.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { joinBytes } from "../../src/transport/bytes.ts";
import { forgetRuns, OutputQueue } from "../../src/transport/connection_queues.ts";

/** Fills memory with a count that goes on, so that bytes that are lost, doubled or overwritten show. */
class Source {
  #next = 0;
  #parts: Uint8Array[] = [];
  fill(memory: Uint8Array, at: number, size: number): void {
    for (let i = 0; i < size; i++) memory[at + i] = this.#next++ % 251;
    this.note(memory.slice(at, at + size));
  }
  note(bytes: Uint8Array): void {
    this.#parts.push(bytes);
  }
  get all(): Uint8Array {
    return joinBytes(this.#parts);
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
  fc.record({
    kind: fc.constant("shared" as const),
    size: fc.integer({ min: 1, max: 9000 }),
    for: fc.integer({ min: 1, max: 7 }),
  }),
  fc.record({ kind: fc.constant("take" as const) }),
);

test("parts that are gathered, pushed and shared come out as one stream, however they are taken", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 70_000 }), (steps, most) => {
    const queues = [new OutputQueue(), new OutputQueue(), new OutputQueue()]; // they share a slab, and runs
    const sources = queues.map(() => new Source());
    const taken: Uint8Array[][] = queues.map(() => []);
    for (const one of steps) {
      const shared = one.kind === "shared" ? new Uint8Array(one.size).fill(252) : undefined;
      for (const [i, queue] of queues.entries()) {
        if (one.kind === "small") {
          const memory = queue.reserve(one.size + one.spare, one.waits);
          assert(memory.length - queue.at >= one.size + one.spare);
          sources[i].fill(memory, queue.at, one.size);
          queue.commit(one.size);
        } else if (one.kind === "shared") {
          if ((one.for & (1 << i)) === 0) continue; // only some of them send it
          if (!queue.share(shared!)) queue.push(shared!);
          sources[i].note(shared!);
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
      assertEquals(joinBytes(taken[i]), sources[i].all);
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

test("queues that send the same chunks in the same order get one joined chunk for all of them", () => {
  forgetRuns();
  const [a, b, c] = [1, 2, 3].map((byte) => new Uint8Array(100).fill(byte));
  const queues = Array.from({ length: 4 }, () => new OutputQueue());
  for (const chunk of [a, b, c]) for (const queue of queues.slice(0, 3)) assert(queue.share(chunk));
  for (const chunk of [a, c]) assert(queues[3].share(chunk));
  queues[2].reserve(5, false);
  queues[2].commit(5);
  const taken = queues.map((queue) => queue.take(1 << 20));
  assertEquals(taken[0], joinBytes([a, b, c]));
  assert(taken[1] === taken[0]);
  assertEquals([taken[2].length, queues[2].bytes], [305, 0]);
  assertEquals(taken[3], joinBytes([a, c]));
});

test("a run ends at 64 KiB, and a queue with bytes of its own has none", () => {
  const chunk = new Uint8Array(32 * 1024);
  const queue = new OutputQueue();
  assertEquals([queue.share(chunk), queue.share(chunk), queue.share(Uint8Array.of(1))], [true, true, false]);
  const own = new OutputQueue();
  own.reserve(1, false);
  own.commit(1);
  assertEquals(own.share(chunk), false);
});
