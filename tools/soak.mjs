// A soak: many idle and busy connections for minutes, with joins, leaves, slow readers, broadcasts and HTTP, in each runtime.
//
//   npm run soak [-- MINUTES [RUNTIME …]]     10 minutes each in deno, bun and node unless given
//   npm run soak -- 0.5 --small               as a step of the checks
//
// The load comes twice: for a minute, to warm the server up, and for as long as asked. Nothing may be lost or come out of order,
// nobody who behaves may be dropped, the memory at the end has to be within 10 % of that of minute 4, and the descriptors have to be
// back. Memory is measured behind a garbage collection, in two ways: as what is resident, and as the heap with the buffers beside
// it, which is what is alive. When all have left for the second time, either may be a little more than when they had left for the
// first time, and the heap a little more than at the start, for compiled code and what is kept for the next connections.
//
// What is resident at the start is no measure: the first 10,000 connections leave 22 MiB in Bun and 18 in Deno, however long the
// load lasts and how often it comes again. 7 and 11 of them are pages of the runtime's own program, used for the first time, and
// most of the others what its allocator keeps. The C library's own gives little back of what 10,000 connections had, so that the
// server is run with jemalloc where that is installed (libjemalloc.so.2).

import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { installation, isInstalled } from "./check/install.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const tool = (name) => `${root}tools/node_modules/${name}`;
const runtimes = {
  deno: [
    tool(".bin/deno"),
    "run",
    "-A",
    "--no-check",
    "--v8-flags=--expose-gc",
  ],
  bun: [tool(".bin/bun"), "run"],
  node: [tool("n24/bin/node"), "--expose-gc"],
};
const MIB = 2 ** 20;

/** By how much more may be left than was left after the warm-up. */
const GROWTH = 8 * MIB;
const HEAP_GROWTH = 2 * MIB;
/** By how much the heap may be larger than at the start. */
const HEAP_KEPT = 8 * MIB;

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const small = process.argv.includes("--small");
const minutes = words.length > 0 && !Number.isNaN(Number(words[0])) ? Number(words.shift()) : 10;
const chosen = words.length > 0 ? words : Object.keys(runtimes);
for (const name of chosen) {
  if (runtimes[name] === undefined) {
    throw new TypeError(
      `Cannot run ${name}: there are ${Object.keys(runtimes).join(", ")}`,
    );
  }
}
if (!isInstalled(root)) {
  const [command, ...args] = installation();
  spawnSync(command, args, { cwd: root, stdio: "inherit" });
}

const plan = small ? { idle: 500, busy: 50, slow: 5, visits: 10 } : { idle: 10_000, busy: 500, slow: 50, visits: 20 };
// Each connection takes a descriptor at both ends.
const limit = Number(
  spawnSync("/bin/sh", ["-c", "ulimit -Hn"], { encoding: "utf8" }).stdout
    .trim(),
);
const most = limit - 1000;
if (plan.idle + plan.busy + plan.slow > most) {
  plan.idle = Math.max(most - plan.busy - plan.slow, 100);
  console.log(`ulimit -Hn is ${limit}: only ${plan.idle} idle connections`);
}

/** Environment variables with which the server gives back memory that it does not need any more. */
function thrift() {
  const { stdout } = spawnSync("ldconfig", ["-p"], { encoding: "utf8" });
  const path = /libjemalloc\.so\.2 .* => (.*)/.exec(stdout ?? "")?.[1];
  if (path !== undefined) return { LD_PRELOAD: path, MALLOC_CONF: "dirty_decay_ms:0,muzzy_decay_ms:0" };
  console.log("without libjemalloc.so.2: what the C library keeps is measured, too");
  return { MALLOC_TRIM_THRESHOLD_: "131072" };
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const children = new Set();
const stop = () => children.forEach((child) => child.kill("SIGKILL"));
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    stop();
    process.exit(1);
  });
}
process.on("exit", stop);

/** A process that answers a line with a line. */
class Talker {
  #lines = [];
  #wake = () => {};
  ended = false;

