/**
 * `Server`: the base of all servers, and itself a plain TCP or UDP server.
 *
 * @module
 */

import { SWOOLE_BASE, SWOOLE_PROCESS, SWOOLE_SOCK_TCP } from "../constants.ts";
import { SWOOLE_ERROR_INVALID_PARAMS } from "../errors.ts";
import { systemCode } from "../transport/system_codes.ts";
import type { ConnectionData } from "../transport/connection_end.ts";
import type { BytePipe } from "../transport/runtime.ts";
import { sentBytes, shown } from "../values.ts";
import { ConnectionList } from "./connection_list.ts";
import type { ServerCore } from "./core.ts";
import { sendDatagram } from "./datagrams.ts";
import type { EventHandler, EventName, ObjectEventHandler, ServerEvents, ServerHandlers } from "./events.ts";
import { metricsOf } from "./metrics.ts";
import { type ServerStats, statsOf } from "./stats.ts";
import { rawFactory } from "./raw/raw_session.ts";
import { coreOf } from "./server_connections.ts";
import { ServerWorkers } from "./server_workers.ts";
import { placeOf, ServerPort } from "./server_port.ts";
import type { ServerSettings } from "./settings/settings.ts";
import type { IgnoredSettings } from "./settings/swoole_settings.ts";
import { masterPid, pidOf, reloadWorkers, stopWorker, workerId, workerStatus } from "./worker_methods.ts";

