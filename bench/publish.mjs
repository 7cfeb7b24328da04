// Puts a run into docs/performance.md: its tables between the markers, its pictures and its summary into docs/performance/.
//
//   node bench/publish.mjs [SUMMARY.json]     without a file: the summary that is published already, after the tables have changed

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { writePlots } from "./plots.mjs";
import { RUNTIMES, sectionsOf } from "./report.mjs";
import { root, runtimesFor } from "./rows.mjs";

const page = `${root}docs/performance.md`;
const directory = `${root}docs/performance/`;
const published = `${directory}summary.json`;

const summary = JSON.parse(readFileSync(process.argv[2] ?? published, "utf8"));
mkdirSync(directory, { recursive: true });
writeFileSync(published, JSON.stringify(summary));

const pictures = writePlots(summary, directory)
  .map((runtime) => `![Sluice in ${RUNTIMES[runtime]}, divided by the best peer](performance/${runtime}.svg)\n`).join("\n");
const blocks = new Map([...sectionsOf(summary).map(([name, , text]) => [name, text]), ["plots", pictures]]);
blocks.set("run", `${blocks.get("run")}- **As data:** [summary.json](performance/summary.json)\n`);

let text = readFileSync(page, "utf8");
for (const [name, block] of blocks) {
  const marker = new RegExp(`(<!-- figures: ${name} -->\n)[^]*?(<!-- end -->)`);
  if (!marker.test(text)) {
    // Only what every run has must have a place.
    if (block !== "" && name !== "before") throw new Error(`docs/performance.md has no place for ${name}`);
    continue;
  }
  text = text.replace(marker, (_all, begin, end) => `${begin}\n${block === "" ? "Not measured in this run.\n" : block}\n${end}`);
}
writeFileSync(page, text);
spawnSync(runtimesFor(24).deno.binary, ["fmt", "-q", page, directory], { cwd: root, stdio: "inherit" });
