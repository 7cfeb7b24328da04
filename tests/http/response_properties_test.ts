import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { bytes, cut, parseAnswers, text } from "../support/http_parsing.ts";

const OK = "HTTP/1.1 200 OK\r\n";
const LENGTH_3 = `${OK}Content-Length: 3\r\n\r\n`;
const LIMITS = { maxHeadSize: 200, maxHeaders: 6, maxBodySize: 40 };
const METHODS = ["GET", "HEAD", "CONNECT", "POST", "GET", "GET"];

/** Pieces of answers, good and bad, so that random sequences of them get far. */
const fragments = fc.constantFrom(
  ...["HTTP/1.1 ", "HTTP/1.0 ", "200 OK\r\n", "204\r\n", "100 Continue\r\n\r\n", "101 Switching\r\n\r\n", "304 Not\r\n\r\n"],
  ...[OK, `${OK}\r\n`, LENGTH_3, `${LENGTH_3}abc`, "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.0 200 OK\r\n"],
  ...["Content-Length: 3\r\n", "Content-Length: 0\r\n", "Content-Length: 50\r\n", "Transfer-Encoding: chunked\r\n", "A: b\r\n"],
  ...[
    "Set-Cookie: a=b\r\n",
    "Connection: close\r\n",
    " folded\r\n",
    "Transfer-Encoding: x, chunked\r\n",
    "A : b\r\n",
    "\r\n\r\n",
  ],
  ...["\r\n", "\r", "\n", "abc", "3\r\nabc\r\n", "0\r\n\r\n", "3;a=b\r\n", "fffffff\r\n", ":", "\x00", "\xff", "\t", " "],
);

const input = fc.oneof(
  fc.array(fragments, { maxLength: 30 }).map((parts) => bytes(parts.join(""))),
  fc.uint8Array({ maxLength: 300 }),
  fc.uint8Array({ maxLength: 300 }).map((body) => bytes(`${OK}${text(body)}`)),
  fc.array(fragments, { maxLength: 30 }).map((parts) => bytes(`${OK}${parts.join("")}`)),
);
const methods = fc.shuffledSubarray(METHODS, { minLength: 1 });

test("any bytes: no exception, bounded memory, and a known failure", () => {
  fc.assert(
    fc.property(input, methods, fc.boolean(), (all, methods, ends) => {
      const { failure } = parseAnswers([all], { methods, ends, limits: LIMITS });
      assert([0, 400, 413, 414, 431, 501].includes(failure), `failure ${failure}`);
    }),
    { numRuns: 20_000 },
  );
});

test("any bytes in any pieces: the same answers, the same failure and the same rest", () => {
  fc.assert(
    fc.property(input, methods, fc.array(fc.nat(400), { maxLength: 12 }), (all, methods, places) => {
      const options = { methods, limits: LIMITS };
      assertEquals(parseAnswers(cut(all, places), options), parseAnswers([all], options));
    }),
    { numRuns: 10_000 },
  );
});

const answer = fc.record({
  interim: fc.nat(2),
  status: fc.integer({ min: 200, max: 999 }).filter((status) => status !== 204 && status !== 304),
  reason: fc.stringMatching(/^[ -~]{0,10}$/),
  setCookie: fc.array(fc.stringMatching(/^[a-z]=[!-~]{1,10}$/), { maxLength: 3 }),
  body: fc.string({ maxLength: 60, unit: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)) }),
  size: fc.integer({ min: 1, max: 20 }),
  kind: fc.constantFrom("length", "chunked", "head"),
});

type Answer = typeof answer extends fc.Arbitrary<infer T> ? T : never;

/** An answer as a server would send it. */
function serialise({ interim, status, reason, setCookie, body, size, kind }: Answer): string {
  let payload = kind === "head" ? "" : body;
  if (kind === "chunked") {
    payload = "";
    for (let at = 0; at < body.length; at += size) {
      const part = body.slice(at, at + size);
      payload += `${part.length.toString(16)}\r\n${part}\r\n`;
    }
    payload += "0\r\n\r\n";
  }
  const length = kind === "chunked" ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`;
  const cookies = setCookie.map((cookie) => `Set-Cookie: ${cookie}\r\n`).join("");
  return `${"HTTP/1.1 100 Go on\r\n\r\n".repeat(interim)}HTTP/1.1 ${status} ${reason}\r\n${cookies}${length}\r\n\r\n${payload}`;
}

test("what was serialised is parsed as it was, however many and in any pieces", () => {
  fc.assert(
    fc.property(
      fc.array(answer, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(4000), { maxLength: 20 }),
      (answers, places) => {
        const all = bytes(answers.map(serialise).join("") + "rest");
        const methods = answers.map(({ kind }) => kind === "head" ? "HEAD" : "GET");
        const outcome = parseAnswers(cut(all, places), { methods });
        assertEquals([outcome.failure, outcome.rest], [0, "rest"]);
        assertEquals(
          outcome.answers.map(({ status, reason, setCookie, body }) => ({ status, reason, setCookie, body })),
          answers.map(({ status, reason, setCookie, body, kind }) => ({
            status,
            reason,
            setCookie,
            body: kind === "head" ? "" : body,
          })),
        );
      },
    ),
    { numRuns: 3000 },
  );
});
