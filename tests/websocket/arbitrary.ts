/**
 * Random input for the tests of the protocol: conversations that are right, and others that went wrong somewhere.
 *
 * @module
 */

import fc from "fast-check";
import { bytesOf } from "../support/raw_client.ts";
import { cut, frames, type Spec } from "./recorder.ts";

/** Turns any numbers into places to cut `length` bytes at. */
export function places(numbers: readonly number[], length: number): number[] {
  return numbers.map((number) => number % (length + 1)).sort((a, b) => a - b);
}

/** Numbers for `places()`. */
export const anyNumbers: fc.Arbitrary<number[]> = fc.array(fc.nat(), { maxLength: 12, size: "max" });

/** Texts of all kinds of characters, without lone surrogates. */
export const anyText: fc.Arbitrary<string> = fc.string({ unit: "binary", maxLength: 60, size: "max" })
  .map((text) => text.toWellFormed());

const anyControl: fc.Arbitrary<Spec> = fc.tuple(
  fc.constantFrom(9, 10),
  fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ maxLength: 125, size: "max" })),
);

/** A message in one to four frames, with pings and pongs in between. */
const anyMessage: fc.Arbitrary<Spec[]> = fc.tuple(
  fc.oneof(anyText, fc.uint8Array({ maxLength: 200, size: "max" })),
  fc.array(fc.nat(), { maxLength: 3, size: "max" }),
  fc.array(fc.option(anyControl), { minLength: 4, maxLength: 4 }),
).map(([payload, numbers, controls]) => {
  const bytes = bytesOf(payload);
  const parts = cut(bytes, places(numbers, bytes.length));
  return parts.flatMap((part, i): Spec[] => {
    const opcode = i > 0 ? 0 : typeof payload === "string" ? 1 : 2;
    const data: Spec = [opcode, part, i === parts.length - 1];
    return controls[i] === null ? [data] : [data, controls[i]];
  });
});

/** Frames that are all allowed. */
export const anyFrames: fc.Arbitrary<Spec[]> = fc.array(anyMessage, { maxLength: 4, size: "max" }).map((list) => list.flat());

/** A frame that is likely to be wrong where it comes. */
const anyFrame: fc.Arbitrary<Spec> = fc.tuple(
  fc.constantFrom(0, 1, 2, 8, 9, 10, 3, 15),
  fc.uint8Array({ maxLength: 130 }),
  fc.boolean(),
);

/** Bytes for an endpoint whose peer masks, or does not: right ones, damaged ones, and any whatever. */
export function anyInput(mask: boolean): fc.Arbitrary<Uint8Array> {
  const right = anyFrames.map((list) => frames(mask, list));
  const withWrongFrame = fc.tuple(anyFrames, anyFrame, anyFrames).map(([before, wrong, after]) =>
    frames(mask, [...before, wrong, ...after])
  );
  const damaged = fc.tuple(right, fc.nat(), fc.nat({ max: 255 })).map(([bytes, at, byte]) => {
    if (bytes.length > 0) bytes[at % bytes.length] = byte;
    return bytes;
  });
  return fc.oneof(
    { weight: 3, arbitrary: right },
    { weight: 3, arbitrary: withWrongFrame },
    { weight: 3, arbitrary: damaged },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }) },
  );
}
