// Turns the summary of a run into tables.

import { GROWING, servers } from "./rows.mjs";

/** What the runtimes are called in the tables. */
export const RUNTIMES = { deno: "Deno", bun: "Bun", node: "Node" };

/** What the servers are called. */
const TITLES = {
  sluice: "Sluice",
  prepared: "prepared",
  publish: "publish",
  coroutine: "coroutine",
  streams: "streams",
  fetch: "fetch",
  light: "light",
  own: "own",
  node: "node:http",
  uws: "uWebSockets.js",
  swoole: "Swoole",
  raw: "raw TCP",
  before: "before",
};

/** The variants of Sluice that have a line of their own beside the best peer. */
export const VARIANTS = {
  sluice: "",
  prepared: ", prepared message",
  publish: ", `publish()`",
  fetch: ", `fromFetch()`",
  light: ", `fromFetch()` with `LightResponse`",
};

function number(value) {
  return Math.round(value).toLocaleString("en");
}

function tableOf(header, lines) {
  if (lines.length === 0) return "";
  const all = [header, header.map(() => "---"), ...lines];
  return all.map((cells) => `| ${cells.join(" | ")} |`).join("\n") + "\n";
}

/** The middle, with the smallest and the largest value. */
function range({ median, least, most }, show) {
  if (least === most) return `**${show(median)}**`;
  return `**${show(median)}** (${show(least)}–${show(most)})`;
}

function ratio(spread) {
  return range(spread, (value) => value < 10 ? value.toFixed(2) : value.toFixed(1));
}

const isSpeed = (row) => row.unit !== "bytes";

/** The figures of a row in a runtime where that was measured. */
function figuresOf(row, runtime) {
  return row.runtimes[runtime] ?? { servers: {}, ratios: {} };
}

/**
 * A line for each row in which the two servers were measured, and two columns for each runtime.
 *
 * @param of Returns the ratio of a row in a runtime, if there is one.
 */
function ratioLines(summary, rows, of, suffix = "", cell = (found) => ratio(found.work)) {
  return rows.flatMap((row) => {
    const found = summary.runtimes.map((runtime) => of(figuresOf(row, runtime)));
    if (found.every((one) => one === undefined)) return [];
    return [[row.title + suffix, ...found.flatMap((one) => one === undefined ? ["", ""] : [cell(one), ratio(one.rate)])]];
  });
}

function ratioHeader(summary) {
  return ["", ...summary.runtimes.flatMap((runtime) => [`${RUNTIMES[runtime]}, by CPU`, "by rate"])];
}

/** Sluice beside the best peer of each runtime. */
function bestTable(summary) {
  const rows = summary.rows.filter(isSpeed);
  const lines = rows.flatMap((row) =>
    Object.entries(VARIANTS).flatMap(([variant, suffix]) =>
      ratioLines(summary, [row], ({ best, ratios }) => ratios[`${variant}/${best}`], suffix)
    )
  );
  return tableOf(ratioHeader(summary), lines);
}

/** One server beside another. */
function pairTable(summary, pair) {
  return tableOf(ratioHeader(summary), ratioLines(summary, summary.rows.filter(isSpeed), ({ ratios }) => ratios[pair]));
}

/** The same, with what the first takes more for each message. */
function awaitTable(summary) {
  const cell = ({ work, nanoseconds }) => `${ratio(work)}, ${nanoseconds < 0 ? "−" : "+"}${number(Math.abs(nanoseconds))} ns`;
  const rows = summary.rows.filter(isSpeed);
  return tableOf(ratioHeader(summary), ratioLines(summary, rows, ({ ratios }) => ratios["coroutine/sluice"], "", cell));
}

/** How many times the processor time of Swoole Sluice takes: less is better, unlike elsewhere. */
function swooleTable(summary) {
  const lines = summary.rows.filter(isSpeed).flatMap((row) => {
    const found = summary.runtimes.map((runtime) => figuresOf(row, runtime).ratios["sluice/swoole"]?.work);
    if (found.every((one) => one === undefined)) return [];
    const invert = ({ median, least, most }) => ({ median: 1 / median, least: 1 / most, most: 1 / least });
    return [[row.title, ...found.map((one) => one === undefined ? "" : ratio(invert(one)))]];
  });
  return tableOf(["", ...summary.runtimes.map((runtime) => RUNTIMES[runtime])], lines);
}

/** Processor time of a message by the number of connections, in nanoseconds. */
function growthTable(summary) {
  const rows = summary.rows.filter(({ name }) => GROWING.includes(name));
  if (rows.length < 2) return "";
  const columns = summary.runtimes.flatMap((runtime) =>
    ["sluice", "own", "raw"].filter((server) => rows.some((row) => figuresOf(row, runtime).servers[server] !== undefined))
      .map((server) => [runtime, server])
  );
  const header = ["connections", ...columns.map(([runtime, server]) => `${RUNTIMES[runtime]}: ${TITLES[server]}`)];
  const lines = rows.map((row) => [
    number(row.conns),
    ...columns.map(([runtime, server]) => {
      const figures = figuresOf(row, runtime).servers[server];
      return figures === undefined ? "" : number(1e9 / figures.work.median);
    }),
  ]);
  return tableOf(header, lines);
}

