/**
 * The events of the servers. Handlers receive their arguments in Swoole's order.
 *
 * @module
 */

import type { CloseInfo, ConnectionData } from "../transport/connection_end.ts";
import type { SlowReader } from "../topics/delivery.ts";
import type { TopicGap, TopicPresence } from "../topics/topics.ts";
import type { ReceivedFrame } from "../websocket/frame.ts";
import type { Task, TaskResult } from "./task.ts";
import type { HttpRequest } from "./http/http_request.ts";
import type { HttpResponse } from "./http/http_response.ts";
import type { Refusal } from "./refusals.ts";
import type { Packet, PacketInfo, PipeMessage, ServerEvent, StatusInfo } from "./server_event.ts";

/** The result of a handler: anything; a promise is awaited where that matters. */
export type Handled = unknown;

/** The events whose handlers receive an object, such as a `ServerEvent` or a `Packet`, if `event_object` is set. */
export interface ObjectEvents<S, Data extends ConnectionData = ConnectionData> {
  /** A connection was accepted. */
  connect(server: S, event: ServerEvent): Handled;
  /** Bytes arrived on a raw connection. */
  receive(server: S, event: ServerEvent & { readonly data: Uint8Array }): Handled;
  /** A datagram arrived. */
  packet(server: S, packet: Packet): Handled;
  /** A connection has ended. */
  close(server: S, event: ServerEvent, info: CloseInfo<Data>): Handled;
  /** A connection that was not a WebSocket has ended; on a `WebSocketServer`. */
  disconnect(server: S, event: ServerEvent, info: CloseInfo<Data>): Handled;
  /** A task has arrived; also with `task_object` or `task_enable_coroutine` alone. */
  task(server: S, task: Task): Handled;
  /** The result of a task has arrived. */
  finish(server: S, result: TaskResult): Handled;
  /** A message of another process has arrived. */
  pipeMessage(server: S, message: PipeMessage): Handled;
  /** A worker has ended that was not told to. */
  workerError(server: S, status: StatusInfo): Handled;
}

/**
 * Events of the processes of a server, in both styles. Without workers, one process is the master and worker 0, and of these
 * events only `workerStart` and `workerStop` are called.
 */
export interface WorkerEvents<S> {
  /**
   * A worker starts. Called in each worker, which listens when the handler has settled, and ends if it has failed, and in each task
   * worker; without workers in the only process, as soon as it listens.
   */
  workerStart(server: S, workerId: number): Handled;
  /** A worker ends: its last connection has gone. Called in the worker, which waits for the handler. */
  workerStop(server: S, workerId: number): Handled;
  /**
   * A worker was replaced or is about to stop, and has connections, handlers or timers. Called in the worker, each second while it
   * has. It does not wait for timers.
   */
  workerExit(server: S, workerId: number): Handled;
  /**
   * A worker has ended that was not told to, or not with status 0. Called in the master, which starts another one.
   *
   * `exitCode` is its exit status, `signal` the number of the signal that ended it; 0 for none.
   */
  workerError(server: S, workerId: number, workerPid: number, exitCode: number, signal: number): Handled;
  /** A reload begins. Called in the master, which waits for the handler, up to `max_wait_time`. */
  beforeReload(server: S): Handled;
  /** A reload has ended: all workers have been replaced, or one could not be. Called in the master. */
  afterReload(server: S): Handled;
}

/**
 * Events of every server (Swoole page "Server", events). `on()` accepts their names in any letter case.
 *
 * `S` is the class of the server, `Data` the type of the data of its connections, `fd` the number of a connection. `reactorId` is 0, or -1 in `close` and `disconnect` if the
 * server ended the connection.
 */
