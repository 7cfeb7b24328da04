// Rules that no other tool checks: which names may appear where, and how long a file may be.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const files = (folder) =>
  readdirSync(root + folder, { recursive: true }).filter((name) => name.endsWith(".ts")).map((name) => `${folder}/${name}`);
const faults = [];

/** The code of a file, with comments blanked out. */
function code(file) {
  return readFileSync(root + file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (comment) => comment.replace(/[^\n]/g, " "));
}

function forbid(file, pattern, why) {
  code(file).split("\n").forEach((line, index) => {
    if (pattern.test(line)) faults.push(`${file}:${index + 1}: ${why}: ${line.trim()}`);
  });
}

for (const file of files("src")) {
  forbid(file, /\b(Deno|Bun|process|Buffer|globalThis)\b|["'](node|npm|jsr|bun):/, "src/ knows no runtime and no package");
  forbid(file, /from "[^.]/, "src/ has no dependencies");
  // The deflate engines are the one exception: what the web has for it is asynchronous.
  if (/^src\/(websocket(?!\/deflate)|http)\//.test(file)) {
    forbid(
      file,
      /\b(setTimeout|setInterval|queueMicrotask|Promise|Date(?!:)|performance|ReadableStream|WritableStream)\b|\basync\b|\bawait\b/,
      "a protocol is computation: no clock, timer, stream or promise",
    );
  }
  if (/\benum\s+\w+\s*\{|\bnamespace\s+\w+|constructor\([^)]*\b(public|private|protected|readonly)\s/.test(code(file))) {
    faults.push(`${file}: only TypeScript that can be erased`);
  }
}
for (const file of [...files("src"), ...files("adapters")]) {
  const lines = readFileSync(root + file, "utf8").split("\n").length - 1;
  if (lines > 500) faults.push(`${file}: ${lines} lines; 500 is the limit`);
}
for (const file of ["mod.ts", ...files("examples")]) forbid(file, /["']jsr:/, "running never needs JSR");

for (const fault of faults) console.error(fault);
console.log(`${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
