// 300 peers start messages or bodies of 2 MiB and never finish them. The memory held by the server has to stay below
// `max_buffer_memory`, connected peers have to be served, and new ones have to be accepted again.

import { assert, assertEquals } from "@std/assert";
import { ownLanes } from "../support/lanes.ts";
import { bytesOf, frame, RawClient } from "../support/raw_client.ts";
import { becomes, drawing, Victim, within } from "./harness.ts";

const MIB = 2 ** 20;
const LIMIT = 64 * MIB;

/** The garbage that V8 and JavaScriptCore accumulate before collecting it, and the memory that runtimes need for 300 sockets. */
const SLACK = 448 * MIB;

const PEERS = 300;
const PIECE = new Uint8Array(64 * 1024);
const BEGINNING = frame({ opcode: 2, payload: new Uint8Array(2 * MIB) }).subarray(0, 14);
const POST = bytesOf(`POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: ${2 * MIB}\r\n\r\n`);
const HANDSHAKE = bytesOf(
  "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
);

/** Sends all but the last piece, as long as the server accepts it. */
async function sendUnfinished(client: RawClient): Promise<void> {
  for (let sent = PIECE.length; sent < 2 * MIB && !client.socket.destroyed; sent += PIECE.length) {
    if (client.socket.write(PIECE)) continue;
    await new Promise<void>((resolve) => client.socket.once("drain", resolve).once("close", () => resolve()));
  }
}

const testDrawn = drawing(ownLanes);

for (const [lane] of ownLanes) {
  for (const what of ["messages", "bodies"] as const) {
    testDrawn(lane, `${PEERS} unfinished ${what} of 2 MiB (${lane})`, { timeout: 120_000 }, async () => {
      const victim = await Victim.start({ lane, settings: { max_buffer_memory: LIMIT } });
      const port = victim.ports.event;
      try {
        const good = await RawClient.open(port);
        const echoes = async () => {
          good.send(frame({ opcode: 1, payload: "served" }));
          assertEquals((await within(10_000, "an echo", good.readFrame()))?.payload.length, 6);
        };
        await echoes();
        await victim.mark();
        const bad = await Promise.all(Array.from({ length: PEERS }, async () => {
          const client = await RawClient.connect(port);
          client.socket.resume().on("error", () => {});
          for (const part of what === "messages" ? [HANDSHAKE, BEGINNING] : [POST]) client.socket.write(part);
          return client;
        }));
        let isSending = true;
        const sending = Promise.all(bad.map(sendUnfinished)).then(() => isSending = false);
        while (isSending) {
          await echoes();
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        await sending;
        await echoes();
        const { grown, faults } = await victim.figures();
        assert(grown < LIMIT + SLACK, `the server has grown by ${Math.round(grown / MIB)} MiB`);
        assertEquals(faults, []);
        // Takes 15.25 seconds at most; longer on a busy machine.
        assertEquals(
          await becomes(60_000, async () => {
            const client = await RawClient.connect(port);
            client.send(HANDSHAKE);
            const head = await client.readHead();
            client.destroy();
            return head.startsWith("HTTP/1.1 101") ? undefined : head;
          }),
          undefined,
        );
        await echoes();
        for (const client of [...bad, good]) client.destroy();
      } finally {
        await victim.stop();
      }
    });
  }
}
