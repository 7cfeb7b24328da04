// The HTTP of one connection in each of its states: what its end is told to be, what it holds, what memory that is scarce, a stop and
// an error of the program do to it. The clock is set by the test.

import { assert, assertEquals, assertFalse, assertRejects } from "@std/assert";
import { test } from "node:test";
import type { HttpContext } from "../../src/server/http/http_context.ts";
import type { Exchange } from "../../src/server/http/exchange.ts";
import { writerOf } from "../../src/http/base_response.ts";
import type { Protocol } from "../../src/transport/connection.ts";
import { TimeoutError } from "../../src/transport/connection_end.ts";
import { settle, until } from "../support/activity.ts";
import { handshake } from "../support/raw_client.ts";
import { type TimedConnection, timedConnection, type TimedOptions, type TimedParts } from "../support/timed_http.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HALF_HEAD = "GET / HT";
const HALF_BODY = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf";

/** How a connection ended: whether by the server, in order, the reason, and the setting of a timeout or another error. */
function told({ end }: TimedConnection): unknown[] {
  const { byServer, isOrderly, reason, error } = end()!;
  return [byServer, isOrderly, reason, error instanceof TimeoutError ? error.setting : error];
}

/** The status of the last response. */
function lastStatus({ lane }: TimedConnection): number {
  return Number(/^.*HTTP\/1.1 (\d+)/s.exec(lane.text)?.[1]);
}

/** A connection to which something was sent. */
function after(sent: string, options?: TimedOptions): TimedConnection {
  const one = timedConnection(options);
  if (sent !== "") one.lane.receive(sent);
  return one;
}

/** Sends requests until no more are read ahead. */
function flood({ lane }: TimedConnection): void {
  for (let i = 0; i < 100 && !lane.paused; i++) lane.receive(GET.repeat(100));
  assert(lane.paused);
}

/** A connection with one complete response. */
function idle(): TimedConnection {
  const one = after(GET);
  one.requests[0].response.end();
  return one;
}

/** A connection whose response the client does not take. */
function draining(options?: TimedOptions): TimedConnection {
  const one = timedConnection({ highWatermark: 1000, ...options });
  one.lane.takes = false;
  one.lane.receive(GET);
  one.requests[0].response.end(new Uint8Array(100_000));
  return one;
}

// ---- ends by time ---------------------------------------------------------------------------------------------------------

test("each end by time is told with its reason and its setting", async () => {
  const first = after("");
  await first.at(10);
  assertEquals(told(first), [false, true, "", "http_header_timeout"]);

  const kept = idle();
  await kept.at(30);
  assertEquals(told(kept), [false, true, "the connection was idle", undefined]);
  assertEquals([first.refusals, kept.refusals], [[], []]);

  const head = after(HALF_HEAD);
  await head.at(10);
  assertEquals(told(head), [false, false, "the request took too long", "http_header_timeout"]);
  assertEquals([head.refusals, lastStatus(head)], [[["request", 408, "the request took too long"]], 408]);

  const body = after(HALF_BODY);
  await body.at(20);
  assertEquals(told(body), [false, false, "the body took too long", "http_body_timeout"]);
  assertEquals([body.refusals, lastStatus(body)], [[["request", 408, "the body took too long"]], 408]);

  const slow = after(GET);
  slow.lane.takes = false;
  slow.requests[0].response.write("begun");
  await slow.at(60);
  assertEquals(told(slow), [false, false, "", "http_send_timeout"]);
});

test("a body that does not arrive in time: its reader is told, and the client, unless the response has begun", async () => {
  for (const begins of [false, true]) {
    const one = after(HALF_BODY, { streamsBodies: true });
    const [{ request, response }] = one.requests;
    const bytes = request.bytes();
    if (begins) response.write("begun");
    await one.at(20);
    await assertRejects(() => bytes, Error, "it takes too long to arrive");
    assertEquals(told(one), [true, false, "the body took too long", "http_body_timeout"]);
    assertEquals(one.refusals, [["request", 408, "the body took too long"]]);
    assertEquals([one.state(), lastStatus(one)], ["ended", begins ? 200 : 408]);
  }
});

