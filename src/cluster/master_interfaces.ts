/**
 * What a master is given, and what it tells.
 *
 * @module
 */

import type { ProcessExit } from "../transport/processes.ts";

/** What a master needs to know. Times are in seconds; 0 means no limit. */
export interface MasterOptions {
  /** The number of workers. */
  readonly workers: number;
  /** The number of task workers, whose numbers follow. */
  readonly taskWorkers: number;
  /** The options of the runtime for the workers; by default those of this process. */
  readonly execArgv: readonly string[] | undefined;
  /** The secret of the cluster. */
  readonly token: string;
  /** The folder of the sockets of the mesh. */
  readonly folder: string;
  /** The first sequence number of an fd. */
  readonly firstSeq: number;
  /** The numbers of the ports; 0 for one that the first worker picks. */
  readonly ports: readonly number[];
  /** Which ports the master accepts connections on, to pass them to the workers. */
  readonly passed: readonly boolean[];
  /** How long a worker may take until it is ready. */
  readonly startTimeout: number;
  /** How long a worker that was replaced keeps its connections, and handlers may run at the end. */
  readonly waitTime: number;
  /** Within which time the WebSockets of a worker that was replaced are closed. */
  readonly drainTime: number;
  /** How long WebSockets may take to close. */
  readonly closeTimeout: number;
}

/** What a master tells its server. */
export interface MasterHost {
  /** Logs something that is as it should be. */
  info(text: string): void;
  /** Logs something that is not. */
  warn(text: string): void;
  /** Called when a worker has ended that was not told to, or not in order. */
  onWorkerError(id: number, pid: number, exit: ProcessExit): void;
  /** Called before and after a reload. It waits for a promise. */
  onReload(event: "beforereload" | "afterreload"): void | Promise<void>;
  /** Called when a worker has become ready. */
  onReady(): void;
  /** Called when a worker keeps dying: the server has to stop. */
  onGivenUp(error: Error): void;
  /** Called when a worker wants the server to stop. */
  onShutdown(wait: number, tell: number): void;
}
