// Forms with files as bytes: RFC 7578, RFC 2046 section 5.1.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { MultipartParser } from "../../src/http/multipart.ts";
import { boundaryOf, parseParameters } from "../../src/http/field_values.ts";
import { bytes, text } from "../support/http_parsing.ts";

const LIMITS = { maxHeadSize: 300, maxHeaders: 4 };

interface Part {
  name: string;
  filename: string | undefined;
  type: string;
  content: string;
}

/** What a parser makes of a form that comes in the given pieces: the parts, or why it is none. */
function read(pieces: readonly Uint8Array[], boundary = "B", limits = LIMITS): Part[] | string {
  const parts: Part[] = [];
  let open = false;
  const parser = new MultipartParser(boundary, limits, {
    onPart: (head) => {
      assert(!open);
      open = true;
      parts.push({ ...head, content: "" });
    },
    onContent: (bytes, start, end) => {
      assert(open && end > start);
      parts[parts.length - 1].content += text(bytes.subarray(start, end));
    },
    onPartEnd: () => {
      assert(open);
      open = false;
    },
  });
  for (const piece of pieces) {
    parser.receive(piece);
    assert(parser.undecided >= 0 && parser.undecided < boundary.length + 4);
  }
  parser.finish();
  return parser.failure === undefined ? parts : parser.failure.reason;
}

const disposition = (rest: string) => `Content-Disposition: form-data; ${rest}\r\n`;
const field = (name: string, content: string) => `--B\r\n${disposition(`name="${name}"`)}\r\n${content}\r\n`;
const END = "--B--\r\n";

/** The same, whole and split at every byte, which may make no difference. */
function form(content: string, boundary = "B", limits = LIMITS): Part[] | string {
  const whole = bytes(content);
  const result = read([whole], boundary, limits);
  for (let at = 0; at <= whole.length; at++) {
    assertEquals(read([whole.slice(0, at), whole.slice(at)], boundary, limits), result, `split at ${at}`);
  }
  assertEquals(read(Array.from(whole, (byte) => Uint8Array.of(byte)), boundary, limits), result, "byte by byte");
  return result;
}

const named = (name: string, content: string) => ({ name, filename: undefined, type: "", content });

test("fields and files, in order, wherever the pieces end", () => {
  const file = `--B\r\n${disposition('name="f"; filename="a.txt"')}Content-Type: text/plain\r\n\r\nhello\0\xff\r\n`;
  assertEquals(form(field("a", "1") + file + field("a", "2") + END), [
    named("a", "1"),
    { name: "f", filename: "a.txt", type: "text/plain", content: "hello\0\xff" },
    named("a", "2"),
  ]);
});

test("contents that look like a delimiter, almost", () => {
  for (
    const content of [
      "",
      "\r",
      "\n",
      "\r\n",
      "\r\n\r\n",
      "x--B--",
      "\r\n--",
      "\r\n-B",
      "\r\n--b",
      "\r\r\n--",
      "\r\n\r\n-",
      "\r\r\r",
      "\n--B",
      "\r--B",
      "\r\n--A\r\n--",
      "x\r\n-\r\n--",
    ]
  ) {
    assertEquals(form(field("a", content) + END), [named("a", content)], JSON.stringify(content));
  }
  assertEquals(form(`--aab\r\n${disposition("name=a")}\r\n\r\n--aa\r\n--a\r\n--aab--`, "aab"), [named("a", "\r\n--aa\r\n--a")]);
});

test("a part may have no content at all, then its delimiter follows the head", () => {
  assertEquals(form(`--B\r\n${disposition('name="a"')}\r\n--B\r\n${disposition('name="b"')}\r\n--B--`), [
    named("a", ""),
    named("b", ""),
  ]);
  assertEquals(form(`--B\r\n${disposition('name="a"')}\r\n--A\r\n--B--`), [named("a", "--A")]);
});

test("what stands before the first delimiter and behind the last one means nothing; blanks may follow a boundary", () => {
  assertEquals(form(`preamble\r\n--\r\n--B \t\r\n${disposition("name=a")}\r\n1\r\n--B--\r\n--B\r\nepilogue`), [named("a", "1")]);
  assertEquals(form(`\r\n${field("a", "1")}--B--`), [named("a", "1")]);
  assertEquals(form("--B--"), []);
});

test("what is no form is refused", () => {
  const head = disposition('name="a"');
  const cases: Record<string, string> = {
    "": "the form has no end",
    "no form": "the form has no end",
    "x--B--": "the form has no end",
    [field("a", "1")]: "the form has no end",
    [field("a", "1") + "--B"]: "the form has no end",
    [field("a", "1") + "--B-"]: "the form has no end",
    [`--B\r\n${head}`]: "the form has no end",
    "--Bx\r\n": "a boundary is followed by something",
    "--B-\r\n": "a boundary is followed by something",
    "--B --": "a boundary is followed by something",
    "--B\n": "a boundary is followed by something",
    "--B\rx": "a line does not end in CRLF",
    [`--B\r\n${head.replace("\r", "")}\r\n\r\n--B--`]: "a line does not end in CRLF",
    [`--B\r\nA: \rb\r\n\r\n\r\n--B--`]: "a line does not end in CRLF",
    [`--B\r\n\r\n1\r\n--B--`]: "a part has no name",
    [`--B\r\nContent-Type: text/plain\r\n\r\n1\r\n--B--`]: "a part has no name",
    [`--B\r\n${disposition('filename="a"')}\r\n1\r\n--B--`]: "a part has no name",
    [`--B\r\nContent-Disposition: attachment; name="a"\r\n\r\n1\r\n--B--`]: "a part has no name",
    [`--B\r\n${disposition('name="a"; name="b"')}\r\n1\r\n--B--`]: "a part has no name",
    [`--B\r\n${disposition('name="a')}\r\n1\r\n--B--`]: "a part has no name",
    [`--B\r\n${head}${head}\r\n1\r\n--B--`]: "a part has two names",
    [`--B\r\n${head}A b: c\r\n\r\n1\r\n--B--`]: "a header field of a part is malformed",
    [`--B\r\n${head} folded\r\n\r\n1\r\n--B--`]: "a header field of a part is malformed",
    [`--B\r\n${disposition('name="a\0b"')}\r\n1\r\n--B--`]: "a header field of a part is malformed",
  };
  for (const [input, reason] of Object.entries(cases)) assertEquals(form(input), reason, JSON.stringify(input));
});

