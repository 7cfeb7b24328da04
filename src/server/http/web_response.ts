/**
 * Sends the responses of applications in the fetch style.
 *
 * @module
 */

import { describe, notTransferred, utf8Encoder } from "../../values.ts";
import { joinBytes } from "../../transport/bytes.ts";
import { nativeWholeBody } from "../../transport/current_runtime.ts";
import type { Exchange } from "./exchange.ts";
import { type ResponseParts, takeParts } from "./light_response.ts";

/** Fields about the transfer of a response, which is up to the server. */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade"]);

/** The number of bytes of a body that may be collected before it is sent as a stream. The last part read may exceed it. */
const LOOK_AHEAD = 64 * 1024;

/**
 * Sends the response of an application.
 *
 * @returns A promise for when it is sent, unless that is done already.
 */
export function sendResponse(answer: Response, exchange: Exchange): void | Promise<void> {
  const parts = answer instanceof Response ? takeParts(answer) : undefined;
  if (parts !== undefined) return sendLight(parts, exchange);
  if (typeof answer?.headers !== "object") {
    throw new TypeError(`Cannot send the response: the application has to return a Response, not ${describe(answer)}`);
  }
  const { writer } = exchange;
  if (!writer.isWritable) return answer.body?.cancel(clientGone());
  const length = setHead(answer, exchange);
  const whole = nativeWholeBody === undefined ? takeWholeBody(answer) : nativeWholeBody(answer);
  if (whole instanceof Promise) return whole.then((body) => endBody(exchange, length, body));
  if (whole !== undefined) return endBody(exchange, length, whole);
  const { body } = answer;
  if (body === null) return void writer.end();
  return sendBody(body, exchange, length);
}

/** Sends a light response. */
function sendLight(parts: ResponseParts, exchange: Exchange): void {
  const { writer } = exchange;
  if (!writer.isWritable) return;
  const length = setHead(parts, exchange);
  if (parts.body === null) writer.end();
  else endBody(exchange, length, parts.body);
}

/** Sets status and fields. Returns the `Content-Length` that the application has set, or -1. */
function setHead({ status, statusText, headers }: Response | ResponseParts, { isHead, writer }: Exchange): number {
  writer.status(status, statusText !== "" && /^[\x20-\x7e]+$/.test(statusText) ? statusText : undefined);
  let length: string | undefined;
  let cookies: string[] | undefined;
  let hasType = false;
  // Twice as fast as an iterator, which returns a list for each field.
  headers.forEach((value, name) => {
    if (name === "set-cookie") (cookies ??= []).push(value);
    else if (name === "content-length") length = value;
    else if (!HOP_BY_HOP.has(name)) {
      writer.header(name, value);
      hasType ||= name === "content-type";
    }
  });
  if (cookies !== undefined) writer.header("Set-Cookie", cookies);
  if (!hasType) writer.header("Content-Type", ""); // none, instead of the default
  if (length === undefined) return -1;
  if (isHead) writer.header("Content-Length", length);
  return Number(length);
}

/** A reader of a body, and what it returns. */
type Reader = ReadableStreamDefaultReader<Uint8Array>;
type Part = ReadableStreamReadResult<Uint8Array>;

/** Sends a body, and cancels it as soon as the client disconnects. */
async function sendBody(body: ReadableStream<Uint8Array>, exchange: Exchange, length: number): Promise<void> {
  // The reader keeps its lock: nothing else reads this body, and releasing the lock takes longer than a short body.
  const reader = body.getReader();
  let cancelled: Promise<void> | undefined;
  const forget = exchange.onGone((reason) => {
    cancelled = reader.cancel(reason);
    cancelled.catch(nothing); // handled below, once what is under way has ended
  });
  try {
    const first = ownPart(await reader.read());
    // Most bodies are complete, in one part. No more than this is done for them.
    const reading = first.done ? undefined : readOwn(reader);
    let second: Part | undefined;
    if (reading !== undefined) {
      reading.then((part) => second = part, nothing);
      for (let round = 0; round < SHORT_WAIT && second === undefined; round++) await null;
    }
    if (exchange.isOver) { /* it is too late for a response */ }
    else if (first.done) endBody(exchange, length, "");
    else if (second?.done) endBody(exchange, length, first.value);
    else await sendParts(reader, first.value, reading!, exchange, length);
  } catch (error) {
    cancelled ??= reader.cancel(error);
    await cancelled.catch(nothing); // it may have failed already
    throw error;
  } finally {
    forget();
  }
  if (cancelled !== undefined) await cancelled;
}

/** Sends a body from its first part on. */
async function sendParts(
  reader: Reader,
  first: Uint8Array,
  reading: Promise<Part>,
  exchange: Exchange,
  length: number,
): Promise<void> {
  const { writer } = exchange;
  const parts = [first];
  let size = first.length;
  // A complete body is sent as a whole, with its length. Whether it is complete shows within this turn of the event loop: a
  // stream may take longer, and Bun delivers a complete body in two parts.
  for (let before = 0; before <= LOOK_AHEAD;) {
    const next = await soon(reading) ?? await Promise.race([reading.catch(nothing), endOfTurn()]);
    if (exchange.isOver) return;
    if (next === undefined) break;
    if (next.done) return endBody(exchange, length, parts.length === 1 ? parts[0] : joinBytes(parts));
    parts.push(next.value);
    before = size;
    size += next.value.length;
    reading = readOwn(reader);
  }
  reading.catch(nothing); // handled when it is awaited, behind what is sent first
  if (exchange.isHead) {
    writer.end();
    return await reader.cancel();
  }
  if (length >= 0 && size > length) throw wrongLength(length);
  if (length >= 0) writer.beginBody(length);
  for (const part of parts) if (!await sendPart(reader, exchange, part)) return;
  for (let part = await reading; !part.done; part = await reading) {
    if (exchange.isOver) return;
    if (length >= 0 && part.value.length > writer.missing) throw wrongLength(length);
    reading = readOwn(reader); // while this part is being sent
    reading.catch(nothing); // handled when it is awaited
    if (!await sendPart(reader, exchange, part.value)) return;
  }
  if (length >= 0 && writer.missing > 0) throw wrongLength(length);
  writer.end();
}

