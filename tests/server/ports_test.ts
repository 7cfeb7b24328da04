// Several ports on one server.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import { test } from "node:test";
import {
  HttpServer,
  Server,
  ServerPort,
  SWOOLE_BASE,
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_UNIX_STREAM,
  SWOOLE_SSL,
  WebSocketServer,
} from "../../mod.ts";
import { mergeSettings } from "../../src/server/settings/settings.ts";
import { inFolder } from "../support/folder.ts";
import { startOn, testLanes } from "../support/lanes.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { memoryPipes } from "../support/memory_pipe.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { connectTls, tlsSettings } from "../support/tls_client.ts";
import { EventLog, textOf } from "./event_log.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const GET = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/** A WebSocket server that says what it gets, and where. */
function echoServer(log: EventLog = new EventLog()): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => server.push(frame.fd, `main ${frame.data}`));
  server.on("request", (_request, response) => response.end("main"));
  server.on("receive", (server, fd, _reactorId, data) => server.send(fd, `main ${text(data)}`));
  server.on("connect", (_server, fd) => log.add(`connect ${fd}`));
  server.on("close", (_server, fd) => log.add(`close ${fd}`));
  return server;
}

async function ask(port: number): Promise<string> {
  const client = await RawClient.connect(port);
  client.send(GET);
  const { status, body } = await client.readAnswer();
  client.end();
  await client.whenEnded();
  return `${status} ${body}`;
}

async function say(port: number, payload: string): Promise<string | null> {
  const client = await RawClient.open(port);
  client.send(frame({ opcode: 1, payload }));
  const answer = textOf(await client.readFrame());
  client.send(closeFrame(1000));
  await client.whenEnded();
  client.end();
  return answer;
}

testLanes("one server listens on TCP, on another port, on a unix socket and over TLS", (runtime) =>
  inFolder(async (folder) => {
    const server = echoServer();
    const second = server.listen("127.0.0.1", 0);
    const unix = server.addListener(join(folder, "s"), 0, SWOOLE_SOCK_UNIX_STREAM);
    const secure = server.addlistener("127.0.0.1", 0, SWOOLE_SOCK_TCP | SWOOLE_SSL);
    secure.set({ ...tlsSettings, open_websocket_protocol: true });
    assertEquals(second.port, 0);
    await startOn(runtime, server);
    try {
      assert(second instanceof ServerPort);
      assertEquals([server.ports.length, server.ports[1] === second, server.ports[0].port], [4, true, server.port]);
      assert(second.port !== 0 && second.port !== server.port);
      assertEquals([second.host, second.type, second.ssl], ["127.0.0.1", SWOOLE_SOCK_TCP, false]);
      assertEquals([unix.host, unix.port, unix.type], [join(folder, "s"), 0, SWOOLE_SOCK_UNIX_STREAM]);
      assertEquals([secure.ssl, secure.setting.open_websocket_protocol], [true, true]);
      for (const port of [server.port, second.port]) {
        assertEquals([await say(port, "hi"), await ask(port)], ["main hi", "200 main"]);
      }
      const local = await RawClient.open({ path: unix.host });
      local.send(frame({ opcode: 1, payload: "unix" }));
      assertEquals(textOf(await local.readFrame()), "main unix");
      const tls = await connectTls(secure.port);
      tls.send(GET);
      assertEquals((await tls.readAnswer()).body, "main");
      tls.end();
      local.destroy();
    } finally {
      server.shutdown();
      await server.finished;
    }
    for (const target of [server.port, second.port, secure.port]) {
      assertEquals((await assertRejects(() => RawClient.connect(target)) as { code?: string }).code, "ECONNREFUSED");
    }
  }));

test("a port's own handlers take precedence over the server's, for its connections only", async () => {
  const log = new EventLog();
  const server = echoServer(log);
  const port = server.listen("127.0.0.1", 0);
  port.on("message", (server, frame) => server.push(frame.fd, `port ${frame.data}`));
  port.on("Close", (_server, fd) => log.add(`port close ${fd}`));
  assertEquals([port.getCallback("MESSAGE") !== null, port.getCallback("connect")], [true, null]);
  assert(server.ports[0].getCallback("connect") === server.getCallback("connect"));
  await serving(server, async (server) => {
    assertEquals([await say(server.port, "a"), await say(port.port, "b"), await ask(port.port)], [
      "main a",
      "port b",
      "200 main",
    ]);
    await log.until("port close 3");
  });
  assertEquals(log.lines, ["connect 1", "close 1", "connect 2", "port close 2", "connect 3", "port close 3"]);
});

