/** Settings of Swoole that are not here, and names with typing errors: what is taken, and what the errors say. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { HttpServer, type IgnoredSettings, Server, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { HttpClient, HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { ABSENT_SETTINGS } from "../../src/server/settings/swoole_settings.ts";

/** Sets what the compiler would not let pass. */
function set(settings: Record<string, unknown>): void {
  new WebSocketServer("127.0.0.1", 0).set(settings as ServerSettings);
}

/** The list in docs/settings.md: what is taken, by the setting. */
function takenByTheDocs(): Map<string, string> {
  const text = readFileSync(new URL("../../docs/settings.md", import.meta.url), "utf8");
  const list = text.slice(text.indexOf("## Accepted without effect"));
  const items = [...list.matchAll(/^- ((?:`\w+`(?:,\s+)?)+) \(([^)]+)\):\s/gm)];
  assertEquals(items.length, [...list.matchAll(/^- /gm)].length, "an item cannot be read");
  return new Map(items.flatMap(([, names, taken]) => {
    return [...names.matchAll(/`(\w+)`/g)].map(([, name]) => [name, taken] as const);
  }));
}

test("what a Swoole program sets is taken where it changes nothing, and can be read again", () => {
  const settings: IgnoredSettings = {
    reactor_num: 4,
    dispatch_func: null,
    enable_coroutine: true,
    daemonize: false,
    task_ipc_mode: 1,
    open_http2_protocol: false,
    send_yield: false,
    hook_flags: 0x7fffffff,
    buffer_output_size: 2 * 1024 * 1024,
    tcp_fastopen: false,
  };
  for (const server of [new Server(), new HttpServer(), new WebSocketServer(), new CoroutineServer("127.0.0.1")]) {
    assertEquals(server.set(settings), true);
    assertEquals("setting" in server ? server.setting : server.settings, settings as ServerSettings);
  }
  assertEquals(new HttpServer().listen("127.0.0.1", 0).set({ open_http2_protocol: false, open_http_protocol: true }), true);
});

test("docs/settings.md tells what is taken without effect, and nothing else", () => {
  const rows = takenByTheDocs();
  const expected = [...ABSENT_SETTINGS].filter(([, { taken }]) => taken.length > 0);
  assertEquals([...rows.keys()].toSorted(), expected.map(([name]) => name).toSorted());
  for (const [name, { taken }] of expected) {
    if (typeof taken !== "string") {
      assertEquals(rows.get(name), taken.map((one) => typeof one === "number" ? one : `\`${one}\``).join(", "), name);
      for (const value of taken) set({ [name]: value });
    } else {
      const value = { number: 3, boolean: true, string: "/tmp" }[taken];
      assertEquals(rows.get(name), taken === "boolean" ? "`true`, `false`" : `any ${taken}`, name);
      set({ [name]: value });
    }
  }
});

test("other values, and other settings that only Swoole has, are refused with the reason and what to use instead", () => {
  const rows: [name: string, value: unknown, message: string][] = [
    ["reactor_num", "4", 'Cannot set reactor_num to "4": each worker is one thread that does everything; use worker_num'],
    ["daemonize", true, "Cannot set daemonize to true: the program stays in the foreground; what starts the program does that"],
    ["daemonize", 1, "(false or 0 is taken, without effect)"],
    ["enable_coroutine", false, "max_handlers_per_connection: 1 runs the handlers of a connection one after the other"],
    ["task_ipc_mode", "pipe", "tasks go over sockets between the processes"],
    ["open_http2_protocol", true, "there is no HTTP/2; put a proxy in front that speaks it"],
    ["http2_max_frame_size", 65536, "there is no HTTP/2"],
    ["pid_file", "pid", "let the program write its own number to a file"],
    ["max_coroutine", 3000, "use max_connection, worker_max_concurrency and max_handlers_per_connection"],
    ["dispatch_func", () => 0, "Cannot set dispatch_func to a function: no worker hands work to another"],
    ["buffer_input_size", 1, "Cannot set buffer_input_size to 1: use input_buffer_size"],
    ["send_yield", true, "bufferFull and bufferEmpty tell when to"],
    ["user", "www-data", 'Cannot set user to "www-data": what starts the program does that, for example systemd'],
    ["websocket_mask", true, "RFC 6455 section 5.1"],
    ["ssl_compress", true, "compression below encryption gives secrets away"],
    ["tcp_keepcount", 3, "use tcp_keepidle, websocket_ping_interval or heartbeat_idle_time"],
    ["init_arguments", { a: 1 }, "Cannot set init_arguments to an object: there are no threads of PHP; use a Worker"],
    ["cpu_affinity_ignore", [0], "Cannot set cpu_affinity_ignore to a list: "],
    ["message_queue_key", "x".repeat(100), `Cannot set message_queue_key to "${"x".repeat(36)}...: tasks go over sockets`],
  ];
  for (const [name, value, message] of rows) assertThrows(() => set({ [name]: value }), TypeError, message);
  for (const [name, { reason }] of ABSENT_SETTINGS) {
    assertThrows(() => set({ [name]: Symbol("nothing") }), TypeError, `Cannot set ${name} to Symbol(nothing): ${reason}`);
  }
  const port = new HttpServer().listen("127.0.0.1", 0);
  assertThrows(() => port.set({ task_worker_num: 2 } as never), TypeError, "Cannot set task_worker_num");
});

