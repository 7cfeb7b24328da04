/** Messages that wait for their handlers: how many handlers of a connection run, what waits meanwhile, and in which order it comes. */

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type Frame, PreparedMessage, Server, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";

const text = (payload: string) => frame({ opcode: 1, payload });

/** A server whose handlers wait until they are let go, and say when they begin. */
function waitingServer(settings: ServerSettings) {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set(settings);
  const begun: string[] = [];
  const waiting: (() => void)[] = [];
  let notify = () => {};
  server.on("message", (_server, { data }) => {
    begun.push(String(data));
    notify();
    return new Promise<void>((resolve) => waiting.push(resolve));
  });
  return {
    server,
    begun,
    letGo: () => waiting.shift()!(),
    async until(count: number): Promise<void> {
      while (begun.length < count) await new Promise<void>((resolve) => notify = resolve);
    },
  };
}

/** A WebSocket of a server on a lane that a test drives. */
function openOn(server: WebSocketServer): FakeLane {
  const lane = new FakeLane();
  server.accept(laneOnly(lane));
  lane.receive(handshake());
  assert(lane.text.startsWith("HTTP/1.1 101"));
  lane.writes.length = 0;
  return lane;
}

const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

testLanes("max_handlers_per_connection: so many are under way, the next message waits for one to end", async (runtime) => {
  for (const most of [1, 3]) {
    const { server, begun, letGo, until } = waitingServer({ max_handlers_per_connection: most });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.open(port);
      for (let i = 0; i < 10; i++) client.send(text(`${i}`));
      client.send(frame({ opcode: 9, payload: "read?" }));
      assertEquals((await client.readFrame())?.opcode, 10); // everything has been read, and pings are answered
      assertEquals(begun.length, most);
      for (let i = 1; i <= 10; i++) {
        letGo();
        await until(Math.min(most + i, 10));
      }
      assertEquals(begun, [..."0123456789"]);
      client.destroy();
    });
  }
});

test("what waits is read up to input_buffer_size, 320 bytes a message and its payload, and read again below half of it", async () => {
  const { server, begun, letGo } = waitingServer({ max_handlers_per_connection: 1, input_buffer_size: 10_000 });
  const lane = openOn(server);
  lane.receive(text("first"));
  for (let i = 0; i < 9; i++) lane.receive(frame({ opcode: 2, payload: new Uint8Array(680) }));
  assertEquals(lane.paused, false); // 9,000
  lane.receive(frame({ opcode: 2, payload: new Uint8Array(680) }));
  assertEquals([lane.paused, begun.length], [true, 1]);
  for (let i = 0; i < 5; i++) {
    letGo();
    await turn();
    assertEquals(lane.paused, true);
  }
  letGo();
  await turn();
  assertEquals([lane.paused, begun.length], [false, 7]);
  lane.abort();
});

test("while the peer takes too little, no handler begins; what it has sent is handled once it does", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ socket_buffer_size: 100_000 });
  const sent: boolean[] = [];
  server.on("message", (server, frame) => sent.push(server.push(frame.fd, frame)));
  const lane = openOn(server);
  lane.takes = false;
  for (let i = 0; i < 100; i++) lane.receive(frame({ opcode: 2, payload: new Uint8Array(10_000).fill(i) }));
  assertEquals(lane.paused, false);
  assert(sent.length < 10, `${sent.length} handlers have begun`);
  lane.takes = true;
  lane.sink.onDrain();
  await turn();
  assertEquals([sent.length, sent.every((one) => one)], [100, true]); // the program ignores what push() says, and nothing is lost
  const all = new Uint8Array(lane.writes.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let at = 0;
  for (const { bytes } of lane.writes) {
    all.set(bytes, at);
    at += bytes.length;
  }
  assertEquals(all.length, 100 * 10_004);
  for (let i = 0; i < 100; i++) assertEquals([all[i * 10_004 + 4], all[i * 10_004 + 10_003]], [i, i]);
});

testLanes("a Close, and the end of TCP, come behind the messages that wait", async (runtime) => {
  for (const how of ["Close", "FIN"]) {
    const { server, begun, letGo, until } = waitingServer({ max_handlers_per_connection: 1 });
    const lines: string[] = [];
    const closed = signal();
    server.on("close", () => {
      lines.push(`close after ${begun.join("")}`);
      closed.resolve();
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.open(port);
      for (const part of "abc") client.send(text(part));
      if (how === "Close") client.send(closeFrame(1000));
      else client.end();
      for (const count of [1, 2, 3]) {
        await until(count);
        if (count < 3) assertEquals(lines, []);
        letGo();
      }
      await closed.promise;
      assertEquals(lines, ["close after abc"], how);
      client.destroy();
    });
  }
});

test("a handler that never ends does not keep a Close from being answered for ever", async () => {
  const { server, begun } = waitingServer({ max_handlers_per_connection: 1, websocket_close_timeout: 0.3 });
  const lane = openOn(server);
  lane.receive(text("a"));
  lane.receive(text("b"));
  lane.receive(closeFrame(1000));
  while (!lane.ended) await turn();
  assertEquals([begun, lane.text.charCodeAt(0)], [["a"], 0x88]);
  lane.abort();
});

