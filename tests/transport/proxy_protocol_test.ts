import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { ProxyHeaderParser, ProxyPreamble } from "../../src/transport/proxy_protocol.ts";
import { type BinaryHeader, binaryHeader } from "../support/proxy_headers.ts";
import { bytesOf } from "../support/raw_client.ts";

/** What comes of a header: its addresses, or why it is refused; and the number of bytes that were taken. */
type Outcome = [result: string, taken: number];

function outcomeOf(parser: ProxyHeaderParser, taken: number): Outcome {
  const { header, failure } = parser;
  assert(header === undefined || failure === undefined);
  if (header === undefined) return [failure ?? "more", taken];
  const ends = [header.source, header.destination].map((end) => end ? `${end.transport} ${end.hostname} ${end.port}` : "none");
  return [ends.join(" > "), taken];
}

/** Parses bytes in two pieces. */
function parse(bytes: Uint8Array, at = bytes.length): Outcome {
  const parser = new ProxyHeaderParser();
  let taken = 0;
  for (const piece of [bytes.subarray(0, at), bytes.subarray(at)]) {
    const used = parser.receive(piece);
    taken += used;
    if (used < piece.length) break;
  }
  return outcomeOf(parser, taken);
}

/** Checks what comes of bytes: whole, in two pieces for each place to split them, byte by byte, and with more bytes behind. */
function check(bytes: Uint8Array, expected: string, taken = bytes.length): void {
  const shown = JSON.stringify(String.fromCharCode(...bytes));
  for (let at = 0; at <= bytes.length; at++) assertEquals([shown, at, ...parse(bytes, at)], [shown, at, expected, taken]);
  const parser = new ProxyHeaderParser();
  let count = 0;
  for (const byte of bytes) count += parser.receive(Uint8Array.of(byte));
  assertEquals([shown, ...outcomeOf(parser, count)], [shown, expected, taken]);
  assertEquals([shown, ...parse(new Uint8Array([...bytes, 0x47, 0x0a]))], [shown, expected, taken]);
  // Until the last byte, more is wanted.
  for (let at = 0; at < taken; at++) assertEquals(parse(bytes.subarray(0, at)), ["more", at]);
}

const NONE = "none > none";
const MISSING = "there is no PROXY header";
const MALFORMED = "the PROXY header is malformed";
const TOO_LONG = "the PROXY header is too long";

test("version 1: addresses and ports of TCP over IPv4 and IPv6", () => {
  const rows: [line: string, expected: string][] = [
    ["TCP4 192.0.2.1 198.51.100.2 56324 443", "tcp 192.0.2.1 56324 > tcp 198.51.100.2 443"],
    ["TCP4 255.255.255.255 255.255.255.255 65535 65535", "tcp 255.255.255.255 65535 > tcp 255.255.255.255 65535"],
    ["TCP4 0.0.0.0 0.0.0.0 0 0", "tcp 0.0.0.0 0 > tcp 0.0.0.0 0"],
    ["TCP6 2001:db8::1 2001:db8::2 56324 443", "tcp 2001:db8::1 56324 > tcp 2001:db8::2 443"],
    ["TCP6 2001:DB8:0:0:0:0:0:1 ::1 1 2", "tcp 2001:db8::1 1 > tcp ::1 2"],
    ["TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1 2", "tcp 192.0.2.1 1 > tcp 198.51.100.2 2"],
    [
      `TCP6 ${"ffff:".repeat(7)}ffff ${"ffff:".repeat(7)}ffff 65535 65535`,
      `tcp ${"ffff:".repeat(7)}ffff 65535 > tcp ${"ffff:".repeat(7)}ffff 65535`,
    ],
    ["UNKNOWN", NONE],
    ["UNKNOWN 192.0.2.1 198.51.100.2 56324 443", NONE], // to be ignored
    ["UNKNOWN anything \x00 at all", NONE],
    [`UNKNOWN ${"ffff:".repeat(7)}ffff ${"ffff:".repeat(7)}ffff 65535 65535`, NONE], // 107 bytes
  ];
  for (const [line, expected] of rows) check(bytesOf(`PROXY ${line}\r\n`), expected);
  assertEquals(`PROXY ${rows.at(-1)![0]}\r\n`.length, 107);
});

