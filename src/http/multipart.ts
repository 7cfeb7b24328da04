/**
 * Reads `multipart/form-data` while it arrives (RFC 7578, RFC 2046 section 5.1).
 *
 * @module
 */

import { GrowingBuffer } from "../bytes.ts";
import { type HeadLimits, HttpFailure, isToken } from "./head.ts";
import { parseParameters } from "./parameters.ts";

/** What a part is. */
export interface PartHead {
  /** The name of the field. */
  readonly name: string;
  /** The name of the file as the client sent it; `undefined` for a field that is none. */
  readonly filename: string | undefined;
  /** The media type; empty when it was not told. */
  readonly type: string;
}

/** Takes what a `MultipartParser` finds. */
export interface MultipartSink {
  /** A part begins. */
  onPart(head: PartHead): void;
  /** Octets of its content; only valid during the call, unless the memory was given away. */
  onContent(bytes: Uint8Array, start: number, end: number): void;
  /** The part is complete. */
  onPartEnd(): void;
}

const CR = 0x0d;
const LF = 0x0a;
const DASH = 0x2d;

/** Looking for the next delimiter. */
const CONTENT = 0;
/** Behind a delimiter, up to the end of its line. */
const LINE = 1;
/** In the head of a part. */
const HEAD = 2;
/** Behind the last delimiter: what comes there means nothing. */
const EPILOGUE = 3;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

/** The parser of one body. Give it octets with `receive()`, and tell it with `finish()` that there are no more. */
export class MultipartParser {
  /** Why the body is refused. Nothing more is read then. */
  failure: HttpFailure | undefined = undefined;

  readonly #sink: MultipartSink;
  readonly #limits: HeadLimits;
  readonly #delimiter: Uint8Array; // with the CRLF in front of it, which belongs to it
  #state = CONTENT;
  #matched = 2; // so much of a delimiter has arrived; a body begins as if behind a CRLF
  #before = 2; // so much of that is no content in any case
  #inPart = false;
  #last = 0; // the octet before, in a delimiter's line and in a head
  #lineLength = 0;
  #head: GrowingBuffer | undefined = undefined;

  /**
   * @param boundary As `boundaryOf()` gives it.
   * @param limits What the head of a part may have.
   * @param sink Where the parts go.
   */
  constructor(boundary: string, limits: HeadLimits, sink: MultipartSink) {
    this.#delimiter = encoder.encode(`\r\n--${boundary}`);
    this.#limits = limits;
    this.#sink = sink;
  }

  /** How many octets have arrived of which it is not known yet whether they are content. */
  get undecided(): number {
    return this.#inPart && this.#state === CONTENT ? this.#matched - this.#before : 0;
  }

  /** Takes octets. */
  receive(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length && this.#state !== EPILOGUE && this.failure === undefined;) {
      if (this.#state === CONTENT) at = this.#readContent(chunk, at);
      else if (this.#state === LINE) this.#readLine(chunk[at++]);
      else at = this.#readHead(chunk, at);
    }
  }

  /** There are no more octets. Without the last delimiter that is a failure. */
  finish(): void {
    if (this.#state !== EPILOGUE) this.#fail("the form has no end");
  }

  #fail(reason: string): void {
    this.failure ??= new HttpFailure(400, reason);
  }

  #readContent(chunk: Uint8Array, at: number): number {
    const delimiter = this.#delimiter;
    let start = at; // of the content that was not handed on
    let matched = this.#matched;
    // A CR is at the beginning of a delimiter and nowhere else in it: after a mismatch, none of what did match can begin another.
    while (true) {
      if (matched === 0) {
        const found = chunk.indexOf(CR, at);
        if (found < 0) {
          this.#pass(chunk, start, chunk.length);
          return chunk.length;
        }
        at = found + 1;
        matched = 1;
      }
      const carried = at === start; // the beginning of it came in an earlier chunk
      const begin = at - matched;
      while (matched < delimiter.length && at < chunk.length && chunk[at] === delimiter[matched]) {
        at++;
        matched++;
      }
      if (matched === delimiter.length || at === chunk.length) {
        if (!carried) this.#pass(chunk, start, begin);
        if (matched < delimiter.length) {
          this.#matched = matched;
          return at;
        }
        this.#matched = this.#before = 0;
        this.#endPart();
        return at;
      }
      if (carried) {
        this.#pass(delimiter, this.#before, matched);
        start = at;
      }
      matched = this.#matched = this.#before = 0;
    }
  }

