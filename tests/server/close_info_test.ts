// How connections end: what the handlers of `close` and `disconnect` are told behind Swoole's arguments.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { CloseFrame, CloseInfo, HttpServer, Server, ServerEvent, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";

/** What is expected of an end: code, reason, wasClean, initiator, the reactor number of Swoole. */
type Expected = readonly [code: number, reason: string, wasClean: boolean, initiator: string, reactorId: number];

interface End {
  event: string;
  args: unknown[];
}

/** A server whose `message` handler does what it is told, and which keeps the last end. */
function endingServer(settings: ServerSettings = {}): { server: WebSocketServer; ended: Promise<End> } {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ log_level: 6, ...settings });
  const { promise, resolve } = signal<End>();
  server.on("error", () => {});
  server.on("message", (server, frame) => {
    if (frame instanceof CloseFrame) return void server.push(frame.fd, closeWith(3333));
    if (frame.data === "throw") throw new Error("thrown");
    if (frame.data === "reject") return Promise.reject(new Error("rejected"));
    if (frame.data === "disconnect") server.disconnect(frame.fd, 4000, "enough");
    if (frame.data === "close") server.close(frame.fd);
    if (frame.data === "reset") server.close(frame.fd, true);
    if (frame.data === "shutdown") server.shutdown();
  });
  server.on("request", () => new Promise<void>(() => {}));
  server.on("close", (_server: unknown, ...args: unknown[]) => resolve({ event: "close", args }));
  server.on("disconnect", (_server: unknown, ...args: unknown[]) => resolve({ event: "disconnect", args }));
  return { server, ended: promise };
}

function closeWith(code: number): CloseFrame {
  const close = new CloseFrame();
  close.code = code;
  return close;
}

function say(text: string): Uint8Array {
  return frame({ opcode: 1, payload: text });
}

/** Checks the arguments of `close`, returns the error in the last one. */
function checkEnd({ event, args }: End, expectedEvent: string, expected: Expected): unknown {
  const [code, reason, wasClean, initiator, reactorId] = expected;
  const info = args[2] as CloseInfo;
  assert(info instanceof CloseInfo);
  assertEquals([event, args.length, args[0], args[1]], [expectedEvent, 3, 1, reactorId]);
  assertEquals([info.code, info.reason, info.wasClean, info.initiator], [code, reason, wasClean, initiator]);
  return info.error;
}

interface Way {
  name: string;
  settings?: ServerSettings;
  act(client: RawClient, server: WebSocketServer): unknown;
  expected: Expected;
  /** A setting that a `TimeoutError` names, or the message of what was thrown. */
  error?: string;
}

