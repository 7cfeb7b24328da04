import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { CloseFrame, Frame } from "../../mod.ts";
import { settle } from "../support/memory_client.ts";
import { RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";
import { arrive, awake, framesIn, join, made, next, open, openLane, readFrame, rest, sent, serverWith } from "./stage.ts";

const HELLO = sent(1, "hello");

test("a message is a Frame with fd, opcode, flags and data: text or bytes", async () => {
  const { ws, lane, request } = await openLane();
  arrive(lane, sent(1, "héllo"), sent(2, [0, 255]), sent(1, ""));
  const frames = [await ws.recv(), await ws.recv(), await ws.recv()] as Frame[];
  assert(frames.every((frame) => frame instanceof Frame));
  assertEquals(frames.map(({ data }) => data), ["héllo", Uint8Array.of(0, 255), ""]);
  assertEquals(frames.map(({ opcode, flags, finish, fd }) => [opcode, flags, finish, fd]), [
    [1, 33, true, request.fd],
    [2, 33, true, request.fd],
    [1, 33, true, request.fd],
  ]);
  assertEquals(ws.fd, request.fd);
});

test("fragments are joined, with control frames between them", async () => {
  const { ws, lane } = await openLane();
  arrive(lane, sent(1, "a", false), sent(9, "p"), sent(0, "b", false), sent(0, "c"), HELLO);
  assertEquals([await next(ws), await next(ws)], ["1 abc", "1 hello"]);
  assertEquals(framesIn(lane.text), ["8a p"]);
});

test("pings are answered and pongs dropped; with the settings recv() gives them and answers nothing", async () => {
  const plain = await openLane();
  arrive(plain.lane, sent(9, "p"), sent(10, "q"), HELLO);
  assertEquals([await next(plain.ws), framesIn(plain.lane.text)], ["1 hello", ["8a p"]]);

  const full = await openLane({ open_websocket_ping_frame: true, open_websocket_pong_frame: true });
  arrive(full.lane, sent(9, "p"), sent(10, "q"), HELLO);
  assertEquals([await next(full.ws), await next(full.ws), await next(full.ws)], ["9 p", "10 q", "1 hello"]);
  assertEquals(full.lane.text, "");
});

test('the peer\'s Close comes once and has been answered; then "", then false with 9', async () => {
  const { ws, client } = await open();
  client.send(join(HELLO, sent(8, [0x0f, 0xa0, ...new TextEncoder().encode("bye")]), HELLO));
  assertEquals([await next(ws), await next(ws)], ["1 hello", "close 4000 bye"]);
  assertEquals(await readFrame(client), "88 4000 bye");
  assertEquals(await client.readAll(), "");
  assertEquals([await next(ws), await next(ws), await next(ws)], ['""', "false 9", "false 9"]);
  assertEquals([await ws.push("x"), ws.getLastError()], [false, 32]);
});

test("a Close without a code is answered without one, and its CloseFrame has 1000 as in Swoole", async () => {
  const { ws, lane } = await openLane();
  arrive(lane, sent(8));
  const received = await ws.recv();
  assert(received instanceof CloseFrame);
  assertEquals([received.code, received.reason, received.opcode], [1000, "", 8]);
  assertEquals(lane.text, "\x88\0");
});

test("open_websocket_close_frame leaves the answer to the program: push() of a CloseFrame, disconnect(), or its return", async () => {
  const answers: [string, (held: Awaited<ReturnType<typeof openLane>>) => unknown, string[]][] = [
    ["push", ({ ws }) => ws.push(Object.assign(new CloseFrame(), { code: 4001, reason: "own" })), ["88 4001 own"]],
    ["disconnect", ({ ws }) => ws.disconnect(4002, "own"), ["88 4002 own"]],
    ["return", ({ leave }) => leave(), ["88 4000 x"]],
    ["close", ({ ws }) => ws.close(), []],
  ];
  for (const [what, answer, frames] of answers) {
    const held = await openLane({ open_websocket_close_frame: true });
    arrive(held.lane, sent(8, [0x0f, 0xa0, 120]), HELLO);
    assertEquals([await next(held.ws), held.lane.text], ["close 4000 x", ""], what);
    assertEquals(await next(held.ws), '""', what);
    await answer(held);
    await settle();
    assertEquals([framesIn(held.lane.text), held.lane.ended], [frames, true], what);
  }
});

test("a Close that the program never answers is answered after websocket_close_timeout", async () => {
  const { ws, client } = await open({ open_websocket_close_frame: true, websocket_close_timeout: 0.2 });
  client.send(sent(8, [3, 232]));
  assertEquals(await next(ws), "close 1000");
  assertEquals([await awake(readFrame(client)), await client.readAll()], ["88 1000", ""]);
});

test('messages before the end of the connection are received first: FIN gives "", a reset false with 104', async () => {
  for (const [how, ends] of [["FIN", ['""', "false 9"]], ["RST", ["false 104", "false 9"]]] as const) {
    const { ws, lane } = await openLane();
    arrive(lane, HELLO, sent(2, "x"), sent(1, "half", false));
    if (how === "FIN") lane.sink.onEnd();
    else lane.sink.onClose(new Error("reset"));
    await settle();
    assertEquals([await next(ws), await next(ws), await next(ws), await next(ws)], ["1 hello", "2 x", ...ends], how);
  }
});

test("a recv() that waits learns of the end: FIN, reset, Close, close(), disconnect()", async () => {
  const ends: [string, (held: Awaited<ReturnType<typeof openLane>>) => unknown, string][] = [
    ["FIN", ({ lane }) => lane.sink.onEnd(), '""'],
    ["RST", ({ lane }) => lane.sink.onClose(new Error("reset")), "false 104"],
    ["dropped without an error", ({ lane }) => lane.sink.onClose(), '""'],
    ["Close", ({ lane }) => arrive(lane, sent(8, [3, 233])), "close 1001"],
    ["close()", ({ ws }) => ws.close(), '""'],
    ["disconnect() and its answer", ({ ws, lane }) => {
      ws.disconnect(4000);
      arrive(lane, sent(1, "dropped"), sent(8, [0x0f, 0xa0]));
    }, "close 4000"],
    ["the handler's return", ({ leave, lane }) => {
      leave();
      return settle().then(() => arrive(lane, sent(8, [3, 232])));
    }, "close 1000"],
  ];
  for (const [how, end, expected] of ends) {
    const held = await openLane();
    const waiting = next(held.ws);
    await settle();
    await end(held);
    assertEquals(await waiting, expected, how);
  }
});

test("after close() recv() is false with 9 at once, also when messages were waiting", async () => {
  const { ws, lane } = await openLane();
  arrive(lane, HELLO);
  assertEquals([ws.close(), await next(ws), ws.close(), ws.getLastError()], [true, "false 9", false, 9]);
});

test("a timeout is false with 110 and loses nothing: half a frame, half a message", async () => {
  const { ws, lane } = await openLane();
  assertEquals(await next(ws, 0.02), "false 110");
  const bytes = join(sent(1, "frag", false), sent(0, "mented"), HELLO);
  const pieces = [bytes.slice(0, 3), bytes.slice(3, 12), bytes.slice(12, 15), bytes.slice(15)];
  for (const piece of pieces.slice(0, 3)) {
    arrive(lane, piece);
    assertEquals(await next(ws, 0.02), "false 110");
  }
  arrive(lane, pieces[3]);
  assertEquals([await next(ws, 0.02), await next(ws, 0.02)], ["1 fragmented", "1 hello"]);
  assertEquals(ws.getLastError(), 110); // success does not reset it
});

test("a message that is there is taken whatever the timeout, and one that comes in time before it", async () => {
  const { ws, lane } = await openLane();
  arrive(lane, HELLO);
  assertEquals(await next(ws, 1e-9), "1 hello");
  const waiting = next(ws, 60);
  arrive(lane, HELLO);
  assertEquals(await waiting, "1 hello");
  // The timer of that one is not the timer of the next.
  const shorter = next(ws, 0.02);
  assertEquals(await shorter, "false 110");
  const forever = next(ws, Infinity);
  await new Promise((resolve) => setTimeout(resolve, 50));
  arrive(lane, HELLO);
  assertEquals(await forever, "1 hello");
  ws.close();
});

test("socket_read_timeout stands for 0; a negative timeout is for ever", async () => {
  const { ws, lane } = await openLane({ socket_read_timeout: 0.05 });
  assertEquals([await next(ws), await next(ws, 0)], ["false 110", "false 110"]);
  const forever = next(ws, -1);
  let settled = false;
  forever.then(() => settled = true);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assertEquals(settled, false);
  arrive(lane, HELLO);
  assertEquals(await forever, "1 hello");
});

test("socket_recv_timeout and socket_timeout stand for socket_read_timeout where that is not set", async () => {
  for (
    const settings of [{ socket_recv_timeout: 0.05 }, { socket_timeout: 0.05 }, { socket_recv_timeout: 0.05, socket_timeout: 60 }]
  ) {
    const { ws } = await openLane(settings);
    assertEquals(await next(ws), "false 110");
  }
  const { ws, lane } = await openLane({ socket_read_timeout: 60, socket_recv_timeout: 0.02, socket_timeout: 0.02 });
  const received = next(ws);
  await new Promise((resolve) => setTimeout(resolve, 100));
  arrive(lane, HELLO);
  assertEquals(await received, "1 hello");
});

test("a second recv() while one waits throws, and the first is not disturbed", async () => {
  const { ws, lane } = await openLane();
  const first = next(ws);
  assertEquals(
    assertThrows(() => ws.recv(1), Error).message,
    "Cannot receive: another recv() of this connection is waiting",
  );
  arrive(lane, HELLO);
  assertEquals(await first, "1 hello");
  arrive(lane, HELLO);
  assertEquals(await next(ws), "1 hello");
});

test("a timeout that is no number is refused", async () => {
  const { ws } = await openLane();
  for (const timeout of ["1", NaN, null, {}]) {
    const error = assertThrows(() => ws.recv(timeout as number), TypeError);
    assertEquals(error.message, "Cannot receive: the timeout has to be a number of seconds");
  }
});

test("a broken protocol: the peer gets the close code, the program what came before and then false with 8506 or 1201", async () => {
  const violations: [string, Uint8Array, string, number][] = [
    ["a reserved opcode", sent(3), "88 1002", 8506],
    ["an unmasked frame", Uint8Array.of(0x81, 1, 97), "88 1002", 8506],
    ["text that is not UTF-8", sent(1, [0xff]), "88 1007", 8506],
    ["a continuation of nothing", sent(0, "x"), "88 1002", 8506],
    ["a Close of one byte", sent(8, [3]), "88 1002", 8506],
    ["a Close with code 1005", sent(8, [3, 237]), "88 1002", 8506],
    ["a message that is too long", sent(2, new Uint8Array(101)), "88 1009", 1201],
    ["fragments that are too long", join(sent(2, new Uint8Array(60), false), sent(0, new Uint8Array(41))), "88 1009", 1201],
  ];
  for (const [what, bytes, code, error] of violations) {
    for (const waiting of [false, true]) {
      const { ws, lane } = await openLane({ package_max_length: 100 });
      const early = waiting ? rest(ws) : undefined;
      arrive(lane, HELLO, bytes, HELLO);
      assertEquals(await (early ?? rest(ws)), ["1 hello", `false ${error}`], what);
      assert(framesIn(lane.text)[0].startsWith(code), what);
      assertEquals([framesIn(lane.text).length, lane.ended], [1, true], what);
      assertEquals([await next(ws), await ws.push("x"), ws.getLastError()], ["false 9", false, 32], what);
    }
  }
});

test("a message of exactly package_max_length is received, in one frame or in several", async () => {
  const { ws, lane } = await openLane({ package_max_length: 100 });
  const whole = "x".repeat(100);
  arrive(lane, sent(2, whole), sent(2, whole.slice(1), false), sent(0, "x"));
  assertEquals([await next(ws), await next(ws)], [`2 ${whole}`, `2 ${whole}`]);
});

test("getLastError() of one connection is not that of another", async () => {
  const [one, other] = [await openLane(), await openLane()];
  assertEquals(await next(one.ws, 0.01), "false 110");
  assertEquals(await other.ws.push(made(3, "x")), false);
  assertEquals([one.ws.getLastError(), other.ws.getLastError()], [110, 8505]);
});

test("over sockets: what was sent before FIN is received, then the end; and before a reset", async () => {
  const results = [signal<string[]>(), signal<string[]>()];
  let opened = 0;
  const server = serverWith(async (_request, ws) => {
    const result = results[opened++];
    await ws.upgrade();
    result.resolve(await rest(ws));
  });
  await serving(server, async (_server, port) => {
    const polite = await RawClient.open(port);
    polite.send(join(HELLO, sent(2, new Uint8Array(70_000).fill(97))));
    polite.end();
    assertEquals(await results[0].promise, ["1 hello", `2 ${"a".repeat(70_000)}`, '""']);
    await polite.whenEnded();
    polite.destroy();

    const rude = await RawClient.open(port);
    rude.send(HELLO);
    rude.send(sent(9, "read?"));
    await rude.readFrame();
    rude.socket.resetAndDestroy();
    const [first, last] = await results[1].promise;
    assertEquals(first, "1 hello");
    assert(last === "false 104" || last === '""', last); // Bun tells no reset from an end
  });
});
