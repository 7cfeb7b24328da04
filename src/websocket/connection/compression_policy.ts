/**
 * permessage-deflate according to the settings (RFC 7692): negotiation and choice of the engine, for servers and clients.
 *
 * @module
 */

import type { Runtime } from "../../transport/runtime.ts";
import { type Compression, Compressor } from "../deflate/compression.ts";
import type { DeflateEngine } from "../../transport/codecs.ts";
import { acceptOffer, checkAgreement, type DeflateOptions, makeOffer } from "../deflate/negotiation.ts";
import { webEngine } from "../deflate/web_engine.ts";
import { parseExtensions } from "../extensions.ts";
import type { Kind } from "../../values.ts";

/** The compression settings, the same for servers and clients. "Send" and "receive" are seen from the local side. */
export interface CompressionSettings {
  /** Whether to agree on permessage-deflate if the peer supports it. The default is `false`. */
  websocket_compression?: boolean;
  /** Whether to compress messages that are long enough without `SWOOLE_WEBSOCKET_FLAG_COMPRESS`. The default is `false`. */
  websocket_compression_auto?: boolean;
  /** The shortest message that `websocket_compression_auto` compresses, in bytes (for text: characters). The default is 1,024. */
  websocket_compression_min_length?: number;
  /**
   * The compression level: 1 is fast, 9 is small, 0 does not compress, -1 is zlib's default. The default is -1. Ignored by the
   * engine `web`.
   */
  websocket_compression_level?: number;
  /** The amount of memory for compression, 1 to 9. The default is 8. Ignored by the engine `web`. */
  websocket_compression_memory_level?: number;
  /** The largest window for sent messages, 8 to 15 bits. The default is 15. */
  websocket_compression_send_window_bits?: number;
  /** The largest window that the peer may use, 8 to 15 bits. The default is 15. */
  websocket_compression_receive_window_bits?: number;
  /**
   * Whether sent messages may refer to earlier ones. They are smaller then, but each connection needs memory, and the results
   * cannot be shared. The default is `false`.
   */
  websocket_compression_send_takeover?: boolean;
  /** Whether received messages may refer to earlier ones, at the cost of memory per connection. The default is `false`. */
  websocket_compression_receive_takeover?: boolean;
  /** `zlib`, `web`, or `auto` for the first of them that is available. The default is `auto`. */
  websocket_compression_engine?: string;
}

/** The defaults of the settings. */
export const COMPRESSION_DEFAULTS: Required<CompressionSettings> = {
  websocket_compression: false,
  websocket_compression_auto: false,
  websocket_compression_min_length: 1024,
  websocket_compression_level: -1,
  websocket_compression_memory_level: 8,
  websocket_compression_send_window_bits: 15,
  websocket_compression_receive_window_bits: 15,
  websocket_compression_send_takeover: false,
  websocket_compression_receive_takeover: false,
  websocket_compression_engine: "auto",
};

/** The kinds of values of the settings. */
export const COMPRESSION_KINDS: Record<keyof CompressionSettings, Kind> = {
  websocket_compression: "boolean",
  websocket_compression_auto: "boolean",
  websocket_compression_min_length: "bytes",
  websocket_compression_level: { from: -1, to: 9 },
  websocket_compression_memory_level: { from: 1, to: 9 },
  websocket_compression_send_window_bits: { from: 8, to: 15 },
  websocket_compression_receive_window_bits: { from: 8, to: 15 },
  websocket_compression_send_takeover: "boolean",
  websocket_compression_receive_takeover: "boolean",
  websocket_compression_engine: ["auto", "zlib", "web"],
};

/**
 * Chooses the engine according to the settings.
 *
 * @throws {Error} If it is `zlib` and the runtime does not have it.
 */
function chooseEngine(settings: Required<CompressionSettings>, runtime: Runtime | undefined): DeflateEngine {
  const wanted = settings.websocket_compression_engine;
  if (wanted === "web") return webEngine;
  if (runtime?.deflate !== undefined) return runtime.deflate;
  if (wanted === "zlib") {
    throw new Error(`Cannot compress with zlib: ${runtime === undefined ? "it is there after start()" : "the runtime has none"}`);
  }
  return webEngine;
}

/** Checks that the engine is available if compression is on. Throws as `chooseEngine()` does. */
export function checkEngine(settings: Required<CompressionSettings>, runtime: Runtime | undefined): void {
  if (settings.websocket_compression) chooseEngine(settings, runtime);
}

/** The compression of all connections of one server or client. */
export class CompressionPolicy {
  readonly #options: DeflateOptions;
  readonly #compressor: Compressor;

  constructor(settings: Required<CompressionSettings>, runtime: Runtime | undefined) {
    const engine = chooseEngine(settings, runtime);
    this.#options = {
      sendTakeover: settings.websocket_compression_send_takeover,
      receiveTakeover: settings.websocket_compression_receive_takeover,
      sendWindowBits: settings.websocket_compression_send_window_bits,
      receiveWindowBits: settings.websocket_compression_receive_window_bits,
      engine,
    };
    this.#compressor = new Compressor(engine, {
      level: settings.websocket_compression_level,
      memLevel: settings.websocket_compression_memory_level,
    });
  }

  /**
   * Answers the offer of a client, for a server.
   *
   * @param offer The `Sec-WebSocket-Extensions` of the request, if any.
   * @returns The value of the field in the response, and the compression; `undefined` if no offer can be accepted.
   */
  accept(offer: string | undefined): { answer: string; compression: Compression } | undefined {
    const extensions = offer === undefined ? undefined : parseExtensions(offer);
    const accepted = extensions && acceptOffer(extensions, this.#options);
    return accepted && { answer: accepted.answer, compression: this.#compressor.connect(accepted.agreed) };
  }

  /** The `Sec-WebSocket-Extensions` of a request, for a client. */
  get offer(): string {
    return makeOffer(this.#options);
  }

  /**
   * Checks the response of a server, for a client.
   *
   * @param answer The `Sec-WebSocket-Extensions` of the response, if any.
   * @returns The compression, `undefined` if the server declined, or a description of the error in the response.
   */
  check(answer: string | undefined): Compression | undefined | string {
    if (answer === undefined) return undefined;
    const extensions = parseExtensions(answer);
    if (extensions === undefined) return "Sec-WebSocket-Extensions is malformed";
    const agreed = checkAgreement(extensions, this.#options);
    return typeof agreed === "string" ? agreed : this.#compressor.connect(agreed);
  }

  /** Frees the shared memory, after the last connection closed. */
  close(): void {
    this.#compressor.close();
  }
}
