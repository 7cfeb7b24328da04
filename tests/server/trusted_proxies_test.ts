/** What a server takes from a trusted proxy: the address, the scheme and the host of a client; and what it takes from nobody else. */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  type Address,
  type BytePipe,
  fromFetch,
  HttpRequest,
  HttpServer,
  type Refusal,
  type ServerSettings,
  SWOOLE_BASE,
  SWOOLE_SOCK_UNIX_STREAM,
  WebSocketServer,
} from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { FakeLane } from "../support/fake_lane.ts";
import { inFolder } from "../support/folder.ts";
import { loggedDuring } from "../support/log_lines.ts";
import { frame, handshake, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { EventLog, textOf } from "./event_log.ts";

const tcp = (hostname: string, port = 1): Address => ({ transport: "tcp", hostname, port });
const UNIX: Address = { transport: "unix", hostname: "", port: 0 };
const PROXY = tcp("10.0.0.1", 4000);

/** A peer with an address, which has connected. */
function connect(server: { accept(pipe: BytePipe): number }, remoteAddress: Address | undefined): { lane: FakeLane; fd: number } {
  const lane = new FakeLane();
  const pipe = { lane, abort: () => lane.abort(), remoteAddress } as unknown as BytePipe;
  return { lane, fd: server.accept(pipe) };
}

async function stop(server: { shutdown(timeout?: number): boolean; finished: Promise<void> }, lanes: FakeLane[]): Promise<void> {
  server.shutdown(0);
  for (const lane of lanes) lane.abort();
  await server.finished;
}

function get(fields: Record<string, string>, path = "/"): string {
  const lines = Object.entries({ Host: "inner.example", ...fields }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

const FORWARDED = {
  "X-Forwarded-For": "203.0.113.7:5555",
  "X-Forwarded-Proto": "https",
  "X-Forwarded-Host": "a.example:8443",
};

/** What a request says of its client. */
function told(request: HttpRequest): string {
  const { remote_addr, remote_port } = request.server;
  return `${remote_addr} ${remote_port} ${request.scheme} ${request.host}`;
}

/** A server of each style that answers with what a request says of its client. */
const TELLING: readonly ((settings: ServerSettings) => HttpServer | CoroutineServer)[] = [
  (settings) => {
    const server = new HttpServer();
    server.set(settings);
    server.on("request", (request, response) => response.end(told(request)));
    return server;
  },
  (settings) => {
    const server = new CoroutineServer("127.0.0.1");
    server.set(settings);
    server.handle("/", (request, response) => void response.end(told(request)));
    return server;
  },
];

async function checkTold(settings: ServerSettings, peer: Address | undefined, fields: object, expected: string): Promise<void> {
  for (const make of TELLING) {
    const server = make({ http_compression: false, ...settings });
    const { lane } = connect(server, peer);
    lane.receive(get({ ...fields }));
    assertEquals(lane.text.split("\r\n\r\n")[1], expected);
    await stop(server, [lane]);
  }
}

const TRUSTING = { trusted_proxies: ["10.0.0.0/8", "2001:db8::1"] };
const CLIENT = "203.0.113.7 5555 https a.example:8443";

test("address, scheme and host of a request come from a trusted proxy", async () => {
  await checkTold(TRUSTING, PROXY, FORWARDED, CLIENT);
  await checkTold(TRUSTING, tcp("::ffff:10.0.0.1"), FORWARDED, CLIENT);
  await checkTold(TRUSTING, tcp("2001:db8::1"), FORWARDED, CLIENT);
  await checkTold({ trusted_proxies: "10.0.0.1" }, PROXY, FORWARDED, CLIENT);
  await checkTold({ trusted_proxies: "loopback" }, tcp("127.0.0.1"), FORWARDED, CLIENT);
  await checkTold({ trusted_proxies: "loopback" }, tcp("::1"), FORWARDED, CLIENT);
  await checkTold({ trusted_proxies: "private" }, tcp("192.168.0.1"), FORWARDED, CLIENT);
  await checkTold({ trusted_proxies: "unix" }, UNIX, FORWARDED, CLIENT);
  const forwarded = { Forwarded: 'for="[2001:db8::7]:5555";proto=https;host="a.example:8443", for=10.0.0.2' };
  await checkTold(TRUSTING, PROXY, forwarded, "2001:db8::7 5555 https a.example:8443");
  await checkTold(TRUSTING, PROXY, { ...FORWARDED, Forwarded: "for=198.51.100.1;host=evil.example" }, CLIENT);
  await checkTold(
    TRUSTING,
    PROXY,
    { "X-Forwarded-For": "198.51.100.1, 203.0.113.7, 10.0.0.2" },
    "203.0.113.7 0 http inner.example",
  );
});

test("what a trusted proxy does not say, or not in a proper form, is as if it were no proxy", async () => {
  const plain = "10.0.0.1 4000 http inner.example";
  await checkTold(TRUSTING, PROXY, {}, plain);
  await checkTold(
    TRUSTING,
    PROXY,
    { "X-Forwarded-For": "unknown", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "a/b" },
    plain,
  );
  await checkTold(TRUSTING, PROXY, { Forwarded: 'for="203.0.113.7' }, plain);
  await checkTold(TRUSTING, PROXY, { "X-Forwarded-Proto": "https" }, "10.0.0.1 4000 https inner.example");
  await checkTold(TRUSTING, PROXY, { "X-Forwarded-Host": "a.example" }, "10.0.0.1 4000 http a.example");
});

test("nothing is read of peers that are not trusted, nor without trusted_proxies", async () => {
  const fields = { ...FORWARDED, Forwarded: "for=203.0.113.7;proto=https;host=a.example" };
  await checkTold({}, PROXY, fields, "10.0.0.1 4000 http inner.example");
  await checkTold({ trusted_proxies: [] }, PROXY, fields, "10.0.0.1 4000 http inner.example");
  await checkTold(TRUSTING, tcp("11.0.0.1"), fields, "11.0.0.1 1 http inner.example");
  await checkTold(TRUSTING, UNIX, fields, " 0 http inner.example");
  await checkTold(TRUSTING, undefined, fields, " 0 http inner.example");
  await checkTold({ trusted_proxies: "unix" }, tcp("127.0.0.1"), fields, "127.0.0.1 1 http inner.example");
});

test("requests of one connection of a proxy are those of many clients", async () => {
  for (const make of TELLING) {
    const server = make({ http_compression: false, ...TRUSTING });
    const { lane } = connect(server, PROXY);
    const clients = ["203.0.113.7", "203.0.113.8", "unknown", "203.0.113.7"];
    for (const client of clients) lane.receive(get({ "X-Forwarded-For": client }));
    lane.receive(clients.map((client) => get({ "X-Forwarded-For": client })).join("")); // all at once
    const seen = [...lane.text.matchAll(/\r\n\r\n(\S+) /g)].map(([, address]) => address);
    const expected = ["203.0.113.7", "203.0.113.8", "10.0.0.1", "203.0.113.7"];
    assertEquals(seen, [...expected, ...expected]);
    await stop(server, [lane]);
  }
});

test("a request that a program parses has the scheme http, and its own host", () => {
  const request = HttpRequest.create();
  assertEquals([request.scheme, request.host], ["http", ""]);
  request.parse(get(FORWARDED));
  assertEquals([request.scheme, request.host], ["http", "inner.example"]);
});

test("the URL of a fetch application is that which the client has asked for", async () => {
  const urls: string[] = [];
  const server = new HttpServer();
  server.set({ ...TRUSTING, log_level: 6 });
  server.on(
    "request",
    fromFetch(({ url }) => {
      urls.push(url);
      return new Response("");
    }),
  );
  const rows: [peer: Address, request: string][] = [
    [PROXY, get(FORWARDED, "/path?x=1")],
    [PROXY, get({ "X-Forwarded-Proto": "https" })],
    [PROXY, get({ "X-Forwarded-Host": "a.example:443" })],
    [tcp("192.0.2.1"), get(FORWARDED)],
  ];
  const lanes = rows.map(([peer, request]) => {
    const { lane } = connect(server, peer);
    lane.receive(request);
    return lane;
  });
  assertEquals(urls, [
    "https://a.example:8443/path?x=1",
    "https://inner.example/",
    "http://a.example:443/",
    "http://inner.example/",
  ]);
  await stop(server, lanes);
});

test("a WebSocket has the address of its client, from its handshake to its close handler", async () => {
  const seen: string[] = [];
  const log = new EventLog();
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ trusted_proxies: "loopback" });
  const note = (event: string, fd: number) => {
    const info = server.getClientInfo(fd);
    seen.push(`${event} ${info && info.remote_ip} ${info && info.remote_port}`);
  };
  server.on("beforeHandshakeResponse", (request) => note("handshake", request.fd));
  server.on("open", (_server, request) => note("open", request.fd));
  server.on("message", (server, { fd }) => {
    note("message", fd);
    server.push(fd, "heard");
  });
  server.on("close", (_server, fd) => {
    note("close", fd);
    log.add(`close ${fd}`);
  });
  server.on("request", (request, response) => {
    const info = server.getClientInfo(request.fd);
    response.end(`${request.server.remote_addr} ${info && info.remote_ip}`);
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port, "/", FORWARDED);
    client.send(frame({ opcode: 1, payload: "x" }));
    assertEquals(textOf(await client.readFrame()), "heard");
    assertEquals(coreOf(server).context.clients.size, 1);
    client.destroy();
    await log.until("close 1");
    assertEquals(coreOf(server).context.clients.size, 0);
    assertEquals(seen, ["handshake", "open", "message", "close"].map((event) => `${event} 203.0.113.7 5555`));

    // The connection of plain HTTP is that of the proxy, whoever its requests are for.
    const http = await RawClient.connect(port);
    http.send(get(FORWARDED));
    assertEquals((await http.readAnswer()).body, "203.0.113.7 127.0.0.1");
    http.destroy();
  });
});

