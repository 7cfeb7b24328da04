// Requests that Swoole 6.2.2 and Sluice take in different ways: what docs/differences.md says of each, entry by entry.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { type HttpRequest, type HttpResponse, HttpServer, type ServerSettings } from "../../mod.ts";
import { MemoryClient } from "../support/memory_client.ts";

/** What a handler makes of a request. */
type Look = (request: HttpRequest, response: HttpResponse) => unknown;

const show: Look = ({ cookie, server, header, get }, response) => {
  response.end(JSON.stringify([server.request_method, server.request_uri, cookie, header.cookie ?? "", get]));
};

/** Sends a request to a server, and gives the status and the body; and whether another request is answered behind it. */
async function ask(request: string, look: Look = show, settings: ServerSettings = {}) {
  const server = new HttpServer();
  const errors: unknown[] = [];
  server.set({ http_compression: false, ...settings });
  server.on("request", (request, response) => {
    if (request.server.request_uri === "/next") return response.end("next");
    return look(request, response);
  });
  server.on("error", (_server, error) => void errors.push(String(error)));
  const client = new MemoryClient(server);
  client.send(request);
  const { status, header, body, head } = await client.readAnswer(request.startsWith("HEAD"));
  client.send("GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const isKept = (await client.readAll()).endsWith("next");
  client.drop();
  server.shutdown(0);
  await server.finished;
  return { status, header, body, head, isKept, errors };
}

const get = (target: string, fields = "") => `GET ${target} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;

for (
  const [what, request, status, seen] of [
    ["a plus sign in a cookie stays", get("/", "Cookie: a=b+c\r\n"), 200, ["GET", "/", { a: "b+c" }, "a=b+c", {}]],
    ["the first cookie of a name counts", get("/", "Cookie: a=1; a=2\r\n"), 200, ["GET", "/", { a: "1" }, "a=1; a=2", {}]],
    [
      "names of cookies stay as they are",
      get("/", "Cookie: a[]=1; a[]=2; b[x]=1\r\n"),
      200,
      ["GET", "/", { "a[]": "1", "b[x]": "1" }, "a[]=1; a[]=2; b[x]=1", {}],
    ],
    ["a cookie without = is left out", get("/", "Cookie: a; b=1\r\n"), 200, ["GET", "/", { b: "1" }, "a; b=1", {}]],
    ["a method in lower case goes to the handler", "get / HTTP/1.1\r\nHost: x\r\n\r\n", 200, ["get", "/", {}, "", {}]],
    ["so does an unknown one", "FOO / HTTP/1.1\r\nHost: x\r\n\r\n", 200, ["FOO", "/", {}, "", {}]],
    ["the path of a whole URL is the path", get("http://h/p?a=1"), 200, ["GET", "/p", {}, "", { a: "1" }]],
    ["a fragment in a target is refused", get("/#frag"), 400, undefined],
    ["names of parameters stay as they are", get("/?a.b=1&c+d=2"), 200, ["GET", "/", {}, "", { "a.b": "1", "c d": "2" }]],
    ["no Host", "GET / HTTP/1.1\r\n\r\n", 400, undefined],
    ["two of them", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, undefined],
    ["HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505, undefined],
    [
      "two equal lengths, and an empty line in front",
      "\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
      200,
      ["POST", "/", {}, "", {}],
    ],
    [
      "extensions of chunks, and trailers",
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r\nX-T: 1\r\n\r\n",
      200,
      ["POST", "/", {}, "", {}],
    ],
    ["HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, ["GET", "/", {}, "", {}]],
  ] as const
) {
  test(`${what}: ${status}`, async () => {
    const answer = await ask(request);
    assertEquals([answer.status, answer.isKept, answer.errors], [status, status === 200, []]);
    if (seen !== undefined) assertEquals(JSON.parse(answer.body), seen);
  });
}

test("a malformed form with files is 400, and the handler is not called", async () => {
  const body = "--B\r\nno form";
  const fields = `Content-Type: multipart/form-data; boundary=B\r\nContent-Length: ${body.length}\r\n`;
  const request = `POST / HTTP/1.1\r\nHost: x\r\n${fields}\r\n${body}`;
  const answer = await ask(request, show, { http_parse_files: true, upload_tmp_dir: "" });
  assertEquals([answer.status, answer.errors], [400, []]);
});

test("a length that the program sets is that of the body", async () => {
  const answer = await ask(get("/"), (_request, response) => {
    response.header("Content-Length", 50);
    response.end("x".repeat(100));
  });
  assertEquals([answer.header["content-length"], answer.body.length, answer.isKept], ["100", 100, true]);
});

test("a status without a name, and those without a body", async () => {
  const of = (status: number): Look => (_request, response) => {
    response.status(status);
    response.end(status === 299 ? "body" : "left out");
  };
  const named = await ask(get("/"), of(299));
  assertEquals([named.head.split("\r\n")[0], named.body], ["HTTP/1.1 299 ", "body"]);
  for (const status of [204, 304]) {
    const answer = await ask(get("/"), of(status));
    assertEquals([answer.status, answer.body, answer.header["content-length"], answer.isKept], [status, "", undefined, true]);
  }
});

test("cookie(): path=/ unless another is given, Max-Age only where it deletes, no negative time", async () => {
  const answer = await ask(get("/"), (_request, response) => {
    response.cookie("sid", "a b");
    let thrown = "";
    try {
      response.cookie("a", "b", -1);
    } catch (error) {
      thrown = String(error);
    }
    response.end(thrown);
  });
  assertEquals(answer.header["set-cookie"], "sid=a%20b; path=/");
  assertEquals(answer.body, "RangeError: Cannot set a cookie: expires is -1");
  const deleted = await ask(get("/"), (_request, response) => response.cookie("a", "", 1) && response.end());
  assertEquals(/; Max-Age=0(;|$)/.test(deleted.header["set-cookie"]), true);
  const kept = await ask(get("/"), (_request, response) => response.cookie("a", "b", 4102444800) && response.end());
  assertEquals(kept.header["set-cookie"], "a=b; expires=Fri, 01 Jan 2100 00:00:00 GMT; path=/");
});
