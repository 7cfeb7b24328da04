// max_buffer_memory: what all connections hold together, who is refused, who is closed, and how it is counted.

import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { test } from "node:test";
import { type Refusal, Server, type ServerSettings, WebSocketServer } from "../../mod.ts";
import * as coroutine from "../../src/coroutine/mod.ts";
import type { Connection, Protocol } from "../../src/transport/connection.ts";
import { defaultBufferMemory } from "../../src/transport/buffer_memory.ts";
import { ConnectionTable } from "../../src/transport/connection_table.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { memoryLimit } from "../../adapters/process.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { frame, handshake } from "../support/raw_client.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const POST = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${2 * MIB}\r\n\r\n`;

const settle = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

const statusOf = (lane: FakeLane) => Number(lane.text.split(" ")[1]);

/** The close code that was sent last, if one was. */
function closeCode(lane: FakeLane): number | undefined {
  const bytes = lane.writes.at(-1)?.bytes;
  return bytes !== undefined && bytes[0] === 0x88 ? (bytes[2] << 8) | bytes[3] : undefined;
}

interface Tried {
  server: WebSocketServer;
  memory: ConnectionTable["memory"];
  refusals: Refusal[];
  open(text?: string): FakeLane;
  webSocket(): FakeLane;
}

/** A WebSocket server on lanes that a test drives. Everything ends with the test. */
async function trying(settings: ServerSettings, test: (tried: Tried) => Promise<void>): Promise<void> {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ log_level: 6, websocket_close_timeout: 0.01, ...settings });
  const refusals: Refusal[] = [];
  server.on("message", (server, { fd, data }) => void server.push(fd, data));
  server.on("request", (_request, response) => void response.end("here"));
  server.on("refuse", (_server, refusal) => void refusals.push(refusal));
  const lanes: FakeLane[] = [];
  const open = (text?: string): FakeLane => {
    const lane = new FakeLane();
    lanes.push(lane);
    server.accept(laneOnly(lane));
    if (text !== undefined) lane.receive(text);
    return lane;
  };
  const webSocket = () => {
    const lane = open(handshake());
    assertEquals(statusOf(lane), 101);
    lane.writes.length = 0;
    return lane;
  };
  const first = open();
  try {
    await test({ server, memory: coreOf(server).context.table!.memory, refusals, open, webSocket });
  } finally {
    first.abort();
    server.shutdown(0);
    for (const lane of lanes) lane.abort();
    await server.finished;
  }
}

/** The beginning of a message of 2 MiB. */
const BEGINNING = frame({ opcode: 2, payload: new Uint8Array(2 * MIB) }).subarray(0, 14);
const PIECE = new Uint8Array(64 * KIB);

for (const what of ["messages", "bodies"] as const) {
  test(`300 connections with unfinished ${what} of 2 MiB stay below max_buffer_memory, and nobody else is closed`, async () => {
    const limit = 64 * MIB;
    await trying({ max_buffer_memory: limit }, async ({ server, memory, refusals, open, webSocket }) => {
      const good = [webSocket(), webSocket()];
      const idle = open(GET);
      const bad = Array.from({ length: 300 }, () => {
        const lane = what === "messages" ? webSocket() : open(POST);
        if (what === "messages") lane.receive(BEGINNING);
        return lane;
      });
      let most = 0;
      for (let sent = PIECE.length; sent < 2 * MIB; sent += PIECE.length) {
        for (const lane of bad) {
          if (lane.aborted || lane.ended) continue;
          lane.receive(PIECE);
          await Promise.resolve(); // sockets have turns of their own
          most = Math.max(most, memory.held);
        }
        for (const lane of good) {
          lane.writes.length = 0;
          lane.receive(frame({ opcode: 1, payload: "x".repeat(2000) }));
          await settle();
          assertEquals(lane.writes.length, 1);
        }
      }
      assertLessOrEqual(most, limit + MIB);
      assertLessOrEqual(memory.held, limit);
      assertEquals(server.stats().held_bytes, memory.held);
      const closed = bad.filter((lane) => lane.ended);
      assertGreater(closed.length, 200);
      for (const lane of closed) {
        if (what === "messages") assertEquals(closeCode(lane), 1013);
        else assertEquals(statusOf(lane), 408);
      }
      const { kind, status, setting } = refusals[0];
      assertEquals([kind, status, setting], [
        what === "messages" ? "connection" : "request",
        what === "messages" ? 0 : 408,
        "max_buffer_memory",
      ]);
      assertEquals([...good, idle].some((lane) => lane.ended || lane.aborted), false);
      // The rest goes, and everything is given back.
      for (const lane of bad) lane.abort();
      assertLessOrEqual(memory.held, MIB);
      assertEquals(statusOf(open(GET)), 200);
    });
  });
}

