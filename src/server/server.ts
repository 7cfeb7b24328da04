/**
 * `Server`: the base of all servers, and a plain TCP server by itself.
 *
 * @module
 */

import { SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SOCK_TCP6, SWOOLE_SOCK_UNIX_STREAM, SWOOLE_SSL } from "../constants.ts";
import type { Connection, Protocol } from "../connection.ts";
import { SWOOLE_ERROR_NO_PAYLOAD, SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW, SWOOLE_ERROR_SESSION_NOT_EXIST } from "../errors.ts";
import { type BytePipe, type Listener, loadRuntime, type Runtime, type TlsOptions } from "../runtime.ts";
import { ConnectionList } from "./connection_list.ts";
import { ConnectionTable } from "./connection_table.ts";
import { EVENT_NAMES, type ServerEvents, type Spellings } from "./events.ts";
import type { ClientInfo, ServerStats } from "./info.ts";
import { type RawHost, RawSession } from "./raw_session.ts";
import { checkSettings, type ResolvedSettings, resolveSettings, type ServerSettings } from "./settings.ts";
import { Timers } from "./timers.ts";

const encoder = new TextEncoder();

type AnyHandler = (...args: unknown[]) => unknown;

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
  readonly setting: ServerSettings = {};
  /** The fds of all open connections, plain HTTP included: iterable, with `size`, `has(fd)` and `get(fd)`. */
  readonly connections: ConnectionList;
  /** Settles when the server has stopped, after `shutdown()`. */
  readonly finished: Promise<void>;

  /** Requests and messages handed to a handler. @internal */
  protected requestCount = 0;
  /** Answers and messages sent by the program. @internal */
  protected responseCount = 0;

  readonly #handlers: Map<string, AnyHandler> = new Map();
  readonly #timers: Timers = new Timers((error) => this.fault(error));
  #settings: ResolvedSettings | undefined = undefined;
  #table: ConnectionTable | undefined = undefined;
  #rawHost: RawHost | undefined = undefined;
  #runtime: Runtime | undefined = undefined;
  #listener: Listener | undefined = undefined;
  #startTime = 0;
  #state: "new" | "starting" | "running" | "stopping" | "stopped" = "new";
  #finish!: () => void;
  #lastError = 0;

  /**
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
    this.connections = new ConnectionList(() => this.#table, (fd) => this.getClientInfo(fd));
    this.finished = new Promise((resolve) => this.#finish = resolve);
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
    checkSettings(settings);
    if (this.#table !== undefined) throw new Error("Cannot change the settings: the server has started");
    Object.assign(this.setting, settings);
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
    return this.register(EVENT_NAMES.server, event, handler);
  }

  /** What `on()` of each class does. @internal */
  protected register(names: readonly string[], event: string, handler: unknown): boolean {
    const key = event.toLowerCase();
    if (!names.some((name) => name.toLowerCase() === key)) {
      throw new TypeError(`Cannot register a handler: there is no event ${event}; there are ${names.join(", ")}`);
    }
    if (typeof handler !== "function") throw new TypeError(`Cannot register a handler for ${event}: it is no function`);
    this.#handlers.set(key, handler as AnyHandler);
    return true;
  }

  /** The handler of an event, or `null`. */
  getCallback(event: string): ((...args: never[]) => unknown) | null {
    return this.#handlers.get(event.toLowerCase()) as (...args: never[]) => unknown ?? null;
  }

  /** The events without which a server cannot work. @internal */
  protected requiredEvents(): readonly string[] {
    return ["receive"];
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
    if (this.#state !== "new") throw new Error("Cannot start the server: it has been started before");
    this.prepare();
    this.#state = "starting";
    try {
      const runtime = this.#runtime = await loadRuntime();
      this.#listener = await this.#listen(runtime);
    } catch (error) {
      this.#state = "new";
      if (this.#table?.size === 0) this.#table = undefined;
      throw error;
    }
    this.#state = "running";
    this.#startTime = Date.now();
    if (this.type !== SWOOLE_SOCK_UNIX_STREAM) this.port = this.#listener.address.port;
    this.emit("start", this);
    this.emit("workerstart", this, 0);
    return true;
  }

  async #listen(runtime: Runtime): Promise<Listener> {
    const { settings } = this;
    const unix = this.type === SWOOLE_SOCK_UNIX_STREAM;
    const tls = this.ssl ? await this.#readTls(runtime) : undefined;
    const where = unix ? this.host : this.host.includes(":") ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`;
    try {
      return await runtime.listen(
        {
          transport: unix ? "unix" : "tcp",
          hostname: this.host,
          port: this.port,
          backlog: settings.backlog,
          noDelay: settings.open_tcp_nodelay,
          tls,
          handshakeTimeout: settings.http_request_timeout * 1000,
        },
        (pipe) => this.accept(pipe),
        (error) => this.fault(error),
      );
    } catch (error) {
      const code = (error as { code?: unknown } | null)?.code;
      const why = code === "EADDRINUSE"
        ? "the address is in use already"
        : code === "EADDRNOTAVAIL"
        ? "this machine has no such address"
        : code === "EACCES"
        ? "it is not permitted"
        : error instanceof Error
        ? error.message
        : String(error);
      throw Object.assign(new Error(`Cannot listen on ${where}: ${why}`, { cause: error }), { code });
    }
  }

  async #readTls(runtime: Runtime): Promise<TlsOptions> {
    const read = async (key: "ssl_cert_file" | "ssl_key_file") => {
      const path = this.settings[key];
      if (path === "") throw new TypeError(`Cannot start the server: SWOOLE_SSL needs the setting ${key}`);
      let text: string;
      try {
        text = await runtime.readTextFile(path);
      } catch (cause) {
        throw new Error(`Cannot read ${key}: ${cause instanceof Error ? cause.message : cause}`, { cause });
      }
      if (!text.includes("-----BEGIN ")) throw new TypeError(`Cannot use ${key}: ${path} is not in PEM format`);
      return text;
    };
    return { cert: await read("ssl_cert_file"), key: await read("ssl_key_file") };
  }

  /**
   * Serves a connection that did not come through the listener: any pair of streams. Needs no `start()`.
   *
   * @param pipe The connection.
   * @returns Its fd, or 0 when there are too many connections or the server is stopping; the pipe is dropped then.
   * @throws {TypeError} If a required handler is missing.
   */
  accept(pipe: BytePipe): number {
    if (this.#table === undefined) this.prepare();
    if (this.#state === "stopping" || this.#state === "stopped") {
      pipe.abort();
      return 0;
    }
    return this.#table!.accept(pipe)?.fd ?? 0;
  }

  /** Checks that the server can work, and fixes its settings. @internal */
  protected prepare(): void {
    for (const event of this.requiredEvents()) {
      if (!this.#handlers.has(event)) throw new TypeError(`Cannot start the server: there is no handler for ${event}`);
    }
    const settings = this.settings;
    this.#table ??= new ConnectionTable({
      maxConnections: settings.max_connection,
      firstFd: settings.start_session_id,
      lingerTimeout: settings.websocket_close_timeout * 1000,
      highWatermark: settings.buffer_high_watermark,
      lowWatermark: settings.buffer_low_watermark,
    }, {
      makeProtocol: (connection) => this.makeProtocol(connection),
      onAccepted: (connection) => this.emitFor(connection, "connect", this, connection.fd, 0),
      onClosed: (connection, byServer) => this.onClosed(connection, byServer),
      onBufferFull: (connection) => this.emitFor(connection, "bufferfull", this, connection.fd),
      onBufferEmpty: (connection) => {
        this.emitFor(connection, "bufferempty", this, connection.fd);
        this.emitFor(connection, "drain", this, connection.fd);
      },
    });
  }

  /**
   * Stops the server: no more connections are accepted, WebSockets are closed with 1001, answers that are being made are
   * finished, and what has not ended within `websocket_close_timeout` is dropped. `finished` settles at the end.
   *
   * @returns `false` when the server is not running.
   */
  shutdown(): boolean {
    if (this.#state === "stopping" || this.#state === "stopped" || this.#table === undefined) return false;
    this.#state = "stopping";
    this.#stop(this.#table);
    return true;
  }

  async #stop(table: ConnectionTable): Promise<void> {
    this.#listener?.close();
    this.emit("beforeshutdown", this);
    this.#timers.clearAll();
    for (const connection of [...table.connections()]) connection.gather(() => this.dismiss(connection));
    const late = setTimeout(() => table.abortAll(), this.settings.websocket_close_timeout * 1000);
    await table.whenEmpty();
    clearTimeout(late);
    this.#state = "stopped";
    this.emit("workerstop", this, 0);
    this.emit("shutdown", this);
    this.#finish();
  }

  /** Ends one connection because the server stops. @internal */
  protected dismiss(connection: Connection): void {
    connection.end(true);
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
    if (bytes.length === 0) return this.failed(SWOOLE_ERROR_NO_PAYLOAD);
    const connection = this.connection(fd);
    if (connection === undefined) return this.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    if (!this.hasRoom(connection, bytes.length)) return false;
    connection.append(bytes);
    this.responseCount++;
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
    const connection = this.connection(fd);
    if (connection === undefined) return this.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    if (reset) connection.abort(true);
    else connection.end(true);
    return true;
  }

  /** Tells whether a connection is there, WebSocket or not. */
  exist(fd: number): boolean {
    return this.connection(fd) !== undefined;
  }

  /** The same as `exist()`. */
  exists(fd: number): boolean {
    return this.exist(fd);
  }

  /** What is known of a connection; `false` with 1005 for an unknown fd. */
  getClientInfo(fd: number): ClientInfo | false {
    const connection = this.connection(fd);
    if (connection === undefined) return this.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
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
    if (!Number.isInteger(count) || count < 1 || count > 100) return this.failed(505);
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
    this.#timers.defer(callback);
  }

  /**
   * Runs a function every `ms` milliseconds, until `clearTimer()` or the server stops.
   *
   * @returns The number of the timer, which the function receives as its first argument.
   * @throws {RangeError} For a time below 1 ms or above 2147483647.
   */
  tick<A extends unknown[]>(ms: number, callback: (timerId: number, ...args: A) => unknown, ...args: A): number {
    return this.#timers.tick(ms, callback, args);
  }

  /**
   * Runs a function once, in `ms` milliseconds.
   *
   * @returns The number of the timer.
   * @throws {RangeError} For a time below 1 ms or above 2147483647.
   */
  after<A extends unknown[]>(ms: number, callback: (...args: A) => unknown, ...args: A): number {
    return this.#timers.after(ms, callback, args);
  }

  /** Stops a timer of `tick()` or `after()`. Returns whether there was one. */
  clearTimer(timerId: number): boolean {
    return this.#timers.clear(timerId);
  }

  // ---- state --------------------------------------------------------------------------------------------------------

  /** Why the last method that returned `false` did so; `swooleStrerror()` puts it in words. Success does not reset it. */
  getLastError(): number {
    return this.#lastError;
  }

  /** Counters since the start. */
  stats(): ServerStats {
    const table = this.#table;
    return {
      start_time: Math.floor(this.#startTime / 1000),
      connection_num: table?.size ?? 0,
      abort_count: table?.abortCount ?? 0,
      accept_count: table?.acceptCount ?? 0,
      close_count: table?.closeCount ?? 0,
      worker_num: 1,
      request_count: this.requestCount,
      response_count: this.responseCount,
      total_recv_bytes: table?.receivedBytes ?? 0,
      total_send_bytes: table?.sentBytes ?? 0,
      session_round: table?.lastFd ?? 0,
    };
  }

  // ---- for the classes below ----------------------------------------------------------------------------------------

  /** The settings in force. @internal */
  protected get settings(): ResolvedSettings {
    return this.#table === undefined ? this.#settings = resolveSettings(this.setting) : this.#settings!;
  }

  /** The coarse clock, milliseconds since 1970. @internal */
  protected get now(): number {
    return this.#table!.now;
  }

  /** An open connection. @internal */
  protected connection(fd: number): Connection | undefined {
    return this.#table?.get(fd);
  }

  /** Makes the first protocol of a connection. @internal */
  protected makeProtocol(connection: Connection): Protocol {
    return new RawSession(connection, this.#rawHost ??= this.#makeRawHost());
  }

  #makeRawHost(): RawHost {
    return {
      onReceive: (connection, data) => {
        this.requestCount++;
        this.emitFor(connection, "receive", this, connection.fd, 0, data);
      },
      idleDeadline: (connection) => this.idleDeadline(connection),
    };
  }

  /** When an idle connection is to be closed; 0 for never. @internal */
  protected idleDeadline(connection: Connection): number {
    const { heartbeat_idle_time, max_idle_time } = this.settings;
    let deadline = 0;
    if (heartbeat_idle_time > 0) deadline = connection.lastReceived + heartbeat_idle_time * 1000;
    if (max_idle_time > 0) {
      const idle = Math.max(connection.lastReceived, connection.lastSent) + max_idle_time * 1000;
      if (deadline === 0 || idle < deadline) deadline = idle;
    }
    return deadline;
  }

  /** A connection is over. @internal */
  protected onClosed(connection: Connection, byServer: boolean): void {
    this.emitFor(connection, "close", this, connection.fd, byServer ? -1 : 0);
  }

  /** Notes why a method fails. Returns `false`. @internal */
  protected failed(code: number): false {
    this.#lastError = code;
    return false;
  }

  /** Whether a connection's queue takes more; notes 1009 if not. @internal */
  protected hasRoom(connection: Connection, size: number): boolean {
    const queued = connection.queuedBytes;
    // Something of any size is taken when nothing waits.
    if (queued > 0 && queued + size > this.settings.socket_buffer_size) return this.failed(SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW);
    return true;
  }

  /** Calls a handler that no connection depends on. @internal */
  protected emit(event: string, ...args: unknown[]): void {
    const handler = this.#handlers.get(event);
    if (handler !== undefined) this.run(undefined, () => handler(...args));
  }

  /** Calls a handler for a connection, which ends when the handler fails. @internal */
  protected emitFor(connection: Connection, event: string, ...args: unknown[]): void {
    const handler = this.#handlers.get(event);
    if (handler !== undefined) this.run(connection, () => handler(...args));
  }

  /** Runs a handler; what it throws or rejects with ends the connection and nothing else. @internal */
  protected run(connection: Connection | undefined, work: () => unknown): void | Promise<void> {
    try {
      const result = work();
      if (isPromise(result)) return result.then(() => {}, (error) => this.fault(error, connection));
    } catch (error) {
      this.fault(error, connection);
    }
  }

  /** Reports a fault of the program once, and ends the connection it concerns. @internal */
  protected fault(error: unknown, connection?: Connection): void {
    if (connection?.isOpen) connection.gather(() => connection.protocol.onFault());
    const handler = this.#handlers.get("error");
    if (handler === undefined) return this.log(error, connection);
    try {
      const result = handler(this, error, connection?.fd ?? 0);
      if (isPromise(result)) result.then(undefined, (second) => this.log(second, connection));
    } catch (second) {
      this.log(second, connection);
    }
  }

  /** Writes an error to the log. @internal */
  protected log(error: unknown, connection?: Connection): void {
    const what = error instanceof Error ? error.stack ?? error.message : String(error);
    const line = `${new Date().toISOString()} ${connection === undefined ? "" : `fd ${connection.fd}: `}${what}`;
    const { log_file } = this.settings;
    if (log_file === "/dev/null") return;
    if (log_file === "" || this.#runtime === undefined) console.error(line);
    else this.#runtime.appendTextFile(log_file, line + "\n").catch(() => console.error(line));
  }
}

function isPromise(value: unknown): value is Promise<unknown> {
  return value !== null && typeof value === "object" && typeof (value as { then?: unknown }).then === "function";
}