test("http_header_timeout begins with the first byte of each head, http_keepalive_timeout with each response", async () => {
  const one = idle();
  await one.at(29);
  one.lane.receive("G");
  await one.at(38.9);
  one.lane.receive(GET.slice(1));
  one.requests[1].response.end();
  await one.at(68.8);
  assertEquals([one.state(), one.requests.length], ["open", 2]);
  await one.at(68.9);
  assertEquals(told(one), [false, true, "the connection was idle", undefined]);
});

test("the end by http_header_timeout leaves the client its time to end as well", async () => {
  const one = after("");
  await one.at(10);
  assertEquals(one.state(), "ended");
  await one.at(14.9);
  assertEquals(one.state(), "ended");
  await one.at(15);
  assertEquals(one.state(), "aborted");
});

test("http_send_timeout: a millisecond is one, and 0 is none when something else is due", async () => {
  for (const [sendTimeout, setting] of [[1, "http_send_timeout"], [0, "http_handler_timeout"]] as const) {
    const one = after("", { sendTimeout, handlerTimeout: 5000, handlerWaits: true });
    one.lane.takes = false;
    one.lane.receive(GET);
    one.requests[0].response.write("begun");
    await one.at(0.001);
    assertEquals(one.state(), sendTimeout === 1 ? "aborted" : "open");
    await one.at(5);
    assertEquals(told(one)[3], setting);
  }
});

test("after a pause of the program each state has its own time again", async () => {
  const times = { headerTimeout: 4000, bodyTimeout: 8000, keepAliveTimeout: 16_000, bodyMinRate: 0 };
  for (
    const [one, seconds] of [
      [after("", times), 4],
      [after(HALF_HEAD, times), 4],
      [after(HALF_BODY, times), 8],
      [after(HALF_BODY, { ...times, streamsBodies: true }), 8],
      [after(GET, { ...times, handler: ({ response }) => void response.end() }), 16],
    ] as const
  ) {
    await settle(); // the response is on its way
    one.connection.hold();
    await one.at(100);
    one.connection.release();
    await one.at(100 + seconds - 0.1);
    assertEquals(one.state(), "open", `${seconds}`);
    await one.at(100 + seconds);
    assertEquals(one.state(), "ended", `${seconds}`);
  }
});

// ---- requests that are read ahead -------------------------------------------------------------------------------------------

test("a client that sends too much behind a pending request has http_body_timeout from when it is paused", async () => {
  // The time that its head and its body had does not count, whatever else is due meanwhile, and what was on its way adds none.
  const slowHead = after("G");
  await slowHead.at(8);
  slowHead.lane.receive(GET.slice(1));
  const slowBody = after("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na", { streamsBodies: true, sendTimeout: 3000 });
  await slowBody.at(8);
  slowBody.lane.receive("b");
  for (const one of [slowHead, slowBody]) {
    await one.at(12);
    flood(one);
    await one.at(17);
    one.lane.receive(GET);
    await one.at(21.9);
    assertEquals(one.lane.paused, true);
    await one.at(22);
    assertEquals([one.lane.paused, one.state(), one.requests.length], [false, "open", 1]);
  }
});

