/**
 * What belongs to one port of a server: its handlers and settings, and how it treats its connections. What a port has not, it has
 * from its server.
 *
 * @module
 */

import type { Connection, ConnectionOrigin, Protocol } from "../connection.ts";
import { SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW } from "../errors.ts";
import { currentRuntime, type DatagramSocket, type Listener } from "../runtime.ts";
import { CompressionPolicy } from "./websocket/compression.ts";
import type { ConnectionTable } from "./connection_table.ts";
import type { ServerCore } from "./core.ts";
import { describe } from "../setting_kinds.ts";
import { explainAbsentEvent, PORT_EVENT_NAMES } from "./events.ts";
import { ServerEvent } from "./server_event.ts";
import { chosenWays } from "./settings/package_settings.ts";
import {
  checkPortSettings,
  checkSettings,
  mergeSettings,
  type ResolvedSettings,
  resolveSettings,
  type ServerSettings,
} from "./settings/settings.ts";
import { checkWatermarks } from "./settings/start_checks.ts";
import type { IgnoredSettings } from "./settings/swoole_settings.ts";

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

/** What a port can speak. */
export type ProtocolName = "raw" | "http" | "websocket";

/** Where a server listens. */
export interface Place {
  /** What it receives: connections, or datagrams. */
  readonly transport: "tcp" | "unix" | "udp";
  /** The address; for `unix` the path. */
  readonly hostname: string;
  /** The port, 0 for a free one. */
  readonly port: number;
  /** Whether to speak TLS. */
  readonly ssl: boolean;
  /** Whether other servers may listen there too. */
  readonly reusePort?: boolean;
  /** The `SWOOLE_SOCK_*` number of `transport`, for `getClientInfo()`. */
  readonly type?: number;
}

/** Any handler. */
export type Handler = (...args: unknown[]) => unknown;

/** What all ports of a server count and note together. */
export interface Shared {
  /** Requests and messages handed to a handler. */
  requestCount: number;
  /** Answers and messages sent by the program. */
  responseCount: number;
  /** Octets of datagrams received. */
  receivedBytes: number;
  /** Octets of datagrams sent. */
  sentBytes: number;
  /** The code for `getLastError()`. */
  lastError: number;
}

/** The machinery of one port. That of a server's own port is its `ServerCore`. */
export class PortCore implements ConnectionOrigin {
  /** How connections are treated. */
  style!: Style;
  /** Where it listens. */
  place: Place | undefined = undefined;
  /** The socket, while it listens. */
  listener: Listener | DatagramSocket | undefined = undefined;
  /** The real port, once it has listened; 0 before, and for `unix`. */
  boundPort = 0;
  /** Octets of datagrams that are being sent. */
  queuedBytes = 0;
  /** What was given to `set()`. */
  readonly given: ServerSettings = {};
  /** The server. */
  readonly main: ServerCore;
  /** See `Shared`. */
  readonly shared: Shared;
  lingerTimeout = 0;
  highWatermark = 0;
  lowWatermark = 0;

  readonly #handlers: Map<string, Handler> = new Map();
  #hasSettings = false;
  #settings: ResolvedSettings | undefined = undefined;
  #compression: CompressionPolicy | undefined = undefined;

  /** @param main The server; left out by the server itself. */
  constructor(main?: ServerCore) {
    this.main = main ?? (this as unknown as ServerCore);
    this.shared = main?.shared ?? { requestCount: 0, responseCount: 0, receivedBytes: 0, sentBytes: 0, lastError: 0 };
  }

  /** Whether it receives datagrams. */
  get isUdp(): boolean {
    return this.place?.transport === "udp";
  }

  /** The socket of a UDP port, while it listens. */
  get datagrams(): DatagramSocket | undefined {
    return this.isUdp ? this.listener as DatagramSocket | undefined : undefined;
  }

