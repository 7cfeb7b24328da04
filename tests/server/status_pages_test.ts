// The pages of the server itself: metrics, /livez and /readyz, on its own ports and on an address of their own.

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  type Broker,
  HttpServer,
  type LogRecord,
  memoryBroker,
  type Runtime,
  Server,
  type ServerSettings,
  setRuntime,
  WebSocketServer,
} from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { readAddress } from "../../src/server/settings/status_settings.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { inFolder } from "../support/folder.ts";
import { samplesOf } from "../support/metrics_text.ts";
import { RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";

const PATHS = { metrics_path: "/metrics", livez_path: "/livez", readyz_path: "/readyz" } as const;
const WELL = '{"status":"ok","reasons":[]}\n';

function unwell(...reasons: string[]): string {
  return `${JSON.stringify({ status: "unavailable", reasons })}\n`;
}

/** Sends a request and returns the status, the head and the body of the response. */
async function ask(port: number, line: string, fields = "", body = ""): Promise<[status: number, body: string, head: string]> {
  const client = await RawClient.connect(port);
  client.send(`${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${fields}\r\n${body}`);
  const answer = new TextDecoder().decode(await client.readAll());
  client.destroy();
  const [head, text] = answer.split("\r\n\r\n");
  return [Number(head.split(" ")[1]), text, head];
}

/** A server whose `request` handler notes the paths. */
function notingServer(settings: ServerSettings): { server: HttpServer; paths: string[] } {
  const server = new HttpServer("127.0.0.1", 0);
  const paths: string[] = [];
  server.set(settings);
  server.on("request", (request, response) => {
    paths.push(`${request.getMethod()} ${request.server.path_info}`);
    response.status(404);
    response.end();
  });
  return { server, paths };
}

test("without settings the pages are the program's", async () => {
  const { server, paths } = notingServer({});
  await serving(server, async (server, port) => {
    for (const path of Object.values(PATHS)) assertEquals((await ask(port, `GET ${path}`))[0], 404);
    assertEquals(server.admin_port, 0);
  });
  assertEquals(paths, Object.values(PATHS).map((path) => `GET ${path}`));
});

test("the pages do not reach the handler, whatever the method; other paths do", async () => {
  const { server, paths } = notingServer(PATHS);
  await serving(server, async (_server, port) => {
    for (const [path, body] of [["/livez", WELL], ["/readyz", WELL], ["/readyz?verbose", WELL], ["http://x/livez", WELL]]) {
      const [status, text, head] = await ask(port, `GET ${path}`);
      assertEquals([status, text], [200, body]);
      assertMatch(head, /\r\nContent-Type: application\/json\r\n/);
      assertMatch(head, /\r\nCache-Control: no-store\r\n/);
    }
    const [status, text, head] = await ask(port, "GET /metrics");
    assertEquals(status, 200);
    assertMatch(head, /\r\nContent-Type: text\/plain; version=0\.0\.4; charset=utf-8\r\n/);
    assert(text.includes("\nsluice_connections_opened_total 5\n"));
    assert(text.includes("\nsluice_http_requests_active 0\n"), "the request for the page itself does not count");
    for (const path of Object.values(PATHS)) {
      const [status, text, head] = await ask(port, `HEAD ${path}`);
      assertEquals([status, text], [200, ""]);
      const length = Number(/Content-Length: (\d+)/.exec(head)?.[1]);
      assert(path === "/metrics" ? length > 1000 : length === WELL.length);
      for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "get", "BREW"]) {
        const [status, , head] = await ask(port, `${method} ${path}`, "Content-Length: 2\r\n", "ab");
        assertEquals(status, 405);
        assertMatch(head, /\r\nAllow: GET, HEAD\r\n/);
      }
    }
    for (const path of ["/livez/", "/LIVEZ", "/metrics/x", "/%6civez", "/"]) {
      assertEquals((await ask(port, `GET ${path}`))[0], 404);
    }
  });
  assertEquals(paths.length, 5);
});

test("they are neither counted nor in the access log, and come before files and uploads", () =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, "livez"), "a file");
    const records: LogRecord[] = [];
    const { server, paths } = notingServer({
      ...PATHS,
      enable_static_handler: true,
      document_root: folder,
      http_stream_body: true,
      access_log: true,
      logger: (record) => void records.push(record),
    });
    await serving(server, async (server, port) => {
      assertEquals((await ask(port, "GET /livez"))[1], WELL);
      assertEquals((await ask(port, "POST /readyz", "Content-Length: 2\r\n", "ab"))[0], 405);
      assertEquals((await ask(port, "POST /readyz", "Transfer-Encoding: chunked\r\n", "2\r\nab\r\n0\r\n\r\n"))[0], 405);
      assertEquals(samplesOf(server.metrics(), "sluice_http_requests_total"), {});
      assertEquals([server.stats().request_count, server.stats().response_count], [0, 0]);
      assertEquals((await ask(port, "GET /other"))[0], 404);
      assertEquals(Object.values(samplesOf(server.metrics(), "sluice_http_requests_total")), [1]);
    });
    assertEquals(records.map(({ fields }) => fields.path), ["/other"]);
    assertEquals(paths, ["GET /other"]);
  }));

