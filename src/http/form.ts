/**
 * Parameters of a query or a form, as PHP reads them: `a=1&b[]=2&c[x][y]=3`.
 *
 * @module
 */

/** The value of a parameter: text; a list, from names such as `a[]`; or an object without a prototype, from `a[key]`. */
export type FormValue = string | FormValue[] | { [name: string]: FormValue };

/**
 * Parameters by name, without a prototype. Each one is a `FormValue`: text, unless its name has brackets. (The type is `any`, so
 * that the common case needs no check; write `const value: FormValue = request.get.a` to be reminded of it.)
 */
// deno-lint-ignore no-explicit-any
export type FormFields = Record<string, any>;

/** How deep names may be nested, PHP's `max_input_nesting_level`; deeper ones are left out. */
const MAX_DEPTH = 64;

/** An array of PHP: keys in order, and the number that `[]` takes next. */
class Fields<Value> {
  readonly values: Record<string, Value | Fields<Value>> = Object.create(null);
  #count = 0;
  #numbers = 0;
  #next = 0;

  /** The key that stands between brackets; the next number for none. */
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

  /** As an object for programs. */
  get result(): FormFields {
    const object: FormFields = Object.create(null);
    for (const [key, value] of Object.entries(this.values)) {
      if (!(value instanceof Fields)) object[key] = value;
      else object[key] = value.isList ? Object.values(value.result) : value.result;
    }
    return object;
  }
}

/** Collects parameters: texts, or the files of a form. */
export class FormCollector<Value = string> {
  readonly #fields: Fields<Value> = new Fields();
  readonly #most: number;
  #count = 0;
  #inner = 0; // lists and objects

  /**
   * @param most How many are taken; what comes behind them is left out (PHP's `max_input_vars`), and so is what needs more than
   * twice as many lists and objects.
   */
  constructor(most: number) {
    this.#most = most;
  }

  /** Whether no more are taken. */
  get isFull(): boolean {
    return this.#count >= this.#most;
  }

  /** Adds a parameter, the name decoded. Of one that is there twice the last counts. */
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

  /** What has been added. */
  get result(): FormFields {
    return this.#fields.result;
  }
}

/** `a[b][]` as `a`, `b` and the empty key. A bracket that is not closed is part of the name; what follows the last one is not. */
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
 * Reads `application/x-www-form-urlencoded` text.
 *
 * @param text For example `a=1&b%5B%5D=2`.
 * @param most How many parameters are taken.
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

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Below this many characters `replaceAll()` is fast enough, however many it replaces. */
const SHORT = 256;

/** Makes each `+` a blank. */
function blanks(text: string): string {
  if (text.length < SHORT) return text.replaceAll("+", " ");
  const bytes = encoder.encode(text);
  for (let i = 0; i < bytes.length; i++) if (bytes[i] === 0x2b) bytes[i] = 0x20;
  return decoder.decode(bytes);
}

/** Undoes the escapes of forms: `+` is a blank, `%41` an octet of UTF-8; an escape that is none stays. */
function decode(text: string): string {
  if (text.includes("+")) text = blanks(text);
  if (!text.includes("%")) return text;
  return new URLSearchParams("=" + text).get("") ?? "";
}

/** The media type of a Content-Type, in lower case, without parameters. */
export function mediaType(contentType: string | undefined): string {
  if (contentType === undefined) return "";
  const end = contentType.indexOf(";");
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}
