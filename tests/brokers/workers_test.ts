// Topics of several processes without an engine: what the master keeps for its workers, with limits; presence; in one process.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { memoryBroker, type TopicPresence, type WebSocketServer } from "../../mod.ts";
import { frameOf } from "../../src/cluster/link.ts";
import { APPEND, APPENDED, BodyWriter, BROKER_SUBSCRIBE, KEPT, PRESENCE } from "../../src/cluster/wire.ts";
import { settle } from "../support/activity.ts";
import { HttpServer } from "../../src/coroutine/mod.ts";
import { block, heard, join, quietServer, says, unblock } from "../topics/stage.ts";
import { MasterLinks } from "./master_links.ts";
import { eventually, Listener, withCluster } from "./stage.ts";

const SMALL = { worker_buffer_size: 64 * 1024 };

/** The largest payload of a message with so few bytes for the queue of a link. */
const LARGEST = 63 * 1024;

async function hears(listener: Listener, count: number): Promise<void> {
  await eventually(`${count} messages are there`, async () => (await listener.listen()).kept.length >= count);
  assertEquals(listener.kept.length, count);
}

test("except leaves out connections of any worker, of kept topics and others, live and when they are read later", () =>
  withCluster("workers", { broker: { kept: { "room*": {} } } }, async ({ servers, links }) => {
    const [one, two] = servers;
    const listeners = [new Listener(one), new Listener(one), new Listener(two), new Listener(two)];
    for (const listener of listeners) {
      await listener.begin("room");
      listener.server.subscribe(listener.fd, "hall");
    }
    await settle();
    const except = [listeners[1].fd, listeners[3].fd];
    assertEquals(one.publish("hall", "a", { except }), 3); // that of the other process is known there only
    assertEquals((await one.append("room", "b", { except })).status, "stored");
    links!.cut(1);
    await one.append("room", "c", { except });
    await one.append("room", "d");
    await links!.master.append("room", "e", { except });
    for (const [index, listener] of listeners.entries()) {
      const isLeftOut = index % 2 === 1;
      await hears(listener, isLeftOut ? 1 : 4);
      assertEquals(listener.texts.join(""), isLeftOut ? "d" : "bcde");
      assertEquals(listener.fleeting, isLeftOut ? [] : ["a"]);
    }
    assertEquals([two.stats().broker!.reconnect_count, one.stats().broker!.failed], [1, {
      BROKER_DOWN: 0,
      BROKER_BUSY: 0,
      BROKER_UNKNOWN: 0,
      BROKER_REFUSED: 0,
    }]);
    assertEquals(links!.faults, []);
  }));

test("fleeting topics go from process to process once, and a broker changes nothing of their count", () =>
  withCluster("workers", { servers: 3 }, async ({ servers, links }) => {
    const all = servers.map((server) => new Listener(server));
    for (const { server, fd } of all) server.subscribe(fd, "hall");
    await settle();
    assertEquals(servers.map((server, i) => server.publish("hall", `${i}`)), [3, 3, 3]);
    assertEquals(links!.master.publish("hall", "m"), 3);
    assertEquals([servers[0].publish("room", "kept, for nobody"), servers[0].subscriberCount("hall")], [0, 3]);
    for (const listener of all) {
      await eventually("all is there", async () => (await listener.listen()).fleeting.length === 4);
      assertEquals(listener.fleeting.toSorted().join(""), "012m");
    }
  }));

test("a message as large as a link takes, and one byte more", () =>
  withCluster("workers", { settings: SMALL }, async ({ servers, links }) => {
    const { master } = links!;
    const listener = new Listener(servers[1]);
    await listener.begin("room");
    for (const server of [servers[0], master]) {
      assertEquals((await server.append("room", "x".repeat(LARGEST))).status, "stored");
      const result = await server.append("room", "x".repeat(LARGEST + 1));
      assert(result.status === "refused" && "code" in result.error && result.error.code === "BROKER_REFUSED", result.status);
      assert(/63|64513/.test(result.error.message) && result.error.message.includes("worker_buffer_size"));
      const except = Array.from({ length: 128 }, (_, i) => i);
      assertEquals((await server.append("room", "x".repeat(LARGEST - 1024), { except })).status, "stored");
      assertEquals((await server.append("room", "x".repeat(LARGEST - 1023), { except })).status, "refused");
      await settle();
    }
    await hears(listener, 4);
  }));

