// The parts of the broker over Redis that need no Redis: names, messages as bytes, options, and a connection that is lost.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { createCluster, createSentinel } from "redis";
import { Cluster, Redis } from "ioredis";
import { redisBroker } from "../../adapters/redis.ts";
import { BrokerError, BrokerMessage } from "../../mod.ts";
import { decodeEnvelope, decodeKept, encodeEnvelope, encodeEnvelopes } from "../../src/topics/brokers/envelope.ts";
import { partitionTags, RedisKeys, slotOf } from "../../src/topics/brokers/redis_keys.ts";
import { type LinkOptions, type RedisConnection, type RedisEvents, RedisLink } from "../../src/topics/brokers/redis_link.ts";
import { MovedClock } from "./moved_clock.ts";

test("the slots of keys are those of Redis, and the tags are even over them", () => {
  assertEquals([slotOf("123456789"), slotOf("foo"), slotOf("")], [12739, 12182, 0]); // as CLUSTER KEYSLOT says
  const tags = partitionTags();
  assertEquals([tags.length, new Set(tags).size], [128, 128]);
  for (const [index, tag] of tags.entries()) assertEquals(Math.floor(slotOf(tag) / 128), index);
});

test("the names of a topic have one tag, and the version of the format", () => {
  const keys = new RedisKeys("sluice");
  const { meta, stream, channel, id } = keys.of("room/é}:c:{x");
  const [, begin] = /^(sluice:1:\{\d+\}:)m:room\/é\}:c:\{x$/.exec(meta)!;
  assertEquals([stream, channel], [`${begin}s:room/é}:c:{x`, `${begin}c:room/é}:c:{x`]);
  assertEquals(id("7"), `${begin}i:12:room/é}:c:{x:7`);
  assertEquals([keys.format, keys.probe("n")], ["sluice:format", "sluice:1:probe:n"]);
  assertEquals(keys.topicOf(channel), "room/é}:c:{x");
  for (const other of ["", "sluice:1:probe:n", "other:1:{5}:c:x", "sluice:2:{5}:c:x", meta]) {
    assertEquals(keys.topicOf(other), undefined);
  }
});

test("a message as bytes is the same message afterwards", () => {
  fc.assert(fc.property(
    fc.constantFrom(1, 2),
    fc.boolean(),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    fc.string(),
    fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    (opcode, isCompressed, id, sequence, text, offset) => {
      const origin = id.toString(16).padStart(16, "0");
      const payload = new TextEncoder().encode(text);
      const bytes = encodeEnvelope(new BrokerMessage(opcode, payload, isCompressed, origin, sequence));
      const expected = { opcode, isCompressed, origin, sequence, payload };
      const parts = ({ opcode, isCompressed, origin, sequence, payload }: BrokerMessage) => {
        return { opcode, isCompressed, origin, sequence, payload: new Uint8Array(payload) };
      };
      assertEquals(parts(decodeEnvelope(bytes)!), expected);
      const { epoch, entries: [kept, ...others] } = decodeKept(bytesOf(`${offset}:an epoch:`, bytes))!;
      assertEquals([kept.offset, epoch, parts(kept.message), others], [offset, "an epoch", expected, []]);
    },
  ));
});

/** Returns the bytes of a text with others behind them. */
function bytesOf(text: string, bytes: Iterable<number>): Uint8Array {
  return Uint8Array.from([...new TextEncoder().encode(text), ...bytes]);
}

test("several messages with one head have offsets that follow each other; their lengths have to be right", () => {
  const texts = ["", "a", "é:1,2:"];
  const messages = texts.map((text, index) => new BrokerMessage(1, new TextEncoder().encode(text), false, "0".repeat(16), index));
  const bytes = encodeEnvelopes(messages);
  assertEquals([...bytes], messages.flatMap((message) => [...encodeEnvelope(message)]));
  const { epoch, entries } = decodeKept(bytesOf("7:e:14,15,21:", bytes))!;
  const read = entries.map(({ offset, message }) => [offset, message.sequence, new TextDecoder().decode(message.payload)]);
  assertEquals([epoch, read], ["e", [[7, 0, ""], [8, 1, "a"], [9, 2, "é:1,2:"]]]);
  for (
    const lengths of [
      "14,15,20:",
      "14,15,22:",
      "14,15,21,0:",
      "14,15,21,1:",
      "14,15:",
      "14,15,+21:",
      "014,15,21:",
      "14,,21:",
      ",14,15,21:",
      "14,15,21",
      ":",
      "9999999999999999,15,21:",
    ]
  ) {
    assertEquals(decodeKept(bytesOf(`7:e:${lengths}`, bytes)), undefined, lengths);
  }
});

