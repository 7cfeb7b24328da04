/**
 * Inflating as RFC 1951 describes it, bit by bit: what `inflated_size.ts` and the engines are compared with.
 *
 * @module
 */

/** What an inflated payload is. */
export interface Inflated {
  /** The message. */
  readonly message: Uint8Array;
  /** How many blocks said that they are the last one. */
  readonly finals: number;
  /** How many blocks there are, the tail's included. */
  readonly blocks: number;
  /** The furthest distance back. */
  readonly reach: number;
}

const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** A code as a map of its bit strings, `undefined` where the lengths make none. */
export function codeOf(lengths: number[], strict: boolean): Map<string, number> | undefined {
  const longest = Math.max(...lengths);
  const left = lengths.reduce((sum, length) => length > 0 ? sum - 2 ** (15 - length) : sum, 2 ** 15);
  if (left < 0 || (left > 0 && (strict || longest > 1))) return undefined;
  const map = new Map<string, number>();
  let code = 0;
  for (let length = 1; length <= 15; length++, code *= 2) {
    lengths.forEach((l, symbol) => {
      if (l === length) map.set((code++).toString(2).padStart(length, "0"), symbol);
    });
  }
  return map;
}

const FIXED = codeOf(Array.from({ length: 288 }, (_, i) => i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8), true)!;
const FIXED_DISTANCES = codeOf(Array.from({ length: 32 }, () => 5), true)!;

/**
 * Inflates the payload of a message, of which the tail is missing.
 *
 * @param payload The payload.
 * @param history What earlier messages were.
 * @returns What it is, or `undefined` if it is wrong.
 */
export function inflateReference(payload: Uint8Array, history: Uint8Array = new Uint8Array(0)): Inflated | undefined {
  const bytes = [...payload, 0, 0, 0xff, 0xff];
  const out = [...history];
  let at = 0, finals = 0, blocks = 0, reach = 0;
  class Wrong extends Error {}
  const bit = () => {
    if (at >= bytes.length * 8) throw new Wrong();
    return bytes[at >> 3] >> (at++ & 7) & 1;
  };
  const take = (count: number) => {
    let value = 0;
    for (let i = 0; i < count; i++) value |= bit() << i;
    return value;
  };
  const symbol = (code: Map<string, number>) => {
    for (let bits = ""; bits.length < 16;) {
      bits += bit();
      const found = code.get(bits);
      if (found !== undefined) return found;
    }
    throw new Wrong();
  };
  const right = <T>(value: T | undefined | false): T => {
    if (value === undefined || value === false) throw new Wrong();
    return value;
  };
  const dynamic = () => {
    const literals = take(5) + 257, distances = take(5) + 1, count = take(4) + 4;
    right(literals <= 286 && distances <= 30);
    const own = Array.from({ length: 19 }, () => 0);
    for (let i = 0; i < count; i++) own[ORDER[i]] = take(3);
    const code = right(codeOf(own, true));
    const lengths: number[] = [];
    while (lengths.length < literals + distances) {
      const s = symbol(code);
      if (s < 16) lengths.push(s);
      else {
        const value = s === 16 ? right(lengths.length > 0 && lengths.at(-1)!.toString()) : "0";
        const repeat = s === 16 ? 3 + take(2) : s === 17 ? 3 + take(3) : 11 + take(7);
        for (let i = 0; i < repeat; i++) lengths.push(Number(value));
      }
    }
    right(lengths.length === literals + distances && lengths[256] > 0);
    return [right(codeOf(lengths.slice(0, literals), false)), right(codeOf(lengths.slice(literals), false))];
  };
  try {
    for (;;) {
      const final = bit(), type = take(2);
      blocks++;
      finals += final;
      if (type === 0) {
        at = Math.ceil(at / 8) * 8;
        const length = take(16);
        right((take(16) ^ 0xffff) === length);
        for (let i = 0; i < length; i++) out.push(take(8));
      } else {
        right(type !== 3);
        const [literals, distances] = type === 1 ? [FIXED, FIXED_DISTANCES] : dynamic();
        for (let s = symbol(literals); s !== 256; s = symbol(literals)) {
          if (s < 256) {
            out.push(s);
            continue;
          }
          right(s <= 285);
          const i = s - 257;
          const length = s === 285 ? 258 : i < 8 ? i + 3 : ((4 | i & 3) << (i >> 2) - 1) + 3 + take((i >> 2) - 1);
          const d = right(symbol(distances).toString());
          const k = Number(d);
          right(k < 30);
          const distance = k < 2 ? k + 1 : ((2 | k & 1) << (k >> 1) - 1) + 1 + take((k >> 1) - 1);
          right(distance <= out.length && distance <= 32768);
          reach = Math.max(reach, distance);
          for (let n = 0; n < length; n++) out.push(out[out.length - distance]);
        }
      }
      // After a final block, and at the end, a byte begins.
      if (final === 1) at = Math.ceil(at / 8) * 8;
      if (final === 1 && at >= payload.length * 8) break;
      if (at === bytes.length * 8) break;
    }
  } catch (error) {
    if (error instanceof Wrong) return undefined;
    throw error;
  }
  return { message: new Uint8Array(out.slice(history.length)), finals, blocks, reach };
}
