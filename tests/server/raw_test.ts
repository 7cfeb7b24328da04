// Packages over the wire, events with one object, and the files of a server.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { execFileSync } from "node:child_process";
import { closeSync, constants, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import {
  Server,
  ServerEvent,
  type ServerSettings,
  SWOOLE_LOG_ERROR,
  SWOOLE_LOG_NONE,
  SWOOLE_LOG_WARNING,
  WebSocketServer,
} from "../../mod.ts";
import { inFolder } from "../support/folder.ts";
import { startOn, testLanes } from "../support/lanes.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { inNode20 } from "../support/node_20.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";
import { resolveSettings } from "../../src/server/settings/settings.ts";
import { EventLog } from "./event_log.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A server with some settings that notes what it receives, and why connections end. */
function packaging(log: EventLog, settings: ServerSettings): Server {
  const server = new Server("127.0.0.1", 0);
  server.set(settings);
  server.on("receive", (_server, _fd, _reactorId, data) => log.add(`receive ${text(data)}`));
  server.on("close", (server, fd, reactorId) => log.add(`close ${fd} ${reactorId} ${server.getLastError()}`));
  return server;
}

testLanes("packages arrive whole, however they come", async (runtime) => {
  const log = new EventLog();
  const server = packaging(log, { open_length_check: true, package_length_type: "n", package_body_offset: 2 });
  await startOn(runtime, server);
  try {
    const client = await RawClient.connect(server.port);
    const bytes = new Uint8Array([0, 3, 97, 98, 99, 0, 0, 0, 1, 100]);
    await client.sendApart(Array.from(bytes, (byte) => new Uint8Array([byte])));
    client.send(bytes);
    await log.count(6);
    assertEquals(log.lines.map((line) => line.slice(10)), ["abc", "", "d", "abc", "", "d"]);
    client.destroy();
  } finally {
    server.shutdown();
    await server.finished;
  }
});

test("a package over package_max_length ends its connection with 1201, a length that cannot be with 1204", async () => {
  const log = new EventLog();
  const server = packaging(log, {
    open_length_check: true,
    package_length_type: "c",
    package_body_offset: 1,
    package_max_length: 10,
  });
  await serving(server, async (_server, port) => {
    const clients = [await RawClient.connect(port), await RawClient.connect(port)];
    clients[0].send("\x09ninechars\x0aten chars.");
    await clients[0].whenEnded();
    await log.until("close 1 -1 1201");
    clients[1].send(new Uint8Array([0x80]));
    await clients[1].whenEnded();
    await log.until("close 2 -1 1204");
    for (const client of clients) client.end();
  });
  assertEquals(log.lines, ["receive \tninechars", "close 1 -1 1201", "close 2 -1 1204"]);
});

test("package_length_offset is where the length is, package_body_start from where on it counts", async () => {
  const log = new EventLog();
  const type = { open_length_check: true, package_length_type: "C", package_length_offset: 1 } as const;
  const server = packaging(log, { ...type, package_body_start: 2 });
  const client = new MemoryClient(server);
  client.send("x\x02aby\x00");
  await log.count(2);
  assertEquals(log.lines, ["receive x\x02ab", "receive y\x00"]);
  client.drop();
  server.shutdown();
  await server.finished;
});

test("an end mark is looked for in what arrived together, or in each package", async () => {
  for (
    const [settings, expected] of [
      [{ open_eof_check: true, package_eof: ";" }, ["receive a;b;"]],
      [{ open_eof_check: true, open_eof_split: true, package_eof: new Uint8Array([59]) }, ["receive a;", "receive b;"]],
      [{ open_eof_split: true }, ["receive a;b;\r\n"]],
    ] as [ServerSettings, string[]][]
  ) {
    const log = new EventLog();
    const server = packaging(log, settings);
    const client = new MemoryClient(server);
    client.send("a;b");
    client.send(";");
    if (settings.package_eof === undefined) client.send("\r\n");
    await log.count(expected.length);
    assertEquals(log.lines, expected);
    client.drop();
    server.shutdown();
    await server.finished;
  }
});

test("package_length_func tells the length; when it throws, that is a fault of the program on that connection", async () => {
  const log = new EventLog();
  const server = packaging(log, {
    open_length_check: true,
    package_length_func: (data) => {
      if (data[0] === 120) throw new Error("no package");
      return data.length < 2 ? 0 : data[0] - 48;
    },
  });
  server.on("error", (_server, error, fd) => log.add(`error ${fd} ${(error as Error).message}`));
  const client = new MemoryClient(server);
  client.send("3ab2");
  await log.until("receive 3ab");
  client.send("c");
  await log.until("receive 2c");
  client.send("x");
  await log.until("error 1 no package");
  assert(log.lines.includes("close 1 -1 0"));
  client.end();
  server.shutdown();
  await server.finished;
});

test("getClientInfo() counts what has arrived of a package", async () => {
  const log = new EventLog();
  const server = packaging(log, { open_eof_split: true });
  const client = new MemoryClient(server);
  client.send("a\r\nbcd");
  await log.until("receive a\r\n");
  const info = server.getClientInfo(1);
  assertEquals(info && info.recv_queued_bytes, 3);
  client.drop();
  server.shutdown();
  await server.finished;
});

test("two ways to find packages at a time keep the server from starting", async () => {
  const server = packaging(new EventLog(), { open_eof_split: true, open_length_check: true });
  await assertRejects(() => server.start(), TypeError, "open_length_check");
});

test("settings of packages are checked, and the error names the key", () => {
  const server = new Server("127.0.0.1", 0);
  const set = (settings: object) => () => server.set(settings as ServerSettings);
  assertThrows(set({ package_eof: 1 }), TypeError, "package_eof");
  assertThrows(set({ package_eof: "" }), RangeError, "package_eof");
  assertThrows(set({ package_eof: "123456789" }), RangeError, "package_eof");
  assertThrows(set({ package_length_type: "Q" }), RangeError, "package_length_type");
  assertThrows(set({ package_length_offset: -1 }), RangeError, "package_length_offset");
  assertThrows(set({ package_length_func: 1 }), TypeError, "package_length_func");
  assertThrows(set({ log_level: 7 }), RangeError, "log_level");
  assertThrows(set({ stats_timer_interval: 0 }), RangeError, "stats_timer_interval");
  assertEquals(resolveSettings({ package_body_start: 4 }).package_body_offset, 4);
});

test("of idle time and check interval one follows from the other", () => {
  const both = (settings: ServerSettings) => {
    const { heartbeat_idle_time, heartbeat_check_interval } = resolveSettings(settings);
    return [heartbeat_idle_time, heartbeat_check_interval];
  };
  assertEquals(both({}), [0, 0]);
  assertEquals(both({ heartbeat_idle_time: 60 }), [60, 30]);
  assertEquals(both({ heartbeat_idle_time: 1 }), [1, 1]);
  assertEquals(both({ heartbeat_check_interval: 5 }), [10, 5]);
  assertEquals(both({ heartbeat_idle_time: 60, heartbeat_check_interval: 7 }), [60, 7]);
});

test("with event_object connect, receive and close get one object", async () => {
  const log = new EventLog();
  const server = new Server("127.0.0.1", 0);
  server.set({ event_object: true });
  const note = (name: string) => (_server: Server, event: ServerEvent, ...rest: unknown[]) => {
    assert(event instanceof ServerEvent);
    assert(Math.abs(Date.now() / 1000 - event.dispatch_time) < 60);
    log.add(`${name} ${event.fd} ${event.reactor_id} ${event.data && text(event.data)} ${rest.length}`);
  };
  server.on("connect", note("connect"));
  server.on("receive", note("receive"));
  server.on("close", note("close"));
  await serving(server, async (server, port) => {
    const client = await RawClient.connect(port);
    client.send("hi");
    await log.count(2);
    server.close(1);
    await client.whenEnded();
    client.end();
  });
  assertEquals(log.lines, ["connect 1 0 undefined 0", "receive 1 0 hi 0", "close 1 -1 undefined 1"]);
});

test("with event_object disconnect gets one object; open and message are as they are", async () => {
  const log = new EventLog();
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ event_object: true });
  server.on("open", (_server, { fd }) => log.add(`open ${fd}`));
  server.on("message", (_server, { fd, data }) => log.add(`message ${fd} ${data}`));
  server.on("close", (_server, event: ServerEvent) => log.add(`close ${event.fd}`));
  server.on("disconnect", (_server, event: ServerEvent) => log.add(`disconnect ${event.fd}`));
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "hi" }));
    await log.until("message 1 hi");
    client.destroy();
    await log.until("close 1");
    const plain = await RawClient.connect(port);
    plain.destroy();
    await log.until("disconnect 2");
  });
  assertEquals(log.lines, ["open 1", "message 1 hi", "close 1", "disconnect 2"]);
});

