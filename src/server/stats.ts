/**
 * `stats()`, and how it is written down.
 *
 * @module
 */

import type { ServerCore } from "./core.ts";
import { HttpSession } from "./http/http_session.ts";
import type { ServerStats } from "./info.ts";

/** Counts. */
export function collectStats(core: ServerCore): ServerStats {
  const { table, startTime, requestCount, responseCount, shared } = core;
  let minFd = 0;
  let maxFd = 0;
  for (const fd of table?.fds() ?? []) { // oldest first: they only grow
    if (minFd === 0) minFd = fd;
    maxFd = fd;
  }
  let answering = 0;
  for (const { protocol } of table?.connections() ?? []) if (protocol instanceof HttpSession && protocol.isAnswering) answering++;
  return {
    start_time: Math.floor(startTime / 1000),
    connection_num: table?.size ?? 0,
    abort_count: table?.abortCount ?? 0,
    accept_count: table?.acceptCount ?? 0,
    close_count: table?.closeCount ?? 0,
    worker_num: 1,
    task_worker_num: 0,
    user_worker_num: 0,
    idle_worker_num: 0,
    dispatch_count: requestCount,
    request_count: requestCount,
    response_count: responseCount,
    total_recv_bytes: (table?.receivedBytes ?? 0) + shared.receivedBytes,
    total_send_bytes: (table?.sentBytes ?? 0) + shared.sentBytes,
    concurrency: answering,
    session_round: table?.lastFd ?? 0,
    min_fd: minFd,
    max_fd: maxFd,
    worker_request_count: requestCount,
    worker_response_count: responseCount,
    worker_dispatch_count: requestCount,
    worker_concurrency: answering - (core.requests?.waiting ?? 0),
  };
}

type Metric = readonly [key: keyof ServerStats, name: string, type: "gauge" | "counter", help: string, unit?: string];

const METRICS: readonly Metric[] = [
  ["start_time", "sluice_start_time_seconds", "gauge", "When the server started, as seconds since 1970.", "seconds"],
  ["connection_num", "sluice_connections", "gauge", "Open connections."],
  ["abort_count", "sluice_connections_refused", "counter", "Connections turned away because there were too many."],
  ["accept_count", "sluice_connections_accepted", "counter", "Connections accepted."],
  ["close_count", "sluice_connections_closed", "counter", "Connections closed."],
  ["worker_num", "sluice_workers", "gauge", "Workers."],
  ["request_count", "sluice_requests", "counter", "Requests and messages handed to a handler."],
  ["concurrency", "sluice_requests_in_work", "gauge", "Requests that are being answered, or wait for their turn."],
  ["response_count", "sluice_responses", "counter", "Answers and messages sent by the program."],
  ["total_recv_bytes", "sluice_received_bytes", "counter", "Octets received.", "bytes"],
  ["total_send_bytes", "sluice_sent_bytes", "counter", "Octets sent, or queued to be sent.", "bytes"],
];

/** Counters in the text format of OpenMetrics 1.0, which Prometheus reads. */
export function toOpenMetrics(stats: ServerStats): string {
  const lines = METRICS.flatMap(([key, name, type, help, unit]) => [
    `# TYPE ${name} ${type}`,
    ...(unit === undefined ? [] : [`# UNIT ${name} ${unit}`]),
    `# HELP ${name} ${help}`,
    `${name}${type === "counter" ? "_total" : ""} ${stats[key]}`,
  ]);
  return `${lines.join("\n")}\n# EOF\n`;
}

/** What `stats_file` gets: its name tells the format, as in Swoole. */
export function toStatsFile(stats: ServerStats, path: string): string {
  if (path.endsWith(".json")) return JSON.stringify(stats);
  if (path.endsWith(".prom")) return toOpenMetrics(stats);
  return Object.entries(stats).map(([key, value]) => `${key}: ${value}\n`).join("");
}
