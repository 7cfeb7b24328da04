/** Servers whose connections begin with a header of the PROXY protocol, without TLS and in front of it. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import net from "node:net";
import { test } from "node:test";
import tls from "node:tls";
import {
  HttpServer,
  type Refusal,
  type Runtime,
  Server,
  type ServerSettings,
  SWOOLE_BASE,
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_UDP,
  SWOOLE_SOCK_UNIX_STREAM,
  SWOOLE_SSL,
  WebSocketServer,
} from "../../mod.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { until } from "../support/activity.ts";
import { inFolder } from "../support/folder.ts";
import { servingOn, startOn, testLanes } from "../support/lanes.ts";
import { loggedDuring } from "../support/log_lines.ts";
import { binaryHeader, clientHeader } from "../support/proxy_headers.ts";
import { bytesOf, frame, handshake, RawClient, type Target } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { authority, tlsSettings } from "../support/tls_client.ts";
import { EventLog, textOf } from "./event_log.ts";

const V1 = bytesOf("PROXY TCP4 203.0.113.7 198.51.100.2 56324 443\r\n");
const V2 = clientHeader([203, 0, 113, 7], 56324);
const GET = "GET / HTTP/1.1\r\nHost: a.example\r\n";
const TRUSTING: ServerSettings = { trusted_proxies: ["loopback", "10.0.0.0/8"], proxy_protocol: true, http_compression: false };

/** A server that answers with the addresses of a request. */
function telling(isSecure: boolean, settings: ServerSettings = {}): HttpServer {
  const server = new HttpServer("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_TCP | (isSecure ? SWOOLE_SSL : 0));
  server.set({ ...TRUSTING, ...(isSecure ? tlsSettings : {}), ...settings });
  server.on("request", (request, response) => {
    const { remote_addr, remote_port, server_addr, server_port } = request.server;
    const info = server.getClientInfo(request.fd);
    response.end(`${remote_addr} ${remote_port} ${server_addr} ${server_port} ${info && info.remote_ip} ${request.scheme}`);
  });
  return server;
}

/** Connects as a proxy: sends the parts of a header, one by one, and then begins with TLS, if at all. */
async function connect(target: Target, parts: Iterable<Uint8Array>, isSecure: boolean): Promise<RawClient> {
  const client = await RawClient.connect(target);
  await client.sendApart(parts);
  if (!isSecure) return client;
  client.socket.removeAllListeners("data");
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ socket: client.socket, servername: "localhost", ca: authority }, () => {
      socket.off("error", reject);
      resolve(new RawClient(socket));
    });
    socket.once("error", reject);
  });
}

async function ask(client: RawClient, fields = ""): Promise<string> {
  client.send(`${GET}${fields}\r\n`);
  return (await client.readAnswer()).body;
}

const bytewise = (bytes: Uint8Array) => Array.from(bytes, (byte) => Uint8Array.of(byte));