test("above three quarters newcomers get 503 with Retry-After, and those who are there are served", async () => {
  await trying({ max_buffer_memory: 4 * MIB, package_max_length: 4 * MIB }, async ({ memory, refusals, open, webSocket }) => {
    const [good, bad] = [webSocket(), webSocket()];
    bad.receive(BEGINNING);
    while (memory.held <= 2 * MIB - 64 * KIB) bad.receive(PIECE.subarray(0, 16 * KIB));
    assertEquals(statusOf(open(GET)), 200); // at the limit
    bad.receive(frame({ opcode: 9 })); // belongs to the message, and ends nothing
    const second = webSocket();
    second.receive(BEGINNING);
    while (memory.held <= 3 * MIB) second.receive(PIECE.subarray(0, 16 * KIB));
    const told = open();
    assertEquals(told.ended, false);
    told.receive(handshake());
    assertEquals([statusOf(told), told.ended], [503, true]);
    assert(/\r\nRetry-After: [1-9]\d*\r\n/.test(told.text));
    const { kind, status, setting } = refusals[0];
    assertEquals([kind, status, setting, refusals.length], ["connection", 503, "max_buffer_memory", 1]);
    good.receive(frame({ opcode: 1, payload: "served" }));
    await settle();
    assertEquals([good.writes.length, bad.ended, second.ended], [1, false, false]);
    second.abort();
    assertEquals(statusOf(open(GET)), 200);
  });
});

/** A connection that holds what a test says, on a table by a clock that a test sets. */
function holders(limit: number) {
  let time = 1000;
  const nothing = () => {};
  const shed: Connection[] = [];
  class Holder implements Protocol {
    heldBytes = 0;
    readonly connection: Connection;
    constructor(connection: Connection) {
      this.connection = connection;
    }
    get unfinishedBytes(): number {
      return this.heldBytes;
    }
    shed(): boolean {
      this.connection.end(true);
      return false;
    }
    receive(): void {}
    receiveEnd(): void {}
    onDeadline(): void {}
    onFault(): void {}
    onClosed(): void {}
  }
  const table = new ConnectionTable(
    { maxConnections: 100, lingerTimeout: 5000, highWatermark: 1e9, lowWatermark: 0 },
    {
      makeProtocol: (connection) => new Holder(connection),
      onAccepted: nothing,
      onClosed: nothing,
      onBufferFull: nothing,
      onBufferEmpty: nothing,
      onFault: nothing,
      onShed: (connection) => void shed.push(connection),
    },
    () => time,
  );
  table.memory.limit = limit;
  const lanes: FakeLane[] = [];
  return {
    table,
    shed,
    add(): { connection: Connection; holder: Holder; lane: FakeLane } {
      const lane = new FakeLane();
      lanes.push(lane);
      const connection = table.accept(laneOnly(lane))!;
      return { connection, holder: connection.protocol as Holder, lane };
    },
    pass(ms: number): void {
      for (const end = time + ms; time < end;) {
        time += 250;
        table.tick();
      }
    },
    end: () => lanes.forEach((lane) => lane.abort()),
  };
}

test("at the limit nobody is closed, one byte above it whoever holds most is, and nobody else", async () => {
  const { table, shed, add, end } = holders(64 * KIB);
  const [small, large, middle] = [add(), add(), add()];
  const hold = async ({ holder, lane }: ReturnType<typeof add>, bytes: number) => {
    holder.heldBytes = bytes;
    lane.receive(PIECE.subarray(0, 16 * KIB));
    await settle();
  };
  await hold(small, 4 * KIB);
  await hold(large, 40 * KIB);
  await hold(middle, 20 * KIB);
  assertEquals([table.memory.held, shed.length], [64 * KIB, 0]);
  await hold(small, 4 * KIB + 1);
  assertEquals(shed, [large.connection]);
  assertEquals([table.memory.held, large.connection.isOpen], [24 * KIB + 1, false]);
  end();
  assertEquals(table.memory.held, 0);
});

