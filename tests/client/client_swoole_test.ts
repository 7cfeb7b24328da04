/** What programs for Swoole expect of `HttpClient` beyond its pages. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { answering } from "./client_servers.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** Runs a client against a server that sends one response to each request. */
async function against(
  response: string,
  work: (client: HttpClient, requests: () => string) => Promise<void>,
): Promise<void> {
  await answering(response, async (port, requests) => {
    const client = new HttpClient("127.0.0.1", port);
    await work(client, requests);
    client.close();
  });
}

test("header fields that are there more than once are lists, Set-Cookie too", async () => {
  const fields =
    "X-A: 1\r\nSet-Cookie: a=1\r\nx-a: 2\r\nX-One: only\r\nSet-Cookie: b=2\r\nX-A:3\r\n__proto__: x\r\nconstructor: y\r\n";
  await against(`HTTP/1.1 200 OK\r\n${fields}Content-Length: 0\r\n\r\n`, async (client) => {
    await client.get("/");
    const expected = {
      "x-a": ["1", "2", "3"],
      "set-cookie": ["a=1", "b=2"],
      "x-one": "only",
      ["__proto__"]: "x",
      constructor: "y",
      "content-length": "0",
    };
    assertEquals(Object.entries(client.headers), Object.entries(expected));
    assertEquals([client.getHeaders() === client.headers, [...client.set_cookie_headers]], [true, ["a=1", "b=2"]]);
    client.set({ lowercase_header: false });
    await client.get("/");
    assertEquals([client.headers["X-A"], client.headers["x-a"], client.headers["Set-Cookie"]], [["1", "2", "3"], undefined, [
      "a=1",
      "b=2",
    ]]);
  });
});

test("trailer fields are among the header fields when the body is there", async () => {
  const chunked = "HTTP/1.1 200 OK\r\nTrailer: Content-MD5\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
  const trailer =
    "Content-MD5: abc \r\nx-a:2\r\nX-Empty:\r\nContent-Length: 9\r\ntransfer-encoding: x\r\nSet-Cookie: a=1\r\n\r\n";
  await against(chunked + trailer, async (client) => {
    for (const taken of [false, true]) {
      let body = "";
      let atFirst: unknown = "";
      client.set({
        write_func: !taken ? null : (client, data) => {
          body += new TextDecoder().decode(data);
          atFirst = client.headers["x-a"];
        },
      });
      assertEquals([await client.get("/"), client.body + body], [true, "hello"]);
      const { "content-md5": sum, "x-a": repeated, "x-empty": empty } = client.headers;
      assertEquals([sum, repeated, empty], ["abc", ["1", "2"], ""]);
      assertEquals(["content-length", "set-cookie"].filter((name) => name in client.headers), []);
      assertEquals([client.headers["transfer-encoding"], Object.keys(client.cookies)], ["chunked", []]);
      assertEquals(atFirst, taken ? "1" : "");
    }
    client.set({ lowercase_header: false, write_func: null });
    await client.get("/");
    assertEquals([client.headers["Content-MD5"], client.connected], ["abc", true]);
  });
});

test("lists and objects in the fields of a form have the names that http_build_query() gives them", async () => {
  const data = {
    n: { k: "v", deep: { x: [1, 2.5] } },
    l: ["x", "y z"],
    z: null,
    u: undefined,
    yes: true,
    no: false,
    big: 12345678901234567890n,
    empty: [],
    text: "",
  };
  const fields = [
    ["n[k]", "v"],
    ["n[deep][x][0]", "1"],
    ["n[deep][x][1]", "2.5"],
    ["l[0]", "x"],
    ["l[1]", "y z"],
    ["yes", "1"],
    ["no", "0"],
    ["big", "12345678901234567890"],
    ["text", ""],
  ];
  await against(OK, async (client, requests) => {
    await client.post("/", data);
    assertStringIncludes(requests(), `\r\n\r\n${new URLSearchParams(fields)}`);
    assertStringIncludes(requests(), "n%5Bk%5D=v&");
    client.addData("content", "file");
    await client.post("/", data);
    for (const [name, value] of fields) assertStringIncludes(requests(), `form-data; name="${name}"\r\n\r\n${value}\r\n`);
  });
});

test("a form of what is no text, number, list or plain object is a TypeError, and nothing is sent", async () => {
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const wrong = [
    { a: new Date() },
    { a: new Map() },
    { a: () => 1 },
    { a: [Symbol("x")] },
    { a: new Uint8Array(2) },
    circle,
    new ArrayBuffer(1),
  ];
  await against(OK, async (client, requests) => {
    for (const data of wrong) await assertRejects(() => client.post("/", data as never), TypeError, "Cannot send a form");
    assertEquals(requests(), "");
    assertEquals([await client.post("/", Object.create(null)), client.body], [true, "ok"]);
  });
});

test("Content-Length among the program's header fields is left out", async () => {
  await against(OK, async (client, requests) => {
    client.setHeaders({ "Content-Length": 100, "X-A": "1" });
    assertEquals(client.requestHeaders, { "X-A": "1" });
    await client.post("/", "abc");
    assertEquals(requests().match(/^content-length: .*$/gim), ["Content-Length: 3"]);
  });
});

test("errCode can be set", async () => {
  await against("nonsense\r\n\r\n", async (client) => {
    await client.get("/");
    assertEquals([client.errCode, client.errMsg === ""], [7102, false]);
    client.errCode = 0;
    assertEquals([client.errCode, client.errMsg, client.getLastError()], [0, "", 0]);
    client.errCode = 110;
    assertEquals([client.errCode, client.errMsg], [110, "Connection timed out"]);
  });
});

test("upgrade() to what is no HTTP is 7102; a 101 that opens no WebSocket has its status and header fields, with 8504", async () => {
  await against("not http at all\r\n\r\n", async (client) => {
    assertEquals([await client.upgrade("/"), client.errCode, client.statusCode], [false, 7102, -3]);
  });
  await against("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nX-A: 1\r\n\r\n", async (client) => {
    assertEquals([await client.upgrade("/"), client.errCode, client.statusCode], [false, 8504, 101]);
    assertEquals([client.headers["x-a"], client.connected], ["1", false]);
  });
});

test("upgrade() after post() sends no body", async () => {
  await against(OK, async (client, requests) => {
    await client.post("/", "the old body");
    const { length } = requests();
    assertEquals([await client.upgrade("/"), client.statusCode], [false, 200]);
    const request = requests().slice(length);
    assertStringIncludes(request, "GET / HTTP/1.1\r\n");
    assertEquals([request.endsWith("\r\n\r\n"), /content-length/i.test(request)], [true, false]);
  });
});