test("a port may have pages of its own, and inherits those of the server", async () => {
  const { server } = notingServer({ livez_path: "/livez" });
  const port = server.listen("127.0.0.1", 0);
  port.set({ open_http_protocol: true, readyz_path: "/up" });
  await serving(server, async (server) => {
    assertEquals((await ask(server.port, "GET /up"))[0], 404);
    assertEquals((await ask(port.port, "GET /up"))[1], WELL);
    assertEquals((await ask(port.port, "GET /livez"))[1], WELL);
  });
});

const STYLES: Readonly<Record<string, () => Server | CoroutineServer>> = {
  raw: () => {
    const server = new Server("127.0.0.1", 0);
    server.on("receive", () => {});
    return server;
  },
  websocket: () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.on("message", () => {});
    return server;
  },
  coroutine: () => {
    const server = new CoroutineServer("127.0.0.1");
    server.handle("/", (_request, response) => response.end());
    return server;
  },
};

for (const [name, make] of Object.entries(STYLES)) {
  test(`${name}: admin_server has the pages on an address of their own, which does not count`, async () => {
    const server = make();
    server.set({ admin_server: "127.0.0.1:0", max_connection: 1, log_file: "/dev/null", readyz_path: "/up" });
    await serving<Server | CoroutineServer>(server, async (server, port) => {
      const first = await RawClient.connect(port);
      const second = RawClient.connect(port).catch(() => undefined); // the server is full
      while (server.stats().abort_count === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      const admin = server.admin_port;
      assertEquals((await ask(admin, "GET /livez"))[1], WELL);
      assertEquals((await ask(admin, "GET /up"))[1], WELL);
      assertEquals((await ask(admin, "GET /readyz")).slice(0, 2), [404, "there is only /metrics, /livez, /up"]);
      assertEquals((await ask(admin, "POST /metrics"))[0], 405);
      const [, text] = await ask(admin, "GET /metrics");
      assertEquals(samplesOf(text, "sluice_connections_opened_total"), { "": 1 });
      assertEquals(samplesOf(text, "sluice_refusals_total"), { 'kind="connection",reason="there are too many connections"': 1 });
      assertEquals(samplesOf(text, "sluice_http_requests_total"), {});
      first.destroy();
      (await second)?.destroy();
    });
    assertEquals(server.admin_port, 0);
  });
}

test("a server that starts is not ready", async () => {
  const runtime = await loadRuntime();
  const listening = signal();
  const go = signal();
  let calls = 0;
  const listen: Runtime["listen"] = async (...args) => {
    if (++calls === 2) { // the first is that of admin_server
      listening.resolve();
      await go.promise;
    }
    return await runtime.listen(...args);
  };
  setRuntime({ ...runtime, listen });
  try {
    const { server } = notingServer({ admin_server: "127.0.0.1:0" });
    const started = server.start();
    await listening.promise;
    assertEquals((await ask(server.admin_port, "GET /readyz")).slice(0, 2), [503, unwell("starting")]);
    assertEquals((await ask(server.admin_port, "HEAD /readyz"))[0], 503);
    assertEquals((await ask(server.admin_port, "GET /livez")).slice(0, 2), [200, WELL]);
    go.resolve();
    await started;
    assertEquals((await ask(server.admin_port, "GET /readyz")).slice(0, 2), [200, WELL]);
    server.shutdown();
    await server.finished;
  } finally {
    setRuntime(runtime);
  }
});

test("a server that stops is alive, but not ready, until its last response; then its pages are gone", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ admin_server: "127.0.0.1:0" });
  const called = signal();
  const go = signal();
  server.on("request", async (_request, response) => {
    called.resolve();
    await go.promise;
    response.end("done");
  });
  await server.start();
  const admin = server.admin_port;
  const idle = await RawClient.connect(admin); // a client that does not end its side
  idle.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals((await idle.readAnswer()).body, WELL);
  const pending = ask(server.port, "GET /");
  await called.promise;
  server.shutdown(60);
  assertEquals((await ask(admin, "GET /readyz")).slice(0, 2), [503, unwell("stopping")]);
  assertEquals((await ask(admin, "GET /livez")).slice(0, 2), [200, WELL]);
  idle.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals((await idle.readAnswer()).status, 503);
  go.resolve();
  assertEquals((await pending)[1], "done");
  await server.finished; // although one client stays
  await assertRejects(() => RawClient.connect(admin));
  idle.destroy();
});

