/**
 * The core of every server: it makes what the server consists of, starts it, and stops it. The public classes are its facades.
 *
 * @module
 */

import { SWOOLE_BASE } from "../constants.ts";
import { CloseInfo, type ConnectionData, type ConnectionEnd } from "../transport/connection_end.ts";
import type { Connection } from "../transport/connection.ts";
import type { BytePipe, Runtime, SignalName } from "../transport/runtime.ts";
import { checkPipe, dropPipe } from "../transport/pipes.ts";
import { currentRuntime, loadRuntime } from "../transport/current_runtime.ts";
import { type SharedListening, workerIdentity } from "../transport/processes.ts";
import { AccessLog } from "./access_log.ts";
import { Admission } from "./admission.ts";
import { checkEngine } from "../websocket/connection/compression_policy.ts";
import { defaultBufferMemory } from "../transport/buffer_memory.ts";
import { ConnectionTable } from "../transport/connection_table.ts";
import { FdSequence } from "../transport/fd_sequence.ts";
import { StatsFile } from "./stats.ts";
import { adminFactory, StatusPages } from "./status_pages.ts";
import { LOG_DEFAULTS, type LogSettings } from "./settings/log_settings.ts";
import type { ResolvedSettings, ServerSettings } from "./settings/settings.ts";
import { readAddress } from "./settings/status_settings.ts";
import { listen, renewTls } from "./listening.ts";
import { logWritten } from "./log_output.ts";
import { knownOf } from "./own_process.ts";
import { type Place, PortCore, portOf, type ProtocolFactory, type ProtocolName, Protocols } from "./port_core.ts";
import { Renewal } from "./renewal.ts";
import { RequestQueue, UNLIMITED } from "./running_handlers.ts";
import { ServerContext } from "./server_context.ts";
import { ServerMaster } from "./server_master.ts";
import { type ProcessesHost, type ServerProcesses, workersOf } from "./server_processes.ts";
import { ServerWorker } from "./server_worker.ts";
import { checkSeconds, Shutdown, signalsOf } from "./shutdown.ts";
import { checkFiles, checkTls } from "./settings/start_checks.ts";
import { Timers } from "./timers.ts";

/** The core of a server: its ports, and its life from start to stop. */
export class ServerCore implements ProcessesHost {
  /** What everything in the server shares. */
  readonly context: ServerContext;
  /** The server's own port. */
  readonly port: PortCore;
  /** All ports, the server's own first. */
  readonly ports: PortCore[];
  /** The timers of `defer()`, `tick()` and `after()`. */
  readonly timers: Timers;
  /** A promise that settles when the server has stopped. Replaced when the server starts again. */
  finished: Promise<void>;
  /** The number of the last connection before the start; `undefined` before the first start. */
  lastFd: number | undefined = undefined;
  /** `SWOOLE_BASE` or `SWOOLE_PROCESS`: whether connections of other workers can be used. */
  mode: number = SWOOLE_BASE;
  /** What this process is to the others, if the server has workers; from the start on. */
  processes: ServerProcesses | undefined = undefined;
  /** See `Server.reloadCertificates()`. */
  readonly renewal: Renewal = new Renewal(this);

  readonly #protocols: Protocols = new Protocols();
  #statsFile: StatsFile | undefined = undefined;
  #admin: ServerCore | undefined = undefined; // the server of `admin_server`, while this one starts, runs or stops
  #starting: Promise<void> | undefined = undefined; // settles when the last start is over, either way
  #finish!: () => void;
  #onPort: (port: number) => void = () => {};
  #wasCutOff = false; // by a worker
  #shutdown: Shutdown | undefined = undefined;

