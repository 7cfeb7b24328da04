/**
 * Tasks: work that a process gives to the task workers of its server, and what comes of it.
 *
 * @module
 */

import type { Link } from "../cluster/link.ts";
import type { Mesh } from "../cluster/mesh.ts";
import type { RequestError, RequestFailure, Requests } from "../cluster/requests.ts";
import { BodyReader, BodyWriter } from "../cluster/wire.ts";
import { EPIPE, ETIMEDOUT, SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_QUEUE_FULL } from "../errors.ts";
import { EIO } from "../transport/system_codes.ts";
import { sliceBytes } from "../transport/bytes.ts";
import { promised } from "./running_handlers.ts";
import type { ServerContext } from "./server_context.ts";
import { type FinishHandler, Task, TaskFailure, type TaskMethods } from "./task.ts";
import type { Serializer } from "./worker_messages.ts";

/** The number of the method of requests. */
const TASK_METHOD = 16;

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

/** A task that waits for a task worker to be there. */
interface Held {
  readonly workerId: number;
  readonly body: Uint8Array;
  readonly due: number;
  readonly resolve: (outcome: Outcome | TaskFailure) => void;
}

/** A task that has arrived. */
interface Arrived {
  readonly task: Task;
  readonly done: (error: unknown, hasFailed: boolean) => void;
}

/** The tasks of one process: those that it has given, and those that it does. */
export class Tasks implements TaskMethods {
  doneCount = 0;
  onDone: (() => void) | undefined = undefined;
  mayWork = true;

  readonly #context: ServerContext;
  readonly #mesh: Mesh;
  readonly #requests: Requests;
  readonly #serializer: Serializer;
  readonly #options: TaskOptions;
  readonly #pending: Map<number, number> = new Map(); // number of tasks, by the number of the worker
  readonly #held: Held[] = []; // for which no task worker is there at the moment
  readonly #waiting: Arrived[] = [];
  #current: Task | undefined = undefined; // if there is one at a time
  #isWorking = false;
  #lastId = -1;
  #turn = 0; // so that workers with as many tasks take turns

