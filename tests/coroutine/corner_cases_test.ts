// Where a WebSocket of the coroutine style could lose something, hang or hold too much.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { CloseFrame, type Frame } from "../../mod.ts";
import type { HttpResponse } from "../../src/coroutine/mod.ts";
import { settle } from "../support/memory_client.ts";
import { handshake } from "../support/raw_client.ts";
import { acceptLane, arrive, framesIn, join, latin1, next, openLane, sent, serverWith, text } from "./stage.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sends so much that the server does not read any more. */
function flood(lane: Parameters<typeof arrive>[0]): void {
  while (!lane.paused) arrive(lane, sent(2, new Uint8Array(20_000)));
}

test("detach() leaves a WebSocket open behind its handler", async () => {
  let held: HttpResponse | undefined;
  const server = serverWith(async (_request, ws) => {
    await ws.upgrade();
    assert(ws.detach());
    held = ws;
  });
  const lane = acceptLane(server);
  lane.receive(handshake());
  await settle();
  lane.writes.length = 0;
  assert(await held!.push("x"));
  await settle();
  assertEquals(framesIn(lane.text), ["81 x"]);
});

for (const endsBefore of [false, true]) {
  test(`a client that ends its side ${endsBefore ? "before" : "behind"} upgrade(), with a frame in front`, async () => {
    let go = () => {};
    const results: string[] = [];
    const server = serverWith(async (request, ws) => {
      await new Promise<void>((resolve) => go = resolve);
      results.push(`${request.signal.aborted} ${await ws.upgrade()}`);
      for (let i = 0; i < 2; i++) results.push(await next(ws));
    });
    const lane = acceptLane(server);
    lane.receive(join(latin1(handshake()), sent(1, "hi")));
    if (endsBefore) lane.sink.onEnd();
    await settle();
    go();
    while (results.length < 1) await pause(5);
    if (!endsBefore) lane.sink.onEnd();
    while (results.length < 3) await pause(5);
    assertEquals(results, endsBefore ? ["true false", "false 8503", "false 8503"] : ["false true", "1 hi", '""']);
  });
}

test("a small frame that waits does not keep the chunk alive that it came in", async () => {
  const { ws, lane } = await openLane();
  const chunk = join(sent(1, "a"), ...Array.from({ length: 500 }, () => sent(10, "x".repeat(125))));
  let count = 0;
  for (; !lane.paused && count < 5000; count++) arrive(lane, chunk.slice());
  assert(count > 100);
  const buffers = new Set<ArrayBufferLike>();
  for (let i = 0; i < count; i++) buffers.add((await ws.recv() as Frame).bytes.buffer);
  let held = 0;
  for (const { byteLength } of buffers) held += byteLength;
  assert(held < 1 << 20, `${held} bytes are held by ${count} frames of one byte`);
});

test("a peer that was held back is read again when our Close is out, to find its own", async () => {
  for (const ending of ["CloseFrame and return", "shutdown"]) {
    const { ws, lane, server, leave } = await openLane();
    flood(lane);
    if (ending === "shutdown") server.shutdown(0);
    else {
      assert(await ws.push(Object.assign(new CloseFrame(), { code: 1001 })));
      leave();
    }
    await settle();
    assertEquals([framesIn(lane.text), lane.paused], [["88 1001"], false], ending);
  }
});

test("heartbeat_idle_time does not count while the server itself does not read", async () => {
  const { lane } = await openLane({ heartbeat_idle_time: 0.3, websocket_ping_interval: 0 });
  flood(lane);
  await pause(1200);
  assertEquals([lane.ended, lane.aborted], [false, false]);
});

test("a slow reader gets all that was sent before a Close, however long that takes, and the Close", async () => {
  const { ws, lane } = await openLane({ websocket_close_timeout: 2 });
  lane.takes = false;
  for (let i = 0; i < 8; i++) ws.push(new Uint8Array(300 * 1024), 2);
  ws.disconnect();
  const end = () => lane.writes.length === 0 ? "" : text(lane.writes.at(-1)!.bytes.slice(-4));
  for (let i = 0; i < 60 && end() !== "\x88\x02\x03\xe8"; i++) {
    await pause(350); // altogether longer than the timeout
    assert(!lane.aborted, "It was dropped while it was still reading");
    lane.sink.onDrain();
  }
  assertEquals(end(), "\x88\x02\x03\xe8");
  while (!lane.aborted) await pause(50); // it never answers our Close
});

test("for await goes on until the connection closes, whatever socket_read_timeout is", async () => {
  const { ws, lane } = await openLane({ socket_read_timeout: 0.02 });
  const got: unknown[] = [];
  const loop = (async () => {
    for await (const frame of ws) got.push(frame.data);
  })();
  await pause(200);
  arrive(lane, sent(1, "late"));
  await settle();
  ws.close();
  await loop;
  assertEquals(got, ["late"]);
});

test("a Close or a failure that waits for the program comes after websocket_close_timeout", async () => {
  for (const [last, results] of [[sent(8, [3, 232]), "close 1000"], [sent(3), "false 8506"]] as const) {
    const { ws, lane } = await openLane({ websocket_close_timeout: 0.3 });
    arrive(lane, sent(1, "x"), last);
    assertEquals([framesIn(lane.text), lane.ended], [[], false]);
    while (!lane.ended) await pause(20);
    assertEquals(framesIn(lane.text).length, 1);
    assertEquals([await next(ws), await next(ws)], ["1 x", results]);
  }
});

test("a program that pushes on and on without recv() is told that the peer broke the protocol", async () => {
  const { ws, lane } = await openLane({ websocket_close_timeout: 0.3 });
  arrive(lane, sent(1, "a"), sent(3));
  assertEquals(await next(ws), "1 a");
  while (await ws.push("tick")) await pause(20);
  assert(framesIn(lane.text).at(-1)!.startsWith("88 1002"));
});

test("frames that were not taken before our Close are still there behind it, and then the peer's Close", async () => {
  const { ws, lane } = await openLane();
  arrive(lane, sent(1, "a"));
  ws.disconnect(4000);
  arrive(lane, sent(1, "b"), sent(8, [0x0f, 0xa0]));
  assertEquals([await next(ws), await next(ws), await next(ws)], ["1 a", "close 4000", '""']);
  assert(lane.ended);
});

test("shutdown() with more patience than a timer has waits as long as it takes", async () => {
  const { server, lane } = await openLane();
  server.shutdown(1e7);
  await pause(50);
  assertEquals(framesIn(lane.text), []);
  server.shutdown();
  lane.abort();
  await server.finished;
});
