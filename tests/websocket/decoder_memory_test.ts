// What MessageDecoder says about the memory of a message, and about what it has begun.

import { assertEquals, assertGreater } from "@std/assert";
import { test } from "node:test";
import { type DecoderEvents, MessageDecoder } from "../../src/websocket/decoder.ts";
import { frames, type Spec } from "./recorder.ts";

/** What was said of a message: whether its memory is lent, and whether it is known to be ASCII. */
type Said = [lent: boolean, isAscii: boolean | undefined];

/** A decoder that notes what it says of each message. */
class MemoryNotes implements DecoderEvents {
  readonly said: Said[] = [];
  /** Which messages have memory of their own. */
  readonly isOwn: boolean[] = [];
  readonly decoder: MessageDecoder;
  chunk: Uint8Array = new Uint8Array(0);

  constructor(masked: boolean) {
    this.decoder = new MessageDecoder({ masked, maxLength: 1 << 20 }, this);
  }

  receive(chunk: Uint8Array, at = 0, given = true): this {
    this.chunk = chunk;
    this.decoder.receive(chunk, at, given);
    return this;
  }

  get lent(): boolean[] {
    return this.said.map(([lent]) => lent);
  }

  onMessage(
    _opcode: number,
    bytes: Uint8Array,
    _start: number,
    _end: number,
    _compressed: boolean,
    lent: boolean,
    isAscii?: boolean,
  ): void {
    this.said.push([lent, isAscii]);
    this.isOwn.push(bytes.buffer !== this.chunk.buffer);
  }

  onControl(): void {}

  onTurnOver(): void {}

  onViolation(_code: number, reason: string): void {
    throw new Error(reason);
  }
}

for (const masked of [true, false]) {
  const role = masked ? "server" : "client";
  const bytes = (...specs: Spec[]) => frames(masked, specs);
  const notes = () => new MemoryNotes(masked);

  test(`MessageDecoder of a ${role} gives a message away only where it is alone in a chunk that was given`, () => {
    const one = bytes([1, "abc"]);
    const size = one.length;
    const behind = (before: number, after: number) => {
      const chunk = new Uint8Array(before + size + after);
      chunk.set(one, before);
      return chunk;
    };
    assertEquals(notes().receive(one.slice()).lent, [false]);
    assertEquals(notes().receive(one.slice(), 0, false).lent, [true]);
    assertEquals(notes().receive(behind(1, 0), 1).lent, [true]);
    // The beginning of another frame is behind it, of which nothing is known yet.
    assertEquals(notes().receive(bytes([1, "abc"], [1, ""]).slice(0, size + 1)).lent, [true]);
    assertEquals(notes().receive(bytes([1, "abc"], [2, "d"])).lent, [true, true]);
    assertEquals(notes().receive(bytes([9, ""], [1, "abc"])).lent, [true]);
    // The next chunk is a chunk of its own.
    assertEquals(notes().receive(bytes([1, "a"], [1, "b"])).receive(one.slice()).lent, [true, true, false]);
  });

  test(`MessageDecoder of a ${role} collects what came in pieces in memory that is given`, () => {
    const one = bytes([2, "abc"]);
    const header = one.length - 3;
    for (let at = 1; at < one.length; at++) {
      const { lent, isOwn } = notes().receive(one.slice(0, at)).receive(one.slice(at));
      // Where only the header was cut, the second chunk contains the whole payload, behind the rest of the header.
      const isHeaderCut = at < header;
      assertEquals([lent, isOwn], [[isHeaderCut], [!isHeaderCut]], `cut at ${at}`);
    }
    const fragments = notes().receive(bytes([1, "ab", false], [0, "c"]));
    assertEquals([fragments.lent, fragments.isOwn], [[false], [true]]);
    const empty = notes().receive(bytes([1, "", false], [0, ""]));
    assertEquals([empty.lent, empty.isOwn], [[false], [true]]);
  });

  test(`MessageDecoder of a ${role} is in the middle of a message from its first byte to its last`, () => {
    const { decoder } = notes();
    const all = bytes([1, "ab", false], [9, "p"], [0, "c"], [8, "\x03\xe8"], [2, ""]);
    const ends = new Set([bytes([1, "ab", false], [9, "p"], [0, "c"]).length, all.length - bytes([2, ""]).length, all.length]);
    assertEquals(decoder.isMidMessage, false);
    for (const [index, byte] of all.entries()) {
      decoder.receive(new Uint8Array([byte]));
      assertEquals(decoder.isMidMessage, !ends.has(index + 1), `behind byte ${index}`);
    }
  });
}

