import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { test } from "node:test";
import {
  type ClientInfo,
  SWOOLE_BASE,
  SWOOLE_PROCESS,
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_TCP6,
  SWOOLE_SSL,
  WebSocketServer,
} from "../../mod.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { EventLog, textOf } from "./event_log.ts";

function echoServer(log: EventLog = new EventLog()): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("connect", (_server, fd) => log.add(`connect ${fd}`));
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  server.on("request", (_request, response) => response.end("hi"));
  server.on("close", (_server, fd) => log.add(`close ${fd}`));
  return server;
}

async function askOver(client: RawClient): Promise<void> {
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals((await client.readAnswer()).body, "hi");
}

function infoOf(server: WebSocketServer, fd: number): ClientInfo {
  const info = server.getClientInfo(fd);
  assert(info !== false, `There is no fd ${fd}`);
  return info;
}

test("exist() and exists() know every connection, isEstablished() the WebSockets", async () => {
  const log = new EventLog();
  await serving(echoServer(log), async (server, port) => {
    const both = (fd: number) => {
      assertEquals(server.exists(fd), server.exist(fd));
      return [server.exist(fd), server.isEstablished(fd)];
    };
    assertEquals(both(1), [false, false]);
    const client = await RawClient.connect(port);
    await log.until("connect 1");
    assertEquals(both(1), [true, false]);
    await askOver(client);
    assertEquals(both(1), [true, false]);
    client.send(handshake());
    await client.readHead();
    assertEquals(both(1), [true, true]);
    client.send(closeFrame(1000));
    await client.whenEnded();
    assertEquals(both(1), [false, false]);
    assertEquals([both(0), both(-1), both(2), both(1.5)].flat().includes(true), false);
    client.end();
  });
});

test("host, port, type, ssl and mode tell how a server was made", () => {
  const told = ({ host, port, type, ssl, mode }: WebSocketServer) => [host, port, type, ssl, mode];
  assertEquals(told(new WebSocketServer()), ["0.0.0.0", 0, SWOOLE_SOCK_TCP, false, SWOOLE_BASE]);
  const secure = new WebSocketServer("::1", 9501, SWOOLE_PROCESS, SWOOLE_SOCK_TCP6 | SWOOLE_SSL);
  assertEquals(told(secure), ["::1", 9501, SWOOLE_SOCK_TCP6, true, SWOOLE_PROCESS]);
});

test("getClientInfo() tells what is known of a connection", async () => {
  const log = new EventLog();
  const before = Math.floor(Date.now() / 1000) - 1; // the server's clock is coarse
  await serving(echoServer(log), async (server, port) => {
    const client = await RawClient.connect(port);
    await log.until("connect 1");
    const fresh = infoOf(server, 1);
    assertEquals(fresh.websocket_status, 0);
    assertEquals([fresh.server_port, fresh.socket_type, fresh.reactor_id, fresh.close_errno], [port, 1, 0, 0]);
    assertEquals([fresh.remote_ip, fresh.remote_port], ["127.0.0.1", client.socket.localPort]);
    assertEquals([fresh.recv_queued_bytes, fresh.send_queued_bytes, fresh.last_send_time], [0, 0, 0]);
    assert(Number.isInteger(fresh.connect_time) && Number.isInteger(fresh.last_time));

    client.send(handshake());
    await client.readHead();
    const open = infoOf(server, 1);
    assertEquals(open.websocket_status, 3);
    const after = Date.now() / 1000;
    for (const time of [open.connect_time, open.last_time, open.last_recv_time, open.last_send_time, open.last_dispatch_time]) {
      assertGreater(time, before);
      assertLessOrEqual(time, after);
    }
    assertLessOrEqual(open.connect_time, open.last_recv_time);

    server.push(1, "hello");
    assertEquals(infoOf(server, 1).send_queued_bytes, 7);
    assertEquals(textOf(await client.readFrame()), "hello");
    assertEquals(infoOf(server, 1).send_queued_bytes, 0);
    assertEquals(server.connection_info(1), server.getClientInfo(1));
    assertEquals([server.getClientInfo(99), server.getLastError()], [false, 1005]);

    server.disconnect(1);
    assertEquals(infoOf(server, 1).websocket_status, 4);
    client.destroy();
  });
});

test("getClientInfo() tells that the handshake is going on", async () => {
  const seen: unknown[] = [];
  const server = echoServer();
  server.on("handshake", (request, response) => {
    seen.push(infoOf(server, request.fd).websocket_status);
    response.status(403);
    response.end();
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send(handshake());
    assertEquals((await client.readAnswer()).status, 403);
    client.end();
  });
  assertEquals(seen, [2]);
});

test("getClientInfo() still knows a connection whose close or disconnect is being handled", async () => {
  const seen: unknown[] = [];
  const server = new WebSocketServer("127.0.0.1", 0);
  const note = (server: WebSocketServer, fd: number) => {
    const info = server.getClientInfo(fd);
    seen.push(info && [info.remote_ip, info.websocket_status]);
  };
  server.on("message", () => {});
  server.on("close", note);
  server.on("disconnect", note);
  await serving(server, async (server, port) => {
    const webSocket = await RawClient.open(port);
    webSocket.send(closeFrame(1000));
    await webSocket.whenEnded();
    webSocket.end();
    const http = await RawClient.connect(port);
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await http.whenEnded();
    http.end();
    assertEquals(server.getClientInfo(1), false);
    const disconnected = await RawClient.open(port);
    server.disconnect(3);
    await disconnected.readFrame();
    disconnected.send(closeFrame(1000));
    await disconnected.whenEnded();
    disconnected.end();
  });
  // 3 is an active WebSocket, 0 none, 4 one that this side has begun to close.
  assertEquals(seen, [["127.0.0.1", 3], ["127.0.0.1", 0], ["127.0.0.1", 4]]);
});

