// What a proxy in front of the server and the server could read in two ways is refused. One test for each rule; every example
// arrives whole, in two pieces split at each place, and byte by byte. What other servers had to learn of it is named.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { isFieldValue, isToken, trim } from "../../src/http/request_head.ts";
import { accepted, bytes, parse, parseEveryWay, refused, WIDE } from "../support/http_parsing.ts";

const HOST = "Host: x\r\n";
const get = (fields: string) => `GET / HTTP/1.1\r\n${HOST}${fields}\r\n`;
const post = (fields: string, body: string) => `POST / HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
const chunked = (body: string) => post("Transfer-Encoding: chunked\r\n", body);

test("lines end in CRLF: no bare LF", () => {
  refused(
    400,
    "GET / HTTP/1.1\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n\n",
    "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
  );
});

test("lines end in CRLF: no bare CR (CVE-2022-35256)", () => {
  refused(
    400,
    "GET / HTTP/1.1\rHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nA: b\r\rContent-Length: 3\r\n\r\nabc",
    "GET / HTTP/1.1\r\nHost: x\r\n\rGET",
    "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n",
  );
});

test("empty lines in front of a request are skipped", () => {
  accepted("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
});

test("no whitespace before the colon (CVE-2021-22959)", () => {
  refused(400, get("A : b\r\n"), get("A\t: b\r\n"), get("Content-Length : 3\r\n"), get("Transfer-Encoding : chunked\r\n"));
});

test("no folded lines, nor a blank in front of a name (CVE-2022-32215, CVE-2024-27982)", () => {
  refused(400, get("A: b\r\n c\r\n"), get("A: b\r\n\tc\r\n"), "GET / HTTP/1.1\r\n Host: x\r\n\r\n", get("A: b\r\n \r\n"));
  refused(
    400,
    `POST / HTTP/1.1\r\n Content-Length: 3\r\n${HOST}\r\nabc`,
    post("Transfer-Encoding: chunked\r\n , identity\r\n", "0\r\n\r\n"),
  );
});

test("header names are tokens", () => {
  for (
    const name of [
      "a b",
      "a(b",
      "a)b",
      "a<b",
      "a@b",
      "a,b",
      "a;b",
      "a\\b",
      'a"b',
      "a/b",
      "a[b",
      "a?b",
      "a=b",
      "a{b",
      "a\x7fb",
      "a\x00b",
      "\xe4",
    ]
  ) {
    refused(400, get(`${name}: c\r\n`));
  }
  accepted(get("!#$%&'*+-.^_`|~09AZaz: c\r\n"));
});

test("no empty header name, no line without a colon", () => {
  refused(400, get(": b\r\n"), get("A\r\n"), get("A b\r\n"));
});

test("header values hold no control characters", () => {
  for (const byte of ["\x00", "\x01", "\x08", "\x0b", "\x0c", "\x1f", "\x7f"]) {
    refused(400, get(`A: b${byte}c\r\n`), get(`A: ${byte}\r\n`));
  }
  accepted(get("A:\r\n"), get("A: \t b\tc d \t\r\n"), get("A: \xe4\xff\x80\r\n"));
});

test("Host is needed in HTTP/1.1", () => {
  refused(400, "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n\r\n");
  accepted("GET / HTTP/1.0\r\n\r\n");
});

test("Host is there once", () => {
  refused(400, get("Host: x\r\n"), get("Host: y\r\n"), get("host: x\r\n"), "GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n");
});

test("Host may be empty (RFC 9110 section 7.2), but not missing", () => {
  accepted("GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nHost: \t\r\n\r\n", "GET / HTTP/1.0\r\nHost:\r\n\r\n");
  refused(400, "GET / HTTP/1.1\r\n\r\n");
});

test("CONNECT has no target that is known here (RFC 9112 section 3.2.3)", () => {
  refused(
    400,
    "CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
    "CONNECT http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
  );
});

