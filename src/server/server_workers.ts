/**
 * The methods of a server with which its processes give each other work: messages and tasks.
 *
 * @module
 */

import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_OPERATION_NOT_SUPPORT } from "../errors.ts";
import type { ConnectionData } from "../transport/connection_end.ts";
import { coreOf, ServerConnections } from "./server_connections.ts";
import type { ServerContext } from "./server_context.ts";
import { checkSeconds } from "./shutdown.ts";
import { type FinishHandler, TaskFailure } from "./task.ts";

/** The methods of a `Server` that concern other workers. `Data` is the type of `data(fd)`. */
export abstract class ServerWorkers<Data extends ConnectionData = ConnectionData> extends ServerConnections<Data> {
  readonly #context: ServerContext;

  /** Called by the classes of servers. */
  constructor() {
    super();
    this.#context = coreOf(this).context;
  }

  /**
   * Sends a value to another worker, whose `pipeMessage` handler receives a copy.
   *
   * @param message Any value that can be cloned: see the structured clone algorithm of the web.
   * @param workerId The number of the worker, not the own one; task workers follow the others. -1 for the master.
   * @returns `true` if it is on its way. The messages of one process to another arrive in order. `false` with 507 without workers,
   * 505 if there is no such worker, 32 if the worker is not there at the moment, 1009 if `worker_buffer_size` bytes wait for it.
   * @throws {Error} If the value cannot be cloned.
   *
   * @example Workers that tell each other what has changed
   * ```ts
   * import { WebSocketServer } from "@sluice/server";
   *
   * const server = new WebSocketServer("127.0.0.1", 0);
   * const prices = new Map<string, number>();
   * server.set({ worker_num: 1 });
   * server.on("message", (server, frame) => {
   *   const change = JSON.parse(frame.data as string);
   *   prices.set(change.name, change.price);
   *   for (let id = 0; id < server.stats().worker_num; id++) if (id !== server.worker_id) server.sendMessage(change, id);
   * });
   * server.on("pipeMessage", (_server, _workerId, change) => void prices.set(change.name, change.price));
   * ```
   */
  sendMessage(message: unknown, workerId: number): boolean {
    const context = this.#context;
    const code = context.sendMessage === undefined ? SWOOLE_ERROR_OPERATION_NOT_SUPPORT : context.sendMessage(message, workerId);
    return code === 0 || context.failed(code);
  }

  /**
   * Gives a task to a task worker, whose `task` handler does it. Its result comes to the `finish` handler of this worker.
   *
   * @param data Any value that can be cloned.
   * @param workerId The number of the task worker, counted from 0 among the task workers. Default: -1, an idle one, or
   * else the one that has the fewest tasks of this worker.
   * @param finishCallback Receives the result, instead of the `finish` handler: `(server, taskId, data)`, or with `event_object`
   * `(server, result)`.
   * @returns The number of the task, from 0. It waits if the task worker is not there at the moment. `false` with 507 without task
   * workers, 505 if there is no such one, 506 if it has `task_max_pending` tasks of this worker, or as many wait for it, 1009 if
   * `worker_buffer_size` bytes are on their way to it, or the data is larger than that. A task that has no result because its handler has failed, or its task worker has ended, is reported to `error`.
   * @throws {Error} If the data cannot be cloned.
   *
   * @example
   * ```ts
   * import { WebSocketServer } from "@sluice/server";
   *
   * const server = new WebSocketServer("127.0.0.1", 0);
   * server.on("message", (server, frame) => void server.task({ fd: frame.fd, text: frame.data }));
   * server.on("task", (_server, _taskId, _workerId, { fd, text }) => ({ fd, words: text.split(" ").length }));
   * server.on("finish", (server, _taskId, { fd, words }) => server.push(fd, `${words} words`));
   * ```
   */
  task(data: unknown, workerId = -1, finishCallback?: FinishHandler): number | false {
    const context = this.#context;
    if (context.tasks === undefined) return context.failed(SWOOLE_ERROR_OPERATION_NOT_SUPPORT);
    const given = context.tasks.give(data, workerId, finishCallback);
    return given instanceof TaskFailure ? context.failed(given.code) : given;
  }

  /**
   * Gives a task to a task worker, and waits for its result.
   *
   * @param data Any value that can be cloned.
   * @param timeout How long to wait, in seconds. The task goes on afterwards, but its result is dropped.
   * @param workerId See `task()`.
   * @returns The result; `undefined` if the task has none. `false` with the codes of `task()`, with 110 if the time is over, 32 if
   * the task worker has ended meanwhile, 5 if the handler has failed.
   * @throws {Error} If the data cannot be cloned.
   * @throws {RangeError} If the timeout is not a number of seconds.
   */
  // deno-lint-ignore no-explicit-any
  async taskwait(data: unknown, timeout = 0.5, workerId = -1): Promise<any> {
    checkSeconds(timeout, "wait for a task");
    const context = this.#context;
    if (context.tasks === undefined) return context.failed(SWOOLE_ERROR_OPERATION_NOT_SUPPORT);
    const result = await context.tasks.wait(data, workerId, timeout * 1000);
    return result instanceof TaskFailure ? context.failed(result.code) : result;
  }

  /**
   * Gives several tasks to task workers, and waits for all results.
   *
   * @param tasks The data of the tasks, at most 1024.
   * @param timeout How long to wait, in seconds.
   * @returns The results in the order of the tasks; `false` for those that have failed, or were not done in time, with the code of
   * the last one. `false` for all with 505 if there are too many.
   * @throws {Error} If data cannot be cloned.
   * @throws {RangeError} If the timeout is not a number of seconds.
   */
  // deno-lint-ignore no-explicit-any
  async taskCo(tasks: readonly unknown[], timeout = 0.5): Promise<any[] | false> {
    if (tasks.length > 1024) return this.#context.failed(SWOOLE_ERROR_INVALID_PARAMS);
    return await Promise.all(tasks.map((data) => this.taskwait(data, timeout)));
  }

  /**
   * The same as `taskCo()`, but leaves out the results that are `false`.
   *
   * @returns The results by the indexes of the tasks.
   */
  // deno-lint-ignore no-explicit-any
  async taskWaitMulti(tasks: readonly unknown[], timeout = 0.5): Promise<Record<number, any> | false> {
    const results = await this.taskCo(tasks, timeout);
    if (results === false) return false;
    return Object.fromEntries([...results.entries()].filter(([, result]) => result !== false));
  }

  /**
   * Sends the result of a task, in its `task` handler, to the worker that has given the task. With `task_enable_coroutine`, use
   * `finish()` of the `Task`.
   *
   * @returns `false` if no task is being done, or a result was sent before; with 507 if this is no task worker.
   * @throws {Error} If the result cannot be cloned.
   */
  finish(data: unknown): boolean {
    const context = this.#context;
    if (context.tasks === undefined) return context.failed(SWOOLE_ERROR_OPERATION_NOT_SUPPORT);
    return context.tasks.queue.finish(data);
  }
}