  /** @param mesh The links to the other processes, none of which has been made yet. */
  constructor(context: ServerContext, mesh: Mesh, requests: Requests, serializer: Serializer, options: TaskOptions) {
    this.#context = context;
    this.#mesh = mesh;
    this.#requests = requests;
    this.#serializer = serializer;
    this.#options = options;
    requests.serve(TASK_METHOD, (link, body) => this.#onTask(link, body));
    mesh.watch({
      onJoined: () => void (this.#held.length > 0 && queueMicrotask(() => this.#sendHeld())),
      onTick: (now) => this.#onTick(now),
    });
  }

  /** The number of tasks of this process that have no result yet. */
  get pendingCount(): number {
    let sum = this.#held.length;
    for (const count of this.#pending.values()) sum += count;
    return sum;
  }

  // ---- giving tasks -------------------------------------------------------------------------------------------------

  /**
   * Gives a task away.
   *
   * @param workerId The number of the task worker, counted from 0 among them; -1 for the one that has the fewest.
   * @param call Receives the result, instead of the handler for `finish`.
   * @returns The number of the task, or why it could not be given.
   * @throws {Error} If the data cannot be cloned.
   */
  give(data: unknown, workerId: number, call?: FinishHandler): number | TaskFailure {
    const given = this.#give(data, workerId, Infinity);
    if (given instanceof TaskFailure) return given;
    const { id, result } = given;
    const context = this.#context;
    result.then((outcome) => {
      if (outcome instanceof TaskFailure) return context.fault(new Error(`Task ${id} has no result: ${outcome.reason}`));
      if (!outcome.hasValue) return;
      if (call === undefined) context.emit("finish", id, outcome.value);
      else context.run(undefined, "finish", () => call(context.server, id, outcome.value));
    });
    return id;
  }

  /**
   * Gives a task away and waits for its result; `undefined` if it has none.
   *
   * @param timeout In milliseconds.
   */
  async wait(data: unknown, workerId: number, timeout: number): Promise<unknown | TaskFailure> {
    const given = this.#give(data, workerId, timeout);
    if (given instanceof TaskFailure) return given;
    const outcome = await given.result;
    return outcome instanceof TaskFailure ? outcome : outcome.value;
  }

  #give(data: unknown, workerId: number, timeout: number): TaskFailure | { id: number; result: Promise<Outcome | TaskFailure> } {
    const { taskWorkers } = this.#options;
    const bytes = this.#serializer.serialize(data);
    if (!Number.isInteger(workerId) || workerId < -1 || workerId >= taskWorkers) {
      return new TaskFailure(SWOOLE_ERROR_INVALID_PARAMS, `there is no task worker ${workerId}`);
    }
    const chosen = this.#choose(workerId);
    if (chosen instanceof TaskFailure) return chosen;
    const id = this.#lastId = (this.#lastId + 1) % 0x80000000;
    const body = new BodyWriter().uint32(id).add(bytes).take();
    if (chosen !== undefined) return { id, result: this.#send(chosen, body, timeout) };
    if (this.#held.length >= this.#options.mostPending) return new TaskFailure(SWOOLE_ERROR_QUEUE_FULL, "too many tasks wait");
    const due = this.#mesh.now + timeout;
    return { id, result: new Promise((resolve) => this.#held.push({ workerId, body, due, resolve })) };
  }

  #send(worker: number, body: Uint8Array, timeout: number): Promise<Outcome | TaskFailure> {
    const pending = this.#pending;
    pending.set(worker, (pending.get(worker) ?? 0) + 1);
    return this.#requests.ask(this.#mesh.linkOfWorker(worker), TASK_METHOD, body, timeout).then(
      (reply) => this.#outcomeOf(reply),
      (error: RequestError) => new TaskFailure(CODES[error.failure], `worker ${worker}: ${error.message}`),
    ).finally(() => pending.set(worker, pending.get(worker)! - 1));
  }

  /** Sends the tasks that have waited for a task worker to be there. */
  #sendHeld(): void {
    for (const held of this.#held.splice(0)) {
      const chosen = this.#choose(held.workerId);
      if (typeof chosen === "number") this.#send(chosen, held.body, held.due - this.#mesh.now).then(held.resolve);
      else this.#held.push(held);
    }
  }

  /** Gives up the tasks that have waited for too long. */
  #onTick(now: number): void {
    if (this.#held.length === 0) return;
    for (const held of this.#held.splice(0)) {
      if (held.due > now) this.#held.push(held);
      else held.resolve(new TaskFailure(ETIMEDOUT, "no task worker was there in time"));
    }
  }

  #outcomeOf(reply: Uint8Array): Outcome {
    return reply.length === 0 ? NOTHING : { hasValue: true, value: this.#serializer.deserialize(reply) };
  }

  /**
   * Returns the number of the worker that gets the next task: `undefined` if none is there at the moment, a failure if those that
   * are have as many tasks as they may.
   *
   * @param workerId The only one that may get it, counted from 0 among the task workers; -1 for any.
   */
  #choose(workerId: number): number | TaskFailure | undefined {
    const { workers, taskWorkers, mostPending } = this.#options;
    const count = workerId === -1 ? taskWorkers : 1;
    let best: number | undefined;
    let fewest = mostPending;
    let isThere = false;
    for (let i = 0; i < count; i++) {
      const worker = workers + (workerId === -1 ? (this.#turn + i) % taskWorkers : workerId);
      if (this.#mesh.linkOfWorker(worker) === undefined) continue;
      isThere = true;
      const tasks = this.#pending.get(worker) ?? 0;
      if (tasks < fewest) fewest = tasks, best = worker;
    }
    this.#turn = (this.#turn + 1) % taskWorkers;
    const isFull = isThere && best === undefined;
    return isFull ? new TaskFailure(SWOOLE_ERROR_QUEUE_FULL, "the task workers have as many tasks as they may") : best;
  }

  // ---- doing tasks --------------------------------------------------------------------------------------------------

  #onTask({ peer }: Link, body: Uint8Array): Promise<Uint8Array> {
    const reader = new BodyReader(body, 0, body.length);
    const id = reader.uint32();
    const data = this.#serializer.deserialize(sliceBytes(body, reader.at, body.length));
    if (this.#context.config.handler("task") === undefined) throw new Error("there is no handler for task");
    return new Promise((resolve, reject) => {
      let isSent = false;
      const finish = (result: unknown): boolean => {
        if (isSent) return false;
        const bytes = this.#serializer.serialize(result);
        isSent = true;
        resolve(bytes);
        return true;
      };
      const done = (error: unknown, hasFailed: boolean) => {
        if (isSent) return;
        isSent = true;
        if (hasFailed) reject(error);
        else resolve(new Uint8Array(0));
      };
      this.#waiting.push({ task: new Task(id, peer!.id, data, finish), done });
      this.#context.running.enter();
      this.#work();
    });
  }

  /** Begins to do tasks, which have waited until the worker has started. */
  begin(): void {
    this.mayWork = true;
    this.#work();
  }

  #work(): void {
    const { isConcurrent } = this.#options;
    while (this.mayWork && this.#waiting.length > 0 && (isConcurrent || !this.#isWorking)) {
      const arrived = this.#waiting.shift()!;
      this.#isWorking = true;
      this.#current = isConcurrent ? undefined : arrived.task;
      this.#do(arrived);
    }
  }

  #do(arrived: Arrived): void {
    const { task } = arrived;
    const { config, server } = this.#context;
    const handler = config.handler("task")!;
    let result: unknown;
    try {
      result = this.#options.asObject || this.#options.isConcurrent
        ? handler(server, task)
        : handler(server, task.id, task.worker_id, task.data);
    } catch (error) {
      return this.#end(arrived, error, true);
    }
    const promise = promised(result);
    if (promise === undefined) this.#end(arrived, result, false);
    else promise.then((value) => this.#end(arrived, value, false), (error) => this.#end(arrived, error, true));
  }

  /** @param value The result, or the error. */
  #end({ task, done }: Arrived, value: unknown, hasFailed: boolean): void {
    const context = this.#context;
    if (!hasFailed && value !== undefined && value !== null) {
      try {
        task.finish(value);
      } catch (error) {
        value = error; // it cannot be cloned
        hasFailed = true;
      }
    }
    if (hasFailed) context.fault(value, undefined, "task");
    done(value, hasFailed);
    context.running.leave();
    this.doneCount++;
    this.onDone?.();
    this.#isWorking = false;
    this.#current = undefined;
    queueMicrotask(() => this.#work()); // many tasks that are done at once do not make the stack deep
  }

  /** Sends the result of the task that is being done. Returns `false` if there is none, or it has a result. */
  finish(result: unknown): boolean {
    return this.#current?.finish(result) ?? false;
  }
}

/** What has come of a task. */
interface Outcome {
  readonly hasValue: boolean;
  readonly value: unknown;
}

const NOTHING: Outcome = { hasValue: false, value: undefined };

/** The codes for requests without a reply. */
const CODES: Readonly<Record<RequestFailure, number>> = {
  gone: EPIPE,
  late: ETIMEDOUT,
  full: SWOOLE_ERROR_QUEUE_FULL,
  failed: EIO,
};
