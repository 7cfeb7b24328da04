// New connections begin at the rate of `accept_rate`; others wait in their order, before TLS.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  type Address,
  HttpServer,
  type Refusal,
  type ServerSettings,
  SWOOLE_BASE,
  SWOOLE_SOCK_TCP,
  SWOOLE_SSL,
  WebSocketServer,
} from "../../mod.ts";
import { AcceptPace } from "../../src/server/accept_pace.ts";
import { MovedClock } from "../brokers/moved_clock.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { handshake, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { connectTls, tlsSettings } from "../support/tls_client.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/** A pace with two ports, and what has come of their connections. */
function makePace(rate: number, most = 2, room = Infinity) {
  const clock = new MovedClock();
  const pace = new AcceptPace(rate, clock);
  const begun: string[] = [];
  let waiting = 0;
  const portOf = (name: string) => {
    const gate = pace.of({
      most,
      enter: () => waiting < room && (waiting++, true),
      leave: () => void waiting--,
      onRefused: (address?: Address) => void begun.push(`${address!.hostname} refused`),
    });
    const enter = (text: string, isThere = true) => {
      const address = { transport: "tcp", hostname: `${name}${text}`, port: 1 } as const;
      return gate.enter(address, () => isThere && (begun.push(`${name}${text}`), true));
    };
    return { enter, flush: () => gate.flush() };
  };
  return { clock, pace, begun, a: portOf("a"), b: portOf("b"), waiting: () => waiting };
}

test("connections begin at the rate, in their order, whichever port they come to", () => {
  const { clock, pace, begun, a, b, waiting } = makePace(20);
  assertEquals([a.enter("1"), b.enter("1"), a.enter("2")], [true, true, true]);
  assertEquals([begun, pace.size, waiting()], [["a1"], 2, 2]);
  clock.move(49);
  assertEquals(begun.length, 1);
  clock.move(2);
  assertEquals([begun, pace.size], [["a1", "b1"], 1]);
  clock.move(49);
  assertEquals(a.enter("3"), true);
  clock.move(1);
  assertEquals([begun, waiting()], [["a1", "b1", "a2"], 1]);
  clock.move(1000);
  assertEquals([begun.at(-1), waiting(), clock.timers], ["a3", 0, 0]);
});

test("a twentieth of a second's connections may begin at once, and no more after a pause", () => {
  const { clock, begun, a } = makePace(60, 100);
  for (let i = 0; i < 5; i++) a.enter(`${i}`);
  assertEquals(begun.length, 3);
  clock.move(1000);
  assertEquals(begun.length, 5);
  clock.move(100_000);
  for (let i = 0; i < 5; i++) a.enter(`${i}`);
  assertEquals(begun.length, 8);
  const fast = makePace(1_000_000, 1_000_000);
  for (let i = 0; i < 60_000; i++) fast.a.enter("");
  assertEquals(fast.begun.length, 50_000);
  fast.clock.move(11);
  assertEquals(fast.begun.length, 60_000);
});

test("as many as `backlog` wait on each port, and there has to be room for them", () => {
  const { begun, a, b } = makePace(1, 2);
  assertEquals([0, 1, 2, 3].map((i) => a.enter(`${i}`)), [true, true, true, false]);
  assertEquals([0, 1, 2].map((i) => b.enter(`${i}`)), [true, true, false]);
  assertEquals(begun, ["a0", "a3 refused", "b2 refused"]);
  const full = makePace(1, 2, 1);
  assertEquals([0, 1, 2].map((i) => full.a.enter(`${i}`)), [true, true, false]);
  assertEquals(full.begun, ["a0"]);
});

test("who has gone takes no turn", () => {
  const { clock, begun, a } = makePace(1, 10);
  a.enter("gone", false);
  a.enter("1");
  for (const text of ["2", "3", "4"]) a.enter(text, text === "4");
  assertEquals(begun, ["a1"]);
  clock.move(1000);
  assertEquals(begun, ["a1", "a4"]);
});

test("those of a port that stops listening begin at once", () => {
  const { clock, begun, a, b, waiting } = makePace(1);
  for (const port of [a, b]) for (const text of ["1", "2"]) port.enter(text);
  a.flush();
  assertEquals([begun, waiting(), clock.timers], [["a1", "a2"], 2, 1]);
  b.flush();
  assertEquals([begun, waiting(), clock.timers], [["a1", "a2", "b1", "b2"], 0, 0]);
});

