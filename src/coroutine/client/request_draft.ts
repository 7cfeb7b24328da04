/**
 * What a client is going to send: method, header fields and body of its next request.
 *
 * @module
 */

import { joinBytes } from "../../bytes.ts";
import { isFieldValue, isToken } from "../../http/head.ts";
import { listFields, type RequestFields } from "./request_fields.ts";
import { type BodyPart, composeForm, lengthOf, makeBoundary, textPart, type UploadFile } from "./multipart.ts";

const encoder = new TextEncoder();

/** What `setData()` takes: text, bytes, or the fields of a form. */
export type RequestData = string | Uint8Array | RequestFields;

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
  /** Request line and header fields, with the empty line, for people. */
  readonly head: string;
  /** The same as it is sent: cookies as the bytes that they came as, everything else in UTF-8. */
  readonly headBytes: Uint8Array;
  /** The body, in pieces. */
  readonly body: readonly BodyPart[];
}

/**
 * A request in the making. Header fields stay for the requests that follow. Method, body and files are for one request: they can
 * be looked at until something is set for the next one.
 */
export class RequestDraft {
  #headers: Record<string, string> = {};
  #method: string | undefined = undefined;
  #data: RequestData | undefined = undefined;
  #dataSize = 0; // of bytes, when they were given
  #files: UploadFile[] = [];
  #used = false;

  /** The method, if it was set. */
  get method(): string | undefined {
    return this.#method;
  }

  /** The header fields that were set. */
  get headers(): Readonly<Record<string, string>> {
    return this.#headers;
  }

  /** The body, if it was set. */
  get data(): RequestData | undefined {
    return this.#data;
  }

  /** The files. */
  get files(): readonly UploadFile[] {
    return this.#files;
  }

  /** Begins the next request, unless that has happened. */
  #begin(): void {
    if (!this.#used) return;
    this.#used = false;
    this.#method = this.#data = undefined;
    this.#files = [];
  }

  /** See `HttpClient.setMethod()`. */
  setMethod(method: string): void {
    if (!isToken(method)) throw new TypeError(`Cannot set the method: ${JSON.stringify(method)} is no method`);
    this.#begin();
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
      if (name.toLowerCase() === "transfer-encoding") {
        throw new TypeError(`Cannot set the header ${name}: it follows from the body`);
      }
      if (name.toLowerCase() !== "content-length") fields[name] = String(value);
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
    this.#begin();
    this.#data = data;
    this.#dataSize = data instanceof Uint8Array ? data.length : 0;
  }

  /** Copies the bytes that the program has given: from now on it may do with them what it likes. */
  keepBytes(): void {
    if (this.#data instanceof Uint8Array && this.#data.length === this.#dataSize) this.#data = this.#data.slice();
    this.#files = this.#files.map((file) =>
      file.content?.length === file.size ? { ...file, content: file.content.slice() } : file
    );
  }

  /** Adds a file, which makes the body a form. */
  addFile(file: UploadFile): void {
    if (!isFieldValue(file.type)) {
      throw new TypeError(`Cannot add a file: its type has a character that is not allowed: ${JSON.stringify(file.type)}`);
    }
    this.#begin();
    this.#files.push(file);
  }

  /** Asks for something without a body. */
  setBodiless(method: string): void {
    this.#used = true;
    this.setMethod(method);
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
   * Makes the request. Method, body and files are used up.
   *
   * @param path The request target.
   * @param origin What stands before it when a proxy is asked; otherwise nothing.
   * @param authority The value of Host.
   * @param fields Further fields, each with its name; one that the program has set wins.
   * @param cookies The value of Cookie, as Latin-1; empty for none.
   * @throws {TypeError} If the path cannot be sent.
   */
  compose(
    path: string,
    origin: string,
    authority: string,
    fields: readonly (readonly [string, string])[],
    cookies: string,
  ): Composed {
    if (typeof path !== "string" || !/^(?:\/[\x21-\x7e]*|\*)$/.test(path)) {
      throw new TypeError(
        `Cannot request ${JSON.stringify(path)}: a path begins with / and has no blanks or letters beyond ASCII`,
      );
    }
    this.#begin();
    const { body, type } = this.#composeBody();
    const method = this.#method ?? (body === undefined ? "GET" : "POST");
    const lines = [`${method} ${origin}${path} HTTP/1.1`];
    const add = (name: string, value: string | undefined) => {
      if (value !== undefined && value !== "" && this.header(name.toLowerCase()) === undefined) lines.push(`${name}: ${value}`);
    };
    add("Host", authority);
    const isForm = this.#files.length > 0;
    for (const [name, value] of Object.entries(this.#headers)) {
      // A form has a boundary, which the program cannot know.
      if (!isForm || name.toLowerCase() !== "content-type") lines.push(`${name}: ${value}`);
    }
    for (const [name, value] of fields) add(name, value);
    const before = lines.length;
    add("Cookie", cookies);
    const hasCookies = lines.length > before;
    if (isForm) lines.push(`Content-Type: ${type}`);
    else add("Content-Type", type);
    if (body !== undefined || method === "POST" || method === "PUT") add("Content-Length", String(lengthOf(body ?? [])));
    this.#used = true;
    const head = lines.join("\r\n") + "\r\n\r\n";
    const headBytes = hasCookies && /[\x80-\xff]/.test(cookies)
      ? joinBytes([
        encoder.encode(lines.slice(0, before).join("\r\n") + "\r\n"),
        Uint8Array.from(lines[before] + "\r\n", (letter) => letter.charCodeAt(0)),
        encoder.encode([...lines.slice(before + 1), "", ""].join("\r\n")),
      ])
      : encoder.encode(head);
    return { method, head, headBytes, body: body ?? [] };
  }

  #composeBody(): { body?: BodyPart[]; type?: string } {
    const data = this.#data;
    if (this.#files.length > 0) {
      if (typeof data === "string" || data instanceof Uint8Array) {
        throw new TypeError("Cannot send files: setData() was given no fields of a form, but a whole body");
      }
      const boundary = makeBoundary();
      return {
        body: composeForm(listFields(data ?? {}), this.#files, boundary),
        type: `multipart/form-data; boundary=${boundary}`,
      };
    }
    if (data === undefined) return {};
    if (data instanceof Uint8Array) return { body: [{ bytes: data, size: this.#dataSize, isOwn: false }] };
    if (typeof data === "string") return { body: [textPart(data)] };
    const form = new URLSearchParams(listFields(data) as string[][]).toString();
    return { body: [textPart(form)], type: "application/x-www-form-urlencoded" };
  }
}
