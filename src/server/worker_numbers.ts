/**
 * The numbers of `stats()` over several processes: which add up, and which do not.
 *
 * @module
 */

/** Numbers by name, in objects. */
export type Numbers = { [name: string]: number | boolean | Numbers | undefined };

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
export function addNumbers(sum: Numbers, other: Numbers): void {
  for (const [key, value] of Object.entries(other)) {
    const before = sum[key];
    if (OWN.has(key)) continue;
    if (typeof value === "object") addNumbers(sum[key] = { ...before as Numbers | undefined }, value);
    else if (typeof value === "boolean") sum[key] = before !== false && value;
    else if (typeof value !== "number") continue;
    else if (typeof before !== "number") sum[key] = value;
    else if (LARGEST.has(key)) sum[key] = Math.max(before, value);
    else if (key === "min_fd") sum[key] = Math.min(before || value, value || before);
    else sum[key] = before + value;
  }
}

/** Returns the counters of numbers that are the sum of all time. */
export function countersOfNumbers(numbers: Numbers, areAll = false): Numbers {
  const counters: Numbers = {};
  for (const [key, value] of Object.entries(numbers)) {
    if (!areAll && !COUNTERS.has(key)) continue;
    counters[key] = typeof value === "object" ? countersOfNumbers(value, key !== "broker") : value;
  }
  return counters;
}

/** Raises counters to what they have been already, where they are lower. */
export function raiseNumbers(numbers: Numbers, seen: Numbers): void {
  for (const [key, value] of Object.entries(seen)) {
    const now = numbers[key];
    if (typeof value === "object") raiseNumbers(numbers[key] = { ...now as Numbers | undefined }, value);
    else if (typeof value === "number") numbers[key] = typeof now === "number" ? Math.max(now, value) : value;
  }
}

/** Takes counters back that were added. */
export function subtractNumbers(sum: Numbers, other: Numbers): void {
  for (const [key, value] of Object.entries(other)) {
    if (typeof value === "object") subtractNumbers(sum[key] as Numbers, value);
    else sum[key] = (sum[key] as number) - (value as number);
  }
}
