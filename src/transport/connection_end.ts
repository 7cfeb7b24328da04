/**
 * How and why connections end: for the code that ends them and reports it, and for programs.
 *
 * @module
 */

/** Descriptions of timeouts, by the setting that limits the time. */
const OVERDUE = {
  heartbeat_idle_time: "The peer has sent nothing",
  http_body_timeout: "The body of a request did not arrive",
  http_handler_timeout: "The response was not complete",
  http_header_timeout: "A request did not arrive",
  http_send_timeout: "The peer has taken nothing of what was sent to it",
  max_idle_time: "Nothing was sent or received",
  max_wait_time: "The server stops, and the connection was still in use",
  websocket_close_timeout: "The peer has not closed its side of the connection",
  websocket_handshake_timeout: "The handshake was not complete",
  websocket_message_timeout: "The rest of a message did not arrive",
  websocket_ping_timeout: "The peer has given no sign of life",
} as const;

/** A setting that limits a time and ends connections. */
export type TimeoutSetting = keyof typeof OVERDUE;

/** An error for a time limit that has passed. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";
  /** The setting that limits the time. */
  readonly setting: TimeoutSetting;

  constructor(setting: TimeoutSetting) {
    super(`${OVERDUE[setting]} within ${setting}`);
    this.setting = setting;
  }
}

/** The reason why this side ends a connection. */
export interface EndCause {
  /** The reason in words. */
  readonly reason?: string | undefined;
  /** The error, if any. */
  readonly error?: unknown;
}

/** The cause if the transport ended by itself, that is, not because of this side. */
export const BROKEN: EndCause = {};

/** Returns the cause for ending a connection because of a timeout. */
export function timedOut(setting: TimeoutSetting): EndCause {
  return { error: new TimeoutError(setting) };
}

/** The end of a connection, as the connection itself knows it. */
export class ConnectionEnd {
  /** Whether Swoole would report the server as the closing side. */
  readonly byServer: boolean;
  /** The side that ended it; a protocol may know better. */
  readonly initiator: "local" | "remote";
  /** Whether nothing was cut off; a protocol may know better. */
  isOrderly: boolean;
  /** The reason why this side ended it, in words. */
  readonly reason: string;
  /** The error, if any. */
  readonly error: unknown;

  /**
   * @param error The error that broke the connection, if any.
   * @param cause Why this side ends it; `BROKEN` if this side did not end it, `undefined` if there is no stated reason.
   */
  constructor(byServer: boolean, isOrderly: boolean, error: unknown, cause: EndCause | undefined) {
    const isLocal = byServer || cause !== undefined || error !== undefined;
    this.byServer = byServer;
    this.initiator = isLocal && cause !== BROKEN ? "local" : "remote";
    this.isOrderly = isOrderly;
    this.reason = cause?.reason ?? "";
    this.error = cause?.error ?? error;
  }
}

/**
 * The data that a program keeps with a connection or a request, `server.data(fd)` and `request.data`, unless it names a type of
 * its own: `new WebSocketServer<{ user: string }>()`.
 */
// deno-lint-ignore no-explicit-any
export type ConnectionData = Record<string, any>;

/**
 * A description of how a connection ended, with the names of the web's `CloseEvent`. It is the last argument of `close` and
 * `disconnect`, and `closeInfo` in the coroutine style.
 *
 * @example
 * ```ts
 * import { WebSocketServer } from "@sluice/server";
 *
 * const server = new WebSocketServer("127.0.0.1", 0);
 * server.on("message", (server, frame) => server.push(frame.fd, frame));
 * server.on("close", (_server, fd, _reactorId, { code, reason, initiator, error }) => {
 *   console.log(`${fd} was closed by the ${initiator} side with ${code} ${reason}`, error ?? "");
 * });
 * ```
 */
export class CloseInfo<Data extends ConnectionData = ConnectionData> {
  /**
   * The close code of a WebSocket, from the first Close frame of either side: 1005 for a frame without a code, 1006 without a
   * Close frame. 0 if the connection was not a WebSocket.
   */
  readonly code: number;
  /** The reason in that Close frame. If the connection was not a WebSocket, why the server ended it, if it has a reason. */
  readonly reason: string;
  /**
   * Whether the connection ended in order: for a WebSocket, both sides sent a Close frame; otherwise, no request, response or
   * package was cut off. Always `false` if there was an error.
   */
  readonly wasClean: boolean;
  /** The side that started to close, with a Close frame or else by ending or aborting the connection; `local` is this program. */
  readonly initiator: "local" | "remote";
  /**
   * The error, if any: an exception thrown by a handler, an error of the transport, or for a timeout, an `Error` named
   * `TimeoutError` whose message names the setting.
   */
  readonly error: unknown;
  /** The program's object for this connection, see `Server.data()`. `undefined` for plain HTTP and in a client. */
  readonly data: Data | undefined;

  /** Created by Sluice. */
  constructor(
    code: number,
    reason: string,
    wasClean: boolean,
    initiator: "local" | "remote",
    error: unknown,
    data: Data | undefined,
  ) {
    this.code = code;
    this.reason = reason;
    this.wasClean = wasClean && error === undefined;
    this.initiator = initiator;
    this.error = error;
    this.data = data;
  }
}