/**
 * A TCP or UDP server (Swoole page "Server"), and the base of `HttpServer` and `WebSocketServer`. `Data` is the type of
 * `data(fd)`, and of `data` in a `CloseInfo`.
 *
 * @example A raw TCP echo server
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
export class Server<Data extends ConnectionData = ConnectionData> extends ServerWorkers<Data> {
  /** The address passed to the constructor; for a unix socket its path. */
  readonly host: string;
  /** The port number; the actual one once the server has started. */
  port: number;
  /**
   * `SWOOLE_BASE` or `SWOOLE_PROCESS`: whether a worker can use the connections of others. It makes no difference without workers.
   */
  readonly mode: number;
  /** The socket type, a `SWOOLE_SOCK_*` number without `SWOOLE_SSL`. */
  readonly type: number;
  /** Whether the server uses TLS. */
  readonly ssl: boolean;
  /** The fds of all open connections, including plain HTTP: iterable, with `size`, `has(fd)` and `get(fd)`. */
  readonly connections: ConnectionList;
  /** All ports: the server's own first, then those added with `listen()`. */
  readonly ports: readonly ServerPort<this, Data>[];

  readonly #core: ServerCore;

  /**
   * Creates a server; `start()` makes it listen.
   *
   * @param host The address to bind. The default, `"0.0.0.0"`, means all IPv4 addresses of the machine. The path for
   * `SWOOLE_SOCK_UNIX_STREAM`.
   * @param port The port, as a number or as digits. 0, the default, picks a free one, see `port` after `start()`.
   * @param mode `SWOOLE_BASE`, the default, or `SWOOLE_PROCESS`.
   * @param sockType A `SWOOLE_SOCK_*` number, by default `SWOOLE_SOCK_TCP`, combined with `SWOOLE_SSL` for TLS.
   * @throws {TypeError} If the host is not a string, or the port is not a number.
   * @throws {RangeError} If the port, the mode or the socket type is invalid.
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
        `Cannot make a server: mode ${
          shown(mode)
        } is neither SWOOLE_BASE nor SWOOLE_PROCESS; the socket type is the fourth argument`,
      );
    }
    this.host = host;
    this.port = place.port;
    this.mode = mode;
    this.type = place.type!;
    this.ssl = place.ssl;
    const core = this.#core = coreOf(this);
    core.port.place = place;
    core.mode = mode;
    core.speak("raw", rawFactory);
    const info = (fd: number) => this.getClientInfo(fd);
    this.connections = new ConnectionList(core.context, info);
    this.ports = [new ServerPort<this, Data>(core, core.port, info)];
  }

  /**
   * A promise that settles when the server has stopped after `shutdown()`, and its handlers have settled or were abandoned. Each
   * start creates a new one.
   */
  get finished(): Promise<void> {
    return this.#core.finished;
  }

  // ---- setup --------------------------------------------------------------------------------------------------------

  /** A frozen copy of the settings passed to `set()` so far. */
  get setting(): Readonly<ServerSettings> {
    return Object.freeze({ ...this.#core.port.config.given });
  }

  /**
   * Changes settings, before `start()`. Later calls add to earlier ones.
   *
   * @returns `true`.
   * @throws {TypeError} If a setting is unknown or not supported here, or a value has the wrong type.
   * @throws {RangeError} If a number is out of range.
   * @throws {Error} If the server has started.
   */
  set(settings: ServerSettings & IgnoredSettings): boolean {
    this.#core.port.set(settings);
    return true;
  }

  /**
   * Registers the handler of an event, replacing an earlier one.
   *
   * @param event The name, in any letter case.
   * @param handler The handler; its arguments depend on the event, and on the setting `event_object`.
   * @returns `true`.
   * @throws {TypeError} If the event does not exist, or the handler is not a function.
   */
  on<Name extends string, Given = never>(
    event: EventName<ServerEvents<this, Data>, Name>,
    handler: EventHandler<ServerHandlers<this, Data>, Name> | ObjectEventHandler<Name, Given>,
  ): boolean {
    this.#core.port.register(event, handler);
    return true;
  }

  /** Returns the handler of an event, or `null`. */
  getCallback(event: string): ((...args: never[]) => unknown) | null {
    return this.#core.context.config.handler(String(event).toLowerCase()) ?? null;
  }

  /**
   * Adds a port, before `start()`. It shares fds and connections with the others, and may have its own handlers and settings.
   *
   * @param host The address to bind; the path for `SWOOLE_SOCK_UNIX_STREAM`.
   * @param port The port, as a number or as digits; 0 picks a free one.
   * @param sockType A `SWOOLE_SOCK_*` number, combined with `SWOOLE_SSL` for TLS.
   * @returns The port.
   * @throws {TypeError} If the host is not a string, or the port is not a number.
   * @throws {RangeError} If the port or the socket type is invalid.
   * @throws {Error} If the server has started.
   */
  listen(host: string, port: number | string, sockType: number = SWOOLE_SOCK_TCP): ServerPort<this, Data> {
    const core = this.#core.addPort(placeOf(host, port, sockType, "add a port", "server.listen"));
    const added = new ServerPort<this, Data>(this.#core, core, (fd) => this.getClientInfo(fd));
    (this.ports as ServerPort<this, Data>[]).push(added);
    return added;
  }

  /** An alias of `listen()`. */
  addListener(host: string, port: number | string, sockType: number = SWOOLE_SOCK_TCP): ServerPort<this, Data> {
    return this.listen(host, port, sockType);
  }

  /** An alias of `listen()`. */
  addlistener(host: string, port: number | string, sockType: number = SWOOLE_SOCK_TCP): ServerPort<this, Data> {
    return this.listen(host, port, sockType);
  }

  // ---- start and stop -----------------------------------------------------------------------------------------------

  /**
   * Starts listening on all ports; if one of them cannot be bound, on none. With `worker_num`, starts the workers, which run the
   * program from its beginning and listen when they reach this call.
   *
   * @returns `true`, once connections are accepted, in all workers; `port` is then the actual port number. In a worker the promise
   * never settles: what follows in the program is done by the master alone.
   * @throws {TypeError} If a required handler is missing.
   * @throws {Error} If an address cannot be bound or a certificate cannot be used; `cause` is the runtime's error. Also if
   * `shutdown()` was called before the server could listen; `finished` then waits until nothing is left of the start. Also if a
   * worker cannot be started, ends ten times before it is ready, or takes longer than `worker_start_timeout`.
   */
  async start(): Promise<boolean> {
    const core = this.#core;
    await core.start({ ...core.port.place!, port: this.port }, (port) => this.port = port);
    return true;
  }

  /**
   * Serves a connection that did not come through a listener: any pair of streams. It does not require `start()`.
   *
   * @param pipe The connection.
   * @returns Its fd; 0 if the server is stopping or did not admit the connection, which is then aborted, or closed after a 503
   * response.
   * @throws {TypeError} If it is no pipe, one of its streams is locked, or a required handler is missing.
   * @throws {Error} If the configured compression engine is not available; `zlib` is available after `start()`.
   */
  accept(pipe: BytePipe): number {
    return this.#core.accept(pipe);
  }

  /**
   * Stops the server. It accepts no more connections, finishes pending responses, and closes WebSockets with 1001; those still
   * open after `websocket_close_timeout` are aborted. `finished` settles when all handlers have settled, too. The server can then
   * be started again. In a worker, it asks the master to stop all of them.
   *
   * @param timeout The time after which handlers and responses are cut off, in seconds; `Infinity` for no limit. Default: the
   * setting `max_wait_time`. While the server stops, another call can shorten the time.
   * @returns `false` if the server is not running, or already stops within that time.
   * @throws {RangeError} If the timeout is not a number of seconds.
   */
  shutdown(timeout?: number): boolean {
    return this.#core.shutdown(timeout);
  }

  /**
   * Replaces all workers, one after the other, by new processes that run the program from its beginning. No connection is refused
   * meanwhile. A replaced worker finishes its responses, keeps its WebSockets for `max_wait_time`, and closes them with 1012 within
   * `reload_drain_time`. If a new worker does not get ready, the old one stays and the reload ends, see the log.
   *
   * @param onlyTasks Whether to replace task workers only.
   * @returns `true` if the reload begins, or was asked for by a worker; `afterReload` tells when all workers have been replaced.
   * `false` with 507 without workers, with 505 if the server is not running, or reloads already.
   */
  reload(onlyTasks = false): boolean {
    return reloadWorkers(this.#core, onlyTasks);
  }

  /**
   * Stops a worker, which is replaced. Without workers, the same as `shutdown()`.
   *
   * @param workerId The number of the worker, by default -1 for the current one.
   * @returns `false` if the server is not running; with 505 if the worker does not exist, or -1 is given in the master.
   */
  stop(workerId = -1): boolean {
    return stopWorker(this.#core, workerId);
  }

  /** Returns the number of the worker; `false` in the master, and while the server is not running. */
  getWorkerId(): number | false {
    const id = this.worker_id;
    return id >= 0 && id;
  }

  /**
   * Returns the process ID of a worker.
   *
   * @param workerId The number of the worker, by default -1 for the current one.
   * @returns `false` if it does not exist or is just being replaced, in the master for -1, and while the server is not running.
   */
  getWorkerPid(workerId = -1): number | false {
    return pidOf(this.#core, workerId) || false;
  }

  /**
   * Returns the state of a worker: `SWOOLE_WORKER_BUSY` for the current one, since it is executing this call, or
   * `SWOOLE_WORKER_EXIT` if it has been replaced; `SWOOLE_WORKER_IDLE` for others, whether they are or not.
   *
   * @param workerId The number of the worker, by default -1 for the current one.
   * @returns `false` if there is no such worker, and while the server is not running.
   */
  getWorkerStatus(workerId = -1): number | false {
    return workerStatus(this.#core, workerId);
  }

  /** Returns the process ID of the master, which without workers is the only process; 0 while the server is not running. */
  getMasterPid(): number {
    return masterPid(this.#core);
  }

  /** Returns the process ID of the manager, which is the master; 0 without workers, as in Swoole, and while the server is not running. */
  getManagerPid(): number {
    return this.#core.processes === undefined ? 0 : masterPid(this.#core);
  }

  /** The same as `getMasterPid()`. */
  get master_pid(): number {
    return this.getMasterPid();
  }

  /** The same as `getManagerPid()`. */
  get manager_pid(): number {
    return this.getManagerPid();
  }

  /**
   * The number of the worker, from 0; -1 in the master. In a worker it is known before `start()`. Without workers, 0 while the server
   * is running.
   */
  get worker_id(): number {
    return workerId(this.#core);
  }

  /** The process ID of the worker; 0 in the master, and while the server is not running. */
  get worker_pid(): number {
    return pidOf(this.#core, -1);
  }

  /** The port of the setting `admin_server`; 0 without it, and while the server is not running. */
  get admin_port(): number {
    return this.#core.adminPort;
  }

  /** Whether this is a task worker. In one, it is known once it has started: in its `workerStart` handler. */
  get taskworker(): boolean {
    return this.#core.processes?.isTaskWorker ?? false;
  }

  // ---- datagrams -----------------------------------------------------------------------------------------------------

  /**
   * Sends a datagram from a UDP port of the server.
   *
   * @param ip The receiver's IP address.
   * @param port The receiver's port.
   * @param data Text, a number, or bytes that are not changed afterwards; at most 65,507 bytes.
   * @param serverSocket The index in `ports` of the port to send from, as in `server_socket` of `packet`. By default the first
   * UDP port for addresses of this kind.
   * @returns `true` once the system has accepted the datagram, which may still be lost. `false` with 550 for empty data, 505 for
   * an invalid IP address or port, 9 if the server has no such port or is not running, 1009 if `socket_buffer_size` bytes are
   * queued, and the system's error number if it refuses, for example 90 for too many bytes.
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
  sendto(ip: string, port: number, data: string | number | Uint8Array, serverSocket = -1): Promise<boolean> {
    return sendDatagram(this.#core.ports, ip, port, sentBytes(data), serverSocket);
  }

  // ---- timers -------------------------------------------------------------------------------------------------------

  /** Runs a function at the end of this turn. */
  defer(callback: () => unknown): void {
    this.#core.timers.defer(callback);
  }

  /**
   * Runs a function every `ms` milliseconds, until `clearTimer()` or until the server stops.
   *
   * @returns The number of the timer, which the function receives as its first argument.
   * @throws {RangeError} If the time is below 1 ms or above 2147483647 ms.
   */
  tick<A extends unknown[]>(ms: number, callback: (timerId: number, ...args: A) => unknown, ...args: A): number {
    return this.#core.timers.tick(ms, callback, args);
  }

  /**
   * Runs a function once, after `ms` milliseconds.
   *
   * @returns The number of the timer.
   * @throws {RangeError} If the time is below 1 ms or above 2147483647 ms.
   */
  after<A extends unknown[]>(ms: number, callback: (...args: A) => unknown, ...args: A): number {
    return this.#core.timers.after(ms, callback, args);
  }

  /** Stops a timer of `tick()` or `after()`. Returns whether it existed. */
  clearTimer(timerId: number): boolean {
    return this.#core.timers.clear(timerId);
  }

  // ---- state --------------------------------------------------------------------------------------------------------

  /**
   * Reads the files of certificates and keys again, of all ports that speak TLS, and uses them for connections from then on: also
   * those of `ssl_sni_certs`, and the authorities of client certificates. Open connections stay. If one of the files cannot be
   * used, all ports go on with the certificates that they have.
   *
   * @returns `true` if the certificates are in use. `false`, with the reason in the log, if they stay as they are, in one of several
   * workers or in all: with 2, 13 or 21 if a file does not exist, cannot be read or is a folder; with 505 if its content cannot be
   * used, or no port that listens speaks TLS. Never rejects.
   *
   * @example Renew the certificates of a server when they have changed
   * ```ts
   * import { SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SSL, WebSocketServer } from "@sluice/server";
   *
   * const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_TCP | SWOOLE_SSL);
   * server.set({ ssl_cert_file: "/etc/chat/server.pem", ssl_key_file: "/etc/chat/server_key.pem" });
   * server.on("message", (server, frame) => server.push(frame.fd, frame));
   * server.on("start", (server) => server.tick(24 * 3600 * 1000, () => server.reloadCertificates()));
   * ```
   */
  async reloadCertificates(): Promise<boolean> {
    const error = await this.#core.renewal.run();
    if (error === undefined) return true;
    return this.#core.context.failed(systemCode(error) ?? systemCode(error.cause) ?? SWOOLE_ERROR_INVALID_PARAMS);
  }

  /** Returns the counters since the start; with workers those of all processes, as they told them about a second ago. */
  stats(): ServerStats;
  /**
   * Returns the counters since the start, as text.
   *
   * @param format `json`, or `openmetrics` for the metrics of `metrics()` as OpenMetrics 1.0. The content type of the latter is
   * `application/openmetrics-text; version=1.0.0; charset=utf-8`.
   */
  stats(format: "json" | "openmetrics"): string;
  stats(format?: "json" | "openmetrics"): ServerStats | string {
    return statsOf(this.#core.context, format);
  }

  /**
   * Returns all metrics in the text format 0.0.4 of Prometheus. Its content type is `text/plain; version=0.0.4; charset=utf-8`. With
   * workers they are those of all processes, as they told them about a second ago; the page at `metrics_path` asks them.
   *
   * @example Metrics on a path of your own
   * ```ts
   * import { HttpServer } from "@sluice/server";
   *
   * const server = new HttpServer("127.0.0.1", 0);
   * server.on("request", (request, response) => {
   *   if (request.server.path_info !== "/metrics") return response.end("hello");
   *   response.header("Content-Type", "text/plain; version=0.0.4");
   *   response.end(server.metrics());
   * });
   * await server.start();
   * const answer = await fetch(`http://127.0.0.1:${server.port}/metrics`);
   * console.assert((await answer.text()).includes('sluice_connections{protocol="http"} 1'));
   * server.shutdown();
   * await server.finished;
   * ```
   */
  metrics(): string {
    return metricsOf(this.#core.context, "prometheus");
  }
}
