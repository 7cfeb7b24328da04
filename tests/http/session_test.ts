import { assert, assertEquals, assertFalse } from "@std/assert";
import { test } from "node:test";
import { HttpServer } from "../../mod.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { type Handler, servingHandler, signal } from "../support/serving.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const get = (path: string, fields = "") => `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;

const echoPath: Handler = (request, response) => response.end(String(request.server.request_uri));

test("the connection is kept for the next request", () =>
  servingHandler(echoPath, async (client) => {
    for (const path of ["/1", "/2", "/3"]) {
      client.send(get(path));
      const { status, header, body } = await client.readAnswer();
      assertEquals([status, body, header["connection"], header["content-length"]], [200, path, "keep-alive", "2"]);
    }
    assertFalse(client.ended);
  }));

test("the head of an answer: status line, server, date, type, length", () =>
  servingHandler(echoPath, async (client) => {
    client.send(GET);
    const { head } = await client.readAnswer();
    assertEquals(
      head.replace(/Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT/, "Date: D").split("\r\n").sort(),
      [
        "HTTP/1.1 200 OK",
        "Server: sluice",
        "Date: D",
        "Connection: keep-alive",
        "Content-Type: text/html; charset=utf-8",
        "Content-Length: 1",
        "",
        "",
      ].sort(),
    );
  }));

test("pipelined requests: the handlers run one after the other, the answers come in order", async () => {
  const started: string[] = [];
  const gates = new Map<string, (value: void) => void>();
  await servingHandler(async (request, response) => {
    const path = String(request.server.request_uri);
    started.push(path);
    const { promise, resolve } = signal();
    gates.set(path, resolve);
    await promise;
    response.end(path);
  }, async (client) => {
    client.send(get("/a") + get("/b"));
    client.send(get("/c"));
    for (const path of ["/a", "/b", "/c"]) {
      await settle();
      assertEquals(started.at(-1), path);
      gates.get(path)!();
      assertEquals((await client.readAnswer()).body, path);
    }
    assertEquals(started, ["/a", "/b", "/c"]);
  });
});

test("pipelined requests with handlers of both kinds", () =>
  servingHandler(async (request, response) => {
    const path = String(request.server.request_uri);
    if (path.length % 2) await Promise.resolve();
    response.end(path);
  }, async (client) => {
    const paths = Array.from({ length: 40 }, (_, i) => "/" + "x".repeat(i));
    client.send(paths.map((path) => get(path)).join(""));
    for (const path of paths) assertEquals((await client.readAnswer()).body, path);
  }));

test("a thousand pipelined requests in one chunk", () =>
  servingHandler(echoPath, async (client) => {
    const paths = Array.from({ length: 1000 }, (_, i) => `/${i}`);
    client.send(paths.map((path) => get(path)).join(""));
    for (const path of paths) assertEquals((await client.readAnswer()).body, path);
  }));

test("a request that arrives byte by byte", () =>
  servingHandler((request, response) => response.end(request.getContent()), async (client) => {
    for (const character of "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc") client.send(character);
    assertEquals((await client.readAnswer()).body, "abc");
  }));

test("HEAD: the head of GET without the body", () =>
  servingHandler((_request, response) => response.end("five!"), async (client) => {
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + GET);
    const head = await client.readAnswer(true);
    assertEquals([head.status, head.header["content-length"]], [200, "5"]);
    assertEquals((await client.readAnswer()).body, "five!");
  }));

test("HEAD: no body with write() either", () =>
  servingHandler((_request, response) => {
    response.write("some");
    response.write("thing");
    response.end("else");
  }, async (client) => {
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + GET);
    assertEquals((await client.readAnswer(true)).header["transfer-encoding"], "chunked");
    assertEquals((await client.readAnswer()).body, "somethingelse");
  }));

test("HEAD: a Content-Length of the program's own is sent, once", () =>
  servingHandler((request, response) => {
    response.header("Content-Length", 1234);
    if (request.get.write !== undefined) response.write("x");
    response.end();
  }, async (client) => {
    for (const path of ["/", "/?write"]) {
      client.send(`HEAD ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      const { head } = await client.readAnswer(true);
      assertEquals(head.match(/^(content-length|transfer-encoding).*$/gim), ["Content-Length: 1234"]);
    }
  }));

