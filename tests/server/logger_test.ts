// The `logger` of a program, whatever it does, and `log_format: "json"`.

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  HttpServer,
  type LogEvent,
  type Logger,
  type LogRecord,
  type LogSettings,
  Server,
  type ServerSettings,
  SWOOLE_LOG_ERROR,
  SWOOLE_LOG_NONE,
  WebSocketServer,
} from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { cleaned, Log, LoggerCalls, LogThrottle } from "../../src/server/log.ts";
import { LOG_DEFAULTS } from "../../src/server/settings/log_settings.ts";
import { inFolder } from "../support/folder.ts";
import { loggedDuring } from "../support/log_lines.ts";
import { frame, handshake, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { EventLog } from "./event_log.ts";

/** Records as they came, to be waited for. */
class Records {
  readonly all: LogRecord[] = [];
  readonly #log = new EventLog();

  readonly logger: Logger = (record) => {
    this.all.push(record);
    this.#log.add(record.message);
  };

  count(records: number): Promise<void> {
    return this.#log.count(records);
  }
}

const GET = "GET /page?token=secret HTTP/1.1\r\nHost: x\r\n\r\n";

function failingServer(settings: ServerSettings): HttpServer {
  const server = new HttpServer("127.0.0.1", 0);
  server.set(settings);
  server.on("request", () => {
    throw new TypeError("boom");
  });
  return server;
}

async function ask(port: number, request = GET): Promise<number> {
  const client = await RawClient.connect(port);
  client.send(request);
  const { status } = await client.readAnswer();
  client.destroy();
  return status;
}

test("the logger receives errors, refusals, violations and what is said of handlers, each with its details", async () => {
  const records = new Records();
  const printed = await loggedDuring(async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ logger: records.logger });
    server.on("request", (request) => {
      if (request.server.path_info === "/throws") throw new TypeError("boom");
    });
    server.on("message", () => {});
    await serving(server, async (_server, port) => {
      assertEquals(await ask(port, "GET /throws?a=b HTTP/1.1\r\nHost: x\r\n\r\n"), 500);
      assertEquals(await ask(port), 500);
      assertEquals(await ask(port, handshake("/chat", { Origin: "https://b.example" })), 403);
      const client = await RawClient.open(port, "/chat?token=secret");
      client.send(frame({ opcode: 3 }));
      await client.readAll();
      client.destroy();
    });
  });
  assertEquals(printed, []);
  const [error, handler, refusal, violation, ...others] = records.all;
  assertEquals(others, []);
  for (const { time } of records.all) assert(Math.abs(time - Date.now()) < 60_000);
  const { error: thrown, ...fields } = error.fields;
  assert(thrown instanceof TypeError);
  assertEquals([error.level, error.event, error.message, fields], [
    "error",
    "error",
    'fd 1: GET "/throws": TypeError: boom',
    { fd: 1 },
  ]);
  const parts = ({ level, event, message, fields }: LogRecord) => ({ level, event, message, fields });
  assertEquals(parts(handler), {
    level: "warn",
    event: "handler",
    message: 'fd 2: GET "/page": the handler has returned without a response',
    fields: { fd: 2, method: "GET", path: "/page" },
  });
  assertMatch(refusal.message, /^Refused a handshake of 127\.0\.0\.1 with 403: pages of this origin may not connect; path /);
  assertEquals({ ...parts(refusal), message: "" }, {
    level: "warn",
    event: "refusal",
    message: "",
    fields: {
      refused: "handshake",
      status: 403,
      reason: "pages of this origin may not connect",
      address: "127.0.0.1",
      path: "/chat",
      origin: "https://b.example",
      setting: "websocket_origins",
    },
  });
  assertEquals(parts(violation), {
    level: "warn",
    event: "violation",
    message: 'Closed fd 4 of 127.0.0.1 with 1002: the opcode is reserved; path "/chat"',
    fields: { fd: 4, address: "127.0.0.1", code: 1002, reason: "the opcode is reserved", path: "/chat" },
  });
});

test("the coroutine style has the same logger", async () => {
  const records = new Records();
  const server = new CoroutineServer("127.0.0.1");
  server.set({ logger: records.logger });
  server.handle("/", () => Promise.reject(new Error("boom")));
  await serving(server, async (_server, port) => {
    assertEquals(await ask(port), 500);
    await records.count(1);
  });
  assertEquals(records.all.map(({ event, message }) => [event, message]), [
    ["error", 'fd 1: GET "/page": Error: boom'],
  ]);
});