export interface ServerEvents<S, Data extends ConnectionData = ConnectionData> extends WorkerEvents<S> {
  /** The server accepts connections, in all workers. Called in the master. */
  start(server: S): Handled;
  /** The same, if there are workers; after `start`. */
  managerStart(server: S): Handled;
  /** The last worker has ended. Called in the master, if there were workers. */
  managerStop(server: S): Handled;
  /**
   * A message of another process has arrived, which has called `sendMessage()`. `workerId` is its number, -1 for the master. `data`
   * is a value like the one that was sent: a structured clone.
   */
  // deno-lint-ignore no-explicit-any
  pipeMessage(server: S, workerId: number, data: any): Handled;
  /**
   * A task has arrived, in a task worker. What the handler returns, or what it passes to `finish()`, is sent to the worker that has
   * given the task; `srcWorkerId` is its number, -1 for the master. With `task_object` or `task_enable_coroutine`, it receives a
   * `Task` after the server.
   */
  // deno-lint-ignore no-explicit-any
  task(server: S, taskId: number, srcWorkerId: number, data: any): Handled;
  /** The result of a task has arrived, in the worker that has given it. */
  // deno-lint-ignore no-explicit-any
  finish(server: S, taskId: number, data: any): Handled;
  /** A connection was accepted. */
  connect(server: S, fd: number, reactorId: number): Handled;
  /** Bytes arrived on a connection of a plain `Server`. */
  receive(server: S, fd: number, reactorId: number, data: Uint8Array): Handled;
  /** A datagram arrived at a UDP port, which needs this handler. */
  packet(server: S, data: Uint8Array, clientInfo: PacketInfo): Handled;
  /**
   * A connection has ended; `info` says how. On a `WebSocketServer` only for WebSockets, unless there is no `disconnect` handler.
   */
  close(server: S, fd: number, reactorId: number, info: CloseInfo<Data>): Handled;
  /** The send queue of a connection rose above `buffer_high_watermark`. */
  bufferFull(server: S, fd: number): Handled;
  /** The send queue of a connection fell to `buffer_low_watermark` again. */
  bufferEmpty(server: S, fd: number): Handled;
  /** An alias of `bufferEmpty`. */
  drain(server: S, fd: number): Handled;
  /**
   * A handler threw, or accepting a connection failed. `fd` is 0 if no connection is concerned. Without a handler the error is
   * logged.
   */
  error(server: S, error: unknown, fd: number): Handled;
  /**
   * A connection, a handshake or a request was refused. `stats()` counts every refusal; the log has one of each kind per minute.
   */
  refuse(server: S, refusal: Refusal): Handled;
  /** `shutdown()` was called. Called in the master. */
  beforeShutdown(server: S): Handled;
  /** The server has stopped. Called in the master. */
  shutdown(server: S): Handled;
}

/** Events of an `HttpServer` (Swoole page "Http\Server"). */
export interface HttpServerEvents<S, Data extends ConnectionData = ConnectionData> extends ServerEvents<S, Data> {
  /** A request arrived. If the handler settles without responding or detaching the response, the response is a 500. */
  request: (request: HttpRequest<Data>, response: HttpResponse) => Handled;
}

/** Events of a `WebSocketServer` (Swoole page "WebSocket\Server", events). */
export interface WebSocketServerEvents<S, Data extends ConnectionData = ConnectionData> extends HttpServerEvents<S, Data> {
  /** A WebSocket is open; `request` is its handshake. Not called if there is a `handshake` handler. */
  open: (server: S, request: HttpRequest<Data>) => Handled;
  /** A message arrived, or a control frame if `open_websocket_*_frame` is set. Required. */
  message: (server: S, frame: ReceivedFrame) => Handled;
  /**
   * A client wants to open a WebSocket: its handshake is valid, and its origin allowed. The handler returns `true` to let it in,
   * or `false` to refuse it, or a promise of these. What it puts into `request.data` stays with the WebSocket.
   *
   * A client is refused with the status, header fields and body that the handler gives `response`; by default with 403. It counts
   * as a refusal. A handler that takes longer than `websocket_handshake_timeout` refuses with 503, one that throws with 500.
   */
  authenticate: (request: HttpRequest<Data>, response: HttpResponse, server: S) => boolean | PromiseLike<boolean>;
  /**
   * A handshake arrived. The handler responds instead of the server: with status 101 and the right headers, or with a refusal.
   */
  handshake: (request: HttpRequest<Data>, response: HttpResponse) => Handled;
  /**
   * The server is about to respond to a handshake. The handler may add headers, or refuse by ending the response. The server is
   * the last argument, unlike in Swoole, whose page shows two arguments and which passes the server first.
   */
  beforeHandshakeResponse: (request: HttpRequest<Data>, response: HttpResponse, server: S) => Handled;
  /**
   * A WebSocket reads more slowly than is published, see the setting `topic_slow_readers`. Called before it is closed, or once
   * until it has caught up.
   */
  slowReader: (server: S, reader: SlowReader) => Handled;
  /**
   * Subscribers of a kept topic have missed messages, and go on at another position: they need the current state from somewhere
   * else. What the handler pushes arrives before the next message of the topic.
   */
  topicGap: (server: S, gap: TopicGap) => Handled;
  /**
   * Members of a topic that has subscribers here have come, left, or show something else: see `show()`. Changes within a turn come
   * together; those of topics with more than 100 members within a tenth of a second.
   */
  presence: (server: S, presence: TopicPresence) => Handled;
  /** A connection that was not a WebSocket has ended. */
  disconnect(server: S, fd: number, reactorId: number, info: CloseInfo<Data>): Handled;
}

