// What the checks consist of.

import { readdirSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { find } from "../prerequisites.mjs";
import { bin, inBun, inDeno, inNode, offline, root } from "./test_commands.mjs";

export { root };

const deno = bin(".bin/deno");

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

/** Tests that take long and do the same in every version of Node: one version runs them. */
const isLong = (name) =>
  ["tests/conformance/", "tests/interop/", "tests/server/large_bodies_test.ts"]
    .some((path) => name.startsWith(path));
const shortTests = tests.filter((name) => !isLong(name));
const browserTests = filesOf("tests/browser", "_in_browser.ts");
const sources = [
  "mod.ts",
  "src/coroutine/mod.ts",
  "adapters/auto.ts",
  "adapters/deno.ts",
  "adapters/bun.ts",
  "adapters/node.ts",
  "adapters/redis.ts",
];

/** Everything in src/ but the entry point that chooses an adapter. */
const runtimeFree = filesOf("src", ".ts").filter((name) => name !== "src/coroutine/mod.ts");

/** The oldest version that the package for npm supports. It runs no TypeScript itself: hooks remove the types. */
const inNode20 = (files) => [
  bin("n20/bin/node"),
  "--import",
  "./tests/offline/register.mjs",
  "--test-reporter=spec",
  "tests/offline/run_all.mjs",
  ...files,
];

/** A step in Node 20. Programs that tests start are TypeScript, too. */
const stepInNode20 = (name, files) => ({
  name,
  command: inNode20(files),
  env: { NODE_OPTIONS: `--import=${new URL("tests/offline/register.mjs", pathToFileURL(root))}` },
});
const rooms = [
  "adapters",
  "client",
  "coroutine",
  "http",
  "runtime",
  "server",
  "tls",
  "transport",
  "websocket",
];
const isOfRoom = (name) => rooms.some((room) => name.startsWith(`tests/${room}/`));
const testsOfRooms = tests.filter(isOfRoom);

/** Tests of adapters, and of what meets the runtime through them: versions of one runtime differ there. */
const dependsOnRuntime = (name) => ["adapters", "runtime", "tls", "transport"].some((room) => name.startsWith(`tests/${room}/`));

/**
 * What Node 20 runs here: with the protocols, whose code must not use what Node 20 does not have. `npm run test:versions` runs the
 * tests of all rooms.
 */
const testsOfNode20 = shortTests.filter((name) =>
  dependsOnRuntime(name) || ["coroutine", "http", "websocket"].some((room) => name.startsWith(`tests/${room}/`))
);

/** Whether a test is about the workers of a program that it starts. */
const startsWorkers = (name) => name.startsWith("tests/cluster/") && readFileSync(root + name, "utf8").includes("_program.ts");

/** Tests that start workers, but for those of their life. Node runs them here, and `npm run test:workers` in all runtimes. */
export const testsOfWorkers = tests.filter((name) => startsWorkers(name) && name !== "tests/cluster/workers_test.ts");
const otherTests = tests.filter((name) => !isOfRoom(name) && !testsOfWorkers.includes(name));

/**
 * The tests whose branch coverage of src/ is measured. It costs a fifth of their time: those that take long, or whose programs are
 * others, are left out.
 */
const isMeasured = (name) =>
  [
    "client",
    "cluster",
    "coroutine",
    "http",
    "pages",
    "server",
    "topics",
    "transport",
    "websocket",
    "brokers/workers_test.ts", // both ends of the broker of workers, in one process
  ].some((path) => name.startsWith(`tests/${path}`)) &&
  !isLong(name) && !startsWorkers(name);
const unmeasured = tests.filter((name) => !isMeasured(name));
const coverage = [
  "--experimental-test-coverage",
  "--test-coverage-include=src/**",
  ...["spec", "./tools/check/branch_floor.mjs"].flatMap((
    name,
  ) => [`--test-reporter=${name}`, "--test-reporter-destination=stdout"]),
];

/** What a step may need of the machine; where all of it is missing the step is left out. */
const browsers = ["chromium", "firefox"];

/** @typedef {{ name: string, command: string[], beside?: boolean, needs?: string[], env?: object }} StepSpec */

/**
 * The checks, in the order in which they are listed: those with tests take longest, and begin first. `beside`: waits nearly all the
 * time, so that it takes no place from another.
 */
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
    ],
  },
  {
    name: "types of the programs in the documents",
    command: [
      deno,
      "check",
      ...offline,
      "--doc-only",
      "README.md",
      ...filesOf("docs", ".md"),
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
  {
    name: "what compilers and editors say",
    command: inNode("24", [
      "tests/types/messages.ts",
      "tests/types/completions.ts",
    ]),
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
    name: "installation in empty projects",
    command: inNode("24", ["tests/package/installed_package.ts"]),
  },
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
  {
    name: "workers under load",
    beside: true,
    command: [process.execPath, "tools/workers.mjs", "--short"],
  },
  // The types of the tests are checked above.
  {
    name: "tests in Deno, of what depends on the runtime",
    command: inDeno(testsOfRooms.filter(dependsOnRuntime), "--no-check"),
  },
  {
    name: "tests in Deno, of the other rooms",
    command: inDeno(testsOfRooms.filter((name) => !dependsOnRuntime(name)), "--no-check"),
  },
  { name: "tests in Deno, the others but for most that start workers", command: inDeno(otherTests, "--no-check") },
  { name: "tests in Bun, of all rooms and adapters", command: inBun(testsOfRooms) },
  { name: "tests in Bun, the others but for most that start workers", command: inBun(otherTests) },
  {
    name: "browser, with Node 24",
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
  {
    name: "tests in Node 24, with branch coverage",
    command: inNode("24", tests.filter(isMeasured), ...coverage),
    env: { NODE_DISABLE_COMPILE_CACHE: "1" }, // what was in the cache is not counted exactly
  },
  {
    name: "tests in Node 24, the others of the rooms",
    command: inNode("24", unmeasured.filter(isOfRoom)),
  },
  {
    name: "tests in Node 24, the others of the rest",
    command: inNode("24", unmeasured.filter((name) => !isOfRoom(name))),
  },
  {
    name: "tests in Node 22, of what depends on the runtime",
    command: inNode("22", shortTests.filter(dependsOnRuntime)),
  },
  {
    name: "tests in Node 26, of what depends on the runtime",
    command: inNode("26", shortTests.filter(dependsOnRuntime)),
  },
  stepInNode20("tests in Node 20, of what depends on the runtime, and protocols", testsOfNode20),
  ...(adversary.length === 0 ? [] : [{
    name: "adversary in Deno, each test on one lane",
    command: inDeno(adversary, "--no-check"),
  }, {
    name: "adversary in Bun, each test on one lane",
    command: inBun(adversary),
  }, {
    name: "adversary in Node 24, each test on one lane",
    command: inNode("24", adversary),
  }]),
];

/** The tests of all rooms in the versions of Node that run only some of them above: `npm run test:versions`. */
const testsOfVersions = shortTests.filter(isOfRoom);
export const versionSteps = [
  stepInNode20("all rooms in Node 20", testsOfVersions),
  { name: "all rooms in Node 22", command: inNode("22", testsOfVersions) },
  { name: "all rooms in Node 26", command: inNode("26", testsOfVersions) },
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
