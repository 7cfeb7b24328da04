// Blocks that no compressor makes: codes at their limits, and random ones.

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { inflateRawSync } from "node:zlib";
import { Measurement } from "../../../src/websocket/deflate/compressed_payload.ts";
import { CORRUPT } from "../../../src/websocket/deflate/inflated_size.ts";
import { runs } from "./arbitrary.ts";
import { codeOf, inflateReference } from "./reference.ts";

const WINDOW = 32768;

/** The size of a payload, or `CORRUPT`. */
function sizeOf(payload: Uint8Array, history = 0, window = WINDOW): number {
  const measurement = new Measurement(payload, 1 << 30, history, window);
  const result = measurement.run();
  return result === 0 ? measurement.size : result;
}

/** Writes bits, the first one lowest. */
class BitWriter {
  readonly #bits: number[] = [];

  number(value: number, count: number): this {
    for (let i = 0; i < count; i++) this.#bits.push(value >> i & 1);
    return this;
  }

  code(digits: string): this {
    for (const digit of digits) this.#bits.push(Number(digit));
    return this;
  }

  get bytes(): Uint8Array {
    const bytes = new Uint8Array(Math.ceil(this.#bits.length / 8));
    this.#bits.forEach((bit, i) => bytes[i >> 3] |= bit << (i & 7));
    return bytes;
  }
}

const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/**
 * The beginning of a block with codes of its own, up to the lengths of the codes.
 *
 * @param bits What comes before; a block behind nothing is the final one.
 */
function beginBlock(
  literals: number,
  distances: number,
  codeLengths: Record<number, number>,
  bits: BitWriter = new BitWriter().number(1, 1),
): BitWriter {
  bits.number(2, 2).number(literals - 257, 5).number(distances - 1, 5).number(ORDER.length - 4, 4);
  for (const symbol of ORDER) bits.number(codeLengths[symbol] ?? 0, 3);
  return bits;
}

/** Checks a payload that has one final block. */
function checkBlock(payload: Uint8Array, message: number[] | undefined, what: string): void {
  const expected = message && new Uint8Array(message);
  assertEquals(sizeOf(payload), expected?.length ?? CORRUPT, what);
  assertEquals(inflateReference(payload)?.message, expected, what);
  if (expected === undefined) assertThrows(() => inflateRawSync(payload));
  else assertEquals(new Uint8Array(inflateRawSync(payload)), expected, what);
}

test("Measurement takes 286 literal codes and 30 distance codes, and not one more", () => {
  for (const [literals, distances] of [[257, 1], [286, 30], [287, 30], [286, 31]]) {
    // Lengths are written as 0: 10, 1: 0, and 18, which repeats 0: 11. The literal 0 and the end have codes of one bit.
    const bits = beginBlock(literals, distances, { 0: 2, 1: 1, 18: 2 });
    bits.code("0").code("11").number(138 - 11, 7).code("11").number(117 - 11, 7).code("0");
    for (let rest = literals - 257 + distances; rest > 0; rest--) bits.code("10");
    const isRight = literals <= 286 && distances <= 30;
    checkBlock(bits.code("0").code("1").bytes, isRight ? [0] : undefined, `${literals} and ${distances}`);
  }
});

test("Measurement takes a repetition of the length before, where there is one", () => {
  for (const isRight of [true, false]) {
    // Lengths are written as 1: 00, 3: 01, 16, which repeats the one before: 10, and 18, which repeats 0: 11.
    const bits = beginBlock(257, 1, { 1: 2, 3: 2, 16: 2, 18: 2 });
    if (!isRight) bits.code("10").number(0, 2);
    bits.code("01").code("10").number(0, 2); // four literals with codes of three bits
    bits.code("11").number(138 - 11, 7).code("11").number((isRight ? 114 : 111) - 11, 7).code("00").code("00");
    checkBlock(bits.code("101").code("0").bytes, isRight ? [1] : undefined, isRight ? "something" : "nothing");
  }
  // What follows would be the end in the codes of the block before.
  checkBlock(beginBlock(257, 1, { 1: 2, 3: 2, 16: 2, 18: 2 }).code("10").code("0").bytes, undefined, "nothing at the end");
});

test("Measurement takes a repetition up to the last length, and not one more", () => {
  for (const [repeat, isRight] of [[30, true], [31, false]] as const) {
    const bits = beginBlock(257, 30, { 0: 2, 1: 1, 18: 2 });
    bits.code("0").code("11").number(138 - 11, 7).code("11").number(117 - 11, 7).code("0").code("11").number(repeat - 11, 7);
    checkBlock(bits.code("0").code("1").bytes, isRight ? [0] : undefined, `${repeat}`);
  }
});

test("Measurement takes a code that has one symbol, and only its bit", () => {
  for (const bit of ["0", "1"]) {
    // Of the literals, only the end of the block has a code.
    const bits = beginBlock(257, 1, { 0: 2, 1: 1, 18: 2 });
    bits.code("11").number(138 - 11, 7).code("11").number(118 - 11, 7).code("0").code("10");
    checkBlock(bits.code(bit).bytes, bit === "0" ? [] : undefined, bit);
  }
});

test("Measurement takes 30 distances of the 32 that the fixed code has", () => {
  for (let symbol = 0; symbol < 32; symbol++) {
    // A final block: a literal, a length of 3, the distance and the end.
    const bits = new BitWriter().number(3, 3).code("10010001").code("0000001").code(symbol.toString(2).padStart(5, "0"));
    if (symbol > 3 && symbol < 30) bits.number(0, (symbol >> 1) - 1);
    const payload = bits.code("0000000").bytes;
    assertEquals(inflateReference(payload, new Uint8Array(WINDOW))?.message.length, symbol < 30 ? 4 : undefined);
    assertEquals(sizeOf(payload, WINDOW), symbol < 30 ? 4 : CORRUPT, `${symbol}`);
  }
});

test("Measurement takes a distance code that has one symbol, and only its bit", () => {
  for (const bit of ["0", "1"]) {
    // Lengths are written as 0: 00, 1: 01, 2: 10, 18: 11. A literal has one bit, a length of 3 and the end have two.
    const bits = beginBlock(258, 1, { 0: 2, 1: 2, 2: 2, 18: 2 });
    bits.code("01").code("11").number(138 - 11, 7).code("11").number(117 - 11, 7).code("10").code("10").code("01");
    checkBlock(bits.code("0").code("11").code(bit).code("10").bytes, bit === "0" ? [0, 0, 0, 0] : undefined, bit);
  }
});

test("Measurement takes a code that is complete, and no other", () => {
  const check = (lengths: number[], end: string, isRight: boolean) => {
    // The lengths 0 to 15 are written as they are, in four bits. The first literal, and the end of the block.
    const bits = beginBlock(257, 1, Object.fromEntries(Array.from({ length: 16 }, (_, length) => [length, 4])));
    const literals = [...lengths.slice(0, -1), ...Array.from({ length: 257 - lengths.length }, () => 0), lengths.at(-1)!];
    for (const length of [...literals, 0]) bits.code(length.toString(2).padStart(4, "0"));
    bits.code("0".repeat(lengths[0])).code(end);
    checkBlock(bits.bytes, isRight ? [0] : undefined, lengths.join());
  };
  const upTo15 = Array.from({ length: 15 }, (_, i) => i + 1);
  check([1, 1], "1", true);
  check([1, 1, 1], "1", false); // too many
  check([2, 2, 2, 2], "11", true);
  check([2, 2, 2], "10", false); // one is missing
  check([2, 2], "01", false);
  check([...upTo15, 15], "1".repeat(15), true);
  check(upTo15, "1".repeat(14) + "0", false);
  check([...upTo15, 15, 15], "1".repeat(15), false);
});

test("Measurement takes no code of the block before for a code without symbols", () => {
  for (const distance of ["01", "00"]) {
    // Lengths are written as 0: 00, 1: 01, 2: 10, 18: 11. A literal has one bit, a length of 3 and the end have two.
    const bits = new BitWriter();
    for (const [isFinal, length] of [[0, "01"], [1, distance]] as const) {
      beginBlock(258, 1, { 0: 2, 1: 2, 2: 2, 18: 2 }, bits.number(isFinal, 1));
      bits.code("01").code("11").number(138 - 11, 7).code("11").number(117 - 11, 7).code("10").code("10").code(length);
      bits.code("0").code("11").code("0").code("10");
    }
    checkBlock(bits.bytes, distance === "01" ? [0, 0, 0, 0, 0, 0, 0, 0] : undefined, distance);
  }
});

/** Random numbers below a limit, the same ones for the same seed. */
function randomOf(seed: number): (below: number) => number {
  return (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >> 8) % below;
  };
}

/** The lengths of a random complete code, of at least one of the symbols that are given and of any others. */
function randomLengths(random: (below: number) => number, count: number, first: number[]): number[] {
  const depths = [1, 1];
  for (let more = random(Math.min(40, count - 2)) + first.length; more > 0; more--) {
    const at = random(3) > 0 ? depths.length - 1 : random(depths.length); // a deep code more often than not
    if (depths[at] === 15) continue;
    const [depth] = depths.splice(at, 1);
    depths.push(depth + 1, depth + 1);
  }
  const lengths = Array.from({ length: count }, () => 0);
  for (const depth of depths) {
    const any = random(2) > 0 ? random(count) : count - 1 - random(29); // a length more often than its share
    let symbol = first.find((symbol) => lengths[symbol] === 0) ?? any;
    while (lengths[symbol] > 0) symbol = (symbol + 1) % count;
    lengths[symbol] = depth;
  }
  return lengths;
}

/** A final block with random codes, and random symbols in them. */
function randomBlock(seed: number): Uint8Array {
  const random = randomOf(seed);
  const literals = randomLengths(random, 286, [256, 257 + random(29)]);
  const distances = randomLengths(random, 30, []);
  const [literalCodes, distanceCodes] = [literals, distances].map((lengths) => [...codeOf(lengths, true)!]);
  // The lengths 0 to 15 are written as they are, in four bits.
  const bits = beginBlock(286, 30, Object.fromEntries(Array.from({ length: 16 }, (_, length) => [length, 4])));
  for (const length of [...literals, ...distances]) bits.code(length.toString(2).padStart(4, "0"));
  for (let left = random(60); left > 0; left--) {
    const [code, symbol] = literalCodes[random(literalCodes.length)];
    if (symbol === 256) continue;
    bits.code(code);
    if (symbol < 256) continue;
    if (symbol > 264 && symbol < 285) bits.number(random(32), (symbol - 261) >> 2);
    const [distanceCode, distance] = distanceCodes[random(distanceCodes.length)];
    bits.code(distanceCode);
    if (distance > 3) bits.number(random(1 << 13), (distance >> 1) - 1);
  }
  return bits.code(literalCodes.find(([, symbol]) => symbol === 256)![0]).bytes;
}

test("Measurement agrees with a plain reading of RFC 1951 on blocks with random codes, whole and cut off", () => {
  const history = new Uint8Array(WINDOW);
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const payload = randomBlock(seed);
      const { message, reach } = inflateReference(payload, history)!;
      assertEquals(sizeOf(payload, WINDOW), message.length);
      assertEquals(sizeOf(payload, WINDOW, reach), message.length);
      if (reach > 0) assertEquals(sizeOf(payload, WINDOW, reach - 1), CORRUPT);
      for (let less = 1; less < 4; less++) {
        const cut = payload.subarray(0, -less);
        assertEquals(sizeOf(cut, WINDOW), inflateReference(cut, history)?.message.length ?? CORRUPT, `less ${less}`);
      }
    }),
    { numRuns: runs(100) },
  );
});
