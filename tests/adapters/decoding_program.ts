// Decodes long bodies in many pieces, and prints what each piece has left in memory.

import { randomBytes } from "node:crypto";
import { brotliCompressSync, constants, deflateSync, gzipSync } from "node:zlib";
import { decompressor } from "../../adapters/content_codecs.ts";
import { heldBytes } from "../support/garbage.ts";

const COUNT = 25_000;

/** Bytes that cannot be compressed, so that each piece of the body is a piece of the content. */
const noise = randomBytes(64 * COUNT);

/** A few bytes that become many pieces of content. */
const zeros = new Uint8Array(8 * 1024 * COUNT);

const quick = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };
const bodies: [Parameters<typeof decompressor>[0], string, Uint8Array][] = [
  ["gzip", "noise", gzipSync(noise)],
  ["deflate", "noise", deflateSync(noise)],
  ["br", "noise", brotliCompressSync(noise, quick)],
  ["gzip", "zeros", gzipSync(zeros, { level: 1 })],
];

for (const [coding, content, body] of bodies) {
  const { readable, writable } = decompressor(coding);
  const writer = writable.getWriter();
  let reads = 0;
  const reading = (async () => {
    for await (const _piece of readable) reads++;
  })();
  const size = Math.min(64, Math.ceil(body.length / 100));
  const pieces = Math.ceil(body.length / size);
  const write = async (from: number, to: number) => {
    for (let i = from; i < to; i++) await writer.write(new Uint8Array(body.subarray(i * size, (i + 1) * size)));
  };
  // The first and the last part are not measured: what is compiled and what is released there is none of the pieces' doing.
  const [begin, end] = [Math.floor(pieces * 0.1), Math.floor(pieces * 0.9)];
  await write(0, begin);
  const [heldBefore, readsBefore] = [await heldBytes(), reads];
  await write(begin, end);
  const count = Math.max(end - begin, reads - readsBefore);
  const growth = await heldBytes() - heldBefore;
  await write(end, pieces);
  await writer.close();
  await reading;
  console.log(JSON.stringify({ coding, content, count, growth }));
}
