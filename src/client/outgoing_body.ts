/**
 * The bodies of requests: their parts, forms with and without files (RFC 7578), and how they are sent.
 *
 * @module
 */

import { utf8Encoder } from "../values.ts";
import type { Connection } from "../transport/connection.ts";
import { copyFile } from "../transport/file_pieces.ts";
import { loadRuntime } from "../transport/current_runtime.ts";

/** A file of a form, as recorded by `addFile()` and `addData()`, under Swoole's names. */
export interface UploadFile {
  /** The path from which the file is read while it is sent. Without a path, `content` is set. */
  readonly path?: string;
  /** The content of a file in memory. */
  readonly content?: Uint8Array;
  /** The name of the field. */
  readonly name: string;
  /** The file name sent to the server. */
  readonly filename: string;
  /** The media type sent to the server. */
  readonly type: string;
  /** The number of bytes to send. */
  readonly size: number;
  /** The offset in the file at which they start. */
  readonly offset: number;
}

/** A part of a body that is read from a file when its turn comes. */
interface FilePart {
  /** The path. */
  readonly path: string;
  /** The offset in the file at which the part starts. */
  readonly offset: number;
  /** The length of the part in bytes. */
  readonly size: number;
}

/** A part of a body in memory. */
interface BytesPart {
  /** The bytes of the part. */
  readonly bytes: Uint8Array;
  /** The number of bytes when the program passed them in. If there are fewer now, the program has transferred them since. */
  readonly size: number;
  /** Whether the bytes are ours and never change. */
  readonly isOwn: boolean;
}

/** A part of a body. */
export type BodyPart = BytesPart | FilePart;

/** Returns a random boundary, which no file contains by accident. */
export function makeBoundary(): string {
  const random = crypto.getRandomValues(new Uint8Array(15));
  return `----sluice${btoa(String.fromCharCode(...random)).replaceAll("+", "-").replaceAll("/", "_")}`;
}

/** Returns a text as a part of a body. */
export function textPart(text: string): BytesPart {
  const bytes = utf8Encoder.encode(text);
  return { bytes, size: bytes.length, isOwn: true };
}

/**
 * Composes the body of a form.
 *
 * @param fields The fields without files, as names and values. They come first.
 * @param files The files.
 * @param boundary The boundary between the parts.
 */
export function composeForm(
  fields: readonly (readonly [name: string, value: string])[],
  files: readonly UploadFile[],
  boundary: string,
): BodyPart[] {
  const parts: BodyPart[] = [];
  let text = "";
  const begin = (name: string) => text += `--${boundary}\r\nContent-Disposition: form-data; name="${quote(name)}"`;
  for (const [name, value] of fields) {
    begin(name);
    text += `\r\n\r\n${value}\r\n`;
  }
  for (const { path, content, name, filename, type, size, offset } of files) {
    begin(name);
    text += `; filename="${quote(filename)}"\r\nContent-Type: ${type}\r\n\r\n`;
    parts.push(textPart(text), content === undefined ? { path: path!, offset, size } : { bytes: content, size, isOwn: false });
    text = "\r\n";
  }
  parts.push(textPart(`${text}--${boundary}--\r\n`));
  return parts;
}

/** Returns the length of a body in bytes. */
export function lengthOf(parts: readonly BodyPart[]): number {
  return parts.reduce((sum, part) => sum + part.size, 0);
}

