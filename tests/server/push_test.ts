import { assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  CloseFrame,
  Frame,
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  SWOOLE_WEBSOCKET_FLAG_MASK,
  SWOOLE_WEBSOCKET_FLAG_RSV2,
  swooleStrerror,
  WebSocketServer,
} from "../../mod.ts";
import { bytesOf, closeFrame, frame, hex, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { closeCodeOf, EventLog, textOf } from "./event_log.ts";

function idleServer(): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  server.on("request", (_request, response) => response.end("hi"));
  return server;
}

function frameOf(properties: Partial<Frame>): Frame {
  return Object.assign(new Frame(), properties);
}

type Arguments = [data: string | number | Uint8Array | Frame, opcode?: number, flags?: number | boolean];

const FORMS: [name: string, pushed: Arguments, fin: boolean, opcode: number, payload: string | Uint8Array][] = [
  ["text", ["hello"], true, 1, "hello"],
  ["empty text", [""], true, 1, ""],
  ["text beyond ASCII", ["grüße, 世界 🌍"], true, 1, "grüße, 世界 🌍"],
  ["text with a lone surrogate", ["a\ud800b"], true, 1, "a\ufffdb"],
  ["text of 125 bytes", ["a".repeat(125)], true, 1, "a".repeat(125)],
  ["text of 126 bytes", ["a".repeat(126)], true, 1, "a".repeat(126)],
  ["text of 100 characters and 200 bytes", ["é".repeat(100)], true, 1, "é".repeat(100)],
  ["text of 65535 bytes", ["a".repeat(65535)], true, 1, "a".repeat(65535)],
  ["text of 65536 bytes", ["a".repeat(65536)], true, 1, "a".repeat(65536)],
  ["text as binary", ["hello", 2], true, 2, "hello"],
  ["bytes as binary", [hex("00ff80"), 2], true, 2, hex("00ff80")],
  ["bytes, which are binary", [hex("00ff80")], true, 2, hex("00ff80")],
  ["bytes as text", [bytesOf("grüße"), 1], true, 1, "grüße"],
  ["600 bytes as text", [bytesOf("ü".repeat(300)), 1], true, 1, "ü".repeat(300)],
  ["a number", [5], true, 1, "5"],
  ["a number as binary", [-1.5, 2], true, 2, "-1.5"],
  ["a frame of bytes without an opcode", [frameOf({ data: hex("00ff") })], true, 2, hex("00ff")],
  ["no bytes", [new Uint8Array(0), 2], true, 2, ""],
  ["a part of an array", [hex("0102030405").subarray(1, 4), 2], true, 2, hex("020304")],
  ["1 MiB of bytes", [new Uint8Array(1 << 20).fill(7), 2], true, 2, new Uint8Array(1 << 20).fill(7)],
  ["a frame", [frameOf({ data: "hello" })], true, 1, "hello"],
  ["a frame with other arguments, which are ignored", [frameOf({ data: "hello" }), 2, 0], true, 1, "hello"],
  ["a frame with the fd of another connection, which is ignored", [frameOf({ fd: 99, data: "hello" })], true, 1, "hello"],
  ["a binary frame", [frameOf({ opcode: 2, data: hex("00ff") })], true, 2, hex("00ff")],
  ["a frame whose finish wins over its flags", [frameOf({ data: "x", flags: 0, finish: true })], true, 1, "x"],
  ["flags true", ["hello", 1, true], true, 1, "hello"],
  [
    "flags with MASK, which servers do not do",
    ["hello", 1, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_MASK],
    true,
    1,
    "hello",
  ],
  ["flags with a reserved bit", ["hello", 1, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_RSV2], true, 1, "hello"],
  [
    "flags with COMPRESS where nothing was negotiated",
    ["hello", 1, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS],
    true,
    1,
    "hello",
  ],
  ["a ping", ["ping", 9], true, 9, "ping"],
  ["a ping of 125 bytes", ["p".repeat(125), 9], true, 9, "p".repeat(125)],
  ["a pong", [hex("00ff"), 10], true, 10, hex("00ff")],
  ["a ping without FIN, which is no ping", ["ping", 9, 0], true, 9, "ping"],
  ["a ping frame", [frameOf({ opcode: 9, data: "ping" })], true, 9, "ping"],
];

for (const [name, pushed, fin, opcode, payload] of FORMS) {
  test(`push() sends ${name}`, async () => {
    await serving(idleServer(), async (server, port) => {
      const client = await RawClient.open(port);
      assertEquals(server.push(1, ...pushed), true);
      const sent = await client.readFrame();
      assertEquals([sent?.fin, sent?.rsv, sent?.opcode, sent?.masked], [fin, 0, opcode, false]);
      assertEquals(sent?.payload, bytesOf(payload));
      assertEquals(server.getLastError(), 0);
      client.destroy();
    });
  });
}

