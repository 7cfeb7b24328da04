/**
 * What all three adapters have in common: files, datagrams, compression, signals and native functions, with the modules of Node
 * that every runtime has.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import process from "node:process";
import type { NativeFunctions, Runtime } from "../src/transport/runtime.ts";
import { takeWholeBody } from "./bun_bodies.ts";
import { decompressor, encoder } from "./content_codecs.ts";
import { files } from "./files.ts";
import { memoryLimit, memoryUsage, signals } from "./process.ts";
import { listenDatagram } from "./udp.ts";
import { processes } from "./workers.ts";
import { codecWorks, zlibEngine } from "./zlib.ts";

interface NativeText {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
  utf8Write(this: Uint8Array, text: string, at: number, most: number): number;
}

const { latin1Slice, utf8Write } = Buffer.prototype as unknown as NativeText;

/** Latin-1, UTF-8 and SHA-1 in native code. */
export const native: NativeFunctions = {
  latin1: (bytes, start, end) => latin1Slice.call(bytes, start, end),
  // Deno has it too, but for short texts it is slower there than what the web has.
  ...(!("Deno" in globalThis) && {
    writeUtf8: (text: string, memory: Uint8Array, at: number) => utf8Write.call(memory, text, at, text.length * 3),
  }),
  sha1: (text) => hash("sha1", text, "base64"),
  afterMicrotasks: (work) => process.nextTick(work),
  ...(takeWholeBody && { takeWholeBody }),
};

/** The members of a `Runtime` that do not depend on how the runtime does sockets. */
export const common: Omit<Runtime, "name" | "pid" | "listen" | "connect"> = {
  readsPreambles: true,
  listenDatagram,
  memoryLimit,
  memoryUsage,
  native,
  nextTurn: (work) => void setImmediate(work),
  deflate: codecWorks() ? zlibEngine : undefined,
  encoder,
  decompressor,
  processes,
  signals,
  ...files,
};
