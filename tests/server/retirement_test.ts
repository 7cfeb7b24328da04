/** The leave of a worker that was replaced. Its limits of time are those of the real clock. */

import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { Retirement } from "../../src/server/retirement.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import type { WebSocketServer } from "../../mod.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { frame, handshake } from "../support/raw_client.ts";
import { quietServer } from "../topics/stage.ts";

/** Begins the leave of a server, which stops when that is done. */
function retire(server: WebSocketServer, wait: number, drain: number): { isDone: boolean; done: Promise<void> } {
  const state = { isDone: false, done: Promise.resolve() };
  state.done = new Promise((resolve) => {
    const retirement = new Retirement(coreOf(server).context.table!, 3, () => {
      state.isDone = true;
      resolve();
      server.shutdown();
    });
    retirement.begin(wait, drain);
  });
  return state;
}

test("a worker stays while a client shakes hands, or its PROXY header has yet to come", async () => {
  const server = quietServer();
  new MemoryClient(server).end(); // makes the table
  const { table } = coreOf(server).context;
  table!.enterHandshake();
  const leave = retire(server, Infinity, 0);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  assertEquals(leave.isDone, false);
  table!.leaveHandshake();
  await leave.done;
  await server.finished;
});

test("a connection that has sent no request yet is served, also where none may stay", async () => {
  for (const wait of [0, Infinity]) {
    const server = quietServer();
    server.on("request", (_request, response) => response.end("hello"));
    const client = new MemoryClient(server);
    const leave = retire(server, wait, 0);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const { status, header, body } = await client.readAnswer();
    assertEquals([status, header.connection, body], [200, "close", "hello"]);
    client.end();
    await leave.done;
    await server.finished;
  }
});

test("a connection that has had a response is ended when it is idle for a second", async () => {
  const server = quietServer();
  server.on("request", (_request, response) => response.end("hello"));
  const client = new MemoryClient(server);
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals((await client.readAnswer()).header.connection, "keep-alive");
  const leave = retire(server, Infinity, 0);
  assertEquals(await client.readAll(), "");
  client.end();
  await leave.done;
  await server.finished;
});

test("WebSockets that are opened meanwhile are closed with 1012 as well, and may authenticate", async () => {
  const server = quietServer();
  server.on("authenticate", async () => {
    await new Promise((resolve) => setTimeout(resolve, 10));
    return true;
  });
  const client = new MemoryClient(server);
  const leave = retire(server, 0, 0);
  client.send(handshake());
  assertMatch(await client.readHead(), /^HTTP\/1.1 101 /);
  client.send(frame({ opcode: 1, payload: "served" }));
  assertEquals((await client.readAll()).slice(0, 4), "\x88\x02\x03\xf4");
  await leave.done;
  await server.finished;
});