test("stats_file gets the counters again and again, in the format of its name", () =>
  inFolder(async (folder) => {
    const formats: [string, (content: string) => unknown][] = [
      ["stats.json", (content) => JSON.parse(content).accept_count],
      ["stats.prom", (content) => content.endsWith("# EOF\n") && Number(/connections_opened_total (\d+)/.exec(content)?.[1])],
      ["stats.txt", (content) => Number(/^accept_count: (\d+)$/m.exec(content)?.[1])],
    ];
    for (const [name, read] of formats) {
      const path = join(folder, name);
      const server = packaging(new EventLog(), { stats_file: path, stats_timer_interval: 5 });
      const content = () => {
        return existsSync(path) ? read(readFileSync(path, "utf8")) : undefined;
      };
      await serving(server, async (_server, port) => {
        while (content() !== 0) await new Promise<void>((resolve) => setTimeout(resolve, 2));
        const client = await RawClient.connect(port);
        while (content() !== 1) await new Promise<void>((resolve) => setTimeout(resolve, 2));
        client.destroy();
      });
    }
  }));

test("stats_timer_interval says how often: a server without it has written its stats_file, one with a long one has not", () =>
  inFolder(async (folder) => {
    const [usual, seldom] = ["usual", "seldom"].map((name) => join(folder, name));
    await serving(packaging(new EventLog(), { stats_file: seldom, stats_timer_interval: 0x7fffffff }), async () => {
      await serving(packaging(new EventLog(), { stats_file: usual }), async () => {
        while (!existsSync(usual)) await new Promise<void>((resolve) => setTimeout(resolve, 20));
      });
    });
    assertEquals(existsSync(seldom), false);
  }));

