import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { Server, SWOOLE_BASE, WebSocketServer } from "../../mod.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { Remembering, textOf } from "./console.ts";

test("a raw TCP server that speaks WebSocket by hand, with pack and send", async () => {
  const console = new Remembering();

  const raw = new Server("127.0.0.1", 0, SWOOLE_BASE);
  raw.set({
    log_file: "/dev/null",
  });
  raw.on("WorkerStart", (_server) => console.log("worker start"));
  raw.on("receive", (server, fd, _reactorId, _data) => {
    let answer = "HTTP/1.1 101 Switching Protocols\r\n";
    answer += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: IFpdKwYy9wdo4gTldFLHFh3xQE0=\r\n";
    answer += "Sec-WebSocket-Version: 13\r\nServer: swoole-http-server\r\n\r\n";
    server.send(fd, answer);
    server.send(fd, WebSocketServer.pack("hello world\n"));
  });

  await serving(raw, async (_server, port) => {
    const client = await RawClient.open(port);
    const hello = await client.readFrame();
    assertEquals([hello?.fin, hello?.opcode, hello?.masked, textOf(hello)], [true, 1, false, "hello world\n"]);
    client.end();
  });
  assertEquals(console.lines, ["worker start"]);
});

test("a raw TCP server gets the bytes as they come and tells where from", async () => {
  const seen: unknown[] = [];
  const raw = new Server("127.0.0.1", 0);
  raw.on("connect", (server, fd) => {
    const info = server.getClientInfo(fd);
    seen.push(info && info.websocket_status); // absent: this server knows nothing of WebSockets
  });
  raw.on("receive", (server, fd, reactorId, data) => {
    seen.push(fd, reactorId, Array.from(data), data.constructor === Uint8Array); // no Buffer, not in Node either
    server.send(fd, data);
    server.close(fd);
  });

  await serving(raw, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send(new Uint8Array([0, 13, 10, 255]));
    assertEquals(await client.readAll(), new Uint8Array([0, 13, 10, 255]));
    client.end();
  });
  assertEquals(seen, [undefined, 1, 0, [0, 13, 10, 255], true]);
});

test("unpack takes apart what receive got, and leaves it as it was", async () => {
  const seen: unknown[] = [];
  const raw = new Server("127.0.0.1", 0);
  raw.on("receive", (server, fd, _reactorId, data) => {
    const before = Array.from(data);
    const frame = WebSocketServer.unpack(data);
    seen.push(frame && frame.data, Array.from(data).join() === before.join());
    server.close(fd);
  });

  await serving(raw, async (_server, port) => {
    for (const payload of ["hello", "a longer text of more than eight bytes"]) {
      const client = await RawClient.connect(port);
      client.send(frame({ opcode: 1, payload }));
      await client.whenEnded();
      client.end();
    }
  });
  assertEquals(seen, ["hello", true, "a longer text of more than eight bytes", true]);
});

test("unpack of a part of an array, or of a Buffer", () => {
  const masked = frame({ opcode: 1, payload: "a longer text of more than eight bytes" });
  const whole = new Uint8Array(masked.length + 7);
  whole.set(masked, 7);
  const buffer = Buffer.alloc(whole.length, whole);
  for (const part of [whole.subarray(7), buffer.subarray(7)]) {
    const frame = WebSocketServer.unpack(part);
    assertEquals(frame && frame.data, "a longer text of more than eight bytes");
    assertEquals(new Uint8Array(part), masked);
  }
});
