// Kept topics of servers in one program, over the broker in memory: what subscribers are sent, and where they begin.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  BrokerError,
  BrokerMessage,
  memoryBroker,
  type MemoryBrokerOptions,
  type ServerSettings,
  type SubscribeResult,
  type TopicGap,
  type WebSocketServer,
} from "../../mod.ts";
import { HttpServer } from "../../src/coroutine/mod.ts";
import { keptOptionsOf } from "../../src/topics/brokers/broker_options.ts";
import { MemoryBroker } from "../../src/topics/brokers/memory_broker.ts";
import { MovedClock } from "../brokers/moved_clock.ts";
import { settle } from "../support/activity.ts";
import { block, heard as heardNow, join, joinTopic, type Member, quietServer, staging, unblock } from "./stage.ts";

/** A server with kept topics whose subscribers are sent `offset:text`. */
function keptServer(
  options: MemoryBrokerOptions = {},
  settings: ServerSettings = {},
): { server: WebSocketServer; gaps: TopicGap[] } {
  const server = quietServer({
    broker: memoryBroker({ kept: { "room*": { size: 10 } }, ...options }),
    topic_envelope: (text, { offset }) => `${offset}:${text}`,
    ...settings,
  });
  const gaps: TopicGap[] = [];
  server.on("topicGap", (_server, gap) => void gaps.push(gap));
  return { server, gaps };
}

/** Returns what a WebSocket has heard, once those that follow a stream have begun: in the next turn. */
async function heard(member: Member): Promise<(string | number)[]> {
  await new Promise((resolve) => setTimeout(resolve, 5));
  return heardNow(member);
}

function begun(result: SubscribeResult): { offset: number; epoch: string; gap?: string } {
  assert(result.status === "subscribed", JSON.stringify(result));
  const { offset, epoch, gap } = result;
  return { offset, epoch, ...(gap === undefined ? {} : { gap }) };
}

test("append() gives positions, and everybody is sent the message in that order", async () => {
  const { server } = keptServer();
  await staging(server, async () => {
    const members = joinTopic(server, 3);
    await settle();
    const results = await Promise.all(["a", "b", "c"].map((text) => server.append("room", text)));
    const [{ epoch }] = results as { epoch: string }[];
    assertEquals(results, [1, 2, 3].map((offset) => ({ status: "stored", offset, epoch })));
    for (const member of members) assertEquals(await heard(member), ["1:a", "2:b", "3:c"]);
    assertEquals([server.publish("room", "d"), server.publish("room", "e", { except: members[0].fd })], [3, 2]);
    await settle();
    assertEquals([await heard(members[0]), await heard(members[1])], [["4:d"], ["4:d", "5:e"]]);
    assertEquals(server.stats().publish_count, 5);
  });
});

test("subscribe() with a position sends what was missed, then everything", async () => {
  const { server } = keptServer();
  await staging(server, async () => {
    const [one, two, three] = [join(server), join(server), join(server)];
    const { epoch, offset } = begun(await server.subscribe(one.fd, "room", {}));
    assertEquals(offset, 0);
    for (const text of "abcd") server.publish("room", text);
    const since = { offset: 2, epoch };
    const beginning = server.subscribe(two.fd, "room", { since });
    server.publish("room", "e"); // comes while it begins
    assertEquals(begun(await beginning), since);
    server.push(two.fd, "welcome");
    assertEquals(await heard(two), ["welcome", "3:c", "4:d", "5:e"]);
    assertEquals(begun(await server.subscribe(three.fd, "room", { since: { offset: 5, epoch } })), { offset: 5, epoch });
    server.publish("room", "f");
    assertEquals([await heard(three), await heard(two), await heard(one)], [
      ["6:f"],
      ["6:f"],
      ["1:a", "2:b", "3:c", "4:d", "5:e", "6:f"],
    ]);
  });
});

