/**
 * Web requests that cost little until a program asks for what only the platform's `Request` can do.
 *
 * @module
 */

import { bodyDecoder } from "../../values.ts";
import { sliceBytes } from "../../transport/bytes.ts";
import { HttpRequest } from "./http_request.ts";
import { isToken } from "../../http/request_head.ts";
import { forwardTo, hollow } from "./light.ts";

/** What light headers are over. */
interface HeadersSource {
  /** The fields, with names in lower case. */
  readonly header: Readonly<Record<string, string>>;
  /** Whether `platform` has been made. From then on it is the one that counts: a program may change its headers. */
  readonly isPlatform: boolean;
  /** The platform's `Request`, which is made now if there is none yet. */
  readonly platform: Request;
}

const HollowHeaders: new () => object = hollow(Headers);

/** `Headers` that look up fields in what was parsed. For everything else they have those of the platform. */
class LightHeaders extends HollowHeaders {
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

/** What a web request is made of, and the platform's `Request` made from it when it is needed. */
export class WebRequestParts {
  /** The header fields, as the platform's `Request` gets them. */
  readonly header: Readonly<Record<string, string>>;
  readonly url: string;
  readonly method: string;
  readonly #request: HttpRequest;
  readonly #streams: boolean;
  #platform: Request | undefined = undefined;
  #isRead = false;

  /**
   * @param header The header fields, with names in lower case.
   * @param url The whole URL, as the platform would write it.
   * @param method The method, as the platform would write it.
   * @param streams Whether the body is read while it arrives.
   */
  constructor(
    request: HttpRequest,
    header: Readonly<Record<string, string>>,
    url: string,
    method: string,
    streams: boolean,
  ) {
    this.header = header;
    this.url = url;
    this.method = method;
    this.#request = request;
    this.#streams = streams;
  }

  get signal(): AbortSignal {
    return this.#request.signal;
  }

  /** The platform's `Request`. Once there is one, it is the one that knows the body and the headers. */
  get platform(): Request {
    return this.#platform ??= this.#makePlatform();
  }

  /** Whether there is a `Request` of the platform. */
  get isPlatform(): boolean {
    return this.#platform !== undefined;
  }

  /** Whether the body was read. */
  get isRead(): boolean {
    return this.#platform?.bodyUsed ?? this.#isRead;
  }

  /** Whether there is a body at all. */
  get hasBody(): boolean {
    return this.#allowsBody && (this.#streams || this.#request.rawContent().length > 0);
  }

  get #allowsBody(): boolean {
    return this.method !== "GET" && this.method !== "HEAD";
  }

