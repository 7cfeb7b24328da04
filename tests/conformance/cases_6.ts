/**
 * Cases 6.*: text is UTF-8, and what is not is noticed at once.
 *
 * @module
 */

import { hex } from "../support/raw_client.ts";
import {
  type Answer,
  type Case,
  CLEAN,
  continuation,
  type Ending,
  failed,
  type Payload,
  type Step,
  text,
  UNFINISHED,
} from "./case.ts";

/** Fails with 1007; when the wrong side closes, the answers do not count either. */
const NOT_UTF8: Ending = { ...failed(1007), spoiledBy: "side" };

/** Greek letters of two and three bytes. */
const KOSME = "κόσμε";
const MIXED = "Hello-µ@ßöäüàá-UTF-8!!";
/** Valid up to the end of the Greek word, then a surrogate. */
const WITH_SURROGATE = hex("cebae1bdb9cf83cebcceb5 eda080 656469746564");
/** The same with a number above U+10FFFF: the 13th byte is the first that cannot be. */
const TOO_HIGH = hex("cebae1bdb9cf83cebcceb5 f4908080 656469746564");

function textBack(payload: Payload): Answer {
  return { type: "text", payload };
}

function inFragments(payload: string | Uint8Array, fragment: number): Step {
  return { message: payload, opcode: 1, fragment };
}

function fragments(): Case[] {
  const good: [id: string, steps: Step[], back: string][] = [
    ["6.1.1", [text()], ""],
    ["6.1.2", [text("", UNFINISHED), continuation("", UNFINISHED), continuation()], ""],
    [
      "6.1.3",
      [text("", UNFINISHED), continuation("middle frame payload", UNFINISHED), continuation()],
      "middle frame payload",
    ],
    ["6.2.1", [text(MIXED)], MIXED],
    ["6.2.2", [text("Hello-µ@ßöä", UNFINISHED), continuation("üàá-UTF-8!!")], MIXED],
    ["6.2.3", [inFragments(MIXED, 1)], MIXED],
    ["6.2.4", [inFragments(KOSME, 1)], KOSME],
  ];
  return [
    ...good.map(([id, steps, back]): Case => ({ id, steps, expect: [textBack(back)], ending: CLEAN })),
    { id: "6.3.1", steps: [text(WITH_SURROGATE)], expect: [], ending: NOT_UTF8 },
    { id: "6.3.2", steps: [inFragments(WITH_SURROGATE, 1)], expect: [], ending: NOT_UTF8 },
  ];
}

/** Three parts: good so far, bad, the rest. The bad one has to end the connection before the rest is sent. */
function failFast(): Case[] {
  const cuts: [number, number][] = [[11, 15], [12, 13]];
  const inThreeFrames = cuts.map(([one, two]): Step[] => [
    text(TOO_HIGH.slice(0, one), UNFINISHED),
    { stillOpen: "here" },
    continuation(TOO_HIGH.slice(one, two), UNFINISHED),
    { failedByNow: true },
    continuation(TOO_HIGH.slice(two)),
  ]);
  const whole = { opcode: 1, fin: false, payload: TOO_HIGH };
  const inOneFrame = cuts.map(([one, two]): Step[] => [
    { part: whole, from: 0, to: one },
    { stillOpen: "elsewhere" },
    { part: whole, from: one, to: two },
    { failedByNow: true },
    { part: whole, from: two, to: TOO_HIGH.length },
    continuation(),
  ]);
  return [...inThreeFrames, ...inOneFrame].map((steps, i) => ({
    id: `6.4.${i + 1}`,
    steps,
    expect: [],
    ending: NOT_UTF8,
  }));
}

/** A blank behind each byte from `first` up to, but not including, `end`. */
function lonely(first: number, end: number): string {
  let digits = "";
  for (let byte = first; byte < end; byte++) digits += byte.toString(16) + "20";
  return digits;
}

function range(first: number, end: number): string {
  let digits = "";
  for (let byte = first; byte < end; byte++) digits += byte.toString(16);
  return digits;
}

const CUT_SHORT = "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf";

/** The last two numbers of a plane, which are no characters. */
function nonCharacters(): string {
  const points = Array.from({ length: 17 }, (_, plane) => [plane * 0x10000 + 0xfffe, plane * 0x10000 + 0xffff]).flat();
  return points.map((point) =>
    Array.from(new TextEncoder().encode(String.fromCodePoint(point)), (byte) => byte.toString(16)).join("")
  ).join(" ");
}

/** The families 6.5 to 6.23 in order: valid or not, and the payloads in hex. */
const SEQUENCES: readonly (readonly [valid: boolean, payloads: string])[] = [
  [
    true,
    "68656c6c6f24776f726c64 68656c6c6fc2a2776f726c64 68656c6c6fe282ac776f726c64 68656c6c6ff0a4ada2776f726c64 " +
    "cebae1bdb9cf83cebcceb5",
  ],
  [true, Array.from({ length: 11 }, (_, i) => "cebae1bdb9cf83cebcceb5".slice(0, 2 * i + 2)).join(" ")],
  [true, "00 c280 e0a080 f0908080"],
  [false, "f888808080 fc8480808080"],
  [true, "7f dfbf efbfbf f48fbfbf"],
  [false, "f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf"],
  [true, "ed9fbf ee8080 efbfbd f48fbfbf f4908080"],
  [false, `80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf ${range(0x80, 0xbf)}`],
  [false, [[0xc0, 0xdf], [0xe0, 0xef], [0xf0, 0xf7], [0xf8, 0xfb], [0xfc, 0xfd]].map(([a, b]) => lonely(a, b)).join(" ")],
  [false, CUT_SHORT],
  [false, CUT_SHORT.replaceAll(" ", "")],
  [false, "fe ff fefeffff"],
  [false, "c0af e080af f08080af f8808080af fc80808080af"],
  [false, "c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf"],
  [false, "c080 e08080 f0808080 f880808080 fc8080808080"],
  [false, "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf"],
  [
    false,
    "eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf edae80edb080 edae80edbfbf edafbfedb080 edafbfedbfbf",
  ],
  [true, nonCharacters()],
  [true, "efbfb9 efbfba efbfbb efbfbc efbfbd efbfbe efbfbf"],
];

/** The ones in a valid family that are not: prefixes that end inside a character, and a number above U+10FFFF. */
const EXCEPTIONS = new Set(["6.6.1", "6.6.3", "6.6.4", "6.6.6", "6.6.8", "6.6.10", "6.11.5"]);

function sequences(): Case[] {
  return SEQUENCES.flatMap(([valid, payloads], family) =>
    payloads.split(" ").map((digits, i): Case => {
      const id = `6.${family + 5}.${i + 1}`;
      const payload = hex(digits);
      if (!valid || EXCEPTIONS.has(id)) return { id, steps: [text(payload)], expect: [], ending: NOT_UTF8 };
      return { id, steps: [text(payload)], expect: [textBack(payload)], ending: CLEAN };
    })
  );
}

/** The cases 6.*. */
export const cases: readonly Case[] = [...fragments(), ...failFast(), ...sequences()];
