import { assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { inThisRuntime, Program } from "../support/program.ts";
import { closeFrame, RawClient } from "../support/raw_client.ts";

const FILE = new URL("./signals_program.ts", import.meta.url);

/** Whether this user may make a process that is number 1 of a PID namespace of its own. */
const mayUnshare = spawnSync("unshare", ["-pf", "--mount-proc", "true"]).status === 0;

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly lines: string[];
}

/** A program of which one waits for the end. */
class Signalled {
  readonly program: Program;
  port = 0;
  readonly #signal: Promise<string | null>;

  private constructor(command: readonly string[]) {
    this.program = new Program(command);
    this.#signal = new Promise((resolve) => this.program.process.on("close", (_code, signal) => resolve(signal)));
  }

  static async start(args: readonly string[], before: readonly string[] = []): Promise<Signalled> {
    const it = new Signalled([...before, ...inThisRuntime(FILE, ...args)]);
    it.port = Number((await it.program.line()).split(" ")[0]);
    return it;
  }

  kill(signal: "SIGTERM" | "SIGINT"): void {
    process.kill(this.program.process.pid!, signal); // Deno takes a child that was sent a signal by `kill()` for one that it has ended
  }

  /** How it has ended, and what it has printed until then. */
  async ended(): Promise<Ended> {
    const [code, signal] = await Promise.all([this.program.exited, this.#signal]);
    const errors = this.program.errors.replace(/^\S+ 1 handler has not settled while the server stopped\n/, "");
    if (errors !== "") throw new Error(errors);
    return { code, signal, lines: this.program.printed() };
  }

  /** Makes a request whose handler goes on behind its response. */
  async request(): Promise<RawClient> {
    const client = await RawClient.connect(this.port);
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals([await this.program.line(), (await client.readAnswer()).body], ["called", "at once"]);
    return client;
  }
}

for (const style of ["events", "coroutines"] as const) {
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    test(`${style}: ${name} closes WebSockets with 1001 and waits for handlers; the program ends by itself, with 0`, async () => {
      const it = await Signalled.start([style]);
      const client = await RawClient.open(it.port);
      const busy = await it.request();
      it.kill(name);
      const frame = await client.readFrame();
      assertEquals([frame?.opcode, [...frame!.payload]], [8, [3, 233]]);
      client.send(closeFrame(1001));
      await client.whenEnded();
      client.destroy();
      busy.destroy();
      const { code, signal, lines } = await it.ended();
      assertEquals([code, signal, lines.sort()], [0, null, ["closed", "finished", "settled"]]);
    });
  }

  test(`${style}: a program with an interval ends after max_wait_time, with 0`, async () => {
    const it = await Signalled.start([style, "brief", "interval"]);
    it.kill("SIGTERM");
    assertEquals(await it.ended(), { code: 0, signal: null, lines: ["finished"] });
  });

  test(`${style}: where a handler is cut off the code is 128 and the signal's number, interval or not`, async () => {
    for (const does of [["interval"], []]) {
      const it = await Signalled.start([style, "brief", "stuck", ...does]);
      (await it.request()).destroy();
      it.kill("SIGTERM");
      assertEquals(await it.ended(), { code: 143, signal: null, lines: ["finished"] });
    }
  });
}

test("a code that the program has chosen stays", async () => {
  const it = await Signalled.start(["events", "brief", "interval", "code"]);
  it.kill("SIGTERM");
  assertEquals(await it.ended(), { code: 7, signal: null, lines: ["finished"] });
});

test("a second signal ends the program at once, with 128 and the number of that one", async () => {
  const it = await Signalled.start(["events", "stuck"]);
  const client = await it.request();
  it.kill("SIGTERM");
  await client.whenEnded(); // so the first has arrived
  it.kill("SIGINT");
  assertEquals(await it.ended(), { code: 130, signal: null, lines: [] });
  client.destroy();
});

test("a second signal ends a program at once that is still busy behind finished", async () => {
  const it = await Signalled.start(["events", "interval"]);
  it.kill("SIGTERM");
  assertEquals(await it.program.line(), "finished");
  it.kill("SIGTERM");
  assertEquals(await it.ended(), { code: 143, signal: null, lines: [] });
});

test("all servers of the process stop", async () => {
  const it = await Signalled.start(["events", "two"]);
  it.kill("SIGTERM");
  const { code, lines } = await it.ended();
  assertEquals([code, lines.sort()], [0, ["finished", "second"]]);
});

test("a listener of the program's own decides, also one for one time: the server goes on", async () => {
  const it = await Signalled.start(["events", "own"]);
  it.kill("SIGTERM");
  assertEquals(await it.program.line(), "own");
  const client = await RawClient.open(it.port);
  client.destroy();
  assertEquals(await it.program.line(), "closed");
  it.kill("SIGINT"); // which it does not listen to
  assertEquals(await it.ended(), { code: 0, signal: null, lines: ["finished"] });
});

test("enable_signal_handlers: false leaves signals to the runtime, and so does a server that has stopped", async () => {
  for (const does of ["off", "stop"]) {
    const it = await Signalled.start(["events", does, "interval"]);
    if (does === "stop") assertEquals(await it.program.line(), "stopped");
    it.kill("SIGTERM");
    const { code, signal, lines } = await it.ended();
    assertEquals([[143, null].includes(code), [null, "SIGTERM"].includes(signal), lines], [true, true, []]);
    assertEquals(code === null, signal !== null);
  }
});

test("a server that is shut down does not keep the program, and its end is no signal's", async () => {
  const it = await Signalled.start(["coroutines", "stop"]);
  assertEquals(await it.ended(), { code: 0, signal: null, lines: ["stopped"] });
});

test("Ctrl+C, SIGINT to the process group, stops the program in order", async () => {
  const it = await Signalled.start(["events"], ["setsid"]); // which becomes the program, with a group of its own
  process.kill(-it.program.process.pid!, "SIGINT");
  assertEquals(await it.ended(), { code: 0, signal: null, lines: ["finished"] });
});

const asProcess1 = "as process 1 of a container it ends by SIGTERM, in order or with 143";
test(
  mayUnshare ? asProcess1 : `${asProcess1} (LEFT OUT: unshare -pf --mount-proc is not permitted)`,
  { skip: !mayUnshare },
  async () => {
    for (const [does, code] of [[["interval", "brief"], 0], [["interval", "brief", "stuck"], 143]] as const) {
      const it = await Signalled.start(["events", ...does], ["unshare", "-pf", "--mount-proc"]);
      const client = await it.request();
      const children = spawnSync("ps", ["-o", "pid=", "--ppid", `${it.program.process.pid}`], { encoding: "utf8" }).stdout;
      process.kill(Number(children.trim()), "SIGTERM");
      client.destroy();
      const ended = await it.ended();
      assertEquals([ended.code, ended.lines.includes("finished")], [code, true]);
    }
  },
);

test("Deno needs no more than permission to listen", { skip: "Deno" in globalThis ? false : "Deno only" }, async () => {
  const [deno, run, , ...rest] = inThisRuntime(FILE, "events");
  const program = new Program([deno!, run!, "--allow-net", ...rest]);
  await program.line();
  process.kill(program.process.pid!, "SIGTERM");
  assertEquals([await program.exited, program.printed(), program.errors], [0, ["finished"], ""]);
});
