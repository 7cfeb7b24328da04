import { assert, assertEquals, assertFalse } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { encodeClose } from "../../src/websocket/close_code.ts";
import type { EndpointOptions } from "../../src/websocket/endpoint.ts";
import { bytesOf, closeFrame, hex } from "../support/raw_client.ts";
import { anyInput, anyNumbers, anyText, places } from "./arbitrary.ts";
import {
  CLIENT,
  cut,
  everyCut,
  frames as frameBytes,
  type Note,
  note,
  RecordedProtocol,
  SERVER,
  type Spec,
  toHex,
} from "./recorder.ts";

/** The two roles, and whether what the peer sends is masked there. */
const ROLES: [options: EndpointOptions, masked: boolean][] = [[SERVER, true], [CLIENT, false]];

/** Frames as hex, masked with the key that `CLIENT` has. */
function frames(mask: boolean, ...specs: Spec[]): string {
  return toHex(frameBytes(mask, specs));
}

/** A Close frame as hex. */
function closing(mask: boolean, code?: number, reason: string | Uint8Array = ""): string {
  return toHex(closeFrame(code, reason, mask));
}

const finished = (code: number, reason = ""): Note => note("finished", code, reason);
const text = (value: string) => toHex(bytesOf(value));

/** Runs input through a protocol in all cuts, and compares what it told and what it sent. */
function check(options: EndpointOptions, input: string, notes: Note[], sent: string): void {
  for (const chunks of everyCut(hex(input))) {
    const recorded = new RecordedProtocol(options);
    for (const chunk of chunks) recorded.endpoint.receive(chunk);
    assertEquals(recorded.notes, notes);
    assertEquals(recorded.sent(), sent);
    assertEquals(recorded.endpoint.isOpen, notes.at(-1)?.what !== "finished");
    assertFalse(recorded.endpoint.isClosing);
  }
}

test("WebSocketEndpoint delivers messages and answers pings, also between fragments (section 5.5.2)", () => {
  for (const [options, masked] of ROLES) {
    check(
      options,
      frames(masked, [1, "a"], [9, "p1"], [2, "b", false], [9, ""], [10, "unasked"], [0, "c"], [9, "x".repeat(125)]),
      [note("message", 1, "61"), note("message", 2, "6263")],
      frames(!masked, [10, "p1"], [10, ""], [10, "x".repeat(125)]),
    );
  }
});

test("WebSocketEndpoint delivers pings instead of answering them, and pongs, when it is told to", () => {
  for (const [options, masked] of ROLES) {
    const input = frames(masked, [9, "p"], [10, "q"], [1, "a", false], [9, ""], [10, ""], [0, "b"]);
    check({ ...options, deliverPing: true }, input, [note("ping", 9, "70"), note("ping", 9), note("message", 1, "6162")], "");
    check(
      { ...options, deliverPong: true },
      input,
      [note("pong", 10, "71"), note("pong", 10), note("message", 1, "6162")],
      frames(!masked, [10, "p"], [10]),
    );
  }
});

test("WebSocketEndpoint answers a Close with the same code, and is over (section 5.5.1)", () => {
  for (const [options, masked] of ROLES) {
    const behind = frames(masked, [1, "late"], [9, "late"], [3]) + closing(masked, 1001);
    check(options, closing(masked) + behind, [finished(1005)], closing(!masked));
    check(options, closing(masked, 1000) + behind, [finished(1000)], closing(!masked, 1000));
    check(options, closing(masked, 4321, "bye ö") + behind, [finished(4321, "bye ö")], closing(!masked, 4321, "bye ö"));
    const longest = "x".repeat(123);
    check(options, closing(masked, 3000, longest), [finished(3000, longest)], closing(!masked, 3000, longest));
    // In the middle of a message, which is given up.
    check(options, frames(masked, [1, "a", false]) + closing(masked, 1001), [finished(1001)], closing(!masked, 1001));
  }
});

test("WebSocketEndpoint takes the close codes that may travel, and fails the others with 1002 (section 7.4)", () => {
  const allowed = (code: number) =>
    (code >= 1000 && code < 5000) && !(code >= 1004 && code <= 1006) && !(code >= 1015 && code < 3000);
  for (const [options, masked] of ROLES) {
    for (let code = 0; code < 65536; code += code < 5100 ? 1 : 997) {
      const recorded = new RecordedProtocol(options);
      recorded.endpoint.receive(closeFrame(code, "", masked));
      const fault = "the Close frame is not valid";
      assertEquals(recorded.notes, [allowed(code) ? finished(code) : finished(1002, fault)]);
      assertEquals(recorded.sent(), allowed(code) ? closing(!masked, code) : closing(!masked, 1002, fault));
    }
  }
});