test("`except` also holds for those that are being sent what they have missed", async () => {
  const { server } = keptServer();
  await staging(server, async () => {
    const [one, two] = [join(server), join(server)];
    joinTopic(server, 1);
    await settle();
    const { epoch } = await server.append("room", "a") as { epoch: string };
    server.publish("room", "b");
    const beginning = server.subscribe(one.fd, "room", { since: { offset: 0, epoch } });
    server.publish("room", "c", { except: one.fd });
    assertEquals(begun(await beginning).offset, 0);
    server.publish("room", "d", { except: [one.fd, two.fd] });
    server.publish("room", "e", { except: two.fd });
    assertEquals(await heard(one), ["1:a", "2:b", "5:e"]);
    assertEquals(begun(await server.subscribe(two.fd, "room", { since: { offset: 3, epoch } })).offset, 3);
    assertEquals(await heard(two), ["4:d", "5:e"]); // who recovers gets everything
  });
});

test("a topic that nobody here had subscribed to is read from the broker: once, however many come back", async () => {
  const { server } = keptServer();
  await staging(server, async () => {
    join(server);
    const { epoch } = await server.append("room", "a") as { epoch: string };
    for (const text of "bcdef") server.publish("room", text);
    const members = Array.from({ length: 20 }, () => join(server));
    const results = await Promise.all(
      members.map(({ fd }, i) => server.subscribe(fd, "room", { since: { offset: i % 6, epoch } })),
    );
    assertEquals(results.map((result) => begun(result).offset), members.map((_, i) => i % 6));
    const all = ["1:a", "2:b", "3:c", "4:d", "5:e", "6:f"];
    for (const [i, member] of members.entries()) assertEquals(await heard(member), all.slice(i % 6));
    const { broker } = server.stats();
    assertEquals([broker?.history_reads, broker?.recovered], [1, 20]);
  });
});

test("gaps: too old, another epoch, ahead of everything, and what is no position", async () => {
  const { server } = keptServer();
  await staging(server, async () => {
    const { fd } = join(server);
    const { epoch } = await server.append("room", "1") as { epoch: string };
    for (let i = 2; i <= 12; i++) server.publish("room", `${i}`);
    const from = async (since: unknown) => begun(await server.subscribe(fd, "room", { since: since as never }));
    assertEquals(await from({ offset: 2, epoch }), { offset: 2, epoch });
    assertEquals(await from({ offset: 1, epoch }), { offset: 12, epoch, gap: "too old" });
    assertEquals(await from({ offset: 12, epoch: "other" }), { offset: 12, epoch, gap: "epoch" });
    assertEquals(await from({ offset: 13, epoch }), { offset: 12, epoch, gap: "epoch" });
    for (const since of [{}, { offset: NaN, epoch }, { offset: -1, epoch }, { offset: "1", epoch }, { offset: 1, epoch: 1 }]) {
      assertEquals(await from(since), { offset: 12, epoch, gap: "epoch" });
    }
    assertEquals(await from(null), { offset: 12, epoch });
    for (const since of ["1", 1, [1]]) await assertRejects(() => from(since), TypeError, "since is a position");
    await assertRejects(() => server.subscribe(fd, "room", 1 as never), TypeError, "the options are an object");
    await assertRejects(() => server.subscribe(fd, 1 as never, {}), TypeError, "a topic is a string");
    assertEquals(server.stats().broker?.gaps, { "too old": 1, epoch: 7, limit: 0, slow: 0 });
  });
});

test("the history is given up after its time", async () => {
  const { server } = keptServer({ kept: { room: { size: 10, ttl: 1 } } });
  await staging(server, async () => {
    const { fd } = join(server);
    const { epoch } = await server.append("room", "a") as { epoch: string };
    await new Promise((resolve) => setTimeout(resolve, 1100));
    assertEquals(begun(await server.subscribe(fd, "room", { since: { offset: 0, epoch } })), {
      offset: 1,
      epoch,
      gap: "too old",
    });
    assertEquals(begun(await server.subscribe(fd, "room", { since: { offset: 1, epoch } })), { offset: 1, epoch });
    assertEquals(await server.append("room", "b"), { status: "stored", offset: 2, epoch });
  });
});

test("an id is stored once, for each topic", async () => {
  const { server } = keptServer();
  await staging(server, async () => {
    const [member] = joinTopic(server, 1);
    await settle();
    const first = await server.append("room", "a", { id: "1" });
    assertEquals(await server.append("room", "a", { id: "1" }), first);
    assertEquals((await server.append("room", "b", { id: "2" }) as { offset: number }).offset, 2);
    assertEquals((await server.append("room 2", "a", { id: "1" }) as { offset: number }).offset, 1);
    assertEquals(await heard(member), ["1:a", "2:b"]);
    assertEquals((await server.append("room", "c", { id: "x".repeat(128) }) as { offset: number }).offset, 3);
    await assertRejects(() => server.append("room", "c", { id: "x".repeat(129) }), RangeError, "129 UTF-16 units");
    await assertRejects(() => server.append("room", "c", { id: 1 as never }), TypeError, "the id is a string");
  });
});

