/**
 * The opening handshake: how a server checks and answers a request, and how a client checks the response (RFC 6455 sections 4.1
 * and 4.2), and which pages may open a WebSocket: origins and their comparison (RFC 6454 and RFC 6455 section 10.2).
 *
 * @module
 */

import { hasToken, splitList } from "../http/field_values.ts";
import { nativeSha1 } from "../transport/current_runtime.ts";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** The parts of a request that matter for the handshake. Header names are in lower case. */
export interface HandshakeRequest {
  /** The method. */
  readonly method: string;
  /** The HTTP version, such as `1.1`. */
  readonly version: string;
  /** The header fields. */
  readonly header: Readonly<Record<string, string | undefined>>;
}

/** The refusal of a handshake: an HTTP status, and a reason for people. */
export interface HandshakeRefusal {
  /** The status: 400, 403 or 426. */
  readonly status: number;
  /** The reason, in one sentence. */
  readonly reason: string;
}

/**
 * Computes the value of `Sec-WebSocket-Accept` (RFC 6455 section 4.2.2, step 5.4).
 *
 * @param key The value of `Sec-WebSocket-Key`.
 * @returns 28 characters of base64.
 */
export function acceptFor(key: string): string {
  return nativeSha1?.(key + GUID) ?? btoa(String.fromCharCode(...sha1(key + GUID)));
}

/** Reports whether a key is base64 of 16 bytes: 22 characters, the last of which holds 2 bits, and `==`. */
function isKey(key: string | undefined): boolean {
  if (key === undefined || key.length !== 24 || key[22] !== "=" || key[23] !== "=" || !"AQgw".includes(key[21])) return false;
  for (let i = 0; i < 21; i++) {
    const c = key.charCodeAt(i);
    const alphanumeric = (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122);
    if (!alphanumeric && c !== 43 && c !== 47) return false;
  }
  return true;
}

/** What `"same-origin"` means on a server. */
export interface OwnOrigin {
  /** Whether the server is reached by programs of this machine only. Its pages then have one origin, on whatever port. */
  readonly isLocal?: boolean;
  /** The scheme of its pages, if it is known. Without it, any scheme is right. */
  readonly scheme?: string | undefined;
  /** The host of its pages, if it is not that of `Host`. */
  readonly host?: string | undefined;
}

/**
 * Checks the handshake of a client (RFC 6455 section 4.2.1).
 *
 * @param request A request for which `isUpgrade()` is `true`.
 * @param origins The pages that may connect: `"same-origin"`, `"*"`, an origin, or a list of these. A request without `Origin` is
 * not sent by a page, and passes.
 * @param own What is known of the server's own origin.
 * @returns `undefined` if the handshake is valid, otherwise the refusal.
 */
export function checkHandshake(
  request: HandshakeRequest,
  origins: string | readonly string[],
  own: OwnOrigin = {},
): HandshakeRefusal | undefined {
  const { header } = request;
  if (request.method !== "GET") return { status: 400, reason: "a WebSocket handshake has to be a GET request" };
  if (request.version !== "1.1") return { status: 400, reason: "a WebSocket handshake needs HTTP/1.1" };
  if (!hasToken(header["connection"], "upgrade")) return { status: 400, reason: "the Connection header lacks Upgrade" };
  if (header["sec-websocket-version"] !== "13") return { status: 426, reason: "only WebSocket version 13 is spoken here" };
  if (!isKey(header["sec-websocket-key"])) return { status: 400, reason: "Sec-WebSocket-Key is not 16 bytes in base64" };
  const origin = header["origin"];
  if (origin !== undefined && !isAllowedOrigin(origin, own.host ?? header["host"], origins, own)) {
    return { status: 403, reason: "pages of this origin may not connect" }; // section 10.2
  }
  return undefined;
}

/**
 * Chooses the subprotocol (RFC 6455 section 4.2.2, step 5.5).
 *
 * @param offered The client's `Sec-WebSocket-Protocol`, if any.
 * @param supported The subprotocols of the server.
 * @returns The first of the client's subprotocols that the server supports; `undefined` if the response must not name one.
 */
