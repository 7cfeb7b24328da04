// The chunked coding read as strictly as heads are: see strictness_test.ts.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { accepted, bytes, parse, parseEveryWay, refused } from "../support/http_parsing.ts";

const chunked = (body: string) => `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;

test("chunk sizes are hex digits", () => {
  for (const size of ["", "g", "0x3", "+3", "-3", " 3", "3 ", "3\t", "3.", "3h", "\xb3", "_3"]) {
    refused(400, chunked(`${size}\r\nabc\r\n0\r\n\r\n`));
  }
  accepted(chunked("3\r\nabc\r\n0\r\n\r\n"), chunked("A\r\n0123456789\r\n0\r\n\r\n"), chunked("a\r\n0123456789\r\n0\r\n\r\n"));
});

test("chunk sizes have at most 8 digits", () => {
  accepted(chunked("00000003\r\nabc\r\n00000000\r\n\r\n"));
  refused(
    400,
    chunked("000000003\r\nabc\r\n0\r\n\r\n"),
    chunked("100000003\r\nabc\r\n0\r\n\r\n"),
    chunked(`${"f".repeat(17)}\r\nabc`),
  );
});

test("chunk extensions are skipped", () => {
  for (const extension of [";a", ";a=b", ';a="b"', ";a;b;c=d", "; a = b", ';a="b;c=\\"d\\"\te"', ';a="";b', ";a=b ;c"]) {
    const outcome = parseEveryWay(chunked(`3${extension}\r\nabc\r\n0${extension}\r\n\r\n`));
    assertEquals([outcome.status, outcome.requests[0]?.body], [0, "abc"], extension);
  }
});

test("chunk extensions are checked: names, values, quotes", () => {
  for (
    const extension of [
      " ;a",
      ";",
      ";;",
      ";a=",
      ";=b",
      ";a b",
      ";a=b c",
      ";a==b",
      ';a="b',
      ';a="b"c',
      ';a=b"c"',
      ';a="b\x00"',
      ';a="\\\x01"',
      ";a=\xe4",
      ";a=b\x7f",
    ]
  ) {
    refused(400, chunked(`3${extension}\r\nabc\r\n0\r\n\r\n`));
  }
});

test("chunk extensions are checked: line ends, also in quotes (CVE-2021-22960, CVE-2025-22871)", () => {
  refused(
    400,
    chunked("3;a\nabc\r\n0\r\n\r\n"),
    chunked("3;a\rabc\r\n0\r\n\r\n"),
    chunked('3;a="\r\nabc\r\n0\r\n\r\n'),
    chunked('3;a="b\n"\r\nabc\r\n0\r\n\r\n'),
    chunked('3;a="\\\r\n"\r\nabc\r\n0\r\n\r\n'),
    chunked("3\nabc\r\n0\r\n\r\n"),
    chunked("3\r\r\nabc\r\n0\r\n\r\n"),
  );
});

test("chunk extensions have a cap", () => {
  const one = `;a=${"b".repeat(1020)}`; // 1 KiB with the CR
  assertEquals(parse([bytes(chunked(`1${one}\r\na\r\n`.repeat(16) + "0\r\n\r\n"))]).requests.length, 1);
  assertEquals(parse([bytes(chunked(`1${one}\r\na\r\n`.repeat(17) + "0\r\n\r\n"))]).status, 431);
  assertEquals(parse([bytes(chunked(`1;${"b".repeat(20_000)}`))]).status, 431);
});

test("chunks end in CRLF", () => {
  refused(
    400,
    chunked("3\r\nabc0\r\n\r\n"),
    chunked("3\r\nabcd\r\n0\r\n\r\n"),
    chunked("3\r\nabc\n0\r\n\r\n"),
    chunked("3\r\nabc\r0\r\n\r\n"),
    chunked("3\r\nab\r\n0\r\n\r\n"),
    chunked("0\r\n\n"),
    chunked("0\r\n\rx"),
  );
});

test("trailers are checked and dropped", () => {
  const outcome = parseEveryWay(chunked("3\r\nabc\r\n0\r\nA: b\r\nContent-Length: 7\r\nHost: y\r\nC:\r\n\r\n"));
  assertEquals(outcome.requests[0]?.body, "abc");
  assertEquals(Object.keys(outcome.requests[0].header), ["host", "transfer-encoding"]);
  for (
    const trailer of [" A: b", "A : b", ": b", "A", "A: b\r\n c", "A: b\x00", "A\x00: b", "A: b\nC: d", "A: b\rC: d", "\xe4: b"]
  ) {
    refused(400, chunked(`0\r\n${trailer}\r\n\r\n`));
  }
});

test("trailers have a cap", () => {
  assertEquals(parse([bytes(chunked(`0\r\nA: ${"b".repeat(10_000)}\r\n\r\n`))]).requests.length, 1);
  assertEquals(parse([bytes(chunked(`0\r\n${`A: ${"b".repeat(1000)}\r\n`.repeat(20)}\r\n`))]).status, 431);
});
