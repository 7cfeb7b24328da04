/**
 * The settings of all connections: limits for their number and their memory, and the options of sockets.
 *
 * @module
 */

import type { Kind } from "../../values.ts";

/** The limits of a server for all its peers, under Swoole's names. */
export interface LimitSettings {
  /**
   * The maximum number of connections, including those in a TLS handshake and those that linger; further ones are dropped at
   * once. Default: 100,000.
   */
  max_connection?: number;
  /** An alias of `max_connection`. */
  max_conn?: number;
  /**
   * The maximum number of bytes that all connections of the server hold together: input that is incomplete or not yet taken, and
   * queued output. Above three quarters of it new connections are refused with 503; above all of it the connections with the most
   * unfinished input are closed. Default: 0, which means a quarter of the memory available to the process, at least 64 MiB.
   */
  max_buffer_memory?: number;
  /**
   * The maximum number of connections of one IP address (for IPv6: of one /64); further ones are refused with 503. Default: 0, no
   * limit.
   */
  max_connection_per_ip?: number;
  /**
   * The maximum number of WebSocket handshakes per second, and of TLS handshakes per second; further ones are refused with 503,
   * or dropped. Default: 0, no limit.
   */
  max_handshake_rate?: number;
  /** The same for one IP address (for IPv6: for one /64). Default: 0, no limit. */
  max_handshake_rate_per_ip?: number;
  /**
   * The maximum number of `packet` handlers of a UDP port that may run at the same time; further datagrams are dropped. Default:
   * 1024.
   */
  max_packet_handlers?: number;
}

/** The defaults of the limits. */
export const LIMIT_DEFAULTS: Readonly<Required<LimitSettings>> = {
  max_connection: 100_000,
  max_conn: 0,
  max_buffer_memory: 0,
  max_connection_per_ip: 0,
  max_handshake_rate: 0,
  max_handshake_rate_per_ip: 0,
  max_packet_handlers: 1024,
};

/** The valid values of the limits. */
export const LIMIT_KINDS: Record<keyof LimitSettings, Kind> = {
  max_connection: "count",
  max_conn: "count",
  max_buffer_memory: "bytes",
  max_connection_per_ip: "count",
  max_handshake_rate: "count",
  max_handshake_rate_per_ip: "count",
  max_packet_handlers: { from: 1, to: Number.MAX_SAFE_INTEGER },
};

/** The limits that apply to all ports together. */
export const SERVER_WIDE_LIMITS: readonly Exclude<keyof LimitSettings, "max_packet_handlers">[] = [
  "max_connection",
  "max_conn",
  "max_buffer_memory",
  "max_connection_per_ip",
  "max_handshake_rate",
  "max_handshake_rate_per_ip",
];

/** The settings of sockets, under Swoole's names. */
export interface SocketSettings {
  /** The number of connections that may wait to be accepted, if the runtime allows setting it (Bun: always 512). Default: 512. */
  backlog?: number;
  /** Whether small chunks are sent at once (TCP_NODELAY). Default: `true`. */
  open_tcp_nodelay?: boolean;
  /** Whether the system probes silent peers (SO_KEEPALIVE). Default: `false`. */
  open_tcp_keepalive?: boolean;
  /** The silence before such a probe, in whole seconds. Default: 3600. */
  tcp_keepidle?: number;
  /** Whether other servers may listen on the same port (SO_REUSEPORT). Default: `false`. */
  enable_reuse_port?: boolean;
}

/** The defaults of the socket settings. */
export const SOCKET_DEFAULTS: Readonly<Required<SocketSettings>> = {
  backlog: 512,
  open_tcp_nodelay: true,
  open_tcp_keepalive: false,
  tcp_keepidle: 3600,
  enable_reuse_port: false,
};

/** The valid values of the socket settings. */
export const SOCKET_KINDS: Record<keyof SocketSettings, Kind> = {
  backlog: "count",
  open_tcp_nodelay: "boolean",
  open_tcp_keepalive: "boolean",
  tcp_keepidle: { from: 1, to: 32767 }, // the maximum on Linux
  enable_reuse_port: "boolean",
};
