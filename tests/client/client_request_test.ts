/** What `HttpClient` sends. */

import { assert, assertEquals, assertFalse, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { FakeLane, FakePipe } from "../support/fake_lane.ts";
import { answered, ok, requestOf, scripted } from "./client_stage.ts";

const line = (request: string, name: string) => new RegExp(`^${name}: (.*)\r$`, "im").exec(request)?.[1];

test("get() sends a proper request; the answer's status, header fields and body are there", async () => {
  const it = scripted();
  assertEquals([it.client.getStatusCode(), it.client.connected], [false, false]);
  const { result, request } = await answered(
    it,
    ok("héllo", "X-Mine: 1\r\n").replace("héllo", "h\xc3\xa9llo").replace(": 5", ": 6"),
  );
  assertEquals(
    request,
    "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n",
  );
  const { client } = it;
  assertEquals([result, client.statusCode, client.getStatusCode(), client.body, client.getBody()], [
    true,
    200,
    200,
    "héllo",
    "héllo",
  ]);
  assertEquals([client.headers["x-mine"], client.getHeaders()["content-length"]], ["1", "6"]);
  assertEquals([client.errCode, client.errMsg, client.connected, client.bytes.length], [0, "", true, 6]);
});

test("Host has the port unless it is the usual one, and brackets around an IPv6 address", async () => {
  const cases: [ConstructorParameters<typeof HttpClient>, string][] = [
    [["a.example", 80], "a.example"],
    [["a.example", 8080], "a.example:8080"],
    [["a.example", 443], "a.example:443"],
    [["::1", 80], "[::1]"],
    [["[::1]", 81], "[::1]:81"],
    [["unix:/tmp/x", 0], "localhost"],
  ];
  for (const [args, host] of cases) {
    const client = new HttpClient(...args);
    const lane = new FakeLane();
    client.use(new FakePipe(lane));
    const { request } = await answered({ client, lane }, ok());
    assertEquals(line(request, "Host"), host);
  }
  assertEquals([new HttpClient("x").port, new HttpClient("x", 0, true).port, new HttpClient("x", 5, true).port], [80, 443, 5]);
});

test("post() and setData() send text, bytes and forms, with their length", async () => {
  const it = scripted();
  const post = async (data: string | Uint8Array | Record<string, string>) =>
    (await answered(it, ok(), (client) => client.post("/p", data))).request;
  const text = await post("h\u00e9");
  assert(text.startsWith("POST /p HTTP/1.1\r\n") && text.endsWith("\r\n\r\nh\xc3\xa9"), text);
  assertEquals([line(text, "Content-Length"), line(text, "Content-Type")], ["3", undefined]);
  const sent = await post(new Uint8Array([0, 255]));
  assert(sent.endsWith("\r\n\r\n\0\xff") && line(sent, "Content-Length") === "2");
  const form = await post({ a: "1 2", "b&": "=ü" });
  assert(form.endsWith("\r\n\r\na=1+2&b%26=%3D%C3%BC"), form);
  assertEquals(line(form, "Content-Type"), "application/x-www-form-urlencoded");
  const empty = await post("");
  assert(empty.endsWith("\r\n\r\n") && line(empty, "Content-Length") === "0");
});

test("method and data are for one request, header fields for all; execute() is GET, or POST with data", async () => {
  const it = scripted();
  const { client } = it;
  assertEquals([client.setMethod("PUT"), client.setData("x"), client.setHeaders({ "X-A": 1 })], [true, true, true]);
  const first = (await answered(it, ok(), (client) => client.execute("/1"))).request;
  assert(first.startsWith("PUT /1 ") && first.endsWith("\r\n\r\nx") && line(first, "X-A") === "1", first);
  const second = (await answered(it, ok(), (client) => client.execute("/2"))).request;
  assert(second.startsWith("GET /2 ") && second.endsWith("\r\n\r\n") && line(second, "X-A") === "1", second);
  assertEquals(line(second, "Content-Length"), undefined);
  client.setData("y");
  assert((await answered(it, ok(), (client) => client.execute("/3"))).request.startsWith("POST /3 "));
  client.setMethod("PUT");
  assertEquals(line((await answered(it, ok(), (client) => client.execute("/4"))).request, "Content-Length"), "0");
  client.setHeaders({});
  assertEquals(line((await answered(it, ok())).request, "X-A"), undefined);
});

test("the program's own header fields replace the client's", async () => {
  const it = scripted();
  it.client.setHeaders({ host: "other", "accept-encoding": "identity", CONNECTION: "close", "Content-Type": "text/x" });
  const { request } = await answered(it, ok(), (client) => client.post("/", { a: "1" }));
  for (
    const [name, value] of [["Host", "other"], ["Accept-Encoding", "identity"], ["Connection", "close"], [
      "Content-Type",
      "text/x",
    ]]
  ) {
    assertEquals([line(request, name), request.match(new RegExp(`^${name}:`, "gim"))?.length], [value, 1]);
  }
});

test("setBasicAuth() sends the user's name and password in UTF-8", async () => {
  const it = scripted();
  it.client.setBasicAuth("Ädä", "p:w");
  const value = line((await answered(it, ok())).request, "Authorization")!;
  assertEquals(new TextDecoder().decode(Uint8Array.from(atob(value.slice(6)), (c) => c.charCodeAt(0))), "Ädä:p:w");
});

test("cookies of the program are sent encoded, those of servers as they came, and deleted when they say so", async () => {
  const it = scripted();
  const { client } = it;
  client.setCookies({ a: "b", d: "ü;" });
  const cookies = "Set-Cookie: sid=x%20y; Path=/; HttpOnly\r\nSet-Cookie: a=2\r\nset-cookie: broken\r\n";
  const first = await answered(it, ok("", cookies));
  assertEquals(line(first.request, "Cookie"), "a=b; d=%C3%BC%3B");
  assertEquals({ ...client.cookies }, { a: "2", d: "ü;", sid: "x y" });
  assertEquals([...client.set_cookie_headers], ["sid=x%20y; Path=/; HttpOnly", "a=2", "broken"]);
  const second = await answered(it, ok("", "Set-Cookie: a=x; Max-Age=0\r\n"));
  assertEquals(line(second.request, "Cookie"), "a=2; d=%C3%BC%3B; sid=x%20y");
  assertEquals([{ ...client.getCookies() }, client.set_cookie_headers.length], [{ d: "ü;", sid: "x y" }, 1]);
  client.setCookies({});
  assertEquals([line((await answered(it, ok())).request, "Cookie"), client.set_cookie_headers.length], [undefined, 0]);
});

test("what cannot be sent is refused with a TypeError before anything is", async () => {
  const { client, lane } = scripted();
  const refused: [() => unknown, string][] = [
    [() => client.setMethod("G ET"), 'Cannot set the method: "G ET" is no method'],
    [() => client.setMethod(""), 'Cannot set the method: "" is no method'],
    [() => client.setHeaders({ "a b": "1" }), 'Cannot set a header: "a b" is not a header name'],
    [() => client.setHeaders({ a: "1\r\nb: 2" }), "Cannot set the header a: the value has a character that is not allowed"],
    [() => client.setHeaders({ "Transfer-Encoding": "x" }), "Cannot set the header Transfer-Encoding: it follows from the body"],
    [() => client.setCookies({ "a=b": "1" }), 'Cannot set a cookie: the name has a "="'],
    [() => client.setCookies({ "": "1" }), "Cannot set a cookie: the name is empty"],
    [() => client.set({ nonsense: 1 } as never), "Cannot set nonsense: there is no such setting"],
    [() => client.set({ keep_alive: 1 } as never), "Cannot set keep_alive: a boolean is needed, not number"],
    [() => new HttpClient(""), "Cannot make a client: the host is empty"],
    [() => new HttpClient("unix:"), "Cannot make a client: the host is empty"],
    [
      () => new HttpClient(9501 as unknown as string),
      'Cannot make a client: the host has to be a string, not number; write new HttpClient("127.0.0.1", 9501)',
    ],
    [
      () => new HttpClient({ host: "x" } as unknown as string),
      "Cannot make a client: the host has to be a string, not object; " +
      'write new HttpClient("127.0.0.1", 9501), and settings go to set()',
    ],
    [
      () => new HttpClient("http://x"),
      'Cannot make a client: "http://x" is no host, but a URL; write new HttpClient("127.0.0.1", 9501), with true behind it for TLS',
    ],
    [() => new HttpClient("x", "80x"), 'Cannot make a client: the port has to be a number from 0 to 65535, not "80x"'],
    [
      () => new HttpClient("x", 80, { timeout: 1 } as unknown as boolean),
      "Cannot make a client: ssl has to be a boolean, not object; settings go to set()",
    ],
    [() => new HttpClient("a b"), 'Cannot make a client: "a b" is no host'],
    [() => new HttpClient("a\r\nb"), 'Cannot make a client: "a\\r\\nb" is no host'],
  ];
  for (const [work, message] of refused) assertEquals(assertThrows(work, TypeError).message, message);
  assertEquals([new HttpClient("x", "8080").port, new HttpClient("x", "0").port, new HttpClient("x", 0, true).port], [
    8080,
    80,
    443,
  ]);
  for (const port of [-1, 65536, 1.5, NaN]) {
    const error = assertThrows(() => new HttpClient("x", port), RangeError);
    assertEquals(error.message, `Cannot make a client: port ${port} is not in the range 0 to 65535`);
  }
  for (const timeout of [-2, NaN, Infinity]) assertThrows(() => client.set({ timeout }), RangeError, "Cannot set timeout: ");
  for (const path of ["", "x", "/a b", "/ä", "/\r\n", "http://x/"]) {
    for (const ask of [() => client.get(path), () => client.upgrade(path), () => client.post(path, "x")]) {
      const error = await assertRejects(ask, TypeError);
      assertEquals(
        error.message,
        `Cannot request ${JSON.stringify(path)}: a path begins with / and has no blanks or letters beyond ASCII`,
      );
    }
  }
  assertEquals(await requestOf(lane), "");
  assertFalse(client.set({}));
});

test("upgrade() sends a proper handshake with a fresh key each time, and the cookies and header fields of the client", async () => {
  const keys = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const it = scripted({ websocket_subprotocol: ["chat", "soap"] });
    it.client.setHeaders({ Origin: "http://x" });
    it.client.setCookies({ a: "1" });
    const { request } = await answered(
      it,
      "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
      (client) => client.upgrade("/ws?x=1"),
    );
    keys.add(line(request, "Sec-WebSocket-Key")!);
    assertEquals(
      request.replace(/Key: .*\r\n/, "Key\r\n"),
      "GET /ws?x=1 HTTP/1.1\r\nHost: example.com\r\nOrigin: http://x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key\r\nSec-WebSocket-Protocol: chat, soap\r\n" +
        "Accept-Encoding: gzip, deflate, br\r\nCookie: a=1\r\n\r\n",
    );
  }
  assertEquals(keys.size, 20);
  for (const key of keys) assertEquals([key.length, atob(key).length], [24, 16]);
});

