// Metrics: exact counts after known scenarios, in both styles; their text; labels that no peer can add to.

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { HttpServer, Server, type ServerSettings, SWOOLE_SOCK_UDP, WebSocketServer } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { Counters, Histogram, LoopDelay, RequestCounts, SAMPLED } from "../../src/server/counters.ts";
import { FAMILIES, VERSION } from "../../src/server/metric_families.ts";
import { readMetrics, samplesOf } from "../support/metrics_text.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";
import { EventLog } from "./event_log.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

function requestOf(line: string, fields = "", body = ""): string {
  return `${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${fields}\r\n${body}`;
}

/** Sends bytes on a connection of its own. Returns the number of bytes that came back until the server ended it. */
async function exchange(port: number, bytes: string): Promise<number> {
  const client = await RawClient.connect(port);
  client.send(bytes);
  const answer = await client.readAll();
  client.destroy();
  return answer.length;
}

// ---- text -----------------------------------------------------------------------------------------------------------

test("the version is the one of the package", () => assertEquals(VERSION, JSON.parse(read("deno.json")).version));

test("docs/metrics.md has each family with its type, unit, labels and meaning, and no other", () => {
  const text = read("docs/metrics.md");
  const rows = new Map<string, string[]>();
  for (const [line, name] of text.matchAll(/^\| `([a-z_]+)` +\|.*\|$/gm)) {
    assert(!rows.has(name), `${name} has two rows`);
    rows.set(name, line.split("|").slice(2, -1).map((cell) => cell.trim()));
  }
  for (const { name, type, unit = "", help, labels = [] } of FAMILIES) {
    const full = type === "counter" ? `${name}_total` : name;
    const row = rows.get(full);
    assert(row !== undefined, `${full} has no row`);
    const expected = [type, unit, labels.map((label) => `\`${label}\``).join(", "), help];
    assertEquals(row, expected, `the row of ${full}: | ${expected.join(" | ")} |`);
    rows.delete(full);
  }
  assertEquals([...rows.keys()], []);
});

