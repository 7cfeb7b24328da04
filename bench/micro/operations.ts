/** The operations that a message and a request consist of. */

import { deflateRawSync } from "node:zlib";
import { RequestParser } from "../../src/http/request_parser.ts";
import type { ByteSink } from "../../src/transport/bytes.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { MessageDecoder } from "../../src/websocket/decoder.ts";
import { Measurement, windowSize } from "../../src/websocket/deflate/compressed_payload.ts";
import { writeFrame, writeTextFrame } from "../../src/websocket/encoder.ts";
import { mask } from "../../src/websocket/masking.ts";
import { isUtf8 } from "../../src/websocket/utf8.ts";
import type { Operation } from "./measure.ts";
import "../../mod.ts";

// The parsers use native functions of the runtime where there are some, as servers do.
await loadRuntime();

// Every byte of the key is below 0x80: what has been unmasked in place and is unmasked again is still ASCII.
const KEY = 0x78563412;
const LIMIT = 2 * 1024 * 1024;
const SIZES = [64, 700, 16 * 1024];

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** So much of a text, again and again. */
function repeated(text: string, size: number): string {
  return text.repeat(Math.ceil(size / text.length)).slice(0, size);
}

const ascii = (size: number) => repeated("The quick brown fox jumps over the lazy dog. ", size);

/** The masked frames of a client. */
function framesOf(payload: Uint8Array, count: number, key: number): Uint8Array {
  const { length } = payload;
  const header = length < 126 ? [0x81, 0x80 | length] : [0x81, 0x80 | 126, length >> 8, length & 255];
  const frame = Uint8Array.from([...header, ...[0, 8, 16, 24].map((shift) => (key >>> shift) & 255), ...payload]);
  mask(frame, frame.length - length, frame.length, key);
  const all = new Uint8Array(frame.length * count);
  for (let i = 0; i < count; i++) all.set(frame, i * frame.length);
  return all;
}

function decoding(name: string, payload: Uint8Array, count: number, key: number): Operation {
  const chunk = framesOf(payload, count, key);
  let taken = 0;
  const decoder = new MessageDecoder({ masked: true, maxLength: LIMIT }, {
    onMessage: (_opcode, _bytes, start, end) => taken += end - start,
    onControl: () => {},
    onTurnOver: () => {},
    onViolation: (_code, reason) => {
      throw new Error(reason);
    },
  });
  return {
    name: `decoder: ${name}`,
    bytes: payload.length * count,
    run() {
      decoder.receive(chunk);
      return taken;
    },
  };
}

/** A sink as that of a connection: memory that is used again for every turn. */
class ScratchSink implements ByteSink {
  readonly memory: Uint8Array = new Uint8Array(128 * 1024);
  reserve(): number {
    return 0;
  }
  commit(): void {}
  append(): void {}
  appendCopy(): void {}
}

function parsing(name: string, fields: string): Operation {
  const bytes = bytesOf(`GET /chat?room=7 HTTP/1.1\r\nHost: example.org\r\n${fields}\r\n`);
  const parser = new RequestParser({ maxHeadSize: 64 * 1024, maxHeaders: 128, maxBodySize: LIMIT });
  return {
    name: `HTTP request head: ${name}`,
    bytes: bytes.length,
    run() {
      parser.receive(bytes, 0);
      if (!parser.complete) throw new Error("the request is not complete");
      const { target } = parser.head!;
      parser.next();
      return target.length;
    },
  };
}

const BROWSER = [
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  "Accept-Language: en-US,en;q=0.5",
  "Accept-Encoding: gzip, deflate, br, zstd",
  "Referer: https://example.org/rooms",
  `Cookie: session=${ascii(120).replaceAll(/[ .]/g, "")}; theme=dark`,
  "Connection: keep-alive",
  "Sec-Fetch-Dest: document",
  "Sec-Fetch-Mode: navigate",
  "Sec-Fetch-Site: same-origin",
].map((field) => `${field}\r\n`).join("");

function walking(size: number): Operation {
  const people = Array.from(
    { length: size / 16 },
    (_, id) => ({ id: id * 7919, name: `name ${id % 37}`, score: id * id % 1009 }),
  );
  const payload = new Uint8Array(deflateRawSync(JSON.stringify(people).slice(0, size), { finishFlush: 2 })).slice(0, -4);
  return {
    name: `inflated size of JSON, ${size.toLocaleString("en")} B`,
    bytes: size,
    run() {
      const measurement = new Measurement(payload, LIMIT, 0, windowSize(15));
      if (measurement.run() !== 0 || measurement.size !== size) throw new Error("the payload is not as expected");
      return measurement.size;
    },
  };
}

function unmasking(size: number): Operation {
  const bytes = bytesOf(ascii(size));
  return { name: `unmasking ${size.toLocaleString("en")} B`, bytes: size, run: () => mask(bytes, 0, size, KEY) };
}

function encoding(size: number): Operation[] {
  const sink = new ScratchSink();
  const text = ascii(size);
  const bytes = bytesOf(text);
  const named = `${size.toLocaleString("en")} B`;
  return [
    { name: `encoder: text of ${named}`, bytes: size, run: () => writeTextFrame(sink, 0x81, text) },
    { name: `encoder: bytes, ${named}`, bytes: size, run: () => writeFrame(sink, 0x82, bytes, 0, size) },
  ];
}

function checking(name: string, text: string): Operation {
  const bytes = bytesOf(text);
  return { name: `UTF-8 check: ${name}`, bytes: bytes.length, run: () => isUtf8(bytes) ? 1 : 0 };
}

const GERMAN = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ";
const JAPANESE = "いろはにほへとちりぬるを";

/** All of them. */
export const operations: Operation[] = [
  ...SIZES.map((size) => decoding(`text of ${size.toLocaleString("en")} B`, bytesOf(ascii(size)), 1, KEY)),
  decoding("16 texts of 64 B in a chunk", bytesOf(ascii(64)), 16, KEY),
  // Masked with zeros, so that it can be unmasked again and again.
  decoding("text of 700 units, not ASCII", bytesOf(repeated(GERMAN, 700)), 1, 0),
  ...SIZES.map(unmasking),
  ...SIZES.flatMap(encoding),
  checking("64 units of German", repeated(GERMAN, 64)),
  checking("700 units of German", repeated(GERMAN, 700)),
  checking("64 units of Japanese", repeated(JAPANESE, 64)),
  checking("16,384 units of German", repeated(GERMAN, 16 * 1024)),
  walking(1024),
  walking(16 * 1024),
  parsing("of a program", ""),
  parsing("of a browser", BROWSER),
];
