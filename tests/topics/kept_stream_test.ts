// The stream of a kept topic, as computation: what is delivered, in which order, and when subscribers are told of a gap.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { BrokerMessage } from "../../mod.ts";
import type { TopicHistory } from "../../src/topics/broker.ts";
import { RingMemory } from "../../src/topics/history_ring.ts";
import { KeptStream } from "../../src/topics/kept_stream.ts";

const encoder = new TextEncoder();

function messageOf(text: string): BrokerMessage {
  return new BrokerMessage(1, encoder.encode(text), false, "0".repeat(16), 0);
}

/** A stream, and everything that it has asked for and delivered, in order. */
class Stage {
  readonly log: string[] = [];
  readonly stream: KeptStream;

  constructor(size = 100, memory = new RingMemory(1 << 20)) {
    const { log } = this;
    this.stream = new KeptStream("room", size, memory, {
      frame: (_stream, { offset, message }) => ({ offset, frame: message["frame"] }),
      deliver: (_stream, { offset }) => void log.push(`${offset}`),
      gap: ({ offset, epoch }, reason) => void log.push(`gap ${reason} ${epoch}${offset}`),
      askPosition: () => void log.push("position?"),
      askHistory: (_stream, since) => void log.push(`history ${since}?`),
      onSettled: () => void log.push("settled"),
    });
  }

  /** Returns what has happened since the last call. */
  take(): string[] {
    return this.log.splice(0);
  }

  /** Begins at a position. */
  begin(offset: number, epoch = "a"): this {
    this.stream.resync();
    this.stream.onPosition({ offset, epoch });
    this.take();
    return this;
  }

  live(...offsets: number[]): this {
    for (const offset of offsets) this.stream.onLive("a", { offset, message: messageOf(`${offset}`) });
    return this;
  }
}

function history(base: number, to: number, top = to, epoch = "a"): TopicHistory {
  const entries = Array.from({ length: to - base }, (_, i) => ({ offset: base + i + 1, message: messageOf(`${base + i + 1}`) }));
  return { base, offset: top, epoch, entries };
}

test("streams share the memory for what waits: when it is full, the messages are read again", () => {
  const memory = new RingMemory(10);
  const stages = [new Stage(100, memory), new Stage(100, memory)];
  for (const { stream } of stages) stream.resync();
  const live = ({ stream }: Stage, offset: number) => stream.onLive("a", { offset, message: messageOf("12345") });
  live(stages[0], 1);
  live(stages[1], 1);
  assertEquals(memory.waiting, 10);
  live(stages[1], 2); // too many: those of this stream are given up
  assertEquals(memory.waiting, 5);
  for (const stage of stages) stage.take(), stage.stream.onPosition({ epoch: "a", offset: 0 });
  assertEquals(stages.map((stage) => stage.take()), [["1", "settled"], ["position?"]]);
  stages[1].stream.onPosition({ epoch: "a", offset: 2 });
  stages[1].stream.onHistory(history(0, 2));
  assertEquals(stages[1].take(), ["history 0?", "1", "2", "settled"]);
  assertEquals(memory.waiting, 0);
  stages[0].stream.resync();
  live(stages[0], 2);
  stages[0].stream.close();
  assertEquals([memory.waiting, memory.bytes], [0, 0]);
});

test("a stream begins at the position of the broker, with what has arrived meanwhile", () => {
  const stage = new Stage();
  stage.stream.resync();
  stage.live(7, 8, 9);
  assertEquals([stage.stream.isSettled, stage.take()], [false, ["position?"]]);
  stage.stream.onPosition({ offset: 8, epoch: "a" });
  assertEquals([stage.stream.isSettled, stage.take(), stage.stream.position], [true, ["9", "settled"], {
    offset: 9,
    epoch: "a",
  }]);
  stage.live(9, 10, 8, 11);
  assertEquals(stage.take(), ["10", "11"]);
});

test("a gap is filled by one read, and what arrives meanwhile is delivered behind it", () => {
  const stage = new Stage().begin(3).live(4, 6, 7, 8);
  assertEquals(stage.take(), ["4", "history 4?"]);
  stage.stream.onHistory(history(4, 7));
  assertEquals(stage.take(), ["5", "6", "7", "8", "settled"]);
});

test("a history that is read in pages", () => {
  const stage = new Stage().begin(0).live(9);
  stage.stream.onHistory(history(0, 3, 9));
  assertEquals(stage.take(), ["history 0?", "1", "2", "3", "history 3?"]);
  stage.stream.onHistory(history(3, 9));
  assertEquals(stage.take(), ["4", "5", "6", "7", "8", "9", "settled"]);
});