for (const isSecure of [false, true]) {
  const where = isSecure ? "in front of TLS" : "without TLS";
  const scheme = isSecure ? "https" : "http";
  const told = `203.0.113.7 56324 198.51.100.2 443 203.0.113.7 ${scheme}`;

  testLanes(`PROXY ${where}: the addresses come from the header, of either version, in any pieces`, async (runtime) => {
    await servingOn(runtime, telling(isSecure), async (_server, port) => {
      for (const header of [V1, V2, new Uint8Array([...V2.subarray(0, 14), 0, 19, ...V2.subarray(16), 4, 0, 4, 1, 2, 3, 4])]) {
        for (const parts of [[header], bytewise(header), [header.subarray(0, 20), header.subarray(20)]]) {
          const client = await connect(port, parts, isSecure);
          assertEquals(await ask(client), told);
          assertEquals(await ask(client), told); // the whole connection is that of the client
          client.destroy();
        }
      }
    });
  });

  testLanes(`PROXY ${where}: other families, and what the proxy does not tell`, async (runtime) => {
    const v6 = bytesOf("PROXY TCP6 2001:db8::7 2001:db8::2 56324 443\r\n");
    const mapped = bytesOf("PROXY TCP6 ::ffff:203.0.113.7 ::ffff:198.51.100.2 1 2\r\n");
    const unix = binaryHeader({ family: 0x31, payload: [...bytesOf("/a"), ...new Array(214).fill(0)] });
    const local = binaryHeader({ command: 0x20, family: 0, payload: [] });
    const rows: [header: Uint8Array, start: string][] = [
      [v6, "2001:db8::7 56324 2001:db8::2 443 2001:db8::7"],
      [mapped, "203.0.113.7 1 198.51.100.2 2 203.0.113.7"],
      [unix, "/a 0  0 /a"],
      [local, "127.0.0.1 "],
      [binaryHeader({ family: 0, payload: [] }), "127.0.0.1 "],
      [bytesOf("PROXY UNKNOWN\r\n"), "127.0.0.1 "],
      [bytesOf("PROXY UNKNOWN 203.0.113.7 198.51.100.2 56324 443\r\n"), "127.0.0.1 "],
    ];
    await servingOn(runtime, telling(isSecure), async (_server, port) => {
      for (const [header, start] of rows) {
        const client = await connect(port, [header], isSecure);
        const answer = await ask(client);
        assert(answer.startsWith(start), answer);
        // Whoever is there, it is not the proxy that speaks for it in header fields.
        assertEquals(await ask(client, "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: gopher\r\n"), answer);
        client.destroy();
      }
      // Where the client of the header is a trusted proxy itself, what it says counts.
      const client = await connect(port, [bytesOf("PROXY TCP4 10.0.0.1 198.51.100.2 56324 443\r\n")], isSecure);
      assertEquals(await ask(client, "X-Forwarded-For: 203.0.113.9\r\n"), `203.0.113.9 0 198.51.100.2 443 10.0.0.1 ${scheme}`);
      assertEquals((await ask(client)).split(" ")[0], "10.0.0.1");
      client.destroy();
    });
  });

  testLanes(`PROXY ${where}: what is refused is closed, counted, and told with its reason`, async (runtime) => {
    const log = new EventLog();
    const refusals: Refusal[] = [];
    const server = telling(isSecure, { log_level: 6, http_request_timeout: 0.2 });
    server.on("refuse", (_server, refusal) => {
      refusals.push(refusal);
      log.add(refusal.reason);
    });
    server.on("connect", () => log.add("connect"));
    const rows: [sent: Uint8Array, reason: string][] = [
      [bytesOf(`${GET}\r\n`), "there is no PROXY header"],
      [bytesOf("\x16\x03\x01\x02"), "there is no PROXY header"],
      [bytesOf("PROXY TCP4 203.0.113.7 198.51.100.2 56324 65536\r\n"), "the PROXY header is malformed"],
      [binaryHeader({ family: 0x13, payload: [] }), "the PROXY header is malformed"],
      [bytesOf(`PROXY UNKNOWN ${"x".repeat(92)}\r\n`), "the PROXY header is too long"],
      [binaryHeader({ family: 0x11, payload: new Array(521).fill(0) }), "the PROXY header is too long"],
      [V1.subarray(0, V1.length - 1), "the PROXY header took too long"],
      [new Uint8Array(0), "the PROXY header took too long"],
    ];
    const counts: Record<string, number> = {};
    await servingOn(runtime, server, async (server, port) => {
      for (const [sent, reason] of rows) {
        const client = await RawClient.connect(port);
        if (sent.length > 0) client.send(sent);
        await client.whenEnded();
        assertEquals(client.pending.length, 0);
        client.destroy();
        counts[reason] = (counts[reason] ?? 0) + 1;
      }
      for (const sent of [V1.subarray(0, 20), V2.subarray(0, 1), new Uint8Array(0)]) {
        const client = await RawClient.connect(port);
        if (sent.length > 0) client.send(sent);
        client.end();
        await client.whenEnded();
        client.destroy();
      }
      const ended = "the connection ended before its PROXY header";
      counts[ended] = 3;
      await log.count(rows.length + 3);
      assertEquals(server.stats().refusals.connection, counts);
      const address = "127.0.0.1";
      const expected = [...rows.map(([, reason]) => reason), ended, ended, ended];
      assertEquals(
        refusals,
        expected.map((reason) => ({ kind: "connection", status: 0, reason, setting: "proxy_protocol", address })),
      );
      // What has been refused is gone, and the next one is served.
      const client = await connect(port, [V1], isSecure);
      assertEquals(await ask(client), told);
      client.destroy();
    });
  });

  testLanes(`PROXY ${where}: connections whose header has yet to come count for max_connection`, async (runtime) => {
    const refusals: string[] = [];
    const log = new EventLog();
    const server = telling(isSecure, { log_level: 6, max_connection: 2 });
    server.on("refuse", (_server, { reason }) => {
      refusals.push(reason);
      log.add(reason);
    });
    await servingOn(runtime, server, async (_server, port) => {
      const waiting = [await RawClient.connect(port), await RawClient.connect(port)];
      for (const one of waiting) one.send(V1.subarray(0, 5));
      const third = await RawClient.connect(port).catch(() => undefined);
      await log.until("there are too many connections");
      third?.destroy();
      for (const one of waiting) one.destroy();
      await log.count(3);
      assertEquals(refusals.slice(1), new Array(2).fill("the connection ended before its PROXY header"));
      const client = await connect(port, [V2], isSecure);
      assertEquals(await ask(client), told);
      client.destroy();
    });
  });

  testLanes(`PROXY ${where}: a WebSocket with frames right behind it`, async (runtime) => {
    const log = new EventLog();
    const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_TCP | (isSecure ? SWOOLE_SSL : 0));
    server.set({ ...TRUSTING, ...(isSecure ? tlsSettings : {}) });
    const note = (event: string, fd: number) => {
      const info = server.getClientInfo(fd);
      log.add(`${event} ${info && info.remote_ip} ${info && info.remote_port}`);
    };
    server.on("connect", (_server, fd) => note("connect", fd));
    server.on("message", (server, { fd, data }) => {
      note("message", fd);
      server.push(fd, data);
    });
    server.on("close", (_server, fd) => note("close", fd));
    await servingOn(runtime, server, async (_server, port) => {
      const client = await connect(port, [V2], isSecure);
      client.send(new Uint8Array([...bytesOf(handshake()), ...frame({ opcode: 1, payload: "early" })]));
      assert((await client.readHead()).startsWith("HTTP/1.1 101 "));
      assertEquals(textOf(await client.readFrame()), "early");
      client.destroy();
      await log.count(3);
      assertEquals(log.lines, ["connect", "message", "close"].map((event) => `${event} 203.0.113.7 56324`));
    });
  });
}

