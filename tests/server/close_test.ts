import { assertEquals, assertLessOrEqual } from "@std/assert";
import { test } from "node:test";
import { WebSocketServer } from "../../mod.ts";
import { closeFrame, frame, hex, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { closeCodeOf, EventLog, textOf } from "./event_log.ts";

/** A server that notes the ends of connections. */
function notingServer(log: EventLog): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (_server, frame) => log.add(`message ${frame.data}`));
  server.on("request", (_request, response) => response.end("hi"));
  server.on("close", (_server, fd, reactorId) => log.add(`close ${fd} ${reactorId}`));
  return server;
}

test("disconnect() sends Close, waits for the client's and ends the connection", async () => {
  const log = new EventLog();
  await serving(notingServer(log), async (server, port) => {
    const client = await RawClient.open(port);
    assertEquals(server.push(1, "first"), true);
    assertEquals(server.disconnect(1, 4000, "пока"), true);

    assertEquals(textOf(await client.readFrame()), "first"); // what was pushed before
    const close = await client.readFrame();
    assertEquals([close?.opcode, close?.payload], [8, hex("0fa0 d0bfd0bed0bad0b0")]);
    assertEquals([server.exist(1), server.isEstablished(1)], [true, false]);
    const info = server.getClientInfo(1);
    assertEquals(info && info.websocket_status, 4);
    assertEquals([server.push(1, "late"), server.getLastError()], [false, 1003]);
    assertEquals([server.disconnect(1), server.getLastError()], [false, 1003]);
    assertEquals(log.lines, []);

    client.send(frame({ opcode: 1, payload: "crossed" })); // sent before the client had seen our Close
    client.send(closeFrame(4000));
    assertEquals(await client.readFrame(), null);
    assertEquals(client.error, undefined);
    assertEquals(log.lines, ["close 1 -1"]);
    assertEquals(server.exist(1), false);
    client.end();
  });
});

test("disconnect() without a code says 1000", async () => {
  await serving(notingServer(new EventLog()), async (server, port) => {
    const client = await RawClient.open(port);
    assertEquals(server.disconnect(1), true);
    assertEquals((await client.readFrame())?.payload, hex("03e8"));
    client.send(closeFrame(1000));
    await client.whenEnded();
    client.end();
  });
});

test("disconnect() drops a client that never answers, after websocket_close_timeout", async () => {
  const log = new EventLog();
  const server = notingServer(log);
  server.set({ websocket_close_timeout: 0.05 });
  await serving(server, async (server, port) => {
    const client = await RawClient.open(port);
    assertEquals(server.disconnect(1, 1001), true);
    assertEquals(closeCodeOf(await client.readFrame()), 1001);
    await client.whenEnded();
    await log.until("close 1 -1");
    assertEquals(log.lines, ["close 1 -1"]);
    client.destroy();
  });
});

test("of two servers the one with the shorter websocket_close_timeout drops its client first", async () => {
  const log = new EventLog();
  await serving(notingServer(log), async (usual) => {
    const hasty = notingServer(log);
    hasty.set({ websocket_close_timeout: 0.05, start_session_id: 1 });
    await serving(hasty, async (hasty) => {
      const clients = [await RawClient.open(usual.port), await RawClient.open(hasty.port)];
      assertEquals([usual.disconnect(1), hasty.disconnect(2)], [true, true]);
      await log.count(1);
      assertEquals(log.lines, ["close 2 -1"]);
      for (const client of clients) client.destroy();
    });
  });
});

test("disconnect() in a handler drops the messages behind the one that is handled", async () => {
  const log = new EventLog();
  const server = notingServer(log);
  server.on("message", (server, frame) => {
    log.add(`message ${frame.data}`);
    server.disconnect(frame.fd);
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(new Uint8Array([...frame({ opcode: 1, payload: "one" }), ...frame({ opcode: 1, payload: "two" })]));
    assertEquals(closeCodeOf(await client.readFrame()), 1000);
    client.send(closeFrame(1000));
    assertEquals(await client.readFrame(), null);
    client.end();
  });
  assertEquals(log.lines, ["message one", "close 1 -1"]);
});

for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]) {
  test(`disconnect() sends code ${code}`, async () => {
    await serving(notingServer(new EventLog()), async (server, port) => {
      const client = await RawClient.open(port);
      assertEquals(server.disconnect(1, code), true);
      assertEquals(closeCodeOf(await client.readFrame()), code);
      client.send(closeFrame(code));
      await client.whenEnded();
      client.end();
    });
  });
}

