import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { ChunkedDecoder } from "../../src/http/chunked.ts";
import { HttpFailure } from "../../src/http/request_head.ts";
import { bytes, parse } from "../support/http_parsing.ts";

const LIMITS = { maxHeadSize: 300, maxHeaders: 6, maxBodySize: 40 };

/** Pieces of requests, good and bad, so that random sequences of them get far. */
const fragments = fc.constantFrom(
  "GET ",
  "POST ",
  "/",
  "/a?b=c",
  "*",
  "http://x/",
  " HTTP/1.1\r\n",
  " HTTP/1.0\r\n",
  " HTTP/2.0\r\n",
  "GET / HTTP/1.1\r\n",
  "POST / HTTP/1.1\r\nHost: x\r\n",
  "Host: x\r\n",
  "Host:\r\n",
  "Content-Length: 3\r\n",
  "Content-Length: 03\r\n",
  "Content-Length: 50\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: gzip, chunked\r\n",
  "Transfer-Encoding: x\r\n",
  "Expect: 100-continue\r\n",
  "A: b\r\n",
  "A : b\r\n",
  " folded\r\n",
  "\r\n",
  "\r",
  "\n",
  "\r\n\r\n",
  "abc",
  "3\r\nabc\r\n",
  "0\r\n\r\n",
  "0\r\nA: b\r\n\r\n",
  "3;a=b\r\n",
  '1;a="b\\""\r\n',
  ";",
  "fffffff\r\n",
  ":",
  "\x00",
  "\xff",
  "\t",
  " ",
);

const input = fc.oneof(
  fc.array(fragments, { maxLength: 30 }).map((parts) => bytes(parts.join(""))),
  fc.uint8Array({ maxLength: 400 }),
  fc.array(fc.oneof(fragments, fc.string({ maxLength: 5, unit: "binary" })), { maxLength: 30 })
    .map((parts) => Uint8Array.from(parts.join(""), (character) => character.charCodeAt(0) & 255)),
);

/** Cuts bytes at the given places. */
function cut(all: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [0, ...places.map((place) => place % (all.length + 1)).sort((a, b) => a - b), all.length];
  return sorted.slice(1).map((end, i) => all.slice(sorted[i], end)).filter((piece) => piece.length > 0);
}

test("any bytes: no exception, and a known status", () => {
  fc.assert(
    fc.property(input, (all) => {
      const { status } = parse([all], LIMITS);
      assert([0, 400, 413, 414, 431, 501, 505].includes(status), `status ${status}`);
    }),
    { numRuns: 20_000 },
  );
});

test("any bytes in any pieces: the same requests and the same refusal", () => {
  fc.assert(
    fc.property(input, fc.array(fc.nat(400), { maxLength: 12 }), (all, places) => {
      assertEquals(parse(cut(all, places), LIMITS), parse([all], LIMITS));
    }),
    { numRuns: 20_000 },
  );
});

const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/);
const value = fc.stringMatching(/^([!-~\x80-\xff]([ \t!-~\x80-\xff]{0,20}[!-~\x80-\xff])?)?$/);
const reserved = new Set(["host", "content-length", "transfer-encoding"]);

const request = fc.record({
  method: token,
  target: fc.stringMatching(/^\/[!"$-~]{0,20}$/),
  fields: fc.uniqueArray(fc.tuple(token.filter((name) => !reserved.has(name.toLowerCase())), value), {
    maxLength: 8,
    selector: ([name]) => name.toLowerCase(),
  }),
  body: fc.string({ maxLength: 60, unit: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)) }),
  chunks: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 8 }),
  chunked: fc.boolean(),
});

type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;

/** A request as a client would send it. */
function serialise({ method, target, fields, body, chunks, chunked }: Request): string {
  let payload = body;
  if (chunked) {
    payload = "";
    let at = 0;
    for (const size of [...chunks, Infinity]) {
      const part = body.slice(at, at += size);
      if (part !== "") payload += `${part.length.toString(16)}\r\n${part}\r\n`;
    }
    payload += "0\r\n\r\n";
  }
  const length = chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`;
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `${method} ${target} HTTP/1.1\r\nHost: x\r\n${lines}${length}\r\n\r\n${payload}`;
}

test("what was serialised is parsed as it was, however many and in any pieces", () => {
  fc.assert(
    fc.property(
      fc.array(request, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(4000), { maxLength: 20 }),
      (requests, places) => {
        const outcome = parse(cut(bytes(requests.map(serialise).join("")), places));
        assertEquals([outcome.status, outcome.open], [0, false]);
        assertEquals(
          outcome.requests.map(({ method, target, body }) => ({ method, target, body })),
          requests.map(({ method, target, body }) => ({ method, target, body })),
        );
        for (const [i, { fields }] of requests.entries()) {
          for (const [name, value] of fields) assertEquals(outcome.requests[i].header[name.toLowerCase()], value);
        }
      },
    ),
    { numRuns: 3000 },
  );
});

test("ChunkedDecoder: the pieces cover the body, in order and without a gap", () => {
  fc.assert(
    fc.property(input, fc.array(fc.nat(400), { maxLength: 8 }), (all, places) => {
      const decoder = new ChunkedDecoder();
      let bodySize = 0;
      let used = 0;
      for (const piece of cut(all, places)) {
        if (decoder.done) break;
        let last = 0;
        const stop = decoder.receive(piece, 0, (start, end) => {
          assert(start >= last && end > start && end <= piece.length);
          last = end;
          bodySize += end - start;
          return true;
        });
        if (stop instanceof HttpFailure) return;
        assert(decoder.done ? stop > 0 : stop === piece.length);
        used += stop;
      }
      assert(bodySize <= used);
    }),
    { numRuns: 5000 },
  );
});