test("append() says why nothing was stored", async () => {
  const { server } = keptServer();
  const without = quietServer();
  const early = await server.append("room", "a");
  assert(early.status === "refused" && early.error.message === "Cannot append: the server has not started");
  await staging(without, async () => {
    join(without);
    const result = await without.append("room", "a");
    assert(result.status === "refused" && result.error.message === "Cannot append: there is no broker", JSON.stringify(result));
  });
  await staging(server, async () => {
    join(server);
    const why = async (...args: Parameters<WebSocketServer["append"]>) => {
      const result = await server.append(...args);
      assert(result.status === "refused");
      return result.error.message;
    };
    assertEquals(await why("hall", "a"), 'Cannot append: no key of the broker\'s option kept matches the topic "hall"');
    assertEquals(await why("", "a"), "Cannot append: Invalid params");
    assertEquals(server.getLastError(), 505);
    assertEquals(await why("room", "a", { opcode: 9 }), "Cannot append: Websocket pack failed");
    assertEquals(server.getLastError(), 8505);
    await assertRejects(() => server.append(1 as never, "a"), TypeError, "a topic is a string");
    await assertRejects(() => server.append("room", {} as never), TypeError);
  });
});

test("subscribe() with options says why there is no subscription", async () => {
  const { server } = keptServer();
  await staging(server, async () => {
    const member = join(server);
    const why = async (fd: number, topic: string) => {
      const result = await server.subscribe(fd, topic, {});
      assert(result.status === "refused");
      return [result.error.message, server.getLastError()];
    };
    assertEquals(await why(99, "room"), ["Cannot subscribe: Session not exist", 1005]);
    assertEquals(await why(member.fd, ""), ["Cannot subscribe: Invalid params", 505]);
    assertEquals(begun(await server.subscribe(member.fd, "hall", {})), { offset: 0, epoch: "" });
    assertEquals(server.publish("hall", "x"), 1);
    const late = server.subscribe(member.fd, "room", {});
    server.unsubscribe(member.fd, "room");
    const result = await late;
    assert(result.status === "refused");
    assertInstanceOf(result.error, BrokerError);
    const gone = server.subscribe(member.fd, "room", {});
    server.close(member.fd, true);
    assertEquals((await gone).status, "refused");
    assertEquals([server.subscriberCount("room"), server.stats().subscription_num], [0, 0]);
  });
});

test("two servers share their topics, kept and fleeting", async () => {
  const broker = memoryBroker({ kept: { "room*": {} } });
  const [one, two] = [quietServer({ broker }), quietServer({ broker })];
  await staging(one, () =>
    staging(two, async () => {
      const members = [...joinTopic(one, 2), ...joinTopic(two, 2)];
      for (const { fd } of members.slice(0, 2)) one.subscribe(fd, "hall");
      for (const { fd } of members.slice(2)) two.subscribe(fd, "hall");
      await settle();
      assertEquals([one.publish("hall", "1"), two.publish("hall", "2", { except: members[2].fd })], [2, 1]);
      one.publish("room", "3");
      two.publish("room", "4");
      assertEquals(one.broadcast("5"), 2);
      await settle();
      const all = await Promise.all(members.map(heard));
      assertEquals(all, [["1", "2", "3", "4", "5"], ["1", "2", "3", "4", "5"], ["1", "3", "4"], ["1", "2", "3", "4"]]);
      assertEquals([one.subscriberCount("room"), two.subscriberCount("room")], [2, 2]);
    }));
});

