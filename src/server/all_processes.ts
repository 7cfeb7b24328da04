/**
 * What a process knows of all processes of its server, as the rest of the server sees it.
 *
 * @module
 */

/** A value of a metric; of a histogram, the number of values in each bucket, from the lowest on, and then their sum in millionths. */
export type MetricValue = number | readonly number[];

/** The values of a family of metrics, by their labels as they are in the text. */
export type MetricValues = Record<string, MetricValue>;

/** The values of all families, by their names. */
export type Metrics = Record<string, MetricValues>;

/** The counters of all processes, see `WorkerStats`. */
export interface AllStats {
  /** Returns what `stats()` returns, from the own counters and what the others have told last. */
  sum(): object;
  /** Returns the metrics in the same way. */
  metrics(): Metrics;
  /** Asks the others before that, for a second or so at most. */
  freshMetrics(): Promise<Metrics>;
  /** Tells the others the counters of this process, if those of `stats()` have changed, or `always`. */
  tell(always?: boolean): void;
  /** Called in the master when a process has ended, before or after its link. */
  exited(slot: number, pid: number): void;
}

/** Why a server should not get requests. */
export interface Unreadiness {
  /** The reasons; none if it should get them. */
  readonly reasons: readonly string[];
  /** The numbers of the workers that are the reason; -1 for the master. */
  readonly workers: readonly number[];
}

/** The health of all processes, see `WorkerHealth`. */
export interface AllHealth {
  /** Asks the other processes, for a second at most, and says why the server is not ready. */
  check(): Promise<Unreadiness>;
}
