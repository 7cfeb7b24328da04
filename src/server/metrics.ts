/**
 * Metrics for Prometheus: every family with its name, type, unit and meaning, and the two text formats.
 *
 * @module
 */

import { WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import type { TopicBroker } from "../topics/topic_broker.ts";
import type { SlowReaderPolicy } from "../topics/topic_settings.ts";
import { EVENT_NAMES } from "./configuration.ts";
import { Histogram } from "./counters.ts";
import type { ServerContext } from "./server_context.ts";
import { type Survey, surveyOf } from "./survey.ts";

/** The version of Sluice. */
export const VERSION = "0.1.0";

/** What metrics are made from. */
interface Source {
  readonly context: ServerContext;
  /** A look at all connections. */
  readonly survey: Survey;
}

/** The labels of a sample: their names and values. */
type Labels = Readonly<Record<string, string>>;

/** A value, or the values of a histogram, with labels. */
type Sample = readonly [labels: Labels, value: number | Histogram];

/** A family of metrics. */
interface Family {
  /** The name, without the suffixes that samples have. */
  readonly name: string;
  readonly type: "gauge" | "counter" | "histogram";
  /** The unit, which the name ends in. */
  readonly unit?: "seconds" | "bytes";
  /** What it means, as one sentence. */
  readonly help: string;
  /** The names of the labels. */
  readonly labels?: readonly string[];
  /** Returns the samples. */
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

const NO_SLOW_READERS: Readonly<Record<SlowReaderPolicy, number>> = { close: 0, drop: 0, latest: 0, gap: 0 };

/** All families. */
export const FAMILIES: readonly Family[] = [
  {
    name: "sluice_build_info",
    type: "gauge",
    help: "Always 1; the labels tell the version and the runtime.",
    labels: ["version", "runtime"],
    collect: ({ context }) => [[{ version: VERSION, runtime: context.runtime?.name ?? "none" }, 1]],
  },
  {
    name: "sluice_start_time_seconds",
    type: "gauge",
    unit: "seconds",
    help: "When the server started, as seconds since 1970; 0 before.",
    collect: ({ context }) => one(context.startTime / 1000),
  },

  // ---- connections
  {
    name: "sluice_connections",
    type: "gauge",
    help: "Open connections by protocol: http, websocket or raw.",
    labels: ["protocol"],
    collect: ({ survey: { http, webSockets, raw } }) => [
      [{ protocol: "http" }, http],
      [{ protocol: "websocket" }, webSockets],
      [{ protocol: "raw" }, raw],
    ],
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
    collect: ({ context }) => one(context.counters.fanout),
  },

  {
    name: "sluice_broker_up",
    type: "gauge",
    help: "Whether messages reach the broker and come from it: 1 or 0.",
    collect: (source) => ofBroker(source, ({ node }) => one(node.isUp ? 1 : 0)),
  },
  {
    name: "sluice_broker_lag_seconds",
    type: "gauge",
    unit: "seconds",
    help: "How long a message took last to the broker and back; 0 if it was never measured.",
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
    collect: ({ context }) => one(context.counters.loopDelay.histogram),
  },
  {
    name: "sluice_memory_bytes",
    type: "gauge",
    unit: "bytes",
    help: "Memory by kind: connections is what all connections hold; rss, heap_total, heap_used and external are of the whole " +
      "program.",
    labels: ["kind"],
    *collect({ context: { runtime, table } }) {
      yield [{ kind: "connections" }, table?.memory.held ?? 0];
      const { external, heapTotal, heapUsed, rss } = runtime?.memoryUsage?.() ?? {};
      for (const [kind, bytes] of Object.entries({ rss, heap_total: heapTotal, heap_used: heapUsed, external })) {
        if (bytes !== undefined) yield [{ kind }, bytes];
      }
    },
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

/** The format of metrics: Prometheus' text format 0.0.4, or OpenMetrics 1.0. */
export type MetricsFormat = "prometheus" | "openmetrics";

/** The media types of the formats. */
export const METRICS_TYPES: Readonly<Record<MetricsFormat, string>> = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** Returns the metrics of a server as text. */
export function metricsOf(context: ServerContext, format: MetricsFormat): string {
  const source = { context, survey: surveyOf(context.table) };
  const isOpen = format === "openmetrics";
  const lines: string[] = [];
  for (const { collect, help, name, type, unit } of FAMILIES) {
    const full = type === "counter" ? `${name}_total` : name;
    const family = isOpen ? name : full; // OpenMetrics names a counter without the suffix of its samples
    lines.push(`# HELP ${family} ${help}`, `# TYPE ${family} ${type}`);
    if (isOpen && unit !== undefined) lines.push(`# UNIT ${family} ${unit}`);
    for (const [labels, value] of collect(source)) {
      if (value instanceof Histogram) addHistogram(lines, name, labels, value);
      else lines.push(`${full}${textOf(labels)} ${value}`);
    }
  }
  if (isOpen) lines.push("# EOF");
  return `${lines.join("\n")}\n`;
}

function addHistogram(lines: string[], name: string, labels: Labels, { bounds, counts, sum }: Histogram): void {
  let count = 0;
  for (const [index, bound] of [...bounds, Infinity].entries()) {
    count += counts[index];
    const le = bound === Infinity ? "+Inf" : Number.isInteger(bound) ? bound.toFixed(1) : String(bound);
    lines.push(`${name}_bucket${textOf({ ...labels, le })} ${count}`);
  }
  lines.push(`${name}_sum${textOf(labels)} ${sum}`, `${name}_count${textOf(labels)} ${count}`);
}

/** Returns labels as text. Their values are ours, but for nothing that a line could be broken with. */
function textOf(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escapeLabel)}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function escapeLabel(character: string): string {
  return character === "\n" ? "\\n" : `\\${character}`;
}
