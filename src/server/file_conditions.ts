/**
 * What a client wants of a file: all of it, a part, or nothing because it has it already (RFC 9110 sections 13 and 14).
 *
 * @module
 */

/** A file as it is now. */
export interface FileState {
  /** Its octets. */
  readonly size: number;
  /** When it was last changed, milliseconds since 1970. */
  readonly mtime: number;
}

/** The answer: its status, and which octets. */
export interface FilePart {
  /** 200, 206, 304, 412 or 416. */
  readonly status: number;
  /** The first octet. */
  readonly start: number;
  /** How many; 0 where none is sent. */
  readonly length: number;
}

/** The validator: when it changed and how large it is. */
export function entityTag({ size, mtime }: FileState): string {
  return `"${Math.floor(mtime).toString(16)}-${size.toString(16)}"`;
}

/** Decides on the answer to a GET or HEAD. */
export function choosePart(header: Readonly<Record<string, string>>, file: FileState): FilePart {
  const { size } = file;
  const tag = entityTag(file);
  const changed = Math.floor(file.mtime / 1000) * 1000; // as Last-Modified tells it
  // Section 13.2.2 has the order.
  const ifMatch = header["if-match"];
  if (ifMatch !== undefined ? !hasTag(ifMatch, tag, false) : isBefore(header["if-unmodified-since"], changed)) {
    return { status: 412, start: 0, length: 0 };
  }
  const ifNoneMatch = header["if-none-match"];
  if (ifNoneMatch !== undefined ? hasTag(ifNoneMatch, tag, true) : isNotBefore(header["if-modified-since"], changed)) {
    return { status: 304, start: 0, length: 0 };
  }
  const whole = { status: 200, start: 0, length: size };
  const ifRange = header["if-range"];
  if (ifRange !== undefined && ifRange !== tag && Date.parse(ifRange) !== changed) return whole;
  // Section 14.2: what is no range, or several at once, may be ignored.
  const [, first, last] = /^bytes=[ \t]*([0-9]{0,15})-([0-9]{0,15})[ \t]*$/i.exec(header["range"] ?? "") ?? [];
  if (first === undefined || (first === "" && last === "")) return whole;
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(Number(last) + 1, size);
  if (first !== "" && last !== "" && Number(last) < start) return whole; // section 14.1.1: not valid
  if (start >= size || end <= start) return { status: 416, start: 0, length: 0 };
  return { status: 206, start, length: end - start };
}

/** Section 8.8.3.2: a weak comparison takes no notice of `W/`, a strong one fails with it. */
function hasTag(list: string, tag: string, weak: boolean): boolean {
  return list.split(",").some((item) => {
    const one = item.trim();
    return one === "*" || one === tag || (weak && one === `W/${tag}`);
  });
}

function isBefore(date: string | undefined, changed: number): boolean {
  return date !== undefined && Date.parse(date) < changed;
}

function isNotBefore(date: string | undefined, changed: number): boolean {
  return date !== undefined && Date.parse(date) >= changed;
}
