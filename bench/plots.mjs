// Draws the summary of a run: a picture for each runtime, with a bar for each row that shows how far Sluice is ahead of the best
// peer, or behind it.
//
//   node bench/plots.mjs SUMMARY.json [DIRECTORY]

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { RUNTIMES, VARIANTS } from "./report.mjs";

const WIDTH = 960;
const TEXT = 430; // where the bars begin
const RIGHT = 60; // what the figure at the end of a bar needs
const LINE = 24;
const TOP = 58;
const BOTTOM = 34;

/** The colours of both themes, with a background of their own; blue and orange differ to everybody. */
const STYLE = `
    .page { fill: #ffffff; }
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .title { font-size: 16px; font-weight: 600; }
    .quiet { fill: #59636e; font-size: 12px; }
    .grid { stroke: #d1d9e0; }
    .one { stroke: #59636e; stroke-width: 1.5; }
    .ahead { fill: #2f6fbd; }
    .behind { fill: #d9822b; }
    .range { stroke: #1f2328; stroke-width: 1.5; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; }
      text { fill: #f0f6fc; }
      .quiet { fill: #9198a1; }
      .grid { stroke: #3d444d; }
      .one { stroke: #9198a1; }
      .ahead { fill: #5b9be6; }
      .behind { fill: #e59a4b; }
      .range { stroke: #f0f6fc; }
    }`;

function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("`", "");
}

/** The bars of a runtime: by processor time, and for idle connections by memory. */
function barsOf(summary, runtime) {
  return summary.rows.flatMap((row) => {
    const figures = row.runtimes[runtime];
    return Object.entries(VARIANTS).flatMap(([variant, suffix]) => {
      const ratio = figures?.ratios[`${variant}/${figures.best}`];
      if (ratio === undefined) return [];
      const title = row.unit === "bytes" ? `${row.title}, memory` : row.title + suffix;
      return [{ title, ...ratio.memory ?? ratio.work }];
    });
  });
}

/** The picture of a runtime as SVG; `undefined` if nothing was measured beside a peer. */
export function plot(summary, runtime) {
  const bars = barsOf(summary, runtime);
  if (bars.length === 0) return undefined;
  // The scale is logarithmic: twice as fast is as long as half as fast.
  const low = Math.min(0, Math.floor(Math.log2(Math.min(...bars.map(({ least }) => least)))));
  const high = Math.max(1, Math.ceil(Math.log2(Math.max(...bars.map(({ most }) => most)))));
  const x = (ratio) => Math.round((TEXT + (Math.log2(ratio) - low) / (high - low) * (WIDTH - RIGHT - TEXT)) * 10) / 10;
  const height = TOP + bars.length * LINE + BOTTOM;
  const bottom = height - BOTTOM;
  const parts = [];
  for (let power = low; power <= high; power++) {
    const at = x(2 ** power);
    parts.push(`<line class="${power === 0 ? "one" : "grid"}" x1="${at}" y1="${TOP - 6}" x2="${at}" y2="${bottom}"/>`);
    parts.push(`<text class="quiet" x="${at}" y="${bottom + 18}" text-anchor="middle">${2 ** power}×</text>`);
  }
  bars.forEach(({ title, median, least, most }, index) => {
    const y = TOP + index * LINE;
    const [from, to] = [x(1), x(median)].sort((a, b) => a - b);
    const middle = y + LINE / 2 - 1;
    const width = Math.max(1, Math.round((to - from) * 10) / 10);
    parts.push(`<text x="${TEXT - 10}" y="${middle + 4}" text-anchor="end">${escape(title)}</text>`);
    parts.push(
      `<rect class="${median < 1 ? "behind" : "ahead"}" x="${from}" y="${y + 4}" width="${width}" height="${LINE - 10}"/>`,
    );
    parts.push(`<line class="range" x1="${x(least)}" y1="${middle}" x2="${x(most)}" y2="${middle}"/>`);
    const end = Math.max(x(most), to, x(1)) + 6;
    parts.push(`<text x="${end}" y="${middle + 4}">${median < 10 ? median.toFixed(2) : median.toFixed(1)}</text>`);
  });
  const title = `Sluice in ${RUNTIMES[runtime]} ${summary.versions[runtime] ?? ""}, divided by the best peer`;
  const note = `work per processor second (idle connections: memory), more is better; thin lines: spread · ${summary.date}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">
  <title>${escape(title)}</title>
  <style>${STYLE}
  </style>
  <rect class="page" width="${WIDTH}" height="${height}" rx="6"/>
  <text class="title" x="10" y="22">${escape(title)}</text>
  <text class="quiet" x="10" y="42">${escape(note)}</text>
  ${parts.join("\n  ")}
</svg>
`;
}

/** Writes a picture for each runtime of a run. Returns the names of the runtimes that have one. */
export function writePlots(summary, prefix) {
  return summary.runtimes.filter((runtime) => {
    const picture = plot(summary, runtime);
    if (picture !== undefined) writeFileSync(`${prefix}${runtime}.svg`, picture);
    return picture !== undefined;
  });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [file, directory = "."] = process.argv.slice(2);
  writePlots(JSON.parse(readFileSync(file, "utf8")), `${directory}/`);
}
