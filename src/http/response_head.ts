/**
 * The head of an answer (RFC 9112 section 4), with what every answer has.
 *
 * @module
 */

import type { ResponseFields } from "./response_fields.ts";
import { reasonPhrase } from "./status.ts";

const encoder = new TextEncoder();

/** Whether answers of a status have no body (RFC 9110 section 6.4.1). */
export function isBodiless(status: number): boolean {
  return status === 101 || status === 204 || status === 304;
}

/** Whether the program says `Connection: close`: it means it (RFC 9112 section 9.6). */
export function saysClose(fields: ResponseFields): boolean {
  return fields.has("connection") && connectionOptions(fields).some((option) => option.toLowerCase() === "close");
}

/**
 * The head as text.
 *
 * @param status The status.
 * @param reason The reason phrase, if it is not the standard one.
 * @param fields What the program has set.
 * @param cookies The values of Set-Cookie.
 * @param date The value of Date.
 * @param keptAlive Whether the connection stays open.
 * @param hasBody Whether a body follows.
 * @param framing The lines that tell how long it is.
 */
export function headText(
  status: number,
  reason: string | undefined,
  fields: ResponseFields,
  cookies: readonly string[] | undefined,
  date: string,
  keptAlive: boolean,
  hasBody: boolean,
  framing: string,
): string {
  let text = `HTTP/1.1 ${status} ${reason ?? reasonPhrase(status)}\r\n`;
  let server = false;
  let dated = false;
  let connection = false;
  let type = isBodiless(status);
  for (const [name, value, lower] of fields) {
    if (lower === "connection") {
      if (!connection) text += `${name}: ${connectionField(fields, status, keptAlive)}\r\n`;
      connection = true;
      continue;
    }
    server ||= lower === "server";
    dated ||= lower === "date";
    type ||= lower === "content-type";
    if (value === "" && (lower === "server" || lower === "date" || lower === "content-type")) continue;
    // The length of what is sent is known better here; a program's own only counts where it stands for what is not sent
    // (RFC 9110 section 8.6).
    if (lower === "content-length" && (hasBody || status === 101 || status === 204)) continue;
    text += `${name}: ${value}\r\n`;
  }
  if (cookies !== undefined) { for (const cookie of cookies) text += `Set-Cookie: ${cookie}\r\n`; }
  if (!server) text += "Server: sluice\r\n";
  if (!dated) text += `Date: ${date}\r\n`;
  if (!connection) {
    if (fields.has("upgrade")) text += `Connection: ${connectionField(fields, status, keptAlive)}\r\n`;
    else if (status !== 101) text += keptAlive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  }
  if (!type) text += "Content-Type: text/html\r\n";
  return text + framing + "\r\n";
}

/** The line that announces trailers (RFC 9110 section 6.6.2), if there are any. */
export function announceTrailers(trailers: ResponseFields | undefined): string {
  if (trailers === undefined) return "";
  const names = new Set([...trailers].map(([name]) => name));
  return names.size > 0 ? `Trailer: ${[...names].join(", ")}\r\n` : "";
}

/** The values of the program's `Connection`. */
function connectionOptions(fields: ResponseFields): string[] {
  return (fields.get("connection") ?? "").split(",").map((option) => option.trim()).filter((option) => option !== "");
}

/** The value of `Connection`: what will be, whatever the program thinks. */
function connectionField(fields: ResponseFields, status: number, keptAlive: boolean): string {
  const options = connectionOptions(fields).filter((option) => !/^(?:close|keep-alive)$/i.test(option));
  // RFC 9110 section 7.8: who sends Upgrade names it here, so that no proxy passes it on.
  if (fields.has("upgrade") && !options.some((option) => option.toLowerCase() === "upgrade")) options.push("Upgrade");
  if (status !== 101) options.push(keptAlive ? "keep-alive" : "close");
  return options.join(", ");
}

/** A URL with percent escapes for what it may not hold (RFC 3986 section 2). Control characters stay, and are refused. */
export function escapeUrl(url: string): string {
  // deno-lint-ignore no-control-regex
  return url.replace(/[^\x00-\x1f\x21-\x7f]+/g, (text) => {
    return Array.from(encoder.encode(text), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");
  });
}
