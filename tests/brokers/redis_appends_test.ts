// Messages that are appended together over Redis: in one call, in order, and each with a result of its own.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type Appended, BrokerError, BrokerMessage, type WebSocketServer } from "../../mod.ts";
import { RedisAppends } from "../../src/topics/brokers/redis_appends.ts";
import { RedisCalls } from "../../src/topics/brokers/redis_calls.ts";
import { RedisKeys } from "../../src/topics/brokers/redis_keys.ts";
import { type RedisCommand, RedisLink } from "../../src/topics/brokers/redis_link.ts";
import { testWith } from "../support/prerequisites.ts";
import type { RedisServer } from "../support/redis_server.ts";
import { MovedClock } from "./moved_clock.ts";
import { Listener, withCluster } from "./stage.ts";

const keys = new RedisKeys("sluice");
const turn = () => new Promise((resolve) => setTimeout(resolve));

/** Messages over a connection whose replies a test gives. */
async function makeAppends(maxPending = 10_000) {
  const sent: { command: RedisCommand; reply(value: unknown): void; fail(error: Error): void }[] = [];
  const link = new RedisLink(
    () => {
      const nothing = () => Promise.resolve();
      const command = (command: RedisCommand) =>
        new Promise((reply, fail) => void sent.push({ command, reply, fail })) as Promise<unknown>;
      const connection = { command, subscribe: nothing, unsubscribe: nothing, destroy() {} };
      return { connection, opened: Promise.resolve() };
    },
    new MovedClock(),
    {
      timeout: 1000,
      maxPending,
      maxPendingBytes: 2 ** 20,
      setUp: () => Promise.resolve(),
      onReady() {},
      onLost() {},
      onMessage() {},
    },
  );
  link.connect();
  await turn();
  const appends = new RedisAppends({
    link,
    calls: new RedisCalls(link, "node"),
    dedupeWindow: 120,
    namesOf: (topic) => ({ names: keys.of(topic), kept: { size: 1000, ttl: 300 } }),
  });
  let sequence = 0;
  /** Appends a message of so many bytes. Resolves to what has become of it, as a text. */
  const add = (topic: string, size = 1, id = "") => {
    const message = new BrokerMessage(1, new Uint8Array(size).fill(97), false, "0".repeat(16), ++sequence);
    return appends.add(topic, message, id).then(
      ({ offset, epoch, isRepeated }: Appended) => `${epoch} ${offset}${isRepeated ? " again" : ""}`,
      (error: BrokerError) => error.code,
    );
  };
  /** The numbers of messages by topic in a call. */
  const countsOf = ({ command }: { command: RedisCommand }) => {
    const count = Number(command[2]);
    const values = command.slice(3 + count + 4);
    return Array.from({ length: values.length / 5 }, (_, i) => (values[5 * i + 3] as string).trim().split(" ").length);
  };
  return { link, appends, sent, add, countsOf };
}

test("one call is under way at a time; the next one takes what has come meanwhile, each topic in its order", async () => {
  const { add, sent, countsOf, link, appends } = await makeAppends();
  const first = add("a");
  const second = add("a");
  await turn();
  assertEquals([sent.length, countsOf(sent[0])], [1, [2]]);
  const others = [add("b"), add("a", 1, "id"), add("b"), add("a")];
  await turn();
  assertEquals(sent.length, 1);
  sent[0].reply([["e", 1, 2]]);
  assertEquals([await first, await second], ["e 1", "e 2"]);
  await turn();
  assertEquals([sent.length, countsOf(sent[1])], [2, [2, 2]]);
  const { meta, stream, id } = keys.of("a");
  const names = [keys.of("b").meta, keys.of("b").stream, meta, stream, id("id")];
  assertEquals(sent[1].command.slice(2, 8), ["5", ...names]);
  assertEquals(sent[1].command.at(-2), "15@5 15 ");
  sent[1].reply([["f", 7, "OOM no memory"], ["e", -2, 3]]);
  assertEquals(await Promise.all(others), ["f 7", "e 2 again", "BROKER_REFUSED", "e 3"]);
  await appends.settled();
  link.close();
});

test("a call has at most 256 messages, and 256 KiB unless one message has more", async () => {
  const { add, sent, countsOf, link } = await makeAppends();
  const next = async (expected: number[]) => {
    await turn();
    assertEquals(countsOf(sent.at(-1)!), expected);
    sent.at(-1)!.reply(expected.map((count) => ["e", ...Array.from({ length: count }, (_, i) => i + 1)]));
  };
  for (let i = 0; i < 257; i++) add("a");
  await next([256]);
  await next([1]);
  await turn();
  const most = 256 * 1024;
  for (const size of [most, 1, most - 2 * 15 - 1, 1]) add("a", size); // with a header of 14 bytes, and a topic of 1
  await next([1]);
  await next([2]);
  await next([1]);
  assertEquals([sent.length, link.refusal], [5, undefined]);
  link.close();
});

