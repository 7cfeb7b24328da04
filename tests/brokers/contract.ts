/**
 * The contract of brokers, as tests: the same for each broker. `holes.ts` says which does not apply to which, and why.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPaths } from "node:path";
import process from "node:process";
import { BrokerMessage } from "../../mod.ts";
import { encodeEnvelope } from "../../src/topics/brokers/envelope.ts";
import { RedisKeys } from "../../src/topics/brokers/redis_keys.ts";
import { APPEND } from "../../src/topics/brokers/redis_scripts.ts";
import { block, unblock } from "../topics/stage.ts";
import type { WebSocketServer } from "../../mod.ts";
import { checkExactlyOnce, memberKilled } from "./processes.ts";
import { type BrokerName, type Cluster, eventually, isFull, Listener, Load, pause, TIMES, withCluster } from "./stage.ts";

/** A test of the contract. */
export interface ContractTest {
  /** What is promised. */
  readonly name: string;
  run(broker: BrokerName): Promise<void>;
}

function numbers(texts: readonly string[]): number[] {
  return texts.map(Number);
}

function isAscending(list: readonly number[]): boolean {
  return list.every((number, index) => index === 0 || number > list[index - 1]);
}

/** Subscribes a listener of each server to `room` and `hall`. */
async function listeners(
  { servers }: Pick<Cluster, "servers">,
): Promise<{ all: Listener[]; begun: { offset: number; epoch: string }[] }> {
  const all = servers.map((server) => new Listener(server));
  const begun = [];
  for (const listener of all) {
    begun.push(await listener.begin("room"));
    listener.server.subscribe(listener.fd, "hall");
  }
  await eventually("the fleeting topic is subscribed to", async () => {
    servers[0].publish("hall", "0");
    await Promise.all(all.map((listener) => listener.listen()));
    return all.every(({ fleeting }) => fleeting.length > 0);
  });
  for (const { fleeting } of all) fleeting.length = 0;
  return { all, begun };
}

const isUp = ({ servers }: Cluster) => servers.every((server) => server.stats().broker?.is_up);

/** What is true of every message, whatever has happened to the broker. */
function checkOutcomes(listener: Listener, begun: { offset: number; epoch: string }, { outcomes, count }: Load): number[] {
  listener.check(begun);
  const heard = numbers(listener.texts);
  const all = new Set(heard);
  assertEquals(all.size, heard.length, "nothing is delivered twice");
  for (const number of outcomes.refused) assert(!all.has(number), `${number} was refused, and delivered`);
  assert(heard.every((number) => number >= 1 && number <= count));
  const fleeting = numbers(listener.fleeting).filter((number) => number > 0);
  assert(isAscending(fleeting), "fleeting messages are in order, and none is there twice");
  return heard;
}

/** Appends one more, until it is stored: on a busy machine, the connection may be lost once more. */
async function appendLast(server: WebSocketServer, load: Load): Promise<void> {
  await eventually("the last message is stored", async () => {
    const number = ++load.count;
    const { status } = await server.append("room", `${number}`);
    load.outcomes[status].push(number);
    return status === "stored";
  });
}

