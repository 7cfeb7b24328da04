// Topics and broadcasts over several processes, in both styles.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { HttpServer } from "../../src/coroutine/mod.ts";
import { settle } from "../support/activity.ts";
import { heard, join, type Member, quietServer } from "../topics/stage.ts";
import { clustered } from "./stage.ts";

/** What all of them have heard since the last call. */
function all(members: readonly Member[]): Promise<string[][]> {
  return Promise.all(members.map(async (member) => (await heard(member)).map(String)));
}

test("publish() reaches the subscribers of all processes, and counts them", () =>
  clustered(3, async (servers) => {
    const members = servers.flatMap((server) => [join(server), join(server)]);
    for (const i of [0, 1, 2, 4]) servers[i >> 1].subscribe(members[i].fd, "t");
    servers[2].subscribe(members[5].fd, "u");
    await settle();
    assertEquals(
      servers.map((server) => [server.subscriberCount("t"), server.subscriberCount("u"), server.subscriberCount("v")]),
      [
        [4, 1, 0],
        [4, 1, 0],
        [4, 1, 0],
      ],
    );
    assertEquals(servers.map((server, i) => server.publish("t", `from ${i}`)), [4, 4, 4]);
    assertEquals([servers[0].publish("u", new Uint8Array([0x75])), servers[0].publish("v", "to nobody")], [1, 0]);
    const sorted = (await all(members)).map((texts) => texts.sort());
    const three = ["from 0", "from 1", "from 2"];
    assertEquals(sorted, [three, three, three, [], three, ["u"]]);
    assertEquals(servers.map((server) => server.stats().publish_count), [3, 1, 1]);
    assertEquals(servers.map((server) => server.stats().response_count), [6, 3, 4]);
  }));

test("numbers of subscribers change with subscriptions and with ends, and only changes are told", () =>
  clustered(2, async ([one, two], [, node]) => {
    const members = Array.from({ length: 3 }, () => join(two));
    for (const { fd } of members) two.subscribe(fd, "t"), two.subscribe(fd, "other");
    await settle();
    assertEquals([one.subscriberCount("t"), one.subscriberCount("other")], [3, 3]);
    const before = node.link(1).connection.sentBytes;
    await settle();
    assertEquals(node.link(1).connection.sentBytes, before);
    two.unsubscribe(members[0].fd, "t");
    members[1].lane.sink.onClose();
    await settle();
    assertEquals([one.subscriberCount("t"), one.subscriberCount("other")], [1, 2]);
    for (let i = 0; i < 1000; i++) two.unsubscribe(members[0].fd, "t"), two.subscribe(members[0].fd, "t");
    await settle();
    assertEquals([one.subscriberCount("t"), node.link(1).connection.sentBytes - before < 100], [2, true]);
    assertEquals([one.publish("t", "x"), await all(members)], [2, [["x"], [], ["x"]]]);
    for (const { fd } of members) two.close(fd, true);
    await settle();
    assertEquals([one.subscriberCount("t"), one.publish("t", "x"), two.stats().remote_failures], [0, 0, {}]);
  }));

test("except leaves out connections of any process", () =>
  clustered(3, async (servers) => {
    const members = servers.flatMap((server) => [join(server), join(server)]);
    for (const [i, { fd }] of members.entries()) servers[i >> 1].subscribe(fd, "t");
    await settle();
    const except = [members[1].fd, members[2].fd, members[3].fd, 999, undefined as never];
    assertEquals(servers[0].broadcast("all", { except }), 3);
    servers[0].publish("t", "topic", { except });
    servers[2].publish("t", "one", { except: members[0].fd });
    const heardBy = await all(members);
    const both = ["all", "topic"];
    assertEquals(heardBy.map((texts) => texts.sort()), [
      both,
      ["one"],
      ["one"],
      ["one"],
      [...both, "one"].sort(),
      [...both, "one"].sort(),
    ]);
  }));

test("broadcast() reaches all WebSockets, also from a process that has none", () =>
  clustered(3, async (servers) => {
    const members = [join(servers[0]), join(servers[0]), join(servers[2])];
    await settle();
    const prepared = servers[1].prepare("prepared");
    const long = "ü".repeat(50_000);
    assertEquals([servers[1].broadcast("x"), servers[1].broadcast(prepared), servers[1].broadcast(long)], [3, 3, 3]);
    for (const texts of await all(members)) assertEquals(texts, ["x", "prepared", long]);
    assertEquals([servers[1].publish("t", "x", { opcode: 9 }), servers[1].getLastError()], [false, 8505]);
    assertEquals([servers[1].publish("", "x"), servers[1].getLastError()], [false, 505]);
  }));

test("a topic of 255 bytes, and slow readers where they are", () =>
  clustered([quietServer(), quietServer({ topic_slow_readers: "drop", topic_buffer_size: 1000 })], async ([one, two]) => {
    const topic = "é".repeat(127) + "x";
    const [member, slow] = [join(two), join(two)];
    const told: unknown[] = [];
    two.on("slowReader", (_server, { fd, topic, policy }) => void told.push([fd, topic.length, policy]));
    assert(two.subscribe(member.fd, topic) && two.subscribe(slow.fd, topic));
    await settle();
    slow.lane.takes = false;
    for (let i = 0; i < 5; i++) {
      assertEquals(one.publish(topic, "m".repeat(400)), 2);
      await settle();
    }
    assertEquals([(await heard(member)).length, told, two.stats().slow_readers.drop], [5, [[slow.fd, 128, "drop"]], 3]);
  }));

test("the coroutine style", async () => {
  const servers = [new HttpServer("127.0.0.1"), new HttpServer("127.0.0.1")];
  for (const server of servers) {
    server.set({ log_level: 6, websocket_close_timeout: 0.1, websocket_ping_interval: 0 });
    server.handle("/", async (_request, ws) => {
      await ws.upgrade();
      ws.subscribe("t");
      for await (const frame of ws) server.publish("t", frame);
    });
  }
  await clustered(servers, async () => {
    const members = servers.map((server) => join(server as never));
    await settle();
    assertEquals(servers.map((server) => server.subscriberCount("t")), [2, 2]);
    assertEquals([servers[0].publish("t", "topic"), servers[1].broadcast("all")], [2, 2]);
    assertEquals((await all(members)).map((texts) => texts.sort()), [["all", "topic"], ["all", "topic"]]);
  });
});
