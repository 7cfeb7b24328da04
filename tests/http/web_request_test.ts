// The web requests of `fromFetch()` are those of the platform in everything that a program can see.

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { fromFetch, HttpServer } from "../../mod.ts";
import { MemoryClient } from "../support/memory_client.ts";

/** The types that the platform makes available to all. */
const GLOBALS = [Request, Response, Headers, AbortSignal, AbortController, URL, ReadableStream, Blob];
const describeGlobals = () =>
  GLOBALS.flatMap((type) => [type, type.prototype].map((it) => Object.getOwnPropertyDescriptors(it) as unknown));
const untouched = describeGlobals();

/** Sends requests to an application that answers with the JSON of what a function returns, and returns what it got. */
async function ask(
  look: (request: Request) => unknown,
  ...requests: string[]
): Promise<unknown[]> {
  const server = new HttpServer();
  const errors: unknown[] = [];
  server.on("request", fromFetch(async (request) => Response.json(await look(request))));
  server.on("error", (_server, error) => void errors.push(error));
  const client = new MemoryClient(server);
  const results: unknown[] = [];
  try {
    for (const request of requests) {
      client.send(request);
      const { status, body } = await client.readAnswer();
      const bytes = Uint8Array.from(body, (character) => character.charCodeAt(0));
      results.push(status === 200 ? JSON.parse(new TextDecoder().decode(bytes)) : status);
    }
  } finally {
    client.drop();
    server.shutdown();
    await server.finished;
  }
  assertEquals(errors, []);
  return results;
}

const get = (target: string, fields = "", method = "GET") => `${method} ${target} HTTP/1.1\r\nHost: x.org\r\n${fields}\r\n`;
const post = (body: string, fields = "", method = "POST") => {
  return get("/", `${fields}Content-Length: ${body.length}\r\n`, method) + body;
};

/** Returns the name of the error that a function throws or rejects with; otherwise its result. */
async function failure(work: () => unknown): Promise<unknown> {
  try {
    return await work();
  } catch (error) {
    return (error as Error).name;
  }
}

test("a request is a Request, its headers are Headers, and it has every member of the platform's", async () => {
  const [found] = await ask((request) => {
    const own = new Request("http://x.org/");
    for (const key of Object.keys(Object.getOwnPropertyDescriptors(Request.prototype)) as (keyof Request)[]) {
      if (["url", "method", "headers", "signal", "constructor"].includes(key)) continue;
      if (typeof own[key] === "function") assertEquals(typeof request[key], "function", key);
      else assertEquals(request[key] as unknown, own[key] as unknown, key);
    }
    for (const key of Object.keys(Object.getOwnPropertyDescriptors(Headers.prototype))) assert(key in request.headers, key);
    assertStrictEquals(request.headers, request.headers);
    assertStrictEquals(request.signal, request.signal);
    assertEquals(Object.prototype.toString.call(request), "[object Request]");
    return [request instanceof Request, request.headers instanceof Headers, request.signal instanceof AbortSignal];
  }, get("/"));
  assertEquals(found, [true, true, true]);
});

test("the URL is the one that the platform writes, whatever the target looks like", async () => {
  const targets = ["/", "/a/b?c=d&e", "/a//b", "//a", "/a/./b", "/a/../b", "/a/%2e%2E/b", "/.well-known/x", "/a/.b", "/a?/../b"];
  targets.push(
    "/a'b?c'd",
    "/a|b",
    "/a{b}",
    "/a^b",
    "/a`b",
    '/a"b',
    "/a<b>",
    "/a\\b",
    "/a%b",
    "/%zz",
    "/a?b?c",
    "/[a]",
    "/a;b,c",
    "/~a",
  );
  const urls = await ask((request) => request.url, ...targets.map((target) => get(target)));
  assertEquals(urls, targets.map((target) => new Request(`http://x.org${target}`).url));
  // As `request.get` and `server.request_uri` have it: an empty query is none.
  assertEquals(await ask((request) => request.url, get("/a?"), get("*", "", "OPTIONS")), ["http://x.org/a", "http://x.org/*"]);
});

test("methods are written as the platform writes them", async () => {
  const methods = ["GET", "POST", "PATCH", "QUERY", "post", "pUt", "options", "patch", "x-own"];
  const found = await ask((request) => request.method, ...methods.map((method) => get("/", "", method)));
  assertEquals(found, methods.map((method) => new Request("http://x.org/", { method }).method));
});

test("headers are found whatever their case, changed, and iterated; what is no name throws", async () => {
  const fields = "X-A: 1\r\nx-a: 2\r\nCookie: a=1\r\nCOOKIE: b=2\r\nX-Empty:\r\nX-Latin: \xe9\r\n";
  const [read, changed] = await ask(
    (request) => {
      const { headers } = request;
      for (const wrong of ["", "a b", "é"]) {
        assertThrows(() => headers.get(wrong), TypeError);
        assertThrows(() => headers.has(wrong), TypeError);
      }
      if (request.url.endsWith("/changed")) {
        headers.set("X-A", "new");
        headers.append("x-b", "3");
        headers.delete("Cookie");
      }
      const found = ["x-a", "X-A", "cookie", "X-EMPTY", "x-latin", "x-b", "constructor"].map((name) => headers.get(name));
      const copies = [new Headers(headers), request.clone().headers, new Request(request).headers];
      for (const copy of copies) assertEquals([...copy], [...headers]);
      return [found, headers.has("COOKIE"), headers.has("none"), [...headers.keys()], headers.getSetCookie()];
    },
    get("/", fields),
    get("/changed", fields),
  );
  assertEquals(read, [
    ["1, 2", "1, 2", "a=1; b=2", "", "\xe9", null, null],
    true,
    false,
    ["cookie", "host", "x-a", "x-empty", "x-latin"],
    [],
  ]);
  assertEquals(changed, [
    ["new", "new", null, "", "\xe9", "3", null],
    false,
    false,
    ["host", "x-a", "x-b", "x-empty", "x-latin"],
    [],
  ]);
});

