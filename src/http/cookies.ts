/**
 * Cookies on the wire (RFC 6265), spelled as Swoole and PHP do.
 *
 * @module
 */

import { isFieldValue, trim } from "./head.ts";

/** What a Set-Cookie field says. */
export interface SetCookie {
  /** The name. */
  readonly name: string;
  /** The value as sent; `decodeCookie()` makes the text of it. */
  readonly value: string;
  /** The path; without one, the browser takes the request's folder. */
  readonly path?: string;
  /** The domain, in lower case, without a dot in front; without one, the cookie is for the one host. */
  readonly domain?: string;
  /** The date as sent. */
  readonly expires?: string;
  /** Seconds to live, 0 or less to delete; counts more than `expires`. */
  readonly maxAge?: number;
  /** For TLS only. */
  readonly secure: boolean;
  /** Not for scripts. */
  readonly httpOnly: boolean;
  /** Whether other sites' requests carry it. */
  readonly sameSite?: "Strict" | "Lax" | "None";
}

/** The attributes of a cookie to be set, with Swoole's names. */
export interface CookieAttributes {
  /** When it ends, seconds since 1970; 0, the default, ends it with the browser. */
  readonly expires?: number;
  /** The path it is for. */
  readonly path?: string;
  /** The domain it is for, with all below it. */
  readonly domain?: string;
  /** For TLS only. */
  readonly secure?: boolean;
  /** Not for scripts. */
  readonly httponly?: boolean;
  /** `Strict`, `Lax` or `None`. */
  readonly samesite?: string;
  /** `Low`, `Medium` or `High`. */
  readonly priority?: string;
  /** One cookie for each site that embeds this one; needs `secure`. */
  readonly partitioned?: boolean;
}

const SAME_SITE = ["Strict", "Lax", "None"] as const;

/**
 * Reads the value of a Set-Cookie field as a browser does (RFC 6265 section 5.2): of an attribute that is there twice the last
 * one counts, and what is unknown or malformed is passed over.
 *
 * @param value The value of one field.
 * @returns The cookie, or `undefined` for a field that sets none.
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
    else if (key === "path") { // section 5.2.4: one that is no path stands for the default one
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
 * The value of a Set-Cookie field (RFC 6265 section 4.1), with Swoole's order and spelling of the attributes.
 *
 * @param name The name.
 * @param value The value. An empty one deletes the cookie that has this name, path and domain.
 * @param attributes What else is to be said of it.
 * @param raw Whether the value is sent as it is. Otherwise it is encoded as `encodeCookie()` does.
 * @param now The time in seconds since 1970. With it, `expires` is also sent as Max-Age, which needs no right clock over there.
 * @throws {TypeError} If a part has a character that would end it early or that a header cannot hold, or the name is empty.
 * @throws {RangeError} If `expires` is no time from 1970 to 9999.
 */
export function serializeCookie(name: string, value: string, attributes: CookieAttributes, raw: boolean, now?: number): string {
  checkName(name);
  const { expires = 0, path, domain, samesite, priority } = attributes;
  if (raw) checkPart("value", value);
  if (!(expires >= 0 && expires < 253402300800)) throw new RangeError(`Cannot set a cookie: expires is ${expires}`);

  let text = `${name}=`;
  if (value === "") text += "deleted; expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0"; // not all browsers know Max-Age
  else {
    text += raw ? value : encodeCookie(value);
    if (expires > 0) text += `; expires=${httpDate(expires)}`;
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

/** Tells whether a cookie can have this name: it is not empty and nothing in it would end it early. */
export function isCookieName(name: string): boolean {
  try {
    checkName(name);
    return true;
  } catch {
    return false;
  }
}

/**
 * The value of a Cookie field (RFC 6265 section 4.2), the values encoded as `encodeCookie()` does.
 *
 * @param cookies Names and values.
 * @returns For example `a=b%20c; d=e`; empty without cookies.
 * @throws {TypeError} If a name is empty or has a character that would end it early.
 */
export function cookieHeader(cookies: Readonly<Record<string, string>>): string {
  return Object.entries(cookies).map(([name, value]) => `${checkName(name)}=${encodeCookie(value)}`).join("; ");
}

/**
 * Text as PHP's `rawurlencode()` writes it, the tilde excepted: letters, digits, `-`, `_` and `.` stay, all else is UTF-8 in
 * hexadecimal. Not as `urlencode()`, which makes a blank a `+`: whoever reads cookies as RFC 6265 has them gets a plus sign then.
 */
export function encodeCookie(text: string): string {
  // What forms are encoded with differs in the star and the blank only.
  return new URLSearchParams([["", text]]).toString().slice(1).replaceAll("*", "%2A").replaceAll("+", "%20");
}

/** Decodes percent escapes of UTF-8, and nothing else: `+` stays, and so does an escape that is none. */
export function decodeCookie(value: string): string {
  if (!value.includes("%")) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return new URLSearchParams("=" + value.replaceAll("&", "%26").replaceAll("+", "%2B")).get("") ?? "";
  }
}

/**
 * Reads a Cookie field (RFC 6265 section 5.4).
 *
 * @param field Its value.
 * @param most How many cookies are taken; the others are left out.
 * @returns The values, decoded, by name, without a prototype. Of a name that is there twice the first counts: clients send the
 * cookie for the longer path first.
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
  if (name === "") throw new TypeError("Cannot set a cookie: the name is empty");
  if (name.includes("=")) throw new TypeError('Cannot set a cookie: the name has a "="');
  return checkPart("name", name);
}

/** Refuses what PHP does, and what a header cannot hold: only visible ASCII, no `,` and no `;`. */
function checkPart(part: string, text: string): string {
  const found = /[^\x21-\x7e]|[,;]/u.exec(text);
  if (found !== null) throw new TypeError(`Cannot set a cookie: the ${part} has a ${JSON.stringify(found[0])}`);
  return text;
}

const DAYS = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A time in seconds since 1970 as a date of HTTP (RFC 9110 section 5.6.7). */
function httpDate(seconds: number): string {
  const days = Math.floor(seconds / 86400);
  let year = 1970;
  let month = 0;
  let day = days; // of the year, then of the month, from 0
  for (; day >= 365 + leapDay(year); year++) day -= 365 + leapDay(year);
  const lengths = [31, 28 + leapDay(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  for (; day >= lengths[month]; month++) day -= lengths[month];
  const two = (number: number) => String(Math.floor(number)).padStart(2, "0");
  const time = `${two((seconds / 3600) % 24)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${DAYS[days % 7]}, ${two(day + 1)} ${MONTHS[month]} ${year} ${time} GMT`;
}

function leapDay(year: number): number {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 1 : 0;
}
