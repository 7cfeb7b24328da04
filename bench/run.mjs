// The benchmark: Sluice and its peers in one run, in every runtime. See bench/README.md.
//
//   node bench/run.mjs [--quick] [--rows LIST] [--runtimes LIST] [--servers LIST] [--rounds N] [--seconds N] [--warmup N]
//                      [--node VERSION] [--cores SERVER,LOAD] [--patience N] [--before DIRECTORY] [--label TEXT] [--list]

import { spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import "./install.mjs";
import { buildLoad, measureMemory, measureSpeed } from "./measure.mjs";
import { duration, FULL, planOf, QUICK, secondsOf, warmupOf } from "./plan.mjs";
import { writePlots } from "./plots.mjs";
import { report } from "./report.mjs";
import { fileOf, root, rows, runnerOf, runtimesFor, servers, serversHere } from "./rows.mjs";
import { summarize } from "./summary.mjs";

const quick = process.argv.includes("--quick");
const usual = quick ? QUICK : FULL;

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean" },
    rows: { type: "string", default: rows.filter((row) => !quick || row.quick).map((row) => row.name).join() },
    runtimes: { type: "string", default: "deno,bun,node" },
    servers: { type: "string", default: serversHere().join() },
    rounds: { type: "string", default: `${usual.rounds}` },
    seconds: { type: "string", default: `${usual.seconds}` },
    warmup: { type: "string", default: `${usual.warmup}` },
    node: { type: "string", default: "24" },
    cores: { type: "string", default: "0,1" },
    // A quick run ends in time, whatever else runs.
    patience: { type: "string", default: quick ? "0" : "20" },
    before: { type: "string" },
    label: { type: "string" },
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
  for (const row of rows) console.log(`${row.name.padEnd(20)} ${row.quick ? "quick" : "     "} ${row.title}`);
  process.exit();
}

const runtimes = runtimesFor(options.node);
const times = { rounds: numberOf("rounds"), seconds: numberOf("seconds"), warmup: numberOf("warmup") };
const patience = numberOf("patience", 0);
const cores = options.cores.split(",");
const chosenRows = pick("rows", rows.map((row) => row.name))
  .map((name) => rows.find((row) => row.name === name));
const chosenRuntimes = pick("runtimes", Object.keys(runtimes));
const chosenServers = pick("servers", Object.keys(servers));
if (options.before !== undefined) chosenServers.push("before");
const plan = planOf({ rows: chosenRows, runtimes: chosenRuntimes, servers: chosenServers, rounds: times.rounds, quick });

function tellPlan() {
  console.error(
    `${plan.length} measurements, about ${duration(secondsOf(plan, times))}` + (patience > 0 ? " if the machine is quiet" : ""),
  );
  for (const row of chosenRows) {
    const names = [...new Set(plan.filter((one) => one.row === row).map(({ server }) => server))];
    console.error(`  ${row.name.padEnd(20)} ${names.join(", ")}`);
  }
  const rhythm = `${times.rounds} rounds of ${times.seconds} s, ${times.warmup} s of warm-up or more`;
  console.error(`  in ${chosenRuntimes.join(", ")}; ${rhythm}`);
  if (quick) console.error("  Left out: other rows, other servers, and waiting for a quiet machine; npm run bench has them.");
}

function outputOf(command, ...args) {
  return spawnSync(command, args, { cwd: root, encoding: "utf8" }).stdout?.trim() ?? "";
}

function versionsOf() {
  const versions = {};
  for (const name of chosenRuntimes) {
    versions[name] = outputOf(runtimes[name].binary, ...runtimes[name].version).replace(/^v/, "");
  }
  for (const name of ["ws", "bufferutil"]) {
    versions[name] = JSON.parse(readFileSync(`${root}tools/node_modules/${name}/package.json`, "utf8")).version;
  }
  if (chosenServers.includes("swoole")) versions.swoole = outputOf("php", "-r", "echo swoole_version();");
  if (chosenServers.includes("uws")) {
    versions["uWebSockets.js"] =
      JSON.parse(readFileSync(`${root}tools/node_modules/uWebSockets.js/package.json`, "utf8")).version;
  }
  return versions;
}

const about = {
  date: new Date().toISOString().slice(0, 10),
  commit: outputOf("git", "rev-parse", "--short", "HEAD"),
  machine: `${os.cpus()[0].model.trim()}, ${os.cpus().length} cores, ${os.type()} ${os.release()}`,
  versions: versionsOf(),
  ...times,
  label: options.label,
};
buildLoad();
tellPlan();

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
  console.error(`${samples.length}/${plan.length} ${row} ${runtime} ${server} ${round}: ${figures}`);
}

/** A measurement that fails is left out: the others of a long run are worth something without it. */
const failures = [];

for (const { row, runtime, server, round, gc } of plan) {
  const file = fileOf(server, runtime, row, options.before);
  const common = { cores, runtime: runnerOf(server, runtimes[runtime]), file, row };
  const measuring = gc === undefined
    ? measureSpeed({ ...common, isRaw: server === "raw", seconds: times.seconds, warmup: warmupOf(row, times), patience })
    : measureMemory({ ...common, gc });
  try {
    keep({ row: row.name, runtime, server, round, gc, result: await measuring });
  } catch (error) {
    failures.push(`${row.name} ${runtime} ${server} ${round}: ${error.message}`);
    console.error(`FAILED ${failures[failures.length - 1]}`);
    process.exitCode = 1;
  }
}

if (failures.length > 0) about.failures = failures;
const summary = summarize(about, samples, chosenRows, chosenRuntimes, chosenServers);
const text = report(summary);
writeFileSync(`${stem}.json`, JSON.stringify(summary, undefined, 1) + "\n");
writeFileSync(`${stem}.md`, text);
writePlots(summary, `${stem}-`);
console.log(text);
console.error(`Kept as ${stem}.json; to publish it in docs/performance.md: node bench/publish.mjs ${stem}.json`);
