// Peers that leave in every state of a conversation. The server notices soon, in all of them: the socket is gone, `close` was called
// once, who worked for the peer was told, and nothing is left.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { ownLanes } from "../support/lanes.ts";
import { RawClient } from "../support/raw_client.ts";
import { becomes, Bystander, socketsOf, Victim, within } from "./harness.ts";
import { PEER, type State, STATES } from "./states.ts";

/** How a peer may leave. */
const WAYS: Record<string, (client: RawClient) => void> = {
  closes: (client) => client.destroy(),
  resets: (client) => void client.socket.resetAndDestroy(),
  // As one that closes, for the server: a client that ends its side has gone.
  "ends its side": (client) => {
    client.socket.resume();
    client.end();
  },
};

/** How long the server may take to notice, in milliseconds: a bound with room for a machine that is busy with other things. */
const PATIENCE = 30_000;

async function walk(
  victim: Victim,
  state: State,
  client: RawClient,
): Promise<void> {
  for (const step of state.steps) {
    if ("send" in step) {
      const { send } = step;
      client.send(
        typeof send === "string" ? send.replace(PEER, String(client.socket.localPort)) : send,
      );
    } else if ("seen" in step) {
      // A coroutine server tells nothing of connections.
      await victim.seen(step.seen, client);
    } else if ("pause" in step) client.socket.pause();
    else {
      const read = {
        head: () => client.readHead(),
        response: () => client.readAnswer(),
        frame: () => client.readFrame(),
      };
      await within<unknown>(
        20_000,
        `the ${step.read} is read`,
        read[step.read](),
      );
    }
  }
}

/** One peer leaves. Gives what is wrong afterwards. */
async function leave(
  victim: Victim,
  state: State,
  way: (client: RawClient) => void,
): Promise<string[]> {
  const port = victim.ports[state.server];
  const client = await RawClient.connect(port);
  const peer = client.socket.localPort!;
  await walk(victim, state, client);
  way(client);
  const wrong: string[] = [];
  const kept = await becomes(
    PATIENCE,
    () => Promise.resolve(socketsOf(port).get(peer)),
  );
  if (kept !== undefined) wrong.push(`the server's socket is ${kept}`);
  for (
    const event of [
      ...(state.server === "coroutine" ? [] : ["close"]),
      ...(state.told ?? []),
    ]
  ) {
    await becomes(
      kept === undefined ? PATIENCE : 0,
      () => Promise.resolve(victim.count(event, peer) > 0 ? undefined : "not yet"),
    );
    const times = victim.count(event, peer);
    if (times !== 1) wrong.push(`"${event}" was told ${times} times`);
  }
  client.destroy();
  return wrong;
}

for (const [lane] of ownLanes) {
  let running:
    | Promise<{ outcomes: Map<string, Promise<string[]>>; left: string[] }>
    | undefined;

  /** All of them at once, with somebody else beside them. */
  const runAll = async () => {
    const victim = await Victim.start({
      lane,
      settings: { websocket_compression: true },
    });
    const bystander = new Bystander(victim.ports.event);
    const outcomes = new Map<string, Promise<string[]>>();
    for (const state of STATES) {
      for (const [name, way] of Object.entries(WAYS)) {
        const outcome = leave(victim, state, way);
        outcome.catch(() => {}); // its own test tells
        outcomes.set(`${name} ${state.name}`, outcome);
      }
    }
    await Promise.allSettled(outcomes.values());
    const left: string[] = [];
    await bystander.stop().catch((error) => left.push(error.message));
    await becomes(
      2000,
      async () => (await victim.figures()).connections > 0 ? "some are left" : undefined,
    );
    const { connections, files, faults } = await victim.figures();
    left.push(...faults);
    if (connections > 0) left.push(`${connections} connections`);
    if (files > 1) left.push(`${files - 1} temporary files`);
    await victim.stop();
    return { outcomes, left };
  };

  for (const state of STATES) {
    for (const name of Object.keys(WAYS)) {
      test(`a peer that ${name} ${state.name} (${lane})`, async () => {
        const { outcomes } = await (running ??= runAll());
        assertEquals(await outcomes.get(`${name} ${state.name}`), []);
      });
    }
  }

  test(`nothing is left of peers that have gone (${lane})`, async () => {
    assertEquals((await (running ??= runAll())).left, []);
  });
}
