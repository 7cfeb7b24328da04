// WebSockets that read more slowly than is published: what happens to them, and that nobody else notices.

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { test } from "node:test";
import { type CloseInfo, type ServerSettings, type SlowReader, WebSocketServer } from "../../mod.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { policyFor } from "../../src/topics/topic_settings.ts";
import { settle } from "../support/activity.ts";
import { frame } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";
import { block, framesOf, heard, join, joinTopic, quietServer, says, staging, unblock } from "./stage.ts";

const KIB = 1024;

/** A server with slow readers, which keeps what it is told of them. */
function slowServer(settings: ServerSettings): { server: WebSocketServer; told: Partial<SlowReader>[]; closed: CloseInfo[] } {
  const server = quietServer({ topic_buffer_size: 10 * KIB, ...settings });
  const told: Partial<SlowReader>[] = [];
  const closed: CloseInfo[] = [];
  server.on("slowReader", (_server, { fd, topic, policy, queuedBytes, address }) => {
    assertEquals(address, "127.0.0.1");
    told.push({ fd, topic, policy, queuedBytes });
  });
  server.on("close", (_server, _fd, _reactorId, info) => void closed.push(info));
  return { server, told, closed };
}

/** A message of so many bytes that begins with a text. */
function long(text: string, size = KIB): string {
  return text.padEnd(size, ".");
}

/** What was heard, without the padding. */
async function short(member: Parameters<typeof heard>[0]): Promise<(string | number)[]> {
  return (await heard(member)).map((text) => typeof text === "string" ? text.replace(/\.+$/, "") : text);
}

test("`close`: a slow reader is closed with 1013 at the limit, the others get everything", async () => {
  const { server, told, closed } = slowServer({});
  await staging(server, async () => {
    const [slow, fast] = joinTopic(server, 2);
    block(slow);
    server.push(slow.fd, "x"); // is on its way and not taken, with its header 3 bytes
    await settle();
    const texts = Array.from({ length: 9 }, (_, i) => `${i}`);
    for (const text of texts) {
      assertEquals(server.publish("room", long(text)), 2);
      await settle();
    }
    const queued = 3 + 9 * (KIB + 4);
    const room = 10 * KIB - queued;
    assertEquals(server.publish("room", "y".repeat(room)), 2); // just fits, without its header
    assertEquals([told, closed.length], [[], 0]);
    await settle();
    assertEquals(server.publish("room", "z"), 1);
    assertEquals(told, [{ fd: 1, topic: "room", policy: "close", queuedBytes: queued + room + 4 }]);
    const { code, reason, wasClean, initiator } = closed[0];
    assertEquals([code, reason, wasClean, initiator], [1013, "the client reads too slowly", false, "local"]);
    assertEquals([server.subscriberCount("room"), server.stats().slow_readers], [1, { close: 1, drop: 0, latest: 0, gap: 0 }]);
    assertEquals(server.stats().closes, { "1013": 1 });
    assertEquals(await short(fast), [...texts, "y".repeat(room), "z"]);
    await unblock(slow);
    assertEquals(await short(slow), ["x", ...texts, "y".repeat(room), 1013]);
  });
});

test("a message of any size is sent to who has nothing queued, and the limit is never above socket_buffer_size", async () => {
  const { server, closed } = slowServer({ topic_buffer_size: 100 * KIB, socket_buffer_size: 5 * KIB });
  await staging(server, () => {
    const [slow] = joinTopic(server, 2);
    block(slow);
    assertEquals([server.publish("room", long("1", 50 * KIB)), server.publish("room", "2"), closed.length], [2, 0, 2]);
    // Both have not been written yet when the second is published.
  });
  const port = quietServer({ topic_buffer_size: 0, socket_buffer_size: 5 * KIB });
  const other = port.listen("127.0.0.1", 0);
  other.set({ open_websocket_protocol: true, socket_buffer_size: 50 * KIB });
  await staging(port, async () => {
    const [one, two] = [join(port), join(other)];
    for (const member of [one, two]) {
      block(member);
      port.subscribe(member.fd, "room");
    }
    for (const count of [2, 1, 1, 1, 0, 0]) {
      assertEquals(port.publish("room", long("x", 10 * KIB)), count);
      await settle();
    }
  });
});

