// A program that sends more as soon as the last bytes were taken gives others their turn, also if the system takes everything at once.

import { assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import net from "node:net";
import { test } from "node:test";
import type { Runtime } from "../../mod.ts";
import { OUTPUT_PER_TURN } from "../../adapters/process.ts";
import { lanes } from "../support/lanes.ts";
import { listening, PipeEnd } from "../support/pipe_end.ts";
import { signal } from "../support/serving.ts";

const KIB = 1024;

/** What is sent in all: more than the kernel keeps for a peer that does not read. */
const SUM = 12 * KIB * KIB;

async function checkTurns(runtime: Runtime, size: number, isOwned: boolean): Promise<void> {
  const accepted = signal<PipeEnd>();
  await listening(runtime, {}, (pipe) => accepted.resolve(new PipeEnd(pipe)), async ({ port }) => {
    const client = net.connect({ port, host: "127.0.0.1" });
    const end = await accepted.promise;
    const chunk = new Uint8Array(size).fill(0x61);
    let taken = 0;
    let isOver = false;
    const ended = signal<void>();
    const send = () => {
      do taken += size; while (taken < SUM && end.lane.write(chunk, 0, size, isOwned));
      if (taken < SUM || isOver) return;
      isOver = true;
      end.lane.end();
      ended.resolve();
    };
    end.onDrain = send;
    let before = 0;
    let most = 0;
    const watch = () => {
      most = Math.max(most, taken - before);
      before = taken;
      if (!isOver) setImmediate(watch);
    };
    setImmediate(() => { // the socket of the client is read in another turn than that in which it is written to
      watch();
      send();
    });
    let received = 0;
    for await (const data of client) received += data.length;
    await ended.promise;
    assertEquals(received, taken - size); // the last one was not sent any more
    assertGreater(most, 0);
    assertLessOrEqual(most, OUTPUT_PER_TURN + 2 * size);
  });
}

for (const [name, runtime] of lanes) {
  for (const size of [KIB, 60 * KIB, 256 * KIB]) {
    for (const isOwned of [true, false]) {
      const kind = `${isOwned ? "own" : "lent"} chunks of ${size} bytes`;
      test(`two megabytes are sent in a turn, not more: ${kind} (${name})`, () => checkTurns(runtime, size, isOwned));
    }
  }
}
