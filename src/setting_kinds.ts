/**
 * What the values of settings have to be, and checking them.
 *
 * @module
 */

/**
 * What a value has to be: of a type, a whole number of a range, one of some words, or what a function lets pass, which throws for
 * anything else. A `timeout` may be -1, for ever.
 */
export type Kind =
  | "boolean"
  | "seconds"
  | "timeout"
  | "octets"
  | "count"
  | "text"
  | "texts"
  | "mark"
  | "function"
  | { readonly from: number; readonly to: number }
  | readonly string[]
  | ((key: string, value: unknown) => void);

const encoder = new TextEncoder();

/** Checks the value of one setting; throws as `checkSettings()`. */
export function checkValue(key: string, kind: Kind, value: unknown): void {
  if (typeof kind === "function") {
    kind(key, value);
  } else if (kind === "boolean") {
    if (typeof value !== "boolean") throw new TypeError(`Cannot set ${key}: a boolean is needed, not ${describe(value)}`);
  } else if (kind === "text") {
    if (typeof value !== "string") throw new TypeError(`Cannot set ${key}: a string is needed, not ${describe(value)}`);
  } else if (kind === "mark") {
    const isMark = typeof value === "string" || value instanceof Uint8Array;
    if (!isMark) throw new TypeError(`Cannot set ${key}: a string or octets are needed, not ${describe(value)}`);
    const { length } = typeof value === "string" ? encoder.encode(value) : value;
    if (length < 1 || length > 8) throw new RangeError(`Cannot set ${key}: ${length} octets are not in the range 1 to 8`);
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

/** Whether a value is an object with keys. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a value is, for people. */
export function describe(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "a list" : typeof value;
}
