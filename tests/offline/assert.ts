/**
 * A stand-in for the part of `@std/assert` that the tests use, for where JSR cannot be reached.
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
export function assertFalse(value: unknown, message = "The value is truthy"): void {
  assert(!value, message);
}

/** Fails unless two values are equal, deeply. */
export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  nodeAssert.deepStrictEqual(plain(actual), plain(expected), ...say(message));
}

/** Fails when two values are equal, deeply. */
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  nodeAssert.notDeepStrictEqual(plain(actual), plain(expected), ...say(message));
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
export function assertThrows<E extends Error>(work: () => unknown, type?: ErrorClass<E>, message?: string): E {
  try {
    work();
  } catch (error) {
    return expected(error, type, message);
  }
  throw new nodeAssert.AssertionError({ message: "The function did not throw" });
}

/** Fails unless a promise rejects. Returns what with. */
export async function assertRejects<E extends Error>(
  work: () => PromiseLike<unknown>,
  type?: ErrorClass<E>,
  message?: string,
): Promise<E> {
  try {
    await work();
  } catch (error) {
    return expected(error, type, message);
  }
  throw new nodeAssert.AssertionError({ message: "The promise did not reject" });
}

/** Fails. */
export function fail(message = "Failed"): never {
  throw new nodeAssert.AssertionError({ message });
}

function expected<E extends Error>(error: unknown, type: ErrorClass<E> | undefined, message: string | undefined): E {
  if (type !== undefined) assert(error instanceof type, `The error is no ${type.name}: ${error}`);
  if (message !== undefined) assertStringIncludes((error as Error).message, message);
  return error as E;
}

/** Buffers, of which Node's read methods return many, count as the octets that they are. */
function plain(value: unknown): unknown {
  return value instanceof Uint8Array && value.constructor !== Uint8Array ? new Uint8Array(value) : value;
}
