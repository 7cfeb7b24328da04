/**
 * Applications in the fetch style as handlers of a server.
 *
 * @module
 */

import { describe, notTransferred } from "../../values.ts";
import { joinBytes, sliceBytes } from "../../transport/bytes.ts";
import type { HttpRequest } from "./http_request.ts";
import { pathAndQuery } from "../../http/base_request.ts";
import type { Exchange } from "./exchange.ts";
import { exchangeOf, type WaitingResponse } from "./http_response.ts";

/** An application: a function from a web `Request` to a web `Response`, or an object with such a method `fetch`. */
export type FetchApplication = FetchFunction | { fetch: FetchFunction };

/** A function that returns the response to a web `Request`. */
export type FetchFunction = (request: Request) => Response | Promise<Response>;

/** Fields about the transfer of a response, which is up to the server. */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade"]);

/**
 * Makes a `request` handler from an application in the fetch style: Hono, h3, itty-router, or your own function. Bodies are
 * streams in both directions (those of requests with `http_stream_body`), no faster than the other side. When the client
 * disconnects, the request's `signal` aborts and the stream of the response is cancelled. WebSockets of the same server are not
 * affected.
 *
 * A complete body is sent with its length. A stream is sent in chunks, or with the `Content-Length` that the application sets,
 * which must be right.
 *
 * @param application The application. If it throws, the response is a 500 and the error goes to the `error` event.
 * @returns A handler, for both styles.
 * @throws {TypeError} If the argument is not an application.
 * @example
 * ```ts
 * import { fromFetch, WebSocketServer } from "@sluice/server";
 *
 * const server = new WebSocketServer("127.0.0.1", 0);
 * server.on("request", fromFetch((request) => Response.json({ path: new URL(request.url).pathname })));
 * server.on("message", (server, frame) => server.push(frame.fd, frame));
 * await server.start();
 * const answer = await fetch(`http://127.0.0.1:${server.port}/hello`);
 * console.assert((await answer.json()).path === "/hello");
 * server.shutdown();
 * ```
 */
export function fromFetch(application: FetchApplication): (request: HttpRequest, response: WaitingResponse) => Promise<void> {
  if (typeof application !== "function" && typeof application?.fetch !== "function") {
    throw new TypeError("Cannot mount the application: it is neither a function nor an object with a method fetch");
  }
  const answer: FetchFunction = typeof application === "function" ? application : (request) => application.fetch(request);
  return async (request, response) => {
    const exchange = exchangeOf(response);
    if (/^(?:connect|trace|track)$/i.test(request.getMethod())) {
      return refuse(exchange, 501, "applications of the fetch style have no such method");
    }
    let webRequest: Request;
    try {
      webRequest = exchange.webRequest = toRequest(request, exchange);
    } catch {
      return refuse(exchange, 400, "the Host field is none of a URL");
    }
    await sendResponse(await answer(webRequest), exchange);
  };
}

function refuse({ connection, context, head, writer }: Exchange, status: number, reason: string): void {
  context.onRefused(connection, "request", { status, reason }, head);
  writer.status(status);
  writer.end();
}

/** The number of bytes of a body that may be collected before it is sent as a stream. The last part read may exceed it. */
const LOOK_AHEAD = 64 * 1024;

/** The last `Host` with its origin: a client usually sends the same one again. */
const lastOrigin = { scheme: "", host: "", origin: "" };

function originOf(scheme: string, host: string): string {
  if (lastOrigin.host !== host || lastOrigin.scheme !== scheme) {
    lastOrigin.origin = new URL(`${scheme}://${host}`).origin;
    lastOrigin.host = host;
    lastOrigin.scheme = scheme;
  }
  return lastOrigin.origin;
}

/** Returns the URL of a request. A target in absolute-form is the URL, regardless of Host (RFC 9112 section 3.3). */
function urlOf({ head: { target, header }, scheme }: Exchange): string {
  if (!target.startsWith("/") && target !== "*") return target;
  const origin = originOf(scheme, header["host"] || "localhost");
  return origin + (target === "*" ? "/*" : pathAndQuery(target));
}

function toRequest(request: HttpRequest, exchange: Exchange): Request {
  const method = request.getMethod();
  // Passed to the constructor, because copies of the request (`clone()`, `new Request(request)`) ignore signals set later.
  const init: RequestInit & { duplex?: "half" } = { method, headers: request.header, signal: request.signal };
  if (method !== "GET" && method !== "HEAD") {
    if (!request.isCompleted()) {
      init.body = request.body;
      init.duplex = "half";
    } else if (exchange.upload !== undefined) {
      init.body = request.body;
      init.duplex = "half";
    } else if (request.rawContent().length > 0) {
      init.body = request.rawContent() as Uint8Array<ArrayBuffer>;
    }
  }
  return new Request(urlOf(exchange), init);
}

async function sendResponse(answer: Response, exchange: Exchange): Promise<void> {
  if (typeof answer?.headers !== "object") {
    throw new TypeError(`Cannot send the response: the application has to return a Response, not ${describe(answer)}`);
  }
  const { isHead, writer } = exchange;
  const { status, statusText, headers } = answer;
  if (!writer.isWritable) return await answer.body?.cancel(clientGone());
  writer.status(status, /^[\x20-\x7e]+$/.test(statusText) ? statusText : undefined);
  let length: string | undefined;
  let cookies: string[] | undefined;
  let hasType = false;
  for (const [name, value] of headers) {
    if (name === "set-cookie") (cookies ??= []).push(value);
    else if (name === "content-length") length = value;
    else if (!HOP_BY_HOP.has(name)) {
      writer.header(name, value);
      hasType ||= name === "content-type";
    }
  }
  if (cookies !== undefined) writer.header("Set-Cookie", cookies);
  if (!hasType) writer.header("Content-Type", ""); // none, instead of the default
  if (isHead && length !== undefined) writer.header("Content-Length", length);
  if (answer.body === null) return void writer.end();
  await sendBody(answer.body, exchange, length === undefined ? -1 : Number(length));
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
  if (first.done) return endBody(exchange, length, []);
  const parts = [first.value];
  let size = first.value.length;
  let reading = readOwn(reader);
  // A complete body is sent as a whole, with its length. Whether it is complete shows within this turn of the event loop: a
  // stream may take longer, and Bun delivers a complete body in two parts.
  for (let before = 0; before <= LOOK_AHEAD;) {
    const next = await inThisTurn(reading);
    if (exchange.isOver) return;
    if (next === undefined) break;
    if (next.done) return endBody(exchange, length, parts);
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
function endBody(exchange: Exchange, length: number, parts: readonly Uint8Array[]): void {
  const bytes = parts.length === 1 ? parts[0] : joinBytes(parts);
  // A response to HEAD may have a length without a body.
  if (length >= 0 && bytes.length !== length && !exchange.isHead) throw wrongLength(length);
  exchange.writer.endWith(bytes);
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
