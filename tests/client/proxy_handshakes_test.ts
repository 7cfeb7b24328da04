/** What is said to proxies, byte by byte. */

import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpTunnel, ProxyFailure, Socks5Handshake } from "../../src/client/proxy_handshakes.ts";
import type { ProxyHandshake } from "../../src/transport/runtime.ts";
import { latin1 } from "../coroutine/stage.ts";

/** Lets a handshake hear answers, whole and byte by byte; returns what it says in the end. */
function hear(make: () => ProxyHandshake, answers: readonly (Uint8Array | readonly number[])[]): Uint8Array | true | Error {
  const whole = make();
  whole.begin();
  let last: Uint8Array | true | Error = new Uint8Array(0);
  for (const answer of answers) last = whole.receive(Uint8Array.from(answer));
  const split = make();
  split.begin();
  let end: Uint8Array | true | Error = new Uint8Array(0);
  for (const byte of answers.flatMap((answer) => [...answer])) {
    if (end === true || end instanceof Error) break;
    end = split.receive(Uint8Array.of(byte));
  }
  if (last instanceof Error) assertInstanceOf(end === true ? last : end, Error);
  else assertEquals(end, last);
  return last;
}

function codeOf(said: Uint8Array | true | Error): number {
  assertInstanceOf(said, ProxyFailure);
  return (said as ProxyFailure).number;
}

const NAME = [...latin1("example.com")];
const OK4 = [5, 0, 0, 1, 127, 0, 0, 1, 0, 80];

test("SOCKS5 without a name: greeting, request, and a reply with an address of any type", () => {
  const make = () => new Socks5Handshake("example.com", 8080, "", "unused");
  assertEquals(make().begin(), Uint8Array.of(5, 1, 0));
  assertEquals(hear(make, [[5, 0]]), Uint8Array.of(5, 1, 0, 3, 11, ...NAME, 31, 144));
  for (
    const address of [[1, 127, 0, 0, 1], [4, ...new Array(16).fill(0)], [3, 3, 97, 98, 99], [3, 0], [
      3,
      255,
      ...new Array(255).fill(97),
    ]]
  ) {
    assertEquals(hear(make, [[5, 0], [5, 0, 0, ...address, 0, 80]]), true, `${address}`);
    assertEquals(codeOf(hear(make, [[5, 0], [5, 0, 0, ...address, 0, 80, 0]])), 7005);
  }
});

test("SOCKS5 with name and password (RFC 1929)", () => {
  const make = () => new Socks5Handshake("example.com", 80, "üser", "secret");
  assertEquals(make().begin(), Uint8Array.of(5, 2, 0, 2));
  const shown = Uint8Array.of(1, 5, 0xc3, 0xbc, ...latin1("ser"), 6, ...latin1("secret"));
  assertEquals(hear(make, [[5, 2]]), shown);
  assertEquals(hear(make, [[5, 2], [1, 0]]), Uint8Array.of(5, 1, 0, 3, 11, ...NAME, 0, 80));
  assertEquals(hear(make, [[5, 2], [1, 0], OK4]), true);
  assertEquals(hear(make, [[5, 0], OK4]), true); // it does not want them
  assertEquals(codeOf(hear(make, [[5, 2], [1, 1]])), 7003);
  assertEquals(codeOf(hear(make, [[5, 2], [5, 0]])), 7001);
});

