/**
 * The files of unix sockets that nobody listens on any more.
 *
 * @module
 */

import type { Runtime } from "../runtime.ts";

/** A server on this machine that does not accept within this time is there all the same, in milliseconds. */
const PATIENCE = 2000;

/**
 * Removes the socket that a server has left behind which was killed. One that somebody listens on stays, as does a file of any
 * other kind.
 *
 * @returns Whether the path is free now.
 */
export async function removeStaleSocket(runtime: Runtime, path: string): Promise<boolean> {
  if (!await isSocket(runtime, path) || !await isRefused(runtime, path)) return false;
  try {
    await runtime.removeFile(path);
    return true;
  } catch {
    return false; // it is somebody else's
  }
}

/** Only a socket cannot be opened for this reason: connecting to a file is refused as well. */
async function isSocket(runtime: Runtime, path: string): Promise<boolean> {
  try {
    await (await runtime.openFile(path)).close();
    return false;
  } catch (error) {
    return (error as { code?: unknown }).code === "ENXIO";
  }
}

async function isRefused(runtime: Runtime, path: string): Promise<boolean> {
  const signal = AbortSignal.timeout(PATIENCE);
  try {
    const pipe = await runtime.connect({ transport: "unix", hostname: path, port: 0, noDelay: true, signal });
    pipe.abort();
    return false;
  } catch (error) {
    return (error as { code?: unknown }).code === "ECONNREFUSED";
  }
}
