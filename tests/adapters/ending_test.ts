import { assert, assertEquals, assertGreater } from "@std/assert";
import { HttpServer, Server, WebSocketServer } from "../../mod.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";

const decoder = new TextDecoder();
const MIB = 1024 * 1024;

/** One round trip of another client: whatever was sent before has had its time. */
async function roundTrip(port: number): Promise<void> {
  const client = await RawClient.connect(port);
  client.send("GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  await client.readAll();
  client.destroy();
}

testLanes(
  "with http_allow_half_open a client may end its side after the request and still gets the response",
  async (runtime) => {
    const server = new HttpServer("127.0.0.1", 0);
    server.set({ http_allow_half_open: true });
    const asked = signal<(text: string) => void>();
    server.on("request", (request, response) => {
      if (request.server.request_uri === "/ping") return response.end();
      response.detach();
      asked.resolve((text) => response.end(text));
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      client.end();
      const answer = await asked.promise;
      await roundTrip(port);
      answer("late, but there");
      assertEquals((await client.readAnswer()).body, "late, but there");
      await client.whenEnded();
      assertEquals(client.error, undefined);
    });
  },
);

testLanes(
  "with http_allow_half_open a client may end its side behind three requests and gets three responses",
  async (runtime) => {
    const server = new HttpServer("127.0.0.1", 0);
    server.set({ http_allow_half_open: true });
    server.on("request", async (request, response) => {
      await Promise.resolve();
      response.end(String(request.server.request_uri));
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      for (const path of ["/1", "/2", "/3"]) client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      client.end();
      for (const path of ["/1", "/2", "/3"]) assertEquals((await client.readAnswer()).body, path);
      await client.whenEnded();
      assertEquals(client.error, undefined);
    });
  },
);

testLanes("a WebSocket client that ends TCP without a Close: close is called, and TCP ends from both sides", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const closed = signal<number>();
  server.on("message", () => {});
  server.on("close", (_server, _fd, reactorId) => closed.resolve(reactorId));
  await servingOn(runtime, server, async (server, port) => {
    const client = await RawClient.open(port);
    client.end();
    assertEquals(await closed.promise, 0);
    assertEquals((await client.readAll()).length, 0);
    assertEquals(client.error, undefined);
    assertEquals(server.connections.size, 0);
  });
});

testLanes("close() delivers everything queued before FIN, even while the client goes on sending", async (runtime) => {
  const server = new Server("127.0.0.1", 0);
  const closed = signal<number>();
  const received: number[] = [];
  server.on("receive", (server, fd, _reactorId, data) => {
    received.push(data.length);
    if (received.length > 1) return;
    for (let part = 1; part <= 6; part++) assert(server.send(fd, new Uint8Array(MIB).fill(part)));
    assert(server.close(fd));
    assertEquals(server.exist(fd), false);
    assertEquals(server.send(fd, "more"), false);
    assertEquals(server.getLastError(), 1005);
  });
  server.on("close", (_server, _fd, reactorId) => closed.resolve(reactorId));
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.connect(port);
    let sent = 0;
    let stop = false;
    const flood = () => {
      while (!stop && sent < 64 * MIB) {
        sent += 64 * 1024;
        if (!client.socket.write(new Uint8Array(64 * 1024))) return void client.socket.once("drain", flood);
      }
    };
    client.send("now");
    flood();
    assertEquals(await closed.promise, -1);
    const all = await client.readAll();
    stop = true;
    assertEquals(client.error, undefined);
    assertEquals(all.length, 6 * MIB);
    for (let part = 1; part <= 6; part++) {
      assert(all.subarray((part - 1) * MIB, part * MIB).every((byte) => byte === part), `part ${part}`);
    }
    assertEquals(received.length, 1); // what came behind close() reached nobody
    client.destroy();
  });
});

testLanes("close() on a WebSocket ends TCP without a Close frame, behind what was pushed", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, { fd }) => {
    server.push(fd, "last words");
    server.close(fd);
  });
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "go" }));
    const frames = await client.readFrames();
    assertEquals(frames.map(({ opcode, payload }) => [opcode, decoder.decode(payload)]), [[1, "last words"]]);
    assertEquals(client.error, undefined);
    client.end();
  });
});