test("maxPending counts messages that wait, those under way included", async () => {
  const { add, sent, link } = await makeAppends(3);
  const kept = [add("a"), add("a")];
  await turn();
  kept.push(add("a"));
  assertEquals(await add("a"), "BROKER_BUSY");
  sent[0].reply([["e", 1, 2]]);
  await turn();
  kept.push(add("a"), add("a"));
  assertEquals([sent.length, await add("a")], [2, "BROKER_BUSY"]);
  sent[1].reply([["e", 3]]);
  await turn();
  sent[2].reply([["e", 4, 5]]);
  assertEquals(await Promise.all(kept), ["e 1", "e 2", "e 3", "e 4", "e 5"]);
  link.close();
});

test("a connection that is lost: what was sent is unknown, what waits is not sent any more", async () => {
  const { add, appends, sent, link } = await makeAppends();
  const first = add("a");
  await turn();
  const later = [add("a"), add("b")];
  link.lose("a test");
  assertEquals([await first, ...await Promise.all(later)], ["BROKER_UNKNOWN", "BROKER_DOWN", "BROKER_DOWN"]);
  await appends.settled();
  assertEquals([await add("a"), sent.length], ["BROKER_DOWN", 1]);
  link.close();
});

test("a call that is refused refuses its messages only; one with another reply says nothing of them", async () => {
  const { add, sent, link } = await makeAppends();
  let all = [add("a"), add("a"), add("b")];
  await turn();
  all.push(add("a"));
  sent[0].fail(new Error("BUSY Redis is busy running a script"));
  await turn();
  sent[1].reply([["e", 1]]);
  assertEquals(await Promise.all(all), ["BROKER_REFUSED", "BROKER_REFUSED", "BROKER_REFUSED", "e 1"]);
  all = [add("a"), add("b")];
  await turn();
  sent[2].reply([["e", 2]]);
  assertEquals(await Promise.all(all), ["BROKER_UNKNOWN", "BROKER_UNKNOWN"]);
  link.close();
});

for (const text of ["READONLY You can't write against a read only replica.", "@user_script:7: -READONLY You can't write"]) {
  test(`a Redis that is a replica refuses messages, and the connection is given up: ${text}`, async () => {
    const { add, sent, link } = await makeAppends();
    const all = [add("a"), add("a"), add("b")];
    await turn();
    all.push(add("a"));
    sent[0].reply([["e", text, text], text]);
    assertEquals(await Promise.all(all), ["BROKER_REFUSED", "BROKER_REFUSED", "BROKER_REFUSED", "BROKER_DOWN"]);
    assertEquals([sent.length, link.isReady], [1, false]);
    link.close();
  });
}

for (const code of ["CROSSSLOT Keys in request don't hash to the same slot", "NOPERM this user has no permissions"]) {
  test(`${code.split(" ")[0]}: each topic has a call of its own from then on`, async () => {
    const { add, sent, countsOf, link } = await makeAppends();
    let all = [add("a"), add("b"), add("a")];
    await turn();
    sent[0].fail(new Error(code));
    await turn();
    assertEquals(sent.slice(1).map(countsOf), [[2], [1]]);
    sent[2].fail(new Error(code));
    sent[1].reply([["e", 1, 2]]);
    assertEquals(await Promise.all(all), ["e 1", "BROKER_REFUSED", "e 2"]);
    all = [add("b"), add("a")];
    await turn();
    assertEquals(sent.slice(3).map(countsOf), [[1], [1]]);
    for (const { reply } of sent.slice(3)) reply([["e", 3]]);
    assertEquals(await Promise.all(all), ["e 3", "e 3"]);
    link.close();
  });
}

test("a script that Redis has forgotten is sent before anything that came later", async () => {
  const { add, sent, link } = await makeAppends();
  const first = add("a");
  await turn();
  const second = add("a");
  sent[0].fail(new Error("NOSCRIPT No matching script"));
  await turn();
  assertEquals([sent.length, sent[1].command[0], sent[1].command.slice(2)], [2, "EVAL", sent[0].command.slice(2)]);
  sent[1].reply([["e", 1]]);
  await turn();
  sent[2].reply([["e", 2]]);
  assertEquals([await first, await second], ["e 1", "e 2"]);
  link.close();
});

// ---- with a real Redis ----------------------------------------------------------------------------------------------

/** Appends texts in one turn. Resolves to their results. */
function appendAll(server: WebSocketServer, all: readonly (readonly [topic: string, text: string, id?: string])[]) {
  return Promise.all(all.map(([topic, text, id]) => server.append(topic, text, id === undefined ? {} : { id })));
}

/** Gives all slots to a node of a cluster, which has no others. */
async function takeSlots(redis: RedisServer): Promise<void> {
  await redis.command("CLUSTER", "ADDSLOTS", ...Array.from({ length: 16384 }, (_, slot) => `${slot}`));
  while (!(await redis.command("CLUSTER", "INFO")).includes("cluster_state:ok")) await turn();
}

/** Returns how often Redis has run a command. */
async function callsOf(redis: RedisServer, command: string): Promise<number> {
  const [, calls] = new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await redis.command("INFO", "commandstats")) ?? [];
  return Number(calls ?? 0);
}