for (const status of [204, 304]) {
  test(`${status}: no body, no matter what the program sends`, () =>
    servingHandler((request, response) => {
      response.status(status);
      if (request.get.write !== undefined) response.write("body");
      response.end("body");
    }, async (client) => {
      client.send(get("/") + get("/?write"));
      for (let i = 0; i < 2; i++) {
        const { head, header } = await client.readAnswer();
        assertEquals(head.slice(9, 12), String(status));
        assertEquals([header["transfer-encoding"], header["content-length"]], [undefined, undefined]);
      }
      await settle();
      assertEquals([client.pending, client.ended], ["", false]);
    }));
}

test("write(): the parts travel as chunks, an empty one does not end the body", () =>
  servingHandler((_request, response) => {
    assert(response.write("one "));
    assert(response.write(""));
    assert(response.write(new Uint8Array(0)));
    assert(response.write(new TextEncoder().encode("two ")));
    assert(response.write("x".repeat(100_000)));
    assert(response.end(" last"));
  }, async (client) => {
    client.send(GET + GET);
    for (let i = 0; i < 2; i++) {
      const { header, body } = await client.readAnswer();
      assertEquals([header["transfer-encoding"], header["content-length"]], ["chunked", undefined]);
      assertEquals(body, `one two ${"x".repeat(100_000)} last`);
    }
  }));

test("write(): the parts leave when they are written", async () => {
  const { promise, resolve } = signal();
  await servingHandler(async (_request, response) => {
    response.write("now");
    await promise; // the rest comes later
  }, async (client) => {
    client.send(GET);
    await client.readHead();
    assertEquals(await client.read(8), "3\r\nnow\r\n");
    resolve();
  });
});

test("write(): a length of the program's own is not sent beside the chunks", () =>
  servingHandler((_request, response) => {
    response.header("Content-Length", 1000);
    response.write("a");
    response.end();
  }, async (client) => {
    client.send(GET);
    const { header, body } = await client.readAnswer();
    assertEquals([header["content-length"], body], [undefined, "a"]);
  }));

test("HTTP/1.0: the connection is kept for a client that asks for it, and for no other", async () => {
  for (const [fields, kept] of [["", false], ["Connection: close\r\n", false], ["Connection: Keep-Alive\r\n", true]] as const) {
    await servingHandler(echoPath, async (client) => {
      client.send(`GET /old HTTP/1.0\r\n${fields}\r\n` + GET);
      const { status, header, body } = await client.readAnswer();
      const connection = kept ? "keep-alive" : "close";
      assertEquals([status, header["connection"], header["content-length"], body], [200, connection, "4", "/old"]);
      if (kept) assertEquals((await client.readAnswer()).body, "/");
      else assertEquals(await client.readAll(), "");
    });
  }
});

test("HTTP/1.0: write() sends no chunks, the end of the connection is the end of the body", () =>
  servingHandler((_request, response) => {
    response.write("one ");
    response.end("two");
  }, async (client) => {
    client.send("GET / HTTP/1.0\r\n\r\n");
    const { header, body } = await client.readAnswer();
    assertEquals([header["transfer-encoding"], header["connection"], body], [undefined, "close", "one two"]);
  }));

test("HTTP/1.0: a program that promises keep-alive does not deceive the client", () =>
  servingHandler((_request, response) => {
    response.header("Connection", "keep-alive");
    response.end();
  }, async (client) => {
    client.send("GET / HTTP/1.0\r\n\r\n");
    assertEquals((await client.readAnswer()).header["connection"], "close");
    await client.readAll();
  }));

