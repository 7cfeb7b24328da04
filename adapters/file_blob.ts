/**
 * Files as web `Blob`s that are read when they are asked for.
 *
 * @module
 */

import * as fs from "node:fs";
import { open, stat } from "node:fs/promises";

const PIECE = 64 * 1024;

/** A part of a file. Deno reads the parts of a `Blob` through their own methods; Bun and Node do not, and have better. */
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
    return new TextDecoder().decode(await this.arrayBuffer());
  }
}

/** See `Runtime.fileBlob`. */
export async function fileBlob(path: string): Promise<Blob> {
  if ("Bun" in globalThis) return (globalThis as unknown as { Bun: { file(path: string): Blob } }).Bun.file(path);
  if ("Deno" in globalThis) return new FileBlob(path, 0, (await stat(path)).size); // its openAsBlob() takes all of it into memory
  return await fs.openAsBlob(path);
}
