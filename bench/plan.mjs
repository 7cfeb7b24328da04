// What a run measures, in which order, and how long that takes.

import { takesPart } from "./rows.mjs";

/** Seconds that it takes to start a server, to connect, and to end both. */
const AROUND = 0.5;
/** Seconds for each thousand connections. */
const CONNECTING = 0.25;
/** Seconds of a measurement of memory beside that: it waits six times until nothing changes any more. */
const SETTLING = 8;
/** Three processes tell enough of memory, which is far less noisy than speed. */
const MEMORY_ROUNDS = 3;

/** How often and how long a run measures, in seconds. */
export const FULL = { rounds: 5, seconds: 3, warmup: 1 };
/** And a quick one, which has to end within ten minutes. */
export const QUICK = { rounds: 3, seconds: 0.8, warmup: 1 };

/** Who takes part in a row of a quick run that is usually not in it. */
const QUICK_SERVERS = ["sluice", "own"];

/** The seconds of a row's warm-up. */
export function warmupOf(row, options) {
  return Math.max(options.warmup, row.warmup ?? 0);
}

/**
 * The measurements of a run, in their order. Every round is a comparison of its own: fresh processes, one after the other, every
 * second time in the other order.
 */
export function planOf({ rows, runtimes, servers, rounds, quick }) {
  const plan = [];
  for (const row of rows) {
    const idle = row.mode === "idle";
    for (const runtime of runtimes) {
      const isInvited = (server) => !quick || server === "before" || (row.quick ?? QUICK_SERVERS).includes(server);
      const part = servers.filter((server) => isInvited(server) && takesPart(server, row, runtime));
      for (let round = 0; round < (idle ? Math.min(rounds, MEMORY_ROUNDS) : rounds); round++) {
        for (const server of round % 2 === 0 ? part : [...part].reverse()) {
          for (const gc of idle ? [false, true] : [undefined]) plan.push({ row, runtime, server, round, gc });
        }
      }
    }
  }
  return plan;
}

/** The seconds that a plan takes on a machine that does nothing else. */
export function secondsOf(plan, options) {
  let sum = 0;
  for (const { row } of plan) {
    sum += AROUND + CONNECTING * row.conns / 1000;
    sum += row.mode === "idle" ? SETTLING : options.seconds + warmupOf(row, options);
  }
  return sum;
}

/** Seconds as text. */
export function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return `${Math.round(seconds)} s`;
  return minutes < 100 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}
