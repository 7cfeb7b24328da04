/**
 * What cannot be equal in a recording and in its replay, and how both sides are made comparable. Nothing else is adjusted:
 * header names are compared letter by letter and in their order.
 *
 * - `Date` tells the time: in the recordings it is 1 January 1970 already, ours is set to that.
 * - `Server` and the page for status 400 tell the name of the software.
 * - `Content-Type: text/html`, which Swoole sends by default, has a charset here, because bodies that are text are UTF-8.
 * - Warnings that PHP raises have no counterpart: a method here returns `false` or throws.
 *
 * @module
 */

/** One byte per character. */
export function fromLatin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** What Swoole sent, in our name. */
export function theirAnswer(text: string): string {
  return text.replaceAll("Server: swoole-http-server\r\n", "Server: sluice\r\n")
    .replaceAll("Powered by Swoole", "Powered by Sluice")
    .replaceAll("Content-Type: text/html\r\n", "Content-Type: text/html; charset=utf-8\r\n");
}

/** What our server sent, at the recordings' time. */
export function ourAnswer(text: string): string {
  return text.replaceAll(
    /\r\nDate: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT\r\n/g,
    "\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
  );
}

/** The events of a recording that can happen here. */
export function ourEvents(events: string[]): string[] {
  return events.filter((event) => !event.startsWith("php_error("));
}