/** The servers with a cell in any of the rows, in the order of the tables. */
function columnsOf(summary, rows) {
  return [...Object.keys(servers), "before"].filter((server) =>
    rows.some((row) => summary.runtimes.some((runtime) => figuresOf(row, runtime).servers[server] !== undefined))
  );
}

/** A table with a column for each server and a line for each row and runtime. */
function serverTable(summary, rows, titleOf, show) {
  const columns = columnsOf(summary, rows);
  const lines = rows.flatMap((row) =>
    summary.runtimes.filter((runtime) => Object.keys(figuresOf(row, runtime).servers).length > 0).map((runtime, index) => [
      index === 0 ? titleOf(row) : "",
      RUNTIMES[runtime],
      ...columns.map((server) => {
        const figures = figuresOf(row, runtime).servers[server];
        return figures === undefined ? "" : show(figures, row);
      }),
    ])
  );
  return tableOf(["", "in", ...columns.map((server) => TITLES[server])], lines);
}

function rateTable(summary) {
  const show = ({ rate: { median: rate }, limited }, { unit, payload }) => {
    const mark = limited ? "\\*" : "";
    if (unit === "MiB/s") return number(rate * payload / 1048576) + mark;
    return (rate < 1000 ? number(rate) : `${(rate / 1000).toFixed(rate < 20_000 ? 1 : 0)}k`) + mark;
  };
  const table = serverTable(summary, summary.rows.filter(isSpeed), ({ title, unit }) => `${title}, ${unit}`, show);
  const note = "\n\\* The load generator's core was full and the server's was not: the server can do more.\n";
  return table + (table.includes("\\*") ? note : "");
}

/** Processor time for each message, delivery, request or handshake, in nanoseconds. */
function costTable(summary) {
  return serverTable(summary, summary.rows.filter(isSpeed), ({ title }) => title, ({ work }) => number(1e9 / work.median));
}

/** How long the servers made what they sent, in bytes. */
function sizeTable(summary, rows) {
  return serverTable(summary, rows, ({ title }) => title, ({ wire }) => number(wire));
}

function memoryTable(summary) {
  const kinds = [["each", "as it is"], ["collected", "after garbage collection"], ["left", "when all have gone"]];
  const parts = summary.rows.filter((row) => !isSpeed(row)).flatMap((row) =>
    kinds.map(([kind, title]) =>
      serverTable(summary, [row], () => `${row.title}, ${number(row.conns)}, ${title}`, (figures) => range(figures[kind], number))
    )
  );
  // One table: the headers are the same where the servers are.
  return parts.map((part, index) => {
    const [header, line, ...rest] = part.split("\n");
    return index > 0 && parts[index - 1].startsWith(`${header}\n`)
      ? rest.join("\n")
      : `${index > 0 ? "\n" : ""}${header}\n${line}\n${rest.join("\n")}`;
  }).join("");
}

/** The tables: a name, a title and Markdown, which is empty where nothing of it was measured. */
export function sectionsOf(summary) {
  const speed = summary.rows.filter(isSpeed);
  return [
    ["run", "The run", describe(summary)],
    ["best", "Sluice divided by the best peer", bestTable(summary)],
    ["before", "Sluice divided by the Sluice of before", pairTable(summary, "sluice/before")],
    ["raw", "Sluice divided by raw TCP", pairTable(summary, "sluice/raw")],
    ["streams", "The stream lane divided by the native one", pairTable(summary, "streams/sluice")],
    ["coroutine", "The coroutine style divided by the event style", awaitTable(summary)],
    ["prepared", "A prepared message divided by a loop of pushes", pairTable(summary, "prepared/sluice")],
    ["publish", "publish() divided by a loop of pushes", pairTable(summary, "publish/sluice")],
    ["growth", "Processor time of a message by the number of connections, in ns", growthTable(summary)],
    ["memory", "Bytes of memory for each idle connection", memoryTable(summary)],
    ["swoole", "Processor time, Sluice divided by Swoole", swooleTable(summary)],
    ["rate", "Work per second", rateTable(summary)],
    ["cost", "Processor time of the server for each message, delivery, request or handshake, in ns", costTable(summary)],
    ["size", "Bytes of a compressed message", sizeTable(summary, speed.filter(({ compressed }) => compressed))],
    ["head", "Bytes of a response with its head", sizeTable(summary, speed.filter(({ http }) => http))],
  ];
}

/** What the run was, in a few lines. */
function describe({ date, commit, machine, versions, rounds, seconds, warmup, label, others, failures }) {
  const lines = [
    `- **Machine:** ${machine}`,
    `- **Versions:** ${Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")}`,
    `- **Run:** ${date}, Sluice at ${commit}; ${rounds} rounds of ${seconds} s, each after ${warmup} s of warm-up or more`,
  ];
  if (others !== undefined) {
    const percent = (share) => `${Math.round(share * 100)} %`;
    lines.push(
      `- **Other programs** took ${percent(others.median)} of a core in the middle and ${percent(others.most)} at most.`,
    );
  }
  if (label !== undefined) lines.push(`- **Note:** ${label}`);
  if (failures !== undefined) lines.push(`- **Failed and left out:** ${failures.join("; ")}`);
  return lines.join("\n") + "\n";
}

/** All tables of a run, in Markdown. */
export function report(summary) {
  return sectionsOf(summary).filter(([, , text]) => text !== "").map(([, title, text]) => `## ${title}\n\n${text}`).join("\n");
}
