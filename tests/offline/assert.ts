/**
 * A stand-in for the part of `@std/assert` that the tests use, for where JSR cannot be reached. Its types and results are those of
 * version 1; only its messages are its own.
 *
 * @module
 */

import nodeAssert from "node:assert/strict";

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error = Error> = abstract new (...args: any[]) => E;

/** No argument where there is no message: Node 26 takes no `undefined` for one. */
function say(message: string | undefined): [message?: string] {
  return message === undefined ? [] : [message];
}

/** Fails unless a value is truthy. */
export function assert(value: unknown, message = "The value is not truthy"): asserts value {
  if (!value) throw new nodeAssert.AssertionError({ message, actual: value, expected: true, operator: "==" });
}

/** Fails when a value is truthy. */
export function assertFalse(
  value: unknown,
  message = "The value is truthy",
): asserts value is false | 0 | 0n | "" | null | undefined {
  assert(!value, message);
}

/** Fails unless two values are equal, deeply; see `equal()`. */
export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  if (equal(actual, expected)) return;
  nodeAssert.deepStrictEqual(actual, expected, ...say(message)); // for its message
  fail(message ?? "The values differ in what only @std/assert compares: properties that are inherited, or not enumerable");
}

/** Fails when two values are equal, deeply; see `equal()`. */
export function assertNotEquals<T>(actual: T, expected: T, message = "The values are equal"): void {
  assert(!equal(actual, expected), message);
}

/** Fails unless two values are the same. */
export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T {
  nodeAssert.strictEqual(actual, expected, ...say(message));
}

/** Fails unless a value is neither `null` nor `undefined`. */
export function assertExists<T>(actual: T, message = "The value is null or undefined"): asserts actual is NonNullable<T> {
  assert(actual !== null && actual !== undefined, message);
}

/** Fails unless a value is an instance of a class. */
// deno-lint-ignore no-explicit-any
export function assertInstanceOf<T extends abstract new (...args: any[]) => any>(
  actual: unknown,
  expectedType: T,
  message?: string,
): asserts actual is InstanceType<T> {
  assert(actual instanceof expectedType, message ?? `The value is no ${expectedType.name}: ${actual}`);
}

/** Fails unless a text contains another. */
export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  assert(actual.includes(expected), message ?? `${JSON.stringify(expected)} is not in ${JSON.stringify(actual)}`);
}

/** Fails unless a text matches. */
export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  assert(expected.test(actual), message ?? `${JSON.stringify(actual)} does not match ${expected}`);
}

/** Fails unless a number is greater than another. */
export function assertGreater<T>(actual: T, expected: T, message?: string): void {
  assert(actual > expected, message ?? `${actual} is not greater than ${expected}`);
}

/** Fails unless a number is less than another or equal. */
export function assertLessOrEqual<T>(actual: T, expected: T, message?: string): void {
  assert(actual <= expected, message ?? `${actual} is greater than ${expected}`);
}

/** Fails unless a function throws. Returns what it threw. */
export function assertThrows(work: () => unknown, message?: string): unknown;
/** Fails unless a function throws an error of a class, with a message that contains a text. Returns the error. */
export function assertThrows<E extends Error>(work: () => unknown, type: ErrorClass<E>, text?: string, message?: string): E;
export function assertThrows(work: () => unknown, type?: ErrorClass | string, text?: string, message?: string): unknown {
  try {
    work();
  } catch (error) {
    return expected(error, type, text, message);
  }
  return fail(messageOf(type, message) ?? "The function did not throw");
}

/** Fails unless a function returns a promise that rejects; one that throws fails. Returns what it rejected with. */
export function assertRejects(work: () => PromiseLike<unknown>, message?: string): Promise<unknown>;
/** Fails unless a function returns a promise that rejects with an error of a class. Returns the error. */
export function assertRejects<E extends Error>(
  work: () => PromiseLike<unknown>,
  type: ErrorClass<E>,
  text?: string,
  message?: string,
): Promise<E>;
export async function assertRejects(
  work: () => PromiseLike<unknown>,
  type?: ErrorClass | string,
  text?: string,
  message?: string,
): Promise<unknown> {
  let promise: PromiseLike<unknown>;
  try {
    promise = work();
  } catch (error) {
    return fail(`The function threw instead of rejecting: ${error}`);
  }
  assert(typeof promise?.then === "function", "The function returned no promise");
  try {
    await promise;
  } catch (error) {
    return expected(error, type, text, message);
  }
  return fail(messageOf(type, message) ?? "The promise did not reject");
}

/** Fails. */
export function fail(message = "Failed"): never {
  throw new nodeAssert.AssertionError({ message });
}

function messageOf(type: ErrorClass | string | undefined, message: string | undefined): string | undefined {
  return typeof type === "string" ? type : message;
}

/** Checks an error that was thrown. Returns it. */
function expected(error: unknown, type: ErrorClass | string | undefined, text = "", message?: string): unknown {
  if (type === undefined || typeof type === "string") return error;
  assert(error instanceof type, message ?? `The error is no ${type.name}: ${error}`);
  assertStringIncludes(error.message, text, message);
  return error;
}

/** Objects that are compared as text. */
const TEXTUAL = [RegExp, URL, URLSearchParams];

/**
 * Reports whether two values are equal as `@std/assert` understands it: their prototypes are the same, an object without one counts as
 * a plain object, 0 equals -0, and NaN equals NaN. Arrays and plain objects have equal enumerable properties of their own. All other
 * objects, errors with their `stack` among them, have equal properties of every kind, inherited ones too.
 */
function equal(a: unknown, b: unknown, outer: readonly (readonly [object, object])[] = []): boolean {
  if (a === b || Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const prototype = Object.getPrototypeOf(a) ?? Object.prototype;
  if (prototype !== (Object.getPrototypeOf(b) ?? Object.prototype)) return false;
  if (outer.some(([x, y]) => x === a && y === b)) return true; // a circle
  const inside = [...outer, [a, b]] as const;
  const both = (x: unknown, y: unknown) => equal(x, y, inside);

  if (a instanceof Date) return Object.is(a.getTime(), (b as Date).getTime());
  if (a instanceof ArrayBuffer) return both(new Uint8Array(a), new Uint8Array(b as ArrayBuffer));
  if (ArrayBuffer.isView(a) && !(a instanceof DataView)) {
    const [x, y] = [a, b] as unknown as Uint8Array[];
    return x.length === y.length && x.every((value, index) => value === y[index] || Object.is(value, y[index]));
  }
  if (TEXTUAL.some((type) => prototype === type.prototype)) return String(a) === String(b);
  if (Object.keys(a).length !== Object.keys(b).length) return false;
  if (a instanceof Set || a instanceof Map) {
    const [x, y] = [[...a], [...b as Iterable<unknown>]];
    return x.length === y.length && x.every((entry) => y.some((other) => both(entry, other)));
  }
  const isPlain = prototype === Object.prototype || prototype === Array.prototype;
  const keys = isPlain ? Reflect.ownKeys({ ...a, ...b }) : [...keysOf(a), ...keysOf(b)];
  return keys.every((key) => key in a && key in b && both(Reflect.get(a, key), Reflect.get(b, key)));
}

/** All keys of an object and of its prototypes. */
function keysOf(object: object | null): PropertyKey[] {
  return object === null || object === Object.prototype
    ? []
    : [...Reflect.ownKeys(object), ...keysOf(Object.getPrototypeOf(object))];
}
