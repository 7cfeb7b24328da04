import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpServer } from "../../src/coroutine/mod.ts";
import { until } from "../support/activity.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { handshake } from "../support/raw_client.ts";
import { get, latin1, open, readFrame, sent, serverWith } from "./stage.ts";

/** A server whose handlers answer with their pattern. */
function routed(...patterns: string[]): HttpServer {
  const server = new HttpServer("localhost");
  for (const pattern of patterns) server.handle(pattern, (_request, response) => response.end(pattern));
  return server;
}

async function ask(server: HttpServer, ...targets: string[]): Promise<string[]> {
  const client = new MemoryClient(server);
  const found: string[] = [];
  for (const target of targets) {
    client.send(get(target));
    const { status, body } = await client.readAnswer();
    found.push(status === 200 ? body : String(status));
  }
  client.end();
  return found;
}

test("a pattern takes its path and all below it, up to the border of a segment", async () => {
  const server = routed("/chat");
  assertEquals(await ask(server, "/chat", "/chat/", "/chat/room/1", "/chat?x=/", "/chat//room"), Array(5).fill("/chat"));
  assertEquals(await ask(server, "/", "/chatter", "/cha", "/x/chat", "//chat", "/chat.html"), Array(6).fill("404"));
});

test("the longest pattern wins, in whatever order they were added, and / takes what is left", async () => {
  for (const patterns of [["/", "/a", "/a/b", "/a/b/c/d"], ["/a/b/c/d", "/a/b", "/a", "/"]]) {
    const server = routed(...patterns);
    assertEquals(
      await ask(server, "/a", "/a/b", "/a/b/c", "/a/b/c/d", "/a/b/c/d/e", "/a/bc", "/ab", "/", "/a/b/c/de"),
      ["/a", "/a/b", "/a/b", "/a/b/c/d", "/a/b/c/d", "/a", "/", "/", "/a/b"],
    );
  }
});

test("letter case and a slash at the end do not matter, in the pattern or in the path", async () => {
  assertEquals(await ask(routed("/Chat/"), "/chat", "/CHAT/Room", "/cHaT/"), Array(3).fill("/Chat/"));
  assertEquals(await ask(routed("/ÄÖ"), "/%C3%A4%C3%96", "/%C3%84%C3%B6/x"), Array(2).fill("/Ã\x84Ã\x96")); // UTF-8
  assertEquals(await ask(routed("//"), "/", "/x", "//"), Array(3).fill("//"));
});

test("percent escapes of a path are decoded before it is looked up, once", async () => {
  const server = routed("/a b", "/chat");
  assertEquals(await ask(server, "/a%20b", "/a%20b/c", "/%63hat", "/chat%2Froom"), ["/a b", "/a b", "/chat", "/chat"]);
  assertEquals(await ask(server, "/%2563hat", "/a%2520b", "/%zz", "/a+b"), Array(4).fill("404"));
});

test("a query is no part of the path, and dots are not resolved", async () => {
  const server = routed("/a", "/b");
  assertEquals(await ask(server, "/a?/b", "/a/../b", "/?/a", "/x/../a"), ["/a", "/a", "404", "404"]);
});

