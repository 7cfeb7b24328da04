/**
 * The cookies of a client (RFC 6265 section 5).
 *
 * @module
 */

import { MONTHS } from "../http/field_values.ts";
import { cookieHeader, decodeCookie, parseSetCookie, type SetCookie } from "../http/cookies.ts";

/** The maximum number of server cookies a client keeps. The oldest are dropped first. */
const MAX_COOKIES = 50;

/** The maximum size of a name and its value in bytes. Larger cookies are ignored. */
const MAX_SIZE = 4096;

/** Cookies as the program sees them: decoded values by name. */
type ClientCookies = Record<string, string | undefined>;

/** The properties of a request that decide which cookies apply to it. */
export interface CookieScope {
  /** The host, in lower case, without a port. */
  readonly host: string;
  /** The path, without a query. */
  readonly path: string;
  /** Whether the request uses TLS. */
  readonly secure: boolean;
}

/** A cookie set by a server. */
interface KeptCookie {
  readonly name: string;
  /** The value as received. */
  readonly value: string;
  readonly domain: string;
  /** Whether the cookie is for this host only, not for its subdomains. */
  readonly hostOnly: boolean;
  readonly path: string;
  readonly secure: boolean;
  /** The expiry time in milliseconds since 1970. */
  readonly expires: number;
}

/**
 * The cookies set by servers, as received, with their scope. The program sees and changes them as plain names and decoded values.
 * A name whose value the program changed becomes the program's own cookie, sent with all requests.
 */
export class CookieJar {
  #kept: KeptCookie[] = []; // oldest first
  readonly #shown: Map<string, string> = new Map(); // the values visible to the program

  /** Copies the `cookies` of a client into an object without a prototype, which would swallow a cookie named `__proto__`. */
  static bare(cookies: ClientCookies): ClientCookies {
    return Object.assign(Object.create(null), cookies);
  }

