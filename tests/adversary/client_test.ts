// Servers that send too little or too much to our client. Each call has to end with the documented code, and memory has to stay
// bounded.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { ownLanes } from "../support/lanes.ts";
import { inThisRuntime, Program } from "../support/program.ts";
import { MISBEHAVIOURS } from "./client_floods.ts";
import { SLACK, within } from "./harness.ts";
import { type Host, hosting } from "./hosting.ts";

const MIB = 2 ** 20;

/**
 * The memory that all clients together may hold. Each may hold `package_max_length`, or `input_buffer_size` of messages; the
 * former twice, while it is assembled and when it is delivered. Two also hold data for servers that do not read; for one of them
 * that is a body of 64 MiB owned by the program.
 */
const BOUND = MISBEHAVIOURS.length * 2 * 2 * MIB + 64 * MIB + SLACK;

/** The result of a run. */
interface Outcome {
  told: Map<string, string>;
  grown: number;
  faults: string[];
}

/** Runs all servers of a lane at the same time. */
async function runAll(lane: string): Promise<Outcome> {
  const hosts = new Map<string, Host>();
  for (const { name, serve } of MISBEHAVIOURS) hosts.set(name, await hosting(false, serve));
  const warm = await hosting(false, async (guest) => {
    await guest.readHead();
    guest.send("HTTP/1.1 204 No Content\r\n\r\n");
  });
  const ports = Object.fromEntries([...hosts].map(([name, { port }]) => [name, port]));
  const file = new URL("./client_program.ts", import.meta.url);
  const program = new Program(inThisRuntime(file, JSON.stringify({ lane, ports, warm: warm.port })));
  const outcome: Outcome = { told: new Map(), grown: Infinity, faults: [] };
  try {
    while (outcome.grown === Infinity) {
      const line = await within(90_000, `the client is told the rest; ${[...outcome.told.keys()]}`, program.line());
      const { name, told, grown, fault } = JSON.parse(line);
      if (name !== undefined) outcome.told.set(name, told);
      else if (fault !== undefined) outcome.faults.push(fault);
      else outcome.grown = grown;
    }
  } catch (error) {
    outcome.faults.push((error as Error).message);
  } finally {
    await program.kill();
    for (const host of [warm, ...hosts.values()]) await host.close();
  }
  return outcome;
}

for (const [lane] of ownLanes) {
  let running: Promise<Outcome> | undefined;
  for (const { name, told } of MISBEHAVIOURS) {
    test(`a server that ${name} (${lane})`, { timeout: 120_000 }, async () => {
      assertEquals((await (running ??= runAll(lane))).told.get(name), told);
    });
  }

  test(`nothing goes unhandled in clients of servers that misbehave, and their memory is bounded (${lane})`, async () => {
    const { faults, grown } = await (running ??= runAll(lane));
    assertEquals(faults, []);
    assert(grown < BOUND, `the memory grew by ${(grown / MIB).toFixed(0)} MiB`);
  });
}
