/**
 * A tunnel through an HTTP proxy: `CONNECT` (RFC 9110 section 9.3.6).
 *
 * @module
 */

import { SWOOLE_ERROR_HTTP_PROXY_BAD_RESPONSE, SWOOLE_ERROR_HTTP_PROXY_HANDSHAKE_ERROR } from "../../errors.ts";
import { ResponseParser } from "../../http/response_parser.ts";
import type { ProxyHandshake } from "../../runtime.ts";
import { ProxyFailure } from "./proxy_failure.ts";

/** What a proxy may answer. Its pages are not read: the head says enough. */
const LIMITS = { maxHeadSize: 16 * 1024, maxHeaders: 64, maxBodySize: Infinity };

/** Asks an HTTP proxy for a tunnel. */
export class HttpTunnel implements ProxyHandshake {
  readonly #request: string;
  readonly #parser: ResponseParser = new ResponseParser(LIMITS);

  /**
   * @param authority Host and port of the server.
   * @param authorization The value of Proxy-Authorization; empty for none.
   */
  constructor(authority: string, authorization: string) {
    const field = authorization === "" ? "" : `Proxy-Authorization: ${authorization}\r\n`;
    this.#request = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${field}\r\n`;
    this.#parser.begin("CONNECT");
  }

  begin(): Uint8Array {
    return new TextEncoder().encode(this.#request);
  }

  receive(chunk: Uint8Array): Uint8Array | true | Error {
    const parser = this.#parser;
    const at = parser.receive(chunk, 0);
    const { head, failure } = parser;
    if (failure !== undefined) return new ProxyFailure(SWOOLE_ERROR_HTTP_PROXY_HANDSHAKE_ERROR, failure.reason);
    if (head === undefined) return new Uint8Array(0);
    if (head.status < 200 || head.status > 299) {
      return new ProxyFailure(SWOOLE_ERROR_HTTP_PROXY_BAD_RESPONSE, `the proxy answered with status ${head.status}`);
    }
    // A client speaks first, in HTTP as in TLS: what comes already is from the proxy.
    if (at < chunk.length) return new ProxyFailure(SWOOLE_ERROR_HTTP_PROXY_HANDSHAKE_ERROR, "the proxy says too much");
    return true;
  }
}
