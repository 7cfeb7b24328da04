import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { createHash } from "node:crypto";
import process from "node:process";
import { HttpServer, Server, WebSocketServer } from "../../mod.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** More than the kernel keeps for a connection over loopback, much less than what is offered. */
const KERNEL = 32 * MIB;
const OFFERED = 256 * MIB;

/** A turn of the event loop for sockets. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Round trips of a client: time for everything else to go on, without a clock. */
async function roundTrips(client: RawClient, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    client.send(frame({ opcode: 1, payload: "tick" }));
    await client.readFrame();
    await turn();
  }
}

/** Waits until a number has stopped changing. */
async function standstill(client: RawClient, value: () => number): Promise<number> {
  let before = -1;
  while (value() !== before) {
    before = value();
    await roundTrips(client, 50);
  }
  return before;
}

/** Sends chunks of 64 KiB for as long as the socket takes them, up to a sum. Returns a function that tells how many. */
function flood(client: RawClient, chunk: Uint8Array, sum: number): () => number {
  let sent = 0;
  const go = () => {
    while (sent < sum && !client.socket.destroyed) {
      sent += chunk.length;
      if (!client.socket.write(chunk)) return void client.socket.once("drain", go);
    }
  };
  go();
  return () => sent - client.socket.writableLength;
}

testLanes(
  "a client that never reads: push() gives 1009 at socket_buffer_size, and the rest comes when it reads",
  async (runtime) => {
    const server = new WebSocketServer("127.0.0.1", 0);
    const limit = 2 * MIB;
    server.set({ socket_buffer_size: limit });
    const events: string[] = [];
    const opened = signal<number>();
    server.on("open", (_server, { fd, get }) => get.who === "idle" && opened.resolve(fd));
    server.on("message", (server, { fd, data }) => server.push(fd, data));
    server.on("bufferFull", (_server, fd) => void events.push(`full ${fd}`));
    server.on("bufferEmpty", (_server, fd) => void events.push(`empty ${fd}`));
    server.on("drain", (_server, fd) => void events.push(`drain ${fd}`));
    await servingOn(runtime, server, async (server, port) => {
      const steady = await RawClient.open(port);
      const idle = await RawClient.open(port, "/?who=idle");
      const fd = await opened.promise;
      idle.socket.pause();
      const rss = process.memoryUsage().rss;
      const payload = "x".repeat(16 * KIB - 4); // 16 KiB on the wire
      let pushed = 0;
      let refused = 0;
      // The kernel takes some; push until the queue stays full.
      await (async () => {
        for (let tries = 0; refused < 20; tries++) {
          if (server.push(fd, payload)) {
            pushed++;
            refused = 0;
          } else {
            assertEquals(server.getLastError(), 1009);
            refused++;
            await roundTrips(steady, 1);
          }
          assertLessOrEqual(tries * 16 * KIB, OFFERED, "the queue never got full");
        }
      })();
      const info = server.getClientInfo(fd);
      assert(info);
      assertLessOrEqual(info.send_queued_bytes, limit);
      assertGreater(info.send_queued_bytes, limit - 16 * KIB);
      assertLessOrEqual(pushed * 16 * KIB, KERNEL);
      assertLessOrEqual(process.memoryUsage().rss - rss, 128 * MIB);
      // The first buffers were the kernel's, so the queue may have been full and empty again before.
      assertEquals(events.length % 3, 1);
      assert(events.every((event, i) => event === `${["full", "empty", "drain"][i % 3]} ${fd}`), events.join());
      events.length = 0;

      // A message of any size is refused as well, a small one of another client is not.
      assertEquals(server.push(fd, "x".repeat(limit)), false);
      await roundTrips(steady, 5);

      idle.socket.resume();
      for (let i = 0; i < pushed; i++) assertEquals((await idle.readFrame())?.payload.length, payload.length);
      while (events.length === 0) await turn();
      assertEquals(events, [`empty ${fd}`, `drain ${fd}`]);
      assert(server.push(fd, "and on"));
      assertEquals((await idle.readFrame())?.payload.length, 6);
      await roundTrips(steady, 5);
      assertEquals(events.length, 2);
      idle.destroy();
      steady.destroy();
    });
  },
);

testLanes("watermarks: bufferFull and bufferEmpty fire where they are set", async (runtime) => {
  const server = new Server("127.0.0.1", 0);
  server.set({ socket_buffer_size: 64 * MIB, buffer_high_watermark: 16 * MIB, buffer_low_watermark: 8 * MIB });
  const queued: [string, number][] = [];
  const empty = signal();
  const note = (server: Server, event: string, fd: number) => {
    const info = server.getClientInfo(fd);
    queued.push([event, info ? info.send_queued_bytes : -1]);
  };
  server.on("receive", async (server, fd) => {
    for (let i = 0; i < 48; i++) {
      assert(server.send(fd, new Uint8Array(MIB)));
      await null; // the events are told behind the call that sends
    }
  });
  server.on("bufferFull", (server, fd) => note(server, "full", fd));
  server.on("bufferEmpty", (server, fd) => {
    note(server, "empty", fd);
    empty.resolve();
  });
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.socket.removeAllListeners("data");
    let got = 0;
    client.socket.on("data", (chunk) => got += chunk.length);
    client.send("go");
    await empty.promise;
    assertEquals(queued.map(([event]) => event), ["full", "empty"]);
    // Less by what the lane has taken since.
    assert(queued[0][1] >= 15 * MIB && queued[0][1] <= 17 * MIB, `full at ${queued[0][1]}`);
    assertLessOrEqual(queued[1][1], 8 * MIB);
    while (got < 48 * MIB) await turn();
    client.destroy();
  });
});

