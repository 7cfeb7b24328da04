import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { RequestParser } from "../../src/http/request_parser.ts";
import { bytes, oneByOne, type Outcome, parse, splits, text as textOf, WIDE } from "../support/http_parsing.ts";

/** What RequestParser makes of well-formed input, however it arrives. */
const cases: [name: string, text: string, requests: Partial<Outcome["requests"][0]>[]][] = [
  ["a request without a body", "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n", [
    { method: "GET", target: "/a?b=c", version: "1.1", header: { host: "x" }, body: "" },
  ]],
  ["HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", [{ version: "1.0", header: {} }]],
  [
    "header names in lower case, values without the blanks around them",
    "GET / HTTP/1.1\r\nHOST:x\r\nX-Long-NAME: \t a  b\t \r\n\r\n",
    [
      { header: { host: "x", "x-long-name": "a  b" } },
    ],
  ],
  [
    "repeated fields joined, cookies with a semicolon",
    "GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\na: 2\r\nCookie: b=1\r\nCookie: c=2\r\n\r\n",
    [
      { header: { host: "x", a: "1, 2", cookie: "b=1; c=2" } },
    ],
  ],
  [
    "names that mean something to JavaScript",
    "GET / HTTP/1.1\r\nHost: x\r\n__proto__: a\r\nconstructor: b\r\ntoString: c\r\n\r\n",
    [
      { header: { host: "x", ["__proto__"]: "a", constructor: "b", tostring: "c" } as unknown as Record<string, string> },
    ],
  ],
  ["bytes above 0x7f as Latin-1", "GET / HTTP/1.1\r\nHost: x\r\nA: \xe4\xff\r\n\r\n", [{
    header: { host: "x", a: "\xe4\xff" },
  }]],
  ["a body with a length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n\r\n\r\n!", [{ body: "\r\n\r\n!" }]],
  ["a body of no length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", [{ body: "" }]],
  ["a chunked body", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", [
    { body: "abc0123456789" },
  ]],
  ["an empty chunked body", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [{ body: "" }]],
  [
    "requests one after the other",
    "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: x\r\n\r\n\r\n" +
    "POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nd\r\n0\r\n\r\nGET /4 HTTP/1.0\r\n\r\n",
    [{ target: "/1", body: "abc" }, { target: "/2", body: "" }, { target: "/3", body: "d" }, { target: "/4" }],
  ],
];

for (const [name, text, expected] of cases) {
  test(`RequestParser reads ${name}`, () => {
    const all = bytes(text);
    const whole = parse([all]);
    assertEquals([whole.status, whole.open], [0, false]);
    const picked = whole.requests.map((request, i) =>
      Object.fromEntries(Object.keys(expected[i] ?? {}).map((key) => [key, request[key as keyof typeof request]]))
    );
    assertEquals(picked.map((request) => JSON.stringify(request)), expected.map((request) => JSON.stringify(request)));
    assertEquals(parse(oneByOne(all)), whole);
    for (const two of splits(all)) assertEquals(parse(two), whole);
  });
}

test("RequestParser stops behind the head and behind the body", () => {
  const parser = new RequestParser(WIDE);
  const chunk = bytes("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET");
  const head = parser.receive(chunk, 0);
  assertEquals([head, parser.head?.bodyLength, parser.complete], [chunk.length - 6, 3, false]);
  const body = parser.receive(chunk, head);
  assertEquals([body, parser.complete], [chunk.length - 3, true]);
  parser.next();
  assertEquals([parser.head, parser.complete, parser.begun], [undefined, false, false]);
});

