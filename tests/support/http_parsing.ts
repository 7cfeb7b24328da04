/**
 * Feeds a request parser in pieces and tells what came out, in a form that can be compared.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { type RequestLimits, RequestParser } from "../../src/http/request_parser.ts";

/** Limits that are no obstacle. */
export const WIDE: RequestLimits = { maxHeadSize: 64 * 1024, maxHeaders: 128, maxBodySize: 1024 * 1024 };

/** A request as plain data. */
export interface ParsedRequest {
  method: string;
  target: string;
  version: string;
  header: Record<string, string>;
  body: string;
}

/** What a parser made of some octets. */
export interface Outcome {
  requests: ParsedRequest[];
  /** The status of the refusal; 0 for none. */
  status: number;
  /** Whether a request has begun that is not complete. */
  open: boolean;
}

/** Text as octets, one for each character (Latin-1). */
export function bytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Parses octets that arrive in the given pieces. */
export function parse(pieces: Iterable<Uint8Array>, limits: RequestLimits = WIDE): Outcome {
  const parser = new RequestParser(limits);
  const requests: ParsedRequest[] = [];
  for (const piece of pieces) {
    for (let at = 0; at < piece.length && parser.failure === undefined;) {
      const next = parser.receive(piece, at);
      if (parser.failure !== undefined) break;
      if (next <= at && !parser.complete) throw new Error(`The parser does not move on at ${at}`);
      if (next > piece.length) throw new Error(`The parser went to ${next} of ${piece.length}`);
      at = next;
      if (!parser.complete) continue;
      const { method, target, version, header } = parser.head!;
      const body = Array.from(parser.body, (octet) => String.fromCharCode(octet)).join("");
      requests.push({ method, target, version, header: { ...header }, body });
      parser.next();
    }
  }
  return { requests, status: parser.failure?.status ?? 0, open: parser.failure === undefined && parser.begun };
}

/** The octets in pieces of one. */
export function* oneByOne(all: Uint8Array): Generator<Uint8Array> {
  for (let i = 0; i < all.length; i++) yield all.slice(i, i + 1);
}

/** The octets in two pieces, at each place. */
export function* splits(all: Uint8Array): Generator<[Uint8Array, Uint8Array]> {
  for (let i = 1; i < all.length; i++) yield [all.slice(0, i), all.slice(i)];
}

/** Parses in all ways, which have to agree. */
export function parseEveryWay(text: string, limits: RequestLimits = WIDE): Outcome {
  const all = bytes(text);
  const whole = parse([all], limits);
  assertEquals(parse(oneByOne(all), limits), whole, `octet by octet: ${JSON.stringify(text)}`);
  for (const two of splits(all)) assertEquals(parse(two, limits), whole, `split at ${two[0].length}: ${JSON.stringify(text)}`);
  return whole;
}

/** Each text is refused with the status, and what follows is not read as a request. */
export function refused(status: number, ...texts: string[]): void {
  for (const text of texts) {
    const outcome = parseEveryWay(text + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals([outcome.status, outcome.requests], [status, []], JSON.stringify(text));
  }
}

/** Each text is one request. */
export function accepted(...texts: string[]): void {
  for (const text of texts) {
    const outcome = parseEveryWay(text);
    assertEquals([outcome.status, outcome.requests.length, outcome.open], [0, 1, false], JSON.stringify(text));
  }
}
