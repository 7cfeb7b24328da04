/**
 * The content coding of a body: its choice (RFC 9110 sections 8.4.1 and 12.5.3), and the compression.
 *
 * @module
 */

import type { ContentCoding, ContentEncoder } from "../transport/codecs.ts";
import { joinBytes } from "../transport/bytes.ts";
import { mediaType } from "./form.ts";
import { trim } from "./request_head.ts";
import { splitList } from "./field_values.ts";
import { isBodiless, type ResponseFields } from "./response_head.ts";

/** All content codings, in order of preference. */
export const CODINGS: readonly ContentCoding[] = ["br", "gzip", "deflate"];

/** The settings for the compression of bodies. */
export interface BodyCompression {
  /** The size in bytes below which bodies are not compressed. */
  readonly minLength: number;
  /** The media types to compress, such as `text/html` or `text/*`; if empty, all types known to compress well. */
  readonly types: readonly string[];
  /** The available codings, in order of preference. */
  readonly codings: readonly ContentCoding[];
  /**
   * Creates an encoder. Without encoders, `compress()` is used, for whole bodies only.
   *
   * @param whole Whether the body is passed in one piece.
   */
  encoder?(coding: ContentCoding, whole: boolean): ContentEncoder | undefined;
  /** Compresses a body and calls back later, with `undefined` if that failed. */
  compress?(coding: ContentCoding, body: Uint8Array, done: (coded: Uint8Array | undefined) => void): void;
}

/** The number of items of Accept-Encoding that are read; more are ignored. */
const MAX_ITEMS = 32;

/**
 * The types that compress well. `text/event-stream` is not among them: events are short, and an encoder for each of many streams
 * costs memory.
 */
const SHRINKS =
  /^(?:text\/(?!event-stream$).*|.*[+/](?:json|xml|javascript|x-javascript)|application\/(?:wasm|manifest|x-ndjson|graphql|rtf|vnd\.ms-fontobject)|font\/(?:ttf|otf|collection)|image\/(?:bmp|x-icon|vnd\.microsoft\.icon))$/;

/** Reports whether bodies of a content type are to be compressed. */
export function isCompressible(contentType: string, types: readonly string[]): boolean {
  const type = mediaType(contentType);
  if (types.length === 0) return SHRINKS.test(type);
  return types.some((one) => {
    const wanted = one.toLowerCase();
    return wanted === type || wanted === "*/*" || (wanted.endsWith("/*") && type.startsWith(wanted.slice(0, -1)));
  });
}

/**
 * Chooses a coding.
 *
 * @param accept The value of Accept-Encoding.
 * @param codings The available codings, in order of preference.
 * @returns The coding that the client prefers, the first of several it likes equally; `undefined` if it prefers the body
 * unchanged.
 */
export function chooseCoding(accept: string, codings: readonly ContentCoding[] = CODINGS): ContentCoding | undefined {
  const weights = new Map<string, number>();
  for (const item of splitList(accept, MAX_ITEMS)) {
    const [name, ...parameters] = item.split(";").map(trim);
    let weight: number | undefined = 1;
    for (const parameter of parameters) {
      const [, value] = /^q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$/i.exec(parameter) ?? [];
      weight = value === undefined ? undefined : Number(value);
    }
    if (weight !== undefined && name !== "") weights.set(name.toLowerCase().replace(/^x-(?=gzip$)/, ""), weight);
  }
  const any = weights.get("*");
  let best: ContentCoding | undefined;
  // Section 12.5.3: without `identity`, any accepted coding is fine. With it, a coding must not weigh less.
  let most = weights.has("identity") ? weights.get("identity")! : 0;
  for (const coding of codings) {
    const weight = weights.get(coding) ?? any ?? 0;
    if (weight > 0 && (weight > most || (best === undefined && weight >= most))) {
      best = coding;
      most = weight;
    }
  }
  return best;
}

/**
 * Determines the coding for the body of a response, if any. Adds `Vary` if the coding depends on the client.
 *
 * @param fields The header of the response.
 * @param accept The value of Accept-Encoding.
 */