  /**
   * Stores a Set-Cookie field.
   *
   * @param field The value of the field, as Latin-1.
   * @param scope The scope of the request.
   * @param cookies The cookies visible to the program; an object without a prototype.
   * @param now The time in milliseconds since 1970.
   */
  store(field: string, scope: CookieScope, cookies: ClientCookies, now: number): void {
    const cookie = parseSetCookie(field);
    if (cookie === undefined || !isAcceptable(cookie, scope)) return;
    this.#adopt(cookies);
    const { name, value, domain = scope.host, path = defaultPath(scope.path), secure, maxAge, expires } = cookie;
    const index = this.#kept.findIndex((other) => other.name === name && other.domain === domain && other.path === path);
    // RFC 6265bis section 5.7: a cookie received over TLS is not overwritten by one that anyone on the network could have forged.
    if (index >= 0 && this.#kept[index].secure && !scope.secure) return;
    const end = maxAge !== undefined ? now + maxAge * 1000 : parseCookieDate(expires ?? "") ?? Infinity; // 0 is a valid time
    if (end <= now) {
      if (index >= 0) this.#kept.splice(index, 1);
      else if (this.#shown.has(name)) return; // the cookie of another path or domain stays
      return this.#show(name, cookies);
    }
    const kept = { name, value, domain, hostOnly: cookie.domain === undefined, path, secure, expires: end };
    if (index >= 0) this.#kept[index] = kept;
    else this.#kept.push(kept);
    this.#shown.set(name, cookies[name] = decodeCookie(value));
    if (this.#kept.length > MAX_COOKIES) this.#show(this.#kept.shift()!.name, cookies);
  }

  /**
   * Returns the value of Cookie for a request; empty if no cookie applies.
   *
   * @param cookies The cookies visible to the program.
   * @param scope The scope of the request.
   * @param now The time in milliseconds since 1970.
   * @throws {TypeError} If a cookie set by the program cannot be sent.
   */
  header(cookies: ClientCookies, scope: CookieScope, now: number): string {
    this.#adopt(cookies);
    for (const { name } of this.#kept.filter(({ expires }) => expires <= now)) {
      this.#kept = this.#kept.filter((cookie) => cookie.name !== name || cookie.expires > now);
      this.#show(name, cookies);
    }
    const pairs: { readonly text: string; readonly path: string }[] = [];
    for (const [name, value] of Object.entries(cookies)) {
      if (!this.#shown.has(name) && value !== undefined) pairs.push({ text: cookieHeader({ [name]: value }), path: "/" });
      for (const cookie of this.#kept) {
        if (cookie.name === name && isFor(cookie, scope)) pairs.push({ text: `${name}=${cookie.value}`, path: cookie.path });
      }
    }
    return pairs.sort((a, b) => b.path.length - a.path.length).map(({ text }) => text).join("; ");
  }

  /** Forgets the server cookies whose names the program has deleted or changed. */
  #adopt(cookies: ClientCookies): void {
    for (const [name, value] of this.#shown) {
      if (Object.hasOwn(cookies, name) && cookies[name] === value) continue;
      this.#shown.delete(name);
      this.#kept = this.#kept.filter((cookie) => cookie.name !== name);
    }
  }

  /** Updates the program's view of a name from the newest kept cookie of that name. */
  #show(name: string, cookies: ClientCookies): void {
    const cookie = this.#kept.findLast((cookie) => cookie.name === name);
    if (cookie === undefined) {
      this.#shown.delete(name);
      delete cookies[name];
    } else {
      this.#shown.set(name, cookies[name] = decodeCookie(cookie.value));
    }
  }
}

/** Reports whether a server is allowed to set a cookie. */
function isAcceptable({ name, value, domain, path, secure }: SetCookie, scope: CookieScope): boolean {
  if (name.length + value.length > MAX_SIZE) return false;
  // A domain of one label, such as `com`, is shared with other hosts.
  if (domain !== undefined && domain !== scope.host && !(domain.includes(".") && isBelow(scope.host, domain))) return false;
  if (secure && !scope.secure) return false;
  const prefix = /^__(secure|host)-/i.exec(name)?.[1].toLowerCase(); // RFC 6265bis section 4.1.3
  return prefix === undefined || (secure && (prefix === "secure" || (domain === undefined && path === "/")));
}

/** Reports whether a request carries a cookie (RFC 6265 section 5.4). */
function isFor({ domain, hostOnly, path, secure }: KeptCookie, scope: CookieScope): boolean {
  if (secure && !scope.secure) return false;
  if (domain !== scope.host && (hostOnly || !isBelow(scope.host, domain))) return false;
  return scope.path === path || (scope.path.startsWith(path) && (path.endsWith("/") || scope.path[path.length] === "/"));
}

/** Reports whether a host is a subdomain of a domain. IP addresses never are. */
function isBelow(host: string, domain: string): boolean {
  return host.endsWith(`.${domain}`) && !/^[0-9.]+$|:/.test(host);
}

/** Returns the default path of a cookie: the directory of the request (RFC 6265 section 5.1.4). */
function defaultPath(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0)) || "/";
}

const months = MONTHS.map((name) => name.toLowerCase());

/** Parses a cookie date, which comes in many formats (RFC 6265 section 5.1.1). Returns `undefined` if it is invalid. */
function parseCookieDate(text: string): number | undefined {
  let time: number[] | undefined, day: number | undefined, month: number | undefined, year: number | undefined;
  for (const token of text.split(/[\t -/;-@[-`{-~]+/)) {
    const clock = time === undefined ? /^([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])/.exec(token) : null;
    const name = months.indexOf(token.slice(0, 3).toLowerCase());
    if (clock !== null) time = clock.slice(1).map(Number);
    else if (day === undefined && /^[0-9]{1,2}(?![0-9])/.test(token)) day = parseInt(token);
    else if (month === undefined && name >= 0) month = name;
    else if (year === undefined && /^[0-9]{2,4}(?![0-9])/.test(token)) year = parseInt(token);
  }
  if (time === undefined || day === undefined || month === undefined || year === undefined) return undefined;
  if (year < 100) year += year < 70 ? 2000 : 1900;
  const [hours, minutes, seconds] = time;
  if (day < 1 || day > 31 || year < 1601 || hours > 23 || minutes > 59 || seconds > 59) return undefined;
  return Date.UTC(year, month, day, hours, minutes, seconds);
}