test("header fields of the handshake cannot be set by the program", async () => {
  for (const name of ["Connection", "upgrade", "Sec-WebSocket-Key", "sec-websocket-version", "Sec-WebSocket-Extensions"]) {
    const { client, lane } = scripted();
    client.setHeaders({ [name]: "x" });
    const error = await assertRejects(() => client.upgrade("/"), TypeError);
    assertEquals(error.message, `Cannot upgrade: the header ${name} is the handshake's own`);
    assertEquals(await requestOf(lane), "");
  }
});

test("one request at a time: another one is refused and the first goes on", async () => {
  const it = scripted();
  const first = it.client.get("/1");
  for (const ask of [() => it.client.get("/2"), () => it.client.upgrade("/2"), () => it.client.execute("/2")]) {
    const error = await assertRejects(ask, Error);
    assertEquals(error.message, "Cannot send the request: another one is under way");
  }
  assert((await requestOf(it.lane)).startsWith("GET /1 "));
  it.lane.receive(ok("one"));
  assertEquals([await first, it.client.body], [true, "one"]);
});

test("values of another type are TypeErrors that say what is needed, and numbers are sent as their text", async () => {
  const { client } = scripted();
  // deno-lint-ignore no-explicit-any
  const any = client as any;
  const refused: [() => unknown, string][] = [
    [() => any.set(5), "Cannot set the settings: an object is needed, not number"],
    [() => any.set(), "Cannot set the settings: an object is needed, not undefined"],
    [() => any.setMethod(), "Cannot set the method: undefined is no method"],
    [() => any.setHeaders(), "Cannot set the headers: an object of names and values is needed, not undefined"],
    [() => any.setHeaders("a: b"), "Cannot set the headers: an object of names and values is needed, not string"],
    [() => any.setHeaders([["a", "b"]]), "not a list; use Object.fromEntries()"],
    [() => any.setHeaders(new Headers({ a: "b" })), "not object; use Object.fromEntries()"],
    [() => any.setHeaders({ a: undefined }), "Cannot set the header a: the value has to be a string or a number, not undefined"],
    [() => any.setHeaders({ a: null }), "Cannot set the header a: the value has to be a string or a number, not null"],
    [() => any.setHeaders({ a: {} }), "Cannot set the header a: the value has to be a string or a number, not object"],
    [() => any.setCookies("a=b"), "Cannot set the cookies: an object of names and values is needed, not string"],
    [() => any.setCookies({ a: {} }), "Cannot set a cookie: the value has to be a string or a number, not object"],
    [
      () => any.setData(true),
      "Cannot send a boolean: a string, a number, a Uint8Array, or an object with the fields of a form is needed",
    ],
    [() => any.addData({}, "a"), "Cannot send an object: a string, a number or a Uint8Array is needed; use JSON.stringify()"],
    [() => any.addData("a"), "Cannot add a file: the name has to be a string, not undefined"],
  ];
  for (const [work, message] of refused) assertThrows(work, TypeError, message);
  const rejected: [() => Promise<unknown>, string][] = [
    [() => any.addFile(), "Cannot add a file: its path has to be a string, not undefined"],
    [() => any.download("/x"), "Cannot download: the path of a file is needed, not undefined"],
    [() => any.download("/x", ""), "Cannot download: the path of a file is needed, not an empty text"],
    [() => any.post("/x", new Map([["a", 1]])), "Cannot send a form: it is neither text nor a number, a list or a plain object"],
  ];
  for (const [work, message] of rejected) await assertRejects(work, TypeError, message);

  const it = scripted();
  it.client.setHeaders({ "X-Number": 5 });
  it.client.setCookies({ a: 7 });
  const { request } = await answered(it, ok(), (client) => client.post("/", 12));
  assertEquals([line(request, "X-Number"), line(request, "Cookie"), request.split("\r\n\r\n")[1]], ["5", "a=7", "12"]);
  assertEquals(line(request, "Content-Type"), undefined);
  assertEquals(it.client.cookies.a, "7");
});