test("over a unix socket", () =>
  inFolder(async (folder) => {
    const path = `${folder}/server.sock`;
    for (const trusted_proxies of ["unix", "loopback"]) {
      const server = new HttpServer(path, 0, SWOOLE_BASE, SWOOLE_SOCK_UNIX_STREAM);
      server.set({ trusted_proxies });
      server.on("request", (request, response) => response.end(told(request)));
      await serving(server, async () => {
        const client = await RawClient.connect({ path });
        client.send(get(FORWARDED));
        const { body } = await client.readAnswer();
        assertEquals([trusted_proxies, body], [trusted_proxies, trusted_proxies === "unix" ? CLIENT : " 0 http inner.example"]);
        client.destroy();
      });
    }
  }));

test("each port trusts its own proxies", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ trusted_proxies: "loopback" });
  server.on("request", (request, response) => response.end(told(request)));
  const [same, none] = [server.listen("127.0.0.1", 0), server.listen("127.0.0.1", 0)];
  assert(same && none);
  none.set({ open_http_protocol: true, trusted_proxies: [] });
  await serving(server, async () => {
    for (const [port, address] of [[server.port, "203.0.113.7"], [same.port, "203.0.113.7"], [none.port, "127.0.0.1"]] as const) {
      const client = await RawClient.connect(port);
      client.send(get(FORWARDED));
      assertEquals((await client.readAnswer()).body.split(" ")[0], address);
      client.destroy();
    }
  });
});

