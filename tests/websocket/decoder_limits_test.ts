import { assertEquals, assertLessOrEqual } from "@std/assert";
import { test } from "node:test";
import { hex } from "../support/raw_client.ts";
import { cut, frames, type Note, note, RecordedDecoder, type Spec, toHex } from "./recorder.ts";

/** What happens to bytes, in the given chunks. */
function decode(masked: boolean, chunks: Iterable<Uint8Array>, maxLength: number): Note[] {
  const recorded = new RecordedDecoder({ masked, maxLength });
  for (const chunk of chunks) recorded.decoder.receive(chunk);
  return recorded.notes;
}

test("MessageDecoder takes messages up to the limit, and fails one byte more before it has come", () => {
  const LONG = note("violation", 1009, "the message is too big");
  for (const masked of [true, false]) {
    for (const limit of [0, 1, 100, 125, 126, 5000, 65535, 65536, 70_000]) {
      const full = new Uint8Array(limit).fill(0x61);
      const all = toHex(full);
      const over = new Uint8Array(limit + 1);
      const half = limit >> 1;
      const good: Spec[][] = [
        [[1, full]],
        [[2, full.slice(0, half), false], [9, "ping"], [0, full.slice(half)]],
        [[1, "", false], [0, full, false], [0, "", false], [8, "x".repeat(125)], [10, "x".repeat(125)], [0, ""]],
      ];
      const cutSome = (bytes: Uint8Array) => [[bytes.slice()], cut(bytes, [7]), cut(bytes, [bytes.length >> 1])];
      for (const specs of good) {
        for (const chunks of cutSome(frames(masked, [...specs, ...specs]))) {
          const messages = decode(masked, chunks, limit).filter(({ what }) => what !== "control");
          assertEquals(messages, [note("message", specs[0][0], all), note("message", specs[0][0], all)]);
        }
      }
      const bad: Spec[][] = [
        [[2, over]],
        [[2, full, false], [0, "x"]],
        [[2, full, false], [0, "", false], [0, "x", false]],
        [[1, full.slice(0, half), false], [0, over.slice(half)]],
      ];
      for (const specs of bad) {
        const bytes = frames(masked, specs);
        const lastPayload = specs.at(-1)![1]!.length;
        assertEquals(decode(masked, [bytes.slice()], limit), [LONG]);
        assertEquals(decode(masked, [bytes.slice(0, bytes.length - lastPayload)], limit), [LONG]);
      }
    }
  }
});

test("MessageDecoder takes memory for what has come, not for what is announced", () => {
  for (const masked of [true, false]) {
    const recorded = new RecordedDecoder({ masked, maxLength: 1 << 30 });
    const { decoder } = recorded;
    assertEquals(decoder.heldBytes, 0);
    const key = masked ? "00000000" : "";
    decoder.receive(hex(`82 ${masked ? "ff" : "7f"} 0000000040000000 ${key}`));
    assertLessOrEqual(decoder.heldBytes, 1024);
    for (let come = 1; come < 40_000; come += 997) {
      decoder.receive(new Uint8Array(997));
      assertLessOrEqual(decoder.heldBytes, Math.max(1024, 2 * (come + 997)));
    }
    assertEquals(recorded.notes, []);
    decoder.stop();
    assertEquals(decoder.heldBytes, 0);
  }
});

test("MessageDecoder never takes more memory than the message limit, or than the last frame still needs", () => {
  for (const masked of [true, false]) {
    const bytes = frames(masked, [[2, new Uint8Array(3000), false], [0, new Uint8Array(1100)]]);
    const recorded = new RecordedDecoder({ masked, maxLength: 5000 });
    for (const byte of bytes) {
      recorded.decoder.receive(new Uint8Array([byte]));
      assertLessOrEqual(recorded.decoder.heldBytes, 5000 + 14);
    }
    assertEquals(recorded.notes.length, 1);
    assertEquals(recorded.decoder.heldBytes, 0);
    const last = frames(masked, [[2, new Uint8Array(1500)]]);
    for (const byte of last) {
      recorded.decoder.receive(new Uint8Array([byte]));
      assertLessOrEqual(recorded.decoder.heldBytes, 1500);
    }
    assertEquals(recorded.notes.length, 2);
    // Empty fragments and control frames without end hold nothing.
    recorded.decoder.receive(frames(masked, [[2, "", false]]));
    for (let i = 0; i < 1000; i++) recorded.decoder.receive(frames(masked, [[0, "", false], [9, "x"]]));
    assertEquals(recorded.decoder.heldBytes, 0);
  }
});

test("MessageDecoder moves a message that arrives byte by byte only a few times", () => {
  const size = 3000;
  for (const masked of [true, false]) {
    const whole = frames(masked, [[2, new Uint8Array(size)]]);
    const fragments = Array.from({ length: size }, (_, i) => frames(masked, [[i === 0 ? 2 : 0, "x", i === size - 1]]));
    for (const chunks of [cut(whole, whole.keys()), fragments]) {
      const recorded = new RecordedDecoder({ masked, maxLength: 1 << 20 });
      const sizes = new Set<number>();
      for (const chunk of chunks) {
        recorded.decoder.receive(chunk);
        sizes.add(recorded.decoder.heldBytes);
      }
      assertEquals(recorded.notes.length, 1);
      assertLessOrEqual(sizes.size, 5); // nothing, a header, and three steps of growth
    }
  }
});
