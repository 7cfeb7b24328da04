// Several processes in one: who is joined with whom, requests and replies, and what happens when a link breaks.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { test } from "node:test";
import { RequestError, Requests } from "../../src/cluster/requests.ts";
import "../../mod.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { settle, until } from "../support/activity.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { inFolder } from "../support/folder.ts";
import { joined, MemoryNet, meshed, Node } from "./stage.ts";
import { frameOf } from "../../src/cluster/link.ts";
import { BodyWriter, HELLO, MESH_VERSION, MESSAGE } from "../../src/cluster/wire.ts";
import { TOKEN } from "./stage.ts";

test("each process has a link to each other one, and messages arrive in order", () =>
  meshed(4, async (nodes) => {
    for (const { mesh, events } of nodes) {
      assertEquals(mesh.links.map(({ peer, isReady }) => [peer!.slot, isReady]).length, 3);
      events.length = 0;
    }
    for (let i = 0; i < 50; i++) {
      for (const from of nodes) for (const to of nodes) if (from !== to) assert(from.say(to.mesh.self.slot, `${i}`));
    }
    for (const node of nodes) {
      await until("all messages", () => node.events.length === 150);
      for (const from of nodes) {
        const of = node.events.filter((event) => event.startsWith(`${from.mesh.self.slot}:`)).map((event) =>
          Number(event.slice(3))
        );
        assertEquals(of, from === node ? [] : Array.from({ length: 50 }, (_, i) => i));
      }
    }
    assertEquals(nodes.map(({ warnings, faults }) => [...warnings, ...faults]).flat(), []);
    assertEquals([nodes[1].mesh.linkOfWorker(2)?.peer?.slot, nodes[1].mesh.linkOfWorker(-1)?.peer?.slot], [3, 0]);
  }));

test("join() resolves when what the others say first has arrived", async () => {
  const net = new MemoryNet();
  const [one, two] = [new Node(1), new Node(2)];
  one.mesh.watch({
    onJoined: (link) => Array.from({ length: 1000 }, (_, i) => link.tell(MESSAGE, new Uint8Array([48 + i % 10]))),
  });
  await joined(net, [one, two]);
  assertEquals([two.events.length, two.events.at(-1)], [1001, "1: 9"]);
  await Promise.all([one.mesh.close(), two.mesh.close()]);
});

test("over unix sockets, and to a process that does not listen yet", () =>
  inFolder(async (folder) => {
    const runtime = await loadRuntime();
    const [one, two, three] = [new Node(1), new Node(2), new Node(3)];
    await joined(runtime, [one, two], folder);
    const joining = three.mesh.join(runtime, [{ slot: 1, path: `${folder}/1` }, { slot: 4, path: `${folder}/4` }]);
    await three.until("+1");
    const four = new Node(4);
    await four.mesh.listen(runtime, `${folder}/4`);
    await joining;
    assertEquals(three.mesh.links.map(({ peer }) => peer!.slot), [1, 4]);
    const long = "x".repeat(700_000);
    assert(three.say(4, long));
    await four.until(`3: ${long}`);
    await one.mesh.close();
    await three.until("-1");
    await until("it is forgotten", () => !three.mesh.isJoining(1));
    await Promise.all([two, three, four].map(({ mesh }) => mesh.close()));
    assertEquals([one, two, three, four].flatMap(({ warnings, faults }) => [...warnings, ...faults]), []);
  }));

test("a link that breaks between two processes that live is made again", () =>
  meshed(2, async ([one, two]) => {
    one.link(1).fail("the test breaks it");
    await two.until("-0");
    await until("it is back", () => one.mesh.linkOf(1)?.isReady === true && two.mesh.linkOf(0)?.isReady === true);
    assert(one.say(1, "again") && two.say(0, "yes"));
    await two.until("0: again");
    await one.until("1: yes");
    assertEquals(one.events, ["+1", "-1", "+1", "1: yes"]);
    assertMatch(one.warnings.join(), /worker 0 \(process 1001\) is closed: the test breaks it/);
  }));

