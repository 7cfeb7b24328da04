/**
 * Packages in a stream of bytes: Swoole's `open_eof_check`, `open_length_check`, `open_mqtt_protocol` and `open_redis_protocol`
 * (page "Server", settings).
 *
 * @module
 */

import { GrowingBuffer, sliceBytes, viewBytes } from "../../transport/bytes.ts";
import {
  SWOOLE_ERROR_PACKAGE_LENGTH_NOT_FOUND,
  SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE,
  SWOOLE_ERROR_PACKAGE_MALFORMED_DATA,
} from "../../errors.ts";

/**
 * The format of the length of a package, named as in PHP's `pack()`: `c` and `C` are 1 byte; `s`, `S` 2 and `l`, `L` 4 in the
 * byte order of this machine; `n` 2 and `N` 4, big-endian; `v` 2 and `V` 4, little-endian. `c`, `s` and `l` are signed.
 */
export type LengthType = "c" | "C" | "s" | "S" | "n" | "N" | "v" | "V" | "l" | "L";

/** All length types. */
export const LENGTH_TYPES: readonly LengthType[] = ["c", "C", "s", "S", "n", "N", "v", "V", "l", "L"];

/**
 * A function that returns the length of the package at the start of the bytes: 0 if it needs more bytes, a negative number if
 * they are not a package.
 */
export type LengthFunction = (data: Uint8Array) => number;

/** The options of a splitter. */
export interface PackageOptions {
  /** The maximum size of a package, in bytes. */
  readonly maxLength: number;
  /** The protocol of the packages, if it is a known one. */
  readonly protocol?: "mqtt" | "redis" | undefined;
  /** The end mark of a package. Unless `split` is set, several packages may be delivered as one. */
  readonly eof?: Uint8Array | undefined;
  /** Whether packages that arrive together are delivered one by one. */
  readonly split?: boolean;
  /** The format and position of the length. */
  readonly length?: {
    readonly type: LengthType;
    /** The offset of the length in a package. */
    readonly offset: number;
    /** The offset from which the length counts. */
    readonly bodyOffset: number;
    /** Returns the length instead. */
    readonly measure?: LengthFunction | undefined;
  } | undefined;
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Splits a stream into packages. It has no socket and no clock: bytes in, packages out. */
export class PackageSplitter {
  /**
   * Why the splitter stopped reading: 1201 for a package that is too large, 1202 if no length was found, 1204 for an invalid
   * length; 0 if it did not.
   */
  failure = 0;

  readonly #options: PackageOptions;
  readonly #rule: PackageRule;
  #buffer: GrowingBuffer = new GrowingBuffer();
  #size = 0; // of the current package, once it is known
  #rest: Uint8Array | undefined = undefined; // the remaining bytes, after a receiver declined the next package
  #restAt = 0;
  #searched = 0; // bytes of the package that were examined without result

  constructor(options: PackageOptions) {
    this.#options = options;
    const { protocol, length, eof, split } = options;
    if (protocol !== undefined) this.#rule = protocol === "mqtt" ? mqttRule() : redisRule(options.maxLength);
    else this.#rule = length !== undefined ? lengthRule(length) : eofRule(eof!, split ?? false);
  }

  /** Whether `goOn()` has bytes left to split. */
  get isStopped(): boolean {
    return this.#rest !== undefined;
  }

  /** The number of bytes of incomplete or undelivered packages. */
  get heldBytes(): number {
    return this.#buffer.length + (this.#rest === undefined ? 0 : this.#rest.length - this.#restAt);
  }

