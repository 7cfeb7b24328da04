/** Hosts, ports and modes: what constructors and `listen()` take, and what the errors say. */

import { assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpServer, Server, SWOOLE_BASE, SWOOLE_PROCESS, SWOOLE_SOCK_TCP, SWOOLE_SSL, WebSocketServer } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";

// deno-lint-ignore no-explicit-any
type Make = (...args: any[]) => unknown;

/** What takes a host and a port, by what the error shows. */
const MAKERS: readonly (readonly [make: Make, what: string, call: string])[] = [
  [(host, port) => new Server(host, port), "make a server", "new Server"],
  [(host, port) => new HttpServer(host, port), "make a server", "new HttpServer"],
  [(host, port) => new WebSocketServer(host, port), "make a server", "new WebSocketServer"],
  [(host, port) => new CoroutineServer(host, port), "make a server", "new HttpServer"],
  [(host, port) => new Server().listen(host, port), "add a port", "server.listen"],
  [(host, port) => new WebSocketServer().addListener(host, port), "add a port", "server.listen"],
  [(host, port) => new HttpServer().addlistener(host, port), "add a port", "server.listen"],
];

test("a port may be a string of digits, as environment variables have it", async () => {
  for (const [make] of MAKERS) {
    for (const [given, port] of [["0", 0], ["9501", 9501], ["65535", 65535], ["0080", 80]] as const) {
      assertEquals((make("127.0.0.1", given) as { port: unknown }).port, port);
    }
  }
  const server = new CoroutineServer("127.0.0.1", "0");
  await server.start();
  assertEquals(typeof server.port, "number");
  server.shutdown();
  await server.finished;
});

test("what is no port is refused with what was given", () => {
  const rows: [given: unknown, error: new (message: string) => Error, message: string][] = [
    ["", TypeError, 'the port has to be a number from 0 to 65535, not ""'],
    ["http", TypeError, 'the port has to be a number from 0 to 65535, not "http"'],
    ["95O1", TypeError, 'not "95O1"'],
    ["-1", TypeError, 'not "-1"'],
    ["0x50", TypeError, 'not "0x50"'],
    [" 80", TypeError, 'not " 80"'],
    [null, TypeError, "not null"],
    [{ port: 9501 }, TypeError, "not object"],
    [[9501], TypeError, "not a list"],
    [true, TypeError, "not boolean"],
    ["65536", RangeError, "port 65536 is not in the range 0 to 65535"],
    [-1, RangeError, "port -1 is not in the range 0 to 65535"],
    [80.5, RangeError, "port 80.5 is not in the range 0 to 65535"],
    [NaN, RangeError, "port NaN is not in the range 0 to 65535"],
  ];
  for (const [make, what] of MAKERS) {
    for (const [given, error, message] of rows) {
      const { message: said } = assertThrows(() => make("127.0.0.1", given), error, message);
      assertEquals(said.slice(0, what.length + 9), `Cannot ${what}: `);
    }
  }
});

test("options or a port in place of the host: the message shows the right call", () => {
  for (const [make, what, call] of MAKERS) {
    const rows: [given: unknown, message: string][] = [
      [{ port: 9501 }, `the host has to be a string, not object; write ${call}("127.0.0.1", 9501), and settings go to set()`],
      [8080, `the host has to be a string, not number; write ${call}("127.0.0.1", 8080)`],
      [null, `the host has to be a string, not null; write ${call}("127.0.0.1", 9501)`],
      ["", "the host is empty"],
    ];
    for (const [given, message] of rows) {
      assertEquals(assertThrows(() => make(given), TypeError).message, `Cannot ${what}: ${message}`);
    }
  }
  const options = { ssl_cert_file: "cert.pem" } as never;
  const message = "Cannot make a server: ssl has to be a boolean, not object; settings go to set()";
  assertEquals(assertThrows(() => new CoroutineServer("127.0.0.1", 0, options), TypeError).message, message);
});

test("without arguments a server listens on all IPv4 addresses, on a free port", async () => {
  for (const server of [new Server(), new HttpServer(), new WebSocketServer()]) {
    assertEquals([server.host, server.port, server.mode, server.type, server.ssl], ["0.0.0.0", 0, 1, SWOOLE_SOCK_TCP, false]);
  }
  assertEquals([new WebSocketServer("127.0.0.1").port, new CoroutineServer("127.0.0.1").port], [0, 0]);
  const server = new WebSocketServer("127.0.0.1");
  server.on("message", () => {});
  await server.start();
  assertEquals(server.port > 0, true);
  server.shutdown();
  await server.finished;
});

test("a socket type in place of the mode is refused: it would go unnoticed that there is no TLS", () => {
  for (const mode of [SWOOLE_BASE, SWOOLE_PROCESS]) assertEquals(new Server("127.0.0.1", 0, mode).mode, mode);
  for (const mode of [SWOOLE_SOCK_TCP | SWOOLE_SSL, 0, 3, {}, Object.create(null)]) {
    const message = "is neither SWOOLE_BASE nor SWOOLE_PROCESS; the socket type is the fourth argument";
    assertThrows(() => new WebSocketServer("127.0.0.1", 0, mode as number), RangeError, message);
  }
});