test("what is missing in what arrived meanwhile is asked for again", () => {
  const stage = new Stage().begin(0).live(2, 5);
  stage.stream.onHistory(history(0, 2));
  assertEquals(stage.take(), ["history 0?", "1", "2", "position?"]);
  stage.stream.onPosition({ offset: 5, epoch: "a" });
  stage.stream.onHistory(history(2, 5));
  assertEquals(stage.take(), ["history 2?", "3", "4", "5", "settled"]);
});

test("a gap: too old, another epoch, or a broker that has gone back", () => {
  const stage = new Stage().begin(3).live(9);
  stage.stream.onHistory(history(6, 9));
  assertEquals(stage.take(), ["history 3?", "gap too old a9", "settled"]);
  stage.stream.resync();
  stage.stream.onPosition({ offset: 2, epoch: "b" });
  assertEquals(stage.take(), ["position?", "gap epoch b2", "settled"]);
  stage.stream.resync();
  stage.stream.onPosition({ offset: 1, epoch: "b" });
  assertEquals(stage.take(), ["position?", "gap epoch b1", "settled"]);
  stage.stream.onLive("c", { offset: 5, message: messageOf("5") });
  assertEquals(stage.take(), ["gap epoch c4", "5"]);
});

test("the history is empty where there should be something", () => {
  const stage = new Stage().begin(3).live(5);
  stage.stream.onHistory({ epoch: "a", offset: 5, base: 5, entries: [] });
  assertEquals(stage.take(), ["history 3?", "gap too old a5", "settled"]);
});

test("messages of two epochs meanwhile: the broker says which is the new one", () => {
  const stage = new Stage().begin(3);
  stage.stream.resync();
  stage.live(4);
  stage.stream.onLive("b", { offset: 1, message: messageOf("1") });
  stage.stream.onPosition({ offset: 4, epoch: "a" });
  stage.stream.onHistory(history(3, 4));
  assertEquals(stage.take(), ["position?", "history 3?", "4", "position?"]);
  stage.stream.onPosition({ offset: 1, epoch: "b" });
  assertEquals(stage.take(), ["gap epoch b1", "settled"]);
});

test("while nothing is replied, 1,024 messages or 1 MiB wait, and are read again above that", () => {
  for (const [count, size] of [[1024, 1], [1025, 1], [4, 256 * 1024], [5, 256 * 1024]]) {
    const stage = new Stage(2000).begin(0);
    stage.stream.resync();
    for (let i = 1; i <= count; i++) stage.stream.onLive("a", { offset: i, message: messageOf("x".repeat(size)) });
    stage.stream.onPosition({ offset: 0, epoch: "a" });
    const isAbove = count === 1025 || count === 5;
    assertEquals([stage.take().at(-1), stage.stream.offset], isAbove ? ["position?", 0] : ["settled", count]);
  }
});

test("a stream that was not replied to asks again, also while it is asking", () => {
  const stage = new Stage().begin(1);
  stage.stream.resync();
  stage.stream.onFailed();
  stage.live(2);
  stage.stream.resync();
  stage.stream.resync();
  stage.stream.onPosition({ offset: 1, epoch: "a" });
  assertEquals(stage.take(), ["position?", "position?", "2", "position?"]);
  stage.stream.onPosition({ offset: 2, epoch: "a" });
  assertEquals(stage.take(), ["settled"]);
});

test("offsets that are not consecutive name the one before", () => {
  const stage = new Stage().begin(10);
  const live = (offset: number, previous: number) => stage.stream.onLive("a", { offset, message: messageOf("x") }, previous);
  live(15, 10);
  live(22, 18);
  assertEquals(stage.take(), ["15", "history 15?"]);
  stage.stream.onHistory({
    epoch: "a",
    offset: 22,
    base: 15,
    entries: [18, 22].map((offset) => ({ offset, message: messageOf("x") })),
  });
  assertEquals(stage.take(), ["18", "22", "settled"]);
  assertEquals([10, 14, 15, 21, 22].map((offset) => stage.stream.ring.after(offset)?.offset), [15, 15, 18, 22, undefined]);
});

test("where a subscriber can go on", () => {
  const stage = new Stage(5).begin(10).live(11, 12, 13);
  const at = (offset: number, epoch = "a") => stage.stream.recovery({ offset, epoch });
  assertEquals([at(13), at(10), at(9), at(14), at(12, "b")], ["here", "here", "history", "ahead", "epoch"]);
  const { ring } = stage.stream;
  ring.prepend(8, history(8, 10).entries.map(({ offset, message }) => ({ offset, frame: message["frame"] })));
  assertEquals([at(8), at(7), ring.size], ["here", "too old", 5]);
  stage.live(14);
  assertEquals([at(9), at(8), ring.size], ["here", "too old", 5]);
});

