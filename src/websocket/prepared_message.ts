/**
 * Messages that are sent to many connections, and all values that a program can push.
 *
 * @module
 */

import { SWOOLE_WEBSOCKET_FLAG_FIN, WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import { describeUnsendable, notTransferred } from "../values.ts";
import { frameBytes, payloadOf, textFrameBytes } from "./encoder.ts";
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
    let message: Pick<Outgoing, "payload" | "start" | "end">;
    let isText = true; // known to be valid UTF-8
    if (data instanceof Frame) {
      ({ opcode, flags } = data);
      if (data.finish !== null) flags = data.finish ? flags | SWOOLE_WEBSOCKET_FLAG_FIN : flags & ~SWOOLE_WEBSOCKET_FLAG_FIN;
      message = Frame["outgoing"](data, flags, "prepare");
      isText = typeof message.payload === "string" || Frame["isKnownText"](data);
    } else if (typeof data === "string" || typeof data === "number") {
      const payload = String(data);
      message = { payload, start: 0, end: payload.length };
    } else if (data instanceof Uint8Array) {
      message = { payload: notTransferred(data, "prepare"), start: 0, end: data.length };
      isText = false;
    } else {
      throw new TypeError(`Cannot prepare ${describeUnsendable(data, "or a Frame")}`);
    }
    opcode ??= isText ? WEBSOCKET_OPCODE_TEXT : WEBSOCKET_OPCODE_BINARY;
    const isData = opcode === WEBSOCKET_OPCODE_TEXT || opcode === WEBSOCKET_OPCODE_BINARY;
    if (!isData || (flags & SWOOLE_WEBSOCKET_FLAG_FIN) === 0) {
      throw new RangeError(`Cannot prepare the message: opcode ${opcode} with flags ${flags} is no whole text or binary message`);
    }
    const { payload, start, end } = message;
    if (opcode === WEBSOCKET_OPCODE_TEXT && !isText && !isUtf8(payload as Uint8Array, start, end)) {
      throw new RangeError(
        "Cannot prepare the message: a text has to be UTF-8; leave the opcode out, or use WEBSOCKET_OPCODE_BINARY",
      );
    }
    this.#outgoing = prepareFrame({ opcode, flags, payload, start, end });
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

/** Frames a whole message for many connections, unless it is framed already. Its payload is copied. */
export function prepareFrame(message: Outgoing): Outgoing {
  if (message.prepared !== undefined) return message;
  const { opcode, flags, payload, start, end } = message;
  const first = 0x80 | opcode;
  const frame = typeof payload === "string" ? textFrameBytes(first, payload) : frameBytes(first, payload, start, end);
  const bytes = payloadOf(frame);
  return {
    opcode,
    flags,
    payload: bytes,
    start: 0,
    end: bytes.length,
    prepared: { first, payload: bytes, frame, packed: new Map(), waits: 0 },
  };
}

/** The values that `push()` accepts. */
export type Pushable = string | number | Uint8Array | Frame | PreparedMessage;

/** Reads the arguments of `push()`; see `readOutgoing()`. They are ignored for a prepared message. */
export function readPushed(data: Pushable, opcode?: number, flags?: number | boolean): Outgoing | undefined {
  if (typeof data === "object" && data instanceof PreparedMessage) return data["outgoing"];
  return readOutgoing(data, opcode, flags, "a Frame or a PreparedMessage");
}
