/**
 * Package boundaries of known protocols: control packets of MQTT, and requests of Redis.
 *
 * @module
 */

const CR = 13;
const LF = 10;
const ASTERISK = 42;
const DOLLAR = 36;
const MINUS = 45;

/** A rule that finds the ends of packages. Bytes from `start` on belong to the next one. Each stream has its own rule. */
export interface PackageRule {
  /**
   * Measures the package at `start`.
   *
   * @param searched The number of bytes of the package that earlier calls have examined: 0 for a new package.
   * @returns The size of the package, which may exceed the available bytes; 0 if more bytes are needed to determine it.
   */
  measure(bytes: Uint8Array, start: number, end: number, searched: number): number;
}

/**
 * Returns a rule for control packets with a remaining length (MQTT 3.1.1 and 5.0 section 2.1.4: 1 to 4 bytes of 7 bits, the low
 * ones first).
 */
export function mqttRule(): PackageRule {
  return {
    measure(bytes, start, end) {
      let length = 0;
      for (let i = 0; i < 4; i++) {
        const at = start + 1 + i;
        if (at >= end) return 0;
        length += (bytes[at] & 0x7f) * 128 ** i;
        if (bytes[at] < 0x80) return length + 2 + i;
      }
      return NaN; // more than 4 bytes
    },
  };
}

/** The longest line with a number: a type, eleven digits, CR LF. */
const MAX_NUMBER_LINE = 14;

/**
 * Returns a rule for requests of the Redis serialization protocol: an array of bulk strings, or a single line (an "inline
 * command"). Parsing resumes at the current element, however many pieces a request arrives in, and never examines bytes beyond
 * the limit.
 *
 * @param maxLength The maximum size of a request, in bytes.
 */
export function redisRule(maxLength: number): PackageRule {
  let next = 0; // where the next element begins, relative to the package; 0 for the array itself
  let left = 0; // remaining elements
  let number = 0; // the result of `readNumber()`

  /** Reads a line with a number. Returns where it ends, 0 if more bytes are needed, NaN if it is not a number. */
  const readNumber = (bytes: Uint8Array, at: number, end: number): number => {
    const limit = Math.min(end, at + MAX_NUMBER_LINE);
    let i = at + 1;
    const isNegative = i < limit && bytes[i] === MINUS;
    if (isNegative) i++;
    const first = i;
    number = 0;
    for (; i < limit && bytes[i] >= 48 && bytes[i] <= 57; i++) number = number * 10 + bytes[i] - 48;
    if (isNegative) number = -number;
    if (i > first && i + 1 < limit && bytes[i] === CR && bytes[i + 1] === LF) return i + 2;
    const mayBecomeOne = i === limit || (i > first && i + 1 === limit && bytes[i] === CR);
    return mayBecomeOne && limit < at + MAX_NUMBER_LINE ? 0 : NaN;
  };

  return {
    measure(bytes, start, arrived, searched) {
      const end = Math.min(arrived, start + maxLength);
      if (searched === 0) next = left = 0;
      if (next === 0) {
        if (bytes[start] !== ASTERISK) {
          const at = bytes.indexOf(LF, start + searched);
          return at < 0 || at >= end ? 0 : at + 1 - start;
        }
        const lineEnd = readNumber(bytes, start, end);
        if (!(lineEnd > 0)) return lineEnd;
        next = lineEnd - start;
        left = Math.max(0, number); // an empty or null array is an empty request
      }
      while (left > 0 && next <= maxLength) {
        const at = start + next;
        if (at >= end) return 0;
        if (bytes[at] !== DOLLAR) return NaN;
        const lineEnd = readNumber(bytes, at, end);
        if (!(lineEnd > 0)) return lineEnd;
        if (number < 0) return NaN;
        next = lineEnd - start + number + 2;
        left--;
      }
      return next;
    },
  };
}