/** Checks a text line by line against the rules of its format. */
function checkFormat(text: string, isOpen: boolean): void {
  const lines = text.split("\n");
  assertEquals(lines.pop(), "");
  if (isOpen) assertEquals(lines.pop(), "# EOF");
  let family = { name: "", type: "" };
  const seen = new Set<string>();
  for (const line of lines) {
    const [, kind, name, value] = /^# (HELP|TYPE|UNIT) ([a-z_]+) (.+)$/.exec(line) ?? [];
    if (kind === "HELP") {
      assert(!seen.has(name), `${name} comes twice`);
      seen.add(name);
      assertMatch(value, /^[A-Z][^\\"\n]+\.$/);
      family = { name, type: "" };
    } else if (kind === "TYPE") {
      assertEquals(name, family.name);
      family.type = value;
      assertEquals(name.endsWith("_total"), value === "counter" && !isOpen, line);
    } else if (kind === "UNIT") {
      assert(isOpen && name === family.name && name.endsWith(`_${value}`), line);
    } else {
      const [, sample, labels = ""] = /^([a-z_]+)(?:\{((?:[a-z_]+="[^"\\\n]*",?)+)\})? [0-9.e+-]+$/.exec(line) ?? [];
      const suffixes = family.type === "histogram"
        ? ["_bucket", "_sum", "_count"]
        : [family.type === "counter" && isOpen ? "_total" : ""];
      assert(suffixes.some((suffix) => sample === family.name + suffix), line);
      assert(!labels.endsWith(","), line);
    }
  }
  assertEquals(seen.size, FAMILIES.length);
  for (const { name, type } of FAMILIES) assert(seen.has(type === "counter" && !isOpen ? `${name}_total` : name));
}

test("both formats are what they say, with the same values", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", (_request, response) => response.end());
  for (const text of [server.metrics(), server.stats("openmetrics")]) checkFormat(text, text.endsWith("# EOF\n"));
  await serving(server, async (server, port) => {
    await exchange(port, requestOf("GET /"));
    const [plain, open] = [server.metrics(), server.stats("openmetrics")];
    checkFormat(plain, false);
    checkFormat(open, true);
    const withoutMemory = (text: string) => [...readMetrics(text)].filter(([sample]) => !/memory|loop_delay/.test(sample));
    assertEquals(withoutMemory(plain), withoutMemory(open));
    assertEquals(readMetrics(plain).get(`sluice_build_info{version="${VERSION}",runtime="${runtimeName()}"}`), 1);
    assert(readMetrics(plain).get('sluice_memory_bytes{kind="rss"}')! > 1e6);
  });
});

function runtimeName(): string {
  return "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
}

// ---- counts ---------------------------------------------------------------------------------------------------------

test("WebSockets: opens, closes by code, messages and bytes, refusals of each kind, errors by event", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const log = new EventLog();
  server.set({ log_file: "/dev/null", max_handlers_per_connection: 1 });
  server.on("beforeHandshakeResponse", (request, response) => {
    if (request.server.path_info === "/no") response.status(401), response.end();
  });
  server.on("open", (_server, request) => {
    log.add("open");
    if (request.server.path_info === "/throws") throw new Error("open");
  });
  server.on("message", async (server, message) => {
    if (message.data === "throw") throw new Error("message");
    if (message.data === "reject") return await Promise.reject(new Error("message"));
    server.push(message.fd, message);
  });
  server.on("request", (_request, response) => response.end("page"));
  server.on("close", () => log.add("close"));
  server.on("disconnect", () => log.add("close"));
  let received = 0;
  let sent = 0;
  await serving(server, async (server, port) => {
    let ended = 0;
    /** Opens a WebSocket and sends frames; the client ends when the server does, or at once if it `leaves`. */
    const webSocket = async (frames: Uint8Array[], path = "/", leaves = false): Promise<void> => {
      const client = await RawClient.connect(port);
      const bytes = handshake(path);
      client.send(bytes);
      sent += bytes.length + frames.reduce((sum, { length }) => sum + length, 0);
      const head = await client.readHead();
      received += head.length;
      for (const one of frames) client.send(one);
      if (!leaves) received += (await client.readAll()).length;
      client.destroy();
      await log.count(++ended + opened());
    };
    const opened = () => log.lines.filter((line) => line === "open").length;
    const text = frame({ opcode: 1, payload: "hello" });
    await webSocket([text, text, frame({ opcode: 2, payload: [1, 2, 3] }), closeFrame(1000)]);
    await webSocket([frame({ opcode: 1, payload: "part", fin: false }), frame({ opcode: 0, payload: "rest" }), closeFrame()]);
    await webSocket([frame({ opcode: 9, payload: "ping" }), closeFrame(4001)]);
    await webSocket([closeFrame(4999)]);
    await webSocket([closeFrame(3000)]);
    await webSocket([frame({ opcode: 3 })]);
    await webSocket([], "/", true);
    await webSocket([frame({ opcode: 1, payload: "throw" })]);
    await webSocket([frame({ opcode: 1, payload: "reject" })]);
    await webSocket([], "/throws");

    const others = [
      handshake("/no"),
      handshake("/", { Origin: "https://b.example" }),
      handshake("/", { "Sec-WebSocket-Version": "8" }),
      requestOf("GET /"),
      requestOf("POST /", "Content-Length: 2\r\n", "ab"),
      requestOf("BREW /pot"),
      "what\r\n\r\n",
    ];
    for (const bytes of others) {
      sent += bytes.length;
      received += await exchange(port, bytes);
      await log.count(++ended + opened());
    }

    const metrics = server.metrics();
    const of = (name: string) => samplesOf(metrics, name);
    assertEquals(of("sluice_connections"), {});
    assertEquals(of("sluice_connections_opened_total"), { "": 17 });
    assertEquals(of("sluice_connections_closed_total"), {
      'code="none"': 7,
      'code="1000"': 1,
      'code="1005"': 1,
      'code="4000-4999"': 2,
      'code="3000-3999"': 1,
      'code="1002"': 1,
      'code="1006"': 1,
      'code="1011"': 3,
    });
    assertEquals(of("sluice_violations_total"), { 'code="1002"': 1 });
    assertEquals(of("sluice_handshakes_total"), {
      'status="101"': 10,
      'status="401"': 1,
      'status="403"': 1,
      'status="426"': 1,
    });
    assertEquals(of("sluice_handshake_duration_seconds_count"), { "": 10 });
    assertEquals(of("sluice_messages_received_total"), { 'opcode="text"': 5, 'opcode="binary"': 1 });
    assertEquals(of("sluice_messages_sent_total"), { 'opcode="text"': 3, 'opcode="binary"': 1 });
    assertEquals(of("sluice_http_requests_total"), {
      'method="GET",status="200"': 1,
      'method="POST",status="200"': 1,
      'method="_OTHER",status="200"': 1,
      'method="_OTHER",status="400"': 1,
    });
    const labels = (method: string) => `http_request_method="${method}",http_response_status_code="200",url_scheme="http"`;
    assertEquals(of("http_server_request_duration_seconds_count"), {
      [labels("GET")]: 1,
      [labels("POST")]: 1,
      [labels("_OTHER")]: 1,
    });
    assertEquals(of("sluice_refusals_total"), {
      'kind="handshake",reason="pages of this origin may not connect"': 1,
      'kind="handshake",reason="only WebSocket version 13 is spoken here"': 1,
      'kind="request",reason="the request line is malformed"': 1,
    });
    assertEquals(of("sluice_handler_errors_total"), { 'event="open"': 1, 'event="message"': 2 });
    assertEquals(of("sluice_errors_total"), { "": 3 });
    assertEquals(of("sluice_received_bytes_total"), { "": sent });
    assertEquals(of("sluice_sent_bytes_total"), { "": received });
    const { closes, error_count, event_loop_delay, websocket_num } = server.stats();
    assertEquals([websocket_num, error_count, closes["4000-4999"]], [0, 3, 2]);
    assert(event_loop_delay >= 0);
  });
});

test("the coroutine style counts the same", async () => {
  const server = new CoroutineServer("127.0.0.1");
  server.set({ log_file: "/dev/null" });
  const over = new EventLog();
  server.handle("/chat", async (_request, ws) => {
    try {
      await ws.upgrade();
      for await (const message of ws) {
        if (message.data === "throw") throw new Error("chat");
        await ws.push(message);
      }
    } finally {
      over.add("over");
    }
  });
  server.handle("/", (_request, response) => response.end("page"));
  await serving(server, async (server, port) => {
    const text = frame({ opcode: 1, payload: "hello" });
    for (const frames of [[text, text, closeFrame(1000)], [text, frame({ opcode: 1, payload: "throw" })]]) {
      const client = await RawClient.open(port, "/chat");
      for (const one of frames) client.send(one);
      await client.readAll();
      client.destroy();
    }
    await over.count(2);
    await exchange(port, requestOf("GET /"));
    await exchange(port, requestOf("GET /chat"));
    while (server.stats().connection_num > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const of = (name: string) => samplesOf(server.metrics(), name);
    assertEquals(of("sluice_connections_opened_total"), { "": 4 });
    assertEquals(of("sluice_connections_closed_total"), { 'code="none"': 2, 'code="1000"': 1, 'code="1011"': 1 });
    assertEquals(of("sluice_messages_received_total"), { 'opcode="text"': 4 });
    assertEquals(of("sluice_messages_sent_total"), { 'opcode="text"': 3 });
    assertEquals(of("sluice_handshakes_total"), { 'status="101"': 2 });
    assertEquals(of("sluice_handler_errors_total"), { 'event="websocket"': 1 });
    assertEquals(Object.keys(of("sluice_http_requests_total"))[0], 'method="GET",status="200"');
    assertEquals(JSON.parse(server.stats("json")).accept_count, 4);
    assert(server.stats("openmetrics").endsWith("\n# EOF\n"));
    assertThrows(() => server.stats("xml" as "json"), TypeError, "Cannot write stats: xml is neither json nor openmetrics");
  });
});

test("gauges tell what is open, waits, and is slow; pushes that are not taken are counted", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const MiB = 1024 * 1024;
  server.set({ socket_buffer_size: 4 * MiB, buffer_high_watermark: MiB, max_handlers_per_connection: 1 });
  const go = signal();
  const got = signal<number>();
  const log = new EventLog();
  server.on("open", (_server, request) => log.add(`open ${request.fd}`));
  server.on("message", (_server, message) => {
    got.resolve(message.fd);
    return go.promise;
  });
  server.on("request", () => go.promise);
  const raw = server.listen("127.0.0.1", 0);
  raw.set({ open_eof_check: false });
  raw.on("receive", () => {});
  await serving(server, async (server, port) => {
    const clients = [await RawClient.open(port), await RawClient.open(port), await RawClient.connect(raw.port)];
    clients[0].send(frame({ opcode: 1, payload: "a" }));
    const fd = await got.promise;
    for (const payload of ["b", "c"]) clients[0].send(frame({ opcode: 1, payload }));
    const http = await RawClient.connect(port);
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    while (server.stats().waiting_message_num < 2 || server.stats().concurrency < 1) {
      await new Promise((next) => setTimeout(next, 1));
    }
    const of = (name: string) => samplesOf(server.metrics(), name);
    assertEquals(of("sluice_connections"), { 'protocol="websocket"': 2, 'protocol="http"': 1, 'protocol="raw"': 1 });
    assertEquals(of("sluice_messages_waiting"), { "": 2 });
    assertEquals(of("sluice_http_requests_active"), { "": 1 });
    assertEquals(of("sluice_handlers"), { "": 2 });
    const slow = [...server.connections].find((one) => server.isEstablished(one) && one !== fd)!;
    clients[1].socket.pause();
    let pushes = 0;
    while (server.push(slow, new Uint8Array(MiB))) pushes++;
    assert(!server.push(slow, new Uint8Array(MiB)));
    const { refused_send_count, send_queue_bytes, slow_connection_num, websocket_num } = server.stats();
    assertEquals([refused_send_count, slow_connection_num, websocket_num], [2, 1, 2]);
    assert(send_queue_bytes > 2 * MiB && send_queue_bytes <= pushes * (MiB + 10));
    assertEquals(of("sluice_slow_connections"), { "": 1 });
    assertEquals(of("sluice_send_queue_bytes"), { "": server.stats().send_queue_bytes });
    while (of("sluice_slow_consumers_total")['action="full"'] === undefined) await new Promise((next) => setTimeout(next, 1));
    assertEquals(of("sluice_slow_consumers_total"), { 'action="full"': 1, 'action="refused"': 2 });
    assertEquals(of("sluice_messages_sent_total"), { 'opcode="binary"': pushes });
    go.resolve();
    for (const client of [...clients, http]) client.destroy();
  });
});

test("topics, and datagrams that are dropped", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const opened = new EventLog();
  server.on("message", () => {});
  server.on("open", (server, request) => {
    server.subscribe(request.fd, "news");
    opened.add("open");
  });
  const udp = server.listen("127.0.0.1", 0, SWOOLE_SOCK_UDP);
  udp.on("packet", () => {});
  await serving(server, async (server, port) => {
    const clients = [await RawClient.open(port), await RawClient.open(port)];
    await opened.count(2);
    assertEquals([server.publish("news", "x"), server.publish("none", "x"), server.broadcast("x")], [2, 0, 2]);
    const of = (name: string) => samplesOf(server.metrics(), name);
    assertEquals([of("sluice_topics"), of("sluice_subscriptions"), of("sluice_publish_total")], [{ "": 1 }, { "": 2 }, {
      "": 3,
    }]);
    assertEquals([of("sluice_publish_fanout_sum"), of("sluice_publish_fanout_count")], [{ "": 4 }, { "": 3 }]);
    assertEquals(of("sluice_messages_sent_total"), { 'opcode="text"': 4 });
    for (const client of clients) client.destroy();
  });
});

test("a client that goes before the response is counted as none; a server that starts again counts from 0", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  const called = signal();
  server.on("request", async (request, response) => {
    if (request.server.path_info === "/") return response.end();
    called.resolve();
    await new Promise<void>((resolve) => request.signal.addEventListener("abort", () => resolve()));
  });
  const requests = () => samplesOf(server.metrics(), "sluice_http_requests_total");
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    await called.promise;
    client.destroy();
    while (server.stats().connection_num > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    assertEquals(requests(), { 'method="GET",status="none"': 1 });
  });
  await serving(server, async (_server, port) => {
    assertEquals(requests(), {});
    await exchange(port, requestOf("GET /"));
    assertEquals(requests(), { 'method="GET",status="200"': 1 });
  });
});

