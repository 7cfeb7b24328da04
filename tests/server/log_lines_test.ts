// What the log says of handlers: that one has failed, does not settle, or waits for what waits for it.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { HttpServer, Server, SWOOLE_LOG_ERROR, WebSocketServer } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { LateHandlers, type LateRequest, StuckHandlers } from "../../src/server/running_handlers.ts";
import { loggedDuring } from "../support/log_lines.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";

/** The first lines of what was logged. */
function heads(lines: readonly string[]): string[] {
  return lines.map((line) => line.split("\n")[0]);
}

test("an error that no handler takes is logged with the request, the path of the WebSocket, or the fd alone", async () => {
  const lines = await loggedDuring(async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    const open = signal();
    server.on("request", () => Promise.reject(new Error("request")));
    server.on("open", () => open.resolve());
    server.on("message", () => {
      throw new Error("message");
    });
    await serving(server, async (_server, port) => {
      const http = await RawClient.connect(port);
      http.send("POST /a\x1b?token=secret HTTP/1.1\r\nHost: x\r\n\r\n".replace("\x1b", '"'));
      assertEquals((await http.readAnswer()).status, 500);
      const webSocket = await RawClient.open(port, "/chat?token=secret");
      await open.promise;
      webSocket.send(frame({ opcode: 1, payload: "x" }));
      await webSocket.readFrame();
      http.destroy();
      webSocket.destroy();
    });
    const raw = new Server("127.0.0.1", 0);
    raw.on("receive", () => {
      throw new Error("receive");
    });
    await serving(raw, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send("x");
      await client.readAll();
      client.destroy();
    });
    const coroutine = new CoroutineServer("127.0.0.1");
    coroutine.handle("/", async (_request, ws) => {
      await ws.upgrade();
      throw new Error("coroutine");
    });
    await serving(coroutine, async (_server, port) => {
      const client = await RawClient.open(port, "/room");
      await client.readFrame();
      client.destroy();
    });
  });
  assertEquals(heads(lines), [
    'fd 1: POST "/a\\"": Error: request',
    'fd 2: WebSocket "/chat": Error: message',
    "fd 1: Error: receive",
    'fd 1: WebSocket "/room": Error: coroutine',
  ]);
});

test("a handler that returns without a response is a warning, with the path", async () => {
  for (const log_level of [0, SWOOLE_LOG_ERROR]) {
    const lines = await loggedDuring(async () => {
      const server = new HttpServer("127.0.0.1", 0);
      server.set({ log_level });
      server.on("request", () => {});
      await serving(server, async (_server, port) => {
        const client = await RawClient.connect(port);
        client.send("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
        assertEquals((await client.readAnswer()).status, 500);
        client.destroy();
      });
    });
    assertEquals(lines, log_level === 0 ? ['fd 1: GET "/nothing": the handler has returned without a response'] : []);
  }
});

test("a handler that has not settled when the server stops is named, with how many there are", async () => {
  const lines = await loggedDuring(async () => {
    const server = new HttpServer("127.0.0.1", 0);
    const called = signal();
    server.on("request", () => {
      called.resolve();
      return new Promise<void>(() => {});
    });
    await server.start();
    const client = await RawClient.connect(server.port);
    client.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
    await called.promise;
    server.shutdown(0.05);
    await server.finished;
    client.destroy();
  });
  assertEquals(lines, [
    'fd 1: GET "/never": the handler had not settled when the server stopped',
    "1 handler has not settled while the server stopped",
  ]);
});

test("handlers whose client has gone are told of when they do not settle, those that do are not", async () => {
  const told: string[] = [];
  const exchange = (name: string) => ({ name }) as unknown as LateRequest;
  const over = signal();
  const late = new LateHandlers((one) => {
    told.push((one as unknown as { name: string }).name);
    if (told.length === 2) over.resolve();
  }, 30);
  const alive = setInterval(() => {}, 1000); // the timer of what is tested keeps no process alive
  const settles = exchange("settles");
  late.delete(settles);
  late.add(exchange("first"));
  late.add(settles);
  late.delete(settles);
  await new Promise((resolve) => setTimeout(resolve, 10));
  late.add(exchange("second"));
  await over.promise;
  assertEquals(told, ["first", "second"]);

  for (let i = 0; i < 200; i++) late.add(exchange(String(i))); // 100 are watched
  while (told.length < 102) await new Promise((resolve) => setTimeout(resolve, 5));
  late.add(exchange("cleared"));
  late.clear();
  await new Promise((resolve) => setTimeout(resolve, 60));
  assertEquals(told.length, 102);
  clearInterval(alive);
});

test("a client that goes has its handler watched, until that settles", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  const settled = signal();
  server.on("request", async (request) => {
    await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
    settled.resolve();
  });
  const lines = await loggedDuring(async () => {
    await serving(server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
      client.end();
      await settled.promise;
      client.destroy();
    });
  });
  assertEquals(lines, []);
});

