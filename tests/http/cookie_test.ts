import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { Cookie, HttpServer } from "../../mod.ts";
import * as coroutine from "../../src/coroutine/mod.ts";
import { MemoryClient } from "../support/memory_client.ts";

const EMPTY = {
  name: "",
  value: "",
  path: "",
  domain: "",
  sameSite: "",
  priority: "",
  encode: true,
  expires: 0,
  secure: false,
  httpOnly: false,
  partitioned: false,
};

test("every part in its place, in the order and the spelling that cookie() has", () => {
  const cookie = new Cookie()
    .withName("a").withValue("b c").withExpires(4102444800).withPath().withDomain("example.com").withSecure(true)
    .withHttpOnly(true).withSameSite("None").withPriority("High").withPartitioned(true);
  assertEquals(
    cookie.toString(),
    "a=b%20c; expires=Fri, 01 Jan 2100 00:00:00 GMT; path=/; domain=example.com; secure; HttpOnly; SameSite=None; Priority=High; Partitioned",
  );
  assertEquals(cookie.toArray(), {
    name: "a",
    value: "b c",
    path: "/",
    domain: "example.com",
    sameSite: "None",
    priority: "High",
    encode: true,
    expires: 4102444800,
    secure: true,
    httpOnly: true,
    partitioned: true,
  });
});

test("what is not set is not sent, and a call without a value unsets it", () => {
  const cookie = new Cookie().withName("a").withValue("b");
  assertEquals(String(cookie), "a=b");
  cookie.withExpires(5).withDomain("x").withSecure(true).withHttpOnly(true).withSameSite("Lax").withPriority("Low")
    .withPartitioned(true);
  cookie.withExpires().withDomain().withSecure().withHttpOnly().withSameSite().withPriority().withPartitioned();
  assertEquals(String(cookie), "a=b");
  assertEquals(String(cookie.withValue().withPath("/p")), "a=deleted; expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0; path=/p");
});

test("a value that is not to be encoded is sent as it is, and refused if it cannot be", () => {
  assertEquals(String(new Cookie(false).withName("a").withValue("b%20+c")), "a=b%20+c");
  assertThrows(() => new Cookie(false).withName("a").withValue("b c").toString(), TypeError);
});

test("what would end it early, no name, and an end that is no time are refused", () => {
  assertThrows(() => new Cookie().withValue("b").toString(), TypeError, "name");
  const bad: ((cookie: Cookie) => Cookie)[] = [
    (cookie) => cookie.withName("a=b"),
    (cookie) => cookie.withName("a;b"),
    (cookie) => cookie.withPath("/;HttpOnly"),
    (cookie) => cookie.withDomain("x\r\nSet-Cookie: y=z"),
    (cookie) => cookie.withSameSite("Lax;x"),
    (cookie) => cookie.withPriority("a,b"),
  ];
  for (const spoil of bad) assertThrows(() => spoil(new Cookie().withName("a").withValue("b")).toString(), TypeError);
  assertThrows(() => new Cookie().withName("a").withValue("b").withExpires(253402300800).toString(), RangeError);
});

test("reset() forgets everything, and toArray() gives a copy", () => {
  const cookie = new Cookie(false).withName("a").withValue("b").withSecure(true);
  cookie.toArray().name = "c";
  assertEquals(cookie.toArray().name, "a");
  cookie.reset();
  assertEquals(cookie.toArray(), EMPTY);
});

test("cookie() and its three sisters take one as it is at that time; the cookie knows whether it is encoded", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", (_request, response) => {
    const cookie = new Cookie().withName("a").withValue("1 1");
    assert(response.cookie(cookie, "ignored", 5, "/ignored"));
    assert(response.setCookie(cookie.withValue("2 2")));
    assert(response.rawcookie(cookie.withValue("3 3")));
    assert(response.setRawCookie(new coroutine.Cookie(false).withName("b").withValue("4+4")));
    assertThrows(() => response.cookie(new Cookie()), TypeError);
    response.end();
    assertEquals(response.cookie(cookie), false);
  });
  const client = new MemoryClient(server);
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const { status, head } = await client.readAnswer();
  assertEquals(status, 200);
  assertEquals([...head.matchAll(/^Set-Cookie: (.*)\r$/gm)].map(([, value]) => value), [
    "a=1%201",
    "a=2%202",
    "a=3%203",
    "b=4+4",
  ]);
  client.drop();
  server.shutdown();
});