test("what a worker that does not read has missed is read later: its link holds no more than it may", () =>
  withCluster("workers", { settings: SMALL, broker: { timeout: 60, kept: { "room*": { size: 1000 } } } }, async (cluster) => {
    const { servers, links } = cluster;
    const all = servers.map((server) => new Listener(server));
    const begun = await Promise.all(all.map((listener) => listener.begin("room")));
    links!.freeze();
    for (let i = 0; i < 500; i++) await links!.master.append("room", `${i}`.padEnd(1000));
    for (const { mesh } of links!.nodes) for (const { connection } of mesh.links) assert(connection.queuedBytes < 70_000);
    links!.thaw();
    for (const [index, listener] of all.entries()) {
      await hears(listener, 500);
      listener.check(begun[index]);
      assert(cluster.brokers[index].reads > 1, "in parts");
    }
    assertEquals([cluster.gaps, links!.faults], [[], []]);
  }));

test("another server of the program shares kept topics; what fits into no link is a gap for workers", () =>
  withCluster("workers", { settings: SMALL }, async ({ servers, links, gaps }) => {
    const other = quietServer({ broker: links!.broker });
    await other.start();
    try {
      const here = join(other);
      other.subscribe(here.fd, "room");
      const all = servers.map((server) => new Listener(server));
      for (const listener of all) await listener.begin("room");
      await settle(); // whoever has just begun is in the midst of it, and has a gap of what comes now
      await servers[0].append("room", "1");
      for (const listener of all) await hears(listener, 1);
      await other.append("room", "x".repeat(LARGEST + 1));
      for (const listener of all) {
        await eventually("the gap is told", async () => (await listener.listen()).gaps.length === 1);
        assertEquals([listener.texts, listener.gaps], [["1"], ["too old"]]);
      }
      await other.append("room", "3");
      for (const listener of all) {
        await hears(listener, 3);
        assertEquals(listener.texts, ["1", "3"]);
      }
      const late = new Listener(servers[0]);
      const { epoch } = all[0].position;
      assertEquals((await late.begin("room", { offset: 2, epoch })).gap, undefined);
      assertEquals(other.stats().response_count, 3);
      assertEquals(gaps.length, 2);
    } finally {
      for (const fd of other.connections) other.close(fd, true);
      other.shutdown(0);
      await other.finished;
    }
  }));

test("ten thousand messages may wait for the master, and one more is refused; so is what the link has no room for", async () => {
  await withCluster("workers", { servers: 1, broker: { timeout: 60 } }, async ({ servers: [server], links }) => {
    links!.freeze();
    const waiting = Array.from({ length: 10_000 }, () => server.append("room", "x"));
    const result = await server.append("room", "x");
    assertEquals([result.status, server.stats().broker!.failed.BROKER_BUSY], ["refused", 1]);
    links!.thaw();
    const statuses = (await Promise.all(waiting)).map(({ status }) => status);
    assertEquals([...new Set(statuses)], ["stored"]);
    assert(server.stats().broker!.lag > 0);
  });
  await withCluster("workers", { servers: 1, settings: SMALL, broker: { timeout: 60 } }, async ({ servers: [server], links }) => {
    links!.freeze();
    await settle();
    const waiting = Array.from({ length: 4 }, () => server.append("room", "x".repeat(LARGEST)));
    const results = await Promise.race([Promise.all(waiting.slice(2)), new Promise<never>(() => {})]);
    assertEquals(results.map(({ status }) => status), ["refused", "refused"]);
    links!.thaw();
    assertEquals((await waiting[0]).status, "stored");
  });
});

