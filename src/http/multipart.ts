/**
 * Parses `multipart/form-data` while it arrives (RFC 7578, RFC 2046 section 5.1).
 *
 * @module
 */

import { utf8Decoder, utf8Encoder } from "../values.ts";
import { GrowingBuffer } from "../transport/bytes.ts";
import { type HeadLimits, HttpFailure, isToken } from "./request_head.ts";
import { parseParameters } from "./field_values.ts";

/** The description of a part. */
export interface PartHead {
  /** The name of the field. */
  readonly name: string;
  /** The name of the file as sent by the client; `undefined` for a field that is not a file. */
  readonly filename: string | undefined;
  /** The media type; empty if the client did not send it. */
  readonly type: string;
}

/** A receiver of the parts that a `MultipartParser` finds. */
export interface MultipartSink {
  /** Called when a part begins. */
  onPart(head: PartHead): void;
  /** Called with bytes of the content. They are valid only during the call, unless the memory was given away. */
  onContent(bytes: Uint8Array, start: number, end: number): void;
  /** Called when the part is complete. */
  onPartEnd(): void;
}

const CR = 0x0d;
const LF = 0x0a;
const DASH = 0x2d;

/** Reading content, up to the next delimiter. */
const CONTENT = 0;
/** After a delimiter, up to the end of its line. */
const LINE = 1;
/** In the head of a part. */
const HEAD = 2;
/** After the last delimiter, where everything is ignored. */
const EPILOGUE = 3;

/** A parser for one body. Pass bytes to `receive()`, then call `finish()`. */
export class MultipartParser {
  /** The reason why the body was refused; parsing stops then. */
  failure: HttpFailure | undefined = undefined;

  readonly #sink: MultipartSink;
  readonly #limits: HeadLimits;
  readonly #delimiter: Uint8Array; // including the CRLF before it
  #state = CONTENT;
  #matched = 2; // the bytes of a delimiter seen so far; a body begins as if after a CRLF
  #before = 2; // the number of these that cannot be content
  #inPart = false;
  #last = 0; // the previous byte, in the line of a delimiter and in a head
  #lineLength = 0;
  #head: GrowingBuffer | undefined = undefined;

  /**
   * @param boundary The boundary, as returned by `boundaryOf()`.
   * @param limits The limits for the head of a part.
   * @param sink The receiver of the parts.
   */
  constructor(boundary: string, limits: HeadLimits, sink: MultipartSink) {
    this.#delimiter = utf8Encoder.encode(`\r\n--${boundary}`);
    this.#limits = limits;
    this.#sink = sink;
  }

  /** The number of bytes received that may or may not be content. */
  get undecided(): number {
    return this.#inPart && this.#state === CONTENT ? this.#matched - this.#before : 0;
  }

  /** Parses the next bytes. */
  receive(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length && this.#state !== EPILOGUE && this.failure === undefined;) {
      if (this.#state === CONTENT) at = this.#readContent(chunk, at);
      else if (this.#state === LINE) this.#readLine(chunk[at++]);
      else at = this.#readHead(chunk, at);
    }
  }

  /** Ends the body. Fails if the last delimiter is missing. */
  finish(): void {
    if (this.#state !== EPILOGUE) this.#fail("the form has no end");
  }

  #fail(reason: string): void {
    this.failure ??= new HttpFailure(400, reason);
  }

  #readContent(chunk: Uint8Array, at: number): number {
    const delimiter = this.#delimiter;
    let start = at; // of the content not yet passed on
    let matched = this.#matched;
    // Only the first byte of a delimiter is a CR: after a mismatch, no other delimiter can begin within the bytes that matched.
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
      const carried = at === start; // the delimiter began in an earlier chunk
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

  /** Reads the rest of a delimiter's line: two dashes after the last one, otherwise spaces and the end of the line. */
  #readLine(byte: number): void {
    const last = this.#last;
    this.#last = byte;
    if (last === DASH) {
      if (byte === DASH) this.#state = EPILOGUE;
      else this.#fail("a boundary is followed by something");
    } else if (last === CR) {
      if (byte !== LF) return this.#fail("a line does not end in CRLF");
      this.#state = HEAD;
      this.#last = this.#lineLength = 0;
    } else if (byte !== CR && byte !== 0x20 && byte !== 0x09 && (byte !== DASH || last !== 0)) {
      this.#fail("a boundary is followed by something");
    }
  }

  #readHead(chunk: Uint8Array, at: number): number {
    const { maxHeadSize } = this.#limits;
    const head = this.#head ??= new GrowingBuffer();
    const end = Math.min(chunk.length, at + maxHeadSize - head.length);
    for (let i = at; i < end; i++) {
      const byte = chunk[i];
      if ((this.#last === CR) !== (byte === LF)) {
        this.#fail("a line does not end in CRLF");
        return end;
      }
      this.#last = byte;
      if (byte === CR) continue;
      if (byte !== LF) {
        this.#lineLength++;
        continue;
      }
      if (this.#lineLength === 0) {
        head.append(chunk, at, i + 1, maxHeadSize);
        this.#endHead(utf8Decoder.decode(head.memory.subarray(0, head.length)));
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
    this.#matched = this.#before = 2; // without content, the CRLF of the empty line begins the next delimiter
    const head = parsePartHead(text, this.#limits.maxHeaders);
    if (typeof head === "string") this.#fail(head);
    else this.#sink.onPart(head);
  }
}

/** Parses the head of a part. Returns a string with the reason if it is malformed. */
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
  // RFC 7578 section 4.2: every part has a name. `filename*` is forbidden and ignored.
  const parsed = parseParameters(disposition ?? "");
  const name = parsed?.parameters.get("name");
  if (parsed?.value !== "form-data" || name === undefined) return "a part has no name";
  const filename = parsed.parameters.get("filename");
  return { name: unescape(name), filename: filename === undefined ? undefined : unescape(filename), type };
}

/** Decodes the characters that browsers escape in names: the quotation mark, CR and LF. */
function unescape(name: string): string {
  return name.replace(/%(?:22|0d|0a)/gi, (escape) => String.fromCharCode(parseInt(escape.slice(1), 16)));
}
