// Servers that disconnect from our client in every state of a conversation, over TCP and TLS. Each call has to end with the
// documented code.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { setRuntime } from "../../mod.ts";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { ownLanes } from "../support/lanes.ts";
import { SERVER_STATES, type ServerState } from "./client_states.ts";
import { within } from "./harness.ts";
import { hosting, type Leaving, LEAVINGS } from "./hosting.ts";

/** A time far longer than a client may take to notice, in milliseconds. */
const PATIENCE = 20_000;

/** The words for the ways to leave, used in titles. */
const WORDS: Record<Leaving, string> = { closes: "closes", resets: "resets", ends: "ends its side" };

/** Lets one server leave, and returns the outcome of the client. */
async function leave(state: ServerState, how: Leaving, ssl: boolean): Promise<string> {
  const host = await hosting(ssl, async (guest, leave) => {
    await state.serve(guest);
    leave(how);
  });
  const client = new HttpClient("127.0.0.1", host.port, ssl);
  client.set({ timeout: 60, ...(ssl ? { ssl_verify_peer: false } : {}) });
  try {
    return await within(PATIENCE, "the client is told", state.ask(client));
  } finally {
    client.close();
    await host.close();
  }
}

for (const [lane, runtime] of ownLanes) {
  let running: Promise<Map<string, Promise<string>>> | undefined;
  const titleOf = (state: ServerState, how: Leaving, ssl: boolean) =>
    `a server that ${WORDS[how]} ${state.name} (${lane}${ssl ? ", TLS" : ""})`;

  /** Runs all states at the same time. */
  const runAll = async () => {
    const outcomes = new Map<string, Promise<string>>();
    setRuntime(runtime);
    for (const ssl of [false, true]) {
      for (const state of SERVER_STATES) {
        for (const how of LEAVINGS) {
          const outcome = leave(state, how, ssl);
          outcome.catch(() => {}); // reported by its own test
          outcomes.set(titleOf(state, how, ssl), outcome);
        }
      }
    }
    await Promise.allSettled(outcomes.values());
    setRuntime(undefined);
    return outcomes;
  };

  for (const ssl of [false, true]) {
    for (const state of SERVER_STATES) {
      for (const how of LEAVINGS) {
        const title = titleOf(state, how, ssl);
        test(title, { timeout: 120_000 }, async () => {
          const { gone, reset = gone, truncated = gone } = state;
          const expected = how === "resets" ? reset : how === "closes" && ssl ? truncated : gone;
          assertEquals(await (await (running ??= runAll())).get(title), expected);
        });
      }
    }
  }
}
