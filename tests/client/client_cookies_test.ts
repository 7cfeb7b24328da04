/** The cookies of `HttpClient` (RFC 6265): they travel as they are, to where they belong. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import type net from "node:net";
import { test } from "node:test";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { CookieJar, type CookieScope } from "../../src/client/cookie_jar.ts";
import { serverFor } from "./client_servers.ts";

/** Runs a server that sets what `set()` says for a path, and notes the Cookie field of each request as Latin-1. */
async function setting(
  set: (path: string, host: string) => readonly string[],
  work: (port: number, sent: (string | undefined)[]) => Promise<void>,
): Promise<void> {
  const sent: (string | undefined)[] = [];
  await serverFor((socket: net.Socket) => {
    socket.on("data", (chunk) => {
      const head = chunk.toString("latin1");
      sent.push(/^Cookie: (.*)\r$/m.exec(head)?.[1]);
      const fields = set(head.split(" ")[1], /^Host: (.*)\r$/m.exec(head)![1]).map((value) => `Set-Cookie: ${value}\r\n`);
      socket.write(`HTTP/1.1 200 OK\r\n${fields.join("")}Content-Length: 0\r\n\r\n`, "latin1");
    });
    socket.on("end", () => socket.end());
  }, (port) => work(port, sent));
}

test("a cookie comes back byte for byte, however it is written", async () => {
  const values = [
    "ab+c/d==",
    "s:abc.def+/=",
    "%20x%zz+",
    '"in quotes"',
    "a b",
    '{"a":1}',
    "\xe9\xff",
    "k=v&k2=v2",
    "",
    "ü".repeat(3),
  ];
  for (const value of values) {
    await setting(() => [`csrf=${value}; Path=/; HttpOnly`], async (port, sent) => {
      const client = new HttpClient("127.0.0.1", port);
      await client.get("/");
      await client.get("/");
      assertEquals(sent, [undefined, `csrf=${value}`]);
      client.close();
    });
  }
});

test("names that are names of objects, or no names, come back too", async () => {
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty", "\xe9", "a b", "a,b", '"a"']) {
    await setting(() => [`${name}=1`], async (port, sent) => {
      const client = new HttpClient("127.0.0.1", port);
      await client.get("/");
      await client.get("/");
      assertEquals([sent, Object.keys(client.cookies)], [[undefined, `${name}=1`], [name]]);
      client.cookies = {}; // has a prototype
      await client.get("/");
      await client.get("/");
      assertEquals([sent[2], sent[3], Object.keys(client.cookies)], [undefined, `${name}=1`, [name]]);
      client.close();
    });
  }
  assertEquals(({} as Record<string, unknown>)["1"], undefined);
});

test("a cookie is sent to the paths that it is for, the longest path first", async () => {
  const set = (path: string) =>
    path === "/app/login?x=/y/z" ? ["a=1", "b=2; Path=/", "c=3; Path=/app/in", "c=4; Path=/app/in/side"] : [];
  await setting(set, async (port, sent) => {
    const client = new HttpClient("127.0.0.1", port);
    const paths = [
      "/app/login?x=/y/z",
      "/",
      "/app",
      "/app/",
      "/application",
      "/app/in",
      "/app/inn",
      "/app/in/side/x?y",
      "/APP/in",
    ];
    for (const path of paths) await client.get(path);
    const expected = ["", "b=2", "a=1; b=2", "a=1; b=2", "b=2", "c=3; a=1; b=2", "a=1; b=2", "c=4; c=3; a=1; b=2", "b=2"];
    assertEquals(sent.map((field) => field ?? ""), expected);
    assertEquals({ ...client.cookies }, { a: "1", b: "2", c: "4" });
    client.close();
  });
});

test("a cookie is sent to the hosts that it is for", async () => {
  const set = (path: string, host: string) =>
    path === "/set"
      ? [
        `own=${host}`,
        "wide=1; Domain=example.com",
        "dot=2; Domain=.example.com",
        "other=3; Domain=example.org",
        "top=4; Domain=com",
      ]
      : [];
  await setting(set, async (port, sent) => {
    const client = new HttpClient("127.0.0.1", port);
    const get = async (host: string, path = "/") => {
      client.setHeaders({ Host: host });
      await client.get(path);
      return sent.at(-1);
    };
    await get("a.example.com", "/set");
    assertEquals(Object.keys(client.cookies), ["own", "wide", "dot"]);
    assertEquals(await get("A.Example.com:8080"), "own=a.example.com; wide=1; dot=2");
    assertEquals(await get("b.example.com"), "wide=1; dot=2");
    assertEquals(await get("example.com"), "wide=1; dot=2");
    for (const host of ["notexample.com", "example.com.evil.org", "127.0.0.1", "com"]) assertEquals(await get(host), undefined);
    client.setHeaders({});
    client.close();
  });
});

test("a domain that is an address is that address alone", async () => {
  await setting(() => ["a=1; Domain=127.0.0.1", "b=2; Domain=0.0.1", "c=3; Domain=0.1"], async (port, sent) => {
    const client = new HttpClient("127.0.0.1", port);
    await client.get("/");
    await client.get("/");
    assertEquals(sent[1], "a=1");
    client.close();
  });
});

