/**
 * The header fields, cookies and trailers of an answer that is being made.
 *
 * @module
 */

import { isFieldValue, isToken } from "./head.ts";

/** Values that `header()` takes. */
export type HeaderValue = string | number | readonly string[];

/** RFC 9110 section 6.5.1: what says how a message is read has to be known before it is. */
const NO_TRAILERS = new Set([
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "transfer-encoding",
  "trailer",
  "host",
  "connection",
  "upgrade",
  "set-cookie",
  "location",
  "authorization",
  "cache-control",
  "te",
]);

/** A field, with its name in lower case beside it. */
export type Field = readonly [name: string, value: string, lower: string];

/** Fields in the order in which they were set. */
export class ResponseFields {
  #fields: Field[] = [];

  /**
   * Sets a field, in place of what it had.
   *
   * @throws {TypeError} If the name is no token, or a value holds a control character: a header cannot be split in two.
   */
  set(name: string, value: HeaderValue): void {
    const values = Array.isArray(value) ? value as readonly string[] : [String(value)];
    if (!isToken(name)) throw new TypeError(`Cannot set a header: ${JSON.stringify(name)} is not a header name`);
    for (const one of values) {
      if (!isFieldValue(one)) throw new TypeError(`Cannot set the header ${name}: the value has a character that is not allowed`);
    }
    const lower = name.toLowerCase();
    if (lower === "transfer-encoding") throw new TypeError("Cannot set Transfer-Encoding: write() chooses it");
    if (this.#fields.length > 0) this.delete(lower);
    for (const one of values) this.#fields.push([name, one, lower]);
  }

  /** Adds a field behind those of the same name. The value is known to be one. */
  add(name: string, value: string): void {
    this.#fields.push([name, value, name.toLowerCase()]);
  }

  /** Sets a trailer; throws as `set()`, and for what cannot be one. */
  setTrailer(name: string, value: HeaderValue): void {
    if (NO_TRAILERS.has(name.toLowerCase())) throw new TypeError(`Cannot set the trailer ${name}: it has to be a header`);
    this.set(name, value);
  }

  /** Takes a field out; the name in lower case. */
  delete(lower: string): void {
    this.#fields = this.#fields.filter((field) => field[2] !== lower);
  }

  /** Whether a field is there; the name in lower case. */
  has(lower: string): boolean {
    for (let i = 0; i < this.#fields.length; i++) if (this.#fields[i][2] === lower) return true;
    return false;
  }

  /** The values of a field, joined; the name in lower case. */
  get(lower: string): string | undefined {
    const values = this.#fields.filter((field) => field[2] === lower);
    return values.length === 0 ? undefined : values.map(([, value]) => value).join(", ");
  }

  /** How many there are. */
  get size(): number {
    return this.#fields.length;
  }

  /** All of them. */
  [Symbol.iterator](): IterableIterator<Field> {
    return this.#fields[Symbol.iterator]();
  }
}

const capitalized: Map<string, string> = new Map();

/** The name of a field with capitals where words begin, and nowhere else: `x-request-ID` becomes `X-Request-Id`. */
export function capitalize(name: string): string {
  let known = capitalized.get(name);
  if (known === undefined) {
    known = name.toLowerCase().replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
    if (capitalized.size < 500) capitalized.set(name, known); // programs use few
  }
  return known;
}
