/**
 * Chooses the route of a client to its server (direct, HTTP proxy, SOCKS5) and opens the connection. Holds the table of the
 * connections of all clients.
 *
 * @module
 */

import { utf8Encoder } from "../values.ts";
import type { BytePipe, ProxyHandshake } from "../transport/runtime.ts";
import { SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED } from "../constants.ts";
import { ETIMEDOUT } from "../errors.ts";
import { loadRuntime } from "../transport/current_runtime.ts";
import { delayOf } from "../transport/deadlines.ts";
import type { Connection, Protocol } from "../transport/connection.ts";
import { ConnectionTable } from "../transport/connection_table.ts";
import { readClientTls, type ResolvedClientSettings } from "./client_settings.ts";
import { HttpTunnel, Socks5Handshake } from "./proxy_handshakes.ts";
import { ClientFailure, closedMeanwhile, connectFailure } from "./client_failure.ts";

/** The server a client talks to. */
export interface Target {
  /** The host; for a Unix socket `unix:` and a path. */
  readonly host: string;
  /** The port. */
  readonly port: number;
  /** Whether to use TLS. */
  readonly ssl: boolean;
}

/** The route of a request: the address to connect to, and the part that a proxy at that address has. */
export interface Route {
  /** `tcp` or `unix`. */
  readonly transport: "tcp" | "unix";
  /** The host without brackets; for `unix` the path. */
  readonly hostname: string;
  /** The port; 0 for `unix`. */
  readonly port: number;
  /** Whether the request is addressed to an HTTP proxy, which forwards it (RFC 9112 section 3.2.2). */
  readonly asksProxy: boolean;
  /** Creates the handshake with a proxy that only passes bytes on, for a new connection. */
  readonly makeHandshake?: () => ProxyHandshake;
}

/** Removes the brackets from an IPv6 address. Other hosts are returned unchanged. */
export function bareHost(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

/** Returns the path in `unix:/path` or `unix:///path`. */
function unixPath(host: string): string {
  return host.replace(/^unix:(?:\/\/)?/, "");
}

/** Joins a host and a port. */
function hostAndPort({ host, port }: Target): string {
  return `${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
}

/** Returns the value of Host. The port is omitted if it is the default port. */
export function authorityOf(target: Target): string {
  if (target.host.startsWith("unix:")) return "localhost";
  const text = hostAndPort(target);
  return target.port === (target.ssl ? 443 : 80) ? text.slice(0, text.lastIndexOf(":")) : text;
}

/** Returns the value of Proxy-Authorization (RFC 7617); empty if no user name is set. */
export function proxyAuthorization({ http_proxy_user: user, http_proxy_password: password }: ResolvedClientSettings): string {
  return user === "" ? "" : `Basic ${btoa(String.fromCharCode(...utf8Encoder.encode(`${user}:${password}`)))}`;
}

/**
 * Returns the route to a server.
 *
 * @param target The server.
 * @param settings The settings of the client.
 * @param tunnels Whether an HTTP proxy has to open a tunnel (RFC 9110 section 9.3.6), because the request opens a WebSocket
 * (RFC 6455 section 4.1). For TLS it always has to.
 */
export function routeTo(target: Target, settings: ResolvedClientSettings, tunnels: boolean): Route {
  const { socks5_host, socks5_port, socks5_username, socks5_password, http_proxy_host, http_proxy_port } = settings;
  const transport = "tcp", asksProxy = false;
  const hostname = bareHost(target.host);
  if (target.host.startsWith("unix:")) return { transport: "unix", hostname: unixPath(target.host), port: 0, asksProxy };
  if (socks5_host !== "") {
    const makeHandshake = () => new Socks5Handshake(hostname, target.port, socks5_username, socks5_password);
    return { transport, hostname: bareHost(socks5_host), port: socks5_port, asksProxy, makeHandshake };
  }
  if (http_proxy_host === "") return { transport, hostname, port: target.port, asksProxy };
  const proxy = { transport, hostname: bareHost(http_proxy_host), port: http_proxy_port } as const;
  if (!target.ssl && !tunnels) return { ...proxy, asksProxy: true };
  const makeHandshake = () => new HttpTunnel(hostAndPort(target), proxyAuthorization(settings));
  return { ...proxy, asksProxy, makeHandshake };
}

/**
 * Opens a connection.
 *
 * @param target The server.
 * @param route The route to it.
 * @param settings The settings of the client.
 * @param aborter Aborts the attempt when the client is closed.
 * @returns The pipe, or the reason for the failure.
 * @throws {Error} If a file named in the settings cannot be read.
 * @throws {TypeError} If the TLS settings cannot be used.
 */
export async function connect(
  target: Target,
  route: Route,
  settings: ResolvedClientSettings,
  aborter: AbortController,
): Promise<BytePipe | ClientFailure> {
  const runtime = await loadRuntime();
  const tls = target.ssl ? await readClientTls(runtime, target.host, settings) : undefined;
  const { transport, hostname, port } = route;
  const proxy = route.makeHandshake?.();
  const { connect_timeout } = settings;
  const late = new AbortController();
  const timer = connect_timeout > 0 ? setTimeout(() => late.abort(), delayOf(connect_timeout)) : undefined;
  try {
    return await runtime.connect({
      transport,
      hostname,
      port,
      proxy,
      noDelay: settings.open_tcp_nodelay,
      localHostname: settings.bind_address === "" ? undefined : settings.bind_address,
      localPort: settings.bind_port === 0 ? undefined : settings.bind_port,
      tls,
      signal: AbortSignal.any([aborter.signal, late.signal]),
    });
  } catch (error) {
    if (aborter.signal.aborted) return closedMeanwhile();
    if (late.signal.aborted) return new ClientFailure(SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED, ETIMEDOUT);
    return connectFailure(error, target.ssl);
  } finally {
    clearTimeout(timer);
  }
}

let table: ConnectionTable | undefined;

/** Returns the connection table of all clients, which also holds the clock. */
export function clientConnections(): ConnectionTable {
  const nothing = () => {};
  return table ??= new ConnectionTable({
    maxConnections: Infinity,
    lingerTimeout: 5000,
    highWatermark: 256 * 1024, // unsent bytes on one connection before push() waits
    lowWatermark: 128 * 1024,
  }, {
    makeProtocol: () => {
      throw new Error("Cannot make a protocol: each client brings its own");
    },
    onAccepted: nothing,
    onClosed: nothing,
    onBufferFull: nothing,
    onBufferEmpty: nothing,
    onFault(connection, error) {
      connection.error = error;
      connection.protocol.onFault(error);
    },
  });
}

/** Creates a connection on a pipe. */
export function addClientConnection(pipe: BytePipe, makeProtocol: (connection: Connection) => Protocol): Connection {
  return clientConnections().accept(pipe, makeProtocol)!;
}