test("log_level holds for the logger too; a file that is set gets the same lines, and no other", () =>
  inFolder(async (folder) => {
    const log_file = join(folder, "a.log");
    const cases: [LogSettings, LogEvent[], boolean][] = [
      [{}, ["error"], false],
      [{ log_level: SWOOLE_LOG_ERROR }, ["error"], false],
      [{ log_level: SWOOLE_LOG_NONE }, [], false],
      [{ log_file: "/dev/null" }, ["error"], false],
      [{ log_file }, ["error"], true],
    ];
    for (const [settings, events, isWritten] of cases) {
      const records = new Records();
      const printed = await loggedDuring(() =>
        serving(failingServer({ ...settings, logger: records.logger }), async (_server, port) => {
          assertEquals(await ask(port), 500);
        })
      );
      assertEquals([records.all.map(({ event }) => event), printed], [events, []]);
      if (isWritten) assertMatch(readFileSync(log_file, "utf8"), /^\S+ fd 1: GET "\/page": TypeError: boom\n +at /);
    }
  }));

test("logger is checked, and is the whole server's", () => {
  const server = new Server("127.0.0.1", 0);
  const port = server.listen("127.0.0.1", 0);
  server.set({ logger: null });
  assertThrows(
    () => server.set({ logger: "console" as unknown as Logger }),
    TypeError,
    "Cannot set logger: a function is needed",
  );
  assertThrows(() => server.set({ log_format: "xml" as "json" }), RangeError, "Cannot set log_format: xml is none of text, json");
  for (const settings of [{ logger: null }, { log_format: "json" }, { access_log: true }, { access_log_file: "a" }]) {
    assertThrows(() => port.set(settings as object), TypeError, "it holds for the whole server");
  }
});

const FAILING: readonly [name: string, logger: Logger][] = [
  ["throws", () => {
    throw new Error("no disk");
  }],
  ["rejects", () => Promise.reject(new Error("no disk"))],
  ["returns a thenable that throws", () => ({
    then() {
      throw new Error("no disk");
    },
  })],
];

for (const [name, logger] of FAILING) {
  test(`a logger that ${name}: records go to the console, which says so once, and requests go on`, async () => {
    const lines = await loggedDuring(() =>
      serving(failingServer({ logger }), async (_server, port) => {
        for (let i = 0; i < 3; i++) assertEquals(await ask(port), 500);
      })
    );
    const heads = lines.map((line) => line.split("\n")[0].replace(/^fd \d+/, "fd"));
    assertEquals(heads.filter((line) => line === 'fd: GET "/page": TypeError: boom').length, 3);
    assertEquals(heads.filter((line) => line === "The logger has failed: Error: no disk").length, 1);
    assertEquals(lines.length, 4);
  });
}

test("a logger that causes errors itself is not called for these", async () => {
  const records: LogRecord[] = [];
  const server = failingServer({
    logger: (record) => {
      records.push(record);
      server.push(1, "text"); // no method of this class: throws
    },
  }) as HttpServer & { push(fd: number, text: string): boolean };
  const nested: LogRecord[] = [];
  const log: Log = new Log({
    settings: { ...LOG_DEFAULTS, logger: (record) => (nested.push(record), log.warn("again")) },
    runtime: undefined,
  });
  const lines = await loggedDuring(async () => {
    await serving(server, async (_server, port) => assertEquals(await ask(port), 500));
    log.warn("first");
  });
  assertEquals([records.length, nested.map(({ message }) => message)], [1, ["first"]]);
  assertEquals(lines.map((line) => line.split(":")[0]), ["The logger has failed", "fd 1", "again"]);
});

test("a logger that never settles holds at most 1,000 records, half of them of the access log; finished waits 2 s", async () => {
  const time = { now: 0 };
  const reports: string[] = [];
  const calls = new LoggerCalls((message) => void reports.push(message), () => time.now);
  const taken: LogRecord[] = [];
  const pending: (() => void)[] = [];
  const logger: Logger = (record) => {
    taken.push(record);
    return new Promise<void>((resolve) => pending.push(resolve));
  };
  const add = (event: LogEvent) => calls.call(logger, recordOf(event), () => {});
  for (let i = 0; i < 600; i++) assert(add("request"));
  assertEquals([taken.length, calls.lostCount], [500, 100]);
  for (let i = 0; i < 600; i++) assert(add("error"));
  assertEquals([taken.length, calls.lostCount], [1000, 201]); // one is the record of what was lost
  assertEquals(taken[500].message, "100 records were left out here: the logger takes too long");
  const begun = performance.now();
  await calls.settled();
  assert(performance.now() - begun > 1900);
  assertEquals(reports, ["101 records were left out here: the logger takes too long"]);
  for (const resolve of pending) resolve();
  await calls.settled();
  assert(add("request"));
  assertEquals([taken.length, calls.lostCount], [1001, 201]);
  pending.at(-1)!();
  await calls.settled();
});

