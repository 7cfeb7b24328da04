import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { setImmediate } from "node:timers/promises";
import { test } from "node:test";
import { type ClientInfo, swooleStrerror, WebSocketServer } from "../../mod.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { EventLog, textOf } from "./event_log.ts";

const KIB = 1024;
const CHUNK = new Uint8Array(64 * KIB).fill(7);

/** Pushes until the queue is full. Returns how many were taken. */
async function fill(server: WebSocketServer, fd: number, between: () => unknown): Promise<number> {
  for (let sent = 0; sent < 1000; sent++) {
    if (!server.push(fd, CHUNK, 2)) return sent;
    await between();
  }
  throw new Error("The queue is never full");
}

/** A server with a queue of 1 MiB per connection that tells how full it is. */
function pressedServer(log: EventLog, settings: Record<string, number> = {}): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ socket_buffer_size: 1024 * KIB, ...settings });
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  for (const event of ["bufferFull", "bufferEmpty", "drain"] as const) {
    server.on(event, (it, fd) => log.add(`${event} ${it === server} ${fd}`));
  }
  return server;
}

test("push() is refused with 1009 when the queue is full, and works again when it has drained", async () => {
  const log = new EventLog();
  await serving(pressedServer(log), async (server, port) => {
    const client = await RawClient.open(port);
    let sent = 0;
    while (sent < 1000 && server.push(1, CHUNK, 2)) sent++; // the system takes some of it at once
    assertEquals(server.getLastError(), 1009);
    assertEquals(swooleStrerror(1009), "Output buffer overflow");
    assert(sent >= 15, `${sent} were taken`); // with its header the 16th would exceed 1 MiB
    await log.count(1);
    assertEquals(log.lines, ["bufferFull true 1"]);
    assertEquals([server.isEstablished(1), server.send(1, CHUNK), server.ping(1, "x")], [true, false, true]);

    for (let i = 0; i < sent; i++) assertEquals((await client.readFrame())?.payload.length, CHUNK.length);
    assertEquals((await client.readFrame())?.opcode, 9);
    await log.count(3);
    assertEquals(log.lines, ["bufferFull true 1", "bufferEmpty true 1", "drain true 1"]);
    assertEquals(server.push(1, "again"), true);
    assertEquals(textOf(await client.readFrame()), "again");
    client.destroy();
  });
});

test("bufferFull and bufferEmpty come at the watermarks that are set", async () => {
  const log = new EventLog();
  const marks = { buffer_high_watermark: 300 * KIB, buffer_low_watermark: 100 * KIB };
  const server = pressedServer(log, marks);
  const queued: number[] = [];
  server.on("bufferEmpty", (server, fd) => {
    const info = server.getClientInfo(fd);
    queued.push(info === false ? -1 : info.send_queued_bytes);
    log.add("bufferEmpty");
  });
  await serving(server, async (server, port) => {
    const client = await RawClient.open(port);
    const queuedNow = () => (server.getClientInfo(1) as ClientInfo).send_queued_bytes;
    let sent = 0;
    for (; sent < 1000 && queuedNow() < marks.buffer_high_watermark; sent++) server.push(1, CHUNK, 2);
    assertEquals(log.lines, []); // not from inside of a push
    await log.count(1);
    assertEquals(log.lines, ["bufferFull true 1"]);
    assert(queuedNow() >= marks.buffer_high_watermark);
    for (let i = 0; i < 3; i++) server.push(1, CHUNK, 2);
    for (let i = 0; i < sent + 3; i++) await client.readFrame();
    await log.until("bufferEmpty");
    assertEquals(log.lines, ["bufferFull true 1", "bufferEmpty", "drain true 1"]);
    assertLessOrEqual(queued[0], marks.buffer_low_watermark);
    client.destroy();
  });
});

test("a client that does not read fills its queue, and gets everything when it reads again", async () => {
  const log = new EventLog();
  await serving(pressedServer(log), async (server, port) => {
    const slow = await RawClient.open(port);
    const quick = await RawClient.open(port);
    slow.socket.pause();
    const sent = await fill(server, 1, setImmediate); // whatever the system takes leaves meanwhile
    assertEquals(server.getLastError(), 1009);
    const info = server.getClientInfo(1);
    assertGreater(info && info.send_queued_bytes, 1024 * KIB - 2 * CHUNK.length);
    assertLessOrEqual(info && info.send_queued_bytes, 1024 * KIB);

    // The others do not notice.
    quick.send(frame({ opcode: 1, payload: "hello" }));
    assertEquals(textOf(await quick.readFrame()), "hello");
    assertEquals(server.push(2, "to you"), true);
    assertEquals(textOf(await quick.readFrame()), "to you");

    slow.socket.resume();
    for (let i = 0; i < sent; i++) assertEquals((await slow.readFrame())?.payload.length, CHUNK.length);
    await log.until("drain true 1");
    assertEquals(server.push(1, "again"), true);
    assertEquals(textOf(await slow.readFrame()), "again");
    for (const client of [slow, quick]) client.destroy();
  });
});

test("a client is not read while it does not read what it is sent", async () => {
  const log = new EventLog();
  const server = pressedServer(log);
  let handled = 0;
  server.on("message", () => void handled++);
  await serving(server, async (server, port) => {
    const client = await RawClient.open(port);
    client.socket.pause();
    await fill(server, 1, setImmediate);
    assertEquals(log.lines.includes("bufferFull true 1"), true);
    const before = server.stats().total_recv_bytes;
    client.send(frame({ opcode: 1, payload: "are you listening?" }));
    const other = await RawClient.open(port);
    other.send(frame({ opcode: 1, payload: "I am heard" }));
    while (handled === 0) await setImmediate();
    assertEquals(handled, 1);
    assertLessOrEqual(server.stats().total_recv_bytes - before, 400); // nothing but what the other one sent

    client.socket.resume();
    while (handled === 1) await setImmediate();
    assertEquals(handled, 2);
    for (const one of [client, other]) one.destroy();
  });
});

test("a message of any size is taken when nothing is queued", async () => {
  await serving(pressedServer(new EventLog()), async (server, port) => {
    const client = await RawClient.open(port);
    assertEquals(server.push(1, new Uint8Array(16 << 20), 2), true);
    assertEquals([server.push(1, "x"), server.getLastError()], [false, 1009]);
    assertEquals((await client.readFrame())?.payload.length, 16 << 20);
    client.destroy();
  });
});