test("a connection that has given back what it held is not closed", async () => {
  const { table, shed, add, end } = holders(64 * KIB);
  const [one, other] = [add(), add()];
  one.holder.heldBytes = 60 * KIB;
  one.lane.receive(PIECE.subarray(0, 16 * KIB));
  one.holder.heldBytes = 0; // its message was complete
  other.holder.heldBytes = 60 * KIB;
  other.lane.receive(PIECE.subarray(0, 16 * KIB));
  await settle();
  assertEquals([table.memory.held, shed.length], [60 * KIB, 0]);
  end();
});

test("what has stopped arriving makes room for newcomers after five seconds, the rest after fifteen", () => {
  const { table, shed, add, pass, end } = holders(64 * KIB);
  const [silent, slow] = [add(), add()];
  silent.holder.heldBytes = 20 * KIB;
  silent.lane.receive("x");
  slow.holder.heldBytes = 32 * KIB;
  const trickle = (ms: number) => {
    for (let at = 0; at < ms; at += 1000) {
      slow.lane.receive("x");
      pass(1000);
    }
  };
  trickle(4000);
  assertEquals([table.memory.isScarce, shed.length], [true, 0]);
  trickle(2000);
  assertEquals(shed, [silent.connection]);
  assertEquals(table.memory.isScarce, false);
  const more = add();
  more.holder.heldBytes = 20 * KIB;
  const both = (ms: number) => {
    for (let at = 0; at < ms; at += 1000) {
      more.lane.receive("x");
      trickle(1000);
    }
  };
  both(14_000);
  assertEquals([table.memory.isScarce, shed.length], [true, 1]);
  both(3000);
  assertEquals(shed, [silent.connection, slow.connection]);
  end();
});

test("what waits to be sent counts, but for what many share; above the limit those who take nothing are closed", () => {
  const { table, shed, add, pass, end } = holders(64 * KIB);
  const [deaf, reader, crowd] = [add(), add(), add()];
  for (const { lane } of [deaf, reader, crowd]) lane.takes = false;
  crowd.connection.append(new Uint8Array(MIB), { waits: 0 });
  deaf.connection.appendCopy(new Uint8Array(30 * KIB));
  reader.connection.appendCopy(new Uint8Array(30 * KIB));
  for (const { connection } of [deaf, reader]) connection.flush(); // the end of the turn
  pass(250);
  assertEquals([table.memory.held, shed.length], [60 * KIB, 0]);
  for (let i = 0; i < 6; i++) {
    reader.connection.flush();
    reader.lane.sink.onDrain();
    reader.connection.appendCopy(new Uint8Array(30 * KIB));
    reader.connection.flush();
    pass(1000);
  }
  assertEquals(shed, [deaf.connection]);
  assertEquals([deaf.lane.aborted, reader.lane.aborted, crowd.lane.aborted], [true, false, false]);
  end();
});

test("a frame that many wait for counts by a part for each of them", () => {
  const { table, add, pass, end } = holders(MIB);
  const [first, second, third, free] = [add(), add(), add(), add()];
  for (const { lane } of [first, second, third, free]) lane.takes = false;
  for (const { connection } of [first, second, third]) {
    connection.appendCopy(new Uint8Array(10));
    connection.flush();
  }
  const frame = new Uint8Array(6000);
  const sharing = { waits: 0 };
  for (const { connection } of [free, first, second, third]) connection.append(frame, sharing);
  for (const { connection } of [free, first, second, third]) connection.flush();
  pass(250);
  // The free ones learn only at the end of the turn that they have to wait, and share what they pay.
  assertEquals([free, first, second, third].map(({ connection }) => connection.heldOutput), [6000, 6010, 3010, 2010]);
  assertEquals(table.memory.held, 17_030);
  first.connection.append(new Uint8Array(6000), { waits: 0 }); // another frame
  pass(250);
  assertEquals(first.connection.heldOutput, 12_010);
  end();
});

