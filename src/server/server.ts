/**
 * `Server`: the base of all servers, and a plain TCP server by itself.
 *
 * @module
 */

import { SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SOCK_TCP6, SWOOLE_SOCK_UNIX_STREAM, SWOOLE_SSL } from "../constants.ts";
import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_NO_PAYLOAD, SWOOLE_ERROR_SESSION_NOT_EXIST } from "../errors.ts";
import type { BytePipe } from "../runtime.ts";
import { ConnectionList } from "./connection_list.ts";
import { ServerCore, type Style } from "./core.ts";
import { EVENT_NAMES, type ServerEvents, type Spellings } from "./events.ts";
import type { ClientInfo, ServerStats } from "./info.ts";
import { type RawHost, RawSession } from "./raw_session.ts";
import type { ServerSettings } from "./settings.ts";

const encoder = new TextEncoder();

/** The machinery inside a server, for the classes derived from it. Not part of the public interface. */
export let coreOf: (server: Server) => ServerCore;

/**
 * A TCP server (Swoole page "Server"), and the base of `HttpServer` and `WebSocketServer`.
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
export class Server {
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
  /** The settings given to `set()` so far. */
  readonly setting: ServerSettings;
  /** The fds of all open connections, plain HTTP included: iterable, with `size`, `has(fd)` and `get(fd)`. */
  readonly connections: ConnectionList;
  /** Settles when the server has stopped, after `shutdown()`. */
  readonly finished: Promise<void>;

  readonly #core: ServerCore;

  static {
    coreOf = (server) => server.#core;
  }

  /**
   * Makes a server; `start()` makes it listen.
   *
   * @param host The address to bind; the path for `SWOOLE_SOCK_UNIX_STREAM`.
   * @param port The port; 0 picks a free one, see `port` after `start()`.
   * @param mode `SWOOLE_BASE` or `SWOOLE_PROCESS`.
   * @param sockType A `SWOOLE_SOCK_*` number, with `SWOOLE_SSL` added for TLS.
   * @throws {RangeError} If the port or the socket type cannot be.
   */
  constructor(host = "0.0.0.0", port = 0, mode: number = SWOOLE_BASE, sockType: number = SWOOLE_SOCK_TCP) {
    if (!Number.isInteger(port) || port < 0 || port > 65535) {
      throw new RangeError(`Cannot make a server: port ${port} is not in the range 0 to 65535`);
    }
    const type = sockType & ~SWOOLE_SSL;
    if (type !== SWOOLE_SOCK_TCP && type !== SWOOLE_SOCK_TCP6 && type !== SWOOLE_SOCK_UNIX_STREAM) {
      throw new RangeError(`Cannot make a server: socket type ${sockType} is not TCP, TCP6 or UNIX_STREAM`);
    }
    if (host === "") throw new TypeError("Cannot make a server: the host is empty");
    this.host = host;
    this.port = port;
    this.mode = mode;
    this.type = type;
    this.ssl = (sockType & SWOOLE_SSL) !== 0;
    const core = this.#core = new ServerCore(this);
    core.style = rawStyle(core);
    this.setting = core.given;
    this.finished = core.finished;
    this.connections = new ConnectionList(() => core.table, (fd) => this.getClientInfo(fd));
  }

  // ---- setting up ---------------------------------------------------------------------------------------------------

  /**
   * Sets settings, before `start()`. Later calls add to earlier ones.
   *
   * @returns `true`.
   * @throws {TypeError} For a key that is unknown or a value of the wrong type.
   * @throws {RangeError} For a number out of range.
   * @throws {Error} When the server has started.
   */
  set(settings: ServerSettings): boolean {
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
  on<Name extends keyof Spellings<ServerEvents<this>>>(event: Name, handler: Spellings<ServerEvents<this>>[Name]): boolean {
    this.#core.register(event as string, handler);
    return true;
  }

  /** The handler of an event, or `null`. */
  getCallback(event: string): ((...args: never[]) => unknown) | null {
    return this.#core.handler(event.toLowerCase()) ?? null;
  }

  // ---- life ---------------------------------------------------------------------------------------------------------

  /**
   * Starts to listen.
   *
   * @returns `true`, once connections are accepted; `port` is the real port then.
   * @throws {TypeError} If a required handler is missing.
   * @throws {Error} If the address cannot be bound or the certificate cannot be used; `cause` is the runtime's error.
   */
  async start(): Promise<boolean> {
    const unix = this.type === SWOOLE_SOCK_UNIX_STREAM;
    this.port = await this.#core.start({
      transport: unix ? "unix" : "tcp",
      hostname: this.host,
      port: this.port,
      ssl: this.ssl,
    });
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
   */
  accept(pipe: BytePipe): number {
    return this.#core.accept(pipe);
  }

  /**
   * Stops the server: no more connections are accepted, WebSockets are closed with 1001, answers that are being made are
   * finished, and what has not ended within `websocket_close_timeout` is dropped. `finished` settles at the end.
   *
   * @returns `false` when the server is not running.
   */
  shutdown(): boolean {
    return this.#core.shutdown();
  }

  // ---- connections --------------------------------------------------------------------------------------------------

  /**
   * Sends octets as they are, without any framing.
   *
   * @param fd The connection.
   * @param data Text, or octets that nobody changes afterwards.
   * @returns `false` with 550 for nothing to send, 1005 for an unknown fd, 1009 for a full queue.
   */
  send(fd: number, data: string | Uint8Array): boolean {
    const bytes = typeof data === "string" ? encoder.encode(data) : data;
    if (bytes.length === 0) return this.#core.failed(SWOOLE_ERROR_NO_PAYLOAD);
    const connection = this.#core.connection(fd);
    if (connection === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    if (!this.#core.hasRoom(connection.queuedBytes, bytes, bytes.length)) return false;
    connection.append(bytes);
    this.#core.responseCount++;
    return true;
  }

  /**
   * Ends a connection, without a WebSocket Close frame. What is queued is still sent.
   *
   * @param fd The connection.
   * @param reset Drop it at once instead, with what is queued.
   * @returns `false` with 1005 for an unknown fd.
   */
  close(fd: number, reset = false): boolean {
    const connection = this.#core.connection(fd);
    if (connection === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    if (reset) connection.abort(true);
    else connection.end(true);
    return true;
  }

  /** Tells whether a connection is there, WebSocket or not. */
  exist(fd: number): boolean {
    return this.#core.connection(fd) !== undefined;
  }

  /** The same as `exist()`. */
  exists(fd: number): boolean {
    return this.exist(fd);
  }

  /** What is known of a connection, also while its end is being handled; `false` with 1005 for an unknown fd. */
  getClientInfo(fd: number): ClientInfo | false {
    const connection = this.#core.connectionOrLeaving(fd);
    if (connection === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    const { remoteAddress } = connection;
    return {
      server_port: this.port,
      socket_type: this.type,
      remote_port: remoteAddress?.port ?? 0,
      remote_ip: remoteAddress?.hostname ?? "",
      reactor_id: 0,
      connect_time: Math.floor(connection.connectTime / 1000),
      last_time: Math.floor(connection.lastReceived / 1000),
      last_recv_time: connection.lastReceived / 1000,
      last_send_time: connection.lastSent / 1000,
      last_dispatch_time: connection.lastReceived / 1000,
      close_errno: 0,
      recv_queued_bytes: 0,
      send_queued_bytes: connection.queuedBytes,
    };
  }

  /** The same as `getClientInfo()`. */
  connection_info(fd: number): ClientInfo | false {
    return this.getClientInfo(fd);
  }

  /**
   * The fds of open connections, oldest first, a page at a time.
   *
   * @param start The fd behind which to begin; 0 for the beginning.
   * @param count How many, 100 at most.
   * @returns The fds; `false` when there are none, or with 505 when `count` is out of range.
   */
  getClientList(start = 0, count = 10): number[] | false {
    if (!Number.isInteger(count) || count < 1 || count > 100) return this.#core.failed(SWOOLE_ERROR_INVALID_PARAMS);
    const list: number[] = [];
    for (const fd of this.connections) {
      if (fd > start && list.push(fd) === count) break;
    }
    return list.length > 0 && list;
  }

  /** The same as `getClientList()`. */
  connection_list(start = 0, count = 10): number[] | false {
    return this.getClientList(start, count);
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

  /** Why the last method that returned `false` did so; `swooleStrerror()` puts it in words. Success does not reset it. */
  getLastError(): number {
    return this.#core.lastError;
  }

  /** Counters since the start. */
  stats(): ServerStats {
    const { table, startTime, requestCount, responseCount } = this.#core;
    return {
      start_time: Math.floor(startTime / 1000),
      connection_num: table?.size ?? 0,
      abort_count: table?.abortCount ?? 0,
      accept_count: table?.acceptCount ?? 0,
      close_count: table?.closeCount ?? 0,
      worker_num: 1,
      request_count: requestCount,
      response_count: responseCount,
      total_recv_bytes: table?.receivedBytes ?? 0,
      total_send_bytes: table?.sentBytes ?? 0,
      session_round: table?.lastFd ?? 0,
    };
  }
}

/** How a plain `Server` treats its connections. */
function rawStyle(core: ServerCore): Style {
  const host: RawHost = {
    onReceive: (connection, data) => {
      core.requestCount++;
      core.emitFor(connection, "receive", connection.fd, 0, data);
    },
    idleDeadline: (connection) => core.idleDeadline(connection),
  };
  return {
    events: EVENT_NAMES.server,
    required: ["receive"],
    makeProtocol: (connection) => new RawSession(connection, host),
    closeEvent: () => "close",
    dismiss: (connection) => connection.end(true),
  };
}
