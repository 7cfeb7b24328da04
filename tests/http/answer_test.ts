import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpResponse, HttpServer } from "../../mod.ts";
import * as coroutine from "../../src/coroutine/mod.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { servingHandler } from "../support/serving.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

test("cookies: a line for each, between the other headers and Server, as Swoole spells them", () =>
  servingHandler((_request, response) => {
    response.cookie("a", "b c", 0, "/", "ex.org", true, true, "Lax");
    response.header("X-A", "b");
    response.rawcookie("r", "b+c", 86400, "/x", "", false, false, "", "High", true);
    response.setCookie("gone");
    response.setRawCookie("last", "1");
    response.end();
  }, async (client) => {
    client.send(GET);
    const { head } = await client.readAnswer();
    assertEquals(head.split("\r\n").slice(1, 7), [
      "X-A: b",
      "Set-Cookie: a=b%20c; path=/; domain=ex.org; secure; HttpOnly; SameSite=Lax",
      "Set-Cookie: r=b+c; expires=Fri, 02 Jan 1970 00:00:00 GMT; path=/x; Priority=High; Partitioned",
      "Set-Cookie: gone=deleted; expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0; path=/",
      "Set-Cookie: last=1; path=/",
      "Server: sluice",
    ]);
  }));

test("what would split a cookie is refused, and a cookie after the head returns false with 7106", () =>
  servingHandler((_request, response, server) => {
    for (const part of ["a;b", "a,b", "a\r\nb", "a b"]) {
      assertThrows(() => response.rawcookie("a", part), TypeError);
      assertThrows(() => response.cookie(part, "a"), TypeError);
      assertThrows(() => response.cookie("a", "b", 0, part), TypeError);
      assertThrows(() => response.cookie("a", "b", 0, "/", part), TypeError);
      assertThrows(() => response.cookie("a", "b", 0, "/", "", false, false, part), TypeError);
    }
    assertThrows(() => response.cookie("a", "b", -1), RangeError);
    response.write("x");
    assertEquals([response.cookie("a", "b"), response.rawcookie("a", "b"), server.getLastError()], [false, false, 7106]);
    response.end();
  }, async (client, errors) => {
    client.send(GET);
    assertEquals([(await client.readAnswer()).head.includes("Set-Cookie"), errors], [false, []]);
  }));

test("setStatusCode, setHeader and initHeader are what Swoole's are", () =>
  servingHandler((_request, response) => {
    assert(response.initHeader());
    assert(response.setStatusCode(418, "Short and stout"));
    assert(response.setHeader("X-A", ["1", "2"]));
    response.write("x");
    assert(!response.initHeader() && !response.setStatusCode(200) && !response.setHeader("X-B", 1));
    response.end();
  }, async (client) => {
    client.send(GET);
    const { head } = await client.readAnswer();
    assert(head.startsWith("HTTP/1.1 418 Short and stout\r\nX-A: 1\r\nX-A: 2\r\n"));
  }));

test("trailers: announced, and sent behind the body, with write() and with end() alone", () =>
  servingHandler((request, response) => {
    assert(response.trailer("X-Sum", "abc"));
    if (request.server.request_uri === "/write") response.write("bo");
    if (request.server.request_uri === "/write") assert(response.trailer("X-Late", ["1", "2"]));
    response.end(request.server.request_uri === "/write" ? "dy" : "body");
  }, async (client) => {
    client.send(GET);
    let head = await client.readHead();
    assert(
      /\r\nTrailer: X-Sum\r\n/.test(head) && /\r\nTransfer-Encoding: chunked\r\n/.test(head) && !/content-length/i.test(head),
    );
    const whole = "4\r\nbody\r\n0\r\nX-Sum: abc\r\n\r\n";
    assertEquals(await client.read(whole.length), whole);
    client.send("GET /write HTTP/1.1\r\nHost: x\r\n\r\n");
    head = await client.readHead();
    const parts = "2\r\nbo\r\n2\r\ndy\r\n0\r\nX-Sum: abc\r\nX-Late: 1\r\nX-Late: 2\r\n\r\n";
    assertEquals(await client.read(parts.length), parts);
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + GET);
    assertEquals((await client.readAnswer(true)).status, 200);
    assertEquals((await client.readHead()).slice(0, 15), "HTTP/1.1 200 OK");
  }));

test("trailers that have to be headers, or would split the answer, are refused; HTTP/1.0 takes none", () =>
  servingHandler((_request, response) => {
    for (const name of ["Content-Length", "transfer-encoding", "Set-Cookie", "Host", "a b", ""]) {
      assertThrows(() => response.trailer(name, "1"), TypeError);
    }
    assertThrows(() => response.trailer("a", "b\r\nc"), TypeError);
    response.end(String(response.trailer("a", "b")));
  }, async (client, errors) => {
    client.send("GET / HTTP/1.0\r\n\r\n");
    assertEquals([(await client.readAnswer()).body, errors], ["false", []]);
  }));

