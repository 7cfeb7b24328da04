/**
 * Cookies on the wire (RFC 6265), in the spelling of Swoole and PHP, and `Cookie`, Swoole's class for building one.
 *
 * @module
 */

import { describe } from "../values.ts";
import { isFieldValue, trim } from "./request_head.ts";
import { formatHttpDate } from "./field_values.ts";

/** The content of a Set-Cookie field. */
export interface SetCookie {
  /** The name. */
  readonly name: string;
  /** The value as sent; `decodeCookie()` decodes it. */
  readonly value: string;
  /** The path; if absent, the directory of the request's path. */
  readonly path?: string;
  /** The domain, in lower case, without a leading dot; if absent, the host of the request only. */
  readonly domain?: string;
  /** The date as sent. */
  readonly expires?: string;
  /** The lifetime in seconds; 0 or less deletes the cookie. Takes precedence over `expires`. */
  readonly maxAge?: number;
  /** Whether the cookie is sent over TLS only. */
  readonly secure: boolean;
  /** Whether the cookie is hidden from scripts. */
  readonly httpOnly: boolean;
  /** Whether requests from other sites carry the cookie. */
  readonly sameSite?: "Strict" | "Lax" | "None";
}

/** The attributes of a cookie to set, with Swoole's names. */
export interface CookieAttributes {
  /** The time of expiry, in seconds since 1970; 0, the default, means at the end of the browser session. */
  readonly expires?: number;
  /** The path of the cookie. */
  readonly path?: string;
  /** The domain of the cookie, including its subdomains. */
  readonly domain?: string;
  /** Whether the cookie is sent over TLS only. */
  readonly secure?: boolean;
  /** Whether the cookie is hidden from scripts. */
  readonly httponly?: boolean;
  /** `Strict`, `Lax` or `None`. */
  readonly samesite?: string;
  /** `Low`, `Medium` or `High`. */
  readonly priority?: string;
  /** Whether each embedding site has its own cookie; requires `secure`. */
  readonly partitioned?: boolean;
}

const SAME_SITE = ["Strict", "Lax", "None"] as const;

/**
 * Parses the value of a Set-Cookie field as a browser does (RFC 6265 section 5.2): if an attribute is repeated, the last one
 * counts; unknown and malformed attributes are ignored.
 *
 * @param value The value of one field.
 * @returns The cookie, or `undefined` if the field does not set one.
 */
export function parseSetCookie(value: string): SetCookie | undefined {
  if (!isFieldValue(value)) return undefined;
  const [pair, ...attributes] = value.split(";");
  const equals = pair.indexOf("=");
  const name = trim(pair.slice(0, Math.max(equals, 0)));
  if (name === "") return undefined;
  const cookie: { -readonly [key in keyof SetCookie]: SetCookie[key] } = {
    name,
    value: trim(pair.slice(equals + 1)),
    secure: false,
    httpOnly: false,
  };
  for (const attribute of attributes) {
    const mark = attribute.indexOf("=");
    const key = trim(mark < 0 ? attribute : attribute.slice(0, mark)).toLowerCase();
    const text = mark < 0 ? "" : trim(attribute.slice(mark + 1));
    if (key === "secure") cookie.secure = true;
    else if (key === "httponly") cookie.httpOnly = true;
    else if (key === "expires" && text !== "") cookie.expires = text;
    else if (key === "max-age" && /^-?[0-9]+$/.test(text)) cookie.maxAge = Number(text);
    else if (key === "domain" && text !== "" && text !== ".") cookie.domain = text.replace(/^\./, "").toLowerCase();
    else if (key === "path") { // section 5.2.4: an invalid path means the default
      if (text.startsWith("/")) cookie.path = text;
      else delete cookie.path;
    } else if (key === "samesite") {
      const sameSite = SAME_SITE.find((one) => one.toLowerCase() === text.toLowerCase());
      if (sameSite !== undefined) cookie.sameSite = sameSite;
      else delete cookie.sameSite;
    }
  }
  return cookie;
}

/**
 * Returns the value of a Set-Cookie field (RFC 6265 section 4.1), with Swoole's order and spelling of the attributes.
 *
 * @param name The name.
 * @param value The value. An empty value deletes the cookie with this name, path and domain.
 * @param attributes The attributes.
 * @param raw Whether the value is sent as it is. Otherwise it is encoded with `encodeCookie()`.
 * @param now The time in seconds since 1970. If given, `expires` is also sent as Max-Age, which does not depend on the client's
 * clock.
 * @throws {TypeError} If the name is empty, or a part has a character that would end it early or that a header cannot contain.
 * @throws {RangeError} If `expires` is not a time from 1970 to 9999.
 */
