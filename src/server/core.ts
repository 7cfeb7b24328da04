/**
 * What every server is made of: handlers, settings, connections, listening and stopping. The classes that people use are faces
 * of it.
 *
 * @module
 */

import type { Connection, Protocol } from "../connection.ts";
import { SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW } from "../errors.ts";
import { type BytePipe, currentRuntime, type Listener, loadRuntime, type Runtime, type TlsOptions } from "../runtime.ts";
import { chooseEngine, CompressionPolicy } from "./compression.ts";
import { ConnectionTable } from "./connection_table.ts";
import { checkSettings, type ResolvedSettings, resolveSettings, type ServerSettings } from "./settings.ts";
import { Timers } from "./timers.ts";

/** What distinguishes one class of servers from another. */
export interface Style {
  /** The names of its events. */
  readonly events: readonly string[];
  /** The events without which it cannot work. */
  readonly required: readonly string[];
  /** Its own defaults of settings. */
  readonly defaults?: ServerSettings;
  /** Makes the first protocol of a connection. */
  makeProtocol(connection: Connection): Protocol;
  /** The event that tells of the end of a connection. */
  closeEvent(connection: Connection): string;
  /**
   * Ends a connection because the server stops.
   *
   * @param patient Whether it may take its time.
   */
  dismiss(connection: Connection, patient: boolean): void;
}

/** Where a server listens. */
export interface Place {
  /** `tcp` or `unix`. */
  readonly transport: "tcp" | "unix";
  /** The address; for `unix` the path. */
  readonly hostname: string;
  /** The port, 0 for a free one. */
  readonly port: number;
  /** Whether to speak TLS. */
  readonly ssl: boolean;
  /** Whether other servers may listen there too. */
  readonly reusePort?: boolean;
}

/** Any handler. */
export type Handler = (...args: unknown[]) => unknown;

/** The machinery of one server. */
export class ServerCore {
  /** What distinguishes this class of servers. Set by its constructor. */
  style!: Style;
  /** What was given to `set()`. */
  readonly given: ServerSettings = {};
  /** `defer`, `tick`, `after`. */
  readonly timers: Timers = new Timers((error) => this.fault(error));
  /** Settles when the server has stopped. */
  readonly finished: Promise<void>;
  /** The code for `getLastError()`. */
  lastError = 0;
  /** When the server started to listen, milliseconds since 1970. */
  startTime = 0;
  /** Requests and messages handed to a handler. */
  requestCount = 0;
  /** Answers and messages sent by the program. */
  responseCount = 0;

  readonly #server: unknown; // what handlers get as `server`
  readonly #handlers: Map<string, Handler> = new Map();
  #settings: ResolvedSettings | undefined = undefined;
  #table: ConnectionTable | undefined = undefined;
  #runtime: Runtime | undefined = undefined;
  #listener: Listener | undefined = undefined;
  #compression: CompressionPolicy | undefined = undefined;
  #leaving: Connection | undefined = undefined;
  #state: "new" | "starting" | "running" | "stopping" | "stopped" = "new";
  #finish!: () => void;