test("version 1: what is malformed is refused", () => {
  const lines = [
    "",
    "TCP4",
    "TCP4 192.0.2.1 198.51.100.2 56324",
    "TCP4 192.0.2.1 198.51.100.2 56324 443 ",
    "TCP4 192.0.2.1 198.51.100.2 56324 443 1",
    "TCP4  192.0.2.1 198.51.100.2 56324 443",
    "TCP4\t192.0.2.1 198.51.100.2 56324 443",
    " TCP4 192.0.2.1 198.51.100.2 56324 443",
    "tcp4 192.0.2.1 198.51.100.2 56324 443",
    "TCP5 192.0.2.1 198.51.100.2 56324 443",
    "UDP4 192.0.2.1 198.51.100.2 56324 443",
    "UNKNOWNS",
    "unknown",
    "TCP4 2001:db8::1 2001:db8::2 56324 443",
    "TCP4 192.0.2.1 2001:db8::2 56324 443",
    "TCP4 ::ffff:192.0.2.1 198.51.100.2 56324 443",
    "TCP6 192.0.2.1 198.51.100.2 56324 443",
    "TCP6 2001:db8::1%eth0 2001:db8::2 56324 443",
    "TCP6 [2001:db8::1] 2001:db8::2 56324 443",
    "TCP4 192.0.2.256 198.51.100.2 56324 443",
    "TCP4 192.0.2.01 198.51.100.2 56324 443",
    "TCP4 192.0.2.1 198.51.100 56324 443",
    "TCP4 example.com 198.51.100.2 56324 443",
    "TCP4 192.0.2.1 198.51.100.2 65536 443",
    "TCP4 192.0.2.1 198.51.100.2 56324 65536",
    "TCP4 192.0.2.1 198.51.100.2 056324 443",
    "TCP4 192.0.2.1 198.51.100.2 00 443",
    "TCP4 192.0.2.1 198.51.100.2 -1 443",
    "TCP4 192.0.2.1 198.51.100.2 +1 443",
    "TCP4 192.0.2.1 198.51.100.2 1e3 443",
    "TCP4 192.0.2.1 198.51.100.2 56324 443\0",
  ];
  for (const line of lines) check(bytesOf(`PROXY ${line}\r\n`), MALFORMED);
  check(bytesOf("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n"), MALFORMED);
  check(bytesOf("PROXY UNKNOWN\n"), MALFORMED);
  check(bytesOf("PROXY UNKNOWN\rx"), MALFORMED);
  check(bytesOf("PROXY UNKNOWN\r\r"), MALFORMED);
});

test("version 1: a line has at most 107 bytes, with its end", () => {
  const line = (length: number) => bytesOf(`PROXY UNKNOWN ${"x".repeat(length - 16)}\r\n`);
  check(line(107), NONE);
  check(line(108).subarray(0, 107), TOO_LONG);
  assertEquals(parse(line(109)), [TOO_LONG, 107]);
  assertEquals(parse(line(100_000)), [TOO_LONG, 107]);
});

test("what begins in another way is no header, from its first wrong byte on", () => {
  const rows: [text: string, taken: number][] = [
    ["GET / HTTP/1.1\r\n", 1],
    ["\x16\x03\x01\x02\x00", 1], // TLS
    ["PRI * HTTP/2.0\r\n", 3], // HTTP/2
    ["POST / HTTP/1.1\r\n", 2],
    ["PROXY\r\n", 6],
    ["PROXYTCP4", 6],
    ["proxy TCP4", 1],
    [" PROXY TCP4", 1],
    ["\r\n\r\nGET", 5],
    ["\n", 1],
    ["\r\n\r\n\x00\r\nQUIT\r", 12],
    ["\x00", 1],
  ];
  for (const [text, taken] of rows) {
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    check(bytes.subarray(0, taken), MISSING);
    assertEquals(parse(bytes), [MISSING, taken]);
  }
});

