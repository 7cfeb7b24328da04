// Thousands of topics that a worker subscribes to again when the link to its master comes back: how many of them in one turn.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type Broker, type BrokerHost, type BrokerNode, memoryBroker } from "../../mod.ts";
import { settle } from "../support/activity.ts";
import { quietServer } from "../topics/stage.ts";
import { MasterLinks } from "./master_links.ts";
import { eventually, Listener } from "./stage.ts";

const COUNT = 3000;

/** Counts the topics that nodes ask for in each turn. */
class TurnBroker implements Broker {
  readonly isLocal = true;
  readonly options: Broker["options"];
  /** The topics that nodes have subscribed to and not given up. */
  readonly known: Set<string> = new Set();
  /** The largest numbers in one turn, and all. */
  readonly most = { subscribe: 0, positions: 0 };
  readonly all = { subscribe: 0, positions: 0 };

  readonly #broker: Broker;
  #now = { subscribe: 0, positions: 0 };
  #isCounting = false;

  constructor(broker: Broker) {
    this.#broker = broker;
    this.options = broker.options;
  }

  attach(host: BrokerHost): BrokerNode {
    const node = this.#broker.attach(host);
    const { subscribe, unsubscribe, positions } = node;
    node.subscribe = (topics) => {
      this.#count("subscribe", topics.length);
      for (const topic of topics) this.known.add(topic);
      subscribe.call(node, topics);
    };
    node.unsubscribe = (topics) => {
      for (const topic of topics) this.known.delete(topic);
      unsubscribe.call(node, topics);
    };
    node.positions = (topics) => (this.#count("positions", topics.length), positions.call(node, topics));
    return node;
  }

  reset(): void {
    for (const counts of [this.most, this.all]) counts.subscribe = counts.positions = 0;
  }

  #count(what: "subscribe" | "positions", count: number): void {
    this.all[what] += count;
    this.#now[what] += count;
    this.most[what] = Math.max(this.most[what], this.#now[what]);
    if (this.#isCounting) return;
    this.#isCounting = true;
    setTimeout(() => { // not before the turn is over
      this.#isCounting = false;
      this.#now = { subscribe: 0, positions: 0 };
    });
  }
}

test("the topics of a worker come back in several turns, each of them once, and nothing is missing", async () => {
  const broker = new TurnBroker(memoryBroker({ kept: { "room*": {} } }));
  const settings = { max_topics_per_connection: COUNT };
  const links = new MasterLinks(broker, settings);
  const server = quietServer({ ...settings, broker, topic_envelope: (text, at) => JSON.stringify({ text, ...at }) });
  links.add(server);
  try {
    await links.join();
    const listener = new Listener(server);
    for (let i = 0; i < COUNT; i++) assert(server.subscribe(listener.fd, `room ${i}`));
    await listener.begin(`room ${COUNT - 1}`);
    await settle();
    broker.reset();
    links.cut(0);
    await links.master.append(`room ${COUNT - 1}`, "missed"); // nobody is there
    await eventually("all have come back", () => broker.all.positions >= COUNT);
    await links.master.append("room 0", "live");
    await eventually("both are there", async () => (await listener.listen()).texts.length >= 2);
    assertEquals(listener.texts.toSorted(), ["live", "missed"]);
    assertEquals([broker.all.subscribe, listener.gaps], [COUNT, []]);
    // Two batches, should the timer that counts come late.
    assert(broker.most.subscribe <= 2 * 512, `${broker.most.subscribe} topics in a turn`);
    assert(broker.most.positions <= COUNT / 2, `${broker.most.positions} positions in a turn`);
    assertEquals(links.faults, []);
  } finally {
    await links.close();
  }
});

test("topics that a worker gives up before it has told the master of them are not left there", async () => {
  const broker = new TurnBroker(memoryBroker({ kept: { "room*": {} }, linger: 0 }));
  const settings = { max_topics_per_connection: COUNT };
  const links = new MasterLinks(broker, settings);
  const server = quietServer({ ...settings, broker, topic_envelope: (text, at) => JSON.stringify({ text, ...at }) });
  links.add(server);
  try {
    await links.join();
    const listener = new Listener(server);
    for (let i = 0; i < COUNT; i++) assert(server.subscribe(listener.fd, `room ${i}`));
    await Promise.resolve(); // the first batch is told
    for (let i = 0; i < COUNT - 1; i++) assert(server.unsubscribe(listener.fd, `room ${i}`));
    await listener.begin(`room ${COUNT - 1}`);
    await eventually("all others are given up", () => broker.known.size === 1);
    await settle();
    assertEquals([...broker.known], [`room ${COUNT - 1}`]);
    assert(broker.all.subscribe >= 513, `${broker.all.subscribe} topics were told`);
    await links.master.append(`room ${COUNT - 1}`, "live");
    await eventually("it is there", async () => (await listener.listen()).texts.length >= 1);
    assertEquals([listener.texts, links.faults], [["live"], []]);
  } finally {
    await links.close();
  }
});