test("bytes that are no message are none, whatever they are", () => {
  const good = [...encodeEnvelope(new BrokerMessage(1, new TextEncoder().encode("é"), false, "0".repeat(16), 1))];
  const changed = (index: number, byte: number) => Uint8Array.from(good.map((old, at) => at === index ? byte : old));
  for (
    const bytes of [
      changed(0, 2),
      changed(1, 0),
      changed(1, 3),
      changed(1, 9),
      changed(14, 0xff),
      Uint8Array.from(good.slice(0, 13)),
    ]
  ) {
    assertEquals(decodeEnvelope(bytes), undefined);
  }
  assert(decodeEnvelope(Uint8Array.from(good.slice(0, 14))) !== undefined);
  for (
    const head of [
      "",
      ":",
      "1",
      "1:",
      "1::",
      "0:e:",
      "x:e:",
      ":e:",
      "1e3:e:",
      "-1:e:",
      `1:${"e".repeat(100)}:`,
      "12345678901234567:e:",
    ]
  ) {
    assertEquals(decodeKept(bytesOf(head, good)), undefined, head);
  }
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    decodeEnvelope(bytes);
    decodeKept(bytes);
  }));
});

test("what is no client, and options that are none", () => {
  for (const client of ["redis://localhost", {}, undefined, null, 1, { sendCommand() {} }]) {
    assertThrows(
      () => redisBroker(client as never),
      TypeError,
      "a client of the package redis (version 6 or later) or ioredis is needed",
    );
  }
  const cluster = { rootNodes: [{ url: "redis://127.0.0.1:1" }] };
  const sentinel = { name: "a", sentinelRootNodes: [{ host: "127.0.0.1", port: 1 }] };
  const others = [
    createCluster(cluster),
    createSentinel(sentinel),
    new Cluster([{ host: "127.0.0.1", port: 1 }], { lazyConnect: true }),
    new Redis({ sentinels: [{ host: "127.0.0.1", port: 1 }], name: "a", lazyConnect: true }),
  ];
  for (const client of others) {
    assertThrows(
      () => redisBroker(client as never),
      TypeError,
      "a client of one Redis server is needed, not of a cluster or Sentinel",
    );
  }
  redisBroker(new Redis({ ...redisBroker.options, sentinels: undefined }));
  const client = { callBuffer() {}, duplicate() {}, disconnect() {} } as never;
  const wrong: [object, new () => Error, string][] = [
    [{ prefix: "" }, RangeError, "Cannot set prefix"],
    [{ prefix: "{a}" }, RangeError, "Cannot set prefix"],
    [{ prefix: "x".repeat(65) }, RangeError, "Cannot set prefix"],
    [{ timeout: 0 }, RangeError, "Cannot set timeout: 0 is not above 0"],
    [{ timeout: "1" }, TypeError, "Cannot set timeout: a number is needed"],
    [{ probeInterval: 3601 }, RangeError, "Cannot set probeInterval"],
    [{ maxPending: 0 }, RangeError, "Cannot set maxPending"],
    [{ maxPendingBytes: 0 }, RangeError, "Cannot set maxPendingBytes"],
    [{ durable: 1 }, TypeError, "Cannot set durable"],
    [{ dedupe: 1 }, TypeError, "there is no such option"],
  ];
  for (const [options, kind, text] of wrong) assertThrows(() => redisBroker(client, options), kind, text);
  redisBroker(client, {
    prefix: "x".repeat(64),
    timeout: 0.001,
    probeInterval: 3600,
    maxPending: 1,
    maxPendingBytes: 1,
    durable: true,
    dedupeWindow: 0,
  });
});

test("the options of clients are new each time: clients change them", () => {
  assertEquals(redisBroker.options, redisBroker.options);
  assert(redisBroker.options !== redisBroker.options && redisBroker.options.socket !== redisBroker.options.socket);
});

/** A connection that does what a test says. */
class FakeConnection implements RedisConnection {
  readonly replies: [resolve: (value: unknown) => void, reject: (error: unknown) => void][] = [];
  isDestroyed = false;
  readonly events: RedisEvents;
  open!: (value?: unknown) => void;
  fail!: (error: unknown) => void;
  readonly opened = new Promise((resolve, reject) => [this.open, this.fail] = [resolve, reject]);

