/**
 * What Node 20, the oldest version that runs the package, does not have.
 *
 * @module
 */

import process from "node:process";

/** Whether this is Node 20. It cannot share a port among servers. */
export const inNode20: boolean = !("Deno" in globalThis) && !("Bun" in globalThis) && process.versions.node.startsWith("20.");
