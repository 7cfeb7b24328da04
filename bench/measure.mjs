// Starts servers and the load, and reads what they did.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { isHttp, root } from "./rows.mjs";

const wsload = `${root}bench/wsload`;
const sources = [`${root}bench/wsload.c`, `${root}bench/wsload_deflate.h`, `${root}bench/wsload_http.h`];

/** Compiles the load generator unless it is there already. */
export function buildLoad() {
  if (existsSync(wsload) && sources.every((source) => statSync(wsload).mtimeMs >= statSync(source).mtimeMs)) return;
  const compile = (...options) => spawnSync("gcc", ["-O2", "-o", wsload, sources[0], ...options], { encoding: "utf8" });
  if (compile("-lz").status === 0) return;
  // Without zlib all but the compressed rows can be measured; in those wsload says what is missing.
  const { status, stderr, error } = compile("-DNO_ZLIB");
  if (status !== 0) throw new Error(`Cannot compile bench/wsload.c: ${error?.message ?? stderr}`);
}

/** The lines that a program prints, one at a time; `undefined` at the end. */
function linesOf(stream) {
  const lines = createInterface({ input: stream })[Symbol.asyncIterator]();
  return async () => (await lines.next()).value;
}

/** A server under test: started by `start()`, pinned to one core. */
class TestServer {
  static async start(core, runtime, file, row, gc) {
    const args = [...runtime.run, ...(gc ? runtime.gc : []), file];
    const child = spawn("taskset", ["-c", core, runtime.binary, ...args], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        ...process.env,
        NO_COLOR: "1",
        DENO_NO_UPDATE_CHECK: "1",
        BENCH_GC: gc ? "1" : "0",
        BENCH_DEFLATE: row.deflate ?? "",
        ...isHttp(row) ? { BENCH_BODY: `${row.payload}`, BENCH_ECHO: row.mode === "post" ? "1" : "0" } : {},
      },
    });
    const server = new TestServer();
    server.child = child;
    server.line = linesOf(child.stdout);
    const first = await server.line();
    if (!first?.startsWith("PORT ")) throw new Error(`${file} said ${first} instead of its port`);
    server.port = first.slice(5);
    return server;
  }

  /** Resident memory in bytes. */
  get rss() {
    const status = readFileSync(`/proc/${this.child.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024;
  }

  /** Processor seconds used so far, by all threads. */
  get cpu() {
    const stat = readFileSync(`/proc/${this.child.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100; // utime, stime in ticks of 10 ms
  }

  /** Resident memory once it has stopped to change. */
  async settledRss() {
    let last = this.rss;
    for (let calm = 0, tries = 0; calm < 4 && tries < 40; tries++) {
      await sleep(250);
      const now = this.rss;
      calm = Math.abs(now - last) < 128 * 1024 ? calm + 1 : 0;
      last = now;
    }
    return last;
  }

  /** Asks for full garbage collections. */
  async gc() {
    for (let i = 0; i < 3; i++) {
      this.child.kill("SIGUSR2");
      const line = await this.line();
      if (line !== "GC done") throw new Error(`A server cannot collect garbage: ${line}`);
    }
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await gone;
  }
}

function startLoad(core, mode, port, row, seconds, warmup) {
  const numbers = [port, row.conns, row.payload, row.pipeline, seconds, warmup].map(String);
  const offer = row.offer === undefined ? [] : [row.offer];
  const path = row.path ?? (row.mode === "broadcast" ? "/broadcast" : "/");
  return spawn("taskset", ["-c", core, wsload, mode, ...numbers, path, ...offer], { stdio: ["ignore", "pipe", "pipe"] });
}

/** Seconds that a core has been busy, or was not to be had because the machine below gave it to others. */
function busyOf(core) {
  const line = readFileSync("/proc/stat", "utf8").split("\n").find((line) => line.startsWith(`cpu${core} `));
  const [user, nice, system, , , irq, softirq, steal] = line.split(" ").slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) / 100;
}

/** A run counts when others used no more than this share of either core. */
const DISTURBED = 0.08;
/** How often a disturbed run is repeated before the least disturbed one is taken. */
const ATTEMPTS = 4;

/** Waits until other programs leave both cores alone for a moment, `patience` seconds at most. */
async function untilQuiet(cores, patience) {
  for (let tries = 0, calm = 0; calm < 2 && tries < patience * 4; tries++) {
    const busy = cores.map(busyOf);
    await sleep(250);
    calm = cores.every((core, index) => busyOf(core) - busy[index] <= DISTURBED * 0.25) ? calm + 1 : 0;
  }
}

/** One run of a row that is about speed, undisturbed by other programs if that can be had. */
export async function measureSpeed(what) {
  let best;
  for (let attempt = 0; attempt < (what.patience > 0 ? ATTEMPTS : 1) && !(best?.others <= DISTURBED); attempt++) {
    await untilQuiet(what.cores, what.patience);
    const result = await measureOnce(what);
    if (best === undefined || result.others < best.others) best = result;
  }
  return best;
}

/** Returns what `wsload` printed, the server's share of its core, and the larger share of both cores that others took. */
async function measureOnce({ cores, runtime, file, isRaw, row, seconds, warmup }) {
  const server = await TestServer.start(cores[0], runtime, file, row, false);
  try {
    const load = startLoad(cores[1], isRaw ? "raw" : row.mode, server.port, row, seconds, warmup);
    let complaint = "";
    let since = 0;
    let cpu = 0;
    let busy = [];
    load.stderr.setEncoding("utf8").on("data", (text) => {
      complaint += text;
      if (since !== 0 || !complaint.includes("counting\n")) return;
      since = performance.now();
      cpu = server.cpu;
      busy = cores.map(busyOf);
    });
    const exit = once(load, "close");
    const line = await linesOf(load.stdout)();
    const elapsed = (performance.now() - since) / 1000;
    const share = (server.cpu - cpu) / elapsed;
    busy = cores.map((core, index) => (busyOf(core) - busy[index]) / elapsed);
    const [code] = await exit;
    if (code !== 0) throw new Error(`The load ended with ${code}: ${complaint.replace("counting\n", "").trim()}`);
    const result = JSON.parse(line);
    if (result.rate === 0) throw new Error("Nothing came back in time");
    const others = Math.max(busy[0] - share, busy[1] - result.load_cpu, 0);
    return { ...result, server_cpu: Math.round(share * 1e4) / 1e4, others: Math.round(others * 100) / 100 };
  } finally {
    await server.stop();
  }
}

/** One run of the memory row. Returns bytes for each idle connection, and for each connection after all have gone. */
export async function measureMemory({ cores, runtime, file, row, gc }) {
  const server = await TestServer.start(cores[0], runtime, file, row, gc);
  let load;
  const rss = async () => {
    await server.settledRss();
    if (gc) await server.gc();
    return await server.settledRss();
  };
  try {
    const before = await rss();
    load = startLoad(cores[1], "idle", server.port, row, 120, 0);
    let complaint = "";
    load.stderr.setEncoding("utf8").on("data", (text) => complaint += text);
    const opened = await linesOf(load.stdout)();
    if (opened === undefined) throw new Error(`The load failed: ${complaint.trim()}`);
    const open = await rss();
    load.kill("SIGKILL");
    const after = await rss();
    return {
      each: Math.round((open - before) / row.conns),
      left: Math.round((after - before) / row.conns),
      before,
      open,
      after,
      ...JSON.parse(opened),
    };
  } finally {
    load?.kill("SIGKILL");
    await server.stop();
  }
}
