// Requests and messages that are being handled while their peers leave or stay.

import { assert, assertEquals } from "@std/assert";
import { type ServerSettings, WebSocketServer } from "../../mod.ts";
import { ownLanes, servingOn } from "../support/lanes.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";
import { becomes, Bystander, drawing, socketsOf, surviving, within } from "./harness.ts";
import type { Options } from "./options.ts";

const REQUEST = "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n";

/** Two seconds, with room for a busy machine, in milliseconds. */
const SOON = 6000;

/** Connects `count` clients, each with a pending request. */
function pendingClients(
  count: number,
  victim: Parameters<Parameters<typeof surviving>[2]>[0],
): Promise<RawClient[]> {
  return Promise.all(Array.from({ length: count }, async () => {
    const client = await RawClient.connect(victim.ports.event);
    client.send(REQUEST);
    await victim.seen("reached", client);
    return client;
  }));
}

const testDrawn = drawing(ownLanes);

for (const [lane] of ownLanes) {
  testDrawn(
    lane,
    `300 clients that leave while their response is pending leave nothing behind (${lane})`,
    {},
    () =>
      surviving({ lane }, { patience: SOON }, async (victim) => {
        for (const client of await pendingClients(300, victim)) client.destroy();
        const refusal = await becomes(SOON, () => {
          const waiting = [...socketsOf(victim.ports.event).values()].filter((state) => state === "CLOSE_WAIT").length;
          return Promise.resolve(
            waiting === 0 ? undefined : `${waiting} sockets in CLOSE_WAIT`,
          );
        });
        assertEquals(refusal, undefined);
      }),
  );

  testDrawn(lane, `with http_allow_half_open 300 clients that have ended their side get their responses (${lane})`, {}, () => {
    const options: Options = {
      lane,
      settings: { http_allow_half_open: true } as ServerSettings,
    };
    return surviving(options, {}, async (victim) => {
      const clients = await pendingClients(300, victim);
      for (const client of clients) client.end();
      await new Promise((resolve) => setTimeout(resolve, 500)); // time for the server to notice
      victim.release();
      for (const client of clients) {
        assertEquals(
          (await within(20_000, "the response", client.readAnswer())).body,
          "at last",
        );
        await within(20_000, "the end of the connection", client.whenEnded());
        client.destroy();
      }
    });
  });

  testDrawn(
    lane,
    `of two requests with the client's end behind them the second is not begun (${lane})`,
    {},
    () =>
      surviving({ lane }, {}, async (victim) => {
        const client = await RawClient.connect(victim.ports.event);
        const port = client.socket.localPort!;
        client.send(REQUEST + REQUEST);
        await victim.seen("reached", client);
        client.end();
        await within(10_000, "the end of the connection", client.whenEnded());
        victim.release();
        const later = new Bystander(victim.ports.event); // what comes after the second request is done before we look
        await within(20_000, "others are served", later.servedOften(3));
        await later.stop();
        assertEquals(victim.count("reached", port), 1);
        client.destroy();
      }),
  );
}

for (const [lane, runtime] of ownLanes) {
  testDrawn(lane, `nobody who answers pings is dropped while handlers take their time (${lane})`, {}, async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    // The same as with the defaults and 120 s, but thirty times as fast. At most 256 handlers may run at once.
    server.set({ websocket_ping_interval: 0.5, websocket_ping_timeout: 0.5 });
    const release = signal();
    const ended: number[] = [];
    server.on("message", async (server, { fd, data }) => {
      await release.promise;
      server.push(fd, data);
    });
    server.on("close", (_server, fd) => ended.push(fd));
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.open(port);
      const echoes: string[] = [];
      const all = signal();
      (async () => {
        for (let next = await client.readPastPings(); next !== null; next = await client.readPastPings()) {
          if (next.opcode === 1 && echoes.push(new TextDecoder().decode(next.payload)) === 300) all.resolve();
        }
      })().catch(() => {});
      const sent = Array.from({ length: 300 }, (_, i) => `message ${i}`);
      for (const payload of sent) client.send(frame({ opcode: 1, payload }));
      await new Promise((resolve) => setTimeout(resolve, 4000)); // time is the subject: eight intervals
      assertEquals(ended, []);
      assert(!client.ended, `the client was dropped: ${client.error}`);
      release.resolve();
      await within(20_000, "all echoes", all.promise);
      assertEquals(echoes, sent);
      client.destroy();
    });
  });
}
