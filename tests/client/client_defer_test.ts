/** Requests of `HttpClient` whose answers are received later: `setDefer()`, `defer`, `recv()`. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type net from "node:net";
import { test } from "node:test";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { settle } from "../support/memory_client.ts";
import { serverFor } from "./client_servers.ts";
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
      const receiving = it.client.recvResponse();
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
  await assertRejects(() => it.client.get("/"), Error, "recvResponse()");
  await assertRejects(() => it.client.upgrade("/"), Error, "recvResponse()");
  it.lane.receive(ok("answer"));
  await assertRejects(() => it.client.get("/"), Error, "recvResponse()");
  assertEquals([await it.client.recvResponse(), it.client.body], [true, "answer"]);
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
  assertEquals([await it.client.recvResponse(), it.client.body], [true, "next"]);
});

test("recv() without a request is false; one that gives up drops the connection: 110", async () => {
  const it = scripted({ defer: true });
  assertEquals([await it.client.recv(), it.client.errCode], [false, 5001]);
  await it.client.get("/");
  assertEquals([await it.client.recv(0.02), it.client.statusCode, it.client.errCode], [false, -2, 110]);
  assertEquals([it.lane.aborted, it.client.connected], [true, false]);
});

test("recv() does what recvResponse() does, which without a request is false", async () => {
  const it = scripted({ defer: true });
  await it.client.get("/");
  it.lane.receive(ok("answer"));
  assertEquals<unknown>([await it.client.recv(), it.client.body], [true, "answer"]);
  assertEquals([await it.client.recvResponse(), it.client.errCode], [false, 5001]);
  assertEquals(it.client.errMsg.includes("no response is pending"), true, it.client.errMsg);
  await assertRejects(() => it.client.recvResponse(NaN), TypeError, "the timeout has to be a number of seconds");
});

test("recv() with a timeout that is no number is a TypeError, and the answer can still be received", async () => {
  const it = scripted({ defer: true });
  await it.client.get("/");
  for (const timeout of [NaN, "1", null]) {
    assertThrows(() => it.client.recv(timeout as number), TypeError, "Cannot receive: the timeout has to be a number of seconds");
  }
  it.lane.receive(ok("answer"));
  assertEquals([await it.client.recvResponse(), it.client.body], [true, "answer"]);
});

test("recv() waits longer than read_timeout when it is told so", async () => {
  const it = scripted({ defer: true, read_timeout: 0.1 });
  await it.client.get("/");
  const receiving = it.client.recvResponse(-1);
  await new Promise((resolve) => setTimeout(resolve, 250));
  it.lane.receive(ok("late"));
  assertEquals([await receiving, it.client.body], [true, "late"]);
});

/** Does something while the clock stands still: no timeout ends, however slow the machine is. */
async function withoutTime(work: () => Promise<void>): Promise<void> {
  const { now } = performance;
  const time = performance.now();
  performance.now = () => time;
  try {
    await work();
  } finally {
    performance.now = now;
  }
}

test("the time limit of recv() holds after bytes have arrived, too, and not that of the request", async () => {
  for (const read_timeout of [-1, 3600]) {
    let received = "";
    const it = scripted({
      defer: true,
      read_timeout,
      write_func: (_client, piece) => received += new TextDecoder().decode(piece),
    });
    await it.client.get("/");
    await requestOf(it.lane);
    const receiving = it.client.recvResponse(0.02);
    await withoutTime(async () => {
      it.lane.receive(ok("a long body").slice(0, -4));
      await new Promise((resolve) => setTimeout(resolve, 100)); // the timer rings, but it is not yet time
      it.lane.receive("b");
      await settle();
      assertEquals([received, it.client.connected], ["a long b", true]);
    });
    assertEquals([await receiving, it.client.statusCode, it.client.errCode], [false, -2, 110]);
  }
});

test("the time limit of recv() holds when the request is repeated on another connection", async () => {
  for (const early of [false, true]) {
    const asked: net.Socket[] = [];
    let onAsked = () => {};
    const onConnection = (socket: net.Socket) =>
      socket.on("data", () => {
        asked.push(socket);
        onAsked();
      });
    await serverFor(onConnection, async (port, connections) => {
      const requests = (count: number) =>
        new Promise<void>((resolve) =>
          (onAsked = () => {
            if (asked.length >= count) resolve();
          })()
        );
      const client = new HttpClient("127.0.0.1", port);
      client.set({ defer: true, read_timeout: 3600 });
      await client.get("/");
      await requests(1);
      asked[0].write(ok("first"));
      assertEquals(await client.recvResponse(), true);
      await client.get("/again");
      await requests(2);
      let receiving: Promise<boolean> | undefined;
      await withoutTime(async () => {
        if (early) receiving = client.recvResponse(0.02);
        asked[1].end();
        await requests(3);
        receiving ??= client.recvResponse(0.02);
      });
      assertEquals([await receiving, client.statusCode, client.errCode, connections()], [false, -2, 110, 2]);
    });
  }
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
