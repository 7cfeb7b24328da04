/**
 * The counters of a server: `stats()`, and `stats_file`.
 *
 * @module
 */

import { patiently } from "./log_output.ts";
import { metricsOf } from "./metrics.ts";
import type { ServerContext } from "./server_context.ts";
import type { BrokerErrorCode } from "../topics/broker.ts";
import type { GapReason } from "../topics/kept_stream.ts";
import type { TopicBroker } from "../topics/topic_broker.ts";
import type { SlowReaderPolicy } from "../topics/topic_settings.ts";
import { type Survey, surveyOf } from "./survey.ts";
import type { Runtime } from "../transport/runtime.ts";

/** What `stats()` says of a broker. */
export interface BrokerStats {
  /** Whether messages reach other servers now, and theirs this one. */
  is_up: boolean;
  /** How long a message took last from this server to the broker and back, in seconds; 0 if it was never measured. */
  lag: number;
  /** Connections to the broker that were lost. */
  reconnect_count: number;
  /** Messages from the broker that were not understood. */
  malformed_count: number;
  /** Messages that the broker has not taken, by the code of the `BrokerError`. */
  failed: Record<BrokerErrorCode, number>;
  /** How often the history of a topic was read. */
  history_reads: number;
  /** Subscriptions that went on where they were asked to. */
  recovered: number;
  /** Gaps of topics, of subscriptions and, for `slow`, of WebSockets, by reason. */
  gaps: Record<GapReason, number>;
}

/**
 * The result of `stats()`. With workers these are sums over all processes, of which some may be a second old, but for what is said to
 * be of this process.
 */
export interface ServerStats {
  /** When the server started, in seconds since 1970; 0 before. */
  start_time: number;
  /** Open connections. */
  connection_num: number;
  /** Connections that wait to begin, because of `accept_rate`. */
  waiting_connection_num: number;
  /** Connections rejected because of `max_connection`. */
  abort_count: number;
  /** Datagrams dropped because of `max_packet_handlers`. */
  packet_drop_count: number;
  /** Connections accepted. */
  accept_count: number;
  /** Connections closed. */
  close_count: number;
  /** Workers, without task workers. */
  worker_num: number;
  /** Task workers. */
  task_worker_num: number;
  /** Tasks that have no result yet. */
  tasking_num: number;
  /** Always 0. */
  user_worker_num: number;
  /** Workers that have no handler under way. The process that asks is busy, so this is 0 without workers. */
  idle_worker_num: number;
  /** The same as `request_count`: input is handled at once. */
  dispatch_count: number;
  /** Requests and messages passed to a handler. */
  request_count: number;
  /** Responses and messages sent by the program. */
  response_count: number;
  /** Bytes received. */
  total_recv_bytes: number;
  /** Bytes sent or queued. */
  total_send_bytes: number;
  /** Bytes held by all connections together, see `max_buffer_memory`. */
  held_bytes: number;
  /** HTTP requests being handled or waiting for their turn. */
  concurrency: number;
  /** The last fd assigned. */
  session_round: number;
  /** The lowest fd of an open connection; 0 if no connection is open. */
  min_fd: number;
  /** The highest fd of an open connection; 0 if no connection is open. */
  max_fd: number;
  /** The `request_count` of this process. */
  worker_request_count: number;
  /** The `response_count` of this process. */
  worker_response_count: number;
  /** The `dispatch_count` of this process. */
  worker_dispatch_count: number;
  /** HTTP requests that this process handles. */
  worker_concurrency: number;
  /** Connections, handshakes and requests refused by the server. */
  refuse_count: number;
  /** Refusals by kind and reason. */
  refusals: Record<"connection" | "handshake" | "request", Record<string, number>>;
  /** Connections whose peer violated the protocol. */
  violation_count: number;
  /** Violations by close code for WebSockets, and by Swoole's error code (1201 to 1204) for packages of raw connections. */
  violations: Record<string, number>;
  /** Connections ended by a timeout. */
  timeout_count: number;
  /** Timeouts by setting. */
  timeouts: Record<string, number>;
  /** Ended WebSockets by close code (see `CloseInfo`); codes from 3000 on are counted as `3000-3999` and `4000-4999`. */
  closes: Record<string, number>;
  /** Topics that have subscribers. One that has some in several processes counts in each. */
  topic_num: number;
  /** Subscriptions to topics. */
  subscription_num: number;
  /** Messages published, broadcasts included. */
  publish_count: number;
  /** Messages that were not published because of `max_publish_rate`. */
  refused_publish_count: number;
  /** By `topic_slow_readers`: WebSockets closed, messages left out, messages replaced by a newer one before they were sent, gaps. */
  slow_readers: Record<SlowReaderPolicy, number>;
  /** What the broker has done, if there is one. */
  broker?: BrokerStats;
  /** Errors reported to `error` or, without a handler, to the log: mostly those thrown by handlers. */
  error_count: number;
  /** Open WebSockets. */
  websocket_num: number;
  /** Bytes that wait to be sent, on all connections together. */
  send_queue_bytes: number;
  /** Connections whose send queue is above `buffer_high_watermark`, until it has fallen to `buffer_low_watermark`. */
  slow_connection_num: number;
  /** Times that `push()`, `send()` or `write()` has not taken data because of `socket_buffer_size`. */
  refused_send_count: number;
  /** Messages of WebSockets that wait for a handler, or for `recv()`. */
  waiting_message_num: number;
  /** Handlers that have not settled. */
  handler_num: number;
  /**
   * The longest time that the event loop was late within the last 5 seconds, in seconds. It is measured every 250 ms while there
   * are connections.
   */
  event_loop_delay: number;
  /**
   * Calls of other processes for connections of this one, and messages to them, that had no effect: by the code that a call here
   * would have set. Always empty without workers.
   */
  remote_failures: Record<string, number>;
  /** Records of the log that were left out, because the file or the `logger` takes too long. */
  log_lost_count: number;
}