/** The events of a port: those that concern a connection. */
export type PortEvents<S, Data extends ConnectionData = ConnectionData> = Omit<
  WebSocketServerEvents<S, Data>,
  | keyof WorkerEvents<S>
  | "start"
  | "managerStart"
  | "managerStop"
  | "error"
  | "refuse"
  | "slowReader"
  | "presence"
  | "topicGap"
  | "pipeMessage"
  | "task"
  | "finish"
  | "beforeShutdown"
  | "shutdown"
>;

// ---- on() ---------------------------------------------------------------------------------------------------------------

// `on()` has one signature, so that the compiler has one thing to say about a call that is wrong: an event that does not exist is
// an error of the name, and a handler that does not fit is an error of the handler.

/** Any handler for any name: of a name that does not exist, nothing but the name is wrong. */
export interface AnyHandlers {
  /** A handler. */
  // deno-lint-ignore no-explicit-any
  [name: string]: (...args: any[]) => any;
}

/** What `on()` of a `Server` takes. */
export interface ServerHandlers<S, Data extends ConnectionData = ConnectionData> extends ServerEvents<S, Data>, AnyHandlers {}

/** What `on()` of an `HttpServer` takes. */
export interface HttpServerHandlers<S, Data extends ConnectionData = ConnectionData>
  extends HttpServerEvents<S, Data>, AnyHandlers {}

/** What `on()` of a `WebSocketServer` takes. */
export interface WebSocketServerHandlers<S, Data extends ConnectionData = ConnectionData>
  extends WebSocketServerEvents<S, Data>, AnyHandlers {}

/** What `on()` of a `ServerPort` takes. */
export interface PortHandlers<S, Data extends ConnectionData = ConnectionData> extends PortEvents<S, Data>, AnyHandlers {}

/** Handlers by the names of their events in lower case. */
export type HandlersByName<Events> = { [Name in keyof Events as Name extends string ? Lowercase<Name> : never]: Events[Name] };

/** `Name` by the names of all events in lower case; by any other name, the names of all events. */
export type NamesByName<Events, Name extends string> =
  & { [Known in keyof Events as Known extends string ? Lowercase<Known> : never]?: Name }
  & { [other: string]: { [Known in keyof Events]: Known }[keyof Events] | undefined };

/** The name of an event: `Name` itself, in any letter case; if there is no such event, the names that there are. */
export type EventName<Events, Name extends string> = [Name] extends [never] ? Name
  : NamesByName<Events, Name>[Lowercase<Name>] & string;

/** The handler of an event, whose name may be in any letter case. */
export type EventHandler<Handlers, Name extends string> = HandlersByName<Handlers>[
  & Lowercase<Name>
  & keyof HandlersByName<Handlers>
];

/**
 * The type of a handler for `event_object`, if it is one; otherwise `never`. The handler has to name the type of its argument:
 * `(server, event: ServerEvent) => …`.
 */
// deno-lint-ignore no-explicit-any
export type ObjectEventHandler<Name extends string, Given> = Lowercase<Name> extends keyof HandlersByName<ObjectEvents<any, any>>
  // deno-lint-ignore no-explicit-any
  ? Given extends HandlersByName<ObjectEvents<any, any>>[Lowercase<Name>] ? Given : never
  : never;
