// Who gets in: connections in all, with those that linger and those in a TLS handshake; connections and handshakes of one address.

import { assert, assertEquals } from "@std/assert";
import net from "node:net";
import { test } from "node:test";
import {
  type BytePipe,
  HttpServer,
  type Refusal,
  Server,
  type ServerSettings,
  SWOOLE_BASE,
  SWOOLE_SOCK_TCP,
  SWOOLE_SSL,
  WebSocketServer,
} from "../../mod.ts";
import * as coroutine from "../../src/coroutine/mod.ts";
import { addressGroup, AddressTable, TokenBucket } from "../../src/server/admission.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { frame, handshake, type RawClient } from "../support/raw_client.ts";
import { connectTls, tlsSettings } from "../support/tls_client.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/** A pipe over a lane that comes from somewhere. */
function from(lane: FakeLane, hostname: string): BytePipe {
  const { readable: _readable, writable: _writable, ...pipe } = Object.getOwnPropertyDescriptors(laneOnly(lane));
  return Object.defineProperties({ remoteAddress: { transport: "tcp", hostname, port: 1 } }, pipe) as unknown as BytePipe;
}

function httpServer(settings: ServerSettings): { server: HttpServer; refusals: Refusal[]; calls: string[] } {
  const server = new HttpServer("127.0.0.1", 0);
  const refusals: Refusal[] = [];
  const calls: string[] = [];
  server.set({ log_level: 6, websocket_close_timeout: 0.01, ...settings });
  server.on("connect", () => void calls.push("connect"));
  server.on("close", () => void calls.push("close"));
  server.on("request", (_request, response) => {
    calls.push("request");
    response.end("here");
  });
  server.on("refuse", (_server, refusal) => void refusals.push(refusal));
  return { server, refusals, calls };
}

/** Comes in, and says how that went. */
function enter(server: { accept(pipe: BytePipe): number }, hostname: string, text = GET): { lane: FakeLane; fd: number } {
  const lane = new FakeLane();
  const fd = server.accept(from(lane, hostname));
  if (!lane.aborted) lane.receive(text);
  return { lane, fd };
}

const statusOf = ({ lane }: { lane: FakeLane }) => lane.aborted ? 0 : Number(lane.text.split(" ")[1]);

async function stop(server: { shutdown(timeout?: number): boolean; finished: Promise<void> }, lanes: FakeLane[]): Promise<void> {
  server.shutdown();
  for (const lane of lanes) lane.abort();
  await server.finished;
}

