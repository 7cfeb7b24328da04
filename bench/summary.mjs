// What the samples of a run come to: medians, ranges and ratios, as plain data. Tables and plots show it.

import { isHttp, PEERS, unitOf } from "./rows.mjs";

/** What is compared with what, where both were measured: Sluice, in its variants, with itself and with others. */
const PAIRS = [
  ...[...PEERS, "swoole", "raw", "before"].map((other) => ["sluice", other]),
  ...PEERS.map((peer) => ["prepared", peer]),
  ...PEERS.map((peer) => ["publish", peer]),
  ...["fetch", "light"].flatMap((variant) => PEERS.map((peer) => [variant, peer])),
  ...["coroutine", "streams", "prepared", "publish", "fetch", "light"].map((variant) => [variant, "sluice"]),
];

/** The load generator is the limit if its core was full and the server's was not. */
const FULL = 0.93;

/** A server that used less of its core than the system's clock shows. */
const LEAST_SHARE = 0.001;

/** The middle value. */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Four digits are more than the measurements hold. */
function short(value) {
  return Number(value.toPrecision(5));
}

function spread(numbers) {
  return { median: short(median(numbers)), least: short(Math.min(...numbers)), most: short(Math.max(...numbers)) };
}

/** Work for each second of processor time that the server got: what is left of the noise of a shared machine is small. */
function workOf(result) {
  return result.rate / Math.max(result.server_cpu, LEAST_SHARE);
}

function speedOf(results) {
  const middle = (key) => short(median(results.map((result) => result[key])));
  const figures = { rate: spread(results.map(({ rate }) => rate)), work: spread(results.map(workOf)) };
  for (const key of ["server_cpu", "load_cpu", "p50_us", "p99_us", "wire"]) {
    if (results[0][key] !== undefined) figures[key] = middle(key);
  }
  return { ...figures, limited: figures.load_cpu > FULL && figures.server_cpu < FULL };
}

function memoryOf(samples) {
  const of = (gc, key) => spread(samples.filter((sample) => sample.gc === gc).map(({ result }) => result[key]));
  return { each: of(false, "each"), collected: of(true, "each"), left: of(true, "left") };
}

/** Something of two servers for each round that has both: neighbours in time. */
function byRound(a, b, compute) {
  const other = new Map(b.map(({ round, result }) => [round, result]));
  return a.filter(({ round }) => other.has(round)).map(({ round, result }) => compute(result, other.get(round)));
}

function ratioOf(a, b) {
  const work = byRound(a, b, (mine, other) => workOf(mine) / workOf(other));
  if (work.length === 0) return undefined;
  return {
    rate: spread(byRound(a, b, (mine, other) => mine.rate / other.rate)),
    work: spread(work),
    // Processor time that the first takes more than the second, for each message, delivery, request or handshake.
    nanoseconds: short(median(byRound(a, b, (mine, other) => 1e9 / workOf(mine) - 1e9 / workOf(other)))),
  };
}

function memoryRatioOf(a, b) {
  const memory = byRound(a, b, (mine, other) => other.each / mine.each);
  return memory.length === 0 ? undefined : { memory: spread(memory) };
}

/** The figures of a row in one runtime. */
function compare(samples, servers, idle) {
  const of = (server) => samples.filter((sample) => sample.server === server).sort((a, b) => a.round - b.round);
  const kinds = idle ? [false, true] : [undefined];
  const part = servers.filter((server) => kinds.every((gc) => of(server).some((sample) => sample.gc === gc)));
  const figures = Object.fromEntries(
    part.map((server) => [server, idle ? memoryOf(of(server)) : speedOf(of(server).map(({ result }) => result))]),
  );
  const ratios = {};
  for (const [a, b] of PAIRS) {
    if (!part.includes(a) || !part.includes(b)) continue;
    const asItIs = (server) => of(server).filter(({ gc }) => gc !== true);
    const ratio = idle ? memoryRatioOf(asItIs(a), asItIs(b)) : ratioOf(of(a), of(b));
    if (ratio !== undefined) ratios[`${a}/${b}`] = ratio;
  }
  const peers = part.filter((server) => PEERS.includes(server));
  const merit = (server) => idle ? -figures[server].each.median : figures[server].work.median;
  const best = peers.sort((a, b) => merit(b) - merit(a))[0];
  return { best, servers: figures, ratios };
}

/**
 * Sums up a run.
 *
 * @param about What the run was: its date, machine, versions and so on; it becomes part of the summary.
 */
export function summarize(about, samples, rows, runtimes, servers) {
  const others = samples.map(({ result }) => result.others).filter((share) => share !== undefined);
  return {
    ...about,
    // Which share of a core other programs took: in the middle, and at most.
    others: others.length === 0 ? undefined : { median: median(others), most: Math.max(...others) },
    runtimes,
    rows: rows.map((row) => {
      const idle = row.mode === "idle";
      const { name, title, conns, payload } = row;
      const mine = samples.filter((sample) => sample.row === name);
      return {
        name,
        title,
        unit: unitOf(row),
        conns,
        payload,
        http: isHttp(row),
        compressed: row.deflate !== undefined,
        runtimes: Object.fromEntries(
          runtimes.map((runtime) => [runtime, compare(mine.filter((sample) => sample.runtime === runtime), servers, idle)]),
        ),
      };
    }),
  };
}
