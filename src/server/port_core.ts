/**
 * One port of a server: its protocol and its settings, its handlers, and the limits of its connections.
 *
 * @module
 */

import type { CloseInfo, TimeoutSetting } from "../transport/connection_end.ts";
import type { Connection, ConnectionOrigin, Protocol } from "../transport/connection.ts";
import { SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW } from "../errors.ts";
import type { DatagramSocket, Listener } from "../transport/runtime.ts";
import { currentRuntime } from "../transport/current_runtime.ts";
import type { OwnPages } from "./http/exchange.ts";
import { isLoopback, TrustedProxies } from "../transport/ip_addresses.ts";
import type { Forwarded } from "../http/forwarded.ts";
import { CompressionPolicy } from "../websocket/connection/compression_policy.ts";
import { checkHandshake, type HandshakeRefusal, type HandshakeRequest } from "../websocket/handshake.ts";
import { Configuration, PORT_EVENT_NAMES } from "./configuration.ts";
import type { Denial } from "./refusals.ts";
import type { ServerContext } from "./server_context.ts";
import { ServerEvent } from "./server_event.ts";
import { listOf } from "./settings/http_settings.ts";
import { chosenWays } from "./settings/connection_settings.ts";
import { checkPortSettings, checkSettings, type ResolvedSettings, type ServerSettings } from "./settings/settings.ts";
import { utf8Length } from "../values.ts";
import { checkWatermarks } from "./settings/start_checks.ts";
import type { IgnoredSettings } from "./settings/swoole_settings.ts";

/** What a port speaks: the protocol of its connections, and its events. This is the difference between the classes of servers. */
export interface ProtocolFactory {
  /** The names of the events. */
  readonly events: readonly string[];
  /** The names of the events that ports may handle, if they differ. */
  readonly portEvents?: readonly string[];
  /** The events that require a handler. */
  readonly required: readonly string[];
  /** Defaults of settings that differ from the common ones. */
  readonly defaults?: ServerSettings;
  /** Creates the first protocol of a connection. */
  makeProtocol(connection: Connection): Protocol;
  /** Creates the protocol of a connection that is refused, if the peer can be informed. */
  refuse?(connection: Connection, denial: Denial): Protocol;
  /** Returns the event that reports the end of a connection. */
  closeEvent(connection: Connection): string;
  /**
   * Closes a connection because the server stops.
   *
   * @param patient Whether it may finish its work first.
   */
  close(connection: Connection, patient: boolean): void;
}

/** The protocols of a port. */
export type ProtocolName = "raw" | "http" | "websocket";

/** The address on which a server listens. */
export interface Place {
  /** The transport: connections (`tcp`, `unix`), or datagrams. */
  readonly transport: "tcp" | "unix" | "udp";
  /** The address; for `unix` the path. */
  readonly hostname: string;
  /** The port; 0 for a free one. */
  readonly port: number;
  /** Whether the port uses TLS. */
  readonly ssl: boolean;
  /** Whether other servers may listen on the same address. */
  readonly reusePort?: boolean;
  /** The `SWOOLE_SOCK_*` number of `transport`, for `getClientInfo()`. */
  readonly type?: number;
}

/** What a class of servers can speak. */
export class Protocols {
  /** The protocol of the server's own port: the last one added. */
  ownName: ProtocolName = "raw";
  readonly #factories: Map<ProtocolName, (port: PortCore) => ProtocolFactory> = new Map();
  readonly #portFactories: Map<ProtocolName, (port: PortCore) => ProtocolFactory> = new Map();

  /** Adds a protocol of the server itself, which ports may speak too. */
  add(name: ProtocolName, makeFactory: (port: PortCore) => ProtocolFactory): void {
    this.#factories.set(name, makeFactory);
    this.ownName = name;
  }

  /** Adds a protocol that only ports may speak. */
  addForPorts(name: ProtocolName, makeFactory: (port: PortCore) => ProtocolFactory): void {
    this.#portFactories.set(name, makeFactory);
  }

  /** Reports whether the server itself can speak a protocol. */
  has(name: ProtocolName): boolean {
    return this.#factories.has(name);
  }

  /** Creates the protocol factory of a port. */
  makeFactory(name: ProtocolName, port: PortCore): ProtocolFactory {
    const makeFactory = this.#factories.get(name) ?? this.#portFactories.get(name);
    if (makeFactory !== undefined) return makeFactory(port);
    throw new TypeError(`Cannot set open_${name}_protocol: a server of this class does not speak it`);
  }
}

