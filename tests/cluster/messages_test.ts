// sendMessage() and pipeMessage between processes, joined in memory.

import { assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { deserialize, serialize } from "../../adapters/serializing.ts";
import { type LogRecord, PipeMessage, type WebSocketServer } from "../../mod.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { WorkerMessages } from "../../src/server/worker_messages.ts";
import { settle } from "../support/activity.ts";
import { quietServer } from "../topics/stage.ts";
import { joined, MemoryNet, Node } from "./stage.ts";

const serializer = { serialize, deserialize };

/** Two workers and a master, and what they have heard. */
async function messaging(
  test: (messages: WorkerMessages[], servers: WebSocketServer[], heard: unknown[][], nodes: Node[]) => unknown,
): Promise<void> {
  const nodes = [0, 1, 2].map((slot) => new Node(slot, {}, false));
  const heard: unknown[][] = [[], [], []];
  const servers = nodes.map(() => quietServer());
  const messages = nodes.map(({ mesh }, i) => {
    servers[i].on("pipeMessage", (_server, from, data) => void heard[i].push([from, data]));
    return new WorkerMessages(coreOf(servers[i]).context, mesh, serializer, 2);
  });
  await joined(new MemoryNet(), nodes);
  try {
    await test(messages, servers, heard, nodes);
  } finally {
    await Promise.all(nodes.map(({ mesh }) => mesh.close()));
  }
}

test("values go to workers and to the master, in order", () =>
  messaging(async ([master, one, two], _servers, heard) => {
    const value = { text: "é", list: [1, undefined, 2n], map: new Map([["a", new Date(0)]]), bytes: new Uint8Array([1, 2, 3]) };
    assertEquals([one.send(value, 1), one.send("second", 1), two.send(null, 0), two.send("up", -1), master.send("down", 0)], [
      0,
      0,
      0,
      0,
      0,
    ]);
    value.bytes.fill(0);
    await settle();
    assertEquals(heard[2].length, 2);
    const [[from, first], second] = heard[2] as [[number, typeof value], unknown];
    assertEquals([from, { ...first, bytes: [...first.bytes] }, second], [0, { ...value, bytes: [1, 2, 3] }, [0, "second"]]);
    assertEquals([heard[1].length, heard[0]], [2, [[1, "up"]]]);
  }));

test("workers that do not exist, oneself, what cannot be cloned, and a queue that is full", () =>
  messaging(async ([, one], _servers, _heard, nodes) => {
    assertEquals([2, -2, 0.5, NaN, "1" as never, 0].map((id) => one.send("x", id)), [505, 505, 505, 505, 505, 505]);
    assertThrows(() => one.send(() => {}, 1), Error, "cannot be cloned");
    assertEquals(one.send(new Uint8Array(1024 * 1024), 1), 1009);
    await nodes[2].mesh.close();
    await nodes[1].until("-2");
    assertEquals(one.send("x", 1), 32);
  }));

test("a value is not serialized for a queue that is full, or for nobody", async () => {
  const nodes = [1, 2].map((slot) => new Node(slot, { bufferSize: 1000 }, false));
  let count = 0;
  const counting = {
    deserialize: (bytes: Uint8Array) => new TextDecoder().decode(bytes),
    serialize: (value: unknown) => {
      count++;
      return new TextEncoder().encode(value as string);
    },
  };
  const { context } = coreOf(quietServer());
  const [sender] = nodes.map(({ mesh }) => new WorkerMessages(context, mesh, counting, 2));
  await joined(new MemoryNet(), nodes);
  assertEquals([sender.send("x", 2), sender.send("x", 0), count], [505, 505, 0]);
  assertEquals([sender.send("x".repeat(2000), 1), count], [1009, 1]); // too large
  let sent = 0;
  while (sender.send("x".repeat(100), 1) === 0) sent++;
  while (sender.send("x", 1) === 0);
  assertEquals([sent >= 5, sent < 10], [true, true]);
  const before = count;
  assertEquals([sender.send("x", 1), sender.send(() => {}, 1), count], [1009, 1009, before]);
  await settle();
  assertEquals([sender.send("x", 1), count], [0, before + 1]);
  await nodes[1].mesh.close();
  await nodes[0].until("-2");
  assertEquals([sender.send("x", 1), count], [32, before + 1]);
  await nodes[0].mesh.close();
});

test("messages without a handler are reported, once a minute, and those that are damaged to error", async () => {
  const nodes = [1, 2].map((slot) => new Node(slot, {}, false));
  const server = quietServer();
  const logged: string[] = [];
  const errors: unknown[] = [];
  server.set({ log_level: 0, logger: ({ message }: LogRecord) => void logged.push(message) });
  server.on("error", (_server, error) => void errors.push(error));
  new WorkerMessages(coreOf(server).context, nodes[0].mesh, serializer, 2);
  const other = quietServer();
  const sender = new WorkerMessages(coreOf(other).context, nodes[1].mesh, {
    ...serializer,
    serialize: (value) => value === "damaged" ? new Uint8Array([1, 2]) : serializer.serialize(value),
  }, 2);
  await joined(new MemoryNet(), nodes);
  for (let i = 0; i < 3; i++) assertEquals(sender.send("x", 0), 0);
  await settle();
  assertEquals(logged, ["A message of worker 1 is lost: there is no handler for pipeMessage"]);
  server.on("pipeMessage", () => {
    throw new Error("of the handler");
  });
  sender.send("damaged", 0);
  sender.send("x", 0);
  await settle();
  assertEquals([errors.length, String(errors[1])], [2, "Error: of the handler"]);
  await Promise.all(nodes.map(({ mesh }) => mesh.close()));
});

test("event_object: pipeMessage receives a PipeMessage", () =>
  messaging(async ([, , one], [, server]) => {
    const got: PipeMessage[] = [];
    server.set({ event_object: true });
    server.on("pipeMessage", (_server, message: unknown) => void got.push(message as PipeMessage));
    assertEquals(one.send({ a: [1] }, 0), 0);
    await settle();
    const [{ source_worker_id, data, dispatch_time }] = got;
    assertEquals([got[0] instanceof PipeMessage, source_worker_id, data], [true, 1, { a: [1] }]);
    assertEquals(Math.abs(Date.now() / 1000 - dispatch_time) < 60, true);
  }));
