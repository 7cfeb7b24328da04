/**
 * Feeds the parsers of requests and responses in pieces, and returns the results in a comparable form.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { type RequestLimits, RequestParser } from "../../src/http/request_parser.ts";
import { ResponseParser } from "../../src/http/response_parser.ts";

/** Limits wide enough for every test that is not about limits. */
export const WIDE: RequestLimits = { maxHeadSize: 64 * 1024, maxHeaders: 128, maxBodySize: 1024 * 1024 };

/** A request as plain data. */
export interface ParsedRequest {
  method: string;
  target: string;
  version: string;
  header: Record<string, string>;
  body: string;
}

/** The result of parsing. */
export interface Outcome {
  requests: ParsedRequest[];
  /** The status of the refusal; 0 if there was no refusal. */
  status: number;
  /** Whether an incomplete request has begun. */
  open: boolean;
}

/** Converts text to bytes, one per character (Latin-1). */
export function bytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Converts bytes to text, one character per byte (Latin-1). */
export function text(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** Parses bytes that arrive in the given pieces. */
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

/** Splits bytes into pieces of one. */
export function* oneByOne(all: Uint8Array): Generator<Uint8Array> {
  for (let i = 0; i < all.length; i++) yield all.slice(i, i + 1);
}

/** Splits bytes at the given positions, taken modulo the length plus one. */
export function cut(all: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [0, ...places.map((place) => place % (all.length + 1)).sort((a, b) => a - b), all.length];
  return sorted.slice(1).map((end, i) => all.slice(sorted[i], end)).filter((piece) => piece.length > 0);
}

/** Splits bytes into two pieces, at each position in turn. */
export function* splits(all: Uint8Array): Generator<[Uint8Array, Uint8Array]> {
  for (let i = 1; i < all.length; i++) yield [all.slice(0, i), all.slice(i)];
}

/** Parses in all ways and checks that the results agree. */
export function parseEveryWay(text: string, limits: RequestLimits = WIDE): Outcome {
  const all = bytes(text);
  const whole = parse([all], limits);
  assertEquals(parse(oneByOne(all), limits), whole, `byte by byte: ${JSON.stringify(text)}`);
  for (const two of splits(all)) assertEquals(parse(two, limits), whole, `split at ${two[0].length}: ${JSON.stringify(text)}`);
  return whole;
}

/** Checks that each text is refused with the status, and that the bytes after it are not read as a request. */
export function refused(status: number, ...texts: string[]): void {
  for (const text of texts) {
    const outcome = parseEveryWay(text + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals([outcome.status, outcome.requests], [status, []], JSON.stringify(text));
  }
}

/** Checks that each text is exactly one request. */
export function accepted(...texts: string[]): void {
  for (const text of texts) {
    const outcome = parseEveryWay(text);
    assertEquals([outcome.status, outcome.requests.length, outcome.open], [0, 1, false], JSON.stringify(text));
  }
}

/** A response as plain data. */
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

/** The result of parsing the bytes of a connection. */
export interface AnswerOutcome {
  answers: ParsedAnswer[];
  /** The status of the failure; 0 if there was no failure. */
  failure: number;
  /** The unread bytes after the last response. */
  rest: string;
}

/** Options for parsing responses. */
export interface AnswerOptions {
  /** The methods of the requests, in order; by default one GET. */
  methods?: readonly string[];
  /** Whether the connection ends after the bytes; `true` by default. */
  ends?: boolean;
  /** The limits; `WIDE` by default. */
  limits?: RequestLimits;
}

/** Parses responses that arrive in the given pieces, until all requests are answered. */
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

/** Parses responses in all ways and checks that the results agree. */
export function parseAnswersEveryWay(received: string, options: AnswerOptions = {}): AnswerOutcome {
  const all = bytes(received);
  const whole = parseAnswers([all], options);
  assertEquals(parseAnswers(oneByOne(all), options), whole, `byte by byte: ${JSON.stringify(received)}`);
  for (const two of splits(all)) {
    assertEquals(parseAnswers(two, options), whole, `split at ${two[0].length}: ${JSON.stringify(received)}`);
  }
  return whole;
}
