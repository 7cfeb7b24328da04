/**
 * Messages that are sent to many connections, and all values that a program can push.
 *
 * @module
 */

import { sliceBytes } from "../transport/bytes.ts";
import { SWOOLE_WEBSOCKET_FLAG_FIN, WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import { describeUnsendable, notTransferred, utf8Encoder } from "../values.ts";
import { frameBytes } from "./encoder.ts";
import { Frame, readOutgoing } from "./frame.ts";
import type { Outgoing } from "./outgoing.ts";
import { isUtf8 } from "./utf8.ts";

/**
 * A message that is framed once, compressed at most once for each window size, and sent to any number of connections of any
 * server. It holds a copy, so that its source may change.
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
  readonly #outgoing: Outgoing;

  /**
   * Prepares a message.
   *
   * @param data A string, a number (sent as text), bytes, or a `Frame`, for which the other arguments are ignored.
   * @param opcode The frame type; the default is text for a string or a number, binary for bytes.
   * @param flags A sum of `SWOOLE_WEBSOCKET_FLAG_*`; the default is FIN. With COMPRESS, the message is compressed on connections
   * that agreed to it.
   * @throws {TypeError} If `data` has another type, or its buffer has been transferred.
   * @throws {RangeError} If it is not a complete text or binary message, or a text that is not UTF-8.
   */
  constructor(data: string | number | Uint8Array | Frame, opcode?: number, flags: number = SWOOLE_WEBSOCKET_FLAG_FIN) {
    let payload: Uint8Array;
    let isText = false; // known to be valid UTF-8
    if (data instanceof Frame) {
      ({ opcode, flags } = data);
      if (data.finish !== null) flags = data.finish ? flags | SWOOLE_WEBSOCKET_FLAG_FIN : flags & ~SWOOLE_WEBSOCKET_FLAG_FIN;
      const { payload: held, start, end } = Frame["outgoing"](data, flags, "prepare");
      isText = typeof held === "string" || Frame["isKnownText"](data);
      payload = typeof held === "string" ? utf8Encoder.encode(held) : sliceBytes(held, start, end);
    } else if (typeof data === "string" || typeof data === "number") {
      payload = utf8Encoder.encode(String(data));
      isText = true;
    } else if (data instanceof Uint8Array) {
      payload = sliceBytes(notTransferred(data, "prepare"), 0, data.length);
    } else {
      throw new TypeError(`Cannot prepare ${describeUnsendable(data, "or a Frame")}`);
    }
    opcode ??= isText ? WEBSOCKET_OPCODE_TEXT : WEBSOCKET_OPCODE_BINARY;
    const isData = opcode === WEBSOCKET_OPCODE_TEXT || opcode === WEBSOCKET_OPCODE_BINARY;
    if (!isData || (flags & SWOOLE_WEBSOCKET_FLAG_FIN) === 0) {
      throw new RangeError(`Cannot prepare the message: opcode ${opcode} with flags ${flags} is no whole text or binary message`);
    }
    if (opcode === WEBSOCKET_OPCODE_TEXT && !isText && !isUtf8(payload)) {
      throw new RangeError(
        "Cannot prepare the message: a text has to be UTF-8; leave the opcode out, or use WEBSOCKET_OPCODE_BINARY",
      );
    }
    const first = 0x80 | opcode;
    const frame = frameBytes(first, payload);
    payload = frame.subarray(frame.length - payload.length);
    const prepared = { first, payload, frame, packed: new Map() };
    this.#outgoing = { opcode, flags, payload, start: 0, end: payload.length, prepared };
  }

  /** The length of the payload, in bytes. */
  get byteLength(): number {
    return this.#outgoing.end;
  }

  /** The message in the form that is sent; for this library, as `message["outgoing"]`. */
  private get outgoing(): Outgoing {
    return this.#outgoing;
  }
}

/** The values that `push()` accepts. */
export type Pushable = string | number | Uint8Array | Frame | PreparedMessage;

/** Reads the arguments of `push()`; see `readOutgoing()`. They are ignored for a prepared message. */
export function readPushed(data: Pushable, opcode?: number, flags?: number | boolean): Outgoing | undefined {
  if (typeof data === "object" && data instanceof PreparedMessage) return data["outgoing"];
  return readOutgoing(data, opcode, flags, "a Frame or a PreparedMessage");
}
