// What counts for max_buffer_memory while a request is handled, and what a response is sent with is over.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type HttpResponse, HttpServer, WebSocketServer } from "../../mod.ts";
import * as coroutine from "../../src/coroutine/mod.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { ownLanes, servingOn, testLanes } from "../support/lanes.ts";
import { settle } from "../support/activity.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { join } from "../topics/stage.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Waits until something holds. The test runner limits the time. */
async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 10));
}

testLanes("a head and a body count until the response is complete, however the program reads them", async (runtime) => {
  for (const streams of [false, true]) {
    const server = new HttpServer("127.0.0.1", 0);
    server.set({ http_stream_body: streams, http_max_header_size: 64 * KIB });
    let release = () => {};
    const released = new Promise<void>((resolve) => release = resolve);
    let reading = 0;
    server.on("request", async (request, response) => {
      const bytes = await request.bytes();
      reading++;
      await released;
      response.end(String(bytes.length));
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send(
        `POST / HTTP/1.1\r\nHost: x\r\nX-Long: ${"a".repeat(50 * KIB)}\r\nContent-Length: ${MIB}\r\n\r\n${"b".repeat(MIB)}`,
      );
      const least = MIB + 50 * KIB;
      await until(() => reading === 1 && server.stats().held_bytes >= least && server.stats().held_bytes < least + 200 * KIB);
      release();
      assertEquals((await client.readAnswer()).body, String(MIB));
      await until(() => server.stats().held_bytes <= 64 * KIB);
      client.destroy();
    });
  }
});

test("parts that are collected until the end of a response count", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ log_level: 6 });
  server.on("request", (_request, response) => {
    response.write(new Uint8Array(MIB));
    response.detach();
  });
  const lane = new FakeLane();
  lane.canReset = false; // the client could not tell that the rest is missing
  server.accept(laneOnly(lane));
  lane.receive("GET / HTTP/1.0\r\n\r\n");
  await until(() => server.stats().held_bytes >= MIB);
  assertEquals(lane.writes.length, 0);
  lane.abort();
  await until(() => server.stats().held_bytes === 0);
  server.shutdown(0);
  await server.finished;
});

test("the fields of a form count while it is read, and until the response is complete", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  let response: HttpResponse | undefined;
  server.on("request", (_request, it) => {
    response = it;
    it.detach();
  });
  server.set({ log_level: 6, http_parse_files: true, http_stream_body: true });
  const lane = new FakeLane();
  server.accept(laneOnly(lane));
  const body = `--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n${"c".repeat(MIB)}\r\n--b--\r\n`;
  const fields = `Content-Type: multipart/form-data; boundary=b\r\nContent-Length: ${body.length}\r\n`;
  lane.receive(`POST / HTTP/1.1\r\nHost: x\r\n${fields}\r\n`);
  for (let at = 0; at < body.length; at += 16 * KIB) {
    if (at === 512 * KIB) await until(() => server.stats().held_bytes >= 400 * KIB);
    lane.receive(body.slice(at, at + 16 * KIB));
    await until(() => !lane.paused);
  }
  await until(() => response !== undefined && server.stats().held_bytes >= MIB);
  response!.end();
  await until(() => server.stats().held_bytes < MIB);
  lane.abort();
  server.shutdown(0);
  await server.finished;
});

test("above the limit no request is begun, with or without a body; below it they are again", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ log_level: 6 });
  server.on("message", () => {});
  server.on("request", (_request, response) => void response.end("here"));
  const open = () => {
    const lane = new FakeLane();
    server.accept(laneOnly(lane));
    return lane;
  };
  const [first, second, third] = [open(), open(), open()];
  first.receive("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals(first.text.slice(0, 12), "HTTP/1.1 200");
  const { memory } = coreOf(server).context.table!;
  memory.limit = 10;
  memory.held = 11;
  for (const text of ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"]) {
    const lane = text.startsWith("GET") ? first : second;
    lane.writes.length = 0;
    lane.receive(text);
    assertEquals(lane.text.slice(0, 12), "HTTP/1.1 503");
    assert(lane.text.includes("Retry-After: 5\r\n"));
  }
  memory.held = 0;
  third.receive("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals(third.text.slice(0, 12), "HTTP/1.1 200");
  for (const lane of [first, second, third]) lane.abort();
  server.shutdown(0);
  await server.finished;
});

