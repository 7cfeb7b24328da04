/**
 * The text that a program most likely sends next, with its bytes: the last one that it has read from a message, or one that it
 * has just sent. Its bytes are then copied instead of being encoded.
 *
 * @module
 */

import { utf8Encoder } from "../values.ts";
import { EMPTY } from "../transport/bytes.ts";

/** The size up to which a text is remembered, in bytes or UTF-16 units. */
const LIMIT = 64 * 1024;

/** A text with the place of its bytes. */
interface KnownText {
  text: string | undefined;
  bytes: Uint8Array;
  start: number;
  end: number;
}

/** The text, if there is one. */
export const knownText: KnownText = { text: undefined, bytes: EMPTY, start: 0, end: 0 };

/** The last text that was not known when it was sent. */
let last: string | undefined;

/** Remembers a text that was decoded. Its bytes must not change until `forgetText()`. */
export function rememberText(text: string, bytes: Uint8Array, start: number, end: number): void {
  if (end - start > LIMIT) return;
  knownText.text = text;
  knownText.bytes = bytes;
  knownText.start = start;
  knownText.end = end;
}

/** Forgets the text if its bytes are in a memory that may change from now on. */
export function forgetText(memory: Uint8Array): void {
  if (knownText.bytes === memory) knownText.text = undefined;
}

/** Reports whether a text that is about to be sent is known. Remembers one that is sent a second time: it goes to many. */
export function isKnown(text: string): boolean {
  if (text === knownText.text) return true;
  if (text !== last) {
    last = text.length > LIMIT ? undefined : text;
    return false;
  }
  const bytes = utf8Encoder.encode(text);
  rememberText(text, bytes, 0, bytes.length);
  return knownText.text === text;
}
