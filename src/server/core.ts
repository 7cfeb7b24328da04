/**
 * What every server is made of: its ports, its connections, starting and stopping. The classes that people use are faces of it.
 *
 * @module
 */

import type { Connection } from "../connection.ts";
import { type BytePipe, currentRuntime, loadRuntime, type Runtime } from "../runtime.ts";
import { checkEngine } from "./websocket/compression.ts";
import { ConnectionTable } from "./connection_table.ts";
import { Housekeeping } from "./housekeeping.ts";
import { listen } from "./listening.ts";
import { logError } from "./log.ts";
import { isPromise, type Place, PortCore, portOf, type ProtocolName, type Style } from "./port_core.ts";
import { RequestQueue, UNLIMITED } from "./http/request_queue.ts";
import { RunningHandlers } from "./running_handlers.ts";
import { Shutdown } from "./shutdown.ts";
import { signalsOf } from "./signals.ts";
import { checkFiles, checkTls } from "./settings/start_checks.ts";
import { Timers } from "./timers.ts";

export { isPromise, type Place, type Style } from "./port_core.ts";

/** The machinery of one server; and of the port that it was made with. */
export class ServerCore extends PortCore {
  /** What handlers get as `server`. */
  readonly server: unknown;
  /** All ports, its own first. */
  readonly ports: PortCore[] = [this];
  /** `defer`, `tick`, `after`. */
  readonly timers: Timers = new Timers((work) => this.run(undefined, work));
  /** Settles when the server has stopped; of a server that starts again, anew. */
  finished: Promise<void>;
  /** The handlers that have not settled. */
  handlers: RunningHandlers = new RunningHandlers();
  /** Whether something was cut off when the server stopped. */
  wasCutOff = false;
  /** When the server started to listen, milliseconds since 1970. */
  startTime = 0;
  /** What the server itself speaks. */
  protocolName: ProtocolName = "raw";
  /** Connections that `heartbeat_idle_time` does not concern. */
  readonly protectedFds: Set<number> = new Set();
  /** The requests in work, where there is a limit for them. */
  requests: RequestQueue | undefined = undefined;
  /** What `bind()` has noted. */
  readonly uids: Map<number, number> = new Map();

  readonly #styles: Map<ProtocolName, (core: PortCore) => Style> = new Map();
  #table: ConnectionTable | undefined = undefined;
  #runtime: Runtime | undefined = undefined;
  #housekeeping: Housekeeping | undefined = undefined;
  #leaving: Connection | undefined = undefined;
  #state: "new" | "starting" | "running" | "stopping" | "stopped" = "new";
  #finish!: () => void;
  #lastFd: number | undefined = undefined; // of a table that is gone
  #shutdown: Shutdown | undefined = undefined;