/** Collects the counters of this process. */
export function ownStats(context: ServerContext, survey: Survey = surveyOf(context.table)): ServerStats {
  const { table, startTime, counters, refusals, endings, topics } = context;
  const { requestCount: requests, responseCount: responses } = counters;
  const { answering, maxFd, minFd, sendQueueBytes, slow, waitingMessages, webSockets } = survey;
  return {
    start_time: Math.floor(startTime / 1000),
    connection_num: table?.size ?? 0,
    waiting_connection_num: context.admission?.waitingCount ?? 0,
    abort_count: table?.abortCount ?? 0,
    packet_drop_count: counters.droppedPackets,
    accept_count: table?.acceptCount ?? 0,
    close_count: table?.closeCount ?? 0,
    worker_num: 1,
    task_worker_num: context.settings.task_worker_num,
    tasking_num: context.tasks?.pendingCount ?? 0,
    user_worker_num: 0,
    idle_worker_num: 0,
    dispatch_count: requests,
    request_count: requests,
    response_count: responses,
    total_recv_bytes: (table?.receivedBytes ?? 0) + counters.receivedBytes,
    total_send_bytes: (table?.sentBytes ?? 0) + counters.sentBytes,
    held_bytes: table?.memory.held ?? 0,
    concurrency: answering,
    session_round: table?.lastFd ?? 0,
    min_fd: minFd,
    max_fd: maxFd,
    worker_request_count: requests,
    worker_response_count: responses,
    worker_dispatch_count: requests,
    worker_concurrency: answering - (context.requestQueue?.wanted ?? 0),
    refuse_count: REFUSED.reduce((sum, kind) => sum + refusals.count(kind), 0),
    refusals: {
      connection: byName(refusals.counts.get("connection")),
      handshake: byName(refusals.counts.get("handshake")),
      request: byName(refusals.counts.get("request")),
    },
    violation_count: sumOf(endings.violations),
    violations: byName(endings.violations),
    timeout_count: sumOf(endings.timeouts),
    timeouts: byName(endings.timeouts),
    closes: byName(endings.closes),
    topic_num: topics?.size ?? 0,
    subscription_num: topics?.subscriptionCount ?? 0,
    publish_count: topics?.publishCount ?? 0,
    refused_publish_count: topics?.rates.refused ?? 0,
    slow_readers: { close: 0, drop: 0, latest: 0, gap: 0, ...topics?.slowReaders },
    ...(topics?.broker === undefined ? {} : { broker: brokerStatsOf(topics.broker) }),
    error_count: endings.errorCount,
    websocket_num: webSockets,
    send_queue_bytes: sendQueueBytes,
    slow_connection_num: slow,
    refused_send_count: counters.refusedSends,
    waiting_message_num: waitingMessages,
    handler_num: context.running.count,
    event_loop_delay: counters.loopDelay.recent,
    remote_failures: byName(counters.remoteFailures),
    log_lost_count: context.log.lostCount,
  };
}