test("frames that were joined for many count by a part for each of those who wait for them", () => {
  const { table, add, pass, end } = holders(MIB);
  const [one, other, reader] = [add(), add(), add()];
  for (const { lane } of [one, other]) lane.takes = false;
  const frames = [new Uint8Array(4000), new Uint8Array(4000)];
  for (const { connection } of [one, other, reader]) for (const frame of frames) connection.append(frame, { waits: 0 });
  for (const { connection } of [reader, one, other]) connection.flush();
  pass(250);
  assertEquals([one, other, reader].map(({ connection }) => connection.heldOutput), [8000, 4000, 0]);
  assertEquals(table.memory.held, 12_000);
  end();
});

test("frames that nothing waits before count for those whose lane does not take them: for each the rest, by a part", () => {
  const { table, add, pass, end } = holders(64 * MIB);
  const [one, other, reader] = [add(), add(), add()];
  for (const { lane } of [one, other]) lane.takes = false;
  const large = { bytes: new Uint8Array(2 * MIB), sharing: { waits: 0 } };
  const others = Array.from({ length: 4 }, () => ({ bytes: new Uint8Array(60 * KIB), sharing: { waits: 0 } }));
  for (const { connection } of [reader, one, other]) {
    for (const { bytes, sharing } of [...others, large]) connection.append(bytes, sharing);
  }
  for (const { connection } of [reader, one, other]) connection.flush();
  pass(250);
  const whole = 2 * MIB + 240 * KIB;
  assertEquals([one, other, reader].map(({ connection }) => connection.heldOutput), [whole, whole / 2, 0]);
  for (let i = 0; i < 4; i++) one.lane.sink.onDrain();
  one.lane.takes = other.lane.takes = true;
  for (const { lane } of [one, other]) lane.sink.onDrain();
  pass(250);
  assertEquals(table.memory.held, 0);
  end();
});

test("of a frame that the lane takes in part, the rest counts; and of the bytes around it only itself", () => {
  const { table, add, pass, end } = holders(64 * MIB);
  const { connection, lane } = add();
  lane.takes = false;
  connection.append(new Uint8Array(300 * KIB), { waits: 0 });
  connection.appendCopy(new Uint8Array(10));
  connection.flush();
  pass(250);
  assertEquals(table.memory.held, 300 * KIB + 10);
  lane.takes = true;
  lane.sink.onDrain();
  assertEquals([connection.queuedBytes, connection.heldOutput], [0, 0]);
  end();
});

for (const way of ["text", "prepared", "published"] as const) {
  test(`a peer that reads does not hide what another one makes the server hold: ${way}`, async () => {
    await trying({ max_buffer_memory: 64 * MIB }, async ({ server, memory, webSocket }) => {
      const [fast, deaf] = [webSocket(), webSocket()];
      const [one, other] = [...server.connections].slice(-2);
      for (const fd of [one, other]) server.subscribe(fd, "room");
      server.on("message", (server, frame) => {
        if (way === "published") return void server.publish("room", frame);
        const message = way === "text" ? frame.data : server.prepare(frame);
        for (const fd of [one, other]) server.push(fd, message);
      });
      deaf.takes = false;
      const size = 20 * KIB;
      for (let i = 0; i < 51; i++) { // the first one of them is under way to the deaf one
        fast.receive(frame({ opcode: 1, payload: String(i).padEnd(size, "x") }));
        await settle();
      }
      coreOf(server).context.table!.tick();
      assertGreater(memory.held, 49 * size);
      assertLessOrEqual(memory.held, 52 * (size + 10));
    });
  });
}

