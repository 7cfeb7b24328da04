// Memory that is lent to a lane for writing is overwritten at once: each peer gets its own bytes, however slowly it reads.

import { assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import net from "node:net";
import { test } from "node:test";
import type { BytePipe, Runtime } from "../../mod.ts";
import { lanes } from "../support/lanes.ts";
import { listening, PipeEnd } from "../support/pipe_end.ts";
import { signal } from "../support/serving.ts";

const KIB = 1024;
const SIZES = [1, 100, 512, 513, 3000, 4096, 4097, 16 * KIB, 20 * KIB + 1, 64 * KIB, 64 * KIB + 1, 200 * KIB];

/** What each connection is sent in all: much more than the kernel keeps for peers that do not read. */
const SUM = 12 * KIB * KIB;

/** Writes all sizes in turn from one memory, with a pattern for each connection, and waits whenever the lane says so. */
async function writeAll(end: PipeEnd, memory: Uint8Array, seed: number): Promise<string> {
  const hash = createHash("sha1");
  let sum = 0;
  for (let count = 0; sum < SUM; count++) {
    const size = SIZES[(count + seed) % SIZES.length];
    const start = count % 7;
    memory.fill((count * 31 + seed * 17) & 255, start, start + size);
    memory[start] = seed;
    hash.update(memory.subarray(start, start + size));
    const drained = new Promise<void>((resolve) => end.onDrain = resolve);
    const isTaken = end.lane.write(memory, start, start + size, false);
    memory.fill(0xdb);
    if (!isTaken) await drained;
    sum += size;
  }
  end.lane.end();
  return hash.digest("hex");
}

async function checkWrites(runtime: Runtime): Promise<void> {
  const pipes: BytePipe[] = [];
  const accepted = signal<void>();
  const accept = (pipe: BytePipe) => void (pipes.push(pipe) === 4 && accepted.resolve());
  await listening(runtime, {}, accept, async ({ port }) => {
    const clients: net.Socket[] = [];
    for (let i = 0; i < 4; i++) {
      clients.push(net.connect({ port, host: "127.0.0.1" }));
      await new Promise((resolve) => clients[i].once("connect", resolve));
    }
    await accepted.promise;
    const memory = new Uint8Array(200 * KIB + 7);
    const sending = Promise.all(pipes.map((pipe, seed) => writeAll(new PipeEnd(pipe), memory, seed)));
    await new Promise((resolve) => setTimeout(resolve, 100)); // the kernel is full by then, or soon
    const received = clients.map(async (client) => {
      const hash = createHash("sha1");
      for await (const chunk of client) hash.update(chunk);
      return hash.digest("hex");
    });
    const sent = await sending;
    assertEquals((await Promise.all(received)).sort(), sent.sort());
  });
}

for (const [name, runtime] of lanes) test(`lent memory that is written and reused (${name})`, () => checkWrites(runtime));
