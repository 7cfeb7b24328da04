/**
 * A file of a form, while it arrives.
 *
 * @module
 */

import { GrowingBuffer } from "../../bytes.ts";
import { type FileSink, loadRuntime, type Runtime } from "../../runtime.ts";
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
  #content: Blob | undefined = undefined;
  #memory: GrowingBuffer | undefined = undefined;
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

  /** Makes the temporary file, unless there is nothing for it. Without that, the content is kept in memory. */
  async open(folder: string): Promise<void> {
    if (this.#error !== 0) return;
    const path = `${folder}/sluice.upfile.${crypto.randomUUID()}`;
    try {
      const runtime = await loadRuntime();
      this.#sink = await runtime.openForWriting(path, { isNew: true });
      this.#runtime = runtime;
      this.path = path;
    } catch {
      this.#error = NO_FOLDER;
    }
  }

  /** Takes bytes; what is kept in memory is copied. The promise, if any, has to be waited for; it does not reject. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    this.size += bytes.length;
    if (this.#error !== 0) return undefined;
    if (this.#sink !== undefined) return this.#sink.write(bytes).catch(() => void (this.#error = NOT_WRITTEN));
    (this.#memory ??= new GrowingBuffer()).append(bytes, 0, bytes.length, Infinity);
    return undefined;
  }

  /** Nothing more is written. The promise, if any, has to be waited for; it does not reject. */
  close(): Promise<void> | undefined {
    const sink = this.#sink;
    this.#sink = undefined;
    return sink?.close()
      .then(async () => void (this.#content = await this.#runtime!.fileBlob(this.path)))
      .catch(() => void (this.#error = NOT_WRITTEN));
  }

  /** The file, when it is closed. */
  get result(): UploadedFile {
    if (this.#error !== 0) return new UploadedFile(new Blob(), this.#name, this.#type, "", this.#error);
    const bytes = this.#memory?.memory.subarray(0, this.#memory.length) as Uint8Array<ArrayBuffer> | undefined;
    const content = this.#content ?? new Blob(bytes === undefined ? [] : [bytes]);
    return new UploadedFile(content, this.#name, this.#type, this.path);
  }
}
