/**
 * The arguments of `publish()`, `broadcast()` and `append()`, checked.
 *
 * @module
 */

import { SWOOLE_WEBSOCKET_FLAG_FIN, WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import { describe } from "../values.ts";
import type { Outgoing } from "../websocket/outgoing.ts";
import { type Pushable, readPushed } from "../websocket/prepared_message.ts";
import type { Excepted } from "./topic_broker.ts";

/** The options of `publish()` and `broadcast()`. */
export interface PublishOptions {
  /** The frame type. Default: binary for bytes, otherwise text. */
  readonly opcode?: number;
  /** A sum of `SWOOLE_WEBSOCKET_FLAG_*`. Default: FIN. With COMPRESS the message is compressed where that was negotiated. */
  readonly flags?: number;
  /** The connections that are left out: an fd, or a list or `Set` of fds. */
  readonly except?: number | Iterable<number>;
  /** The connection that the message comes from: it counts against `max_publish_rate`. */
  readonly from?: number;
}

/** Checks that a topic is a string. */
export function checkTopic(topic: unknown, work: string): void {
  if (typeof topic !== "string") throw new TypeError(`Cannot ${work}: a topic is a string, not ${describe(topic)}`);
}

/** The arguments of `publish()` and `broadcast()`, checked. */
export interface Publication {
  /** The message. */
  readonly message: Outgoing;
  /** The connections to leave out. */
  readonly except: Excepted;
}

/**
 * Reads the arguments of `publish()` and `broadcast()`.
 *
 * @returns `undefined` if the message cannot be sent: it is no complete text or binary message, or a text that is not UTF-8.
 * @throws {TypeError} If an argument has another type.
 */
export function readPublication(data: Pushable, options: PublishOptions, work: string): Publication | undefined {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Cannot ${work}: the options are an object such as { except: fd }, not ${describe(options)}`);
  }
  const { opcode, flags, except } = options;
  const message = readPushed(data, opcode, flags);
  const excepted = except === undefined ? undefined : exceptedOf(except, work);
  if (message === undefined || (message.flags & SWOOLE_WEBSOCKET_FLAG_FIN) === 0) return undefined;
  const isData = message.opcode === WEBSOCKET_OPCODE_TEXT || message.opcode === WEBSOCKET_OPCODE_BINARY;
  return isData ? { message, except: excepted } : undefined;
}

function exceptedOf(except: unknown, work: string): Excepted {
  if (typeof except === "number") return new Set([except]);
  if (typeof except !== "object" || except === null || !(Symbol.iterator in except)) {
    throw new TypeError(`Cannot ${work}: except is an fd or a list of fds, not ${describe(except)}`);
  }
  const fds = except instanceof Set ? except : new Set(except as Iterable<unknown>);
  for (const fd of fds) {
    if (typeof fd === "number" || fd === undefined) continue; // undefined: there is no such connection
    throw new TypeError(`Cannot ${work}: except is a list of fds, which are numbers, and has ${describe(fd)}`);
  }
  return fds;
}