/** Escapes a name for use in quotation marks, as browsers do (RFC 7578 section 2 leaves it open). */
function quote(name: string): string {
  return name.replaceAll('"', "%22").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

/** The value of a field. A list or an object stands for several fields; `null` and `undefined` are skipped. */
export type RequestFieldValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | readonly RequestFieldValue[]
  | { readonly [name: string]: RequestFieldValue };

/** The fields of a form, by name. */
export interface RequestFields {
  /** The value of a field. */
  readonly [name: string]: RequestFieldValue;
}

/** The maximum nesting depth of values. Deeper values are most likely circular. */
const DEPTH = 64;

/**
 * Lists the fields of a form: `{ a: { b: "1" }, c: ["2"] }` becomes `a[b]` and `c[0]`. `true` is sent as 1, `false` as 0.
 *
 * @throws {TypeError} If a value is not text, a number, a boolean, a list or a plain object.
 */
export function listFields(fields: RequestFields): [name: string, value: string][] {
  const list: [string, string][] = [];
  const add = (name: string, value: unknown, depth: number) => {
    if (value === null || value === undefined) return;
    if (typeof value === "boolean") return void list.push([name, value ? "1" : "0"]);
    if (typeof value === "string" || typeof value === "number" || typeof value === "bigint") {
      return void list.push([name, String(value)]);
    }
    if (depth > DEPTH || !isListOrPlain(value)) {
      throw new TypeError(`Cannot send a form: ${name || "it"} is neither text nor a number, a list or a plain object`);
    }
    for (const [key, inner] of Object.entries(value)) add(name === "" ? key : `${name}[${key}]`, inner, depth + 1);
  };
  add("", fields, 0);
  return list;
}

function isListOrPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** The number of bytes of a body in memory that are passed on at a time. Smaller bodies leave together with their head. */
const PIECE = 256 * 1024;

/** The error for a body whose memory the program took away before it was sent. */
class BodyTakenAway extends Error {
  readonly code: string = "EINVAL";

  constructor() {
    super("Cannot send the body: its memory was transferred or resized before it was sent");
  }
}

/** Sends the body of one request. The connection never holds more than one piece of it. */
export class BodySender {
  readonly #connection: Connection;
  readonly #parts: readonly BodyPart[];
  readonly #isWanted: () => boolean;
  readonly #onProgress: () => void;
  #isHandedOn = false;

  /**
   * @param connection The connection to send on.
   * @param parts The parts of the body.
   * @param isWanted Reports whether to go on.
   * @param onProgress Called when the peer has taken all queued bytes.
   */
  constructor(connection: Connection, parts: ReadonlyArray<BodyPart>, isWanted: () => boolean, onProgress: () => void) {
    this.#connection = connection;
    this.#parts = parts;
    this.#isWanted = isWanted;
    this.#onProgress = onProgress;
  }

  /** Whether the whole body has been passed to the connection. */
  get isHandedOn(): boolean {
    return this.#isHandedOn;
  }

  /**
   * Sends the body. Everything that needs no waiting is passed on before the call returns.
   *
   * @throws The runtime's error if a file cannot be read; an `Error` if a file has become shorter, or the program has transferred
   * the memory.
   */
  async send(): Promise<void> {
    let waits = false;
    let size = 0; // passed on since the last wait
    for (const part of this.#parts) {
      if ("path" in part) {
        waits = true;
        if (!await this.#sendFile(part)) return;
        size = PIECE; // wait for the last piece of the file, too
        continue;
      }
      for (let at = 0; at < part.size;) {
        const count = Math.min(part.size - at, PIECE - size);
        if (count === 0) {
          waits = true;
          await this.#taken();
          if (!this.#isWanted()) return;
          size = 0;
          continue;
        }
        checkBytes(part);
        if (part.isOwn) this.#connection.append(part.bytes.subarray(at, at + count));
        else this.#connection.appendCopy(part.bytes, at, at + count);
        at += count;
        size += count;
      }
    }
    this.#isHandedOn = true;
    if (waits) await this.#taken();
  }

  async #sendFile({ path, offset, size }: FilePart): Promise<boolean> {
    const runtime = await loadRuntime();
    const file = await runtime.openFile(path);
    try {
      const isReady = () => this.#taken().then(this.#isWanted);
      return await copyFile(file, path, offset, offset + size, isReady, (piece) => this.#connection.append(piece));
    } finally {
      await file.close().catch(() => {});
    }
  }

  async #taken(): Promise<void> {
    if (this.#connection.queuedBytes > 0) await this.#connection.whenTaken();
    this.#onProgress();
  }
}

/**
 * Checks that the memory of a body still has its original length.
 *
 * @throws {Error} If it does not. A body with too few bytes is never sent.
 */
export function checkBytes({ bytes, size }: BytesPart): void {
  if (bytes.length !== size) throw new BodyTakenAway();
}
