/**
 * `stats()` and metrics over all processes of a server: each tells the others its counters about once a second, and when it is asked.
 *
 * @module
 */

import type { Link, Member } from "../cluster/link.ts";
import type { Mesh } from "../cluster/mesh.ts";
import type { RequestError, Requests } from "../cluster/requests.ts";
import { STATS } from "../cluster/wire.ts";
import { EMPTY } from "../transport/bytes.ts";
import { utf8Decoder, utf8Encoder } from "../values.ts";
import { SILENT } from "./metric_families.ts";
import type { AllStats, Metrics } from "./all_processes.ts";
import { addMetrics, countersOfMetrics, raiseMetrics, subtractMetrics } from "./metrics.ts";
import { SharedResult } from "./shared_result.ts";
import { addNumbers, countersOfNumbers, type Numbers, raiseNumbers, subtractNumbers } from "./worker_numbers.ts";

/** How often a process tells its counters, in milliseconds; less often if collecting them takes more than a twentieth of the time. */
const INTERVAL = 1000;
const LONGEST_INTERVAL = 5000;
const SHARE = 20;

/** How often it does so although nothing has happened, in milliseconds: its memory may have changed. */
const IDLE_INTERVAL = 10_000;

/** The master tells the others of so many processes that have ended last. */
const MOST_REMEMBERED = 255;

/**
 * The method of requests for metrics. The master asks the others for what they have counted until now; a worker asks the master for
 * the metrics of all. So what was shown once is known to the master, and does not fall when a worker is killed.
 */
const METRICS = 48;

/** How long another process may take to tell the master, in milliseconds, and the master to reply to a worker. */
const TELL_TIMEOUT = 1000;
const MASTER_TIMEOUT = 1500;

/** What a process has counted: for `stats()`, and for metrics. */
export interface Counts {
  readonly stats: Numbers;
  readonly metrics: Metrics;
}

function add(sum: Counts, { metrics, stats }: Counts): void {
  addNumbers(sum.stats, stats);
  addMetrics(sum.metrics, metrics);
}

function countersOf({ metrics, stats }: Counts): Counts {
  return { stats: countersOfNumbers(stats), metrics: countersOfMetrics(metrics) };
}

/** What one process has told last. */
interface Report {
  counts: Counts;
  /** Whether its link has ended. Its counters are used until the master counts them. */
  hasLeft: boolean;
  /** Whether the master knows that the process has ended: its link is not made again. */
  hasExited: boolean;
}

/** What a process says: its own counts; the master also what those have counted that have ended, and the last of these. */
interface Told {
  readonly own: Counts;
  readonly ended?: Counts | undefined;
  readonly names?: string[] | undefined;
}

/** The counters of all processes, in one of them. */
export class WorkerStats implements AllStats {
  readonly #mesh: Mesh;
  readonly #requests: Requests;
  readonly #collect: () => Counts;
  readonly #workers: number;
  readonly #warn: (message: string) => void;
  readonly #reports: Map<string, Report> = new Map();
  readonly #fresh: SharedResult<Metrics>;
  #ended: Counts = { stats: {}, metrics: {} }; // counted by the master
  #endedNames: ReadonlySet<string> = new Set();
  // In the master: the processes in `#ended`, and what each has counted as long as its link may be made again.
  readonly #remembered: Map<string, Counts | undefined> = new Map();
  #startTime = 0; // of the master
  #due = 0;
  #idleDue = 0;
  #took = 0; // collecting the counters the last time, in milliseconds
  // The counters that were shown last. What one process has known, another one, which counts those that have ended, may not.
  #shownStats: Numbers = {};
  #shownMetrics: Metrics = {};
  #hasWarned = false; // of metrics that are too large for a link
  #last = ""; // what `stats()` was made from when it was told last

