/** What `HttpClient` makes of answers. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import type { HttpClientSettings } from "../../src/coroutine/mod.ts";
import { settle } from "../support/memory_client.ts";
import { answered, ok, requestOf, scripted } from "./client_stage.ts";
import { join, latin1 } from "../coroutine/stage.ts";

/** What becomes of an answer: `true 200 body`, or `false -3 104` with what errMsg adds. */
async function outcome(answer: string | Uint8Array, settings: HttpClientSettings = {}, method = "GET"): Promise<string> {
  const it = scripted(settings);
  const { result } = await answered(it, answer, (client) => {
    client.setMethod(method);
    return client.execute("/");
  });
  const { client } = it;
  return result ? `true ${client.statusCode} ${client.body}` : `false ${client.statusCode} ${client.errCode}`;
}

test("bodies of known length, chunked ones and those up to the end of the connection", async () => {
  assertEquals(await outcome(ok("body")), "true 200 body");
  assertEquals(await outcome("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "true 404 ");
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n";
  assertEquals(await outcome(chunked), "true 200 abcde");

  const it = scripted();
  const asking = it.client.get("/");
  await requestOf(it.lane);
  it.lane.receive("HTTP/1.1 200 OK\r\n\r\nun");
  it.lane.receive("til");
  await settle();
  assertEquals(it.client.statusCode, 0);
  it.lane.sink.onEnd();
  assertEquals([await asking, it.client.body, it.client.connected], [true, "until", false]);
});

test("an answer in pieces of one byte", async () => {
  const it = scripted();
  const asking = it.client.get("/");
  await requestOf(it.lane);
  for (const byte of "HTTP/1.1 100 Continue\r\n\r\n" + ok("body")) it.lane.receive(byte);
  assertEquals([await asking, it.client.body], [true, "body"]);
});

test("interim answers are passed over, up to 16 of them", async () => {
  const interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
  assertEquals(await outcome(interim.repeat(16) + ok("x")), "true 200 x");
  assertEquals(await outcome(interim.repeat(17) + ok("x")), "false -3 7102");
});

test("answers without a body: HEAD, 204, 304; the connection can be used again", async () => {
  for (
    const [method, answer, expected] of [
      ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200],
      ["HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200],
      ["HEAD", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n", 200],
      ["GET", "HTTP/1.1 204 No Content\r\n\r\n", 204],
      ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304],
    ] as const
  ) {
    const it = scripted();
    const first = await answered(it, answer, (client) => {
      client.setMethod(method);
      return client.execute("/");
    });
    assertEquals([first.result, it.client.statusCode, it.client.body], [true, expected, ""], answer);
    assertEquals([(await answered(it, ok("next"))).result, it.client.body, it.client.connected], [true, "next", true]);
  }
});

test("the connection is kept unless either side says otherwise", async () => {
  for (
    const [answer, settings, kept] of [
      [ok("x"), {}, true],
      [ok("x", "Connection: close\r\n"), {}, false],
      ["HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", {}, false],
      ["HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", {}, true],
    ] as [string, HttpClientSettings, boolean][]
  ) {
    const it = scripted(settings);
    assertEquals((await answered(it, answer)).result, true);
    assertEquals([it.client.connected, it.lane.ended], [kept, !kept], answer);
  }
  const it = scripted({ keep_alive: false });
  const { request } = await answered(it, ok("x", "Connection: close\r\n"));
  assertStringIncludes(request, "\r\nConnection: close\r\n");
});

test("gzip, deflate and br are asked for and undone: http_compression asks, body_decompression undoes", async () => {
  const body = "compressed ".repeat(1000);
  const codings: [string, Uint8Array][] = [
    ["gzip", gzipSync(body)],
    ["x-GZIP", gzipSync(body)],
    ["deflate", deflateSync(body)],
    ["br", brotliCompressSync(body)],
  ];
  for (const [coding, bytes] of codings) {
    const head = `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: ${bytes.length}\r\n\r\n`;
    const answer = join(latin1(head), new Uint8Array(bytes));
    assertEquals(await outcome(answer), `true 200 ${body}`, coding);
    const unasked = scripted({ http_compression: false });
    const { request } = await answered(unasked, answer);
    assertEquals([request.includes("Accept-Encoding"), unasked.client.body], [false, body]);
    const asItIs = scripted({ body_decompression: false });
    assertStringIncludes((await answered(asItIs, answer)).request, "\r\nAccept-Encoding: gzip, deflate, br\r\n");
    assertEquals(asItIs.client.bytes, new Uint8Array(bytes));
  }
  assertEquals(await outcome(ok("as it is", "Content-Encoding: zstd\r\n")), "true 200 as it is");
  for (const coding of ["gzip", "deflate", "br"]) {
    assertEquals(await outcome(ok("", `Content-Encoding: ${coding}\r\n`)), "true 200 ");
  }
});

test("lowercase_header: false keeps the names as they were sent", async () => {
  const it = scripted({ lowercase_header: false });
  await answered(it, ok("x", "X-One: 1\r\nx-TWO: 2\r\nX-one: 3\r\nSet-Cookie: a=b\r\n"));
  const { client } = it;
  assertEquals(Object.entries(client.headers), [
    ["X-One", ["1", "3"]],
    ["x-TWO", "2"],
    ["Set-Cookie", "a=b"],
    ["Content-Length", "1"],
  ]);
  assertEquals([{ ...client.cookies }, client.set_cookie_headers], [{ a: "b" }, ["a=b"]]);
  client.set({ lowercase_header: true });
  await answered(it, ok("x", "X-One: 1\r\n"));
  assertEquals(Object.keys(client.headers), ["x-one", "content-length"]);
});

test("a chunked gzip body in pieces is put together before it is decompressed", async () => {
  const bytes = new Uint8Array(gzipSync("hello ".repeat(500)));
  const it = scripted();
  const asking = it.client.get("/");
  await requestOf(it.lane);
  it.lane.receive("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (let at = 0; at < bytes.length; at += 7) {
    const piece = bytes.subarray(at, at + 7);
    it.lane.receive(join(latin1(`${piece.length.toString(16)}\r\n`), piece, latin1("\r\n")));
  }
  it.lane.receive("0\r\n\r\n");
  assertEquals([await asking, it.client.body], [true, "hello ".repeat(500)]);
});

test("a broken compressed body is false with 7102, and the message says which coding", async () => {
  const broken: [string, Uint8Array][] = [
    ["gzip", latin1("not gzip at all")],
    ["deflate", latin1("not deflate at all")],
    ["br", latin1("not br at all")],
    ["gzip", new Uint8Array(gzipSync("hello".repeat(100)).subarray(0, 20))],
    ["deflate", new Uint8Array(deflateSync("hello".repeat(100)).subarray(0, -2))],
    ["br", new Uint8Array(brotliCompressSync("hello".repeat(100)).subarray(0, -2))],
  ];
  for (const [coding, bytes] of broken) {
    const it = scripted();
    const head = `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: ${bytes.length}\r\n\r\n`;
    const { result } = await answered(it, join(latin1(head), bytes));
    assertEquals([result, it.client.errCode, it.client.body], [false, 7102, ""], coding);
    assertStringIncludes(it.client.errMsg, `the ${coding} body is broken`);
    assertEquals([(await answered(it, ok("next"))).result, it.client.errCode], [true, 0]);
  }
});

test("package_max_length is the most bytes of a body, in whatever form it comes: 1201 beyond it", async () => {
  const settings = { package_max_length: 100 };
  const forms: [string, (body: string) => string][] = [
    ["known length", (body) => ok(body)],
    [
      "chunks",
      (body) => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    ],
    ["until the end", (body) => `HTTP/1.1 200 OK\r\n\r\n${body}`],
  ];
  for (const [form, answer] of forms) {
    for (const [length, expected] of [[100, `true 200 ${"x".repeat(100)}`], [101, "false -3 1201"]] as const) {
      const it = scripted(settings);
      const asking = it.client.get("/");
      await requestOf(it.lane);
      it.lane.receive(answer("x".repeat(length)));
      if (length === 100) it.lane.sink.onEnd();
      const result = await asking;
      const { statusCode, errCode, body } = it.client;
      assertEquals(result ? `true ${statusCode} ${body}` : `false ${statusCode} ${errCode}`, expected, `${form} ${length}`);
      if (length === 101) assertEquals([it.lane.aborted, it.client.connected, it.client.body], [true, false, ""]);
    }
  }
  assertEquals(await outcome("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", settings), "false -3 1201");
});

test("a compressed body may become as large as package_max_length, and no larger: 1201", async () => {
  const codings = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync };
  for (const [coding, compress] of Object.entries(codings)) {
    for (const [size, limit] of [[1000, 1000], [1001, 1000], [50 * 1024 * 1024, 2 * 1024 * 1024]]) {
      const bytes = new Uint8Array(compress(new Uint8Array(size)));
      const it = scripted({ package_max_length: limit });
      const head = `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: ${bytes.length}\r\n\r\n`;
      const { result } = await answered(it, join(latin1(head), bytes));
      const { client } = it;
      const expected = size <= limit ? [true, 200, 0, size] : [false, 200, 1201, 0];
      assertEquals([result, client.statusCode, client.errCode, client.bytes.length], expected, `${coding} ${size}`);
    }
  }
});

test("what is not HTTP, or breaks it, is false with -3 and 7102, and the connection is dropped", async () => {
  for (
    const garbage of [
      "SSH-2.0-OpenSSH\r\n",
      "\0\0\x1f\x04",
      "HTTP/2.0 200 OK\r\n\r\n",
      "HTTP/1.1 OK\r\n\r\n",
      "HTTP/1.1 99 OK\r\n\r\n",
      "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: strange\r\n\r\n",
      "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
      `HTTP/1.1 200 OK\r\nA: ${"x".repeat(70_000)}\r\n\r\n`,
      `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(200)}\r\n`,
    ]
  ) {
    const it = scripted();
    const { result } = await answered(it, garbage);
    const { client, lane } = it;
    assertEquals([result, client.statusCode, client.errCode], [false, -3, 7102], garbage.slice(0, 60));
    assertEquals([lane.aborted, client.connected, client.body, Object.keys(client.headers)], [true, false, "", []]);
    assert(client.errMsg.includes(": "), client.errMsg);
  }
});

test("an answer that is cut off is false with -3 and 104", async () => {
  for (const part of ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf", "HTTP/1.1 100 Continue\r\n\r\n"]) {
    for (const how of ["FIN", "RST"]) {
      const it = scripted();
      const asking = it.client.get("/");
      await requestOf(it.lane);
      it.lane.receive(part);
      if (how === "FIN") it.lane.sink.onEnd();
      else it.lane.sink.onClose(new Error("reset"));
      assertEquals([await asking, it.client.statusCode, it.client.errCode, it.client.body], [false, -3, 104, ""], part);
    }
  }
});

test("101 to a request that did not ask for it is false with -3 and 7102", async () => {
  const answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
  const it = scripted();
  const { result } = await answered(it, answer);
  assertEquals([result, it.client.statusCode, it.client.errCode, it.lane.aborted], [false, -3, 7102, true]);
  assertStringIncludes(it.client.errMsg, "unasked");
});

test("bytes that nobody asked for drop an idle connection", async () => {
  const it = scripted();
  await answered(it, ok("x"));
  assertEquals(it.client.connected, true);
  it.lane.receive("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
  assertEquals([it.client.connected, it.lane.aborted, it.client.statusCode], [false, true, 200]);
});

test("no answer in time is false with -2 and 110, and the connection is dropped", async () => {
  for (const settings of [{ read_timeout: 0.05 }, { timeout: 0.05 }]) {
    const { client, lane } = scripted(settings);
    const asking = client.get("/");
    await requestOf(lane);
    lane.receive("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    assertEquals([await asking, client.statusCode, client.errCode, lane.aborted], [false, -2, 110, true]);
    assertEquals([client.errMsg, client.connected, client.body], ["Connection timed out", false, ""]);
  }
});

test("a failure clears what the last answer said; a success clears the error", async () => {
  const it = scripted();
  await answered(it, ok("body", "X-A: 1\r\nSet-Cookie: a=1\r\n"));
  await answered(it, "garbage");
  const { client } = it;
  assertEquals([client.body, client.headers, client.set_cookie_headers.length, { ...client.cookies }], ["", {}, 0, { a: "1" }]);
});

test("close() during a request: it fails, the connection ends, and the client can be used again", async () => {
  const it = scripted();
  const asking = it.client.get("/");
  await requestOf(it.lane);
  assertEquals([it.client.close(), await asking, it.client.connected, it.lane.ended], [true, false, false, true]);
  assertEquals([it.client.statusCode, it.client.errCode], [-1, 5001]);
  assertEquals(it.client.close(), false);
});

test("close() without a connection is false with 5001", () => {
  const { client } = scripted();
  assertEquals([client.close(), client.errCode, client.errMsg], [false, 5001, "Client no connection"]);
  assertEquals([client.getpeername(), client.getsockname()], [false, false]);
});
