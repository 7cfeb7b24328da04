/**
 * Sends the responses of applications in the fetch style.
 *
 * @module
 */

import { describe, notTransferred } from "../../values.ts";
import { utf8Encoder } from "../../text.ts";
import { joinBytes, sliceBytes } from "../../transport/bytes.ts";
import type { Exchange } from "./exchange.ts";

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
  if (typeof answer?.headers !== "object") {
    throw new TypeError(`Cannot send the response: the application has to return a Response, not ${describe(answer)}`);
  }
  const { writer } = exchange;
  if (!writer.isWritable) return answer.body?.cancel(clientGone());
  const length = setHead(answer, exchange);
  const text = wholeText(answer);
  if (text !== undefined) return endBody(exchange, length, text);
  const { body } = answer;
  if (body === null) return void writer.end();
  return sendBody(body, exchange, length);
}

/** Sets status and fields. Returns the `Content-Length` that the application has set, or -1. */
function setHead({ status, statusText, headers }: Response, { isHead, writer }: Exchange): number {
  writer.status(status, /^[\x20-\x7e]+$/.test(statusText) ? statusText : undefined);
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

/** Sends a body, and cancels it as soon as the client disconnects. */
async function sendBody(body: ReadableStream<Uint8Array>, exchange: Exchange, length: number): Promise<void> {
  // The reader keeps its lock: nothing else reads this body, and releasing the lock takes longer than a short body.
  const reader = body.getReader();
  let cancelled: Promise<void> | undefined;
  const forget = exchange.onGone((reason) => cancelled = reader.cancel(reason));
  try {
    await copyBody(reader, exchange, length);
  } catch (error) {
    cancelled ??= reader.cancel(error);
    await cancelled.catch(() => {}); // it may have failed already
    throw error;
  } finally {
    forget();
  }
  await cancelled;
}

async function copyBody(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  exchange: Exchange,
  length: number,
): Promise<void> {
  const { writer } = exchange;
  const first = await readOwn(reader);
  if (exchange.isOver) return;
  if (first.done) return endBody(exchange, length, "");
  const parts = [first.value];
  let size = first.value.length;
  let reading = readOwn(reader);
  // A complete body is sent as a whole, with its length. Whether it is complete shows within this turn of the event loop: a
  // stream may take longer, and Bun delivers a complete body in two parts.
  for (let before = 0; before <= LOOK_AHEAD;) {
    const next = await inThisTurn(reading);
    if (exchange.isOver) return;
    if (next === undefined) break;
    if (next.done) return endBody(exchange, length, parts.length === 1 ? parts[0] : joinBytes(parts));
    parts.push(next.value);
    before = size;
    size += next.value.length;
    reading = readOwn(reader);
  }
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
    reading.catch(() => {}); // handled when it is awaited
    if (!await sendPart(reader, exchange, part.value)) return;
  }
  if (length >= 0 && writer.missing > 0) throw wrongLength(length);
  writer.end();
}

/** Reads a part and copies it, because its producer may change or transfer it before it has been sent. */
async function readOwn(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<ReadableStreamReadResult<Uint8Array>> {
  const result = await reader.read();
  if (result.done || !(result.value instanceof Uint8Array)) return result;
  return { done: false, value: sliceBytes(notTransferred(result.value, "send"), 0, result.value.length) };
}

/** Sends a part of a stream, and waits until the client has taken it. Returns `false` if nothing more is to be sent. */
async function sendPart(
  reader: ReadableStreamDefaultReader<Uint8Array>,
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
  // A response to HEAD may have a length without a body.
  if (length >= 0 && !exchange.isHead) {
    if (typeof body === "string") body = utf8Encoder.encode(body);
    if (body.length !== length) throw wrongLength(length);
  }
  exchange.writer.endWith(body);
}

/** The property in which the runtime keeps the text of a `Response` until somebody reads it, if it has one. */
const TEXT: symbol | undefined = (() => {
  const sample = new Response("text");
  const keys = Object.getOwnPropertySymbols(sample).filter((key) => Reflect.get(sample, key) === "text");
  return sample.body === null ? undefined : keys.find((key) => Reflect.get(sample, key) !== "text");
})();

/** Returns the body of a response, which is then read, if it was made of text and the runtime tells it at once (Deno). */
function wholeText(answer: Response): string | undefined {
  if (TEXT === undefined) return undefined;
  const text = Reflect.get(answer, TEXT);
  if (typeof text !== "string") return undefined;
  answer.text(); // as the body of a response is read once only
  return text;
}

function wrongLength(length: number): TypeError {
  return new TypeError(`Cannot send the response: its body does not have the ${length} bytes that its Content-Length promises`);
}

function clientGone(): DOMException {
  return new DOMException("The client has gone", "AbortError");
}

/** Returns the result of a promise if it resolves by the end of this turn of the event loop, otherwise `undefined`. */
async function inThisTurn<Value>(promise: Promise<Value>): Promise<Value | undefined> {
  let value: Value | undefined;
  const settled = promise.then((it) => value = it, () => undefined);
  for (let round = 0; round < SHORT_WAIT && value === undefined; round++) await null;
  return value ?? await Promise.race([settled, endOfTurn()]);
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
