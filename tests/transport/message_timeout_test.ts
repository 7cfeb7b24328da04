// `websocket_message_timeout`: from the beginning of a message to its end, whatever is in between, and not over several.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type Runtime, WebSocketServer } from "../../mod.ts";
import { closeCodeOf } from "../server/event_log.ts";
import { ownLanes, servingOn } from "../support/lanes.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { together } from "../support/together.ts";

/** Runs a server whose messages may take two seconds. */
async function impatient(runtime: Runtime, work: (client: RawClient) => Promise<void>): Promise<void> {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ websocket_message_timeout: 2 });
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.open(port);
    await work(client);
    client.destroy();
  });
}

const checks: [title: string, check: (client: RawClient) => Promise<void>][] = [
  ["a peer that is always in some message is not late, as long as each of them ends", async (client) => {
    const message = frame({ opcode: 2, payload: new Uint8Array(1000) });
    const twice = new Uint8Array(2 * message.length);
    twice.set(message);
    twice.set(message, message.length);
    client.send(message.subarray(0, 500));
    let count = 0;
    // From the middle of one to the middle of the next one, for longer than the time of any.
    for (const end = performance.now() + 4500; performance.now() < end && !client.ended; count++) {
      client.send(twice.subarray(500, 500 + message.length));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    client.send(message.subarray(500));
    client.send(frame({ opcode: 8, payload: [3, 232] }));
    for (let i = 0; i <= count; i++) assertEquals((await client.readFrame())?.opcode, 2, "the connection was closed");
    assertEquals(closeCodeOf(await client.readFrame()), 1000);
    assert(count > 0);
  }],
  ["a peer that floods with fragments of one message is late", async (client) => {
    const one = frame({ opcode: 0, fin: false });
    const many = new Uint8Array(one.length * 10_000);
    for (let i = 0; i < 10_000; i++) many.set(one, i * one.length);
    client.send(frame({ opcode: 1, fin: false }));
    const sending = (async () => {
      while (!client.ended) {
        await Promise.race([new Promise<void>((resolve) => client.socket.write(many, () => resolve())), client.whenEnded()]);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    assertEquals(closeCodeOf(await client.readFrame()), 1008);
    client.destroy();
    await sending;
  }],
];

for (const [lane, runtime] of ownLanes) {
  const run = together(checks.map(([, check]) => () => impatient(runtime, check)));
  for (const [index, [title]] of checks.entries()) test(`${title} (${lane})`, { timeout: 60_000 }, () => run(index));
}