test("PROXY: header, request and more in one segment", async () => {
  await serving(telling(false), async (_server, port) => {
    for (const header of [V1, V2]) {
      const client = await RawClient.connect(port);
      client.send(new Uint8Array([...header, ...bytesOf(`${GET}\r\n${GET}\r\n`)]));
      for (let i = 0; i < 2; i++) assert((await client.readAnswer()).body.startsWith("203.0.113.7 56324 "));
      client.destroy();
    }
  });
});

test("PROXY: peers that are not trusted are dropped, whatever they send", async () => {
  const log = new EventLog();
  const lines = await loggedDuring(async () => {
    const server = telling(false, { trusted_proxies: "10.0.0.0/8" });
    server.on("refuse", (_server, { address, reason, setting }) => log.add(`${address} ${setting} ${reason}`));
    await serving(server, async (server, port) => {
      for (const sent of [V1, bytesOf(`${GET}\r\n`), new Uint8Array(0)]) {
        const client = await RawClient.connect(port).catch(() => undefined);
        if (sent.length > 0) client?.send(sent);
        await client?.whenEnded();
        client?.destroy();
      }
      await log.count(3);
      assertEquals(server.stats().refusals.connection, { "only trusted proxies may connect here": 3 });
    });
  });
  assertEquals(log.lines, new Array(3).fill("127.0.0.1 trusted_proxies only trusted proxies may connect here"));
  assertEquals(lines, [
    "Refused a connection of 127.0.0.1: only trusted proxies may connect here; see the setting trusted_proxies",
  ]);
});

