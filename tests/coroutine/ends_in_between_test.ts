// How WebSockets end while something of them still waits: pushes, a Close behind compression, a violation behind messages.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { SWOOLE_WEBSOCKET_FLAG_COMPRESS, SWOOLE_WEBSOCKET_FLAG_FIN, WebSocketServer } from "../../mod.ts";
import { type CloseInfo, HttpServer } from "../../src/coroutine/mod.ts";
import { closeCodeOf, textOf } from "../server/event_log.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";

const OFFER = { "Sec-WebSocket-Extensions": "permessage-deflate; server_no_context_takeover" };
const SILENT = { log_level: 6 };

/** A payload that does not shrink, so that compressing it takes several turns. */
function incompressible(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let seed = 1;
  for (let i = 0; i < size; i++) bytes[i] = (seed = Math.imul(seed, 1103515245) + 12345 | 0) >>> 16;
  return bytes;
}

function transfer(bytes: Uint8Array): void {
  structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
}

for (const compressed of [false, true]) {
  for (const way of ["returns", "disconnects", "closes"] as const) {
    const what = compressed ? "behind one that is being compressed" : "for a peer that does not read";
    test(`a push that waits ${what}, its buffer transferred: 1011 and an error, and every push settles (the handler ${way})`, async () => {
      const server = new HttpServer("127.0.0.1");
      server.set({ ...SILENT, websocket_compression: compressed, socket_buffer_size: 1e8, websocket_close_timeout: 1 });
      const errors: unknown[] = [];
      const settled = signal<boolean[]>();
      const closed = signal<CloseInfo | undefined>();
      server.on("error", (_server, error) => void errors.push(error));
      server.handle("/", async (_request, ws) => {
        await ws.upgrade();
        const large = incompressible(compressed ? 3_000_000 : 65_536);
        const pushes = Array.from(
          { length: compressed ? 1 : 400 },
          () => ws.push(large, 2, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS),
        );
        const bytes = new Uint8Array(1000);
        pushes.push(ws.push(bytes), ws.push("the last"));
        transfer(bytes);
        Promise.all(pushes).then((sent) => settled.resolve(sent.slice(-2)));
        const watch = async () => {
          while (ws.closeInfo === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
          closed.resolve(ws.closeInfo);
        };
        watch();
        if (way === "disconnects") ws.disconnect(4000, "bye");
        else if (way === "closes") ws.close();
      });
      await serving(server, async (_server, port) => {
        const client = await RawClient.open(port, "/", OFFER);
        if (!compressed) client.socket.pause();
        assertEquals(await settled.promise, [false, false]);
        client.destroy();
        assert((await closed.promise) !== undefined);
        assertEquals(errors.map((error) => (error as Error).name), ["TypeError"]);
      });
    });
  }
}

for (const end of ["the peer violates the protocol", "a handler throws"] as const) {
  test(`a Close that waits behind compression is sent when ${end}`, async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ ...SILENT, websocket_compression: true, socket_buffer_size: 1e8 });
    const infos: CloseInfo[] = [];
    server.on("open", (server, { fd }) => {
      server.push(fd, incompressible(3_000_000), 2, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS);
      assertEquals(server.disconnect(fd, 4000, "bye"), true);
      if (end === "a handler throws") throw new Error("boom");
    });
    server.on("message", () => {});
    server.on("error", () => {});
    server.on("close", (_server, _fd, _reactor, info) => void infos.push(info));
    await serving(server, async (_server, port) => {
      const client = await RawClient.open(port, "/", OFFER);
      if (end !== "a handler throws") client.send(frame({ opcode: 3 }));
      let last = await client.readFrame();
      if (last?.opcode === 2) last = await client.readFrame(); // it was compressed before the violation arrived
      assertEquals(closeCodeOf(last), 4000);
      client.end();
      while (infos.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      assertEquals(infos[0].code, 4000);
      client.destroy();
    });
  });
}

test("close(fd) sends what is being compressed, though the peer ends or violates the protocol meanwhile", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ ...SILENT, websocket_compression: true, socket_buffer_size: 1e8 });
  server.on("open", (server, { fd }) => {
    server.push(fd, incompressible(500_000), 2, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS);
    server.push(fd, "behind");
    server.close(fd);
  });
  server.on("message", () => {});
  await serving(server, async (_server, port) => {
    for (const meanwhile of ["nothing", "a FIN", "a violation"]) {
      const client = await RawClient.open(port, "/", OFFER);
      if (meanwhile === "a FIN") client.end();
      if (meanwhile === "a violation") client.send(frame({ opcode: 3 }));
      assertEquals([(await client.readFrame())?.opcode, textOf(await client.readFrame())], [2, "behind"], meanwhile);
      client.destroy();
    }
  });
});

test("a violation that waits for the program: a FIN does not overtake it, and a Close of ours needs no answer", async () => {
  const server = new HttpServer("127.0.0.1");
  server.set({ ...SILENT, websocket_close_timeout: 0 }); // nothing is cut off by time
  const done = signal();
  const heard: unknown[] = [];
  server.handle("/", async (request, ws) => {
    await ws.upgrade();
    await done.promise;
    if (request.get.way === "disconnect") heard.push(ws.disconnect(4002), await ws.recv() !== "");
    else {for (let frame = await ws.recv();; frame = await ws.recv()) {
        heard.push(frame ? frame.data : frame === "" ? "" : ws.getLastError());
        if (!frame) break;
      }}
    heard.push(ws.closeInfo?.code);
  });
  await serving(server, async (_server, port) => {
    const clients = [];
    for (const way of ["recv", "disconnect"]) {
      const client = await RawClient.open(port, `/?way=${way}`);
      client.send(frame({ opcode: 1, payload: "one" }));
      client.send(frame({ opcode: 3 }));
      if (way === "recv") client.end();
      clients.push(client);
    }
    await new Promise((resolve) => setTimeout(resolve, 100)); // both have arrived by then, or the result is the same
    done.resolve();
    assertEquals(closeCodeOf(await clients[0].readFrame()), 1002);
    assertEquals(closeCodeOf(await clients[1].readFrame()), 4002);
    for (const client of clients) assertEquals(await client.readSome(), null); // the server has ended it
    clients.forEach((client) => client.destroy());
  });
  assertEquals(heard.filter((one) => one === 8506).length, 1, String(heard));
  assert(heard.includes(1002) && heard.includes(4002), String(heard));
});

test("what a connection wrote in the turn in which it was reset is not counted as held", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ ...SILENT, enable_signal_handlers: false });
  let closes = 0;
  server.on("message", (server, { fd }) => {
    server.push(fd, new Uint8Array(30_000));
    server.close(fd, true);
  });
  server.on("close", () => void closes++);
  await serving(server, async (_server, port) => {
    for (let i = 0; i < 5; i++) {
      const client = await RawClient.open(port);
      client.send(frame({ opcode: 1, payload: "x".repeat(20_000) }));
      while (!client.ended) await client.readSome();
      client.destroy();
    }
    assertEquals([closes, server.stats().held_bytes], [5, 0]);
  });
});
