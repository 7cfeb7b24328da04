/** The WebSocket of `HttpClient`. What it shares with the server's is in `recv_test.ts` and `push_test.ts`. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { CloseFrame, type Frame } from "../../mod.ts";
import { HttpClient, HttpServer } from "../../src/coroutine/mod.ts";
import { settle } from "../support/memory_client.ts";
import { memoryPipes } from "../support/memory_pipe.ts";
import { frame } from "../support/raw_client.ts";
import { answered, ok, opened, reconnect, requestOf, scripted, switching } from "./client_stage.ts";
import { arrive, awake, drain, framesIn, join, made, next, served, text } from "../coroutine/stage.ts";

const HELLO = served(1, "hello");
const upgrade = (client: HttpClient) => client.upgrade("/");

test("upgrade() is true when the server agrees: statusCode 101, and messages go both ways", async () => {
  const { client, lane } = await opened();
  assertEquals([client.statusCode, client.connected, client.errCode, client.body], [101, true, 0, ""]);
  arrive(lane, HELLO, served(2, [0, 255]));
  const received = [await client.recv(), await client.recv()] as Frame[];
  assertEquals(received.map(({ data, opcode, flags, finish }) => [data, opcode, flags, finish]), [
    ["hello", 1, 1, true],
    [Uint8Array.of(0, 255), 2, 1, true],
  ]);
  assertEquals(await client.push("a"), true);
  await settle();
  assertEquals(framesIn(lane.text), ["m81 a"]);
});

test("frames right behind the 101 are received, the short ones too", async () => {
  const { client, lane } = await opened({}, text(join(served(1), HELLO, served(9, "p"), served(1, "half").slice(0, 3))));
  assertEquals([await next(client), await next(client), await next(client, 0.01)], ["1 ", "1 hello", "false 110"]);
  arrive(lane, served(1, "half").slice(3));
  assertEquals([await next(client), framesIn(lane.text)], ["1 half", ["m8a p"]]);
});

test("an answer that breaks the handshake is false with 8504, says why, and ends the connection", async () => {
  const cases: [Record<string, string | null>, string][] = [
    [{ "Sec-WebSocket-Accept": "AAAAAAAAAAAAAAAAAAAAAAAAAAA=" }, "Sec-WebSocket-Accept"],
    [{ "Sec-WebSocket-Accept": null }, "Sec-WebSocket-Accept"],
    [{ Upgrade: null }, "Upgrade"],
    [{ Upgrade: "h2c" }, "Upgrade"],
    [{ Connection: "keep-alive" }, "Connection"],
    [{ "Sec-WebSocket-Protocol": "soap" }, "subprotocol that was not offered"],
    [{ "Sec-WebSocket-Protocol": "Chat" }, "subprotocol that was not offered"],
    [{ "Sec-WebSocket-Extensions": "permessage-deflate" }, "extension that was not offered"],
  ];
  for (const [headers, why] of cases) {
    const { client, lane } = scripted({ websocket_subprotocol: "chat" });
    const opening = client.upgrade("/");
    lane.receive(switching(await requestOf(lane), headers) + text(HELLO));
    assertEquals([await opening, client.statusCode, client.errCode], [false, 101, 8504], why);
    assertStringIncludes(client.errMsg, why);
    assertEquals([client.connected, lane.aborted], [false, true]);
    assertEquals([await next(client), await client.push("x"), client.errCode], ["false 5001", false, 5001]);
  }
});

test("the names of the answer's fields are read in any letter case, with other tokens beside", async () => {
  const { client, lane } = scripted({ websocket_subprotocol: ["chat", "soap"] });
  const opening = client.upgrade("/");
  const answer = switching(await requestOf(lane), {
    Upgrade: "WebSocket",
    Connection: "keep-alive, UPGRADE",
    "sec-websocket-protocol": "soap",
  });
  lane.receive(answer);
  assertEquals([await opening, client.headers["sec-websocket-protocol"]], [true, "soap"]);
});

test("a server that refuses: upgrade() is false with 8504, and status, header fields and body are there", async () => {
  const it = scripted();
  const refusal = "HTTP/1.1 403 Forbidden\r\nX-Why: 1\r\nContent-Length: 2\r\n\r\nno";
  const { client } = it;
  assertEquals((await answered(it, refusal, upgrade)).result, false);
  assertEquals([client.statusCode, client.body, client.headers["x-why"], client.errCode], [403, "no", "1", 8504]);
  assertStringIncludes(client.errMsg, "403");
  assertEquals([await client.push("x"), client.errCode, await next(client)], [false, 8504, "false 8504"]);
  assertEquals([client.disconnect(), await client.ping(), client.connected], [false, false, true]);
  assertEquals([(await answered(it, ok("page"))).result, client.body], [true, "page"]);
});

test("200 to a handshake is not a WebSocket", async () => {
  const it = scripted();
  assertEquals((await answered(it, ok("page", "Connection: close\r\n"), upgrade)).result, false);
  assertEquals([it.client.statusCode, it.client.body, it.client.errCode, it.client.connected], [200, "page", 8504, false]);
  assertEquals([await it.client.push("x"), it.client.errCode], [false, 5001]);
});

test("without a connection everything is false with 5001; before upgrade() with 8504", async () => {
  const client = new HttpClient("localhost");
  for (const call of [() => client.recv(), () => client.push("x"), () => client.ping(), () => client.disconnect()]) {
    assertEquals([await call(), client.errCode, client.getLastError()], [false, 5001, 5001]);
  }
  const it = scripted();
  await answered(it, ok());
  assertEquals([await it.client.push("x"), it.client.errCode, await it.client.recv()], [false, 8504, false]);
});

test("every frame is masked, with a key that is another each time", async () => {
  const { client, lane } = await opened();
  const count = 3000;
  for (let i = 0; i < count; i++) await client.push("same");
  await settle();
  const bytes = lane.text;
  assertEquals(bytes.length, count * 10);
  const keys = new Set<string>();
  for (let i = 0; i < count; i++) {
    assertEquals(bytes.slice(i * 10, i * 10 + 2), "\x81\x84");
    keys.add(bytes.slice(i * 10 + 2, i * 10 + 6));
  }
  assert(keys.size > count - 3, `${keys.size} keys`);
  for (let bit = 0; bit < 32; bit++) { // each bit is as often 0 as 1, more or less
    const ones = [...keys].filter((key) => (key.charCodeAt(bit >> 3) >> (bit & 7)) & 1).length;
    assert(ones > count * 0.4 && ones < count * 0.6, `bit ${bit}: ${ones}`);
  }
});

test("pings, pongs, fragments, frames and Close are masked too; what may not be sent is false with 8505", async () => {
  const { client, lane } = await opened();
  await client.ping("p");
  await client.push("a", 1, 0);
  await client.push("b", 0, 1);
  await client.push(made(2, "bin"));
  arrive(lane, served(9, "auto"));
  assertEquals([await client.ping("p".repeat(126)), await client.push("x", 3), client.errCode], [false, false, 8505]);
  assertEquals([client.disconnect(1006), client.disconnect(4000, "bye"), client.disconnect()], [false, true, false]);
  await settle();
  assertEquals(framesIn(lane.text), ["m89 p", "m01 a", "m80 b", "m82 bin", "m8a auto", "m88 4000 bye"]);
});

test("a masked frame from a server, and other broken rules: the server gets the code, the program false", async () => {
  const violations: [Uint8Array, number, number][] = [
    [frame({ opcode: 1, payload: "hi" }), 1002, 8506],
    [frame({ opcode: 1, payload: "hi", mask: false, rsv: 2 }), 1002, 8506],
    [frame({ opcode: 1, payload: "hi", mask: false, rsv: 4 }), 1002, 8506],
    [served(3, "hi"), 1002, 8506],
    [served(0, "hi"), 1002, 8506],
    [join(served(1, "a", false), served(1, "b")), 1002, 8506],
    [served(1, [0xc3]), 1007, 8506],
    [served(2, new Uint8Array(101)), 1009, 1201],
  ];
  for (const [bytes, code, error] of violations) {
    const { client, lane } = await opened({ package_max_length: 100 });
    arrive(lane, HELLO, bytes);
    assertEquals([await next(client), await next(client)], ["1 hello", `false ${error}`]);
    assert(framesIn(lane.text)[0].startsWith(`m88 ${code}`), framesIn(lane.text)[0]);
    assertEquals([client.connected, await next(client), await client.push("x"), client.errCode], [
      false,
      "false 5001",
      false,
      5001,
    ]);
  }
});

test('the server\'s Close: a CloseFrame, "", then false with 5001', async () => {
  const { client, lane } = await opened();
  arrive(lane, HELLO, served(8, [0x0f, 0xa0, 98]));
  assertEquals([await next(client), await next(client)], ["1 hello", "close 4000 b"]);
  lane.sink.onEnd(); // the server ends first (section 7.1.1)
  assertEquals(await next(client), '""');
  assertEquals([await next(client), await next(client)], ["false 5001", "false 5001"]);
  assertEquals(framesIn(lane.text), ["m88 4000 b"]);
});

test("open_websocket_close_frame and open_websocket_ping_frame leave the answers to the program; pongs can be left out", async () => {
  const settings = { open_websocket_close_frame: true, open_websocket_ping_frame: true };
  const { client, lane } = await opened(settings);
  arrive(lane, served(9, "p"), served(10, "q"), served(8, [3, 232]));
  assertEquals([await next(client), await next(client), await next(client)], ["9 p", "10 q", "close 1000"]);
  assertEquals(lane.text, "");
  assertEquals(await client.push(Object.assign(new CloseFrame(), { code: 1001 })), true);
  await settle();
  assertEquals(framesIn(lane.text), ["m88 1001"]);

  const quiet = await opened({ open_websocket_pong_frame: false });
  arrive(quiet.lane, served(10, "q"), HELLO);
  assertEquals(await next(quiet.client), "1 hello");
});

test("read_timeout, and timeout, stand for recv() without an argument; without them it waits for ever", async () => {
  for (const settings of [{ read_timeout: 0.02 }, { timeout: 0.02 }]) {
    const { client, lane } = await opened({ ...settings });
    assertEquals([await next(client), client.errMsg, client.connected], ["false 110", "Connection timed out", true]);
    arrive(lane, HELLO);
    assertEquals([await next(client), client.errCode], ["1 hello", 110]);
  }
  for (const settings of [{}, { timeout: -1 }]) {
    const { client, lane } = await opened(settings);
    const waiting = next(client);
    await new Promise((resolve) => setTimeout(resolve, 50));
    arrive(lane, HELLO);
    assertEquals(await waiting, "1 hello");
  }
});

test("write_timeout and socket_buffer_size are the limits of pushes to a server that does not read", async () => {
  const { client, lane } = await opened({ write_timeout: 0.05, socket_buffer_size: 2000 });
  lane.takes = false;
  await client.push(new Uint8Array(300 * 1024), 2);
  const waiting = [client.push("1"), client.push(new Uint8Array(3000), 2)];
  assertEquals([await waiting[1], client.errCode], [false, 1009]);
  assertEquals([await waiting[0], client.errCode], [false, 110]);
  const later = client.push("2");
  drain(lane);
  await settle();
  assertEquals([await later, framesIn(lane.text).at(-1)], [true, "m81 2"]);
});

test("keepalive: a silent server is pinged and dropped, recv() learns of it", async () => {
  const { client, lane } = await opened({ websocket_ping_interval: 0.1, websocket_ping_timeout: 0.1 });
  assertEquals(await awake(next(client)), '""');
  assertEquals([framesIn(lane.text), lane.aborted, client.connected], [["m89"], true, false]);
});

test("disconnect() waits for the server's Close up to websocket_close_timeout", async () => {
  const { client, lane } = await opened({ websocket_close_timeout: 0.1 });
  assertEquals(client.disconnect(), true);
  assertEquals(await awake(next(client)), '""');
  assertEquals(lane.aborted, true);
});

test("of two clients that wait for a Close the one with the shorter websocket_close_timeout is done first", async () => {
  const usual = await opened();
  const hasty = await opened({ websocket_close_timeout: 0.1 });
  for (const { client } of [usual, hasty]) client.disconnect();
  const over = (name: string, { client }: typeof usual) => next(client).then(() => name);
  assertEquals(await awake(Promise.race([over("usual", usual), over("hasty", hasty)])), "hasty");
  assertEquals([usual.lane.aborted, hasty.lane.aborted], [false, true]);
  usual.client.close();
});

test("after close() the client can be used again: upgrade(), get(), and a WebSocket is left for the next request", async () => {
  const it = await opened();
  const { client } = it;
  assertEquals([client.close(), client.connected, await next(client)], [true, false, "false 5001"]);
  it.lane = reconnect(client);
  const again = client.upgrade("/2");
  it.lane.receive(switching(await requestOf(it.lane)));
  assertEquals([await again, client.statusCode], [true, 101]);
  const first = it.lane;
  it.lane = reconnect(client); // ends the WebSocket
  assertEquals(first.ended, true);
  assertEquals([(await answered(it, ok("page"))).result, client.body, await client.push("x")], [true, "page", false]);
});

test("a client and a server in memory: messages of all sizes, the iterable and both streams", async () => {
  const server = new HttpServer("localhost");
  server.handle("/", async (_request, ws) => {
    await ws.upgrade();
    await ws.readable.pipeTo(ws.writable);
  });
  const [theirs, ours] = memoryPipes();
  server.accept(theirs);
  const client = new HttpClient("localhost");
  client.use(ours);
  assertEquals(await client.upgrade("/"), true);
  for (const size of [0, 1, 125, 126, 127, 65535, 65536, 1_000_000]) {
    const message = new Uint8Array(size).map((_, i) => i * 31 + size);
    await client.push(message, 2);
    assertEquals((await client.recv() as Frame).data, message);
  }
  await client.push("for await");
  for await (const frame of client) {
    assertEquals(frame.data, "for await");
    break;
  }
  const writer = client.writable.getWriter();
  const reader = client.readable.getReader();
  await writer.write("stream");
  assertEquals((await reader.read()).value, "stream");
  await writer.close();
  assertEquals((await reader.read()).done, true);
  assertEquals([client.connected, client.readable === client.readable], [false, true]);
});

test("what a client pushes: bytes are binary unless they are said to be text, a number is its text, text has to be UTF-8", async () => {
  const { client, lane } = await opened();
  assertEquals(await client.push(new Uint8Array([65])), true);
  assertEquals(await client.push(new Uint8Array([66]), 1), true);
  assertEquals(await client.push(5), true);
  assertEquals(await client.ping(6), true);
  assertEquals([await client.push(new Uint8Array([0xff]), 1), client.errCode], [false, 8505]);
  arrive(lane, served(2, [0xff]), served(1, "é"));
  for (const received of [await client.recv(), await client.recv()] as Frame[]) {
    assertEquals(await client.push(received), true); // with its own opcode
  }
  await settle();
  assertEquals(framesIn(lane.text), ["m82 A", "m81 B", "m81 5", "m89 6", "m82 \xff", "m81 \xc3\xa9"]);
});
