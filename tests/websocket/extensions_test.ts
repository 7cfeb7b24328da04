import { assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { type Extension, parseExtensions } from "../../src/websocket/extensions.ts";

/** An extension, with its parameters as `name` or `[name, value]`. */
function extension(name: string, ...parameters: (string | [string, string])[]): Extension {
  return {
    name,
    parameters: parameters.map((p) => typeof p === "string" ? { name: p, value: undefined } : { name: p[0], value: p[1] }),
  };
}

const right: [header: string, extensions: Extension[]][] = [
  ["foo", [extension("foo")]],
  ["foo, bar;baz=1", [extension("foo"), extension("bar", ["baz", "1"])]],
  // RFC 6455 section 9.1.
  ["deflate-stream", [extension("deflate-stream")]],
  ["mux; max-channels=4; flow-control, deflate-stream", [
    extension("mux", ["max-channels", "4"], "flow-control"),
    extension("deflate-stream"),
  ]],
  ["private-extension", [extension("private-extension")]],
  // RFC 7692 section 7.1.3 and 5.
  ["permessage-deflate; client_max_window_bits; server_max_window_bits=10", [
    extension("permessage-deflate", "client_max_window_bits", ["server_max_window_bits", "10"]),
  ]],
  ['permessage-deflate; server_max_window_bits="10", permessage-deflate', [
    extension("permessage-deflate", ["server_max_window_bits", "10"]),
    extension("permessage-deflate"),
  ]],
  // Nothing is dropped, merged or changed.
  ["a; b; b; b=1; B=2, a, A", [extension("a", "b", "b", ["b", "1"], ["B", "2"]), extension("a"), extension("A")]],
  ["!#$%&'*+-.^_`|~09azAZ;x=!#$%&'*+-.^_`|~", [extension("!#$%&'*+-.^_`|~09azAZ", ["x", "!#$%&'*+-.^_`|~"])]],
  // Space may stand around every separator, list elements may be empty (RFC 2616 section 2.1).
  ["  a\t;  b =\t1 ;c , d  ", [extension("a", ["b", "1"], "c"), extension("d")]],
  [",a,, ,b,", [extension("a"), extension("b")]],
  ['a;b="\\1\\0";c="x"', [extension("a", ["b", "10"], ["c", "x"])]],
];

const wrong = [
  "",
  " ",
  ",",
  " , ,\t",
  ";",
  "a;",
  "a;;b",
  "a; ;b",
  "a;,b",
  "a b",
  "a; b c",
  "a=1",
  "=1",
  "a;=1",
  "a;b=",
  "a;b=,c",
  "a;b==1",
  "a;b=1=2",
  "a;b=1 2",
  'a;b=""',
  'a;b="',
  'a;b="1',
  'a;b="1\\',
  'a;b="1\\"',
  'a;b="\\""',
  'a;b="1 2"',
  'a;b="1,2"',
  'a;b="1";',
  'a;b="1"2',
  'a;b=1"2"',
  '"a"',
  'a;"b"=1',
  "a/b",
  "a(b)",
  "a;b=[1]",
  "a;b={",
  "a\u00e9",
  'a;b="\u00e9"',
  "a\u0000",
  "a\r\n",
  "a;b=1\u007f",
  "\u1680a",
  "a\u00a0",
  "a\u0161",
];

test("parseExtensions reads the grammar of RFC 6455 section 9.1", () => {
  for (const [header, extensions] of right) assertEquals(parseExtensions(header), extensions, JSON.stringify(header));
});

test("parseExtensions refuses everything else", () => {
  for (const header of wrong) assertEquals(parseExtensions(header), undefined, JSON.stringify(header));
});

test("parseExtensions reads what was written, and headers joined with commas as their extensions in a row", () => {
  const anyName = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/);
  const noNull = { noNullPrototype: true } as const;
  const anySpace = fc.constantFrom("", " ", "\t", "  ");
  const anyParameter = fc.record({ name: anyName, value: fc.option(anyName, { nil: undefined }) }, noNull);
  const anyList = fc.array(fc.record({ name: anyName, parameters: fc.array(anyParameter, { maxLength: 4 }) }, noNull), {
    minLength: 1,
  });
  fc.assert(fc.property(anyList, anyList, anySpace, fc.boolean(), (one, two, space, quoted) => {
    const write = (list: Extension[]) =>
      list.map(({ name, parameters }) =>
        [
          name,
          ...parameters.map((p) => p.value === undefined ? p.name : `${p.name}${space}=${quoted ? `"${p.value}"` : p.value}`),
        ]
          .join(`${space};${space}`)
      ).join(`${space},${space}`);
    assertEquals(parseExtensions(write(one)), one);
    assertEquals(parseExtensions(`${write(one)},${write(two)}`), [...one, ...two]);
  }));
});

test("parseExtensions takes any text without an exception", () => {
  const anyPiece = fc.constantFrom("a", "bc", ";", ",", "=", '"', "\\", " ", "\t", "1", "\u00e9", "\u0000");
  fc.assert(
    fc.property(fc.array(anyPiece, { maxLength: 30, size: "max" }), (pieces) => {
      const list = parseExtensions(pieces.join(""));
      if (list === undefined) return;
      for (const { name, parameters } of list) {
        for (const text of [name, ...parameters.map((p) => p.name), ...parameters.map((p) => p.value ?? "x")]) {
          assertEquals(text.length > 0 && !text.includes(" "), true);
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test("parseExtensions does work in proportion to the length of a header, whatever is in it", () => {
  const time = (unit: string, count: number) => {
    const header = unit.repeat(count);
    const start = performance.now();
    parseExtensions(header);
    return performance.now() - start;
  };
  // Where work grows with the square, one of these takes minutes.
  for (const unit of [" ", ",", " ,", "\t;", "a", "a,", "a;", "a;b=", 'a;b="', "a;b=1 ", '"', "\\", 'a;b="\\1']) {
    assertLessOrEqual(time(unit, 1_000_000), 10_000, JSON.stringify(unit));
  }
  assertLessOrEqual(time("", 0), 10_000);
});
