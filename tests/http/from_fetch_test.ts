import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  type FetchApplication,
  fromFetch,
  HttpServer,
  type ServerSettings,
  SWOOLE_PROCESS,
  SWOOLE_SOCK_TCP,
  SWOOLE_SSL,
  WebSocketServer,
} from "../../mod.ts";
import * as coroutine from "../../src/coroutine/mod.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { serving, servingHandler, signal } from "../support/serving.ts";

const get = (path: string, fields = "", method = "GET") => `${method} ${path} HTTP/1.1\r\nHost: x.org:80\r\n${fields}\r\n`;

/** Lets a client in memory talk to an `HttpServer` with what `fromFetch()` makes of an application. */
function servingFetch(
  application: FetchApplication,
  work: (client: MemoryClient, errors: unknown[]) => Promise<void>,
  settings: ServerSettings = {},
): Promise<void> {
  return servingHandler(fromFetch(application), work, settings);
}

test("the application gets method, URL, headers and body, and its answer goes out whole with its length", () =>
  servingFetch(async (request) => {
    const { method, url, headers } = request;
    return new Response(JSON.stringify([method, url, headers.get("x-a"), await request.text()]), {
      status: 201,
      headers: { "X-B": "c", "Content-Type": "application/json" },
    });
  }, async (client) => {
    client.send(get("/a%20b?c=d", "X-A: y\r\nContent-Length: 4\r\n", "POST") + "body");
    const { status, header, body } = await client.readAnswer();
    assertEquals(JSON.parse(body), ["POST", "http://x.org/a%20b?c=d", "y", "body"]);
    assertEquals([status, header["x-b"], header["content-type"], header["content-length"]], [
      201,
      "c",
      "application/json",
      String(body.length),
    ]);
    client.send(get("http://other.org/p?q"));
    assertEquals(JSON.parse((await client.readAnswer()).body)[1], "http://other.org/p?q");
  }));

/** A response that a program has made more of. */
class NamedResponse extends Response {
  readonly name = "a".repeat(1000);
}

/** A stream of two parts, of which the second comes later. */
function twoParts(): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start: (controller) => controller.enqueue(encoder.encode("fi")),
    pull: async (controller) => {
      await settle();
      controller.enqueue(encoder.encode("ne"));
      controller.close();
    },
  });
}

const touched: Record<string, (response: Response) => Response> = {
  "as it is": (response) => response,
  "whose stream was looked at": (response) => (void response.body, response),
  "that was cloned": (response) => (response.clone(), response),
  "that is a clone": (response) => response.clone(),
  "made from the stream of another": (response) => new Response(response.body, response),
  "with a property": (response) => Object.assign(response, { note: "x".repeat(1000) }),
  "of a class of its own": (response) => new NamedResponse(response.body, response),
};

for (const [how, touch] of Object.entries(touched)) {
  test(`a response ${how} is sent once, from text, bytes, a blob and a stream`, async () => {
    const bodies = [() => "fine", () => new TextEncoder().encode("fine"), () => new Blob(["fine"]), twoParts];
    const inits = [{}, { status: 201, statusText: "Longer than the standard one" }, { headers: { "X-Long": "x".repeat(1000) } }];
    const kinds = bodies.flatMap((body) => inits.map((init) => () => touch(new Response(body(), init))));
    const left = [...kinds];
    await servingFetch(() => left.shift()!(), async (client, errors) => {
      for (const _ of kinds) {
        client.send(get("/"));
        const { body } = await client.readAnswer();
        assertEquals(body, "fine");
      }
      assertEquals(errors, []);
    });
    const used: Response[] = [];
    await servingFetch(() => used[0] ??= touch(new Response("fine")), async (client, errors) => {
      client.send(get("/"));
      assertEquals((await client.readAnswer()).body, "fine");
      client.send(get("/"));
      assertEquals([(await client.readAnswer()).status, errors.length], [500, 1]);
    });
  });
}

test("Set-Cookie fields stay apart; an answer without a type has none; the reason is the application's", () =>
  servingFetch(() => {
    const headers = new Headers([["Set-Cookie", "a=1, 2"], ["Set-Cookie", "b=3"], ["Connection", "close"], ["Vary", "a"]]);
    return new Response(new Uint8Array([1]), { status: 202, statusText: "Fine", headers });
  }, async (client) => {
    client.send(get("/"));
    const { head } = await client.readAnswer();
    assert(head.startsWith("HTTP/1.1 202 Fine\r\n"));
    assertEquals(head.match(/^set-cookie: .*$/gim)!.map((line) => line.trim().slice(12)), ["a=1, 2", "b=3"]);
    assertEquals(/^content-type/im.test(head), false);
    assert(/^Connection: keep-alive\r$/m.test(head));
  }));

