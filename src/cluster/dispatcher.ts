/**
 * The choice of a worker for each connection that the master accepts.
 *
 * @module
 */

import type { SocketHandle } from "../transport/processes.ts";
import type { WorkerProcess } from "./worker_process.ts";

/** How connections are dispatched: in turn, by the address of the client, or to the worker that has the fewest. */
export type DispatchMode = "round" | "address" | "least";

/** A connection that waits for a worker. */
interface WaitingSocket {
  readonly port: number;
  readonly socket: SocketHandle;
  readonly address: string;
}

/** Passes connections to workers. */
export class Dispatcher {
  readonly #mode: DispatchMode;
  readonly #workers: number;
  readonly #limit: number;
  readonly #ready: () => readonly WorkerProcess[];
  readonly #waiting: WaitingSocket[] = [];
  #turn = 0;
  #isClosed = false;

  /**
   * @param workers The number of workers.
   * @param limit The number of connections that may wait while no worker runs.
   * @param ready Returns the workers that take connections, by their numbers.
   */
  constructor(mode: DispatchMode, workers: number, limit: number, ready: () => readonly WorkerProcess[]) {
    this.#mode = mode;
    this.#workers = workers;
    this.#limit = limit;
    this.#ready = ready;
  }

  /**
   * Passes a connection to a worker. If there is none, it waits.
   *
   * @param port The index of the port that has accepted it.
   * @param address The address of the client; empty if it has none.
   */
  async dispatch(port: number, socket: SocketHandle, address: string): Promise<void> {
    // The channel of a worker ends before the master is told that the worker has: until then, it is not asked twice.
    const unreached = new Set<WorkerProcess>();
    while (!await this.#pass(port, socket, address, unreached));
  }

  /** Passes a connection to a worker other than these, or keeps or drops it. Returns whether that is done. */
  async #pass(port: number, socket: SocketHandle, address: string, unreached: Set<WorkerProcess>): Promise<boolean> {
    const ready = this.#isClosed ? [] : this.#ready().filter((worker) => !unreached.has(worker));
    if (ready.length === 0) {
      if (this.#isClosed || this.#waiting.length >= this.#limit) socket.close();
      else this.#waiting.push({ port, socket, address });
      return true;
    }
    const worker = this.#choose(ready, address);
    const isPassed = await worker.pass(port, socket);
    if (isPassed) socket.close();
    else unreached.add(worker);
    return isPassed;
  }

  /** Called when a worker has become ready. */
  flush(): void {
    for (const { port, socket, address } of this.#waiting.splice(0)) this.dispatch(port, socket, address);
  }

  /** Drops what waits, and what comes. */
  close(): void {
    this.#isClosed = true;
    for (const { socket } of this.#waiting.splice(0)) socket.close();
  }

  #choose(ready: readonly WorkerProcess[], address: string): WorkerProcess {
    if (this.#mode === "address") {
      // The next one in place of a worker that does not run: clients of the others stay where they are.
      const wanted = hash(address) % this.#workers;
      return ready.find(({ id }) => id >= wanted) ?? ready[0];
    }
    if (this.#mode === "round") return ready[this.#turn++ % ready.length];
    // Of equals the one whose turn it is, so that a burst is spread.
    const first = this.#turn++ % ready.length;
    let best = ready[first];
    for (let step = 1; step < ready.length; step++) {
      const other = ready[(first + step) % ready.length];
      if (other.load < best.load) best = other;
    }
    return best;
  }
}

/** Returns a number for an address, the same in all versions (FNV-1a). */
function hash(address: string): number {
  let sum = 0x811c9dc5;
  for (let at = 0; at < address.length; at++) sum = Math.imul(sum ^ address.charCodeAt(at), 0x01000193) >>> 0;
  return sum;
}
