/**
 * The next request of a client: its method, header fields and body as a program sets them, and the request composed of these.
 *
 * @module
 */

import { joinBytes } from "../transport/bytes.ts";
import { isFieldValue, isToken } from "../http/request_head.ts";
import { describe, describeUnsendable, notTransferred, shown, utf8Encoder } from "../values.ts";
import {
  type BodyPart,
  composeForm,
  lengthOf,
  listFields,
  makeBoundary,
  type RequestFields,
  textPart,
  type UploadFile,
} from "./outgoing_body.ts";
import type { AnswerHead } from "../http/response_parser.ts";
import { delayOf } from "../transport/deadlines.ts";
import { type BodySink, callbackSink, type Download, downloadSink, rangeFields } from "./body_sink.ts";
import type { ClientFailure } from "./client_failure.ts";
import type { ClientHandshake } from "./client_websocket.ts";
import type { OutgoingRequest } from "./client_session.ts";
import type { ResolvedClientSettings } from "./client_settings.ts";
import { acceptedCodings } from "./content_decoding.ts";
import { authorityOf, proxyAuthorization, type Target } from "./connecting.ts";

/** The data that `setData()` accepts: text, a number (sent as text), bytes, or the fields of a form. */
export type RequestData = string | number | Uint8Array | RequestFields;

/** Header fields that belong to the WebSocket handshake. */
const HANDSHAKE_FIELDS = new Set([
  "connection",
  "upgrade",
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-extensions",
  "sec-websocket-accept",
]);

/** A request, ready to be sent. */
export interface Composed {
  /** The method. */
  readonly method: string;
  /** The request line and header fields, including the empty line, as text for programs. */
  readonly head: string;
  /** The same head as bytes on the wire: cookies as the bytes in which they arrived, everything else in UTF-8. */
  readonly headBytes: Uint8Array;
  /** The body, in pieces. */
  readonly body: readonly BodyPart[];
}

/**
 * A request under construction. Header fields apply to all later requests. Method, body and files apply to one request; they stay
 * readable until something is set for the next one.
 */
export class RequestDraft {
  #headers: Record<string, string> = {};
  #method: string | undefined = undefined;
  #data: Exclude<RequestData, number> | undefined = undefined;
  #dataSize = 0; // length of the bytes when they were passed in
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

  /** The files to upload. */
  get files(): readonly UploadFile[] {
    return this.#files;
  }