export function chooseSubprotocol(offered: string | undefined, supported: readonly string[]): string | undefined {
  if (offered === undefined) return undefined;
  return splitList(offered).find((name) => supported.includes(name));
}

/**
 * Returns the header fields of a 101 response (RFC 6455 section 4.2.2, step 5).
 *
 * @param header The header fields of a request that passed `checkHandshake()`.
 * @param subprotocols The subprotocols of the server, of which the response names at most one.
 * @param extensions The agreed extensions, as the value of `Sec-WebSocket-Extensions`.
 */
export function answerFields(
  header: Readonly<Record<string, string>>,
  subprotocols: string | readonly string[],
  extensions?: string,
): [name: string, value: string][] {
  const fields: [string, string][] = [
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ["Sec-WebSocket-Accept", acceptFor(header["sec-websocket-key"])],
    ["Sec-WebSocket-Version", "13"],
  ];
  const spoken = typeof subprotocols === "string" ? [subprotocols] : subprotocols;
  const subprotocol = chooseSubprotocol(header["sec-websocket-protocol"], spoken);
  if (subprotocol !== undefined) fields.push(["Sec-WebSocket-Protocol", subprotocol]);
  if (extensions !== undefined) fields.push(["Sec-WebSocket-Extensions", extensions]);
  return fields;
}

/** Creates a value for `Sec-WebSocket-Key`: 16 random bytes in base64 (RFC 6455 section 4.1). */
export function makeKey(): string {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
}

/** The parts of a server's response that a client checks. Header names are in lower case. */
export interface HandshakeAnswer {
  /** The status. */
  readonly status: number;
  /** The header fields. */
  readonly header: Readonly<Record<string, string>>;
}

/**
 * Checks the response of a server (RFC 6455 section 4.1, the client's steps 1 to 6).
 *
 * @param answer The head of the response.
 * @param key The `Sec-WebSocket-Key` of the request.
 * @param offered The subprotocols that the request offered.
 * @param extended Whether the request offered extensions. The caller must check which ones the server chose.
 * @returns `undefined` if the connection is now a WebSocket, otherwise a description of the error.
 */
export function checkAnswer(
  answer: HandshakeAnswer,
  key: string,
  offered: readonly string[] = [],
  extended = false,
): string | undefined {
  const { header } = answer;
  if (answer.status !== 101) return `the server answered with status ${answer.status}`;
  if (header["upgrade"]?.toLowerCase() !== "websocket") return "the Upgrade header is not websocket";
  if (!hasToken(header["connection"], "upgrade")) return "the Connection header lacks Upgrade";
  if (header["sec-websocket-accept"]?.trim() !== acceptFor(key)) return "Sec-WebSocket-Accept does not belong to the key";
  if (header["sec-websocket-extensions"] !== undefined && !extended) return "the server chose an extension that was not offered";
  const protocol = header["sec-websocket-protocol"];
  if (protocol !== undefined && !offered.includes(protocol)) return "the server chose a subprotocol that was not offered";
  return undefined;
}

/**
 * Computes the SHA-1 digest (FIPS 180-4) of an ASCII text. Web Crypto only offers it asynchronously, and a handshake is answered in
 * the turn that read it. The digest proves that the peer speaks WebSocket; no secret depends on it.
 *
 * @param text The text; all characters must be below U+0080.
 * @returns 20 bytes.
 */
