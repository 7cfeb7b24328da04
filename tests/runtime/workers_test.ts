/** Processes of the same program: how they are started, how they are told things, and how they end. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { inFolder } from "../support/folder.ts";
import { inThisRuntime, Program, running } from "../support/program.ts";
import "../../adapters/auto.ts";

const file = new URL("./workers_program.ts", import.meta.url);
const path = fileURLToPath(file);
const inDeno = "Deno" in globalThis;
const inBun = "Bun" in globalThis;
const { processes, signals } = await loadRuntime();

/** Runs a scene to its end, and returns the lines that it has printed. */
async function play(command: readonly string[], env: Record<string, string> = {}): Promise<string[]> {
  let lines: string[] = [];
  await running(command, async (program) => {
    const code = await program.exited;
    lines = program.printed();
    assertEquals([code, program.errors.replace(/^.*ExperimentalWarning.*\n.*\n/, "")], [0, ""], lines.join("\n"));
  }, env);
  return lines;
}

/** The state of a process, as the system has it: `Z` for one that has ended and that nobody has waited for, `undefined` for none. */
function stateOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1][0];
  } catch {
    return undefined;
  }
}

const hasEnded = (pid: number) => stateOf(pid) === undefined || stateOf(pid) === "Z";

/** Waits until processes have ended; returns how long that took, in milliseconds. */
async function untilEnded(pids: readonly number[]): Promise<number> {
  const begin = performance.now();
  while (!pids.every(hasEnded)) {
    if (performance.now() - begin > 20_000) throw new Error(`Still running: ${pids.filter((pid) => !hasEnded(pid)).join()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return performance.now() - begin;
}

test("a worker is started as its parent was, and knows its role at once", async () => {
  const [ofWorker, ofMaster, exit] = (await play(inThisRuntime(file, "situation", "one", "--two", "-3"))).map((line) =>
    JSON.parse(line)
  );
  const { type: _type, ...worker } = ofWorker;
  assertEquals(worker, {
    role: 'a "role", ünïcode 🚰',
    args: ["one", "--two", "-3"],
    folder: process.cwd(),
    greeting: "hello",
  });
  assertEquals(ofMaster, { args: ["one", "--two", "-3"], folder: "/", greeting: "hello" });
  assertEquals(exit, { code: 0, signal: 0 });
});

test("messages that arrive before a worker listens are passed on in order", async () => {
  assertEquals(await play(inThisRuntime(file, "late")), ["1", "2", "3", '{"code":0,"signal":0}']);
});

test("the exit status of a process", async () => {
  const exits = [0, 3, 255].map((code) => ({ code, signal: 0 }));
  assertEquals(await play(inThisRuntime(file, "exit")), [JSON.stringify(exits)]);
});

test("the channel to a process that ends is closed, although it has not read what was sent", {
  skip: !existsSync("/proc/self/fd"),
}, async () => {
  assertEquals(await play(inThisRuntime(file, "unread")), ["closed"]);
});

test("signals can be sent again and again; to one that has ended, nothing can be sent", async () => {
  const [ended, gone] = await play(inThisRuntime(file, "idle"));
  const [first, second, { code, signal }] = JSON.parse(ended);
  assertEquals([first, second, code], [true, true, 0]);
  assert(signal === 15 || signal === 9, ended);
  assertEquals(JSON.parse(gone), ["gone", false, false]);
});

test("a program may use the channel of a worker itself", async () => {
  assertEquals(await play(inThisRuntime(file, "own")), ['{"type":"echo","number":5}']);
});

test("a worker that does nothing ends by itself", async () => {
  assertEquals(await play(inThisRuntime(file, "quiet")), ['{"code":0,"signal":0}']);
});

test("no worker outlives its parent, however that ends", async () => {
  const master = new Program(inThisRuntime(file, "starts", "idle,watching,blocked,idle"));
  const pids = (await master.line()).split(",").map(Number);
  assertEquals(pids.map(hasEnded), [false, false, false, false]);
  process.kill(master.process.pid!, "SIGKILL");
  await untilEnded([pids[0], pids[1], pids[3]]);
  await untilEnded(pids); // one whose loop is blocked ends as soon as it runs
  await master.exited;
});

test("no worker outlives a parent that has ended with messages of the worker unread", async () => {
  const master = new Program(inThisRuntime(file, "stops", "talking,talking"));
  const pids = (await master.line()).split(",").map(Number);
  await master.exited; // its output is that of the workers, too
  await untilEnded(pids);
});

test("a child that is killed with messages and a socket unread: its channel has ended, and each of them is settled", async () => {
  assertEquals(await play(inThisRuntime(file, "unread socket")), ["[true,false]"]);
});

test("a variable without a channel ends a program: it would take itself for the first process", async () => {
  await running(inThisRuntime(file, "quiet"), async (program) => {
    assertEquals(await program.exited, 1);
    assertStringIncludes(program.errors, "SLUICE_WORKER is set, and there is no channel to the process that has set it");
  }, { SLUICE_WORKER: "quiet" });
});

for (const name of ["SIGUSR1", "SIGUSR2"] as const) {
  test(`${name} calls the listeners, as often as it comes, and nothing else happens`, async () => {
    const timer = setInterval(() => {}, 1000); // a listener does not keep a program alive
    for (let round = 0; round < 2; round++) {
      await new Promise<void>((resolve) => {
        const remove = signals!.listen(name, () => {
          assertEquals(signals!.count(name), 1);
          remove();
          resolve();
        });
        process.kill(process.pid, name);
      });
    }
    clearInterval(timer);
  });
}

// ---- no script, or none that could be started in the same way ---------------------------------------------------------------

/** Code that starts a worker, as a program without a file. It prints the error. */
const code = `
  await import(${JSON.stringify(new URL("../../adapters/auto.ts", import.meta.url).href)});
  const { loadRuntime } = await import(${
  JSON.stringify(new URL("../../src/transport/current_runtime.ts", import.meta.url).href)
});
  try {
    await (await loadRuntime()).processes.start({ role: "x" });
    console.log("started");
  } catch (error) {
    console.log(error.message);
  }
`;

/** Runs a command with text as its input, and returns what it prints. */
function run(args: readonly string[], input = "", env: Record<string, string | undefined> = {}): string {
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    input,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", ...env },
  });
  return `${stdout}${stderr}`;
}

const ofLine = "Cannot start workers: there is no script that they could run, because this is code of the command line";
const prompt = "because this is a prompt, or code of the command line";
/** What Node 20 needs to run TypeScript is in an environment variable. */
const module = inDeno || inBun ? [] : ["--input-type=module"];

test("code of the command line has no workers, and an error says so", () => {
  const args = inDeno ? ["eval", code] : [...module, "-e", code];
  assertStringIncludes(run(args), inDeno ? prompt : ofLine);
});

test("code of the standard input has no workers, and an error says so", () => {
  const args = inDeno ? ["run", "-A", "-"] : inBun ? ["run", "-"] : [...module, "-"];
  assertStringIncludes(run(args, code), inDeno ? prompt : ofLine);
});

test("a prompt has no workers, and an error says so", async () => {
  const args = inDeno ? ["repl", "-A"] : inBun ? ["--interactive"] : ["-i"];
  const program = new Program([process.execPath, ...args], {}, true);
  program.tell(`(async () => { ${code.replaceAll("\n", " ")} })();`);
  try {
    let line = "";
    while (!line.includes("started") && !line.includes("workers")) line = await program.line();
    assertMatch(line, /there is no script that they could run, because this is (a prompt|code of the command line)/);
  } finally {
    await program.kill();
  }
});

test("a test runner has no workers, and an error says so", () =>
  inFolder((folder) => {
    const name = join(folder, "one_test.mjs");
    writeFileSync(name, `import { test } from "node:test";\ntest("x", async () => { ${code} });\n`);
    const args = inDeno ? ["test", "-A", "--no-check", name] : inBun ? ["test", name] : ["--test", name];
    const told = run(args, "", { NODE_TEST_CONTEXT: undefined });
    assertMatch(told, /because this is (a test runner|deno test)/);
    if (inDeno || inBun) return;
    const alone = run(["--test", "--experimental-test-isolation=none", name], "", { NODE_TEST_CONTEXT: undefined });
    if (!alone.includes("bad option")) assertStringIncludes(alone, "because this is a test runner");
  }));

test("a program that a test has started has workers", async () => {
  assertEquals(await play(inThisRuntime(file, "quiet"), { NODE_TEST_CONTEXT: "child" }), ['{"code":0,"signal":0}']);
});

// ---- options of the runtime -------------------------------------------------------------------------------------------------

/** The command of this runtime with other options than `inThisRuntime()` has. */
const withOptions = (...options: string[]) => (...args: string[]) => [process.execPath, ...options, path, ...args];

const started = '{"code":0,"signal":0}';

test(
  "a worker has the options of the runtime that its parent has, and none that is for one process",
  { skip: inDeno },
  async () => {
    const warning = "--no-warnings";
    const options = inBun ? ["--smol", warning] : [warning, "--conditions", "development"];
    const single = inBun ? ["--cwd", process.cwd()] : ["--inspect-port=0"];
    const [worker] = await play(withOptions(...single, ...options)("shown"));
    assertEquals(JSON.parse(worker), options);
  },
);

test("the options that are given for workers replace those of their parent", async () => {
  const options = inDeno ? ["-A", "--quiet"] : ["--no-warnings"];
  assertEquals(await play(inThisRuntime(file, "options", ...options)), [started]);
});

if (inDeno) {
  /** What the program prints when Deno is started with these options: by another name, it does not change them. */
  const played = (options: readonly string[], ...args: string[]) =>
    inFolder(async (folder) => {
      const deno = join(folder, "deno");
      symlinkSync(process.execPath, deno);
      return (await play([deno, ...options, path, ...args.length > 0 ? args : ["quiet"]])).join("\n");
    });
  const own = `--allow-run=${process.execPath}`;

  test("in Deno, options are taken from the command line, however that is written", async () => {
    for (
      const options of [
        ["-A"],
        ["-q", "run", "-A"],
        ["run", "-A", "--reload=https://x.invalid"],
        ["-A", "--location", "http://x.invalid"],
        ["run", "--no-prompt", "--allow-env", "--allow-run"],
        ["run", "--no-prompt", "-E", "--allow-run", "--allow-sys"],
      ]
    ) assertEquals(await played(options, "quiet", "--", "-e"), started, options.join(" "));
  });

  test("in Deno, a worker has the permissions of its parent, or is not started", async () => {
    const [all, some] = [await played(["-A"], "allowed"), await played(["-E", "--allow-run", "--allow-ffi"], "allowed")];
    assertEquals(all, "env,ffi,import,net,read,run,sys,write");
    assertEquals(some, "env,ffi,run");
    const refusals: [string[], string][] = [
      [[], `Add ${own}`],
      [["--allow-env"], `Add ${own}`],
      [["--allow-run"], "Add --allow-env"],
      [[own, "--allow-env=SLUICE_WORKER"], "Add --allow-env"],
      [["--allow-run", "--allow-env", "--deny-env=HOME"], "Add --allow-env"],
      [[own, "--allow-env"], "Set worker_exec_argv"],
      [[own, "--allow-env", "--allow-read"], "Set worker_exec_argv"],
    ];
    for (const [options, message] of refusals) {
      assertStringIncludes(await played(["run", "--no-prompt", ...options]), message, options.join(" "));
    }
  });

  test("in Deno, given options do without the command line, and no permission is added to them but --allow-env", async () => {
    const options = ["run", "--no-prompt", own, "--allow-env", "--allow-sys"];
    assertEquals(await played(options, "options allowed", "--allow-sys"), "env,sys");
    assertEquals(await played(options, "options allowed", "--no-prompt"), "env");
  });
}

test("a program that Bun has compiled has workers", { skip: !inBun }, () =>
  inFolder(async (folder) => {
    const program = join(folder, "program");
    assertEquals(spawnSync(process.execPath, ["build", "--compile", path, "--outfile", program]).status, 0);
    const [worker, master] = await play([program, "situation", "one", "--two"], { GREETING: "x" });
    assertEquals(JSON.parse(worker).args, ["one", "--two"]);
    assertEquals(JSON.parse(master).args, ["one", "--two"]);
  }));

// ---- values, folders, processors --------------------------------------------------------------------------------------------

test("values survive the way to another process", () => {
  const cycle: Record<string, unknown> = { name: "cycle" };
  cycle.self = cycle;
  const big = new Uint8Array(65_536).fill(7);
  const part = big.subarray(5, 15);
  const value = {
    list: [1, -0, "text", 5n, undefined, null, NaN, true],
    map: new Map<unknown, unknown>([[1, new Set([part])]]),
    date: new Date(5),
    pattern: /x/gi,
    part,
    again: part,
    numbers: new Float64Array([1.5, 2]),
    view: new DataView(big.buffer, 3, 4),
    buffer: new ArrayBuffer(3),
    error: new RangeError("wrong"),
    cycle,
    sparse: [, 1],
  };
  const bytes = processes!.serialize(value);
  assert(bytes.length < 3000, `${bytes.length} bytes`); // not the whole buffer of a part
  const lent = new Uint8Array(bytes.length + 3);
  lent.set(bytes, 3);
  const copy = processes!.deserialize(lent.subarray(3)) as typeof value;
  lent.fill(0);
  assertEquals(copy.list, value.list);
  assertEquals([copy.date, `${copy.pattern}`, copy.error.message, copy.error instanceof RangeError], [
    new Date(5),
    "/x/gi",
    "wrong",
    true,
  ]);
  assertEquals([...copy.part], [...part]);
  assertEquals(copy.part.constructor, Uint8Array);
  assertEquals([...copy.numbers], [1.5, 2]);
  assertEquals([copy.view.byteLength, copy.view.getUint8(0), copy.buffer.byteLength], [4, 7, 3]);
  assertEquals([...[...(copy.map.get(1) as Set<Uint8Array>)][0]], [...part]);
  assertEquals(copy.cycle.self, copy.cycle);
  assertEquals(copy.part, copy.again);
  // Each view has a buffer of its own: to transfer one takes nothing from the others.
  structuredClone(copy.part, { transfer: [copy.part.buffer] });
  assertEquals([copy.numbers[0], copy.view.getUint8(1)], [1.5, 7]);
  assertEquals(Object.getPrototypeOf(copy), Object.prototype);
});

test("what cannot be cloned is an error that names it", () => {
  const cases: [unknown, string][] = [
    [() => {}, "value cannot be cloned"],
    [{ a: [1, { f() {} }] }, "value.a[1].f cannot be cloned"],
    [{ "a b": Symbol("x") }, 'value["a b"] cannot be cloned'],
    [new Map([["x", Promise.resolve()]]), "value.values()[0] cannot be cloned"],
    [new Set([new WeakMap()]), "value.values()[0] cannot be cloned"],
    [{ memory: new SharedArrayBuffer(4) }, "value.memory cannot be cloned"],
  ];
  for (const [value, message] of cases) {
    let error: unknown;
    try {
      processes!.serialize(value);
    } catch (thrown) {
      error = thrown;
    }
    assert(error instanceof DOMException, message);
    assertEquals([error.name, error.message], ["DataCloneError", `Cannot send to another process: ${message}`]);
  }
});

test("a folder of processes is closed to other users, its path is short, and it goes with its content", async () => {
  const [one, other] = [await processes!.makeFolder(), await processes!.makeFolder()];
  assert(one !== other);
  assert(one.length <= 64, one);
  assertEquals(statSync(one).mode & 0o777, 0o700);
  writeFileSync(join(one, "file"), "x");
  await processes!.removeFolder(one);
  await processes!.removeFolder(other);
  await processes!.removeFolder(other); // it is not there: no error
  assertEquals([existsSync(one), existsSync(other)], [false, false]);
});

test("the folder is in /tmp if the usual one has a long path", () =>
  inFolder(async (folder) => {
    const long = join(folder, "x".repeat(64));
    mkdirSync(long);
    const { TMPDIR } = process.env;
    process.env.TMPDIR = long;
    try {
      const made = await processes!.makeFolder();
      assertMatch(made, /^\/tmp\/sluice-/);
      await processes!.removeFolder(made);
    } finally {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
    }
  }));

test("the number of processors is at least 1, and no more than there are", () => {
  const count = processes!.processorCount();
  assert(Number.isInteger(count) && count >= 1 && count <= os.cpus().length, `${count}`);
});
