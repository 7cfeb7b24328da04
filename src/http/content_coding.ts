/**
 * Which coding a body is sent in (RFC 9110 sections 8.4.1 and 12.5.3).
 *
 * @module
 */

import { mediaType } from "./form.ts";
import { trim } from "./head.ts";

/** The codings that bodies are sent in. */
export type ContentCoding = "gzip" | "deflate";

/** All of them, the better one first. */
const CODINGS: readonly ContentCoding[] = ["gzip", "deflate"];

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
  /**
   * Makes an encoder.
   *
   * @param whole Whether the body comes in one piece.
   * @returns `undefined` where there is none.
   */
  encoder(coding: ContentCoding, whole: boolean): ContentEncoder | undefined;
}

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
 * @returns What the client likes best, gzip when it likes both the same; `undefined` when it rather has the body as it is.
 */
export function chooseCoding(accept: string): ContentCoding | undefined {
  const weights = new Map<string, number>();
  for (const item of accept.split(",")) {
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
  for (const coding of CODINGS) {
    const weight = weights.get(coding) ?? any ?? 0;
    if (weight > 0 && (weight > most || (best === undefined && weight >= most))) {
      best = coding;
      most = weight;
    }
  }
  return best;
}