test("MessageDecoder knows which messages of a client are ASCII", () => {
  const notes = new MemoryNotes(true);
  notes.receive(frames(true, [[1, "abc\x7f"], [1, "é"], [1, ""], [1, "a".repeat(200) + "é"]]));
  assertEquals(notes.said.map(([, isAscii]) => isAscii), [true, false, true, false]);
});

test("MessageDecoder counts what it holds: a header, a message, a control frame, and what waits while it is on hold", () => {
  const { decoder } = new MemoryNotes(true);
  const held = (...bytes: number[]) => {
    decoder.receive(new Uint8Array(bytes));
    return decoder.heldBytes;
  };
  const header = held(0x01);
  assertGreater(header, 0);
  assertEquals(held(0x82, 0, 0, 0, 0), 0); // the header is complete
  const message = held(0x61);
  assertGreater(message, 0);
  assertEquals(held(0x61, 0x89), message + header);
  const control = held(0x82, 0, 0, 0, 0, 0x61) - message; // of a Ping inside the message
  assertGreater(control, 0);
  assertEquals(held(0x61), message);
  decoder.hold();
  assertEquals(held(1, 2, 3), message + 3);
  assertEquals(held(4, 5), message + 5);
  decoder.stop();
  assertEquals(decoder.heldBytes, 0);
});

test("MessageDecoder takes the bit RSV1 where compression was agreed, on the first frame of a message only", () => {
  const outcome = (takesCompressed: boolean, maxLength: number, ...chunks: Uint8Array[]) => {
    const seen: unknown[] = [];
    const decoder = new MessageDecoder({ masked: false, maxLength }, {
      onMessage: (opcode, _bytes, start, end, compressed) => void seen.push([opcode, end - start, compressed]),
      onControl: (opcode) => void seen.push(opcode),
      onTurnOver() {},
      onViolation: (code) => void seen.push(code),
    }, takesCompressed);
    for (const chunk of chunks) decoder.receive(chunk);
    return seen;
  };
  const compressed = (payload: string, opcode = 1, fin = true) => {
    const bytes = frames(false, [[opcode, payload, fin]]);
    bytes[0] |= 0x40;
    return bytes;
  };
  const plain = (payload: string, opcode = 1, fin = true) => frames(false, [[opcode, payload, fin]]);
  assertEquals(outcome(true, 9, compressed("\xff"), plain("a")), [[1, 2, true], [1, 1, false]]);
  assertEquals(outcome(true, 9, compressed("\xff", 1, false), plain("", 0), plain("a")), [[1, 2, true], [1, 1, false]]);
  assertEquals(outcome(false, 9, compressed("a")), [1002]);
  assertEquals(outcome(true, 9, compressed("a", 1, false), compressed("b", 0)), [1002]);
  for (const opcode of [8, 9, 10]) assertEquals(outcome(true, 9, compressed("a", opcode)), [1002]);
  assertEquals(outcome(true, 9, plain("a", 9), compressed("a", 2)), [9, [2, 1, true]]);
  // What cannot be compressed becomes a little longer.
  for (const [limit, most] of [[0, 64], [1023, 1087], [1024, 1089], [10_240, 10_314]]) {
    for (const send of [compressed, plain]) {
      const fits = send === compressed ? most : limit;
      for (const size of [fits, fits + 1]) {
        const expected = size > fits ? [1009] : [[2, size, send === compressed]];
        assertEquals(outcome(true, limit, send("a".repeat(size), 2)), expected, `${size} of ${limit}`);
        if (size < 2) continue;
        assertEquals(
          outcome(true, limit, send("a", 2, false), plain("a".repeat(size - 1), 0)),
          expected,
          `${size} of ${limit}, in parts`,
        );
      }
    }
  }
});
