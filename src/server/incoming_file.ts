/**
 * A file of a form, while it arrives.
 *
 * @module
 */

import type { FileSink, Runtime } from "../runtime.ts";
import { UploadedFile } from "./uploaded_file.ts";

/** PHP's numbers, see `UploadedFile.error`. */
const NO_FILE = 4;
const NO_FOLDER = 6;
const NOT_WRITTEN = 7;

/** The content of a file on its way into a temporary file, or into memory. */
export class IncomingFile {
  /** How many octets have arrived. */
  size = 0;
  /** Where they are; empty for memory. */
  path = "";

  readonly #name: string;
  readonly #type: string;
  #runtime: Runtime | undefined = undefined;
  #sink: FileSink | undefined = undefined;
  #parts: Uint8Array[] = [];
  #error: number;

  /**
   * @param name The name, as it was sent; without one there is no file.
   * @param type The media type.
   */
  constructor(name: string, type: string) {
    this.#name = name;
    this.#type = type;
    this.#error = name === "" ? NO_FILE : 0;
  }

  /** Makes the temporary file, unless there is nothing for it. */
  async open(runtime: Runtime, folder: string): Promise<void> {
    if (this.#error !== 0) return;
    const path = `${folder}/sluice.upfile.${crypto.randomUUID()}`;
    try {
      this.#sink = await runtime.openForWriting(path, { isNew: true });
      this.#runtime = runtime;
      this.path = path;
    } catch {
      this.#error = NO_FOLDER;
    }
  }

  /** Takes octets; their memory is not to be changed any more. */
  async write(bytes: Uint8Array): Promise<void> {
    this.size += bytes.length;
    if (this.#error !== 0) return;
    if (this.#sink === undefined) return void this.#parts.push(bytes);
    try {
      await this.#sink.write(bytes);
    } catch {
      this.#error = NOT_WRITTEN;
    }
  }

  /** The file is complete. */
  async end(): Promise<UploadedFile> {
    await this.drop();
    let content: Blob | undefined;
    if (this.#error === 0) {
      if (this.#runtime === undefined) content = new Blob(this.#parts as Uint8Array<ArrayBuffer>[]);
      else content = await this.#runtime.fileBlob(this.path).catch(() => undefined);
      if (content === undefined) this.#error = NOT_WRITTEN;
    }
    const isThere = this.#error === 0;
    return new UploadedFile(content ?? new Blob(), this.#name, this.#type, isThere ? this.path : "", this.#error);
  }

  /** Nothing more is written. */
  async drop(): Promise<void> {
    const sink = this.#sink;
    this.#sink = undefined;
    try {
      await sink?.close();
    } catch {
      this.#error = NOT_WRITTEN;
    }
  }
}
