/**
 * `BaseClient`: what a client is told before it asks, and what it knows of the last answer.
 *
 * @module
 */

import { cookieHeader } from "../http/cookies.ts";
import { checkClientSettings, type HttpClientSettings } from "./client_settings.ts";
import { type RequestData, RequestDraft } from "./request_draft.ts";

const decoder = new TextDecoder();
const NO_BODY = new Uint8Array(0);

/** What an `HttpClient` is told before it asks, and what it knows of the last answer. */
export abstract class BaseClient {
  /** The host; `unix:` and a path for a unix socket. */
  readonly host: string;
  /** The port. */
  readonly port: number;
  /** Whether to speak TLS. */
  readonly ssl: boolean;
  /** The settings given to `set()` so far. */
  readonly setting: HttpClientSettings = {};
  /** The status of the last answer; negative when there was none: -1 not connected, -2 too late, -3 reset by the server. */
  statusCode = 0;
  /** The header fields of the last answer, names in lower case. */
  headers: Record<string, string> = {};
  /** The cookies that answers have set, and `setCookies()`; they are sent with each request. */
  cookies: Record<string, string> = {};
  /** The Set-Cookie fields of the last answer. */
  set_cookie_headers: readonly string[] = [];
  /** The octets of the last answer's body. */
  bytes: Uint8Array = NO_BODY;

  readonly #draft: RequestDraft = new RequestDraft();
  #text = "";
  #textOf: Uint8Array = NO_BODY; // what it was decoded from

  /**
   * Makes a client; it connects with the first request.
   *
   * @param host The host, a name or an IP address; `unix:` and a path for a unix socket.
   * @param port The port; 0 for 80, or 443 with TLS.
   * @param ssl Whether to speak TLS.
   * @throws {TypeError} If the host is empty.
   * @throws {RangeError} If the port cannot be.
   */
  constructor(host: string, port = 0, ssl = false) {
    if (typeof host !== "string" || host === "" || host === "unix:" || !/^[\x21-\x7e]+$/.test(host)) {
      throw new TypeError(`Cannot make a client: ${JSON.stringify(host)} is no host`);
    }
    if (!Number.isInteger(port) || port < 0 || port > 65535) {
      throw new RangeError(`Cannot make a client: port ${port} is not in the range 0 to 65535`);
    }
    this.host = host;
    this.port = port !== 0 ? port : ssl ? 443 : 80;
    this.ssl = ssl;
  }

  // ---- setting up ---------------------------------------------------------------------------------------------------

  /**
   * Sets settings, for the next connection. Later calls add to earlier ones.
   *
   * @returns `true`; `false` when there is nothing in it.
   * @throws {TypeError} For a key that is unknown or a value of the wrong type.
   * @throws {RangeError} For a number out of range.
   */
  set(settings: HttpClientSettings): boolean {
    checkClientSettings(settings);
    Object.assign(this.setting, settings);
    return Object.keys(settings).length > 0;
  }

  /** Sets the method of the next request; without it that is GET, or POST with data. */
  setMethod(method: string): boolean {
    this.#draft.setMethod(method);
    return true;
  }

  /**
   * Sets the header fields of all requests from now on; they replace those of an earlier call.
   *
   * @throws {TypeError} If a name is no token, a value has a control character, or the field is the client's own.
   */
  setHeaders(headers: Readonly<Record<string, string | number>>): boolean {
    this.#draft.setHeaders(headers);
    return true;
  }

  /** Sets `Authorization` for all requests from now on (RFC 7617). */
  setBasicAuth(username: string, password: string): boolean {
    this.#draft.setBasicAuth(username, password);
    return true;
  }

  /** Sets the cookies of all requests from now on. The values are encoded as PHP does. */
  setCookies(cookies: Readonly<Record<string, string>>): boolean {
    cookieHeader(cookies); // throws if it cannot be sent
    this.cookies = { ...cookies };
    return true;
  }

  /**
   * Sets the body of the next request.
   *
   * @param data Text, octets, or the fields of a form.
   */
  setData(data: RequestData): boolean {
    this.#draft.setData(data);
    return true;
  }

  // ---- the last answer ----------------------------------------------------------------------------------------------

  /** The last answer's body as text, decoded from UTF-8; `bytes` has its octets. */
  get body(): string {
    if (this.#textOf !== this.bytes) {
      this.#text = decoder.decode(this.bytes);
      this.#textOf = this.bytes;
    }
    return this.#text;
  }

  /** The same as `statusCode`; `false` before the first request. */
  getStatusCode(): number | false {
    return this.statusCode !== 0 && this.statusCode;
  }

  /** The same as `headers`. */
  getHeaders(): Record<string, string> {
    return this.headers;
  }

  /** The same as `cookies`. */
  getCookies(): Record<string, string> {
    return this.cookies;
  }

  /** The same as `body`. */
  getBody(): string {
    return this.body;
  }

  /** The next request. @internal */
  protected get draft(): RequestDraft {
    return this.#draft;
  }
}