test("a server whose event loop is late is not ready; readyz_max_delay says from when on", async () => {
  for (const [readyz_max_delay, isReady] of [[0.3, false], [0, true], [3600, true]] as const) {
    const server = new HttpServer("127.0.0.1", 0);
    server.set({ ...PATHS, readyz_max_delay, admin_server: "127.0.0.1:0" });
    server.on("request", (_request, response) => {
      const until = performance.now() + 700;
      while (performance.now() < until) { /* the event loop stands still */ }
      response.end();
    });
    await serving(server, async (server, port) => {
      assertEquals((await ask(port, "GET /readyz"))[0], 200);
      const open = await RawClient.connect(port); // so that the clock runs
      await ask(port, "GET /");
      const expected = isReady ? [200, WELL] : [503, unwell("event_loop_delay")];
      for (const one of [port, server.admin_port]) assertEquals((await ask(one, "GET /readyz")).slice(0, 2), expected);
      assertEquals((await ask(port, "GET /livez"))[0], 200);
      open.destroy();
    });
  }
});

test("the page says whether the broker is up; a server without it is ready, unless readyz_needs_broker is set", async () => {
  for (const readyz_needs_broker of [false, true]) {
    const server = new WebSocketServer("127.0.0.1", 0);
    const memory = memoryBroker();
    let isUp = true;
    const broker: Broker = {
      options: memory.options,
      attach: (host) => Object.defineProperty(memory.attach(host), "isUp", { get: () => isUp }),
    };
    server.set({ ...PATHS, readyz_needs_broker, broker, admin_server: "127.0.0.1:0" });
    server.on("message", () => {});
    await serving(server, async (server, port) => {
      const pages = async () => {
        const responses = await Promise.all([port, server.admin_port].map((one) => ask(one, "GET /readyz")));
        return responses.map(([status, body]) => [status, JSON.parse(body)]);
      };
      const up = [200, { status: "ok", reasons: [], broker: "up" }];
      const down = readyz_needs_broker
        ? [503, { status: "unavailable", reasons: ["broker"], broker: "down" }]
        : [200, { status: "ok", reasons: [], broker: "down" }];
      assertEquals(await pages(), [up, up]);
      isUp = false;
      assertEquals(await pages(), [down, down]);
      assertEquals((await ask(port, "GET /livez")).slice(0, 2), [200, WELL]);
      isUp = true;
      assertEquals(await pages(), [up, up]);
    });
  }
});

test("a start that fails leaves no page behind, and a server can start again", async () => {
  const { server: other } = notingServer({});
  await serving(other, async (_other, taken) => {
    const { server } = notingServer({ admin_server: `127.0.0.1:${taken}` });
    const { message } = await assertRejects(() => server.start(), Error);
    assertEquals(message, `Cannot listen on 127.0.0.1:${taken}: the address is in use already`);
    server.set({ admin_server: "127.0.0.1:0" });
    for (let i = 0; i < 2; i++) {
      await serving(server, async (server) => {
        assertEquals((await ask(server.admin_port, "GET /readyz"))[0], 200);
      });
    }
    const blocked = new HttpServer("127.0.0.1", taken);
    blocked.set({ admin_server: "127.0.0.1:0" });
    blocked.on("request", () => {});
    await assertRejects(() => blocked.start(), Error, "in use");
    assertEquals(blocked.admin_port, 0);
  });
});

test("a shutdown during the start ends the pages, too", async () => {
  const { server } = notingServer({ admin_server: "127.0.0.1:0" });
  const started = server.start();
  server.shutdown();
  await assertRejects(() => started, Error, "it was shut down meanwhile");
  await server.finished;
  assertEquals(server.admin_port, 0);
});

test("admin_server may be a unix socket", () =>
  inFolder(async (folder) => {
    const path = join(folder, "admin");
    const { server } = notingServer({ admin_server: `unix:${path}` });
    await serving(server, async () => {
      const client = await RawClient.connect({ path });
      client.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
      assertEquals((await client.readAnswer()).body, WELL);
      client.destroy();
    });
  }));

