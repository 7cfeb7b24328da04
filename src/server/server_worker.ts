/**
 * A server in one of its workers.
 *
 * @module
 */

import type { Mesh } from "../cluster/mesh.ts";
import { EXIT_STATUS, readRole, type WorkerRole } from "../cluster/messages.ts";
import type { FdBlock } from "../cluster/slots.ts";
import { type WorkerHost, WorkerLife } from "../cluster/worker.ts";
import type { SocketHandle, WorkerIdentity } from "../transport/processes.ts";
import { dropPipe } from "../transport/pipes.ts";
import type { Listener } from "../transport/runtime.ts";
import { serveRenewing } from "./renewal.ts";
import { Retirement } from "./retirement.ts";
import { addFds, makeFds, makeMesh, meshPath, type ProcessesHost, type ServerProcesses } from "./server_processes.ts";

/** How often a worker that leaves calls `workerExit`, in milliseconds. */
const EXIT_INTERVAL = 1000;

/** How often a worker looks whether its link to the master is made again, in milliseconds. */
const MASTER_INTERVAL = 100;

/** How long a task worker waits for a process whose event loop may be blocked, before it takes no more tasks, in milliseconds. */
const LEAVE_TIMEOUT = 2000;

/** How often a worker whose channel has ended looks whether its master still listens. */
const MASTER_ATTEMPTS = 4;

/** How long a worker waits until it asks again to be replaced, in milliseconds. */
const ASK_AGAIN = 10_000;

/** A worker. */
export class ServerWorker implements ServerProcesses, WorkerHost {
  readonly isWorker = true;
  readonly wasCutOff = false;
  readonly lastFd = 0;
  readonly isTaskWorker: boolean;
  readonly workers: number;
  pids: readonly number[] = [];
  isLeaving = false;

  readonly #host: ProcessesHost;
  readonly #role: WorkerRole;
  readonly #life: WorkerLife;
  #mesh: Mesh | undefined = undefined;
  #ports: readonly number[] = [];
  #listening: Promise<readonly number[]> | undefined = undefined; // once it has begun
  #retirement: Retirement | undefined = undefined;
  #exitTimer: ReturnType<typeof setInterval> | undefined = undefined;
  #isClosed = false;
  #signals = 0;
  #maxRequest: number;
  #askedAt = -Infinity;

