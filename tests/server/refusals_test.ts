// What the server refuses: the event `refuse`, the counters, the line in the log.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { HttpServer, type Refusal, type ServerSettings, SWOOLE_LOG_ERROR, WebSocketServer } from "../../mod.ts";
import { quoted } from "../../src/server/log.ts";
import { loggedDuring } from "../support/log_lines.ts";
import { frame, handshake, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { EventLog } from "./event_log.ts";

/** A server that keeps what it refuses. Its handlers take as long as the path says: `/slow` for ever. */
function refusingServer(settings: ServerSettings = {}): { server: WebSocketServer; refused: Refusal[]; log: EventLog } {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set(settings);
  const refused: Refusal[] = [];
  const log = new EventLog();
  server.on("message", () => {});
  server.on("request", (request, response) => {
    if (request.server.request_uri === "/slow") return new Promise<void>(() => {});
    response.end();
  });
  server.on("beforeHandshakeResponse", (request, response) => {
    if (request.server.request_uri === "/slow") return new Promise<void>(() => {});
    if (request.server.request_uri !== "/no") return;
    response.status(401);
    response.end();
  });
  server.on("refuse", (_server, refusal) => {
    refused.push(refusal);
    log.add(refusal.reason);
  });
  server.on("close", (_server, fd) => log.add(`close ${fd}`));
  return { server, refused, log };
}

interface Way {
  send: string;
  settings?: ServerSettings;
  expected: Omit<Refusal, "address">;
}

const HOST = "Host: a.example\r\n";
const FORM = "multipart/form-data; boundary=x";

function post(contentType: string, body: string, path = "/form"): string {
  return `POST ${path} HTTP/1.1\r\n${HOST}Content-Type: ${contentType}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

const WAYS: readonly Way[] = [
  { send: "what\r\n\r\n", expected: { kind: "request", status: 400, reason: "the request line is malformed" } },
  {
    send: "GET / HTTP/1.1\r\n\r\n",
    expected: { kind: "request", status: 400, reason: "the Host field is missing or malformed" },
  },
  { send: "GET / HTTP/2.0\r\n\r\n", expected: { kind: "request", status: 505, reason: "only HTTP/1.1 is spoken here" } },
  {
    send: `GET / HTTP/1.1\r\n${HOST}A: ${"a".repeat(2000)}\r\n\r\n`,
    settings: { http_max_header_size: 1024 },
    expected: { kind: "request", status: 431, reason: "the head is too large", setting: "http_max_header_size" },
  },
  {
    send: `GET / HTTP/1.1\r\n${HOST}A: 1\r\nB: 2\r\n\r\n`,
    settings: { http_max_headers: 2 },
    expected: { kind: "request", status: 431, reason: "there are too many header fields", setting: "http_max_headers" },
  },
  {
    send: post("text/plain", "12345"),
    settings: { package_max_length: 4 },
    expected: { kind: "request", status: 413, reason: "the body is too large", path: "/form", setting: "package_max_length" },
  },
  {
    send: `POST /stream HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nno`,
    settings: { http_stream_body: true },
    expected: { kind: "request", status: 400, reason: "the chunked body is malformed", path: "/stream" },
  },
  {
    send: "GET /",
    settings: { http_header_timeout: 0.1 },
    expected: { kind: "request", status: 408, reason: "the request took too long", setting: "http_header_timeout" },
  },
  {
    send: `POST /b HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\n`,
    settings: { http_body_timeout: 0.1 },
    expected: { kind: "request", status: 408, reason: "the body took too long", path: "/b", setting: "http_body_timeout" },
  },
  {
    send: post(FORM, "--x\r\nno"),
    settings: { http_parse_files: true, upload_tmp_dir: "" },
    expected: { kind: "request", status: 400, reason: "the form has no end", path: "/form" },
  },
  {
    send: post(FORM, '--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n12345\r\n--x--'),
    settings: { http_parse_files: true, upload_tmp_dir: "", upload_max_filesize: 4 },
    expected: { kind: "request", status: 413, reason: "a file is too large", path: "/form", setting: "upload_max_filesize" },
  },
  {
    send: `GET /slow HTTP/1.1\r\n${HOST}\r\n`,
    settings: { http_handler_timeout: 0.1 },
    expected: { kind: "request", status: 503, reason: "it takes too long", path: "/slow", setting: "http_handler_timeout" },
  },
  {
    send: handshake("/chat?room=1", { Host: "a.example", Origin: "https://b.example" }),
    expected: {
      kind: "handshake",
      status: 403,
      reason: "pages of this origin may not connect",
      path: "/chat?room=1",
      origin: "https://b.example",
      setting: "websocket_origins",
    },
  },
  {
    send: handshake("/chat", { "Sec-WebSocket-Version": "8" }),
    expected: { kind: "handshake", status: 426, reason: "only WebSocket version 13 is spoken here", path: "/chat" },
  },
  {
    send: handshake("/chat", { "Sec-WebSocket-Key": "short" }),
    expected: { kind: "handshake", status: 400, reason: "Sec-WebSocket-Key is not 16 bytes in base64", path: "/chat" },
  },
  {
    send: handshake("/chat", { "Content-Length": "5" }),
    settings: { package_max_length: 4 },
    expected: { kind: "request", status: 413, reason: "the body is too large", path: "/chat", setting: "package_max_length" },
  },
  {
    send: handshake("/slow"),
    settings: { websocket_handshake_timeout: 0.1 },
    expected: {
      kind: "handshake",
      status: 503,
      reason: "it takes too long",
      path: "/slow",
      setting: "websocket_handshake_timeout",
    },
  },
];

for (const { send, settings, expected } of WAYS) {
  test(`a ${expected.kind} is refused with ${expected.status}: ${expected.reason}, ${expected.setting ?? "whatever is set"}`, async () => {
    const { kind, status, reason, path, origin, setting } = expected;
    const lines = await loggedDuring(async () => {
      const { server, refused, log } = refusingServer(settings);
      await serving(server, async (server, port) => {
        const client = await RawClient.connect(port);
        client.send(send);
        assertEquals((await client.readAnswer()).status, status);
        await log.until(reason);
        assertEquals(refused, [{ kind, status, reason, address: "127.0.0.1", origin, path, setting }]);
        const { refuse_count, refusals } = server.stats();
        assertEquals([refuse_count, refusals], [1, { connection: {}, handshake: {}, request: {}, [kind]: { [reason]: 1 } }]);
        assert(server.stats("openmetrics").includes(`\nsluice_refusals_total{kind="${kind}",reason="${reason}"} 1\n`));
        client.destroy();
        server.shutdown(0);
      });
    });
    const line = lines.find((one) => one.startsWith("Refused"))!;
    assert(line.startsWith(`Refused a ${kind} of 127.0.0.1 with ${status}: ${reason}`), line);
    if (path !== undefined) assert(line.includes(`; path "${path.split("?")[0]}"`), line);
    if (setting !== undefined) assert(line.includes(setting), line);
  });
}

test("the line for a page of another origin has both origins, and says what to do", async () => {
  const lines = await loggedDuring(async () => {
    const { server, log } = refusingServer();
    await serving(server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send(handshake("/", { Host: "a.example", Origin: "https://b.example" }));
      await log.until("pages of this origin may not connect");
      client.destroy();
    });
  });
  assertEquals(lines.length, 1);
  assertMatch(
    lines[0],
    /origin "https:\/\/b\.example"; the request went to "a\.example"; websocket_origins: \["same-origin", "https:/,
  );
});

test("what the program refuses by itself is none of it", async () => {
  const lines = await loggedDuring(async () => {
    const { server, refused, log } = refusingServer();
    await serving(server, async (server, port) => {
      const client = await RawClient.connect(port);
      client.send(handshake("/no"));
      assertEquals((await client.readAnswer()).status, 401);
      await log.until("close 1");
      assertEquals([refused, server.stats().refuse_count], [[], 0]);
      client.destroy();
    });
  });
  assertEquals(lines, []);
});

test("max_connection refuses connections, and max_concurrency requests", async () => {
  const { server, refused, log } = refusingServer({ max_connection: 1, log_level: SWOOLE_LOG_ERROR });
  await serving(server, async (server, port) => {
    const first = await RawClient.open(port);
    const second = RawClient.connect(port).catch(() => undefined); // one that is dropped early may not even connect
    await log.until("there are too many connections");
    assertEquals(refused, [{
      kind: "connection",
      status: 0,
      reason: "there are too many connections",
      address: "127.0.0.1",
      setting: "max_connection",
    }]);
    assertEquals(server.stats().refusals.connection, { "there are too many connections": 1 });
    assertEquals(server.stats().abort_count, 1);
    first.destroy();
    (await second)?.destroy();
  });

  const busy = refusingServer({ max_concurrency: 1, log_level: SWOOLE_LOG_ERROR });
  await serving(busy.server, async (server, port) => {
    const first = await RawClient.connect(port);
    first.send(`GET /slow HTTP/1.1\r\n${HOST}\r\n`);
    while (server.stats().request_count === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const second = await RawClient.connect(port);
    second.send(`GET /fast HTTP/1.1\r\n${HOST}\r\n`);
    assertEquals((await second.readAnswer()).status, 503);
    assertEquals(busy.refused.map(({ reason, path, setting }) => [reason, path, setting]), [
      ["too many requests at a time", "/fast", "max_concurrency"],
    ]);
    second.send(`GET /fast HTTP/1.1\r\n${HOST}\r\n`); // the connection is kept
    assertEquals((await second.readAnswer()).status, 503);
    first.destroy();
    second.destroy();
    server.shutdown(0);
  });
});

test("plain HTTP without a request handler is refused", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ log_level: SWOOLE_LOG_ERROR });
  server.on("message", () => {});
  await serving(server, async (server, port) => {
    const client = await RawClient.connect(port);
    client.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    assertEquals((await client.readAnswer()).status, 400);
    assertEquals(server.stats().refusals.request, { "there is no handler for plain HTTP": 1 });
    client.destroy();
  });
});

test("a kind is logged once in a minute, with what peers have sent escaped and cut; log_level leaves it out", async () => {
  const bad = `/${"p".repeat(300)}`;
  for (const log_level of [0, SWOOLE_LOG_ERROR]) {
    const lines = await loggedDuring(async () => {
      const { server, refused, log } = refusingServer({ log_level });
      await serving(server, async (_server, port) => {
        for (let i = 0; i < 3; i++) {
          const client = await RawClient.connect(port);
          client.send(handshake(bad, { Host: "a", Origin: 'https://b"\x1b[31m\xe9' }).replace("\x1b", "\t"));
          await log.count(2 * i + 1);
          await client.readAll();
          client.destroy();
          await log.count(2 * i + 2);
        }
        assertEquals(refused.map(({ path }) => path?.length), [301, 301, 301]);
      });
    });
    assertEquals(lines.length, log_level === 0 ? 1 : 0);
    if (log_level > 0) continue;
    assert(lines[0].includes(`path "/${"p".repeat(199)}…"`), lines[0]);
    assert(lines[0].includes('origin "https://b\\"\\t[31m'), lines[0]);
  }
});

test("control characters are escaped for the log, those above ASCII too", () => {
  assertEquals(quoted('a"b\\c\r\n\x1b[31m\x7f\x9b\xe9'), '"a\\"b\\\\c\\r\\n\\u001b[31m\\u007f\\u009b\xe9"');
});

test("a flood of different bad requests has few reasons", async () => {
  const { server, refused, log } = refusingServer({ log_level: SWOOLE_LOG_ERROR });
  await serving(server, async (server, port) => {
    const word = () => Math.random().toString(36).slice(2);
    const bad = [
      () => `${word()}\r\n\r\n`,
      () => `GET /${word()} HTTP/1.1\r\n\r\n`,
      () => `GET /${word()} HTTP/1.1\r\nHost: a b${word()}\r\n\r\n`,
      () => `GET /${word()} HTTP/1.1\r\nHost: a\r\n${word()} : 1\r\n\r\n`,
      () => `GET /${word()} HTTP/1.1\r\nHost: a\r\nContent-Length: ${word()}x\r\n\r\n`,
      () => `POST /${word()} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ${word()}\r\n\r\n`,
      () => `GET /${word()} ${word()}\r\n\r\n`,
      () => handshake(`/${word()}`, { "Sec-WebSocket-Key": word() }),
      () => handshake(`/${word()}`, { "Sec-WebSocket-Version": word() }),
      () => handshake(`/${word()}`, { Origin: `https://${word()}.example` }),
    ];
    for (let i = 0; i < 200; i++) {
      const client = await RawClient.connect(port);
      client.send(bad[i % bad.length]());
      await client.readAll();
      client.destroy();
    }
    await log.count(400);
    const { refusals, refuse_count } = server.stats();
    assertEquals([refuse_count, refused.length], [200, 200]);
    assert(Object.keys(refusals.request).length <= 8, JSON.stringify(refusals.request));
    assertEquals(Object.values(refusals.handshake), [20, 20, 20]);
  });
});