test("the program that reads the body of its request meanwhile adds no time", async () => {
  const size = 70_010;
  const one = after(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n${"x".repeat(size - 10)}`, {
    streamsBodies: true,
  });
  assertEquals(one.lane.paused, true); // more than is held at a time
  one.lane.receive("x".repeat(10)); // was on its way
  assertEquals(one.lane.paused, false); // the request is complete: a client that goes is noticed
  flood(one);
  await one.at(5);
  assertEquals((await one.requests[0].request.bytes()).length, size);
  await one.at(9.9);
  assertEquals(one.lane.paused, true);
  await one.at(10);
  assertEquals(one.lane.paused, false);
});

test("requests read ahead wait while the output of the pending response drains", async () => {
  const one = timedConnection({ highWatermark: 1000 });
  one.lane.takes = false;
  one.lane.receive(GET + GET);
  one.requests[0].response.write(new Uint8Array(100_000));
  one.lane.takes = true;
  one.lane.sink.onDrain();
  await settle();
  assertEquals(one.requests.length, 1);
  one.requests[0].response.end();
  assertEquals(one.requests.length, 2);
});

test("requests that arrive while others have their turn are handled behind those that wait", async () => {
  const paths: unknown[] = [];
  const get = (path: number) => `GET /${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const one = after(Array.from({ length: 1000 }, (_, i) => get(i)).join(""), {
    handler: ({ request, response }) => {
      paths.push(request.server.request_uri);
      response.end();
    },
  });
  for (let i = 1000; i < 1010; i++) one.lane.receive(get(i));
  assert(paths.length < 1000);
  await until("all are handled", () => paths.length === 1010);
  assertEquals(paths, Array.from({ length: 1010 }, (_, i) => `/${i}`));
});

// ---- bodies that are read while they arrive ---------------------------------------------------------------------------------

const CHUNKED = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

test("a body that is malformed from its beginning: the handler is not called", () => {
  const one = after(`${CHUNKED}no\r\n`, { streamsBodies: true });
  assertEquals([one.requests.length, lastStatus(one), one.refusals.length], [0, 400, 1]);
  assertEquals(told(one).slice(0, 2), [false, false]);
});

test("a body that is malformed further on: its reader is told, and the connection closes", async () => {
  const one = after(`${CHUNKED}1\r\na\r\n`, { streamsBodies: true });
  const bytes = one.requests[0].request.bytes();
  one.lane.receive("no\r\n");
  await assertRejects(() => bytes, Error, "the chunked body is malformed");
  assertEquals([lastStatus(one), one.refusals], [400, [["request", 400, "the chunked body is malformed"]]]);
  assertEquals(told(one), [false, false, "the chunked body is malformed", undefined]);
});

test("a short body that comes with its head is there when the handler is called", () => {
  let isThere: boolean | undefined;
  const handler = ({ request, response }: TimedParts) => {
    isThere = request.isCompleted();
    response.detach();
  };
  const post = (body: string) => `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n${body}`;
  for (const body of ["some", "so"]) {
    after(post(body), { streamsBodies: true, handler });
    assertEquals(isThere, body.length === 4);
  }
  const next = after(post("some") + GET, { streamsBodies: true }); // does not belong to it
  next.requests[0].response.end();
  assertEquals(next.requests.length, 2);
});

// ---- ends by the client ---------------------------------------------------------------------------------------------------

test("a client that ends its side: in order only where nothing was cut off", () => {
  for (
    const [one, isOrderly] of [
      [after(""), true],
      [idle(), true],
      [after(HALF_HEAD), false],
      [after(HALF_BODY), false],
      [after(HALF_BODY, { streamsBodies: true }), false],
      [after(GET), false],
      [draining(), true],
    ] as const
  ) {
    one.lane.sink.onEnd();
    assertEquals(told(one), [false, isOrderly, "", undefined]);
  }
  const behind = draining();
  behind.lane.receive(GET);
  behind.lane.sink.onEnd();
  assertEquals(told(behind), [false, false, "", undefined]); // a request was not handled
});

test("http_allow_half_open: the responses that are pending are sent, to requests that were read ahead as well", async () => {
  const options = { allowsHalfOpen: true };
  const one = after(GET + GET, options);
  one.lane.sink.onEnd();
  one.requests[0].response.end("first");
  assertEquals([one.state(), one.requests.length], ["open", 2]);
  one.requests[1].response.end("second");
  assertEquals([one.state(), one.lane.text.endsWith("second")], ["ended", true]);
  assertEquals(told(one), [false, true, "", undefined]);

  const slow = draining(options);
  slow.lane.receive(GET);
  slow.lane.sink.onEnd();
  assertEquals([slow.state(), slow.requests.length], ["open", 1]);
  slow.lane.takes = true;
  slow.lane.sink.onDrain();
  await settle();
  assertEquals([slow.state(), slow.requests.length], ["open", 2]);
  slow.requests[1].response.end();
  await settle();
  assertEquals(slow.state(), "ended");

  const last = draining(options); // nothing more is pending when the client has taken it
  last.lane.sink.onEnd();
  assertEquals(last.state(), "open");
  last.lane.takes = true;
  last.lane.sink.onDrain();
  await settle();
  assertEquals(last.state(), "ended");

  const many = after(GET.repeat(1000), { ...options, handler: ({ response }) => void response.end() });
  assert(many.requests.length < 1000); // the others wait for a later turn
  many.lane.sink.onEnd();
  assertEquals(many.state(), "open");
  await until("the connection ends", () => many.state() === "ended");
  assertEquals(many.requests.length, 1000);

  for (const sent of ["", HALF_HEAD, HALF_BODY]) {
    const cut = after(sent, options);
    cut.lane.sink.onEnd();
    assertEquals(cut.state(), "ended", sent);
  }
});

// ---- pending responses ----------------------------------------------------------------------------------------------------

test("a client that does not take its response: the next request waits until it has", async () => {
  const one = draining();
  one.lane.receive(GET);
  assertEquals([one.requests.length, one.session.isAnswering], [1, false]);
  one.lane.takes = true;
  one.lane.sink.onDrain();
  await settle();
  assertEquals([one.requests.length, one.session.isAnswering], [2, true]);
});

test("a response is pending from the request on until it is complete, and counts then", () => {
  let count = 0;
  const one = after("", { onAnswered: () => void count++, handlerWaits: true });
  assertFalse(one.session.isAnswering);
  one.lane.receive(GET);
  assertEquals([one.session.isAnswering, one.session.detached, count], [true, undefined, 0]);
  const [{ response }] = one.requests;
  response.detach();
  assertEquals(one.session.detached, response);
  response.end();
  assertEquals([one.session.isAnswering, one.session.detached, count], [false, undefined, 1]);
});

test("a file that gives the response back behind the handler: 500", async () => {
  const one = after(GET, { handler: ({ response }) => void response.sendfile("/no/such/file") });
  assertEquals([one.state(), one.lane.text, one.warnings], ["open", "", []]);
  await until("the response is completed", () => one.lane.text !== "");
  assertEquals([one.state(), lastStatus(one)], ["open", 500]);
  assertEquals(one.warnings, ["GET: the handler has returned without a response"]);
});

// ---- handshakes -----------------------------------------------------------------------------------------------------------

test("a handshake: its status while it is pending, and when it was refused", async () => {
  const one = after("", { takesUpgrades: true });
  assertEquals([one.session.status, one.session.isPlainHttp], [0, true]);
  one.lane.receive(handshake());
  assertEquals([one.session.status, one.session.isPlainHttp], [1, false]);
  const [{ response }] = one.requests;
  response.status(403);
  response.end();
  assertEquals([one.session.status, one.session.isPlainHttp], [5, false]);
  await settle();
  assertEquals([one.state(), lastStatus(one)], ["ended", 403]);
  const plain = idle();
  assertEquals([plain.session.status, plain.session.isPlainHttp], [0, true]);
});

test("a handshake that is refused before the program sees it: 503, and the connection closes with the reason", () => {
  const denial = { reason: "too many handshakes", retryAfter: 7, setting: "max_handshake_rate" };
  const one = after(handshake(), {
    takesUpgrades: true,
    refuseHandshake: () => denial as ReturnType<HttpContext["refuseHandshake"]>,
  });
  assertEquals([one.requests.length, lastStatus(one), /^Retry-After: 7\r$/m.test(one.lane.text)], [0, 503, true]);
  assertEquals(told(one), [true, true, "too many handshakes", undefined]);
});

/** A protocol that follows a handshake. */
class Switched implements Protocol {
  received = "";
  receive(chunk: Uint8Array, at: number): void {
    for (const byte of chunk.subarray(at)) this.received += String.fromCharCode(byte);
  }
  receiveEnd(): void {}
  onDeadline(): void {}
  onFault(): void {}
  onClosed(): void {}
}

test("what comes with a handshake goes to the protocol that follows, also if the handshake waited for a response", async () => {
  for (const waits of [false, true]) {
    const next = new Switched();
    const one = after((waits ? GET : "") + handshake() + "frames", { makeSwitched: () => next });
    if (waits) {
      await settle();
      assertEquals([one.requests.length, next.received], [1, ""]);
      one.requests[0].response.end();
    }
    assertEquals(one.connection.protocol, next);
    one.connection.deadline = 7;
    await settle();
    assertEquals([next.received, lastStatus(one), one.session.isAnswering], ["frames", 101, false]);
    one.lane.receive(" and more");
    assertEquals([next.received, one.connection.deadline], ["frames and more", 7]);
  }
});

test("a client that has sent more than is read ahead behind its handshake is read again", async () => {
  const next = new Switched();
  const one = after("", { takesUpgrades: true, makeSwitched: () => next });
  one.lane.receive(handshake() + "x".repeat(70_000));
  assertEquals(one.lane.paused, true);
  writerOf(one.requests[0].response).switchProtocols([]);
  assertEquals(one.lane.paused, false);
  await settle();
  assertEquals(next.received.length, 70_000);
});

test("a connection that ends in the turn of its handshake passes nothing on", async () => {
  const next = new Switched();
  const one = after(handshake() + "frames", { makeSwitched: () => next });
  one.lane.sink.onClose();
  await settle();
  assertEquals(next.received, "");
});

// ---- memory ---------------------------------------------------------------------------------------------------------------

test("what is held: heads and bodies that arrive, requests that are read ahead, and which of them wait for the client", () => {
  const held = (one: TimedConnection) => [one.session.heldBytes, one.session.unfinishedBytes];
  assertEquals(held(after("")), [0, 0]);

  const [ofHead, ofHeadToo] = held(after(HALF_HEAD));
  assert(ofHead >= HALF_HEAD.length && ofHead === ofHeadToo);

  const [ofBody, ofBodyToo] = held(after(HALF_BODY + "x".repeat(5000)));
  assert(ofBody >= 5000 && ofBody === ofBodyToo);

  const upload = after(HALF_BODY + "x".repeat(5000), { streamsBodies: true });
  const [ofUpload, ofUploadToo] = held(upload);
  assert(ofUpload >= 5000 && ofUpload === ofUploadToo);

  const pending = after(GET);
  const [ofHandling] = held(pending);
  assertEquals(held(pending), [ofHandling, 0]);
  assert(ofHandling > 0);
  pending.lane.receive("x".repeat(5000));
  assertEquals(held(pending), [ofHandling + 5000, 5000]);

  const slow = draining();
  assertEquals(held(slow), [0, 0]);
  slow.lane.receive("x".repeat(5000));
  assertEquals(held(slow), [5000, 5000]);

  const upgrading = after(handshake() + "x".repeat(5000), { takesUpgrades: true });
  const [ofHandshake, ofHandshakeToo] = held(upgrading);
  assert(ofHandshake >= 5000);
  assertEquals(ofHandshakeToo, 0); // the program is to respond, not the client to send

  for (const one of [pending, after(HALF_HEAD), after(HALF_BODY), upload]) {
    one.lane.sink.onClose();
    assertEquals(held(one), [0, 0]);
  }
  assertEquals(held(after(`BAD\r\n\r\n${"x".repeat(5000)}`)), [0, 0]); // nothing more is read
});

const SCARCE = "the server is short of memory";

test("memory is scarce: what has not arrived is refused with 408", () => {
  for (const sent of ["", HALF_HEAD, HALF_BODY]) {
    const one = after(sent);
    assertEquals(one.session.shed(), true);
    assertEquals([lastStatus(one), one.refusals], [408, [["request", 408, SCARCE]]]);
    assertEquals(told(one), [false, sent === "", SCARCE, undefined]);
  }
});

test("memory is scarce: a body that is read while it arrives is cut off", async () => {
  const one = after(HALF_BODY, { streamsBodies: true });
  const bytes = one.requests[0].request.bytes();
  assertEquals(one.session.shed(), true);
  await assertRejects(() => bytes, Error, SCARCE);
  assertEquals([lastStatus(one), one.refusals], [408, [["request", 408, SCARCE]]]);
  assertEquals(told(one), [true, false, SCARCE, undefined]);
});

test("memory is scarce: a response that is pending is sent, and what the client has sent behind its request is dropped", () => {
  const one = after(GET + GET);
  assertEquals(one.session.shed(), true);
  assertEquals([one.refusals, one.session.heldBytes > 0, one.session.unfinishedBytes], [[["request", 0, SCARCE]], true, 0]);
  one.lane.receive(GET); // goes the same way
  assertEquals(one.session.unfinishedBytes, 0);
  one.requests[0].response.end("last");
  assertEquals([one.requests.length, one.state(), lastStatus(one)], [1, "ended", 200]);
  assert(/^Connection: close\r$/m.test(one.lane.text));
});

test("memory is scarce: a connection whose client does not take its responses ends, and is no refusal", () => {
  const one = draining();
  one.lane.receive(GET);
  assertEquals(one.session.shed(), false);
  assertEquals([one.refusals, one.requests.length], [[], 1]);
  assertEquals(told(one), [true, false, SCARCE, undefined]);
});

test("memory is scarce: a request that arrives is refused with 503, and may be sent again", () => {
  const one = after(GET, { isShortOfMemory: true });
  assertEquals([one.requests.length, one.refusals], [0, [["request", 503, SCARCE]]]);
  assertEquals([lastStatus(one), /^Retry-After: 5\r$/m.test(one.lane.text)], [503, true]);
  const malformed = after("BAD\r\n\r\n");
  assertEquals([lastStatus(malformed), malformed.lane.text.includes("Retry-After")], [400, false]);
});

// ---- the program, and the end of the server ---------------------------------------------------------------------------------

test("the server stops: at once where nothing is pending, otherwise behind the response", () => {
  const none = idle();
  none.session.close();
  assertEquals(told(none), [true, true, "the server stops", undefined]);

  const one = after(GET + GET);
  one.session.close();
  assertEquals(one.state(), "open");
  one.requests[0].response.end("last");
  assertEquals([one.requests.length, lastStatus(one), /^Connection: close\r$/m.test(one.lane.text)], [1, 200, true]);
  assertEquals([one.end()?.byServer, one.end()?.reason], [true, "the server stops"]);
});

test("a program that closes its connection is the side that has ended it", () => {
  for (const begins of [false, true]) {
    const one = after(GET);
    const [{ response }] = one.requests;
    if (begins) response.write("begun");
    assertEquals([response.close(), response.close()], [true, false]);
    assertEquals(told(one), [true, false, "", undefined]);
  }
});

test("an error of the program: 500 before the response has begun, else the end, which is told with the error", async () => {
  const error = new Error("mine");
  for (const begins of [false, true]) {
    const one = after(GET);
    if (begins) one.requests[0].response.write("begun");
    await settle();
    one.session.onFault(error);
    assertEquals([lastStatus(one), one.state()], [begins ? 200 : 500, "ended"]);
    assertEquals(told(one), [true, !begins, "", error]);
  }
  const none = idle();
  none.session.onFault(error);
  assertEquals(told(none), [true, true, "", error]);
});

test("an error of the program in an earlier exchange: the pending response is sent, and the connection closes", () => {
  const error = new Error("mine");
  const exchanges: Exchange[] = [];
  const one = after(GET + GET, { serveFile: (exchange) => (exchanges.push(exchange), undefined) });
  one.requests[0].response.end();
  assertEquals([one.session.describe(), one.session.describe(exchanges[0])], ['GET "/"', 'GET "/"']);
  one.session.onFault(error, exchanges[0]);
  assertEquals(one.state(), "open");
  one.requests[1].response.end("second");
  assertEquals([lastStatus(one), one.lane.text.endsWith("second")], [200, true]);
  assertEquals(told(one), [true, true, "", error]);
});

test("the work of the program is told by its request", () => {
  assertEquals(after("").session.describe(), "HTTP");
  const exchanges: Exchange[] = [];
  const serveFile = (exchange: Exchange) => (exchanges.push(exchange), undefined);
  const one = after("GET /a HTTP/1.1\r\nHost: x\r\n\r\nPUT /b HTTP/1.1\r\nHost: x\r\n\r\n", { serveFile });
  one.requests[0].response.end();
  assertEquals([one.session.describe(exchanges[0]), one.session.describe(), one.session.describe(new Error())], [
    'GET "/a"',
    'PUT "/b"',
    'PUT "/b"',
  ]);
});
