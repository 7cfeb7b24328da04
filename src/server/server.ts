/**
 * `Server`: the base of all servers, and a plain TCP or UDP server by itself.
 *
 * @module
 */

import { SWOOLE_BASE, SWOOLE_PROCESS, SWOOLE_SOCK_TCP, SWOOLE_WORKER_BUSY } from "../constants.ts";
import { SWOOLE_ERROR_INVALID_PARAMS } from "../errors.ts";
import type { BytePipe } from "../runtime.ts";
import { ConnectionList } from "./connection_list.ts";
import type { ServerCore } from "./core.ts";
import { sendDatagram } from "./datagrams.ts";
import type { ObjectEvents, ServerEvents, Spellings } from "./events.ts";
import type { ServerStats } from "./info.ts";
import { rawStyle } from "./raw/raw_session.ts";
import { connectionsCore, ServerConnections } from "./server_connections.ts";
import { placeOf, ServerPort } from "./server_port.ts";
import type { ServerSettings } from "./settings/settings.ts";
import type { IgnoredSettings } from "./settings/swoole_settings.ts";
import { collectStats, toOpenMetrics } from "./stats.ts";

const encoder = new TextEncoder();

/** The machinery inside a server, for the classes derived from it. Not part of the public interface. */
export let coreOf: (server: Server) => ServerCore;

/**
 * A TCP or UDP server (Swoole page "Server"), and the base of `HttpServer` and `WebSocketServer`.
 *
 * @example A raw TCP echo
 * ```ts
 * import { Server } from "@sluice/server";
 *
 * const server = new Server("127.0.0.1", 0);
 * server.on("receive", (server, fd, _reactorId, data) => server.send(fd, data));
 * await server.start();
 * console.log(`listening on port ${server.port}`);
 * server.shutdown();
 * await server.finished;
 * ```
 */
export class Server extends ServerConnections {
  /** The address given to the constructor; for a unix socket its path. */
  readonly host: string;
  /** The port; the real one once the server has started. */
  port: number;
  /** `SWOOLE_BASE` or `SWOOLE_PROCESS`, without a difference here. */
  readonly mode: number;
  /** The socket type, a `SWOOLE_SOCK_*` number without `SWOOLE_SSL`. */
  readonly type: number;
  /** Whether it speaks TLS. */
  readonly ssl: boolean;
  /** The fds of all open connections, plain HTTP included: iterable, with `size`, `has(fd)` and `get(fd)`. */
  readonly connections: ConnectionList;
  /** All ports, the server's own first, then those of `listen()`. */
  readonly ports: readonly ServerPort<this>[];

  readonly #core: ServerCore;

  static {
    coreOf = (server) => server.#core;
  }

  /**
   * Makes a server; `start()` makes it listen.
   *
   * @param host The address to bind, `"0.0.0.0"` by default: all IPv4 addresses of the machine. The path for `SWOOLE_SOCK_UNIX_STREAM`.
   * @param port The port, a number or its digits. 0, the default, picks a free one, see `port` after `start()`.
   * @param mode `SWOOLE_BASE`, the default, or `SWOOLE_PROCESS`.
   * @param sockType A `SWOOLE_SOCK_*` number, `SWOOLE_SOCK_TCP` by default, with `SWOOLE_SSL` added for TLS.
   * @throws {TypeError} If the host is no string, or the port is not a number.
   * @throws {RangeError} If the port, the mode or the socket type cannot be.
   */
  constructor(
    host = "0.0.0.0",
    port: number | string = 0,
    mode: number = SWOOLE_BASE,
    sockType: number = SWOOLE_SOCK_TCP,
  ) {
    super();
    const place = placeOf(host, port, sockType, "make a server", `new ${new.target.name}`);
    if (mode !== SWOOLE_BASE && mode !== SWOOLE_PROCESS) {
      throw new RangeError(
        `Cannot make a server: mode ${mode} is neither SWOOLE_BASE nor SWOOLE_PROCESS; the socket type is the fourth argument`,
      );
    }
    this.host = host;
    this.port = place.port;
    this.mode = mode;
    this.type = place.type!;
    this.ssl = place.ssl;
    const core = this.#core = connectionsCore(this);
    core.place = place;
    core.speak("raw", rawStyle);
    const info = (fd: number) => this.getClientInfo(fd);
    this.connections = new ConnectionList(() => core.table, info);
    this.ports = [new ServerPort<this>(core, info)];
  }

  /** Settles when the server has stopped after `shutdown()`, and its handlers have settled or were given up. Anew for each start. */
  get finished(): Promise<void> {
    return this.#core.finished;
  }

  // ---- setting up ---------------------------------------------------------------------------------------------------

