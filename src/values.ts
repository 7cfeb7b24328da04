/**
 * Checks of the values that programs pass: settings, hosts and ports, data to send; their descriptions for error messages; and the
 * coders that turn their text to UTF-8, which keep nothing between calls.
 *
 * @module
 */

/**
 * The kind of a value: a type, a range of whole numbers, a list of words, or a function that throws for invalid values. A
 * `timeout` may be -1, which means no limit.
 */
export type Kind =
  | "boolean"
  | "seconds"
  | "timeout"
  | "bytes"
  | "count"
  | "text"
  | "texts"
  | "mark"
  | "function"
  | { readonly from: number; readonly to: number }
  | readonly string[]
  | ((key: string, value: unknown) => void);

/** Checks the value of one setting; throws the errors of `checkSettings()`. */
export function checkValue(key: string, kind: Kind, value: unknown): void {
  if (typeof kind === "function") {
    kind(key, value);
  } else if (kind === "boolean") {
    if (typeof value !== "boolean") throw new TypeError(`Cannot set ${key}: a boolean is needed, not ${describe(value)}`);
  } else if (kind === "text") {
    if (typeof value !== "string") throw new TypeError(`Cannot set ${key}: a string is needed, not ${describe(value)}`);
  } else if (kind === "mark") {
    const isMark = typeof value === "string" || value instanceof Uint8Array;
    if (!isMark) throw new TypeError(`Cannot set ${key}: a string or bytes are needed, not ${describe(value)}`);
    const { length } = typeof value === "string" ? utf8Encoder.encode(value) : value;
    if (length < 1 || length > 8) throw new RangeError(`Cannot set ${key}: ${length} bytes are not in the range 1 to 8`);
  } else if (kind === "function") {
    if (typeof value !== "function" && value !== null) {
      throw new TypeError(`Cannot set ${key}: a function is needed, not ${describe(value)}`);
    }
  } else if (kind === "texts") {
    const list: unknown[] = Array.isArray(value) ? value : [value];
    if (!list.every((item) => typeof item === "string")) {
      throw new TypeError(`Cannot set ${key}: a string or a list of strings is needed, not ${describe(value)}`);
    }
  } else if (Array.isArray(kind)) {
    if (typeof value !== "string") throw new TypeError(`Cannot set ${key}: a string is needed, not ${describe(value)}`);
    if (!kind.includes(value)) throw new RangeError(`Cannot set ${key}: ${value} is none of ${kind.join(", ")}`);
  } else {
    if (typeof value !== "number") throw new TypeError(`Cannot set ${key}: a number is needed, not ${describe(value)}`);
    if (typeof kind === "object") {
      const { from, to } = kind as { from: number; to: number };
      if (Number.isInteger(value) && value >= from && value <= to) return;
      throw new RangeError(`Cannot set ${key}: ${value} is no whole number from ${from} to ${to}`);
    }
    if (kind === "timeout" && value === -1) return;
    const whole = kind !== "seconds" && kind !== "timeout";
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER) || (whole && !Number.isInteger(value))) {
      throw new RangeError(`Cannot set ${key}: ${value} is no ${whole ? "whole number" : "number"} from 0 on`);
    }
  }
}

/** Reports whether a value is an object with keys. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Shows a value in an error message: a string in quotes, a number or a boolean as it is, anything else by its type. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  return typeof value === "number" || typeof value === "boolean" ? String(value) : describe(value);
}

/** Returns the type of a value, for error messages. */
export function describe(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "a list" : typeof value;
}

/**
 * Suggests the name that was probably meant.
 *
 * @param name The unknown name.
 * @param names The known names.
 * @returns `; did you mean …?`, or an empty string if no name is similar.
 */
export function suggestion(name: string, names: Iterable<string>): string {
  const given = plain(name);
  if (given.length > LONGEST) return "";
  let best: string | undefined;
  let least = Math.max(1, Math.floor(given.length / 4)) + 1;
  for (const one of names) {
    const distance = editDistance(given, plain(one));
    if (distance < least) [best, least] = [one, distance];
  }
  return best === undefined ? "" : `; did you mean ${best}?`;
}

/** The length above which a name is not considered a typing error. */
const LONGEST = 64;

/** Normalizes spelling variants: letter case, and the underscores of `snake_case`. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, "");
}

/** Returns the number of letters to insert, delete, replace or swap with a neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + same);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    before = last;
    last = row;
  }
  return last[b.length];
}

/**
 * Returns the bytes to send for a value. A `Uint8Array` is returned as it is, without a copy.
 *
 * @throws {TypeError} If the value is of any other type, or its buffer has been transferred.
 */
export function sentBytes(data: string | number | Uint8Array): Uint8Array {
  if (typeof data === "string") return utf8Encoder.encode(data);
  if (data instanceof Uint8Array) return data.length > 0 ? data : notTransferred(data, "send");
  if (typeof data === "number") return utf8Encoder.encode(String(data));
  throw new TypeError(`Cannot send ${describeUnsendable(data)}`);
}

/**
 * Returns bytes, unless their buffer has been transferred: they are then of length 0, and would be sent as nothing.
 *
 * @param work What is to be done with them, for the error.
 * @throws {TypeError} If their buffer has been transferred.
 */
