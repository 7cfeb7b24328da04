// How names are resolved in Node: those of the import map as it says, npm packages from tools/node_modules.
import { readFileSync } from "node:fs";

const at = new URL("./import_map.json", import.meta.url);
const { imports } = JSON.parse(readFileSync(at, "utf8"));
const tools = new URL("../../tools/package.json", import.meta.url).href;

export function resolve(specifier, context, next) {
  const target = imports[specifier];
  if (target === undefined) return next(specifier, context);
  if (target.startsWith("npm:")) return next(specifier, { ...context, parentURL: tools });
  return next(new URL(target, at).href, context);
}
