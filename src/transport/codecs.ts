/**
 * Interfaces of the codecs that adapters implement: for WebSocket messages (RFC 7692 section 7.2), which an engine of web APIs
 * can also compress, and for HTTP content codings (RFC 9110 section 8.4.1).
 *
 * @module
 */

/** The reason why a payload cannot be inflated, as a close code: 1007 if it is corrupt, 1009 if it is larger than the limit. */
export type InflateFailure = 1007 | 1009;

/** A compressor for messages. */
export interface Deflater {
  /**
   * Compresses one message. With takeover, each call has to wait for the result of the previous one. Without, calls may overlap,
   * for any number of connections.
   *
   * @param message The message, which must not change until the result is available.
   * @returns The payload without the tail `00 00 ff ff` (RFC 7692 section 7.2.1), in memory that belongs to the caller. None of
   * its blocks is final.
   */
  deflate(message: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** Disposes of the deflater, which must not be used again. */
  close(): void;
}

/** A decompressor for payloads. */
export interface Inflater {
  /**
   * Inflates the payload of one message. With takeover, each call has to wait for the result of the previous one, and no call may
   * follow a failure. Without, calls may overlap, for any number of connections.
   *
   * @param payload The payload without the tail. It must not change until the result is available.
   * @param limit The largest message allowed, in bytes. No more memory than that is allocated for it.
   * @returns The message, in memory that belongs to the caller, or the reason of the failure. Never throws or rejects, for any
   * payload.
   */
  inflate(payload: Uint8Array, limit: number): Uint8Array | InflateFailure | Promise<Uint8Array | InflateFailure>;
  /** Disposes of the inflater, which must not be used again. */
  close(): void;
}

/** How hard a deflater tries. An engine may ignore these options. */
export interface DeflaterOptions {
  /** zlib's level, -1 to 9: -1 is its default, 0 does not compress, 1 is fast, 9 is small. */
  readonly level: number;
  /** zlib's memory level, 1 to 9: 8 is its default. */
  readonly memLevel: number;
}

/** The capabilities of an engine for compression. Every engine can inflate with any window and with takeover. */
export interface DeflateCapabilities {
  /** Whether a message can refer to earlier ones. */
  readonly sendTakeover: boolean;
  /** The smallest window that the engine can restrict itself to, 8 to 15 bits. */
  readonly minSendWindowBits: number;
}

/** A compression engine. Its capabilities are used in the negotiation. */
export interface DeflateEngine extends DeflateCapabilities {
  /** The name of the engine. */
  readonly name: string;
  /**
   * Creates a deflater. Without takeover, it keeps nothing between messages and serves all connections.
   *
   * @param windowBits The agreed window, 8 to 15 bits, not below `minSendWindowBits`.
   * @param takeover Whether a message may refer to earlier ones; only if `sendTakeover` allows it.
   * @param options How hard the deflater tries.
   */
  deflater(windowBits: number, takeover: boolean, options: DeflaterOptions): Deflater;
  /**
   * Creates an inflater. Without takeover, it keeps nothing between messages and serves all connections.
   *
   * @param windowBits The agreed window, 8 to 15 bits.
   * @param takeover Whether a message may refer to earlier ones.
   */
  inflater(windowBits: number, takeover: boolean): Inflater;
}

/** zlib for single messages (RFC 1951), without waiting. */
export interface SyncZlib {
  /** Compresses bytes up to a sync flush, so that the result ends with `00 00 ff ff`, in memory that belongs to the caller. */
  deflate(message: Uint8Array): Uint8Array;
  /**
   * Inflates blocks, none of which is final.
   *
   * @param size The size of the message, at least 1. No more memory than that is allocated for it.
   * @returns The message, in memory that belongs to the caller; `undefined` if the blocks are corrupt, or of another size.
   */
  inflate(blocks: Uint8Array, size: number): Uint8Array | undefined;
}

/** The content codings for sending bodies. */
export type ContentCoding = "br" | "gzip" | "deflate";

/** An encoder that compresses one body, piece by piece. */
export interface ContentEncoder {
  /**
   * Compresses a piece.
   *
   * @param piece The bytes.
   * @param then What follows: `more` for more pieces; `flush` for a pause, so that all pending output is returned; `end` for the
   * end of the body.
   * @returns The coded bytes available so far.
   */
  write(piece: Uint8Array, then: "more" | "flush" | "end"): Uint8Array;
  /** Disposes of the encoder, after `end` or instead of it. */
  close(): void;
}
