/**
 * Reads forms with files, as the settings say: fields into memory, files onto the disk while they arrive.
 *
 * @module
 */

import { utf8Decoder } from "../../values.ts";
import { GrowingBuffer, viewBytes } from "../../transport/bytes.ts";
import { FormCollector } from "../../http/form.ts";
import { type HeadLimits, HttpFailure } from "../../http/request_head.ts";
import { MultipartParser, type PartHead } from "../../http/multipart.ts";
import { boundaryOf } from "../../http/field_values.ts";
import { currentRuntime } from "../../transport/current_runtime.ts";
import { IncomingFile, type UploadedFile } from "./uploaded_file.ts";
import type { ResolvedSettings } from "../settings/settings.ts";

/** How forms with files are read. Sizes are in bytes. */
export interface FormOptions extends HeadLimits {
  /** The folder for temporary files; empty to keep files in memory. */
  readonly folder: string;
  /** Whether forms are read while they arrive. If not, they are collected in memory first. */
  readonly streamed: boolean;
  /** The maximum size of a form. */
  readonly maxSize: number;
  /** The maximum size of one file. */
  readonly maxFileSize: number;
  /** The maximum size of everything else: fields, names, boundaries. */
  readonly maxTextSize: number;
  /** The maximum number of fields, and of files, that are kept. */
  readonly maxParameters: number;
  /** The maximum number of files in a form. */
  readonly maxFiles: number;
}

/** The maximum number of parts of a form for each parameter of `maxParameters`. */
const PARTS_FOR_FIELD = 10;

/** The reader of one form, which also owns its temporary files. */
export class FormReader {
  /** The fields. */
  readonly fields: FormCollector<string>;
  /** The files. */
  readonly files: FormCollector<UploadedFile>;
  /** The fields and files, in order. */
  readonly entries: [name: string, value: string | UploadedFile][] = [];
  /** Why the form is refused, if it is. */
  failure: HttpFailure | undefined = undefined;

  readonly #options: FormOptions;
  #parser: MultipartParser | undefined = undefined;
  #found: (PartHead | Uint8Array | undefined)[] = []; // in this chunk: heads, content, `undefined` at the end of a part
  #inFile = false; // whether the parser is inside a file
  #size = 0; // of everything received
  #fileBytes = 0; // of it, the content of files
  #partCount = 0;
  #incoming: IncomingFile[] = []; // files that may have a temporary file
  #name = ""; // of the current part
  #file: IncomingFile | undefined = undefined;
  #text: GrowingBuffer | undefined = undefined;
  #users = 2; // of the temporary files: the handler and the response

  constructor(options: FormOptions) {
    this.#options = options;
    this.fields = new FormCollector(options.maxParameters);
    this.files = new FormCollector(options.maxParameters);
  }

  /** The paths of the temporary files. */
  get paths(): readonly string[] {
    return this.#incoming.flatMap(({ path }) => path === "" ? [] : [path]);
  }

  /** The approximate number of bytes of memory in use. */
  get heldBytes(): number {
    return this.#size - (this.#options.folder === "" ? 0 : this.#fileBytes);
  }

  /**
   * Reads the form. If that fails, no temporary file remains.
   *
   * @param contentType The media type, which contains the boundary.
   * @param take Returns the next bytes, whose memory belongs to the reader; `undefined` after the last ones. It may reject.
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

  /** Reads a complete form into memory; otherwise like `read()`. */
  readWhole(contentType: string | undefined, body: Uint8Array): HttpFailure | undefined {
    this.#begin(contentType);
    // In memory, nothing is asynchronous.
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

  /** Parses bytes, and adds their content to fields and files. Yields promises that must settle before it continues. */
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
    if (!(item instanceof Uint8Array)) {
      this.#beginPart(item);
      return undefined;
    }
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

  #beginPart({ name, filename, type }: PartHead): void {
    this.#name = name;
    this.#file = this.#text = undefined;
    if (++this.#partCount > PARTS_FOR_FIELD * this.#options.maxParameters) {
      this.failure = new HttpFailure(413, "the form has too many parts");
    } else if (filename === undefined) {
      this.#text = new GrowingBuffer();
    } else if (name !== "" && !this.files.isFull) {
      const file = this.#file = new IncomingFile(filename, type, this.#options.folder);
      // As in PHP, file fields without a chosen file do not count.
      if (filename !== "" && this.#incoming.push(file) > this.#options.maxFiles) {
        this.failure = new HttpFailure(413, "the form has too many files");
      }
    }
  }

  #endPart(): void {
    if (this.#file !== undefined) {
      const file = this.#file.result;
      this.files.add(this.#name, file);
      this.entries.push([this.#name, file]);
    } else if (this.#text !== undefined) {
      const text = utf8Decoder.decode(this.#text.memory.subarray(0, this.#text.length));
      if (!this.fields.isFull) this.entries.push([this.#name, text]);
      this.fields.add(this.#name, text);
    }
    this.#file = this.#text = undefined;
  }

  /** Releases the temporary files for the handler or for the response. After both calls they are removed. */
  release(): void {
    if (--this.#users === 0) this.drop();
  }

  /** Removes the temporary files. */
  async drop(): Promise<void> {
    // Started at once: a program may end as soon as its last response is sent.
    await Promise.all(this.paths.map((path) => currentRuntime()!.removeFile(path).catch(() => {})));
  }
}

/** Returns how forms with files are read; `undefined` if they are not. */
export function formOptions(settings: ResolvedSettings): FormOptions | undefined {
  if (!settings.http_parse_files) return undefined;
  const { upload_tmp_dir: folder, upload_max_filesize: most, package_max_length: whole, http_max_uploaded_files: files } =
    settings;
  const streamed = most > 0 && folder !== "";
  return {
    folder,
    streamed,
    maxSize: streamed ? settings.http_stream_body_max_length || files * most + whole : whole,
    maxFileSize: most || Infinity,
    maxTextSize: whole,
    maxHeadSize: settings.http_max_header_size,
    maxHeaders: settings.http_max_headers,
    maxParameters: settings.http_max_parameters,
    maxFiles: files,
  };
}
