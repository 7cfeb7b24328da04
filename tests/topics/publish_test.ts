// Messages to many: what is sent, to whom, in which order.

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { inflateRawSync } from "node:zlib";
import { test } from "node:test";
import { CloseFrame, Frame, type PublishOptions, type Pushable, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { closeFrame } from "../support/raw_client.ts";
import { settle } from "../support/activity.ts";
import { signal } from "../support/serving.ts";
import { framesOf, heard, join, joinTopic, type Member, quietServer, says, staging } from "./stage.ts";

test("publish() reaches the subscribers of its topic, broadcast() every WebSocket", async () => {
  const server = quietServer();
  await staging(server, async () => {
    const [one, two] = joinTopic(server, 2, "a");
    const [three] = joinTopic(server, 1, "b");
    const nobody = join(server);
    server.subscribe(one.fd, "b");
    assertEquals([server.publish("a", "to a"), server.publish("b", "to b"), server.publish("c", "to c")], [2, 2, 0]);
    assertEquals([server.broadcast("to all"), server.stats().publish_count, server.stats().response_count], [4, 4, 8]);
    assertEquals(await heard(one), ["to a", "to b", "to all"]);
    assertEquals(await heard(two), ["to a", "to all"]);
    assertEquals(await heard(three), ["to b", "to all"]);
    assertEquals(await heard(nobody), ["to all"]);
  });
  assertEquals([quietServer().publish("a", "x"), quietServer().broadcast("x")], [0, 0]); // not started, nobody there
});

test("`except` leaves out a connection, or some", async () => {
  const server = quietServer();
  await staging(server, async () => {
    const members = joinTopic(server, 4);
    const fds = members.map(({ fd }) => fd);
    assertEquals(server.publish("room", "1", { except: fds[0] }), 3);
    assertEquals(server.publish("room", "2", { except: [fds[1], fds[2], 999] }), 2);
    assertEquals(server.publish("room", "3", { except: new Set(fds) }), 0);
    assertEquals(server.broadcast("4", { except: server.connections }), 0);
    assertEquals(server.broadcast("5", { except: fds[3] }), 3);
    assertEquals(server.publish("room", "6", { except: [] }), 4);
    const all = await Promise.all(members.map(heard));
    assertEquals(all, [["2", "5", "6"], ["1", "5", "6"], ["1", "5", "6"], ["1", "2", "6"]]);
    for (const except of ["1", null, {}, true, 1n] as never[]) {
      for (const call of [() => server.publish("room", "x", { except }), () => server.broadcast("x", { except })]) {
        assertThrows(call, TypeError, "except is an fd or a list of fds, not ");
      }
    }
    // Otherwise a connection that is to be left out would get the message.
    for (const except of [[fds[0], "1"], new Set(["1"]), [{ fd: 1 }], [null]] as never[]) {
      for (const call of [() => server.publish("room", "x", { except }), () => server.broadcast("x", { except })]) {
        assertThrows(call, TypeError, "except is a list of fds, which are numbers, and has ");
      }
    }
    assertEquals(server.publish("room", "7", { except: [undefined, fds[0]] as never }), 3);
    assertThrows(() => server.publish("room", "x", fds[0] as never), TypeError, "such as { except: fd }, not number");
    assertThrows(() => server.broadcast("x", null as never), TypeError, "not null");
  });
});

/** Something to publish, and what arrives: opcode and payload. */
const MESSAGES: readonly [message: Pushable, options: PublishOptions, opcode: number, payload: string][] = [
  ["Grüße \ud83c", {}, 1, "Grüße \ufffd"],
  ["", {}, 1, ""],
  [42, {}, 1, "42"],
  ["text", { opcode: 2 }, 2, "text"],
  [new TextEncoder().encode("bytes"), {}, 2, "bytes"],
  [new TextEncoder().encode("täxt"), { opcode: 1 }, 1, "täxt"],
  [new Uint8Array(0), {}, 2, ""],
  [new TextEncoder().encode("_middle_").subarray(1, 7), {}, 2, "middle"],
  [Object.assign(new Frame(), { data: "frame" }), { opcode: 2 }, 1, "frame"],
  [new WebSocketServer().prepare("prepared", 2), {}, 2, "prepared"],
  ["x".repeat(125), {}, 1, "x".repeat(125)],
  ["x".repeat(126), {}, 1, "x".repeat(126)],
  ["é".repeat(40_000), {}, 1, "é".repeat(40_000)],
  [new Uint8Array(65_535).fill(120), {}, 2, "x".repeat(65_535)],
  [new Uint8Array(65_536).fill(120), {}, 2, "x".repeat(65_536)],
];

for (const count of [1, 2, 5]) {
  test(`${count} subscribers get every kind of message as it is`, async () => {
    const server = quietServer();
    await staging(server, async () => {
      const members = joinTopic(server, count);
      for (const [message, options, opcode, payload] of MESSAGES) {
        assertEquals([server.publish("room", message, options), server.broadcast(message, options)], [count, count]);
        for (const member of members) {
          const frames = await framesOf(member);
          assertEquals(frames.map((frame) => [frame.opcode, frame.fin, frame.rsv]), [[opcode, true, 0], [opcode, true, 0]]);
          for (const frame of frames) assertEquals(new TextDecoder().decode(frame.payload), payload);
        }
      }
    });
  });
}

test("what is no whole message is refused with 8505, and what is no message throws", async () => {
  const server = quietServer();
  await staging(server, async () => {
    const members = joinTopic(server, 2);
    const fragment = Object.assign(new Frame(), { data: "x", finish: false });
    const none: [Pushable, PublishOptions?][] = [
      ["x", { opcode: 9 }],
      ["x", { opcode: 8 }],
      ["x", { opcode: 0 }],
      ["x", { opcode: 3 }],
      ["x", { flags: 0 }],
      [new Uint8Array([0xff]), { opcode: 1 }],
      [fragment],
      [new CloseFrame()],
    ];
    for (const topic of ["room", "nobody"]) {
      for (const [message, options] of none) {
        server.subscribe(999, "x"); // sets another code
        assertEquals([server.publish(topic, message, options), server.getLastError()], [false, 8505]);
        server.subscribe(999, "x");
        assertEquals([server.broadcast(message, options), server.getLastError()], [false, 8505]);
      }
      for (const message of [undefined, null, {}, [], true, new ArrayBuffer(1)] as never[]) {
        assertThrows(() => server.publish(topic, message), TypeError, "Cannot send ");
        assertThrows(() => server.broadcast(message), TypeError, "Cannot send ");
      }
      const bytes = new Uint8Array(8);
      structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
      assertThrows(() => server.publish(topic, bytes), TypeError, "their buffer has been transferred");
    }
    for (const member of members) assertEquals(await heard(member), []);
    assertEquals(server.stats().publish_count, 0);
  });
});

test("the program may change what it has published at once", async () => {
  const server = quietServer();
  await staging(server, async () => {
    const members = joinTopic(server, 3);
    const [alone] = joinTopic(server, 1, "alone");
    for (const size of [5, 200, 40_000]) {
      const bytes = new Uint8Array(size).fill(97);
      server.publish("room", bytes);
      server.publish("alone", bytes);
      bytes.fill(98);
      for (const member of [...members, alone]) assertEquals(await heard(member), ["a".repeat(size)]);
    }
  });
});

test("a message of a client is passed on from its handler, as text, bytes and frame", async () => {
  const server = quietServer();
  server.on("message", (server, frame) => {
    server.publish("room", frame);
    server.publish("room", frame.data);
    server.publish("room", frame, { except: frame.fd });
  });
  await staging(server, async () => {
    const [one, two, three] = joinTopic(server, 3);
    for (const text of ["hello", "Grüße", "x".repeat(1000)]) {
      says(one, text);
      says(one, { opcode: 2, payload: text });
      assertEquals(await heard(one), [text, text, text, text]);
      for (const member of [two, three]) assertEquals(await heard(member), Array(6).fill(text));
    }
  });
});

test("messages arrive in the order in which they were published and pushed, all in one write", async () => {
  const server = quietServer();
  server.on("message", (server, frame) => {
    server.publish("a", "1");
    server.push(frame.fd, "2");
    server.publish("b", "3");
    server.publish("a", "4");
    server.broadcast("5");
    server.publish("b", "x".repeat(600));
    server.publish("a", "6");
  });
  await staging(server, async () => {
    const [one, two, three] = joinTopic(server, 3, "a");
    for (const { fd } of [one, two]) server.subscribe(fd, "b");
    says(one, "go");
    await settle();
    for (const { lane } of [one, two, three]) assertEquals(lane.writes.length, 1);
    const long = "x".repeat(600);
    assertEquals(await heard(one), ["1", "2", "3", "4", "5", long, "6"]);
    assertEquals(await heard(two), ["1", "3", "4", "5", long, "6"]);
    assertEquals(await heard(three), ["1", "4", "5", "6"]);
  });
});

test("messages published one by one in a turn are one write, whatever else is sent in between", async () => {
  const server = quietServer();
  await staging(server, async () => {
    const members = joinTopic(server, 4, "a");
    const [one, two, three, four] = members;
    server.subscribe(one.fd, "b");
    server.subscribe(two.fd, "b");
    const expected: string[][] = [[], [], [], []];
    for (let i = 0; i < 40; i++) {
      const text = `${i} `.padEnd(i * 9, "x");
      server.publish(i % 5 === 4 ? "b" : "a", text);
      for (const [index, list] of expected.entries()) if (i % 5 !== 4 || index < 2) list.push(text);
      if (i % 7 === 3) server.push(two.fd, `to two ${i}`), expected[1].push(`to two ${i}`);
      if (i === 20) server.unsubscribe(three.fd, "a"), server.subscribe(three.fd, "c");
      if (i === 20) { for (let j = 21; j < 40; j++) expected[2] = expected[2].slice(); }
      if (i >= 21 && i % 5 !== 4) expected[2].pop();
    }
    await settle();
    for (const [index, member] of members.entries()) {
      assertEquals(member.lane.writes.length, 1);
      assertEquals(await heard(member), expected[index]);
    }
    server.publish("a", "next");
    server.disconnect(four.fd, 1000);
    assertEquals(server.publish("a", "behind"), 2);
    assertEquals(await heard(four), ["next", 1000]);
    assertEquals(await heard(one), ["next", "behind"]);
  });
});

test("publish() in close, error and timer handlers, and subscriptions between two of them", async () => {
  const server = quietServer();
  const ticked = signal();
  server.on("message", (_server, frame) => {
    if (frame.data === "throw") throw new Error("thrown");
    for (const fd of [...server.connections]) {
      server.publish("room", `before ${fd}`);
      if (fd === frame.fd) server.unsubscribe(fd, "room");
      else server.subscribe(fd, "room");
      server.publish("room", `after ${fd}`);
    }
  });
  server.on("error", (server, _error, fd) => void server.publish("room", `error of ${fd}`));
  server.on("close", (server, fd) => void server.publish("room", `${fd} left`));
  await staging(server, async () => {
    const [one, two] = joinTopic(server, 2);
    const three = join(server);
    says(two, "go");
    assertEquals(await heard(one), ["before 1", "after 1", "before 2", "after 2", "before 3", "after 3"]);
    assertEquals(await heard(two), ["before 1", "after 1", "before 2"]);
    assertEquals(await heard(three), ["after 3"]);
    says(two, "throw");
    for (const member of [one, three]) assertEquals(await heard(member), ["2 left", "error of 2"]);
    server.after(1, () => {
      server.publish("room", "from a timer");
      ticked.resolve();
    });
    await ticked.promise;
    assertEquals([await heard(one), await heard(three)], [["from a timer"], ["from a timer"]]);
    one.lane.sink.onClose(new Error("reset"));
    assertEquals(await heard(three), ["1 left"]);
  });
});

test("a connection that is closing gets nothing more, and is not counted", async () => {
  const server = quietServer({ open_websocket_close_frame: true });
  server.on("message", (server, frame) => {
    if (frame instanceof CloseFrame) server.publish("room", "last words"); // its Close is not answered yet
  });
  await staging(server, async () => {
    const [one, two, three] = joinTopic(server, 3);
    server.disconnect(one.fd, 4000);
    server.close(two.fd);
    assertEquals([server.publish("room", "x"), server.subscriberCount("room")], [1, 2]);
    assertEquals(await heard(one), [4000]);
    three.lane.receive(closeFrame(4001));
    assertEquals(await heard(three), ["x", "last words", 4001]);
    assertEquals(await heard(two), []);
  });
});

test("all ports share their topics", async () => {
  const server = quietServer();
  const port = server.listen("127.0.0.1", 0);
  port.set({ open_websocket_protocol: true });
  port.on("message", (server, frame) => void server.publish("room", frame));
  await staging(server, async () => {
    const [one] = joinTopic(server, 1);
    const other = join(port);
    assertEquals(server.subscribe(other.fd, "room"), true);
    says(other, "from the other port");
    assertEquals([await heard(one), await heard(other)], [["from the other port"], ["from the other port"]]);
    assertEquals([server.broadcast("to all"), await heard(one), await heard(other)], [2, ["to all"], ["to all"]]);
  });
});

// ---- compression ----------------------------------------------------------------------------------------------------

const OFFER = { "Sec-WebSocket-Extensions": "permessage-deflate" };
const LONG = JSON.stringify(Array.from({ length: 50 }, (_, i) => ({ name: "Ada", number: i })));

/** The text of a frame, and whether it was compressed. */
async function inflated(member: Member): Promise<[text: string, compressed: boolean][]> {
  return (await framesOf(member)).map(({ rsv, payload }) => {
    const bytes = rsv === 4 ? inflateRawSync(Uint8Array.of(...payload, 0, 0, 0xff, 0xff), { finishFlush: 2 }) : payload;
    return [new TextDecoder().decode(bytes), rsv === 4];
  });
}

for (const engine of ["web", "zlib"]) {
  const settings: ServerSettings = { websocket_compression: true, websocket_compression_engine: engine };
  test(`messages are compressed once for all who have agreed to it, with ${engine}`, async () => {
    const server = quietServer(settings);
    await server.start(); // for the engine
    await staging(server, async () => {
      const members = ["", OFFER, OFFER, OFFER].map((offer) => join(server, "/", offer === "" ? {} : OFFER));
      for (const { fd } of members) server.subscribe(fd, "room");
      const flags = 1 | 2;
      for (const text of [LONG, "x", LONG + LONG]) {
        assertEquals(server.publish("room", text, { flags }), 4);
        assertEquals(server.publish("room", text), 4);
        await settle();
        while (members[3].lane.writes.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        const compressed = text.length > 1;
        assertEquals(await inflated(members[0]), [[text, false], [text, false]]);
        const results = [];
        for (const member of members.slice(1)) {
          const bytes = Uint8Array.from(member.lane.writes.flatMap((write) => [...write.bytes]));
          results.push(bytes);
          assertEquals(await inflated(member), [[text, compressed], [text, false]]);
        }
        assertEquals(results[1], results[0]);
        assertEquals(results[2], results[0]);
      }
    });
  });
}

test("with takeover, what was published does not confuse what is pushed", async () => {
  const server = quietServer({
    websocket_compression: true,
    websocket_compression_auto: true,
    websocket_compression_min_length: 10,
    websocket_compression_send_takeover: true,
  });
  await server.start();
  await staging(server, async () => {
    const members = [join(server, "/", OFFER), join(server, "/", OFFER)];
    for (const { fd } of members) server.subscribe(fd, "room");
    server.push(members[0].fd, LONG);
    server.publish("room", LONG);
    server.push(members[0].fd, LONG);
    for (const [index, count] of [[0, 3], [1, 1]]) {
      let history = new Uint8Array(0);
      for (const { rsv, payload } of await framesOf(members[index])) {
        assertEquals(rsv, 4);
        const bytes = inflateRawSync(Uint8Array.of(...payload, 0, 0, 0xff, 0xff), { finishFlush: 2, dictionary: history });
        assertEquals(new TextDecoder().decode(bytes), LONG);
        history = Uint8Array.of(...history, ...bytes).slice(-32768);
      }
      assert(count > 0);
    }
  });
});

test("a prepared message is the same for publish() and push()", async () => {
  const server = quietServer();
  await staging(server, async () => {
    const [one, two] = joinTopic(server, 2);
    const message = server.prepare("x".repeat(5000));
    server.publish("room", message);
    server.push(one.fd, message);
    await settle();
    const [written] = two.lane.writes;
    server.broadcast(message);
    await settle();
    assertStrictEquals(two.lane.writes[1].bytes.buffer, written.bytes.buffer); // not copied for anybody
    assertEquals((await heard(one)).length, 3);
    assertEquals((await heard(two)).length, 2);
  });
});