const WAYS: readonly Way[] = [
  {
    name: "the client's Close with code and reason",
    act: (client) => client.send(closeFrame(4001, "bye")),
    expected: [4001, "bye", true, "remote", 0],
  },
  {
    name: "the client's Close without a code",
    act: (client) => client.send(closeFrame()),
    expected: [1005, "", true, "remote", 0],
  },
  {
    name: "the client's Close, answered by the program with another code",
    settings: { open_websocket_close_frame: true },
    act: (client) => client.send(closeFrame(1000, "first")),
    expected: [1000, "first", true, "remote", 0],
  },
  { name: "the client's FIN", act: (client) => client.end(), expected: [1006, "", false, "remote", 0] },
  { name: "disconnect(), answered", act: answered("disconnect", 4000), expected: [4000, "enough", true, "local", -1] },
  {
    name: "disconnect(), answered with another code",
    act: answered("disconnect", 1000),
    expected: [4000, "enough", true, "local", -1],
  },
  {
    name: "disconnect(), not answered",
    settings: { websocket_close_timeout: 0.05 },
    act: (client) => client.send(say("disconnect")),
    expected: [4000, "enough", false, "local", -1],
    error: "websocket_close_timeout",
  },
  {
    name: "disconnect(), answered by FIN",
    act: async (client) => {
      client.send(say("disconnect"));
      await client.readFrame();
      client.end();
    },
    expected: [4000, "enough", false, "local", -1],
  },
  { name: "close()", act: (client) => client.send(say("close")), expected: [1006, "", false, "local", -1] },
  { name: "close() with reset", act: (client) => client.send(say("reset")), expected: [1006, "", false, "local", -1] },
  {
    name: "a frame that is not masked",
    act: (client) => client.send(frame({ opcode: 1, payload: "x", mask: false })),
    expected: [1002, "the frame is not masked", false, "local", 0],
  },
  {
    name: "a text that is not UTF-8",
    act: (client) => client.send(frame({ opcode: 1, payload: [0xff] })),
    expected: [1007, "text is not UTF-8", false, "local", 0],
  },
  {
    name: "a message that is too big",
    settings: { package_max_length: 10 },
    act: (client) => client.send(say("much too big")),
    expected: [1009, "the message is too big", false, "local", 0],
  },
  {
    name: "a Close that may not be",
    act: (client) => client.send(closeFrame(1006)),
    expected: [1002, "the Close frame is not valid", false, "local", 0],
  },
  {
    name: "a handler that throws",
    act: (client) => client.send(say("throw")),
    expected: [1011, "", false, "local", 0],
    error: "thrown",
  },
  {
    name: "a handler that rejects",
    act: (client) => client.send(say("reject")),
    expected: [1011, "", false, "local", 0],
    error: "rejected",
  },
  {
    name: "a peer that answers no ping",
    settings: { websocket_ping_interval: 0.05, websocket_ping_timeout: 0.05 },
    act: () => {},
    expected: [1006, "", false, "local", 0],
    error: "websocket_ping_timeout",
  },
  {
    name: "heartbeat_idle_time",
    settings: { heartbeat_idle_time: 0.1, heartbeat_check_interval: 0.1 },
    act: () => {},
    expected: [1006, "", false, "local", 0],
    error: "heartbeat_idle_time",
  },
  {
    name: "max_idle_time",
    settings: { max_idle_time: 0.1 },
    act: () => {},
    expected: [1006, "", false, "local", 0],
    error: "max_idle_time",
  },
  {
    name: "websocket_message_timeout",
    settings: { websocket_message_timeout: 0.1 },
    act: (client) => client.send(frame({ opcode: 1, payload: "begun", fin: false })),
    expected: [1008, "the message takes too long", false, "local", 0],
    error: "websocket_message_timeout",
  },
  { name: "shutdown(), answered", act: answered("shutdown", 1001), expected: [1001, "", true, "local", -1] },
  {
    name: "shutdown(), not answered",
    settings: { websocket_close_timeout: 0.05 },
    act: (client) => client.send(say("shutdown")),
    expected: [1001, "", false, "local", -1],
    error: "websocket_close_timeout",
  },
];

function answered(order: string, code: number) {
  return async (client: RawClient) => {
    client.send(say(order));
    await client.readFrame();
    client.send(closeFrame(code));
  };
}

function checkError(error: unknown, expected: string | undefined): void {
  if (expected === undefined) return assertEquals(error, undefined);
  assert(error instanceof Error);
  if (!expected.includes("_")) return assertEquals(error.message, expected);
  assertEquals(error.name, "TimeoutError");
  assert(error.message.endsWith(` within ${expected}`), error.message);
}

for (const { name, settings, act, expected, error } of WAYS) {
  test(`close tells of ${name}`, async () => {
    const { server, ended } = endingServer(settings);
    await serving(server, async (server, port) => {
      const client = await RawClient.open(port);
      await act(client, server);
      checkError(checkEnd(await ended, "close", expected), error);
      client.destroy();
      if (expected[0] === 1006) assertEquals(server.stats().closes, { 1006: 1 });
    });
  });
}

test("close tells of a reset, with the error of the transport", async () => {
  const { server, ended } = endingServer();
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.socket.resetAndDestroy();
    const { args } = await ended;
    const info = args[2] as CloseInfo;
    assertEquals([info.code, info.wasClean, info.initiator], [1006, false, "remote"]);
    assert(info.error === undefined || info.error instanceof Error);
  });
});

