// Frames between two processes: bytes cut anywhere, peers that are none, and sizes that lie. No network.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { frameOf } from "../../src/cluster/link.ts";
import { BodyWriter, FRAME_HEADER, HELLO, MESH_VERSION, MESSAGE, PING, readFd, READY, writeFd } from "../../src/cluster/wire.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { settle } from "../support/activity.ts";
import { joinBytes } from "../../src/transport/bytes.ts";
import { Node, TOKEN } from "./stage.ts";

const encoder = new TextEncoder();

/** What a process says first. */
function hello({ version = MESH_VERSION, token = TOKEN, slot = 2, id = 1, pid = 7, limit = 1024 * 1024 } = {}): Uint8Array {
  return frameOf(HELLO, new BodyWriter().uint16(version).text(token).uint8(slot).uint16(id + 1).uint32(pid).uint32(limit).take());
}

function message(text: string): Uint8Array {
  return frameOf(MESSAGE, encoder.encode(text));
}

/** A node that has accepted a lane which the test holds. */
function accepting(options: ConstructorParameters<typeof Node>[1] = {}): { node: Node; lane: FakeLane } {
  const node = new Node(1, options);
  const lane = new FakeLane();
  node.mesh.accept(laneOnly(lane));
  return { node, lane };
}

/** The frames that were written to a lane: kinds and bodies. */
function written(lane: FakeLane): [kind: number, body: string][] {
  const bytes = joinBytes(lane.writes.map(({ bytes }) => bytes));
  const frames: [number, string][] = [];
  for (let at = 0; at < bytes.length;) {
    const size = new DataView(bytes.buffer, at).getUint32(0);
    frames.push([bytes[at + 4], new TextDecoder().decode(bytes.subarray(at + FRAME_HEADER, at + 4 + size))]);
    at += 4 + size;
  }
  return frames;
}

test("whoever accepts says nothing before it knows the token", () => {
  const { node, lane } = accepting();
  assertEquals(lane.writes, []);
  lane.receive(hello());
  const [[kind, body], ready, ...rest] = written(lane);
  assertEquals([kind, body.includes(TOKEN), ready, rest], [HELLO, true, [READY, ""], []]);
  assertEquals([node.events, node.warnings, node.mesh.linkOf(2)!.peer], [["+2"], [], { slot: 2, id: 1, pid: 7 }]);
  lane.receive(message("hi"));
  lane.receive(frameOf(PING));
  lane.sink.onClose();
  assertEquals([node.events, node.warnings, node.mesh.linkOf(2)], [["+2", "2: hi", "-2"], [], undefined]);
});

test("frames arrive whole, wherever their bytes are cut", () => {
  const long = "x".repeat(300);
  const all = joinBytes([hello(), message("one"), message(""), frameOf(READY), message(long), message("é")]);
  const expected = ["+2", "2: one", "2: ", `2: ${long}`, "2: é"];
  for (let cut = 1; cut < all.length; cut++) {
    const { node, lane } = accepting();
    lane.receive(all.subarray(0, cut));
    lane.receive(all.subarray(cut));
    assertEquals(node.events, expected, `cut after ${cut} bytes`);
    assert(node.mesh.linkOf(2)!.isReady);
  }
  for (const size of [1, 2, 3, 5, 7, 64]) {
    const { node, lane } = accepting();
    for (let at = 0; at < all.length; at += size) lane.receive(all.subarray(at, at + size));
    assertEquals(node.events, expected, `${size} bytes at a time`);
  }
});

test("random cuts of many frames, with bodies of all sizes", () => {
  let seed = 1;
  const random = (most: number) => (seed = (seed * 48271) % 0x7fffffff) % most;
  for (let round = 0; round < 30; round++) {
    const texts = Array.from({ length: 50 }, (_, i) => `${i}`.padEnd(random(2) === 0 ? random(20) : random(70_000), "-"));
    const all = joinBytes([hello(), ...texts.map(message)]);
    const { node, lane } = accepting();
    for (let at = 0; at < all.length;) {
      const end = at + 1 + random(random(3) === 0 ? 10 : 100_000);
      lane.receive(all.subarray(at, end));
      at = end;
    }
    assertEquals(node.events, ["+2", ...texts.map((text) => `2: ${text}`)]);
  }
});