test("a second link of a process replaces the first", async () => {
  const node = new Node(1);
  const lanes = [new FakeLane(), new FakeLane()];
  const hello = frameOf(HELLO, new BodyWriter().uint16(MESH_VERSION).text(TOKEN).uint8(2).uint16(2).uint32(7).uint32(1e6).take());
  for (const lane of lanes) {
    node.mesh.accept(laneOnly(lane));
    lane.receive(hello);
  }
  assertEquals([node.events, lanes.map(({ aborted }) => aborted)], [["+2", "-2", "+2"], [true, false]]);
  assert(node.say(2, "x"));
  lanes[1].sink.onClose(new Error("reset"));
  assertEquals([node.events.at(-1), node.mesh.links.length], ["-2", 0]);
  assertMatch(node.warnings.at(-1)!, /reset/);
  for (const lane of lanes) lane.abort();
  await node.mesh.close();
});

test("while a worker replaces another, messages for its number go to the one that serves, or to the newer one", async () => {
  const net = new MemoryNet();
  const nodes = [0, 1, 2].map((slot) => new Node(slot, slot === 0 ? {} : { self: { slot, id: 5, pid: slot } }));
  await joined(net, nodes);
  const [master, old, young] = nodes;
  assertEquals(master.mesh.linkOfWorker(5), master.link(2));
  let serving: number | undefined = 1;
  master.mesh.pidOf = (id) => id === 5 ? serving : undefined;
  assertEquals(master.mesh.linkOfWorker(5), master.link(1));
  serving = 2;
  assertEquals(master.mesh.linkOfWorker(5), master.link(2));
  for (serving of [undefined, 0, 99]) assertEquals(master.mesh.linkOfWorker(5), master.link(2)); // not known, or not joined
  await young.mesh.close();
  await master.until("-2");
  assertEquals(master.mesh.linkOfWorker(5), master.link(1));
  await old.mesh.close();
  await master.until("-1");
  assertEquals(master.mesh.linkOfWorker(5), undefined);
  await master.mesh.close();
});

test("a process that is not there is given up, if it was forgotten at once", async () => {
  const net = new MemoryNet();
  const node = new Node(1);
  const joining = node.mesh.join(net, [{ slot: 2, path: "/2" }]);
  node.mesh.forget(2);
  await joining;
  assertEquals(node.mesh.links, []);
  const closing = node.mesh.join(net, [{ slot: 3, path: "/3" }]);
  await node.mesh.close();
  await closing;
});

test("a process that is blocked while another one starts is joined when it runs again", async () => {
  const net = new MemoryNet();
  const [blocked, starting] = [new Node(1), new Node(2, { joinTimeout: 10 })];
  await blocked.mesh.listen(net, "/1");
  net.freeze("/1");
  await starting.mesh.join(net, [{ slot: 1, path: "/1" }]);
  assertEquals(starting.mesh.links, []);
  assertEquals(starting.warnings, ["the process in slot 1 has not answered for 0.01 s; it is joined when it does"]);
  net.thaw("/1");
  await starting.until("+1");
  await blocked.until("+2");
  assert(starting.say(1, "hello") && blocked.say(2, "hello"));
  await blocked.until("2: hello");
  await starting.until("1: hello");
  assertEquals([...starting.warnings.slice(1), ...blocked.warnings], []);
  await Promise.all([blocked.mesh.close(), starting.mesh.close()]);
});

test("a process that says nothing is dropped before it is known, and reported once afterwards", async () => {
  let time = 0;
  const node = new Node(1, { clock: () => time });
  const tick = async (ms: number) => {
    time += ms;
    node.mesh.tick();
    await settle();
  };
  const silent = new FakeLane();
  node.mesh.accept(laneOnly(silent));
  await tick(9_999);
  assert(!silent.aborted);
  await tick(1);
  assert(silent.aborted);
  assertMatch(node.warnings.pop()!, /has not introduced itself in time/);
  const lane = new FakeLane();
  node.mesh.accept(laneOnly(lane));
  const hello = frameOf(HELLO, new BodyWriter().uint16(MESH_VERSION).text(TOKEN).uint8(2).uint16(2).uint32(7).uint32(1e6).take());
  lane.receive(hello);
  lane.writes.length = 0;
  await tick(10_000);
  assertEquals(lane.writes.length, 1); // a ping
  await tick(10_000);
  assertEquals(node.warnings, []);
  await tick(10_000);
  await tick(10_000);
  assertEquals(node.warnings.length, 1);
  assertMatch(node.warnings[0], /^worker 1 \(process 7\) has said nothing for half a minute/);
  lane.receive(frameOf(MESSAGE, new Uint8Array([0x61])));
  for (let i = 0; i < 3; i++) await tick(10_000);
  assertEquals(node.events, ["+2", "2: a"]);
  assertEquals([lane.aborted, node.warnings.length], [false, 2]);
  lane.abort();
  await node.mesh.close();
});

