/**
 * The settings of workers: how many processes a server has, which of them gets a connection, and when processes are replaced.
 *
 * @module
 */

import { checkValue, describe, type Kind } from "../../values.ts";

/** The settings of workers and task workers. Without these there is no other process, and the settings have no effect. */
export interface WorkerSettings {
  /** The number of worker processes, or `"auto"` for one per processor. Default: 1, this process. */
  worker_num?: number | "auto";
  /**
   * The options of the runtime with which workers are started, in front of the script. Default: `"inherit"`, those of this process.
   */
  worker_exec_argv?: "inherit" | readonly string[];
  /** The time that a worker may take until it accepts connections. Default: 60 s; 0 for no limit. */
  worker_start_timeout?: number;
  /**
   * The worker that gets a connection: the one that the system chooses (2), each one in turn (1), the same one for each address (4),
   * the one with the fewest connections (3, 7, 8). Default: 2 on Linux, elsewhere 1.
   */
  dispatch_mode?: number;
  /** The number of requests and messages after which a worker is replaced. Default: 0, never. */
  max_request?: number;
  /** A random number up to this is added to `max_request`, for each worker another one. Default: half of `max_request`. */
  max_request_grace?: number;
  /**
   * Whether a worker that was replaced by `reload()` keeps its connections for `max_wait_time`; otherwise it begins to close them
   * at once. Default: `true`.
   */
  reload_async?: boolean;
  /** The time over which the connections of a worker that was replaced are closed. Default: 10 s; 0 for all at once. */
  reload_drain_time?: number;
  /** The number of bytes that may wait on their way to another process. Default: 8 MiB. */
  worker_buffer_size?: number;
  /** The number of task workers: processes that do what `task()` gives them. Default: 0. */
  task_worker_num?: number;
  /** The number of tasks after which a task worker is replaced. Default: 0, never. */
  task_max_request?: number;
  /** A random number up to this is added to `task_max_request`, for each task worker another one. Default: 0. */
  task_max_request_grace?: number;
  /** How many tasks of one worker may wait or be done in one task worker; no more are given. Default: 1024. */
  task_max_pending?: number;
  /** Whether a task worker does several tasks at a time, and `task` receives a `Task`. Default: `false`, one after the other. */
  task_enable_coroutine?: boolean;
  /** Whether `task` receives a `Task` after the server. Default: `false`. */
  task_object?: boolean;
  /** An alias of `task_object`. */
  task_use_object?: boolean;
}

/** The defaults of the settings. */
export const WORKER_DEFAULTS: Readonly<Required<WorkerSettings>> = {
  worker_num: 1,
  worker_exec_argv: "inherit",
  worker_start_timeout: 60,
  dispatch_mode: 2,
  max_request: 0,
  max_request_grace: 0,
  reload_async: true,
  reload_drain_time: 10,
  worker_buffer_size: 8 * 1024 * 1024,
  task_worker_num: 0,
  task_max_request: 0,
  task_max_request_grace: 0,
  task_max_pending: 1024,
  task_enable_coroutine: false,
  task_object: false,
  task_use_object: false,
};

/** The most tasks of one process that one task worker can have: nearly `MOST_REQUESTS`, of which other requests need some. */
const MOST_PENDING = 4000;

/** The valid values of the settings. */
export const WORKER_KINDS: Record<keyof WorkerSettings, Kind> = {
  worker_num: checkWorkers,
  worker_exec_argv: checkOptions,
  worker_start_timeout: "seconds",
  dispatch_mode: checkDispatchMode,
  max_request: "count",
  max_request_grace: "count",
  reload_async: "boolean",
  reload_drain_time: "seconds",
  worker_buffer_size: { from: 64 * 1024, to: Number.MAX_SAFE_INTEGER },
  task_worker_num: checkTaskWorkers,
  task_max_request: "count",
  task_max_request_grace: "count",
  task_max_pending: { from: 1, to: MOST_PENDING },
  task_enable_coroutine: "boolean",
  task_object: "boolean",
  task_use_object: "boolean",
};

/** The names of the settings. They hold for the whole server. */
export const SERVER_WIDE_WORKERS: readonly (keyof WorkerSettings)[] = Object.keys(WORKER_DEFAULTS) as (keyof WorkerSettings)[];

/** The most workers that there can be. With one more for each during a reload, there are enough numbers for processes. */
const MOST_WORKERS = 127;

function checkWorkers(key: string, value: unknown): void {
  if (value === "auto") return;
  if (typeof value !== "number") throw new TypeError(`Cannot set ${key}: a number or "auto" is needed, not ${describe(value)}`);
  checkValue(key, { from: 1, to: MOST_WORKERS }, value);
}

function checkTaskWorkers(key: string, value: unknown): void {
  checkValue(key, { from: 0, to: MOST_WORKERS - 1 }, value);
}

/**
 * Checks that there are not too many workers and task workers together.
 *
 * @throws {RangeError} If there are.
 */
export function checkSum(workers: number, taskWorkers: number): void {
  if (workers + taskWorkers <= MOST_WORKERS) return;
  throw new RangeError(
    `Cannot start the server: worker_num and task_worker_num are ${workers} and ${taskWorkers}, together more than ${MOST_WORKERS}`,
  );
}

/** Returns the number of workers that `"auto"` means. */
export function automaticWorkers(processors: number): number {
  return Math.min(processors, MOST_WORKERS);
}

function checkOptions(key: string, value: unknown): void {
  if (value === "inherit") return;
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return;
  throw new TypeError(`Cannot set ${key}: "inherit" or a list of strings is needed, not ${describe(value)}`);
}

/** Swoole's modes that are not supported, with the reason. */
const ABSENT_MODES: ReadonlyMap<number, string> = new Map([
  [5, "a connection is dispatched before anything is known of it; bind() marks it later"],
  [6, "there is no dispatch_func"],
  [9, "connections are dispatched, not requests; 8 means the fewest connections"],
  [10, "connections are dispatched, not requests; 8 means the fewest connections"],
]);

function checkDispatchMode(key: string, value: unknown): void {
  checkValue(key, { from: 1, to: 10 }, value);
  const reason = ABSENT_MODES.get(value as number);
  if (reason !== undefined) throw new RangeError(`Cannot set ${key} to ${value}: ${reason}`);
}
