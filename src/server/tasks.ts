/**
 * Tasks: work that a process gives to the task workers of its server, and what comes of it.
 *
 * @module
 */

import type { Link } from "../cluster/link.ts";
import type { Mesh } from "../cluster/mesh.ts";
import type { RequestError, RequestFailure, Requests } from "../cluster/requests.ts";
import { BodyWriter, TASK_STATE } from "../cluster/wire.ts";
import {
  EPIPE,
  ETIMEDOUT,
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW,
  SWOOLE_ERROR_QUEUE_FULL,
} from "../errors.ts";
import { EMPTY } from "../transport/bytes.ts";
import { delayOf } from "../transport/deadlines.ts";
import { EIO } from "../transport/system_codes.ts";
import type { ServerContext } from "./server_context.ts";
import {
  type FinishHandler,
  IDLE,
  LEAVE_METHOD,
  TASK_METHOD,
  TaskFailure,
  type TaskMethods,
  type TaskOptions,
  TaskResult,
} from "./task.ts";
import { TaskQueue } from "./task_queue.ts";
import type { Serializer } from "./worker_messages.ts";

/** A task worker that takes tasks. */
interface Taker {
  readonly link: Link;
  /** The number of tasks of this process that it has. */
  pending: number;
  /** Whether it does nothing, as it has told. */
  isIdle: boolean;
}

/** A task that waits for a task worker to be there. */
interface Held {
  /** The only one that may have it, counted from 0 among the task workers; -1 for any. */
  readonly workerId: number;
  readonly body: Uint8Array;
  readonly resolve: (outcome: Outcome | TaskFailure) => void;
}

/** A task that was given. */
interface Given {
  readonly id: number;
  readonly outcome: Promise<Outcome | TaskFailure>;
  /** Takes the task back, if it waits for a task worker to be there. */
  takeBack(): void;
}

/** What has come of a task. */
interface Outcome {
  /** The number of the task worker. */
  readonly worker: number;
  /** Whether there is a result. */
  readonly hasValue: boolean;
  readonly value: unknown;
}

/** What a request needs besides its body, in bytes; generously. */
const REQUEST_HEADER = 16;

/** The tasks of one process: those that it has given, and those that it does. */
export class Tasks implements TaskMethods {
  readonly queue: TaskQueue;

  readonly #context: ServerContext;
  readonly #requests: Requests;
  readonly #serializer: Serializer;
  readonly #options: TaskOptions;
  /** The task workers that take tasks. During a reload, two of them have the same number; the second one is the new one. */
  readonly #takers: Set<Taker> = new Set();
  /** The current task workers, by their numbers. */
  readonly #current: Map<number, Taker> = new Map();
  #held: Held[] = [];
  #heldBytes = 0;
  #pending = 0; // held ones included
  #lastId = -1;
  #turn = 0; // so that workers with as many tasks take turns

