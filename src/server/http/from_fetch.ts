/**
 * Applications of the fetch style as handlers of a server.
 *
 * @module
 */

import { joinBytes, sliceBytes } from "../../bytes.ts";
import type { HttpRequest } from "./http_request.ts";
import { exchangeOf, type WaitingResponse } from "./http_response.ts";

/** An application: a web `Request` in, a web `Response` out; or an object with such a method `fetch`. */
export type FetchApplication = FetchFunction | { fetch: FetchFunction };

/** What answers a web `Request`. */
export type FetchFunction = (request: Request) => Response | Promise<Response>;

/** Fields that say how a response travels, which the server decides. */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade"]);

/**
 * Makes a `request` handler of a fetch-style application: Hono, h3, itty-router, or a function of one's own. Bodies are streams
 * in both directions (those of requests with `http_stream_body`), no faster than the other side; when the client has gone, the
 * request's `signal` aborts, and the stream of the response is cancelled. WebSockets of the same server are not concerned.
 *
 * A body that is there as a whole goes out with its length; one that is a stream goes out in chunks, or with the `Content-Length`
 * that the application sets, which has to be right.
 *
 * @param application Answers a `Request`. What it throws is a 500 and goes to the `error` event.
 * @returns A handler, for both styles.
 * @throws {TypeError} If it is no application.
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
    if (/^(?:connect|trace|track)$/i.test(request.getMethod())) return refuse(response, 501);
    let webRequest: Request;
    try {
      webRequest = exchangeOf(response).webRequest = toRequest(request, response);
    } catch {
      return refuse(response, 400); // a Host that is none of a URL
    }
    await sendResponse(await answer(webRequest), response);
  };
}

function refuse(response: WaitingResponse, status: number): void {
  response.status(status);
  response.end();
}

/** So much of a body may be there before it is looked whether the next part is the last one. */
const LOOK_AHEAD = 64 * 1024;

/** The last `Host` that was seen, and the origin that it stands for: a client sends the same one all the time. */
const lastOrigin = { scheme: "", host: "", origin: "" };

function originOf(scheme: string, host: string): string {
  if (lastOrigin.host !== host || lastOrigin.scheme !== scheme) {
    lastOrigin.origin = new URL(`${scheme}://${host}`).origin;
    lastOrigin.host = host;
    lastOrigin.scheme = scheme;
  }
  return lastOrigin.origin;
}

/** RFC 9112 section 3.3: a target in absolute-form is the URL, whatever Host says. */
function urlOf(request: HttpRequest, response: WaitingResponse): string {
  const { target, header } = exchangeOf(response).head;
  if (!target.startsWith("/") && target !== "*") return target;
  const origin = originOf(exchangeOf(response).scheme, header["host"] || "localhost");
  return origin + (target === "*" ? "/*" : request.pathAndQuery);
}

function toRequest(request: HttpRequest, response: WaitingResponse): Request {
  const method = request.getMethod();
  // Given to the constructor, because copies of the request (`clone()`, `new Request(request)`) know of no other.
  const init: RequestInit & { duplex?: "half" } = { method, headers: request.header, signal: request.signal };
  if (method !== "GET" && method !== "HEAD") {
    if (!request.isCompleted()) {
      init.body = request.body;
      init.duplex = "half";
    } else if (request.rawContent().length > 0 || request.hasUpload) {
      init.body = request.hasUpload ? request.body : request.rawContent() as Uint8Array<ArrayBuffer>;
      if (request.hasUpload) init.duplex = "half";
    }
  }
  return new Request(urlOf(request, response), init);
}

async function sendResponse(answer: Response, response: WaitingResponse): Promise<void> {
  const { status, statusText, headers } = answer;
  if (!response.isWritable()) return await answer.body?.cancel(clientGone());
  response.status(status, /^[\x20-\x7e]+$/.test(statusText) ? statusText : undefined);
  let length: string | undefined;
  let cookies: string[] | undefined;
  let hasType = false;
  for (const [name, value] of headers) {
    if (name === "set-cookie") (cookies ??= []).push(value);
    else if (name === "content-length") length = value;
    else if (!HOP_BY_HOP.has(name)) {
      response.header(name, value);
      hasType ||= name === "content-type";
    }
  }
  if (cookies !== undefined) response.header("Set-Cookie", cookies);
  if (!hasType) response.header("Content-Type", ""); // none, instead of the built-in one
  const { isHead } = exchangeOf(response);
  if (isHead && length !== undefined) response.header("Content-Length", length);
  if (answer.body === null) return void response.end();
  await sendBody(answer.body, response, length === undefined ? -1 : Number(length));
}

