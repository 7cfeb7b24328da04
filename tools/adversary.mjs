// Tries everything that the tests of tests/adversary/ try a sample of, in Deno, Bun and Node.
//
//   node tools/adversary.mjs [RUNTIME …]     deno, bun, node
//
// SLUICE_SEED draws another sample where one is drawn.

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import process from "node:process";
import { inBun, inDeno, inNode, root } from "./check/test_commands.mjs";

const files = readdirSync(`${root}tests/adversary`).filter((name) => name.endsWith("_test.ts")).sort().map((name) =>
  `tests/adversary/${name}`
);

const commands = { deno: inDeno(files), bun: inBun(files, 600), node: inNode("24", files) };

const env = {
  ...process.env,
  SLUICE_ADVERSARY: "all",
  DENO_NO_UPDATE_CHECK: "1",
};
const chosen = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(commands);
for (const name of chosen) {
  if (commands[name] === undefined) {
    throw new TypeError(
      `Cannot run ${name}: there are ${Object.keys(commands).join(", ")}`,
    );
  }
  console.log(`=== ${name}`);
  const [program, ...args] = commands[name];
  const status = await new Promise((resolve) =>
    spawn(program, args, { cwd: root, env, stdio: "inherit" })
      .on("close", resolve)
  );
  if (status !== 0) process.exitCode = 1;
}
