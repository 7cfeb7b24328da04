/**
 * `stats()` over all processes of a server: each tells the others its counters about once a second.
 *
 * @module
 */

import type { Link, Member } from "../cluster/link.ts";
import type { Mesh } from "../cluster/mesh.ts";
import { STATS } from "../cluster/wire.ts";
import { utf8Decoder, utf8Encoder } from "../values.ts";

/** How often a process tells its counters, in milliseconds; less often if collecting them takes more than a twentieth of the time. */
const INTERVAL = 1000;
const LONGEST_INTERVAL = 5000;
const SHARE = 20;

/** For so many processes that have ended last, the master remembers what each of them has counted. */
const MOST_REMEMBERED = 255;

/** Numbers by name, in objects. */
type Numbers = { [name: string]: number | boolean | Numbers | undefined };

/** The members that do not fall: what is kept of a process that has ended. */
const COUNTERS: ReadonlySet<string> = new Set([
  "abort_count",
  "packet_drop_count",
  "accept_count",
  "close_count",
  "dispatch_count",
  "request_count",
  "response_count",
  "total_recv_bytes",
  "total_send_bytes",
  "refuse_count",
  "refusals",
  "violation_count",
  "violations",
  "timeout_count",
  "timeouts",
  "closes",
  "publish_count",
  "refused_publish_count",
  "slow_readers",
  "error_count",
  "refused_send_count",
  "remote_failures",
  "log_lost_count",
  "broker",
  "reconnect_count",
  "malformed_count",
  "failed",
  "history_reads",
  "recovered",
  "gaps",
]);

/** The members of which the largest number holds for all processes. */
const LARGEST: ReadonlySet<string> = new Set(["session_round", "max_fd", "event_loop_delay", "lag"]);

/** The members that are about this process, or the same in all. */
const OWN: ReadonlySet<string> = new Set([
  "start_time",
  "worker_num",
  "task_worker_num",
  "user_worker_num",
  "worker_request_count",
  "worker_response_count",
  "worker_dispatch_count",
  "worker_concurrency",
]);

/** Adds numbers to others. */
function add(sum: Numbers, other: Numbers): void {
  for (const [key, value] of Object.entries(other)) {
    const before = sum[key];
    if (OWN.has(key)) continue;
    if (typeof value === "object") add(sum[key] = { ...before as Numbers | undefined }, value);
    else if (typeof value === "boolean") sum[key] = before !== false && value;
    else if (typeof value !== "number") continue;
    else if (typeof before !== "number") sum[key] = value;
    else if (LARGEST.has(key)) sum[key] = Math.max(before, value);
    else if (key === "min_fd") sum[key] = Math.min(before || value, value || before);
    else sum[key] = before + value;
  }
}

/** Returns the counters of numbers that are the sum of all time. */
function countersOf(numbers: Numbers, areAll = false): Numbers {
  const counters: Numbers = {};
  for (const [key, value] of Object.entries(numbers)) {
    if (!areAll && !COUNTERS.has(key)) continue;
    counters[key] = typeof value === "object" ? countersOf(value, key !== "broker") : value;
  }
  return counters;
}

/** What one process has told last. */
interface Report {
  readonly numbers: Numbers;
  /** Whether its link has ended. Its counters are used until the master counts them. */
  hasLeft: boolean;
}

/** What a process says: its own numbers; the master also what those have counted that have ended, and the last of these. */
interface Told {
  readonly own: Numbers;
  readonly ended?: Numbers;
  readonly names?: string[];
}

/** The counters of all processes, in one of them. */
export class WorkerStats {
  readonly #mesh: Mesh;
  readonly #collect: () => Numbers;
  readonly #workers: number;
  readonly #reports: Map<string, Report> = new Map();
  #ended: Numbers = {}; // counted by the master
  #endedNames: ReadonlySet<string> = new Set();
  readonly #remembered: Map<string, Numbers> = new Map(); // in the master: what is in `#ended`, by process
  #startTime = 0; // of the master
  #due = 0;
  #last = "";

