/**
 * How many sockets a program may have, for runtimes that do not recover by themselves when the system has no descriptor left, or do
 * not tell of it.
 *
 * @module
 */

import { readFileSync } from "node:fs";

/** So many descriptors, and a tenth of all, are left for files and for connections of the program's own. */
const SPARE = 32;

/** The most connections that a listener should hold; `Infinity` where the system does not tell. */
export function connectionLimit(): number {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    const descriptors = found === null ? Infinity : Number(found[1]);
    return Math.max(1, Math.floor(Math.min(descriptors - SPARE, descriptors * 0.9)));
  } catch {
    return Infinity; // another system, or one that may not be asked
  }
}

/** What is reported when that many are there. */
export function outOfDescriptors(limit: number): Error {
  return Object.assign(
    new Error(`Cannot accept more connections: ${limit} are open, and the process may not have many more files (ulimit -n)`),
    { code: "EMFILE" },
  );
}
