// One request with its response: what it holds, who is told of its end, and that nothing of it reaches the next one.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { fromFetch, type HttpRequest, type HttpResponse, HttpServer, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { acceptLane as acceptCoroutineLane, serverWith } from "../coroutine/stage.ts";
import { settle, until } from "../support/activity.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { handshake } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";

const MIB = 1024 * 1024;
const get = (path: string, version = "1.1") => `GET ${path} HTTP/${version}\r\nHost: x\r\n\r\n`;

/** A server whose one connection is a lane that does what the test says. */
function serve(
  handler: (request: HttpRequest, response: HttpResponse) => unknown,
  settings: ServerSettings = {},
  canReset = true,
) {
  const server = new HttpServer();
  const errors: unknown[] = [];
  server.set({ log_file: "/dev/null", ...settings });
  server.on("request", handler);
  server.on("error", (_server, error) => void errors.push(error));
  const lane = Object.assign(new FakeLane(), { canReset });
  server.accept(laneOnly(lane));
  return { server, lane, errors };
}

test("close(), end() and write() of an earlier response do not touch the next one", async () => {
  const responses: HttpResponse[] = [];
  const { lane } = serve((_request, response) => {
    responses.push(response);
    if (responses.length === 1) response.end("first");
    else response.detach();
  });
  lane.receive(get("/1") + get("/2"));
  const [first, second] = responses;
  assertEquals([first.close(), first.end("x"), first.write("x"), await first.drained()], [false, false, false, true]);
  assert(second.isWritable());
  second.end("second");
  await settle();
  assertEquals([lane.ended, lane.aborted, lane.text.split("\r\n\r\n").length - 1], [false, false, 2]);
  assert(lane.text.endsWith("second"));
});

test("while a response is pending 64 KiB are read ahead, as a copy, then the client waits; nothing is lost", async () => {
  const bodies: string[] = [];
  const { promise, resolve } = signal();
  const { lane } = serve(async (request, response) => {
    bodies.push(request.getContent());
    if (bodies.length === 1) await promise;
    response.end();
  });
  lane.receive(get("/"));
  const post = (i: number) => `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n${String(i).padEnd(1000)}`;
  const one = post(0).length;
  let sent = 0;
  for (; !lane.paused; sent++) lane.receive(post(sent));
  assertEquals(sent, Math.ceil(64 * 1024 / one));
  lane.receive(post(sent++)); // it was on its way
  assertEquals(bodies, [""]);
  resolve();
  await settle();
  assertEquals([lane.paused, bodies.length, lane.text.split("HTTP/1.1 200 OK").length - 1], [false, 1 + sent, 1 + sent]);
  assertEquals(bodies.slice(1).map(Number), Array.from({ length: sent }, (_, i) => i));
});

test("the signal is the same every time, aborts once with the client, and stays quiet behind a complete response", () => {
  const requests: HttpRequest[] = [];
  const { lane } = serve((request, response) => {
    requests.push(request);
    if (requests.length < 3) response.end();
    else response.detach();
  });
  lane.receive(get("/1") + get("/2") + get("/3"));
  const early = requests[0].signal;
  const last = requests[2].signal;
  assertStrictEquals(last, requests[2].signal);
  let aborts = 0;
  last.addEventListener("abort", () => aborts++);
  lane.sink.onEnd();
  lane.sink.onClose();
  assertEquals([early.aborted, requests[1].signal.aborted, last.aborted, aborts], [false, false, true, 1]);
  assertEquals((last.reason as Error).name, "AbortError");
});

test("a signal that is first asked for when the client has gone is aborted", () => {
  let late: HttpRequest | undefined;
  const { lane } = serve((request, response) => {
    late = request;
    response.detach();
  });
  lane.receive(get("/"));
  lane.sink.onEnd();
  assert(late!.signal.aborted);
});

test("close() closes once, and nothing when the client has gone", () => {
  for (const isGone of [false, true]) {
    let response: HttpResponse | undefined;
    const { lane } = serve((_request, it) => {
      response = it;
      it.detach();
    });
    lane.receive(get("/"));
    if (isGone) lane.sink.onClose();
    assertEquals([response!.close(), response!.close()], [!isGone, false]);
  }
});

test("a request of nobody has a signal that never aborts", async () => {
  const { HttpRequest } = await import("../../mod.ts");
  const request = HttpRequest.create();
  assertStrictEquals(request.signal, request.signal);
  assertEquals(request.signal.aborted, false);
});