test("SOCKS5: IP addresses are sent as such, names and all else for the proxy to look up", () => {
  const request = (host: string) => [...hear(() => new Socks5Handshake(host, 80, "", ""), [[5, 0]]) as Uint8Array].slice(3, -2);
  assertEquals(request("127.0.0.1"), [1, 127, 0, 0, 1]);
  assertEquals(request("::1"), [4, ...new Array(15).fill(0), 1]);
  assertEquals(request("2001:db8::1:2"), [4, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2]);
  assertEquals(request("::ffff:1.2.3.4"), [4, ...new Array(10).fill(0), 255, 255, 1, 2, 3, 4]);
  assertEquals(request("1:2:3:4:5:6:7:8"), [4, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8]);
  assertEquals(request("256.0.0.1"), [3, 9, ...latin1("256.0.0.1")]);
  assertEquals(request("a".repeat(255)).length, 257);
  assertThrows(() => new Socks5Handshake("a".repeat(256), 80, "", ""), RangeError, "255");
  assertThrows(() => new Socks5Handshake("a", 80, "a".repeat(256), ""), RangeError, "socks5_username");
  assertThrows(() => new Socks5Handshake("a", 80, "a", "a".repeat(256)), RangeError, "socks5_password");
});

test("SOCKS5: what a proxy does not do, or does wrong, has its code", () => {
  const make = () => new Socks5Handshake("example.com", 80, "", "");
  const named = () => new Socks5Handshake("example.com", 80, "a", "b");
  for (
    const [answers, code] of [
      [[[4, 0]], 7001],
      [[latin1("HTTP/1.1 400 Bad Request\r\n\r\n")], 7001],
      [[[5, 255]], 7002],
      [[[5, 2]], 7002],
      [[[5, 0], [4, 0]], 7001],
      [[[5, 0], [5, 1]], 7004],
      [[[5, 0], [5, 2]], 7004],
      [[[5, 0], [5, 3]], 101],
      [[[5, 0], [5, 4]], 113],
      [[[5, 0], [5, 5, 0, 1, 0, 0, 0, 0, 0, 0]], 111],
      [[[5, 0], [5, 6]], 110],
      [[[5, 0], [5, 8]], 7004],
      [[[5, 0], [5, 99]], 7004],
      [[[5, 0], [5, 0, 0, 2, 0]], 7005],
    ] as [(Uint8Array | number[])[], number][]
  ) assertEquals(codeOf(hear(make, answers)), code, JSON.stringify(answers));
  assertEquals(codeOf(hear(named, [[5, 1]])), 7002);
  assertEquals(codeOf(make().receive(Uint8Array.of(5, 0, 5))), 7005); // it cannot have heard the request yet
});

test("CONNECT asks for a tunnel, with a name if there is one; any 2xx opens it, whatever its fields say", () => {
  const make = () => new HttpTunnel("example.com:443", "");
  assertEquals(make().begin(), latin1("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"));
  assertEquals(
    new HttpTunnel("[::1]:80", "Basic YTpi").begin(),
    latin1("CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\nProxy-Authorization: Basic YTpi\r\n\r\n"),
  );
  for (
    const answer of [
      "HTTP/1.1 200 Connection established\r\n\r\n",
      "HTTP/1.0 200 OK\r\nServer: x\r\n\r\n",
      "HTTP/1.1 299 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ]
  ) assertEquals(hear(make, [latin1(answer)]), true, answer);
});

test("CONNECT: other responses, bytes that are not HTTP, and heads that are too long have their codes", () => {
  const make = () => new HttpTunnel("example.com:443", "");
  const head = (length: number) => `HTTP/1.1 200 OK\r\nA: ${"x".repeat(length - 24)}\r\n\r\n`;
  assertEquals(head(16384).length, 16384);
  assertEquals(hear(make, [latin1(head(16384))]), true);
  for (
    const [answer, code] of [
      ["HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 5\r\n\r\n", 7104],
      ["HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", 7104],
      ["HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", 7104],
      ["SSH-2.0-x\r\n", 7101],
      ["HTTP/1.1 200 OK\r\n\r\n\x16", 7101],
      [head(16385), 7101],
      [`HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(65)}\r\n`, 7101],
    ] as const
  ) {
    const whole = make();
    whole.begin();
    assertEquals(codeOf(whole.receive(latin1(answer))), code, answer.slice(0, 40));
  }
  const message = (make().receive(latin1("HTTP/1.1 407 x\r\n\r\n")) as Error).message;
  assert(message.includes("407"), message);
});
