/**
 * Certificates that are read again while the server runs, in all its processes.
 *
 * @module
 */

import { RequestError } from "../cluster/requests.ts";
import { EMPTY } from "../transport/bytes.ts";
import { utf8Decoder, utf8Encoder } from "../values.ts";
import type { ServerContext } from "./server_context.ts";
import type { ServerProcesses } from "./server_processes.ts";

/** What is needed of a server. */
export interface RenewalHost {
  /** What everything in the server shares. */
  readonly context: ServerContext;
  /** What this process is to the others, if there are several. */
  readonly processes: ServerProcesses | undefined;
  /** Reads the certificates of this process again. */
  renewHere(): Promise<void>;
}

/** Why certificates were not renewed. */
interface RenewalError extends Error {
  /** The numbers of the workers that go on with the old ones, if others have new ones. */
  workers?: readonly number[];
}

/** The method of requests to read the certificates again. */
const RENEW = 1;

/** The renewals of one server. */
export class Renewal {
  readonly #host: RenewalHost;
  #running: Promise<Error | undefined> = Promise.resolve(undefined);
  #next: Promise<Error | undefined> | undefined = undefined; // it has not begun

  constructor(host: RenewalHost) {
    this.#host = host;
  }

  /**
   * Reads the certificates again in all processes that accept connections. One renewal runs at a time: a process that is stopped
   * may hold it up for a while. Calls meanwhile share the next one.
   *
   * @returns Resolves to the error if the certificates stay as they are, in one worker or in all.
   */
  run(): Promise<Error | undefined> {
    return this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      return this.#running = this.#renew();
    });
  }

  async #renew(): Promise<Error | undefined> {
    const { context, processes } = this.#host;
    try {
      await (processes === undefined ? this.#host.renewHere() : renewEverywhere(this.#host, processes));
    } catch (error) {
      const { message, workers } = error as RenewalError;
      const where = workers === undefined ? "" : ` in ${workers.length === 1 ? "worker" : "workers"} ${workers.join(", ")}`;
      context.log.warn(`The certificates stay as they are${where}: ${message}`);
      return error as Error;
    }
  }
}

/** Reads certificates again when another process asks for it. The reply has the error, if there is one. */
export function serveRenewing(host: Pick<RenewalHost, "context" | "renewHere">): void {
  host.context.requests!.serve(RENEW, async () => {
    try {
      await host.renewHere();
      return EMPTY;
    } catch (error) {
      const { message, code, cause } = error as Error & { code?: unknown };
      return utf8Encoder.encode(JSON.stringify({ message, code: code ?? (cause as { code?: unknown } | undefined)?.code }));
    }
  });
}

/**
 * Reads the certificates again in all workers. That one ends meanwhile is no error.
 *
 * @throws {RenewalError} The first error.
 */
export async function renewEverywhere(host: RenewalHost, { isWorker, isTaskWorker, workers }: ServerProcesses): Promise<void> {
  const { mesh, requests } = host.context;
  const ids: number[] = [];
  const renewals: Promise<Uint8Array>[] = [];
  if (isWorker && !isTaskWorker) {
    ids.push(mesh!.self.id);
    renewals.push(host.renewHere().then(() => EMPTY));
  }
  for (const link of mesh!.links) {
    const { id } = link.peer!;
    if (id < 0 || id >= workers) continue;
    ids.push(id);
    renewals.push(requests!.ask(link, RENEW));
  }
  let first: Error | undefined;
  const failed: Set<number> = new Set();
  let isPartly = false;
  for (const [index, result] of (await Promise.allSettled(renewals)).entries()) {
    const error = errorOf(result);
    if (error === undefined) isPartly = true;
    else if (error instanceof RequestError && error.failure === "gone") continue; // it has ended meanwhile
    else {
      first ??= error;
      failed.add(ids[index]);
    }
  }
  if (first !== undefined) throw isPartly ? Object.assign(first, { workers: [...failed].sort((a, b) => a - b) }) : first;
}

/** Returns why a process has not renewed its certificates. */
function errorOf(result: PromiseSettledResult<Uint8Array>): Error | undefined {
  if (result.status === "rejected") return result.reason;
  if (result.value.length === 0) return undefined;
  const { message, code } = JSON.parse(utf8Decoder.decode(result.value)) as { message: string; code?: unknown };
  return Object.assign(new Error(message), { code });
}
