import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { frame, hex } from "../support/raw_client.ts";
import { anyInput, anyNumbers, places } from "./arbitrary.ts";
import { cut, everyCut, frames, type Note, note, RecordedDecoder, type Spec, toHex } from "./recorder.ts";

const LIMIT = 1 << 20;

/** What happens to bytes, in the given chunks. Behind a violation, no memory is held. */
function decode(masked: boolean, chunks: Iterable<Uint8Array>, maxLength = LIMIT): Note[] {
  const recorded = new RecordedDecoder({ masked, maxLength });
  for (const chunk of chunks) recorded.decoder.receive(chunk);
  if (recorded.notes.at(-1)?.what === "violation") assertEquals(recorded.decoder.heldBytes, 0);
  return recorded.notes;
}

const message = (opcode: number, text: string) => note("message", opcode, text);
const control = (opcode: number, text: string) => note("control", opcode, text);
const violation = (code: number, reason: string) => note("violation", code, reason);

const HELLO = "48656c6c6f";

/** RFC 6455 section 5.7. */
const examples: [digits: string, masked: boolean, notes: Note[]][] = [
  ["81 05 48656c6c6f", false, [message(1, HELLO)]],
  ["81 85 37fa213d 7f9f4d5158", true, [message(1, HELLO)]],
  ["01 03 48656c 80 02 6c6f", false, [message(1, HELLO)]],
  ["89 05 48656c6c6f", false, [control(9, HELLO)]],
  ["8a 85 37fa213d 7f9f4d5158", true, [control(10, HELLO)]],
  [`82 7e 0100 ${"a5".repeat(256)}`, false, [message(2, "a5".repeat(256))]],
  [`82 7f 0000000000010000 ${"a5".repeat(65536)}`, false, [message(2, "a5".repeat(65536))]],
];

test("MessageDecoder decodes the examples of RFC 6455, however they are cut", () => {
  for (const [digits, masked, notes] of examples) {
    for (const chunks of everyCut(hex(digits))) assertEquals(decode(masked, chunks), notes);
  }
});

const text = (value: string) => toHex(new TextEncoder().encode(value));

/** Frames that are allowed, and what they come to. */
const allowed: [specs: Spec[], notes: Note[]][] = [
  [[[1, ""]], [message(1, "")]],
  [[[2, ""]], [message(2, "")]],
  [[[1, "", false], [0, "", false], [0, ""]], [message(1, "")]],
  [[[2, "", false], [0, "a", false], [0, ""]], [message(2, "61")]],
  [[[1, "a"], [1, "b"], [2, "c"]], [message(1, "61"), message(1, "62"), message(2, "63")]],
  [[[1, "κόσμε"]], [message(1, text("κόσμε"))]],
  [[[1, "κ", false], [0, "όσ", false], [0, "με"]], [message(1, text("κόσμε"))]],
  // A character that is cut by the border of two frames.
  [[[1, hex("f09f"), false], [0, hex("98"), false], [0, hex("80")]], [message(1, "f09f9880")]],
  [[[1, "\ufeff"]], [message(1, "efbbbf")]],
  // Binary is no text.
  [[[2, hex("ff c0 80"), false], [0, hex("ed a0 80")]], [message(2, "ffc080eda080")]],
  // Control frames between the fragments of a message (section 5.4), and between the messages.
  [
    [[9, "p0"], [1, "a", false], [9, "p1"], [10, "p2"], [0, "b"], [10, ""], [2, "c"]],
    [control(9, "7030"), control(9, "7031"), control(10, "7032"), message(1, "6162"), control(10, ""), message(2, "63")],
  ],
  [[[8, ""], [8, hex("03e8")]], [control(8, ""), control(8, "03e8")]],
  [[[9, "x".repeat(125)]], [control(9, "78".repeat(125))]],
  // Each form of the length at its borders.
  ...[125, 126, 127, 65535, 65536].map((length): [Spec[], Note[]] => [
    [[2, new Uint8Array(length).fill(7)]],
    [message(2, "07".repeat(length))],
  ]),
  [[[1, "x".repeat(300), false], [0, "é".repeat(300)]], [message(1, "78".repeat(300) + "c3a9".repeat(300))]],
  // Behind another frame.
  ...[126, 65536].map((length): [Spec[], Note[]] => [
    [[9, "p"], [2, new Uint8Array(length).fill(7)]],
    [control(9, "70"), message(2, "07".repeat(length))],
  ]),
];

test("MessageDecoder joins fragments and lets control frames pass, in both roles, however the frames are cut", () => {
  for (const [specs, notes] of allowed) {
    for (const masked of [true, false]) {
      for (const chunks of everyCut(frames(masked, specs))) assertEquals(decode(masked, chunks), notes);
    }
  }
});

/** Headers that are not allowed, as far as they have to be read to see it, masked ones; and the code and reason that follow,
 * behind what was found before. */