test("trusted_proxies refuses entries that can never match, and names them", () => {
  const server = new HttpServer();
  const set = (value: unknown) => () => server.set({ trusted_proxies: value as string });
  assertThrows(
    set(["10.0.0.0/8", "proxy.example"]),
    TypeError,
    'Cannot set trusted_proxies: "proxy.example" is no IP address, no range such as "10.0.0.0/8", and none of the words',
  );
  assertThrows(set("10.0.0.1/8"), TypeError, 'Cannot set trusted_proxies: "10.0.0.1/8" is no range');
  assertThrows(set([1]), TypeError, "Cannot set trusted_proxies: a string or a list of strings is needed");
  assertThrows(set(true), TypeError, "Cannot set trusted_proxies: a string or a list of strings is needed, not boolean");
});

// ---- origins ----------------------------------------------------------------------------------------------------------

/** Servers of each way to check the origin of a page, with the status that they give. */
const CHECKING: readonly ((settings: ServerSettings) => WebSocketServer | CoroutineServer)[] = [
  (settings) => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set(settings);
    server.on("message", () => {});
    return server;
  },
  (settings) => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set(settings);
    server.on("message", () => {});
    server.on("handshake", (request, response) => {
      response.status(server.checkHandshake(request)?.status ?? 101);
      response.end();
    });
    return server;
  },
  (settings) => {
    const server = new CoroutineServer("127.0.0.1");
    server.set(settings);
    server.handle("/", async (_request, ws) => void await ws.upgrade());
    return server;
  },
];