test("a logger that takes long gets a quarter of the time; the access log yields first", () => {
  const time = { now: 1000 };
  const calls = new LoggerCalls(() => {}, () => time.now);
  const taken: string[] = [];
  const logger: Logger = ({ event, message }) => {
    taken.push(event === "lost" ? message : event);
    time.now += 50;
  };
  const add = (event: LogEvent) => calls.call(logger, recordOf(event), () => {});
  // It may take 200 ms at a stretch, and each 50 ms that pass give back 12.5; the access log must leave 100.
  for (let i = 0; i < 10; i++) add("websocket");
  assertEquals(taken.splice(0), ["websocket", "websocket", "websocket"]); // 200, 162.5, 125, then 87.5
  for (let i = 0; i < 10; i++) add("warning");
  assertEquals(taken.splice(0), ["7 records were left out here: the logger takes too long", "warning", "warning"]); // then -25
  assertEquals(calls.lostCount, 7 + 8);
  time.now += 10_000;
  add("request");
  assertEquals(taken, ["8 records were left out here: the logger takes too long", "request"]);
});

function recordOf(event: LogEvent): LogRecord {
  return { time: 0, level: event === "error" ? "error" : "info", event, message: event, fields: {} };
}

/** Returns the lines of a log with `log_format: "json"`, parsed. */
async function jsonLines(work: (log: Log) => void, more: LogSettings = {}): Promise<Record<string, unknown>[]> {
  const settings = { ...LOG_DEFAULTS, log_format: "json" as const, ...more };
  const before = console.error;
  const lines: string[] = [];
  console.error = (line: unknown) => void lines.push(String(line));
  try {
    work(new Log({ settings, runtime: undefined }, () => 42));
    await Promise.resolve();
  } finally {
    console.error = before;
  }
  // deno-lint-ignore no-control-regex
  for (const line of lines) assert(!/[\n\x00-\x1f\x7f-\x9f\u202e\u2028]/.test(line), line);
  return lines.map((line) => JSON.parse(line));
}

test("as JSON, a record is one line with its fields; an error has name, message, stack and code", async () => {
  const cause = Object.assign(new RangeError("two\nlines \x1b[31m\u202e"), { code: "EODD" });
  const [warning, error] = await jsonLines((log) => {
    log.warn("text", { fd: 1, path: "/a" }, "handler");
    log.error(cause, 7, "where");
  });
  assertEquals(warning, {
    time: "1970-01-01T00:00:00.042Z",
    level: "warn",
    event: "handler",
    message: "text",
    fd: 1,
    path: "/a",
  });
  const { stack, ...thrown } = error.error as Record<string, string>;
  assert(stack.includes("two\nlines"));
  assertEquals({ ...error, error: thrown }, {
    time: "1970-01-01T00:00:00.042Z",
    level: "error",
    event: "error",
    message: "fd 7: where: RangeError: two\\u000alines \\u001b[31m\\u202e",
    fd: 7,
    error: { name: "RangeError", message: "two\nlines \x1b[31m\u202e", code: "EODD" },
  });
  const [dated] = await jsonLines((log) => log.warn("text"), { log_date_format: "%Y" });
  assertEquals(dated.time, new Date(42).getFullYear().toString());
});

