/**
 * Metrics for Prometheus: the values of one process, their sum over several, and the two text formats.
 *
 * @module
 */

import type { Metrics, MetricValue, MetricValues } from "./all_processes.ts";
import { Histogram } from "./counters.ts";
import { FAMILIES, type Family, type Labels } from "./metric_families.ts";
import type { ServerContext } from "./server_context.ts";
import { type Survey, surveyOf } from "./survey.ts";

/**
 * The sums of histograms are counted in parts of a unit, as whole numbers. So the sum over several processes does not depend on the
 * order in which they are added, and never falls.
 */
const PARTS = 1e6;

/** Collects the values of this process. */
export function ownMetrics(context: ServerContext, survey: Survey = surveyOf(context.table)): Metrics {
  const source = { context, survey };
  const { member } = context;
  const worker = member === undefined ? undefined : { worker: String(member.id) };
  const metrics: Metrics = {};
  for (const { collect, labels: names, name } of FAMILIES) {
    const samples: MetricValues = metrics[name] = {};
    const own = names?.includes("worker") ? worker : undefined;
    for (const [labels, value] of collect(source)) {
      const key = textOf(own === undefined ? labels : { ...labels, ...own });
      samples[key] = value instanceof Histogram ? [...value.counts, Math.round(value.sum * PARTS)] : value;
    }
  }
  return metrics;
}

/** Adds the values of a process to others. */
export function addMetrics(sum: Metrics, other: Metrics): void {
  for (const { all, name } of FAMILIES) {
    const samples = sum[name] ??= {};
    for (const [labels, value] of Object.entries(other[name] ?? {})) {
      const before = samples[labels];
      samples[labels] = before === undefined ? value : combined(before, value, all);
    }
  }
}

function combined(one: MetricValue, other: MetricValue, all: Family["all"]): MetricValue {
  if (typeof one === "number" && typeof other === "number") {
    return all === undefined ? one + other : all === "highest" ? Math.max(one, other) : Math.min(one, other);
  }
  return (one as readonly number[]).map((count, index) => count + (other as readonly number[])[index]);
}

/** Returns what does not fall: what is kept of a process that has ended. */
export function countersOfMetrics(metrics: Metrics): Metrics {
  const counters: Metrics = {};
  for (const { name, type } of FAMILIES) if (type !== "gauge") counters[name] = { ...metrics[name] };
  return counters;
}

/** Raises counters to what they have been already, where they are lower. */
export function raiseMetrics(metrics: Metrics, seen: Metrics): void {
  for (const [name, samples] of Object.entries(seen)) {
    const now = metrics[name] ??= {};
    for (const [labels, value] of Object.entries(samples)) now[labels] = higher(now[labels] ?? value, value);
  }
}

function higher(one: MetricValue, other: MetricValue): MetricValue {
  if (typeof one === "number" && typeof other === "number") return Math.max(one, other);
  return (one as readonly number[]).map((count, index) => Math.max(count, (other as readonly number[])[index]));
}

/** Takes counters back that were added. */
export function subtractMetrics(sum: Metrics, other: Metrics): void {
  for (const [name, samples] of Object.entries(other)) {
    for (const [labels, value] of Object.entries(samples)) {
      const negative = typeof value === "number" ? -value : value.map((count) => -count);
      sum[name][labels] = combined(sum[name][labels], negative, undefined);
    }
  }
}

// ---- text -----------------------------------------------------------------------------------------------------------

/** The format of metrics: Prometheus' text format 0.0.4, or OpenMetrics 1.0. */
export type MetricsFormat = "prometheus" | "openmetrics";

/** The media types of the formats. */
export const METRICS_TYPES: Readonly<Record<MetricsFormat, string>> = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** Returns the metrics of a server, in all its processes, as text. */
export function metricsOf(context: ServerContext, format: MetricsFormat): string {
  return metricsText(context.workerStats?.metrics() ?? ownMetrics(context), format);
}

/** Returns metrics as text. */
export function metricsText(metrics: Metrics, format: MetricsFormat): string {
  const isOpen = format === "openmetrics";
  const lines: string[] = [];
  for (const { bounds, help, name, type, unit } of FAMILIES) {
    const full = type === "counter" ? `${name}_total` : name;
    const family = isOpen ? name : full; // OpenMetrics names a counter without the suffix of its samples
    lines.push(`# HELP ${family} ${help}`, `# TYPE ${family} ${type}`);
    if (isOpen && unit !== undefined) lines.push(`# UNIT ${family} ${unit}`);
    for (const [labels, value] of Object.entries(metrics[name] ?? {})) {
      if (typeof value === "number") lines.push(`${full}${labels === "" ? "" : `{${labels}}`} ${value}`);
      else addHistogram(lines, name, labels, bounds!, value);
    }
  }
  if (isOpen) lines.push("# EOF");
  return `${lines.join("\n")}\n`;
}

function addHistogram(
  lines: string[],
  name: string,
  labels: string,
  bounds: readonly number[],
  values: readonly number[],
): void {
  const before = labels === "" ? "" : `${labels},`;
  const all = labels === "" ? "" : `{${labels}}`;
  let count = 0;
  for (const [index, bound] of [...bounds, Infinity].entries()) {
    count += values[index];
    const le = bound === Infinity ? "+Inf" : Number.isInteger(bound) ? bound.toFixed(1) : String(bound);
    lines.push(`${name}_bucket{${before}le="${le}"} ${count}`);
  }
  lines.push(`${name}_sum${all} ${values[bounds.length + 1] / PARTS}`, `${name}_count${all} ${count}`);
}

/** Returns labels as text. Their values are ours, but for nothing that a line could be broken with. */
function textOf(labels: Labels): string {
  return Object.entries(labels).map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escapeLabel)}"`).join(",");
}

function escapeLabel(character: string): string {
  return character === "\n" ? "\\n" : `\\${character}`;
}
