// Peers that make the server hold as much as they can. Its memory is bounded by multiples of the documented limits.

import { assert, assertEquals } from "@std/assert";
import { ownLanes } from "../support/lanes.ts";
import { bytesOf, frame, RawClient } from "../support/raw_client.ts";
import { becomes, drawing, EVERYTHING, SLACK, slackOfStreams, surviving, within } from "./harness.ts";

const MIB = 2 ** 20;

/** The processor time that three such bodies may take, in milliseconds: one second each. */
const CPU = 3000;

/** Yields a body in chunks of one byte, in pieces of about 64 KiB. */
function* oneByteChunks(size: number): Generator<Uint8Array> {
  const chunk = "1\r\nx\r\n";
  const perPiece = 10_000;
  const piece = bytesOf(chunk.repeat(perPiece));
  for (let sent = 0; sent < size; sent += perPiece) {
    yield piece.subarray(0, Math.min(perPiece, size - sent) * chunk.length);
  }
  yield bytesOf("0\r\n\r\n");
}

async function sendAll(
  client: RawClient,
  pieces: Iterable<Uint8Array>,
): Promise<void> {
  for (const piece of pieces) {
    if (client.socket.write(piece)) continue;
    await new Promise<void>((resolve) => {
      const goOn = () => {
        client.socket.off("drain", goOn);
        client.socket.off("close", goOn);
        resolve();
      };
      client.socket.on("drain", goOn);
      client.socket.on("close", goOn);
    });
  }
}

const testDrawn = drawing(ownLanes);

