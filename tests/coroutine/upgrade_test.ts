import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import type { ServerSettings } from "../../mod.ts";
import type { HttpResponse } from "../../src/coroutine/mod.ts";
import { type Answer, MemoryClient, settle } from "../support/memory_client.ts";
import { handshake, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import { get, next, open, readFrame, sent, serverWith } from "./stage.ts";

/** Runs a handler on one request. Returns the answer, what the handler logged, and whether the connection ended. */
async function answerTo(
  request: string,
  handler: (ws: HttpResponse, log: (line: string) => void) => unknown,
  settings: ServerSettings = {},
): Promise<Answer & { lines: string[]; client: MemoryClient }> {
  const lines: string[] = [];
  const server = serverWith((_request, ws) => handler(ws, (line) => void lines.push(line)), settings);
  const client = new MemoryClient(server);
  client.send(request);
  const answer = await client.readAnswer();
  await settle();
  return { ...answer, lines, client };
}

const upgrade = async (ws: HttpResponse, log: (line: string) => void) => log(`${await ws.upgrade()} ${ws.getLastError()}`);

test("upgrade() answers a handshake with 101 and the accept value of its key", async () => {
  const { status, header, lines } = await answerTo(handshake(), upgrade);
  assertEquals(status, 101);
  assertEquals([header["upgrade"], header["connection"], header["sec-websocket-accept"]], [
    "websocket",
    "Upgrade",
    SAMPLE_ACCEPT,
  ]);
  assertEquals([header["content-length"], header["content-type"], header["transfer-encoding"]], [
    undefined,
    undefined,
    undefined,
  ]);
  assertEquals(lines, ["true 0"]);
});

test("upgrade() refuses what is no proper handshake, with the status that says so, and ends the connection", async () => {
  const refused: [string, Record<string, string | null>, number, RegExp][] = [
    ["no key", { "Sec-WebSocket-Key": null }, 400, /Sec-WebSocket-Key/],
    ["a short key", { "Sec-WebSocket-Key": "abc" }, 400, /Sec-WebSocket-Key/],
    ["no Connection", { Connection: null }, 400, /Connection/],
    ["version 8", { "Sec-WebSocket-Version": "8" }, 426, /version|Version/],
    ["no version", { "Sec-WebSocket-Version": null }, 426, /version|Version/],
    ["another origin", { Origin: "https://evil.example" }, 403, /origin|Origin/i],
  ];
  for (const [what, headers, status, reason] of refused) {
    const { client, lines, ...answer } = await answerTo(handshake("/", headers), upgrade);
    assertEquals([answer.status, lines], [status, ["false 8504"]], what);
    assert(reason.test(answer.body), `${what}: ${answer.body}`);
    assertEquals(answer.header["connection"]?.includes("close"), true, what);
    if (status === 426) assertEquals(answer.header["sec-websocket-version"], "13");
    assertEquals(await client.readAll(), "", what);
  }
});

test("a handshake by POST or of HTTP/1.0 is refused", async () => {
  for (
    const request of [
      handshake().replace("GET", "POST"),
      handshake().replace("HTTP/1.1", "HTTP/1.0"),
    ]
  ) {
    const { status, client } = await answerTo(request, upgrade);
    assertEquals(status, 400, request);
    assertEquals(await client.readAll(), "");
  }
});

test("upgrade() of a request that wants none answers 400 and keeps the connection, and recv() and push() are false", async () => {
  const { status, body, header, lines, client } = await answerTo(get("/"), async (ws, log) => {
    await upgrade(ws, log);
    log(`${await ws.push("x")} ${ws.getLastError()}`);
    log(await next(ws));
    log(`${ws.end("x")} ${ws.getLastError()}`);
  });
  assertEquals([status, header["connection"]], [400, "keep-alive"]);
  assertEquals(body, "this is a WebSocket: the request has no Upgrade header");
  assertEquals(lines, ["false 8504", "false 8503", "false 8503", "false 7106"]);
  client.send(get("/"));
  assertEquals((await client.readAnswer()).status, 400);
});

test("everything of a WebSocket is false with 8503 before upgrade(), and the answer is not touched", async () => {
  const { status, body, lines } = await answerTo(handshake(), async (ws, log) => {
    for (const result of [ws.push("x"), ws.ping(), ws.recv(1), ws.disconnect(), ws.push("x", 99)]) {
      log(`${await result} ${ws.getLastError()}`);
    }
    ws.end("ok");
  });
  assertEquals([status, body], [200, "ok"]);
  assertEquals(lines, Array(5).fill("false 8503"));
});

test("upgrade() twice, and upgrade() behind end(), write() or close(), is false with 7106", async () => {
  const log: string[] = [];
  const note = async (ws: HttpResponse) => void log.push(`${await ws.upgrade()} ${ws.getLastError()}`);
  for (
    const first of [
      (ws: HttpResponse) => ws.upgrade(),
      (ws: HttpResponse) => ws.end("done"),
      (ws: HttpResponse) => ws.write("begun"),
      (ws: HttpResponse) => ws.close(),
    ]
  ) {
    const server = serverWith(async (_request, ws) => {
      await first(ws);
      await note(ws);
      if (ws.isWritable()) ws.end();
    });
    const client = new MemoryClient(server);
    client.send(handshake());
    await settle();
    assertEquals(server.errors, []);
    client.drop();
  }
  assertEquals(log, Array(4).fill("false 7106"));
});

test("after upgrade() the answer has ended: end(), write(), header() and status() are false with 7106, and send nothing", async () => {
  const { ws, client, leave } = await open();
  const results = [ws.end("x"), await ws.write("x"), ws.header("A", "b"), ws.status(200), ws.redirect("/"), ws.isWritable()];
  assertEquals(results, Array(6).fill(false));
  assertEquals(ws.getLastError(), 7106);
  await ws.push("still here");
  assertEquals(await readFrame(client), "81 still here");
  leave();
});

test("header fields that were set before upgrade() go out with it, once each, and cannot break the handshake's status", async () => {
  const { head, header, status } = await answerTo(handshake(), (ws, log) => {
    ws.status(404, "Nope");
    ws.header("X-Mine", "1");
    ws.header("Set-Cookie", ["a=1", "b=2"]);
    ws.header("Content-Length", "7");
    ws.header("Server", "");
    return upgrade(ws, log);
  });
  assertEquals(status, 101);
  assertEquals([header["x-mine"], header["server"], header["content-length"]], ["1", undefined, undefined]);
  assertEquals(head.match(/Set-Cookie: .=.\r\n/g), ["Set-Cookie: a=1\r\n", "Set-Cookie: b=2\r\n"]);
  assertEquals(head.match(/^Sec-WebSocket-Accept: /gim)?.length, 1);
});

test("a subprotocol is answered when it was offered and is spoken, the first of the client's list", async () => {
  const cases: [ServerSettings["websocket_subprotocol"], string | null, string | undefined][] = [
    ["chat", "chat", "chat"],
    ["chat", "soap, chat", "chat"],
    [["a", "b"], "b, a", "b"],
    ["chat", "Chat", undefined],
    ["chat", "soap", undefined],
    ["chat", null, undefined],
    [[], "chat", undefined],
  ];
  for (const [spoken, offered, answered] of cases) {
    const request = handshake("/", { "Sec-WebSocket-Protocol": offered });
    const { status, header } = await answerTo(request, upgrade, { websocket_subprotocol: spoken });
    assertEquals([status, header["sec-websocket-protocol"]], [101, answered], `${spoken} ${offered}`);
  }
});

test("a handler chooses the subprotocol itself", async () => {
  const request = handshake("/", { "Sec-WebSocket-Protocol": "a, b" });
  const { header, head } = await answerTo(request, (ws, log) => {
    ws.header("sec-websocket-protocol", "b");
    return upgrade(ws, log);
  }, { websocket_subprotocol: "a" });
  assertEquals(header["sec-websocket-protocol"], "b");
  assertEquals(head.match(/^sec-websocket-protocol:/gim)?.length, 1);
});

test("pages of the same origin may open a WebSocket, others as websocket_origins says, and no page at all always", async () => {
  const cases: [ServerSettings, string | null, number][] = [
    [{}, null, 101],
    [{}, "http://127.0.0.1", 101],
    [{}, "http://localhost", 101],
    [{}, "http://127.0.0.1:81", 403],
    [{ websocket_origins: ["same-origin", "https://a.example"] }, "http://127.0.0.1", 101],
    [{}, "null", 403],
    [{ websocket_origins: "*" }, "https://evil.example", 101],
    [{ websocket_origins: ["https://a.example"] }, "https://a.example", 101],
    [{ websocket_origins: ["https://a.example"] }, "https://b.example", 403],
    [{ websocket_origins: ["https://a.example"] }, null, 101],
  ];
  for (const [settings, Origin, status] of cases) {
    assertEquals((await answerTo(handshake("/", { Origin }), upgrade, settings)).status, status, `${Origin}`);
  }
});

test("a handler may think before it upgrades, and what arrives meanwhile is received then", async () => {
  let go!: () => void;
  const log: string[] = [];
  const server = serverWith(async (_request, ws) => {
    await new Promise<void>((resolve) => go = resolve);
    await ws.upgrade();
    for (let i = 0; i < 3; i++) log.push(await next(ws));
  });
  const client = new MemoryClient(server);
  client.send(handshake());
  client.send(sent(1, "one"));
  await settle();
  client.send(sent(1, "two"));
  await settle();
  assertEquals(client.pending, "");
  go();
  await client.readHead();
  client.send(sent(1, "three"));
  assertEquals(await readFrame(client), "88 1000");
  assertEquals(log, ["1 one", "1 two", "1 three"]);
});

test("upgrade() is false when the client has left meanwhile, and nothing breaks", async () => {
  const log: string[] = [];
  let go!: () => void;
  const server = serverWith(async (_request, ws) => {
    await new Promise<void>((resolve) => go = resolve);
    log.push(`${await ws.upgrade()} ${ws.getLastError()}`, `${await ws.push("x")}`, `${await ws.recv()}`);
  });
  const client = new MemoryClient(server);
  client.send(handshake());
  await settle();
  client.drop();
  await settle();
  go();
  await settle();
  assertEquals(log, ["false 7106", "false", "false"]);
  assertEquals(server.errors, []);
});

test("an upgrade request may be answered as plain HTTP; the connection ends behind it", async () => {
  const { status, body, client } = await answerTo(handshake(), (ws) => ws.end("no WebSocket here"));
  assertEquals([status, body, await client.readAll()], [200, "no WebSocket here", ""]);
});