  /**
   * Receives bytes. Must not be called while `isStopped`: `goOn()` comes first.
   *
   * @param chunk The bytes. The caller may reuse the memory afterwards, unless it is handed over.
   * @param given Whether the memory is handed over: a package that fills it alone is delivered without a copy.
   * @param deliver Receives each package, in memory of its own. Returns whether to continue; if not, `goOn()` does.
   * @throws {TypeError} If the program's `measure` function transferred the memory it received.
   */
  receive(chunk: Uint8Array, given: boolean, deliver: (bytes: Uint8Array) => boolean): void {
    if (this.failure !== 0) return;
    const buffer = this.#buffer;
    if (buffer.length > 0) {
      buffer.append(chunk, 0, chunk.length, this.#size || this.#options.maxLength);
      if (buffer.length < this.#size) return;
      this.#buffer = new GrowingBuffer(); // the old one contains the delivered packages
      return this.#split(buffer.memory, 0, buffer.length, true, deliver, buffer);
    }
    // The program's `measure` function may keep the bytes it sees, so they must not be in memory that is reused.
    const isShown = this.#options.length?.measure !== undefined;
    const bytes = isShown && !given ? sliceBytes(chunk, 0, chunk.length) : chunk;
    this.#split(bytes, 0, bytes.length, given || bytes !== chunk, deliver);
  }

  /** Continues after a receiver declined the next package. */
  goOn(deliver: (bytes: Uint8Array) => boolean): void {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined && this.failure === 0) this.#split(rest, this.#restAt, rest.length, true, deliver);
  }

  #split(
    bytes: Uint8Array,
    at: number,
    end: number,
    isOwn: boolean,
    deliver: (bytes: Uint8Array) => boolean,
    buffer?: GrowingBuffer,
  ): void {
    const first = at;
    while (at < end) {
      const size = this.#size || this.#measure(bytes, at, end);
      if (this.failure !== 0) return;
      if (bytes.length < end) throw new TypeError("Cannot go on: package_length_func has transferred the memory it was shown");
      if (size === 0 || size > end - at) break;
      this.#size = this.#searched = 0;
      at += size;
      const isAlone = isOwn && size === end;
      if (deliver(isAlone ? viewBytes(bytes, 0, size) : sliceBytes(bytes, at - size, at)) || at === end) continue;
      this.#rest = isOwn ? bytes.subarray(0, end) : sliceBytes(bytes, at, end);
      this.#restAt = isOwn ? at : 0;
      return;
    }
    if (at === end) return;
    if (at === first && buffer !== undefined) this.#buffer = buffer; // nothing was delivered
    else this.#buffer.append(bytes, at, end, this.#size || this.#options.maxLength);
  }

  #measure(bytes: Uint8Array, start: number, end: number): number {
    const { maxLength, length } = this.#options;
    const size = this.#rule.measure(bytes, start, end, this.#searched);
    if (Number.isNaN(size) || size < 0) this.failure = SWOOLE_ERROR_PACKAGE_MALFORMED_DATA;
    else if (size > maxLength) this.failure = SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE;
    else if (size === 0 && end - start >= maxLength) {
      this.failure = length === undefined ? SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE : SWOOLE_ERROR_PACKAGE_LENGTH_NOT_FOUND;
    }
    this.#size = size;
    this.#searched = end - start;
    return size;
  }
}

function eofRule(eof: Uint8Array, split: boolean): PackageRule {
  const isAt = (bytes: Uint8Array, at: number) => {
    for (let i = 0; i < eof.length; i++) if (bytes[at + i] !== eof[i]) return false;
    return true;
  };
  if (!split) {
    return { measure: (bytes, start, end) => end - start >= eof.length && isAt(bytes, end - eof.length) ? end - start : 0 };
  }
  return {
    measure(bytes, start, end, searched) {
      const last = end - eof.length;
      // An end mark that is split between two chunks begins before the new bytes.
      for (let at = start + Math.max(0, searched - eof.length + 1); at <= last; at++) {
        at = bytes.indexOf(eof[0], at);
        if (at < 0 || at > last) return 0;
        if (isAt(bytes, at)) return at + eof.length - start;
      }
      return 0;
    },
  };
}

function lengthRule({ type, offset, bodyOffset, measure }: NonNullable<PackageOptions["length"]>): PackageRule {
  if (measure !== undefined) {
    return {
      measure(bytes, start, end) {
        const size = measure(viewBytes(bytes, start, end));
        return Number.isInteger(size) ? size : NaN;
      },
    };
  }
  const width = "cC".includes(type) ? 1 : "sSnv".includes(type) ? 2 : 4;
  const little = "vV".includes(type) || (LITTLE_ENDIAN && "sSlL".includes(type));
  return {
    measure(bytes, start, end) {
      if (end - start < offset + width) return 0;
      const view = new DataView(bytes.buffer, bytes.byteOffset + start + offset, width);
      const length = width === 1
        ? (type === "c" ? view.getInt8(0) : view.getUint8(0))
        : width === 2
        ? (type === "s" ? view.getInt16(0, little) : view.getUint16(0, little))
        : (type === "l" ? view.getInt32(0, little) : view.getUint32(0, little));
      // A package of 0 bytes would cause an endless loop.
      return length < 0 || length + bodyOffset < 1 ? NaN : length + bodyOffset;
    },
  };
}

const CR = 13;
const LF = 10;
const ASTERISK = 42;
const DOLLAR = 36;
const MINUS = 45;

/** A rule that finds the ends of packages. Bytes from `start` on belong to the next one. Each stream has its own rule. */
interface PackageRule {
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
function mqttRule(): PackageRule {
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
function redisRule(maxLength: number): PackageRule {
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
