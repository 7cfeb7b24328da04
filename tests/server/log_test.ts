// How errors are logged: `log_date_format`, `log_date_with_microseconds`, `log_rotation`.

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  type Runtime,
  Server,
  SWOOLE_LOG_NONE,
  SWOOLE_LOG_ROTATION_DAILY,
  SWOOLE_LOG_ROTATION_EVERY_MINUTE,
  SWOOLE_LOG_ROTATION_HOURLY,
  SWOOLE_LOG_ROTATION_MONTHLY,
  SWOOLE_LOG_ROTATION_SINGLE,
} from "../../mod.ts";
import { Log } from "../../src/server/log.ts";
import { formatDate, timestamp } from "../../src/server/log_output.ts";
import { LOG_DEFAULTS, type LogSettings } from "../../src/server/settings/log_settings.ts";
import { inFolder } from "../support/folder.ts";
import { MemoryClient } from "../support/memory_client.ts";

const MORNING = new Date(2024, 0, 5, 9, 7, 3, 42); // a Friday
const NIGHT = new Date(2023, 11, 31, 23, 59, 59); // a Sunday

test("dates are written as strftime() does", () => {
  const cases = {
    "%Y-%m-%d %H:%M:%S": ["2024-01-05 09:07:03", "2023-12-31 23:59:59"],
    "%F %T": ["2024-01-05 09:07:03", "2023-12-31 23:59:59"],
    "%C %y %j %e": ["20 24 005  5", "20 23 365 31"],
    "%I:%M %p": ["09:07 AM", "11:59 PM"],
    "%a %A %u %w": ["Fri Friday 5 5", "Sun Sunday 7 0"],
    "%b %h %B": ["Jan Jan January", "Dec Dec December"],
    "%D %R %r": ["01/05/24 09:07 09:07:03 AM", "12/31/23 23:59 11:59:59 PM"],
    "%c": ["Fri Jan  5 09:07:03 2024", "Sun Dec 31 23:59:59 2023"],
    "%x %X": ["01/05/24 09:07:03", "12/31/23 23:59:59"],
    "%s": [MORNING, NIGHT].map((time) => String(Math.floor(time.getTime() / 1000))),
    "100%% %n%t%Q %": ["100% \n\t%Q %", "100% \n\t%Q %"],
  };
  for (const [format, [morning, night]] of Object.entries(cases)) {
    assertEquals([formatDate(format, MORNING), formatDate(format, NIGHT)], [morning, night], format);
  }
  assertEquals(formatDate("%I", new Date(2024, 0, 1, 0)), "12");
  assertEquals(formatDate("%j", new Date(2024, 11, 31)), "366");
  assertMatch(formatDate("%z", MORNING), /^[+-]\d{4}$/);
});

/** A time zone that is not that of this machine. */
class Elsewhere extends Date {
  readonly #offset: number;
  constructor(offset: number) {
    super(0);
    this.#offset = offset;
  }
  override getTimezoneOffset(): number {
    return this.#offset;
  }
}

test("the time zone is an offset from UTC", () => {
  const zones = [0, -330, 210, -60].map((offset) => formatDate("%z", new Elsewhere(offset)));
  assertEquals(zones, ["+0000", "+0530", "-0330", "+0100"]);
});

const settings = (more: LogSettings): Required<LogSettings> => ({ ...LOG_DEFAULTS, ...more });

test("a line begins with the time, as it is wanted", () => {
  const now = MORNING.getTime();
  const iso = MORNING.toISOString();
  assertEquals(timestamp(settings({}), now), iso);
  assertEquals(timestamp(settings({ log_date_with_microseconds: true }), now), iso.replace(".042Z", ".042000Z"));
  const log_date_format = "%d.%m.%Y %H:%M:%S";
  assertEquals(timestamp(settings({ log_date_format }), now), "05.01.2024 09:07:03");
  assertEquals(timestamp(settings({ log_date_format, log_date_with_microseconds: true }), now), "05.01.2024 09:07:03.042000");
});

test("each month, day, hour or minute has a file of its own, with its date behind the name", () => {
  const written: [string, string][] = [];
  const runtime = {
    appendTextFile: (path: string, text: string) => Promise.resolve(void written.push([path, text])),
  } as unknown as Runtime;
  const rotations = [
    [SWOOLE_LOG_ROTATION_SINGLE, "a.log"],
    [SWOOLE_LOG_ROTATION_MONTHLY, "a.log.202401"],
    [SWOOLE_LOG_ROTATION_DAILY, "a.log.20240105"],
    [SWOOLE_LOG_ROTATION_HOURLY, "a.log.2024010509"],
    [SWOOLE_LOG_ROTATION_EVERY_MINUTE, "a.log.202401050907"],
  ] as const;
  const format = { log_file: "a.log", log_date_format: "[%T]" };
  const log = (more: LogSettings) => new Log({ settings: settings({ ...format, ...more }), runtime }, () => MORNING.getTime());
  for (const [log_rotation] of rotations) log({ log_rotation }).error("odd", 7);
  assertEquals(written, rotations.map(([, path]) => [path, "[09:07:03] fd 7: odd\n"]));
  log({ log_level: SWOOLE_LOG_NONE }).error("odd");
  log({ log_file: "/dev/null" }).error("odd");
  assertEquals(written.length, rotations.length);
});

test("a server writes to the file of the day", () =>
  inFolder(async (folder) => {
    const server = new Server("127.0.0.1", 0);
    const log_file = join(folder, "server.log");
    server.set({ log_file, log_rotation: SWOOLE_LOG_ROTATION_DAILY, log_date_format: "%Y", log_date_with_microseconds: true });
    server.on("receive", () => {
      throw new Error("odd");
    });
    await server.start();
    const client = new MemoryClient(server);
    client.send("x");
    await client.readAll();
    client.end();
    server.shutdown();
    await server.finished;
    const [name] = readdirSync(folder);
    assertMatch(name, /^server\.log\.\d{8}$/);
    assertMatch(readFileSync(join(folder, name), "utf8"), /^\d{4}\.\d{3}000 fd 1: Error: odd\n/);
    assert(!readdirSync(folder).includes("server.log"));
  }));

test("settings of the log are those of the whole server, and checked", () => {
  const server = new Server("127.0.0.1", 0);
  const port = server.listen("127.0.0.1", 0);
  assertThrows(() => server.set({ log_rotation: 5 }), RangeError, "log_rotation");
  assertThrows(() => server.set({ log_date_format: false as unknown as string }), TypeError, "log_date_format");
  for (const key of ["log_rotation", "log_date_format", "log_date_with_microseconds"]) {
    const value = { log_rotation: 1, log_date_format: "", log_date_with_microseconds: true }[key];
    assertThrows(() => port.set({ [key]: value }), TypeError, "it holds for the whole server");
  }
});
