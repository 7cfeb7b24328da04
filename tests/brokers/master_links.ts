/**
 * Servers of this process that take themselves for the master and the workers of one server, and the links between them.
 *
 * @module
 */

import type { Broker, ServerSettings, WebSocketServer } from "../../mod.ts";
import { Requests } from "../../src/cluster/requests.ts";
import { SLOTS } from "../../src/cluster/slots.ts";
import type { ServerCore } from "../../src/server/core.ts";
import { shareTopics, usePeers } from "../../src/server/own_process.ts";
import { FdSequence } from "../../src/transport/fd_sequence.ts";
import { type AnyServer, coreOfAny, joined, MemoryNet, Node } from "../cluster/stage.ts";
import { quietServer } from "../topics/stage.ts";

/** The links of such servers. */
export class MasterLinks {
  /** The server of the master, which accepts nothing. */
  readonly master: WebSocketServer;
  /** The processes, the master first. */
  readonly nodes: Node[] = [];
  /** What the master keeps messages in. */
  readonly broker: Broker | null;

  readonly #net: MemoryNet = new MemoryNet();
  readonly #bufferSize: number;

  /** @param broker What the master keeps messages in; `null` for nothing. */
  constructor(broker: Broker | null, settings: ServerSettings = {}) {
    this.broker = broker;
    this.#bufferSize = settings.worker_buffer_size ?? 8 * 1024 * 1024;
    this.master = quietServer({ ...settings, broker });
    this.add(this.master);
    coreOfAny(this.master).context.state = "running";
  }

  /** Makes a server one of the processes. */
  add(server: AnyServer): ServerCore {
    const slot = this.nodes.length;
    const node = new Node(slot, { bufferSize: this.#bufferSize });
    this.nodes.push(node);
    const core = coreOfAny(server);
    const { context } = core;
    context.fds = new FdSequence(slot, SLOTS);
    context.mesh = node.mesh;
    usePeers(context, node.mesh);
    shareTopics(context, node.mesh, new Requests(node.mesh));
    return core;
  }

  /** Joins all of them. */
  async join(): Promise<void> {
    await joined(this.#net, this.nodes);
  }

  /** Joins one more with all others. */
  async joinLate(server: WebSocketServer): Promise<void> {
    const others = this.nodes.map(({ mesh: { self: { slot } } }) => ({ slot, path: `//${slot}` }));
    this.add(server);
    const { mesh } = this.nodes.at(-1)!;
    await mesh.listen(this.#net, `//${mesh.self.slot}`);
    await mesh.join(this.#net, others);
  }

  /** Cuts the link of one of the workers. It is made again. */
  cut(index: number): void {
    this.nodes[index + 1].link(0).fail("cut by a test");
  }

  /** The master does nothing from now on. */
  freeze(): void {
    this.#net.freeze("//0");
  }

  /** It goes on. */
  thaw(): void {
    this.#net.thaw("//0");
  }

  /** Errors of ours, in any of the processes. */
  get faults(): unknown[] {
    return this.nodes.flatMap(({ faults }) => faults);
  }

  async close(): Promise<void> {
    this.thaw();
    await Promise.all(this.nodes.map(({ mesh }) => mesh.close()));
  }
}