test("a port with settings speaks what they say; one without speaks what the server speaks", async () => {
  const server = echoServer();
  const ports = {
    same: server.listen("127.0.0.1", 0),
    raw: server.listen("127.0.0.1", 0),
    http: server.listen("127.0.0.1", 0),
    webSocket: server.listen("127.0.0.1", 0),
  };
  ports.raw.set({ open_tcp_nodelay: true });
  ports.http.set({ open_http_protocol: true });
  ports.webSocket.set({ open_websocket_protocol: true });
  await serving(server, async () => {
    assertEquals([await say(ports.same.port, "x"), await ask(ports.same.port)], ["main x", "200 main"]);
    assertEquals([await say(ports.webSocket.port, "x"), await ask(ports.webSocket.port)], ["main x", "200 main"]);
    assertEquals(await ask(ports.http.port), "200 main");
    const plain = await RawClient.connect(ports.http.port);
    plain.send(handshake());
    assertEquals((await plain.readAnswer()).status, 200);
    plain.destroy();
    const raw = await RawClient.connect(ports.raw.port);
    raw.send(GET);
    assertEquals(text(await raw.read(5 + GET.length)), `main ${GET}`);
    raw.destroy();
  });
});

test("fds, push(), send(), close() and the lists go over all ports", async () => {
  const log = new EventLog();
  const server = echoServer(log);
  const other = server.listen("127.0.0.1", 0);
  const raw = server.listen("127.0.0.1", 0);
  raw.set({ open_eof_split: true });
  await serving(server, async (server) => {
    const first = await RawClient.open(server.port);
    const second = await RawClient.open(other.port);
    const third = await RawClient.connect(raw.port);
    await log.until("connect 3");
    assertEquals([...server.connections], [1, 2, 3]);
    assertEquals(server.ports.map(({ connections }) => [...connections]), [[1], [2], [3]]);
    const list = other.connections;
    assertEquals([list.size, list.count(), list.has(2), list.has(1), list.get(1)], [1, 1, true, false, false]);
    assertEquals(list.get(2), server.getClientInfo(2));
    const portOf = (fd: number) => {
      const info = server.getClientInfo(fd);
      return info && info.server_port;
    };
    assertEquals([1, 2, 3].map(portOf), [server.port, other.port, raw.port]);
    assertEquals([server.push(2, "hello"), server.push(1, "hello")], [true, true]);
    assertEquals([textOf(await first.readFrame()), textOf(await second.readFrame())], ["hello", "hello"]);
    assertEquals([server.push(3, "x"), server.getLastError(), server.isEstablished(3)], [false, 8503, false]);
    server.send(3, "raw");
    assertEquals(text(await third.read(3)), "raw");
    server.close(3);
    await third.whenEnded();
    assertEquals(server.ports.map(({ connections }) => connections.size), [1, 1, 0]);
    for (const client of [first, second, third]) client.destroy();
  });
});

test("what a port does not set is the server's; limits are those of the port that a client came in by", async () => {
  const server = echoServer();
  server.set({ package_max_length: 20, socket_buffer_size: 1000 });
  const port = server.listen("127.0.0.1", 0);
  port.set({ open_websocket_protocol: true, package_max_length: 10, socket_buffer_size: 100 });
  const inherits = server.listen("127.0.0.1", 0);
  inherits.set({ open_websocket_protocol: true });
  await serving(server, async (server) => {
    const closeCode = async (where: number, length: number) => {
      const client = await RawClient.open(where);
      client.send(frame({ opcode: 1, payload: "x".repeat(length) }));
      const answer = await client.readFrame();
      client.destroy();
      return answer!.opcode === 8 ? answer!.payload[0] * 256 + answer!.payload[1] : 0;
    };
    assertEquals([await closeCode(server.port, 20), await closeCode(port.port, 20)], [0, 1009]);
    assertEquals([await closeCode(inherits.port, 20), await closeCode(inherits.port, 21)], [0, 1009]);
    const clients = [await RawClient.open(server.port), await RawClient.open(port.port)];
    const [atServer, atPort] = [...server.connections].slice(-2);
    for (const [fd, room] of [[atServer, true], [atPort, false]] as const) {
      server.send(fd, "x"); // what waits is limited, not the first
      assertEquals([server.push(fd, "y".repeat(200)), server.send(fd, "z".repeat(200))], [room, room]);
    }
    for (const client of clients) client.destroy();
  });
});