export function codingOf(
  status: number,
  fields: ResponseFields,
  { types, codings }: BodyCompression,
  accept: string,
): ContentCoding | undefined {
  if (isBodiless(status) || status === 206) return undefined;
  if (!isCompressible(fields.get("content-type") ?? "text/html", types)) return undefined;
  if (fields.has("content-encoding") || fields.has("content-range")) return undefined;
  if (/\bno-transform\b/i.test(fields.get("cache-control") ?? "")) return undefined; // RFC 9111 section 5.2.2.6
  const vary = fields.get("vary");
  if (vary === undefined || !/(?:^|,)[ \t]*(?:accept-encoding|\*)[ \t]*(?:,|$)/i.test(vary)) {
    fields.add("Vary", "Accept-Encoding");
  }
  return chooseCoding(accept, codings);
}

/** Declares in the header of a response that its body is coded. */
function markCoded(fields: ResponseFields, coding: ContentCoding): void {
  fields.set("Content-Encoding", coding);
  // RFC 9110 section 8.8.3: a strong validator identifies the bytes of one representation, so it becomes a weak one.
  const tag = fields.get("etag");
  if (tag?.startsWith('"')) fields.set("ETag", `W/${tag}`);
}

/** What the compression of a body needs of the response that it belongs to. */
export interface CodingTarget {
  /** Whether the response can still be sent: it has not ended, and the client is connected. */
  readonly isOpen: boolean;
  /** The settings for compression, if it is on. */
  readonly bodyCompression?: BodyCompression | undefined;
  /** Calls back in a later turn of the event loop. */
  later?(work: () => void): void;
}

/** The size in bytes of the slices in which a body is compressed, with a turn of the event loop between them. */
const CODING_SLICE = 128 * 1024;

/** A compressor for one body, piece by piece. It closes its encoder on failure, because other bodies may share its resources. */
export class BodyCoder {
  #encoder: ContentEncoder | undefined;

  private constructor(encoder: ContentEncoder) {
    this.#encoder = encoder;
  }

  /**
   * Creates a coder, and declares in the header that the body is coded. Returns `undefined` if there is no encoder.
   *
   * @param whole Whether the body is passed in one piece.
   */
  static begin(
    { encoder }: BodyCompression,
    coding: ContentCoding,
    fields: ResponseFields,
    whole: boolean,
  ): BodyCoder | undefined {
    const made = encoder?.(coding, whole);
    if (made === undefined) return undefined;
    markCoded(fields, coding);
    return new BodyCoder(made);
  }

  /** Compresses a piece. Returns the output available so far; see `ContentEncoder`. */
  write(bytes: Uint8Array, then: "more" | "flush" | "end"): Uint8Array {
    try {
      return this.#encoder!.write(bytes, then);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Closes the encoder. Nothing may follow. */
  close(): void {
    this.#encoder?.close();
    this.#encoder = undefined;
  }

  /** Compresses one slice of a large body, and the others in later turns as long as the client waits for the response. */
  slice(target: CodingTarget, bytes: Uint8Array, done: (coded: Uint8Array) => void, at = 0, parts: Uint8Array[] = []): void {
    const end = Math.min(at + CODING_SLICE, bytes.length);
    parts.push(this.write(bytes.subarray(at, end), end < bytes.length ? "more" : "end"));
    if (end === bytes.length) return done(joinBytes(parts));
    target.later!(() => {
      if (target.isOpen) this.slice(target, bytes, done, end, parts);
      else this.close();
    });
  }
}

/**
 * Compresses a whole body, at once or later.
 *
 * @param isOurs Whether the bytes never change; otherwise a copy is compressed if that takes longer than this call.
 * @param done Receives the body, compressed or unchanged, and whether its bytes never change. Not called if the client
 * disconnects.
 */
export function codeBody(
  target: CodingTarget,
  coding: ContentCoding,
  fields: ResponseFields,
  bytes: Uint8Array,
  isOurs: boolean,
  done: (bytes: Uint8Array, isOurs: boolean) => void,
): void {
  const compression = target.bodyCompression!;
  const { compress } = compression;
  if (compress !== undefined) {
    const whole = isOurs ? bytes : bytes.slice();
    compress(coding, whole, (coded) => {
      if (!target.isOpen) return;
      if (coded !== undefined) markCoded(fields, coding);
      done(coded ?? whole, true);
    });
    return;
  }
  const isShort = bytes.length <= CODING_SLICE || target.later === undefined;
  const coder = BodyCoder.begin(compression, coding, fields, isShort);
  if (coder === undefined) {
    done(bytes, isOurs);
  } else if (isShort) {
    const coded = coder.write(bytes, "end");
    coder.close();
    done(coded, true);
  } else {
    coder.slice(target, isOurs ? bytes : bytes.slice(), (coded) => {
      coder.close();
      done(coded, true);
    });
  }
}