for (const [lane] of ownLanes) {
  for (
    const [what, server, path] of [["collects", "stream", "/collect"], [
      "has collected",
      "event",
      "/collect",
    ]] as const
  ) {
    testDrawn(
      lane,
      `three bodies of 2 MB in chunks of one byte, for a handler that ${what} them (${lane})`,
      { timeout: 120_000 },
      () =>
        surviving({ lane }, { memory: 64 * MIB, cpu: CPU }, async (victim) => {
          const size = 2_000_000;
          await Promise.all([1, 2, 3].map(async () => {
            const client = await RawClient.connect(victim.ports[server]);
            client.send(
              `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`,
            );
            await sendAll(client, oneByteChunks(size));
            assertEquals(
              (await within(60_000, "the response", client.readAnswer())).body,
              String(size),
            );
            client.destroy();
          }));
        }),
    );
  }

  testDrawn(lane, `a body in chunks of one byte that nobody reads (${lane})`, {
    timeout: 120_000,
  }, () =>
    // 20 connections, each of which may hold 64 KiB, including the overhead of chunks.
    surviving({ lane }, { memory: SLACK }, async (victim) => {
      const clients = await Promise.all(Array.from({ length: 20 }, async () => {
        const client = await RawClient.connect(victim.ports.stream);
        client.send(
          "POST /wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        await victim.seen("reached", client);
        sendAll(client, oneByteChunks(400_000));
        return client;
      }));
      await new Promise((resolve) => setTimeout(resolve, 2000));
      for (const client of clients) client.destroy();
      victim.release(); // above 64 KiB the server does not read, so it only notices when the handlers end
    }));

  for (
    const [server, style] of [["event", "event"], [
      "coroutine",
      "coroutine",
    ]] as const
  ) {
    testDrawn(
      lane,
      `40 MiB that are written to a slow reader arrive, or it sees that they do not (${style} style, ${lane})`,
      { timeout: 120_000 },
      () =>
        surviving({ lane }, {}, async (victim) => {
          const client = await RawClient.connect(victim.ports[server]);
          client.socket.pause();
          client.send(
            "GET /parts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
          );
          await victim.seen("reached", client);
          await new Promise((resolve) => setTimeout(resolve, 500));
          client.socket.resume();
          const text = new TextDecoder("latin1").decode(
            await within(60_000, "the end of the response", client.readAll()),
          );
          client.destroy();
          const isWhole = text.endsWith("\r\n0\r\n\r\n") &&
            client.error === undefined;
          if (isWhole) {
            assert(
              text.length > 40 * MIB,
              `the response looks whole and has ${text.length} bytes`,
            );
          } else if (style === "coroutine") {
            assert(
              false,
              `${text.length} bytes: a coroutine waits while it writes`,
            );
          }
        }),
    );
  }

  testDrawn(lane, `peers that do not read what they have sent for (${lane})`, {
    timeout: 120_000,
  }, () =>
    // Ten peers, each of which may have `socket_buffer_size` queued, once as pending output and once as output being made.
    surviving({ lane, settings: { socket_buffer_size: 2 * MIB } }, {
      memory: 10 * 2 * 2 * MIB + SLACK + slackOfStreams(lane),
    }, async (victim) => {
      const clients = await Promise.all(Array.from({ length: 10 }, async () => {
        const client = await RawClient.open(victim.ports.event);
        client.socket.pause();
        const message = frame({ opcode: 2, payload: new Uint8Array(65_536) });
        sendAll(client, Array.from({ length: 400 }, () => message)); // 25 MiB each
        return client;
      }));
      await new Promise((resolve) => setTimeout(resolve, 3000));
      for (const client of clients) client.destroy();
    }));

  // `node tools/adversary.mjs` sends all of them, the default run a quarter.
  const count = EVERYTHING ? 800_000 : 200_000;
  testDrawn(
    lane,
    `one peer sends ${count} messages to a handler that waits (${lane})`,
    { timeout: 300_000 },
    () =>
      surviving({ lane }, { memory: 64 * MIB }, async (victim) => {
        const client = await RawClient.open(victim.ports.event);
        const message = frame({ opcode: 1, payload: "hold" });
        const many = new Uint8Array(message.length * 5000);
        for (let i = 0; i < 5000; i++) many.set(message, i * message.length);
        let sent = 0;
        const sending = sendAll(
          client,
          (function* () {
            for (; sent < count; sent += 5000) yield many;
          })(),
        );
        // Wait until the server stops reading.
        for (let before = -1; before < sent;) {
          before = sent;
          await new Promise((resolve) => setTimeout(resolve, 1000));
        }
        const { handled, grown } = await victim.figures();
        assertEquals(handled, 0);
        assert(grown < 64 * MIB, `the memory grew by ${(grown / MIB).toFixed(0)} MiB`);
        victim.release();
        await within(200_000, "everything is sent", sending);
        const refusal = await becomes(60_000, async () => {
          const { handled } = await victim.figures();
          return handled === count ? undefined : `${handled} of ${count} messages were handled`;
        });
        assertEquals(refusal, undefined);
        client.destroy();
      }),
  );

  testDrawn(lane, `peers that send one byte at a time are served like others (${lane})`, {
    timeout: 120_000,
  }, () =>
    surviving({ lane }, {}, async (victim) => {
      const one = async (bytes: Uint8Array) => {
        const client = await RawClient.connect(victim.ports.event);
        await client.sendApart(
          Array.from(bytes, (byte) => Uint8Array.of(byte)),
        );
        return client;
      };
      const body = "x".repeat(100);
      const request = `POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      await Promise.all(Array.from({ length: 20 }, async () => {
        const client = await one(bytesOf(request));
        assertEquals(
          (await within(20_000, "the response", client.readAnswer())).body,
          "100",
        );
        client.destroy();
      }));
      await Promise.all(Array.from({ length: 20 }, async () => {
        const client = await RawClient.open(victim.ports.event);
        await client.sendApart(
          Array.from(frame({ opcode: 1, payload: body }), (byte) => Uint8Array.of(byte)),
        );
        assertEquals(
          (await within(20_000, "the echo", client.readFrame()))?.payload
            .length,
          100,
        );
        client.destroy();
      }));
    }));
}