test("push() sends a message in fragments, a ping between them", async () => {
  await serving(idleServer(), async (server, port) => {
    const client = await RawClient.open(port);
    assertEquals(server.push(1, "one", 1, false), true);
    assertEquals(server.push(1, "?", 9), true);
    assertEquals(server.push(1, frameOf({ opcode: 0, data: "two", finish: false })), true);
    assertEquals(server.push(1, "other"), false); // a message of its own would be mixed up with this one
    assertEquals(server.getLastError(), 8505);
    assertEquals(server.push(1, "three", 0, SWOOLE_WEBSOCKET_FLAG_FIN), true);
    assertEquals(server.push(1, "other"), true);
    const sent = [];
    for (let i = 0; i < 5; i++) sent.push(await client.readFrame());
    assertEquals(sent.map((frame) => [frame?.fin, frame?.opcode, textOf(frame)]), [
      [false, 1, "one"],
      [true, 9, "?"],
      [false, 0, "two"],
      [true, 0, "three"],
      [true, 1, "other"],
    ]);
    client.destroy();
  });
});

test("push() sends a text in fragments that cut a character in two, and none that would not be UTF-8", async () => {
  await serving(idleServer(), async (server, port) => {
    const client = await RawClient.open(port);
    assertEquals(server.push(1, hex("c3"), 1, false), true);
    assertEquals([server.push(1, "x", 0, false), server.getLastError()], [false, 8505]); // within the character
    assertEquals([server.push(1, hex("c3"), 0, false), server.getLastError()], [false, 8505]);
    assertEquals([server.push(1, "", 0, true), server.getLastError()], [false, 8505]); // the text would end there
    assertEquals(server.push(1, hex("a9"), 0, false), true);
    assertEquals(server.push(1, "é", 0, true), true);
    assertEquals([server.push(1, hex("ff"), 1, false), server.getLastError()], [false, 8505]);
    assertEquals(server.push(1, hex("ff"), 2, false), true); // binary may be anything
    assertEquals(server.push(1, hex("ff"), 0, true), true);
    const sent = [];
    for (let i = 0; i < 5; i++) sent.push(await client.readFrame());
    assertEquals(sent.map((frame) => [frame?.fin, frame?.opcode, frame?.payload]), [
      [false, 1, hex("c3")],
      [false, 0, hex("a9")],
      [true, 0, bytesOf("é")],
      [false, 2, hex("ff")],
      [true, 0, hex("ff")],
    ]);
    client.destroy();
  });
});

test("a message that is prepared of bytes is binary, of everything else text, which has to be UTF-8", async () => {
  await serving(idleServer(), async (server, port) => {
    const client = await RawClient.open(port);
    const messages: [Parameters<WebSocketServer["prepare"]>, opcode: number, payload: string | Uint8Array][] = [
      [["é"], 1, "é"],
      [[5], 1, "5"],
      [[hex("00ff")], 2, hex("00ff")],
      [[bytesOf("é"), 1], 1, "é"],
      [[frameOf({ data: hex("00ff") })], 2, hex("00ff")],
    ];
    for (const [args, opcode, payload] of messages) {
      assertEquals(server.push(1, server.prepare(...args)), true);
      const sent = await client.readFrame();
      assertEquals([sent?.opcode, sent?.payload], [opcode, bytesOf(payload)]);
    }
    assertThrows(() => server.prepare(hex("ff"), 1), RangeError, "a text has to be UTF-8");
    assertThrows(() => server.prepare(frameOf({ opcode: 1, data: hex("ff") })), RangeError, "a text has to be UTF-8");
    assertThrows(() => server.prepare({} as unknown as string), TypeError, "Cannot prepare an object");
    client.destroy();
  });
});

test("an fd may be given as digits; anything else than a number is a mistake", async () => {
  await serving(idleServer(), async (server, port) => {
    const client = await RawClient.open(port);
    const text = "1" as unknown as number; // what the keys of an object are
    assertEquals([server.push(text, "hello"), server.exist(text), server.isEstablished(text)], [true, true, true]);
    assertEquals(textOf(await client.readFrame()), "hello");
    assertEquals([server.bind(text, 7), server.bind(1, 8)], [true, false]);
    const info = server.getClientInfo(text);
    assertEquals([info && info.uid, info && info.websocket_status], [7, 3]);
    assertEquals([server.protect(text), server.push("99" as unknown as number, "x"), server.getLastError()], [true, false, 1005]);
    assertEquals([server.push(undefined as unknown as number, "x"), server.getLastError()], [false, 1005]);
    const wrongs: [unknown, string][] = [
      ["", 'an fd is a number, not ""'],
      ["one", 'an fd is a number, not "one"'],
      [{}, "an fd is a number, not object"],
      [{ fd: 1 }, "an fd is a number, not object; give its fd"],
      [true, "an fd is a number, not boolean"],
    ];
    for (const [wrong, words] of wrongs) {
      for (const work of [() => server.push(wrong as number, "x"), () => server.close(wrong as number)]) {
        assertThrows(work, TypeError, `Cannot find the connection: ${words}`);
      }
    }
    assertEquals(server.isEstablished(1), true);
    client.destroy();
  });
});