test("max_connection counts connections that linger, and the oldest of them makes room", async () => {
  const { server, refusals, calls } = httpServer({ max_connection: 3 });
  const open = enter(server, "192.0.2.1");
  const leaving = [1, 2].map(() => enter(server, "192.0.2.1", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  assertEquals(leaving.map(({ lane }) => [lane.ended, lane.aborted]), [[true, false], [true, false]]);
  const third = enter(server, "192.0.2.1");
  assertEquals(leaving.map(({ lane }) => lane.aborted), [true, false]);
  const fourth = enter(server, "192.0.2.1");
  assertEquals(leaving.map(({ lane }) => lane.aborted), [true, true]);
  assertEquals([open, third, fourth].map(statusOf), [200, 200, 200]);
  const fifth = enter(server, "192.0.2.1");
  assertEquals([fifth.fd, fifth.lane.aborted], [0, true]);
  assertEquals(refusals, [{
    kind: "connection",
    status: 0,
    reason: "there are too many connections",
    address: "192.0.2.1",
    setting: "max_connection",
  }]);
  assertEquals(server.stats().abort_count, 1);
  assertEquals(calls.filter((call) => call === "close").length, 2);
  await stop(server, [open, third, fourth].map(({ lane }) => lane));
});

test("a connection that is still being sent its response makes no room", async () => {
  const { server } = httpServer({ max_connection: 1 });
  const lane = new FakeLane();
  lane.takes = false;
  server.accept(from(lane, "192.0.2.1"));
  lane.receive("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const second = enter(server, "192.0.2.1");
  assertEquals([second.fd, second.lane.aborted, lane.aborted, lane.ended], [0, true, false, false]);
  lane.takes = true;
  lane.sink.onDrain();
  assertEquals(lane.ended, true);
  const third = enter(server, "192.0.2.1");
  assertEquals([statusOf(third), lane.aborted], [200, true]);
  await stop(server, [third.lane]);
});

for (
  const [style, make] of [
    ["HttpServer", httpServer],
    ["coroutine", (settings: ServerSettings) => {
      const server = new coroutine.HttpServer("127.0.0.1", 0);
      server.set({ log_level: 6, websocket_close_timeout: 0.01, ...settings });
      server.handle("/", (_request, response) => void response.end("here"));
      return { server };
    }],
  ] as const
) {
  test(`max_connection_per_ip: one more gets 503 with Retry-After, before any handler; far more are dropped (${style})`, async () => {
    const made = make({ max_connection_per_ip: 2 });
    const { server } = made;
    const ours = [1, 2].map(() => enter(server, "192.0.2.1"));
    assertEquals(ours.map(statusOf), [200, 200]);
    // Until they are gone, there are as many more that are told.
    const told = ["GET", "x"].map((text) => enter(server, "192.0.2.1", text));
    for (const each of told) {
      assertEquals([each.fd, statusOf(each), each.lane.ended, each.lane.aborted], [0, 503, true, false]);
      assert(/\r\nRetry-After: [1-9]\d*\r\n/.test(each.lane.text));
      assert(each.lane.text.endsWith("there are too many connections of this address"));
    }
    const dropped = enter(server, "192.0.2.1");
    assertEquals([dropped.fd, dropped.lane.aborted], [0, true]);
    assertEquals(statusOf(enter(server, "192.0.2.2")), 200);
    told[0].lane.abort();
    ours[0].lane.abort();
    told[1].lane.abort();
    assertEquals(statusOf(enter(server, "192.0.2.1")), 200);
    if ("refusals" in made) {
      assertEquals(made.refusals.map(({ kind, status, setting, address }) => [kind, status, setting, address]), [
        ["connection", 503, "max_connection_per_ip", "192.0.2.1"],
        ["connection", 503, "max_connection_per_ip", "192.0.2.1"],
        ["connection", 0, "max_connection_per_ip", "192.0.2.1"],
      ]);
      assertEquals(made.calls.filter((call) => call !== "request"), ["connect", "connect", "connect", "close", "connect"]);
      assertEquals(server.constructor === HttpServer && (server as HttpServer).stats().connection_num, 3);
    }
    server.shutdown(0);
    await server.finished;
  });
}

test("max_connection_per_ip: connections that end in their connect handler are gone", async () => {
  const { server } = httpServer({ max_connection_per_ip: 2 });
  server.on("connect", (server, fd) => void server.close(fd, true));
  for (let i = 0; i < 10; i++) enter(server, "192.0.2.1");
  server.on("connect", () => {});
  const last = enter(server, "192.0.2.1");
  assertEquals(statusOf(last), 200);
  await stop(server, [last.lane]);
});

test("max_connection_per_ip: unix sockets and connections without an address are not counted", async () => {
  const { server } = httpServer({ max_connection_per_ip: 1 });
  const lanes = [1, 2, 3].map(() => new FakeLane());
  for (const lane of lanes) {
    const pipe = from(lane, "");
    server.accept({ ...laneless(pipe), remoteAddress: { transport: "unix", hostname: "", port: 0 } });
    lane.receive(GET);
  }
  const nowhere = new FakeLane();
  server.accept(laneOnly(nowhere));
  nowhere.receive(GET);
  assertEquals([...lanes, nowhere].map((lane) => statusOf({ lane })), [200, 200, 200, 200]);
  await stop(server, [...lanes, nowhere]);
});

/** The parts of a pipe that can be spread. */
function laneless(pipe: BytePipe): BytePipe {
  return { lane: pipe.lane, abort: () => pipe.abort(), readable: undefined as never, writable: undefined as never };
}

test("a raw port drops what an HTTP port refuses with a response", async () => {
  const server = new Server("127.0.0.1", 0);
  server.set({ max_connection_per_ip: 1, log_level: 6 });
  server.on("receive", () => {});
  const first = enter(server, "192.0.2.1");
  const second = enter(server, "192.0.2.1");
  assertEquals([first.fd, first.lane.aborted, second.fd, second.lane.aborted], [1, false, 0, true]);
  await stop(server, [first.lane]);
});

test("what is refused is there until it has been told, or http_header_timeout has passed", async () => {
  const { server } = httpServer({ max_connection_per_ip: 1, http_header_timeout: 0.01 });
  const first = enter(server, "192.0.2.1");
  const silent = new FakeLane();
  const ended = new Promise<void>((resolve) => silent.end = () => resolve());
  server.accept(from(silent, "192.0.2.1"));
  const busy = setInterval(() => {}, 1000); // the server's clock alone keeps no program alive
  await ended;
  clearInterval(busy);
  assertEquals(silent.text, "");
  silent.abort();
  await stop(server, [first.lane]);
});

test("a server that stops does not wait for those whom it has refused and who say nothing", async () => {
  const { server } = httpServer({ max_connection_per_ip: 1 });
  const first = enter(server, "192.0.2.1");
  const silent = new FakeLane();
  server.accept(from(silent, "192.0.2.1"));
  server.shutdown();
  assertEquals([silent.ended, silent.text], [true, ""]);
  await stop(server, [first.lane, silent]);
});

for (
  const [setting, sameAddress] of [["max_handshake_rate", false], ["max_handshake_rate_per_ip", true]] as const
) {
  test(`${setting}: one handshake more in a second gets 503 with Retry-After, before any handler`, async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ [setting]: 3, log_level: 6, websocket_close_timeout: 0.01 });
    const refusals: Refusal[] = [];
    let opened = 0;
    server.on("open", () => void opened++);
    server.on("message", () => {});
    server.on("request", (_request, response) => void response.end("here"));
    server.on("refuse", (_server, refusal) => void refusals.push(refusal));
    const addresses = sameAddress ? ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:3::"] : ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    const entered = addresses.map((address) => enter(server, address, handshake()));
    const refused = enter(server, addresses[0], handshake("/path", { Origin: "http://127.0.0.1" }));
    assertEquals([...entered, refused].map(statusOf), [101, 101, 101, 503]);
    assert(refused.lane.text.includes("\r\nRetry-After: 1\r\n"));
    assertEquals([refused.lane.ended, opened], [true, 3]);
    assertEquals(statusOf(enter(server, addresses[0])), 200); // a request is no handshake
    assertEquals(statusOf(enter(server, "192.0.2.9", handshake())), sameAddress ? 101 : 503);
    const [{ reason: _reason, ...rest }] = refusals;
    assertEquals(rest, {
      kind: "handshake",
      status: 503,
      address: addresses[0],
      origin: "http://127.0.0.1",
      path: "/path",
      setting,
    });
    server.shutdown(0);
    await server.finished;
  });
}

