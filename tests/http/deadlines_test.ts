// When a connection of HTTP is given up, by a clock that the test sets.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { HttpResponse } from "../../mod.ts";
import { ConnectionTable } from "../../src/server/connection_table.ts";
import type { HttpHost } from "../../src/server/http/http_host.ts";
import type { HttpRequest } from "../../src/server/http/http_request.ts";
import type { Exchange } from "../../src/server/http/exchange.ts";
import { HttpSession } from "../../src/server/http/http_session.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { WIDE } from "../support/http_parsing.ts";
import { settle } from "../support/memory_client.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const START = 1_000_000;

/** One connection, at a time that can be set, and the requests that it brought. */
function connect(options: Partial<HttpHost> = {}) {
  let time = START;
  const lane = new FakeLane();
  const requests: { request: HttpRequest; response: HttpResponse }[] = [];
  const nothing = () => {};
  const host = {
    requestLimits: WIDE,
    requestOptions: { parsePost: true, parseCookie: true, maxParameters: 1000, maxBodySize: 1e9 },
    streamsBodies: false,
    headerTimeout: 10_000,
    bodyTimeout: 10_000,
    bodyMinRate: 1024,
    handlerTimeout: 0,
    handshakeTimeout: 10_000,
    allowsHalfOpen: false,
    keepAliveTimeout: 30_000,
    sendTimeout: 60_000,
    get now() {
      return time;
    },
    date: "",
    takesUpgrades: false,
    isSecure: false,
    makeResponse: (exchange: Exchange) => new HttpResponse(exchange),
    serveFile: nothing,
    onRequest: (request: HttpRequest, response: HttpResponse) => {
      requests.push({ request, response });
      response.detach(); // answered by the test
    },
    onAnswered: nothing,
    hasRoom: () => true,
    ...options,
  } as unknown as HttpHost;
  const table = new ConnectionTable(
    { maxConnections: 1, firstFd: 0, lingerTimeout: 5000, highWatermark: 1e9, lowWatermark: 0 },
    {
      makeProtocol: (connection) => new HttpSession(connection, host),
      onAccepted: nothing,
      onClosed: nothing,
      onBufferFull: nothing,
      onBufferEmpty: nothing,
      onFault(_connection, error) {
        throw error;
      },
    },
    () => time,
  );
  const connection = table.accept(laneOnly(lane))!;
  /** Sets the time, in seconds since the start, when what was written is on its way. */
  const at = async (seconds: number) => {
    await settle();
    time = START + 1000 * seconds;
    table.tick();
  };
  const state = () => lane.aborted ? "aborted" : lane.ended ? "ended" : connection.isOpen ? "open" : "closing";
  return { lane, at, state, requests, connection };
}

test("a client that takes nothing of an answer is dropped after http_send_timeout, and not before", async () => {
  const { lane, at, state, requests } = connect();
  lane.takes = false;
  lane.receive(GET);
  await at(20);
  requests[0].response.write("begun");
  await at(79);
  requests[0].response.write("more"); // that the program goes on is no progress
  assertEquals(state(), "open");
  await at(80);
  assertEquals(state(), "aborted");
});

test("a whole answer is no different, whichever of the two times is the shorter one", async () => {
  for (const [sendTimeout, keepAliveTimeout] of [[5000, 30_000], [30_000, 5000]]) {
    const { lane, at, state, requests } = connect({ sendTimeout, keepAliveTimeout });
    lane.takes = false;
    lane.receive(GET);
    requests[0].response.end("whole");
    await at(sendTimeout / 1000 - 1);
    assertEquals(state(), "open");
    await at(sendTimeout / 1000);
    assertEquals(state(), "aborted");
  }
});

test("what it takes gives it time again, and the keep-alive time begins when it has taken all", async () => {
  const { lane, at, state, requests } = connect();
  lane.takes = false;
  lane.receive(GET);
  requests[0].response.end(new Uint8Array(500 * 1024)); // handed to the lane in three pieces
  for (const time of [59, 118, 177]) {
    await at(time);
    assertEquals(state(), "open");
    lane.sink.onDrain();
  }
  await at(177 + 29);
  assertEquals(state(), "open");
  lane.takes = true;
  lane.receive(GET);
  assertEquals(requests.length, 2);
  requests[1].response.end();
  await at(206 + 29);
  assertEquals(state(), "open");
  await at(206 + 30);
  assertEquals(state(), "ended");
});

test("a program may take its time for an answer, as long as it wants", async () => {
  const { lane, at, state, requests } = connect();
  lane.receive(GET);
  for (const time of [60, 120, 3600, 86400]) await at(time);
  requests[0].response.write("begun");
  for (const time of [86460, 100_000, 200_000]) await at(time);
  requests[0].response.end();
  await settle();
  assertEquals([state(), lane.text.endsWith("5\r\nbegun\r\n0\r\n\r\n")], ["open", true]);
});

test("http_send_timeout 0 waits for ever, for the end of the connection too", async () => {
  const { lane, at, state, requests } = connect({ sendTimeout: 0 });
  lane.takes = false;
  lane.receive("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  requests[0].response.write("begun");
  await at(100_000);
  requests[0].response.end("done");
  await at(200_000);
  assertEquals(state(), "closing");
  lane.takes = true;
  lane.sink.onDrain();
  assertEquals(state(), "ended");
  await at(200_005);
  assertEquals(state(), "aborted");
});

test("http_keepalive_timeout 0 waits for ever for the next request, but not for the first, nor for the rest of one", async () => {
  const silent = connect({ keepAliveTimeout: 0 });
  await silent.at(10);
  assertEquals(silent.state(), "ended");
  const { lane, at, state, requests } = connect({ keepAliveTimeout: 0 });
  lane.receive(GET);
  requests[0].response.end();
  for (const time of [60, 120, 86400]) await at(time);
  assertEquals(state(), "open");
  lane.receive("G");
  await at(86409);
  assertEquals(state(), "open");
  await at(86410);
  assertEquals([state(), lane.text.includes("HTTP/1.1 408")], ["ended", true]);
});

test("the last answer: http_send_timeout while the client takes nothing, then the time for its end", async () => {
  const begin = async () => {
    const one = connect();
    one.lane.takes = false;
    one.lane.receive("GET / HTTP/1.0\r\n\r\n");
    one.requests[0].response.end(new Uint8Array(300 * 1024));
    await one.at(59);
    assertEquals(one.state(), "closing");
    return one;
  };
  const stuck = await begin();
  await stuck.at(60);
  assertEquals(stuck.state(), "aborted");
  const { lane, at, state } = await begin();
  lane.sink.onDrain();
  await at(118);
  assertEquals(state(), "closing");
  lane.takes = true;
  lane.sink.onDrain();
  assertEquals(state(), "ended");
  await at(118 + 4);
  assertEquals(state(), "ended");
  await at(118 + 5);
  assertEquals(state(), "aborted");
});

test("a body: the client may not take long, the program may", async () => {
  const { lane, at, state, requests } = connect({ streamsBodies: true });
  lane.receive(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n${"x".repeat(70_000)}`); // more than is held at a time
  assertEquals(lane.paused, true);
  for (const time of [10, 60, 600]) await at(time);
  assertEquals(state(), "open");
  const reader = requests[0].request.body.getReader();
  assertEquals((await reader.read()).value?.length, 70_000);
  assertEquals(lane.paused, false);
  await at(609);
  assertEquals(state(), "open");
  await at(610);
  assertEquals([state(), lane.text.startsWith("HTTP/1.1 408")], ["ended", true]);
});
