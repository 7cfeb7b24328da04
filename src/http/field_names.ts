/**
 * The names of common header fields.
 *
 * @module
 */

/** The names in lower case, consisting of letters and hyphens only. */
const NAMES = [
  ...["host", "connection", "user-agent", "accept", "accept-encoding", "accept-language", "cache-control", "cookie", "pragma"],
  ...["content-type", "content-length", "content-encoding", "content-disposition", "transfer-encoding", "expect", "te"],
  ...["origin", "referer", "authorization", "upgrade", "upgrade-insecure-requests", "priority", "dnt", "range", "if-range"],
  ...["if-none-match", "if-match", "if-modified-since", "if-unmodified-since", "sec-websocket-key", "sec-websocket-version"],
  ...["sec-websocket-extensions", "sec-websocket-protocol", "sec-websocket-accept", "sec-fetch-site", "sec-fetch-mode"],
  ...["sec-fetch-dest", "sec-fetch-user", "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "x-requested-with"],
  ...["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded", "via", "traceparent", "date"],
  ...["server", "set-cookie", "location", "vary", "etag", "last-modified", "age", "keep-alive", "accept-ranges"],
];

/** The names by length, first and last letter. */
const BY_LETTERS: (readonly string[] | undefined)[] = [];
for (const name of NAMES) {
  const slot = slotOf(name.length, name.charCodeAt(0), name.charCodeAt(name.length - 1));
  BY_LETTERS[slot] = [...BY_LETTERS[slot] ?? [], name];
}

function slotOf(length: number, first: number, last: number): number {
  return ((length & 31) << 10) | ((first & 31) << 5) | (last & 31);
}

/**
 * Returns the name of a field in lower case. For a common name it returns the known string instead of a new one, which an object
 * would have to compare with its keys.
 *
 * @param text The text that contains the name.
 * @param start The index of its first character.
 * @param end The index after its last character. The name must be a token.
 */
export function fieldName(text: string, start: number, end: number): string {
  const known = BY_LETTERS[slotOf(end - start, text.charCodeAt(start), text.charCodeAt(end - 1))];
  if (known !== undefined) { for (const name of known) if (isSame(text, start, end, name)) return name; }
  return text.slice(start, end).toLowerCase();
}

/**
 * Compares two names, ignoring case. Setting bit 5 maps only letters and the hyphen, among the characters of a token, to
 * characters of known names.
 */
function isSame(text: string, start: number, end: number, name: string): boolean {
  if (end - start !== name.length) return false;
  for (let i = 0; i < name.length; i++) if ((text.charCodeAt(start + i) | 0x20) !== name.charCodeAt(i)) return false;
  return true;
}
