// Who is in a topic: with a clock that is moved, several servers that hear each other or do not, and the methods of a server.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { memoryBroker, type TopicMember, type TopicPresence } from "../../mod.ts";
import { Presence } from "../../src/topics/presence.ts";
import { type PresenceChange, PresenceTable } from "../../src/topics/presence_table.ts";
import { MovedClock } from "../brokers/moved_clock.ts";
import { settle } from "../support/activity.ts";
import { heard, join, quietServer, staging } from "./stage.ts";

const turns = () => new Promise((resolve) => setTimeout(resolve));
const keys = (list: readonly { key: string }[]) => list.map(({ key }) => key);

/** A change in few words: `+a ~b -c 2`. */
function brief(change: PresenceChange | undefined): string {
  if (change === undefined) return "";
  const { joined, updated, left, count } = change;
  return [
    ...keys(joined).map((key) => `+${key}`),
    ...keys(updated).map((key) => `~${key}`),
    ...keys(left).map((key) => `-${key}`),
    count,
  ]
    .join(" ");
}

test("a member comes with its first connection, and leaves a while after its last", () => {
  const table = new PresenceTable(1000);
  const show = (node: string, fd: number, key: string, info: unknown = null, at = 1) =>
    table.show(node, { fd, topic: "t", key, info, at }, 0);
  const told = () => brief(table.changes("t", 100));
  show("n", 1, "a");
  show("n", 2, "a"); // another tab
  show("m", 1, "b", { mood: "good" });
  assertEquals([told(), told(), table.count("t")], ["+a +b 2", "", 2]);
  assertEquals(table.members("t", 10, ""), [{ key: "a", info: null, connections: 2 }, {
    key: "b",
    info: { mood: "good" },
    connections: 1,
  }]);
  table.hide("n", 1, "t", 100);
  table.hide("n", 2, "t", 200);
  table.expire(1199);
  assertEquals([told(), table.members("t", 1, "")[0].connections], ["", 0]);
  show("m", 5, "a"); // it is back, at another server
  table.expire(5000);
  assertEquals(told(), "");
  table.hide("m", 5, "t", 5000);
  table.expire(5999);
  assertEquals(told(), "");
  table.expire(6000);
  assertEquals([told(), table.hide("m", 5, "t", 6000)], ["-a 1", false]);
  assertEquals(table.hide("m", 1, "t", 7000), true);
  table.expire(8000);
  assertEquals([told(), table.count("t"), table.hasLeaving, table.sizeOf("m")], ["-b 0", 0, false, 0]);
});

test("the newest info counts, and what nobody was told of is not told", () => {
  const table = new PresenceTable(0);
  const show = (node: string, fd: number, key: string, info: unknown, at: number) =>
    table.show(node, { fd, topic: "t", key, info, at }, 0);
  const told = () => brief(table.changes("t", 100));
  show("n", 1, "a", 1, 10);
  show("n", 1, "a", 2, 11);
  assertEquals(told(), "+a 1");
  show("n", 1, "a", 2, 12); // the same
  show("m", 1, "a", 3, 5); // older
  assertEquals([told(), table.members("t", 1, "")], ["", [{ key: "a", info: 2, connections: 2 }]]);
  show("m", 1, "a", 4, 12); // as new, from a server with a lower name
  assertEquals(told(), "");
  show("m", 1, "a", 5, 13);
  assertEquals(told(), "~a 1");
  show("m", 2, "b", 0, 1);
  table.hide("m", 2, "t", 0);
  assertEquals(told(), ""); // it has come and gone
  table.hide("n", 1, "t", 0);
  table.hide("m", 1, "t", 0);
  show("m", 1, "a", 6, 14);
  assertEquals(told(), "~a 1"); // gone and come
  show("m", 1, "c", 7, 15); // the same connection is somebody else
  assertEquals([told(), keys(table.members("t", 10, ""))], ["+c -a 1", ["c"]]);
});

test("a topic with more members than that tells only how many", () => {
  const table = new PresenceTable(0);
  for (let i = 0; i < 3; i++) table.show("n", { fd: i, topic: "t", key: `${i}`, info: null, at: 1 }, 0);
  assertEquals(brief(table.changes("t", 2)), "3");
  table.hide("n", 0, "t", 0);
  assertEquals(brief(table.changes("t", 2)), "-0 2");
  assertEquals([keys(table.members("t", 1, "")), keys(table.members("t", 5, "1"))], [["1"], ["2"]]);
});

test("topics and keys may have any characters: each member leaves at its own time", () => {
  const table = new PresenceTable(1000);
  const places = [["a\nb", "c"], ["a", "b\nc"]] as const;
  for (const [fd, [topic, key]] of places.entries()) table.show("n", { fd, topic, key, info: null, at: 1 }, 0);
  for (const [fd, [topic]] of places.entries()) table.hide("n", fd, topic, 100 * fd);
  const counts = () => places.map(([topic]) => table.count(topic));
  table.expire(1000);
  assertEquals(counts(), [0, 1]);
  table.expire(1100);
  assertEquals([...counts(), table.hasLeaving], [0, 0, false]);
});

