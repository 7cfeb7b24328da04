import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { writeAscii, writeLatin1 } from "../../src/transport/bytes.ts";

const LENGTHS = [0, 1, 13, 63, 64, 65, 66, 200, 5000];

test("writeAscii() writes ASCII of any length, and nothing beside it", () => {
  for (const length of LENGTHS) {
    const text = "Hello, World!\r\n\x00\x7f".repeat(400).slice(0, length);
    const memory = new Uint8Array(length + 6).fill(0xee);
    assertEquals(writeAscii(text, memory, 3), true);
    assertEquals([...memory], [0xee, 0xee, 0xee, ...new TextEncoder().encode(text), 0xee, 0xee, 0xee]);
  }
});

test("writeAscii() tells what is not ASCII, wherever it is, and writes nothing beside its room", () => {
  for (const length of LENGTHS.slice(1)) {
    for (const other of ["\x80", "é", "€", "\ud800", "\udc00", ...length > 1 ? ["😀"] : []]) {
      for (const at of [0, length >> 1, length - other.length]) {
        if (at + other.length > length) continue;
        const text = "a".repeat(at) + other + "a".repeat(length - at - other.length);
        const memory = new Uint8Array(length + 2).fill(0xee);
        assertEquals(writeAscii(text, memory, 1), false);
        assertEquals([memory[0], memory[length + 1]], [0xee, 0xee]);
      }
    }
  }
});

test("writeLatin1() writes a byte for each character", () => {
  for (const length of LENGTHS) {
    const text = String.fromCharCode(...Array.from({ length }, (_, i) => i & 255));
    const memory = new Uint8Array(length + 2).fill(0xee);
    writeLatin1(text, memory, 1);
    assertEquals([...memory], [0xee, ...Array.from({ length }, (_, i) => i & 255), 0xee]);
  }
});