  constructor(events: RedisEvents) {
    this.events = events;
  }

  command(): Promise<unknown> {
    return new Promise((...reply) => this.replies.push(reply));
  }

  subscribe = this.command;
  unsubscribe = this.command;

  destroy(): void {
    this.isDestroyed = true;
    throw new Error("a client may throw here");
  }
}

/** A link with its connections, and what it has told. */
function makeLink(options: Partial<LinkOptions> = {}) {
  const clock = new MovedClock();
  const connections: FakeConnection[] = [];
  const told: string[] = [];
  const link = new RedisLink(
    (events) => {
      const connection = new FakeConnection(events);
      connections.push(connection);
      return { connection, opened: connection.opened };
    },
    clock,
    {
      timeout: 1000,
      maxPending: 3,
      maxPendingBytes: 1000,
      setUp: () => Promise.resolve(),
      onReady: () => told.push("ready"),
      onLost: (reason, wasReady) => wasReady && told.push(reason),
      onMessage: (channel) => told.push(channel),
      ...options,
    },
  );
  link.connect();
  return { clock, connections, told, link };
}

const turn = () => new Promise((resolve) => setTimeout(resolve));

test("a link takes commands once it is ready, and no more than the limit", async () => {
  const { connections: [connection], link, told } = makeLink();
  await assertRejects(() => link.command(["A"]), BrokerError, "There is no connection to Redis");
  connection.open();
  await turn();
  const commands = ["A", "B", "C"].map((name) => link.command([name]));
  const error = await link.command(["D"]).then(() => undefined, (error) => error);
  assertEquals([error.code, error.message], ["BROKER_BUSY", "3 messages wait for Redis: the limit is maxPending"]);
  for (const [index, [resolve]] of connection.replies.entries()) resolve(index);
  assertEquals(await Promise.all(commands), [0, 1, 2]);
  assertEquals([link.refusal, told], [undefined, ["ready"]]);
  link.close();
});

test("messages that wait to be sent count, and those of one command, too", async () => {
  const { connections: [connection], link } = makeLink();
  connection.open();
  await turn();
  link.hold(2, 100);
  assertEquals(link.refusal, undefined);
  link.hold(1, 100);
  assertEquals(link.refusal?.message, "3 messages wait for Redis: the limit is maxPending");
  link.hold(-3, -200);
  const sent = link.ask(["A"], 3);
  assertEquals(link.refusal?.message, "3 messages wait for Redis: the limit is maxPending");
  connection.replies[0][0]("A");
  assertEquals([await sent, link.refusal], ["A", undefined]);
  link.ask(["B"], 3).catch(() => {});
  link.lose("a test");
  assertEquals(link.refusal?.code, "BROKER_DOWN");
  link.hold(-1, 0); // nothing else is counted
  link.close();
});

test("a link takes no more bytes than the limit, and one message of any size; what the library itself asks for is taken", async () => {
  const { connections: [connection], link } = makeLink();
  connection.open();
  await turn();
  const first = link.command(["A", new Uint8Array(998)]);
  const second = link.command(["B", new Uint8Array(100_000)]);
  const error = await link.command(["C"]).then(() => undefined, (error) => error);
  assertEquals([error.code, error.message], ["BROKER_BUSY", "101000 bytes wait for Redis: the limit is maxPendingBytes"]);
  const own = ["D", "E", "F"].map((name) => link.ask([name]));
  for (const [index, [resolve]] of connection.replies.entries()) resolve(index);
  assertEquals(await Promise.all([first, second, ...own]), [0, 1, 2, 3, 4]);
  assertEquals(link.refusal, undefined);
  const lost = link.command(["A", new Uint8Array(2000)]).catch(({ code }) => code);
  link.lose("a test");
  assertEquals(await lost, "BROKER_UNKNOWN");
  await assertRejects(() => link.ask(["A"]), BrokerError, "There is no connection to Redis");
  link.close();
});

test("a connection that is lost again and again soon after it was made is not made again in a hurry", async () => {
  const { clock, connections, link } = makeLink();
  let waited = 0;
  for (let i = 0; i < 40; i++) {
    connections[i].open();
    await turn();
    link.lose("a test");
    for (const { length } = connections; connections.length === length; waited += 10) clock.move(10);
  }
  assert(waited > 15_000, `${waited} ms`); // 33 pauses of up to 5 s; 40 of up to 50 ms if it hurried
  connections[40].open();
  await turn();
  clock.move(5000);
  link.lose("a test");
  clock.move(50);
  assertEquals(connections.length, 42);
  link.close();
});

