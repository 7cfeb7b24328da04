/**
 * Files: the interfaces of those that are open, which an adapter implements, and the reading of one while it is sent.
 *
 * @module
 */

import { viewBytes } from "./bytes.ts";

/** A file that is open for reading. */
export interface FileSource {
  /** The size in bytes at the time it was opened. */
  readonly size: number;
  /** The time of the last change, in milliseconds since 1970. */
  readonly mtime: number;
  /**
   * Reads bytes. Only one read may be pending, and none may follow `close()`.
   *
   * @param at The position in the file to start from.
   * @param into The memory to read into.
   * @returns The number of bytes read; 0 at the end of the file. Fewer bytes than fit do not mean the end.
   */
  read(at: number, into: Uint8Array): Promise<number>;
  /** Closes the file. Called once. */
  close(): Promise<void>;
}

/** Options for opening a file for writing. */
export interface WriteOptions {
  /** Whether the file must not exist yet and be readable by this user only: for temporary files. Default: `false`. */
  readonly isNew?: boolean | undefined;
  /** The position to start from; the bytes before it are kept. At 0, the default, the file is truncated first. */
  readonly offset?: number | undefined;
}

/** A file that is open for writing. */
export interface FileSink {
  /**
   * Appends all the bytes. Only one write may be pending, and none may follow `close()`.
   *
   * @param bytes The bytes, which must not change until the promise has settled.
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes the file. Called once. */
  close(): Promise<void>;
}

/** An entry of a folder. */
export interface FolderEntry {
  /** The name, without the path. */
  readonly name: string;
  /** Whether it is a folder. */
  readonly isFolder: boolean;
}

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