test("too many links that have not said who they are", async () => {
  const node = new Node(1);
  const lanes = Array.from({ length: 800 }, () => new FakeLane());
  for (const lane of lanes) node.mesh.accept(laneOnly(lane));
  assertEquals(lanes.filter(({ aborted }) => aborted).length, 800 - 768);
  for (const lane of lanes) lane.abort();
  await node.mesh.close();
  const late = new FakeLane();
  node.mesh.accept(laneOnly(late));
  assert(late.aborted);
});

// ---- requests -----------------------------------------------------------------------------------------------------------

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (text: string) => new TextEncoder().encode(text);

test("requests have replies, at once or later, in any order", () =>
  meshed(2, async ([one, two]) => {
    const [asking, serving] = [new Requests(one.mesh), new Requests(two.mesh)];
    const waiting: (() => void)[] = [];
    serving.serve(1, ({ peer }, body) => bytes(`${peer!.slot} says ${text(body)}`));
    serving.serve(2, async (_link, body) => {
      const said = text(body);
      await new Promise<void>((resolve) => waiting.push(resolve));
      return bytes(said);
    });
    assertEquals(text(await asking.ask(one.link(1), 1, bytes("hello"))), "0 says hello");
    const order: string[] = [];
    const all = ["a", "b"].map((name) => asking.ask(one.link(1), 2, bytes(name)).then((reply) => order.push(text(reply))));
    await until("both have arrived", () => waiting.length === 2);
    waiting[1]();
    await until("the second", () => order.length === 1);
    waiting[0]();
    await Promise.all(all);
    assertEquals(order, ["b", "a"]);
    assertEquals((await asking.ask(one.link(1), 1)).length, 7);
    const long = "x".repeat(1024 * 1024 - 1000);
    assert(text(await asking.ask(one.link(1), 1, bytes(long))) === `0 says ${long}`);
  }, { bufferSize: 1024 * 1024 }));

async function failing(promise: Promise<unknown>): Promise<string> {
  const error = await assertRejects(() => promise, RequestError);
  return `${error.failure}: ${error.message}`;
}

test("a request fails: by the other side, by its deadline, with its link, and when there are too many", () =>
  meshed(2, async ([one, two]) => {
    const [asking, serving] = [new Requests(one.mesh), new Requests(two.mesh)];
    const link = one.link(1);
    serving.serve(1, () => {
      throw new Error("not today");
    });
    serving.serve(2, () => Promise.reject("nor tomorrow"));
    serving.serve(3, () => new Promise(() => {}));
    serving.serve(4, () => new Uint8Array(2 * 64 * 1024));
    assertEquals(await failing(asking.ask(undefined, 1)), "gone: the process is not there");
    assertEquals(await failing(asking.ask(link, 1)), "failed: not today");
    assertEquals(await failing(asking.ask(link, 2)), "failed: nor tomorrow");
    assertEquals(await failing(asking.ask(link, 99)), "failed: the method is unknown");
    assertEquals(await failing(asking.ask(link, 4)), "full: the process has too much to do");
    assertEquals(
      await failing(asking.ask(link, 1, new Uint8Array(64 * 1024))),
      "full: there is no room in the queue of the link",
    );
    let isLate = false;
    const late = failing(asking.ask(link, 3, undefined, 1)).finally(() => isLate = true);
    await until("it is late", () => isLate); // the clock of the links keeps no process alive
    assertEquals(await late, "late: the process has not replied in time");
    const left = asking.ask(link, 3);
    await until("it is there", () => two.events.length >= 0);
    link.fail("the test ends it");
    assertEquals(await failing(left), "gone: the process has ended");
    assertEquals(await failing(asking.ask(link, 3)), "gone: the process is not there");
  }, { bufferSize: 64 * 1024 }));

test("as many requests wait as may, and one more is refused", () =>
  meshed(2, async ([one, two]) => {
    const [asking, serving] = [new Requests(one.mesh), new Requests(two.mesh)];
    let served = 0;
    serving.serve(1, () => new Promise(() => void served++));
    const results = Array.from({ length: 4097 }, () => asking.ask(one.link(1), 1).catch((error: RequestError) => error.failure));
    assertEquals(await results[4096], "full");
    await until("they are there", () => served === 4096);
    one.link(1).fail("the test ends it");
    assertEquals([...new Set(await Promise.all(results.slice(0, 4096)))], ["gone"]);
  }));
