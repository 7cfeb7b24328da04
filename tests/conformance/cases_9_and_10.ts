/**
 * Cases 9.*: long messages, many fragments, many small writes, many messages; 10.*: a message cut at a fixed size.
 *
 * @module
 */

import { binary, type Case, CLEAN, type Payload, type Step, text } from "./case.ts";

const KI = 1024;
const MI = 1024 * KI;
const TEXT_PATTERN = "BAsd7&jh23";
const BINARY_PATTERN = new Uint8Array([0x00, 0xfe, 0x23, 0xfa, 0xf0]);

type Type = "text" | "binary";

/** The text and the binary series with the same sizes, numbered 9.`family` and 9.`family + 1`. */
function both(family: number, sizes: readonly number[], make: (type: Type, size: number, index: number) => Partial<Case>) {
  return (["text", "binary"] as const).flatMap((type, which) =>
    sizes.map((size, i): Case => ({
      id: `9.${family + which}.${i + 1}`,
      steps: [],
      expect: [],
      ending: CLEAN,
      ...make(type, size, i),
    }))
  );
}

function one(type: Type, payload: Payload): Step {
  return type === "text" ? text(payload) : binary(payload);
}

function pattern(type: Type, length: number): Payload {
  return { repeat: type === "text" ? TEXT_PATTERN : BINARY_PATTERN, length };
}

function star(length: number): Payload {
  return { repeat: "*", length };
}

function fe(length: number): Payload {
  return { repeat: new Uint8Array([0xfe]), length };
}

const long = both(1, [64 * KI, 256 * KI, MI, 4 * MI, 8 * MI, 16 * MI], (type, size) => {
  const payload = pattern(type, size);
  return { steps: [one(type, payload)], expect: [{ type, payload }] };
});

const fragmented = both(3, [64, 256, KI, 4 * KI, 16 * KI, 64 * KI, 256 * KI, MI, 4 * MI], (type, fragment, i) => {
  const payload = type === "binary" && i === 0 ? fe(4 * MI) : star(4 * MI);
  return { steps: [{ message: payload, opcode: type === "text" ? 1 : 2, fragment }], expect: [{ type, payload }] };
});

const chopped = both(5, [64, 128, 256, 512, 1024, 2048], (type, chop) => {
  const payload = pattern(type, MI);
  return { steps: [one(type, payload)], chop, expect: [{ type, payload }] };
});

const inTurn = both(7, [0, 16, 64, 256, 1024, 4096], (type, size) => {
  const payload = type === "text" ? star(size) : fe(size);
  return { steps: [one(type, payload)], rounds: 1000, expect: [{ type, payload }] };
});

const automatic: Case = {
  id: "10.1.1",
  steps: [{ message: star(64 * KI), opcode: 1, fragment: 1300 }],
  expect: [{ type: "text", payload: star(64 * KI) }],
  ending: CLEAN,
};

/** The cases 9.* and 10.*. */
export const cases: readonly Case[] = [...long, ...fragmented, ...chopped, ...inTurn, automatic];