  #pass(bytes: Uint8Array, start: number, end: number): void {
    if (this.#inPart && end > start) this.#sink.onContent(bytes, start, end);
  }

  #endPart(): void {
    if (this.#inPart) this.#sink.onPartEnd();
    this.#inPart = false;
    this.#state = LINE;
    this.#last = 0;
  }

  /** Behind a boundary: two dashes after the last one, else blanks and the end of the line. */
  #readLine(octet: number): void {
    const last = this.#last;
    this.#last = octet;
    if (last === DASH) {
      if (octet === DASH) this.#state = EPILOGUE;
      else this.#fail("a boundary is followed by something");
    } else if (last === CR) {
      if (octet !== LF) return this.#fail("a line does not end in CRLF");
      this.#state = HEAD;
      this.#last = this.#lineLength = 0;
    } else if (octet !== CR && octet !== 0x20 && octet !== 0x09 && (octet !== DASH || last !== 0)) {
      this.#fail("a boundary is followed by something");
    }
  }

  #readHead(chunk: Uint8Array, at: number): number {
    const { maxHeadSize } = this.#limits;
    const head = this.#head ??= new GrowingBuffer();
    const end = Math.min(chunk.length, at + maxHeadSize - head.length);
    for (let i = at; i < end; i++) {
      const octet = chunk[i];
      if ((this.#last === CR) !== (octet === LF)) {
        this.#fail("a line does not end in CRLF");
        return end;
      }
      this.#last = octet;
      if (octet === CR) continue;
      if (octet !== LF) {
        this.#lineLength++;
        continue;
      }
      if (this.#lineLength === 0) {
        head.append(chunk, at, i + 1, maxHeadSize);
        this.#endHead(decoder.decode(head.memory.subarray(0, head.length)));
        return i + 1;
      }
      this.#lineLength = 0;
    }
    if (end < chunk.length) this.#fail("the head of a part is too large");
    else head.append(chunk, at, end, maxHeadSize);
    return end;
  }

  #endHead(text: string): void {
    this.#head = undefined;
    this.#state = CONTENT;
    this.#inPart = true;
    this.#matched = this.#before = 2; // a part may have no content, not even an empty one: then the delimiter begins here
    const head = parsePartHead(text, this.#limits.maxHeaders);
    if (typeof head === "string") this.#fail(head);
    else this.#sink.onPart(head);
  }
}

/** Reads the head of a part; a text says why it is refused. */
function parsePartHead(text: string, maxHeaders: number): PartHead | string {
  const lines = text.split("\r\n", maxHeaders + 3);
  if (lines.length > maxHeaders + 2) return "a part has too many header fields";
  let disposition: string | undefined;
  let type = "";
  for (const line of lines.slice(0, -2)) {
    const colon = line.indexOf(":");
    const value = line.slice(colon + 1).trim();
    // deno-lint-ignore no-control-regex
    if (colon < 0 || !isToken(line.slice(0, colon)) || /[\x00-\x08\x0b-\x1f\x7f]/.test(value)) {
      return "a header field of a part is malformed";
    }
    const name = line.slice(0, colon).toLowerCase();
    if (name === "content-disposition") {
      if (disposition !== undefined) return "a part has two names";
      disposition = value;
    } else if (name === "content-type") {
      type = value;
    }
  }
  // RFC 7578 section 4.2: every part has a name. `filename*` is not to be used, and is not read.
  const parsed = parseParameters(disposition ?? "");
  const name = parsed?.parameters.get("name");
  if (parsed?.value !== "form-data" || name === undefined) return "a part has no name";
  const filename = parsed.parameters.get("filename");
  return { name: unescape(name), filename: filename === undefined ? undefined : unescape(filename), type };
}

/** Undoes what browsers escape in names: the quote and the ends of lines. */
function unescape(name: string): string {
  return name.replace(/%(?:22|0d|0a)/gi, (escape) => String.fromCharCode(parseInt(escape.slice(1), 16)));
}