test("HEAD, 204 and an answer without a body", () =>
  servingFetch((request) => {
    if (request.method === "HEAD") return new Response("body", { headers: { "Content-Length": "4" } });
    return new Response(null, { status: new URL(request.url).pathname === "/204" ? 204 : 200 });
  }, async (client) => {
    client.send(get("/", "", "HEAD") + get("/204") + get("/"));
    assertEquals((await client.readAnswer(true)).header["content-length"], "4");
    assertEquals((await client.readAnswer()).status, 204);
    assertEquals((await client.readAnswer()).header["content-length"], "0");
  }));

test("a stream goes out part by part, as fast as the client reads", () => {
  let pulled = 0;
  return servingFetch(() =>
    new Response(
      new ReadableStream({
        async pull(controller) {
          await settle();
          if (pulled++ === 20) controller.close();
          else controller.enqueue(new Uint8Array(50_000));
        },
      }, { highWaterMark: 0 }),
    ), async (client) => {
    client.send(get("/"));
    const { header, body } = await client.readAnswer();
    assertEquals([header["transfer-encoding"], body.length], ["chunked", 1_000_000]);
  });
});

test("what an application throws is a 500 and reported; a stream that fails cuts the answer off", () =>
  servingFetch((request) => {
    if (new URL(request.url).pathname === "/throw") throw new Error("on purpose");
    return new Response(
      new ReadableStream({
        async pull(controller) {
          controller.enqueue(new Uint8Array(10));
          await settle();
          controller.error(new Error("on purpose"));
        },
      }),
    );
  }, async (client, errors) => {
    client.send(get("/throw"));
    assertEquals((await client.readAnswer()).status, 500);
    assertEquals(errors.length, 1);
  }));

/** A stream of these pieces, each in a turn of its own unless it comes at once. */
function streamOf(pieces: (string | Error)[], atOnce = false): ReadableStream<Uint8Array> {
  const queue = [...pieces];
  return new ReadableStream({
    async pull(controller) {
      if (!atOnce) await new Promise((resolve) => setTimeout(resolve, 50));
      const piece = queue.shift();
      if (piece === undefined) controller.close();
      else if (typeof piece === "string") controller.enqueue(new TextEncoder().encode(piece));
      else controller.error(piece);
    },
  }, { highWaterMark: 0 });
}

test("a body that is whole has its length, one that is a stream has chunks, or the length that the application tells", () =>
  servingFetch((request) => {
    const path = new URL(request.url).pathname;
    if (path === "/string") return new Response("0123456789");
    if (path === "/json") return Response.json([1]);
    if (path === "/bytes") return new Response(new Uint8Array(200_000).fill(48));
    if (path === "/once") return new Response(streamOf(["0123456789"], true));
    if (path === "/stream") return new Response(streamOf(["01234", "56789"]));
    if (path === "/one") return new Response(streamOf(["0123456789"]));
    const headers = { "Content-Length": "10" };
    return new Response(path === "/told-whole" ? "0123456789" : streamOf(["01234", "56789"]), { headers });
  }, async (client, errors) => {
    const expected: [path: string, length: string | undefined, size: number][] = [
      ["/string", "10", 10],
      ["/json", "3", 3],
      ["/bytes", "200000", 200_000],
      ["/once", "10", 10],
      ["/stream", undefined, 10],
      ["/one", undefined, 10],
      ["/told", "10", 10],
      ["/told-whole", "10", 10],
    ];
    for (const [path, length, size] of expected) {
      client.send(get(path));
      const { header, body } = await client.readAnswer();
      assertEquals([path, header["content-length"], body.length], [path, length, size]);
      assertEquals(header["transfer-encoding"], length === undefined ? "chunked" : undefined, path);
    }
    assertEquals(errors, []);
  }));

test("HEAD has the length that GET has, or none", () =>
  servingFetch((request) => {
    const path = new URL(request.url).pathname;
    if (path === "/hono") return new Response(request.method === "HEAD" ? null : "0123456789");
    if (path === "/stream") return new Response(streamOf(["01234", "56789"]));
    if (path === "/told") return new Response(streamOf(["01234", "56789"]), { headers: { "Content-Length": "10" } });
    if (path === "/only-told") return new Response(null, { headers: { "Content-Length": "10" } });
    return new Response("0123456789");
  }, async (client, errors) => {
    const expected = [["/", "10"], ["/hono", undefined], ["/stream", undefined], ["/told", "10"], ["/only-told", "10"]] as const;
    for (const [path, length] of expected) {
      client.send(get(path, "", "HEAD"));
      const { status, header } = await client.readAnswer(true);
      assertEquals([path, status, header["content-length"], header["transfer-encoding"]], [path, 200, length, undefined]);
    }
    assertEquals(errors, []);
  }));