test("drained() waits for the client, so that a long answer takes little memory", () =>
  servingHandler(async (_request, response, server) => {
    const part = new Uint8Array(64 * 1024).fill(97);
    let most = 0;
    for (let i = 0; i < 64; i++) {
      assert(response.write(part));
      const info = server.getClientInfo(response.fd);
      most = Math.max(most, info === false ? 0 : info.send_queued_bytes);
      assert(await response.drained());
    }
    response.end(String(most < 300 * 1024));
  }, async (client, errors) => {
    client.send(GET);
    const { body } = await client.readAnswer();
    assertEquals([body.length, body.slice(-4), errors], [64 * 64 * 1024 + 4, "true", []]);
  }));

test("drained() is false when the client has gone", async () => {
  const server = new HttpServer();
  const drained = new Promise<boolean>((resolve) => {
    server.on("request", (_request, response) => {
      response.write("something");
      response.write(new Uint8Array(1024 * 1024));
      resolve(response.drained());
      response.detach();
    });
  });
  server.set({ websocket_close_timeout: 0.3 });
  const up = new TransformStream<Uint8Array, Uint8Array>();
  const writable = new WritableStream<Uint8Array>({ write: () => new Promise(() => {}) }); // takes nothing, ever
  server.accept({ readable: up.readable, writable, abort() {} });
  const writer = up.writable.getWriter();
  writer.closed.catch(() => {});
  await writer.write(new TextEncoder().encode(GET));
  await settle();
  await writer.abort(new Error("gone"));
  assertEquals(await drained, false);
  server.shutdown();
  await server.finished;
});

test("write() beyond socket_buffer_size is false with 1009, and end() drops the connection then", async () => {
  let results: unknown[] = [];
  await servingHandler(async (_request, response, server) => {
    const kilobytes = "x".repeat(60 * 1024);
    results = [response.write(kilobytes), response.write(kilobytes), server.getLastError(), response.isWritable()];
    assert(await response.drained());
    results.push(response.write("there is room again"), response.end("the end"));
  }, async (client, errors) => {
    client.send(GET);
    const text = await client.readAll();
    assertEquals([results, errors], [[true, false, 1009, false, false, false], []]);
    assertEquals([client.dropped, text.endsWith("x\r\n"), text.includes("the end")], [true, true, false]);
  }, { socket_buffer_size: 100 * 1024 });
});

test("write() up to socket_buffer_size loses nothing", () => {
  let count = 0;
  return servingHandler((_request, response) => {
    response.write("a");
    while (response.write("x".repeat(1000)) && ++count < 90);
    response.end(`${count}`);
  }, async (client, errors) => {
    client.send(GET);
    const { body } = await client.readAnswer();
    assertEquals([body.slice(90_001), errors], ["90", []]);
  }, { socket_buffer_size: 100 * 1024 });
});

test("create() takes over an answer that was detached", () =>
  servingHandler((request, response, server) => {
    if (request.server.request_uri === "/none") return response.end(String(HttpResponse.create(server, request.fd)));
    response.header("X-A", "b");
    assert(response.detach());
    setTimeout(() => {
      const later = HttpResponse.create(server, request.fd);
      assert(later);
      later.end("later");
    }, 1);
  }, async (client, errors) => {
    client.send(GET + GET);
    for (let i = 0; i < 2; i++) {
      const { body, header } = await client.readAnswer();
      assertEquals([body, header["x-a"]], ["later", "b"]);
    }
    client.send("GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals([(await client.readAnswer()).body, errors], ["false", []]);
  }));

test("coroutine style: write() waits for a client that does not read", async () => {
  const server = new coroutine.HttpServer("127.0.0.1");
  server.set({ websocket_close_timeout: 0.3 });
  let written = 0;
  server.handle("/", async (_request, response) => {
    const part = new Uint8Array(64 * 1024).fill(97);
    for (; written < 64; written++) assert(await response.write(part));
    response.cookie("a", "b");
    response.end();
  });
  const client = new MemoryClient(server);
  client.send(GET);
  const { body } = await client.readAnswer();
  assertEquals([body.length, written], [64 * 64 * 1024, 64]);
  client.drop();
  server.shutdown();
  await server.finished;
});

const LONG = 32 * 1024;

/** A text as it travels: a character for each byte. */
function inUtf8(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}

test("a text is sent in UTF-8 with its length, whatever it holds and however long it is", () => {
  const ascii = "Hello, World! ".repeat(4000);
  const texts = [
    ...[0, 1, 13, 64, 65, 1000, LONG - 200, LONG, LONG + 1, ascii.length].map((length) => ascii.slice(0, length)),
    ...["ä", "ä".repeat(30), `${ascii.slice(0, 64)}ä`, `${ascii.slice(0, 5000)}€`, `😀${ascii.slice(0, LONG)}`, "\ud800"],
  ];
  const left = [...texts, ...texts];
  return servingHandler((_request, response) => {
    response.header("X-Name", "\xe4"); // Latin-1, as all of a head
    response.end(left.shift());
  }, async (client) => {
    for (const text of texts) {
      client.send(GET);
      const { status, header, body } = await client.readAnswer();
      assertEquals([status, header["x-name"], header["content-length"]], [200, "\xe4", `${inUtf8(text).length}`]);
      assertEquals(body === inUtf8(text), true);
    }
    client.send(GET.repeat(texts.length));
    for (const text of texts) {
      assertEquals((await client.readAnswer()).body === inUtf8(text), true);
    }
  });
});
