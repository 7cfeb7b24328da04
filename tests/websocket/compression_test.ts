// permessage-deflate in the protocol: what is compressed, what is delivered, and in which order while an engine takes its time.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { joinBytes } from "../../src/transport/bytes.ts";
import { type Compression, Compressor } from "../../src/websocket/deflate/compression.ts";
import { type Eventually, Packed, type PreparedFrame } from "../../src/websocket/outgoing.ts";
import type { DeflateEngine, InflateFailure } from "../../src/transport/codecs.ts";
import { encodeClose } from "../../src/websocket/close_code.ts";
import { PreparedMessage } from "../../src/websocket/prepared_message.ts";
import { zlibEngine } from "../../adapters/zlib.ts";
import { bytesOf, closeFrame, frame } from "../support/raw_client.ts";
import { CLIENT, everyCut, frames, note, RecordedProtocol, SERVER, toHex } from "./recorder.ts";

const PLAIN = { windowBits: 15, takeover: false };
const KEEPING = { windowBits: 15, takeover: true };
const OPTIONS = { level: -1, memLevel: 8 };
const compressor = new Compressor(zlibEngine, OPTIONS);
const shared = () => compressor.connect({ send: PLAIN, receive: PLAIN });

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** The payload of a compressed message (RFC 7692 section 7.2.1). */
function deflated(data: string | Uint8Array): Uint8Array {
  const whole = deflateRawSync(bytesOf(data), { finishFlush: 2 });
  return new Uint8Array(whole.subarray(0, whole.length - 4));
}

/** The reverse. */
function inflated(payload: Uint8Array): string {
  return decode(inflateRawSync(joinBytes([payload, bytesOf([0, 0, 0xff, 0xff])]), { finishFlush: 2 }));
}

const RSV1 = 4;
const compressedFrame = (data: string | Uint8Array, opcode = 1, mask = true) =>
  frame({ opcode, payload: deflated(data), rsv: RSV1, mask });

/** An engine that is done when a test says so: `!` in front stands for compressed. */
class Slow implements Compression {
  closed = 0;
  readonly #waiting: (() => void)[] = [];

  deflate(payload: string | Uint8Array): Eventually<Packed> {
    return this.#later(() => new Packed(joinBytes([bytesOf("!"), bytesOf(payload)]), true));
  }

  deflatePrepared(message: PreparedFrame): Eventually<Packed> {
    return this.deflate(message.payload);
  }

  inflate(payload: Uint8Array): Eventually<Uint8Array | InflateFailure> {
    const copy = payload.slice();
    return this.#later(() => copy[0] === 0x21 ? copy.subarray(1) : 1007);
  }

  close(): void {
    this.closed++;
  }