test("behind a trusted proxy, the origin of a page is compared with the scheme and the host that the proxy tells", async () => {
  const rows: [settings: ServerSettings, peer: Address, fields: Record<string, string>, origin: string, status: number][] = [
    [TRUSTING, PROXY, FORWARDED, "https://a.example:8443", 101],
    [TRUSTING, PROXY, FORWARDED, "http://a.example:8443", 403],
    [TRUSTING, PROXY, FORWARDED, "https://a.example", 403],
    [TRUSTING, PROXY, FORWARDED, "https://inner.example", 403],
    [TRUSTING, PROXY, { "X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example" }, "https://a.example", 101],
    [TRUSTING, PROXY, { "X-Forwarded-Proto": "wss", "X-Forwarded-Host": "a.example:443" }, "https://a.example", 101],
    [TRUSTING, PROXY, { "X-Forwarded-Proto": "http", "X-Forwarded-Host": "a.example" }, "https://a.example", 403],
    [TRUSTING, PROXY, { "X-Forwarded-Host": "a.example" }, "https://a.example", 101], // the scheme is not known
    [TRUSTING, PROXY, { "X-Forwarded-Host": "a.example" }, "http://a.example", 101],
    [TRUSTING, PROXY, { "X-Forwarded-Proto": "https" }, "https://inner.example", 101], // the proxy passes Host on
    [TRUSTING, PROXY, { "X-Forwarded-Proto": "https" }, "http://inner.example", 403],
    [TRUSTING, PROXY, { Forwarded: "for=203.0.113.7;proto=https;host=a.example" }, "https://a.example", 101],
    [TRUSTING, PROXY, { Forwarded: "for=203.0.113.7;proto=https;host=a.example" }, "https://b.example", 403],
    [TRUSTING, PROXY, {}, "https://inner.example", 101],
    [TRUSTING, tcp("192.0.2.1"), FORWARDED, "https://a.example:8443", 403],
    [TRUSTING, tcp("192.0.2.1"), FORWARDED, "https://inner.example", 101],
    [{}, PROXY, FORWARDED, "https://a.example:8443", 403],
    [{ ...TRUSTING, websocket_origins: ["https://b.example"] }, PROXY, FORWARDED, "https://b.example", 101],
    [{ ...TRUSTING, websocket_origins: ["https://b.example"] }, PROXY, FORWARDED, "https://a.example:8443", 403],
    // The names of this machine are of one host, but only on a server without proxies are they so on any port.
    [TRUSTING, PROXY, { "X-Forwarded-Host": "localhost:9501" }, "http://127.0.0.1:9501", 101],
    [TRUSTING, PROXY, { "X-Forwarded-Host": "localhost:9501" }, "http://localhost:5173", 403],
  ];
  await loggedDuring(async () => {
    for (const [settings, peer, fields, origin, status] of rows) {
      for (const make of CHECKING) {
        const server = make(settings);
        const { lane } = connect(server, peer);
        lane.receive(handshake("/", { Host: "inner.example", Origin: origin, ...fields }));
        assertEquals([fields, origin, Number(lane.text.slice(9, 12))], [fields, origin, status]);
        await stop(server, [lane]);
      }
    }
  });
});

