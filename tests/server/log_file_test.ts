// How log files are written: one write at a time, in order, and no more waiting than is allowed.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { HttpServer, type Runtime, setRuntime, SWOOLE_LOG_ROTATION_EVERY_MINUTE } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { Log } from "../../src/server/log.ts";
import { logWritten, writeLog } from "../../src/server/log_output.ts";
import { LOG_DEFAULTS } from "../../src/server/settings/log_settings.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { inFolder } from "../support/folder.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { signal } from "../support/serving.ts";

const settings = { ...LOG_DEFAULTS, log_file: "a.log", log_date_format: "@" };

/** A runtime whose writes end when the test says so. */
class SlowFiles {
  /** The writes so far: path and text. */
  readonly writes: [string, string][] = [];
  readonly #pending: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  readonly runtime = {
    appendTextFile: (path: string, text: string) => {
      this.writes.push([path, text]);
      return new Promise<void>((resolve, reject) => this.#pending.push({ resolve, reject }));
    },
  } as unknown as Runtime;

  /** Logs an error to a file of this runtime. */
  log(text: string, given = settings, now = 0): void {
    new Log({ settings: given, runtime: this.runtime }, () => now).error(text);
  }

  /** Appends a line, which may be longer than any that is logged. */
  write(line: string): void {
    writeLog(this.runtime, settings.log_file, line, (count) => `@ ${count} left out\n`);
  }

  /** The number of writes under way. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Ends the oldest write. */
  async end(error?: unknown): Promise<void> {
    const { resolve, reject } = this.#pending.shift()!;
    if (error === undefined) resolve();
    else reject(error);
    await settle();
  }
}

/** Returns a line of so many characters in the file, and the function that logs it. */
function lineOf(length: number): [string, (files: SlowFiles) => void] {
  const line = `@ ${"x".repeat(length - "@ \n".length)}\n`;
  return [line, (files) => files.write(line)];
}

test("lines that come while a write is under way are joined into the next one, in order", async () => {
  const files = new SlowFiles();
  for (const text of ["one", "two", "three"]) files.log(text);
  assertEquals(files.writes, [["a.log", "@ one\n"]]);
  await files.end();
  files.log("four");
  assertEquals(files.writes.slice(1), [["a.log", "@ two\n@ three\n"]]);
  await files.end();
  assertEquals(files.writes.slice(2), [["a.log", "@ four\n"]]);
  await files.end();
  files.log("five"); // at once, since nothing is under way
  assertEquals([files.writes.slice(3), files.pending], [[["a.log", "@ five\n"]], 1]);
});

test("each file of a rotation is written on its own", async () => {
  const files = new SlowFiles();
  const rotated = { ...settings, log_rotation: SWOOLE_LOG_ROTATION_EVERY_MINUTE };
  const first = new Date(2024, 0, 5, 9, 7).getTime();
  for (const [text, now] of [["a", first], ["b", first], ["c", first + 60_000], ["d", first + 60_000]] as const) {
    files.log(text, rotated, now);
  }
  assertEquals(files.writes, [["a.log.202401050907", "@ a\n"], ["a.log.202401050908", "@ c\n"]]);
  await files.end();
  await files.end();
  assertEquals(files.writes.slice(2), [["a.log.202401050907", "@ b\n"], ["a.log.202401050908", "@ d\n"]]);
});

test("1 MiB may wait; further lines are left out and counted, and later ones are written again", async () => {
  const files = new SlowFiles();
  const [half, logHalf] = lineOf(512 * 1024);
  const [short, logShort] = lineOf(10);
  logShort(files);
  logHalf(files);
  logHalf(files); // exactly 1 MiB
  await files.end();
  assertEquals(files.writes[1][1] === half + half, true);
  logHalf(files);
  logHalf(files);
  logShort(files); // one line above
  await files.end();
  assertEquals(files.writes[2][1] === half + half + "@ 1 left out\n", true);
  const [more, logMore] = lineOf(512 * 1024 + 1);
  logHalf(files);
  logMore(files);
  logShort(files); // would have room, but not in its place
  await files.end();
  assertEquals(files.writes[3][1] === half + "@ 2 left out\n", true);
  logShort(files);
  await files.end();
  assertEquals(files.writes[4][1], short);
  const [large, logLarge] = lineOf(2 * 1024 * 1024);
  logLarge(files); // alone, a line of any size has room
  await files.end();
  assertEquals(files.writes[5][1] === large, true);
  assert(more.length > half.length);
});

for (const log_format of ["text", "json"] as const) {
  test(`a line tells how many were left out, as ${log_format}; the log counts them`, async () => {
    const files = new SlowFiles();
    const log = new Log({ settings: { ...settings, log_format }, runtime: files.runtime }, () => 0);
    const cause = new Error("x".repeat(20_000)); // of which 16 KiB are logged
    const lastLine = () => files.writes.at(-1)![1].trimEnd().split("\n").at(-1)!;
    const messages = ["1 line was", "2 lines were"].map((lines) =>
      `${lines} left out here: more was logged than the file could take`
    );
    log.error(cause);
    let lost = 0;
    for (const [index, message] of messages.entries()) {
      while (log.lostCount === lost) log.error(cause);
      if (index === 1) log.error(cause);
      lost = log.lostCount;
      await files.end();
      const expected = { time: "@", level: "warn", event: "lost", message };
      assertEquals(lastLine(), log_format === "text" ? `@ ${message}` : JSON.stringify(expected));
      assert(files.writes.at(-1)![1].length < 1.1 * 1024 * 1024);
    }
    assertEquals(lost, 3);
  });
}

