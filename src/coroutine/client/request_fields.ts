/**
 * The fields of a form as PHP's `http_build_query()` names them.
 *
 * @module
 */

/** The value of a field. A list or an object stands for several fields; `null` and `undefined` for none. */
export type RequestFieldValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | readonly RequestFieldValue[]
  | { readonly [name: string]: RequestFieldValue };

/** The fields of a form, by name. */
export interface RequestFields {
  /** The value of a field. */
  readonly [name: string]: RequestFieldValue;
}

/** Values may lie this deep in each other. Deeper ones are most likely in a circle. */
const DEPTH = 64;

/**
 * Lists the fields of a form: `{ a: { b: "1" }, c: ["2"] }` are `a[b]` and `c[0]`. `true` is 1 and `false` is 0.
 *
 * @throws {TypeError} If a value is neither text nor a number, a list or a plain object.
 */
export function listFields(fields: RequestFields): [name: string, value: string][] {
  const list: [string, string][] = [];
  const add = (name: string, value: unknown, depth: number) => {
    if (value === null || value === undefined) return;
    if (typeof value === "boolean") return void list.push([name, value ? "1" : "0"]);
    if (typeof value === "string" || typeof value === "number" || typeof value === "bigint") {
      return void list.push([name, String(value)]);
    }
    if (depth > DEPTH || !isListOrPlain(value)) {
      throw new TypeError(`Cannot send a form: ${name || "it"} is neither text nor a number, a list or a plain object`);
    }
    for (const [key, inner] of Object.entries(value)) add(name === "" ? key : `${name}[${key}]`, inner, depth + 1);
  };
  add("", fields, 0);
  return list;
}

function isListOrPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