for (const isAskedEarly of [true, false]) {
  test(`behind an upgrade the signal aborts when the WebSocket ends, asked for ${isAskedEarly ? "before" : "behind"} it`, () => {
    const server = new WebSocketServer();
    let signal: AbortSignal | undefined;
    let request: HttpRequest | undefined;
    const order: string[] = [];
    server.on("message", () => {});
    server.on("beforeHandshakeResponse", (request) => void (isAskedEarly && (signal = request.signal)));
    server.on("open", (_server, it) => void (request = it));
    server.on("close", () => void order.push(`close ${signal!.aborted}`));
    const lane = new FakeLane();
    server.accept(laneOnly(lane));
    lane.receive(handshake());
    assertEquals(signal !== undefined, isAskedEarly);
    signal ??= request!.signal;
    assertStrictEquals(signal, request!.signal);
    assertEquals(signal.aborted, false);
    lane.sink.onClose();
    assertEquals([signal.aborted, order], [true, ["close true"]]);
  });
}

test("a signal that is first asked for when the WebSocket has ended is aborted", () => {
  const server = new WebSocketServer();
  let request: HttpRequest | undefined;
  server.on("message", () => {});
  server.on("open", (_server, it) => void (request = it));
  const lane = new FakeLane();
  server.accept(laneOnly(lane));
  lane.receive(handshake());
  lane.sink.onClose();
  assert(request!.signal.aborted);
});

test("a stream that a fetch application returns when its client has gone is cancelled", async () => {
  const { promise, resolve } = signal();
  const reasons: unknown[] = [];
  const { lane, errors } = serve(fromFetch(async () => {
    await promise;
    return new Response(new ReadableStream({ cancel: (reason) => void reasons.push(reason) }));
  }));
  lane.receive(get("/"));
  await settle();
  lane.sink.onEnd();
  lane.sink.onClose();
  resolve();
  await until("the stream is cancelled", () => reasons.length > 0);
  assertEquals([(reasons[0] as Error).name, errors], ["AbortError", []]);
});

test("a text that is not ASCII goes out as UTF-8, with the length of that", async () => {
  for (const text of ["é", "a".repeat(63) + "é", "a".repeat(64) + "€", "😀".repeat(1000), "é".repeat(40_000)]) {
    const { lane } = serve((_request, response) => response.end(text));
    lane.receive(get("/"));
    await settle();
    const bytes = Uint8Array.from(lane.text.slice(lane.text.indexOf("\r\n\r\n") + 4), (character) => character.charCodeAt(0));
    assertEquals(new TextDecoder().decode(bytes), text);
    assert(lane.text.includes(`Content-Length: ${bytes.length}\r\n`));
  }
});

test("a client that waits for 100 gets it once, and not when its response has begun", async () => {
  const head = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
  for (const isBegun of [false, true]) {
    const { lane } = serve(async (request, response) => {
      if (isBegun) response.write("a");
      response.end(await request.text());
    }, { http_stream_body: true });
    const count = () => lane.text.split("HTTP/1.1 100 Continue\r\n\r\n").length - 1;
    lane.receive(head);
    await settle();
    assertEquals(count(), isBegun ? 0 : 1);
    for (const letter of "xyz") {
      lane.receive(letter);
      await settle();
    }
    assertEquals([count(), lane.text.includes("xyz")], [isBegun ? 0 : 1, true]);
  }
});

test("clones of a fetch-style request and requests made of it have a signal that aborts too", async () => {
  const signals: AbortSignal[] = [];
  const { lane } = serve(fromFetch((request) => {
    signals.push(
      request.signal,
      request.clone().signal,
      new Request(request).signal,
      new Request(request, { method: "POST" }).signal,
    );
    return new Promise<Response>(() => {});
  }));
  lane.receive(get("/"));
  await until("the application is called", () => signals.length > 0);
  assertEquals(signals.map(({ aborted }) => aborted), [false, false, false, false]);
  lane.sink.onEnd();
  await settle();
  assertEquals(signals.map(({ aborted }) => aborted), [true, true, true, true]);
});

test("drained() is false at once when the client has gone, although something waits", async () => {
  let drained: boolean | undefined;
  const { lane } = serve(async (_request, response) => {
    response.write("x".repeat(1000));
    drained = await response.drained();
  });
  lane.takes = false;
  lane.receive(get("/"));
  await settle();
  assertEquals(drained, undefined);
  lane.sink.onEnd();
  await settle();
  assertEquals(drained, false);
});

// ---- nothing is lost in silence

test("coroutine style: writes that nobody awaits are sent in order, whatever socket_buffer_size is, and the end behind them", async () => {
  const server = serverWith((_request, response) => {
    for (let i = 0; i < 40; i++) response.write(new Uint8Array(MIB / 8).fill(i));
    response.end("the end");
  }, { socket_buffer_size: MIB });
  const client = new MemoryClient(server);
  client.send(get("/"));
  const { body } = await client.readAnswer();
  assertEquals([body.length, body.slice(-7)], [40 * MIB / 8 + 7, "the end"]);
  for (let i = 0; i < 40; i++) assertEquals(body.charCodeAt(i * MIB / 8), i);
  client.drop();
});

