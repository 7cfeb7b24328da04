import { assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import type { BytePipe, LaneSink } from "../../mod.ts";
import { StreamLane } from "../../src/transport/pipes.ts";
import { FakeLane, FakePipe } from "../support/fake_lane.ts";
import { settle } from "../support/memory_client.ts";

/** A sink that writes down what happens. */
class Log implements LaneSink {
  readonly events: string[] = [];
  onData(chunk: Uint8Array): void {
    this.events.push(`data ${Array.from(chunk)}`);
  }
  onEnd(): void {
    this.events.push("end");
  }
  onDrain(): void {
    this.events.push("drain");
  }
  onClose(error?: unknown): void {
    this.events.push(error === undefined ? "close" : `close ${(error as Error).message}`);
  }
}

/** A pipe whose streams a test controls. */
function scripted() {
  let input!: ReadableStreamDefaultController<Uint8Array>;
  let output!: WritableStreamDefaultController;
  const written: Uint8Array[] = [];
  const seen: string[] = [];
  let release: (() => void) | undefined;
  const pipe: BytePipe = {
    readable: new ReadableStream<Uint8Array>({
      start: (controller) => void (input = controller),
      pull: () => void seen.push("pull"),
      cancel: () => void seen.push("cancel"),
    }, { highWaterMark: 0 }),
    writable: new WritableStream<Uint8Array>({
      start: (controller) => void (output = controller),
      write: (chunk) => {
        written.push(chunk);
        return new Promise((resolve) => release = resolve);
      },
      close: () => void seen.push("close"),
      abort: () => void seen.push("abort stream"),
    }),
    abort: () => void seen.push("abort"),
  };
  const log = new Log();
  const lane = new StreamLane(pipe);
  lane.start(log);
  return { lane, log, written, seen, input, output: () => output, release: () => release!() };
}

test("StreamLane hands on what arrives, without empty chunks, and tells of the end", async () => {
  const { log, input } = scripted();
  input.enqueue(Uint8Array.of(1, 2));
  input.enqueue(new Uint8Array(0));
  input.enqueue(Uint8Array.of(3));
  input.close();
  await settle();
  assertEquals(log.events, ["data 1,2", "data 3", "end"]);
});

test("StreamLane: each write has to be waited for", async () => {
  const { lane, log, written, release } = scripted();
  assertEquals(lane.write(Uint8Array.of(9, 1, 2, 9), 1, 3), false);
  await settle();
  assertEquals([written, log.events], [[Uint8Array.of(1, 2)], []]);
  release();
  await settle();
  assertEquals(log.events, ["drain"]);
});

test("StreamLane gives the stream memory of its own", async () => {
  const { lane, written } = scripted();
  const memory = Uint8Array.of(9, 1, 2, 9);
  lane.write(memory, 1, 3);
  memory.fill(0);
  await settle();
  assertEquals(written, [Uint8Array.of(1, 2)]);
});

test("StreamLane: paused, it asks for nothing more; resumed, it goes on", async () => {
  const { lane, log, input, seen } = scripted();
  await settle();
  lane.pause();
  input.enqueue(Uint8Array.of(1)); // this read was under way
  await settle();
  const asked = seen.length;
  input.enqueue(Uint8Array.of(2));
  await settle();
  assertEquals([log.events, seen.length], [["data 1"], asked]);
  lane.resume();
  await settle();
  assertEquals(log.events, ["data 1", "data 2"]);
});

test("StreamLane: end() closes the writable, reading goes on; at the end of both it is closed, not aborted", async () => {
  const { lane, log, input, seen } = scripted();
  lane.end();
  await settle();
  input.enqueue(Uint8Array.of(1));
  await settle();
  assertEquals(log.events, ["data 1"]);
  input.close();
  await settle();
  assertEquals(log.events, ["data 1", "end", "close"]);
  assertEquals(seen.filter((what) => what !== "pull"), ["close"]);
});

test("StreamLane: the peer ends first, then we", async () => {
  const { lane, log, input, seen } = scripted();
  input.close();
  await settle();
  assertEquals(log.events, ["end"]);
  lane.end();
  await settle();
  assertEquals(log.events, ["end", "close"]);
  assertEquals(seen.filter((what) => what !== "pull"), ["close"]);
});

test("StreamLane: abort() ends everything at once and tells it once", async () => {
  const { lane, log, seen, input } = scripted();
  lane.write(Uint8Array.of(1), 0, 1);
  lane.abort();
  lane.abort();
  assertEquals(log.events, ["close"]);
  await settle();
  assertEquals(seen.filter((what) => what !== "pull").sort(), ["abort", "abort stream", "cancel"]);
  assertEquals([lane.write(Uint8Array.of(1), 0, 1), log.events], [false, ["close"]]);
  try {
    input.enqueue(Uint8Array.of(2)); // it may be cancelled already
  } catch { /* then it cannot arrive */ }
  await settle();
  assertEquals(log.events, ["close"]);
});

test("StreamLane: a readable that breaks closes the lane with its error", async () => {
  const { log, input, seen } = scripted();
  input.error(new Error("broken"));
  await settle();
  assertEquals(log.events, ["close broken"]);
  assertEquals(seen.includes("abort"), true);
});

test("StreamLane: a writable that breaks closes the lane with its error, also when nothing is written", async () => {
  const { log, output, seen } = scripted();
  output().error(new Error("broken"));
  await settle();
  assertEquals(log.events, ["close broken"]);
  assertEquals(seen.includes("abort"), true);
});

test("StreamLane: a close() of the writable that fails closes the lane with its error", async () => {
  const log = new Log();
  const lane = new StreamLane({
    readable: new ReadableStream(),
    writable: new WritableStream({ close: () => Promise.reject(new Error("not possible")) }),
    abort: () => {},
  });
  lane.start(log);
  lane.end();
  await settle();
  assertEquals(log.events, ["close not possible"]);
});

test("LanePipe: the streams are made when they are asked for", () => {
  const lane = new FakeLane();
  const pipe = new FakePipe(lane);
  assertEquals(lane.sink, undefined);
  pipe.readable;
  assertEquals(lane.sink !== undefined, true);
  assertEquals(pipe.readable, pipe.readable);
  assertEquals(pipe.writable, pipe.writable);
});

test("LanePipe: what arrives is read, and the lane is paused while nobody reads", async () => {
  const lane = new FakeLane();
  const reader = new FakePipe(lane).readable.getReader();
  await settle();
  lane.receive("ab");
  assertEquals(lane.paused, true);
  lane.receive("c"); // it was on its way
  assertEquals(await reader.read(), { done: false, value: Uint8Array.of(97, 98) });
  assertEquals(await reader.read(), { done: false, value: Uint8Array.of(99) });
  await settle();
  assertEquals(lane.paused, false);
  lane.sink.onEnd();
  assertEquals((await reader.read()).done, true);
});

test("LanePipe: the lane is told when that is new only, again and again", async () => {
  const lane = new FakeLane();
  const calls: string[] = [];
  lane.pause = () => void calls.push("pause");
  lane.resume = () => void calls.push("resume");
  const reader = new FakePipe(lane).readable.getReader();
  for (let i = 0; i < 3; i++) { // before the first pull, then behind one
    for (const chunk of ["a", "b", "c"]) lane.receive(chunk);
    await settle();
    assertEquals(calls.splice(0), ["pause"]);
    for (const byte of [97, 98, 99]) assertEquals((await reader.read()).value, Uint8Array.of(byte));
    await settle();
    assertEquals(calls.splice(0), ["resume"]);
    for (let j = 0; j < 3; j++) { // somebody waits for each of them
      const reading = reader.read();
      lane.receive("d");
      assertEquals((await reading).value, Uint8Array.of(100));
    }
    await settle();
    assertEquals(calls, []);
  }
});

test("LanePipe: a write settles when the lane has taken it", async () => {
  const lane = new FakeLane();
  const writer = new FakePipe(lane).writable.getWriter();
  await writer.write(Uint8Array.of(1));
  await writer.write(new Uint8Array(0)); // nothing to send
  lane.takes = false;
  let taken = false;
  const second = writer.write(Uint8Array.of(2)).then(() => taken = true);
  await settle();
  assertEquals([lane.writes.length, taken], [2, false]);
  lane.sink.onDrain();
  await second;
  lane.takes = true;
  await writer.close();
  assertEquals(lane.ended, true);
});

test("LanePipe: cancelling or aborting a stream drops the connection, and nothing that comes later is an error", async () => {
  for (const drop of [(pipe: FakePipe) => pipe.readable.cancel(), (pipe: FakePipe) => pipe.writable.abort()]) {
    const lane = new FakeLane();
    const pipe = new FakePipe(lane);
    await drop(pipe);
    assertEquals(lane.aborted, true);
    lane.receive("late");
    lane.sink.onEnd();
    lane.sink.onDrain();
    lane.sink.onClose();
  }
});

test("LanePipe: when the connection breaks, both streams break with its error", async () => {
  const lane = new FakeLane();
  const pipe = new FakePipe(lane);
  const reader = pipe.readable.getReader();
  const writer = pipe.writable.getWriter();
  lane.takes = false;
  const closed = assertRejects(() => writer.closed, Error, "reset");
  const write = writer.write(Uint8Array.of(1));
  write.catch(() => {});
  lane.sink.onClose(new Error("reset"));
  lane.sink.onClose(new Error("again"));
  await assertRejects(() => reader.read(), Error, "reset");
  await closed;
});
