// What went wrong in other servers, and must not here: each test names the entry it is for.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { type HttpRequest, HttpServer, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { RequestParser } from "../../src/http/request_parser.ts";
import { bytes, parseEveryWay, WIDE } from "../support/http_parsing.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";

const HANDSHAKE = "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const GET = "GET / HTTP/1.1\r\nHost: x\r\n";

/**
 * Runs a test against a server that speaks WebSocket and HTTP, and makes sure that it serves a client afterwards. The paths of the
 * requests that it gets are noted.
 */
async function surviving(
  work: (connect: () => MemoryClient, paths: string[], last: () => HttpRequest) => Promise<void>,
  settings: ServerSettings = {},
): Promise<void> {
  const server = new WebSocketServer();
  const paths: string[] = [];
  const errors: unknown[] = [];
  const clients: MemoryClient[] = [];
  let last: HttpRequest | undefined;
  server.on("message", () => {});
  server.on("request", (request, response) => {
    last = request;
    paths.push(String(request.server.request_uri));
    response.end("fine");
  });
  server.on("error", (_server, error) => void errors.push(error));
  server.set({ websocket_close_timeout: 0.3, ...settings });
  const connect = () => {
    const client = new MemoryClient(server);
    clients.push(client);
    return client;
  };
  try {
    await work(connect, paths, () => last!);
    // Whatever it was, the next client is served.
    const next = connect();
    next.send(`${GET}\r\n`);
    assertEquals((await next.readAnswer()).status, 200);
  } finally {
    for (const client of clients) client.drop();
    server.shutdown();
    await server.finished;
  }
  assertEquals(errors, []);
}

test("names of the prototype are header fields, parameters and cookies like others (GHSA-5v72-xg48-5rpm)", () =>
  surviving(async (connect, _paths, last) => {
    const client = connect();
    client.send(
      "GET /?__proto__=q&constructor[x]=r HTTP/1.1\r\nHost: x\r\n__proto__: a\r\nconstructor: b\r\nhasOwnProperty: c\r\n" +
        "Cookie: __proto__=d; toString=e\r\n\r\n",
    );
    assertEquals((await client.readAnswer()).status, 200);
    const { header, get, cookie } = last();
    assertEquals([header["__proto__"], header["constructor"], header["hasownproperty"]], ["a", "b", "c"]);
    assertEquals([
      get.__proto__,
      (get["constructor"] as unknown as Record<string, string>).x,
      cookie["__proto__"],
      cookie["toString"],
    ], [
      "q",
      "r",
      "d",
      "e",
    ]);
    assertEquals([header["tostring"], get.toString, cookie["valueOf"]], [undefined, undefined, undefined]);
    const other = connect();
    other.send(
      `${HANDSHAKE}Sec-WebSocket-Extensions: __proto__; constructor, toString\r\nSec-WebSocket-Protocol: __proto__\r\n\r\n`,
    );
    assertEquals((await other.readAnswer(true)).status, 101);
  }, { websocket_compression: true }));

test("fields behind the most that are taken are not dropped in silence: 431, no half handshake (CVE-2024-37890)", () =>
  surviving(async (connect) => {
    const fillers = "A: b\r\n".repeat(128 - 5);
    for (const [fields, status] of [[fillers, 101], [`${fillers}A: b\r\n`, 431]] as const) {
      const client = connect();
      client.send(`GET / HTTP/1.1\r\n${fields}${HANDSHAKE.slice(HANDSHAKE.indexOf("\r\n") + 2)}\r\n`);
      assertEquals((await client.readAnswer(status === 101)).status, status);
    }
  }));

test("a handshake without end is refused at the limit, byte by byte, and read once only (CVE-2023-43669)", () => {
  const parser = new RequestParser({ ...WIDE, maxHeadSize: 1024 * 1024 });
  const start = bytes(`${GET}A: `);
  parser.receive(start, 0);
  const byte = bytes("a");
  let count = start.length; // with a scan that begins anew each time, this would take hours
  for (; parser.failure === undefined; count++) parser.receive(byte, 0);
  assertEquals([count, parser.failure.status], [1024 * 1024 + 1, 431]);
});