  /** @param mesh The links to the other processes, none of which has been made yet. */
  constructor(context: ServerContext, mesh: Mesh, requests: Requests, serializer: Serializer, options: TaskOptions) {
    this.#context = context;
    this.#requests = requests;
    this.#serializer = serializer;
    this.#options = options;
    this.queue = new TaskQueue(context, mesh, requests, serializer, options);
    mesh.handle(TASK_STATE, (link, bytes, start) => this.#onState(link, bytes[start] === IDLE));
    requests.serve(LEAVE_METHOD, (link) => this.#onLeft(link));
    mesh.watch({ onLeft: (link) => void this.#onLeft(link) });
  }

  get pendingCount(): number {
    return this.#pending;
  }

  // ---- task workers -------------------------------------------------------------------------------------------------

  #onState(link: Link, isIdle: boolean): void {
    for (const taker of this.#takers) {
      if (taker.link === link) return void (taker.isIdle = isIdle);
    }
    const taker: Taker = { link, pending: 0, isIdle };
    this.#takers.add(taker);
    this.#current.set(link.peer!.id, taker);
    this.#sendHeld();
  }

  /** Called when a task worker takes no more tasks. Its reply comes behind all tasks that it was given. */
  #onLeft(link: Link): Uint8Array {
    for (const taker of this.#takers) if (taker.link === link) this.#takers.delete(taker);
    const { id } = link.peer!;
    if (this.#current.get(id)?.link !== link) return EMPTY;
    this.#current.delete(id); // the new one of a reload did not get ready, or nobody is there for a moment
    for (const taker of this.#takers) if (taker.link.peer!.id === id) this.#current.set(id, taker);
    return EMPTY;
  }

  /**
   * Chooses an idle task worker, or else the one that has the fewest tasks of this process.
   *
   * @param workerId The only one that may be chosen, counted from 0 among the task workers; -1 for any.
   * @returns `undefined` if none is there at the moment; a failure if those that are have as many tasks as they may.
   */
  #choose(workerId: number): Taker | TaskFailure | undefined {
    const { workers, taskWorkers, mostPending } = this.#options;
    let best: Taker | undefined;
    let fewest = Infinity;
    let isThere = false;
    const count = workerId === -1 ? taskWorkers : 1;
    for (let i = 0; i < count; i++) {
      const taker = this.#current.get(workers + (workerId === -1 ? (this.#turn + i) % taskWorkers : workerId));
      if (taker === undefined) continue;
      isThere = true;
      const load = Math.max(taker.pending, taker.isIdle ? 0 : 1); // what keeps it busy may be the task of this process
      if (taker.pending >= mostPending || load >= fewest) continue;
      fewest = load;
      best = taker;
    }
    this.#turn = (this.#turn + 1) % taskWorkers;
    return best ??
      (isThere ? new TaskFailure(SWOOLE_ERROR_QUEUE_FULL, "the task workers have as many tasks as they may") : undefined);
  }

  // ---- giving tasks -------------------------------------------------------------------------------------------------

  give(data: unknown, workerId: number, call?: FinishHandler): number | TaskFailure {
    const given = this.#give(data, workerId);
    if (given instanceof TaskFailure) return given;
    const { id, outcome } = given;
    const { running } = this.#context;
    running.enter(); // a server that stops waits for the result
    outcome.then((result) => {
      this.#finish(id, result, call);
      running.leave();
    });
    return id;
  }

  #finish(id: number, outcome: Outcome | TaskFailure, call: FinishHandler | undefined): void {
    const context = this.#context;
    if (outcome instanceof TaskFailure) return context.fault(new Error(`Task ${id} has no result: ${outcome.reason}`));
    if (!outcome.hasValue) return;
    const { worker, value } = outcome;
    const args = context.settings.event_object ? [new TaskResult(id, worker, value)] : [id, value];
    if (call === undefined) context.emit("finish", ...args);
    else context.run(undefined, "finish", () => (call as (...args: unknown[]) => unknown)(context.server, ...args));
  }

  async wait(data: unknown, workerId: number, timeout: number): Promise<unknown | TaskFailure> {
    const given = this.#give(data, workerId);
    if (given instanceof TaskFailure) return given;
    const outcome = await within(given, timeout);
    return outcome instanceof TaskFailure ? outcome : outcome.value;
  }

  #give(data: unknown, workerId: number): Given | TaskFailure {
    const { taskWorkers, mostPending } = this.#options;
    if (!Number.isInteger(workerId) || workerId < -1 || workerId >= taskWorkers) {
      return new TaskFailure(SWOOLE_ERROR_INVALID_PARAMS, `there is no task worker ${workerId}`);
    }
    const taker = this.#choose(workerId);
    if (taker instanceof TaskFailure) return taker;
    if (taker === undefined && this.#held.length >= mostPending) {
      return new TaskFailure(SWOOLE_ERROR_QUEUE_FULL, "as many tasks as may wait for a task worker");
    }
    // Data may be large. It is not copied for a queue that is full.
    const bytes = this.#hasRoom(taker, 1) ? this.#serializer.serialize(data) : undefined;
    if (bytes === undefined || !this.#hasRoom(taker, bytes.length)) {
      return new TaskFailure(SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW, "there is no room for so many bytes");
    }
    const id = this.#lastId = (this.#lastId + 1) % 0x80000000;
    const body = new BodyWriter().uint32(id).add(bytes).take();
    this.#pending++;
    const given = taker === undefined ? this.#hold(id, workerId, body) : { id, outcome: this.#send(taker, body), takeBack() {} };
    given.outcome.then(() => this.#pending--);
    return given;
  }

  /** Reports whether so many bytes of data can be sent to a task worker, or wait for one that is not there. */
  #hasRoom(taker: Taker | undefined, bytes: number): boolean {
    const size = REQUEST_HEADER + bytes;
    return taker === undefined ? this.#heldBytes + size <= this.#context.settings.worker_buffer_size : taker.link.hasRoom(size);
  }

  #send(taker: Taker, body: Uint8Array): Promise<Outcome | TaskFailure> {
    const { link } = taker;
    taker.pending++;
    const outcome = this.#requests.ask(link, TASK_METHOD, body, Infinity).then(
      (reply) => this.#read(reply, link),
      (error: RequestError) => new TaskFailure(CODES[error.failure], `${nameOf(link)}: ${error.message}`),
    );
    outcome.then(() => taker.pending--);
    return outcome;
  }