const forbidden: [digits: string, code: number, reason: string, before?: Note[]][] = [
  // Section 5.2: reserved bits without an extension, reserved opcodes.
  ...[1, 2, 3, 4, 5, 6, 7].map((rsv): [string, number, string] => [
    `${(0x81 | (rsv << 4)).toString(16)} 80`,
    1002,
    "a reserved bit is set",
  ]),
  ["c8 80", 1002, "a reserved bit is set"],
  ["01 80 00000000 c0 80", 1002, "a reserved bit is set"],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): [string, number, string] => [
    `8${opcode.toString(16)} 80`,
    1002,
    "the opcode is reserved",
  ]),
  // Section 5.5: control frames are short and whole.
  ["08 80", 1002, "a control frame is fragmented"],
  ["09 80", 1002, "a control frame is fragmented"],
  ["0a 80", 1002, "a control frame is fragmented"],
  ["88 fe", 1002, "a control frame is longer than 125"],
  ["89 fe", 1002, "a control frame is longer than 125"],
  ["8a ff", 1002, "a control frame is longer than 125"],
  // Section 5.4: the order of fragments.
  ["80 80", 1002, "a continuation has nothing to continue"],
  ["00 80", 1002, "a continuation has nothing to continue"],
  ["81 80 00000000 80 80", 1002, "a continuation has nothing to continue", [message(1, "")]],
  ["01 80 00000000 81 80", 1002, "a message begins inside another"],
  ["01 80 00000000 02 80", 1002, "a message begins inside another"],
  ["02 80 00000000 00 80 00000000 82 80", 1002, "a message begins inside another"],
  // Section 5.2: the shortest form of the length, and no negative one.
  ["82 fe 0000", 1002, "the length is not minimal"],
  ["82 fe 007d", 1002, "the length is not minimal"],
  ["82 ff 0000000000000000", 1002, "the length is not minimal"],
  ["82 ff 000000000000007e", 1002, "the length is not minimal"],
  ["82 ff 000000000000ffff", 1002, "the length is not minimal"],
  ["82 ff 8000000000000000", 1002, "the length has its top bit set"],
  ["82 ff ffffffffffffffff", 1002, "the length has its top bit set"],
  // Section 7.4.1, 1009. The longest length that there is.
  ["82 ff 7fffffffffffffff", 1009, "the message is too big"],
  ["82 ff 0000000000100001", 1009, "the message is too big"],
  ["82 ff 0100000000000000", 1009, "the message is too big"],
  ["82 ff 0100000000010000", 1009, "the message is too big"],
];

/** The same header without the mask bit and the keys of complete frames. */
function withoutMask(digits: string): string {
  return digits.replaceAll(/(..) 80 00000000/g, "$1 00").replace(
    / (80|fe|ff)(?=( [0-9a-f]{4,})?$)/,
    (_all, second) => ` ${(parseInt(second, 16) & 0x7f).toString(16).padStart(2, "0")}`,
  );
}

test("MessageDecoder fails what a header may not say, as soon as the header says it, and reads nothing behind it", () => {
  for (const [digits, code, reason, before = []] of forbidden) {
    const notes = [...before, violation(code, reason)];
    for (const masked of [true, false]) {
      const bytes = hex(masked ? digits : withoutMask(digits));
      const more = frames(masked, [[1, "x"], [9, ""], [8, ""]]);
      for (const chunks of everyCut(bytes)) {
        assertEquals(decode(masked, chunks.map((chunk) => chunk.slice())), notes, `${toHex(bytes)} ${masked}`);
        assertEquals(decode(masked, [...chunks, more.slice(), more.slice()]), notes);
      }
      assertEquals(decode(masked, [hex(toHex(bytes) + toHex(more))]), notes);
      // One byte less, and nothing is wrong yet.
      assertEquals(decode(masked, [bytes.slice(0, -1)]), before);
    }
  }
});

test("MessageDecoder fails frames that are not masked as the role asks for (section 5.1)", () => {
  for (const opcode of [0, 1, 2, 8, 9, 10]) {
    const began: Spec[] = opcode === 0 ? [[1, "a", false]] : [];
    for (const masked of [true, false]) {
      const bytes = hex(toHex(frames(masked, began)) + toHex(frame({ opcode, payload: "x", mask: !masked })));
      const notes = [violation(1002, masked ? "the frame is not masked" : "the frame is masked")];
      for (const chunks of everyCut(bytes)) assertEquals(decode(masked, chunks), notes);
    }
  }
});

const NOT_UTF8 = violation(1007, "text is not UTF-8");

