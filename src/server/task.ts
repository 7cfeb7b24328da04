/**
 * A task in a task worker, and what the methods of a server need of tasks.
 *
 * @module
 */

/** A task in its worker: the second argument of `task` with `task_object` or `task_enable_coroutine`. */
export class Task {
  /** The number of the task, which differs from those of other tasks of the same worker. */
  readonly id: number;
  /** The number of the worker that has given it; -1 for the master. */
  readonly worker_id: number;
  /** What it has given. */
  // deno-lint-ignore no-explicit-any
  readonly data: any;
  /** When it arrived, in seconds since 1970. */
  readonly dispatch_time: number;

  readonly #finish: (result: unknown) => boolean;

  /** Created by Sluice. */
  constructor(id: number, workerId: number, data: unknown, finish: (result: unknown) => boolean) {
    this.id = id;
    this.worker_id = workerId;
    this.data = data;
    this.dispatch_time = Date.now() / 1000;
    this.#finish = finish;
  }

  /**
   * Sends the result to the worker that has given the task. A result that the handler returns does the same.
   *
   * @returns `false` if a result was sent before, or the handler has settled.
   * @throws {Error} If the result cannot be cloned.
   */
  finish(result: unknown): boolean {
    return this.#finish(result);
  }
}

/** The result of a task: the second argument of `finish` with `event_object` (Swoole's `Swoole\\Server\\TaskResult`). */
export class TaskResult {
  /** The number of the task. */
  readonly task_id: number;
  /** The number of the task worker. */
  readonly task_worker_id: number;
  /** When it arrived, in seconds since 1970. */
  readonly dispatch_time: number;
  /** The result. */
  // deno-lint-ignore no-explicit-any
  readonly data: any;

  /** Created by Sluice. */
  constructor(id: number, workerId: number, data: unknown) {
    this.task_id = id;
    this.task_worker_id = workerId;
    this.dispatch_time = Date.now() / 1000;
    this.data = data;
  }
}

// The methods of requests: a task, and a task worker that wants no more of them.
export const TASK_METHOD = 16;
export const LEAVE_METHOD = 17;

// What a task worker tells: the body of a frame of the kind `TASK_STATE`.
export const IDLE = 0;
export const BUSY = 1;

/** How tasks are given and done. */
export interface TaskOptions {
  /** The number of workers that are not task workers. */
  readonly workers: number;
  /** The number of task workers. */
  readonly taskWorkers: number;
  /** How many tasks of this process may be pending in one task worker: `task_max_pending`. */
  readonly mostPending: number;
  /** Whether a task worker works on several tasks at a time: `task_enable_coroutine`. */
  readonly isConcurrent: boolean;
  /** Whether handlers receive a `Task`. */
  readonly asObject: boolean;
}

/** Why a task has no result. */
export class TaskFailure {
  /** The code for `getLastError()`. */
  readonly code: number;
  /** The reason in words. */
  readonly reason: string;

  constructor(code: number, reason: string) {
    this.code = code;
    this.reason = reason;
  }
}

/** A function that receives the result of a task. */
// deno-lint-ignore no-explicit-any
export type FinishHandler = (server: any, taskId: number, data: any) => unknown;

/** The tasks that were given to this process. */
export interface TaskDoing {
  /** The number of tasks that were done. */
  readonly doneCount: number;
  /** Called when a task is done. */
  onDone: (() => void) | undefined;
  /** Takes tasks from now on. */
  open(): void;
  /**
   * Has all processes give their tasks to others from now on.
   *
   * @param timeout How long to wait for them, in milliseconds.
   * @returns Resolves when all tasks that were on their way have arrived.
   */
  leave(timeout: number): Promise<void>;
  /** Sends the result of the task that is being done. Returns whether there is one without a result. */
  finish(result: unknown): boolean;
}

/** The tasks of one process, see `Tasks`. */
export interface TaskMethods {
  /** The tasks that were given to this process. */
  readonly queue: TaskDoing;
  /** The number of tasks that this process has given and that have no result yet. */
  readonly pendingCount: number;
  /**
   * Gives a task away.
   *
   * @param workerId The number of the task worker, counted from 0 among them; -1 for an idle one, or else the one with the fewest.
   * @param call Receives the result, instead of the handler for `finish`.
   * @returns The number of the task, or why it could not be given.
   * @throws {Error} If the data cannot be cloned.
   */
  give(data: unknown, workerId: number, call?: FinishHandler): number | TaskFailure;
  /**
   * Gives a task away and waits for its result; `undefined` if it has none.
   *
   * @param timeout In milliseconds.
   */
  wait(data: unknown, workerId: number, timeout: number): Promise<unknown | TaskFailure>;
  /** Gives up the tasks that wait for a task worker to be there. Called when the server has stopped, or could not start. */
  close(): void;
}