  /** @throws {Error} If the master runs another version. */
  constructor(host: ProcessesHost, identity: WorkerIdentity, workers: number) {
    this.#host = host;
    this.#role = readRole(identity.role);
    this.workers = workers;
    host.context.member = { slot: this.#role.slot, id: this.#role.id, pid: host.context.runtime!.pid };
    this.#life = new WorkerLife(identity.parent, this);
    this.isTaskWorker = this.#role.id >= workers;
    const { max_request, max_request_grace, task_max_request, task_max_request_grace } = host.context.settings;
    const [most, grace] = this.isTaskWorker ? [task_max_request, task_max_request_grace] : [max_request, max_request_grace];
    this.#maxRequest = most === 0 ? Infinity : most + Math.floor(Math.random() * (grace + 1));
    host.context.fds = makeFds(() => this.#life.send({ type: "fds" }));
  }

  get id(): number {
    return this.#role.id;
  }

  get masterPid(): number {
    return this.#role.master;
  }

  async start(): Promise<readonly number[]> {
    const { slot, token, folder } = this.#role;
    const mesh = this.#mesh = makeMesh(this.#host, token, this.workers);
    serveRenewing(this.#host);
    mesh.pidOf = (id) => this.pids[id];
    mesh.watch({ onLeft: ({ peer }) => peer?.slot === 0 && this.#onMasterLost(mesh) });
    if (this.isTaskWorker) this.#host.context.tasks!.queue.onDone = () => this.onTick();
    await mesh.listen(this.#host.context.runtime!, meshPath(folder, slot));
    await this.#life.start(this.#host.ports.length);
    return this.#ports;
  }

  /**
   * Called when the link to the master has ended. If it is not made again, the master has ended: in Deno, the end of the channel
   * may be known later.
   */
  #onMasterLost(mesh: Mesh): void {
    const timer = setInterval(() => {
      if (mesh.linkOf(0) === undefined && mesh.isJoining(0)) return; // it is tried
      clearInterval(timer);
      if (mesh.linkOf(0) === undefined && !this.#isClosed) this.#life.orphan();
    }, MASTER_INTERVAL);
  }

  reload(onlyTasks: boolean): boolean {
    this.#life.send({ type: "reload", onlyTasks });
    return true;
  }

  stopWorker(id: number): boolean {
    if (id < 0 || id >= this.workers + this.#host.context.settings.task_worker_num) return false;
    this.#life.send({ type: "stop", id });
    return true;
  }

  askForShutdown(wait: number, tell: number): boolean {
    this.#life.askForShutdown(wait, tell);
    return true;
  }

  /** SIGINT of a terminal reaches all processes; the master decides. SIGTERM replaces the worker; a second one ends it at once. */
  takeSignal(name: string): boolean {
    if (name !== "SIGTERM") return true;
    if (++this.#signals === 1) this.stopWorker(this.id);
    else this.exit(EXIT_STATUS.killed);
    return true;
  }

  onTick(): void {
    if (this.#maxRequest === Infinity || this.isLeaving) return;
    const { counters, state, tasks } = this.#host.context;
    const count = this.isTaskWorker ? tasks!.queue.doneCount : counters.requestCount;
    const now = performance.now();
    if (state !== "running" || count < this.#maxRequest || now - this.#askedAt < ASK_AGAIN) return;
    this.#askedAt = now;
    this.#life.send({ type: "retire" });
  }

  stop(): void {
    this.#retirement?.cancel();
    this.#life.cancel(new Error("Cannot start the server: it was shut down meanwhile"));
    this.#callWorkerExit();
  }

  whenStopped(): Promise<void> {
    return Promise.resolve();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#exitTimer);
    this.#host.context.workerStats?.tell(true); // the others keep what this process has counted
    await this.#mesh?.close();
  }

  leave(error?: unknown): void {
    if (error !== undefined) this.#life.fail(error);
    else setTimeout(() => this.#life.leave(this.#host.wasCutOff), 0); // what waits for `finished` runs before
  }

  /** Calls `workerExit` as long as there is work. */
  #callWorkerExit(): void {
    if (this.#exitTimer !== undefined) return;
    const call = () => {
      const { context, hasTimers } = this.#host;
      const isBusy = hasTimers || (context.table?.count ?? 0) > 0 || context.running.count > 0;
      if (isBusy) context.emit("workerexit", this.id);
    };
    this.#exitTimer = setInterval(call, EXIT_INTERVAL);
    call();
  }

  // ---- WorkerHost ---------------------------------------------------------------------------------------------------

  async prepare(fds: FdBlock, peers: readonly number[], ports: readonly number[]): Promise<void> {
    const { context } = this.#host;
    const { folder } = this.#role;
    this.addFds(fds);
    await this.#mesh!.join(context.runtime!, peers.map((slot) => ({ slot, path: meshPath(folder, slot) })));
    this.#host.checkStarting();
    this.#host.onPorts(ports);
    const failure = await context.tryCall("workerstart", this.id);
    this.#host.checkStarting();
    if (failure !== undefined) { // it lacks what it needs to serve
      const { error } = failure;
      const message = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot start the server: the workerStart handler of worker ${this.id} has failed: ${message}`);
    }
    if (this.isTaskWorker) context.tasks!.queue.open();
  }

  listen(
    numbers: readonly number[],
    passed: readonly boolean[],
    sockets: ReadonlyMap<number, SocketHandle>,
  ): Promise<readonly number[]> {
    return this.#listening = this.#listen(numbers, passed, sockets);
  }

  async acceptsNothing(): Promise<boolean> {
    if (this.isLeaving || this.#listening === undefined) return true;
    return await this.#listening.then(() => this.isLeaving, () => true);
  }

  async #listen(
    numbers: readonly number[],
    passed: readonly boolean[],
    sockets: ReadonlyMap<number, SocketHandle>,
  ): Promise<readonly number[]> {
    const { ports } = this.#host;
    if (this.isTaskWorker) { // it has no connections
      for (const [index, port] of ports.entries()) port.boundPort = numbers[index];
      return this.#ports = numbers;
    }
    for (const [index, port] of ports.entries()) {
      port.place = { ...port.place!, port: numbers[index] };
      await this.#host.listenOn(port, passed[index] ? { kind: "passed" } : { kind: "transferable", handle: sockets.get(index) });
      if (passed[index]) port.boundPort = numbers[index];
    }
    return this.#ports = ports.map(({ boundPort }) => boundPort);
  }

  get sockets(): ReadonlyMap<number, SocketHandle> {
    const sockets = new Map<number, SocketHandle>();
    for (const { index, listener } of this.#host.ports) {
      const { handle } = listener as Listener | undefined ?? {};
      if (handle !== undefined) sockets.set(index, handle);
    }
    return sockets;
  }

  take(index: number, socket: SocketHandle): void {
    const listener = this.#host.ports[index]?.listener as Listener | undefined;
    if (listener?.take === undefined) socket.close();
    else listener.take(socket);
  }

  addFds(fds: FdBlock): void {
    addFds(this.#host.context.fds!, this.#role.slot, fds);
  }

  get connections(): number {
    return this.#host.context.table?.count ?? 0;
  }

  onWorkers(pids: readonly number[]): void {
    this.pids = pids;
  }

  onGone(slot: number): void {
    this.#mesh?.forget(slot);
  }

  retire(wait: number, drain: number): void {
    const host = this.#host;
    const { context } = host;
    if (context.state !== "running") return;
    this.isLeaving = true;
    if (this.isTaskWorker) return void this.#leaveTasks(Math.max(wait, host.patience)); // it has no connections
    this.#callWorkerExit();
    for (const { listener } of host.ports) release(listener as Listener);
    this.#retirement = new Retirement(context.table!, host.patience, () => host.stopHere(host.patience));
    this.#retirement.begin(wait, drain);
  }

  shutdown(wait: number, tell: number): void {
    const isFirst = this.isTaskWorker && !this.isLeaving && this.#host.context.state === "running";
    this.isLeaving ||= isFirst;
    if (isFirst && wait > 0) this.#leaveTasks(wait);
    else this.#host.stopHere(wait, tell);
  }

  /** Stops a task worker when all know that it takes no more tasks, so that none gets lost on its way. */
  async #leaveTasks(wait: number): Promise<void> {
    await this.#host.context.tasks!.queue.leave(Math.min(wait * 1000, LEAVE_TIMEOUT));
    this.#host.stopHere(wait);
  }

  async cleanUp(): Promise<void> {
    const { folder } = this.#role;
    const runtime = this.#host.context.runtime!;
    const { signal } = new AbortController();
    const place = { transport: "unix", hostname: meshPath(folder, 0), port: 0, noDelay: false, signal } as const;
    try {
      // The system closes one socket of a process that has ended after the other. A master that still listens after some time
      // has not ended: the program has closed the channel of the worker.
      for (let attempt = 0; attempt < MASTER_ATTEMPTS; attempt++) {
        dropPipe(await runtime.connect(place));
        await new Promise((resolve) => setTimeout(resolve, MASTER_INTERVAL));
      }
    } catch {
      await runtime.processes!.removeFolder(folder);
    }
  }

  exit(status: number): void {
    this.#host.context.runtime!.signals?.exit(status);
  }
}

/** Stops accepting. Connections that are still shaking hands are served once they have done so. */
function release(listener: Listener): void {
  void (listener.release?.() ?? listener.close());
}