test("the master decides what is kept: a worker with other options is refused, and nothing is kept twice", async () => {
  const links = new MasterLinks(memoryBroker({ kept: { room: {} } }));
  const server = quietServer({ broker: memoryBroker({ kept: { "*": {} } }) });
  links.add(server);
  await links.join();
  await server.start();
  try {
    assertEquals((await server.append("room", "1")).status, "stored");
    const result = await server.append("hall", "1");
    assert(result.status === "refused" && result.error.message.includes("other options"), JSON.stringify(result));
    assertEquals((await links.master.append("room", "2", { id: "x" })).status, "stored");
    const again = await server.append("room", "2", { id: "x" });
    assert(again.status === "stored" && again.offset === 2, JSON.stringify(again));
  } finally {
    server.shutdown(0);
    await server.finished;
    await links.close();
  }
});

test("a thousand topics that clients come back to: each history is read once, and few at a time", () =>
  withCluster(
    "workers",
    { servers: 1, settings: { max_topics_per_connection: 2000 } },
    async ({ servers: [server], brokers, links }) => {
      const epochs: string[] = [];
      for (let i = 0; i < 1000; i++) {
        const result = await links!.master.append(`room ${i}`, `${i}`);
        assert(result.status === "stored");
        epochs.push(result.epoch);
      }
      const listeners = [new Listener(server), new Listener(server)];
      const begun = await Promise.all(
        listeners.flatMap((listener) => epochs.map((epoch, i) => listener.begin(`room ${i}`, { offset: 0, epoch }))),
      );
      assertEquals(begun.filter(({ offset, gap }) => offset !== 0 || gap !== undefined), []);
      for (const listener of listeners) await hears(listener, 1000);
      assertEquals(brokers[0].reads, 1000);
    },
  ));

test("a slow reader of a worker follows from what that holds, and the link of the worker is not slower", () =>
  withCluster(
    "workers",
    { settings: { topic_slow_readers: "gap", topic_buffer_size: 16 * 1024 } },
    async ({ servers, links }) => {
      const [slow, fast] = [new Listener(servers[0]), new Listener(servers[0])];
      const begun = await slow.begin("room");
      await fast.begin("room");
      await settle();
      block(slow.member);
      for (let i = 1; i <= 100; i++) await servers[1].append("room", `${i}`.padEnd(1000));
      await hears(fast, 100);
      await eventually("the slow one has all", async () => {
        await unblock(slow.member);
        return (await slow.listen()).kept.length === 100;
      });
      slow.check(begun);
      assertEquals(links!.faults, []);
    },
  ));

test("frames that no process of ours would send end the link, which is made again", () =>
  withCluster("workers", {}, async ({ servers, links }) => {
    const listener = new Listener(servers[0]);
    await listener.begin("room");
    let seed = 7;
    const random = (most: number) => (seed = (seed * 48271) % 0x7fffffff) % most;
    const body = () => new BodyWriter();
    const wrong: [from: number, to: number, frame: Uint8Array][] = [
      [1, 0, frameOf(APPEND, body().uint32(1).text("room").uint16(9).take())],
      [1, 0, frameOf(APPEND, body().uint32(1).text("room").uint16(0).uint8(9).uint32(1).text("").uint32(0).take())],
      [1, 0, frameOf(BROKER_SUBSCRIBE, body().uint8(9).take())],
      [0, 1, frameOf(KEPT, body().text("room").text("e").fd(1).take())],
      [0, 1, frameOf(KEPT, body().text("room").text("e").fd(1).fd(0).uint8(1).uint32(1).text("").uint32(0xffffffff).take())],
      [0, 1, frameOf(APPENDED, body().uint32(1).take())],
    ];
    for (let i = 0; i < 300; i++) {
      const bytes = Uint8Array.from({ length: random(40) }, () => random(random(2) === 0 ? 4 : 256));
      wrong.push([i % 2, 1 - i % 2, frameOf(BROKER_SUBSCRIBE + random(PRESENCE - BROKER_SUBSCRIBE + 1), bytes)]);
    }
    for (const [from, to, frame] of wrong) {
      await eventually("they are joined", () => links!.nodes[from].link(to)?.isOpen);
      links!.nodes[from].link(to).sendShared(frame, { waits: 0 });
      await settle();
    }
    await eventually("it is up", () => servers.every((server) => server.stats().broker!.is_up));
    assertEquals(links!.faults, []);
    await eventually("messages are stored again", async () => (await servers[1].append("room", "end")).status === "stored");
    await eventually("they arrive", async () => (await listener.listen()).texts.includes("end"));
  }));

