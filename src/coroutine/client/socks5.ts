/**
 * SOCKS version 5 (RFC 1928), with name and password (RFC 1929).
 *
 * @module
 */

import { joinBytes } from "../../bytes.ts";
import {
  ECONNREFUSED,
  ETIMEDOUT,
  SWOOLE_ERROR_SOCKS5_AUTH_FAILED,
  SWOOLE_ERROR_SOCKS5_HANDSHAKE_FAILED,
  SWOOLE_ERROR_SOCKS5_SERVER_ERROR,
  SWOOLE_ERROR_SOCKS5_UNSUPPORT_METHOD,
  SWOOLE_ERROR_SOCKS5_UNSUPPORT_VERSION,
} from "../../errors.ts";
import type { ProxyHandshake } from "../../runtime.ts";
import { EHOSTUNREACH, ENETUNREACH } from "../../system_codes.ts";
import { ProxyFailure } from "./proxy_failure.ts";

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const USERNAME_PASSWORD = 2;
/** The version of RFC 1929. */
const AUTHENTICATION_VERSION = 1;
const CONNECT = 1;
const IPV4 = 1;
const DOMAIN_NAME = 3;
const IPV6 = 4;

/** What an answer says (section 6), by its number: the error code and the words for it. */
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

const encoder = new TextEncoder();

/** Asks a SOCKS5 proxy for a connection. */
export class Socks5Handshake implements ProxyHandshake {
  readonly #host: Uint8Array; // with its type in front
  readonly #port: number;
  readonly #username: Uint8Array;
  readonly #password: Uint8Array;
  #take: (answer: Uint8Array) => Uint8Array | true | Error | undefined = this.#takeMethod;
  #held: Uint8Array = new Uint8Array(0);

  /**
   * @param host The server: a name, which the proxy looks up, or an IP address.
   * @param port Its port.
   * @param username The name to show; empty for none.
   * @param password The password.
   * @throws {RangeError} If one of them is too long for SOCKS: 255 octets.
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
    return this.#take(this.#held) ?? new Uint8Array(0);
  }

  /** Takes an answer of a length; what follows it at once is nothing that was asked for. */
  #whole(answer: Uint8Array, length: number): boolean | Error {
    if (answer.length < length) return false;
    if (answer.length > length) return new ProxyFailure(SWOOLE_ERROR_SOCKS5_HANDSHAKE_FAILED, "the proxy says too much");
    this.#held = new Uint8Array(0);
    return true;
  }

  /** Section 3: which method it chose. */
  #takeMethod(answer: Uint8Array): Uint8Array | Error | undefined {
    const whole = this.#whole(answer, 2);
    if (whole !== true) return whole || undefined;
    const method = answer[1];
    if (method === NO_AUTHENTICATION) return this.#request();
    if (method !== USERNAME_PASSWORD || this.#username.length === 1) {
      return new ProxyFailure(SWOOLE_ERROR_SOCKS5_UNSUPPORT_METHOD, "the proxy wants another proof of who it is");
    }
    this.#take = this.#takeAuthentication;
    return joinBytes([Uint8Array.of(AUTHENTICATION_VERSION), this.#username, this.#password]);
  }

  /** RFC 1929 section 2: whether it takes name and password. */
  #takeAuthentication(answer: Uint8Array): Uint8Array | Error | undefined {
    const whole = this.#whole(answer, 2);
    if (whole !== true) return whole || undefined;
    if (answer[1] === 0) return this.#request();
    return new ProxyFailure(SWOOLE_ERROR_SOCKS5_AUTH_FAILED, "the proxy does not take name and password");
  }

  /** Section 4. */
  #request(): Uint8Array {
    this.#take = this.#takeReply;
    const head = Uint8Array.of(VERSION, CONNECT, 0);
    return joinBytes([head, this.#host, Uint8Array.of(this.#port >> 8, this.#port & 255)]);
  }

  /** Section 6: whether it is connected, and from which address, which is of no use here. */
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

/** Text with its length in front. */
function withLength(text: string, what: string): Uint8Array {
  const octets = encoder.encode(text);
  if (octets.length > 255) throw new RangeError(`Cannot use the SOCKS5 proxy: ${what} has more than 255 octets`);
  return joinBytes([Uint8Array.of(octets.length), octets]);
}

/** An address with its type in front (section 5). */
function addressOf(host: string): Uint8Array {
  const parts = host.split(".").map(Number);
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(host) && parts.every((part) => part < 256)) return Uint8Array.of(IPV4, ...parts);
  if (host.includes(":")) return Uint8Array.of(IPV6, ...ipv6Of(host));
  return joinBytes([Uint8Array.of(DOMAIN_NAME), withLength(host, "the host")]);
}

/** The octets of an IPv6 address; the web has a parser for all its spellings. */
function ipv6Of(host: string): number[] {
  const [left, right] = new URL(`http://[${host}]/`).hostname.slice(1, -1).split("::")
    .map((half) => half === "" ? [] : half.split(":").map((group) => parseInt(group, 16)));
  const groups = right === undefined ? left : [...left, ...new Array(8 - left.length - right.length).fill(0), ...right];
  return groups.flatMap((group) => [group >> 8, group & 255]);
}
