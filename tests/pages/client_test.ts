import { assert, assertEquals, assertFalse } from "@std/assert";
import { test } from "node:test";
import {
  CloseFrame,
  Frame,
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_PING,
  WEBSOCKET_OPCODE_PONG,
  WEBSOCKET_OPCODE_TEXT,
  WebSocketServer,
} from "../../mod.ts";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { serving } from "../support/serving.ts";
import { Remembering } from "./console.ts";

test("ping: the server's goes out at a message, the client's is answered and recv() gives the pong", async () => {
  const console = new Remembering();

  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => {
    const pingFrame = new Frame();
    pingFrame.opcode = WEBSOCKET_OPCODE_PING;
    server.push(frame.fd, pingFrame);
  });

  await serving(server, async (_server, port) => {
    const client = new HttpClient("127.0.0.1", port);
    if (!(await client.upgrade("/"))) throw new Error(`${client.errCode} ${client.errMsg}`);
    const ping = new Frame();
    ping.opcode = WEBSOCKET_OPCODE_PING;
    await client.push(ping);
    const pong = await client.recv();
    console.log(`${pong instanceof Frame && pong.opcode === WEBSOCKET_OPCODE_PONG}`);
    client.close();

    const pinged = new HttpClient("127.0.0.1", port);
    pinged.set({ open_websocket_ping_frame: true });
    assert(await pinged.upgrade("/"));
    assert(await pinged.push("hello"));
    const frame = await pinged.recv();
    assert(frame instanceof Frame);
    assertEquals([frame.opcode, frame.bytes.length], [WEBSOCKET_OPCODE_PING, 0]);
    pinged.close();
  });
  assertEquals(console.lines, ["true"]);
});

test("compression: a frame with the flag goes compressed both ways, and is forwarded as it came", async () => {
  const flags = SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS;
  const text = "Hello Swoole".repeat(10); // alone, it would not get smaller, and is sent as it is then

  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ websocket_compression: true });
  server.on("message", (server, frame) => {
    server.push(frame.fd, text, WEBSOCKET_OPCODE_TEXT, flags);
    server.push(frame.fd, frame);
  });

  await serving(server, async (_server, port) => {
    const heard = async (compression: boolean, text: string) => {
      const client = new HttpClient("127.0.0.1", port);
      client.set({ websocket_compression: compression });
      assert(await client.upgrade("/"));
      assert(await client.push(text, WEBSOCKET_OPCODE_TEXT, flags));
      const frames: unknown[] = [];
      for (let i = 0; i < 2; i++) {
        const frame = await client.recv();
        assert(frame instanceof Frame);
        frames.push(frame.data, (frame.flags & SWOOLE_WEBSOCKET_FLAG_COMPRESS) !== 0);
      }
      client.close();
      return frames;
    };
    const own = "Hello server".repeat(10);
    assertEquals(await heard(true, own), [text, true, own, true]);
    assertEquals(await heard(true, "Hello Swoole"), [text, true, "Hello Swoole", false]);
    assertEquals(await heard(false, own), [text, false, own, false]); // not agreed on: the flag does nothing
  });
});

test("a client tells by false and a code what there is no connection for, and who refused", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  server.on("handshake", (_request, response) => {
    response.status(403);
    response.end("no");
    return false;
  });
  await serving(server, async (_server, port) => {
    const client = new HttpClient("127.0.0.1", port);
    assertEquals([await client.push("x"), client.errCode, await client.recv(), client.errCode], [false, 5001, false, 5001]);
    assertEquals([await client.upgrade("/"), client.statusCode, client.body], [false, 403, "no"]);
    assertEquals([client.errCode, client.getLastError()], [8504, 8504]);
    assert(client.errMsg !== "");
    client.close();
  });
  const client = new HttpClient("127.0.0.1", 1); // where nobody listens
  assertEquals([await client.upgrade("/"), client.statusCode, client.errCode], [false, -1, 111]);
  assertEquals(client.errMsg, "Connection refused");
  assertFalse(client.close());
});

test("recv() of a client gives a Frame, false with 110 after a timeout, a CloseFrame, an empty string, then false", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => {
    server.push(frame.fd, `you said ${frame.data}`);
    server.disconnect(frame.fd, 4001, "enough");
  });
  await serving(server, async (_server, port) => {
    const client = new HttpClient("127.0.0.1", port);
    assert(await client.upgrade("/"));
    assertEquals([await client.recv(0.01), client.errCode], [false, 110]);
    assert(await client.push("hello"));
    const frame = await client.recv();
    assert(frame instanceof Frame);
    assertEquals([frame.opcode, frame.data, frame.finish], [WEBSOCKET_OPCODE_TEXT, "you said hello", true]);
    const close = await client.recv();
    assert(close instanceof CloseFrame);
    assertEquals([close.code, close.reason], [4001, "enough"]);
    assertEquals([await client.push("too late"), client.errCode], [false, 8503]);
    assertEquals([await client.recv(), await client.recv(), client.errCode], ["", false, 5001]);
    assertEquals([client.connected, client.close()], [false, false]);
  });
});