  /** Finishes what waits longest, and lets the protocol know. */
  async finish(): Promise<void> {
    this.#waiting.shift()!();
    await setImmediate(); // behind all that follows from it, however many promises that takes
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  #later<T>(make: () => T): Promise<T> {
    return new Promise((resolve) => this.#waiting.push(() => resolve(make())));
  }
}

const slowFrame = (text: string) => frame({ opcode: 1, payload: `!${text}`, rsv: RSV1 });

test("a compressed message is inflated, whole or in fragments, with control frames in between, in whatever pieces it arrives", () => {
  const payload = deflated("Hello Hello Hello");
  const input = joinBytes([
    compressedFrame("Hello"),
    frame({ opcode: 2, payload: payload.subarray(0, 3), rsv: RSV1, fin: false }),
    frame({ opcode: 9, payload: "p" }),
    frame({ opcode: 0, payload: payload.subarray(3, 4), fin: false }),
    frame({ opcode: 0, payload: payload.subarray(4) }),
    frame({ opcode: 1, payload: "plain" }),
    frame({ opcode: 1, payload: [0], rsv: RSV1 }), // the empty message (RFC 7692 section 7.2.3.6)
  ]);
  for (const chunks of everyCut(input)) {
    const recorded = new RecordedProtocol(SERVER, shared());
    for (const chunk of chunks) recorded.endpoint.receive(chunk);
    assertEquals(recorded.notes, [
      note("message", 1, toHex(bytesOf("Hello"))),
      note("message", 2, toHex(bytesOf("Hello Hello Hello"))),
      note("message", 1, toHex(bytesOf("plain"))),
      note("message", 1, ""),
    ]);
    assertEquals(recorded.sent(), toHex(frames(false, [[10, "p"]])));
  }
});

test("RSV1 is refused where nothing was agreed, on continuations and on control frames; RSV2 and RSV3 always", () => {
  const first = frame({ opcode: 1, payload: deflated("a").subarray(0, 1), rsv: RSV1, fin: false });
  const wrong: [what: string, input: Uint8Array, compression: Compression | undefined][] = [
    ["not agreed", compressedFrame("a"), undefined],
    ["continuation", joinBytes([first, frame({ opcode: 0, payload: "x", rsv: RSV1 })]), shared()],
    ["ping", frame({ opcode: 9, rsv: RSV1 }), shared()],
    ["pong", frame({ opcode: 10, rsv: RSV1 }), shared()],
    ["close", frame({ opcode: 8, rsv: RSV1 }), shared()],
    ["RSV2", frame({ opcode: 1, payload: "x", rsv: 2 }), shared()],
    ["RSV3 with RSV1", frame({ opcode: 1, payload: deflated("x"), rsv: 5 }), shared()],
  ];
  for (const [what, input, compression] of wrong) {
    const recorded = new RecordedProtocol(SERVER, compression);
    recorded.endpoint.receive(input);
    assertEquals(recorded.notes.map(({ what, number }) => [what, number]), [["finished", 1002]], what);
  }
});

test("what is corrupt or no UTF-8 ends with 1007, what is too large with 1009, at the limit and one past it", () => {
  const options = { ...SERVER, maxLength: 1000 };
  const results = (input: Uint8Array) => {
    const recorded = new RecordedProtocol(options, shared());
    recorded.endpoint.receive(input);
    return recorded.notes.map(({ what, number }) => `${what} ${number}`);
  };
  assertEquals(results(frame({ opcode: 2, payload: [0xff, 0xff, 0xff], rsv: RSV1 })), ["finished 1007"]);
  assertEquals(results(frame({ opcode: 2, payload: "", rsv: RSV1 })), ["message 2"]);
  assertEquals(results(compressedFrame(bytesOf([0xc3, 0x28]), 1)), ["finished 1007"]);
  assertEquals(results(compressedFrame(bytesOf([0xc3, 0x28]), 2)), ["message 2"]);
  assertEquals(results(compressedFrame("x".repeat(1000))), ["message 1"]);
  assertEquals(results(compressedFrame("x".repeat(1001))), ["finished 1009"]);
  // What does not shrink is a little longer on the wire than the limit allows for the message.
  const random = crypto.getRandomValues(new Uint8Array(1000));
  assert(deflated(random).length > 1000);
  assertEquals(results(compressedFrame(random, 2)), ["message 2"]);
});

test("what arrives behind a message that is being inflated waits for it, and is delivered in order, in whatever pieces it came", async () => {
  const input = joinBytes([slowFrame("one"), frame({ opcode: 1, payload: "two" }), slowFrame("three"), frame({ opcode: 9 })]);
  for (const chunks of [[input], Array.from(input, (byte) => bytesOf([byte]))]) {
    const slow = new Slow();
    const recorded = new RecordedProtocol(SERVER, slow);
    for (const chunk of chunks) recorded.endpoint.receive(chunk.slice());
    assertEquals([recorded.notes, recorded.held, recorded.endpoint.isInflating], [[], true, true]);
    await slow.finish();
    assertEquals(recorded.notes.map(({ text }) => text), ["one", "two"].map((text) => toHex(bytesOf(text))));
    assertEquals([recorded.held, slow.waiting, recorded.sent()], [true, 1, ""]);
    await slow.finish();
    assertEquals(recorded.notes.length, 3);
    assertEquals([recorded.held, recorded.sent()], [false, toHex(frames(false, [[10]]))]);
  }
});

test("a failure of inflating that takes time fails the connection; what waits behind it is dropped", async () => {
  const slow = new Slow();
  const recorded = new RecordedProtocol(SERVER, slow);
  recorded.endpoint.receive(joinBytes([frame({ opcode: 1, payload: "x", rsv: RSV1 }), frame({ opcode: 1, payload: "two" })]));
  await slow.finish();
  assertEquals(recorded.notes.map(({ what, number }) => [what, number]), [["finished", 1007]]);
  assertEquals(slow.closed, 1);
});

test("nothing is delivered, and nothing sent, once the connection was abandoned while an engine worked", async () => {
  const slow = new Slow();
  const recorded = new RecordedProtocol(SERVER, slow);
  recorded.endpoint.receive(slowFrame("one"));
  recorded.endpoint.sendData(1, "out", true, 0, 3, true);
  recorded.endpoint.abandon();
  recorded.endpoint.abandon();
  await slow.finish();
  await slow.finish();
  assertEquals([recorded.notes, recorded.sent(), slow.closed], [[], "", 1]);
});

test("what is sent behind a message that is being compressed waits for it; control frames do not", async () => {
  const slow = new Slow();
  const recorded = new RecordedProtocol(SERVER, slow);
  const { endpoint } = recorded;
  assert(endpoint.sendData(1, "one", true, 0, 3, true));
  assert(endpoint.sendData(1, "two", true));
  assert(endpoint.sendData(2, bytesOf("three"), true, 0, 5, true));
  assert(endpoint.sendControl(9, bytesOf("p")));
  assertEquals([recorded.sent(), endpoint.waitingBytes], [toHex(frames(false, [[9, "p"]])), 11]);
  assert(endpoint.sendClose(encodeClose(1000, "")!));
  assertEquals([endpoint.sendData(1, "four", true), endpoint.sendClose(encodeClose(1000, "")!)], [false, false]);
  await slow.finish();
  const one = frame({ opcode: 1, payload: "!one", rsv: RSV1, mask: false });
  assertEquals(recorded.sent(), toHex(joinBytes([one, frames(false, [[1, "two"]])])));
  assertEquals(endpoint.waitingBytes, 5);
  await slow.finish();
  const three = frame({ opcode: 2, payload: "!three", rsv: RSV1, mask: false });
  assertEquals(recorded.sent(), toHex(joinBytes([three, closeFrame(1000, "", false)])));
  assertEquals([endpoint.waitingBytes, recorded.notes], [0, []]);
  endpoint.receive(closeFrame(1000));
  assertEquals(recorded.notes, [note("finished", 1000)]);
});

test("the answer to a Close waits for what was sent before it; a failure does not", async () => {
  const slow = new Slow();
  const recorded = new RecordedProtocol(SERVER, slow);
  recorded.endpoint.sendData(1, "one", true, 0, 3, true);
  recorded.endpoint.receive(closeFrame(4000));
  assertEquals([recorded.sent(), recorded.notes], ["", []]);
  await slow.finish();
  const one = frame({ opcode: 1, payload: "!one", rsv: RSV1, mask: false });
  assertEquals(recorded.sent(), toHex(joinBytes([one, closeFrame(4000, "", false)])));
  assertEquals(recorded.notes, [note("finished", 4000)]);

  const failing = new Slow();
  const second = new RecordedProtocol(SERVER, failing);
  second.endpoint.sendData(1, "one", true, 0, 3, true);
  second.endpoint.receive(frame({ opcode: 3 }));
  assertEquals(second.notes.map(({ number }) => number), [1002]);
  assertEquals(second.sent().slice(0, 2), "88");
  await failing.finish();
  assertEquals(second.sent(), "");
});

test("the fragments of a message are compressed when the first of them is to be, and only then", () => {
  for (const send of [PLAIN, KEEPING]) {
    const recorded = new RecordedProtocol(SERVER, compressor.connect({ send, receive: PLAIN }));
    const { endpoint } = recorded;
    for (let round = 0; round < 3; round++) {
      const sent: Uint8Array[] = [];
      for (const [opcode, text, fin] of [[1, "Hello ", false], [0, "", false], [0, "World", true]] as const) {
        endpoint.sendData(opcode, text, fin, 0, text.length, opcode === 1);
        sent.push(recorded.sentBytes());
      }
      assertEquals(sent.map(([first]) => first), [0x41, 0x00, 0x80]);
      if (send === PLAIN) assertEquals(inflated(joinBytes(sent.map((bytes) => bytes.subarray(2)))), "Hello World");
    }
    endpoint.sendData(1, "Hello ", false, 0, 6, false);
    endpoint.sendData(0, "World", true, 0, 5, true);
    assertEquals(recorded.sent(), toHex(frames(false, [[1, "Hello ", false], [0, "World"]])));
  }
});

test("a message that does not shrink is sent as it is, except where later ones refer to it; one that was not asked for always is", () => {
  const sent = (compression: Compression, text: string, compress: boolean) => {
    const recorded = new RecordedProtocol(SERVER, compression);
    recorded.endpoint.sendData(1, text, true, 0, text.length, compress);
    return recorded.sentBytes();
  };
  assertEquals(sent(shared(), "ab", true), frames(false, [[1, "ab"]]));
  assertEquals(sent(shared(), "ab".repeat(100), false), frames(false, [[1, "ab".repeat(100)]]));
  const keeping = () => compressor.connect({ send: KEEPING, receive: PLAIN });
  for (const [compression, text] of [[keeping(), "ab"], [shared(), "ab".repeat(100)]] as const) {
    const frame = sent(compression, text, true);
    assertEquals([frame[0], inflated(frame.subarray(2))], [0xc1, text]);
  }
});

test("a client masks what it compresses, each frame with a key of its own", () => {
  let key = 0;
  const recorded = new RecordedProtocol({ ...CLIENT, maskingKey: () => ++key }, shared());
  const text = "ab".repeat(100);
  const sent = [1, 2].map(() => {
    recorded.endpoint.sendData(1, text, true, 0, text.length, true);
    return recorded.sentBytes();
  });
  for (const [index, bytes] of sent.entries()) {
    assertEquals(Array.from(bytes.subarray(2, 6)), [index + 1, 0, 0, 0]);
    assertEquals(inflated(bytes.slice(6).map((byte, at) => at % 4 === 0 ? byte ^ (index + 1) : byte)), text);
  }
});

test("a text to many is compressed once where nothing is remembered, and so is a prepared message; bytes are not recognised", () => {
  let count = 0;
  const counting: DeflateEngine = {
    ...zlibEngine,
    deflater: (...args) => {
      const inner = zlibEngine.deflater(...args);
      return { deflate: (message) => (count++, inner.deflate(message)), close: () => inner.close() };
    },
  };
  const compressor = new Compressor(counting, OPTIONS);
  const text = JSON.stringify(Array.from({ length: 300 }, (_, id) => ({ id, name: "somebody" })));
  const bytes = bytesOf(text);
  const recorded = Array.from(
    { length: 100 },
    () => new RecordedProtocol(SERVER, compressor.connect({ send: PLAIN, receive: PLAIN })),
  );
  for (const { endpoint } of recorded) endpoint.sendData(1, text, true, 0, text.length, true);
  assertEquals(count, 1);
  const message = new PreparedMessage(bytes)["outgoing"].prepared!;
  bytes.fill(0); // it is a copy
  for (const { endpoint } of recorded) endpoint.sendPrepared(message, true);
  assertEquals(count, 2);
  for (const one of recorded) {
    const sent = one.sentBytes();
    const half = sent.length / 2;
    assertEquals([sent[0], sent[half], sent[1], sent[half + 1]], [0xc1, 0xc2, 126, 126]);
    assertEquals(inflated(sent.subarray(4, half)), text);
    assertEquals(toHex(sent.subarray(4, half)), toHex(sent.subarray(half + 4)));
  }
  // The same memory may hold something else.
  const scratch = new Uint8Array(2000);
  for (const letter of [65, 66, 67, 68]) {
    scratch.fill(letter);
    recorded[0].endpoint.sendData(2, scratch, true, 0, scratch.length, true);
    const sent = recorded[0].sentBytes();
    assertEquals(inflated(sent.subarray(2)), String.fromCharCode(letter).repeat(2000));
  }
  compressor.close();
});
