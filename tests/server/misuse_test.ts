// What a program does wrong in its first days: each mistake is an error that says what to do instead. Mistakes with settings, hosts,
// ports and events are in `settings_test.ts`, `arguments_test.ts` and `events_test.ts`.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  Cookie,
  Frame,
  HttpRequest,
  HttpResponse,
  HttpServer,
  PreparedMessage,
  swooleMimeTypeAdd,
  swooleMimeTypeDelete,
  swooleMimeTypeExists,
  swooleMimeTypeGet,
  swooleMimeTypeSet,
  WebSocketServer,
} from "../../mod.ts";
import { HttpClient, HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { serving } from "../support/serving.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

/** A mistake, and words of the `TypeError` that it gives. */
type Mistake = [what: string, work: () => unknown, words: string];

function check(mistakes: readonly Mistake[]): void {
  for (const [what, work, words] of mistakes) {
    const { message } = assertThrows(work, TypeError, words);
    assertEquals(/\bundefined is not|is not a function|Cannot read prop/.test(message), false, `${what}: ${message}`);
  }
}

test("what cannot be sent: send() of a server, frames and prepared messages say what can", async () => {
  const server: Any = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  await serving(server as WebSocketServer, () => {
    check([
      [
        "send() of an object",
        () => server.send(1, { a: 1 }),
        "Cannot send an object: a string, a number or a Uint8Array is needed; use JSON.stringify()",
      ],
      ["send() of nothing", () => server.send(1), "Cannot send undefined: a string, a number or a Uint8Array is needed"],
      ["sendto() of nothing", () => server.sendto("127.0.0.1", 9), "Cannot send undefined"],
      ["send() of a buffer", () => server.send(1, new ArrayBuffer(1)), "use new Uint8Array(buffer)"],
      ["an fd that is an object", () => server.getClientInfo({}), "Cannot find the connection: an fd is a number, not object"],
      ["a request in place of its fd", () => server.close({ fd: 1 }), "an fd is a number, not object; give its fd"],
      [
        "prepare() of nothing",
        () => server.prepare(),
        "Cannot prepare undefined: a string, a number, a Uint8Array, or a Frame is needed",
      ],
      ["a prepared object", () => new PreparedMessage({} as Any), "Cannot prepare an object"],
      ["a frame with an object", () => (new Frame() as Any).data = {}, "Cannot set the data of a frame to an object"],
      ["accept() of nothing", () => server.accept(), "Cannot accept what is no pipe: an object with a readable and a writable"],
      ["accept() of one stream", () => server.accept({ readable: new ReadableStream() }), "Cannot accept what is no pipe"],
      ["checkHandshake() of nothing", () => server.checkHandshake(), "Cannot check what is no request: checkHandshake(request)"],
      ["unpack() of text", () => Frame.unpack("x" as Any), "Cannot unpack a value of type string: a Uint8Array is needed"],
    ]);
    return Promise.resolve();
  });
});

test("timers: a function behind the milliseconds", () => {
  const server: Any = new WebSocketServer();
  check([
    ["tick() without a function", () => server.tick(100), "Cannot set a timer: a function is needed, not undefined"],
    ["after() with a text", () => server.after(100, "x"), "Cannot set a timer: a function is needed, not string"],
    ["after() with what the function returns", () => server.after(100, Promise.resolve()), "a function is needed, not object"],
    ["defer() without a function", () => server.defer(), "Cannot set a timer: a function is needed, not undefined"],
    ["the web's order", () => server.tick(() => {}, 100), "the milliseconds come first, then the function"],
  ]);
  assertEquals([server.getCallback(5), server.listen("127.0.0.1", 0).getCallback(undefined)], [null, null]);
});

test("responses: values of another type, in both styles", async () => {
  const mistakes = (response: Any): Mistake[] => [
    [
      "end() of an object",
      () => response.end({ a: 1 }),
      "Cannot send an object: a string, a number or a Uint8Array is needed; use JSON.stringify()",
    ],
    ["end() of null", () => response.end(null), "Cannot send null: a string, a number or a Uint8Array is needed"],
    ["end() of a promise", () => response.end(Promise.resolve("x")), "a promise has to be awaited"],
    ["end() of a Blob", () => response.end(new Blob(["x"])), "use new Uint8Array(await data.arrayBuffer())"],
    ["write() of a list", () => response.write(["x"]), "Cannot send a list"],
    ["redirect() to nothing", () => response.redirect(), "Cannot redirect: the URL has to be a string, not undefined"],
    [
      "redirect() to a URL",
      () => response.redirect(new URL("http://x/")),
      "the URL has to be a string, not object; use url.href",
    ],
    ["redirect() with text for a status", () => response.redirect("/", "302"), 'the status has to be a number, not "302"'],
    ["cookie() of nothing", () => response.cookie(), "Cannot set a cookie: the name has to be a string, not undefined"],
    ["cookie() of an object", () => response.cookie("a", {}), "the value has to be a string or a number, not object"],
    ["cookie() with attributes", () => response.cookie("a", "b", { maxAge: 5 }), "attributes are arguments of their own"],
    ["cookie() with a Date", () => response.cookie("a", "b", new Date()), "use Math.floor(date.getTime() / 1000)"],
    [
      "cookie() with text for a time",
      () => response.cookie("a", "b", "5"),
      "expires has to be a number of seconds since 1970, not string",
    ],
    ["cookie() with another path", () => response.cookie("a", "b", 0, 5), "the path has to be a string, not number"],
    ["rawcookie() of an object", () => response.rawcookie("a", {}), "the value has to be a string or a number, not object"],
  ];
  const event = new HttpServer();
  event.on("request", (_request, response) => {
    check(mistakes(response));
    response.cookie("number", 5);
    response.end("fine");
  });
  const coroutine = new CoroutineServer("localhost");
  coroutine.handle("/", (_request, response) => {
    check(mistakes(response));
    response.cookie("number", 5);
    response.end("fine");
  });
  for (const server of [event, coroutine]) {
    const client = new MemoryClient(server);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const { body, header } = await client.readAnswer();
    assertEquals([body, header["set-cookie"]], ["fine", "number=5; path=/"]);
    client.drop();
    server.shutdown(0);
    await server.finished;
  }
});

test("handle(): paths that would never match, and arguments the wrong way round", () => {
  const server: Any = new CoroutineServer("localhost");
  const handler = () => {};
  check([
    ["a path without a slash", () => server.handle("chat", handler), '"chat" is no path; it begins with / and has no query'],
    ["a URL", () => server.handle("http://x/", handler), '"http://x/" is no path'],
    ["a query", () => server.handle("/a?b", handler), '"/a?b" is no path'],
    ["no path", () => server.handle(undefined, handler), "undefined is no path"],
    ["a handler alone", () => server.handle(handler), 'the path comes first; write server.handle("/", handler)'],
    ["a number", () => server.handle(5, handler), "5 is no path"],
    ["a BigInt", () => server.handle(5n, handler), "bigint is no path"],
    ["a BigInt alone", () => server.handle(5n), "Cannot add a handler for bigint: it is no function"],
    ["accept() of nothing", () => server.accept(), "Cannot accept what is no pipe: an object with a readable and a writable"],
    ["accept() of one stream", () => server.accept({ readable: new ReadableStream() }), "Cannot accept what is no pipe"],
    ["a path alone", () => server.handle("/"), "Cannot add a handler for /: it is no function"],
    ["a wildcard", () => server.handle("/a/*", handler), 'there are no wildcards, and "/a/*" has *; a path takes all below it'],
    ["two of them", () => server.handle("/**", handler), 'there are no wildcards, and "/**" has **'],
    ["a parameter", () => server.handle("/users/:id/posts", handler), 'there are no wildcards, and "/users/:id/posts" has :id'],
    ["another spelling", () => server.handle("/{id}", handler), 'there are no wildcards, and "/{id}" has {id}'],
  ]);
  for (const path of ["/a*b", "/users:batch", "/a b", "/A/b/"]) assertEquals(server.handle(path, handler), true);
});

test("requests, responses and cookies that are made by hand", () => {
  check([
    ["Swoole's arguments of create()", () => (HttpResponse as Any).create(1), "HttpResponse.create(server, fd) needs the server"],
    [
      "parse() of an object",
      () => HttpRequest.create().parse({} as Any),
      "Cannot parse a value of type object: a string or a Uint8Array is needed",
    ],
    [
      "a cookie whose name is a number",
      () => new Cookie().withName(5 as Any).toString(),
      "the name has to be a string, not number",
    ],
    [
      "a cookie of an object",
      () => new Cookie().withName("a").withValue({} as Any).toString(),
      "the value has to be a string or a number",
    ],
  ]);
  assertEquals(new Cookie().withName("a").withValue(5 as Any).withPath("/").toString(), "a=5; path=/");
});

test("media types, and requests of a client: values that JSON cannot show are described, too", async () => {
  for (const value of [1, 5n, undefined, null, {}, Object.create(null), Symbol("x")] as Any[]) {
    const type = value === null ? "null" : typeof value;
    const what = typeof value === "number" ? String(value) : type;
    check([
      ["get", () => swooleMimeTypeGet(value), `Cannot find a media type: the file name has to be a string, not ${type}`],
      ["exists", () => swooleMimeTypeExists(value), `the file name has to be a string, not ${type}`],
      ["add", () => swooleMimeTypeAdd(value, "a/b"), `Cannot set a media type: ${what} is no extension`],
      ["add a type", () => swooleMimeTypeAdd("misuse", value), `Cannot set a media type: ${what} is no type`],
      ["set", () => swooleMimeTypeSet(value, "a/b"), `Cannot set a media type: ${what} is no extension`],
      ["delete", () => swooleMimeTypeDelete(value), `Cannot set a media type: ${what} is no extension`],
    ]);
    const client = new HttpClient("127.0.0.1", 9);
    check([
      ["method", () => client.setMethod(value), `Cannot set the method: ${what} is no method`],
      ["use()", () => client.use(value), "Cannot use what is no pipe: an object with a readable and a writable stream"],
    ]);
    await assertRejects(() => client.get(value), TypeError, `Cannot request ${what}: a path begins with /`);
    await assertRejects(() => client.upgrade(value), TypeError, `Cannot request ${what}: a path begins with /`);
  }
});

test("shutdown() and sendto(): values of another type", async () => {
  for (const server of [new WebSocketServer(), new CoroutineServer("localhost")] as Any[]) {
    for (const [value, what] of [[5n, "bigint"], ["5", '"5"'], [-1, "-1"], [Object.create(null), "object"]]) {
      assertThrows(() => server.shutdown(value), RangeError, `Cannot shut down: ${what} is not a number of seconds`);
    }
  }
  const server: Any = new WebSocketServer();
  for (const ip of [1, 5n, null, {}]) assertEquals([await server.sendto(ip, 9, "x"), server.getLastError()], [false, 505]);
});
