import { assert, assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { ResponseParser } from "../../src/http/response_parser.ts";
import { type AnswerOptions, bytes, parseAnswersEveryWay, type ParsedAnswer, text, WIDE } from "../support/http_parsing.ts";

const OK = "HTTP/1.1 200 OK\r\n";
const LENGTH_3 = `${OK}Content-Length: 3\r\n\r\n`;

/** What ResponseParser makes of well-formed input, however it arrives. */
const cases: [name: string, received: string, answers: Partial<ParsedAnswer>[], options?: AnswerOptions, rest?: string][] = [
  ["a status line and fields", "HTTP/1.1 404 Not \xe4 Found\r\nA: 1\r\nB:\t2 \r\na: 3\r\nContent-Length: 0\r\n\r\n", [
    { status: 404, reason: "Not \xe4 Found", version: "1.1", header: { a: "1, 3", b: "2", "content-length": "0" }, body: "" },
  ]],
  ["an empty reason, with and without the blank", `HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\nHTTP/1.1 204\r\n\r\n`, [
    { status: 200, reason: "" },
    { status: 204, reason: "" },
  ], { methods: ["GET", "GET"] }],
  ["HTTP/1.0, which ends the connection", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", [
    { version: "1.0", keepAlive: false, body: "a" },
  ]],
  ["HTTP/1.0 that keeps the connection", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na", [
    { version: "1.0", keepAlive: true, body: "a" },
  ]],
  ["Connection: close in a list", `${OK}Connection: x, Close\r\nContent-Length: 1\r\n\r\na`, [{ keepAlive: false, body: "a" }]],
  ["a body with a length", `${LENGTH_3}\r\n\r`, [{ body: "\r\n\r", bodyLength: 3, keepAlive: true }]],
  ["a length that is there twice", `${OK}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`, [{ body: "abc" }]],
  ["a chunked body", `${OK}Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: t\r\n\r\n`, [
    { body: "abc0123456789", bodyLength: -1, keepAlive: true },
  ]],
  ["a body until the connection ends", `${OK}\r\nabc\r\n\r\nHTTP/1.1 200 OK\r\n\r\n`, [
    { body: "abc\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", bodyLength: -2, keepAlive: false },
  ]],
  ["an empty body until the connection ends", `${OK}\r\n`, [{ body: "", bodyLength: -2 }]],
  [
    "no body behind HEAD, 204 and 304, whatever the fields say",
    `${LENGTH_3}HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n` +
    "HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n" + `${OK}\r\n` + `${LENGTH_3}abc`,
    [
      { status: 200, body: "", bodyLength: 0, header: { "content-length": "3" } },
      { status: 204, body: "", bodyLength: 0 },
      { status: 304, body: "", bodyLength: 0, keepAlive: true },
      { status: 200, body: "", bodyLength: 0, keepAlive: true },
      { body: "abc" },
    ],
    { methods: ["HEAD", "GET", "GET", "HEAD", "GET"] },
  ],
  [
    "a tunnel behind CONNECT and 2xx",
    `${OK}Content-Length: 3\r\n\r\nabc`,
    [{ status: 200, bodyLength: 0, keepAlive: false, body: "" }],
    { methods: ["CONNECT"] },
    "abc",
  ],
  ["a body behind CONNECT that failed", "HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\nabc", [
    { status: 407, body: "abc", keepAlive: true },
  ], { methods: ["CONNECT"] }],
  [
    "interim answers, which are skipped",
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\nContent-Length: 7\r\n\r\n${LENGTH_3}abc`,
    [{ status: 200, body: "abc", header: { "content-length": "3" } }],
  ],
  [
    "101, with frames behind it",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x01aHTTP/1.1 2",
    [{ status: 101, bodyLength: 0, body: "", keepAlive: false, header: { upgrade: "websocket" } }],
    {},
    "\x81\x01aHTTP/1.1 2",
  ],
  [
    "answers one after the other",
    `${LENGTH_3}abc${OK}Transfer-Encoding: chunked\r\n\r\n1\r\nd\r\n0\r\n\r\n${LENGTH_3}efg${OK}\r\nhi`,
    [
      { body: "abc" },
      { body: "d" },
      { body: "efg" },
      { body: "hi" },
    ],
    { methods: ["GET", "POST", "GET", "GET"] },
  ],
  [
    "cookies one by one",
    `${OK}Set-Cookie: a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\nX: y\r\nSET-COOKIE: b=2\r\nContent-Length: 0\r\n\r\n`,
    [{ setCookie: ["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=2"] }],
  ],
  ["a folded line as one with blanks", `${OK}A: b\r\n \tc\r\n\td\r\nContent-Length:\r\n 3\r\n\r\nabc`, [
    { header: { a: "b c d", "content-length": "3" }, body: "abc" },
  ]],
  ["names that mean something to JavaScript", `${OK}__proto__: a\r\nconstructor: b\r\nContent-Length: 0\r\n\r\n`, [
    { header: { ["__proto__"]: "a", constructor: "b", "content-length": "0" } as unknown as Record<string, string> },
  ]],
];

for (const [name, received, expected, options, rest = ""] of cases) {
  test(`ResponseParser reads ${name}`, () => {
    const outcome = parseAnswersEveryWay(received, options);
    assertEquals([outcome.failure, outcome.rest], [0, rest]);
    const picked = outcome.answers.map((answer, i) =>
      Object.fromEntries(Object.keys(expected[i] ?? {}).map((key) => [key, answer[key as keyof ParsedAnswer]]))
    );
    assertEquals(picked.map((answer) => JSON.stringify(answer)), expected.map((answer) => JSON.stringify(answer)));
  });
}

/** Each of the bytes fails with the status, and nothing of them is an answer. */
function refused(status: number, received: string, options: AnswerOptions = {}): void {
  const outcome = parseAnswersEveryWay(received, options);
  assertEquals([outcome.failure, outcome.answers], [status, []], JSON.stringify(received));
}

const malformed: Record<string, string[]> = {
  "a malformed status line": [
    "HTTP/1.1\r\n",
    "HTTP/1.1 \r\n",
    "HTTP/1.1 20 OK\r\n",
    "HTTP/1.1 2000 OK\r\n",
    "HTTP/1.1  200 OK\r\n",
    "HTTP/1.1\t200 OK\r\n",
    "HTTP/1.1 200OK\r\n",
    "HTTP/1.1 099 OK\r\n",
    "HTTP/1.1 -99 OK\r\n",
    "HTTP/1.1 2e2 OK\r\n",
    "http/1.1 200 OK\r\n",
    "HTTP/11 200 OK\r\n",
    "HTTP/1.1 200 O\x00K\r\n",
    "HTTP/1.1 200 O\x7fK\r\n",
  ],
  "another version": ["HTTP/2.0 200 OK\r\n", "HTTP/0.9 200 OK\r\n", "HTTP/1.2 200 OK\r\n", "HTTP/3 200 OK\r\n"],
  "an empty line in front": ["\r\nHTTP/1.1 200 OK\r\n"],
  "lines that do not end in CRLF": ["HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\r", `${OK}A: b\n`, `${OK}A: b\rC: d\r\n`],
  "a malformed field": [
    `${OK}A\r\n`,
    `${OK}: b\r\n`,
    `${OK}A : b\r\n`,
    `${OK} A: b\r\n`,
    `${OK}A: b\x00\r\n`,
    `${OK}A\r\n : b\r\n`,
  ],
  "a length that is no number": ["x", "-1", "", "3, 4", "0x3", "9999999999999999"].map((length) =>
    `${OK}Content-Length: ${length}\r\n`
  ),
  "lengths that contradict each other": [`${OK}Content-Length: 3\r\nContent-Length: 4\r\n`],
  "a length beside a transfer coding": [`${OK}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n`],
  "chunks in HTTP/1.0": ["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n"],
  "chunked not as the last transfer coding": ["chunked, gzip", "gzip", "chunked, chunked", ""].map((coding) =>
    `${OK}Transfer-Encoding: ${coding}\r\n`
  ),
};

for (const [name, heads] of Object.entries(malformed)) {
  test(`ResponseParser refuses ${name}`, () => {
    for (const head of heads) refused(400, `${head}\r\nabc`);
  });
}

test("ResponseParser refuses transfer codings that it does not know with 501", () => {
  refused(501, `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`);
});

test("ResponseParser refuses malformed chunks", () => {
  for (const body of ["x\r\n", "3\nabc", "3\r\nabcd\r\n", "fffffffff\r\n", "0\r\n:\r\n\r\n"]) {
    refused(400, `${OK}Transfer-Encoding: chunked\r\n\r\n${body}`);
  }
});

test("ResponseParser refuses what is no HTTP at its first byte, without waiting for a line", () => {
  for (const received of ["220 mail ready", "SSH-2.0", "\x15\x03\x01", "HTTQ", "\r\n", "<html>"]) {
    refused(400, received, { ends: false });
    refused(400, `HTTP/1.1 100 Continue\r\n\r\n${received}`, { ends: false });
    const second = parseAnswersEveryWay(`${LENGTH_3}abc${received}`, { methods: ["GET", "GET"], ends: false });
    assertEquals([second.failure, second.answers.length], [400, 1]);
  }
});

test("an answer that the end of the connection cuts off is a failure, wherever that is", () => {
  for (const whole of [`${LENGTH_3}abc`, `${OK}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`]) {
    for (let length = 0; length < whole.length; length++) refused(400, whole.slice(0, length));
    assertEquals(parseAnswersEveryWay(whole).answers.length, 1);
  }
  refused(400, OK); // also where the head has no length yet
  refused(400, "HTTP/1.1 100 Continue\r\n\r\n");
});

test("the reason of a failure tells no answer from half of one", () => {
  const parser = new ResponseParser(WIDE);
  parser.begin("GET");
  parser.receiveEnd();
  assertMatch(parser.failure!.reason, /without an answer/);
  const other = new ResponseParser(WIDE);
  other.begin("GET");
  other.receive(bytes("HT"), 0);
  other.receiveEnd();
  assertMatch(other.failure!.reason, /cut off/);
});

test("the end of the connection changes nothing behind a complete answer or a failure", () => {
  const parser = new ResponseParser(WIDE);
  parser.begin("GET");
  const received = bytes(`${LENGTH_3}abc`);
  parser.receive(received, parser.receive(received, 0));
  parser.receiveEnd();
  assertEquals([parser.complete, parser.failure, text(parser.body)], [true, undefined, "abc"]);
  const ended = new ResponseParser(WIDE);
  ended.begin("GET");
  const open = bytes(`${OK}\r\nabc`);
  ended.receive(open, ended.receive(open, 0));
  ended.receiveEnd();
  assertEquals([ended.receive(open, 0), ended.complete, text(ended.body)], [0, true, "abc"]);
  const failed = new ResponseParser(WIDE);
  failed.begin("GET");
  failed.receive(bytes("no"), 0);
  const { failure } = failed;
  failed.receiveEnd();
  assertEquals(failed.failure, failure);
});

test("ResponseParser stops behind the head and behind the body, and reads nothing more before begin()", () => {
  const parser = new ResponseParser(WIDE);
  parser.begin("GET");
  const chunk = bytes(`${LENGTH_3}abcHTTP/1.1 204 No\r\n\r\n`);
  const head = parser.receive(chunk, 0);
  assertEquals([head, parser.head?.bodyLength, parser.complete], [LENGTH_3.length, 3, false]);
  const body = parser.receive(chunk, head);
  assertEquals([body, parser.complete], [LENGTH_3.length + 3, true]);
  assertEquals([parser.receive(chunk, body), parser.head?.status], [body, 200]);
  parser.begin("GET");
  assertEquals([parser.head, parser.complete, parser.begun, parser.body.length], [undefined, false, false, 0]);
  assertEquals([parser.receive(chunk, body), parser.complete], [chunk.length, true]);
});

test("ResponseParser reads nothing behind a failure", () => {
  const parser = new ResponseParser(WIDE);
  parser.begin("GET");
  parser.receive(bytes("x"), 0);
  assertEquals(parser.failure?.status, 400);
  assertEquals([parser.receive(bytes(OK), 0), parser.head, parser.complete], [0, undefined, false]);
});

test("16 interim answers are skipped, one more is a failure; the next answer may have as many", () => {
  const interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(16);
  const two = `${interim}${LENGTH_3}abc`.repeat(2);
  assertEquals(parseAnswersEveryWay(two, { methods: ["GET", "GET"] }).answers.length, 2);
  refused(400, `${interim}HTTP/1.1 100 Continue\r\n\r\n${LENGTH_3}abc`);
});

test("a head that is too large fails, at the limit and one past it; interim heads do not count", () => {
  const received = `HTTP/1.1 100 Continue\r\n\r\n${OK}A: ${"b".repeat(20)}\r\nContent-Length: 0\r\n\r\n`;
  const size = received.length - 25;
  const limits = { ...WIDE, maxHeadSize: size };
  assertEquals(parseAnswersEveryWay(received, { limits }).failure, 0);
  refused(431, received, { limits: { ...limits, maxHeadSize: size - 1 } });
  refused(414, `HTTP/1.1 200 ${"x".repeat(size)}`, { limits });
});

test("too many fields fail, at the limit and one past it", () => {
  const received = `${OK}${"Set-Cookie: a=b\r\n".repeat(4)}Content-Length: 0\r\n\r\n`;
  assertEquals(parseAnswersEveryWay(received, { limits: { ...WIDE, maxHeaders: 5 } }).answers[0].setCookie.length, 4);
  refused(431, received, { limits: { ...WIDE, maxHeaders: 4 } });
});

test("a body that is too large fails with tooLarge, at the limit and one past it, of every kind", () => {
  for (
    const received of [
      `${LENGTH_3}abc`,
      `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n`,
      `${OK}\r\nabc`,
    ]
  ) {
    const limits = { ...WIDE, maxBodySize: 3 };
    assertEquals(parseAnswersEveryWay(received, { limits }).answers[0].body, "abc");
    refused(413, received, { limits: { ...limits, maxBodySize: 2 } });
    const parser = new ResponseParser({ ...limits, maxBodySize: 2 });
    parser.begin("GET");
    for (let at = 0; at < received.length && parser.failure === undefined;) at = parser.receive(bytes(received), at);
    assertEquals(parser.tooLarge, true);
  }
  const parser = new ResponseParser(WIDE);
  parser.begin("GET");
  parser.receive(bytes("no"), 0);
  assertEquals(parser.tooLarge, false);
});

test("ResponseParser holds memory for what has arrived, not for what was announced", () => {
  for (const fields of ["Content-Length: 1000000000", "Transfer-Encoding: chunked"]) {
    const parser = new ResponseParser({ ...WIDE, maxBodySize: 2 ** 31 });
    parser.begin("GET");
    const received = bytes(`${OK}${fields}\r\n\r\n3b9aca00\r\nabc`);
    parser.receive(received, parser.receive(received, 0));
    assert(parser.heldBytes <= 1024, `${parser.heldBytes}`);
  }
});

test("ResponseParser gives each answer a body of its own", () => {
  const parser = new ResponseParser(WIDE);
  const bodies = ["abc", "def"].map((body) => {
    parser.begin("GET");
    const received = bytes(`${LENGTH_3}${body}`);
    parser.receive(received, parser.receive(received, 0));
    received.fill(0);
    return parser.body;
  });
  assertEquals(bodies.map(text), ["abc", "def"]);
});