  #hold(id: number, workerId: number, body: Uint8Array): Given {
    let resolve!: Held["resolve"];
    const outcome = new Promise<Outcome | TaskFailure>((settle) => resolve = settle);
    const held: Held = { workerId, body, resolve };
    this.#held.push(held);
    this.#heldBytes += body.length;
    return { id, outcome, takeBack: () => this.#takeBack(held) };
  }

  /** Sends the tasks that have waited for a task worker to be there. */
  #sendHeld(): void {
    const all = this.#held;
    this.#held = [];
    for (const held of all) {
      const taker = this.#choose(held.workerId);
      if (taker === undefined || taker instanceof TaskFailure) {
        this.#held.push(held);
        continue;
      }
      this.#heldBytes -= held.body.length;
      this.#send(taker, held.body).then(held.resolve);
    }
  }

  #takeBack(held: Held): void {
    const at = this.#held.indexOf(held);
    if (at < 0) return;
    this.#held.splice(at, 1);
    this.#heldBytes -= held.body.length;
    held.resolve(LATE);
  }

  close(): void {
    for (const { resolve } of this.#held.splice(0)) resolve(new TaskFailure(EPIPE, "the server has stopped"));
  }

  #read(reply: Uint8Array, link: Link): Outcome | TaskFailure {
    const worker = link.peer!.id;
    if (reply.length === 0) return { worker, hasValue: false, value: undefined };
    try {
      return { worker, hasValue: true, value: this.#serializer.deserialize(reply) };
    } catch (error) {
      return new TaskFailure(EIO, `${nameOf(link)}: the result cannot be read: ${(error as Error).message}`);
    }
  }
}

function nameOf({ peer }: Link): string {
  return `task worker ${peer!.id} (process ${peer!.pid})`;
}

const LATE = new TaskFailure(ETIMEDOUT, "the time is over");

/** Waits for the outcome of a task, at most so many milliseconds. */
function within({ outcome, takeBack }: Given, timeout: number): Promise<Outcome | TaskFailure> {
  if (timeout === Infinity) return outcome;
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      takeBack();
      resolve(LATE);
    }, delayOf(timeout / 1000));
    outcome.then((result) => {
      clearTimeout(timer);
      resolve(result);
    });
  });
}

/** The codes for requests without a reply. */
const CODES: Readonly<Record<RequestFailure, number>> = {
  gone: EPIPE,
  late: ETIMEDOUT,
  full: SWOOLE_ERROR_QUEUE_FULL,
  failed: EIO,
};