test("WebSocketEndpoint fails a Close frame with half a code, or a reason that is not UTF-8", () => {
  const fault = "the Close frame is not valid";
  for (const [options, masked] of ROLES) {
    check(options, frames(masked, [8, hex("03")]), [finished(1002, fault)], closing(!masked, 1002, fault));
    for (const reason of ["ff", "61eda080", "61e282"]) {
      check(options, closing(masked, 1000, hex(reason)), [finished(1007, fault)], closing(!masked, 1007, fault));
    }
  }
});

test("WebSocketEndpoint delivers a Close before it answers, and a Close of one's own is the answer", () => {
  for (const [options, masked] of ROLES) {
    const delivering = { ...options, deliverClose: true };
    const delivered = note("close", 8, `0fa0${text("bye")}`);
    check(delivering, closing(masked, 4000, "bye"), [delivered, finished(4000, "bye")], closing(!masked, 4000, "bye"));
    check(delivering, closing(masked), [note("close", 8), finished(1005)], closing(!masked));

    const own = new RecordedProtocol(delivering);
    own.onEach = () => {
      assert(own.endpoint.sendData(1, "last words", true));
      assert(own.endpoint.sendClose(encodeClose(4001, "mine")!));
      assertFalse(own.endpoint.sendData(1, "too late", true));
    };
    own.endpoint.receive(closeFrame(4000, "bye", masked));
    assertEquals(own.notes, [delivered, finished(4000, "bye")]);
    assertEquals(own.sent(), frames(!masked, [1, "last words"]) + closing(!masked, 4001, "mine"));

    const gone = new RecordedProtocol(delivering);
    gone.onEach = () => gone.endpoint.abandon();
    gone.endpoint.receive(closeFrame(4000, "bye", masked));
    assertEquals(gone.notes, [delivered]);
    assertEquals(gone.sent(), "");

    // What is not valid is not delivered.
    const bad = new RecordedProtocol(delivering);
    bad.endpoint.receive(closeFrame(1005, "", masked));
    assertEquals(bad.notes.map(({ what }) => what), ["finished"]);
  }
});

test("WebSocketEndpoint closes: one Close goes out, nothing but pongs behind it, and the peer's Close ends it", () => {
  for (const [options, masked] of ROLES) {
    for (const [code, reason] of [[1000, "as agreed"], [4000, "something else"]] as const) {
      const recorded = new RecordedProtocol({ ...options, deliverPong: true });
      const { endpoint } = recorded;
      assert(endpoint.isOpen && !endpoint.isClosing);
      assert(endpoint.sendClose(encodeClose(1000, "done")!));
      assert(!endpoint.isOpen && endpoint.isClosing);
      assertEquals(recorded.sent(), closing(!masked, 1000, "done"));

      assertFalse(endpoint.sendClose(encodeClose(1000, "again")!));
      assertFalse(endpoint.sendData(1, "late", true));
      assertFalse(endpoint.sendControl(9, bytesOf("late")));
      endpoint.receive(hex(frames(masked, [1, "dropped"], [10, "dropped"], [9, "answered"], [2, "dropped", false])));
      assertEquals(recorded.notes, []);
      assertEquals(recorded.sent(), frames(!masked, [10, "answered"]));

      endpoint.receive(hex(closing(masked, code, reason) + frames(masked, [9, "late"])));
      assertEquals(recorded.notes, [finished(code, reason)]);
      assertEquals(recorded.sent(), "");
      assert(!endpoint.isOpen && !endpoint.isClosing);
    }
  }
});

test("WebSocketEndpoint drops what follows when a handler closes, but sees the peer's Close in the same chunk", () => {
  for (const [options, masked] of ROLES) {
    const recorded = new RecordedProtocol(options);
    recorded.onEach = () => recorded.endpoint.sendClose(encodeClose(1001, "")!);
    recorded.endpoint.receive(hex(frames(masked, [1, "a"], [1, "b"]) + closing(masked, 1001)));
    assertEquals(recorded.notes, [note("message", 1, "61"), finished(1001)]);
    assertEquals(recorded.sent(), closing(!masked, 1001));
  }
});

