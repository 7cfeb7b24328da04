/**
 * The opening handshake: what a server checks and answers, what a client checks of the answer (RFC 6455 sections 4.1 and 4.2).
 *
 * @module
 */

import { isAllowedOrigin } from "./origin.ts";
import { sha1 } from "./sha1.ts";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** The parts of a request that the handshake depends on. Header names are in lower case. */
export interface HandshakeRequest {
  /** The method. */
  readonly method: string;
  /** The HTTP version, such as `1.1`. */
  readonly version: string;
  /** The header fields. */
  readonly header: Readonly<Record<string, string>>;
}

/** Why a handshake is refused: an HTTP status and a reason for people. */
export interface HandshakeRefusal {
  /** 400, 403 or 426. */
  readonly status: number;
  /** One sentence. */
  readonly reason: string;
}

/**
 * The value of `Sec-WebSocket-Accept` (RFC 6455 section 4.2.2, step 5.4).
 *
 * @param key The value of `Sec-WebSocket-Key`.
 * @returns 28 characters of base64.
 */
export function acceptFor(key: string): string {
  return btoa(String.fromCharCode(...sha1(key + GUID)));
}

/** Tells whether a header's comma-separated list has a token, in any letter case. */
export function hasToken(list: string | undefined, token: string): boolean {
  if (list === undefined || list.length < token.length) return false;
  if (!list.includes(",")) return list.trim().toLowerCase() === token;
  for (const item of list.split(",")) if (item.trim().toLowerCase() === token) return true;
  return false;
}

/** Tells whether a request wants to become a WebSocket: `Upgrade` names it, in any letter case. */
export function isUpgrade(request: HandshakeRequest): boolean {
  const upgrade = request.header["upgrade"];
  return upgrade !== undefined && hasToken(upgrade, "websocket");
}

/** Tells whether a key is base64 of 16 octets: 22 characters, of which the last holds 2 bits, and `==`. */
function isKey(key: string | undefined): boolean {
  if (key === undefined || key.length !== 24 || key[22] !== "=" || key[23] !== "=" || !"AQgw".includes(key[21])) return false;
  for (let i = 0; i < 21; i++) {
    const c = key.charCodeAt(i);
    const alphanumeric = (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122);
    if (!alphanumeric && c !== 43 && c !== 47) return false;
  }
  return true;
}

/**
 * Checks a client's handshake (RFC 6455 section 4.2.1).
 *
 * @param request A request for which `isUpgrade()` holds.
 * @param origins Which pages may connect: `"same-origin"`, `"*"`, an origin, or a list of them. A request without `Origin` does not
 * come from a page and passes.
 * @returns `undefined` when it is right, otherwise how to refuse it.
 */
export function checkHandshake(request: HandshakeRequest, origins: string | readonly string[]): HandshakeRefusal | undefined {
  const { header } = request;
  if (request.method !== "GET") return { status: 400, reason: "a WebSocket handshake has to be a GET request" };
  if (request.version !== "1.1") return { status: 400, reason: "a WebSocket handshake needs HTTP/1.1" };
  if (!hasToken(header["connection"], "upgrade")) return { status: 400, reason: "the Connection header lacks Upgrade" };
  if (header["sec-websocket-version"] !== "13") return { status: 426, reason: "only WebSocket version 13 is spoken here" };
  if (!isKey(header["sec-websocket-key"])) return { status: 400, reason: "Sec-WebSocket-Key is not 16 octets in base64" };
  const origin = header["origin"];
  if (origin !== undefined && !isAllowedOrigin(origin, header["host"], origins)) {
    return { status: 403, reason: "pages of this origin may not connect" }; // section 10.2
  }
  return undefined;
}

/**
 * Chooses the subprotocol (RFC 6455 section 4.2.2, step 5.5).
 *
 * @param offered The client's `Sec-WebSocket-Protocol`, if any.
 * @param supported What the server speaks.
 * @returns The first of the client's list that the server speaks, or `undefined`: then the answer names none.
 */
export function chooseSubprotocol(offered: string | undefined, supported: readonly string[]): string | undefined {
  if (offered === undefined) return undefined;
  return offered.split(",").map((name) => name.trim()).find((name) => name !== "" && supported.includes(name));
}

/**
 * The header fields of a server's answer with 101 (RFC 6455 section 4.2.2, step 5).
 *
 * @param header The header fields of a request that `checkHandshake()` found right.
 * @param subprotocols What the server speaks: the answer names one of them, or none.
 * @param extensions What was agreed beyond that, as the value of `Sec-WebSocket-Extensions`.
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

/** A fresh value for `Sec-WebSocket-Key`: 16 random octets in base64 (RFC 6455 section 4.1). */
export function makeKey(): string {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
}

/** The parts of a server's answer that a client checks. Header names are in lower case. */
export interface HandshakeAnswer {
  /** The status. */
  readonly status: number;
  /** The header fields. */
  readonly header: Readonly<Record<string, string>>;
}

/**
 * Checks a server's answer (RFC 6455 section 4.1, the client's steps 1 to 6).
 *
 * @param answer The head of the answer.
 * @param key The `Sec-WebSocket-Key` of the request.
 * @param offered The subprotocols that the request offered.
 * @param extended Whether the request offered extensions; the answer to that is left to the caller.
 * @returns `undefined` when the connection is a WebSocket now, otherwise what is wrong.
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
