// Runs every check of the project: `npm test`. Needs Node 20 or later and npm; it brings the runtimes and packages that it uses.
//
//   node tools/check.mjs [NAME …]     only the steps whose names contain one of the words
//   node tools/check.mjs --list       what there is
//   node tools/check.mjs --quick      a minute's worth of them, in one runtime
//   node tools/check.mjs --versions   the tests of all rooms in the versions of Node that run parts of them otherwise
//
// What else some tests need (browsers, proxies, Python's websockets and aiohttp, openssl) is listed in tools/prerequisites.mjs. Where it is
// missing, these tests are left out, and the last lines say so. `--strict` (SLUICE_STRICT=1) fails instead. `--without-browser`
// and `--without-firefox` leave out what is there. `--verbose` prints what steps printed that succeeded, too.
// A step that prints nothing for SLUICE_SILENCE seconds (900; 0 for ever) is taken for stuck.

import { mkdtempSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { installation, isInstalled } from "./check/install.mjs";
import { failuresOf, killAll, leftOutOf, Step } from "./check/step.mjs";
import { lacksAll, quickSteps, root, steps, versionSteps } from "./check/steps.mjs";

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const options = new Set(
  process.argv.slice(2).filter((word) => word.startsWith("--")),
);
const strict = options.has("--strict") || process.env.SLUICE_STRICT === "1";
const verbose = options.has("--verbose") || strict;
const silence = Number(process.env.SLUICE_SILENCE ?? 900) || Infinity;

const unwanted = [process.env.SLUICE_WITHOUT ?? ""];
if (options.has("--without-browser")) unwanted.push("chromium", "firefox");
if (options.has("--without-firefox")) unwanted.push("firefox");
process.env.SLUICE_WITHOUT = unwanted.join(" ");
const { find, howToBring, prerequisites } = await import("./prerequisites.mjs");

const offered = options.has("--quick") ? quickSteps : options.has("--versions") ? versionSteps : steps;
if (options.has("--list")) {
  for (const { name } of offered) console.log(name);
  process.exit();
}

const env = {
  ...process.env,
  // The programs that tests start import the same files.
  NODE_COMPILE_CACHE: join(root, "tools/node_modules/.cache/compiled"),
  NO_COLOR: "1",
  DENO_NO_UPDATE_CHECK: "1",
  // Deno gets packages from where npm gets them, and trusts whom the system trusts, a company's proxy included.
  DENO_TLS_CA_STORE: process.env.DENO_TLS_CA_STORE ?? "mozilla,system",
  ...(process.env.npm_config_registry ? { NPM_CONFIG_REGISTRY: process.env.npm_config_registry } : {}),
  ...(strict ? { SLUICE_STRICT: "1" } : {}),
};
const logs = mkdtempSync(join(tmpdir(), "sluice-checks-"));

/** Prints a line with the time of day. */
function tell(text) {
  console.log(`[${new Date().toTimeString().slice(0, 8)}] ${text}`);
}

// Whoever ends the checks ends all that they have started.
function stop(reason, code) {
  tell(`ended by ${reason}`);
  killAll();
  process.exit(code);
}
for (
  const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]
) process.on(signal, () => stop(signal, code));
process.on("exit", killAll);
// npm ends its shell, which tells nobody.
const parent = process.ppid;
setInterval(() => {
  if (
    process.env.npm_lifecycle_event !== undefined && process.ppid !== parent
  ) stop("the end of npm", 143);
}, 500).unref();

/** @type {Step[]} */
const running = [];

/** Runs a step, and tells when it begins and how it ends. */
async function run(spec) {
  const step = new Step(spec);
  const log = join(logs, `${spec.name.replaceAll(" ", "_")}.log`);
  tell(`begun   ${step.name}`);
  running.push(step);
  await step.run({ root, env, log, silence });
  running.splice(running.indexOf(step), 1);
  tell(
    `${step.outcome.padEnd(7)} ${step.name} (${step.seconds.toFixed(1)} s)${step.reason && `: ${step.reason}`}`,
  );
  if (verbose || step.outcome !== "ok") {
    console.log(`\n=== ${step.name}\n${step.output}`);
  }
  return step;
}

// A sign of life each minute: what runs, for how long, and what it has said last.
setInterval(() => {
  for (const { name, age, lastLine } of running) {
    tell(`running ${name} (${age.toFixed(0)} s): ${lastLine.slice(0, 100)}`);
  }
}, 60_000).unref();

const chosen = offered.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
if (chosen.length === 0) {
  console.error("no step has that name: --list tells which there are");
  process.exit(1);
}

tell(`${chosen.length} steps; what they print is kept in ${logs}`);
const missing = prerequisites.filter(({ name }) => find(name) === undefined);
if (!options.has("--quick")) {
  for (const { name, purpose } of missing) {
    tell(
      `there is no ${name}: ${purpose} will ${strict ? "fail" : "be left out"}`,
    );
  }
}

/** @type {Step[]} */
const results = [];
const leftOut = [];
if (!isInstalled(root)) {
  results.push(await run({ name: "npm ci", command: installation() }));
}

if (results.every(({ outcome }) => outcome === "ok")) {
  const waiting = [];
  const beside = [];
  for (const spec of chosen) {
    if (lacksAll(spec)) leftOut.push(spec);
    else (spec.beside ? beside : waiting).push(spec);
  }
  // Long ones first, so that at the end none runs alone.
  const isLong = ({ name }) => name.startsWith("tests in ");
  waiting.sort((a, b) => Number(isLong(b)) - Number(isLong(a)));
  const work = async () => {
    while (waiting.length > 0) results.push(await run(waiting.shift()));
  };
  // Four at a time on two cores: a test spends most of its time waiting for sockets and timeouts.
  const workers = Array.from({ length: Math.min(4, 2 * availableParallelism()) }, work);
  await Promise.all([
    ...workers,
    ...beside.map(async (spec) => results.push(await run(spec))),
  ]);
}

console.log("\n=== summary");
const place = ({ name }) => chosen.findIndex((spec) => spec.name === name);
results.sort((a, b) => place(a) - place(b));
let failed = false;
const partly = new Set();
for (const { name, outcome, seconds, reason, output } of results) {
  const without = [...leftOutOf(output)];
  without.forEach((what) => partly.add(what));
  failed ||= outcome !== "ok" || (strict && without.length > 0);
  const note = `${without.length > 0 ? `, parts LEFT OUT: ${without.join(", ")}` : ""}${reason && `: ${reason}`}`;
  console.log(`${outcome.padEnd(8)} ${name} (${seconds.toFixed(1)} s)${note}`);
}
for (const { name, needs } of leftOut) {
  failed ||= strict;
  console.log(
    `${strict ? "FAILED" : "LEFT OUT"} ${name}: there is no ${needs.join(" and no ")}`,
  );
}

for (
  const { name, output, reason } of results.filter(({ outcome }) => outcome !== "ok")
) {
  console.log(
    `\n=== why ${name} failed (${reason})\n${failuresOf(output).join("\n")}`,
  );
}
if (leftOut.length > 0 || partly.size > 0) {
  console.log(`\n=== left out${strict ? ", which is a failure here" : ""}`);
  const isFelt = ({ name }) =>
    partly.has(`there is no ${name}`) ||
    leftOut.some(({ needs }) => needs.includes(name));
  for (const { name, purpose } of missing.filter(isFelt)) {
    console.log(`${name}, for ${purpose}: ${howToBring(name)}`);
  }
}
process.exitCode = failed ? 1 : 0;