test("disconnect() refuses codes that may not travel and reasons that are too long; the connection stays", async () => {
  await serving(notingServer(new EventLog()), async (server, port) => {
    const client = await RawClient.open(port);
    const codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535, 65536 + 1000, 70000, -1, 1000.5, 3000.5, NaN];
    for (const code of codes) {
      server.push(99, "");
      assertEquals([server.disconnect(1, code), server.getLastError()], [false, 8505], `code ${code}`);
    }
    for (const reason of ["r".repeat(124), "é".repeat(62)]) {
      server.push(99, "");
      assertEquals([server.disconnect(1, 1000, reason), server.getLastError()], [false, 8505], reason);
    }
    assertEquals(server.isEstablished(1), true);
    assertEquals(server.disconnect(1, 1000, "é".repeat(61) + "r"), true); // 123 bytes
    const close = await client.readFrame();
    assertEquals([close?.opcode, close?.payload.length], [8, 125]);
    client.destroy();
  });
});

test("disconnect() leaves what is no WebSocket alone", async () => {
  const log = new EventLog();
  await serving(notingServer(log), async (server, port) => {
    const http = await RawClient.connect(port);
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals((await http.readAnswer()).body, "hi");
    assertEquals([server.disconnect(1), server.getLastError()], [false, 8503]);
    assertEquals([server.disconnect(99), server.getLastError()], [false, 1005]);
    assertEquals([server.disconnect(0), server.getLastError()], [false, 1005]);
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals((await http.readAnswer()).body, "hi");
    assertEquals(log.lines, []);
    http.destroy();
  });
});

test("close() ends the connection without a Close frame, behind what was pushed", async () => {
  const log = new EventLog();
  await serving(notingServer(log), async (server, port) => {
    const client = await RawClient.open(port);
    server.push(1, "last words");
    assertEquals(server.close(1), true);
    assertEquals(log.lines, ["close 1 -1"]);
    assertEquals([server.exist(1), server.isEstablished(1), server.getClientInfo(1)], [false, false, false]);
    assertEquals([server.close(1), server.getLastError()], [false, 1005]);
    assertEquals([server.push(1, "late"), server.getLastError()], [false, 1005]);
    assertEquals(textOf(await client.readFrame()), "last words");
    assertEquals(await client.readFrame(), null);
    assertEquals(client.error, undefined);
    client.end();
  });
  assertEquals(log.lines, ["close 1 -1"]);
});

test("close() drains a large queue first", async () => {
  await serving(notingServer(new EventLog()), async (server, port) => {
    const client = await RawClient.open(port);
    const large = new Uint8Array(4 << 20).fill(7);
    server.push(1, large, 2);
    server.push(1, "end");
    server.close(1);
    assertEquals((await client.readFrame())?.payload.length, large.length);
    assertEquals(textOf(await client.readFrame()), "end");
    assertEquals(await client.readFrame(), null);
    client.end();
  });
});

test("close() works on what is no WebSocket, too", async () => {
  await serving(notingServer(new EventLog()), async (server, port) => {
    const http = await RawClient.connect(port);
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals((await http.readAnswer()).body, "hi");
    assertEquals(server.close(1), true);
    assertEquals((await http.readAll()).length, 0);
    http.end();
  });
});

test("close() with reset drops the connection with what is queued", async () => {
  const log = new EventLog();
  await serving(notingServer(log), async (server, port) => {
    const client = await RawClient.open(port);
    server.push(1, new Uint8Array(4 << 20), 2);
    assertEquals(server.close(1, true), true);
    assertEquals(log.lines, ["close 1 -1"]);
    assertEquals([server.close(1, true), server.getLastError()], [false, 1005]);
    await client.whenEnded();
    assertLessOrEqual(client.pending.length, (4 << 20) - 1);
    client.destroy();
  });
  assertEquals(log.lines, ["close 1 -1"]);
});

test("close() with reset works before anything was read", async () => {
  const log = new EventLog();
  const server = notingServer(log);
  server.on("connect", (server, fd) => log.add(`connect ${server.close(fd, true)}`));
  await serving(server, async (server, port) => {
    // The system may tell of the reset before it tells that the connection was made.
    const client = await RawClient.connect(port).catch(() => undefined);
    await log.count(2);
    await client?.whenEnded();
    client?.destroy();
    assertEquals(server.connections.size, 0);
  });
  assertEquals(log.lines, ["close 1 -1", "connect true"]);
});
