// Peers that keep a server waiting. Each is cut off after its deadline, which settings make short here, though not so short that a
// busy machine makes anybody else late: another client is served all the time.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import {
  type HttpRequest,
  type HttpResponse,
  HttpServer,
  type Runtime,
  Server,
  type ServerSettings,
  WebSocketServer,
} from "../../mod.ts";
import { ownLanes, servingOn } from "../support/lanes.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";
import { together } from "../support/together.ts";

/** What a peer does, and what it is told before it is cut off. */
interface Case {
  name: string;
  settings: ServerSettings;
  /** Brings the client to the point from which on it keeps the server waiting. */
  begin?: (client: RawClient, server: WebSocketServer, fd: number) => Promise<void> | void;
  /** Sent over and over, a little at a time. */
  drip?: string | Uint8Array;
  /** Checks what has arrived when the connection is over. */
  check?: (arrived: Uint8Array) => void;
  /** The `reactorId` of `close` or `disconnect`: -1 when the program has closed. */
  by: 0 | -1;
}

const text = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);
const nothing = (arrived: Uint8Array) => assertEquals(text(arrived), "");
const timedOut = (arrived: Uint8Array) => {
  assert(text(arrived).startsWith("HTTP/1.1 408 Request Timeout\r\n"), text(arrived));
  assert(/\r\nConnection: close\r\n/i.test(text(arrived)));
};
const open = async (client: RawClient) => {
  client.send(handshake());
  await client.readHead();
};
const pings = (arrived: Uint8Array) => assertEquals(arrived, Uint8Array.of(0x89, 0));

const unavailable = (arrived: Uint8Array) =>
  assert(text(arrived).startsWith("HTTP/1.1 503 Service Unavailable\r\n"), text(arrived));
const POST = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";

