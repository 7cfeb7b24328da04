import { assert, assertEquals, assertGreater, assertLessOrEqual, assertThrows } from "@std/assert";
import { test } from "node:test";
import { CloseFrame, Frame } from "../../mod.ts";
import type { HttpResponse } from "../../src/coroutine/mod.ts";
import { lanes } from "../support/lanes.ts";
import { settle } from "../support/memory_client.ts";
import { RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";
import { arrive, awake, drain, framesIn, made, next, openLane, sent, serverWith, servingOn } from "./stage.ts";

const KIB = 1024;
const BIG = new Uint8Array(300 * KIB);

/** An open WebSocket whose peer does not read, with so much on its way that push() has to wait. */
async function stuck(settings = {}): Promise<Awaited<ReturnType<typeof openLane>>> {
  const held = await openLane(settings);
  held.lane.takes = false;
  assertEquals(await held.ws.push(BIG, 2), true); // the first one need not wait, of whatever size
  await settle();
  return held;
}

/** What has become of a promise by now. */
async function now<T>(promise: Promise<T>): Promise<T | "waits"> {
  await settle();
  return Promise.race([promise, Promise.resolve<"waits">("waits")]);
}

/** The frames that were written behind the large one, once everything has been taken. */
async function written({ lane }: { lane: Awaited<ReturnType<typeof openLane>>["lane"] }): Promise<string[]> {
  drain(lane);
  await settle();
  return framesIn(lane.text).filter((frame) => frame.length < 1000);
}

test("a push that finds room is true at once, and what is pushed in one turn leaves in order", async () => {
  const { ws, lane } = await openLane();
  const results = [ws.push("a"), ws.push(new Uint8Array([1]), 2), ws.ping("p"), ws.push("", 1), ws.push("q", 10)];
  assertEquals(await Promise.all(results), Array(5).fill(true));
  await settle();
  assertEquals(framesIn(lane.text), ["81 a", "82 \x01", "89 p", "81", "8a q"]);
  assertEquals(lane.writes.length, 1);
});

test("push() waits while the peer does not read, and goes on when it has read down to the low watermark", async () => {
  const held = await stuck();
  const waiting = held.ws.push("late");
  assertEquals(await now(waiting), "waits");
  held.lane.sink.onDrain(); // the frame's header is gone
  assertEquals(await now(waiting), "waits");
  held.lane.sink.onDrain(); // and 256 KiB
  assertEquals(await now(waiting), true);
  assertEquals(await written(held), ["81 late"]);
});

test("the watermarks can be set", async () => {
  const { ws, lane } = await openLane({ buffer_high_watermark: 1000, buffer_low_watermark: 0 });
  lane.takes = false;
  assertEquals(await now(ws.push("x".repeat(900))), true); // and is written
  assertEquals(await ws.push("x".repeat(200)), true);
  const waiting = ws.push("late");
  lane.sink.onDrain();
  assertEquals(await now(waiting), "waits");
  lane.sink.onDrain();
  assertEquals(await now(waiting), true);
});

test("pushes that wait keep their order, also with pings, and those that come meanwhile are behind them", async () => {
  const held = await stuck();
  const { ws, lane } = held;
  const results = [ws.push("1"), ws.ping("2"), ws.push("3", 1, 0), ws.push("4", 0, 1)];
  assertEquals(await now(results[3]), "waits");
  arrive(lane, sent(9, "auto")); // the answer to a ping need not wait: it may come between
  lane.takes = true;
  lane.sink.onDrain();
  results.push(ws.push("5"));
  assertEquals(await Promise.all(results), Array(5).fill(true));
  assertEquals((await written(held)).filter((frame) => frame !== "8a auto"), ["81 1", "89 2", "01 3", "80 4", "81 5"]);
});

test("a waiting program holds up itself only", async () => {
  const slow = await stuck();
  const quick = await openLane();
  const waiting = slow.ws.push("late");
  assertEquals(await quick.ws.push("now"), true);
  assertEquals([await now(waiting), framesIn(quick.lane.text)], ["waits", ["81 now"]]);
});

test("while push() waits, the peer's messages are read and received", async () => {
  const { ws, lane } = await stuck();
  const waiting = ws.push("late");
  arrive(lane, sent(1, "meanwhile"));
  assertEquals([await now(waiting), lane.paused, await next(ws)], ["waits", false, "1 meanwhile"]);
  drain(lane);
  assertEquals(await now(waiting), true);
});

test("pushes that nobody awaits are queued up to socket_buffer_size, then false with 1009; later ones work again", async () => {
  const held = await stuck({ socket_buffer_size: 10_000 });
  const { ws } = held;
  const results: Promise<boolean>[] = [];
  for (let i = 0; i < 20; i++) results.push(ws.push("x".repeat(872)));
  const outcomes = await Promise.all(results.map((result) => now(result)));
  assertEquals(outcomes, [...Array(10).fill("waits"), ...Array(10).fill(false)]); // 872 and what a frame counts: 1000
  assertEquals(ws.getLastError(), 1009);
  assertEquals((await written(held)).length, 10);
  assertEquals(await Promise.all(results.slice(0, 10)), Array(10).fill(true));
  assertEquals(await ws.push("again"), true);
});

test("one push may be larger than socket_buffer_size, and a small one fits behind none", async () => {
  const { ws } = await stuck({ socket_buffer_size: 1000 });
  const large = ws.push(new Uint8Array(5000), 2);
  assertEquals([await now(large), await now(ws.push("x"))], ["waits", false]);
  assertEquals(ws.getLastError(), 1009);
});

test("a push that waits longer than socket_write_timeout is false with 110, and is not sent; others are", async () => {
  const held = await stuck({ socket_write_timeout: 0.1 });
  const { ws } = held;
  const early = [ws.push("1"), ws.push("2")];
  assertEquals([await Promise.all(early), ws.getLastError()], [[false, false], 110]);
  const later = ws.push("3");
  assertEquals(await written(held), ["81 3"]);
  assertEquals(await later, true);
});

test("socket_send_timeout and socket_timeout stand for socket_write_timeout where that is not set", async () => {
  for (
    const settings of [{ socket_send_timeout: 0.1 }, { socket_timeout: 0.1 }, { socket_send_timeout: 0.1, socket_timeout: 60 }]
  ) {
    const { ws } = await stuck(settings);
    assertEquals([await ws.push("1"), ws.getLastError()], [false, 110]);
  }
});

test("waiting pushes are false when the peer goes away, with 32: FIN, a reset, a Close, a broken rule, keepalive", async () => {
  const ends: [string, (held: Awaited<ReturnType<typeof stuck>>) => unknown][] = [
    ["FIN", ({ lane }) => lane.sink.onEnd()],
    ["RST", ({ lane }) => lane.sink.onClose(new Error("reset"))],
    ["Close", ({ lane }) => arrive(lane, sent(8, [3, 232]))],
    ["violation", ({ lane }) => arrive(lane, sent(3))],
    ["keepalive", () => {}],
  ];
  for (const [how, end] of ends) {
    const held = await stuck(how === "keepalive" ? { websocket_ping_interval: 0.1, websocket_ping_timeout: 0.1 } : {});
    const waiting = [held.ws.push("1"), held.ws.ping(), held.ws.push(new CloseFrame())];
    await end(held);
    assertEquals(await awake(Promise.all(waiting)), [false, false, false], how);
    assertEquals([await held.ws.push("x"), held.ws.getLastError()], [false, 32], how);
  }
});

test("what waits is sent before the Close of disconnect(), or before the end of close(); and when the handler returns", async () => {
  for (
    const [how, tail] of [["disconnect", ["88 4000 bye"]], ["close", []], ["return", ["88 1000"]], ["push", ["88 1000"]]] as const
  ) {
    const held = await stuck();
    const { ws, lane, leave } = held;
    const waiting = [ws.push("1"), ws.push("2")];
    if (how === "disconnect") assertEquals(ws.disconnect(4000, "bye"), true);
    else if (how === "close") assertEquals(ws.close(), true);
    else if (how === "push") waiting.push(ws.push(new CloseFrame()));
    else leave();
    if (how !== "push") assertEquals(await Promise.all(waiting), [true, true], how);
    assertEquals(await written(held), ["81 1", "81 2", ...tail], how);
    assertEquals([lane.ended, await ws.push("x"), ws.getLastError()], [how === "close", false, how === "close" ? 9 : 8503], how);
  }
});

test("push() behind a pushed Close that still waits is false", async () => {
  const held = await stuck();
  const waiting = [held.ws.push(new CloseFrame()), held.ws.push("behind")];
  assertEquals(await written(held), ["88 1000"]);
  assertEquals([await Promise.all(waiting), held.ws.getLastError()], [[true, false], 8503]);
});

test("fragments by flags, and what would mix two messages up is false with 8505", async () => {
  const { ws, lane } = await openLane();
  const results = [
    await ws.push("x", 0),
    await ws.push("a", 1, 0),
    await ws.push("no", 1),
    await ws.ping("p"),
    await ws.push("b", 0, false),
    await ws.push("c", 0, true),
    await ws.push("d"),
  ];
  assertEquals(results, [false, true, false, true, true, true, true]);
  await settle();
  assertEquals(framesIn(lane.text), ["01 a", "89 p", "00 b", "80 c", "81 d"]);
  assertEquals(ws.getLastError(), 8505);
});

test("a frame that was received is forwarded as it is, unmasked; arguments beside a frame are ignored", async () => {
  const { ws, lane } = await openLane();
  arrive(lane, sent(2, "bin"), sent(1, "te", false), sent(0, "xt"));
  await ws.push(await ws.recv() as Frame, 1);
  await ws.push(await ws.recv() as Frame, 2, 0);
  await ws.push(made(1, "mine"));
  await settle();
  assertEquals(framesIn(lane.text), ["82 bin", "81 text", "81 mine"]);
});

test("a CloseFrame, or opcode 8, starts the closing handshake", async () => {
  for (
    const [data, expected] of [["bye", "88 1000 bye"], [Object.assign(new CloseFrame(), { code: 4999 }), "88 4999"]] as const
  ) {
    const { ws, lane } = await openLane();
    assertEquals([await ws.push(data, 8), await ws.push("x"), ws.getLastError(), ws.disconnect()], [true, false, 8503, false]);
    arrive(lane, sent(8, [3, 232]));
    assertEquals([framesIn(lane.text), lane.ended, await next(ws), await next(ws)], [[expected], true, "close 1000", '""']);
  }
});

test("what may not be sent is false with 8505, and nothing is", async () => {
  const { ws, lane } = await openLane();
  const tooLong = "p".repeat(126);
  const bad = [
    ...[3, 4, 7, 11, 15, 16, -1, 256, 1.5, NaN].map((opcode) => ws.push("x", opcode)),
    ws.push(made(3, "x")),
    ws.ping(tooLong),
    ws.push(tooLong, 10),
    ws.push("r".repeat(124), 8),
    ws.push(Object.assign(new CloseFrame(), { code: 1005 })),
    Promise.resolve(ws.disconnect(1006)),
    Promise.resolve(ws.disconnect(1000, "r".repeat(124))),
    Promise.resolve(ws.disconnect(0)),
  ];
  assertEquals(await Promise.all(bad), bad.map(() => false));
  assertEquals(ws.getLastError(), 8505);
  await settle();
  assertEquals(lane.text, "");
  assertEquals([await ws.ping("p".repeat(125)), ws.disconnect(1000, "r".repeat(123))], [true, true]);
});

test("data of another type is refused with a TypeError", async () => {
  const { ws, lane } = await openLane();
  const needed = "a string, a number, a Uint8Array, a Frame or a PreparedMessage is needed";
  const wrongs: [unknown, string][] = [
    [null, `Cannot send null: ${needed}`],
    [undefined, `Cannot send undefined: ${needed}`],
    [{}, `Cannot send an object: ${needed}; use JSON.stringify()`],
    [[], `Cannot send a list: ${needed}; use JSON.stringify()`],
    [true, `Cannot send a boolean: ${needed}`],
    [new ArrayBuffer(1), `Cannot send an object: ${needed}; use new Uint8Array(buffer)`],
    [Promise.resolve("x"), `Cannot send an object: ${needed}; a promise has to be awaited`],
  ];
  for (const [data, message] of wrongs) {
    assertEquals(assertThrows(() => ws.push(data as string), TypeError).message, message);
  }
  await settle();
  assertEquals(lane.text, "");
});

test("bytes are binary unless they are said to be text, a number is its text, and text has to be UTF-8", async () => {
  const { ws, lane } = await openLane();
  assertEquals(await ws.push(new Uint8Array([65])), true);
  assertEquals(await ws.push(new Uint8Array([66]), 1), true);
  assertEquals(await ws.push(made(1, new Uint8Array([67]))), true);
  assertEquals(await ws.push(Object.assign(new Frame(), { data: new Uint8Array([68]) })), true);
  assertEquals(await ws.push(5), true);
  assertEquals(await ws.ping(6), true);
  for (const bad of [new Uint8Array([0xff]), new Uint8Array(600).fill(0xc3)]) {
    assertEquals([await ws.push(bad, 1), ws.getLastError()], [false, 8505]);
    assertEquals(await ws.push(made(1, bad)), false);
  }
  assertEquals(await ws.push(new Uint8Array([0xc3]), 1, false), true); // the rest of the character comes in the next fragment
  assertEquals([await ws.push("x", 0, true), ws.getLastError()], [false, 8505]);
  assertEquals(await ws.push(new Uint8Array([0xa9]), 0, true), true);
  await settle();
  assertEquals(framesIn(lane.text), ["82 A", "81 B", "81 C", "82 D", "81 5", "89 6", "01 \xc3", "80 \xa9"]);
});

test("disconnect() waits for the peer's Close up to websocket_close_timeout, then drops the connection", async () => {
  const { ws, lane } = await openLane({ websocket_close_timeout: 0.2 });
  assertEquals([ws.disconnect(), ws.disconnect(), ws.getLastError()], [true, false, 8503]);
  await settle();
  assertEquals([lane.ended, lane.aborted], [false, false]);
  assertEquals(await awake(next(ws)), '""');
  assertEquals(lane.aborted, true);
});

for (const [name, runtime] of lanes) {
  test(`over sockets: push() waits for a slow reader, memory stays bounded, and everything arrives in order (${name})`, async () => {
    const opened = signal<HttpResponse>();
    const finish = signal();
    const server = serverWith(async (_request, ws) => {
      await ws.upgrade();
      opened.resolve(ws);
      await finish.promise;
    });
    await servingOn(runtime, server, async (port) => {
      const client = await RawClient.open(port);
      const ws = await opened.promise;
      client.socket.pause();
      const total = 400;
      let pushed = 0;
      const pushing = (async () => {
        for (; pushed < total; pushed++) {
          const message = new Uint8Array(64 * KIB).fill(pushed);
          if (!await ws.push(message, 2)) return;
        }
      })();
      for (let last = -1; last !== pushed;) {
        last = pushed;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assertGreater(pushed, 2);
      assertLessOrEqual(pushed, total - 100); // the rest waits in the program, not in memory
      client.socket.resume();
      for (let i = 0; i < total; i++) {
        const got = (await client.readFrame())!;
        assert(got.payload.length === 64 * KIB && got.payload[0] === (i & 255), `message ${i}`);
      }
      await pushing;
      assertEquals(pushed, total);

      // A reader that never reads and leaves: the push that waits is not left hanging.
      client.socket.pause();
      let result: boolean | undefined = true;
      const endless = (async () => {
        while (result) result = await ws.push(BIG, 2);
      })();
      await new Promise((resolve) => setTimeout(resolve, 50));
      client.socket.resetAndDestroy();
      await endless;
      assertEquals([result, ws.getLastError()], [false, 32]);
      finish.resolve();
    });
  });
}