test("a ping of the server and its pong are measured; a pong that was not asked for is not", async () => {
  const settings: ServerSettings[] = [{}, { open_websocket_pong_frame: true }];
  for (const more of settings) {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ websocket_ping_interval: 0.25, ...more });
    const messages: number[] = [];
    server.on("message", (_server, message) => void messages.push(message.opcode));
    await serving(server, async (server, port) => {
      const client = await RawClient.open(port);
      client.send(frame({ opcode: 10, payload: "x" }));
      assertEquals((await client.readFrame())?.opcode, 9);
      client.send(frame({ opcode: 10 }));
      while (samplesOf(server.metrics(), "sluice_ping_rtt_seconds_count")[""] !== 1) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assertEquals(messages, more.open_websocket_pong_frame ? [10] : []);
      client.destroy();
    });
  }
});

test("the delay of the event loop is measured by the clock of the server", async () => {
  const server = new Server("127.0.0.1", 0);
  server.on("receive", (server, fd) => {
    const until = performance.now() + 700;
    while (performance.now() < until) { /* the event loop stands still */ }
    server.send(fd, "done");
  });
  await serving(server, async (server, port) => {
    const client = await RawClient.connect(port);
    while (samplesOf(server.metrics(), "sluice_event_loop_delay_seconds_count")[""] === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    client.send("x");
    while (server.stats().event_loop_delay < 0.4) await new Promise((resolve) => setTimeout(resolve, 10));
    assert(samplesOf(server.metrics(), "sluice_event_loop_delay_seconds_sum")[""] >= 0.4);
    client.destroy();
  });
});

// ---- labels ---------------------------------------------------------------------------------------------------------

test("floods do not add labels: methods, paths, statuses, close codes, origins", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ log_file: "/dev/null" });
  server.on("message", () => {});
  server.on("request", (request, response) => {
    response.status(Number(request.get.status ?? 200)); // the program lets clients choose
    response.end();
  });
  await serving(server, async (server, port) => {
    const word = () => Math.random().toString(36).slice(2).replace(/\d/g, "x");
    const flood = async (from: number, to: number) => {
      for (let i = from; i < to; i++) {
        const client = await RawClient.open(port, `/${word()}?${word()}`);
        client.send(i % 2 === 0 ? closeFrame(3000 + i) : frame({ opcode: 3 + i % 5, payload: word() }));
        await client.readAll();
        client.destroy();
        await exchange(port, requestOf(`${word()} /${word()}?status=${200 + (i * 7) % 800}`));
        await exchange(port, `${word()}\r\n\r\n`);
        await exchange(port, handshake(`/${word()}`, { Origin: `https://${word()}.example` }));
      }
    };
    await flood(0, 200);
    const before = [...readMetrics(server.metrics()).keys()];
    await flood(200, 230);
    const added = [...readMetrics(server.metrics()).keys()].filter((sample) => !before.includes(sample));
    // A status that is registered may be new; there are 64 of them, and five classes.
    assertEquals(added.filter((sample) => !/_OTHER.*status(?:_code)?="\d{3}"/.test(sample)), []);
    const statuses = Object.keys(samplesOf(server.metrics(), "sluice_http_requests_total"));
    assert(statuses.length < 80 && statuses.every((labels) => labels.startsWith('method="_OTHER"')), statuses.join());
    for (const label of ['status="2xx"', 'status="7xx"', 'status="9xx"']) {
      assert(statuses.some((one) => one.includes(label)), label);
    }
  });
});

