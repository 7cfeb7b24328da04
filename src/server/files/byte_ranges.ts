/**
 * Parts of a file, as a client asks for them and as they are sent (RFC 9110 section 14).
 *
 * @module
 */

import { trim } from "../../http/head.ts";
import { contentTypeOf } from "../../http/media_types.ts";

/** Octets of a file. */
export interface ByteRange {
  /** The first one. */
  readonly start: number;
  /** How many. */
  readonly length: number;
}

/** More ranges than this are nothing that anybody needs. */
const MAX_RANGES = 16;

/**
 * Reads a Range field.
 *
 * @param value Its value.
 * @param size How many octets the file has.
 * @returns What is asked for, in that order, without what the file has not; empty when it has none of it (416). `undefined` when the
 * field is to be ignored: it is malformed, of another unit, or asks for more than `MAX_RANGES` or for more octets than there are,
 * which takes ranges that overlap (section 14.2).
 */
export function readRanges(value: string, size: number): ByteRange[] | undefined {
  const list = /^bytes=(.*)$/i.exec(value)?.[1].split(",", MAX_RANGES + 1);
  if (list === undefined || list.length > MAX_RANGES) return undefined;
  const items = list.map(trim).filter((item) => item !== "");
  if (items.length === 0) return undefined;
  const ranges: ByteRange[] = [];
  let total = 0;
  for (const item of items) {
    const [, first, last] = /^([0-9]*)-([0-9]*)$/.exec(item) ?? []; // section 14.1.2: numbers of any size, which are inexact here
    if (first === undefined || (first === "" && last === "")) return undefined;
    if (first !== "" && last !== "" && isLess(last, first)) return undefined; // section 14.1.1: not valid
    const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
    const end = first === "" || last === "" ? size : Math.min(Number(last) + 1, size);
    if (start >= size || end <= start) continue;
    ranges.push({ start, length: end - start });
    total += end - start;
  }
  return total > size ? undefined : ranges;
}

/** Compares whole numbers of any size. */
function isLess(one: string, other: string): boolean {
  const [a, b] = [one, other].map((digits) => digits.replace(/^0+/, ""));
  return a.length === b.length ? a < b : a.length < b.length;
}

/** The value of Content-Range for a part (section 14.4), or with none for a file that has nothing of what is asked for. */
export function contentRange(range: ByteRange | undefined, size: number): string {
  return range === undefined ? `bytes */${size}` : `bytes ${range.start}-${range.start + range.length - 1}/${size}`;
}

/**
 * Several parts as one body (section 14.6).
 *
 * @returns The media type of the body, and what it consists of: text, and octets of the file.
 */
export function multipart(
  path: string,
  ranges: readonly ByteRange[],
  size: number,
): { readonly type: string; readonly pieces: readonly (string | ByteRange)[] } {
  // Nobody can foresee it, and put it into a file.
  const boundary = [...crypto.getRandomValues(new Uint8Array(16))].map((octet) => octet.toString(16).padStart(2, "0")).join("");
  const pieces: (string | ByteRange)[] = [];
  for (const range of ranges) {
    const lines = `Content-Type: ${contentTypeOf(path)}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`;
    pieces.push(`${pieces.length > 0 ? "\r\n" : ""}--${boundary}\r\n${lines}`, range);
  }
  pieces.push(`\r\n--${boundary}--\r\n`);
  return { type: `multipart/byteranges; boundary=${boundary}`, pieces };
}
