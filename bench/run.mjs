// The benchmark: Sluice and its peers in one run, in every runtime. See bench/README.md.
//
//   node bench/run.mjs [--rows LIST] [--runtimes LIST] [--servers LIST] [--rounds N] [--seconds N] [--warmup N]
//                      [--node VERSION] [--cores SERVER,LOAD] [--patience N] [--before DIRECTORY] [--list]

import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import os from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { buildLoad, measureMemory, measureSpeed } from "./measure.mjs";
import { report } from "./report.mjs";
import { fileOf, root, rows, runtimesFor, servers, takesPart } from "./rows.mjs";

const { values: options } = parseArgs({
  options: {
    rows: { type: "string", default: rows.map((row) => row.name).join() },
    runtimes: { type: "string", default: "deno,bun,node" },
    servers: { type: "string", default: Object.keys(servers).join() },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    warmup: { type: "string", default: "1" },
    node: { type: "string", default: "24" },
    cores: { type: "string", default: "0,1" },
    patience: { type: "string", default: "20" },
    before: { type: "string" },
    list: { type: "boolean", default: false },
  },
});

/** The members of a comma-separated option, which have to be known. */
function pick(option, known) {
  const names = options[option].split(",").filter((name) => name !== "");
  for (const name of names) {
    if (!known.includes(name)) throw new Error(`Cannot use --${option} ${name}: there are ${known.join(", ")}`);
  }
  return known.filter((name) => names.includes(name));
}

function numberOf(option, least = 0.1) {
  const value = Number(options[option]);
  if (!(value >= least)) throw new Error(`Cannot use --${option} ${options[option]}: a number from ${least} on is needed`);
  return value;
}

if (options.list) {
  for (const row of rows) console.log(`${row.name.padEnd(20)} ${row.title}`);
  process.exit();
}

const runtimes = runtimesFor(options.node);
const rounds = numberOf("rounds");
const seconds = numberOf("seconds");
const warmup = numberOf("warmup");
const patience = numberOf("patience", 0);
const cores = options.cores.split(",");
const chosenRows = pick("rows", rows.map((row) => row.name)).map((name) => rows.find((row) => row.name === name));
const chosenRuntimes = pick("runtimes", Object.keys(runtimes));
const chosenServers = pick("servers", Object.keys(servers));
if (options.before !== undefined) chosenServers.push("before");

const versions = {};
for (const name of chosenRuntimes) {
  const { binary, version } = runtimes[name];
  if (!existsSync(binary)) throw new Error(`${binary} is missing: run npm ci --prefix tools`);
  versions[name] = spawnSync(binary, version, { encoding: "utf8" }).stdout.trim();
}
buildLoad();

const directory = `${root}bench/results`;
mkdirSync(directory, { recursive: true });
const stem = `${directory}/${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}`;
const samples = [];

function keep(sample) {
  samples.push(sample);
  appendFileSync(`${stem}.jsonl`, JSON.stringify(sample) + "\n");
  const { row, runtime, server, round, result } = sample;
  const figures = result.rate === undefined
    ? `${result.each}, left ${result.left}`
    : `${result.rate} with ${result.server_cpu} of the core, others ${result.others}`;
  console.error(`${row} ${runtime} ${server} ${round}: ${figures}`);
}

for (const row of chosenRows) {
  const idle = row.mode === "idle";
  for (const runtime of chosenRuntimes) {
    const part = chosenServers.filter((server) => takesPart(server, row, runtime));
    // Three processes tell enough of memory, which is far less noisy than speed.
    for (let round = 0; round < (idle ? Math.min(rounds, 3) : rounds); round++) {
      // Every round is a comparison of its own: fresh processes, one after the other, every second time in the other order.
      for (const server of round % 2 === 0 ? part : part.toReversed?.() ?? [...part].reverse()) {
        const file = fileOf(server, runtime, row, options.before);
        const about = { row: row.name, runtime, server, round };
        const common = { cores, runtime: runtimes[runtime], file, row };
        if (!idle) {
          const times = { seconds, warmup: Math.max(warmup, row.warmup ?? 0), patience };
          keep({ ...about, result: await measureSpeed({ ...common, isRaw: server === "raw", ...times }) });
        } else {
          for (const gc of [false, true]) keep({ ...about, gc, result: await measureMemory({ ...common, gc }) });
        }
      }
    }
  }
}

const machine = `${os.cpus()[0].model.trim()}, ${os.cpus().length} cores, ${os.type()} ${os.release()}`;
const what = chosenRuntimes.map((name) => `${name} ${versions[name]}`).join(", ");
const head = `${new Date().toISOString().slice(0, 10)}: ${what}; ${machine}; ` +
  `${rounds} rounds of ${seconds} s after ${warmup} s of warm-up.`;
const text = `${head}\n\n${report(samples, chosenRows, chosenRuntimes, chosenServers)}`;
writeFileSync(`${stem}.md`, text);
console.log(text);