async function killed(broker: BrokerName, isDurable: boolean): Promise<void> {
  const redis = isDurable ? ["--appendonly", "yes", "--appendfsync", "always"] : [];
  await withCluster(broker, { redis, broker: { durable: isDurable, kept: { "room*": { size: 10_000 } } } }, async (cluster) => {
    const { all, begun } = await listeners(cluster);
    const load = new Load(cluster.servers[0]);
    await pause(isFull ? 500 : 300);
    await cluster.redis.kill();
    const before = load.count;
    await pause(isFull ? 2000 : 400);
    const during = load.count;
    await cluster.redis.start();
    await eventually("all are connected again", () => isUp(cluster));
    await pause(300);
    const { stored, refused } = await load.stop();
    const published = load.count;
    assert(during > before && refused.length > 0, "there were messages while it was down");
    await appendLast(cluster.servers[0], load);
    for (const [index, listener] of all.entries()) {
      await eventually("the last message has arrived", async () => (await listener.listen()).texts.includes(`${load.count}`));
      const heard = new Set(checkOutcomes(listener, begun[index], load));
      if (isDurable) {
        assertEquals(listener.gaps, []);
        for (const number of stored) assert(heard.has(number), `${number} was stored, and not delivered`);
      } else {
        assert(listener.gaps.includes("epoch"), "the loss is told");
        const lastOfOld = Math.max(
          ...listener.kept.filter(({ epoch, text }) => text !== undefined && epoch === begun[index].epoch).map(({ text }) =>
            Number(text)
          ),
        );
        for (const number of stored.filter((number) => number <= lastOfOld)) {
          assert(heard.has(number), `${number} is missing before the gap`);
        }
      }
    }
    const here = numbers(all[0].fleeting).filter((number) => number > 0);
    assertEquals(here, Array.from({ length: published }, (_, i) => i + 1), "subscribers here get all fleeting messages");
    assert(numbers(all[1].fleeting).length < here.length);
  });
}

/** Appends a message as another program does, but sends it to nobody. */
async function appendUnsent({ redis }: Cluster, text: string): Promise<void> {
  const keys = new RedisKeys("sluice").of("room");
  const [, run] = /\brun_id:(\w+)/.exec(await redis.command("INFO", "server"))!;
  const bytes = encodeEnvelope(new BrokerMessage(1, new TextEncoder().encode(text), false, "0102030405060708", 1));
  const envelope = String.fromCharCode(...bytes);
  const reply = await redis.command(
    "EVAL",
    APPEND,
    "2",
    keys.meta,
    keys.stream,
    "x",
    run,
    "1",
    "1",
    "1000",
    "300",
    "nowhere",
    `${bytes.length}`,
    envelope,
  );
  assert(reply.startsWith("*1\r\n*2"), reply);
}

