/**
 * The files that a server keeps while it runs: `pid_file` and `stats_file`.
 *
 * @module
 */

import type { Runtime } from "../runtime.ts";
import type { ServerCore } from "./core.ts";
import { collectStats, toStatsFile } from "./stats.ts";

/** Writes files, and removes what is of no use afterwards. */
export class Housekeeping {
  readonly #core: ServerCore;
  readonly #runtime: Runtime;
  #timer: ReturnType<typeof setInterval> | undefined = undefined;
  #writing: Promise<void> | undefined = undefined;
  #hasPidFile = false;

  constructor(core: ServerCore, runtime: Runtime) {
    this.#core = core;
    this.#runtime = runtime;
  }

  /** Begins. Rejects when the `pid_file` cannot be written. */
  async start(): Promise<void> {
    const { pid_file, stats_file, stats_timer_interval } = this.#core.settings;
    if (pid_file !== "") {
      try {
        await this.#runtime.writeTextFile(pid_file, `${this.#runtime.pid}`);
      } catch (cause) {
        throw new Error(`Cannot write pid_file: ${cause instanceof Error ? cause.message : cause}`, { cause });
      }
      this.#hasPidFile = true;
    }
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

  /** Ends. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
    if (!this.#hasPidFile) return;
    this.#hasPidFile = false;
    await this.#runtime.removeFile(this.#core.settings.pid_file).catch((error) => this.#core.fault(error));
  }
}