test("a setting with a typing error: the message says which one may have been meant", () => {
  const rows: [given: string, meant: string][] = [
    ["package_max_lenght", "package_max_length"],
    ["packageMaxLength", "package_max_length"],
    ["websocket_compresion", "websocket_compression"],
    ["websocket-compression", "websocket_compression"],
    ["woker_num", "worker_num"],
    ["max_con", "max_conn"],
    ["ssl_cert_flie", "ssl_cert_file"],
  ];
  for (const [given, meant] of rows) {
    const error = assertThrows(() => set({ [given]: 1 }), TypeError);
    assertEquals(error.message, `Cannot set ${given}: there is no such setting; did you mean ${meant}?`);
  }
  for (const given of ["nonsense", "x", "", "__proto__x", "toString", "y".repeat(10_000)]) {
    const error = assertThrows(() => set({ [given]: 1 }), TypeError);
    assertEquals(error.message, `Cannot set ${given}: there is no such setting`);
  }
  const client = new HttpClient("127.0.0.1");
  assertThrows(() => client.set({ time_out: 1 } as never), TypeError, "there is no such setting; did you mean timeout?");
});

test("settings that are no object are refused", () => {
  for (const [given, what] of [[undefined, "undefined"], [null, "null"], ["worker_num", "string"], [[], "a list"]] as const) {
    assertThrows(() => set(given as never), TypeError, `Cannot set the settings: an object is needed, not ${what}`);
  }
});

test("an event that does not exist: the message says which one may have been meant, who has it, or why there is none", () => {
  const rows: [server: { on(event: never, handler: never): boolean }, event: unknown, message: string][] = [
    [new WebSocketServer(), "mesage", "there is no event mesage; did you mean message?"],
    [new WebSocketServer(), "onMessage", "there is no event onMessage; did you mean message?"],
    [new WebSocketServer(), "buffer_full", "there is no event buffer_full; did you mean bufferFull?"],
    [new WebSocketServer(), "data", "there is no event data; there are connect, receive, packet, close, "],
    [new WebSocketServer(), "Tasks", "there is no event Tasks; did you mean task?"],
    [new Server(), "request", "only a HttpServer has the event request"],
    [new HttpServer(), "message", "only a WebSocketServer has the event message"],
    [new Server().listen("127.0.0.1", 0), "open", "only a WebSocketServer has the event open"],
    [new WebSocketServer().listen("127.0.0.1", 0), "start", "a port has no event start, its server has it"],
    [new CoroutineServer("127.0.0.1"), "start", "there is no event start; there are authenticate, error, refuse, slowReader"],
    [new Server().listen("127.0.0.1", 0), "workerError", "a port has no event workerError, its server has it"],
    [new Server(), undefined, "an event is a string, not undefined"],
  ];
  for (const [server, event, message] of rows) {
    const error = assertThrows(() => server.on(event as never, (() => {}) as never), TypeError);
    assert(error.message.startsWith(`Cannot register a handler: ${message}`), error.message);
  }
});

test("websocket_origins refuses what can never be the origin of a page, and says how it is written", () => {
  const rows: [given: unknown, message: string][] = [
    ["example.com", 'Cannot set websocket_origins: "example.com" is no origin; write "https://example.com"'],
    [["same-origin", "https://a.example/"], '"https://a.example/" is no origin; write "https://a.example"'],
    [["https://*.example.com"], '"https://*.example.com" has a wildcard; list each origin'],
    [5, "a string or a list of strings is needed, not number"],
    [[5], "a string or a list of strings is needed, not a list"],
  ];
  for (const [given, message] of rows) assertThrows(() => set({ websocket_origins: given }), TypeError, message);
  set({ websocket_origins: ["same-origin", "null", "weapp://wechat-game-runtime", "http://localhost:5173"] });
});
