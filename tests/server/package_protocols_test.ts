// The packages of MQTT and Redis: `open_mqtt_protocol`, `open_redis_protocol`.

import { assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import {
  Server,
  SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE,
  SWOOLE_ERROR_PACKAGE_MALFORMED_DATA,
  WebSocketServer,
} from "../../mod.ts";
import { type PackageOptions, PackageSplitter } from "../../src/server/raw/packages.ts";
import { mergeSettings } from "../../src/server/settings/settings.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { bytesOf } from "../support/raw_client.ts";
import { EventLog } from "./event_log.ts";

const TOO_LARGE = SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE;
const MALFORMED = SWOOLE_ERROR_PACKAGE_MALFORMED_DATA;

const latin = (bytes: Uint8Array) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
const mqtt = (maxLength = 1000): PackageOptions => ({ protocol: "mqtt", maxLength });
const redis = (maxLength = 1000): PackageOptions => ({ protocol: "redis", maxLength });

/** What comes out of chunks: the packages, why it stopped, and what is held. */
function split(options: PackageOptions, chunks: Iterable<Uint8Array>): { packages: string[]; failure: number; held: number } {
  const splitter = new PackageSplitter(options);
  const packages: string[] = [];
  for (const chunk of chunks) {
    splitter.receive(new Uint8Array(chunk), true, (bytes) => packages.push(latin(bytes)) > 0);
    assertLessOrEqual(splitter.heldBytes, options.maxLength);
  }
  return { packages, failure: splitter.failure, held: splitter.heldBytes };
}

/** The same whole, byte by byte, and in two parts at every place. */
function everyWay(options: PackageOptions, stream: Uint8Array): { packages: string[]; failure: number } {
  const { packages, failure } = split(options, [stream]);
  const bytewise = split(options, Array.from(stream, (byte) => new Uint8Array([byte])));
  assertEquals([bytewise.packages, bytewise.failure], [packages, failure]);
  for (let at = 1; at < stream.length; at++) {
    const parts = split(options, [stream.subarray(0, at), stream.subarray(at)]);
    assertEquals([parts.packages, parts.failure], [packages, failure], `cut at ${at}`);
  }
  return { packages, failure };
}

const join = (parts: readonly Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

/** A control packet with a body of this size. */
function controlPacket(size: number): Uint8Array {
  const head = [0x30];
  for (let rest = size, more = true; more;) {
    more = rest > 127;
    head.push(rest % 128 + (more ? 128 : 0));
    rest = Math.floor(rest / 128);
  }
  const bytes = new Uint8Array(head.length + size).fill(120);
  bytes.set(head);
  return bytes;
}

// ---- MQTT -------------------------------------------------------------------------------------------------------------

test("MQTT: CONNECT, PUBLISH and PINGREQ, however they are cut", () => {
  const packets = [
    new Uint8Array([0x10, 16, 0, 4, 77, 81, 84, 84, 4, 2, 0, 60, 0, 4, 110, 97, 109, 101]),
    new Uint8Array([0x30, 6, 0, 1, 116, 104, 105, 33]),
    new Uint8Array([0xc0, 0]),
    new Uint8Array([0xc0, 0]),
  ];
  assertEquals(everyWay(mqtt(), join(packets)), { packages: packets.map(latin), failure: 0 });
});

test("MQTT: the remaining length has one to four bytes", () => {
  // MQTT 3.1.1 table 2.4, with its borders.
  for (const size of [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]) {
    const packet = controlPacket(size);
    const border = [packet.subarray(0, 1), packet.subarray(1, 3), packet.subarray(3), packet];
    const { packages, failure } = split(mqtt(3_000_000), border);
    assertEquals([packages.map(({ length }) => length), failure], [[packet.length, packet.length], 0]);
  }
});

test("MQTT: a fifth byte of the length is malformed, a package above the limit too large", () => {
  assertEquals(everyWay(mqtt(), new Uint8Array([0xc0, 0, 0x30, 255, 255, 255, 255])), {
    packages: ["\xc0\0"],
    failure: MALFORMED,
  });
  assertEquals(everyWay(mqtt(100), controlPacket(98)), { packages: [latin(controlPacket(98))], failure: 0 });
  assertEquals(everyWay(mqtt(100), controlPacket(99)), { packages: [], failure: TOO_LARGE });
});

// ---- Redis ------------------------------------------------------------------------------------------------------------

test("Redis: requests are arrays of bulk strings, or lines, however they are cut", () => {
  const requests = [
    "*1\r\n$4\r\nPING\r\n",
    "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$12\r\nva\r\n*1\r\n$4\r\n\r\n",
    "*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
    "PING\r\n",
    "SET a b\n",
    "\r\n",
    "*0\r\n",
    "*-1\r\n",
    "*1\r\n$4\r\nQUIT\r\n",
  ];
  assertEquals(everyWay(redis(), bytesOf(requests.join(""))), { packages: requests, failure: 0 });
});

test("Redis: what is no request is malformed", () => {
  const good = "*1\r\n$4\r\nPING\r\n";
  const bad = [
    "*x\r\n",
    "*\r\n",
    "*-\r\n",
    "*1\n",
    "*1\rx",
    "*1 \r\n",
    "*123456789012\r\n",
    "*2\r\n$1\r\na\r\n:1\r\n",
    "*2\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n",
    "*1\r\n$-1\r\n",
    "*1\r\n$\r\n",
    "*1\r\n$1x\r\n",
    "*1\r\nPING\r\n",
  ];
  for (const text of bad) {
    assertEquals([text, everyWay(redis(), bytesOf(good + text))], [text, { packages: [good], failure: MALFORMED }]);
  }
});

test("Redis: a request above the limit is too large, as soon as it tells so", () => {
  const request = "*1\r\n$9\r\n123456789\r\n";
  assertEquals(everyWay(redis(request.length), bytesOf(request + request)), { packages: [request, request], failure: 0 });
  assertEquals(everyWay(redis(request.length - 1), bytesOf(request)), { packages: [], failure: TOO_LARGE });
  assertEquals(everyWay(redis(), bytesOf("*1\r\n$9999999999\r\n")), { packages: [], failure: TOO_LARGE });
  // An array of very many is no fault in itself; but it does not fit.
  assertEquals(everyWay(redis(100), bytesOf("*9999999999\r\n" + "$0\r\n\r\n".repeat(15))), { packages: [], failure: TOO_LARGE });
  // What lies behind the limit is not looked at: however it is cut, the request is too large.
  assertEquals(everyWay(redis(20), bytesOf("*9\r\n$9\r\n123456789\r\n$x")), { packages: [], failure: TOO_LARGE });
  assertEquals(everyWay(redis(10), bytesOf("123456789\n")), { packages: ["123456789\n"], failure: 0 });
  assertEquals(everyWay(redis(10), bytesOf("1234567890\n")), { packages: [], failure: TOO_LARGE });
});

test("Redis: a request of many small pieces is not read again for each byte", () => {
  const count = 100_000; // reading it again would be 10 to the 11th steps
  const stream = bytesOf(`*${count}\r\n` + "$0\r\n\r\n".repeat(count));
  const splitter = new PackageSplitter(redis(1_000_000));
  let size = 0;
  for (let at = 0; at < stream.length; at++) {
    splitter.receive(stream.slice(at, at + 1), true, (bytes) => {
      size = bytes.length;
      return true;
    });
  }
  assertEquals([size, splitter.failure], [stream.length, 0]);
});

test("whatever arrives, however it is cut: the same packages, the same failure, and never more held than allowed", () => {
  const pieces = fc.oneof(
    fc.constantFrom("*1\r\n", "*2\r\n", "$1\r\n", "$3\r\n", "a", "\r\n", "\n", "abc\r\n", "\r", "*", "$", "-", "1", "12"),
    fc.constantFrom("\x80", "\xff", "\0", "\x30\x02", "\x7f"),
  );
  fc.assert(
    fc.property(fc.boolean(), fc.integer({ min: 8, max: 40 }), fc.array(pieces, { maxLength: 30 }), (isMqtt, limit, parts) => {
      const stream = Uint8Array.from(parts.join(""), (character) => character.charCodeAt(0));
      everyWay(isMqtt ? mqtt(limit) : redis(limit), stream);
    }),
    { numRuns: 1000 },
  );
});

// ---- on a server ------------------------------------------------------------------------------------------------------

test("receive gets one whole package on a server and on raw ports of any server", async () => {
  const log = new EventLog();
  const server = new Server("127.0.0.1", 0);
  server.set({ open_mqtt_protocol: true });
  server.on("receive", (_server, fd, _reactorId, data) => log.add(`${fd} ${JSON.stringify(latin(data))}`));
  const commands = server.listen("127.0.0.1", 0);
  commands.set({ open_redis_protocol: true, package_max_length: 64 });
  const clients = [new MemoryClient(server), new MemoryClient(commands)];
  clients[0].send(new Uint8Array([0xc0]));
  clients[0].send(new Uint8Array([0, 0xc0, 0]));
  await log.count(2);
  clients[1].send("*1\r\n$4\r\nPI");
  clients[1].send("NG\r\nTIME\r\n*1\r\n$60\r\n");
  await clients[1].readAll(); // it is over the limit
  assertEquals(log.lines, [
    '1 "À\\u0000"',
    '1 "À\\u0000"',
    '2 "*1\\r\\n$4\\r\\nPING\\r\\n"',
    '2 "TIME\\r\\n"',
  ]);
  assertEquals(server.getLastError(), TOO_LARGE);
  assertEquals(server.stats().violations, { [TOO_LARGE]: 1 });
  for (const client of clients) client.drop();
  server.shutdown();
  await server.finished;
});

test("one way to find packages excludes the others; a port's replaces the server's", async () => {
  assertEquals(mergeSettings({ open_mqtt_protocol: true }, { open_redis_protocol: true }), {
    open_mqtt_protocol: false,
    open_redis_protocol: true,
  });
  assertEquals(mergeSettings({ open_redis_protocol: true }, { backlog: 1 }), { open_redis_protocol: true, backlog: 1 });
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  server.on("receive", () => {});
  const port = server.listen("127.0.0.1", 0);
  port.set({ open_mqtt_protocol: true, open_eof_split: true });
  await assertRejects(() => server.start(), TypeError, "open_eof_split and open_mqtt_protocol exclude each other");
});
