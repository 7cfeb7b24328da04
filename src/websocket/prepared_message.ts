/**
 * Messages that are sent to many.
 *
 * @module
 */

import { sliceBytes } from "../bytes.ts";
import { SWOOLE_WEBSOCKET_FLAG_FIN, WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import type { Eventually, Packed } from "./deflate/compression.ts";
import { frameBytes } from "./encoder.ts";
import { Frame } from "./frame.ts";

const encoder = new TextEncoder();

/** What is inside of a prepared message. */
export interface PreparedParts {
  /** The first byte of its frame. */
  readonly first: number;
  /** The flags that it was made with. */
  readonly flags: number;
  /** The payload. */
  readonly payload: Uint8Array;
  /** The whole frame, not compressed and not masked. */
  readonly frame: Uint8Array;
  /** The compressed payload by the window that it is compressed for. */
  readonly packed: Map<number, Eventually<Packed>>;
}

/** The inside of a prepared message. */
export let partsOf: (message: PreparedMessage) => PreparedParts;

/**
 * A message that is framed once, compressed at most once for each window, and sent to any number of connections of any server. It is
 * a copy: what it was made from may change.
 *
 * @example A broadcast
 * ```ts
 * import { PreparedMessage, WebSocketServer } from "@sluice/server";
 *
 * const server = new WebSocketServer("127.0.0.1", 0);
 * server.on("message", (server, frame) => {
 *   const message = new PreparedMessage(frame);
 *   for (const fd of server.connections) if (server.isEstablished(fd)) server.push(fd, message);
 * });
 * await server.start();
 * server.shutdown();
 * ```
 */
export class PreparedMessage {
  readonly #parts: PreparedParts;

  static {
    partsOf = (message) => message.#parts;
  }

  /**
   * Prepares a message.
   *
   * @param data A text, bytes, or a `Frame`, for which the other arguments are ignored.
   * @param opcode The frame type: text for a string, binary for bytes, unless given.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`; FIN unless given. With COMPRESS it is compressed where that was agreed.
   * @throws {TypeError} If `data` is none of these.
   * @throws {RangeError} If it is no whole text or binary message.
   */
  constructor(data: string | Uint8Array | Frame, opcode?: number, flags: number = SWOOLE_WEBSOCKET_FLAG_FIN) {
    let payload: Uint8Array;
    if (data instanceof Frame) {
      ({ opcode, flags } = data);
      if (data.finish !== null) flags = data.finish ? flags | SWOOLE_WEBSOCKET_FLAG_FIN : flags & ~SWOOLE_WEBSOCKET_FLAG_FIN;
      payload = sliceBytes(data.bytes, 0, data.bytes.length);
    } else if (typeof data === "string") {
      payload = encoder.encode(data);
    } else if (data instanceof Uint8Array) {
      payload = sliceBytes(data, 0, data.length);
    } else {
      throw new TypeError(
        `Cannot prepare a value of type ${typeof data}: a string, a Uint8Array or a Frame is needed`,
      );
    }
    opcode ??= typeof data === "string" ? WEBSOCKET_OPCODE_TEXT : WEBSOCKET_OPCODE_BINARY;
    const isData = opcode === WEBSOCKET_OPCODE_TEXT || opcode === WEBSOCKET_OPCODE_BINARY;
    if (!isData || (flags & SWOOLE_WEBSOCKET_FLAG_FIN) === 0) {
      throw new RangeError(`Cannot prepare the message: opcode ${opcode} with flags ${flags} is no whole text or binary message`);
    }
    const first = 0x80 | opcode;
    const frame = frameBytes(first, payload);
    const size = frame.length - payload.length;
    this.#parts = { first, flags, payload: frame.subarray(size), frame, packed: new Map() };
  }

  /** The length of the payload, in bytes. */
  get byteLength(): number {
    return this.#parts.payload.length;
  }
}