test("long lists in a handshake take no more time than others (CVE-2021-32640)", () =>
  surviving(async (connect) => {
    for (const filler of [" ", ",", "\t", ", ", ";", '"', "a", "=", "a,"]) {
      const long = filler.repeat(Math.floor(28_000 / filler.length));
      const client = connect();
      client.send(`${HANDSHAKE}Sec-WebSocket-Protocol: a${long}b\r\nSec-WebSocket-Extensions: a${long}b\r\n\r\n`);
      assert([101, 400].includes((await client.readAnswer(true)).status));
    }
  }, { websocket_compression: true, websocket_subprotocol: ["chat"] }));

test("a subprotocol beyond ASCII is no reason to fail (granian 2026)", () =>
  surviving(async (connect) => {
    for (const name of ["\xe4", "\xff\xfe", "chat, \xf0\x9f\x98\x80"]) {
      const client = connect();
      client.send(`${HANDSHAKE}Sec-WebSocket-Protocol: ${name}\r\n\r\n`);
      const { status, header } = await client.readAnswer(true);
      assertEquals([status, header["sec-websocket-protocol"]], [101, name.startsWith("chat") ? "chat" : undefined]);
    }
  }, { websocket_subprotocol: ["chat"] }));

test("parameters of compression that are out of range are declined at the handshake (CVE-2026-2229)", () =>
  surviving(async (connect) => {
    for (const value of ["0", "7", "16", "1000000", "-8", "8.5", "x", '"', "08"]) {
      const client = connect();
      client.send(`${HANDSHAKE}Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=${value}\r\n\r\n`);
      const { status, header } = await client.readAnswer(true);
      assert(status === 400 || header["sec-websocket-extensions"] === undefined, value);
    }
  }, { websocket_compression: true }));

