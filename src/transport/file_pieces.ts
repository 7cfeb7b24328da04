/**
 * Files that are read while they are sent.
 *
 * @module
 */

import { viewBytes } from "./bytes.ts";
import type { FileSource } from "./runtime.ts";

/** The number of bytes per read. At most two pieces are in memory. */
const PIECE = 64 * 1024;

/**
 * Reads a file piece by piece. The next piece is read while the last one is being sent.
 *
 * @param file The file, which stays open.
 * @param path Its path, for error messages.
 * @param start The index of the first byte.
 * @param end The index after the last byte.
 * @param ready Resolves when a piece can be taken: to `false` if no more pieces are wanted.
 * @param write Takes a piece and owns its memory.
 * @returns Whether all pieces were taken.
 * @throws The errors of the runtime; an `Error` if the file has become shorter.
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