test("a token bucket holds a second's worth, and is filled evenly", () => {
  const bucket = new TokenBucket(4, 1000);
  const take = (now: number) => bucket.take(4, now);
  assertEquals([1, 2, 3, 4, 5].map(() => take(1000)), [true, true, true, true, false]);
  assertEquals([take(1249), take(1250), take(1250)], [false, true, false]);
  assertEquals([bucket.isFull(4, 2249), bucket.isFull(4, 2250)], [false, true]);
  assertEquals([1, 2, 3, 4, 5].map(() => take(900_000)), [true, true, true, true, false]);
});

test("addresses of one customer are counted together", () => {
  const groups = {
    "192.0.2.1": ["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201", "0:0:0:0:0:ffff:192.0.2.1", "::ffff:192.0.2.1%eth0"],
    "2001:db8:0:1::/64": ["2001:db8:0:1::", "2001:db8:0:1:ffff::1", "2001:0DB8:0000:0001:1:2:3:4", "2001:db8:0:1::192.0.2.1"],
    "0:0:0:0::/64": ["::1", "::", "::1:2:3:4"],
    "fe80:0:0:0::/64": ["fe80::1%eth0", "fe80::2"],
    "64:ff9b:0:0::/64": ["64:ff9b::192.0.2.1"],
  };
  for (const [group, addresses] of Object.entries(groups)) {
    for (const address of addresses) assertEquals(addressGroup(address), group, address);
  }
});

test("an address without a connection is forgotten when its handshakes are", () => {
  const table = new AddressTable(10);
  const at = (hostname: string) => table.record({ transport: "tcp", hostname, port: 1 })!;
  for (let i = 0; i < 1000; i++) (at(`10.0.${i >> 8}.${i & 255}`).handshakes = new TokenBucket(10, 0)).take(10, 0);
  at("192.0.2.1").connections = 1;
  at("192.0.2.2");
  assertEquals(table.size, 1002);
  table.sweep(1000);
  assertEquals(table.size, 1);
  at("192.0.2.1").connections = 0;
  table.sweep(1500);
  assertEquals(table.size, 1); // looked at once a second
  table.sweep(2000);
  assertEquals(table.size, 0);
});