test("Expect: 100-continue is answered before the body comes", () =>
  servingHandler((request, response) => response.end(request.getContent()), async (client) => {
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n");
    assertEquals(await client.readHead(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc");
    assertEquals((await client.readAnswer()).body, "abc");
  }));

test("Expect: 100-continue is not answered when the body is there, or there is none", () =>
  servingHandler((request, response) => response.end(request.getContent()), async (client) => {
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
    assertEquals((await client.readAnswer()).status, 200);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\na");
    await settle();
    assertEquals(client.pending, "");
    client.send("bc");
    assertEquals((await client.readAnswer()).status, 200);
    client.send(get("/", "Expect: 100-continue\r\n"));
    assertEquals((await client.readAnswer()).status, 200);
  }));

test("Expect: 100-continue of an HTTP/1.0 client is ignored (RFC 9110 section 10.1.1)", () =>
  servingHandler((request, response) => response.end(request.getContent()), async (client) => {
    client.send("POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    await settle();
    client.send("abc");
    assertEquals((await client.readAnswer()).status, 200);
  }));

test("Expect: 100-continue for a body that is too large: 413 instead", async () => {
  const server = new HttpServer();
  server.on("request", echoPath as never);
  server.set({ package_max_length: 10 });
  const client = new MemoryClient(server);
  client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
  assertEquals((await client.readAnswer()).status, 413);
  assertEquals(await client.readAll(), "");
  client.drop();
  server.shutdown();
  await server.finished;
});

for (const value of ["close", "Close", "keep-alive, close", "x ,CLOSE\t"]) {
  test(`Connection: ${JSON.stringify(value)} of the client ends the connection behind the answer`, () =>
    servingHandler(echoPath, async (client) => {
      client.send(get("/1", `Connection: ${value}\r\n`) + get("/2"));
      const { header, body } = await client.readAnswer();
      assertEquals([header["connection"], body], ["close", "/1"]);
      assertEquals(await client.readAll(), ""); // the second request is not answered
    }));

  test(`Connection: ${JSON.stringify(value)} of the program ends the connection behind the answer`, () =>
    servingHandler((request, response) => {
      response.header("Connection", value.trim());
      response.end(String(request.server.request_uri));
    }, async (client) => {
      client.send(get("/1") + get("/2"));
      const { header, body } = await client.readAnswer();
      assert(/(^|, )close$/.test(header["connection"]), header["connection"]);
      assertEquals(body, "/1");
      assertEquals(await client.readAll(), "");
    }));
}

test("a malformed request: 400, the connection ends, nothing behind it is read", () =>
  servingHandler(echoPath, async (client) => {
    client.send(get("/1") + "GET / HTTP/1.1\r\nHost : x\r\n\r\n" + get("/2"));
    assertEquals((await client.readAnswer()).body, "/1");
    const { status, header } = await client.readAnswer();
    assertEquals([status, header["connection"]], [400, "close"]);
    assertEquals(await client.readAll(), "");
  }));

test("a malformed request behind one that is being answered: first the answer, then 400", () =>
  servingHandler(async (_request, response) => {
    await settle();
    response.end("first");
  }, async (client) => {
    client.send(GET + "nonsense\r\n\r\n");
    assertEquals((await client.readAnswer()).body, "first");
    assertEquals((await client.readAnswer()).status, 400);
    assertEquals(await client.readAll(), "");
  }));

test("a client that ends its side in the middle of a request is not answered", () =>
  servingHandler(echoPath, async (client) => {
    client.send("GET / HTTP/1.1\r\nHo");
    client.end();
    assertEquals(await client.readAll(), "");
  }));

for (const allowed of [false, true]) {
  test(`a client that ends its side behind its requests ${allowed ? "gets all responses with" : "has gone without"} http_allow_half_open`, async () => {
    const started: string[] = [];
    const signals: AbortSignal[] = [];
    await servingHandler(async (request, response) => {
      started.push(String(request.server.request_uri));
      signals.push(request.signal);
      await settle();
      response.end(started.at(-1));
    }, async (client) => {
      client.send(get("/1") + get("/2"));
      client.end();
      const bodies = allowed ? [(await client.readAnswer()).body, (await client.readAnswer()).body] : [];
      assertEquals(await client.readAll(), "");
      assertEquals([started, bodies], allowed ? [["/1", "/2"], ["/1", "/2"]] : [["/1"], []]);
      assertEquals(signals.map(({ aborted }) => aborted), allowed ? [false, false] : [true]);
    }, { http_allow_half_open: allowed });
  });
}
