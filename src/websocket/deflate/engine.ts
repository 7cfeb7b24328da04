/**
 * What compresses and inflates messages (RFC 7692 section 7.2), as an interface: one engine is made of web APIs, another is given
 * by an adapter.
 *
 * @module
 */

import type { DeflateCapabilities } from "./negotiation.ts";

/** Why a payload cannot be inflated, as a close code: 1007, it is corrupt; 1009, it is larger than the limit. */
export type InflateFailure = 1007 | 1009;

/** Compresses messages. */
export interface Deflater {
  /**
   * Compresses one message. With takeover, the next call has to wait for the result of this one; without, calls may overlap, for
   * any number of connections.
   *
   * @param message The message. It may not change until the result is there.
   * @returns The payload without the tail `00 00 ff ff` (RFC 7692 section 7.2.1), in memory that belongs to the caller. No block
   * of it is final.
   */
  deflate(message: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** Gives its memory back. It is not used again. */
  close(): void;
}

/** Inflates payloads. */
export interface Inflater {
  /**
   * Inflates the payload of one message. With takeover, the next call has to wait for the result of this one, and there is none
   * after a failure; without, calls may overlap, for any number of connections.
   *
   * @param payload The payload without the tail. It may not change until the result is there.
   * @param limit The largest message allowed, in octets. No more memory than that is taken for it.
   * @returns The message, in memory that belongs to the caller, or why there is none. It never throws or rejects, whatever the
   * payload is.
   */
  inflate(payload: Uint8Array, limit: number): Uint8Array | InflateFailure | Promise<Uint8Array | InflateFailure>;
  /** Gives its memory back. It is not used again. */
  close(): void;
}

/** How hard a deflater tries. An engine may have only one way. */
export interface DeflaterOptions {
  /** zlib's level, -1 to 9: -1 is its default, 0 does not compress, 1 is fast, 9 is small. */
  readonly level: number;
  /** zlib's memory level, 1 to 9: 8 is its default. */
  readonly memLevel: number;
}

/** A way to compress. Its capabilities go into the negotiation. */
export interface DeflateEngine extends DeflateCapabilities {
  /** Its name. */
  readonly name: string;
  /**
   * Makes a deflater. One without takeover keeps nothing between messages and serves all connections.
   *
   * @param windowBits The agreed window, 8 to 15 bits, not below `minSendWindowBits`.
   * @param takeover Whether a message may refer to the ones before it; only if `sendTakeover` allows it.
   * @param options How hard it tries.
   */
  deflater(windowBits: number, takeover: boolean, options: DeflaterOptions): Deflater;
  /**
   * Makes an inflater. One without takeover keeps nothing between messages and serves all connections.
   *
   * @param windowBits The agreed window, 8 to 15 bits.
   * @param takeover Whether a message may refer to the ones before it.
   */
  inflater(windowBits: number, takeover: boolean): Inflater;
}