test("errors: those of Redis refuse, all others lose the connection and everything that waits", async () => {
  const { clock, connections, link, told } = makeLink();
  connections[0].open();
  await turn();
  const codes = (commands: Promise<unknown>[]) =>
    Promise.all(commands.map((command) => command.then(() => "", (error) => `${error.code} ${error.message}`)));
  let commands = [link.command(["A"]), link.command(["B"])];
  connections[0].replies[0][1](new Error("OOM command not allowed"));
  connections[0].replies[1][0](1);
  assertEquals(await codes(commands), ["BROKER_REFUSED Redis refuses: OOM command not allowed", ""]);
  commands = [link.command(["A"]), link.command(["B"])];
  connections[0].replies[2][1](new Error("Socket closed unexpectedly"));
  const text = "Redis has not replied: Socket closed unexpectedly";
  assertEquals(await codes(commands), [`BROKER_UNKNOWN ${text}`, `BROKER_UNKNOWN ${text}`]);
  assertEquals([connections[0].isDestroyed, link.isReady, told], [true, false, ["ready", "Socket closed unexpectedly"]]);
  connections[0].events.onLost(new Error("again")); // an old connection says nothing any more
  connections[0].events.onMessage("old", new Uint8Array());
  clock.move(100);
  assertEquals(connections.length, 2);
  connections[1].open();
  await turn();
  connections[1].events.onMessage("new", new Uint8Array());
  commands = [link.command(["A"])];
  connections[1].replies[0][1](new Error("READONLY You can't write against a read only replica."));
  assertEquals((await codes(commands))[0].slice(0, 14), "BROKER_REFUSED");
  assertEquals([connections[1].isDestroyed, told.slice(2, 4)], [true, ["ready", "new"]]);
  link.close();
});

test("a connection that does not reply, or does not open, is given up in time; pauses grow up to 5 s", async () => {
  const { clock, connections, link, told } = makeLink();
  connections[0].open();
  await turn();
  const late = link.command(["A"]).catch(({ code }) => code);
  clock.move(999);
  assert(link.isReady);
  const later = link.command(["B"]).catch(({ code }) => code);
  clock.move(1);
  assertEquals([await late, await later, told.at(-1)], ["BROKER_UNKNOWN", "BROKER_UNKNOWN", "no reply within 1 s"]);
  const { random } = Math;
  Math.random = () => 0.999; // the longest pauses: a short one could end within a step of the clock
  try {
    for (let i = 0; i < 30; i++) {
      const { length } = connections;
      for (let waited = 0; waited <= 5000 && connections.length === length; waited += 10) clock.move(10);
      assertEquals(connections.length, length + 1);
      if (i % 2 === 0) connections[length].fail(new Error("connect ECONNREFUSED"));
      else clock.move(1000);
      await turn();
      assert(connections[length].isDestroyed);
    }
  } finally {
    Math.random = random;
  }
  assertEquals(told.length, 2, "only a connection that was ready is lost");
  link.close();
  clock.move(10_000);
  assertEquals(connections.length, 31);
});

test("a program that was busy for longer than Redis may take reads the replies first", async () => {
  const { clock, connections: [connection], link } = makeLink();
  connection.open();
  await turn();
  const late = [link.command(["A"]), link.command(["B"])].map((command) => command.catch(({ code }) => code));
  clock.block(5000);
  assert(link.isReady);
  connection.replies[0][0]("A");
  assertEquals(await late[0], "A");
  clock.move(100);
  assertEquals([await late[1], link.isReady], ["BROKER_UNKNOWN", false]);
  link.close();
});

test("a set-up that fails is tried again, with another connection", async () => {
  let attempts = 0;
  const { clock, connections, told, link } = makeLink({
    setUp: async () => {
      if (++attempts === 1) throw new Error("format 2");
      await link.run((connection) => connection.command(["X"]));
    },
  });
  connections[0].open();
  await turn();
  assertEquals([connections[0].isDestroyed, link.isReady], [true, false]);
  clock.move(100);
  connections[1].open();
  await turn();
  assertEquals(link.isReady, false);
  connections[1].replies[0][0]("OK");
  await turn();
  assertEquals([link.isReady, told], [true, ["ready"]]);
  link.close();
  assertEquals(connections[1].isDestroyed, true);
});
