/**
 * A server in its first process, the master of its workers.
 *
 * @module
 */

import { Dispatcher, type DispatchMode } from "../cluster/dispatcher.ts";
import { Master } from "../cluster/master.ts";
import type { Mesh } from "../cluster/mesh.ts";
import { SLOTS } from "../cluster/slots.ts";
import type { ProcessControl, ProcessExit } from "../transport/processes.ts";
import { acceptFor, checkFree } from "./listening.ts";
import type { PortCore } from "./port_core.ts";
import { ipOf } from "./refusals.ts";
import { StatusInfo } from "./server_event.ts";
import {
  addFds,
  claimWorkers,
  makeFds,
  makeMesh,
  meshPath,
  type ProcessesHost,
  type ServerProcesses,
} from "./server_processes.ts";

/** How connections are dispatched, by the number of `dispatch_mode`; 2 leaves it to the system. */
const MODES: Readonly<Record<number, DispatchMode>> = { 1: "round", 3: "least", 4: "address", 7: "least", 8: "least" };

/** The master. */
export class ServerMaster implements ServerProcesses {
  readonly isWorker = false;
  readonly isTaskWorker = false;
  readonly id = -1;
  readonly isLeaving = false;
  readonly acceptsNothing = (): Promise<boolean> => Promise.resolve(true);
  readonly workers: number;

  readonly #host: ProcessesHost;
  readonly #control: ProcessControl;
  readonly #dispatcher: Dispatcher;
  readonly #accepting: { close(): void }[] = [];
  #folder = "";
  #mesh: Mesh | undefined = undefined;
  #master: Master | undefined = undefined;
  #stopped: Promise<void> = Promise.resolve();
  #numbers: readonly number[] = [];

  /** @throws {Error} If another server of the program has workers. */
  constructor(host: ProcessesHost, workers: number) {
    this.#host = host;
    this.workers = workers;
    this.#control = host.context.runtime!.processes!;
    claimWorkers(this.#control, host);
    host.context.member = { slot: 0, id: -1, pid: this.masterPid };
    const { backlog, dispatch_mode } = host.context.settings;
    this.#dispatcher = new Dispatcher(MODES[dispatch_mode] ?? "round", workers, backlog, () => this.#master?.ready ?? []);
    host.context.fds = makeFds(() => addFds(host.context.fds!, 0, this.#master!.ownFds()));
  }

  get masterPid(): number {
    return this.#host.context.runtime!.pid;
  }

  get pids(): readonly number[] {
    return this.#master?.pids ?? [];
  }

  get wasCutOff(): boolean {
    return this.#master?.wasCutOff ?? false;
  }

  get lastFd(): number {
    return Math.max(this.#host.lastFd ?? 0, (this.#master?.lastSeq ?? 0) * SLOTS);
  }

  async start(): Promise<readonly number[]> {
    const host = this.#host;
    const { context, ports } = host;
    const { settings } = context;
    for (const { place, isUdp } of ports) {
      if (!isUdp) continue;
      throw new Error(`Cannot start the server: ${place!.hostname}:${place!.port} is a UDP port, which needs worker_num: 1`);
    }
    const token = crypto.randomUUID();
    this.#folder = await this.#control.makeFolder();
    const mesh = this.#mesh = makeMesh(host, token, this.workers);
    mesh.pidOf = (id) => this.pids[id];
    await mesh.listen(context.runtime!, meshPath(this.#folder, 0));
    host.checkStarting();
    const passed = ports.map((port) => this.#isPassed(port));
    const numbers: number[] = [];
    for (const port of ports) numbers.push(await this.#bind(port, passed[port.index]));
    const { worker_exec_argv } = settings;
    const master = this.#master = new Master(this.#control, {
      workers: this.workers,
      taskWorkers: settings.task_worker_num,
      execArgv: worker_exec_argv === "inherit" ? undefined : worker_exec_argv,
      token,
      folder: this.#folder,
      masterPid: this.masterPid,
      firstSeq: Math.max(settings.start_session_id, Math.ceil((host.lastFd ?? 0) / SLOTS)) + 1,
      ports: numbers,
      passed,
      startTimeout: settings.worker_start_timeout,
      waitTime: host.patience,
      stayTime: settings.reload_async ? host.patience : 0,
      drainTime: settings.reload_drain_time,
      closeTimeout: settings.websocket_close_timeout || Infinity,
    }, {
      warn: (text) => context.log.warn(text),
      onWorkerError: (id, pid, exit) => this.#onWorkerError(id, pid, exit),
      onExit: (slot, pid) => context.workerStats?.exited(slot, pid),
      onReload: (event) => context.call(event),
      onReady: () => this.#dispatcher.flush(),
      onGivenUp: (error) => this.#onGivenUp(error),
      onShutdown: (wait, tell) => void host.shutdown(wait, tell),
    });
    context.census = master.census;
    addFds(context.fds!, 0, master.ownFds());
    host.checkStarting();
    this.#numbers = await master.start();
    host.checkStarting();
    for (const port of ports) port.boundPort = this.#numbers[port.index];
    return this.#numbers;
  }

  /** Reports whether the master accepts the connections of a port. */
  #isPassed({ place }: PortCore): boolean {
    return place!.transport === "unix" || !this.#control.sharesPorts || this.#host.context.settings.dispatch_mode in MODES;
  }

  /** Begins to accept the connections of a port, or finds out whether workers can. Returns its number, if that is known. */
  async #bind(port: PortCore, isPassed: boolean): Promise<number> {
    const { context } = this.#host;
    const runtime = context.runtime!;
    if (!isPassed) {
      await checkFree(runtime, port);
      this.#host.checkStarting();
      return port.place!.port;
    }
    const accepting = await acceptFor(runtime, port, (socket, address) => {
      this.#dispatcher.dispatch(port.index, socket, ipOf(address));
    }, (error) => context.fault(error));
    this.#accepting.push(accepting);
    this.#host.checkStarting();
    return accepting.address.port;
  }

  #onWorkerError(id: number, pid: number, { code, signal }: ProcessExit): void {
    const { context } = this.#host;
    if (context.settings.event_object) context.emit("workererror", new StatusInfo(id, pid, code, signal));
    else context.emit("workererror", id, pid, code, signal);
  }

  #onGivenUp(error: Error): void {
    const { context } = this.#host;
    context.fault(error);
    context.runtime!.signals?.failWith(1);
    this.#host.shutdown(this.#host.patience);
  }

  reload(onlyTasks: boolean): boolean {
    return this.#master?.reload(onlyTasks) ?? false;
  }

  stopWorker(id: number): boolean {
    return this.#master?.stop(id) ?? false;
  }

  askForShutdown(): boolean {
    return false;
  }

  takeSignal(): boolean {
    return false;
  }

  onTick(): void {}

  #stopAccepting(): void {
    for (const accepting of this.#accepting.splice(0)) accepting.close();
    this.#dispatcher.close();
  }

  stop(wait: number, tell: number): void {
    this.#stopAccepting();
    if (this.#master !== undefined) this.#stopped = this.#master.shutdown(wait, tell);
  }

  async whenStopped(): Promise<void> {
    await this.#stopped;
  }

  async close(): Promise<void> {
    this.#stopAccepting();
    await this.#mesh?.close();
    if (this.#folder !== "") await this.#control.removeFolder(this.#folder);
  }

  leave(): void {}
}