test("a peer that is none is dropped, and reported with the reason", () => {
  const cases: [sent: Uint8Array, reason: RegExp][] = [
    [message("hi"), /has not introduced itself/],
    [hello({ token: "another token" }), /token is wrong/],
    [hello({ token: "" }), /token is wrong/],
    [hello({ token: TOKEN.slice(0, -1) }), /token is wrong/],
    [hello({ slot: 1 }), /slot 1 is not/],
    [hello().subarray(0, 4 + 20), /too short/],
    [encoder.encode("GET / HTTP/1.1\r\n\r\n"), /too large/],
    [new Uint8Array(100), /has no kind/],
    [new Uint8Array([0, 0, 2, 0x59]), /a frame of 601 bytes is too large/],
  ];
  for (const [sent, reason] of cases) {
    const bytes = new Uint8Array(sent);
    if (sent.length === 24) bytes[3] = 20; // a hello that ends in its token
    const { node, lane } = accepting();
    lane.receive(bytes);
    assertEquals([node.events, node.warnings.length, lane.aborted], [[], 1, true], String(reason));
    assertMatch(node.warnings[0], reason);
    assertEquals(lane.text, "");
    assertEquals(node.faults, []);
  }
});

test("a process with another version is told so, and not the token", () => {
  const { node, lane } = accepting();
  lane.receive(hello({ version: 2 }));
  assertEquals([node.events, node.warnings], [[], [
    "the link to another process is closed: it speaks version 2 of the format, and this process version 1",
  ]]);
  assertEquals([lane.ended, lane.text.includes(TOKEN), lane.text.startsWith("\0\0\0")], [true, false, true]);
  const other = new Node(2, { version: 2 });
  const end = new FakeLane();
  other.mesh.connect(laneOnly(end), 1);
  end.receive(lane.writes[0].bytes);
  assertMatch(other.warnings[0], /it speaks version 1 of the format, and this process version 2/);
});

test("a frame of the size that was announced is taken, one byte more is not", () => {
  const bufferSize = 64 * 1024;
  for (const [size, isTaken] of [[bufferSize, true], [bufferSize + 1, false]] as const) {
    const { node, lane } = accepting({ bufferSize });
    lane.receive(hello());
    lane.receive(new Uint8Array([0, 0, 0, 0].map((_, i) => size >>> (24 - 8 * i))));
    assertEquals(node.warnings.length, isTaken ? 0 : 1); // before any of it has arrived
    if (!isTaken) return assertMatch(node.warnings[0], /a frame of 65537 bytes is too large/);
    lane.receive(joinBytes([new Uint8Array([MESSAGE]), new Uint8Array(size - 1).fill(0x61)]));
    assertEquals([node.events.length, node.events[1].length], [2, size - 1 + 3]);
  }
});

test("memory grows with what has arrived, not with what was announced, and is released", () => {
  const { node, lane } = accepting({ bufferSize: 64 * 1024 * 1024 });
  lane.receive(hello());
  const link = node.mesh.linkOf(2)!;
  lane.receive(new Uint8Array([0x03, 0, 0, 0, MESSAGE, 1, 2, 3]));
  assert(link.heldBytes <= 1024, `${link.heldBytes}`);
  const large = message("y".repeat(300_000));
  const { node: other, lane: otherLane } = accepting({ bufferSize: 1024 * 1024 });
  otherLane.receive(hello());
  otherLane.receive(large.subarray(0, 200_000));
  assert(other.mesh.linkOf(2)!.heldBytes >= 200_000);
  otherLane.receive(large.subarray(200_000));
  assertEquals([other.mesh.linkOf(2)!.heldBytes, other.events.length], [0, 2]);
});

test("a link that the system ends is reported if the other process has introduced itself", () => {
  const { node, lane } = accepting();
  lane.sink!.onClose(new Error("read ECONNRESET")); // it has ended while it was joined
  const end = new FakeLane();
  node.mesh.connect(laneOnly(end), 2);
  end.sink!.onClose(new Error("read ECONNRESET"));
  assertEquals([node.events, node.warnings], [[], []]);
  const { node: other, lane: established } = accepting();
  established.receive(hello());
  established.sink!.onClose(new Error("read ECONNRESET"));
  assertEquals(other.events, ["+2", "-2"]);
  assertEquals(other.warnings, ["the link to worker 1 (process 7) is closed: Error: read ECONNRESET"]);
});

test("a kind that nobody handles ends the link", () => {
  const { node, lane } = accepting();
  lane.receive(hello());
  lane.receive(joinBytes([message("before"), frameOf(63), message("behind")]));
  assertEquals([node.events, lane.aborted], [["+2", "2: before", "-2"], true]);
  assertMatch(node.warnings[0], /worker 1 \(process 7\) is closed: frames of kind 63 are unknown/);
});

test("an error of a receiver ends the link, and is reported", () => {
  const { node, lane } = accepting();
  node.mesh.handle(40, () => {
    throw new Error("ours");
  });
  lane.receive(hello());
  lane.receive(joinBytes([frameOf(40), message("behind")]));
  assertEquals([node.events, node.faults.map(String), lane.aborted], [["+2", "-2"], ["Error: ours"], true]);
});