const cases: Case[] = [
  {
    name: "sends half a head, with http_header_timeout",
    settings: { http_header_timeout: 2 },
    begin: (client) => client.send("GET / HT"),
    check: timedOut,
    by: 0,
  },
  {
    name: "sends half a body, with http_body_timeout",
    settings: { http_body_timeout: 2 },
    begin: (client) => client.send(POST),
    check: timedOut,
    by: 0,
  },
  {
    name: "sends a body slowly, with http_body_min_rate",
    settings: { http_body_timeout: 2, http_body_min_rate: 1_000_000 },
    begin: (client) => client.send(POST),
    drip: "x".repeat(100), // faster than the default
    check: timedOut,
    by: 0,
  },
  {
    name: "asks for what takes longer than http_handler_timeout",
    settings: { http_handler_timeout: 1.5 },
    begin: (client) => client.send("GET /never HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    check: unavailable,
    by: -1,
  },
  {
    name: "asks for a handshake that takes longer than websocket_handshake_timeout",
    settings: { websocket_handshake_timeout: 2 },
    begin: (client) => client.send(handshake("/never")),
    check: unavailable,
    by: -1,
  },
  { name: "sends nothing", settings: { http_request_timeout: 2 }, check: nothing, by: 0 },
  {
    name: "sends half a handshake",
    settings: { http_request_timeout: 2 },
    begin: (client) => client.send(handshake().slice(0, 60)),
    check: timedOut,
    by: 0,
  },
  {
    name: "sends a header field that never ends",
    settings: { http_request_timeout: 2 },
    begin: (client) => client.send("GET / HTTP/1.1\r\nHost: x\r\nA: "),
    drip: "b",
    check: timedOut,
    by: 0,
  },
  { name: "sends empty lines and no request", settings: { http_request_timeout: 2 }, drip: "\r\n", check: nothing, by: 0 },
  {
    name: "sends half a body",
    settings: { http_request_timeout: 2 },
    begin: (client) => client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"),
    check: timedOut,
    by: 0,
  },
  {
    name: "sends a chunked body that never ends",
    settings: { http_request_timeout: 2 },
    begin: (client) => client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
    drip: "1\r\na\r\n",
    check: timedOut,
    by: 0,
  },
  {
    name: "asks once and stays",
    settings: { http_keepalive_timeout: 1.5 },
    begin: async (client) => {
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await client.readAnswer();
    },
    check: nothing,
    by: 0,
  },
  {
    name: "asks once, then sends empty lines",
    settings: { http_keepalive_timeout: 1.5 },
    begin: async (client) => {
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await client.readAnswer();
    },
    drip: "\r\n",
    check: nothing,
    by: 0,
  },
  {
    name: "asks once, then sends half a request",
    settings: { http_request_timeout: 2 },
    begin: async (client) => {
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await client.readAnswer();
      client.send("GET /2 HT");
    },
    check: timedOut,
    by: 0,
  },
  {
    name: "never answers a ping",
    settings: { websocket_ping_interval: 0.5, websocket_ping_timeout: 1.5 },
    begin: open,
    check: pings,
    by: 0,
  },
  {
    name: "never answers our Close",
    settings: { websocket_close_timeout: 0.3 },
    begin: async (client, server, fd) => {
      await open(client);
      assert(server.disconnect(fd, 1000, "bye"));
    },
    check: (arrived) => assertEquals(arrived, closeFrame(1000, "bye", false)),
    by: -1,
  },
  {
    name: "answers our Close with other frames",
    settings: { websocket_close_timeout: 0.3 },
    begin: async (client, server, fd) => {
      await open(client);
      assert(server.disconnect(fd, 1000, "bye"));
    },
    drip: frame({ opcode: 1, payload: "not yet" }),
    check: (arrived) => assertEquals(arrived, closeFrame(1000, "bye", false)),
    by: -1,
  },
  {
    name: "is quiet for longer than heartbeat_idle_time, although it is spoken to",
    settings: { heartbeat_idle_time: 2, websocket_ping_interval: 0 },
    begin: async (client, server, fd) => {
      await open(client);
      server.tick(100, (timer) => void (server.push(fd, "hello?") || server.clearTimer(timer)));
    },
    by: 0,
  },
  {
    name: "is idle for longer than max_idle_time",
    settings: { max_idle_time: 2, websocket_ping_interval: 0 },
    begin: open,
    check: nothing,
    by: 0,
  },
];

async function drip(client: RawClient, bytes: string | Uint8Array): Promise<void> {
  while (!client.ended) {
    client.send(bytes);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

async function checkCase(runtime: Runtime, { settings, begin, drip: drops, check, by }: Case): Promise<void> {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ log_file: "/dev/null", ...settings });
  const accepted: number[] = [];
  const over: [fd: number, reactorId: number][] = [];
  const errors: unknown[] = [];
  server.on("connect", (_server, fd) => void accepted.push(fd));
  server.on("message", (server, { fd, data }) => server.push(fd, data));
  server.on("request", (request, response) => {
    if (request.server.path_info === "/never") return new Promise(() => {});
    response.end("answer");
  });
  server.on("beforeHandshakeResponse", (request) => request.server.path_info === "/never" ? new Promise(() => {}) : undefined);
  const end = (_server: unknown, fd: number, reactorId: number) => void over.push([fd, reactorId]);
  server.on("close", end);
  server.on("disconnect", end);
  server.on("error", (_server, error) => void errors.push(error));
  await servingOn(runtime, server, async (server, port) => {
    const steady = await RawClient.open(port);
    const served = async () => {
      steady.send(frame({ opcode: 1, payload: "served" }));
      let answer = await steady.readFrame();
      while (answer?.opcode === 9) answer = await steady.readFrame();
      assertEquals(text(answer!.payload), "served");
    };
    await served();
    const client = await RawClient.connect(port);
    while (accepted.length < 2) await served();
    const fd = accepted[1];
    await begin?.(client, server, fd);
    const dripping = drops === undefined ? undefined : drip(client, drops);
    while (over.length === 0) await served();
    const arrived = await client.readAll();
    await dripping;
    check?.(arrived);
    await served();
    assertEquals([over, errors], [[[fd, by]], []]);
    assertEquals(server.exist(fd), false);
    client.destroy();
    steady.destroy();
  });
}

/** What a peer asks for and does not read, with an answer that tells in the end whether it was sent. */
const unread: Record<string, { request: string; answer(request: HttpRequest, response: HttpResponse): unknown; by?: -1 }> = {
  "a large answer": {
    request: "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    answer: (_request, response) => response.end(new Uint8Array(64 * 1024 * 1024)) && response.drained(),
  },
  "the last answer": {
    request: "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    answer: (_request, response) => response.end(new Uint8Array(64 * 1024 * 1024)) && response.drained(),
    by: -1,
  },
  "an answer that is being written": {
    request: "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    answer: async (_request, response) => {
      while (await response.drained()) response.write(new Uint8Array(1024 * 1024));
      return false;
    },
  },
  "an answer, and sends on": {
    request: `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${256 * 1024 * 1024}\r\n\r\n${"x".repeat(1024 * 1024)}`,
    answer: async (_request, response) => {
      while (await response.drained()) response.write(new Uint8Array(1024 * 1024));
      return false;
    },
  },
};

