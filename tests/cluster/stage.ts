/**
 * Several processes of a server in one: meshes joined by pipes in memory, and what they say to each other.
 *
 * @module
 */

import type { Address, BytePipe, Listener, ListenOptions, Runtime } from "../../src/transport/runtime.ts";
import type { Link } from "../../src/cluster/link.ts";
import { Mesh, type MeshOptions } from "../../src/cluster/mesh.ts";
import { MESSAGE } from "../../src/cluster/wire.ts";
import { until } from "../support/activity.ts";
import { memoryPipes } from "../support/memory_pipe.ts";

/** The token of all tests. */
export const TOKEN = "a secret of 32 characters, or so.";

/** A network in memory, whose addresses are paths. */
export class MemoryNet implements Pick<Runtime, "connect" | "listen"> {
  readonly #listeners: Map<string, (pipe: BytePipe) => void> = new Map();

  listen({ hostname }: ListenOptions, accept: (pipe: BytePipe) => void): Promise<Listener> {
    this.#listeners.set(hostname, accept);
    const address: Address = { transport: "unix", hostname, port: 0 };
    return Promise.resolve({ address, close: () => void this.#listeners.delete(hostname) });
  }

  connect({ hostname }: { hostname: string }): Promise<BytePipe> {
    const accept = this.#listeners.get(hostname);
    if (accept === undefined) return Promise.reject(Object.assign(new Error("Nobody listens"), { code: "ECONNREFUSED" }));
    const [server, client] = memoryPipes();
    accept(server);
    return Promise.resolve(client);
  }
}

/** A mesh that remembers what has happened to it. */
export class Node {
  readonly mesh: Mesh;
  readonly warnings: string[] = [];
  readonly faults: unknown[] = [];
  /** Who has come and gone, by slot, and the messages. */
  readonly events: string[] = [];

  constructor(slot: number, options: Partial<MeshOptions> = {}) {
    const { events } = this;
    this.mesh = new Mesh({
      self: { slot, id: slot - 1, pid: 1000 + slot },
      token: TOKEN,
      bufferSize: 1024 * 1024,
      warn: (message) => void this.warnings.push(message),
      fault: (error) => void this.faults.push(error),
      ...options,
    });
    this.mesh.watch({
      onJoined: ({ peer }) => void events.push(`+${peer!.slot}`),
      onLeft: ({ peer }) => void events.push(`-${peer!.slot}`),
      onSilent: ({ peer }) => void events.push(`silent ${peer!.slot}`),
      onFull: ({ peer }) => void events.push(`full ${peer!.slot}`),
      onRoom: ({ peer }) => void events.push(`room ${peer!.slot}`),
    });
    this.mesh.handle(MESSAGE, ({ peer }, bytes, start, end) => {
      events.push(`${peer!.slot}: ${new TextDecoder().decode(bytes.slice(start, end))}`);
    });
  }

  link(slot: number): Link {
    return this.mesh.linkOf(slot)!;
  }

  /** Sends a message. Returns whether it was taken. */
  say(slot: number, text: string): boolean {
    return this.link(slot).send(MESSAGE, new TextEncoder().encode(text));
  }

  /** Waits until something has happened. */
  until(event: string): Promise<void> {
    return until(`${event} at ${this.mesh.self.slot}, where there is ${this.events}`, () => this.events.includes(event));
  }
}

/** Joins meshes with each other, each to those before it. */
export async function joined(net: Pick<Runtime, "connect" | "listen">, nodes: readonly Node[], folder = "/"): Promise<void> {
  const places = nodes.map(({ mesh: { self: { slot } } }) => ({ slot, path: `${folder}/${slot}` }));
  for (const [i, { mesh }] of nodes.entries()) {
    await mesh.listen(net, places[i].path);
    await mesh.join(net, places.slice(0, i));
  }
}

/** Runs a test with so many meshes that are joined. */
export async function meshed(
  count: number,
  test: (nodes: Node[], net: MemoryNet) => Promise<void>,
  options: Partial<MeshOptions> = {},
): Promise<void> {
  const net = new MemoryNet();
  const nodes = Array.from({ length: count }, (_, i) => new Node(i, options));
  try {
    await joined(net, nodes);
    await test(nodes, net);
  } finally {
    await Promise.all(nodes.map(({ mesh }) => mesh.close()));
  }
}
