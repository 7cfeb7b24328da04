// The event `authenticate`, in both styles: who may open a WebSocket, before the handshake is answered.

import { assert, assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { test } from "node:test";
import {
  type BaseResponse,
  type HttpRequest,
  type HttpResponse,
  HttpServer,
  type Refusal,
  type ServerSettings,
  SWOOLE_LOG_ERROR,
  SWOOLE_LOG_WARNING,
  WebSocketServer,
} from "../../mod.ts";
import * as coroutine from "../../src/coroutine/mod.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { loggedDuring } from "../support/log_lines.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { frame, handshake, RawClient, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import { type Handler, serving, servingInMemory, signal } from "../support/serving.ts";
import { textOf } from "./event_log.ts";

/** An `authenticate` handler of either style. */
type Authenticate = (request: HttpRequest, response: HttpResponse & coroutine.HttpResponse, server: unknown) => unknown;

/** A server, and what it was asked to do, in order. */
interface Stage {
  server: WebSocketServer | coroutine.HttpServer;
  events: string[];
  errors: unknown[];
  refused: Refusal[];
}

type Gate = ReturnType<typeof signal<void>>;

type Style = "event" | "coroutine";
const STYLES: readonly Style[] = ["event", "coroutine"];

function stageOf(style: Style, authenticate: Authenticate, settings: ServerSettings = {}): Stage {
  const events: string[] = [];
  const errors: unknown[] = [];
  const refused: Refusal[] = [];
  let server: WebSocketServer | coroutine.HttpServer;
  if (style === "event") {
    const own = server = new WebSocketServer("127.0.0.1", 0);
    own.on("open", (server, { fd, data }) => void events.push(`open ${data.user} ${server.data(fd) === data}`));
    own.on("message", (server, { fd, data }) => {
      events.push(`message ${data}`);
      server.push(fd, data);
    });
    own.on("close", (_server, _fd, _reactorId, { code, data }) => void events.push(`close ${code} ${data?.user}`));
    own.on("disconnect", (_server, _fd, _reactorId, { reason }) => void events.push(`disconnect ${reason}`));
    own.on("request", (_request, response) => response.end("plain"));
    own.on("authenticate", authenticate as never);
    own.on("error", (_server, error) => void errors.push(error));
    own.on("refuse", (_server, refusal) => void refused.push(refusal));
  } else {
    const own = server = new coroutine.HttpServer("127.0.0.1");
    own.handle("/chat", async (request, ws) => {
      if (request.header.upgrade === undefined || request.get.plain !== undefined) return ws.end("plain");
      if (!await ws.upgrade()) return;
      events.push(`open ${request.data.user} true`);
      for await (const message of ws) {
        events.push(`message ${message.data}`);
        await ws.push(message);
      }
      events.push(`close ${ws.closeInfo?.code} ${ws.closeInfo?.data?.user}`);
    });
    own.on("authenticate", authenticate as never);
    own.on("error", (_server, error) => void errors.push(error));
    own.on("refuse", (_server, refusal) => void refused.push(refusal));
  }
  server.set({ websocket_close_timeout: 0.3, log_level: SWOOLE_LOG_ERROR, ...settings });
  return { server, events, errors, refused };
}

/** Lets a client in memory talk to a server of each style. */
function testStyles(
  name: string,
  make: () => { authenticate: Authenticate; settings?: ServerSettings } & Record<string, unknown>,
  work: (client: MemoryClient, stage: Stage, made: Record<string, unknown>, style: Style) => Promise<void>,
): void {
  for (const style of STYLES) {
    test(`${name} (${style} style)`, () => {
      const made = make();
      const stage = stageOf(style, made.authenticate, made.settings);
      // Started, although its client is in memory: a listener keeps the event loop alive while a test waits for the clock.
      return serving(stage.server, () => servingInMemory(stage.server, (client) => work(client, stage, made, style)));
    });
  }
}

const text = (payload: string) => frame({ opcode: 1, payload });
const bytesToText = (bytes: Uint8Array) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
const REASON = "the client is not authenticated";
const ofHandshake = (status: number, reason: string, more: Partial<Refusal> = {}): unknown => ({
  kind: "handshake",
  status,
  reason,
  address: "",
  origin: undefined,
  path: "/chat",
  setting: undefined,
  ...more,
});

// ---- who is let in ----------------------------------------------------------------------------------------------------

for (const how of ["at once", "later", "by another promise"]) {
  testStyles(`a client is let in ${how}, and what the handler learned stays with it`, () => {
    const answer = how === "at once" ? true : how === "later" ? Promise.resolve(true) : {
      then: (resolve: (answer: boolean) => void) => resolve(true),
    };
    return {
      authenticate: (request, response) => {
        request.data.user = request.cookie.user;
        response.header("X-Node", "a1");
        response.cookie("seen", "1");
        return answer;
      },
      settings: { websocket_subprotocol: ["chat"] },
    };
  }, async (client, { events, errors, refused }) => {
    const fields = { Cookie: "user=Ada", "Sec-WebSocket-Protocol": "bearer.abc, chat" };
    client.send(handshake("/chat", fields) + bytesToText(text("hello")));
    const head = await client.readHead();
    assert(head.startsWith("HTTP/1.1 101 "), head);
    assertMatch(head, new RegExp(`Sec-WebSocket-Accept: ${SAMPLE_ACCEPT.replaceAll("+", "\\+")}`));
    assertEquals(/Sec-WebSocket-Protocol: (.*)\r\n/.exec(head)?.[1], "chat");
    assertMatch(head, /X-Node: a1\r\n/);
    assertMatch(head, /Set-Cookie: seen=1/);
    while (events.length < 2) await settle();
    client.drop();
    while (events.length < 3) await settle();
    assertEquals(events, ["open Ada true", "message hello", "close 1006 Ada"]);
    assertEquals([errors, refused], [[], []]);
  });
}

testStyles("frames that arrive while the handler runs are held, and handled behind open, in order", () => {
  const called = signal();
  const gate = signal();
  const authenticate = async () => {
    called.resolve();
    await gate.promise;
    return true;
  };
  return { authenticate, called, gate };
}, async (client, { events }, made) => {
  const { called, gate } = made as { called: Gate; gate: Gate };
  client.send(handshake("/chat") + bytesToText(text("1")));
  await called.promise;
  client.send(bytesToText(text("2")));
  client.send(bytesToText(text("x".repeat(70_000)))); // more than is read ahead: the rest waits in the connection
  client.send(bytesToText(text("3")));
  await settle();
  assertEquals([events, client.pending], [[], ""]);
  gate.resolve();
  assert((await client.readHead()).startsWith("HTTP/1.1 101 "));
  while (events.length < 5) await settle();
  assertEquals(events.map((event) => event.slice(0, 10)), [
    "open undef",
    "message 1",
    "message 2",
    "message xx",
    "message 3",
  ]);
});

// ---- who is refused ---------------------------------------------------------------------------------------------------

/** Ways of refusing: what the handler does, and the response. */
const WAYS: readonly {
  name: string;
  act: (response: HttpResponse & coroutine.HttpResponse) => unknown;
  status: number;
  body: string;
  fields?: Record<string, string>;
}[] = [
  { name: "false", act: () => false, status: 403, body: REASON, fields: { "content-type": "text/plain" } },
  { name: "false, later", act: () => Promise.resolve(false), status: 403, body: REASON },
  {
    name: "false with a status and header fields",
    act: (response) => {
      response.status(401);
      response.header("WWW-Authenticate", 'Basic realm="chat"');
      response.cookie("session", "");
      return false;
    },
    status: 401,
    body: REASON,
    fields: { "www-authenticate": 'Basic realm="chat"' },
  },
  {
    name: "false with the status of a success",
    act: (response) => {
      response.status(204);
      return false;
    },
    status: 403,
    body: REASON,
  },
  {
    name: "false with a type of content",
    act: (response) => {
      response.header("Content-Type", "application/x-reason");
      return false;
    },
    status: 403,
    body: REASON,
    fields: { "content-type": "application/x-reason" },
  },
  {
    name: "a response",
    act: (response) => {
      response.status(429, "Slow Down");
      response.header("Retry-After", 7);
      response.end("not so fast");
      return false;
    },
    status: 429,
    body: "not so fast",
    fields: { "retry-after": "7" },
  },
  { name: "a response, and nothing else", act: (response) => void response.end("no"), status: 403, body: "no" },
  {
    name: "a response, and true all the same",
    act: (response) => {
      response.status(402);
      response.end("pay");
      return true;
    },
    status: 402,
    body: "pay",
  },
  {
    name: "a response, later",
    act: async (response) => {
      await settle();
      response.status(410);
      return response.end("gone");
    },
    status: 410,
    body: "gone",
  },
  {
    name: "a redirection",
    act: (response) => response.redirect("/login"),
    status: 302,
    body: "",
    fields: { location: "/login" },
  },
  {
    name: "a response in parts",
    act: (response) => {
      response.status(403);
      response.write("a");
      response.write("b");
      return false;
    },
    status: 403,
    body: "1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
  },
  {
    name: "a response that is detached",
    act: (response) => {
      response.detach();
      return false;
    },
    status: 403,
    body: REASON,
  },
];

for (const { name, act, status, body, fields = {} } of WAYS) {
  testStyles(`a client is refused with ${name}`, () => ({
    authenticate: (_request, response) => act(response),
  }), async (client, { server, events, errors, refused }, _made, style) => {
    client.send(handshake("/chat", { Origin: "http://127.0.0.1" }) + bytesToText(text("hello")));
    const head = await client.readHead();
    assertEquals(Number(/^HTTP\/1\.1 (\d+) /.exec(head)?.[1]), status, head);
    assertEquals(await client.readAll(), body);
    const lower = head.toLowerCase();
    for (const [field, value] of Object.entries(fields)) assert(lower.includes(`${field}: ${value.toLowerCase()}`), head);
    assertMatch(head, /\r\nConnection: close\r\n/);
    assert(!lower.includes("sec-websocket-accept"), head);
    assertEquals<unknown>(refused, [ofHandshake(status, REASON, { origin: "http://127.0.0.1" })]);
    while (style === "event" && events.length === 0) await settle();
    assertEquals([events.filter((event) => !event.startsWith("disconnect")), errors], [[], []]);
    if (server instanceof WebSocketServer) {
      assertEquals(server.stats().refusals.handshake, { [REASON]: 1 });
      assertMatch(
        server.stats("openmetrics"),
        /sluice_refusals_total\{kind="handshake",reason="the client is not authenticated"\} 1/,
      );
      assertEquals(coreOf(server).context.data.size, 0);
    }
  });
}

test("a refusal of the server's making is the reason in the CloseInfo, and a line in the log", async () => {
  const { server, events } = stageOf("event", () => false, { log_level: SWOOLE_LOG_WARNING });
  const lines = await loggedDuring(() =>
    servingInMemory(server, async (client) => {
      client.send(handshake("/chat?a=b", { Origin: "http://127.0.0.1" }));
      await client.readAll();
      while (events.length === 0) await settle();
    })
  );
  assertEquals(events, [`disconnect ${REASON}`]);
  assertEquals(lines.length, 1, lines.join("\n"));
  assertMatch(
    lines[0],
    /Refused a handshake with 403: the client is not authenticated; path "\/chat"; origin "http:[^;]*"$/,
  );
});

test("a file is sent as the refusal", async () => {
  const { server, refused, events } = stageOf("event", (_request, response) => {
    response.status(403);
    return response.sendfile(new URL("../../LICENSE", import.meta.url).pathname).then(() => false);
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send(handshake("/chat"));
    const head = await client.readHead();
    assert(head.startsWith("HTTP/1.1 403 "), head);
    while (!client.ended) await client.readSome();
    client.destroy();
    while (events.length + refused.length < 2) await settle();
    assertEquals(refused.map(({ status, reason }) => [status, reason]), [[403, REASON]]);
  });
});

// ---- what goes wrong --------------------------------------------------------------------------------------------------

/** Handlers that are wrong, and the error that is reported. */
const MISTAKES:
  readonly (readonly [name: string, act: (response: HttpResponse & coroutine.HttpResponse) => unknown, error: RegExp])[] = [
    ["throws", () => {
      throw new Error("on purpose");
    }, /^Error: on purpose$/],
    ["rejects", () => Promise.reject(new Error("on purpose")), /^Error: on purpose$/],
    ["throws an AbortError of its own", () => Promise.reject(new DOMException("stop", "AbortError")), /^AbortError: stop$/],
    [
      "returns nothing",
      () => {},
      /^TypeError: Cannot authenticate the client: the handler has to return true or false, not undefined$/,
    ],
    ["returns an object", () => ({ user: "Ada" }), /has to return true or false, not object$/],
    ["returns nothing, later", async () => await settle(), /has to return true or false, not undefined$/],
  ];

for (const [name, act, expected] of MISTAKES) {
  testStyles(`a handler that ${name}: 500, reported once, no refusal`, () => ({
    authenticate: (_request, response) => act(response),
  }), async (client, { events, errors, refused }) => {
    client.send(handshake("/chat") + bytesToText(text("hello")));
    const { status, body } = await client.readAnswer();
    assertEquals([status, body, await client.readAll()], [500, "", ""]);
    assertEquals(errors.length, 1);
    assertMatch(String(errors[0]), expected);
    assertEquals([refused, events.filter((event) => !event.startsWith("disconnect"))], [[], []]);
  });
}

test("a handler that opens the WebSocket by itself ends it with 1011", async () => {
  const { server, events, errors } = stageOf("coroutine", (_request, response) => response.upgrade());
  await servingInMemory(server, async (client) => {
    client.send(handshake("/chat"));
    assert((await client.readHead()).startsWith("HTTP/1.1 101 "));
    const close = await client.readAll();
    assertEquals([close.charCodeAt(0), close.charCodeAt(2) * 256 + close.charCodeAt(3)], [0x88, 1011]);
    assertMatch(String(errors[0]), /has to return true, and not to open the WebSocket$/);
    assertEquals([errors.length, events], [1, []]);
  });
});

testStyles(
  "a handler that never settles: 503 at websocket_handshake_timeout, its signal aborts, what it does later reaches nobody",
  () => {
    const gate = signal();
    const seen: Record<string, unknown> = {};
    const authenticate: Authenticate = async (request, response) => {
      seen.signal = request.signal;
      await gate.promise;
      seen.ended = response.end("late");
      return true;
    };
    return { authenticate, gate, seen, settings: { websocket_handshake_timeout: 0.3 } };
  },
  async (client, { events, errors, refused }, made) => {
    const { gate, seen } = made as { gate: Gate; seen: { signal: AbortSignal; ended: boolean } };
    client.send(handshake("/chat") + bytesToText(text("hello")));
    const { status, body } = await client.readAnswer();
    assertEquals([status, body, await client.readAll()], [503, "it takes too long", ""]);
    assertEquals([seen.signal.aborted, (seen.signal.reason as Error).name], [true, "TimeoutError"]);
    gate.resolve();
    while (seen.ended === undefined) await settle();
    await settle();
    assertEquals<unknown>(refused, [ofHandshake(503, "it takes too long", { setting: "websocket_handshake_timeout" })]);
    assertEquals([seen.ended, errors, events.filter((event) => !event.startsWith("disconnect"))], [false, [], []]);
  },
);

for (const answer of ["true", "false", "the signal's error", "an AbortError", "an error of its own"]) {
  testStyles(`a client that leaves meanwhile: the signal aborts, nothing is left of it, and then ${answer}`, () => {
    const called = signal();
    const gate = signal();
    const seen: { aborted?: boolean; request?: HttpRequest } = {};
    const authenticate: Authenticate = async (request) => {
      seen.request = request;
      request.data.user = "Ada";
      request.signal.addEventListener("abort", () => void (seen.aborted = true));
      called.resolve();
      await gate.promise;
      request.data.late = true;
      if (answer === "the signal's error") request.signal.throwIfAborted();
      if (answer === "an AbortError") throw new DOMException("aborted", "AbortError");
      if (answer === "an error of its own") throw new Error("on purpose");
      return answer === "true";
    };
    return { authenticate, called, gate, seen };
  }, async (client, { server, events, errors, refused }, made, style) => {
    const { called, gate, seen } = made as {
      called: Gate;
      gate: Gate;
      seen: { aborted?: boolean; request: HttpRequest };
    };
    client.send(handshake("/chat"));
    await called.promise;
    client.drop();
    while (!seen.aborted) await settle();
    gate.resolve();
    while (!seen.request.data.late) await settle();
    await settle();
    assertEquals(events, style === "event" ? ["disconnect "] : []);
    assertEquals([errors.length, refused], [answer === "an error of its own" ? 1 : 0, []]);
    if (server instanceof WebSocketServer) {
      assertEquals([coreOf(server).context.data.size, coreOf(server).context.running.count], [0, 0]);
    }
  });
}

testStyles("a server that stops meanwhile refuses with 503", () => {
  const called = signal();
  const gate = signal();
  const authenticate = async () => {
    called.resolve();
    await gate.promise;
    return true;
  };
  return { authenticate, called, gate };
}, async (client, { server, events, refused }, made) => {
  const { called, gate } = made as { called: Gate; gate: Gate };
  client.send(handshake("/chat"));
  await called.promise;
  server.shutdown();
  gate.resolve();
  const { status, body } = await client.readAnswer();
  assertEquals([status, body, refused.map(({ reason }) => reason)], [503, "the server stops", ["the server stops"]]);
  await server.finished;
  assertEquals(events.filter((event) => !event.startsWith("disconnect")), []);
});

// ---- what comes before and after --------------------------------------------------------------------------------------

for (const own of [false, true]) {
  test(`a handshake that is not valid, or of another origin, is refused before${own ? ", with a handshake handler too" : ""}`, async () => {
    for (
      const [fields, status] of [
        [{ Origin: "http://evil.example" }, 403],
        [{ "Sec-WebSocket-Key": "short" }, 400],
        [{ "Sec-WebSocket-Version": "8" }, 426],
      ] as const
    ) {
      let calls = 0;
      const { server, events } = stageOf("event", () => {
        calls++;
        return true;
      });
      if (own) {
        (server as WebSocketServer).on("handshake", (_request, response) => {
          calls++;
          return response.end("mine");
        });
      }
      await servingInMemory(server, async (client) => {
        client.send(handshake("/chat", fields as Record<string, string>));
        assertEquals([(await client.readAnswer()).status, calls], [status, 0]);
        assertEquals(events.filter((event) => event.startsWith("open")), []);
      });
    }
  });
}

test("in the coroutine style, too; and a path without a handler is 404", async () => {
  let calls = 0;
  const { server, refused } = stageOf("coroutine", () => ++calls > 0);
  await servingInMemory(server, async (client) => {
    client.send(handshake("/chat", { Origin: "http://evil.example" }));
    assertEquals([(await client.readAnswer()).status, calls, refused.length], [403, 0, 1]);
    const other = new MemoryClient(server);
    other.send(handshake("/other"));
    assertEquals([(await other.readAnswer()).status, calls], [404, 0]);
    other.drop();
  });
});

test("a page of another origin that is refused has the hint in the log, one that is not authenticated has not", async () => {
  const { server } = stageOf("event", () => false, { log_level: SWOOLE_LOG_WARNING });
  const lines = await loggedDuring(() =>
    servingInMemory(server, async (client) => {
      client.send(handshake("/chat", { Origin: "http://evil.example" }));
      await client.readAll();
    })
  );
  assertMatch(lines.join("\n"), /pages of this origin may not connect.*websocket_origins/);
});

test("authenticate, then beforeHandshakeResponse, then open; or then handshake", async () => {
  for (const own of [false, true]) {
    const order: string[] = [];
    const { server } = stageOf("event", async (request, _response, given) => {
      await settle();
      request.data.user = "Ada";
      order.push(`authenticate ${given === server}`);
      return true;
    });
    const webSocketServer = server as WebSocketServer;
    webSocketServer.on("beforeHandshakeResponse", async (request) => {
      await settle();
      order.push(`before ${request.data.user}`);
    });
    webSocketServer.on("open", (_server, request) => void order.push(`open ${request.data.user}`));
    if (own) {
      webSocketServer.on("handshake", async (request, response) => {
        await settle();
        order.push(`handshake ${request.data.user}`);
        response.status(400);
        response.end("mine");
      });
    }
    await servingInMemory(server, async (client) => {
      client.send(handshake("/chat"));
      const head = await client.readHead();
      assert(head.startsWith(own ? "HTTP/1.1 400 " : "HTTP/1.1 101 "), head);
      while (order.length < (own ? 2 : 3)) await settle();
      assertEquals(order, ["authenticate true", ...(own ? ["handshake Ada"] : ["before Ada", "open Ada"])]);
    });
  }
});

test("after the handler the status is 200 again", async () => {
  const { server } = stageOf("coroutine", () => true);
  await servingInMemory(server, async (client) => {
    client.send(handshake("/chat?plain"));
    const { status, body } = await client.readAnswer();
    assertEquals([status, body], [200, "plain"]);
  });
});

testStyles("plain HTTP is not asked for", () => {
  const seen = { calls: 0 };
  return { authenticate: () => ++seen.calls > 100, seen };
}, async (client, { events }, { seen }) => {
  client.send("GET /chat HTTP/1.1\r\nHost: x\r\n\r\n");
  const { status, body } = await client.readAnswer();
  assertEquals([status, body, seen, events], [200, "plain", { calls: 0 }, []]);
});

test("a port has a handler of its own, or the server's; also a port of an HttpServer", async () => {
  const webSocketServer = new WebSocketServer("127.0.0.1", 0);
  const httpServer = new HttpServer("127.0.0.1", 0);
  webSocketServer.on("message", () => {});
  webSocketServer.on("authenticate", () => true);
  httpServer.on("request", ((_request, response) => response.end()) satisfies Handler);
  const ports = [
    webSocketServer.listen("127.0.0.1", 0),
    webSocketServer.listen("127.0.0.1", 0),
    httpServer.listen("127.0.0.1", 0),
  ];
  ports[1].on("authenticate", () => false);
  ports[2].set({ open_websocket_protocol: true });
  ports[2].on("message", () => {});
  ports[2].on("Authenticate", (request) => request.get.token === "secret");
  await serving(webSocketServer, () =>
    serving(httpServer, async () => {
      for (const [port, path, status] of [[0, "/", 101], [1, "/", 403], [2, "/", 403], [2, "/?token=secret", 101]] as const) {
        const client = await RawClient.connect(ports[port].port);
        client.send(handshake(path));
        assertMatch(await client.readHead(), new RegExp(`^HTTP/1\\.1 ${status} `));
        client.destroy();
      }
    }));
});

// ---- many at once -----------------------------------------------------------------------------------------------------

for (const style of STYLES) {
  test(
    `many at once over sockets: each gets its own answer and keeps its own data (${style} style)`,
    { timeout: 60_000 },
    async () => {
      const gate = signal();
      let waiting = 0;
      const { server, events, refused } = stageOf(style, async (request, response: BaseResponse) => {
        if (++waiting === 90) gate.resolve();
        await gate.promise;
        const number = Number(request.cookie.number);
        request.data.user = number;
        if (number % 3 === 1) response.status(401);
        if (number % 3 === 2) throw new Error("on purpose");
        return number % 3 === 0;
      });
      await serving(server, async (server, port) => {
        const clients = await Promise.all(Array.from({ length: 90 }, async (_, number) => {
          const client = await RawClient.connect(port);
          client.send(handshake("/chat", { Cookie: `number=${number}` }));
          return client;
        }));
        for (const [number, client] of clients.entries()) {
          const head = await client.readHead();
          assertMatch(head, new RegExp(`^HTTP/1\\.1 ${[101, 401, 500][number % 3]} `));
          if (number % 3 > 0) continue;
          client.send(text(`I am ${number}`));
          assertEquals(textOf(await client.readFrame()), `I am ${number}`);
        }
        const opened = events.filter((event) => event.startsWith("open"));
        assertEquals(opened.sort(), Array.from({ length: 30 }, (_, i) => `open ${3 * i} true`).sort());
        assertEquals(refused.length, 30);
        for (const client of clients) client.destroy();
        if (server instanceof WebSocketServer) {
          const { context } = coreOf(server);
          while (server.connections.size > 0 || context.data.size > 0) await settle();
          assertEquals(context.running.count, 0);
        }
      });
    },
  );
}

test("more handshakes than max_handshake_rate are refused before the handler is called", async () => {
  let calls = 0;
  const { server, refused } = stageOf("event", () => ++calls > 0, { max_handshake_rate: 2 });
  await serving(server, async (_server, port) => {
    const heads = await Promise.all(Array.from({ length: 4 }, async () => {
      const client = await RawClient.connect(port);
      client.send(handshake("/chat"));
      const head = await client.readHead();
      client.destroy();
      return head.slice(9, 12);
    }));
    assert(heads.filter((status) => status === "503").length >= 1, heads.join());
    assertEquals(calls, heads.filter((status) => status === "101").length);
    assertEquals(refused.length, heads.filter((status) => status === "503").length);
  });
});

test("a handler is a function, and an HttpServer itself has no such event", () => {
  let error: unknown;
  try {
    new HttpServer().on("authenticate" as "request", () => {});
  } catch (thrown) {
    error = thrown;
  }
  assertInstanceOf(error, TypeError);
  assertMatch(error.message, /only a WebSocketServer has the event authenticate/);
});
