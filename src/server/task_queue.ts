/**
 * The tasks that have arrived in a task worker: one is done after the other, and its result is sent to the process that
 * has given it.
 *
 * @module
 */

import type { Link } from "../cluster/link.ts";
import type { Mesh } from "../cluster/mesh.ts";
import type { Requests } from "../cluster/requests.ts";
import { BodyReader, TASK_STATE } from "../cluster/wire.ts";
import { EMPTY, sliceBytes } from "../transport/bytes.ts";
import { nextTurn } from "../transport/current_runtime.ts";
import { promised } from "./running_handlers.ts";
import type { ServerContext } from "./server_context.ts";
import { BUSY, IDLE, LEAVE_METHOD, Task, TASK_METHOD, type TaskDoing, type TaskOptions } from "./task.ts";
import type { Serializer } from "./worker_messages.ts";

/** What a reply needs besides the result, in bytes; generously. */
const REPLY_HEADER = 64;

/** A task that has arrived. */
interface Arrived {
  readonly task: Task;
  /** Called when its handler has settled. */
  readonly done: (error: unknown, hasFailed: boolean) => void;
}

/** The tasks of a task worker. */
export class TaskQueue implements TaskDoing {
  doneCount = 0;
  onDone: (() => void) | undefined = undefined;

  readonly #context: ServerContext;
  readonly #mesh: Mesh;
  readonly #requests: Requests;
  readonly #serializer: Serializer;
  readonly #options: TaskOptions;
  #waiting: Arrived[] = [];
  #next = 0; // index of the first task that waits
  #running = 0;
  #current: Task | undefined = undefined; // if there is one at a time
  #isOpen = false;
  #isScheduled = false;
  #isTold = false; // that it is busy
  #isLeaving = false;

  constructor(context: ServerContext, mesh: Mesh, requests: Requests, serializer: Serializer, options: TaskOptions) {
    this.#context = context;
    this.#mesh = mesh;
    this.#requests = requests;
    this.#serializer = serializer;
    this.#options = options;
    requests.serve(TASK_METHOD, (link, body) => this.#onTask(link, body));
    mesh.watch({ onJoined: (link) => this.#isOpen && this.#tell(link) });
  }

  open(): void {
    this.#isOpen = true;
    this.#tellAll();
    this.#schedule();
  }

  async leave(timeout: number): Promise<void> {
    this.#isLeaving = true;
    await Promise.allSettled(this.#mesh.links.map((link) => this.#requests.ask(link, LEAVE_METHOD, EMPTY, timeout)));
  }

  #tell(link: Link): void {
    if (!this.#isLeaving) link.tell(TASK_STATE, Uint8Array.of(this.#isTold ? BUSY : IDLE));
  }

  #tellAll(): void {
    for (const link of this.#mesh.links) this.#tell(link);
  }

  #onTask({ peer }: Link, body: Uint8Array): Promise<Uint8Array> {
    const reader = new BodyReader(body, 0, body.length);
    const id = reader.uint32();
    const data = this.#serializer.deserialize(sliceBytes(body, reader.at, body.length));
    if (this.#context.config.handler("task") === undefined) throw new Error("there is no handler for task");
    return new Promise((resolve, reject) => {
      let isSent = false;
      const finish = (result: unknown): boolean => {
        if (isSent) return false;
        const bytes = this.#serialize(result);
        isSent = true;
        resolve(bytes);
        return true;
      };
      const done = (error: unknown, hasFailed: boolean) => {
        if (isSent) return;
        isSent = true;
        if (hasFailed) reject(error);
        else resolve(EMPTY);
      };
      this.#waiting.push({ task: new Task(id, peer!.id, data, finish), done });
      this.#context.running.enter();
      this.#schedule();
    });
  }

  #serialize(result: unknown): Uint8Array {
    const bytes = this.#serializer.serialize(result);
    const most = this.#context.settings.worker_buffer_size - REPLY_HEADER;
    if (bytes.length <= most) return bytes;
    throw new RangeError(`Cannot send the result of a task: it has ${bytes.length} bytes, more than worker_buffer_size allows`);
  }

  /**
   * Begins tasks in a later turn: what was sent before, such as the result of the last one, has then left, even if the handler
   * blocks the process.
   */
  #schedule(): void {
    const { isConcurrent } = this.#options;
    const hasWork = this.#next < this.#waiting.length && (isConcurrent || this.#running === 0);
    const isBusy = hasWork || (this.#running > 0 && !isConcurrent);
    if (!this.#isOpen) return;
    if (isBusy !== this.#isTold) {
      this.#isTold = isBusy;
      this.#tellAll();
    }
    if (!hasWork || this.#isScheduled) return;
    this.#isScheduled = true;
    nextTurn(() => {
      this.#isScheduled = false;
      this.#begin();
      this.#schedule();
    });
  }

  #begin(): void {
    const { isConcurrent } = this.#options;
    do {
      const arrived = this.#waiting[this.#next++];
      this.#running++;
      if (!isConcurrent) this.#current = arrived.task;
      this.#do(arrived);
    } while (isConcurrent && this.#next < this.#waiting.length);
    if (this.#next === this.#waiting.length || this.#next >= 1024) {
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
    }
  }

  #do(arrived: Arrived): void {
    const { task } = arrived;
    const { config, server, counters } = this.#context;
    const handler = config.handler("task")!;
    const begun = counters.sample();
    let result: unknown;
    try {
      result = this.#options.asObject || this.#options.isConcurrent
        ? handler(server, task)
        : handler(server, task.id, task.worker_id, task.data);
    } catch (error) {
      return this.#end(arrived, error, true);
    }
    const promise = promised(result);
    if (begun !== 0) counters.measure("task", begun, promise);
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
    this.#running--;
    this.#current = undefined;
    this.doneCount++;
    this.onDone?.();
    this.#schedule();
  }

  finish(result: unknown): boolean {
    return this.#current?.finish(result) ?? false;
  }
}
