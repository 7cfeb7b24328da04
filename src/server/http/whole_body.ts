/**
 * Bodies of responses that are there as a whole.
 *
 * @module
 */

/** Where a runtime keeps what the body of a `Response` was made from, as far as trials find it. */
interface Places {
  /** The property with the text of a response that was made from text and nothing else, until the body is used. */
  readonly text: symbol | undefined;
  /** The property with an object whose `body.source` is the text or the bytes; `null` for streams. */
  readonly state: symbol | undefined;
}

/** What is used of such an object. */
interface State {
  readonly body?: { readonly source?: unknown } | null;
}

let places: Places | undefined;

function stateOf(response: Response, key: symbol): State | undefined {
  const value = Reflect.get(response, key);
  return typeof value === "object" && value !== null ? value : undefined;
}

function findPlaces(): Places {
  const init = { status: 203, headers: [["x-trial", "yes"]] satisfies [string, string][] };
  const [plain, made, bytes] = [new Response("text"), new Response("text", init), new Response(new Uint8Array(1), init)];
  const streamed = new Response(new ReadableStream(), init);
  const state = Object.getOwnPropertySymbols(made).find((key) =>
    stateOf(made, key)?.body?.source === "text" && stateOf(bytes, key)?.body?.source instanceof Uint8Array &&
    stateOf(streamed, key)?.body?.source === null
  );
  const texts = Object.getOwnPropertySymbols(plain).filter((key) => Reflect.get(plain, key) === "text");
  const text = plain.body === null ? undefined : texts.find((key) => Reflect.get(plain, key) === null);
  return { text, state };
}

/**
 * Returns the body of a response that was made from text or bytes, without waiting. Deno and Node 22 keep it where it can be seen,
 * so that nothing has to be read from a stream. Returns `undefined` for all other bodies, and where it cannot be seen.
 */
export function takeWholeBody(response: Response): string | Uint8Array | undefined {
  const { text, state } = places ??= findPlaces();
  if (text !== undefined) {
    const body = Reflect.get(response, text);
    if (typeof body === "string") return used(response, body);
  }
  if (state === undefined || response.bodyUsed) return undefined;
  const body = stateOf(response, state)?.body?.source;
  if (typeof body === "string") return used(response, body);
  return body instanceof Uint8Array ? used(response, new Uint8Array(body)) : undefined; // reading may transfer it
}

/** Marks the body of a response as used: it can be sent once. */
function used<Body extends string | Uint8Array>(response: Response, body: Body): Body {
  const reading: Promise<unknown> = typeof body === "string" ? response.text() : response.arrayBuffer();
  reading.catch(() => {}); // if the program has a reader of it
  return body;
}
