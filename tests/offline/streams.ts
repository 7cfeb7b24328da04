/**
 * A stand-in for the part of `@std/streams` that the tests use, for where JSR cannot be reached.
 *
 * @module
 */

/** Reads a stream to its end and joins what came. */
export async function toBytes(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

/** Reads a stream of octets to its end and decodes what came from UTF-8. */
export async function toText(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new TextDecoder().decode(await toBytes(stream));
}
