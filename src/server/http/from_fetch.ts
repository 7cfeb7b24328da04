/**
 * Applications in the fetch style as handlers of a server.
 *
 * @module
 */

import { pathAndQuery } from "../../http/base_request.ts";
import { SETTLED } from "../running_handlers.ts";
import type { Exchange } from "./exchange.ts";
import type { HttpRequest } from "./http_request.ts";
import { exchangeOf, type WaitingResponse } from "./http_response.ts";
import { makeWebRequest, WebRequestParts } from "./web_request.ts";
import { sendResponse } from "./web_response.ts";

/** An application: a function from a web `Request` to a web `Response`, or an object with such a method `fetch`. */
export type FetchApplication = FetchFunction | { fetch: FetchFunction };

/** A function that returns the response to a web `Request`. */
export type FetchFunction = (request: Request) => Response | Promise<Response>;

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
  // Not an async function: most responses are sent within the call, and then there is no promise to wait for.
  return (request, response) => {
    const exchange = exchangeOf(response);
    const webRequest = toRequest(request, exchange);
    if (webRequest === undefined) return SETTLED;
    const answered = answer(webRequest);
    if (answered instanceof Response) return sendResponse(answered, exchange) ?? SETTLED;
    return Promise.resolve(answered).then((it) => sendResponse(it, exchange));
  };
}

function refuse({ connection, context, head, writer }: Exchange, status: number, reason: string): undefined {
  context.onRefused(connection, "request", { status, reason }, head);
  writer.status(status);
  writer.end();
}

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

/** Finds what a URL would not have as it is: characters to escape, segments of dots, an empty query. */
const UNTIDY = /[^\w.~!$&()*+,;=:@%/?-]|\/\.|%2e|\?$/i;

/** Returns the URL of a request. A target in absolute-form is the URL, regardless of Host (RFC 9112 section 3.3). */
function urlOf(request: HttpRequest, { head: { target }, scheme }: Exchange): string {
  if (!target.startsWith("/") && target !== "*") return new Request(target).url;
  const origin = originOf(scheme, request.host || "localhost");
  if (target !== "*" && !UNTIDY.test(target)) return origin + target;
  return new Request(origin + (target === "*" ? "/*" : pathAndQuery(target))).url;
}

/** The methods as `Request` writes them. Others may be written in another way, or are not allowed. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]);

/** Returns the web request, or `undefined` if there is none for this request, which is refused then. */
function toRequest(request: HttpRequest, exchange: Exchange): Request | undefined {
  const { header } = exchange.head;
  let { method } = exchange.head;
  const isUsual = METHODS.has(method);
  if (!isUsual && /^(?:connect|trace|track)$/i.test(method)) {
    return refuse(exchange, 501, "applications of the fetch style have no such method");
  }
  try {
    const url = urlOf(request, exchange);
    if (!isUsual) method = new Request(url, { method }).method;
    const parts = new WebRequestParts(request, header, url, method, exchange.upload !== undefined);
    const webRequest = makeWebRequest(parts);
    exchange.webRequest = parts;
    return webRequest;
  } catch {
    return refuse(exchange, 400, "the Host field is none of a URL");
  }
}
