// Turns samples into tables.

import { isHttp, takesPart, unitOf } from "./rows.mjs";

/** The middle value. */
function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** What is compared with what, where both were measured. */
const PAIRS = [
  ["sluice", "own"],
  ["sluice", "node"],
  ["coroutine", "sluice"],
  ["streams", "own"],
  ["fetch", "own"],
  ["sluice", "raw"],
  ["sluice", "before"],
];

/** The column titles: what a server is called in the tables. */
const TITLES = {
  sluice: "Sluice",
  coroutine: "coroutine",
  streams: "Sluice, streams",
  fetch: "Sluice, fetch",
  own: "own",
  node: "node:http",
  raw: "raw TCP",
  before: "before",
};

function figure(value, unit) {
  if (unit === "messages/s" || unit === "deliveries/s" || unit === "requests/s") {
    return `${(value / 1000).toFixed(value < 20000 ? 1 : 0)}k`;
  }
  return Math.round(value).toLocaleString("en");
}

/** Ratios of two servers, round by round: the median, and the smallest and largest in brackets. */
function ratio(a, b) {
  const all = ratios(a, b);
  const show = (value) => value.toFixed(2);
  return `**${show(median(all))}** (${show(Math.min(...all))}–${show(Math.max(...all))})`;
}

/** What `await` costs is also shown as time for each message, delivery, request or handshake. */
function isAwait([a, b]) {
  return a === "coroutine" && b === "sluice";
}

/** How many nanoseconds of processor time one takes more than the other, for as much work as they do in a second. */
function difference(a, b) {
  const nanoseconds = median(a.map((value, round) => 1e9 / value - 1e9 / b[round]));
  return (nanoseconds < 0 ? "−" : "+") + Math.abs(Math.round(nanoseconds)).toLocaleString("en");
}

function ratios(a, b) {
  return a.map((value, round) => value / b[round]);
}

function tableOf(header, lines) {
  const all = [header, header.map(() => "---"), ...lines];
  return all.map((cells) => `| ${cells.join(" | ")} |`).join("\n") + "\n";
}

function speedTable(samples, rows, runtimes, all) {
  const servers = all.filter((server) => rows.some((row) => takesPart(server, row)));
  const pairs = PAIRS.filter(([a, b]) => servers.includes(a) && servers.includes(b));
  const header = [
    "row",
    "in",
    ...pairs.flatMap((
      pair,
    ) => [`${TITLES[pair[0]]} / ${TITLES[pair[1]]}`, "by CPU", ...isAwait(pair) ? ["CPU for each, ns"] : []]),
    ...servers.map((name) => TITLES[name]),
  ];
  let capped = false;
  const lines = rows.flatMap((row) => {
    const unit = unitOf(row);
    return runtimes.map((runtime, index) => {
      const mine = samples.filter((sample) => sample.row === row.name && sample.runtime === runtime)
        .sort((a, b) => a.round - b.round);
      // Work for each second of processor time that the server got: what is left of the noise of a shared machine is small.
      const efficiency = (server) =>
        mine.filter((sample) => sample.server === server).map(({ result }) => result.rate / result.server_cpu);
      const values = (server) =>
        mine.filter((sample) => sample.server === server).map(({ result }) => unit === "MiB/s" ? result.mib_s : result.rate);
      const cells = servers.map((server) => {
        if (!takesPart(server, row, runtime)) return "";
        const cpu = (key) => median(mine.filter((sample) => sample.server === server).map(({ result }) => result[key]));
        const atLimit = cpu("load_cpu") > 0.93 && cpu("server_cpu") < 0.93;
        capped ||= atLimit;
        return figure(median(values(server)), unit) + (atLimit ? "\\*" : "");
      });
      return [
        index === 0 ? `${row.title}, ${unit}` : "",
        runtime,
        ...pairs.flatMap((pair) => {
          const [a, b] = pair;
          if (!takesPart(a, row, runtime) || !takesPart(b, row, runtime)) return isAwait(pair) ? ["", "", ""] : ["", ""];
          const cells = [ratio(values(a), values(b)), median(ratios(efficiency(a), efficiency(b))).toFixed(2)];
          if (isAwait(pair)) cells.push(difference(efficiency(a), efficiency(b)));
          return cells;
        }),
        ...cells,
      ];
    });
  });
  return tableOf(header, lines) +
    (capped ? "\n\\* The load generator's core was full and the server's was not: the server can do more.\n" : "");
}

/** How long the servers made what they sent, in bytes. */
function sizeTable(title, samples, rows, runtimes, all) {
  const servers = all.filter((server) => rows.some((row) => takesPart(server, row)));
  const header = [title, "in", ...servers.map((name) => TITLES[name])];
  const lines = rows.flatMap((row) =>
    runtimes.map((runtime, index) => {
      const cells = servers.map((server) => {
        if (!takesPart(server, row, runtime)) return "";
        const mine = samples.filter((one) => one.row === row.name && one.runtime === runtime && one.server === server);
        return median(mine.map(({ result }) => result.wire)).toLocaleString("en");
      });
      return [index === 0 ? row.title : "", runtime, ...cells];
    })
  );
  return tableOf(header, lines);
}

function memoryTable(samples, row, runtimes, servers) {
  const part = servers.filter((server) => takesPart(server, row));
  const header = [
    `${row.title}: bytes for each of ${row.conns.toLocaleString("en")}`,
    "in",
    ...part.map((name) => TITLES[name]),
  ];
  const kinds = [["as it is", false, "each"], ["after garbage collection", true, "each"], [
    "when all have gone, after garbage collection",
    true,
    "left",
  ]];
  const lines = kinds.flatMap(([title, gc, key]) =>
    runtimes.map((runtime, index) => {
      const cells = part.map((server) => {
        const values = samples.filter((sample) =>
          sample.row === row.name && sample.runtime === runtime && sample.server === server && sample.gc === gc
        ).map(({ result }) => result[key]);
        const spread = [Math.min(...values), Math.max(...values)].map((value) => value.toLocaleString("en")).join("–");
        return `**${median(values).toLocaleString("en")}** (${spread})`;
      });
      return [index === 0 ? title : "", runtime, ...cells];
    })
  );
  return tableOf(header, lines);
}

/** The tables for the samples of a run, in Markdown. */
export function report(samples, rows, runtimes, servers) {
  const speed = rows.filter((row) => row.mode !== "idle");
  const parts = [];
  for (const some of [speed.filter((row) => !isHttp(row)), speed.filter(isHttp)]) {
    if (some.length > 0) parts.push(speedTable(samples, some, runtimes, servers));
  }
  const compressed = speed.filter((row) => row.deflate);
  if (compressed.length > 0) parts.push(sizeTable("bytes of a compressed message", samples, compressed, runtimes, servers));
  const http = speed.filter(isHttp);
  if (http.length > 0) parts.push(sizeTable("bytes of a response with its head", samples, http, runtimes, servers));
  for (const row of rows.filter((row) => row.mode === "idle")) parts.push(memoryTable(samples, row, runtimes, servers));
  return parts.join("\n");
}
