/**
 * The file that a server writes while it runs: `stats_file`.
 *
 * @module
 */

import type { Runtime } from "../runtime.ts";
import type { ServerCore } from "./core.ts";
import { collectStats, toStatsFile } from "./stats.ts";

/** Writes the counters of a server to a file, again and again. */
export class Housekeeping {
  readonly #core: ServerCore;
  readonly #runtime: Runtime;
  #timer: ReturnType<typeof setInterval> | undefined = undefined;
  #writing: Promise<void> | undefined = undefined;

  constructor(core: ServerCore, runtime: Runtime) {
    this.#core = core;
    this.#runtime = runtime;
  }

  /** Begins. */
  start(): void {
    const { stats_file, stats_timer_interval } = this.#core.settings;
    if (stats_file === "") return;
    this.#timer = setInterval(() => this.#writeStats(stats_file), stats_timer_interval);
    (this.#timer as unknown as { unref?(): void }).unref?.(); // the server keeps the program alive, not this
  }

  /** One write at a time. */
  #writeStats(path: string): void {
    if (this.#writing !== undefined) return;
    this.#writing = this.#runtime.writeTextFile(path, toStatsFile(collectStats(this.#core), path))
      .catch((error) => this.#core.fault(error))
      .then(() => this.#writing = undefined);
  }

  /** Ends, once what is being written is written. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
  }
}
