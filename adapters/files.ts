/**
 * Files, for all three adapters: `node:fs` is everywhere.
 *
 * @module
 */

import { constants } from "node:fs";
import {
  appendFile,
  chmod,
  copyFile,
  type FileHandle,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  unlink,
  writeFile,
} from "node:fs/promises";
import process from "node:process";
import type { FileSink, FileSource, Runtime, WriteOptions } from "../src/runtime.ts";
import { fileBlob } from "./file_blob.ts";

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

class WrittenFile implements FileSink {
  readonly #handle: FileHandle;
  #at: number;

  constructor(handle: FileHandle, at: number) {
    this.#handle = handle;
    this.#at = at;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, this.#at);
      done += bytesWritten;
      this.#at += bytesWritten;
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** The rights of a file that belongs to nobody but this user, while it is temporary. */
const PRIVATE = 0o600;

async function openForWriting(path: string, { isNew = false, offset = 0 }: WriteOptions = {}): Promise<FileSink> {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_EXCL } = constants;
  const handle = isNew
    ? await open(path, O_WRONLY | O_CREAT | O_EXCL, PRIVATE)
    : await open(path, O_WRONLY | O_CREAT | (offset === 0 ? O_TRUNC : 0));
  return new WrittenFile(handle, offset);
}

async function moveFile(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as { code?: string }).code !== "EXDEV") throw error;
    await copyFile(from, to); // to another disk
    await unlink(from);
  }
  await chmod(to, 0o666 & ~process.umask());
}

/** What a runtime has to be able to do with files. */
export const files: Pick<
  Runtime,
  | "readTextFile"
  | "appendTextFile"
  | "writeTextFile"
  | "removeFile"
  | "openFile"
  | "openForWriting"
  | "moveFile"
  | "fileBlob"
  | "realPath"
  | "readFolder"
> = {
  readTextFile: (path) => readFile(path, "utf8"),
  appendTextFile: (path, text) => appendFile(path, text),
  writeTextFile: (path, text) => writeFile(path, text),
  removeFile: (path) =>
    unlink(path).catch((error) => {
      if (error.code !== "ENOENT") throw error;
    }),
  openFile,
  openForWriting,
  moveFile,
  fileBlob,
  realPath: (path) => realpath(path),
  readFolder: async (path) =>
    (await readdir(path, { withFileTypes: true })).map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() })),
};
