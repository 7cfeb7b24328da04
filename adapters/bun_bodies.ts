/**
 * The bodies of responses in Bun that are whole, without a stream.
 *
 * @module
 */

import process from "node:process";

// The part of Bun's API that is used here, so that this file type-checks everywhere.

interface Peeking {
  /** Returns the value of a promise that is fulfilled, otherwise the promise. */
  peek(promise: Promise<Uint8Array>): unknown;
}

interface Jsc {
  /** Returns how much memory an object takes. */
  estimateShallowMemoryUsageOf(it: object): number;
}

/**
 * Takes the body of a response that was made from text or bytes. Bun shows such a body nowhere: `body` makes a stream of it, which
 * costs as much as all the rest of a short request. But the engine is told what a response takes, which includes the body if it is
 * in memory, and nothing of a stream.
 *
 * @returns The body, or a promise of it; `undefined` if it is a stream or may be one.
 */
export type TakeWholeBody = (response: Response) => Uint8Array | Promise<Uint8Array> | undefined;

function makeTaker(peek: Peeking["peek"], takes: Jsc["estimateShallowMemoryUsageOf"]): TakeWholeBody | undefined {
  const init: ResponseInit = { status: 203, headers: [["x-trial", "yes"]] };
  const empty = takes(new Response(null, init));
  // These may be part of what an object takes.
  const isPlain = (response: Response) =>
    response.statusText === "" && response.url === "" && Object.getPrototypeOf(response) === Response.prototype &&
    Reflect.ownKeys(response).length === 0;
  const isWhole = (response: Response) => takes(response) > empty && isPlain(response) && !response.bodyUsed;
  const full = () => new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(5000)) });
  const wholes = [new Response("text"), new Response("tëxt", init), new Response(new Uint8Array(1), init), Response.json({})];
  const others = [new Response(full()), new Response(full(), init), new Response(full()).clone(), new Response(null)];
  if (!wholes.every(isWhole) || others.some(isWhole)) return undefined;
  return (response) => {
    if (!isWhole(response)) return undefined;
    const reading = response.bytes();
    const body = peek(reading);
    return body instanceof Uint8Array ? body : reading;
  };
}

function findTaker(): TakeWholeBody | undefined {
  const { Bun } = globalThis as { Bun?: Peeking };
  if (Bun === undefined) return undefined;
  try {
    const { getBuiltinModule } = process as unknown as { getBuiltinModule(name: string): Jsc };
    return makeTaker(Bun.peek, getBuiltinModule("bun:jsc").estimateShallowMemoryUsageOf);
  } catch {
    return undefined; // another version of Bun
  }
}

/** Takes the body of a response that is whole; `undefined` where there is no way to know. */
export const takeWholeBody: TakeWholeBody | undefined = findTaker();