test("a port's watermarks are its own", async () => {
  const log = new EventLog();
  const server = new Server("127.0.0.1", 0);
  server.on("receive", () => {});
  server.on("bufferFull", (_server, fd) => log.add(`full ${fd}`));
  const port = server.listen("127.0.0.1", 0);
  port.set({ buffer_high_watermark: 10 });
  port.on("bufferEmpty", (_server, fd) => log.add(`empty ${fd}`));
  const clients = [new MemoryClient(server), new MemoryClient(port)];
  server.send(1, "x".repeat(20));
  server.send(2, "x".repeat(20));
  await log.until("empty 2");
  assertEquals(log.lines, ["full 2", "empty 2"]);
  for (const client of clients) client.drop();
  server.shutdown();
  await server.finished;
});

test("disconnect tells of connections that were no WebSocket, on ports for WebSockets only", async () => {
  const log = new EventLog();
  const server = echoServer(log);
  server.on("disconnect", (_server, fd) => log.add(`disconnect ${fd}`));
  const raw = server.listen("127.0.0.1", 0);
  raw.set({ open_eof_split: true });
  const http = server.listen("127.0.0.1", 0);
  http.set({ open_http_protocol: true });
  const accepting = [server, raw, http];
  for (const [i, where] of accepting.entries()) {
    const client = new MemoryClient(where);
    client.end();
    await log.until(i === 0 ? "disconnect 1" : `close ${i + 1}`);
  }
  server.shutdown();
  await server.finished;
});

test("ports find packages each in their way", async () => {
  const log = new EventLog();
  const server = new Server("127.0.0.1", 0);
  server.set({ open_eof_split: true, package_eof: ";" });
  server.on("receive", (_server, fd, _reactorId, data) => log.add(`${fd} ${text(data)}`));
  const counted = server.listen("127.0.0.1", 0);
  counted.set({ open_length_check: true, package_length_type: "C", package_body_offset: 1 });
  const lines = server.listen("127.0.0.1", 0);
  lines.set({ package_eof: "\n" });
  assertEquals(mergeSettings({ open_length_check: true, backlog: 9 }, { open_eof_check: true }), {
    open_length_check: false,
    open_eof_check: true,
    backlog: 9,
  });
  const clients = [new MemoryClient(server), new MemoryClient(counted), new MemoryClient(lines)];
  clients[0].send("a;b;\n");
  await log.until("1 b;");
  clients[1].send("\x02a;\x01b");
  await log.until("2 \x01b");
  clients[2].send("a;b\n");
  await log.until("3 a;b\n");
  assertEquals(log.lines, ["1 a;", "1 b;", "2 \x02a;", "2 \x01b", "3 a;b\n"]);
  for (const client of clients) client.drop();
  server.shutdown();
  await server.finished;
});

testLanes("when one port cannot be bound none is, start() says which, and works once it can", async (runtime) => {
  const blocker = new Server("127.0.0.1", 0);
  blocker.on("receive", () => {});
  await startOn(runtime, blocker);
  const server = echoServer();
  const before = server.listen("127.0.0.1", 0);
  server.listen("127.0.0.1", blocker.port);
  let bound = 0;
  const watched = {
    ...runtime,
    listen: async (...args: Parameters<typeof runtime.listen>) => {
      const listener = await runtime.listen(...args);
      bound = listener.address.port;
      return listener;
    },
  };
  const error = await assertRejects(() => startOn(watched, server), Error, `127.0.0.1:${blocker.port}`);
  assertEquals((error as { code?: string }).code, "EADDRINUSE");
  assert(bound !== 0);
  assertEquals((await assertRejects(() => RawClient.connect(bound)) as { code?: string }).code, "ECONNREFUSED");
  assertEquals([before.port, server.port], [0, 0]);
  blocker.shutdown();
  await blocker.finished;
  await startOn(runtime, server);
  assertEquals(await ask(before.port), "200 main");
  server.shutdown();
  await server.finished;
});

test("a port that lacks a handler or a certificate keeps the server from starting, and is named", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", () => {});
  server.listen("127.0.0.1", 0).set({ open_tcp_nodelay: true });
  await assertRejects(() => server.start(), TypeError, "receive, which the port 127.0.0.1:0 needs");

  const second = new HttpServer("127.0.0.1", 0);
  second.on("request", () => {});
  second.listen("127.0.0.1", 0, SWOOLE_SOCK_TCP | SWOOLE_SSL);
  await assertRejects(() => second.start(), TypeError, "ssl_cert_file");

  const third = new HttpServer("127.0.0.1", 0);
  third.on("request", () => {});
  third.listen("127.0.0.1", 0).set({ open_websocket_protocol: true });
  await assertRejects(() => third.start(), TypeError, "message, which the port 127.0.0.1:0 needs");

  const fourth = new Server("127.0.0.1", 0);
  fourth.on("receive", () => {});
  fourth.listen("127.0.0.1", 0).set({ open_websocket_protocol: true });
  await assertRejects(() => fourth.start(), TypeError, "open_websocket_protocol: a server of this class does not speak it");
});

