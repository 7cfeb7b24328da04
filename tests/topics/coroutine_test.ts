// Topics in the coroutine style.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpClient, type HttpResponse, HttpServer, type SlowReader } from "../../src/coroutine/mod.ts";
import type { HttpRequest, ServerSettings } from "../../mod.ts";
import { settle } from "../support/activity.ts";
import { FakeLane, FakePipe } from "../support/fake_lane.ts";
import { closeFrame, handshake } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";
import { block, heard, join, type Member, says, unblock } from "./stage.ts";

type Handler = (ws: HttpResponse, request: HttpRequest, server: HttpServer) => unknown;

/** Runs a test with a server whose handler subscribes to what it says. */
async function staging(
  handler: Handler,
  test: (server: HttpServer) => Promise<void>,
  settings: ServerSettings = {},
): Promise<void> {
  const server = new HttpServer("127.0.0.1");
  server.set({ log_level: 6, websocket_close_timeout: 0.1, websocket_ping_interval: 0, ...settings });
  server.handle("/", (request, ws) => handler(ws, request, server));
  try {
    await test(server);
  } finally {
    server.shutdown(0);
    await server.finished;
  }
}

/** Subscribes to the topics of the query, then publishes what it receives to the first of them. */
const room: Handler = async (ws, request, server) => {
  await ws.upgrade();
  const topics = String(request.get.topics).split(",");
  for (const topic of topics) ws.subscribe(topic);
  for await (const frame of ws) server.publish(topics[0], frame, { except: request.fd });
};

async function enter(server: HttpServer, topics: string): Promise<Member> {
  const member = join(server as never, `/?topics=${topics}`);
  await settle();
  return member;
}

test("publish() and broadcast() reach the WebSockets of the coroutine style", () =>
  staging(room, async (server) => {
    const [one, two, three] = [await enter(server, "a"), await enter(server, "a,b"), await enter(server, "b")];
    for (const member of [one, two, three]) member.lane.writes.length = 0;
    assertEquals([server.subscriberCount("a"), server.subscriberCount("b"), server.subscriberCount("c")], [2, 2, 0]);
    assertEquals([server.publish("a", "to a"), server.publish("b", "to b"), server.broadcast("all", { except: three.fd })], [
      2,
      2,
      2,
    ]);
    says(one, "from one");
    assertEquals(await heard(one), ["to a", "all"]);
    assertEquals(await heard(two), ["to a", "to b", "all", "from one"]);
    assertEquals(await heard(three), ["to b"]);
    one.lane.receive(closeFrame(1000));
    await settle();
    assertEquals([server.subscriberCount("a"), server.publish("a", "x")], [1, 1]);
    assertEquals([server.publish("a", "x", { opcode: 9 }), server.getLastError()], [false, 8505]);
    assertEquals([server.publish("", "x"), server.getLastError()], [false, 505]);
    assertThrows(() => server.publish(1 as never, "x"), TypeError, "a topic is a string");
  }));

test("subscribe(), unsubscribe() and topics() of a response tell what is wrong", async () => {
  const done = signal();
  const act: Handler = async (ws, request, server) => {
    if (request.get.plain !== undefined) {
      assertEquals([ws.subscribe("a"), ws.getLastError(), ws.topics(), ws.unsubscribe("a")], [false, 8503, [], false]);
      return ws.end("plain");
    }
    assertEquals([ws.subscribe("early"), ws.topics()], [true, ["early"]]);
    await ws.upgrade();
    assertEquals([ws.subscribe("a"), ws.subscribe("a"), ws.topics()], [true, true, ["early", "a"]]);
    assertEquals([ws.subscribe(""), ws.getLastError()], [false, 505]);
    assertEquals([ws.subscribe("b"), ws.getLastError()], [false, 506]);
    assertEquals([ws.unsubscribe("a"), ws.unsubscribe("a"), server.subscriberCount("a")], [true, false, 0]);
    assertThrows(() => ws.subscribe(undefined as never), TypeError, "a topic is a string");
    assertThrows(() => ws.unsubscribe(1 as never), TypeError, "a topic is a string");
    const how = String(request.get.how);
    if (how === "disconnect") ws.disconnect();
    else if (how === "close") ws.close();
    else while (await ws.recv());
    const codes: Record<string, number> = { disconnect: 8503, close: 9, reset: 32 };
    assertEquals([ws.subscribe("a"), ws.getLastError()], [false, codes[how]]);
    done.resolve();
  };
  await staging(act, async (server) => {
    const errors: unknown[] = [];
    server.on("error", (_server, error) => void errors.push(error));
    const lane = new FakeLane();
    server.accept(new FakePipe(lane));
    lane.receive("GET /?plain=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    for (const how of ["disconnect", "close", "reset"]) {
      const member = join(server as never, `/?how=${how}`);
      await settle();
      if (how === "reset") member.lane.sink.onClose(new Error("reset"));
      await settle();
    }
    await done.promise;
    await settle();
    assertEquals([errors, server.subscriberCount("early")], [[], 1]); // the first one waits for the Close of its client
    assert(lane.text.endsWith("plain"), lane.text);
  }, { max_topics_per_connection: 2 });
});

