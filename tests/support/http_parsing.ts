/**
 * Feeds the parsers of requests and of answers in pieces and tells what came out, in a form that can be compared.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { type RequestLimits, RequestParser } from "../../src/http/request_parser.ts";
import { ResponseParser } from "../../src/http/response_parser.ts";

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

/** Octets as text, one character for each (Latin-1). */
export function text(octets: Uint8Array): string {
  return Array.from(octets, (octet) => String.fromCharCode(octet)).join("");
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
      requests.push({ method, target, version, header: { ...header }, body: text(parser.body) });
      parser.next();
    }
  }
  return { requests, status: parser.failure?.status ?? 0, open: parser.failure === undefined && parser.begun };
}

/** The octets in pieces of one. */
export function* oneByOne(all: Uint8Array): Generator<Uint8Array> {
  for (let i = 0; i < all.length; i++) yield all.slice(i, i + 1);
}

/** The octets cut at the given places, taken modulo their number. */
export function cut(all: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [0, ...places.map((place) => place % (all.length + 1)).sort((a, b) => a - b), all.length];
  return sorted.slice(1).map((end, i) => all.slice(sorted[i], end)).filter((piece) => piece.length > 0);
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

/** An answer as plain data. */
export interface ParsedAnswer {
  status: number;
  reason: string;
  version: string;
  header: Record<string, string>;
  setCookie: string[];
  bodyLength: number;
  keepAlive: boolean;
  body: string;
}

/** What a parser made of the octets of a connection. */
export interface AnswerOutcome {
  answers: ParsedAnswer[];
  /** The status of the failure; 0 for none. */
  failure: number;
  /** What was not read: behind the last answer. */
  rest: string;
}

/** How answers are to be read. */
export interface AnswerOptions {
  /** The methods of the requests, in order; one GET unless given. */
  methods?: readonly string[];
  /** Whether the connection ends behind the octets; it does unless given. */
  ends?: boolean;
  /** What is accepted; `WIDE` unless given. */
  limits?: RequestLimits;
}

/** Parses answers that arrive in the given pieces, until all requests are answered. */
export function parseAnswers(pieces: Iterable<Uint8Array>, options: AnswerOptions = {}): AnswerOutcome {
  const { methods = ["GET"], ends = true, limits = WIDE } = options;
  const parser = new ResponseParser(limits);
  const answers: ParsedAnswer[] = [];
  let rest = "";
  const take = () => {
    answers.push({
      ...parser.head!,
      header: { ...parser.head!.header },
      setCookie: [...parser.head!.setCookie],
      body: text(parser.body),
    });
    if (answers.length < methods.length) parser.begin(methods[answers.length]);
  };
  parser.begin(methods[0]);
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length && parser.failure === undefined && answers.length < methods.length) {
      const next = parser.receive(piece, at);
      if (next > piece.length) throw new Error(`The parser went to ${next} of ${piece.length}`);
      if (parser.heldBytes > 2 * (limits.maxHeadSize + limits.maxBodySize)) throw new Error(`It holds ${parser.heldBytes}`);
      if (parser.failure !== undefined) break;
      if (next <= at) throw new Error(`The parser does not move on at ${at}`);
      at = next;
      if (parser.complete) take();
    }
    if (parser.failure === undefined) rest += text(piece.subarray(at));
  }
  if (ends && answers.length < methods.length) {
    parser.receiveEnd();
    if (parser.complete) take();
  }
  return { answers, failure: parser.failure?.status ?? 0, rest };
}

/** Parses answers in all ways, which have to agree. */
export function parseAnswersEveryWay(octets: string, options: AnswerOptions = {}): AnswerOutcome {
  const all = bytes(octets);
  const whole = parseAnswers([all], options);
  assertEquals(parseAnswers(oneByOne(all), options), whole, `octet by octet: ${JSON.stringify(octets)}`);
  for (const two of splits(all)) {
    assertEquals(parseAnswers(two, options), whole, `split at ${two[0].length}: ${JSON.stringify(octets)}`);
  }
  return whole;
}
