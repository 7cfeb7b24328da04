// Ten compressed messages in a row, of all kinds, with the clients of others, in all that can be agreed on. The server is in the
// runtime of this test, so that a run of all runtimes has every pairing once.

import { assertEquals } from "@std/assert";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { WebSocketServer } from "../../mod.ts";
import type { HttpServer } from "../../src/coroutine/mod.ts";
import { Program, runners } from "../support/program.ts";
import { answerOf, compressingServer, describe, VARIANTS } from "./compressed_servers.ts";
import { PYTHON, testWithPython } from "./python.ts";

/** Parameters may be told in any order. */
const sorted = (extension: string): string => extension.split("; ").sort().join("; ");

/**
 * Runs a client program against a server of each kind.
 *
 * @param command The program, which gets the addresses and prints what was agreed with each.
 * @param flags The flags of the ten messages that the client sends.
 * @param agrees Whether it offers compression.
 */
async function check(command: readonly string[], flags: readonly number[], agrees = true): Promise<void> {
  const servers: (HttpServer | WebSocketServer)[] = [];
  const reports: Promise<string>[] = [];
  for (const variant of VARIANTS) {
    reports.push(new Promise((resolve) => servers.push(compressingServer(variant, resolve))));
    await servers.at(-1)!.start();
  }
  const program = new Program([...command, ...servers.map(({ port }) => `ws://127.0.0.1:${port}/`)]);
  try {
    for (const [i, variant] of VARIANTS.entries()) {
      const title = describe(variant);
      const agreed = await program.line().catch((error) => Promise.reject(new Error(`${title}: ${error.message}`)));
      assertEquals([title, sorted(agreed)], [title, agrees ? sorted(answerOf(variant)) : ""]);
      assertEquals([title, await reports[i]], [title, flags.join(" ")]);
    }
    assertEquals(await program.exited, 0, program.errors);
  } finally {
    await program.kill();
    for (const server of servers) {
      server.shutdown();
      await server.finished;
    }
  }
}

const path = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const all = (flags: number): number[] => new Array(10).fill(flags);

/** How the messages come from each runtime's own client: Bun compresses what is long enough, Deno and Node nothing. */
const HABITS: Record<string, number[]> = { Deno: all(33), Bun: all(39).fill(33, 0, 4), Node: all(33) };

/** Of the versions of Node, one is enough where the server is in Node too: each has its turn. */
const isWanted = (name: string): boolean => {
  const inNode = !("Deno" in globalThis || "Bun" in globalThis);
  return !inNode || !name.startsWith("Node") || name === `Node ${process.versions.node.split(".")[0]}`;
};

for (const [name, ...command] of runners.filter(([name]) => isWanted(name))) {
  test(`ten messages and the WebSocket of ${name}${name === "Deno" ? ", which does not compress" : ""}`, () =>
    check([...command, path("./compressed_client.mjs"), "own"], HABITS[name.split(" ")[0]], name !== "Deno"));
}

const [, ...node] = runners.find(([name]) => name === "Node 24")!;
test("ten messages and the client of the package ws on Node", () =>
  check([...node, path("./compressed_client.mjs"), "ws"], all(39)));

for (const name of ["websockets", "aiohttp"] as const) {
  testWithPython(
    `ten messages and the client of Python's ${name}`,
    () => check([PYTHON, path("./compressed_client.py"), name], all(39)),
    name,
  );
}
