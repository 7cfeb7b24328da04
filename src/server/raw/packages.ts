/**
 * Packages in a stream of octets: Swoole's `open_eof_check`, `open_length_check`, `open_mqtt_protocol` and `open_redis_protocol`
 * (page "Server", settings).
 *
 * @module
 */

import { GrowingBuffer, sliceBytes, viewBytes } from "../../bytes.ts";
import {
  SWOOLE_ERROR_PACKAGE_LENGTH_NOT_FOUND,
  SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE,
  SWOOLE_ERROR_PACKAGE_MALFORMED_DATA,
} from "../../errors.ts";
import { mqttRule, redisRule } from "./package_protocols.ts";

/**
 * How to read the length of a package, named as in PHP's `pack()`: `c` and `C` are 1 octet; `s`, `S` 2 and `l`, `L` 4 in the order
 * of this machine; `n` 2 and `N` 4, big-endian; `v` 2 and `V` 4, little-endian. `c`, `s` and `l` are signed.
 */
export type LengthType = "c" | "C" | "s" | "S" | "n" | "N" | "v" | "V" | "l" | "L";

/** All of them. */
export const LENGTH_TYPES: readonly LengthType[] = ["c", "C", "s", "S", "n", "N", "v", "V", "l", "L"];

/** Tells the length of the package that the octets begin with: 0 when more of them are needed, below 0 when it is none. */
export type LengthFunction = (data: Uint8Array) => number;

/** Finds where packages end. Octets from `start` on belong to the next one. Made for one stream. */
export interface PackageRule {
  /**
   * @param searched How many octets of the package have been looked at before: 0 when it is a new one.
   * @returns The size of the package, which may be more than there is; 0 when more octets are needed to tell.
   */
  measure(bytes: Uint8Array, start: number, end: number, searched: number): number;
}

/** What a splitter works by. */
export interface PackageOptions {
  /** The most octets of a package. */
  readonly maxLength: number;
  /** Whose packages they are, where that is known. */
  readonly protocol?: "mqtt" | "redis" | undefined;
  /** What each package ends with; a package is all of one or more such. */
  readonly eof?: Uint8Array | undefined;
  /** Whether packages that arrive together are delivered one by one. */
  readonly split?: boolean;
  /** Where the length is, and what it counts from. */
  readonly length?: {
    readonly type: LengthType;
    /** Where in a package the length is. */
    readonly offset: number;
    /** From where on it counts. */
    readonly bodyOffset: number;
    /** Tells the length instead. */
    readonly measure?: LengthFunction | undefined;
  } | undefined;
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Takes a stream apart. No socket and no clock: octets in, packages out. */
export class PackageSplitter {
  /**
   * Why nothing more is read: 1201 for a package that is too long, 1202 where it has no length, 1204 for a length that cannot be; 0
   * as long as all is well.
   */
  failure = 0;

  readonly #options: PackageOptions;
  readonly #rule: PackageRule;
  #buffer: GrowingBuffer = new GrowingBuffer();
  #size = 0; // of the package that has begun, once it is known
  #rest: Uint8Array | undefined = undefined; // what is left, once a receiver did not want the next package
  #restAt = 0;
  #searched = 0; // octets of it that tell nothing

  constructor(options: PackageOptions) {
    this.#options = options;
    const { protocol, length, eof, split } = options;
    if (protocol !== undefined) this.#rule = protocol === "mqtt" ? mqttRule() : redisRule(options.maxLength);
    else this.#rule = length !== undefined ? lengthRule(length) : eofRule(eof!, split ?? false);
  }

  /** Whether something is left for `goOn()`. */
  get isStopped(): boolean {
    return this.#rest !== undefined;
  }

  /** Octets of a package that is not complete. */
  get heldBytes(): number {
    return this.#buffer.length + (this.#rest === undefined ? 0 : this.#rest.length - this.#restAt);
  }

  /**
   * Takes bytes in, when nothing is left of earlier ones that `goOn()` has to hand on.
   *
   * @param chunk The bytes. The memory is the caller's again when this returns, unless it is given.
   * @param given Whether the memory is given: a package that is alone in it is handed on as it is.
   * @param deliver Gets each package, in memory of its own. Returns whether to go on; if not, `goOn()` does.
   * @throws {TypeError} If the program has transferred what its `measure` function was shown.
   */
  receive(chunk: Uint8Array, given: boolean, deliver: (bytes: Uint8Array) => boolean): void {
    if (this.failure !== 0) return;
    const buffer = this.#buffer;
    if (buffer.length > 0) {
      buffer.append(chunk, 0, chunk.length, this.#size || this.#options.maxLength);
      if (buffer.length < this.#size) return;
      this.#buffer = new GrowingBuffer(); // what is delivered lies in the old one
      return this.#split(buffer.memory, 0, buffer.length, true, deliver, buffer);
    }
    // The program's function may keep what it is shown: that is never memory that somebody else will use.
    const isShown = this.#options.length?.measure !== undefined;
    const bytes = isShown && !given ? sliceBytes(chunk, 0, chunk.length) : chunk;
    this.#split(bytes, 0, bytes.length, given || bytes !== chunk, deliver);
  }

  /** Goes on behind a package whose receiver did not want the next one. */
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
      // An end that is broken by the border of a chunk begins before it.
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
      // A package of no octets would never end.
      return length < 0 || length + bodyOffset < 1 ? NaN : length + bodyOffset;
    },
  };
}