  constructor(command, env = {}) {
    // As many descriptors as there may be.
    const child = this.child = spawn("/bin/sh", [
      "-c",
      'ulimit -n "$(ulimit -Hn)"; exec "$@"',
      "sh",
      ...command,
    ], {
      cwd: root,
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...env },
    });
    children.add(child);
    child.stdin.on("error", () => {});
    child.on("close", () => {
      children.delete(child);
      this.ended = true;
      this.#wake();
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      this.#lines.push(line);
      this.#wake();
    });
  }

  async line() {
    while (this.#lines.length === 0) {
      if (this.ended) {
        throw new Error("a process of the soak has ended by itself");
      }
      await new Promise((resolve) => this.#wake = resolve);
    }
    return JSON.parse(this.#lines.shift());
  }

  ask(line) {
    this.child.stdin.write(`${line}\n`);
    return this.line();
  }
}

const toMib = (bytes) => (bytes / MIB).toFixed(1);

/** Soaks one runtime. Gives what went wrong. */
async function soak(runtime) {
  const problems = [];
  // Silent peers are to be found while it runs.
  const settings = minutes < 3 ? { websocket_ping_interval: 5, websocket_ping_timeout: 5 } : {};
  const server = new Talker([
    ...runtimes[runtime],
    "tools/soak/server.ts",
    JSON.stringify(settings),
  ], thrift());
  const port = await server.line();
  await sleep(2000);
  const start = await server.ask("figures");
  const join = async () => {
    const load = new Talker([...runtimes.node, "tools/soak/load.mjs", JSON.stringify({ ...plan, port })]);
    await load.line();
    return load;
  };
  /** Ends the load. Gives what it did, and the figures of the server once they are as wanted, or have had the time for it. */
  const leave = async (load, isBack) => {
    const loaded = await load.ask("leave");
    if (loaded.problemCount > 0) {
      problems.push(`${loaded.problemCount} problems of clients: ${loaded.problems.join("; ")}`);
    }
    load.child.stdin.end();
    let left = await server.ask("figures");
    for (let i = 0; i < 20 && (left.connections > 0 || !isBack(left)); i++) {
      await sleep(1000);
      left = await server.ask("figures");
    }
    return { loaded, left };
  };

  const warming = await join();
  await sleep(Math.min(1, minutes / 5) * 60_000);
  const settled = performance.now() + (small ? 2000 : 12_000);
  const { left: warm } = await leave(warming, () => performance.now() > settled);
  const load = await join();

  const begun = performance.now();
  const age = () => (performance.now() - begun) / 60_000;
  const reference = Math.min(4, minutes * 0.4);
  let early;
  let last;
  console.log(
    `${runtime}: ${plan.idle} idle, ${plan.busy} busy, ${plan.slow} slow; ${toMib(start.rss)} MiB (heap ${
      toMib(start.heap)
    }) at the start, ${toMib(warm.rss)} (${toMib(warm.heap)}) after the warm-up`,
  );
  console.log(
    "   min   memory MiB  open   descr.  CPU s   echoes  broadcasts  joins  parts  requests",
  );
  const step = Math.min(1, minutes / 5) * 60_000;
  for (let tick = 1; tick <= Math.round(minutes * 60_000 / step); tick++) {
    await sleep(Math.max(begun + tick * step - performance.now(), 0));
    last = await server.ask("figures");
    const { echoes, broadcasts, joins, parts, requests } = await load.ask(
      "figures",
    );
    const cells = [
      age().toFixed(1),
      toMib(last.rss),
      last.connections,
      last.descriptors,
      last.cpu.toFixed(1),
      echoes,
      broadcasts,
    ];
    const widths = [6, 12, 6, 8, 7, 9, 12, 7, 7, 10];
    console.log(
      [...cells, joins, parts, requests].map((cell, i) => String(cell).padStart(widths[i])).join(""),
    );
    if (early === undefined && age() >= reference - 0.01) early = last;
  }

  const excess = (left) =>
    [
      ["resident", left.rss, warm.rss, GROWTH, "after the warm-up"],
      ["of the heap", left.heap, warm.heap, HEAP_GROWTH, "after the warm-up"],
      ["of the heap", left.heap, start.heap, HEAP_KEPT, "at the start"],
    ].filter(([, now, before, most]) => now > before + most)
      .map(([what, now, before, , when]) => `${toMib(now)} MiB ${what} are left of ${toMib(before)} ${when} when all have left`);
  const { loaded, left: end } = await leave(load, (left) => excess(left).length === 0);
  if (
    loaded.echoes === 0 || loaded.broadcasts === 0 || loaded.parts === 0 ||
    loaded.requests === 0
  ) problems.push("no load");
  const growth = last.rss / early.rss - 1;
  // Below 30 MiB of difference it is the runtime's own ups and downs that are measured.
  if (growth > 0.1 && last.rss - early.rss > (small ? 30 : 0) * MIB) {
    problems.push(
      `the memory grew by ${(growth * 100).toFixed(0)} % since minute ${reference}`,
    );
  }
  for (const what of excess(end)) {
    if (small) {
      console.log(`  ${what} (measured after half a minute only, no failure)`);
    } else problems.push(what);
  }
  if (end.connections > 0) {
    problems.push(`${end.connections} connections are left`);
  }
  if (end.descriptors > start.descriptors + 10) {
    problems.push(
      `${end.descriptors - start.descriptors} descriptors are left`,
    );
  }
  if (end.opened !== end.closed) {
    problems.push(`${end.opened} were opened and ${end.closed} closed`);
  }
  if (end.refused > 0) problems.push(`${end.refused} pushes were refused`);
  if (end.errors > 0) {
    problems.push(`${end.errors} errors: ${end.problems.join("; ")}`);
  }
  console.log(
    `  left: ${toMib(end.rss)} MiB (heap ${
      toMib(end.heap)
    }), ${end.connections} connections, ${end.descriptors} descriptors (${start.descriptors} before)`,
  );
  console.log(`  ${end.endings}`);
  console.log(
    `  pings ${loaded.pings}, silent peers ${loaded.silent}, of which dropped ${loaded.silentDropped}`,
  );
  server.child.kill("SIGKILL");
  return problems;
}

for (const runtime of chosen) {
  const problems = await soak(runtime).catch((error) => [error.message]);
  for (const problem of problems) console.log(`  FAILED: ${problem}`);
  console.log(`${runtime}: ${problems.length === 0 ? "ok" : "FAILED"}\n`);
  if (problems.length > 0) process.exitCode = 1;
  stop();
}
process.exit();