test("RequestParser finds all fields, whatever the request before had", () => {
  const parser = new RequestParser(WIDE);
  const heads: [line: string, fields: string, header: Record<string, string>, length: number][] = [
    ["GET /a HTTP/1.1", "Host: x\r\nX-A: 1\r\n", { host: "x", "x-a": "1" }, 0],
    ["GET /bc HTTP/1.1", "Host: x\r\nX-A: 1\r\n", { host: "x", "x-a": "1" }, 0],
    ["GET /bc HTTP/1.1", "Host: x\r\nX-A: 2\r\n", { host: "x", "x-a": "2" }, 0],
    ["GET / HTTP/1.1", "Host: x\r\nX-A: 22\r\n", { host: "x", "x-a": "22" }, 0],
    ["POST / HTTP/1.1", "Host: x\r\nContent-Length: 1\r\n", { host: "x", "content-length": "1" }, 1],
    ["PUT /a HTTP/1.1", "Host: x\r\nContent-Length: 1\r\n", { host: "x", "content-length": "1" }, 1],
    ["GET / HTTP/1.1", `Host: x\r\nX-A: ${"y".repeat(3000)}\r\n`, { host: "x", "x-a": "y".repeat(3000) }, 0],
    ["GET / HTTP/1.1", `Host: x\r\nX-A: ${"y".repeat(2999)}z\r\n`, { host: "x", "x-a": `${"y".repeat(2999)}z` }, 0],
    ["GET / HTTP/1.1", "Host: x\r\n", { host: "x" }, 0],
    ["GET / HTTP/1.0", "Host: x\r\n", { host: "x" }, 0],
    ["GET / HTTP/1.0", "X-A: 1\r\n", { "x-a": "1" }, 0],
  ];
  for (const [line, fields, header, length] of heads) {
    const chunk = bytes(`${line}\r\n${fields}\r\n${length === 1 ? "b" : ""}`);
    for (let at = 0; at < chunk.length;) at = parser.receive(chunk, at);
    const { head } = parser;
    assertEquals([`${head?.method} ${head?.target} HTTP/${head?.version}`, { ...head?.header }], [line, header]);
    assertEquals([head?.bodyLength, parser.body.length, parser.complete], [length, length, true]);
    parser.next();
  }
  // Without Host it is refused in HTTP/1.1, although the fields are those of the last request.
  parser.receive(bytes("GET / HTTP/1.1\r\nX-A: 1\r\n\r\n"), 0);
  assertEquals(parser.failure?.status, 400);
});

test("RequestParser knows a head that comes again, and no other of the same length", () => {
  const first = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n";
  const others = [
    "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: y\r\nContent-Length: 2\r\n\r\n",
  ];
  for (const other of others) {
    const all = bytes([first, first, other, first, first].map((head, i) => `${head}${i}!`).join(""));
    const whole = parse([all]);
    assertEquals(whole.requests.map(({ target, header, body }) => [target, header.host, body]), [
      ["/a", "x", "0!"],
      ["/a", "x", "1!"],
      [other.slice(5, 7), other.includes("Host: x") ? "x" : "y", "2!"],
      ["/a", "x", "3!"],
      ["/a", "x", "4!"],
    ]);
    for (const two of splits(all)) assertEquals(parse(two), whole);
  }
  const parser = new RequestParser(WIDE);
  const chunk = bytes(`${first}ab\r\n${first}`);
  const once = parser.receive(chunk, parser.receive(chunk, 0));
  const { head } = parser;
  parser.next();
  assertEquals([parser.receive(chunk, once), parser.head === head, parser.complete], [chunk.length, false, false]); // behind an empty line
  parser.next();
  const again = parser.receive(bytes(`--${first}`), 2);
  assertEquals([again, parser.begun, parser.complete, parser.isMidMessage], [2 + first.length, true, false, true]);
});

test("RequestParser says how long the body will be", () => {
  for (const [fields, length] of [["", 0], ["Content-Length: 7\r\n", 7], ["Transfer-Encoding: chunked\r\n", -1]] as const) {
    const parser = new RequestParser(WIDE);
    parser.receive(bytes(`POST / HTTP/1.1\r\nHost: x\r\n${fields}\r\n`), 0);
    assertEquals(parser.head?.bodyLength, length);
    assertEquals(parser.complete, length === 0);
  }
});

test("RequestParser has not begun before the first byte of a request, whatever empty lines there are", () => {
  const parser = new RequestParser(WIDE);
  for (const piece of ["\r", "\n", "\r\n", "\r\n\r", "\n"]) {
    parser.receive(bytes(piece), 0);
    assertEquals([parser.begun, parser.heldBytes, parser.failure], [false, 0, undefined]);
  }
  parser.receive(bytes("G"), 0);
  assertEquals(parser.begun, true);
});