  /** The settings given to `set()` so far: a copy, which cannot be changed. */
  get setting(): Readonly<ServerSettings> {
    return Object.freeze({ ...this.#core.given });
  }

  /**
   * Sets settings, before `start()`. Later calls add to earlier ones.
   *
   * @returns `true`.
   * @throws {TypeError} For a key that is unknown, a value of the wrong type, or one of Swoole's settings that is not here.
   * @throws {RangeError} For a number out of range.
   * @throws {Error} When the server has started.
   */
  set(settings: ServerSettings & IgnoredSettings): boolean {
    this.#core.set(settings);
    return true;
  }

  /**
   * Registers the handler of an event; a later one replaces it.
   *
   * @param event The name, in any letter case.
   * @param handler The handler; its arguments depend on the event.
   * @returns `true`.
   * @throws {TypeError} For a name that is no event, or a handler that is no function.
   */
  on<Name extends keyof Spellings<ServerEvents<this>>>(event: Name, handler: Spellings<ServerEvents<this>>[Name]): boolean;
  /** The same, with the setting `event_object`. */
  on<Name extends keyof Spellings<Omit<ObjectEvents<this>, "disconnect">>>(
    event: Name,
    handler: Spellings<Omit<ObjectEvents<this>, "disconnect">>[Name],
  ): boolean;
  on(event: string, handler: unknown): boolean {
    this.#core.register(event, handler);
    return true;
  }

  /** The handler of an event, or `null`. */
  getCallback(event: string): ((...args: never[]) => unknown) | null {
    return this.#core.handler(event.toLowerCase()) ?? null;
  }

  /**
   * Adds a port, before `start()`. It shares fds and connections with the others; handlers and settings of its own are set on it.
   *
   * @param host The address to bind; the path for `SWOOLE_SOCK_UNIX_STREAM`.
   * @param port The port, a number or its digits; 0 picks a free one.
   * @param sockType A `SWOOLE_SOCK_*` number, with `SWOOLE_SSL` added for TLS.
   * @returns The port.
   * @throws {TypeError} If the host is no string, or the port is not a number.
   * @throws {RangeError} If the port or the socket type cannot be.
   * @throws {Error} When the server has started.
   */
  listen(host: string, port: number | string, sockType: number = SWOOLE_SOCK_TCP): ServerPort<this> {
    const core = this.#core.addPort(placeOf(host, port, sockType, "add a port", "server.listen"));
    const added = new ServerPort<this>(core, (fd) => this.getClientInfo(fd));
    (this.ports as ServerPort<this>[]).push(added);
    return added;
  }

  /** The same as `listen()`. */
  addListener(host: string, port: number | string, sockType: number = SWOOLE_SOCK_TCP): ServerPort<this> {
    return this.listen(host, port, sockType);
  }

  /** The same as `listen()`. */
  addlistener(host: string, port: number | string, sockType: number = SWOOLE_SOCK_TCP): ServerPort<this> {
    return this.listen(host, port, sockType);
  }

  // ---- life ---------------------------------------------------------------------------------------------------------

  /**
   * Starts to listen, on all ports or, when one of them cannot be had, on none.
   *
   * @returns `true`, once connections are accepted; `port` is the real port then.
   * @throws {TypeError} If a required handler is missing.
   * @throws {Error} If the address cannot be bound or the certificate cannot be used; `cause` is the runtime's error.
   */
  async start(): Promise<boolean> {
    this.port = await this.#core.start({ ...this.#core.place!, port: this.port });
    this.#core.emit("start");
    this.#core.emit("workerstart", 0);
    return true;
  }

  /**
   * Serves a connection that did not come through the listener: any pair of streams. Needs no `start()`.
   *
   * @param pipe The connection.
   * @returns Its fd, or 0 when there are too many connections or the server is stopping; the pipe is dropped then.
   * @throws {TypeError} If a required handler is missing.
   * @throws {Error} If the compression engine that is asked for is not there; `zlib` is after `start()`.
   */
  accept(pipe: BytePipe): number {
    return this.#core.accept(pipe);
  }

  /**
   * Stops the server: no more connections are accepted, WebSockets are closed with 1001 and dropped after
   * `websocket_close_timeout`, responses that are being made are finished. `finished` settles when all handlers have, too. The
   * server can be started again then.
   *
   * @param timeout How many seconds handlers and responses are waited for before they are cut off; `max_wait_time` unless given,
   * `Infinity` for ever. While the server stops, another call can shorten that time.
   * @returns `false` when the server is not running, or stops as soon as that anyway.
   * @throws {RangeError} For what is no number of seconds.
   */
  shutdown(timeout?: number): boolean {
    return this.#core.shutdown(timeout);
  }

  /**
   * Stops the worker: the same as `shutdown()`, because there is one.
   *
   * @param workerId 0, or -1 for the worker that this is called in.
   * @returns `false` when the server is not running; with 505 for a worker that there is not.
   */
  stop(workerId = -1): boolean {
    if (workerId !== 0 && workerId !== -1) return this.#core.failed(SWOOLE_ERROR_INVALID_PARAMS);
    return this.shutdown();
  }

  /** The number of the worker: 0; `false` while the server does not run. */
  getWorkerId(): number | false {
    return this.#core.isRunning && 0;
  }

  /**
   * The number of the process that the worker is in.
   *
   * @param workerId 0, or -1 for the worker that this is called in.
   * @returns `false` for another one, and while the server does not run.
   */
  getWorkerPid(workerId = -1): number | false {
    const { isRunning, runtime } = this.#core;
    return isRunning && (workerId === 0 || workerId === -1) && runtime!.pid;
  }

  /**
   * What a worker does: `SWOOLE_WORKER_BUSY`, because the one that is asked is the one that asks.
   *
   * @param workerId 0, or -1 for the worker that this is called in.
   * @returns `false` for another one, and while the server does not run.
   */
  getWorkerStatus(workerId = -1): number | false {
    return this.#core.isRunning && (workerId === 0 || workerId === -1) && SWOOLE_WORKER_BUSY;
  }

  /** The number of the process; 0 while the server does not run. */
  getMasterPid(): number {
    return this.getWorkerPid() || 0;
  }

  /** Always 0, as in Swoole with one worker: there is no manager. */
  getManagerPid(): number {
    return 0;
  }

  /** See `getMasterPid()`. */
  get master_pid(): number {
    return this.getMasterPid();
  }

  /** See `getManagerPid()`. */
  get manager_pid(): number {
    return 0;
  }

  /** The number of the worker: 0; -1 while the server does not run. */
  get worker_id(): number {
    return this.#core.isRunning ? 0 : -1;
  }

  /** The number of the process that the worker is in; 0 while the server does not run. */
  get worker_pid(): number {
    return this.getMasterPid();
  }

  /** Whether this is a task worker: never. */
  get taskworker(): boolean {
    return false;
  }

  // ---- datagrams -----------------------------------------------------------------------------------------------------

  /**
   * Sends a datagram, from a UDP port of the server.
   *
   * @param ip The receiver's IP address.
   * @param port Its port.
   * @param data Text, or octets that nobody changes afterwards; 65,507 octets at most.
   * @param serverSocket The port to send from, as its number in `ports` and `server_socket` of `packet` have it; by default the
   * first UDP port for addresses of this kind.
   * @returns `true` once the system has taken it, which does not say that it arrives. `false` with 550 for nothing to send, 505 for
   * what is no IP address or port, 9 where the server has no such port or does not run, 1009 when `socket_buffer_size` octets wait to
   * be sent, and the system's number when it refuses, for example 90 for too many octets.
   *
   * @example
   * ```ts
   * import { Server, SWOOLE_BASE, SWOOLE_SOCK_UDP } from "@sluice/server";
   *
   * const server = new Server("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_UDP);
   * server.on("packet", (server, data, { address, port }) => server.sendto(address, port, data));
   * await server.start();
   * server.shutdown();
   * await server.finished;
   * ```
   */
  sendto(ip: string, port: number, data: string | Uint8Array, serverSocket = -1): Promise<boolean> {
    return sendDatagram(this.#core, ip, port, typeof data === "string" ? encoder.encode(data) : data, serverSocket);
  }

  // ---- timers -------------------------------------------------------------------------------------------------------

  /** Runs a function at the end of this turn. */
  defer(callback: () => unknown): void {
    this.#core.timers.defer(callback);
  }

  /**
   * Runs a function every `ms` milliseconds, until `clearTimer()` or the server stops.
   *
   * @returns The number of the timer, which the function receives as its first argument.
   * @throws {RangeError} For a time below 1 ms or above 2147483647.
   */
  tick<A extends unknown[]>(ms: number, callback: (timerId: number, ...args: A) => unknown, ...args: A): number {
    return this.#core.timers.tick(ms, callback, args);
  }

  /**
   * Runs a function once, in `ms` milliseconds.
   *
   * @returns The number of the timer.
   * @throws {RangeError} For a time below 1 ms or above 2147483647.
   */
  after<A extends unknown[]>(ms: number, callback: (...args: A) => unknown, ...args: A): number {
    return this.#core.timers.after(ms, callback, args);
  }

  /** Stops a timer of `tick()` or `after()`. Returns whether there was one. */
  clearTimer(timerId: number): boolean {
    return this.#core.timers.clear(timerId);
  }

  // ---- state --------------------------------------------------------------------------------------------------------

  /** Counters since the start. */
  stats(): ServerStats;
  /**
   * Counters since the start, as text.
   *
   * @param format `json`, or `openmetrics` for Prometheus: the content type is then
   * `application/openmetrics-text; version=1.0.0; charset=utf-8`.
   */
  stats(format: "json" | "openmetrics"): string;
  stats(format?: "json" | "openmetrics"): ServerStats | string {
    const stats = collectStats(this.#core);
    if (format === undefined) return stats;
    if (format === "json") return JSON.stringify(stats);
    if (format === "openmetrics") return toOpenMetrics(stats);
    throw new TypeError(`Cannot write stats: ${format} is neither json nor openmetrics`);
  }
}