/** Texts that are none, and how many of their bytes are still right. */
const notUtf8: [digits: string, right: number][] = [
  ["ff", 0],
  ["80", 0],
  ["61 62 63 c0 af", 3],
  ["ce ba e1 bd b9 ed a0 80 65", 6],
  ["f4 90 80 80", 1],
  ["e0 9f bf", 1],
  ["f8 88 80 80 80", 0],
  [`${"61".repeat(200)} c3 28`, 201],
  // An ASCII byte where a character goes on, which then does.
  ["c3 28 a9", 1],
  ["f0 9f 41 98 80 42", 2],
];

test("MessageDecoder fails text that is not UTF-8 at the first byte that shows it (section 8.1)", () => {
  for (const [digits, right] of notUtf8) {
    for (const masked of [true, false]) {
      const payload = hex(digits);
      const bytes = frames(masked, [[1, payload]]);
      for (const chunks of everyCut(bytes)) assertEquals(decode(masked, chunks), [NOT_UTF8]);
      // Before the frame is complete.
      const header = bytes.length - payload.length;
      if (right + 1 < payload.length) {
        assertEquals(decode(masked, [bytes.slice(0, header + right + 1)]), [NOT_UTF8]);
        assertEquals(decode(masked, [bytes.slice(0, header + right), bytes.slice(header + right, header + right + 1)]), [
          NOT_UTF8,
        ]);
      }
      assertEquals(decode(masked, [bytes.slice(0, header + right)]), []);
      // The same in fragments of a byte each.
      const split = Array.from(payload, (byte, i): Spec => [i === 0 ? 1 : 0, new Uint8Array([byte]), i === payload.length - 1]);
      for (const chunks of everyCut(frames(masked, split))) assertEquals(decode(masked, chunks), [NOT_UTF8]);
      assertEquals(decode(masked, [frames(masked, split.slice(0, right + 1))]), [NOT_UTF8]);
      assertEquals(decode(masked, [frames(masked, split.slice(0, right))]), []);
    }
  }
});

test("MessageDecoder fails text that ends inside a character", () => {
  const cutShort: Spec[][] = [
    [[1, hex("61c3")]],
    [[1, hex("e2"), false], [0, hex("82")]],
    [[1, hex("f09f98"), false], [0, ""]],
  ];
  for (const masked of [true, false]) {
    for (const specs of cutShort) {
      for (const chunks of everyCut(frames(masked, specs))) assertEquals(decode(masked, chunks), [NOT_UTF8]);
    }
    // The next message begins anew.
    assertEquals(decode(masked, [frames(masked, [[1, "é"], [1, "é"]])]), [message(1, "c3a9"), message(1, "c3a9")]);
  }
});

test("MessageDecoder begins where it is told to, and keeps to its part of the memory", () => {
  const bytes = frames(true, [[1, "é".repeat(100)], [9, "p"]]);
  const memory = new Uint8Array(bytes.length + 20).fill(0xee);
  memory.set(bytes, 10);
  const recorded = new RecordedDecoder({ masked: true, maxLength: LIMIT });
  recorded.decoder.receive(memory.subarray(3, 10 + bytes.length), 7);
  assertEquals(recorded.notes, [message(1, text("é".repeat(100))), control(9, "70")]);
  assertEquals(toHex(memory.subarray(0, 10)) + toHex(memory.subarray(10 + bytes.length)), "ee".repeat(20));
});

test("MessageDecoder hands out nothing more once it was stopped, not even from the same chunk", () => {
  for (const first of [1, 9]) {
    const recorded = new RecordedDecoder({ masked: true, maxLength: LIMIT });
    recorded.onEach = () => recorded.decoder.stop();
    recorded.decoder.receive(frames(true, [[first, "a"], [1, "b"], [9, "c"], [3, "d"]]));
    recorded.decoder.receive(frames(true, [[1, "e"]]));
    assertEquals(recorded.notes.length, 1);
    assertEquals(recorded.decoder.heldBytes, 0);
  }
});

test("MessageDecoder finds the same in any bytes, whole or in pieces, never throws and stays within its limit", () => {
  const limit = 150;
  for (const masked of [true, false]) {
    fc.assert(
      fc.property(anyInput(masked), anyNumbers, (bytes, numbers) => {
        const whole = decode(masked, [bytes.slice()], limit);
        const recorded = new RecordedDecoder({ masked, maxLength: limit });
        for (const chunk of cut(bytes, places(numbers, bytes.length))) {
          recorded.decoder.receive(chunk);
          assertLessOrEqual(recorded.decoder.heldBytes, limit + 125 + 14);
        }
        assertEquals(recorded.notes, whole);
        const at = whole.findIndex(({ what }) => what === "violation");
        assert(at === -1 || at === whole.length - 1, "something follows a violation");
        for (const { what, number } of whole) {
          if (what === "violation") assert([1002, 1007, 1009].includes(number));
          else assert([1, 2, 8, 9, 10].includes(number));
        }
      }),
      { numRuns: 1500 },
    );
  }
});