test("getClientInfo() counts what has arrived of a message", async () => {
  await serving(echoServer(), async (server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "a".repeat(1000), fin: false }));
    client.send(frame({ opcode: 9 }));
    assertEquals((await client.readFrame())?.opcode, 10);
    const { recv_queued_bytes } = infoOf(server, 1);
    assertGreater(recv_queued_bytes, 999);
    client.send(frame({ opcode: 0, payload: "b" }));
    assertEquals(textOf(await client.readFrame()), "a".repeat(1000) + "b");
    assertEquals(infoOf(server, 1).recv_queued_bytes, 0);
    client.destroy();
  });
});

test("connections are the fds of all connections, which may come and go meanwhile", async () => {
  const log = new EventLog();
  await serving(echoServer(log), async (server, port) => {
    const { connections } = server;
    assertEquals([...connections], []);
    assertEquals([connections.size, connections.count()], [0, 0]);
    const clients = [await RawClient.open(port), await RawClient.connect(port), await RawClient.open(port)];
    await askOver(clients[1]);
    await log.until("connect 3");
    assertEquals([...connections], [1, 2, 3]);
    assertEquals([connections.size, connections.count(), connections.has(2), connections.has(4)], [3, 3, true, false]);
    assertEquals(connections.get(2), server.getClientInfo(2));
    assertEquals(connections.get(4), false);

    const seen: number[] = [];
    for (const fd of connections) {
      seen.push(fd);
      server.close(fd);
    }
    assertEquals(seen, [1, 2, 3]);
    assertEquals([...connections], []);
    for (const client of clients) client.end();
  });
});

test("fds are numbers that only grow, from start_session_id on", async () => {
  const log = new EventLog();
  const server = echoServer(log);
  server.set({ start_session_id: 1000 });
  await serving(server, async (_server, port) => {
    for (let fd = 1001; fd < 1004; fd++) {
      const client = await RawClient.open(port);
      client.end();
      await client.whenEnded();
      await log.until(`close ${fd}`);
    }
  });
  assertEquals(log.lines, ["connect 1001", "close 1001", "connect 1002", "close 1002", "connect 1003", "close 1003"]);
});

test("getClientList() lists fds a page at a time", async () => {
  await serving(echoServer(), async (server, port) => {
    assertEquals(server.getClientList(), false);
    const clients: RawClient[] = [];
    for (let i = 0; i < 12; i++) clients.push(await RawClient.open(port));
    assertEquals(server.getClientList(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assertEquals(server.getClientList(10), [11, 12]);
    assertEquals(server.getClientList(0, 3), [1, 2, 3]);
    assertEquals(server.getClientList(3, 100), [4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assertEquals(server.connection_list(3, 2), [4, 5]);
    assertEquals(server.getClientList(12), false);
    for (const count of [0, -1, 101, 1.5, NaN]) {
      server.push(99, "");
      assertEquals([server.getClientList(0, count), server.getLastError()], [false, 505], `${count}`);
    }

    // The loop of Swoole's page: whatever the page size, everybody is found once.
    server.close(5);
    const found: number[] = [];
    for (let list = server.getClientList(0, 5); list !== false; list = server.getClientList(list.at(-1)!, 5)) found.push(...list);
    assertEquals(found, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]);
    for (const client of clients) client.destroy();
  });
});

test("stats() counts connections, messages and bytes", async () => {
  const log = new EventLog();
  const server = echoServer(log);
  server.set({ max_connection: 2 });
  const before = server.stats();
  assertEquals([before.start_time, before.accept_count, before.worker_num], [0, 0, 1]);
  const started = Math.floor(Date.now() / 1000);
  await serving(server, async (server, port) => {
    const client = await RawClient.connect(port);
    client.send(handshake());
    const head = await client.readHead();
    client.send(frame({ opcode: 1, payload: "hello" }));
    await client.readFrame();
    const http = await RawClient.connect(port);
    await askOver(http);
    // The system may tell of the reset before it tells that the connection was made.
    const third = await RawClient.connect(port).catch(() => undefined);
    assertEquals((await third?.readAll())?.length ?? 0, 0);

    const stats = server.stats();
    assert(stats.start_time >= started && stats.start_time <= Date.now() / 1000);
    assertEquals([stats.connection_num, stats.accept_count, stats.close_count, stats.abort_count], [2, 2, 0, 1]);
    assertEquals([stats.request_count, stats.response_count], [2, 2]); // a message and a request, each answered
    assertEquals([stats.session_round, stats.worker_num], [2, 1]);

    http.end();
    await http.whenEnded();
    await log.until("close 2");
    const received = handshake().length + 11;
    assertEquals(server.stats().total_recv_bytes, received + "GET / HTTP/1.1\r\nHost: x\r\n\r\n".length);
    assertGreater(server.stats().total_send_bytes, head.length + 7);
    assertEquals([server.stats().connection_num, server.stats().close_count], [1, 1]);
    client.destroy();
    third?.destroy();
  });
});