  constructor(server: unknown) {
    this.#server = server;
    this.finished = new Promise((resolve) => this.#finish = resolve);
  }

  // ---- setting up ---------------------------------------------------------------------------------------------------

  /** See `Server.set()`. */
  set(settings: ServerSettings): void {
    checkSettings(settings);
    if (this.#table !== undefined) throw new Error("Cannot change the settings: the server has started");
    Object.assign(this.given, settings);
  }

  /** See `Server.on()`. */
  register(event: string, handler: unknown): void {
    const { events } = this.style;
    const key = event.toLowerCase();
    if (!events.some((name) => name.toLowerCase() === key)) {
      throw new TypeError(`Cannot register a handler: there is no event ${event}; there are ${events.join(", ")}`);
    }
    if (typeof handler !== "function") throw new TypeError(`Cannot register a handler for ${event}: it is no function`);
    this.#handlers.set(key, handler as Handler);
  }

  /** The handler of an event; the name in lower case. */
  handler(event: string): Handler | undefined {
    return this.#handlers.get(event);
  }

  /** The settings in force. */
  get settings(): ResolvedSettings {
    return this.#settings ?? resolveSettings(this.given, this.style.defaults);
  }

  /** The connections, once there may be any. */
  get table(): ConnectionTable | undefined {
    return this.#table;
  }

  /** How to compress WebSocket messages; `undefined` for not at all. */
  get compression(): CompressionPolicy | undefined {
    if (this.settings.websocket_compression) this.#compression ??= new CompressionPolicy(this.settings, currentRuntime());
    return this.#compression;
  }

  /** The coarse clock, milliseconds since 1970. */
  get now(): number {
    return this.#table!.now;
  }

  /** Checks that the server can work, and fixes its settings. */
  #prepare(): ConnectionTable {
    for (const event of this.style.required) {
      if (!this.#handlers.has(event)) throw new TypeError(`Cannot start the server: there is no handler for ${event}`);
    }
    if (this.#table !== undefined) return this.#table;
    const settings = this.#settings = resolveSettings(this.given, this.style.defaults);
    return this.#table = new ConnectionTable({
      maxConnections: settings.max_connection,
      firstFd: settings.start_session_id,
      lingerTimeout: settings.websocket_close_timeout * 1000,
      highWatermark: settings.buffer_high_watermark,
      lowWatermark: settings.buffer_low_watermark,
    }, {
      makeProtocol: (connection) => this.style.makeProtocol(connection),
      onAccepted: (connection) => this.emitFor(connection, "connect", connection.fd, 0),
      onClosed: (connection, byServer) => this.#onClosed(connection, byServer),
      onBufferFull: (connection) => this.emitFor(connection, "bufferfull", connection.fd),
      onBufferEmpty: (connection) => {
        this.emitFor(connection, "bufferempty", connection.fd);
        this.emitFor(connection, "drain", connection.fd);
      },
    });
  }

  // ---- life ---------------------------------------------------------------------------------------------------------

  /**
   * Starts to listen.
   *
   * @returns The port.
   */
  async start(place: Place): Promise<number> {
    if (this.#state !== "new") throw new Error("Cannot start the server: it has been started before");
    this.#prepare();
    this.#state = "starting";
    try {
      const runtime = this.#runtime = await loadRuntime();
      if (this.settings.websocket_compression) chooseEngine(this.settings, runtime); // throws where there is none
      this.#listener = await this.#listen(runtime, place);
      if (this.#isStopping) {
        await this.#listener.close();
        throw new Error("Cannot start the server: it was shut down meanwhile");
      }
    } catch (error) {
      if (!this.#isStopping) this.#state = "new";
      if (this.#table?.size === 0) this.#table = this.#settings = undefined;
      throw error;
    }
    this.#state = "running";
    this.startTime = Date.now();
    return this.#listener.address.port;
  }

  async #listen(runtime: Runtime, place: Place): Promise<Listener> {
    const { settings } = this;
    const { transport, hostname, port } = place;
    const tls = place.ssl ? await this.#readTls(runtime) : undefined;
    try {
      return await runtime.listen(
        {
          transport,
          hostname,
          port,
          backlog: settings.backlog,
          noDelay: settings.open_tcp_nodelay,
          reusePort: place.reusePort,
          tls,
          handshakeTimeout: settings.http_request_timeout * 1000,
        },
        (pipe) => this.accept(pipe),
        (error) => this.fault(error),
      );
    } catch (cause) {
      const where = transport === "unix" ? hostname : hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
      const code = (cause as { code?: unknown } | null)?.code;
      throw Object.assign(new Error(`Cannot listen on ${where}: ${explain(cause, code)}`, { cause }), { code });
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
        throw new Error(`Cannot read ${key}: ${explain(cause)}`, { cause });
      }
      if (!text.includes("-----BEGIN ")) throw new TypeError(`Cannot use ${key}: ${path} is not in PEM format`);
      return text;
    };
    return { cert: await read("ssl_cert_file"), key: await read("ssl_key_file") };
  }

  /** See `Server.accept()`. */
  accept(pipe: BytePipe): number {
    if (this.#isStopping) {
      pipe.abort();
      return 0;
    }
    return this.#prepare().accept(pipe)?.fd ?? 0;
  }

  /**
   * See `Server.shutdown()`.
   *
   * @param patience How long connections may take their time before they are told to go, in seconds.
   */
  shutdown(patience = 0): boolean {
    if (this.#isStopping || this.#table === undefined) return false;
    this.#state = "stopping";
    this.#stop(this.#table, patience);
    return true;
  }

  get #isStopping(): boolean {
    return this.#state === "stopping" || this.#state === "stopped";
  }

  async #stop(table: ConnectionTable, patience: number): Promise<void> {
    const closed = this.#listener?.close();
    this.emit("beforeshutdown");
    this.timers.clearAll();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const dismissAll = (patient: boolean) => {
      for (const connection of [...table.connections()]) connection.gather(() => this.style.dismiss(connection, patient));
    };
    const insist = () => {
      dismissAll(false);
      timer = setTimeout(() => table.abortAll(), this.settings.websocket_close_timeout * 1000);
    };
    if (patience === 0) insist();
    else {
      dismissAll(true);
      if (patience !== Infinity) timer = setTimeout(insist, patience * 1000);
    }
    await Promise.all([closed, table.whenEmpty()]);
    clearTimeout(timer);
    this.#compression?.close();
    this.#state = "stopped";
    this.emit("workerstop", 0);
    this.emit("shutdown");
    this.#finish();
  }

  // ---- connections --------------------------------------------------------------------------------------------------

  /** An open connection. */
  connection(fd: number): Connection | undefined {
    return this.#table?.get(fd);
  }

  /** An open connection, or the one whose end is being handled. */
  connectionOrLeaving(fd: number): Connection | undefined {
    return this.connection(fd) ?? (this.#leaving?.fd === fd ? this.#leaving : undefined);
  }

  #onClosed(connection: Connection, byServer: boolean): void {
    const outer = this.#leaving;
    this.#leaving = connection;
    this.emitFor(connection, this.style.closeEvent(connection), connection.fd, byServer ? -1 : 0);
    this.#leaving = outer;
  }

  /** When an idle connection is to be closed; 0 for never. */
  idleDeadline(connection: Connection): number {
    const { heartbeat_idle_time, max_idle_time } = this.settings;
    let deadline = 0;
    if (heartbeat_idle_time > 0) deadline = connection.lastReceived + heartbeat_idle_time * 1000;
    if (max_idle_time > 0) {
      const idle = Math.max(connection.lastReceived, connection.lastSent) + max_idle_time * 1000;
      if (deadline === 0 || idle < deadline) deadline = idle;
    }
    return deadline;
  }

  /** Whether a queue of so many octets takes more; notes 1009 if not. Something of any size is taken when nothing waits. */
  hasRoom(queued: number, data: string | Uint8Array, size: number): boolean {
    if (queued === 0) return true;
    const room = this.settings.socket_buffer_size - queued;
    if (size <= room && (typeof data !== "string" || size * 3 <= room || utf8Length(data) <= room)) return true;
    return this.failed(SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW);
  }

  /** Notes why a method fails. */
  failed(code: number): false {
    this.lastError = code;
    return false;
  }

  // ---- handlers -----------------------------------------------------------------------------------------------------

  /** Calls a handler, with the server as its first argument, that no connection depends on. */
  emit(event: string, ...args: unknown[]): void {
    const handler = this.#handlers.get(event);
    if (handler !== undefined) this.run(undefined, () => handler(this.#server, ...args));
  }

  /** Calls a handler, with the server as its first argument, for a connection, which ends when the handler fails. */
  emitFor(connection: Connection, event: string, ...args: unknown[]): void {
    const handler = this.#handlers.get(event);
    if (handler !== undefined) this.run(connection, () => handler(this.#server, ...args));
  }

  /**
   * Runs a handler; what it throws or rejects with ends the connection and nothing else.
   *
   * @param cause What on the connection the handler works for, see `Protocol.onFault()`.
   */
  run(connection: Connection | undefined, work: () => unknown, cause?: unknown): void | Promise<void> {
    try {
      const result = work();
      if (isPromise(result)) return result.then(() => {}, (error) => this.fault(error, connection, cause));
    } catch (error) {
      this.fault(error, connection, cause);
    }
  }

  /** Reports a fault of the program once, and ends the connection it concerns. */
  fault(error: unknown, connection?: Connection, cause?: unknown): void {
    if (connection?.isOpen) connection.gather(() => connection.protocol.onFault(cause));
    const handler = this.#handlers.get("error");
    if (handler === undefined) return this.#log(error, connection);
    try {
      const result = handler(this.#server, error, connection?.fd ?? 0);
      if (isPromise(result)) result.then(undefined, (second) => this.#log(second, connection));
    } catch (second) {
      this.#log(second, connection);
    }
  }

  #log(error: unknown, connection: Connection | undefined): void {
    const what = error instanceof Error ? error.stack ?? error.message : String(error);
    const line = `${new Date().toISOString()} ${connection === undefined ? "" : `fd ${connection.fd}: `}${what}`;
    const { log_file } = this.settings;
    if (log_file === "/dev/null") return;
    if (log_file === "" || this.#runtime === undefined) console.error(line);
    else this.#runtime.appendTextFile(log_file, line + "\n").catch(() => console.error(line));
  }
}

/** Whether a handler returned something to wait for. */
export function isPromise(value: unknown): value is Promise<unknown> {
  return value !== null && typeof value === "object" && typeof (value as { then?: unknown }).then === "function";
}

/** How many octets a text has in UTF-8. */
function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const point = character.codePointAt(0)!;
    length += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return length;
}

function explain(error: unknown, code?: unknown): string {
  if (code === "EADDRINUSE") return "the address is in use already";
  if (code === "EADDRNOTAVAIL") return "this machine has no such address";
  if (code === "EACCES") return "it is not permitted";
  return error instanceof Error ? error.message : String(error);
}
