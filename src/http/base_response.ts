/**
 * The synchronous part of `HttpResponse`, common to both styles.
 *
 * @module
 */

import type { Cookie } from "./cookies.ts";
import type { HeaderValue } from "./response_head.ts";
import type { ResponseWriter } from "./response_writer.ts";

/** Returns the internal side of a response. No entry point exports this function. */
export function writerOf(response: BaseResponse): ResponseWriter {
  return BaseResponse["writerOf"](response);
}

/** A response. The headers are sent with the first part of the body, or by `end()`. */
export class BaseResponse {
  /** The number of the connection. */
  readonly fd: number;

  readonly #writer: ResponseWriter;

  /** Created by the server. */
  constructor(fd: number, writer: ResponseWriter) {
    this.fd = fd;
    this.#writer = writer;
  }

  /** See the function `writerOf()`: it calls this, which `private` keeps out of the public types. */
  private static writerOf(response: BaseResponse): ResponseWriter {
    return response.#writer;
  }

  /** Reports whether the response can still be written: it has not ended, and the client is connected. */
  isWritable(): boolean {
    return this.#writer.isWritable;
  }

  /**
   * Sets a header field, replacing earlier values. A list sets the field once for each value.
   *
   * @param name The name.
   * @param value The value. `Server`, `Date` and `Content-Type` replace the built-in fields; an empty value omits them. A text
   * type gets `charset=utf-8` if the body is passed as text and the value names no other. `null` removes the field.
   * @param format Whether to capitalize the words of the name, as in `X-Request-Id`. Receivers ignore the difference.
   * @returns `false` if the response has begun; `getLastError()` of the server is then 7106.
   * @throws {TypeError} If the name is not a token, or a value is neither a string nor a number or contains a control character:
   * a header cannot be split in two.
   */
  header(name: string, value: HeaderValue | null, format = true): boolean {
    return this.#writer.header(name, value, format);
  }

  /** Sets a header field; an alias of `header()`. */
  setHeader(name: string, value: HeaderValue | null, format = true): boolean {
    return this.header(name, value, format);
  }

  /**
   * Adds a cookie.
   *
   * @param name The name, or a `Cookie` in its current state, for which the other arguments are ignored.
   * @param value A string or a number. It is percent-encoded, with a space as `%20`. An empty value deletes the cookie.
   * @param expires The time of expiry, in seconds since 1970; 0 means at the end of the browser session.
   * @param path The path of the cookie.
   * @param domain The domain of the cookie, including its subdomains; if empty, only the host itself.
   * @param secure Whether the cookie is sent over TLS only.
   * @param httponly Whether the cookie is hidden from scripts.
   * @param samesite `Strict`, `Lax` or `None`.
   * @param priority `Low`, `Medium` or `High`.
   * @param partitioned Whether each embedding site has its own cookie; requires `secure`.
   * @returns `false` if the response has begun.
   * @throws {TypeError} If an argument has the wrong type, or a character that a cookie cannot contain.
   * @throws {RangeError} If `expires` is not a time from 1970 to 9999.
   */
  cookie(
    name: string | Cookie,
    value: string | number = "",
    expires = 0,
    path = "/",
    domain = "",
    secure = false,
    httponly = false,
    samesite = "",
    priority = "",
    partitioned = false,
  ): boolean {
    return this.#writer.addCookie(
      name,
      value,
      { expires, path, domain, secure, httponly, samesite, priority, partitioned },
      false,
    );
  }

  /**
   * Adds a cookie as `cookie()` does, but sends the value as it is: visible ASCII without `,` and `;`, or a `TypeError` is thrown.
   */
  rawcookie(
    name: string | Cookie,
    value: string | number = "",
    expires = 0,
    path = "/",
    domain = "",
    secure = false,
    httponly = false,
    samesite = "",
    priority = "",
    partitioned = false,
  ): boolean {
    return this.#writer.addCookie(
      name,
      value,
      { expires, path, domain, secure, httponly, samesite, priority, partitioned },
      true,
    );
  }

  /** Adds a cookie; an alias of `cookie()`. */
  setCookie(...cookie: Parameters<BaseResponse["cookie"]>): boolean {
    return this.cookie(...cookie);
  }

  /** Adds a cookie without encoding; an alias of `rawcookie()`. */
  setRawCookie(...cookie: Parameters<BaseResponse["rawcookie"]>): boolean {
    return this.rawcookie(...cookie);
  }

  /**
   * Sets a trailer: a field sent after the body, which is then chunked (RFC 9110 section 6.5). A trailer set before the response
   * begins is announced in `Trailer`. `null` removes it.
   *
   * @returns `false` if the response has ended or has begun without chunks, or if the client speaks HTTP/1.0.
   * @throws {TypeError} If the name or the value is invalid, or the field must be known before the body.
   */
  trailer(name: string, value: HeaderValue | null): boolean {
    return this.#writer.trailer(name, value);
  }

  /** Returns whether headers can still be set. Swoole prepares the header here; Sluice has nothing to prepare. */
  initHeader(): boolean {
    return this.#writer.takesHeaders;
  }

  /**
   * Sets the status.
   *
   * @param code 200 to 999, or 101 in a `handshake` handler; the default is 200.
   * @param reason The reason phrase; the default is the standard one.
   * @returns `false` if the response has begun.
   * @throws {TypeError} If the code is not a number.
   * @throws {RangeError} If the code is out of range.
   */
  status(code: number, reason?: string): boolean {
    return this.#writer.status(code, reason);
  }

  /** Sets the status; an alias of `status()`. */
  setStatusCode(code: number, reason?: string): boolean {
    return this.status(code, reason);
  }

  /**
   * Redirects the client to another URL.
   *
   * @param url The value of `Location`. Spaces and non-ASCII characters are percent-encoded.
   * @param code The status; the default is 302.
   * @throws {TypeError} If the URL is not a string, or contains a control character. The response is then unchanged.
   * @throws {RangeError} If the code is out of range. The response is then unchanged.
   */
  redirect(url: string, code = 302): boolean {
    return this.#writer.redirect(url, code);
  }

  /**
   * Sends the response, or the rest of it after `write()`. A whole body is compressed if the client accepts that and it pays off
   * (`http_compression`).
   *
   * @param data The body, or its last part; a number is sent as text. The caller may reuse the bytes when this returns.
   * @returns `false` if the response has ended, the client disconnected, or `write()` lost a part. In the last case the
   * connection is aborted, or the response is a 500 if nothing was sent yet.
   * @throws {TypeError} If `data` has another type.
   */
  end(data: string | number | Uint8Array = ""): boolean {
    return this.#writer.end(data);
  }

  /** Lets the handler return without a response, which follows later; otherwise a 500 would be sent. */
  detach(): boolean {
    return this.#writer.detach();
  }

  /**
   * Closes the connection after pending output.
   *
   * @returns `false` if the response is complete and the connection serves another request, or if the client disconnected.
   */
  close(): boolean {
    return this.#writer.close();
  }
}
