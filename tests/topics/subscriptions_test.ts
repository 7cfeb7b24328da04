// Who subscribes to which topics, and what is left when they have gone.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpServer, type ServerSettings, type WebSocketServer } from "../../mod.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { closeFrame } from "../support/raw_client.ts";
import { settle } from "../support/activity.ts";
import { FakeLane, FakePipe } from "../support/fake_lane.ts";
import { signal } from "../support/serving.ts";
import { heard, join, joinTopic, quietServer, staging } from "./stage.ts";

/** What `stats()` says of topics: how many there are, and how many subscriptions. */
function counted(server: WebSocketServer): number[] {
  const { topic_num, subscription_num } = server.stats();
  return [topic_num, subscription_num];
}

test("a WebSocket subscribes once, and unsubscribes once", async () => {
  const server = quietServer();
  await staging(server, () => {
    const { fd } = join(server);
    assertEquals([server.subscriberCount("a"), server.topics(fd), counted(server)], [0, [], [0, 0]]);
    assertEquals([server.subscribe(fd, "a"), server.subscribe(fd, "b"), server.subscribe(fd, "a")], [true, true, true]);
    assertEquals([server.subscriberCount("a"), server.topics(fd), counted(server)], [1, ["a", "b"], [2, 2]]);
    server.topics(fd).push("c"); // the list is the program's
    assertEquals([server.unsubscribe(fd, "a"), server.unsubscribe(fd, "a"), server.unsubscribe(fd, "c")], [true, false, false]);
    assertEquals([server.subscriberCount("a"), server.topics(fd), counted(server)], [0, ["b"], [1, 1]]);
    assertEquals(server.unsubscribe(fd, "b"), true);
    assertEquals([server.topics(fd), counted(server), server.getLastError()], [[], [0, 0], 0]);
    assertEquals(server.subscribe(`${fd}` as never, "a"), true); // an fd may be digits
    assertEquals([server.topics(`${fd}` as never), server.unsubscribe(`${fd}` as never, "a")], [["a"], true]);
  });
});

test("a topic is a text of 1 to 255 bytes of UTF-8", async () => {
  const server = quietServer();
  await staging(server, () => {
    const { fd } = join(server);
    const longest = [
      "x".repeat(255),
      "é".repeat(127),
      "é".repeat(127) + "x",
      "語".repeat(85),
      "🌊".repeat(63) + "abc",
      " ",
      "\0",
      "*",
    ];
    for (const topic of longest) {
      assertEquals([server.subscribe(fd, topic), server.publish(topic, "x"), server.unsubscribe(fd, topic)], [true, 1, true]);
    }
    const none = [
      "",
      "x".repeat(256),
      "é".repeat(128),
      "語".repeat(85) + "x",
      "🌊".repeat(64),
      "\ud83c",
      "a\udf0ab",
      "\udf0a\ud83c",
    ];
    for (const topic of none) {
      for (const attempt of [() => server.subscribe(fd, topic), () => server.publish(topic, "x")]) {
        assertEquals(server.publish("a", "x", { opcode: 9 }), false); // another code
        assertEquals([attempt(), server.getLastError()], [false, 505]);
      }
      assertEquals([server.unsubscribe(fd, topic), server.subscriberCount(topic)], [false, 0]);
    }
    assertEquals(counted(server), [0, 0]);
    for (const topic of [undefined, null, 1, new Uint8Array(1), {}] as never[]) {
      const attempts = [
        () => server.subscribe(fd, topic),
        () => server.unsubscribe(fd, topic),
        () => server.publish(topic, "x"),
        () => server.subscriberCount(topic),
      ];
      for (const attempt of attempts) assertThrows(attempt, TypeError, "a topic is a string, not ");
    }
  });
});

