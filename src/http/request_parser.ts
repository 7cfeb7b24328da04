/**
 * Reads requests off a connection, one after the other (RFC 9112).
 *
 * @module
 */

import { mediaType } from "./form.ts";
import { type HttpFailure, parseHead, type RequestHead } from "./head.ts";
import { type MessageLimits, MessageParser } from "./message_parser.ts";
import { hasToken } from "../websocket/handshake.ts";

/** What a client may send before it is refused. Sizes in octets. */
export interface RequestLimits extends MessageLimits {
  /** The body of a form with files (`multipart/form-data`), if that is different. */
  readonly maxFormSize?: number | undefined;
}

/** Whether a body is a form with files. */
export function isMultipart(head: RequestHead): boolean {
  return mediaType(head.header["content-type"]) === "multipart/form-data";
}

/** Whether a client waits for 100 before it sends the body (RFC 9110 section 10.1.1). */
export function expectsContinue({ version, header }: RequestHead): boolean {
  return version === "1.1" && header["expect"] !== undefined && hasToken(header["expect"], "100-continue");
}

/** The parser of the requests on one connection. */
export class RequestParser extends MessageParser<RequestHead, RequestLimits> {
  /** Parses a whole head. */
  protected override parseHead(bytes: Uint8Array, start: number, end: number): RequestHead | HttpFailure {
    return parseHead(bytes, start, end, this.limits);
  }

  /** The most octets of the body. */
  protected override maxBodySize(head: RequestHead): number {
    const { maxFormSize, maxBodySize } = this.limits;
    return maxFormSize !== undefined && isMultipart(head) ? maxFormSize : maxBodySize;
  }
}