test("heartbeat() is one of ours", async () => {
  const { server, ended } = endingServer({ heartbeat_check_interval: 60, heartbeat_idle_time: 0.001 });
  await serving(server, async (server, port) => {
    const client = await RawClient.open(port);
    while ((server.heartbeat() || []).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    checkError(checkEnd(await ended, "close", [1006, "", false, "local", -1]), "heartbeat_idle_time");
    client.destroy();
  });
});

const GET = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
const POST = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";

const PLAIN: readonly Way[] = [
  { name: "a client that has sent nothing and ends", act: (client) => client.end(), expected: [0, "", true, "remote", 0] },
  {
    name: "a request that is none",
    act: (client) => client.send("GET /x\r\n\r\n"),
    expected: [0, "the request line is malformed", true, "local", 0],
  },
  {
    name: "a client that goes while its response is pending",
    act: (client) => {
      client.send(GET);
      client.end();
    },
    expected: [0, "", false, "remote", 0],
  },
  {
    name: "a head that does not arrive",
    settings: { http_header_timeout: 0.1 },
    act: (client) => client.send("GET"),
    expected: [0, "the request took too long", false, "local", 0],
    error: "http_header_timeout",
  },
  {
    name: "a connection on which nothing comes",
    settings: { http_header_timeout: 0.1 },
    act: () => {},
    expected: [0, "", false, "local", 0],
    error: "http_header_timeout",
  },
  {
    name: "a body that does not arrive",
    settings: { http_body_timeout: 0.1 },
    act: (client) => client.send(POST),
    expected: [0, "the body took too long", false, "local", 0],
    error: "http_body_timeout",
  },
  ...[
    "GET / HT",
    "GET / HTTP/1.1\r\nHost: x",
    POST + "abc",
    POST.replace("Content-Length: 5", "Transfer-Encoding: chunked") + "3\r\nab",
  ]
    .map((part): Way => ({
      name: `a client that ends behind ${JSON.stringify(part)}`,
      act: (client) => {
        client.send(part);
        client.end();
      },
      expected: [0, "", false, "remote", 0],
    })),
  {
    name: "a client that ends behind an empty line",
    act: (client) => {
      client.send("\r\n");
      client.end();
    },
    expected: [0, "", true, "remote", 0],
  },
  {
    name: "close() in the middle of a head",
    act: async (client, server) => {
      client.send("GET / HT");
      while (server.stats().total_recv_bytes !== 8) await new Promise((resolve) => setTimeout(resolve, 1));
      server.close(1);
    },
    expected: [0, "", false, "local", -1],
  },
  {
    name: "a body that is too large",
    settings: { package_max_length: 4 },
    act: (client) => client.send(POST),
    expected: [0, "the body is too large", true, "local", 0],
  },
  {
    name: "a handshake that is refused",
    act: (client) => client.send(handshake("/", { Origin: "https://other.example" })),
    expected: [0, "pages of this origin may not connect", true, "local", -1],
  },
  {
    name: "close() of plain HTTP",
    act: async (client, server) => {
      client.send(GET);
      while (server.stats().request_count === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      server.close(1);
    },
    expected: [0, "", false, "local", -1],
  },
  {
    name: "a response that shutdown() cuts off",
    act: async (client, server) => {
      client.send(GET);
      while (server.stats().request_count === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      server.shutdown(0.05);
    },
    expected: [0, "", false, "local", -1],
    error: "max_wait_time",
  },
];

for (const { name, settings, act, expected, error } of PLAIN) {
  test(`disconnect tells of ${name}`, async () => {
    const { server, ended } = endingServer(settings);
    await serving(server, async (server, port) => {
      const client = await RawClient.connect(port);
      await act(client, server);
      const end = await ended;
      checkError(checkEnd(end, "disconnect", expected), error);
      assertEquals((end.args[2] as CloseInfo).data === undefined, !name.startsWith("a handshake"));
      client.destroy();
      server.shutdown(0);
    });
  });
}

/** An HTTP server with a `request` handler and settings, a client that sends something, and the end of its connection. */
async function endOfRequest(
  settings: ServerSettings,
  handler: Parameters<HttpServer["on"]>[1],
  request: string,
  reads = true,
): Promise<{ info: CloseInfo; server: HttpServer }> {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ log_level: 6, ...settings });
  const { promise, resolve } = signal<CloseInfo>();
  server.on("error", () => {});
  server.on("request", handler as never);
  server.on("close", (_server, _fd, _reactorId, info) => resolve(info));
  let info!: CloseInfo;
  await serving(server, async (server, port) => {
    const client = await RawClient.connect(port);
    if (!reads) client.socket.pause();
    client.send(request);
    info = await promise;
    client.destroy();
    server.shutdown(0);
  });
  return { info, server };
}

test("close of an HttpServer: a handler that throws, one that is late with the rest, a client that has its response", async () => {
  const thrown = new Error("thrown");
  const failing = await endOfRequest({}, () => Promise.reject(thrown), GET);
  assertStrictEquals(failing.info.error, thrown);
  assertEquals([failing.info.code, failing.info.initiator, failing.info.wasClean], [0, "local", false]);
  assertEquals(failing.server.stats().error_count, 1);

  const late = await endOfRequest(
    { http_handler_timeout: 0.1 },
    ((_request: unknown, response: { write(text: string): void }) => {
      response.write("begun");
      return new Promise(() => {});
    }) as never,
    GET,
  );
  checkError(late.info.error, "http_handler_timeout");
  assertEquals([late.info.initiator, late.info.wasClean], ["local", false]);
  assertEquals([late.server.stats().timeouts, late.server.stats().timeout_count], [{ http_handler_timeout: 1 }, 1]);

  const last = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
  const { info } = await endOfRequest({}, ((_request: unknown, response: { end(): void }) => response.end()) as never, last);
  assertEquals([info.code, info.reason, info.wasClean, info.initiator, info.error], [0, "", true, "local", undefined]);

  const idle = await endOfRequest(
    { http_keepalive_timeout: 0.1 },
    ((_request: unknown, response: { end(): void }) => response.end()) as never,
    GET,
  );
  assertEquals([idle.info.reason, idle.info.wasClean, idle.info.error], ["the connection was idle", true, undefined]);
});

test("a client that takes nothing of its response: http_send_timeout", async () => {
  const { info } = await endOfRequest(
    { http_send_timeout: 0.3, socket_buffer_size: 64 * 1024 * 1024 },
    ((
      _request: unknown,
      response: { end(data: Uint8Array): void },
    ) => response.end(new Uint8Array(32 * 1024 * 1024))) as never,
    GET,
    false,
  );
  checkError(info.error, "http_send_timeout");
  assertEquals([info.code, info.wasClean, info.initiator], [0, false, "local"]);
});

test("close of a raw server: FIN, close(), a handler that throws, a package that is too long or cut off, idleness", async () => {
  const PARTS: ServerSettings = { open_eof_split: true, package_eof: ";" };
  const ways: [ServerSettings, (client: RawClient, server: Server) => unknown, Expected, string?][] = [
    [{}, (client) => client.end(), [0, "", true, "remote", 0]],
    [{}, (client) => client.send("close"), [0, "", true, "local", -1]],
    [{}, (client) => client.send("reset"), [0, "", false, "local", -1]],
    [{}, (client) => client.send("throw"), [0, "", false, "local", -1], "thrown"],
    [{ max_idle_time: 0.1 }, () => {}, [0, "", false, "local", 0], "max_idle_time"],
    [
      { open_eof_check: true, package_eof: "\n", package_max_length: 4 },
      (client) => client.send("too long"),
      [0, "Package length too large", false, "local", -1],
    ],
    [PARTS, (client) => (client.send("ab"), client.end()), [0, "", false, "remote", 0]],
    [PARTS, (client) => (client.send("ab;"), client.end()), [0, "", true, "remote", 0]],
    [
      { open_length_check: true, package_length_type: "n", package_max_length: 4 },
      (client) => client.send(Uint8Array.of(0, 5)),
      [0, "Package length too large", false, "local", -1],
    ],
  ];
  for (const [settings, act, expected, error] of ways) {
    const server = new Server("127.0.0.1", 0);
    server.set(settings);
    const { promise, resolve } = signal<End>();
    const accepted = signal();
    server.on("error", () => {});
    server.on("connect", (server, fd) => {
      server.data(fd)!.name = "Ada";
      accepted.resolve();
    });
    server.on("receive", (server, fd, _reactorId, data) => {
      const text = new TextDecoder().decode(data);
      if (text === "throw") throw new Error("thrown");
      if (text !== "ab;") server.close(fd, text === "reset");
    });
    server.on("close", (_server: unknown, ...args: unknown[]) => resolve({ event: "close", args }));
    await serving(server, async (server, port) => {
      const client = await RawClient.connect(port);
      await accepted.promise;
      await act(client, server);
      const end = await promise;
      checkError(checkEnd(end, "close", expected), error);
      assertEquals((end.args[2] as CloseInfo).data, { name: "Ada" });
      assertEquals(server.data(1), undefined);
      assertEquals(server.stats().closes, {});
      client.destroy();
    });
  }
});

test("with event_object the info comes behind the event", async () => {
  const { server, ended } = endingServer({ event_object: true });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(closeFrame(1000, "done"));
    const { args } = await ended;
    assertEquals(args.length, 2);
    assert(args[0] instanceof ServerEvent && args[1] instanceof CloseInfo);
    assertEquals([args[0].fd, args[0].reactor_id, args[1].code, args[1].reason], [1, 0, 1000, "done"]);
    client.destroy();
  });
});

