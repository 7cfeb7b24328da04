import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { bytesOf, closeFrame, frame, hex } from "../support/raw_client.ts";
import { FrameReader } from "./frame_reader.ts";

test("FrameReader hands out messages and control frames in any pieces", () => {
  const parts = [
    frame({ opcode: 1, fin: false, payload: "grü", mask: false }),
    frame({ opcode: 9, payload: "p", mask: false }),
    frame({ opcode: 0, payload: "n", mask: false }),
    frame({ opcode: 2, payload: new Uint8Array(126), mask: false }),
    frame({ opcode: 2, payload: new Uint8Array(65536), mask: false }),
    closeFrame(1011, "ö", false),
  ];
  for (const size of [1, 3, 100_000]) {
    const seen: string[] = [];
    const reader = new FrameReader({ masked: false }, (opcode, payload) => seen.push(`${opcode}: ${payload.length}`));
    for (const part of parts) {
      for (let at = 0; at < part.length; at += size) reader.receive(part.subarray(at, at + size));
    }
    assertEquals(reader.violation, undefined);
    assertEquals(seen, ["9: 1", "1: 5", "2: 126", "2: 65536", "8: 4"]);
  }
});

const broken: [bytes: string, rule: string][] = [
  ["c100", "a reserved bit is set"],
  ["a100", "a reserved bit is set"],
  ["9100", "a reserved bit is set"],
  ["0100 4000", "a reserved bit is set"],
  ["8180 00000000", "the frame is masked"],
  ["8300", "the opcode is reserved"],
  ["8b00", "the opcode is reserved"],
  ["0900", "a control frame is fragmented or too long"],
  ["897e 007e", "a control frame is fragmented or too long"],
  ["8000", "a continuation has nothing to continue"],
  ["0100 8100", "a message begins inside another"],
  ["827e 007d", "the length is not minimal"],
  ["827f 000000000000ffff", "the length is not minimal"],
  ["827f 8000000000000000", "the length has its top bit set"],
  ["827f 0000000100000000", "the frame is far longer than anything that was sent"],
  ["8801 03", "a Close frame has one byte"],
  ["8802 03ed", "the close code is 1005"],
  ["8802 03f4", "the close code is 1012"],
  ["8802 07d0", "the close code is 2000"],
  ["8802 1388", "the close code is 5000"],
  ["8803 03e8 ff", "the reason of a Close is not UTF-8"],
  ["8101 ff", "a text is not UTF-8"],
  ["0101 c3 8001 41", "a text is not UTF-8"],
];

test("FrameReader finds what a server may not send", () => {
  for (const [digits, rule] of broken) {
    const reader = new FrameReader({ masked: false }, () => {});
    reader.receive(bytesOf(hex(digits)));
    assertEquals(reader.violation, rule, digits);
  }
});

test("FrameReader undoes the masks of a client", () => {
  const parts = [
    frame({ opcode: 1, fin: false, payload: "grü", key: [1, 2, 3, 4] }),
    frame({ opcode: 9, key: [0xff, 0xfe, 0xfd, 0xfc] }),
    frame({ opcode: 0, payload: "n", key: [0, 0, 0, 0] }),
    frame({ opcode: 2, payload: new Uint8Array(126).fill(7), key: [1, 2, 3, 5] }),
    frame({ opcode: 2, payload: new Uint8Array(65536).fill(9), key: [0x80, 2, 3, 4] }),
  ];
  for (const size of [1, 3, 100_000]) {
    const seen: [number, Uint8Array][] = [];
    const reader = new FrameReader({ masked: true }, (opcode, payload) => seen.push([opcode, payload]));
    for (const part of parts) {
      for (let at = 0; at < part.length; at += size) reader.receive(part.subarray(at, at + size));
    }
    assertEquals(reader.violation, undefined);
    assertEquals(seen, [
      [9, bytesOf("")],
      [1, bytesOf("grün")],
      [2, new Uint8Array(126).fill(7)],
      [2, new Uint8Array(65536).fill(9)],
    ]);
  }
});

const brokenByClients: [bytes: string, rule: string | undefined][] = [
  ["8100", "the frame is not masked"],
  ["8180 01020304 8180 01020304", "the masking key is an old one"],
  ["8180 00000000 8180 00000000", "the masking key is an old one"],
  ["8180 00000001 8180 00000002 8180 00000001", undefined], // this may be by chance
  ["8180 00000001 8180 00000002 8180 00000001 8180 00000002", "the masking key is an old one"],
  ["82fe 007d 00000000", "the length is not minimal"],
  ["82ff 8000000000000000", "the length has its top bit set"],
  ["8881 00000001 00", "a Close frame has one byte"],
  ["8181 00000001 fe 8181 00000002 fe", "a text is not UTF-8"],
];

test("FrameReader finds what a client may not send", () => {
  for (const [digits, rule] of brokenByClients) {
    const reader = new FrameReader({ masked: true }, () => {});
    reader.receive(hex(digits));
    assertEquals(reader.violation, rule, digits);
  }
});

test("FrameReader takes RSV1 where it was agreed on, and tells of it", () => {
  const seen: [number, number, boolean][] = [];
  const reader = new FrameReader({ masked: false, rsv1: true }, (...[opcode, payload, compressed]) => {
    seen.push([opcode, payload.length, compressed]);
  });
  // What is compressed is not looked at as text; a plain message may come next.
  reader.receive(hex("c101ff 4101ff 8900 8001ff 810141 c20100"));
  assertEquals(reader.violation, undefined);
  assertEquals(seen, [[1, 1, true], [9, 0, false], [1, 2, true], [1, 1, false], [2, 1, true]]);
});

test("FrameReader finds reserved bits that stay reserved with compression", () => {
  for (const digits of ["a100", "9100", "e100", "c900", "ca00", "c800", "4100 4000", "4100 c000", "0100 c000"]) {
    const reader = new FrameReader({ masked: false, rsv1: true }, () => {});
    reader.receive(hex(digits));
    assertEquals(reader.violation, "a reserved bit is set", digits);
  }
  const reader = new FrameReader({ masked: false, rsv1: true }, () => {});
  reader.receive(hex("c101ff 8101ff"));
  assertEquals(reader.violation, "a text is not UTF-8");
});