export function notTransferred(bytes: Uint8Array, work: string): Uint8Array {
  if (bytes.length > 0 || !isDetached(bytes.buffer)) return bytes;
  throw transferred(work);
}

/** Reports whether a buffer has been transferred. Node 20 does not say so, but refuses to make a view of it. */
function isDetached(buffer: ArrayBufferLike & { readonly detached?: boolean }): boolean {
  if (buffer.detached !== undefined) return buffer.detached;
  try {
    return new Uint8Array(buffer).length !== 0; // memory that can be shared cannot be transferred
  } catch {
    return true;
  }
}

/** Returns the error for bytes whose buffer has been transferred. */
export function transferred(work: string): TypeError {
  return new TypeError(`Cannot ${work} the bytes: their buffer has been transferred`);
}

/**
 * Describes an unsendable value and the types that are accepted, for error messages.
 *
 * @param others Further types that can be sent there, in addition to a string, a number and a `Uint8Array`.
 */
export function describeUnsendable(data: unknown, others = ""): string {
  const needed = others === "" ? "a string, a number or a Uint8Array" : `a string, a number, a Uint8Array, ${others}`;
  return `${nameOf(data)}: ${needed} is needed${hint(data)}`;
}

/** Describes a value that is no bytes where only bytes are accepted, for error messages. */
export function describeNoBytes(data: unknown): string {
  const isBinary = data instanceof ArrayBuffer || ArrayBuffer.isView(data);
  const how = typeof data === "string" ? "; use new TextEncoder().encode(text)" : isBinary ? hint(data) : "";
  return `${nameOf(data)}: a Uint8Array is needed${how}`;
}

function nameOf(data: unknown): string {
  if (data === null || data === undefined) return String(data);
  if (Array.isArray(data)) return "a list";
  return typeof data === "object" ? "an object" : `a ${typeof data}`;
}

/** Suggests how to convert the value. */
function hint(data: unknown): string {
  if (typeof data !== "object" || data === null) return "";
  if (data instanceof ArrayBuffer) return "; use new Uint8Array(buffer)";
  if (ArrayBuffer.isView(data)) return "; use new Uint8Array(view.buffer, view.byteOffset, view.byteLength)";
  const { arrayBuffer, then } = data as { arrayBuffer?: unknown; then?: unknown };
  if (typeof arrayBuffer === "function") return "; use new Uint8Array(await data.arrayBuffer())";
  return typeof then === "function" ? "; a promise has to be awaited" : "; use JSON.stringify()";
}

/**
 * Returns a port given as a number or as digits, as in environment variables.
 *
 * @param what The action that fails, for error messages.
 * @throws {TypeError} If the port is neither a number nor digits.
 * @throws {RangeError} If it is not a valid port.
 */
export function portNumber(port: unknown, what: string): number {
  const number = typeof port === "string" && /^[0-9]+$/.test(port) ? Number(port) : port;
  if (typeof number !== "number") {
    const given = typeof port === "string" ? JSON.stringify(port) : describe(port);
    throw new TypeError(`Cannot ${what}: the port has to be a number from 0 to 65535, not ${given}`);
  }
  if (!Number.isInteger(number) || number < 0 || number > 65535) {
    throw new RangeError(`Cannot ${what}: port ${port} is not in the range 0 to 65535`);
  }
  return number;
}

/**
 * Checks that a host is a string and not empty.
 *
 * @param what The action that fails, for error messages.
 * @param call The correct call, for callers that pass options or a port instead.
 * @throws {TypeError} If the host is empty or not a string.
 */
export function checkHost(host: unknown, what: string, call: string): void {
  if (typeof host === "string") {
    if (host === "" || host === "unix:") throw new TypeError(`Cannot ${what}: the host is empty`);
    return;
  }
  const example = `${call}("127.0.0.1", ${typeof host === "number" ? host : 9501})`;
  const settings = typeof host === "object" && host !== null ? ", and settings go to set()" : "";
  throw new TypeError(`Cannot ${what}: the host has to be a string, not ${describe(host)}; write ${example}${settings}`);
}

/** Checks the timeout of a `recv()`. */
export function checkTimeout(timeout: unknown): void {
  if (typeof timeout === "number" && !Number.isNaN(timeout)) return;
  throw new TypeError("Cannot receive: the timeout has to be a number of seconds");
}

// The types of Node 20 know `TextEncoder` and `TextDecoder` as values only.

/** Encodes text. */
export const utf8Encoder: InstanceType<typeof TextEncoder> = new TextEncoder();

/** Decodes text, with U+FFFD for errors, and keeps a byte order mark. */
export const utf8Decoder: InstanceType<typeof TextDecoder> = new TextDecoder("utf-8", { ignoreBOM: true });

/** Decodes whole bodies: as `utf8Decoder`, but removes a byte order mark, as `Response.text()` does. */
export const bodyDecoder: InstanceType<typeof TextDecoder> = new TextDecoder();

/** Returns the length of a text in UTF-8 bytes. Half of a surrogate pair counts as U+FFFD, as which it is sent. */
export function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const point = character.codePointAt(0)!;
    length += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return length;
}