test("a response that is over does not subscribe the WebSocket that its connection has become", async () => {
  const responses: HttpResponse[] = [];
  const keep: Handler = async (ws, request) => {
    responses.push(ws);
    if (request.get.plain !== undefined) return ws.end("plain");
    await ws.upgrade();
    ws.subscribe("own");
    while (await ws.recv());
  };
  await staging(keep, async (server) => {
    const lane = new FakeLane();
    server.accept(new FakePipe(lane));
    lane.receive("GET /?plain=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    await settle();
    lane.receive(handshake());
    await settle();
    const [plain, ws] = responses;
    assertEquals([plain.subscribe("other"), plain.getLastError(), plain.unsubscribe("own"), plain.topics()], [
      false,
      8503,
      false,
      [],
    ]);
    assertEquals(ws.topics(), ["own"]);
    lane.sink.onClose();
    assertEquals([ws.topics(), ws.unsubscribe("own")], [[], false]);
  });
});

test("what is published does not overtake pushes that wait, and is limited like any output", async () => {
  const opened = signal<HttpResponse>();
  const slow: SlowReader[] = [];
  const hold: Handler = async (ws) => {
    await ws.upgrade();
    ws.subscribe("room");
    opened.resolve(ws);
    while (await ws.recv());
  };
  await staging(hold, async (server) => {
    server.on("slowReader", (_server, reader) => void slow.push(reader));
    const member = await enter(server, "");
    const ws = await opened.promise;
    member.lane.writes.length = 0;
    block(member);
    ws.push("1".repeat(60));
    ws.push("2".repeat(60)); // the queue is full at 100 bytes
    const waiting = ws.push("3".repeat(60));
    assertEquals([server.publish("room", "4"), server.publish("room", "5".repeat(100))], [1, 1]);
    ws.push("6");
    await unblock(member);
    assertEquals((await heard(member)).map((text) => String(text)[0]), ["1", "2", "3", "4", "5", "6"]);
    assertEquals([await waiting, slow], [true, []]);
    block(member);
    ws.push("a".repeat(120));
    ws.push("b", 1, 0); // a message in fragments waits, with messages in between
    server.publish("room", "c");
    ws.push("d", 0, 0);
    server.publish("room", "e");
    ws.push("f", 0);
    server.publish("room", "g");
    await unblock(member);
    assertEquals((await heard(member)).map((text) => String(text)[0]), ["a", "b", "d", "f", "c", "e", "g"]);
    block(member);
    const counts = Array.from({ length: 8 }, () => server.publish("room", "x".repeat(100)));
    assertEquals(counts, [1, 1, 1, 1, 1, 1, 1, 0]);
    assertEquals(slow.map(({ fd, topic, policy }) => [fd, topic, policy]), [[1, "room", "close"]]);
    await unblock(member);
    assertEquals((await heard(member)).at(-1), 1013);
    assertEquals(ws.closeInfo?.code, 1013);
  }, { socket_buffer_size: 800, buffer_high_watermark: 100, buffer_low_watermark: 0 });
});

test("a room of the coroutine style on real sockets", async () => {
  const server = new HttpServer("127.0.0.1");
  server.handle("/", (request, ws) => room(ws, request, server));
  await serving(server, async (server, port) => {
    const clients = await Promise.all(Array.from({ length: 20 }, async () => {
      const client = new HttpClient("127.0.0.1", port);
      await client.upgrade("/?topics=room");
      return client;
    }));
    while (server.subscriberCount("room") < clients.length) await new Promise((resolve) => setTimeout(resolve, 1));
    await clients[0].push("hello");
    for (const client of clients.slice(1)) {
      const frame = await client.recv(10);
      assertEquals(frame && frame.data, "hello");
    }
    for (const client of clients) client.close();
    while (server.subscriberCount("room") > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  });
});