test("a port with a handler that would never be called keeps the server from starting", async () => {
  for (
    const [settings, event, words] of [
      [{ open_http_protocol: true }, "message", "message, which needs open_websocket_protocol: true on that port"],
      [{ open_tcp_nodelay: true }, "open", "open, which needs open_websocket_protocol: true on that port"],
      [{ open_tcp_nodelay: true }, "request", "request, which needs open_http_protocol: true on that port"],
      [undefined, "handshake", "handshake, which needs open_websocket_protocol: true on that port"],
    ] as const
  ) {
    const server = new HttpServer("127.0.0.1", 0);
    server.on("request", () => {});
    const port = server.listen("127.0.0.1", 0);
    if (settings !== undefined) port.set(settings);
    port.on(event, () => {});
    port.on("receive", () => {});
    await assertRejects(() => server.start(), TypeError, `the port 127.0.0.1:0 has a handler for ${words}`);
  }
});

test("a port refuses what holds for the whole server, and what its server has not", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", (_request, response) => response.end());
  const port = server.listen("127.0.0.1", 0);
  for (const key of ["max_connection", "max_wait_time", "enable_signal_handlers", "log_file", "event_object"]) {
    assertThrows(() => port.set({ [key]: 1 } as never), TypeError, key);
  }
  assertThrows(() => port.set({ max_conn: 1 } as never), TypeError, "max_conn on a port");
  assertThrows(() => port.set({ backlog: -1 }), RangeError, "backlog");
  for (const event of ["start", "task", "nothing"]) {
    assertThrows(() => port.on(event as never, (() => {}) as never), TypeError, event);
  }
  assertThrows(() => port.on("request", 1 as never), TypeError, "request");
  assertThrows(() => server.set({ open_websocket_protocol: true }), TypeError, "open_websocket_protocol");
  assertThrows(() => server.set({ open_http_protocol: false }), TypeError, "open_http_protocol");
  server.set({ open_http_protocol: true, open_websocket_protocol: false });
  await serving(server, () => {
    assertThrows(() => port.set({ backlog: 1 }), Error, "the server has started");
    assertThrows(() => server.listen("127.0.0.1", 0), Error, "the server has started");
    return Promise.resolve();
  });
});

test("listen() refuses what is no place to listen, as the constructor does", () => {
  const server = new Server("127.0.0.1", 0);
  for (const make of [(...args: never) => server.listen(...args as [string, 0]), (...args: never) => new Server(...args as [])]) {
    const call = (...args: unknown[]) => () => make(...args as never);
    assertThrows(call("127.0.0.1", 65536), RangeError, "65536");
    assertThrows(call("", 0), TypeError, "host");
  }
  assertThrows(() => server.listen("127.0.0.1", 0, 99), RangeError, "99");
  assertEquals(server.ports.length, 1);
});

test("accept() of a port serves a connection as if it had come in there", async () => {
  const server = echoServer();
  const port = server.listen("127.0.0.1", 0);
  port.on("request", (_request, response) => response.end("port"));
  const clients = [new MemoryClient(port), new MemoryClient(server)];
  for (const client of clients) client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals([(await clients[0].readAnswer()).body, (await clients[1].readAnswer()).body], ["port", "main"]);
  assertEquals([[...port.connections], [...server.connections]], [[1], [1, 2]]);
  for (const client of clients) client.drop();
  server.shutdown();
  await server.finished;
  assertEquals(port.accept(memoryPipes()[0]), 0);
});

test("the server's own port can be set and heard through ports[0]", async () => {
  const server = new Server("127.0.0.1", 0, SWOOLE_BASE);
  server.ports[0].set({ open_eof_split: true, package_eof: "." });
  server.ports[0].on("receive", (server, fd, _reactorId, data) => server.send(fd, `${text(data)}!`));
  assertEquals(server.setting.package_eof, ".");
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send("a.b.");
    assertEquals(text(await client.read(6)), "a.!b.!");
    client.destroy();
  });
});

test("shutdown() ends the connections of every port in the way of their protocol", async () => {
  const log = new EventLog();
  const server = echoServer(log);
  const raw = server.listen("127.0.0.1", 0);
  raw.set({ open_eof_check: true });
  await server.start();
  const webSocket = await RawClient.open(server.port);
  const plain = await RawClient.connect(raw.port);
  await log.until("connect 2");
  server.shutdown();
  assertEquals((await webSocket.readFrame())?.payload, new Uint8Array([0x03, 0xe9]));
  assertEquals((await plain.readAll()).length, 0);
  webSocket.send(closeFrame(1001));
  webSocket.end();
  plain.end();
  await server.finished;
});