test("methods and statuses have labels of their own only if they are registered", () => {
  const counts = new RequestCounts();
  const labels = (method: string | undefined, status: number) => {
    const { method: name, status: label } = counts.get(method, status);
    return [name, label];
  };
  assertEquals(labels("GET", 200), ["GET", "200"]);
  assertEquals(labels("get", 200), ["_OTHER", "200"]);
  assertEquals(labels("_OTHER", 200), ["_OTHER", "200"]);
  assertEquals(labels(undefined, 400), ["_OTHER", "400"]);
  assertEquals(labels("QUERY", 299), ["QUERY", "2xx"]);
  assertEquals(labels("QUERY", 298), ["QUERY", "2xx"]);
  assertEquals(labels("GET", 0), ["GET", "none"]);
  assertEquals(labels("GET", 999), ["GET", "9xx"]);
  assertEquals([...counts.all].length, 6);
});

// ---- parts ----------------------------------------------------------------------------------------------------------

test("a histogram counts a value at a bound in its bucket, and one past it in the next", () => {
  const histogram = new Histogram([0.1, 1]);
  for (const value of [-1, 0, 0.1, 0.1000001, 1, 1.5]) histogram.add(value);
  assertEquals([histogram.counts, histogram.count, histogram.sum], [[3, 2, 1], 6, 0.1 + 0.1000001 + 1 + 1.5]);
});