test("PROXY: over a unix socket", () =>
  inFolder(async (folder) => {
    const path = `${folder}/server.sock`;
    const server = new HttpServer(path, 0, SWOOLE_BASE, SWOOLE_SOCK_UNIX_STREAM);
    server.set({ ...TRUSTING, trusted_proxies: "unix" });
    server.on("request", (request, response) => response.end(`${request.server.remote_addr}`));
    await serving(server, async () => {
      const client = await connect({ path }, [V1], false);
      assertEquals(await ask(client), "203.0.113.7");
      client.destroy();
      // A unix socket of which a header tells is none of this machine.
      const header = binaryHeader({ family: 0x31, payload: [...bytesOf("/a"), ...new Array(214).fill(0)] });
      const other = await connect({ path }, [header], false);
      assertEquals(await ask(other, "X-Forwarded-For: 198.51.100.1\r\n"), "/a");
      other.destroy();
    });
  }));

test("PROXY: on one port of a server, and not on the others; raw bytes, too", async () => {
  const server = new Server("127.0.0.1", 0);
  server.set({ trusted_proxies: "loopback", http_compression: false });
  const seen: string[] = [];
  server.on("receive", (server, fd, _reactorId, data) => {
    const info = server.getClientInfo(fd);
    seen.push(`${info && info.remote_ip} ${new TextDecoder().decode(data)}`);
    server.send(fd, "heard");
  });
  const port = server.listen("127.0.0.1", 0);
  assert(port);
  port.set({ proxy_protocol: true });
  await serving(server, async () => {
    for (const [at, sent] of [[server.port, "PROXY"], [port.port, "PROXY UNKNOWN\r\nPROXY"], [port.port, V1]] as const) {
      const client = await RawClient.connect(at);
      client.send(sent);
      if (sent === V1) client.send("more");
      await client.read(5);
      client.destroy();
    }
  });
  assertEquals(seen, ["127.0.0.1 PROXY", "127.0.0.1 PROXY", "203.0.113.7 more"]);
});

test("PROXY in the coroutine style", async () => {
  const server = new CoroutineServer("127.0.0.1");
  server.set(TRUSTING);
  server.handle("/", (request, response) => void response.end(`${request.server.remote_addr}`));
  await serving(server, async (_server, port) => {
    const client = await connect(port, [V2], false);
    assertEquals(await ask(client), "203.0.113.7");
    client.destroy();
  });
});

test("proxy_protocol needs to know whom to trust, and goes over connections only", async () => {
  const server = telling(false, { trusted_proxies: [] });
  const message = "Cannot start the server: proxy_protocol needs trusted_proxies, which names those who may send it";
  await assertRejects(() => server.start(), TypeError, message);
  assertThrows(() => server.set({ proxy_protocol: 1 as never }), TypeError, "Cannot set proxy_protocol: a boolean is needed");
  server.set({ trusted_proxies: "loopback" });
  await serving(server, async () => {});

  const datagrams = new Server("127.0.0.1", 0);
  datagrams.set({ trusted_proxies: "loopback", proxy_protocol: true });
  datagrams.on("receive", () => {});
  datagrams.on("packet", () => {});
  const port = datagrams.listen("127.0.0.1", 0, SWOOLE_SOCK_UDP);
  assert(port);
  await serving(datagrams, async () => {});
  port.set({ proxy_protocol: true });
  await assertRejects(() => datagrams.start(), TypeError, "Cannot start the server: proxy_protocol does not go over UDP");
});

test("proxy_protocol does not start on an adapter that would pass over the headers", async () => {
  const { readsPreambles: _reads, ...other } = await loadRuntime();
  const message = "Cannot start the server: the adapter other does not support proxy_protocol";
  await assertRejects(() => startOn({ ...other, name: "other" }, telling(false)), Error, message);
});