test("violations are counted by code, and logged once in a minute with fd, address, code, reason and path", async () => {
  const lines = await loggedDuring(async () => {
    const { server, log } = refusingServer();
    await serving(server, async (server, port) => {
      for (const [fd, bytes] of [[1, { opcode: 3 }], [2, { opcode: 1, payload: [0xff] }], [3, { opcode: 4 }]] as const) {
        const client = await RawClient.open(port, "/chat?token=secret");
        client.send(frame(bytes));
        await log.until(`close ${fd}`);
        client.destroy();
      }
      const stats = server.stats();
      assertEquals([stats.violations, stats.violation_count], [{ 1002: 2, 1007: 1 }, 3]);
      assertEquals(stats.closes, { 1002: 2, 1007: 1 });
      assert(server.stats("openmetrics").includes('\nsluice_violations_total{code="1002"} 2\n'));
      assert(server.stats("openmetrics").includes('\nsluice_connections_closed_total{code="1007"} 1\n'));
    });
  });
  assertEquals(lines, ['Closed fd 1 of 127.0.0.1 with 1002: the opcode is reserved; path "/chat"']);
});

test("close codes of programs are counted together", async () => {
  const { server, log } = refusingServer();
  await serving(server, async (server, port) => {
    for (const [index, code] of [3000, 3999, 4000, 4500, 1000].entries()) {
      const client = await RawClient.open(port);
      client.send(frame({ opcode: 8, payload: [code >> 8, code & 255] }));
      await log.until(`close ${index + 1}`);
      client.destroy();
    }
    assertEquals(server.stats().closes, { 1000: 1, "3000-3999": 2, "4000-4999": 2 });
  });
});

test("a server that starts again counts anew", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ log_level: SWOOLE_LOG_ERROR });
  server.on("request", (_request, response) => void response.end());
  for (let i = 0; i < 2; i++) {
    await serving(server, async (server, port) => {
      assertEquals([server.stats().refuse_count, server.stats().error_count], [0, 0]);
      const client = await RawClient.connect(port);
      client.send("no\r\n\r\n");
      await client.readAll();
      assertEquals(server.stats().refuse_count, 1);
      client.destroy();
    });
  }
});