  /** @param server The object that handlers receive as `server`. */
  constructor(server: unknown) {
    const context = this.context = new ServerContext(server);
    this.port = new PortCore(context, this.#protocols);
    this.ports = [this.port];
    this.timers = new Timers((work) => context.run(undefined, "timer", work));
    this.finished = new Promise((resolve) => this.#finish = resolve);
  }

  // ---- setup --------------------------------------------------------------------------------------------------------

  /** Adds a protocol. The last one added is that of the server itself; ports may speak the others. */
  speak(name: ProtocolName, makeFactory: (port: PortCore) => ProtocolFactory): void {
    const { port, context } = this;
    if (port.isUdp && name !== "raw") throw new RangeError(`Cannot make a server: ${name} does not go over UDP`);
    this.#protocols.add(name, makeFactory);
    port.factory = makeFactory(port);
    context.config.defaults = port.factory.defaults;
  }

  /** Adds a protocol that only ports may speak, not the server itself. */
  speakOnPorts(name: ProtocolName, makeFactory: (port: PortCore) => ProtocolFactory): void {
    this.#protocols.addForPorts(name, makeFactory);
  }

  /** Adds a port. */
  addPort(place: Place): PortCore {
    if (this.context.hasStarted) throw new Error("Cannot add a port: the server has started");
    const port = new PortCore(this.context, this.#protocols, this.port);
    port.place = place;
    port.index = this.ports.push(port) - 1;
    return port;
  }

  /** Checks that the server can work, and fixes its settings. */
  #prepare(): ConnectionTable {
    const { context, port: own } = this;
    if (context.table !== undefined) return context.table;
    for (const port of this.ports) {
      port.prepare();
      const pages = new StatusPages(context, port.settings);
      port.pages = pages.isEmpty ? undefined : pages;
    }
    const { settings } = context;
    const { max_concurrency, worker_max_concurrency } = settings;
    const isLimited = max_concurrency !== UNLIMITED || worker_max_concurrency !== UNLIMITED;
    context.requestQueue = isLimited ? new RequestQueue(max_concurrency, worker_max_concurrency) : undefined;
    context.accessLog = settings.access_log ? new AccessLog(context.log) : undefined;
    const table = context.table = new ConnectionTable({
      maxConnections: settings.max_connection,
      fds: context.fds ?? new FdSequence(this.lastFd ?? settings.start_session_id),
      lingerTimeout: own.lingerTimeout,
      highWatermark: own.highWatermark,
      lowWatermark: own.lowWatermark,
    }, {
      makeProtocol: own.makeProtocol,
      onAccepted: (connection) => this.#onAccepted(connection),
      onClosed: (connection, end) => this.#onClosed(connection, end),
      onOverdue: (setting) => context.endings.addTimeout(setting),
      onTick: (delay) => {
        context.counters.loopDelay.add(delay);
        this.processes?.onTick();
      },
      onBufferFull: (connection) => {
        context.counters.fullQueues++;
        portOf(connection).emitFor(connection, "bufferfull", connection.fd);
      },
      onBufferEmpty: (connection) => {
        portOf(connection).emitFor(connection, "bufferempty", connection.fd);
        portOf(connection).emitFor(connection, "drain", connection.fd);
      },
      onFault: (connection, error) => context.fault(error, connection),
      onReleased: (connection) => admission.onReleased(connection),
      onShed: (connection) => admission.onShed(context.addressOf(connection)),
    });
    const admission = context.admission = new Admission(settings, table, context.refusals);
    this.#limitMemory(currentRuntime());
    return table;
  }

  #limitMemory(runtime: Runtime | undefined): void {
    const { table, settings } = this.context;
    table!.memory.limit = settings.max_buffer_memory || defaultBufferMemory(runtime?.memoryLimit?.());
  }

  // ---- start and stop -----------------------------------------------------------------------------------------------

  /**
   * Starts listening on all ports; if one fails, on none. In a worker it never settles: what follows is up to the master.
   *
   * @param place Where the server itself listens.
   * @param onPort Called with the number of its port as soon as it is known.
   */
  async start(place: Place, onPort: (port: number) => void): Promise<void> {
    const { context } = this;
    if (context.state === "stopping") {
      throw new Error("Cannot start the server: it is stopping; `finished` tells when it has stopped");
    }
    if (context.state === "stopped") this.#begin();
    if (context.state !== "new") throw new Error("Cannot start the server: it has been started before");
    this.port.place = place;
    checkTls(this.ports);
    this.#prepare();
    context.state = "starting";
    this.#onPort = onPort;
    const starting = this.#bind();
    this.#starting = starting.catch(() => {});
    try {
      await starting;
    } catch (error) {
      const { processes } = this;
      if (processes !== undefined && !processes.isWorker && this.#isStopping) await this.finished; // the program may exit now
      if (!processes?.isWorker) throw error;
      if (!this.#isStopping) processes.leave(error);
    }
    if (this.processes?.isWorker) await new Promise(() => {});
  }

  async #bind(): Promise<void> {
    const { context } = this;
    try {
      const runtime = context.runtime = await loadRuntime();
      this.#makeProcesses(runtime);
      this.#limitMemory(runtime);
      const { processes } = this;
      if (!processes?.isWorker) await this.#startAdmin();
      for (const port of this.ports) {
        this.checkStarting();
        checkEngine(port.settings, runtime);
        await checkFiles(runtime, port.settings);
        this.checkStarting();
        if (processes === undefined) await this.listenOn(port);
      }
      if (processes !== undefined) {
        this.#listenToSignals(); // workers do so before the master counts on it
        await processes.start();
      }
      this.checkStarting();
    } catch (error) {
      if (context.runtime?.signals !== undefined) signalsOf(context.runtime.signals).remove(this);
      await Promise.all([this.#closeListeners(), this.#stopAdmin()]);
      if (!this.#isStopping) await this.#closeProcesses();
      for (const port of this.ports) port.boundPort = 0;
      if (this.#isStopping) throw error; // `#begin()` does the rest
      context.state = "new";
      if (context.table?.size === 0) {
        this.#dropTable();
        for (const port of this.ports) port.reset();
      }
      throw error;
    }
    // Nothing is awaited from the last check on: a shutdown finds a server that runs, with all that it has to stop.
    const { processes } = this;
    const { runtime } = context;
    this.#statsFile = processes?.isWorker ? undefined : new StatsFile(context, runtime);
    this.#statsFile?.start();
    context.openTopics?.();
    context.state = "running";
    context.startTime = Date.now();
    this.#listenToSignals();
    this.#onPort(this.port.boundPort);
    if (!processes?.isWorker) context.emit("start"); // a worker has called `workerStart` before
    if (processes === undefined) context.emit("workerstart", 0);
    else if (!processes.isWorker) context.emit("managerstart");
  }

  #listenToSignals(): void {
    const { runtime, settings } = this.context;
    if (runtime!.signals !== undefined && settings.enable_signal_handlers) signalsOf(runtime!.signals).add(this);
  }

  /** Finds out what this process is: the only one, the master, or a worker. */
  #makeProcesses(runtime: Runtime): void {
    const { context } = this;
    const workers = workersOf(context, runtime);
    const identity = workerIdentity();
    if (workers === 0 && (identity === undefined || context.settings.worker_num === 1)) return;
    if (context.table!.acceptCount > 0) throw new Error("Cannot start the server: accept() needs worker_num: 1 before the start");
    this.processes = identity === undefined ? new ServerMaster(this, workers) : new ServerWorker(this, identity, workers);
    context.table = undefined;
    this.#prepare(); // with the fds of this process
  }

  async #closeProcesses(): Promise<void> {
    const { processes, context } = this;
    context.tasks?.close();
    await processes?.close();
    if (processes === undefined || processes.isWorker) return;
    this.lastFd = processes.lastFd;
    this.processes = undefined;
    context.resetProcesses();
  }

  /** See `ProcessesHost`. */
  async listenOn(port: PortCore, shared?: SharedListening): Promise<void> {
    const { context } = this;
    const failed = (error: unknown) => context.fault(error);
    port.listener = await listen(context.runtime!, port, (pipe) => this.accept(pipe, port), failed, shared);
    port.boundPort = port.listener.address.port;
  }

  /** See `ProcessesHost`. */
  onPorts([own]: readonly number[]): void {
    if (own !== 0) this.#onPort(own);
  }

  /** See `ProcessesHost`. */
  get hasTimers(): boolean {
    return this.timers.size > 0;
  }

  /** See `ProcessesHost`. */
  async renewHere(): Promise<void> {
    if (await this.processes?.acceptsNothing()) return; // it reads the files when it begins to
    await renewTls(this.context.runtime, this.ports).catch((error) => {
      if (!this.processes?.isLeaving) throw error;
    });
  }

  /** The port of `admin_server`; 0 if there is none. */
  get adminPort(): number {
    return this.#admin?.port.boundPort ?? 0;
  }

  /** Starts the server of `admin_server`. It has connections of its own, so that it responds however busy this one is. */
  async #startAdmin(): Promise<void> {
    const { context } = this;
    const { admin_server } = context.settings;
    if (admin_server === "") return;
    const admin = this.#admin = new ServerCore(undefined);
    admin.context.member = context.member; // for its log
    admin.speak("http", (port) => adminFactory(port, context));
    admin.port.set(adminSettings(context.settings));
    await admin.start({ ...readAddress(admin_server), ssl: false }, () => {});
  }

  async #stopAdmin(): Promise<void> {
    const admin = this.#admin;
    if (admin === undefined) return;
    if (admin.shutdown(0)) await admin.finished;
    this.#admin = undefined;
  }

  /** Gives up a start that was overtaken by a shutdown. */
  checkStarting(): void {
    if (this.#isStopping) throw new Error("Cannot start the server: it was shut down meanwhile");
  }

  /** Resets the server for another start. Handlers, settings, ports and the last fd are kept. */
  #begin(): void {
    const { context, port: own } = this;
    context.state = "new";
    this.#dropTable();
    own.factory = this.#protocols.makeFactory(this.#protocols.ownName, own);
    this.finished = new Promise((resolve) => this.#finish = resolve);
    this.#shutdown = undefined;
    this.#wasCutOff = false;
    for (const port of this.ports) {
      if (port !== own && port.boundPort !== 0) port.place = { ...port.place!, port: port.boundPort };
      port.reset();
    }
    context.reset();
  }

  #dropTable(): void {
    const { context } = this;
    this.lastFd = Math.max(context.table?.lastFd ?? 0, this.lastFd ?? 0);
    context.table = undefined;
  }

  #closeListeners(): Promise<unknown> {
    return Promise.all(this.ports.map((port) => {
      const { listener } = port;
      port.listener = undefined;
      return listener?.close();
    }));
  }