const REFUSED: [name: string, fd: number, pushed: Arguments, code: number][] = [
  ["an unknown fd", 99, ["x"], 1005],
  ["fd 0", 0, ["x"], 1005],
  ["a negative fd", -1, ["x"], 1005],
  ["a connection that speaks plain HTTP", 2, ["x"], 8503],
  ["a connection that has not spoken yet", 3, ["x"], 8503],
  ["opcode 3", 1, ["x", 3], 8505],
  ["opcode 7", 1, ["x", 7], 8505],
  ["opcode 11", 1, ["x", 11], 8505],
  ["opcode 15", 1, ["x", 15], 8505],
  ["opcode -1", 1, ["x", -1], 8505],
  ["opcode 256", 1, ["x", 256], 8505],
  ["opcode 1.5", 1, ["x", 1.5], 8505],
  ["a continuation of nothing", 1, ["x", 0], 8505],
  ["a ping of 126 bytes", 1, ["p".repeat(126), 9], 8505],
  ["a pong of 63 characters and 126 bytes", 1, ["é".repeat(63), 10], 8505],
  ["a Close with a reason of 124 bytes", 1, ["r".repeat(124), 8], 8505],
  ["bytes as text that are not UTF-8", 1, [hex("61ff"), 1], 8505],
  ["600 bytes as text that are not UTF-8", 1, [new Uint8Array(600).fill(0xff), 1], 8505],
  ["bytes as text that end within a character", 1, [hex("61c3"), 1], 8505],
  ["a text frame of bytes that are not UTF-8", 1, [frameOf({ opcode: 1, data: hex("ff") })], 8505],
  ["a CloseFrame with a code that may not travel", 1, [Object.assign(new CloseFrame(), { code: 1006 })], 8505],
];

test("push() tells why it does not send", async () => {
  const log = new EventLog();
  const listening = idleServer();
  listening.on("connect", (_server, fd) => log.add(`connect ${fd}`));
  await serving(listening, async (server, port) => {
    const client = await RawClient.open(port);
    const http = await RawClient.connect(port);
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals((await http.readAnswer()).body, "hi");
    const silent = await RawClient.connect(port);
    await log.until("connect 3");

    for (const [name, fd, pushed, code] of REFUSED) {
      server.disconnect(99, 1000); // makes the last error 1005, or, the other way round,
      if (code === 1005) server.push(2, "");
      assertEquals(server.push(fd, ...pushed), false, name);
      assertEquals(server.getLastError(), code, name);
    }
    assertEquals(swooleStrerror(8503), "Websocket unconnected");

    // Nothing of all that was sent, and all connections are as they were.
    assertEquals(server.push(1, "still here"), true);
    assertEquals(textOf(await client.readFrame()), "still here");
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals((await http.readAnswer()).body, "hi");
    for (const one of [client, http, silent]) one.destroy();
  });
});

test("push() of what cannot be sent throws, and sends nothing", async () => {
  await serving(idleServer(), async (server, port) => {
    const client = await RawClient.open(port);
    for (const value of [null, undefined, true, ["x"], { data: "x" }, new ArrayBuffer(1)]) {
      assertThrows(() => server.push(1, value as unknown as string), TypeError, "Cannot send");
    }
    server.push(1, "end");
    assertEquals(textOf(await client.readFrame()), "end");
    client.destroy();
  });
});

test("push() of a text with opcode 8, or of a CloseFrame, starts the closing handshake", async () => {
  const close = Object.assign(new CloseFrame(), { code: 4000, reason: "bye" });
  const forms: [Arguments, Uint8Array][] = [
    [["bye", 8], hex("03e8 627965")],
    [["", 8], hex("03e8")],
    [[frameOf({ opcode: 8, data: "ignored" })], hex("03e8")],
    [[close], hex("0fa0 627965")],
  ];
  for (const [pushed, payload] of forms) {
    const log = new EventLog();
    const server = idleServer();
    server.on("close", (_server, fd, reactorId) => log.add(`close ${fd} ${reactorId}`));
    await serving(server, async (server, port) => {
      const client = await RawClient.open(port);
      assertEquals(server.push(1, ...pushed), true);
      assertEquals([server.exist(1), server.isEstablished(1)], [true, false]);
      assertEquals(server.push(1, "late"), false);
      assertEquals(server.getLastError(), 1003);
      const sent = await client.readFrame();
      assertEquals([sent?.opcode, sent?.payload], [8, payload]);
      assertEquals(log.lines, []);
      client.send(closeFrame(1000));
      assertEquals(await client.readFrame(), null);
      assertEquals(log.lines, ["close 1 -1"]);
      client.end();
    });
  }
});

