// The commands that run files of tests in each runtime.

import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** The path of a program that npm has installed. */
export const bin = (name) => `${root}tools/node_modules/${name}`;

export const offline = ["--import-map", "tests/offline/import_map.json"];

export const inDeno = (files, ...flags) => [bin(".bin/deno"), "test", "-A", ...flags, ...offline, ...files];

/** @param timeout The time that a test may take, in seconds. */
export const inBun = (files, timeout = 120) => [
  bin(".bin/bun"),
  "test",
  "--timeout",
  `${timeout * 1000}`,
  ...files.map((name) => `./${name}`),
];

export const inNode = (version, files, ...flags) => [
  bin(`n${version}/bin/node`),
  "--import",
  "./tests/offline/register.mjs",
  "--test",
  // All files in one process, as in Deno and Bun: to start one for each takes a minute or two.
  version === "22" ? "--experimental-test-isolation=none" : "--test-isolation=none",
  ...flags,
  ...files,
];