test("the memory of all streams is limited: the one without messages for the longest time gives up its own", () => {
  const memory = new RingMemory(5 * 257);
  const [one, two] = [new Stage(100, memory).begin(0), new Stage(100, memory).begin(0)];
  one.live(1, 2, 3);
  two.live(1, 2);
  assertEquals([memory.bytes, one.stream.ring.size, two.stream.ring.size], [5 * 257, 3, 2]);
  two.live(3);
  assertEquals([memory.bytes, one.stream.ring.size, two.stream.ring.size], [5 * 257, 2, 3]);
  assertEquals([one.stream.recovery({ offset: 0, epoch: "a" }), one.stream.recovery({ offset: 1, epoch: "a" })], [
    "history",
    "here",
  ]);
  one.stream.ring.prepend(0, history(0, 1).entries.map(({ offset, message }) => ({ offset, frame: message["frame"] })));
  assertEquals([one.stream.recovery({ offset: 0, epoch: "a" }), one.stream.ring.size, two.stream.ring.size], ["here", 3, 2]);
  two.live(4);
  assertEquals([one.stream.recovery({ offset: 0, epoch: "a" }), one.stream.ring.size, two.stream.ring.size], ["limit", 2, 3]);
  two.live(5, 6, 7);
  assertEquals([memory.bytes, one.stream.ring.size, two.stream.ring.size], [5 * 257, 0, 5]);
  two.stream.ring.clear(7);
  assertEquals(memory.bytes, 0);
});

test("whatever is lost, repeated and reordered: in order, once, without a gap that is not told", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(
        { weight: 6, arbitrary: fc.constant("append") },
        { weight: 3, arbitrary: fc.constant("lose") },
        { weight: 2, arbitrary: fc.constant("reply") },
        { weight: 1, arbitrary: fc.constant("fail") },
        { weight: 1, arbitrary: fc.constant("resync") },
        { weight: 1, arbitrary: fc.constant("repeat") },
        { weight: 1, arbitrary: fc.constant("restart") },
      )),
      fc.integer({ min: 1, max: 5 }),
      (steps, size) => {
        let epoch = 1;
        let top = 0;
        const questions: (() => void)[] = [];
        const seen: string[] = [];
        const answerHistory = (since: number): TopicHistory => {
          const base = Math.min(Math.max(since, top - size), top);
          return history(base, Math.min(top, base + 3), top, `${epoch}`);
        };
        const stream: KeptStream = new KeptStream("room", size, new RingMemory(1 << 20), {
          frame: (_stream, { offset, message }) => ({ offset, frame: message["frame"] }),
          deliver: ({ epoch }, { offset }) => void seen.push(`${epoch}:${offset}`),
          gap: ({ epoch, offset }) => void seen.push(`gap ${epoch}:${offset}`),
          askPosition: () => void questions.push(() => stream.onPosition({ offset: top, epoch: `${epoch}` })),
          askHistory: (_stream, since) => void questions.push(() => stream.onHistory(answerHistory(since))),
          onSettled: () => {},
        });
        stream.resync();
        questions.shift()!();
        seen.push(`gap ${stream.epoch}:${stream.offset}`);
        const send = (offset: number) => stream.onLive(`${epoch}`, { offset, message: messageOf(`${offset}`) });
        for (const step of steps) {
          if (step === "append") send(++top);
          else if (step === "lose") top++;
          else if (step === "reply") questions.shift()?.();
          else if (step === "fail") questions.shift() !== undefined && (stream.onFailed(), stream.resync());
          else if (step === "resync") stream.resync();
          else if (step === "repeat") top > 0 && send(top);
          else [epoch, top] = [epoch + 1, 0];
        }
        for (let i = 0; i < 100 && questions.length > 0; i++) questions.shift()!();
        stream.resync();
        for (let i = 0; i < 100 && questions.length > 0; i++) questions.shift()!();
        assertEquals([stream.isSettled, stream.epoch, stream.offset, questions.length], [true, `${epoch}`, top, 0]);
        let [life, last] = ["", 0];
        for (const text of seen) {
          const [, gap, name, offset] = /^(gap )?(\d+):(\d+)$/.exec(text)!;
          if (gap === undefined) assertEquals([name, Number(offset)], [life, last + 1]);
          [life, last] = [name, Number(offset)];
        }
      },
    ),
    { numRuns: 500 },
  );
});
