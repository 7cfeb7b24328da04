/**
 * Handshakes with proxies: `CONNECT` (RFC 9110 section 9.3.6), and SOCKS version 5 (RFC 1928) with user name and password
 * (RFC 1929).
 *
 * @module
 */

import {
  ECONNREFUSED,
  ETIMEDOUT,
  SWOOLE_ERROR_HTTP_PROXY_BAD_RESPONSE,
  SWOOLE_ERROR_HTTP_PROXY_HANDSHAKE_ERROR,
  SWOOLE_ERROR_SOCKS5_AUTH_FAILED,
  SWOOLE_ERROR_SOCKS5_HANDSHAKE_FAILED,
  SWOOLE_ERROR_SOCKS5_SERVER_ERROR,
  SWOOLE_ERROR_SOCKS5_UNSUPPORT_METHOD,
  SWOOLE_ERROR_SOCKS5_UNSUPPORT_VERSION,
} from "../errors.ts";
import { ResponseParser } from "../http/response_parser.ts";
import type { ProxyHandshake } from "../transport/runtime.ts";
import { utf8Encoder } from "../values.ts";
import { EMPTY, joinBytes } from "../transport/bytes.ts";
import { EHOSTUNREACH, ENETUNREACH } from "../transport/system_codes.ts";

/** An error of a proxy, or of its connection to the server. */
export class ProxyFailure extends Error {
  /** The error code. */
  readonly number: number;

  constructor(number: number, message: string) {
    super(message);
    this.number = number;
  }
}

/** Limits for the response of a proxy. Its body is never read: the head is enough. */
const LIMITS = { maxHeadSize: 16 * 1024, maxHeaders: 64, maxBodySize: Infinity };

/** Requests a tunnel from an HTTP proxy. */
export class HttpTunnel implements ProxyHandshake {
  readonly #request: string;
  readonly #parser: ResponseParser = new ResponseParser(LIMITS);

  /**
   * @param authority The host and port of the server.
   * @param authorization The value of Proxy-Authorization; empty to omit it.
   */
  constructor(authority: string, authorization: string) {
    const field = authorization === "" ? "" : `Proxy-Authorization: ${authorization}\r\n`;
    this.#request = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${field}\r\n`;
    this.#parser.begin("CONNECT");
  }

  begin(): Uint8Array {
    return utf8Encoder.encode(this.#request);
  }

  receive(chunk: Uint8Array): Uint8Array | true | Error {
    const parser = this.#parser;
    const at = parser.receive(chunk, 0);
    const { head, failure } = parser;
    if (failure !== undefined) return new ProxyFailure(SWOOLE_ERROR_HTTP_PROXY_HANDSHAKE_ERROR, failure.reason);
    if (head === undefined) return EMPTY;
    if (head.status < 200 || head.status > 299) {
      return new ProxyFailure(SWOOLE_ERROR_HTTP_PROXY_BAD_RESPONSE, `the proxy answered with status ${head.status}`);
    }
    // In HTTP and in TLS the client speaks first, so any bytes after the head come from the proxy itself.
    if (at < chunk.length) {
      return new ProxyFailure(SWOOLE_ERROR_HTTP_PROXY_HANDSHAKE_ERROR, "the proxy sent more bytes than expected");
    }
    return true;
  }
}

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const USERNAME_PASSWORD = 2;
/** The version of RFC 1929. */
const AUTHENTICATION_VERSION = 1;
const CONNECT = 1;
const IPV4 = 1;
const DOMAIN_NAME = 3;
const IPV6 = 4;

/** The meanings of replies (section 6), by number: the error code and its text. */
const REPLIES: readonly (readonly [code: number, text: string])[] = [
  [0, ""],
  [SWOOLE_ERROR_SOCKS5_SERVER_ERROR, "the proxy failed"],
  [SWOOLE_ERROR_SOCKS5_SERVER_ERROR, "the proxy does not allow the connection"],
  [ENETUNREACH, "the proxy does not reach the network"],
  [EHOSTUNREACH, "the proxy does not reach the host"],
  [ECONNREFUSED, "the host refuses the proxy"],
  [ETIMEDOUT, "the proxy's packets expired"],
  [SWOOLE_ERROR_SOCKS5_SERVER_ERROR, "the proxy does not know CONNECT"],
  [SWOOLE_ERROR_SOCKS5_SERVER_ERROR, "the proxy does not know such addresses"],
];

/** Requests a connection from a SOCKS5 proxy. */
export class Socks5Handshake implements ProxyHandshake {
  readonly #host: Uint8Array; // preceded by its type
  readonly #port: number;
  readonly #username: Uint8Array;
  readonly #password: Uint8Array;
  #take: (answer: Uint8Array) => Uint8Array | true | Error | undefined = this.#takeMethod;
  #held: Uint8Array = EMPTY;

  /**
   * @param host The server: a name, which the proxy resolves, or an IP address.
   * @param port The port of the server.
   * @param username The user name; empty for no authentication.
   * @param password The password.
   * @throws {RangeError} If one of them is longer than 255 bytes, the limit of SOCKS.
   */
  constructor(host: string, port: number, username: string, password: string) {
    this.#host = addressOf(host);
    this.#port = port;
    this.#username = withLength(username, "socks5_username");
    this.#password = withLength(password, "socks5_password");
  }

