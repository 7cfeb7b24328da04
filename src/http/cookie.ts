/**
 * `Cookie`, Swoole's picture of a cookie to be set.
 *
 * @module
 */

import { serializeCookie } from "./cookies.ts";

/** What a `Cookie` is made of. */
export interface CookieParts {
  /** The name. */
  name: string;
  /** The value as text. */
  value: string;
  /** The path it is for. */
  path: string;
  /** The domain it is for, with all below it. */
  domain: string;
  /** `Strict`, `Lax` or `None`. */
  sameSite: string;
  /** `Low`, `Medium` or `High`. */
  priority: string;
  /** Whether the value is encoded with percent escapes. */
  encode: boolean;
  /** When it ends, seconds since 1970. */
  expires: number;
  /** For TLS only. */
  secure: boolean;
  /** Not for scripts. */
  httpOnly: boolean;
  /** One cookie for each site that embeds this one. */
  partitioned: boolean;
}

/**
 * A cookie for `response.cookie()`, made step by step (Swoole's `Http\\Cookie`). What is not set is not sent.
 *
 * @example
 * ```ts
 * import { Cookie } from "@sluice/server";
 * import { assertEquals } from "@std/assert";
 *
 * const cookie = new Cookie().withName("session").withValue("a b").withPath("/").withHttpOnly(true).withSameSite("Lax");
 * assertEquals(cookie.toString(), "session=a%20b; path=/; HttpOnly; SameSite=Lax");
 * // in a handler: response.cookie(cookie);
 * ```
 */
export class Cookie {
  #parts: CookieParts;

  /**
   * Begins one.
   *
   * @param encode Whether the value is sent with percent escapes; otherwise as it is, as with `rawcookie()`.
   */
  constructor(encode = true) {
    this.#parts = emptyParts(encode);
  }

  /** Sets the name. */
  withName(name: string): this {
    this.#parts.name = name;
    return this;
  }

  /** Sets the value. An empty one deletes the cookie that has this name, path and domain. */
  withValue(value = ""): this {
    this.#parts.value = value;
    return this;
  }

  /** Sets when it ends, in seconds since 1970; 0 ends it with the browser. */
  withExpires(expires = 0): this {
    this.#parts.expires = expires;
    return this;
  }

  /** Sets the path it is for. */
  withPath(path = "/"): this {
    this.#parts.path = path;
    return this;
  }

  /** Sets the domain it is for, with all below it; the one host unless set. */
  withDomain(domain = ""): this {
    this.#parts.domain = domain;
    return this;
  }

  /** Sets whether it is for TLS only. */
  withSecure(secure = false): this {
    this.#parts.secure = secure;
    return this;
  }

  /** Sets whether it is hidden from scripts. */
  withHttpOnly(httpOnly = false): this {
    this.#parts.httpOnly = httpOnly;
    return this;
  }

  /** Sets whether other sites' requests carry it: `Strict`, `Lax` or `None`. */
  withSameSite(sameSite = ""): this {
    this.#parts.sameSite = sameSite;
    return this;
  }

  /** Sets which ones a browser keeps longer: `Low`, `Medium` or `High`. */
  withPriority(priority = ""): this {
    this.#parts.priority = priority;
    return this;
  }

  /** Sets whether there is one for each site that embeds this one; it has to be secure then. */
  withPartitioned(partitioned = false): this {
    this.#parts.partitioned = partitioned;
    return this;
  }

  /**
   * The value of a Set-Cookie field (RFC 6265 section 4.1).
   *
   * @throws {TypeError} If there is no name, or a part has a character that a cookie cannot hold.
   * @throws {RangeError} If it ends at no time from 1970 to 9999.
   */
  toString(): string {
    const { name, value, sameSite: samesite, httpOnly: httponly, encode, ...attributes } = this.#parts;
    return serializeCookie(name, value, { ...attributes, samesite, httponly }, !encode);
  }

  /** All its parts; texts that are not set are empty. */
  toArray(): CookieParts {
    return { ...this.#parts };
  }

  /** Forgets everything that was set; the value is encoded again. */
  reset(): void {
    this.#parts = emptyParts(true);
  }
}

function emptyParts(encode: boolean): CookieParts {
  return {
    name: "",
    value: "",
    path: "",
    domain: "",
    sameSite: "",
    priority: "",
    encode,
    expires: 0,
    secure: false,
    httpOnly: false,
    partitioned: false,
  };
}