export function sha1(text: string): Uint8Array {
  const blocks = (text.length + 9 + 63) >> 6;
  const words = new Uint32Array(blocks * 16);
  for (let i = 0; i < text.length; i++) words[i >> 2] |= text.charCodeAt(i) << (24 - (i & 3) * 8);
  words[text.length >> 2] |= 0x80 << (24 - (text.length & 3) * 8);
  words[words.length - 1] = text.length * 8;

  let h0 = 0x67452301, h1 = 0xefcdab89 | 0, h2 = 0x98badcfe | 0, h3 = 0x10325476, h4 = 0xc3d2e1f0 | 0;
  const w = new Int32Array(80);
  for (let block = 0; block < words.length; block += 16) {
    for (let t = 0; t < 16; t++) w[t] = words[block + t];
    for (let t = 16; t < 80; t++) {
      const x = w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16];
      w[t] = (x << 1) | (x >>> 31);
    }
    let a = h0, b = h1, c = h2, d = h3, e = h4;
    for (let t = 0; t < 80; t++) {
      const f = t < 20
        ? ((b & c) | (~b & d)) + 0x5a827999
        : t < 40
        ? (b ^ c ^ d) + 0x6ed9eba1
        : t < 60
        ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
        : (b ^ c ^ d) + 0xca62c1d6;
      const next = (((a << 5) | (a >>> 27)) + f + e + w[t]) | 0;
      e = d;
      d = c;
      c = (b << 30) | (b >>> 2);
      b = a;
      a = next;
    }
    h0 = (h0 + a) | 0;
    h1 = (h1 + b) | 0;
    h2 = (h2 + c) | 0;
    h3 = (h3 + d) | 0;
    h4 = (h4 + e) | 0;
  }
  const digest = new DataView(new ArrayBuffer(20));
  [h0, h1, h2, h3, h4].forEach((word, i) => digest.setInt32(i * 4, word));
  return new Uint8Array(digest.buffer);
}

/** The entries that are not URLs. Pages without an origin, such as local files or sandboxed frames, send `null`. */
const WORDS: readonly string[] = ["same-origin", "*", "null"];

/** A scheme and an authority, without a path or white space. */
const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/([^\/?#@\s,]*)$/;

const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: ":80", https: ":443" };

/** The names of this machine, which count as one host: a page of `http://localhost:9501` may connect to `ws://127.0.0.1:9501`. */
const LOCAL_NAME = /^(?:localhost|127\.0\.0\.1|\[::1\])(?=:\d+$|$)/;

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
  const text = hasScheme ? entry.replace(/^ws(?=s?:)/i, "http") : `${LOCAL_NAME.test(entry) ? "http" : "https"}://${entry}`;
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
 * @param host The host that the browser asked for.
 * @param allowed The setting `websocket_origins`.
 * @param own See `checkHandshake()`.
 */
export function isAllowedOrigin(
  origin: string,
  host: string | undefined,
  allowed: string | readonly string[],
  own: OwnOrigin = {},
): boolean {
  if (allowed === "*") return true;
  const page = origin.toLowerCase();
  const isAllowed = (entry: string): boolean => {
    if (entry === "*") return true;
    if (entry === "same-origin") return host !== undefined && isSameOrigin(page, host.toLowerCase(), own);
    const other = entry.toLowerCase();
    return other === page || (ORIGIN.test(other) && normal(other) === normal(page));
  };
  return typeof allowed === "string" ? isAllowed(allowed) : allowed.some(isAllowed);
}

/**
 * Reports whether an origin is that of the host. A scheme that is not known is ignored: behind a proxy that terminates TLS, and
 * does not say so, requests of pages of https://a.example arrive as plain HTTP for a.example.
 */
function isSameOrigin(origin: string, host: string, own: OwnOrigin): boolean {
  const [, scheme, authority] = ORIGIN.exec(origin) ?? [];
  if (scheme === undefined || authority === "" || (own.scheme !== undefined && own.scheme !== scheme)) return false;
  const isWeb = scheme === "http" || scheme === "https";
  if (isWeb && LOCAL_NAME.test(authority) && LOCAL_NAME.test(host) && own.isLocal) return true;
  const kind = scheme === "https" ? scheme : "http";
  return oneHost(withoutPort(authority, kind)) === oneHost(withoutPort(host, kind));
}

function normal(origin: string): string {
  const [, scheme, authority] = ORIGIN.exec(origin) ?? [];
  return scheme === undefined ? origin : `${scheme}://${oneHost(withoutPort(authority, scheme))}`;
}

function oneHost(authority: string): string {
  return authority.replace(LOCAL_NAME, "localhost");
}

function withoutPort(authority: string, scheme: string): string {
  const port = DEFAULT_PORTS[scheme];
  return port !== undefined && authority.endsWith(port) ? authority.slice(0, -port.length) : authority;
}
