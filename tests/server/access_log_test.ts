// The access log: one record for each request with its response, and for the end of each WebSocket.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  HttpServer,
  type LogFields,
  type LogRecord,
  Server,
  type ServerSettings,
  SWOOLE_LOG_NONE,
  SWOOLE_SOCK_UNIX_STREAM,
  WebSocketServer,
} from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { inFolder } from "../support/folder.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";
import { EventLog } from "./event_log.ts";

/** Collects the records of the access log. */
class AccessRecords {
  readonly all: LogRecord[] = [];
  readonly #log = new EventLog();
  readonly settings: ServerSettings = {
    access_log: true,
    log_level: SWOOLE_LOG_NONE, // the access log does not depend on it
    logger: (record) => {
      this.all.push(record);
      this.#log.add(record.event);
    },
  };

  async count(records: number): Promise<void> {
    await this.#log.count(records);
  }

  /** The fields of a record, without those that differ from run to run. */
  fields(index: number): LogFields {
    const { duration, ...fields } = this.all[index].fields;
    assert(duration === undefined || (duration >= 0 && duration < 60), String(duration));
    return fields;
  }
}

function requestOf(line: string, fields = "", body = ""): string {
  return `${line} HTTP/1.1\r\nHost: x\r\n${fields}\r\n${body}`;
}

/** Sends bytes and returns everything that comes back until the server ends the connection. */
async function exchange(port: number, bytes: string): Promise<string> {
  const client = await RawClient.connect(port);
  client.send(bytes);
  const answer = new TextDecoder("latin1").decode(await client.readAll());
  client.destroy();
  return answer;
}

test("requests have their method, path, status, sizes and user agent, in order", async () => {
  const records = new AccessRecords();
  const server = new HttpServer("127.0.0.1", 0);
  server.set(records.settings);
  server.on("request", (request, response) => {
    response.status(request.getMethod() === "POST" ? 201 : 200);
    if (request.server.path_info === "/parts") {
      response.write("one");
      response.write("two");
    }
    response.end(request.rawContent());
  });
  await serving(server, async (_server, port) => {
    const sent = [
      requestOf("GET /a%20b?token=secret", "User-Agent: Test/1.0 (x)\r\n"),
      requestOf("POST /form", "Content-Length: 5\r\n", "12345"),
      requestOf("POST /chunks", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
      requestOf("HEAD /head"),
      requestOf("GET /parts"),
      requestOf("GET /last", "Connection: close\r\n"),
    ];
    const answer = await exchange(port, sent.join(""));
    await records.count(sent.length);
    const answers = answer.split(/(?=HTTP\/1\.1 )/);
    assertEquals(answers.length, sent.length);
    const head = (index: number) => sent[index].split("\r\n\r\n")[0].length + 4;
    const common = { fd: 1, address: "127.0.0.1" };
    const expected: LogFields[] = [
      { method: "GET", path: "/a%20b", status: 200, received: head(0), userAgent: "Test/1.0 (x)" },
      { method: "POST", path: "/form", status: 201, received: head(1) + 5 },
      { method: "POST", path: "/chunks", status: 201, received: head(2) + 3 },
      { method: "HEAD", path: "/head", status: 200, received: head(3) },
      { method: "GET", path: "/parts", status: 200, received: head(4) },
      { method: "GET", path: "/last", status: 200, received: head(5) },
    ].map((fields, index) => ({ ...common, ...fields, sent: answers[index].length }));
    assertEquals(expected.map((_, index) => records.fields(index)), expected);
    const [first] = records.all;
    assertEquals([first.level, first.event], ["info", "request"]);
    assertMatch(first.message, /^127\.0\.0\.1 GET "\/a%20b" 200 \d+ \d+ 0\.\d{3} "Test\/1\.0 \(x\)"$/);
    assertMatch(records.all[1].message, /^127\.0\.0\.1 POST "\/form" 201 \d+ \d+ 0\.\d{3} -$/);
  });
});

test("bytes that are no request, or not a complete one, are logged with their status", async () => {
  const records = new AccessRecords();
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ ...records.settings, package_max_length: 4, http_header_timeout: 0.2, http_body_timeout: 0.2 });
  server.on("request", (_request, response) => response.end());
  await serving(server, async (_server, port) => {
    const ways: [sent: string, fields: LogFields][] = [
      ["what\r\n\r\n", { status: 400 }],
      ["GET /slow HTT", { status: 408 }],
      [requestOf("POST /large", "Content-Length: 5\r\nUser-Agent: A\r\n", "12345"), {
        method: "POST",
        path: "/large",
        status: 413,
        userAgent: "A",
      }],
      [requestOf("POST /late", "Content-Length: 4\r\nUser-Agent: A\r\n", "12"), {
        method: "POST",
        path: "/late",
        status: 408,
        userAgent: "A",
      }],
    ];
    for (const [index, [bytes, fields]] of ways.entries()) {
      const answer = await exchange(port, bytes);
      await records.count(index + 1);
      assertEquals(records.fields(index), { fd: index + 1, address: "127.0.0.1", ...fields, sent: answer.length });
    }
    assertMatch(records.all[0].message, /^127\.0\.0\.1 - - 400 - \d+ - -$/);
    assertMatch(records.all[3].message, /^127\.0\.0\.1 POST "\/late" 408 - \d+ - "A"$/);
  });
});

