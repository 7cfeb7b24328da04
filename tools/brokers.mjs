// Runs the contract of brokers whole: each broker in each runtime, with the times that are the defaults. `npm run test:brokers`.
//
//   node tools/brokers.mjs [RUNTIME …]     deno, bun, node; all unless given

import { spawnSync } from "node:child_process";
import process from "node:process";
import { find, howToBring } from "./prerequisites.mjs";
import { installation, isInstalled } from "./check/install.mjs";
import { inBun, inDeno, inNode, root } from "./check/test_commands.mjs";

const files = ["tests/brokers/contract_test.ts", "tests/brokers/table_test.ts"];

const commands = {
  node: inNode("24", files, "--test-reporter=spec"),
  deno: inDeno(files, "--no-check"),
  bun: inBun(files, 600),
};

if (find("redis") === undefined) {
  console.error(`There is no redis-server: ${howToBring("redis")}`);
  process.exit(1);
}
if (!isInstalled(root)) {
  const [program, ...args] = installation();
  if (spawnSync(program, args, { cwd: root, stdio: "inherit" }).status !== 0) process.exit(1);
}
const chosen = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(commands);
for (const name of chosen) {
  if (!(name in commands)) {
    console.error(`There is no runtime ${name}: ${Object.keys(commands).join(", ")}`);
    process.exit(1);
  }
}
for (const name of chosen) {
  console.log(`\n=== ${name}`);
  const [program, ...args] = commands[name];
  const env = { ...process.env, SLUICE_BROKERS: "full", NO_COLOR: "1" };
  if (spawnSync(program, args, { cwd: root, stdio: "inherit", env }).status !== 0) process.exitCode = 1;
}