test("WebSocketEndpoint fails the connection on what the peer may not send: a Close with the code, then nothing", () => {
  const violations: [specs: Spec[], code: number, reason: string][] = [
    [[[3]], 1002, "the opcode is reserved"],
    [[[0, "x"]], 1002, "a continuation has nothing to continue"],
    [[[9, "x", false]], 1002, "a control frame is fragmented"],
    [[[1, hex("ff")]], 1007, "text is not UTF-8"],
    [[[1, hex("c3"), false], [0]], 1007, "text is not UTF-8"],
    [[[2, new Uint8Array(65), false], [0, new Uint8Array(36)]], 1009, "the message is too big"],
  ];
  for (const [role, masked] of ROLES) {
    const options = { ...role, maxLength: 100 };
    for (const [specs, code, reason] of violations) {
      const input = frames(masked, [1, "good"], ...specs, [1, "late"], [9, "late"]) + closing(masked, 1000);
      check(options, input, [note("message", 1, text("good")), finished(code, reason)], closing(!masked, code, reason));
      // When our Close is out already there is no second one.
      const closed = new RecordedProtocol(options);
      closed.endpoint.sendClose(encodeClose(1000, "")!);
      closed.endpoint.receive(hex(frames(masked, ...specs)));
      assertEquals(closed.notes, [finished(code, reason)]);
      assertEquals(closed.sent(), closing(!masked, 1000));
    }
    const wrongMask = masked ? "the frame is not masked" : "the frame is masked";
    check(options, frames(!masked, [1, "x"]), [finished(1002, wrongMask)], closing(!masked, 1002, wrongMask));
  }
});

test("WebSocketEndpoint.fail() sends a Close once and leaves out a reason that is too long", () => {
  for (const [options, masked] of ROLES) {
    const recorded = new RecordedProtocol(options);
    const { endpoint } = recorded;
    endpoint.receive(hex(frames(masked, [2, "half", false])));
    endpoint.fail(1011, "x".repeat(124));
    endpoint.fail(1011, "again");
    assertEquals(recorded.notes, [finished(1011, "x".repeat(124))]);
    assertEquals(recorded.sent(), closing(!masked, 1011));
    assertEquals(endpoint.heldBytes, 0);
    endpoint.receive(hex(frames(masked, [1, "late"], [9, "late"])));
    assertFalse(endpoint.sendData(2, "late", true));
    assertFalse(endpoint.sendControl(10, bytesOf("late")));
    assertFalse(endpoint.sendClose(encodeClose(1000, "")!));
    assertEquals(recorded.notes.length, 1);
    assertEquals(recorded.sent(), "");
  }
});

test("WebSocketEndpoint.abandon() ends without a word", () => {
  for (const [options, masked] of ROLES) {
    const recorded = new RecordedProtocol(options);
    const { endpoint } = recorded;
    endpoint.receive(hex(frames(masked, [2, "half", false])));
    assert(endpoint.heldBytes > 0);
    endpoint.abandon();
    assertEquals(endpoint.heldBytes, 0);
    assert(!endpoint.isOpen && !endpoint.isClosing);
    endpoint.receive(hex(frames(masked, [9, "late"], [3])));
    endpoint.fail(1011, "late");
    assertFalse(endpoint.sendData(1, "late", true));
    assertFalse(endpoint.sendClose(encodeClose(1000, "")!));
    assertEquals(recorded.notes, []);
    assertEquals(recorded.sent(), "");
  }
});

test("WebSocketEndpoint does not mix up the fragments of two messages that it sends (section 5.4)", () => {
  for (const [options, masked] of ROLES) {
    const recorded = new RecordedProtocol(options);
    const { endpoint } = recorded;
    assertFalse(endpoint.sendData(0, "nothing to continue", true));
    assert(endpoint.sendData(1, "a", false));
    assertFalse(endpoint.sendData(1, "another", true));
    assertFalse(endpoint.sendData(2, bytesOf("another"), false));
    assert(endpoint.sendControl(9, bytesOf("p"))); // section 5.4: control frames may come in between
    assert(endpoint.sendData(0, bytesOf("b"), false));
    assert(endpoint.sendData(0, "c", true));
    assertFalse(endpoint.sendData(0, "d", true));
    assert(endpoint.sendData(2, bytesOf("e"), true));
    const sent: Spec[] = [[1, "a", false], [9, "p"], [0, "b", false], [0, "c"], [2, "e"]];
    assertEquals(recorded.sent(), frames(!masked, ...sent));
  }
});

