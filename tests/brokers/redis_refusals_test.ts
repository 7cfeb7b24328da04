// What Redis refuses, what others write into it, and messages that are large: one topic is no concern of another, and what is said of a
// message is true. With a real Redis.

import { assert, assertEquals } from "@std/assert";
import { RedisKeys } from "../../src/topics/brokers/redis_keys.ts";
import { testWith } from "../support/prerequisites.ts";
import { type BrokerName, eventually, Listener, pause, withCluster } from "./stage.ts";

const keys = new RedisKeys("sluice");

testWith(
  "redis",
  "keys of another type: their topics are refused, and nothing of them is counted; others go on",
  () =>
    withCluster("redis", { servers: 1 }, async ({ servers: [server], redis }) => {
      const [bad, spoiled] = [keys.of("room/bad"), keys.of("room/spoiled")];
      await redis.command("SET", bad.meta, "x");
      const listener = new Listener(server);
      for (const topic of ["room/bad", "room/good", "room/spoiled"]) server.subscribe(listener.fd, topic);
      const { offset } = await listener.begin("room/good");
      assertEquals(offset, 0);
      const results = [];
      for (const topic of ["room/bad", "room/good"]) results.push((await server.append(topic, "a")).status);
      assertEquals(results, ["refused", "stored"]);
      const first = await server.append("room/spoiled", "b");
      assert(first.status === "stored");
      await redis.command("DEL", spoiled.stream);
      await redis.command("SET", spoiled.stream, "x");
      assertEquals((await server.append("room/spoiled", "c")).status, "refused");
      await redis.command("DEL", spoiled.stream);
      assertEquals(await server.append("room/spoiled", "d"), { ...first, offset: 2 });
      await eventually("all have arrived", async () => (await listener.listen()).texts.length === 3);
      assertEquals([listener.texts.sort(), listener.gaps], [["a", "b", "d"], []]);
      await redis.command("DEL", bad.meta);
      await eventually("it is a topic like others", async () => (await listener.begin("room/bad")).offset === 0);
    }),
);

testWith(
  "redis",
  "a last offset that is none begins a new epoch",
  () =>
    withCluster("redis", { servers: 1 }, async ({ servers: [server], redis }) => {
      const first = await server.append("room", "a");
      for (const text of ["abc", ""]) {
        await redis.command("HSET", keys.of("room").meta, "s", text);
        const next = await server.append("room", "b");
        assert(first.status === "stored" && next.status === "stored");
        assertEquals([next.offset, next.epoch === first.epoch], [1, false]);
      }
    }),
);

for (const library of ["redis", "ioredis"] satisfies BrokerName[]) {
  testWith(
    "redis",
    `${library}: forbidden channels: what is stored is said to be; they are asked for again, others go on`,
    () =>
      withCluster(library, { servers: 1 }, async ({ servers: [server], redis }) => {
        const allowed = ["&sluice:1:probe:*", "&*:c:hall"];
        await redis.command("ACL", "SETUSER", "default", "resetchannels", ...allowed);
        await eventually("all are connected", () => server.stats().broker!.is_up);
        const listener = new Listener(server);
        for (const topic of ["room", "hall"]) server.subscribe(listener.fd, topic);
        await eventually("hall is heard", async () => {
          return Number(/:(\d+)\r\n$/.exec(await redis.command("PUBSUB", "NUMSUB", keys.of("hall").channel))?.[1]) === 1;
        });
        const result = await server.append("room", "a");
        assert(result.status === "stored");
        assertEquals(await redis.command("XLEN", keys.of("room").stream), ":1\r\n");
        await redis.command("ACL", "SETUSER", "default", "allchannels");
        await eventually("it has begun", async () => {
          return (await server.subscribe(listener.fd, "room", { since: { ...result, offset: 0 } })).status === "subscribed";
        });
        assertEquals((await server.append("room", "b")).status, "stored");
        await eventually("all have arrived", async () => (await listener.listen()).texts.at(-1) === "b");
        assertEquals(listener.texts, ["a", "b"]);
      }),
  );
}

testWith(
  "redis",
  "without memory: kept messages are refused, fleeting ones arrive, also over new connections",
  () =>
    withCluster("redis", {}, async ({ servers, redis }) => {
      const listener = new Listener(servers[1]);
      for (const topic of ["room", "hall"]) servers[1].subscribe(listener.fd, topic);
      await listener.begin("room");
      await redis.command("CONFIG", "SET", "maxmemory", "1");
      assertEquals((await servers[0].append("room", "a")).status, "refused");
      await redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      await eventually("the loss is noticed", () => servers.every((server) => server.stats().broker!.reconnect_count > 0));
      await eventually("all are connected again", () => servers.every((server) => server.stats().broker!.is_up));
      await eventually("a fleeting message arrives", async () => {
        servers[0].publish("hall", "b");
        await pause(20);
        return (await listener.listen()).fleeting.includes("b");
      });
      assertEquals((await servers[0].append("room", "c")).status, "refused");
      await redis.command("CONFIG", "SET", "maxmemory", "0");
      assertEquals((await servers[0].append("room", "d")).status, "stored");
      await eventually("a kept message arrives", async () => (await listener.listen()).texts.length > 0);
      assertEquals([listener.texts, listener.gaps], [["d"], []]);
    }),
);

