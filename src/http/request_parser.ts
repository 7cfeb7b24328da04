/**
 * Reads requests off a connection, one after the other (RFC 9112).
 *
 * @module
 */

import { type HttpFailure, parseHead, type RequestHead } from "./head.ts";
import { type MessageLimits, MessageParser } from "./message_parser.ts";

/** What a client may send before it is refused. Sizes in octets. */
export type RequestLimits = MessageLimits;

/** The parser of the requests on one connection. */
export class RequestParser extends MessageParser<RequestHead> {
  /** Parses a whole head. */
  protected override parseHead(bytes: Uint8Array, start: number, end: number): RequestHead | HttpFailure {
    return parseHead(bytes, start, end, this.limits);
  }
}