test("Host is a host", () => {
  for (
    const host of [
      "a b",
      "a,b",
      "a/b",
      "a@b",
      "a?b",
      "a#b",
      "http://a",
      "a:b",
      "a:1:2",
      "[::1",
      "::1",
      "[x]",
      ":80",
      "a:123456",
      "\xe4",
    ]
  ) {
    refused(400, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  }
  for (const host of ["a", "a:80", "a_b.c-d", "127.0.0.1:9501", "[::1]", "[::1]:80", "a:", "%61"]) {
    accepted(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  }
});

test("Content-Length is digits only", () => {
  for (const value of ["", "+3", "-3", "-0", "3.0", "0x3", "3 3", "3a", "3,", "1e1", "1_0", "\xb3", "9".repeat(16)]) {
    refused(400, post(`Content-Length: ${value}\r\n`, "abc"));
  }
  accepted(post("Content-Length: 3\r\n", "abc"), post("Content-Length: 003\r\n", "abc"), post("Content-Length: \t3 \r\n", "abc"));
});

test("Content-Length may be repeated, but not differ, and is no list", () => {
  accepted(post("Content-Length: 3\r\ncontent-length: 3\r\n", "abc"));
  refused(
    400,
    post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"),
    post("Content-Length: 3\r\nContent-Length: 03\r\n", "abc"),
    post("Content-Length: 3, 3\r\n", "abc"),
    post("Content-Length: 3\r\nContent-Length: 3\r\nContent-Length: 0\r\n", "abc"),
  );
});

test("Transfer-Encoding is exactly one chunked, and it is the last (CVE-2022-32213)", () => {
  accepted(chunked("0\r\n\r\n"), post("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n"));
  for (
    const value of [
      "",
      "chunked, chunked",
      "chunked, gzip",
      "gzip",
      "identity",
      "xchunked",
      "chunkedx",
      "chunked;q=1",
      '"chunked"',
      ",chunked,",
      "chunked,",
    ]
  ) {
    refused(400, post(`Transfer-Encoding: ${value}\r\n`, "0\r\n\r\n"));
  }
  refused(
    400,
    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
    post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
    post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
  );
});

test("a transfer coding in front of chunked that is not known here: 501", () => {
  refused(
    501,
    post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
    post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
  );
});

test("Transfer-Encoding never stands beside Content-Length", () => {
  refused(
    400,
    post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n"),
  );
});

test("Transfer-Encoding is not known in HTTP/1.0", () => {
  refused(400, "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
});

test("one space in the request line", () => {
  refused(
    400,
    "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
    " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
    "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / a HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /\r\nHost: x\r\n\r\n",
    "GET\r\nHost: x\r\n\r\n",
    "/ HTTP/1.1\r\nHost: x\r\n\r\n",
  );
});

test("the method is a token, the version is written as it should be", () => {
  refused(
    400,
    "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / http/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.10\r\nHost: x\r\n\r\n",
    "GET / HTTP/01.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1,1\r\nHost: x\r\n\r\n",
    "GET / XTTP/1.1\r\nHost: x\r\n\r\n",
  );
  accepted("get / HTTP/1.1\r\nHost: x\r\n\r\n", "M-SEARCH / HTTP/1.1\r\nHost: x\r\n\r\n");
});

test("each part of a head takes the bytes that the grammar gives it, and no others, at each place of it", () => {
  const isIn = {
    token: /^[!#$%&'*+.^_`|~0-9A-Za-z-]$/,
    target: /^[!-~]$/,
    value: /^[\t -~\x80-\xff]$/,
  };
  const fields = (text: string) => `\r\nHost: x\r\n${text}\r\n`;
  for (let code = 0; code < 256; code++) {
    const byte = String.fromCharCode(code);
    const heads: [part: keyof typeof isIn, ...heads: string[]][] = [
      ["token", ...[byte, `${byte}G`, `G${byte}`, `G${byte}T`].map((method) => `${method} / HTTP/1.1${fields("")}`)],
      ["target", ...[`/${byte}`, `/${byte}a`].map((target) => `GET ${target} HTTP/1.1${fields("")}`)],
      ["token", ...[byte, `${byte}a`].map((name) => `GET / HTTP/1.1${fields(`${name}: b\r\n`)}`)],
      ["value", ...[`a${byte}a`, `a${byte}`, byte, `a${byte}aB: c`].map((value) => `GET / HTTP/1.1${fields(`A: ${value}\r\n`)}`)],
    ];
    for (const [part, ...texts] of heads) {
      const isRight = isIn[part].test(byte) && !(part === "target" && byte === "#");
      for (const text of texts) assertEquals(parse([bytes(text)]).status, isRight ? 0 : 400, JSON.stringify(text));
    }
    for (const text of [byte, `${byte}a`, `a${byte}`, `a${byte}a`]) {
      assertEquals(isToken(text), isIn.token.test(byte), JSON.stringify(text));
      assertEquals(isFieldValue(text), isIn.value.test(byte), JSON.stringify(text));
    }
  }
  assertEquals([isToken(""), isFieldValue(""), isToken("\u0141"), isFieldValue("\u0141")], [false, true, false, false]);
});

test("blanks around a value are no part of it, those inside are", () => {
  for (const blanks of ["", " ", "\t", " \t ", "\t \t"]) {
    for (const value of ["a", "ab", "a \tb", "\xa0", ""]) {
      assertEquals(trim(`${blanks}${value}${blanks}`), value);
      assertEquals([trim(blanks + value), trim(value + blanks)], [value, value]);
    }
  }
});

test("a version that is not spoken here: 505", () => {
  refused(505, "GET / HTTP/2.0\r\nHost: x\r\n\r\n", "GET / HTTP/0.9\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
});

test("the target is one", () => {
  for (const target of ["x", "*", "?a", "/a#b", "#", "/\x00", "/\x7f", "/\xe4", "http:/a", "http://", "ftp://a/", "a:80"]) {
    refused(400, `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
  }
  for (const target of ["/", "/a?b=c", "//a", "/%00", "http://x/", "HTTP://x", "https://x/a?b", '/a|b^c"d{e}']) {
    accepted(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
  }
  accepted("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
});

test("after a doubt nothing is read any more", () => {
  const good = "GET /good HTTP/1.1\r\nHost: x\r\n\r\n";
  const outcome = parseEveryWay(`${good}GET /bad HTTP/1.1\r\nHost : x\r\n\r\n${good}`);
  assertEquals(outcome.requests.map(({ target }) => target), ["/good"]);
  assertEquals(outcome.status, 400);
});

test("a request line that is too long: 414, at the limit and one past it", () => {
  const limits = { ...WIDE, maxHeadSize: 100 };
  const line = (size: number) => "GET /".padEnd(size - 9, "a") + " HTTP/1.1";
  const rest = "\r\nHost: x\r\n\r\n";
  assertEquals(parseEveryWay(line(100 - rest.length) + rest, limits).requests.length, 1);
  assertEquals(parseEveryWay(line(101) + rest, limits).status, 414);
  assertEquals(parseEveryWay("a".repeat(101), limits).status, 414);
  assertEquals(parseEveryWay("a".repeat(100), limits).open, true);
});

test("a head that is too long: 431, at the limit and one past it", () => {
  const limits = { ...WIDE, maxHeadSize: 200 };
  const head = (size: number) => {
    const start = `GET / HTTP/1.1\r\n${HOST}A: `;
    return start + "b".repeat(size - start.length - 4) + "\r\n\r\n";
  };
  assertEquals(parseEveryWay(head(200), limits).requests.length, 1);
  assertEquals(parseEveryWay(head(200) + head(200), limits).requests.length, 2);
  assertEquals(parseEveryWay(head(201), limits).status, 431);
  assertEquals(parseEveryWay(head(200) + head(201), limits), { ...parseEveryWay(head(200), limits), status: 431 });
});

test("empty lines in front of a request count, so that they end some time", () => {
  const limits = { ...WIDE, maxHeadSize: 100 };
  const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  assertEquals(parseEveryWay("\r\n".repeat(36) + request, limits).requests.length, 1);
  assertEquals(parseEveryWay("\r\n".repeat(51), limits).status, 431);
});

test("too many header fields: 431, at the limit and one past it", () => {
  const limits = { ...WIDE, maxHeaders: 10 };
  assertEquals(parseEveryWay(get("A: b\r\n".repeat(9)), limits).requests.length, 1);
  assertEquals(parseEveryWay(get("A: b\r\n".repeat(10)), limits).status, 431);
});

test("a body that is too large: 413, at the limit and one past it", () => {
  const limits = { ...WIDE, maxBodySize: 10 };
  assertEquals(parseEveryWay(post("Content-Length: 10\r\n", "0123456789"), limits).requests[0].body, "0123456789");
  assertEquals(parseEveryWay(post("Content-Length: 11\r\n", ""), limits).status, 413);
  assertEquals(parseEveryWay(post("Content-Length: 999999999999999\r\n", ""), limits).status, 413);
  assertEquals(parseEveryWay(chunked("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"), limits).requests[0].body, "0123456789");
  assertEquals(parseEveryWay(chunked("5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n"), limits).status, 413);
  assertEquals(parseEveryWay(chunked("ffffffff\r\n0123456789a"), limits).status, 413);
});