  /** See `Server.accept()`. */
  accept(pipe: BytePipe, port: PortCore = this.port): number {
    const { context } = this;
    if (port.isUdp) throw new TypeError("Cannot serve a connection: a UDP port has none");
    checkPipe(pipe, "accept");
    if (this.#isStopping) {
      dropPipe(pipe);
      return 0;
    }
    if (context.state === "new") checkEngine(port.settings, currentRuntime());
    this.#prepare();
    return context.admission!.accept(pipe, port);
  }

  /** Whether something was cut off when the server stopped. */
  get wasCutOff(): boolean {
    return this.#wasCutOff || (this.#shutdown?.wasCutOff ?? false) || (this.processes?.wasCutOff ?? false);
  }

  /** The default time limit of a shutdown, in seconds: `max_wait_time`. */
  get patience(): number {
    return this.context.settings.max_wait_time || Infinity;
  }

  /**
   * See `Server.shutdown()`. While the server stops, a shorter time replaces a longer one.
   *
   * @param wait The time after which handlers and responses are cut off, in seconds.
   * @param tell The time after which WebSockets that may still finish are told to close, in seconds.
   */
  shutdown(wait: number = this.patience, tell = 0): boolean {
    checkSeconds(wait);
    const { context, processes } = this;
    if (context.state !== "new" && !this.#isStopping && processes?.askForShutdown(wait, tell)) return true;
    return this.stopHere(wait, tell);
  }

  /** See `ProcessesHost`. */
  stopHere(wait: number, tell = 0): boolean {
    const { context } = this;
    if (context.state === "stopping") {
      const isShorter = this.#shutdown!.within(wait, tell);
      if (isShorter) this.processes?.stop(wait, tell);
      return isShorter;
    }
    if (this.#isStopping || context.table === undefined) return false;
    context.state = "stopping";
    this.#stop(context.table, wait, tell);
    return true;
  }

  /** See `Stoppable`. */
  stopSoon(): void {
    this.shutdown();
  }

  /** See `Stoppable`. */
  takeSignal(name: SignalName): boolean {
    if (this.processes?.takeSignal(name)) return true;
    if (name !== "SIGUSR1" && name !== "SIGUSR2") return false;
    if (this.processes === undefined) this.context.log.warn(`${name} reloads workers, and there are none: worker_num is 1`);
    else this.processes.reload(name === "SIGUSR2");
    return true;
  }

  get #isStopping(): boolean {
    const { state } = this.context;
    return state === "stopping" || state === "stopped";
  }

  async #stop(table: ConnectionTable, wait: number, tell: number): Promise<void> {
    const { context } = this;
    const shutdown = this.#shutdown = new Shutdown(context, table);
    const { processes } = this;
    if (!processes?.isWorker) context.emit("beforeshutdown"); // its handler may still send datagrams
    processes?.stop(wait, tell);
    const closed = this.#closeListeners();
    this.timers.clearAll();
    table.endRefused();
    shutdown.within(wait, tell);
    await Promise.all([closed, this.#starting, table.whenEmpty(), this.#statsFile?.stop(), processes?.whenStopped()]);
    await shutdown.whenIdle();
    if (processes === undefined || processes.isWorker) context.emit("workerstop", processes?.id ?? 0);
    else context.emit("managerstop");
    if (!processes?.isWorker) context.emit("shutdown");
    await shutdown.whenIdle();
    await context.topics?.close();
    await context.log.written();
    await this.#stopAdmin();
    this.#wasCutOff = this.wasCutOff;
    await this.#closeProcesses();
    await logWritten(context.runtime, context.settings);
    shutdown.end();
    this.timers.clearAll(); // timers set in the meantime
    context.lateHandlers.clear();
    for (const port of this.ports) port.closeCompression();
    context.state = "stopped";
    const signals = context.runtime?.signals;
    if (signals !== undefined) signalsOf(signals).remove(this);
    this.#finish();
    processes?.leave();
  }

  // ---- connections --------------------------------------------------------------------------------------------------

  #onAccepted(connection: Connection): void {
    // Without a `connect` event the program could not confirm the connection.
    const { context } = this;
    if (context.settings.enable_delay_receive && this.port.factory.events.includes("connect")) connection.hold();
    if (connection.isOpen) context.peers?.opened(knownOf(context, connection));
    portOf(connection).emitAbout(connection, "connect", 0);
  }

  #onClosed(connection: Connection, end: ConnectionEnd): void {
    const { context } = this;
    const { fd, protocol } = connection;
    const outer = context.leaving;
    context.leaving = connection;
    const port = portOf(connection);
    const info = protocol.closeInfo ?? closeInfo(end, protocol.isPlainHttp ? undefined : context.dataOf(fd));
    context.endings.add(info);
    context.accessLog?.close(connection, info);
    context.topics?.leave(fd);
    context.peers?.closed(fd);
    const done = port.emitClosed(connection, port.factory.closeEvent(connection), end.byServer ? -1 : 0, info);
    context.leaving = outer;
    context.protectedFds.delete(fd);
    context.uids.delete(fd);
    context.clients.delete(fd);
    if (done === undefined) context.forget(fd);
    else done.then(() => context.forget(fd));
  }
}

/** Returns the settings of the server of `admin_server`: the log of its server, and few connections. */
function adminSettings(settings: ResolvedSettings): ServerSettings {
  const log = Object.fromEntries(Object.keys(LOG_DEFAULTS).map((key) => [key, settings[key as keyof LogSettings]]));
  return { ...log, access_log: false, enable_signal_handlers: false, max_connection: 100, websocket_close_timeout: 0.5 };
}

/** Describes the end of a connection that is not a WebSocket. */
function closeInfo({ reason, isOrderly, initiator, error }: ConnectionEnd, data: ConnectionData | undefined): CloseInfo {
  return new CloseInfo(0, reason, isOrderly, initiator, error, data);
}