test("handlers that wait for what waits for them are told of once, after ten seconds in which none has settled", () => {
  let told = 0;
  const stuck = new StuckHandlers(() => told++);
  assertEquals(stuck.look("a", 1000), 11_000);
  assertEquals(stuck.look("b", 2000), 0); // one is watched at a time
  assertEquals(stuck.look("a", 10_999), 11_000);
  stuck.onSettled("b");
  stuck.onSettled("a");
  assertEquals(stuck.look("b", 11_500), 21_500);
  assertEquals(stuck.look("a", 30_000), 0);
  assertEquals(stuck.look("b", 21_500), 0);
  assertEquals(told, 1);
  assertEquals(stuck.look("c", 50_000), 0);
  assertEquals(stuck.look("c", 90_000), 0);
  assertEquals(told, 1);
});

/** A server whose handlers wait for later messages, with two clients that have sent two each. */
async function stuckServer(server: WebSocketServer | Server, later: Promise<void>): Promise<RawClient[]> {
  const isWebSocket = server instanceof WebSocketServer;
  server.set({ max_handlers_per_connection: 1, websocket_ping_interval: 0 });
  if (isWebSocket) server.on("message", () => later);
  else server.on("receive", () => later);
  await server.start();
  const clients: RawClient[] = [];
  for (let i = 0; i < 2; i++) {
    const client = isWebSocket ? await RawClient.open(server.port) : await RawClient.connect(server.port);
    clients.push(client);
    const bytes = isWebSocket ? frame({ opcode: 1, payload: "x" }) : new Uint8Array(1);
    client.send(bytes);
    while (server.stats().request_count === i) await new Promise((resolve) => setTimeout(resolve, 1));
    client.send(bytes);
  }
  return clients;
}

test("handlers that wait for later messages of their own connection are named once for each server, with the setting", async () => {
  const later = signal();
  const lines = await loggedDuring(async (lines) => {
    const servers = [new WebSocketServer("127.0.0.1", 0), new Server("127.0.0.1", 0)];
    const clients = [...await stuckServer(servers[0], later.promise), ...await stuckServer(servers[1], later.promise)];
    const until = performance.now() + 30_000;
    while (lines.length < 2 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
    await new Promise((resolve) => setTimeout(resolve, 500)); // nothing more is said
    later.resolve();
    for (const client of clients) client.destroy();
    for (const server of servers) server.shutdown(0);
    await Promise.all(servers.map(({ finished }) => finished));
  });
  // A handler that goes on while its server stops may be named, too.
  const told = lines.filter((line) => !/^\d handlers? ha(s|ve) not settled while the server stopped$/.test(line));
  assertEquals(told.length, 2, told.join("\n"));
  for (const line of told) {
    assertMatch(line, /^No handler has settled for 10 s on a connection with max_handlers_per_connection/);
    assert(line.includes("raise max_handlers_per_connection"));
  }
});