export function serializeCookie(
  name: string,
  value: string | number,
  attributes: CookieAttributes,
  raw: boolean,
  now?: number,
): string {
  checkName(name);
  const { expires = 0, path, domain, samesite, priority } = attributes;
  const content = textOf(value);
  if (raw) checkPart("value", content);
  if (typeof expires !== "number") throw new TypeError(`Cannot set a cookie: ${explainExpires(expires)}`);
  if (!(expires >= 0 && expires < 253402300800)) throw new RangeError(`Cannot set a cookie: expires is ${expires}`);

  let text = `${name}=`;
  if (content === "") text += "deleted; expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0"; // not all browsers support Max-Age
  else {
    text += raw ? content : encodeCookie(content);
    if (expires > 0) text += `; expires=${formatHttpDate(expires * 1000)}`;
    if (expires > 0 && now !== undefined) text += `; Max-Age=${Math.max(0, Math.floor(expires - now))}`;
  }
  for (const [key, part] of [["path", path], ["domain", domain]]) if (part) text += `; ${key}=${checkPart(key!, part)}`;
  if (attributes.secure) text += "; secure";
  if (attributes.httponly) text += "; HttpOnly";
  if (samesite) text += `; SameSite=${checkPart("samesite", samesite)}`;
  if (priority) text += `; Priority=${checkPart("priority", priority)}`;
  if (attributes.partitioned) text += "; Partitioned";
  return text;
}

/** Returns the value of a cookie as text; numbers are converted, as in PHP. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(value);
  throw new TypeError(`Cannot set a cookie: the value has to be a string or a number, not ${describe(value)}`);
}

function explainExpires(expires: unknown): string {
  const needed = `expires has to be a number of seconds since 1970, not ${describe(expires)}`;
  const isDate = typeof (expires as { getTime?: unknown } | null)?.getTime === "function";
  if (isDate) return `${needed}; use Math.floor(date.getTime() / 1000)`;
  return typeof expires === "object" && expires !== null ? `${needed}; attributes are arguments of their own` : needed;
}

/**
 * Returns the value of a Cookie field (RFC 6265 section 4.2), with values encoded by `encodeCookie()`.
 *
 * @param cookies The names and values.
 * @returns For example `a=b%20c; d=e`; empty if there are no cookies.
 * @throws {TypeError} If a name is empty or has a character that would end it early.
 */
export function cookieHeader(cookies: Readonly<Record<string, string | number>>): string {
  return Object.entries(cookies).map(([name, value]) => `${checkName(name)}=${encodeCookie(textOf(value))}`).join("; ");
}

/**
 * Encodes text like PHP's `rawurlencode()`, but also escapes the tilde: letters, digits, `-`, `_` and `.` stay, everything else
 * becomes escapes of UTF-8. `urlencode()` would encode a space as `+`, which readers that follow RFC 6265 take for a plus sign.
 */
export function encodeCookie(text: string): string {
  // The encoding of forms differs only in the asterisk and the space.
  return new URLSearchParams([["", text]]).toString().slice(1).replaceAll("*", "%2A").replaceAll("+", "%20");
}

/** Decodes percent escapes of UTF-8, and nothing else: `+` and invalid escapes stay. */
export function decodeCookie(value: string): string {
  if (!value.includes("%")) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return new URLSearchParams("=" + value.replaceAll("&", "%26").replaceAll("+", "%2B")).get("") ?? "";
  }
}

/**
 * Parses a Cookie field (RFC 6265 section 5.4).
 *
 * @param field The value of the field.
 * @param most The largest number of cookies; the rest is ignored.
 * @returns The decoded values by name, in an object without a prototype. If a name is repeated, the first value counts: clients
 * send the cookie with the longer path first.
 */
export function parseCookies(field: string, most: number): Record<string, string> {
  const cookies: Record<string, string> = Object.create(null);
  for (let at = 0, count = 0; at <= field.length && count < most; count++) {
    const stop = field.indexOf(";", at);
    const end = stop < 0 ? field.length : stop;
    const equals = field.indexOf("=", at);
    if (equals >= at && equals < end) {
      const name = field.slice(at, equals).trim();
      cookies[name] ??= decodeCookie(field.slice(equals + 1, end).trim());
    }
    at = end + 1;
  }
  return cookies;
}

