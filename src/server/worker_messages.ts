/**
 * Messages between the workers of a server: `sendMessage()`, and the event `pipeMessage`.
 *
 * @module
 */

import type { Link } from "../cluster/link.ts";
import type { Mesh } from "../cluster/mesh.ts";
import { MESSAGE } from "../cluster/wire.ts";
import { EPIPE, SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW } from "../errors.ts";
import { EMPTY, sliceBytes } from "../transport/bytes.ts";
import type { ProcessControl } from "../transport/processes.ts";
import { LogThrottle } from "./log.ts";
import type { ServerContext } from "./server_context.ts";
import { PipeMessage } from "./server_event.ts";

/** How values become bytes. */
export type Serializer = Pick<ProcessControl, "serialize" | "deserialize">;

/**
 * Lets a server exchange messages with the other processes; see `WorkerMessages`.
 *
 * @param mesh The links to them, none of which has been made yet.
 */
export function useMessages(context: ServerContext, mesh: Mesh, serializer: Serializer, count: number): void {
  const messages = new WorkerMessages(context, mesh, serializer, count);
  context.sendMessage = (value, workerId) => messages.send(value, workerId);
}

/** The size of the smallest value as bytes. */
const SMALLEST = 1;

/** The messages of one process. */
export class WorkerMessages {
  readonly #context: ServerContext;
  readonly #mesh: Mesh;
  readonly #serializer: Serializer;
  readonly #count: number;
  readonly #log: LogThrottle;

  /**
   * @param mesh The links to the other processes.
   * @param count The number of workers, task workers included.
   */
  constructor(context: ServerContext, mesh: Mesh, serializer: Serializer, count: number) {
    this.#context = context;
    this.#mesh = mesh;
    this.#serializer = serializer;
    this.#count = count;
    this.#log = new LogThrottle(context.log);
    mesh.handle(MESSAGE, (link, bytes, start, end) => this.#receive(link, sliceBytes(bytes, start, end)));
  }

  /**
   * Sends a value to a worker. Returns 0, or the code for `getLastError()`.
   *
   * @param workerId The number of the worker; -1 for the master.
   * @throws {DOMException | Error} If the value cannot be cloned. One that is not sent for another reason is not looked at.
   */
  send(value: unknown, workerId: number): number {
    const isWorker = Number.isInteger(workerId) && workerId >= -1 && workerId < this.#count;
    if (!isWorker || workerId === this.#mesh.self.id) return SWOOLE_ERROR_INVALID_PARAMS;
    const link = this.#mesh.linkOfWorker(workerId);
    if (link === undefined) return EPIPE;
    // A value may be large. It is not copied for a queue that is full.
    const isSent = link.hasRoom(SMALLEST) && link.send(MESSAGE, EMPTY, this.#serializer.serialize(value));
    return isSent ? 0 : SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW;
  }

  #receive({ peer }: Link, bytes: Uint8Array): void {
    const { id } = peer!;
    if (this.#context.config.handler("pipemessage") === undefined) {
      return this.#log.warn(
        "warning",
        "pipeMessage",
        () => [`A message of worker ${id} is lost: there is no handler for pipeMessage`, {}],
      );
    }
    let value: unknown;
    try {
      value = this.#serializer.deserialize(bytes);
    } catch (error) {
      return this.#context.fault(error);
    }
    if (this.#context.settings.event_object) this.#context.emit("pipemessage", new PipeMessage(id, value));
    else this.#context.emit("pipemessage", id, value);
  }
}