test("ping() sends a ping and tells why it does not", async () => {
  await serving(idleServer(), async (server, port) => {
    const client = await RawClient.open(port);
    assertEquals(server.ping(1), true);
    assertEquals(server.ping(1, "are you there?"), true);
    assertEquals(server.ping(1, hex("00ff")), true);
    const sent = [await client.readFrame(), await client.readFrame(), await client.readFrame()];
    assertEquals(sent.map((frame) => [frame?.opcode, frame?.payload]), [
      [9, hex("")],
      [9, bytesOf("are you there?")],
      [9, hex("00ff")],
    ]);
    assertEquals([server.ping(1, "p".repeat(126)), server.getLastError()], [false, 8505]);
    assertEquals([server.ping(99), server.getLastError()], [false, 1005]);
    client.destroy();
  });
});

test("a frame that was received is forwarded as it is, text and binary", async () => {
  const server = idleServer();
  server.on("message", (server, frame) => server.push(2, frame));
  await serving(server, async (_server, port) => {
    const from = await RawClient.open(port);
    const to = await RawClient.open(port);
    from.send(frame({ opcode: 1, payload: "grüße" }));
    from.send(frame({ opcode: 2, payload: hex("00ff80") }));
    from.send(frame({ opcode: 1, payload: "frag", fin: false }));
    from.send(frame({ opcode: 0, payload: "ment" }));
    const got = [await to.readFrame(), await to.readFrame(), await to.readFrame()];
    assertEquals(got.map((frame) => [frame?.fin, frame?.opcode, frame?.masked, frame?.payload]), [
      [true, 1, false, bytesOf("grüße")],
      [true, 2, false, hex("00ff80")],
      [true, 1, false, bytesOf("fragment")],
    ]);
    for (const client of [from, to]) client.destroy();
  });
});

test("frames that a program keeps are not changed by what arrives later", async () => {
  const kept: Frame[] = [];
  const server = idleServer();
  server.on("message", (server, frame) => {
    kept.push(frame);
    if (frame.data === "back!") { for (const one of kept) server.push(frame.fd, one); }
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    const messages = ["a", "b".repeat(1000), "c".repeat(70000), "ö", "back!"];
    for (const message of messages) await client.sendApart([frame({ opcode: 1, payload: message })]);
    for (const message of messages) assertEquals(textOf(await client.readFrame()), message);
    client.destroy();
  });
});

test("send() sends bytes without a frame around them", async () => {
  await serving(idleServer(), async (server, port) => {
    const client = await RawClient.open(port);
    assertEquals(server.send(1, hex("8100")), true);
    assertEquals(server.send(1, "é"), true);
    assertEquals(await client.read(4), hex("8100 c3a9"));

    assertEquals([server.send(1, ""), server.getLastError()], [false, 550]);
    assertEquals([server.send(99, "x"), server.getLastError()], [false, 1005]);
    assertEquals([server.send(1, new Uint8Array(0)), server.getLastError()], [false, 550]);
    assertEquals(swooleStrerror(550), "No payload");
    server.disconnect(1);
    assertEquals(closeCodeOf(await client.readFrame()), 1000);
    client.destroy();
  });
});

test("success leaves the last error alone", async () => {
  await serving(idleServer(), async (server, port) => {
    const client = await RawClient.open(port);
    assertEquals(server.getLastError(), 0);
    server.push(99, "x");
    assertEquals(server.push(1, "x"), true);
    assertEquals(server.exist(77), false); // a question is no failure
    assertEquals(server.isEstablished(77), false);
    assertEquals(server.getLastError(), 1005);
    client.destroy();
  });
});

test("push() counts the bytes of a text against the queue, not its characters", async () => {
  const results: unknown[] = [];
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ socket_buffer_size: 1000 });
  server.on("open", (server, request) => {
    results.push(server.push(request.fd, "x"));
    results.push(server.push(request.fd, "世".repeat(300)), server.getLastError()); // 900 bytes beside the head
    results.push(server.push(request.fd, "世".repeat(200)));
  });
  server.on("message", () => {});
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    assertEquals((await client.readFrame())?.payload.length, 1);
    assertEquals((await client.readFrame())?.payload.length, 600);
    client.destroy();
  });
  assertEquals(results, [true, false, 1009, true]);
});
