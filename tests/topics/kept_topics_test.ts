// What a server asks its broker: together, not more often than needed, and again when there was no reply. With a broker that does
// what the test says, and a clock that is moved.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import { BrokerError, BrokerMessage, type BrokerNode, type TopicHistory, type TopicPosition } from "../../mod.ts";
import { KeptTopics } from "../../src/topics/kept_topics.ts";
import { MovedClock } from "../brokers/moved_clock.ts";
import { until } from "../support/activity.ts";

const OPTIONS = { kept: {}, idleCheck: 30, linger: 1, lease: 15, memory: 1 << 20 };

/** A broker with streams that a test fills, and a list of what it was asked. */
class FakeNode implements BrokerNode {
  isUp = true;
  isSilent = false;
  /** Topics whose position is refused. */
  readonly refused: Set<string> = new Set();
  readonly state = { lag: 0, reconnects: 0, malformed: 0 };
  readonly asked: string[] = [];
  readonly topics: Map<string, { epoch: string; top: number; kept: number }> = new Map();

  topic(name: string): { epoch: string; top: number; kept: number } {
    let topic = this.topics.get(name);
    if (topic === undefined) this.topics.set(name, topic = { epoch: "a", top: 0, kept: 1000 });
    return topic;
  }

  subscribe(): void {}
  unsubscribe(): void {}
  publish(): boolean {
    return true;
  }
  append(): Promise<never> {
    return Promise.reject(new BrokerError("BROKER_DOWN", ""));
  }