test("paths and addresses are checked; those of the server are not for ports", () => {
  const server = new HttpServer("127.0.0.1", 0);
  const port = server.listen("127.0.0.1", 0);
  for (const path of ["metrics", "/a b", "/a?b", "/a#b", "/\xe9", "http://x/"]) {
    assertThrows(() => server.set({ metrics_path: path }), TypeError, 'is no path, such as "/metrics"');
  }
  assertThrows(
    () => server.set({ livez_path: true as unknown as string }),
    TypeError,
    "Cannot set livez_path: a string is needed",
  );
  for (const address of ["127.0.0.1", ":80", "a b:80", "::1:80", "[::1]", "unix:", "http://x:80"]) {
    assertThrows(() => server.set({ admin_server: address }), TypeError, 'is no address, such as "127.0.0.1:9502"');
  }
  assertThrows(() => server.set({ admin_server: "127.0.0.1:65536" }), RangeError, "port 65536");
  assertThrows(() => server.set({ admin_server: 1 as unknown as string }), TypeError, "a string is needed");
  assertThrows(() => server.set({ readyz_max_delay: -1 }), RangeError, "readyz_max_delay");
  assertThrows(() => server.set({ readyz_needs_broker: 1 as never }), TypeError, "Cannot set readyz_needs_broker");
  for (const settings of [{ admin_server: "127.0.0.1:0" }, { readyz_max_delay: 1 }, { readyz_needs_broker: true }]) {
    assertThrows(() => port.set(settings as object), TypeError, "it holds for the whole server");
  }
  assertEquals(readAddress("127.0.0.1:65535"), { transport: "tcp", hostname: "127.0.0.1", port: 65535 });
  assertEquals(readAddress("[::1]:80"), { transport: "tcp", hostname: "::1", port: 80 });
  assertEquals(readAddress("localhost:0"), { transport: "tcp", hostname: "localhost", port: 0 });
  assertEquals(readAddress("unix:/a"), { transport: "unix", hostname: "/a", port: 0 });
});

test("pages for which other processes are asked come later: in order, on each port, and to nobody who has left", async () => {
  const { server, paths } = notingServer({ ...PATHS, admin_server: "127.0.0.1:0", log_file: "/dev/null" });
  await serving(server, async (server, port) => {
    const { context } = coreOf(server);
    let go = signal();
    let asked = 0;
    const wait = async <T>(result: T): Promise<T> => {
      asked++;
      await go.promise;
      return result;
    };
    const metrics = { sluice_publish: { "": 41 } };
    context.workerStats = { sum: () => ({}), metrics: () => ({}), freshMetrics: () => wait(metrics), tell() {}, exited() {} };
    context.workerHealth = { check: () => wait({ reasons: ["workers"], workers: [3] }) };
    const unready = '{"status":"unavailable","reasons":["workers"],"workers":[3]}\n';
    for (const one of [port, server.admin_port]) {
      go = signal();
      const client = await RawClient.connect(one);
      for (const line of ["GET /metrics", "GET /readyz", "HEAD /metrics", "GET /livez"]) {
        client.send(`${line} HTTP/1.1\r\nHost: x\r\n\r\n`);
      }
      const gone = await RawClient.connect(one);
      const before = asked;
      gone.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
      while (asked === before) await new Promise((resolve) => setTimeout(resolve, 1));
      gone.destroy();
      go.resolve();
      const page = await client.readAnswer();
      assertEquals([page.status, samplesOf(page.body, "sluice_publish_total")], [200, { "": 41 }]);
      const health = await client.readAnswer();
      assertEquals([health.status, health.body], [503, unready]);
      const head = await client.readHead();
      assertMatch(head, new RegExp(`\r\nContent-Length: ${page.body.length}\r\n`));
      assertEquals((await client.readAnswer()).body, WELL);
      client.destroy();
    }
    context.workerStats.freshMetrics = () => Promise.reject(new Error("of ours"));
    context.workerHealth.check = () => Promise.resolve({ reasons: [], workers: [] });
    for (const one of [port, server.admin_port]) {
      assertEquals((await ask(one, "GET /metrics")).slice(0, 2), [500, ""]);
      assertEquals((await ask(one, "GET /readyz")).slice(0, 2), [200, WELL]);
    }
    assertEquals(context.endings.errorCount, 2);
    context.workerStats = context.workerHealth = undefined;
  });
  assertEquals(paths, []);
});

test("the metrics are made once in a turn, however many requests for them have come", async () => {
  const { server } = notingServer(PATHS);
  await serving(server, async (server, port) => {
    const { table } = coreOf(server).context;
    const connections = table!.connections.bind(table);
    let looks = 0;
    table!.connections = () => {
      looks++;
      return connections();
    };
    const client = await RawClient.connect(port);
    client.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100));
    for (let i = 0; i < 100; i++) assertEquals((await client.readAnswer()).status, 200);
    client.destroy();
    assert(looks < 50, `${looks} looks`); // the requests may arrive in some pieces
    const [, before] = await ask(port, "GET /metrics");
    await ask(port, "GET /");
    const [, after] = await ask(port, "GET /metrics");
    const total = (text: string) => Object.values(samplesOf(text, "sluice_http_requests_total"));
    assertEquals([total(before), total(after)], [[], [1]]);
  });
});