testLanes("a connection whose large message has been handled holds little", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0);
  let handled = 0;
  server.on("message", () => void handled++);
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 2, payload: new Uint8Array(200 * KIB) }));
    await until(() => handled === 1 && server.stats().held_bytes <= 20 * KIB);
    client.send(frame({ opcode: 2, payload: new Uint8Array(100) })); // a pong would do, too
    await until(() => handled === 2 && server.stats().held_bytes === 0);
    client.destroy();
  });
});

for (const [lane, runtime] of ownLanes) {
  for (const connection of ["close", "keep-alive"]) {
    test(`drained() and sendfile() are true when everything was sent, with Connection: ${connection} (${lane})`, async () => {
      for (const style of ["event", "coroutine"] as const) {
        const results: boolean[] = [];
        const handle = async (request: { server: { request_uri: string } }, response: coroutine.HttpResponse) => {
          if (request.server.request_uri === "/file") {
            results.push(await response.sendfile("README.md"));
          } else {
            response.end("x".repeat(5 * MIB));
            results.push(await response.drained());
          }
        };
        const server = style === "event" ? new HttpServer("127.0.0.1", 0) : new coroutine.HttpServer("127.0.0.1", 0);
        if (server instanceof HttpServer) server.on("request", (request, response) => handle(request, response as never));
        else server.handle("/", (request, response) => handle(request, response));
        await servingOn(runtime, server as HttpServer, async (_server, port) => {
          for (const path of ["/", "/file"]) {
            const client = await RawClient.connect(port);
            client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: ${connection}\r\n\r\n`);
            assertEquals((await client.readAnswer()).status, 200);
            client.destroy();
          }
          await until(() => results.length === 2);
          assertEquals(results, [true, true]);
        });
      }
    });
  }

  test(`drained() is false for a client that leaves before it has taken everything (${lane})`, async () => {
    const server = new HttpServer("127.0.0.1", 0);
    const results: boolean[] = [];
    server.on("request", async (_request, response) => {
      response.end("x".repeat(40 * MIB));
      results.push(await response.drained());
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.socket.pause();
      client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      await until(() => server.stats().total_send_bytes > 40 * MIB);
      client.socket.resetAndDestroy();
      await until(() => results.length === 1);
      assertEquals(results, [false]);
    });
  });
}

test("subscriptions to topics count, until they end", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  server.on("open", (server, request) => server.subscribe(request.fd, "room"));
  const one = join(server);
  const two = join(server);
  const { table } = coreOf(server).context;
  const held = () => {
    table!.tick();
    return server.stats().held_bytes;
  };
  const room = 64 + "room".length;
  assertEquals(held(), 2 * room);
  server.subscribe(one.fd, "room"); // again
  server.subscribe(one.fd, "x".repeat(255));
  assertEquals(held(), 2 * room + 64 + 255);
  server.unsubscribe(one.fd, "room");
  server.unsubscribe(one.fd, "never");
  assertEquals(held(), room + 64 + 255);
  one.lane.abort();
  assertEquals(held(), room);
  two.lane.abort();
  assertEquals(held(), 0);
  server.shutdown();
  await server.finished;
});

test("with max_buffer_memory, whoever holds many subscriptions is closed", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ max_buffer_memory: 20 * KIB, log_level: 6 });
  server.on("message", (server, { fd, data }) => server.subscribe(fd, String(data)));
  const greedy = join(server);
  const modest = join(server);
  modest.lane.receive(frame({ opcode: 1, payload: "room" }));
  for (let i = 0; i < 300; i++) {
    greedy.lane.receive(frame({ opcode: 1, payload: `topic ${i}` }));
    if (i % 50 === 0) await settle();
  }
  coreOf(server).context.table!.tick();
  await settle();
  assertEquals([server.isEstablished(greedy.fd), server.isEstablished(modest.fd)], [false, true]);
  assertEquals(server.stats().closes, { 1013: 1 });
  assertEquals(server.stats().topic_num, 1);
  for (const { lane } of [greedy, modest]) lane.abort();
  server.shutdown();
  await server.finished;
});