test("a body is read once, in any way; one that is not there as often as one likes", async () => {
  const ways: ((request: Request) => Promise<unknown>)[] = [
    (request) => request.text(),
    (request) => request.json(),
    async (request) => [...await request.bytes()],
    async (request) => [...new Uint8Array(await request.arrayBuffer())],
    async (request) => await (await request.blob()).text(),
  ];
  const expectations = ["12", 12, [49, 50], [49, 50], "12"];
  for (const [index, way] of ways.entries()) {
    const [found] = await ask(async (request) => {
      const before = request.bodyUsed;
      const result = await way(request);
      const copies = [failure(() => request.clone()), failure(() => new Request(request))];
      return [before, result, request.bodyUsed, await failure(() => request.text()), ...await Promise.all(copies)];
    }, post("12"));
    assertEquals(found, [false, expectations[index], true, "TypeError", "TypeError", "TypeError"], String(way));
  }
  assertEquals(await ask((request) => new Response(request.body).text(), post("12")), ["12"]);
  const [none] = await ask(
    async (
      request,
    ) => [await request.text(), await request.text(), request.bodyUsed, request.body, await failure(() => request.json())],
    get("/", "Content-Length: 0\r\n", "POST"),
  );
  assertEquals(none, ["", "", false, null, "SyntaxError"]);
});

test("text and JSON lose a byte order mark; what is no UTF-8 becomes U+FFFD; bytes are the program's own", async () => {
  const found = await ask(
    async (request) => request.url.endsWith("json") ? await request.json() : await request.text(),
    post("\xef\xbb\xbf\xc3\xa9"),
    post("a\xff"),
  );
  assertEquals(found, ["é", "a\ufffd"]);
  assertEquals(await ask((request) => request.json(), post('\xef\xbb\xbf{"a":1}')), [{ a: 1 }]);
  const sizes = await ask(
    async (request) => {
      if (request.url.endsWith("/buffer")) return (await request.arrayBuffer()).byteLength;
      const bytes = await request.bytes();
      return [bytes.byteOffset, bytes.buffer.byteLength];
    },
    post("abc"),
    post("abc").replace("/", "/buffer"),
  );
  assertEquals(sizes, [[0, 3], 3]);
});

test("a copy has what the request has, and what it is given", async () => {
  const [copied, given, as] = await ask(
    async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/given") request = new Request(request, { method: "PUT", headers: { "x-a": "other" }, body: "new" });
      else if (pathname === "/as") request = new Request("http://y.org/", request);
      else request = new Request(request);
      return [request.constructor === Request, request.url, request.method, request.headers.get("x-a"), await request.text()];
    },
    ...["/copy", "/given", "/as"].map((target) => post("body", "X-A: b\r\n").replace("/", target)),
  );
  assertEquals(copied, [true, "http://x.org/copy", "POST", "b", "body"]);
  assertEquals(given, [true, "http://x.org/given", "PUT", "other", "new"]);
  assertEquals(as, [true, "http://y.org/", "POST", "b", "body"]);
});

test("a response is sent once, with the body that it had when it was made", async () => {
  const bytes = new TextEncoder().encode("bytes");
  const headers = { "X-A": "b", "Content-Type": "text/plain" };
  const kept = [
    new Response("text"),
    new Response("té", { headers }),
    Response.json("json"),
    new Response(bytes, { headers }),
    new Response(new URLSearchParams("a=b")),
  ];
  bytes.fill(0);
  const server = new HttpServer();
  const errors: unknown[] = [];
  let at = 0;
  server.on("request", fromFetch(() => kept[at]));
  server.on("error", (_server, error) => void errors.push(error));
  const bodies: string[] = [];
  for (at = 0; at < kept.length; at++) {
    const client = new MemoryClient(server);
    client.send(get("/"));
    const { status, body, header } = await client.readAnswer();
    assertEquals([status, header["content-length"], header["transfer-encoding"]], [200, String(body.length), undefined]);
    if (at === 1) assertEquals([header["content-type"], header["x-a"]], ["text/plain", "b"]);
    bodies.push(body);
    assert(kept[at].bodyUsed, `${at}`);
    client.send(get("/"));
    assertEquals((await client.readAnswer()).status, 500);
    client.drop();
  }
  assertEquals(bodies, ["text", "t\xc3\xa9", '"json"', "bytes", "a=b"]);
  assertEquals(errors.length, kept.length);
  server.shutdown();
  await server.finished;
});

test("nothing that belongs to all is changed", () => assertEquals(describeGlobals(), untouched));

test("what a program changes in the fields of a request does not show in the next one", async () => {
  const server = new HttpServer();
  server.on("request", (request, response) => {
    const before = request.header["x-a"];
    request.header["x-a"] = "changed";
    request.header["x-new"] = "new";
    response.end(JSON.stringify([before, request.header["x-a"], Object.keys(request.header)]));
  });
  const client = new MemoryClient(server);
  for (let i = 0; i < 3; i++) {
    client.send(get("/", "X-A: 1\r\n"));
    assertEquals(JSON.parse((await client.readAnswer()).body), ["1", "changed", ["host", "x-a", "x-new"]]);
  }
  client.drop();
  server.shutdown();
  await server.finished;
});
