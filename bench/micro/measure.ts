/** Measures how much processor time an operation takes, without sockets: other programs disturb that less than the time of day. */

import process from "node:process";

/** An operation: what it is called, how many bytes it works on, and what does it once. Its result is used, so that it is not left out. */
export interface Operation {
  /** The name in the table. */
  readonly name: string;
  /** The bytes that it works on. */
  readonly bytes: number;
  /** Does it once. Returns any number that depends on the work. */
  run(): number;
}

/** What an operation takes, in nanoseconds. */
export interface Timing {
  /** The name of the operation. */
  readonly name: string;
  /** The bytes that it works on. */
  readonly bytes: number;
  /** The middle of the samples. */
  readonly median: number;
  /** The smallest of the samples: the one that others disturbed least. */
  readonly least: number;
  /** The largest of the samples. */
  readonly most: number;
}

const WARM_UP_MS = 150;
const SAMPLES = 11;
const SAMPLE_MS = 20;

/** Keeps the results from being dead code. */
export let sink = 0;

/** The processor time of this process in milliseconds, what its runtime compiles and collects beside it included. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function timeOf(operation: Operation, times: number): number {
  const start = cpuTime();
  for (let i = 0; i < times; i++) sink = (sink + operation.run()) | 0;
  return cpuTime() - start;
}

/** Measures an operation. */
export function measure(operation: Operation): Timing {
  let times = 1;
  let done = 0;
  const start = cpuTime();
  do {
    timeOf(operation, times);
    done += times;
    times = Math.min(times * 2, 10_000);
  } while (cpuTime() - start < WARM_UP_MS);
  const each = Math.max(1, Math.round(SAMPLE_MS * done / (cpuTime() - start)));
  const samples = Array.from({ length: SAMPLES }, () => timeOf(operation, each) * 1e6 / each).sort((a, b) => a - b);
  const { name, bytes } = operation;
  return { name, bytes, median: samples[SAMPLES >> 1], least: samples[0], most: samples[SAMPLES - 1] };
}