test("garbage of all kinds never throws, whether it comes before or behind the hello", () => {
  let seed = 7;
  const random = (most: number) => (seed = (seed * 48271) % 0x7fffffff) % most;
  for (let round = 0; round < 500; round++) {
    const { node, lane } = accepting();
    if (round % 2 === 0) lane.receive(hello());
    const garbage = Uint8Array.from({ length: random(300) }, () => random(256));
    if (random(2) === 0) garbage.set([0, 0, 0, random(40) + 1, random(20)].slice(0, garbage.length));
    lane.receive(garbage);
    lane.receive(garbage);
    assertEquals(node.faults, []);
  }
});

test("all that is sent in a turn leaves as one write, in order", async () => {
  const { node, lane } = accepting();
  lane.receive(hello());
  lane.writes.length = 0;
  const link = node.link(2);
  const head = new Uint8Array([0x30]);
  assert(node.say(2, "one"));
  assert(link.sendText(MESSAGE, head, "two"));
  assert(link.sendText(MESSAGE, head, "zwölf"));
  assert(link.sendText(MESSAGE, head, "a lone \ud800"));
  assert(link.sendShared(message("three"), { waits: 0 }));
  link.tell(MESSAGE, encoder.encode("four"));
  await settle();
  assertEquals(written(lane).map(([, body]) => body), ["one", "0two", "0zwölf", "0a lone \ufffd", "three", "four"]);
  assertEquals(lane.writes.length, 1);
  lane.writes.length = 0;
  const long = "ü".repeat(50_000);
  assert(link.sendText(MESSAGE, head, long));
  assert(link.send(MESSAGE, head, encoder.encode(`(${long})`), 1, 1 + 2 * 50_000));
  assert(node.say(2, "end"));
  await settle();
  assertEquals(written(lane).map(([, body]) => body), [`0${long}`, `0${long}`, "end"]);
});

test("bytes that were sent may be changed afterwards", async () => {
  const { node, lane } = accepting();
  lane.receive(hello());
  lane.takes = false;
  assert(node.say(2, "the first is on its way"));
  await settle();
  lane.writes.length = 0;
  const bytes = [encoder.encode("short"), encoder.encode("l".repeat(100_000))];
  for (const one of bytes) assert(node.link(2).send(MESSAGE, one)), one.fill(0);
  lane.takes = true;
  lane.sink.onDrain();
  await settle();
  assertEquals(written(lane).map(([, body]) => body), ["short", "l".repeat(100_000)]);
});

test("a queue that is full takes nothing more, until some of it has left", async () => {
  const bufferSize = 64 * 1024;
  const { node, lane } = accepting({ bufferSize });
  lane.receive(hello());
  lane.takes = false;
  const fill = (size: number) => node.link(2).send(MESSAGE, new Uint8Array(size - FRAME_HEADER));
  assert(fill(1000));
  await settle(); // these are with the lane, and still count
  assert(fill(bufferSize - 1000));
  assert(!fill(FRAME_HEADER));
  assert(!fill(FRAME_HEADER));
  assertEquals(node.link(2).connection.queuedBytes, bufferSize);
  node.link(2).tell(PING); // takes more
  lane.takes = true;
  lane.sink.onDrain();
  await settle();
  assert(!fill(bufferSize + 1), "one that would never fit");
  assert(fill(bufferSize));
});

test("the smaller limit of the two sides holds", () => {
  const { node, lane } = accepting();
  lane.receive(hello({ limit: 100 }));
  lane.takes = false;
  assertEquals([node.say(2, "x".repeat(96)), node.say(2, "x".repeat(95)), node.say(2, "")], [false, true, false]);
});

test("a peer that takes nothing of what must not be missing loses its link", () => {
  const bufferSize = 64 * 1024;
  const { node, lane } = accepting({ bufferSize });
  lane.receive(hello());
  lane.takes = false;
  const link = node.link(2);
  const most = bufferSize + 64 * 1024 * 1024;
  link.tell(MESSAGE, new Uint8Array(most - link.connection.queuedBytes - FRAME_HEADER));
  assertEquals([node.events, lane.aborted], [["+2"], false]);
  link.tell(PING);
  assertEquals([node.events, lane.aborted, link.isOpen], [["+2", "-2"], true, false]);
  assertMatch(node.warnings[0], /it has not taken 67174400 bytes/);
  link.tell(MESSAGE, new Uint8Array(1));
  assertEquals(link.send(MESSAGE, new Uint8Array(1)), false);
});

test("fds are safe integers", () => {
  const bytes = new Uint8Array(10);
  for (const fd of [0, 1, 255, 256, 65_535 * 256 + 3, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 5, Number.MAX_SAFE_INTEGER]) {
    writeFd(bytes, 1, fd);
    assertEquals(readFd(bytes, 1), fd);
  }
});