test("RequestParser reads nothing behind a failure", () => {
  const parser = new RequestParser(WIDE);
  assertEquals(parser.receive(bytes("GET /\n"), 0), 5);
  assertEquals(parser.failure?.status, 400);
  const good = bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals(parser.receive(good, 0), 0);
  assertEquals([parser.head, parser.complete], [undefined, false]);
});

test("RequestParser holds memory for what has arrived, not for what was announced", () => {
  const parser = new RequestParser({ ...WIDE, maxBodySize: 1 << 30 });
  const head = bytes("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
  assertEquals(parser.receive(head, 0), head.length);
  parser.receive(new Uint8Array(10_000), 0);
  assertEquals([parser.heldBytes >= 10_000, parser.heldBytes <= 20_000], [true, true]);
  parser.dispose();
  assertEquals(parser.heldBytes, 0);
  const chunked = new RequestParser({ ...WIDE, maxBodySize: 1 << 30 });
  const text = bytes("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3fffffff\r\nabc");
  chunked.receive(text, chunked.receive(text, 0));
  assertEquals(chunked.heldBytes <= 1024, true);
});

test("RequestParser gives each request a body of its own", () => {
  const parser = new RequestParser(WIDE);
  const bodies: Uint8Array[] = [];
  for (const letter of ["a", "b"]) {
    const text = bytes(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n${letter.repeat(3)}`);
    parser.receive(text, parser.receive(text, 0));
    bodies.push(parser.body);
    parser.next();
    text.fill(0);
  }
  assertEquals(bodies.map((body) => new TextDecoder().decode(body)), ["aaa", "bbb"]);
});

test("RequestParser says where a line does not end as it should", () => {
  for (const [text, at] of [["GET /\nHost", 5], ["GET /\rHost", 6], ["GET / HTTP/1.1\r\n\n", 16], ["\n", 0]] as const) {
    const parser = new RequestParser(WIDE);
    assertEquals([parser.receive(bytes(text), 0), parser.failure?.status], [at, 400], text);
  }
});

test("RequestParser is in the middle of a request from its first byte to its last, unless it is refused", () => {
  for (
    const text of [
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ]
  ) {
    const parser = new RequestParser(WIDE);
    parser.receive(bytes("\r\n"), 0);
    assertEquals(parser.isMidMessage, false);
    for (const [index, byte] of bytes(text).entries()) {
      parser.receive(new Uint8Array([byte]), 0);
      assertEquals(parser.isMidMessage, index < text.length - 1, `behind byte ${index}`);
    }
    parser.next();
    assertEquals(parser.isMidMessage, false);
    parser.receive(bytes("GET\n"), 0);
    assertEquals([parser.begun, parser.isMidMessage], [true, false]);
  }
});

test("RequestParser reads a head whose end is in the middle of a chunk that it gets from there", () => {
  const [first, second] = ["GET /a HTTP/1.1\r\nHo", "st: x\r\nA: b\r\n\r\n"];
  const parser = new RequestParser(WIDE);
  parser.receive(bytes(first), 0);
  const other = `other bytes${second}`;
  assertEquals(parser.receive(bytes(other), other.length - second.length), other.length);
  assertEquals([parser.head?.target, { ...parser.head?.header }], ["/a", { host: "x", a: "b" }]);
});

test("RequestParser passes a body on as it arrives, and keeps nothing of it", () => {
  for (
    const [fields, body] of [["Content-Length: 6", "abcdef"], ["Transfer-Encoding: chunked", "2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n"]]
  ) {
    const parser = new RequestParser(WIDE);
    parser.receive(bytes(`POST / HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n`), 0);
    let passed = "";
    parser.onBody = (chunk, start, end) => passed += textOf(chunk.subarray(start, end));
    for (const piece of oneByOne(bytes(body))) {
      parser.receive(piece, 0);
      assertEquals([parser.heldBytes, parser.body.length], [0, 0]);
    }
    assertEquals([parser.complete, passed], [true, "abcdef"]);
    // The next body is kept.
    parser.next();
    const next = bytes("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nghi");
    parser.receive(next, parser.receive(next, 0));
    assertEquals([textOf(parser.body), passed], ["ghi", "abcdef"]);
  }
});
