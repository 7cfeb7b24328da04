/**
 * Applications of the fetch style as handlers of a server.
 *
 * @module
 */

import type { HttpRequest } from "./http_request.ts";
import { sessionOf, type WaitingResponse } from "./http_response.ts";

/** An application: a web `Request` in, a web `Response` out; or an object with such a method `fetch`. */
export type FetchApplication = FetchFunction | { fetch: FetchFunction };

/** What answers a web `Request`. */
export type FetchFunction = (request: Request) => Response | Promise<Response>;

/** Fields that say how an answer travels, which the server decides. */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "content-length", "set-cookie", "upgrade"]);

/**
 * Makes a `request` handler of a fetch-style application: Hono, h3, itty-router, or a function of one's own. Bodies are streams
 * in both directions (those of requests with `http_stream_body`), no faster than the other side; the request's `signal` aborts
 * when the client ends its side of the connection or is gone. WebSockets of the same server are not concerned.
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
      webRequest = toRequest(request, response);
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

/** A `Request` whose signal is made when it is asked for: it would take longer than all the rest. */
class ServedRequest extends Request {
  readonly #response: WaitingResponse;
  #signal: AbortSignal | undefined = undefined;

  constructor(url: string, init: RequestInit, response: WaitingResponse) {
    super(url, init);
    this.#response = response;
  }

  override get signal(): AbortSignal {
    if (this.#signal !== undefined) return this.#signal;
    const controller = new AbortController();
    sessionOf(this.#response).onGone(this.#response, () => {
      controller.abort(new DOMException("The client has gone", "AbortError"));
    });
    return this.#signal = controller.signal;
  }
}

function toRequest(request: HttpRequest, response: WaitingResponse): Request {
  const { header } = request;
  const url = new URL(`${sessionOf(response).scheme}://${header["host"] ?? "localhost"}`);
  const path = request.pathAndQuery;
  const method = request.getMethod();
  const init: RequestInit & { duplex?: "half" } = { method, headers: header };
  if (method !== "GET" && method !== "HEAD") {
    if (!request.isCompleted()) {
      init.body = request.body;
      init.duplex = "half";
    } else if (request.rawContent().length > 0 || request.hasUpload) {
      init.body = request.hasUpload ? request.body : request.rawContent() as Uint8Array<ArrayBuffer>;
      if (request.hasUpload) init.duplex = "half";
    }
  }
  return new ServedRequest(url.origin + (path === "*" ? "/*" : path), init, response);
}

async function sendResponse(answer: Response, response: WaitingResponse): Promise<void> {
  const { status, statusText, headers } = answer;
  response.status(status, /^[\x20-\x7e]+$/.test(statusText) ? statusText : undefined);
  for (const [name, value] of headers) if (!HOP_BY_HOP.has(name)) response.header(name, value);
  const cookies = headers.getSetCookie();
  if (cookies.length > 0) response.header("Set-Cookie", cookies);
  if (!headers.has("content-type")) response.header("Content-Type", ""); // none, instead of the built-in one
  const length = headers.get("content-length");
  if (sessionOf(response).isHead || answer.body === null) {
    await answer.body?.cancel();
    if (sessionOf(response).isHead && length !== null) response.header("Content-Length", length);
    response.end();
    return;
  }
  await sendBody(answer.body.getReader(), response);
}

/** The reader keeps its lock: nobody else reads this body, and to give it back takes longer than a short body does. */
async function sendBody(reader: ReadableStreamDefaultReader<Uint8Array>, response: WaitingResponse): Promise<void> {
  const first = await reader.read();
  if (first.done) return void response.end();
  // A body that is whole goes out whole, with its length; a stream begins when its first part is there.
  let next: ReadableStreamReadResult<Uint8Array> | undefined;
  const reading = reader.read().then((result) => next = result);
  reading.catch(() => {});
  for (let i = 0; i < 16 && next === undefined; i++) await null;
  if (next?.done) return void response.end(first.value);
  response.writePart(first.value);
  for (let part = await reading; !part.done; part = await reader.read()) {
    if (!await response.drained()) return await reader.cancel(new DOMException("The client has gone", "AbortError"));
    response.writePart(part.value);
  }
  response.end();
}