  constructor(server: unknown) {
    super();
    this.server = server;
    this.finished = new Promise((resolve) => this.#finish = resolve);
  }

  // ---- setting up ---------------------------------------------------------------------------------------------------

  /** Teaches the server a protocol. The last one is its own; ports may speak the others. */
  speak(name: ProtocolName, makeStyle: (core: PortCore) => Style): void {
    if (this.isUdp && name !== "raw") throw new RangeError(`Cannot make a server: ${name} does not go over UDP`);
    this.#styles.set(name, makeStyle);
    this.protocolName = name;
    this.style = makeStyle(this);
  }

  /** Whether it has learned a protocol. */
  canSpeak(name: ProtocolName): boolean {
    return this.#styles.has(name);
  }

  /** How a port treats its connections. */
  makeStyle(name: ProtocolName, port: PortCore): Style {
    const makeStyle = this.#styles.get(name);
    if (makeStyle !== undefined) return makeStyle(port);
    throw new TypeError(`Cannot set open_${name}_protocol: a server of this class does not speak it`);
  }

  /** Adds a port. */
  addPort(place: Place): PortCore {
    if (this.hasStarted) throw new Error("Cannot add a port: the server has started");
    const port = new PortCore(this);
    port.place = place;
    this.ports.push(port);
    return port;
  }

  override get table(): ConnectionTable | undefined {
    return this.#table;
  }

  /** The adapter, once the server starts. */
  get runtime(): Runtime | undefined {
    return this.#runtime;
  }

  /** Whether ports and settings are fixed: it runs, or stops. */
  get hasStarted(): boolean {
    return this.#state !== "stopped" && (this.#state !== "new" || this.#table !== undefined);
  }

  /** Whether it accepts connections. */
  get isRunning(): boolean {
    return this.#state === "running";
  }

  /** Checks that the server can work, and fixes its settings. */
  #prepare(): ConnectionTable {
    if (this.#table !== undefined) return this.#table;
    for (const port of this.ports) port.prepare();
    const { settings } = this;
    const { max_concurrency, worker_max_concurrency } = settings;
    const isLimited = max_concurrency !== UNLIMITED || worker_max_concurrency !== UNLIMITED;
    this.requests = isLimited ? new RequestQueue(max_concurrency, worker_max_concurrency) : undefined;
    return this.#table = new ConnectionTable({
      maxConnections: settings.max_connection,
      firstFd: this.#lastFd ?? settings.start_session_id,
      lingerTimeout: this.lingerTimeout,
      highWatermark: this.highWatermark,
      lowWatermark: this.lowWatermark,
    }, {
      makeProtocol: this.makeProtocol,
      onAccepted: (connection) => this.#onAccepted(connection),
      onClosed: (connection, byServer) => this.#onClosed(connection, byServer),
      onBufferFull: (connection) => portOf(connection).emitFor(connection, "bufferfull", connection.fd),
      onBufferEmpty: (connection) => {
        portOf(connection).emitFor(connection, "bufferempty", connection.fd);
        portOf(connection).emitFor(connection, "drain", connection.fd);
      },
      onFault: (connection, error) => this.fault(error, connection),
    });
  }

  // ---- life ---------------------------------------------------------------------------------------------------------

  /**
   * Starts to listen, on all ports or on none.
   *
   * @param place Where the server itself listens.
   * @returns Its port.
   */
  async start(place: Place): Promise<number> {
    if (this.#state === "stopping") {
      throw new Error("Cannot start the server: it is stopping; `finished` tells when it has stopped");
    }
    if (this.#state === "stopped") this.#begin();
    if (this.#state !== "new") throw new Error("Cannot start the server: it has been started before");
    this.place = place;
    checkTls(this.ports);
    this.#prepare();
    this.#state = "starting";
    try {
      const runtime = this.#runtime = await loadRuntime();
      for (const port of this.ports) {
        checkEngine(port.settings, runtime);
        await checkFiles(runtime, port.settings);
        port.listener = await listen(runtime, port, (pipe) => this.accept(pipe, port), (error) => this.fault(error));
        port.boundPort = port.listener.address.port;
        if (this.#isStopping) throw new Error("Cannot start the server: it was shut down meanwhile");
      }
      this.#housekeeping = new Housekeeping(this, runtime);
      this.#housekeeping.start();
    } catch (error) {
      await this.#closeListeners();
      await this.#housekeeping?.stop();
      if (!this.#isStopping) this.#state = "new";
      if (this.#table?.size === 0) {
        this.#dropTable();
        for (const port of this.ports) port.reset();
      }
      throw error;
    }
    this.#state = "running";
    this.startTime = Date.now();
    const signals = this.#runtime.signals;
    if (signals !== undefined && this.settings.enable_signal_handlers) signalsOf(signals).add(this);
    return this.boundPort;
  }

  /** Forgets an earlier life: what is left of it are handlers, settings, ports and the last fd. */
  #begin(): void {
    this.#state = "new";
    this.#dropTable();
    this.style = this.makeStyle(this.protocolName, this);
    this.finished = new Promise((resolve) => this.#finish = resolve);
    this.handlers = new RunningHandlers(); // what was cut off is waited for no more
    this.wasCutOff = false;
    this.#shutdown = undefined;
    for (const port of this.ports) {
      if (port !== this && port.boundPort !== 0) port.place = { ...port.place!, port: port.boundPort };
      port.reset();
    }
    Object.assign(this.shared, { requestCount: 0, responseCount: 0, receivedBytes: 0, sentBytes: 0, lastError: 0 });
  }

  #dropTable(): void {
    this.#lastFd = this.#table?.lastFd ?? this.#lastFd;
    this.#table = undefined;
  }

  #closeListeners(): Promise<unknown> {
    return Promise.all(this.ports.map((port) => {
      const { listener } = port;
      port.listener = undefined;
      return listener?.close();
    }));
  }

  /** See `Server.accept()`. */
  accept(pipe: BytePipe, port: PortCore = this): number {
    if (port.isUdp) throw new TypeError("Cannot serve a connection: a UDP port has none");
    if (this.#isStopping) {
      pipe.abort();
      return 0;
    }
    if (this.#state === "new") checkEngine(port.settings, currentRuntime());
    return this.#prepare().accept(pipe, port.makeProtocol, port)?.fd ?? 0;
  }

  /** How long a shutdown waits that is not told, in seconds: `max_wait_time`. */
  get patience(): number {
    return this.settings.max_wait_time || Infinity;
  }

  /**
   * See `Server.shutdown()`. While the server stops, a shorter time replaces a longer one.
   *
   * @param wait How long handlers and responses are waited for, in seconds, before they are cut off.
   * @param tell When WebSockets are told to close, in seconds, where they may take their time.
   */
  shutdown(wait: number = this.patience, tell = 0): boolean {
    for (const time of [wait, tell]) {
      if (!(time >= 0)) throw new RangeError(`Cannot shut down: ${time} is no number of seconds`);
    }
    if (this.#state === "stopping") return this.#shutdown!.within(wait, tell);
    if (this.#isStopping || this.#table === undefined) return false;
    this.#state = "stopping";
    this.#stop(this.#table, wait, tell);
    return true;
  }

  /** A signal has come. */
  stopSoon(): void {
    this.shutdown();
  }

  get #isStopping(): boolean {
    return this.#state === "stopping" || this.#state === "stopped";
  }

  async #stop(table: ConnectionTable, wait: number, tell: number): Promise<void> {
    const shutdown = this.#shutdown = new Shutdown(this, table);
    this.emit("beforeshutdown"); // which may still send datagrams
    const closed = this.#closeListeners();
    this.timers.clearAll();
    shutdown.within(wait, tell);
    await Promise.all([closed, table.whenEmpty(), this.#housekeeping?.stop()]);
    await shutdown.whenIdle();
    this.emit("workerstop", 0);
    this.emit("shutdown");
    await shutdown.whenIdle();
    shutdown.end();
    this.timers.clearAll(); // those that were set meanwhile
    for (const port of this.ports) port.closeCompression();
    this.#state = "stopped";
    const signals = this.#runtime?.signals;
    if (signals !== undefined) signalsOf(signals).remove(this);
    this.#finish();
  }

  // ---- connections --------------------------------------------------------------------------------------------------

  /** An open connection, or the one whose end is being handled. */
  connectionOrLeaving(fd: number): Connection | undefined {
    return this.connection(fd) ?? (this.#leaving?.fd === fd ? this.#leaving : undefined);
  }

  #onAccepted(connection: Connection): void {
    // Where nobody can be told of a connection nobody would confirm it.
    if (this.settings.enable_delay_receive && this.style.events.includes("connect")) connection.hold();
    portOf(connection).emitAbout(connection, "connect", 0);
  }

  #onClosed(connection: Connection, byServer: boolean): void {
    const outer = this.#leaving;
    this.#leaving = connection;
    const port = portOf(connection);
    port.emitAbout(connection, port.style.closeEvent(connection), byServer ? -1 : 0);
    this.#leaving = outer;
    this.protectedFds.delete(connection.fd);
    this.uids.delete(connection.fd);
  }

  // ---- handlers -----------------------------------------------------------------------------------------------------

  /** Calls a handler, with the server as its first argument, that no connection depends on. */
  emit(event: string, ...args: unknown[]): void {
    const handler = this.handler(event);
    if (handler !== undefined) this.run(undefined, () => handler(this.server, ...args));
  }

  /** Reports a fault of the program once, and ends the connection it concerns. */
  override fault(error: unknown, connection?: Connection, cause?: unknown): void {
    if (connection?.isOpen) connection.gather(() => connection.protocol.onFault(cause));
    const handler = this.handler("error");
    if (handler === undefined) return this.#log(error, connection);
    try {
      const result = handler(this.server, error, connection?.fd ?? 0);
      if (!isPromise(result)) return;
      const { handlers } = this;
      handlers.enter();
      result.then(undefined, (second) => this.#log(second, connection)).then(() => handlers.leave());
    } catch (second) {
      this.#log(second, connection);
    }
  }

  #log(error: unknown, connection: Connection | undefined): void {
    logError(error, connection?.fd ?? 0, this.settings, this.#runtime, Date.now());
  }
}
