// Input of MessageDecoder that waits: because others have their turn, or because decoding is on hold.

import { assert, assertEquals, assertGreater } from "@std/assert";
import { test } from "node:test";
import { frames, note, RecordedDecoder, type Spec, toHex } from "./recorder.ts";

/** A decoder of a server whose turns are counted, and which goes on only when it is told to. */
class PatientDecoder extends RecordedDecoder {
  turns = 0;

  constructor() {
    super({ masked: true, maxLength: 1 << 20 });
  }

  override onTurnOver(): void {
    this.turns++;
  }

  /** Decodes a copy of a chunk, which is overwritten afterwards: it is lent. */
  receive(chunk: Uint8Array): void {
    const lent = chunk.slice();
    this.decoder.receive(lent);
    lent.fill(0xee);
  }

  /** Goes on until no turn is over any more. */
  goOn(): void {
    for (let before = -1; before < this.turns;) {
      before = this.turns;
      this.decoder.goOn();
    }
  }
}

/** Text messages with a number each. */
const numbered = (from: number, to: number) => Array.from({ length: to - from }, (_, i): Spec => [1, String(from + i)]);
const noteOf = ([opcode, payload]: Spec) => {
  return note(opcode < 8 ? "message" : "control", opcode, toHex(new TextEncoder().encode(payload as string)));
};

test("what arrives while others have their turn waits behind what arrived before", () => {
  const specs = numbered(0, 5000);
  const bytes = frames(true, specs);
  for (const size of [25_001, 40_000, 64 * 1024]) {
    const patient = new PatientDecoder();
    for (let at = 0; at < bytes.length; at += size) patient.receive(bytes.subarray(at, at + size));
    assertGreater(5000, patient.notes.length);
    patient.goOn();
    assertEquals(patient.notes, specs.map(noteOf), `in pieces of ${size}`);
    assertEquals(patient.decoder.heldBytes, 0);
  }
});

test("each turn ends, and what arrives between two turns waits too", () => {
  const specs = numbered(0, 20_000);
  const bytes = frames(true, specs);
  const patient = new PatientDecoder();
  let most = 0;
  const step = (work: () => void) => {
    const before = patient.notes.length;
    work();
    most = Math.max(most, patient.notes.length - before);
  };
  const size = 40_000;
  for (let at = 0; at < bytes.length; at += size) {
    step(() => patient.receive(bytes.subarray(at, at + size)));
    step(() => patient.decoder.goOn());
  }
  assertGreater(5000, most);
  patient.goOn();
  assertEquals(patient.notes, specs.map(noteOf));
});

test("MessageDecoder counts the bytes that wait for the next turn", () => {
  const specs = numbered(0, 10_000);
  const patient = new PatientDecoder();
  patient.receive(frames(true, specs));
  for (let before = -1; before < patient.turns; patient.decoder.goOn()) {
    before = patient.turns;
    assertEquals(patient.decoder.heldBytes, frames(true, specs.slice(patient.notes.length)).length);
  }
  assertEquals(patient.notes.length, specs.length);
});

test("a turn is over only where something is left", () => {
  const patient = new PatientDecoder();
  patient.receive(frames(true, numbered(0, 5000)));
  const turn = patient.notes.length;
  for (const [count, turns] of [[turn, 0], [turn + 1, 1]]) {
    const other = new PatientDecoder();
    other.receive(frames(true, numbered(0, count)));
    assertEquals([other.notes.length, other.turns], [turn, turns]);
  }
});

test("MessageDecoder on hold keeps what follows, in the same chunk and in later ones, and begins no turn", () => {
  const specs: Spec[] = [[1, "a"], [2, "b"], [9, "p"], [1, "c"], [1, "d"]];
  const bytes = frames(true, specs);
  for (let at = 1; at <= bytes.length; at++) {
    const patient = new PatientDecoder();
    patient.onEach = () => patient.decoder.hold();
    patient.receive(bytes.subarray(0, at));
    patient.receive(bytes.subarray(at));
    for (let count = 1; count <= specs.length; count++) {
      assertEquals(patient.notes, specs.slice(0, count).map(noteOf), `cut at ${at}`);
      patient.decoder.goOn();
    }
    // Nothing is left, and nothing comes twice.
    assertEquals(patient.decoder.heldBytes, 0);
    patient.decoder.hold();
    patient.receive(frames(true, [[1, "e"]]));
    assertEquals(patient.notes.length, specs.length);
    patient.decoder.goOn();
    patient.decoder.goOn();
    assertEquals(patient.notes, [...specs, [1, "e"] as const].map(noteOf));
    assertEquals(patient.turns, 0);
  }
});

test("MessageDecoder on hold is not in the middle of a message for what waits", () => {
  const patient = new PatientDecoder();
  const { decoder } = patient;
  decoder.hold();
  patient.receive(frames(true, [[1, "abc"]]).subarray(0, 1));
  assertEquals(decoder.isMidMessage, false);
  decoder.goOn();
  assert(decoder.isMidMessage);
});

test("MessageDecoder drops what waits when it is stopped, and all that comes afterwards", () => {
  for (const isHeld of [true, false]) {
    const patient = new PatientDecoder();
    if (isHeld) patient.decoder.hold();
    patient.receive(frames(true, numbered(0, 5000)));
    assertGreater(patient.decoder.heldBytes, 0);
    const { length } = patient.notes;
    patient.decoder.stop();
    patient.receive(frames(true, [[1, "a"]]));
    assertEquals(patient.decoder.heldBytes, 0);
    patient.goOn();
    patient.receive(frames(true, [[1, "a"]]));
    assertEquals([patient.notes.length, patient.decoder.heldBytes], [length, 0]);
  }
});

test("MessageDecoder takes a chunk as lent unless it is told that it is given", () => {
  const lent: boolean[] = [];
  const patient = new PatientDecoder();
  patient.onMessage = (_opcode, _bytes, _start, _end, _compressed?: boolean, isLent?: boolean) => void lent.push(isLent!);
  const bytes = frames(true, [[1, "a"]]);
  patient.decoder.receive(bytes.slice());
  patient.decoder.receive(bytes.slice(), 0, true);
  assertEquals(lent, [true, false]);
});
