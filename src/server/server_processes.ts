/**
 * The processes of a server with several workers: what its master and its workers have in common.
 *
 * @module
 */

import { SWOOLE_PROCESS } from "../constants.ts";
import { Mesh } from "../cluster/mesh.ts";
import { Requests } from "../cluster/requests.ts";
import { FdSequence } from "../transport/fd_sequence.ts";
import { type FdBlock, SLOTS } from "../cluster/slots.ts";
import type { ProcessControl, SharedListening } from "../transport/processes.ts";
import type { Runtime } from "../transport/runtime.ts";
import { shareTopics, usePeers } from "./own_process.ts";
import type { Metrics } from "./all_processes.ts";
import { ownMetrics } from "./metrics.ts";
import { ownStats, type ServerStats } from "./stats.ts";
import { surveyOf } from "./survey.ts";
import { Tasks } from "./tasks.ts";
import { useMessages } from "./worker_messages.ts";
import { WorkerHealth } from "./worker_health.ts";
import { WorkerStats } from "./worker_stats.ts";
import type { PortCore } from "./port_core.ts";
import type { ServerContext } from "./server_context.ts";
import { automaticWorkers, checkSum } from "./settings/worker_settings.ts";

/** What a master or a worker needs of its server. */
export interface ProcessesHost {
  /** What everything in the server shares. */
  readonly context: ServerContext;
  /** All ports, the server's own first. */
  readonly ports: readonly PortCore[];
  /** `SWOOLE_BASE` or `SWOOLE_PROCESS`. */
  readonly mode: number;
  /** The number of the last connection of an earlier start, if there was one. */
  readonly lastFd: number | undefined;
  /** Whether the program still has timers of the server. */
  readonly hasTimers: boolean;
  /** Listens on a port. */
  listenOn(port: PortCore, shared?: SharedListening): Promise<void>;
  /** Reads the certificates of this process again. */
  renewHere(): Promise<void>;
  /** Throws if the server was shut down while it starts. */
  checkStarting(): void;
  /** Called when the numbers of the ports are known; 0 for one that is not. */
  onPorts(ports: readonly number[]): void;
  /** See `ServerCore.shutdown()`. */
  shutdown(wait: number, tell?: number): boolean;
  /** The same for this process only. */
  stopHere(wait: number, tell?: number): boolean;
  /** Whether something was cut off when the server stopped. */
  readonly wasCutOff: boolean;
  /** The time limit of a shutdown. */
  readonly patience: number;
}

/** A server in one of its processes: the master, or a worker. */
export interface ServerProcesses {
  /** Whether this is a worker. */
  readonly isWorker: boolean;
  /** The number of the worker; -1 in the master. */
  readonly id: number;
  /** The process ID of the master. */
  readonly masterPid: number;
  /** The process IDs of the workers by their numbers; 0 for one that does not run. */
  readonly pids: readonly number[];
  /** Whether this is a task worker. */
  readonly isTaskWorker: boolean;
  /** The number of workers that are not task workers. */
  readonly workers: number;
  /** Whether the worker was replaced, and leaves. */
  readonly isLeaving: boolean;
  /** Resolves to whether this process accepts no connections: not any more, or not yet. What is about to begin is waited for. */
  acceptsNothing(): Promise<boolean>;
  /** In the master, a number above those of all connections; 0 in a worker, whose server never starts again. */
  readonly lastFd: number;
  /** Whether a worker cut something off when it ended. */
  readonly wasCutOff: boolean;
  /**
   * Starts.
   *
   * @returns The numbers of the ports, once connections are accepted.
   */
  start(): Promise<readonly number[]>;
  /** See `Server.reload()`. */
  reload(onlyTasks: boolean): boolean;
  /** See `Server.stop()`. */
  stopWorker(id: number): boolean;
  /** Asks the master to stop the server. Returns `false` in the master. */
  askForShutdown(wait: number, tell: number): boolean;
  /** Handles a signal. Returns whether it is a matter of workers. */
  takeSignal(name: string): boolean;
  /** Called about four times a second. */
  onTick(): void;
  /** Called when the server stops, or is to stop sooner. */
  stop(wait: number, tell: number): void;
  /** Resolves when the other processes that end with this one have ended. */
  whenStopped(): Promise<void>;
  /** Ends what connects the processes. Called when the server has stopped, or could not start. */
  close(): Promise<void>;
  /** Called in a worker when it could not start, and at the very end. It then exits. */
  leave(error?: unknown): void;
}

