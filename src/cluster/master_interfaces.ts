/**
 * What a master is given, and what it tells.
 *
 * @module
 */

import type { ProcessExit } from "../transport/processes.ts";

/** What a master needs to know. Times are in seconds. */
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
  /** The process ID of the master. */
  readonly masterPid: number;
  /** The first sequence number of an fd. */
  readonly firstSeq: number;
  /** The numbers of the ports; 0 for one that the first worker picks. */
  readonly ports: readonly number[];
  /** Which ports the master accepts connections on, to pass them to the workers. */
  readonly passed: readonly boolean[];
  /** How long a worker may take until it is ready; 0 for no limit. */
  readonly startTimeout: number;
  /** How long handlers may run at the end; `Infinity` for no limit. */
  readonly waitTime: number;
  /** How long a worker that was replaced by a reload keeps its connections; `Infinity` for no limit. */
  readonly stayTime: number;
  /** Within which time the WebSockets of a worker that was replaced are closed. */
  readonly drainTime: number;
  /** How long WebSockets may take to close; `Infinity` for no limit. */
  readonly closeTimeout: number;
}

/** What a master tells its server. */
export interface MasterHost {
  /** Logs something. */
  warn(text: string): void;
  /** Called when a worker has ended that was not told to, or not in order. */
  onWorkerError(id: number, pid: number, exit: ProcessExit): void;
  /** Called when the process with a slot and a process ID has ended, however it did. */
  onExit(slot: number, pid: number): void;
  /** Called before and after a reload, which waits for a promise before it begins, as long as handlers may run at the end. */
  onReload(event: "beforereload" | "afterreload"): void | Promise<void>;
  /** Called when a worker has become ready. */
  onReady(): void;
  /** Called when a worker keeps dying: the server has to stop. */
  onGivenUp(error: Error): void;
  /** Called when a worker wants the server to stop. */
  onShutdown(wait: number, tell: number): void;
}
