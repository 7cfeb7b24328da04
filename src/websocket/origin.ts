/**
 * Decides which pages may open a WebSocket: origins and their comparison (RFC 6454 and RFC 6455 section 10.2).
 *
 * @module
 */

/** The entries that are not URLs. Pages without an origin, such as local files or sandboxed frames, send `null`. */
const WORDS: readonly string[] = ["same-origin", "*", "null"];

/** A scheme and an authority, without a path or white space. */
const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/([^\/?#@\s,]*)$/;

const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: ":80", https: ":443" };

/** The names of this machine, which count as one host: a page of `http://localhost:9501` may connect to `ws://127.0.0.1:9501`. */
const LOOPBACK = /^(?:localhost|127\.0\.0\.1|\[::1\])(?=:\d+$|$)/;

/**
 * Checks an entry of `websocket_origins`.
 *
 * @returns `undefined` if an `Origin` can be equal to it, otherwise a description of the mistake, if possible with the correct
 * form.
 */
export function originMistake(entry: string): string | undefined {
  if (WORDS.includes(entry)) return undefined;
  const quoted = JSON.stringify(entry);
  if (entry.includes("*")) return `${quoted} has a wildcard; list each origin, or use "*" for all pages`;
  const right = rightForm(entry);
  if (right === undefined) return `${quoted} is no origin, such as "https://example.com"`;
  const [, scheme, authority] = ORIGIN.exec(entry.toLowerCase()) ?? [];
  if (scheme !== undefined && `${scheme}://${withoutPort(authority, scheme)}` === right) return undefined;
  return `${quoted} is no origin; write ${JSON.stringify(right)}`;
}

/** Returns the origin that browsers send for a URL, or for a host without a scheme. */
function rightForm(entry: string): string | undefined {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(entry);
  // The scheme of a page differs from that of its WebSocket.
  const text = hasScheme ? entry.replace(/^ws(?=s?:)/i, "http") : `${LOOPBACK.test(entry) ? "http" : "https"}://${entry}`;
  if (/^https?:/i.test(text)) {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    return url === undefined || url.hostname === "" ? undefined : url.origin;
  }
  const [origin] = /^[^:]+:\/\/[^\/?#@\s,]*/.exec(text.toLowerCase()) ?? [];
  return origin !== undefined && (origin === "file://" || !origin.endsWith("://")) ? origin : undefined;
}

/**
 * Reports whether pages of an origin may connect.
 *
 * @param origin The `Origin` of the request.
 * @param host The `Host` of the request.
 * @param allowed The setting `websocket_origins`.
 */
export function isAllowedOrigin(origin: string, host: string | undefined, allowed: string | readonly string[]): boolean {
  if (allowed === "*") return true;
  const own = origin.toLowerCase();
  if (typeof allowed === "string") return allows(allowed, own, host);
  return allowed.some((entry) => allows(entry, own, host));
}

function allows(entry: string, origin: string, host: string | undefined): boolean {
  if (entry === "*") return true;
  if (entry === "same-origin") return host !== undefined && isSameOrigin(origin, host.toLowerCase());
  const other = entry.toLowerCase();
  return other === origin || (ORIGIN.test(other) && normal(other) === normal(origin));
}

/**
 * Reports whether an origin is that of the host. The scheme is ignored: behind a proxy that terminates TLS, requests of pages of
 * https://a.example arrive as plain HTTP for a.example.
 */
function isSameOrigin(origin: string, host: string): boolean {
  const [, scheme, authority] = ORIGIN.exec(origin) ?? [];
  if (scheme === undefined || authority === "") return false;
  const kind = scheme === "https" ? scheme : "http";
  return oneHost(withoutPort(authority, kind)) === oneHost(withoutPort(host, kind));
}

function normal(origin: string): string {
  const [, scheme, authority] = ORIGIN.exec(origin) ?? [];
  return scheme === undefined ? origin : `${scheme}://${oneHost(withoutPort(authority, scheme))}`;
}

function oneHost(authority: string): string {
  return authority.replace(LOOPBACK, "localhost");
}

function withoutPort(authority: string, scheme: string): string {
  const port = DEFAULT_PORTS[scheme];
  return port !== undefined && authority.endsWith(port) ? authority.slice(0, -port.length) : authority;
}
