// When a connection of HTTP is given up, by a clock that the test sets.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { handshake } from "../support/raw_client.ts";
import { settle } from "../support/memory_client.ts";
import { timedConnection as connect } from "../support/timed_http.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

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

// ---- each of the new deadlines: just before it, and at it

const HALF_BODY = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf";

test("http_header_timeout counts from the first byte of the head, and is none of the body", async () => {
  for (const [headerTimeout, end] of [[3000, 8], [0, 0]]) {
    const { lane, at, state, requests } = connect({ headerTimeout, keepAliveTimeout: 30_000 });
    if (headerTimeout === 0) {
      for (const time of [60, 3600, 86400]) await at(time); // nobody has to ask for anything
      lane.receive("GET / HT");
      await at(200_000);
      assertEquals(state(), "open");
      continue;
    }
    await at(2);
    lane.receive(GET);
    requests[0].response.end();
    await at(5);
    lane.receive("G");
    await at(end - 0.1);
    lane.receive("E"); // that it goes on does not matter
    assertEquals(state(), "open");
    await at(end);
    assertEquals(state(), "ended");
  }
});

for (const streamsBodies of [false, true]) {
  const kind = streamsBodies ? "a body that is read as it arrives" : "a whole body";

  test(`http_body_timeout counts from the last bytes of ${kind}`, async () => {
    const { lane, at, state, requests } = connect({ streamsBodies, bodyTimeout: 5000, bodyMinRate: 0 });
    lane.receive(HALF_BODY);
    for (const time of [4.9, 9.8, 14.7]) {
      await at(time);
      lane.receive("x");
    }
    await at(19.6);
    assertEquals(state(), "open");
    await at(19.7);
    assertEquals([state(), lane.text.startsWith("HTTP/1.1 408")], ["ended", true]);
    assertEquals(requests.map(({ request }) => request.signal.aborted), streamsBodies ? [true] : []);
  });

  test(`http_body_min_rate: ${kind} that is slower runs out of its time, one that is as fast does not`, async () => {
    for (const [rate, bytes, lasts] of [[1000, 1000, true], [1000, 500, false], [0, 1, true]] as const) {
      const { lane, at, state, requests } = connect({ streamsBodies, bodyTimeout: 5000, bodyMinRate: rate });
      lane.receive(HALF_BODY);
      if (streamsBodies) requests[0].request.bytes().catch(() => {});
      let time = 0;
      // At half the rate it loses half a second in each.
      while (time < (lasts ? 60 : 8)) {
        await at(++time);
        assertEquals([time, state()], [time, "open"]);
        lane.receive("x".repeat(bytes));
      }
      await at(time + 1);
      assertEquals(state(), lasts ? "open" : "ended", `${rate}`);
    }
  });

  test(`http_body_timeout 0: ${kind} may take for ever`, async () => {
    const { lane, at, state } = connect({ streamsBodies, bodyTimeout: 0 });
    lane.receive(HALF_BODY);
    for (const time of [60, 3600, 86400]) await at(time);
    assertEquals(state(), "open");
  });
}

test("what is slow at first and then fast has no credit for later", async () => {
  const { lane, at, state } = connect({ bodyTimeout: 5000, bodyMinRate: 1000 });
  lane.receive(HALF_BODY);
  await at(1);
  lane.receive("x".repeat(50_000));
  await at(5.9);
  assertEquals(state(), "open");
  await at(6);
  assertEquals(state(), "ended");
});

test("deadlines that wait for the client stand still while the program has it wait (pause())", async () => {
  for (const begun of ["", "GET / HT", HALF_BODY]) {
    const { lane, at, state, connection } = connect();
    if (begun !== "") lane.receive(begun);
    connection.hold();
    for (const time of [9, 60, 3600]) await at(time);
    assertEquals(state(), "open", begun);
    connection.release();
    await at(3609.9);
    assertEquals(state(), "open", begun);
    await at(3610);
    assertEquals(state(), "ended", begun);
  }
});

