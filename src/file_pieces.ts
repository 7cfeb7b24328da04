/**
 * Files that are read while they are sent.
 *
 * @module
 */

import { viewBytes } from "./bytes.ts";
import type { FileSource } from "./runtime.ts";

/** How much is read at a time. No more than two pieces are in memory. */
const PIECE = 64 * 1024;

/**
 * Hands on the octets of a file, piece by piece. The next one is read while the last one is on its way.
 *
 * @param file The file, which stays open.
 * @param path Its path, for people.
 * @param start Index of the first octet.
 * @param end Index behind the last one.
 * @param ready Resolves when a piece can be taken: to `false` when none is wanted any more.
 * @param write Takes a piece; its memory is the taker's.
 * @returns Whether all were handed on.
 * @throws What the runtime throws; an `Error` when the file has become shorter.
 */
export async function copyFile(
  file: FileSource,
  path: string,
  start: number,
  end: number,
  ready: () => Promise<boolean>,
  write: (piece: Uint8Array) => void,
): Promise<boolean> {
  for (let at = start; at < end;) {
    const memory = new Uint8Array(Math.min(PIECE, end - at));
    const [count, isWanted] = await Promise.all([file.read(at, memory), ready()]);
    if (!isWanted) return false;
    if (count === 0) throw new Error(`Cannot send ${path}: it has become shorter`);
    write(viewBytes(memory, 0, count));
    at += count;
  }
  return true;
}