test("everything that a peer makes a server hold is counted", async () => {
  const handlers: (() => void)[] = [];
  const wait = () => new Promise<void>((resolve) => handlers.push(resolve));
  const size = 20 * KIB;
  const webSocket = () => {
    const server = new WebSocketServer();
    server.set({ max_handlers_per_connection: 1 });
    server.on("message", wait);
    server.on("request", async (request) => {
      if (request.get.read === "1") await request.bytes();
      await wait();
    });
    return server;
  };
  const raw = (settings: ServerSettings) => {
    const server = new Server();
    server.set({ max_handlers_per_connection: 1, ...settings });
    server.on("receive", wait);
    return server;
  };
  const streamed = () => {
    const server = webSocket();
    server.set({ http_stream_body: true });
    return server;
  };
  const http = (body: string) => `POST /?read=1 HTTP/1.1\r\nHost: x\r\nContent-Length: ${2 * size}\r\n\r\n${body}`;
  const message = frame({ opcode: 2, payload: new Uint8Array(size) });
  const half = new Uint8Array(size);
  const cases: [string, () => Server, (string | Uint8Array)[]][] = [
    ["an unfinished head", webSocket, [`GET / HTTP/1.1\r\nx: ${"y".repeat(size)}`]],
    ["an unfinished body", webSocket, [http("y".repeat(size))]],
    ["a body while its handler works", webSocket, [http("y".repeat(2 * size))]],
    ["a body that the program collects", streamed, [http("y".repeat(size))]],
    ["what is read ahead", webSocket, [`${GET}${GET.padEnd(size)}`]],
    ["an unfinished message", webSocket, [handshake(), message.subarray(0, size)]],
    ["messages that wait for handlers", webSocket, [handshake(), message, message]],
    ["chunks that wait for handlers", () => raw({}), ["x", half]],
    ["an unfinished package", () => raw({ open_eof_check: true }), [half]],
    ["what arrives behind enable_delay_receive", () => {
      const server = raw({ enable_delay_receive: true });
      server.on("connect", () => {});
      return server;
    }, [half]],
  ];
  for (const [what, make, sent] of cases) {
    const server = make();
    const lane = new FakeLane();
    server.set({ websocket_close_timeout: 0.01, log_level: 6 });
    server.accept(laneOnly(lane));
    for (const data of sent) {
      lane.receive(data);
      await settle();
    }
    const table = coreOf(server).context.table!;
    table.tick();
    const { held } = table.memory;
    assert(held >= size - 14 && held < 4.5 * size, `${what}: ${held} bytes are counted for ${size}`);
    lane.abort();
    assertEquals(table.memory.held, 0, what);
    server.shutdown(0);
    for (const done of handlers.splice(0)) done();
    await server.finished;
  }
});

test("messages that wait for recv() count, and what the program has left behind does not", async () => {
  const size = 20 * KIB;
  const server = new coroutine.HttpServer("127.0.0.1");
  server.set({ max_buffer_memory: size, log_level: 6, websocket_close_timeout: 0.01 });
  let leave = () => {};
  server.handle("/", async (_request, response) => {
    if (await response.upgrade()) await new Promise<void>((resolve) => leave = resolve);
  });
  const enter = (...sent: (string | Uint8Array)[]) => {
    const lane = new FakeLane();
    server.accept(laneOnly(lane));
    for (const data of sent) lane.receive(data);
    return lane;
  };
  const busy = enter(handshake());
  await settle();
  assertEquals(statusOf(busy), 101);
  busy.receive(frame({ opcode: 2, payload: new Uint8Array(size - 500) }));
  assertEquals(statusOf(enter(handshake())), 503);
  busy.abort();
  leave();
  const next = enter(handshake());
  await settle();
  assertEquals(statusOf(next), 101);
  server.shutdown(0);
  leave();
  await server.finished;
});

test("the default of max_buffer_memory is a quarter of the memory, at least 64 MiB", () => {
  assertEquals(defaultBufferMemory(8 * 1024 * MIB), 2 * 1024 * MIB);
  assertEquals(defaultBufferMemory(256 * MIB + 4), 64 * MIB + 1);
  assertEquals(defaultBufferMemory(100 * MIB), 64 * MIB);
  assertEquals(defaultBufferMemory(undefined), 256 * MIB);
  const available = memoryLimit();
  assert(available === undefined || (Number.isSafeInteger(available) && available > 16 * MIB), `${available}`);
});

