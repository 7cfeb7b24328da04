// Rules that no other tool checks: which names may appear where, who may import whom, and how long a file may be.

import { readFileSync } from "node:fs";
import { posix } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { circles, code, importGraph, sources } from "./check/import_graph.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const src = sources(root, "src");
const adapters = sources(root, "adapters");
const library = [...src, ...adapters, "mod.ts"];
const violations = [];

function forbid(file, pattern, why) {
  for (const line of code(root, file).split("\n")) if (pattern.test(line)) violations.push(`${file}: ${why}: ${line.trim()}`);
}

// ---- what may appear where ----------------------------------------------------------------------------------------------

for (const file of src) {
  forbid(file, /\b(Deno|Bun|Buffer|globalThis)\b|["'](node|npm|jsr|bun):/, "src/ knows no runtime and no package");
  forbid(file, /\bprocess(\??\.\w|\[)|(=|typeof) process\b/, "src/ knows no runtime"); // messages may speak of processes
  forbid(file, /from "[^.]/, "src/ has no dependencies");
  // The deflate engines are an exception: what the web has for it is asynchronous. So is what puts a protocol on a connection.
  if (/^src\/(websocket(?!\/deflate|\/connection)|http)\//.test(file)) {
    forbid(
      file,
      /\b(setTimeout|setInterval|queueMicrotask|Promise|Date\.now|performance|ReadableStream|WritableStream)\b|new Date\(\)|\basync\b|\bawait\b/,
      "a protocol is computation: no clock, timer, stream or promise",
    );
  }
  if (/\benum\s+\w+\s*\{|\bnamespace\s+\w+|constructor\([^)]*\b(public|private|protected|readonly)\s/.test(code(root, file))) {
    violations.push(`${file}: only TypeScript that can be erased`);
  }
}
for (const file of ["mod.ts", ...sources(root, "examples")]) forbid(file, /["']jsr:/, "running never needs JSR");

// ---- who may import whom ------------------------------------------------------------------------------------------------

/** The rooms, each with those that it may import from. Whoever stands further down uses those further up. */
const ROOMS = {
  "src": [],
  "src/transport": ["src"],
  "src/http": ["src", "src/transport"],
  "src/websocket": ["src", "src/transport", "src/http"],
  "src/topics": ["src", "src/transport", "src/http", "src/websocket"],
  "src/client": ["src", "src/transport", "src/http", "src/websocket"],
  "src/cluster": ["src", "src/transport", "src/http", "src/websocket", "src/topics"],
  "src/server": ["src", "src/transport", "src/http", "src/websocket", "src/topics", "src/cluster"],
  "src/coroutine": ["src", "src/transport", "src/http", "src/websocket", "src/topics", "src/cluster", "src/client", "src/server"],
};
const roomOf = (file) => Object.keys(ROOMS).filter((room) => file.startsWith(`${room}/`)).sort((a, b) => b.length - a.length)[0];
// The entry point of the coroutine style, which only re-exports; what chooses an adapter is handed to it there.
const ENTRANCES = ["src/coroutine/mod.ts", "mod.ts"];

const graph = importGraph(root, library);
for (const [file, imported] of graph) {
  const room = roomOf(file);
  if (room === undefined || ENTRANCES.includes(file)) continue;
  for (const other of imported) {
    const from = roomOf(other);
    if (from === undefined) violations.push(`${file}: imports ${other}, which is not in src/`);
    else if (from !== room && !ROOMS[room].includes(from)) {
      violations.push(`${file}: imports ${other}: ${room} may not use ${from}`);
    }
  }
}
for (const group of circles(graph)) for (const file of group) violations.push(`${file}: is in a circle of imports`);

// ---- files and names ----------------------------------------------------------------------------------------------------

for (const file of [...src, ...adapters]) {
  const lines = readFileSync(root + file, "utf8").split("\n").length - 1;
  if (lines > 500) violations.push(`${file}: ${lines} lines; 500 is the limit`);
}

/** Tells of names that stand for more than one thing. */
function namesakes(pairs) {
  const places = new Map();
  for (const [name, file] of pairs) places.set(name, [...places.get(name) ?? [], file]);
  for (const [name, files] of places) if (files.length > 1) violations.push(`${name}: has namesakes: ${files.join(", ")}`);
}

// Two servers have one name in Swoole, and so have their responses.
const SWOOLES = ["HttpServer", "HttpResponse", "http_server.ts", "http_response.ts"];
const named = [...src, ...adapters].filter((file) => !ENTRANCES.includes(file));
namesakes(named.map((file) => [posix.basename(file), file]).filter(([name]) => !SWOOLES.includes(name)));
namesakes(
  named.flatMap((file) =>
    [...code(root, file).matchAll(/^(?:export )?(?:abstract )?(?:class|interface) (\w+)/gm)].map(([, name]) => [name, file])
  ).filter(([name]) => !SWOOLES.includes(name)),
);

for (const line of violations) console.error(line);
if (violations.length > 0) process.exitCode = 1;
console.log(`${violations.length} violations`);