const IPV4 = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
const IPV6 = [
  ...[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  ...[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
  ...[0xdc, 0x04, 0x01, 0xbb],
];
const path = (text: string) => [...bytesOf(text), ...new Array<number>(108 - text.length).fill(0)];
const TLV = [0x03, 0x00, 0x04, 1, 2, 3, 4]; // one of CRC32C

test("version 2: addresses of all families, behind which additional fields are skipped", () => {
  const ipv4 = "tcp 192.0.2.1 56324 > tcp 198.51.100.2 443";
  const ipv6 = "tcp 2001:db8::1 56324 > tcp 2001:db8::2 443";
  const mapped = [
    ...new Array(10).fill(0),
    255,
    255,
    192,
    0,
    2,
    1,
    ...new Array(10).fill(0),
    255,
    255,
    198,
    51,
    100,
    2,
    0,
    1,
    0,
    2,
  ];
  const rows: [header: BinaryHeader, expected: string][] = [
    [{ family: 0x11, payload: IPV4 }, ipv4],
    [{ family: 0x11, payload: [...IPV4, ...TLV] }, ipv4],
    [{ family: 0x11, payload: [...IPV4, 0xff] }, ipv4], // nobody looks into it
    [{ family: 0x12, payload: IPV4 }, ipv4],
    [{ family: 0x21, payload: IPV6 }, ipv6],
    [{ family: 0x22, payload: [...IPV6, ...TLV, ...TLV] }, ipv6],
    [{ family: 0x21, payload: mapped }, "tcp 192.0.2.1 1 > tcp 198.51.100.2 2"],
    [{ family: 0x31, payload: [...path("/run/a.sock"), ...path("")] }, "unix /run/a.sock 0 > unix  0"],
    [{ family: 0x32, payload: [...path("x".repeat(108)), ...path("/b"), ...TLV] }, `unix ${"x".repeat(108)} 0 > unix /b 0`],
    [{ family: 0x00, payload: [] }, NONE],
    [{ family: 0x00, payload: TLV }, NONE],
    // LOCAL: the proxy has connected for itself, whatever the rest says
    [{ command: 0x20, family: 0x00, payload: [] }, NONE],
    [{ command: 0x20, family: 0x11, payload: IPV4 }, NONE],
    [{ command: 0x20, family: 0x11, payload: [] }, NONE],
    [{ command: 0x20, family: 0x21, payload: TLV }, NONE],
  ];
  for (const [header, expected] of rows) check(binaryHeader(header), expected);
});

test("version 2: another version, command or family is refused at once, and so is a length without room for the addresses", () => {
  for (const command of [0x00, 0x10, 0x11, 0x22, 0x2f, 0x30, 0x31, 0xff]) {
    check(binaryHeader({ command, family: 0x11, payload: IPV4 }).subarray(0, 13), MALFORMED);
  }
  for (const family of [0x01, 0x02, 0x10, 0x13, 0x20, 0x23, 0x30, 0x33, 0x41, 0xff]) {
    check(binaryHeader({ family, payload: IPV6 }).subarray(0, 14), MALFORMED);
  }
  for (const [family, size] of [[0x11, 12], [0x12, 12], [0x21, 36], [0x22, 36], [0x31, 216], [0x32, 216]]) {
    check(binaryHeader({ family, payload: new Array(size - 1).fill(0) }).subarray(0, 16), MALFORMED);
    assertEquals(parse(binaryHeader({ family, payload: new Array(size).fill(0) }))[1], 16 + size);
  }
});

test("version 2: a header has at most 536 bytes", () => {
  const header = (size: number, command?: number) =>
    binaryHeader({ command, family: 0x11, payload: [...IPV4, ...new Array(size - 28).fill(0)] });
  assertEquals(parse(header(536)), ["tcp 192.0.2.1 56324 > tcp 198.51.100.2 443", 536]);
  check(header(536), "tcp 192.0.2.1 56324 > tcp 198.51.100.2 443");
  for (const command of [0x20, 0x21]) {
    check(header(537, command).subarray(0, 16), TOO_LONG);
    assertEquals(parse(header(16 + 65535, command)), [TOO_LONG, 16]);
  }
});

test("the preamble of a connection: the addresses of its header, or one reason", () => {
  const reasons: string[] = [];
  const begin = () => new ProxyPreamble((reason) => void reasons.push(reason));
  const line = bytesOf("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET");
  const good = begin();
  assertEquals([good.remoteAddress, good.localAddress], [undefined, undefined]);
  assertEquals([good.receive(line.subarray(0, 10)), good.receive(line.subarray(10))], [-1, line.length - 13]);
  assertEquals(good.remoteAddress, { transport: "tcp", hostname: "192.0.2.1", port: 56324 });
  assertEquals(good.localAddress, { transport: "tcp", hostname: "198.51.100.2", port: 443 });
  const unknown = begin();
  assertEquals([unknown.receive(bytesOf("PROXY UNKNOWN\r\n")), unknown.remoteAddress, unknown.localAddress], [
    15,
    undefined,
    undefined,
  ]);
  assertEquals(reasons, []);
  assertEquals(begin().receive(bytesOf("GET /")), undefined);
  begin().onMissing(true);
  begin().onMissing(false);
  assertEquals(reasons, [MISSING, "the PROXY header took too long", "the connection ended before its PROXY header"]);
});

test("any bytes: no exception, an end within 536 bytes, and the same in any pieces", () => {
  const begun = fc.constantFrom("", "PROXY ", "PROXY TCP4 ", "\r\n\r\n\0\r\nQUIT\n", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
  const rest = fc.uint8Array({ maxLength: 600 });
  fc.assert(fc.property(begun, rest, fc.nat(600), (begun, rest, at) => {
    const bytes = new Uint8Array([...Uint8Array.from(begun, (character) => character.charCodeAt(0)), ...rest]);
    const whole = parse(bytes);
    assertEquals(parse(bytes, Math.min(at, bytes.length)), whole);
    assert(whole[1] <= 536);
    if (bytes.length >= 536) assert(whole[0] !== "more");
  }));
});
