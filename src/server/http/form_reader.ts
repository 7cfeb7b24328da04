/**
 * Reads forms with files: fields into memory, files onto the disk while they arrive.
 *
 * @module
 */

import { GrowingBuffer, viewBytes } from "../../bytes.ts";
import { FormCollector } from "../../http/form.ts";
import { type HeadLimits, HttpFailure } from "../../http/head.ts";
import { MultipartParser, type PartHead } from "../../http/multipart.ts";
import { boundaryOf } from "../../http/parameters.ts";
import { currentRuntime } from "../../runtime.ts";
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
  /** Why it is refused, if it is. */
  failure: HttpFailure | undefined = undefined;

  readonly #options: FormOptions;
  #parser: MultipartParser | undefined = undefined;
  #found: (PartHead | Uint8Array | undefined)[] = []; // in a piece of the form: a part begins, has content, and ends
  #inFile = false; // where the parser is
  #size = 0; // of all that has arrived
  #fileBytes = 0; // the part of it that is content of files
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
    try {
      this.#begin(contentType);
      while (this.failure === undefined) {
        const chunk = await take();
        for (const waiting of this.#receive(chunk)) await waiting;
        if (chunk === undefined) break;
      }
    } catch {
      this.failure = new HttpFailure(400, "the form did not arrive");
    }
    if (this.failure !== undefined) {
      await this.#file?.close();
      await this.drop();
    }
    return this.failure;
  }

  /** Reads a form that is there as a whole, into memory; otherwise as `read()`. */
  readWhole(contentType: string | undefined, body: Uint8Array): HttpFailure | undefined {
    this.#begin(contentType);
    // Nothing has to be waited for.
    for (const chunk of [body, undefined]) this.#receive(chunk).next();
    return this.failure;
  }

  #begin(contentType: string | undefined): void {
    const boundary = boundaryOf(contentType);
    if (boundary === undefined) return void (this.failure = new HttpFailure(400, "the form has no boundary"));
    this.#parser = new MultipartParser(boundary, this.#options, {
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
  }

  /** Takes octets, and puts what is in them where it belongs. Yields what has to be waited for before it goes on. */
  *#receive(chunk: Uint8Array | undefined): Generator<Promise<void>, void> {
    const parser = this.#parser;
    if (this.failure !== undefined || parser === undefined) return;
    if (chunk === undefined) parser.finish();
    else parser.receive(chunk);
    this.#size += chunk?.length ?? 0;
    this.failure = parser.failure;
    if (this.#size - this.#fileBytes - parser.undecided > this.#options.maxTextSize) {
      this.failure ??= new HttpFailure(413, "the form is too large");
    }
    const found = this.#found;
    this.#found = [];
    for (const item of found) {
      if (this.failure !== undefined) return;
      const waiting = this.#keep(item);
      if (waiting !== undefined) yield waiting;
      if (item === undefined) this.#endPart();
    }
  }

  #keep(item: PartHead | Uint8Array | undefined): Promise<void> | undefined {
    const file = this.#file;
    if (item === undefined) return file?.close();
    if (!(item instanceof Uint8Array)) return this.#beginPart(item);
    const { maxTextSize, maxFileSize } = this.#options;
    if (file === undefined) {
      this.#text?.append(item, 0, item.length, maxTextSize);
    } else if (file.size + item.length <= maxFileSize) {
      return file.write(item);
    } else {
      this.failure = new HttpFailure(413, "a file is too large");
    }
    return undefined;
  }

  #beginPart({ name, filename, type }: PartHead): Promise<void> | undefined {
    this.#name = name;
    this.#file = this.#text = undefined;
    if (filename === undefined) {
      this.#text = new GrowingBuffer();
    } else if (name !== "" && !this.files.isFull) {
      const file = this.#file = new IncomingFile(filename, type);
      const { folder } = this.#options;
      if (folder !== "") return file.open(folder).then(() => void (file.path !== "" && this.paths.push(file.path)));
    }
    return undefined;
  }

  #endPart(): void {
    if (this.#file !== undefined) {
      const file = this.#file.result;
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
    // At once: a program may end as soon as its last answer is out.
    await Promise.all(this.paths.map((path) => currentRuntime()!.removeFile(path).catch(() => {})));
  }
}
