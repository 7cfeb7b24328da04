// Our client against the servers of others, and against our own server in another runtime. One end is always in the runtime of
// this test, so that a run of all runtimes has every pairing once.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { runners, running } from "../support/program.ts";
import { checkClient } from "./echo.ts";
import { type Abilities, checkServer } from "./http_client_checks.ts";
import { PYTHON, testWithPython } from "./python.ts";

const runner = (runtime: string): string[] => runners.find(([name]) => name === runtime)!.slice(1);

/** Runs a server program and our client against it. */
function checkProgram(command: readonly string[], file: string, abilities: Abilities): Promise<void> {
  return running([...command, fileURLToPath(new URL(file, import.meta.url))], async (program) => {
    await checkServer(Number(await program.line()), abilities);
    assertEquals([await program.line(), await program.line()], ["4321 bye für now", "4001 that is enough"], program.errors);
  });
}

for (const compresses of [false, true]) {
  const how = compresses ? ", compressed" : "";
  test(`our client and the server of the package ws on Node${how}`, () =>
    checkProgram(runner("Node 24"), "./ws_server.mjs", { pings: true, drops: true, compresses }));
  test(`our client and the server of Bun${how}`, () =>
    checkProgram(runner("Bun"), "./bun_server.mjs", { pings: true, drops: true, compresses }));
  testWithPython(
    `our client and the server of Python's websockets${how}`,
    () => checkProgram([PYTHON], "./websockets_server.py", { pings: true, drops: true, compresses }),
  );
  for (const runtime of ["Deno", "Bun", "Node 24"]) {
    test(`our client in ${runtime} and our server here${how}`, async () => {
      const run = { style: "coroutine", compresses, args: [compresses ? "compresses" : "plain"] } as const;
      const { closes, pongs, ended } = await checkClient(runner(runtime), "./http_client.ts", ["done"], run);
      assertEquals([closes, pongs, ended], [["4321 bye für now", "4001 that is enough"], ["and-you"], 3]);
    });
  }
}

test("our client and the server of Deno, which does not compress", () =>
  checkProgram(runner("Deno"), "./deno_server.mjs", { pings: false, drops: false, compresses: false }));
