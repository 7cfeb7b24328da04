/**
 * Reads metrics in a text format, line by line.
 *
 * @module
 */

/** The values by sample: the name with its labels, as in the text. */
export type MetricValues = ReadonlyMap<string, number>;

/** Returns the values of all samples. */
export function readMetrics(text: string): MetricValues {
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const [, sample, value] = /^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
    if (sample === undefined) throw new Error(`This is no sample: ${line}`);
    if (values.has(sample)) throw new Error(`This sample comes twice: ${line}`);
    values.set(sample, Number(value));
  }
  return values;
}

/** Returns the samples of one name that are not 0, with their labels as keys; empty for a sample without labels. */
export function samplesOf(text: string, name: string): Record<string, number> {
  const samples: Record<string, number> = {};
  for (const [sample, value] of readMetrics(text)) {
    const [of, labels = ""] = sample.split(/[{}]/);
    if (of === name && value !== 0) samples[labels] = value;
  }
  return samples;
}
