// Runs every check of the project: `npm test`. Needs Node 20 or later; everything else is in tools/node_modules.
//
//   node tools/check.mjs [NAME …]     only the steps whose names contain one of the words
//   node tools/check.mjs --list       what there is
//
// Browsers are looked for under the usual names, or taken from CHROMIUM and FIREFOX. Where there is none, `--without-browser` leaves
// that step out and says so, and `--without-firefox` (SLUICE_WITHOUT_FIREFOX=1) that part of it; otherwise it fails.

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => `${root}tools/node_modules/${name}`;
const deno = bin(".bin/deno");
const bun = bin(".bin/bun");
const offline = ["--import-map", "tests/offline/import_map.json"];
const nodes = ["22", "24", "26"];

/** All files below a folder whose names end in a certain way. */
function filesOf(folder, ending) {
  return readdirSync(root + folder, { recursive: true }).filter((name) => name.endsWith(ending))
    .map((name) => `${folder}/${name}`).sort();
}

const tests = filesOf("tests", "_test.ts");
const browserTests = filesOf("tests/browser", "_in_browser.ts");
const sources = [
  "mod.ts",
  "src/coroutine/mod.ts",
  "adapters/auto.ts",
  "adapters/deno.ts",
  "adapters/bun.ts",
  "adapters/node.ts",
];

/** Everything in src/ but the entry point that chooses an adapter. */
const runtimeFree = readdirSync(`${root}src`, { recursive: true }).filter((
  name,
) => name.endsWith(".ts"))
  .map((name) => `src/${name}`).filter((name) => name !== "src/coroutine/mod.ts");

const steps = [
  ["format", [deno, "fmt", "--check"]],
  ["lint", [deno, "lint"]],
  ["types", [
    deno,
    "check",
    ...offline,
    "mod.ts",
    "adapters/",
    "examples/",
    "tests/",
    "bench/",
    "tools/mutants.ts",
  ]],
  ["types of src without a runtime", [
    deno,
    "check",
    "--config",
    "tests/offline/src_only.json",
    ...runtimeFree,
  ]],
  ["house rules", [process.execPath, "tools/house_rules.mjs"]],
  ["documentation", [deno, "doc", "--lint", ...sources]],
  ["documentation examples", [
    deno,
    "test",
    "-A",
    "--doc",
    "--no-check=remote",
    ...offline,
    "mod.ts",
    "src/",
    "adapters/",
  ]],
  ["package", [deno, "publish", "--dry-run", "--allow-dirty"]],
  ["tests in Deno", [deno, "test", "-A", ...offline, ...tests]],
  ["tests in Bun", [
    bun,
    "test",
    "--timeout",
    "120000",
    ...tests.map((name) => `./${name}`),
  ]],
  ...nodes.map((version) => [
    `tests in Node ${version}`,
    [
      bin(`n${version}/bin/node`),
      "--import",
      "./tests/offline/register.mjs",
      "--test",
      // All files in one process, as in Deno and Bun: to start one for each takes a minute or two.
      version === "22" ? "--experimental-test-isolation=none" : "--test-isolation=none",
      ...tests,
    ],
  ]),
  ["browser", [
    bin("n24/bin/node"),
    "--import",
    "./tests/offline/register.mjs",
    "--test",
    "--test-concurrency=1",
    ...browserTests,
  ]],
];

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const options = new Set(
  process.argv.slice(2).filter((word) => word.startsWith("--")),
);
if (options.has("--list")) {
  for (const [name] of steps) console.log(name);
  process.exit();
}

const withoutFirefox = options.has("--without-firefox") ||
  process.env.SLUICE_WITHOUT_FIREFOX === "1";
const env = {
  ...process.env,
  NO_COLOR: "1",
  DENO_NO_UPDATE_CHECK: "1",
  ...(withoutFirefox ? { SLUICE_WITHOUT_FIREFOX: "1" } : {}),
};

/** The longest that a step may take, in milliseconds. */
const PATIENCE = 15 * 60 * 1000;

/** Runs a step. What it prints comes in one piece at its end, so that steps can run side by side. */
function run(name, command, args) {
  return new Promise((resolve) => {
    const start = Date.now();
    const output = [];
    const child = spawn(command, args, {
      cwd: root,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const late = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => output.push(chunk));
    }
    child.on(
      "error",
      (error) =>
        output.push(
          Buffer.from(`${error.message}: run npm ci --prefix tools\n`),
        ),
    );
    child.on("close", (status, signal) => {
      clearTimeout(late);
      if (signal !== null) output.push(Buffer.from(`ended by ${signal}\n`));
      console.log(`\n=== ${name}`);
      process.stdout.write(Buffer.concat(output));
      resolve([status === 0 ? "ok" : "FAILED", (Date.now() - start) / 1000]);
    });
  });
}

const chosen = steps.filter(([name]) => words.length === 0 || words.some((word) => name.includes(word)));
const results = [];
let next = 0;

/** Takes one step after the other. */
async function work() {
  while (next < chosen.length) {
    const index = next++;
    const [name, [command, ...args]] = chosen[index];
    if (name === "browser" && options.has("--without-browser")) {
      results[index] = [name, "LEFT OUT, as asked", 0];
      continue;
    }
    const what = name === "browser" && withoutFirefox ? "browser, Firefox LEFT OUT, as asked" : name;
    results[index] = [what, ...await run(name, command, args)];
  }
}

// Three at a time: tests that wait leave their core to those of another runtime.
await Promise.all([work(), work(), work()]);

console.log("\n=== summary");
for (const [name, outcome, seconds] of results) {
  console.log(`${outcome.padEnd(8)} ${name} (${seconds.toFixed(1)} s)`);
}
if (chosen.length === 0) console.error("no step has that name");
process.exitCode = chosen.length > 0 && results.every(([, outcome]) => outcome !== "FAILED") ? 0 : 1;