test("with trusted proxies, a page of another port of this machine is one of another origin", async () => {
  await loggedDuring(async () => {
    for (const make of CHECKING) {
      await serving(make({ trusted_proxies: "private" }), async (_server, port) => {
        const client = await RawClient.connect(port);
        client.send(handshake("/", { Host: `localhost:${port}`, Origin: "http://localhost:5173" }));
        assertEquals(Number((await client.readHead()).slice(9, 12)), 403);
        client.destroy();
      });
    }
  });
});

test("the line for a page that is refused says what to set, for each way in which a proxy may be there", async () => {
  const page = "https://a.example";
  const refused = 'pages of this origin may not connect; path "/"; origin "https://a.example"; the request went to';
  const list = 'websocket_origins: ["same-origin", "https://a.example"] lets such pages in';
  const rows: [settings: ServerSettings, peer: Address | undefined, fields: Record<string, string>, line: string][] = [
    [
      {},
      tcp("10.0.0.1"),
      {},
      `Refused a handshake of 10.0.0.1 with 403: ${refused} "inner.example"; ${list}; ` +
      'behind a proxy, have it pass on Host, or send X-Forwarded-Host and set trusted_proxies: ["10.0.0.1"]',
    ],
    [
      {},
      UNIX,
      {},
      `Refused a handshake with 403: ${refused} "inner.example"; ${list}; ` +
      'behind a proxy, have it pass on Host, or send X-Forwarded-Host and set trusted_proxies: ["unix"]',
    ],
    [{}, undefined, {}, `Refused a handshake with 403: ${refused} "inner.example"; ${list}`],
    [
      TRUSTING,
      tcp("192.0.2.1"),
      FORWARDED,
      `Refused a handshake of 192.0.2.1 with 403: ${refused} "inner.example"; ${list}; "192.0.2.1" is not among trusted_proxies`,
    ],
    [
      TRUSTING,
      PROXY,
      { "X-Forwarded-For": "203.0.113.7" },
      `Refused a handshake of 203.0.113.7 with 403: ${refused} "inner.example"; ${list}; ` +
      "the proxy has to pass on Host, or to send X-Forwarded-Host",
    ],
    [
      TRUSTING,
      PROXY,
      FORWARDED,
      `Refused a handshake of 203.0.113.7 with 403: ${refused} "https://a.example:8443"; ${list}`,
    ],
    [
      { websocket_origins: ["https://b.example"] },
      undefined,
      {},
      `Refused a handshake with 403: ${refused} "inner.example"; ` +
      'websocket_origins: ["https://b.example", "https://a.example"] lets such pages in',
    ],
  ];
  for (const [settings, peer, fields, line] of rows) {
    for (const make of [CHECKING[0], CHECKING[2]]) {
      const lines = await loggedDuring(async () => {
        const server = make(settings);
        const { lane } = connect(server, peer);
        lane.receive(handshake("/", { Host: "inner.example", Origin: page, ...fields }));
        await stop(server, [lane]);
      });
      assertEquals(lines, [line]);
    }
  }
  const lines = await loggedDuring(async () => {
    const server = CHECKING[0]({});
    const { lane } = connect(server, undefined);
    lane.receive(handshake("/", { Host: "inner.example", Origin: "a.example" })); // which no browser sends
    await stop(server, [lane]);
  });
  assertEquals(lines.map((one) => one.includes("websocket_origins")), [false]);
});

// ---- refusals, violations and limits ----------------------------------------------------------------------------------

