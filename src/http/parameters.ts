/**
 * Header values with parameters: `form-data; name="a"; filename="b.txt"` (RFC 9110 section 5.6.6).
 *
 * @module
 */

import { isToken } from "./head.ts";

/** A value with its parameters. */
export interface Parametrised {
  /** What stands in front of the first semicolon, in lower case. */
  readonly value: string;
  /** The parameters; names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * Reads a header value with parameters.
 *
 * @param text The value. In quoted texts a backslash escapes a quote and a backslash, and stands for itself otherwise, as PHP has
 * it: browsers send backslashes in file names as they are.
 * @returns `undefined` when it is malformed, or when a parameter is there twice.
 */
export function parseParameters(text: string): Parametrised | undefined {
  const first = text.indexOf(";");
  const value = (first < 0 ? text : text.slice(0, first)).trim().toLowerCase();
  const parameters = new Map<string, string>();
  for (let at = first; at >= 0 && at < text.length;) {
    at = skipBlanks(text, at + 1); // behind a semicolon
    if (at >= text.length || text[at] === ";") continue; // an empty one
    const equals = text.indexOf("=", at);
    if (equals < 0) return undefined;
    const name = text.slice(at, equals).trim().toLowerCase();
    if (!isToken(name) || parameters.has(name)) return undefined;
    at = skipBlanks(text, equals + 1);
    if (text[at] !== '"') {
      const end = text.indexOf(";", at);
      parameters.set(name, text.slice(at, end < 0 ? text.length : end).trim());
      at = end;
      continue;
    }
    let content = "";
    for (at++; at < text.length && text[at] !== '"'; at++) {
      if (text[at] === "\\" && (text[at + 1] === '"' || text[at + 1] === "\\")) at++;
      content += text[at];
    }
    parameters.set(name, content);
    if (at >= text.length) return undefined; // not closed
    at = skipBlanks(text, at + 1);
    if (at < text.length && text[at] !== ";") return undefined;
  }
  return { value, parameters };
}

function skipBlanks(text: string, at: number): number {
  while (text[at] === " " || text[at] === "\t") at++;
  return at;
}

/**
 * The boundary of a multipart body.
 *
 * @param contentType The value of Content-Type.
 * @returns `undefined` when there is none, or none of 1 to 70 printable characters (RFC 2046 section 5.1.1).
 */
export function boundaryOf(contentType: string | undefined): string | undefined {
  const boundary = parseParameters(contentType ?? "")?.parameters.get("boundary");
  return boundary !== undefined && /^[ -~]{0,69}[!-~]$/.test(boundary) ? boundary : undefined;
}
