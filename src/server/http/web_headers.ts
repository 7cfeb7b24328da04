/**
 * The header fields of a web request, read from what was parsed.
 *
 * @module
 */

import { isToken } from "../../http/request_head.ts";
import { forwardTo, hollow } from "./platform_objects.ts";

/** What light headers are over. */
export interface HeadersSource {
  /** The fields, with names in lower case. */
  readonly header: Readonly<Record<string, string>>;
  /** Whether `platform` has been made. From then on it is the one that counts: a program may change its headers. */
  readonly isPlatform: boolean;
  /** The platform's `Request`, which is made now if there is none yet. */
  readonly platform: Request;
}

const HollowHeaders: new () => object = hollow(Headers);

/** `Headers` that look up fields in what was parsed. For everything else they have those of the platform. */
export class LightHeaders extends HollowHeaders {
  readonly #source: HeadersSource;

  constructor(source: HeadersSource) {
    super();
    this.#source = source;
  }

  get(name: string): string | null {
    const found = this.#find(name);
    return found === undefined ? this.#platform.get(name) : found;
  }

  has(name: string): boolean {
    const found = this.#find(name);
    return found === undefined ? this.#platform.has(name) : found !== null;
  }

  /** Returns a field, `null` if there is none, or `undefined` if only the platform knows. */
  #find(name: string): string | null | undefined {
    const source = this.#source;
    if (source.isPlatform || typeof name !== "string") return undefined;
    const value = source.header[name] ?? source.header[name.toLowerCase()];
    if (value !== undefined) return value;
    return isToken(name) ? null : undefined; // the platform throws
  }

  get #platform(): Headers {
    return this.#source.platform.headers;
  }

  static {
    forwardTo(this.prototype, new Headers(), (headers) => headers.#platform);
  }
}
