/**
 * How the workers of a master are: for metrics, and for health checks.
 *
 * @module
 */

import type { Clock } from "./clock.ts";
import { type Post, type WorkerProcess, YOUNG } from "./worker_process.ts";

/** What a worker is for. */
export type WorkerKind = "worker" | "task";

/** How a process is, or that a worker has none. */
export type WorkerState = "starting" | "ready" | "leaving" | "down";

/** Looks at the workers of a master. */
export class WorkerCensus {
  /** The number of processes that have ended: `told` to, in order, or otherwise. */
  readonly exits: { told: number; died: number } = { told: 0, died: 0 };

  readonly #posts: readonly Post[];
  readonly #processes: ReadonlySet<WorkerProcess>;
  readonly #workers: number;
  readonly #clock: Clock;

  /** @param workers The number of workers that are not task workers. */
  constructor(posts: ReadonlyArray<Post>, processes: ReadonlySet<WorkerProcess>, workers: number, clock: Clock) {
    this.#posts = posts;
    this.#processes = processes;
    this.#workers = workers;
    this.#clock = clock;
  }

  /** Counts a process that has ended. */
  addExit(wasTold: boolean): void {
    if (wasTold) this.exits.told++;
    else this.exits.died++;
  }

  /** The numbers of processes by kind and state. */
  get states(): (readonly [kind: WorkerKind, state: WorkerState, count: number])[] {
    const kinds: WorkerKind[] = this.#workers < this.#posts.length ? ["worker", "task"] : ["worker"];
    return kinds.flatMap((kind) => {
      const counts = { starting: 0, ready: 0, leaving: 0, down: 0 };
      const isOfKind = ({ id }: { readonly id: number }) => (id >= this.#workers) === (kind === "task");
      for (const worker of this.#processes) if (isOfKind(worker)) counts[stateOf(worker)]++;
      for (const post of this.#posts) if (isOfKind(post) && post.current === undefined) counts.down++;
      return (Object.keys(counts) as WorkerState[]).map((state) => [kind, state, counts[state]] as const);
    });
  }

  /**
   * The numbers of the workers that do not serve: those without a process that is ready, and those whose last one has died young,
   * until the next one has lived longer.
   */
  get missing(): number[] {
    const { now } = this.#clock;
    return this.#posts.filter(({ current, deaths }) => {
      return !current?.isReady || (deaths > 0 && now - current.readyAt < YOUNG);
    }).map(({ id }) => id);
  }
}

function stateOf({ isReady, stage }: WorkerProcess): WorkerState {
  return isReady ? "ready" : stage === "leaving" ? "leaving" : "starting";
}
