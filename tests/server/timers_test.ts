import { assertEquals, assertFalse, assertThrows } from "@std/assert";
import { test } from "node:test";
import { WebSocketServer } from "../../mod.ts";
import { serving } from "../support/serving.ts";
import { EventLog } from "./event_log.ts";

function idleServer(): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  return server;
}

test("defer() runs a function at the end of the turn", async () => {
  await serving(idleServer(), async (server) => {
    const log = new EventLog();
    server.defer(() => log.add("deferred"));
    server.after(1, () => log.add("after"));
    log.add("now");
    await log.until("after");
    assertEquals(log.lines, ["now", "deferred", "after"]);
  });
});

test("tick() runs a function again and again, until it is cleared", async () => {
  await serving(idleServer(), async (server) => {
    const log = new EventLog();
    const id = server.tick(
      1,
      (timerId, name, count) => {
        log.add(`${name} ${count} ${timerId === id}`);
        if (log.lines.length === 3) log.add(`${server.clearTimer(timerId)} ${server.clearTimer(timerId)}`);
      },
      "tick",
      7,
    );
    await log.until("true false");
    const again = new EventLog();
    server.after(5, () => again.add("later"));
    await again.until("later");
    assertEquals(log.lines, ["tick 7 true", "tick 7 true", "tick 7 true", "true false"]);
  });
});

test("after() runs a function once", async () => {
  await serving(idleServer(), async (server) => {
    const log = new EventLog();
    const id = server.after(1, (...args) => log.add(`after ${args}`), "a", 1);
    await log.until("after a,1");
    assertFalse(server.clearTimer(id)); // it is over
    const ids = [server.after(1000_000, () => log.add("never")), server.after(1, () => log.add("end"))];
    assertEquals(new Set([id, ...ids]).size, 3);
    assertEquals(server.clearTimer(ids[0]), true);
    await log.until("end");
    assertEquals(log.lines, ["after a,1", "end"]);
  });
});

test("a timer needs a time from 1 ms to 2147483647 ms", () => {
  const server = idleServer();
  for (const ms of [0, -1, NaN, 2147483648, Infinity]) {
    assertThrows(() => server.tick(ms, () => {}), RangeError, String(ms));
    assertThrows(() => server.after(ms, () => {}), RangeError, String(ms));
  }
  const id = server.after(2147483647, () => {});
  assertEquals(server.clearTimer(id), true);
  assertFalse(server.clearTimer(id));
  assertFalse(server.clearTimer(-1));
});

test("a server that stops clears its timers", async () => {
  const server = idleServer();
  await server.start();
  const ids = [server.tick(1000_000, () => {}), server.after(1000_000, () => {})];
  server.shutdown();
  await server.finished;
  assertEquals(ids.map((id) => server.clearTimer(id)), [false, false]);
});

test("what a timer throws or rejects with goes to the error event, and the timer goes on", async () => {
  const log = new EventLog();
  const server = idleServer();
  server.on("error", (it, error, fd) => log.add(`error ${it === server} ${(error as Error).message} ${fd}`));
  await serving(server, async (server) => {
    const fail = (message: string) => {
      throw new Error(message);
    };
    server.defer(() => fail("defer"));
    server.defer(() => Promise.reject(new Error("defer later")));
    server.after(1, () => fail("after"));
    server.after(1, () => Promise.reject(new Error("after later")));
    let count = 0;
    const id = server.tick(1, () => {
      if (++count === 2) server.clearTimer(id);
      fail(`tick ${count}`);
    });
    await log.count(6);
  });
  assertEquals(log.lines.sort(), [
    "error true after 0",
    "error true after later 0",
    "error true defer 0",
    "error true defer later 0",
    "error true tick 1 0",
    "error true tick 2 0",
  ]);
});