for (
  const [what, pieces, status] of [
    ["a stream with fewer bytes than its Content-Length says", ["01234", "567"], 200],
    ["a stream with more bytes than its Content-Length says", ["01234", "567891"], 200],
    ["a stream whose first piece is too long", ["01234567890", "1"], 500],
    ["a stream that fails in the middle", ["01234", new Error("on purpose")], 200],
    ["a stream that fails at once", [new Error("on purpose")], 500],
  ] as const
) {
  for (const length of ["10", undefined]) {
    if (length === undefined && what.includes("than") || what.includes("too long") && length === undefined) continue;
    test(`${what}: the client sees it, and it is reported once (length ${length})`, () =>
      servingFetch(
        () => new Response(streamOf([...pieces]), length === undefined ? {} : { headers: { "Content-Length": length } }),
        async (client, errors) => {
          client.send(get("/"));
          const text = await client.readAll();
          assertEquals(text.slice(9, 12), String(status));
          const body = text.slice(text.indexOf("\r\n\r\n") + 4);
          const sent = what.includes("fewer") ? "01234567" : "01234"; // what the client gets before the end
          if (status === 200) assertEquals(body, length === undefined ? `5\r\n${sent}\r\n` : sent);
          assertEquals(errors.length, 1);
        },
      ));
  }
}

for (const leaves of [false, true]) {
  const then = leaves ? "when the client leaves" : "when they have been taken";
  test(`a stream that fails while its earlier parts wait for the client is reported ${then}`, async () => {
    const server = new HttpServer("127.0.0.1", 0);
    const errors: string[] = [];
    const pieces = Array.from({ length: 3 }, () => "x".repeat(60_000));
    server.on("error", (_server, error) => void errors.push((error as Error).message));
    server.on("request", fromFetch(() => new Response(streamOf([...pieces, new Error("on purpose")], true))));
    const lane = new FakeLane();
    server.accept(laneOnly(lane));
    lane.takes = false;
    lane.receive(get("/"));
    for (let turn = 0; turn < 3; turn++) await settle(); // the stream has failed by now, and nobody has read that yet
    assertEquals(errors, []);
    if (leaves) lane.abort();
    else assertEquals(lane.aborted, false);
    while (!lane.aborted) {
      lane.sink.onDrain();
      await settle();
    }
    await settle();
    assertEquals(errors, ["on purpose"]);
    if (!leaves) assertEquals(lane.text.match(/x{60000}/g)?.length, 3);
    server.shutdown();
    await server.finished;
  });
}

test("what a stream throws when it is cancelled is reported", async () => {
  await servingFetch(() =>
    new Response(
      new ReadableStream({
        cancel() {
          throw new Error("on purpose");
        },
      }),
    ), async (client, errors) => {
    client.send(get("/"));
    await settle();
    client.end();
    await settle();
    assertEquals(errors.map((error) => (error as Error).message), ["on purpose"]);
  });
});

test("the body of a response that comes when the client has gone is cancelled", async () => {
  let cancelled = false;
  const { promise, resolve } = signal();
  await servingFetch(async () => {
    await promise;
    return new Response(new ReadableStream({ cancel: () => void (cancelled = true) }));
  }, async (client, errors) => {
    client.send(get("/"));
    await settle();
    client.end();
    await settle();
    resolve();
    await settle();
    assertEquals([cancelled, errors], [true, []]);
  });
});

test("HTTP/1.0: a stream is collected where a connection cannot be reset, and a 500 if it is too large", () =>
  servingFetch(
    (request) => new Response(streamOf(["x".repeat(60), "y".repeat(new URL(request.url).pathname === "/long" ? 60 : 10)])),
    async (client) => {
      for (const [path, status, size] of [["/", 200, 70], ["/long", 500, 0]] as const) {
        client.send(`GET ${path} HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n`);
        const answer = await client.readAnswer();
        assertEquals([answer.status, answer.body.length, answer.header["content-length"]], [status, size, String(size)]);
      }
    },
    { socket_buffer_size: 100 },
  ));

test("a target in absolute-form is the URL, whatever Host says; without a host it is localhost", () =>
  servingFetch((request) => new Response(request.url), async (client) => {
    const urls: [target: string, host: string, url: string][] = [
      ["http://other.org:81/p?q", "x.org", "http://other.org:81/p?q"],
      ["https://other.org/p", "x.org", "https://other.org/p"],
      ["/p", "", "http://localhost/p"],
      ["/p", "x.org", "http://x.org/p"],
      ["/p", "y.org:8080", "http://y.org:8080/p"],
      ["/p", "x.org", "http://x.org/p"],
    ];
    for (const [target, host, url] of urls) {
      client.send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      assertEquals((await client.readAnswer()).body, url);
    }
  }));