/** Servers that hear each other, unless a test says otherwise. */
class Network {
  readonly clock = new MovedClock();
  readonly servers: Map<string, Presence> = new Map();
  readonly told: string[] = [];
  isUp = true;
  /** Which messages get lost. */
  loses: (from: string, to: string, text: string) => boolean = () => false;

  add(id: string): Presence {
    const bus = {
      say: (text: string) => {
        for (const [other, presence] of [...this.servers]) {
          if (other !== id && this.isUp && !this.loses(id, other, text)) presence.onMessage(id, text);
        }
      },
      isUp: true,
    };
    Object.defineProperty(bus, "isUp", { get: () => this.isUp });
    const presence = new Presence(
      { id, grace: 1000, most: 1000, lease: 15_000, onChange: (change) => void this.told.push(`${id} ${brief(change)}`) },
      bus,
      this.clock,
    );
    this.servers.set(id, presence);
    presence.onReady();
    return presence;
  }

  async move(milliseconds: number): Promise<void> {
    await turns();
    this.clock.move(milliseconds);
    await turns();
    this.clock.move(200);
    await turns();
  }

  views(): string[] {
    return [...this.servers.values()].map(({ table }) => keys(table.members("t", 2000, "")).join());
  }

  take(): string[] {
    return this.told.splice(0).sort();
  }
}

test("servers know what the others show, also those that come later", async () => {
  const network = new Network();
  const [a, b] = [network.add("a"), network.add("b")];
  await network.move(200);
  a.show(1, "t", "ada", 1);
  b.show(1, "t", "bob", 2);
  await network.move(200);
  assertEquals(
    [network.views(), network.take()],
    [["ada,bob", "ada,bob"], ["a +ada +bob 2", "b +bob +ada 2"]],
  );
  network.add("c");
  await network.move(200);
  assertEquals(network.views()[2], "ada,bob");
  assertEquals(network.take().join().match(/c|\+\w+/g)!.filter((word) => word !== "c").sort(), ["+ada", "+bob"]); // at once, or not
  a.hide(1, "t");
  await network.move(1200);
  assertEquals([network.views(), network.take()], [["bob", "bob", "bob"], ["a -ada 1", "b -ada 1", "c -ada 1"]]);
});

test("what got lost is noticed with the next number, or the next sign of life, and asked for", async () => {
  const network = new Network();
  const [a] = [network.add("a"), network.add("b")];
  await network.move(200);
  a.show(1, "t", "ada", 1);
  await network.move(200);
  network.loses = (_from, _to, text) => text.includes('"diff"');
  a.show(2, "t", "eve", 1);
  await network.move(200);
  assertEquals(network.views(), ["ada,eve", "ada"]);
  network.loses = () => false;
  a.show(3, "t", "zoe", 1);
  await network.move(1500);
  assertEquals(network.views(), ["ada,eve,zoe", "ada,eve,zoe"]);
  network.loses = (_from, _to, text) => text.includes('"diff"');
  a.hide(1, "t"); // the last one, and nothing follows
  await network.move(6000);
  await network.move(2000);
  assertEquals(network.views(), ["eve,zoe", "eve,zoe"]);
});

test("1,300 entries arrive in parts, and a part that is lost is asked for again", async () => {
  const network = new Network();
  const a = network.add("a");
  for (let i = 0; i < 1300; i++) a.show(i, "t", `${i}`.padStart(4, "0"), null);
  await network.move(200);
  let parts = 0;
  network.loses = (_from, to, text) => to === "b" && text.includes('"state"') && ++parts === 2;
  network.add("b");
  await network.move(200);
  assertEquals(network.servers.get("b")!.table.count("t"), 0);
  await network.move(6000);
  await network.move(2000);
  assertEquals(network.servers.get("b")!.table.count("t"), 1300);
});

test("a server that dies is gone with all it shows, once, after its lease; one that stops at once", async () => {
  const network = new Network();
  const [a, b, c] = ["a", "b", "c"].map((id) => network.add(id));
  await network.move(200);
  a.show(1, "t", "ada", 1);
  b.show(1, "t", "bob", 1);
  c.show(1, "t", "eve", 1);
  await network.move(200);
  network.take();
  network.loses = (from) => from === "b"; // nobody hears it any more
  network.servers.delete("b");
  await network.move(9000);
  assertEquals(network.take(), []);
  for (let i = 0; i < 6; i++) await network.move(3000);
  assertEquals(network.take().filter((text) => !text.startsWith("b ")), ["a -bob 2", "c -bob 2"]);
  c.close();
  network.servers.delete("c");
  await network.move(1500);
  assertEquals([network.take(), network.views()], [["a -eve 1"], ["ada"]]);
});

