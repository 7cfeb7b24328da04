// Subscribes and publishes in ways that could leave something in memory. Prints what is held after each, in bytes.

import { coreOf } from "../../src/server/server_connections.ts";
import { settle } from "../support/activity.ts";
import { heldBytes } from "../support/garbage.ts";
import { closeFrame } from "../support/raw_client.ts";
import { block, join, joinTopic, quietServer, says } from "./stage.ts";

const server = quietServer({ topic_slow_readers: { "price *": "latest", "*": "drop" }, package_max_length: 2 ** 21 });
server.on("message", (server, frame) => void server.subscribe(frame.fd, String(frame.data).slice(0, 100)));

async function report(): Promise<void> {
  await settle();
  console.log(await heldBytes());
}

/** 200 connections come, subscribe to 100 topics each, and go. */
async function crowd(): Promise<void> {
  const members = Array.from({ length: 200 }, () => join(server));
  for (const [index, { fd }] of members.entries()) {
    for (let i = 0; i < 100; i++) server.subscribe(fd, `topic ${(index * 7 + i) % 500}`);
  }
  server.broadcast("hello");
  await settle();
  for (const { lane } of members) lane.receive(closeFrame(1000));
  for (const { lane } of members) lane.sink.onClose();
}

await crowd();
await report(); // how it begins

for (let i = 0; i < 10; i++) await crowd();
await report(); // as it began

const talker = join(server);
for (let i = 0; i < 200; i++) says(talker, `${i} `.padEnd(100, "t") + "x".repeat(2 ** 20));
await report(); // 200 topics of 100 bytes, of messages of 1 MiB

const readers = joinTopic(server, 20, "price 1");
for (const reader of readers) {
  block(reader);
  server.push(reader.fd, new Uint8Array(70_000));
}
for (let i = 0; i < 200; i++) server.publish("price 1", new Uint8Array(2 ** 20));
await report(); // 20 queues of 70,000 bytes, and one message of 1 MiB

for (const fd of server.connections) server.close(fd, true);
await report(); // as it began
const { topics } = coreOf(server).context;
console.log(topics!.size + topics!.subscriberSize + topics!.subscriptionCount);