/**
 * Returns the number of workers of a server; 0 if it has none but this process.
 *
 * @throws {Error} If the runtime cannot start processes, or there are task workers without a handler for tasks.
 */
export function workersOf({ config, settings }: ServerContext, runtime: Runtime): number {
  const { worker_num, task_worker_num } = settings;
  const { processes } = runtime;
  if (worker_num === 1 && task_worker_num === 0) return 0;
  if (processes === undefined) {
    if (worker_num === "auto" && task_worker_num === 0) return 0;
    throw new Error(
      `Cannot start the server: the adapter ${runtime.name} starts no processes; worker_num has to be 1, and task_worker_num 0`,
    );
  }
  if (task_worker_num > 0 && config.handler("task") === undefined) {
    throw new TypeError(
      "Cannot start the server: there is no handler for task, which task_worker_num needs; only the event style has one",
    );
  }
  const workers = worker_num === "auto" ? automaticWorkers(processes.processorCount()) : worker_num;
  checkSum(workers, task_worker_num);
  return workers === 1 && task_worker_num === 0 ? 0 : workers;
}

const owners: WeakMap<ProcessControl, unknown> = new WeakMap();

/**
 * Notes which server of a program has workers. A worker runs the program from its beginning, and could not tell several apart.
 *
 * @throws {Error} If another one has workers.
 */
export function claimWorkers(control: ProcessControl, host: unknown): void {
  const owner = owners.get(control);
  if (owner !== undefined && owner !== host) {
    throw new Error("Cannot start the server: another server of this program has workers, and only one can; set worker_num to 1");
  }
  owners.set(control, host);
}

/** How long a new process waits for one that is blocked, and sends nothing to clients of others, in milliseconds. */
const BASE_JOIN_TIMEOUT = 1000;

/**
 * Makes the links of a process to the others, and has the server use them.
 *
 * @param workers The number of workers that are not task workers.
 */
export function makeMesh(host: ProcessesHost, token: string, workers: number): Mesh {
  const { context, mode } = host;
  const mesh = new Mesh({
    self: context.member!,
    token,
    bufferSize: context.settings.worker_buffer_size,
    joinTimeout: mode === SWOOLE_PROCESS ? undefined : BASE_JOIN_TIMEOUT,
    warn: (message) => context.log.warn(message),
    fault: (error) => context.fault(error),
  });
  context.mesh = mesh;
  if (mode === SWOOLE_PROCESS) usePeers(context, mesh);
  const { task_worker_num, task_max_pending, task_enable_coroutine, task_object, task_use_object } = context.settings;
  const control = context.runtime!.processes!;
  useMessages(context, mesh, control, workers + task_worker_num);
  const requests = context.requests = new Requests(mesh);
  context.workerStats = new WorkerStats(mesh, requests, () => countsOf(context), workers, (message) => context.log.warn(message));
  context.workerHealth = new WorkerHealth(context, mesh, requests, workers, task_worker_num);
  if (mode === SWOOLE_PROCESS) shareTopics(context, mesh, requests);
  else if (mesh.self.slot === 0 && context.settings.broker?.isLocal === true) {
    context.log.warn(
      "Each worker keeps topics of its own, as with SWOOLE_BASE everything is; with SWOOLE_PROCESS they share them",
    );
  }
  context.tasks = task_worker_num === 0 ? undefined : new Tasks(context, mesh, requests, control, {
    workers,
    taskWorkers: task_worker_num,
    mostPending: task_max_pending,
    isConcurrent: task_enable_coroutine,
    asObject: task_object || task_use_object || context.settings.event_object,
  });
  return mesh;
}

/** Collects what this process has counted. */
function countsOf(context: ServerContext): { stats: ServerStats; metrics: Metrics } {
  const survey = surveyOf(context.table);
  return { stats: ownStats(context, survey), metrics: ownMetrics(context, survey) };
}

/** The path of the socket on which a process accepts links. */
export function meshPath(folder: string, slot: number): string {
  return `${folder}/${slot}`;
}

/** Creates the fds of a process; none at first. */
export function makeFds(askForMore: () => void): FdSequence {
  return new FdSequence(0, SLOTS, 0, askForMore);
}

/** Adds a block of fds for the process with a slot. */
export function addFds(fds: FdSequence, slot: number, { first, count }: FdBlock): void {
  fds.add(first * SLOTS + slot, count);
}