test("the head of a part has limits: at the limit and one past it", () => {
  const head = disposition('name="a"');
  const sized = (size: number) => `--B\r\n${head}X: ${"x".repeat(size - head.length - 7)}\r\n\r\n1\r\n--B--`;
  assertEquals(form(sized(300)), [named("a", "1")]);
  assertEquals(form(sized(301)), "the head of a part is too large");
  const many = (count: number) => `--B\r\n${head}${"X: y\r\n".repeat(count - 1)}\r\n1\r\n--B--`;
  assertEquals(form(many(4)), [named("a", "1")]);
  assertEquals(form(many(5)), "a part has too many header fields");
});

test("names: UTF-8, what browsers escape, what PHP takes for an escape, other parameters left alone", () => {
  const part = (rest: string) => {
    const parts = read([new TextEncoder().encode(`--B\r\n${disposition(rest)}\r\n1\r\n--B--`)]);
    return typeof parts === "string" ? parts : [parts[0].name, parts[0].filename];
  };
  assertEquals(part('name="ä😀"; filename="\ufeffö.txt"'), ["ä😀", "\ufeffö.txt"]);
  assertEquals(part('name="a%22b%0D%0Ac%41"'), ['a"b\r\nc%41', undefined]);
  assertEquals(part('name="a\\"b\\\\c\\d"; filename="C:\\dir\\a.txt"'), ['a"b\\c\\d', "C:\\dir\\a.txt"]);
  assertEquals(part("name=a b ; filename=c;"), ["a b", "c"]);
  assertEquals(part('NAME="a"; filename*=UTF-8\'\'x; filename=""; size=3'), ["a", ""]);
  assertEquals(part('name="a;b=c"; ;filename="d;e"'), ["a;b=c", "d;e"]);
  assertEquals(part('name=""'), ["", undefined]);
  assertEquals(part('name="a"x'), "a part has no name");
});

test("boundaries: 1 to 70 printable characters, quoted or not", () => {
  const of = (rest: string) => boundaryOf(`multipart/form-data${rest}`);
  assertEquals(of("; boundary=abc"), "abc");
  assertEquals(of('; charset=utf-8; Boundary="a;b c" '), "a;b c");
  assertEquals(of(`; boundary=${"b".repeat(70)}`), "b".repeat(70));
  for (
    const none of [
      "",
      "; boundary",
      "; boundary=",
      '; boundary=""',
      `; boundary=${"b".repeat(71)}`,
      '; boundary="a "',
      "; boundary=ä",
    ]
  ) assertEquals(of(none), undefined, none);
  assertEquals(of("; boundary=a; boundary=b"), undefined);
  assertEquals(boundaryOf(undefined), undefined);
  assertEquals(parseParameters(" Form-Data "), { value: "form-data", parameters: new Map() });
});

const BOUNDARY = "--x"; // begins as a delimiter goes on
const fragments = fc.constantFrom(
  `--${BOUNDARY}`,
  `\r\n--${BOUNDARY}`,
  `\r\n--${BOUNDARY}\r\n${disposition('name="a[b]"')}\r\n`,
  `--${BOUNDARY}\r\n${disposition('name="f"; filename="x"')}\r\n`,
  `\r\n--${BOUNDARY}--`,
  "\r\n",
  "\r",
  "\n",
  "--",
  "-",
  "x",
  "Content-Type: a/b\r\n",
  "\0",
);
const input = fc.oneof(
  fc.array(fragments, { maxLength: 20 }).map((parts) => bytes(parts.join(""))),
  fc.uint8Array({ maxLength: 100 }),
);

test("whatever comes, in whatever pieces: the same result, and no exception", () => {
  fc.assert(
    fc.property(input, fc.array(fc.nat({ max: 40 })), (bytes, sizes) => {
      const pieces = [];
      let at = 0;
      for (const size of sizes) pieces.push(bytes.slice(at, at += size));
      pieces.push(bytes.slice(at));
      assertEquals(read(pieces, BOUNDARY), read([bytes], BOUNDARY));
    }),
    { numRuns: 1000 },
  );
});

test("what was written is what is read", () => {
  const content = fc.array(fc.oneof(fc.constantFrom("\r\n--", "\r", "\n", "-", "x", "\r\n--x--"), fc.string({ unit: "binary" })))
    .map((parts) => text(bytes(parts.join(""))));
  const parts = fc.array(fc.record({ name: fc.stringMatching(/^[a-z[\]]*$/), content }), { maxLength: 5 });
  fc.assert(
    fc.property(parts, fc.nat({ max: 200 }), (parts, cut) => {
      const boundary = "some-boundary-that-is-in-no-content";
      const whole = bytes(
        parts.map(({ name, content }) => `--${boundary}\r\n${disposition(`name="${name}"`)}\r\n${content}\r\n`).join("") +
          `--${boundary}--\r\n`,
      );
      const expected = parts.map(({ name, content }) => named(name, content));
      assertEquals(read([whole.slice(0, cut), whole.slice(cut)], boundary), expected);
    }),
  );
});
