/**
 * The adapter that servers and clients use, and functions that it may have in native code.
 *
 * @module
 */

import { utf8Decoder, utf8Encoder } from "../values.ts";
import type { NativeFunctions, Runtime } from "./runtime.ts";

let loader: (() => Promise<Runtime>) | undefined;
let loaded: Runtime | undefined;
let chosen: Runtime | undefined;

/**
 * Chooses the adapter that servers use, instead of that of the current runtime.
 *
 * @param runtime The adapter, for example `runtime` of `@sluice/server/node`, which works with `node:net` in all runtimes;
 * `undefined` for that of the current runtime.
 *
 * @example
 * ```ts
 * import { setRuntime } from "@sluice/server";
 * import { runtime } from "@sluice/server/node";
 *
 * setRuntime(runtime);
 * ```
 */
export function setRuntime(runtime: Runtime | undefined): void {
  chosen = runtime;
  useNativeFunctions(currentRuntime()?.native);
}

/** Sets the function that loads the adapter of the current runtime. Called by the entry points. */
export function setRuntimeLoader(load: () => Promise<Runtime>): void {
  loader = load;
}

/** Returns the adapter in use, loading it if necessary. */
export async function loadRuntime(): Promise<Runtime> {
  if (chosen !== undefined) return chosen;
  if (loader === undefined) throw new Error("Cannot find the runtime: import mod.ts, or call setRuntime()");
  loaded ??= await loader();
  useNativeFunctions(currentRuntime()?.native);
  return loaded;
}

/** Calls back in a later turn of the event loop, after the ready sockets and timers have been handled. */
export function nextTurn(work: () => void): void {
  const runtime = currentRuntime();
  if (runtime?.nextTurn !== undefined) runtime.nextTurn(work);
  else setTimeout(work, 0);
}

/** Returns the adapter in use, if it is already loaded. */
export function currentRuntime(): Runtime | undefined {
  return chosen ?? loaded;
}

function portableLatin1(bytes: Uint8Array, start: number, end: number): string {
  let all = 0;
  for (let at = start; at < end; at++) all |= bytes[at];
  // ASCII is also valid UTF-8, whose decoder is ten times as fast as building a string from numbers.
  if (all < 0x80) return utf8Decoder.decode(bytes.subarray(start, end));
  let text = "";
  for (let at = start; at < end; at += 4096) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, Math.min(at + 4096, end)) as unknown as number[]);
  }
  return text;
}

/** The length in UTF-16 units up to which text is encoded aside and copied, which is faster than making a view of the memory. */
const SHORT_TEXT = 128;

const aside = new Uint8Array(SHORT_TEXT * 3);

function portableWriteUtf8(text: string, memory: Uint8Array, at: number): number {
  if (text.length > SHORT_TEXT) return utf8Encoder.encodeInto(text, memory.subarray(at)).written;
  const { written } = utf8Encoder.encodeInto(text, aside);
  for (let i = 0; i < written; i++) memory[at + i] = aside[i];
  return written;
}

/** Decodes bytes as Latin-1, the encoding of header fields (RFC 9110 section 5.5). ASCII is a subset of it. */
export let latin1: (bytes: Uint8Array, start: number, end: number) => string = portableLatin1;

/** Writes a text as UTF-8, and returns the number of bytes; see `NativeFunctions`. */
export let writeUtf8: (text: string, memory: Uint8Array, at: number) => number = portableWriteUtf8;

/** The native SHA-1, if the runtime has one. */
export let nativeSha1: ((text: string) => string) | undefined;

/** Takes the body of a web response that is complete in memory, if the runtime can tell. */
export let nativeWholeBody: NativeFunctions["takeWholeBody"];

/** Calls back at the end of a turn: when all microtasks are done if the runtime can tell, otherwise at once. Called in a microtask. */
export let afterMicrotasks: (work: () => void) => void = callNow;

function callNow(work: () => void): void {
  work();
}

/** Uses the functions of an adapter from now on. */
export function useNativeFunctions(functions: NativeFunctions | undefined): void {
  latin1 = functions?.latin1 ?? portableLatin1;
  writeUtf8 = functions?.writeUtf8 ?? portableWriteUtf8;
  nativeSha1 = functions?.sha1;
  nativeWholeBody = functions?.takeWholeBody;
  afterMicrotasks = functions?.afterMicrotasks ?? callNow;
}