testLanes("receive handlers are held back alike, packages one by one", async (runtime) => {
  for (const packages of [false, true]) {
    const server = new Server("127.0.0.1", 0);
    server.set({ max_handlers_per_connection: 1, ...(packages ? { open_eof_split: true, package_eof: ";" } : {}) });
    let under = 0;
    let most = 0;
    let all = "";
    const done = signal();
    server.on("receive", async (_server, _fd, _reactorId, data) => {
      most = Math.max(most, ++under);
      all += new TextDecoder().decode(data);
      await turn();
      under--;
      if (all.length === 300) done.resolve();
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      for (let i = 0; i < 10; i++) client.send("1;2;3;4;5;6;7;8;9;0;1;2;3;4;5;");
      await done.promise;
      assertEquals([all, most], ["1;2;3;4;5;6;7;8;9;0;1;2;3;4;5;".repeat(10), 1]);
      client.destroy();
    });
  }
});

testLanes(
  "websocket_message_timeout: a message that does not go on is closed with 1008, one that does is not",
  async (runtime) => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ websocket_message_timeout: 2 });
    server.on("message", (server, { fd, data }) => server.push(fd, data));
    await servingOn(runtime, server, async (_server, port) => {
      const patient = await RawClient.open(port);
      for (let i = 0; i < 5; i++) { // each of them in time
        const bytes = text(`message ${i}`);
        patient.send(bytes.subarray(0, 8));
        await new Promise((resolve) => setTimeout(resolve, 500));
        patient.send(bytes.subarray(8));
        assertEquals(new TextDecoder().decode((await patient.readFrame())?.payload), `message ${i}`);
      }
      const beginnings = [
        text("half").subarray(0, 1),
        text("half").subarray(0, 8),
        frame({ opcode: 1, payload: "part", fin: false }),
      ];
      await Promise.all(beginnings.map(async (beginning) => {
        const client = await RawClient.open(port);
        client.send(beginning);
        const close = await client.readFrame();
        assertEquals([close?.opcode, close?.payload[0], close?.payload[1]], [8, 1008 >> 8, 1008 & 255]);
        client.destroy();
      }));
      patient.destroy();
    });
  },
);

testLanes("what is pushed may be changed and transferred at once, and what is received kept", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ socket_buffer_size: 64 << 20 });
  const kept: Frame[] = [];
  server.on("message", (server, frame) => {
    kept.push(frame as Frame);
    if (frame.opcode !== 2) return;
    const { fd, bytes } = frame;
    structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
    for (const size of [100, 40_000, 1_000_000, 6_000_000]) {
      const payload = new Uint8Array(size).fill(7);
      server.push(fd, payload, 2);
      payload.fill(9);
      structuredClone(payload, { transfer: [payload.buffer] });
    }
  });
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(new Uint8Array([...text("one"), ...text("two"), ...frame({ opcode: 2, payload: "go" }), ...text("three")]));
    for (const size of [100, 40_000, 1_000_000, 6_000_000]) {
      const payload = (await client.readFrame())!.payload;
      assertEquals([payload.length, payload.every((byte) => byte === 7)], [size, true]);
    }
    client.send(text("four"));
    client.send(frame({ opcode: 9 }));
    assertEquals((await client.readFrame())?.opcode, 10);
    assertEquals(kept.map(({ opcode, data }) => opcode === 1 ? data : opcode), ["one", "two", 2, "three", "four"]);
    client.destroy();
  });
});

test("a frame whose buffer has been transferred is not sent", () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const errors: string[] = [];
  server.on("message", (server, frame) => {
    structuredClone(frame.bytes, { transfer: [frame.bytes.buffer as ArrayBuffer] });
    server.push(frame.fd, frame);
  });
  server.on("error", (_server, error) => errors.push(String(error)));
  const lane = openOn(server);
  lane.receive(frame({ opcode: 2, payload: "secret" }));
  assertEquals(errors, ["TypeError: Cannot send the bytes: their buffer has been transferred"]);
  assertEquals([...lane.text].map((byte) => byte.charCodeAt(0)), [0x88, 2, 1011 >> 8, 1011 & 255]);
});

testLanes("a prepared message goes to any number of clients, of any server, and is a copy", async (runtime) => {
  const bytes = new Uint8Array(2000).fill(5);
  const prepared = [new PreparedMessage("text"), new PreparedMessage(bytes)];
  bytes.fill(0);
  for (let i = 0; i < 2; i++) {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.on("message", (server, { fd }) => {
      for (const message of [...prepared, server.prepare("own"), server.prepare("two", 2)]) server.push(fd, message);
    });
    await servingOn(runtime, server, async (_server, port) => {
      for (let clients = 0; clients < 3; clients++) {
        const client = await RawClient.open(port);
        client.send(text("go"));
        const frames = [];
        for (let count = 0; count < 4; count++) frames.push((await client.readFrame())!);
        assertEquals(frames.map(({ opcode, payload }) => [opcode, payload.length]), [[1, 4], [2, 2000], [1, 3], [2, 3]]);
        assert(frames[1].payload.every((byte) => byte === 5));
        client.destroy();
      }
    });
  }
  assertEquals(prepared.map(({ byteLength }) => byteLength), [4, 2000]);
});