testLanes("close(fd, true) drops the connection with what is queued", async (runtime) => {
  const server = new Server("127.0.0.1", 0);
  server.set({ socket_buffer_size: 64 * MIB });
  const closed = signal<number>();
  server.on("receive", (server, fd) => {
    for (let part = 0; part < 48; part++) assert(server.send(fd, new Uint8Array(MIB)));
    const info = server.getClientInfo(fd);
    assertGreater(info && info.send_queued_bytes, 16 * MIB);
    assert(server.close(fd, true));
    assertEquals(server.exist(fd), false);
  });
  server.on("close", (_server, _fd, reactorId) => closed.resolve(reactorId));
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.socket.pause();
    client.send("now");
    assertEquals(await closed.promise, -1);
    client.socket.resume();
    const all = await client.readAll();
    assert(all.length < 48 * MIB, `all ${all.length} bytes arrived`);
    client.destroy();
  });
});

testLanes("close(fd, true) does not wait for the client", async (runtime) => {
  const server = new Server("127.0.0.1", 0);
  server.on("receive", (server, fd) => void server.close(fd, true));
  await servingOn(runtime, server, async (server, port) => {
    const client = await RawClient.connect(port);
    client.send("now");
    await client.whenEnded();
    server.shutdown();
    await server.finished; // although the client has not ended its side
    client.destroy();
  });
});

testLanes("a client that has not read yet when the server gives up on it still finds everything", async (runtime) => {
  const server = new Server("127.0.0.1", 0);
  server.set({ websocket_close_timeout: 0.3 });
  server.on("receive", (server, fd) => {
    server.send(fd, new Uint8Array(MIB).fill(7));
    server.close(fd);
    server.shutdown();
  });
  await servingOn(runtime, server, async (server, port) => {
    const client = await RawClient.connect(port);
    client.socket.pause();
    client.send("now");
    await server.finished; // the kernel has it all, and goes on without us
    client.socket.resume();
    assertEquals((await client.readAll()).length, MIB);
    assertEquals(client.error, undefined);
    client.destroy();
  });
});

testLanes("writing after the peer has gone: no error, close once, then 1005", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const opened = signal<number>();
  const closed = signal();
  const errors: unknown[] = [];
  let closes = 0;
  server.on("open", (_server, { fd }) => opened.resolve(fd));
  server.on("message", () => {});
  server.on("error", (_server, error) => void errors.push(error));
  server.on("close", () => {
    closes++;
    closed.resolve();
  });
  await servingOn(runtime, server, async (server, port) => {
    const client = await RawClient.open(port);
    const fd = await opened.promise;
    client.socket.resetAndDestroy();
    // Pushes go on until the server notices, which it has to.
    let done = false;
    closed.promise.then(() => done = true);
    while (!done) {
      server.push(fd, "x".repeat(1000));
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    assertEquals(server.push(fd, "anybody?"), false);
    assertEquals(server.getLastError(), 1005);
    assertEquals(server.isEstablished(fd), false);
    assertEquals(server.getClientInfo(fd), false);
    const other = await RawClient.open(port);
    other.destroy();
    assertEquals(closes, 1);
    assertEquals(errors, []);
  });
});

testLanes("disconnect() waits for the peer's Close, then ends TCP", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const closed = signal<number>();
  server.on("message", (server, { fd }) => void server.disconnect(fd, 4001, "enough"));
  server.on("close", (_server, _fd, reactorId) => closed.resolve(reactorId));
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "go" }));
    const close = await client.readFrame();
    assertEquals([close?.opcode, decoder.decode(close?.payload.subarray(2))], [8, "enough"]);
    client.send(closeFrame(4001));
    assertEquals(await closed.promise, -1);
    assertEquals((await client.readAll()).length, 0);
    assertEquals(client.error, undefined);
    client.end();
  });
});

testLanes("what arrives behind a Close is dropped without a reset", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const messages: unknown[] = [];
  server.on("message", (_server, { data }) => void messages.push(data));
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send(handshake());
    await client.readHead();
    client.send(closeFrame(1000));
    for (let i = 0; i < 100; i++) client.send(frame({ opcode: 1, payload: "ignored ".repeat(1000) }));
    assertEquals((await client.readFrame())?.opcode, 8);
    assertEquals((await client.readAll()).length, 0);
    assertEquals(client.error, undefined);
    assertEquals(messages, []);
    client.end();
  });
});