test("a client that goes: 0 before the response began, its status afterwards; a body that is refused: 413", async () => {
  const records = new AccessRecords();
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ ...records.settings, http_stream_body: true, package_max_length: 4 });
  const log = new EventLog();
  server.on("request", async (request, response) => {
    const path = String(request.server.path_info);
    if (path === "/begun") response.status(206), response.write("part");
    if (path === "/large") await request.bytes().catch(() => {});
    log.add(path);
    if (path !== "/large") await new Promise<void>((resolve) => request.signal.addEventListener("abort", () => resolve()));
  });
  await serving(server, async (_server, port) => {
    for (const [index, path] of ["/waits", "/begun"].entries()) {
      const client = await RawClient.connect(port);
      client.send(requestOf(`GET ${path}`));
      await log.until(path);
      client.destroy();
      await records.count(index + 1);
    }
    const { sent, ...begun } = records.fields(1);
    assertEquals(records.fields(0), {
      fd: 1,
      address: "127.0.0.1",
      method: "GET",
      path: "/waits",
      status: 0,
      received: 32,
      sent: 0,
      aborted: true,
    });
    assertEquals(begun, { fd: 2, address: "127.0.0.1", method: "GET", path: "/begun", status: 206, received: 32, aborted: true });
    assert(sent! > 9);
    assertMatch(records.all[1].message, / 206 32 \d+ \d+\.\d{3} - aborted$/);
    const answer = await exchange(port, requestOf("POST /large", "Content-Length: 5\r\n", "12345"));
    await records.count(3);
    const { received: _, ...large } = records.fields(2);
    assertEquals(large, {
      fd: 3,
      address: "127.0.0.1",
      method: "POST",
      path: "/large",
      status: 413,
      sent: answer.length,
    });
  });
});

for (const style of ["events", "coroutines"] as const) {
  test(`${style}: a WebSocket has a record of its handshake, and one of its end`, async () => {
    const records = new AccessRecords();
    let server: WebSocketServer | CoroutineServer;
    if (style === "events") {
      server = new WebSocketServer("127.0.0.1", 0);
      server.on("message", (server, message) => server.push(message.fd, message));
    } else {
      server = new CoroutineServer("127.0.0.1");
      server.handle("/", async (_request, ws) => {
        if (await ws.upgrade()) { for await (const message of ws) await ws.push(message); }
      });
    }
    server.set(records.settings);
    await serving<WebSocketServer | CoroutineServer>(server, async (_server, port) => {
      const refused = await RawClient.connect(port);
      refused.send(handshake("/chat", { Origin: "https://b.example" }));
      const answer = await refused.readAnswer();
      refused.destroy();
      const client = await RawClient.open(port, "/chat?token=secret", { "User-Agent": 'B "q"' });
      const received = handshake("/chat?token=secret", { "User-Agent": 'B "q"' }).length;
      await records.count(2);
      client.send(frame({ opcode: 1, payload: "hello" }));
      assertEquals((await client.readFrame())?.opcode, 1);
      client.send(closeFrame(4001, "lunch\n\u202e"));
      await client.readAll();
      client.destroy();
      await records.count(3);
      assertEquals([records.all[0].fields.status, records.all[0].fields.sent], [403, answer.head.length + answer.body.length]);
      const { sent: handshakeSize, ...first } = records.fields(1);
      const common = { fd: 2, address: "127.0.0.1", path: "/chat", userAgent: 'B "q"' };
      assertEquals(first, { ...common, method: "GET", status: 101, received });
      assertEquals([records.all[2].event, records.fields(2)], ["websocket", {
        ...common,
        code: 4001,
        reason: "lunch\\u000a\\u202e",
        received: received + (6 + 5) + (6 + 2 + 9),
        sent: handshakeSize! + (2 + 5) + (2 + 2 + 9),
      }]);
      assertMatch(records.all[2].message, /^127\.0\.0\.1 WEBSOCKET "\/chat" 4001 \d+ \d+ \d+\.\d{3} "B \\"q\\""$/);
    });
  });
}

