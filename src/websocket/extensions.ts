/**
 * The grammar of `Sec-WebSocket-Extensions` (RFC 6455 section 9.1).
 *
 * @module
 */

/** A parameter of an extension: a name, and a value if it has one. */
export interface ExtensionParameter {
  /** The name, as it was written. */
  readonly name: string;
  /** The value without quotes and escapes, or `undefined`. It is never empty. */
  readonly value: string | undefined;
}

/** One extension that a client offers or a server answers. */
export interface Extension {
  /** The name, as it was written. */
  readonly name: string;
  /** The parameters in their order, those that occur twice or that nobody knows included. */
  readonly parameters: readonly ExtensionParameter[];
}

/** Characters of a token (RFC 9110 section 5.6.2): 1, others: 0. */
const TOKEN = new Uint8Array(128);
for (const c of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") TOKEN[c.charCodeAt(0)] = 1;

const TAB = 9, SPACE = 32, QUOTE = 34, COMMA = 44, SEMICOLON = 59, EQUALS = 61, BACKSLASH = 92;

/** A place in a header. Every character is looked at a fixed number of times. */
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

  /** Takes one character, if it comes next, and the space on both sides of it. */
  take(character: number): boolean {
    this.skipSpace();
    if (this.#text.charCodeAt(this.#at) !== character) return false;
    this.#at++;
    this.skipSpace();
    return true;
  }

  /** The token that comes next; empty if there is none. */
  token(): string {
    const start = this.#at;
    while (TOKEN[this.#text.charCodeAt(this.#at)] === 1) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  /** The value behind an equals sign; empty if it is malformed: a value in quotes has to be a token too. */
  value(): string {
    if (this.#text.charCodeAt(this.#at) !== QUOTE) return this.token();
    let value = "";
    for (this.#at++;; this.#at++) {
      let c = this.#text.charCodeAt(this.#at);
      if (c === QUOTE) break;
      if (c === BACKSLASH) c = this.#text.charCodeAt(++this.#at);
      if (TOKEN[c] !== 1) return ""; // also at the end of the text
      value += String.fromCharCode(c);
    }
    this.#at++;
    return value;
  }
}

/**
 * Reads a `Sec-WebSocket-Extensions` header. Several headers are to be joined with commas.
 *
 * @param header The value of the header.
 * @returns At least one extension, in the order of the header, or `undefined` when it is malformed.
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
