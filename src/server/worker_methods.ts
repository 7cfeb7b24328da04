/**
 * The methods of servers that concern workers, with and without any.
 *
 * @module
 */

import { SWOOLE_WORKER_BUSY, SWOOLE_WORKER_EXIT, SWOOLE_WORKER_IDLE } from "../constants.ts";
import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_OPERATION_NOT_SUPPORT } from "../errors.ts";
import { readRole } from "../cluster/messages.ts";
import { workerIdentity } from "../transport/processes.ts";
import type { ServerCore } from "./core.ts";

/** See `Server.reload()`. */
export function reloadWorkers({ context, processes }: ServerCore, onlyTasks: boolean): boolean {
  if (processes === undefined) return context.failed(SWOOLE_ERROR_OPERATION_NOT_SUPPORT);
  return processes.reload(onlyTasks) || context.failed(SWOOLE_ERROR_INVALID_PARAMS);
}

/** See `Server.stop()`. */
export function stopWorker(core: ServerCore, id: number): boolean {
  const { context, processes } = core;
  const stops = processes === undefined ? id === 0 || id === -1 : processes.stopWorker(id === -1 ? processes.id : id);
  if (!stops) return context.failed(SWOOLE_ERROR_INVALID_PARAMS);
  return processes !== undefined || core.shutdown();
}

/** See `Server.worker_id`. */
export function workerId({ context, processes }: ServerCore): number {
  if (processes !== undefined) return processes.id;
  const identity = workerIdentity();
  if (identity !== undefined) return readRole(identity.role).id;
  return context.isRunning ? 0 : -1;
}

/** Returns the process ID of a worker, -1 for the current one; 0 if there is none. */
export function pidOf(core: ServerCore, id: number): number {
  const { context, processes } = core;
  const own = workerId(core);
  const isOwn = id === -1 ? own >= 0 : id === own;
  if (!isOwn) return processes?.pids[id] ?? 0;
  return context.isRunning || processes !== undefined ? context.runtime!.pid : 0;
}

/** See `Server.getWorkerStatus()`. */
export function workerStatus(core: ServerCore, id: number): number | false {
  if (pidOf(core, id) === 0) return false;
  if (id !== -1 && id !== workerId(core)) return SWOOLE_WORKER_IDLE;
  return core.processes?.isLeaving ? SWOOLE_WORKER_EXIT : SWOOLE_WORKER_BUSY;
}

/** See `Server.getMasterPid()`. */
export function masterPid({ context, processes }: ServerCore): number {
  return processes?.masterPid ?? (context.isRunning ? context.runtime!.pid : 0);
}
