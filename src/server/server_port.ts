/**
 * `ServerPort`: one of the ports of a server.
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
import type { BytePipe } from "../runtime.ts";
import { checkHost, portNumber } from "./address.ts";
import { ConnectionList } from "./connection_list.ts";
import type { ObjectEvents, PortEvents, Spellings } from "./events.ts";
import type { ClientInfo } from "./info.ts";
import { type Place, type PortCore, portOf } from "./port_core.ts";
import type { PortSettings } from "./settings/settings.ts";
import type { IgnoredSettings } from "./settings/swoole_settings.ts";

/**
 * One of the ports of a server (Swoole page "Server\\Port"): its own one, or one that `listen()` has added. Handlers and settings
 * that a port has not are those of the server.
 *
 * @example A WebSocket server with a raw port beside it
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
export class ServerPort<S> {
  /** The address; for a unix socket its path. */
  readonly host: string;
  /** The socket type, a `SWOOLE_SOCK_*` number without `SWOOLE_SSL`. */
  readonly type: number;
  /** Whether it speaks TLS. */
  readonly ssl: boolean;
  /** The fds of the connections that came in here. */
  readonly connections: ConnectionList;

  readonly #core: PortCore;

  /** Made by the server. */
  constructor(core: PortCore, info: (fd: number) => ClientInfo | false) {
    const { hostname, type, ssl } = core.place!;
    this.#core = core;
    this.host = hostname;
    this.type = type!;
    this.ssl = ssl;
    this.connections = new ConnectionList(() => core.table, info, (connection) => portOf(connection) === core);
  }

  /** The settings given to `set()` so far: a copy, which cannot be changed. */
  get setting(): Readonly<PortSettings> {
    return Object.freeze({ ...this.#core.given });
  }

  /** The port; the real one once the server has started. */
  get port(): number {
    return this.#core.boundPort || this.#core.place!.port;
  }

  /**
   * Sets settings, before the server starts. Later calls add to earlier ones.
   *
   * As in Swoole, a port that has any settings of its own speaks what they say: HTTP with `open_http_protocol`, WebSocket and HTTP
   * with `open_websocket_protocol`, otherwise nothing: octets go to `receive`. One without speaks what the server speaks.
   *
   * @returns `true`.
   * @throws {TypeError} For a key that is unknown or holds for the whole server, or a value of the wrong type.
   * @throws {RangeError} For a number out of range.
   * @throws {Error} When the server has started.
   */
  set(settings: PortSettings & IgnoredSettings): boolean {
    this.#core.set(settings);
    return true;
  }

  /**
   * Registers the handler of an event for connections of this port; a later one replaces it.
   *
   * @param event The name, in any letter case.
   * @param handler The handler; its arguments depend on the event.
   * @returns `true`.
   * @throws {TypeError} For a name that is no event of a port, or of this class of server, or a handler that is no function.
   */
  on<Name extends keyof Spellings<PortEvents<S>>>(event: Name, handler: Spellings<PortEvents<S>>[Name]): boolean;
  /** The same, with the setting `event_object`. */
  on<Name extends keyof Spellings<ObjectEvents<S>>>(event: Name, handler: Spellings<ObjectEvents<S>>[Name]): boolean;
  on(event: string, handler: unknown): boolean {
    this.#core.register(event, handler);
    return true;
  }

  /** This port's own handler of an event, or `null`. */
  getCallback(event: string): ((...args: never[]) => unknown) | null {
    return this.#core.ownHandler(event.toLowerCase()) ?? null;
  }

  /** Serves a connection as if it had come in here: see `Server.accept()`. */
  accept(pipe: BytePipe): number {
    return this.#core.main.accept(pipe, this.#core);
  }
}

/** What each socket type receives. No runtime has datagrams over unix sockets. */
const TRANSPORTS: ReadonlyMap<number, Place["transport"]> = new Map([
  [SWOOLE_SOCK_TCP, "tcp"],
  [SWOOLE_SOCK_TCP6, "tcp"],
  [SWOOLE_SOCK_UDP, "udp"],
  [SWOOLE_SOCK_UDP6, "udp"],
  [SWOOLE_SOCK_UNIX_STREAM, "unix"],
]);

/**
 * Where to listen, from the arguments of Swoole's functions.
 *
 * @param what What cannot be done when they are wrong.
 * @param call How it is done, for people.
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