/** Connects, says nothing, and tells when that is over. */
function silentClient(port: number): Promise<{ socket: net.Socket; closed: Promise<void> }> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    const closed = new Promise<void>((done) => socket.on("close", () => done()));
    socket.on("error", () => {}).resume().on("end", () => socket.destroy());
    socket.once("connect", () => resolve({ socket, closed }));
    socket.once("close", () => resolve({ socket, closed }));
  });
}

/** A server over TLS that takes handshakes, and what it refuses. */
function tlsServer(settings: ServerSettings) {
  const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_TCP | SWOOLE_SSL);
  server.set({ ...tlsSettings, log_level: 6, websocket_close_timeout: 0.1, ...settings });
  const refusals: Refusal[] = [];
  let wake = () => {};
  server.on("message", (server, { fd, data }) => void server.push(fd, data));
  server.on("refuse", (_server, refusal) => {
    refusals.push(refusal);
    wake();
  });
  return {
    server,
    refusals,
    async refused(count: number): Promise<void> {
      while (refusals.length < count) await new Promise<void>((resolve) => wake = resolve);
    },
  };
}

async function echoes(client: RawClient): Promise<boolean> {
  client.send(handshake("/", { Origin: null }));
  const head = await client.readHead();
  client.send(frame({ opcode: 1, payload: "served" }));
  return head.startsWith("HTTP/1.1 101") && (await client.readFrame())?.payload.length === 6;
}

testLanes("max_connection counts connections in a TLS handshake, and there is room again when they are gone", async (runtime) => {
  const { server, refusals, refused } = tlsServer({ max_connection: 3 });
  await servingOn(runtime, server, async (server, port) => {
    const inside = await connectTls(port);
    assertEquals(await echoes(inside), true);
    const silent = [await silentClient(port), await silentClient(port)];
    const more = await silentClient(port);
    await more.closed;
    await refused(1);
    assertEquals(refusals.map(({ kind, status, setting }) => [kind, status, setting]), [["connection", 0, "max_connection"]]);
    for (const { socket } of silent) socket.destroy();
    // The server has to notice first.
    let second: RawClient | undefined;
    while (second === undefined) second = await connectTls(port).catch(() => undefined);
    assertEquals(await echoes(second), true);
    const third = await until(() => connectTls(port));
    assertEquals(await echoes(third), true);
    assertEquals(server.stats().connection_num, 3);
    for (const client of [inside, second, third]) client.destroy();
  });
});

async function until<T>(attempt: () => Promise<T>): Promise<T> {
  while (true) {
    const result = await attempt().then((value) => ({ value }), () => undefined);
    if (result !== undefined) return result.value;
  }
}

testLanes("max_connection_per_ip and max_handshake_rate hold for TLS handshakes", async (runtime) => {
  const { server, refusals, refused } = tlsServer({ max_connection_per_ip: 1 });
  await servingOn(runtime, server, async (_server, port) => {
    const inside = await connectTls(port);
    assertEquals(await echoes(inside), true);
    const told = await connectTls(port);
    await refused(1); // the server is done with a handshake behind the client
    const dropped = await silentClient(port);
    await dropped.closed;
    await refused(2);
    assertEquals(refusals.map(({ status, setting, address }) => [status, setting, address]), [
      [503, "max_connection_per_ip", "127.0.0.1"],
      [0, "max_connection_per_ip", "127.0.0.1"],
    ]);
    told.send(GET);
    assertEquals((await told.readAnswer()).status, 503);
    for (const client of [inside, told]) client.destroy();
  });
  const limited = tlsServer({ max_handshake_rate: 1 });
  await servingOn(runtime, limited.server, async (_server, port) => {
    const clients = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(() => silentClient(port)));
    await limited.refused(1);
    assert(
      limited.refusals.every(({ kind, status, setting }) =>
        kind === "connection" && status === 0 && setting === "max_handshake_rate"
      ),
    );
    for (const { socket } of clients) socket.destroy();
  });
});