/** The tests. */
export const CONTRACT: readonly ContractTest[] = [{
  name:
    "who is in a topic: all servers know it, who changes servers within the grace has never left, and the broker may go and come",
  run: (broker) =>
    withCluster(broker, { servers: 3, settings: { presence_grace: 1 }, broker: { lease: 1.5 } }, async (cluster) => {
      const { servers, redis } = cluster;
      const told: string[] = [];
      servers[0].on("presence", (_server, { joined, updated, left }) => {
        for (const { key } of joined) told.push(`+${key}`);
        for (const { key } of updated) told.push(`~${key}`);
        for (const { key } of left) told.push(`-${key}`);
      });
      for (const server of servers) server.members("room");
      const all = servers.map((server) => new Listener(server));
      for (const [index, { server, fd }] of all.entries()) {
        server.subscribe(fd, "room");
        server.show(fd, "room", `user ${index}`, { index });
      }
      const viewOf = (server: WebSocketServer) => server.members("room").members.map(({ key }) => key).join();
      const agree = (view: string) => eventually(`all see ${view}`, () => servers.every((server) => viewOf(server) === view));
      await agree("user 0,user 1,user 2");
      await eventually("all are told", () => told.length === 3); // what is told later may come together
      all[1].server.show(all[1].fd, "room", "user 1", { index: 7 });
      await eventually("the update is known", () => JSON.stringify(servers[2].members("room").members[1].info) === '{"index":7}');
      await eventually("it is told", () => told.includes("~user 1"));
      // User 2 goes from the last server to the first.
      const moved = new Listener(servers[0]);
      servers[2].close(all[2].fd, true);
      servers[0].subscribe(moved.fd, "room");
      servers[0].show(moved.fd, "room", "user 2", { index: 2 });
      if (redis !== undefined) {
        await redis.kill();
        await eventually("it is noticed", () => servers.every((server) => server.members("room").isStale));
        servers[1].hide(all[1].fd, "room");
        await pause(2000); // longer than servers may be silent
        await redis.start();
      } else servers[1].hide(all[1].fd, "room");
      await agree("user 0,user 2");
      assertEquals(servers.map((server) => server.members("room").count), [2, 2, 2]);
      await eventually("it is told", () => told.includes("-user 1"));
      assertEquals(told.toSorted(), ["+user 0", "+user 1", "+user 2", "-user 1", "~user 1"]);
    }),
}, {
  name: "a server is killed: those that it showed leave once, on all others",
  run: memberKilled,
}, {
  name: "three servers, 300 clients, 30 topics: each message exactly once, in the order of each sender",
  run: checkExactlyOnce,
}, {
  name:
    "killed under load: what was stored is delivered or a gap is told, what was refused is not delivered, here nothing is lost",
  run: (broker) => killed(broker, false),
}, {
  name: "killed under load, with data that is on disk: everything that was stored is delivered once, in order, without a gap",
  run: (broker) => killed(broker, true),
}, {
  name: "frozen: it is noticed, messages are refused in time, what waits is limited, and everything goes on",
  run: (broker) =>
    withCluster(broker, { broker: { ...TIMES, maxPending: 200, kept: { "room*": { size: 10_000 } } } }, async (cluster) => {
      const { servers } = cluster;
      const engine = cluster.links ?? cluster.redis;
      const { all, begun } = await listeners(cluster);
      const load = new Load(servers[0]);
      await pause(300);
      engine.freeze();
      const begunAt = performance.now();
      await eventually("it is noticed", () => servers.every((server) => server.stats().broker?.is_up === false), 10);
      const noticed = performance.now() - begunAt;
      await pause(isFull ? Math.max(0, 8000 - noticed) : 700);
      engine.thaw();
      await eventually("all are connected again", () => isUp(cluster));
      await pause(300);
      const { refused, unknown, longest } = await load.stop();
      assert(unknown.length > 0 && refused.length > 0);
      const losses = servers[0].stats().broker!.reconnect_count;
      const most = cluster.links === undefined ? 200 : 10_000; // that so many may wait for a master is a test in workers_test.ts
      assert(unknown.length <= most * losses, `${unknown.length} messages waited`);
      assert(longest < TIMES.timeout * 1000 + 5000, `one message took ${longest} ms`);
      await appendLast(servers[0], load);
      for (const [index, listener] of all.entries()) {
        await eventually("the last message has arrived", async () => (await listener.listen()).texts.includes(`${load.count}`));
        const heard = new Set(checkOutcomes(listener, begun[index], load));
        assertEquals(listener.gaps, []);
        for (const number of load.outcomes.stored) assert(heard.has(number), `${number} was stored, and not delivered`);
      }
    }),
}, {
  name: "the connection for subscriptions is cut, or falls silent: nothing is missing, and who publishes notices nothing",
  run: (broker) =>
    withCluster(
      broker,
      { isProxied: true, broker: { ...TIMES, timeout: 2, idleCheck: 0, kept: { "room*": { size: 10_000 } } } },
      async (cluster) => {
        const { servers, proxy, links } = cluster;
        const { all, begun } = await listeners(cluster);
        const load = new Load(servers[0]);
        for (const how of ["cut", "mute"] as const) {
          if (links !== undefined && how === "mute") continue; // a link that carries nothing belongs to a process that is frozen
          await pause(200);
          const reconnects = servers[1].stats().broker!.reconnect_count;
          links?.cut(1);
          for (const connection of [...proxy?.connections ?? []]) if (connection.isSubscriber) connection[how]();
          if (how === "mute") await pause(100).then(() => load.stop()); // the last ones are lost on their way, and nothing follows
          await eventually("the loss is noticed", () => servers[1].stats().broker!.reconnect_count > reconnects, 20);
          await eventually("all are connected again", () => isUp(cluster));
        }
        const { stored } = load.outcomes;
        assertEquals([stored.length, servers[0].stats().broker!.reconnect_count], [load.count, 0]);
        for (const [index, listener] of all.entries()) {
          await eventually("all messages have arrived", async () => (await listener.listen()).texts.length === load.count);
          assertEquals(checkOutcomes(listener, begun[index], load), Array.from({ length: load.count }, (_, i) => i + 1));
          assertEquals(listener.gaps, []);
        }
      },
    ),
}, {
  name: "the last message is lost on its way: it is found when nothing follows it",
  run: (broker) =>
    withCluster(broker, {}, async (cluster) => {
      const { all } = await listeners(cluster);
      await appendUnsent(cluster, "lost");
      for (const listener of all) {
        await eventually("it has arrived", async () => (await listener.listen()).texts.includes("lost"), TIMES.idleCheck * 3 + 5);
        assertEquals(listener.gaps, []);
      }
    }),
}, {
  name: "the broker is emptied, while messages come or not: everybody is told",
  run: (broker) =>
    withCluster(broker, {}, async (cluster) => {
      const { all, begun } = await listeners(cluster);
      await cluster.servers[0].append("room", "1");
      await cluster.redis.command("FLUSHALL");
      await cluster.servers[0].append("room", "2");
      for (const listener of all) {
        await eventually("the new message has arrived", async () => (await listener.listen()).texts.includes("2"));
        assertEquals([listener.texts, listener.gaps], [["1", "2"], ["epoch"]]);
      }
      await cluster.redis.command("FLUSHALL");
      for (const [index, listener] of all.entries()) {
        await eventually("it is told", async () => (await listener.listen()).gaps.length === 2, TIMES.idleCheck * 3 + 5);
        listener.check(begun[index]);
      }
    }),
}, {
  name: "started again from older data, whose offsets catch up before anybody looks: everybody is told",
  run: async (broker) => {
    const copy = mkdtempSync(joinPaths(tmpdir(), "sluice-redis-copy-"));
    try {
      await withCluster(broker, { isProxied: true }, async (cluster) => {
        const { servers, redis } = cluster;
        const { all, begun } = await listeners(cluster);
        for (const text of "123") await servers[0].append("room", text);
        await redis.command("SAVE");
        redis.copyTo(copy);
        for (const text of "456") await servers[0].append("room", text);
        for (const listener of all) await eventually("all is there", async () => (await listener.listen()).texts.length === 6);
        await redis.kill();
        redis.copyFrom(copy);
        await redis.start();
        // The first server appends before the second, which is behind the proxy, has found out anything.
        for (const text of "abcd") {
          await eventually("it is stored", async () => (await servers[0].append("room", text, { id: text })).status === "stored");
        }
        for (const [index, listener] of all.entries()) {
          await eventually("the last message has arrived", async () => {
            const { texts, gaps } = await listener.listen();
            return texts.includes("d") || (gaps.length > 0 && listener.kept.at(-1)!.offset === 4);
          });
          listener.check(begun[index]);
          assertEquals([listener.gaps, listener.kept.at(-1)!.offset], [["epoch"], 4]);
        }
        const late = new Listener(servers[1]);
        const { epoch } = begun[0];
        assertEquals((await late.begin("room", { offset: 4, epoch })).gap, "epoch");
      });
    } finally {
      rmSync(copy, { recursive: true });
    }
  },
}, {
  name: "the history is trimmed while a client is away: too old, and exactly at the limit not",
  run: (broker) =>
    withCluster(broker, { broker: { kept: { "room*": { size: 5 } } } }, async ({ servers }) => {
      const client = new Listener(servers[0]);
      const { epoch } = await client.begin("room");
      servers[0].close(client.fd, true);
      for (let i = 1; i <= 12; i++) {
        await servers[0].append("room", `${i}`);
        await servers[1].append("room other", `${i}`); // what others keep makes no difference
      }
      for (const server of servers) {
        const [old, atLimit] = [new Listener(server), new Listener(server)];
        assertEquals((await old.begin("room", { offset: 6, epoch })).gap, "too old");
        assertEquals((await atLimit.begin("room", { offset: 7, epoch })).gap, undefined);
        await eventually("all is there", async () => (await atLimit.listen()).texts.length === 5);
        assertEquals([atLimit.texts, (await old.listen()).texts], [["8", "9", "10", "11", "12"], []]);
      }
    }),
}, {
  name:
    "clients that recover while messages come, again in a handler, twice quickly, before the first message, after a long silence",
  run: (broker) =>
    withCluster(broker, { broker: { kept: { "room*": { size: 10_000 }, "room quiet": { ttl: 1 } } } }, async (cluster) => {
      const { servers } = cluster;
      const quiet = new Listener(servers[1]);
      await quiet.begin("room quiet");
      await servers[0].append("room quiet", "1");
      await eventually("it is there", async () => (await quiet.listen()).texts.length === 1);
      const position = quiet.position;
      servers[1].close(quiet.fd, true);
      const silentAt = performance.now();

      const first = new Listener(servers[1]);
      const begun = await first.begin("room");
      const load = new Load(servers[0], 2);
      await pause(100);
      const late: [Listener, { offset: number; epoch: string }][] = [];
      for (let i = 0; i < 20; i++) {
        const listener = new Listener(servers[i % 2]);
        const since = { offset: i, epoch: begun.epoch };
        const beginnings = [listener.begin("room", since)];
        if (i % 3 === 0) beginnings.push(listener.begin("room", since)); // twice quickly
        for (const result of await Promise.all(beginnings)) assertEquals([result.offset, result.gap], [i, undefined]);
        late.push([listener, since]);
        await pause(10);
      }
      await load.stop();
      for (const [listener, since] of [[first, begun] as const, ...late]) {
        await eventually("all is there", async () => (await listener.listen()).kept.at(-1)?.offset === load.count);
        listener.check(since);
        assertEquals(listener.kept.length, load.count - since.offset);
      }

      // Before the first message, and again in a handler.
      const early = new Listener(servers[0]);
      const none = await early.begin("room new");
      assertEquals(none.offset, 0);
      servers[0].close(early.fd, true);
      for (const text of "abc") await servers[1].append("room new", text);
      const again = new Listener(servers[0]);
      servers[0].on("message", (server, { fd }) => server.subscribe(fd, "room new", { since: none }));
      again.member.lane.receive(Uint8Array.of(0x81, 0x80, 0, 0, 0, 0));
      await eventually("all is there", async () => (await again.listen()).texts.length === 3);
      assertEquals(again.texts, ["a", "b", "c"]);

      // Silent for longer than the history is kept.
      await pause(Math.max(0, silentAt + 2200 - performance.now()));
      const back = new Listener(servers[1]);
      assertEquals((await back.begin("room quiet", position)).gap, undefined);
      await servers[0].append("room quiet", "2");
      await eventually("the next is there", async () => (await back.listen()).texts.length === 1);
      assertEquals(back.kept[0].offset, position.offset + 1);
    }),
}, {
  name: "appended again with the same id, after it was not known what had become of it: delivered once, with the same position",
  run: (broker) =>
    withCluster(broker, { broker: { timeout: TIMES.timeout } }, async (cluster) => {
      const { servers } = cluster;
      const engine = cluster.links ?? cluster.redis;
      const { all } = await listeners(cluster);
      engine?.freeze();
      const first = await servers[0].append("room", "paid", { id: "7" });
      assertEquals(first.status, engine === undefined ? "stored" : "unknown");
      engine?.thaw();
      await eventually("all are connected again", () => isUp(cluster));
      const second = await servers[0].append("room", "paid", { id: "7" });
      const third = await servers[1].append("room", "paid", { id: "7" });
      assert(second.status === "stored", JSON.stringify(second));
      assertEquals(third, second);
      await servers[0].append("room", "end");
      for (const listener of all) {
        await eventually("the end has arrived", async () => (await listener.listen()).texts.includes("end"));
        assertEquals(listener.texts, ["paid", "end"]);
        assertEquals(listener.kept[0].offset, second.offset);
      }
    }),
}, {
  name: "a thousand subscriptions begin and end each second: one command a second, and nobody who stays misses anything",
  run: (broker) =>
    withCluster(broker, { servers: 1, broker: { linger: 1 } }, async ({ servers: [server], brokers: [counts], redis }) => {
      const [one, two] = [new Listener(server), new Listener(server)];
      await one.begin("room");
      const before = counts.subscribes;
      const seconds = isFull ? 5 : 1;
      for (let i = 0; i < seconds * 100; i++) {
        for (let j = 0; j < 10; j++) {
          server.subscribe(two.fd, "room flapping");
          if (i % 10 === 0) server.publish("room", `${i}-${j}`);
          server.unsubscribe(two.fd, "room flapping");
        }
        await pause(10);
      }
      assert(counts.subscribes - before <= 1 + seconds, `${counts.subscribes - before} times`);
      assert(counts.unsubscribes <= 1 + seconds);
      await eventually("all is there", async () => (await one.listen()).texts.length === seconds * 100);
      if (redis !== undefined) {
        const [, calls] = /cmdstat_subscribe:calls=(\d+)/.exec(await redis.command("INFO", "commandstats"))!;
        assert(Number(calls) <= 3 + seconds, `${calls} commands`);
      }
    }),
}, {
  name: "a slow reader in a busy room: the others get everything at once, it is told of its gap, and that is counted",
  run: (broker) =>
    withCluster(broker, {
      broker: { kept: { "room*": { size: 50 } } },
      settings: { topic_slow_readers: "gap", topic_buffer_size: 16 * 1024 },
    }, async ({ servers }) => {
      const [slow, fast] = [new Listener(servers[0]), new Listener(servers[0])];
      const begun = await slow.begin("room");
      await fast.begin("room");
      await pause(20);
      block(slow.member);
      for (let i = 1; i <= 200; i++) {
        await servers[1].append("room", `${i}`.padEnd(1000));
        if (i % 20 === 0) await eventually("the fast one has it", async () => (await fast.listen()).kept.length === i);
      }
      assertEquals(fast.gaps, []);
      await eventually("the slow one is at the end", async () => {
        await unblock(slow.member);
        return (await slow.listen()).kept.at(-1)?.offset === 200;
      });
      slow.check(begun);
      assertEquals(slow.gaps, ["slow"]);
      assertEquals([servers[0].stats().slow_readers.gap, servers[0].stats().broker!.gaps.slow], [1, 1]);
    }),
}, {
  name: "ten thousand subscriptions when the broker comes back: in batches, without holding up the program",
  run: (broker) => {
    const count = isFull ? 10_000 : 3000;
    return withCluster(broker, { servers: 1, broker: { durable: true } }, async (cluster) => {
      const { servers: [server], redis, links } = cluster;
      const members = Array.from({ length: count / 500 }, () => new Listener(server));
      for (const [index, { fd }] of members.entries()) {
        for (let i = 0; i < 500; i++) assert(server.subscribe(fd, `room ${index * 500 + i}`));
      }
      const one = members.at(-1)!;
      await one.begin(`room ${count - 1}`);
      links?.cut(0);
      await redis?.kill();
      await redis?.start();
      let [longest, busiest] = [0, 0];
      let last = performance.now();
      let used = process.cpuUsage();
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - last - 5);
        last = performance.now();
        const { user, system } = process.cpuUsage(used);
        busiest = Math.max(busiest, (user + system) / 1000);
        used = process.cpuUsage();
      }, 5);
      const begun = performance.now();
      await eventually("it is connected again", () => isUp(cluster));
      await eventually("the last topic is there", async () => {
        await server.append(`room ${count - 1}`, "x");
        return (await one.listen()).texts.length > 0;
      });
      const took = performance.now() - begun;
      clearInterval(timer);
      if (redis !== undefined) {
        const [, calls] = /cmdstat_subscribe:calls=(\d+)/.exec(await redis.command("INFO", "commandstats"))!;
        assert(Number(calls) <= Math.ceil(count / 256) + 3, `${calls} commands`);
      }
      assert(took < 15_000, `it took ${took} ms`);
      console.log(
        `${count} subscriptions: ${Math.round(took)} ms until all are back, ${
          Math.round(longest)
        } ms at most between two turns, ` +
          `with ${Math.round(busiest)} ms of processor time`,
      );
    });
  },
}];