test("the coroutine style: kept topics, and who is there", async () => {
  const links = new MasterLinks(memoryBroker({ kept: { "room*": {} } }));
  const servers = [new HttpServer("127.0.0.1"), new HttpServer("127.0.0.1")];
  for (const server of servers) {
    server.set({
      log_level: 6,
      websocket_close_timeout: 0.1,
      websocket_ping_interval: 0,
      broker: memoryBroker({ kept: { "room*": {} } }),
      topic_envelope: (text, { offset }) => `${offset} ${text}`,
    });
    server.handle("/", async (request, ws) => {
      await ws.upgrade();
      const begun = await ws.subscribe("room", {});
      ws.show("room", String(request.get.name));
      await ws.push(begun.status);
      for await (const frame of ws) await server.append("room", frame);
    });
    links.add(server);
  }
  await links.join();
  try {
    const members = servers.map((server, i) => join(server as never, `/?name=user${i}`));
    for (const member of members) {
      const texts: (string | number)[] = [];
      await eventually("it has begun", async () => (texts.push(...await heard(member)), texts.includes("subscribed")));
    }
    for (const server of servers) {
      await eventually("both are there", () => server.members("room").members.map(({ key }) => key).join() === "user0,user1");
    }
    says(members[0], "from one");
    const result = await servers[1].append("room", "from the other");
    assertEquals([result.status, (await links.master.append("room", "from the master")).status], ["stored", "stored"]);
    for (const member of members) {
      const texts: (string | number)[] = [];
      await eventually("all is there", async () => (texts.push(...await heard(member)), texts.length === 3));
      assertEquals(texts.map((text) => String(text).slice(2)).sort(), ["from one", "from the master", "from the other"]);
      assertEquals(texts.map((text) => String(text).slice(0, 1)), ["1", "2", "3"]);
    }
    assertEquals(links.faults, []);
  } finally {
    for (const server of servers) {
      server.shutdown(0);
      await server.finished;
    }
    await links.close();
  }
});

// ---- presence without a broker ------------------------------------------------------------------------------------------

/** Runs a test with so many workers that have no broker. */
async function present(
  count: number,
  test: (servers: WebSocketServer[], links: MasterLinks, told: string[][]) => Promise<void>,
  settings: object = {},
): Promise<void> {
  const links = new MasterLinks(null, { presence_grace: 0.3, ...settings });
  const servers = Array.from({ length: count }, () => quietServer({ presence_grace: 0.3, ...settings }));
  const told = servers.map((server) => {
    const lines: string[] = [];
    server.on("presence", (_server, { joined, updated, left, fds }: TopicPresence) => {
      for (const { key } of joined) lines.push(`+${key} ${fds.length}`);
      for (const { key } of updated) lines.push(`~${key} ${fds.length}`);
      for (const { key } of left) lines.push(`-${key} ${fds.length}`);
    });
    return lines;
  });
  for (const server of servers) links.add(server);
  await links.join();
  try {
    await test(servers, links, told);
    assertEquals(links.faults, []);
  } finally {
    for (const server of servers) {
      for (const fd of server.connections) server.close(fd, true);
      if (server.shutdown(0)) await server.finished;
    }
    await links.close();
  }
}

