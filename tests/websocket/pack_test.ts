import { assert, assertEquals, assertFalse, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import {
  CloseFrame,
  Frame,
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  SWOOLE_WEBSOCKET_FLAG_MASK,
  SWOOLE_WEBSOCKET_FLAG_RSV1,
  SWOOLE_WEBSOCKET_FLAG_RSV2,
  SWOOLE_WEBSOCKET_FLAG_RSV3,
  WebSocketServer,
} from "../../mod.ts";
import { bytesOf, hex } from "../support/raw_client.ts";
import { toHex } from "./recorder.ts";

const FIN = SWOOLE_WEBSOCKET_FLAG_FIN;
const MASK = SWOOLE_WEBSOCKET_FLAG_MASK;
const COMPRESS = SWOOLE_WEBSOCKET_FLAG_COMPRESS;

type Arguments = Parameters<typeof Frame.pack>;

/** What `pack()` gives, as hex; `false` when it throws. The same function has three names. */
function packed(...args: Arguments): string | false {
  const [first, ...others] = [WebSocketServer, Frame, CloseFrame].map((type) => {
    try {
      return toHex(type.pack(...args));
    } catch (error) {
      assert(error instanceof RangeError);
      return false;
    }
  });
  for (const other of others) assertEquals(other === false, first === false);
  return first;
}

/** A frame with some properties set. */
function frameWith<F extends Frame>(frame: F, properties: Partial<F>): F {
  return Object.assign(frame, properties);
}

const HELLO = "68656c6c6f";

test("pack gives the bytes that Swoole gives", () => {
  const rows: [args: Arguments, digits: string | false][] = [
    [["hello"], `8105${HELLO}`],
    [[bytesOf("hello"), 1], `8105${HELLO}`],
    [[5], "810135"],
    [[-1.5, 2], "82042d312e35"],
    [[""], "8100"],
    [["hello", 2], `8205${HELLO}`],
    [["hello", 1, 0], `0105${HELLO}`],
    [["hello", 1, false], `0105${HELLO}`],
    [["hello", 1, true], `8105${HELLO}`],
    [["hello", 0, 1], `8005${HELLO}`],
    [["hello", 1, COMPRESS], `0105${HELLO}`],
    [["", 1, FIN | COMPRESS], "8100"],
    [["hello", 1, FIN | COMPRESS], "c107ca48cdc9c90700"],
    [[bytesOf("hello"), 2, FIN | COMPRESS], "c207ca48cdc9c90700"],
    [["hello", 0, FIN | COMPRESS], `8005${HELLO}`], // only a whole message
    [[frameWith(new Frame(), { data: "hello", flags: FIN | COMPRESS })], "c107ca48cdc9c90700"],
    [["hello", 1, FIN | SWOOLE_WEBSOCKET_FLAG_RSV2], `8105${HELLO}`],
    [["hello", 1, FIN | SWOOLE_WEBSOCKET_FLAG_RSV3], `8105${HELLO}`],
    [["hello", 1, 65], `8105${HELLO}`],
    [["hello", 1, 257], `8105${HELLO}`],
    [["p", 9], "890170"],
    [["p", 9, 0], "890170"], // a control frame always has FIN
    [["p", 10, COMPRESS], "8a0170"],
    [["x", 11], false],
    [["x", -1], false],
    [["x".repeat(125)], `817d${"78".repeat(125)}`],
    [["x".repeat(126)], `817e007e${"78".repeat(126)}`],
    [["x".repeat(65535)], `817effff${"78".repeat(65535)}`],
    [["x".repeat(65536)], `817f0000000000010000${"78".repeat(65536)}`],
    [[frameWith(new Frame(), { data: "hi" })], "81026869"],
    [[frameWith(new Frame(), { data: "hi", finish: false })], "01026869"],
    [[frameWith(new Frame(), { data: "hi", flags: 0 })], "01026869"],
    [[frameWith(new Frame(), { data: "hi", flags: 0, finish: true })], "81026869"],
    [[frameWith(new Frame(), { data: "hi", opcode: 2 }), 1, 0], "82026869"], // the other arguments are ignored
    [[new CloseFrame()], "880203e8"],
    [[frameWith(new CloseFrame(), { code: 4000, reason: "bye" })], "88050fa0627965"],
    [[frameWith(new CloseFrame(), { flags: 0, finish: false })], "880203e8"],
    [[frameWith(new CloseFrame(), { reason: "x".repeat(123) })], `887d03e8${"78".repeat(123)}`],
    [[frameWith(new CloseFrame(), { reason: "x".repeat(126) })], false],
    [[frameWith(new CloseFrame(), { opcode: 1, data: "x" })], "810178"],
    [[frameWith(new Frame(), { opcode: 8, data: "bye" })], "880203e8"], // the data is ignored
  ];
  for (const [args, digits] of rows) assertEquals(packed(...args), digits, JSON.stringify(args).slice(0, 100));
});

test("pack takes the payload of a received frame from where it lies", () => {
  const memory = bytesOf("..hello..");
  for (const [opcode, first] of [[1, "81"], [2, "82"], [9, "89"], [0, "80"]] as const) {
    const received = Frame["received"](7, opcode, FIN, memory, 2, 7, false);
    assertEquals(packed(received), `${first}05${HELLO}`);
    assertEquals(toHex(received.bytes), HELLO);
    assertEquals(packed(received), `${first}05${HELLO}`);
  }
  // Only the payload counts, not where it ends. Of a Close it is ignored.
  assertEquals(packed(Frame["received"](7, 9, FIN, new Uint8Array(300), 298, 300, false)), "89020000");
  assertEquals(packed(Frame["received"](7, 8, FIN, memory, 2, 7, false)), "880203e8");
  const changed = Frame["received"](7, 1, FIN, memory, 2, 7, false);
  changed.data = "other";
  assertEquals(packed(changed), `8105${toHex(bytesOf("other"))}`);
  assertEquals(toHex(memory), toHex(bytesOf("..hello..")));
});

test("pack differs from Swoole where RFC 6455 says so, and is documented to", () => {
  const rows: [why: string, args: Arguments, digits: string | false][] = [
    ["the text is the reason, the code 1000; Swoole: code 0", ["bye", 8], "880503e8627965"],
    ["the same for bytes", [bytesOf("bye"), 8, 0], "880503e8627965"],
    ["the code is 1000; Swoole: code 0", ["", 8], "880203e8"],
    ["a control payload has at most 125 bytes; Swoole: sent", ["x".repeat(126), 9], false],
    ["the same for a pong", ["x".repeat(126), 10], false],
    ["reserved opcodes are not sent; Swoole: sent", ["x", 3], false],
    ["the same", ["x", 7], false],
    ["an opcode is a whole number", ["x", 1.5], false],
    ["an opcode is a whole number", ["x", 8.5], false],
    ["a reason has at most 123 bytes; Swoole: up to 125", [frameWith(new CloseFrame(), { reason: "x".repeat(124) })], false],
    ["bytes count, not characters", [frameWith(new CloseFrame(), { reason: "é".repeat(62) })], false],
    ["this code may not travel", [frameWith(new CloseFrame(), { code: 1005 })], false],
    ["this code may not travel", [frameWith(new CloseFrame(), { code: 999 })], false],
    ["the bit alone would lie; Swoole: set", ["hello", 1, FIN | SWOOLE_WEBSOCKET_FLAG_RSV1], `8105${HELLO}`],
    ["bytes are binary unless they are said to be text; Swoole: text", [hex("00ff")], "820200ff"],
    ["the same for a frame", [frameWith(new Frame(), { data: hex("00ff") })], "820200ff"],
    ["a text is UTF-8; Swoole: sent", [hex("00ff"), 1], false],
    ["the same for a frame", [frameWith(new Frame(), { data: hex("00ff"), opcode: 1 })], false],
    ["a fragment may end within a character", [hex("c3"), 1, 0], "0101c3"],
  ];
  for (const [why, args, digits] of rows) assertEquals(packed(...args), digits, why);
  // A wrong type is the program's mistake; Swoole makes a string of it.
  const wrongs: [wrong: unknown, words: string][] = [
    [null, "Cannot send null: a string, a number, a Uint8Array, or a Frame is needed"],
    [undefined, "Cannot send undefined: "],
    [true, "Cannot send a boolean: "],
    [["a"], "Cannot send a list: a string, a number, a Uint8Array, or a Frame is needed; use JSON.stringify()"],
    [{}, "or a Frame is needed; use JSON.stringify()"],
    [
      new ArrayBuffer(1),
      "Cannot send an object: a string, a number, a Uint8Array, or a Frame is needed; use new Uint8Array(buffer)",
    ],
    [new Uint16Array(1), "use new Uint8Array(view.buffer, view.byteOffset, view.byteLength)"],
    [new Blob(["a"]), "use new Uint8Array(await data.arrayBuffer())"],
    [Promise.resolve("a"), "a promise has to be awaited"],
    [() => "a", "Cannot send a function: "],
  ];
  for (const [wrong, words] of wrongs) assertThrows(() => WebSocketServer.pack(wrong as string), TypeError, words);
  assertThrows(() => WebSocketServer.pack(hex("ff"), 1), RangeError, "a text has to be UTF-8");
  assertThrows(() => WebSocketServer.pack("x", 3), RangeError, "opcode 3");
});

test("pack masks with a new key each time; Swoole's key is always the same", () => {
  const keys = new Set<string>();
  for (let i = 0; i < 8; i++) {
    for (const data of ["hello", bytesOf("hello"), frameWith(new Frame(), { data: "hello", flags: FIN | MASK })]) {
      const bytes = WebSocketServer.pack(data, 1, FIN | MASK);
      assertEquals(toHex(bytes.subarray(0, 2)), "8185");
      assertEquals(bytes.length, 11);
      keys.add(toHex(bytes.subarray(2, 6)));
      const frame = WebSocketServer.unpack(bytes);
      assert(frame instanceof Frame);
      assertEquals([frame.data, frame.flags], ["hello", 33]);
    }
  }
  assert(keys.size > 20, `${keys.size} keys in 24 frames`);
  const empty = WebSocketServer.pack("", 1, FIN | MASK) as Uint8Array;
  assertEquals([toHex(empty.subarray(0, 2)), empty.length], ["8180", 6]);
});

test("toBytes packs a frame, or throws when it cannot be sent", () => {
  assertEquals(toHex(frameWith(new Frame(), { data: "hi" }).toBytes()), "81026869");
  assertEquals(toHex(frameWith(new CloseFrame(), { code: 4000, reason: "bye" }).toBytes()), "88050fa0627965");
  assertThrows(() => frameWith(new Frame(), { opcode: 3 }).toBytes(), RangeError, "Cannot pack the frame");
});

/** What `unpack()` gives, as a row. */
function unpacked(digits: string): [data: string, opcode: number, flags: number, finish: boolean | null] | false {
  const bytes = hex(digits);
  const frame = WebSocketServer.unpack(bytes);
  assertEquals(toHex(bytes), digits.replaceAll(" ", "")); // the input stays as it is, masked or not
  if (frame === false) return false;
  assert(frame instanceof Frame);
  assertEquals(frame.fd, 0);
  assertEquals(typeof frame.data === "string", frame.opcode === 1);
  return [toHex(frame.bytes), frame.opcode, frame.flags, frame.finish];
}

test("unpack reads what Swoole reads", () => {
  const rows: [digits: string, result: ReturnType<typeof unpacked>][] = [
    ["", false],
    ["81", false],
    ["8100", ["", 1, 1, true]],
    ["81026869", ["6869", 1, 1, true]],
    ["81026869 ffff", ["6869", 1, 1, true]], // the rest is ignored
    ["81056869", false],
    ["817e00", false],
    ["817e", false],
    ["817f00000000000000", false],
    ["8180000000", false],
    ["01026869", ["6869", 1, 0, false]],
    ["80026869", ["6869", 0, 1, true]],
    ["82026869", ["6869", 2, 1, true]],
    ["8182 37fa213d 5f93", ["6869", 1, 33, true]],
    ["a1026869", ["6869", 1, 9, true]], // RSV2
    ["91026869", ["6869", 1, 17, true]], // RSV3
    ["83026869", ["6869", 3, 1, true]],
    ["0900", ["", 9, 0, false]],
    [`897e007e${"78".repeat(126)}`, ["78".repeat(126), 9, 1, true]],
    [`827f0000000000000002 0102`, ["0102", 2, 1, true]],
    ["827f8000000000000000", false],
  ];
  for (const [digits, result] of rows) assertEquals(unpacked(digits), result, digits);
});

test("unpack reads Close frames", () => {
  const rows: [digits: string, code: number, reason: string, data: string][] = [
    ["8800", 1000, "", ""],
    ["880103", 1000, "", "03"],
    ["880203e8", 1000, "", "03e8"],
    ["88050fa0627965", 4000, "bye", "0fa0627965"],
    ["88028000", 32768, "", "8000"], // Swoole 6.2.2: -32768
  ];
  for (const [digits, code, reason, data] of rows) {
    const frame = CloseFrame.unpack(hex(digits));
    assert(frame instanceof CloseFrame);
    assertEquals([frame.code, frame.reason, toHex(frame.bytes), frame.opcode], [code, reason, data, 8]);
  }
  assertFalse(Frame.unpack(hex("81026869")) instanceof CloseFrame);
});

test("unpack inflates a whole message, up to its limit", () => {
  assertEquals(unpacked("c107 ca48cdc9c90700"), [HELLO, 1, 7, true]);
  assertEquals(unpacked("c187 00000000 ca48cdc9c90700"), [HELLO, 1, 39, true]);
  assertEquals(unpacked("c100"), ["", 1, 7, true]);
  assertEquals(unpacked("c103 ffffff"), false);
  // What is not a whole message cannot be inflated on its own: it comes as it is.
  assertEquals(unpacked("4107 ca48cdc9c90700"), ["ca48cdc9c90700", 1, 4, false]);
  assertEquals(unpacked("c007 ca48cdc9c90700"), ["ca48cdc9c90700", 0, 5, true]);
  assertEquals(unpacked("c901 70"), ["70", 9, 5, true]);

  const limit = 2 * 1024 * 1024;
  const bytes = (size: number) => WebSocketServer.pack(new Uint8Array(size), 2, FIN | COMPRESS);
  const frame = WebSocketServer.unpack(bytes(limit));
  assert(frame instanceof Frame && frame.bytes.length === limit);
  assertEquals(WebSocketServer.unpack(bytes(limit + 1)), false);
  assert(WebSocketServer.unpack(bytes(limit + 1), limit + 1));
  assertEquals(Frame.unpack(bytes(5), 4), false);
});

test("unpack takes nothing but bytes", () => {
  assertThrows(() => WebSocketServer.unpack(null as unknown as Uint8Array), TypeError, "Cannot unpack");
  assertThrows(() => WebSocketServer.unpack("8100" as unknown as Uint8Array), TypeError, "Cannot unpack");
});

test("A new Frame and a new CloseFrame have Swoole's defaults", () => {
  assertEquals(JSON.stringify(new Frame()), '{"fd":0,"data":"","opcode":1,"flags":1,"finish":null}');
  const close = new CloseFrame();
  assertEquals([close.opcode, close.code, close.reason, close.flags, close.finish], [8, 1000, "", 1, null]);
  assert(close instanceof Frame);
});

test("A Frame shows its payload as text or bytes, by its opcode, whichever was set", () => {
  const text = frameWith(new Frame(), { data: "é" });
  assertEquals([text.data, toHex(text.bytes)], ["é", "c3a9"]);
  assertStrictEquals(text.bytes, text.bytes); // made once
  const fromBytes = frameWith(new Frame(), { opcode: 1, data: hex("c3a9") });
  assertEquals([fromBytes.data, toHex(fromBytes.bytes)], ["é", "c3a9"]);
  const bom = frameWith(new Frame(), { opcode: 1, data: hex("efbbbf61") });
  assertEquals(bom.data, "\ufeffa"); // U+FEFF is part of the message
  const binary = frameWith(new Frame(), { opcode: 2, data: hex("c3a9") });
  assertEquals(binary.data, hex("c3a9"));
  binary.data = hex("00");
  assertEquals([binary.data, binary.bytes], [hex("00"), hex("00")]);
  const number = new Frame();
  number.data = 5;
  assertEquals([number.data, number.bytes], ["5", bytesOf("5")]);
  assertThrows(() => frameWith(new Frame(), { data: { a: 1 } as unknown as string }), TypeError, "JSON.stringify()");
});

test("A Frame whose opcode is not set is binary when its data is bytes, and text otherwise", () => {
  const frame = new Frame();
  assertEquals(frame.opcode, 1);
  frame.data = hex("c3a9");
  assertEquals([frame.opcode, frame.data], [2, hex("c3a9")]);
  frame.data = "é";
  assertEquals([frame.opcode, frame.data, frame.bytes, frame.opcode], [1, "é", hex("c3a9"), 1]);
  frame.opcode = 1;
  frame.data = hex("c3a9");
  assertEquals([frame.opcode, frame.data], [1, "é"]);
  frame.opcode = 2;
  assertEquals([frame.opcode, frame.data], [2, hex("c3a9")]);
});

test("A received text is forwarded, and looked at again once the program has had its bytes", () => {
  const text = Frame["received"](7, 1, FIN, bytesOf("grüße"), 0, 7, false);
  assertEquals(packed(text), `8107${toHex(bytesOf("grüße"))}`);
  text.bytes[2] = 0xff;
  assertEquals(packed(text), false);
  const binary = Frame["received"](7, 2, FIN, hex("ff"), 0, 1, false);
  assertEquals(packed(binary), "8201ff");
  binary.opcode = 1;
  assertEquals(packed(binary), false);
});

test("toJSON() is what JSON.stringify() sees: Swoole's five properties in Swoole's order", () => {
  const frame = new Frame();
  frame.data = "hi";
  assertEquals(JSON.stringify(frame), '{"fd":0,"data":"hi","opcode":1,"flags":1,"finish":null}');
  assertEquals(frame.toJSON(), { fd: 0, data: "hi", opcode: 1, flags: FIN, finish: null });
});

function isText(bytes: Uint8Array): boolean {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes) !== null;
  } catch {
    return false;
  }
}

