/**
 * The body of one response, compressed on its way.
 *
 * @module
 */

import { joinBytes } from "../bytes.ts";
import { type BodyCompression, type ContentCoding, type ContentEncoder, markCoded } from "./content_coding.ts";
import type { ResponseFields } from "./response_fields.ts";
import type { ResponseTarget } from "./response_target.ts";

/** A body is compressed in slices of this size, with a turn of the event loop between them. */
const CODING_SLICE = 128 * 1024;

/** Compresses a body piece by piece. An encoder that fails is disposed of: others may share what is below it. */
export class BodyCoder {
  #encoder: ContentEncoder | undefined;

  private constructor(encoder: ContentEncoder) {
    this.#encoder = encoder;
  }

  /**
   * Makes one, and says in the header that the body is coded; `undefined` where there is no encoder.
   *
   * @param whole Whether the body comes in one piece.
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

  /** Takes a piece, and returns what there is of the coded body; see `ContentEncoder`. */
  write(bytes: Uint8Array, then: "more" | "flush" | "end"): Uint8Array {
    try {
      return this.#encoder!.write(bytes, then);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Nothing more is compressed. */
  close(): void {
    this.#encoder?.close();
    this.#encoder = undefined;
  }

  /** Compresses one slice of a large body, and the others in turns that follow, as long as somebody waits for it. */
  slice(target: ResponseTarget, bytes: Uint8Array, done: (coded: Uint8Array) => void, at = 0, parts: Uint8Array[] = []): void {
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
 * @param isOurs Whether nobody changes the bytes any more; otherwise a copy is compressed where that takes longer than this call.
 * @param done Takes the body, compressed or as it was, and whether nobody changes it any more. Not called when nobody waits for it.
 */
export function codeBody(
  target: ResponseTarget,
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