  begin(): Uint8Array {
    const methods = this.#username.length > 1 ? [NO_AUTHENTICATION, USERNAME_PASSWORD] : [NO_AUTHENTICATION];
    return Uint8Array.of(VERSION, methods.length, ...methods);
  }

  receive(chunk: Uint8Array): Uint8Array | true | Error {
    this.#held = joinBytes([this.#held, chunk]);
    const version = this.#take === this.#takeAuthentication ? AUTHENTICATION_VERSION : VERSION;
    if (this.#held.length > 0 && this.#held[0] !== version) {
      return new ProxyFailure(SWOOLE_ERROR_SOCKS5_UNSUPPORT_VERSION, "the proxy speaks something else");
    }
    return this.#take(this.#held) ?? EMPTY;
  }

  /** Checks that a reply has the given length, and consumes it. Bytes after it are an error, because they were not requested. */
  #whole(answer: Uint8Array, length: number): boolean | Error {
    if (answer.length < length) return false;
    if (answer.length > length) {
      return new ProxyFailure(SWOOLE_ERROR_SOCKS5_HANDSHAKE_FAILED, "the proxy sent more bytes than expected");
    }
    this.#held = EMPTY;
    return true;
  }

  /** Handles the choice of a method (section 3). */
  #takeMethod(answer: Uint8Array): Uint8Array | Error | undefined {
    const whole = this.#whole(answer, 2);
    if (whole !== true) return whole || undefined;
    const method = answer[1];
    if (method === NO_AUTHENTICATION) return this.#request();
    if (method !== USERNAME_PASSWORD || this.#username.length === 1) {
      return new ProxyFailure(SWOOLE_ERROR_SOCKS5_UNSUPPORT_METHOD, "the proxy accepts none of the offered ways to authenticate");
    }
    this.#take = this.#takeAuthentication;
    return joinBytes([Uint8Array.of(AUTHENTICATION_VERSION), this.#username, this.#password]);
  }

  /** Handles the reply to user name and password (RFC 1929 section 2). */
  #takeAuthentication(answer: Uint8Array): Uint8Array | Error | undefined {
    const whole = this.#whole(answer, 2);
    if (whole !== true) return whole || undefined;
    if (answer[1] === 0) return this.#request();
    return new ProxyFailure(SWOOLE_ERROR_SOCKS5_AUTH_FAILED, "the proxy does not take name and password");
  }

  /** Returns the request to connect (section 4). */
  #request(): Uint8Array {
    this.#take = this.#takeReply;
    const head = Uint8Array.of(VERSION, CONNECT, 0);
    return joinBytes([head, this.#host, Uint8Array.of(this.#port >> 8, this.#port & 255)]);
  }

  /** Handles the reply to the request (section 6). Its address is not used. */
  #takeReply(answer: Uint8Array): true | Error | undefined {
    if (answer.length < 2) return undefined;
    const reply = answer[1];
    if (reply !== 0) {
      const [code, text] = REPLIES[reply] ?? [SWOOLE_ERROR_SOCKS5_SERVER_ERROR, `the proxy failed with ${reply}`];
      return new ProxyFailure(code, text);
    }
    if (answer.length < 5) return undefined;
    const type = answer[3];
    if (type !== IPV4 && type !== IPV6 && type !== DOMAIN_NAME) {
      return new ProxyFailure(SWOOLE_ERROR_SOCKS5_HANDSHAKE_FAILED, "the proxy tells an address of an unknown type");
    }
    const size = type === IPV4 ? 4 : type === IPV6 ? 16 : 1 + answer[4];
    return this.#whole(answer, 4 + size + 2) || undefined;
  }
}

/** Encodes a text, preceded by its length. */
function withLength(text: string, what: string): Uint8Array {
  const bytes = utf8Encoder.encode(text);
  if (bytes.length > 255) throw new RangeError(`Cannot use the SOCKS5 proxy: ${what} has more than 255 bytes`);
  return joinBytes([Uint8Array.of(bytes.length), bytes]);
}

/** Encodes an address, preceded by its type (section 5). */
function addressOf(host: string): Uint8Array {
  const parts = host.split(".").map(Number);
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(host) && parts.every((part) => part < 256)) return Uint8Array.of(IPV4, ...parts);
  if (host.includes(":")) return Uint8Array.of(IPV6, ...ipv6Of(host));
  return joinBytes([Uint8Array.of(DOMAIN_NAME), withLength(host, "the host")]);
}

/** Returns the bytes of an IPv6 address. `URL` parses all its notations. */
function ipv6Of(host: string): number[] {
  const [left, right] = new URL(`http://[${host}]/`).hostname.slice(1, -1).split("::")
    .map((half) => half === "" ? [] : half.split(":").map((group) => parseInt(group, 16)));
  const groups = right === undefined ? left : [...left, ...new Array(8 - left.length - right.length).fill(0), ...right];
  return groups.flatMap((group) => [group >> 8, group & 255]);
}