test("unpack reads what pack wrote", () => {
  const anyData = fc.oneof(
    fc.string({ unit: "binary", maxLength: 200, size: "max" }).map((text) => text.toWellFormed()),
    fc.uint8Array({ maxLength: 200, size: "max" }),
  );
  fc.assert(
    fc.property(anyData, fc.constantFrom(0, 1, 2), fc.nat({ max: 63 }), (data, opcode, given) => {
      const flags = given & (FIN | COMPRESS | MASK);
      if (opcode === 1 && (flags & FIN) !== 0 && typeof data !== "string" && !isText(data)) {
        return void assertThrows(() => WebSocketServer.pack(data, opcode, flags), RangeError, "UTF-8");
      }
      const frame = WebSocketServer.unpack(WebSocketServer.pack(data, opcode, flags) as Uint8Array);
      assert(frame instanceof Frame);
      assertEquals(toHex(frame.bytes), toHex(bytesOf(data)));
      const compressed = (flags & COMPRESS) !== 0 && (flags & FIN) !== 0 && opcode !== 0 && data.length > 0;
      const expected = compressed ? flags | SWOOLE_WEBSOCKET_FLAG_RSV1 : flags & ~COMPRESS;
      assertEquals([frame.opcode, frame.flags, frame.finish], [opcode, expected, (flags & FIN) !== 0]);
    }),
  );
});