function checkName(name: string): string {
  if (typeof name !== "string") throw new TypeError(`Cannot set a cookie: the name has to be a string, not ${describe(name)}`);
  if (name === "") throw new TypeError("Cannot set a cookie: the name is empty");
  if (name.includes("=")) throw new TypeError('Cannot set a cookie: the name has a "="');
  return checkPart("name", name);
}

/** Refuses characters that PHP refuses or that a header cannot contain. Allowed is visible ASCII except `,` and `;`. */
function checkPart(part: string, text: string): string {
  if (typeof text !== "string") throw new TypeError(`Cannot set a cookie: the ${part} has to be a string, not ${describe(text)}`);
  const found = /[^\x21-\x7e]|[,;]/u.exec(text);
  if (found !== null) throw new TypeError(`Cannot set a cookie: the ${part} has a ${JSON.stringify(found[0])}`);
  return text;
}

/** The parts of a `Cookie`. */
export interface CookieParts {
  /** The name. */
  name: string;
  /** The value, before encoding. */
  value: string;
  /** The path of the cookie. */
  path: string;
  /** The domain of the cookie, including its subdomains. */
  domain: string;
  /** `Strict`, `Lax` or `None`. */
  sameSite: string;
  /** `Low`, `Medium` or `High`. */
  priority: string;
  /** Whether the value is percent-encoded when it is sent. */
  encode: boolean;
  /** The time of expiry, in seconds since 1970; 0 means at the end of the browser session. */
  expires: number;
  /** Whether the cookie is sent over TLS only. */
  secure: boolean;
  /** Whether the cookie is hidden from scripts. */
  httpOnly: boolean;
  /** Whether each embedding site has its own cookie. */
  partitioned: boolean;
}

/**
 * A cookie for `response.cookie()`, built step by step (Swoole's `Http\\Cookie`). Parts that are not set are not sent.
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
   * Creates an empty cookie.
   *
   * @param encode Whether the value is percent-encoded when it is sent; otherwise it is sent as it is, as with `rawcookie()`.
   */
  constructor(encode = true) {
    this.#parts = emptyParts(encode);
  }

  /** Sets the name. */
  withName(name: string): this {
    this.#parts.name = name;
    return this;
  }

  /** Sets the value. An empty value deletes the cookie with this name, path and domain. */
  withValue(value = ""): this {
    this.#parts.value = value;
    return this;
  }

  /** Sets the time of expiry, in seconds since 1970; 0 means at the end of the browser session. */
  withExpires(expires = 0): this {
    this.#parts.expires = expires;
    return this;
  }

  /** Sets the path of the cookie. */
  withPath(path = "/"): this {
    this.#parts.path = path;
    return this;
  }

  /** Sets the domain of the cookie, including its subdomains; if empty, the cookie is for the host itself only. */
  withDomain(domain = ""): this {
    this.#parts.domain = domain;
    return this;
  }

  /** Sets whether the cookie is sent over TLS only. */
  withSecure(secure = false): this {
    this.#parts.secure = secure;
    return this;
  }

  /** Sets whether the cookie is hidden from scripts. */
  withHttpOnly(httpOnly = false): this {
    this.#parts.httpOnly = httpOnly;
    return this;
  }

  /** Sets whether requests from other sites carry the cookie: `Strict`, `Lax` or `None`. */
  withSameSite(sameSite = ""): this {
    this.#parts.sameSite = sameSite;
    return this;
  }

  /** Sets the priority, which decides how long a browser with too many cookies keeps this one: `Low`, `Medium` or `High`. */
  withPriority(priority = ""): this {
    this.#parts.priority = priority;
    return this;
  }

  /** Sets whether each embedding site has its own cookie; requires `withSecure(true)`. */
  withPartitioned(partitioned = false): this {
    this.#parts.partitioned = partitioned;
    return this;
  }

  /**
   * Returns the value of a Set-Cookie field (RFC 6265 section 4.1).
   *
   * @throws {TypeError} If the name is empty, or a part has a character that a cookie cannot contain.
   * @throws {RangeError} If the time of expiry is not from 1970 to 9999.
   */
  toString(): string {
    const { name, value, sameSite: samesite, httpOnly: httponly, encode, ...attributes } = this.#parts;
    return serializeCookie(name, value, { ...attributes, samesite, httponly }, !encode);
  }

  /** Returns all parts; texts that were not set are empty. */
  toArray(): CookieParts {
    return { ...this.#parts };
  }

  /** Resets all parts; the value is encoded again. */
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