test("behind a trusted proxy, the address is that of the client", async () => {
  const records = new AccessRecords();
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ ...records.settings, trusted_proxies: "loopback", package_max_length: 4 });
  server.on("request", (_request, response) => response.end());
  server.on("message", () => {});
  await serving(server, async (_server, port) => {
    const via = "X-Forwarded-For: 192.0.2.7\r\n";
    await exchange(port, requestOf("GET /", `${via}Connection: close\r\n`));
    const client = await RawClient.open(port, "/", { "X-Forwarded-For": "192.0.2.8" });
    client.destroy();
    await records.count(3);
  });
  assertEquals(records.all.map(({ fields }) => fields.address), ["192.0.2.7", "192.0.2.8", "192.0.2.8"]);
});

test("what a client chose is escaped and cut", async () => {
  const records = new AccessRecords();
  const server = new HttpServer("127.0.0.1", 0);
  server.set(records.settings);
  server.on("request", (_request, response) => response.end());
  await serving(server, async (_server, port) => {
    const method = "M".repeat(40);
    await exchange(
      port,
      requestOf(`${method} /${"p".repeat(300)}`, `Connection: close\r\nUser-Agent: a\\"\t\x9b${"u".repeat(300)}\r\n`),
    );
    await records.count(1);
  });
  const [{ fields, message }] = records.all;
  assertEquals(fields.method, `${"M".repeat(32)}…`);
  assertEquals(fields.path, `/${"p".repeat(199)}…`);
  assertMatch(fields.userAgent!, /^a\\\\"\\u0009.*u…$/);
  assert(message.includes(` "a\\\\\\"\\u0009`), message);
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x1f\x7f-\x9f]/.test(message), message);
});

test("on a unix socket there is no address; raw connections are not logged", () =>
  inFolder(async (folder) => {
    const records = new AccessRecords();
    const path = join(folder, "socket");
    const server = new HttpServer(path, 0, undefined, SWOOLE_SOCK_UNIX_STREAM);
    server.set(records.settings);
    server.on("request", (_request, response) => response.end());
    await serving(server, async () => {
      const client = await RawClient.connect({ path });
      client.send(requestOf("GET /"));
      await client.readAnswer();
      await records.count(1);
      client.destroy();
    });
    assertMatch(records.all[0].message, /^- GET "\/" 200 /);
    assertEquals(records.all[0].fields.address, "");

    const raw = new Server("127.0.0.1", 0);
    const closed = signal();
    raw.set(records.settings);
    raw.on("receive", (server, fd, _reactorId, data) => server.send(fd, data));
    raw.on("close", () => closed.resolve());
    await serving(raw, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send("x");
      client.destroy();
      await closed.promise;
    });
    assertEquals(records.all.length, 1);
  }));

test("without a logger the lines go to access_log_file, else to log_file, else to standard output", () =>
  inFolder(async (folder) => {
    const [log_file, access_log_file] = ["a.log", "access.log"].map((name) => join(folder, name));
    const printed: string[] = [];
    const { log } = console;
    console.log = (line: unknown) => void printed.push(String(line));
    try {
      for (
        const settings of [{}, { access_log: true }, { access_log: true, log_file }, {
          access_log: true,
          log_file,
          access_log_file,
        }]
      ) {
        const server = new HttpServer("127.0.0.1", 0);
        server.set({ log_format: "json", ...settings });
        server.on("request", (_request, response) => response.end());
        await serving(server, async (_server, port) => {
          await exchange(port, requestOf("GET /", "Connection: close\r\n"));
        });
      }
    } finally {
      console.log = log;
    }
    const files = [log_file, access_log_file].map((file) => readFileSync(file, "utf8"));
    for (const text of [...printed, ...files]) {
      const { time, duration, sent, ...record } = JSON.parse(text);
      assert(Date.parse(time) > 0 && duration >= 0 && sent > 0);
      const message = text.match(/"message":"(.*?[^\\])"/)![1].replaceAll("\\", "");
      assertEquals(record, {
        level: "info",
        event: "request",
        message,
        fd: 1,
        address: "127.0.0.1",
        method: "GET",
        path: "/",
        status: 200,
        received: requestOf("GET /", "Connection: close\r\n").length,
      });
    }
    assertEquals([printed.length, ...files.map((text) => text.split("\n").length)], [1, 2, 2]);
    const server = new HttpServer("127.0.0.1", 0);
    server.set({ access_log_file: join(folder, "no", "access.log") });
    server.on("request", () => {});
    await assertRejects(() => server.start(), Error, "Cannot use access_log_file: there is no folder");
    assert(!existsSync(join(folder, "no")));
  }));