test("a stats_file that is a pipe is an error without a reader, and holds up no end when it is full", () =>
  inFolder(async (folder) => {
    const path = join(folder, "stats.prom");
    execFileSync("mkfifo", [path], { env: { PATH: `${process.env.PATH}:/usr/bin:/bin` } });
    const log = new EventLog();
    const start = async () => {
      const server = packaging(new EventLog(), { stats_file: path, stats_timer_interval: 5 });
      server.on("error", (_server, error) => log.add(String((error as { code?: string }).code)));
      await server.start();
      return server;
    };
    const unread = await start();
    await log.until("ENXIO");
    unread.shutdown();
    await unread.finished;
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK); // it does not read
    const stuck = await start();
    await new Promise<void>((resolve) => setTimeout(resolve, 200)); // a pipe holds some of these files
    stuck.shutdown();
    await stuck.finished;
    closeSync(reader);
  }));

/** Logs a fault to a file, and waits until it is there. */
async function logLater(path: string): Promise<void> {
  const server = packaging(new EventLog(), { log_file: path });
  server.on("connect", () => {
    throw new Error("a later fault");
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    while (!(existsSync(path) && readFileSync(path, "utf8").includes("a later fault"))) {
      await new Promise<void>((resolve) => setTimeout(resolve, 2));
    }
    client.destroy();
  });
}

test("log_level says whether errors are logged", () =>
  inFolder(async (folder) => {
    for (const [level, logged] of [[SWOOLE_LOG_WARNING, true], [SWOOLE_LOG_ERROR, true], [SWOOLE_LOG_NONE, false]] as const) {
      const path = join(folder, `log${level}`);
      const server = packaging(new EventLog(), { log_level: level, log_file: path });
      const failed = signal();
      server.on("connect", () => {
        setTimeout(() => failed.resolve(), 0);
        throw new Error("told to fail");
      });
      await serving(server, async (_server, port) => {
        const client = await RawClient.connect(port);
        await failed.promise;
        while (logged && !(existsSync(path) && readFileSync(path, "utf8").includes("told to fail"))) {
          await new Promise<void>((resolve) => setTimeout(resolve, 2));
        }
        client.destroy();
      });
      // What another server logs behind it into the same file comes alone.
      if (!logged) await logLater(path);
      assertEquals(readFileSync(path, "utf8").includes("told to fail"), logged);
    }
  }));

test("with enable_reuse_port another server may listen on the same port, but in Node 20; without it none", async () => {
  const first = packaging(new EventLog(), { enable_reuse_port: true });
  await serving(first, async (_server, port) => {
    const second = new Server("127.0.0.1", port);
    second.set({ enable_reuse_port: true });
    second.on("receive", () => {});
    if (inNode20) return void await assertRejects(() => second.start(), Error, "in use");
    await serving(second, (second) => {
      assertEquals(second.port, port);
      return Promise.resolve();
    });
    const third = new Server("127.0.0.1", port);
    third.on("receive", () => {});
    await assertRejects(() => third.start(), Error, "in use");
  });
});

test("stats() counts what Swoole counts", async () => {
  const server = packaging(new EventLog(), { start_session_id: 10 });
  const clients = [new MemoryClient(server), new MemoryClient(server), new MemoryClient(server)];
  server.close(11);
  const stats = server.stats();
  assertEquals([stats.min_fd, stats.max_fd, stats.session_round], [12, 13, 13]);
  assertEquals([stats.task_worker_num, stats.user_worker_num, stats.worker_num], [0, 0, 1]);
  server.send(12, "x");
  const after = server.stats();
  assertEquals([after.response_count, after.worker_response_count], [1, 1]);
  assertEquals([after.request_count, after.dispatch_count, after.worker_request_count, after.worker_dispatch_count], [
    0,
    0,
    0,
    0,
  ]);
  assertEquals(JSON.parse(server.stats("json")), after);
  assertThrows(() => server.stats("xml" as "json"), TypeError, "xml");
  for (const client of clients) client.drop();
  server.shutdown();
  await server.finished;
  assertEquals([server.stats().min_fd, server.stats().max_fd], [0, 0]);
});
