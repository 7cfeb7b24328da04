// The numbers of connections: in steps, in blocks, and when there are none left.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { ConnectionTable } from "../../src/transport/connection_table.ts";
import type { Protocol } from "../../src/transport/connection.ts";
import { FdSequence } from "../../src/transport/fd_sequence.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";

const take = (fds: FdSequence, count: number) => Array.from({ length: count }, () => fds.next());

test("one block without an end", () => {
  const fds = new FdSequence();
  assertEquals([fds.last, take(fds, 3), fds.last, fds.hasNext], [0, [1, 2, 3], 3, true]);
  assertEquals(take(new FdSequence(1000), 2), [1001, 1002]);
});

test("blocks in steps: another one is asked for at half, and used when the present one has ended", () => {
  let asked = 0;
  const fds = new FdSequence(3, 256, 4, () => asked++);
  assertEquals([take(fds, 1), asked], [[259], 0]);
  assertEquals([take(fds, 1), asked], [[515], 1]);
  fds.add(10_243, 5);
  assertEquals([take(fds, 3), asked, fds.hasNext], [[771, 1027, 10_243], 1, true]);
  assertEquals([take(fds, 2), asked], [[10_499, 10_755], 2]);
  assertEquals([take(fds, 2), fds.hasNext, asked], [[11_011, 11_267], false, 2]);
  fds.add(20_483, 1);
  assertEquals([fds.hasNext, take(fds, 1), fds.hasNext, asked], [true, [20_483], false, 3]);
});

test("a table without another fd takes no connection, and counts it", () => {
  const protocol: Protocol = { receive() {}, receiveEnd() {}, onDeadline() {}, onFault() {}, onClosed() {} };
  const fds = new FdSequence(0, 256, 2);
  const events = { onAccepted() {}, onClosed() {}, onBufferFull() {}, onBufferEmpty() {}, onFault() {} };
  const options = { maxConnections: 10, fds, lingerTimeout: 1000, highWatermark: 100, lowWatermark: 0 };
  const table = new ConnectionTable(options, { ...events, makeProtocol: () => protocol });
  const lanes = Array.from({ length: 4 }, () => new FakeLane());
  const accept = (i: number) => table.accept(laneOnly(lanes[i]))?.fd;
  assertEquals([accept(0), accept(1), accept(2), table.abortCount, table.hasRoom()], [256, 512, undefined, 1, false]);
  assert(lanes[2].aborted && !lanes[1].aborted);
  fds.add(1024, 1);
  assertEquals([accept(3), table.lastFd, table.size], [1024, 1024, 3]);
  for (const lane of lanes) lane.abort();
});
