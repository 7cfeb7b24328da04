/**
 * Files, for all three adapters: `node:fs` is everywhere.
 *
 * @module
 */

import { constants } from "node:fs";
import { appendFile, type FileHandle, open, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import type { FileSource, Runtime } from "../src/runtime.ts";

class OpenFile implements FileSource {
  readonly size: number;
  readonly mtime: number;
  readonly #handle: FileHandle;

  constructor(handle: FileHandle, size: number, mtime: number) {
    this.#handle = handle;
    this.size = size;
    this.mtime = mtime;
  }

  async read(at: number, into: Uint8Array): Promise<number> {
    return (await this.#handle.read(into, 0, into.length, at)).bytesRead;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Opens a file. What is none is told by its kind, and without waiting for the other end of a named pipe. */
async function openFile(path: string): Promise<FileSource> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const status = await handle.stat();
    if (status.isFile()) return new OpenFile(handle, status.size, status.mtimeMs);
    const code = status.isDirectory() ? "EISDIR" : "EINVAL";
    throw Object.assign(new Error(`${path} is ${code === "EISDIR" ? "a folder" : "no file"}`), { code });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** What a runtime has to be able to do with files. */
export const files: Pick<
  Runtime,
  "readTextFile" | "appendTextFile" | "writeTextFile" | "removeFile" | "openFile" | "realPath" | "readFolder"
> = {
  readTextFile: (path) => readFile(path, "utf8"),
  appendTextFile: (path, text) => appendFile(path, text),
  writeTextFile: (path, text) => writeFile(path, text),
  removeFile: (path) => rm(path, { force: true }),
  openFile,
  realPath: (path) => realpath(path),
  readFolder: async (path) =>
    (await readdir(path, { withFileTypes: true })).map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() })),
};
