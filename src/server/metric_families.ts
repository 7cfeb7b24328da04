/**
 * The families of metrics: each with its name, type, unit and meaning, and how this process knows its values.
 *
 * @module
 */

import { WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import type { TopicBroker } from "../topics/topic_broker.ts";
import type { SlowReaderPolicy } from "../topics/topic_settings.ts";
import { EVENT_NAMES } from "./configuration.ts";
import { DURATIONS, type Histogram, RECEIVERS, SHORT_DURATIONS } from "./counters.ts";
import type { ServerContext } from "./server_context.ts";
import type { Survey } from "./survey.ts";

/** The version of Sluice. */
export const VERSION = "0.1.0";

/** The family that tells which processes have not replied. */
export const SILENT = "sluice_worker_silent";

/** What metrics are made from. */
export interface Source {
  readonly context: ServerContext;
  /** A look at all connections. */
  readonly survey: Survey;
}

/** The labels of a sample: their names and values. */
export type Labels = Readonly<Record<string, string>>;

/** A value, or the values of a histogram, with labels. */
type Sample = readonly [labels: Labels, value: number | Histogram];

/** A family of metrics. */
export interface Family {
  /** The name, without the suffixes that samples have. */
  readonly name: string;
  readonly type: "gauge" | "counter" | "histogram";
  /** The unit, which the name ends in. */
  readonly unit?: "seconds" | "bytes";
  /** What it means, as one sentence. */
  readonly help: string;
  /** The upper bounds of the buckets of a histogram. */
  readonly bounds?: readonly number[];
  /** The names of the labels. One called `worker` is there with workers only, and is the same for all samples of a process. */
  readonly labels?: readonly string[];
  /** Which value holds for all processes of a server. Default: the sum. */
  readonly all?: "lowest" | "highest";
  /** Returns the samples of this process. */
  collect(source: Source): Iterable<Sample>;
}

/** The names of events, by their name in lower case. */
const EVENTS: ReadonlyMap<string, string> = new Map(EVENT_NAMES.websocket.map((name) => [name.toLowerCase(), name]));

const one = (value: number | Histogram): Sample[] => [[{}, value]];

/** Returns a sample for each entry, with its key as a label. */
function each(label: string, counts: ReadonlyMap<string, number>): Sample[] {
  return Array.from(counts, ([key, count]) => [{ [label]: key }, count]);
}

/** Returns the samples of a broker, if there is one. */
function ofBroker({ context }: Source, samplesOf: (broker: TopicBroker) => Sample[]): Sample[] {
  const broker = context.topics?.broker;
  return broker === undefined ? [] : samplesOf(broker);
}

/** Reports whether this is a worker, so that what is known of the whole server comes from another process. */
function isWorker({ member }: ServerContext): boolean {
  return member !== undefined && member.id >= 0;
}

const NO_SLOW_READERS: Readonly<Record<SlowReaderPolicy, number>> = { close: 0, drop: 0, latest: 0, gap: 0 };

/** All families. */
export const FAMILIES: readonly Family[] = [
  {
    name: "sluice_build_info",
    type: "gauge",
    help: "Always 1; the labels tell the version and the runtime.",
    labels: ["version", "runtime"],
    all: "highest",
    collect: ({ context }) => [[{ version: VERSION, runtime: context.runtime?.name ?? "none" }, 1]],
  },
  {
    name: "sluice_start_time_seconds",
    type: "gauge",
    unit: "seconds",
    help: "When the server started, as seconds since 1970; 0 before.",
    collect: ({ context }) => isWorker(context) ? [] : one(context.startTime / 1000),
  },

  // ---- connections
  {
    name: "sluice_connections",
    type: "gauge",
    help: "Open connections by protocol: http, websocket or raw.",
    labels: ["protocol", "worker"],
    collect: ({ survey: { http, webSockets, raw } }) => [
      [{ protocol: "http" }, http],
      [{ protocol: "websocket" }, webSockets],
      [{ protocol: "raw" }, raw],
    ],
  },
  {
    name: "sluice_connections_waiting",
    type: "gauge",
    help: "Connections that wait to begin, because of accept_rate.",
    collect: ({ context: { admission } }) => one(admission?.waitingCount ?? 0),
  },
  {
    name: "sluice_connections_opened",
    type: "counter",
    help: "Connections accepted.",
    collect: ({ context }) => one(context.table?.acceptCount ?? 0),
  },
  {
    name: "sluice_connections_closed",
    type: "counter",
    help: "Connections that have ended, by close code; none for those that were not WebSockets.",
    labels: ["code"],
    collect: ({ context: { endings, table } }) => {
      let others = table?.closeCount ?? 0;
      for (const count of endings.closes.values()) others -= count;
      return [[{ code: "none" }, others], ...each("code", endings.closes)];
    },
  },
  {
    name: "sluice_refusals",
    type: "counter",
    help: "What the server refused, by kind (connection, handshake or request) and reason.",
    labels: ["kind", "reason"],
    *collect({ context: { refusals } }) {
      for (const [kind, reasons] of refusals.counts) {
        for (const [reason, count] of reasons) yield [{ kind, reason }, count];
      }
    },
  },
  {
    name: "sluice_violations",
    type: "counter",
    help: "Peers that violated the protocol, by close code, or by error code for packages.",
    labels: ["code"],
    collect: ({ context }) => each("code", context.endings.violations),
  },
  {
    name: "sluice_timeouts",
    type: "counter",
    help: "Connections ended by a timeout, by setting.",
    labels: ["setting"],
    collect: ({ context }) => each("setting", context.endings.timeouts),
  },

  // ---- bytes and queues
  {
    name: "sluice_received_bytes",
    type: "counter",
    unit: "bytes",
    help: "Bytes received.",
    collect: ({ context: { counters, table } }) => one((table?.receivedBytes ?? 0) + counters.receivedBytes),
  },
  {
    name: "sluice_sent_bytes",
    type: "counter",
    unit: "bytes",
    help: "Bytes sent, or queued to be sent.",
    collect: ({ context: { counters, table } }) => one((table?.sentBytes ?? 0) + counters.sentBytes),
  },
  {
    name: "sluice_send_queue_bytes",
    type: "gauge",
    unit: "bytes",
    help: "Bytes that wait to be sent.",
    collect: ({ survey }) => one(survey.sendQueueBytes),
  },
  {
    name: "sluice_slow_connections",
    type: "gauge",
    help: "Connections whose send queue is above buffer_high_watermark.",
    collect: ({ survey }) => one(survey.slow),
  },
  {
    name: "sluice_slow_consumers",
    type: "counter",
    help:
      "Events of peers that read too slowly, by action: full and refused for any data; close, drop, latest and gap for topics.",
    labels: ["action"],
    *collect({ context: { counters, topics } }) {
      yield [{ action: "full" }, counters.fullQueues];
      yield [{ action: "refused" }, counters.refusedSends];
      for (const [action, count] of Object.entries({ ...NO_SLOW_READERS, ...topics?.slowReaders })) yield [{ action }, count];
    },
  },
  {
    name: "sluice_packets_dropped",
    type: "counter",
    help: "Datagrams dropped because of max_packet_handlers.",
    collect: ({ context }) => one(context.counters.droppedPackets),
  },

  // ---- WebSocket
  {
    name: "sluice_handshakes",
    type: "counter",
    help: "WebSocket handshakes by status of the response: 101 for those that opened a WebSocket, none without a response.",
    labels: ["status"],
    collect: ({ context }) => each("status", context.counters.handshakes),
  },
  {
    name: "sluice_handshake_duration_seconds",
    type: "histogram",
    unit: "seconds",
    help: "How long handshakes took that opened a WebSocket.",
    bounds: DURATIONS,
    collect: ({ context }) => one(context.counters.handshakeDuration),
  },
  {
    name: "sluice_messages_received",
    type: "counter",
    help: "Messages received, by opcode: text or binary.",
    labels: ["opcode"],
    collect: ({ context }) => byOpcode(context.counters.received),
  },
  {
    name: "sluice_messages_sent",
    type: "counter",
    help: "Messages sent or queued, by opcode: text or binary.",
    labels: ["opcode"],
    collect: ({ context }) => byOpcode(context.counters.sent),
  },
  {
    name: "sluice_messages_waiting",
    type: "gauge",
    help: "Messages that wait for a handler, or for recv().",
    collect: ({ survey }) => one(survey.waitingMessages),
  },
  {
    name: "sluice_ping_rtt_seconds",
    type: "histogram",
    unit: "seconds",
    help: "Times from a ping of the server to its pong.",
    bounds: DURATIONS,
    collect: ({ context }) => one(context.counters.pings),
  },

  // ---- topics
  {
    name: "sluice_topics",
    type: "gauge",
    help: "Topics that have subscribers.",
    collect: ({ context }) => one(context.topics?.size ?? 0),
  },
  {
    name: "sluice_subscriptions",
    type: "gauge",
    help: "Subscriptions to topics.",
    collect: ({ context }) => one(context.topics?.subscriptionCount ?? 0),
  },
  {
    name: "sluice_publish",
    type: "counter",
    help: "Messages published, broadcasts included.",
    collect: ({ context }) => one(context.topics?.publishCount ?? 0),
  },
  {
    name: "sluice_publish_fanout",
    type: "histogram",
    help: "To how many WebSockets each published message was sent, or for how many it waits.",
    bounds: RECEIVERS,
    collect: ({ context }) => one(context.counters.fanout),
  },

  {
    name: "sluice_broker_up",
    type: "gauge",
    help: "Whether messages reach the broker and come from it: 1 or 0.",
    all: "lowest",
    collect: (source) => ofBroker(source, ({ node }) => one(node.isUp ? 1 : 0)),
  },
  {
    name: "sluice_broker_lag_seconds",
    type: "gauge",
    unit: "seconds",
    help: "How long a message took last to the broker and back; 0 if it was never measured.",
    all: "highest",
    collect: (source) => ofBroker(source, ({ node }) => one(node.state.lag)),
  },
  {
    name: "sluice_broker_reconnects",
    type: "counter",
    help: "Connections to the broker that were lost.",
    collect: (source) => ofBroker(source, ({ node }) => one(node.state.reconnects)),
  },
  {
    name: "sluice_broker_failures",
    type: "counter",
    help: "Messages that the broker has not taken, by code; malformed for those from it that were not understood.",
    labels: ["code"],
    collect: (source) =>
      ofBroker(source, ({ node, counters }) => [
        ...Object.entries(counters.failed).map(([code, count]): Sample => [{ code }, count]),
        [{ code: "malformed" }, node.state.malformed],
      ]),
  },
  {
    name: "sluice_topic_history_reads",
    type: "counter",
    help: "How often the history of a topic was read from the broker.",
    collect: (source) => ofBroker(source, ({ kept }) => one(kept.counters.historyReads)),
  },
  {
    name: "sluice_topic_recoveries",
    type: "counter",
    help: "Subscriptions that went on where they were asked to (recovered), and gaps by reason.",
    labels: ["result"],
    collect: (source) =>
      ofBroker(source, ({ kept: { counters } }) => [
        [{ result: "recovered" }, counters.recovered],
        ...Object.entries(counters.gaps).map(([result, count]): Sample => [{ result }, count]),
      ]),
  },

  // ---- HTTP
  {
    name: "sluice_http_requests",
    type: "counter",
    help: "Requests that are no handshakes, by method and status of the response; none without a response.",
    labels: ["method", "status"],
    *collect({ context }) {
      const counts = new Map<string, [Labels, number]>();
      for (const { count, method, status } of requestsOf(context)) {
        const key = `${method} ${status}`;
        counts.set(key, [{ method, status }, count + (counts.get(key)?.[1] ?? 0)]);
      }
      yield* counts.values();
    },
  },
  {
    name: "sluice_http_requests_active",
    type: "gauge",
    help: "Requests and handshakes whose response is not complete, without those for pages of the server.",
    collect: ({ survey }) => one(survey.answering),
  },
  {
    name: "http_server_request_duration_seconds",
    type: "histogram",
    unit: "seconds",
    help: "How long requests took, from their head to the end of the response; with the names of OpenTelemetry.",
    bounds: DURATIONS,
    labels: ["http_request_method", "http_response_status_code", "url_scheme"],
    *collect({ context }) {
      for (const { duration, method, scheme, status } of requestsOf(context)) {
        if (duration.count === 0) continue;
        yield [{ http_request_method: method, http_response_status_code: status, url_scheme: scheme }, duration];
      }
    },
  },

  // ---- handlers and the process
  {
    name: "sluice_handlers",
    type: "gauge",
    help: "Handlers that have not settled.",
    collect: ({ context }) => one(context.running.count),
  },
  {
    name: "sluice_handler_duration_seconds",
    type: "histogram",
    unit: "seconds",
    help: "How long handlers took, by event, with the promises that they returned. One call in 61 is measured.",
    bounds: SHORT_DURATIONS,
    labels: ["event"],
    *collect({ context }) {
      for (const [event, { duration }] of context.counters.handlers) yield [{ event: EVENTS.get(event) ?? event }, duration];
    },
  },
  {
    name: "sluice_handler_errors",
    type: "counter",
    help: "Errors thrown by handlers, by event.",
    labels: ["event"],
    *collect({ context }) {
      for (const [event, { errors }] of context.counters.handlers) yield [{ event: EVENTS.get(event) ?? event }, errors];
    },
  },
  {
    name: "sluice_errors",
    type: "counter",
    help: "Errors reported to the event error, or to the log.",
    collect: ({ context }) => one(context.endings.errorCount),
  },
  {
    name: "sluice_log_records_lost",
    type: "counter",
    help: "Records of the log that were left out, because the file or the logger takes too long.",
    collect: ({ context }) => one(context.log.lostCount),
  },
  {
    name: "sluice_event_loop_delay_seconds",
    type: "histogram",
    unit: "seconds",
    help: "How late the event loop was, measured every 250 ms while there are connections.",
    bounds: SHORT_DURATIONS,
    labels: ["worker"],
    collect: ({ context }) => one(context.counters.loopDelay.histogram),
  },
  {
    name: "sluice_memory_bytes",
    type: "gauge",
    unit: "bytes",
    help: "Memory by kind: connections is what all connections hold; rss, heap_total, heap_used and external are of the whole " +
      "process.",
    labels: ["kind", "worker"],
    *collect({ context: { runtime, table } }) {
      yield [{ kind: "connections" }, table?.memory.held ?? 0];
      const { external, heapTotal, heapUsed, rss } = runtime?.memoryUsage?.() ?? {};
      for (const [kind, bytes] of Object.entries({ rss, heap_total: heapTotal, heap_used: heapUsed, external })) {
        if (bytes !== undefined) yield [{ kind }, bytes];
      }
    },
  },

  // ---- workers
  {
    name: "sluice_workers",
    type: "gauge",
    help: "Processes of workers by kind (worker or task) and state: starting, ready or leaving; down counts workers without one.",
    labels: ["kind", "state"],
    collect: ({ context: { census } }) => (census?.states ?? []).map(([kind, state, count]) => [{ kind, state }, count]),
  },
  {
    name: "sluice_worker_exits",
    type: "counter",
    help: "Processes of workers that have ended, by cause: told for those that were replaced or stopped, died for others.",
    labels: ["cause"],
    collect: ({ context: { census } }) => Object.entries(census?.exits ?? {}).map(([cause, count]) => [{ cause }, count]),
  },
  {
    name: SILENT,
    type: "gauge",
    help: "Whether a process has not replied within a second, so that its values are older: 1 or 0. Only on the page.",
    labels: ["worker"],
    all: "highest",
    collect: () => [], // see `WorkerStats`
  },
  {
    name: "sluice_remote_failures",
    type: "counter",
    help: "Calls for connections of other processes, and messages to them, that had no effect there, by error code.",
    labels: ["code"],
    collect: ({ context }) => Array.from(context.counters.remoteFailures, ([code, count]) => [{ code: String(code) }, count]),
  },
  {
    name: "sluice_tasks_pending",
    type: "gauge",
    help: "Tasks that have no result yet.",
    collect: ({ context: { tasks } }) => tasks === undefined ? [] : one(tasks.pendingCount),
  },
];

function byOpcode(counts: readonly number[]): Sample[] {
  return [[{ opcode: "text" }, counts[WEBSOCKET_OPCODE_TEXT]], [{ opcode: "binary" }, counts[WEBSOCKET_OPCODE_BINARY]]];
}

function* requestsOf({ counters }: ServerContext) {
  for (const scheme of ["http", "https"] as const) {
    for (const { count, duration, method, status } of counters.http[scheme].all) {
      yield { scheme, count, duration, method, status };
    }
  }
}
