/**
 * `ServerPort`: one port of a server.
 *
 * @module
 */

import {
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_TCP6,
  SWOOLE_SOCK_UDP,
  SWOOLE_SOCK_UDP6,
  SWOOLE_SOCK_UNIX_STREAM,
  SWOOLE_SSL,
} from "../constants.ts";
import type { ConnectionData } from "../transport/connection_end.ts";
import type { BytePipe } from "../transport/runtime.ts";
import { checkHost, portNumber } from "../values.ts";
import { type ClientInfo, ConnectionList } from "./connection_list.ts";
import type { EventHandler, EventName, ObjectEventHandler, PortEvents, PortHandlers } from "./events.ts";
import type { ServerCore } from "./core.ts";
import type { Place, PortCore } from "./port_core.ts";
import type { PortSettings } from "./settings/settings.ts";
import type { IgnoredSettings } from "./settings/swoole_settings.ts";

/**
 * One port of a server (Swoole page "Server\\Port"): its own, or one added with `listen()`. Handlers and settings that a port
 * does not have are inherited from the server.
 *
 * @example A WebSocket server with an additional raw port
 * ```ts
 * import { WebSocketServer } from "@sluice/server";
 *
 * const server = new WebSocketServer("127.0.0.1", 0);
 * server.on("message", (server, frame) => server.push(frame.fd, frame));
 * const lines = server.listen("127.0.0.1", 0);
 * lines.set({ open_eof_split: true, package_eof: "\n" });
 * lines.on("receive", (server, _fd, _reactorId, line) => {
 *   for (const fd of server.ports[0].connections) if (server.isEstablished(fd)) server.push(fd, line);
 * });
 * await server.start();
 * console.log(`WebSockets on port ${server.port}, lines of text on port ${lines.port}`);
 * server.shutdown();
 * await server.finished;
 * ```
 */
export class ServerPort<S, Data extends ConnectionData = ConnectionData> {
  /** The address; for a unix socket its path. */
  readonly host: string;
  /** The socket type, a `SWOOLE_SOCK_*` number without `SWOOLE_SSL`. */
  readonly type: number;
  /** Whether the port uses TLS. */
  readonly ssl: boolean;
  /** The fds of the connections accepted on this port. */
  readonly connections: ConnectionList;

  readonly #core: ServerCore;
  readonly #port: PortCore;

  /** Created by the server. */
  constructor(core: ServerCore, port: PortCore, info: (fd: number) => ClientInfo | false) {
    const { hostname, type, ssl } = port.place!;
    this.#core = core;
    this.#port = port;
    this.host = hostname;
    this.type = type!;
    this.ssl = ssl;
    this.connections = new ConnectionList(port.context, info, port);
  }

  /** A frozen copy of the settings passed to `set()` so far. */
  get setting(): Readonly<PortSettings> {
    return Object.freeze({ ...this.#port.config.given });
  }

  /** The port number; the actual one once the server has started. */
  get port(): number {
    return this.#port.boundPort || this.#port.place!.port;
  }

  /**
   * Changes settings, before the server starts. Later calls add to earlier ones.
   *
   * As in Swoole, the settings of a port replace its protocol: it speaks HTTP with `open_http_protocol`, WebSocket and HTTP with
   * `open_websocket_protocol`; otherwise it is raw, and bytes go to `receive`. A port without settings speaks the server's
   * protocol.
   *
   * @returns `true`.
   * @throws {TypeError} If a setting is unknown or applies to the whole server, or a value has the wrong type.
   * @throws {RangeError} If a number is out of range.
   * @throws {Error} If the server has started.
   */
  set(settings: PortSettings & IgnoredSettings): boolean {
    this.#port.set(settings);
    return true;
  }

  /**
   * Registers the handler of an event for connections of this port, replacing an earlier one.
   *
   * @param event The name, in any letter case.
   * @param handler The handler; its arguments depend on the event, and on the setting `event_object`.
   * @returns `true`.
   * @throws {TypeError} If a port, or this class of server, has no such event, or the handler is not a function.
   */
  on<Name extends string, Given = never>(
    event: EventName<PortEvents<S, Data>, Name>,
    handler: EventHandler<PortHandlers<S, Data>, Name> | ObjectEventHandler<Name, Given>,
  ): boolean {
    this.#port.register(event, handler);
    return true;
  }

  /** Returns this port's own handler of an event, or `null`. */
  getCallback(event: string): ((...args: never[]) => unknown) | null {
    return this.#port.config.ownHandler(String(event).toLowerCase()) ?? null;
  }

  /** Serves a connection as if this port had accepted it: see `Server.accept()`. */
  accept(pipe: BytePipe): number {
    return this.#core.accept(pipe, this.#port);
  }
}

/** The transport of each socket type. No runtime supports datagrams over unix sockets. */
const TRANSPORTS: ReadonlyMap<number, Place["transport"]> = new Map([
  [SWOOLE_SOCK_TCP, "tcp"],
  [SWOOLE_SOCK_TCP6, "tcp"],
  [SWOOLE_SOCK_UDP, "udp"],
  [SWOOLE_SOCK_UDP6, "udp"],
  [SWOOLE_SOCK_UNIX_STREAM, "unix"],
]);

/**
 * Returns where to listen, from the arguments of Swoole's functions.
 *
 * @param what The action, for error messages.
 * @param call The call, for error messages.
 */
export function placeOf(host: string, port: number | string, sockType: number, what: string, call: string): Place {
  checkHost(host, what, call);
  const number = portNumber(port, what);
  const type = sockType & ~SWOOLE_SSL;
  const transport = TRANSPORTS.get(type);
  if (transport === undefined) {
    throw new RangeError(`Cannot ${what}: socket type ${sockType} is not TCP, TCP6, UDP, UDP6 or UNIX_STREAM`);
  }
  const ssl = (sockType & SWOOLE_SSL) !== 0;
  if (ssl && transport === "udp") throw new RangeError(`Cannot ${what}: there is no TLS over UDP (DTLS)`);
  return { transport, hostname: host, port: number, ssl, type };
}
