/**
 * permessage-deflate as the settings want it (RFC 7692): what to agree on, and what to compress with. Servers and clients share it.
 *
 * @module
 */

import type { Runtime } from "../../runtime.ts";
import { type Compression, Compressor } from "../../websocket/deflate/compression.ts";
import type { DeflateEngine } from "../../websocket/deflate/engine.ts";
import { acceptOffer, checkAgreement, type DeflateOptions, makeOffer } from "../../websocket/deflate/negotiation.ts";
import { webEngine } from "../../websocket/deflate/web_engine.ts";
import { parseExtensions } from "../../websocket/extensions.ts";
import type { Kind } from "../../setting_kinds.ts";

/** The settings of compression, the same for servers and clients. "Send" and "receive" are meant from this side. */
export interface CompressionSettings {
  /** Agree on permessage-deflate, where the peer does too. `false`. */
  websocket_compression?: boolean;
  /** Compress messages that are long enough without being asked for by `SWOOLE_WEBSOCKET_FLAG_COMPRESS`. `false`. */
  websocket_compression_auto?: boolean;
  /** The least octets (of text: characters) of a message that `websocket_compression_auto` compresses. 1,024. */
  websocket_compression_min_length?: number;
  /** How hard to try: 1 is fast, 9 is small, 0 does not compress, -1 is zlib's default. -1. The engine `web` has one way only. */
  websocket_compression_level?: number;
  /** How much memory to compress with, 1 to 9. 8. The engine `web` has one way only. */
  websocket_compression_memory_level?: number;
  /** The largest window for what is sent, 8 to 15 bits. 15. */
  websocket_compression_send_window_bits?: number;
  /** The largest window that the peer may use, 8 to 15 bits. 15. */
  websocket_compression_receive_window_bits?: number;
  /** Whether what is sent may refer to earlier messages: smaller, for memory per connection and no sharing among them. `false`. */
  websocket_compression_send_takeover?: boolean;
  /** Whether what the peer sends may refer to earlier messages, for memory per connection. `false`. */
  websocket_compression_receive_takeover?: boolean;
  /** `zlib`, `web`, or `auto` for the first of them that there is. `auto`. */
  websocket_compression_engine?: string;
}

/** What holds for what is not set. */
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

/** What the values have to be. */
export const COMPRESSION_KINDS: Record<keyof CompressionSettings, Kind> = {
  websocket_compression: "boolean",
  websocket_compression_auto: "boolean",
  websocket_compression_min_length: "octets",
  websocket_compression_level: { from: -1, to: 9 },
  websocket_compression_memory_level: { from: 1, to: 9 },
  websocket_compression_send_window_bits: { from: 8, to: 15 },
  websocket_compression_receive_window_bits: { from: 8, to: 15 },
  websocket_compression_send_takeover: "boolean",
  websocket_compression_receive_takeover: "boolean",
  websocket_compression_engine: ["auto", "zlib", "web"],
};

/**
 * The engine that the settings ask for.
 *
 * @throws {Error} If it is `zlib` and the runtime has none.
 */
export function chooseEngine(settings: Required<CompressionSettings>, runtime: Runtime | undefined): DeflateEngine {
  const wanted = settings.websocket_compression_engine;
  if (wanted === "web") return webEngine;
  if (runtime?.deflate !== undefined) return runtime.deflate;
  if (wanted === "zlib") {
    throw new Error(`Cannot compress with zlib: ${runtime === undefined ? "it is there after start()" : "the runtime has none"}`);
  }
  return webEngine;
}

/** Checks that there is the engine that the settings ask for, if they want compression; throws as `chooseEngine()`. */
export function checkEngine(settings: Required<CompressionSettings>, runtime: Runtime | undefined): void {
  if (settings.websocket_compression) chooseEngine(settings, runtime);
}

/** From which length on messages are compressed by themselves. */
export function compressFrom(settings: Required<CompressionSettings>): number {
  return settings.websocket_compression_auto ? settings.websocket_compression_min_length : Infinity;
}

/** Compression for all connections of one server or client. */
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
   * A server's side: agrees with a client.
   *
   * @param offer The `Sec-WebSocket-Extensions` of the request, if there is one.
   * @returns The field's value for the answer and the compression, or `undefined` when there is nothing to agree on.
   */
  accept(offer: string | undefined): { answer: string; compression: Compression } | undefined {
    const extensions = offer === undefined ? undefined : parseExtensions(offer);
    const accepted = extensions && acceptOffer(extensions, this.#options);
    return accepted && { answer: accepted.answer, compression: this.#compressor.connect(accepted.agreed) };
  }

  /** A client's side: the `Sec-WebSocket-Extensions` of its request. */
  get offer(): string {
    return makeOffer(this.#options);
  }

  /**
   * A client's side: takes the server's answer.
   *
   * @param answer The `Sec-WebSocket-Extensions` of the answer, if there is one.
   * @returns The compression, `undefined` when the server wants none, or what is wrong with the answer.
   */
  check(answer: string | undefined): Compression | undefined | string {
    if (answer === undefined) return undefined;
    const extensions = parseExtensions(answer);
    if (extensions === undefined) return "Sec-WebSocket-Extensions is malformed";
    const agreed = checkAgreement(extensions, this.#options);
    return typeof agreed === "string" ? agreed : this.#compressor.connect(agreed);
  }

  /** No connection is left. */
  close(): void {
    this.#compressor.close();
  }
}
