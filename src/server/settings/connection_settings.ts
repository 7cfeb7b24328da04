/**
 * The settings of connections: limits for their number and their memory, the options of sockets, and the packages of those without
 * a protocol.
 *
 * @module
 */

import { proxyMistake } from "../../transport/ip_addresses.ts";
import { checkValue, type Kind } from "../../values.ts";
import { LENGTH_TYPES, type LengthFunction, type LengthType } from "../raw/packages.ts";

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
   * The number of new connections that begin in a second; further ones wait, up to `backlog` of each port. Each worker counts its
   * own. Default: 0, no limit.
   */
  accept_rate?: number;
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
  accept_rate: 0,
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
  accept_rate: { from: 0, to: 1_000_000 },
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
  "accept_rate",
  "max_handshake_rate",
  "max_handshake_rate_per_ip",
];

/** The settings of proxies in front of a server. */
export interface ProxySettings {
  /**
   * The proxies that may say for whom a request is: addresses, ranges such as `"10.0.0.0/8"`, and the words `"loopback"` (this
   * machine), `"private"` (private networks), and `"unix"` (unix sockets). Of their requests, `X-Forwarded-For`,
   * `X-Forwarded-Proto` and `X-Forwarded-Host`, or `Forwarded`, determine the address, the scheme and the host. Default: none.
   */
  trusted_proxies?: string | readonly string[];
  /**
   * Whether connections begin with a header of the PROXY protocol, version 1 or 2, from which their addresses come. Connections
   * without it are dropped, and so are those of peers that are not among `trusted_proxies`. Default: `false`.
   */
  proxy_protocol?: boolean;
}

/** The defaults of the settings of proxies. */
export const PROXY_DEFAULTS: Readonly<Required<ProxySettings>> = {
  trusted_proxies: [],
  proxy_protocol: false,
};

/** The valid values of the settings of proxies. */
export const PROXY_KINDS: Record<keyof ProxySettings, Kind> = {
  trusted_proxies: checkProxies,
  proxy_protocol: "boolean",
};

function checkProxies(key: string, value: unknown): void {
  checkValue(key, "texts", value);
  for (const entry of typeof value === "string" ? [value] : value as string[]) {
    const mistake = proxyMistake(entry);
    if (mistake !== undefined) throw new TypeError(`Cannot set ${key}: ${mistake}`);
  }
}

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

/** The settings that split a stream into packages, under Swoole's names. */
export interface PackageSettings {
  /** Whether `receive` is called only with data that ends with `package_eof`. Default: `false`. */
  open_eof_check?: boolean;
  /** Whether each package that ends with `package_eof` is delivered separately. Default: `false`. */
  open_eof_split?: boolean;
  /** The end mark of packages, 1 to 8 bytes. Default: CR LF. */
  package_eof?: string | Uint8Array;
  /** Whether packages contain their length. Default: `false`. */
  open_length_check?: boolean;
  /** The type of the length, a letter of PHP's `pack()`: c, C, s, S, n, N, v, V, l or L. Default: `"N"`, 4 bytes, big-endian. */
  package_length_type?: LengthType;
  /** The offset of the length in a package. Default: 0. */
  package_length_offset?: number;
  /** The offset from which the length counts: the size of the head, unless the length includes it. Default: 0. */
  package_body_offset?: number;
  /** An alias of `package_body_offset`. */
  package_body_start?: number;
  /**
   * A function that returns the length of the package at the start of the bytes, instead of the other settings: 0 if it needs
   * more bytes, a negative number if they are not a package.
   */
  package_length_func?: LengthFunction | null;
  /** Whether each control packet of MQTT is delivered separately. Default: `false`. */
  open_mqtt_protocol?: boolean;
  /** Whether each request of the Redis protocol is delivered separately. Default: `false`. */
  open_redis_protocol?: boolean;
}

/** The defaults of the package settings. */
export const PACKAGE_DEFAULTS: Readonly<Required<PackageSettings>> = {
  open_eof_check: false,
  open_eof_split: false,
  package_eof: "\r\n",
  open_length_check: false,
  package_length_type: "N",
  package_length_offset: 0,
  package_body_offset: 0,
  package_body_start: 0,
  package_length_func: null,
  open_mqtt_protocol: false,
  open_redis_protocol: false,
};

/** The valid values of the package settings. */
export const PACKAGE_KINDS: Record<keyof PackageSettings, Kind> = {
  open_eof_check: "boolean",
  open_eof_split: "boolean",
  package_eof: "mark",
  open_length_check: "boolean",
  package_length_type: LENGTH_TYPES,
  package_length_offset: "bytes",
  package_body_offset: "bytes",
  package_body_start: "bytes",
  package_length_func: "function",
  open_mqtt_protocol: "boolean",
  open_redis_protocol: "boolean",
};

/** The ways to find packages, which exclude each other, with the settings that choose them. */
const WAYS: readonly (readonly (keyof PackageSettings)[])[] = [
  ["open_length_check"],
  ["open_eof_check", "open_eof_split"],
  ["open_mqtt_protocol"],
  ["open_redis_protocol"],
];

/** Returns the settings that choose ways to find packages: one for each chosen way. */
export function chosenWays(settings: PackageSettings): string[] {
  return WAYS.flatMap((way) => way.find((key) => settings[key] === true) ?? []);
}

/**
 * Merges the package settings of a port into those of its server. If the port chooses a way to find packages, the server's way is
 * disabled.
 */
export function mergePackageSettings<S extends PackageSettings>(server: S, port: S): S {
  const merged = { ...server, ...port };
  if (chosenWays(port).length === 0) return merged;
  for (const way of WAYS) {
    if (way.some((key) => port[key] === true)) continue;
    for (const key of way) if (merged[key] === true) Object.assign(merged, { [key]: false });
  }
  return merged;
}
