// What the checks consist of.

import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { find } from "../prerequisites.mjs";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const bin = (name) => `${root}tools/node_modules/${name}`;
const deno = bin(".bin/deno");
const bun = bin(".bin/bun");
const offline = ["--import-map", "tests/offline/import_map.json"];
const nodes = ["22", "24", "26"];

/** All files below a folder whose names end in a certain way. */
function filesOf(folder, ending) {
  return readdirSync(root + folder, { recursive: true }).map((name) => name.replaceAll("\\", "/")).filter((name) =>
    name.endsWith(ending)
  ).map((name) => `${folder}/${name}`)
    .sort();
}

const all = filesOf("tests", "_test.ts");
const isAdversary = (name) => name.startsWith("tests/adversary/");
const tests = all.filter((name) => !isAdversary(name));
const adversary = all.filter(isAdversary);
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
const runtimeFree = filesOf("src", ".ts").filter((name) => name !== "src/coroutine/mod.ts");

const inDeno = (files) => [deno, "test", "-A", ...offline, ...files];
const inBun = (
  files,
) => [bun, "test", "--timeout", "120000", ...files.map((name) => `./${name}`)];
const inNode = (version, files, ...flags) => [
  bin(`n${version}/bin/node`),
  "--import",
  "./tests/offline/register.mjs",
  "--test",
  // All files in one process, as in Deno and Bun: to start one for each takes a minute or two.
  version === "22" ? "--experimental-test-isolation=none" : "--test-isolation=none",
  ...flags,
  ...files,
];

/** What a step may need of the machine; where all of it is missing the step is left out. */
const browsers = ["chromium", "firefox"];

/** @typedef {{ name: string, command: string[], beside?: boolean, needs?: string[], env?: object }} StepSpec */

/** The checks. `beside`: waits nearly all the time, so that it takes no place from another. */
export const steps = [
  { name: "format", command: [deno, "fmt", "--check"] },
  { name: "lint", command: [deno, "lint"] },
  {
    name: "types",
    command: [
      deno,
      "check",
      ...offline,
      "mod.ts",
      "adapters/",
      "examples/",
      "tests/",
      "bench/",
      "tools/mutants.ts",
    ],
  },
  {
    name: "types of src without a runtime",
    command: [
      deno,
      "check",
      "--config",
      "tests/offline/src_only.json",
      ...runtimeFree,
    ],
  },
  { name: "house rules", command: [process.execPath, "tools/house_rules.mjs"] },
  { name: "documentation", command: [deno, "doc", "--lint", ...sources] },
  {
    name: "documentation examples",
    command: [
      deno,
      "test",
      "-A",
      "--doc",
      "--no-check=remote",
      ...offline,
      "mod.ts",
      "src/",
      "adapters/",
    ],
  },
  { name: "package", command: [deno, "publish", "--dry-run", "--allow-dirty"] },
  {
    name: "long lives",
    beside: true,
    command: inNode("24", ["tests/long/long_lives.ts"]),
  },
  {
    name: "soak",
    beside: true,
    command: [process.execPath, "tools/soak.mjs", "0.5", "--small"],
  },
  { name: "tests in Deno", command: inDeno(tests) },
  { name: "tests in Bun", command: inBun(tests) },
  ...nodes.map((version) => ({
    name: `tests in Node ${version}`,
    command: inNode(version, tests),
  })),
  ...(adversary.length === 0 ? [] : [{ name: "adversary in Deno", command: inDeno(adversary) }, {
    name: "adversary in Bun",
    command: inBun(adversary),
  }, { name: "adversary in Node", command: inNode("24", adversary) }]),
  {
    name: "browser",
    needs: browsers,
    command: [
      bin("n24/bin/node"),
      "--import",
      "./tests/offline/register.mjs",
      "--test",
      "--test-concurrency=1",
      ...browserTests,
    ],
  },
];

const quickly = (...folders) => tests.filter((name) => folders.some((folder) => name.startsWith(`tests/${folder}/`)));

/** A minute's worth of them, for those who work on the code: one runtime, no browser, few sockets. */
export const quickSteps = [
  ...steps.filter(({ name }) => ["format", "lint", "house rules"].includes(name)),
  {
    name: "protocols in Node",
    command: inNode("24", quickly("websocket", "pages", "recordings")),
  },
  {
    name: "server and HTTP in Node",
    command: inNode("24", quickly("http", "server")),
  },
];

/** Whether nothing of what a step needs is there. */
export function lacksAll({ needs }) {
  return needs !== undefined && needs.every((name) => find(name) === undefined);
}
