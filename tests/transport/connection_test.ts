// What a connection makes of its lane: chunks, order, backpressure, and the way to the end. No network.

import { assert, assertEquals, assertGreater } from "@std/assert";
import { test } from "node:test";
import { type Frame, Server, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { settle } from "../support/memory_client.ts";
import { frame, handshake } from "../support/raw_client.ts";

const KIB = 1024;

/** A plain server with one connection over a lane that the test holds. */
function connected(settings: ServerSettings = {}, receive: (server: Server, fd: number, data: string) => void = () => {}) {
  const server = new Server();
  const lane = new FakeLane();
  const events: string[] = [];
  server.set(settings);
  server.on("receive", (server, fd, _reactorId, data) => receive(server, fd, new TextDecoder().decode(data)));
  for (const event of ["bufferFull", "bufferEmpty", "drain"] as const) server.on(event, () => void events.push(event));
  server.on("close", (_server, fd, reactorId) => void events.push(`close ${fd} ${reactorId}`));
  server.on("error", (_server, error) => void events.push(String(error)));
  const fd = server.accept(laneOnly(lane));
  return { server, lane, events, fd };
}

/** A WebSocketServer with one open WebSocket over a lane that the test holds. */
function opened(message: (server: WebSocketServer, frame: Frame) => void) {
  const server = new WebSocketServer();
  const lane = new FakeLane();
  server.on("message", (server, frame) => message(server, frame));
  const fd = server.accept(laneOnly(lane));
  lane.receive(handshake());
  assert(lane.text.startsWith("HTTP/1.1 101 "));
  lane.writes.length = 0;
  return { server, lane, fd };
}

test("everything that handlers send while a chunk is handled leaves as one write", () => {
  const { lane } = opened((server, { fd, data }) => {
    server.push(fd, `${data} and`);
    server.push(fd, "again");
  });
  const bytes = ["one", "two", "three"].flatMap((payload) => [...frame({ opcode: 1, payload })]);
  lane.receive(Uint8Array.from(bytes));
  assertEquals(lane.writes.length, 1);
  assertEquals(lane.text, "\x81\x07one and\x81\x05again\x81\x07two and\x81\x05again\x81\x09three and\x81\x05again");
});

test("everything that is sent in a turn of its own leaves as one write too", async () => {
  const { server, lane, fd } = connected();
  for (let i = 0; i < 10; i++) server.send(fd, `${i}`);
  assertEquals(lane.writes.length, 0);
  await settle();
  assertEquals([lane.writes.length, lane.text], [1, "0123456789"]);
});

test("what a handler sends between many awaits leaves as one write, when it is done with them", async () => {
  await loadRuntime(); // which knows when that is
  const { server, lane, fd } = connected();
  for (let i = 0; i < 500; i++) {
    server.send(fd, "x");
    await null;
    assertEquals(lane.writes.length, 0);
  }
  await settle();
  assertEquals([lane.writes.length, lane.text.length], [1, 500]);
});

test("a text that goes to many, between texts of their own: each gets all of its own in order", async () => {
  const lanes = Array.from({ length: 5 }, () => new FakeLane());
  const server = new WebSocketServer();
  server.on("message", () => {});
  const fds = lanes.map((lane) => server.accept(laneOnly(lane)));
  for (const lane of lanes) lane.receive(handshake()), lane.writes.length = 0;
  lanes[4].takes = false; // a slow one
  const expected = lanes.map(() => "");
  const push = (i: number, text: string) => {
    assert(server.push(fds[i], text));
    expected[i] += `\x81${String.fromCharCode(text.length)}${text}`;
  };
  for (let round = 0; round < 30; round++) {
    for (const i of fds.keys()) push(i, `to all: ${round}`);
    if (round % 3 === 0) push(1, "to one");
    for (const i of fds.keys()) if (i !== 2) push(i, `to most: ${round}`);
    if (round % 10 === 9) await settle();
  }
  lanes[4].takes = true;
  lanes[4].sink.onDrain();
  await settle();
  assertEquals(lanes.map((lane) => lane.text), expected);
  assertEquals(lanes[0].writes.length, 3); // one in each turn
});

test("sends of two connections in one turn: one write each", async () => {
  const { server, lane, fd } = connected();
  const other = new FakeLane();
  const second = server.accept(laneOnly(other));
  for (let i = 0; i < 5; i++) {
    server.send(fd, "a");
    server.send(second, "b");
  }
  await settle();
  assertEquals([lane.writes.length, lane.text, other.writes.length, other.text], [1, "aaaaa", 1, "bbbbb"]);
});

test("who sends outside of a turn keeps what it has sent in front, whatever turn comes between", async () => {
  const own = new FakeLane();
  const other = new FakeLane();
  const server = new Server();
  server.on("receive", (server, fd, _reactorId, data) => {
    server.send(fd, data);
    server.send(first, "from a turn ");
  });
  const first = server.accept(laneOnly(own));
  const second = server.accept(laneOnly(other));
  for (const lane of [other, own]) {
    server.send(first, "one ");
    server.send(second, "two ");
    lane.receive("turn ");
    server.send(first, "three ");
    server.send(second, "four ");
    await settle();
  }
  assertEquals(own.text, "one from a turn three one turn from a turn three ");
  assertEquals(other.text, "two turn four two four ");
});

test("close() and a broken lane outside of a turn: what was sent before goes out, or is dropped, and the others can send", async () => {
  for (const end of ["close", "abort", "broken"] as const) {
    const { server, lane, fd } = connected();
    const other = new FakeLane();
    const second = server.accept(laneOnly(other));
    server.send(fd, "last words");
    if (end === "broken") lane.sink.onClose();
    else server.close(fd, end === "abort");
    server.send(second, "x".repeat(100));
    await settle();
    server.send(second, "y".repeat(100));
    await settle();
    assertEquals([lane.text, other.text], [end === "close" ? "last words" : "", "x".repeat(100) + "y".repeat(100)]);
  }
});

test("a lane that breaks in a write outside of a turn: what the close handler sends to others goes to them", async () => {
  const [lane, turning, third] = [new FakeLane(), new FakeLane(), new FakeLane()];
  const server = new Server();
  server.on("receive", (server, fd, _reactorId, data) => void server.send(fd, data));
  const first = server.accept(laneOnly(lane));
  server.accept(laneOnly(turning));
  const last = server.accept(laneOnly(third));
  server.on("close", (server) => {
    turning.receive("turn ");
    server.send(last, "for the third");
  });
  lane.write = () => {
    lane.sink.onClose();
    return false;
  };
  server.send(first, "lost");
  await settle();
  turning.receive("another turn");
  await settle();
  assertEquals([turning.text, third.text], ["turn another turn", "for the third"]);
});

test("a lane that throws outside of a turn ends its connection, and the others can send", async () => {
  const { server, lane, fd, events } = connected();
  const other = new FakeLane();
  const second = server.accept(laneOnly(other));
  lane.write = () => {
    throw new Error("no");
  };
  server.send(fd, "one");
  server.send(second, "two");
  await settle();
  server.send(second, " three");
  await settle();
  assertEquals([events.sort(), other.text], [["Error: no", `close ${fd} -1`], "two three"]);
});

test("a message for another connection, sent while a chunk is handled, is not mixed up with the answer", async () => {
  const other = new FakeLane();
  const { server, lane } = opened((server, { fd, data }) => {
    server.push(fd, "to you");
    server.push(fd + 1, `from him: ${data}`);
    server.push(fd, "to you");
  });
  server.accept(laneOnly(other));
  other.receive(handshake());
  other.writes.length = 0;
  lane.receive(frame({ opcode: 1, payload: "hi" }));
  await settle();
  assertEquals([lane.writes.length, lane.text], [1, "\x81\x06to you\x81\x06to you"]);
  assertEquals([other.writes.length, other.text], [1, "\x81\x0cfrom him: hi"]);
});

test("small and large parts keep their order", async () => {
  const { server, lane, fd } = connected({ socket_buffer_size: 8192 * KIB });
  let expected = "";
  for (let i = 0; i < 40; i++) {
    const part = String.fromCharCode(65 + i).repeat(i % 5 === 0 ? 100 * KIB : 1 + i * 37);
    expected += part;
    server.send(fd, part);
  }
  lane.takes = false;
  await settle();
  while (lane.text.length < expected.length) {
    lane.sink.onDrain();
    await settle();
  }
  assert(lane.text === expected);
});

test("nothing is written while the lane has not taken the last chunk", async () => {
  const { server, lane, fd } = connected();
  lane.takes = false;
  server.send(fd, "first");
  await settle();
  server.send(fd, "second ");
  await settle();
  server.send(fd, "third");
  await settle();
  assertEquals([lane.writes.length, lane.text], [1, "first"]);
  const info = server.getClientInfo(fd);
  assertEquals(info && info.send_queued_bytes, 17);
  lane.sink.onDrain();
  assertEquals([lane.writes.length, lane.text], [2, "firstsecond third"]);
});

test("a lane may drain before its write() returns", async () => {
  const { server, lane, fd } = connected();
  const write = lane.write.bind(lane);
  lane.write = (bytes, start, end, owned) => {
    write(bytes, start, end, owned);
    lane.sink.onDrain();
    return false;
  };
  for (let i = 0; i < 5; i++) server.send(fd, String(i).repeat(40 * KIB));
  await settle();
  assertEquals(lane.text, [0, 1, 2, 3, 4].map((i) => String(i).repeat(40 * KIB)).join(""));
  const info = server.getClientInfo(fd);
  assertEquals(info && info.send_queued_bytes, 0);
});

test("the queue passes the high watermark and comes down to the low one: two events, and reading goes on all the time", async () => {
  const { server, lane, fd, events } = connected({
    socket_buffer_size: 100 * KIB,
    buffer_high_watermark: 50 * KIB,
    buffer_low_watermark: 20 * KIB,
  });
  lane.takes = false;
  server.send(fd, "x".repeat(10 * KIB));
  await settle();
  assertEquals([lane.paused, events], [false, []]);
  for (let i = 0; i < 5; i++) server.send(fd, "x".repeat(10 * KIB));
  await settle();
  assertEquals([lane.paused, events], [false, ["bufferFull"]]);
  assertEquals([server.send(fd, "x".repeat(50 * KIB)), server.getLastError()], [false, 1009]);
  lane.sink.onDrain();
  await settle();
  assertEquals([lane.paused, events], [false, ["bufferFull"]]); // 50 KiB are in the second write
  lane.sink.onDrain();
  await settle();
  assertEquals([lane.paused, events], [false, ["bufferFull", "bufferEmpty", "drain"]]);
});

test("a handler of bufferEmpty may send at once", async () => {
  const { server, lane, fd } = connected({ socket_buffer_size: 100 * KIB });
  lane.takes = false;
  server.on("bufferEmpty", (server, fd) => void server.send(fd, "more"));
  server.send(fd, "x".repeat(90 * KIB));
  await settle();
  lane.takes = true;
  lane.sink.onDrain();
  await settle();
  assert(lane.text.endsWith("xmore"));
});

test("close(): the queue is sent, then FIN; what arrives later is dropped; the end comes when the peer ends", async () => {
  const received: string[] = [];
  const { server, lane, events, fd } = connected({}, (_server, _fd, data) => void received.push(data));
  lane.takes = false;
  server.send(fd, "first");
  await settle();
  server.send(fd, "second");
  server.close(fd);
  assertEquals([server.exist(fd), events], [false, ["close 1 -1"]]);
  await settle();
  assertEquals([lane.text, lane.ended], ["first", false]);
  lane.sink.onDrain();
  assertEquals([lane.text, lane.ended], ["firstsecond", false]);
  lane.sink.onDrain();
  assertEquals(lane.ended, true);
  lane.receive("late");
  lane.sink.onEnd();
  lane.sink.onClose();
  assertEquals([received, events, lane.aborted], [[], ["close 1 -1"], false]);
});

test("close() lets reading go on, which the program had stopped", () => {
  const { server, lane, fd } = connected();
  server.pause(fd);
  assertEquals(lane.paused, true);
  server.close(fd);
  assertEquals(lane.paused, false);
});

test("close(fd, true): dropped with what is queued", async () => {
  const { server, lane, events, fd } = connected();
  lane.takes = false;
  server.send(fd, "first");
  await settle();
  server.send(fd, "second");
  server.close(fd, true);
  await settle();
  assertEquals([lane.text, lane.aborted, lane.ended, events], ["first", true, false, ["close 1 -1"]]);
});

test("close() in a receive handler: what the handler has sent before goes out first", () => {
  const { lane, events } = connected({}, (server, fd, data) => {
    server.send(fd, `bye ${data}`);
    server.close(fd);
    server.send(fd, "never");
  });
  lane.receive("now");
  assertEquals([lane.text, lane.ended, events], ["bye now", true, ["close 1 -1"]]);
});

test("the lane closes with an error: one close, by the client, and nothing is written any more", async () => {
  const { server, lane, events, fd } = connected();
  server.send(fd, "not any more");
  lane.sink.onClose(new Error("reset"));
  lane.sink.onClose(new Error("again"));
  await settle();
  assertEquals([lane.writes.length, events, server.exist(fd)], [0, ["close 1 0"], false]);
  assertEquals([server.send(fd, "x"), server.getLastError()], [false, 1005]);
});

test("a close handler that closes again, sends or shuts down harms nothing", async () => {
  const { server, lane, events, fd } = connected();
  server.on("close", (server, fd) => {
    events.push("close");
    assertEquals([server.close(fd), server.send(fd, "x"), server.exist(fd)], [false, false, false]);
    server.shutdown();
  });
  server.close(fd);
  lane.sink.onEnd();
  lane.sink.onClose();
  await server.finished;
  assertEquals(events, ["close"]);
});

test("a full scratch memory is handed on, not overrun", () => {
  const { lane } = opened((server, { fd }) => {
    for (let i = 0; i < 100; i++) server.push(fd, "x".repeat(10 * KIB));
  });
  lane.receive(frame({ opcode: 1, payload: "go" }));
  const header = "\x81\x7e\x28\x00";
  assert(lane.text === (header + "x".repeat(10 * KIB)).repeat(100));
  assertGreater(lane.writes.length, 1);
});
