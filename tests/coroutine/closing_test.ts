/** The end of a WebSocket while the program is still busy with what came before it. */

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { settle } from "../support/memory_client.ts";
import { requestOf, scripted, switching } from "../client/client_stage.ts";
import { arrive, framesIn, next, openLane, rest, sent } from "./stage.ts";

/** Waits until a connection has been ended, with patience. */
async function ended(lane: { ended: boolean }): Promise<void> {
  while (!lane.ended) await new Promise((resolve) => setTimeout(resolve, 20));
}

test("a Close that the program never comes to is answered all the same, and is received later", async () => {
  const { ws, lane } = await openLane({ websocket_close_timeout: 0.2 });
  arrive(lane, sent(1, "x"), sent(8, [3, 232]));
  await ended(lane);
  assertEquals(framesIn(lane.text), ["88 1000"]);
  assertEquals(await rest(ws), ["1 x", "close 1000", '""']);
});

test("a broken rule that the program never comes to ends the connection all the same, and is told later", async () => {
  const { ws, lane } = await openLane({ websocket_close_timeout: 0.2 });
  arrive(lane, sent(1, "x"), sent(3));
  await ended(lane);
  assertEquals(framesIn(lane.text), ["88 1002 the opcode is reserved"]);
  assertEquals(await rest(ws), ["1 x", "false 8506"]);
});

test("a program that pushes for ever and does not receive learns of the end by push()", async () => {
  for (const last of [sent(3), sent(8, [3, 232])]) {
    const { ws, lane } = await openLane({ websocket_close_timeout: 0.2 });
    arrive(lane, sent(1, "x"), last);
    assertEquals(await next(ws), "1 x");
    while (await ws.push("tick")) await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals(lane.ended, true);
  }
});

test("answers to the messages before the peer's Close still go out before ours", async () => {
  const { ws, lane } = await openLane();
  arrive(lane, sent(1, "a"), sent(1, "b"), sent(8, [3, 232]));
  for await (const frame of ws) await ws.push(`re ${frame.data}`);
  await settle();
  assertEquals([framesIn(lane.text), lane.ended], [["81 re a", "81 re b", "88 1000"], true]);
});

test("disconnect() with messages that were not received: those stay, later ones are dropped, the peer's Close is found", async () => {
  const { ws, lane } = await openLane();
  arrive(lane, sent(1, "a"));
  assertEquals(ws.disconnect(4000), true);
  arrive(lane, sent(1, "dropped"), sent(8, [0x0f, 0xa0]));
  assertEquals(await rest(ws), ["1 a", "close 4000", '""']);
  assertEquals([framesIn(lane.text), lane.ended], [["88 4000"], true]);
});

test("a client that is closed in the moment in which the 101 arrives leaves no WebSocket open", async () => {
  const { client, lane } = scripted();
  const opening = client.upgrade("/");
  lane.receive(switching(await requestOf(lane)));
  client.close();
  assertEquals([await opening, client.connected, lane.ended || lane.aborted], [false, false, true]);
});
