import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { planOf, QUICK, secondsOf } from "../bench/plan.mjs";
import { plot } from "../bench/plots.mjs";
import { report, sectionsOf } from "../bench/report.mjs";
import { rows, takesPart } from "../bench/rows.mjs";
import { summarize } from "../bench/summary.mjs";

const about = {
  date: "2026-01-02",
  commit: "abcdef0",
  machine: "a machine",
  versions: { deno: "1.2.3" },
  rounds: 3,
  seconds: 1,
  warmup: 1,
};
const row = (name: string) => rows.find((one: { name: string }) => one.name === name)!;

/** The sample of a server that does so many messages in a second, with half of its core. */
function sample(name: string, server: string, round: number, rate: number) {
  return { row: name, runtime: "deno", server, round, result: { rate, server_cpu: 0.5, load_cpu: 0.4, others: 0.01 } };
}

test("a summary holds medians, ranges, and ratios made within each round", () => {
  const samples = [
    ...[100, 300, 200].map((rate, round) => sample("echo-64-1", "sluice", round, rate)),
    ...[100, 100, 400].map((rate, round) => sample("echo-64-1", "own", round, rate)).reverse(),
  ];
  const summary = summarize(about, samples, [row("echo-64-1")], ["deno"], ["sluice", "own"]);
  const { best, servers, ratios } = summary.rows[0].runtimes.deno;
  assertEquals(best, "own");
  assertEquals(servers.sluice.rate, { median: 200, least: 100, most: 300 });
  assertEquals(servers.sluice.work, { median: 400, least: 200, most: 600 });
  assertEquals(ratios["sluice/own"].rate, { median: 1, least: 0.5, most: 3 });
  assertStringIncludes(report(summary), "**1.00** (0.50–3.00)");
});

test("a round that lacks one of two servers has no ratio", () => {
  const samples = [
    ...[100, 200].map((rate, round) => sample("echo-64-1", "sluice", round, rate)),
    sample("echo-64-1", "own", 1, 50),
  ];
  const summary = summarize(about, samples, [row("echo-64-1")], ["deno"], ["sluice", "own", "raw"]);
  const { servers, ratios } = summary.rows[0].runtimes.deno;
  assertEquals(Object.keys(servers), ["sluice", "own"]);
  assertEquals(ratios["sluice/own"].rate, { median: 4, least: 4, most: 4 });
});

test("the best peer does most work for its processor time, and needs least memory", () => {
  const speed = [["sluice", 50], ["own", 70], ["node", 90], ["raw", 500]] as const;
  const idle = [["sluice", 4000], ["own", 8000], ["raw", 1]] as const;
  const samples = [
    ...speed.map(([server, rate]) => sample("http-1", server, 0, rate)),
    ...idle.flatMap(([server, each]) =>
      [false, true].map((gc) => ({ row: "memory", runtime: "deno", server, round: 0, gc, result: { each, left: 0 } }))
    ),
  ];
  const summary = summarize(about, samples, [row("http-1"), row("memory")], ["deno"], ["sluice", "own", "node", "raw"]);
  const [http, memory] = [0, 1].map((index) => summary.rows[index].runtimes.deno);
  assertEquals([http.best, memory.best], ["node", "own"]);
  assertEquals(memory.ratios["sluice/own"].memory!.median, 2); // half of the memory is twice as good
  const picture = plot(summary, "deno")!;
  assertStringIncludes(picture, ">0.56</text>");
  assertStringIncludes(picture, ">2.00</text>");
  assert(plot(summary, "bun") === undefined);
});

test("a plan measures every server of a row in each round, every second time backwards", () => {
  const options = { rows: [row("broadcast-16")], runtimes: ["bun"], servers: ["sluice", "prepared", "own", "raw"], rounds: 2 };
  const plan = planOf({ ...options, quick: false });
  assertEquals(plan.map((one: { server: string }) => one.server), ["sluice", "prepared", "own", "own", "prepared", "sluice"]);
  assert(secondsOf(plan, { seconds: 3, warmup: 1 }) > plan.length * 4);
});

test("a quick run takes less than ten minutes, and its servers take part in its rows", () => {
  const chosen = rows.filter(({ quick }: { quick?: string[] }) => quick !== undefined);
  const plan = planOf({
    rows: chosen,
    runtimes: ["deno", "bun", "node"],
    servers: ["sluice", "prepared", "publish", "coroutine", "streams", "fetch", "light", "own", "node", "raw"],
    rounds: QUICK.rounds,
    quick: true,
  });
  assert(secondsOf(plan, QUICK) < 600);
  for (const one of chosen) for (const server of one.quick!) assert(takesPart(server, one), `${server} in ${one.name}`);
});

test("docs/performance.md shows the published summary", () => {
  const page = readFileSync(new URL("../docs/performance.md", import.meta.url), "utf8");
  const published = new URL("../docs/performance/summary.json", import.meta.url);
  const isThere = existsSync(published);
  assertEquals(page.includes("No run has been published yet."), !isThere);
  if (!isThere) return;
  // `deno fmt` fills up the cells.
  const bare = (text: string) => text.replaceAll(/[ -]+/g, " ");
  for (const [name, , text] of sectionsOf(JSON.parse(readFileSync(published, "utf8")))) {
    if (text !== "" && name !== "before") {
      assertStringIncludes(bare(page), bare(text.trim()), `${name}: run node bench/publish.mjs`);
    }
  }
});