  /** Starts the next request, unless it has already been started. */
  begin(): void {
    if (!this.#used) return;
    this.#used = false;
    this.#method = this.#data = undefined;
    this.#files = [];
  }

  /** Fixes this request, apart from files that are still being added. Returns the draft of the next one. */
  finish(): RequestDraft {
    this.begin();
    const next = new RequestDraft();
    next.#headers = this.#headers;
    next.#method = this.#method;
    next.#data = this.#data;
    next.#files = this.#files;
    next.#used = true;
    return next;
  }

  /** See `HttpClient.setMethod()`. */
  setMethod(method: string): void {
    if (typeof method !== "string" || !isToken(method)) {
      throw new TypeError(`Cannot set the method: ${shown(method)} is no method`);
    }
    this.begin();
    this.#method = method;
  }

  /** See `HttpClient.setHeaders()`. */
  setHeaders(headers: Readonly<Record<string, string | number>>): void {
    const fields: Record<string, string> = {};
    checkRecord(headers, "headers");
    for (const [name, value] of Object.entries(headers)) {
      if (typeof value !== "string" && typeof value !== "number") {
        throw new TypeError(`Cannot set the header ${name}: the value has to be a string or a number, not ${describe(value)}`);
      }
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
    const bytes = utf8Encoder.encode(`${username}:${password}`);
    this.#headers = { ...this.#headers, Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
  }

  /** See `HttpClient.setData()`; `undefined` means no body. */
  setData(data: RequestData | undefined): void {
    if (data === null || data === undefined) data = undefined;
    else if (typeof data === "number") data = String(data);
    else if (typeof data !== "string" && typeof data !== "object") {
      throw new TypeError(`Cannot send ${describeUnsendable(data, "or an object with the fields of a form")}`);
    } else if (data instanceof Uint8Array) notTransferred(data, "send");
    this.begin();
    this.#data = data;
    this.#dataSize = data instanceof Uint8Array ? data.length : 0;
  }

  /** Copies the bytes that the program passed in, so that the program may reuse its memory. */
  keepBytes(): void {
    if (this.#data instanceof Uint8Array && this.#data.length === this.#dataSize) this.#data = this.#data.slice();
    this.#files = this.#files.map((file) =>
      file.content?.length === file.size ? { ...file, content: file.content.slice() } : file
    );
  }

  /** Adds a file, which turns the body into a form. */
  addFile(file: UploadFile): void {
    for (const part of ["name", "filename", "type"] as const) {
      if (typeof file[part] !== "string") {
        throw new TypeError(`Cannot add a file: the ${part} has to be a string, not ${describe(file[part])}`);
      }
    }
    if (!isFieldValue(file.type)) {
      throw new TypeError(`Cannot add a file: its type has a character that is not allowed: ${JSON.stringify(file.type)}`);
    }
    this.begin();
    this.#files.push(file);
  }

  /** Sets a method for a request without a body. */
  setBodiless(method: string): void {
    this.#used = true;
    this.setMethod(method);
  }

  /** Returns the value of a header field set by the program. The name is in lower case. */
  header(name: string): string | undefined {
    return Object.entries(this.#headers).find(([other]) => other.toLowerCase() === name)?.[1];
  }

  /** Throws if the program has set a header field that belongs to the WebSocket handshake. */
  checkHandshake(): void {
    for (const name of Object.keys(this.#headers)) {
      if (HANDSHAKE_FIELDS.has(name.toLowerCase())) {
        throw new TypeError(`Cannot upgrade: the header ${name} is the handshake's own`);
      }
    }
  }

  /**
   * Composes the request.
   *
   * @param path The request target.
   * @param origin The prefix of the target in a request to a proxy (`http://` and the authority); otherwise empty.
   * @param authority The value of Host.
   * @param fields Additional fields as names and values. A field set by the program takes precedence.
   * @param cookies The value of Cookie, as Latin-1; empty for no cookies.
   */
  compose(
    path: string,
    origin: string,
    authority: string,
    fields: readonly (readonly [string, string])[],
    cookies: string,
  ): Composed {
    const { body, type } = this.#composeBody();
    const method = this.#method ?? (body === undefined ? "GET" : "POST");
    const lines = [`${method} ${origin}${path} HTTP/1.1`];
    const add = (name: string, value: string | undefined) => {
      if (value !== undefined && value !== "" && this.header(name.toLowerCase()) === undefined) lines.push(`${name}: ${value}`);
    };
    add("Host", authority);
    const isForm = this.#files.length > 0;
    for (const [name, value] of Object.entries(this.#headers)) {
      // The boundary of a form is chosen here, so a Content-Type of the program is dropped.
      if (!isForm || name.toLowerCase() !== "content-type") lines.push(`${name}: ${value}`);
    }
    for (const [name, value] of fields) add(name, value);
    const before = lines.length;
    add("Cookie", cookies);
    const hasCookies = lines.length > before;
    if (isForm) lines.push(`Content-Type: ${type}`);
    else add("Content-Type", type);
    if (body !== undefined || method === "POST" || method === "PUT") add("Content-Length", String(lengthOf(body ?? [])));
    const head = lines.join("\r\n") + "\r\n\r\n";
    const headBytes = hasCookies && /[\x80-\xff]/.test(cookies)
      ? joinBytes([
        utf8Encoder.encode(lines.slice(0, before).join("\r\n") + "\r\n"),
        Uint8Array.from(lines[before] + "\r\n", (letter) => letter.charCodeAt(0)),
        utf8Encoder.encode([...lines.slice(before + 1), "", ""].join("\r\n")),
      ])
      : utf8Encoder.encode(head);
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

/** Checks the path of a request. */
export function checkPath(path: unknown): void {
  if (typeof path === "string" && /^(?:\/[\x21-\x7e]*|\*)$/.test(path)) return;
  throw new TypeError(`Cannot request ${shown(path)}: a path begins with / and has no blanks or letters beyond ASCII`);
}

/** Checks that a value is a plain object of names and values. */
export function checkRecord(value: unknown, what: string): void {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  if (isRecord && typeof (value as Headers).entries !== "function") return;
  const hint = isRecord || Array.isArray(value) ? "; use Object.fromEntries()" : "";
  throw new TypeError(`Cannot set the ${what}: an object of names and values is needed, not ${describe(value)}${hint}`);
}

/** The default time limit of a response, in seconds. */
const READ_TIMEOUT = 60;

/** Everything that makes up a request. */
interface RequestPlan {
  /** The server. */
  readonly target: Target;
  /** Whether the request is addressed to an HTTP proxy, which forwards it. */
  readonly asksProxy: boolean;
  /** The path and query. */
  readonly path: string;
  /** The method, header fields and body. */
  readonly draft: RequestDraft;
  /** The value of Cookie. */
  readonly cookies: string;
  /** The settings. */
  readonly settings: ResolvedClientSettings;
  /** The WebSocket handshake, if the request is one. */
  readonly handshake: ClientHandshake | undefined;
  /** The file to which the body of the response is written. */
  readonly download: Omit<Download, "asked"> | undefined;
  /** Receives the head of a response whose body is consumed while it arrives. */
  onHead(head: AnswerHead): void;
  /** Receives the pieces of that body, unless they are written to a file; `undefined` if the program does not want them. */
  readonly onPiece: ((piece: Uint8Array) => unknown) | undefined;
}

/** A request, with its head as text for programs. */
interface ComposedRequest extends OutgoingRequest {
  /** The request line and header fields, including the empty line. */
  readonly head: string;
}

/** Composes a request. */
export function composeRequest(plan: RequestPlan): ComposedRequest {
  const { target, asksProxy, path, draft, cookies, settings, handshake, download } = plan;
  const asked = download !== undefined && draft.header("range") === undefined;
  const fields = [...handshake?.fields ?? [["Connection", settings.keep_alive ? "keep-alive" : "close"] as const]];
  if (asked) fields.push(...rangeFields(download.offset));
  if (settings.http_compression && !(asked && download.offset > 0)) fields.push(["Accept-Encoding", acceptedCodings()]);
  if (asksProxy) fields.push(["Proxy-Authorization", proxyAuthorization(settings)]);
  const authority = authorityOf(target);
  const composed = draft.compose(path, asksProxy ? `http://${authority}` : "", authority, fields, cookies);
  const seconds = settings.read_timeout === 0 ? READ_TIMEOUT : Math.max(settings.read_timeout, 0);
  return {
    ...composed,
    timeout: delayOf(seconds),
    maxBodySize: settings.package_max_length,
    upgrade: handshake,
    onHead: sinkOf(plan, asked),
  };
}

/** Returns the function that chooses the sink of a response; `undefined` if its body is to be collected. */
function sinkOf(plan: RequestPlan, asked: boolean): ((head: AnswerHead) => BodySink | ClientFailure | undefined) | undefined {
  const { handshake, download, onPiece, settings: { body_decompression: decompress } } = plan;
  if (handshake !== undefined || (download === undefined && onPiece === undefined)) return undefined;
  return (head) => {
    plan.onHead(head);
    if (download !== undefined) return downloadSink(head, { ...download, asked }, decompress);
    return callbackSink(head, onPiece!, decompress);
  };
}