/** The core of one port: the server's own, or one added with `listen()`. */
export class PortCore implements ConnectionOrigin {
  /** What it shares with the other ports of the server. */
  readonly context: ServerContext;
  /** Its settings and handlers; those of the server itself for the server's own port. */
  readonly config: Configuration;
  /** Its index among the ports of the server, whose own port is the first. */
  index = 0;
  /** How connections are treated. */
  factory!: ProtocolFactory;
  /** The pages of the server itself on this port, if there are any. */
  pages: OwnPages | undefined = undefined;
  /** The address to listen on. */
  place: Place | undefined = undefined;
  /** The socket, while the port listens. */
  listener: Listener | DatagramSocket | undefined = undefined;
  /** The actual port number, once it was bound; 0 before, and for `unix`. */
  boundPort = 0;
  /** The number of bytes of datagrams being sent. */
  queuedBytes = 0;
  /** The number of running datagram handlers. */
  packetHandlers = 0;
  lingerTimeout = 0;
  highWatermark = 0;
  lowWatermark = 0;
  /** The proxies that may say for whom a request is; `undefined` if there are none. */
  proxies: TrustedProxies | undefined = undefined;
  /** The number of bytes that may wait to be sent on one connection: `socket_buffer_size`. */
  sendLimit = 0;

  readonly #protocols: Protocols;
  readonly #own: PortCore; // the server's own port
  #compression: CompressionPolicy | undefined = undefined;

  /** @param own The server's own port; omitted for that port. */
  constructor(context: ServerContext, protocols: Protocols, own?: PortCore) {
    this.context = context;
    this.config = own === undefined ? context.config : new Configuration(context.config);
    this.#protocols = protocols;
    this.#own = own ?? this;
  }

  /** Whether the port receives datagrams. */
  get isUdp(): boolean {
    return this.place?.transport === "udp";
  }

  /** The socket of a UDP port, while it listens. */
  get datagrams(): DatagramSocket | undefined {
    return this.isUdp ? this.listener as DatagramSocket | undefined : undefined;
  }

  /** Whether only programs of this machine can connect, and none of them passes on requests of others. */
  get isLocal(): boolean {
    return this.proxies === undefined && this.place?.transport === "tcp" && isLoopback(this.place.hostname);
  }

