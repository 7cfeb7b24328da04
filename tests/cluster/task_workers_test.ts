/** Task workers, as real processes. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import process from "node:process";
import { test } from "node:test";
import { inThisRuntime, Program } from "../support/program.ts";

const FILE = new URL("./task_workers_program.ts", import.meta.url);
const isHere = process.platform === "linux"; // elsewhere workers are not promised

/** A program that has started. */
class Tasking {
  readonly program: Program;
  readonly lines: string[] = [];
  port = 0;

  constructor(settings: Record<string, unknown>) {
    this.program = new Program(inThisRuntime(FILE, JSON.stringify(settings)));
  }

  /** Waits for a line that matches. */
  async until(pattern: RegExp): Promise<string> {
    for (let at = 0;; at++) {
      if (at === this.lines.length) this.lines.push(await this.program.line());
      if (pattern.test(this.lines[at])) return this.lines.splice(at, 1)[0];
    }
  }

  async ask(what: string): Promise<unknown> {
    return await (await fetch(`http://127.0.0.1:${this.port}/${encodeURIComponent(what)}`)).json();
  }

  /** What it has printed, for messages. */
  get all(): string {
    return [...this.lines, this.program.errors].join("\n");
  }

  /** Stops the program. Returns its exit status. */
  async stop(): Promise<number | null> {
    process.kill(this.program.process.pid!, "SIGTERM");
    const code = await this.program.exited;
    this.lines.push(...this.program.printed());
    return code;
  }
}

async function tasking(settings: Record<string, unknown>, work: (it: Tasking) => Promise<void>): Promise<void> {
  const it = new Tasking(settings);
  try {
    it.port = Number(/listens on (\d+), \d true from -1$/.exec(await it.until(/^master: listens/))![1]);
    await work(it);
  } finally {
    await it.program.kill();
  }
}

test(
  "task workers: results, errors, limits and deaths",
  { skip: !isHere },
  () =>
    tasking({ task_max_pending: 64, worker_buffer_size: 65536 }, async (it) => {
      assertEquals(it.lines.find((line) => line.includes("early")), "worker 0: early 2 true from 0");
      assertEquals(await it.ask("several"), [[1, false, "by hand"], { 0: 1, 2: "by hand" }, false, 505, false]);
      assertEquals(await it.ask("throw"), [false, 5]);
      await it.until(/^task worker \d: error thrown by the task$/);
      assertMatch(String(await it.ask("function")), /Error/);
      assertEquals(await it.ask("large"), [60_000, false, 5, false, 1009]);
      await it.until(/error Cannot send the result of a task: it has \d+ bytes/);
      assertEquals(await it.ask("late"), [false, 110, "1 true from 0"]);
      assertEquals(await it.ask("idle"), Array(5).fill("2 true from 0"));
      assertEquals(await it.ask("full"), [64, 506, true, 65]);
      for (let i = 0; i < 65; i++) await it.until(/^worker 0: finish \d+: wait/);
      assertEquals(await it.ask("many"), "10000 in order, some refused: true");
      assertEquals(await it.ask("die"), [false, 32, 7]);
      assertEquals(await it.until(/workerError/), "master: workerError 1");
      assertEquals(typeof await it.ask("give and die"), "number");
      assertMatch(
        await it.until(/^worker 0: error/),
        /error Task \d+ has no result: task worker 1 \(process\): the process has ended$/,
      );
      assertEquals(await it.until(/workerError/), "master: workerError 1"); // the end is in order only behind it
      const status = await it.stop();
      assertEquals(status, 0, it.all);
    }),
);

test(
  "task workers: reload(true), SIGUSR2, task_max_request and the end",
  { skip: !isHere },
  () =>
    tasking({ event_object: true, task_max_request: 50 }, async (it) => {
      const flow = it.ask("flow");
      assertEquals(await it.ask("reload"), true);
      await it.until(/afterReload/);
      process.kill(it.program.process.pid!, "SIGUSR2");
      await it.until(/afterReload/);
      assertEquals(await flow, [], it.lines.join("\n"));
      const started = () => it.lines.filter((line) => /^task worker 1: runs as/.test(line)).length;
      assert(started() >= 3, it.lines.join("\n"));
      assertEquals(it.lines.filter((line) => line.startsWith("worker 0: workerStop")), []);
      const id = await it.ask("give"); // its result is waited for
      const status = await it.stop();
      assertEquals(status, 0, it.all);
      const result = it.lines.findIndex((line) => new RegExp(`^worker 0: result ${id} of [12]: wait 1$`).test(line));
      const worker = it.lines.indexOf("worker 0: workerStop");
      const tasks = it.lines.findLastIndex((line) => /^task worker [12]: workerStop$/.test(line));
      assert(result >= 0 && result < worker && worker < tasks, it.lines.slice(-8).join("\n"));
      assertEquals(it.lines.at(-1), "master: finished: false 507, false 507"); // there are no other processes any more
    }),
);
