// When a WebSocket server pings, and when it gives a silent peer up, by a clock that the test sets.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import type { Connection, Protocol } from "../../src/transport/connection.ts";
import { ConnectionTable } from "../../src/transport/connection_table.ts";
import type { FrameConsumer, WebSocketContext } from "../../src/websocket/connection/session_interfaces.ts";
import { WebSocketSession } from "../../src/websocket/connection/websocket_session.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { settle } from "../support/memory_client.ts";

const START = 1_000_000;

const idleConsumer: FrameConsumer = {
  isAtWork: false,
  isBehind: false,
  deliver() {},
  onClose() {},
  onClosing() {},
  onDrain() {},
  onClosed() {},
};

/** A WebSocket with timeouts in seconds, at a time that can be set. */
function open({ interval, timeout, idle = 0 }: { interval: number; timeout: number; idle?: number }) {
  let time = START;
  const lane = new FakeLane();
  const nothing = () => {};
  const host: WebSocketContext = {
    endpointOptions: {
      masked: true,
      maxLength: 1000,
      deliverPing: false,
      deliverPong: false,
      deliverClose: true,
      answerClose: true,
    },
    closeTimeout: 5000,
    pingInterval: interval * 1000,
    pingTimeout: timeout * 1000,
    get now() {
      return time;
    },
    compressFrom: Infinity,
    inputLimit: 1e9,
    sendLimit: 1e9,
    messageTimeout: 0,
    idleDeadline: (connection) => idle === 0 ? 0 : Math.max(connection.lastReceived, connection.lastSent) + idle * 1000,
    idleSetting: () => "max_idle_time",
    dataOf: () => undefined,
    onViolation: nothing,
  };
  const table = new ConnectionTable(
    { maxConnections: 1, lingerTimeout: 5000, highWatermark: 1e9, lowWatermark: 0 },
    {
      makeProtocol: (connection: Connection): Protocol => new WebSocketSession(connection, host, () => idleConsumer),
      onAccepted: nothing,
      onClosed: nothing,
      onBufferFull: nothing,
      onBufferEmpty: nothing,
      onFault(_connection, error) {
        throw error;
      },
    },
    () => time,
  );
  const connection = table.accept(laneOnly(lane))!;
  const seconds: number[] = [];
  let pings = 0;
  return {
    seconds,
    get isOpen() {
      return connection.isOpen;
    },
    /** Lets the time pass, four ticks each second; notes when a ping went out, and answers it after `answer` seconds. */
    async pass(until: number, answer?: number): Promise<void> {
      let due = Infinity;
      for (let at = (time - START) / 1000 + 0.25; at <= until; at += 0.25) {
        time = START + at * 1000;
        table.tick();
        await settle(); // until it is written
        if (at >= due) {
          due = Infinity;
          lane.receive("\x8a\x80\0\0\0\0");
        }
        const sent = lane.text.split("\x89").length - 1;
        if (sent > pings && answer !== undefined) due = at + answer;
        if (sent > pings) seconds.push(at);
        pings = sent;
      }
    },
  };
}

test("a peer is pinged after each interval of silence, also when the timeout is longer", async () => {
  const peer = open({ interval: 5, timeout: 30 });
  await peer.pass(21, 0.25);
  assertEquals(peer.seconds, [5, 10.25, 15.5, 20.75]); // an interval after the last pong
  assertEquals(peer.isOpen, true);
});

test("a peer that does not answer is given up when the timeout has passed, not before, whatever the interval is", async () => {
  for (const [interval, timeout] of [[5, 30], [30, 5], [10, 10], [1, 60]]) {
    const peer = open({ interval, timeout });
    await peer.pass(interval + timeout - 0.25);
    assertEquals([peer.seconds, peer.isOpen], [[interval], true], `${interval} ${timeout}`);
    await peer.pass(interval + timeout);
    assertEquals(peer.isOpen, false, `${interval} ${timeout}`);
  }
});

test("without an interval nobody is pinged; max_idle_time counts beside the pings", async () => {
  const quiet = open({ interval: 0, timeout: 30 });
  await quiet.pass(100);
  assertEquals([quiet.seconds, quiet.isOpen], [[], true]);
  const idle = open({ interval: 0, timeout: 30, idle: 7 });
  await idle.pass(6.75);
  assertEquals(idle.isOpen, true);
  await idle.pass(7);
  assertEquals(idle.isOpen, false);
});
