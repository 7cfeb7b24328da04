/**
 * What the compiler refuses, and what a program hears that was not compiled: every line below `@ts-expect-error` is one that the
 * type check has to find fault with.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { type Frame, HttpServer, Server, WebSocketServer } from "../../mod.ts";

const server = new WebSocketServer("127.0.0.1", 0);
const http = new HttpServer("127.0.0.1", 0);
const raw = new Server("127.0.0.1", 0);

test("an event that does not exist is refused by name", () => {
  // @ts-expect-error There is no such event.
  assertThrows(() => server.on("mesage", () => {}), TypeError, "mesage");
  // @ts-expect-error There is no such event.
  assertThrows(() => server.on("", () => {}), TypeError);
  // @ts-expect-error Swoole's method names begin with `on`, its event names do not.
  assertThrows(() => server.on("onMessage", () => {}), TypeError, "onMessage");
  // @ts-expect-error `toString` is no event, although every object has one.
  assertThrows(() => server.on("toString", () => {}), TypeError, "toString");
});

test("an event of another class of servers is refused by name", () => {
  // @ts-expect-error A plain server knows no messages.
  assertThrows(() => raw.on("message", () => {}), TypeError, "message");
  // @ts-expect-error A plain server knows no requests.
  assertThrows(() => raw.on("request", () => {}), TypeError, "request");
  // @ts-expect-error An HTTP server opens no WebSockets.
  assertThrows(() => http.on("open", () => {}), TypeError, "open");
  // @ts-expect-error An HTTP server has no disconnect event.
  assertThrows(() => http.on("disconnect", () => {}), TypeError, "disconnect");
});

test("a handler that is no function is refused with the name of its event", () => {
  // @ts-expect-error A name of a function, as PHP would take it.
  assertThrows(() => server.on("message", "onMessage"), TypeError, "message");
  // @ts-expect-error Nothing.
  assertThrows(() => server.on("open", undefined), TypeError, "open");
  // @ts-expect-error An object and the name of a method, as PHP would take it.
  assertThrows(() => server.on("close", [server, "push"]), TypeError, "close");
  assertEquals(server.getCallback("open"), null); // nothing was registered
});

test("a handler that expects other arguments does not compile", () => {
  const other = new WebSocketServer("127.0.0.1", 0);
  // @ts-expect-error The server comes first.
  other.on("message", (frame: Frame) => frame.data);
  // @ts-expect-error The second argument is a frame, not a number.
  other.on("message", (_server, fd: number) => fd);
  // @ts-expect-error The second argument is the request of the handshake.
  other.on("open", (_server, fd: number) => fd);
  // @ts-expect-error There are two arguments.
  other.on("request", (_request, _response, extra: string) => extra);
  // @ts-expect-error The fd is a number.
  other.on("close", (_server, fd: string) => fd);
  // @ts-expect-error A response has no such method.
  other.on("request", (_request, response) => response.send("hi"));
  // @ts-expect-error The handshake handler gets no server.
  other.on("handshake", (server, _request, response: string) => server.push(response));
  assertEquals(typeof other.getCallback("message"), "function");
});

test("a setting that does not exist is refused by name", () => {
  // @ts-expect-error Misspelled.
  assertThrows(() => server.set({ websocket_sub_protocol: "chat" }), TypeError, "websocket_sub_protocol");
  // @ts-expect-error Letter case counts.
  assertThrows(() => server.set({ Log_File: "/dev/null" }), TypeError, "Log_File");
  assertThrows(() => server.set(JSON.parse('{"__proto__": 1}')), TypeError, "__proto__");
});

test("a setting of the wrong type is refused by name", () => {
  // @ts-expect-error A string.
  assertThrows(() => server.set({ package_max_length: "2M" }), TypeError, "package_max_length");
  // @ts-expect-error A number.
  assertThrows(() => server.set({ open_websocket_ping_frame: 1 }), TypeError, "open_websocket_ping_frame");
  // @ts-expect-error A boolean.
  assertThrows(() => server.set({ websocket_subprotocol: true }), TypeError, "websocket_subprotocol");
  // @ts-expect-error A list of numbers.
  assertThrows(() => server.set({ websocket_subprotocol: [1] }), TypeError, "websocket_subprotocol");
  // @ts-expect-error Null.
  assertThrows(() => server.set({ log_file: null }), TypeError, "log_file");
});

test("a setting out of range is refused by name", () => {
  assertThrows(() => server.set({ package_max_length: -1 }), RangeError, "package_max_length");
  assertThrows(() => server.set({ package_max_length: 1.5 }), RangeError, "package_max_length");
  assertThrows(() => server.set({ socket_buffer_size: NaN }), RangeError, "socket_buffer_size");
  assertThrows(() => server.set({ websocket_close_timeout: -0.1 }), RangeError, "websocket_close_timeout");
  assertThrows(() => server.set({ max_connection: Infinity }), RangeError, "max_connection");
  assertEquals(server.setting, {}); // nothing of all this was kept
});

test("a call of set() that fails sets nothing", () => {
  const other = new WebSocketServer("127.0.0.1", 0);
  // @ts-expect-error The second one does not exist.
  assertThrows(() => other.set({ backlog: 10, back_log: 10 }), TypeError, "back_log");
  assertEquals(other.setting, {});
});

test("a server that cannot be is refused", () => {
  assertThrows(() => new WebSocketServer("127.0.0.1", 65536), RangeError, "65536");
  assertThrows(() => new WebSocketServer("127.0.0.1", -1), RangeError, "-1");
  assertThrows(() => new WebSocketServer("127.0.0.1", 80.5), RangeError, "80.5");
  assertThrows(() => new WebSocketServer("", 0), TypeError, "host");
  assertThrows(() => new WebSocketServer("127.0.0.1", 0, 1, 2), RangeError, "does not go over UDP");
  assertThrows(() => new WebSocketServer("127.0.0.1", 0, 1, 6), RangeError, "socket type 6"); // datagrams over unix sockets
  // @ts-expect-error The port is a number, or its digits.
  assertThrows(() => new WebSocketServer("127.0.0.1", { port: 9501 }), TypeError, "not object");
  // @ts-expect-error The host comes first.
  assertThrows(() => new WebSocketServer(9501), TypeError, 'new WebSocketServer("127.0.0.1", 9501)');
});

test("methods of other arguments do not compile", () => {
  // @ts-expect-error A frame is no fd.
  assertThrows(() => server.push({ fd: 1 }, "hello"), TypeError, "an fd is a number, not object; give its fd");
  // @ts-expect-error What is pushed is text, a number, bytes or a frame.
  assertEquals(server.push(1, { hello: "world" }), false);
  // @ts-expect-error A reason is text.
  assertEquals(server.disconnect(1, 1000, 5), false);
  // @ts-expect-error A frame is packed from text, a number or bytes.
  assertThrows(() => WebSocketServer.pack(true), TypeError, "boolean");
  // @ts-expect-error Bytes are unpacked, not text.
  assertThrows(() => WebSocketServer.unpack("\x81\x00"), TypeError, "string");
});
