// What handlers of bufferFull and bufferEmpty send in return never comes to lie inside of a frame, or of a chunk.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type ClientInfo, type HttpResponse, HttpServer, WebSocketServer } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";

const KIB = 1024;
const LARGE = new Uint8Array(100_000).fill(98);
const outside = () => new Promise((resolve) => setTimeout(resolve, 5)); // of the turn in which bytes arrive

const queuedBy = (server: HttpServer, fd: number) => (server.getClientInfo(fd) as ClientInfo).send_queued_bytes;

for (
  const [does, marks] of [
    ["pushes", { buffer_high_watermark: 64 * KIB, buffer_low_watermark: 0 }],
    ["pushes at the default watermark", {}],
    ["disconnects", { buffer_high_watermark: 64 * KIB, buffer_low_watermark: 0 }],
  ] as const
) {
  test(`a bufferFull handler that ${does} when the head of a large frame has filled the queue`, async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set(marks);
    const high = marks.buffer_high_watermark ?? Math.floor(8 * KIB * KIB * 0.8);
    server.on("bufferFull", (server, fd) => {
      if (does === "disconnects") server.disconnect(fd, 4000, "too slow");
      else server.push(fd, "full");
    });
    server.on("message", async (server, { fd }) => {
      await outside();
      for (let left: number; (left = high - 5 - queuedBy(server, fd)) > 0;) {
        server.push(fd, new Uint8Array(left > 60_000 ? 20_000 : left > 30_004 ? 15_000 : left - 4).fill(97));
      }
      server.push(fd, LARGE);
      server.push(fd, "end");
    });
    await serving(server, async (_server, port) => {
      const client = await RawClient.open(port);
      client.send(frame({ opcode: 1, payload: "go" }));
      const seen: string[] = [];
      for (let one = await client.readFrame(); one !== null; one = await client.readFrame()) {
        const { opcode, payload } = one;
        assert([1, 2, 8].includes(opcode), `opcode ${opcode}`);
        if (opcode === 2) assert(new Set(payload).size === 1, "a frame has something else inside");
        seen.push(opcode === 2 && payload.length === LARGE.length ? "large" : opcode === 2 ? "" : `${opcode}`);
        if (opcode === 8 || (opcode === 1 && payload[0] === 101)) break;
      }
      assertEquals(seen.filter((what) => what === "large"), ["large"]);
      client.destroy();
    });
  });
}

test("a bufferEmpty handler that pushes when a large frame makes the queue leave", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ buffer_high_watermark: 64 * KIB, buffer_low_watermark: 0 });
  server.on("bufferEmpty", (server, fd) => void server.push(fd, "empty"));
  server.on("message", async (server, { fd }) => {
    await outside();
    for (let i = 0; i < 4; i++) server.push(fd, new Uint8Array(20_000).fill(97));
    server.push(fd, LARGE);
    server.push(fd, "end");
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "go" }));
    const sizes: number[] = [];
    for (let i = 0; i < 6; i++) {
      const { opcode, payload } = (await client.readFrame())!;
      if (opcode === 2) assert(new Set(payload).size === 1);
      if (opcode === 2 || (payload[0] === 101 && payload.length === 3)) sizes.push(payload.length);
      else i--;
    }
    assertEquals(sizes, [20_000, 20_000, 20_000, 20_000, LARGE.length, 3]);
    client.destroy();
  });
});

test("a bufferFull handler that writes to a response in the middle of a chunk", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ buffer_high_watermark: 64 * KIB, buffer_low_watermark: 0, http_compression: false });
  const open = new Map<number, HttpResponse>();
  server.on("bufferFull", (_server, fd) => void open.get(fd)?.write("full"));
  server.on("request", async ({ fd }, response) => {
    open.set(fd, response);
    await outside();
    response.write(new Uint8Array(10).fill(97));
    for (let left: number; (left = 64 * KIB - 4 - queuedBy(server, fd)) > 6;) {
      response.write(new Uint8Array(Math.min(20_000, Math.max(1, left - 8))).fill(97));
    }
    response.write(LARGE);
    await outside();
    response.end("end");
  });
  await serving(server, async (_server, port) => {
    const response = await fetch(`http://127.0.0.1:${port}/`);
    const text = await response.text();
    assertEquals(text.replaceAll("a", "").replaceAll("full", "").length, LARGE.length + 3);
    assert(text.includes("b".repeat(LARGE.length)), "the chunk has something else inside");
  });
});

test("coroutine style: pushes that nobody awaits, and disconnect() behind them", async () => {
  const server = new CoroutineServer("127.0.0.1", 0);
  server.handle("/", async (_request, ws) => {
    await ws.upgrade();
    await ws.recv();
    await outside();
    for (let i = 0; i < 14; i++) ws.push(new Uint8Array(20_000).fill(97));
    ws.push(LARGE);
    ws.push("small");
    ws.disconnect();
  });
  await server.start();
  const client = await RawClient.open(server.port);
  client.send(frame({ opcode: 1, payload: "go" }));
  const sizes: number[] = [];
  for (let one = await client.readFrame(); one !== null; one = await client.readFrame()) {
    if (one.opcode === 2) assert(new Set(one.payload).size === 1, "a frame has something else inside");
    sizes.push(one.payload.length);
    if (one.opcode === 8) break;
  }
  assertEquals(sizes, [...Array(14).fill(20_000), LARGE.length, 5, 2]);
  client.destroy();
  server.shutdown(0);
  await server.finished;
});