test("`drop`: a slow reader misses messages, and is told of once until it has caught up", async () => {
  const { server, told, closed } = slowServer({ topic_slow_readers: "drop" });
  await staging(server, async () => {
    const [slow, fast] = joinTopic(server, 2);
    block(slow);
    for (let round = 1; round <= 2; round++) {
      const counts = [];
      for (let i = 0; i < 13; i++) {
        counts.push(server.publish("room", long(`${i}`)));
        await settle();
      }
      assertEquals(counts, [2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1]);
      const queuedBytes = 9 * (KIB + 4);
      assertEquals(told, Array(round).fill({ fd: 1, topic: "room", policy: "drop", queuedBytes }));
      assertEquals(server.stats().slow_readers, { close: 0, drop: 4 * round, latest: 0, gap: 0 });
      await unblock(slow);
      assertEquals(await short(slow), ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
      assertEquals((await short(fast)).length, 13);
      assertEquals([server.publish("room", "after"), await short(slow), await short(fast)], [2, ["after"], ["after"]]);
      block(slow);
    }
    assertEquals(closed.length, 0);
  });
});

test("`drop`: a slow reader has caught up when half of the limit is free, whatever else happens before", async () => {
  const marks = { buffer_high_watermark: 8 * KIB, buffer_low_watermark: 7 * KIB };
  const { server, told } = slowServer({ topic_slow_readers: "drop", ...marks });
  await staging(server, async () => {
    const [slow] = joinTopic(server, 1);
    block(slow);
    server.push(slow.fd, long("x", 3 * KIB));
    await settle();
    const publish = (count: number) => Array.from({ length: count }, () => server.publish("room", long("y")));
    assertEquals(publish(7), [1, 1, 1, 1, 1, 1, 0]);
    await settle();
    slow.lane.sink.onDrain(); // 6 KiB are left: less than the low watermark
    await settle();
    assertEquals(publish(4), [1, 1, 1, 0]);
    assertEquals(told.length, 1);
    await settle();
    slow.lane.sink.onDrain(); // 3 KiB are left
    await settle();
    assertEquals(publish(7), [1, 1, 1, 1, 1, 1, 0]);
    assertEquals(told.length, 2);
  });
});

test("`latest`: a slow reader gets the newest message of each topic once there is room", async () => {
  const { server, told } = slowServer({ topic_slow_readers: "latest", topic_buffer_size: 3 * KIB });
  await staging(server, async () => {
    const [slow] = joinTopic(server, 1, "a");
    const [fast] = joinTopic(server, 1, "a");
    for (const topic of ["b", "c"]) server.subscribe(slow.fd, topic);
    block(slow);
    for (let i = 0; i < 10; i++) {
      assertEquals(server.publish("a", long(`a${i}`)), 2);
      if (i % 2 === 1) assertEquals(server.publish("b", long(`b${i}`)), 1);
      if (i === 5) assertEquals(server.publish("c", long("c")), 1);
      await settle();
    }
    // Told when a2 was replaced by a3: a0 and a1 are queued, a2 and b1 wait.
    assertEquals(told, [{ fd: 1, topic: "a", policy: "latest", queuedBytes: 2 * (KIB + 4) + 2 * (KIB + 64) }]);
    // a0, a1 are queued; a2 to a8 and b1 to b7 were replaced.
    assertEquals(server.stats().slow_readers, { close: 0, drop: 0, latest: 7 + 4, gap: 0 });
    assertEquals(await short(fast), Array.from({ length: 10 }, (_, i) => `a${i}`));
    server.unsubscribe(slow.fd, "c"); // nothing of it is sent any more
    server.push(slow.fd, "pushed");
    await unblock(slow);
    const all = await short(slow);
    assertEquals(all.slice(0, 3), ["a0", "a1", "pushed"]);
    assertEquals(all.slice(3).sort(), ["a9", "b9"]);
    assertEquals([server.publish("a", "next"), await short(slow)], [2, ["next"]]);
    assertEquals(server.stats().slow_readers.latest, 11);
  });
});

test("`latest`: what has become newer than a held message is never overtaken by it", async () => {
  const { server } = slowServer({ topic_slow_readers: "latest", topic_buffer_size: 2 * KIB });
  await staging(server, async () => {
    const [slow] = joinTopic(server, 1, "a");
    block(slow);
    for (const text of ["1", "2", "3"]) server.publish("a", long(text));
    await settle();
    slow.lane.takes = true;
    slow.lane.sink.onDrain(); // there is room, and what waits is sent in a microtask
    server.publish("a", long("4"));
    assertEquals(await short(slow), ["1", "4"]);
    block(slow);
    for (const text of ["5", "6", "7"]) server.publish("a", long(text));
    await settle();
    server.publish("a", "8", { except: slow.fd });
    await unblock(slow);
    assertEquals(await short(slow), ["5", "7"]);
  });
});

test("`latest`: the limit is at most 64 KiB, and one message above it waits until nothing else is queued", async () => {
  const { server, told } = slowServer({ topic_slow_readers: "latest", topic_buffer_size: 0 });
  await staging(server, async () => {
    const [slow] = joinTopic(server, 1, "a");
    block(slow);
    for (let i = 0; i < 63; i++) server.publish("a", long(`${i}`));
    server.publish("a", long("63")); // waits
    assertEquals(told, []);
    server.publish("a", long("64")); // replaces it
    assertEquals(told.map(({ queuedBytes }) => queuedBytes), [63 * (KIB + 4) + KIB + 64]);
    await unblock(slow);
    assertEquals((await short(slow)).length, 64);
    block(slow);
    server.publish("a", long("small"));
    server.publish("a", long("large", 100 * KIB));
    await settle();
    assertEquals(await short(slow), ["small"]);
    slow.lane.sink.onDrain();
    assertEquals(await short(slow), ["large"]);
    await unblock(slow);
    assertEquals(server.publish("a", "end"), 1);
    assertEquals(await short(slow), ["end"]);
  });
});

test("`latest`: messages of several topics are sent one by one, as there is room", async () => {
  const { server } = slowServer({ topic_slow_readers: "latest", topic_buffer_size: 0 });
  await staging(server, async () => {
    const [slow] = joinTopic(server, 1, "0");
    for (const topic of ["1", "2", "3"]) server.subscribe(slow.fd, topic);
    block(slow);
    server.push(slow.fd, "x".repeat(60 * KIB));
    await settle();
    for (const topic of ["0", "1", "2", "3"]) server.publish(topic, long(topic, 30 * KIB));
    await settle();
    assertEquals((await heard(slow)).length, 1);
    const chunks: (string | number)[][] = [];
    for (let i = 0; i < 5; i++) {
      slow.lane.sink.onDrain(); // takes what is on its way, and no more
      chunks.push(await short(slow));
    }
    assertEquals(chunks, [["0", "1"], ["2", "3"], [], [], []]);
    assertEquals(server.stats().slow_readers.latest, 0);
  });
});

test("`latest`: the same holds when there is room before what waits was sent", async () => {
  const { server } = slowServer({ topic_slow_readers: "latest", topic_buffer_size: 10 * KIB });
  await staging(server, async () => {
    const [slow] = joinTopic(server, 1, "a");
    server.subscribe(slow.fd, "b");
    block(slow);
    server.push(slow.fd, "x");
    await settle();
    server.push(slow.fd, "y".repeat(10 * KIB));
    server.publish("a", "1"); // waits
    slow.lane.sink.onDrain(); // "y" is on its way
    await settle();
    slow.lane.takes = true;
    slow.lane.sink.onDrain(); // nothing is queued any more, but what waits is sent in a microtask
    assertEquals([server.publish("a", "2"), server.publish("b", "3")], [1, 1]);
    assertEquals((await heard(slow)).slice(2), ["3", "2"]);
  });
});

test("a message that is passed on to one subscriber counts with its own length only", async () => {
  const { server, told } = slowServer({ topic_buffer_size: 100 });
  server.on("message", (server, frame) => void server.publish("room", frame));
  await staging(server, async () => {
    const [slow, talker] = [...joinTopic(server, 1), join(server)];
    block(slow);
    server.push(slow.fd, "x".repeat(48));
    await settle();
    says(talker, "y".repeat(50)); // 2 + 48 + 50
    assertEquals(told, []);
    says(talker, "z");
    assertEquals(told.length, 1);
  });
});

test("the messages of other topics go on while the newest of one waits", async () => {
  const { server, told } = slowServer({ topic_slow_readers: { "price": "latest" }, topic_buffer_size: 0 });
  await staging(server, async () => {
    const [slow] = joinTopic(server, 1, "price");
    server.subscribe(slow.fd, "chat");
    block(slow);
    server.push(slow.fd, "x".repeat(64 * KIB));
    server.publish("price", "10");
    for (let i = 0; i < 3; i++) server.publish("chat", `hello ${i}`);
    server.publish("price", "11");
    assertEquals(told.length, 1);
    await unblock(slow);
    assertEquals((await heard(slow)).slice(1), ["hello 0", "hello 1", "hello 2", "11"]);
  });
});

test("the longest pattern that matches decides, and broadcasts match only the star", async () => {
  const policies = { "a/*": "latest", "a/b/*": "drop", "a/b/c": "close", "*": "drop" } as const;
  const expected = { "a/x": "latest", "a/": "latest", "a/b/": "drop", "a/b/cd": "drop", "a/b/c": "close", a: "drop", "": "drop" };
  for (const [topic, policy] of Object.entries(expected)) assertEquals(policyFor(policies, topic), policy, topic);
  assertEquals([policyFor({ "a*": "drop" }, ""), policyFor({ "a*": "drop" }, "b"), policyFor("latest", "")], [
    "close",
    "close",
    "latest",
  ]);
  assertEquals(policyFor({ "*": "drop", ["constructor" as string]: "latest" }, "constructor"), "latest");
  assertEquals([policyFor({}, "constructor"), policyFor({}, "toString")], ["close", "close"]);

  const { server, told, closed } = slowServer({ topic_slow_readers: { "a*": "latest", "*": "drop" }, topic_buffer_size: 100 });
  await staging(server, async () => {
    const [slow] = joinTopic(server, 1, "abc");
    block(slow);
    assertEquals([server.broadcast("x".repeat(100)), server.broadcast("y"), server.publish("abc", "z")], [1, 0, 1]);
    assertEquals(told.map(({ topic, policy }) => [topic, policy]), [["", "drop"]]);
    await unblock(slow);
    assertEquals((await heard(slow)).slice(1), ["z"]);
  });
  assertEquals(closed.map(({ code }) => code), [1006]); // by the test
});

test("settings of topics are checked", () => {
  const server = new WebSocketServer();
  const wrong: [ServerSettings, typeof TypeError | typeof RangeError, string][] = [
    [
      { topic_slow_readers: "wait" as never },
      RangeError,
      'Cannot set topic_slow_readers: "wait" is none of close, drop, latest, gap',
    ],
    [{ topic_slow_readers: 1 as never }, TypeError, "a string or an object is needed, not number"],
    [{ topic_slow_readers: ["drop"] as never }, TypeError, "a string or an object is needed, not a list"],
    [{ topic_slow_readers: null as never }, TypeError, "not null"],
    [{ topic_slow_readers: { a: "wait" as never } }, RangeError, 'Cannot set "a" in topic_slow_readers: "wait" is none of'],
    [{ topic_slow_readers: { "*a": "drop" } }, RangeError, 'in "*a" the * is not at the end'],
    [{ topic_slow_readers: { "a**": "drop" } }, RangeError, 'in "a**" the * is not at the end'],
    [{ topic_slow_readers: { "": "drop" } }, RangeError, '"" matches no topic, which has 1 to 255 bytes of UTF-8'],
    [{ topic_slow_readers: { ["x".repeat(256)]: "drop" } }, RangeError, "matches no topic"],
    [{ topic_buffer_size: -1 }, RangeError, "topic_buffer_size"],
    [{ max_topics_per_connection: 0 }, RangeError, "max_topics_per_connection"],
  ];
  for (const [settings, type, message] of wrong) assertThrows(() => server.set(settings), type, message);
  server.set({
    topic_slow_readers: { "*": "drop", a: "close", "b*": "latest" },
    topic_buffer_size: 1,
    max_topics_per_connection: 1,
  });
  const port = server.listen("127.0.0.1", 0);
  assertThrows(() => port.set({ topic_buffer_size: 1 } as never), TypeError, "it holds for the whole server");
  assertThrows(
    () => port.on("slowReader" as never, (() => {}) as never),
    TypeError,
    "a port has no event slowReader, its server",
  );
});

test("slow readers are in the log once a minute, and in the metrics", async () => {
  const lines: string[] = [];
  const { error } = console;
  console.error = (line: string) => void lines.push(line);
  try {
    const server = quietServer({ log_level: 2, topic_buffer_size: 10, topic_slow_readers: { "p\n*": "latest", "*": "drop" } });
    await staging(server, () => {
      const [one, two] = joinTopic(server, 2, "p\nq");
      for (const member of [one, two]) block(member);
      server.publish("p\nq", "1234567890");
      server.publish("p\nq", "x");
      server.publish("p\nq", "x");
      server.broadcast("x");
      assertEquals(lines.length, 1);
      assertStringIncludes(
        lines[0],
        'fd 1 of 127.0.0.1 is too slow for the topic "p\\nq", with 77 bytes queued: topic_slow_readers says latest',
      );
      const metrics = server.stats("openmetrics");
      for (
        const line of [
          'sluice_slow_consumers_total{action="close"} 0',
          'sluice_slow_consumers_total{action="drop"} 2',
          'sluice_slow_consumers_total{action="latest"} 2',
          "sluice_topics 1",
          "sluice_subscriptions 2",
          "sluice_publish_total 4",
        ]
      ) assertStringIncludes(metrics, `${line}\n`);
    });
  } finally {
    console.error = error;
  }
});

test("a `slowReader` handler may close the reader itself, unsubscribe it, publish and throw", async () => {
  const errors: unknown[] = [];
  const server = quietServer({ topic_buffer_size: 100 });
  server.on("error", (_server, error) => void errors.push(error));
  server.on("slowReader", (server, { fd, topic }) => {
    if (fd === 1) server.disconnect(fd, 4000, "own code");
    if (fd === 2) server.close(fd, true);
    if (fd === 3) server.unsubscribe(fd, topic);
    if (fd === 4) server.publish(topic, "while it is closed");
    if (fd === 5) throw new Error("thrown");
  });
  await staging(server, async () => {
    const members = joinTopic(server, 6);
    for (const member of members.slice(0, 5)) block(member);
    server.publish("room", "x".repeat(100));
    await settle();
    assertEquals(server.publish("room", "y"), 1);
    assertEquals(server.subscriberCount("room"), 2); // one waits for the Close of its client
    await settle();
    assertEquals((errors as Error[]).map(({ message }) => message), ["thrown"]);
    assertEquals(server.stats().slow_readers.close, 3);
    const [one, , three, four, five, six] = members;
    assertEquals((await heard(six)).slice(1), ["y", "while it is closed"]);
    for (const [member, code] of [[one, 4000], [three, 1013], [four, 1013], [five, 1013]] as const) {
      await unblock(member);
      assertEquals((await heard(member)).slice(1), [code]);
    }
  });
});

test("messages wait for the end of a message in fragments, in their order and within the limit", async () => {
  const { server, told } = slowServer({ topic_slow_readers: { price: "latest", other: "drop" }, topic_buffer_size: 3 * KIB });
  await staging(server, async () => {
    const [one, two] = joinTopic(server, 2);
    for (const topic of ["price", "other"]) server.subscribe(one.fd, topic);
    server.push(one.fd, "begin ", 1, 0);
    await settle();
    const { table } = coreOf(server).context;
    table!.tick();
    const subscriptions = server.stats().held_bytes;
    assertEquals(subscriptions, 4 * 64 + 2 * 4 + 2 * 5); // "room" twice, "price" and "other"
    assertEquals([server.publish("room", "1"), server.publish("price", "10"), server.publish("price", "11")], [2, 1, 1]);
    table!.tick();
    assertEquals(server.stats().held_bytes - subscriptions, 1 + 2 + 2 * 64);
    server.push(one.fd, "middle ", 0, 0);
    server.ping(one.fd, "ping");
    assertEquals(server.publish("room", long("2")), 2);
    assertEquals(await short(two), ["1", "2"]);
    assertEquals((await framesOf(one)).map(({ opcode, fin }) => [opcode, fin]), [[1, false], [0, false], [9, true]]);
    table!.tick();
    assertEquals(server.stats().held_bytes - subscriptions, 1 + 2 + KIB + 3 * 64); // "1", "11" and "2"
    block(one);
    server.push(one.fd, "to be continued ", 0, 0);
    await unblock(one); // there is room, but not between two fragments
    assertEquals(await short(one), ["to be continued "]);
    const counts = [];
    for (let i = 0; i < 3; i++) counts.push(server.publish("other", long("x")));
    assertEquals([counts, told.map(({ topic }) => topic)], [[1, 0, 0], ["other"]]);
    server.push(one.fd, "end", 0);
    server.publish("room", "3");
    assertEquals(await short(one), ["end", "1", "11", "2", "x", "3"]);
    table!.tick();
    assertEquals(server.stats().held_bytes, subscriptions);
  });
});

test("a message above the limit waits for the end of fragments if nothing is queued", async () => {
  const { server, told } = slowServer({});
  await staging(server, async () => {
    const [one] = joinTopic(server, 1);
    server.push(one.fd, "begin ", 1, 0);
    await settle();
    assertEquals(server.publish("room", long("large", 20 * KIB)), 1);
    block(one);
    server.push(one.fd, "end", 0);
    await settle();
    await unblock(one);
    assertEquals([await short(one), told], [["begin ", "end", "large"], []]);
  });
});

test("messages that have waited for the end of fragments are not overtaken, also if there is no room for them now", async () => {
  for (const first of ["", "price"]) {
    const { server } = slowServer({ topic_slow_readers: { price: "latest", "*": "drop" }, topic_buffer_size: 200 * KIB });
    await staging(server, async () => {
      const [one] = joinTopic(server, 1);
      server.subscribe(one.fd, "price");
      server.push(one.fd, "begin", 1, 0);
      await settle();
      block(one);
      if (first !== "") server.publish(first, "newest");
      const counts = Array.from({ length: 2 }, (_, i) => server.publish("room", long(`${i}`, 60 * KIB)));
      assertEquals(counts, [1, 1]);
      server.push(one.fd, long("end", 300 * KIB), 0);
      assertEquals([server.push(one.fd, "pushed"), server.publish("room", "2")], [true, 0]);
      await unblock(one);
      const expected = ["begin", "end", "0", "1", "pushed"];
      assertEquals(await short(one), first === "" ? expected : [...expected, "newest"]);
    });
  }
});

test("`latest`: a reader is not slow because much was published in one turn", async () => {
  const { server, told } = slowServer({ topic_slow_readers: "latest", topic_buffer_size: 0 });
  await staging(server, async () => {
    const [fast] = joinTopic(server, 1, "0");
    const topics = Array.from({ length: 100 }, (_, i) => `${i}`);
    for (const topic of topics) server.subscribe(fast.fd, topic);
    for (let i = 0; i < 3; i++) {
      for (const topic of topics) server.publish(topic, long(topic));
      assertEquals((await short(fast)).sort(), [...topics].sort());
    }
    assertEquals([told, server.stats().slow_readers.latest], [[], 0]);
  });
});

test("a connection that ends in the middle of everything leaves nothing behind", async () => {
  const { server } = slowServer({ topic_slow_readers: "latest", topic_buffer_size: 100 });
  await staging(server, async () => {
    const members = joinTopic(server, 4);
    for (const member of members) block(member);
    server.push(members[1].fd, "fragment", 1, 0);
    for (let i = 0; i < 3; i++) server.publish("room", "x".repeat(60));
    await settle();
    members[0].lane.sink.onClose(new Error("reset"));
    members[1].lane.sink.onClose(new Error("reset"));
    server.close(members[2].fd, true);
    server.disconnect(members[3].fd);
    await unblock(members[3]);
    assertEquals((await heard(members[3])).slice(1), [1000]); // what waited is dropped with a Close
    for (const { lane } of members) lane.sink.onClose();
    const { topic_num, subscription_num, held_bytes } = server.stats();
    assertEquals([topic_num, subscription_num, held_bytes], [0, 0, 0]);
  });
});

test("bytes that wait are counted, and input is still read", async () => {
  const { server } = slowServer({ topic_slow_readers: "latest", topic_buffer_size: 0 });
  const got = signal<unknown>();
  server.on("message", (_server, frame) => got.resolve(frame.data));
  await staging(server, async () => {
    const [slow] = joinTopic(server, 1, "topic 0");
    for (let i = 1; i < 20; i++) server.subscribe(slow.fd, `topic ${i}`);
    block(slow);
    server.push(slow.fd, new Uint8Array(64 * KIB));
    for (let i = 0; i < 20; i++) server.publish(`topic ${i}`, new Uint8Array(10 * KIB));
    slow.lane.receive(frame({ opcode: 1, payload: "x".repeat(40 * KIB) })); // has it measured
    assert(server.stats().held_bytes >= 20 * 10 * KIB, `${server.stats().held_bytes}`);
    says(slow, "I am here");
    assertEquals(typeof await got.promise, "string");
    await unblock(slow);
    assertEquals((await framesOf(slow)).length, 21);
  });
});