  #reply<T>(make: () => T): Promise<T> {
    return this.isSilent ? Promise.reject(new BrokerError("BROKER_UNKNOWN", "")) : Promise.resolve(make());
  }

  positions(names: readonly string[]): Promise<(TopicPosition | undefined)[]> {
    this.asked.push(`positions ${names.length}`);
    return this.#reply(() =>
      names.map((name) => {
        const { epoch, top } = this.topic(name);
        return this.refused.has(name) ? undefined : { epoch, offset: top };
      })
    );
  }

  read(name: string, since: number, limit: number): Promise<TopicHistory> {
    this.asked.push(`read ${name} ${since}`);
    return this.#reply(() => {
      const { epoch, top, kept } = this.topic(name);
      const base = Math.min(Math.max(since, top - kept), top);
      const entries = Array.from({ length: Math.min(limit, top - base) }, (_, i) => ({ offset: base + 1 + i, message: MESSAGE }));
      return { epoch, offset: top, base, entries };
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const MESSAGE = new BrokerMessage(1, new Uint8Array([65]), false, "0".repeat(16), 1);

function makeTopics(options = {}) {
  const [node, clock, log] = [new FakeNode(), new MovedClock(), [] as string[]];
  const topics = new KeptTopics(node, { ...OPTIONS, ...options }, clock, {
    frame: (_stream, { offset, message }) => ({ offset, frame: message["frame"] }),
    deliver: ({ topic }, { offset }) => void log.push(`${topic} ${offset}`),
    gap: ({ topic }, reason) => void log.push(`${topic} ${reason}`),
  });
  const open = (...names: string[]) => {
    const streams = names.map((name) => topics.open(name, 5000));
    topics.resync(names);
    return streams;
  };
  return { node, clock, log, topics, open };
}

const turns = () => new Promise((resolve) => setTimeout(resolve));

test("positions are asked for together, 128 at a time", async () => {
  const { node, topics, open } = makeTopics();
  const streams = open(...Array.from({ length: 257 }, (_, i) => `${i}`));
  await until("all positions are known", () => streams.every(({ isSettled }) => isSettled)); // it takes several turns
  assertEquals(node.asked, ["positions 128", "positions 128", "positions 1"]);
  topics.close();
});

test("at most 64 topics are read at the same time", async () => {
  const { node, topics, open } = makeTopics();
  const names = Array.from({ length: 100 }, (_, i) => `${i}`);
  const streams = open(...names);
  await turns();
  node.asked.length = 0;
  for (const name of names) node.topic(name).top = 2;
  for (const stream of streams) stream.onLive("a", { offset: 2, message: MESSAGE });
  assertEquals(node.asked.length, 64);
  await turns();
  assertEquals([node.asked.length, topics.counters.historyReads], [100, 100]);
  assert(streams.every(({ offset }) => offset === 2));
  topics.close();
});

test("the idle check finds a last message that was lost, and asks about silent topics only", async () => {
  const { node, clock, log, topics, open } = makeTopics();
  const [, busy] = open("silent", "busy");
  await turns();
  node.asked.length = 0;
  node.topic("silent").top = 1;
  node.topic("busy").top = 1;
  busy.onLive("a", { offset: 1, message: MESSAGE });
  clock.move(30_000 * 0.8 - 1);
  assertEquals(node.asked, []);
  clock.move(30_000 * 0.4 + 1);
  await turns();
  assertEquals([node.asked, log], [["positions 1", "read silent 0"], ["busy 1", "silent 1"]]);
  node.isUp = false;
  clock.move(100_000);
  assertEquals(node.asked.length, 2);
  topics.close();
  assertEquals(clock.timers, 0);
});

test("0 turns the idle check off", async () => {
  const { clock, topics, open } = makeTopics({ idleCheck: 0 });
  open("a");
  await turns();
  assertEquals(clock.timers, 0);
  topics.close();
});

test("what was not replied is asked again, while the broker is there", async () => {
  const { node, clock, topics, open } = makeTopics({ idleCheck: 0 });
  node.isSilent = true;
  const [stream] = open("a");
  await turns();
  clock.move(500);
  await turns();
  assertEquals(node.asked.length, 2);
  node.isUp = false;
  clock.move(5000);
  await turns();
  assertEquals(node.asked.length, 2);
  [node.isUp, node.isSilent] = [true, false];
  clock.move(500);
  await turns();
  assertEquals([node.asked.length, stream.isSettled], [3, true]);
  topics.close();
});

test("a subscriber waits 5 s for the broker, and is told then", async () => {
  const { node, clock, topics, open } = makeTopics({ idleCheck: 0 });
  node.isSilent = true;
  const [stream] = open("a");
  const begun = topics.begin(stream, undefined).catch((error) => error);
  for (let i = 0; i < 50; i++) {
    clock.move(100);
    await turns();
  }
  assertEquals([(await begun).code, (await begun).message], ["BROKER_DOWN", "The broker does not say where the topic is"]);
  const other = topics.begin(stream, undefined);
  topics.release("a");
  await assertRejects(() => other, BrokerError);
  topics.close();
});

test("a topic that is given up while its history is read is read no further, and who waits for it is told", async () => {
  const { node, topics, open } = makeTopics({ idleCheck: 0 });
  node.topic("a").top = 2500;
  const [stream] = open("a");
  await turns();
  node.asked.length = 0;
  const reading = node.read.bind(node);
  let reads = 0;
  node.read = (...asked) => {
    assert(++reads <= 2, "it is read again and again");
    topics.release("a");
    return reading(...asked);
  };
  await assertRejects(() => topics.begin(stream, { offset: 1600, epoch: "a" }), BrokerError);
  assertEquals(node.asked, ["read a 0"]);
  topics.close();
});

test("many who recover cost one read; it is read in pages of 1,000", async () => {
  const { node, topics, open } = makeTopics();
  node.topic("a").top = 2500;
  node.topic("a").kept = 2300;
  const [stream] = open("a");
  const sinces = Array.from({ length: 1000 }, (_, i) => 200 + 2 * i);
  const beginnings = await Promise.all(sinces.map((offset) => topics.begin(stream, { offset, epoch: "a" })));
  assertEquals(beginnings, sinces.map((offset) => ({ offset, epoch: "a" })));
  assertEquals(node.asked, ["positions 1", "read a 0", "read a 1200", "read a 2200"]);
  assertEquals((await topics.begin(stream, { offset: 199, epoch: "a" })).gap, "too old");
  assertEquals([node.asked.length, topics.counters.recovered], [4, 1000]);
  topics.close();
});

test("a topic that the broker refuses is no concern of others, and is asked for again", async () => {
  const { node, clock, topics, open } = makeTopics({ idleCheck: 0 });
  node.refused.add("bad");
  const [bad, good] = open("bad", "good");
  await turns();
  assertEquals([bad.isSettled, good.isSettled], [false, true]);
  node.refused.clear();
  clock.move(500);
  await turns();
  assertEquals([bad.isSettled, node.asked], [true, ["positions 2", "positions 1"]]);
  topics.close();
});

for (
  const [what, change] of [["has another epoch", { epoch: "b", top: 1 }], ["has become shorter", { epoch: "a", top: 1 }]] as const
) {
  test(`a history that ${what} is not read for ever`, async () => {
    const { node, topics, open } = makeTopics({ idleCheck: 0 });
    node.topic("a").top = 5;
    const [stream] = open("a");
    await turns();
    node.asked.length = 0;
    Object.assign(node.topic("a"), change);
    const { gap, offset } = await topics.begin(stream, { offset: 2, epoch: "a" });
    assertEquals([offset, gap], [1, "epoch"]);
    assert(node.asked.length <= 4, node.asked.join());
    topics.close();
  });
}

test("many subscribers that have seen more than the broker has cost one question", async () => {
  const { node, topics, open } = makeTopics({ idleCheck: 0 });
  const [stream] = open("a");
  await turns();
  node.asked.length = 0;
  const beginnings = await Promise.all(Array.from({ length: 100 }, () => topics.begin(stream, { offset: 7, epoch: "a" })));
  assert(beginnings.every(({ gap }) => gap === "epoch"));
  assertEquals(node.asked, ["positions 1"]);
  topics.close();
});

test("what is read back takes no more memory than the limit: the rest is a gap", async () => {
  const { node, topics, open } = makeTopics({ idleCheck: 0, memory: 258 * 100 });
  node.topic("a").top = 1000;
  node.topic("b").top = 1000;
  const [a, b] = open("a", "b");
  await turns();
  const since = { offset: 500, epoch: "a" };
  for (const { gap } of await Promise.all([topics.begin(a, since), topics.begin(b, since)])) assertEquals(gap, "limit");
  const held = a.ring.size + b.ring.size;
  assert(held > 0 && held <= 100, `${held} messages`);
  const last = b.ring.size > 0 ? b : a;
  assertEquals(await topics.begin(last, { ...since, offset: last.ring.base }), { ...since, offset: last.ring.base });
  topics.close();
});

test("a subscriber that has seen more than this server: what is missing is read, or the broker has lost it", async () => {
  const { node, log, topics, open } = makeTopics();
  const [stream] = open("a");
  await turns();
  node.topic("a").top = 3;
  assertEquals(await topics.begin(stream, { offset: 2, epoch: "a" }), { offset: 2, epoch: "a" });
  assertEquals(log, ["a 1", "a 2", "a 3"]);
  assertEquals(await topics.begin(stream, { offset: 4, epoch: "a" }), { offset: 3, epoch: "a", gap: "epoch" });
  topics.close();
});
