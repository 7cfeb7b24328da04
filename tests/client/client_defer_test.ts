/** Requests of `HttpClient` whose answers are received later: `setDefer()`, `defer`, `recv()`. */

import { assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { settle } from "../support/memory_client.ts";
import { answered, ok, opened, reconnect, requestOf, scripted } from "./client_stage.ts";

test("with defer a request resolves when it is out, and recv() gives the answer", async () => {
  for (const set of [(client: HttpClient) => client.setDefer(), (client: HttpClient) => client.set({ defer: true })]) {
    const it = scripted();
    assertEquals(it.client.getDefer(), false);
    assertEquals([set(it.client), it.client.getDefer()], [true, true]);
    for (const early of [false, true]) {
      assertEquals(await it.client.post("/", "data"), true);
      assertEquals((await requestOf(it.lane)).endsWith("\r\n\r\ndata"), true);
      assertEquals(it.client.body, "");
      if (early) it.lane.receive(ok("answer"));
      const receiving = it.client.recv<true>();
      if (!early) it.lane.receive(ok("answer"));
      assertEquals([await receiving, it.client.statusCode, it.client.body], [true, 200, "answer"]);
      it.client.bytes = new Uint8Array(0);
    }
    assertEquals([it.client.setDefer(false), it.client.getDefer()], [true, false]);
    assertEquals([(await answered(it, ok("at once"))).result, it.client.body], [true, "at once"]);
  }
});

test("before its answer was received no other request is sent; close() forgets it", async () => {
  const it = scripted({ defer: true });
  await it.client.get("/");
  await assertRejects(() => it.client.get("/"), Error, "recv()");
  await assertRejects(() => it.client.upgrade("/"), Error, "recv()");
  it.lane.receive(ok("answer"));
  await assertRejects(() => it.client.get("/"), Error, "recv()");
  assertEquals([await it.client.recv<true>(), it.client.body], [true, "answer"]);
  await it.client.get("/");
  assertEquals([it.client.close(), it.client.connected], [true, false]);
  assertEquals([await it.client.recv(), it.client.errCode], [false, 5001]);
  const lane = reconnect(it.client);
  await it.client.get("/");
  lane.receive(ok("unread", "Connection: close\r\n"));
  lane.sink.onClose();
  await settle();
  assertEquals(it.client.close(), false);
  const next = reconnect(it.client);
  await it.client.get("/");
  next.receive(ok("next"));
  assertEquals([await it.client.recv<true>(), it.client.body], [true, "next"]);
});

test("recv() without a request is false; one that gives up drops the connection: 110", async () => {
  const it = scripted({ defer: true });
  assertEquals([await it.client.recv(), it.client.errCode], [false, 5001]);
  await it.client.get("/");
  assertEquals([await it.client.recv(0.02), it.client.statusCode, it.client.errCode], [false, -2, 110]);
  assertEquals([it.lane.aborted, it.client.connected], [true, false]);
});

test("recv() waits longer than read_timeout when it is told so", async () => {
  const it = scripted({ defer: true, read_timeout: 0.1 });
  await it.client.get("/");
  const receiving = it.client.recv<true>(-1);
  await new Promise((resolve) => setTimeout(resolve, 250));
  it.lane.receive(ok("late"));
  assertEquals([await receiving, it.client.body], [true, "late"]);
});

test("a request that does not get out is false at once; a reset after that is recv()'s", async () => {
  const nowhere = new HttpClient("no-such-host.invalid");
  nowhere.setDefer();
  assertEquals([await nowhere.get("/"), nowhere.statusCode, nowhere.errCode], [false, -1, 711]);
  await assertRejects(() => nowhere.get("no path"), TypeError);
  assertEquals([await nowhere.recv(), nowhere.errCode], [false, 5001]);
  const it = scripted({ defer: true });
  assertEquals(await it.client.get("/"), true);
  it.lane.sink.onClose(new Error("reset"));
  assertEquals([await it.client.recv(), it.client.statusCode, it.client.errCode], [false, -3, 104]);
});

test("upgrade() does not defer, and recv() behind it gives messages", async () => {
  const it = await opened({ defer: true }, "\x81\x02hi");
  const frame = await it.client.recv();
  assertEquals(frame && frame.data, "hi");
});
