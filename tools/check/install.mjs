// Installs the runtimes and packages that the checks use, by npm, where they are not there yet.

import { existsSync, readFileSync } from "node:fs";
import process from "node:process";

const read = (path) => JSON.parse(readFileSync(path, "utf8")).packages;

/** Whether `tools/node_modules` holds what the lock file says. */
export function isInstalled(root) {
  const marker = `${root}tools/node_modules/.package-lock.json`;
  if (!existsSync(marker)) return false;
  const installed = read(marker);
  const entries = Object.entries(read(`${root}tools/package-lock.json`)).filter(
    ([path]) => path !== "",
  );
  const isThere = (
    [path, { version, optional }],
  ) => (path in installed ? installed[path].version === version : optional === true);
  const programs = [
    ".bin/deno",
    ".bin/bun",
    ".bin/esbuild",
    "n20/bin/node",
    "n22/bin/node",
    "n24/bin/node",
    "n26/bin/node",
  ];
  return entries.every(isThere) &&
    programs.every((name) => existsSync(`${root}tools/node_modules/${name}`));
}

/** The command of npm: the one that has started this program, if any. */
export function npm() {
  const path = process.env.npm_execpath;
  return path !== undefined && /npm-cli\.c?js$/.test(path) ? [process.execPath, path] : ["npm"];
}

/** The command that installs it. */
export function installation() {
  return [
    ...npm(),
    "ci",
    "--prefix",
    "tools",
    "--no-audit",
    "--no-fund",
    "--loglevel=http",
  ];
}