/** Returns the counters of the server, in all its processes. */
function allStats(context: ServerContext): ServerStats {
  return context.workerStats?.sum() as ServerStats | undefined ?? ownStats(context);
}

function brokerStatsOf({ node, counters, kept }: TopicBroker): BrokerStats {
  return {
    is_up: node.isUp,
    lag: node.state.lag,
    reconnect_count: node.state.reconnects,
    malformed_count: node.state.malformed,
    failed: { ...counters.failed },
    history_reads: kept.counters.historyReads,
    recovered: kept.counters.recovered,
    gaps: { ...kept.counters.gaps },
  };
}

/** Returns the counters as an object, or as text. */
export function statsOf(context: ServerContext, format?: "json" | "openmetrics"): ServerStats | string {
  if (format === undefined) return allStats(context);
  if (format === "json") return JSON.stringify(allStats(context));
  if (format === "openmetrics") return metricsOf(context, "openmetrics");
  throw new TypeError(`Cannot write stats: ${format} is neither json nor openmetrics`);
}

const REFUSED = ["connection", "handshake", "request"] as const;

function byName(counts: ReadonlyMap<string | number, number> = new Map()): Record<string, number> {
  return Object.fromEntries(counts);
}

function sumOf(counts: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const count of counts.values()) sum += count;
  return sum;
}

/** Formats counters for `stats_file`: the name determines the format, as in Swoole. */
function toStatsFile(context: ServerContext, path: string): string {
  if (path.endsWith(".prom")) return metricsOf(context, "openmetrics");
  const stats = allStats(context);
  if (path.endsWith(".json")) return JSON.stringify(stats);
  const textOf = (value: unknown) => typeof value === "object" ? JSON.stringify(value) : value;
  return Object.entries(stats).map(([key, value]) => `${key}: ${textOf(value)}\n`).join("");
}

/** The file of `stats_file`: writes the counters of a server to it at regular intervals. */
export class StatsFile {
  readonly #context: ServerContext;
  readonly #runtime: Runtime;
  #timer: ReturnType<typeof setInterval> | undefined = undefined;
  #writing: Promise<void> | undefined = undefined;

  constructor(context: ServerContext, runtime: Runtime) {
    this.#context = context;
    this.#runtime = runtime;
  }

  /** Starts writing, if `stats_file` is set. */
  start(): void {
    const { stats_file, stats_timer_interval } = this.#context.settings;
    if (stats_file === "") return;
    this.#timer = setInterval(() => this.#writeStats(stats_file), stats_timer_interval);
    (this.#timer as unknown as { unref?(): void }).unref?.(); // the server keeps the process alive, not this timer
  }

  /** Writes the counters, unless the previous write is still pending. */
  #writeStats(path: string): void {
    if (this.#writing !== undefined) return;
    this.#writing = this.#runtime.writeTextFile(path, toStatsFile(this.#context, path))
      .catch((error) => this.#context.fault(error))
      .then(() => this.#writing = undefined);
  }

  /** Stops, once a pending write is complete, or the file takes nothing. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#writing !== undefined) await patiently(this.#writing);
  }
}
