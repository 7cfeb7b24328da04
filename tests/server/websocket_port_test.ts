// A port of an `HttpServer` that speaks WebSocket, as Swoole has it: its handlers are the port's own, and frames go out by `send()`.

import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { test } from "node:test";
import { Frame, HttpServer, type ServerPort, SWOOLE_SOCK_TCP } from "../../mod.ts";
import { closeFrame, frame, handshake, RawClient, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { closeCodeOf, EventLog, textOf } from "./event_log.ts";

/** An `HttpServer`, and a port of it that echoes messages. */
function serverWithPort(log: EventLog): [HttpServer, ServerPort<HttpServer>] {
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", (request, response) => response.end(`page ${request.server.path_info}`));
  server.on("error", (_server, error) => log.add(String(error)));
  const port = server.listen("127.0.0.1", 0, SWOOLE_SOCK_TCP) as ServerPort<HttpServer>;
  port.set({ open_http_protocol: true, open_websocket_protocol: true });
  port.on("message", (server, frame) => void server.send(frame.fd, Frame.pack(`you said ${frame.data}`)));
  port.on("close", (_server, fd) => log.add(`close ${fd}`));
  return [server, port];
}

async function get(port: number, path: string): Promise<string> {
  return await (await fetch(`http://127.0.0.1:${port}${path}`)).text();
}

test("a WebSocket port of an HttpServer: the server's own handshake, open, message, close, and plain HTTP beside it", async () => {
  const log = new EventLog();
  const [server, port] = serverWithPort(log);
  port.on("open", (_server, request) => log.add(`open ${request.server.path_info}`));
  await serving(server, async () => {
    const client = await RawClient.open(port.port, "/chat");
    client.send(frame({ opcode: 1, payload: "hello" }));
    assertEquals(textOf(await client.readFrame()), "you said hello");
    assertEquals(await get(port.port, "/a"), "page /a");
    client.send(closeFrame(4000));
    assertEquals(closeCodeOf(await client.readFrame()), 4000);
    await client.whenEnded();
    client.end();
    await log.until("close 1");

    const other = await RawClient.connect(port.port);
    other.send(handshake("/", { Origin: "https://evil.example" }));
    assertEquals((await other.readAnswer()).status, 403);
    other.end();
  });
  assertEquals(log.lines.slice(0, 2), ["open /chat", "close 1"]);
});

test("a WebSocket port of an HttpServer: its own handshake handler", async () => {
  const log = new EventLog();
  const [server, port] = serverWithPort(log);
  port.on("open", () => log.add("open"));
  port.on("handshake", (request, response) => {
    if (request.server.path_info !== "/chat") {
      response.status(403);
      return response.end();
    }
    response.header("Upgrade", "websocket");
    response.header("Connection", "Upgrade");
    response.header("Sec-WebSocket-Accept", SAMPLE_ACCEPT);
    response.status(101);
    return response.end();
  });
  await serving(server, async () => {
    const client = await RawClient.open(port.port, "/chat");
    client.send(frame({ opcode: 1, payload: "hello" }));
    assertEquals(textOf(await client.readFrame()), "you said hello");
    const refused = await RawClient.connect(port.port);
    refused.send(handshake("/other"));
    assertEquals((await refused.readAnswer()).status, 403);
    for (const one of [client, refused]) one.destroy();
  });
  assertFalse(log.lines.includes("open"));
});

test("a WebSocket port of an HttpServer: push() and the like say whose methods they are", async () => {
  const log = new EventLog();
  const [server, port] = serverWithPort(log);
  // deno-lint-ignore no-explicit-any
  const any = server as any;
  for (const method of ["push", "ping", "disconnect", "isEstablished"]) {
    const { message } = assertThrows(() => any[method](1, "x"), TypeError);
    assert(message.startsWith(`Cannot call ${method}(): it is a method of WebSocketServer; make one of these`), message);
  }
  port.on("message", (_server, frame) => any.push(frame.fd, frame));
  await serving(server, async () => {
    const client = await RawClient.open(port.port);
    client.send(frame({ opcode: 1, payload: "hello" }));
    assertEquals(closeCodeOf(await client.readFrame()), 1011);
    client.destroy();
  });
  assert(log.lines.some((line) => line.startsWith("TypeError: Cannot call push()")), log.lines.join());
});

test("a WebSocket port of an HttpServer: the server's own port knows no upgrades", async () => {
  const log = new EventLog();
  const [server, port] = serverWithPort(log);
  await serving(server, async (server) => {
    const client = await RawClient.connect(server.port);
    client.send(handshake("/page"));
    const { status, body } = await client.readAnswer();
    assertEquals([status, body], [200, "page /page"]);
    client.destroy();
    assertEquals(await get(port.port, "/b"), "page /b");
  });
});

test("a WebSocket port of an HttpServer: close() ends a connection, shutdown() closes those that are open with 1001", async () => {
  const log = new EventLog();
  const [server, port] = serverWithPort(log);
  await server.start();
  const [first, second] = [await RawClient.open(port.port), await RawClient.open(port.port)];
  assert(server.close(1));
  assertEquals(await first.readFrame(), null);
  first.end();
  server.shutdown();
  assertEquals(closeCodeOf(await second.readFrame()), 1001);
  second.send(closeFrame(1001));
  await second.whenEnded();
  second.end();
  await server.finished;
  assertEquals(log.lines.toSorted(), ["close 1", "close 2"]);
});
