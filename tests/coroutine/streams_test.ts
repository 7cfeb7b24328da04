/** The other ways to read and write a WebSocket: as an iterable, and as two streams. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import type { Frame } from "../../mod.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { arrive, drain, framesIn, next, open, openLane, readFrame, sent, serverWith } from "./stage.ts";

test("for await gives the data frames until the peer closes, and nothing else", async () => {
  const settings = { open_websocket_ping_frame: true, open_websocket_pong_frame: true };
  for (const end of [sent(8, [3, 232]), undefined]) {
    const { ws, lane } = await openLane(settings);
    arrive(lane, sent(1, "a"), sent(9, "p"), sent(2, "b"), sent(10, "q"), sent(1, ""));
    if (end !== undefined) arrive(lane, end);
    else lane.sink.onEnd();
    const frames: Frame[] = [];
    for await (const frame of ws) frames.push(frame);
    assertEquals(frames.map(({ opcode, data }) => [opcode, data]), [[1, "a"], [2, new TextEncoder().encode("b")], [1, ""]]);
    assertEquals(await next(ws), "false 9");
  }
});

test("for await ends when the connection fails, and getLastError() tells why", async () => {
  const { ws, lane } = await openLane();
  arrive(lane, sent(1, "a"), sent(1, [0xff]));
  let count = 0;
  for await (const _frame of ws) count++;
  assertEquals([count, ws.getLastError()], [1, 8506]);
});

test("break out of for await leaves the connection usable: recv() and another for await go on behind it", async () => {
  const { ws, lane } = await openLane();
  arrive(lane, sent(1, "1"), sent(1, "2"), sent(1, "3"), sent(1, "4"));
  for await (const frame of ws) if (frame.data === "1") break;
  assertEquals([await next(ws), await ws.push("x")], ["1 2", true]);
  for await (const frame of ws) {
    assertEquals(frame.data, "3");
    break;
  }
  await assertRejects(
    async () => {
      for await (const _frame of ws) throw new Error("from the loop");
    },
    Error,
    "from the loop",
  );
  lane.sink.onEnd();
  assertEquals(await next(ws), '""');
});

test("readable gives texts and bytes, and closes with the connection", async () => {
  const { ws, lane } = await openLane();
  arrive(lane, sent(1, "héllo"), sent(2, [1, 2]), sent(8, [3, 232]));
  const chunks: unknown[] = [];
  for await (const chunk of ws.readable) chunks.push(chunk);
  assertEquals(chunks, ["héllo", Uint8Array.of(1, 2)]);
  assert(ws.readable === ws.readable && ws.writable === ws.writable);
});

test("readable takes a message only when it is read: a peer whose stream nobody reads is held back", async () => {
  const { ws, lane } = await openLane();
  const reader = ws.readable.getReader();
  const payload = new Uint8Array(8 * 1024);
  let count = 0;
  for (; !lane.paused; count++) arrive(lane, sent(2, payload));
  await settle();
  assert(lane.paused && count <= 128, `${count} messages`); // 1 MiB
  for (let i = 0; i < count; i++) assertEquals((await reader.read()).value?.length, payload.length);
  assertEquals(lane.paused, false);
  // Without a reader nothing waits in recv(): it is free for others.
  reader.releaseLock();
  arrive(lane, sent(1, "mine"));
  assertEquals(await next(ws), "1 mine");
});

test("readable errors when the connection fails or is reset", async () => {
  for (const [how, message] of [["reset", "Connection reset by peer"], ["violation", "unpack"]] as const) {
    const { ws, lane } = await openLane();
    arrive(lane, sent(1, "a"));
    if (how === "reset") lane.sink.onClose(new Error("reset"));
    else arrive(lane, sent(3));
    const reader = ws.readable.getReader();
    assertEquals((await reader.read()).value, "a");
    const error = await assertRejects(() => reader.read(), Error, message);
    assert(error.message.startsWith("Cannot receive: "), error.message);
    await assertRejects(() => reader.closed, Error, message);
  }
});

test("readable.cancel() closes the WebSocket, also while a read waits", async () => {
  for (const waiting of [false, true]) {
    const { ws, client } = await open();
    const reader = ws.readable.getReader();
    const read = waiting ? reader.read() : undefined;
    await settle();
    await reader.cancel("enough");
    assertEquals(await readFrame(client), "88 1000");
    if (read !== undefined) assertEquals((await read).done, true);
    client.send(sent(8, [3, 232]));
    assertEquals(await client.readAll(), "");
  }
});

test("writable sends text as text and bytes as binary, and close() closes the WebSocket behind them", async () => {
  const { ws, lane } = await openLane();
  const writer = ws.writable.getWriter();
  writer.write("text");
  writer.write(new Uint8Array([1]));
  await writer.close();
  await settle();
  assertEquals([framesIn(lane.text), lane.ended], [["81 text", "82 \x01", "88 1000"], false]);
});

test("writable has backpressure: a write settles when the peer has made room", async () => {
  const { ws, lane } = await openLane();
  lane.takes = false;
  const writer = ws.writable.getWriter();
  await writer.write(new Uint8Array(300 * 1024));
  let written = false;
  writer.write("late").then(() => written = true);
  await settle();
  assertEquals([written, writer.desiredSize! <= 0], [false, true]);
  drain(lane);
  await writer.ready;
  assertEquals(written, true);
});

test("writable.abort() closes with 1011", async () => {
  const { ws, client } = await open();
  await ws.writable.abort("broken");
  assertEquals(await readFrame(client), "88 1011");
});

test("writable errors when the peer is gone or a chunk is no message", async () => {
  const gone = await openLane();
  gone.lane.sink.onEnd();
  const writer = gone.ws.writable.getWriter();
  writer.closed.catch(() => {});
  const error = await assertRejects(() => writer.write("x"), Error, "Broken pipe");
  assert(error.message.startsWith("Cannot send: "), error.message);

  const odd = await openLane();
  const bad = odd.ws.writable.getWriter();
  bad.closed.catch(() => {});
  await assertRejects(() => bad.write({ a: 1 } as never), TypeError, "use JSON.stringify()");
});

test("both streams of an answer that is no WebSocket fail, and the answer is not touched", async () => {
  let body = "";
  const server = serverWith(async (_request, response) => {
    const reader = response.readable.getReader();
    reader.closed.catch(() => {});
    const writer = response.writable.getWriter();
    writer.closed.catch(() => {});
    await assertRejects(() => reader.read(), Error, "Cannot receive: ");
    await assertRejects(() => writer.write("x"), Error, "Cannot send: ");
    response.end("ok");
  });
  const client = new MemoryClient(server);
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  body = (await client.readAnswer()).body;
  assertEquals([body, server.errors], ["ok", []]);
});

test("ws.readable.pipeTo(ws.writable) echoes until the peer closes, over sockets", async () => {
  const server = serverWith(async (_request, ws) => {
    await ws.upgrade();
    await ws.readable.pipeTo(ws.writable);
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    const large = new Uint8Array(1024 * 1024).map((_, i) => i * 7);
    for (const [opcode, payload] of [[1, "text"], [2, large], [1, ""], [2, Uint8Array.of(0)]] as const) {
      client.send(sent(opcode, payload));
      const echoed = (await client.readFrame())!;
      assertEquals(echoed.opcode, opcode);
      assertEquals(echoed.payload, typeof payload === "string" ? new TextEncoder().encode(payload) : payload);
    }
    client.send(sent(8, [3, 232]));
    assertEquals((await client.readFrame())?.opcode, 8);
    assertEquals(await client.readFrame(), null);
    client.destroy();
  });
  assertEquals(server.errors, []);
});

test("a pipe with a transformation in between keeps up with a peer that sends faster than it reads", async () => {
  const server = serverWith(async (_request, ws) => {
    await ws.upgrade();
    const upper = new TransformStream<string | Uint8Array, string | Uint8Array>({
      transform: (chunk, controller) => controller.enqueue(String(chunk).toUpperCase()),
    });
    await ws.readable.pipeThrough(upper).pipeTo(ws.writable);
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    const count = 2000;
    for (let i = 0; i < count; i++) client.send(sent(1, `message ${i} ${"x".repeat(1000)}`));
    for (let i = 0; i < count; i++) {
      const text = new TextDecoder().decode((await client.readFrame())!.payload);
      assert(text.startsWith(`MESSAGE ${i} X`), text.slice(0, 20));
    }
    client.send(sent(8, [3, 232]));
    await client.whenEnded();
    client.destroy();
  });
  assertEquals(server.errors, []);
});
