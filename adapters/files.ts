/**
 * Files, for all three adapters: all runtimes have `node:fs`. Files as web `Blob`s that are read on demand.
 *
 * @module
 */

import * as fs from "node:fs";
import { chmod, copyFile, type FileHandle, open, readdir, realpath, rename, stat, unlink } from "node:fs/promises";
import { bodyDecoder, utf8Encoder } from "../src/values.ts";
import process from "node:process";
import { setTimeout } from "node:timers";
import type { FileSink, FileSource, WriteOptions } from "../src/transport/file_pieces.ts";
import type { Runtime } from "../src/transport/runtime.ts";

const PIECE = 64 * 1024;

/**
 * A part of a file. Works in Deno, which reads the parts of a `Blob` through their methods. Bun and Node do not, but have their
 * own file blobs.
 */
class FileBlob extends Blob {
  readonly #path: string;
  readonly #start: number;
  readonly #end: number;

  constructor(path: string, start: number, end: number, type = "") {
    super([], { type });
    this.#path = path;
    this.#start = start;
    this.#end = end;
  }

  override get size(): number {
    return this.#end - this.#start;
  }

  override slice(start = 0, end = this.size, type = ""): Blob {
    const { size } = this;
    const place = (at: number) => Math.min(Math.max(Math.trunc(at < 0 ? size + at : at), 0), size);
    const from = place(start);
    return new FileBlob(this.#path, this.#start + from, this.#start + Math.max(from, place(end)), type);
  }

  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const parts = this.#read();
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await parts.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await parts.return();
      },
    }, { highWaterMark: 0 });
  }

  async *#read(): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    const handle = await open(this.#path, "r");
    try {
      for (let at = this.#start; at < this.#end;) {
        const piece = new Uint8Array(Math.min(PIECE, this.#end - at));
        const { bytesRead } = await handle.read(piece, 0, piece.length, at);
        if (bytesRead === 0) throw new Error(`Cannot read ${this.#path}: it has become shorter`);
        at += bytesRead;
        yield piece.subarray(0, bytesRead);
      }
    } finally {
      await handle.close();
    }
  }

  override arrayBuffer(): Promise<ArrayBuffer> {
    return new Response(this.stream()).arrayBuffer();
  }

  override async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.arrayBuffer());
  }

  override async text(): Promise<string> {
    return bodyDecoder.decode(await this.arrayBuffer());
  }
}

/** Implements `Runtime.fileBlob()`. */
async function fileBlob(path: string): Promise<Blob> {
  if ("Bun" in globalThis) return (globalThis as unknown as { Bun: { file(path: string): Blob } }).Bun.file(path);
  if ("Deno" in globalThis) return new FileBlob(path, 0, (await stat(path)).size); // its openAsBlob() reads the whole file
  return await fs.openAsBlob(path);
}

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

  /** Reads the whole file. */
  text(): Promise<string> {
    return this.#handle.readFile("utf8");
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Opens a file. Non-files are reported as EISDIR or EINVAL, without waiting for the other end of a named pipe. */
async function openFile(path: string): Promise<OpenFile> {
  const handle = await open(path, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0));
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

/** Reads a file. A pipe, which nobody might write to, is refused as by `openFile()`. */
async function readTextFile(path: string): Promise<string> {
  const file = await openFile(path);
  try {
    return await file.text();
  } finally {
    await file.close();
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

/** The permissions of a temporary file: only this user may access it. */
const PRIVATE = 0o600;

async function openForWriting(path: string, { isNew = false, offset = 0 }: WriteOptions = {}): Promise<FileSink> {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_EXCL } = fs.constants;
  const handle = isNew
    ? await open(path, O_WRONLY | O_CREAT | O_EXCL, PRIVATE)
    : await open(path, O_WRONLY | O_CREAT | (offset === 0 ? O_TRUNC : 0));
  return new WrittenFile(handle, offset);
}

/**
 * The number of bytes that a pipe takes at once or not at all (POSIX: at least 512; Linux: 4096). Of larger writes, Deno does not
 * say how much a pipe has taken before it was full.
 */
const WHOLE = 512;

/** The time until a pipe that is full is tried again, in milliseconds. */
const RETRY = 20;

/**
 * Writes a text to a file. A named pipe must not block a thread, of which there are few, and for which the process would wait at
 * its end: without a reader it fails with ENXIO, and while it is full it is tried again.
 *
 * @param mode What becomes of the content that the file has: `O_APPEND` or `O_TRUNC`; `O_EXCL` if there must be no such file.
 */
async function write(path: string, text: string, mode: number): Promise<void> {
  const { O_CREAT, O_NONBLOCK = 0, O_WRONLY } = fs.constants;
  const handle = await open(path, O_WRONLY | mode | O_CREAT | O_NONBLOCK);
  try {
    const bytes = utf8Encoder.encode(text);
    const most = bytes.length <= WHOLE || (await handle.stat()).isFile() ? bytes.length : WHOLE;
    for (let done = 0; done < bytes.length;) {
      try {
        done += (await handle.write(bytes, done, Math.min(most, bytes.length - done))).bytesWritten;
      } catch (error) {
        if ((error as { code?: string }).code !== "EAGAIN") throw error;
        await new Promise<void>((resolve) => setTimeout(resolve, RETRY).unref());
      }
    }
  } finally {
    await handle.close();
  }
}

/** The codes for a disk that is full. */
const FULL: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT"]);

/**
 * Replaces a text file: whoever reads it meanwhile has the old content or the new one, as a whole. If no other file can be made beside
 * it, or it is no file, its content is overwritten.
 */
async function replace(path: string, text: string): Promise<void> {
  const { O_EXCL, O_TRUNC } = fs.constants;
  const old = await stat(path).catch(() => undefined);
  if (old?.isFile() === false) return write(path, text, O_TRUNC);
  const target = old === undefined ? path : await realpath(path); // a link stays
  const made = `${target}.${process.pid}.new`;
  try {
    await write(made, text, O_EXCL);
    if (old !== undefined) await chmod(made, old.mode & 0o7777);
    await rename(made, target);
  } catch (error) {
    await unlink(made).catch(() => {});
    if (FULL.has((error as { code?: string }).code)) throw error;
    await write(path, text, O_TRUNC);
  }
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

/** The file functions of a runtime. */
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
  readTextFile,
  appendTextFile: (path, text) => write(path, text, fs.constants.O_APPEND),
  writeTextFile: replace,
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
