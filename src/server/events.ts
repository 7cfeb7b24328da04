/**
 * The events of the servers, with the arguments of their handlers in Swoole's order.
 *
 * @module
 */

import { suggestion } from "../similar_name.ts";
import type { CloseFrame, Frame } from "../websocket/frame.ts";
import type { HttpRequest } from "./http/http_request.ts";
import type { HttpResponse } from "./http/http_response.ts";
import type { Packet, PacketInfo, ServerEvent } from "./server_event.ts";

/** What a handler may return: nothing, or a promise that is waited for where that matters. */
// deno-lint-ignore no-explicit-any
export type Handled = any;

/** The events that get a `ServerEvent`, or a `Packet`, where `event_object` is set. */
export interface ObjectEvents<S> {
  /** A connection was accepted. */
  connect(server: S, event: ServerEvent): Handled;
  /** Octets arrived on a raw connection. */
  receive(server: S, event: ServerEvent & { readonly data: Uint8Array }): Handled;
  /** A datagram arrived. */
  packet(server: S, packet: Packet): Handled;
  /** A connection is over. */
  close(server: S, event: ServerEvent): Handled;
  /** A connection that was no WebSocket is over; on a `WebSocketServer`. */
  disconnect(server: S, event: ServerEvent): Handled;
}

/**
 * Events of every server (Swoole page "Server", events). `on()` takes their names in any letter case.
 *
 * `S` is the class of the server, `fd` the number of a connection, `reactorId` 0, or -1 in `close` and `disconnect` when the
 * server ended the connection.
 */
export interface ServerEvents<S> {
  /** The server accepts connections. */
  start(server: S): Handled;
  /** The worker is ready. There is one worker, number 0. */
  workerStart(server: S, workerId: number): Handled;
  /** A connection was accepted. */
  connect(server: S, fd: number, reactorId: number): Handled;
  /** Octets arrived on a connection of a plain `Server`. */
  receive(server: S, fd: number, reactorId: number, data: Uint8Array): Handled;
  /** A datagram arrived at a UDP port, which needs this handler. */
  packet(server: S, data: Uint8Array, clientInfo: PacketInfo): Handled;
  /** A connection is over. On a `WebSocketServer`: a WebSocket, or another one when there is no `disconnect` handler. */
  close(server: S, fd: number, reactorId: number): Handled;
  /** The send queue of a connection passed `buffer_high_watermark`. */
  bufferFull(server: S, fd: number): Handled;
  /** The send queue came down to `buffer_low_watermark` again. */
  bufferEmpty(server: S, fd: number): Handled;
  /** Another name of `bufferEmpty`. */
  drain(server: S, fd: number): Handled;
  /**
   * A handler threw, or accepting failed. `fd` is 0 when no connection is concerned. Without a handler the error is logged.
   */
  error(server: S, error: unknown, fd: number): Handled;
  /** `shutdown()` was called. */
  beforeShutdown(server: S): Handled;
  /** The worker stops. */
  workerStop(server: S, workerId: number): Handled;
  /** The server has stopped. */
  shutdown(server: S): Handled;
}

/** Events of an `HttpServer` (Swoole page "Http\Server"). */
export interface HttpServerEvents<S> extends ServerEvents<S> {
  /** A request to answer. When the handler is done without an answer, and the response is not detached, it is a 500. */
  request(request: HttpRequest, response: HttpResponse): Handled;
}

/** Events of a `WebSocketServer` (Swoole page "WebSocket\Server", events). */
export interface WebSocketServerEvents<S> extends HttpServerEvents<S> {
  /** A WebSocket is open; `request` is its handshake. Not called when there is a `handshake` handler. */
  open(server: S, request: HttpRequest): Handled;
  /** A message arrived; or a control frame, where `open_websocket_*_frame` is set. Required. */
  message(server: S, frame: Frame | CloseFrame): Handled;
  /** Answers the handshake instead of the server: status 101 and the right headers, or a refusal. */
  handshake(request: HttpRequest, response: HttpResponse): Handled;
  /**
   * Called before the server answers a handshake: adds headers, or refuses by ending the response. The server is the last
   * argument, unlike in Swoole, whose page shows two arguments and which passes the server first.
   */
  beforeHandshakeResponse(request: HttpRequest, response: HttpResponse, server: S): Handled;
  /** A connection that was no WebSocket is over. */
  disconnect(server: S, fd: number, reactorId: number): Handled;
}