/** Sends a body, and cancels it as soon as nobody waits for it any more. */
async function sendBody(body: ReadableStream<Uint8Array>, response: WaitingResponse, length: number): Promise<void> {
  // The reader keeps its lock: nobody else reads this body, and to give it back takes longer than a short body does.
  const reader = body.getReader();
  let cancelled: Promise<void> | undefined;
  const forget = exchangeOf(response).onGone((reason) => cancelled = reader.cancel(reason));
  try {
    await copyBody(reader, response, length);
  } catch (error) {
    cancelled ??= reader.cancel(error);
    await cancelled.catch(() => {}); // it has failed before
    throw error;
  } finally {
    forget();
  }
  await cancelled;
}

async function copyBody(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  response: WaitingResponse,
  length: number,
): Promise<void> {
  const exchange = exchangeOf(response);
  const first = await readOwn(reader);
  if (exchange.isOver) return;
  if (first.done) return endBody(response, length, []);
  const parts = [first.value];
  let size = first.value.length;
  let reading = readOwn(reader);
  // A body that is whole goes out whole, with its length. Whether it is shows in this turn of the event loop: a stream may wait,
  // and Bun gives a whole one in two parts.
  for (let before = 0; before <= LOOK_AHEAD;) {
    const next = await inThisTurn(reading);
    if (exchange.isOver) return;
    if (next === undefined) break;
    if (next.done) return endBody(response, length, parts);
    parts.push(next.value);
    before = size;
    size += next.value.length;
    reading = readOwn(reader);
  }
  if (exchange.isHead) {
    response.end();
    return await reader.cancel();
  }
  if (length >= 0 && size > length) throw wrongLength(length);
  if (length >= 0) response.beginBody(length);
  for (const part of parts) if (!await sendPart(reader, response, part)) return;
  for (let part = await reading; !part.done; part = await reading) {
    if (exchange.isOver) return;
    if (length >= 0 && part.value.length > response.missing) throw wrongLength(length);
    reading = readOwn(reader); // while this part is on its way
    reading.catch(() => {}); // it is looked at when its turn comes
    if (!await sendPart(reader, response, part.value)) return;
  }
  if (length >= 0 && response.missing > 0) throw wrongLength(length);
  response.end();
}

/** Reads a part. It is copied, since whoever made it may change or transfer it before it has been sent. */
async function readOwn(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<ReadableStreamReadResult<Uint8Array>> {
  const result = await reader.read();
  if (result.done || !(result.value instanceof Uint8Array)) return result;
  return { done: false, value: sliceBytes(result.value, 0, result.value.length) };
}

/** Sends a part of a stream, and waits until the client has taken it. Returns `false` when nothing more is to be sent. */
async function sendPart(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  response: WaitingResponse,
  part: Uint8Array,
): Promise<boolean> {
  if (response.writePart(part, "ours")) return await response.drained();
  response.end(); // the body had to be collected, and is too large for that
  await reader.cancel();
  return false;
}

/** Ends a response whose body is there as a whole. */
function endBody(response: WaitingResponse, length: number, parts: readonly Uint8Array[]): void {
  const bytes = parts.length === 1 ? parts[0] : joinBytes(parts);
  // A program may tell HEAD the length without making the body.
  if (length >= 0 && bytes.length !== length && !exchangeOf(response).isHead) throw wrongLength(length);
  response.endWith(bytes);
}

function wrongLength(length: number): TypeError {
  return new TypeError(`Cannot send the response: its body does not have the ${length} bytes that its Content-Length promises`);
}

function clientGone(): DOMException {
  return new DOMException("The client has gone", "AbortError");
}

/** What a promise comes to by the end of this turn of the event loop; `undefined` if nothing, or if it is rejected. */
async function inThisTurn<Value>(promise: Promise<Value>): Promise<Value | undefined> {
  let value: Value | undefined;
  const settled = promise.then((it) => value = it, () => undefined);
  for (let round = 0; round < SHORT_WAIT && value === undefined; round++) await null;
  return value ?? await Promise.race([settled, endOfTurn()]);
}

/** A body that is whole is read in so many rounds of microtasks as a rule: then nothing has to be asked of a timer. */
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