const keysOf = (server: WebSocketServer, topic = "room") => server.members(topic).members.map(({ key }) => key).join();

/** Shows somebody new in a topic. */
function enter(server: WebSocketServer, key: string, info?: unknown, topic = "room"): number {
  const { fd } = join(server);
  server.subscribe(fd, topic);
  assert(server.show(fd, topic, key, info));
  return fd;
}

test("who is in a topic is known in all processes, also in one that has just been joined, and the last connection counts", () =>
  present(2, async (servers, links, told) => {
    const [one, two] = servers;
    const ada = enter(one, "ada", { mood: "good" });
    enter(two, "bob");
    const tab = enter(two, "ada", { mood: "better" });
    for (const server of [one, two, links.master]) {
      await eventually("all know it", () => keysOf(server) === "ada,bob" && server.members("room").members[0].connections === 2);
      assertEquals([server.members("room").isStale, server.members("room").count], [false, 2]);
    }
    const three = quietServer({ presence_grace: 0.3 });
    try {
      await links.joinLate(three);
      await three.start();
      assertEquals(keysOf(three), "ada,bob"); // at once
      one.show(ada, "room", "ada", { mood: "best" });
      await eventually("updates are known", () => JSON.stringify(three.members("room").members[0].info) === '{"mood":"best"}');
      one.close(ada, true);
      await eventually("one tab is left", () => two.members("room").members[0].connections === 1);
      two.close(tab, true);
      for (const server of [one, two, three, links.master]) await eventually("ada has left", () => keysOf(server) === "bob");
      await eventually("it is told where there is somebody to tell", () => told[1].includes("-ada 1"));
      assertEquals(told[1].filter((line) => line.startsWith("-")), ["-ada 1"]);
    } finally {
      three.shutdown(0);
      await three.finished;
    }
  }));

test("a process that ends shows nothing any more; a link that is made again changes nothing", () =>
  present(3, async (servers, links, told) => {
    for (const [i, server] of servers.entries()) enter(server, `user ${i}`);
    for (const server of servers) await eventually("all are known", () => keysOf(server) === "user 0,user 1,user 2");
    links.nodes[1].link(2).fail("cut by a test");
    await eventually("it is made again", () => links.nodes[1].link(2)?.isOpen);
    const { fd } = join(servers[1]);
    servers[1].subscribe(fd, "room");
    servers[1].show(fd, "room", "late");
    await eventually("what comes then is known", () => keysOf(servers[0]).startsWith("late,"));
    await new Promise((resolve) => setTimeout(resolve, 500)); // longer than the grace
    assertEquals(told.flat().filter((line) => line.startsWith("-")), []);
    await links.nodes[3].mesh.close();
    for (const server of servers.slice(0, 2)) await eventually("it has left", () => keysOf(server) === "late,user 0,user 1");
    await eventually("it is told", () => told[0].includes("-user 2 1"));
    assertEquals(told[0].filter((line) => line.startsWith("-")), ["-user 2 1"]);
  }));

test("many members that show as much as they may go in parts, over links that hold as little as they may", () =>
  present(2, async ([one, two], links) => {
    const topic = "\u0001".repeat(255);
    const info = "\u20ac".repeat(4094); // with quotes as many UTF-16 units as are allowed, and three bytes each
    join(two);
    for (let i = 0; i < 60; i++) enter(one, `${i}`.padEnd(128, "\u0001"), info, topic);
    await eventually("all are known", () => two.members(topic).count === 60);
    const three = quietServer(SMALL);
    await links.joinLate(three);
    const { fd } = join(three);
    assertEquals(three.members(topic).count, 60);
    three.close(fd, true);
    three.shutdown(0);
    await three.finished;
    assertEquals(links.nodes.flatMap(({ warnings }) => warnings), []);
  }, SMALL));