test("tiny chunks are collected in one piece of memory, at most twice as large (CVE-2026-48779)", () => {
  const parser = new RequestParser(WIDE);
  parser.receive(bytes("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), 0);
  const chunk = bytes("1\r\na\r\n");
  for (let size = 1; size <= 20_000; size++) {
    parser.receive(chunk, 0);
    assert(parser.heldBytes <= Math.max(1024, 2 * size));
  }
});

test("lengths of 64 bits and more do not wrap around (CVE-2026-1528)", () => {
  for (const length of ["18446744073709551616", "9007199254740993", "9223372036854775808", "4294967296000000"]) {
    assertEquals(parseEveryWay(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`).status, 400);
  }
  for (const size of ["100000000", "ffffffffffffffff", "10000000000000000", "8000000000000001"]) {
    const request = `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${size}\r\na\r\n0\r\n\r\n`;
    assertEquals(parseEveryWay(request).status, 400);
  }
});

test("limits are on by default, for the head, the fields and the body (CVE-2016-10542)", () =>
  surviving(async (connect) => {
    const head = (size: number) => `${GET}A: ${"b".repeat(size - GET.length - 7)}\r\n\r\n`;
    const body = (size: number) => `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n${"b".repeat(size)}`;
    const fields = (count: number) => `${GET}${"A: b\r\n".repeat(count - 1)}\r\n`;
    const MAX = 2 * 1024 * 1024;
    const cases: [string, number][] = [
      [head(65536), 200],
      [head(65537), 431],
      [fields(128), 200],
      [fields(129), 431],
      [body(MAX), 200],
      [body(MAX + 1), 413],
    ];
    for (const [request, status] of cases) {
      const client = connect();
      client.send(request);
      assertEquals((await client.readAnswer()).status, status);
    }
  }));

test("what a proxy may have taken for a body is never read as a request (CVE-2022-32213 and its like)", () =>
  surviving(async (connect, paths) => {
    const inner = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";
    const post = "POST / HTTP/1.1\r\nHost: x\r\n";
    const attempts = [
      `${post}Content-Length: ${inner.length + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
      `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${inner}`,
      `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${inner}`,
      `${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${inner}`,
      `${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n${inner}`,
      `${post}Transfer-Encoding: chunked\r\n\r\n0\n\n${inner}`,
      `${post}Transfer-Encoding: chunked\r\n\r\n1;\n${inner}`,
      `${post}Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n${inner}`,
      `${post}Content-Length: 0\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`,
      `${post}Content-Length: +0\r\n\r\n${inner}`,
      `${post}Content-Length: 0x0\r\n\r\n${inner}`,
      `${post}A: b\n\r\n${inner}`,
      `${HANDSHAKE}Content-Length: ${inner.length}\r\n\r\n${inner}`,
      `${HANDSHAKE.replace("13", "12")}\r\n${inner}`,
      `${HANDSHAKE}\r\n${inner}`,
    ];
    for (const attempt of attempts) {
      const client = connect();
      client.send(attempt);
      await settle();
      assertEquals(paths, [], attempt);
      client.drop();
    }
  }));

test("a broken request ends its connection, and nothing that comes later is read", () =>
  surviving(async (connect, paths) => {
    const client = connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nA b\r\n\r\n");
    assertEquals((await client.readAnswer()).header["connection"], "close");
    client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals(await client.readAll(), "");
    assertEquals(paths, []);
  }));

test("an answer has nothing in it but what it is to have (CVE-2016-10518, CVE-2026-45736)", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ http_compression: false });
  server.on("request", (request, response) => {
    const path = request.server.request_uri;
    response.header("Date", "");
    if (path === "/secret") return response.end("secret".repeat(20_000));
    for (const data of [new ArrayBuffer(9), null, { length: 9 }]) {
      assertThrows(() => response.end(data as never), TypeError, "Cannot send");
      assertThrows(() => response.write(data as never), TypeError, "Cannot send");
    }
    if (path === "/number") return response.end(1e6); // its text, never so many bytes of memory
    if (path === "/text") return response.end("ä€😀"); // 9 bytes of 4 characters
    response.write("ä");
    response.write(new Uint8Array(3));
    response.end("€");
  });
  const client = new MemoryClient(server);
  try {
    const head = "HTTP/1.1 200 OK\r\nServer: sluice\r\nConnection: keep-alive\r\nContent-Type: text/html; charset=utf-8\r\n";
    const inUtf8 = (text: string) => String.fromCharCode(...new TextEncoder().encode(text));
    for (let i = 0; i < 3; i++) {
      client.send("GET /secret HTTP/1.1\r\nHost: x\r\n\r\n");
      assertEquals((await client.readAnswer()).body.length, 120_000);
      client.send("GET /text HTTP/1.1\r\nHost: x\r\n\r\nGET /parts HTTP/1.1\r\nHost: x\r\n\r\n");
      const expected = `${head}Content-Length: 9\r\n\r\n${inUtf8("ä€😀")}` +
        `${head}Transfer-Encoding: chunked\r\n\r\n2\r\n${inUtf8("ä")}\r\n3\r\n\0\0\0\r\n3\r\n${inUtf8("€")}\r\n0\r\n\r\n`;
      assertEquals(await client.read(expected.length), expected);
      client.send("GET /number HTTP/1.1\r\nHost: x\r\n\r\n");
      assertEquals((await client.readAnswer()).body, "1000000");
    }
    await settle();
    assertEquals(client.pending, "");
  } finally {
    client.drop();
    server.shutdown();
  }
});

test("a client that breaks off, wherever it is, ends its own connection and nothing else (CVE-2026-33151, ws#1777, deno#17283)", () =>
  surviving(async (connect) => {
    const requests = [
      "",
      "G",
      `${GET}`,
      `${GET}\r\n`,
      `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc`,
      `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc`,
      `POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n`,
      `${HANDSHAKE}\r\n`,
      `${HANDSHAKE}\r\n\x81`,
      `${HANDSHAKE}\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff`,
      "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
      `${GET}\r\n`.repeat(100),
    ];
    for (const request of requests) {
      for (const leave of ["drop", "end"] as const) {
        const client = connect();
        client.send(request);
        client[leave]();
        await settle();
      }
    }
  }, { http_stream_body: true }));
