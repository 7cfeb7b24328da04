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

  #finish: ((result: unknown) => boolean) | undefined;

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
    return this.#finish!(result);
  }
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

/** The tasks of one process, see `Tasks`. */
export interface TaskMethods {
  /** The number of tasks of this process that have no result yet. */
  readonly pendingCount: number;
  /** The number of tasks that this process has done. */
  readonly doneCount: number;
  /** Called when this process has done a task. */
  onDone: (() => void) | undefined;
  /** Whether tasks are done, and do not wait for `begin()`. */
  mayWork: boolean;
  /** Begins to do tasks. */
  begin(): void;
  /** Gives a task away. Returns its number, or why it could not be given. */
  give(data: unknown, workerId: number, call?: FinishHandler): number | TaskFailure;
  /** Gives a task away and waits for its result, at most so many milliseconds. */
  wait(data: unknown, workerId: number, timeout: number): Promise<unknown | TaskFailure>;
  /** Sends the result of the task that is being done. Returns whether there is one without a result. */
  finish(result: unknown): boolean;
}
