import { assert, assertEquals, assertFalse, assertGreater, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpServer, Server, setRuntime, WebSocketServer } from "../../mod.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { closeFrame, handshake, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";
import { closeCodeOf, EventLog } from "./event_log.ts";

/** A server that does nothing, but can start. */
function idleServer(): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  return server;
}

test("start() listens, tells the real port, then calls start and workerStart", async () => {
  const log = new EventLog();
  const server = idleServer();
  server.on("start", (it) => log.add(`start ${it === server} ${it.port > 0}`));
  server.on("workerStart", (it, workerId) => log.add(`workerStart ${it === server} ${workerId}`));
  assertEquals(server.port, 0);
  assertEquals(await server.start(), true);
  assertGreater(server.port, 0);
  assertEquals(log.lines, ["start true true", "workerStart true 0"]);
  const client = await RawClient.open(server.port);
  client.destroy();
  server.shutdown();
  await server.finished;
});

test("backlog, open_tcp_nodelay and enable_reuse_port are told to the runtime, with their defaults and as they are set", async () => {
  const runtime = await loadRuntime();
  const told: unknown[] = [];
  setRuntime({
    ...runtime,
    listen: (options, accept, failed) => {
      told.push([options.backlog, options.noDelay, options.reusePort]);
      return runtime.listen(options, accept, failed);
    },
  });
  try {
    for (const settings of [{}, { backlog: 7, open_tcp_nodelay: false, enable_reuse_port: true }]) {
      const server = idleServer();
      server.set(settings);
      await serving(server, () => Promise.resolve());
    }
  } finally {
    setRuntime(undefined);
  }
  assertEquals(told, [[512, true, false], [7, false, true]]);
});

test("start() refuses to work without the handler that a server needs, and works once it is there", async () => {
  await assertRejects(() => new HttpServer("127.0.0.1", 0).start(), TypeError, "request");
  await assertRejects(() => new Server("127.0.0.1", 0).start(), TypeError, "receive");
  const server = new WebSocketServer("127.0.0.1", 0);
  await assertRejects(() => server.start(), TypeError, "message");
  server.on("message", () => {});
  await serving(server, async () => {});
});

test("start() refuses to work while the server runs or stops", async () => {
  const server = idleServer();
  const starting = server.start();
  await assertRejects(() => server.start(), Error, "started before");
  await starting;
  await assertRejects(() => server.start(), Error, "started before");
  server.shutdown();
  await assertRejects(() => server.start(), Error, "it is stopping");
  await server.finished;
});

test("start() tells which address is in use, and can be tried again", async () => {
  const first = idleServer();
  await first.start();
  const second = new WebSocketServer("127.0.0.1", first.port);
  second.on("message", () => {});
  const error = await assertRejects(() => second.start(), Error, `127.0.0.1:${first.port}`);
  assertEquals((error as { code?: string }).code, "EADDRINUSE");
  assert(error.cause !== undefined);
  first.shutdown();
  await first.finished;
  await serving(second, async (_server, port) => (await RawClient.open(port)).destroy());
});

test("set() adds to what was set, until the server starts", async () => {
  const server = idleServer();
  assertEquals(server.set({ log_file: "/dev/null", backlog: 10 }), true);
  assertEquals(server.set({ backlog: 20 }), true);
  assertEquals(server.setting, { log_file: "/dev/null", backlog: 20 });
  await serving(server, async () => {
    await Promise.resolve();
    assertThrows(() => server.set({ backlog: 30 }), Error, "has started");
    assertEquals(server.setting, { log_file: "/dev/null", backlog: 20 });
  });
});

test("a later handler replaces an earlier one, names count in any letter case", async () => {
  const log = new EventLog();
  const server = idleServer();
  const second = () => log.add("second");
  server.on("open", () => log.add("first"));
  assertEquals(server.on("OPEN" as "open", second), true);
  assertEquals(server.getCallback("oPen"), second);
  assertEquals(server.getCallback("connect"), null);
  await serving(server, async (_server, port) => (await RawClient.open(port)).destroy());
  assertEquals(log.lines, ["second"]);
});

test("shutdown() works once, on a server that runs", async () => {
  const server = idleServer();
  assertFalse(server.shutdown());
  await server.start();
  assert(server.shutdown());
  assertFalse(server.shutdown());
  await server.finished;
  assertFalse(server.shutdown());
});

test("shutdown() closes WebSockets with 1001 and tells in order what happens", async () => {
  const log = new EventLog();
  const server = idleServer();
  server.on("beforeShutdown", (it) => log.add(`beforeShutdown ${it === server}`));
  server.on("close", (_server, fd, reactorId) => log.add(`close ${fd} ${reactorId}`));
  server.on("workerStop", (it, workerId) => log.add(`workerStop ${it === server} ${workerId}`));
  server.on("shutdown", (it) => log.add(`shutdown ${it === server}`));
  await server.start();
  const clients = [await RawClient.open(server.port), await RawClient.open(server.port)];
  server.shutdown();
  for (const client of clients) {
    assertEquals(closeCodeOf(await client.readFrame()), 1001);
    client.send(closeFrame(1001));
    assertEquals(await client.readFrame(), null);
    client.end();
  }
  await server.finished;
  assertEquals(log.lines.filter((line) => line.startsWith("close")).sort(), ["close 1 -1", "close 2 -1"]);
  assertEquals(log.lines.filter((line) => !line.startsWith("close")), [
    "beforeShutdown true",
    "workerStop true 0",
    "shutdown true",
  ]);
  assertEquals(log.lines.at(-1), "shutdown true");
  assertEquals(server.connections.size, 0);
});

test("shutdown() drops a WebSocket that does not answer, after websocket_close_timeout", async () => {
  const server = idleServer();
  server.set({ websocket_close_timeout: 0.05 });
  await server.start();
  const client = await RawClient.open(server.port);
  server.shutdown();
  assertEquals(closeCodeOf(await client.readFrame()), 1001);
  await server.finished;
  await client.whenEnded();
  client.destroy();
});

test("shutdown() lets an answer that is being made finish and ends idle connections", async () => {
  const gate = signal();
  const asked = signal();
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", async (_request, response) => {
    asked.resolve();
    await gate.promise;
    response.end("done");
  });
  await server.start();
  const idle = await RawClient.connect(server.port);
  const busy = await RawClient.connect(server.port);
  busy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await asked.promise;
  server.shutdown();
  await idle.whenEnded();
  idle.end();
  gate.resolve();
  const { status, head, body } = await busy.readAnswer();
  assertEquals([status, body], [200, "done"]);
  assert(/^Connection: close\r$/m.test(head), head);
  await busy.whenEnded();
  busy.end();
  await server.finished;
});

test("a server that stops accepts nobody any more", async () => {
  const server = idleServer();
  await server.start();
  const client = await RawClient.open(server.port);
  server.shutdown();
  assertEquals(closeCodeOf(await client.readFrame()), 1001); // the server waits for the answer
  const late = await RawClient.connect(server.port).then(async (late) => {
    // A connection may still get in; it is never served.
    late.send(handshake());
    const answer = await late.readAll();
    late.destroy();
    return answer.length;
  }, () => 0);
  assertEquals(late, 0);
  client.send(closeFrame(1001));
  client.end();
  await server.finished;
  assertEquals(server.stats().accept_count, 1);
});
