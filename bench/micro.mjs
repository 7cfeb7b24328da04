// Micro-benchmarks: what a message and a request consist of, without sockets, in all runtimes.
//
//   node bench/micro.mjs [WORD …] [--runtimes deno,bun,node] [--node VERSION] [--before DIRECTORY]
//
// With words, only the operations whose names contain one of them. `--before` measures another checkout too, in turn.

import { spawnSync } from "node:child_process";
import process from "node:process";
import { parseArgs } from "node:util";
import "./install.mjs";
import { RUNTIMES } from "./report.mjs";
import { root, runtimesFor } from "./rows.mjs";
import { median } from "./summary.mjs";

const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    runtimes: { type: "string", default: "deno,bun,node" },
    node: { type: "string", default: "24" },
    before: { type: "string" },
  },
});

/** Fresh processes for each version: what a runtime compiles differs a little from one to the next. */
const PROCESSES = options.before === undefined ? 1 : 3;

/** The timings of a checkout in a runtime, by the name of the operation. */
function timingsOf({ binary, run }, checkout) {
  const { stdout, stderr, status } = spawnSync(binary, [...run, `${checkout}/bench/micro/main.ts`, ...words], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", NODE_NO_WARNINGS: "1" },
  });
  if (status !== 0) throw new Error(`Cannot measure: ${stderr}`);
  return stdout.trim().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

const show = (nanoseconds) => nanoseconds < 100 ? nanoseconds.toFixed(1) : Math.round(nanoseconds).toLocaleString("en");

for (const name of options.runtimes.split(",")) {
  const runtime = runtimesFor(options.node)[name];
  if (runtime === undefined) throw new Error(`Cannot use --runtimes ${name}: there are ${Object.keys(RUNTIMES).join(", ")}`);
  const now = [];
  const before = [];
  for (let i = 0; i < PROCESSES; i++) {
    if (options.before !== undefined) before.push(timingsOf(runtime, options.before));
    now.push(timingsOf(runtime, root));
  }
  console.log(
    `\n${RUNTIMES[name]}`.padEnd(47) + "ns each    (least–most)          ns per byte" +
      (before.length > 0 ? "  before / now" : ""),
  );
  now[0].forEach(({ name, bytes }, index) => {
    const mine = now.map((timings) => timings[index]);
    const middle = median(mine.map((timing) => timing.median));
    const range = `(${show(Math.min(...mine.map(({ least }) => least)))}–${show(Math.max(...mine.map(({ most }) => most)))})`;
    let line = `${name.padEnd(44)} ${show(middle).padStart(8)}    ${range.padEnd(20)} ${
      (middle / bytes).toFixed(3).padStart(10)
    }`;
    const earlier = before.map((timings) => timings.find((timing) => timing.name === name)?.median).filter((one) =>
      one !== undefined
    );
    if (earlier.length > 0) line += `${(median(earlier) / middle).toFixed(2).padStart(14)}`;
    console.log(line);
  });
}
