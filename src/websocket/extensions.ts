/**
 * The grammar of `Sec-WebSocket-Extensions` (RFC 6455 section 9.1).
 *
 * @module
 */

import { isTokenByte } from "../http/request_head.ts";

/** A parameter of an extension, with an optional value. */
export interface ExtensionParameter {
  /** The name, as written. */
  readonly name: string;
  /** The value without quotes and escapes, or `undefined`. It is never empty. */
  readonly value: string | undefined;
}

/** An extension that a client offers or a server chooses. */
export interface Extension {
  /** The name, as written. */
  readonly name: string;
  /** The parameters in their order, including repeated and unknown ones. */
  readonly parameters: readonly ExtensionParameter[];
}

const TAB = 9, SPACE = 32, QUOTE = 34, COMMA = 44, SEMICOLON = 59, EQUALS = 61, BACKSLASH = 92;

/** A position in a header. Every character is read a fixed number of times. */
class Cursor {
  #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  skipSpace(): void {
    for (;; this.#at++) {
      const c = this.#text.charCodeAt(this.#at);
      if (c !== SPACE && c !== TAB) return;
    }
  }

  /** Takes a character, if it is next, and the space on both sides of it. */
  take(character: number): boolean {
    this.skipSpace();
    if (this.#text.charCodeAt(this.#at) !== character) return false;
    this.#at++;
    this.skipSpace();
    return true;
  }

  /** Takes the next token. Returns an empty string if there is no token. */
  token(): string {
    const start = this.#at;
    while (isTokenByte(this.#text.charCodeAt(this.#at))) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  /** Takes the value after an equals sign. Returns an empty string if it is malformed: a quoted value must be a token too. */
  value(): string {
    if (this.#text.charCodeAt(this.#at) !== QUOTE) return this.token();
    let value = "";
    for (this.#at++;; this.#at++) {
      let c = this.#text.charCodeAt(this.#at);
      if (c === QUOTE) break;
      if (c === BACKSLASH) c = this.#text.charCodeAt(++this.#at);
      if (!isTokenByte(c)) return ""; // also at the end of the text
      value += String.fromCharCode(c);
    }
    this.#at++;
    return value;
  }
}

/**
 * Parses a `Sec-WebSocket-Extensions` header. Join several headers with commas.
 *
 * @param header The value of the header.
 * @returns At least one extension, in the order of the header, or `undefined` if the header is malformed.
 */
export function parseExtensions(header: string): Extension[] | undefined {
  const cursor = new Cursor(header);
  const extensions: Extension[] = [];
  for (;;) {
    while (cursor.take(COMMA)); // a list may have empty elements
    if (cursor.atEnd) return extensions.length > 0 ? extensions : undefined;
    const name = cursor.token();
    if (name === "") return undefined;
    const parameters: ExtensionParameter[] = [];
    while (cursor.take(SEMICOLON)) {
      const parameter = cursor.token();
      if (parameter === "") return undefined;
      let value: string | undefined;
      if (cursor.take(EQUALS)) {
        value = cursor.value();
        if (value === "") return undefined;
      }
      parameters.push({ name: parameter, value });
    }
    extensions.push({ name, parameters });
    if (!cursor.atEnd && !cursor.take(COMMA)) return undefined;
  }
}