test("what cannot subscribe is told why", async () => {
  const server = quietServer();
  server.on("request", (_request, response) => void response.detach());
  const raw = server.listen("127.0.0.1", 0);
  raw.set({ open_tcp_nodelay: true });
  raw.on("receive", () => {});
  await staging(server, () => {
    const tell = (fd: number) => [server.subscribe(fd, "a"), server.getLastError()];
    assertEquals(tell(1), [false, 1005]);
    assertEquals([server.unsubscribe(1, "a"), server.getLastError()], [false, 1005]);
    const bytes = raw.accept(new FakePipe(new FakeLane()));
    assertEquals(tell(bytes), [false, 8503]);
    const lane = new FakeLane();
    const http = server.accept(new FakePipe(lane));
    assertEquals(tell(http), [false, 8503]);
    lane.receive("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals(tell(http), [false, 8503]);
    const member = join(server);
    server.disconnect(member.fd);
    assertEquals(tell(member.fd), [false, 1003]);
    member.lane.receive(closeFrame(1000));
    assertEquals(tell(member.fd), [false, 1005]);
    assertThrows(() => server.subscribe({} as never, "a"), TypeError, "an fd is a number");
    assertEquals(counted(server), [0, 0]);
  });
  assertThrows(() => (new HttpServer() as WebSocketServer).publish("a", "x"), TypeError, "it is a method of WebSocketServer");
});

for (const [settings, limit] of [[{}, 1024], [{ max_topics_per_connection: 2 }, 2]] as [ServerSettings, number][]) {
  test(`a connection has at most ${limit} topics`, async () => {
    const server = quietServer(settings);
    await staging(server, () => {
      const [one, other] = [join(server), join(server)];
      for (let i = 0; i < limit; i++) assertEquals(server.subscribe(one.fd, `topic ${i}`), true);
      assertEquals([server.subscribe(one.fd, "one more"), server.getLastError()], [false, 506]);
      assertEquals(server.subscribe(one.fd, "topic 0"), true); // it is subscribed already
      assertEquals(server.subscribe(other.fd, "one more"), true);
      assertEquals([server.topics(one.fd).length, counted(server)], [limit, [limit + 1, limit + 1]]);
      server.unsubscribe(one.fd, "topic 1");
      assertEquals([server.subscribe(one.fd, "one more"), server.subscribe(one.fd, "topic 1")], [true, false]);
    });
  });
}

test("with max_topics_per_connection 1 a connection has one topic", async () => {
  const server = quietServer({ max_topics_per_connection: 1 });
  await staging(server, () => {
    const { fd } = join(server);
    assertEquals([server.subscribe(fd, "a"), server.subscribe(fd, "b"), server.unsubscribe(fd, "a")], [true, false, true]);
    assertEquals([server.subscribe(fd, "b"), server.topics(fd)], [true, ["b"]]);
  });
});

for (const event of ["beforeHandshakeResponse", "authenticate"] as const) {
  test(`a subscription of \`${event}\` is effective from \`open\` on`, async () => {
    const server = quietServer();
    const [begun, go] = [signal<number>(), signal()];
    server.on(event, async (request, response, server) => {
      for (const topic of ["a", "b", "a", "c"]) assertEquals(server.subscribe(request.fd, topic), true);
      assertEquals(server.unsubscribe(request.fd, "b"), true);
      begun.resolve(request.fd);
      await go.promise;
      const isRefused = request.get.refuse !== undefined;
      if (isRefused) response.status(401);
      if (isRefused && event !== "authenticate") response.end();
      return !isRefused;
    });
    const left: string[][] = [];
    server.on("close", (server, fd) => void left.push(server.topics(fd)));
    server.on("open", (server, request) => void server.publish("a", `open ${server.topics(request.fd)}`));
    await staging(server, async () => {
      const [member, refused] = [join(server), join(server, "/?refuse=1")];
      assertEquals(await begun.promise, member.fd);
      assertEquals([server.topics(member.fd), server.topics(refused.fd)], [["a", "c"], ["a", "c"]]);
      assertEquals([server.publish("a", "too early"), server.subscriberCount("a"), counted(server)], [0, 0, [0, 0]]);
      go.resolve();
      await settle();
      assertEquals([server.subscriberCount("a"), server.subscriberCount("b"), counted(server)], [1, 0, [2, 2]]);
      assertEquals([server.topics(member.fd), server.topics(refused.fd)], [["a", "c"], []]);
      assertEquals(server.publish("c", "later"), 1);
      await settle();
      const text = member.lane.text;
      assert(text.includes("\x81\x08open a,c\x81\x05later"), text);
      assert(refused.lane.text.startsWith("HTTP/1.1 401 "), refused.lane.text);
      assertEquals(left, [[]]);
    });
  });
}

test("a `handshake` handler may subscribe before and after its response", async () => {
  const server = quietServer();
  server.on("handshake", (request, response) => {
    assertEquals(server.subscribe(request.fd, "before"), true);
    response.status(101);
    response.header("Upgrade", "websocket");
    response.header("Connection", "Upgrade");
    response.header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    response.end();
    assertEquals(server.subscribe(request.fd, "behind"), true);
  });
  await staging(server, async () => {
    const member = join(server);
    assertEquals([server.publish("before", "1"), server.publish("behind", "2")], [1, 1]);
    assertEquals(await heard(member), ["1", "2"]);
  });
});

test("in `close` the topics are those that it had, and it is no subscriber any more", async () => {
  const server = quietServer();
  const seen: unknown[] = [];
  const closing = signal();
  server.on("close", async (server, fd) => {
    seen.push(server.topics(fd), server.subscriberCount("a"), server.publish("a", "gone"), server.subscribe(fd, "a"));
    seen.push(server.getLastError(), server.unsubscribe(fd, "a"));
    await closing.promise;
    seen.push(server.topics(fd));
    for (const topic of server.topics(fd)) server.publish(topic, "later");
  });
  await staging(server, async () => {
    const [leaver, other] = joinTopic(server, 2, "a");
    server.subscribe(leaver.fd, "b");
    leaver.lane.receive(closeFrame(1000));
    closing.resolve();
    assertEquals(await heard(other), ["gone", "later"]);
    assertEquals(seen, [["a", "b"], 1, 1, false, 1005, false, ["a", "b"]]);
    assertEquals([server.topics(leaver.fd), counted(server)], [[], [1, 1]]);
  });
});

test("nothing is left of connections and topics that have gone", async () => {
  const server = quietServer();
  await staging(server, async () => {
    const members = Array.from({ length: 50 }, () => join(server));
    for (const [index, { fd }] of members.entries()) {
      for (let i = 0; i < 40; i++) server.subscribe(fd, `topic ${(index + i) % 60}`);
    }
    assertEquals(counted(server), [60, 2000]);
    const { topics } = coreOf(server).context;
    assertEquals(topics!.size, 60);
    for (const [index, member] of members.entries()) {
      if (index % 4 === 0) member.lane.receive(closeFrame(1000));
      else if (index % 4 === 1) server.close(member.fd, true);
      else if (index % 4 === 2) member.lane.sink.onClose(new Error("reset"));
      else for (let i = 0; i < 60; i++) server.unsubscribe(member.fd, `topic ${i}`);
    }
    await settle();
    assertEquals(counted(server), [0, 0]);
    assertEquals([topics!.size, topics!.subscriberSize], [0, 0]);
  });
});

test("topics begin anew with the server", async () => {
  const server = quietServer();
  await server.start();
  joinTopic(server, 1);
  assertEquals([server.publish("room", "x"), server.stats().publish_count], [1, 1]);
  server.shutdown(0);
  await server.finished;
  assertEquals(counted(server), [0, 0]);
  await server.start();
  assertEquals([server.subscriberCount("room"), server.publish("room", "x"), server.stats().publish_count], [0, 0, 1]);
  server.shutdown(0);
  await server.finished;
});