testWith(
  "redis",
  "large messages: the history is read in parts, and what there is no memory for is a gap",
  () =>
    withCluster("redis", { broker: { memory: 8 * 1024 * 1024 } }, async ({ servers, brokers }) => {
      const large = "x".repeat(300 * 1024);
      let epoch = "";
      for (let i = 1; i <= 40; i++) {
        const result = await servers[0].append("room", `${i} ${large}`);
        assert(result.status === "stored");
        ({ epoch } = result);
      }
      const listener = new Listener(servers[1]);
      assertEquals(await servers[1].subscribe(listener.fd, "room", { since: { offset: 25, epoch } }), {
        status: "subscribed",
        offset: 25,
        epoch,
      });
      assertEquals(brokers[1].reads, 6, "7 messages in a part: 1 + 2 + 4, which is more than 1 MiB");
      await eventually("all have arrived", async () => (await listener.listen()).texts.length === 15);
      assertEquals(listener.texts.map((text) => parseInt(text)), Array.from({ length: 15 }, (_, i) => 26 + i));
      const other = new Listener(servers[1]);
      assertEquals(await other.begin("room", { offset: 1, epoch }).then(({ gap }) => gap), "limit");
      assertEquals(servers[1].stats().broker!.reconnect_count, 0);
    }),
);

testWith(
  "redis",
  "bytes of others among the messages are a gap, and those on the way are counted",
  () =>
    withCluster("redis", {}, async ({ servers, redis }) => {
      const { stream, meta, channel } = keys.of("room");
      const first = await servers[0].append("room", "1");
      assert(first.status === "stored");
      await servers[0].append("room", "2");
      await redis.command("XADD", stream, "3-0", "d", "none");
      await redis.command("HSET", meta, "s", "3");
      await servers[0].append("room", "4");
      const since = { offset: 0, epoch: first.epoch };
      const early = new Listener(servers[1]);
      assertEquals(await early.begin("room", since).then(({ offset, gap }) => [offset, gap]), [4, "too old"]);
      const late = new Listener(servers[1]);
      assertEquals(await late.begin("room", { ...since, offset: 3 }).then(({ offset, gap }) => [offset, gap]), [3, undefined]);
      const probe = (await redis.command("PUBSUB", "CHANNELS", "sluice:1:probe:*")).match(/sluice:1:probe:\w+/g)!;
      for (const text of ["NaN:NaN", "9007199254740991:0", "-1:5", ":", "", "x"]) {
        for (const name of [...probe, channel]) await redis.command("PUBLISH", name, text);
      }
      await eventually("they are counted", () => servers[1].stats().broker!.malformed_count >= 12);
      await eventually("it is measured as before", () => servers.every((server) => server.stats().broker!.lag > 0));
      assertEquals((await servers[0].append("room", "5")).status, "stored");
      for (const [listener, texts] of [[early, ["5"]], [late, ["4", "5"]]] as const) {
        await eventually("the next message arrives", async () => (await listener.listen()).texts.at(-1) === "5");
        assertEquals([listener.texts, listener.gaps], [[...texts], []]);
      }
    }),
);

for (const library of ["redis", "ioredis"] satisfies BrokerName[]) {
  testWith(
    "redis",
    `${library}: a Redis that becomes a replica is given up, and used again when it is none`,
    () =>
      withCluster(library, { servers: 1 }, async ({ servers: [server], redis }) => {
        const listener = new Listener(server);
        server.subscribe(listener.fd, "room");
        await listener.begin("room");
        assertEquals((await server.append("room", "a")).status, "stored");
        await redis.command("REPLICAOF", "127.0.0.1", "1"); // where there is none
        const { reconnect_count } = server.stats().broker!;
        assertEquals((await server.append("room", "b")).status, "refused");
        assertEquals(server.stats().broker!.reconnect_count, reconnect_count + 1);
        await redis.command("REPLICAOF", "NO", "ONE");
        await eventually("it is used", async () => (await server.append("room", "c")).status === "stored");
        await redis.command("REPLICAOF", "127.0.0.1", "1");
        server.subscribe(listener.fd, "room/new"); // has no position yet
        await eventually("it is given up", () => server.stats().broker!.reconnect_count > reconnect_count + 1);
        await redis.command("REPLICAOF", "NO", "ONE");
        await eventually("it has begun", async () => (await listener.begin("room/new")).offset === 0);
        await eventually("all have arrived", async () => (await listener.listen()).texts.at(-1) === "c");
        assertEquals([listener.texts, listener.gaps], [["a", "c"], []]);
      }),
  );
}
