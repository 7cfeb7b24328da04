/**
 * Reads forms with files: fields into memory, files onto the disk while they arrive.
 *
 * @module
 */

import { GrowingBuffer, viewBytes } from "../bytes.ts";
import { FormCollector } from "../http/form.ts";
import { type HeadLimits, HttpFailure } from "../http/head.ts";
import { MultipartParser, type PartHead } from "../http/multipart.ts";
import { boundaryOf } from "../http/parameters.ts";
import { loadRuntime, type Runtime } from "../runtime.ts";
import { IncomingFile } from "./incoming_file.ts";
import type { UploadedFile } from "./uploaded_file.ts";

/** How forms with files are read. Sizes in octets. */
export interface FormOptions extends HeadLimits {
  /** The folder of the temporary files; empty to have files in memory. */
  readonly folder: string;
  /** Whether forms are read while they arrive. If not, they are in memory as a whole before. */
  readonly streamed: boolean;
  /** The most that a form may have. */
  readonly maxSize: number;
  /** The most that one file may have. */
  readonly maxFileSize: number;
  /** The most that the rest may have: fields, names, boundaries. */
  readonly maxTextSize: number;
  /** How many fields are taken, and how many files. */
  readonly maxParameters: number;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The reader of one form, and the keeper of its temporary files. */
export class FormReader {
  /** The fields. */
  readonly fields: FormCollector<string>;
  /** The files. */
  readonly files: FormCollector<UploadedFile>;
  /** Both, in order. */
  readonly entries: [name: string, value: string | UploadedFile][] = [];
  /** The paths of the temporary files. */
  readonly paths: string[] = [];

  readonly #options: FormOptions;
  #runtime: Runtime | undefined = undefined;
  #found: (PartHead | Uint8Array | undefined)[] = []; // in a piece of the form: a part begins, has content, and ends
  #inFile = false; // where the parser is
  #fileBytes = 0;
  #name = ""; // of the part that is being kept
  #file: IncomingFile | undefined = undefined;
  #text: GrowingBuffer | undefined = undefined;
  #users = 2; // of the temporary files: the handler and the answer

  constructor(options: FormOptions) {
    this.#options = options;
    this.fields = new FormCollector(options.maxParameters);
    this.files = new FormCollector(options.maxParameters);
  }

  /**
   * Reads the form. If that fails, nothing is left of it on the disk.
   *
   * @param contentType Tells the boundary.
   * @param take Gives the next octets, whose memory is the reader's; `undefined` behind the last ones. It may reject.
   * @returns Why the form is refused, if it is.
   */
  async read(contentType: string | undefined, take: () => Promise<Uint8Array | undefined>): Promise<HttpFailure | undefined> {
    let failure: HttpFailure | undefined;
    try {
      failure = await this.#read(contentType, take);
    } catch {
      failure = new HttpFailure(400, "the form did not arrive");
    }
    if (failure !== undefined) {
      await this.#file?.drop();
      await this.drop();
    }
    return failure;
  }

  async #read(contentType: string | undefined, take: () => Promise<Uint8Array | undefined>): Promise<HttpFailure | undefined> {
    const { folder, maxTextSize } = this.#options;
    const boundary = boundaryOf(contentType);
    if (boundary === undefined) return new HttpFailure(400, "the form has no boundary");
    if (folder !== "") this.#runtime = await loadRuntime().catch(() => undefined);
    const parser = new MultipartParser(boundary, this.#options, {
      onPart: (head) => {
        this.#inFile = head.filename !== undefined;
        this.#found.push(head);
      },
      onContent: (bytes, start, end) => {
        if (this.#inFile) this.#fileBytes += end - start;
        this.#found.push(viewBytes(bytes, start, end));
      },
      onPartEnd: () => void this.#found.push(undefined),
    });
    for (let size = 0;;) {
      const chunk = await take();
      if (chunk === undefined) parser.finish();
      else parser.receive(chunk);
      size += chunk?.length ?? 0;
      if (parser.failure !== undefined) return parser.failure;
      if (size - this.#fileBytes - parser.undecided > maxTextSize) return new HttpFailure(413, "the form is too large");
      if (!await this.#keep()) return new HttpFailure(413, "a file is too large");
      if (chunk === undefined) return undefined;
    }
  }

  /** Puts what was found where it belongs; `false` when a file is too large. */
  async #keep(): Promise<boolean> {
    const found = this.#found;
    this.#found = [];
    for (const item of found) {
      if (item === undefined) await this.#endPart();
      else if (!(item instanceof Uint8Array)) await this.#beginPart(item);
      else if (this.#file === undefined) this.#text?.append(item, 0, item.length, this.#options.maxTextSize);
      else if (this.#file.size + item.length > this.#options.maxFileSize) return false;
      else await this.#file.write(item);
    }
    return true;
  }

  async #beginPart({ name, filename, type }: PartHead): Promise<void> {
    this.#name = name;
    this.#file = this.#text = undefined;
    if (filename === undefined) {
      this.#text = new GrowingBuffer();
    } else if (name !== "" && !this.files.isFull) {
      this.#file = new IncomingFile(filename, type);
      if (this.#runtime === undefined) return;
      await this.#file.open(this.#runtime, this.#options.folder);
      if (this.#file.path !== "") this.paths.push(this.#file.path);
    }
  }

  async #endPart(): Promise<void> {
    if (this.#file !== undefined) {
      const file = await this.#file.end();
      this.files.add(this.#name, file);
      this.entries.push([this.#name, file]);
    } else if (this.#text !== undefined) {
      const text = decoder.decode(this.#text.memory.subarray(0, this.#text.length));
      if (!this.fields.isFull) this.entries.push([this.#name, text]);
      this.fields.add(this.#name, text);
    }
    this.#file = this.#text = undefined;
  }

  /** The handler is done, or the answer is: when both are, the temporary files go. */
  release(): void {
    if (--this.#users === 0) this.drop();
  }

  /** Removes the temporary files. */
  async drop(): Promise<void> {
    for (const path of this.paths) await this.#runtime?.removeFile(path).catch(() => {});
  }
}
