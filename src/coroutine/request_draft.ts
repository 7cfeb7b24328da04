/**
 * What a client is going to send: method, header fields and body of its next request.
 *
 * @module
 */

import { cookieHeader } from "../http/cookies.ts";
import { isFieldValue, isToken } from "../http/head.ts";

const encoder = new TextEncoder();
const NO_BODY = new Uint8Array(0);

/** What `setData()` takes: text, octets, or the fields of a form. */
export type RequestData = string | Uint8Array | Readonly<Record<string, string>>;

/** Header fields that follow from the rest of the request. */
const OWN_FIELDS = new Set(["content-length", "transfer-encoding"]);

/** Those that belong to the handshake of a WebSocket. */
const HANDSHAKE_FIELDS = new Set([
  "connection",
  "upgrade",
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-extensions",
  "sec-websocket-accept",
]);

/** A request as it is sent. */
export interface Composed {
  /** The method. */
  readonly method: string;
  /** Request line and header fields, with the empty line. */
  readonly head: string;
  /** The body. */
  readonly body: Uint8Array;
}

/** A request in the making. Header fields stay for the requests that follow, method and body do not. */
export class RequestDraft {
  #headers: Record<string, string> = {};
  #method: string | undefined = undefined;
  #body: Uint8Array | undefined = undefined;
  #bodyType: string | undefined = undefined;

  /** See `HttpClient.setMethod()`. */
  setMethod(method: string): void {
    if (!isToken(method)) throw new TypeError(`Cannot set the method: ${JSON.stringify(method)} is no method`);
    this.#method = method;
  }

  /** See `HttpClient.setHeaders()`. */
  setHeaders(headers: Readonly<Record<string, string | number>>): void {
    const fields: Record<string, string> = {};
    for (const [name, value] of Object.entries(headers)) {
      if (!isToken(name)) throw new TypeError(`Cannot set a header: ${JSON.stringify(name)} is not a header name`);
      if (!isFieldValue(String(value))) {
        throw new TypeError(`Cannot set the header ${name}: the value has a character that is not allowed`);
      }
      if (OWN_FIELDS.has(name.toLowerCase())) throw new TypeError(`Cannot set the header ${name}: it follows from the body`);
      fields[name] = String(value);
    }
    this.#headers = fields;
  }

  /** See `HttpClient.setBasicAuth()`. */
  setBasicAuth(username: string, password: string): void {
    const octets = encoder.encode(`${username}:${password}`);
    this.#headers = { ...this.#headers, Authorization: `Basic ${btoa(String.fromCharCode(...octets))}` };
  }

  /** See `HttpClient.setData()`; `undefined` for no body. */
  setData(data: RequestData | undefined): void {
    this.#bodyType = undefined;
    if (data === undefined || data instanceof Uint8Array) {
      this.#body = data;
    } else if (typeof data === "string") {
      this.#body = encoder.encode(data);
    } else {
      this.#body = encoder.encode(new URLSearchParams(data).toString());
      this.#bodyType = "application/x-www-form-urlencoded";
    }
  }

  /** The value of a header field that the program has set; the name in lower case. */
  header(name: string): string | undefined {
    return Object.entries(this.#headers).find(([other]) => other.toLowerCase() === name)?.[1];
  }

  /** Makes sure that the program has set nothing that belongs to the handshake of a WebSocket. */
  checkHandshake(): void {
    for (const name of Object.keys(this.#headers)) {
      if (HANDSHAKE_FIELDS.has(name.toLowerCase())) {
        throw new TypeError(`Cannot upgrade: the header ${name} is the handshake's own`);
      }
    }
  }

  /**
   * Makes the request. Method and body are used up.
   *
   * @param path The request target.
   * @param authority The value of Host.
   * @param fields Further fields, each with its name; one that the program has set wins.
   * @param cookies The cookies.
   * @throws {TypeError} If the path cannot be sent.
   */
  compose(
    path: string,
    authority: string,
    fields: readonly (readonly [string, string])[],
    cookies: Record<string, string>,
  ): Composed {
    if (typeof path !== "string" || !/^(?:\/[\x21-\x7e]*|\*)$/.test(path)) {
      throw new TypeError(
        `Cannot request ${JSON.stringify(path)}: a path begins with / and has no blanks or letters beyond ASCII`,
      );
    }
    const method = this.#method ?? (this.#body === undefined ? "GET" : "POST");
    const lines = [`${method} ${path} HTTP/1.1`];
    const add = (name: string, value: string | undefined) => {
      if (value !== undefined && value !== "" && this.header(name.toLowerCase()) === undefined) lines.push(`${name}: ${value}`);
    };
    add("Host", authority);
    for (const [name, value] of Object.entries(this.#headers)) lines.push(`${name}: ${value}`);
    for (const [name, value] of fields) add(name, value);
    add("Cookie", cookieHeader(cookies));
    const body = this.#body;
    add("Content-Type", this.#bodyType);
    if (body !== undefined || method === "POST" || method === "PUT") add("Content-Length", String(body?.length ?? 0));
    this.#method = undefined;
    this.setData(undefined);
    return { method, head: lines.join("\r\n") + "\r\n\r\n", body: body ?? NO_BODY };
  }
}