test("what cannot be written goes to the console, and the next lines are tried again", async () => {
  const files = new SlowFiles();
  const shown: unknown[] = [];
  const { error } = console;
  console.error = (text: unknown) => void shown.push(text);
  try {
    for (const text of ["one", "two", "three"]) files.log(text);
    await files.end(new Error("no space"));
    await files.end(new Error("no space"));
  } finally {
    console.error = error;
  }
  assertEquals(shown, ["@ one", "@ two\n@ three"]);
  files.log("four");
  assertEquals(files.writes[2], ["a.log", "@ four\n"]);
});

test("logWritten() waits for the lines of before, not for later ones", async () => {
  const files = new SlowFiles();
  await logWritten(undefined, settings);
  await logWritten(files.runtime, settings);
  const log = (text: string) => files.log(text);
  const wait = () => {
    const state = { isOver: false };
    logWritten(files.runtime, settings).then(() => state.isOver = true);
    return state;
  };
  log("one");
  const first = wait();
  log("two");
  const second = wait();
  await files.end();
  assertEquals([first.isOver, second.isOver], [true, false]);
  log("three");
  await files.end();
  assertEquals([second.isOver, files.pending], [true, 1]);
  await files.end();
});

test("logWritten() does not wait for the files of other servers", async () => {
  const files = new SlowFiles();
  files.log("one");
  for (const log_file of ["", "b.log", "/dev/null"]) await logWritten(files.runtime, { ...settings, log_file });
  assertEquals(files.pending, 1);
  let isOver = false;
  logWritten(files.runtime, { ...settings, log_file: "", access_log_file: "a" }).then(() => isOver = true);
  await settle();
  assertEquals(isOver, false);
  await files.end();
  assertEquals(isOver, true);
});

for (const style of ["events", "coroutines"] as const) {
  test(`${style}: a burst of errors takes one descriptor, and finished waits until all lines are written`, () =>
    inFolder(async (folder) => {
      const runtime = await loadRuntime();
      let open = 0;
      let most = 0;
      setRuntime({
        ...runtime,
        appendTextFile: (path, text) => {
          most = Math.max(most, ++open);
          return runtime.appendTextFile(path, text).finally(() => open--);
        },
      });
      try {
        const log_file = join(folder, "server.log");
        const many = 300; // with their stacks below 1 MiB
        let server: HttpServer | CoroutineServer;
        if (style === "events") {
          server = new HttpServer("127.0.0.1", 0);
          server.on("request", () => {});
          server.on("shutdown", () => Promise.reject(new Error("failure last")));
        } else {
          server = new CoroutineServer("127.0.0.1", 0);
        }
        server.set({ log_file });
        await server.start();
        const clients: MemoryClient[] = [];
        if (server instanceof HttpServer) {
          for (let i = 0; i < many; i++) {
            server.defer(() => {
              throw new Error(`failure ${i}`);
            });
          }
        } else {
          let count = 0;
          const called = signal();
          server.handle("/", () => {
            if (count === many - 1) called.resolve();
            throw new Error(`failure ${count++}`);
          });
          const client = new MemoryClient(server);
          clients.push(client);
          for (let i = 0; i < many; i++) {
            const one = new MemoryClient(server);
            clients.push(one);
            one.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
          }
          await called.promise;
        }
        await settle();
        for (const client of clients) client.drop();
        server.shutdown(0);
        await server.finished;
        const lines = readFileSync(log_file, "utf8").split("\n").filter((line) => line.includes("Error: failure"));
        const expected = Array.from({ length: many }, (_, i) => `failure ${i}`);
        if (style === "events") expected.push("failure last");
        assertEquals(lines.map((line) => line.replace(/^.*Error: /, "")), expected);
        assertMatch(lines[0], /^\d{4}-/);
        assertEquals([most, open], [1, 0]);
      } finally {
        setRuntime(undefined);
      }
    }));
}

test("finished does not wait for ever for a log that takes nothing", () =>
  inFolder(async (folder) => {
    const runtime = await loadRuntime();
    setRuntime({ ...runtime, appendTextFile: (_path, text) => text === "" ? Promise.resolve() : new Promise(() => {}) });
    try {
      const server = new HttpServer("127.0.0.1", 0);
      server.set({ log_file: join(folder, "server.log") });
      server.on("request", () => {});
      server.on("start", () => {
        throw new Error("failure");
      });
      await server.start();
      server.shutdown(0);
      await server.finished;
    } finally {
      setRuntime(undefined);
    }
  }));