test("while nobody can be heard, everything stays", async () => {
  const network = new Network();
  const [a, b] = [network.add("a"), network.add("b")];
  await network.move(200);
  a.show(1, "t", "ada", 1);
  await network.move(200);
  network.take();
  network.isUp = false;
  for (let i = 0; i < 10; i++) await network.move(10_000);
  assertEquals([network.views(), network.take()], [["ada", "ada"], []]);
  a.show(2, "t", "eve", 1);
  network.isUp = true;
  for (const presence of [a, b]) presence.onReady();
  await network.move(500);
  assertEquals(network.views(), ["ada,eve", "ada,eve"]);
});

test("what is no speech is ignored", () => {
  const network = new Network();
  const a = network.add("a");
  const texts = ["", "{", "null", "[]", "{}", '{"k":"ask"}', '{"k":"diff","v":1}', '{"k":"diff","v":1,"c":[1]}', '{"k":"beat"}'];
  texts.push(
    '{"k":"diff","v":1,"c":[[1,2,"a",null,1]]}',
    '{"k":"state","v":1,"c":[]}',
    '{"k":"diff","v":"1","c":[]}',
    '{"k":"x","v":1,"c":[]}',
  );
  for (const text of texts) a.onMessage("b", text);
  a.onMessage("a", '{"k":"diff","v":0,"c":[[1,"t","a",null,1]]}'); // its own
  assertEquals(a.table.count("t"), 0);
});

test("show(), hide(), members() and the event of a server", async () => {
  const broker = memoryBroker();
  const [one, two] = [quietServer({ broker, presence_grace: 0.05 }), quietServer({ broker, presence_grace: 0.05 })];
  const told: TopicPresence[] = [];
  two.on("presence", (_server, presence) => void told.push(presence));
  await staging(one, () =>
    staging(two, async () => {
      await two.start();
      const [a, b] = [join(one), join(two)];
      one.subscribe(a.fd, "t");
      two.subscribe(b.fd, "t");
      assertEquals([one.show(a.fd, "t", "ada", { x: 1 }), two.show(b.fd, "t", 7)], [true, true]);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const expected: readonly TopicMember[] = [{ key: "7", info: null, connections: 1 }, {
        key: "ada",
        info: { x: 1 },
        connections: 1,
      }];
      for (const server of [one, two]) assertEquals(server.members("t"), { members: expected, count: 2, isStale: false });
      assertEquals(one.members("t", { limit: 1 }), { members: [expected[0]], count: 2, next: "7", isStale: false });
      assertEquals(one.members("t", { limit: 1, after: "7" }).members, [expected[1]]);
      assertEquals([told.flatMap(({ joined }) => keys(joined)).sort(), told.at(-1)!.fds, told.at(-1)!.count], [["7", "ada"], [
        b.fd,
      ], 2]);
      told.length = 0;
      assertEquals([two.hide(b.fd, "t"), two.hide(b.fd, "t")], [true, false]);
      one.unsubscribe(a.fd, "t");
      await new Promise((resolve) => setTimeout(resolve, 300));
      assertEquals([told.flatMap(({ left }) => keys(left)).sort(), one.members("t").count], [["7", "ada"], 0]);
      assertEquals([one.show(a.fd, "t", "ada"), one.getLastError()], [false, 505]);
      assertEquals([one.show(99, "t", "ada"), one.getLastError(), one.hide(99, "t")], [false, 1005, false]);
      two.show(b.fd, "t", "bob");
      two.close(b.fd, true);
      await new Promise((resolve) => setTimeout(resolve, 300));
      assertEquals([two.members("t").count, await heard(a)], [0, []]);
    }));
});

test("what is shown is checked, at the limit and one past it", async () => {
  const server = quietServer();
  assertEquals(server.members("t"), { members: [], count: 0, isStale: false });
  await staging(server, async () => {
    const { fd } = join(server);
    server.subscribe(fd, "t");
    const show = (key: unknown, info?: unknown) => server.show(fd, "t", key as string, info);
    assertEquals([show("x".repeat(128)), show("x", "y".repeat(4094))], [true, true]);
    for (const key of ["", "x".repeat(129)]) assertThrows(() => show(key), RangeError, "1 to 128 are allowed");
    assertThrows(() => show("x", "y".repeat(4095)), RangeError, "has 4097 UTF-16 units as JSON");
    for (const key of [null, {}, undefined]) assertThrows(() => show(key), TypeError, "its key is a string or a number");
    assertThrows(() => show("x", () => 1), TypeError, "a JSON value, not a function");
    assertThrows(() => show("x", 1n), TypeError);
    for (const limit of [0, 1.5, "1"]) {
      assertThrows(() => server.members("t", { limit: limit as number }), RangeError, "from 1 on");
    }
    assertThrows(() => server.members("t", { after: 1 as never }), TypeError, "after is a key");
    assertThrows(() => server.members("t", 1 as never), TypeError, "the options are an object");
    const info = { list: [1] };
    show("mine", info);
    info.list.push(2);
    await settle();
    assertEquals(server.members("t").members[0].info, { list: [1] }); // a copy
    assert(!server.subscribe(fd, "\0sluice presence") && server.publish("\0sluice presence", "x") === false);
    assertEquals(server.getLastError(), 505);
  });
});
