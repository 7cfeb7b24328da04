/**
 * What everything in one server shares: its connections, the configuration of the program, its handlers, counters and log.
 *
 * @module
 */

import { SWOOLE_ERROR_OPERATION_NOT_SUPPORT, SWOOLE_ERROR_SESSION_NOT_EXIST } from "../errors.ts";
import { describe } from "../values.ts";
import type { ConnectionData } from "../transport/connection_end.ts";
import type { Connection } from "../transport/connection.ts";
import type { ConnectionTable } from "../transport/connection_table.ts";
import type { FdSequence } from "../transport/fd_sequence.ts";
import type { Address, Runtime } from "../transport/runtime.ts";
import type { Member } from "../cluster/link.ts";
import type { Mesh } from "../cluster/mesh.ts";
import type { Peers } from "../cluster/peers.ts";
import type { Requests } from "../cluster/requests.ts";
import type { WorkerCensus } from "../cluster/worker_census.ts";
import type { Broker } from "../topics/broker.ts";
import type { PresenceNet, Topics } from "../topics/topics.ts";
import type { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import type { Outgoing } from "../websocket/outgoing.ts";
import type { AccessLog } from "./access_log.ts";
import type { AllHealth, AllStats } from "./all_processes.ts";
import type { Admission } from "./admission.ts";
import { Configuration } from "./configuration.ts";
import { Counters } from "./counters.ts";
import { Endings } from "./endings.ts";
import { LateHandlers, promised, type RequestQueue, RunningHandlers, StuckHandlers } from "./running_handlers.ts";
import { Log, type LogContext } from "./log.ts";
import type { TaskMethods } from "./task.ts";
import { ipOf, Refusals } from "./refusals.ts";
import type { ResolvedSettings } from "./settings/settings.ts";

/** The context of everything in one server. The core of the server fills it, and empties it for another start. */
export class ServerContext implements LogContext {
  /** The object that handlers receive as `server`. */
  readonly server: unknown;
  /** The settings and handlers of the server. */
  readonly config: Configuration = new Configuration();
  /** The connections, once there can be any. */
  table: ConnectionTable | undefined = undefined;
  /** The admission control, once connections can arrive. */
  admission: Admission | undefined = undefined;
  /** The access log, if there is one. */
  accessLog: AccessLog | undefined = undefined;
  /** The adapter, once the server starts. */
  runtime: Runtime | undefined = undefined;
  /** How far the server is. */
  state: "new" | "starting" | "running" | "stopping" | "stopped" = "new";
  /** When the server started to listen, in milliseconds since 1970. */
  startTime = 0;

  /** What is counted and measured. Replaced when the server starts again. */
  counters: Counters = new Counters();
  /** The code for `getLastError()`. */
  lastError = 0;
  /** The log. */
  readonly log: Log = new Log(this);
  /** The refusals, counted. */
  readonly refusals: Refusals = new Refusals(this.log, (refusal) => this.emit("refuse", refusal));
  /** The counters of ended connections and errors. */
  readonly endings: Endings = new Endings(this.log);

  /** The handlers that have not settled. */
  running: RunningHandlers = new RunningHandlers();
  /** The queue of requests, if their number is limited. */
  requestQueue: RequestQueue | undefined = undefined;
  /** Detects handlers that wait for a message which is itself held back until a handler settles. */
  readonly stuckHandlers: StuckHandlers = new StuckHandlers(() => this.endings.warnOfStuckHandlers());
  /** Detects request handlers that do not settle. */
  readonly lateHandlers: LateHandlers = new LateHandlers((request) => {
    this.endings.warnOfHandler(request, "half a minute after its client had gone");
  });

  /** The topics, once something has been subscribed to or published. */
  topics: Topics | undefined = undefined;
  /** Makes the topics when the server starts, if they are connected to those of other servers. */
  openTopics: (() => void) | undefined = undefined;
  /** Makes the presence of this process, because another process shows something. */
  openPresence: (() => void) | undefined = undefined;
  /** The broker that the processes of the server share, if they have one that connects servers of one process only. */
  broker: Broker | undefined = undefined;
  /** What tells the other processes who is in which topic, if no broker does. */
  presenceNet: PresenceNet | undefined = undefined;

  /** Sends a message of another process to the subscribers of a topic, or to all WebSockets if that is empty; see `ServerTopics`. */
  deliver: ((topic: string, message: Outgoing, except: ReadonlySet<number> | undefined) => void) | undefined = undefined;
  /** The other processes of the server whose connections it can use, if there are any. */
  peers: Peers | undefined = undefined;
  /** Which of the processes of the server this is, if it has several. */
  member: Member | undefined = undefined;
  /** The links to the other processes of the server, if it has any. */
  mesh: Mesh | undefined = undefined;
  /** Sends a value to another process, if there are any; returns 0, or the code for `getLastError()`. See `WorkerMessages`. */
  sendMessage: ((value: unknown, workerId: number) => number) | undefined = undefined;
  /** Requests to the other processes, if there are any. */
  requests: Requests | undefined = undefined;
  /** The counters of all processes, if there are others. */
  workerStats: AllStats | undefined = undefined;
  /** Tells whether all processes are ready, if there are others. */
  workerHealth: AllHealth | undefined = undefined;
  /** How the workers are, in the master. */
  census: WorkerCensus | undefined = undefined;
  /** The tasks that this process gives and does, if there are task workers. */
  tasks: TaskMethods | undefined = undefined;
  /** The fds to give out, if they are not just numbered. */
  fds: FdSequence | undefined = undefined;

  /** The connection whose end is being handled. */
  leaving: Connection | undefined = undefined;
  /** The fds of connections that are exempt from `heartbeat_idle_time`. */
  readonly protectedFds: Set<number> = new Set();
  /** The numbers set with `bind()`, by fd. */
  readonly uids: Map<number, number> = new Map();
  /** The addresses of clients that have opened a WebSocket through a trusted proxy, by fd. */
  readonly clients: Map<number, Address> = new Map();
  /** The data that the program keeps for connections, by fd. */
  readonly data: Map<number, ConnectionData> = new Map();

  constructor(server: unknown) {
    this.server = server;
  }

  /** The effective settings of the server. */
  get settings(): ResolvedSettings {
    return this.config.settings;
  }

  /** Whether ports and settings are fixed: the server is starting, running or stopping, or `accept()` was called. */
  get hasStarted(): boolean {
    return this.state !== "stopped" && (this.state !== "new" || this.table !== undefined);
  }

  /** Whether the server accepts connections. */
  get isRunning(): boolean {
    return this.state === "running";
  }

  /** The recent delay of the event loop, in seconds: also if a tick of the clock is overdue right now. */
  get loopDelay(): number {
    return Math.max(this.counters.loopDelay.recent, this.table?.overdue ?? 0);
  }

  /** Removes what the server has of other processes, which have ended. */
  resetProcesses(): void {
    this.member = this.census = undefined;
    this.fds = this.mesh = this.peers = undefined;
    this.requests = this.tasks = undefined;
    this.sendMessage = this.workerStats = this.workerHealth = undefined;
    this.broker = this.presenceNet = undefined;
  }

  /** Empties the context for another start. Settings and handlers are kept. */
  reset(): void {
    this.counters = new Counters();
    this.lastError = 0;
    this.running = new RunningHandlers(); // handlers that were cut off are no longer awaited
    this.refusals.reset();
    this.endings.reset();
    this.topics = undefined;
  }

  /** Releases what is kept for the handlers of the end of a connection, once they have settled. */
  forget(fd: number): void {
    this.data.delete(fd);
    this.topics?.forget(fd);
  }

  /** Sets the last-error code. Returns `false`. */
  failed(code: number): false {
    this.lastError = code;
    return false;
  }

  // ---- connections --------------------------------------------------------------------------------------------------

  /** Returns an open connection. */
  connection(fd: number): Connection | undefined {
    return this.table?.get(fd) ?? (typeof fd === "number" ? undefined : this.#connectionNamed(fd));
  }

  /**
   * Returns the connection of an fd given as text, such as an object key; `undefined` if none is given. Throws for anything else.
   */
  #connectionNamed(fd: unknown): Connection | undefined {
    if (typeof fd === "string" && /^[0-9]+$/.test(fd)) return this.table?.get(Number(fd));
    if (fd === undefined || fd === null) return undefined;
    const hint = typeof (fd as { fd?: unknown }).fd === "number" ? "; give its fd" : "";
    const given = typeof fd === "string" ? JSON.stringify(fd) : describe(fd);
    throw new TypeError(`Cannot find the connection: an fd is a number, not ${given}${hint}`);
  }

  /**
   * Returns the fd of a connection that is not of this process, as a number; `undefined` if no other process has it.
   *
   * @param fd An fd for which `connection()` has not found any, and has not thrown.
   */
  remoteFd(fd: number): number | undefined {
    const number = Number(fd);
    return this.peers?.get(number) === undefined ? undefined : number;
  }

  /** Sets the last-error code for a call that needs the socket of a connection, which this process does not have. Returns `false`. */
  notHere(fd: number): false {
    return this.failed(this.codeOfMissing(fd));
  }

  /** Returns the code for such a call. */
  codeOfMissing(fd: number): number {
    return this.remoteFd(fd) === undefined ? SWOOLE_ERROR_SESSION_NOT_EXIST : SWOOLE_ERROR_OPERATION_NOT_SUPPORT;
  }

  /**
   * Calls another process for one of its connections.
   *
   * @param fd An fd for which `connection()` has not found any.
   * @param call Returns 0, or the code for `getLastError()`.
   */
  remotely(fd: number, call: (peers: Peers, fd: number) => number): boolean {
    const code = this.peers === undefined ? SWOOLE_ERROR_SESSION_NOT_EXIST : call(this.peers, Number(fd));
    return code === 0 || this.failed(code);
  }

  /** Called when a connection has become a WebSocket. */
  established(session: WebSocketSession): void {
    this.topics?.open(session);
    const { peers } = this;
    if (peers === undefined) return;
    const address = this.addressOf(session.connection);
    peers.established(session.connection.fd, ipOf(address), address?.port ?? 0);
  }

  /** Returns an open connection, or the one whose end is being handled. */
  connectionOrLeaving(fd: number): Connection | undefined {
    return this.connection(fd) ?? (this.leaving?.fd === fd ? this.leaving : undefined);
  }

  /** Returns the address of the client of a connection; that of its peer, unless it is a WebSocket behind a trusted proxy. */
  addressOf({ fd, remoteAddress }: Connection): Address | undefined {
    return this.clients.get(fd) ?? remoteAddress;
  }

  /** See `Server.data()`. */
  dataOf(fd: number): ConnectionData | undefined {
    let data = this.data.get(fd);
    if (data !== undefined) return data;
    const connection = this.connectionOrLeaving(fd);
    if (connection === undefined || connection.protocol.isPlainHttp) return undefined;
    this.data.set(fd, data = {});
    return data;
  }

  // ---- handlers -----------------------------------------------------------------------------------------------------

  /** Calls a handler that is not tied to a connection, with the server as its first argument. */
  emit(event: string, ...args: unknown[]): void {
    this.call(event, ...args);
  }

  /** The same as `emit()`, and returns a promise that resolves when the handler has settled, if it returned one. */
  call(event: string, ...args: unknown[]): void | Promise<void> {
    const handler = this.config.handler(event);
    if (handler !== undefined) return this.run(undefined, event, () => handler(this.server, ...args));
  }

  /** The same as `call()`, and resolves to the error of the handler, which has been reported; to `undefined` if there is none. */
  async tryCall(event: string, ...args: unknown[]): Promise<{ readonly error: unknown } | undefined> {
    const handler = this.config.handler(event);
    if (handler === undefined) return undefined;
    let failure: { readonly error: unknown } | undefined;
    await this.run(undefined, event, async () => {
      try {
        await handler(this.server, ...args);
      } catch (error) {
        failure = { error };
        throw error;
      }
    });
    return failure;
  }

  /**
   * Runs a handler. If it throws or rejects, the connection ends; nothing else is affected.
   *
   * @param event The event, for the counters; empty if the work has handlers of its own.
   * @param cause The part of the connection that the handler works for, see `Protocol.onFault()`.
   */
  run(connection: Connection | undefined, event: string, work: () => unknown, cause?: unknown): void | Promise<void> {
    const { counters } = this;
    const begun = event === "" ? 0 : counters.sample();
    try {
      const result = promised(work());
      if (begun !== 0) counters.measure(event, begun, result);
      if (result === undefined) return;
      const { running } = this;
      running.enter();
      return result.then(() => running.leave(), (error) => {
        this.fault(error, connection, event, cause);
        running.leave();
      });
    } catch (error) {
      this.fault(error, connection, event, cause);
    }
  }

  /**
   * Reports an error of the program once, and ends the connection it concerns.
   *
   * @param event The event whose handler has thrown it; empty if there is none.
   */
  fault(error: unknown, connection?: Connection, event = "", cause?: unknown): void {
    this.endings.errorCount++;
    if (event !== "") this.counters.addError(event);
    const handler = this.config.handler("error");
    const where = handler === undefined ? connection?.protocol.describe?.(cause) : undefined; // before the connection ends
    if (connection?.isOpen) connection.gather(() => connection.protocol.onFault(error, cause));
    if (handler === undefined) return this.log.error(error, connection?.fd, where);
    try {
      const result = promised(handler(this.server, error, connection?.fd ?? 0));
      if (result === undefined) return;
      const { running } = this;
      running.enter();
      result.then(undefined, (second) => this.log.error(second, connection?.fd)).then(() => running.leave());
    } catch (second) {
      this.log.error(second, connection?.fd);
    }
  }
}
