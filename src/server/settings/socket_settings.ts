/**
 * The settings of sockets.
 *
 * @module
 */

import type { Kind } from "../../setting_kinds.ts";

/** How sockets are made, under Swoole's names. */
export interface SocketSettings {
  /** How many connections may wait to be accepted, where the runtime lets one say (Bun: 512). 512. */
  backlog?: number;
  /** Send small chunks at once (TCP_NODELAY). `true`. */
  open_tcp_nodelay?: boolean;
  /** Let the system find out whether silent peers are still there (SO_KEEPALIVE). `false`. */
  open_tcp_keepalive?: boolean;
  /** After how much silence it does so, in whole seconds, where `open_tcp_keepalive` is set. 3600. */
  tcp_keepidle?: number;
  /** Let other servers listen on the same port (SO_REUSEPORT). `false`. */
  enable_reuse_port?: boolean;
}

/** Their defaults. */
export const SOCKET_DEFAULTS: Readonly<Required<SocketSettings>> = {
  backlog: 512,
  open_tcp_nodelay: true,
  open_tcp_keepalive: false,
  tcp_keepidle: 3600,
  enable_reuse_port: false,
};

/** What their values have to be. */
export const SOCKET_KINDS: Record<keyof SocketSettings, Kind> = {
  backlog: "count",
  open_tcp_nodelay: "boolean",
  open_tcp_keepalive: "boolean",
  tcp_keepidle: { from: 1, to: 32767 }, // what Linux takes
  enable_reuse_port: "boolean",
};
