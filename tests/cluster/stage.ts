/**
 * Several processes of a server in one: meshes joined by pipes in memory, and what they say to each other.
 *
 * @module
 */

import type { Address, BytePipe, Listener, ListenOptions, Runtime } from "../../src/transport/runtime.ts";
import type { Link } from "../../src/cluster/link.ts";
import { Mesh, type MeshOptions } from "../../src/cluster/mesh.ts";
import { MESSAGE } from "../../src/cluster/wire.ts";
import { SLOTS } from "../../src/cluster/slots.ts";
import { coreOfCoroutineServer, HttpServer } from "../../src/coroutine/http_server.ts";
import type { ServerCore } from "../../src/server/core.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { usePeers } from "../../src/server/own_process.ts";
import { FdSequence } from "../../src/transport/fd_sequence.ts";
import type { Server, WebSocketServer } from "../../mod.ts";
import { noteActivity, settle, until } from "../support/activity.ts";
import { quietServer } from "../topics/stage.ts";

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
    const [up, down] = [this.#stream(hostname), this.#stream(hostname)];
    accept({ readable: up.readable, writable: down.writable, abort() {} });
    return Promise.resolve({ readable: down.readable, writable: up.writable, abort() {} });
  }

  /** Makes a stream that notes what passes through, so that `settle()` waits for it. */
  #stream(path: string): TransformStream<Uint8Array, Uint8Array> {
    return new TransformStream({
      transform: async (chunk, controller) => {
        await this.#frozen.get(path)?.over;
        noteActivity();
        controller.enqueue(chunk);
      },
    });
  }

  readonly #frozen: Map<string, { readonly over: Promise<void>; readonly end: () => void }> = new Map();

  /** Holds back what goes over the links that were made to an address, in both directions. */
  freeze(path: string): void {
    let end!: () => void;
    const over = new Promise<void>((resolve) => end = resolve);
    this.#frozen.set(path, { over, end });
  }

  /** Lets go what was held back. */
  thaw(path: string): void {
    this.#frozen.get(path)?.end();
    this.#frozen.delete(path);
  }
}

/** A mesh that remembers what has happened to it. */
export class Node {
  readonly mesh: Mesh;
  readonly warnings: string[] = [];
  readonly faults: unknown[] = [];
  /** Who has come and gone, by slot, and the messages. */
  readonly events: string[] = [];

  /** @param isListening Whether it remembers messages. */
  constructor(slot: number, options: Partial<MeshOptions> = {}, isListening = true) {
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
    });
    if (!isListening) return;
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

/** A server of either style. */
export type AnyServer = Server | HttpServer;

/** Returns the core of a server. */
export function coreOfAny(server: AnyServer): ServerCore {
  return server instanceof HttpServer ? coreOfCoroutineServer(server) : coreOf(server);
}

/** Lets a server use the connections of the processes of a mesh. */
export function usingMesh<S extends AnyServer>(server: S, { mesh }: Node): S {
  const { context } = coreOfAny(server);
  context.fds = new FdSequence(mesh.self.slot, SLOTS);
  usePeers(context, mesh);
  return server;
}

/**
 * Runs a test with servers that are joined, as if each were in a process of its own.
 *
 * @param servers The servers, or the number of quiet ones. The first has slot 1 and number 0.
 */
export async function clustered<S extends AnyServer = WebSocketServer>(
  servers: number | S[],
  test: (servers: S[], nodes: Node[]) => unknown,
  options: Partial<MeshOptions> = {},
): Promise<void> {
  const all = typeof servers === "number" ? Array.from({ length: servers }, () => quietServer() as AnyServer as S) : servers;
  const nodes = all.map((_, i) => new Node(i + 1, options));
  for (const [i, server] of all.entries()) usingMesh(server, nodes[i]);
  try {
    await joined(new MemoryNet(), nodes);
    await test(all, nodes);
    await settle();
    const wrong = nodes.flatMap(({ faults, warnings }) => [...faults, ...warnings]);
    if (wrong.length > 0) throw new Error(`Something went wrong between the processes: ${wrong}`);
  } finally {
    for (const [i, server] of all.entries()) {
      coreOfAny(server).context.table?.abortAll();
      if (server.shutdown(0)) await server.finished;
      await nodes[i].mesh.close();
    }
  }
}