test("cookies for TLS are neither taken nor sent without it, nor replaced by such as came without it", () => {
  const jar = new CookieJar();
  const cookies = CookieJar.bare({});
  const plain: CookieScope = { host: "example.com", path: "/", secure: false };
  const tls: CookieScope = { ...plain, secure: true };
  jar.store("a=1; Secure", plain, cookies, 0);
  jar.store("__Secure-b=1", plain, cookies, 0);
  jar.store("__Host-c=1; Secure; Path=/; Domain=example.com", tls, cookies, 0);
  jar.store("__host-d=1; Secure", tls, cookies, 0);
  assertEquals(jar.header(cookies, tls, 0), "");
  jar.store("a=1; Secure", tls, cookies, 0);
  jar.store("__Secure-b=2; Secure", tls, cookies, 0);
  jar.store("__Host-c=3; Secure; Path=/", tls, cookies, 0);
  jar.store("a=from the way", plain, cookies, 0);
  assertEquals([jar.header(cookies, plain, 0), jar.header(cookies, tls, 0)], ["", "a=1; __Secure-b=2; __Host-c=3"]);
});

test("cookies end when they say so, in any way of writing dates; Max-Age counts more", () => {
  const scope: CookieScope = { host: "example.com", path: "/", secure: false };
  const ends = Date.UTC(2030, 5, 9, 10, 18, 14);
  const dates = [
    "Sun, 09 Jun 2030 10:18:14 GMT",
    "Sunday, 09-Jun-30 10:18:14 GMT",
    "Sun Jun  9 10:18:14 2030",
    "9 june 2030 10:18:14",
    "10:18:14 2030 jun 9",
  ];
  for (const date of [...dates, `${dates[0]}; Max-Age=`, `${dates[0]}; Max-Age=x`]) {
    const jar = new CookieJar();
    const cookies = CookieJar.bare({});
    jar.store(`a=1; Expires=${date}`, scope, cookies, 0);
    assertEquals([jar.header(cookies, scope, ends - 1), jar.header(cookies, scope, ends), { ...cookies }], ["a=1", "", {}], date);
  }
  for (const rest of ["Expires=soon", "Expires=Sun, 32 Jun 2030 10:18:14 GMT", "Expires=09 Jun 2030", ""]) {
    const jar = new CookieJar();
    const cookies = CookieJar.bare({});
    jar.store(`a=1; ${rest}`, scope, cookies, 0);
    assertEquals(jar.header(cookies, scope, 1e14), "a=1", rest);
  }
  const jar = new CookieJar();
  const cookies = CookieJar.bare({});
  jar.store("a=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:01 GMT", scope, cookies, 1e12);
  jar.store("b=1; Path=/x", scope, cookies, 1e12);
  jar.store("b=; Max-Age=0", scope, cookies, 1e12); // is another one
  assertEquals([jar.header(cookies, scope, 1e12 + 9_999), jar.header(cookies, scope, 1e12 + 10_000)], ["a=1", ""]);
  assertEquals(jar.header(cookies, { ...scope, path: "/x" }, 1e12 + 10_000), "b=1");
});

test("what the program sets is sent with each request, and replaces what a server has set", async () => {
  await setting((path) => path === "/set" ? ["a=x+y; Path=/set", "b=2"] : [], async (port, sent) => {
    const client = new HttpClient("127.0.0.1", port);
    await client.get("/set");
    assertEquals({ ...client.cookies }, { a: "x+y".replace("+", client.cookies.a![1]), b: "2" });
    client.cookies.a = "mine;";
    client.cookies.c = "3";
    await client.get("/other");
    assertEquals(sent.at(-1), "a=mine%3B; b=2; c=3");
    delete client.cookies.b;
    await client.get("/other");
    assertEquals(sent.at(-1), "a=mine%3B; c=3");
    await client.get("/set"); // the server sets them again
    await client.get("/set");
    assertEquals(sent.at(-1), "a=x+y; c=3; b=2");
    client.setCookies({ ...client.cookies, d: "4" }); // keeps them, and what they are for
    await client.get("/other");
    assertEquals(sent.at(-1), "c=3; b=2; d=4");
    client.cookies.b = undefined;
    await client.get("/other");
    assertEquals(sent.at(-1), "c=3; d=4");
    client.setCookies(client.cookies);
    assertEquals({ ...client.cookies }, { a: "x+y", c: "3", d: "4" });
    client.setCookies({});
    await client.get("/set");
    assertEquals(sent.at(-1), undefined);
    assertThrows(() => client.setCookies({ "a;b": "1" }), TypeError);
    client.close();
  });
});

test("a server cannot make a client keep more than 50 cookies, nor large ones", async () => {
  let count = 0;
  const set = () => [
    ...Array.from({ length: 20 }, () => `n${count++}=${"x".repeat(10)}`),
    `large=${"x".repeat(4092)}`,
    `${"n".repeat(4096)}=1`,
  ];
  await setting(set, async (port, sent) => {
    const client = new HttpClient("127.0.0.1", port);
    client.setCookies({ own: "1" });
    for (let i = 0; i < 30; i++) assert(await client.get("/"), client.errMsg);
    const names = Object.keys(client.cookies);
    assertEquals([names.length, names[0], names[1], names.at(-1)], [51, "own", "n550", "n599"]);
    assertEquals(sent.at(-1)!.split("; ").length, 51);
    client.close();
  });
});