test("`gap`: a slow reader goes on where it was, as fast as it reads", async () => {
  const { server, gaps } = keptServer({ kept: { "room*": { size: 1000 } } }, {
    topic_slow_readers: "gap",
    topic_buffer_size: 1024,
    topic_envelope: null,
  });
  const slow: string[] = [];
  server.on("slowReader", (_server, { fd, topic, policy }) => void slow.push(`${fd} ${topic} ${policy}`));
  await staging(server, async () => {
    const [reader, other] = joinTopic(server, 2);
    await settle();
    block(reader);
    const texts = Array.from({ length: 300 }, (_, i) => `${i}`.padEnd(100, "."));
    for (const text of texts) {
      server.publish("room", text);
      await settle();
    }
    assertEquals([(await heard(other)).length, slow, gaps], [300, [`${reader.fd} room gap`], []]);
    assert(server.getClientInfo(reader.fd) !== false);
    const held: string[] = [];
    for (let i = 0; i < 100; i++) {
      await unblock(reader);
      held.push(...await heard(reader) as string[]);
    }
    assertEquals(held, texts);
    server.publish("room", "behind");
    assertEquals(await heard(reader), ["behind"]);
    assertEquals(server.stats().slow_readers, { close: 0, drop: 0, latest: 0, gap: 0 });
  });
});

test("`gap`: a reader that is overtaken is told, and goes on with what is new", async () => {
  const { server, gaps } = keptServer({}, { topic_slow_readers: "gap", topic_buffer_size: 500 });
  server.on("topicGap", (server, gap) => {
    gaps.push(gap);
    for (const fd of gap.fds) server.push(fd, "gap");
  });
  await staging(server, async () => {
    const [reader, other] = joinTopic(server, 2);
    await settle();
    block(reader);
    for (let i = 1; i <= 30; i++) {
      server.publish("room", "x".repeat(100));
      await settle();
    }
    assertEquals((await heard(other)).length, 30);
    const first: unknown[] = [];
    for (let i = 0; i < 10; i++) {
      await unblock(reader);
      first.push(...await heard(reader));
    }
    assertEquals(first.at(-1), "gap");
    const [{ fds, topic, reason, offset }] = gaps;
    assertEquals([gaps.length, fds, topic, reason, offset], [1, [reader.fd], "room", "slow", 30]);
    server.publish("room", "new");
    assertEquals([await heard(reader), server.stats().slow_readers.gap], [["31:new"], 1]);
  });
});

test("`gap` closes slow readers of topics that are not kept", async () => {
  const { server } = keptServer({}, { topic_slow_readers: "gap", topic_buffer_size: 500 });
  await staging(server, async () => {
    const [reader] = joinTopic(server, 1, "hall");
    block(reader);
    for (let i = 0; i < 10; i++) {
      server.publish("hall", "x".repeat(100));
      await settle();
    }
    assertEquals(server.stats().slow_readers, { close: 1, drop: 0, latest: 0, gap: 0 });
  });
});

test("a client that recovers is sent its messages as fast as it reads, and what comes meanwhile behind them", async () => {
  const { server } = keptServer({ kept: { room: { size: 1000 } } });
  await staging(server, async () => {
    const reader = join(server);
    const { epoch } = await server.append("room", "x") as { epoch: string };
    for (let i = 2; i <= 500; i++) server.publish("room", "x".repeat(1000));
    block(reader);
    assertEquals(begun(await server.subscribe(reader.fd, "room", { since: { offset: 0, epoch } })).offset, 0);
    await settle();
    server.publish("room", "last");
    const { fd } = reader;
    const info = server.getClientInfo(fd);
    assert(info !== false && (info.send_queued_bytes ?? 0) <= 66 * 1024, JSON.stringify(info));
    const offsets: number[] = [];
    for (let i = 0; i < 50; i++) {
      await unblock(reader);
      offsets.push(...(await heard(reader)).map((text) => parseInt(text as string)));
    }
    assertEquals(offsets, Array.from({ length: 501 }, (_, i) => i + 1));
  });
});

test("topic_envelope: what it throws is reported, and the message left out", async () => {
  const errors: unknown[] = [];
  const server = quietServer({
    broker: memoryBroker({ kept: { "*": {} } }),
    topic_envelope: (message, about) => {
      if (message === "bad") throw new Error("no");
      if (message === "ping") return 7 as never;
      if (message === "list") return [] as never;
      return typeof message === "string" ? `${about.topic} ${message}` : message;
    },
  });
  server.on("error", (_server, error) => void errors.push((error as Error).message));
  await staging(server, async () => {
    const [member] = joinTopic(server, 1);
    await settle();
    for (const message of ["a", "bad", "ping", "list", new Uint8Array([66])]) server.publish("room", message);
    assertEquals(await heard(member), ["room a", "7", "B"]);
    assertEquals(errors.length, 2);
    assertEquals(errors[0], "no");
  });
});