  get #isMain(): boolean {
    return this.main as PortCore === this;
  }

  // ---- setting up ---------------------------------------------------------------------------------------------------

  /** See `Server.set()`. */
  set(settings: ServerSettings & IgnoredSettings): void {
    checkSettings(settings);
    if (this.#isMain) this.#checkProtocols(settings);
    else checkPortSettings(settings);
    if (this.main.hasStarted) throw new Error("Cannot change the settings: the server has started");
    Object.assign(this.given, settings);
    this.#hasSettings = true;
  }

  /** What a server itself speaks is a matter of its class. */
  #checkProtocols(settings: ServerSettings): void {
    for (const [key, name] of [["open_http_protocol", "http"], ["open_websocket_protocol", "websocket"]] as const) {
      const value = settings[key];
      if (value === undefined || value === this.main.canSpeak(name)) continue;
      throw new TypeError(`Cannot set ${key} to ${value}: what the server speaks depends on its class; a port can be set`);
    }
  }

  /** See `Server.on()`. */
  register(event: string, handler: unknown): void {
    const names = this.#isMain ? this.style.events : PORT_EVENT_NAMES.filter((name) => this.main.style.events.includes(name));
    if (typeof event !== "string") throw new TypeError(`Cannot register a handler: an event is a string, not ${describe(event)}`);
    const key = event.toLowerCase();
    if (!names.some((name) => name.toLowerCase() === key)) {
      throw new TypeError(`Cannot register a handler: ${explainAbsentEvent(event, names)}`);
    }
    if (typeof handler !== "function") throw new TypeError(`Cannot register a handler for ${event}: it is no function`);
    this.#handlers.set(key, handler as Handler);
  }

  /** The handler of an event, or the server's; the name in lower case. */
  handler(event: string): Handler | undefined {
    return this.#handlers.get(event) ?? (this.#isMain ? undefined : this.main.handler(event));
  }

  /** The handler that is this port's own; the name in lower case. */
  ownHandler(event: string): Handler | undefined {
    return this.#handlers.get(event);
  }

  /** The settings in force. */
  get settings(): ResolvedSettings {
    return this.#settings ?? this.#resolve();
  }

  #resolve(): ResolvedSettings {
    const { given, style } = this.main;
    return resolveSettings(this.#isMain ? given : mergeSettings(given, this.given), style.defaults);
  }

  /** Checks that the port can work, and fixes its settings. */
  prepare(): void {
    if (!this.#isMain) this.style = this.main.makeStyle(this.#protocolName(), this);
    const required = this.isUdp ? ["packet"] : this.style.required;
    const settings = this.#resolve();
    const ways = chosenWays(settings);
    if (ways.length > 1) throw new TypeError(`Cannot start the server: ${ways.join(" and ")} exclude each other`);
    checkWatermarks(settings, { ...this.main.given, ...this.given });
    for (const event of required) {
      if (this.handler(event) !== undefined) continue;
      const { hostname, port } = this.place ?? { hostname: "", port: 0 };
      const where = this.#isMain ? "" : `, which the port ${hostname}:${port} needs`;
      throw new TypeError(`Cannot start the server: there is no handler for ${event}${where}`);
    }
    this.#settings = settings;
    this.lingerTimeout = settings.websocket_close_timeout * 1000;
    this.highWatermark = settings.buffer_high_watermark;
    this.lowWatermark = settings.buffer_low_watermark;
  }

  /** As in Swoole: a port without settings is like the server, one with settings speaks what they say. */
  #protocolName(): ProtocolName {
    const { open_http_protocol, open_websocket_protocol } = this.given;
    if (this.isUdp) {
      if (!open_http_protocol && !open_websocket_protocol) return "raw";
      throw new TypeError("Cannot start the server: neither HTTP nor WebSockets go over UDP");
    }
    if (!this.#hasSettings) return this.main.protocolName;
    return open_websocket_protocol ? "websocket" : open_http_protocol ? "http" : "raw";
  }

  /** Undoes `prepare()`: the server could not start. */
  reset(): void {
    this.boundPort = 0;
    this.#settings = undefined;
  }

  /** How to compress WebSocket messages; `undefined` for not at all. */
  get compression(): CompressionPolicy | undefined {
    if (this.settings.websocket_compression) this.#compression ??= new CompressionPolicy(this.settings, currentRuntime());
    return this.#compression;
  }

  /** No connection is left. */
  closeCompression(): void {
    this.#compression?.close();
    this.#compression = undefined;
  }

  // ---- what belongs to the server -----------------------------------------------------------------------------------

  /** The connections of the server, once there may be any. */
  get table(): ConnectionTable | undefined {
    return this.main.table;
  }

  /** The coarse clock: milliseconds that only go forward. */
  get now(): number {
    return this.table!.now;
  }

  /** See `Shared`. */
  get requestCount(): number {
    return this.shared.requestCount;
  }
  set requestCount(count: number) {
    this.shared.requestCount = count;
  }

  /** See `Shared`. */
  get responseCount(): number {
    return this.shared.responseCount;
  }
  set responseCount(count: number) {
    this.shared.responseCount = count;
  }

  /** An open connection. */
  connection(fd: number): Connection | undefined {
    return this.table?.get(fd);
  }

  /** Notes why a method fails. */
  failed(code: number): false {
    this.shared.lastError = code;
    return false;
  }

  /** See `ServerCore.fault()`. */
  fault(error: unknown, connection?: Connection, cause?: unknown): void {
    this.main.fault(error, connection, cause);
  }

  // ---- connections --------------------------------------------------------------------------------------------------

  /** Makes the first protocol of a connection. */
  readonly makeProtocol = (connection: Connection): Protocol => this.style.makeProtocol(connection);

  /** When an idle connection is to be closed, by the clock; 0 for never. */
  idleDeadline(connection: Connection): number {
    const { heartbeat_idle_time, max_idle_time } = this.settings;
    let deadline = 0;
    if (heartbeat_idle_time > 0 && !this.main.protectedFds.has(connection.fd)) {
      deadline = connection.lastReceived + heartbeat_idle_time * 1000;
    }
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

  // ---- handlers -----------------------------------------------------------------------------------------------------

  /** Calls a handler, with the server as its first argument, for a connection, which ends when the handler fails. */
  emitFor(connection: Connection, event: string, ...args: unknown[]): void | Promise<void> {
    const handler = this.handler(event);
    if (handler !== undefined) return this.run(connection, () => handler(this.main.server, ...args));
  }

  /** Calls `connect`, `receive`, `close` or `disconnect`: with two or three arguments, or with `event_object` with one. */
  emitAbout(connection: Connection, event: string, reactorId: number, data?: Uint8Array): void | Promise<void> {
    if (!this.main.settings.event_object) {
      if (data === undefined) return this.emitFor(connection, event, connection.fd, reactorId);
      return this.emitFor(connection, event, connection.fd, reactorId, data);
    }
    return this.emitFor(connection, event, new ServerEvent(connection.fd, reactorId, data));
  }

  /**
   * Runs a handler; what it throws or rejects with ends the connection and nothing else.
   *
   * @param cause What on the connection the handler works for, see `Protocol.onFault()`.
   */
  run(connection: Connection | undefined, work: () => unknown, cause?: unknown): void | Promise<void> {
    try {
      const result = work();
      if (!isPromise(result)) return;
      const { handlers } = this.main;
      handlers.enter();
      return result.then(() => handlers.leave(), (error) => {
        this.fault(error, connection, cause);
        handlers.leave();
      });
    } catch (error) {
      this.fault(error, connection, cause);
    }
  }
}

/** The port that a connection came in by. */
export function portOf(connection: Connection): PortCore {
  return connection.origin as PortCore;
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