test("refusals and violations are told with the address of the client", async () => {
  const log = new EventLog();
  const refusals: Refusal[] = [];
  const lines = await loggedDuring(async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ trusted_proxies: "loopback", http_stream_body: true, http_stream_body_max_length: 4 });
    server.on("message", () => {});
    server.on("request", async (request, response) => {
      await request.bytes().catch(() => {});
      response.end();
    });
    server.on("refuse", (_server, refusal) => {
      refusals.push(refusal);
      log.add("refused");
    });
    server.on("close", () => log.add("closed"));
    await serving(server, async (_server, port) => {
      const sent = [
        handshake("/", { ...FORWARDED, "Sec-WebSocket-Version": "8" }),
        get({ ...FORWARDED, "X-Forwarded-For": "203.0.113.8", "Content-Length": "5" }).replace("GET", "POST"),
        get({ "X-Forwarded-For": "unknown", "Content-Length": "5" }).replace("GET", "POST"),
        "what is that\r\n\r\n",
      ];
      for (const text of sent) {
        const client = await RawClient.connect(port);
        client.send(text);
        await client.readAll();
        client.destroy();
      }
      await log.count(8);
      const client = await RawClient.open(port, "/chat", FORWARDED);
      client.send(frame({ opcode: 3 }));
      await client.readAll();
      client.destroy();
      await log.count(9);
    });
  });
  assertEquals(refusals.map(({ status, address }) => [status, address]), [
    [426, "203.0.113.7"],
    [413, "203.0.113.8"],
    [413, "127.0.0.1"],
    [400, "127.0.0.1"], // no request, so nobody says for whom it is
  ]);
  assert(lines.some((line) => line.startsWith("Refused a request of 203.0.113.8 with 413")), lines.join("\n"));
  assert(lines.some((line) => /^Closed fd \d of 203\.0\.113\.7 with 1002/.test(line)), lines.join("\n"));
});

test("max_connection_per_ip counts the WebSockets of a client behind a trusted proxy, and not the proxy", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const refusals: Refusal[] = [];
  server.set({ ...TRUSTING, max_connection_per_ip: 2, log_level: 6, websocket_close_timeout: 0.01 });
  server.on("message", () => {});
  server.on("request", (_request, response) => response.end());
  server.on("refuse", (_server, refusal) => void refusals.push(refusal));
  const open = (client: string, peer = PROXY) => {
    const { lane } = connect(server, peer);
    lane.receive(handshake("/", { "X-Forwarded-For": client }));
    return lane;
  };
  const statusOf = (lane: FakeLane) => Number(lane.text.slice(9, 12));
  const proxies = Array.from({ length: 10 }, () => connect(server, PROXY).lane);
  for (const lane of proxies) {
    lane.receive(get({ "X-Forwarded-For": "203.0.113.7" }));
    assertEquals(statusOf(lane), 200);
  }
  const [first, second, third] = [open("203.0.113.7"), open("203.0.113.7"), open("203.0.113.7")];
  assertEquals([first, second, third].map(statusOf), [101, 101, 503]);
  assertStringIncludes(third.text, "Retry-After: ");
  const other = open("203.0.113.8");
  assertEquals(statusOf(other), 101);
  assertEquals(refusals.map(({ kind, status, address, setting }) => [kind, status, address, setting]), [
    ["handshake", 503, "203.0.113.7", "max_connection_per_ip"],
  ]);
  first.abort();
  const fourth = open("203.0.113.7");
  assertEquals(statusOf(fourth), 101);
  // Of one that is not trusted, the connection counts.
  const direct = Array.from({ length: 3 }, () => open("203.0.113.9", tcp("192.0.2.1")));
  assertEquals(direct.map(statusOf), [101, 101, 503]);
  await stop(server, [...proxies, second, third, other, fourth, ...direct]);
});

test("max_handshake_rate_per_ip counts the handshakes of a client behind a trusted proxy", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ ...TRUSTING, max_handshake_rate_per_ip: 1, log_level: 6 });
  server.on("message", () => {});
  const lanes: FakeLane[] = [];
  const open = (fields: Record<string, string>) => {
    const { lane } = connect(server, PROXY);
    lane.receive(handshake("/", fields));
    lanes.push(lane);
    return Number(lane.text.slice(9, 12));
  };
  assertEquals([open({ "X-Forwarded-For": "203.0.113.7" }), open({ "X-Forwarded-For": "203.0.113.7" })], [101, 503]);
  assertEquals(open({ "X-Forwarded-For": "203.0.113.8" }), 101);
  await stop(server, lanes);
});