test("data(fd) is one object from the handshake until the close handler has settled", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const seen: unknown[] = [];
  const closing = signal();
  const closed = signal<CloseInfo>();
  server.on("beforeHandshakeResponse", (request) => {
    assertEquals(request.data, {});
    request.data.user = "Ada";
    seen.push(request.data, server.data(request.fd));
  });
  server.on("open", (server, request) => void seen.push(request.data, server.data(request.fd)));
  server.on("message", (server, frame) => void seen.push(server.data(frame.fd)));
  server.on("close", async (server, fd, _reactorId, info) => {
    seen.push(info.data, server.data(fd));
    await closing.promise;
    seen.push(server.data(fd));
    closed.resolve(info);
  });
  await serving(server, async (server, port) => {
    assertEquals([server.data(1), server.data(0)], [undefined, undefined]);
    const client = await RawClient.open(port);
    client.send(say("hello"));
    client.send(closeFrame(1000));
    await client.whenEnded();
    closing.resolve();
    const { data } = await closed.promise;
    assertEquals(seen.length, 8);
    for (const one of seen) assertStrictEquals(one, data);
    assertEquals(data, { user: "Ada" });
    while (server.data(1) !== undefined) await new Promise((resolve) => setTimeout(resolve, 1));
    client.destroy();
  });
});

