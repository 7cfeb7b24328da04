/**
 * What a client wants of a file: all of it, a part, or nothing because it has it already (RFC 9110 sections 13 and 14).
 *
 * @module
 */

import { parseHttpDate } from "./http_date.ts";
import { type ByteRange, readRanges } from "./byte_ranges.ts";

/** A file as it is now. */
export interface FileState {
  /** Its octets. */
  readonly size: number;
  /** When it was last changed, milliseconds since 1970. */
  readonly mtime: number;
}

/** The answer: its status, and which octets. */
export interface FileParts {
  /** 200, 206, 304, 412 or 416. */
  readonly status: number;
  /** What is sent: all, one part or several, or nothing. */
  readonly parts: readonly ByteRange[];
}

/** The validator: when it changed and how large it is. */
export function entityTag({ size, mtime }: FileState): string {
  return `"${Math.floor(mtime).toString(16)}-${size.toString(16)}"`;
}

/**
 * Decides on the answer to a GET or HEAD.
 *
 * @param header The header of the request.
 * @param file The file.
 * @param isGet Whether it is GET: nothing else knows parts (section 14.2).
 */
export function chooseParts(header: Readonly<Record<string, string>>, file: FileState, isGet = true): FileParts {
  const tag = entityTag(file);
  const changed = Math.floor(file.mtime / 1000) * 1000; // as Last-Modified tells it
  // Section 13.2.2 has the order.
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
  if (!isGet || (ifRange !== undefined && ifRange !== tag && parseHttpDate(ifRange) !== changed)) return whole;
  const parts = readRanges(header["range"] ?? "", file.size);
  if (parts === undefined) return whole;
  return { status: parts.length === 0 ? 416 : 206, parts };
}

/** Section 8.8.3.2: a weak comparison takes no notice of `W/`, a strong one fails with it. */
function hasTag(list: string, tag: string, weak: boolean): boolean {
  return list.split(",").some((item) => {
    const one = item.trim();
    return one === "*" || one === tag || (weak && one === `W/${tag}`);
  });
}

// Sections 13.1.3 and 13.1.4: what is no date is ignored.

function isBefore(date: string | undefined, changed: number): boolean {
  return date !== undefined && parseHttpDate(date) < changed;
}

function isNotBefore(date: string | undefined, changed: number): boolean {
  return date !== undefined && parseHttpDate(date) >= changed;
}