for (const [lane, runtime] of ownLanes) {
  const run = together(cases.map((one) => () => checkCase(runtime, one)));
  for (const [index, { name }] of cases.entries()) test(`a peer that ${name} is cut off (${lane})`, () => run(index));

  test(`a peer that answers pings stays (${lane})`, async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ websocket_ping_interval: 0.25, websocket_ping_timeout: 3 });
    let closed = false;
    server.on("message", (server, { fd, data }) => server.push(fd, data));
    server.on("close", () => closed = true);
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.open(port);
      for (let count = 0; count < 4; count++) {
        const ping = await client.readFrame();
        assertEquals([ping?.opcode, ping?.payload.length, closed], [9, 0, false]);
        client.send(frame({ opcode: 10, payload: ping!.payload }));
      }
      client.send(frame({ opcode: 1, payload: "alive" }));
      assertEquals(text((await client.readFrame())!.payload), "alive");
      client.destroy();
    });
  });

  test(`a peer that never ends its side after our FIN is dropped (${lane})`, async () => {
    const server = new Server("127.0.0.1", 0);
    server.set({ websocket_close_timeout: 0.3 });
    server.on("receive", (server, fd) => {
      server.send(fd, "bye");
      server.close(fd);
      server.shutdown();
    });
    await servingOn(runtime, server, async (server, port) => {
      const client = await RawClient.connect(port);
      client.send("now");
      assertEquals(text(await client.readAll()), "bye");
      await server.finished; // it does not wait for the client's FIN for ever
      client.destroy();
    });
  });

  test(`a peer that never reads is cut off while messages wait for it (${lane})`, async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ websocket_ping_interval: 0.3, websocket_ping_timeout: 0.3, socket_buffer_size: 1024 * 1024 });
    const opened = signal<number>();
    const closed = signal<number>();
    server.on("open", (_server, { fd }) => opened.resolve(fd));
    server.on("message", () => {});
    server.on("close", (_server, _fd, reactorId) => closed.resolve(reactorId));
    await servingOn(runtime, server, async (server, port) => {
      const client = await RawClient.open(port);
      client.socket.pause();
      const fd = await opened.promise;
      const keepFull = () => {
        while (server.push(fd, "x".repeat(64 * 1024)));
      };
      keepFull();
      server.on("drain", keepFull);
      assertEquals(await closed.promise, 0);
      client.destroy();
    });
  });

  for (const [name, { request, answer, by = 0 }] of Object.entries(unread)) {
    test(`a peer that never reads ${name} is cut off (${lane})`, async () => {
      const server = new WebSocketServer("127.0.0.1", 0);
      server.set({ http_send_timeout: 0.3, http_request_timeout: 0.6, websocket_close_timeout: 0.3, http_stream_body: true });
      const closed = signal<number>();
      const answered = signal<unknown>();
      server.on("message", () => {});
      server.on("request", (request, response) => {
        answered.resolve(answer(request, response));
        return answered.promise as Promise<void>;
      });
      server.on("disconnect", (_server, _fd, reactorId) => closed.resolve(reactorId));
      await servingOn(runtime, server, async (server, port) => {
        const client = await RawClient.connect(port);
        client.socket.pause();
        client.send(request);
        assertEquals([await closed.promise, await answered.promise], [by, false]);
        server.shutdown();
        await server.finished;
        client.destroy();
      });
    });
  }

  test(`a program that takes its time for a body is not cut off (${lane})`, async () => {
    const server = new HttpServer("127.0.0.1", 0);
    const SIZE = 8 * 1024 * 1024;
    server.set({ http_request_timeout: 1, http_send_timeout: 1, http_stream_body: true });
    server.on("request", async (request, response) => {
      let size = 0;
      for await (const part of request.body) {
        if (size === 0) await new Promise((resolve) => setTimeout(resolve, 2500)); // longer than any deadline here
        size += part.length;
      }
      response.end(`${size}`);
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${SIZE}\r\n\r\n`);
      client.send(new Uint8Array(SIZE));
      assertEquals((await client.readAnswer()).body, String(SIZE));
      client.destroy();
    });
  });

  test(`a plain Server closes idle connections (${lane})`, async () => {
    const server = new Server("127.0.0.1", 0);
    server.set({ heartbeat_check_interval: 0.2 }); // idle for twice as long
    server.on("receive", (server, fd, _reactorId, data) => server.send(fd, data));
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send("hello");
      assertEquals(text(await client.readAll()), "hello");
      assertEquals(client.error, undefined);
      client.end();
    });
  });
}
