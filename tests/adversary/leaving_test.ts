// Peers that leave in every state of a conversation, over TCP, and in some states over TLS. The server has to notice soon: the
// socket is released, `close` is called once, the code working for the peer is notified, and nothing is left.

import { assertEquals } from "@std/assert";
import type net from "node:net";
import { test } from "node:test";
import { ownLanes } from "../support/lanes.ts";
import { RawClient } from "../support/raw_client.ts";
import { connectTls } from "../support/tls_client.ts";
import { becomes, Bystander, EVERYTHING, randomNumbers, socketsOf, Victim, within } from "./harness.ts";
import { relaying } from "./hosting.ts";
import type { ServerName } from "./options.ts";
import { PEER, type State, STATES } from "./states.ts";

/** The ways a peer may leave. Over TLS it closes without a close_notify. `socket` is the other end of the server's socket. */
const WAYS: Record<string, (client: RawClient, socket: net.Socket) => void> = {
  closes: (_client, socket) => void socket.destroy(),
  resets: (_client, socket) => void socket.resetAndDestroy(),
  // For the server the same as closing: a client that ends its side has left.
  "ends its side": (client) => {
    client.socket.resume();
    client.end();
  },
};

interface Peer {
  client: RawClient;
  /** The other end of the server's socket. */
  socket: net.Socket;
  /** The local port of `socket`, which identifies the peer to the server. */
  port: number;
  close(): Promise<void>;
}

async function connect(port: number, tls: boolean): Promise<Peer> {
  if (!tls) {
    const client = await RawClient.connect(port);
    const close = () => Promise.resolve(client.destroy());
    return { client, socket: client.socket, port: client.socket.localPort!, close };
  }
  let socket: net.Socket | undefined;
  const relay = await relaying(port, (_front, back) => void (socket = back));
  const client = await connectTls(relay.port);
  const close = async () => {
    client.destroy();
    await relay.close();
  };
  return { client, socket: socket!, port: socket!.localPort!, close };
}

/** The time limit for the server to notice, in milliseconds, with room for a busy machine. */
const PATIENCE = 30_000;

async function walk(
  victim: Victim,
  state: State,
  { client, port }: Peer,
): Promise<void> {
  for (const step of state.steps) {
    if ("send" in step) {
      const { send } = step;
      client.send(
        typeof send === "string" ? send.replace(PEER, String(port)) : send,
      );
    } else if ("seen" in step) {
      // A coroutine server does not report connections.
      await victim.seen(step.seen, port);
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

/** The number of peers per local port, because one port can be used to connect to several servers. */
const sharing = new Map<number, number>();

/** Lets one peer leave, and returns the problems found afterwards. */
async function leave(
  victim: Victim,
  state: State,
  way: (client: RawClient, socket: net.Socket) => void,
  tls: boolean,
): Promise<string[]> {
  const port = victim.ports[state.server];
  const guest = await connect(port, tls);
  const peer = guest.port;
  sharing.set(peer, (sharing.get(peer) ?? 0) + 1);
  await walk(victim, state, guest);
  way(guest.client, guest.socket);
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
    if (times < 1 || times > sharing.get(peer)!) wrong.push(`"${event}" was told ${times} times`);
  }
  await guest.close();
  return wrong;
}

const random = randomNumbers();
/** The servers that use TLS, in the runs with TLS. */
const SECURE: readonly ServerName[] = ["event", "coroutine"];
const OVER_TLS = STATES.filter(({ server }) => SECURE.includes(server) && (EVERYTHING || random() < 0.5));

for (const [lane] of ownLanes) {
  for (const tls of [false, true]) {
    const states = tls ? OVER_TLS : STATES;
    const where = tls ? `${lane}, TLS` : lane;
    let running:
      | Promise<{ outcomes: Map<string, Promise<string[]>>; left: string[] }>
      | undefined;

    /** Runs all states at the same time, in addition to a bystander. */
    const runAll = async () => {
      const victim = await Victim.start({
        lane,
        tls,
        // http_body_timeout is the time until the server notices in one of the states.
        settings: { websocket_compression: true, http_body_timeout: 3 },
      });
      const bystander = new Bystander(victim.ports.event, tls);
      const outcomes = new Map<string, Promise<string[]>>();
      for (const state of states) {
        for (const [name, way] of Object.entries(WAYS)) {
          const outcome = leave(victim, state, way, tls);
          outcome.catch(() => {}); // reported by its own test
          outcomes.set(`${name} ${state.name}`, outcome);
        }
      }
      await Promise.allSettled(outcomes.values());
      const left: string[] = [];
      await bystander.stop().catch((error) => left.push(error.message));
      await becomes(
        10_000,
        async () => (await victim.figures()).connections > 0 ? "some are left" : undefined,
      );
      const { connections, files, faults } = await victim.figures();
      left.push(...faults);
      if (connections > 0) left.push(`${connections} connections`);
      if (files > 1) left.push(`${files - 1} temporary files`);
      await victim.stop();
      return { outcomes, left };
    };

    for (const state of states) {
      for (const name of Object.keys(WAYS)) {
        test(`a peer that ${name} ${state.name} (${where})`, { timeout: 120_000 }, async () => {
          const { outcomes } = await (running ??= runAll());
          assertEquals(await outcomes.get(`${name} ${state.name}`), []);
        });
      }
    }

    test(`nothing is left of peers that have gone (${where})`, { timeout: 120_000 }, async () => {
      assertEquals((await (running ??= runAll())).left, []);
    });
  }
}
