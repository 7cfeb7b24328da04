import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type HttpRequest, type HttpResponse, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { frame, handshake, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import { servingInMemory, signal } from "../support/serving.ts";

/** What a server has been asked to do, in order. */
interface Log {
  events: string[];
  errors: unknown[];
}

type SetUp = (server: WebSocketServer, log: Log) => void;

/** Lets a client in memory talk to a `WebSocketServer` that notes what it has been asked to do. */
function servingHandshakes(
  settings: ServerSettings,
  setUp: SetUp,
  work: (client: MemoryClient, log: Log, server: WebSocketServer) => Promise<void>,
): Promise<void> {
  const server = new WebSocketServer();
  const log: Log = { events: [], errors: [] };
  server.set({ websocket_close_timeout: 0.3, ...settings });
  server.on("open", (_server, { fd }) => void log.events.push(`open ${fd}`));
  server.on("message", (_server, { data }) => void log.events.push(`message ${data}`));
  server.on("request", (request, response) => {
    log.events.push(`request ${request.server.request_uri}`);
    response.end("plain");
  });
  server.on("error", (_server, error) => void log.errors.push(error));
  setUp(server, log);
  return servingInMemory(server, (client) => work(client, log, server));
}

const nothing: SetUp = () => {};
const text = (payload: string) => frame({ opcode: 1, payload });
/** Text and bytes as one chunk. */
const chunk = (...parts: (string | Uint8Array)[]) =>
  parts.map((part) => typeof part === "string" ? part : Array.from(part, (byte) => String.fromCharCode(byte)).join("")).join(
    "",
  );

/** One rule of RFC 6455 section 4.2.1: a handshake that breaks it, and the status of the answer. */
const refusals: [rule: string, request: string, status: number][] = [
  ["the method is GET", handshake().replace("GET", "POST"), 400],
  ["the method is GET, not HEAD", handshake().replace("GET", "HEAD"), 400],
  ["the method is GET in capital letters", handshake().replace("GET", "get"), 400],
  ["the version is HTTP/1.1", handshake().replace("HTTP/1.1", "HTTP/1.0"), 400],
  ["there is a Host", handshake("/", { Host: null }), 400],
  ["Connection names upgrade", handshake("/", { Connection: "keep-alive" }), 400],
  ["Connection is there", handshake("/", { Connection: null }), 400],
  ["Connection names upgrade as a whole word", handshake("/", { Connection: "upgrades" }), 400],
  ["there is a key", handshake("/", { "Sec-WebSocket-Key": null }), 400],
  ["the key is not empty", handshake("/", { "Sec-WebSocket-Key": "" }), 400],
  ["the key is base64", handshake("/", { "Sec-WebSocket-Key": "!GhlIHNhbXBsZSBub25jZQ==" }), 400],
  ["the key has 16 bytes, not 15", handshake("/", { "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAA" }), 400],
  ["the key has 16 bytes, not 17", handshake("/", { "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAAA=" }), 400],
  ["the key is padded", handshake("/", { "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ" }), 400],
  ["there is one key", handshake("/", { "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==" }), 400],
  ["there is a version", handshake("/", { "Sec-WebSocket-Version": null }), 426],
  ["the version is 13, not 8", handshake("/", { "Sec-WebSocket-Version": "8" }), 426],
  ["the version is 13, not 013", handshake("/", { "Sec-WebSocket-Version": "013" }), 426],
  ["the version is one", handshake("/", { "Sec-WebSocket-Version": "13, 8" }), 426],
  ["the target has no fragment", handshake("/#top"), 400],
];

for (const [rule, request, status] of refusals) {
  test(`handshake: ${rule}, else ${status}, and what is behind it is not processed`, () =>
    servingHandshakes({}, nothing, async (client, log) => {
      client.send(chunk(request, text("smuggled"), "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"));
      const answer = await client.readAnswer(request.startsWith("HEAD"));
      assertEquals([answer.status, answer.header["sec-websocket-accept"]], [status, undefined]);
      assertEquals(answer.header["sec-websocket-version"], status === 426 ? "13" : undefined);
      assert(/(^|, )close$/.test(answer.header["connection"]), answer.header["connection"]);
      assertEquals(await client.readAll(), "");
      assertEquals([log.events, log.errors], [[], []]);
    }));
}

for (
  const [what, headers] of [
    ["letter case does not matter", { Upgrade: "WebSocket", Connection: "UPGRADE" }],
    ["Connection may be a list", { Connection: "keep-alive, Upgrade" }],
    ["Upgrade may be a list", { Upgrade: "h2c, websocket" }],
    ["other fields do not matter", { "X-A": "b", Cookie: "c=d", "Content-Length": "0" }],
  ] as [string, Record<string, string>][]
) {
  test(`handshake: ${what}`, () =>
    servingHandshakes({}, nothing, async (client, log) => {
      client.send(handshake("/", headers));
      const head = await client.readHead();
      assert(head.startsWith("HTTP/1.1 101 Switching Protocols\r\n"));
      assert(head.includes(`\r\nSec-WebSocket-Accept: ${SAMPLE_ACCEPT}\r\n`));
      assert(/\r\nUpgrade: websocket\r\n/.test(head) && /\r\nConnection: Upgrade\r\n/.test(head));
      for (const name of ["Content-Length", "Transfer-Encoding", "Content-Type", "Sec-WebSocket-Protocol"]) {
        assert(!head.includes(name));
      }
      assertEquals(log.events, ["open 1"]);
    }));
}

test("a request that asks for no WebSocket goes to request, whatever else it asks for", () =>
  servingHandshakes({}, nothing, async (client, log) => {
    const others: Record<string, string | null>[] = [{ Upgrade: null }, { Upgrade: "h2c" }, { Upgrade: "websockets" }];
    for (const headers of others) {
      client.send(handshake("/page", headers));
      assertEquals((await client.readAnswer()).body, "plain");
    }
    assertEquals(log.events, ["request /page", "request /page", "request /page"]);
  }));

const sameOrigin: [origin: string, host: string, status: number][] = [
  ["http://example.com", "example.com", 101],
  ["http://EXAMPLE.com", "Example.COM", 101],
  ["http://example.com:80", "example.com", 101],
  ["http://example.com", "example.com:80", 101],
  ["https://example.com", "example.com:443", 101],
  ["https://example.com:443", "example.com", 101],
  ["https://example.com", "example.com", 101],
  ["http://example.com:8080", "example.com:8080", 101],
  ["http://[::1]:9501", "[::1]:9501", 101],
  ["http://example.com", "example.com:8080", 403],
  ["http://example.com:8080", "example.com", 403],
  ["http://example.com:443", "example.com", 403],
  ["https://example.com:80", "example.com", 403],
  ["http://evil.example", "example.com", 403],
  ["http://example.com.evil.example", "example.com", 403],
  ["http://sub.example.com", "example.com", 403],
  ["null", "example.com", 403],
  ["", "example.com", 403],
  ["example.com", "example.com", 403],
  ["http://", "example.com", 403],
];

test("origins: by default a page may connect to its own host and port, and no other (CVE-2020-28481)", async () => {
  for (const [origin, host, status] of sameOrigin) {
    await servingHandshakes({}, nothing, async (client, log) => {
      client.send(chunk(handshake("/", { Host: host, Origin: origin }), text("hello")));
      assertEquals([origin, host, Number((await client.readHead()).slice(9, 12))], [origin, host, status]);
      await settle();
      assertEquals(log.events, status === 101 ? ["open 1", "message hello"] : []);
    });
  }
});

const lists: [setting: string | string[], origin: string | null, status: number][] = [
  ["*", "http://anybody.example", 101],
  ["*", "null", 101],
  [["https://a.example", "https://b.example:8443"], "https://a.example", 101],
  [["https://a.example", "https://b.example:8443"], "https://B.example:8443", 101],
  [["https://a.example", "https://b.example:8443"], "https://b.example", 403],
  [["https://a.example"], "http://a.example", 403],
  [["https://a.example"], "http://x", 403],
  [["https://a.example"], "null", 403],
  [["null"], "null", 101],
  [["same-origin", "https://a.example"], "http://x", 101],
  [["same-origin", "https://a.example"], "https://b.example", 403],
  ["https://a.example", "https://a.example", 101],
  ["https://a.example", "https://c.example", 403],
  [["https://a.example"], null, 101],
  [[], "https://a.example", 403],
  [[], null, 101],
];

test("origins: a list, one, or all may connect; who sends none is no page", async () => {
  for (const [setting, origin, status] of lists) {
    await servingHandshakes({ websocket_origins: setting }, nothing, async (client) => {
      client.send(handshake("/", { Host: "x", Origin: origin }));
      assertEquals([setting, origin, Number((await client.readHead()).slice(9, 12))], [setting, origin, status]);
    });
  }
});

test("checkHandshake() tells a handshake handler what the server would have refused, by the settings of its port", async () => {
  const seen: unknown[] = [];
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  server.on("request", (request, response) => {
    seen.push(server.checkHandshake(request)?.status);
    response.end();
  });
  server.on("handshake", (request, response) => {
    const refusal = server.checkHandshake(request);
    seen.push(refusal);
    response.status(refusal?.status ?? 200);
    response.end(refusal?.reason);
  });
  const port = server.listen("127.0.0.1", 0);
  port.set({ open_websocket_protocol: true, websocket_origins: ["https://a.example"] });
  const rows: [at: typeof server | typeof port, fields: Record<string, string | null>, status: number | undefined][] = [
    [server, {}, undefined],
    [server, { Origin: "http://x" }, undefined],
    [server, { Origin: "https://a.example" }, 403],
    [port, { Origin: "https://a.example" }, undefined],
    [port, { Origin: "http://x" }, 403],
    [server, { "Sec-WebSocket-Version": "8" }, 426],
    [server, { "Sec-WebSocket-Key": "x" }, 400],
    [server, { Upgrade: null }, 400],
  ];
  for (const [at, fields, status] of rows) {
    const client = new MemoryClient(at);
    client.send(handshake("/", { Host: "x", ...fields }));
    const head = await client.readHead();
    const told = seen.pop();
    const refusal = told as { status: number; reason: string } | number | undefined;
    assertEquals([fields, typeof refusal === "object" ? refusal.status : refusal], [fields, status]);
    if (typeof refusal === "object") assertEquals(typeof refusal.reason, "string");
    assertEquals(Number(head.slice(9, 12)), fields.Upgrade === null ? 200 : status ?? 200);
    client.drop();
  }
  assertEquals(seen, []);
  server.shutdown();
  await server.finished;
});

const protocols: [spoken: string | string[], offered: string | null, chosen: string | undefined][] = [
  ["chat", "chat", "chat"],
  ["chat", "superchat, chat", "chat"],
  ["chat", "superchat", undefined],
  ["chat", null, undefined],
  ["chat", "Chat", undefined],
  [["a", "b"], "b, a", "b"],
  [["a", "b"], "c,b", "b"],
  [[], "chat", undefined],
];

test("subprotocol: the first of the client's that the server speaks, else none is named", async () => {
  for (const [spoken, offered, chosen] of protocols) {
    await servingHandshakes({ websocket_subprotocol: spoken }, nothing, async (client) => {
      client.send(handshake("/", { "Sec-WebSocket-Protocol": offered }));
      const head = await client.readHead();
      assertEquals([spoken, offered, /Sec-WebSocket-Protocol: (.*)\r\n/.exec(head)?.[1]], [spoken, offered, chosen]);
      assert(head.startsWith("HTTP/1.1 101 "));
    });
  }
});

test("frames in the same segment as the handshake are handled, behind open", () =>
  servingHandshakes({}, nothing, async (client, log) => {
    client.send(chunk(handshake(), text("one"), text("two")));
    await client.readHead();
    await settle();
    assertEquals(log.events, ["open 1", "message one", "message two"]);
  }));

test("a handshake and a frame, cut at every place", async () => {
  const all = chunk(handshake(), text("hello"));
  for (let cut = 1; cut < all.length; cut++) {
    await servingHandshakes({}, nothing, async (client, log) => {
      client.send(all.slice(0, cut));
      client.send(all.slice(cut));
      await client.readHead();
      while (log.events.length < 2) await settle();
      assertEquals(log.events, ["open 1", "message hello"]);
    });
  }
});

/** Handlers that answer later, when they are let. */
function gated(event: "handshake" | "beforeHandshakeResponse", answer: (request: HttpRequest, response: HttpResponse) => void) {
  const called = signal();
  const gate = signal();
  const setUp: SetUp = (server, log) =>
    void server.on(event, async (request: HttpRequest, response: HttpResponse) => {
      log.events.push(event);
      called.resolve();
      await gate.promise;
      answer(request, response);
      log.events.push("answered");
    });
  return { called, gate, setUp };
}

const accept = (_request: HttpRequest, response: HttpResponse) => {
  response.status(101);
  response.header("Upgrade", "websocket");
  response.header("Connection", "Upgrade");
  response.header("Sec-WebSocket-Accept", SAMPLE_ACCEPT);
  response.end();
};

for (
  const [event, answer, opened] of [
    ["handshake", accept, []],
    ["beforeHandshakeResponse", (_request: HttpRequest, response: HttpResponse) => void response.header("X-Node", "a1"), [
      "open 1",
    ]],
  ] as const
) {
  test(`an asynchronous ${event} holds back what is behind it`, async () => {
    const { called, gate, setUp } = gated(event, answer);
    await servingHandshakes({}, setUp, async (client, log) => {
      client.send(chunk(handshake(), text("one")));
      client.send(text("two"));
      await called.promise;
      client.send(text("three"));
      await settle();
      assertEquals([log.events, client.pending], [[event], ""]);
      gate.resolve();
      const head = await client.readHead();
      assert(head.startsWith("HTTP/1.1 101 "));
      assertEquals(head.includes("X-Node: a1"), event === "beforeHandshakeResponse");
      await settle();
      assertEquals(log.events, [event, "answered", ...opened, "message one", "message two", "message three"]);
    });
  });

  test(`an asynchronous ${event} that refuses: nothing behind it is processed`, async () => {
    const { called, gate, setUp } = gated(event, (_request, response) => {
      response.status(401);
      response.end("who are you?");
    });
    await servingHandshakes({}, setUp, async (client, log) => {
      client.send(chunk(handshake(), text("one"), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
      await called.promise;
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      gate.resolve();
      const { status, body } = await client.readAnswer();
      assertEquals([status, body], [401, "who are you?"]);
      assertEquals(await client.readAll(), "");
      assertEquals([log.events, log.errors], [[event, "answered"], []]);
    });
  });

  test(`an asynchronous ${event} of a client that goes away meanwhile: no error, no open`, async () => {
    const { called, gate, setUp } = gated(event, answer);
    await servingHandshakes({}, setUp, async (client, log, server) => {
      client.send(handshake());
      await called.promise;
      client.drop();
      while (server.connections.size > 0) await settle();
      gate.resolve();
      await settle();
      assertEquals([log.events, log.errors], [[event, "answered"], []]);
    });
  });

  test(`a ${event} that throws: 500, nothing behind it is processed`, () =>
    servingHandshakes({}, (server) =>
      void server.on(event, () => {
        throw new Error("on purpose");
      }), async (client, log) => {
      client.send(chunk(handshake(), text("one"), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
      assertEquals((await client.readAnswer()).status, 500);
      assertEquals(await client.readAll(), "");
      assertEquals([log.events, log.errors.length], [[], 1]);
    }));
}

test("beforeHandshakeResponse that refuses at once: its answer, none of the handshake's headers, no open", () =>
  servingHandshakes({}, (server) =>
    void server.on("beforeHandshakeResponse", (_request, response) => {
      response.status(403);
      response.end("no");
    }), async (client, log) => {
    client.send(chunk(handshake(), text("one")));
    const { status, header, body } = await client.readAnswer();
    assertEquals([status, body, header["sec-websocket-accept"]], [403, "no", undefined]);
    assertEquals(await client.readAll(), "");
    assertEquals(log.events, []);
  }));

test("a handshake handler that never answers: 500", () =>
  servingHandshakes({}, (server) => void server.on("handshake", () => false), async (client, log) => {
    client.send(handshake());
    assertEquals((await client.readAnswer()).status, 500);
    assertEquals(await client.readAll(), "");
    assertEquals(log.events, []);
  }));
