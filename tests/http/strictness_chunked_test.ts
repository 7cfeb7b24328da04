// The chunked coding read as strictly as heads are: see strictness_test.ts.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { ChunkedDecoder } from "../../src/http/chunked.ts";
import { accepted, bytes, oneByOne, parse, parseEveryWay, refused, splits, text } from "../support/http_parsing.ts";

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

test("extensions and trailers have one cap of 16 KiB: at the limit and one past it", () => {
  const status = (body: string) => parse([bytes(chunked(body))]).status;
  // The semicolon and the first byte of a trailer do not count, the CR does.
  const extension = (size: number) => `1;${"b".repeat(size - 1)}\r\na\r\n`;
  const trailer = (size: number) => `0\r\nA: ${"b".repeat(size - 3)}\r\n\r\n`;
  const cap = 16 * 1024;
  assertEquals([status(extension(cap) + "0\r\n\r\n"), status(extension(cap + 1) + "0\r\n\r\n")], [0, 431]);
  assertEquals([status(trailer(cap)), status(trailer(cap + 1))], [0, 431]);
  assertEquals([status(extension(cap - 100) + trailer(100)), status(extension(cap - 100) + trailer(101))], [0, 431]);
});

test("trailers are kept on request, unchanged, and nothing else is", () => {
  const body = bytes('3;a="b"\r\nA:b\r\n0;c=d\r\nA: b\r\nC:\r\nd:\te\r\n\r\nGET');
  for (const [keeps, trailer] of [[true, "A: b\r\nC:\r\nd:\te\r\n"], [false, ""], [undefined, ""]] as const) {
    for (const pieces of [[body], [...oneByOne(body)], ...splits(body)]) {
      const decoder = new ChunkedDecoder(keeps);
      let content = "";
      let left = 0;
      for (const piece of pieces) {
        const at = decoder.receive(piece, 0, (start, end) => {
          content += text(piece.subarray(start, end));
          return true;
        });
        if (typeof at !== "number") throw new Error(at.reason);
        left += piece.length - at;
      }
      assertEquals([decoder.done, content, decoder.trailer, left], [true, "A:b", trailer, 3]);
    }
  }
});

test("a receiver can stop a chunked body", () => {
  const piece = bytes("3\r\nabc\r\n0\r\n\r\n");
  const decoder = new ChunkedDecoder();
  assertEquals(decoder.receive(piece, 0, () => false), 3);
  assertEquals(decoder.done, false);
});

test("any other byte in place of a delimiter is refused", () => {
  refused(
    400,
    chunked("\r\n\r\n"), // no size is not 0
    chunked("3xa\r\nabc\r\n0\r\n\r\n"),
    chunked("3\rxabc\r\n0\r\n\r\n"),
    chunked("3\r\nabcx\n0\r\n\r\n"),
    chunked("3\r\nabc\rx0\r\n\r\n"),
    chunked("3\nxabc\r\n0\r\n\r\n"),
    chunked("0\r\nA: b\rx\r\n"),
    chunked("0\r\nA:\nb\r\n\r\n"),
    chunked("0\r\nA(b\r\n\r\n"),
    chunked("0\r\n\rx"),
  );
  for (const extension of [";a(b", ";a (b", ";a=b(c", ";a=b (c", ';a="b"(c', ";a=(b", ";(a", ";\n"]) {
    refused(400, chunked(`3${extension}\r\nabc\r\n0\r\n\r\n`));
  }
  accepted(chunked('3;\ta\t=\tb\t;\tc="d"\t\r\nabc\r\n0\r\n\r\n'));
});

test("sizes of several digits are hexadecimal", () => {
  for (const size of [10, 15, 16, 17, 0xab, 0xfe, 0x100, 0x1234]) {
    for (const digits of [size.toString(16), size.toString(16).toUpperCase()]) {
      const { status, requests } = parse([bytes(chunked(`${digits}\r\n${"a".repeat(size)}\r\n0\r\n\r\n`))]);
      assertEquals([status, requests[0]?.body.length], [0, size], digits);
    }
  }
});

test("a chunk size takes every hexadecimal digit, and no other byte", () => {
  for (let byte = 0; byte < 256; byte++) {
    const character = String.fromCharCode(byte);
    const isDigit = /^[0-9a-f]$/i.test(character);
    assertEquals(
      typeof new ChunkedDecoder().receive(new Uint8Array([byte]), 0, () => true),
      isDigit ? "number" : "object",
      character,
    );
    if (!isDigit) continue;
    let size = 0;
    const decoder = new ChunkedDecoder();
    decoder.receive(bytes(`${character}\r\n${"a".repeat(16)}`), 0, (start, end) => (size = end - start, true));
    assertEquals(size, parseInt(character, 16), character);
  }
});
