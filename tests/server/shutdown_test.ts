import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpServer, WebSocketServer } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/** A request whose handler waits until it is told; of either style. */
async function busy(
  style: "events" | "coroutines",
  settings: Record<string, unknown> = {},
): Promise<{ server: HttpServer | CoroutineServer; client: RawClient; go: () => void; ended: () => boolean }> {
  const called = signal();
  const go = signal();
  let ended = false;
  const handle = async (_request: unknown, response: { end(text: string): unknown }) => {
    called.resolve();
    response.end("at once");
    await go.promise;
    ended = true;
  };
  let server: HttpServer | CoroutineServer;
  if (style === "events") {
    server = new HttpServer("127.0.0.1", 0);
    server.on("request", handle);
  } else {
    server = new CoroutineServer("127.0.0.1", 0);
    server.handle("/", handle);
  }
  server.set(settings);
  await server.start();
  const client = await RawClient.connect(server.port);
  client.send(GET);
  await called.promise;
  assertEquals((await client.readAnswer()).body, "at once");
  return { server, client, go: () => go.resolve(), ended: () => ended };
}

for (const style of ["events", "coroutines"] as const) {
  test(`${style}: finished settles after the handlers that were running, though their connections have gone`, async () => {
    const { server, client, go, ended } = await busy(style, { max_wait_time: 0 });
    let finished = false;
    server.finished.then(() => finished = true);
    assertEquals(server.shutdown(), true);
    await client.whenEnded();
    client.destroy();
    assertEquals(finished, false);
    go();
    await server.finished;
    assert(ended());
  });

  test(`${style}: a handler that never settles is waited for as long as shutdown() is told, and a shorter call shortens it`, async () => {
    const { server, client } = await busy(style, { websocket_close_timeout: 0.05 });
    assertEquals([server.shutdown(3600), server.shutdown(7200), server.shutdown(0.05)], [true, false, true]);
    await server.finished;
    client.destroy();
    assertEquals(server.shutdown(), false);
  });

  test(`${style}: max_wait_time is how long shutdown() waits that is not told`, async () => {
    const { server, client } = await busy(style, { max_wait_time: 0.05, websocket_close_timeout: 0.05 });
    assertEquals(server.shutdown(), true);
    await server.finished;
    client.destroy();
  });

  test(`${style}: shutdown() takes numbers of seconds only`, async () => {
    const { server, client, go } = await busy(style);
    const wrong: [unknown, string][] = [
      [-1, "-1"],
      [NaN, "NaN"],
      ["1", '"1"'],
      ["", '""'],
      [null, "null"],
      [true, "boolean"],
      [1n, "bigint"],
      [[], "a list"],
      [{}, "object"],
      [Symbol(), "symbol"],
    ];
    for (const [time, name] of wrong) {
      assertThrows(() => server.shutdown(time as number), RangeError, `Cannot shut down: ${name} is not a number of seconds`);
    }
    go();
    client.destroy();
    server.shutdown();
    await server.finished;
  });

  test(`${style}: a server starts again after shutdown(), on the same port, with the same handlers and a new finished`, async () => {
    const { server, client, go } = await busy(style);
    const { port, finished } = server;
    go();
    client.destroy();
    server.shutdown();
    await finished;
    server.set({ max_wait_time: 1 });
    await server.start();
    assertEquals([server.port, server.finished === finished], [port, false]);
    assertThrows(() => server.set({ max_wait_time: 2 }), Error, "has started");
    const again = await RawClient.connect(port);
    again.send(GET);
    assertEquals((await again.readAnswer()).body, "at once");
    again.destroy();
    server.shutdown();
    await server.finished;
  });
}

test("a response that is being made is cut off when the time is over, and its close is called once", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  const called = signal();
  const closed: number[] = [];
  server.on("request", () => {
    called.resolve();
    return new Promise(() => {});
  });
  server.on("close", (_server, fd) => closed.push(fd));
  await server.start();
  const client = await RawClient.connect(server.port);
  client.send(GET);
  await called.promise;
  server.shutdown(0.05);
  await client.whenEnded();
  await server.finished;
  client.destroy();
  assertEquals(closed, [1]);
});

test("shutdown(0) of the event style says 1001 to WebSockets all the same", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  await server.start();
  const client = await RawClient.open(server.port);
  server.shutdown(0);
  const frame = await client.readFrame();
  assertEquals([frame?.opcode, [...frame!.payload]], [8, [3, 233]]);
  client.destroy();
  await server.finished;
});

test("finished waits for message handlers, those that reject too, but not for ever", async () => {
  for (const outcome of ["resolves", "rejects", "never"]) {
    const called = signal();
    const go = signal();
    const told: string[] = [];
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ max_wait_time: outcome === "never" ? 0.05 : 30, websocket_close_timeout: 0.05, log_level: 6 });
    server.on("error", (_server, error) => void told.push(String(error)));
    server.on("message", async () => {
      called.resolve();
      await (outcome === "never" ? new Promise(() => {}) : go.promise);
      told.push("settled");
      if (outcome === "rejects") throw "rejected";
    });
    await server.start();
    const client = await RawClient.open(server.port);
    client.send(frame({ opcode: 1, payload: "x" }));
    await called.promise;
    server.shutdown();
    await client.whenEnded();
    client.destroy();
    while (server.stats().connection_num > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    if (outcome !== "never") setTimeout(go.resolve, 50); // when nothing else is left to wait for
    await server.finished;
    assertEquals(told, { resolves: ["settled"], rejects: ["settled", "rejected"], never: [] }[outcome]);
  }
});

test("finished waits for close, workerStop and shutdown handlers, too, and for those of timers", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const lines: string[] = [];
  const slowly = (name: string) => async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    lines.push(name);
  };
  server.on("message", () => {});
  for (const event of ["close", "workerStop", "shutdown"] as const) server.on(event, slowly(event));
  await server.start();
  const client = await RawClient.open(server.port);
  const ticked = signal();
  server.after(1, () => {
    ticked.resolve();
    return slowly("after")();
  });
  await ticked.promise;
  client.destroy();
  server.shutdown();
  await server.finished;
  assertEquals(lines.sort(), ["after", "close", "shutdown", "workerStop"]);
});

test("of a server that starts again fds go on, counters begin anew, timers are gone, all ports listen where they did", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const opened: number[] = [];
  let timer = 0;
  server.set({ websocket_compression: true });
  server.on("open", (_server, { fd }) => opened.push(fd));
  server.on("message", (server, { fd, data }) => server.push(fd, data));
  const second = server.listen("127.0.0.1", 0);
  let port = 0;
  for (let life = 0; life < 3; life++) {
    await serving(server, async () => {
      for (const at of [server.port, second.port]) {
        const client = await RawClient.open(at);
        client.destroy();
      }
      if (life === 0) {
        port = second.port;
        timer = server.tick(3_600_000, () => {});
      } else {
        assertEquals(server.clearTimer(timer), false);
      }
      assertEquals([second.port, server.stats().accept_count], [port, 2]);
    });
  }
  assertEquals(opened, [1, 2, 3, 4, 5, 6]);
});

test("a server that cannot start again says so, and can be tried once more", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", (_request, response) => response.end());
  await serving(server, async () => {});
  const other = new HttpServer("127.0.0.1", server.port);
  other.on("request", () => {});
  await serving(other, async () => {
    await assertRejects(() => server.start(), Error, "in use");
  });
  await serving(server, async () => {});
});
