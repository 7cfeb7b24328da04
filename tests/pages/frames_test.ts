import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import {
  CloseFrame,
  Frame,
  SWOOLE_WEBSOCKET_CLOSE_NORMAL,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_BINARY,
  WEBSOCKET_OPCODE_PING,
  WEBSOCKET_OPCODE_PONG,
  WEBSOCKET_OPCODE_TEXT,
  WebSocketServer,
} from "../../mod.ts";
import { closeFrame, frame as clientFrame, hex, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { Remembering, textOf } from "./console.ts";

test("open_websocket_close_frame hands the Close frame to message", async () => {
  const console = new Remembering();

  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ open_websocket_close_frame: true });
  server.on("open", () => {});
  server.on("message", (_server, frame) => {
    if (frame instanceof CloseFrame) console.log(`Close frame received: Code ${frame.code} Reason ${frame.reason}`);
    else console.log(`Message received: ${frame.data}`);
  });
  server.on("close", () => {});

  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(clientFrame({ opcode: 1, payload: "hello" }));
    client.send(closeFrame(4000, "bye"));
    const answer = await client.readFrame();
    assertEquals([answer?.opcode, answer?.payload], [8, hex("0fa0 627965")]); // answered by itself, with the same code
    await client.whenEnded();
    client.end();
  });
  assertEquals(console.lines, ["Message received: hello", "Close frame received: Code 4000 Reason bye"]);
});

test("open_websocket_ping_frame hands the Ping to message, which answers it", async () => {
  const console = new Remembering();

  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ open_websocket_ping_frame: true });
  server.on("message", (server, frame) => {
    if (frame.opcode === WEBSOCKET_OPCODE_PING) {
      console.log(`Ping frame received: Code ${frame.opcode}`);
      const pong = new Frame();
      pong.opcode = WEBSOCKET_OPCODE_PONG;
      server.push(frame.fd, pong);
    } else {
      console.log(`Message received: ${frame.data}`);
      server.push(frame.fd, frame.data);
    }
  });

  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(clientFrame({ opcode: 9, payload: "abc" }));
    client.send(clientFrame({ opcode: 1, payload: "hello" }));
    const pong = await client.readFrame();
    assertEquals([pong?.opcode, textOf(pong)], [10, ""]); // the handler's own; there is no second one
    assertEquals(textOf(await client.readFrame()), "hello");
    client.end();
  });
  assertEquals(console.lines, ["Ping frame received: Code 9", "Message received: hello"]);
});

test("open_websocket_pong_frame hands the Pong to message", async () => {
  const console = new Remembering();

  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ open_websocket_pong_frame: true });
  server.on("message", (server, frame) => {
    if (frame.opcode === 0xa) console.log(`Pong frame received: Code ${frame.opcode}`);
    else {
      console.log(`Message received: ${frame.data}`);
      server.push(frame.fd, frame.data);
    }
  });

  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(clientFrame({ opcode: 10, payload: "abc" }));
    client.send(clientFrame({ opcode: 1, payload: "hello" }));
    assertEquals(textOf(await client.readFrame()), "hello");
    client.end();
  });
  assertEquals(console.lines, ["Pong frame received: Code 10", "Message received: hello"]);
});

test("by default no control frame reaches message: a Ping is answered, a Pong is ignored", async () => {
  const console = new Remembering();
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (_server, frame) => console.log(`${frame.opcode}`));
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(clientFrame({ opcode: 10, payload: "x" }));
    client.send(clientFrame({ opcode: 9, payload: "abc" }));
    const pong = await client.readFrame();
    assertEquals([pong?.opcode, textOf(pong)], [10, "abc"]);
    client.send(closeFrame(1000));
    assertEquals((await client.readFrame())?.opcode, 8);
    client.end();
  });
  assertEquals(console.lines, []);
});

test("a Ping frame is pushed", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => {
    const ping = new Frame();
    ping.opcode = WEBSOCKET_OPCODE_PING;
    server.push(frame.fd, ping);
  });

  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(clientFrame({ opcode: 1, payload: "ping me" }));
    const ping = await client.readFrame();
    assertEquals([ping?.opcode, textOf(ping)], [9, ""]);
    client.end();
  });
});

test("push, exist, isEstablished and disconnect, as the page describes them", async () => {
  const results: boolean[] = [];
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => {
    results.push(server.exist(frame.fd), server.isEstablished(frame.fd));
    results.push(server.push(frame.fd, "text"));
    results.push(server.push(frame.fd, new Uint8Array([0, 255]), WEBSOCKET_OPCODE_BINARY));
    results.push(server.push(frame.fd, "be", WEBSOCKET_OPCODE_TEXT, false)); // up to v4.4.12 the argument was `finish`
    results.push(server.push(frame.fd, "gun", 0, SWOOLE_WEBSOCKET_FLAG_FIN));
    results.push(server.disconnect(frame.fd, SWOOLE_WEBSOCKET_CLOSE_NORMAL, "that is all"));
    results.push(server.push(frame.fd, "late"), server.exist(99), server.isEstablished(99), server.push(99, ""));
  });

  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(clientFrame({ opcode: 1, payload: "go" }));
    const frames = [];
    for (let i = 0; i < 5; i++) frames.push(await client.readFrame());
    assertEquals(frames.map((frame) => [frame?.fin, frame?.opcode, frame?.payload]), [
      [true, 1, hex("74657874")],
      [true, 2, hex("00ff")],
      [false, 1, hex("6265")],
      [true, 0, hex("67756e")],
      [true, 8, hex("03e8 7468617420697320616c6c")],
    ]);
    client.send(closeFrame(1000));
    await client.whenEnded();
    client.end();
  });
  assertEquals(results, [true, true, true, true, true, true, true, false, false, false, false]);
});

test("pack and unpack of server and frame are the same", () => {
  for (const { pack, unpack } of [WebSocketServer, Frame, CloseFrame]) {
    assertEquals(pack("hello"), hex("81 05 68656c6c6f"));
    assertEquals(pack("hello", WEBSOCKET_OPCODE_BINARY), hex("82 05 68656c6c6f"));
    assertEquals(pack("hello", WEBSOCKET_OPCODE_TEXT, false), hex("01 05 68656c6c6f"));
    const frame = unpack(hex("82 02 00ff"));
    assert(frame instanceof Frame && !(frame instanceof CloseFrame));
    assertEquals([frame.opcode, frame.finish, frame.flags, frame.data], [2, true, 1, hex("00ff")]);
    const close = unpack(hex("88 05 0fa0 627965"));
    assert(close instanceof CloseFrame);
    assertEquals([close.opcode, close.code, close.reason], [8, 4000, "bye"]);
    assertEquals(unpack(hex("81 05 6865")), false);
  }
});
