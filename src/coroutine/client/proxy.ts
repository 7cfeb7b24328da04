/**
 * The way of a client to its server, which may lead over a proxy.
 *
 * @module
 */

import type { ProxyHandshake } from "../../runtime.ts";
import type { ResolvedClientSettings } from "./client_settings.ts";
import { HttpTunnel } from "./http_tunnel.ts";
import { Socks5Handshake } from "./socks5.ts";

/** Whom a client talks to. */
export interface Target {
  /** The host; `unix:` and a path for a unix socket. */
  readonly host: string;
  /** The port. */
  readonly port: number;
  /** Whether to speak TLS. */
  readonly ssl: boolean;
}

/** Where to connect to. */
export interface Way {
  /** `tcp` or `unix`. */
  readonly transport: "tcp" | "unix";
  /** The host, without brackets; for `unix` the path. */
  readonly hostname: string;
  /** The port; 0 for `unix`. */
  readonly port: number;
  /** What is said to the proxy that is there. */
  readonly proxy?: ProxyHandshake | undefined;
}

const encoder = new TextEncoder();

/** An IPv6 address without its brackets; any other host as it is. */
export function bareHost(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

/** The path in `unix:/path` and `unix:///path`. */
function unixPath(host: string): string {
  return host.replace(/^unix:(?:\/\/)?/, "");
}

/** A host and a port as one text. */
function hostAndPort({ host, port }: Target): string {
  return `${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
}

/** The value of Host: the port only when it is not the usual one. */
export function authorityOf(target: Target): string {
  if (target.host.startsWith("unix:")) return "localhost";
  const text = hostAndPort(target);
  return target.port === (target.ssl ? 443 : 80) ? text.slice(0, text.lastIndexOf(":")) : text;
}

/**
 * Whether a request goes to an HTTP proxy, which asks the server itself (RFC 9112 section 3.2.2). What is not plain HTTP needs a
 * tunnel (RFC 9110 section 9.3.6, RFC 6455 section 4.1).
 *
 * @param target Whom it is for.
 * @param settings The client's.
 * @param upgrades Whether it opens a WebSocket.
 */
export function asksProxy(target: Target, settings: ResolvedClientSettings, upgrades: boolean): boolean {
  const { http_proxy_host, socks5_host } = settings;
  return http_proxy_host !== "" && socks5_host === "" && !target.ssl && !upgrades && !target.host.startsWith("unix:");
}

/** The value of Proxy-Authorization (RFC 7617); empty when there is no name to show. */
export function proxyAuthorization({ http_proxy_user: user, http_proxy_password: password }: ResolvedClientSettings): string {
  return user === "" ? "" : `Basic ${btoa(String.fromCharCode(...encoder.encode(`${user}:${password}`)))}`;
}

/**
 * The way to a server.
 *
 * @param target The server.
 * @param settings The client's.
 * @param upgrades Whether it is for a WebSocket.
 */
export function wayTo(target: Target, settings: ResolvedClientSettings, upgrades: boolean): Way {
  const { socks5_host, http_proxy_host } = settings;
  const hostname = bareHost(target.host);
  if (target.host.startsWith("unix:")) return { transport: "unix", hostname: unixPath(target.host), port: 0 };
  if (socks5_host !== "") {
    const proxy = new Socks5Handshake(hostname, target.port, settings.socks5_username, settings.socks5_password);
    return { transport: "tcp", hostname: bareHost(socks5_host), port: settings.socks5_port, proxy };
  }
  if (http_proxy_host === "") return { transport: "tcp", hostname, port: target.port };
  const proxy = asksProxy(target, settings, upgrades)
    ? undefined
    : new HttpTunnel(hostAndPort(target), proxyAuthorization(settings));
  return { transport: "tcp", hostname: bareHost(http_proxy_host), port: settings.http_proxy_port, proxy };
}
