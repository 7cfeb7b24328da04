/**
 * Random messages and payloads for the tests of permessage-deflate.
 *
 * @module
 */

import fc from "fast-check";
import process from "node:process";
import { constants, deflateRawSync } from "node:zlib";
import { joinBytes } from "../../../src/transport/bytes.ts";

/** How many random payloads a property takes: `fallback`, or as many as SLUICE_FUZZ says. */
export function runs(fallback: number): number {
  return Number(process.env.SLUICE_FUZZ ?? fallback);
}

/** What RFC 7692 section 7.2.1 takes off. */
export const TAIL: Uint8Array = new Uint8Array([0, 0, 0xff, 0xff]);

/** Bytes that repeat themselves more or less, up to about `most` of them. */
export function anyMessage(most: number): fc.Arbitrary<Uint8Array> {
  const anyPiece = fc.oneof(
    fc.uint8Array({ maxLength: 20, size: "max" }).map((piece) => [piece, 0] as const),
    fc.string({ maxLength: 20, size: "max" }).map((text) => [new TextEncoder().encode(text), 0] as const),
    fc.tuple(fc.nat({ max: 255 }), fc.nat({ max: 300 })).map(([byte, n]) => [new Uint8Array(n).fill(byte), 0] as const),
    fc.tuple(fc.nat({ max: 400 }), fc.integer({ min: 1, max: 40_000 })).map(([n, back]) => [new Uint8Array(n), back] as const),
  );
  return fc.array(anyPiece, { maxLength: Math.ceil(most / 60), size: "max" }).map((pieces) => {
    const whole = joinBytes(pieces.map(([piece]) => piece));
    let at = 0;
    for (const [piece, back] of pieces) {
      if (back > 0 && at > 0) {
        const from = Math.max(0, at - back);
        for (let i = 0; i < piece.length; i++) whole[at + i] = whole[from + i];
      }
      at += piece.length;
    }
    return whole;
  });
}

/** Every way in which zlib compresses. */
export const anyZlibOptions: fc.Arbitrary<{ level: number; memLevel: number; windowBits: number; strategy: number }> = fc.record({
  level: fc.integer({ min: -1, max: 9 }),
  memLevel: fc.integer({ min: 1, max: 9 }),
  windowBits: fc.integer({ min: 9, max: 15 }),
  strategy: fc.constantFrom(0, 1, 2, 3, 4),
}, { noNullPrototype: true });

/** A payload as zlib makes it: flushed, of a finished stream with or without the byte `00`, or of several streams in a row. */
export const anyPayload: fc.Arbitrary<{ message: Uint8Array; payload: Uint8Array }> = fc.tuple(
  fc.array(fc.tuple(anyMessage(600), anyZlibOptions, fc.boolean()), { minLength: 1, maxLength: 3 }),
  fc.boolean(),
).map(([parts, bare]) => {
  const pieces = parts.map(([message, options, finished], i) => {
    const last = i === parts.length - 1;
    if (finished) {
      const piece = new Uint8Array(deflateRawSync(message, options));
      return last && !bare ? joinBytes([piece, new Uint8Array(1)]) : piece;
    }
    const piece = deflateRawSync(message, { ...options, finishFlush: constants.Z_SYNC_FLUSH });
    return new Uint8Array(last ? piece.subarray(0, -4) : piece);
  });
  return { message: joinBytes(parts.map(([message]) => message)), payload: joinBytes(pieces) };
});

/** A payload that is likely to be wrong somewhere. */
export const anyDamaged: fc.Arbitrary<Uint8Array> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(anyPayload, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 7 })), { minLength: 1, maxLength: 4 }))
      .map(([{ payload }, flips]) => {
        for (const [at, bit] of flips) if (payload.length > 0) payload[at % payload.length] ^= 1 << bit;
        return payload;
      }),
  },
  { weight: 1, arbitrary: fc.tuple(anyPayload, fc.nat()).map(([{ payload }, n]) => payload.slice(0, n % (payload.length + 1))) },
  {
    weight: 1,
    arbitrary: fc.tuple(anyPayload, fc.uint8Array({ maxLength: 12 })).map(([{ payload }, more]) => joinBytes([payload, more])),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60, size: "max" }) },
  // Codes that are not far from right ones: a block with codes of its own, and random bits.
  {
    weight: 2,
    arbitrary: fc.uint8Array({ minLength: 2, maxLength: 80, size: "max" }).map((bytes) => {
      bytes[0] = (bytes[0] & 0xf8) | 4;
      return bytes;
    }),
  },
);