/** The events of a port: those of connections. */
export type PortEvents<S> = Omit<
  WebSocketServerEvents<S>,
  "start" | "workerStart" | "error" | "beforeShutdown" | "workerStop" | "shutdown"
>;

/**
 * The events under all spellings that the compiler knows: as above, in lower case, with a capital letter (`Message`), and the
 * pages' `handShake`. At run time any letter case will do.
 */
export type Spellings<Events> =
  & Events
  & {
    [
      Name in keyof Events as Name extends "handshake" ? "handShake" | "Handshake" | "HandShake"
        : Name extends "beforeHandshakeResponse"
          ? "beforehandshakeresponse" | "beforeHandShakeResponse" | "BeforeHandshakeResponse" | "BeforeHandShakeResponse"
        : Name extends string ? Lowercase<Name> | Capitalize<Name>
        : never
    ]: Events[Name];
  };

const SERVER_EVENTS = [
  "start",
  "workerStart",
  "connect",
  "receive",
  "packet",
  "close",
  "bufferFull",
  "bufferEmpty",
  "drain",
  "error",
  "beforeShutdown",
  "workerStop",
  "shutdown",
];
const HTTP_EVENTS = [...SERVER_EVENTS, "request"];
const WEBSOCKET_EVENTS = [...HTTP_EVENTS, "open", "message", "handshake", "beforeHandshakeResponse", "disconnect"];

/** The names of the events that a port has handlers of its own for. @internal */
export const PORT_EVENT_NAMES: readonly string[] = [
  "connect",
  "receive",
  "packet",
  "close",
  "bufferFull",
  "bufferEmpty",
  "drain",
  "request",
  "open",
  "message",
  "handshake",
  "beforeHandshakeResponse",
  "disconnect",
];

/** The names of the events of each class. @internal */
export const EVENT_NAMES: Readonly<Record<"server" | "http" | "websocket", readonly string[]>> = {
  server: SERVER_EVENTS,
  http: HTTP_EVENTS,
  websocket: WEBSOCKET_EVENTS,
};

const NO_WORKERS = "there are no worker processes";
const NO_TASKS = "there are no task processes; await the work in the handler, or give it to a Worker";

/** Events that Swoole has and Sluice has not, in lower case, with the reason. */
const ABSENT_EVENTS: ReadonlyMap<string, string> = new Map([
  ["managerstart", NO_WORKERS],
  ["managerstop", NO_WORKERS],
  ["workererror", `${NO_WORKERS}; error gets what handlers throw`],
  ["workerexit", `${NO_WORKERS}; use workerStop`],
  ["beforereload", `${NO_WORKERS} to reload`],
  ["afterreload", `${NO_WORKERS} to reload`],
  ["pipemessage", NO_WORKERS],
  ["task", NO_TASKS],
  ["finish", NO_TASKS],
]);

/** The classes by what they add. */
const CLASSES = [["HttpServer", HTTP_EVENTS], ["WebSocketServer", WEBSOCKET_EVENTS]] as const;

/**
 * Says why there is no event of a name, and which one may have been meant.
 *
 * @param names The events that there are: of a class of servers, or of one of its ports.
 * @internal
 */
export function explainAbsentEvent(event: string, names: readonly string[]): string {
  const key = event.toLowerCase();
  const reason = ABSENT_EVENTS.get(key);
  if (reason !== undefined) return `there is no event ${event}: ${reason}`;
  const isEventStyle = names.includes("connect");
  const has = (events: readonly string[]) => isEventStyle && events.some((name) => name.toLowerCase() === key);
  if (has(SERVER_EVENTS)) return `a port has no event ${event}, its server has it`;
  const owner = CLASSES.find(([, events]) => has(events))?.[0];
  if (owner !== undefined) return `only a ${owner} has the event ${event}`;
  const meant = suggestion(key.startsWith("on") ? event.slice(2) : event, names);
  return `there is no event ${event}${meant || `; there ${names.length === 1 ? "is only" : "are"} ${names.join(", ")}`}`;
}
