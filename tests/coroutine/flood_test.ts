/** What a peer can make a server hold that does not ask for it, and what becomes of it. */

import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { test } from "node:test";
import type { FakeLane } from "../support/fake_lane.ts";
import { lanes } from "../support/lanes.ts";
import { settle } from "../support/memory_client.ts";
import { memoryPipes } from "../support/memory_pipe.ts";
import { frame, handshake, RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";
import type { HttpResponse } from "../../src/coroutine/mod.ts";
import type { Frame } from "../../mod.ts";
import { arrive, awake, framesIn, next, openLane, sent, serverWith, servingOn } from "./stage.ts";

const KIB = 1024;

/** Sends messages until the peer is not read any more. Returns how many. */
function flood(lane: FakeLane, message: () => Uint8Array): number {
  for (let count = 0; count < 100_000; count++) {
    if (lane.paused) return count;
    lane.receive(message());
  }
  throw new Error("It is read for ever");
}

test("a peer whose messages nobody receives is not read from 1 MiB on, and again when half of that is taken", async () => {
  const { ws, lane } = await openLane();
  const payload = new Uint8Array(4 * KIB);
  const count = flood(lane, () => sent(2, payload));
  assertLessOrEqual(count * payload.length, 1024 * KIB);
  assertGreater(count * payload.length, 940 * KIB); // each message counts 320 bytes more
  let taken = 0;
  while (lane.paused) {
    assertEquals((await ws.recv() as Frame).bytes.length, payload.length);
    taken++;
  }
  assertLessOrEqual(taken, count - 1);
  assertGreater(taken, count / 2 - 2);
  assertGreater(flood(lane, () => sent(2, payload)), 0);
});

test("empty messages count too, and pings and pongs that the program asked for", async () => {
  for (const opcode of [1, 2, 9, 10]) {
    const { lane } = await openLane({ open_websocket_ping_frame: true, open_websocket_pong_frame: true });
    assertLessOrEqual(flood(lane, () => sent(opcode)), 8192, `opcode ${opcode}`);
  }
});

test("nothing that was received is lost or out of order when the program is slow", async () => {
  const { ws, lane } = await openLane();
  let number = 0;
  let taken = 0;
  for (let round = 0; round < 20; round++) {
    flood(lane, () => sent(1, `${number++} ${"x".repeat(number % 700)}`));
    for (let i = 0; i < 60 && taken < number; i++) {
      const received = await ws.recv();
      assert(typeof received === "object" && String(received.data).startsWith(`${taken++} `));
    }
  }
  ws.disconnect();
  assertEquals(lane.paused, false);
});

test("recv() with a full backlog, then the end: all of it comes first", async () => {
  const { ws, lane } = await openLane();
  let number = 0;
  flood(lane, () => sent(1, `${number++}`));
  lane.sink.onEnd();
  for (let i = 0; i < number; i++) assertEquals(await next(ws), `1 ${i}`);
  assertEquals(await next(ws), '""');
});

test("a peer that is not read is read again when its connection is closed, one way or another", async () => {
  for (const how of ["disconnect", "close", "return", "failure"] as const) {
    const { ws, lane, leave, fail } = await openLane();
    flood(lane, () => sent(2, new Uint8Array(KIB)));
    if (how === "disconnect") ws.disconnect();
    else if (how === "close") ws.close();
    else if (how === "return") leave();
    else fail(new Error("on purpose"));
    await settle();
    assertEquals(lane.paused, false, how);
    if (how === "disconnect" || how === "return") {
      arrive(lane, sent(1, "dropped"), sent(8, [3, 232]));
      assertEquals([framesIn(lane.text), lane.ended], [["88 1000"], true], how);
    }
  }
});

test("of the pings of a peer that does not read the pongs the last one is answered when it does", async () => {
  const { lane } = await openLane({ buffer_high_watermark: 100 * KIB });
  lane.takes = false;
  for (let i = 0; i < 10_000; i++) lane.receive(sent(9, `${i}`.padEnd(125)));
  const first = lane.text.length;
  lane.takes = true;
  lane.sink.onDrain();
  await settle();
  const sentBytes = lane.text.length - first;
  assertLessOrEqual(sentBytes, 102 * KIB);
  assert(lane.text.endsWith("9999".padEnd(125)), lane.text.slice(-130));
  assertEquals(lane.paused, false);
});

test("keepalive does not end a connection whose program is slow to receive", async () => {
  const { ws, lane } = await openLane({ websocket_ping_interval: 0.1, websocket_ping_timeout: 0.1 });
  const count = flood(lane, () => sent(2, new Uint8Array(KIB)));
  await new Promise((resolve) => setTimeout(resolve, 1000)); // ten times as long
  assertEquals([lane.aborted, lane.ended], [false, false]);
  for (let i = 0; i < count; i++) assertEquals((await ws.recv() as Frame).opcode, 2);
  assertEquals(lane.paused, false);
  ws.close();
});

test("keepalive ends a connection whose peer is silent, although the program waits in recv()", async () => {
  const { ws, lane } = await openLane({ websocket_ping_interval: 0.2, websocket_ping_timeout: 0.2 });
  assertEquals(await awake(next(ws)), '""');
  assertEquals([framesIn(lane.text), lane.aborted], [["89"], true]);
});

test("keepalive ends a connection that was held back, when its peer is silent after it is read again", async () => {
  const { ws, lane } = await openLane({ websocket_ping_interval: 0.2, websocket_ping_timeout: 0.2 });
  const count = flood(lane, () => sent(2, new Uint8Array(KIB)));
  for (let i = 0; i < count; i++) await ws.recv();
  assertEquals(await awake(next(ws)), '""');
  assertEquals(lane.aborted, true);
});

test("a peer that answers pings lives", async () => {
  const { ws, lane } = await openLane({ websocket_ping_interval: 0.1, websocket_ping_timeout: 1.5 });
  const timer = setInterval(() => arrive(lane, sent(10)), 50);
  assertEquals(await next(ws, 2.5), "false 110");
  clearInterval(timer);
  assertEquals([lane.aborted, await ws.push("x")], [false, true]);
  ws.close();
});

for (const [name, runtime] of lanes) {
  test(`a flooding peer is held up by TCP until recv() takes what it has sent, and gets through (${name})`, async () => {
    const opened = signal<HttpResponse>();
    const finish = signal();
    const server = serverWith(async (_request, ws) => {
      await ws.upgrade();
      opened.resolve(ws);
      await finish.promise;
    });
    await servingOn(runtime, server, async (port) => {
      const client = await RawClient.open(port);
      const ws = await opened.promise;
      const message = frame({ opcode: 2, payload: new Uint8Array(100 * KIB).fill(1) });
      const total = 300; // 30 MiB: more than the system takes for us
      let written = 0;
      const writing = (async () => {
        for (; written < total; written++) {
          await new Promise<void>((resolve) => client.socket.write(message, () => resolve()));
        }
      })();
      for (let last = -1; written !== last;) { // until nothing more is taken
        last = written;
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      assertLessOrEqual(written, total - 50);
      for (let i = 0; i < total; i++) assertEquals((await ws.recv() as Frame).bytes.length, 100 * KIB);
      await writing;
      finish.resolve();
      assertEquals((await client.readFrame())?.opcode, 8);
      client.destroy();
    });
  });
}

test("a stream lane is held back too: what a peer writes is not taken while nobody receives", async () => {
  const opened = signal<HttpResponse>();
  const server = serverWith(async (_request, ws) => {
    await ws.upgrade();
    opened.resolve(ws);
    await new Promise(() => {});
  });
  const [pipe, own] = memoryPipes();
  server.accept(pipe);
  const writer = own.writable.getWriter();
  writer.write(new TextEncoder().encode(handshake()));
  const ws = await opened.promise;
  let taken = 0;
  for (let i = 0; i < 1000; i++) writer.write(sent(2, new Uint8Array(4 * KIB))).then(() => taken++, () => {});
  await settle();
  assertLessOrEqual(taken, 260);
  for (let i = 0; i < 1000; i++) assertEquals((await ws.recv() as Frame).bytes.length, 4 * KIB);
  ws.close();
});