test("WebSocketEndpoint sends a part of bytes when it is told where", () => {
  for (const [options, masked] of ROLES) {
    const recorded = new RecordedProtocol(options);
    const memory = bytesOf("abcdefgh");
    assert(recorded.endpoint.sendData(2, memory, true, 2, 5));
    assert(recorded.endpoint.sendData(1, memory, true, 7));
    assert(recorded.endpoint.sendControl(10, memory, 0, 1));
    assertEquals(recorded.sent(), frames(!masked, [2, "cde"], [1, "h"], [10, "a"]));
    assertEquals(memory, bytesOf("abcdefgh"));
  }
});

test("WebSocketEndpoint masks each frame with a new key as a client, and none as a server (section 5.3)", () => {
  let count = 0;
  const client = new RecordedProtocol({ ...CLIENT, maskingKey: () => ++count });
  client.endpoint.sendData(1, "\0", true);
  client.endpoint.sendControl(9, bytesOf("\0"));
  client.endpoint.receive(hex(frames(false, [9, "\0"])));
  client.endpoint.sendClose(new Uint8Array(0));
  assertEquals(client.sent(), "8181 01000000 01 8981 02000000 02 8a81 03000000 03 8880 04000000".replaceAll(" ", ""));
  const server = new RecordedProtocol(SERVER);
  server.endpoint.sendData(1, "\0", true);
  assertEquals(server.sent(), "810100");
});

test("Two protocols that talk to each other, in any pieces, get what was sent and close cleanly", () => {
  const anySend = fc.tuple(fc.oneof(anyText, fc.uint8Array({ maxLength: 300, size: "max" })), fc.boolean());
  const anySends = fc.array(anySend, { maxLength: 8, size: "max" });
  fc.assert(
    fc.property(anySends, anyNumbers, fc.boolean(), (sends, numbers, up) => {
      const [sender, receiver] = [up ? CLIENT : SERVER, up ? SERVER : CLIENT].map((one) => new RecordedProtocol(one));
      const expected: Note[] = [];
      for (const [payload, ping] of sends) {
        const opcode = typeof payload === "string" ? 1 : 2;
        assert(sender.endpoint.sendData(opcode, payload, true));
        if (ping) assert(sender.endpoint.sendControl(9, bytesOf("ping")));
        expected.push(note("message", opcode, toHex(bytesOf(payload))));
      }
      sender.endpoint.sendClose(encodeClose(1000, "bye")!);
      const there = sender.sentBytes();
      for (const chunk of cut(there, places(numbers, there.length))) receiver.endpoint.receive(chunk);
      const back = receiver.sentBytes();
      for (const chunk of cut(back, places(numbers, back.length))) sender.endpoint.receive(chunk);
      assertEquals(receiver.notes, [...expected, finished(1000, "bye")]);
      assertEquals(sender.notes, [finished(1000, "bye")]);
      assertEquals(sender.sent() + receiver.sent(), "");
    }),
    { numRuns: 500 },
  );
});

test("WebSocketEndpoint answers any bytes with frames that its peer accepts, and never throws", () => {
  for (const [options, peer] of [[SERVER, CLIENT], [CLIENT, SERVER]]) {
    fc.assert(
      fc.property(anyInput(options.masked), (bytes) => {
        const recorded = new RecordedProtocol({ ...options, maxLength: 150 });
        recorded.endpoint.receive(bytes);
        const ends = recorded.notes.filter(({ what }) => what === "finished");
        assert(ends.length <= 1);
        assertEquals(recorded.endpoint.isOpen, ends.length === 0);
        // The peer reads the answers without complaint, and learns the same close code.
        const reader = new RecordedProtocol({ ...peer, deliverPong: true });
        reader.endpoint.receive(recorded.sentBytes());
        const learnt = reader.notes.filter(({ what }) => what === "finished");
        assertEquals(learnt.map(({ number }) => number), ends.map(({ number }) => number));
      }),
      { numRuns: 1000 },
    );
  }
});