test("PROXY: max_connection_per_ip counts clients, and so do the rates of handshakes", async () => {
  const log = new EventLog();
  const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_TCP | SWOOLE_SSL);
  server.set({ ...TRUSTING, ...tlsSettings, max_connection_per_ip: 1, max_handshake_rate_per_ip: 3, log_level: 6 });
  server.on("message", () => {});
  server.on("refuse", (_server, { address, setting, status }) => log.add(`${address} ${setting} ${status}`));
  await serving(server, async (_server, port) => {
    const open = async (last: number) => {
      const client = await connect(port, [clientHeader([203, 0, 113, last], 1)], true);
      client.send(handshake());
      return client;
    };
    const first = await open(7);
    assert((await first.readHead()).startsWith("HTTP/1.1 101 "));
    const second = await open(7);
    assert((await second.readHead()).startsWith("HTTP/1.1 503 "));
    const other = await open(8);
    assert((await other.readHead()).startsWith("HTTP/1.1 101 "));
    assertEquals(log.lines, ["203.0.113.7 max_connection_per_ip 503"]);
    for (const client of [first, second, other]) client.destroy();
  });
});

test("PROXY: a server that stops does not wait for headers", async () => {
  const server = telling(false, { log_level: 6 });
  await server.start();
  const client = await RawClient.connect(server.port);
  client.send("PROXY ");
  await new Promise((resolve) => setImmediate(resolve));
  server.shutdown();
  await server.finished;
  client.destroy();
});

/** The adapter alone: an error of a socket, or an end, during the header leaves nothing behind. */
testLanes("PROXY: gates are entered and left once for each connection", async (runtime: Runtime) => {
  const log = new EventLog();
  let inside = 0;
  const listener = await runtime.listen(
    {
      transport: "tcp",
      hostname: "127.0.0.1",
      port: 0,
      backlog: 100,
      noDelay: true,
      handshakeTimeout: 100,
      preambles: {
        enter: () => ++inside > 0,
        leave: () => {
          inside--;
          log.add("left");
        },
        begin: () => ({
          remoteAddress: undefined,
          localAddress: undefined,
          receive: (chunk) => chunk[0] === 0x21 ? 1 : chunk[0] === 0x3f ? undefined : -1,
          onMissing: (isLate) => log.add(isLate ? "late" : "lost"),
        }),
      },
    },
    (pipe) => {
      log.add(`accepted ${pipe.hidesClient}`);
      pipe.abort();
    },
    (error) => log.add(String(error)),
  );
  const rows: [sent: string, lines: string[]][] = [
    ["!", ["left", "accepted true"]],
    ["?", ["left"]],
    ["-", ["late", "left"]],
    ["end", ["lost", "left"]],
    ["reset", ["lost", "left"]],
  ];
  for (const [sent, lines] of rows) {
    log.lines.length = 0;
    const socket = net.connect(listener.address.port, "127.0.0.1");
    socket.on("error", () => {});
    await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
    socket.write(sent[0] === "e" || sent[0] === "r" ? "-" : sent);
    if (sent === "end") socket.end();
    if (sent === "reset") socket.resetAndDestroy();
    await log.count(lines.length);
    assertEquals([sent, [...log.lines].sort(), inside], [sent, lines.sort(), 0]);
    socket.destroy();
  }
  await listener.close();
});

testLanes("a server that stops drops connections without a header or a handshake, which are no refusals", async (runtime) => {
  const rows: [settings: ServerSettings, isSecure: boolean, sent: string][] = [
    [{}, false, ""],
    [{}, false, "PROXY TC"],
    [{}, true, "PROXY TC"],
    [{}, true, "PROXY TCP4 203.0.113.7 198.51.100.2 56324 443\r\n"],
    [{}, true, "PROXY TCP4 203.0.113.7 198.51.100.2 56324 443\r\n\x16\x03\x01"],
    [{ proxy_protocol: false }, true, ""],
    [{ proxy_protocol: false }, true, "\x16\x03\x01"],
  ];
  for (const [settings, isSecure, sent] of rows) {
    const server = telling(isSecure, { ...settings, http_request_timeout: 0, log_level: 6 });
    const refusals: Refusal[] = [];
    server.on("refuse", (_server, refusal) => refusals.push(refusal));
    await startOn(runtime, server);
    const client = await RawClient.connect(server.port);
    client.send(sent);
    await until("the connection is counted", () => coreOf(server).context.table!.count === 1);
    server.shutdown();
    await server.finished;
    assertEquals((await client.readAll()).length, 0); // ends
    client.destroy();
    await until("it is not counted", () => coreOf(server).context.table!.count === 0);
    assertEquals([refusals, server.stats().refuse_count], [[], 0]);
  }
});