testLanes("a client that floods and never reads: the server stops reading it, and goes on when it reads", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ socket_buffer_size: 4 * MIB });
  let refused = 0;
  let echoed = 0;
  let most = 0;
  server.on("message", (server, { fd, bytes, opcode }) => {
    if (!server.push(fd, bytes, opcode)) refused++;
    else if (bytes.length > 100) echoed++;
    const info = server.getClientInfo(fd);
    if (info) most = Math.max(most, info.send_queued_bytes);
  });
  await servingOn(runtime, server, async (_server, port) => {
    const steady = await RawClient.open(port);
    const client = await RawClient.open(port);
    client.socket.pause();
    const rss = process.memoryUsage().rss;
    const chunk = frame({ opcode: 2, payload: new Uint8Array(64 * KIB) });
    const sent = flood(client, chunk, OFFERED);
    await standstill(steady, sent);
    assertLessOrEqual(sent(), 2 * KERNEL); // both directions of the kernel are full
    assertLessOrEqual(most, 4 * MIB);
    assertEquals(refused, 0);
    assertLessOrEqual(process.memoryUsage().rss - rss, 160 * MIB);
    // Once it reads, everything arrives.
    let got = 0;
    client.socket.removeAllListeners("data");
    const all = signal();
    client.socket.on("data", (part) => {
      got += part.length;
      if (got === (OFFERED / chunk.length | 0) * (chunk.length - 4) + (chunk.length - 4)) all.resolve();
    });
    client.socket.resume();
    await all.promise;
    assertEquals(refused, 0);
    assertEquals(echoed, got / (chunk.length - 4));
    client.destroy();
    steady.destroy();
  });
});

testLanes("a client that asks over and over and never reads the answers is not read on", async (runtime) => {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ socket_buffer_size: MIB });
  const body = "x".repeat(4 * KIB);
  let answered = 0;
  server.on("request", (_request, response) => {
    answered++;
    response.end(body);
  });
  await servingOn(runtime, server, async (server, port) => {
    const client = await RawClient.connect(port);
    client.socket.pause();
    const request = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000));
    const sent = flood(client, request, OFFERED);
    let before = -1;
    while (answered !== before) {
      before = answered;
      for (let i = 0; i < 50; i++) {
        const other = await RawClient.connect(port);
        other.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await other.readAnswer();
        answered--;
        other.destroy();
      }
    }
    assertLessOrEqual(answered * body.length, KERNEL);
    const [fd] = server.connections;
    const info = server.getClientInfo(fd);
    assert(info);
    assertLessOrEqual(info.send_queued_bytes, MIB);
    assertLessOrEqual(sent(), KERNEL);
    client.destroy();
  });
});

testLanes("64 MiB each way through a slow reader arrive unharmed", async (runtime) => {
  const server = new Server("127.0.0.1", 0);
  let lost = 0;
  server.on("receive", (server, fd, _reactorId, data) => {
    if (!server.send(fd, data)) lost++;
  });
  await servingOn(runtime, server, async (_server, port) => {
    const sum = 64 * MIB;
    const client = await RawClient.connect(port);
    const { socket } = client;
    socket.removeAllListeners("data");
    const rss = process.memoryUsage().rss;
    const there = createHash("sha256");
    const back = createHash("sha256");
    const done = signal();
    let got = 0;
    let rest = 0;
    socket.on("data", (part: Uint8Array) => {
      back.update(part);
      got += part.length;
      if (got === sum) done.resolve();
      // Slow: a pause of some turns after every 256 KiB.
      rest += part.length;
      if (rest < 256 * KIB) return;
      rest = 0;
      socket.pause();
      setImmediate(() => setImmediate(() => setImmediate(() => socket.resume())));
    });
    for (let sent = 0, seed = 1; sent < sum;) {
      const chunk = new Uint8Array(Math.min(sum - sent, 1 + seed % (128 * KIB)));
      for (let i = 0; i < chunk.length; i += 7) chunk[i] = seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      there.update(chunk);
      sent += chunk.length;
      if (!socket.write(chunk)) await new Promise<void>((resolve) => socket.once("drain", () => resolve()));
    }
    await done.promise;
    assertEquals(lost, 0);
    assertEquals(back.digest("hex"), there.digest("hex"));
    assertLessOrEqual(process.memoryUsage().rss - rss, 192 * MIB);
    client.destroy();
  });
});
