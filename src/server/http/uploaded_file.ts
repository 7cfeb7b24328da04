/**
 * `UploadedFile`: a file of a form; and the same file while it arrives.
 *
 * @module
 */

import { loadRuntime } from "../../transport/current_runtime.ts";
import { GrowingBuffer } from "../../transport/bytes.ts";
import type { FileSink } from "../../transport/file_pieces.ts";
import type { Runtime } from "../../transport/runtime.ts";

/** A value of `request.files`: a file, or a list or an object of files if the name of the field has brackets. */
export type FileValue = UploadedFile | FileValue[] | FileFields;

/** The files of a form by field name. A client chooses which there are, and whether a name has brackets. */
export interface FileFields {
  /** The value of a field. */
  [name: string]: FileValue | undefined;
}

/**
 * A file of a form: a web `File` with `name`, `type` and `size`, and Swoole's properties. Its content is in a temporary file,
 * which is read on demand (`arrayBuffer()`, `stream()`, `text()`), or in memory if `upload_tmp_dir` is empty. `name` contains no
 * directories, even if the client sent some.
 *
 * A temporary file is removed when the handler has settled and the response has ended or the client disconnected. To keep the
 * content, call `moveTo()`, or read it before.
 *
 * @example Keep a file
 * ```ts
 * import { HttpServer, UploadedFile } from "@sluice/server";
 *
 * const server = new HttpServer("127.0.0.1", 0);
 * server.set({ http_parse_files: true, upload_max_filesize: 1024 * 1024 * 1024 });
 * server.on("request", async (request, response) => {
 *   const file = request.files.picture;
 *   if (!(file instanceof UploadedFile) || file.error !== 0) return response.status(400) && response.end();
 *   await file.moveTo("/tmp/sluice-picture"); // never to a name that the client has chosen
 *   response.end(`${file.name} has ${file.size} bytes`);
 * });
 * await server.start();
 * const body = new FormData();
 * body.append("picture", new File(["hello"], "hello.txt"));
 * const answer = await fetch(`http://127.0.0.1:${server.port}/`, { method: "POST", body });
 * console.assert(await answer.text() === "hello.txt has 5 bytes");
 * server.shutdown();
 * ```
 */
export class UploadedFile extends File {
  /**
   * PHP's error code: 0 for success, 4 (`UPLOAD_ERR_NO_FILE`) if no file was chosen, 6 (`UPLOAD_ERR_NO_TMP_DIR`) if no file could
   * be created in `upload_tmp_dir`, 7 (`UPLOAD_ERR_CANT_WRITE`) if it could not be written. The file has content only if this is
   * 0.
   */
  readonly error: number;
  /** The file name as the client sent it, which may contain directories (PHP's `full_path`). */
  readonly full_path: string;
  /** The size in bytes. Kept after `moveTo()`. */
  declare readonly size: number; // not an accessor: the types of Node 20 have a property, and would contradict
  #path: string;

  /** Created by the server, from the content, the name as sent, the media type, the path of the content, and the error code. */
  constructor(content: Blob, name: string, type: string, path = "", error = 0) {
    super([content], name.slice(Math.max(name.lastIndexOf("/"), name.lastIndexOf("\\")) + 1), { type });
    this.full_path = name;
    this.error = error;
    this.#path = path;
    Object.defineProperty(this, "size", { value: content.size }); // after `moveTo()`, Bun would report 0
  }

  /** The path of the temporary file; empty if the content is in memory. */
  get tmp_name(): string {
    return this.#path;
  }

  /** Returns the properties for `JSON.stringify()`: those of Swoole's `files`, and `full_path`. */
  toJSON(): { name: string; type: string; tmp_name: string; error: number; size: number; full_path: string } {
    const { name, type, tmp_name, error, size, full_path } = this;
    return { name, type, tmp_name, error, size, full_path };
  }

  /**
   * Moves the content to a permanent place, like PHP's `move_uploaded_file()`. On the same disk a temporary file is moved at
   * once. Afterwards it can be read only there, not through this object.
   *
   * @param path The new path; an existing file is replaced. It must not come from the client.
   * @throws {TypeError} If there is no content, see `error`.
   * @throws {Error} If the system reports an error, for example that the folder does not exist, or if the file was moved before.
   */
  async moveTo(path: string): Promise<void> {
    if (this.error !== 0) throw new TypeError(`Cannot move the file: it has not been uploaded, error ${this.error}`);
    const runtime = await loadRuntime();
    if (this.#path !== "") return await runtime.moveFile(this.#path, path);
    const file = await runtime.openForWriting(path);
    try {
      for await (const part of this.stream()) await file.write(part);
    } finally {
      await file.close();
    }
  }
}

/** PHP's error codes, see `UploadedFile.error`. */
const NO_FILE = 4;
const NO_FOLDER = 6;
const NOT_WRITTEN = 7;

/** The content of a file on its way into a temporary file, or into memory. */
export class IncomingFile {
  /** The number of bytes received. */
  size = 0;
  /** The path of the temporary file; empty for memory. */
  path = "";

  readonly #name: string;
  readonly #type: string;
  readonly #folder: string;
  #runtime: Runtime | undefined = undefined;
  #sink: FileSink | undefined = undefined;
  #content: Blob | undefined = undefined;
  #memory: GrowingBuffer | undefined = undefined;
  #error: number;

  /**
   * @param name The name as sent; if it is empty, no file was chosen.
   * @param type The media type.
   * @param folder The folder of the temporary file, which is created with the first bytes; empty to keep the content in memory.
   */
  constructor(name: string, type: string, folder: string) {
    this.#name = name;
    this.#type = type;
    this.#folder = folder;
    this.#error = name === "" ? NO_FILE : 0;
  }

  /** Creates the temporary file. */
  async #open(): Promise<void> {
    const path = `${this.#folder}/sluice.upfile.${crypto.randomUUID()}`;
    try {
      const runtime = await loadRuntime();
      this.#sink = await runtime.openForWriting(path, { isNew: true });
      this.#runtime = runtime;
      this.path = path;
    } catch {
      this.#error = NO_FOLDER;
    }
  }

  /** Writes bytes; those kept in memory are copied. The promise, if any, must be awaited; it does not reject. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    this.size += bytes.length;
    if (this.#error !== 0) return undefined;
    if (this.#folder !== "" && this.#sink === undefined) return this.#open().then(() => this.#write(bytes));
    return this.#write(bytes);
  }

  #write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#error !== 0) return undefined;
    if (this.#sink !== undefined) return this.#sink.write(bytes).catch(() => void (this.#error = NOT_WRITTEN));
    (this.#memory ??= new GrowingBuffer()).append(bytes, 0, bytes.length, Infinity);
    return undefined;
  }

  /** Completes the file. The promise, if any, must be awaited; it does not reject. */
  close(): Promise<void> | undefined {
    const sink = this.#sink;
    this.#sink = undefined;
    return sink?.close()
      .then(async () => void (this.#content = await this.#runtime!.fileBlob(this.path)))
      .catch(() => void (this.#error = NOT_WRITTEN));
  }

  /** The file, once it is closed. */
  get result(): UploadedFile {
    if (this.#error !== 0) return new UploadedFile(new Blob(), this.#name, this.#type, "", this.#error);
    const bytes = this.#memory?.memory.subarray(0, this.#memory.length) as Uint8Array<ArrayBuffer> | undefined;
    const content = this.#content ?? new Blob(bytes === undefined ? [] : [bytes]);
    return new UploadedFile(content, this.#name, this.#type, this.path);
  }
}