test("in the coroutine style", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ broker: memoryBroker({ kept: { room: {} } }), log_level: 6 });
  const results: unknown[] = [];
  server.handle("/", async (_request, ws) => {
    results.push((await ws.subscribe("room", {})).status);
    await ws.upgrade();
    const { epoch } = await server.append("room", "a") as { epoch: string };
    server.publish("room", "b");
    results.push(await ws.subscribe("room", { since: { offset: 0, epoch } }) as unknown);
    results.push((results[1] as { epoch: string }).epoch === epoch);
    await ws.recv();
    ws.close();
    results.push((await ws.subscribe("room", {})).status);
  });
  await server.start();
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/`);
  const texts: unknown[] = [];
  await new Promise<void>((resolve) =>
    socket.onmessage = ({ data }) => {
      texts.push(data);
      if (texts.length === 2) resolve();
    }
  );
  socket.send("bye");
  await new Promise((resolve) => socket.onclose = resolve);
  server.shutdown();
  await server.finished;
  assertEquals(texts, ["a", "b"]);
  assertEquals([results[0], (results[1] as { offset: number }).offset, results[2], results[3]], ["refused", 0, true, "refused"]);
});

test("the options are checked", () => {
  const wrong: [object, new () => Error, string][] = [
    [{ keptt: {} }, TypeError, "Cannot set keptt: there is no such option; did you mean kept?"],
    [{ kept: [] }, TypeError, "Cannot set kept: an object is needed, not a list"],
    [{ kept: { "*a": {} } }, RangeError, 'in "*a" the * is not at the end'],
    [{ kept: { a: 1 } }, TypeError, 'Cannot set "a" in kept: an object is needed, not number'],
    [{ kept: { a: { size: 0 } } }, RangeError, "Cannot set size: 0 is no whole number from 1 to 1000000"],
    [{ kept: { a: { size: 1_000_001 } } }, RangeError, "Cannot set size"],
    [{ kept: { a: { ttl: 0 } } }, RangeError, "Cannot set ttl"],
    [{ kept: { a: { time: 0 } } }, TypeError, "Cannot set time: there is no such option"],
    [{ linger: -1 }, RangeError, "Cannot set linger"],
    [{ memory: "1" }, TypeError, "Cannot set memory: a number is needed"],
  ];
  for (const [options, kind, text] of wrong) assertThrows(() => memoryBroker(options), kind, text);
  assertThrows(() => memoryBroker(1 as never), TypeError, "an object is needed");
  const { options } = memoryBroker({
    kept: { a: { size: 1_000_000, ttl: 1 }, "*": { size: undefined } },
    linger: 0,
    idleCheck: 0,
    memory: 0,
  });
  assertEquals([keptOptionsOf(options, "a"), keptOptionsOf(options, "b")], [{ size: 1_000_000, ttl: 1 }, {
    size: 1000,
    ttl: 300,
  }]);
  for (const broker of [1, {}, "redis", []]) {
    assertThrows(() => quietServer({ broker: broker as never }), TypeError, "Cannot set broker: a broker is needed");
  }
  assertThrows(
    () => quietServer().listen("127.0.0.1", 0).set({ broker: null } as never),
    TypeError,
    "it holds for the whole server",
  );
});

test("the memory of the broker is limited: topics that have been silent give up their messages", async () => {
  const { server } = keptServer({ keptMemory: 3 * (1000 + 256), linger: 0 });
  await staging(server, async () => {
    const { fd } = join(server);
    const positions: { offset: number; epoch: string }[] = [];
    for (const room of ["room 1", "room 2", "room 2", "room 2", "room 3"]) {
      positions.push(begun({ ...await server.append(room, "x".repeat(1000)), status: "subscribed" } as SubscribeResult));
    }
    const gapOf = async (room: string, epoch: string) =>
      begun(await server.subscribe(fd, room, { since: { offset: 0, epoch } })).gap;
    assertEquals(await gapOf("room 1", positions[0].epoch), "too old");
    assertEquals(await gapOf("room 2", positions[1].epoch), "too old");
    assertEquals(await gapOf("room 3", positions[4].epoch), undefined);
    const since = { offset: 1, epoch: positions[1].epoch };
    assertEquals(begun(await server.subscribe(fd, "room 2", { since })), since);
  });
});

test("messages that are too old are given up, also those of topics that nobody asks for again", async () => {
  const kept = { "short*": { ttl: 2 }, "long*": { ttl: 10 }, "room*": { ttl: 2 } };
  const clock = new MovedClock();
  const broker = new MemoryBroker((memoryBroker({ kept }) as MemoryBroker).options, clock);
  const node = broker.attach({ id: "", deliver() {}, deliverKept() {}, subscribed() {}, warn() {} });
  let sequence = 0;
  const append = (topic: string) => {
    return node.append(topic, new BrokerMessage(2, new Uint8Array(744), false, "", ++sequence), ""); // counted as 1000 bytes
  };
  await append("long");
  for (let i = 0; i < 100; i++) await append(`short ${i}`);
  clock.move(1000);
  await append("short 7");
  const { epoch } = await append("room");
  assertEquals(broker.keptBytes, 103_000);
  clock.move(1000);
  await append("room"); // 2 s after the first ones, which are not too old
  assertEquals(broker.keptBytes, 104_000);
  clock.move(1000);
  await append("room");
  assertEquals(broker.keptBytes, 6000); // "long", two of "short 7", and those of "room"
  assertEquals((await node.read("short 7", 0, 10)).entries.length, 2);
  clock.move(1);
  assertEquals((await node.read("short 7", 0, 10)).entries.length, 0);
  clock.move(9000);
  assertEquals(await append("room"), { offset: 4, epoch, isRepeated: false });
  assertEquals(broker.keptBytes, 1000);
  assertEquals((await node.positions(["short 7"]))[0]?.offset, 2); // the position is still known
});

test("100,000 topics and ids are known: with one more, the oldest is forgotten, and asking forgets none", async () => {
  const node = new MemoryBroker((memoryBroker({ kept: { "*": {} } }) as MemoryBroker).options, new MovedClock())
    .attach({ id: "", deliver() {}, deliverKept() {}, subscribed() {}, warn() {} });
  const append = (topic: string, id: string) => {
    return node.append(topic, new BrokerMessage(1, new Uint8Array(1), false, "", 1), id);
  };
  for (let i = 0; i < 100_000; i++) await append(`${i}`, `${i}`);
  assertEquals([(await append("0", "0")).isRepeated, (await append("1", "1")).isRepeated], [true, true]);
  assertEquals((await append("0", "")).offset, 2);
  assertEquals((await append("new", "new")).offset, 1);
  assertEquals([(await append("new", "new")).isRepeated, (await append("2", "2")).isRepeated], [true, true]);
  assertEquals((await append("0", "0")).isRepeated, false); // the oldest id; its topic is known
  assertEquals([(await append("0", "")).offset, (await append("1", "")).offset], [4, 1]); // 1 was silent for the longest time
});

test("ids and topics may have any characters: two that look alike together are not the same", async () => {
  const { server } = keptServer({ kept: { "*": {} } });
  await staging(server, async () => {
    joinTopic(server, 1);
    const appends: [string, string][] = [["a", "b\nc"], ["a\nb", "c"], ["1:a", "b"], ["1", ":ab"]];
    for (const [topic, id] of appends) {
      const result = await server.append(topic, topic, { id });
      assertEquals(result.status === "stored" && result.offset, 1);
      assertEquals(await server.append(topic, topic, { id }), result);
      const next = await server.append(topic, topic);
      assertEquals(next.status === "stored" && next.offset, 2);
    }
  });
});

test("who is left out is decided when something is published, whatever becomes of the set", async () => {
  const { server } = keptServer();
  await staging(server, async () => {
    const [first, second] = joinTopic(server, 2);
    await settle();
    const except = new Set([first.fd]);
    server.publish("room", "a", { except });
    except.clear();
    except.add(second.fd);
    server.publish("room", "b", { except });
    except.clear();
    await settle();
    assertEquals([await heard(first), await heard(second)], [["2:b"], ["1:a"]]);
  });
});