test("coroutine style: what was written may be changed when write() has returned", async () => {
  const server = serverWith(async (_request, response) => {
    const bytes = new Uint8Array(200_000);
    for (let i = 0; i < 5; i++) {
      const written = response.write(bytes.fill(1 + i));
      bytes.fill(0);
      await written;
    }
  });
  const lane = acceptCoroutineLane(server);
  lane.takes = false;
  lane.receive(get("/"));
  for (let i = 0; i < 40; i++) {
    await settle();
    lane.sink.onDrain();
  }
  for (let i = 1; i <= 5; i++) assertEquals(lane.text.split(String.fromCharCode(i)).length - 1, 200_000);
});

test("HTTP/1.0 where a connection cannot be reset: the body is collected, and sent with its length", async () => {
  const { lane } = serve(
    (request, response) => {
      response.write("one ");
      response.write("two");
      if (request.get.end !== undefined) response.end(" three");
    },
    {},
    false,
  );
  lane.receive("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get("/?end", "1.0"));
  await settle();
  const [, first, second] = lane.text.split("HTTP/1.1 200 OK\r\n");
  assert(
    /^Content-Length: 7\r$/m.test(first) && /^Connection: keep-alive\r$/m.test(first) && first.endsWith("\r\n\r\none two"),
    first,
  );
  assert(/^Content-Length: 13\r$/m.test(second) && second.endsWith("\r\n\r\none two three"), second);
  assert(lane.ended);
});

for (const [size, status] of [[1000, 200], [1001, 500]] as const) {
  test(`HTTP/1.0: ${size} bytes are collected where socket_buffer_size is 1000: ${status}`, async () => {
    const results: boolean[] = [];
    const { lane } = serve(
      (_request, response) => {
        response.header("Cache-Control", "public");
        results.push(response.write("x".repeat(500)), response.write("x".repeat(size - 500)), response.end());
      },
      { socket_buffer_size: 1000 },
      false,
    );
    lane.receive(get("/", "1.0"));
    await settle();
    const isWhole = status === 200;
    assertEquals(results, [true, isWhole, isWhole]);
    assertEquals(lane.text.startsWith(`HTTP/1.1 ${status} `), true);
    assertEquals([lane.text.includes("xxx"), lane.text.includes("public")], [isWhole, isWhole]);
  });
}

test("HTTP/1.0 where a connection can be reset: the body is streamed, and one that fails is cut off", async () => {
  const { lane, errors } = serve((_request, response) => {
    response.write("half");
    throw new Error("on purpose");
  });
  lane.receive(get("/", "1.0"));
  await settle();
  assertEquals([lane.aborted, errors.length], [true, 1]);
});

test("HTTP/1.0 where a connection cannot be reset: a handler that fails is a 500", async () => {
  const { lane, errors } = serve(
    (_request, response) => {
      response.write("half");
      throw new Error("on purpose");
    },
    {},
    false,
  );
  lane.receive(get("/", "1.0"));
  await settle();
  assertEquals([lane.text.startsWith("HTTP/1.1 500 "), lane.text.includes("half"), errors.length], [true, false, 1]);
});

test("close() in the middle of a body that ends with its connection drops it", async () => {
  const { lane } = serve((_request, response) => {
    response.write("half");
    assert(response.close());
  });
  lane.receive(get("/", "1.0"));
  await settle();
  assert(lane.aborted);
});

// ---- memory

test("what a program gets of a request is its own: whole, as a stream, and collected", async () => {
  const got: Uint8Array[] = [];
  const { lane } = serve(async (request, response) => {
    const path = String(request.server.path_info);
    if (path === "/bytes") got.push(await request.bytes());
    else for await (const piece of request.body) got.push(piece);
    response.end();
  }, { http_stream_body: true });
  const post = (path: string) => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n`;
  lane.receive(post("/bytes") + "abcdef" + post("/stream") + "abc");
  await settle();
  lane.receive("def");
  await settle();
  assertEquals(got.map((bytes) => new TextDecoder().decode(bytes)), ["abcdef", "abc", "def"]);
  for (const bytes of got) structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
  lane.receive(post("/bytes") + "abcdef");
  await settle();
  assertEquals(new TextDecoder().decode(got[3]), "abcdef");
});

test("an empty body is the program's own too", async () => {
  const seen: string[] = [];
  const { lane } = serve(async (request, response) => {
    for (const bytes of [request.rawContent(), await request.bytes()]) {
      structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
    }
    seen.push(request.getContent());
    response.end();
  });
  lane.receive(get("/") + get("/"));
  await settle();
  assertEquals(seen, ["", ""]);
});

test("a body in chunks of one byte that nobody reads is held in little memory", () => {
  const { lane } = serve((_request, response) => void response.detach(), { http_stream_body: true });
  lane.receive("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  let count = 0;
  for (; !lane.paused; count += 100) lane.receive("1\r\nx\r\n".repeat(100));
  assert(count >= 64 * 1024 && count <= 64 * 1024 + 100, `${count}`); // so many bytes, not less because of their pieces
});