  /**
   * @param mesh The links to the other processes, none of which has been made yet.
   * @param collect Returns the counters of this process.
   * @param workers The number of workers that are not task workers.
   * @param warn Logs a warning.
   */
  constructor(
    mesh: Mesh,
    requests: Requests,
    collect: () => { stats: object; metrics: Metrics },
    workers: number,
    warn: (message: string) => void,
  ) {
    this.#mesh = mesh;
    this.#requests = requests;
    this.#collect = collect as () => Counts;
    this.#workers = workers;
    this.#warn = warn;
    this.#fresh = new SharedResult(() => this.#isMaster ? this.#askAll() : this.#askMaster());
    requests.serve(METRICS, (link) => {
      if (this.#isMaster) return this.freshMetrics().then((metrics) => utf8Encoder.encode(JSON.stringify(metrics)));
      link.tell(STATS, this.#describe(this.#collect())); // before the reply
      return EMPTY;
    });
    mesh.handle(STATS, (link, bytes, start, end) => this.#onTold(link, bytes.subarray(start, end)));
    mesh.watch({
      onJoined: (link) => link.tell(STATS, this.#describe(this.#collect())), // a new process knows all when it begins
      onLeft: ({ peer }) => this.#onLeft(nameOf(peer!)),
      onTick: (now) => this.#onTick(now),
    });
  }

  get #isMaster(): boolean {
    return this.#mesh.self.slot === 0;
  }

  tell(always = false): void {
    const own = this.#collect();
    own.stats.event_loop_delay = Math.round(own.stats.event_loop_delay as number * 100) / 100; // who does nothing has no news
    const stats = JSON.stringify(this.#isMaster ? [own.stats, this.#ended.stats] : own.stats);
    if (stats === this.#last && !always) return;
    this.#last = stats;
    const bytes = this.#describe(own);
    for (const link of this.#mesh.links) link.tell(STATS, bytes);
  }

  #onTick(now: number): void {
    if (now < this.#due) return;
    const begun = performance.now();
    const isIdleDue = now >= this.#idleDue;
    if (isIdleDue) this.#idleDue = now + IDLE_INTERVAL;
    this.tell(isIdleDue);
    const took = performance.now() - begun;
    const usual = Math.min(took, this.#took); // once may be because the machine was busy
    this.#took = took;
    this.#due = now + Math.min(LONGEST_INTERVAL, Math.max(INTERVAL, usual * SHARE)) - 100; // ticks may come a little early
  }

  #describe(own: Counts): Uint8Array {
    const names = this.#isMaster ? [...this.#remembered.keys()] : undefined;
    const ended = this.#isMaster ? this.#ended : undefined;
    const bytes = encode({ own, ended, names });
    if (bytes.length < this.#mesh.bufferSize) return bytes;
    if (!this.#hasWarned) this.#warn(`Metrics of ${bytes.length} bytes are not told to other processes, see worker_buffer_size`);
    this.#hasWarned = true;
    return encode({ own: { ...own, metrics: {} }, ended: ended && { ...ended, metrics: {} }, names });
  }

  #onTold({ peer }: Link, bytes: Uint8Array): void {
    const { own, ended, names }: Told = JSON.parse(utf8Decoder.decode(bytes));
    const name = nameOf(peer!);
    if (peer!.slot === 0) this.#startTime = own.stats.start_time as number;
    if (ended !== undefined && names !== undefined) {
      this.#ended = ended;
      this.#endedNames = new Set(names);
      for (const name of names) this.#reports.delete(name);
    }
    const counted = this.#remembered.get(name);
    if (counted !== undefined) this.#forget(name, counted); // only its link had ended
    if (this.#endedNames.has(name)) return;
    const report = this.#reports.get(name);
    if (report === undefined) this.#reports.set(name, { counts: own, hasLeft: false, hasExited: false });
    else Object.assign(report, { counts: own, hasLeft: false });
  }

  #onLeft(name: string): void {
    const report = this.#reports.get(name);
    if (report === undefined) return;
    report.hasLeft = true;
    if (!this.#isMaster) return;
    this.#reports.delete(name);
    const counters = countersOf(report.counts);
    this.#remembered.set(name, report.hasExited ? undefined : counters);
    add(this.#ended, counters);
    if (this.#remembered.size > MOST_REMEMBERED) this.#remembered.delete(this.#remembered.keys().next().value!);
    this.#due = 0; // a process that was joined meanwhile, and never knew that one, lacks its counters
  }

  exited(slot: number, pid: number): void {
    const name = nameOf({ slot, pid });
    const report = this.#reports.get(name);
    if (report !== undefined) report.hasExited = true;
    else if (this.#remembered.has(name)) this.#remembered.set(name, undefined);
  }

  #forget(name: string, counters: Counts): void {
    this.#remembered.delete(name);
    subtractNumbers(this.#ended.stats, counters.stats);
    subtractMetrics(this.#ended.metrics, counters.metrics);
  }

  sum(): object {
    const own = this.#collect().stats;
    const sum = { ...own };
    addNumbers(sum, this.#ended.stats);
    for (const { counts: { stats }, hasLeft } of this.#reports.values()) {
      addNumbers(sum, hasLeft ? countersOfNumbers(stats) : stats);
    }
    if (own.broker === undefined) delete sum.broker;
    sum.worker_num = this.#workers;
    sum.idle_worker_num = this.#idleWorkers();
    sum.start_time = this.#startTime || own.start_time;
    raiseNumbers(sum, this.#shownStats);
    this.#shownStats = countersOfNumbers(sum);
    return sum;
  }

  metrics(): Metrics {
    const sum = this.#collect().metrics;
    addMetrics(sum, this.#ended.metrics);
    for (const { counts: { metrics }, hasLeft } of this.#reports.values()) {
      addMetrics(sum, hasLeft ? countersOfMetrics(metrics) : metrics);
    }
    return this.#notLower(sum);
  }

  /** Raises counters that are lower than they were shown before. */
  #notLower(metrics: Metrics): Metrics {
    raiseMetrics(metrics, this.#shownMetrics);
    this.#shownMetrics = countersOfMetrics(metrics);
    return metrics;
  }

  freshMetrics(): Promise<Metrics> {
    return this.#fresh.get();
  }

  async #askMaster(): Promise<Metrics> {
    try {
      const reply = await this.#requests.ask(this.#mesh.linkOf(0), METRICS, EMPTY, MASTER_TIMEOUT);
      return this.#notLower(JSON.parse(utf8Decoder.decode(reply)));
    } catch {
      const silent = { [labelOf(this.#mesh.self)]: 0, [labelOf({ id: -1 })]: 1 };
      return { ...this.metrics(), [SILENT]: silent };
    }
  }

  async #askAll(): Promise<Metrics> {
    const { links, self } = this.#mesh;
    const replies = await Promise.allSettled(links.map((link) => this.#requests.ask(link, METRICS, EMPTY, TELL_TIMEOUT)));
    const silent: Record<string, number> = { [labelOf(self)]: 0 };
    for (const [index, { peer }] of links.entries()) {
      const reply = replies[index];
      const isSilent = reply.status === "rejected" && (reply.reason as RequestError).failure !== "gone";
      const label = labelOf(peer!); // while a worker is replaced, two have the same
      silent[label] = Math.max(silent[label] ?? 0, isSilent ? 1 : 0);
    }
    return { ...this.metrics(), [SILENT]: silent };
  }

  /** Returns the number of workers that had no handler under way. This one is busy: it asks. */
  #idleWorkers(): number {
    let count = 0;
    for (const { peer } of this.#mesh.links) {
      const { id } = peer!;
      if (id < 0 || id >= this.#workers) continue;
      if (this.#mesh.linkOfWorker(id)?.peer !== peer) continue; // another one has taken its place
      if (this.#reports.get(nameOf(peer!))?.counts.stats.handler_num === 0) count++;
    }
    return count;
  }
}

function encode(told: Told): Uint8Array {
  return utf8Encoder.encode(JSON.stringify(told));
}

function labelOf({ id }: Pick<Member, "id">): string {
  return `worker="${id}"`;
}

/** Names a process; no other one of the server has the same name. */
function nameOf({ slot, pid }: Pick<Member, "slot" | "pid">): string {
  return `${slot} ${pid}`;
}