test("http_handler_timeout: 503 before the response has begun, else the end; the signal tells", async () => {
  for (const begins of [false, true]) {
    const { lane, at, state, requests, warnings } = connect({ handlerTimeout: 20_000, handlerWaits: true });
    lane.receive(GET);
    const [{ request, response }] = requests;
    if (begins) response.write("begun");
    await at(19.9);
    assertEquals([state(), request.signal.aborted], ["open", false]);
    await at(20);
    assertEquals([request.signal.aborted, (request.signal.reason as Error).name], [true, "TimeoutError"]);
    assertEquals(warnings, ["GET: it takes longer than http_handler_timeout"]);
    assertEquals([response.end("late"), response.isWritable()], [false, false]);
    if (begins) assertEquals([state(), lane.text.endsWith("5\r\nbegun\r\n")], ["ended", true]);
    else {
      lane.receive(GET); // the connection goes on
      assertEquals([state(), lane.text.startsWith("HTTP/1.1 503 "), requests.length], ["open", true, 2]);
    }
  }
});

test("http_handler_timeout: a program that answers when the signal aborts has its own response", async () => {
  const { lane, at, state, requests } = connect({ handlerTimeout: 20_000, handlerWaits: true });
  lane.receive(GET);
  const [{ request, response }] = requests;
  request.signal.addEventListener("abort", () => response.end("in time"));
  await at(20);
  assertEquals([state(), lane.text.endsWith("in time")], ["open", true]);
});

test("http_handler_timeout is none of what detach() has left for later, and 0 is for ever", async () => {
  for (const options of [{ handlerTimeout: 20_000 }, { handlerTimeout: 0, handlerWaits: true }]) {
    const { lane, at, state, requests } = connect(options);
    lane.receive(GET);
    for (const time of [20, 60, 3600, 86400]) await at(time);
    assertEquals([state(), requests[0].request.signal.aborted], ["open", false]);
  }
});

test("websocket_handshake_timeout: 503 and the end, with what the program does for it", async () => {
  for (const handshakeTimeout of [4000, 0]) {
    const { lane, at, state, requests, warnings } = connect({ takesUpgrades: true, handshakeTimeout });
    lane.receive(handshake());
    await at(3.9);
    assertEquals([state(), requests[0].request.signal.aborted], ["open", false]);
    await at(handshakeTimeout === 0 ? 86400 : 4);
    assertEquals(state(), handshakeTimeout === 0 ? "open" : "ended");
    assertEquals(requests[0].request.signal.aborted, handshakeTimeout > 0);
    assertEquals([lane.text.startsWith("HTTP/1.1 503 "), warnings.length], handshakeTimeout > 0 ? [true, 1] : [false, 0]);
  }
});

test("a client that sends more behind a pending request than is read ahead is read again after http_body_timeout, and is noticed", async () => {
  const { lane, at, state, requests } = connect();
  lane.receive(GET);
  const { signal } = requests[0].request;
  while (!lane.paused) lane.receive(GET.repeat(100));
  await at(9);
  assertEquals([lane.paused, signal.aborted], [true, false]);
  await at(10);
  assertEquals([lane.paused, state()], [false, "open"]);
  lane.receive(GET); // goes where the others have gone
  assertEquals(requests.length, 1);
  lane.sink.onEnd();
  assertEquals([signal.aborted, state()], [true, "ended"]);
});

test("the response that was pending then is sent, says that the connection closes, and is the last one", async () => {
  for (const hasBegun of [false, true]) {
    const { lane, at, state, requests } = connect();
    lane.receive(GET);
    if (hasBegun) requests[0].response.write("begun ");
    while (!lane.paused) lane.receive(GET.repeat(100));
    await at(10);
    await at(500); // without a limit for the handler, it takes its time
    requests[0].response.end("done");
    await at(501);
    assertEquals([requests.length, state()], [1, "ended"]);
    assertEquals([/^Connection: close\r$/m.test(lane.text), lane.text.includes("done")], [!hasBegun, true]);
  }
});

test("a client that goes is noticed behind the second slow response, too", async () => {
  const { lane, at, requests, state } = connect();
  lane.receive(GET);
  while (!lane.paused) lane.receive(GET.repeat(100));
  await at(5);
  requests[0].response.end("first");
  await settle();
  assertEquals([requests.length, lane.paused], [2, true]);
  await at(14);
  assertEquals(lane.paused, true);
  await at(16);
  assertEquals(lane.paused, false);
  lane.sink.onEnd();
  assertEquals([requests[1].request.signal.aborted, state()], [true, "ended"]);
});