  /**
   * @param mesh The links to the other processes, none of which has been made yet.
   * @param collect Returns the counters of this process.
   * @param workers The number of workers that are not task workers.
   */
  constructor(mesh: Mesh, collect: () => object, workers: number) {
    this.#mesh = mesh;
    this.#collect = collect as () => Numbers;
    this.#workers = workers;
    mesh.handle(STATS, (link, bytes, start, end) => this.#onTold(link, bytes.subarray(start, end)));
    mesh.watch({
      onJoined: (link) => link.tell(STATS, utf8Encoder.encode(this.#describe())), // a new process knows all when it begins
      onLeft: ({ peer }) => this.#onLeft(nameOf(peer!)),
      onTick: (now) => this.#onTick(now),
    });
  }

  get #isMaster(): boolean {
    return this.#mesh.self.slot === 0;
  }

  /** Tells the others the counters of this process. Called once more when it stops. */
  tell(): void {
    const text = this.#describe();
    if (text === this.#last) return;
    this.#last = text;
    const bytes = utf8Encoder.encode(text);
    for (const link of this.#mesh.links) link.tell(STATS, bytes);
  }

  #onTick(now: number): void {
    if (now < this.#due) return;
    const begun = performance.now();
    this.tell();
    const pause = Math.min(LONGEST_INTERVAL, Math.max(INTERVAL, (performance.now() - begun) * SHARE));
    this.#due = now + pause - 100; // ticks come every 250 ms, or a little earlier
  }

  #describe(): string {
    const own = this.#collect();
    own.event_loop_delay = Math.round(own.event_loop_delay as number * 100) / 100; // a process that does nothing has no news
    const told: Told = this.#isMaster ? { own, ended: this.#ended, names: [...this.#remembered.keys()] } : { own };
    return JSON.stringify(told);
  }

  #onTold({ peer }: Link, bytes: Uint8Array): void {
    const { own, ended, names }: Told = JSON.parse(utf8Decoder.decode(bytes));
    const name = nameOf(peer!);
    if (peer!.slot === 0) this.#startTime = own.start_time as number;
    if (ended !== undefined && names !== undefined) {
      this.#ended = ended;
      this.#endedNames = new Set(names);
      for (const name of names) this.#reports.delete(name);
    }
    const counted = this.#remembered.get(name);
    if (counted !== undefined) this.#forget(name, counted); // only its link had ended
    if (!this.#endedNames.has(name)) this.#reports.set(name, { numbers: own, hasLeft: false });
  }

  #onLeft(name: string): void {
    const report = this.#reports.get(name);
    if (report === undefined) return;
    report.hasLeft = true;
    if (!this.#isMaster) return;
    this.#reports.delete(name);
    const counters = countersOf(report.numbers);
    this.#remembered.set(name, counters);
    add(this.#ended, counters);
    if (this.#remembered.size > MOST_REMEMBERED) this.#remembered.delete(this.#remembered.keys().next().value!);
  }

  #forget(name: string, counters: Numbers): void {
    this.#remembered.delete(name);
    subtract(this.#ended, counters);
  }

  /** Returns the counters of all processes, from the own ones and what the others have told last. */
  sum(): object {
    const own = this.#collect();
    const sum = { ...own };
    add(sum, this.#ended);
    for (const { numbers, hasLeft } of this.#reports.values()) add(sum, hasLeft ? countersOf(numbers) : numbers);
    if (own.broker === undefined) delete sum.broker;
    sum.worker_num = this.#workers;
    sum.idle_worker_num = this.#idleWorkers();
    sum.start_time = this.#startTime || own.start_time;
    return sum;
  }

  /** Returns the number of workers that had no handler under way. This one is busy: it asks. */
  #idleWorkers(): number {
    let count = 0;
    for (const { peer } of this.#mesh.links) {
      const { id } = peer!;
      if (id < 0 || id >= this.#workers) continue;
      if (this.#mesh.linkOfWorker(id)?.peer !== peer) continue; // another one has taken its place
      if (this.#reports.get(nameOf(peer!))?.numbers.handler_num === 0) count++;
    }
    return count;
  }
}

function subtract(sum: Numbers, other: Numbers): void {
  for (const [key, value] of Object.entries(other)) {
    if (typeof value === "object") subtract(sum[key] as Numbers, value);
    else sum[key] = (sum[key] as number) - (value as number);
  }
}

/** Names a process; no other one of the server has the same name. */
function nameOf({ slot, pid }: Member): string {
  return `${slot} ${pid}`;
}