test("the URL of a request to a port with TLS begins with https", async () => {
  for (const [ssl, url] of [[0, "http://x.org/p"], [SWOOLE_SSL, "https://x.org/p"]] as const) {
    const server = new HttpServer("127.0.0.1", 0, SWOOLE_PROCESS, SWOOLE_SOCK_TCP | ssl);
    server.on("request", fromFetch((request) => new Response(request.url)));
    const client = new MemoryClient(server);
    client.send("GET /p HTTP/1.1\r\nHost: x.org\r\n\r\n");
    assertEquals((await client.readAnswer()).body, url);
    client.drop();
    server.shutdown();
    await server.finished;
  }
});

test("the signal aborts when the client leaves, and the stream of the answer is cancelled", async () => {
  let aborted = false;
  let cancelled = false;
  await servingFetch((request) => {
    request.signal.addEventListener("abort", () => aborted = true);
    return new Response(
      new ReadableStream({
        async pull(controller) {
          await settle();
          controller.enqueue(new Uint8Array(10));
        },
        cancel: () => void (cancelled = true),
      }, { highWaterMark: 0 }),
    );
  }, async (client) => {
    client.send(get("/"));
    await client.readHead();
    assertEquals(aborted, false);
    client.drop();
    for (let i = 0; i < 20 && !cancelled; i++) await settle();
    assertEquals([aborted, cancelled], [true, true]);
  });
});

test("the signal may be asked for late, is the same every time, and stays quiet behind the answer", async () => {
  const requests: Request[] = [];
  let left!: () => void;
  const leaving = new Promise<void>((resolve) => left = resolve);
  await servingFetch(async (request) => {
    requests.push(request);
    if (requests.length === 2) await leaving;
    return new Response("done");
  }, async (client) => {
    client.send(get("/") + get("/"));
    await client.readAnswer();
    client.drop();
    for (let i = 0; i < 5; i++) await settle();
    const [answered, waiting] = requests;
    assert(waiting.signal.aborted);
    assertEquals(waiting.signal.reason.name, "AbortError");
    assertStrictEquals(waiting.signal, waiting.signal);
    assert(!answered.signal.aborted);
    assert(answered instanceof Request && new Request(answered).url === answered.url);
    left();
  });
});

test("with http_stream_body the body of the request is a stream too", () =>
  servingFetch(async (request) => {
    const reader = request.body!.pipeThrough(new TextDecoderStream()).getReader();
    const first = (await reader.read()).value;
    const second = (await reader.read()).value;
    return new Response(`${first}|${second}`);
  }, async (client) => {
    client.send(get("/", "Content-Length: 6\r\n", "POST") + "abc");
    await settle();
    client.send("def");
    assertEquals((await client.readAnswer()).body, "abc|def");
  }, { http_stream_body: true }));

test("what the web's Request does not take is refused: methods with 501, hosts with 400", () =>
  servingFetch(() => new Response("never"), async (client, errors) => {
    client.send(get("/", "", "TRACE") + get("/", "", "connect") + "GET / HTTP/1.1\r\nHost: x:99999\r\n\r\n");
    for (const status of [501, 501, 400]) assertEquals((await client.readAnswer()).status, status);
    assertEquals(errors, []);
  }));

test("beside WebSockets, and in the coroutine style", async () => {
  const application = () => Response.json({ ok: true });
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("request", fromFetch(application));
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  await serving(server, async (_server, port) => {
    assertEquals(await (await fetch(`http://127.0.0.1:${port}/`)).json(), { ok: true });
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "hello" }));
    assertEquals(new TextDecoder().decode((await client.readFrame())!.payload), "hello");
    client.destroy();
  });
  const other = new coroutine.HttpServer("127.0.0.1");
  other.handle("/", fromFetch(application));
  await serving(other, async (_server, port) => {
    assertEquals(await (await fetch(`http://127.0.0.1:${port}/`)).json(), { ok: true });
  });
});

test("an application is a function or an object with a method fetch", async () => {
  class Application {
    greeting = "hello";
    fetch(request: Request): Response {
      return new Response(`${this.greeting} ${request.method}`);
    }
  }
  await servingFetch(new Application(), async (client) => {
    client.send(get("/"));
    assertEquals((await client.readAnswer()).body, "hello GET");
  });
  for (const wrong of [undefined, null, {}, "app", { fetch: 1 }]) {
    assertThrows(() => fromFetch(wrong as unknown as FetchApplication), TypeError, "neither a function nor an object");
  }
});