test("the target * and the absolute form find a handler or 404, and nothing breaks", async () => {
  const server = routed("/a", "/long/pattern/here");
  const client = new MemoryClient(server);
  for (
    const [line, status] of [["OPTIONS *", 404], ["GET http://x/a/1", 200], ["GET http://x", 404], ["GET /a", 200]] as const
  ) {
    client.send(`${line} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assertEquals((await client.readAnswer()).status, status, line);
  }
  client.end();
});

test("a handler is replaced, and added, while the server runs", async () => {
  const server = routed("/a");
  assertEquals(await ask(server, "/a", "/b"), ["/a", "404"]);
  assertEquals(server.handle("/A/", (_request, response) => response.end("new")), true);
  server.handle("/b", (_request, response) => response.end("b"));
  assertEquals(await ask(server, "/a", "/b"), ["new", "b"]);
});

test("what is no path, or no function, is not taken as a handler", () => {
  const server = new HttpServer("localhost");
  for (const pattern of ["", "chat", "*", "/a?b", "/a#b", 1, undefined]) {
    const error = assertThrows(() => server.handle(pattern as string, () => {}), TypeError);
    assertEquals(error.message, `Cannot add a handler: ${JSON.stringify(pattern)} is no path; it begins with / and has no query`);
  }
  for (const handler of [undefined, null, {}, "x"]) {
    const error = assertThrows(() => server.handle("/a", handler as never), TypeError);
    assertEquals(error.message, "Cannot add a handler for /a: it is no function");
  }
});

test("very long paths are looked up without taking long", async () => {
  const server = routed("/", "/a", "/" + "x/".repeat(400) + "x");
  const hostile = ["/" + "a".repeat(60_000), "/a" + "/b".repeat(30_000), "/" + "/".repeat(60_000), "/x".repeat(30_000)];
  hostile.push("/" + "%2f".repeat(20_000), "/" + "%c4%b0".repeat(10_000));
  const started = Date.now();
  for (let i = 0; i < 20; i++) {
    const pattern = "/" + "x/".repeat(400) + "x";
    assertEquals(await ask(server, ...hostile), ["/", "/a", "/", pattern, "/", "/"]);
  }
  assert(Date.now() - started < 20_000, "120 requests took more than 20 s");
});

test("a name of Object is no route", async () => {
  assertEquals(await ask(routed("/a"), "/__proto__", "/constructor", "/toString"), ["404", "404", "404"]);
});

test("plain requests, pipelined ones and WebSockets work side by side", async () => {
  const server = new HttpServer("localhost");
  server.handle("/ws", async (_request, ws) => {
    await ws.upgrade();
    for await (const frame of ws) await ws.push(`Hello ${frame.data}!`);
  });
  server.handle("/", async (request, response) => {
    await Promise.resolve();
    response.end(String(request.server.request_uri));
  });
  const socket = new MemoryClient(server);
  socket.send(handshake("/ws/room"));
  await socket.readHead();
  const client = new MemoryClient(server);
  client.send(get("/1") + get("/2") + get("/3", "Connection: close\r\n\r\n"));
  socket.send(sent(1, "Ada"));
  const answers = [await client.readAnswer(), await client.readAnswer(), await client.readAnswer()];
  assertEquals(answers.map(({ body }) => body), ["/1", "/2", "/3"]);
  assertEquals(answers.map(({ header }) => header["connection"]), ["keep-alive", "keep-alive", "close"]);
  assertEquals(await client.readAll(), "");
  assertEquals(await readFrame(socket), "81 Hello Ada!");
  socket.end();
});

test("requests that wait behind a slow one are answered in order, and a handshake behind them is one", async () => {
  const release: (() => void)[] = [];
  const server = serverWith(async (request, response) => {
    if (request.header["upgrade"] !== undefined) {
      await response.upgrade();
      await response.push(String((await response.recv() as { data: string }).data));
      return;
    }
    await new Promise<void>((resolve) => release.push(resolve));
    response.end(String(request.server.request_uri));
  });
  const client = new MemoryClient(server);
  client.send(new Uint8Array([...latin1(get("/1") + get("/2") + handshake("/3")), ...sent(1, "early")]));
  for (const path of ["/1", "/2"]) {
    await until("the handler waits", () => release.length > 0);
    release.pop()!();
    assertEquals((await client.readAnswer()).body, path);
  }
  assert((await client.readHead()).startsWith("HTTP/1.1 101 "));
  assertEquals([await readFrame(client), await readFrame(client)], ["81 early", "88 1000"]);
});

test("what is not HTTP gets 400, a body above package_max_length 413, and no handler is called", async () => {
  let called = 0;
  const server = serverWith(() => void called++, { package_max_length: 100 });
  for (
    const [request, status] of [
      ["hello this is not http\r\n\r\n", 400],
      ["GET / HTTP/1.1\r\n\r\n", 400],
      ["POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n", 413],
      ["POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + "x".repeat(0x65) + "\r\n0\r\n\r\n", 413],
    ] as const
  ) {
    const client = new MemoryClient(server);
    client.send(request);
    const answer = await client.readAnswer();
    assertEquals([answer.status, answer.header["connection"], await client.readAll()], [status, "close", ""], request);
  }
  assertEquals(called, 0);
});

test("a body of exactly package_max_length arrives", async () => {
  const server = serverWith((request, response) => response.end(String(request.rawContent().length)), {
    package_max_length: 100,
  });
  const client = new MemoryClient(server);
  client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + "x".repeat(100));
  assertEquals((await client.readAnswer()).body, "100");
  client.end();
});

test("what follows the handshake in the same chunk is received, in order", async () => {
  const { ws, client, leave } = await open({}, {}, [sent(1, "one"), sent(9, "p"), sent(2, "two")]);
  assertEquals((await ws.recv() as { data: string }).data, "one");
  assertEquals(await readFrame(client), "8a p");
  assertEquals((await ws.recv() as { opcode: number }).opcode, 2);
  leave();
  client.end();
});
