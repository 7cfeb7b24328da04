import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { HttpServer, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { memoryPipes } from "../support/memory_pipe.ts";
import { frame, RawClient } from "../support/raw_client.ts";

/** The status that a server with these settings gives to a request. */
async function statusOf(port: number, request: string | Uint8Array): Promise<number> {
  const client = await RawClient.connect(port);
  client.send(request);
  const { status, head } = await client.readAnswer();
  if (status !== 200) {
    assert(/\r\nConnection: close\r\n/i.test(head), head);
    assertEquals((await client.readAll()).length, 0);
    assertEquals(client.error, undefined); // ended, not reset
  }
  client.destroy();
  return status;
}

function httpServer(settings: ServerSettings = {}): HttpServer {
  const server = new HttpServer("127.0.0.1", 0);
  server.set(settings);
  server.on("request", (request, response) => response.end(String(request.rawContent().length)));
  return server;
}

/** A request whose head has exactly so many bytes. */
function headOf(size: number): string {
  const start = "GET / HTTP/1.1\r\nHost: x\r\nA: ";
  return start + "b".repeat(size - start.length - 4) + "\r\n\r\n";
}

const line = (size: number) => "GET /".padEnd(size - 9, "a") + " HTTP/1.1\r\nHost: x\r\n\r\n";
const fields = (count: number) => `GET / HTTP/1.1\r\nHost: x\r\n${"A: b\r\n".repeat(count - 1)}\r\n`;
const body = (size: number) => `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n${"b".repeat(size)}`;
const chunks = (size: number) =>
  `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${size.toString(16)}\r\n${"b".repeat(size)}\r\n0\r\n\r\n`;

testLanes("limits that are set: at the limit and one past it", async (runtime) => {
  const settings = { http_max_header_size: 1000, http_max_headers: 20, package_max_length: 5000 };
  await servingOn(runtime, httpServer(settings), async (_server, port) => {
    assertEquals([await statusOf(port, headOf(1000)), await statusOf(port, headOf(1001))], [200, 431]);
    assertEquals([await statusOf(port, fields(20)), await statusOf(port, fields(21))], [200, 431]);
    assertEquals(await statusOf(port, line(1001)), 414);
    assertEquals([await statusOf(port, body(5000)), await statusOf(port, body(5001))], [200, 413]);
    assertEquals([await statusOf(port, chunks(5000)), await statusOf(port, chunks(5001))], [200, 413]);
  });
});

testLanes("limits without settings: 64 KiB of head, 128 fields, 2 MiB of body", async (runtime) => {
  await servingOn(runtime, httpServer(), async (_server, port) => {
    assertEquals([await statusOf(port, headOf(65536)), await statusOf(port, headOf(65537))], [200, 431]);
    assertEquals([await statusOf(port, fields(128)), await statusOf(port, fields(129))], [200, 431]);
    assertEquals([await statusOf(port, body(2 << 20)), await statusOf(port, body((2 << 20) + 1))], [200, 413]);
    assertEquals([await statusOf(port, chunks(2 << 20)), await statusOf(port, chunks((2 << 20) + 1))], [200, 413]);
  });
});

testLanes("a client that sends 16 MiB of header fields gets its 431 while it sends", async (runtime) => {
  await servingOn(runtime, httpServer(), async (server, port) => {
    assertEquals(await statusOf(port, "GET / HTTP/1.1\r\nHost: x\r\n" + `A: ${"b".repeat(1000)}\r\n`.repeat(16 * 1024)), 431);
    assertEquals(server.connections.size, 0);
  });
});

testLanes("a client that announces too large a body gets its 413 while it sends", async (runtime) => {
  await servingOn(runtime, httpServer(), async (_server, port) => {
    assertEquals(await statusOf(port, body(16 << 20)), 413);
  });
});

testLanes("WebSocket messages: at package_max_length and one past it", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ package_max_length: 100_000 });
  server.on("message", (server, { fd, bytes }) => server.push(fd, String(bytes.length)));
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 2, payload: new Uint8Array(100_000) }));
    assertEquals(new TextDecoder().decode((await client.readFrame())?.payload), "100000");
    client.send(frame({ opcode: 2, payload: new Uint8Array(100_001) }));
    const close = await client.readFrame();
    assertEquals([close?.opcode, (close!.payload[0] << 8) | close!.payload[1]], [8, 1009]);
    assertEquals((await client.readAll()).length, 0);
    assertEquals(client.error, undefined);
    client.end();
  });
});

test("max_conn is another name of max_connection", async () => {
  const server = httpServer({ max_conn: 2, websocket_close_timeout: 0.01 });
  const fds = [1, 2, 3].map(() => server.accept(memoryPipes()[0]));
  assertEquals(fds, [1, 2, 0]);
  server.shutdown();
  await server.finished;
});

testLanes("max_connection: one more is dropped, the others are served, and there is room again later", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ max_connection: 2 });
  let wake = () => {};
  server.on("message", (server, { fd, data }) => server.push(fd, data));
  server.on("close", () => wake());
  await servingOn(runtime, server, async (server, port) => {
    const first = await RawClient.open(port);
    const second = await RawClient.open(port);
    // It is reset, perhaps before it knows that it was connected.
    const third = await RawClient.connect(port).catch((error) => void assertEquals(error.code, "ECONNRESET"));
    await third?.whenEnded();
    assertEquals([server.stats().connection_num, server.stats().abort_count], [2, 1]);
    for (const client of [first, second]) {
      client.send(frame({ opcode: 1, payload: "served" }));
      assertEquals((await client.readFrame())?.payload.length, 6);
    }
    const closed = new Promise<void>((resolve) => wake = resolve);
    second.destroy();
    await closed;
    const fourth = await RawClient.open(port);
    for (const client of [first, third, fourth]) client?.destroy();
  });
});
