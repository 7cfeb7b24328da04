import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import type { Connection, Protocol } from "../../src/transport/connection.ts";
import { ConnectionTable } from "../../src/transport/connection_table.ts";
import { settle } from "../support/activity.ts";
import { FakeLane, FakePipe } from "../support/fake_lane.ts";

/** A connection, what its protocol gets, and its lane. */
function connect(onChunk: (text: string, connection: Connection) => void = () => {}) {
  const lines: string[] = [];
  const lane = new FakeLane();
  const nothing = () => {};
  const table = new ConnectionTable(
    { maxConnections: 1, lingerTimeout: 1000, highWatermark: 100, lowWatermark: 0 },
    {
      makeProtocol: (connection): Protocol => ({
        receive: (chunk) => {
          const text = new TextDecoder().decode(chunk);
          lines.push(text);
          onChunk(text, connection);
        },
        receiveEnd: () => lines.push("END"),
        onDeadline: nothing,
        onFault: nothing,
        onClosed: nothing,
      }),
      onAccepted: nothing,
      onClosed: nothing,
      onBufferFull: nothing,
      onBufferEmpty: nothing,
      onFault(_connection, error) {
        throw error;
      },
    },
  );
  const connection = table.accept(new FakePipe(lane))!;
  return { connection, lane, lines };
}

test("a held connection is not read; what was on its way comes after release(), in order, the end included", async () => {
  const { connection, lane, lines } = connect();
  lane.receive("a");
  connection.hold();
  assert(lane.paused && connection.isHeld);
  lane.receive("b");
  lane.receive("c");
  lane.sink.onEnd();
  assertEquals(lines, ["a"]);
  connection.release();
  assertEquals(lines, ["a"]); // not from inside of the caller
  await settle();
  assertEquals(lines, ["a", "b", "c", "END"]);
  assert(!connection.isHeld);
  connection.abort();
});

test("reading goes on after release(), unless the protocol is against it, and whatever waits to be sent", async () => {
  const { connection, lane } = connect();
  connection.hold();
  connection.pause();
  connection.release();
  await settle();
  assert(lane.paused);
  connection.resume();
  assert(!lane.paused);
  connection.hold();
  connection.resume();
  assert(lane.paused, "resume() of the protocol undid hold()");
  lane.takes = false;
  connection.append(new Uint8Array(200));
  await settle();
  connection.release();
  await settle();
  assert(!lane.paused);
  lane.sink.onDrain();
  connection.hold();
  connection.append(new Uint8Array(200));
  await settle();
  lane.sink.onDrain();
  assert(lane.paused, "an empty queue undid hold()");
  connection.abort();
});

test("a connection can be held again by what it releases, and before the release was done", async () => {
  const { connection, lane, lines } = connect((text, connection) => text === "b" && connection.hold());
  connection.hold();
  for (const text of ["a", "b", "c"]) lane.receive(text);
  connection.release();
  await settle();
  assertEquals(lines, ["a", "b"]);
  connection.release();
  connection.hold();
  await settle();
  assertEquals(lines, ["a", "b"]);
  connection.release();
  await settle();
  assertEquals(lines, ["a", "b", "c"]);
  connection.abort();
});

test("a connection that ends drops what it holds, and reads on until the peer ends", async () => {
  const { connection, lane, lines } = connect();
  connection.hold();
  lane.receive("a");
  connection.release();
  connection.end();
  assert(!lane.paused);
  await settle();
  assertEquals(lines, []);
  connection.abort();
});

test("whenTaken() with a number waits until no more than that is queued", async () => {
  const { connection, lane } = connect();
  const log: string[] = [];
  const wait = (most: number) => connection.whenTaken(most).then((taken) => log.push(`${most} ${taken}`));
  lane.takes = false;
  connection.append(new Uint8Array(100));
  await settle(); // it is on its way
  connection.append(new Uint8Array(50));
  for (const most of [149, 50, 0, 49, 150, 151]) wait(most);
  await settle();
  assertEquals(log.splice(0), ["150 true", "151 true"]);
  lane.sink.onDrain();
  await settle();
  assertEquals(log.splice(0), ["149 true", "50 true"]);
  lane.sink.onDrain();
  await settle();
  assertEquals(log.splice(0), ["0 true", "49 true"]);
  connection.append(new Uint8Array(50));
  await settle();
  for (const most of [10, 49]) wait(most);
  connection.abort();
  await settle();
  assertEquals(log, ["10 false", "49 false"]);
});

test("whenTaken() waits for all that was queued, or for the end of the connection", async () => {
  const { connection, lane } = connect();
  const log: string[] = [];
  const wait = (name: string) => connection.whenTaken().then((taken) => log.push(taken ? name : `not ${name}`));
  await wait("empty");
  lane.takes = false;
  connection.append(new Uint8Array(10));
  wait("first");
  connection.append(new Uint8Array(70_000));
  wait("second");
  await settle();
  assertEquals(log, ["empty"]);
  lane.sink.onDrain(); // the first chunk
  await settle();
  assertEquals(log, ["empty"]);
  lane.takes = true;
  lane.sink.onDrain();
  await settle();
  assertEquals(log, ["empty", "first", "second"]);
  connection.gather(() => {
    const at = connection.reserve(5);
    connection.memory.fill(1, at, at + 5);
    connection.commit(5);
    wait("gathered");
  });
  await settle();
  assertEquals(log.at(-1), "gathered");
  lane.takes = false;
  connection.append(new Uint8Array(10));
  wait("gone");
  await settle();
  connection.abort();
  await settle();
  assertEquals(log.at(-1), "not gone");
});
