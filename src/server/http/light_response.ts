/**
 * Web responses that cost little until a program asks for what only the platform's `Response` can do.
 *
 * @module
 */

import { isFieldValue, isToken } from "../../http/request_head.ts";
import { isBodiless } from "../../http/response_head.ts";
import { forwardTo, hollow } from "./light.ts";

type FieldList = readonly (readonly [name: string, value: string])[];

/** What a response is made of: as much of a `Response` as is needed to send its head, and its body. */
export class ResponseParts {
  readonly status: number;
  readonly statusText: string = "";
  readonly body: string | Uint8Array | null;
  readonly #fields: FieldList;

  constructor(status: number, fields: FieldList, body: string | Uint8Array | null) {
    this.status = status;
    this.#fields = fields;
    this.body = body;
  }

  /** The header fields. */
  get headers(): Pick<Headers, "forEach"> {
    return this as unknown as Headers;
  }

  forEach(callback: (value: string, name: string) => void): void {
    for (const [name, value] of this.#fields) callback(value, name);
  }
}

/** Returns the parts of a response; `undefined` if only the platform can make it, or say what is wrong with it. */
function partsOf(body: unknown, init: ResponseInit): ResponseParts | undefined {
  const { headers = {}, status = 200, statusText = "" } = init;
  const isText = typeof body === "string";
  if (!isText && body !== null && !(body instanceof Uint8Array && body.buffer instanceof ArrayBuffer)) return undefined;
  if (typeof status !== "number" || !(status >= 200 && status <= 599) || status % 1 !== 0 || statusText !== "") return undefined;
  if (body !== null && (isBodiless(status) || status === 205)) return undefined;
  const given: unknown = Array.isArray(headers) || Object.getPrototypeOf(headers) !== Object.prototype
    ? headers
    : Object.entries(headers);
  if (!Array.isArray(given)) return undefined;
  const fields: [string, string][] = [];
  let hasType = false;
  for (const field of given) {
    if (!Array.isArray(field) || field.length !== 2) return undefined;
    const [name, value]: unknown[] = field;
    if (typeof name !== "string" || typeof value !== "string" || !isToken(name)) return undefined;
    if (!isFieldValue(value) || /^[ \t]|[ \t]$/.test(value)) return undefined;
    const lower = name.toLowerCase();
    if (fields.some(([other]) => other === lower)) return undefined; // they are joined, or not
    hasType ||= lower === "content-type";
    fields.push([lower, value]);
  }
  if (isText && !hasType) fields.push(["content-type", "text/plain;charset=UTF-8"]);
  return new ResponseParts(status, fields, body instanceof Uint8Array ? new Uint8Array(body) : body as string | null);
}

const NO_INIT: ResponseInit = {};

class Light extends hollow(Response) {
  readonly #parts: ResponseParts | undefined;
  #platform: Response | undefined = undefined; // once there is one, it is the one that counts
  #isUsed = false;

  constructor(body?: ConstructorParameters<typeof Response>[0], init?: ResponseInit) {
    super();
    this.#parts = partsOf(body ?? null, init ?? NO_INIT);
    if (this.#parts === undefined) this.#platform = new Response(body, init);
  }

  static json(data: unknown, init?: ResponseInit): Response {
    const text = JSON.stringify(data);
    const { headers = {} } = init ?? NO_INIT;
    const isPlain = typeof text === "string" && Object.getPrototypeOf(headers) === Object.prototype;
    if (!isPlain || Object.keys(headers).some((name) => name.toLowerCase() === "content-type")) return Response.json(data, init);
    return new Light(text, { ...init, headers: { "content-type": "application/json", ...headers } }) as unknown as Response;
  }

  /** Returns the parts of a response of this class and marks it as used; `undefined` if the platform's counts. */
  static take(response: object): ResponseParts | undefined {
    if (!(#parts in response) || response.#platform !== undefined || response.#isUsed) return undefined;
    if (response.#parts!.body !== null) response.#isUsed = true;
    return response.#parts;
  }

  get #real(): Response {
    if (this.#platform !== undefined) return this.#platform;
    const { body, headers, status } = this.#parts!;
    const copy = new Headers();
    headers.forEach((value, name) => copy.append(name, value));
    const platform = this.#platform = new Response(body as ConstructorParameters<typeof Response>[0], { headers: copy, status });
    if (this.#isUsed) platform.text().catch(() => {});
    return platform;
  }

  get status(): number {
    return (this.#platform ?? this.#parts!).status;
  }

  get ok(): boolean {
    return this.status <= 299;
  }

  get bodyUsed(): boolean {
    return this.#platform?.bodyUsed ?? this.#isUsed;
  }

  /** Shows a response as that of the platform. */
  [Symbol.for("nodejs.util.inspect.custom")](): Response {
    return this.#real;
  }

  static {
    forwardTo(this.prototype, new Response("a", { headers: [["a", "b"]] }), (response) => response.#real);
  }
}

/** Returns the parts of a `LightResponse`, whose body is used then; `undefined` for any other response. */
export const takeParts: (response: object) => ResponseParts | undefined = Light.take;

/** The constructor of a `LightResponse`, and how one is made from JSON. */
export interface LightResponseConstructor {
  /**
   * Creates a response.
   *
   * @param body The body, as for `Response`. Text and bytes are kept as they are.
   * @param init The status and the header fields, as for `Response`.
   * @throws {TypeError} As `Response` does.
   * @throws {RangeError} As `Response` does.
   */
  new (body?: ConstructorParameters<typeof Response>[0], init?: ResponseInit): Response;
  /** Creates a response with a value as JSON, as `Response.json()` does. */
  json(data: unknown, init?: ResponseInit): Response;
}

/**
 * A `Response` for what `fromFetch()` runs, which makes one of the platform only when a program asks for what this one does not
 * know: all members are there, and `instanceof Response` holds. In Node it takes a tenth of the time of `new Response(text)`, which
 * makes a stream of each text. Only `fromFetch()` can send it in every runtime: other servers may read what only the platform's
 * own responses have.
 *
 * @example
 * ```ts
 * import { fromFetch, HttpServer, LightResponse } from "@sluice/server";
 *
 * const server = new HttpServer("127.0.0.1", 0);
 * server.on("request", fromFetch(() => new LightResponse("Hello", { headers: { "Content-Type": "text/plain" } })));
 * await server.start();
 * const response = await fetch(`http://127.0.0.1:${server.port}/`);
 * console.assert(await response.text() === "Hello");
 * server.shutdown();
 * ```
 */
export const LightResponse: LightResponseConstructor = Light as unknown as LightResponseConstructor;
