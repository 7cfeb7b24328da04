/** What a client holds, and how long it waits, of what its server sends. */

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { opened } from "./client_stage.ts";
import { awake, framesIn, next, served } from "../coroutine/stage.ts";

test("input_buffer_size of a client: messages that nobody receives are read up to it", async () => {
  const { client, lane } = await opened({ input_buffer_size: 10_000 });
  for (let i = 0; i < 9; i++) lane.receive(served(2, new Uint8Array(680))); // each counts 1,000
  assertEquals(lane.paused, false);
  lane.receive(served(2, new Uint8Array(680)));
  assertEquals(lane.paused, true);
  for (let i = 0; i < 5; i++) await client.recv();
  assertEquals(lane.paused, true);
  await client.recv();
  assertEquals(lane.paused, false);
  client.close();
});

test("websocket_message_timeout of a client: a message whose rest does not come is closed with 1008", async () => {
  const { client, lane } = await opened({ websocket_message_timeout: 0.3 });
  lane.receive(served(1, "half").slice(0, 3));
  assertEquals(await awake(next(client)), "false 8506");
  assertEquals(framesIn(lane.text), ["m88 1008 the message takes too long"]);
});
