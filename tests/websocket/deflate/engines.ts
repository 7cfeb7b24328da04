/**
 * The engines, and messages for their tests.
 *
 * @module
 */

import { zlibEngine } from "../../../adapters/zlib.ts";
import type { DeflateEngine } from "../../../src/transport/codecs.ts";
import { webEngine } from "../../../src/websocket/deflate/web_engine.ts";

/** Every engine, by a name for people. */
export const engines: [name: string, engine: DeflateEngine][] = [
  ["web", webEngine],
  ["zlib", zlibEngine],
];

/** zlib's own choice. */
export const DEFAULTS = { level: -1, memLevel: 8 };

/** Records as JSON, cut to a length. */
export function json(length: number): Uint8Array {
  let text = "[";
  for (let id = 0; text.length < length; id++) {
    text += `{"id":${id},"name":"user ${id * 7919 % 1000}","price":${(id * 1.37 % 100).toFixed(2)},"tags":["a","b${id % 5}"]},`;
  }
  return new TextEncoder().encode(text.slice(0, length));
}

/** Bytes that do not shrink. */
export function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return bytes;
}

/** Ten messages, from none to 1 MiB, of which several repeat parts of others. */
export function tenMessages(): Uint8Array[] {
  const repeated = noise(5000);
  return [
    json(100),
    new Uint8Array(0),
    json(64),
    repeated,
    repeated.slice(),
    json(20_000),
    new Uint8Array(300_000),
    noise(1),
    json(1 << 20),
    noise(70_000),
  ];
}