function pacedServer(settings: ServerSettings) {
  const server = new HttpServer("127.0.0.1", 0);
  const refusals: Refusal[] = [];
  server.set({ log_level: 6, ...settings });
  server.on("request", (_request, response) => void response.end("here"));
  server.on("refuse", (_server, refusal) => void refusals.push(refusal));
  return { server, refusals };
}

/** Resolves to the time of the response. */
async function answered(client: RawClient): Promise<number> {
  assertEquals((await client.readAnswer()).status, 200);
  return performance.now();
}

testLanes("accept_rate: what has connected waits for its turn, and is served then", async (runtime) => {
  const { server, refusals } = pacedServer({ accept_rate: 5 });
  await servingOn(runtime, server, async (_server, port) => {
    const begun = performance.now();
    const clients: RawClient[] = [];
    for (let i = 0; i < 4; i++) {
      const client = await RawClient.connect(port);
      client.send(GET);
      clients.push(client);
    }
    const times = await Promise.all(clients.map(answered));
    for (const [index, time] of times.entries()) assert(time - begun > index * 200 - 20, `${time - begun} ms`);
    clients[0].send(GET); // one that has begun never waits
    await answered(clients[0]);
    for (const client of clients) client.destroy();
  });
  assertEquals(refusals, []);
});

testLanes("accept_rate: above backlog, and above max_connection, connections are dropped", async (runtime) => {
  for (const [settings, setting] of [[{ backlog: 2 }, "accept_rate"], [{ max_connection: 3 }, "max_connection"]] as const) {
    const { server, refusals } = pacedServer({ accept_rate: 1, ...settings });
    await servingOn(runtime, server, async (server, port) => {
      const first = await RawClient.connect(port);
      first.send(GET);
      await answered(first);
      const others: RawClient[] = [];
      while (refusals.length === 0 && others.length < 8) {
        others.push(await RawClient.connect(port));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const { kind, status, ...rest } = refusals[0];
      assertEquals([kind, status, rest.setting, server.stats().accept_count <= 2], ["connection", 0, setting, true]);
      for (const client of [first, ...others]) client.destroy();
    });
  }
});

testLanes("accept_rate: a server that stops does not wait for those that wait", async (runtime) => {
  const { server } = pacedServer({ accept_rate: 1 });
  const clients: RawClient[] = [];
  await servingOn(runtime, server, async (_server, port) => {
    for (let i = 0; i < 5; i++) {
      clients.push(await RawClient.connect(port));
      clients[i].send(GET);
    }
    await answered(clients[0]);
    while (server.stats().waiting_connection_num < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    assert(server.metrics().includes("\nsluice_connections_waiting 4\n"));
    clients[0].destroy();
    server.shutdown();
    for (const client of clients.slice(1)) assertEquals((await client.readAll()).length, 0);
  });
});

testLanes("accept_rate: connections wait before TLS", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_TCP | SWOOLE_SSL);
  server.set({ ...tlsSettings, log_level: 6, websocket_close_timeout: 0.1, accept_rate: 4 });
  server.on("message", () => {});
  await servingOn(runtime, server, async (_server, port) => {
    const begun = performance.now();
    const connecting = [0, 1, 2].map(async () => {
      const client = await connectTls(port);
      return { client, at: performance.now() - begun };
    });
    const clients = (await Promise.all(connecting)).sort((a, b) => a.at - b.at);
    for (const [index, { at }] of clients.entries()) assert(at > index * 250 - 20, `${at} ms`);
    for (const { client } of clients) {
      client.send(handshake("/", { Origin: null }));
      assert((await client.readHead()).startsWith("HTTP/1.1 101"));
      client.destroy();
    }
  });
});

test("accept_rate: from 0, for no limit, to 1,000,000, for the whole server", async () => {
  for (const wrong of [-1, 1_000_001, 0.5]) {
    assertThrows(() => pacedServer({ accept_rate: wrong }), RangeError, "Cannot set accept_rate");
  }
  assertThrows(() => pacedServer({ accept_rate: "1" as never }), TypeError, "Cannot set accept_rate");
  const port = pacedServer({}).server.listen("127.0.0.1", 0);
  assertThrows(() => port.set({ accept_rate: 1 } as object), TypeError, "it holds for the whole server");
  for (const accept_rate of [0, 1_000_000]) {
    await serving(pacedServer({ accept_rate }).server, async (_server, port) => {
      const clients = await Promise.all(Array.from({ length: 50 }, () => RawClient.connect(port)));
      for (const client of clients) client.send(GET);
      await Promise.all(clients.map(answered));
      for (const client of clients) client.destroy();
    });
  }
});
