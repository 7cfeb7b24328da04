/**
 * Which coding a body is sent in (RFC 9110 sections 8.4.1 and 12.5.3).
 *
 * @module
 */

import { mediaType } from "./form.ts";
import { trim } from "./head.ts";
import type { ResponseFields } from "./response_fields.ts";
import { isBodiless } from "./response_head.ts";

/** The codings that bodies are sent in. */
export type ContentCoding = "br" | "gzip" | "deflate";

/** All of them, the better one first. */
export const CODINGS: readonly ContentCoding[] = ["br", "gzip", "deflate"];

/** Compresses one body, piece by piece. */
export interface ContentEncoder {
  /**
   * Takes a piece.
   *
   * @param piece The octets.
   * @param then What follows: `more`, `flush` for nothing in the near future, so that all has to come out, `end` for nothing.
   * @returns What there is of the coded body.
   */
  write(piece: Uint8Array, then: "more" | "flush" | "end"): Uint8Array;
  /** It is not needed any more. After `end`, or instead of it. */
  close(): void;
}

/** How a server compresses bodies. */
export interface BodyCompression {
  /** Bodies below this many octets are sent as they are. */
  readonly minLength: number;
  /** The media types that are compressed, such as `text/html` or `text/*`; none for what is known to shrink. */
  readonly types: readonly string[];
  /** The codings that there are, the better one first. */
  readonly codings: readonly ContentCoding[];
  /**
   * Makes an encoder; where there is none, `compress()` is used for what comes in one piece.
   *
   * @param whole Whether the body comes in one piece.
   */
  encoder?(coding: ContentCoding, whole: boolean): ContentEncoder | undefined;
  /** Compresses a body, and calls back later: with nothing when that failed. */
  compress?(coding: ContentCoding, body: Uint8Array, done: (coded: Uint8Array | undefined) => void): void;
}

/** More items of an Accept-Encoding than this are not looked at. */
const MAX_ITEMS = 32;

/** What gets smaller. `text/event-stream` is left out: events are short, and a coder for each of many streams is not free. */
const SHRINKS =
  /^(?:text\/(?!event-stream$).*|.*[+/](?:json|xml|javascript|x-javascript)|application\/(?:wasm|manifest|x-ndjson|graphql|rtf|vnd\.ms-fontobject)|font\/(?:ttf|otf|collection)|image\/(?:bmp|x-icon|vnd\.microsoft\.icon))$/;

/** Whether bodies of a type are compressed. */
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
 * @param codings What there is, the better one first.
 * @returns What the client likes best, the better one of what it likes the same; `undefined` when it rather has the body as it is.
 */
export function chooseCoding(accept: string, codings: readonly ContentCoding[] = CODINGS): ContentCoding | undefined {
  const weights = new Map<string, number>();
  for (const item of accept.split(",", MAX_ITEMS)) {
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
  // Section 12.5.3: the body as it is will do, unless it is named otherwise. Then it has to be liked better to be preferred.
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
 * The coding that the body of an answer is to be sent in, if any. Where it depends on the client, that is said in `Vary`.
 *
 * @param fields The header of the answer.
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

/** Says in the header of an answer that its body is coded. */
export function markCoded(fields: ResponseFields, coding: ContentCoding): void {
  fields.set("Content-Encoding", coding);
  // RFC 9110 section 8.8.3: a strong validator is for these octets, not for others that stand for them.
  const tag = fields.get("etag");
  if (tag?.startsWith('"')) fields.set("ETag", `W/${tag}`);
}