test("data is made when it is first asked for, also that of a handshake that is refused, and nothing is left of it", async () => {
  const server = new WebSocketServer<{ user?: string }>("127.0.0.1", 0);
  const { data } = coreOf(server).context;
  const closed: CloseInfo<{ user?: string }>[] = [];
  server.on("beforeHandshakeResponse", (request, response) => {
    if (request.server.path_info === "/refused") {
      request.data.user = "nobody";
      response.status(401);
      response.end();
    }
  });
  server.on("message", (server, frame) => server.push(frame.fd, `${data.size}`));
  server.on("close", (_server, _fd, _reactorId, info) => closed.push(info));
  await serving(server, async (server, port) => {
    const client = await RawClient.open(port);
    client.send(say("hello"));
    assertEquals((await client.readFrame())!.payload, new TextEncoder().encode("0"));
    server.data(1)!.user = "Ada";
    client.send(say("hello"));
    assertEquals((await client.readFrame())!.payload, new TextEncoder().encode("1"));
    const refused = await RawClient.connect(port);
    refused.send(handshake("/refused"));
    assertMatch(await refused.readHead(), /^HTTP\/1.1 401 /);
    client.send(closeFrame(1000));
    for (const one of [client, refused]) {
      await one.whenEnded();
      one.destroy();
    }
    while (closed.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
    assertEquals(closed.map((info) => info.data?.user).sort(), ["Ada", "nobody"]);
    assertEquals(data.size, 0);
  });
});

test("each plain request has data of its own, and its connection has none", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const seen: unknown[] = [];
  server.on("message", () => {});
  server.on("request", (request, response) => {
    request.data.path = request.server.request_uri;
    seen.push({ ...request.data }, server.data(request.fd));
    assertStrictEquals(request.data, request.data);
    response.end();
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    for (const path of ["/a", "/b"]) {
      client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await client.readAnswer();
    }
    assertEquals(seen, [{ path: "/a" }, undefined, { path: "/b" }, undefined]);
    client.destroy();
  });
});