  get #isOwn(): boolean {
    return this.#own === this;
  }

  // ---- setup --------------------------------------------------------------------------------------------------------

  /** See `Server.set()`. */
  set(settings: ServerSettings & IgnoredSettings): void {
    checkSettings(settings);
    if (this.#isOwn) this.#checkProtocols(settings);
    else checkPortSettings(settings);
    if (this.context.hasStarted) throw new Error("Cannot change the settings: the server has started");
    this.config.change(settings);
  }

  /** Rejects settings that contradict the class of the server, which determines the protocol of its own port. */
  #checkProtocols(settings: ServerSettings): void {
    for (const [key, name] of [["open_http_protocol", "http"], ["open_websocket_protocol", "websocket"]] as const) {
      const value = settings[key];
      if (value === undefined || value === this.#protocols.has(name)) continue;
      throw new TypeError(`Cannot set ${key} to ${value}: what the server speaks depends on its class; a port can be set`);
    }
  }

  /** See `Server.on()`. */
  register(event: string, handler: unknown): void {
    this.config.register(event, handler, this.#isOwn ? this.factory.events : this.#portEvents);
  }

  get #portEvents(): string[] {
    const { events, portEvents = events } = this.#own.factory;
    return PORT_EVENT_NAMES.filter((name) => portEvents.includes(name));
  }

  /** The effective settings. */
  get settings(): ResolvedSettings {
    return this.config.settings;
  }

  /** Checks that the port can work, and fixes its settings. */
  prepare(): void {
    const { config } = this;
    if (!this.#isOwn) this.factory = this.#protocols.makeFactory(this.#protocolName(), this);
    if (!this.#isOwn && !this.isUdp) this.#checkHandlers();
    const required = this.isUdp ? ["packet"] : this.factory.required;
    const settings = config.resolve();
    const ways = chosenWays(settings);
    if (ways.length > 1) throw new TypeError(`Cannot start the server: ${ways.join(" and ")} exclude each other`);
    checkWatermarks(settings, config.allGiven);
    for (const event of required) {
      if (config.handler(event) !== undefined) continue;
      const { hostname, port } = this.place ?? { hostname: "", port: 0 };
      const where = this.#isOwn ? "" : `, which the port ${hostname}:${port} needs`;
      throw new TypeError(`Cannot start the server: there is no handler for ${event}${where}`);
    }
    config.fix(settings);
    this.lingerTimeout = settings.websocket_close_timeout * 1000;
    this.highWatermark = settings.buffer_high_watermark;
    this.lowWatermark = settings.buffer_low_watermark;
    this.sendLimit = settings.socket_buffer_size;
    const proxies = listOf(settings.trusted_proxies);
    this.proxies = proxies.length === 0 ? undefined : new TrustedProxies(proxies);
    if (this.isUdp && config.given.proxy_protocol) {
      throw new TypeError("Cannot start the server: proxy_protocol does not go over UDP");
    }
    if (settings.proxy_protocol && this.proxies === undefined && !this.isUdp) {
      throw new TypeError("Cannot start the server: proxy_protocol needs trusted_proxies, which names those who may send it");
    }
  }

  /** Rejects handlers that would never be called. */
  #checkHandlers(): void {
    const known = this.factory.events.map((name) => name.toLowerCase());
    for (const event of this.config.ownEvents) {
      if (known.includes(event)) continue;
      const { hostname, port } = this.place!;
      const setting = event === "request" ? "open_http_protocol" : "open_websocket_protocol";
      const where = `the port ${hostname}:${port}`;
      throw new TypeError(
        `Cannot start the server: ${where} has a handler for ${event}, which needs ${setting}: true on that port`,
      );
    }
  }

  /**
   * Returns the protocol of the port. As in Swoole, a port without settings is like the server; any settings replace its
   * protocol.
   */
  #protocolName(): ProtocolName {
    const { open_http_protocol, open_websocket_protocol } = this.config.given;
    if (this.isUdp) {
      if (!open_http_protocol && !open_websocket_protocol) return "raw";
      throw new TypeError("Cannot start the server: neither HTTP nor WebSockets go over UDP");
    }
    if (!this.config.hasSettings) return this.#protocols.ownName;
    return open_websocket_protocol ? "websocket" : open_http_protocol ? "http" : "raw";
  }

  /** Undoes `prepare()`, because the server could not start, or starts again. */
  reset(): void {
    this.boundPort = 0;
    this.config.fix(undefined);
  }

  /** How WebSocket messages are compressed; `undefined` if they are not. */
  get compression(): CompressionPolicy | undefined {
    if (this.settings.websocket_compression) this.#compression ??= new CompressionPolicy(this.settings, currentRuntime());
    return this.#compression;
  }

  /** Releases the compression engines, once no connection is left. */
  closeCompression(): void {
    this.#compression?.close();
    this.#compression = undefined;
  }

  // ---- connections --------------------------------------------------------------------------------------------------

  /** The coarse clock: monotonic milliseconds. */
  get now(): number {
    return this.context.table!.now;
  }

  /** Creates the first protocol of a connection. */
  readonly makeProtocol = (connection: Connection): Protocol => this.factory.makeProtocol(connection);

  /** Returns when to close a connection if it stays idle, on the coarse clock; 0 for never. */
  idleDeadline(connection: Connection): number {
    const { heartbeat_idle_time, max_idle_time } = this.settings;
    let deadline = 0;
    if (heartbeat_idle_time > 0 && !this.context.protectedFds.has(connection.fd)) {
      deadline = connection.lastReceived + heartbeat_idle_time * 1000;
    }
    if (max_idle_time > 0) {
      const idle = Math.max(connection.lastReceived, connection.lastSent) + max_idle_time * 1000;
      if (deadline === 0 || idle < deadline) deadline = idle;
    }
    return deadline;
  }

  /** Returns the setting that determines `idleDeadline()`. */
  idleSetting(connection: Connection): TimeoutSetting {
    const { max_idle_time } = this.settings;
    const idle = Math.max(connection.lastReceived, connection.lastSent) + max_idle_time * 1000;
    return max_idle_time > 0 && this.idleDeadline(connection) === idle ? "max_idle_time" : "heartbeat_idle_time";
  }

  /** Reports whether a queue has room for more data; sets error 1009 if not. An empty queue accepts data of any size. */
  hasRoom(queued: number, data: string | Uint8Array, size: number): boolean {
    if (queued === 0) return true;
    const room = this.sendLimit - queued;
    if (size <= room && (typeof data !== "string" || size * 3 <= room || utf8Length(data) <= room)) return true;
    this.context.counters.refusedSends++;
    return this.context.failed(SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW);
  }

  /**
   * Returns the reason if a handshake is refused by its fields, among them the origin of the page.
   *
   * @param forwarded What trusted proxies say of it.
   */
  checkHandshake(request: HandshakeRequest, forwarded: Forwarded | undefined): HandshakeRefusal | undefined {
    return checkHandshake(request, this.settings.websocket_origins, forwarded ?? this);
  }

  // ---- handlers -----------------------------------------------------------------------------------------------------

  /** Calls a handler for a connection, with the server as its first argument. If the handler fails, the connection ends. */
  emitFor(connection: Connection, event: string, ...args: unknown[]): void | Promise<void> {
    const { config, context } = this;
    const handler = config.handler(event);
    if (handler !== undefined) return context.run(connection, event, () => handler(context.server, ...args));
  }

  /** Calls `close` or `disconnect`, like `emitAbout()`, with a `CloseInfo` as the last argument. */
  emitClosed(connection: Connection, event: string, reactorId: number, info: CloseInfo): void | Promise<void> {
    if (!this.context.settings.event_object) return this.emitFor(connection, event, connection.fd, reactorId, info);
    return this.emitFor(connection, event, new ServerEvent(connection.fd, reactorId), info);
  }

  /** Calls `connect` or `receive` with the fd, `reactorId` and the data, or with `event_object` with one object. */
  emitAbout(connection: Connection, event: string, reactorId: number, data?: Uint8Array): void | Promise<void> {
    if (!this.context.settings.event_object) {
      if (data === undefined) return this.emitFor(connection, event, connection.fd, reactorId);
      return this.emitFor(connection, event, connection.fd, reactorId, data);
    }
    return this.emitFor(connection, event, new ServerEvent(connection.fd, reactorId, data));
  }
}

/** Returns the port that accepted a connection. */
export function portOf(connection: Connection): PortCore {
  return connection.origin as PortCore;
}