test("with workers, each line and each record says which process it is of", () => {
  const member = { id: -1, pid: 4711 };
  const records: LogRecord[] = [];
  for (const more of [{}, { log_format: "json" as const }, { logger: (record: LogRecord) => void records.push(record) }]) {
    const lines: string[] = [];
    const { error, log } = console;
    console.error = console.log = (line: unknown) => void lines.push(String(line));
    try {
      const it = new Log({ settings: { ...LOG_DEFAULTS, ...more }, runtime: undefined, member }, () => 42);
      it.warn("text");
      it.error("thrown", 7);
      it.access("line", { status: 200 }, "request");
    } finally {
      Object.assign(console, { error, log });
    }
    if ("log_format" in more) {
      const parsed = lines.map((line) => JSON.parse(line));
      assertEquals(parsed.map(({ event, worker, pid }) => [event, worker, pid]), [
        ["warning", -1, 4711],
        ["error", -1, 4711],
        ["request", -1, 4711],
      ]);
    } else if ("logger" in more) {
      assertEquals([lines, records.map(({ fields }) => fields)], [[], [
        { worker: -1, pid: 4711 },
        { fd: 7, error: "thrown", worker: -1, pid: 4711 },
        { status: 200, worker: -1, pid: 4711 },
      ]]);
    } else {
      const at = "1970-01-01T00:00:00.042Z #4711.-1";
      assertEquals(lines, [`${at} text`, `${at} fd 7: thrown`, `${at} line`]);
    }
  }
  const time = { now: 1000 };
  const calls = new LoggerCalls(() => {}, () => time.now);
  const told: LogRecord[] = [];
  const slow = (record: LogRecord) => {
    told.push(record);
    time.now += 300;
  };
  const record = { ...recordOf("warning"), fields: { worker: 2, pid: 7, fd: 1 } };
  for (let i = 0; i < 3; i++) calls.call(slow, record, () => {});
  time.now += 10_000;
  calls.call(slow, record, () => {});
  assertEquals(told.map(({ event, fields }) => [event, fields.worker, fields.pid, fields.fd]), [
    ["warning", 2, 7, 1],
    ["lost", 2, 7, undefined],
    ["warning", 2, 7, 1],
  ]);
});

test("whatever is thrown can be logged, as text and as JSON", async () => {
  const odd = new Error("odd");
  Object.defineProperties(odd, { stack: { get: () => Promise.reject.call(undefined) }, message: { get: () => JSON.parse("") } });
  const thrown: unknown[] = [
    undefined,
    null,
    Object.create(null),
    Symbol("s"),
    { toString: () => JSON.parse("") },
    odd,
    Object.assign(new Error("m"), { name: 5, code: Symbol("c") }),
    10n,
    "text",
  ];
  const lines = await jsonLines((log) => thrown.forEach((one) => log.error(one)));
  assertEquals(lines.length, thrown.length);
  assertEquals(lines[2].message, "an error that cannot be shown");
  assertEquals(lines[8].error, { message: "text" });
  const texts = await loggedDuring(async () => {
    const log = new Log({ settings: LOG_DEFAULTS, runtime: undefined });
    for (const one of thrown) log.error(one);
    await Promise.resolve();
  });
  assertEquals(texts.map((text) => text.split("\n")[0]), [
    "undefined",
    "null",
    "an error that cannot be shown",
    "Symbol(s)",
    "an error that cannot be shown",
    "an error that cannot be shown",
    texts[6].split("\n")[0],
    "10",
    "text",
  ]);
});

test("the stack of an error keeps its lines; what terminals obey is escaped, and 16 KiB are logged", async () => {
  const [short, long, longer] = await loggedDuring(async () => {
    const log = new Log({ settings: LOG_DEFAULTS, runtime: undefined });
    log.error("a\n\tb\r\x1b[2J\x9b\u2028\u{e0001}");
    for (const length of [16 * 1024, 16 * 1024 + 1]) log.error("x".repeat(length));
    await Promise.resolve();
  });
  assertEquals(short, "a\n\tb\\u000d\\u001b[2J\\u009b\\u2028\\udb40\\udc01");
  assertEquals([long, longer], ["x".repeat(16 * 1024), "x".repeat(16 * 1024) + "…"]);
});

test("fields from a peer are cut behind 200 characters, and escaped without doubt", () => {
  assertEquals(cleaned("x".repeat(200)), "x".repeat(200));
  assertEquals(cleaned("x".repeat(201)), `${"x".repeat(200)}…`);
  assertEquals(cleaned('\\u001b \x1b "\xe9\u200b\ud800'), '\\\\u001b \\u001b "\xe9\\u200b\\ud800');
});

test("what was suppressed since the last record of a kind is a field, too", async () => {
  const records = new Records();
  const log = new Log({ settings: { ...LOG_DEFAULTS, logger: records.logger }, runtime: undefined });
  const before = performance.now;
  try {
    const throttle = new LogThrottle(log);
    const add = (kind: string) => throttle.warn("refusal", kind, () => [kind, { reason: kind }]);
    for (const kind of ["a", "a", "b", "a"]) add(kind);
    const now = before.call(performance);
    performance.now = () => now + 60_000;
    add("a");
  } finally {
    performance.now = before;
  }
  await records.count(3);
  assertEquals(records.all.map(({ message, fields }) => [message, fields]), [
    ["a", { reason: "a" }],
    ["b", { reason: "b" }],
    ["a; 2 more of the kind since the last line", { reason: "a", suppressed: 2 }],
  ]);
});
