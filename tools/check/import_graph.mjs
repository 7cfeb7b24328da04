// Which file imports which, and what follows from it.

import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";

/** The TypeScript files below some folders, and single files, by their paths from the root. */
export function sources(root, ...places) {
  return places.flatMap((place) =>
    place.endsWith(".ts") ? [place] : readdirSync(root + place, { recursive: true }).map((name) => name.replaceAll("\\", "/"))
      .filter((name) => name.endsWith(".ts")).map((name) => `${place}/${name}`)
  ).sort();
}

/** The code of a file, with comments blanked out. */
export function code(root, file) {
  return readFileSync(root + file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (comment) => comment.replace(/[^\n]/g, " "));
}

/** The files that each file imports, types included. */
export function importGraph(root, files) {
  const graph = new Map();
  for (const file of files) {
    const imported = new Set();
    for (const [, path] of code(root, file).matchAll(/\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)) {
      imported.add(posix.normalize(posix.join(posix.dirname(file), path)));
    }
    graph.set(file, imported);
  }
  return graph;
}

/** The circles of a graph: groups of files each of which leads to all others of its group (Tarjan's algorithm). */
export function circles(graph) {
  const index = new Map();
  const low = new Map();
  const stack = [];
  const found = [];
  const visit = (file) => {
    index.set(file, index.size);
    low.set(file, index.get(file));
    stack.push(file);
    for (const next of graph.get(file) ?? []) {
      if (!index.has(next)) {
        visit(next);
        low.set(file, Math.min(low.get(file), low.get(next)));
      } else if (stack.includes(next)) low.set(file, Math.min(low.get(file), index.get(next)));
    }
    if (low.get(file) !== index.get(file)) return;
    const group = stack.splice(stack.indexOf(file));
    if (group.length > 1) found.push(group.sort());
  };
  for (const file of graph.keys()) if (!index.has(file)) visit(file);
  return found;
}