  /** Returns the body and marks it as read; `undefined` if only the platform can read it. */
  takeBody(): Uint8Array | undefined {
    if (this.#platform !== undefined || this.#isRead || this.#streams) return undefined;
    if (!this.hasBody) return new Uint8Array(0);
    this.#isRead = true;
    return this.#request.rawContent();
  }

  /** What the constructor of `Request` needs besides the URL and a signal. */
  get init(): RequestInit & { duplex?: "half" } {
    const { method, header: headers } = this;
    if (!this.hasBody) return { method, headers };
    if (this.#streams) return { method, headers, body: this.#request.body, duplex: "half" };
    return { method, headers, body: this.#request.rawContent() as Uint8Array<ArrayBuffer> };
  }

  #makePlatform(): Request {
    // The signal is passed to the constructor, because copies of the request (`clone()`, `new Request(request)`) ignore signals
    // set later.
    if (!this.#isRead) return new Request(this.url, { ...this.init, signal: this.signal });
    const request = new Request(this.url, { method: this.method, headers: this.header, signal: this.signal, body: "read" });
    request.text().catch(() => {});
    return request;
  }

  /** Called when the signal aborts, even if the program has not read it. */
  abort(reason: unknown): void {
    if (this.#platform instanceof ServedRequest) this.#platform.abort(reason);
  }

  /** Makes the request one of the platform from the beginning. */
  serve(): Request {
    return this.#platform = new ServedRequest(this);
  }
}

/** A request of the platform, made at once, but without a signal of which copies of it are told: `abort()` tells them. */
class ServedRequest extends Request {
  readonly #parts: WebRequestParts;

  constructor(parts: WebRequestParts) {
    super(parts.url, parts.init);
    this.#parts = parts;
  }

  override get signal(): AbortSignal {
    return this.#parts.signal;
  }

  override clone(): Request {
    return new Request(super.clone(), { signal: this.signal });
  }

  /**
   * Aborts the signals of requests made from this one. They follow the signal that the platform has made for this request, which
   * only its owner can abort. So it is made to look aborted and dispatches the event that they wait for.
   */
  abort(reason: unknown): void {
    const followed = super.signal;
    if (followed.aborted) return;
    Object.defineProperties(followed, { aborted: { value: true }, reason: { value: reason } });
    followed.dispatchEvent(new Event("abort"));
  }
}

/** Makes a request from its parts. */
type MakeRequest = (parts: WebRequestParts) => Request;

/** The URL for the constructor of requests that say themselves what their URL is. */
const NO_URL = "http://localhost/";

/**
 * Makes the class of light requests.
 *
 * @param Base The class it derives from: that of the platform, or one that only shares its prototype.
 */
function lightRequests(Base: new (url: string) => object): MakeRequest {
  class LightRequest extends Base {
    readonly #parts: WebRequestParts;
    #headers: LightHeaders | undefined = undefined;

    constructor(parts: WebRequestParts) {
      super(NO_URL);
      this.#parts = parts;
    }

    get url(): string {
      return this.#parts.url;
    }

    get method(): string {
      return this.#parts.method;
    }

    get headers(): LightHeaders {
      return this.#headers ??= new LightHeaders(this.#parts);
    }

    get signal(): AbortSignal {
      return this.#parts.signal;
    }

    get body(): ReadableStream<Uint8Array> | null {
      const parts = this.#parts;
      return parts.hasBody ? parts.platform.body : null;
    }

    get bodyUsed(): boolean {
      return this.#parts.isRead;
    }

    async text(): Promise<string> {
      const body = this.#parts.takeBody();
      return body === undefined ? await this.#parts.platform.text() : bodyDecoder.decode(body);
    }

    async json(): Promise<unknown> {
      const body = this.#parts.takeBody();
      return body === undefined ? await this.#parts.platform.json() : JSON.parse(bodyDecoder.decode(body));
    }

    async bytes(): Promise<Uint8Array> {
      const body = this.#parts.takeBody();
      return body === undefined ? await this.#parts.platform.bytes() : sliceBytes(body, 0, body.length);
    }

    async arrayBuffer(): Promise<ArrayBufferLike> {
      const body = this.#parts.takeBody();
      return body === undefined ? await this.#parts.platform.arrayBuffer() : sliceBytes(body, 0, body.length).buffer;
    }

    /** Shows a request as that of the platform, in Bun too, which has no function for this in its own. */
    [Symbol.for("nodejs.util.inspect.custom")](): Request {
      return this.#parts.platform;
    }

    static {
      // With a signal, because some properties are only there with one.
      const sample = new Request(NO_URL, { signal: new AbortController().signal });
      forwardTo(this.prototype, sample, (request) => request.#parts.platform);
    }
  }
  return (parts) => new LightRequest(parts) as unknown as Request;
}

/** Parts of an empty request, for trials. */
function trialParts(method: string): WebRequestParts {
  const request = HttpRequest.create() as HttpRequest;
  request.parse("PUT / HTTP/1.1\r\nHost: a\r\nX-Trial: yes\r\nContent-Length: 3\r\n\r\nabc");
  return new WebRequestParts(request, request.header as Record<string, string>, "http://a/trial", method, false);
}

/** Reports whether the platform's own functions read a light request as the request that it says it is. */
function areRead(makeRequest: MakeRequest): boolean {
  try {
    const { url, method, headers, body } = new Request(makeRequest(trialParts("PUT")));
    return url === "http://a/trial" && method === "PUT" && headers.get("x-trial") === "yes" && body !== null;
  } catch {
    return false;
  }
}

/** Reports whether `abort()` of the parts aborts the signals of requests made from theirs, before and afterwards. */
function areTold(makeRequest: MakeRequest): boolean {
  const parts = trialParts("GET");
  const request = makeRequest(parts);
  const early = new Request(request);
  parts.abort("a trial");
  const late = new Request(request);
  return [early, late].every(({ signal }) => signal.aborted && signal.reason === "a trial");
}

let chosen: MakeRequest | undefined;

function choose(): MakeRequest {
  for (const Base of [Request, hollow(Request)]) {
    const makeRequest = lightRequests(Base);
    if (areRead(makeRequest)) return makeRequest;
  }
  const served = (parts: WebRequestParts) => parts.serve();
  return areTold(served) ? served : (parts) => parts.platform;
}

/**
 * Makes a request that is light where the runtime allows it.
 *
 * A program may pass its request to `new Request()` or `fetch()`, and no two runtimes read it there in the same way: Bun reads the
 * properties of objects of classes that extend `Request`, Deno and Node 22 read properties with symbols of their own, and Node 24
 * reads private fields, so that it needs a request of its own. Trials show which way is right.
 */
export function makeWebRequest(parts: WebRequestParts): Request {
  return (chosen ??= choose())(parts);
}