test("one call of a handler in 61 is measured, the first one too, with its promise; one that throws is not", async () => {
  const counters = new Counters();
  const measured: number[] = [];
  for (let call = 0; call < 2 * SAMPLED + 1; call++) if (counters.sample() !== 0) measured.push(call);
  assertEquals(measured, [0, 61, 122]);
  counters.measure("message", performance.now() - 1000, undefined);
  let settle!: () => void;
  counters.measure("message", performance.now() - 1000, new Promise<void>((resolve) => settle = resolve));
  counters.measure("message", performance.now(), Promise.reject(new Error("of the handler")));
  const { duration } = counters.handlers.get("message")!;
  assertEquals(duration.count, 1);
  settle();
  await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(duration.count, 3);
  assert(duration.sum >= 2);

  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", (_request, response) => response.end());
  await serving(server, async (server, port) => {
    const client = await RawClient.connect(port);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2 * SAMPLED));
    while (server.stats().response_count < 2 * SAMPLED) await new Promise((resolve) => setTimeout(resolve, 1));
    const counts = samplesOf(server.metrics(), "sluice_handler_duration_seconds_count");
    assertEquals(counts, { 'event="request"': 2 });
    client.destroy();
  });
});

test("the delay of the event loop is the longest of the last 5 seconds, and forgotten when the clock stands", () => {
  const time = { now: 0 };
  const delay = new LoopDelay(() => time.now);
  assertEquals(delay.recent, 0);
  const tick = (late: number) => {
    time.now += 250;
    delay.add(late);
  };
  tick(0.5);
  for (let i = 0; i < 19; i++) tick(0.01);
  assertEquals(delay.recent, 0.5);
  tick(0.02);
  assertEquals(delay.recent, 0.02); // the 21st has replaced the first
  time.now += 4750;
  assertEquals(delay.recent, 0.02);
  time.now += 251;
  assertEquals(delay.recent, 0);
  assertEquals(delay.histogram.count, 21);
});
