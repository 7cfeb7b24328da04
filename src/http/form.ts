/**
 * Parses the parameters of a query or a form as PHP does: `a=1&b[]=2&c[x][y]=3`.
 *
 * @module
 */

import { utf8Decoder, utf8Encoder } from "../values.ts";

/** The value of a parameter: a string; a list, from names such as `a[]`; or an object without a prototype, from `a[key]`. */
export type FormValue = string | FormValue[] | FormFields;

/**
 * Parameters by name, in an object without a prototype. A client chooses which there are, and whether a name has brackets, so a
 * value may be missing, and need not be a string: check it with `typeof`.
 */
export interface FormFields {
  /** The value of a parameter. */
  [name: string]: FormValue | undefined;
}

/** What `FormCollector` collects into. */
interface Collected<Value> {
  [name: string]: Value | Collected<Value> | List<Value> | undefined;
}

type List<Value> = (Value | Collected<Value> | List<Value>)[];

/** The deepest nesting of names (PHP's `max_input_nesting_level`); parameters beyond it are ignored. */
const MAX_DEPTH = 64;

/** A PHP array: ordered keys, and the number that `[]` uses next. */
class Fields<Value> {
  readonly values: Record<string, Value | Fields<Value>> = Object.create(null);
  #count = 0;
  #numbers = 0;
  #next = 0;

  /** Returns the key for the text between brackets: the next number if it is empty. */
  key(text: string): string {
    return text === "" ? String(this.#next) : text;
  }

  set(key: string, value: Value | Fields<Value>): void {
    if (this.values[key] === undefined) {
      this.#count++;
      if (/^(?:0|[1-9][0-9]{0,14})$/.test(key)) {
        this.#numbers++;
        this.#next = Math.max(this.#next, Number(key) + 1);
      }
    }
    this.values[key] = value;
  }

  /** Whether the keys are 0, 1, 2 and so on. */
  get isList(): boolean {
    return this.#numbers === this.#count && this.#next === this.#count;
  }

  /** The array as an object for programs. */
  get result(): Collected<Value> {
    const object: Collected<Value> = Object.create(null);
    for (const [key, value] of Object.entries(this.values)) {
      if (!(value instanceof Fields)) object[key] = value;
      else object[key] = value.isList ? Object.values(value.result) as List<Value> : value.result;
    }
    return object;
  }
}

/** A collector of parameters: texts, or the files of a form. */
export class FormCollector<Value = string> {
  readonly #fields: Fields<Value> = new Fields();
  readonly #most: number;
  #count = 0;
  #inner = 0; // the number of lists and objects

  /**
   * @param most The largest number of parameters (PHP's `max_input_vars`); the rest is ignored, as are parameters that would need
   * more than twice as many lists and objects.
   */
  constructor(most: number) {
    this.#most = most;
  }

  /** Whether further parameters are ignored. */
  get isFull(): boolean {
    return this.#count >= this.#most;
  }

  /** Adds a parameter with a decoded name. If the name is repeated, the last value counts. */
  add(name: string, value: Value): void {
    if (name === "" || ++this.#count > this.#most) return;
    const path = splitName(name);
    if (path === undefined) return;
    let fields = this.#fields;
    for (let i = 0;; i++) {
      const key = i === 0 ? path[0] : fields.key(path[i]);
      if (i === path.length - 1) return fields.set(key, value);
      const inner = fields.values[key];
      if (!(inner instanceof Fields) && ++this.#inner > 2 * this.#most) return;
      const next: Fields<Value> = inner instanceof Fields ? inner : new Fields();
      if (next !== inner) fields.set(key, next);
      fields = next;
    }
  }

  /** The collected parameters. */
  get result(): Collected<Value> {
    return this.#fields.result;
  }
}

/**
 * Splits `a[b][]` into `a`, `b` and the empty key; `undefined` if it is nested too deeply. A bracket that is never closed is part
 * of the name; text after the last bracket is ignored.
 */
function splitName(name: string): string[] | undefined {
  const first = name.indexOf("[");
  if (first < 1 || name.indexOf("]", first) < 0) return [name];
  const path = [name.slice(0, first)];
  for (let at = first; name[at] === "[";) {
    const end = name.indexOf("]", at);
    if (end < 0) break;
    if (path.length > MAX_DEPTH) return undefined;
    path.push(name.slice(at + 1, end));
    at = end + 1;
  }
  return path;
}

/**
 * Parses `application/x-www-form-urlencoded` text.
 *
 * @param text The text, for example `a=1&b%5B%5D=2`.
 * @param most The largest number of parameters.
 */
export function parseForm(text: string, most: number): FormFields {
  const collector = new FormCollector(most);
  for (let at = 0, count = 0; at < text.length && count < most; count++) {
    const stop = text.indexOf("&", at);
    const pair = text.slice(at, stop < 0 ? text.length : stop);
    at = stop < 0 ? text.length : stop + 1;
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    collector.add(decode(equals < 0 ? pair : pair.slice(0, equals)), equals < 0 ? "" : decode(pair.slice(equals + 1)));
  }
  return collector.result;
}

/** The length in characters below which `replaceAll()` is fast enough, no matter how much it replaces. */
const SHORT = 256;

/** Replaces each `+` by a space. */
function blanks(text: string): string {
  if (text.length < SHORT) return text.replaceAll("+", " ");
  const bytes = utf8Encoder.encode(text);
  for (let i = 0; i < bytes.length; i++) if (bytes[i] === 0x2b) bytes[i] = 0x20;
  return utf8Decoder.decode(bytes);
}

/** Decodes form encoding: `+` is a space, `%41` a byte of UTF-8. Invalid escapes stay. */
function decode(text: string): string {
  if (text.includes("+")) text = blanks(text);
  if (!text.includes("%")) return text;
  return new URLSearchParams("=" + text).get("") ?? "";
}

/** Returns the media type of a Content-Type, in lower case and without parameters. */
export function mediaType(contentType: string | undefined): string {
  if (contentType === undefined) return "";
  const end = contentType.indexOf(";");
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}
