/**
 * Parses requests (RFC 9112): those of a connection, and bytes that a program passes to `HttpRequest.parse()`. The rules for heads
 * are in `request_head.ts`.
 *
 * @module
 */

import { hasToken } from "./field_values.ts";
import { type FormFields, mediaType } from "./form.ts";
import { HttpFailure, isRemembered, parseHead, type RequestHead } from "./request_head.ts";
import { type MessageLimits, MessageParser } from "./message_parser.ts";
import type { RequestSource } from "./base_request.ts";
import { latin1 } from "../transport/current_runtime.ts";

/** Reports whether a request is for a WebSocket: `Upgrade` contains `websocket`, in any letter case (RFC 9110 section 7.8). */
export function isUpgrade(request: { readonly header: Readonly<Record<string, string | undefined>> }): boolean {
  const upgrade = request.header["upgrade"];
  return upgrade !== undefined && hasToken(upgrade, "websocket");
}

/** Limits for requests. Sizes in bytes. */
export interface RequestLimits extends MessageLimits {
  /** The largest body of a form with files (`multipart/form-data`); `maxBodySize` unless set. */
  readonly maxFormSize?: number | undefined;
  /** The largest body of a handshake; `maxBodySize` unless set. */
  readonly maxHandshakeSize?: number | undefined;
}

/** Reports whether the body is a form with files. */
export function isMultipart(head: RequestHead): boolean {
  return mediaType(head.header["content-type"]) === "multipart/form-data";
}

/** Reports whether the client waits for 100 before it sends the body (RFC 9110 section 10.1.1). */
export function expectsContinue({ version, header }: RequestHead): boolean {
  return version === "1.1" && header["expect"] !== undefined && hasToken(header["expect"], "100-continue");
}

/** A parser for the requests on one connection. */
export class RequestParser extends MessageParser<RequestHead, RequestLimits> {
  #last: RequestHead | undefined = undefined;

  /** Clients that send the same request again and again are common; what was found of it holds for the next one. */
  protected override repeatHead(chunk: Uint8Array, at: number): number {
    const last = this.#last;
    if (last === undefined) return -1;
    const end = at + last.text.length;
    if (end + 2 > chunk.length || chunk[end] !== 0x0d || chunk[end + 1] !== 0x0a) return -1; // nearly all others end here
    return latin1(chunk, at, end) === last.text ? this.accept(last, end + 2) : -1;
  }

  /** Parses a complete head. */
  protected override parseHead(bytes: Uint8Array, start: number, end: number): RequestHead | HttpFailure {
    const head = parseHead(bytes, start, end, this.limits, this.#last);
    if (!(head instanceof HttpFailure)) this.#last = isRemembered(head) ? head : undefined;
    return head;
  }

  /** Returns the largest body accepted after a head. */
  protected override maxBodySize(head: RequestHead): number {
    const { maxFormSize, maxHandshakeSize, maxBodySize } = this.limits;
    if (maxHandshakeSize !== undefined && isUpgrade(head)) return maxHandshakeSize;
    return maxFormSize !== undefined && isMultipart(head) ? maxFormSize : maxBodySize;
  }
}

/** A request made with `HttpRequest.create()`, which has no connection. */
export class ParsedRequest implements RequestSource {
  readonly fd: number = 0;
  readonly time: number = 0;
  readonly localAddress: undefined = undefined;
  readonly remoteAddress: undefined = undefined;
  head: RequestHead | undefined = undefined;
  body: Uint8Array = new Uint8Array(0);
  fields: FormFields | undefined = undefined;

  readonly #parser: RequestParser;

  constructor(limits: RequestLimits) {
    this.#parser = new RequestParser(limits);
  }

  get isReceived(): boolean {
    return this.head !== undefined && this.#parser.complete;
  }

  get isMalformed(): boolean {
    return this.#parser.failure !== undefined;
  }

  parse(bytes: Uint8Array): number | false {
    const parser = this.#parser;
    let at = 0;
    while (at < bytes.length && !parser.complete && parser.failure === undefined) at = parser.receive(bytes, at);
    if (parser.failure !== undefined) return false;
    this.head = parser.head;
    if (parser.complete) this.body = parser.body;
    return at;
  }
}