testWith(
  "redis",
  "what is appended in one turn costs one call; each message has its result, and what is wrong with one is its own",
  () =>
    withCluster("redis", { servers: 1 }, async ({ servers: [server], redis }) => {
      await redis.command("SET", keys.of("room/bad").meta, "x");
      await redis.command("SET", keys.of("room").id("bad"), "x");
      const listener = new Listener(server);
      await listener.begin("room");
      const before = await callsOf(redis, "evalsha");
      const results = await appendAll(server, [
        ["room", "a"],
        ["room", "b", "1"],
        ["room/bad", "x"],
        ["room", "not b", "1"],
        ["room", "refused", "bad"],
        ["room/other", "d"],
        ["room", "c"],
      ]);
      const told = results.map((result) => result.status === "stored" ? result.offset : result.status);
      assertEquals(told, [1, 2, "refused", 2, "refused", 1, 3]);
      for (const index of [2, 4]) {
        const { error } = results[index] as { error: Error };
        assert(
          error instanceof BrokerError && error.code === "BROKER_REFUSED" && error.message.includes("WRONGTYPE"),
          error.message,
        );
      }
      assertEquals(await callsOf(redis, "evalsha") - before, 1);
      const again = await appendAll(server, [["room", "not b", "1"]]);
      assertEquals(again, [results[1]]);
      while ((await listener.listen()).texts.length < 3) await turn();
      assertEquals([listener.texts, listener.gaps], [["a", "b", "c"], []]);
      const late = new Listener(server);
      await late.begin("room", { ...listener.position, offset: 0 });
      while ((await late.listen()).texts.length < 3) await turn();
      assertEquals(late.texts, ["a", "b", "c"]);
    }),
);

for (const library of ["redis", "ioredis"] as const) {
  testWith(
    "redis",
    `${library}: the order of a server is kept, also while Redis forgets its scripts again and again`,
    () =>
      withCluster(library, {}, async ({ servers, redis }) => {
        const listener = new Listener(servers[1]);
        const begun = await listener.begin("room");
        const pending: ReturnType<WebSocketServer["append"]>[] = [];
        for (let i = 0; i < 60; i++) {
          const flushed = redis.command("SCRIPT", "FLUSH");
          // Another server loads it again, so that what comes later could overtake.
          servers[1].publish("room/other", "x");
          for (let j = 0; j < 10; j++) {
            pending.push(servers[0].append("room", `${pending.length}`));
            if (j % 3 === 0) await turn();
          }
          await flushed;
        }
        const results = await Promise.all(pending);
        assertEquals(results.map((result) => (result as { offset?: number }).offset), pending.map((_, index) => index + 1));
        while ((await listener.listen()).texts.length < pending.length) await turn();
        listener.check(begun);
        assertEquals(listener.texts, pending.map((_, index) => `${index}`));
      }),
  );
}

testWith(
  "redis",
  "what was appended before the server stops is stored",
  () =>
    withCluster("redis", {}, async ({ servers: [one, two], redis }) => {
      await one.append("room", "x");
      const results = appendAll(one, Array.from({ length: 2000 }, () => ["room", "x"] as const));
      one.shutdown();
      await one.finished;
      assertEquals((await results).map(({ status }) => status), Array(2000).fill("stored"));
      assertEquals(await redis.command("XLEN", keys.of("room").stream).then((text) => parseInt(text.slice(1)) >= 1000), true);
      assertEquals((await two.append("room", "x") as { offset: number }).offset, 2002);
    }),
);

testWith(
  "redis",
  "on a Redis whose keys are in slots, topics have calls of their own",
  () =>
    withCluster(
      "redis",
      { servers: 1, redis: ["--cluster-enabled", "yes"], prepare: takeSlots },
      async ({ servers: [server] }) => {
        const topics = ["room/a", "room/b", "room/c"];
        const listener = new Listener(server);
        for (const topic of topics) server.subscribe(listener.fd, topic);
        for (const topic of topics) assertEquals((await listener.begin(topic)).offset, 0);
        for (let i = 1; i <= 3; i++) {
          const results = await appendAll(server, topics.map((topic) => [topic, `${topic} ${i}`] as const));
          assertEquals(results.map((result) => (result as { offset?: number }).offset), [i, i, i]);
        }
        while ((await listener.listen()).texts.length < 9) await turn();
        assertEquals(listener.gaps, []);
      },
    ),
);

testWith(
  "redis",
  "where the keys of some topics are forbidden, the others go on",
  () =>
    withCluster("redis", { servers: 1 }, async ({ servers: [server], redis }) => {
      const { meta, stream } = keys.of("room/secret");
      const others = ["room/a", "room/b"].flatMap((topic) => [keys.of(topic).meta, keys.of(topic).stream]);
      await redis.command("ACL", "SETUSER", "default", "resetkeys", ...others.map((key) => `~${key}`));
      const results = await appendAll(server, [["room/a", "1"], ["room/secret", "2"], ["room/b", "3"]]);
      assertEquals(results.map(({ status }) => status), ["stored", "refused", "stored"]);
      assertEquals(await redis.command("ACL", "SETUSER", "default", "allkeys"), "+OK\r\n");
      assertEquals(await redis.command("EXISTS", meta, stream), ":0\r\n");
    }),
);
