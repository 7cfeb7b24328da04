/**
 * Conditional and range requests: whether a client receives a whole file, a part, or nothing (RFC 9110 sections 13 and 14).
 *
 * @module
 */

import { parseHttpDate, splitList } from "../../http/field_values.ts";
import { trim } from "../../http/request_head.ts";
import { contentTypeOf } from "../../http/media_types.ts";

/** The current state of a file. */
export interface FileState {
  /** The size in bytes. */
  readonly size: number;
  /** When it was last changed, in milliseconds since 1970. */
  readonly mtime: number;
}

/** The response: its status, and the ranges to send. */
export interface FileParts {
  /** 200, 206, 304, 412 or 416. */
  readonly status: number;
  /** The ranges to send: the whole file, one part or several, or nothing. */
  readonly parts: readonly ByteRange[];
}

/** Returns the entity tag, made of the time of the last change and the size. */
export function entityTag({ size, mtime }: FileState): string {
  return `"${Math.floor(mtime).toString(16)}-${size.toString(16)}"`;
}

/**
 * Determines the response to a GET or HEAD request.
 *
 * @param header The header of the request.
 * @param file The file.
 * @param isGet Whether the method is GET: Range applies to no other method (section 14.2).
 */
export function chooseParts(header: Readonly<Record<string, string | undefined>>, file: FileState, isGet = true): FileParts {
  const tag = entityTag(file);
  const changed = Math.floor(file.mtime / 1000) * 1000; // the precision of Last-Modified
  // In the order of section 13.2.2.
  const ifMatch = header["if-match"];
  if (ifMatch !== undefined ? !hasTag(ifMatch, tag, false) : isBefore(header["if-unmodified-since"], changed)) {
    return { status: 412, parts: [] };
  }
  const ifNoneMatch = header["if-none-match"];
  if (ifNoneMatch !== undefined ? hasTag(ifNoneMatch, tag, true) : isNotBefore(header["if-modified-since"], changed)) {
    return { status: 304, parts: [] };
  }
  const whole = { status: 200, parts: [{ start: 0, length: file.size }] };
  const ifRange = header["if-range"];
  if (!isGet || (ifRange !== undefined && ifRange !== tag && timeOf(ifRange) !== changed)) return whole;
  const parts = readRanges(header["range"] ?? "", file.size);
  if (parts === undefined) return whole;
  return { status: parts.length === 0 ? 416 : 206, parts };
}

/**
 * Reports whether a list contains an entity tag (section 8.8.3.2): a weak comparison ignores `W/`, a strong one never matches it.
 */
function hasTag(list: string, tag: string, weak: boolean): boolean {
  return splitList(list).some((one) => one === "*" || one === tag || (weak && one === `W/${tag}`));
}

function timeOf(date: string): number {
  return parseHttpDate(date, Date.now());
}

// Sections 13.1.3 and 13.1.4: an invalid date is ignored.

function isBefore(date: string | undefined, changed: number): boolean {
  return date !== undefined && timeOf(date) < changed;
}

function isNotBefore(date: string | undefined, changed: number): boolean {
  return date !== undefined && timeOf(date) >= changed;
}

/** A range of bytes of a file. */
export interface ByteRange {
  /** The offset of the first byte. */
  readonly start: number;
  /** The number of bytes. */
  readonly length: number;
}

/** The maximum number of ranges in a request: no client needs more. */
const MAX_RANGES = 16;

/**
 * Parses a Range field.
 *
 * @param value The value of the field.
 * @param size The size of the file, in bytes.
 * @returns The requested ranges in their order, limited to the file; empty if none lies within it (416). `undefined` if the field
 * is to be ignored: it is malformed, has another unit, or requests more than `MAX_RANGES` or, with overlapping ranges, more bytes
 * than the file has (section 14.2).
 */
export function readRanges(value: string, size: number): ByteRange[] | undefined {
  const list = /^bytes=(.*)$/i.exec(value)?.[1].split(",", MAX_RANGES + 1);
  if (list === undefined || list.length > MAX_RANGES) return undefined;
  const items = list.map(trim).filter((item) => item !== "");
  if (items.length === 0) return undefined;
  const ranges: ByteRange[] = [];
  let total = 0;
  for (const item of items) {
    const [, first, last] = /^([0-9]*)-([0-9]*)$/.exec(item) ?? []; // section 14.1.2: of any size; large numbers are inexact here
    if (first === undefined || (first === "" && last === "")) return undefined;
    if (first !== "" && last !== "" && isLess(last, first)) return undefined; // section 14.1.1: invalid
    const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
    const end = first === "" || last === "" ? size : Math.min(Number(last) + 1, size);
    if (start >= size || end <= start) continue;
    ranges.push({ start, length: end - start });
    total += end - start;
  }
  return total > size ? undefined : ranges;
}

/** Reports whether an integer of any size is less than another. */
function isLess(one: string, other: string): boolean {
  const [a, b] = [one, other].map((digits) => digits.replace(/^0+/, ""));
  return a.length === b.length ? a < b : a.length < b.length;
}

/** Returns the Content-Range value of a part (section 14.4), or, without a range, of a 416 response. */
export function contentRange(range: ByteRange | undefined, size: number): string {
  return range === undefined ? `bytes */${size}` : `bytes ${range.start}-${range.start + range.length - 1}/${size}`;
}

/**
 * Composes a multipart body of several ranges (section 14.6).
 *
 * @returns The media type of the body, and its pieces: text, and ranges of the file.
 */
export function multipart(
  path: string,
  ranges: readonly ByteRange[],
  size: number,
): { readonly type: string; readonly pieces: readonly (string | ByteRange)[] } {
  // Random, so that a file cannot contain it on purpose.
  const boundary = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const pieces: (string | ByteRange)[] = [];
  for (const range of ranges) {
    const lines = `Content-Type: ${contentTypeOf(path)}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`;
    pieces.push(`${pieces.length > 0 ? "\r\n" : ""}--${boundary}\r\n${lines}`, range);
  }
  pieces.push(`\r\n--${boundary}--\r\n`);
  return { type: `multipart/byteranges; boundary=${boundary}`, pieces };
}