test("nobody is closed where that would not help: what is being taken is too much by itself", async () => {
  const { table, shed, add, pass, end } = holders(64 * KIB);
  const [reader, small] = [add(), add()];
  reader.lane.takes = false;
  small.holder.heldBytes = 100;
  const takeSome = () => {
    reader.lane.sink.onDrain();
    for (let i = 0; i < 3; i++) reader.connection.appendCopy(new Uint8Array(30 * KIB));
    reader.connection.flush();
  };
  for (let i = 0; i < 3; i++) reader.connection.appendCopy(new Uint8Array(30 * KIB));
  reader.connection.flush();
  small.lane.receive("x");
  for (let i = 0; i < 20; i++) {
    takeSome();
    pass(1000);
  }
  await settle();
  assertEquals([table.memory.held > 64 * KIB, table.memory.isScarce, shed.length], [true, true, 0]);
  end();
});

test("a burst that those who idle take at once closes nobody", async () => {
  const { table, shed, add, pass, end } = holders(64 * KIB);
  const readers = Array.from({ length: 20 }, () => add());
  const input = add();
  input.holder.heldBytes = 100;
  input.lane.receive("x");
  pass(10_000);
  for (const { connection } of readers) connection.appendCopy(new Uint8Array(20 * KIB));
  assertGreater(table.memory.held, 64 * KIB);
  await settle();
  assertEquals([table.memory.held, shed.length], [100, 0]);
  for (const { lane } of readers) lane.takes = false;
  for (const { connection } of readers) connection.appendCopy(new Uint8Array(20 * KIB));
  await settle(); // they have not taken it, but have had no time for it either
  assertEquals(shed.filter((connection) => connection !== input.connection), []);
  end();
});

test("what a lane has not taken is counted, also of what was never queued", async () => {
  const { table, add, end } = holders(1000 * KIB);
  const { connection, lane } = add();
  lane.takes = false;
  connection.appendCopy(new Uint8Array(250 * KIB));
  table.tick();
  assertEquals(table.memory.held, 250 * KIB);
  lane.sink.onDrain();
  table.tick();
  await settle();
  assertEquals(table.memory.held, 0);
  end();
});

/** How many requests with a body of so many bytes there may be whose handlers wait, and which statuses the others get. */
for (const size of [200 * KIB, 2 * MIB - 1]) {
  test(`bodies of ${size} bytes whose handlers wait do not exceed max_buffer_memory: the others get 503`, async () => {
    const limit = 8 * MIB;
    await trying({ max_buffer_memory: limit, package_max_length: 4 * MIB }, async ({ server, memory, open }) => {
      let handled = 0;
      server.on("request", () => {
        handled++;
        return new Promise<void>(() => {});
      });
      const lanes = Array.from({ length: 60 }, () => open());
      for (const lane of lanes) {
        lane.receive(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`);
        for (let sent = 0; sent < size; sent += PIECE.length) {
          lane.receive(PIECE.subarray(0, Math.min(PIECE.length, size - sent)));
          await Promise.resolve();
        }
        await settle();
        assertLessOrEqual(memory.held, limit + MIB);
      }
      assertGreater(handled, 2);
      assertLessOrEqual(handled * size, limit + 32 * KIB);
      const refused = lanes.filter((lane) => lane.ended);
      assertEquals(refused.length, lanes.length - handled);
      for (const lane of refused) assert([408, 503].includes(statusOf(lane)), lane.text);
    });
  });
}

test("what clients send behind requests that are handled is given back, and newcomers get in again", async () => {
  await trying({ max_buffer_memory: 2 * MIB }, async ({ server, memory, open, refusals }) => {
    server.on("request", () => new Promise<void>(() => {}));
    const lanes = Array.from({ length: 60 }, () => open());
    for (const lane of lanes) {
      lane.receive(GET);
      lane.receive(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n${"x".repeat(60_000)}`);
      await settle();
      assertLessOrEqual(memory.held, 2 * MIB + 64 * KIB);
    }
    assertEquals(lanes.filter((lane) => lane.ended || lane.aborted).length, 0); // the responses are still to come
    const { kind, status, setting } = refusals.find(({ kind }) => kind === "request")!;
    assertEquals([kind, status, setting], ["request", 0, "max_buffer_memory"]);
  });
});