/** Reads a part and copies it, because its producer may change or transfer it before it has been sent. */
function readOwn(reader: Reader): Promise<Part> {
  return reader.read().then(ownPart);
}

function ownPart(part: Part): Part {
  if (part.done || !(part.value instanceof Uint8Array)) return part;
  return { done: false, value: new Uint8Array(notTransferred(part.value, "send")) };
}

/** Sends a part of a stream, and waits until the client has taken it. Returns `false` if nothing more is to be sent. */
async function sendPart(
  reader: Reader,
  exchange: Exchange,
  part: Uint8Array,
): Promise<boolean> {
  const { writer } = exchange;
  if (writer.writePart(part, "ours")) return await exchange.drained();
  writer.end(); // the body had to be collected, and is too large for that
  await reader.cancel();
  return false;
}

/** Ends a response with a complete body. */
function endBody(exchange: Exchange, length: number, body: string | Uint8Array): void {
  const { connection, session, writer } = exchange;
  // A response to HEAD may have a length without a body.
  if (length >= 0 && !exchange.isHead) {
    if (typeof body === "string") body = utf8Encoder.encode(body);
    if (body.length !== length) throw wrongLength(length);
  }
  if (session.hasMore) writer.endWith(body); // the responses leave together
  else connection.gather(() => writer.endWith(body));
}

function wrongLength(length: number): TypeError {
  return new TypeError(`Cannot send the response: its body does not have the ${length} bytes that its Content-Length promises`);
}

function nothing(): undefined {}

function clientGone(): DOMException {
  return new DOMException("The client has gone", "AbortError");
}

/** Returns the result of a promise if it resolves within a few rounds of microtasks, otherwise `undefined`. */
async function soon<Value>(promise: Promise<Value>): Promise<Value | undefined> {
  let value: Value | undefined;
  promise.then((it) => value = it, nothing);
  for (let round = 0; round < SHORT_WAIT && value === undefined; round++) await null;
  return value;
}

/** The number of microtask rounds to wait before a timer is used: usually enough to read a complete body. */
const SHORT_WAIT = 8;

let turn: Promise<undefined> | undefined;

/** Resolves in the next turn of the event loop. */
function endOfTurn(): Promise<undefined> {
  return turn ??= new Promise((resolve) =>
    setTimeout(() => {
      turn = undefined;
      resolve(undefined);
    }, 0)
  );
}

/** Where a runtime keeps what the body of a `Response` was made from, as far as trials find it. */
interface Places {
  /** The property with the text of a response that was made from text and nothing else, until the body is used. */
  readonly text: symbol | undefined;
  /** The property with an object whose `body.source` is the text or the bytes; `null` for streams. */
  readonly state: symbol | undefined;
}

/** What is used of such an object. */
interface State {
  readonly body?: { readonly source?: unknown } | null;
}

let places: Places | undefined;

function stateOf(response: Response, key: symbol): State | undefined {
  const value = Reflect.get(response, key);
  return typeof value === "object" && value !== null ? value : undefined;
}

function findPlaces(): Places {
  const init = { status: 203, headers: [["x-trial", "yes"]] satisfies [string, string][] };
  const [plain, made, bytes] = [new Response("text"), new Response("text", init), new Response(new Uint8Array(1), init)];
  const streamed = new Response(new ReadableStream(), init);
  const state = Object.getOwnPropertySymbols(made).find((key) =>
    stateOf(made, key)?.body?.source === "text" && stateOf(bytes, key)?.body?.source instanceof Uint8Array &&
    stateOf(streamed, key)?.body?.source === null
  );
  const texts = Object.getOwnPropertySymbols(plain).filter((key) => Reflect.get(plain, key) === "text");
  const text = plain.body === null ? undefined : texts.find((key) => Reflect.get(plain, key) === null);
  return { text, state };
}

/**
 * Returns the body of a response that was made from text or bytes, without waiting. Deno and Node 22 keep it where it can be seen,
 * so that nothing has to be read from a stream. Returns `undefined` for all other bodies, and where it cannot be seen.
 */
function takeWholeBody(response: Response): string | Uint8Array | undefined {
  const { text, state } = places ??= findPlaces();
  if (text !== undefined) {
    const body = Reflect.get(response, text);
    if (typeof body === "string") return used(response, body);
  }
  if (state === undefined || response.bodyUsed) return undefined;
  const body = stateOf(response, state)?.body?.source;
  if (typeof body === "string") return used(response, body);
  return body instanceof Uint8Array ? used(response, new Uint8Array(body)) : undefined; // reading may transfer it
}

/** Marks the body of a response as used: it can be sent once. */
function used<Body extends string | Uint8Array>(response: Response, body: Body): Body {
  const reading: Promise<unknown> = typeof body === "string" ? response.text() : response.arrayBuffer();
  reading.catch(() => {}); // if the program has a reader of it
  return body;
}
